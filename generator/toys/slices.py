"""Slices of a family: exact in its couplings, as close along its masses and widths as data can tell them apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...physics.axes import Axis, grid, moved
from ...physics.models import Model
from ..statistics.minimise import newton
from .couplings import Couplings, couplings_of
from .experiment import Array, Data, Experiment, Statistic
from .hypothesis import Hypothesis

Rows = npt.NDArray[np.int64]
LEVEL = 25.0
"""-2 ln L of the couplings at which neighbouring slices are compared: five standard deviations."""
ALIKE = 0.01
"""Slices are close enough if one describes data of the other up to this part of that: a fit between loses a quarter."""
MOST = 600
"""Most slices of a family."""
STEPS = 1.35 ** np.arange(11)
"""Distances between starting couplings, in standard deviations: 75 on either side of zero."""
_ROWS = 1 << 13
"""Toys with a slice each that are evaluated at a time."""


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices of a family on a grid of its masses and widths, and starting points of its couplings.

    Attributes:
        axes: values of each mass and width.
        fixed: axes of the scan that do not move.
        floating: those of the masses and widths.
        linear: those of the couplings.
        couplings: predictions of the slices, the last axis fastest.
        starts: couplings to start from, (slices, starts, couplings); NaN beyond their range.
        shape: of the starts: a valley is lower than its neighbours along each coupling.
    """

    axes: tuple[Array, ...]
    fixed: tuple[Axis, ...]
    floating: tuple[Axis, ...]
    linear: tuple[Axis, ...]
    couplings: Couplings
    starts: Array
    shape: tuple[int, ...]

    @property
    def _missing(self) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isnan(self.starts).any(axis=2))

    @property
    def _usable(self) -> Array:
        return np.where(self._missing[:, :, None], self.couplings.low, self.starts)

    def profile(
        self, statistic: Statistic, data: Data, slices: Rows, factor: float = 1.0, coarse: Array | None = None
    ) -> tuple[Array, Array]:
        """Lowest value of a statistic in one slice for each toy, and the couplings there, (toys, couplings).

        Newton steps from every valley (at most three) among the starts; ``coarse`` are its values there, if known.
        """
        parts = []
        for first in range(0, len(slices), _ROWS):
            part = slice(first, min(first + _ROWS, len(slices)))
            some, known = data.take(np.arange(part.start, part.stop)), None if coarse is None else coarse[part]
            parts.append(self._profile(statistic, some, slices[part], factor, known))
        return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])

    def _profile(
        self, statistic: Statistic, data: Data, slices: Rows, factor: float, coarse: Array | None
    ) -> tuple[Array, Array]:
        def value(rows: Rows, at: Array, rough: bool = False) -> Array:
            expected = self.couplings.at(slices[rows], at, factor)
            return statistic(data.take(rows), expected, paired=True, rough=rough)

        everyone, place = np.arange(len(slices)), self.starts[slices, 0].copy()
        if not self.linear:
            return value(everyone, place), place
        if coarse is None:
            at = self._usable[slices]
            coarse = np.stack([value(everyone, at[:, k], True) for k in range(at.shape[1])], axis=1)
            coarse = np.where(self._missing[slices], np.inf, coarse)
        found = valleys(coarse, self.shape)
        rows, column = np.nonzero(found >= 0)  # all valleys of all toys at once
        low, at = newton(
            partial(_of_rows, value, rows),
            self.starts[slices[rows], found[rows, column]],
            self.couplings.low,
            self.couplings.high,
        )
        lowest = np.full(len(slices), np.nan)
        for k in range(found.shape[1]):
            mine = column == k
            better = mine.copy()
            better[mine] = ~(low[mine] >= lowest[rows[mine]])
            lowest[rows[better]], place[rows[better]] = low[better], at[better]
        return lowest, place

    def rough(self, statistic: Statistic, data: Data, factor: float) -> Array:
        """Values of a statistic at the starts, about, (toys, slices, starts); infinite where it has none."""
        n, k, d = self.starts.shape
        expected = self.couplings.at(np.repeat(np.arange(n), k), self._usable.reshape(n * k, d), factor)
        found = statistic(data, expected, rough=True).reshape(data.toys, n, k)
        return np.where(np.isnan(found) | self._missing, np.inf, found)

    def values(self, slices: Rows, couplings: Array, paths: Iterable[str]) -> Array:
        """Values along the paths of a scan, (toys, paths)."""
        place = np.unravel_index(slices, tuple(len(axis) for axis in self.axes)) if self.axes else ()
        found = {axis.key: values[i] for axis, values, i in zip(self.floating, self.axes, place, strict=True)}
        found |= {axis.key: column for axis, column in zip(self.linear, couplings.T, strict=True)}
        found |= {axis.key: np.full(len(slices), axis.min) for axis in self.fixed}
        return np.stack([found[path] for path in paths], axis=1)


def _of_rows(value: Callable[[Rows, Array], Array], rows: Rows, some: Rows, at: Array) -> Array:
    """A function of rows, of some of them."""
    return value(rows[some], at)


def lowest_between(values: Array) -> Array:
    """Lowest of the last axis' values, by the parabola through three points one apart.

    >>> lowest_between(np.array([[9.0, 1.0, 1.0]])).tolist()
    [0.0]
    """
    place = np.argmin(values, axis=-1)[..., None]
    lowest = np.take_along_axis(values, place, axis=-1)[..., 0]
    if values.shape[-1] < 3:
        return lowest
    inner = np.clip(place, 1, values.shape[-1] - 2)
    left, middle, right = (np.take_along_axis(values, inner + i, axis=-1)[..., 0] for i in (-1, 0, 1))
    usable = (inner == place)[..., 0] & np.isfinite(left) & np.isfinite(right)
    left, right = np.where(usable, left, middle), np.where(usable, right, middle)
    curvature = left - 2.0 * middle + right
    return np.asarray(
        lowest
        - np.where(usable & (curvature > 0), (left - right) ** 2, 0.0) / 8.0 / np.where(curvature > 0, curvature, 1.0)
    )


def make_slices(hypothesis: Hypothesis, experiment: Experiment) -> Slices:
    """Slices of a hypothesis, halved along its masses and widths until neighbours describe each other's data.

    Raises:
        InputError: a point of the scan that no model can have.
    """
    base, fixed, floating, linear = _split(hypothesis, experiment)
    n, d = len(floating), len(linear)
    seeds = max(3, round(MOST ** (0.5 / n))) if n else 0
    axes = [np.unique([*axis.values, *np.linspace(axis.min, axis.max, seeds)]) for axis in floating]
    names = [axis.key for axis in floating]
    known: dict[tuple[float, ...], _Slice] = {}
    alike: dict[tuple[tuple[float, ...], tuple[float, ...]], bool] = {}
    while True:
        rows = list(itertools.product(*(axis.tolist() for axis in axes)))
        new = [row for row in rows if row not in known]
        if new:
            made = [_one(moved(base, dict(zip(names, row, strict=True))), linear, experiment) for row in new]
            known |= zip(new, _laddered(_join(made), experiment), strict=True)
        found = [known[row] for row in rows]
        couplings, starts = _join([s.couplings for s in found]), np.stack([s.starts for s in found])
        shape: tuple[int, ...] = starts.shape[1:2]
        if d > 1:
            points = grid(linear)
            starts, shape = np.repeat(points[None], len(rows), axis=0), tuple(axis.points for axis in linear)
        slices = Slices(tuple(axes), tuple(fixed), tuple(floating), tuple(linear), couplings, starts, shape)
        size = tuple(len(axis) for axis in axes)
        here = np.arange(len(rows))
        beside = [neighbours(here, size)[2 * k + 1] for k in range(n)]
        pairs = [(i, int(j)) for after in beside for i, j in enumerate(after) if i != j]
        untold = [(i, j) for i, j in pairs if (rows[i], rows[j]) not in alike]
        if untold:
            close = _alike(slices, found, untold, experiment)
            alike |= {(rows[i], rows[j]): bool(yes) for (i, j), yes in zip(untold, close, strict=True)}
        finer = []
        for k, axis in enumerate(axes):
            apart = {rows[i][k] for i, j in enumerate(beside[k]) if i != j and not alike[rows[i], rows[j]]}
            middles = [
                0.5 * (a + b) for a, b in itertools.pairwise(axis.tolist()) if a in apart and b - a > 1e-9 * abs(b)
            ]
            finer.append(np.unique([*axis, *middles]))
        total = int(np.prod([len(axis) for axis in finer])) if n else 0
        if total <= len(rows) or total > MOST:
            return slices
        axes = finer


@dataclass(frozen=True, eq=False)
class _Slice:
    """A slice, its starting couplings, and couplings that data can tell from none with their -2 ln L."""

    couplings: Couplings
    starts: Array
    probes: Array
    levels: Array


def _one(model: Model, linear: Sequence[Axis], experiment: Experiment) -> Couplings:
    found = couplings_of(model, linear, experiment)
    if found is None:
        raise InputError(
            f"scan: rates are not quadratic in {', '.join(axis.key for axis in linear)}; float fewer of them"
        )
    return found


def _join(parts: Sequence[Couplings]) -> Couplings:
    return replace(parts[0], coefficients=np.concatenate([p.coefficients for p in parts]))


def _split(hypothesis: Hypothesis, experiment: Experiment) -> tuple[Model, list[Axis], list[Axis], list[Axis]]:
    """The model, axes that do not move, those that float otherwise, and couplings in which counts are quadratic."""
    fixed = [axis for axis in hypothesis.axes if not axis.min < axis.max]
    linear = [axis for axis in hypothesis.axes if axis not in fixed and axis.linear]
    floating = [axis for axis in hypothesis.axes if axis not in fixed and not axis.linear]
    base = moved(hypothesis.base(), {axis.key: axis.min for axis in fixed})
    start = moved(base, {axis.key: axis.min for axis in floating})
    while linear and couplings_of(start, linear, experiment) is None:  # not g_bs and g_mu together
        floating.append(linear.pop())
        start = moved(start, {floating[-1].key: floating[-1].max})
    return base, fixed, floating, linear


def _laddered(couplings: Couplings, experiment: Experiment) -> list[_Slice]:
    """Slices with their starting points: steps of so many standard deviations along each coupling, from zero."""
    n, d = len(couplings.coefficients), len(couplings.low)
    here = np.arange(n)
    origin = np.tile(np.clip(0.0, couplings.low, couplings.high), (n, 1))

    def apart_from(a: Array) -> Callable[[Array], Array]:
        """-2 ln L of other couplings for the Asimov data of some."""
        own = couplings.at(here, a, 1.0)
        data = experiment.asimov(own)
        lowest = experiment.combined(data, own, True)

        def apart(b: Array) -> Array:
            lost = experiment.combined(data, couplings.at(here, b, 1.0), True) - lowest
            return np.where(lost > 0, lost, 1e-12)

        return apart

    from_origin = apart_from(origin)

    starts, probes, levels = [origin], [], []
    for axis, side in itertools.product(range(d), (-1.0, 1.0)):
        end = (couplings.low if side < 0 else couplings.high)[axis]
        at, step = origin, np.full(n, 1e-3 * (couplings.high - couplings.low)[axis])
        line: list[Array] = []
        for target in STEPS:
            there, apart = at, apart_from(at)
            for trial in range(5 if line else 15):
                if trial:  # -2 ln L grows as the square of a step, or its fourth power: damped
                    step = step * np.clip((target / np.sqrt(apart(there))) ** 0.7, 1e-3, 1e3)
                there = _with(at, axis, side * np.minimum(side * at[:, axis] + step, side * end))
            stuck = at[:, axis] == end
            line.append(np.where(stuck[:, None], np.nan, there))
            at = there
        line.append(np.where((at[:, axis] == end)[:, None], np.nan, _with(at, axis, end)))  # however far it is
        level = np.stack(
            [np.where(np.isnan(x[:, axis]), np.nan, from_origin(np.where(np.isnan(x), origin, x))) for x in line],
            axis=1,
        )
        chosen = np.argmin(np.where(np.isnan(level), np.inf, np.abs(level - LEVEL)), axis=1)
        probes.append(np.stack(line, axis=1)[here, chosen])
        levels.append(level[here, chosen])
        starts = [*line[::-1], *starts] if side < 0 else [*starts, *line]
    if not d:
        probes, levels = [origin], [np.full(n, LEVEL)]
    return [
        _Slice(replace(couplings, coefficients=couplings.coefficients[i : i + 1]), a, p, level)
        for i, a, p, level in zip(
            here, np.stack(starts, axis=1), np.stack(probes, axis=1), np.stack(levels, axis=1), strict=True
        )
    ]


def _with(values: Array, axis: int, value: Array | float) -> Array:
    """The rows with another value of one coupling."""
    found = values.copy()
    found[:, axis] = value
    return found


def _alike(
    slices: Slices, found: Sequence[_Slice], pairs: Sequence[tuple[int, int]], experiment: Experiment
) -> npt.NDArray[np.bool_]:
    """Whether slices of each pair describe the Asimov data of each other's probes."""
    both = np.array([(i, j) for i, j in pairs] + [(j, i) for i, j in pairs])
    here, there = both.T
    close = np.ones(len(both), dtype=bool)
    for k in range(found[0].probes.shape[0]):
        own = slices.couplings.at(here, np.stack([found[i].probes[k] for i in here]), 1.0)
        data = experiment.asimov(own)
        lost = slices.profile(experiment.combined, data, there)[0] - experiment.combined(data, own, True)
        level = np.array([found[i].levels[k] for i in here])
        close &= ~(lost > ALIKE * np.maximum(level, 1.0))
    return close[: len(pairs)] & close[len(pairs) :]


def neighbours(places: Rows, shape: Sequence[int]) -> list[Rows]:
    """Indices of the points before and after each along every axis of a grid; at an end the point itself.

    >>> [n.tolist() for n in neighbours(np.array([0, 3]), (2, 3))]
    [[0, 0], [3, 3], [0, 3], [1, 4]]
    """
    found = []
    grid = np.stack(np.unravel_index(places, tuple(shape))) if shape else np.zeros((0, len(places)), dtype=np.int64)
    for axis, step in itertools.product(range(len(shape)), (-1, 1)):
        moved_to = grid.copy()
        moved_to[axis] = np.clip(moved_to[axis] + step, 0, shape[axis] - 1)
        found.append(np.asarray(np.ravel_multi_index(tuple(moved_to), tuple(shape)), dtype=np.int64))
    return found


def valleys(statistic: Array, shape: tuple[int, ...], most: int = 3) -> Rows:
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
