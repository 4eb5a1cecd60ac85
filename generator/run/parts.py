"""One channel's part of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...physics.channels import Channel
from ...physics.final_state import momentum_columns
from ..lab.columns import momentum_rows
from ..sampler.columns import OF_THE_RUN, SAMPLED, Column
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
    def columns(self) -> dict[str, Column]:
        """Columns that this channel has, by name; those of its stages last."""
        staged = {column.name: column for stage in self.stages for column in stage.makes(self.channel)}
        return self.made | staged

    @property
    def momentum_names(self) -> tuple[str, ...]:
        """Names of the momentum columns that this channel has."""
        return momentum_columns(self.channel) if self.momenta else ()

    @property
    def made(self) -> dict[str, Column]:
        """Columns that there are before any stage, by name."""
        sampled = (name for name in SAMPLED if name in self.table.columns or name in OF_THE_RUN)
        moved = momentum_rows(channels=(self.channel,)) if self.momenta else ()
        return {name: SAMPLED[name] for name in sampled} | {column.name: column for column in moved}
