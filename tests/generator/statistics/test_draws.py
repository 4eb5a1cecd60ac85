"""Random numbers of toys: the right distributions, and the same toys whatever the partition.

Every statistical test has a fixed seed and a false-alarm rate below 1e-6 for a fresh one.
"""

import numpy as np
import pytest
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.draws import (
    COUNTS,
    EVENTS,
    TRUTH,
    binned_toys,
    draw_normal,
    draw_poisson,
    moment_toys,
    stream_word,
)
from darkpenguin.kinematics.base.errors import InputError
from scipy import stats

ALARM = 1e-7
TOYS = 200_000


def poisson_p_value(counts, mean):
    """Chi-square of a histogram of counts against the probabilities for ``mean``, in at most 60 bins."""
    quantiles = np.unique(stats.poisson.ppf(np.linspace(0.002, 0.998, 60), mean))
    edges = np.concatenate([[-1.0], quantiles, [np.inf]]) + 0.5
    expected = np.diff(np.concatenate([[0.0], stats.poisson.cdf(quantiles, mean), [1.0]])) * len(counts)
    observed = np.histogram(counts, edges)[0]
    use = expected > 5
    return stats.chi2.sf(np.sum((observed - expected)[use] ** 2 / expected[use]), use.sum() - 1)


@pytest.mark.parametrize("mean", [0.01, 0.7, 3.0, 9.99, 10.0, 10.5, 14.3, 60.0, 900.0, 1.0e6])
def test_poisson_numbers_follow_their_distribution(mean):
    counts = draw_poisson([mean], seed=11, start=0, stop=TOYS)[:, 0]
    assert poisson_p_value(counts, mean) > ALARM
    # bent: a mean that is off by twenty standard errors
    assert poisson_p_value(counts, mean + 20 * np.sqrt(mean / TOYS)) < ALARM


def test_poisson_zero_mean_gives_zero():
    assert draw_poisson([0.0, 5.0], seed=1, start=0, stop=1000)[:, 0].max() == 0


def test_bins_and_toys_are_independent():
    counts = draw_poisson(np.full(6, 25.0), seed=2, start=0, stop=TOYS)
    between_bins = np.corrcoef(counts.T)[np.triu_indices(6, 1)]
    between_toys = np.corrcoef(counts[:-1, 0], counts[1:, 0])[0, 1]
    assert np.max(np.abs([*between_bins, between_toys])) < 6.0 / np.sqrt(TOYS)
    other = draw_poisson([25.0], seed=2, start=0, stop=TOYS, sample=1)[:, 0]
    assert abs(np.corrcoef(other, counts[:, 0])[0, 1]) < 6.0 / np.sqrt(TOYS)


def test_normal_numbers():
    z = draw_normal(3, seed=4, start=0, stop=TOYS)
    assert stats.kstest(z.ravel(), "norm").pvalue > ALARM
    assert stats.kstest(1.02 * z.ravel(), "norm").pvalue < ALARM
    assert np.max(np.abs(np.corrcoef(z.T)[np.triu_indices(3, 1)])) < 6.0 / np.sqrt(TOYS)


def test_toys_do_not_depend_on_threads_or_chunks():
    mean = np.geomspace(0.1, 1000.0, 17)
    whole = draw_poisson(mean, seed=9, start=0, stop=5000, threads=1)
    parts = [
        draw_poisson(mean, seed=9, start=a, stop=b, threads=t) for a, b, t in ((0, 1, 1), (1, 700, 3), (700, 5000, 2))
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    own_means = draw_poisson(np.tile(mean, (5000, 1)), seed=9, start=0, stop=5000)
    np.testing.assert_array_equal(whole, own_means)
    normal = draw_normal(5, seed=9, start=0, stop=100, threads=1)
    np.testing.assert_array_equal(normal[40:], draw_normal(5, seed=9, start=40, stop=100, threads=2))
    far = draw_poisson(mean, seed=9, start=2**40, stop=2**40 + 3)
    np.testing.assert_array_equal(far[2:], draw_poisson(mean, seed=9, start=2**40 + 2, stop=2**40 + 3))
    assert (far != whole[:3]).any()


def test_streams_stay_apart_from_those_of_events():
    words = {stream_word(sample, purpose) for sample in (0, 1, 2**20 - 1) for purpose in range(EVENTS + 1)}
    assert len(words) == 3 * (EVENTS + 1)
    assert min(words) >= 2**31
    assert max(words) < 2**32
    assert stream_word(0, COUNTS) != stream_word(0, TRUTH)


@pytest.fixture
def model():
    return CountModel([[400.0], [900.0]], nuisances=("common",), effects=[[0.1, 0.1]])


def test_systematics_move_counts_or_measurements(model):
    n = 50_000
    measured = binned_toys(model, seed=3, stop=n)
    assert np.all(measured.theta == 0)
    assert abs(measured.auxiliary.std() - 1.0) < 0.02
    assert abs(measured.counts[:, 1].var() / 900 - 1.0) < 0.05
    drawn = binned_toys(model, seed=3, stop=n, systematics="drawn")
    assert np.all(drawn.auxiliary == 0)
    # variance of a Poisson with a log-normal mean: m e^(s²/2) + m² e^(s²)(e^(s²)-1)
    expected = 900 * np.exp(0.005) + 900**2 * np.exp(0.01) * np.expm1(0.01)
    assert abs(drawn.counts[:, 1].var() / expected - 1.0) < 0.06
    together = np.corrcoef(drawn.counts.T)[0, 1]
    assert together > 0.8
    np.testing.assert_array_equal(
        drawn.counts[100:200], binned_toys(model, seed=3, start=100, stop=200, systematics="drawn").counts
    )


def test_moment_toys_have_the_covariance_they_should():
    mean, covariance = np.array([[0.3, -0.1]]), np.array([[[0.5, 0.2], [0.2, 0.3]]])
    toys = moment_toys(mean, covariance, np.full((TOYS, 1), 50), seed=5)[:, 0]
    error = 6.0 / np.sqrt(TOYS)
    assert np.max(np.abs(toys.mean(axis=0) - mean[0])) < error * np.sqrt(0.5 / 50)
    np.testing.assert_allclose(np.cov(toys.T) * 50, covariance[0], atol=0.5 * 2 * error)
    assert np.isnan(moment_toys(mean, covariance, np.array([[0]]), seed=5)).all()


def test_bad_requests_are_refused(model):
    for call, message in (
        (lambda: draw_poisson([-1.0], seed=1, start=0, stop=2), "mean counts"),
        (lambda: draw_poisson([np.nan], seed=1, start=0, stop=2), "mean counts"),
        (lambda: draw_poisson([1.0], seed=-1, start=0, stop=2), "seed"),
        (lambda: draw_poisson([1.0], seed=1, start=3, stop=3), "START < STOP"),
        (lambda: binned_toys(model, [1.0], seed=1, stop=2), "couplings has shape"),
        (lambda: binned_toys(model, seed=1, stop=2, systematics="maybe"), "measured, drawn or none"),
        (lambda: stream_word(2**20, COUNTS), "sample"),
    ):
        with pytest.raises(InputError, match=message):
            call()
