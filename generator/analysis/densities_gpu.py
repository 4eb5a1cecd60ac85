"""Densities and weights of events on a CUDA device: kernels over the functions of one event that the CPU uses too.

Densities are summed in the order of `density_loops`, so that weights agree with the CPU's to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import to_host
from ...kinematics.base.cuda import REAL, Program, sized
from ...kinematics.base.optional import optional
from ...kinematics.base.portions import Portions
from ..sampler.event import scalar_functions
from .density_loops import BINS, vector_terms

Array = NDArray[np.float64]
PROGRAM = Program(Path(__file__).with_name("densities.cu"), (vector_terms, scalar_functions))
"""Kernels of densities: ``vector_densities<float>`` and so on, a kind and the type of the events."""
PORTION = 1 << 22
"""Events at a time: some hundred bytes of each."""


def densities(kind: str, data: Sequence[Any], edges: Any, rows: Any, models: int) -> Any:
    """Densities of events in all models, shape (n, n_models), as `event_density.NarrowDensities` has them.

    Args:
        kind: ``vector`` or ``scalar``.
        data: q2, the angles and the flavour of the events, on the device.
        edges: of the cells in q2, there too.
        rows: coefficients, flat, there too.
        models: how many there are.
    """
    cupy = optional("cupy", "device = 'gpu'")
    *floats, flavour = data
    real = "float32" if all(column.dtype == np.float32 for column in floats) else "float64"
    held = [cupy.ascontiguousarray(column, dtype=real) for column in floats]
    n = len(flavour)
    out = cupy.empty((n, models))
    where = np.int64(n), *held, cupy.ascontiguousarray(flavour, dtype=np.int32)
    PROGRAM.launch(f"{kind}_densities<{REAL[real]}>", n, *where, *sized(edges), rows, np.int64(models), out)
    return out


class DeviceWeights:
    """`density_loops.ratios` on the device: weights of events, which of them are impossible, and sums.

    Args:
        kind, edges, rows: those of `densities`, in NumPy's arrays.
        unit: factor on each column of weights.
        averages: whether the source makes events of no known flavour.
    """

    def __init__(self, kind: str, edges: Array, rows: Array, unit: Array, averages: bool) -> None:
        cupy = optional("cupy", "device = 'gpu'")
        self.kind, self.averages, self.models = kind, averages, len(unit) + 1
        self.edges, self.rows, self.unit = cupy.asarray(edges), cupy.asarray(rows), cupy.asarray(unit)
        self.portions = Portions("events", PORTION)

    def __call__(self, columns: Mapping[str, Any], own: Any) -> tuple[Any, Any, Array]:
        """Weights (columns, n) and impossible events (n,) there; sums (columns, bins of q2, 5), their maxima in bin 0.

        Args:
            columns: variables of the density by name, q2 first and the flavour last, on the device.
            own: weights that events have already, None for ones.
        """
        cupy = optional("cupy", "device = 'gpu'")
        data = list(columns.values())
        n = len(data[0])
        found, impossible = cupy.empty((len(self.unit), n)), cupy.empty(n, dtype=bool)
        sums = np.zeros((len(self.unit), BINS, 5))

        def work(low: int, high: int) -> Array:
            some = [column[low:high] for column in data]
            values = densities(self.kind, some, self.edges, self.rows, self.models)
            base = values[:, 0]
            possible = cupy.isfinite(base) & (base > 0.0)
            if not self.averages:
                possible &= cupy.abs(some[-1]) == 1
            ratio = self.unit[:, None] * values[:, 1:].T / cupy.where(possible, base, 1.0)
            found[:, low:high] = cupy.where(possible, ratio, 0.0)
            impossible[low:high] = ~possible
            return _sums(some[0], found[:, low:high], 1.0 if own is None else own[low:high])

        for _, _, part in self.portions.of(work, 0, n):
            sums[..., :4] += part[..., :4]
            sums[..., 4] = np.maximum(sums[..., 4], part[..., 4])
        return found, impossible, sums


def _sums(q2: Any, weights: Any, own: Any) -> Array:
    """Number, sum of w, of w², zeros and the largest of weights times those that events have, by bin of q2."""
    cupy = optional("cupy", "device = 'gpu'")
    place = cupy.clip(q2.astype(np.int64), 0, BINS - 1)
    found = np.zeros((len(weights), BINS, 5))
    number = to_host(cupy.bincount(place, minlength=BINS))
    for row, one in zip(found, weights, strict=True):
        w = one * own
        sums = (cupy.bincount(place, weights=x, minlength=BINS) for x in (w, w * w, (w == 0.0).astype(np.float64)))
        row[:, 0], row[:, 1], row[:, 2], row[:, 3] = number, *map(to_host, sums)
        row[0, 4] = float(cupy.abs(w).max()) if len(w) else 0.0
    return found
