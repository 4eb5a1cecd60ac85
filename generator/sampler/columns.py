"""What a column of an event is, and the columns that every run has: from the sampler, and of the run itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ...physics.channels import Channel


def everywhere(channel: Channel) -> bool:
    """Whether a channel has a column that all have."""
    return True


@dataclass(frozen=True)
class Column:
    """A column of a sample or file of events.

    Attributes:
        name: in the file, in cuts and in ``bin --variable``.
        unit: of its numbers, ``1`` for a number without one.
        meaning: what it is, for a reader of the file.
        kind: ``float``, in the precision of the run, or NumPy's name of an integer type.
        has: whether a channel has it; in a file where another one does, a float is NaN for its events.

    >>> Column("q2", "GeV^2", "mass of the pair, squared").dtype("float32").name
    'float32'
    """

    name: str
    unit: str
    meaning: str
    kind: str = "float"
    has: Callable[[Channel], bool] = everywhere

    def dtype(self, precision: str) -> np.dtype[Any]:
        """Type in a run of this precision."""
        return np.dtype(precision if self.kind == "float" else self.kind)

    @property
    def label(self) -> str:
        """Unit, or for a number without one what it means: what a file's provenance says."""
        return self.unit if self.kind == "float" else self.meaning


def _angle(name: str, unit: str, meaning: str) -> Column:
    return Column(name, unit, meaning, has=lambda channel: name in channel.angles)


def resonant(channel: Channel) -> bool:
    """Whether the hadron of a channel decays."""
    return bool(channel.transition.daughters)


_ROWS = (
    Column("q2", "GeV^2", "invariant mass of the lepton pair, squared"),
    _angle("cos_theta_k", "1", "cosine of the kaon's angle in the frame of the K* or phi"),
    _angle("cos_theta_l", "1", "cosine of the lepton's angle in the frame of the pair"),
    _angle("phi", "rad", "angle between the planes of the two pairs"),
    Column("m_kpi", "GeV", "mass of the K pi system, of a K* with a width", has=resonant),
    Column("flavour", "1", "+1: B0, Bs or B+, -1: their conjugates", "int32"),
    Column("channel", "1", "number of the channel, named in the provenance", "int32"),
    Column("event", "1", "number of the event in its run", "uint64"),
    Column("weight", "1", "weight of the event"),
)
SAMPLED: Mapping[str, Column] = MappingProxyType({column.name: column for column in _ROWS})
"""Columns of an event as it is sampled, in the order of the file; a channel lacks the angles that it does not have."""
OF_THE_RUN = ("channel", "event", "weight")
"""Those of them that the run adds to what the sampler makes."""
