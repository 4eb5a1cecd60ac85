"""The efficiency of a run: maps that mark its events as accepted, leave the others out, or weight them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ..sampler.calls import EFFICIENCY
from .efficiency_files import digest, read_map
from .efficiency_maps import EfficiencyMap, evaluate
from .settings import EfficiencySettings
from .stages import FilterStage, Option, Place, Request, keep


@dataclass(frozen=True, eq=False)
class EfficiencyStage(FilterStage):
    """The stage that applies the maps of a run."""

    key = "efficiency"
    reads = EfficiencySettings
    options = (
        Option(
            "--efficiency",
            "Apply an efficiency map, to all or to KEY: mu, e or a channel; repeatable.",
            "maps",
            "[KEY=]MAP",
            several=True,
        ),
        Option(
            "--efficiency-mode",
            "Flag (column accepted, the default), reject or weight events that fail.",
            "mode",
        ),
    )
    calls = (EFFICIENCY,)
    settings: EfficiencySettings
    maps: Mapping[str, EfficiencyMap]
    digests: Mapping[str, str]

    @classmethod
    def from_settings(cls, settings: EfficiencySettings, channels: Sequence[Channel]) -> EfficiencyStage:
        """Stage for some channels, its maps read and checked."""
        sources = {channel.name: settings.source(channel) for channel in channels}
        read = {source: read_map(source) for source in dict.fromkeys(sources.values())}
        return cls(
            settings,
            {name: read[source] for name, source in sources.items()},
            {source: digest(source) for source in read},
        )

    @classmethod
    def prepared(cls, settings: EfficiencySettings, request: Request) -> EfficiencyStage:
        """Stage of a run, its maps read and checked."""
        return cls.from_settings(settings, request.registry())

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if the map of a channel reads columns that it does not have."""
        missing = [name for name in self.maps[channel.name].inputs if name not in columns]
        if missing:
            raise InputError(
                f"efficiency map {self.settings.source(channel)!r}: reads {', '.join(missing)}, and "
                f"{channel.name} has {', '.join(columns)}"
            )

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Mark, leave out or weight the events of a chunk; InputError for a value that is no efficiency."""
        found = dict(columns)
        efficiency = evaluate(self.maps[place.channel.name], columns, place.channel)
        if self.settings.mode == "weight":
            found["weight"] = (columns["weight"] * efficiency).astype(columns["weight"].dtype)
            return found
        library = array_module(efficiency)
        accepted = library.asarray(place.uniforms(columns["event"], EFFICIENCY.first)) < efficiency
        return keep(found, accepted, self.settings.mode)

    def describe(self) -> Mapping[str, Any]:
        """Mode, and the maps with the SHA-256 of their files."""
        return {
            "efficiency": {
                "mode": self.settings.mode,
                "maps": dict(self.settings.maps),
                "sha256": {s: d for s, d in self.digests.items() if d},
            }
        }
