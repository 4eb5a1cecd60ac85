"""darkpenguin: rare B decays with a light vector resonance, generated exactly."""

__version__ = "0.1.0"
