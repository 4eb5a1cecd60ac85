"""Velocities, and widths of the light vector into leptons; V -> chi chi, eq. (2), is in ``models.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..kinematics.base.arrays import FloatArray
from ..kinematics.phasespace import velocity
from .parameters import load_parameters

if TYPE_CHECKING:
    from .models import LightVector


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


def lepton_widths(vector: LightVector) -> dict[str, float]:
    """Widths of an on-shell V (GeV) into the pairs of leptons that it can couple to: parts of its total width.

    >>> from darkpenguin.physics.models import get_model
    >>> round(lepton_widths(get_model("fig2").light_vectors[0])["mu mu"], 6)
    0.00079
    """
    known, s = load_parameters(), vector.mass**2
    return {
        "mu mu": float(lepton_width(s, vector.g_mu_v, vector.g_mu_a, known["m_mu"])),
        "e e": float(lepton_width(s, vector.g_e_v, vector.g_e_a, known["m_e"])),
        "nu nu": float(neutrino_width(s, vector.g_nu_mu)),
    }


def neutrino_width(q2: ArrayLike, g_nu: float) -> FloatArray:
    r"""Width of a V of mass sqrt(q2) into one flavour of left-handed neutrinos (GeV).

    Gamma = sqrt(q2) g_nu^2 / (24 pi) for L = g_nu nubar_L gamma nu_L V.

    >>> round(float(neutrino_width(4.0, 1.0)), 6)
    0.026526
    """
    s = np.asarray(q2, dtype=np.float64)
    return np.asarray(np.sqrt(np.maximum(s, 0)) * g_nu**2 / (24 * np.pi))
