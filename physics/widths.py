"""Widths of a vector or scalar of any mass into pairs: charged leptons, neutrinos, and dark particles, eq. (2)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..kinematics.base.arrays import FloatArray
from ..kinematics.phasespace import velocity

Chi = Literal["dirac", "scalar"]
HBAR_C = 1.973269804e-13
"""GeV mm, CODATA 2018: a lifetime of 1/GeV times this is a proper decay length, and one over a width (GeV) too."""


def invisible_width(q2: ArrayLike, g_chi: float, m_chi: float = 0.0, chi: Chi = "dirac") -> FloatArray:
    r"""Width of V → χχ (GeV) for a V of mass √q² (q2 in GeV²): eq. (2) of arXiv:1704.06188 with m_χ.

    .. math:: \Gamma = \frac{g_\chi^2}{12\pi}\sqrt{q^2}\,\beta\,\frac{3-\beta^2}{2}\ \text{(Dirac)},\qquad
              \Gamma = \frac{g_\chi^2}{48\pi}\sqrt{q^2}\,\beta^3\ \text{(complex scalar)},\qquad
              \beta = \sqrt{1-4m_\chi^2/q^2}

    Eq. (2) is the massless Dirac case at q² = m_V²; zero below 4 m_χ².

    >>> round(float(invisible_width(2.5**2, 1.0)), 6)
    0.066315
    """
    beta = velocity(q2, m_chi)
    shape = beta * (3.0 - beta**2) / 2.0 if chi == "dirac" else beta**3 / 4.0
    root = np.sqrt(np.maximum(np.asarray(q2, dtype=float), 0.0))
    return np.asarray(g_chi**2 / (12.0 * np.pi) * root * shape)


def lepton_width(q2: ArrayLike, g_v: float, g_a: float, mass: float) -> FloatArray:
    r"""Width of a V of mass sqrt(q2) into l+ l- (GeV), eq. (2)'s analogue for the couplings of eq. (1).

    Gamma = sqrt(q2) / (12 pi) beta [g_V^2 (3 - beta^2) / 2 + g_A^2 beta^2].

    >>> round(float(lepton_width(2.5**2, 0.1, -0.044, 0.10566)), 6)   # the paper's points: 0.8 MeV of 500 MeV
    0.00079
    """
    s = np.asarray(q2, dtype=np.float64)
    beta = velocity(s, mass)
    factor = beta * (g_v**2 * (3 - beta**2) / 2 + g_a**2 * beta**2)
    return np.asarray(np.sqrt(np.maximum(s, 0)) / (12 * np.pi) * factor)


def neutrino_width(q2: ArrayLike, g_nu: float) -> FloatArray:
    r"""Width of a V of mass sqrt(q2) into one flavour of left-handed neutrinos (GeV).

    Gamma = sqrt(q2) g_nu^2 / (24 pi) for L = g_nu nubar_L gamma nu_L V.

    >>> round(float(neutrino_width(4.0, 1.0)), 6)
    0.026526
    """
    s = np.asarray(q2, dtype=np.float64)
    return np.asarray(np.sqrt(np.maximum(s, 0)) * g_nu**2 / (24 * np.pi))


def scalar_width(q2: ArrayLike, g: float, mass: float, parity: str = "scalar") -> FloatArray:
    r"""Width of a particle of spin 0 and of mass sqrt(q2) into a pair of Dirac fermions (GeV).

    Gamma = g^2 sqrt(q2) / (8 pi) beta^3 for L = g S fbar f, and with beta for L = g S fbar i gamma5 f: beta / (16 pi
    sqrt(q2)) times the sum over spins of |ubar v|^2 = 4 (p1 p2 - m^2) = 2 q2 beta^2, or |ubar gamma5 v|^2 = 2 q2.

    >>> round(float(scalar_width(4.0, 1.0, 0.0)), 6)
    0.079577
    """
    s = np.asarray(q2, dtype=np.float64)
    beta = velocity(s, mass)
    shape = beta**3 if parity == "scalar" else beta
    return np.asarray(np.sqrt(np.maximum(s, 0)) * g**2 / (8 * np.pi) * shape)
