"""What was measured: data, likelihoods, constraints and verdicts on a model."""
