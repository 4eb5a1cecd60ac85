"""Chunks of a run's events: sampled, moved to the laboratory, passed through stages; several at a time on the CPU.

What is between two loops of compiled code, Python's own work on a chunk, then overlaps with the loops of another one.
Chunks come in their order, and an event's bits do not depend on who made it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Backend, CpuBackend

if TYPE_CHECKING:
    from .generate import Part
    from .runcard import RunCard

TARGET = 1 << 27
"""Bytes of a chunk, about: what bounds the memory of a run, a few times over."""


def chunk_size(row_bytes: int) -> int:
    """Events of a chunk: a power of two, a million of narrow rows and fewer of wide ones.

    >>> chunk_size(56), chunk_size(200)
    (1048576, 524288)
    """
    return 1 << min(max((TARGET // row_bytes).bit_length() - 1, 16), 20)


class ChunkMaker:
    """Makes chunks of one channel; with ``reuse`` into arrays that the next chunk overwrites."""

    def __init__(self, card: RunCard, part: Part, backend: Backend, reuse: bool, threads: int | None) -> None:
        self.card, self.part, self.backend, self.reuse, self.threads = card, part, backend, reuse, threads
        self._sampled: dict[str, Any] = {}
        self._constant: dict[str, Any] = {}
        self._moved: Any = None
        self._rows = 0

    def make(self, low: int, high: int) -> dict[str, Any]:
        """Columns of the events ``low`` to ``high`` of the channel's stream, after its stages."""
        n, part = high - low, self.part
        fits = self.reuse and n <= self._rows
        out = {name: array[:n] for name, array in self._sampled.items()} if fits else None
        sampled = self.backend.generate(part.table, seed=self.card.seed, start=low, stop=high,
                                        stream=part.channel.index, out=out)
        library = array_library(sampled["q2"])
        if not fits:
            self._rows, self._sampled = n, dict(sampled)
            self._constant = {"channel": library.full(n, part.channel.index, dtype=np.int32),
                              "event": library.arange(n, dtype=np.uint64),
                              "weight": library.ones(n, dtype=self.card.precision)}
            if part.momenta:
                self._moved = library.empty((len(part.momentum_names), n), dtype=self.card.precision)
        columns = dict(sampled) | {name: array[:n] for name, array in self._constant.items()}
        columns["event"] += np.uint64(part.first + low) - columns["event"][0]
        if part.momenta:
            columns |= self._momenta(columns, low, self._moved[:, :n])
        return self._staged(columns)

    def _momenta(self, columns: Mapping[str, Any], start: int, out: Any) -> dict[str, Any]:
        """Momentum columns, made where the other columns are."""
        from .momenta import momenta

        card = self.card
        return momenta(self.part.channel, columns, card.convention, card.beam, card.seed, start, self.threads,
                       card.precision, model=card.model, out=out)

    def _staged(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Columns after the stages of the channel."""
        if self.part.stages:
            from .stages import Place

            place = Place(self.part.channel, self.card.seed, self.part.first, self.card.model, self.threads)
            for stage in self.part.stages:
                columns = stage.apply(columns, place)
        return columns


def make_chunks(
    card: RunCard, part: Part, backend: Backend, pieces: Sequence[tuple[int, int]], reuse: bool
) -> Iterator[dict[str, Any]]:
    """Iterate over chunks in order; on the CPU each thread makes one of its own if there are enough of them."""
    workers = backend.threads if isinstance(backend, CpuBackend) else 1
    if workers == 1 or len(pieces) < 2 * workers:
        maker = ChunkMaker(card, part, backend, reuse, card.threads)
        for piece in pieces:
            yield maker.make(*piece)
        return
    part.table.arrays(backend.precision)   # once, before several threads ask for it
    alone = replace(backend, threads=1)    # type: ignore[type-var]   # a CpuBackend
    # one maker more than threads: the reader holds one chunk while the threads make the next ones
    makers = cycle([ChunkMaker(card, part, alone, reuse, 1) for _ in range(workers + 1)])
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


def array_library(array: Any) -> Any:
    """Module whose functions make arrays like this one: NumPy or CuPy.

    >>> array_library(np.zeros(1)).__name__
    'numpy'
    """
    if isinstance(array, np.ndarray):
        return np
    import importlib

    return importlib.import_module(type(array).__module__.partition(".")[0])
