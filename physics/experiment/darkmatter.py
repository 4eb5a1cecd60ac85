"""Annihilation of chi into muons: eqs. (11) and (12) of arXiv:1704.06188."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
GEV2_TO_CM3_PER_S = 0.1973269804e-13**2 * 2.99792458e10
"""(hbar c)^2 c: one GeV^-2 of sigma v in cm^3/s, with CODATA 2018's hbar c = 0.1973269804 GeV fm."""
THERMAL_SIGMA_V = 2 * 5.2e-26
"""Sigma v (cm^3/s) above which the symmetric part of chi does not overclose the universe.

Twice the canonical value because chi is not its own antiparticle. The canonical value rises from 2.2e-26
above 10 GeV to its maximum of 5.2e-26 near 0.3 GeV (Steigman, Dasgupta and Beacom, arXiv:1204.3622); the
maximum is taken, which is the cautious side for "annihilates efficiently".
"""
FREEZE_OUT_X = 20.0
"""m_chi / T at freeze-out; the rms velocity of one particle is then sqrt(3 / x) = 0.39."""


def freeze_out_velocity(x: float = FREEZE_OUT_X) -> float:
    """Root-mean-square velocity of one particle, in units of c, at m / T = x (Maxwell-Boltzmann).

    >>> round(freeze_out_velocity(20.0), 4)
    0.3873
    """
    return float(np.sqrt(3 / x))


def _muon_factor(
    m_chi: FloatArray, mass: ArrayLike, g_mu_v: ArrayLike, g_mu_a: ArrayLike, m_mu: float, width: ArrayLike
) -> FloatArray:
    """What (11) and (12) share: couplings to the muon, propagator at s = 4 m_chi^2, velocity of the muon."""
    v2, a2 = np.square(g_mu_v), np.square(g_mu_a)
    m2, mv2 = m_chi**2, np.square(mass)
    opened = m2 > m_mu**2
    beta = np.sqrt(np.where(opened, 1 - m_mu**2 / np.where(opened, m2, 1.0), 0.0))
    couplings = v2 * (m2 + m_mu**2 / 2) + a2 * (m2 - m_mu**2)
    denominator = (mv2 - 4 * m2) ** 2 + mv2 * np.square(width)
    with np.errstate(divide="ignore"):  # m_chi = m_V / 2 without a width: infinite, as the formula says
        return np.asarray(np.where(opened, couplings * beta, 0.0) / denominator)


def sigma_v_fermion(
    m_chi: ArrayLike,
    mass: ArrayLike,
    g_chi: ArrayLike,
    g_mu_v: ArrayLike,
    g_mu_a: ArrayLike,
    m_mu: float = 0.1056583755,
    width: ArrayLike = 0.0,
) -> FloatArray:
    r"""Eq. (11): sigma v of chi chibar -> mu mu for a Dirac fermion, v relative, at rest (GeV^-2).

    <sigma v> = g_chi^2 / pi [g_V^2 (m_chi^2 + m_mu^2/2) + g_A^2 (m_chi^2 - m_mu^2)]
                / (m_V^2 - 4 m_chi^2)^2 sqrt(1 - m_mu^2 / m_chi^2).

    The paper leaves the width of V out of the propagator; with ``width`` = Gamma_V (GeV) the denominator
    becomes (m_V^2 - 4 m_chi^2)^2 + m_V^2 Gamma_V^2, which is finite at m_chi = m_V / 2. Averages over neither
    the thermal motion nor the resonance. Zero below the muon's mass. Arrays broadcast.

    The paper's ballpark, 1e-22 to 1e-21 cm^3/s, comes out for couplings of "a few times 1e-2" (g_V = 0.03 to
    0.05) and m_chi well below m_V / 2; the point of its figures, g_V = 0.1, has 6e-21 at m_chi = m_V / 4.

    >>> sigma = sigma_v_fermion(0.625, 2.5, 2.746, 0.1, -0.044)
    >>> f"{float(sigma) * GEV2_TO_CM3_PER_S:.1e}"
    '5.9e-21'
    """
    m = np.asarray(m_chi, dtype=np.float64)
    return np.asarray(np.square(g_chi) / np.pi * _muon_factor(m, mass, g_mu_v, g_mu_a, m_mu, width))


def sigma_v_scalar(
    m_chi: ArrayLike,
    mass: ArrayLike,
    g_chi: ArrayLike,
    g_mu_v: ArrayLike,
    g_mu_a: ArrayLike,
    velocity: ArrayLike,
    m_mu: float = 0.1056583755,
    width: ArrayLike = 0.0,
    kind: Literal["rms", "relative"] = "rms",
) -> FloatArray:
    r"""Eq. (12): phi phibar -> mu mu for a complex scalar, cross section times relative velocity (GeV^-2).

    <sigma v> = v^2 g_phi^2 / (3 pi) x (the rest of eq. (11)).

    The prefactor 1/(3 pi) is right when v is the rms velocity of *one* particle in the plasma
    (``kind="rms"``, <v_rel^2> = 2 v^2); with the relative velocity of the two it is 1/(6 pi)
    (``kind="relative"``), which is the direct calculation of the p-wave cross section. The paper does not say
    which it means. ``velocity`` is in units of c, ``width`` as in :func:`sigma_v_fermion`.

    The paper's 1e-24 to 1e-23 cm^3/s at freeze-out comes out for g_phi as large as the fermion's g_chi. A scalar
    that gives V its whole width needs sqrt(2 (3 - beta^2)) / beta times that, beta that of the decay, and so
    annihilates at least four times as fast.

    >>> rms = sigma_v_scalar(0.6, 2.5, 1.0, 0.1, 0.0, velocity=0.3)
    >>> relative = sigma_v_scalar(0.6, 2.5, 1.0, 0.1, 0.0, velocity=0.3 * 2**0.5, kind="relative")
    >>> bool(abs(rms / relative - 1) < 1e-12)
    True
    """
    m = np.asarray(m_chi, dtype=np.float64)
    prefactor = {"rms": 1 / (3 * np.pi), "relative": 1 / (6 * np.pi)}[kind]
    factor = _muon_factor(m, mass, g_mu_v, g_mu_a, m_mu, width)
    return np.asarray(np.square(velocity) * np.square(g_chi) * prefactor * factor)
