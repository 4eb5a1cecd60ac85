"""Histograms instead of rows: those of the rows to the last count, of parts by addition, and read by others."""

import os

import hist
import numpy as np
import pytest
import uproot
from darkpenguin import InputError, generate, make_card, run
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.run import reduce
from darkpenguin.generator.run.histograms import Reduction
from darkpenguin.generator.run.reduce import read
from darkpenguin.generator.scans.farm import merge
from darkpenguin.kinematics.base.errors import InputError as Refused
from typer.testing import CliRunner

CUT = {"maps": {"mu": 0.3, "e": 0.1}}
CARD = {"channels": ["B0->K*0mumu", "B+->K+ee"], "model": "fig2", "events": 60_000, "seed": 5, "efficiency": CUT}
LINE = {"column": "q2", "bins": 37, "min": 1.1, "max": 17.3}
HISTOGRAMS = {
    "q2": {"axes": LINE},
    "uneven": {"axes": {"column": "q2", "edges": [0, 0.1, 1.1, 6, 7, 15]}, "select": "accepted == 1"},
    "plane": {"axes": [LINE, {"column": "cos_theta_l", "bins": 8, "min": -1, "max": 1}]},
    "cube": {
        "axes": [
            {"column": "q2", "edges": [0, 4, 22]},
            {"column": "abs(cos_theta_k)", "bins": 3, "min": 0, "max": 1},
            {"column": "phi", "bins": 5, "min": -3, "max": 3},
        ],
        "channels": ["B0->K*0mumu"],
    },
    "moment": {"axes": LINE, "weight": "cos_theta_l * cos_theta_l"},
    "flavour": {"axes": {"column": "flavour", "edges": [-1.5, 0, 1.5]}, "weight": "weight"},
}


@pytest.fixture(scope="module")
def rows():
    return generate(CARD)


@pytest.fixture(scope="module")
def reduced(tmp_path_factory):
    path = tmp_path_factory.mktemp("reduced") / "h.root"
    run(CARD, reduce=HISTOGRAMS, output=str(path))
    return path


def by_hist(settings, columns):
    """The same histogram by boost-histogram, which counts below and above as ROOT does."""
    made = hist.Hist(
        *(hist.axis.Variable(list(axis.all_edges)) for axis in settings.axes), storage=hist.storage.Weight()
    )
    made.fill(*columns[0], weight=columns[1])
    return made.values(flow=True), made.variances(flow=True)


def columns_of(name, rows):
    settings = Reduction.read(HISTOGRAMS).histograms[name]
    keep = np.ones(len(rows), bool)
    if settings.select:
        keep &= rows["accepted"] == 1
    if settings.channels:
        keep &= rows["channel"] == rows.provenance["channels"][0]["index"]
    known = {"abs(cos_theta_k)": np.abs(rows["cos_theta_k"])} | {name: rows[name] for name in rows.names}
    weight = {None: np.ones(len(rows)), "weight": rows["weight"]}.get(settings.weight, rows["cos_theta_l"] ** 2)
    return settings, ([known[axis.column][keep] for axis in settings.axes], weight[keep])


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_it_is_the_histogram_of_the_rows(name, rows, reduced):
    settings, columns = columns_of(name, rows)
    values, variances = by_hist(settings, columns)
    found = read(reduced).histograms[name]
    with uproot.open(reduced) as file:
        for got, expected in ((found.values, values), (file[name].values(flow=True), values)):
            if settings.weight is None:
                np.testing.assert_array_equal(got, expected)
            else:
                np.testing.assert_allclose(got, expected, rtol=1e-12)
        np.testing.assert_allclose(file[name].variances(flow=True), variances, rtol=1e-12)
        assert [axis.title if hasattr(axis, "title") else axis.member("fTitle") for axis in file[name].axes] == [
            axis.column for axis in settings.axes
        ]
        for axis, stored in zip(settings.axes, file[name].axes, strict=True):
            np.testing.assert_allclose(stored.edges(), axis.all_edges, rtol=1e-14)
        assert file[name].classname == ("TH1D", "TH2D", "TH3D")[len(settings.axes) - 1]
    assert found.entries == len(columns[1])
    assert found.undefined == 0


def test_equal_bins_are_those_of_numpy():
    """Values on the edges and a rounding beside them, where a division alone would err."""
    settings = Reduction.read({"x": {"axes": {"column": "x", "bins": 49, "min": 0.1, "max": 4.9}}}).histograms["x"]
    edges = settings.axes[0].all_edges
    x = np.concatenate([edges, np.nextafter(edges, 10), np.nextafter(edges, -10)])
    histogram = reduce.Histogram(settings)
    histogram.fill({"x": x}, histogram.expressions(["x"]), {})
    inside = x[x < edges[-1]]
    np.testing.assert_array_equal(histogram.values[1:-1], np.histogram(inside, edges)[0])
    assert histogram.values.sum() == len(x)


def test_what_is_not_a_number_is_in_no_bin():
    settings = Reduction.read({"x": {"axes": {"column": "x", "edges": [0, 1]}, "weight": "w"}}).histograms["x"]
    histogram = reduce.Histogram(settings)
    columns = {"x": np.array([0.5, np.nan, np.inf, -np.inf]), "w": np.array([2.0, 1.0, 3.0, np.nan])}
    histogram.fill(columns, histogram.expressions(["x", "w"]), {})
    assert histogram.values.tolist() == [0, 2, 3]
    assert (histogram.entries, histogram.undefined) == (2, 2)


def test_parts_add_up_to_the_run(tmp_path, reduced):
    keys = {"reduce": HISTOGRAMS, "output": str(tmp_path / "p.root")}
    parts = [run(CARD, part=f"{k}/3", threads=k % 2 + 1, **keys).files[0] for k in (1, 2, 3)]
    whole, merged = read(reduced), merge([parts[i] for i in (2, 0, 1)], tmp_path / "m.root")
    for name, one in whole.histograms.items():
        other = read(tmp_path / "m.root").histograms[name]
        assert (one.entries, one.undefined) == (other.entries, other.undefined)
        if one.squares is None:
            np.testing.assert_array_equal(one.values, other.values)
        else:
            np.testing.assert_allclose(one.values, other.values, rtol=1e-13)
    assert merged.provenance["channels"] == whole.provenance["channels"]
    assert merged.provenance["range"] == whole.provenance["range"]
    for files, match in ((parts[:2], "make the others"), ([*parts, parts[0]], "twice"), (parts[::2], "missing")):
        with pytest.raises(InputError, match=match):
            merge(files, tmp_path / "n.root")
    assert merge(parts[:2], tmp_path / "n.root", partial=True).provenance["range"] == [0, 80_000]


def test_a_damaged_file_is_refused_or_says_the_same(tmp_path, reduced):
    whole, bad, refused = read(reduced), tmp_path / "bad.root", 0
    content = reduced.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(content), 40):
        bad.write_bytes(content[:place] + bytes([content[place] ^ (1 << rng.integers(8))]) + content[place + 1 :])
        try:
            found = read(bad)
        except InputError:
            refused += 1
            continue
        for name, one in whole.histograms.items():
            np.testing.assert_array_equal(found.histograms[name].values, one.values)
    assert refused > 5  # names, dates and descriptions of classes say nothing of the contents


def test_the_command(tmp_path):
    """Cards, parts that are there already, and the exit code of a mistake."""
    card = tmp_path / "h.toml"
    card.write_text('[q2]\naxes = { column = "q2", bins = 10, min = 0, max = 20 }\n', encoding="utf-8")
    output = tmp_path / "x.root"
    words = ["generate", "--channel", "B+->K+mumu", "--events", "500", "--reduce", str(card), "--output", str(output)]
    for said in ("file: ", "already there"):
        done = CliRunner().invoke(app, [*words, "--part", "1/2"])
        assert done.exit_code == 0, done.output
        assert said in done.output
    assert CliRunner().invoke(app, [*words, "--part", "2/2"]).exit_code == 0
    parts = sorted(map(str, tmp_path.glob("x-*.root")))
    done = CliRunner().invoke(app, ["merge", *parts, "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert "1 histograms of 500 events" in done.output
    assert read(output).histograms["q2"].values.sum() == 500
    assert CliRunner().invoke(app, words).exit_code == 2  # it is there
    card.write_text('[q2]\naxes = { column = "q", bins = 10, min = 0, max = 20 }\n', encoding="utf-8")
    done = CliRunner().invoke(app, [*words, "--overwrite"])
    assert done.exit_code == 2
    assert "events of sm" not in done.output  # before it is said that there is work
    shown = CliRunner().invoke(app, ["inspect", str(output)])
    assert shown.exit_code == 0, shown.output
    assert "histograms of 500 events" in shown.output
    assert "as it was written" in CliRunner().invoke(app, ["inspect", "--verify", str(output)]).output
    assert sorted(os.listdir(tmp_path)) == ["h.toml", "x-1-of-2.root", "x-2-of-2.root", "x.root"]


@pytest.mark.parametrize(
    ("histograms", "match"),
    [
        ({}, "histograms"),
        ({"a/b": {"axes": LINE}}, "no name of a histogram"),
        ({"a": {"axes": []}}, "axes"),
        ({"a": {"axes": [LINE] * 4}}, "axes"),
        ({"a": {"axes": {"column": "q2"}}}, "give bins, min and max, or edges"),
        ({"a": {"axes": {**LINE, "edges": [0, 1]}}}, "give bins, min and max, or edges"),
        ({"a": {"axes": {"column": "q2", "edges": [0, 2, 1]}}}, "must rise"),
        ({"a": {"axes": {**LINE, "bins": 10**9}}}, "bins"),
        ({"a": {"axes": [{**LINE, "bins": 10**5}] * 3}}, "at most"),
        ({"a": {"axes": LINE, "channels": ["B0->K*0mumumu"]}}, "B0->K"),
        ({"a": {"axes": LINE, "colour": 1}}, "colour"),
        (5, "name a TOML file"),
        ("no-such.toml", "no-such"),
    ],
)
def test_mistakes_are_found_before_any_work(histograms, match):
    with pytest.raises(Refused, match=match):
        make_card(CARD, reduce=histograms)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"axes": {**LINE, "column": "q3"}}, "no column q3; known"),
        ({"axes": {**LINE, "column": "q2 > 1"}}, "a number is needed"),
        ({"axes": LINE, "select": "q2"}, "true or false"),
        ({"axes": {**LINE, "column": "cos_theta_k"}}, "cos_theta_k.*channels names those"),
        ({"axes": LINE, "channels": ["B+->K+mumu"]}, "not in this run"),
    ],
)
def test_expressions_are_checked_against_the_columns(tmp_path, settings, match):
    with pytest.raises(InputError, match=match):
        run(CARD, reduce={"a": settings}, output=str(tmp_path / "x.root"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("keys", [{"check": True}, {"output": "x.parquet"}, {"output": "x_{channel}.root"}])
def test_what_needs_events_is_refused(keys):
    with pytest.raises(InputError, match="reduce"):
        make_card(CARD, reduce=HISTOGRAMS, **{"output": "x.root", **keys})
