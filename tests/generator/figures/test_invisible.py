"""The figure of B -> K(*) + invisible: its numbers, its files, and what it says to bad input."""

import numpy as np
import pytest
from darkpenguin.generator.figures.figure import figure
from darkpenguin.generator.figures.invisible import (
    draw_invisible,
    invisible_spectrum,
    mean_longitudinal_fraction,
)
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.models import apply_settings, get_model
from darkpenguin.physics.observables import curve
from darkpenguin.physics.rates import branching_ratio, longitudinal_fraction

BELLE = get_model("belle2-2.1gev-mu")


@pytest.mark.parametrize(("parent", "hadron"), [("B+", "K+"), ("B0", "K*0")])
def test_the_spectra_are_those_of_the_channels(parent, hadron):
    """Curves of nu nu and chi chi as `predict` has them, and their integrals."""
    spectrum = invisible_spectrum(parent, hadron, BELLE, points=4000)
    for pair, coefficients, model in (
        ("nunu", spectrum.standard, "sm"),
        ("nunu", spectrum.neutrinos, BELLE),
        ("chichi", spectrum.chi, BELLE),
    ):
        channel = get_channel(f"{parent}->{hadron}{pair}")
        rate = spectrum.rate(coefficients)
        np.testing.assert_allclose(rate, curve("dBR", model, spectrum.q2, channel), rtol=1e-12)
        model = get_model(model) if isinstance(model, str) else model
        assert np.trapezoid(rate, spectrum.q2) == pytest.approx(branching_ratio(channel, model), rel=1e-3, abs=0)
    np.testing.assert_array_equal(spectrum.total, spectrum.neutrinos + spectrum.chi)


def test_f_l_at_each_q2_is_the_standard_models_for_a_left_handed_current():
    spectrum = invisible_spectrum("B0", "K*0", BELLE)
    standard = longitudinal_fraction(spectrum.standard)
    np.testing.assert_allclose(longitudinal_fraction(spectrum.total), standard, rtol=1e-9)
    assert mean_longitudinal_fraction("B0", "K*0", BELLE) > mean_longitudinal_fraction("B0", "K*0", get_model("sm"))
    right = apply_settings(BELLE, ["light_vectors.0.g_bs_right=-1.4e-8"])
    peak = np.abs(spectrum.q2 - 4.41) < 0.1
    other = longitudinal_fraction(invisible_spectrum("B0", "K*0", right).total)
    assert np.all(other[peak] - standard[peak] > 0.01)


def test_what_the_point_of_belle_ii_does_to_r_k():
    """With g_bs g_muV > 0 R_K rises below the resonance and falls above it; without muons it stays."""
    below, above = curve("R_K+", BELLE, [3.5, 5.0])
    assert below > 1.2
    assert above < 0.75
    np.testing.assert_allclose(curve("R_K+", "belle2-2.1gev", [3.5, 5.0]), curve("R_K+", "sm", [3.5, 5.0]))


def test_files_whole_or_not_at_all(tmp_path):
    figure(BELLE, "invisible", [tmp_path / "f.png"])
    assert (tmp_path / "f.png").stat().st_size > 50_000
    with pytest.raises(InputError, match="overwrite"):
        figure(BELLE, "invisible", [tmp_path / "f.png"])
    with pytest.raises(InputError, match=r"\.png or a \.pdf"):
        figure(BELLE, "invisible", [tmp_path / "f.svg"])
    with pytest.raises(InputError, match="nothing in sm decays to chi chi"):
        figure(constraints("sm"), None, [tmp_path / "g.png"])
    with pytest.raises(InputError, match="give g_chi"):
        draw_invisible(apply_settings(BELLE, ["light_vectors.0.m_chi=1.5"]))
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_limits_and_verdicts_stand_in_the_legends():
    """Of Belle II's likelihood for this line shape, and Belle's on K*0; without constraints there is neither."""
    drawn = figure(constraints("belle2-2.1gev"))
    titles = [axis.get_legend().get_title().get_text() for axis in drawn.axes[:2]]
    assert titles[0].endswith("95 % CL: allowed")
    assert titles[1].endswith(r"8.2 \times 10^{-6}$, 90 % CL: excluded")
    bare = draw_invisible(get_model("belle2-2.1gev"))
    assert bare.axes[0].get_legend().get_title().get_text() == ""
