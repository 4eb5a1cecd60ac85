"""Densities of events on tables: the inner loops of weights.

A density is a sum of terms, an angular function of the event times a coefficient that is linear in q2 within a cell.
A block of events goes through three passes: the place of each in the table, its functions, and their sums with the
coefficients of all models. Functions and coefficients come in quads, four together, so that sums use vectors without
being reordered; four values and their slopes are a line of the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel, prefetch, scalar
from ...kinematics.trig import circle
from ..sampler.event import scalar_functions, vector_functions


@scalar
def _cell(x: Any, edges: Any, starts: Any, scale: Any) -> Any:
    """Number of the cell that x is in, -1 outside of all: a bucket of even width, then bisection in it."""
    last = edges.size - 1
    if not (edges[0] <= x <= edges[last]):
        return -1
    bucket = int((x - edges[0]) * scale)
    low = max(starts[bucket] - 1, 0)
    high = min(starts[min(bucket + 1, starts.size - 1)] + 2, last)
    while high - low > 1:
        middle = (low + high) // 2
        if x >= edges[middle]:
            low = middle
        else:
            high = middle
    return low


BLOCK = 128
"""Events of a block: their functions stay in the first-level cache."""
_STRIDE = 4 * (BLOCK + 4)  # of the quads of one kind of all events: no power of two, which would alias
_AHEAD = 4  # events whose coefficients are fetched while those of one are summed
VECTOR_QUADS, SCALAR_QUADS = 3, 1
"""Quads of functions of an event."""


@inner
def _places(
    q2: Any, flavour: Any, first: Any, m: Any, edges: Any, starts: Any, scale: Any, size: Any, at: Any, step: Any
) -> None:
    """Where the coefficients of each event begin in the rows (flavour b, unknown, bbar; cell), and q2 in its cell.

    ``size`` is that of a cell. Events outside of all cells have the last row, which is zero.
    """
    cells = edges.size - 1
    for i in range(m):
        x = np.float64(q2[first + i])
        cell = _cell(x, edges, starts, scale)
        side = 0 if flavour[first + i] > 0 else (2 if flavour[first + i] < 0 else 1)
        at[i] = np.uintp((3 * cells if cell < 0 else side * cells + cell) * size)
        step[i] = 0.0 if cell < 0 else x - edges[cell]


@scalar
def vector_terms(ck: Any, c: Any, phi: Any) -> Any:
    """The twelve functions of the angles of an event, whatever phi; cosines that rounding has put beyond one are one.

    >>> [round(float(f), 12) for f in vector_terms(0.0, 1.0, 7.0)[:4]]
    [1.0, 0.0, 1.0, 0.0]
    """
    turns = phi * 0.15915494309189535
    sine, cosine = circle(np.float64, turns - math.floor(turns + 0.5))
    sin2_k, sin2_l = max(1.0 - ck * ck, 0.0), max(1.0 - c * c, 0.0)
    return vector_functions(ck, sin2_k, c, sin2_l, math.sqrt(sin2_k * sin2_l), sine, cosine)


@scalar
def _put(a: Any, i: Any, values: Any) -> None:
    a[i], a[i + np.uintp(1)], a[i + np.uintp(2)], a[i + np.uintp(3)] = values


@inner
def _sums(functions: Any, at: Any, step: Any, m: Any, quads: Any, rows: Any, first: Any, out: Any) -> None:
    """Sums of functions times coefficients of all models: ``out[first + i, model]``."""
    one, two, three, four = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(4)
    for i in range(m):
        r, x, later = at[i], step[i], at[min(i + _AHEAD, m - 1)]
        for k in range(out.shape[1]):
            j, a, b, c, d = np.uintp(4 * i), 0.0, 0.0, 0.0, 0.0
            for _ in range(quads):
                prefetch(rows, later)
                a += functions[j] * (rows[r] + x * rows[r + four])
                b += functions[j + one] * (rows[r + one] + x * rows[r + four + one])
                c += functions[j + two] * (rows[r + two] + x * rows[r + four + two])
                d += functions[j + three] * (rows[r + three] + x * rows[r + four + three])
                j, r, later = j + np.uintp(_STRIDE), r + np.uintp(8), later + np.uintp(8)
            out[first + i, k] = (a + b) + (c + d)


@kernel
def vector_densities(
    q2: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    flavour: Any,
    edges: Any,
    starts: Any,
    scale: Any,
    rows: Any,
    out: Any,
) -> None:
    """Densities of B -> V l l events: ``out[event, model]`` from flat ``rows`` [flavour, cell, model, quad, 2, 4]."""
    functions, at, step = np.empty(VECTOR_QUADS * _STRIDE), np.empty(BLOCK, np.uintp), np.empty(BLOCK)
    size = 8 * VECTOR_QUADS * out.shape[1]
    for first in range(0, q2.size, BLOCK):
        m = min(BLOCK, q2.size - first)
        _places(q2, flavour, first, m, edges, starts, scale, size, at, step)
        for i in range(m):
            ck, c = np.float64(cos_theta_k[first + i]), np.float64(cos_theta_l[first + i])
            f = vector_terms(ck, c, np.float64(phi[first + i]))
            _put(functions, np.uintp(4 * i), f[0:4])
            _put(functions, np.uintp(4 * i + _STRIDE), f[4:8])
            _put(functions, np.uintp(4 * i + 2 * _STRIDE), f[8:12])
        _sums(functions, at, step, m, VECTOR_QUADS, rows, first, out)


@kernel
def scalar_densities(
    q2: Any, cos_theta_l: Any, flavour: Any, edges: Any, starts: Any, scale: Any, rows: Any, out: Any
) -> None:
    """Densities of B -> P l l events, as `vector_densities`; the fourth function is zero."""
    functions, at, step = np.empty(SCALAR_QUADS * _STRIDE), np.empty(BLOCK, np.uintp), np.empty(BLOCK)
    size = 8 * SCALAR_QUADS * out.shape[1]
    for first in range(0, q2.size, BLOCK):
        m = min(BLOCK, q2.size - first)
        _places(q2, flavour, first, m, edges, starts, scale, size, at, step)
        for i in range(m):
            a, b, c = scalar_functions(1.0, np.float64(cos_theta_l[first + i]))
            _put(functions, np.uintp(4 * i), (a, b, c, 0.0))
        _sums(functions, at, step, m, SCALAR_QUADS, rows, first, out)


BINS = 30
"""Bins of q2, 1 GeV^2 each, in which weights are summed; what is beyond counts with the last."""


@kernel
def ratios(densities: Any, unit: Any, q2: Any, own: Any, out: Any, impossible: Any, sums: Any) -> None:
    """Weights ``out[column, event]`` from densities [event, model], the first that of the source, and their sums.

    ``sums[column, bin of q2]`` has the number, the sum of w, of w^2, the number of zeros, and the largest, w being the
    weight times the event's ``own``. Where the first is no density an event is ``impossible``, its weights are zero.
    """
    for i in range(q2.size):
        density = densities[i, 0]
        possible = math.isfinite(density) and density > 0.0
        if not possible:
            impossible[i] = True
        place = min(max(int(q2[i]), 0), BINS - 1)
        for k in range(out.shape[0]):
            weight = unit[k] * densities[i, k + 1] / density if possible else 0.0
            out[k, i] = weight
            w = weight * own[i]
            row = sums[k, place]
            row[0] += 1.0
            row[1] += w
            row[2] += w * w
            if w == 0.0:
                row[3] += 1.0
            row[4] = max(row[4], abs(w))


LOOPS: Mapping[str, Callable[..., None]] = MappingProxyType({"vector": vector_densities, "scalar": scalar_densities})
"""Loop of every kind of density that has a table in q2 alone."""
