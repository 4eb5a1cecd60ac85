"""What is done to events once they are sampled: a list of stages that a chunk's columns pass through.

A stage may add columns, change weights or leave events out. Its random numbers are uniforms of the event itself, from
Philox calls that no one else draws from (`sampler.calls`): what happens to an event does not depend on chunks, threads
or other stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...physics.channels import Channel
from ...physics.models import Model
from ..sampler.rng import event_uniforms


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

    def uniforms(self, events: Any, call: int) -> NDArray[np.float64]:
        """Uniform numbers in (0, 1), one an event, for the numbers in the column ``event`` (on the host).

        >>> from darkpenguin.generator.sampler.calls import EFFICIENCY
        >>> from darkpenguin.physics.channels import get_channel
        >>> place = Place(get_channel("B+->K+mumu"), seed=7)
        >>> whole = place.uniforms(np.arange(10), EFFICIENCY.first)
        >>> bool((place.uniforms(np.arange(4, 6), EFFICIENCY.first) == whole[4:6]).all())
        True
        """
        from ...kinematics.base.arrays import to_host

        numbers = to_host(events).astype(np.uint64) - np.uint64(self.first)
        return np.asarray(event_uniforms(numbers, self.seed, self.channel.index, call)[0])


class Stage(Protocol):
    """One step from sampled events to what a detector keeps of them."""

    def adds(self, channel: Channel) -> Mapping[str, str]:
        """New columns of a channel: their NumPy types by name, ``float`` for the precision of the run."""

    @property
    def removes(self) -> bool:
        """Whether events are left out."""

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if the stage cannot work on a channel with these columns."""

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Columns after the stage; arrays stay in the library that they are in."""

    def describe(self) -> Mapping[str, Any]:
        """What the provenance says of the stage, in JSON types."""


def keep(columns: Mapping[str, Any], passed: Any, mode: str) -> dict[str, Any]:
    """Columns of the events that passed (``reject``), or all of them with ``accepted`` of this and earlier stages.

    >>> keep({"q2": np.array([1.0, 2.0])}, np.array([True, False]), "flag")["accepted"].tolist()
    [1, 0]
    """
    if mode == "reject":
        return {name: column[passed] for name, column in columns.items()}
    before = columns.get("accepted")
    return {**columns, "accepted": (passed if before is None else passed & (before != 0)).astype(np.int32)}
