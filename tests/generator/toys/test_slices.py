"""Families with a floating mass against brute force: many masses times many couplings, nothing profiled."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.fits import profiled_deviance
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.experiment import Expected, make_experiment
from darkpenguin.generator.toys.family import Family
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.slices import lowest_between, make_slices
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.axes import moved
from darkpenguin.physics.models import as_model, get_model
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
    """Grids with zero coupling (all masses tie there) and without, coarse and fine: one answer, toy by toy."""
    experiment = make_experiment(
        get_dataset("lhcb-upgrade2"), EDGES, ["R_K+"], efficiency_error=0.0, theory=False, systematics=NONE
    )
    both = experiment.expect([SM, moved(V, {COUPLING: -2e-9})])
    asimov = experiment.asimov(both.point(1))
    data = [experiment.draw(both.point(i), seed=5, start=0, stop=60, sample=i) for i in (0, 1)]
    found = []
    for masses, couplings in ((9, 7), (9, 8), (33, 43)):
        fitted = family(experiment, masses, couplings)
        # the truth itself is in the family: the fit can be no better
        assert fitted.best(experiment.combined, asimov)[0] == pytest.approx(
            experiment.combined(asimov, both)[0, 1], abs=0.01
        )
        found.append(np.array([fitted.best(experiment.combined, toys)[0] for toys in data]))
    for lowest in found:
        assert np.isfinite(lowest).all()
        assert np.median(np.abs(lowest - found[-1])) < 0.003
        assert np.max(np.abs(lowest - found[-1])) < 0.1


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


def test_a_phase_of_charmonium_floats_as_a_mass_does():
    """The J/psi's phase in K+ mumu, free in a fit of rates: the truth by Asimov data, and on average of toys.

    Within 5 standard errors of 60 toys, 6e-7. Bent: the phase of the psi(2S) in its place does not describe the data.
    """
    path = "theory.resonances.J/psi.phase"
    base = as_model("sm", theory={"nonlocal": "resonances"})
    data_set, edges = get_dataset("lhcb-run12").of(base), (1.1, 4.0, 6.0, 8.0)
    experiment = make_experiment(data_set, edges, ["dBR_K+"], theory=False, systematics=NONE)
    truth = experiment.expect([moved(base, {path: -1.0})])
    floating = Family(Hypothesis(model=base, scan={path: (-2.5, 0.5, 5)}), experiment)
    asimov = experiment.asimov(truth)
    lowest, values = floating.best(experiment.combined, asimov)
    assert lowest[0] == pytest.approx(0.0, abs=1e-3)
    assert values[0, 0] == pytest.approx(-1.0, abs=0.01)
    _, values = floating.best(experiment.combined, experiment.draw(truth, seed=1, start=0, stop=60))
    assert abs(values.mean() + 1.0) < 5 * values.std() / np.sqrt(60)
    other = Family(Hypothesis(model=base, scan={path.replace("J/psi", "psi(2S)"): (-2.5, 0.5, 5)}), experiment)
    assert other.best(experiment.combined, asimov)[0][0] > 1.0
