"""Histograms filled on a CUDA device: one kernel for all expressions, then searches in edges and counts of places.

Whole numbers are those of the CPU. Sums of weights agree to rounding, and only so with themselves: a device adds in
an order of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...kinematics.base.arrays import to_host
from ...kinematics.base.optional import optional
from ..lab.expressions import Expression
from ..lab.expressions_gpu import evaluate

PORTION = 1 << 22
"""Events at a time: their places and weights take 100 MB."""


def sums(
    axes: Sequence[Any],
    expressions: Mapping[str, Expression],
    columns: Mapping[str, Any],
    masses: Mapping[str, float],
) -> tuple[Any, Any, int, int]:
    """What events add to a histogram: contents, squares of weights (None without any), undefined and selected ones.

    Args:
        axes: edges of the bins of each axis.
        expressions: those of `Histogram.expressions`.
        columns: of the events, on the device.
        masses: of particles (GeV).
    """
    cupy = optional("cupy", "device = 'gpu'")
    shape = tuple(len(edges) + 1 for edges in axes)
    size, n = math.prod(shape), len(next(iter(columns.values())))
    bounds = [cupy.asarray(edges) for edges in axes]
    counts = cupy.zeros(size + 2, dtype=cupy.int64)  # and the events that are undefined, and those left out
    weights = [cupy.zeros(size + 2) for _ in range(2 if "weight" in expressions else 0)]
    for low in range(0, n, PORTION):
        part = {name: column[low : low + PORTION] for name, column in columns.items()}
        found = dict(zip(expressions, evaluate(list(expressions.values()), part, masses), strict=True))
        place = cupy.zeros(len(next(iter(part.values()))), dtype=cupy.int64)
        undefined = cupy.zeros(len(place), dtype=bool)
        for number, edges in enumerate(bounds):
            x = found[f"axis {number}"]
            place = place * shape[number] + cupy.searchsorted(edges, x, side="right")
            undefined |= cupy.isnan(x)
        if weights:
            undefined |= cupy.isnan(found["weight"])
        place = cupy.where(undefined, size, place)
        if "select" in found:
            place = cupy.where(found["select"], place, size + 1)
        counts += cupy.bincount(place, minlength=size + 2)
        for power, total in enumerate(weights, 1):
            w = cupy.where(undefined, 0.0, found["weight"])
            total += cupy.bincount(place, weights=w**power, minlength=size + 2)
    undefined, left_out = (int(number) for number in to_host(counts[size:]))
    values, *squares = (to_host(array[:size]).reshape(shape) for array in weights or [counts])
    return values, squares[0] if squares else None, undefined, n - left_out
