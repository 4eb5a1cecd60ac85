r"""Branching ratios of B → K(*) χχ and B → K(*) νν̄: integrated over the line shape of V, and narrow.

With the two-body rate to a V* of mass √q², :func:`two_body_rate`, the spectrum of the invisible mode is

.. math:: \frac{d\Gamma}{dq^2} = \Gamma(B\to MV^*)\,\frac{1}{\pi}
          \frac{\sqrt{q^2}\,\Gamma_{\chi\chi}(q^2)}{|q^2-m_V^2+i m_V\Gamma_V|^2},

and eq. (3) of arXiv:1704.06188 is its limit for a narrow V.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kinematics.base.errors import InputError
from .amplitudes import standard_model
from .angular import angular_coefficients, breakpoints, decay_rate, quadrature
from .channels import Channel
from .invisible import pair_coefficients, scalar_coefficients
from .mediators import DarkPair, Mediator, PairTensor
from .models import Model
from .parameters import FLAVIO, load_parameters
from .theory import Theory

FloatArray = NDArray[np.float64]


def branching_ratio(channel: Channel, model: Model, q2_range: tuple[float, float] | None = None) -> float:
    r"""Branching ratio of a channel, averaged over B and its conjugate, before the 2/3 of K* → Kπ.

    Gauss-Legendre between the breakpoints of the channel, good to 1e-9; ``q2_range`` in GeV² (default: all).
    InputError for a range with its ends exchanged.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> f"{branching_ratio(get_channel('B+->K+chichi'), get_model('fig2')):.2e}"
    '6.04e-06'
    """
    edges = breakpoints(channel, model)
    low, high = q2_range or (float(edges[0]), float(edges[-1]))
    if not low < high:
        raise InputError(f"q2_range = {low:g}, {high:g} GeV^2: the upper end has to be above the lower one")
    nodes, weights = quadrature(edges, max(low, float(edges[0])), min(high, float(edges[-1])))
    rate = sum(decay_rate(angular_coefficients(channel, model, nodes, flavour)) for flavour in (-1, 1))
    return float(model.parameters[f"tau_{channel.parent}"] * 0.5 * (rate @ weights))


def narrow_branching_ratio(channel: Channel, model: Model) -> float:
    r"""BR(B → K(*) χχ) in the narrow-width limit: the sum over V of τ_B Γ(B → M V) Γ_χχ/Γ_V.

    For a K this is eq. (3). At Γ/m = 1e-4 it agrees with :func:`branching_ratio` to 6e-5, the difference
    being proportional to Γ/m; at 20 % and 2.5 GeV it is 12 % too large, so that the bound (4) weakens by 6 %.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> f"{narrow_branching_ratio(get_channel('B+->K+chichi'), get_model('fig2')):.2e}"
    '6.77e-06'
    """
    total = 0.0
    for one in model.mediators.values():
        if one.dark is None or one.mass <= 2 * one.dark.mass:
            continue
        share = one.dark_width() / one.total_width
        total += share * 0.5 * sum(two_body_rate(channel, one, flavour, model.theory) for flavour in (-1, 1))
    return model.parameters[f"tau_{channel.parent}"] * total


def tau_branching_ratio(channel: Channel, theory: Theory = FLAVIO) -> float:
    r"""Tree-level part of BR(B+ → K(*)+ νν̄): B+ → τ+ ν, τ+ → K(*)+ ν̄ with a real τ; zero for the other modes.

    It has the final state of the loop, does not interfere with it to speak of, and is 12 % of it for the K
    (arXiv:0908.1174). The product of the two branching ratios, with decay constants of flavio,

    .. math:: \Gamma(B\to\tau\nu) = \frac{G_F^2|V_{ub}|^2f_B^2}{8\pi} m_B m_\tau^2 (1-m_\tau^2/m_B^2)^2,\qquad
              \Gamma(\tau\to M\nu) = \frac{G_F^2|V_{us}|^2f_M^2}{16\pi} m_\tau^3 (1-r)^2\,[1 + 2r\ \text{for a } K^*],

    r = m_M²/m_τ². :func:`branching_ratio` leaves it out, as Belle II does, which takes it for background.

    >>> from darkpenguin.physics.channels import get_channel
    >>> f"{tau_branching_ratio(get_channel('B+->K+nunu')):.2e}"
    '5.75e-07'
    """
    if channel.dynamics != "neutrino" or channel.parent != "B+":
        return 0.0
    known = load_parameters(theory)
    m_b, m_tau, m_h = known["m_B+"], known["m_tau"], known["m_" + channel.hadron]
    r = (m_h / m_tau) ** 2
    first = known["Vub"] ** 2 * known["f_B+"] ** 2 / (8 * np.pi) * m_b * m_tau**2 * (1 - (m_tau / m_b) ** 2) ** 2
    second = known["Vus"] ** 2 * known["f_" + channel.hadron] ** 2 / (16 * np.pi) * m_tau**3 * (1 - r) ** 2
    spin = 1 + 2 * r if channel.spin == 1 else 1.0
    return float(known["GF"] ** 4 * known["tau_B+"] * known["tau_tau"] * first * second * spin)


def two_body_rate(channel: Channel, vector: Mediator, flavour: int = 1, theory: Theory = FLAVIO) -> float:
    r"""Γ(B → M V) for an on-shell V (GeV), summed over its helicities; zero above m_B - m_M.

    For a K it is eq. (3) without the lifetime, m_B³/(64 π m_V²) λ^{3/2} f_+² |g_bs|²; for a K* the sum over
    the three helicities. Of a (pseudo)scalar, √λ |h|²/(16 π m_B³) with h (H of a K*) of
    `invisible.scalar_coefficients`. Any channel with the same B and M does.
    """
    sm = standard_model(channel, theory)
    s = np.array([vector.mass**2])
    if s[0] >= sm.q2_max:
        return 0.0
    one = np.ones(1)
    left, right = vector.weak_couplings(flavour)
    if vector.dark is not None and vector.dark.operator != "vector":
        massless = scalar_coefficients(sm, s, left, right, DarkPair(0.0, "dirac", vector.dark.operator))
        return float(decay_rate(massless)[0] * 8 * np.pi**2 / s[0])
    massless = pair_coefficients(sm, s, left, right, PairTensor(one, -one, 0 * one))
    return float(decay_rate(massless)[0] * 12 * np.pi**2 / s[0])


def longitudinal_fraction(coefficients: FloatArray) -> FloatArray:
    """F_L of the K*: the part of dΓ/dq2 that goes as cos²θ_K, for any mass and spin of the pair.

    For massless leptons and neutrinos it is -J_2c over the rate. First axis of the argument: the 12 J_i.
    """
    return np.asarray((0.75 * coefficients[1] - 0.25 * coefficients[3]) / decay_rate(coefficients))
