"""A hypothesis: a model and what it predicts for an experiment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...kinematics.base.checks import validate
from ...physics.axes import Axis, grid, moved
from ...physics.models import Model, ModelChoice, apply_settings, as_model, settings_of
from .experiment import Array


class Hypothesis(BaseModel):
    """A model, or a family of models that floats along ``scan``.

    ``scan`` maps paths of the model to [low, high, points]; every combination is a point of the family. A fit looks for
    the best of them and then on a finer grid about it, so points may be as far apart as χ² has one minimum between.

    >>> family = Hypothesis(model="heavy-c9", scan={"heavy.C9_mu": (-2.0, 0.0, 5)})
    >>> [m.heavy.C9_mu.real for m in family.models()]
    [-2.0, -1.5, -1.0, -0.5, 0.0]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    model: ModelChoice = "sm"
    settings: tuple[str, ...] = Field(default=(), alias="set")
    scan: Mapping[str, tuple[float, float, int]] = Field(default_factory=dict)
    label: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A model alone is meant where nothing else is said."""
        return {"model": value} if isinstance(value, (str, os.PathLike, Model)) else value

    def base(self) -> Model:
        """The model before anything floats."""
        return apply_settings(as_model(self.model), self.settings)

    def models(self) -> tuple[Model, ...]:
        """All points of the family, in the order of ``grid``."""
        base = self.base()
        return tuple(moved(base, dict(zip(self.scan, point, strict=True))) for point in self.grid().tolist())

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What floats; InputError for a range or a number of points that cannot be."""
        return tuple(
            validate(Axis, {"key": path, "min": low, "max": high, "points": n}, f"scan.{path}")
            for path, (low, high, n) in self.scan.items()
        )

    def grid(self) -> Array:
        """Values along the scan, shape (points, paths): one row without paths if nothing floats."""
        return grid(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each path."""
        return tuple(n for _, _, n in self.scan.values())

    @property
    def title(self) -> str:
        """Short name for tables and legends."""
        if self.label:
            return self.label
        name = self.model if isinstance(self.model, str) else self.model.name
        extra = ", ".join((*self.settings, *(f"{path} free" for path in self.scan)))
        return f"{name} ({extra})" if extra else name


def with_settings(data: Any, default: Hypothesis) -> Any:
    """The keys of a card whose ``set`` changes the model that is true, resolved.

    >>> with_settings({"truth": "fig2", "set": "light_vectors.0.mass=2.8"}, Hypothesis())["truth"].title
    'fig2 (light_vectors.0.mass=2.8)'
    """
    if not isinstance(data, Mapping) or "set" not in data:
        return data
    truth = Hypothesis.model_validate(data.get("truth", default.model_copy(update={"label": ""})))
    settings = (*truth.settings, *settings_of(data["set"]))
    changed = truth.model_copy(update={"settings": settings})
    changed.base()  # its error names the key
    return {**{key: value for key, value in data.items() if key != "set"}, "truth": changed}
