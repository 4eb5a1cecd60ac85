"""Reports of commands: what was made, as it is on the disk, in the same layout for every command."""

import hashlib
import json
import subprocess

import pytest
from darkpenguin import InputError
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.report import Report
from typer.testing import CliRunner

KEYS = {"darkpenguin_report", "command", "started", "seconds", "files", "versions", "machine"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments, code=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done.output


def reported(folder, *files):
    """The report of the last command, held against the files."""
    said = json.loads((folder / "run.json").read_text())
    assert set(said) >= KEYS
    assert [entry["path"] for entry in said["files"]] == [str(folder / name) for name in files]
    for entry, name in zip(said["files"], files, strict=True):
        content = (folder / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
    stages = {name: value for name, value in said["seconds"].items() if name != "whole"}
    assert sum(stages.values()) <= said["seconds"]["whole"] + 0.01 * len(stages)
    assert "numpy" in said["versions"]
    return said


def test_a_run_its_parts_and_what_is_made_of_them(here):
    words = ["generate", "--channel", "B+->K+mumu", "--events", "1000", "--report", "run.json"]
    call(*words, "--output", "x.root", "--check")
    said = reported(here, "x.root")
    assert said["valid"]
    assert said["made"]
    assert said["channels"][0]["events"] == 1000
    assert {"tables", "events", "validation"} <= set(said["seconds"])
    assert said["card"]["events"] == 1000
    for made in (True, False):  # the same job again: its report is replaced
        call(*words, "--output", "p.root", "--part", "1/2")
        assert reported(here, "p-1-of-2.root")["made"] is made
    call(*words, "--output", "p.root", "--part", "2/2")
    call("merge", "p-1-of-2.root", "p-2-of-2.root", "-o", "m.root", "--report", "run.json")
    assert reported(here, "m.root")["events"] == 1000
    call("weigh", "m.root", "--to", "fig2", "-o", "w.root", "--report", "run.json")
    assert reported(here, "w.root")["weights"]["rows"][0]["events"] == 1000
    checked = subprocess.run(["sha256sum", "w.root"], capture_output=True, text=True, check=True).stdout
    assert checked.split()[0] == json.loads((here / "run.json").read_text())["files"][0]["sha256"]


def test_toys_and_scans(here):
    (here / "t.toml").write_text('hypotheses = ["sm"]\nobservables = ["R_K+"]\ntoys = 4\ntheory = false\nfit = {}\n')
    call("toys", "t.toml", "--report", "run.json")
    assert reported(here, "toys.root")["toys"] == 4
    axis = 'key = "light_vectors.0.g_mu_v"\nmin = 0.0\nmax = 0.2\npoints = 3\n'
    (here / "s.toml").write_text(f'data = "2017"\ntheory = "none"\n[[axes]]\n{axis}')
    call("scan", "s.toml", "--report", "run.json")
    files = ["scan-grid.csv", "scan-profiles.csv", "scan-pulls.csv", "scan-summary.json"]
    assert reported(here, *files)["points"] == 3
    call("scan", "s.toml", "--part", "1/1", "--report", "run.json")
    assert reported(here, "scan-1-of-1.chi2")["points"] == 3
    call("merge", "scan-1-of-1.chi2", "-o", ".", "--overwrite", "--report", "run.json")
    assert reported(here, *files)["points"] == 3


def test_what_is_in_the_way_is_found_before_any_work(here):
    (here / "notes.json").write_text("[1]")
    words = ["generate", "--channel", "B+->K+mumu", "--events", "10", "--output", "x.root"]
    assert "the file exists" in call(*words, "--report", "notes.json", code=2)
    assert "there is no folder" in call(*words, "--report", "no/run.json", code=2)
    assert sorted(path.name for path in here.iterdir()) == ["notes.json"]
    for text in ("[" * 100_000, '"darkpenguin_report"', "{}", ""):
        (here / "notes.json").write_text(text)
        with pytest.raises(InputError, match="the file exists"):
            Report("notes.json", "toys")
    (here / "notes.json").write_text('{"darkpenguin_report": 1}')
    Report("notes.json", "toys")
