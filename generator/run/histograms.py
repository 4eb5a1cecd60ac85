"""Histograms of a run's events, filled while they are made: ``generate CARD --reduce HISTOGRAMS.toml``.

Of a run of 10¹² events no row is kept. Counts are whole numbers, so they are those of the rows, whatever the parts of
the run, and files of parts are merged by addition. A moment is a histogram whose weight is an expression: with
``weight = "cos_theta_l"`` a bin holds :math:`\\sum\\cos\\theta_\\ell`, and the sum of its squares as the variance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...kinematics.base.arrays import on_gpu
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import read_toml
from ...kinematics.base.jit import kernel
from ...physics.channels import get_channel
from ..lab.expressions import Expression, parse

MOST_BINS = 100_000_000
"""Bins of a histogram: 0.8 GB."""
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Axis(BaseModel):
    """An axis: an expression over columns, and equal bins between two numbers or their edges."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    column: str
    """A column, or an expression such as ``abs(cos_theta_l)``, ``m(k, pi)``."""
    bins: int | None = Field(default=None, ge=1, le=MOST_BINS)
    min: float | None = None
    max: float | None = None
    edges: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Axis:
        equal = (self.bins, self.min, self.max)
        if bool(self.edges) == any(value is not None for value in equal) or (not self.edges and None in equal):
            raise InputError(f"axis {self.column!r}: give bins, min and max, or edges")
        if len(self.edges) == 1 or not bool((np.diff(self.all_edges) > 0).all()):
            raise InputError(f"axis {self.column!r}: edges must rise, and be two at least")
        return self

    @cached_property
    def all_edges(self) -> NDArray[np.float64]:
        """Edges of the bins."""
        if self.edges:
            return np.array(self.edges)
        return np.linspace(self.min or 0.0, self.max or 0.0, (self.bins or 0) + 1)


def _axes(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


class HistogramSettings(BaseModel):
    """One histogram: one to three axes, a weight, a cut, the channels that fill it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    axes: Annotated[tuple[Axis, ...], BeforeValidator(_axes), Field(min_length=1, max_length=3)]
    weight: str | None = None
    """A column or an expression; without it events are counted."""
    select: str | None = None
    """A cut; only events that pass it count."""
    channels: tuple[str, ...] = ()
    """Names of channels; all of the run without any."""

    @model_validator(mode="after")
    def _small_enough(self) -> HistogramSettings:
        if math.prod(self.shape) > MOST_BINS:
            raise InputError(f"axes: {math.prod(self.shape):.1e} bins; {MOST_BINS:.0e} at most")
        for name in self.channels:
            get_channel(name)
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins along each axis, with those below and above."""
        return tuple(len(axis.all_edges) + 1 for axis in self.axes)


class Reduction(BaseModel):
    """What is kept of a run instead of its events: histograms by name.

    Example:
        >>> Reduction.read({"q2": {"axes": {"column": "q2", "bins": 4, "min": 0, "max": 20}}}).histograms["q2"].shape
        (6,)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    histograms: dict[str, HistogramSettings] = Field(min_length=1)

    @classmethod
    def read(cls, value: Any) -> Any:
        """Return what a card says as the fields of this class: a TOML file's path, or a table of histograms by name."""
        if isinstance(value, cls):
            return value
        found = read_toml(value) if isinstance(value, str) else value
        if not isinstance(found, Mapping):
            raise InputError(f"reduce = {value!r}: name a TOML file with a table a histogram")
        tables = found["histograms"] if list(found) == ["histograms"] else found
        for name in tables:
            if not name or not set(name) <= _NAME_LETTERS:
                raise InputError(f"reduce: {name!r} is no name of a histogram; letters, digits and underscores are")
        return cls(histograms=dict(tables))


@dataclass
class Histogram:
    """A histogram that is filled: contents with bins below and above each axis, and how often it was filled.

    Attributes:
        settings: what it is.
        values: sum of the weights (whole numbers without a weight), of `HistogramSettings.shape`.
        squares: sum of their squares; None without a weight.
        entries: events that were filled, those below and above included.
        undefined: events that were not, since an axis or the weight is not a number for them.
    """

    settings: HistogramSettings
    values: NDArray[Any] = field(init=False)
    squares: NDArray[np.float64] | None = field(init=False)
    entries: int = 0
    undefined: int = 0

    def __post_init__(self) -> None:
        counted = self.settings.weight is None
        self.values = np.zeros(self.settings.shape, np.int64 if counted else np.float64)
        self.squares = None if counted else np.zeros(self.settings.shape)

    def expressions(self, columns: Sequence[str], name: str = "histogram") -> dict[str, Expression]:
        """Return the checked expressions of axes, weight and cut over some columns; InputError for a mistake."""
        texts = {f"axis {i}": axis.column for i, axis in enumerate(self.settings.axes)}
        texts |= {key: text for key in ("weight", "select") if (text := getattr(self.settings, key)) is not None}
        found = {key: parse(text, columns, f"reduce.{name}: {key}") for key, text in texts.items()}
        for key, expression in found.items():
            if expression.logical != (key == "select"):
                kind = "true or false, as in q2 > 1" if key == "select" else "a number"
                raise InputError(f"reduce.{name}: {key} = {expression.text!r}: {kind} is needed")
        return found

    def fill(
        self, columns: Mapping[str, Any], expressions: Mapping[str, Expression], masses: Mapping[str, float]
    ) -> None:
        """Add events: their columns, on the host or on a GPU, and what `expressions` gave."""
        if on_gpu(next(iter(columns.values()))):
            from .histograms_gpu import sums

            values, squares, undefined, selected = sums(
                [axis.all_edges for axis in self.settings.axes], expressions, columns, masses
            )
            self.values += values
            if self.squares is not None:
                self.squares += squares
            self.undefined += undefined
            self.entries += selected - undefined
            return

        def of(key: str) -> NDArray[Any]:
            expression = expressions[key]
            if expression.text in columns:
                return np.asarray(columns[expression.text])
            return expression.evaluate(columns, masses)

        n = len(next(iter(columns.values())))
        place = np.zeros(n, np.int64)
        for number, axis in enumerate(self.settings.axes):
            edges, stride = axis.all_edges, math.prod(self.settings.shape[number + 1 :])
            _locate(of(f"axis {number}"), edges, not axis.edges, stride, place)
        if "select" in expressions:
            place[~of("select")] = _LEFT_OUT
        weight = of("weight") if "weight" in expressions else None
        if weight is None:
            undefined, selected = _count(place, self.values.ravel())
        else:
            assert self.squares is not None
            undefined, selected = _add(place, weight, self.values.ravel(), self.squares.ravel())
        self.undefined += undefined
        self.entries += selected - undefined

    def add(self, other: Histogram) -> None:
        """Add another one of the same settings."""
        self.values += other.values
        if self.squares is not None and other.squares is not None:
            self.squares += other.squares
        self.entries += other.entries
        self.undefined += other.undefined


_UNDEFINED, _LEFT_OUT = -1, -2
"""Places of events that are in no bin: something is not a number, or a cut leaves them out."""


@kernel
def _locate(x: Any, edges: Any, equal: bool, stride: int, place: Any) -> None:
    """Add to each place the bin of x times a stride, 0 below and n + 1 above; the last edge is above, as in ROOT."""
    n = edges.size - 1
    low, high = edges[0], edges[n]
    scale = n / (high - low)
    for i in range(x.size):
        value = float(x[i])
        if place[i] < 0:
            continue
        if value < low:
            found = 0
        elif value >= high:
            found = n + 1
        elif value == value:
            if equal:
                found = min(int((value - low) * scale), n - 1)
                # the edges decide, not the rounding of the division
                if value < edges[found]:
                    found -= 1
                elif value >= edges[found + 1]:
                    found += 1
            else:
                found, above = 0, n
                while above - found > 1:
                    middle = (found + above) // 2
                    if value < edges[middle]:
                        above = middle
                    else:
                        found = middle
            found += 1
        else:
            place[i] = _UNDEFINED
            continue
        place[i] += found * stride


@kernel
def _count(place: Any, values: Any) -> tuple[int, int]:
    undefined = selected = 0
    for i in range(place.size):
        if place[i] >= 0:
            values[place[i]] += 1
        undefined += place[i] == _UNDEFINED
        selected += place[i] != _LEFT_OUT
    return undefined, selected


@kernel
def _add(place: Any, weight: Any, values: Any, squares: Any) -> tuple[int, int]:
    undefined = selected = 0
    for i in range(place.size):
        w = float(weight[i])
        if place[i] >= 0 and w == w:
            values[place[i]] += w
            squares[place[i]] += w * w
        else:
            undefined += place[i] != _LEFT_OUT
        selected += place[i] != _LEFT_OUT
    return undefined, selected
