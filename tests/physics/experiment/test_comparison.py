"""Models beside each other: the sums, the free C9, and what was found by hand."""

import json

import numpy as np
import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.physics.bins import build_predictor
from darkpenguin.physics.experiment.comparison import COLUMNS, INVISIBLE, compare
from darkpenguin.physics.experiment.likelihood import theory_likelihood
from darkpenguin.physics.models import Model, get_model
from darkpenguin.physics.uncertainties import charm_covariance, theory_covariance
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
    """LHCb's B+ -> K+ mu mu of 2014 in 1.1-8 GeV2, its normalisation left free: seven bins, chi2 for six.

    The systematic error is nearly all of the normalisation to J/psi K+, common to the bins: it must not widen them one
    by one, which takes V from 105 to 60. Form factors explain half of it, 20 % for charm in two bins nearly all.
    """
    group = theory_likelihood("current", ["dBR_K"], "correlated")["dBR_K"]
    (paper,) = (m for m in group.measurements if m.arxiv == "1403.8044" and "B+" in m.name)
    low = paper.select(lambda o: o.q2_max <= 8.0)
    assert len(low) == 7
    statistical = np.array([1.5, 1.6, 1.5, 1.4, 1.4, 1.4, 1.4]) * 1e-9
    places = [group.observables.index(o) for o in low.observables]
    theory = theory_covariance(group.observables)[np.ix_(places, places)]
    charm = charm_covariance(low.observables)
    independent = np.diag(statistical**2)
    for covariance, expected in (
        (independent, (10.0, 104.5)),
        (np.diag(low.error_up**2), (5.8, 60.3)),
        (independent + theory, (9.4, 51.4)),
        (independent + theory + charm, (9.0, 15.6)),
    ):
        inverse = np.linalg.inv(covariance)
        for name, number in zip(("sm", "fig1-2.5gev"), expected, strict=True):
            shape = build_predictor(low.observables, get_model(name))()[0]
            rest = low.central - shape * (shape @ inverse @ low.central) / (shape @ inverse @ shape)
            assert rest @ inverse @ rest == pytest.approx(number, rel=0.05), name


def test_the_command():
    found = CliRunner().invoke(app, ["constraints", "sm", "--compare", "--json"])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)["rows"]
    assert {"sm", "fig2", "heavy-c9"} <= {row["model"] for row in rows}
    shown = CliRunner().invoke(app, ["constraints", "fig2", "--compare", "--data", "2017"])
    assert shown.exit_code == 0, shown.output
    assert "R, high q2" not in shown.output  # the data set of 2017 has none
