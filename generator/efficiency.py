"""The efficiency of a run: maps that mark its events as accepted, leave the others out, or weight them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from ..kinematics.errors import InputError
from ..physics.channels import CHANNELS, Channel
from ..physics.models import nearest
from .counts import array_module
from .efficiency_files import digest, read_map
from .efficiency_maps import EfficiencyMap, evaluate

if TYPE_CHECKING:
    from .stages import Place

def _maps(value: Any) -> Any:
    """Accept one map where a table of them is meant; FILE or KEY=FILE in a list."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        value = [str(value)]
    known = ["all", "mu", "e", *CHANNELS]
    if isinstance(value, (list, tuple)):
        pairs = {}
        for item in value:
            if isinstance(item, (list, tuple)) and len(item) == 2:   # as a model dumps it
                pairs[item[0]] = item[1]
                continue
            key, equals, source = str(item).partition("=")
            named = equals and key.strip() in known
            pairs[key.strip() if named else "all"] = source if named else str(item)
        value = pairs
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"efficiency.maps = {value!r}: write a file, or a table such as {{mu = FILE, e = FILE}}")
    for key in value:
        if key not in known:
            raise InputError(f"efficiency.maps.{key}: no such channel or lepton; {nearest(key, known)}")
    return tuple((str(key), str(source)) for key, source in value.items())


class EfficiencySettings(BaseModel):
    """Table ``efficiency`` of a run card.

    >>> EfficiencySettings(maps={"mu": "mu.toml", "e": 0.3}).maps
    (('mu', 'mu.toml'), ('e', '0.3'))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maps: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_maps)]
    """Files (or numbers) by channel, by lepton (``mu``, ``e``), or for ``all``; the first of these that fits counts."""

    mode: Literal["flag", "reject", "weight"] = "flag"
    """``flag``: a column ``accepted``; ``reject``: the others are left out; ``weight``: a factor of ``weight``."""

    def source(self, channel: Channel) -> str:
        """File or number for a channel.

        Raises:
            InputError: none is named for it.

        Example:
            >>> from darkpenguin.physics.channels import get_channel
            >>> EfficiencySettings(maps={"mu": 0.5, "all": 0.3}).source(get_channel("B+->K+ee"))
            '0.3'
        """
        maps = dict(self.maps)
        for key in (channel.name, channel.lepton, "all"):
            if key in maps:
                return maps[key]
        raise InputError(f"efficiency.maps: none for {channel.name}; name one for it, for its lepton, or for all")


def merge_settings(known: Any, maps: Sequence[str] | None, mode: str | None) -> dict[str, Any] | None:
    """Table ``efficiency`` of a card with what the command line says on top; None if it says nothing.

    >>> merge_settings({"maps": {"mu": "a.toml"}}, None, "weight")
    {'maps': {'mu': 'a.toml'}, 'mode': 'weight'}
    """
    if not maps and mode is None:
        return None
    table = dict(known) if isinstance(known, Mapping) else {}
    if maps:
        table["maps"] = list(maps)
    if mode is not None:
        table["mode"] = mode
    return table


@dataclass(frozen=True, eq=False)
class EfficiencyStage:
    """The stage that applies the maps of a run."""

    settings: EfficiencySettings
    maps: Mapping[str, EfficiencyMap]
    digests: Mapping[str, str]

    @classmethod
    def from_settings(cls, settings: EfficiencySettings, channels: Sequence[Channel]) -> EfficiencyStage:
        """Stage for some channels, its maps read and checked."""
        sources = {channel.name: settings.source(channel) for channel in channels}
        read = {source: read_map(source) for source in dict.fromkeys(sources.values())}
        return cls(settings, {name: read[source] for name, source in sources.items()},
                   {source: digest(source) for source in read})

    @property
    def adds(self) -> Mapping[str, str]:
        """New columns: their types by name."""
        return {"accepted": "i4"} if self.settings.mode == "flag" else {}

    @property
    def removes(self) -> bool:
        """Whether events are left out."""
        return self.settings.mode == "reject"

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if the map of a channel reads columns that it does not have."""
        missing = [name for name in self.maps[channel.name].inputs if name not in columns]
        if missing:
            raise InputError(f"efficiency map {self.settings.source(channel)!r}: reads {', '.join(missing)}, and "
                             f"{channel.name} has {', '.join(columns)}")

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Mark, leave out or weight the events of a chunk; InputError for a value that is no efficiency."""
        from .stages import EFFICIENCY_CALL, keep  # compiled functions: only where they are needed

        found = dict(columns)
        efficiency = evaluate(self.maps[place.channel.name], columns, place.channel)
        if self.settings.mode == "weight":
            found["weight"] = (columns["weight"] * efficiency).astype(columns["weight"].dtype)
            return found
        library = array_module(efficiency)
        accepted = library.asarray(place.uniforms(columns["event"], EFFICIENCY_CALL)) < efficiency
        return keep(found, accepted, self.settings.mode)

    def describe(self) -> Mapping[str, Any]:
        """Mode, and the maps with the SHA-256 of their files."""
        return {"efficiency": {"mode": self.settings.mode, "maps": dict(self.settings.maps),
                               "sha256": {s: d for s, d in self.digests.items() if d}}}
