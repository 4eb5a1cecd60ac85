"""Polynomials of bin integrals against direct integration, and observables against flavio."""

import json
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.angular import angular_coefficients
from darkpenguin.physics.bins import (
    bin_quadrature,
    build_polynomial,
    build_predictor,
    evaluate,
    linear_couplings,
)
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import Model, apply_settings, get_model
from darkpenguin.physics.observables import OBSERVABLES, BinnedObservable, averages_of

BINS = [(0.045, 1.1), (1.1, 6.0), (4.0, 6.0)]
#   everything at once: complex couplings, right-handed currents, heavy coefficients, two vectors, one narrow
WILD = apply_settings(
    get_model("fig2"),
    [
        "light_vectors.0.g_bs=1e-9+2e-9j",
        "light_vectors.0.g_bs_right=2e-9",
        "heavy.C9_mu=0.3+0.4j",
        "heavy.CS_mu=0.02",
        "heavy.C7=0.05",
        "light_vectors.1.mass=2.2",
        "light_vectors.1.relative_width=0.001",
        "light_vectors.1.g_bs=-1e-10",
        "light_vectors.1.g_mu_a=0.05",
    ],
)


@pytest.mark.parametrize("name", ["B+->K+mumu", "B0->K*0mumu"])
@pytest.mark.parametrize("model", [get_model("fig2"), WILD], ids=["fig2", "wild"])
def test_polynomial_is_exact(name, model):
    """The quadratic form equals the integral of the angular coefficients to rounding, flavours summed."""
    channel = get_channel(name)
    couplings = linear_couplings(channel, model)
    found = build_polynomial(channel, BINS, model, couplings)(couplings)[:, 0]
    q2, weights = bin_quadrature(channel, BINS, model)
    direct = sum(angular_coefficients(channel, model, q2, flavour) for flavour in (-1, 1)) @ weights.T
    assert np.allclose(found, direct, rtol=0, atol=1e-12 * np.abs(direct).max())


def test_conjugating_the_propagator_would_be_seen():
    """The mutation: a wrong phase of the coupling in one flavour moves the sums far more than that."""
    channel, model = get_channel("B0->K*0mumu"), get_model("fig2")
    q2, weights = bin_quadrature(channel, BINS, model)
    right = sum(angular_coefficients(channel, model, q2, flavour) for flavour in (-1, 1)) @ weights.T
    above = apply_settings(model, ["light_vectors.0.g_bs=-1.5e-8+1e-9j"])
    wrong = angular_coefficients(channel, model, q2, -1) @ weights.T
    wrong = wrong + angular_coefficients(channel, above, q2, 1) @ weights.T
    assert np.abs(wrong - right).max() > 1e-3 * np.abs(right).max()


def test_a_grid_of_couplings_is_the_same_as_one_at_a_time():
    model = get_model("fig2")
    observables = [
        BinnedObservable("R_K+", "B+->K+mumu", 1.0, 6.0),
        BinnedObservable("P5p", "B0->K*0mumu", 4.0, 6.0),
        BinnedObservable("R_K*0", "B0->K*0mumu", 0.045, 1.1),
    ]
    rng = np.random.default_rng(1)
    values = {
        "light_vectors.0.g_mu_v": rng.uniform(-0.2, 0.2, 5),
        "light_vectors.0.g_mu_a": rng.uniform(-0.1, 0.1, 5),
    }
    table = build_predictor(observables, model, values)(values)
    for i in range(5):
        point = apply_settings(model, [f"{key}={value[i]}" for key, value in values.items()])
        assert np.allclose(table[i], build_predictor(observables, point)()[0], rtol=1e-10)


def test_mass_changes_only_the_propagator():
    """A new mass does not ask for the Standard Model again: the kernels are in memory."""
    from darkpenguin.physics import bins

    observable = [BinnedObservable("R_K+", "B+->K+mumu", 1.0, 6.0)]
    build_predictor(observable, get_model("fig2"))()
    before = bins._kernels.cache_info().misses
    for mass in (2.0, 2.3, 2.9):
        build_predictor(observable, apply_settings(get_model("fig2"), [f"light_vectors.0.mass={mass}"]))()
    assert bins._kernels.cache_info().misses == before


# flavio alone, made by tests/reference/flavio_bins.py; its quadrature is good to 1e-6
FLAVIO = {
    (row["observable"], row["channel"], *row["bin"]): row["value"]
    for row in json.loads((Path(__file__).parents[1] / "reference/flavio_bins.json").read_text())["values"]
}


@pytest.mark.parametrize("key", list(FLAVIO), ids=lambda key: f"{key[0]}-{key[2]}-{key[3]}")
def test_standard_model_agrees_with_flavio(key):
    found = build_predictor([BinnedObservable(*key)], get_model("sm"))()[0, 0]
    assert found == pytest.approx(FLAVIO[key], rel=2e-6, abs=2e-6)


def test_formulas_agree_with_the_table_of_observables():
    """From J + J̄ alone, as scans have it, and from J and J̄, as predictions: one row, one value."""
    channel = get_channel("B0->K*0mumu")
    q2 = np.linspace(1.0, 6.0, 7)
    b, conjugate = (angular_coefficients(channel, get_model("fig2"), q2, flavour) for flavour in (-1, 1))
    for name, row in OBSERVABLES.items():
        if not row.angular or row.s_wave or row.asymmetry or row.spin == 0:
            continue
        expected = row.formula(averages_of(channel, b, conjugate))
        assert np.allclose(evaluate(name, [b + conjugate]), expected, rtol=1e-12), name


def test_errors_name_the_observable():
    with pytest.raises(InputError, match=r"B\+->K\+nunu: it has no charged leptons"):
        build_predictor([BinnedObservable("BR", "B+->K+nunu", 0.0, 1.0)], Model())
    with pytest.raises(InputError, match="a_mu: not an observable"):
        build_predictor([BinnedObservable("a_mu")], Model())
