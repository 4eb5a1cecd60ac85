"""Event toys: equal to the backend's events, independent of threads, and in agreement with binned toys."""

import numpy as np
import pytest
from darkpenguin.generator.sampler.backend import select_backend
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.generator.statistics.draws import EVENTS, draw_poisson, moment_toys, stream_word
from darkpenguin.generator.toys.moments import event_moments, stack_columns, toy_columns
from darkpenguin.generator.toys.yields import integrated_coefficients
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.definitions import massless
from darkpenguin.physics.models import get_model
from darkpenguin.physics.moments import expected_moments, functions, observables

EDGES = np.array([1.1, 2.5, 4.0, 6.0])
WINDOWS = [(1.1, 2.5), (2.5, 4.0), (4.0, 6.0)]
TOYS, MEAN = 4000, 600.0
NAMES = ("FL", "S3", "S4", "S5", "AFB", "S7", "S8", "S9", "P5p")
FITTED = {"names": NAMES, "definition": massless}


@pytest.fixture(scope="module")
def table():
    return channel_table(get_channel("B0->K*0mumu"), get_model("fig1-2.5gev"), q2_ranges=[(1.1, 6.0)])


@pytest.fixture(scope="module")
def coefficients():
    return integrated_coefficients("B0->K*0mumu", [get_model("fig1-2.5gev")], WINDOWS)[0]


@pytest.fixture(scope="module")
def toys(table):
    n = draw_poisson([MEAN], seed=13, start=0, stop=TOYS)[:, 0]
    return event_moments(table, n, EDGES, seed=13, stream=stream_word(0, EVENTS, 3))


@pytest.mark.parametrize("kind", ["B0->K*0mumu", "B+->K+ee"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_moments_are_those_of_the_same_events(kind, precision):
    channel = get_channel(kind)
    table = channel_table(channel, get_model("fig2"), q2_ranges=[(1.1, 6.0)])
    stream = stream_word(2, EVENTS, channel.index)
    n = np.array([0, 1, 1500, 3000])
    found = event_moments(table, n, EDGES, seed=5, stream=stream, start=40, precision=precision)
    backend = select_backend("cpu", precision)
    for t, size in enumerate(n):
        columns = toy_columns(backend, table, 40 + t, int(size), seed=5, stream=stream)
        f = functions(table.kind, *(columns[name].astype(float) for name in channel.angles))
        inside = np.digitize(columns["q2"], EDGES) - 1
        for b in range(3):
            assert found.counts[t, b] == np.sum(inside == b)
            np.testing.assert_allclose(
                found.sums[t, b],
                f[inside == b].sum(axis=0),
                rtol=0,
                atol=1e-9 if precision == "float64" else 3e-3,
            )


def test_toys_do_not_depend_on_threads_or_range(table, toys):
    n = toys.counts.sum(axis=1)
    stream = stream_word(0, EVENTS, 3)
    for start, stop, threads in ((0, 100, 1), (37, 38, 2), (1000, 1200, 2)):
        again = event_moments(table, n[start:stop], EDGES, seed=13, stream=stream, start=start, threads=threads)
        np.testing.assert_array_equal(again.counts, toys.counts[start:stop])
        np.testing.assert_array_equal(again.sums, toys.sums[start:stop])


def test_counts_and_moments_have_the_analytic_values(coefficients, toys):
    rate = np.array([c @ np.array([1.5, 0.75, -0.5, -0.25] + [0] * 8) for c in coefficients])
    expected = MEAN * rate / rate.sum()
    assert np.max(np.abs(toys.counts.mean(axis=0) - expected) / np.sqrt(expected / TOYS)) < 6
    total = toys.counts.sum(axis=0)
    mean, covariance = expected_moments(coefficients)
    error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2) / total[:, None])
    pull = (toys.sums.sum(axis=0) / total[:, None] - mean) / error
    assert np.max(np.abs(pull)) < 6
    # bent: one J_i off by 2 % of the rate
    bent = coefficients.copy()
    bent[:, 6] += 0.02 * rate
    wrong = (toys.sums.sum(axis=0) / total[:, None] - expected_moments(bent)[0]) / error
    assert np.max(np.abs(wrong)) > 6


def test_event_toys_and_binned_toys_agree(coefficients, toys):
    """Mean, variance and correlation of counts and observables, within six standard errors of either.

    400 events a toy in three bins: the moments' distribution is Gaussian enough that P5', a ratio, agrees
    too.
    """
    rate = np.array([c @ np.array([1.5, 0.75, -0.5, -0.25] + [0] * 8) for c in coefficients])
    mean, covariance = expected_moments(coefficients)
    counts = draw_poisson(MEAN * rate / rate.sum(), seed=14, start=0, stop=TOYS)
    drawn = moment_toys(mean, covariance, counts, seed=14)
    events, binned = (observables(m, n, **FITTED) for m, n in ((toys.means, toys.counts), (drawn, counts)))
    truth = observables(mean, np.ones(3), **FITTED)
    assert_same_distribution(toys.counts, counts)
    for b in range(3):
        assert_same_distribution(events.values[:, b], binned.values[:, b])
        # errors are estimated from the same moments, so they agree as well
        assert np.median(events.errors[:, b, 3]) == pytest.approx(np.median(binned.errors[:, b, 3]), rel=0.01, abs=0)
    pull = (events.values - truth.values) / events.errors
    assert np.all(np.abs(pull.std(axis=0) - 1) < 0.08)
    # bent: the binned toys with S5 off by 0.03, and with a covariance 30 % too small
    shifted = coefficients.copy()
    shifted[:, 6] += 0.03 * rate
    wrong = observables(moment_toys(expected_moments(shifted)[0], covariance, counts, seed=14), counts, **FITTED)
    with pytest.raises(AssertionError):
        assert_same_distribution(events.values[:, 0], wrong.values[:, 0])
    narrow = observables(moment_toys(mean, 0.7 * covariance, counts, seed=14), counts, **FITTED)
    with pytest.raises(AssertionError):
        assert_same_distribution(events.values[:, 0], narrow.values[:, 0])


def assert_same_distribution(one, two):
    """Mean, variance and correlation of two sets of rows within six standard errors; far tails clipped."""
    one, two = (np.clip(x, np.quantile(x, 0.001, axis=0), np.quantile(x, 0.999, axis=0)) for x in (one, two))
    n = len(one)
    variance = 0.5 * (one.var(axis=0) + two.var(axis=0))
    assert np.all(np.abs(one.mean(axis=0) - two.mean(axis=0)) < 6 * np.sqrt(2 * variance / n))
    kurtosis = np.mean((one - one.mean(axis=0)) ** 4, axis=0) / variance**2
    spread = np.sqrt(2 * (kurtosis - 1) / n)
    assert np.all(np.abs(one.var(axis=0) - two.var(axis=0)) < 6 * spread * variance)
    assert np.max(np.abs(np.corrcoef(one.T) - np.corrcoef(two.T))) < 6 * np.sqrt(2 / n)


def test_stacking_pads_with_zeros():
    values, mask = stack_columns([{"x": np.array([1.0, 2.0])}, {"x": np.array([3.0])}], ("x",), 3)
    np.testing.assert_array_equal(values[..., 0], [[1, 2, 0], [3, 0, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 0, 0]])


def test_refusals(table):
    with pytest.raises(InputError, match="whole number"):
        event_moments(table, [-1], EDGES, seed=1, stream=0)
    with pytest.raises(InputError, match="increasing"):
        event_moments(table, [1], [2.0, 1.0], seed=1, stream=0)
    with pytest.raises(InputError, match="numbered from 0"):
        event_moments(table, [1], EDGES, seed=1, stream=0, start=2**31)
