"""What becomes of an event in a laboratory: momenta, beams, resolution, cuts, efficiency."""
