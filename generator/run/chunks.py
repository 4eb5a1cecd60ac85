"""Chunks of a run's events: sampled, moved to the laboratory, passed through stages; several at a time on the CPU.

What is between two loops of compiled code, Python's own work on a chunk, then overlaps with the loops of another one.
Chunks come in their order, and an event's bits do not depend on who made it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.arrays import array_module
from ...kinematics.base.optional import optional
from ..sampler.backend import Backend, CpuBackend
from ..sampler.columns import OF_THE_RUN, SAMPLED
from .device import CHUNK, device_chunks, host_chunks

if TYPE_CHECKING:
    from .card import RunCard
    from .parts import Part

TARGET = 1 << 27
"""Bytes of a chunk, about: what bounds the memory of a run, a few times over."""


def chunk_size(row_bytes: int, backend: Backend) -> int:
    """Events of a chunk: a power of two, fewer of wide rows.

    On the CPU a quarter of a million at most, whose columns caches still hold; a GPU wants more at once.

    >>> [chunk_size(width, CpuBackend("float64", 1)) for width in (56, 200, 800)]
    [262144, 262144, 131072]
    """
    if not isinstance(backend, CpuBackend):
        return CHUNK
    return 1 << min(max((TARGET // row_bytes).bit_length() - 1, 16), 18)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Where a chunk goes: its sampled and constant columns, its momenta (columns, n), and what stages add or change."""

    columns: Mapping[str, Any]
    moved: Any
    added: Mapping[str, Any]

    @classmethod
    def empty(cls, card: RunCard, part: Part, library: Any, n: int, added: Mapping[str, Any]) -> Arrays:
        """Arrays of ``n`` events; ``added`` has the types of the columns that stages add."""
        names = (*part.table.columns, *OF_THE_RUN)
        return cls(
            {name: library.empty(n, dtype=SAMPLED[name].dtype(card.precision)) for name in names},
            library.empty((len(part.momentum_names), n), dtype=card.precision),
            {name: library.empty(n, dtype=kind) for name, kind in added.items()},
        )

    def rows(self, start: int, stop: int) -> Arrays:
        """A part of them."""
        return Arrays(
            {name: array[start:stop] for name, array in self.columns.items()},
            self.moved[:, start:stop],
            {name: array[start:stop] for name, array in self.added.items()},
        )

    def __len__(self) -> int:
        return len(self.columns["event"])


@dataclass(frozen=True, eq=False)
class ChunkMaker:
    """Makes chunks of one channel in the arrays of ``place``; with ``keep``, what stages make goes there too."""

    card: RunCard
    part: Part
    backend: Backend
    threads: int | None
    place: Callable[[int, int], Arrays]
    keep: bool = False

    def make(self, low: int, high: int) -> dict[str, Any]:
        """Columns of the events ``low`` to ``high`` of the channel's stream, after its stages."""
        part, place = self.part, self.place(low, high)
        columns = dict(place.columns)
        self.backend.generate(
            part.table,
            seed=self.card.seed,
            start=low,
            stop=high,
            stream=part.channel.index,
            out={name: columns[name] for name in part.table.columns},
        )
        columns["channel"][...] = part.channel.index
        columns["weight"][...] = 1
        library = array_module(columns["event"])
        columns["event"][...] = library.arange(part.first + low, part.first + high, dtype=np.uint64)
        if part.momenta:
            columns |= self._momenta(columns, low, place.moved)
        made = dict(columns)
        columns = self._staged(columns)
        for name, column in columns.items() if self.keep else ():
            kept = place.added[name] if name in place.added else made[name]
            if column is not kept:  # new, or changed by a stage as a weight may be
                kept[...] = column
        return columns

    def _momenta(self, columns: Mapping[str, Any], start: int, out: Any) -> dict[str, Any]:
        """Momentum columns, made where the other columns are."""
        from ..lab.momenta import momenta

        card = self.card
        return momenta(
            self.part.channel,
            columns,
            card.convention,
            card.beam,
            card.seed,
            start,
            self.threads,
            card.precision,
            model=card.model,
            out=out,
        )

    def _staged(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Columns after the stages of the channel."""
        if self.part.stages:
            from ..lab.stages import Place

            place = Place(self.part.channel, self.card.seed, self.part.first, self.card.model, self.threads)
            for stage in self.part.stages:
                columns = stage.apply(columns, place)
        return columns


def make_chunks(
    card: RunCard, part: Part, backend: Backend, pieces: Sequence[tuple[int, int]], reuse: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Iterate over chunks as NumPy columns in order, with ``reuse`` in arrays that later chunks overwrite.

    Each comes with the number of events that were made for it.
    """
    if isinstance(backend, CpuBackend):
        for (low, high), columns in zip(pieces, make_where_they_are(card, part, backend, pieces, reuse), strict=True):
            yield high - low, columns
    elif pieces:
        for made, columns in host_chunks(*_on_device(card, part, backend, pieces)):
            yield made, columns if reuse else {name: column.copy() for name, column in columns.items()}


def make_on_device(
    card: RunCard, part: Part, backend: Backend, pieces: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """`make_chunks` of a GPU whose columns stay there, in arrays that later chunks overwrite."""
    if pieces:
        for low, high, columns in device_chunks(*_on_device(card, part, backend, pieces)):
            yield high - low, columns


def _on_device(card: RunCard, part: Part, backend: Backend, pieces: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
    """What `device.device_chunks` takes."""
    places = _places(card, part, backend, reuse=True)
    size = max(high - low for low, high in pieces)
    first, stop = pieces[0][0], pieces[-1][1]
    return lambda: ChunkMaker(card, part, backend, card.threads, places()).make, first, stop, size


def make_where_they_are(
    card: RunCard, part: Part, backend: Backend, pieces: Sequence[tuple[int, int]], reuse: bool
) -> Iterator[dict[str, Any]]:
    """Iterate over chunks in order in the library of their backend; see `make_chunks`."""
    places = _places(card, part, backend, reuse)
    yield from _stream(
        lambda backend, threads: ChunkMaker(card, part, backend, threads, places()), part, backend, card.threads, pieces
    )


def _places(card: RunCard, part: Part, backend: Backend, reuse: bool) -> Callable[[], Callable[[int, int], Arrays]]:
    """What returns, for each maker of its own, where a chunk goes: always to the same arrays with ``reuse``."""
    library = _library(backend)

    def places() -> Callable[[int, int], Arrays]:
        kept: list[Arrays] = []

        def place(low: int, high: int) -> Arrays:
            if not kept or not reuse or len(kept[0]) < high - low:
                kept[:] = [Arrays.empty(card, part, library, high - low, {})]
            return kept[0].rows(0, high - low)

        return place

    return places


def gather(chunks: Iterator[tuple[int, dict[str, Any]]], most: int) -> dict[str, Any]:
    """Columns of all chunks, ``most`` rows in all or fewer.

    >>> gather(iter([(2, {"q2": np.array([1.0, 2.0])}), (3, {"q2": np.array([3.0])})]), 5)
    {'q2': array([1., 2., 3.])}
    """
    found: dict[str, Any] = {}
    at = 0
    for _, columns in chunks:
        found = found or {name: np.empty(most, dtype=column.dtype) for name, column in columns.items()}
        n = len(columns["q2"])
        for name, column in columns.items():
            found[name][at : at + n] = column
        at += n
    return found if at == most else {name: column[:at].copy() for name, column in found.items()}


def collect(
    card: RunCard, part: Part, backend: Backend, pieces: Sequence[tuple[int, int]], types: Mapping[str, Any]
) -> dict[str, Any]:
    """All events of a channel in memory, made where they stay; of a channel whose stages leave none out.

    ``types`` are those of all columns.
    """
    first, stop = pieces[0][0], pieces[-1][1]
    added = {name: types[name] for name in part.columns if name not in part.made}
    arrays = Arrays.empty(card, part, _library(backend), stop - first, added)

    def place(low: int, high: int) -> Arrays:
        return arrays.rows(low - first, high - first)

    for _ in _stream(
        lambda backend, threads: ChunkMaker(card, part, backend, threads, place, keep=True),
        part,
        backend,
        card.threads,
        pieces,
    ):
        pass
    momenta = dict(zip(part.momentum_names, arrays.moved, strict=True))
    return {**arrays.columns, **momenta, **arrays.added}


def _stream(
    maker_of: Callable[[Backend, int | None], ChunkMaker],
    part: Part,
    backend: Backend,
    threads: int | None,
    pieces: Sequence[tuple[int, int]],
) -> Iterator[dict[str, Any]]:
    """Chunks in order; on the CPU each thread makes one of its own if there are enough of them."""
    workers = backend.threads if isinstance(backend, CpuBackend) else 1
    if workers == 1 or len(pieces) < 2 * workers:
        maker = maker_of(backend, threads)
        for piece in pieces:
            yield maker.make(*piece)
        return
    part.table.arrays(backend.precision)  # once, before several threads ask for it
    alone = replace(backend, threads=1)  # type: ignore[type-var]   # a CpuBackend
    # one maker more than threads: the reader holds one chunk while the threads make the next ones
    makers = cycle([maker_of(alone, 1) for _ in range(workers + 1)])
    waiting: deque[Future[dict[str, Any]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for maker, piece in zip(makers, pieces, strict=False):
                waiting.append(pool.submit(maker.make, *piece))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _library(backend: Backend) -> Any:
    """Array library of a backend's events."""
    if isinstance(backend, CpuBackend):
        return np
    return optional("cupy", "device = 'gpu'")
