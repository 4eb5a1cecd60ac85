"""Predictions in reconstructed bins: a response measured with the Standard Model, and events of another model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from darkpenguin import InputError, as_model, generate, migrations
from darkpenguin.generator.analysis.folding import Response, fold, response_from, response_of
from darkpenguin.generator.commands.cli import app
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.rates import branching_ratio
from typer.testing import CliRunner

EDGES = np.arange(0.5, 8.6, 0.5)
DETECTOR = {"beam": "lhcb-13tev", "resolution": "lhcb", "selection": "lhcb"}


@pytest.fixture(scope="module")
def response():
    sample = generate("B+->K+ee", "sm", 100_000, seed=1, **DETECTOR)
    return response_of(next(iter(migrations(sample, EDGES.tolist()))))


def test_events_of_another_model_are_found_where_they_are_predicted(response):
    """Pulls below 6: a false-alarm rate of 3e-8; without migration, and at 1.5 of the efficiency, they are not."""
    model, n = as_model({"heavy": {"C9_e": -1.5}}), 100_000
    sample = generate("B+->K+ee", model, n, seed=2, **DETECTOR)
    found = np.histogram(sample["q2_reco"][sample["accepted"] == 1], EDGES)[0]
    b_mesons = n / branching_ratio(get_channel("B+->K+ee"), model)

    def pull(one):
        expected = one.expected(model, b_mesons)
        return np.abs((found - expected) / np.sqrt(found + (one.error * expected) ** 2)).max()

    assert pull(response) < 6
    bins = len(EDGES) - 1
    assert pull(replace(response, migration=np.eye(bins + 2)[:, 1:-1])) > 8
    assert pull(replace(response, efficiency=1.5 * response.efficiency)) > 8


def test_a_channel_is_one_of_pyhf(response):
    pyhf = pytest.importorskip("pyhf")
    channels = [response.pyhf_channel("sm", 1e9, "electrons"), response.pyhf_channel("sm", 1e9, "again")]
    model = pyhf.Model({"channels": channels}, poi_name="mu")
    np.testing.assert_allclose(
        model.expected_actualdata(model.config.suggested_init())[: len(EDGES) - 1], response.expected("sm", 1e9)
    )


def test_two_histograms_are_a_response():
    found = response_from("B+->K+mumu", [1.0, 4.0, 6.0], [100.0, 0.0], [[30.0, 10.0], [0.0, 0.0]])
    assert found.efficiency.tolist() == [0.4, 0.0]
    assert found.migration.tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert found.expected("sm", 1e9)[0] == pytest.approx(3 * found.expected("sm", 1e9)[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"efficiency": np.array([1.2])}, "response.efficiency: probabilities lie in 0 to 1"),
        ({"migration": np.array([[0.9, 0.3]])}, "response.migration"),
        ({"efficiency": np.array([0.2, 0.2])}, "1 true bins"),
        ({"true": np.array([6.0, 1.0])}, "must rise"),
    ],
)
def test_what_is_no_response_is_refused(changes, message):
    good = {
        "channel": "B+->K+mumu",
        "true": np.array([1.0, 6.0]),
        "efficiency": np.array([0.5]),
        "migration": np.array([[0.5, 0.4]]),
        "error": np.zeros(2),
    }
    with pytest.raises(InputError, match=message):
        Response(**{**good, **changes})


TABLE = {"channel": "B+->K+mumu", "true": [1.1, 4.0, 6.0], "generated": [100, 80], "found": [[40, 5], [4, 36]]}


def run(*words):
    return CliRunner().invoke(app, ["fold", *map(str, words)])


def test_the_command_folds_histograms_into_a_workspace(tmp_path):
    """R of what is found is that of the rates where electrons and muons have one response; pyhf finds mu = 1."""
    pyhf = pytest.importorskip("pyhf")
    known = {**TABLE, "reconstructed": [1.1, 4.0, 6.0]}
    (tmp_path / "r.json").write_text(json.dumps([known, {**known, "channel": "B+->K+ee"}]))
    done = run(tmp_path / "r.json", "--model", "fig2", "--b-mesons", "1e9", "--output", tmp_path / "w.json", "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["rows"]
    assert [row["channel"] for row in rows] == ["B+->K+mumu"] * 2 + ["B+->K+ee"] * 2 + ["R_K+"] * 2
    same = fold([response_from(**known)], "fig2", 1e9)
    assert [row["expected"] for row in rows[:2]] == [row.expected for row in same]
    assert rows[4]["expected"] == rows[0]["expected"] / rows[2]["expected"] < 0.95
    workspace = pyhf.Workspace(json.loads((tmp_path / "w.json").read_text()))
    model = workspace.model()
    data = workspace.data(model)
    np.testing.assert_allclose(data[2:4], [row["expected"] for row in rows[:2]])  # channels in the order of their names
    best = pyhf.infer.mle.fit(data, model)
    assert best[model.config.poi_index] == pytest.approx(1.0, abs=1e-4)
    assert run(tmp_path / "r.json", "--output", tmp_path / "w.json").exit_code == 2  # exists


def test_the_command_folds_events_behind_a_detector(tmp_path):
    sample = generate("B+->K+ee", "sm", 5_000, seed=1, **DETECTOR)
    sample.write(tmp_path / "x.root")
    done = run(tmp_path / "x.root", "--bins", "1.1,3,6", "--model", "fig2")
    assert done.exit_code == 0, done.output
    assert "1.1-3" in done.stdout
    direct = response_of(next(iter(migrations(sample, [1.1, 3.0, 6.0])))).expected("fig2", 1e9)
    assert f"{direct[0]:.6g}" in done.stdout


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"found": [[40, 5]]}, "found (1, 2)"),
        ({"found": [[70, 50], [0, 0]]}, "probabilities lie in 0 to 1"),
        ({"found": [["a", 5], [4, 36]]}, "tables of numbers"),
        ({"generate": [1]}, "did you mean generated?"),
        ({"reconstructed": [1.1, 6.0]}, "2 bins have 3 edges"),
        ({"channel": "B+->K+mumuu"}, "B+->K+mumu"),
        (None, "no JSON"),
    ],
)
def test_histograms_that_are_none_are_one_line(tmp_path, table, message):
    text = json.dumps({**TABLE, **table}) if isinstance(table, dict) else "{"
    (tmp_path / "r.json").write_text(text)
    done = run(tmp_path / "r.json")
    assert isinstance(done.exception, (InputError, SystemExit))
    assert done.exit_code == 2
    assert message in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"q2": [(1.0, 6.0)], **DETECTOR}, "has not all of q2"),
        ({**DETECTOR, "selection": {"cuts": "lhcb", "mode": "reject"}}, "generate it in the mode flag"),
        ({}, "q2_reco"),
    ],
)
def test_events_that_are_not_all_are_refused(tmp_path, keys, message):
    with pytest.raises(InputError, match=message):
        fold(generate("B+->K+ee", "sm", 200, seed=1, **keys), "sm")
    with pytest.raises(InputError, match="b_mesons = 0"):
        fold([response_from(**TABLE)], "sm", 0.0)
