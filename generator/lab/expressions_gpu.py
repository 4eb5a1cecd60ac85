"""Expressions on a CUDA device: all cuts of a channel become one kernel, that reads each column once.

An expression is evaluated on symbols in place of columns, and every operation that it makes of them is a line of the
kernel: what a cut means is written in `expressions` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from operator import and_
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.cuda import REAL, Program
from ...kinematics.base.optional import optional
from .expressions import Expression

OPERATIONS: Mapping[str, str] = MappingProxyType(
    {
        "positive": "{}",
        "negative": "-{}",
        "absolute": "fabs({})",
        "isnan": "isnan({})",
        "copysign": "copysign({}, {})",
        "add": "{} + {}",
        "subtract": "{} - {}",
        "multiply": "{} * {}",
        "divide": "{} / {}",
        "power": "pow({}, {})",
        "remainder": "modulo({}, {})",
        "hypot": "hypot({}, {})",
        **{name: f"{name}({{}})" for name in ("sqrt", "exp", "log", "log10", "sin", "cos", "tan")},
        "arctan2": "atan2({}, {})",
        "minimum": "smaller({}, {})",
        "maximum": "larger({}, {})",
        "less": "{} < {}",
        "less_equal": "{} <= {}",
        "greater": "{} > {}",
        "greater_equal": "{} >= {}",
        "equal": "{} == {}",
        "not_equal": "{} != {}",
        "bitwise_and": "{} && {}",
        "bitwise_or": "{} || {}",
        "invert": "!{}",
        "logical_not": "!{}",
    }
)
"""What NumPy's functions are in C++."""
_HELPERS = """
// as NumPy has them: the sign of the divisor; what is not a number stays it
__device__ __forceinline__ float64 modulo(float64 x, float64 y)
{
    const float64 rest = fmod(x, y);
    return rest != 0.0 && (rest < 0.0) != (y < 0.0) ? rest + y : rest;
}
__device__ __forceinline__ float64 smaller(float64 x, float64 y) { return x < y || isnan(x) ? x : y; }
__device__ __forceinline__ float64 larger(float64 x, float64 y) { return x > y || isnan(x) ? x : y; }
"""
Wanted = tuple[tuple[Expression, ...], ...]
_TYPES = {**REAL, "int32": "int32", "int64": "int64", "uint32": "uint32", "uint64": "uint64"}


class _Trace:
    """Lines of a kernel; one that is there already is not written again."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}

    def line(self, text: str) -> Symbol:
        return Symbol(self, self.lines.setdefault(text, f"x{len(self.lines)}"))


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """A number of every event, by its name in the kernel."""

    def __init__(self, trace: _Trace, name: str) -> None:
        self.trace, self.name = trace, name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method != "__call__" or keywords or ufunc.__name__ not in OPERATIONS:
            return NotImplemented
        return self.trace.line(OPERATIONS[ufunc.__name__].format(*map(_text, inputs)))

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        return arguments[1] if function is np.full_like else NotImplemented

    def any(self) -> bool:
        """Whether it may be true for an event: it may."""
        return True


def _text(value: Any) -> str:
    if isinstance(value, Symbol):
        return value.name
    return str(bool(value)).lower() if isinstance(value, (bool, np.bool_)) else f"({float(value)!r})"


@lru_cache(maxsize=32)
def _program(
    wanted: Wanted,
    columns: tuple[tuple[str, str], ...],
    masses: tuple[tuple[str, float], ...],
) -> Program:
    """The kernel of some results, each of them all of several cuts or one number, on columns of these types."""
    trace = _Trace()
    symbols = {name: trace.line(f"float64(in{k}[i])") for k, (name, _) in enumerate(columns)}
    parameters = [f"const {_TYPES[kind]}* __restrict__ in{k}" for k, (_, kind) in enumerate(columns)]
    results = []
    for k, expressions in enumerate(wanted):
        values = [expression.trace(symbols, dict(masses)) for expression in expressions]
        parameters.append(f"{'bool' if _logical(expressions) else 'float64'}* __restrict__ out{k}")
        results.append(f"        out{k}[i] = {_text(reduce(and_, values) if values else True)};\n")
    body = "\n".join(f"        const auto {name} = {text};" for text, name in trace.lines.items())
    return Program(
        f"{_HELPERS}\n__global__ void expressions({', '.join(parameters)}, int64 n)\n"
        "{\n    for (int64 i = thread(); i < n; i += threads()) {\n"
        f"{body}\n{''.join(results)}    }}\n}}\n"
    )


def _logical(expressions: tuple[Expression, ...]) -> bool:
    return not expressions or expressions[0].logical


def _results(
    wanted: tuple[tuple[Expression, ...], ...], columns: Mapping[str, Any], masses: Mapping[str, float]
) -> Any:
    """Run the kernel of some results on columns on the device."""
    cupy = optional("cupy", "device = 'gpu'")
    held = {name: cupy.ascontiguousarray(column) for name, column in sorted(columns.items())}
    n = len(next(iter(held.values())))
    kinds = tuple((name, column.dtype.name) for name, column in held.items())
    found = [cupy.empty(n, dtype=bool if _logical(expressions) else np.float64) for expressions in wanted]
    program = _program(wanted, kinds, tuple(masses.items()))
    program.launch("expressions", n, *held.values(), *found, np.int64(n))
    return found


def combine(expressions: Sequence[Expression], columns: Mapping[str, Any], masses: Mapping[str, float]) -> Any:
    """Whether each event passes all of some cuts, as `selection.combine`, for columns on the device."""
    (passed,) = _results((tuple(expressions),), columns, masses)
    return passed


def evaluate(expressions: Sequence[Expression], columns: Mapping[str, Any], masses: Mapping[str, float]) -> list[Any]:
    """`Expression.evaluate` of several expressions at once, of the columns on the device that they read."""
    read = {name for expression in expressions for name in expression.inputs} or set(list(columns)[:1])
    known = {particle: mass for particle, mass in masses.items() if f"{particle}_px" in read}
    found: list[Any] = _results(
        tuple((expression,) for expression in expressions), {name: columns[name] for name in read}, known
    )
    return found
