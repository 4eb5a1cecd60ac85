"""Limits from unbinned fits: Asimov's data by quadrature, verdicts on both sides of the edge, intervals, refusals."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError, as_model, get_channel
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.fits import limits
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.fit import likelihood_of
from darkpenguin.generator.fits.limits import fit_limits
from darkpenguin.generator.statistics.hypotheses import cls_asymptotic
from darkpenguin.physics.angular import breakpoints, decay_rate, event_density, quadrature
from darkpenguin.physics.densities import DENSITIES
from scipy.optimize import minimize
from typer.testing import CliRunner

RANGE, EVENTS = (1.1, 8.0), 400
COUPLING, MASS = "light_vectors.0.g_bs", "light_vectors.0.mass"
CARD = {"model": "fig2", "float": {COUPLING: (-6e-8, 6e-8)}}


@pytest.fixture(scope="module")
def sample():
    return dp.generate("B+->K+mumu", "sm", events=EVENTS, q2=[RANGE], seed=4)


@pytest.fixture(scope="module")
def found(sample):
    return fit_limits(sample, CARD, COUPLING)[0]


def density(g):
    """Density of B+ -> K+ mu mu over q2 and the angle of the lepton at the nodes of a quadrature, of both flavours."""
    channel, model, kind = get_channel("B+->K+mumu"), as_model("fig2", [f"{COUPLING}={g!r}"]), DENSITIES["scalar"]
    nodes, weights = quadrature(breakpoints(channel, model), *RANGE, order=24)
    x, w = np.polynomial.legendre.leggauss(24)
    shapes, rate = [], 0.0
    for flavour in (1, -1):
        j = event_density(channel, model, nodes, flavour)
        rate += float(decay_rate(j) @ weights)
        shapes.append(np.einsum("iq,ix->qx", j, kind.basis(x)) * kind.norm)
    return np.array(shapes) / rate, weights[:, None] * w


def mean_deviance(g):
    """That of data without the coupling, by quadrature: no event is drawn."""
    (null, weights), (other, _) = density(0.0), density(g)
    assert np.sum(null * weights) == pytest.approx(1.0, abs=1e-6)
    return 2.0 * EVENTS * float(np.sum(null * weights * np.log(null / other)))


def test_asimovs_data_are_a_quadrature(sample):
    """9,000 events say it to 1.5 %: 4.9 times that, 1e-6. A coupling a tenth larger is told apart."""
    cost = likelihood_of(sample, FitCard.make(CARD))
    asimov = limits._Place(sample, FitCard.make(CARD), cost, COUPLING, {}, 1).asimov
    for g in (4e-9, -7e-9, 2e-8):
        exact = mean_deviance(g)
        assert asimov(g) == pytest.approx(exact, rel=0.073)
        step = 1e-4 * abs(g)
        slope = (asimov(g + step) - asimov(g - step)) / (2.0 * step)
        assert asimov.gradient(g)[0] == pytest.approx(slope, rel=1e-5)
        assert abs(asimov(1.1 * g) / exact - 1.0) > 0.073


def test_verdicts_on_both_sides_of_the_edge(sample, found):
    """CL_s with the quadrature: 8 % of a coupling are five of the errors of Asimov's data."""
    cost = likelihood_of(sample, FitCard.make(CARD))
    lowest = min(cost(g) for g in np.linspace(-2e-8, 2e-8, 401))
    for end, sign in ((found.upper, 1.0), (found.lower, -1.0)):
        own = min(cost(sign * g) for g in np.linspace(0.0, 2e-8, 401))
        assert own >= lowest
        for share, allowed in ((0.92, True), (1.08, False)):
            cls = cls_asymptotic(cost(share * end) - own, mean_deviance(share * end))[2]
            assert (cls > 0.05) == allowed


def test_limits_do_not_depend_on_the_steps(sample, found, monkeypatch):
    monkeypatch.setattr(limits, "STEP", 0.8)
    again = fit_limits(sample, CARD, COUPLING)[0]
    assert again.upper == pytest.approx(found.upper, rel=1e-4)
    assert again.lower == pytest.approx(found.lower, rel=1e-4)
    assert found.band_lower[2] < 0 < found.band_upper[2]
    assert found.times == as_model("fig2").light_vectors[0].g_mu_v


@pytest.mark.slow
def test_what_is_profiled_widens_and_a_mass_is_a_place(sample, found):
    """C9 takes the place of part of V; a mass that floats means nothing without it."""
    free = {"model": "fig2", "float": {COUPLING: (-1.2e-8, 1.2e-8), "heavy.C9_mu": (-1.5, 1.5)}}
    wide = fit_limits(sample, free, COUPLING, versus=[f"{MASS},2.5,2.6,1"])
    assert wide[0].at == {MASS: 2.5}
    assert wide[0].upper - wide[0].lower > 0.99 * (found.upper - found.lower)
    assert len(dp.figure(wide).axes) == 1


@pytest.mark.slow
def test_charm_that_floats_widens_a_limit(monkeypatch):
    monkeypatch.setattr(limits, "ASIMOV", 300)
    sample = dp.generate("B+->K+mumu", "sm", events=200, seed=4, q2=[(4.5, 7.5)])
    card = {"model": "fig2", "float": {COUPLING: (0.0, 5e-8)}}
    alone, wide = (fit_limits(sample, card, COUPLING, nuisances=names)[0] for names in ((), "charm"))
    assert 1.001 * alone.upper < wide.upper < 1.5 * alone.upper
    assert alone.band_upper[2] < wide.band_upper[2]


@pytest.mark.slow
def test_limits_with_a_background_and_an_s_wave_that_float(monkeypatch):
    """-2 ln L at the limits, all else followed by SciPy: its rise is that of 95 % at least, and of 99.9 % at most.

    CL_s of 5 % is 1 - Φ(√q) = 0.05 CL_b with CL_b below one: q > 2.706, and q < 9.6 unless CL_b is below 2 %. Limits of
    half the size would not pass.
    """
    monkeypatch.setattr(limits, "ASIMOV", 1000)
    signal = dp.generate("B0->K*0mumu", "sm", events=300, q2=[RANGE], seed=4, kpi="swave")
    columns, rng = signal.to_numpy(), np.random.default_rng(3)
    more = {name: column[:100].copy() for name, column in columns.items()}
    more |= {"q2": rng.uniform(*RANGE, 100), "m_kpi": rng.uniform(0.796, 0.996, 100), "phi": rng.uniform(-3, 3, 100)}
    more |= {name: rng.uniform(-1, 1, 100) for name in ("cos_theta_k", "cos_theta_l")}
    both = type(signal)({name: np.concatenate([columns[name], more[name]]) for name in columns}, signal.provenance)
    free = {COUPLING: (-3e-8, 3e-8), "kpi.fraction": None, "backgrounds.comb.fraction": None}
    card = {"model": "fig2", "float": free, "backgrounds": {"comb": {}}}
    found = fit_limits(both, card, COUPLING)[0]
    cost = likelihood_of(both, FitCard.make(card))

    def lowest(g):
        ranges = [(one.low, one.high) for one in cost.free[1:]]
        how = {"jac": lambda x: cost.gradient(g, *x)[1:], "bounds": ranges, "method": "L-BFGS-B"}
        return float(minimize(lambda x: cost(g, *x), (0.1, 0.25), **how).fun)

    for end in (found.upper, found.lower):
        own = min(lowest(share * end) for share in (0.0, 0.1, 0.2, 0.3, 0.4))
        assert 2.706 < lowest(end) - own < 9.6
        assert lowest(0.5 * end) - own < 2.706


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"level": 1.0}, "level"),
        ({"coupling": "heavy.C9_mu"}, "does not float"),
        ({"float": {COUPLING: (1e-9, 6e-8)}}, "holds zero"),
        ({"float": {COUPLING: (-6e-8, 6e-8), MASS: (1.5, 2.5)}}, "means nothing without"),
        ({"versus": [f"{MASS},1.5,2.5"]}, "KEY,MIN,MAX,POINTS"),
        ({"versus": [f"{MASS},2,2.5,2"] * 2}, "each once"),
        ({"rates": "common"}, "rates = free"),
        ({"feldman_cousins": True, "toys": 5}, "at least 10"),
    ],
)
def test_what_cannot_be_limited_is_one_line(sample, keys, words):
    how = {"coupling": COUPLING, **keys}
    with pytest.raises(InputError, match=words):
        fit_limits(sample, CARD, **how)


def test_the_command_prints_limits(sample, tmp_path):
    path = str(tmp_path / "x.root")
    sample.write(path)
    free = ["--model", "fig2", "--float", f"{COUPLING},-6e-8,6e-8"]
    words = ["fit", path, *free, "--limit", COUPLING, "--versus", f"{MASS},2.5,2.6,1"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "a.csv"), "--figure", str(tmp_path / "a.png")])
    assert done.exit_code == 0, done.output
    assert "CL_s limits on light_vectors.0.g_bs" in done.output
    assert (tmp_path / "a.png").exists()
    assert "band_lower" in (tmp_path / "a.csv").read_text()
    wrong = CliRunner().invoke(app, ["fit", path, *free, "--versus", f"{MASS},2,3,2"])
    assert wrong.exit_code == 2


@pytest.mark.slow
def test_the_interval_of_feldman_and_cousins():
    """20 toys a coupling: what is less likely by more than e^-6 is out, and what is nearly best is in."""
    sample = dp.generate("B+->K+mumu", "sm", events=150, q2=[RANGE], seed=4)
    (row,) = fit_limits(sample, CARD, COUPLING, feldman_cousins=True, toys=20, level=0.9)
    cost = likelihood_of(sample, FitCard.make(CARD))
    grid = np.linspace(-6e-8, 6e-8, 301)
    rise = np.array([cost(g) for g in grid])
    rise -= rise.min()
    inside = np.array([any(a <= g <= b for a, b in row.feldman_cousins) for g in grid])
    assert not np.any(inside & (rise > 12.0))
    assert np.all(inside[rise < 0.1])
