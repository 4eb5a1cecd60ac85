"""The likelihood of events: by hand, by iminuit's own, its gradient, what is normalised together."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import as_model, get_channel
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.fit import likelihood_of, minimised
from darkpenguin.physics.angular import breakpoints, decay_rate, event_density, quadrature
from darkpenguin.physics.densities import DENSITIES
from darkpenguin.physics.rates import branching_ratio
from iminuit import Minuit
from iminuit.cost import UnbinnedNLL

RANGE = (1.1, 8.0)
FLOAT = {
    "light_vectors.0.mass": (1.1, 2.8),
    "light_vectors.0.relative_width": (0.01, 1.0),
    "light_vectors.0.g_bs": (-6e-8, 6e-8),
    "heavy.C9_mu": (-3.0, 3.0),
}
VALUES = (2.4, 0.15, -1.2e-8, 0.3)


@pytest.fixture(scope="module")
def sample():
    return dp.generate(["B0->K*0mumu", "B+->K+mumu"], "fig2", events=1500, seed=11, q2=[RANGE])


@pytest.fixture(scope="module")
def cost(sample):
    return likelihood_of(sample, FitCard.make(model="fig2", float=FLOAT))


def log_density(sample, name, model):
    """Sum of ln of densities of a channel's events, and its rate in both flavours, without anything of `fits`."""
    channel, columns = get_channel(name), sample.only(name)
    kind = DENSITIES["vector" if channel.spin else "scalar"]
    f = kind.basis(*(columns[angle] for angle in kind.angles))
    nodes, weights = quadrature(breakpoints(channel, model), *RANGE)
    total, rate = 0.0, 0.0
    for flavour in (1, -1):
        chosen = columns["flavour"] == flavour
        j = event_density(channel, model, columns["q2"][chosen], flavour)
        total += np.log(kind.norm * np.sum(j * f[:, chosen], axis=0)).sum()
        rate += float(decay_rate(event_density(channel, model, nodes, flavour)) @ weights)
    return total, rate


def test_the_likelihood_is_that_by_hand(sample, cost):
    for values in (VALUES, (1.7, 0.01, 2e-8, -1.0)):
        model, expected = cost.model(values), 0.0
        for name in ("B0->K*0mumu", "B+->K+mumu"):
            total, rate = log_density(sample, name, model)
            expected += -2 * total + 2 * 1500 * np.log(rate)
        assert cost(*values) == pytest.approx(expected, abs=2e-4)  # parabolas are good to 2e-8 an event


def test_rates_in_common_have_the_ratio_in_them(sample):
    card = FitCard.make(model="fig2", float=FLOAT, rates="common")
    common = likelihood_of(sample, card)
    model = common.model(VALUES)
    (a, rate_a), (b, rate_b) = (log_density(sample, name, model) for name in ("B0->K*0mumu", "B+->K+mumu"))
    assert common(*VALUES) == pytest.approx(-2 * (a + b) + 2 * 3000 * np.log(rate_a + rate_b), abs=2e-4)


@pytest.mark.parametrize("theory", [None, {"nonlocal": "resonances"}])
def test_the_gradient_is_that_of_differences(sample, theory):
    names = dict(FLOAT)
    values = list(VALUES)
    if theory:
        names["theory.resonances.J/psi.phase"] = (-3.1, 3.1)
        values.append(-1.2)
    cost = likelihood_of(
        sample, FitCard.make(model="fig2", theory=theory, float=names, constrain={"heavy.C9_mu": (0, 0.5)})
    )
    gradient = cost.gradient(*values)
    for i, (low, high) in enumerate(names.values()):
        step = 1e-4 * (high - low)
        ends = [cost(*(x + k * step * (j == i) for j, x in enumerate(values))) for k in (2, 1, -1, -2)]
        slope = (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-5 / (high - low))


def test_the_likelihood_is_that_of_iminuit(sample):
    """One channel, its density as a function for iminuit, whose normalisation is by quadrature."""
    one = sample.only("B+->K+mumu", 1)
    columns = np.stack([one["q2"], one["cos_theta_l"]])
    channel, kind = get_channel("B+->K+mumu"), DENSITIES["scalar"]
    base = as_model("fig2")
    nodes, weights = quadrature(breakpoints(channel, base), *RANGE, order=24)

    def density(x, g_bs, c9):
        model = as_model(base, [f"light_vectors.0.g_bs={g_bs!r}", f"heavy.C9_mu={c9!r}"])
        rate = float(decay_rate(event_density(channel, model, nodes, 1)) @ weights)
        return kind.norm * np.sum(event_density(channel, model, x[0], 1) * kind.basis(x[1]), axis=0) / rate

    other = UnbinnedNLL(columns, density)
    names = {key: FLOAT[key] for key in ("light_vectors.0.g_bs", "heavy.C9_mu")}
    only = dp.generate("B+->K+mumu", "fig2", events=1500, seed=11, q2=[RANGE], flavour="b")
    cost = likelihood_of(type(only)(one.columns, only.provenance), FitCard.make(model="fig2", float=names))
    places = [(-1.5e-8, 0.0), (1e-8, -1.0), (-3e-8, 0.7)]
    ours = [cost(*place) for place in places]
    theirs = [other(*place) for place in places]
    assert np.diff(ours) == pytest.approx(np.diff(theirs), abs=1e-4)


def test_densities_are_those_of_the_likelihood(cost):
    densities, rates = cost.densities(VALUES)
    assert -2.0 * np.log(densities / rates).sum() == pytest.approx(cost(*VALUES), rel=1e-12)


def test_the_shapes_of_another_likelihood_are_taken(sample, cost):
    card = FitCard.make(model="fig2", float=FLOAT)
    again = likelihood_of(sample.select(sample["event"] % 2 == 0), card, like=cost)
    assert again.parts[0].rate is cost.parts[0].rate
    assert again(*VALUES) == likelihood_of(sample.select(sample["event"] % 2 == 0), card)(*VALUES)


def test_scores_are_the_gradient_and_fishers_information(cost):
    scores = cost.scores(VALUES)
    assert -2 * scores.sum(axis=0) == pytest.approx(cost.gradient(*VALUES), rel=1e-9)


def test_errors_are_those_of_minuit_at_its_most_careful(sample, cost):
    """To its 1.5 %: second derivatives at the minimum, mass, width and coupling of V correlated by up to 0.97.

    They are those of finer differences to 1e-4. Minuit's quick ones are not: pulls with them are a seventh too wide.
    """
    fit, names = minimised(cost, search=False), cost.names
    assert fit.converged
    errors = {}
    for strategy in (0, 2):
        minuit = Minuit(cost, *fit.values, grad=cost.gradient, name=names)
        minuit.strategy = strategy
        for free in cost.free:
            minuit.limits[free.path] = (free.low, free.high)
        minuit.migrad()
        minuit.hesse()
        errors[strategy] = np.array(minuit.errors)
    ours = np.array([row.error for row in fit])
    assert ours == pytest.approx(errors[2], rel=1.5e-2)
    assert np.max(np.abs(ours / errors[0] - 1)) > 3e-2
    slopes = [
        [np.array(cost.gradient(*(fit.values + sign * step))) for sign in (1, -1)] for step in np.diag(3e-3 * ours)
    ]
    curvature = np.array([(a - b) / (6e-3 * error) for (a, b), error in zip(slopes, ours, strict=True)])
    assert ours == pytest.approx(np.sqrt(np.diag(np.linalg.inv(0.25 * (curvature + curvature.T)))), rel=1e-4)


def test_results_do_not_depend_on_threads(sample, cost):
    one = likelihood_of(sample, FitCard.make(model="fig2", float=FLOAT), threads=1)
    assert one(*VALUES) == cost(*VALUES)
    assert np.array_equal(one.gradient(*VALUES), cost.gradient(*VALUES))


def test_branching_fractions_follow(cost):
    """The rate that normalises, in the mean of both flavours, is the one of `branching_ratio`."""
    model, rates = cost.model(VALUES), []
    for part in cost.parts:
        if part.channel == "B+->K+mumu":
            rates.append(part.rate.value(part.amplitude.point(model))[0])
    exact = branching_ratio(get_channel("B+->K+mumu"), model, RANGE)
    assert np.mean(rates) * model.parameters["tau_B+"] == pytest.approx(exact, rel=1e-8, abs=0)
