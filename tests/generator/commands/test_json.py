"""`--json` instead of every table: the same numbers, nothing else on standard output."""

import json

import pytest
import typer
from darkpenguin.generator.commands.cli import app
from typer.testing import CliRunner

RUNNER = CliRunner()
NO_TABLE = {"explore", "figure", "hepmc", "init", "merge", "plan"}
"""Commands that print names of files, or an address, and no table."""
EVENTS = ("--channel", "B0->K*0mumu", "--channel", "B0->K*0ee", "--events", "1000")


def told(*arguments):
    """What a command says as JSON, all of its standard output."""
    done = RUNNER.invoke(app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output

    def number(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(done.stdout, parse_constant=number)


def test_every_command_that_prints_a_table_prints_json():
    commands = typer.main.get_command(app).commands
    have = {name for name, command in commands.items() if any("--json" in p.opts for p in command.params)}
    assert have == set(commands) - NO_TABLE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "x.root"
    found = told("generate", *EVENTS, "--seed", 5, "--beam", "lhcb-13tev", "--select", "lhcb", "--check", "-o", path)
    return path, found


def test_events(made):
    path, found = made
    assert found["files"] == [str(path)]
    assert [(row["channel"], row["events"]) for row in found["channels"]] == [(EVENTS[1], 1000), (EVENTS[3], 1000)]
    assert found["validation"][0]["passed"] is True
    assert told("inspect", path)["seed"] == 5
    assert told("inspect", path, "--verify") == {"file": str(path), "digests": True, "damages": []}
    assert told("validate", path)["channels"][0]["events"] == 1000
    assert told("bin", path, "--bins", "1.1,6") == json.loads(
        RUNNER.invoke(app, ["bin", str(path), "--bins", "1.1,6", "--format", "json"]).stdout
    )
    assert told("weigh", path, "--to", "fig2")["rows"]


def test_tables_of_the_package():
    assert told("models")["fig2"] == told("models", "fig2")
    assert told("channels")[0]["name"] == "B+->K+mumu"
    assert 0.9 < told("predict", "R_K+", "--bins", "1.1,6")["rows"][0]["value"] < 1.1
    assert {"lhcb-run12", "belle2-50"} <= set(told("toys", "--list"))
    assert told("selftest", "--events", 10_000)["passed"]


def test_scans_and_toys(tmp_path):
    scan = tmp_path / "small.toml"
    scan.write_text(
        'name = "small"\ngroups = ["R_K"]\nmodel = "fig2"\ndata = "2017"\n\n'
        '[[axes]]\nkey = "light_vectors.0.g_bs"\nmin = -1e-8\nmax = 1e-8\npoints = 3\n',
        encoding="utf-8",
    )
    found = told("scan", scan, "-o", tmp_path)
    assert [row["group"] for row in found["chi2"]][-1] == "all"
    assert found["chi2"][-1]["best_fit"] <= min(found["chi2"][-1]["standard_model"], 1e3)
    assert set(found["best_fit"]) == {"light_vectors.0.g_bs"}
    toys = told("toys", "--toys", 20, "--observable", "R_K+", "-o", tmp_path / "t.root", "--seed", 2)
    assert (toys["toys"], toys["made"], toys["interrupted"]) == (20, 20, False)
    assert 0 <= toys["tests"][1]["preferred"] <= 1
    for row in toys["pulls"]:
        assert row["toys"] == 20
        assert 0 <= row["coverage"] <= 1
