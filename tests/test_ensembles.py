"""Terms of the likelihood of a pseudo-experiment, one by one against independent calculations."""

from itertools import pairwise

import numpy as np
import pytest
from darkpenguin.generator.ensembles import Hypothesis, make_experiment, minimum, parse_term
from darkpenguin.generator.moments import observables
from darkpenguin.generator.yields import get_dataset
from darkpenguin.kinematics.errors import InputError
from darkpenguin.physics.models import get_model
from darkpenguin.physics.observables import binned
from scipy import optimize, stats

EDGES = (1.1, 2.5, 4.0, 6.0)
SM, V = get_model("sm"), get_model("fig1-2.5gev")


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(get_dataset("lhcb-run12"), EDGES, ["R_K+", "R_K*0", "P5p", "dBR_K+"])


def test_families_of_models():
    family = Hypothesis(
        model="fig2", scan={"light_vectors.0.mass": (2.0, 3.0, 3), "heavy.C9_mu": (-1.0, 0.0, 2)}
    )
    models = family.models()
    assert len(models) == 6
    assert [m.light_vectors[0].mass for m in models] == [2.0, 2.0, 2.5, 2.5, 3.0, 3.0]
    assert models[0].heavy.C9_mu == -1
    assert Hypothesis(model="sm").models() == (SM,)
    assert "free" in family.title
    with pytest.raises(InputError, match="no such key"):
        Hypothesis(model="sm", scan={"heavy.C99": (0.0, 1.0, 2)}).models()
    with pytest.raises(InputError, match="low <= high"):
        Hypothesis(model="sm", scan={"heavy.C9_mu": (1.0, 0.0, 2)}).models()


def test_names_of_terms():
    assert parse_term("R_K*+").hadron == "K*+"
    with pytest.raises(InputError, match="did you mean"):
        parse_term("R_K")
    with pytest.raises(InputError, match="named twice"):
        make_experiment(get_dataset("lhcb-run12"), EDGES, ["R_K+", "R_K+"])
    with pytest.raises(InputError, match="no channel"):
        make_experiment(get_dataset("lhcb-run12"), EDGES, ["R_K*+"])
    with pytest.raises(InputError, match="reaches from"):
        make_experiment(get_dataset("lhcb-run12"), [1.1, 30.0], ["R_K+"])


def test_asimov_data_are_the_predictions(experiment):
    expected = experiment.expect([SM, V])
    data = experiment.asimov(expected)
    mu, e = data.counts["B+->K+mumu"], data.counts["B+->K+ee"] - experiment.background("B+->K+ee")
    ratio = (mu / e)[1] / (mu / e)[0]
    windows = list(pairwise(EDGES))
    np.testing.assert_allclose(ratio, binned("R_K+", V, windows) / binned("R_K+", SM, windows), rtol=1e-7)
    # P5' by cosθ_K and massless formula: equal to the definition but for terms in m²/q²
    np.testing.assert_allclose(data.angular["P5p"][1], binned("P5p", V, windows), rtol=0.05, atol=0.01)


def test_ratio_term_is_a_full_likelihood_with_free_normalisations(experiment):
    """The profiled statistic against a direct minimisation over all normalisations and the efficiency."""
    expected = experiment.expect([SM, V])
    data = experiment.draw(expected.point(1), seed=2, start=0, stop=3)
    found = experiment.statistic(parse_term("R_K+"), data, expected)
    sigma = np.log1p(experiment.efficiency_error)
    for t in range(3):
        n_mu, n_e = data.counts["B+->K+mumu"][t], data.counts["B+->K+ee"][t]
        a = data.efficiency["K+"][t]
        values = []
        for p in range(2):
            s_mu, s_e = expected.counts["B+->K+mumu"][p], expected.counts["B+->K+ee"][p]

            def minus(x, s_mu=s_mu, s_e=s_e, n_mu=n_mu, n_e=n_e, a=a):
                norm, theta = np.exp(x[:3]), x[3]
                mu = norm * s_mu
                electrons = norm * s_e * np.exp(sigma * theta) + experiment.background("B+->K+ee")
                return (
                    -2 * (stats.poisson.logpmf(n_mu, mu).sum() + stats.poisson.logpmf(n_e, electrons).sum())
                    + (theta - a) ** 2
                )

            best = optimize.minimize(minus, [0.0, 0.0, 0.0, a], method="BFGS", options={"gtol": 1e-4})
            values.append(best.fun)
        assert found[t, 1] - found[t, 0] == pytest.approx(values[1] - values[0], abs=2e-3)


def test_angular_term_has_statistical_and_theory_errors(experiment):
    expected = experiment.expect([SM])
    theory = experiment.theory_covariance["P5p"]
    assert np.all((np.sqrt(np.diag(theory)) > 0.02) & (np.sqrt(np.diag(theory)) < 0.25))
    data = experiment.draw(expected, seed=3, start=0, stop=20_000)
    values = data.angular["P5p"]
    central = experiment.asimov(expected).angular["P5p"][0]
    spread = np.cov(values[~np.isnan(values).any(axis=1)].T)
    n = expected.counts["B0->K*0mumu"][0]
    variance = observables(expected.mean, np.ones((1, 3))).covariance[0, :, 8, 8]
    np.testing.assert_allclose(np.diag(spread), np.diag(theory) + variance / n, rtol=0.08)
    np.testing.assert_allclose(spread[0, 1], theory[0, 1], atol=0.1 * np.sqrt(spread[0, 0] * spread[1, 1]))
    # the statistic is a chi-square of three degrees of freedom plus ln det
    q = experiment.statistic(parse_term("P5p"), data, expected)[:, 0]
    logdet = np.linalg.slogdet(theory + np.diag(variance / n))[1]
    assert abs((q - logdet).mean() - 3) < 0.25
    assert np.all(np.abs(np.nanmedian(values, axis=0) - central) < 0.05)


def test_rate_term_profiles_the_theory(experiment):
    """With theory free a common shift of all rates costs less than the counts alone would say."""
    expected = experiment.expect([SM])
    data = experiment.asimov(expected)
    more = {name: value * 1.1 for name, value in data.counts.items()}
    shifted = type(data)(more, data.efficiency, data.theory, data.angular)
    bare = make_experiment(get_dataset("lhcb-run12"), EDGES, ["dBR_K+"], theory=False)
    term = parse_term("dBR_K+")
    with_theory = experiment.statistic(term, shifted, expected)[0, 0]
    plain = bare.asimov(bare.expect([SM]))
    plain = type(data)(more, plain.efficiency, plain.theory, plain.angular)
    without = bare.statistic(term, plain, expected)[0, 0]
    assert without == pytest.approx(3850 * 2 * (1.1 * np.log(1.1) - 0.1), rel=1e-3, abs=0)
    assert with_theory < 0.1 * without


def test_toys_of_an_experiment_do_not_depend_on_the_partition(experiment):
    expected = experiment.expect([V])
    whole = experiment.draw(expected, seed=4, start=0, stop=50, threads=1)
    part = experiment.draw(expected, seed=4, start=20, stop=30, threads=2)
    for name in whole.counts:
        np.testing.assert_array_equal(part.counts[name], whole.counts[name][20:30])
    np.testing.assert_array_equal(part.angular["P5p"], whole.angular["P5p"][20:30])
    np.testing.assert_array_equal(part.theory["K+"], whole.theory["K+"][20:30])
    both = experiment.expect([SM, V])
    np.testing.assert_array_equal(
        experiment.statistic(parse_term("R_K+"), part, both),
        experiment.statistic(parse_term("R_K+"), whole, both)[20:30],
    )


def test_minimum_over_a_family():
    x = np.linspace(-1, 1, 11)
    truth = np.array([0.13, -0.58, 0.9999])
    lowest, best = minimum((x[None, :] - truth[:, None]) ** 2 * 50 + 3, (11,))
    np.testing.assert_allclose(lowest[:2], 3.0, atol=1e-9)
    assert best.tolist() == [6, 2, 10]
    lowest, best = minimum(np.array([[np.nan, 2.0, 5.0]]), (3,))
    assert lowest[0] == 2.0
