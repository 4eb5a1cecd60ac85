import csv
import itertools
import shlex

import numpy as np
from darkpenguin.generator.explore.curves import SHOWN, band, curves
from darkpenguin.generator.explore.outputs import (
    Words,
    chi2_csv,
    chi2_words,
    command_lines,
    constraints_csv,
    constraints_words,
    curves_csv,
)
from darkpenguin.generator.explore.point import Bases, V
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.models import as_model


def rows(text):
    return list(csv.DictReader(text.splitlines()))


def test_commands_name_the_point():
    point = Bases().start().moved({f"{V}mass": 2.3, f"{V}g_bs": -1e-8})
    for line in command_lines(point).splitlines():
        words = shlex.split(line)
        given = [after for word, after in itertools.pairwise(words) if word == "--set"]
        assert as_model(point.name, given).model_copy(update={"name": point.model.name}) == point.model
        assert words[0] == "darkpenguin"


def test_curves_as_csv():
    model = as_model("fig2")
    curve = curves(model, 20)["R_K+"]
    found = rows(curves_csv("R_K+", {"fig2, x": (curve, band(SHOWN[0], model, curve.q2)), "sm": (curve, None)}))
    assert len(found) == 2 * len(curve.q2)
    assert found[0]["model"] == "fig2, x"
    np.testing.assert_allclose([float(row["value"]) for row in found[: len(curve.q2)]], curve.value, rtol=1e-9)
    assert float(found[0]["theory error"]) > 0
    assert found[-1]["theory error"] == ""


def test_constraints_as_csv():
    told = constraints("fig2", "2017")
    found = rows(constraints_csv(told))
    assert [row["constraint"] for row in found] == [row.name for row in told]
    assert [row["verdict"] for row in found] == [row.verdict for row in told]


def test_chi_squared_as_csv():
    assert rows(chi2_csv({"a": {"R_K": 1.0}, "b": {"R_K": 2.5}}))[1] == {"model": "b", "group": "R_K", "chi2": "2.5"}


def test_the_table_of_constraints_as_it_is_read():
    told = constraints("fig2", "2017")
    words = constraints_words(told)
    assert [row[0] for row in words.rows] == [row.name for row in told]
    assert [row[-1] for row in words.rows] == [row.verdict for row in told]
    assert words.html.count("<tr") == 1 + len(words.rows)
    assert "title=" in words.html


def test_what_is_written_in_a_table_is_no_html():
    words = Words(("<i>",), (("<b>x</b>",),), ("#000000",), ("it's <here>",))
    assert words.html.count("<b>") == 1
    assert "&lt;b&gt;x&lt;/b&gt;" in words.html
    assert "<i>" not in words.html
    assert "<here>" not in words.html


def test_a_model_beside_others_has_a_column():
    words = chi2_words({"SM": {"R_K": 1.0}, "fig2": {"R_K": 2.0}, "A: x": {}})
    assert (words.header, words.rows) == (("χ²", "SM", "point", "A"), (("R_K", "1.0", "2.0", "…"),))
