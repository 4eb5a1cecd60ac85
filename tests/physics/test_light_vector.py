"""Kinetic mixing of V: the equal couplings that it stands for, and what it does not stand beside."""

import math

import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.angular import angular_coefficients
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, apply_settings, get_model
from darkpenguin.physics.parameters import load_parameters
from typer.testing import CliRunner

EPSILON = 2e-3
COUPLING = -EPSILON * math.sqrt(4 * math.pi * load_parameters()["alpha_e(4.8)"])


def mixed(**fields):
    return LightVector(mass=2.5, relative_width=0.2, g_bs=-1.5e-8, kinetic_mixing=EPSILON, **fields)


def test_it_is_equal_couplings_to_muons_and_electrons():
    plain = LightVector(mass=2.5, relative_width=0.2, g_bs=-1.5e-8, g_mu_v=COUPLING, g_e_v=COUPLING)
    assert (mixed().g_mu_v, mixed().g_e_v) == (COUPLING, COUPLING)
    assert mixed().partial_widths() == plain.partial_widths()
    for name in ("B0->K*0mumu", "B0->K*0ee"):
        both = [
            angular_coefficients(get_channel(name), Model(light_vectors=(one,)), [5.0], 1) for one in (mixed(), plain)
        ]
        assert both[0].tobytes() == both[1].tobytes()
    # universal: the shift of C9 is that of both leptons, so R stays at one up to masses
    assert mixed().g_mu_a == mixed().g_e_a == 0.0


def test_a_model_is_read_back():
    model = Model(name="mixed", light_vectors=(mixed(),))
    again = Model.model_validate(model.model_dump(mode="json"))
    assert again == model
    assert LightVector(mass=2.5, relative_width=0.2).kinetic_mixing == 0.0


def test_settings_replace_each_other():
    model = apply_settings(get_model("fig2"), ["light_vectors.0.kinetic_mixing=2e-3", "light_vectors.0.g_mu_a=0"])
    assert model.light_vectors[0].g_mu_v == COUPLING
    moved = apply_settings(model, "light_vectors.0.kinetic_mixing=4e-3").light_vectors[0]
    assert moved.g_e_v == pytest.approx(2 * COUPLING, rel=1e-12)
    back = apply_settings(model, "light_vectors.0.g_mu_v=0.1").light_vectors[0]
    assert (back.kinetic_mixing, back.g_mu_v, back.g_e_v) == (0.0, 0.1, COUPLING)


def test_both_at_once_are_refused_in_one_line():
    words = ["--set", "light_vectors.0.kinetic_mixing=1e-3", "--set", "light_vectors.0.g_mu_v=0.1"]
    found = CliRunner().invoke(app, ["predict", "FL", "--bins", "1,2", "--model", "fig2", *words])
    assert found.exit_code == 2
    assert "kinetic_mixing = 0.001 and g_mu_v = 0.1 are both given" in " ".join(found.output.split())
    with pytest.raises(InputError, match="kinetic_mixing"):
        apply_settings(get_model("fig2"), "light_vectors.0.kinetic_mixing=true")
