"""Families with a floating mass against brute force: many masses times many couplings, nothing profiled."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.fits import profiled_deviance
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import Expected, make_experiment
from darkpenguin.generator.toys.family import Family
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.sensitivity import SensitivityCard, sensitivity
from darkpenguin.generator.toys.slices import lowest_between, make_slices
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.axes import moved
from darkpenguin.physics.models import get_model
from scipy import optimize, stats

EDGES = (1.1, 2.0, 3.0, 4.0, 5.0, 6.0)
MASS, COUPLING = "light_vectors.0.mass", "light_vectors.0.g_bs"
SM, V = get_model("sm"), get_model("fig1-2.5gev")
NONE = SystematicsTable.model_validate({"qed": 0, "background": 0, "background_shape": 0})


def family(experiment, masses=9, couplings=7, model="fig1-2.5gev"):
    scan = {MASS: (1.2, 2.8, masses), COUPLING: (-2.1e-8, 2.1e-8, couplings)}
    return Family(Hypothesis(model=model, scan=scan), experiment)


def brute(experiment, data, masses=65, couplings=81):
    """Lowest -2 ln L over a plane; at each mass counts are the parabola through three couplings."""
    reach = 2.1e-8
    g = np.sinh(np.linspace(-6, 6, couplings)) / np.sinh(6)
    lowest = np.full(data.toys, np.inf)
    for mass in np.linspace(1.2, 2.8, masses):
        three = [moved(V, {MASS: mass, COUPLING: x * reach}) for x in (-1.0, 0.0, 1.0)]
        counts = experiment.expect(three).counts
        line = {}
        for name, (low, middle, high) in counts.items():
            line[name] = middle + 0.5 * (high - low) * g[:, None] + (0.5 * (high + low) - middle) * g[:, None] ** 2
        none = np.zeros((couplings, 0, 12))
        points = Expected(line, none, np.zeros((couplings, 0, 12, 12)))
        lowest = np.minimum(lowest, experiment.combined(data, points).min(axis=1))
    return lowest


@pytest.mark.parametrize("observable", ["R_K+", "dBR_K+"])
@pytest.mark.parametrize("dataset", ["lhcb-run12", "lhcb-upgrade2"])
def test_a_floating_mass_is_fitted_as_by_brute_force(dataset, observable):
    """Toys of the Standard Model have valleys everywhere; the plane's points lie a little above its lowest."""
    experiment = make_experiment(get_dataset(dataset), EDGES, [observable], efficiency_error=0.0, theory=False)
    data = experiment.draw(experiment.expect([SM]), seed=11, start=0, stop=12)
    lowest, values = family(experiment).best(experiment.combined, data)
    missed = lowest - brute(experiment, data)
    assert missed.max() < 0.03
    assert missed.min() > -0.25
    # where it says to be, it is
    for row in (0, 7):
        there = experiment.expect([moved(V, {MASS: values[row, 0], COUPLING: values[row, 1]})])
        one = data.take(np.array([row]))
        assert experiment.combined(one, there)[0, 0] == pytest.approx(lowest[row], abs=0.02)
    # bent: of three masses, none between
    coarse = brute(experiment, data, masses=3)
    assert (coarse - lowest).max() > 0.5


def test_the_fit_of_a_floating_mass_does_not_depend_on_the_points_of_the_scan():
    """Grids with zero coupling (all masses tie there) and without, coarse and fine: one answer, never infinite."""
    found = []
    for masses, couplings in ((9, 7), (9, 8), (33, 43)):
        card = SensitivityCard(
            truth=Hypothesis(model="fig1-2.5gev", settings=(f"{COUPLING}=-2e-9",)),
            null=Hypothesis(model="sm"),
            alternative=family(None, masses, couplings).hypothesis,
            dataset="lhcb-upgrade2",
            observables=("R_K+",),
            bins=EDGES,
            systematics=NONE,
            efficiency_error=0.0,
            theory=False,
            what_if={},
            toys=50,
        )
        found.append(sensitivity(card).toys[0])
    # √(-2 ln L) of the truth itself: with its mass and coupling in the family the fit can be no better
    experiment = make_experiment(
        get_dataset("lhcb-upgrade2"), EDGES, ["R_K+"], efficiency_error=0.0, theory=False, systematics=NONE
    )
    both = experiment.expect([SM, moved(V, {COUPLING: -2e-9})])
    own = np.sqrt(-np.diff(experiment.combined(experiment.asimov(both.point(1)), both))[0, 0])
    for point in found:
        assert point.asimov == pytest.approx(own, abs=0.01)
        assert point.median_q == pytest.approx(found[-1].median_q, abs=0.02)
        assert point.significance == pytest.approx(found[-1].significance, abs=0.01)
        assert np.isfinite(point.significance)
        assert point.significance < point.asimov  # it looked elsewhere


def test_a_floating_mass_with_errors_that_are_profiled():
    """Efficiency, form factors and norm float: as brute force, which profiles them at every point."""
    experiment = make_experiment(
        get_dataset("lhcb-upgrade2"), EDGES, ["R_K+", "dBR_K+"], theory=False, normalisation=0.02
    )
    data = experiment.draw(experiment.expect([SM]), seed=3, start=0, stop=4)
    lowest, _ = family(experiment).best(experiment.combined, data)
    missed = lowest - brute(experiment, data, masses=33, couplings=41)
    assert missed.max() < 0.03
    assert missed.min() > -1.0


def test_slices_lie_closer_where_data_tell_more():
    card = make_experiment(get_dataset("lhcb-upgrade2"), EDGES, ["R_K+"], efficiency_error=0.0, theory=False)
    scan = {MASS: (1.6, 1.9, 3), COUPLING: (-2.1e-8, 2.1e-8, 7)}
    wide = make_slices(Hypothesis(model="fig1-2.5gev", scan=scan), card)
    narrow = Hypothesis(model="fig1-2.5gev", settings=("light_vectors.0.relative_width=1e-4",), scan=scan)
    thin = make_slices(narrow, card)
    assert len(thin.axes[0]) > len(wide.axes[0])
    gaps = np.diff(thin.axes[0])
    edge = np.argmin(np.abs(thin.axes[0][:-1] - np.sqrt(3.0)))
    assert gaps[edge] < 0.01 * gaps.mean()  # V moves from one bin into the next within its width


def test_couplings_that_multiply_each_other_are_not_both_profiled():
    experiment = make_experiment(get_dataset("lhcb-run12"), (1.1, 6.0), ["R_K+"], efficiency_error=0.0, theory=False)
    scan = {COUPLING: (-2e-8, 2e-8, 5), "light_vectors.0.g_mu_v": (0.05, 0.2, 4)}
    found = Family(Hypothesis(model="fig1-2.5gev", scan=scan), experiment)
    assert [axis.key for axis in found.slices.linear] == [COUPLING]
    assert [axis.key for axis in found.slices.floating] == ["light_vectors.0.g_mu_v"]
    data = experiment.asimov(experiment.expect([moved(V, {COUPLING: -1e-8, "light_vectors.0.g_mu_v": 0.1})]))
    lowest, _ = found.best(experiment.combined, data)
    assert lowest[0] == pytest.approx(0.0, abs=1e-5)
    wrong = Hypothesis(model="fig1-2.5gev", scan={MASS: (-1.0, 2.0, 4), COUPLING: (-2e-8, 2e-8, 5)})
    with pytest.raises(InputError, match="mass"):
        make_slices(wrong, experiment)


def test_deviance_of_rows_is_scipys():
    rng = np.random.default_rng(2)
    signal, background = rng.uniform(5, 80, (6, 4)), np.array([0.0, 3.0, 1.0, 9.0])
    effects = np.array([[0.1, 0.05, -0.02, 0.08], [0.0, 0.1, 0.1, -0.1]])
    counts, known = rng.poisson(signal + background).astype(float), rng.normal(size=(6, 2))
    counts[0, 0] = 0.0
    found, status = profiled_deviance(signal, background, effects, counts, known)
    assert not status.any()
    for row in range(6):

        def minus(theta, row=row, shift=0.0):
            mu = (signal[row] + shift) * np.exp(theta @ effects) + background
            logs = stats.poisson.logpmf(counts[row], mu) - stats.poisson.logpmf(counts[row], counts[row])
            return -2 * logs.sum() + np.sum((theta - known[row]) ** 2)

        assert found[row] == pytest.approx(optimize.minimize(minus, known[row], tol=1e-10).fun, abs=1e-6)
        bent = optimize.minimize(lambda theta, row=row: minus(theta, row, 2.0), known[row], tol=1e-10).fun
        assert abs(found[row] - bent) > 1e-2


def test_lowest_between_points():
    x = np.arange(5.0)
    parabolas = np.stack([3.0 * (x - centre) ** 2 + 1.0 for centre in (2.3, 0.0, 4.0, 1.5)])
    np.testing.assert_allclose(lowest_between(parabolas), 1.0)
    assert lowest_between(np.array([np.inf, 2.0, np.inf])) == 2.0
    assert lowest_between(np.array([4.0, 2.0])) == 2.0
