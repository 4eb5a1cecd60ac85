"""Functions of q2 that are smooth between kinks: a Chebyshev series on each panel, to about 1e-9."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_DEGREE = 12
_MAX_DEPTH = 8
_SMALL = 4096


@dataclass(frozen=True, eq=False)
class PiecewiseChebyshev:
    """Smooth rows between kinks: Chebyshev series on panels of q2.

    ``edges`` (n+1), ``maps`` (n): 0 for a series in q2, +1 or -1 for one in the root of the distance to the
    right or left edge (a square-root cusp there), ``coefficients`` (degree+1, rows, n). Rows at the last four
    small arrays of q2 are kept, since B and its conjugate, and one model after the other, are wanted at the same q2.
    """

    edges: Array
    maps: npt.NDArray[np.int64]
    coefficients: Array

    def __call__(self, q2: Array) -> Array:
        """Values, shape (rows, n_q2), at q2 (n_q2,) in GeV²; outside the table its ends are used."""
        kept: list[tuple[Array, Array]] = self.__dict__.get("_kept", [])
        for at, rows in kept:
            if np.array_equal(at, q2):
                return np.array(rows)
        found = self._rows(q2)
        if q2.size <= _SMALL:
            self.__dict__["_kept"] = [(np.array(q2), np.array(found)), *kept[:3]]
        return found

    def _rows(self, q2: Array) -> Array:
        s = np.clip(q2, self.edges[0], self.edges[-1])
        panel = np.clip(np.searchsorted(self.edges, s, side="right") - 1, 0, len(self.maps) - 1)
        low, high, kind = self.edges[panel], self.edges[panel + 1], self.maps[panel]
        x = _to_unit(s, low, high, kind)
        c = self.coefficients
        later = np.zeros((c.shape[1], len(s)))
        last = np.zeros_like(later)
        for k in range(c.shape[0] - 1, 0, -1):  # Clenshaw
            later, last = c[k][:, panel] + 2.0 * x * later - last, later
        return np.asarray(c[0][:, panel] + x * later - last)


def _to_unit(s: Array, low: Array, high: Array, kind: npt.NDArray[np.int64]) -> Array:
    """Coordinate in [-1, 1] within a panel: linear, or the root of the distance to an edge."""
    t = (s - low) / (high - low)
    below, above = np.sqrt(np.maximum(1.0 - t, 0.0)), np.sqrt(np.maximum(t, 0.0))
    return np.asarray(2.0 * np.where(kind > 0, below, np.where(kind < 0, above, t)) - 1.0)


def _from_unit(x: Array, low: float, high: float, kind: int) -> Array:
    t = 0.5 * (x + 1.0)
    t = 1.0 - t**2 if kind > 0 else t**2 if kind < 0 else t
    return low + (high - low) * t


def fit_piecewise(
    function: Callable[[float], Array],
    kinks: Array,
    cusps: Sequence[float],
    tolerance: Callable[[float, float], Array],
) -> PiecewiseChebyshev:
    """Expand ``function`` (rows of numbers at one q2) between ``kinks``, halving panels until it is resolved.

    ``cusps`` are kinks with a square root on either side. ``tolerance(low, high)`` is the absolute error
    asked of each row. RuntimeError if a panel does not converge, which means a kink that is not in the list.
    """
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    transform = 2.0 / (_DEGREE + 1) * np.cos(np.outer(np.arange(_DEGREE + 1), np.arccos(nodes)))
    transform[0] *= 0.5
    panels: list[tuple[float, int, Array]] = []

    def fit(low: float, high: float, depth: int) -> None:
        kind = 1 if high in cusps else -1 if low in cusps else 0
        values = np.array([function(float(s)) for s in _from_unit(nodes, low, high, kind)])
        series = transform @ values
        if np.all(np.abs(series[-3:]).max(axis=0) <= tolerance(low, high)):
            panels.append((low, kind, series))
        elif depth == 0:
            raise RuntimeError(f"not smooth near q2 = {low:.6g} GeV^2: there is a kink that is not listed")
        else:
            middle = 0.5 * (low + high)
            fit(low, middle, depth - 1)
            fit(middle, high, depth - 1)

    for low, high in itertools.pairwise(kinks):
        fit(float(low), float(high), _MAX_DEPTH)
    edges = np.array([low for low, _, _ in panels] + [float(kinks[-1])])
    maps = np.array([kind for _, kind, _ in panels], dtype=np.int64)
    return PiecewiseChebyshev(edges, maps, np.ascontiguousarray(np.stack([c for _, _, c in panels], axis=-1)))
