"""How events are kept and read: columns, writers, samples, provenance, HepMC."""
