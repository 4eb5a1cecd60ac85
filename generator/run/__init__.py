"""From a run card to files: the card, the plan, chunks, the run."""
