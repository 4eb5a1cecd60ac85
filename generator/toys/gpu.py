"""Toys on a CUDA device: kernels over the functions that the CPU uses too.

Counts: a thread draws whole numbers, the same as the CPU's but where a function of the mathematical library rounds
differently at the edge of an acceptance. Event toys: ``SLICES`` threads share a toy, each adds its own events in order
to its own sums, and the slices are added afterwards: the result does not depend on scheduling, and agrees with the CPU
to rounding.

``poisson_counts`` and ``event_sums`` return CuPy arrays; ``likelihood_ratio``, ``fit_counts`` and ``ratio_estimate`` go
on with them on the device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.cuda import REAL, Program, sized
from ...kinematics.base.optional import optional
from ...kinematics.trig import double_precision
from ..sampler import event
from ..sampler.rng import counter_words, pick_entry
from ..sampler.tables import Table
from ..statistics.draws import BINS, COUNTS, SHIFT, poisson, stream_word

SLICES = 32
"""Threads that share an event toy."""
PROGRAM = Program(
    Path(__file__).with_name("toys.cu"),
    (
        *(double_precision, pick_entry, poisson),
        *(event.vector_words, event.vector_event, event.angular_functions),
        *(event.scalar_words, event.scalar_event, event.scalar_functions),
    ),
    {"BINS": BINS, "SLICES": SLICES}
    | {name: getattr(event, name) for name in ("CALL", "VECTOR_LOW", "SCALAR_LOW", "VECTOR_ROW", "SCALAR_ROW")},
)
"""Kernels of toys: ``poisson_kernel``, ``vector_toys<float>`` and so on."""
_SUMS = {"vector": 13, "scalar": 4}  # an event, and the functions of its angles
_PORTION = 1 << 27  # bytes of sums at a time, about


def poisson_counts(mean: Any, toys: int, *, seed: int, start: int = 0, sample: int = 0) -> Any:
    """Counts of toys ``start`` to ``start + toys`` as ``draws.draw_poisson`` makes them, on the device.

    Args:
        mean: expected counts, shape (bins,) or (toys, bins).
        toys: number of toys.
        seed: key of the random numbers.
        start: number of the first toy.
        sample: number of the set of toys.
    """
    cupy = optional("cupy", "device = 'gpu'")
    mu = cupy.ascontiguousarray(cupy.asarray(mean, dtype=np.float64))
    bins = mu.shape[-1]
    key, stream = counter_words(seed, stream_word(sample, COUNTS), 0, 1)
    out = cupy.empty((toys, bins), dtype=np.int64)
    where = (np.int64(bins), np.int64(start), np.int64(out.size), stream, *key)
    PROGRAM.launch("poisson_kernel", out.size, mu, np.bool_(mu.ndim == 1), *where, out)
    return out


def event_sums(
    table: Table,
    events: Any,
    edges: Any,
    *,
    seed: int,
    stream: int,
    start: int = 0,
    precision: str = "float32",
) -> tuple[Any, Any]:
    """Counts (toys, bins) and sums of the f_i (toys, bins, functions) of event toys, as ``moments.event_moments``."""
    cupy = optional("cupy", "device = 'gpu'")
    numbers = cupy.asarray(events, dtype=np.int64)
    bounds = cupy.asarray(edges, dtype=np.float64)
    key, word = counter_words(seed, stream, start << SHIFT, (start << SHIFT) + 1)
    read = sized(*map(cupy.asarray, table.arrays(precision)), bounds)
    bins, size = bounds.size - 1, _SUMS[table.kind]
    found = cupy.empty((numbers.size, bins, size), dtype=np.float64)
    portion = max(1, _PORTION // (8 * bins * size * SLICES))
    for low in range(0, numbers.size, portion):
        part = numbers[low : low + portion]
        sums = cupy.zeros((part.size, bins, size, SLICES), dtype=np.float64)
        n = part.size * SLICES
        where = (np.int64(start + low), np.int64(n), word, *key)
        PROGRAM.launch(f"{table.kind}_toys<{REAL[precision]}>", n, part, *where, *read, sums)
        found[low : low + portion] = sums.sum(axis=-1)
    return found[..., 0].astype(np.int64), found[..., 1:]
