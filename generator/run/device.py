"""Chunks of a run's events on a GPU: as many at a time as its memory holds, and their way back to the host.

A chunk stays on the device through all of its stages, and is reduced to histograms there if that is all that is wanted.
Rows that are kept cross the bus once, into pinned memory and asynchronously, a slice at a time: the next one is on its
way while the last one is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import readable_size
from ...kinematics.base.optional import optional
from ...kinematics.base.portions import Portions
from .workers import worker_number

CHUNK = 1 << 25
"""Events of a chunk on a device: enough to fill it, while launches and Python cost nothing beside them."""
FEWEST = 1 << 16
"""A device that does not hold as many as these is not used."""
_SLICE = 1 << 20  # events copied at a time
Columns = dict[str, Any]
Make = Callable[[int, int], Columns]


def host_chunks(maker: Callable[[], Make], first: int, stop: int, size: int) -> Iterator[tuple[int, Columns]]:
    """Iterate over slices of the events ``first`` to ``stop`` as NumPy columns that the next slice but one overwrites.

    Args:
        maker: returns what makes the columns of a range of events on the device, with no memory of a former one.
        first: first event of the channel's stream.
        stop: the first one after the last.
        size: events of a chunk on the device, at most.

    Yields:
        The number of events that were made for a slice, and what its stages left of them.

    Raises:
        InputError: the device's memory is too small for any chunk.
    """
    copies = Copies()
    for low, high, columns in device_chunks(maker, first, stop, size):
        n = len(columns["q2"])
        parts = max(1, -(-n // _SLICE))
        shares = np.diff(np.arange(parts + 1) * (high - low) // parts).tolist()
        yield from zip(shares, copies.slices(columns, n), strict=True)


def device_chunks(maker: Callable[[], Make], first: int, stop: int, size: int) -> Iterator[tuple[int, int, Columns]]:
    """Iterate over chunks of ``size`` events as columns on the device, halved whenever its memory is full.

    They are cut at multiples of the size. Arguments and errors are those of `host_chunks`; yields the first event of a
    chunk, the one after its last, and its columns.
    """
    making = [maker()]

    def renew() -> None:
        making[0] = maker()

    yield from Portions("events", size, FEWEST).of(lambda low, high: making[0](low, high), first, stop, renew)


class Copies:
    """Two sets of pinned buffers, filled in turn on a stream of their own."""

    def __init__(self) -> None:
        self.cupy = optional("cupy", "device = 'gpu'")
        self.stream = self.cupy.cuda.Stream(non_blocking=True)
        self.buffers: tuple[Columns, Columns] = ({}, {})

    def slices(self, columns: Mapping[str, Any], n: int) -> Iterator[Columns]:
        """Columns on the device as NumPy columns, a slice at a time; one without rows if there are none."""
        self.stream.wait_event(self.cupy.cuda.get_current_stream().record())
        starts = range(0, max(n, 1), _SLICE)
        coming = self._start(columns, 0, n)
        for i, _ in enumerate(starts):
            here = coming
            self.stream.synchronize()
            if i + 1 < len(starts):
                coming = self._start(columns, i + 1, n)
            yield here

    def _start(self, columns: Mapping[str, Any], i: int, n: int) -> Columns:
        """Start to copy slice ``i``; its columns are there once the stream has been waited for."""
        low, high = i * _SLICE, min((i + 1) * _SLICE, n)
        buffers, found = self.buffers[i % 2], {}
        for name, column in columns.items():
            if name not in buffers or len(buffers[name]) < high - low:
                memory = self.cupy.cuda.alloc_pinned_memory(max(1, min(_SLICE, n)) * column.dtype.itemsize)
                buffers[name] = np.frombuffer(memory, column.dtype, max(1, min(_SLICE, n)))
            found[name] = buffers[name][: high - low]
            if high > low:
                column[low:high].get(stream=self.stream, out=found[name], blocking=False)
        return found


def on_own_device(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Do some work on the GPU of this worker of a cluster: each has its own where a machine has several.

    Workers that see one device each (CUDA_VISIBLE_DEVICES) have that one.
    """
    cupy = optional("cupy", "device = 'gpu'")
    with cupy.cuda.Device(worker_number() % max(1, cupy.cuda.runtime.getDeviceCount())):
        return work(*arguments, **keywords)


def check_device_memory(n_bytes: int) -> None:
    """Check that a sample fits into the free memory of the device.

    Raises:
        InputError: it does not.
    """
    cupy = optional("cupy", "library = 'cupy'")
    free = int(cupy.cuda.runtime.memGetInfo()[0])
    if n_bytes > free:
        raise InputError(
            f"library = 'cupy': the sample takes {readable_size(n_bytes)} and the device has {readable_size(free)} "
            "free; ask for fewer events or a part (range), or for NumPy columns (library = 'numpy')"
        )
