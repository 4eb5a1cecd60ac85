r"""The reconstructed mass of the B in an unbinned fit: a peak of the signal, an exponential of each background.

With x the q2, the angles and all else that there was before, the density of an event is

.. math:: \Big(1-\sum_k f_k\Big)\,S(m_B)\,p_S(x) + \sum_k f_k\,B_k(m_B)\,p_k(x),\qquad B_k \propto e^{\kappa_k m_B},

each of S and B_k normalised in a window of the mass. S is a Gaussian, and with tails the double-sided Crystal Ball
function as ROOT's RooCrystalBall defines it (roofit/roofit/src/RooCrystalBall.cxx, with one width): of t = (m - μ)/σ

.. math:: g(t) = \begin{cases} A_l\,(B_l-t)^{-n_l} & t<-\alpha_l\\ e^{-t^2/2} & -\alpha_l\le t\le\alpha_h\\
          A_h\,(B_h+t)^{-n_h} & t>\alpha_h\end{cases},\qquad
          A = \Big(\frac n\alpha\Big)^n e^{-\alpha^2/2},\qquad B = \frac n\alpha-\alpha.

The mass is independent of x in each component, and its shape the same for all channels and both flavours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.special import erf

from ...kinematics.base.errors import InputError
from .amplitude import Array

MASS = "b_mass."
"""Of paths of what floats: ``b_mass.mean`` and ``b_mass.sigma``."""
COLUMN = "m_b_reco"
"""The mass (GeV) of the reconstructed B of events."""
FLOOR = -600.0
"""Smallest ln S: that of a Gaussian 35 σ away, beyond which one over it may be no number."""
_FINE = 100_001  # places of the mass that events are drawn between
Tail = tuple[float, float]


class BMass(BaseModel):
    """Mass of the B in a fit, fields as in a fit's card.

    >>> peak = BMass(low=5.17, high=5.7, mean=5.28, sigma=0.016, tail_low=(1.5, 3.0))
    >>> peak.logarithm(np.array([5.28]), {})[0].round(3).tolist()
    [3.164]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float = Field(gt=0)
    """Low end (GeV) of the window, in which all events are."""

    high: float = Field(lt=10)
    """High end (GeV) of it."""

    mean: float
    """μ (GeV) of the signal, within the window; ``b_mass.mean`` may float."""

    sigma: float = Field(gt=0)
    """σ (GeV) of the signal; ``b_mass.sigma`` may float."""

    tail_low: Tail | None = None
    """α and n of a tail below the mean, as [1.5, 3.0]: from α σ on a power n."""

    tail_high: Tail | None = None
    """α and n of a tail above it."""

    @model_validator(mode="after")
    def _can_be(self) -> BMass:
        if not self.low < self.high:
            raise InputError(f"b_mass.high = {self.high:g} GeV: needs to be above low = {self.low:g} GeV")
        self.check("b_mass.mean", (self.mean, self.mean))
        for name in ("tail_low", "tail_high"):
            alpha, n = getattr(self, name) or (1.0, 2.0)
            if not (alpha > 0 and n > 1):
                raise InputError(f"b_mass.{name} = [{alpha:g}, {n:g}]: needs alpha above 0 and n above 1")
        return self

    def check(self, path: str, ends: tuple[float, float]) -> None:
        """InputError for values of a field, in its range, that make no peak."""
        if path.endswith(MASS + "mean") and not self.low <= ends[0] <= ends[1] <= self.high:
            words = f"{ends[0]:g}" if ends[0] == ends[1] else f"{list(ends)}"
            raise InputError(f"{path} = {words} GeV: needs to be in the window, {self.low:g} to {self.high:g} GeV")
        if path.endswith(MASS + "sigma") and not ends[0] > 0:
            raise InputError(f"{path} = {list(ends)} GeV: needs a width above 0")

    def starts(self) -> dict[str, float]:
        """Values of what may float, by path."""
        return {MASS + "mean": self.mean, MASS + "sigma": self.sigma}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Ranges of what floats, where none is said: three σ about the mean, from half of σ to twice.

        >>> BMass(low=5.2, high=5.7, mean=5.28, sigma=0.02).ranges()["b_mass.sigma"]
        (0.01, 0.04)
        """
        reach = 3.0 * self.sigma
        means = max(self.mean - reach, self.low), min(self.mean + reach, self.high)
        return {MASS + "mean": means, MASS + "sigma": (0.5 * self.sigma, 2.0 * self.sigma)}

    def logarithm(self, mass: Array, more: Mapping[str, float]) -> tuple[Array, dict[str, Array]]:
        """ln S (S in 1/GeV) at masses, and its derivatives by path, with values by path on top."""
        values = {**self.starts(), **more}
        mean, sigma = (values[path] for path in self.starts())
        t, low, high = (mass - mean) / sigma, (self.low - mean) / sigma, (self.high - mean) / sigma
        shape, slope = self._peak(t)
        norm = float(self._below(np.array(high)) - self._below(np.array(low)))
        at_low, at_high = (math.exp(self._peak(np.array([end]))[0][0]) for end in (low, high))
        found = shape - math.log(sigma * norm)
        seen = found > FLOOR
        by_mean = seen * ((at_high - at_low) / norm - slope) / sigma
        by_sigma = seen * ((high * at_high - low * at_low) / norm - 1.0 - t * slope) / sigma
        return np.maximum(found, FLOOR), dict(zip(self.starts(), (by_mean, by_sigma), strict=True))

    def background(self, mass: Array, slope: float) -> tuple[Array, Array]:
        """B (1/GeV) at masses for a slope κ (1/GeV), and its derivative by that."""
        width, x = self.high - self.low, 0.5 * slope * (self.high - self.low)
        away = mass - 0.5 * (self.low + self.high)
        size, mean = x * x / 6.0, x / 3.0  # ln(sinh(x)/x) and coth(x) - 1/x
        if abs(x) > 1e-3:
            size = abs(x) + math.log(-math.expm1(-2.0 * abs(x)) / (2.0 * abs(x)))
            mean = 1.0 / math.tanh(x) - 1.0 / x
        found = np.exp(slope * away - size) / width
        return found, found * (away - 0.5 * width * mean)

    def drawn(self, uniform: Array, more: Mapping[str, float]) -> Array:
        """Masses of the signal, at uniform numbers between 0 and 1.

        >>> peak = BMass(low=5.18, high=5.38, mean=5.28, sigma=0.02)
        >>> peak.drawn(np.array([0.5, 0.8413447]), {}).round(4).tolist()
        [5.28, 5.3]
        """
        values = {**self.starts(), **more}
        mean, sigma = (values[path] for path in self.starts())
        at = np.linspace(self.low, self.high, _FINE)
        below = self._below((at - mean) / sigma)
        return np.interp(uniform, (below - below[0]) / (below[-1] - below[0]), at)

    def background_drawn(self, uniform: Array, slope: float) -> Array:
        """Masses of a background, in the same way."""
        x = max(abs(slope) * (self.high - self.low), 1e-9)
        away = -np.log1p(uniform * math.expm1(-x)) / x * (self.high - self.low)  # from the end that is higher
        return np.asarray(self.high - away if slope > 0 else self.low + away)

    def _tails(self) -> tuple[tuple[float, Tail], ...]:
        """The side of the tails that there are, and their α and n."""
        both = ((-1.0, self.tail_low), (1.0, self.tail_high))
        return tuple((side, tail) for side, tail in both if tail is not None)

    def _peak(self, t: Array) -> tuple[Array, Array]:
        """Ln g and its derivative."""
        found, slope = -0.5 * t * t, -t
        for side, (alpha, n) in self._tails():
            past = np.maximum(side * t - alpha, 0.0)
            tail, r = side * t > alpha, n / alpha
            found = np.where(tail, -0.5 * alpha**2 - n * np.log1p(past / r), found)
            slope = np.where(tail, -side * n / (r + past), slope)
        return found, slope

    def _below(self, t: Array) -> Array:
        """Integral of g from 0 to t."""
        found = math.sqrt(0.5 * math.pi) * erf(t / math.sqrt(2.0))
        for side, (alpha, n) in self._tails():
            past, r = np.maximum(side * t - alpha, 0.0), n / alpha
            area = math.exp(-0.5 * alpha**2) * r / (n - 1.0) * -np.expm1((1.0 - n) * np.log1p(past / r))
            core = math.sqrt(0.5 * math.pi) * math.erf(alpha / math.sqrt(2.0))
            found = np.where(side * t > alpha, side * (core + area), found)
        return np.asarray(found)


class Masses:
    """Masses (GeV) of the B of events, and the shapes that they have."""

    def __init__(self, shape: BMass, mass: Array) -> None:
        self.shape, self.mass = shape, mass
        self._last: tuple[tuple[float, ...], tuple[Array, dict[str, Array]]] | None = None

    def first(self, events: int) -> Masses:
        """The first events."""
        return Masses(self.shape, self.mass[:events])

    def signal(self, more: Mapping[str, float]) -> tuple[Array, dict[str, Array]]:
        """Ln S and its derivatives by path, see `BMass.logarithm`; those of the last values are kept."""
        key = tuple(more.get(path, 0.0) for path in self.shape.starts())
        if self._last is None or self._last[0] != key:
            self._last = key, self.shape.logarithm(self.mass, more)
        return self._last[1]

    def ratio(self, slope: float, more: Mapping[str, float]) -> Array:
        """B/S of a background of a slope, and its derivative by that, (2, events)."""
        return np.stack(self.shape.background(self.mass, slope)) * np.exp(-self.signal(more)[0])
