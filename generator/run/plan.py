"""From a card to what will be done: tables, yields, stages, backend."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.arrays import array_module
from ...kinematics.base.checks import MAXIMUM_EVENTS
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ...physics.models import check_partial_widths, check_single_precision
from ..files.columns import ordered
from ..files.provenance import PROVENANCE_VERSION, machine, package_versions
from ..lab import table
from ..lab.radiation import RadiationSettings, RadiationStage
from ..sampler.backend import Backend, select_backend
from ..sampler.calls import RUN_YIELDS
from ..sampler.columns import Column
from ..sampler.stored import sampling_table
from .accepted import events_to_try
from .card import RunCard
from .chunks import chunk_size, collect, gather, make_chunks, make_on_device, make_where_they_are
from .parts import Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..lab.stages import Stage


@dataclass(frozen=True)
class Plan:
    """A run that is ready to start: tables built, yields drawn, backend chosen.

    Attributes:
        card: what was asked for.
        parts: one entry a channel.
        start: first event to make.
        stop: first event after those to make.
        backend: where the events are made.
    """

    card: RunCard
    parts: tuple[Part, ...]
    start: int
    stop: int
    backend: Backend

    @property
    def total(self) -> int:
        """Events of the whole run."""
        return sum(part.count for part in self.parts)

    def span(self, part: Part) -> tuple[int, int]:
        """Return the first event of a channel's own stream to make, and the first one after."""
        start = min(max(self.start - part.first, 0), part.count)
        stop = min(max(self.stop - part.first, 0), part.count)
        return start, stop

    def schema(self, channels: Sequence[str]) -> dict[str, np.dtype[Any]]:
        """Return the column types of a file with these channels: the union of their columns."""
        return {name: column.dtype(self.card.precision) for name, column in self._columns(channels).items()}

    def _columns(self, channels: Sequence[str]) -> dict[str, Column]:
        """Return the columns of a file with these channels, in its order."""
        found = {name: column for part in self._parts(channels) for name, column in part.columns.items()}
        return {name: found[name] for name in ordered(tuple(found))}

    def chunks(
        self,
        part: Part,
        size: int | None = None,
        reuse: bool = False,
        progress: Callable[[int], None] | None = None,
        on_device: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Iterate over the events of one channel, ``size`` at a time, or what its stages leave of them.

        Columns are NumPy's, wherever they were made. With ``reuse`` the arrays of a chunk are overwritten by later
        ones, which saves the time of new memory; with ``on_device`` too, and those of a GPU stay there. ``progress`` is
        called with the number of events made for each chunk once it has been used.
        """
        arguments = self.card, part, self.backend, self.pieces(part, size)
        there = on_device and self.backend.name != "cpu"
        for made, columns in make_on_device(*arguments) if there else make_chunks(*arguments, reuse or on_device):
            yield columns
            if progress is not None:
                progress(made)

    def collect(self, part: Part, on_device: bool = False) -> dict[str, Any]:
        """Return all events of one channel in memory, or what its stages leave of them.

        With ``on_device`` they stay on the GPU that makes them.
        """
        removes = any(stage.removes for stage in part.stages)
        arguments = self.card, part, self.backend
        if self.backend.name != "cpu" and not on_device:
            pieces = self.pieces(part, None)
            return gather(make_chunks(*arguments, pieces, reuse=True), pieces[-1][1] - pieces[0][0])
        pieces = self.pieces(part, None if part.momenta or part.stages else 1 << 62)
        if not removes:
            return collect(*arguments, pieces, self.schema((part.channel.name,)))
        chunks = list(make_where_they_are(*arguments, pieces, reuse=False))
        library = array_module(chunks[0]["q2"])
        return {name: library.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def pieces(self, part: Part, size: int | None, span: tuple[int, int] | None = None) -> list[tuple[int, int]]:
        """Return the bounds of the chunks of one channel, of ``size`` events or of a size that suits their width.

        Those of all its events, or of a ``span`` of them.
        """
        first, stop = span or self.span(part)
        size = size or chunk_size(self.row_bytes((part.channel.name,)), self.backend)
        # cut at multiples of the size: the sampler computes whole blocks, and a cut inside one costs it twice
        edges = [first, *range((first // size + 1) * size, stop, size), stop] if first < stop else []
        return list(pairwise(edges))

    def row_bytes(self, channels: Sequence[str]) -> int:
        """Return the bytes of one event, before compression."""
        return sum(dtype.itemsize for dtype in self.schema(channels).values())

    def rows(self, channels: Sequence[str]) -> int:
        """Return the number of events of these channels to make."""
        return sum(stop - start for start, stop in map(self.span, self._parts(channels)))

    def provenance(self, channels: Sequence[str]) -> dict[str, Any]:
        """Return what a file of these channels says about itself, in JSON types."""
        entries = []
        for part in self._parts(channels):
            start, stop = self.span(part)
            entries.append(
                {
                    "name": part.channel.name,
                    "index": part.channel.index,
                    "columns": list(part.columns),
                    "events": stop - start,
                    "events_of_run": part.count,
                    "first_event_of_run": part.first,
                    "expected_events_of_run": part.mean,
                    "branching_fraction": part.branching,
                    **({"accepted_of_run": self.card.accepted} if self.card.accepted is not None else {}),
                    **({"remark": part.channel.remark} if part.channel.remark else {}),
                    "rates": {_word(flavour): float(rate) for flavour, rate in part.table.rates.items()},
                }
            )
        parameters = self.card.model.parameters
        return {
            "provenance_version": PROVENANCE_VERSION,
            "card": self.card.for_provenance(),
            "model": self.card.model.model_dump(mode="json"),
            "channels": entries,
            "events": self.rows(channels),
            "events_of_run": self.total,
            "range": [self.start, self.stop],
            "seed": self.card.seed,
            "stages": {key: value for stage in self._stages for key, value in stage.describe().items()},
            "flavour": self.card.flavour,
            "convention": self.card.convention,
            "precision": self.card.precision,
            "backend": self.backend.describe(),
            "machine": machine(),
            "versions": {"python": platform.python_version(), **package_versions()},
            "parameters": {
                name: {"value": parameters.entry(name).value, "unit": parameters.entry(name).unit}
                for name in parameters
            },
            "units": {name: column.label for name, column in self._columns(channels).items()},
        }

    @property
    def _stages(self) -> tuple[Stage, ...]:
        """All channels share their stages."""
        return self.parts[0].stages if self.parts else ()

    def _parts(self, channels: Sequence[str]) -> list[Part]:
        return [part for part in self.parts if part.channel.name in channels]


def plan_run(card: RunCard, on_device: bool = False) -> Plan:
    """Build the tables of a run, draw its yields and choose its backend.

    The number of events of a channel is ``events``, or ``b_mesons`` times its branching fraction (tau_B times the
    rate in the selected ranges of q2, with K* -> K pi); with ``poisson`` that is the mean of the number, which is
    then drawn from seed and channel.  ``b_mesons`` counts both charges in equal parts: with one flavour only,
    half of them decay here.  With ``accepted`` it is what it takes until so many pass: they are made twice then.
    A device ``auto`` is the CPU for a small run, unless its events are wanted ``on_device``.

    Raises:
        InputError: a range of q2 or of events outside what there is, no event expected, or no such device.
    """
    backend = select_backend(card.device, card.precision, card.threads, None if on_device else card.accepted or 0)
    stages = _make_stages(card)
    check_partial_widths(card.model)
    parts = []
    first = 0
    for channel in card.registry():
        if card.precision == "float32":
            check_single_precision(card.model, channel, card.q2, card.veto)
        asked = (card.kpi, card.flavour, card.convention, card.q2, card.veto)
        rows = sampling_table(channel, card.model, *asked)
        lifetime = card.model.parameters[f"tau_{channel.parent}"]
        rates = [float(rate) for rate in rows.rates.values() if rate > 0.0]
        branching = lifetime * channel.branching * sum(rates) / max(len(rates), 1)
        mean, count = _how_many(card, channel, branching)
        part = Part(channel, rows, mean, count, first, branching, card.beam is not None, stages)
        known = tuple(part.made)
        for stage in stages:
            stage.check(channel, known)
            known = (*known, *(column.name for column in stage.makes(channel)))
        if card.accepted is not None:
            count = _tried(card, part, backend, card.accepted)
            part = replace(part, mean=float(count), count=count)
        parts.append(part)
        first += count
    start, stop = card.span(first)
    if stop > first:
        raise InputError(f"range = {start}:{stop}: the run has {first} events; needs 0 <= START < STOP <= {first}")
    if card.accepted is None and not on_device:  # else it is the one that has counted them
        backend = select_backend(card.device, card.precision, card.threads, stop - start)
    return Plan(card, tuple(parts), start, stop, backend)


def _how_many(card: RunCard, channel: Channel, branching: float) -> tuple[float, int]:
    """Expected number of events of a channel, and the number itself; none yet where as many as it takes are made."""
    if card.accepted is not None:
        return 0.0, 0
    share = 1.0 if card.flavour == "both" else 0.5
    mean = float(card.events) if card.events is not None else (card.b_mesons or 0.0) * share * branching
    if mean > MAXIMUM_EVENTS:
        raise InputError(
            f"b_mesons = {card.b_mesons:g}: {mean:.2g} events of {channel.name} are expected, and a run has "
            f"{MAXIMUM_EVENTS:.1e} at most; lower it to {MAXIMUM_EVENTS / (share * branching):.1e}"
        )
    count = _draw(card.seed, channel.index, mean) if card.poisson else round(mean)
    if count == 0 and not card.poisson:
        raise InputError(
            f"b_mesons = {card.b_mesons:g}: {mean:.2g} events of {channel.name} are expected; raise it to "
            f"{1 / (share * branching):.1e} or more, or draw the number with poisson"
        )
    return mean, count


def _tried(card: RunCard, part: Part, backend: Backend, wanted: int) -> int:
    """Events of a channel that it takes until so many pass."""

    def chunks(start: int, stop: int) -> Iterator[dict[str, Any]]:
        alone = replace(part, count=stop, first=0)
        return Plan(card, (alone,), start, stop, backend).chunks(alone, reuse=True)

    return events_to_try(wanted, chunks, f"events of {part.channel.name}")


def _make_stages(card: RunCard) -> tuple[Stage, ...]:
    """Return what a card asks to be done to its events, in order: the files read and checked."""
    table.check_calls()
    asked = card.stages
    stages = tuple(stage.prepared(asked[stage.key], card) for stage in table.STAGES if stage.key in asked)
    if card.model.theory.radiation == "none":
        return stages
    return (RadiationStage(RadiationSettings(), moving=card.beam is not None), *stages)


def _draw(seed: int, stream: int, mean: float) -> int:
    """Return a Poisson number that only seed, stream and mean decide."""
    key: NDArray[np.uint64] = np.array([seed, RUN_YIELDS.first + stream], dtype=np.uint64)
    return int(np.random.Generator(np.random.Philox(key=key)).poisson(mean))


def _word(flavour: int) -> str:
    return "b" if flavour > 0 else "bbar"
