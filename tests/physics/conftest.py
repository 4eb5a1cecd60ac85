"""Formulas that several tests hold the code against."""

import numpy as np
import pytest
from darkpenguin.physics.swave import swave_rate


def _swave_observables(s, rate):
    """F_S, A_S, A_S4 ... of arXiv:1512.04442 from coefficients and the total rate.

    They multiply 3/(16 pi) times sin^2(theta_l), sin^2(theta_l) cos(theta_K), sin(theta_K) sin(2 theta_l) cos(phi),
    sin(theta_K) sin(theta_l) cos(phi), sin(theta_K) sin(theta_l) sin(phi), sin(theta_K) sin(2 theta_l) sin(phi).
    """
    values = {
        "FS": swave_rate(s),
        "AS": 2.25 * (s[3] - s[4] / 3.0),
        "AS4": 1.5 * s[6],
        "AS5": 1.5 * s[7],
        "AS7": 1.5 * s[8],
        "AS8": 1.5 * s[9],
    }
    return {name: np.asarray(value / rate) for name, value in values.items()}


@pytest.fixture
def swave_observables():
    return _swave_observables
