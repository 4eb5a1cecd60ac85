r"""Photons along the two particles of a pair: momenta that add up to the pair's, event by event.

Scalar functions as in `frames`: numbers in, tuples of numbers out, shared by the CPU's loops and the GPU's kernels.
"""

from __future__ import annotations

import math
from typing import Any

from .base.jit import scalar
from .frames import Real, Three


@scalar
def collinear_photons(
    real: Any, lp: Three, lm: Three, q2: Real, m_l: Real, y_p: Real, y_m: Real
) -> tuple[Three, Three, Three, Three]:
    r"""Momenta of ℓ+, ℓ- and of a photon along each, from those of ℓ+ and ℓ- before they radiate, in any frame.

    In the rest frame of the pair the photons take the fractions y of the energies √q²/2. With q = p₊ + p₋ and
    β = √(1 - 4m²/q²), the light-like vectors along the leptons are

    .. math:: N_\pm = \tfrac12\left(q \pm \frac{p_+-p_-}{\beta}\right),\qquad N_++N_-=q,\quad 2\,N_+N_- = q^2 ,

    and, with z = 1 - y and β' = √(1 - 4m²/(z₊z₋q²)),

    .. math:: k_\pm = y_\pm N_\pm,\qquad
        p'_\pm = \tfrac12\left[z_+N_++z_-N_- \pm \beta'\,(z_+N_+-z_-N_-)\right] .

    So photons are massless, leptons on their mass shell, the four add up to q, and the leptons' invariant mass squared
    is z₊z₋q². All is linear in p₊ and p₋: three-momenta are all that is needed, in whatever frame they are.

    Args:
        real: working precision.
        lp: momentum of ℓ+ (GeV).
        lm: momentum of ℓ-.
        q2: invariant mass squared of the two (GeV²).
        m_l: mass of a lepton.
        y_p: energy fraction of the photon of ℓ+; z₊z₋q² must not be below 4m².
        y_m: that of the photon of ℓ-.

    >>> import numpy as np
    >>> p, m, k, l = collinear_photons(np.float64, (0.0, 0.0, 0.5), (0.0, 0.0, -0.5), 1.0, 0.0, 0.2, 0.4)
    >>> [round(v[2], 12) for v in (p, m, k, l)]
    [0.4, -0.3, 0.1, -0.2]
    """
    beta = math.sqrt(max(real(1) - real(4) * m_l * m_l / q2, real(1e-12)))
    z_p, z_m = real(1) - y_p, real(1) - y_m
    left = math.sqrt(max(real(1) - real(4) * m_l * m_l / (z_p * z_m * q2), real(0)))
    d = real(1) / beta
    half = (real(0.5) * (lp[0] + lm[0]), real(0.5) * (lp[1] + lm[1]), real(0.5) * (lp[2] + lm[2]))
    along = (half[0] - lm[0]) * d, (half[1] - lm[1]) * d, (half[2] - lm[2]) * d
    n_p = (half[0] + along[0], half[1] + along[1], half[2] + along[2])
    n_m = (half[0] - along[0], half[1] - along[1], half[2] - along[2])
    own, other = real(0.5) * (real(1) + left), real(0.5) * (real(1) - left)
    a, b = own * z_p, other * z_m
    c, e = other * z_p, own * z_m
    return (
        (a * n_p[0] + b * n_m[0], a * n_p[1] + b * n_m[1], a * n_p[2] + b * n_m[2]),
        (c * n_p[0] + e * n_m[0], c * n_p[1] + e * n_m[1], c * n_p[2] + e * n_m[2]),
        (y_p * n_p[0], y_p * n_p[1], y_p * n_p[2]),
        (y_m * n_m[0], y_m * n_m[1], y_m * n_m[2]),
    )
