"""Observables as polynomials: read back, they are the predictions; what the format cannot hold is refused."""

import json
import math

import numpy as np
import pytest
from darkpenguin import InputError, as_model, predict
from darkpenguin.generator.commands.cli import app
from darkpenguin.physics.bins import build_predictor
from darkpenguin.physics.observables import BinnedObservable
from darkpenguin.physics.popxf import popxf
from typer.testing import CliRunner

C9, C10 = "heavy.C9_mu", "heavy.C10_mu"
NAMES = ["R_K*0", "P5p", "AFB", "FL", "P4p", "dBR"]


def read_back(found, values):
    """Observables at values of the couplings, with nothing but the document: as any other program would."""
    central, total = found["data"]["polynomial_central"], 0.0
    for key, row in central.items():
        factors = [values[name] for name in eval(key) if name]
        total = total + math.prod(factors) * np.array(row)
    known = dict(zip(found["metadata"]["polynomial_names"], total, strict=True))
    return [
        eval(one["expression"], {"sqrt": math.sqrt}, {key: known[name] for key, name in one["variables"].items()})
        for one in found["metadata"]["observable_expressions"]
    ]


def test_polynomials_are_the_predictions():
    found = json.loads(json.dumps(popxf(NAMES, [C9, C10], bins=[1.1, 2.5, 6.0])))
    values = {C9: -1.3, C10: 0.7}
    model = {"name": "x", "heavy": {"C9_mu": values[C9], "C10_mu": values[C10]}}
    exact = [row.value for row in predict(NAMES, model, bins=[1.1, 2.5, 6.0])]
    np.testing.assert_allclose(read_back(found, values), exact, rtol=1e-10)
    assert np.abs(np.array(read_back(found, {**values, C10: 0.71})) / exact - 1).max() > 1e-4
    assert len(found["data"]["polynomial_central"]) == 6
    assert found["metadata"]["parameters"] == [C10, C9]


def test_couplings_of_a_vector_are_of_fourth_degree():
    """g_bs times g_mu, squared: two fields of second degree each, over twenty orders of magnitude."""
    fields = ["light_vectors.0.g_bs", "light_vectors.0.g_mu_v"]
    found = popxf("R_K+", fields, "fig2", bins=[1.1, 6.0])
    assert found["metadata"]["polynomial_degree"] == 4
    assert "('', '', 'light_vectors.0.g_bs', 'light_vectors.0.g_mu_v')" in found["data"]["polynomial_central"]
    values = {fields[0]: -2.2e-8, fields[1]: 0.03}
    [exact] = predict("R_K+", "fig2", bins=[1.1, 6.0], set=[f"{key}={value}" for key, value in values.items()])
    assert read_back(found, values)[0] == pytest.approx(exact.value, rel=1e-9)  # another quadrature
    r_k = BinnedObservable("R_K+", "B+->K+mumu", 1.1, 6.0)
    same = build_predictor([r_k], as_model("fig2"))({key: np.array([x], dtype=complex) for key, x in values.items()})
    assert read_back(found, values)[0] == pytest.approx(same[0, 0], rel=1e-12)


def test_the_package_reads_it():
    """popxf 0.0.1 has no schema in its wheel, so its parser reads no file; its polynomials do."""
    polynomial = pytest.importorskip("popxf.tools.polynomial")
    found = popxf(["R_K+", "dBR"], [C9], bins=[1.1, 6.0], channel="B+->K+mumu")
    names = found["metadata"]["polynomial_names"]
    read = polynomial.POPxfPolynomial(found["data"]["polynomial_central"], degree=2, length=len(names))
    assert len(read) == 3
    np.testing.assert_array_equal(read["", C9], found["data"]["polynomial_central"][f"('', '{C9}')"])


@pytest.mark.parametrize(
    ("fields", "changes", "message"),
    [
        (["light_vectors.0.mass"], {"model": "fig2"}, "linear"),
        ("heavy.C9_muu", {}, "heavy.C9_muu: no such key; did you mean C9_mu"),
        ([C9, C9], {}, "1 to 4, each once"),
        ([], {}, "1 to 4"),
        (["heavy.C9_mu"], {"bins": "nowhere"}, "nowhere"),
        ([f"light_vectors.0.{x}" for x in ("g_bs", "g_bs_right", "g_mu_v")], {"model": "fig2", "bins": [1, 2]}, None),
    ],
)
def test_what_cannot_be_is_refused(fields, changes, message):
    if message is None:
        assert popxf("R_K+", fields, **changes)["metadata"]["polynomial_degree"] <= 5
        return
    with pytest.raises(InputError, match=message):
        popxf("R_K+", fields, **changes)


def test_the_command_prints_it():
    words = ["predict", "R_K+", "--bins", "1.1,6", "--popxf", f"{C9},{C10}"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert read_back(found, {C9: 0.0, C10: 0.0})[0] == pytest.approx(1.0, abs=0.01)
