"""The register of random calls: entries of a key space are apart, and nobody draws from a number of his own."""

import ast
import dataclasses
from pathlib import Path

import pytest
from darkpenguin import InputError
from darkpenguin.generator.sampler import calls
from darkpenguin.generator.sampler.calls import EFFICIENCY, EVENTS, REGISTER, RESOLUTION, TOY_EVENTS, Calls, check_apart

TOP = Path(__file__).parents[3]
NUMBERED = {  # functions that draw, and the place of the call's number among their arguments
    "philox": 2,
    "event_uniforms": 3,
    "uniforms": 1,
    "poisson": 3,
    "vector_words": 5,
    "scalar_words": 5,
    "kpi_words": 5,
}


def test_entries_of_a_key_space_are_apart_and_named_once():
    check_apart()
    assert {entry for entry in vars(calls).values() if isinstance(entry, Calls)} == set(REGISTER)
    assert len({entry.user for entry in REGISTER}) == len(REGISTER)
    assert all(entry.count > 0 and entry.first >= 0 for entry in REGISTER)


@pytest.mark.parametrize(("first", "count"), [(32, 1), (0, 33), (16, 17), (52, 9), (47, 2)])
def test_a_planted_overlap_is_seen(first, count):
    with pytest.raises(InputError, match="take calls from 78 on"):
        check_apart([Calls("planted", (EVENTS,), first, count)])


def test_neighbours_and_other_key_spaces_do_not_overlap():
    check_apart([EFFICIENCY, Calls("next", (EVENTS,), 53, 5)])
    check_apart([Calls("a toy's own", (TOY_EVENTS,), RESOLUTION.first, RESOLUTION.count)])
    with pytest.raises(InputError):
        check_apart([dataclasses.replace(EFFICIENCY, user="another")])


def literal(tree):
    """Whether an expression is made of numbers alone, ``np.uint32(3)`` too."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {"np", "int"}
    return not names


def own_numbers(text):
    """Calls numbered by a literal: arguments of what draws, constants called CALL, keys of NumPy's generator."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            number = NUMBERED.get(name, 99)
            values = [*node.args[number : number + 1], *(k.value for k in node.keywords if k.arg == "call")]
            if name in NUMBERED and any(literal(value) for value in values):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Assign):
            targets = " ".join(ast.unparse(target) for target in node.targets)
            if "CALL" in targets and any(
                isinstance(leaf, ast.Constant) and isinstance(leaf.value, int) for leaf in ast.walk(node.value)
            ):
                found.append(ast.unparse(node))
    return found


def test_nobody_draws_from_a_number_of_his_own():
    files = sorted((TOP / "generator").rglob("*.py"))
    assert len(files) > 80
    for path in files:
        assert own_numbers(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "w = philox(low, high, np.uint32(3), stream, k0, k1)",
        "u = event_uniforms(numbers, seed, stream, 32)",
        "u = event_uniforms(numbers, seed, stream, call=32)",
        "u = place.uniforms(events, 48)",
        "w = kpi_words(low, high, stream, k0, k1, np.uint32(4))",
        "CALL = 16",
        "DETECTOR_CALL, THIN_CALL = 32, 33",
    ],
)
def test_a_number_of_his_own_would_be_seen(text):
    assert own_numbers(text)
