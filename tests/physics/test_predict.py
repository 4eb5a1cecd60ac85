"""Rows of predictions: errors of the theory, their correlations, and what has none."""

import json

import numpy as np
import pytest
from darkpenguin.physics.observables import BinnedObservable
from darkpenguin.physics.predict import predict
from darkpenguin.physics.uncertainties import theory_covariance

EDGES = [1.1, 4.0, 6.0]
NAMES = ["P5p", "dBR", "BR", "ACP"]


@pytest.fixture(scope="module")
def found():
    return predict(NAMES, "fig2", EDGES, errors=True)


def test_errors_are_the_roots_of_the_covariance(found):
    assert [row.value for row in found] == [row.value for row in predict(NAMES, "fig2", EDGES)]
    bins = [BinnedObservable("P5p", "B0->K*0mumu", low, high) for low, high in ((1.1, 4.0), (4.0, 6.0))]
    covariance = theory_covariance(bins, found.model)
    errors = [row.error for row in found[:2]]
    assert errors == pytest.approx(np.sqrt(np.diag(covariance)))
    assert found.correlation[0, 1] * errors[0] * errors[1] == pytest.approx(covariance[0, 1])


def test_correlations_are_those_of_all_rows(found):
    known = found.correlation[:6, :6]
    assert known == pytest.approx(known.T)
    assert np.diag(known) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(known).min() > -1e-9
    for k in (0, 1):  # BR is dBR times the width of the bin
        assert known[2 + k, 4 + k] == pytest.approx(1.0)
        assert found[4 + k].error / found[4 + k].value == pytest.approx(found[2 + k].error / found[2 + k].value)
    assert 0.05 < found[2].error / found[2].value < 0.3


def test_what_has_no_error_says_so(found):
    assert [row.error for row in found[6:]] == [None, None]
    assert np.isnan(found.correlation[6:]).all()
    text = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert text["correlation"][7] == [None] * 8
    assert predict("P5p", bins=EDGES).correlation is None


def test_a_kstar_with_its_width_has_the_same_relative_error():
    wide, narrow = (predict("BR", bins=EDGES, errors=True, kpi=kpi) for kpi in ("swave", None))
    for one, other in zip(wide, narrow, strict=True):
        assert one.error / one.value == pytest.approx(other.error / other.value)
        assert one.value < 0.7 * other.value


def test_errors_of_curves_and_of_other_theories():
    rows = predict("dBR", q2=(3.0, 5.0), points=3, errors=True)
    assert all(0.05 < row.error / row.value < 0.3 for row in rows)
    lattice = {"channel": "B+->K+mumu", "bins": [16.0, 20.0], "errors": True}
    own, hpqcd = (predict("dBR", **lattice, theory=told)[0] for told in (None, {"form_factors": "hpqcd-2022"}))
    assert own.error != hpqcd.error
    assert own.error / own.value == pytest.approx(hpqcd.error / hpqcd.value, rel=1.0)
