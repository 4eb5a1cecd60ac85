"""The run card: everything a run needs, checked before anything starts.

A card is a TOML file (or a built-in one, by name), or the same keys as keywords or on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ...kinematics.base.cards import Card, CardSource, cards_in, read_keys
from ...kinematics.base.checks import nearest, parse_count, parse_number, validate
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel, file_word, get_channel
from ...physics.flavio_inputs import check_used
from ...physics.kpi import PRESETS, KpiDecay, KpiSystem, resolve_kpi
from ...physics.models import RUN_CARDS, Model, as_model, merged_settings
from ..files.pieces import share
from ..files.writers import SUFFIXES, EventFile, file_format
from ..lab import table
from ..lab.settings import FilterSettings, StageSettings
from .histograms import Reduction
from .q2 import Window, _vetoes, parse_part, parse_range, part_name, read_windows

_HOW_MANY = ("events", "b_mesons", "accepted")
MAXIMUM_SEED = (1 << 64) - 1
"""Largest seed: the key of the random numbers has 64 bits."""


def _channels(value: Any) -> Any:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names:
        raise InputError(f"channels = {value!r}: name one channel at least; `darkpenguin channels` lists them")
    for name in names:
        get_channel(name)
    if len(set(names)) != len(names):
        raise InputError(f"channels = {list(names)!r}: a channel is named twice")
    return tuple(names)


def _reduction(value: Any) -> Any:
    return None if value is None else Reduction.read(value)


class RunCard(Card):
    """Everything a run needs; frozen, and unknown keys are refused.

    Raises:
        InputError: through :func:`make_card`, for any value that cannot be used.

    Example:
        >>> card = make_card(channels="B0->K*0mumu", model="sm", events="1e3")
        >>> card.events, card.flavour
        (1000, 'both')
    """

    model_config = ConfigDict(extra="allow", allow_inf_nan=True)  # the keys beside these are those of the stages
    __pydantic_extra__: dict[str, SerializeAsAny[StageSettings] | None]

    folder: ClassVar[Path] = RUN_CARDS
    also: ClassVar[tuple[str, ...]] = ("set", "theory", *(stage.key for stage in table.STAGES))

    channels: Annotated[tuple[str, ...], BeforeValidator(_channels)] = ()
    """Names of the decay channels."""

    model: Model
    """The physics: a benchmark's name in the card, resolved here with ``set`` and ``theory`` applied."""

    events: int | None = None
    """Events of each channel; or give ``b_mesons``, or ``accepted``."""

    b_mesons: float | None = None
    """B mesons of each charge, half of them conjugates: a channel then has b_mesons times its branching fraction."""

    accepted: int | None = None
    """Instead of ``events``, how many of each channel are to pass cuts and efficiency: as many are made as it takes."""

    poisson: bool = False
    """Whether the number of events is drawn from a Poisson distribution with the mean above."""

    flavour: Literal["both", "b", "bbar"] = "both"
    """``b``: B0 and B+; ``bbar``: their conjugates; ``both``: in the ratio of their rates."""

    convention: Literal["lhcb", "theory"] = "lhcb"
    """Convention of the angles."""

    kpi: Annotated[KpiSystem, BeforeValidator(resolve_kpi)] = PRESETS["narrow"]
    """The Kπ pair: ``narrow``, ``pwave`` (a K* with its width), ``swave`` (of ℓℓ, LASS too), or a table."""

    beam: str | dict[str, Any] | None = None
    """Beam that the B comes from, a name or a table; with one, files have all momenta in the laboratory."""

    q2: Annotated[tuple[Window, ...], BeforeValidator(read_windows)] = ()
    """Ranges of q2 (GeV^2) to generate; empty for all of it."""

    veto: Annotated[tuple[Window, ...], BeforeValidator(_vetoes)] = ()
    """Ranges of q2 (GeV^2) to leave out: pairs, or ``jpsi`` and ``psi2s``."""

    seed: int = Field(default=1, ge=0, le=MAXIMUM_SEED)
    """Seed of the random numbers."""

    range: tuple[int, int] | None = None
    """First event and first event after the part of the run to make; the whole run without it."""

    part: tuple[int, int] | None = None
    """Instead of ``range``, which of how many equal parts of the run to make, as 17/1000; files are named after it."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to generate."""

    precision: Literal["float64", "float32"] = "float64"
    """Floating-point type of the events."""

    threads: int | None = Field(default=None, ge=1, le=65536)
    """CPU threads; all without it."""

    output: str | None = None
    """File to write; ``{channel}`` in its name makes one file a channel."""

    format: Literal["ttree", "rntuple", "parquet"] | None = None
    """Kind of file, when its ending is not to decide."""

    compression: Literal["none", "lz4", "zstd"] = "lz4"
    """Compression of the file."""

    overwrite: bool = False
    """Whether an existing file may be replaced."""

    reduce: Annotated[Reduction | None, BeforeValidator(_reduction)] = None
    """Histograms to fill instead of a file of events: a TOML file, or a table of them by name."""

    check: bool = False
    """Whether the file is checked against the prediction once it is written."""

    figures: tuple[str, ...] = ()
    """Files (.png, .pdf) for a figure of the ratios R with the events just made."""

    @field_validator("events", "accepted", mode="before")
    @classmethod
    def _events(cls, value: Any, info: ValidationInfo) -> Any:
        return None if value is None else parse_count(value, str(info.field_name))

    @field_validator("b_mesons", mode="before")
    @classmethod
    def _b_mesons(cls, value: Any) -> Any:
        if value is None:
            return None
        number = parse_number(value, "b_mesons")
        if not 0 < number <= 1e30:
            raise InputError(f"b_mesons = {value!r}: allowed are numbers above 0, up to 1e30")
        return number

    @field_validator("seed", "threads", mode="before")
    @classmethod
    def _integer(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a whole number is needed, not true or false")
        return value

    @field_validator("range", mode="before")
    @classmethod
    def _range(cls, value: Any) -> Any:
        return None if value is None else parse_range(value)

    @field_validator("part", mode="before")
    @classmethod
    def _part(cls, value: Any) -> Any:
        return None if value is None else parse_part(value)

    @field_validator("beam", mode="before")
    @classmethod
    def _beam(cls, value: Any) -> Any:
        if value is None:
            return None
        from ..lab.beams import resolve_beam

        return resolve_beam(value)

    @field_validator("output", mode="before")
    @classmethod
    def _path(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @field_validator("output")
    @classmethod
    def _output(cls, value: str | None) -> str | None:
        if value is not None and set("{}") & set(value.replace("{channel}", "")):
            raise InputError(f"output = {value!r}: only {{channel}} may stand in braces")
        return value

    @model_validator(mode="before")
    @classmethod
    def _resolve_model(cls, data: Any) -> Any:
        """Turn whatever names the model, the changes in ``set`` and its ``theory`` into the model itself."""
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        data["model"] = as_model(data.get("model", "sm"), data.pop("set", ()), data.pop("theory", None))
        for stage in table.STAGES:
            value = data.get(stage.key)
            data[stage.key] = None if value is None else validate(stage.reads, value, stage.key)
        known = card_keys()
        for key in data:
            if key not in known:
                raise InputError(f"{key}: no such key in a run card; {nearest(key, known)}")
        return data

    @model_validator(mode="after")
    def _consistent(self) -> RunCard:
        if not self.channels:
            raise InputError("channels: missing; name one, for example B0->K*0mumu (`darkpenguin channels` lists them)")
        given = [f"{key} = {getattr(self, key):g}" for key in _HOW_MANY if getattr(self, key) is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)}: give one of the {'two' if len(given) == 2 else 'three'}")
        if self.part is not None and self.range is not None:
            raise InputError(f"part = {self.part[0]}/{self.part[1]} and range are both given; give one of the two")
        if not given:
            raise InputError("events: missing; give a number of events (events) or of B mesons (b_mesons)")
        self._check_accepted()
        for channel in self.registry():
            self.kpi_decay(channel)
        check_used(self.model.theory.form_factors, [channel.transition for channel in self.registry()])
        if self.model.theory.radiation != "none" and not any(channel.lepton for channel in self.registry()):
            raise InputError(
                f"theory.radiation = {self.model.theory.radiation!r}: no charged leptons in "
                f"{', '.join(self.channels)}; leave it out, or name a channel that has some, such as B0->K*0ee"
            )
        if self.beam is not None:
            from ...physics.final_state import masses

            for channel in self.registry():
                masses(channel, self.model)
        for settings in self.stages.values():
            for channel in self.registry():
                settings.fit(channel)
        if self.check and self.altered:
            raise InputError(
                f"check: with {self.altered} a file no longer has the events that were generated, which is what is "
                "checked; use flag, or leave check out"
            )
        if self.output is not None:
            for name in self.files():
                file_format(name, self.format)
        self._check_reduce()
        if (self.check or self.figures) and self.output is None:
            raise InputError("output: missing; check and figures read the file that was written")
        for figure in self.figures:
            if Path(figure).suffix.lower() not in (".png", ".pdf"):
                raise InputError(f"figures = {figure!r}: a figure is a .png or a .pdf")
        if self.figures:
            from ...physics.channels import lepton_pairs

            if not lepton_pairs(self.channels):
                raise InputError(
                    f"figures = {', '.join(self.figures)}: they show R, which needs a channel with muons and the same "
                    "with electrons, such as B0->K*0mumu and B0->K*0ee"
                )
        return self

    def _check_reduce(self) -> None:
        """InputError for what needs the events that histograms do not keep."""
        if self.reduce is None:
            return
        for key in ("check", "figures", "format"):
            if getattr(self, key):
                raise InputError(f"{key}: of a run with reduce there are histograms alone; leave one of the two out")
        if self.output is not None and (Path(self.output).suffix != ".root" or "{" in self.output):
            raise InputError(f"output = {self.output!r}: histograms of all channels go to one .root file (reduce)")

    def _check_accepted(self) -> None:
        """InputError if it cannot be told what passes, or how many events a part of the run has."""
        if self.accepted is None:
            return
        modes = [settings.mode for settings in self.stages.values() if isinstance(settings, FilterSettings)]
        if not any(mode != "weight" for mode in modes):
            raise InputError(
                f"accepted = {self.accepted}: nothing is left out; give a selection or an efficiency in the mode flag "
                "or reject, or a number of events (events)"
            )
        for key in ("range", "part", "poisson"):
            if getattr(self, key):
                raise InputError(
                    f"accepted = {self.accepted} and {key}: how many events there are is known at the end only; make "
                    "the whole run, or give a number of events (events)"
                )

    @property
    def stages(self) -> dict[str, StageSettings]:
        """What the card says of each stage that it asks for, by key, along the way of an event."""
        asked = self.__pydantic_extra__
        found = {stage.key: asked.get(stage.key) for stage in table.STAGES}
        return {key: settings for key, settings in found.items() if settings is not None}

    @classmethod
    def merged(cls, keys: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of a card with others on top: one number of events replaces the others."""
        if any(key in given for key in _HOW_MANY):
            keys = {key: value for key, value in keys.items() if key not in _HOW_MANY}
        return merged_settings(keys, given)

    @classmethod
    def read(cls, source: CardSource) -> dict[str, Any]:
        """Return the keys of a source; those of a file of events are of the run that made it, without where it went."""
        if not isinstance(source, (str, os.PathLike)) or Path(source).suffix.lower() not in SUFFIXES:
            return read_keys(source, cls.folder)
        card = EventFile(source).provenance.get("card")
        if not card:
            raise InputError(f"card = {str(source)!r}: no run card in its provenance")
        return {
            key: value for key, value in card.items() if key not in ("output", "overwrite", "part", "figures", "check")
        }

    def registry(self) -> tuple[Channel, ...]:
        """Return the channels themselves."""
        return tuple(get_channel(name) for name in self.channels)

    def kpi_decay(self, channel: Channel) -> KpiDecay | None:
        """Return the decay of a channel's Kπ pair; None where there is none, or where the K* has no width.

        Raises:
            InputError: a Kπ system that the channel cannot have.
        """
        return None if self.kpi.narrow or not channel.transition.daughters else KpiDecay(channel, self.model, self.kpi)

    @property
    def altered(self) -> str | None:
        """What leaves events out or weights them, such as ``efficiency.mode = 'reject'``; None if nothing does."""
        return next((f"{key}.{stage.altered}" for key, stage in self.stages.items() if stage.altered), None)

    def files(self) -> dict[str, tuple[str, ...]]:
        """Return the channels that go to each file.

        >>> make_card(channels=["B0->K*0mumu", "B0->K*0ee"], events=1, output="x_{channel}.root").files()
        {'x_B0_Kst0mumu.root': ('B0->K*0mumu',), 'x_B0_Kst0ee.root': ('B0->K*0ee',)}
        """
        if self.output is None:
            return {}
        files: dict[str, tuple[str, ...]] = {}
        for name in self.channels:
            file = part_name(self.output.replace("{channel}", file_word(name)), self.part)
            files[file] = (*files.get(file, ()), name)
        return files

    def span(self, total: int) -> tuple[int, int]:
        """Return the first event to make of a run of so many, and the first one after.

        >>> [make_card(channels=["B+->K+mumu"], events=10, part=f"{k}/3").span(10) for k in (1, 2, 3)]
        [(0, 3), (3, 6), (6, 10)]
        """
        return self.range if self.range is not None else share(self.part, total)

    def for_provenance(self) -> dict[str, Any]:
        """Return the card as JSON types, able to make the same events again."""
        dumped: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return dumped


def card_keys() -> tuple[str, ...]:
    """Return all keys that a run card may have: its own, those of its model, and one a stage."""
    return (*RunCard.model_fields, "set", "theory", *(stage.key for stage in table.STAGES))


def make_card(base: CardSource | RunCard = None, **keywords: Any) -> RunCard:
    """Return a checked card from the keys of a card and keywords on top; keywords that are None do not count.

    Raises:
        InputError: an unknown key (the nearest known one is named) or a value that cannot be used.

    Example:
        >>> make_card({"channels": ["B+->K+mumu"], "model": "sm"}, events=10).events
        10
    """
    return RunCard.make(base, **keywords)


def builtin_cards() -> dict[str, Path]:
    """Return the built-in cards by name.

    >>> "demo" in builtin_cards()
    True
    """
    return cards_in(RUN_CARDS)


def read_card(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the keys of a card: a TOML file's path, a file of events (the card it was made from), or a built-in name.

    Raises:
        InputError: no such file or card, no TOML in it, or no card in its provenance.

    Example:
        >>> read_card("demo")["model"]
        'fig1-2.5gev'
    """
    return RunCard.read(name)
