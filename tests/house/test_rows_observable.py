"""An observable is one row: predictions, binned files, scans, toys and figures know it by its row alone."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
import uproot
from darkpenguin.generator.analysis.binning import bin
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.figures import figure as figures
from darkpenguin.generator.figures.bins import draw_bins
from darkpenguin.physics import observables
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model
from darkpenguin.physics.moments import coefficients_from_moments, functions
from darkpenguin.physics.observables import Observable, integrate
from typer.testing import CliRunner

ROW = Observable("T5", lambda a: a.s("5") / a.s("1s"), "T_5", "B0->K*0mumu", 1, "a toy ratio of two S_i", panel=True)
LOW, HIGH = 2.5, 6.0
CARD = """
truth = {model = "fig2"}
hypotheses = [{model = "sm"}, {model = "fig2"}]
dataset = "lhcb-run12"
observables = ["T5"]
bins = [2.5, 6.0]
depth = "DEPTH"
fit = {}
theory = false
toys = 40
seed = 11
"""


@pytest.fixture(autouse=True)
def row(monkeypatch):
    """The one row; nothing else says anything about the toy observable."""
    monkeypatch.setitem(observables._TABLE, ROW.name, ROW)


def run(*arguments):
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert found.exit_code == 0, (found.output, found.exception)
    return found.stdout


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def by_hand(model, low, high):
    """∫(J_5 + J̄_5)/∫(J_1s + J̄_1s)."""
    b, conjugate = integrate(get_channel("B0->K*0mumu"), [get_model(model)], low, high)
    return ((b + conjugate)[6, 0] / (b + conjugate)[0, 0]).item()


def test_it_is_predicted_in_bins_along_a_curve_and_drawn(tmp_path, monkeypatch):
    [found] = table(run("predict", "T5", "--model", "fig2", "--bins", f"{LOW},{HIGH}", "--format", "csv"))
    assert float(found["value"]) == pytest.approx(by_hand("fig2", LOW, HIGH), rel=1e-9)
    assert float(found["value"]) < -0.5  # not a number that is zero whatever the formula
    drawn = []
    draw = figures.draw_predictions
    monkeypatch.setattr(figures, "draw_predictions", lambda *a: drawn.append(draw(*a)) or drawn[-1])
    figure = tmp_path / "t5.png"
    curve = table(run("predict", "T5", "--q2", "1,6", "--points", 6, "--format", "csv", "--figure", figure))
    assert [float(point["q2"]) for point in curve] == [1, 2, 3, 4, 5, 6]
    assert float(curve[3]["value"]) == pytest.approx(by_hand("sm", 4 - 1e-4, 4 + 1e-4), rel=1e-6)
    assert figure.stat().st_size > 10_000
    assert drawn[0].axes[0].get_ylabel() == "$T_5$"


def test_a_file_has_it_with_its_error(tmp_path):
    """Against the prediction within 5 errors; its error against 4,000 bootstrap replicas, good to 1.1 %: 6 of them."""
    file = tmp_path / "x.root"
    run("generate", "--channel", "B0->K*0mumu", "--model", "fig2", "--q2", f"{LOW},{HIGH}", "--events", 5_000,
        "--seed", 5, "--output", file)  # fmt: skip
    rows = {row["quantity"]: row for row in table(run("bin", file, "--bins", f"{LOW},{HIGH}", "--format", "csv"))}
    exact = {row.observable: row for row in bin(file, [(LOW, HIGH)])}
    assert float(rows["T5"]["value"]) == pytest.approx(exact["T5"].value, rel=1e-7)
    panels = [axis.get_ylabel() for axis in draw_bins(list(exact.values())).axes if axis.get_visible()]
    assert panels == [r"events / GeV$^2$", "$F_L$", "$S_{5}$", r"$A_\mathrm{FB}$", "$P_5'$", "$T_5$"]
    assert abs(exact["T5"].value - by_hand("fig2", LOW, HIGH)) < 5 * exact["T5"].error
    with uproot.open(file) as source:
        columns = source["events"].arrays(["cos_theta_k", "cos_theta_l", "phi"], library="np")
    f = functions("vector", *columns.values())
    weights = np.random.default_rng(1).multinomial(len(f), np.full(len(f), 1 / len(f)), 4_000)
    m = np.vstack([f.mean(axis=0), weights @ f / len(f)])
    s_1s, s_5 = coefficients_from_moments(m, "vector")[:, 0], 2.5 * m[:, 6]  # <f_5> = 2 S_5/5
    value, *replicas = s_5 / s_1s
    assert exact["T5"].value == pytest.approx(value, rel=1e-9)
    assert exact["T5"].error == pytest.approx(np.std(replicas), rel=0.067)
    # bent: the error that S_5 alone would give
    assert exact["S5"].error / s_1s[0] != pytest.approx(np.std(replicas), rel=0.067)


def test_a_measurement_of_it_is_scanned(tmp_path):
    """Two bins measured where g_mu_v = 0.05 puts them: the scan finds it, with chi squared 0."""
    truth = get_model("fig2").model_copy(
        update={"light_vectors": (get_model("fig2").light_vectors[0].model_copy(update={"g_mu_v": 0.05}),)}
    )
    bins = ((1.1, 4.0), (4.0, 6.0))
    values = [float(observables.binned("T5", truth, [pair])[0]) for pair in bins]
    (tmp_path / "toy.yml").write_text(
        "title: a toy\ndate: 2026-01\ntheory: none\nmeasurements:\n  Toy:\n    experiment: Toy\n    values:\n"
        + "".join(
            f"    - {{name: T5, q2min: {low}, q2max: {high}, value: {value:.9f} ± 0.02}}\n"
            for (low, high), value in zip(bins, values, strict=True)
        )
    )
    card = tmp_path / "card.toml"
    axis = 'key = "light_vectors.0.g_mu_v"\nmin = 0.0\nmax = 0.1\npoints = 11'
    card.write_text(f'model = "fig2"\ngroups = ["T5"]\ndata = "{tmp_path / "toy.yml"}"\n[[axes]]\n{axis}')
    printed = run("scan", card, "--output", tmp_path)
    assert "best fit: light_vectors.0.g_mu_v = 0.05" in printed
    pulls = pd.read_csv(tmp_path / "scan-pulls.csv")
    standard = pulls[pulls.model == "Standard Model"]
    want = [(value - by_hand("sm", *pair)) / 0.02 for value, pair in zip(values, bins, strict=True)]
    np.testing.assert_allclose(standard.pull, want, rtol=1e-3)


@pytest.mark.parametrize("depth", ["binned", "events"])
def test_toys_measure_it(depth, tmp_path):
    (tmp_path / "card.toml").write_text(CARD.replace("DEPTH", depth))
    run("toys", tmp_path / "card.toml", "--output", tmp_path / "toys.root")
    with uproot.open(tmp_path / "toys.root") as file:
        columns = file["toys"].arrays(["T5", "T5_error", "T5_true"], library="np")
    pull = np.concatenate([(columns["T5"] - columns["T5_true"]) / columns["T5_error"]]).ravel()
    assert len(pull) == 40
    assert abs(pull.mean()) < 6 / math.sqrt(40)
    assert 0.4 < pull.std() < 1.7  # six times its error of 0.11
    assert columns["T5_true"].ravel()[0] == pytest.approx(by_hand("fig2", LOW, HIGH), rel=0.02)
