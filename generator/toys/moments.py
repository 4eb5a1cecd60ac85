"""Toys as events: each toy is generated with the exact sampler and reduced to moments in the same loop.

Event i of toy t is event ``t * 2^32 + i`` of the toy's stream, so any toy can be made again as events, alone,
by the ordinary backend. Nothing is stored on the way: a thousand events stay in the cache until their moments
are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.arrays import to_host
from ...kinematics.base.errors import InputError
from ...kinematics.base.jit import inner, kernel
from ...kinematics.base.threads import split_work
from ..sampler.backend import Backend, Columns
from ..sampler.cpu import scalar_range, vector_range
from ..sampler.event import angular_functions, scalar_functions
from ..sampler.rng import counter_words
from ..sampler.tables import Table
from ..statistics.draws import SHIFT

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
PART = 1024
"""Events generated at a time, a multiple of the sampler's blocks."""
STRIDE = PART + 16


@inner
def _vector_functions(cos_k: Any, cos_l: Any, phi: Any, f: Any) -> None:
    real = f.dtype.type
    for i in range(PART):
        (
            f[i],
            f[STRIDE + i],
            f[2 * STRIDE + i],
            f[3 * STRIDE + i],
            f[4 * STRIDE + i],
            f[5 * STRIDE + i],
            f[6 * STRIDE + i],
            f[7 * STRIDE + i],
            f[8 * STRIDE + i],
            f[9 * STRIDE + i],
            f[10 * STRIDE + i],
            f[11 * STRIDE + i],
        ) = angular_functions(real, cos_k[i], cos_l[i], phi[i])


@inner
def _scalar_functions(cos_l: Any, f: Any) -> None:
    real = f.dtype.type
    for i in range(PART):
        f[i], f[STRIDE + i], f[2 * STRIDE + i] = scalar_functions(real(1), cos_l[i])


@inner
def _add_bins(q2: Any, n: Any, f: Any, functions: Any, edges: Any, counts: Any, sums: Any) -> None:
    """Add the first ``n`` events to the bins of their q2; those outside all bins are left out."""
    bins = edges.size - 1
    inside = 0
    for i in range(n):
        inside += 1 if edges[0] <= q2[i] < edges[bins] else 0
    if bins == 1 and inside == n:  # no event has to look for its bin
        counts[0] += n
        for k in range(functions):
            total = 0.0
            for i in range(n):
                total += f[k * STRIDE + i]
            sums[0, k] += total
        return
    for i in range(n):
        b = -1
        for edge in edges:
            b += 1 if q2[i] >= edge else 0
        if 0 <= b < bins:
            counts[b] += 1
            for k in range(functions):
                sums[b, k] += f[k * STRIDE + i]


@kernel
def vector_toys(
    events: Any,
    first: Any,
    start: Any,
    stop: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    alias: Any,
    rows: Any,
    edges: Any,
    counts: Any,
    sums: Any,
) -> None:
    """Moments of rows ``start`` to ``stop`` of the output, for a vector table; row t is toy ``first + t``."""
    real = rows.dtype
    q2, cos_k, cos_l, phi = (
        np.zeros(PART, real),
        np.zeros(PART, real),
        np.zeros(PART, real),
        np.zeros(PART, real),
    )
    flavour = np.empty(PART, np.int32)
    f = np.empty(12 * STRIDE, real)
    for t in range(start, stop):
        origin = (first + t) << SHIFT
        for part in range(0, events[t], PART):
            n = min(events[t] - part, PART)
            begin = origin + part
            vector_range(begin, begin + n, stream, k0, k1, alias, rows, begin, q2, cos_k, cos_l, phi, flavour)
            _vector_functions(cos_k, cos_l, phi, f)
            _add_bins(q2, n, f, 12, edges, counts[t], sums[t])


@kernel
def scalar_toys(
    events: Any,
    first: Any,
    start: Any,
    stop: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    alias: Any,
    rows: Any,
    edges: Any,
    counts: Any,
    sums: Any,
) -> None:
    """The same for a scalar table, functions 1, cos L, cos² L."""
    real = rows.dtype
    q2, cos_l = np.zeros(PART, real), np.zeros(PART, real)
    flavour = np.empty(PART, np.int32)
    f = np.empty(3 * STRIDE, real)
    for t in range(start, stop):
        origin = (first + t) << SHIFT
        for part in range(0, events[t], PART):
            n = min(events[t] - part, PART)
            begin = origin + part
            scalar_range(begin, begin + n, stream, k0, k1, alias, rows, begin, q2, cos_l, flavour)
            _scalar_functions(cos_l, f)
            _add_bins(q2, n, f, 3, edges, counts[t], sums[t])


@dataclass(frozen=True, eq=False)
class ToyMoments:
    """Events and sums of the angular functions of every toy and bin.

    Attributes:
        counts: events in each bin, shape (toys, bins).
        sums: sums of the f_i over them, shape (toys, bins, functions).
    """

    counts: Counts
    sums: Array

    @property
    def means(self) -> Array:
        """Mean f_i, NaN in a bin without events; what ``moments.observables`` takes."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.sums / self.counts[..., None])


def event_moments(
    table: Table,
    events: npt.ArrayLike,
    edges: npt.ArrayLike,
    *,
    seed: int,
    stream: int,
    start: int = 0,
    precision: str = "float64",
    threads: int | None = None,
    device: str = "cpu",
) -> ToyMoments:
    """Generate toys and reduce them to the moments of the angular functions in bins of q2.

    Bitwise the same for any number of threads and any range of toys; a GPU agrees to rounding.

    Args:
        table: node table of the channel, q2 ranges and vetoes included.
        events: number of events of each toy.
        edges: edges of the bins of q2 (GeV²).
        seed: key of the random numbers.
        stream: stream of the random numbers, ``toys.stream_word(sample, EVENTS, channel.index)``.
        start: number of the first toy.
        precision: ``float64`` or ``float32``, of the events; sums are float64.
        threads: all processors if None.
        device: ``cpu`` or ``gpu``; there the events never leave it.
    """
    n = np.ascontiguousarray(events, dtype=np.int64)
    bounds = np.ascontiguousarray(edges, dtype=np.float64)
    if n.ndim != 1 or np.any((n < 0) | (n >= 1 << SHIFT)):
        raise InputError("events: needs one whole number from 0 to 2^32 - 1 for each toy")
    if bounds.size < 2 or not np.all(np.diff(bounds) > 0):
        raise InputError(f"edges = {bounds.tolist()}: needs at least two in increasing order")
    if not 0 <= start <= start + len(n) < 1 << 31:
        raise InputError(f"toys {start}:{start + len(n)}: event toys are numbered from 0 to 2^31 - 1")
    if device == "gpu":
        from .gpu import event_sums

        found = event_sums(table, n, bounds, seed=seed, stream=stream, start=start, precision=precision)
        return ToyMoments(*map(to_host, found))
    (k0, k1), word = counter_words(seed, stream, 0, 1)
    rows = table.packed_float32 if precision == "float32" else table.packed_float64
    size = 12 if table.kind == "vector" else 3
    counts = np.zeros((len(n), bounds.size - 1), dtype=np.int64)
    sums = np.zeros((len(n), bounds.size - 1, size))
    loop = {"vector": vector_toys, "scalar": scalar_toys}[table.kind]
    flat = rows.reshape(-1)

    def work(a: int, b: int) -> None:
        loop(n, start, a, b, word, k0, k1, table.alias, flat, bounds, counts, sums)

    split_work(work, len(n), threads, pieces=8)
    return ToyMoments(counts, sums)


def toy_columns(backend: Backend, table: Table, toy: int, events: int, *, seed: int, stream: int) -> Columns:
    """The events of one toy, by its number: columns as of any generated sample."""
    first = toy << SHIFT
    return backend.generate(table, seed, first, first + events, stream)


def stack_columns(parts: list[Mapping[str, Any]], names: tuple[str, ...], size: int) -> tuple[Array, Array]:
    """Columns of several toys, padded with zeros (toys, size, columns), and the mask (toys, size)."""
    values = np.zeros((len(parts), size, len(names)))
    mask = np.zeros((len(parts), size))
    for t, columns in enumerate(parts):
        n = len(columns[names[0]])
        mask[t, :n] = 1.0
        for k, name in enumerate(names):
            values[t, :n, k] = columns[name]
    return values, mask
