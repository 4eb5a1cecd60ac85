"""Models beside each other: the sums, the free C9, and what was found by hand."""

import json

import numpy as np
import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.physics.bins import build_predictor
from darkpenguin.physics.experiment.comparison import COLUMNS, INVISIBLE, compare
from darkpenguin.physics.experiment.likelihood import build_likelihood, theory_likelihood
from darkpenguin.physics.models import Model, get_model
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def table():
    return compare(["sm", "heavy-c9", "fig1-2.5gev", "belle2-2.1gev"])


def test_columns_are_the_likelihoods_groups(table):
    likelihood = theory_likelihood("current", COLUMNS["R, high q2"], "correlated")
    prediction = build_predictor(likelihood.observables, get_model("heavy-c9"))()[0]
    expected = sum(
        ((p - 1.08) / e) ** 2 for p, e in zip(prediction, (np.hypot(0.09, 0.04), np.hypot(0.12, 0.07)), strict=True)
    )
    assert table[1].chi2["R, high q2"] == pytest.approx(expected, rel=1e-3)
    assert table.numbers["R, high q2"] == 2
    for row in table:
        assert row.total == pytest.approx(sum(row.chi2.values()))
    assert list(table.to_pandas().columns) == ["model", *COLUMNS, INVISIBLE, "total"]


def test_ratios_above_the_psi_2s_prefer_v(table):
    """By 14 over C9 = -1.1, two measurements alone; the SM lies between. V of Belle II is a SM with muons."""
    sm, c9, v, belle, free = (row.chi2["R, high q2"] for row in table)
    assert c9 - v == pytest.approx(14, abs=0.5)
    assert v < sm < c9
    assert belle == sm
    assert sm < free < c9


def test_free_c9_is_a_minimum(table):
    """Of the columns of b -> s mu mu together; C9 does not act in K+ + invisible."""
    best = float(table[-1].model.partition(" = ")[2])
    assert -1.1 < best < 0.0
    around = compare([Model(name=f"{c}", heavy={"C9_mu": c}) for c in (best - 0.05, best + 0.05)])
    assert all(row.total > table[-1].total for row in around[:2])
    assert table[-1].chi2[INVISIBLE] == table[0].chi2[INVISIBLE]


def test_the_shape_of_k_mumu_disfavours_v():
    """LHCb's B+ -> K+ mu mu of 2014 in 1.1-8 GeV2: its normalisation left free, total errors, none of theory.

    Seven bins, so chi2 for six: above 40 for V of 2.5 GeV with Γ/m = 20 %, 5 to 6 for the SM.
    """
    group = build_likelihood("current", ["dBR_K"])["dBR_K"]
    (paper,) = (m for m in group.measurements if m.arxiv == "1403.8044" and "B+" in m.name)
    low = paper.select(lambda o: o.q2_max <= 8.0)
    assert len(low) == 7
    error = low.error_up
    for name, low_end, high_end in (("sm", 4.0, 7.0), ("fig1-2.5gev", 40.0, 70.0)):
        shape = build_predictor(low.observables, get_model(name))()[0]
        size = (shape * low.central / error**2).sum() / (shape**2 / error**2).sum()
        chi2 = (((low.central - size * shape) / error) ** 2).sum()
        assert low_end < chi2 < high_end, name


def test_the_command():
    found = CliRunner().invoke(app, ["constraints", "sm", "--compare", "--json"])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)["rows"]
    assert {"sm", "fig2", "heavy-c9"} <= {row["model"] for row in rows}
    shown = CliRunner().invoke(app, ["constraints", "fig2", "--compare", "--data", "2017"])
    assert shown.exit_code == 0, shown.output
    assert "R, high q2" not in shown.output  # the data set of 2017 has none
