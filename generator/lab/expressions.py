"""Selections as expressions over columns, such as ``pt(k) > 0.25 and 2 < eta(lp) < 4.5``, checked before they run.

The language is Python's arithmetic, comparisons (chains too) and ``and``, ``or``, ``not`` (or ``&``, ``|``, ``~``), on

- columns of the file: ``q2``, ``cos_theta_l``, ``flavour`` ...;
- quantities of particles: ``p px py pz pt e m m2 eta theta phi y`` of one particle or of the sum of several, such as
  ``pt(k)``, ``m(lp, lm)``, and ``angle dr`` between two; ``k_pt`` is short for ``pt(k)``;
- functions: ``abs sqrt exp log log10 sin cos tan atan2 hypot min max``, and the number ``pi``.

What is not a number passes nothing: a cut is false for an event if a column that it reads is NaN there, or a number
that it compares, whatever stands around them (``not (x > 1)``, ``x != 1``, ``x > 1 or q2 > 0``).

GeV and radians. A particle is whatever has momentum columns (``k_px``, ``k_py``, ``k_pz``) and a mass. Nothing else of
Python is there: no attributes, no indices, no names from outside.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError

Column = Any
Three = tuple[Column, Column, Column]
_BLOCK = 1 << 14  # rows evaluated at a time: what is between two operations stays in the cache


class _Rows:
    """Columns of a block of events, and what was computed from them already."""

    def __init__(self, columns: Mapping[str, Any], masses: Mapping[str, float]) -> None:
        self.columns, self.masses = columns, masses
        self.known: dict[tuple[str, ...], Any] = {}
        self.defined: Any = True
        for column in columns.values():
            self.number(column)

    def number(self, value: Any) -> Any:
        """The value itself; rows where it is NaN are marked as not defined."""
        nan = np.isnan(value)
        if nan.any():
            self.defined = self.defined & ~nan
        return value

    def once(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def momentum(self, particles: tuple[str, ...]) -> Three:
        x, y, z = (
            reduce(operator.add, (self.columns[f"{name}_{axis}"] for name in particles)) for axis in ("px", "py", "pz")
        )
        return x, y, z

    def energy(self, particles: tuple[str, ...]) -> Column:
        return reduce(operator.add, (self.once(("e", name), partial(self._energy, name)) for name in particles))

    def _energy(self, name: str) -> Column:
        x, y, z = self.momentum((name,))
        return np.sqrt(x * x + y * y + z * z + self.masses[name] ** 2)

    def of(self, quantity: str, particles: tuple[str, ...]) -> Column:
        """A quantity of the sum of particles."""
        return self.once((quantity, *particles), lambda: QUANTITIES[quantity](self, particles))


def _pt(rows: _Rows, who: tuple[str, ...]) -> Column:
    x, y, _ = rows.momentum(who)
    return np.sqrt(x * x + y * y)


def _p(rows: _Rows, who: tuple[str, ...]) -> Column:
    x, y, z = rows.momentum(who)
    return np.sqrt(x * x + y * y + z * z)


def _eta(rows: _Rows, who: tuple[str, ...]) -> Column:
    z = rows.momentum(who)[2]
    # asinh(pz/pT) from the side where nothing cancels; the logarithm is vectorised, asinh is not
    return np.copysign(np.log((rows.of("p", who) + np.abs(z)) / rows.of("pt", who)), z)


def _y(rows: _Rows, who: tuple[str, ...]) -> Column:
    z, e = rows.momentum(who)[2], rows.energy(who)
    return np.copysign(0.5 * np.log((e + np.abs(z)) / (e - np.abs(z))), z)


def _m2(rows: _Rows, who: tuple[str, ...]) -> Column:
    if len(who) == 1:
        return np.full_like(rows.momentum(who)[0], rows.masses[who[0]] ** 2)
    e, p = rows.energy(who), rows.of("p", who)
    return (e - p) * (e + p)


QUANTITIES: Mapping[str, Callable[[_Rows, tuple[str, ...]], Column]] = MappingProxyType(
    {
        "p": _p,
        "px": lambda rows, who: rows.momentum(who)[0],
        "py": lambda rows, who: rows.momentum(who)[1],
        "pz": lambda rows, who: rows.momentum(who)[2],
        "pt": _pt,
        "e": lambda rows, who: rows.energy(who),
        "m2": _m2,
        "m": lambda rows, who: np.sqrt(np.maximum(rows.of("m2", who), 0.0)),
        "eta": _eta,
        "theta": lambda rows, who: np.arctan2(rows.of("pt", who), rows.momentum(who)[2]),
        "phi": lambda rows, who: np.arctan2(rows.momentum(who)[1], rows.momentum(who)[0]),
        "y": _y,
    }
)
"""What can be asked of a particle or of the sum of several."""


def _angle(rows: _Rows, who: tuple[str, ...]) -> Column:
    (ax, ay, az), (bx, by, bz) = (rows.momentum((name,)) for name in who)
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return np.arctan2(np.sqrt(cx * cx + cy * cy + cz * cz), ax * bx + ay * by + az * bz)


def _dr(rows: _Rows, who: tuple[str, ...]) -> Column:
    (ax, ay, _), (bx, by, _) = (rows.momentum((name,)) for name in who)
    a, b = ((name,) for name in who)
    return np.hypot(rows.of("eta", a) - rows.of("eta", b), np.arctan2(ax * by - ay * bx, ax * bx + ay * by))


BETWEEN: Mapping[str, Callable[[_Rows, tuple[str, ...]], Column]] = MappingProxyType({"angle": _angle, "dr": _dr})
"""What can be asked of two particles."""
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Column]]] = MappingProxyType(
    {
        "abs": (1, np.abs),
        "sqrt": (1, np.sqrt),
        "exp": (1, np.exp),
        "log": (1, np.log),
        "log10": (1, np.log10),
        "sin": (1, np.sin),
        "cos": (1, np.cos),
        "tan": (1, np.tan),
        "atan2": (2, np.arctan2),
        "hypot": (2, np.hypot),
        "min": (-2, lambda *x: reduce(np.minimum, x)),
        "max": (-2, lambda *x: reduce(np.maximum, x)),
    }
)
"""Functions: number of arguments (negative: at least so many) and what computes them."""
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Pow: operator.pow,
        ast.Mod: operator.mod,
    }
)
_COMPARISONS: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
    }
)
_LOGIC: Mapping[type, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.And: operator.and_,
        ast.Or: operator.or_,
        ast.BitAnd: operator.and_,
        ast.BitOr: operator.or_,
    }
)
_Value = Callable[[_Rows], Any]
_MAXIMUM_LENGTH = 4000


@dataclass(frozen=True, eq=False)
class Expression:
    """A checked expression.

    Attributes:
        text: what the user wrote.
        inputs: columns that it reads.
        logical: whether it is true or false, rather than a number.
    """

    text: str
    inputs: tuple[str, ...]
    logical: bool
    _value: _Value

    def evaluate(self, columns: Mapping[str, Any], masses: Mapping[str, float] | None = None) -> NDArray[Any]:
        """Value for every event, NumPy columns of one length; ``masses`` of the particles (GeV).

        >>> cut = parse("k_pt > 0.5 and m(k) < 1", ("k_px", "k_py", "k_pz"))
        >>> cut.evaluate({"k_px": np.array([0.3, 0.6]), "k_py": np.zeros(2), "k_pz": np.ones(2)}, {"k": 0.5}).tolist()
        [False, True]
        """
        n = len(next(iter(columns.values())))
        out = np.empty(n, dtype=bool if self.logical else np.float64)
        used = {name: np.asarray(columns[name]) for name in self.inputs}
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for low in range(0, n, _BLOCK):
                part = slice(low, low + _BLOCK)
                rows = _Rows({name: _double(column[part]) for name, column in used.items()}, masses or {})
                value = self._value(rows)
                out[part] = value & rows.defined if self.logical else value
        return out

    def trace(self, symbols: Mapping[str, Any], masses: Mapping[str, float]) -> Any:
        """Value for symbols in place of columns: what NumPy's functions and operators make of them."""
        rows = _Rows({name: symbols[name] for name in self.inputs}, masses)
        value = self._value(rows)
        return value & rows.defined if self.logical else value


def _double(column: NDArray[Any]) -> NDArray[Any]:
    return column.astype(np.float64) if column.dtype.kind == "f" else column.astype(np.int64)


def parse(text: str, columns: Sequence[str], what: str = "expression") -> Expression:
    """Check an expression against the columns there will be.

    Raises:
        InputError: no expression, a name that is not there (the nearest one is named), an operation that is not
            allowed, or a number where true or false is needed.

    Example:
        >>> parse("1 < q2 < 6", ["q2"]).inputs
        ('q2',)
        >>> parse("q > 1", ["q2"])
        Traceback (most recent call last):
        ...
        darkpenguin.kinematics.base.errors.InputError: expression = 'q > 1': no column q; did you mean q2?
    """
    if not isinstance(text, str) or not text.strip() or len(text) > _MAXIMUM_LENGTH:
        raise InputError(f"{what} = {text!r}: write an expression such as pt(k) > 0.25 and q2 < 6")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(getattr(error, "msg", error)).partition(" - ")[0]
        raise InputError(f"{what} = {text!r}: no expression ({reason})") from None
    parser = _Parser(text, frozenset(columns), what)
    try:
        logical, value = parser.node(tree)
    except RecursionError:
        raise InputError(f"{what}: nested too deeply") from None
    return Expression(text, tuple(sorted(parser.inputs)), logical, value)


class _Parser:
    """Turns a syntax tree into functions of a block of events; every node is (logical, value)."""

    def __init__(self, text: str, columns: frozenset[str], what: str) -> None:
        self.text, self.columns, self.what = text, columns, what
        self.particles = {name[:-3] for name in columns if name.endswith("_px")}
        self.inputs: set[str] = set()

    def refuse(self, why: str) -> InputError:
        return InputError(f"{self.what} = {self.text!r}: {why}")

    def node(self, tree: ast.expr) -> tuple[bool, _Value]:
        kinds: Mapping[type, Callable[[Any], tuple[bool, _Value]]] = {
            ast.Constant: self.constant,
            ast.Name: self.name,
            ast.Call: self.call,
            ast.UnaryOp: self.unary,
            ast.BinOp: self.binary,
            ast.BoolOp: self.boolean,
            ast.Compare: self.compare,
        }
        if type(tree) not in kinds:
            raise self.refuse(f"{type(tree).__name__} is not allowed; arithmetic, comparisons, and, or, not are")
        return kinds[type(tree)](tree)

    def number(self, tree: ast.expr) -> _Value:
        logical, value = self.node(tree)
        if logical:
            raise self.refuse(f"{ast.unparse(tree)} is true or false where a number is needed; put in parentheses?")
        return value

    def logical(self, tree: ast.expr) -> _Value:
        logical, value = self.node(tree)
        if not logical:
            raise self.refuse(f"{ast.unparse(tree)} is a number where true or false is needed")
        return value

    def constant(self, tree: ast.Constant) -> tuple[bool, _Value]:
        try:
            if isinstance(tree.value, bool) or not isinstance(tree.value, (int, float)):
                raise OverflowError
            number = float(tree.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.refuse(f"{ast.unparse(tree)} is no finite number")
        return False, lambda rows: number

    def name(self, tree: ast.Name) -> tuple[bool, _Value]:
        name = tree.id
        if name in self.columns:
            self.inputs.add(name)
            return False, lambda rows: rows.columns[name]
        if name == "pi":  # the pion only stands inside of calls, pt(pi)
            return False, lambda rows: math.pi
        particle, _, quantity = name.rpartition("_")
        if particle in self.particles and quantity in QUANTITIES:
            return False, self.quantity(quantity, (particle,))
        if name in self.particles:
            raise self.refuse(f"{name} is a particle; ask for a quantity, such as pt({name})")
        known = sorted(self.columns) + [f"{p}_{q}" for p in sorted(self.particles) for q in QUANTITIES]
        raise self.refuse(f"no column {name}; {nearest(name, known)}")

    def quantity(self, quantity: str, particles: tuple[str, ...]) -> _Value:
        self.inputs.update(f"{particle}_{axis}" for particle in particles for axis in ("px", "py", "pz"))
        return lambda rows: rows.of(quantity, particles)

    def call(self, tree: ast.Call) -> tuple[bool, _Value]:
        if not isinstance(tree.func, ast.Name) or tree.keywords or any(isinstance(x, ast.Starred) for x in tree.args):
            raise self.refuse(f"{ast.unparse(tree)}: no such call")
        name, arguments = tree.func.id, tree.args
        if name in QUANTITIES or name in BETWEEN:
            return False, self.call_quantity(name, arguments)
        if name not in FUNCTIONS:
            raise self.refuse(f"no function {name}; {nearest(name, [*FUNCTIONS, *QUANTITIES, *BETWEEN])}")
        count, function = FUNCTIONS[name]
        if len(arguments) != count and not (count < 0 and len(arguments) >= -count):
            raise self.refuse(f"{name} takes {abs(count)} {'or more ' if count < 0 else ''}numbers")
        values = [self.number(argument) for argument in arguments]
        return False, lambda rows: function(*(value(rows) for value in values))

    def call_quantity(self, name: str, arguments: Sequence[ast.expr]) -> _Value:
        particles = tuple(argument.id if isinstance(argument, ast.Name) else "" for argument in arguments)
        for particle, argument in zip(particles, arguments, strict=True):
            if particle not in self.particles:
                there = ", ".join(sorted(self.particles)) or "none: momenta need a beam"
                raise self.refuse(f"{name}({ast.unparse(argument)}): particles are {there}")
        if len(set(particles)) != len(particles) or not particles:
            raise self.refuse(f"{name}: needs different particles")
        if name in QUANTITIES:
            return self.quantity(name, particles)
        if len(particles) != 2:
            raise self.refuse(f"{name} is between two particles")
        self.inputs.update(f"{particle}_{axis}" for particle in particles for axis in ("px", "py", "pz"))
        function = BETWEEN[name]
        return lambda rows: rows.once((name, *particles), lambda: function(rows, particles))

    def unary(self, tree: ast.UnaryOp) -> tuple[bool, _Value]:
        if isinstance(tree.op, (ast.Not, ast.Invert)):
            value = self.logical(tree.operand)
            return True, lambda rows: np.logical_not(value(rows))
        value = self.number(tree.operand)
        return (False, lambda rows: -value(rows)) if isinstance(tree.op, ast.USub) else (False, value)

    def binary(self, tree: ast.BinOp) -> tuple[bool, _Value]:
        kind = type(tree.op)
        if kind in _LOGIC:
            return self.join(_LOGIC[kind], [self.logical(tree.left), self.logical(tree.right)])
        if kind not in _ARITHMETIC:
            raise self.refuse(f"{ast.unparse(tree)}: no such operation")
        function, left, right = _ARITHMETIC[kind], self.number(tree.left), self.number(tree.right)
        return False, lambda rows: function(np.float64(1.0) * left(rows), right(rows))

    def boolean(self, tree: ast.BoolOp) -> tuple[bool, _Value]:
        return self.join(_LOGIC[type(tree.op)], [self.logical(value) for value in tree.values])

    def join(self, function: Callable[[Any, Any], Any], values: Sequence[_Value]) -> tuple[bool, _Value]:
        return True, lambda rows: reduce(function, (value(rows) for value in values))

    def compare(self, tree: ast.Compare) -> tuple[bool, _Value]:
        for kind in tree.ops:
            if type(kind) not in _COMPARISONS:
                raise self.refuse(f"{ast.unparse(tree)}: compare with < <= > >= == !=")
        sides = [tree.left, *tree.comparators]
        pairs = [self.pair(type(kind), *two) for kind, two in zip(tree.ops, pairwise(sides), strict=True)]
        return self.join(operator.and_, pairs)

    def pair(self, kind: type, left: ast.expr, right: ast.expr) -> _Value:
        """One comparison."""
        function, values = _COMPARISONS[kind], (self.number(left), self.number(right))
        direct = self.direction(function, left, right, False) or self.direction(function, right, left, True)
        return direct or (lambda rows: function(rows.number(values[0](rows)), rows.number(values[1](rows))))

    def direction(self, function: Callable[..., Any], tree: ast.expr, other: ast.expr, swapped: bool) -> _Value | None:
        """Comparison of a direction with a number, without the logarithm or arc tangent of every event; else None."""
        name, particles = self.asked(tree)
        limit = _constant(other)
        if name not in _DIRECTIONS or limit is None:
            return None
        low, high, slope, size, rises = _DIRECTIONS[name]
        if not low <= limit <= high:
            return None
        factor = slope(limit)

        def compare(rows: _Rows) -> Any:
            z, bound = rows.momentum(particles)[2], factor * rows.of(size, particles)
            return function(bound, z) if swapped == rises else function(z, bound)

        return compare

    def asked(self, tree: ast.expr) -> tuple[str, tuple[str, ...]]:
        """Quantity and particles that a node asks for, if it does: ``eta(k)`` or ``k_eta``."""
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            return tree.func.id, tuple(argument.id for argument in tree.args if isinstance(argument, ast.Name))
        if isinstance(tree, ast.Name) and tree.id not in self.columns:
            particle, _, quantity = tree.id.rpartition("_")
            return quantity, (particle,)
        return "", ()


# eta > c is pz > sinh(c) pT, theta < c is pz > cos(c) p: range of c, factor, what it multiplies, does it rise with pz
_DIRECTIONS: Mapping[str, tuple[float, float, Callable[[float], float], str, bool]] = MappingProxyType(
    {
        "eta": (-20.0, 20.0, math.sinh, "pt", True),
        "theta": (0.0, math.pi, math.cos, "p", False),
    }
)


def _constant(tree: ast.expr) -> float | None:
    """The number that a node is, if it is one."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub) and isinstance(tree.operand, ast.Constant):
        return -float(tree.operand.value)  # type: ignore[arg-type]   # a number: checked before
    return float(tree.value) if isinstance(tree, ast.Constant) else None  # type: ignore[arg-type]
