"""Amplitudes, angular coefficients and observables of rare B decays with new physics."""
