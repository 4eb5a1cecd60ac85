"""Batched fits: the same minima as iminuit toy by toy, honest errors, failures counted, any array library."""

import array_api_strict as strict
import numpy as np
import pytest
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.draws import binned_toys
from darkpenguin.generator.statistics.fits import fit_counts
from darkpenguin.generator.statistics.minimise import CONVERGED, NOT_A_MINIMUM, NOT_FINITE
from darkpenguin.kinematics.base.errors import InputError

TRUTH = 0.7


def make_model() -> CountModel:
    rng = np.random.default_rng(1)
    n = 40
    sm, x = rng.uniform(50, 500, n), rng.normal(0, 0.3, n)
    signal = np.stack([sm, 2 * sm * x, sm * (x**2 + 0.05)], axis=1)
    effects = np.stack([np.full(n, 0.03), np.linspace(-0.05, 0.05, n), rng.normal(0, 0.02, n)])
    return CountModel(
        signal,
        ("g",),
        0.1 * sm,
        ("norm", "slope", "shape"),
        effects,
        np.stack([np.full(n, 0.05), np.zeros(n), np.zeros(n)]),
        [[1.0], [-1.0]],
    )


@pytest.fixture(scope="module")
def fitted():
    model = make_model()
    toys = binned_toys(model, [TRUTH], seed=21, stop=10_000)
    return model, toys, fit_counts(model, toys.counts, toys.auxiliary)


def deviance_of(model, counts, auxiliary):
    """The same likelihood once more, written out."""
    n = counts.astype(float)

    def deviance(x):
        mu = model.expected(x[:1], x[1:])
        return 2 * np.sum(mu - n + n * np.log(n / mu)) + np.sum((x[1:] - auxiliary) ** 2)

    return deviance


def test_same_minimum_as_iminuit(fitted):
    iminuit = pytest.importorskip("iminuit")
    model, toys, fit = fitted
    for t in range(40):
        best = None
        for start in (1.0, -1.0):
            minuit = iminuit.Minuit(deviance_of(model, toys.counts[t], toys.auxiliary[t]), [start, 0, 0, 0])
            minuit.errordef, minuit.tol, minuit.strategy = 1, 1e-4, 2
            minuit.migrad()
            minuit.hesse()
            best = minuit if best is None or minuit.fval < best.fval else best
        assert fit.deviance[t] == pytest.approx(best.fval, abs=1e-5)
        assert fit.deviance[t] <= best.fval + 1e-9
        assert np.max(np.abs(fit.values[t] - np.array(best.values)) / fit.errors[t]) < 2e-3
        np.testing.assert_allclose(fit.errors[t], np.array(best.errors), rtol=1e-2)


def test_pulls_have_unit_width_and_a_bent_model_has_not(fitted):
    model, toys, fit = fitted
    assert fit.failures == 0
    value, error = fit.column("g")
    pull = (value - TRUTH) / error
    # errors of mean and width: 0.01 and 0.007; the likelihood is not exactly parabolic, hence 0.03 on top
    assert abs(pull.mean()) < 0.06 + 0.03
    assert abs(pull.std() - 1.0) < 0.042 + 0.03
    for name, truth in (("norm", 0.0), ("slope", 0.0)):
        value, error = fit.column(name)
        # nuisance parameters: auxiliary measurements fluctuate too, so their pulls are of unit width as well
        assert abs(((value - truth) / error).std() - 1.0) < 0.06
    # bent: interference 2 % larger in the fit than in the toys
    bent = CountModel(
        model.signal * np.array([1.0, 1.02, 1.0]), model.parameters, model.background, starts=model.starts
    )
    value, error = fit_counts(bent, toys.counts).column("g")
    assert abs(((value - TRUTH) / error).mean()) > 0.3


def test_results_do_not_depend_on_the_batch(fitted):
    model, toys, fit = fitted
    for part in (slice(5, 6), slice(100, 333)):
        again = fit_counts(model, toys.counts[part], toys.auxiliary[part], chunk=50)
        np.testing.assert_array_equal(again.values, fit.values[part])
        np.testing.assert_array_equal(again.covariance, fit.covariance[part])
        np.testing.assert_array_equal(again.deviance, fit.deviance[part])


def test_runs_on_any_array_library_and_device(fitted):
    model, toys, fit = fitted
    device = strict.Device("device1")
    counts = strict.asarray(toys.counts[:64], dtype=strict.float64, device=device)
    auxiliary = strict.asarray(toys.auxiliary[:64], device=device)
    there = fit_counts(model, counts, auxiliary)
    assert there.values.device == device
    back = np.asarray(there.values.to_device(strict.Device("CPU_DEVICE")))
    np.testing.assert_allclose(back, fit.values[:64], rtol=1e-9, atol=1e-12)


def test_runs_on_cupy(cupy, fitted):
    """Arrays that refuse what CuPy's refuse; the same minima."""
    model, toys, fit = fitted
    there = fit_counts(model, cupy.asarray(toys.counts[:64], dtype=np.float64), cupy.asarray(toys.auxiliary[:64]))
    assert isinstance(there.values, cupy.ndarray)
    np.testing.assert_allclose(there.values.get(), fit.values[:64], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(there.errors.get(), fit.errors[:64], rtol=1e-9, atol=1e-12)
    assert there.failures == 0


def test_failures_are_recorded_and_kept():
    # no event at all: the likelihood falls until the expectation vanishes, there is no minimum
    model = CountModel([[0.0, 1.0, 0.0]], ("s",), [3.0], starts=[[1.0]])
    fit = fit_counts(model, np.array([[0.0], [7.0]]))
    assert fit.status.tolist()[1] == CONVERGED
    assert fit.status[0] != CONVERGED
    assert fit.failures == 1
    assert len(fit.values) == 2
    assert fit.values[1, 0] == pytest.approx(4.0, abs=1e-4)
    # a start at which less than nothing is expected
    assert fit_counts(model, np.array([[7.0]]), starts=np.array([[-10.0]])).status[0] == NOT_FINITE
    # a coupling without effect has no error
    flat = fit_counts(CountModel([[5.0, 0.0, 0.0]], ("s",)), np.array([[5.0]]))
    assert flat.status[0] == NOT_A_MINIMUM
    assert np.isnan(flat.errors[0, 0])


def test_both_minima_of_a_quadratic_are_tried():
    # expectations even in g plus a small odd part in one bin: two minima, the deeper one has to win
    model = CountModel([[100.0, 0.0, 10.0], [100.0, 1.0, 10.0]], ("g",), starts=[[1.0], [-1.0]])
    counts = model.expected([[2.0], [-2.0]])
    fit = fit_counts(model, counts)
    np.testing.assert_allclose(fit.values[:, 0], [2.0, -2.0], atol=1e-3)
    one_start = fit_counts(model, counts, starts=[[1.0]])
    assert one_start.deviance[1] > fit.deviance[1]


def test_without_parameters_it_is_the_deviance():
    fit = fit_counts(CountModel([[10.0], [4.0]]), np.array([[12.0, 0.0]]))
    assert fit.deviance[0] == pytest.approx(2 * (10 - 12 + 12 * np.log(1.2) + 4))
    assert fit.values.shape == (1, 0)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="counts has shape"):
        fit_counts(make_model(), np.zeros((3, 4)))
    with pytest.raises(InputError, match="auxiliary has shape"):
        fit_counts(make_model(), np.zeros((3, 40)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="starts has shape"):
        fit_counts(make_model(), np.zeros((3, 40)), starts=[[1.0, 2.0]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_counts_that_are_no_counts_are_refused(bad):
    model = CountModel([[10.0, 5.0, 0.0], [20.0, 5.0, 0.0]], ("g",))
    with pytest.raises(InputError, match="counts: 1 of 4 are negative or not finite"):
        fit_counts(model, np.array([[15.0, 25.0], [bad, 20.0]]))
