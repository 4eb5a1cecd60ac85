"""The scan card: axes, ties, data, theory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, ConfigDict, Field, field_validator, model_validator

from ...kinematics.base.cards import Card
from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.axes import Axis, Tie, moved, read_value, tied
from ...physics.experiment.datasets import DataSet, load_data
from ...physics.experiment.datasets import Theory as TheoryErrors
from ...physics.experiment.likelihood import PAPER_GROUPS, check_groups
from ...physics.models import Model, ModelChoice, apply_settings, as_model, is_linear, merged_settings
from ...physics.theory import split_errors

MAX_POINTS = 50_000_000
"""Largest grid: its χ² of three groups takes 1.2 GB."""


class ScanCard(Card):
    """What to scan: a base model, axes, ties between parameters, data and groups of measurements.

    >>> card = ScanCard(axes=[{"key": "light_vectors.0.g_mu_v", "min": -0.1, "max": 0.1}])
    >>> card.data, card.groups, card.theory_errors
    ('current', ('R_K', 'R_K*', 'P5p'), 'correlated')
    """

    model_config = ConfigDict(populate_by_name=True)

    folder: ClassVar[Path] = Path(__file__).parent / "cards"
    also: ClassVar[tuple[str, ...]] = ("set",)

    name: Annotated[str, Field(pattern=r"^[\w.+-]+$")] = "scan"
    model: ModelChoice = "fig2"
    settings: Annotated[tuple[str, ...], Field(validation_alias=AliasChoices("settings", "set"))] = ()
    axes: Annotated[tuple[Axis, ...], Field(min_length=1)]
    ties: tuple[Tie, ...] = ()
    data: str = "current"
    groups: tuple[str, ...] = PAPER_GROUPS
    theory: TheoryErrors | None = None
    """How errors of the theory enter; in a card a table ``theory`` has this as ``errors``, beside what the model's
    theory is."""

    @model_validator(mode="before")
    @classmethod
    def _theory(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "theory" not in data:
            return data
        errors, theory = split_errors(data["theory"])
        model = data.get("model", cls.model_fields["model"].default)
        return {**data, "theory": errors} | ({} if theory is None else {"model": as_model(model, theory=theory)})

    @classmethod
    def merged(cls, keys: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of a card with others on top; ``set`` is another word for ``settings``."""
        known, new = (
            {("settings" if key == "set" else key): value for key, value in part.items()} for part in (keys, given)
        )
        return merged_settings(known, new, "settings")

    @field_validator("data")
    @classmethod
    def _data(cls, value: str) -> str:
        load_data(value)
        return value

    @field_validator("groups")
    @classmethod
    def _groups(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_groups(value)
        return value

    @model_validator(mode="after")
    def _paths(self) -> ScanCard:
        keys = [axis.key for axis in self.axes]
        targets = [tie.key for tie in self.ties]
        for key in [*keys, *targets]:
            if [*keys, *targets].count(key) > 1:
                raise ValueError(f"{key} is set twice; keep one axis or tie of it")
        base = self.base_model()
        for axis in self.axes:
            for edge in (axis.min, axis.max):
                moved(base, {axis.key: edge})
        for tie in self.ties:
            if tie.of not in keys:
                raise ValueError(f"ties: {tie.of} is not an axis; {nearest(tie.of, keys)}")
            moved(base, {tie.key: tie.factor})
            source = self.axes[keys.index(tie.of)]
            if source.linear and not is_linear(tie.key):
                raise ValueError(f"ties: {tie.key} cannot follow the coupling {tie.of}")
        if self.points > MAX_POINTS:
            raise ValueError(f"the grid has {self.points:,} points; at most {MAX_POINTS:,} fit")
        return self

    @property
    def points(self) -> int:
        """Number of points of the grid."""
        return math.prod(axis.points for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid, in the order of the axes."""
        return tuple(axis.points for axis in self.axes)

    @property
    def data_set(self) -> DataSet:
        """The data set, read from its file."""
        return load_data(self.data)

    @property
    def theory_errors(self) -> TheoryErrors:
        """How theory errors enter: as said, or the default of the data set."""
        return self.theory or self.data_set.theory

    def base_model(self) -> Model:
        """The model that the axes start from."""
        return apply_settings(as_model(self.model), self.settings)

    def values_at(self, point: Mapping[str, float]) -> dict[str, float]:
        """All parameters that move, ties included, for one value on each axis."""
        return tied(point, self.ties)

    def model_at(self, point: Mapping[str, float]) -> Model:
        """The model at one value of each axis.

        >>> card = ScanCard(axes=[{"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0}])
        >>> card.model_at({"light_vectors.0.mass": 2.8}).light_vectors[0].mass
        2.8
        """
        return moved(self.base_model(), self.values_at(point))


def read_point(card: ScanCard, texts: Sequence[str]) -> dict[str, float]:
    """A point of a card's axes from texts KEY=VALUE; InputError for what is no axis, no number or no model.

    >>> card = ScanCard(axes=[{"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0}])
    >>> read_point(card, ["light_vectors.0.mass=2.2"])
    {'light_vectors.0.mass': 2.2}
    """
    keys = [axis.key for axis in card.axes]
    point: dict[str, float] = {}
    for text in texts:
        key = text.partition("=")[0].strip()
        if key not in keys:
            raise InputError(f"at = {text!r}: not scanned; {nearest(key, keys)}")
        point[key] = read_value(text, "at", f"{key}=2.5")[1]
    card.model_at({**{axis.key: axis.min for axis in card.axes}, **point})
    return point
