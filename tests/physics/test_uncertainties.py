"""Theory errors against flavio's own, draw by draw and as standard deviations."""

import json
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.physics.bins import evaluate
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import Heavy, Model, get_model
from darkpenguin.physics.observables import BinnedObservable
from darkpenguin.physics.uncertainties import N_DRAWS, SEED, draw_coefficients, theory_covariance, theory_error


def _sum(channel, model, q2):
    return sum(draw_coefficients(get_channel(channel), model, np.atleast_1d(q2), sign) for sign in (-1, 1))


@pytest.mark.parametrize("q2", [0.1, 1.5, 3.3, 5.7, 8.2, 15.5, 18.2])
def test_each_draw_is_flavios(q2):
    """The same random numbers given to flavio: P5', F_L, R_K* and the rate of B → K, for the first draws.

    What is left, below 1e-4 absolute and 3e-4 in the rate, are the meson masses, which stay central here; near the
    end of phase space their changes grow to 2e-3.
    """
    import flavio

    state = np.random.get_state()  # noqa: NPY002  flavio draws with the global generator
    np.random.seed(SEED)  # noqa: NPY002
    drawn = flavio.default_parameters.get_random_all(size=N_DRAWS)
    np.random.set_state(state)  # noqa: NPY002
    kstar = _sum("B0->K*0mumu", get_model("sm"), q2)
    kaon = _sum("B+->K+mumu", get_model("sm"), q2)
    heavy = _sum("B0->K*0mumu", Model(heavy=Heavy(C9_mu=-1.0, C10_mu=0.5j)), q2)
    standard, shifted = flavio.WilsonCoefficients(), flavio.WilsonCoefficients()
    shifted.set_initial({"C9_bsmumu": -1.0, "C10_bsmumu": 0.5j}, scale=4.8)
    for i in range(4):
        par = {name: value[i] for name, value in drawn.items()}

        def theirs(name, wilson=standard, par=par):
            return flavio.classes.Observable[name].prediction_par(par, wilson, q2)

        assert evaluate("P5p", [kstar])[i, 0] == pytest.approx(theirs("P5p(B0->K*mumu)"), abs=1e-4)
        assert evaluate("FL", [kstar])[i, 0] == pytest.approx(theirs("FL(B0->K*mumu)"), abs=1e-4)
        assert evaluate("P5p", [heavy])[i, 0] == pytest.approx(theirs("P5p(B0->K*mumu)", shifted), abs=1e-4)
        rate = (kaon[0] + kaon[2] / 3.0)[i, 0]  # half of the sum of the two flavours, 2 (J_a + J_c / 3) each
        assert rate * par["tau_B+"] == pytest.approx(theirs("dBR/dq2(B+->Kmumu)"), rel=4e-4 if q2 < 9 else 2e-3, abs=0)


# flavio alone, made by tests/reference/flavio_bins.py
FLAVIO = json.loads((Path(__file__).parents[1] / "reference/flavio_bins.json").read_text())["errors"]


@pytest.mark.parametrize(("low", "high", "error"), [(*row["bin"], row["value"]) for row in FLAVIO])
def test_errors_of_bins(low, high, error):
    """Within 45 %: the samples give 7 % and 5 %, so a false alarm is five standard deviations away."""
    found = np.sqrt(theory_covariance([BinnedObservable("P5p", "B0->K*0mumu", low, high)])[0, 0])
    assert found == pytest.approx(error, rel=0.45, abs=0)


def test_both_ranges_of_q2_in_one_call():
    q2 = np.array([2.0, 16.0, 5.0])
    both = _sum("B+->K+mumu", get_model("sm"), q2)
    for k, one in enumerate(q2):
        alone = _sum("B+->K+mumu", get_model("sm"), one)[..., 0]
        np.testing.assert_allclose(both[..., k], alone, rtol=0, atol=1e-13 * abs(alone).max())


def test_ratios_cancel_in_the_standard_model_only():
    """R_K of the SM has no hadronic error to speak of; with V it does, and it is far below that of P5'."""
    q2 = np.array([5.0])
    assert theory_error("R_K+", "B+->K+mumu", get_model("sm"), q2)[0] < 2e-4
    with_v = theory_error("R_K+", "B+->K+mumu", get_model("fig2"), q2)[0]
    assert 1e-3 < with_v < 0.05


def test_neighbouring_bins_are_correlated():
    edges = ((1.1, 2.5), (2.5, 4.0), (4.0, 6.0))
    bins = [BinnedObservable("P5p", "B0->K*0mumu", low, high) for low, high in edges]
    covariance = theory_covariance(bins)
    error = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(error, error)
    assert np.linalg.eigvalsh(correlation)[0] > 0.0
    assert 0.8 < correlation[0, 1] < 1.0
    assert 0.6 < correlation[0, 2] < 1.0


def test_light_vector_is_not_scaled_by_the_drawn_normalisation():
    """g_bs g_l is what it is in every draw: a rate of V alone varies with form factors only."""
    strong = Model(light_vectors=({"mass": 2.5, "relative_width": 0.2, "g_bs": 1e-6, "g_mu_v": 0.1},))
    rate = _sum("B+->K+mumu", strong, 6.25)[0, :, 0]
    assert 0.02 < rate.std() / rate.mean() < 0.25
