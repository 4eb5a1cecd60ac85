"""Pseudo-experiments: data sets, yields, systematics, hypotheses, runs, limits, sensitivity."""
