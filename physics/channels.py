"""The registry of decay channels: a hadronic transition and a pair, each a row of ``modes.py``."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import q2_max, q2_min
from .modes import PAIRS, TRANSITIONS, Dynamics, Pair, Particle, Shape, Transition
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
    known = [CHANNELS[name] for name in names]
    electrons = {channel.transition: channel for channel in known if channel.lepton == "e"}
    muons = [channel for channel in known if channel.lepton == "mu" and channel.transition in electrons]
    return [(channel, electrons[channel.transition]) for channel in muons]


UNTAGGED = (
    "untagged; the angles of both flavours are those of the first daughter and of the negative lepton; B mesons decay "
    "as they are produced: mixing and the width difference are left out"
)
"""What there is to know of a mode whose final state is its own conjugate."""
V_COEFFICIENTS = ("1s", "1c", "2s", "2c", "3", "4", "5", "6s", "6c", "7", "8", "9")
"""Names of the angular coefficients J_i of B → V ℓℓ, in the order of every array of them."""
P_COEFFICIENTS = ("a", "b", "c")
"""Names of the angular coefficients of B → P ℓℓ, in the order of every array of them."""
S_COEFFICIENTS = ("S1c", "S2c", "S6c", "I1c", "I2c", "I6c", "I4", "I5", "I7", "I8")
"""Names of the coefficients that a Kπ S wave adds: its own and the interference (``swave.py``)."""
KPI_COEFFICIENTS = (*V_COEFFICIENTS, *S_COEFFICIENTS[3:])
"""Names of the coefficients of a density with S wave, whose own are in those of 1, 2, 6: sin² + cos² = 1."""


@dataclass(frozen=True)
class Channel:
    """One decay of the B meson with a b̄ quark (B0, B+); the conjugate is understood with it.

    What follows from its two rows, for everybody: nothing else knows one mode from another.

    >>> channel = get_channel("B0->K*0mumu")
    >>> [particle.label for particle in channel.particles]
    ['b', 'k', 'pi', 'lp', 'lm']
    >>> channel.index, channel.lepton, channel.shapes
    (3, 'mu', ('narrow', 'pwave', 'swave'))
    """

    transition: Transition
    pair: Pair

    @property
    def name(self) -> str:
        """Name in run cards and on the command line."""
        return self.transition.name + self.pair.name

    @property
    def index(self) -> int:
        """Number in the ``channel`` column of a file."""
        return self.transition.number + 10 * self.pair.number

    @property
    def parent(self) -> str:
        """Name of the B."""
        return self.transition.parent.name

    @property
    def hadron(self) -> str:
        """Name of the hadron that the form factors are of."""
        return self.transition.hadron.name

    @property
    def spin(self) -> int:
        """Spin of the hadron."""
        return self.transition.spin

    @property
    def branching(self) -> float:
        """Fraction of the hadron's decays that are generated."""
        return self.transition.branching

    @property
    def lepton(self) -> str | None:
        """Flavour of the charged leptons; None without any."""
        return self.pair.lepton

    @property
    def seen(self) -> bool:
        """Whether a detector sees the pair; of one that it does not, momenta are those of stable particles.

        >>> get_channel("B+->K+mumu").seen, get_channel("B+->K+tautau").seen
        (True, False)
        """
        return self.pair.seen

    @property
    def dynamics(self) -> Dynamics:
        """Where the angular coefficients come from: a charged pair, χχ through the light vector, or neutrinos."""
        return self.pair.dynamics

    @property
    def latex(self) -> str:
        """The decay in mathtext."""
        return rf"{self.transition.parent.latex}\to {self.transition.hadron.latex}{self.pair.latex}"

    @property
    def ratio(self) -> str:
        """Name of the ratio of muons and electrons."""
        return f"R_{self.hadron}"

    @property
    def self_tagging(self) -> bool:
        """Whether the final state tells the B from its conjugate; if not, a sample is untagged (``angular.py``)."""
        return self.transition.self_tagging

    def angles_of(self, flavour: int) -> int:
        """Flavour whose definition of the angles is used for a flavour: its own, or always -1 if untagged.

        >>> get_channel("B0->K*0mumu").angles_of(1), get_channel("Bs->phimumu").angles_of(1)
        (1, -1)
        """
        return flavour if self.self_tagging else -1

    @property
    def remark(self) -> str:
        """What is left out of an untagged mode, in a sentence; empty for the others."""
        return "" if self.self_tagging else UNTAGGED

    def partner(self, lepton: str) -> Channel:
        """The same transition with charged leptons of another flavour.

        >>> get_channel("B+->K+nunu").partner("mu").name
        'B+->K+mumu'
        """
        return Channel(self.transition, next(pair for pair in PAIRS if pair.lepton == lepton))

    @property
    def particles(self) -> tuple[Particle, ...]:
        """The B and its final state, in the order of columns; of the pair, that whose angle is meant comes last."""
        return (self.transition.parent, *self.transition.hadrons, *self.pair.particles)

    @property
    def visible(self) -> tuple[Particle, ...]:
        """Particles of the final state that a detector sees."""
        return self.transition.hadrons + (self.pair.particles if self.pair.seen else ())

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Line shapes that the hadron can be given; the S wave is known beside charged leptons alone."""
        return tuple(shape for shape in self.transition.shapes if shape != "swave" or self.lepton is not None)

    @property
    def angles(self) -> tuple[str, ...]:
        """Names of the decay angles, in the order of the columns of a file."""
        return ("cos_theta_k", "cos_theta_l", "phi") if self.spin == 1 else ("cos_theta_l",)

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the angular coefficients, in the order of every array of them."""
        return V_COEFFICIENTS if self.spin == 1 else P_COEFFICIENTS

    def lepton_mass(self, parameters: Parameters | None = None) -> float:
        """Mass of the lepton (GeV); zero in a channel without charged leptons."""
        return (parameters or load_parameters())["m_" + self.lepton] if self.lepton else 0.0

    def q2_limits(self, parameters: Parameters | None = None) -> tuple[float, float]:
        """Threshold 4 m_ℓ² and endpoint (m_B - m_M)² of q2 (GeV²); InputError if the pair is too heavy."""
        known = parameters or load_parameters()
        endpoint = q2_max(known["m_" + self.parent], known["m_" + self.hadron])
        threshold = q2_min(self.lepton_mass(known))
        if threshold >= endpoint:
            raise InputError(
                f"theory.parameters.m_{self.lepton} = {self.lepton_mass(known):g} GeV: {self.name} needs less than "
                f"{endpoint**0.5 / 2:.6g} GeV, half of what the hadron leaves; lower it, or take another channel"
            )
        return threshold, endpoint


def combine(transitions: Sequence[Transition], pairs: Sequence[Pair]) -> dict[str, Channel]:
    """Channels by name, pair by pair; ValueError for a number, a name, or a label of a column that is taken.

    >>> list(combine(TRANSITIONS[:1], PAIRS[:2]))
    ['B+->K+mumu', 'B+->K+ee']
    """
    table: dict[str, Channel] = {}
    for channel in (Channel(transition, pair) for pair in pairs for transition in transitions):
        taken = [other.name for other in table.values() if channel.name == other.name or channel.index == other.index]
        labels = [particle.label for particle in channel.particles]
        if taken or len(set(labels)) < len(labels):
            raise ValueError(f"{channel.name}: its number {channel.index} is that of {taken}, or two of {labels} agree")
        table[channel.name] = channel
    return table


CHANNELS: Mapping[str, Channel] = MappingProxyType(combine(TRANSITIONS, PAIRS))
"""All channels by name."""
LEPTONS = tuple(pair.lepton for pair in PAIRS if pair.lepton is not None)
"""Flavours of charged leptons."""


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
