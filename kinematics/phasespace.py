"""Two-body phase space: the Källén function, momenta and the limits of q2."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from .base.arrays import FloatArray


def velocity(q2: ArrayLike, mass: float) -> FloatArray:
    r"""Velocity beta = sqrt(1 - 4 m^2 / q2) of either particle of a pair of invariant mass squared q2.

    Zero below threshold and at q2 <= 0. GeV^2 and GeV in, any shape.

    >>> float(velocity(4.0, 0.6))
    0.8
    """
    s = np.asarray(q2, dtype=np.float64)
    above = (s > 4 * mass**2) & (s > 0)
    ratio = np.divide(4 * mass**2, s, out=np.ones(s.shape), where=above)
    return np.asarray(np.sqrt(1 - ratio), dtype=np.float64)


Number = TypeVar("Number", float, npt.NDArray[np.float64])


def kallen(a: Number, b: float, c: Number | float) -> Number:
    r"""Källén function :math:`\lambda(a,b,c) = a^2+b^2+c^2-2(ab+bc+ca)`, clipped at zero from below.

    Written as :math:`(a-b-c)^2-4bc`, which loses fewer digits when ``b`` is small. Arguments are squared
    masses (GeV²), scalars or arrays that broadcast; the result is in GeV⁴. Small negative values from
    rounding at an endpoint become zero, so do kinematically forbidden ones.

    >>> float(kallen(9.0, 1.0, 1.0))
    45.0
    """
    value: Number = np.maximum((a - b - c) ** 2 - 4.0 * b * c, 0.0)
    return value


def momentum(mass: Number | float, mass_1: float, mass_2: Number | float) -> npt.NDArray[np.float64]:
    r"""Momentum of both daughters in the rest frame of a two-body decay, :math:`\sqrt{\lambda}/(2M)`.

    PDG review "Kinematics", two-body decays. Masses and result in GeV; zero where forbidden.

    >>> round(float(momentum(5.27934, 0.493677, 3.0969)), 4)
    1.6835
    """
    total = np.asarray(mass, dtype=float)
    second = np.asarray(mass_2, dtype=float)
    allowed = total >= mass_1 + second
    value = np.sqrt(kallen(total**2, mass_1**2, second**2)) / (2.0 * total)
    return np.where(allowed, value, 0.0)


def q2_min(lepton_mass: float) -> float:
    r"""Threshold :math:`4 m_\ell^2` of the dilepton mass squared (GeV²).

    >>> q2_min(0.5)
    1.0
    """
    return 4.0 * lepton_mass**2


def q2_max(parent_mass: float, hadron_mass: float) -> float:
    r"""Endpoint :math:`(m_B-m_M)^2` of the dilepton mass squared (GeV²): the hadron at rest in the B frame.

    >>> q2_max(5.0, 1.0)
    16.0
    """
    return (parent_mass - hadron_mass) ** 2
