"""Predictions for a K* with its width: limits, windows that add up, and the S wave beside it."""

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.kpi import KpiSystem, resolve_kpi
from darkpenguin.physics.observables import binned, curve
from darkpenguin.physics.predict import predict

BIN = [(1.1, 6.0)]
P_WAVE, S_WAVE = resolve_kpi("pwave"), resolve_kpi("swave")


@pytest.mark.parametrize("name", ["FL", "P5p", "S3", "S7", "AFB", "ACP", "R_K*0"])
def test_a_narrow_kstar_is_the_limit(name):
    thin = KpiSystem(width=1e-5)
    assert binned(name, "fig2", BIN, kpi=thin) == pytest.approx(binned(name, "fig2", BIN), abs=2e-5)


def test_rates_are_of_what_the_channel_ends_in():
    # of a Breit-Wigner of width G, G / (pi 0.1 GeV) is outside of +- 0.1 GeV
    thin, lost = KpiSystem(width=1e-4), 1e-4 / (np.pi * 0.1)
    found, whole = binned("BR", "sm", BIN, kpi=thin)[0], binned("BR", "sm", BIN)[0]
    assert found / whole == pytest.approx(2 / 3 * (1 - lost), rel=1e-4)
    assert whole == pytest.approx(4.9 * binned("dBR", "sm", BIN)[0], rel=1e-12)


def test_windows_add_up():
    low, high = (P_WAVE.model_copy(update=edge) for edge in ({"m_max": 0.9}, {"m_min": 0.9}))
    parts = [binned("BR", "sm", BIN, kpi=one)[0] for one in (low, high)]
    assert sum(parts) == pytest.approx(binned("BR", "sm", BIN, kpi=P_WAVE)[0], rel=1e-6)


def test_the_s_wave_adds_its_fraction_and_leaves_the_p_wave():
    fraction = binned("FS", "sm", BIN, kpi=S_WAVE)[0]
    assert fraction == pytest.approx(0.101, abs=1e-6)  # arXiv:1606.04731, which fixes its size
    p, both = (binned("BR", "sm", BIN, kpi=one)[0] for one in (P_WAVE, S_WAVE))
    assert p == pytest.approx((1 - fraction) * both, rel=1e-9)
    for name in ("FL", "P5p", "S9"):
        assert binned(name, "sm", BIN, kpi=S_WAVE) == pytest.approx(binned(name, "sm", BIN, kpi=P_WAVE), rel=1e-9)
    turned = S_WAVE.model_copy(update={"phase": 180.0})
    assert binned("AS", "sm", BIN, kpi=turned) == pytest.approx(-binned("AS", "sm", BIN, kpi=S_WAVE), rel=1e-9)


def test_curves_and_models_follow():
    q2 = np.array([2.0, 4.0, 25.0])
    found = curve("dBR", ["sm", "fig2"], q2, kpi=P_WAVE)
    assert found.shape == (2, 3)
    assert np.isnan(found[:, 2]).all()
    assert (found[1, :2] != found[0, :2]).all()
    kaon = predict("dBR", bins=[1.1, 6.0], channel="B+->K+mumu", kpi="pwave")[0].value  # no K*: as without
    assert kaon == predict("dBR", bins=[1.1, 6.0], channel="B+->K+mumu")[0].value


@pytest.mark.parametrize(("name", "kpi"), [("FS", None), ("FS", "pwave"), ("AS4", "narrow")])
def test_an_s_wave_that_is_not_there_is_refused(name, kpi):
    with pytest.raises(InputError, match=f"observable = {name}: of the K pi S wave, which is not there"):
        predict(name, bins=BIN, kpi=kpi)


def test_a_branching_fraction_is_of_a_bin():
    with pytest.raises(InputError, match="observable = BR: it is of a bin; give bins, or take dBR"):
        predict("BR", q2=(1.0, 6.0))
