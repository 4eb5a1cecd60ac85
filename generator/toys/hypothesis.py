"""A hypothesis: a model and what it predicts for an experiment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...physics.axes import Axis, grid, moved
from ...physics.models import Model, ModelChoice, apply_settings, as_model, settings_of
from ...physics.theory import TheoryLike, as_theory, split_errors
from .experiment import Array


class Hypothesis(BaseModel):
    """A model, or a family of models that floats along ``scan``.

    ``scan`` maps paths of the model to [low, high, points]. A fit profiles couplings exactly between low and high, and
    puts masses and widths as close as the data can tell them apart: the points are where it starts.

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
        """A model alone is meant where nothing else is said; a table ``theory`` is that of the model."""
        if isinstance(value, (str, os.PathLike, Model)):
            return {"model": value}
        if not isinstance(value, Mapping) or "theory" not in value:
            return value
        model = as_model(value.get("model", cls.model_fields["model"].default), theory=value["theory"])
        return {**{key: part for key, part in value.items() if key != "theory"}, "model": model}

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


def with_theories(data: Any, card: type[BaseModel]) -> Any:
    """The keys of a card, resolved: what its table ``theory`` says lies beneath the theory of each model in it.

    ``theory`` keeps whether theory errors enter, in the table ``errors``.

    >>> from darkpenguin.generator.toys.run import ToysCard
    >>> found = with_theories({"theory": {"errors": False, "nonlocal": "flavio"}}, ToysCard)
    >>> found["theory"], found["truth"].base().theory.nonlocal_
    (False, 'flavio')
    """
    if not isinstance(data, Mapping) or "theory" not in data:
        return data
    errors, theory = split_errors(data["theory"])
    radiation = "none" if theory is None else as_theory(theory).radiation
    if radiation != "none":
        raise InputError(
            f"theory.radiation = {radiation!r}: toys are of decays before their leptons radiate; leave it out, or name "
            "a simulated file with radiation as the migration of [detector]"
        )
    found = {key: value for key, value in data.items() if key != "theory"}
    if errors is not None:
        found["theory"] = errors
    for name in ("truth", "null", "alternative", "hypotheses", "fit_model"):
        value = found.get(name, card.model_fields[name].default) if name in card.model_fields else None
        if value is not None and theory is not None:
            found[name] = tuple(_upon(one, theory) for one in value) if name == "hypotheses" else _upon(value, theory)
            found[name] = found[name].model if name == "fit_model" else found[name]
    return found


def _upon(value: Any, theory: TheoryLike) -> Hypothesis:
    """A hypothesis whose own theory lies upon another."""
    hypothesis = value if isinstance(value, Hypothesis) else Hypothesis.model_validate(value)
    own = as_model(hypothesis.model)
    model = own.model_copy(update={"theory": as_theory(theory).changed(own.theory)})
    return hypothesis.model_copy(update={"model": model})
