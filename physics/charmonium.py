r"""What charm and light vector mesons do to B → K(*) ℓℓ beyond perturbation theory: a coherent sum of resonances.

Each resonance V adds to C9, in the amplitude of each polarisation λ (longitudinal, parallel, perpendicular; of a K,
whose amplitude is one, only the first),

.. math:: \Delta C_9^\lambda(q^2) = |\eta_\lambda|\,e^{i\delta_\lambda}\,
          \frac{m\,\Gamma}{m^2-q^2-i\,m\,\Gamma}
          \Big[\times\frac{q^2-q_0^2}{m^2-q_0^2}\Big],

as LHCb does for B+ → K+ μμ (arXiv:1612.06764) and, by polarisation, for B0 → K*0 μμ (arXiv:2405.17347). It multiplies
the local amplitude of C9, form factor included; δ = 0 is naive factorisation (positive below the pole), and η and δ,
which are strong, are the same for the CP conjugate. Widths are fixed.

**Sizes.** The resonance alone, integrated over q2, is its branching fraction:

.. math:: \tau_B\,|\eta_\lambda|^2\int\!dq^2\,k_\lambda(q^2)\,\Big|\frac{\Delta C_9^\lambda}{\eta_\lambda}\Big|^2
          = f_\lambda\,B(B\to MV)\,B(V\to e^+e^-),

k_λ being dΓ/dq2 of an e+e- pair for ΔC9 = 1 in that amplitude alone, f_λ the fraction of the polarisation. So |η| is
the same for muons, whose rate follows from it. The form factors cancel in the rate at the pole.

**What is not measured.** A transition without branching fraction takes η of its isospin partner (B0 → K0 of B+ → K+,
K*+ of K*0); of the K*, resonances without any take that of the K, as naive factorisation has it: of J/ψ and ψ(2S),
where all are known, |η| of K and K* differ by up to a factor of two. Rates of B → K(*) ρ, ω and φ are of charmless
decays, whose CP violation is left out. Without fractions of the polarisation all three |η| are equal; without their
phases all three δ. The S wave of Kπ takes ΔC9 of the longitudinal K*.

**The subtraction.** ``nonlocal = "resonances"`` is the sum as it stands, on top of flavio's C9 with its perturbative
charm loop: far below the poles charm then counts twice, unless the phases are such that the sum is imaginary there.
``"dispersive"`` writes the charm loop as a dispersion relation, subtracted once at q0² ≤ 0, where perturbation theory
holds (arXiv:1006.4945, 1211.0234, 2401.18007): every charmonium has the factor in brackets, and of the one-loop
function h(q², m_c) of the four-quark operators only the value at q0² is kept. From q0² on, J/ψ and ψ(2S) take its
place below open charm, and above it the loop with its threshold at 4 m_D², which the broad ψ modulate. The light
mesons, which are not charm, are as they stand, and two-loop corrections and spectator scattering stay flavio's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import kallen
from .channels import Channel
from .fields import Complex, Positive
from .mediators import Array, ComplexArray, Current, Decay, Mark, Mediator, NewPhysics, Scheme, Term
from .modes import TRANSITIONS, Transition
from .parameters import Parameters
from .resonances import LIGHT, PHASES, Changes, Row, resonance_rows
from .theory import Theory

NARROW_CHARMONIA = (8.68, 14.0)
"""Range of q2 (GeV²) in which an amplitude without them means nothing."""
POLARISATIONS = ("0", "par", "perp")
"""Of the K*, in the order of all arrays of them; a K has the first."""


class Local(Hashable, Protocol):
    """What is asked of the local amplitudes of a transition, see `amplitudes.StandardModel`."""

    @property
    def spin(self) -> int:
        """Of the hadron."""

    @property
    def m_parent(self) -> float:
        """Mass of the B (GeV)."""

    @property
    def m_hadron(self) -> float:
        """Mass of the hadron (GeV)."""

    @property
    def prefactors(self) -> ComplexArray:
        """N (GeV⁻²) of the decay and of its conjugate."""

    def form_factors(self, q2: npt.ArrayLike) -> dict[str, Array]:
        """Form factors by name."""


class Resonance(Mediator):
    """A vector meson on its way from the four-quark operators to a pair of leptons, of either flavour.

    ``subtraction`` is q0² (GeV²) of the dispersion relation, None without one.

    >>> one = Resonance(name="J/psi", mass=3.0969, width=9.26e-5, eta_0=8000j)
    >>> complex(one.wave(Decay("mu", 0.1, 4.2), np.array([3.0969**2]), "fixed")[0]).imag
    1.0
    """

    width: Positive
    eta_0: Complex = 0j
    eta_par: Complex = 0j
    eta_perp: Complex = 0j
    subtraction: float | None = None

    @property
    def total_width(self) -> float:
        """Total width (GeV)."""
        return self.width

    @classmethod
    def linear_fields(cls) -> frozenset[str]:
        """The three η."""
        return frozenset(f"eta_{name}" for name in POLARISATIONS)

    def terms(self, decay: Decay) -> list[Term]:
        """A shift of C9 in each amplitude, whose phase is strong."""
        return [Term(f"C9_{name}", (f"eta_{name}",), {f"v{name}": 1.0}, weak=False) for name in POLARISATIONS]

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> Current:
        """The line shape, +i at the pole; its width is always the fixed one."""
        size = self.mass * self.width
        shape = size / (self.mass**2 - q2 - 1j * size)
        if self.subtraction is not None:
            shape = shape * (q2 - self.subtraction) / (self.mass**2 - self.subtraction)
        return np.asarray(shape)


class OpenCharm(NewPhysics):
    r"""The one-loop charm function above open charm, instead of flavio's: see the module's text.

    ΔC9 = T [h(q², m_D) - h(q0², m_D) - h(q², m_c) + h(q0², m_c)], with h of arXiv:hep-ph/0106067, eq. (11), and
    T = ``loop`` = 4/3 C1 + C2 + 6 C3 + 60 C5 + V_ub V_us*/(V_tb V_ts*) (4/3 C1 + C2) as in flavio's C9eff.
    """

    loop: Complex
    m_c: Positive
    m_d: Positive
    subtraction: float

    @classmethod
    def linear_fields(cls) -> frozenset[str]:
        """The coefficient."""
        return frozenset({"loop"})

    def terms(self, decay: Decay) -> list[Term]:
        """A shift of C9; the phase of its coefficient is that of CKM elements."""
        return [Term("C9", ("loop",), {"v": 1.0})]

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> Current:
        """The difference of the two loops."""
        at = np.array([self.subtraction])
        heavy = charm_loop(q2, self.m_d) - charm_loop(at, self.m_d)
        return np.asarray(heavy - charm_loop(q2, self.m_c) + charm_loop(at, self.m_c))

    def marks(self, channel: Channel, scheme: Scheme) -> list[Mark]:
        """The threshold, a square root."""
        return [Mark(4.0 * self.m_d**2, 0.01, 0.6)]


def charm_loop(q2: Array, mass: float) -> ComplexArray:
    r"""h(q², m) - h(0, m), the loop of a quark of mass m (GeV), eq. (11) of arXiv:hep-ph/0106067, at q2 (GeV²).

    With z = 4m²/q² it is :math:`\frac{20}{27}+\frac49z-\frac49(2+z)\sqrt{|1-z|}\,A`, A = arctan(1/√(z-1)) below
    threshold, ln[(1+√(1-z))/√z] - iπ/2 above, ln[(1+√(1-z))/√-z] for q2 < 0; 4 q²/(45 m²) for small q2.

    >>> charm_loop(np.array([-1.0, 0.0, 1.0, 20.0]), 1.7).round(4)
    array([-0.0297+0.j    ,  0.    +0.j    ,  0.032 +0.j    ,  0.4211+1.1692j])
    """
    s = np.asarray(q2, dtype=float)
    small = np.abs(s) < 1e-4 * mass**2
    z = 4.0 * mass**2 / np.where(small, 1.0, s)
    root = np.sqrt(np.abs(1.0 - z))
    beyond = np.log((1.0 + root) / np.sqrt(np.abs(z))) - 0.5j * np.pi * (s > 0)
    below = np.arctan(1.0 / np.where(root > 0, root, np.inf))
    loop = 20 / 27 + 4 / 9 * z - 4 / 9 * (2.0 + z) * root * np.where(z > 1.0, below, beyond)
    return np.asarray(np.where(small, 4 / 45 * s / mass**2, loop))


def local_rates(local: Local, q2: Array, m_lepton: float) -> Array:
    r"""k_λ(q2), dΓ/dq2 (1/GeV) for ΔC9 = 1 in the amplitude of one polarisation alone; shape (1 or 3, n).

    .. math:: k_\lambda = \frac{\sqrt\lambda\,\beta}{2^7\pi^3m_B^3}\,q^2(1-\tfrac13\beta^2)\,|\hat H_\lambda|^2,\qquad
       \hat H_0 = \tfrac{4m_Bm_VA_{12}}{\sqrt{q^2}},\ \hat H_\parallel = \tfrac{(m_B+m_V)A_1}{\sqrt2},\
       \hat H_\perp = \tfrac{\sqrt\lambda\,V}{\sqrt2(m_B+m_V)},

    times |N|²; of a K :math:`\hat H = \sqrt\lambda f_+/(2\sqrt{q^2})`. Their sum is what ``angular.decay_rate`` gives.
    """
    m_b, m_h, ff = local.m_parent, local.m_hadron, local.form_factors(q2)
    momentum = np.sqrt(kallen(q2, m_b**2, m_h**2))
    b2 = np.maximum(1.0 - 4.0 * m_lepton**2 / q2, 0.0)
    phase_space = momentum * np.sqrt(b2) / (128.0 * np.pi**3 * m_b**3) * q2 * (1.0 - b2 / 3.0)
    if local.spin == 0:
        amplitudes = [0.5 * momentum * ff["f+"] / np.sqrt(q2)]
    else:
        total = math.sqrt(2.0) * (m_b + m_h)
        amplitudes = [
            4.0 * m_b * m_h * ff["A12"] / np.sqrt(q2),
            0.5 * total * ff["A1"],
            momentum * ff["V"] / total,
        ]
    n2 = abs(local.prefactors[0]) ** 2
    return np.asarray(n2 * phase_space * np.stack(amplitudes) ** 2)


@lru_cache(maxsize=1024)
def peak_integrals(local: Local, resonance: Resonance, m_lepton: float) -> Array:
    """Rates (GeV) of a resonance alone for η = 1, by polarisation: k_λ |line shape|² over all of phase space."""
    low, high = 4.0 * m_lepton**2, (local.m_parent - local.m_hadron) ** 2
    pole, size = resonance.mass**2, resonance.mass * resonance.width
    steps = size * 2.0 ** np.arange(-2.0, math.log2(high / size) + 1.0)
    edges = np.concatenate([pole - steps, [pole], pole + steps, low * 2.0 ** np.arange(0.0, math.log2(high / low))])
    edges = np.unique(np.clip(np.append(edges, high), low, high))
    x, w = np.polynomial.legendre.leggauss(12)
    theta = 0.25 * np.pi * (x + 1.0)
    width = np.diff(edges)[:, None]
    q2 = (edges[:-1, None] + width * np.sin(theta) ** 2).ravel()
    weights = (width * np.sin(2.0 * theta) * 0.25 * np.pi * w).ravel()
    shape = np.abs(resonance.wave(Decay("e", m_lepton, 1.0), q2, "fixed")) ** 2
    rates = np.asarray(local_rates(local, q2, m_lepton) @ (weights * shape))
    rates.setflags(write=False)
    return rates


def missing_charm(channel: Channel, theory: Theory, q2: Sequence[tuple[float, float]] | Array = ()) -> str:
    """One line on what the amplitude of a channel lacks in ranges of q2 (GeV²; all of it if empty); empty if nothing.

    >>> from darkpenguin.physics.channels import get_channel
    >>> missing_charm(get_channel("B+->K+mumu"), Theory(), [(1.1, 6.0)])
    ''
    >>> missing_charm(get_channel("B+->K+mumu"), Theory())[:43]
    'q2 from 8.68 to 14 GeV^2: J/psi and psi(2S)'
    """
    low, high = NARROW_CHARMONIA
    overlaps = len(q2) == 0 or any(a < high and b > low for a, b in q2)
    if channel.lepton is None or theory.nonlocal_ != "flavio" or not overlaps:
        return ""
    way = "add them with nonlocal = 'resonances' or 'dispersive', or " if _donors(channel.transition) else ""
    return (
        f"q2 from {low:g} to {high:g} GeV^2: J/psi and psi(2S), which make up nearly all of it, are not in flavio's "
        f"amplitude; {way}leave that q2 out"
    )


def check_charm(channel: Channel, theory: Theory, bins: Sequence[tuple[float, float]]) -> None:
    """Refuse bins of q2 (GeV²) with the J/ψ or the ψ(2S) in them where the amplitude has neither.

    >>> from darkpenguin.physics.channels import get_channel
    >>> check_charm(get_channel("B+->K+mumu"), Theory(), [(1.1, 6.0), (11.0, 12.5)])

    Raises:
        InputError: such a bin.
    """
    if channel.lepton is None or theory.nonlocal_ != "flavio":
        return
    for low, high in bins:
        inside = [name for name in ("J/psi", "psi(2S)") if low < resonance_rows()[name].mass ** 2 < high]
        if inside:
            raise InputError(
                f"bins: {low:g} to {high:g} GeV^2 has the {' and the '.join(inside)} in it, which is not in the "
                f"amplitude of {channel.name}; end it at {NARROW_CHARMONIA[0]:g} or begin it at {NARROW_CHARMONIA[1]:g}"
                + (", or add nonlocal = 'resonances' or 'dispersive'" if _donors(channel.transition) else "")
            )


def nonlocal_parts(
    transition: Transition, theory: Theory, local: Callable[[Transition], Local], known: Parameters
) -> tuple[NewPhysics, ...]:
    """What a theory's ``nonlocal`` adds to the local amplitudes of a transition: resonances, and open charm.

    ``local`` gives the local amplitudes of a transition, ``known`` the parameters, both of this theory.

    Raises:
        InputError: a transition of which too little is known.
    """
    if theory.nonlocal_ == "flavio":
        return ()
    if not _donors(transition):
        raise InputError(
            f"theory.nonlocal = {theory.nonlocal_!r}: no resonances here for {transition.name}, since mixing and the "
            "width difference of B_s -> V phi are left out; take nonlocal = 'flavio' for it"
        )
    subtraction = theory.subtraction if theory.nonlocal_ == "dispersive" else None
    found: list[NewPhysics] = []
    for name in theory.lines:
        one = _resonance(resonance_rows()[name], transition, theory, subtraction, local, known)
        found += [one] if one is not None else []
    if subtraction is not None:
        loop = known["charm_c"] + known["charm_u"] * complex(known["xi_u_re"], known["xi_u_im"]) / complex(
            known["xi_t_re"], known["xi_t_im"]
        )
        found.append(OpenCharm(loop=loop, m_c=known["m_c_pole"], m_d=known["m_D0"], subtraction=subtraction))
    return tuple(found)


def _donors(transition: Transition) -> list[Transition]:
    """Transitions whose η a transition may take, the nearest first: its own, the isospin partner's, those of the K."""
    measured = {mode for row in resonance_rows().values() for mode in row.decays}
    rows = [other for other in TRANSITIONS if other.name in measured]
    families = dict.fromkeys((transition.family, "K"))
    near = [other for family in families for other in rows if other.family == family]
    return sorted(near, key=lambda other: other != transition) if transition in rows else []


def _measured(row: Row, changes: Changes, transition: Transition) -> dict[str, float] | None:
    """Numbers of a decay by name, those of its polarisation from the isospin partner if need be; None without B."""
    own = _numbers(row, changes, transition)
    if "branching" not in own:
        return None
    for other in TRANSITIONS:
        if other.family == transition.family:
            own = {**_numbers(row, changes, other), **own}
    return own


def _numbers(row: Row, changes: Changes, transition: Transition) -> dict[str, float]:
    """Numbers of a decay by name, measured or set."""
    own = dict(row.decays.get(transition.name, {}))
    for key in ("branching", "f_long", "f_perp"):
        table = getattr(changes, key)
        if transition.name in table:
            own[key] = table[transition.name]
    return own


def _resonance(
    row: Row,
    transition: Transition,
    theory: Theory,
    subtraction: float | None,
    local: Callable[[Transition], Local],
    known: Parameters,
) -> Resonance | None:
    """A resonance with the η that its branching fractions and the phases of a theory give; None if it has none."""
    changes = theory.resonances.get(row.name, Changes())
    mass, width = theory.lines[row.name]
    unsubtracted = row.name in LIGHT
    bare = Resonance(name=row.name, mass=mass, width=width, subtraction=None if unsubtracted else subtraction)
    for donor in _donors(transition):
        numbers = _measured(row, changes, donor)
        if numbers is None:
            continue
        rates = peak_integrals(local(donor), bare, known["m_e"])
        electrons = row.electrons if changes.ee is None else changes.ee
        wanted = numbers["branching"] * electrons / known[f"tau_{donor.parent.name}"]
        if {"f_long", "f_perp"} <= set(numbers) and len(rates) == 3:
            transverse = max(1.0 - numbers["f_long"] - numbers["f_perp"], 0.0)
            sizes = np.sqrt(wanted * np.array([numbers["f_long"], transverse, numbers["f_perp"]]) / rates)
        else:
            sizes = np.full(len(rates), math.sqrt(wanted / rates.sum()))
        if len(sizes) < len(POLARISATIONS):
            sizes = np.full(3 if transition.spin else 1, sizes[0])
        first = PHASES[theory.phases][row.name] if changes.phase is None else changes.phase
        if transition.spin and changes.phase_0 is not None:
            first = changes.phase_0
        phases = {"0": first}
        for name, given in (("par", changes.phase_par), ("perp", changes.phase_perp)):
            # in the experiments' convention the phases of naive factorisation are π, in ours 0
            usual = numbers[f"phi_{name}"] + math.pi if f"phi_{name}" in numbers else 0.0
            phases[name] = first + (usual if given is None else given)
        etas = {
            f"eta_{name}": complex(size * np.exp(1j * phases[name]))
            for name, size in zip(POLARISATIONS, sizes, strict=False)
        }
        return bare.model_copy(update=etas) if sizes.any() else None
    return None
