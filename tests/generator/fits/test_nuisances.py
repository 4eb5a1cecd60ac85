"""Form factors and charm that float: densities of flavio's own parameters, gradients, flavio's covariance, errors."""

import json

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError, get_channel
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.fit import likelihood_of, minimised
from darkpenguin.generator.fits.nuisances import PREFIX, SPLIT
from darkpenguin.generator.fits.rates import by_nodes, cells_of, nodes_of, parabolas, rate_by_rows, rate_of
from darkpenguin.physics.angular import breakpoints, decay_rate, event_density, quadrature
from darkpenguin.physics.densities import DENSITIES
from iminuit import Minuit
from typer.testing import CliRunner

RANGE = (2.0, 3.5)  # there are a fifth of the nodes of 1.1 to 8 GeV^2
C9 = "heavy.C9_mu"
FLOAT = {"light_vectors.0.g_bs": (-6e-8, 6e-8), C9: (-3.0, 3.0)}
BOTH = ("form_factors", "charm")


@pytest.fixture(scope="module")
def sample():
    return dp.generate(["B0->K*0mumu", "B+->K+mumu"], "fig2", events=400, seed=4, q2=[RANGE])


@pytest.fixture(scope="module")
def few():
    return dp.generate("B+->K+mumu", "sm", events=400, seed=5, q2=[RANGE])


@pytest.fixture(scope="module")
def pairs():
    return dp.generate("B0->K*0mumu", "sm", events=800, seed=5, q2=[RANGE], flavour="b")


def values_of(cost, seed=1):
    """Values of couplings, and nuisances of about one error."""
    number = len(cost.names) - 2
    return [-1.2e-8, 0.3, *np.random.default_rng(seed).normal(size=number)]


@pytest.mark.parametrize("name", [pytest.param("B0->K*0mumu", marks=pytest.mark.slow), "B+->K+mumu"])
def test_densities_are_those_of_flavios_parameters(sample, name):
    """Not those of an expansion: flavio itself is asked for amplitudes with the parameters of this place."""
    columns, channel = sample.only(name, 1), get_channel(name)
    one = type(sample)(columns.columns, dp.generate(name, "fig2", events=10, q2=[RANGE], flavour="b").provenance)
    cost = likelihood_of(one, FitCard.make(model="fig2", float=FLOAT, nuisances=BOTH))
    values, kind = values_of(cost), DENSITIES["vector" if channel.spin else "scalar"]
    model = cost.model(values)
    assert len(model.theory.parameters) == len(cost.names) - 2
    f = kind.basis(*(columns[angle] for angle in kind.angles))
    nodes, weights = quadrature(breakpoints(channel, model), *RANGE)
    rate = float(decay_rate(event_density(channel, model, nodes, 1)) @ weights)
    exact = kind.norm * np.sum(event_density(channel, model, columns["q2"], 1) * f, axis=0)
    densities, norms = cost.densities(values)
    assert norms[0] == pytest.approx(rate, rel=1e-7)
    assert densities == pytest.approx(exact, rel=2e-6)
    ends = [np.divide(*cost.densities([*values[:2], *(size * x for x in values[2:])])) for size in (0.0, 0.01, -0.01)]
    straight = ends[0] + (ends[1] - ends[2]) / 0.02
    assert np.max(np.abs(straight * rate / exact - 1.0)) > 2e-5  # an expansion to first order is not as good


@pytest.mark.parametrize("how", [{"rates": "common"}, {"b_mesons": 3e9}])
def test_the_gradient_is_that_of_differences(sample, how):
    cost = likelihood_of(sample, FitCard.make(model="fig2", float=FLOAT, nuisances=BOTH, **how))
    values = values_of(cost)
    gradient = cost.gradient(*values)
    for i in [0, 1, *range(2, len(values), 11)]:
        step = 1e-4 * (cost.free[i].high - cost.free[i].low)
        ends = [cost(*(x + k * step * (j == i) for j, x in enumerate(values))) for k in (2, 1, -1, -2)]
        slope = (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-5 / (cost.free[i].high - cost.free[i].low))


def test_the_gradient_with_backgrounds_behind_an_efficiency(few, tmp_path):
    path = tmp_path / "uneven.toml"
    axes = '[["q2", 0.0, 20.0], ["cos_theta_l", -1.0, 1.0]]'
    path.write_text(f'kind = "legendre"\naxes = {axes}\nterms = [[0, 0, 0.5], [1, 0, -0.4], [0, 2, -0.1]]\n')
    names = {C9: (-3.0, 3.0), "backgrounds.x.fraction": None}
    card = FitCard.make(model="sm", float=names, backgrounds={"x": {}}, efficiency=str(path), nuisances="form_factors")
    cost = likelihood_of(few, card)
    values = [0.4, 0.2, *np.random.default_rng(2).normal(size=len(cost.names) - 2)]
    gradient = cost.gradient(*values)
    for i in range(len(values)):
        step = 1e-4 * (cost.free[i].high - cost.free[i].low)
        ends = [cost(*(x + k * step * (j == i) for j, x in enumerate(values))) for k in (2, 1, -1, -2)]
        slope = (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_at_zero_it_is_the_likelihood_without(sample):
    plain = likelihood_of(sample, FitCard.make(model="fig2", float=FLOAT))
    cost = likelihood_of(sample, FitCard.make(model="fig2", float=FLOAT, nuisances=BOTH))
    assert cost(-1.2e-8, 0.3, *np.zeros(len(cost.names) - 2)) == pytest.approx(plain(-1.2e-8, 0.3), abs=1e-4)
    assert cost.parts[0].amplitude.split == SPLIT


def test_without_power_what_is_known_is_what_flavio_knows(few):
    """Two events: values, errors and correlations are those of flavio; a constraint of half the size would show."""
    two = few.select(np.arange(len(few)) < 2)
    card = FitCard.make(model="sm", float={C9: (-3.0, 3.0)}, constrain={C9: (0.0, 1e-3)}, nuisances=BOTH)
    cost = likelihood_of(two, card)
    known, found = cost.nuisances, minimised(cost)
    assert found.converged
    errors, before = (np.sqrt(np.diagonal(one)) for one in (found.nuisances.covariance, known.covariance))
    assert errors == pytest.approx(before, rel=0.01)
    correlations = found.nuisances.covariance / np.outer(errors, errors)
    assert correlations == pytest.approx(known.covariance / np.outer(before, before), abs=0.02)
    assert [row.value for row in found.nuisances] == pytest.approx([row.central for row in found.nuisances], abs=0.2)
    assert [row.error for row in found.nuisances] == pytest.approx(errors)


def test_errors_grow_as_fishers_information_says(pairs):
    """And no further: the information of the events and that of the constraints add."""
    alone = minimised(likelihood_of(pairs, FitCard.make(model="sm", float={C9: (-4.0, 4.0)})))
    cost = likelihood_of(pairs, FitCard.make(model="sm", float={C9: (-4.0, 4.0)}, nuisances=BOTH))
    found = minimised(cost)
    assert found.converged
    assert found[0].error > 1.2 * alone[0].error
    scores = cost.scores(found.values)
    known = np.diag([0.0, *np.ones(len(cost.names) - 1)])
    error = np.sqrt(np.linalg.inv(scores.T @ scores + known)[0, 0])
    assert found[0].error == pytest.approx(error, rel=0.15)  # 800 events: their squares scatter
    assert -2 * scores[:, 0].sum() == pytest.approx(cost.gradient(*found.values)[0], abs=1e-6)


@pytest.mark.parametrize("backgrounds", [{}, {"x": {}}])
def test_a_weighted_sum_of_scores_needs_no_differences(few, backgrounds):
    cost = likelihood_of(few, FitCard.make(model="fig2", float=FLOAT, nuisances=BOTH, backgrounds=backgrounds))
    values, weights = values_of(cost), np.random.default_rng(1).normal(size=len(few))
    exact, size = weights @ cost.scores(values), np.sum(np.abs(cost.scores(values)))
    assert cost.weighted(values, weights) == pytest.approx(exact, rel=1e-6, abs=1e-12 * size)


def test_the_covariance_is_that_of_hesse():
    events = dp.generate("B+->K+mumu", "fig2", events=800, seed=5, q2=[RANGE], flavour="b")
    names = {"light_vectors.0.g_bs": FLOAT["light_vectors.0.g_bs"]}
    cost = likelihood_of(events, FitCard.make(model="fig2", float=names, nuisances="form_factors"))
    found = minimised(cost)
    errors = np.sqrt(np.diagonal(found.covariance))
    other = Minuit(cost, *found.values, grad=cost.gradient, name=cost.names)
    other.errors = errors.tolist()
    other.hesse()
    assert np.array(other.covariance) / np.outer(errors, errors) == pytest.approx(found.correlation, abs=1e-3)


def test_rates_are_linear_in_their_rows():
    """Derivatives by rows and by values at nodes, against differences."""
    from darkpenguin.generator.fits.amplitude import Point

    rng = np.random.default_rng(3)
    point = Point(
        rng.normal(size=2) + 1j * rng.normal(size=2),
        rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)),
        np.array([1.4 - 0.01j, 2.2 - 0.3j]),
    )
    edges, nodes = nodes_of(np.array([1.7]), [(1.0, 2.0)], 2)
    values = rng.normal(size=(len(nodes), 1, 4))
    cells = parabolas(edges, values, 2)
    slopes = by_nodes(rate_by_rows(cells, point), 2)
    change = rng.normal(size=values.shape)
    there = rate_of(parabolas(edges, values + change, 2), point)[0]
    assert np.sum(slopes * change[:, 0]) == pytest.approx(there - rate_of(cells, point)[0], rel=1e-10)
    assert cells_of(lambda q2: q2[:, None, None], np.array([]), [(1.0, 2.0)]).edges.shape == (12, 2)


def test_bad_input(few, sample):
    wide = dp.generate("B0->K*0mumu", "sm", events=20, seed=1, q2=[RANGE], kpi="pwave")
    with pytest.raises(InputError, match=r"nuisances: .* without a K pi mass"):
        likelihood_of(wide, FitCard.make(model="sm", float={C9: (-4, 4)}, nuisances=BOTH))
    with pytest.raises(InputError, match=r"theory.draw = 3: nuisances move about the central values"):
        likelihood_of(few, FitCard.make(model="sm", theory={"draw": 3}, float={C9: (-4, 4)}, nuisances="charm"))
    with pytest.raises(InputError, match="nuisances"):
        FitCard.make(model="sm", float={C9: (-4, 4)}, nuisances="form-factors")


def test_the_command_floats_them(tmp_path):
    file = tmp_path / "x.root"
    dp.generate("B+->K+mumu", "sm", events=200, seed=5, q2=[RANGE]).write(str(file))
    out = tmp_path / "f.json"
    result = CliRunner().invoke(
        app, ["fit", str(file), "--model", "sm", "--float", f"{C9},-4,4", "--nuisances", "form_factors", "-o", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "8 of flavio's parameters floated" in result.output
    told = json.loads(out.read_text())
    assert len(told["nuisances"]["rows"]) == 8
    assert told["rows"][1]["name"] == f"{PREFIX}form_factors.1"
