"""What a run card says of the detector: resolutions, selections, efficiency maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.channels import CHANNELS, LEPTONS, Channel
from .expressions import Expression, parse


class StageSettings(BaseModel):
    """A stage's table in a run card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def fit(self, channel: Channel) -> None:
        """Raise InputError if the table has nothing for a channel."""

    @property
    def altered(self) -> str | None:
        """What leaves events out or weights them, such as ``mode = 'reject'``; None if nothing does."""
        return None


class FilterSettings(StageSettings):
    """A table that says what becomes of events that are not accepted."""

    mode: Literal["flag", "reject", "weight"] = "flag"
    """``flag``: a column ``accepted``; ``reject``: the others are left out; ``weight``: a factor of ``weight``."""

    @property
    def altered(self) -> str | None:
        """The mode, if it is not ``flag``."""
        return None if self.mode == "flag" else f"mode = {self.mode!r}"


def _maps(value: Any) -> Any:
    """Accept one map where a table of them is meant; FILE or KEY=FILE in a list."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        value = [str(value)]
    known = ["all", *LEPTONS, *CHANNELS]
    if isinstance(value, (list, tuple)):
        pairs = {}
        for item in value:
            if isinstance(item, (list, tuple)) and len(item) == 2:  # as a model dumps it
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


class KaonSettings(StageSettings):
    """Table ``kaons`` of a run card; its word may stand in its place.

    >>> KaonSettings.model_validate("mixed").kinds
    'mixed'
    """

    kinds: Literal["mixed"] = "mixed"
    """What neutral kaons are: half of them K_S, half K_L."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"kinds": value} if isinstance(value, str) else value


class EfficiencySettings(FilterSettings):
    """Table ``efficiency`` of a run card.

    >>> EfficiencySettings(maps={"mu": "mu.toml", "e": 0.3}).maps
    (('mu', 'mu.toml'), ('e', '0.3'))
    """

    maps: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_maps)]
    """Files (or numbers) by channel, by lepton (``mu``, ``e``), or for ``all``; the first of these that fits counts."""

    def fit(self, channel: Channel) -> None:
        """Raise InputError if no map is named for a channel."""
        self.source(channel)

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


class Track(BaseModel):
    """Momentum resolution of one kind of track."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    constant: float = Field(default=0.0, ge=0.0, le=0.1)
    """a: relative resolution from multiple scattering."""

    slope: float = Field(default=0.0, ge=0.0, le=0.01)
    """b: growth with the momentum (1/GeV)."""

    transverse: bool = False
    """Whether b multiplies the transverse momentum; also of a photon's threshold."""


class Electron(Track):
    """Momentum resolution of electrons, their radiation and its recovery."""

    thickness: float = Field(default=0.0, ge=0.0, le=2.0)
    """t: material in front of the magnet, in radiation lengths."""

    recovery: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability that a photon above the threshold is found and added to its electron."""

    threshold: float = Field(default=0.0, ge=0.0)
    """Smallest (transverse) energy of a photon that can be found (GeV)."""

    stochastic: float = Field(default=0.0, ge=0.0, le=1.0)
    """s: stochastic term of the photon's resolution (√GeV)."""

    calorimeter: float = Field(default=0.0, ge=0.0, le=0.5)
    """c: constant term of the photon's resolution."""


class ResolutionSettings(StageSettings):
    """Table ``resolution`` of a run card: a preset, or the resolution of every kind of track.

    >>> ResolutionSettings.model_validate("lhcb").hadron.constant
    0.005
    """

    preset: str | None = None
    """Detector whose numbers are taken where nothing else is said: lhcb, lhcb-run3, lhcb-upgrade2 or belle2."""

    hadron: Track = Track()
    """Charged kaons and pions; neutral kaons are treated alike."""

    muon: Track = Track()
    """Muons."""

    electron: Electron = Electron()
    """Electrons."""

    missing: Literal["inclusive", "tagged"] = "inclusive"
    """How q2 is reconstructed where the pair is not seen."""

    momenta: bool = False
    """Whether reconstructed momenta become columns (``k_reco_px`` ...): cuts then know ``pt(k_reco)``."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, data: Any) -> Any:
        """Accept a preset's name, and put what is said on top of a preset's numbers."""
        if isinstance(data, str):
            data = {"preset": data}
        if not isinstance(data, Mapping) or data.get("preset") is None:
            return data
        name = data["preset"]
        if not isinstance(name, str) or name not in RESOLUTIONS:
            raise InputError(f"resolution.preset = {name!r}: no such detector; {nearest(str(name), RESOLUTIONS)}")
        merged = {kind: dict(table) for kind, table in RESOLUTIONS[name].tracks.items()}
        for key, value in data.items():
            merged[key] = {**merged[key], **value} if key in merged and isinstance(value, Mapping) else value
        return merged


@dataclass(frozen=True)
class Detector:
    """Resolutions that have a name, and where their numbers are from.

    >>> RESOLUTIONS["lhcb-run3"].source.startswith("assumed")
    True
    """

    tracks: Mapping[str, Mapping[str, Any]]
    source: str


_LHCB_TRACK = {"constant": 0.005, "slope": math.sqrt(0.01**2 - 0.005**2) / 200.0}
_LHCB = {
    "hadron": _LHCB_TRACK,
    "muon": _LHCB_TRACK,
    # VELO, RICH1 and TT have about a quarter of a radiation length together; with this recovery about half of the
    # electrons get a photon back
    "electron": {
        **_LHCB_TRACK,
        "thickness": 0.25,
        "recovery": 0.75,
        "threshold": 0.075,
        "stochastic": 0.10,
        "calorimeter": 0.01,
    },
}
_BELLE2_TRACK = {"constant": 0.003, "slope": 0.001, "transverse": True}
_BELLE2 = {
    "hadron": _BELLE2_TRACK,
    "muon": _BELLE2_TRACK,
    "electron": {**_BELLE2_TRACK, "thickness": 0.04, "recovery": 0.5, "threshold": 0.05, "calorimeter": 0.02},
}
RESOLUTIONS: Mapping[str, Detector] = MappingProxyType(
    {
        "lhcb": Detector(
            _LHCB,
            "Run 1 and 2, arXiv:1412.6352: 0.5 % below 20 GeV, 1 % at 200 GeV, ECAL 10 %/√E ⊕ 1 %, photons above "
            "E_T = 75 MeV; material and recovery are round numbers",
        ),
        "lhcb-run3": Detector(_LHCB, "assumed: that of Run 1 and 2, times 1; no number of Run 3 could be read"),
        "lhcb-upgrade2": Detector(
            _LHCB, "assumed: that of Run 1 and 2, times 1; no number of Upgrade II could be read"
        ),
        "belle2": Detector(
            _BELLE2,
            "arXiv:1011.0352: 0.1 % p_T ⊕ 0.3 %/β with the vertex detector, about 0.04 radiation lengths; recovery and "
            "photons are round numbers",
        ),
    }
)
"""Resolutions by name; round and assumed numbers are to be replaced by those of an analysis."""


@dataclass(frozen=True)
class Preset:
    """A cut that has a name, and where its numbers are from.

    Attributes:
        source: paper or assumption.
        each: what is asked of every visible particle, ``{x}`` in it.
        lepton: what is asked of an event, by its lepton.

    Example:
        >>> PRESETS["lhcb"].cut("mu", ("k", "lp"))
        '2.0 < eta(k) < 5.0 and 2.0 < eta(lp) < 5.0'
        >>> PRESETS["lhcb_b_mass"].cut("e", ("k", "lp"))
        '4.5 < m_b_reco < 6.2'
    """

    source: str
    each: str = ""
    lepton: Mapping[str, str] = field(default_factory=dict)

    def cut(self, lepton: str | None, particles: Sequence[str]) -> str:
        """Return the cut on events with this lepton and these particles; empty if there is none for its pair."""
        if self.each:
            return " and ".join(self.each.format(x=particle) for particle in particles)
        return self.lepton.get(lepton or "", "")


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "lhcb": Preset("LHCb's acceptance, arXiv:1412.6352; neither vertices nor the magnet", "2.0 < eta({x}) < 5.0"),
        "belle2": Preset(
            "17 to 150 degrees of Belle II's drift chamber, arXiv:1011.0352", "0.2967 < theta({x}) < 2.6180"
        ),
        "lhcb_b_mass": Preset(
            "fits of R_K*0 in Run 1, thesis of L. Pescatore (2016; github.com/lucapescatore88/mythesis, RKst/fit.tex)",
            lepton={"mu": "5.15 < m_b_reco < 5.80", "e": "4.5 < m_b_reco < 6.2"},
        ),
        "lhcb_run3_b_mass": Preset(
            "R_K and R_K*0 in Run 3, q2 below the J/psi (github.com/acampove/rx_run3, rx_selection_data, v2)",
            lepton={"mu": "5.15 < m_b_reco < 5.85", "e": "4.6 < m_b_reco < 6.2"},
        ),
    }
)
"""Cuts by name: geometries, and windows in the reconstructed mass of the B.

A neutral kaon is asked to fly into the detector itself, not its pions (``kaons``).
"""


def _cuts(value: Any) -> Any:
    """Accept one cut or a list where a table of them is meant."""
    if isinstance(value, str):
        value = {"all": value}
    if isinstance(value, (list, tuple)):
        dumped = value and all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value)
        value = dict(value) if dumped else {"all": value}
    known = ["all", *LEPTONS, *CHANNELS]
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


class SelectionSettings(FilterSettings):
    """Table ``selection`` of a run card; a cut or a list of them may stand in its place.

    >>> SelectionSettings.model_validate(["lhcb", "q2 < 6"]).cuts
    (('all', ('lhcb', 'q2 < 6')),)
    """

    cuts: Annotated[tuple[tuple[str, tuple[str, ...]], ...], BeforeValidator(_cuts)]
    """Cuts, or names of cuts, by ``all``, by lepton (``mu``, ``e``) or by channel; all that apply must hold."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, (str, list, tuple)):
            return {"cuts": value}
        if isinstance(value, Mapping) and "mode" in value and "cuts" not in value:
            raise InputError(f"selection.mode = {value['mode']!r}: nothing is selected; name a cut too, in cuts")
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
                if cut.strip().isidentifier() and cut.strip() not in columns:  # a preset's name is no cut on a column
                    text = _preset(cut.strip(), key, channel, columns)
                expression = parse(text, columns, f"selection.cuts.{key}")
                if not expression.logical:
                    raise InputError(f"selection.cuts.{key} = {text!r}: a number; compare it, as in {text} > 0")
                found.append(expression)
        return tuple(found)


def _preset(name: str, key: str, channel: Channel, columns: Sequence[str]) -> str:
    if name not in PRESETS:
        raise InputError(f"selection.cuts.{key} = {name!r}: no such preset or column; {nearest(name, PRESETS)}")
    particles = [particle.label for particle in channel.visible]
    cut = PRESETS[name].cut(channel.lepton, particles)
    if not cut:
        raise InputError(f"selection.cuts.{key} = {name!r}: {channel.name} has no pair whose mass is reconstructed")
    if PRESETS[name].each and not all(f"{particle}_px" in columns for particle in particles):
        raise InputError(f"selection.cuts.{key} = {name!r}: needs momenta in the laboratory; name a beam")
    if PRESETS[name].lepton and "m_b_reco" not in columns:
        raise InputError(f"selection.cuts.{key} = {name!r}: needs the mass of the reconstructed B; name a resolution")
    return cut
