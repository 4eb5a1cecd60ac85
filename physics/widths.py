"""Partial widths of the light vector: eq. (2) of arXiv:1704.06188 with masses, fermions and scalars."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Chi = Literal["dirac", "scalar"]


def velocity(q2: ArrayLike, mass: float) -> FloatArray:
    r"""Velocity beta = sqrt(1 - 4 m^2 / q2) of either particle of a pair of invariant mass squared q2.

    Zero below threshold and at q2 <= 0. GeV^2 and GeV in, any shape.

    >>> float(velocity(4.0, 0.6))
    0.8
    """
    s = np.asarray(q2, dtype=np.float64)
    ratio = np.divide(4 * mass**2, s, out=np.full(s.shape, np.inf), where=s > 0)
    return np.asarray(np.sqrt(np.clip(1 - ratio, 0.0, None)) * (s > 0), dtype=np.float64)


def chi_threshold(beta: ArrayLike, chi: Chi) -> FloatArray:
    r"""Suppression of V -> chi chi by the mass of chi, 1 for a massless Dirac fermion.

    beta (3 - beta^2) / 2 for a Dirac fermion with a vector coupling, beta^3 / 4 for a complex scalar with the
    coupling i g V phi* d phi + h.c. of eq. (12).

    >>> float(chi_threshold(1.0, "dirac")), float(chi_threshold(1.0, "scalar"))
    (1.0, 0.25)
    """
    b = np.asarray(beta, dtype=np.float64)
    if chi == "dirac":
        return np.asarray(b * (3 - b**2) / 2)
    return np.asarray(b**3 / 4)


def chi_width(q2: ArrayLike, g_chi: float, m_chi: float = 0.0, chi: Chi = "dirac") -> FloatArray:
    r"""Width of a V of mass sqrt(q2) into chi chi: eq. (2) with masses, in GeV.

    Gamma = sqrt(q2) / (12 pi) g_chi^2 x (beta (3 - beta^2) / 2 for a Dirac fermion, beta^3 / 4 for a complex
    scalar). Eq. (2) is the massless Dirac case at q2 = m_V^2.

    >>> round(float(chi_width(2.5**2, 1.0)), 6)
    0.066315
    """
    s = np.asarray(q2, dtype=np.float64)
    return np.asarray(np.sqrt(np.maximum(s, 0)) * g_chi**2 / (12 * np.pi) * chi_threshold(velocity(s, m_chi), chi))


def lepton_width(q2: ArrayLike, g_v: float, g_a: float, mass: float) -> FloatArray:
    r"""Width of a V of mass sqrt(q2) into l+ l- (GeV).

    Gamma = sqrt(q2) / (12 pi) beta [g_V^2 (3 - beta^2) / 2 + g_A^2 beta^2] for the couplings of eq. (1).

    >>> round(float(lepton_width(2.5**2, 0.1, -0.044, 0.10566) / chi_width(2.5**2, 0.1)), 4)
    1.1915
    """
    s = np.asarray(q2, dtype=np.float64)
    beta = velocity(s, mass)
    factor = beta * (g_v**2 * (3 - beta**2) / 2 + g_a**2 * beta**2)
    return np.asarray(np.sqrt(np.maximum(s, 0)) / (12 * np.pi) * factor)


def neutrino_width(q2: ArrayLike, g_nu: float) -> FloatArray:
    r"""Width of a V of mass sqrt(q2) into one flavour of left-handed neutrinos (GeV).

    Gamma = sqrt(q2) g_nu^2 / (24 pi) for L = g_nu nubar_L gamma nu_L V.

    >>> round(float(neutrino_width(4.0, 1.0) / chi_width(4.0, 1.0)), 12)
    0.5
    """
    s = np.asarray(q2, dtype=np.float64)
    return np.asarray(np.sqrt(np.maximum(s, 0)) * g_nu**2 / (24 * np.pi))


def chi_coupling(width: float, mass: float, m_chi: float = 0.0, chi: Chi = "dirac") -> float:
    r"""The g_chi that gives V of this mass this width into chi chi: eq. (2) with masses, solved.

    This is the "preferred g_chi" of a point. Raises ValueError at and above the threshold m_chi = m_V / 2,
    where no coupling gives a width.

    >>> round(chi_coupling(0.5, 2.5), 3)
    2.746
    """
    unit = float(chi_width(mass**2, 1.0, m_chi, chi))
    if unit <= 0:
        raise ValueError(f"V of mass {mass} GeV does not decay to a pair of m_chi = {m_chi} GeV: g_chi is not fixed")
    return float(np.sqrt(width / unit))
