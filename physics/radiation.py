r"""Final-state radiation: collinear photons off charged leptons, to leading logarithms, soft photons exponentiated.

Each lepton of a decay with dilepton mass squared q² gives the fraction y of its energy, in the rest frame of the pair,
to photons. The density is that of an electron's structure function, soft photons to all orders and one hard one (as in
Sherpa's PDF_Electron.C at order 1, its β being 2b),

.. math:: D(y) = S\,b\,y^{b-1} - b\left(1-\frac y2\right),\qquad
    S = \frac{e^{b(3/4-\gamma_E)}}{\Gamma(1+b)},\qquad 0<y<Y,

divided by its integral. To first order in b it is (b/2) (1 + z²)/(1 - z), the universal collinear splitting, with

.. math:: b = \frac\alpha\pi\left[\frac{1+\beta^2}{2\beta}\ln\frac{1+\beta}{1-\beta} - 1\right]
    \to \frac\alpha\pi\left(\ln\frac{q^2}{m_\ell^2} - 1\right),\qquad \beta = \sqrt{1-4m_\ell^2/q^2},

which is the exponent of soft photons of a pair for any mass (D. R. Yennie, S. C. Frautschi, H. Suura, Ann. Phys. 13
(1961) 379), half for each lepton: heavy leptons do not radiate. A photon has at most Y = 1 - 2 m_ℓ/√q² of its lepton's
energy, so that two of them always leave 4 m_ℓ². The total rate is untouched, as for any quantity that sums over photons
(T. Kinoshita, J. Math. Phys. 3 (1962) 650; T. D. Lee and M. Nauenberg, Phys. Rev. 133 (1964) B1549); for B → K ℓℓ:
arXiv:2009.00929.

Left out: photons at an angle, radiation of the hadrons and its interference with the leptons', hard photons beyond the
leading logarithm.
"""

from __future__ import annotations

import math
from typing import Any

from ..kinematics.base.jit import scalar
from ..kinematics.trig import exponential, logarithm

Real = Any


@scalar
def radiator(real: Any, q2: Real, m_l: Real) -> tuple[Real, Real, Real]:
    r"""(b, S Y^(b-1), Y) of a lepton: what `photon_fraction` draws with.

    S by the series of :math:`\ln\Gamma(1+b)+\gamma_E b=\sum_{k\ge2}\zeta(k)(-b)^k/k`, to 1e-9 for b < 0.05, which is
    that of electrons at the end of the spectrum.

    Args:
        real: working precision.
        q2: invariant mass squared of the pair (GeV²).
        m_l: mass of a lepton (GeV).

    >>> import numpy as np
    >>> b, a, most = radiator(np.float64, 9.59, 0.000511)
    >>> round(b, 5), round(most, 5)
    (0.03814, 0.99967)
    """
    ratio = min(real(4) * m_l * m_l / q2, real(1))
    beta = math.sqrt(max(real(1) - ratio, real(1e-12)))
    rapidity = logarithm(real, (real(1) + beta) * (real(1) + beta) / ratio)  # ln (1 + β)/(1 - β)
    soft = (real(1) + beta * beta) / (beta + beta) * rapidity - real(1)
    b = max(real(0.0072973525693 / 3.141592653589793) * soft, real(1e-9))  # α at zero momentum: CODATA 2018
    most = max(real(1) - math.sqrt(ratio), real(1e-9))
    series = real(0.4006856343865314) - b * (real(0.2705808084277845) - b * real(0.207385551028674))  # ζ(k)/k
    size = b * (real(0.75) - b * (real(0.8224670334241132) - b * series))
    return b, exponential(real, size + (b - real(1)) * logarithm(real, most)), most


@scalar
def photon_fraction(real: Any, u1: Real, u2: Real, choice: Real, b: Real, a: Real, most: Real) -> Real:
    r"""Fraction of its energy that a lepton gives to a photon, from three uniforms and what `radiator` says; exact.

    With x = y/Y and A = S Y^(b-1) the density is a sum of positive parts,

    .. math:: D \propto (A-1)\,x^{b-1} + (x^{b-1} - 1) + \frac Y2\,x,

    of integrals (A - 1)/b, (1 - b)/b and Y/4. With v = u₁^(1/b), the first is the density of v, the second that of
    v u₂ (a flat one below v), the third that of the larger of u₁ and u₂: no rejection, no inversion, and no cut-off but
    that v is not below e⁻⁸⁰ = 2e-35.

    >>> import numpy as np
    >>> round(photon_fraction(np.float64, 0.5, 0.25, 0.99999, *radiator(np.float64, 9.59, 0.000511)), 5)
    0.49983
    """
    v = exponential(real, max(logarithm(real, u1) / b, real(-80)))
    place = choice * (a - b + real(0.25) * b * most)
    x = v if place < a - real(1) else (v * u2 if place < a - b else max(u1, u2))
    return most * x
