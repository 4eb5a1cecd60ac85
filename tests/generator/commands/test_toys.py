"""The commands toys and sensitivity, and the figures of toys."""

import json

import numpy as np
import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.figures.toys import pull_rows, pull_table, pulls
from darkpenguin.generator.files.sample import read_events
from darkpenguin.generator.toys.files import read_ntuple
from darkpenguin.generator.toys.run import ToysCard, plan_toys
from typer.testing import CliRunner

CARD = """
toys = 40
observables = ["R_K+", "P5p"]
bins = [1.1, 3.0, 6.0]
hypotheses = [{ model = "sm" }, { model = "heavy-c9" }]
[truth]
model = "heavy-c9"
"""


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "card.toml").write_text(CARD)
    (tmp_path / "own.toml").write_text("dataset = { luminosit = 1.0, channels = {} }")
    (tmp_path / "detector.toml").write_text("detector = { resolution = -1 }")
    return lambda *words: CliRunner().invoke(app, list(words))


def test_toys_command_makes_a_file_and_figures(invoke, tmp_path):
    result = invoke("toys", "card.toml", "--output", "t.root", "--figure", "f.png", "--figure", "f.pdf")
    assert result.exit_code == 0, result.output
    assert "40 toys, 40 of them made now" in result.output
    assert "coverage" in result.output
    for word in ("bands", "pulls", "tests"):
        assert (tmp_path / f"f-{word}.png").stat().st_size > 10_000
        assert (tmp_path / f"f-{word}.pdf").stat().st_size > 3_000
    result = invoke("toys", "card.toml", "--output", "t.root", "--toys", "6e1")
    assert "60 toys, 20 of them made now" in result.output
    assert len(read_ntuple("t.root")[0]["toy"]) == 60


def test_a_toy_as_events(invoke):
    invoke("toys", "card.toml", "--output", "t.root")
    result = invoke("toys", "card.toml", "--events-of", "3", "--output", "e.root")
    assert result.exit_code == 0, result.output
    sample = read_events("e.root")
    muons = np.asarray(sample["channel"]) == 1
    counts = np.histogram(np.asarray(sample["q2"])[muons], [1.1, 3.0, 6.0])[0]
    found = read_ntuple("t.root")[0]["n_Bp_Kpmumu"][3]
    assert np.all((counts > 0.8 * found) & (counts < found))  # background is not generated


def test_sensitivity_command_answers(invoke, tmp_path):
    result = invoke(
        "sensitivity",
        "--toys",
        "10",
        "--observable",
        "R_K+",
        "--observable",
        "R_K*0",
        "--luminosity",
        "50",
        "--figure",
        "s.png",
    )
    assert result.exit_code == 0, result.output
    assert "R_K+ alone needs" in result.output
    assert (tmp_path / "s.png").exists()
    assert (tmp_path / "s-statistics.png").exists()
    result = invoke("sensitivity", "--toys", "0", "--observable", "R_K+", "--json")
    assert json.loads(result.output)["required"]["R_K+"] > 10
    assert "arXiv:2212.09153" in invoke("sensitivity", "--list").output
    result = invoke(
        "sensitivity",
        "--toys",
        "0",
        "--observable",
        "R_K+",
        "--versus",
        "light_vectors.0.mass,2.4,2.6,2",
        "--limit",
        "light_vectors.0.g_bs=-1e-8",
        "--figure",
        "w.png",
        "--export",
        "w.json",
    )
    assert json.loads((tmp_path / "w.json").read_text())["measurements"][0]["config"]["poi"] == "mu"
    assert "light_vectors.0.mass" in result.output
    assert "expected at 95 % CL: light_vectors.0.g_bs > -" in result.output
    for view in ("", "-luminosity", "-limit"):
        assert (tmp_path / f"w{view}.png").stat().st_size > 10_000
    assert "limit on light_vectors.0.g_bs" in result.output
    assert " inf" not in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toys", "missing.toml"], "cannot be read"),
        (["toys", "--toys", "0"], "toys"),
        (["toys", "--truth", "heavy-c99"], "did you mean"),
        (["toys", "--depth", "deep"], "depth"),
        (["toys", "--output", "t.csv", "--toys", "3"], "names no format"),
        (["sensitivity", "--dataset", "lhcb"], "no such data set"),
        (["sensitivity", "--observable", "R_K"], "did you mean"),
        (["sensitivity", "--luminosity", "-3", "--toys", "3"], "luminosities[0] = -3.0: should be greater"),
        (["sensitivity", "--versus", "mass,3"], "write KEY,MIN,MAX,POINTS"),
        (["sensitivity", "--versus", "light_vectors.0.mas,1,2,3"], "did you mean mass"),
        (["sensitivity", "--export", "w.json"], "add --limit"),
        (["sensitivity", "--free", "light_vectors.0.mass"], "write KEY,MIN,MAX"),
        (["sensitivity", "--free", "light_vectors.0.mas,1,2"], "did you mean mass"),
        (["sensitivity", "--limit", "light_vectors.0.g_bs"], "write KEY=VALUE"),
        (["toys", "own.toml"], "luminosit: no such key; did you mean luminosity"),
        (["toys", "detector.toml"], "detector.resolution.all = -1"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(invoke, words, message):
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output + result.stderr


def test_pulls_of_a_fitted_coupling_need_a_true_value():
    # rates of B -> K l l alone hardly tell C9 = -1.1 from its mirror near -7: stay on this side
    card = ToysCard(truth={"model": "heavy-c9"}, observables=("R_K+",), theory=False, fit_starts=((0.0,),))
    columns = plan_toys(card).rows(0, 400)
    found = pulls(card, columns)
    assert list(found) == ["R_K+", "fit C9"]
    assert abs(np.nanmean(found["fit C9"])) < 0.3
    assert abs(np.nanstd(found["fit C9"]) - 1) < 0.25
    assert len(pull_table(pull_rows(card, columns))) == 6
    # V is not in the model of the fit: no truth, no pull
    card = ToysCard(observables=("R_K+",), theory=False)
    assert list(pulls(card, plan_toys(card).rows(0, 10))) == ["R_K+"]
