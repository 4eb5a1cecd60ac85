"""Families of hypotheses with free parameters, and the minimum of their likelihood.

Counts are quadratic in couplings, so at given masses and widths a family is known exactly from a few predictions: a
slice. Along masses and widths slices lie as close as data can tell them apart; at each, the couplings are profiled.
So a fit does not depend on the numbers of points that a scan names: these are where the slices start.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .experiment import Array, Data, Expected, Experiment, Statistic
from .hypothesis import Hypothesis
from .slices import Rows, Slices, lowest_between, make_slices, neighbours, valleys

VALLEYS = 5
"""Valleys along masses and widths that are followed to their lowest slice."""


@dataclass(frozen=True, eq=False)
class Family:
    """A hypothesis with its predictions, to be fitted to toys.

    Attributes:
        hypothesis: one model or many.
        experiment: that it is predicted for.
        expected: prediction of the model, if nothing floats.
        factor: on the luminosity of the experiment.
    """

    hypothesis: Hypothesis
    experiment: Experiment
    expected: Expected | None = None
    factor: float = 1.0
    made: list[Slices] = field(default_factory=list, repr=False)

    def scaled(self, factor: float) -> Family:
        """The same for ``factor`` times the luminosity."""
        return replace(self, factor=self.factor * factor)

    @property
    def slices(self) -> Slices:
        """Slices at the luminosity of the experiment, made once."""
        if not self.made:
            self.made.append(make_slices(self.hypothesis, self.experiment))
        return self.made[0]

    def best(self, statistic: Statistic, data: Data) -> tuple[Array, Array]:
        """Lowest value of a statistic for every toy, and the floating values there, (toys, paths).

        Couplings are profiled by Newton steps from every valley among their starting points. Along masses and widths
        the (at most five) best valleys are followed downhill, slice by slice, to the vertex of a parabola through the
        lowest and its neighbours. A toy's result is its own.
        """
        if not self.hypothesis.scan:
            expected = self.expected or self.experiment.expect(self.hypothesis.models())
            return statistic(data, expected.scaled(self.factor))[:, 0], np.zeros((data.toys, 0))
        step = max(1, (1 << 22) // int(np.prod(self.slices.starts.shape[:2])))
        parts = [
            self._best(statistic, data.take(np.arange(i, min(i + step, data.toys)))) for i in range(0, data.toys, step)
        ]
        return np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])

    def _best(self, statistic: Statistic, data: Data) -> tuple[Array, Array]:
        slices, toys = self.slices, data.toys
        shape = tuple(len(axis) for axis in slices.axes)
        n, d = len(slices.starts), slices.starts.shape[2]
        exact, at = np.full((toys, n), np.inf), np.full((toys, n, d), np.nan)
        done = np.zeros((toys, n), dtype=bool)
        everyone = np.arange(toys)

        def look(rows: Rows, places: Rows) -> None:
            new = np.unique(np.stack([rows, places])[:, ~done[rows, places]], axis=1)
            if new.size:
                low, where = slices.profile(statistic, data.take(new[0]), new[1], self.factor, coarse[new[0], new[1]])
                exact[new[0], new[1]] = np.where(np.isnan(low), np.inf, low)
                at[new[0], new[1]], done[new[0], new[1]] = where, True

        coarse = slices.rough(statistic, data, self.factor)
        along = lowest_between(coarse) if len(slices.linear) == 1 else coarse.min(axis=2)
        for start in valleys(along, shape, VALLEYS).T:
            rows = np.nonzero(start >= 0)[0]
            here = start[rows]
            look(rows, here)
            while rows.size:
                around = neighbours(here, shape)
                for there in around:
                    look(rows, there)
                each = np.stack([here, *around], axis=1)
                lower = np.argmin(exact[rows[:, None], each], axis=1)
                moving = lower > 0
                rows, here = rows[moving], each[moving, lower[moving]]
        best = np.argmin(exact, axis=1)
        lowest = exact[everyone, best]
        values = slices.values(best, at[everyone, best], self.hypothesis.scan)
        for axis, (before, after) in enumerate(zip(*[iter(neighbours(best, shape))] * 2, strict=True)):
            three = np.stack([before, best, after], axis=1)
            all_values = np.stack([slices.values(i, at[everyone, i], self.hypothesis.scan) for i in three.T], axis=1)
            column = list(self.hypothesis.scan).index(slices.floating[axis].key)
            found, gain = vertex(all_values[:, :, column], exact[everyone[:, None], three])
            better = exact[everyone, best] - gain < lowest
            lowest = np.where(better, exact[everyone, best] - gain, lowest)
            values = np.where(better[:, None], np.sum(found[:, :, None] * all_values, axis=1), values)
        return np.where(np.isfinite(lowest), lowest, np.nan), values


def vertex(x: Array, y: Array) -> tuple[Array, Array]:
    """Weights of three places (rows, 3), of which the middle one is lowest, at the vertex of a parabola, and its depth.

    At most a quarter of how far the higher of the two lies above, which a smooth valley never exceeds; the middle
    itself where two places are one or a value is not finite.

    >>> weights, depth = vertex(np.array([[0.0, 1.0, 3.0]]), np.array([[1.44, 0.04, 3.24]]))    # (x - 1.2)²
    >>> depth.round(6).tolist(), float((weights @ [0.0, 1.0, 3.0])[0].round(6))
    ([0.04], 1.2)
    """
    left, right = x[:, 1] - x[:, 0], x[:, 2] - x[:, 1]
    usable = (left > 0) & (right > 0) & np.isfinite(y).all(axis=1)
    left, right, y = np.where(usable, left, 1.0), np.where(usable, right, 1.0), np.where(usable[:, None], y, 0.0)
    before, after = (y[:, 1] - y[:, 0]) / left, (y[:, 2] - y[:, 1]) / right
    curvature = (after - before) / (left + right)
    slope = (before * right + after * left) / (left + right)
    usable &= curvature > 0
    step = np.where(usable, -0.5 * slope / np.where(usable, curvature, 1.0), 0.0)
    depth = np.minimum(-0.5 * slope * step, 0.25 * (np.maximum(y[:, 0], y[:, 2]) - y[:, 1]))
    first = step * (step - right) / (left * (left + right))
    last = step * (step + left) / (right * (left + right))
    return np.stack([first, 1.0 - first - last, last], axis=1), np.where(usable, depth, 0.0)
