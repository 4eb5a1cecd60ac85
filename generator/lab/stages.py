"""What is done to events once they are sampled: a list of stages that a chunk's columns pass through.

A stage may add columns, change weights or leave events out. Its random numbers are uniforms of the event itself, from
Philox calls that no one else draws from (`sampler.calls`): what happens to an event does not depend on chunks, threads
or other stages.

A stage is a class here in the laboratory and an entry of `table.STAGES`; the card's key, the keyword of ``generate()``,
the options of the command line, the columns of a file with types and units, and what cuts may read follow from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from ...physics.channels import Channel
from ...physics.models import Model
from ..sampler.calls import Calls
from ..sampler.columns import Column
from .settings import FilterSettings, StageSettings

ACCEPTED = Column("accepted", "1", "1: passed selection and efficiency, 0: did not", "int32")


@dataclass(frozen=True)
class Place:
    """Where a chunk of events stands in a run.

    Attributes:
        channel: channel of all its events.
        seed: of the run.
        first: number, in the run, of the channel's first event: its own numbers start there.
        model: of the run.
        threads: CPU threads that a stage may use; all without it.
    """

    channel: Channel
    seed: int
    first: int = 0
    model: Model | None = None
    threads: int | None = None

    def uniforms(self, events: Any, call: int) -> Any:
        """Uniform numbers in (0, 1), one an event, for the numbers in the column ``event``, where that column is.

        >>> from darkpenguin.generator.sampler.calls import EFFICIENCY
        >>> from darkpenguin.physics.channels import get_channel
        >>> place = Place(get_channel("B+->K+mumu"), seed=7)
        >>> whole = place.uniforms(np.arange(10), EFFICIENCY.first)
        >>> bool((place.uniforms(np.arange(4, 6), EFFICIENCY.first) == whole[4:6]).all())
        True
        """
        from ...kinematics.base.arrays import on_gpu, to_host
        from ..sampler.rng import event_uniforms

        if on_gpu(events):
            from ..sampler import gpu

            return gpu.event_uniforms(events, self.seed, self.channel.index, call, self.first)[0]
        numbers = to_host(events).astype(np.uint64) - np.uint64(self.first)
        return np.asarray(event_uniforms(numbers, self.seed, self.channel.index, call)[0])


@dataclass(frozen=True)
class Option:
    """An option of the command line that fills a stage's table, or one of its fields.

    >>> Option("--selection-mode", "What becomes of the others.", field="mode").name
    'selection_mode'
    """

    flag: str
    help: str
    field: str | None = None
    metavar: str | None = None
    several: bool = False

    @property
    def name(self) -> str:
        """Name of the option as a Python argument."""
        return self.flag.removeprefix("--").replace("-", "_")


class Request(Protocol):
    """What a stage is told of the run it is made for; a run card is one."""

    @property
    def beam(self) -> str | dict[str, Any] | None:
        """Where the B comes from."""

    def registry(self) -> tuple[Channel, ...]:
        """Channels of the run."""


@dataclass(frozen=True, eq=False)
class Stage(ABC):
    """One step from sampled events to what a detector keeps of them.

    Attributes:
        key: in a run card, and the keyword of ``generate()``.
        reads: class of the settings that stand there.
        options: of ``darkpenguin generate``; without a field, the option is the whole table.
        columns: all that it may add, in the order of the file.
        calls: of Philox, that its random numbers come from.
        settings: of this run.
    """

    key: ClassVar[str]
    reads: ClassVar[type[StageSettings]]
    options: ClassVar[tuple[Option, ...]]
    columns: ClassVar[tuple[Column, ...]] = ()
    calls: ClassVar[tuple[Calls, ...]] = ()
    settings: StageSettings

    @classmethod
    def prepared(cls, settings: Any, request: Request) -> Self:
        """The stage of a run, its files read and checked."""
        return cls(settings)

    def makes(self, channel: Channel) -> tuple[Column, ...]:
        """Columns that it adds to events of a channel."""
        return tuple(column for column in self.columns if column.has(channel))

    @property
    def removes(self) -> bool:
        """Whether events are left out."""
        return False

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:  # noqa: B027   # most can work on all
        """Raise InputError if the stage cannot work on a channel with these columns."""

    @abstractmethod
    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Columns after the stage; arrays stay in the library that they are in."""

    def describe(self) -> Mapping[str, Any]:
        """What the provenance says of the stage, in JSON types."""
        return {self.key: self.settings.model_dump(mode="json")}

    @classmethod
    def on_top(cls, known: Any, given: Mapping[str, Any]) -> Any:
        """Table of a card with what options say on top, by their names; None if they say nothing.

        >>> from darkpenguin.generator.lab.selection import SelectionStage
        >>> SelectionStage.on_top("lhcb", {"selection_mode": "reject"})
        {'cuts': 'lhcb', 'mode': 'reject'}
        """
        said = {option.field: given[option.name] for option in cls.options if given.get(option.name)}
        if not said or None in said:
            return said.get(None)
        table = known if isinstance(known, Mapping) else {} if known is None else {cls.options[0].field: known}
        return {**table, **said}


@dataclass(frozen=True, eq=False)
class FilterStage(Stage):
    """A stage that marks events as accepted, leaves the others out, or weights them: as its ``mode`` says."""

    columns = (ACCEPTED,)
    settings: FilterSettings

    def makes(self, channel: Channel) -> tuple[Column, ...]:
        """``accepted``, where the others are only marked."""
        return self.columns if self.settings.mode == "flag" else ()

    @property
    def removes(self) -> bool:
        """Whether events are left out."""
        return self.settings.mode == "reject"


def keep(columns: Mapping[str, Any], passed: Any, mode: str) -> dict[str, Any]:
    """Columns of the events that passed (``reject``), or all of them with ``accepted`` of this and earlier stages.

    >>> keep({"q2": np.array([1.0, 2.0])}, np.array([True, False]), "flag")["accepted"].tolist()
    [1, 0]
    """
    if mode == "reject":
        return {name: column[passed] for name, column in columns.items()}
    before = columns.get("accepted")
    return {**columns, "accepted": (passed if before is None else passed & (before != 0)).astype(np.int32)}
