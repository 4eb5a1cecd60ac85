"""Densities with a resolution: by numerical convolution, normalised, their gradient, and fits that need them."""

import warnings

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import as_model, get_channel
from darkpenguin.generator.fits import resolution
from darkpenguin.generator.fits.amplitude import Amplitude, shifts_of, unpacked
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.draws import draw_events
from darkpenguin.generator.fits.fit import likelihood_of, minimised
from darkpenguin.generator.fits.rates import Rate
from darkpenguin.generator.fits.resolution import Resolution
from darkpenguin.generator.fits.smeared import SmearedEvents, SmearedRate
from darkpenguin.generator.lab.efficiency_files import read_map
from darkpenguin.physics.angular import breakpoints, event_density
from darkpenguin.physics.densities import DENSITIES
from scipy.integrate import quad
from scipy.stats import chi2

RANGE = (1.1, 8.0)
MASS, WIDTH, COUPLING = "light_vectors.0.mass", "light_vectors.0.relative_width", "light_vectors.0.g_bs"
SEEN = Resolution(q2=(1.0, 12.0), sigma=(0.008, 0.09), bias=(0.0, 0.006), fractions=(0.7, 0.3), scales=(0.9, 1.3))
"""About that of LHCb's muons, with a growth that a Gaussian in the true q2 would miss."""
MAPS = {
    "uneven": """kind = "legendre"
axes = [["q2", 0.0, 20.0], ["cos_theta_l", -1.0, 1.0]]
terms = [[0, 0, 0.5], [1, 0, -0.3], [2, 0, 0.05], [0, 2, -0.1]]
""",
    "steps": """kind = "histogram"
axes = ["q2", "cos_theta_l"]
edges = [[0.0, 3.95, 4.02, 20.0], [-1.0, 0.2, 1.0]]
values = [[0.3, 0.9], [0.6, 0.4], [0.8, 0.7]]
""",
}


def vector(width, coupling=-1.5e-9):
    return as_model("fig2", [f"{MASS}=2.0", f"{WIDTH}={width}", f"{COUPLING}={coupling}"])


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maps")
    for name, text in MAPS.items():
        (folder / f"{name}.toml").write_text(text)
    return {None: None, **{name: str(folder / f"{name}.toml") for name in MAPS}}


def nodes_between(low, high, places, sharp):
    """Nodes and weights of a quadrature with panels at places, and about each (place, width) of ``sharp``."""
    near = [z + sign * y * k for z, y in sharp for k in (0.0, *np.geomspace(0.03, 3e4, 24)) for sign in (1, -1)]
    cuts = np.concatenate([np.linspace(low, high, 20), places, near])
    cuts = np.unique(cuts[(cuts >= low) & (cuts <= high)])
    x, w = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(cuts)[:, None]
    return (cuts[:-1, None] + half * (x + 1.0)).ravel(), (half * w).ravel()


@pytest.mark.parametrize(
    ("width", "theory", "seen"),
    [
        (1e-4, None, None),
        (0.003, None, "uneven"),
        (0.1, None, "steps"),
        (0.003, {"nonlocal": "resonances"}, None),
    ],
)
def test_densities_are_those_of_a_numerical_convolution(maps, width, theory, seen):
    """V narrower and wider than the resolution, and on the J/psi and beside it, whose tail is 1e-5 of its peak."""
    model, channel = vector(width), get_channel("B0->K*0mumu")
    model = model if theory is None else as_model(model, theory=theory)
    top = 8.0 if theory is None else 11.0
    efficiency = None if seen is None else read_map(maps[seen])
    amplitude = Amplitude(channel, 1, model.theory, shifts_of(channel, [model]))
    rate = SmearedRate(amplitude, [(1.1, top)], efficiency, SEEN, [(1.1, top)])
    jpsi = 3.0969**2
    q2 = np.array([1.11, 3.8, 3.93, 3.99, 4.0, 4.06, 4.2, 7.99, *([] if theory is None else [jpsi + 0.02, jpsi - 0.6])])
    rng, kind = np.random.default_rng(4), DENSITIES["vector"]
    columns = {"q2": q2, "cos_theta_k": rng.uniform(-1, 1, len(q2)), "cos_theta_l": rng.uniform(-1, 1, len(q2))}
    columns["phi"] = rng.uniform(-3, 3, len(q2))
    found = SmearedEvents.of(rate, columns).densities(amplitude.point(model))
    f = kind.norm * kind.basis(*(columns[name] for name in kind.angles))
    places = np.concatenate([breakpoints(channel, model), [3.95, 4.02]])
    sharp = [(4.0, 4.0 * width)] + ([] if theory is None else [(jpsi, 2.9e-4), (3.6861**2, 1.1e-3)])

    def integrand(s, i):
        own = {name: np.full(len(s), column[i]) for name, column in columns.items()} | {"q2": s}
        there = 1.0 if efficiency is None else efficiency.evaluate(own)
        return SEEN.density(q2[i], s) * there * (f[:, i] @ event_density(channel, model, s, 1))

    for i, q in enumerate(q2):
        reach = 1.3 * float(SEEN.reach(np.array([q]))[0])
        s, w = nodes_between(max(1.1, q - reach), min(top, q + reach), places, sharp)
        assert found[i] == pytest.approx(w @ integrand(s, i), rel=1e-6), q
    if width == 0.1:  # where quad needs no help
        by_quad = quad(lambda s: integrand(np.array([s]), 6)[0], 4.02, 4.5, points=[4.2], epsrel=1e-9)[0]
        by_quad += quad(lambda s: integrand(np.array([s]), 6)[0], 3.95, 4.02, epsrel=1e-9)[0]
        by_quad += quad(lambda s: integrand(np.array([s]), 6)[0], 3.7, 3.95, epsrel=1e-9)[0]
        assert found[6] == pytest.approx(by_quad, rel=1e-6)


@pytest.mark.parametrize("seen", [None, "uneven", "steps"])
def test_the_rate_is_the_integral_of_the_density(maps, seen):
    channel, model, window = get_channel("B+->K+mumu"), vector(0.003), [(1.5, 3.97), (4.1, 6.0)]
    amplitude = Amplitude(channel, 1, model.theory, shifts_of(channel, [model]))
    efficiency = None if seen is None else read_map(maps[seen])
    rate = SmearedRate(amplitude, [(1.1, 8.0)], efficiency, SEEN, window)
    point = amplitude.point(model)
    x, w = np.polynomial.legendre.leggauss(12)
    total = []
    for low, high in window:
        cuts = np.linspace(low, high, 300)
        half = 0.5 * np.diff(cuts)[:, None]
        q2, of_q2 = (cuts[:-1, None] + half * (x + 1.0)).ravel(), (half * w).ravel()
        angles = np.concatenate([-0.4 + 0.6 * x, 0.6 + 0.4 * x])  # the steps are at 0.2
        weights = np.concatenate([0.6 * w, 0.4 * w])
        columns = {"q2": np.repeat(q2, len(angles)), "cos_theta_l": np.tile(angles, len(q2))}
        density = SmearedEvents.of(rate, columns).densities(point).reshape(len(q2), -1)
        total.append(of_q2 @ density @ weights)
    assert rate.value(point)[0] == pytest.approx(sum(total), rel=1e-8)
    assert rate.spectrum(point, window) == pytest.approx(total, rel=1e-8)


def test_a_small_resolution_is_none():
    channel, model = get_channel("B+->K+mumu"), vector(0.1)
    amplitude = Amplitude(channel, 1, model.theory, shifts_of(channel, [model]))
    columns = {"q2": np.linspace(3.82, 4.18, 7), "cos_theta_l": np.linspace(-0.9, 0.8, 7)}
    smeared = SmearedRate(amplitude, [(3.8, 4.2)], None, Resolution(sigma=1e-4), [(3.8, 4.2)])
    point, plain = amplitude.point(model), Rate(amplitude, [(3.8, 4.2)])
    form = plain.event_forms(columns)
    v = point.at(columns["q2"])
    exact = np.einsum("ae,eab,be->e", v.conj(), unpacked(form[:, 0], len(v)), v).real
    assert SmearedEvents.of(smeared, columns).densities(point) == pytest.approx(exact, rel=1e-6)
    assert smeared.value(point)[0] == pytest.approx(plain.value(point)[0], rel=1e-3)  # what leaves at the ends


def smeared_events(width, events, seed, **keys):
    """Events of `vector`, with a reconstructed q2 of `SEEN`."""
    made = dp.generate("B+->K+mumu", vector(width), events=events, q2=[RANGE], seed=seed, **keys)
    columns = made.to_numpy()
    uniform = np.random.default_rng(seed).random((events, 2))
    return type(made)({**columns, "q2_reco": SEEN.drawn(columns["q2"], uniform)}, made.provenance)


FLOAT = {MASS: (1.9, 2.1), WIDTH: (1e-4, 0.02), COUPLING: (-1e-8, 1e-8), "heavy.C9_mu": (-3.0, 3.0)}


@pytest.mark.parametrize(("theory", "seen"), [(None, "uneven"), ({"nonlocal": "resonances"}, "steps")])
def test_the_gradient_is_that_of_differences(maps, theory, seen):
    events = smeared_events(0.003, 400, 3)
    names = {**FLOAT, "backgrounds.comb.fraction": (0.0, 0.5), "backgrounds.comb.slope": (-2.0, 2.0)}
    values = [2.003, 0.004, -2e-9, 0.3, 0.2, -0.3]
    if theory:
        names["theory.resonances.J/psi.phase"] = (-3.1, 3.1)
        values.append(-1.2)
    cost = likelihood_of(
        events,
        FitCard.make(
            model=vector(0.003), theory=theory, float=names, efficiency=maps[seen], resolution=SEEN,
            backgrounds={"comb": {}}, q2=[(1.5, 7.0)],
        ),
    )  # fmt: skip
    gradient = cost.gradient(*values)
    for i, (name, (low, high)) in enumerate(names.items()):
        step = (1e-5 if name == MASS else 1e-4) * (high - low)
        ends = [cost(*(x + k * step * (j == i) for j, x in enumerate(values))) for k in (2, 1, -1, -2)]
        slope = (-ends[0] + 8 * ends[1] - 8 * ends[2] + ends[3]) / (12 * step)
        assert gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-4 / (high - low)), name
    assert -2 * cost.scores(values).sum(axis=0) == pytest.approx(gradient, rel=1e-8, abs=1e-6)
    densities, rates = cost.densities(values)
    assert -2 * np.log(densities / rates).sum() == pytest.approx(cost(*values), rel=1e-12)


def test_a_file_is_fitted_with_the_resolution_of_its_detector(monkeypatch):
    """A V of a fifth of the resolution; mass and coupling within 5.2 of their errors, 1e-6 for three."""
    monkeypatch.setattr(resolution, "SIMULATED", 100_000)
    made = dp.generate(
        "B+->K+mumu", vector(0.001, -3e-9), events=6000, q2=[RANGE], seed=2, beam="belle2", resolution="belle2"
    )
    keys = {"model": vector(0.001, -3e-9), "float": FLOAT, "search": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dp.fit(made, resolution="file", **keys)
    assert found.converged
    for row, truth in zip(found, (2.0, 0.001, -3e-9), strict=False):
        assert abs(row.value - truth) < 5.2 * row.error
    assert found.goodness[0].p_value > 1e-6
    assert found[1].error < 0.001
    with pytest.warns(RuntimeWarning, match="resolution = file"):
        dp.fit(made, **keys)


def test_sets_like_the_events_are_drawn_with_the_resolution():
    events = smeared_events(0.003, 3000, 7)
    card = FitCard.make(model=vector(0.003), float=FLOAT, resolution=SEEN, q2=[(1.5, 3.97), (4.1, 7.0)])
    cost = likelihood_of(events, card)
    drawn = draw_events(events, card, cost, [2.0, 0.003, -1.5e-9, 0.0], 4, seed=3)
    assert [len(one) for one in drawn] == [cost.parts[0].events + cost.parts[1].events] * 4
    q2 = np.concatenate([one["q2_reco"] for one in drawn])
    pieces = cost.parts[0].rate.pieces(30)
    expected = len(q2) * cost.spectrum("B+->K+mumu", pieces, [2.0, 0.003, -1.5e-9, 0.0])
    counts = [np.sum((q2 >= low) & (q2 < high)) for low, high in pieces]
    assert chi2.sf(np.sum((counts - expected) ** 2 / expected), len(pieces) - 1) > 1e-6
    again = likelihood_of(drawn[0], card, like=cost)
    assert again.parts[0].rate is cost.parts[0].rate
    assert np.isfinite(again(*cost.start))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "events"), [(0.003, 6000), (0.03, 6000)])
def test_mass_and_width_have_no_bias(width, events):
    """Mean pulls of 12 fits, narrower and wider than the resolution (0.03 GeV²), within 5 of their errors.

    False alarms: 1e-6 a number. Fitted as if q2 were not smeared, the narrow width is many errors too large.
    """
    ends = {MASS: (1.85, 2.15), WIDTH: (1e-4, 10 * width), COUPLING: (-2e-8, 2e-8)}
    truths = np.array([2.0, width, -1.5e-9 if width < 0.01 else -5e-9])
    keys = {"model": vector(width, truths[2]), "float": ends, "search": False}
    card, blind = FitCard.make(resolution=SEEN, **keys), FitCard.make(**keys)
    pulls, bent, like = [], [], None
    for seed in range(12):
        made = dp.generate("B+->K+mumu", vector(width, truths[2]), events=events, q2=[RANGE], seed=100 + seed)
        columns = made.to_numpy()
        columns["q2_reco"] = SEEN.drawn(columns["q2"], np.random.default_rng(seed).random((events, 2)))
        like = likelihood_of(type(made)(columns, made.provenance), card, like=like)
        fit = minimised(like, search=False)
        assert fit.converged
        pulls.append([(row.value - truth) / row.error for row, truth in zip(fit, truths, strict=True)])
        if seed < 2:
            inside = (columns["q2_reco"] > RANGE[0]) & (columns["q2_reco"] < RANGE[1])
            chosen = {name: column[inside] for name, column in columns.items() if name != "q2_reco"}
            chosen["q2"] = columns["q2_reco"][inside]
            other = minimised(likelihood_of(type(made)(chosen, made.provenance), blind), search=False)
            bent.append((other[1].value - width) / other[1].error)
    assert np.abs(np.mean(pulls, axis=0)) == pytest.approx(0.0, abs=5 / np.sqrt(12))
    assert np.std(pulls, axis=0) == pytest.approx(1.0, abs=5 / np.sqrt(24))
    if width < 0.01:
        assert np.mean(bent) > 5
