"""Sums of the angular functions over events, in bins of q2 and by flavour: the inner loops of validation.

Three passes over a block that stays in the cache: the bin (comparisons, no branch), the angular functions
(floating point, vectorised), and the additions (memory).  Sums are in float64 whatever the events are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel, scalar
from ...kinematics.trig import circle
from ..sampler.event import interference_functions, scalar_functions, vector_functions

BLOCK = 256
"""Events of a block."""
STEPS = 10
"""Comparisons that find a bin: a constant, so that the loop over events stays vectorised."""
MAX_BINS = 1 << STEPS
"""Most bins of q2 that the loops here can fill."""


@scalar
def _bin_of(x: Any, edges: Any) -> Any:
    """Number of the ``MAX_BINS`` edges at or below x, less one; a fixed number of steps, no branch."""
    found, step = 0, MAX_BINS // 2
    for _ in range(STEPS):
        found += step if x >= edges[found + step] else 0
        step >>= 1
    return found


@scalar
def _inside(x: Any, lows: Any, highs: Any) -> Any:
    """Whether x is in one of the intervals."""
    inside = False
    for j in range(lows.size):
        inside = inside | ((lows[j] <= x) & (x <= highs[j]))
    return inside


@scalar
def _put(scratch: Any, i: Any, row: Any, values: Any) -> None:
    """Four rows of a column of the scratch."""
    k = row * BLOCK + i
    scratch[k], scratch[k + BLOCK], scratch[k + 2 * BLOCK], scratch[k + 3 * BLOCK] = values


@scalar
def _p_wave(scratch: Any, i: Any, k: Any, c: Any, phi: Any) -> tuple[Any, Any, Any]:
    """Put the twelve functions of `densities.vector_basis`; sin K sin L, sin phi, cos phi."""
    turns = phi * (0.5 / math.pi)
    sine, cosine = circle(np.float64, turns - math.floor(turns + 0.5))
    sin2_k, sin2_l = 1.0 - k * k, 1.0 - c * c
    sines = math.sqrt(sin2_k * sin2_l)
    f = vector_functions(k, sin2_k, c, sin2_l, sines, sine, cosine)
    _put(scratch, i, 0, f[0:4])
    _put(scratch, i, 4, f[4:8])
    _put(scratch, i, 8, f[8:12])
    return sines, sine, cosine


@inner
def _places(
    x: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    flavour: Any,
    first: Any,
    size: Any,
    n: Any,
    padded: Any,
    n_bins: Any,
    lows: Any,
    highs: Any,
    place: Any,
) -> None:
    """Where a block's events are added; -1 outside the intervals, -2 for what is no event."""
    for i in range(size):
        value, k, c = np.float64(x[first + i]), cos_theta_k[first + i], cos_theta_l[first + i]
        known = abs(flavour[first + i]) == 1
        sane = known & (abs(k) <= 1) & (abs(c) <= 1) & (abs(phi[first + i]) <= 6.2831854) & (value > 0)
        row = 0 if flavour[first + i] == 1 else n_bins
        at = n * (row + _bin_of(value, padded))
        place[i] = -2 if not sane else (-1 if not _inside(value, lows, highs) else at)


@scalar
def _add(flat: Any, scratch: Any, place: Any, size: Any, n: Any, bad: Any) -> None:
    """Add a block's functions, ``n`` of each event."""
    for i in range(size):
        at = place[i]
        if at < 0:
            bad[at + 2] += 1
        else:
            for j in range(n):
                flat[at + j] += scratch[j * BLOCK + i]


@kernel
def sum_vector(
    x: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    flavour: Any,
    edges: Any,
    lows: Any,
    highs: Any,
    sums: Any,
    bad: Any,
) -> None:
    """Add f_i of B -> V l l events to ``sums[flavour, bin, i]``, in the order of ``densities.vector_basis``.

    Bins are those of x (q2 in GeV^2). Counts in ``bad`` the events with a NaN, a cosine beyond one or no flavour, and
    those outside the intervals ``lows`` to ``highs`` of x; they are added nowhere.
    """
    n_bins, flat = edges.size - 1, sums.reshape(-1)
    padded = np.full(MAX_BINS, np.inf)
    padded[:n_bins] = edges[:n_bins]
    scratch, place = np.empty(12 * BLOCK), np.empty(BLOCK, dtype=np.int64)
    for first in range(0, x.size, BLOCK):
        size = min(BLOCK, x.size - first)
        _places(x, cos_theta_k, cos_theta_l, phi, flavour, first, size, 12, padded, n_bins, lows, highs, place)
        for i in range(size):
            k, c = np.float64(cos_theta_k[first + i]), np.float64(cos_theta_l[first + i])
            _p_wave(scratch, i, k, c, np.float64(phi[first + i]))
        _add(flat, scratch, place, size, 12, bad)


@kernel
def sum_kpi(
    x: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    flavour: Any,
    edges: Any,
    lows: Any,
    highs: Any,
    sums: Any,
    bad: Any,
) -> None:
    """Add f_i of B -> K pi l l events, as `sum_vector`, in the order of ``densities.kpi_basis``; x is q2 or m_Kpi."""
    n_bins, flat = edges.size - 1, sums.reshape(-1)
    padded = np.full(MAX_BINS, np.inf)
    padded[:n_bins] = edges[:n_bins]
    scratch, place = np.empty(20 * BLOCK), np.empty(BLOCK, dtype=np.int64)
    for first in range(0, x.size, BLOCK):
        size = min(BLOCK, x.size - first)
        _places(x, cos_theta_k, cos_theta_l, phi, flavour, first, size, 19, padded, n_bins, lows, highs, place)
        for i in range(size):
            k, c = np.float64(cos_theta_k[first + i]), np.float64(cos_theta_l[first + i])
            sines, sine, cosine = _p_wave(scratch, i, k, c, np.float64(phi[first + i]))
            f = interference_functions(k, c, 1.0 - c * c, sines, sine, cosine)
            _put(scratch, i, 12, f[0:4])
            _put(scratch, i, 16, (f[4], f[5], f[6], 0.0))
        _add(flat, scratch, place, size, 19, bad)


@kernel
def sum_scalar(q2: Any, cos_theta_l: Any, flavour: Any, edges: Any, lows: Any, highs: Any, sums: Any, bad: Any) -> None:
    """Add 1, cos and cos^2 of B -> P l l events to ``sums[flavour, bin, i]``; ``bad`` as in `sum_vector`."""
    n_bins, flat = edges.size - 1, sums.reshape(-1)
    padded = np.full(MAX_BINS, np.inf)
    padded[:n_bins] = edges[:n_bins]
    place = np.empty(BLOCK, dtype=np.int64)
    for first in range(0, q2.size, BLOCK):
        size = min(BLOCK, q2.size - first)
        for i in range(size):
            x = np.float64(q2[first + i])
            sane = (abs(flavour[first + i]) == 1) & (abs(cos_theta_l[first + i]) <= 1) & (x > 0)
            row = 0 if flavour[first + i] == 1 else n_bins
            at = 3 * (row + _bin_of(x, padded))
            place[i] = -2 if not sane else (-1 if not _inside(x, lows, highs) else at)
        for i in range(size):
            at = place[i]
            if at < 0:
                bad[at + 2] += 1
            else:
                c = np.float64(cos_theta_l[first + i])
                one, first_power, square = scalar_functions(1.0, c)
                flat[at] += one
                flat[at + 1] += first_power
                flat[at + 2] += square
