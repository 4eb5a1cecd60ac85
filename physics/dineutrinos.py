r"""B → P νν̄ with any operators of neutrinos: left-handed vector, scalar and tensor currents.

With three diagonal flavours of one size (arXiv:2111.04327, eq. (8), in the normalisation of EOS's
``BToPseudoscalarDineutrino``, in which C_V of the Standard Model is C_L = X_t/sin²θ_W),

.. math:: \frac{d\Gamma}{dq^2} \propto \sqrt\lambda\Big[\frac{\lambda}{24} f_+^2\,|C_{VL}+C_{VR}|^2
          + \frac{q^2}{8}\Big(\frac{m_B^2-m_P^2}{m_b-m_s}\Big)^2 f_0^2\,|C_{SL}+C_{SR}|^2
          + \frac{2q^2}{3}\frac{\lambda}{(m_B+m_P)^2} f_T^2\,|C_{TL}|^2\Big] .
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..kinematics.phasespace import kallen
from .amplitudes import standard_model
from .channels import Channel
from .local import Array
from .models import Model

OPERATORS = ("vector", "scalar", "tensor")
"""Rows of `operator_rates`: |C_VL + C_VR|, |C_SL + C_SR|, |C_TL|."""


def operator_rates(channel: Channel, model: Model, q2: npt.ArrayLike) -> Array:
    """dΓ/dq² of coefficients of one, (3, n), up to a common factor, at q² (GeV²) of B → P νν̄; zero outside.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> vector, scalar, tensor = operator_rates(get_channel("B+->K+nunu"), get_model("sm"), [1.0, 15.0])
    >>> bool(scalar[1] / vector[1] > scalar[0] / vector[0])
    True
    """
    sm, known, s = standard_model(channel, model.theory), model.parameters, np.asarray(q2, dtype=float)
    ff, m_b, m_p = sm.form_factors(s), sm.m_parent, sm.m_hadron
    lam = kallen(s, m_b**2, m_p**2) * (np.sqrt(np.maximum(s, 0.0)) < m_b - m_p)
    scalar = (m_b**2 - m_p**2) / (known["m_b(4.8)"] - known["m_s(4.8)"])
    rows = (
        lam / 24.0 * ff["f+"] ** 2,
        s / 8.0 * scalar**2 * ff["f0"] ** 2,
        2.0 / 3.0 * s * lam / (m_b + m_p) ** 2 * ff["fT"] ** 2,
    )
    return np.asarray(np.sqrt(lam) * np.stack(rows))
