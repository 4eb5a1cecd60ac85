"""The events of a run in order, chunk by chunk: made here or on a cluster, or made before and kept beside the output.

A long run keeps its chunks until its files are whole, so that one that was killed, preempted or stopped by Ctrl-C goes
on from the last of them: the same command then reads what is there and makes the rest. An event depends on the card and
its number alone, so nobody can tell from the file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.sources import source_fingerprint
from ..files.joined import run_key
from ..files.pieces import Pieces, Span
from ..sampler.backend import CpuBackend, select_backend
from .card import RunCard
from .chunks import Arrays, ChunkMaker, gather, make_chunks
from .device import on_own_device
from .parts import Part
from .plan import Plan
from .workers import Workers

CARRIED = 1 << 22
"""Events of a chunk that a worker's GPU makes and sends."""
LONG = 1 << 24
"""Events from which on a run is long: its chunks are kept until its files are whole."""
Columns = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Elsewhere:
    """Makes chunks of a channel on one thread of whoever has it, or on a GPU of theirs."""

    card: RunCard
    part: Part
    device: str = "cpu"

    def __call__(self, low: int, high: int) -> dict[str, Any]:
        if self.device == "gpu":
            found: dict[str, Any] = on_own_device(self._on_gpu, low, high)
            return found
        backend = CpuBackend(self.card.precision, 1)
        return ChunkMaker(self.card, self.part, backend, 1, self._place).make(low, high)

    def _on_gpu(self, low: int, high: int) -> dict[str, Any]:
        backend = select_backend("gpu", self.card.precision)
        return gather(make_chunks(self.card, self.part, backend, [(low, high)], reuse=True), high - low)

    def _place(self, low: int, high: int) -> Arrays:
        return Arrays.empty(self.card, self.part, np, high - low, {})


class EventStream:
    """The chunks of a run, channel by channel.

    Attributes:
        kept: those that are kept; None if the run is short or the disk has no room for them.

    Args:
        plan: the run, whose files are locked by who writes them.
        chunk: events of a chunk, if not as many as suit their width.
        workers: who makes them.
    """

    def __init__(self, plan: Plan, workers: Workers, chunk: int | None = None) -> None:
        if chunk is None and workers.dask is not None and plan.backend.name == "gpu":
            chunk = CARRIED
        self.plan, self.workers, self.chunk = plan, workers, chunk
        self.kept = kept_pieces(plan)

    def chunks(self, part: Part, use: Callable[[Columns], None], progress: Callable[[int], None] | None) -> None:
        """Call ``use`` with every chunk of a channel, in order; it may keep nothing of it."""
        with ThreadPoolExecutor(1) as pool:
            for there, group in groupby(self._spans(part), key=lambda found: found[1]):
                spans = [span for span, _ in group]
                for span, columns in self._read(part, spans) if there else self._made(part, spans):
                    saving = None if there or self.kept is None else pool.submit(self._keep, part, span, columns)
                    use(columns)
                    if saving is not None:
                        saving.result()
                    if progress is not None:
                        progress(span[1] - span[0])

    def _spans(self, part: Part) -> Iterator[tuple[Span, bool]]:
        """The chunks of a channel in order, and whether they are kept from an earlier start."""
        have, stop = self.plan.span(part)
        known = [(low - part.first, high - part.first) for low, high in (self.kept.spans if self.kept else ())]
        for low, high in [*known, (stop, stop)]:
            if have <= low and high <= stop:
                yield from ((span, False) for span in self.plan.pieces(part, self.chunk, (have, low)))
                if low < high:
                    yield (low, high), True
                have = high

    def discard(self) -> None:
        """Remove what is kept, once the files are whole."""
        if self.kept is not None:
            self.kept.discard()

    def _made(self, part: Part, spans: list[Span]) -> Iterator[tuple[Span, Columns]]:
        if self.workers.dask is not None:
            yield from self.workers.in_order(_Elsewhere(self.plan.card, part, self.plan.backend.name), spans)
            return
        have = spans[0][0]
        for made, columns in make_chunks(self.plan.card, part, self.plan.backend, spans, reuse=True):
            yield (have, have + made), columns  # a GPU's come in smaller portions
            have += made

    def _read(self, part: Part, spans: list[Span]) -> Iterator[tuple[Span, Columns]]:
        for span in spans:
            columns = self.kept.read(_in_run(part, span)) if self.kept is not None else None
            if columns is None:  # damaged
                yield from self._made(part, [span])
            else:
                yield span, columns

    def _keep(self, part: Part, span: Span, columns: Columns) -> None:
        try:
            if self.kept is not None:
                self.kept.keep(_in_run(part, span), columns)
        except InputError:  # the disk is full: the events matter more
            self.discard()
            self.kept = None


def _in_run(part: Part, span: Span) -> Span:
    """Events of a channel by their numbers in the run."""
    return part.first + span[0], part.first + span[1]


def kept_pieces(plan: Plan) -> Pieces | None:
    """Where chunks of a run are kept, with those of an earlier start; None if the run is short or there is no room."""
    files = plan.card.files()
    if plan.stop - plan.start < LONG or not files:
        return None
    target = next(iter(files))
    provenance = plan.provenance(plan.card.channels)
    on = [run_key(provenance), source_fingerprint(), provenance["machine"], str(provenance["versions"])]
    pieces = Pieces(target, sha256(" ".join(on).encode()).hexdigest()[:32])
    size = sum(plan.rows((part.channel.name,)) * plan.row_bytes((part.channel.name,)) for part in plan.parts)
    if not pieces.spans and shutil.disk_usage(pieces.folder.parent).free < 2 * size:
        return None
    return pieces


def kept_events(plan: Plan) -> int:
    """Events of a run that are kept from an earlier start of it.

    >>> from darkpenguin.generator.run.card import make_card
    >>> from darkpenguin.generator.run.plan import plan_run
    >>> kept_events(plan_run(make_card(channels="B+->K+mumu", events=10, output="x.root")))
    0
    """
    pieces = kept_pieces(plan)
    return sum(stop - start for start, stop in pieces.spans) if pieces is not None else 0
