"""A row of the table of constraints, and the rules by which it is judged.

A limit excludes what is above it, at the confidence level that its source has: 95 % where there is one, and where the
source gives 90 % only, that, and the row says so. A measurement is in tension above two standard deviations and
excludes above three. Beside it stands the Standard Model's own pull, and what is no worse than the Standard Model is
not excluded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..models import Model
from .datasets import DataSet, Limit

Verdict = Literal["allowed", "tension", "excluded", "not sensitive", "unknown"]
"""``not sensitive``: nothing of the model is seen here. ``unknown``: the numbers could not be had."""
TENSION, EXCLUDED = 2.0, 3.0
"""Standard deviations from a measurement above which a model is in tension, and excluded."""


@dataclass(frozen=True)
class Row:
    """One constraint: ``limit`` is the end of the allowed range on the side of the prediction.

    ``passes`` is False for what is excluded and None where nothing is judged; numbers are None where they have no
    meaning. ``vector`` names the V that the row is about in the rows that are made for each V. ``pull`` is in standard
    deviations of a measurement; where there is none, ``ratio`` is prediction over limit. ``standard`` and
    ``standard_pull`` are those of the Standard Model. ``details`` has the numbers of the ``note``.
    """

    name: str
    equation: str
    prediction: float | None
    limit: float | None
    unit: str
    verdict: Verdict
    source: str
    pull: float | None = None
    vector: str | None = None
    note: str = ""
    details: Mapping[str, float] = field(default_factory=dict)
    standard: float | None = None
    standard_pull: float | None = None
    derived = ("ratio", "passes")

    def __post_init__(self) -> None:
        numbers = (self.prediction, self.limit, self.pull, self.standard, self.standard_pull, *self.details.values())
        for number in numbers:
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{self.name}: {number} is not a number to print")

    @property
    def ratio(self) -> float | None:
        """Prediction over limit, where no pull says it."""
        if self.pull is not None or self.prediction is None or not self.limit:
            return None
        return self.prediction / self.limit

    @property
    def passes(self) -> bool | None:
        """False if excluded, True if allowed or in tension, None if nothing is judged."""
        return {"allowed": True, "tension": True, "excluded": False}.get(self.verdict)


@dataclass(frozen=True)
class Request:
    """What the rows are made from: a model, a data set, and what the user gives in place of their numbers."""

    model: Model
    data: DataSet
    limit: float | None = None
    m_dm: float | None = None


def below(prediction: float, limit: float) -> Verdict:
    """Verdict of an upper limit: ``not sensitive`` to nothing at all.

    >>> below(1.0, 1.0), below(1.01, 1.0), below(0.0, 1.0)
    ('allowed', 'excluded', 'not sensitive')
    """
    if prediction == 0.0:
        return "not sensitive"
    return "excluded" if prediction > limit * (1 + 1e-9) else "allowed"


def measured(pull: float, standard: float | None = None) -> Verdict:
    """Verdict of a measurement, from the pulls of the model and of the Standard Model.

    >>> measured(1.9), measured(2.1), measured(-3.1), measured(-3.1, standard=-3.2)
    ('allowed', 'tension', 'excluded', 'tension')
    """
    worse = standard is None or abs(pull) > abs(standard) * (1 + 1e-9)
    if abs(pull) > EXCLUDED and worse:
        return "excluded"
    return "tension" if abs(pull) > TENSION else "allowed"


def edge(found: Limit, pull: float, standard: float | None = None) -> float:
    """End of what a measurement does not exclude, on the side of a pull; at least as far as the Standard Model is."""
    value, error = found.numbers()
    low, high = value - EXCLUDED * error, value + EXCLUDED * error
    if standard is not None:
        mirrored = 2 * value - standard
        low, high = min(low, standard, mirrored), max(high, standard, mirrored)
    return high if pull > 0 else low


def unknown(name: str, equation: str, unit: str, data: DataSet, vector: str | None = None) -> Row:
    """The row of a constraint whose numbers the data set does not have."""
    return Row(name, equation, None, None, unit, "unknown", f"not in the data set {data.name}", vector=vector)
