r"""B → K(*) χχ through the light vector, and B → K(*) νν̄ of the Standard Model and of V.

Both are decays of a virtual vector V* → pair, so the angular coefficients are those of B → K(*) ℓℓ with a lepton
tensor that depends on the pair: in the frame of the pair, with n the direction of χ (of the neutrino),

.. math:: L^{ij} = A\,\delta^{ij} + B\,n^in^j + i\,C\,\epsilon^{ijk}n^k .

Massive Dirac χ with a vector coupling: A = 1, B = -β². Complex scalar: A = 0, B = β²/2. Left-handed neutrinos:
A = 2, B = C = -2. A V of helicity 0 thus decays as 1 - β²c² or c², one of helicity ±1 as (2 - β² + β²c²)/2 or
(1 - c²)/2, c = cos_theta_l: **the angle of these modes is that of χ**, measured as the negative lepton's is in
B → K(*) ℓℓ (of the neutrino in νν̄). The currents of χ and of massless neutrinos are conserved, so the
longitudinal part of the propagator, eq. (7)'s C_P, does not contribute.

Each V has its own χ: several V add incoherently in χχ. In νν̄ all V add to the Standard Model amplitude of
ν_μ; ν_e and ν_τ are the Standard Model's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .amplitudes import StandardModel, standard_model
from .channels import Channel
from .models import LightVector, Model, invisible_width
from .parameters import load_parameters
from .widths import velocity

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
Coupling = complex | ComplexArray


@dataclass(frozen=True)
class PairTensor:
    """Tensor of the pair that V decays to, times its velocity: parts along delta_ij, n_i n_j and epsilon_ijk n_k."""

    isotropic: FloatArray
    aligned: FloatArray
    chiral: FloatArray


def chi_tensor(vector: LightVector, q2: FloatArray) -> PairTensor:
    """Tensor of χχ at q2 (GeV²), zero below threshold; without the coupling g_χ².

    >>> tensor = chi_tensor(LightVector(mass=2.0, g_chi=1.0), np.array([1.0]))
    >>> float(tensor.isotropic[0]), float(tensor.aligned[0])
    (1.0, -1.0)
    """
    beta = velocity(q2, vector.m_chi)
    none = np.zeros_like(beta)
    if vector.chi == "scalar":
        return PairTensor(none, beta**3 / 2, none)
    return PairTensor(beta, -(beta**3), none)


def neutrino_tensor(q2: FloatArray) -> PairTensor:
    """Tensor of one flavour of massless left-handed neutrinos, for the current ν̄ γ (1 - γ5) ν."""
    two = np.full(np.shape(q2), 2.0)
    return PairTensor(two, -two, -two)


def hadronic_amplitudes(sm: StandardModel, q2: FloatArray, left: Coupling, right: Coupling) -> dict[str, ComplexArray]:
    r"""√q² times the amplitudes of B → M V*, for couplings to the left- and right-handed b → s current.

    arXiv:1506.03970 in flavio's normalisation (H_λ of B → V ℓℓ, h of B → P ℓℓ, with N C_9 → left,
    N C_9' → right), times √q², which makes them finite at q² = 0:

    H_0 = 4i m_B m_V (left - right) A_12,
    H_± = i √q² / (2 (m_B + m_V)) [± (left + right) √λ V - (left - right) (m_B + m_V)² A_1],
    h = √λ / 2 (left + right) f_+.

    The longitudinal amplitude and half of each transverse one see the axial current (left - right), the V form
    factor and f_+ the vector current (left + right).
    """
    ff = sm.form_factors(q2)
    m_b, m_h = sm.m_parent, sm.m_hadron
    lam = np.maximum((m_b**2 - m_h**2 - q2) ** 2 - 4 * m_h**2 * q2, 0)
    plus, minus = np.asarray(left + right, dtype=complex), np.asarray(left - right, dtype=complex)
    if sm.spin == 0:
        return {"h": np.asarray(np.sqrt(lam) / 2 * plus * ff["f+"])}
    transverse = 0.5j * np.sqrt(q2) / (m_b + m_h)
    vector, axial = np.sqrt(lam) * ff["V"], (m_b + m_h) ** 2 * ff["A1"]
    return {
        "0": np.asarray(4j * m_b * m_h * minus * ff["A12"]),
        "+": np.asarray(transverse * (plus * vector - minus * axial)),
        "-": np.asarray(transverse * (-plus * vector - minus * axial)),
    }


def pair_coefficients(
    sm: StandardModel, q2: FloatArray, left: Coupling, right: Coupling, tensor: PairTensor
) -> FloatArray:
    """Angular coefficients J_i of B → M V*(→ pair), shape (12 or 3, n_q2), in the order of the channel.

    Theory convention and normalisation of flavio (dΓ/dq2 in 1/GeV before the 2/3 of K* → Kπ), obtained by
    contracting the helicity amplitudes with the tensor of the pair; ``left`` and ``right`` are the products of
    couplings and propagator (GeV⁻²).
    """
    m_b, m_h = sm.m_parent, sm.m_hadron
    lam = np.maximum((m_b**2 - m_h**2 - q2) ** 2 - 4 * m_h**2 * q2, 0)
    phase_space = np.sqrt(lam) / (2**9 * np.pi**3 * m_b**3)
    h = hadronic_amplitudes(sm, q2, left, right)
    iso, aligned, chiral = tensor.isotropic, tensor.aligned, tensor.chiral
    if sm.spin == 0:
        size = 2 * phase_space * np.abs(h["h"]) ** 2
        return np.stack([size * iso, np.zeros_like(size), size * aligned])
    norm = 8 / 3 * phase_space
    long, up, down = np.abs(h["0"]) ** 2, np.abs(h["+"]) ** 2, np.abs(h["-"]) ** 2
    trans = up + down
    even = h["+"] * h["0"].conj() + h["0"] * h["-"].conj()
    odd = h["+"] * h["0"].conj() - h["0"] * h["-"].conj()
    double = h["+"] * h["-"].conj()
    none = np.zeros_like(norm)
    return norm * np.stack([
        (4 * iso + aligned) / 4 * trans,     # 1s
        (2 * iso + aligned) * long,          # 1c
        -aligned / 4 * trans,                # 2s
        aligned * long,                      # 2c
        aligned * double.real,               # 3
        aligned / 2 * even.real,             # 4
        chiral * odd.real,                   # 5
        -chiral * (up - down),               # 6s
        none,                                # 6c
        -chiral * odd.imag,                  # 7
        -aligned / 2 * even.imag,            # 8
        -aligned * double.imag,              # 9
    ])


def chi_coefficients(channel: Channel, model: Model, q2: ArrayLike, flavour: int) -> FloatArray:
    """J_i of B → K(*) χχ (see :func:`pair_coefficients`), summed over the light vectors; zero without any.

    ``flavour`` -1 is the b-quark decay (B̄0, B-), +1 its conjugate with conjugated g_bs; the propagator's phase is
    a strong one and is never conjugated. The numerator of the line shape is √q² Γ_χχ(q²) by construction; ``width``
    of the model changes the denominator only. InputError where g_χ is not known (above threshold).
    """
    s = np.atleast_1d(np.asarray(q2, dtype=np.float64))
    sm = standard_model(channel)
    total = np.zeros((len(channel.coefficients), len(s)))
    for vector in model.light_vectors:
        if vector.g_bs == 0 and vector.g_bs_right == 0:
            continue
        wave = vector.propagator(s, model.width) * vector.chi_coupling
        left, right = _weak(vector, flavour)
        total += pair_coefficients(sm, s, left * wave, right * wave, chi_tensor(vector, s))
    return total


def neutrino_coefficients(channel: Channel, model: Model, q2: ArrayLike, flavour: int) -> FloatArray:
    """J_i of B → K(*) νν̄, three flavours: the Standard Model's C_L, and V in ν_μ, coherently.

    C_L = -X_t / sin²θ_W multiplies the current ν̄ γ (1 - γ5) ν, of which V couples to half: L = g_ν ν̄_L γ ν_L V
    shifts N C_L by g_bs g_ν / 2 times the propagator. ``flavour`` as in :func:`chi_coefficients`.
    """
    s = np.atleast_1d(np.asarray(q2, dtype=np.float64))
    sm = standard_model(channel)
    standard = complex(sm.prefactors[int(flavour > 0)]) * load_parameters()["CL_sm"]
    tensor = neutrino_tensor(s)
    total = 2 * pair_coefficients(sm, s, standard, 0j, tensor)
    left: Coupling = np.full(len(s), standard)
    right: Coupling = np.zeros(len(s), dtype=complex)
    for vector in model.light_vectors:
        if vector.g_nu_mu:
            wave = vector.propagator(s, model.width) * vector.g_nu_mu / 2
            coupling = _weak(vector, flavour)
            left, right = left + coupling[0] * wave, right + coupling[1] * wave
    return np.asarray(total + pair_coefficients(sm, s, left, right, tensor))


def _weak(vector: LightVector, flavour: int) -> tuple[complex, complex]:
    """Couplings to the left- and right-handed current: of the b-quark decay, or conjugated for its conjugate."""
    if flavour > 0:
        return vector.g_bs.conjugate(), vector.g_bs_right.conjugate()
    return vector.g_bs, vector.g_bs_right


# Rates


def differential_rate(coefficients: FloatArray) -> FloatArray:
    """dΓ/dq2 (1/GeV) of the J_i: 3/4 (2 J1s + J1c) - 1/4 (2 J2s + J2c) for K*, 2 (Ja + Jc/3) for K."""
    c = coefficients
    if c.shape[0] == 3:
        return np.asarray(2 * (c[0] + c[2] / 3))
    return np.asarray(0.75 * (2 * c[0] + c[1]) - 0.25 * (2 * c[2] + c[3]))


def longitudinal_fraction(coefficients: FloatArray) -> FloatArray:
    """F_L of the K*: the part of dΓ/dq2 that goes as cos²θ_K, for any mass and spin of the pair."""
    c = coefficients
    return np.asarray((0.75 * c[1] - 0.25 * c[3]) / differential_rate(c))


def two_body_rate(channel: Channel, vector: LightVector, flavour: int = 1) -> float:
    r"""Γ(B → M V) for an on-shell V (GeV), summed over its helicities; zero above m_B - m_M.

    For a K it is eq. (3) without the lifetime: m_B³/(64 π m_V²) λ^{3/2} f_+² |g_bs|². For a K* it is the sum over
    the three helicities of the amplitudes above. It is what multiplies the spectral function of V:
    dΓ/dq² = Γ(B → M V*) √q² Γ_χχ(q²) / (π |q² - m² + i m Γ|²).
    """
    sm = standard_model(channel)
    s = np.array([vector.mass**2])
    if s[0] >= sm.q2_max:
        return 0.0
    one = np.ones(1)
    left, right = _weak(vector, flavour)
    massless = pair_coefficients(sm, s, left, right, PairTensor(one, -one, 0 * one))
    return float(differential_rate(massless)[0] * 12 * np.pi**2 / s[0])


def breakpoints(channel: Channel, model: Model, final: str | None = None) -> FloatArray:
    """Sorted q2 (GeV²) between which the spectrum is smooth: ends, thresholds, and V's Breit-Wigners.

    Geometric steps lead away from every threshold, endpoint and resonance, so that a fixed rule on each interval
    integrates to 1e-10 and a table has its nodes where they are needed. ``final`` "nunu" leaves out what only χχ
    has; default is that of the channel.
    """
    neutrinos = (final or channel.final) == "nunu"
    end = standard_model(channel).q2_max
    starts = [0.0] if neutrinos else sorted({4 * v.m_chi**2 for v in model.light_vectors}) or [0.0]
    starts = [s for s in starts if s < end] or [0.0]
    edges = {starts[0], end}
    steps = 4.0 ** -np.arange(0, 16)
    for start in starts:
        edges.update(start + (end - start) * steps)
    edges.update(end - (end - starts[0]) * steps)
    for vector in model.light_vectors:
        half, centre = vector.mass * vector.total_width, vector.mass**2
        if neutrinos and not vector.g_nu_mu:
            continue
        reach = half * 2.0 ** np.arange(-1, 40)
        edges.update([centre, *(centre + reach[reach < 40]), *(centre - reach[reach < 40])])
    inside = np.array(sorted(edges))
    return inside[(inside >= starts[0]) & (inside <= end)]


def branching_ratio(
    channel: Channel,
    model: Model,
    final: str | None = None,
    narrow: bool = False,
    q2_range: tuple[float, float] | None = None,
) -> float:
    r"""BR(B → K(*) χχ) or BR(B → K(*) νν̄), averaged over B and its conjugate, before the 2/3 of K* → Kπ.

    Integrated exactly over q² with the spectral function of V of finite width, or, with ``narrow``, the sum over V
    of τ_B Γ(B → M V) Γ_χχ/Γ_V, which is eq. (3) for a K (only for χχ, and in the whole range). ``channel`` is any
    channel with the same B and M, and ``final`` "chichi" or "nunu", by default that of the channel, else "chichi";
    ``q2_range`` in GeV². At Γ/m = 1e-4 the two agree to 6e-5, and the difference is proportional to Γ/m.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> f"{branching_ratio(get_channel('B+->K+mumu'), get_model('fig2')):.2e}"
    '6.05e-06'
    """
    tau = load_parameters()[f"tau_{channel.parent}"]
    if narrow:
        total = 0.0
        for v in model.light_vectors:
            share = float(invisible_width(v.mass**2, v.chi_coupling, v.m_chi, v.chi)) / v.total_width
            total += share * 0.5 * sum(two_body_rate(channel, v, flavour) for flavour in (-1, 1))
        return tau * total
    final = final or (channel.final if channel.final in COEFFICIENTS else "chichi")
    source = COEFFICIENTS[final]
    edges = breakpoints(channel, model, final)
    if q2_range is not None:
        low, high = q2_range
        edges = np.unique(np.clip(np.append(edges, q2_range), low, high))
        edges = edges[edges <= standard_model(channel).q2_max]
    nodes, weights = np.polynomial.legendre.leggauss(12)
    width = np.diff(edges)[:, None]
    s = (edges[:-1, None] + width * (nodes + 1) / 2).ravel()
    measure = (width * weights / 2).ravel()
    rates = sum(differential_rate(source(channel, model, s, flavour)) for flavour in (-1, 1))
    return float(tau * 0.5 * np.sum(rates * measure))


COEFFICIENTS: dict[str, Callable[[Channel, Model, ArrayLike, int], FloatArray]] = {
    "chichi": chi_coefficients,
    "nunu": neutrino_coefficients,
}
"""Angular coefficients by final state, as functions of (channel, model, q2, flavour)."""
