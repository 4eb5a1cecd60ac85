"""Two-body phase space against identities and one number of the PDG."""

import numpy as np
import pytest
from darkpenguin.kinematics.phasespace import kallen, momentum, q2_max, q2_min


def test_kallen_factorises():
    # λ(M²,m1²,m2²) = [M²-(m1+m2)²][M²-(m1-m2)²]
    rng = np.random.default_rng(1)
    m_1, m_2 = rng.uniform(0.0, 2.0, (2, 1000))
    m = m_1 + m_2 + rng.uniform(0.0, 3.0, 1000)
    expected = (m**2 - (m_1 + m_2) ** 2) * (m**2 - (m_1 - m_2) ** 2)
    found = np.array([kallen(a**2, b**2, c**2) for a, b, c in zip(m, m_1, m_2, strict=True)])
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_kallen_is_symmetric_and_clipped():
    assert kallen(2.0, 3.0, 30.0) == pytest.approx(kallen(30.0, 2.0, 3.0))
    assert kallen(1.0, 1.0, 1.0) == 0.0  # forbidden: -3 before clipping


def test_momentum_conserves_energy():
    p = momentum(5.28, 0.89, 2.5)
    assert np.hypot(p, 0.89) + np.hypot(p, 2.5) == pytest.approx(5.28, rel=1e-14, abs=0)
    assert momentum(1.0, 0.6, 0.6) == 0.0


def test_momentum_of_b_to_jpsi_k():
    # PDG 2022 lists p = 1683 MeV/c for B+ -> J/psi K+
    assert momentum(5.27934, 0.493677, 3.096900) == pytest.approx(1.683, abs=0.001)


def test_limits():
    assert q2_min(0.1) == pytest.approx(0.04)
    top = q2_max(5.28, 0.89)
    assert kallen(top, 5.28**2, 0.89**2) == pytest.approx(0.0, abs=1e-12)
    assert kallen(top - 1e-3, 5.28**2, 0.89**2) > 0.0
