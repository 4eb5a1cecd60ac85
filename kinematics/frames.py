r"""Helicity angles and four-momenta of B → Kπ ℓℓ and B → K ℓℓ: decay, boost and back.

The functions are scalar and take no arrays: numbers in, tuples of numbers out, shared by the loops of the CPU
and the kernels of the GPU. ``real`` is ``numpy.float32`` or ``numpy.float64``. Masses, momenta, energies in
GeV, q2 in GeV², angles in radians. Three-momenta are primary: an energy is :func:`energy` of momentum and
mass, so mass shells hold to rounding, relative to E².

Angles
------
p̂ is a unit vector, K* stands for the Kπ system, ℓℓ for the lepton pair; the frame is in brackets. θ_K is the
same everywhere, with the kaon (K+, K0 of a B; K-, K0-bar of a B-bar):

.. math:: \cos\theta_K = \hat p_K^{(K^*)}\cdot\hat p_{K^*}^{(B)} .

**LHCb** (``lhcb``; appendix A of arXiv:1304.6325): the angles of the B-bar are those of the B after CP. With
ℓ = ℓ+ for B, ℓ- for B-bar, and ℓ' the other lepton,

.. math::
    \cos\theta_\ell = \hat p_\ell^{(\ell\ell)}\cdot\hat p_{\ell\ell}^{(B)},\quad
    n_\ell = p_\ell^{(B)}\times p_{\ell'}^{(B)},\ n_K = p_K^{(B)}\times p_\pi^{(B)},

    \cos\phi = \hat n_\ell\cdot\hat n_K,\
    \sin\phi = \pm(\hat n_\ell\times\hat n_K)\cdot\hat p_{K^*}^{(B)},

with + for B and - for B-bar.

**theory** (``theory``; arXiv:0811.1214, flavio): one definition for both flavours,

.. math::
    \cos\theta_\ell = -\hat p_{\ell^-}^{(\ell\ell)}\cdot\hat p_{\ell\ell}^{(B)},\quad
    n_\ell = p_{\ell^-}^{(B)}\times p_{\ell^+}^{(B)},\

    \cos\phi = \hat n_\ell\cdot\hat n_K,\
    \sin\phi = +(\hat n_\ell\times\hat n_K)\cdot\hat p_{K^*}^{(B)}.

All of them are signs on one set, that of LHCb for the B, which the functions here use: with flavour f = +1
(B), -1 (B-bar), :func:`convention_signs` gives the factors of cos θ_ℓ, cos φ, sin φ.

    convention   cos θ_ℓ    cos φ    sin φ
    lhcb            f         f        1
    theory          1        -1       -1

A final state that is its own conjugate (B_s → φ(→ K⁺K⁻) ℓℓ) has the angles of f = -1 for both flavours, with the first
of its two hadrons, the K⁻, in place of the kaon; ``physics/angular.py`` says what follows.

B → K ℓℓ has cos θ_ℓ alone, by the same formulas; LHCb's θ_ℓ of B+ → K+ μμ (arXiv:1209.4284), between the μ-
and the K+ in the dimuon frame, is this one.
"""

from __future__ import annotations

import math
from typing import Any

from .base.errors import InputError
from .base.jit import scalar
from .trig import circle

Real = Any
Three = tuple[Real, Real, Real]
CONVENTIONS = ("lhcb", "theory")


def convention_signs(convention: str, flavour: int) -> tuple[int, int, int]:
    """Factors of cos θ_ℓ, cos φ, sin φ from a convention to LHCb's angles of the B, and back.

    >>> convention_signs("lhcb", -1), convention_signs("theory", 1)
    ((-1, -1, 1), (1, -1, -1))
    """
    if convention == "lhcb":
        return flavour, flavour, 1
    if convention == "theory":
        return 1, -1, -1
    raise InputError(f"convention = {convention!r}: no such convention; one of {', '.join(CONVENTIONS)}")


@scalar
def energy(px: Real, py: Real, pz: Real, mass: Real) -> Real:
    """Energy of a particle from its momentum and mass.

    >>> float(energy(1.0, 2.0, 2.0, 4.0))
    5.0
    """
    return math.sqrt(px * px + py * py + pz * pz + mass * mass)


@scalar
def breakup_momentum(real: Any, mass: Real, mass_1: Real, mass_2: Real) -> Real:
    """Momentum of the two daughters in the rest frame of ``mass``; zero if they do not fit.

    The Källén function is taken apart into its four factors, so nothing is lost next to a threshold.

    >>> import numpy as np
    >>> float(breakup_momentum(np.float64, 5.0, 3.0, 0.0))
    1.6
    """
    total, difference = mass_1 + mass_2, mass_1 - mass_2
    product = (mass - total) * (mass + total) * ((mass - difference) * (mass + difference))
    return math.sqrt(max(product, real(0))) * real(0.5) / mass


@scalar
def dilepton_momenta(
    real: Any, p: Real, q2: Real, cos_l: Real, cos_phi: Real, sin_phi: Real, m_l: Real
) -> tuple[Three, Three]:
    """Momenta of ℓ+ and ℓ- in the B frame, the pair flying along -z with momentum ``p``.

    ``cos_l`` is of ℓ+ against the pair's direction, ``cos_phi`` and ``sin_phi`` are LHCb's of the B, with the
    kaon's transverse momentum along +x.
    """
    root = math.sqrt(q2)
    p_star = math.sqrt(max(q2 - real(4) * m_l * m_l, real(0))) * real(0.5)
    gamma = math.sqrt(q2 + p * p) / root
    transverse = p_star * math.sqrt((real(1) - cos_l) * (real(1) + cos_l))
    x, y = -(transverse * cos_phi), transverse * sin_phi
    along, drift = gamma * p_star * cos_l, p * real(0.5)  # (p / sqrt q2) times the energy sqrt(q2) / 2
    return (x, y, -(drift + along)), (-x, -y, -(drift - along))


@scalar
def vector_decay(
    real: Any,
    q2: Real,
    cos_k: Real,
    cos_l: Real,
    cos_phi: Real,
    sin_phi: Real,
    m_b: Real,
    m_kpi: Real,
    m_k: Real,
    m_pi: Real,
    m_l: Real,
) -> tuple[Three, Three, Three, Three]:
    """Momenta of K, π, ℓ+, ℓ- of B → Kπ ℓℓ in the B frame, the Kπ system along +z, the kaon in the x-z plane.

    Angles are LHCb's of the B (`convention_signs` leads there).

    >>> import numpy as np
    >>> k, pi, lp, lm = vector_decay(np.float64, 4.0, 0.3, -0.2, 0.6, 0.8, 5.28, 0.9, 0.494, 0.14, 0.106)
    >>> all(abs(a + b + c + d) < 1e-15 for a, b, c, d in zip(k, pi, lp, lm))
    True
    """
    p = breakup_momentum(real, m_b, m_kpi, math.sqrt(q2))
    p_star = breakup_momentum(real, m_kpi, m_k, m_pi)
    gamma, boost = math.sqrt(m_kpi * m_kpi + p * p) / m_kpi, p / m_kpi
    e_k = math.sqrt(m_k * m_k + p_star * p_star)
    x = p_star * math.sqrt((real(1) - cos_k) * (real(1) + cos_k))
    z = gamma * p_star * cos_k + boost * e_k
    lp, lm = dilepton_momenta(real, p, q2, cos_l, cos_phi, sin_phi, m_l)
    zero = real(0)
    return (x, zero, z), (-x, zero, p - z), lp, lm


@scalar
def scalar_decay(real: Any, q2: Real, cos_l: Real, m_b: Real, m_k: Real, m_l: Real) -> tuple[Three, Three, Three]:
    """Momenta of K, ℓ+, ℓ- of B → K ℓℓ in the B frame, the kaon along +z, the leptons in the x-z plane.

    >>> import numpy as np
    >>> k, lp, lm = scalar_decay(np.float64, 4.0, 0.3, 5.28, 0.494, 0.106)
    >>> round(float(energy(*k, 0.494) + energy(*lp, 0.106) + energy(*lm, 0.106)), 12)
    5.28
    """
    p = breakup_momentum(real, m_b, m_k, math.sqrt(q2))
    zero = real(0)
    lp, lm = dilepton_momenta(real, p, q2, cos_l, real(-1), zero, m_l)
    return (zero, zero, p), lp, lm


@scalar
def orientation(real: Any, u1: Real, u2: Real, u3: Real) -> tuple[Three, Three, Three]:
    """Rows of a rotation, uniform over all for three uniforms: R_z(α) R_y(β) R_z(γ), cos β = 2 u2 - 1.

    A B has no spin: the decay as a whole has no preferred direction.

    >>> import numpy as np
    >>> rows = orientation(np.float64, 0.1, 0.6, 0.9)
    >>> [round(float(sum(x * y for x, y in zip(rows[0], row))), 12) + 0 for row in rows]
    [1.0, 0.0, 0.0]
    """
    sa, ca = circle(real, u1 - real(0.5))
    sg, cg = circle(real, u3 - real(0.5))
    cb = real(2) * u2 - real(1)
    sb = real(2) * math.sqrt(u2 * (real(1) - u2))
    return (
        (ca * cb * cg - sa * sg, -(ca * cb * sg) - sa * cg, ca * sb),
        (sa * cb * cg + ca * sg, ca * cg - sa * cb * sg, sa * sb),
        (-(sb * cg), sb * sg, cb),
    )


@scalar
def rotate(rows: tuple[Three, Three, Three], p: Three) -> Three:
    """Rotate a vector.

    >>> rotate(((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)), (1.0, 2.0, 3.0))
    (-2.0, 1.0, 3.0)
    """
    a, b, c = rows
    x, y, z = p
    return (
        a[0] * x + a[1] * y + a[2] * z,
        b[0] * x + b[1] * y + b[2] * z,
        c[0] * x + c[1] * y + c[2] * z,
    )


@scalar
def cross(a: Three, b: Three) -> Three:
    """Vector product.

    >>> cross((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    (0.0, 0.0, 1.0)
    """
    x1, y1, z1 = a
    x2, y2, z2 = b
    return y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2


@scalar
def boost(p: Three, mass: Real, parent: Three, parent_mass: Real) -> Three:
    r"""Momentum in the frame where the parent has momentum ``parent``, from momentum p in its rest frame.

    .. math:: p' = p + P\left[\frac{p\cdot P}{M(E_P+M)} + \frac{E}{M}\right]

    Written with the parent's momentum, not its velocity: nothing like 1 - v² is formed, so any γ will do.

    >>> [round(float(x), 12) for x in boost((0.0, 0.0, 0.0), 0.5, (0.0, 3.0, 4.0), 1.0)]
    [0.0, 1.5, 2.0]
    """
    px, py, pz = p
    bx, by, bz = parent
    e_parent = energy(bx, by, bz, parent_mass)
    dot = px * bx + py * by + pz * bz
    factor = (dot / (e_parent + parent_mass) + energy(px, py, pz, mass)) / parent_mass
    return px + factor * bx, py + factor * by, pz + factor * bz


@scalar
def boost_back(p: Three, mass: Real, parent: Three, parent_mass: Real) -> Three:
    """Momentum in the rest frame of a parent with momentum ``parent``: the inverse of `boost`.

    >>> p = boost((0.1, 0.2, 0.3), 0.5, (0.0, 3.0, 40.0), 1.0)
    >>> [round(float(x), 12) for x in boost_back(p, 0.5, (0.0, 3.0, 40.0), 1.0)]
    [0.1, 0.2, 0.3]
    """
    px, py, pz = p
    bx, by, bz = parent
    e_parent = energy(bx, by, bz, parent_mass)
    dot = px * bx + py * by + pz * bz
    factor = (dot / (e_parent + parent_mass) - energy(px, py, pz, mass)) / parent_mass
    return px + factor * bx, py + factor * by, pz + factor * bz


@scalar
def pair_mass_squared(real: Any, p1: Three, m1: Real, p2: Three, m2: Real) -> Real:
    r"""Invariant mass squared of two particles, without the cancellation of E² - p².

    .. math:: s = m_1^2 + m_2^2 + 2\,(E_1E_2 - p_1\cdot p_2),\quad E_1E_2 - p_1\cdot p_2 =
        \frac{m_1^2m_2^2 + m_1^2p_2^2 + m_2^2p_1^2 + |p_1\times p_2|^2}{E_1E_2+p_1\cdot p_2}

    for an opening angle below 90 degrees, directly above it.

    >>> import numpy as np
    >>> p, m = (0.0, 0.0, 2.5), 0.000511
    >>> round(float(pair_mass_squared(np.float64, p, m, p, m)) / (2 * m) ** 2, 12)
    1.0
    """
    x1, y1, z1 = p1
    x2, y2, z2 = p2
    e1, e2 = energy(x1, y1, z1, m1), energy(x2, y2, z2, m2)
    dot = x1 * x2 + y1 * y2 + z1 * z2
    cx, cy, cz = cross(p1, p2)
    s1, s2 = x1 * x1 + y1 * y1 + z1 * z1, x2 * x2 + y2 * y2 + z2 * z2
    w1, w2 = m1 * m1, m2 * m2
    numerator = w1 * w2 + w1 * s2 + w2 * s1 + (cx * cx + cy * cy + cz * cz)
    product = numerator / (e1 * e2 + dot) if dot > real(0) else e1 * e2 - dot
    return w1 + w2 + real(2) * product


@scalar
def cosine_in_pair(real: Any, p1: Three, m1: Real, p2: Three, m2: Real) -> Real:
    """Cosine of the angle between particle 1, in the rest frame of the pair, and the pair's direction here.

    From longitudinal and transverse parts together, so it is as good at the poles as between them.

    >>> import numpy as np
    >>> round(float(cosine_in_pair(np.float64, (0.3, 0.0, 1.0), 0.1, (-0.3, 0.0, 1.0), 0.1)), 12)
    0.0
    """
    x1, y1, z1 = p1
    x2, y2, z2 = p2
    e1, e2 = energy(x1, y1, z1, m1), energy(x2, y2, z2, m2)
    x, y, z = x1 + x2, y1 + y2, z1 + z2
    total = math.sqrt(x * x + y * y + z * z)
    s = pair_mass_squared(real, p1, m1, p2, m2)
    # longitudinal momentum times the pair's mass: E p1L - |P| E1, antisymmetric in the two
    longitudinal = (e2 * (x1 * x + y1 * y + z1 * z) - e1 * (x2 * x + y2 * y + z2 * z)) / total
    cx, cy, cz = cross(p1, p2)
    transverse = math.sqrt(s * (cx * cx + cy * cy + cz * cz)) / total
    return longitudinal / math.sqrt(longitudinal * longitudinal + transverse * transverse)


@scalar
def decay_plane_angle(real: Any, k: Three, pi: Three, lp: Three, lm: Three) -> tuple[Real, Real]:
    """Cosine and sine of φ from momenta in the B frame, LHCb's of the B.

    >>> import numpy as np
    >>> decay = vector_decay(np.float64, 4.0, 0.3, -0.2, 0.6, 0.8, 5.28, 0.9, 0.494, 0.14, 0.106)
    >>> c, s = decay_plane_angle(np.float64, *decay)
    >>> round(float(c), 12), round(float(s), 12)
    (0.6, 0.8)
    """
    lx, ly, lz = cross(lp, lm)
    kx, ky, kz = cross(k, pi)
    x, y, z = k[0] + pi[0], k[1] + pi[1], k[2] + pi[2]
    total = math.sqrt(x * x + y * y + z * z)
    cosine = lx * kx + ly * ky + lz * kz
    cx, cy, cz = cross((lx, ly, lz), (kx, ky, kz))
    sine = (cx * x + cy * y + cz * z) / total
    norm = math.sqrt(cosine * cosine + sine * sine)
    return cosine / norm, sine / norm
