"""Input checked against its type: one line that names field, value, allowed range and the way out."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .errors import InputError

MAXIMUM_EVENTS = 1 << 62
"""Most events of one channel: the counters are 64 bits wide and signed in the files' tools."""


def parse_number(text: Any, name: str) -> float:
    """Return a number from text such as ``1e6`` or ``1_000``.

    Raises:
        InputError: no number, or not a finite one.

    Example:
        >>> parse_number("1e6", "events")
        1000000.0
    """
    try:
        if isinstance(text, bool) or (
            isinstance(text, str) and not text.isascii()
        ):  # float knows digits of all scripts
            raise ValueError
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} = {_shown(text)}: not a number; write for example 1000000 or 1e6") from None
    if not math.isfinite(value):
        raise InputError(f"{name} = {_shown(text)}: must be a finite number")
    return value


def is_digits(text: Any) -> bool:
    """Whether this is a number written out in so few digits that Python reads them, exactly also beyond 2**53.

    >>> is_digits("9007199254740993"), is_digits("1e6"), is_digits("1_0"), is_digits(5000 * "9")
    (True, False, False, False)
    """
    return isinstance(text, str) and text.isascii() and text.strip().isdecimal() and len(text) < 100


def parse_count(text: Any, name: str) -> int:
    """Return a positive whole number from text such as ``1e6`` or a float such as 1e6.

    Raises:
        InputError: not a number, not whole, or outside 1 to 2**62.

    Example:
        >>> parse_count("1e6", "events")
        1000000
    """
    if is_digits(text):
        text = int(text)
    value = text if isinstance(text, int) and not isinstance(text, bool) else parse_number(text, name)
    if not 1 <= value <= MAXIMUM_EVENTS:
        raise InputError(f"{name} = {_shown(text)}: allowed are whole numbers from 1 to {MAXIMUM_EVENTS:.1e}")
    if value != int(value):
        raise InputError(f"{name} = {text!r}: must be a whole number")
    return int(value)


ModelType = TypeVar("ModelType", bound=BaseModel)


def _path(where: str, location: Iterable[int | str]) -> str:
    text = where
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "input"


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel] | None:
    """Schema that the last part of an error's location is a field of; keys of a table of schemas are passed over."""
    current: type[BaseModel] | None = model
    named = False  # whether the next part is a key of the user's own in a table, not a field
    for part in location[:-1]:
        if named or isinstance(part, int) or current is None:
            named = False
            continue
        field = _field(current, part)
        if field is not None:
            current = next(iter(_schemas(field.annotation)), None)
            origin = get_origin(field.annotation)
            named = isinstance(origin, type) and issubclass(origin, Mapping)
    return current


def _field(model: type[BaseModel], key: int | str) -> FieldInfo | None:
    """Field of a schema by its name or by the key that a card has for it."""
    named = model.model_fields.get(str(key))
    return named or next((field for field in model.model_fields.values() if field.alias == key), None)


def known_keys(model: type[BaseModel]) -> list[str]:
    """Keys that a table of this schema may have, by the names that a card has for them.

    >>> from darkpenguin.physics.models import Heavy
    >>> known_keys(Heavy)[:2]
    ['C7', 'C7p']
    """
    return [field.alias or name for name, field in model.model_fields.items()] + list(getattr(model, "also", ()))


def _schemas(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for inner in getattr(annotation, "__args__", ()):
        found += _schemas(inner)
    return found


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested as deeply
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= 60 else text[:57] + "..."


def validate(schema: type[ModelType], data: object, where: str = "") -> ModelType:
    """Build a pydantic model; every mistake becomes an InputError: field, value, what is allowed, way out.

    ``where`` is put before the names of fields, say ``"models[2]"``.

    >>> from darkpenguin.physics.models import Heavy
    >>> validate(Heavy, {"C9_mu": "-1.1"}).C9_mu
    (-1.1+0j)
    >>> validate(Heavy, {"C9mu": -1.1}, "heavy")
    Traceback (most recent call last):
    ...
    darkpenguin.kinematics.base.errors.InputError: heavy.C9mu: no such key; did you mean C9_mu or C9p_mu?
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        lines = [_explained(schema, problem, where) for problem in error.errors(include_url=False)]
        raise InputError("; ".join(dict.fromkeys(lines))) from None
    except (OverflowError, RecursionError) as error:  # the library passes these on
        raise InputError(f"{where or 'input'}: {error}; a number too large, or tables nested too deeply") from None


def _explained(schema: type[BaseModel], problem: Mapping[str, Any], where: str) -> str:
    """One mistake in words: field, value, what is allowed."""
    location: tuple[int | str, ...] = problem["loc"]
    message: str = problem["msg"].removeprefix("Value error, ")
    path = _path(where, location)
    if isinstance(problem.get("ctx", {}).get("error"), InputError):  # it names its field and value already
        outer, last = _path(where, location[:-1]), str(location[-1]) if location else ""
        known = tuple(start + end for start in (outer, path) if start != "input" for end in (".", "[", " ", ":"))
        if (not where and len(location) < 2) or message.startswith(known):
            return str(message)
        named = last and message.startswith((f"{last} = ", f"{last}.", f"{last}:"))
        return f"{outer}.{message}" if named and outer != "input" else f"{path}: {message}"
    if problem["type"] == "extra_forbidden":
        inner = _model_at(schema, location)
        return f"{path}: no such key; {nearest(str(location[-1]), known_keys(inner) if inner is not None else [])}"
    if problem["type"] == "missing":
        return f"{path}: this key is needed"
    if problem["type"] == "value_error" and isinstance(problem["input"], (Mapping, BaseModel)):
        return f"{path}: {message}"
    return f"{path} = {_shown(problem['input'])}: {message.removeprefix('Input ')}"


def nearest(key: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown key: the nearest known ones, or all of them.

    >>> nearest("mas", ["mass", "width"])
    'did you mean mass?'
    """
    choices = list(known)
    near = [choice for choice in choices if choice.startswith(f"{key}_")]  # C9 of which lepton?
    near = near or difflib.get_close_matches(key, choices, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else "known keys: " + ", ".join(choices)


def parse_value(text: str) -> object:
    """Value of a ``--set key=value``: TOML (numbers, true, "text", [re, im]), ``none``, or else plain text.

    >>> parse_value("2.8"), parse_value("false"), parse_value("1e-9+2e-9j"), parse_value("none")
    (2.8, False, '1e-9+2e-9j', None)
    """
    if text.strip().lower() == "none":
        return None
    try:
        return tomllib.loads("value = " + text)["value"]
    except (ValueError, RecursionError):  # ValueError: no TOML, or a number of thousands of digits
        return text
