"""The command line on a GPU, driven on the stand-in for CuPy with kernels compiled for the host."""

import json

import numpy as np
import pytest
from darkpenguin import read_events, weigh
from darkpenguin.generator.commands.cli import app
from typer.testing import CliRunner

RUNNER = CliRunner()
PLANE = """
name = "plane"
data = "2017"
model = "sm"
axes = [
  {key = "heavy.C9_mu", min = -2, max = 0, points = 4},
  {key = "heavy.C10_mu", min = -1, max = 1, points = 3},
]
"""


def call(*arguments):
    done = RUNNER.invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


RUN = (
    *("generate", "--channel", "B0->K*0mumu", "--channel", "B+->K+mumu", "--model", "fig2", "--events", 20_000),
    *("--beam", "lhcb-13tev", "--resolution", "lhcb", "--select", "lhcb"),
)


@pytest.fixture
def events(cupy, tmp_path):
    """A file with beam, resolution, cuts and momenta of two channels, made on the device."""
    path = tmp_path / "x.root"
    said = call(*RUN, "--device", "gpu", "--output", path)
    assert "on GPU, stand-in, float64" in said
    return path


def test_what_a_gpu_made_is_validated_binned_and_weighed(events, tmp_path):
    assert "agrees with the prediction" in call("validate", events)
    assert "P5p" in call("bin", events, "--bins", "1.1,6")
    call("weigh", events, "--to", "sm", "--device", "gpu", "--output", tmp_path / "w.root")
    call(*RUN, "--device", "cpu", "--output", tmp_path / "cpu.root")
    weights = [read_events(tmp_path / "w.root")["weight_sm"], weigh(tmp_path / "cpu.root", "sm")["weight_sm"]]
    np.testing.assert_allclose(*weights, rtol=1e-9)
    assert weights[0].std() > 0.01
    assert "cupy-cuda13x" in call("inspect", events)


def test_a_fit(cupy, tmp_path):
    path = tmp_path / "x.root"
    call("generate", "--channel", "B+->K+mumu", "--q2", "1.1,8", "--events", 2000, "--device", "gpu", "--output", path)
    options = ("--model", "sm", "--float", "heavy.C9_mu,-4,4", "--json")
    said = [json.loads(call("fit", path, *options, "--device", device)) for device in ("gpu", "cpu")]
    assert said[0]["converged"]
    assert said[0]["rows"][0]["value"] == pytest.approx(said[1]["rows"][0]["value"], abs=1e-5)


def test_toys(cupy, tmp_path):
    said = call(
        "toys",
        "--toys",
        3,
        "--observable",
        "R_K+",
        "--depth",
        "events",
        "--device",
        "gpu",
        "--output",
        tmp_path / "t.root",
    )
    assert "3 toys" in said


def test_selftest(cupy):
    said = call("selftest", "--device", "gpu", "--events", 20_000)
    assert "GPU, stand-in" in said
    assert said.count("0.0e+00") == 2  # no event differs from the CPU's


def test_a_scan(cupy, tmp_path):
    card = tmp_path / "plane.toml"
    card.write_text(PLANE)
    grids = []
    for device in ("gpu", "cpu"):
        (tmp_path / device).mkdir()
        call("scan", card, "--device", device, "--output", tmp_path / device)
        grids.append(np.genfromtxt(tmp_path / device / "plane-grid.csv", delimiter=",", skip_header=1))
    np.testing.assert_allclose(*grids, rtol=1e-9)
    assert len(grids[0]) == 12


@pytest.mark.slow
def test_a_figure(cupy, tmp_path):
    call("figure", "2", "--points", 3, "--device", "gpu", "--output", tmp_path)
    assert list(tmp_path.glob("*.csv"))
