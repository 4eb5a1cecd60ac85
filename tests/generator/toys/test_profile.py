"""The compiled profile likelihood against SciPy, iminuit and pyhf, and where nothing is left to profile."""

import numpy as np
import pyhf
import pytest
from darkpenguin.generator.toys.profile import make_cells, profiled
from iminuit import Minuit
from scipy import optimize, stats

# two ratios, a cell of two counts, a single count; common, shared and local parameters
CELLS = [(0, 1), (2, 3), (4, 5), (6,)]
FREE = [True, True, False, False]


def problem(seed, toys=6):
    rng = np.random.default_rng(seed)
    bins, nuisances, seen = 7, 7, 2
    effects = np.zeros((nuisances, bins))
    effects[0] = 0.05  # common to all: the ratios do not feel it
    effects[1, [1, 3, 5]] = 0.04
    effects[2, [1]] = 0.1  # local to the first ratio
    effects[3, [4, 6]] = rng.normal(0, 0.1, 2)
    effects[4, [5]] = 0.07  # local
    tilts = np.zeros_like(effects)
    tilts[5, [1, 3, 5]] = [0.2, 0.1, 0.15]
    tilts[6, [6]] = 0.3  # local
    shifts = np.zeros((nuisances, seen))
    shifts[3] = [0.05, -0.02]
    signal = rng.uniform(20, 300, (2, bins))
    background = rng.uniform(5, 60, bins)
    counts = rng.poisson(signal[0] * np.exp(rng.normal(0, 0.1, (toys, bins))) + background).astype(float)
    known = rng.normal(0, 1, (toys, nuisances))
    residual = rng.normal(0, 0.1, (toys, seen))
    inverse = np.linalg.inv(np.array([[0.01, 0.003], [0.003, 0.02]]))
    return effects, tilts, shifts, signal, background, counts, known, residual, inverse


def by_hand(t, p, effects, tilts, shifts, signal, background, counts, known, residual, inverse):
    """-2 ln L of one toy at one point as a function of all nuisance parameters and the norms of the ratios."""

    def value(x):
        theta, norms = x[:7], np.exp([x[7], x[7], x[8], x[8], 0.0, 0.0, 0.0])
        mu = norms * signal[p] * np.exp(theta @ effects) + background * np.exp(theta @ tilts)
        n = counts[t]
        r = residual[t] - (theta - known[t]) @ shifts
        log = np.where(n > 0, n * np.log(np.where(n > 0, n, 1.0) / mu), 0.0)
        return 2 * np.sum(mu - n + log) + r @ inverse @ r + np.sum((theta - known[t]) ** 2)

    return value


def found(parts, cells=CELLS, rough=False, effects=None):
    effects, tilts, shifts, signal, background, counts, known, residual, inverse = (
        effects if effects is not None else parts[0],
        *parts[1:],
    )
    layout = make_cells(cells, FREE, effects, tilts, np.any(shifts != 0, axis=1))
    toys = np.tile(np.arange(len(counts)), 2)
    points = np.repeat(np.arange(2), len(counts))
    b = layout.bins
    used = layout.nuisances
    return profiled(
        layout,
        counts[:, b],
        signal[:, b],
        background[b],
        known[:, used],
        (residual[toys], np.stack([inverse, inverse]), shifts[used[: layout.common]]),
        toys,
        points,
        rough,
    ).reshape(2, -1)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_minimum_is_that_of_scipy_and_iminuit(seed):
    parts = problem(seed)
    values = found(parts)
    for t, p in ((0, 0), (3, 1), (5, 0)):
        function = by_hand(t, p, *parts)
        start = np.concatenate([parts[6][t], [0.0, 0.0]])
        scipy = optimize.minimize(function, start, method="BFGS", options={"gtol": 1e-5}).fun
        minuit = Minuit(function, start)
        minuit.migrad()
        assert values[p, t] == pytest.approx(minuit.fval, abs=1e-4)
        assert values[p, t] == pytest.approx(scipy, abs=1e-4)
    rough = found(parts, rough=True)
    assert np.all(rough >= values - 1e-9)
    assert np.all(rough - values < 0.2 * values)
    # bent: without one of the parameters the minimum is another
    less = parts[0].copy()
    less[2] = 0.0
    assert np.max(np.abs(found(parts, effects=less) - values)) > 0.01


@pytest.mark.parametrize("excess", [0.15, 0.7, 5.0])
def test_points_far_from_the_counts_have_their_minimum_too(excess):
    """Counts that a point cannot explain pull parameters by many standard deviations; by hand, from several starts.

    The point of a scan that took the observed information alone more than 100 steps, and was NaN, has a test below.
    """
    parts = list(problem(4))
    parts[4] = 8.0 * parts[4]
    parts[5] = np.round(excess * (parts[3][0] + parts[4]) * np.ones((6, 1)))
    values = found(parts)
    assert np.isfinite(values).all()
    for t, p in ((0, 0), (1, 1)):
        function = by_hand(t, p, *parts)
        start = np.concatenate([parts[6][t], [np.log(excess)] * 2])
        fits = []
        for shift in (0.0, 3.0):
            minuit = Minuit(function, start + shift * np.array([0, 0, 0, 0, 0, 1, 1, 0, 0]))
            minuit.strategy, minuit.limits = 2, (-60, 60)
            fits.append(minuit.migrad().fval)
        assert values[p, t] == pytest.approx(min(fits), rel=1e-6)


def test_a_background_that_is_pulled_by_many_standard_deviations():
    """More signal than counts, a background of a tenth of it with slopes of 8 % of its own: it all but vanishes."""
    signal = np.array([[29940.0, 33391.0, 29778.0, 28478.0, 27738.0]])
    background = np.array([2594.0, 2882.0, 2881.0, 2880.0, 2879.0])
    counts = np.array([[26515.0, 29158.0, 29178.0, 29327.0, 28897.0]])
    known = np.array([[0.61, -1.18, -0.5]])
    tilts = np.array([[0.027] * 5, [0.018] * 5, [-0.082, -0.074, -0.065, -0.056, -0.047]])
    layout = make_cells([(i,) for i in range(5)], [False] * 5, np.zeros((3, 5)), tilts, np.zeros(3, dtype=bool))
    none = np.zeros((1, 0)), np.zeros((1, 0, 0)), np.zeros((3, 0))
    here = np.zeros(1, dtype=np.int64)

    def value(theta):
        mu = signal[0] + background * np.exp(theta @ tilts)
        return 2 * np.sum(mu - counts[0] + counts[0] * np.log(counts[0] / mu)) + np.sum((theta - known[0]) ** 2)

    minuit = Minuit(value, np.array([-5.0, -5.0, 15.0]))
    found = profiled(layout, counts, signal, background, known, none, here, here)[0]
    assert found == pytest.approx(minuit.migrad().fval, abs=1e-4)


def test_layout_knows_what_is_local():
    effects, tilts, shifts = problem(1)[:3]
    layout = make_cells(CELLS, FREE, effects, tilts, np.any(shifts != 0, axis=1))
    assert layout.nuisances[: layout.common].tolist() == [0, 1, 3, 5]
    assert layout.nuisances[layout.common :].tolist() == [2, 4, 6]
    assert layout.shared.tolist() == [[2, 3], [2, 2], [4, 5], [2, 3]]


def test_few_and_no_counts_stay_finite():
    """Zero counts on either side, as by hand; counts where nothing is expected are impossible."""
    parts = list(problem(3))
    parts[5] = np.array([[0, 3, 0, 0, 0, 1, 0], [2, 0, 1, 1, 0, 0, 2.0]])
    parts[6], parts[7] = parts[6][:2], parts[7][:2]
    parts[3] = parts[3] * 0.01
    values = found(parts)
    for t in (0, 1):
        start = np.concatenate([parts[6][t], [0.0, 0.0]])
        function = by_hand(t, 1, *parts)
        scipy = min(
            optimize.minimize(function, start + np.array([0.0] * 7 + list(step)), method="Nelder-Mead",
                              options={"maxiter": 20000, "maxfev": 20000, "fatol": 1e-8, "xatol": 1e-6}).fun
            for step in ((0, 0), (-5, -5))
        )  # fmt: skip
        assert values[1, t] == pytest.approx(scipy, abs=2e-3)
        assert values[1, t] <= scipy + 1e-6
    layout = make_cells([(0,)], [False], np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0, dtype=bool))
    none = np.zeros((1, 0)), np.zeros((1, 0, 0)), np.zeros((0, 0))
    here = np.zeros(1, dtype=np.int64)
    nothing = np.zeros((1, 1)), np.zeros(1), np.zeros((1, 0))
    assert np.isinf(profiled(layout, np.ones((1, 1)), *nothing, none, here, here)[0])


def test_counts_with_backgrounds_are_those_of_pyhf():
    """Signal and two backgrounds, each with a log-normal error: HistFactory's normsys, to its interpolation's 1e-3."""
    signal, one, two = np.array([40.0, 25.0]), np.array([10.0, 12.0]), np.array([6.0, 3.0])
    counts = np.array([70.0, 36.0])
    sizes = {"signal": 0.05, "one": 0.2, "two": 0.3}

    def sample(name, data):
        size = np.log1p(sizes[name])
        error = {"name": name, "type": "normsys", "data": {"hi": float(np.exp(size)), "lo": float(np.exp(-size))}}
        poi = [{"name": "mu", "type": "normfactor", "data": None}] if name == "signal" else []
        return {"name": name, "data": data.tolist(), "modifiers": [error, *poi]}

    samples = [sample("signal", signal), sample("one", one), sample("two", two)]
    model = pyhf.Model({"channels": [{"name": "bins", "samples": samples}]}, poi_name="mu")
    data = counts.tolist() + model.config.auxdata
    effects = np.stack([np.full(2, np.log(1.05)), np.zeros(2), np.zeros(2)])
    share = one / (one + two)
    tilts = np.stack([np.zeros(2), np.log(1 + 0.2 * share), np.log(1 + 0.3 * (1 - share))])
    layout = make_cells([(0,), (1,)], [False, False], effects, tilts, np.zeros(3, dtype=bool))
    empty = np.zeros((2, 0)), np.zeros((2, 0, 0)), np.zeros((layout.common, 0))
    strengths = np.array([1.0, 1.5])
    found = profiled(
        layout,
        counts[None],
        strengths[:, None] * signal,
        one + two,
        np.zeros((1, 3)),
        empty,
        np.zeros(2, dtype=np.int64),
        np.arange(2),
    )
    pyhf.set_backend("numpy", "scipy")
    theirs = [float(pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)[1]) for mu in strengths]
    # shares of a background are exact at one standard deviation, HistFactory adds them: a few per cent
    assert found[1] - found[0] == pytest.approx(theirs[1] - theirs[0], rel=0.03)


def test_deviance_of_the_truth_is_a_chi_square():
    """-2 ln L at the truth, with measured parameters that fluctuate: as many degrees as counts. KS above 1e-6.

    Bent: a parameter of ten per cent that toys have and the likelihood does not.
    """
    rng = np.random.default_rng(5)
    toys = 4000
    effects = np.stack([np.full(7, 0.05), np.array([0, 0.06, 0, 0.06, 0, 0.06, 0])])
    tilts = np.zeros_like(effects)
    signal, background = np.full((1, 7), 2000.0), np.full(7, 500.0)
    theta = rng.normal(0, 1, (toys, 2))
    counts = rng.poisson(signal * np.exp(theta @ effects) + background).astype(float)
    here = np.arange(toys), np.zeros(toys, dtype=np.int64)
    for bent in (False, True):
        used = np.where(np.array([[True], [not bent]]), effects, 0.0)
        layout = make_cells(CELLS, [False] * 4, used, tilts, np.zeros(2, dtype=bool))
        known = np.zeros((toys, 2))[:, layout.nuisances]
        none = np.zeros((toys, 0)), np.zeros((1, 0, 0)), np.zeros((layout.common, 0))
        q = profiled(layout, counts[:, layout.bins], signal, background, known, none, *here)
        p = stats.kstest(q, "chi2", args=(7,)).pvalue
        assert (p < 1e-6) if bent else (p > 1e-6)
