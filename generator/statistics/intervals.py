"""Confidence intervals with likelihood-ratio ordering for one coupling (Feldman and Cousins), without a grid.

Which couplings are in is decided by the data sets that each would give: all of them with their probabilities where
there is one bin without nuisance parameters, else toys. The ends are found by bisection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from ...kinematics.base.arrays import to_host
from ...kinematics.base.errors import InputError
from .counts import CountModel
from .draws import binned_toys
from .fits import fit_counts
from .limits import STEP, TOY_STEP, Statistic, Strength, one_data_set

Array = npt.NDArray[np.float64]
_NEAR = 7.0  # standard deviations from a coupling within which its toys have their minimum


@dataclass(frozen=True, eq=False)
class Interval:
    """A Feldman-Cousins interval from ``low`` to ``high``.

    Attributes:
        low: lowest coupling that is in.
        high: highest; infinite where the data tell it from none above.
        intervals: all that is in, piece by piece: mirror solutions are pieces of their own.
        grid: couplings that were looked at.
        ratio: -2 ln of the likelihood over that of the best allowed coupling, at each.
        critical: its quantile in data sets of that coupling, at each.
    """

    low: float
    high: float
    intervals: tuple[tuple[float, float], ...]
    grid: Array
    ratio: Array
    critical: Array


def feldman_cousins(
    model: CountModel,
    counts: Any,
    auxiliary: Any = None,
    *,
    bounds: tuple[float, float] = (0.0, np.inf),
    level: float = 0.9,
    toys: int = 10_000,
    seed: int = 0,
) -> Interval:
    r"""Confidence interval with likelihood-ratio ordering for a coupling with physical boundaries.

    G. J. Feldman, R. D. Cousins, arXiv:physics/9711021, eqs. (4.2), (4.3): a coupling g is in if
    :math:`t(g) = D(g) - \min D` of the data, D the deviance and its minimum that over all couplings in ``bounds``, does
    not exceed the ``level`` quantile of t in data sets of g. Nuisance parameters are at their profiled values in those
    (the profile construction). With one bin and no nuisance parameter they are all counts with their probabilities,
    which is exact; else toys, of which all couplings share the random numbers. A failed fit counts as accepted.

    Args:
        model: of one coupling.
        counts: of every bin, of any array-API library.
        auxiliary: measured nuisance parameters; zero if None.
        bounds: lowest and highest coupling that there can be.
        level: of confidence.
        toys: of each coupling that is looked at.
        seed: of the toys.

    Raises:
        InputError: more than one free coupling, one that the counts do not feel, bounds or a level that cannot be.

    Example:
        >>> model = CountModel([[0.0, 1.0, 0.0]], ("s",), [3.0])
        >>> found = feldman_cousins(model, [8.0])        # table IV there: 1.51 to 10.99
        >>> round(found.low, 2), round(found.high, 2)
        (1.51, 10.99)
    """
    if not bounds[0] < bounds[1]:
        raise InputError(f"bounds = {bounds[0]:g}, {bounds[1]:g}: needs low < high")
    if not 0 < level < 1:
        raise InputError(f"level = {level:g}: needs a probability between 0 and 1, such as 0.9")
    n, aux = one_data_set(model, counts, auxiliary)
    strength, seen = Strength(model), to_host(n)[0]
    grid = _path(strength, seen, STEP, bounds)
    observed = Statistic(strength, grid, n, aux)
    along = to_host(observed.ratio_along)[0]
    # beyond this no distribution of t with one degree of freedom has its quantile
    near = np.nonzero(along < stats.chi2.isf(1e-3 * (1.0 - level), 1))[0]
    far = np.max(strength.expected(grid[near[[0, -1]]]), axis=0)
    construction = _Construction(strength, (n, aux), _path(strength, far, TOY_STEP, bounds), level, toys, seed)
    looked: dict[float, tuple[float, float]] = {}

    def accepted(g: float) -> bool:
        looked[g] = (float(to_host(observed.ratio(g))[0]), construction.critical(g))
        return looked[g][0] <= looked[g][1] + 1e-7

    places = sorted({*near[::3].tolist(), *near[:1].tolist(), *near[-1:].tolist()})
    halvings = 22 if construction.exact else int(np.log2(toys) / 2) + 1
    best = float(to_host(observed.first[0])[0])
    last = min(bounds[1], float(grid[-1])) if np.isfinite(bounds[1]) else np.inf
    intervals = accepted_pieces(accepted, grid[places], best, halvings, last)
    order = sorted(looked)
    ratio, critical = np.array([looked[g] for g in order]).T
    return Interval(intervals[0][0], intervals[-1][1], intervals, np.array(order), ratio, critical)


def accepted_pieces(
    accepted: Callable[[float], bool], points: Array, best: float, halvings: int, last: float
) -> tuple[tuple[float, float], ...]:
    """Pieces of couplings that are accepted, of those between rising points; their ends by bisection.

    What is accepted at the last point goes on without end unless that is at ``last``. ``best`` is in where no point is.

    >>> (ends,) = accepted_pieces(lambda g: 0.3 < g < 0.7, np.array([0.0, 0.5, 1.0]), 0.5, 30, 1.0)
    >>> [round(x, 6) for x in ends]
    [0.3, 0.7]
    """
    inside = np.array([accepted(g) for g in points.tolist()])
    if not inside.any():  # between two points: the best coupling itself is always in
        points = np.sort([*points, best])
        inside = np.array([accepted(g) for g in points.tolist()])
    ends: list[float] = [] if not inside[0] else [float(points[0])]
    for i in np.nonzero(inside[1:] != inside[:-1])[0]:
        a, b = float(points[i]), float(points[i + 1])
        for _ in range(halvings):
            middle = 0.5 * (a + b)
            a, b = (middle, b) if accepted(middle) == inside[i] else (a, middle)
        ends.append(0.5 * (a + b))
    if inside[-1]:
        ends.append(float(points[-1]) if points[-1] >= last else np.inf)
    return tuple(zip(ends[::2], ends[1::2], strict=True))


@dataclass(frozen=True, eq=False)
class _Construction:
    """Quantiles of t in data sets of a coupling."""

    strength: Strength
    data: tuple[Any, Any]
    path: Array
    level: float
    toys: int
    seed: int

    @property
    def exact(self) -> bool:
        """Whether all data sets can be gone through."""
        return self.strength.model.n_bins == 1 and not self.strength.model.nuisances

    def critical(self, g: float) -> float:
        """The smallest t that a fraction ``level`` of data sets does not exceed."""
        t, weights = self._distribution(g)
        order = np.argsort(t, kind="stable")
        place = int(np.searchsorted(np.cumsum(weights[order]), self.level * weights.sum() * (1.0 - 1e-12)))
        return float(t[order][min(place, len(t) - 1)])

    def _distribution(self, g: float) -> tuple[Array, Array]:
        model, like = self.strength.model, self.data[0]
        put = self.strength.put
        mean = self.strength.expected(g)
        if self.exact:
            reach = 10.0 * np.sqrt(mean[0]) + 25.0
            numbers = np.arange(max(0.0, np.floor(mean[0] - reach)), mean[0] + reach)
            weights = stats.poisson.pmf(numbers, mean[0])
            counts, known = put(numbers[:, None], like), put(np.zeros((len(numbers), 0)), like)
        else:
            held = model.fix(**{model.parameters[0]: g})
            theta = to_host(fit_counts(held, *self.data).values)[0]
            drawn = binned_toys(held, [], seed=self.seed, stop=self.toys, theta=theta)
            mean = held.expected([], theta)
            weights = np.full(self.toys, 1.0 / self.toys)
            counts, known = put(drawn.counts, like), put(drawn.auxiliary, like)
        near = [x for x in self.path.tolist() if self.strength.distance(self.strength.expected(x), mean) < _NEAR]
        toys = Statistic(self.strength, np.unique([*near, g]), counts, known)
        t = to_host(toys.ratio(g))
        return np.where(np.isfinite(t), t, np.inf), weights


def _path(strength: Strength, counts: Array, step: float, bounds: tuple[float, float]) -> Array:
    """Couplings on either side of zero, within bounds, to where no data of interest allow any."""
    low, high = bounds
    model = strength.model
    points = [strength.path(counts, step)] if high > 0 else []
    if low < 0:
        turned = replace(model, signal=model.signal * np.array([1.0, -1.0, 1.0]))
        points.append(-Strength(turned).path(counts, step))
    inside = [x for x in np.concatenate(points).tolist() if low <= x <= high]
    return np.unique([*inside, *(x for x in bounds if np.isfinite(x))])
