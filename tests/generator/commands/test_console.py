"""Progress in the log of a job, and what is said to whom."""

import os
import re
import subprocess
import sys
import time

import darkpenguin
import numpy as np
import pytest
from darkpenguin.generator.commands import console


def test_progress_off_a_terminal_is_plain_lines_from_time_to_time(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress_bar("generating", 1000) as progress:
        for _ in range(6):
            clock[0] += 15.0
            progress(100)
    with console.progress_bar("scanning", 0) as progress:
        clock[0] += 31.0
        progress(7)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "generating: 200 of 1,000 (20%), 120 s left, 6.67e+00/s",
        "generating: 400 of 1,000 (40%), 90 s left, 6.67e+00/s",
        "generating: 600 of 1,000 (60%), 60 s left, 6.67e+00/s",
        "scanning: 7, 2.26e-01/s",
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_work_that_cannot_be_counted_says_that_it_goes_on(monkeypatch, capsys, quiet):
    """Tables, fits, sensitivities: lines come while nothing is counted, with what is being done; then they end."""
    monkeypatch.setattr(console, "INTERVAL", 0.02)
    monkeypatch.setattr(console.Talk, "quiet", quiet)
    with console.waiting("building the tables") as say:
        time.sleep(0.3)
        say("toys: 20 of 200")
        time.sleep(0.3)
    with console.progress_bar("weighing", 100):
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    told = {line.rpartition(": ")[0] for line in lines}
    assert told == (set() if quiet else {"building the tables", "toys: 20 of 200", "weighing"})
    assert all(line.endswith(" s so far") for line in lines)
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def shown(*arguments, **environment):
    command = "import sys; sys.argv[0] = 'darkpenguin'; from darkpenguin.generator.commands.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, done.stderr


def test_quiet_and_verbose(tmp_path):
    run = (
        "generate",
        "--channel",
        "B+->K+mumu",
        "--events",
        "100",
        "--overwrite",
        "--output",
        str(tmp_path / "x.root"),
    )
    plain, quiet, verbose = shown(*run), shown("--quiet", *run), shown("-v", *run)
    assert "100 events of sm on CPU" in plain[1]
    assert quiet[1] == ""
    assert "file: " in quiet[0]
    assert re.fullmatch(r"[\d.]+ s", verbose[1].splitlines()[-1])
    assert shown(*run, DARKPENGUIN_QUIET="1")[1] == ""


def test_shells_complete_commands_and_options():
    words = {"gen": "generate", "generate --chan": "--channel", "sensitivity --toge": "--together"}
    for typed, expected in words.items():
        line = f"darkpenguin {typed}"
        asked = {"_DARKPENGUIN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        assert expected in shown(**asked)[0].split(), typed


def test_versions_stand_below_our_own():
    lines = shown("--version")[0].splitlines()
    assert lines[0] == f"darkpenguin {darkpenguin.__version__}"
    assert f"numpy {np.__version__}" in lines
