"""Eqs. (11) and (12): against a direct calculation, their limits, and the paper's numbers."""

import numpy as np
import pytest
from darkpenguin.physics.experiment.darkmatter import (
    GEV2_TO_CM3_PER_S,
    THERMAL_SIGMA_V,
    freeze_out_velocity,
    sigma_v_fermion,
    sigma_v_scalar,
)
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.widths import invisible_width, lepton_width
from scipy.constants import physical_constants, speed_of_light

M_MU = 0.1056583755


def _from_widths(m_chi, mass, g_chi, g_v, g_a, velocity, chi):
    """sigma v_rel from the Breit-Wigner formula: widths of a V of mass sqrt(s), k the momentum of chi.

    sigma = (2J+1) / [(2s1+1)(2s2+1)] 4 pi / k^2 s Gamma_in Gamma_out / |D|^2.
    """
    beta = velocity / 2  # in the centre of mass, v_rel = 2 beta
    s = 4 * m_chi**2 / (1 - beta**2)
    k2 = s * beta**2 / 4
    spins = 4 if chi == "dirac" else 1
    ingoing = float(invisible_width(s, g_chi, m_chi, chi))
    outgoing = float(lepton_width(s, g_v, g_a, M_MU))
    return 3 / spins * 4 * np.pi / k2 * s * ingoing * outgoing / (s - mass**2) ** 2 * velocity


def test_eq_11_is_the_cross_section_at_rest():
    values = (0.4, 2.5, 1.3, 0.07, -0.03)
    direct = _from_widths(*values, velocity=1e-4, chi="dirac")
    assert float(sigma_v_fermion(*values, m_mu=M_MU)) == pytest.approx(direct, rel=1e-7, abs=0)


def test_eq_12_has_1_over_6_pi_with_the_relative_velocity():
    values = (0.4, 2.5, 1.3, 0.07, -0.03)
    direct = _from_widths(*values, velocity=1e-3, chi="scalar")
    assert float(sigma_v_scalar(*values, velocity=1e-3, m_mu=M_MU, kind="relative")) == pytest.approx(
        direct, rel=1e-5, abs=0
    )
    # the paper's 1/(3 pi): <v_rel^2> = 2 <v^2> of one particle
    rms = sigma_v_scalar(*values, velocity=1e-3 / np.sqrt(2), m_mu=M_MU)
    assert float(rms) == pytest.approx(direct, rel=1e-5, abs=0)


def test_the_unit_is_hbar_c_squared_times_c():
    hbar_c = physical_constants["reduced Planck constant times c in MeV fm"][0]
    expected = (hbar_c * 1e-16) ** 2 * speed_of_light * 100
    assert pytest.approx(expected, rel=1e-9, abs=0) == GEV2_TO_CM3_PER_S


def test_threshold_and_resonance():
    assert float(sigma_v_fermion(0.1, 2.5, 1.0, 0.1, 0.0)) == 0.0
    assert np.isinf(sigma_v_fermion(1.25, 2.5, 1.0, 0.1, 0.0))
    with_width = sigma_v_fermion(1.25, 2.5, 1.0, 0.1, 0.0, width=0.5)
    assert float(with_width) == pytest.approx(
        1 / np.pi * 0.01 * (1.25**2 + M_MU**2 / 2) / (2.5 * 0.5) ** 2 * np.sqrt(1 - M_MU**2 / 1.25**2)
    )


def test_the_ballpark_of_the_paper():
    """1e-22 to 1e-21 cm^3/s for the preferred couplings, "a few 1e-2" and g_chi from the width.

    g_muV = 0.1 with m_chi near m_V/2 gives more (2e-20 at 0.9 GeV): the ballpark is that of couplings of a
    few 1e-2 and m_chi well below m_V/2.
    """
    for width in (0.1, 0.2):
        vector = LightVector(mass=2.5, relative_width=width)
        for g_v in (0.03, 0.05):
            sigma = sigma_v_fermion(0.4, 2.5, vector.chi_coupling, g_v, -0.44 * g_v) * GEV2_TO_CM3_PER_S
            assert 5e-23 < float(sigma) < 2e-21
            assert float(sigma) > 100 * THERMAL_SIGMA_V


def test_the_scalar_is_p_wave():
    """The paper's 1e-24 to 1e-23 cm^3/s at freeze-out comes out for g_phi of the fermion's size."""
    vector = LightVector(mass=2.5, relative_width=0.2)
    v = freeze_out_velocity()
    for g_v in (0.03, 0.05):
        fermion = float(sigma_v_fermion(0.4, 2.5, vector.chi_coupling, g_v, -0.44 * g_v))
        scalar = float(sigma_v_scalar(0.4, 2.5, vector.chi_coupling, g_v, -0.44 * g_v, velocity=v))
        assert scalar / fermion == pytest.approx(v**2 / 3, rel=1e-12, abs=0)
        assert 1e-24 < scalar * GEV2_TO_CM3_PER_S < 3e-23
    # a scalar that gives V its whole width, from eq. (2) with masses
    beta = np.sqrt(1 - 4 * 0.4**2 / 2.5**2)
    whole = vector.model_copy(update={"m_chi": 0.4, "chi": "scalar"}).chi_coupling
    assert whole / vector.model_copy(update={"m_chi": 0.4}).chi_coupling == pytest.approx(
        np.sqrt(2 * (3 - beta**2)) / beta, rel=1e-12, abs=0
    )
    at_figure = sigma_v_fermion(0.625, 2.5, vector.chi_coupling, 0.1, -0.044)
    assert float(at_figure) * GEV2_TO_CM3_PER_S == pytest.approx(5.9e-21, rel=0.01, abs=0)


def test_arrays_broadcast():
    assert sigma_v_fermion(np.full((3, 1), 0.4), np.full(4, 2.5), 1.0, 0.1, 0.0).shape == (3, 4)
