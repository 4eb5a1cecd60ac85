"""Cuts of a run: expressions that mark its events as accepted, leave the others out, or set their weights to zero.

A cut is an expression over columns and particles (:mod:`.expressions`) or the name of a preset, which asks the same of
every particle that a detector sees. Several cuts must all hold; those under ``all``, under the lepton (``mu``, ``e``)
and under the name of a channel add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from ..kinematics.errors import InputError
from ..physics.channels import CHANNELS, Channel
from ..physics.models import nearest
from .counts import array_module
from .expressions import Expression, parse

if TYPE_CHECKING:
    from .stages import Place


@dataclass(frozen=True)
class Preset:
    """A cut on every visible particle, and where its numbers are from; ``{x}`` is the particle.

    >>> PRESETS["lhcb"].cut(("k", "lp"))
    '2.0 < eta(k) < 5.0 and 2.0 < eta(lp) < 5.0'
    """

    each: str
    source: str

    def cut(self, particles: Sequence[str]) -> str:
        """Return the cut on some particles."""
        return " and ".join(self.each.format(x=particle) for particle in particles)


PRESETS: Mapping[str, Preset] = MappingProxyType({
    "lhcb": Preset("2.0 < eta({x}) < 5.0", "LHCb's acceptance, arXiv:1412.6352; neither vertices nor the magnet"),
    "belle2": Preset("0.2967 < theta({x}) < 2.6180",
                     "17 to 150 degrees of Belle II's drift chamber, arXiv:1011.0352"),
})
"""Geometries by name. A neutral kaon is asked to fly into the detector itself: its decay is not simulated."""

VISIBLE = ("k", "pi", "lp", "lm")
"""Particles that a detector sees."""


def _cuts(value: Any) -> Any:
    """Accept one cut or a list where a table of them is meant."""
    if isinstance(value, str):
        value = {"all": value}
    if isinstance(value, (list, tuple)):
        dumped = value and all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value)
        value = dict(value) if dumped else {"all": value}
    known = ["all", "mu", "e", *CHANNELS]
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"selection.cuts = {value!r}: write a cut such as 'pt(k) > 0.25', a list or a table of them")
    table = []
    for key, cuts in value.items():
        if key not in known:
            raise InputError(f"selection.cuts.{key}: no such channel or lepton; {nearest(str(key), known)}")
        cuts = (cuts,) if isinstance(cuts, str) else cuts
        if not isinstance(cuts, (list, tuple)) or not cuts or not all(isinstance(cut, str) for cut in cuts):
            raise InputError(f"selection.cuts.{key} = {cuts!r}: write a cut such as 'pt(k) > 0.25', or a list of them")
        table.append((str(key), tuple(cuts)))
    return tuple(table)


class SelectionSettings(BaseModel):
    """Table ``selection`` of a run card; a cut or a list of them may stand in its place.

    >>> SelectionSettings.model_validate(["lhcb", "q2 < 6"]).cuts
    (('all', ('lhcb', 'q2 < 6')),)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cuts: Annotated[tuple[tuple[str, tuple[str, ...]], ...], BeforeValidator(_cuts)]
    """Cuts or presets by ``all``, by lepton (``mu``, ``e``) or by channel; all that apply must hold."""

    mode: Literal["flag", "reject", "weight"] = "flag"
    """``flag``: a column ``accepted``; ``reject``: the others are left out; ``weight``: the others weigh nothing."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, (str, list, tuple)):
            return {"cuts": value}
        return value

    def expressions(self, channel: Channel, columns: Sequence[str]) -> tuple[Expression, ...]:
        """Return the checked cuts of a channel that has these columns.

        Raises:
            InputError: a cut that cannot be evaluated there, or one that is a number.

        Example:
            >>> from darkpenguin.physics.channels import get_channel
            >>> settings = SelectionSettings(cuts={"mu": "q2 < 6", "e": "q2 < 8"})
            >>> [cut.text for cut in settings.expressions(get_channel("B+->K+mumu"), ["q2"])]
            ['q2 < 6']
        """
        found = []
        for key, cuts in self.cuts:
            if key not in ("all", channel.lepton, channel.name):
                continue
            for cut in cuts:
                text = cut
                if cut.strip().isidentifier() and cut.strip() not in columns:   # a preset's name is no cut on a column
                    text = _preset(cut.strip(), key, columns)
                expression = parse(text, columns, f"selection.cuts.{key}")
                if not expression.logical:
                    raise InputError(f"selection.cuts.{key} = {text!r}: a number; compare it, as in {text} > 0")
                found.append(expression)
        return tuple(found)


@lru_cache(maxsize=32)
def _expressions(settings: SelectionSettings, channel: Channel, columns: tuple[str, ...]) -> tuple[Expression, ...]:
    """Checked cuts of a channel, once for all its chunks."""
    return settings.expressions(channel, columns)


def _preset(name: str, key: str, columns: Sequence[str]) -> str:
    if name not in PRESETS:
        raise InputError(f"selection.cuts.{key} = {name!r}: no such preset or column; {nearest(name, PRESETS)}")
    particles = [particle for particle in VISIBLE if f"{particle}_px" in columns]
    if not particles:
        raise InputError(f"selection.cuts.{key} = {name!r}: needs momenta in the laboratory; name a beam")
    return PRESETS[name].cut(particles)


def merge_selection(known: Any, cuts: Sequence[str] | None, mode: str | None) -> Any:
    """Table ``selection`` of a card with what the command line says on top; None if it says nothing.

    >>> merge_selection("lhcb", None, "reject")
    {'cuts': 'lhcb', 'mode': 'reject'}
    """
    if not cuts and mode is None:
        return None
    table = dict(known) if isinstance(known, Mapping) else {} if known is None else {"cuts": known}
    if cuts:
        table["cuts"] = list(cuts)
    if mode is not None:
        table["mode"] = mode
    if "cuts" not in table:
        raise InputError(f"selection.mode = {mode!r}: nothing is selected; name a cut too")
    return table


def combine(expressions: Sequence[Expression], columns: Mapping[str, Any], masses: Mapping[str, float]) -> Any:
    """Return whether each event passes all of some cuts (NumPy columns); NaN passes none.

    >>> combine([parse("q2 > 1", ["q2"])], {"q2": np.array([0.5, 2.0])}, {}).tolist()
    [False, True]
    """
    passed = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for expression in expressions:
        passed &= expression.evaluate(columns, masses)
    return passed


@dataclass(frozen=True)
class SelectionStage:
    """The stage that applies the cuts of a run."""

    settings: SelectionSettings

    @property
    def adds(self) -> Mapping[str, str]:
        """New columns: their types by name."""
        return {"accepted": "i4"} if self.settings.mode == "flag" else {}

    @property
    def removes(self) -> bool:
        """Whether events are left out."""
        return self.settings.mode == "reject"

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if a cut cannot be evaluated on a channel with these columns."""
        self.settings.expressions(channel, columns)

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Mark, leave out or weight the events of a chunk."""
        from .events import to_host
        from .momenta import masses
        from .stages import keep
        from .toys import split_work

        found, library = dict(columns), array_module(columns["q2"])
        expressions = _expressions(self.settings, place.channel, tuple(columns))
        names = {"q2", *(name for expression in expressions for name in expression.inputs)}
        on_host = {name: to_host(columns[name]) for name in names}
        moving = any(name.endswith("_px") for name in names)
        known = masses(place.channel, place.model) if moving else {}
        known |= {f"{name}_reco": mass for name, mass in known.items()}
        n = len(on_host["q2"])
        flags = np.empty(n, dtype=bool)

        def work(low: int, high: int) -> None:
            flags[low:high] = combine(expressions, {name: c[low:high] for name, c in on_host.items()}, known)

        split_work(work, n, place.threads if n > 20_000 else 1)
        passed = library.asarray(flags)
        if self.settings.mode == "weight":
            found["weight"] = columns["weight"] * passed.astype(columns["weight"].dtype)
            return found
        return keep(found, passed, self.settings.mode)

    def describe(self) -> Mapping[str, Any]:
        """Cuts and mode, with the presets written out."""
        cuts = {key: list(texts) for key, texts in self.settings.cuts}
        named = {cut for texts in cuts.values() for cut in texts if cut in PRESETS}
        presets = {name: {"each": PRESETS[name].each, "source": PRESETS[name].source} for name in sorted(named)}
        return {"selection": {"mode": self.settings.mode, "cuts": cuts, "presets": presets}}
