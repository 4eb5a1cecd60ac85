r"""The decay modes: a row for each hadronic transition B → M, and one for each pair that comes with it.

A channel (``channels.py``) is one of each. Everything else asks the channel: names and order of columns, masses and
PDG numbers, what a detector sees, cuts on particles, ratios of lepton flavours, line shapes, chains of decays in HepMC
files. So a mode is added here, by a row at the end of `TRANSITIONS`, and nowhere else, as long as flavio knows the form
factors of its parent and hadron under these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dynamics = Literal["charged", "chi", "neutrino"]
"""Where the angular coefficients of a channel come from; the table is in ``angular.py``."""
Shape = Literal["narrow", "pwave", "swave"]
"""Line shapes of a hadron: none, its width, its width and an S wave below it (``kpi.py``)."""


@dataclass(frozen=True)
class Particle:
    """A particle of a decay.

    Attributes:
        name: flavio's, for a parent, a hadron and a lepton.
        label: in the names of columns (``k_px``) and in cuts (``pt(k)``); the parent's is ``b``.
        pdg: Monte Carlo number (PDG) in the decay of the meson with a b̄ quark.
        mass: parameter that has its mass; None if it is zero, or the model's.
        latex: name in mathtext.
    """

    name: str
    label: str
    pdg: int
    mass: str | None = None
    latex: str = ""


@dataclass(frozen=True)
class Transition:
    """One hadronic transition B → M of the meson with a b̄ quark, and how M is seen; the conjugate is understood.

    Attributes:
        number: in the ``channel`` column of files, plus ten times the pair's: 1 to 10, then 101 to 110 and so on.
            A number never changes its meaning.
        parent: the B.
        hadron: M; seen itself if it has no daughters.
        spin: of M, 0 or 1: it says which form factors, coefficients and angles there are.
        daughters: two hadrons that M decays to; θ_K is the angle of the first.
        branching: fraction of the decays of M that are generated (2/3 for K* → K π with a charged pion: isospin).
        self_tagging: whether the daughters of the conjugate are other particles; if they are the same (φ → K⁺K⁻),
            they keep their labels and numbers, both flavours have one definition of the angles, and a sample is
            untagged: ``angular.py`` says what that means.
        shapes: line shapes that M can be given; ``pwave`` and ``swave`` need a width.
        width: of M (GeV); left out of a narrow shape.
        lightest: masses of the lightest pair that a wide M can be: form factors are tabulated up to there.
    """

    number: int
    parent: Particle
    hadron: Particle
    spin: int
    daughters: tuple[Particle, ...] = ()
    branching: float = 1.0
    self_tagging: bool = True
    shapes: tuple[Shape, ...] = ("narrow",)
    width: float = 0.0
    lightest: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Parent and hadron, such as ``B0->K*0``."""
        return f"{self.parent.name}->{self.hadron.name}"

    @property
    def family(self) -> str:
        """Name of the hadron without its charge, which isospin partners share: ``K*``."""
        return self.hadron.name.rstrip("+-0")

    @property
    def hadrons(self) -> tuple[Particle, ...]:
        """Hadrons of the final state."""
        return self.daughters or (self.hadron,)


@dataclass(frozen=True)
class Pair:
    """What the hadron is produced with.

    Attributes:
        name: last part of a channel's name.
        number: in the ``channel`` column of files, the tens.
        particles: the pair; θ_ℓ is the angle of the second.
        dynamics: where the angular coefficients come from.
        latex: name in mathtext.
        lepton: flavour in names of couplings and of masses, and in tables of cuts; None: no charged leptons.
        seen: whether a detector sees it; a τ decays before, what it leaves is not generated.
    """

    name: str
    number: int
    particles: tuple[Particle, Particle]
    dynamics: Dynamics
    latex: str
    lepton: str | None = None
    seen: bool = True


B_PLUS = Particle("B+", "b", 521, "m_B+", "B^+")
B_ZERO = Particle("B0", "b", 511, "m_B0", "B^0")
B_S = Particle("Bs", "b", 531, "m_Bs", "B_s^0")
K_PLUS = Particle("K+", "k", 321, "m_K+", "K^+")
K_ZERO = Particle("K0", "k", 311, "m_K0", "K^0")
KSTAR_PLUS = Particle("K*+", "kstar", 323, "m_K*+", "K^{*+}")
KSTAR_ZERO = Particle("K*0", "kstar", 313, "m_K*0", "K^{*0}")
PHI = Particle("phi", "phi", 333, "m_phi", r"\phi")
PI_PLUS = Particle("pi+", "pi", 211, "m_pi+", r"\pi^+")
PI_MINUS = Particle("pi-", "pi", -211, "m_pi+", r"\pi^-")

# the first is the one whose angle counts: physics/angular.py says which of LHCb's signs depend on it
_KK = (Particle("K-", "km", -321, "m_K+", "K^-"), Particle("K+", "kp", 321, "m_K+", "K^+"))
_KPI: tuple[Shape, ...] = ("narrow", "pwave", "swave")
_LIGHTEST_KPI = ("m_K+", "m_pi0")  # of all charges
# widths of the K*(892): PDG 2022 (the charged one as produced in hadronic collisions)
# phi(1020): PDG 2026 (its database, PyPI's pdg 2026.0), B(phi -> K+ K-) = 0.501 +- 0.006, width 4.249 +- 0.013 MeV
TRANSITIONS: tuple[Transition, ...] = (
    Transition(1, B_PLUS, K_PLUS, 0),
    Transition(2, B_ZERO, K_ZERO, 0),
    Transition(3, B_ZERO, KSTAR_ZERO, 1, (K_PLUS, PI_MINUS), 2 / 3, True, _KPI, 0.0473, _LIGHTEST_KPI),
    Transition(4, B_PLUS, KSTAR_PLUS, 1, (K_ZERO, PI_PLUS), 2 / 3, True, _KPI, 0.0514, _LIGHTEST_KPI),
    Transition(5, B_S, PHI, 1, _KK, 0.501, self_tagging=False, width=0.004249),
)
"""Hadronic transitions."""

_MUONS = (Particle("mu", "lp", -13, "m_mu"), Particle("mu", "lm", 13, "m_mu"))
_ELECTRONS = (Particle("e", "lp", -11, "m_e"), Particle("e", "lm", 11, "m_e"))
_TAUS = (Particle("tau", "lp", -15, "m_tau"), Particle("tau", "lm", 15, "m_tau"))
_CHI = (Particle("chi", "chibar", -52), Particle("chi", "chi", 52))
_NEUTRINOS = (Particle("nu", "nubar", -14), Particle("nu", "nu", 14))
PAIRS: tuple[Pair, ...] = (
    Pair("mumu", 0, _MUONS, "charged", r"\mu^+\mu^-", "mu"),
    Pair("ee", 1, _ELECTRONS, "charged", "e^+e^-", "e"),
    Pair("chichi", 2, _CHI, "chi", r"\chi\bar\chi", seen=False),
    Pair("nunu", 3, _NEUTRINOS, "neutrino", r"\nu\bar\nu", seen=False),
    Pair("tautau", 4, _TAUS, "charged", r"\tau^+\tau^-", "tau", seen=False),
)
"""Pairs; neutrinos of all flavours together, by the number of ν_μ; χ by that of dark matter of spin 1/2."""
