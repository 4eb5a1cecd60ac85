"""Backgrounds in unbinned fits: densities by scipy, gradients by differences, fractions and slopes found in events."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.fits.backgrounds import Background, component, rest_of
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.fit import likelihood_of
from darkpenguin.generator.lab.efficiency_files import read_map
from scipy.integrate import quad

RANGE = (1.1, 8.0)
C9, FRACTION, SLOPE = "heavy.C9_mu", "backgrounds.comb.fraction", "backgrounds.comb.slope"
FLOAT = {C9: (-3, 3), FRACTION: None, SLOPE: None}
SIGNAL, BELOW, TRUE_SLOPE = 3000, 1500, -0.25


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "uneven.toml"
    axes = '[["q2", 0.0, 20.0], ["cos_theta_l", -1.0, 1.0]]'
    path.write_text(f'kind = "legendre"\naxes = {axes}\nterms = [[0, 0, 0.5], [1, 0, -0.4], [0, 2, -0.1]]\n')
    return str(path)


@pytest.fixture(scope="module")
def sample(uneven):
    """Signal behind an efficiency, and a third of the events drawn from exp(slope q2), flat in all else."""
    found = dp.generate(
        "B+->K+mumu", "sm", events=8000, q2=[RANGE], seed=5, efficiency={"maps": uneven, "mode": "reject"}
    )
    columns, rng = {name: column[:SIGNAL] for name, column in found.to_numpy().items()}, np.random.default_rng(3)
    low, high = (np.exp(TRUE_SLOPE * edge) for edge in RANGE)
    more = {name: column[:BELOW].copy() for name, column in columns.items()}
    more["q2"] = np.log(low + rng.random(BELOW) * (high - low)) / TRUE_SLOPE
    more["cos_theta_l"] = rng.uniform(-1, 1, BELOW)
    more["flavour"] = rng.choice(np.array([-1, 1], dtype=columns["flavour"].dtype), BELOW)
    both = {name: np.concatenate([columns[name], more[name]]) for name in columns}
    return type(found)(both, found.provenance)


def card(**keys):
    return FitCard.make(**{"model": "sm", "float": FLOAT, "backgrounds": {"comb": {}}, **keys})


def test_shapes_are_normalised():
    table = ((0.0, 0.0), (2.0, 1.0), (5.0, 4.0), (7.0, 1.0))
    for shape, slope in (("flat", 0.0), ("flat", -0.7), (table, 0.4)):
        one = component("x", Background(shape=shape), [(1.1, 4.0), (5.5, 8.0)])
        pieces = [(1.1, 2.0), (2.0, 4.0), (5.5, 7.0), (7.0, 8.0)]
        exact = [quad(lambda q2: float(one.shape(np.array([q2]), slope)[0][0]), *piece)[0] for piece in pieces]  # noqa: B023
        assert sum(exact) == pytest.approx(1.0, abs=1e-9)
        assert one.shares(pieces, slope) == pytest.approx(exact, abs=1e-9)
        q2 = np.array([1.5, 3.0, 6.0])
        ends = [one.shape(q2, slope + step)[0] for step in (1e-5, -1e-5)]
        assert one.shape(q2, slope)[1] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_the_likelihood_is_that_by_hand(sample, uneven):
    """The signal's own likelihood has its densities and rate; the efficiency at events comes from the map itself."""
    cost, alone = likelihood_of(sample, card()), likelihood_of(sample, card(float={C9: (-3, 3)}, backgrounds={}))
    efficiency, c9, fraction, slope = read_map(uneven), 0.4, 0.25, -0.1
    density, rate = alone.densities([c9])
    columns = {name: np.concatenate([sample[name][sample["flavour"] == sign] for sign in (1, -1)])
               for name in ("q2", "cos_theta_l")}  # fmt: skip
    seen = efficiency.evaluate(columns, dp.get_channel("B+->K+mumu"))
    norm = quad(lambda q2: np.exp(slope * q2), *RANGE)[0]
    below = np.exp(slope * columns["q2"]) / norm / 2 / 2  # cos θ_l, and two flavours
    by_hand = -2 * np.sum(np.log((1 - fraction) * seen * density / rate + fraction * below))
    assert cost(c9, fraction, slope) == pytest.approx(by_hand, rel=1e-12)
    forgotten = -2 * np.sum(np.log((1 - fraction) * density / rate + fraction * below))
    assert cost(c9, fraction, slope) != pytest.approx(forgotten, rel=1e-6)
    both, norms = cost.densities([c9, fraction, slope])
    assert -2 * np.log(both / norms).sum() == pytest.approx(by_hand, rel=1e-12)


def test_the_gradient_is_that_of_differences(sample):
    cost, values = likelihood_of(sample, card()), (0.4, 0.25, -0.1)
    gradient = cost.gradient(*values)
    assert -2 * cost.scores(values).sum(axis=0) == pytest.approx(gradient, rel=1e-8)
    for i in range(3):
        ends = [cost(*(x + k * 1e-3 * (j == i) for j, x in enumerate(values))) for k in (2, 1, -1, -2)]
        assert gradient[i] == pytest.approx(
            (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / 12e-3, rel=1e-6, abs=1e-6
        )


def test_a_fraction_and_a_slope_are_found(sample):
    """Pulls within 5.2: 1e-6 for three; with a wrong slope they are not."""
    found = dp.fit(sample, card())
    assert found.converged, found.reason
    for row, truth in zip(found, (0.0, BELOW / (SIGNAL + BELOW), TRUE_SLOPE), strict=True):
        assert abs(row.value - truth) < 5.2 * row.error
    assert found[1].error < 0.05
    assert found.goodness[0].p_value > 1e-6
    assert len(dp.figure(found).axes) == 2
    bent = dp.fit(sample, card(float={C9: (-3, 3), FRACTION: None}, backgrounds={"comb": {"slope": 1.0}}))
    assert abs(bent[1].value - BELOW / (SIGNAL + BELOW)) > 5.2 * bent[1].error


@pytest.mark.parametrize(("q2", "top"), [(4.0, 0.996), (19.0, 5.28 - np.sqrt(19.0))])
def test_a_background_is_flat_in_the_mass_that_is_allowed(q2, top):
    columns = {"q2": np.full(3, q2), "m_kpi": np.array([0.8, 0.85, 0.9])}
    found = rest_of(columns, dp.get_channel("B0->K*0mumu"), 2, (0.796, 0.996, 5.28))
    assert found * (top - 0.796) * 8 * np.pi * 2 == pytest.approx(np.ones(3), rel=1e-12)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"backgrounds": {}}, "none is in the card"),
        ({"float": {**FLOAT, "backgrounds.comb.slop": (0, 1)}}, "did you mean"),
        ({"float": {FRACTION: (0, 1.5)}}, "0 or more and below 1"),
        ({"rates": "common"}, "leave out rates = common"),
        ({"b_mesons": 1e9}, "leave out rates = common"),
        ({"backgrounds": {"comb": {"fraction": 0.6}, "more": {"fraction": 0.5}}}, "1 or more together"),
        ({"backgrounds": {"comb": {"shape": "round"}}}, "flat, or a table"),
        ({"backgrounds": {"comb": {"shape": [[9, 0], [12, 1]]}}}, "nothing of it"),
    ],
)
def test_what_cannot_be_is_one_line(sample, keys, words):
    with pytest.raises(InputError, match=words):
        dp.fit(sample, **{"model": "sm", "float": FLOAT, "backgrounds": {"comb": {}}, **keys})
