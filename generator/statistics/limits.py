"""Limits on a coupling without a grid: every interval that CL_s allows, where counts are quadratic in the coupling.

The likelihood need be neither linear nor monotonic: destructive interference brings the counts of no coupling back at a
second, mirror solution. The search walks out from zero in steps of a fraction of a standard deviation, which no
crossing of CL_s can hide between, and finds each crossing by bisection. Data may be arrays of any library; the path of
couplings is NumPy's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from ...kinematics.base.arrays import array_module, to_host
from ...kinematics.base.errors import InputError
from .counts import CountModel
from .draws import binned_toys
from .fits import fit_counts, profiled_deviance
from .hypotheses import cls_asymptotic, cls_toys

Array = npt.NDArray[np.float64]
STEP, TOY_STEP = 0.25, 0.7
"""Steps of the search, and those between which toys are fitted, in standard deviations."""
FAR = 9.0
"""Standard deviations beyond which nothing is allowed."""
BAND = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Quantiles of background-only data, in σ, of the band of expected limits."""
_MOST = 20_000
_ROWS = 4096  # data sets times couplings profiled at a time
_EXCLUDED = 1e9  # q where counts are impossible


class Deviances(Protocol):
    """What a `Statistic` asks of the deviance of data sets along a coupling; data sets are rows of ``counts``."""

    def deviance(self, g: npt.ArrayLike, counts: Any, auxiliary: Any) -> Any:
        """Deviance with nuisance parameters profiled, (data sets, couplings)."""

    def deviance_of_rows(self, g: Any, counts: Any, auxiliary: Any) -> Any:
        """The same where every data set has its own coupling, (data sets,)."""

    @staticmethod
    def put(values: Any, like: Any) -> Any:
        """Numbers as an array like another."""


@dataclass(frozen=True, eq=False)
class Strength:
    """A model of one coupling g >= 0: its counts as a path, and the deviance of data along it."""

    model: CountModel

    def __post_init__(self) -> None:
        if len(self.model.parameters) != 1:
            raise InputError(f"{len(self.model.parameters)} couplings are free: needs one; fix the others")

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
        model, signal = self.model, self.signal(0.0)
        slopes = np.asarray(model.effects) * signal + np.asarray(model.background_effects) * np.asarray(
            model.background
        )
        slopes = slopes / np.sqrt(self.expected(0.0) + 0.375)
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

        Raises:
            InputError: it does not end; what lies beyond would be called excluded otherwise.
        """
        none = self.expected(0.0)
        points = [0.0]
        guess = 1.0
        end = self._end()
        while len(points) <= _MOST:
            g = points[-1]
            here = self.expected(g)
            away = min(self.distance(none, here), self.distance(counts, here))
            growing = np.all(self.model.signal[:, 1] + 2.0 * self.model.signal[:, 2] * g >= 0)
            if g >= end or (growing and away > FAR and np.all((here >= counts) | (self.model.signal[:, 2] == 0))):
                return np.asarray(points)
            points.append(self._next(g, max(step, 0.5 * (away - FAR)), guess, end))
            guess = max(points[-1] - g, 1e-12 * points[-1])
        raise InputError(
            f"{self.model.parameters[0]}: {_MOST:,} steps of {step:g} sigma do not reach where it is excluded"
        )

    def _end(self) -> float:
        """Where the first signal turns negative."""
        roots = np.concatenate([np.roots(np.trim_zeros(row[::-1], "f")) for row in self.model.signal])
        real = np.sort(roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)])
        beyond = [x for x in real.tolist() if self.signal(x * (1.0 + 1e-6)).min() < 0]
        return min(beyond, default=np.inf)

    def deviance(self, g: npt.ArrayLike, counts: Any, auxiliary: Any) -> Any:
        """Deviance with nuisance parameters profiled, (data sets, couplings); infinite where there is none."""
        xp, n = array_module(counts), counts.shape[0]
        signal = self.put(self.signal(np.atleast_1d(g)), counts)
        parts, step = [], max(1, _ROWS // n)
        for first in range(0, signal.shape[0], step):
            some = signal[first : min(first + step, signal.shape[0]), :]
            m = some.shape[0]
            rows = [
                xp.reshape(xp.broadcast_to(x, (m, n, x.shape[-1])), (m * n, x.shape[-1]))
                for x in (some[:, None, :], counts[None, ...], auxiliary[None, ...])
            ]
            parts.append(xp.reshape(self._profiled(*rows), (m, n)))
        return xp.matrix_transpose(xp.concat(parts))

    def deviance_of_rows(self, g: Any, counts: Any, auxiliary: Any) -> Any:
        """The same where every data set has its own coupling, (data sets,)."""
        a, b, c = (self.put(column, counts)[None, :] for column in self.model.signal.T)
        g = g[:, None]
        return self._profiled(a + g * (b + g * c), counts, auxiliary)

    def _profiled(self, signal: Any, counts: Any, auxiliary: Any) -> Any:
        xp = array_module(counts)
        model = self.model
        background, effects = self.put(model.background, counts), self.put(model.effects, counts)
        tilts = self.put(model.background_effects, counts) if np.any(model.background_effects) else None
        found, _ = profiled_deviance(signal, background, effects, counts, auxiliary, tilts)
        return xp.where(xp.isfinite(found), found, xp.full_like(found, float("inf")))

    @staticmethod
    def put(values: Any, like: Any) -> Any:
        """Numbers as an array like another."""
        return array_module(like).asarray(values, dtype=like.dtype, device=like.device)


@dataclass(frozen=True, eq=False)
class Limit:
    """An upper limit: ``value``, with ``points`` (CL_s) along ``grid``.

    ``intervals`` are all that are allowed, of which ``value`` ends the first, and ``band`` the expected limits for
    background-only data at -2, -1, 0, 1 and 2 σ. ``roots``: √q of Asimov's data along the grid.
    """

    value: float
    grid: Array
    points: Array
    intervals: tuple[tuple[float, float], ...] = ()
    band: tuple[float, ...] = ()
    roots: Array = field(default_factory=lambda: np.empty(0), repr=False)


def find_limit(
    model: CountModel,
    counts: Any,
    auxiliary: Any = None,
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
        model: of one coupling.
        counts: of every bin, of any array-API library.
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
    n, aux = one_data_set(model, counts, auxiliary)
    xp = array_module(n)
    nothing = model.fix(**{model.parameters[0]: 0.0})
    theta = fit_counts(nothing, n, aux).values
    asimov = xp.asarray(nothing.expected([], to_host(theta)[0]), dtype=n.dtype, device=n.device)[None, :]
    grid = strength.path(to_host(n)[0], STEP)
    found = asymptotic_limit(Statistic(strength, grid, xp.concat([n, asimov]), xp.concat([aux, theta])), level)
    if not toys:
        return found
    intervals, roots = found.intervals, found.roots
    first = int(np.argmax(roots > 0.5)) if np.isinf(intervals[0][1]) else max(int(np.argmax(grid > intervals[0][1])), 1)
    marks = np.clip(roots[first] + np.linspace(-1.2, 1.6, 8), 0.2, None)
    tested = np.unique(np.interp(marks, roots[: first + 8], grid[: first + 8]))
    sparse = strength.path(n[0], TOY_STEP)
    values = _toy_cls(strength, sparse, tested, (n, aux), theta, toys, seed)
    return Limit(_crossing(tested, values, 1.0 - level), tested, values, intervals, found.band)


def asymptotic_limit(both: Statistic, level: float) -> Limit:
    """That limit, asymptotically, from the statistic of two data sets: what was seen, and Asimov's of no coupling."""
    grid = both.grid

    def cls(g: float) -> float:
        return float(cls_asymptotic(*to_host(both(g)))[2])

    def root(g: float) -> float:
        return -float(np.sqrt(to_host(both(g))[1]))

    observed, expected = to_host(both.along)
    points, roots = cls_asymptotic(observed, expected)[2], np.sqrt(expected)
    edges = _edges(cls, grid, points, 1.0 - level)
    ends = [*edges, np.inf] if len(edges) % 2 == 0 else edges
    intervals = tuple(itertools.pairwise([0.0, *ends]))[::2]
    band = []
    for sigma in BAND:
        target = float(sigma + stats.norm.isf((1.0 - level) * stats.norm.cdf(sigma)))
        found = _edges(root, grid, -roots, -target)
        band.append(found[0] if found else np.inf)
    return Limit(intervals[0][1], grid, points, intervals, tuple(band), roots)


def one_data_set(model: CountModel, counts: Any, auxiliary: Any) -> tuple[Any, Any]:
    """One data set as rows of floating-point numbers, with measurements of the nuisance parameters, zero if None."""
    xp = array_module(counts)
    n = xp.asarray(counts, dtype=xp.float64)
    n = n[None, :] if n.ndim == 1 else n
    k = len(model.nuisances)
    aux = xp.zeros((1, k), dtype=n.dtype, device=n.device) if auxiliary is None else xp.asarray(auxiliary)
    return n, xp.reshape(aux, (n.shape[0], k))


@dataclass(frozen=True, eq=False)
class Statistic:
    """q of data sets at any coupling; the lowest deviances are sought along a grid first."""

    strength: Deviances
    grid: Array
    counts: Any
    auxiliary: Any

    @cached_property
    def _deviance(self) -> Any:
        return self.strength.deviance(self.grid, self.counts, self.auxiliary)

    @cached_property
    def _minima(self) -> Any:
        """Which points of the grid no neighbour is below, (data sets, grid)."""
        d = self._deviance
        xp = array_module(d)
        first = xp.ones((d.shape[0], 1), dtype=xp.bool, device=d.device)
        before = xp.concat([first, d[:, 1:] <= d[:, :-1]], axis=1)
        after = xp.concat([d[:, 1:] >= d[:, :-1], d[:, -1:] < d[:, -2:-1]], axis=1)
        return before & after & xp.isfinite(d)

    @cached_property
    def first(self) -> tuple[Any, Any]:
        """Place and deviance of the minimum of the valley next to the first point."""
        xp = array_module(self.counts)
        return self._vertex(xp.argmax(xp.astype(self._minima, xp.int8), axis=1))

    @cached_property
    def lowest(self) -> Any:
        """Lowest deviance of every data set, of the three lowest valleys and the first."""
        d, minima, low = self._deviance, self._minima, self.first[1]
        xp = array_module(d)
        order = xp.arange(d.shape[1], device=d.device)[None, :]
        left = minima & (order != xp.argmax(xp.astype(minima, xp.int8), axis=1)[:, None])
        for _ in range(3):
            if not bool(xp.any(left)):
                break
            place = xp.argmin(xp.where(left, d, xp.full_like(d, float("inf"))), axis=1)
            low = xp.where(xp.any(left, axis=1), xp.minimum(low, self._vertex(place)[1]), low)
            left = left & (order != place[:, None])
        return low

    @cached_property
    def hill(self) -> Any:
        """The first coupling behind the first valley from which the deviance falls again; infinite if it does not."""
        d, minima = self._deviance, self._minima
        xp = array_module(d)
        falls = xp.concat([d[:, 1:] < d[:, :-1], xp.zeros((d.shape[0], 1), dtype=xp.bool, device=d.device)], axis=1)
        behind = falls & (xp.cumulative_sum(xp.astype(minima, xp.int64), axis=1) > 0)
        place = xp.take(self._points, xp.argmax(xp.astype(behind, xp.int8), axis=1))
        return xp.where(xp.any(behind, axis=1), place, xp.full_like(place, float("inf")))

    @property
    def _points(self) -> Any:
        return self.strength.put(self.grid, self.counts)

    def _vertex(self, places: Any) -> tuple[Any, Any]:
        """Minima next to a point of the grid for each data set, by parabolas: places and deviances."""
        xp, last = array_module(self.counts), len(self.grid) - 1
        around = [xp.clip(places + i, 0, last) for i in (-1, 0, 1)]
        a, m, b = (xp.take(self._points, i) for i in around)
        fa, fm, fb = (xp.take_along_axis(self._deviance, i[:, None], axis=1)[:, 0] for i in around)
        for _ in range(6):
            wide = xp.where(b - m > m - a, 0.5 * (m + b), 0.5 * (a + m))
            up, down = (m - a) * (fm - fb), (m - b) * (fm - fa)
            bend = up - down
            usable = xp.isfinite(bend) & (bend != 0) & (m > a) & (b > m)
            new = m - 0.5 * ((m - a) * up - (m - b) * down) / xp.where(usable, bend, xp.ones_like(bend))
            new = xp.where(usable & (new > a) & (new < b), new, wide)
            value = self.strength.deviance_of_rows(new, self.counts, self.auxiliary)
            better, right = value < fm, new > m
            end, f_end = xp.where(better, m, new), xp.where(better, fm, value)  # of the bracket from now on
            a, fa = xp.where(right == better, end, a), xp.where(right == better, f_end, fa)
            b, fb = xp.where(right == better, b, end), xp.where(right == better, fb, f_end)
            m, fm = xp.where(better, new, m), xp.where(better, value, fm)
        return m, fm

    def _above(self, g: Any, deviance: Any) -> Any:
        """q from the deviance at a coupling."""
        xp, (place, own) = array_module(deviance), self.first
        q = xp.clip(deviance - xp.where(g <= self.hill, own, self.lowest), 0.0, _EXCLUDED)
        return xp.where(place > g, xp.zeros_like(q), q)

    @cached_property
    def along(self) -> Any:
        """q along the grid, (data sets, grid)."""
        columns = zip(self.grid, range(len(self.grid)), strict=True)
        return array_module(self.counts).stack(
            [self._above(float(g), self._deviance[:, i]) for g, i in columns], axis=1
        )

    @cached_property
    def ratio_along(self) -> Any:
        """Deviance above the lowest along the grid, (data sets, grid)."""
        return array_module(self.counts).clip(self._deviance - self.lowest[:, None], 0.0, _EXCLUDED)

    def ratio(self, g: float) -> Any:
        """Deviance of every data set at a coupling above the lowest."""
        d = self.strength.deviance(g, self.counts, self.auxiliary)[:, 0]
        return array_module(d).clip(d - self.lowest, 0.0, _EXCLUDED)

    def __call__(self, g: float) -> Any:
        """q of every data set at a coupling."""
        return self._above(g, self.strength.deviance(g, self.counts, self.auxiliary)[:, 0])


def _edges(function: Callable[[float], float], grid: Array, values: Array, target: float) -> list[float]:
    """Where a function crosses a target, between the points of a grid that lie on either side."""
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
    data: tuple[Any, Any],
    theta: Any,
    toys: int,
    seed: int,
) -> Array:
    """CL_s at some couplings from toys of both hypotheses, nuisance parameters at their profiled values."""
    model, (n, aux) = strength.model, data
    name = model.parameters[0]
    observed = Statistic(strength, grid, n, aux)
    nothing = model.fix(**{name: 0.0})
    none = binned_toys(nothing, [], seed=seed, stop=toys, sample=0, theta=to_host(theta)[0])
    background = Statistic(strength, grid, strength.put(none.counts, n), strength.put(none.auxiliary, n))
    values = []
    for i, g in enumerate(tested.tolist()):
        held = model.fix(**{name: g})
        profiled = to_host(fit_counts(held, n, aux).values)[0]
        drawn = binned_toys(held, [], seed=seed, stop=toys, sample=i + 1, theta=profiled)
        signal = Statistic(strength, grid, strength.put(drawn.counts, n), strength.put(drawn.auxiliary, n))
        values.append(cls_toys(float(observed(g)[0]), to_host(signal(g)), to_host(background(g)))[2])
    return np.asarray(values)


def _crossing(x: Array, y: Array, target: float) -> float:
    """Last x at which y falls through ``target``, by interpolation in ln y."""
    logs = np.log(np.maximum(y, 1e-300)) - np.log(target)
    above = np.nonzero(logs > 0)[0]
    if above.size == 0:
        return float(x[0])
    i = int(above[-1])
    if i == len(x) - 1:
        return float("inf")
    return float(x[i] + (x[i + 1] - x[i]) * logs[i] / (logs[i] - logs[i + 1]))
