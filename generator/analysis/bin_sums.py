"""Weighted sums over events in bins, where the events are, and what follows from them by the method of moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_module, to_host
from ...physics.definitions import Definition
from ...physics.densities import DENSITIES
from ...physics.moments import Moments, observables

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BinSums:
    """Sums over the events of each bin; those of two sets of events add up.

    Attributes:
        events: number of events, shape (bins,).
        weights: sum of weights, shape (bins,).
        squares: sum of squared weights, shape (bins,).
        f: sum of weight times f_i, shape (bins, n).
        f_squares: sum of squared weight times f_i, shape (bins, n).
        ff: sum of squared weight times f_i f_j, shape (bins, n, n).
    """

    events: Array
    weights: Array
    squares: Array
    f: Array
    f_squares: Array
    ff: Array

    def __add__(self, other: BinSums) -> BinSums:
        return BinSums(*(a + b for a, b in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[Array, ...]:
        """The arrays, in the order of the attributes."""
        return self.events, self.weights, self.squares, self.f, self.f_squares, self.ff

    @classmethod
    def zeros(cls, n_bins: int, n_functions: int) -> BinSums:
        """Sums over no event."""
        k, n = n_bins, n_functions
        return cls(np.zeros(k), np.zeros(k), np.zeros(k), np.zeros((k, n)), np.zeros((k, n)), np.zeros((k, n, n)))


def sum_bins(kind: str, x: Any, angles: Sequence[Any], weights: Any, bins: Sequence[tuple[float, float]]) -> BinSums:
    """Sums over events in bins low <= x < high, which may overlap; computed in the array library of the events.

    Args:
        kind: of density, ``vector``, ``kpi`` or ``scalar``.
        x: variable of the bins.
        angles: those of the density.
        weights: of the events.
        bins: pairs of edges.

    Example:
        >>> sums = sum_bins("scalar", np.array([1.0, 2.0]), [np.array([0.5, -0.5])], np.ones(2), [(0.0, 1.5)])
        >>> sums.events.tolist(), sums.f.tolist()
        ([1.0], [[1.0, 0.5, 0.25]])
    """
    xp = array_module(x)
    n = len(DENSITIES[kind].coefficients)
    found = [xp.zeros((len(bins), *shape)) for shape in ((), (), (), (n,), (n,), (n, n))]
    if not len(x):
        return BinSums(*(to_host(array) for array in found))
    selected = [xp.nonzero((x >= low) & (x < high))[0] for low, high in bins]
    for row, index in enumerate(selected):
        w = xp.asarray(weights[index], dtype=xp.float64)
        f = DENSITIES[kind].basis(*(angle[index] for angle in angles))
        w2 = w * w
        weighted = f * w2
        for array, value in zip(
            found, (len(index), w.sum(), w2.sum(), f @ w, weighted.sum(axis=1), weighted @ f.T), strict=True
        ):
            array[row] = value
    return BinSums(*(to_host(array) for array in found))


def angular_observables(
    sums: BinSums, row: int, kind: str, self_tagging: bool = True, definition: Definition | None = None
) -> Moments | None:
    r"""Observables of one bin by the method of moments (arXiv:1503.04100), with their covariance.

    The mean of f_i is :math:`m_i = \sum w f_i/\sum w`; its covariance is estimated from the events,

    .. math:: \frac{\sum w^2 (f_i - m_i)(f_j - m_j)}{(\sum w)^2}\,\frac{n}{n - 1},
              \qquad n = \frac{(\sum w)^2}{\sum w^2},

    so it holds for weighted events and behind an efficiency too. None for less than two effective events. Those of an
    untagged sample if the mode is not ``self_tagging``; ``definition`` as in `observables`.
    """
    w, w2 = sums.weights[row], sums.squares[row]
    if not w > 0.0 or w * w <= 1.000001 * w2 or sums.events[row] < 2:
        return None
    effective = w * w / w2
    mean = sums.f[row] / w
    cross = np.outer(sums.f_squares[row], mean)
    covariance = (sums.ff[row] - cross - cross.T + w2 * np.outer(mean, mean)) / w**2
    covariance *= effective / (effective - 1.0)
    return observables(mean, effective, kind, covariance, self_tagging=self_tagging, definition=definition)
