"""One channel's part of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...physics.channels import Channel
from ..files.columns import ordered
from ..sampler.tables import Table

if TYPE_CHECKING:
    from ..lab.stages import Stage
    from ..sampler.kpi_tables import KpiTable


@dataclass(frozen=True)
class Part:
    """One channel of a run.

    Attributes:
        channel: entry of the registry.
        table: the tables that the sampler reads.
        mean: expected number of events.
        count: events of this channel in the whole run.
        first: number of its first event in the whole run.
        branching: branching fraction into the selected ranges of q2, averaged over the flavours generated and
            with K* -> K pi.
        momenta: whether the momenta of its particles are columns too.
        stages: what is done to its events once they are made.
    """

    channel: Channel
    table: Table | KpiTable
    mean: float
    count: int
    first: int
    branching: float
    momenta: bool = False
    stages: tuple[Stage, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that this channel has."""
        return tuple(dict.fromkeys((*self.made, *(name for stage in self.stages for name in stage.adds(self.channel)))))

    @property
    def momentum_names(self) -> tuple[str, ...]:
        """Names of the momentum columns that this channel has."""
        if not self.momenta:
            return ()
        from ...physics.final_state import momentum_columns

        return momentum_columns(self.channel)

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the columns that there are before any stage."""
        extra = tuple(name for name in self.table.columns if name == "m_kpi") + self.momentum_names
        return ordered(("q2", *self.channel.angles, "flavour", "channel", "event", "weight", *extra))
