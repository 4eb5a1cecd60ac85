"""Planes of parameters: cards, chi2 on a grid, checkpoints, files."""
