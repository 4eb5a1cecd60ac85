"""Everything that draws; matplotlib is imported here and nowhere else."""
