"""Angles from momenta: what was sampled comes back, in every frame, channel, flavour and convention."""

import numpy as np
import pytest
from darkpenguin import generate, get_channel
from darkpenguin.generator.lab.angles import angles
from darkpenguin.physics.final_state import AXES, particles


def momenta(sample, channel):
    return {p: [sample[f"{p}_{axis}"] for axis in AXES] for p in particles(channel)[1:]}


@pytest.mark.parametrize("convention", ["lhcb", "theory"])
@pytest.mark.parametrize(
    ("name", "beam"),
    [("B0->K*0mumu", "lhcb-13tev"), ("B+->K*+ee", "belle2"), ("B+->K+mumu", "rest"), ("Bs->phimumu", "lhcb-13tev")],
)
def test_what_was_sampled_comes_back(name, beam, convention):
    channel = get_channel(name)
    keys = {"kpi": "pwave"} if "pwave" in channel.shapes else {}
    sample = generate(name, "fig2", 3_000, seed=3, beam=beam, convention=convention, q2=[(0.1, 18.0)], **keys)
    found = angles(channel, momenta(sample, channel), sample["flavour"], convention)
    for angle in channel.angles:
        difference = found[angle] - sample[angle]
        if angle == "phi":
            difference = np.angle(np.exp(1j * difference))
        assert np.abs(difference).max() < 1e-6, angle
    np.testing.assert_allclose(found["q2"], sample["q2"], rtol=1e-9)
    np.testing.assert_allclose(found["m_b"], 5.36693 if "Bs" in name else 5.2795, rtol=1e-4)
    if keys:
        np.testing.assert_allclose(found["m_kpi"], sample["m_kpi"], rtol=1e-9)
    if convention == "lhcb" and channel.self_tagging:  # bent: the other flavour's definition
        wrong = angles(channel, momenta(sample, channel), -sample["flavour"], convention)
        assert np.abs(wrong["cos_theta_l"] - sample["cos_theta_l"]).max() > 0.5


def test_an_unknown_flavour_counts_as_the_b():
    channel = get_channel("B+->K+mumu")
    sample = generate("B+->K+mumu", "sm", 100, seed=3, beam="rest")
    one, two = (angles(channel, momenta(sample, channel), np.full(100, f)) for f in (0, 1))
    np.testing.assert_array_equal(one["cos_theta_l"], two["cos_theta_l"])
