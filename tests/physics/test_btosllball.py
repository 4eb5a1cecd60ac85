"""EvtGen's BTOSLLBALL in numbers; that its events follow it is in tests/generator/analysis/test_evtgen.py."""

import numpy as np
import pytest
from darkpenguin import InputError, as_model
from darkpenguin.physics.amplitudes import helicity_amplitudes, standard_model
from darkpenguin.physics.btosllball import EDGE, NAMES, form_factors, wilson
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.kpi import KpiSystem, resolve_kpi
from darkpenguin.physics.theory import as_theory
from pydantic import ValidationError


@pytest.mark.parametrize("name", NAMES)
def test_form_factors_keep_their_relations(name):
    """f+ = f0, T1 = T2 at q2 = 0, and A12 and T23 of the tables are those of A1, A2, T2, T3."""
    ff = form_factors(name, 5.27966, 0.89555, np.array([0.0, 1e-9, 4.0]))
    assert abs(ff["f+"][0] / ff["f0"][0] - 1) < 0.015  # Ball and Zwicky's fits: 0.3346 and 0.3302
    np.testing.assert_allclose(ff["T1"][0], ff["T2"][0], rtol=1e-12)
    np.testing.assert_allclose(ff["T3"][0], ff["T3"][1], rtol=1e-8)
    sm = standard_model(get_channel("B0->K*0mumu"), as_theory({"amplitudes": name}))
    np.testing.assert_allclose(sm.form_factors([4.0])["A1"][0], ff["A1"][2], rtol=1e-10)
    factors, mass = sm.at_mass(np.array([4.0]), {}, sm.m_hadron)
    assert mass == sm.m_hadron
    for key in ("A12", "T23"):
        np.testing.assert_allclose(sm.form_factors([4.0])[key], factors[key], rtol=1e-9)


def test_coefficients_jump_at_the_edge_and_are_finite():
    below, above = wilson(EDGE * (1 - 1e-12)), wilson(EDGE * (1 + 1e-12))
    assert above[0] == pytest.approx(-0.330)
    assert below[0].real == pytest.approx(-0.396, abs=1e-3)
    assert abs(above[1] - below[1]) == pytest.approx(0.09, abs=0.01)
    assert wilson(10.0)[1].imag == pytest.approx(0.060 * 4 / 9 * np.pi, rel=1e-12)


def test_both_flavours_are_alike_and_the_mass_of_the_pair_is_used():
    channel, model = get_channel("B0->K*0mumu"), as_model("btosllball")
    q2 = np.array([1.0, 4.0, 16.0])
    one, two = (helicity_amplitudes(channel, model, q2, conjugate) for conjugate in (False, True))
    for key, value in one.items():
        np.testing.assert_allclose(np.abs(value), np.abs(two[key]), rtol=1e-12)
    pole = standard_model(channel, model.theory).m_hadron
    np.testing.assert_allclose(helicity_amplitudes(channel, model, q2, hadron_mass=pole)["0V"], one["0V"], rtol=1e-9)
    ratio = helicity_amplitudes(channel, model, q2, hadron_mass=0.8)["0V"] / one["0V"]
    assert (np.abs(ratio) > 1.04).all()  # 1/m_K*


def test_what_it_has_not_is_refused():
    with pytest.raises(InputError, match=r"not of Bs->phi"):
        standard_model(get_channel("Bs->phimumu"), as_theory({"amplitudes": "btosllball"}))
    with pytest.raises((InputError, ValidationError), match="has its own form factors"):
        as_theory({"amplitudes": "btosllball", "form_factors": ["grvdv-2023"]})
    with pytest.raises(InputError, match=r"theory\.amplitudes"):
        as_theory({"amplitudes": "btosllbal"})
    with pytest.raises((InputError, ValidationError), match="factorised"):
        KpiSystem(s_wave="lass", factorised=True)
    assert resolve_kpi("evtgen").radius == 3.0
