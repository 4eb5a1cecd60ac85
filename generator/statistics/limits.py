"""Limits on a coupling without a grid: every interval that CL_s allows, where counts are quadratic in the coupling.

The likelihood need be neither linear nor monotonic: destructive interference brings the counts of no coupling back at a
second, mirror solution. The search walks out from zero in steps of a fraction of a standard deviation, which no
crossing of CL_s can hide between, and finds each crossing by bisection.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from ...kinematics.base.errors import InputError
from .counts import CountModel
from .draws import binned_toys
from .fits import fit_counts, profiled_deviance
from .hypotheses import Limit, _crossing, cls_asymptotic, cls_toys

Array = npt.NDArray[np.float64]
STEP, TOY_STEP = 0.25, 0.7
"""Steps of the search, and those between which toys are fitted, in standard deviations."""
FAR = 9.0
"""Standard deviations beyond which nothing is allowed."""
BAND = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Quantiles of background-only data, in σ, of the band of expected limits."""
_MOST = 20_000
_EXCLUDED = 1e9  # q where counts are impossible


@dataclass(frozen=True, eq=False)
class Strength:
    """A model of one coupling g >= 0: its counts as a path, and the deviance of data along it."""

    model: CountModel

    def __post_init__(self) -> None:
        if len(self.model.parameters) != 1:
            raise InputError(f"{len(self.model.parameters)} couplings are free: needs one; fix the others")
        if np.any(np.asarray(self.model.background_effects) != 0):
            raise InputError("background_effects: a limit takes nuisance parameters of the signal alone")

    def signal(self, g: npt.ArrayLike) -> Array:
        """Expected signal, (couplings, bins)."""
        powers = np.asarray(g, dtype=float)[..., None, None] ** np.arange(3)
        return np.asarray(np.sum(self.model.signal * powers, axis=-1))

    def expected(self, g: npt.ArrayLike) -> Array:
        """The same with background."""
        return np.asarray(self.signal(g) + np.asarray(self.model.background))

    @cached_property
    def _weight(self) -> Array:
        """Inverse covariance of 2√n in the bins, nuisance parameters included."""
        signal = self.signal(0.0)
        slopes = np.asarray(self.model.effects) * signal / np.sqrt(self.expected(0.0) + 0.375)
        return np.asarray(np.linalg.inv(np.eye(len(signal)) + slopes.T @ slopes))

    def distance(self, one: Array, other: Array) -> float:
        """Standard deviations between two expectations of the bins: 2√n has unit variance."""
        step = 2.0 * (np.sqrt(np.maximum(one, 0.0) + 0.375) - np.sqrt(np.maximum(other, 0.0) + 0.375))
        return float(np.sqrt(step @ self._weight @ step))

    def _next(self, g: float, step: float, guess: float, end: float) -> float:
        """Where the counts have moved by a step, or the end if they do not before it."""
        here = self.expected(g)

        def short(h: float) -> float:
            return self.distance(here, self.expected(g + h)) - step

        high = guess / 8.0
        while short(high) < 0:
            if g + high >= end:
                return end
            high *= 1.5
            if high > 1e100:
                raise InputError(f"{self.model.parameters[0]}: the counts do not feel it")
        low = high / 1.5
        while short(low) > 0:
            low /= 4.0
        return min(g + float(optimize.brentq(short, low, high, rtol=1e-3)), end)

    def path(self, counts: Array, step: float) -> Array:
        """Couplings from zero to where no data of interest allow any, a step of so many σ apart.

        From beyond ``FAR`` the steps grow: nothing is allowed within half the way back. The path ends where all counts
        grow from there on, far from those of no coupling and from the data; or where a signal vanishes.
        """
        none = self.expected(0.0)
        points = [0.0]
        guess = 1.0
        end = self._end()
        while len(points) < _MOST:
            g = points[-1]
            here = self.expected(g)
            away = min(self.distance(none, here), self.distance(counts, here))
            growing = np.all(self.model.signal[:, 1] + 2.0 * self.model.signal[:, 2] * g >= 0)
            if g >= end or (growing and away > FAR and np.all((here >= counts) | (self.model.signal[:, 2] == 0))):
                break
            points.append(self._next(g, max(step, 0.5 * (away - FAR)), guess, end))
            guess = max(points[-1] - g, 1e-12 * points[-1])
        return np.asarray(points)

    def _end(self) -> float:
        """Where the first signal turns negative."""
        roots = np.concatenate([np.roots(np.trim_zeros(row[::-1], "f")) for row in self.model.signal])
        real = np.sort(roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)])
        beyond = [x for x in real.tolist() if self.signal(x * (1.0 + 1e-6)).min() < 0]
        return min(beyond, default=np.inf)

    def deviance(self, g: npt.ArrayLike, counts: Array, auxiliary: Array) -> Array:
        """Deviance with nuisance parameters profiled, (data sets, couplings)."""
        signal = self.signal(np.atleast_1d(g))
        columns = []
        for row in signal:
            found, _ = profiled_deviance(
                np.broadcast_to(row, counts.shape), self.model.background, self.model.effects, counts, auxiliary
            )
            columns.append(found)
        return np.stack(columns, axis=1)


def find_limit(
    model: CountModel,
    counts: npt.ArrayLike,
    auxiliary: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
    toys: int = 0,
    seed: int = 0,
) -> Limit:
    r"""CL_s limit on a coupling g >= 0 for one data set, observed or Asimov, with all that is allowed.

    The statistic is :math:`q(g) = D(g) - \min_{g \ge 0} D`, zero below the minimum of the valley that starts at
    g = 0 (a limit does not exclude less than is seen); behind a hill both sides count. D has its nuisance parameters
    profiled. In the valley next to zero the minimum is that valley's own, so that data which prefer a mirror solution
    do not exclude a coupling that cannot be told from none. CL_s is that of eqs. (65), (66) of arXiv:1007.1727, or of
    toys of both hypotheses at eight couplings about the end of the first interval. The band is that of background-only
    data: √q_A(g) = N + Φ⁻¹(1 - α Φ(N)) in these formulas.

    Args:
        model: of one coupling, with nuisance parameters of the signal.
        counts: of every bin.
        auxiliary: measured nuisance parameters; zero if None.
        level: of confidence.
        toys: of each hypothesis at each coupling; asymptotic only for 0.
        seed: of the toys.

    Raises:
        InputError: a coupling that the counts do not feel, or more than one.

    Example:
        >>> found = find_limit(CountModel([[100.0, -30.0, 4.0]], ("g",)), [100.0])    # at 7.5 as at zero again
        >>> [(round(low, 2), round(high, 2)) for low, high in found.intervals]
        [(0.0, 0.67), (6.83, 8.14)]
    """
    strength = Strength(model)
    n = np.atleast_2d(np.asarray(counts, dtype=float))
    aux = (
        np.zeros((1, len(model.nuisances))) if auxiliary is None else np.atleast_2d(np.asarray(auxiliary, dtype=float))
    )
    nothing = model.fix(**{model.parameters[0]: 0.0})
    theta = fit_counts(nothing, n, aux).values
    asimov = np.atleast_2d(nothing.expected([], theta[0]))
    grid = strength.path(n[0], STEP)
    observed = Statistic(strength, grid, n, aux)
    expected = Statistic(strength, grid, asimov, theta)

    def cls(g: float) -> float:
        return float(cls_asymptotic(observed(g)[0], expected(g)[0])[2])

    points = np.array([cls(g) for g in grid])
    edges = _edges(cls, grid, points, 1.0 - level)
    ends = [*edges, np.inf] if len(edges) % 2 == 0 else edges
    intervals = tuple(itertools.pairwise([0.0, *ends]))[::2]
    roots = np.sqrt([float(expected(g)[0]) for g in grid])
    band = []
    for sigma in BAND:
        target = float(sigma + stats.norm.isf((1.0 - level) * stats.norm.cdf(sigma)))
        found = _edges(lambda g: -float(np.sqrt(expected(g)[0])), grid, -roots, -target)
        band.append(found[0] if found else np.inf)
    if not toys:
        return Limit(intervals[0][1], grid, points, intervals, tuple(band))
    first = int(np.argmax(roots > 0.5)) if np.isinf(intervals[0][1]) else max(int(np.argmax(grid > intervals[0][1])), 1)
    marks = np.clip(roots[first] + np.linspace(-1.2, 1.6, 8), 0.2, None)
    tested = np.unique(np.interp(marks, roots[: first + 8], grid[: first + 8]))
    sparse = strength.path(n[0], TOY_STEP)
    values = _toy_cls(strength, sparse, tested, (n, aux), theta, toys, seed)
    return Limit(_crossing(tested, values, 1.0 - level), tested, values, intervals, tuple(band))


@dataclass(frozen=True, eq=False)
class Statistic:
    """q of data sets at any coupling; the lowest deviances are sought along a grid first."""

    strength: Strength
    grid: Array
    counts: Array
    auxiliary: Array

    @cached_property
    def _lowest(self) -> tuple[Array, Array, Array, Array]:
        """Of every data set: lowest deviance; in the valley next to zero, place, deviance and the hill behind it."""
        along = self.strength.deviance(self.grid, self.counts, self.auxiliary)
        low, last = along[:, 0].copy(), len(self.grid) - 1
        place, own, hill = np.zeros(len(along)), along[:, 0].copy(), np.full(len(along), np.inf)
        found = np.zeros(len(along), dtype=bool)
        for i in range(last):
            falls = along[:, i + 1] < along[:, i]
            behind = np.isinf(hill) & found & falls
            hill[behind] = self.grid[i]
            rows = np.nonzero((along[:, max(i - 1, 0)] >= along[:, i]) & ~falls)[0]
            if not rows.size:
                continue
            at, value = self._golden(rows, self.grid[max(i - 1, 0)], self.grid[i + 1])
            low[rows] = np.minimum(low[rows], value)
            first = ~found[rows]
            place[rows[first]], own[rows[first]] = at[first], value[first]
            found[rows] = True
        return low, place, own, hill

    def _golden(self, rows: npt.NDArray[np.int64], low: float, high: float) -> tuple[Array, Array]:
        """Minima between two couplings by golden sections, all data sets at once."""
        ratio = 0.5 * (np.sqrt(5.0) - 1.0)
        n, aux = self.counts[rows], self.auxiliary[rows]
        a, b = np.full(len(rows), low), np.full(len(rows), high)

        def at(g: Array) -> Array:
            found, _ = profiled_deviance(
                self.strength.signal(g), self.strength.model.background, self.strength.model.effects, n, aux
            )
            return np.asarray(found)

        c, d = b - ratio * (b - a), a + ratio * (b - a)
        fc, fd = at(c), at(d)
        for _ in range(14):
            left = fc < fd
            a, b = np.where(left, a, c), np.where(left, d, b)
            new = np.where(left, b - ratio * (b - a), a + ratio * (b - a))
            value = at(new)
            c, d = np.where(left, new, d), np.where(left, c, new)
            fc, fd = np.where(left, value, fd), np.where(left, fc, value)
        edge = at(np.full(len(rows), low))
        place, best = np.where(fc < fd, c, d), np.minimum(fc, fd)
        return np.where(edge <= best, low, place), np.minimum(edge, best)

    def __call__(self, g: float) -> Array:
        """One value a data set."""
        low, place, own, hill = self._lowest
        low = np.where(g <= hill, own, low)
        q = np.clip(self.strength.deviance(g, self.counts, self.auxiliary)[:, 0] - low, 0.0, _EXCLUDED)
        return np.where(place > g, 0.0, q)


def _edges(function: object, grid: Array, values: Array, target: float) -> list[float]:
    """Where a function crosses a target, between the points of a grid that lie on either side."""
    assert callable(function)
    found = []
    for i in np.nonzero((values[:-1] > target) != (values[1:] > target))[0]:
        ends = values[i : i + 2] - target
        if not np.all(np.isfinite(ends)) or ends[1] == 0:
            found.append(float(grid[i + 1]))
            continue
        scale = float(grid[i + 1])
        root = optimize.brentq(lambda x, s=scale: function(x * s) - target, grid[i] / scale, 1.0, xtol=1e-7, rtol=1e-7)
        found.append(float(root) * scale)
    return found


def _toy_cls(
    strength: Strength,
    grid: Array,
    tested: Array,
    data: tuple[Array, Array],
    theta: Array,
    toys: int,
    seed: int,
) -> Array:
    """CL_s at some couplings from toys of both hypotheses, nuisance parameters at their profiled values."""
    model, (n, aux) = strength.model, data
    name = model.parameters[0]
    observed = Statistic(strength, grid, n, aux)
    nothing = model.fix(**{name: 0.0})
    none = binned_toys(nothing, [], seed=seed, stop=toys, sample=0, theta=theta[0])
    background = Statistic(strength, grid, np.asarray(none.counts, dtype=float), np.asarray(none.auxiliary))
    values = []
    for i, g in enumerate(tested):
        held = model.fix(**{name: float(g)})
        profiled = fit_counts(held, n, aux).values[0]
        drawn = binned_toys(held, [], seed=seed, stop=toys, sample=i + 1, theta=profiled)
        signal = Statistic(strength, grid, np.asarray(drawn.counts, dtype=float), np.asarray(drawn.auxiliary))
        values.append(cls_toys(float(observed(g)[0]), signal(g), background(g))[2])
    return np.asarray(values)
