"""Efficiency maps: their values, their files, their mistakes, and closure with events."""

import gzip
import json
import math

import boost_histogram
import numpy as np
import pytest
import uproot
from darkpenguin import InputError, generate, get_channel, make_card, read_events, run
from darkpenguin.generator.lab.efficiency_files import read_map
from darkpenguin.generator.lab.efficiency_maps import (
    ConstantMap,
    HistogramMap,
    LegendreMap,
    evaluate,
    unfolding_weights,
)
from darkpenguin.generator.lab.settings import EfficiencySettings
from darkpenguin.generator.lab.stages import Place
from darkpenguin.generator.run.generate import execute
from darkpenguin.generator.run.plan import plan_run
from darkpenguin.generator.sampler.calls import EFFICIENCY
from darkpenguin.physics.densities import VECTOR

CHANNEL = "B0->K*0mumu"
AXES = (("q2", 0.0, 20.0), ("cos_theta_k", -1.0, 1.0), ("cos_theta_l", -1.0, 1.0), ("phi", -math.pi, math.pi))
MAP = """
kind = "legendre"
axes = [["q2", 0.0, 20.0], "cos_theta_k", "cos_theta_l", "phi"]
terms = [[0, 0, 0, 0, 0.5], [1, 0, 0, 0, 0.1], [0, 1, 0, 0, -0.12], [0, 0, 2, 0, 0.08], [0, 0, 0, 2, 0.05],
         [1, 1, 2, 0, 0.04]]
"""


@pytest.fixture
def legendre(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text(MAP)
    return str(path)


def points(n=2000, seed=3):
    random = np.random.default_rng(seed)
    return {name: random.uniform(low, high, n) for name, low, high in AXES}


def test_legendre_products_are_numpys(legendre):
    """Beside numpy.polynomial.legendre, variable by variable."""
    x = points()
    c = np.random.default_rng(4).normal(size=(3, 4, 5, 2))
    found = LegendreMap(AXES, c).evaluate(x)
    expected = np.zeros(len(found))
    mapped = [(2 * x[name] - (low + high)) / (high - low) for name, low, high in AXES]
    for index in np.ndindex(c.shape):
        term = np.prod(
            [np.polynomial.legendre.Legendre.basis(k)(u) for k, u in zip(index, mapped, strict=True)], axis=0
        )
        expected += c[index] * term
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert read_map(legendre).inputs == tuple(name for name, _, _ in AXES)


def test_histograms_of_every_file_give_the_same_map(tmp_path):
    edges = [np.array([0.0, 1.0, 6.0, 20.0]), np.linspace(-1, 1, 5)]
    values = np.random.default_rng(5).random((3, 4))
    reference = HistogramMap(("q2", "cos_theta_l"), tuple(edges), values)
    x = points()
    expected = values[np.digitize(x["q2"], edges[0]) - 1, np.digitize(x["cos_theta_l"], edges[1]) - 1]
    np.testing.assert_array_equal(reference.evaluate(x), expected)

    plain = tmp_path / "plain.json"
    plain.write_text(
        json.dumps(
            {
                "kind": "histogram",
                "axes": ["q2", "cos_theta_l"],
                "edges": [e.tolist() for e in edges],
                "values": values.tolist(),
            }
        )
    )
    histogram = boost_histogram.Histogram(
        boost_histogram.axis.Variable(edges[0], metadata={"name": "q2"}),
        boost_histogram.axis.Variable(edges[1], metadata={"name": "cos_theta_l"}),
    )
    histogram.values()[...] = values
    with uproot.recreate(tmp_path / "map.root") as file:
        file["eff"] = histogram
    for source in (plain,):
        np.testing.assert_array_equal(read_map(source).evaluate(x), expected)
    named = HistogramMap.from_hist(histogram, ("q2", "cos_theta_l"))
    np.testing.assert_array_equal(named.evaluate(x), expected)
    with pytest.raises(InputError, match="axis"):
        HistogramMap.from_hist(boost_histogram.Histogram(boost_histogram.axis.Regular(2, 0, 1)))


def test_root_and_uhi_files(tmp_path):
    hist = pytest.importorskip("hist")
    uhi_json = pytest.importorskip("uhi.io.json")
    made = hist.Hist(
        hist.axis.Variable([0.0, 1.0, 6.0, 20.0], name="q2", label="q2"),
        hist.axis.Variable([-1.0, 0.2, 1.0], name="cos_theta_l", label="cos_theta_l"),
    )
    made.values()[...] = np.arange(1, 7).reshape(3, 2) / 8
    with uproot.recreate(tmp_path / "map.root") as file:
        file["eff"] = made
    (tmp_path / "map.json").write_text(json.dumps(made, default=uhi_json.default))
    x = points()
    expected = HistogramMap.from_hist(made).evaluate(x)
    assert set(np.unique(expected)) == set(np.arange(1, 7) / 8)
    for source in (f"{tmp_path}/map.root", f"{tmp_path}/map.root:eff", f"{tmp_path}/map.json"):
        np.testing.assert_array_equal(read_map(source).evaluate(x), expected)
    with pytest.raises(InputError, match="has the histograms eff"):
        read_map(f"{tmp_path}/map.root:other")


def test_correctionlib_files(tmp_path):
    pytest.importorskip("correctionlib")
    content = {
        "nodetype": "category",
        "input": "lepton",
        "content": [
            {
                "key": lepton,
                "value": {
                    "nodetype": "binning",
                    "input": "q2",
                    "edges": [0.0, 6.0, 20.0],
                    "content": values,
                    "flow": "clamp",
                },
            }
            for lepton, values in (("mu", [0.8, 0.6]), ("e", [0.3, 0.2]))
        ],
    }
    data = {
        "schema_version": 2,
        "corrections": [
            {
                "name": "kept",
                "version": 1,
                "inputs": [{"name": "lepton", "type": "string"}, {"name": "q2", "type": "real"}],
                "output": {"name": "efficiency", "type": "real"},
                "data": content,
            }
        ],
    }
    with gzip.open(tmp_path / "map.json.gz", "wt") as file:
        json.dump(data, file)
    found = read_map(f"{tmp_path}/map.json.gz:kept")
    assert found.inputs == ("q2",)
    q2 = {"q2": np.array([1.0, 7.0])}
    assert found.evaluate(q2, get_channel(CHANNEL)).tolist() == [0.8, 0.6]
    assert found.evaluate(q2, get_channel("B0->K*0ee")).tolist() == [0.3, 0.2]
    with pytest.raises(InputError, match="corrections kept"):
        read_map(f"{tmp_path}/map.json.gz:lost")


def test_values_that_are_no_efficiencies_are_refused_with_their_position(tmp_path):
    edges = (np.array([0.0, 1.0, 6.0]), np.array([-1.0, 0.0, 1.0]))
    for bad in (np.nan, -0.1, 1.5, np.inf):
        with pytest.raises(InputError, match=r"in bin q2 1 to 6, cos_theta_l -1 to 0"):
            HistogramMap(("q2", "cos_theta_l"), edges, np.array([[0.1, 0.2], [bad, 0.4]]))
    path = tmp_path / "bad.json"
    two = {"kind": "legendre", "axes": [["q2", 0, 20], "phi"], "terms": [[0, 0, 0.5], [1, 0, 0.7]]}
    path.write_text(json.dumps(two))
    with pytest.raises(InputError, match=r"efficiency = -0\.2 at q2 = 0, phi"):
        read_map(path)
    path.write_text(json.dumps({**two, "axes": [["q2", 0, 20]], "terms": [[0, 0.5], [1, 0.7]], "clip": True}))
    assert read_map(path).evaluate({"q2": np.array([0.0, 20.0])}).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="of indices"):
        LegendreMap((("q2", 0.0, 1.0),), np.array([0.5, np.nan]))
    with pytest.raises(InputError, match="efficiency = nan at q2 = nan"):
        evaluate(LegendreMap((("q2", 0.0, 1.0),), np.array([0.5])), {"q2": np.array([0.5, np.nan])})
    with pytest.raises(InputError, match="nan at cos_theta_l = nan"):
        evaluate(
            HistogramMap(("cos_theta_l",), (np.array([-1.0, 1.0]),), np.array([0.5])),
            {"cos_theta_l": np.array([np.nan])},
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "spline"', "kind = 'spline'"),
        ("not toml at all", "neither TOML nor JSON"),
        ('kind = "legendre"\naxes = ["q2"]\nterms = [[0, 0.5]]', "q2 needs its range"),
        ('kind = "legendre"\naxes = ["phi"]\nterms = [[0.5, 0.5]]', "whole numbers"),
        ('kind = "legendre"\naxes = ["phi"]\nterms = [[0, 0.5], [0, 0.1]]', "twice"),
        ('kind = "legendre"\naxes = ["phi"]', "give one of the two"),
        ('kind = "legendre"\naxes = ["phi"]\ncoefficient = [0.5]', "did you mean|no such key"),
        ('kind = "histogram"\naxes = ["phi"]\nedges = [[0.0, 1.0]]\nvalues = [0.1, 0.2]', "shape"),
        ('kind = "histogram"\naxes = ["phi"]\nedges = [[1.0, 0.0]]\nvalues = [0.1]', "that rise"),
    ],
)
def test_files_that_are_no_maps(tmp_path, text, message):
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_map(path)


def test_uniforms_are_the_events_own_and_not_the_samplers():
    place = Place(get_channel(CHANNEL), seed=11, first=100)
    numbers = np.arange(100, 20_100, dtype=np.uint64)
    u = place.uniforms(numbers, EFFICIENCY.first)
    np.testing.assert_array_equal(place.uniforms(numbers[::-1][:77], EFFICIENCY.first), u[::-1][:77])
    # mean and its neighbour's correlation of 20,000 uniforms: 6 sigma, false alarm 4e-9
    assert abs(u.mean() - 0.5) < 6 / math.sqrt(12 * len(u))
    assert abs(np.corrcoef(u, place.uniforms(numbers, EFFICIENCY.first + 1))[0, 1]) < 6 / math.sqrt(len(u))


def test_modes_agree_and_nothing_is_lost(legendre, tmp_path):
    n = 30_000
    keywords = {"channels": CHANNEL, "events": n, "seed": 5}
    plain = generate(**keywords)
    efficiency = evaluate(read_map(legendre), plain.columns)
    u = Place(get_channel(CHANNEL), seed=5).uniforms(plain["event"], EFFICIENCY.first)

    flagged = generate(**keywords, efficiency={"maps": legendre})
    np.testing.assert_array_equal(flagged["accepted"], u < efficiency)
    np.testing.assert_array_equal(flagged["q2"], plain["q2"])
    weighted = generate(**keywords, efficiency={"maps": legendre, "mode": "weight"})
    np.testing.assert_array_equal(weighted["weight"], efficiency)
    rejected = generate(**keywords, efficiency={"maps": legendre, "mode": "reject"})
    np.testing.assert_array_equal(rejected["event"], plain["event"][flagged["accepted"] == 1])

    # files: the same events in chunks of another size, generated and accepted counted
    card = make_card(**keywords, efficiency={"maps": legendre, "mode": "reject"}, output=str(tmp_path / "x.root"))
    seen = []
    report = execute(plan_run(card), progress=seen.append, chunk=7_001)
    [part] = report.parts
    assert (part.events, part.written, sum(seen)) == (n, len(rejected), n)
    back = read_events(tmp_path / "x.root")
    np.testing.assert_array_equal(back["event"], rejected["event"])
    assert back.provenance["channels"][0]["events"] == n
    stage = back.provenance["stages"]["efficiency"]
    assert stage["mode"] == "reject"
    assert len(stage["sha256"][legendre]) == 64
    again = make_card(back.provenance["card"])
    assert again.efficiency == card.efficiency


def moments(columns, weights):
    f = VECTOR.basis(columns["cos_theta_k"], columns["cos_theta_l"], columns["phi"])
    mean = (f * weights).sum(axis=1) / weights.sum()
    error = np.sqrt((weights**2 * (f - mean[:, None]) ** 2).sum(axis=1)) / weights.sum()
    return mean, error


@pytest.mark.parametrize("bent", [False, True])
def test_unfolding_gives_back_the_generated_moments(legendre, bent):
    """Twelve pulls below 5.8 sigma: false alarm 8e-8. Weights of a map without its P_2(cos L) term must fail."""
    efficiency = read_map(legendre)
    chosen = generate(CHANNEL, "fig2", 400_000, seed=8, efficiency={"maps": legendre, "mode": "reject"})
    truth = generate(CHANNEL, "fig2", 2_000_000, seed=9)
    used = efficiency
    if bent:
        c = np.array(efficiency.coefficients)
        c[0, 0, 2, 0] = 0.0
        used = LegendreMap(efficiency.axes, c)
    mean, error = moments(chosen, unfolding_weights(used, chosen.columns))
    expected, small = moments(truth, np.ones(len(truth)))
    worst = np.abs((mean - expected) / np.hypot(error, small)).max()
    assert (worst > 15.0) if bent else (worst < 5.8)


def test_folding_by_weights_and_by_rejection_agree(legendre):
    """Same events: weights and accept-reject differ by the binomial noise alone; 6 sigma, false alarm 2e-9 a test."""
    weighted = generate(CHANNEL, events=200_000, seed=10, efficiency={"maps": legendre, "mode": "weight"})
    flagged = generate(CHANNEL, events=200_000, seed=10, efficiency={"maps": legendre})
    e, kept = weighted["weight"], flagged["accepted"]
    for low, high in ((0.0, 4.0), (4.0, 12.0), (12.0, 20.0)):
        inside = (weighted["q2"] >= low) & (weighted["q2"] < high)
        noise = math.sqrt((e * (1 - e))[inside].sum())
        assert abs(kept[inside].sum() - e[inside].sum()) < 6 * noise


def test_one_bin_zero_and_full_efficiency(tmp_path):
    one = tmp_path / "one.json"
    one.write_text(json.dumps({"kind": "histogram", "axes": ["q2"], "edges": [[1.0, 6.0]], "values": [1.0]}))
    plain = generate(CHANNEL, events=5_000, seed=2)
    inside = (plain["q2"] >= 1.0) & (plain["q2"] <= 6.0)
    kept = generate(CHANNEL, events=5_000, seed=2, efficiency={"maps": str(one), "mode": "reject"})
    np.testing.assert_array_equal(kept["event"], plain["event"][inside])
    assert generate(CHANNEL, events=5_000, seed=2, efficiency={"maps": 1})["accepted"].all()
    nothing = generate(CHANNEL, events=5_000, seed=2, efficiency={"maps": 0, "mode": "reject"})
    assert len(nothing) == 0
    assert "weight" in nothing.columns
    run(
        make_card(
            channels=CHANNEL,
            events=500,
            efficiency={"maps": 0, "mode": "reject"},
            output=str(tmp_path / "none.parquet"),
        )
    )
    assert len(read_events(tmp_path / "none.parquet")) == 0
    assert generate(CHANNEL, events=500, efficiency={"maps": 0, "mode": "weight"})["weight"].sum() == 0
    with pytest.raises(InputError, match="efficiency = 0 at q2"):
        unfolding_weights(read_map(one), plain.columns)


def test_muons_and_electrons_differ():
    sample = generate(["B0->K*0mumu", "B0->K*0ee"], events=20_000, seed=6, efficiency={"maps": {"mu": 0.8, "e": 0.2}})
    for name, value in (("B0->K*0mumu", 0.8), ("B0->K*0ee", 0.2)):
        kept = sample.only(name)["accepted"].mean()  # 6 sigma: false alarm 2e-9
        assert abs(kept - value) < 6 * math.sqrt(value * (1 - value) / 20_000)
    # the uniforms of two channels are independent: another stream
    mu, e = (
        Place(get_channel(name), 6).uniforms(np.arange(20_000), EFFICIENCY.first)
        for name in ("B0->K*0mumu", "B0->K*0ee")
    )
    assert abs(np.corrcoef(mu, e)[0, 1]) < 6 / math.sqrt(20_000)


def test_mistakes_of_a_card_are_named_before_the_run(tmp_path, legendre):
    for maps, message in (
        ({"mu": 0.5}, "none for B0->K\\*0ee"),
        ({"muon": 0.5}, "no such channel or lepton"),
        ({}, "write a file"),
    ):
        with pytest.raises(InputError, match=message):
            make_card(channels=["B0->K*0mumu", "B0->K*0ee"], events=1, efficiency={"maps": maps})
    with pytest.raises(InputError, match="no such file"):
        generate(CHANNEL, events=1, efficiency={"maps": "nowhere.json"})
    with pytest.raises(InputError, match=r"reads cos_theta_k, phi"):
        generate("B+->K+mumu", events=1, efficiency={"maps": legendre})
    with pytest.raises(InputError, match="between 0 and 1"):
        ConstantMap(1.5)
    with pytest.raises(InputError, match="leave check out"):
        make_card(channels=CHANNEL, events=1, output="x.root", check=True, efficiency={"maps": 1, "mode": "reject"})
    assert EfficiencySettings(maps=["mu=a.toml", "b.toml"]).maps == (("mu", "a.toml"), ("all", "b.toml"))


def test_validation_of_flagged_and_rejected_files(tmp_path):
    from darkpenguin.generator.analysis.validate import validate

    for mode in ("flag", "reject"):
        run(
            make_card(
                channels=CHANNEL,
                events=2_000,
                seed=4,
                efficiency={"maps": 0.5, "mode": mode},
                output=str(tmp_path / f"{mode}.root"),
            )
        )
    assert validate(tmp_path / "flag.root").passed
    with pytest.raises(InputError, match="no longer those that were generated"):
        validate(tmp_path / "reject.root")


@pytest.mark.parametrize(("keys", "values"), [([1, -1], [0.2, 0.8]), ([-1, 1], [0.8, 0.2])])
def test_a_categorical_axis_is_read_by_its_keys(tmp_path, keys, values):
    """boost_histogram gives such an axis the edges 0, 1, 2: places, not keys."""
    histogram = boost_histogram.Histogram(boost_histogram.axis.IntCategory(keys))
    histogram[...] = values
    found = HistogramMap.from_hist(histogram, ["flavour"])
    assert found.evaluate({"flavour": np.array([1, -1, 0, 7])}).tolist() == [0.2, 0.8, 0.0, 0.0]
    words = boost_histogram.Histogram(
        boost_histogram.axis.StrCategory(["B+->K+ee", CHANNEL]), boost_histogram.axis.Regular(2, 0, 20)
    )
    words[...] = [[0.1, 0.2], [0.3, 0.4]]
    channels = np.array([get_channel(name).index for name in (CHANNEL, "B+->K+ee", "B+->K+mumu")])
    columns = {"channel": channels, "q2": np.array([15.0, 5.0, 5.0])}
    assert HistogramMap.from_hist(words, ["channel", "q2"]).evaluate(columns).tolist() == [0.4, 0.1, 0.0]
    with pytest.raises(InputError, match="only channel has names"):
        HistogramMap.from_hist(words, ["flavour", "q2"])


def test_a_last_bin_without_end(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text('kind = "histogram"\naxes = ["q2"]\nedges = [[0, 5, inf]]\nvalues = [0.2, 0.4]')
    assert read_map(path).evaluate({"q2": np.array([1.0, 7.0, 1e9])}).tolist() == [0.2, 0.4, 0.4]
    path.write_text('kind = "histogram"\naxes = ["q2"]\nedges = [[0, inf, 5]]\nvalues = [0.2, 0.4]')
    with pytest.raises(InputError, match="edges of q2"):
        read_map(path)


def test_a_compound_correction_is_the_product_of_its_parts(tmp_path):
    schema = pytest.importorskip("correctionlib.schemav2")
    q2, result = schema.Variable(name="q2", type="real"), schema.Variable(name="efficiency", type="real")
    parts = [
        schema.Correction(
            name=name,
            version=1,
            inputs=[q2],
            output=result,
            data=schema.Binning(nodetype="binning", input="q2", edges=[0.0, 5.0, "inf"], content=values, flow="error"),
        )
        for name, values in (("trigger", [0.5, 0.8]), ("reconstruction", [0.5, 0.9]))
    ]
    both = schema.CompoundCorrection(
        name="both",
        inputs=[q2],
        output=result,
        inputs_update=[],
        input_op="*",
        output_op="*",
        stack=["trigger", "reconstruction"],
    )
    path = tmp_path / "map.json"
    found = schema.CorrectionSet(schema_version=2, corrections=parts, compound_corrections=[both])
    path.write_text(found.model_dump_json(exclude_unset=True))
    x = {"q2": np.array([1.0, 7.0])}
    assert read_map(f"{path}:both").evaluate(x).tolist() == pytest.approx([0.25, 0.72])
    assert read_map(f"{path}:trigger").evaluate(x).tolist() == [0.5, 0.8]
    with pytest.raises(InputError, match="both, reconstruction, trigger"):
        read_map(path)


def test_a_map_too_large_to_check_is_refused_before_it_is_made(tmp_path):
    path = tmp_path / "map.toml"
    for axes, term in ((4, "99"), (8, "1")):
        path.write_text(f'kind = "legendre"\naxes = {["phi"] * axes}\nterms = [[{f"{term}, " * axes}0.5]]')
        with pytest.raises(InputError, match="at most 10000 on 6"):
            read_map(path)
