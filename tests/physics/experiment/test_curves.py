"""Limits by mass and lifetime: between points, in vetoes, beyond the ends."""

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.experiment.curves import HBAR, Curve, read_table
from darkpenguin.physics.experiment.datasets import CURVES, load_data


def test_lhcbs_tables_hold_what_the_abstracts_say():
    """arXiv:1508.04094: 214-4350 MeV, of order 1e-9; 1612.07818: 250-4700 MeV, between 2e-10 and 1e-7."""
    low, high, lifetimes, limits = read_table("lhcb_1508.04094.csv")
    assert (low[0], high[-1]) == (214, 4350)
    assert 1e-9 < np.nanmedian(limits[:, lifetimes <= 100]) < 1e-8
    low, high, lifetimes, limits = read_table("lhcb_1612.07818.csv")
    assert low[0] == 250
    assert abs(high[-1] - 4700) < 5
    assert 1.5e-10 < np.nanmin(limits) < 2.5e-10
    assert np.all(low < high)
    assert np.all(high[:-1] <= low[1:] + 1e-9)


def test_lifetimes_and_vetoes():
    """Prompt limits grow with the lifetime from 1 ps on; between two lifetimes it is logarithmic; vetoes are empty."""
    kstar = load_data("current").curves["b0_kstar0_dimuon"]
    prompt, late = kstar.at(2.1, 1e-3), kstar.at(2.1, HBAR / 100)
    assert kstar.at(2.1, HBAR / 900) > 2 * prompt
    middle = kstar.at(2.1, HBAR / (30 * 100) ** 0.5)
    assert middle == pytest.approx((kstar.at(2.1, HBAR / 30) * late) ** 0.5, rel=1e-9)
    assert kstar.at(3.1, 1e-3) is None  # J/psi
    assert kstar.at(1.02, 1e-3) is None  # phi, prompt
    assert kstar.at(1.02, HBAR / 30) is not None
    assert kstar.at(0.2, 1e-3) is None
    assert kstar.at(2.1, HBAR / 2000) is None


def test_every_curve_is_a_row_of_the_data():
    today = load_data("current")
    assert set(today.curves) == set(CURVES)
    assert load_data("2017").curves == {}
    for curve in today.curves.values():
        assert curve.cl in (0.90, 0.95)
        assert "arXiv" in curve.source
        assert curve.read == "2026-11-26"


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="as many of one as of the other"):
        Curve(source="x", cl=0.9, mass=(1.0, 2.0), limit=(1.0,))
    with pytest.raises(ValueError, match="mass: has to rise"):
        Curve(source="x", cl=0.9, mass=(2.0, 1.0), limit=(1.0, 1.0))
    (tmp_path / "mine.yml").write_text("curves:\n  four_muons: {source: x, cl: 0.9, mass: [1], limit: [1]}\n")
    with pytest.raises(InputError, match=r"mine.curves.four_muons: no such limit on V; did you mean ee_four_muons"):
        load_data(tmp_path / "mine.yml")
