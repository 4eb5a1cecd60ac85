"""A field of the model that takes values: its range, what follows it, how both are written, and how they are applied.

Scans, figures, families of hypotheses and sensitivities all move fields of a model by their paths, such as
``light_vectors.0.mass``. On the command line a range is ``light_vectors.0.mass,1.5,3.2,18``, a value
``light_vectors.0.g_bs=-1e-8``, and a field that follows another
``light_vectors.0.g_mu_a=-0.44*light_vectors.0.g_mu_v``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..kinematics.base.checks import validate
from ..kinematics.base.errors import InputError
from .models import Model, apply_settings, is_linear

FloatArray = npt.NDArray[np.float64]


class Axis(BaseModel):
    """A field of the model by its path, its range and number of points, linear or logarithmic.

    >>> Axis(key="light_vectors.0.g_mu_v", min=0.0, max=0.1, points=3).values.tolist()
    [0.0, 0.05, 0.1]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str
    min: float
    max: float
    points: Annotated[int, Field(ge=1, le=100_000)] = 100
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _range(self) -> Axis:
        if self.points > 1 and not self.min < self.max:
            raise ValueError(f"min = {self.min:g} must be below max = {self.max:g}")
        if self.scale == "log" and self.min <= 0.0:
            raise ValueError(f"min = {self.min:g}: a logarithmic axis needs a positive range")
        return self

    @property
    def values(self) -> FloatArray:
        """Values on the axis."""
        make = np.geomspace if self.scale == "log" else np.linspace
        return np.asarray(make(self.min, self.max, self.points))

    @property
    def linear(self) -> bool:
        """Whether amplitudes are linear in the parameter: a coupling or a Wilson coefficient."""
        return is_linear(self.key)


class Tie(BaseModel):
    """A parameter that follows another: ``key`` = ``factor`` × ``of``, say g_mu_a = -0.44 g_mu_v."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str
    of: str
    factor: float


def grid(axes: Sequence[Axis]) -> FloatArray:
    """Every combination of values, shape (points, axes), the last axis fastest: one row without axes.

    >>> grid([Axis(key="a", min=0, max=1, points=2), Axis(key="b", min=2, max=3, points=2)]).tolist()
    [[0.0, 2.0], [0.0, 3.0], [1.0, 2.0], [1.0, 3.0]]
    """
    points = list(itertools.product(*(axis.values for axis in axes)))
    return np.array(points, dtype=float).reshape(len(points), len(axes))


def tied(values: Mapping[str, Any], ties: Iterable[Tie]) -> dict[str, Any]:
    """Values by path, numbers or arrays, and those of the ties that follow one of them.

    >>> tied({"a": 2.0}, [Tie(key="b", of="a", factor=-0.5), Tie(key="c", of="d", factor=1.0)])
    {'a': 2.0, 'b': -1.0}
    """
    return {**values, **{tie.key: tie.factor * values[tie.of] for tie in ties if tie.of in values}}


def moved(model: Model, values: Mapping[str, float]) -> Model:
    """The model with fields set to numbers; InputError for a path that it does not have or a value out of range.

    >>> from darkpenguin.physics.models import get_model
    >>> moved(get_model("fig2"), {"light_vectors.0.mass": 2.8}).light_vectors[0].mass
    2.8
    """
    return apply_settings(model, [f"{key}={float(value)!r}" for key, value in values.items()])


def read_axis(text: str, name: str, points: int | None = None) -> Axis:
    """An axis from ``KEY,MIN,MAX,POINTS``, or from ``KEY,MIN,MAX`` where ``points`` is given; ``name`` is the option.

    >>> read_axis("light_vectors.0.mass,1.5,3.2,18", "versus").points
    18
    """
    key, *numbers = (part.strip() for part in text.split(","))
    try:
        low, high, n = numbers if points is None else (*numbers, str(points))
        data = {"key": key, "min": float(low), "max": float(high), "points": int(n)}
    except ValueError:
        form = ("KEY,MIN,MAX,POINTS", ",16") if points is None else ("KEY,MIN,MAX", "")
        raise InputError(f"{name} = {text!r}: write {form[0]}, say light_vectors.0.mass,1.5,3{form[1]}") from None
    return validate(Axis, data, name)


def read_value(text: str, name: str, example: str) -> tuple[str, float]:
    """Path and number of ``KEY=VALUE``; ``name`` is the option and ``example`` what the error shows.

    >>> read_value("light_vectors.0.g_bs=-1e-8", "limit", "")
    ('light_vectors.0.g_bs', -1e-08)
    """
    key, _, value = (part.strip() for part in text.partition("="))
    try:
        return key, float(value)
    except ValueError:
        raise InputError(f"{name} = {text!r}: write KEY=VALUE with a number, say {example}") from None


def read_tie(text: str, name: str = "tie") -> Tie:
    """A tie from ``KEY=FACTOR*KEY``.

    >>> read_tie("light_vectors.0.g_mu_a=-0.44*light_vectors.0.g_mu_v").factor
    -0.44
    """
    key, _, right = (part.strip() for part in text.partition("="))
    factor, _, of = (part.strip() for part in right.partition("*"))
    try:
        return Tie(key=key, of=of, factor=float(factor))
    except ValueError:
        example = "light_vectors.0.g_mu_a=-0.44*light_vectors.0.g_mu_v"
        raise InputError(f"{name} = {text!r}: write KEY=FACTOR*KEY, say {example}") from None
