r"""Likelihood of the spectrum of B+ → K+ + invisible that Belle II measured, for any line shape.

Belle II's limit on B+ → K+ νν̄ assumes the shape of the Standard Model. Its public likelihood (arXiv:2507.12393) does
not: it has the response of 18 reconstructed bins to the true q². Here it is in a simplified form, made by
``tests/reference/belle2_likelihood.py``: with r_i the additional signal of bin i in units of the Standard Model's,

.. math:: -2\ln L(r) = \min_\delta 2\sum_i [\lambda_i - n_i + n_i\ln(n_i/\lambda_i)] + \delta^T W^{-1}\delta,\qquad
          \lambda_i = b_i + r_i s_i + \delta_i,

b, s and their covariance standing for 232 parameters; W is that of b + r s. Up to the best fit of a resonance -2 ln L
is that of the full likelihood within 0.1 or 2 %, and at its 95 % limit within 0.8 (4 % of the limit).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from ..angular import angular_coefficients, breakpoints, decay_rate, quadrature
from ..channels import get_channel
from ..models import Model

FloatArray = NDArray[np.float64]
LEVEL = 0.95
"""Confidence level of limits, as in arXiv:2602.09666."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Observed numbers, mean and covariance of backgrounds and signals, and the response to 100 bins of true q²."""

    observed: FloatArray
    mean: FloatArray
    covariance: FloatArray
    response: FloatArray
    q2_max: float

    def strengths(self, model: Model, neutrinos: bool = True) -> FloatArray:
        """What a model adds to the Standard Model of its theory in each bin, in units of the Standard Model's signal.

        χχ of all mediators, and with ``neutrinos`` the change of νν̄. Form factors cancel.

        >>> from darkpenguin.physics.models import get_model
        >>> bool(load_spectrum(TABLE).strengths(get_model("sm")).any())
        False
        """
        nunu, chichi = get_channel("B+->K+nunu"), get_channel("B+->K+chichi")
        edges = np.linspace(0.0, self.q2_max, self.response.shape[1] + 1)
        standard = _rates(nunu.name, model.standard, edges)
        added = _rates(chichi.name, model, edges)
        if neutrinos:
            added = added + _rates(nunu.name, model, edges) - standard
        return np.asarray(self.response @ (added / standard))

    def minus_two_log(self, r: FloatArray) -> float:
        """-2 ln L of additional signals (n_bins,)."""
        return self._profiled(r, self.observed, self.mean)[0]

    def _profiled(self, r: FloatArray, n: FloatArray, mean: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """-2 ln L, the expected numbers and the shift of the means at its minimum, by Newton's method."""
        size = len(n)
        both = np.concatenate([np.eye(size), np.diag(r)], axis=1)
        covariance = both @ self.covariance @ both.T
        inverse, expected = np.linalg.inv(covariance), both @ mean
        delta = np.zeros(size)
        for _ in range(100):
            now = expected + delta
            gradient = 1 - n / now + inverse @ delta
            step = np.linalg.solve(np.diag(n / now**2) + inverse, gradient)
            while np.any(now - step <= 0):
                step = step / 2
            delta = delta - step
            if np.abs(step).max() < 1e-9:
                break
        now = expected + delta
        value = 2 * np.sum(now - n + n * np.log(n / now)) + delta @ inverse @ delta
        return float(value), now, self.covariance @ both.T @ inverse @ delta

    def upper_limit(self, r: FloatArray, level: float = LEVEL) -> float:
        """The largest multiple of a shape ``r`` (n_bins,) that CLs does not exclude at a confidence level.

        Asymptotic (arXiv:1007.1727, q̃_μ), the median of background alone from its Asimov data.
        """
        return self._limit(r, level, self.observed, self.mean)

    def expected_limit(self, r: FloatArray, sigmas: float = 0.0, level: float = LEVEL) -> float:
        """As `upper_limit`, expected without a signal: the median, or ``sigmas`` standard deviations above it."""
        _, numbers, shift = self._profiled(0 * r, self.observed, self.mean)
        found = self._limit(r, level, numbers, self.mean + shift)
        if sigmas == 0.0:
            return found
        sigma = found / norm.isf((1 - level) / 2)  # of a normal estimate, arXiv:1007.1727 eq. (87) with CLs
        return float(sigma * (norm.isf((1 - level) * norm.cdf(sigmas)) + sigmas))

    def _limit(self, r: FloatArray, level: float, n: FloatArray, mean: FloatArray) -> float:
        scale = 1.0 / np.abs(r).max()
        observed = self._along(scale * r, n, mean)
        _, numbers, shift = self._profiled(0 * r, n, mean)
        asimov = self._along(scale * r, numbers, mean + shift)
        best = self._best(observed)

        def excess(t: float) -> float:
            q, median = max(observed(t) - observed(best), 0.0), max(asimov(t) - asimov(0.0), 0.0)
            split, width = np.sqrt(q), np.sqrt(median)
            if q > median > 0:  # below zero: q̃
                tail = norm.sf((q + median) / (2 * width)), norm.sf((q - median) / (2 * width))
            else:
                tail = norm.sf(split), norm.cdf(width - split)
            return float(tail[0] / tail[1] - (1 - level))

        high = max(2 * best, 1e-3)
        while excess(high) > 0:
            high *= 2
        return float(scale * brentq(excess, best, high, rtol=1e-6))

    def _along(self, r: FloatArray, n: FloatArray, mean: FloatArray) -> Callable[[float], float]:
        return lambda t: self._profiled(t * r, n, mean)[0]

    def _best(self, cost: Callable[[float], float]) -> float:
        """The multiple, not below zero, at which a -2 ln L along a shape is smallest."""
        high = 1e-3
        while cost(2 * high) < cost(high) and high < 1e6:
            high *= 2
        found = minimize_scalar(cost, bounds=(0.0, 2 * high), method="bounded", options={"xatol": 1e-7 * high})
        return float(found.x) if found.fun < cost(0.0) else 0.0

    def pulls(self, r: FloatArray) -> tuple[float, float]:
        """How far additional signals are, and the Standard Model is, from their own best multiple, in √(-2 Δ ln L).

        Negative where more would be better. Zeros without additional signals.
        """
        if not r.any():
            return 0.0, 0.0
        cost = self._along(r / np.abs(r).max(), self.observed, self.mean)
        size, best = float(np.abs(r).max()), self._best(cost)
        found = [np.sqrt(max(cost(t) - cost(best), 0.0)) * np.sign(t - best) for t in (size, 0.0)]
        return float(found[0]), float(found[1])


@lru_cache(maxsize=64)
def _standard_rates(name: str, model: Model, edges: bytes) -> FloatArray:
    return _integrals(name, model, np.frombuffer(edges))


def _rates(name: str, model: Model, edges: FloatArray) -> FloatArray:
    """Rates (GeV, both flavours) of a channel in bins of q² (GeV²)."""
    if model == model.standard:
        return _standard_rates(name, model, edges.tobytes())
    return _integrals(name, model, edges)


def _integrals(name: str, model: Model, edges: FloatArray) -> FloatArray:
    channel = get_channel(name)
    points = breakpoints(channel, model)
    end = min(float(points[-1]), float(edges[-1]))
    inside = edges[(edges > points[0]) & (edges < end)]
    q2, weights = quadrature(np.union1d(points, inside), max(float(points[0]), 0.0), end)
    rate = sum(decay_rate(angular_coefficients(channel, model, q2, flavour)) for flavour in (-1, 1))
    place = np.clip(np.searchsorted(edges, q2) - 1, 0, len(edges) - 2)
    return np.asarray(np.bincount(place, rate * weights, len(edges) - 1), dtype=np.float64)


TABLE = "belle2_2507.12393.json"
"""The likelihood of arXiv:2311.14647 as published with arXiv:2507.12393."""


@lru_cache(maxsize=4)
def load_spectrum(table: str) -> Spectrum:
    """The simplified likelihood in a file of ``data/tables``.

    >>> load_spectrum(TABLE).response.shape
    (18, 100)
    """
    raw = json.loads((Path(__file__).with_name("data") / "tables" / table).read_text(encoding="utf-8"))
    size = len(raw["mean"])
    lower = np.zeros((size, size))
    for i, row in enumerate(raw["covariance"]):
        lower[i, : i + 1] = row
    covariance = lower + np.tril(lower, -1).T
    observed, mean, response = (np.array(raw[key], dtype=float) for key in ("observed", "mean", "response"))
    return Spectrum(observed, mean, covariance, response, float(raw["q2_max"]))
