"""Expected upper limits on a coupling from the counts of a data set: CL_s, asymptotically and with toys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Result, json_types
from ...physics.models import Model, ModelLike, as_model
from ...physics.theory import TheoryLike, split_errors
from ..statistics.counts import CountModel
from ..statistics.intervals import Interval
from ..statistics.intervals import feldman_cousins as find_interval
from ..statistics.limits import Limit, find_limit
from .couplings import quadratic_counts
from .datasets import Dataset, get_dataset
from .experiment import Experiment, make_experiment
from .systematics import Systematics

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpectedLimit(Result):
    """Expected upper limit on a coupling in units of its path's unit, if it is zero.

    Attributes:
        path: of the coupling.
        unit: what one means.
        level: of confidence.
        asymptotic: CL_s by the formulas of arXiv:1007.1727 for the Asimov data, with every interval allowed and the
            band of the limit in background-only data.
        toys: the same with the distributions of q from toys; None without toys.
        model: counts as a quadratic in the coupling.
        interval: of Feldman and Cousins, both signs of the coupling, if asked for.
    """

    path: str
    unit: float
    level: float
    asymptotic: Limit
    toys: Limit | None
    model: CountModel
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the limits, in units of the field that ``path`` names, and CL_s along the coupling."""
        return {
            "path": self.path,
            "unit": self.unit,
            "level": self.level,
            "asymptotic": json_types(self.asymptotic.value * self.unit),
            "toys": None if self.toys is None else json_types(self.toys.value * self.unit),
            "intervals": json_types([[end * self.unit for end in ends] for ends in self.asymptotic.intervals]),
            "band": json_types([value * self.unit for value in self.asymptotic.band]),
            "points": json_types(self.records()),
            "feldman_cousins": json_types(self._feldman_cousins()),
        }

    def records(self) -> dict[str, Any]:
        """Return CL_s along the coupling; NaN where one of the two was not computed."""
        found = {self.path: self.asymptotic.grid * self.unit, "asymptotic": self.asymptotic.points}
        if self.toys is None:
            return found
        grid = np.concatenate([self.asymptotic.grid, self.toys.grid])
        none = (np.full(self.asymptotic.grid.size, np.nan), np.full(self.toys.grid.size, np.nan))
        order = np.argsort(grid, kind="stable")
        columns = {
            self.path: grid * self.unit,
            "asymptotic": np.concatenate([self.asymptotic.points, none[1]]),
            "toys": np.concatenate([none[0], self.toys.points]),
        }
        return {name: column[order] for name, column in columns.items()}

    def sentence(self) -> str:
        """The limit in one sentence, with its band and what else is allowed."""
        side = ">" if self.unit < 0 else "<"
        found = self.asymptotic
        start = f"expected at {100 * self.level:g} % CL: {self.path}"
        if not np.isfinite(found.value):
            return f"{start} is not limited on this side"
        text = f"{start} {side} {self._text(found.value, 3)}"
        if self.toys is not None:
            text += f" (toys: {self._text(self.toys.value, 3)})"
        one, two = (" to ".join(self._text(found.band[i], 3) for i in ends) for ends in ((1, 3), (0, 4)))
        text += f"; 68 % of data: {one}, 95 %: {two}"
        also = [" to ".join(self._text(end, 4) for end in ends) for ends in found.intervals[1:]]
        text += f"; allowed too: {', '.join(also)}" if also else ""
        pieces = [
            f"{a:.3g} to {b:.3g}".replace("-inf", "below").replace("inf", "above")
            for a, b in self._feldman_cousins() or ()
        ]
        return text + (f"; Feldman-Cousins: {', '.join(pieces)}" if pieces else "")

    def _feldman_cousins(self) -> list[tuple[float, float]] | None:
        """Pieces of the Feldman-Cousins interval in units of the field, rising."""
        if self.interval is None:
            return None
        return sorted((min(x), max(x)) for x in ((a * self.unit, b * self.unit) for a, b in self.interval.intervals))

    def _text(self, value: float, digits: int) -> str:
        """A coupling in units of the field, in words where there is no limit."""
        return f"{value * self.unit:.{digits}g}" if np.isfinite(value) else "no limit"


def limit_counts(experiment: Experiment, model: Model, path: str, unit: float) -> CountModel:
    """Counts that an experiment measures, and its nuisance parameters, as a quadratic in one coupling in ``unit``."""
    if not (np.isfinite(unit) and unit != 0):
        raise InputError(f"limit {path} = {unit}: needs a number other than zero; its sign is that of the coupling")
    none = Systematics(efficiency=0.0)
    counts = quadratic_counts(model, {path: {path: unit}}, experiment.dataset, experiment.bins, none, starts=[[0.0]])
    known = experiment.nuisances
    rows = np.nonzero(known.floating)[0]
    names = tuple(known.names[i] for i in rows)
    counts = replace(counts, nuisances=names, effects=known.effects[rows], background_effects=known.tilts[rows])
    return counts.select(experiment.counted)


def expected_limit(
    experiment: Experiment,
    model: Model,
    path: str,
    unit: float,
    *,
    level: float = 0.95,
    toys: int = 0,
    seed: int = 0,
    feldman_cousins: bool = False,
) -> ExpectedLimit:
    """CL_s upper limit on a coupling of the sign of ``unit``, expected if it is zero.

    From the counts in all bins and channels of the experiment, with its nuisance parameters. Angular observables are
    not in it.

    Args:
        experiment: data set, bins and channels.
        model: whose masses, widths and other couplings hold.
        path: of the coupling: amplitudes must be linear in it.
        unit: value of the coupling that counts as one; its sign is that of the limit.
        level: of confidence.
        toys: of each hypothesis at each of eight couplings; asymptotic only for 0.
        seed: of the toys.
        feldman_cousins: whether to find that interval too, of both signs, with as many toys or 1000.

    Raises:
        InputError: a unit of zero, or a coupling that the counts do not feel.

    Example:
        >>> from darkpenguin.generator.toys.experiment import make_experiment
        >>> from darkpenguin.generator.toys.datasets import get_dataset
        >>> from darkpenguin.physics.models import get_model
        >>> experiment = make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], theory=False)
        >>> found = expected_limit(experiment, get_model("fig1-2.5gev"), "light_vectors.0.g_bs", -1e-8)
        >>> 0.05 < found.asymptotic.value < 5
        True
    """
    counts = limit_counts(experiment, model, path, unit)
    moves = np.abs(counts.signal[:, 1:]).max() / np.abs(counts.signal[:, 0]).max()
    if not moves > 1e-9:
        raise InputError(f"limit {path}: the counts of {', '.join(experiment.channels)} do not feel it")
    asimov = counts.expected([0.0], np.zeros(len(counts.nuisances)))
    interval = None
    if feldman_cousins:
        ends = (-np.inf, np.inf)
        interval = find_interval(counts, asimov, bounds=ends, level=level, toys=toys or 1000, seed=seed)
    return ExpectedLimit(
        path,
        unit,
        level,
        find_limit(counts, asimov, level=level),
        find_limit(counts, asimov, level=level, toys=toys, seed=seed) if toys else None,
        counts,
        interval,
    )


def limit(
    path: str,
    unit: float,
    model: ModelLike = "fig1-2.5gev",
    *,
    set: str | Sequence[str] = (),
    dataset: str | Dataset = "lhcb-run12",
    luminosity: float | None = None,
    observables: Sequence[str] = ("R_K+", "R_K*0"),
    bins: Sequence[float] = (1.1, 2.0, 3.0, 4.0, 5.0, 6.0),
    theory: bool | TheoryLike = True,
    level: float = 0.95,
    toys: int = 0,
    seed: int = 1,
    feldman_cousins: bool = False,
) -> ExpectedLimit:
    """Expected CL_s upper limit on a coupling of a model if it is zero, from the counts of a data set.

    Args:
        path: of the coupling, such as ``light_vectors.0.g_bs``; amplitudes must be linear in it.
        unit: value of the coupling that counts as one; its sign is that of the limit.
        model: whose masses, widths and other couplings hold: a benchmark's name, a TOML file, fields, or a `Model`.
        set: changes of the model, such as ``light_vectors.0.mass=2.8``, one or several.
        dataset: data set that gives the yields, a name or a `Dataset`.
        luminosity: in the data set's unit; its own if None.
        observables: ratios and rates whose counts enter; angular observables have none.
        bins: edges of q2 (GeV^2).
        theory: whether theory is uncertain; or a table, this as its ``errors``, of the keys of a `Theory`.
        level: of confidence.
        toys: of each hypothesis at each of eight couplings; asymptotic only for 0.
        seed: of the toys.
        feldman_cousins: whether to find that interval too, of both signs, with as many toys or 1000.

    Raises:
        InputError: any of these that cannot be used, or a coupling that the counts do not feel.

    Example:
        >>> found = limit("light_vectors.0.g_bs", -1e-8, "fig1-2.5gev", observables=["R_K+"], theory=False)
        >>> -5e-8 < found.to_dict()["asymptotic"] < -5e-10
        True
    """
    if not 0 < level < 1:
        raise InputError(f"level = {level:g}: needs a probability between 0 and 1, such as 0.95")
    data = get_dataset(dataset)
    data = data if luminosity is None else data.scaled(luminosity)
    errors, told = split_errors(theory)
    errors, chosen = True if errors is None else errors, as_model(model, set, told)
    experiment = make_experiment(data.of(chosen), bins, observables, theory=errors)
    return expected_limit(
        experiment, chosen, path, unit, level=level, toys=toys, seed=seed, feldman_cousins=feldman_cousins
    )
