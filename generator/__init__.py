"""From a run card to events, files and figures."""
