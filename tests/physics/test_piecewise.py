"""Piecewise Chebyshev series: accuracy, square-root cusps, and kinks that are not announced."""

import numpy as np
import pytest
from darkpenguin.physics.piecewise import fit_piecewise


def test_piecewise_fit_resolves_kinks_and_cusps():
    def function(x):
        return np.array([abs(x - 1.0), np.sqrt(abs(x - 2.0)) + x**3, np.log(x)])

    kinks = np.array([0.1, 1.0, 2.0, 3.0])
    fitted = fit_piecewise(function, kinks, (2.0,), lambda *_: np.full(3, 1e-10))
    x = np.random.default_rng(3).uniform(0.1, 3.0, 1000)
    expected = np.array([function(value) for value in x]).T
    assert np.max(np.abs(fitted(x) - expected)) < 1e-9
    np.testing.assert_allclose(fitted(np.array([0.0, 5.0])), fitted(np.array([0.1, 3.0])))


def test_unknown_kink_is_an_error():
    with pytest.raises(RuntimeError, match="not listed"):
        fit_piecewise(lambda x: np.array([abs(x - 1.234)]), np.array([0.0, 3.0]), (), lambda *_: np.full(1, 1e-10))
