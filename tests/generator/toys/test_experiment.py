"""Terms of the likelihood of a pseudo-experiment, one by one against independent calculations."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from darkpenguin.generator.toys.datasets import DetectorTable, get_dataset
from darkpenguin.generator.toys.experiment import Data, make_experiment, parse_term
from darkpenguin.generator.toys.family import Family
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.definitions import massless
from darkpenguin.physics.models import as_model, get_model
from darkpenguin.physics.moments import observables
from darkpenguin.physics.observables import binned
from scipy import optimize, stats

EDGES = (1.1, 2.5, 4.0, 6.0)
ONE = SystematicsTable.model_validate({"qed": 0, "background": 0, "background_shape": 0})
"""No source but the efficiency."""
SM, V = get_model("sm"), get_model("fig1-2.5gev")


@pytest.fixture(scope="module")
def experiment():
    return make_experiment(get_dataset("lhcb-run12"), EDGES, ["R_K+", "R_K*0", "P5p", "dBR_K+"], systematics=ONE)


def test_families_of_models():
    family = Hypothesis(model="fig2", scan={"light_vectors.0.mass": (2.0, 3.0, 3), "heavy.C9_mu": (-1.0, 0.0, 2)})
    models = family.models()
    assert len(models) == 6
    assert [m.light_vectors[0].mass for m in models] == [2.0, 2.0, 2.5, 2.5, 3.0, 3.0]
    assert models[0].heavy.C9_mu == -1
    assert Hypothesis(model="sm").models() == (SM,)
    assert "free" in family.title
    with pytest.raises(InputError, match="no such key"):
        Hypothesis(model="sm", scan={"heavy.C99": (0.0, 1.0, 2)}).models()
    with pytest.raises(InputError, match="must be below max"):
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
    mu, e = (data.counts[name] - experiment.background(name) for name in ("B+->K+mumu", "B+->K+ee"))
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
    sigma = np.log1p(experiment.dataset.efficiency_error)
    measured = data.auxiliary[:, experiment.nuisances.names.index("efficiency_K+")]
    for t in range(3):
        n_mu, n_e = data.counts["B+->K+mumu"][t], data.counts["B+->K+ee"][t]
        a = measured[t]
        values = []
        for p in range(2):
            s_mu, s_e = expected.counts["B+->K+mumu"][p], expected.counts["B+->K+ee"][p]

            def minus(x, s_mu=s_mu, s_e=s_e, n_mu=n_mu, n_e=n_e, a=a):
                norm, theta = np.exp(x[:3]), x[3]
                mu = norm * s_mu + experiment.background("B+->K+mumu")
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
    theory = experiment.systematic_covariance([parse_term("P5p")])
    assert np.all((np.sqrt(np.diag(theory)) > 0.02) & (np.sqrt(np.diag(theory)) < 0.25))
    data = experiment.draw(expected, seed=3, start=0, stop=20_000)
    values = data.angular["P5p"]
    central = experiment.asimov(expected).angular["P5p"][0]
    spread = np.cov(values[~np.isnan(values).any(axis=1)].T)
    n = expected.counts["B0->K*0mumu"][0] * experiment.purity(expected)[0]
    variance = observables(expected.mean, np.ones((1, 3)), definition=massless).covariance[0, :, 8, 8]
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
    shifted = type(data)(more, data.auxiliary, data.theta, data.angular)
    bare = make_experiment(get_dataset("lhcb-run12"), EDGES, ["dBR_K+"], theory=False, systematics=ONE)
    term = parse_term("dBR_K+")
    with_theory = experiment.statistic(term, shifted, expected)[0, 0]
    plain = bare.asimov(bare.expect([SM]))
    plain = type(data)(more, plain.auxiliary, plain.theta, plain.angular)
    without = bare.statistic(term, plain, expected)[0, 0]
    total = data.counts["B+->K+mumu"].sum()
    assert without == pytest.approx(total * 2 * (1.1 * np.log(1.1) - 0.1), rel=1e-3, abs=0)
    assert with_theory < 0.1 * without


def test_toys_of_an_experiment_do_not_depend_on_the_partition(experiment):
    expected = experiment.expect([V])
    whole = experiment.draw(expected, seed=4, start=0, stop=50, threads=1)
    part = experiment.draw(expected, seed=4, start=20, stop=30, threads=2)
    for name in whole.counts:
        np.testing.assert_array_equal(part.counts[name], whole.counts[name][20:30])
    np.testing.assert_array_equal(part.angular["P5p"], whole.angular["P5p"][20:30])
    np.testing.assert_array_equal(part.auxiliary, whole.auxiliary[20:30])
    both = experiment.expect([SM, V])
    np.testing.assert_array_equal(
        experiment.statistic(parse_term("R_K+"), part, both),
        experiment.statistic(parse_term("R_K+"), whole, both)[20:30],
    )


def test_drawn_systematics_move_the_truth_and_measured_ones_what_is_known():
    """With its own efficiency in every toy, n_e/n_mu of a hadron varies by it, in all its bins alike."""
    experiment = make_experiment(
        get_dataset("lhcb-upgrade2"),
        EDGES,
        ["R_K+"],
        efficiency_error=0.05,
        theory=True,
        normalisation=0.02,
        systematics=ONE,
    )
    expected = experiment.expect([SM])
    assert experiment.nuisances.names[-2:] == ("efficiency_K+", "norm_K+")
    where = {"seed": 5, "start": 0, "stop": 4000}
    drawn = experiment.draw(expected, systematics="drawn", **where)
    measured = experiment.draw(expected, systematics="measured", **where)
    none = experiment.draw(expected, systematics="none", **where)
    assert not drawn.auxiliary.any()
    assert not measured.theta.any()
    assert not none.theta.any()
    assert not none.auxiliary.any()
    pure = np.sum(none.counts["B+->K+ee"], axis=1)
    ratio = {}
    for name, data in (("drawn", drawn), ("measured", measured)):
        signal = data.counts["B+->K+ee"] - experiment.background("B+->K+ee")
        muons = data.counts["B+->K+mumu"] - experiment.background("B+->K+mumu")
        ratio[name] = np.log(signal.sum(axis=1) / muons.sum(axis=1))
    assert ratio["drawn"].std() == pytest.approx(np.hypot(np.log(1.05), ratio["measured"].std()), rel=0.06)
    efficiency = drawn.theta[:, experiment.nuisances.names.index("efficiency_K+")]
    assert np.corrcoef(ratio["drawn"], efficiency)[0, 1] > 0.95
    # theory and norm are common to both leptons: they move muons, and not the ratio
    spread = np.sqrt(np.sum(experiment.nuisances.effects[:, 0] ** 2))
    muons = drawn.counts["B+->K+mumu"] - experiment.background("B+->K+mumu")
    assert np.log(muons[:, 0]).std() == pytest.approx(spread, rel=0.06)
    assert spread > 0.05
    assert pure.std() == pytest.approx(np.sqrt(pure.mean()), rel=0.06)


def test_observables_of_the_same_events_are_combined_with_their_correlation():
    """P5' and S5 of the same events: by hand with their covariance, and not the sum of the two."""
    with pytest.raises(InputError, match="follows from"):
        make_experiment(get_dataset("lhcb-upgrade2"), EDGES, ["P5p", "S5", "FL"])
    experiment = make_experiment(get_dataset("lhcb-upgrade2"), EDGES, ["P5p", "S5"], theory=False, systematics=ONE)
    both = experiment.expect([SM, V])
    data = experiment.asimov(both.point(1))
    single = {t.name: np.diff(experiment.statistic(t, data, both))[0, 0] for t in experiment.terms}
    together = -np.diff(experiment.combined(data, both))[0, 0]
    added = -sum(single.values())
    assert max(-v for v in single.values()) < together
    assert abs(together - added) > 0.01 * added
    # by hand: twice the Kullback-Leibler divergence of Gaussians in the two observables of each bin
    found = observables(both.mean, np.ones((2, 3)), definition=massless)
    places = [found.names.index(name) for name in ("P5p", "S5")]
    chi2 = 0.0
    for b, n in enumerate((both.counts["B0->K*0mumu"] * experiment.purity(both)).T):
        shift = np.diff(found.values[:, b][:, places], axis=0)[0]
        cov = [found.covariance[p, b][np.ix_(places, places)] / n[p] for p in (0, 1)]
        chi2 += shift @ np.linalg.solve(cov[0], shift) + np.linalg.slogdet(cov[0])[1] - np.linalg.slogdet(cov[1])[1]
        chi2 += np.trace(np.linalg.solve(cov[0], cov[1])) - 2  # what scatters, on average
    assert together == pytest.approx(chi2, rel=1e-6)


def test_ratio_and_rate_of_one_hadron_do_not_count_its_muons_twice():
    """With theory known, both together are the Poisson likelihood of muons and electrons with one efficiency."""
    experiment = make_experiment(get_dataset("lhcb-run12"), EDGES, ["R_K+", "dBR_K+"], theory=False, systematics=ONE)
    both = experiment.expect([SM, V])
    data = experiment.draw(both.point(1), seed=3, start=0, stop=2)
    found = experiment.combined(data, both)
    sigma = np.log1p(experiment.dataset.efficiency_error)
    for t in range(2):
        values = []
        for p in range(2):

            def minus(theta, p=p, t=t):
                mu = both.counts["B+->K+mumu"][p] + experiment.background("B+->K+mumu")
                e = both.counts["B+->K+ee"][p] * np.exp(sigma * theta) + experiment.background("B+->K+ee")
                return (
                    -2 * stats.poisson.logpmf(data.counts["B+->K+mumu"][t], mu).sum()
                    - 2 * stats.poisson.logpmf(data.counts["B+->K+ee"][t], e).sum()
                    + (theta - data.auxiliary[t, 0]) ** 2
                )

            values.append(optimize.minimize_scalar(minus, bounds=(-6, 6), method="bounded").fun)
        assert found[t, 1] - found[t, 0] == pytest.approx(values[1] - values[0], abs=1e-4)


def test_resolution_error_is_profiled_in_the_ratio():
    """A wrong resolution of electrons costs the ratio less than its own effect once it is a nuisance parameter."""
    data = get_dataset("lhcb-upgrade2").with_detector(DetectorTable(resolution={"e": 0.6}))
    free, fixed = (
        make_experiment(data, EDGES, ["R_K+"], theory=False, resolution_error=error, systematics=ONE)
        for error in (0.3, 0.0)
    )
    assert free.nuisances.names == ("efficiency_K+", "resolution_B+->K+ee")
    expected = free.expect([get_model("fig1-2.5gev")])
    theta = np.array([[0.0, 1.0]])
    shifted = {
        name: expected.counts[name] * free.split(free.factors(theta))[name] + free.background(name)
        for name in free.channels
    }
    term = free.terms[0]
    costs = []
    for experiment in (free, fixed):
        none = np.zeros((1, len(experiment.nuisances.names)))
        costs.append(experiment.statistic(term, Data(shifted, none, none, {}), expected)[0, 0])
    # a parabola of curvature a, profiled over a parameter with a unit constraint: a/(1 + a)
    assert 0.5 < costs[1] < 2.0
    assert costs[0] == pytest.approx(costs[1] / (1.0 + costs[1]), rel=0.02)


def test_a_family_is_fitted_between_and_beyond_its_grid_points():
    """C9 and C10 free, R of K and K*: the minimum of a coarse grid is that of a direct minimisation."""
    experiment = make_experiment(get_dataset("lhcb-upgrade2"), EDGES, ["R_K+", "R_K*0"], theory=False)
    hypothesis = Hypothesis(model="sm", scan={"heavy.C9_mu": (-3.0, 1.5, 7), "heavy.C10_mu": (-1.5, 1.5, 5)})
    family = Family(hypothesis, experiment)
    data = experiment.draw(experiment.expect([V]), seed=6, start=0, stop=6)
    lowest, values = family.best(experiment.combined, data)

    for t in (0, 3):
        one = data.take(np.array([t]))

        def value(x, one=one):
            model = Hypothesis(model="sm", settings=(f"heavy.C9_mu={x[0]}", f"heavy.C10_mu={x[1]}")).models()
            return experiment.combined(one, experiment.expect(model))[0, 0]

        best = optimize.minimize(value, values[t], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4})
        assert lowest[t] == pytest.approx(best.fun, abs=0.02)
        assert value(values[t]) == pytest.approx(lowest[t], abs=0.02)
    # one toy alone, and at another luminosity
    alone, _ = family.best(experiment.combined, data.take(np.array([4])))
    assert alone[0] == lowest[4]
    more = family.scaled(2.0).best(experiment.combined, experiment.asimov(experiment.expect([SM]).scaled(2.0)))
    np.testing.assert_allclose(more[1], [[0.0, 0.0]], atol=1e-3)


def test_asimov_values_are_those_of_toys_on_average():
    """P5' alone, two models of other covariances: 5 standard deviations of the mean; the centre alone is far off."""
    experiment = make_experiment(get_dataset("lhcb-run12"), [1.1, 2.5, 4.0, 6.0, 8.0], ["P5p"])
    true, other = (experiment.expect([as_model("sm", change)]) for change in ("heavy.C9_mu=0", "heavy.C9_mu=3"))
    (term,) = experiment.terms

    def q(data):
        return (experiment.statistic(term, data, other) - experiment.statistic(term, data, true))[:, 0]

    toys = q(experiment.draw(true, seed=1, start=0, stop=10_000))
    error = 5 * toys.std() / 100
    asimov = experiment.asimov(true)
    assert q(asimov)[0] == pytest.approx(toys.mean(), abs=error)
    assert abs(q(replace(asimov, spread=None))[0] - toys.mean()) > 3 * error


def test_no_model_is_better_than_the_true_one_on_average():
    """Gibbs' inequality, at a luminosity at which covariances matter most; without the spread it does not hold."""
    experiment = make_experiment(get_dataset("lhcb-run12").scaled(0.3), [1.1, 2.5, 4.0, 6.0, 8.0], ["P5p"])
    models = [as_model("sm", f"heavy.C9_mu={c9}") for c9 in np.linspace(-4.0, 8.0, 25)]
    family = experiment.expect(models)
    for truth in (8, 16):  # C9 of muons 0 and 4
        asimov = experiment.asimov(family.point(truth))
        values = experiment.statistic(experiment.terms[0], asimov, family)[0]
        assert np.argmin(values) == truth
        bent = experiment.statistic(experiment.terms[0], replace(asimov, spread=None), family)[0]
        assert np.argmin(bent) != truth
