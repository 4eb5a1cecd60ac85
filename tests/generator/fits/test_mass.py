"""The mass of the B in unbinned fits: shapes by scipy, densities by hand, gradients by differences, yields found."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.files.sample import EventSample
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.draws import draw_events
from darkpenguin.generator.fits.fit import likelihood_of
from darkpenguin.generator.fits.mass import FLOOR, BMass
from scipy.integrate import quad
from scipy.stats import crystalball, kstest, truncnorm

RANGE, LOW, HIGH = (1.1, 8.0), 5.17, 5.7
C9, FRACTION, SLOPE = "heavy.C9_mu", "backgrounds.comb.fraction", "backgrounds.comb.slope"
OF_MASS, MEAN, SIGMA = "backgrounds.comb.b_mass_slope", "b_mass.mean", "b_mass.sigma"
PEAK = {"low": LOW, "high": HIGH, "mean": 5.28, "sigma": 0.016}
TAILS = {"tail_low": (1.5, 3.0), "tail_high": (2.0, 5.0)}
ALONE = {"float": {C9: (-3, 3)}, "backgrounds": {}}
FLOAT = {C9: (-3, 3), FRACTION: (0, 0.9), SLOPE: None}
ALL = {**FLOAT, OF_MASS: None, MEAN: None, SIGMA: None}
VALUES = (0.4, 0.25, -0.1, -2.0, 5.281, 0.017)
SIGNAL, BELOW, TRUE_SLOPE, TRUE_MASS_SLOPE = 1500, 1500, -0.1, -3.0


def card(**keys):
    keys = {"model": "sm", "float": ALL, "backgrounds": {"comb": {}}, "b_mass": {**PEAK, **TAILS}, **keys}
    return FitCard.make(**{key: value for key, value in keys.items() if value is not None})


@pytest.fixture(scope="module")
def sample():
    """Signal with a Gaussian peak, and as many events of exponentials in q2 and in the mass, flat in all else."""
    found, rng = dp.generate("B+->K+mumu", "sm", events=SIGNAL, q2=[RANGE], seed=5), np.random.default_rng(3)
    columns = found.to_numpy()
    more = {name: column[:1].repeat(BELOW) for name, column in columns.items()}
    more["q2"] = _exponential(rng, *RANGE, TRUE_SLOPE)
    more["cos_theta_l"] = rng.uniform(-1, 1, BELOW)
    more["flavour"] = rng.choice(np.array([-1, 1], dtype=columns["flavour"].dtype), BELOW)
    more["m_b_reco"] = _exponential(rng, LOW, HIGH, TRUE_MASS_SLOPE)
    columns["m_b_reco"] = rng.normal(PEAK["mean"], PEAK["sigma"], SIGNAL)
    both = {name: np.concatenate([columns[name], more[name]]) for name in columns}
    return EventSample(both, found.provenance)


def _exponential(rng, low, high, slope):
    ends = np.exp(slope * low), np.exp(slope * high)
    return np.log(ends[0] + rng.random(BELOW) * (ends[1] - ends[0])) / slope


def _by_differences(function, x, size):
    ends = [np.asarray(function(x + k * size)) for k in (2, 1, -1, -2)]
    return (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * size)


@pytest.mark.parametrize("tails", [{}, TAILS, {"tail_low": (0.7, 1.0001)}, {"tail_high": (1.2, 60.0)}])
def test_the_peak_is_normalised_with_its_derivatives(tails):
    peak = BMass(**PEAK, **tails)
    kinks = [PEAK["mean"] + k * PEAK["sigma"] for k in (-2, -1.5, -0.7, 0, 1.2, 2, 8)]
    whole = quad(lambda m: np.exp(peak.logarithm(np.array([m]), {})[0][0]), LOW, HIGH, points=kinks, epsabs=1e-11)[0]
    assert whole == pytest.approx(1.0, abs=1e-8)
    masses, at = np.array([5.171, 5.25, 5.2801, 5.3, 5.4, 5.69]), {MEAN: 5.283, SIGMA: 0.019}
    slopes = peak.logarithm(masses, at)[1]
    for path in (MEAN, SIGMA):
        found = _by_differences(lambda x: peak.logarithm(masses, {**at, path: x})[0], at[path], 1e-5)  # noqa: B023
        assert slopes[path] == pytest.approx(found, rel=1e-6, abs=1e-6)


def test_the_peak_is_scipys():
    masses, (alpha, n) = np.linspace(LOW, HIGH, 50), TAILS["tail_low"]
    one = crystalball(alpha, n, loc=PEAK["mean"], scale=PEAK["sigma"])
    exact = one.logpdf(masses) - np.log(one.cdf(HIGH) - one.cdf(LOW))
    found = BMass(**PEAK, tail_low=(alpha, n)).logarithm(masses, {})[0]
    assert found == pytest.approx(exact, rel=1e-10)
    mirror = {**PEAK, "low": 2 * PEAK["mean"] - HIGH, "high": 2 * PEAK["mean"] - LOW}
    other = BMass(**mirror, tail_high=(alpha, n)).logarithm(2 * PEAK["mean"] - masses, {})[0]
    assert other == pytest.approx(found, rel=1e-10)
    ends = [(end - PEAK["mean"]) / PEAK["sigma"] for end in (LOW, HIGH)]
    near = masses[masses < 5.6]
    exact = truncnorm(*ends, loc=PEAK["mean"], scale=PEAK["sigma"]).logpdf(near)
    assert BMass(**PEAK).logarithm(near, {})[0] == pytest.approx(exact, rel=1e-10)
    far, slopes = BMass(**{**PEAK, "sigma": 0.001}).logarithm(np.array([5.6]), {})
    assert (far[0], slopes[MEAN][0]) == (FLOOR, 0.0)


@pytest.mark.parametrize("slope", [0.0, 1e-4, 3.7e-3, -3.0, 20.0, -100.0])
def test_a_background_is_normalised_with_its_derivative(slope):
    peak, masses = BMass(**PEAK), np.array([5.18, 5.3, 5.69])
    whole = quad(lambda m: peak.background(np.array([m]), slope)[0][0], LOW, HIGH, epsabs=1e-11, limit=200)[0]
    assert whole == pytest.approx(1.0, abs=1e-8)
    found = _by_differences(lambda x: peak.background(masses, x)[0], slope, 1e-3)
    assert peak.background(masses, slope)[1] == pytest.approx(found, rel=1e-6, abs=1e-8)


def test_masses_are_drawn_of_their_distributions():
    """False alarms: 1e-6 for each."""
    peak, uniform, at = BMass(**PEAK, **TAILS), np.random.default_rng(1).random(20_000), {SIGMA: 0.02}
    grid = np.linspace(LOW, HIGH, 20_001)
    for values, found in (
        (np.exp(peak.logarithm(grid, at)[0]), peak.drawn(uniform, at)),
        (peak.background(grid, -3.0)[0], peak.background_drawn(uniform, -3.0)),
        (peak.background(grid, 6.0)[0], peak.background_drawn(uniform, 6.0)),
    ):
        below = np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * np.diff(grid))])
        assert kstest(found, lambda m: np.interp(m, grid, below)).pvalue > 1e-6  # noqa: B023
        assert kstest(found + 0.01, lambda m: np.interp(m, grid, below)).pvalue < 1e-6  # noqa: B023


def _by_hand(mass, mean, sigma):
    """The double-sided Crystal Ball function of `TAILS`, as its definition is written, without its norm."""
    t = (mass - mean) / sigma
    for side, (alpha, n) in ((-1, TAILS["tail_low"]), (1, TAILS["tail_high"])):
        if side * t > alpha:
            return (n / alpha) ** n * np.exp(-0.5 * alpha**2) * (n / alpha - alpha + side * t) ** -n
    return np.exp(-0.5 * t**2)


def test_the_likelihood_is_that_by_hand(sample):
    """The signal's density without a mass, and its rate, are those of the fit without one."""
    cost, plain = likelihood_of(sample, card()), likelihood_of(sample, card(**ALONE, b_mass=None))
    c9, fraction, slope, of_mass, mean, sigma = VALUES
    density, rate = plain.densities([c9])
    q2, mass = (np.concatenate([sample[name][sample["flavour"] == sign] for sign in (1, -1)])
                for name in ("q2", "m_b_reco"))  # fmt: skip
    kinks = [mean - 1.5 * sigma, mean, mean + 2 * sigma, mean + 8 * sigma]
    norm = quad(_by_hand, LOW, HIGH, args=(mean, sigma), points=kinks, epsabs=1e-13)[0]
    peak = np.array([_by_hand(m, mean, sigma) for m in mass]) / norm
    below = np.exp(slope * q2) / quad(lambda x: np.exp(slope * x), *RANGE)[0] / 2 / 2  # cos θ_l, and two flavours
    below *= np.exp(of_mass * mass) / quad(lambda x: np.exp(of_mass * x), LOW, HIGH)[0]
    by_hand = -2 * np.sum(np.log((1 - fraction) * peak * density / rate + fraction * below))
    assert cost(*VALUES) == pytest.approx(by_hand, rel=1e-10)
    assert cost(*VALUES[:-1], 0.018) != pytest.approx(by_hand, rel=1e-6)
    both, norms = cost.densities(VALUES)
    assert -2 * np.log(both / norms).sum() == pytest.approx(by_hand, rel=1e-10)
    alone, shift = likelihood_of(sample, card(**ALONE)), BMass(**PEAK, **TAILS).logarithm(mass, {})[0].sum()
    assert alone(c9) == pytest.approx(plain(c9) - 2 * shift, rel=1e-12)


def test_the_density_is_normalised(sample):
    """Sums over Gauss's nodes in q2, cos θ_l and mass, and both flavours."""
    kinks = [LOW, 5.2, *(VALUES[4] + k * VALUES[5] for k in (-1.5, 0, 2, 6)), 5.5, HIGH]
    axes = [_nodes(np.linspace(*RANGE, 9), 4), _nodes([-1, 1], 3), _nodes(kinks, 8)]
    grid = [one.ravel() for one in np.meshgrid(*(nodes for nodes, _ in axes), indexing="ij")]
    weights = np.einsum("i,j,k->ijk", *(weight for _, weight in axes)).ravel()
    q2, angle, mass = (np.tile(one, 2) for one in grid)
    columns = {"q2": q2, "cos_theta_l": angle, "m_b_reco": mass, "channel": np.full(len(q2), sample["channel"][0])}
    columns["flavour"] = np.repeat(np.array([1, -1], dtype=np.int8), len(weights))
    cost = likelihood_of(EventSample(columns, sample.provenance), card())
    density, norm = cost.densities(VALUES)
    assert np.tile(weights, 2) @ (density / norm) == pytest.approx(1.0, abs=1e-5)


def _nodes(edges, order):
    x, w = np.polynomial.legendre.leggauss(order)
    edges = np.asarray(edges)
    half = 0.5 * np.diff(edges)[:, None]
    return (edges[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()


@pytest.mark.parametrize("keys", [{}, {"resolution": {"sigma": 0.05}, "q2": [(1.5, 7.5)]}, {"backgrounds": {}}])
def test_the_gradient_is_that_of_differences(sample, keys):
    if "resolution" in keys:
        sample = EventSample({**sample.to_numpy(), "q2_reco": sample["q2"]}, sample.provenance)
    free = {path: ends for path, ends in ALL.items() if keys.get("backgrounds") is None or "backgrounds" not in path}
    cost = likelihood_of(sample, card(float=free, **keys))
    values = [value for value, path in zip(VALUES, ALL, strict=True) if path in free]
    gradient = cost.gradient(*values)
    assert -2 * cost.scores(values).sum(axis=0) == pytest.approx(gradient, rel=1e-8, abs=1e-6)
    for i, path in enumerate(free):
        size = 1e-5 if path in (MEAN, SIGMA) else 1e-3
        found = _by_differences(lambda x: cost(*values[:i], x, *values[i + 1 :]), values[i], size)  # noqa: B023
        assert gradient[i] == pytest.approx(found, rel=1e-6, abs=1e-6)


def test_the_yield_is_found_and_better_so(sample):
    """Pulls within 5.3: 1e-6 for six; a peak of the wrong width has a yield that is off by more."""
    truth = (0.0, BELOW / (SIGNAL + BELOW), TRUE_SLOPE, TRUE_MASS_SLOPE, PEAK["mean"], PEAK["sigma"])
    found = dp.fit(sample, card(b_mass=PEAK))
    assert found.converged, found.reason
    for row, value in zip(found, truth, strict=True):
        assert abs(row.value - value) < 5.3 * row.error
    without = dp.fit(sample, card(float=FLOAT, b_mass=None))
    assert found[1].error < 0.5 * without[1].error
    bent = dp.fit(sample, card(float={**FLOAT, OF_MASS: None}, b_mass={**PEAK, "sigma": 0.05}))
    assert abs(bent[1].value - truth[1]) > 5.3 * bent[1].error


def test_samples_like_it_are_drawn(sample):
    asked = card()
    cost = likelihood_of(sample, asked)
    drawn = draw_events(sample, asked, cost, VALUES, 1, seed=2)[0]
    assert len(drawn) == len(sample)
    found = dp.fit(drawn, asked, search=False)
    for row, value in zip(found, VALUES, strict=True):
        assert abs(row.value - value) < 5.3 * row.error


def test_events_of_a_detector_are_fitted():
    events = dp.generate("B+->K+mumu", "sm", events=1000, q2=[RANGE], seed=5, beam="lhcb-13tev", resolution="lhcb")
    free = {C9: (-3, 3), MEAN: None, SIGMA: None}
    with pytest.warns(RuntimeWarning, match="takes q2 of the decay"):
        found = dp.fit(events, card(float=free, backgrounds={}, b_mass={**PEAK, **TAILS, "low": 4.5, "high": 6.5}))
    assert found.converged, found.reason
    assert found[1].value == pytest.approx(np.median(events["m_b_reco"]), abs=0.003)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"b_mass": {**PEAK, "high": 5.1}}, "b_mass.high = 5.1 GeV: needs to be above low = 5.17"),
        ({"b_mass": {**PEAK, "high": 5700.0}}, "b_mass.high = 5700.0: should be less than 10"),
        ({"b_mass": {**PEAK, "mean": 5.8}}, "b_mass.mean = 5.8 GeV: needs to be in the window, 5.17 to 5.7"),
        ({"b_mass": {**PEAK, "sigma": 0}}, "b_mass.sigma.* greater than 0"),
        ({"b_mass": {**PEAK, "tail_low": (1.5, 0.9)}}, r"tail_low = \[1.5, 0.9\]: needs alpha above 0 and n above 1"),
        ({"b_mass": {**PEAK, "men": 1}}, "did you mean mean"),
        ({"b_mass": {"low": 5.1}}, "b_mass.sigma: this key is needed"),
        ({"float": {**ALL, MEAN: (5, 5.3)}}, "needs to be in the window"),
        ({"float": {**ALL, SIGMA: (-1, 0.3)}}, "float.b_mass.sigma = .* needs a width above 0"),
        ({"float": {**ALL, "b_mass.tail_low": (1, 2)}}, "did you mean b_mass.mean"),
        ({"b_mass": None, "float": FLOAT, "backgrounds": {"comb": {"b_mass_slope": 1}}}, "needs a b_mass in the card"),
        ({"b_mass": None}, "float.b_mass.mean: none is in the card"),
        ({"b_mass": {**PEAK, "low": 5.2}}, r"row \d+: m_b_reco = 5.1\d* GeV: outside 5.2 to 5.7 .* events are so"),
    ],
)
def test_what_cannot_be_is_one_line(sample, keys, words):
    with pytest.raises(InputError, match=words) as caught:
        dp.fit(sample, card(**keys))
    assert "\n" not in str(caught.value)


def test_events_without_the_mass_are_named(sample):
    columns = {name: column for name, column in sample.to_numpy().items() if name != "m_b_reco"}
    with pytest.raises(InputError, match="have no m_b_reco; make them with a beam and a resolution"):
        dp.fit(EventSample(columns, sample.provenance), card())
    broken = {**sample.to_numpy(), "m_b_reco": np.full(len(sample), np.nan)}
    with pytest.raises(InputError, match="row 0: m_b_reco = nan GeV"):
        dp.fit(EventSample(broken, sample.provenance), card())
