"""Families of hypotheses with free parameters, and the minimum of their likelihood."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from .couplings import Couplings, couplings_of
from .experiment import Array, Data, Expected, Experiment, Statistic
from .hypothesis import Hypothesis


@dataclass(frozen=True, eq=False)
class Minimum:
    """Lowest value of a statistic over a family, one row a toy.

    Attributes:
        lowest: its value, refined between grid points.
        index: the lowest grid point.
        position: of the minimum, in steps of the grid, (toys, paths).
    """

    lowest: Array
    index: npt.NDArray[np.int64]
    position: Array


def minimum(statistic: Array, shape: tuple[int, ...]) -> Minimum:
    """Lowest value over the points of a family; a paraboloid through the neighbours refines the grid's.

    It is used where the lowest point has neighbours on all sides and the minimum of the paraboloid lies within a step.
    Toys in which a point failed (NaN) use the others; NaN where all failed.
    """
    values = np.where(np.isnan(statistic), np.inf, statistic)
    index = np.argmin(values, axis=1)
    rows = np.arange(len(values))
    lowest = np.where(np.isinf(values[rows, index]), np.nan, values[rows, index])
    place = np.stack(np.unravel_index(index, shape), axis=1) if shape else np.zeros((len(values), 0), dtype=np.int64)
    position = place.astype(float)
    if not shape or min(shape) < 3:
        return Minimum(lowest, index, position)
    d = len(shape)
    inner = ((place > 0) & (place < np.asarray(shape) - 1)).sum(axis=1) == d
    centre, cube = place[inner], values[inner].reshape(-1, *shape)
    here = np.arange(len(centre))

    def at(offset: Array) -> Array:
        return np.asarray(cube[(here, *(centre + offset.astype(np.int64)).T)])

    unit, middle = np.eye(d), at(np.zeros(d))
    up, down = [at(u) for u in unit], [at(-u) for u in unit]
    gradient = np.stack([0.5 * (a - b) for a, b in zip(up, down, strict=True)], axis=1)
    hessian = np.zeros((len(centre), d, d))
    for i in range(d):
        hessian[:, i, i] = up[i] - 2.0 * middle + down[i]
        for j in range(i):
            u, v = unit[i], unit[j]
            hessian[:, i, j] = hessian[:, j, i] = 0.25 * (at(u + v) - at(u - v) - at(v - u) + at(-u - v))
    fine = np.isfinite(np.sum(np.abs(gradient), axis=1) + np.sum(np.abs(hessian), axis=(1, 2)))
    safe = np.where(fine[:, None, None], hessian, np.eye(d))
    fine &= np.linalg.eigvalsh(safe)[:, 0] > 0
    safe = np.where(fine[:, None, None], safe, np.eye(d))
    slope = np.where(fine[:, None], gradient, 0.0)
    step = -np.linalg.solve(safe, slope[:, :, None])[:, :, 0]
    fine &= np.abs(step).max(axis=1) <= 1.0
    gain = 0.5 * np.sum(step * slope, axis=1)
    chosen = np.nonzero(inner)[0][fine]
    lowest[chosen] += gain[fine]
    position[chosen] += step[fine]
    return Minimum(lowest, index, position)


ZOOM = 9
"""Points along each path between the two neighbours of the best point of a grid."""
STEPS = 12
"""Times that the finer grid may move on to another point."""


@dataclass(frozen=True, eq=False)
class Family:
    """A hypothesis with its predictions, to be fitted to toys.

    Attributes:
        hypothesis: one model or many.
        experiment: that it is predicted for.
        expected: predictions on the grid of the hypothesis.
        factor: on the luminosity of the experiment.
    """

    hypothesis: Hypothesis
    experiment: Experiment
    expected: Expected
    factor: float = 1.0
    couplings: list[Couplings | None] = field(default_factory=list, repr=False)
    cells: dict[int, tuple[Hypothesis, Expected]] = field(default_factory=dict, repr=False)

    def scaled(self, factor: float) -> Family:
        """The same for ``factor`` times the luminosity."""
        return replace(self, factor=self.factor * factor)

    def cell(self, index: int) -> tuple[Hypothesis, Expected]:
        """The finer grid about a point, and its predictions at the experiment's own luminosity."""
        if index not in self.cells:
            place = np.unravel_index(index, self.hypothesis.shape)
            scan = {}
            for axis, i in zip(self.hypothesis.axes, place, strict=True):
                values = axis.values
                left, right = values[max(int(i) - 1, 0)], values[min(int(i) + 1, axis.points - 1)]
                scan[axis.key] = (float(left), float(right), ZOOM if right > left else 1)
            finer = self.hypothesis.model_copy(update={"scan": scan})
            self.cells[index] = finer, self.experiment.expect(finer.models())
        return self.cells[index]

    @property
    def exact(self) -> Couplings | None:
        """Predictions as functions of the floating values, if all of these are couplings and no term is a rate."""
        if not self.couplings:
            rates = any(t.kind == "rate" for t in self.experiment.terms)
            self.couplings.append(None if rates else couplings_of(self.hypothesis, self.experiment))
        return self.couplings[0]

    def best(self, statistic: Statistic, data: Data) -> tuple[Array, Array]:
        """Lowest value of a statistic for every toy, and the floating values there, (toys, paths).

        Couplings: Newton steps from each of the (at most three) best valleys of the grid. Otherwise (masses, widths):
        On the grid, then on a finer one about each of its (at most three) best valleys, which moves on downhill, then
        by a paraboloid, see ``minimum``. The result of a toy does not depend on the others.
        """
        shape = self.hypothesis.shape
        coarse = statistic(data, self.expected.scaled(self.factor))
        first = minimum(coarse, shape)
        if not shape:
            return first.lowest, first.position
        lowest, values = np.full(data.toys, np.nan), np.full(first.position.shape, np.nan)
        for start in valleys(coarse, shape).T:
            here = start.copy()
            if self.exact is not None:
                rows = np.nonzero(start >= 0)[0]
                if rows.size:
                    low, at = self.exact.newton(
                        statistic, data.take(rows), self.hypothesis.grid()[start[rows]], self.factor
                    )
                    better = np.nonzero(~(low >= lowest[rows]))[0]
                    lowest[rows[better]], values[rows[better]] = low[better], at[better]
                continue
            for _ in range(STEPS):
                there = np.full_like(here, -1)
                for index in dict.fromkeys(here[here >= 0].tolist()):
                    rows = np.nonzero(here == index)[0]
                    finer, expected = self.cell(index)
                    found = minimum(statistic(data.take(rows), expected.scaled(self.factor)), finer.shape)
                    better = np.nonzero(~(found.lowest >= lowest[rows]))[0]
                    at = self._values(finer, found.position[better])
                    rows = rows[better]
                    lowest[rows], values[rows] = found.lowest[better], at
                    moved = self._nearest(at)
                    there[rows[moved != index]] = moved[moved != index]
                here = there  # along a narrow valley the minimum lies beyond the neighbours
        return lowest, values

    @staticmethod
    def _values(hypothesis: Hypothesis, position: Array) -> Array:
        columns = [
            axis.min + (axis.max - axis.min) / max(axis.points - 1, 1) * position[:, k]
            for k, axis in enumerate(hypothesis.axes)
        ]
        return np.stack(columns, axis=1)

    def _nearest(self, values: Array) -> npt.NDArray[np.int64]:
        """Index of the grid point next to some values."""
        places = []
        for k, axis in enumerate(self.hypothesis.axes):
            step = (axis.max - axis.min) / max(axis.points - 1, 1) or 1.0
            places.append(np.clip(np.rint((values[:, k] - axis.min) / step), 0, axis.points - 1).astype(np.int64))
        return np.asarray(np.ravel_multi_index(tuple(places), self.hypothesis.shape), dtype=np.int64)


def valleys(statistic: Array, shape: tuple[int, ...], most: int = 3) -> npt.NDArray[np.int64]:
    """Indices of the lowest points of a grid that have no lower neighbour along a path, (toys, most); -1 for none.

    >>> valleys(np.array([[3.0, 1.0, 2.0, 0.5, 4.0]]), (5,)).tolist()
    [[3, 1, -1]]
    """
    values = np.where(np.isnan(statistic), np.inf, statistic).reshape(len(statistic), *shape)
    low = np.isfinite(values)
    for axis in range(1, values.ndim):
        above, below = (np.moveaxis(x, axis, 0) for x in (values, low))  # views: what follows changes ``low``
        below[1:] &= above[1:] <= above[:-1]
        below[:-1] &= above[:-1] <= above[1:]
    flat = np.where(low, values, np.inf).reshape(len(statistic), -1)
    order = np.argsort(flat, axis=1, kind="stable")[:, :most].astype(np.int64)
    found = np.full((len(statistic), most), -1, dtype=np.int64)
    found[:, : order.shape[1]] = np.where(np.isfinite(np.take_along_axis(flat, order, axis=1)), order, -1)
    return found
