"""A data set is one file: each kind of it is added as one, and every command that takes a name takes it."""

import json

import numpy as np
import pandas as pd
import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.figures.figure_1 import PANELS, figure_1_points
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.physics.experiment import datasets
from typer.testing import CliRunner

MEASUREMENTS = """\
title: two measurements of a toy experiment, correlated
date: 2026-01
theory: none
extends: current
measurements:
  Toy R_K and P5p:
    experiment: Toy
    arxiv: '0000.00000'
    values:
    - {name: R_K+, q2min: 1.1, q2max: 6.0, value: 0.80 ± 0.03 ± 0.04}
    - {name: R_K0, q2min: 1.1, q2max: 6.0, value: 0.90 ± 0.05}
    correlation:
    - [1, 0.5]
    - [1]
limits:
  trident: {value: 1.5, error: 0.1, source: the toy experiment}
"""
YIELDS = """\
description: a toy experiment
luminosity: 10.0
efficiency_error: 0.01
channels:
  B+->K+mumu: {yield: 4000, q2: [1.1, 6.0]}
  B+->K+ee: {yield: 2000, q2: [1.1, 6.0], background: 100}
"""


def run(*arguments):
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == 0, (found.output, found.exception)
    return found.stdout


@pytest.fixture(params=["a file in the folder", "a path"])
def measurements(request, tmp_path, monkeypatch):
    """What ``--data`` is given: the name of a new file in the folder, or the path of one."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "toy.yml").write_text(MEASUREMENTS, encoding="utf-8")
    if request.param == "a path":
        return folder / "toy.yml"
    for name in datasets.data_names():
        (folder / f"{name}.yml").symlink_to(datasets.FOLDER / f"{name}.yml")
    monkeypatch.setattr(datasets, "FOLDER", folder)
    return "toy"


def test_measurements_are_one_file(measurements, tmp_path):
    rows = {row["name"]: row for row in json.loads(run("constraints", "sm", "--json", "--data", measurements))}
    assert rows["neutrino_trident"]["source"] == "the toy experiment"
    assert rows["neutrino_trident"]["pull"] == pytest.approx((1.0 - 1.5) / 0.1)
    assert rows["delta_a_mu"]["source"].startswith("world average")

    toy = [point for point in figure_1_points(PANELS[0], measurements) if point.experiment == "Toy"]
    assert [(point.value, point.up) for point in toy] == [(0.8, pytest.approx(0.05)), (0.9, pytest.approx(0.05))]
    run("figure", 1, "--data", measurements, "--model", "sm", "--output", tmp_path)
    drawn = pd.read_csv(tmp_path / "figure-1-toy-points.csv")
    assert drawn[drawn.experiment == "Toy"].value.tolist() == [0.8, 0.9]

    card = tmp_path / "card.toml"
    axis = 'key = "heavy.C9_mu"\nmin = -2\nmax = 0\npoints = 3'
    card.write_text(f'model = "sm"\ngroups = ["R_K"]\ndata = "{measurements}"\n[[axes]]\n{axis}', encoding="utf-8")
    run("scan", card, "--output", tmp_path)
    pulls = pd.read_csv(tmp_path / "scan-pulls.csv")
    pulls = pulls[(pulls.model == "Standard Model") & (pulls.measurement == "Toy R_K and P5p")]
    assert pulls.error.tolist() == pytest.approx([0.05, 0.05])
    summary = json.loads((tmp_path / "scan-summary.json").read_text(encoding="utf-8"))
    assert (summary["data"]["name"], summary["data"]["title"], summary["theory"]) == (
        "toy",
        "two measurements of a toy experiment, correlated",
        "none",
    )


def test_the_correlated_pair_is_in_chi_squared(measurements):
    """By hand: r^T C^-1 r with C of two errors of 0.05 and a correlation of 0.5, on top of the set it begins with."""
    from darkpenguin.physics.experiment.likelihood import build_likelihood

    toy, today = (build_likelihood(data, ["R_K"])["R_K"] for data in (measurements, "current"))
    prediction = np.ones((1, len(toy.observables)))
    r = np.array([0.8, 0.9]) - 1.0
    pair = r @ np.linalg.inv(0.05**2 * np.array([[1.0, 0.5], [0.5, 1.0]])) @ r
    assert toy.chi2(prediction)[0] - today.chi2(prediction[:, :-2])[0] == pytest.approx(pair, rel=1e-9)
    assert abs(pair - r @ r / 0.05**2) > 1  # without the correlation it would be another number


@pytest.fixture(params=[".yml", ".toml"])
def yields(request, tmp_path):
    path = tmp_path / f"toy{request.param}"
    if request.param == ".yml":
        path.write_text(YIELDS, encoding="utf-8")
    else:
        path.write_text(
            'description = "a toy experiment"\nluminosity = 10.0\nefficiency_error = 0.01\n'
            '[channels."B+->K+mumu"]\nyield = 4000\nq2 = [1.1, 6.0]\n'
            '[channels."B+->K+ee"]\nyield = 2000\nq2 = [1.1, 6.0]\nbackground = 100\n',
            encoding="utf-8",
        )
    return path


def test_yields_are_one_file(yields, tmp_path):
    assert get_dataset(str(yields)).channels["B+->K+ee"].backgrounds[0].expected == 100
    card = tmp_path / "card.toml"
    card.write_text('observables = ["R_K+"]\nbins = [1.1, 6.0]\ntruth = {model = "sm"}\n', encoding="utf-8")
    made = run("toys", card, "--dataset", yields, "--toys", 20, "--output", tmp_path / "toys.parquet")
    assert "20 toys" in made
    from darkpenguin.generator.toys.files import read_toys

    toys = read_toys(tmp_path / "toys.parquet")
    assert toys.toys == 20
    assert toys.provenance["dataset"]["name"] == "toy"
    asked = ("sensitivity", card, "--dataset", yields, "--toys", 0, "--json")
    answer = json.loads(run(*asked))
    assert answer["card"]["dataset"]["luminosity"] == 10.0
    assert answer["unit"] == "fb^-1"
