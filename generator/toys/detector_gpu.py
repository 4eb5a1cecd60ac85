"""Event toys behind a detector on a CUDA device: many toys a step, by array code, with the random numbers of the CPU.

A row holds a toy, as long as the longest of them: events are pure functions of their numbers, so that what a toy has
not is made and left out. Counts are the CPU's, and sums to rounding, in whatever portions the toys are made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kinematics.base.arrays import to_host
from ...kinematics.base.optional import optional
from ..sampler.backend import GpuBackend, SampledTable
from ..sampler.calls import TOY_THINNING
from ..sampler.tables import density_of
from ..statistics.draws import SHIFT
from .detector import Array, ChannelDetector, ObservedToys, uniforms

PORTION = 1 << 21
"""Events at a time: a kilobyte of each."""


def observed_toys(
    table: SampledTable,
    detector: ChannelDetector,
    events: Any,
    edges: Any,
    *,
    seed: int,
    stream: int,
    start: int = 0,
    moments: bool = True,
    keep: Array | None = None,
) -> ObservedToys:
    """`detector.observed_toys` on the device; arguments and result, in NumPy's arrays, are those."""
    numbers = np.asarray(events, dtype=np.int64)
    step = max(1, PORTION // max(1, int(numbers.max(initial=0))))
    parts = [
        _portion(
            table,
            detector,
            numbers[low : low + step],
            np.asarray(edges, dtype=float),
            (seed, stream, start + low),
            moments,
            None if keep is None else keep[low : low + step],
        )
        for low in range(0, len(numbers), step)
    ]
    return ObservedToys(*(np.concatenate([to_host(part[i]) for part in parts]) for i in range(3)))


def _portion(
    table: SampledTable,
    detector: ChannelDetector,
    numbers: Any,
    edges: Array,
    where: tuple[int, int, int],
    moments: bool,
    keep: Array | None,
) -> tuple[Any, Any, Any]:
    """Counts, means and covariances of toys that fit into the memory together."""
    cupy = optional("cupy", "device = 'gpu'")
    seed, stream, start = where
    toys, width, bins = len(numbers), max(1, int(numbers.max())), len(edges) - 1
    firsts = [(start + t) << SHIFT for t in range(toys)]
    made = [GpuBackend("float64").generate(table, seed, first, first + width, stream) for first in firsts]
    columns = {name: cupy.concatenate([one[name] for one in made]) for name in made[0]}
    place = cupy.arange(toys * width) % width
    toy = cupy.arange(toys * width) // width
    events = (cupy.asarray(np.array(firsts, dtype=np.uint64))[:, None] + cupy.arange(width, dtype=np.uint64)).ravel()
    reco = detector.observe(columns, events, seed, stream)
    found = cupy.searchsorted(cupy.asarray(edges), reco, side="right") - 1
    inside = (found >= 0) & (found < bins) & ~cupy.isnan(reco) & (place < cupy.asarray(numbers)[toy])
    if keep is not None:
        kept = cupy.asarray(keep)[toy, cupy.clip(found, 0, bins - 1)]
        inside &= uniforms(events, seed, stream, TOY_THINNING.first)[0] < kept
    found = cupy.where(inside, found, bins).reshape(toys, width)
    counts = cupy.stack([(found == b).sum(axis=1) for b in range(bins)], axis=1)
    if not moments:
        return counts, cupy.empty((toys, bins, 0)), cupy.empty((toys, bins, 0, 0))
    density = density_of(detector.channel)
    f = density.basis(*(columns[name] for name in density.angles)).reshape(-1, toys, width).transpose(1, 0, 2)
    weights = detector.weights(columns).reshape(toys, width)
    means, covariances = [], []
    for b in range(bins):
        w = cupy.where(found == b, weights, 0.0)
        total = w.sum(axis=1)
        mean = (f * w[:, None]).sum(axis=2) / total[:, None]  # NaN without events
        shift = (f - mean[:, :, None]) * w[:, None]
        means.append(mean)
        covariances.append(shift @ shift.transpose(0, 2, 1) / (total**2)[:, None, None])
    return counts, cupy.stack(means, axis=1), cupy.stack(covariances, axis=1)
