"""Unbinned likelihood fits of events: couplings, masses, widths and phases float in the generator's own density."""
