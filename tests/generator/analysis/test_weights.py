"""Weights: weighted events against the quadrature of the target, exact identities, and what must be refused.

Pulls stay below 6 (2e-9 each): false-alarm rates below 1e-6 a test.
"""

import json

import numpy as np
import pytest
from darkpenguin import InputError, as_model, generate, get_channel, get_model, read_events, weigh
from darkpenguin.generator.analysis.event_density import NarrowDensities
from darkpenguin.generator.analysis.validate import predict_channel, predict_kpi
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.sample import EventSample
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi
from darkpenguin.physics.models import apply_settings
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.phase_space import phase_space_density
from darkpenguin.physics.rates import branching_ratio
from scipy.integrate import quad
from typer.testing import CliRunner

G_BS, G_MU = "light_vectors.0.g_bs", "light_vectors.0.g_mu_v"


def pulls(expected, rate, sample, weights, variable="q2"):
    """Weighted means of every f_i in bins, by flavour, against integrals of the target over the rate of the source."""
    density, n = expected.basis, len(sample)
    found = []
    f = np.stack(predicted_basis(expected, sample))
    exact = expected.integrals @ density.gram / rate
    for row, flavour in enumerate(expected.flavours):
        chosen = np.asarray(sample["flavour"]) == flavour
        place = np.searchsorted(expected.edges, np.asarray(sample[variable])[chosen], side="right") - 1
        inside = (place >= 0) & (place < len(expected.edges) - 1)
        for i, values in enumerate(f[:, chosen] * weights[chosen]):
            size = len(expected.edges) - 1
            total = np.bincount(place[inside], values[inside], size)
            square = np.bincount(place[inside], values[inside] ** 2, size)
            error = np.sqrt(np.maximum(square - total**2 / n, 1e-300))
            found.append((total - n * exact[row, :, i]) / error)
    return np.abs(np.array(found))


def predicted_basis(expected, sample):
    from darkpenguin.physics.densities import DENSITIES

    [kind] = [d for d in DENSITIES.values() if d.coefficients == expected.names]
    return kind.basis(*(np.asarray(sample[name], dtype=float) for name in kind.angles))


ELECTRONS = {"heavy": {"C9_e": -1.1, "C10_e": 0.5}}
CASES = [
    ("B0->K*0mumu", "sm", "fig2", "lhcb"),
    ("B+->K+mumu", "sm", "fig1-2.5gev", "theory"),
    ("B+->K+chichi", "belle2-2.1gev", "fig2", "lhcb"),
    pytest.param("B0->K*0ee", "sm", ELECTRONS, "theory", marks=pytest.mark.slow),
    pytest.param("B0->K*0mumu", "fig2", "sm", "theory", marks=pytest.mark.slow),
    pytest.param("B+->K+ee", ELECTRONS, "sm", "lhcb", marks=pytest.mark.slow),
    pytest.param("B0->K*0chichi", "belle2-2.1gev", "fig2", "lhcb", marks=pytest.mark.slow),
    pytest.param("Bs->phimumu", "sm", "fig2", "lhcb", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "before", "after", "convention"), CASES)
def test_weighted_events_are_those_of_the_target(name, before, after, convention):
    """In q2, all moments, both flavours; the weights of half the change are noticed."""
    sample = generate(name, before, 200_000, seed=5, convention=convention)
    found = weigh(sample, after)
    channel, expected = (
        get_channel(name),
        predict_channel(get_channel(name), as_model(after), "both", convention, n_bins=10),
    )
    rate = sum(predict_channel(channel, as_model(before), "both", convention, n_bins=1).rates.values())
    assert len(expected.edges) == 11
    weights = found[found[0].column]
    assert pulls(expected, rate, sample, weights).max() < 6
    assert pulls(expected, rate, sample, np.sqrt(weights)).max() > 8
    ratio = sum(expected.rates.values()) / rate
    assert abs(found[0].mean - ratio) < 6 * found[0].error
    assert found[0].effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-12)
    assert found[0].largest == weights.max()


@pytest.mark.slow
@pytest.mark.parametrize("system", ["pwave", "swave"])
def test_weighted_events_with_a_kpi_mass(system):
    sample = generate("B0->K*0mumu", "sm", 200_000, seed=6, kpi=system, q2=[(1.1, 6.0)])
    weights = weigh(sample, "fig2")["weight_fig2"]
    before, after = (
        predict_kpi(KpiDecay(get_channel("B0->K*0mumu"), get_model(model), resolve_kpi(system)), q2=[(1.1, 6.0)])
        for model in ("sm", "fig2")
    )
    for variable, expected in after.items():
        rate = sum(before[variable].rates.values())
        assert pulls(expected, rate, sample, weights, variable).max() < 6
        assert pulls(expected, rate, sample, np.ones(len(sample)), variable).max() > 8


def test_the_width_of_the_kstar_can_be_weighted():
    """From one Kpi system to another: the ratio of two densities by themselves."""
    sample = generate("B0->K*0mumu", "sm", 300, seed=6, kpi="pwave", q2=[(1.1, 6.0)])
    found = weigh(sample, "sm", kpi="pwave,width=0.06")["weight_sm"]
    columns = sample.to_numpy()
    one, two = (
        KpiDecay(get_channel("B0->K*0mumu"), get_model("sm"), resolve_kpi(x)) for x in ("pwave", "pwave,width=0.06")
    )
    shapes = [np.abs(decay.p_line.amplitude(columns["m_kpi"])) ** 2 for decay in (one, two)]
    np.testing.assert_allclose(found, shapes[1] / shapes[0], rtol=1e-9)


def test_the_same_model_is_one_and_several_targets_are_one_by_one():
    sample = generate("B0->K*0mumu", "fig2", 20_000, seed=1)
    both = weigh(sample, ["fig2", "sm"])
    assert (both["weight_fig2"] == 1).all()
    np.testing.assert_allclose(both["weight_sm"], weigh(sample, "sm")["weight_sm"], rtol=3e-4)
    np.testing.assert_allclose(
        np.median(np.abs(both["weight_sm"] / weigh(sample, "sm")["weight_sm"] - 1)), 0, atol=2e-6
    )
    back = weigh(sample, "fig2", "sm")["weight_fig2"]
    np.testing.assert_allclose(back * both["weight_sm"], 1, rtol=1e-3)


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+mumu"])
def test_densities_are_those_of_the_amplitudes(name):
    """Within 1e-5 of the local rate; an unknown flavour is the mean of both."""
    from darkpenguin.physics.angular import event_density

    channel, models = get_channel(name), [get_model("sm"), get_model("fig2")]
    density = NarrowDensities(channel, models, "lhcb")
    columns = generate(name, "sm", 2_000, seed=2).to_numpy()
    columns = {key: column[columns["q2"] > 0.1] for key, column in columns.items()}
    found = density(columns).T
    f = density.density.basis(*(columns[name] for name in density.density.angles))
    parts = {}
    for flavour in (1, -1):
        parts[flavour] = []
        for k, model in enumerate(models):
            j = event_density(channel, model, columns["q2"], flavour, "lhcb")
            parts[flavour].append(density.density.norm * np.einsum("in,in->n", j, f))
            mine, rate = columns["flavour"] == flavour, np.array(density.density.rate) @ j
            assert (np.abs(found[k] - parts[flavour][k]) / rate)[mine].max() < 1e-5
    unknown = density({**columns, "flavour": np.zeros_like(columns["flavour"])}).T
    np.testing.assert_allclose(unknown, 0.5 * (np.array(parts[1]) + parts[-1]), rtol=1e-3)


def test_a_polynomial_is_every_point():
    sample = generate("B0->K*0mumu", "sm", 20_000, seed=1)
    point = {G_BS: -3.1e-8, G_MU: 0.07}
    model = apply_settings(get_model("fig2"), [f"{key}={value}" for key, value in point.items()])
    found = weigh(sample, ["fig2", model], polynomial=[G_BS, G_MU])
    poly = found.polynomial
    assert poly.exponents == ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
    for column, values in (
        ("weight_fig2", {G_BS: -1.5e-8, G_MU: get_model("fig2").light_vectors[0].g_mu_v}),
        ("weight_fig2_2", point),
    ):
        np.testing.assert_allclose(poly.at(found.columns, values), found[column], rtol=1e-10)
    assert np.abs(poly.at(found.columns, {**point, G_MU: 0.071}) / found["weight_fig2_2"] - 1).max() > 1e-4
    np.testing.assert_allclose(poly.at(found.columns, {G_BS: 0.0, G_MU: 1.0}), 1.0, rtol=1e-12)
    with pytest.raises(InputError, match="the polynomial is one in"):
        poly.at(found.columns, {G_BS: 0.0})


def test_a_polynomial_of_wilson_coefficients_has_no_higher_terms():
    sample = generate("B+->K+mumu", "sm", 1_000, seed=1)
    found = weigh(sample, polynomial=["heavy.C9_mu", "heavy.C10_mu"])
    assert found.polynomial.exponents == ((0, 0), (0, 1), (0, 2), (1, 0), (2, 0))
    one = weigh(sample, "heavy-c9")["weight_heavy-c9"]
    c9 = get_model("heavy-c9").heavy.C9_mu.real
    np.testing.assert_allclose(
        found.polynomial.at(found.columns, {"heavy.C9_mu": c9, "heavy.C10_mu": 0.0}), one, rtol=3e-4
    )


def test_from_phase_space():
    """Events of flat phase space, weighted: their mean is the branching fraction, their q2 that of the model."""
    channel, rng = get_channel("B+->K+mumu"), np.random.default_rng(4)
    low, high = channel.q2_limits()
    q2 = rng.uniform(low, high, 200_000)
    volume = phase_space_density(channel, q2)[0]
    q2 = q2[rng.uniform(0, volume.max() * 1.01, len(q2)) < volume]
    n = len(q2)
    template = generate("B+->K+mumu", "sm", n, seed=1)
    columns = {**template.to_numpy(), "q2": q2, "cos_theta_l": rng.uniform(-1, 1, n)}
    columns["flavour"] = rng.choice(np.array([1, -1], dtype=np.int32), n)
    found = weigh(EventSample(columns, template.provenance), "sm", "phase-space")
    rates = predict_channel(channel, get_model("sm"), n_bins=10)
    exact = load_parameters()["tau_B+"] * sum(rates.rates.values()) / 2
    assert abs(found[0].mean - exact) < 6 * found[0].error
    place = np.histogram(q2, rates.edges, weights=found["weight_sm"])[0] / n
    square = np.sqrt(np.histogram(q2, rates.edges, weights=found["weight_sm"] ** 2)[0]) / n
    want = load_parameters()["tau_B+"] * (rates.integrals @ rates.basis.gram @ rates.basis.unity).sum(axis=0) / 2
    assert (np.abs(place - want) < 6 * square).all()
    assert quad(lambda s: 2 * phase_space_density(channel, np.array([s]))[0, 0], low, high, limit=200)[
        0
    ] == pytest.approx(1, abs=1e-7)


def test_what_the_source_cannot_make_is_refused_or_counted():
    sample = generate("B+->K+mumu", "sm", 1_000, seed=1)
    columns = sample.to_numpy()
    columns["q2"][7] = 30.0
    bad = EventSample(columns, sample.provenance)
    with pytest.raises(InputError, match=r"event 7 of B\+->K\+mumu: it cannot be weighted.*q2 = 30, cos_theta_l"):
        weigh(bad, "fig2")
    found = weigh(bad, "fig2", skip=True)
    assert found["weight_fig2"][7] == 0
    assert (found[0].skipped, found[0].outside) == (1, 0.0)


@pytest.mark.parametrize("flavour", [0, 7])
def test_a_flavour_that_our_events_never_have_is_refused(flavour):
    """Averages are of other programs' events, where a map asks for them."""
    sample = generate("B+->K+mumu", "sm", 100, seed=1)
    columns = sample.to_numpy()
    columns["flavour"][3] = flavour
    bad = EventSample(columns, sample.provenance)
    with pytest.raises(InputError, match=rf"event 3 of B\+->K\+mumu: it cannot be weighted.*flavour = {flavour}"):
        weigh(bad, "fig2")
    assert weigh(bad, "fig2", skip=True)[0].skipped == 1


@pytest.mark.parametrize("name", ["channel", "flavour", "cos_theta_l"])
def test_a_column_that_is_missing_is_named(name):
    sample = generate("B+->K+mumu", "sm", 100, seed=1)
    columns = {key: column for key, column in sample.to_numpy().items() if key != name}
    with pytest.raises(InputError, match=rf"no column '{name}', which B\+->K\+mumu has"):
        weigh(EventSample(columns, sample.provenance), "fig2")


def test_a_coupling_without_which_nothing_decays():
    """chi chi need V: of second degree alone, and no division by the rate without it."""
    sample = generate("B+->K+chichi", "belle2-2.1gev", 100, seed=1)
    found = weigh(sample, "belle2-2.1gev", polynomial=G_BS)
    assert found.polynomial.exponents == ((2,),)
    g = get_model("belle2-2.1gev").light_vectors[0].g_bs.real
    np.testing.assert_allclose(found.polynomial.at(found.columns, {G_BS: g}), 1.0, rtol=1e-10)


def test_thin_bins_are_named():
    sample = generate("B+->K+chichi", "belle2-2.1gev", 2_000, seed=1, q2=[(3.0, 6.0)])
    found = weigh(sample, "fig2")
    assert (6.0, 7.0) not in found[0].thin  # V of 2.5 GeV has most of its events there, but the sample has none at all
    wide = weigh(generate("B+->K+chichi", "belle2-2.1gev", 2_000, seed=1), "fig2")
    assert (6.0, 7.0) in wide[0].thin
    assert wide[0].effective < 200


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_writes_a_file(tmp_path):
    source, target = tmp_path / "x.root", tmp_path / "y.root"
    generate("B0->K*0mumu", "sm", 2_000, seed=1).write(source)
    done = run("weigh", source, "--to", "fig2", "--to", "sm", "--polynomial", f"{G_BS},{G_MU}", "--output", target)
    assert done.exit_code == 0, done.output
    assert "fig2" in done.stdout
    found = read_events(target)
    assert (found["weight_sm"] == 1).all()
    memory = weigh(read_events(source), ["fig2", "sm"], polynomial=[G_BS, G_MU])
    for name in memory.columns:
        np.testing.assert_array_equal(found[name], memory[name])
    said = found.provenance["weights"]
    assert said["from"] == "sm"
    assert said["polynomial"]["couplings"] == [G_BS, G_MU]
    assert len(said["polynomial"]["columns"]) == 6
    refused = run("weigh", source, "--to", "fig2", "--output", target)
    assert refused.exit_code == 2
    assert "exists" in refused.output
    done = run("weigh", source, "--to", "fig2", "--keep", "index", "--output", tmp_path / "z.parquet", "--json")
    assert json.loads(done.stdout)["rows"][0]["column"] == "weight_fig2"
    assert read_events(tmp_path / "z.parquet").names == ("channel", "event", "weight_fig2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a model"),
        (("--to", "fig3"), "no such model"),
        (("--polynomial", "light_vectors.0.mass", "--to", "fig2"), "linear"),
        (("--polynomial", G_BS), "light_vectors"),
        (("--polynomial", "heavy.C9_e"), "B+->K+mumu does not depend on it"),
        (("--to", "fig2", "--kpi", "wave"), "no such K"),
        (("--to", "fig2", "--kpi", "swave"), "the events have no m_kpi"),
        (("--to", "fig2", "--keep", "some"), "allowed are all, index"),
        (("--to", "fig2", "--from", "fig9"), "no such model"),
    ],
)
def test_bad_input_is_one_line(tmp_path, words, message):
    source = tmp_path / "x.root"
    generate("B+->K+mumu", "sm", 100, seed=1).write(source)
    done = run("weigh", source, *words, "--output", tmp_path / "y.root")
    assert done.exit_code != 0
    assert message in f"{done.output} {done.exception}"
    assert not (tmp_path / "y.root").exists()


def test_branching_fractions_are_the_ratio():
    """K chi chi: the mean of the weights is the ratio of two quadratures of another code path."""
    found = weigh(generate("B+->K+chichi", "fig2", 100_000, seed=3), "fig1-2.5gev", "fig2")
    channel = get_channel("B+->K+chichi")
    exact = branching_ratio(channel, get_model("fig1-2.5gev")) / branching_ratio(channel, get_model("fig2"))
    assert abs(found[0].mean - exact) < 6 * found[0].error + 1e-12  # one weight for all: the shape is the same
