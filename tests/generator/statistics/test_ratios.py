"""R from two counts: closed forms, coverage, counts of zero."""

import array_api_strict as strict
import numpy as np
import pytest
from darkpenguin.generator.statistics.draws import draw_poisson
from darkpenguin.generator.statistics.ratios import FEW, NO_ELECTRONS, NO_MUONS, OK, ratio_deviance, ratio_estimate
from darkpenguin.kinematics.base.errors import InputError
from scipy import optimize, stats


def test_interval_is_the_binomial_likelihood_interval():
    n_mu, n_e, r = 37.0, 12.0, 2.5
    fit = ratio_estimate(np.array([n_mu]), np.array([n_e]), r)

    def rise(ratio):
        p = r * ratio / (1 + r * ratio)
        best = n_mu / (n_mu + n_e)
        return 2 * (n_mu * np.log(best / p) + n_e * np.log((1 - best) / (1 - p))) - 1

    assert fit.value[0] == pytest.approx(n_mu / n_e / r)
    assert fit.low[0] == pytest.approx(optimize.brentq(rise, 0.1, fit.value[0]), rel=1e-9, abs=0)
    assert fit.high[0] == pytest.approx(optimize.brentq(rise, fit.value[0], 10), rel=1e-9, abs=0)


def test_profile_with_background_is_the_numerical_one():
    n = (41.0, 13.0)
    r, b = 1.8, (3.0, 5.0)
    for log_ratio in (-1.0, 0.2, 2.5):

        def minus_log(s, log_ratio=log_ratio):
            mu = np.array([np.exp(log_ratio) * r * s + b[0], s + b[1]])
            return -2 * np.sum(stats.poisson.logpmf(n, mu))

        lowest = optimize.minimize_scalar(minus_log, bounds=(1e-9, 100), method="bounded", options={"xatol": 1e-9})
        saturated = -2 * np.sum(stats.poisson.logpmf(n, n))
        found = ratio_deviance(np.array(log_ratio), np.array(n[0]), np.array(n[1]), r, *b)
        assert float(found) == pytest.approx(lowest.fun - saturated, abs=1e-6)


@pytest.mark.parametrize(("electrons", "width"), [(5.0, 0.09), (20.0, 0.03), (200.0, 0.02)])
def test_coverage_table(electrons, width):
    """Coverage of the 68.3 % interval: within `width` of nominal, at R = 1 and four muons to an electron.

    Standard error of a coverage here: 0.002. What is left is the discreteness of counts.
    """
    counts = draw_poisson([4 * electrons + 2.0, electrons + 1.0], seed=6, start=0, stop=60_000)
    fit = ratio_estimate(counts[:, 0], counts[:, 1], 4.0, background_mu=2.0, background_e=1.0)
    covered = np.mean((fit.low <= 1) & (fit.high >= 1))
    assert abs(covered - 0.6827) < width
    if electrons >= 200:
        assert abs(np.std(fit.pull(1.0)) - 1.0) < 0.02
        # bent: an efficiency ratio that is off by 10 %
        bent = ratio_estimate(counts[:, 0], counts[:, 1], 4.4, background_mu=2.0, background_e=1.0)
        assert np.mean((bent.low <= 1) & (bent.high >= 1)) < 0.6827 - width


def test_below_five_counts_the_interval_is_that_of_clopper_and_pearson():
    """SciPy's beta quantiles, on both sides of five counts; and it covers where the likelihood does not."""
    n_mu, n_e = np.array([1.0, 3.0, 4.0, 30.0, 0.0, 12.0, 5.0]), np.array([2.0, 40.0, 4.0, 1.0, 3.0, 0.0, 5.0])
    found = ratio_estimate(n_mu, n_e, 1.7)
    tail = stats.norm.sf(1.0)
    for i in range(6):
        a, b = n_mu[i], n_e[i]
        if a > 0:
            p = stats.beta.ppf(tail, a, b + 1)
            assert found.low[i] == pytest.approx(p / (1 - p) / 1.7, rel=1e-6)
        if b > 0:
            p = stats.beta.isf(tail, a + 1, b)
            assert found.high[i] == pytest.approx(p / (1 - p) / 1.7, rel=1e-6)
    assert float(ratio_deviance(*(np.asarray(x) for x in (np.log(found.high[6]), 5.0, 5.0, 1.7, 0.0, 0.0)))) == (
        pytest.approx(1.0, abs=1e-6)
    )
    assert found.status.tolist() == [OK, OK, OK, OK, NO_MUONS, NO_ELECTRONS, OK]


@pytest.mark.parametrize("mean", [0.7, 1.5, 3.0])
def test_few_counts_cover_or_say_that_they_do_not(mean):
    counts = draw_poisson([2 * mean, mean], seed=8, start=0, stop=20_000)
    fit = ratio_estimate(counts[:, 0], counts[:, 1], 2.0)
    assert np.mean((fit.low <= 1) & (fit.high >= 1)) > 0.6827
    assert not (fit.status == FEW).any()
    # bent: the profile likelihood itself, which a background of nothing leaves as it is
    bent = ratio_estimate(counts[:, 0], counts[:, 1], 2.0, background_e=1e-9)
    few = (counts[:, 0] > 0) & (counts[:, 1] > 0) & (counts.min(axis=1) < 5)
    assert (bent.status[few] == FEW).all()
    inside = (bent.low <= 1) & (bent.high >= 1)
    assert np.mean(inside[few]) < np.mean((fit.low <= 1)[few] & (fit.high >= 1)[few])


def test_counts_that_are_no_counts_are_refused():
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(InputError, match="n_e: 1 of 2 are negative or not finite"):
            ratio_estimate(np.array([3.0, 4.0]), np.array([5.0, bad]))


def test_empty_channels_are_flagged_not_dropped():
    fit = ratio_estimate(np.array([0.0, 5.0, 0.0, 5.0]), np.array([5.0, 0.0, 0.0, 5.0]))
    assert fit.status.tolist() == [NO_MUONS, NO_ELECTRONS, NO_ELECTRONS, OK]
    assert fit.value[0] == 0
    assert fit.low[0] == 0
    assert 0 < fit.high[0] < 1
    assert np.isinf(fit.value[1])
    assert np.isfinite(fit.low[1])
    assert fit.low[1] > 0
    assert not np.isnan([fit.value, fit.low, fit.high]).any()


def test_efficiency_error_is_added_in_quadrature():
    plain = ratio_estimate(np.array([400.0]), np.array([100.0]), 4.0)
    wide = ratio_estimate(np.array([400.0]), np.array([100.0]), 4.0, log_error=0.05)
    assert wide.error_low[0] == pytest.approx(np.hypot(plain.error_low[0], 0.05))
    assert wide.error_high[0] == pytest.approx(np.hypot(plain.error_high[0], 0.05))


def test_runs_on_any_array_library():
    device = strict.Device("device1")
    n_mu, n_e = strict.asarray([400.0, 0.0], device=device), strict.asarray([100.0, 3.0], device=device)
    there = ratio_estimate(n_mu, n_e, 4.0)
    here = ratio_estimate(np.array([400.0, 0.0]), np.array([100.0, 3.0]), 4.0)
    np.testing.assert_allclose(np.asarray(there.high.to_device(strict.Device("CPU_DEVICE"))), here.high, rtol=1e-12)


def test_runs_on_cupy(cupy):
    n_mu, n_e = np.array([400.0, 0.0, 3.0, 12.0]), np.array([100.0, 3.0, 0.0, 2.0])
    here = ratio_estimate(n_mu, n_e, 4.0)
    there = ratio_estimate(cupy.asarray(n_mu), cupy.asarray(n_e), 4.0)
    for name in ("value", "low", "high", "status"):
        assert isinstance(getattr(there, name), cupy.ndarray)
        np.testing.assert_allclose(getattr(there, name).get(), getattr(here, name), rtol=1e-12, err_msg=name)
