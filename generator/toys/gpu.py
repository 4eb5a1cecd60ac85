"""Toys on a GPU: CUDA kernels over the functions that the CPU uses too. Imported only where a GPU is asked for.

Counts: a thread draws whole numbers, the same as the CPU's but where a libm function rounds differently at the edge of
an acceptance. Event toys: ``SLICES`` threads share a toy, each adds its own events in order to its own sums, and the
slices are added afterwards: the result does not depend on scheduling, and agrees with the CPU to rounding.

``poisson_counts`` and ``event_sums`` return CuPy arrays; ``likelihood_ratio``, ``fit_counts`` and ``ratio_estimate`` go
on with them on the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import cuda

from ...kinematics.base.optional import optional
from ...kinematics.trig import double_precision
from ..sampler.event import (
    CALL,
    SCALAR_LOW,
    SCALAR_ROW,
    VECTOR_LOW,
    VECTOR_ROW,
    angular_functions,
    quad,
    scalar_event,
    scalar_functions,
    scalar_words,
    vector_event,
    vector_words,
)
from ..sampler.rng import counter_words, pick_entry
from ..sampler.tables import Table
from ..statistics.draws import BINS, COUNTS, SHIFT, poisson, stream_word

THREADS = 128
BLOCKS_MAX = 4096
SLICES = 32
"""Threads that share an event toy."""


def poisson_kernel(
    mean: Any, shared: Any, bins: Any, first: Any, n: Any, stream: Any, k0: Any, k1: Any, out: Any
) -> None:
    """Counts of ``n`` numbers (toys times bins, flat) from toy ``first`` on; ``shared``: all toys have one mean."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        t, b = i // bins, i % bins
        toy = np.uint64(first + t)
        mu = mean[b] if shared else mean[i]
        low, high = np.uint32(toy), np.uint32(toy >> np.uint64(32))
        out[i] = poisson(mu, low, high, np.uint32(BINS + (b << 12)), stream, k0, k1)


def vector_toys_kernel(
    events: Any, first: Any, n: Any, stream: Any, k0: Any, k1: Any, alias: Any, rows: Any, edges: Any, sums: Any
) -> None:
    """Sums of 1 and the f_i of every slice of every toy and bin, flat (toys, slices, bins, 13)."""
    real = rows.dtype.type
    bins = edges.size - 1
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        t, piece = i // SLICES, i % SLICES
        high = np.uint32(first + t)
        for e in range(piece, events[t], SLICES):
            low = np.uint32(e)
            w = vector_words(low, high, stream, k0, k1, np.uint32(CALL))
            v = vector_words(low, high, stream, k0, k1, np.uint32(VECTOR_LOW)) if double_precision(real) else w
            k = np.intp(pick_entry(w[0], alias)) * VECTOR_ROW
            row = quad(rows, k, 1) + quad(rows, k + 4, 1) + quad(rows, k + 8, 1) + quad(rows, k + 12, 1)
            q2, cos_k, cos_l, phi, _ = vector_event(real, w, v, row)
            b = -1
            for edge in range(bins + 1):
                b += 1 if q2 >= edges[edge] else 0
            if 0 <= b < bins:
                f = angular_functions(real, cos_k, cos_l, phi)
                place = (i * bins + b) * 13
                sums[place] += 1.0
                sums[place + 1] += f[0]
                sums[place + 2] += f[1]
                sums[place + 3] += f[2]
                sums[place + 4] += f[3]
                sums[place + 5] += f[4]
                sums[place + 6] += f[5]
                sums[place + 7] += f[6]
                sums[place + 8] += f[7]
                sums[place + 9] += f[8]
                sums[place + 10] += f[9]
                sums[place + 11] += f[10]
                sums[place + 12] += f[11]


def scalar_toys_kernel(
    events: Any, first: Any, n: Any, stream: Any, k0: Any, k1: Any, alias: Any, rows: Any, edges: Any, sums: Any
) -> None:
    """The same for a scalar table: 1, then 1, cos L, cos² L; flat (toys, slices, bins, 4)."""
    real = rows.dtype.type
    bins = edges.size - 1
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        t, piece = i // SLICES, i % SLICES
        high = np.uint32(first + t)
        for e in range(piece, events[t], SLICES):
            low = np.uint32(e)
            w = scalar_words(low, high, stream, k0, k1, np.uint32(CALL))
            v = scalar_words(low, high, stream, k0, k1, np.uint32(SCALAR_LOW)) if double_precision(real) else w
            k = np.intp(pick_entry(w[0], alias)) * SCALAR_ROW
            row = quad(rows, k, 1) + quad(rows, k + 4, 1)
            q2, cos_l, _ = scalar_event(real, w, v, row)
            b = -1
            for edge in range(bins + 1):
                b += 1 if q2 >= edges[edge] else 0
            if 0 <= b < bins:
                place = (i * bins + b) * 4
                sums[place] += 1.0
                g = scalar_functions(real(1), cos_l)
                sums[place + 1] += g[0]
                sums[place + 2] += g[1]
                sums[place + 3] += g[2]


KERNELS: Mapping[str, Any] = MappingProxyType(
    {"poisson": poisson_kernel, "vector": vector_toys_kernel, "scalar": scalar_toys_kernel}
)
_COMPILED: Mapping[str, Any] = MappingProxyType({name: cuda.jit(kernel) for name, kernel in KERNELS.items()})


def _launch(name: str, n: int, *arguments: Any) -> None:
    blocks = min((n + THREADS - 1) // THREADS, BLOCKS_MAX)
    _COMPILED[name][blocks, THREADS](*arguments)


def poisson_counts(mean: Any, toys: int, *, seed: int, start: int = 0, sample: int = 0, library: Any = None) -> Any:
    """Counts of toys ``start`` to ``start + toys`` as ``toys.draw_poisson`` makes them, on the device.

    Args:
        mean: expected counts, shape (bins,) or (toys, bins).
        toys: number of toys.
        seed: key of the random numbers.
        start: number of the first toy.
        sample: number of the set of toys.
        library: array library that holds the result; CuPy if None (NumPy under Numba's simulator).
    """
    xp = _library(library)
    mu = xp.asarray(mean, dtype=np.float64)
    shared = mu.ndim == 1
    bins = mu.shape[-1]
    key, stream = counter_words(seed, stream_word(sample, COUNTS), 0, 1)
    out = xp.empty(toys * bins, dtype=np.int64)
    _launch("poisson", out.size, mu.reshape(-1), shared, bins, start, out.size, stream, *key, out)
    return out.reshape(toys, bins)


def event_sums(
    table: Table,
    events: Any,
    edges: Any,
    *,
    seed: int,
    stream: int,
    start: int = 0,
    precision: str = "float32",
    library: Any = None,
) -> tuple[Any, Any]:
    """Counts (toys, bins) and sums of the f_i (toys, bins, functions) of event toys, as ``event_moments``."""
    xp = _library(library)
    n = xp.asarray(events, dtype=np.int64)
    bounds = xp.asarray(edges, dtype=np.float64)
    size = 13 if table.kind == "vector" else 4
    key, word = counter_words(seed, stream, start << SHIFT, (start << SHIFT) + 1)
    rows = table.packed_float32 if precision == "float32" else table.packed_float64
    sums = xp.zeros(n.size * SLICES * (bounds.size - 1) * size, dtype=np.float64)
    _launch(
        table.kind,
        n.size * SLICES,
        n,
        start,
        n.size * SLICES,
        word,
        *key,
        xp.asarray(table.alias),
        xp.asarray(rows.reshape(-1)),
        bounds,
        sums,
    )
    total = sums.reshape(n.size, SLICES, bounds.size - 1, size).sum(axis=1)
    return total[..., 0].astype(np.int64), total[..., 1:]


def _library(library: Any) -> Any:
    if library is not None:
        return library
    return optional("cupy", "device = 'gpu'")
