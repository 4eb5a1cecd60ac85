"""Tests of hypotheses: uniform p-values, Wilks, Asimov, CLs, look-elsewhere.

Counts here are made up; where physics enters is tested with the yields. Seeds are fixed; false-alarm rates
are below 1e-6 unless a line says otherwise.
"""

import numpy as np
import pytest
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.draws import binned_toys, draw_poisson
from darkpenguin.generator.statistics.hypotheses import (
    asimov_fixed,
    bounded_ratio,
    cls_asymptotic,
    global_p_value,
    importance_p_value,
    likelihood_ratio,
    p_value,
    profile_ratio,
    scan_maximum,
    significance,
    tail_p_value,
    toy_p_value,
    upcrossings,
    wilks_p_value,
)
from darkpenguin.kinematics.base.errors import InputError
from scipy import stats

NULL = np.linspace(200.0, 800.0, 20)
SIGNAL = NULL * 0.12 * np.exp(-0.5 * ((np.arange(20) - 8) / 3.0) ** 2)


def test_likelihood_ratio_against_scipy():
    counts = draw_poisson(NULL, seed=1, start=0, stop=5)
    q = likelihood_ratio(counts, np.stack([NULL, NULL + SIGNAL]))
    direct = -2 * (stats.poisson.logpmf(counts, NULL + SIGNAL) - stats.poisson.logpmf(counts, NULL)).sum(axis=1)
    np.testing.assert_allclose(q[:, 1], direct, atol=1e-9)
    assert np.all(q[:, 0] == 0)


def test_likelihood_ratio_of_an_excluded_hypothesis_is_infinite():
    q = likelihood_ratio(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert q[0, 1] == np.inf
    assert q[1, 1] == pytest.approx(-2.0)


def test_p_values_are_uniform_under_the_null_with_large_counts():
    """p-value of each toy of one sample within another sample of the same null."""
    q = [
        likelihood_ratio(draw_poisson(NULL, seed=3, start=0, stop=20_000, sample=s), np.stack([NULL + SIGNAL, NULL]))[
            :, 1
        ]
        for s in (0, 1)
    ]
    reference = np.sort(q[0])
    p = 1.0 - np.searchsorted(reference, q[1], side="left") / len(reference)
    assert stats.ks_2samp(q[0], q[1]).pvalue > 1e-7
    # bent: the null of the second sample is off by 0.5 % in the signal region
    bent = likelihood_ratio(
        draw_poisson(NULL + 0.15 * SIGNAL, seed=3, start=0, stop=20_000, sample=1),
        np.stack([NULL + SIGNAL, NULL]),
    )[:, 1]
    assert stats.ks_2samp(q[0], bent).pvalue < 1e-7
    assert abs(p.mean() - 0.5) < 6 * np.sqrt(1 / 6 / 20_000)


def test_p_values_are_discrete_with_small_counts():
    """One bin, mean 2: the p-value takes the values P(n >= k) and is not below α more often than α."""
    counts = draw_poisson([2.0], seed=4, start=0, stop=100_000)[:, 0]
    p = stats.poisson.sf(counts - 1, 2.0)
    assert len(np.unique(p)) < 15
    for level in (0.32, 0.05, 0.01):
        below = np.mean(p <= level)
        assert below <= level + 6 * np.sqrt(level / 1e5)
        exact = max(stats.poisson.sf(k - 1, 2.0) for k in range(20) if stats.poisson.sf(k - 1, 2.0) <= level)
        assert abs(below - exact) < 6 * np.sqrt(exact / 1e5)
    assert abs(np.mean(p <= 0.05) - 0.05) > 0.01  # not uniform, and this is the size of it


def test_moments_of_the_ratio_are_exact():
    expected = asimov_fixed(NULL + SIGNAL, NULL)
    for mean, m, s, sample in (
        (NULL + SIGNAL, expected.mean_true, expected.sigma_true, 0),
        (NULL, expected.mean_null, expected.sigma_null, 1),
    ):
        q = likelihood_ratio(
            draw_poisson(mean, seed=5, start=0, stop=50_000, sample=sample), np.stack([NULL + SIGNAL, NULL])
        )[:, 1]
        assert abs(q.mean() - m) < 6 * s / np.sqrt(50_000)
        assert abs(q.std() / s - 1) < 6 / np.sqrt(2 * 50_000) * 1.5


def test_asimov_significance_is_the_median_toy():
    """Asymptotic regime: the median significance of toys is √q_A, from toys of the null up to three sigma."""
    weak = NULL + 0.5 * SIGNAL
    true, null = (
        likelihood_ratio(draw_poisson(mu, seed=6, start=0, stop=200_000, sample=s), np.stack([weak, NULL]))[:, 1]
        for s, mu in ((0, weak), (1, NULL))
    )
    expected = asimov_fixed(weak, NULL)
    assert 2 < expected.asimov < 3.5
    direct = toy_p_value(null, float(np.median(true)))
    assert abs(direct.significance - expected.asimov) < 6 * direct.significance_error + 0.03
    assert abs(expected.gaussian - expected.asimov) < 0.05
    # the same tail from toys of the other hypothesis, and bent weights that miss it
    weighted = importance_p_value(true, -0.5 * true, float(np.median(true)))
    assert abs(weighted.value - direct.value) < 6 * np.hypot(weighted.error, direct.error)
    bent = importance_p_value(true, -0.45 * true, float(np.median(true)))
    assert abs(bent.value - direct.value) > 6 * np.hypot(bent.error, direct.error)


def test_importance_sampling_reaches_five_sigma():
    strong = NULL + 1.1 * SIGNAL
    q = likelihood_ratio(draw_poisson(strong, seed=7, start=0, stop=20_000), np.stack([strong, NULL]))[:, 1]
    found = importance_p_value(q, -0.5 * q, float(np.median(q)))
    expected = asimov_fixed(strong, NULL)
    assert expected.asimov > 5
    assert found.significance_error < 0.02
    assert abs(found.significance - expected.asimov) < 0.15


def coupling_model(nuisance: bool = True) -> CountModel:
    signal = np.stack([NULL, SIGNAL, 0.02 * SIGNAL], axis=1)
    effects = np.stack([np.full(20, 0.02), np.linspace(-0.02, 0.02, 20)]) if nuisance else None
    return CountModel(signal, ("g",), nuisances=("norm", "tilt") if nuisance else (), effects=effects, starts=[[0.0]])


def test_wilks_theorem_holds_for_an_identified_coupling():
    model = coupling_model()
    toys = binned_toys(model, [0.4], seed=8, stop=10_000)
    q = profile_ratio(model, toys.counts, toys.auxiliary, g=0.4).q
    assert not np.isnan(q).any()
    p = wilks_p_value(q, 1)
    assert stats.kstest(p, "uniform").pvalue > 1e-7
    # bent: tested at a value 0.2 away
    wrong = profile_ratio(model, toys.counts, toys.auxiliary, g=0.6).q
    assert stats.kstest(wilks_p_value(wrong, 1), "uniform").pvalue < 1e-7


def test_wilks_theorem_fails_at_a_boundary():
    """A strength that cannot be negative: half of the toys have q = 0, so Wilks' p-values are not uniform."""
    model = coupling_model(nuisance=False)
    toys = binned_toys(model, [0.0], seed=9, stop=4000)
    q = bounded_ratio(model, toys.counts, None, 0.0, 0.0, np.inf)
    at_zero = np.mean(q < 1e-6)
    assert abs(at_zero - 0.5) < 6 * 0.5 / np.sqrt(4000)
    assert stats.kstest(wilks_p_value(q, 1), "uniform").pvalue < 1e-7
    # half chi-square of one degree, half zero: the other half is uniform as it should be
    assert stats.kstest(wilks_p_value(q[q > 1e-6], 1), "uniform").pvalue > 1e-7


def test_scan_has_a_look_elsewhere_effect():
    """A bump of unknown place: Wilks with one degree is wrong, the maximum per toy is right."""
    places = np.arange(2, 18, 1.0)
    models = []
    for place in places:
        bump = NULL * 0.12 * np.exp(-0.5 * ((np.arange(20) - place) / 1.0) ** 2)
        models.append(CountModel(np.stack([NULL, bump, 0 * bump], axis=1), ("g",), starts=[[0.0]]))
    null = scan_maximum(models, draw_poisson(NULL, seed=10, start=0, stop=8000), None)
    assert null.failures.sum() == 0
    local = np.mean(null.q[:, 6] > 3.84)
    overall = np.mean(null.maximum > 3.84)
    assert abs(local - 0.05) < 6 * np.sqrt(0.05 / 8000)
    assert overall > 0.25
    # the formula of Gross and Vitells from upcrossings at a low level
    predicted = float(global_p_value(9.0, 1.0, upcrossings(null, 1.0)))
    counted = np.mean(null.maximum > 9.0)
    assert counted < predicted * 1.3
    assert counted > predicted * 0.5
    # an injected bump is found where it is
    true = models[8].expected([1.0])
    found = scan_maximum(models, draw_poisson(true, seed=11, start=0, stop=500), None)
    assert np.mean(np.abs(places[found.best] - places[8]) <= 1) > 0.95
    assert abs(np.median(found.couplings[:, 0]) - 1.0) < 0.1


def test_asymptotic_cls_formula_at_known_points():
    sb, b, s = cls_asymptotic(1.64485**2, 1e4)
    assert float(sb) == pytest.approx(0.05, abs=1e-4)
    assert float(b) == pytest.approx(1.0)
    sb, b, s = cls_asymptotic(4.0, 4.0)
    assert float(s) == pytest.approx(float(p_value(2.0)) / 0.5)


def test_failed_fits_count_against_a_claim():
    assert toy_p_value([1.0, np.nan, 0.5, 3.0], 2.0).value == 0.5
    assert toy_p_value([1.0, 2.0], 5.0).error > 0


def test_significance_and_p_value_are_inverse():
    z = np.array([-1.0, 0.0, 3.0, 5.0])
    np.testing.assert_allclose(significance(p_value(z)), z, atol=1e-12)


def test_refusals():
    with pytest.raises(InputError, match="excluded by one event"):
        asimov_fixed([1.0, 1.0], [1.0, 0.0])
    with pytest.raises(InputError, match="at least one point"):
        scan_maximum([], np.zeros((1, 2)))
    two = CountModel(np.ones((1, 6)), ("a", "b"))
    with pytest.raises(InputError, match="needs one"):
        bounded_ratio(two, np.ones((1, 1)), None, 0.0, 0.0, 1.0)


def test_tail_of_a_chi_square_and_of_a_scan():
    """Continued from 20,000 toys to where only a formula reaches; a Gaussian of the toys' width would not do."""
    rng = np.random.default_rng(8)
    for free in (1, 2, 3):
        q = rng.chisquare(free, 20_000)
        exact = stats.chi2.sf(30.0, free)
        assert tail_p_value(q, 30.0, free) == pytest.approx(exact, rel=0.5)
        assert stats.norm.sf((30.0 - np.median(q)) / q.std()) < 0.1 * exact
        assert tail_p_value(q, 1.0, free) == np.mean(q >= 1.0)
    # the maximum of ten independent scans of a mass: ten times the tail of one
    q = rng.chisquare(1, (20_000, 10)).max(axis=1)
    assert tail_p_value(q, 30.0, 1) == pytest.approx(10 * stats.chi2.sf(30.0, 1), rel=0.5)
    assert tail_p_value([np.nan] * 5 + [0.0] * 5, 30.0, 1) == 0.5
