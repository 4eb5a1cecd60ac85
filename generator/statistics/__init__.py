"""Numbers without physics: counts, draws, fits, ratios, hypotheses."""
