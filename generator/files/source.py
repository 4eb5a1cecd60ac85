"""Events as they count: accepted ones, with weights, divided by efficiency maps; of a file or a sample in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...kinematics.base.portions import Portions
from ...physics.channels import Channel, get_channel
from .sample import ROWS_THERE, EventsLike, open_events
from .writers import Events


class EventSource:
    """Events as they count: accepted ones, with their weights, channel by channel.

    ``where_they_are`` leaves those of a sample on a GPU there, as of `open_events`.
    """

    def __init__(
        self, events: EventsLike, unfold: bool = False, convention: bool = True, where_they_are: bool = False
    ) -> None:
        self.file = open_events(events, where_they_are)
        provenance = self.file.provenance
        if convention and provenance.get("convention", "lhcb") != "lhcb":
            raise InputError(
                f"file = {self.name!r}: its angles follow the theory convention, in which the flavours "
                "cannot be added; generate it with convention = lhcb"
            )
        self.entries = self.file.channels(
            "columns", "events", "events_of_run", "expected_events_of_run", "branching_fraction"
        )
        if not self.entries:
            raise InputError(f"file = {self.name!r}: no channels in its provenance")
        self.channels = {index: get_channel(entry["name"]) for index, entry in self.entries.items()}
        self.unfold = unfold
        for column in ("channel", "q2", *(name for entry in self.entries.values() for name in entry["columns"])):
            self.need(column)
        for name in ("channel", "event", "flavour"):
            if name in self.file.schema and self.file.schema[name].kind not in "iu":
                raise InputError(f"file = {self.name!r}: column {name} holds no whole numbers")
        known = unfold and self._mode("efficiency")
        self._maps = _recorded_maps(self.file, tuple(self.channels.values())) if known else None
        if unfold and self._maps is None and not self.holds_rejected:
            left = "; its cuts left events out: make it with selection mode = flag" if self._mode("selection") else ""
            raise InputError(f"unfold: {self.name!r} was made without an efficiency{left}")

    def _mode(self, stage: str) -> str:
        """What became of the events that failed a stage, empty where there was none."""
        table = self.file.provenance.get("card", {}).get(stage)
        return "" if not table else str(table.get("mode", "flag")) if isinstance(table, Mapping) else "flag"

    @property
    def holds_rejected(self) -> bool:
        """Whether events that failed the cuts are in it too, marked."""
        return self._mode("selection") == "flag" and "accepted" in self.file.schema

    @property
    def variable(self) -> str:
        """The q2 that there is: reconstructed, if events were."""
        return "q2_reco" if "q2_reco" in self.file.schema else "q2"

    def state(self, variable: str) -> str:
        """What numbers of it in bins of a column are, in words.

        >>> from darkpenguin.generator.run.generate import generate
        >>> EventSource(generate("B+->K+ee", events=10, theory={"radiation": "leading-log"})).state("q2")
        'as generated; q2 of the decay, before its leptons radiate'
        """
        words = {"q2": "q2 of the decay, before its leptons radiate", "q2_ll": "q2 of the leptons after radiation"}
        radiates = variable in words and "q2_ll" in self.file.schema
        return self._corrections() + (f"; {words[variable]}" if radiates else "")

    def _corrections(self) -> str:
        """What events of it stand for."""
        cuts, maps = self._mode("selection"), self._mode("efficiency")
        if not (cuts or maps or "accepted" in self.file.schema):
            return "as generated"
        if not self.unfold:
            weighted = maps == "weight" and not cuts
            return "weighted with the efficiency, not corrected" if weighted else "accepted, not corrected"
        if self.holds_rejected:
            return "corrected for efficiency, cuts and migration by the file's own events"
        return "corrected for the efficiency" + (", not for the cuts" if cuts else "")

    @property
    def name(self) -> str:
        """What error messages call it."""
        return str(self.file.path)

    def mesons(self, index: int) -> float:
        """B mesons that the events of a channel stand for."""
        entry = self.entries[index]
        if not entry["branching_fraction"] > 0.0:
            raise InputError(f"file = {str(self.file.path)!r}: branching_fraction of {entry['name']} is 0 in it")
        share = float(entry["events"]) / max(float(entry["events_of_run"]), 1.0)
        return share * float(entry["expected_events_of_run"]) / float(entry["branching_fraction"])

    def kind(self, index: int) -> str:
        """Density of a channel's angles: ``kpi`` if an S wave was generated."""
        if self.channels[index].spin == 0:
            return "scalar"
        kpi = self.file.provenance.get("card", {}).get("kpi")
        wave = kpi.get("s_wave", "none") if isinstance(kpi, Mapping) else "none"
        return "kpi" if "m_kpi" in self.entries[index]["columns"] and wave != "none" else "vector"

    def need(self, column: str) -> None:
        """InputError for a column that the file does not have."""
        self.file.need(column)

    def events(self, rejected: bool = False) -> Iterator[tuple[int, dict[str, Any], Any]]:
        """Channel number, columns and weights, chunk by chunk; weight 0 for events that were not accepted.

        With ``rejected`` the weights are those of all events, as if nothing had been cut.
        """
        for chunk in self.file.chunks():
            yield from self._counted(chunk, rejected)

    def each(
        self, work: Callable[[int, dict[str, Any], Any], Any], rejected: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """Channel number and what ``work`` makes of its events, called with what `events` yields.

        Those of a sample on a GPU come in portions that its memory holds, so ``work`` may be asked again: it returns
        what it finds and changes nothing.
        """

        def made(chunk: Mapping[str, Any]) -> list[tuple[int, Any]]:
            return [(index, work(index, columns, w)) for index, columns, w in self._counted(chunk, rejected)]

        portions = Portions("events", ROWS_THERE)
        for chunk in self.file.chunks():
            for part in portions.over(chunk, made):
                yield from part

    def _counted(self, chunk: Mapping[str, Any], rejected: bool) -> Iterator[tuple[int, dict[str, Any], Any]]:
        """The events of a chunk as `events` has them."""
        xp = self.file.library
        for index, channel in self.channels.items():
            mask = chunk["channel"] == index
            if not mask.any():
                continue
            columns = {name: column[mask] for name, column in chunk.items()}
            weights = xp.ones(len(columns["q2"]))
            if "weight" in columns:
                weights = columns["weight"].astype(np.float64)
            if "accepted" in columns and not rejected:
                weights = weights * (columns["accepted"] != 0)
            if not xp.isfinite(weights).all():
                raise InputError(f"file = {self.name!r}: a weight of {channel.name} is not finite")
            if self._maps is not None and not (rejected and self._mode("efficiency") == "flag"):
                weights = self._unfolded(columns, weights, channel)
            yield index, columns, weights

    def _unfolded(self, columns: Mapping[str, Any], weights: Any, channel: Channel) -> Any:
        from ..lab.efficiency_maps import unfolding_weights

        assert self._maps is not None
        kept = self.file.library.nonzero(weights)[0]
        weights = weights.copy()
        weights[kept] *= unfolding_weights(
            self._maps[channel.name], {name: column[kept] for name, column in columns.items()}, channel
        )
        return weights


def _recorded_maps(file: Events, channels: Sequence[Channel]) -> Mapping[str, Any]:
    """Efficiency maps that a file was made with, by channel; InputError if it was not, or if they changed since."""
    from ..lab.efficiency import EfficiencyStage
    from ..lab.settings import EfficiencySettings

    recorded = file.provenance.get("card", {}).get("efficiency")
    if recorded is None:
        raise InputError(f"unfold: {str(file.path)!r} was made without an efficiency")
    stage = EfficiencyStage.from_settings(validate(EfficiencySettings, recorded, "card.efficiency"), channels)
    known = file.provenance.get("stages", {}).get("efficiency", {}).get("sha256", {})
    for source, digest in known.items():
        if stage.digests.get(source, digest) != digest:
            raise InputError(f"unfold: the efficiency map {source!r} has changed since {str(file.path)!r} was made")
    return stage.maps
