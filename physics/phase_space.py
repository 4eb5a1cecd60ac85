r"""Events without dynamics: uniform in the volume of phase space, in the form of an angular density.

With p_M the momentum of the hadron in the B frame, p* that of the kaon in the K pi frame and beta_l the velocity of a
lepton in the frame of the pair, the volume of B -> M l l and of B -> K pi l l is (PDG, review of kinematics)

.. math:: d\Phi_3 \propto p_M\,\beta_\ell\,dq^2\,d\Omega,\qquad
          d\Phi_4 \propto p_{K\pi}\,p^*\,\beta_\ell\,dq^2\,dm_{K\pi}\,d\Omega .

Both are normalised to one here: over phase space, and over the window of a K pi system.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kinematics.phasespace import kallen
from .channels import Channel
from .densities import KPI
from .final_state import mass_of
from .parameters import load_parameters

Array = NDArray[np.float64]
_NODES = 80


@dataclass(frozen=True)
class PhaseSpace:
    """What stands where a model does, for events without dynamics."""

    name = "phase-space"


PHASE_SPACE = PhaseSpace()


def phase_space_density(channel: Channel, q2: Array) -> Array:
    """Coefficients J_i (1/GeV^2) of phase space with a hadron of no width, at q2 (GeV^2); zero outside.

    >>> from darkpenguin.physics.channels import get_channel
    >>> phase_space_density(get_channel("B+->K+mumu"), np.array([4.0, 30.0])).shape
    (3, 2)
    """
    known = load_parameters()
    mass = known["m_" + channel.hadron]
    j = np.zeros((len(channel.coefficients), len(q2)))
    j[: 1 + channel.spin] = _volume(channel, q2, mass) / _total(channel, mass, mass)
    return j


def wide_phase_space_density(channel: Channel, q2: Array, mass: Array, window: tuple[float, float]) -> Array:
    """The 19 coefficients (1/GeV^3) of phase space of K pi and a pair at q2 (GeV^2) and m_Kpi (GeV) in a window.

    >>> from darkpenguin.physics.channels import get_channel
    >>> j = wide_phase_space_density(get_channel("B0->K*0mumu"), np.ones(2), np.array([0.9, 2.0]), (0.8, 1.0))
    >>> j.shape, j[0, 1]
    ((19, 2), np.float64(0.0))
    """
    inside = (mass >= window[0]) & (mass <= window[1])
    j = np.zeros((len(KPI.coefficients), len(q2)))
    j[:2] = np.where(inside, _volume(channel, q2, mass) * _breakup(channel, mass), 0.0) / _total(channel, *window)
    return j


def _volume(channel: Channel, q2: Any, mass: Any) -> Array:
    """p_M beta_l at the hadron's mass, up to a factor."""
    m_b, m_l = load_parameters()["m_" + channel.parent], channel.lepton_mass()
    momentum = np.where(np.sqrt(q2) < m_b - mass, np.sqrt(kallen(np.asarray(q2, dtype=float), m_b**2, mass**2)), 0.0)
    return np.asarray(momentum * np.sqrt(np.clip(1.0 - 4.0 * m_l**2 / np.maximum(q2, 1e-300), 0.0, None)))


def _breakup(channel: Channel, mass: Any) -> Array:
    """p* of the hadron's two daughters."""
    first, second = (mass_of(particle) for particle in channel.transition.daughters)
    return np.asarray(np.sqrt(kallen(np.asarray(mass**2), first**2, second**2)) / (2.0 * mass))


@lru_cache(maxsize=64)
def _total(channel: Channel, low: float, high: float) -> float:
    """Rate of the coefficients above before they are normalised: of one mass, or of a window in m_Kpi."""
    m_b, threshold = load_parameters()["m_" + channel.parent], 4.0 * channel.lepton_mass() ** 2
    x, w = np.polynomial.legendre.leggauss(_NODES)
    mass, weight = np.array([low]), np.ones(1)
    if high > low:
        mass, weight = 0.5 * (low + high) + 0.5 * (high - low) * x, 0.5 * (high - low) * w
        weight = weight * _breakup(channel, mass)
    theta = 0.25 * np.pi * (x + 1.0)  # both ends are square roots: smooth in this angle
    span = (m_b - mass[:, None]) ** 2 - threshold
    q2 = threshold + span * np.sin(theta) ** 2
    inner = _volume(channel, q2, mass[:, None]) * span * np.sin(2.0 * theta) * 0.25 * np.pi * w
    return float((2.25 if channel.spin else 2.0) * weight @ inner.sum(axis=1))
