"""What of cupyx is asked for."""
