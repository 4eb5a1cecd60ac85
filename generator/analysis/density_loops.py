"""Densities of events on tables: the inner loops of weights. An event is looked up once for all models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.jit import kernel, scalar
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


@scalar
def _four(f: Any, rows: Any, at: Any, n: Any, step: Any) -> Any:
    """Sum of four coefficients, each linear in the cell, times their functions."""
    a = f[0] * (rows[at] + step * rows[at + n]) + f[1] * (rows[at + 1] + step * rows[at + n + 1])
    b = f[2] * (rows[at + 2] + step * rows[at + n + 2]) + f[3] * (rows[at + 3] + step * rows[at + n + 3])
    return a + b


@scalar
def _sides(flavour: Any) -> tuple[Any, Any, Any]:
    """First and last set of rows that a flavour asks for, and its share of each: both and half where it is unknown."""
    if flavour == 0:
        return 0, 2, 0.5
    return (0, 1, 1.0) if flavour > 0 else (1, 2, 1.0)


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
    """Densities of B -> V l l events: ``out[event, model]`` from flat ``rows`` [flavour, cell, model, 24]."""
    models = out.shape[1]
    for i in range(q2.size):
        x = np.float64(q2[i])
        cell = _cell(x, edges, starts, scale)
        for k in range(models):
            out[i, k] = 0.0
        if cell < 0:
            continue
        ck, c, turns = np.float64(cos_theta_k[i]), np.float64(cos_theta_l[i]), np.float64(phi[i]) * (0.5 / math.pi)
        sine, cosine = circle(np.float64, turns - math.floor(turns + 0.5))
        sin2_k, sin2_l = max(1.0 - ck * ck, 0.0), max(1.0 - c * c, 0.0)
        f = vector_functions(ck, sin2_k, c, sin2_l, math.sqrt(sin2_k * sin2_l), sine, cosine)
        step = x - edges[cell]
        first, last, share = _sides(flavour[i])
        for side in range(first, last):
            at = (side * (edges.size - 1) + cell) * models * 24
            for k in range(models):
                total = _four(f[0:4], rows, at, 12, step) + _four(f[4:8], rows, at + 4, 12, step)
                out[i, k] += share * (total + _four(f[8:12], rows, at + 8, 12, step))
                at += 24


@kernel
def scalar_densities(
    q2: Any, cos_theta_l: Any, flavour: Any, edges: Any, starts: Any, scale: Any, rows: Any, out: Any
) -> None:
    """Densities of B -> P l l events: ``out[event, model]`` from flat ``rows`` [flavour, cell, model, 6]."""
    models = out.shape[1]
    for i in range(q2.size):
        x = np.float64(q2[i])
        cell = _cell(x, edges, starts, scale)
        for k in range(models):
            out[i, k] = 0.0
        if cell < 0:
            continue
        f = scalar_functions(1.0, np.float64(cos_theta_l[i]))
        step = x - edges[cell]
        first, last, share = _sides(flavour[i])
        for side in range(first, last):
            at = (side * (edges.size - 1) + cell) * models * 6
            for k in range(models):
                total = f[0] * (rows[at] + step * rows[at + 3]) + f[1] * (rows[at + 1] + step * rows[at + 4])
                out[i, k] += share * (total + f[2] * (rows[at + 2] + step * rows[at + 5]))
                at += 6


BINS = 30
"""Bins of q2, 1 GeV^2 each, in which weights are summed; what is beyond counts with the last."""


@kernel
def ratios(before: Any, after: Any, unit: Any, q2: Any, own: Any, out: Any, impossible: Any, sums: Any) -> None:
    """Weights ``out[column, event]`` from densities, and their sums by column and bin of q2.

    ``sums[column, bin]`` has the number, the sum of w, of w^2, the number of zeros, and the largest, w being the weight
    times the event's ``own``. Where ``before`` is no density an event is ``impossible``, and its weights are zero.
    """
    for i in range(before.size):
        density = before[i]
        possible = math.isfinite(density) and density > 0.0
        if not possible:
            impossible[i] = True
        place = min(max(int(q2[i]), 0), BINS - 1)
        for k in range(after.shape[0]):
            weight = unit[k] * after[k, i] / density if possible else 0.0
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
