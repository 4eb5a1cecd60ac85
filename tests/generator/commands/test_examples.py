"""The examples in docs/examples: what they run is what the command line has."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from darkpenguin import read_events, run
from darkpenguin.generator.commands import cli

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
CARD = 'channels = ["B0->K*0mumu"]\nmodel = "fig2"\nevents = 300\noutput = "run.root"\n'
SNAKEMAKE = shutil.which("snakemake")


@pytest.mark.parametrize("name", ["Snakefile", "condor.sub", "slurm.sh"])
def test_every_command_and_option_exists(name):
    import typer

    group = typer.main.get_command(cli.app)
    commands = {**group.commands, "generate": cli._whole_generate()}
    lines = (EXAMPLES / name).read_text().replace("# ", "").splitlines()
    found = re.findall(r"darkpenguin (\w+)(.*)", "\n".join(line for line in lines if "darkpenguin" in line))
    assert len(found) >= 3
    for command, rest in found:
        known = {
            flag for parameter in commands[command].params for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(re.findall(r"--[\w-]+", rest)) <= known, command


@pytest.mark.skipif(SNAKEMAKE is None, reason="snakemake is not installed")
def test_the_snakefile_runs(tmp_path):
    tool = tmp_path / "bin" / "darkpenguin"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m darkpenguin "$@"\n')
    tool.chmod(0o755)
    (tmp_path / "run.toml").write_text(CARD)
    shutil.copy(EXAMPLES / "Snakefile", tmp_path)
    command = [SNAKEMAKE, "--cores", "1", "--config", "parts=2", "--quiet"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}, check=True)
    whole = read_events(run(tmp_path / "run.toml", output=str(tmp_path / "whole.root")).files[0])
    found = read_events(tmp_path / "run.root")
    for name in whole.names:
        assert found[name].tobytes() == whole[name].tobytes(), name
