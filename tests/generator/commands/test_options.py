"""Options: each a row; helps are whole sentences; cards that are printed run."""

import re

import pytest
import typer
from darkpenguin.generator.commands import cli
from darkpenguin.generator.commands.options import RADIATION, RUN, THEORY, Option, takes
from darkpenguin.generator.lab.table import STAGES
from darkpenguin.generator.run.card import card_keys
from darkpenguin.kinematics.base.checks import known_keys
from darkpenguin.physics.theory import Theory
from typer.testing import CliRunner

GROUP = typer.main.get_command(cli.app)
COMMANDS = {**GROUP.commands, "generate": cli._whole_generate()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_helps_are_whole_sentences(name):
    command = COMMANDS[name]
    assert re.fullmatch(r"[A-Z].*\.", command.help.strip(), re.DOTALL), command.help
    for parameter in command.params:
        text = parameter.help or ""
        assert re.fullmatch(r"[A-Z].*(\.|\.\.\.)", text, re.DOTALL), (parameter.name, text)


def test_every_key_of_a_run_card_has_an_option():
    theory = (*THEORY, RADIATION)
    own = {row.key for row in RUN if row not in theory} | {"theory"}
    assert own == set(card_keys()) - {stage.key for stage in STAGES}
    assert {row.key.removeprefix("theory_") for row in theory} <= set(known_keys(Theory))


def test_a_row_is_an_option(tmp_path):
    app, seen = typer.Typer(), {}

    @app.command()
    @takes(Option("seed", ("--seed",), "Set the seed.", int), Option("cuts", ("--cut",), "Cut.", list[str]))
    def command(card: str = "demo", **keys):
        seen.update(keys, card=card)

    assert CliRunner().invoke(app, ["--seed", "3", "--cut", "a", "--cut", "b"]).exit_code == 0
    assert seen == {"seed": 3, "cuts": ["a", "b"], "card": "demo"}
    assert CliRunner().invoke(app, []).exit_code == 0
    assert seen == {"seed": None, "cuts": None, "card": "demo"}


PRINTED = {
    "generate": ["--events", "100", "--output", "x.root"],
    "scan": [],
    "toys": ["--toys", "10", "--output", "t.root"],
    "sensitivity": ["--toys", "0", "--observable", "R_K+", "--json"],
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_printed_card_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(cli.app, [name, "--example"])
    assert printed.exit_code == 0
    assert printed.stdout.count("#") > 5
    (tmp_path / "card.toml").write_text(printed.stdout, encoding="utf-8")
    done = CliRunner().invoke(cli.app, [name, "card.toml", *PRINTED[name]])
    assert done.exit_code == 0, done.output


def test_a_model_may_be_a_file_in_every_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.toml").write_text(
        "[[light_vectors]]\nmass = 2.5\nrelative_width = 0.2\ng_bs = -1.5e-8\ng_mu_v = 0.1\n"
    )
    (tmp_path / "scan.toml").write_text('[[axes]]\nkey = "light_vectors.0.g_mu_v"\nmin = 0.0\nmax = 0.2\npoints = 3\n')
    change = ["--set", "light_vectors.0.mass=2.6"]
    for words in (
        ["generate", "--channel", "B+->K+mumu", "--events", "10", "--model", "two.toml", *change],
        ["predict", "R_K+", "--bins", "1,6", "--model", "two.toml", *change],
        ["models", "two.toml", *change],
        ["constraints", "two.toml", *change],
        ["figure", "1", "--model", "two.toml", *change],
        ["figure", "2", "--model", "two.toml", "--points", "9", *change],
        ["scan", "scan.toml", "--model", "two.toml", *change],
        ["toys", "--truth", "two.toml", "--toys", "3", "--observable", "R_K+", *change],
        ["sensitivity", "--truth", "two.toml", "--toys", "0", "--observable", "R_K+", *change],
    ):
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == 0, (words, done.output)
