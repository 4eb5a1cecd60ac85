"""Leptons and their photons: what is conserved, masses, q2 of the leptons, limits."""

import numpy as np
import pytest
from darkpenguin.kinematics import frames, photons

M_MU, M_E = 0.1056583755, 0.00051099895  # GeV, PDG 2024
F64 = np.float64


def pairs(m_l, n=300):
    """(q2, l+, l-) where the pair is slow or as fast as at LHCb, and fractions of photons from none to the most."""
    rng = np.random.default_rng(4)
    for i in range(n):
        q2 = 4 * m_l**2 * (1 + 10 ** rng.uniform(-3, 5))
        lp, lm = frames.dilepton_momenta(F64, rng.uniform(0, 3), q2, *rng.uniform(-1, 1, 1), 0.6, 0.8, m_l)
        total = np.add(lp, lm)
        parent, scale = rng.normal(0, (1, 100)[i % 2], 3), 2 * m_l / np.sqrt(q2)
        mass = np.sqrt(q2 + total @ total)  # of any system that the pair could be boosted with
        y = np.minimum(10 ** rng.uniform(-12, 0, 2), 1) * (1 - scale)
        yield q2, frames.boost(lp, m_l, parent, mass), frames.boost(lm, m_l, parent, mass), *y


@pytest.mark.parametrize("m_l", [M_MU, M_E, 1.77693])
def test_energy_and_momentum_are_conserved_to_rounding(m_l):
    for q2, lp, lm, y_p, y_m in pairs(m_l):
        *leptons, gp, gm = photons.collinear_photons(F64, lp, lm, q2, m_l, y_p, y_m)
        before = frames.energy(*lp, m_l) + frames.energy(*lm, m_l)
        after = sum(frames.energy(*p, m_l) for p in leptons) + frames.energy(*gp, 0.0) + frames.energy(*gm, 0.0)
        assert abs(after - before) < 2e-12 * before
        difference = np.sum([*leptons, gp, gm], axis=0) - np.add(lp, lm)
        assert np.abs(difference).max() < 1e-14 * before
        mass2 = frames.pair_mass_squared(F64, leptons[0], m_l, leptons[1], m_l)
        assert abs(mass2 - (1 - y_p) * (1 - y_m) * q2) < 1e-12 * before**2


def test_photons_are_collinear_in_the_rest_frame_and_take_what_they_are_told():
    q2, y_p, y_m = 4.0, 0.3, 0.6
    p = np.sqrt(q2 / 4 - M_MU**2)
    lp, lm, gp, gm = photons.collinear_photons(F64, (0.0, p, 0.0), (0.0, -p, 0.0), q2, M_MU, y_p, y_m)
    np.testing.assert_allclose(gp, (0, y_p * 1.0, 0), atol=1e-15)
    np.testing.assert_allclose(gm, (0, -y_m * 1.0, 0), atol=1e-15)
    assert lp[1] > 0 > lm[1]
    assert lp[0] == lp[2] == lm[0] == lm[2] == 0


def test_nothing_radiated_changes_nothing_and_massless_leptons_keep_their_directions():
    for q2, lp, lm, y_p, y_m in pairs(M_E):
        same = photons.collinear_photons(F64, lp, lm, q2, M_E, 0.0, 0.0)
        scale = 1e-13 * frames.energy(*lp, *np.linalg.norm([lm], axis=1))
        np.testing.assert_allclose(same[0], lp, rtol=0, atol=scale)
        np.testing.assert_allclose(same[1], lm, rtol=0, atol=scale)
        light = photons.collinear_photons(F64, lp, lm, q2, 0.0, y_p, y_m)  # as if they had no mass
        np.testing.assert_allclose(light[0], (1 - y_p) * np.array(lp), rtol=0, atol=scale)
        np.testing.assert_allclose(light[3], y_m * np.array(lm), rtol=0, atol=scale)
