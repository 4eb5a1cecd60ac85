"""Limits without a grid, against brute force along a dense one and against formulas."""

import array_api_strict as strict
import numpy as np
import pytest
from darkpenguin.generator.statistics import limits
from darkpenguin.generator.statistics.counts import CountModel
from darkpenguin.generator.statistics.draws import draw_poisson
from darkpenguin.generator.statistics.hypotheses import cls_asymptotic
from darkpenguin.generator.statistics.limits import BAND, STEP, Statistic, Strength, find_limit
from darkpenguin.kinematics.base.errors import InputError
from scipy import optimize, stats

SIGNAL = np.array([[100.0, -30.0, 4.0], [60.0, -14.5, 2.0], [200.0, -3.0, 0.4]])
EFFECTS, TILTS = [[0.12, 0.12, 0.12], [0.0, 0.05, -0.02]], [[0.0, 0.0, 0.0], [0.3, 0.0, 0.3]]
MODEL = CountModel(SIGNAL, ("g",), [5.0, 0.0, 20.0], ("a", "b"), EFFECTS, TILTS)


def deviance(g, n, known):
    """Nuisance parameters profiled by SciPy."""

    def minus(theta):
        mu = SIGNAL @ [1.0, g, g * g] * np.exp(theta @ MODEL.effects)
        mu = mu + MODEL.background * np.exp(theta @ MODEL.background_effects)
        return 2 * np.sum(mu - n + n * np.log(n / mu)) + np.sum((theta - known) ** 2)

    def slope(theta):
        signal = SIGNAL @ [1.0, g, g * g] * np.exp(theta @ MODEL.effects)
        below = MODEL.background * np.exp(theta @ MODEL.background_effects)
        rows = MODEL.effects * signal + MODEL.background_effects * below
        return 2 * rows @ (1 - n / (signal + below)) + 2 * (theta - known)

    found = optimize.minimize(minus, known, jac=slope, tol=1e-9)
    return found.fun, found.x


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_every_interval_is_that_of_a_dense_scan(shift):
    """Interference brings the counts back: q of data above its valley's, or the global, minimum, point by point."""
    n = MODEL.expected([shift])
    grid = np.linspace(0.0, 12.0, 151)
    observed = np.array([deviance(g, n, np.zeros(2))[0] for g in grid])
    nothing = deviance(0.0, n, np.zeros(2))[1]
    asimov = MODEL.expected([0.0], nothing)
    expected = np.array([deviance(g, asimov, nothing)[0] for g in grid])
    place = grid[int(np.argmin(observed))]
    assert place == pytest.approx(shift, abs=0.08)
    q = np.where(grid < place, 0.0, observed - observed.min())
    allowed = cls_asymptotic(q, expected)[2] > 0.05
    edges = grid[1:][allowed[1:] != allowed[:-1]]
    found = find_limit(MODEL, n)
    ends = [end for interval in found.intervals for end in interval][1:]
    assert len(ends) == len(edges)
    np.testing.assert_allclose(ends, edges, atol=0.08)
    if shift == 0:
        assert len(found.intervals) == 2
        # bent: without errors the mirror solution is another interval
        bent = find_limit(CountModel(SIGNAL, ("g",), MODEL.background), n)
        assert abs(bent.intervals[1][0] - found.intervals[1][0]) > 0.08


def test_a_scan_that_stops_early_would_miss_the_mirror():
    found = find_limit(CountModel([[100.0, -30.0, 4.0]], ("g",)), [100.0])
    (_, end), (low, high) = found.intervals
    assert low == pytest.approx(7.5 - end, rel=1e-5)  # N(7.5 - g) = N(g)
    mu = 100 - 30 * high + 4 * high**2
    assert 2 * stats.norm.sf(np.sqrt(2 * (mu - 100 - 100 * np.log(mu / 100)))) == pytest.approx(0.05, rel=1e-4)
    assert found.value == end


def test_data_that_prefer_the_mirror_solution_do_not_exclude_nothing():
    """150 events are described at g = 9 alone: zero is not excluded, what lies between is."""
    found = find_limit(CountModel([[100.0, -30.0, 4.0]], ("g",)), [150.0])
    (zero, end), (low, high) = found.intervals
    assert zero == 0
    assert 0.1 < end < 0.6714  # of a deficit of signal
    assert low < 8.93 < high


def test_the_band_holds_the_limits_of_data():
    """Of 80 data sets of background: fractions below each edge within five standard deviations, 1e-6 all together."""
    model = CountModel([[0.0, 10.0, 0.0], [0.0, 4.0, 0.0]], ("s",), [400.0, 90.0])
    found = find_limit(model, [400.0, 90.0])
    counts = draw_poisson([400.0, 90.0], seed=5, start=0, stop=80)
    limits = np.array([find_limit(model, row).value for row in counts])
    for sigma, edge in zip(BAND, found.band, strict=True):
        p = stats.norm.cdf(sigma)
        assert abs(np.mean(limits < edge) - p) < 5 * np.sqrt(p * (1 - p) / 80)
    # bent: an edge half a standard deviation off
    assert np.mean(limits < found.band[2] * 1.4) - 0.5 > 5 * np.sqrt(0.25 / 80)
    assert found.band[2] == pytest.approx(found.value, rel=1e-6)
    # √(q_A) of a Gaussian: 1.96 σ for the median
    assert found.value == pytest.approx(1.96 / np.sqrt(100 / 400 + 16 / 90), rel=0.05)


def test_toys_of_a_counting_experiment():
    """No background, nothing seen: CL_s = exp(-s), s = 3.0; asymptotics are not good here, toys are."""
    model = CountModel([[0.0, 1.0, 0.0]], ("s",), [1e-9])
    found = find_limit(model, [0.0], toys=4000, seed=2)
    assert found.value == pytest.approx(-np.log(0.05), abs=0.2)
    assert find_limit(model, [0.0]).value < 2.2


def test_a_signal_that_can_only_take_away_ends_where_nothing_is_left():
    found = find_limit(CountModel([[4.0, -1.0, 0.0]], ("g",)), [4.0])
    assert found.intervals[0] == (0.0, found.value)
    assert found.value == pytest.approx(4.0 - 1.08, abs=0.3)
    never = find_limit(CountModel([[1.0, -1.0, 0.0]], ("g",), [3.0]), [4.0])  # one event of four
    assert never.intervals == ((0.0, np.inf),)


def test_the_statistic_is_the_same_in_any_library_on_any_device():
    """Data sets with their minimum at zero, beyond it, and at the mirror solution."""
    counts, known = MODEL.expected([[0.0], [0.8], [9.0]]), np.array([[0.0, 0.0], [0.5, -0.5], [0.0, 1.0]])
    grid = Strength(MODEL).path(counts[0], 2 * STEP)
    here = Statistic(Strength(MODEL), grid, counts, known)
    device = strict.Device("device1")
    there = Statistic(Strength(MODEL), grid, *(strict.asarray(x, device=device) for x in (counts, known)))
    host = strict.Device("CPU_DEVICE")
    for a, b in ((here.along, there.along), (here.lowest, there.lowest), (here.hill, there.hill)):
        np.testing.assert_allclose(np.asarray(b.to_device(host)), a, rtol=1e-9, atol=1e-9)
    assert np.all(here.lowest < 1.0)  # each at a minimum of its own, nuisance parameters at most one off


def test_a_search_that_does_not_end_says_so(monkeypatch):
    """Where the path stops is never taken for an end of what is allowed."""
    whole = find_limit(MODEL, MODEL.expected([0.0])).grid.size
    monkeypatch.setattr(limits, "_MOST", whole)
    assert find_limit(MODEL, MODEL.expected([0.0])).grid.size == whole
    monkeypatch.setattr(limits, "_MOST", whole - 1)
    with pytest.raises(InputError, match=f"g: {whole - 1} steps of 0.25 sigma do not reach"):
        find_limit(MODEL, MODEL.expected([0.0]))


def test_refusals():
    with pytest.raises(InputError, match="do not feel it"):
        find_limit(CountModel([[4.0, 0.0, 0.0]], ("g",)), [4.0])
    with pytest.raises(InputError, match="needs one"):
        find_limit(CountModel(np.ones((1, 6)), ("x", "y")), [4.0])
