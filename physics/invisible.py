r"""B → K(*) χχ through mediators and contact operators, and B → K(*) νν̄ of the Standard Model and of mediators.

Through a vector current both are decays of a virtual vector V* → pair, so the angular coefficients are those of B →
K(*) ℓℓ with a lepton tensor that depends on the pair: in the frame of the pair, with n the direction of χ (of the
neutrino),

.. math:: L^{ij} = A\,\delta^{ij} + B\,n^in^j + i\,C\,\epsilon^{ijk}n^k .

Massive Dirac χ with a vector coupling: A = 1, B = -β². Complex scalar: A = 0, B = β²/2. Left-handed
neutrinos: A = 2, B = C = -2. A V of helicity 0 thus decays as 1 - β²c² or c², one of helicity ±1 as (2 - β² +
β²c²)/2 or (1 - c²)/2, c = cos_theta_l: **the angle of these modes is that of χ**, measured as the negative
lepton's is in B → K(*) ℓℓ (of the neutrino in νν̄). The currents of χ and of massless neutrinos are
conserved, so the longitudinal part of the propagator, eq. (7)'s C_P, does not contribute.

**Scalar and pseudoscalar operators** make a K* of helicity 0 alone (F_L = 1) and χ without a direction:
:func:`scalar_coefficients`. **Tensor operators** make a virtual particle of spin 1 again, of both parities
(:func:`tensor_coefficients`): σ^{0i} as a vector with the parts of L^{ij} along and across n exchanged, σ^{ij}, whose
pair has spin 0, with the part along n alone. The two do not interfere. By (s̄ σ^{μν} P_{L,R} b) a K* has both, a K of
each.

Each mediator has its own χ: several add incoherently in χχ. In νν̄ all add to the Standard Model amplitude of
ν_μ; ν_e and ν_τ are the Standard Model's. What a mediator does is its ``dark_current`` with its ``dark`` pair, and its
``neutrino_current``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kinematics.phasespace import kallen, velocity
from .amplitudes import standard_model
from .channels import Channel
from .local import StandardModel
from .mediators import Current, DarkPair, Interaction, Mediator, PairTensor, Scheme
from .models import Model, shared_theory

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


def neutrino_tensor(q2: FloatArray) -> PairTensor:
    """Tensor of one flavour of massless left-handed neutrinos, for the current ν̄ γ (1 - γ5) ν."""
    two = np.full(np.shape(q2), 2.0)
    return PairTensor(two, -two, -two)


def hadronic_amplitudes(
    sm: StandardModel, q2: FloatArray, left: Current, right: Current, mass: ArrayLike | None = None
) -> dict[str, ComplexArray]:
    r"""√q² times the amplitudes of B → M V*, for couplings to the left- and right-handed b → s current.

    arXiv:1506.03970 in flavio's normalisation (H_λ of B → V ℓℓ, h of B → P ℓℓ, with N C_9 → left,
    N C_9' → right), times √q², which makes them finite at q² = 0:

    H_0 = 4i m_B m_V (left - right) A_12,
    H_± = i √q² / (2 (m_B + m_V)) [± (left + right) √λ V - (left - right) (m_B + m_V)² A_1],
    h = √λ / 2 (left + right) f_+.

    The longitudinal amplitude and half of each transverse one see the axial current (left - right), the V
    form factor and f_+ the vector current (left + right). ``mass`` is that of the Kπ pair in λ, m_V without it, as in
    ``amplitudes.helicity_amplitudes``.
    """
    ff = sm.form_factors(q2)
    m_b, m_h = sm.m_parent, sm.m_hadron
    lam = _lambda(sm, q2, mass)
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


def _lambda(sm: StandardModel, q2: FloatArray, mass: ArrayLike | None) -> FloatArray:
    """λ(q², m_B², m²) with the mass of the hadron, or of the Kπ pair."""
    hadron = sm.m_hadron if mass is None else np.asarray(mass, dtype=np.float64)
    return np.asarray(kallen(q2, sm.m_parent**2, hadron**2))


def pair_coefficients(
    sm: StandardModel,
    q2: FloatArray,
    left: Current,
    right: Current,
    tensor: PairTensor,
    mass: ArrayLike | None = None,
) -> FloatArray:
    """Angular coefficients J_i of B → M V*(→ pair), shape (12 or 3, n_q2), in the order of the channel.

    Theory convention and normalisation of flavio (dΓ/dq2 in 1/GeV before the 2/3 of K* → Kπ), obtained by
    contracting the helicity amplitudes with the tensor of the pair; ``left`` and ``right`` are the products
    of couplings and propagator (GeV⁻²); ``mass`` (GeV), if the K* has a width, broadcasts against q2.
    """
    return _contracted(sm, _phase_space(sm, q2, mass), hadronic_amplitudes(sm, q2, left, right, mass), tensor)


def _phase_space(sm: StandardModel, q2: FloatArray, mass: ArrayLike | None) -> FloatArray:
    return np.asarray(np.sqrt(_lambda(sm, q2, mass)) / (2**9 * np.pi**3 * sm.m_parent**3))


def _contracted(
    sm: StandardModel, phase_space: FloatArray, h: Mapping[str, ComplexArray], tensor: PairTensor
) -> FloatArray:
    """J_i from the amplitudes of a virtual vector (times √q²) and the tensor of its pair."""
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
    return np.asarray(
        norm
        * np.stack(
            np.broadcast_arrays(
                (4 * iso + aligned) / 4 * trans,  # 1s
                (2 * iso + aligned) * long,  # 1c
                -aligned / 4 * trans,  # 2s
                aligned * long,  # 2c
                aligned * double.real,  # 3
                aligned / 2 * even.real,  # 4
                chiral * odd.real,  # 5
                -chiral * (up - down),  # 6s
                none,  # 6c
                -chiral * odd.imag,  # 7
                -aligned / 2 * even.imag,  # 8
                -aligned * double.imag,  # 9
            )
        )
    )


def scalar_coefficients(
    sm: StandardModel,
    q2: FloatArray,
    left: Current,
    right: Current,
    pair: DarkPair,
    mass: ArrayLike | None = None,
) -> FloatArray:
    r"""J_i of B → M χχ by (s̄_L b_R)(χ̄ Γ χ) times ``left`` and (s̄_R b_L)(χ̄ Γ χ) times ``right`` (GeV⁻²), Γ = 1 or iγ5.

    .. math:: J_{1c} = \tfrac{16}{3}\,n\,q^2\beta^{3(1)}\,|H|^2,\ H = \frac{\sqrt\lambda}{2 m_b}(C-C')A_0;\qquad
              J_a = 2\,n\,q^2\beta^{3(1)}\,|h|^2,\ h = \frac{m_B^2-m_P^2}{2 m_b}(C+C')f_0,

    :math:`n=\sqrt\lambda/(2^9\pi^3m_B^3)`, β³ for Γ = 1, β for iγ5: the S and P amplitudes of arXiv:1506.03970, as in
    B → M ℓℓ (`angular`), m_s left out beside m_b as there. Other arguments as in :func:`pair_coefficients`.
    """
    ff, lam = sm.form_factors(q2), _lambda(sm, q2, mass)
    beta = velocity(q2, pair.mass)
    size = _phase_space(sm, q2, mass) * q2 * (beta**3 if pair.operator == "scalar" else beta)
    if sm.spin == 0:
        h = 0.5 * (sm.m_parent**2 - sm.m_hadron**2) / sm.m_b * (left + right) * ff["f0"]
        a = 2.0 * size * np.abs(h) ** 2
        return np.stack([a, np.zeros_like(a), np.zeros_like(a)])
    long = np.sqrt(lam) / (2.0 * sm.m_b) * (left - right) * ff["A0"]
    found = np.zeros((12, *np.shape(long)))
    found[1] = 16.0 / 3.0 * size * np.abs(long) ** 2
    return found


def tensor_coefficients(
    sm: StandardModel,
    q2: FloatArray,
    left: Current,
    right: Current,
    pair: DarkPair,
    mass: ArrayLike | None = None,
) -> FloatArray:
    r"""J_i of B → M χχ by (s̄_L σ^{μν} b_R)(χ̄ σ_{μν} χ) times ``left``, and its mirror image times ``right`` (GeV⁻²).

    In the frame of the pair :math:`M = -2 E\cdot E_\chi + 2 B\cdot B_\chi` with :math:`E^i=\sigma^{0i}` and
    :math:`B^i=\tfrac12\epsilon^{ijk}\sigma^{jk}`. Sums over the spins of χ are

    .. math:: E_\chi^iE_\chi^{j*} = 2q^2[(1-\beta^2)\,\delta^{ij}+\beta^2 n^in^j],\qquad
              B_\chi^iB_\chi^{j*} = 2q^2\beta^2 n^in^j,

    and nothing between them. On the side of the quarks E is what a photon of O_7 sees (arXiv:1506.03970), over √q²,

    .. math:: e_0 = \frac{2m_Bm_V}{m_B+m_V}(C-C')T_{23},\quad
              e_\pm = \frac{\pm(C+C')\sqrt\lambda\,T_1-(C-C')(m_B^2-m_V^2)T_2}{2\sqrt{q^2}},\quad
              e = \frac{\sqrt\lambda}{2(m_B+m_P)}(C+C')f_T,

    and B, by σ^{μν}γ5 = -(i/2) ε^{μναβ} σ_{αβ}, the same with C + C' and C - C' exchanged. Other arguments as in
    :func:`pair_coefficients`.
    """
    ff, m_b, m_h = sm.form_factors(q2), sm.m_parent, sm.m_hadron
    root, momentum = np.sqrt(q2), np.sqrt(_lambda(sm, q2, mass))
    beta = velocity(q2, pair.mass)
    none = np.zeros_like(beta)

    def amplitudes(plus: Any, minus: Any) -> dict[str, ComplexArray]:
        # 2 √q² times e: what `_contracted` takes for a vector
        if sm.spin == 0:
            return {"h": np.asarray(root * momentum / (m_b + m_h) * plus * ff["fT"], dtype=complex)}
        first, second = plus * momentum * ff["T1"], minus * (m_b**2 - m_h**2) * ff["T2"]
        zero = 4.0 * root * m_b * m_h / (m_b + m_h) * minus * ff["T23"]
        both = np.broadcast_arrays(np.asarray(zero, dtype=complex), first - second, -first - second)
        return dict(zip(("0", "+", "-"), map(np.asarray, both), strict=True))

    plus, minus = np.asarray(left + right, dtype=complex), np.asarray(left - right, dtype=complex)
    space = _phase_space(sm, q2, mass)
    electric = _contracted(sm, space, amplitudes(plus, minus), PairTensor(beta * (1.0 - beta**2), beta**3, none))
    magnetic = _contracted(sm, space, amplitudes(minus, plus), PairTensor(none, beta**3, none))
    return np.asarray(electric + magnetic)


def dark_coefficients(
    sm: StandardModel,
    q2: FloatArray,
    left: Current,
    right: Current,
    pair: DarkPair,
    mass: ArrayLike | None = None,
) -> FloatArray:
    """J_i of B → M χχ by the operator of the pair; arguments as in :func:`pair_coefficients`.

    >>> from darkpenguin.physics.channels import get_channel
    >>> sm = standard_model(get_channel("B+->K+chichi"))
    >>> dark_coefficients(sm, np.array([4.0]), 1e-8, 0.0, DarkPair(0.1, "dirac", "scalar"))[1:, 0].tolist()
    [0.0, 0.0]
    """
    if pair.operator == "vector":
        return pair_coefficients(sm, q2, left, right, pair.tensor(q2), mass)
    one = tensor_coefficients if pair.operator == "tensor" else scalar_coefficients
    return one(sm, q2, left, right, pair, mass)


def chi_coefficients(channel: Channel, models: Model | Sequence[Model], q2: ArrayLike, flavour: int) -> FloatArray:
    """J_i of B → K(*) χχ (see :func:`pair_coefficients`), summed over the mediators; zero without any.

    ``flavour`` -1 is the b-quark decay (B̄0, B-), +1 its conjugate with conjugated g_bs; the propagator's
    phase is a strong one and is never conjugated. The numerator of the line shape is √q² Γ_χχ(q²) by
    construction; ``width`` of the model changes the denominator only, but for ``narrow``
    (``LightVector.dark_current``). q2 in GeV², shape (n_q2,); result in
    1/GeV, shape (n_coefficients, n_q2), or (n_coefficients, n_models, n_q2) for a sequence of models.
    InputError where g_χ is not known (above threshold).
    """
    s, inside, sm = _grid(channel, models, q2)
    return _spread(lambda model: _chi(sm, model, s, flavour), models, inside)


def _chi(sm: StandardModel, model: Model, q2: FloatArray, flavour: int, mass: ArrayLike | None = None) -> FloatArray:
    shape = q2.shape if mass is None else np.broadcast_shapes(q2.shape, np.shape(mass))
    total = np.zeros((12 if sm.spin == 1 else 3, *shape))
    for one in model.interactions.values():
        if one.dark is None or not _open(sm, one, one.dark, model.width):
            continue
        current = one.dark_current(q2, flavour, model.width)
        if current is not None:
            total += dark_coefficients(sm, q2, *current, one.dark, mass)
    return total


def _open(sm: StandardModel, mediator: Interaction, pair: DarkPair, scheme: Scheme) -> bool:
    """Whether it can be produced: off shell always, a narrow one only if it is lighter, and decays to χχ."""
    if scheme != "narrow" or not isinstance(mediator, Mediator):
        return True
    return pair.threshold < mediator.mass**2 < sm.q2_max


def neutrino_coefficients(channel: Channel, models: Model | Sequence[Model], q2: ArrayLike, flavour: int) -> FloatArray:
    """J_i of B → K(*) νν̄, three flavours: the Standard Model's C_L, heavy C_L and C_R, and V in ν_μ, coherently.

    C_L = -X_t / sin²θ_W multiplies the current ν̄ γ (1 - γ5) ν, and mediators shift N C_L of ν_μ. Arguments and shapes
    as in :func:`chi_coefficients`.
    """
    s, inside, sm = _grid(channel, models, q2)
    return _spread(lambda model: _neutrino(sm, model, s, flavour), models, inside)


def _neutrino(
    sm: StandardModel, model: Model, q2: FloatArray, flavour: int, mass: ArrayLike | None = None
) -> FloatArray:
    # not flavio's N of conjugated CKM elements, whose |N|² is 4e-5 larger: there is no CP violation here
    n = complex(sm.prefactors[0])
    standard, tensor = model.parameters["CL_sm"], neutrino_tensor(q2)

    def couplings(name: str) -> tuple[complex, complex]:
        left, right = (n * c for c in (standard + model.heavy.neutrino(name)[0], model.heavy.neutrino(name)[1]))
        return (left.conjugate(), right.conjugate()) if flavour > 0 else (left, right)

    others = [pair_coefficients(sm, q2, *couplings(name), tensor, mass) for name in ("e", "tau")]
    left: Current
    right: Current
    left, right = (np.full(len(q2), c) for c in couplings("mu"))
    for one in model.interactions.values():
        current = one.neutrino_current(q2, flavour, model.width)
        if current is not None:
            left, right = left + current[0], right + current[1]
    return np.asarray(others[0] + others[1] + pair_coefficients(sm, q2, left, right, tensor, mass))


_INVISIBLE: Mapping[str, Callable[..., FloatArray]] = MappingProxyType({"chi": _chi, "neutrino": _neutrino})


def wide_coefficients(channel: Channel, model: Model, q2: FloatArray, flavour: int, mass: ArrayLike) -> FloatArray:
    """J_i of B → Kπ and an invisible pair at a mass of the Kπ pair (GeV) that broadcasts against q2 (GeV²).

    As :func:`chi_coefficients` and :func:`neutrino_coefficients`, without the line shape of the K*; zero where the
    mass leaves no phase space.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> channel, q2 = get_channel("B0->K*0nunu"), np.array([4.0])
    >>> stable = neutrino_coefficients(channel, get_model("sm"), q2, 1)
    >>> bool(np.all(wide_coefficients(channel, get_model("sm"), q2, 1, standard_model(channel).m_hadron) == stable))
    True
    """
    return _INVISIBLE[channel.dynamics](standard_model(channel, model.theory), model, q2, flavour, mass)


def _grid(
    channel: Channel, models: Model | Sequence[Model], q2: ArrayLike
) -> tuple[FloatArray, NDArray[np.bool_], StandardModel]:
    """The q2 inside phase space, where they are, and the Standard Model of the channel."""
    s = np.atleast_1d(np.asarray(q2, dtype=np.float64))
    sm = standard_model(channel, shared_theory(models))
    inside = (s >= 0) & (s < sm.q2_max)
    return s[inside], inside, sm


def _spread(
    one: Callable[[Model], FloatArray], models: Model | Sequence[Model], inside: NDArray[np.bool_]
) -> FloatArray:
    """Coefficients of one model or of several, zero outside phase space."""
    several = not isinstance(models, Model)
    found = np.stack([one(model) for model in _sequence(models)], axis=1)
    result = np.zeros((*found.shape[:-1], len(inside)))
    result[..., inside] = found
    return result if several else result[:, 0]


def chi_breakpoints(channel: Channel, models: Model | Sequence[Model]) -> FloatArray:
    """Sorted q2 (GeV²), ends included, between which B → K(*) χχ is smooth.

    These are the thresholds of χχ, the line shapes of mediators and the endpoint.

    Steps that grow by factors of two lead away from each, so that a rule on every interval integrates to
    1e-10 and a table puts its nodes where they are needed.
    """
    end = standard_model(channel, shared_theory(models)).q2_max
    pairs = [one.dark for model in _sequence(models) for one in model.interactions.values() if one.dark is not None]
    thresholds = sorted({pair.threshold for pair in pairs if pair.threshold < end}) or [0.0]
    ends = [(q2, 1e-6 * end) for q2 in (*thresholds, end)]
    return _closing_in([*_marks(channel, models), *ends], thresholds[0], end)


def neutrino_breakpoints(channel: Channel, models: Model | Sequence[Model]) -> FloatArray:
    """As :func:`chi_breakpoints` for B → K(*) νν̄, where only what couples to ν_μ has a line shape."""
    end = standard_model(channel, shared_theory(models)).q2_max
    return _closing_in([*_marks(channel, models), (0.0, 1e-6 * end), (end, 1e-6 * end)], 0.0, end)


def _marks(channel: Channel, models: Model | Sequence[Model]) -> list[tuple[float, float]]:
    return [
        (mark.q2, mark.step)
        for model in _sequence(models)
        for one in model.interactions.values()
        for mark in one.marks(channel, model.width)
    ]


def _sequence(models: Model | Sequence[Model]) -> Sequence[Model]:
    return (models,) if isinstance(models, Model) else models


def _closing_in(marks: Sequence[tuple[float, float]], low: float, high: float) -> FloatArray:
    """The ends, and each mark with ± step, 2 step, 4 step ...; points that rounding separates are one."""
    points = [np.array([low, high])]
    for centre, step in marks:
        steps = step * 2.0 ** np.arange(0.0, np.ceil(np.log2(high / step)) + 1)
        points.append(np.concatenate([centre - steps, [centre], centre + steps]))
    together = np.unique(np.concatenate(points))
    together = together[(together >= low) & (together <= high)]
    keep = np.concatenate([[True], np.diff(together) > 4 * np.spacing(together[1:])])
    keep[-1] = True
    return np.asarray(together[keep])
