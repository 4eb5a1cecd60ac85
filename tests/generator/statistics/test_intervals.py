"""Feldman-Cousins intervals: against the construction by brute force, their coverage, toys against all data sets."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.intervals import feldman_cousins
from darkpenguin.kinematics.base.errors import InputError
from scipy import stats

BACKGROUND = CountModel([[0.0, 1.0, 0.0]], ("s",), [3.0])


def belt(probability, best, means):
    """Which data each mean accepts, by adding them in the order of likelihood ratios until 90 % are reached."""
    accepted = []
    for mean in means:
        p = probability(mean)
        order = np.argsort(-p / best, kind="stable")
        reached = np.cumsum(p[order])
        rows = np.zeros(len(p), dtype=bool)
        rows[order[: int(np.searchsorted(reached, 0.9)) + 1]] = True
        accepted.append(rows)
    return np.array(accepted)


@pytest.fixture(scope="module")
def counted():
    """Ends for a background of 3, counts from 0 to 14."""
    return [feldman_cousins(BACKGROUND, [float(n)]) for n in range(15)]


def test_counts_on_a_background_by_brute_force(counted):
    """The construction of physics/9711021, table IV, on a fine grid; for eight counts it has 1.51 to 10.99."""
    n, means = np.arange(60), np.arange(0.0, 20.0, 0.005)
    best = stats.poisson.pmf(n, 3.0 + np.maximum(n - 3.0, 0.0))
    rows = belt(lambda s: stats.poisson.pmf(n, 3.0 + s), best, means)
    for k, found in enumerate(counted[:11]):
        inside = means[rows[:, k]]
        assert (found.low, found.high) == pytest.approx((inside[0], inside[-1]), abs=0.006)
    assert (round(counted[8].low, 2), round(counted[8].high, 2)) == (1.51, 10.99)


def test_a_gaussian_with_a_boundary_by_brute_force():
    """Large counts: a measured x of unit width and a mean of zero or more, as in table X there."""
    x, means = np.linspace(-7.0, 12.0, 7601), np.arange(0.0, 6.0, 0.005)
    best = stats.norm.pdf(x, np.maximum(x, 0.0))
    rows = belt(lambda m: stats.norm.pdf(x, m) * (x[1] - x[0]), best, means)
    model = CountModel([[0.0, np.sqrt(1e5), 0.0]], ("m",), [1e5])
    for measured in (-1.0, 0.5, 2.0):
        inside = means[rows[:, int(np.argmin(np.abs(x - measured)))]]
        found = feldman_cousins(model, [1e5 + measured * np.sqrt(1e5)])
        assert (found.low, found.high) == pytest.approx((inside[0], inside[-1]), abs=0.015)


def test_coverage_is_at_least_what_it_says(counted):
    """Summed over all counts, at couplings on either side of every end; a central interval of ±1.645 √n covers less."""
    n = np.arange(15)
    p = stats.poisson.pmf
    ends = [end for found in counted for end in (found.low, found.high) if 0 < end < 5]
    for s in [0.0, *(end + shift for end in ends for shift in (-1e-3, 1e-3))]:
        inside = np.array([found.low <= s <= found.high for found in counted])
        assert np.sum(p(n, 3.0 + s)[inside]) + stats.poisson.sf(14, 3.0 + s) >= 0.9 - 1e-9
    bent = np.abs(n - 3.0 - 0.7) < 1.645 * np.sqrt(n)
    assert np.sum(p(n, 3.7)[bent]) < 0.88


def test_toys_find_what_all_data_sets_say(counted):
    """A second bin without signal changes nothing but that toys are needed: 4000, an error of 0.12 on an end."""
    two = CountModel([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], ("s",), [3.0, 50.0])
    found = feldman_cousins(two, [8.0, 50.0], toys=4000, seed=3)
    assert (found.low, found.high) == pytest.approx((counted[8].low, counted[8].high), abs=0.6)
    again = feldman_cousins(two, [8.0, 50.0], toys=4000, seed=3)
    assert (found.low, found.high) == (again.low, again.high)
    wrong = feldman_cousins(two, [12.0, 50.0], toys=4000, seed=3)
    assert wrong.high > counted[8].high + 1.5


def test_mirror_solutions_are_pieces_of_their_own():
    """100 - 30 g + 4 g²: the counts of g = 0 again at 7.5; and both signs where bounds allow them."""
    model = CountModel([[100.0, -30.0, 4.0]], ("g",))
    found = feldman_cousins(model, [100.0], bounds=(-np.inf, np.inf))
    (a, b), (c, d) = found.intervals
    assert (c, d) == pytest.approx((7.5 - b, 7.5 - a), abs=1e-4)
    assert (found.low, found.high) == (a, d)
    # far from a boundary t is a chi-square of one, up to what counts are whole
    t = 2 * (model.expected([b])[0] - 100 - 100 * np.log(model.expected([b])[0] / 100))
    assert t == pytest.approx(stats.chi2.isf(0.1, 1), rel=0.1)
    assert feldman_cousins(model, [100.0], bounds=(0.0, 3.0)).intervals == ((0.0, pytest.approx(b, abs=0.05)),)


def test_nuisance_parameters_widen():
    signal = [[0.0, 10.0, 0.0], [0.0, 5.0, 0.0]]
    sharp = CountModel(signal, ("s",), [20.0, 10.0])
    loose = CountModel(signal, ("s",), [20.0, 10.0], ("norm",), [[0.4, 0.4]])
    ends = [feldman_cousins(model, [50.0, 24.0], toys=300).high for model in (sharp, loose)]
    assert ends[1] > 1.2 * ends[0]


def test_refusals():
    with pytest.raises(InputError, match="needs low < high"):
        feldman_cousins(BACKGROUND, [3.0], bounds=(2.0, 1.0))
    with pytest.raises(InputError, match="needs a probability"):
        feldman_cousins(BACKGROUND, [3.0], level=90.0)
    with pytest.raises(InputError, match="needs one"):
        feldman_cousins(CountModel(np.ones((1, 6)), ("a", "b")), [3.0])
    with pytest.raises(InputError, match="do not feel it"):
        feldman_cousins(CountModel([[4.0, 0.0, 0.0]], ("g",)), [4.0])
