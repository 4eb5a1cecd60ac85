"""The sums of `sums` by array code, for events on a CUDA device: sums alone come back.

They agree with the CPU's to rounding, and only so with themselves: a device adds in an order of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_module, to_host
from ...physics.densities import DENSITIES

Array = NDArray[np.float64]


def sums(
    kind: str, x: Any, angles: Sequence[Any], flavour: Any, edges: Array, lows: Array, highs: Array
) -> tuple[Array, Array]:
    """Sums of the f_i by flavour, bin and function, and the numbers of events that are none, and that are outside.

    Args:
        kind: of density, ``vector``, ``scalar`` or ``kpi``.
        x: what the bins are of.
        angles: those of the density, the last an azimuth where there are three.
        flavour: +1 or -1.
        edges: of the bins.
        lows: ends of the intervals that x may be in.
        highs: the upper ones.

    >>> x, c, flavour = np.array([0.5, 9.0]), np.array([0.5, 0.5]), np.array([1, 1])
    >>> found, bad = sums("scalar", x, [c], flavour, np.array([0.0, 1.0, 2.0]), np.array([0.0]), np.array([2.0]))
    >>> found[0].tolist(), bad.tolist()
    ([[1.0, 0.5, 0.25], [0.0, 0.0, 0.0]], [0, 1])
    """
    xp, n_bins = array_module(x), len(edges) - 1
    value = x.astype(np.float64)
    sane = (xp.abs(flavour) == 1) & (value > 0)
    for angle, largest in zip(angles, (1.0, 1.0, 6.2831854), strict=False):
        sane &= xp.abs(angle.astype(np.float64)) <= largest
    inside = xp.zeros(len(value), dtype=bool)
    for low, high in zip(lows.tolist(), highs.tolist(), strict=True):
        inside |= (low <= value) & (value <= high)
    place = xp.clip(xp.searchsorted(xp.asarray(edges[:-1]), value, side="right") - 1, 0, n_bins - 1)
    place = xp.where(sane & inside, place + xp.where(flavour == 1, 0, n_bins), 2 * n_bins)
    rows = [xp.bincount(place, weights=f, minlength=2 * n_bins + 1)[:-1] for f in DENSITIES[kind].basis(*angles)]
    bad = xp.stack([xp.count_nonzero(~sane), xp.count_nonzero(sane & ~inside)])
    return to_host(xp.stack(rows, axis=1)).reshape(2, n_bins, len(rows)), to_host(bad)
