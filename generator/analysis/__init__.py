"""A file held against theory: binning, ratios, migration, histograms, validation."""
