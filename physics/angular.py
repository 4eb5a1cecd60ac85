r"""Angular coefficients J_i(q2), densities of events, and the two angle conventions.

**The distribution.** For B → V(→ P P') ℓℓ and B → P ℓℓ, with dq2 and the angles as variables,

.. math:: \frac{d^4\Gamma}{dq^2\,d\cos\theta_K\,d\cos\theta_\ell\,d\phi}
             = \frac{9}{32\pi}\sum_i J_i f_i,\qquad
          \frac{d^2\Gamma}{dq^2\,d\cos\theta_\ell} = J_a + J_b\cos\theta_\ell + J_c\cos^2\theta_\ell .

with f_1s = sin²θ_K, f_1c = cos²θ_K, f_2s = sin²θ_K cos2θ_ℓ, f_2c = cos²θ_K cos2θ_ℓ,
f_3 = sin²θ_K sin²θ_ℓ cos2φ, f_4 = sin2θ_K sin2θ_ℓ cosφ, f_5 = sin2θ_K sinθ_ℓ cosφ, f_6s = sin²θ_K cosθ_ℓ,
f_6c = cos²θ_K cosθ_ℓ, f_7 = sin2θ_K sinθ_ℓ sinφ, f_8 = sin2θ_K sin2θ_ℓ sinφ, f_9 = sin²θ_K sin²θ_ℓ sin2φ.

**Flavours.** J belongs to the b-quark decay (B̄0, B-; flavour -1), J̄ to its CP conjugate (B0, B+; flavour
+1): flavio's ``J`` and ``Jbar``.

**LHCb's convention** (arXiv:1304.6325, appendix A): θ_ℓ is the angle between the ℓ⁺ (ℓ⁻) and the direction
opposite to the B0 (B̄0) in the dilepton frame; θ_K the angle between the K⁺ (K⁻) and the direction opposite
to the B0 (B̄0) in the K* frame; φ the angle between the planes, cosφ = (n̂_ℓℓ·n̂_Kπ) with n_ℓℓ =
p(ℓ⁺)×p(ℓ⁻), n_Kπ = p(K⁺)×p(π⁻) and sinφ = (n̂_ℓℓ×n̂_Kπ)·p̂(K*) for the B0, and for the B̄0 all particles
conjugated and the sign of sinφ reversed. The angles of the conjugate decay are thus those of the
CP-conjugate event, so the density of either flavour is its own J with the same signs: minus on 4, 6s, 6c, 7,
9.

**Theory convention** (arXiv:0811.1214): θ_ℓ is the angle between the ℓ⁻ and the B, for both flavours; the
density of the B̄0 is J. For the B0, CP maps ℓ⁻ to ℓ⁺ and reverses momenta (φ → -φ), and going back to the ℓ⁻
takes θ_ℓ → π-θ_ℓ, φ → φ+π; together 5, 6s, 6c, 8, 9 change sign. The two conventions differ by θ_ℓ → π-θ_ℓ,
φ → -φ for flavour -1 and by φ → φ+π for flavour +1.

**One final state for both flavours** (B_s → φ(→ K⁺K⁻) ℓℓ; rows of ``modes.py`` that are not ``self_tagging``). The
daughters do not tell the flavour, so both flavours have one definition of the angles, that of the b-quark decay above:
of the ℓ⁻ and of the first daughter, the K⁻. (Which kaon it is cannot be seen in the density: exchanging two spinless
daughters of a P wave, θ_K → π-θ_K and φ → φ+π, changes no f_i.) CP takes K⁻ and ℓ⁻ to K⁺ and ℓ⁺ and reverses momenta;
going back to K⁻ and ℓ⁻ leaves θ_K → π-θ_K, θ_ℓ → π-θ_ℓ, φ → -φ, in either convention. So the density of the B has J̄
with the signs of the b-quark decay times ζ_i = -1 for 5, 6s, 6c, 8, 9 (arXiv:1502.05509), and an untagged sample, the
sum of both flavours, has the CP averages S_i of 1, 2, 3, 4, 7 and the CP asymmetries A_i = (J_i-J̄_i)/(Γ+Γ̄) of 5, 6, 8,
9. These are what LHCb measures (arXiv:1506.08777, 2107.13428). That its angles are those of the K⁻ and the ℓ⁻ is an
assumption here, not read in those papers; with the K⁺ and the ℓ⁺ the four asymmetries would have the other sign, and
nothing else would change. B mesons decay as they are produced: the sum holds without mixing
and without the width difference, which multiply it by 1/(1-y²) and subtract y h_i/(1-y²), y = ΔΓ/2Γ (eq. (42) of
arXiv:1502.05509); ``tests/reference/width_difference.py`` prints what that amounts to.

**B → P ℓℓ.** flavio's J_b already counts θ_ℓ from the direction opposite to the B (arXiv:1506.03970), as
LHCb does (interference of a vector with a scalar amplitude: tr[(p̸_-+m)γ^μ(p̸_+-m)] = 4m(p_+-p_-)^μ, so its
sign along the ℓ⁻ direction is that of -Re(h_V h_S*)): no sign in LHCb's convention, and in the theory
convention minus for flavour -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import kallen
from .amplitudes import helicity_amplitudes, nonlocal_physics, standard_model
from .channels import Channel
from .densities import SCALAR, VECTOR
from .invisible import chi_breakpoints, chi_coefficients, neutrino_breakpoints, neutrino_coefficients
from .local import Array, ComplexArray, StandardModel
from .mediators import Mark
from .models import Model, by_theory, shared_theory
from .parameters import FLAVIO, load_parameters
from .theory import Theory

Convention = Literal["lhcb", "theory"]
CONVENTIONS: tuple[Convention, ...] = ("lhcb", "theory")
_FLIPPED: Mapping[tuple[int, str, int], tuple[str, ...]] = MappingProxyType(
    {
        # spin, convention, flavour: coefficients with a minus sign in the density of events
        (1, "lhcb", -1): VECTOR.flipped,
        (1, "lhcb", +1): VECTOR.flipped,
        (1, "theory", -1): (),
        (1, "theory", +1): ("5", "6s", "6c", "8", "9"),
        (0, "lhcb", -1): (),
        (0, "lhcb", +1): (),
        (0, "theory", -1): ("b",),
        (0, "theory", +1): (),
    }
)


def cp_odd(spin: int) -> tuple[str, ...]:
    """Coefficients that CP turns at the same angles of the same particles: those of the theory convention.

    >>> cp_odd(1), cp_odd(0)
    (('5', '6s', '6c', '8', '9'), ('b',))
    """
    return _FLIPPED[spin, "theory", -1] + _FLIPPED[spin, "theory", +1]


def event_signs(channel: Channel, flavour: int, convention: Convention = "lhcb") -> Array:
    """Signs between J_i and the coefficients of the density of events, shape (n_coefficients,).

    >>> from darkpenguin.physics.channels import get_channel
    >>> event_signs(get_channel("B0->K*0mumu"), +1, "theory")[[6, 7, 8, 10, 11]]
    array([-1., -1., -1., -1., -1.])
    """
    check_flavour(flavour)
    if convention not in CONVENTIONS:
        raise InputError(f"convention = {convention!r}: lhcb or theory")
    definition = channel.angles_of(flavour)
    flipped = set(_FLIPPED[channel.spin, convention, definition])
    if definition != flavour:
        flipped ^= set(cp_odd(channel.spin))
    return np.array([-1.0 if name in flipped else 1.0 for name in channel.coefficients])


def check_flavour(flavour: int) -> None:
    """InputError unless the flavour is +1 (B0, B+) or -1 (their conjugates)."""
    if flavour not in (-1, 1):
        raise InputError(f"flavour = {flavour!r}: +1 (B0, B+) or -1 (their conjugates)")


def angular_coefficients(
    channel: Channel, models: Model | Sequence[Model], q2: npt.ArrayLike, flavour: int = -1
) -> Array:
    """J_i(q2) of flavour -1 (the b-quark decay, flavio's J) or J̄_i of flavour +1, in the channel's order.

    q2 in GeV², shape (n_q2,); result in 1/GeV, shape (n_coefficients, n_q2), or (n_coefficients, n_models,
    n_q2) for a sequence of models. The K* is counted with all its decays. Zero outside phase space.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> angular_coefficients(get_channel("B0->K*0mumu"), get_model("sm"), [1.0, 6.0]).shape
    (12, 2)
    """
    check_flavour(flavour)
    one = _DYNAMICS[channel.dynamics][0]
    groups = [] if isinstance(models, Model) else by_theory(models)
    if isinstance(models, Model) or len(groups) < 2:
        return one(channel, models, q2, flavour)
    parts = [one(channel, [models[i] for i in group], q2, flavour) for group in groups]
    return np.concatenate(parts, axis=1)[:, np.argsort(np.concatenate(groups))]


def _charged_coefficients(channel: Channel, models: Model | Sequence[Model], q2: npt.ArrayLike, flavour: int) -> Array:
    s = np.atleast_1d(np.asarray(q2, dtype=float))
    theory = shared_theory(models)
    sm, m_l = standard_model(channel, theory), channel.lepton_mass(load_parameters(theory))
    inside = (s > 4.0 * m_l**2) & (s < sm.q2_max)
    amplitudes = helicity_amplitudes(channel, models, s[inside], conjugate=flavour > 0)
    found = coefficients_of(channel, amplitudes, s[inside], theory=theory)
    if inside.all():
        return found
    result = np.zeros((*found.shape[:-1], len(s)))
    result[..., inside] = found
    return result


def coefficients_of(
    channel: Channel,
    amplitudes: Mapping[str, ComplexArray],
    q2: Array,
    hadron_mass: npt.ArrayLike | None = None,
    theory: Theory = FLAVIO,
) -> Array:
    """J_i from the helicity amplitudes of a channel with charged leptons, inside phase space.

    ``hadron_mass``: see ``helicity_amplitudes``; it enters the phase space here, and so do the masses of the theory.
    Shape (n_coefficients, ...) with that of the amplitudes.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> channel, q2 = get_channel("B0->K*0mumu"), np.array([3.0])
    >>> h = helicity_amplitudes(channel, get_model("sm"), q2)
    >>> bool((coefficients_of(channel, h, q2) == angular_coefficients(channel, get_model("sm"), q2)).all())
    True
    """
    m_l = channel.lepton_mass(load_parameters(theory))
    return _COEFFICIENTS[channel.spin](amplitudes, standard_model(channel, theory), q2, m_l, hadron_mass)


def _square(x: ComplexArray) -> Array:
    return np.asarray(x.real**2 + x.imag**2)


def _phase_space(sm: StandardModel, q2: Array, beta: Array, mass: npt.ArrayLike | None = None) -> Array:
    r"""Normalisation :math:`\sqrt{\lambda(m_B^2,m_M^2,q^2)}\,\beta_\ell/(2^9\pi^3m_B^3)`."""
    hadron = sm.m_hadron if mass is None else np.asarray(mass, dtype=float)
    momentum = np.sqrt(kallen(q2, sm.m_parent**2, hadron**2))
    return np.asarray(momentum * beta / (512.0 * np.pi**3 * sm.m_parent**3))


def _coefficients_v(
    h: Mapping[str, ComplexArray], sm: StandardModel, q2: Array, m_l: float, mass: npt.ArrayLike | None = None
) -> Array:
    r"""J_i of B → V ℓ⁺ℓ⁻ from helicity amplitudes (arXiv:1506.03970, as in flavio), equal lepton masses.

    With :math:`T=\sum_\pm(|H_\pm^V|^2+|H_\pm^A|^2)`, :math:`L=|H_0^V|^2+|H_0^A|^2`, β the lepton's velocity
    and the normalisation of ``_phase_space``:

    .. math::
       J_{1s} &= \tfrac23q^2(2+\beta^2)T+\tfrac{16}3m^2(T^V-T^A),\quad J_{2s} = \tfrac23q^2\beta^2T,\quad
       J_{2c}=-\tfrac83q^2\beta^2L\\
       J_{1c} &= \tfrac83q^2L+\tfrac{32}3m^2(L^V-L^A)+\tfrac{16}3q^2(\beta^2|H_S|^2+|H_P|^2)\\
       -J_3+iJ_9 &= \tfrac83q^2\beta^2(H_+^VH_-^{V*}+H_+^AH_-^{A*})\\
       -J_4+iJ_8 &= \tfrac43q^2\beta^2(H_+^VH_0^{V*}+H_0^VH_-^{V*}+H_+^AH_0^{A*}+H_0^AH_-^{A*})\\
       J_5-iJ_7 &= \tfrac83q^2\beta[H_+^VH_0^{A*}+H_+^AH_0^{V*}-H_0^VH_-^{A*}-H_0^AH_-^{V*}
                   +\tfrac{2m}{\sqrt{q^2}}(H_+^VH_S^*+H_SH_-^{V*})]\\
       J_{6s} &= -\tfrac{16}3q^2\beta\,\mathrm{Re}(H_+^VH_+^{A*}-H_-^VH_-^{A*}),\quad
       J_{6c} = \tfrac{64}3m\sqrt{q^2}\,\beta\,\mathrm{Re}(H_0^VH_S^*)
    """
    beta = np.sqrt(np.maximum(1.0 - 4.0 * m_l**2 / q2, 0.0))
    plus_v, plus_a, minus_v, minus_a = h["+V"], h["+A"], h["-V"], h["-A"]
    zero_v, zero_a, scalar, pseudo = h["0V"], h["0A"], h["S"], h["P"]
    t_v, t_a = _square(plus_v) + _square(minus_v), _square(plus_a) + _square(minus_a)
    l_v, l_a = _square(zero_v), _square(zero_a)
    m_root = m_l / np.sqrt(q2)
    x_6 = (plus_v * plus_a.conj() - minus_v * minus_a.conj()).real
    x_0s = (zero_v * scalar.conj()).real
    x_57 = (
        plus_v * zero_a.conj()
        + plus_a * zero_v.conj()
        - zero_v * minus_a.conj()
        - zero_a * minus_v.conj()
        + 2.0 * m_root * (plus_v * scalar.conj() + scalar * minus_v.conj())
    )
    x_48 = plus_v * zero_v.conj() + zero_v * minus_v.conj() + plus_a * zero_a.conj() + zero_a * minus_a.conj()
    x_39 = plus_v * minus_v.conj() + plus_a * minus_a.conj()
    b2 = beta**2
    j = np.stack(
        [
            2.0 / 3.0 * (2.0 + b2) * (t_v + t_a) + 16.0 / 3.0 * m_root**2 * (t_v - t_a),  # 1s
            8.0 / 3.0 * (l_v + l_a)
            + 32.0 / 3.0 * m_root**2 * (l_v - l_a)
            + 16.0 / 3.0 * (b2 * _square(scalar) + _square(pseudo)),  # 1c
            2.0 / 3.0 * b2 * (t_v + t_a),  # 2s
            -8.0 / 3.0 * b2 * (l_v + l_a),  # 2c
            -8.0 / 3.0 * b2 * x_39.real,  # 3
            -4.0 / 3.0 * b2 * x_48.real,  # 4
            8.0 / 3.0 * beta * x_57.real,  # 5
            -16.0 / 3.0 * beta * x_6,  # 6s
            64.0 / 3.0 * beta * m_root * x_0s,  # 6c
            -8.0 / 3.0 * beta * x_57.imag,  # 7
            4.0 / 3.0 * b2 * x_48.imag,  # 8
            8.0 / 3.0 * b2 * x_39.imag,  # 9
        ]
    )
    return np.asarray(j * (q2 * _phase_space(sm, q2, beta, mass)))


def _coefficients_p(
    h: Mapping[str, ComplexArray], sm: StandardModel, q2: Array, m_l: float, mass: npt.ArrayLike | None = None
) -> Array:
    r"""J_a, J_b, J_c of B → P ℓ⁺ℓ⁻ (arXiv:1506.03970, as in flavio), equal lepton masses.

    .. math:: J_a = 2q^2[|h_V|^2+|h_P|^2+\beta^2(|h_A|^2+|h_S|^2)],\quad
              J_b = -8m\sqrt{q^2}\,\beta\,\mathrm{Re}(h_Vh_S^*),\quad J_c=-2q^2\beta^2(|h_V|^2+|h_A|^2)
    """
    beta = np.sqrt(np.maximum(1.0 - 4.0 * m_l**2 / q2, 0.0))
    b2 = beta**2
    vector, axial = _square(h["V"]), _square(h["A"])
    j = np.stack(
        [
            2.0 * (vector + _square(h["P"]) + b2 * (axial + _square(h["S"]))),  # a
            -8.0 * m_l / np.sqrt(q2) * beta * (h["V"] * h["S"].conj()).real,  # b
            -2.0 * b2 * (vector + axial),  # c
        ]
    )
    return np.asarray(j * (q2 * _phase_space(sm, q2, beta, mass)))


_COEFFICIENTS: Mapping[int, Callable[..., Array]] = MappingProxyType({1: _coefficients_v, 0: _coefficients_p})


def decay_rate(coefficients: Array) -> Array:
    r"""dΓ/dq² from angular coefficients (first axis: 12 of B → V ℓℓ or 3 of B → P ℓℓ), shape of the rest.

    .. math:: \tfrac34(2J_{1s}+J_{1c})-\tfrac14(2J_{2s}+J_{2c}),\qquad 2(J_a+J_c/3)

    The same for J, J̄ and densities of events in any convention.

    >>> float(decay_rate(np.array([1.0, 0.0, 0.0])))
    2.0
    """
    weights = _RATE[len(coefficients)]
    return np.asarray(np.tensordot(weights, coefficients, axes=1))


_RATE: Mapping[int, Array] = MappingProxyType({len(d.rate): np.array(d.rate) for d in (VECTOR, SCALAR)})


def event_density(
    channel: Channel,
    models: Model | Sequence[Model],
    q2: npt.ArrayLike,
    flavour: int = 1,
    convention: Convention = "lhcb",
) -> Array:
    """Coefficients of the density of events of one flavour; shape as ``angular_coefficients``.

    These, not J, belong to the angles of an event: see the module's text.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> channel, model = get_channel("B0->K*0mumu"), get_model("sm")
    >>> lhcb = event_density(channel, model, [5.0], +1)
    >>> bool(lhcb[5, 0] == -angular_coefficients(channel, model, [5.0], +1)[5, 0])
    True
    """
    signs = event_signs(channel, flavour, convention)
    j = angular_coefficients(channel, models, q2, flavour)
    return np.asarray(signs.reshape((-1,) + (1,) * (j.ndim - 1)) * j)


def breakpoints(channel: Channel, models: Model | Sequence[Model]) -> Array:
    """Sorted q2 (GeV²), ends of phase space included, between which the J_i are smooth and easy to resolve.

    flavio's kinks; threshold, endpoint and square-root cusps with points that close in on them by factors of
    two; and about each mediator m² ± m Γ 2^k from a quarter of m Γ outwards, so a width of 0.1 %
    is seen, and what else it marks (the χχ threshold of a running width). A numerical rule that is good on one panel
    of ordinary width is good on all.
    At 8.9 GeV² flavio's rate of B → K* ℓℓ jumps by half a per cent: J there is the value above.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> points = breakpoints(get_channel("B+->K+mumu"), get_model("fig2"))
    >>> bool(6.25 in points), bool((np.diff(points) > 0).all())
    (True, True)
    """
    one = _DYNAMICS[channel.dynamics][1]
    groups = [] if isinstance(models, Model) else by_theory(models)
    if isinstance(models, Model) or len(groups) < 2:
        return one(channel, models)
    return np.unique(np.concatenate([one(channel, [models[i] for i in group]) for group in groups]))


def _charged_breakpoints(channel: Channel, models: Model | Sequence[Model]) -> Array:
    sequence = (models,) if isinstance(models, Model) else tuple(models)
    theory = shared_theory(sequence)
    sm = standard_model(channel, theory)
    low, high = channel.q2_limits(load_parameters(theory))
    points = [np.array([low, high]), sm.kinks]
    points.append(low + low * 2.0 ** np.arange(-6.0, np.ceil(np.log2(0.7 / low))))  # photon pole, logarithms
    points.append(high - 0.5 * 2.0 ** -np.arange(0.0, 10.0))
    points += [Mark(float(cusp), 0.01, 0.6).points(high) for cusp in sm.cusps]
    for model in sequence:
        parts = (*model.mediators.values(), *nonlocal_physics(channel, model.theory))
        marks = (mark for part in parts for mark in part.marks(channel, model.width))
        points += [mark.points(high) for mark in marks]
    together = np.concatenate(points)
    together = np.unique(together[(together >= low) & (together <= high)])
    # two points that differ by rounding are one
    keep = np.concatenate([[True], np.diff(together) > 1e-9 * np.maximum(together[1:], low)])
    keep[-1] = True
    return np.asarray(together[keep])


_Coefficients = Callable[[Channel, Model | Sequence[Model], npt.ArrayLike, int], Array]
_Breakpoints = Callable[[Channel, Model | Sequence[Model]], Array]
_DYNAMICS: Mapping[str, tuple[_Coefficients, _Breakpoints]] = MappingProxyType(
    {
        "charged": (_charged_coefficients, _charged_breakpoints),
        "chi": (chi_coefficients, chi_breakpoints),
        "neutrino": (neutrino_coefficients, neutrino_breakpoints),
    }
)
"""J_i and breakpoints by ``Channel.dynamics``; those of the invisible modes are in ``invisible.py``."""


def quadrature(points: npt.ArrayLike, low: float, high: float, order: int = 12) -> tuple[Array, Array]:
    r"""Nodes and weights for an integral over q2 from ``low`` to ``high`` (GeV²), panels between ``points``.

    Gauss-Legendre in θ on every panel [a, b] with :math:`q^2 = a+(b-a)\sin^2\theta`, which makes square
    roots at either end smooth. With ``breakpoints`` as points the integral of any J_i is good to 1e-9.

    >>> nodes, weights = quadrature([0.0, 1.0], 0.0, 1.0)
    >>> round(float(weights @ np.sqrt(nodes)), 12)
    0.666666666667
    """
    edges = np.asarray(points, dtype=float)
    edges = np.unique(np.concatenate([[low], edges[(edges > low) & (edges < high)], [high]]))
    x, w = np.polynomial.legendre.leggauss(order)
    theta = 0.25 * np.pi * (x + 1.0)
    width = np.diff(edges)[:, None]
    nodes = edges[:-1, None] + width * np.sin(theta) ** 2
    weights = width * np.sin(2.0 * theta) * (0.25 * np.pi * w)
    return nodes.ravel(), weights.ravel()
