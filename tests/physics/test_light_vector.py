"""Kinetic mixing of V, the equal couplings that it stands for; and a lifetime in place of a width."""

import math

import numpy as np
import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.angular import angular_coefficients
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, apply_settings, as_model, get_model
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.rates import branching_ratio, two_body_rate
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


# --- a lifetime


@pytest.mark.parametrize("kind", ["light_vectors", "light_scalars"])
@pytest.mark.parametrize("channel", ["B+->K+mumu", "B0->K*0mumu", "B+->K+chichi"])
def test_a_lifetime_is_a_width_too_small_to_be_drawn(kind, channel):
    """ħc/cτ (CODATA 2018): the peak is Γ(B → M V) times the branching fraction of that width, whatever cτ is."""
    coupling = "g_mu_v" if kind == "light_vectors" else "g_mu"
    found, row = [], get_channel(channel)
    for ctau in (0.01, 1.0, 100.0):
        model = as_model({kind: [{"mass": 1.5, "ctau": ctau, "g_bs": 1e-6, coupling: 5e-7 / math.sqrt(ctau)}]})
        (one,) = model.mediators.values()
        assert one.total_width == pytest.approx(1.973269804e-13 / ctau, rel=1e-12, abs=0)
        share = (one.dark_width() if "chi" in channel else one.partial_widths()["mu mu"]) / one.total_width
        assert 0.01 < share < 0.99
        made = 0.5 * sum(two_body_rate(row, one, flavour) for flavour in (-1, 1))
        excess = branching_ratio(row, model) - branching_ratio(row, as_model("sm"))
        assert excess == pytest.approx(made * share * model.parameters[f"tau_{row.parent}"], rel=1e-4, abs=0)
        found.append(excess)
    np.testing.assert_allclose(found, found[0], rtol=1e-3)


def test_it_replaces_a_width_and_is_read_back():
    model = apply_settings(get_model("fig2"), ["light_vectors.0.ctau=2", "light_vectors.0.g_mu_v=1e-7"])
    assert (model.light_vectors[0].flight, model.light_vectors[0].relative_width) == (2.0, None)
    assert "ctau = 2 mm" in model.light_vectors[0].description()
    assert as_model(model.model_dump(mode="json")) == model
    wide = apply_settings(model, "light_vectors.0.width=0.1").light_vectors[0]
    assert (wide.flight, wide.total_width) == (None, 0.1)
    with pytest.raises(InputError, match="its width does not run"):
        apply_settings(model, "width=running")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("ctau=1e-9", "ctau = 1e-09 mm: is a width of 0.000197 GeV, and nothing resolves where a V"),
        ("ctau=1 width=0.5", "width = 0.5 GeV and ctau = 1 mm are both given; keep one"),
        ("ctau=1 g_chi=1", "g_chi = 1 alone gives a width of"),
        ("ctau=-1", "light_vectors[0].ctau = -1: should be greater than"),
    ],
)
def test_a_lifetime_of_what_is_wide_is_one_line(settings, message):
    words = [word for text in settings.split() for word in ("--set", f"light_vectors.0.{text}")]
    found = CliRunner().invoke(app, ["predict", "FL", "--bins", "1,2", "--model", "fig2", *words])
    assert found.exit_code == 2
    assert message in " ".join(found.output.split())
