"""The registry of decay channels: every mode is an entry of the table here, not an ``if`` elsewhere."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import q2_max, q2_min
from .parameters import Parameters, load_parameters


def file_word(channel: str) -> str:
    """Return a channel's name with the characters that file names can do without replaced.

    >>> file_word("B+->K*+mumu")
    'Bp_Kstpmumu'
    """
    return channel.replace("->", "_").replace("*", "st").replace("+", "p")


def lepton_pairs(names: Collection[str]) -> list[tuple[Channel, Channel]]:
    """Return the channels that differ by muons and electrons only.

    >>> [muons.name for muons, electrons in lepton_pairs(["B0->K*0mumu", "B0->K*0ee", "B+->K+ee"])]
    ['B0->K*0mumu']
    """
    muons = [CHANNELS[name] for name in names if CHANNELS[name].lepton == "mu"]
    pairs = []
    for channel in muons:
        for other in CHANNELS.values():
            if other.lepton == "e" and other.pair == channel.pair and other.name in names:
                pairs.append((channel, other))
    return pairs


V_COEFFICIENTS = ("1s", "1c", "2s", "2c", "3", "4", "5", "6s", "6c", "7", "8", "9")
"""Names of the angular coefficients J_i of B → V ℓℓ, in the order of every array of them."""
P_COEFFICIENTS = ("a", "b", "c")
"""Names of the angular coefficients of B → P ℓℓ, in the order of every array of them."""
S_COEFFICIENTS = ("S1c", "S2c", "S6c", "I1c", "I2c", "I6c", "I4", "I5", "I7", "I8")
"""Names of the coefficients that a Kπ S wave adds: its own and the interference (``swave.py``)."""
KPI_COEFFICIENTS = (*V_COEFFICIENTS, *S_COEFFICIENTS[3:])
"""Names of the coefficients of a density with S wave, whose own are in those of 1, 2, 6: sin² + cos² = 1."""
Dynamics = Literal["charged", "chi", "neutrino"]
"""Where the angular coefficients of a channel come from; the table is in ``angular.py``."""


@dataclass(frozen=True)
class Channel:
    """One decay of the B meson with a b̄ quark (B0, B+); the conjugate is understood with it.

    ``index`` is the number in the ``channel`` column of a file and never changes its meaning. ``branching``
    is the fraction of the hadron's decays that are generated (2/3 for K* → K π with a charged pion: isospin).
    The ``*_pdg`` are Monte Carlo numbers (PDG) for this meson, ``lepton_pdg`` that of the negative lepton, of
    χ (52, its spin being the model's) or of the neutrino. ``dynamics`` names where the angular coefficients
    come from: a charged pair, χχ through the light vector, or neutrinos. ``cos_theta_l`` is the angle of the
    particle with ``lepton_pdg``, so in the invisible modes that of χ and of the neutrino.

    >>> get_channel("B0->K*0mumu").daughters
    ('K+', 'pi-')
    """

    name: str
    index: int
    parent: str
    hadron: str
    final: str
    lepton: str | None
    spin: int
    daughters: tuple[str, ...]
    branching: float
    parent_pdg: int
    hadron_pdg: int
    lepton_pdg: int
    daughter_pdg: tuple[int, ...]
    latex: str
    dynamics: Dynamics = "charged"

    @property
    def angles(self) -> tuple[str, ...]:
        """Names of the decay angles, in the order of the columns of a file."""
        return ("cos_theta_k", "cos_theta_l", "phi") if self.spin == 1 else ("cos_theta_l",)

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the angular coefficients, in the order of every array of them."""
        return V_COEFFICIENTS if self.spin == 1 else P_COEFFICIENTS

    @property
    def pair(self) -> tuple[str, str]:
        """Parent and hadron: they fix the form factors and the SM, for both lepton flavours."""
        return self.parent, self.hadron

    def lepton_mass(self, parameters: Parameters | None = None) -> float:
        """Mass of the lepton (GeV); zero in a channel without charged leptons."""
        return (parameters or load_parameters())["m_" + self.lepton] if self.lepton else 0.0

    def q2_limits(self, parameters: Parameters | None = None) -> tuple[float, float]:
        """Threshold 4 m_ℓ² and endpoint (m_B - m_M)² of q2 (GeV²)."""
        known = parameters or load_parameters()
        endpoint = q2_max(known["m_" + self.parent], known["m_" + self.hadron])
        return q2_min(self.lepton_mass(known)), endpoint


#        parent hadron  spin daughters       2/3?     PDG: parent, hadron, daughters  LaTeX
_HADRONS: tuple[tuple[str, str, int, tuple[str, ...], float, int, int, tuple[int, ...], str], ...] = (
    ("B+", "K+", 0, (), 1.0, 521, 321, (), r"B^+\to K^+"),
    ("B0", "K0", 0, (), 1.0, 511, 311, (), r"B^0\to K^0"),
    ("B0", "K*0", 1, ("K+", "pi-"), 2 / 3, 511, 313, (321, -211), r"B^0\to K^{*0}"),
    ("B+", "K*+", 1, ("K0", "pi+"), 2 / 3, 521, 323, (311, 211), r"B^+\to K^{*+}"),
)
#        final, lepton, PDG of the particle whose angle it is, LaTeX, dynamics;
#        index = 10 * (row here) + row of the hadron, from 1: add rows at the end only
_PAIRS: tuple[tuple[str, str | None, int, str, Dynamics], ...] = (
    ("mumu", "mu", 13, r"\mu^+\mu^-", "charged"),
    ("ee", "e", 11, r"e^+e^-", "charged"),
    ("chichi", None, 52, r"\chi\bar\chi", "chi"),
    ("nunu", None, 14, r"\nu\bar\nu", "neutrino"),
)


def _channels() -> dict[str, Channel]:
    table: dict[str, Channel] = {}
    for j, (final, lepton, lepton_pdg, pair_latex, dynamics) in enumerate(_PAIRS):
        for i, (parent, hadron, spin, daughters, branching, b, m, d, latex) in enumerate(_HADRONS):
            name = f"{parent}->{hadron}{final}"
            table[name] = Channel(
                name=name,
                index=10 * j + i + 1,
                parent=parent,
                hadron=hadron,
                final=final,
                lepton=lepton,
                spin=spin,
                daughters=daughters,
                branching=branching,
                parent_pdg=b,
                hadron_pdg=m,
                lepton_pdg=lepton_pdg,
                daughter_pdg=d,
                latex=latex + pair_latex,
                dynamics=dynamics,
            )
    return table


CHANNELS: Mapping[str, Channel] = MappingProxyType(_channels())
"""All channels by name."""


def get_channel(name: str) -> Channel:
    """Channel by name.

    Raises InputError, with the nearest names, for one that does not exist.

    >>> get_channel("B+->K+ee").lepton
    'e'
    """
    try:
        return CHANNELS[name]
    except (KeyError, TypeError):
        near = difflib.get_close_matches(str(name), CHANNELS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "one of " + ", ".join(CHANNELS)
        raise InputError(f"channel = {name!r}: no such channel; {hint}") from None


def channel_by_index(index: int) -> Channel:
    """Channel by the number in the ``channel`` column of a file.

    >>> channel_by_index(3).name
    'B0->K*0mumu'
    """
    for channel in CHANNELS.values():
        if channel.index == index:
            return channel
    raise InputError(f"channel = {index}: no channel has this number; `darkpenguin channels` lists them")
