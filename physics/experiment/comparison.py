"""Models beside each other: χ² of each against the measurements of b → s, by kind and window of q²."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ...kinematics.base.results import Rows
from ..bins import build_predictor
from ..models import BENCHMARKS, Heavy, Model, ModelLike, as_model
from ..theory import TheoryLike
from .datasets import Data, load_data
from .invisible_rows import belle_spectrum
from .likelihood import Likelihood, get_group, select_measurements, theory_likelihood
from .rows import Request

FloatArray = NDArray[np.float64]
COLUMNS = MappingProxyType(
    {
        "R, low q2": ("R_K", "R_K*"),
        "R, high q2": ("R_K_high", "R_K*_high"),
        "dBR": ("dBR_K", "dBR_K*"),
        "P5p": ("P5p",),
    }
)
"""Groups of measurements that a column of the table adds up."""
INVISIBLE = "K+ invisible"
"""The column of Belle II's spectrum, where the data set has it."""
_RANGE = (-3.0, 2.0)  # of a free C9


@dataclass(frozen=True)
class Comparison:
    """χ² of one model: of each column, and their sum; of the spectrum of K+ + invisible it is -2 ln L."""

    model: str
    chi2: dict[str, float]
    derived = ("total",)

    @property
    def total(self) -> float:
        """Sum of all columns."""
        return sum(self.chi2.values())


@dataclass(frozen=True, eq=False)
class Comparisons(Rows[Comparison]):
    """A row a model; ``numbers`` are those of the measurements of each column."""

    data: str
    numbers: dict[str, int]

    def records(self) -> Any:
        """Return the rows as dictionaries, a key a column."""
        return [{"model": row.model, **row.chi2, "total": row.total} for row in self.rows]


def compare(
    models: Sequence[ModelLike] = tuple(BENCHMARKS), data: Data = "current", theory: TheoryLike = None
) -> Comparisons:
    """χ² of models beside each other, and of the C9 of muons that fits best (real, constant), named ``free C9``.

    Errors of the prediction enter as the data set says; those of rates have charm's too. The columns are added up as if
    their theory errors were independent.

    Args:
        models: benchmarks' names, TOML files, fields, or `Model` objects; all benchmarks by default.
        data: a data set.
        theory: what the Standard Model is taken to be, a table of the keys of a `Theory`.

    Raises:
        InputError: any of these that cannot be used.

    Example:
        >>> found = compare(["sm", "heavy-c9"])
        >>> [row.model.split(" = ")[0] for row in found]
        ['sm', 'heavy-c9', 'free C9']
        >>> bool(found[1].chi2["R, high q2"] > found[0].chi2["R, high q2"] + 10)
        True
    """
    known = load_data(data)
    chosen = [as_model(model, theory=theory) for model in models]
    there = {
        column: [name for name in names if select_measurements(known, get_group(name))]
        for column, names in COLUMNS.items()
    }
    standard = as_model("sm", theory=theory).standard
    groups = [name for names in there.values() for name in names]
    likelihood = theory_likelihood(known, groups, known.theory, standard)
    spectrum = belle_spectrum(Request(Model(), known))

    def row(model: Model) -> Comparison:
        found = _chi2(likelihood, build_predictor(likelihood.observables, model)())
        chi2 = {column: sum(float(found[name][0]) for name in names) for column, names in there.items() if names}
        if spectrum is not None:
            chi2[INVISIBLE] = spectrum.minus_two_log(spectrum.strengths(model))
        return Comparison(model.name, chi2)

    best = _free_c9(likelihood, standard)
    free = standard.model_copy(update={"name": f"free C9 = {best:.2f}", "heavy": Heavy(C9_mu=best)})
    numbers = {
        column: sum(len(likelihood[name].observables) for name in names) for column, names in there.items() if names
    }
    return Comparisons(tuple(row(model) for model in (*chosen, free)), known.name, numbers)


def _chi2(likelihood: Likelihood, predictions: FloatArray) -> dict[str, FloatArray]:
    place = {observable: i for i, observable in enumerate(likelihood.observables)}
    columns = {part.group.name: [place[o] for o in part.observables] for part in likelihood.groups}
    return likelihood.chi2({name: predictions[..., column] for name, column in columns.items()})


def _free_c9(likelihood: Likelihood, standard: Model) -> float:
    """The real C9 of muons with the smallest sum of χ²."""
    one = standard.model_copy(update={"heavy": Heavy(C9_mu=1.0)})
    predictor = build_predictor(likelihood.observables, one)

    def total(values: FloatArray) -> FloatArray:
        return np.asarray(sum(_chi2(likelihood, predictor({"heavy.C9_mu": values})).values()))

    grid = np.linspace(*_RANGE, 101)
    start = float(grid[total(grid).argmin()])
    step = grid[1] - grid[0]
    cost = lambda c: float(total(np.array([c]))[0])  # noqa: E731
    return float(minimize_scalar(cost, bounds=(start - step, start + step), method="bounded").x)
