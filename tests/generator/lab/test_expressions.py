"""Expressions over columns against `vector` and NumPy; everything else of Python is refused."""

import re

import numpy as np
import pytest
import vector
from darkpenguin import InputError
from darkpenguin.generator.lab.expressions import QUANTITIES, parse

MASSES = {"k": 0.493677, "lp": 0.1056584, "lm": 0.1056584}
NAMES = ("q2", "flavour", "lp_q", *(f"{p}_{a}" for p in MASSES for a in ("px", "py", "pz")))


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(3)
    made = {name: rng.normal(0.0, 2.0, 20_000) for name in NAMES}
    return {**made, "q2": rng.uniform(0, 20, 20_000), "flavour": rng.choice([-1, 1], 20_000).astype(np.int32)}


def momentum(columns, *names):
    parts = [
        vector.array({a: columns[f"{n}_{a}"] for a in ("px", "py", "pz")} | {"mass": np.full(20_000, MASSES[n])})
        for n in names
    ]
    return sum(parts[1:], parts[0])


ATTRIBUTES = {
    "p": "p",
    "px": "px",
    "py": "py",
    "pz": "pz",
    "pt": "pt",
    "e": "E",
    "m": "mass",
    "m2": "mass2",
    "eta": "eta",
    "theta": "theta",
    "phi": "phi",
    "y": "rapidity",
}


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("who", [("k",), ("lp", "lm"), ("k", "lp", "lm")])
def test_quantities(columns, quantity, who):
    found = parse(f"{quantity}({', '.join(who)})", NAMES).evaluate(columns, MASSES)
    np.testing.assert_allclose(found, getattr(momentum(columns, *who), ATTRIBUTES[quantity]), rtol=1e-9, atol=1e-9)
    if len(who) == 1:
        assert (parse(f"{who[0]}_{quantity}", NAMES).evaluate(columns, MASSES) == found).all()


def test_between_two(columns):
    a, b = momentum(columns, "k"), momentum(columns, "lm")
    np.testing.assert_allclose(parse("angle(k, lm)", NAMES).evaluate(columns, MASSES), a.deltaangle(b), atol=1e-7)
    np.testing.assert_allclose(parse("dr(k, lm)", NAMES).evaluate(columns, MASSES), a.deltaR(b), rtol=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "-1.2 < eta(k) < 0.7",
        "eta(k, lp) >= 0.3",
        "0.7 > k_eta",
        "theta(k) < 1.1",
        "0.4 <= theta(k, lm) <= 2",
        "lp_theta > 3",
        "theta(k) < 4",
        "theta(k) > -1",
    ],
)
def test_comparisons_of_directions(columns, text):
    """As they are computed: a factor of one keeps the comparison from being simplified."""
    plain = re.sub(r"((?:eta|theta)\([^)]*\)|\w+_(?:eta|theta))", r"1.0 * \1", text)
    assert plain != text
    found = parse(text, NAMES).evaluate(columns, MASSES)
    assert (found == parse(plain, NAMES).evaluate(columns, MASSES)).all()


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("1 < q2 <= 6", lambda c: (c["q2"] > 1) & (c["q2"] <= 6)),
        (
            "q2 > 3 and not flavour == 1 or lp_px < 0",
            lambda c: ((c["q2"] > 3) & (c["flavour"] != 1)) | (c["lp_px"] < 0),
        ),
        ("(q2 > 3) & ~(flavour == 1)", lambda c: (c["q2"] > 3) & (c["flavour"] != 1)),
        (
            "min(k_px, k_py, 0.5) > -q2 ** 0.5 / 2",
            lambda c: np.minimum(np.minimum(c["k_px"], c["k_py"]), 0.5) > -np.sqrt(c["q2"]) / 2,
        ),
        ("abs(atan2(k_py, k_px)) < pi / 2", lambda c: c["k_px"] > 0),
        ("2 > 1", lambda c: np.ones(20_000, bool)),
    ],
)
def test_logic(columns, text, reference):
    expression = parse(text, NAMES)
    assert expression.logical
    assert (expression.evaluate(columns, MASSES) == reference(columns)).all()


def test_it_knows_what_it_reads():
    assert parse("pt(k) > 1 and q2 < 6", NAMES).inputs == ("k_px", "k_py", "k_pz", "q2")
    assert not parse("q2 + 1", NAMES).logical
    assert parse("q2 / flavour", NAMES).evaluate({"q2": np.ones(1), "flavour": np.zeros(1, np.int32)})[0] == np.inf


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write an expression"),
        ("q2 >", "no expression"),
        ("q3 > 1", "no column q3"),
        ("flavor > 0", "did you mean flavour"),
        ("pt(pi) > 1", "particles are k, lm, lp"),
        ("k > 1", "is a particle"),
        ("pt(k, k)", "different particles"),
        ("angle(k)", "between two"),
        ("sqrt(1, 2)", "takes 1"),
        ("sqrd(q2)", "no function"),
        ("q2 and flavour", "number where true or false"),
        ("(q2 > 1) + 2", "where a number is needed"),
        ("q2 > 1 > (q2 > 2)", "where a number is needed"),
        ("q2.real", "Attribute is not allowed"),
        ("__import__('os')", "no function __import__"),
        ("q2[0]", "not allowed"),
        ("'a' == 'b'", "finite number"),
        ("1e999 > q2", "finite number"),
        ("(lambda: 1)()", "no such call"),
        ("sqrt(*k)", "no such call"),
        ("q2 in (1, 2)", "compare with"),
        ("q2 << 2", "no such operation"),
        ("True", "finite number"),
        ("-" * 3000 + "q2", "expression"),
        ("q2 > " + "1" * 5000, "write an expression"),
    ],
)
def test_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text, NAMES)


@pytest.mark.parametrize(
    ("cut", "passed"),
    [
        ("x > 1", [False, False, True]),
        ("x != 1", [False, True, True]),
        ("not (x > 1)", [False, True, False]),
        ("~(x > 1)", [False, True, False]),
        ("x > 1 or q2 > 0", [False, True, True]),
        ("(x > 1) | (q2 > 0)", [False, True, True]),
        ("not (x > 1 and q2 > 9)", [False, True, True]),
        ("x ** 0 > 0", [False, True, True]),  # 1 for NaN too, in IEEE 754
        ("max(x, q2) > 1", [False, True, True]),
        ("not (sqrt(-x) > 1)", [False, True, False]),  # what is computed may be NaN too
        ("log(x) / log(x) != 3", [False, False, True]),
        ("not not eta(k) > 2", [False, True, True]),
    ],
)
def test_what_is_not_a_number_passes_no_cut(cut, passed):
    columns = {"x": np.array([np.nan, 0.0, 2.0]), "q2": np.full(3, 5.0)}
    columns |= {"k_px": np.array([np.nan, 0.1, 0.1]), "k_py": np.zeros(3), "k_pz": np.ones(3)}
    assert parse(cut, list(columns)).evaluate(columns, {"k": 0.5}).tolist() == passed
