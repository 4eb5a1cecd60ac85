r"""Likelihood of counts and angular observables with its nuisance parameters profiled, compiled: a row of toys a loop.

.. math:: -2\ln L(\theta) = 2\sum_b\big[\mu_b-n_b+n_b\ln(n_b/\mu_b)\big]
          + (r-\delta S)^T W (r-\delta S) + |\delta|^2,\quad \delta=\theta-a,\qquad
          \mu_b = t_c\,s_b\,e^{\sum_k\theta_k\epsilon_{kb}} + B_b\,e^{\sum_k\theta_k\eta_{kb}}

A cell c holds the bins of muons and electrons of one hadron and one interval of q2; where its norm t_c is free the cell
measures their ratio alone, and t_c is the root of a quadratic. Newton steps, with all second derivatives where a few
without do not end; nuisance parameters that act on one cell only are eliminated there, so many uncorrelated errors cost
little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.jit import inner, kernel

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
STEPS = 100
"""Most steps; a row that needs more is NaN."""
FEW = 5
"""Steps that take the observed information for the matrix of second derivatives."""
ENOUGH = 1e-6
"""Expected gain of half of -2 ln L of the last step: what is left is far below."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Which bins and nuisance parameters there are, in the order of the loops.

    Attributes:
        bins: places of the bins among those of an experiment, cell by cell.
        edges: first bin of every cell, and their number.
        free: whether the norm of a cell is free.
        nuisances: places of the nuisance parameters, those of several cells first, then cell by cell.
        common: how many act on several cells, or on the angular observables.
        acting: parameters that act on each cell, common ones first, (cells, most of them).
        shared: how many of these are common, and how many there are, (cells, 2).
        effects: on ln of the signal, (bins, nuisances).
        tilts: on ln of the background, (bins, nuisances).
    """

    bins: Rows
    edges: Rows
    free: npt.NDArray[np.bool_]
    nuisances: Rows
    common: int
    acting: Rows
    shared: Rows
    effects: Array
    tilts: Array


def make_cells(
    bins: list[tuple[int, ...]], free: list[bool], effects: Array, tilts: Array, everywhere: npt.NDArray[np.bool_]
) -> Cells:
    """Cells from the places of their bins, and which nuisance parameters act on them.

    Args:
        bins: of each cell, two where its norm is free.
        free: whether its norm is free: what is common to both bins then has no effect, and is left out.
        effects: on ln of the signal, (nuisances, all bins).
        tilts: on ln of the background.
        everywhere: nuisance parameters that act on something else too.

    >>> cells = make_cells([(0, 1), (2,)], [True, False], np.array([[0.1, 0.1, 0.2], [0.0, 0.3, 0.0]]),
    ...                    np.zeros((2, 3)), np.zeros(2, dtype=bool))
    >>> cells.common, cells.shared.tolist(), cells.nuisances.tolist()
    (0, [[0, 1], [0, 1]], [1, 0])
    """
    signal = effects.copy()
    for cell, ratio in zip(bins, free, strict=True):
        if ratio:
            places = list(cell)
            signal[:, places] -= effects[:, places[:1]]
    acts = [np.any((signal[:, list(c)] != 0) | (tilts[:, list(c)] != 0), axis=1) for c in bins]
    table = np.stack(acts) if acts else np.zeros((0, len(effects)), dtype=bool)
    several = everywhere | (table.sum(axis=0) > 1)
    common = np.nonzero(several)[0]
    order = np.concatenate([common, *(np.nonzero(row & ~several)[0] for row in table)]).astype(np.int64)
    lists = [np.nonzero(row[order])[0] for row in table]
    acting = np.zeros((len(bins), max((len(row) for row in lists), default=0)), dtype=np.int64)
    for place, row in zip(acting, lists, strict=True):
        place[: len(row)] = row
    flat = np.array([b for cell in bins for b in cell], dtype=np.int64)
    return Cells(
        flat,
        np.cumsum([0, *(len(cell) for cell in bins)]).astype(np.int64),
        np.array(free, dtype=np.bool_),
        order,
        len(common),
        acting,
        np.array([(np.sum(row < len(common)), len(row)) for row in lists], dtype=np.int64).reshape(-1, 2),
        np.ascontiguousarray(signal[np.ix_(order, flat)].T),
        np.ascontiguousarray(tilts[np.ix_(order, flat)].T),
    )


def profiled(
    cells: Cells,
    counts: Array,
    signal: Array,
    background: Array,
    known: Array,
    angular: tuple[Array, Array, Array],
    toys: Rows,
    points: Rows,
    rough: bool = False,
) -> Array:
    """-2 ln L, nuisance parameters profiled, of pairs of a toy and a point; NaN where the steps do not end.

    Args:
        cells: bins and nuisance parameters.
        counts: (toys, bins), in the order of the cells.
        signal: (points, bins).
        background: (bins,).
        known: measured nuisance parameters, (toys, nuisances), in their order.
        angular: measured less predicted observables (pairs, observables); their inverse covariance (points,
            observables, observables); shifts by the common nuisance parameters (common, observables).
        toys: of each pair.
        points: of each pair.
        rough: one step from what was measured, unchecked.
    """
    out = np.empty(len(toys))
    arrays = [np.ascontiguousarray(x, dtype=np.float64) for x in (counts, signal, background, known, *angular)]
    layout = (cells.edges, cells.free, cells.acting, cells.shared, cells.effects, cells.tilts)
    profile_rows(layout, cells.common, tuple(arrays), toys, points, 0 if rough else STEPS, ENOUGH, out)
    return out


@inner
def _norm(a1: Any, a2: Any, b1: Any, b2: Any, n1: Any, n2: Any) -> Any:
    """The best norm t >= 0 of counts n1, n2 with means t a1 + b1, t a2 + b2."""
    total = a1 + a2
    q = total * a1 * a2
    line = total * (a1 * b2 + a2 * b1) - (n1 + n2) * a1 * a2
    c = total * b1 * b2 - n1 * a1 * b2 - n2 * a2 * b1
    if not q > 0.0:
        return 0.0
    root = np.sqrt(max(line * line - 4.0 * q * c, 0.0))
    t = (root - line) / (2.0 * q) if line <= 0.0 else -2.0 * c / (root + line)
    return max(t, 0.0)


@inner
def _half(layout: Any, known: Any, n: Any, s: Any, background: Any, theta: Any, grown: Any, back: Any) -> Any:
    """Half of -2 ln L of counts and constraints; ``grown`` and ``back`` become signal and background."""
    edges, free, acting, shared, effects, tilts = layout
    total = 0.0
    for k in range(theta.size):
        total += 0.5 * (theta[k] - known[k]) ** 2
    for c in range(free.size):
        first, last = edges[c], edges[c + 1]
        for b in range(first, last):
            x, y = 0.0, 0.0
            for i in range(shared[c, 1]):
                k = acting[c, i]
                x += theta[k] * effects[b, k]
                y += theta[k] * tilts[b, k]
            grown[b] = s[b] * np.exp(x)
            back[b] = background[b] * np.exp(y) if background[b] > 0.0 else 0.0
        if free[c]:
            t = _norm(grown[first], grown[first + 1], back[first], back[first + 1], n[first], n[first + 1])
            grown[first] *= t
            grown[first + 1] *= t
        for b in range(first, last):
            mu = grown[b] + back[b]
            if n[b] > 0.0:
                total += mu - n[b] + n[b] * np.log(n[b] / mu) if mu > 0.0 else np.inf
            else:
                total += mu
    return total


@inner
def _solve(matrix: Any, right: Any, size: Any, columns: Any) -> Any:
    """Solve for the first columns of the right side in place by Cholesky's method; False if not positive definite."""
    for i in range(size):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not value > 1e-12:
                    return False
                matrix[i, i] = np.sqrt(value)
            else:
                matrix[i, j] = value / matrix[j, j]
    for c in range(columns):
        for i in range(size):
            value = right[i, c]
            for k in range(i):
                value -= matrix[i, k] * right[k, c]
            right[i, c] = value / matrix[i, i]
        for i in range(size - 1, -1, -1):
            value = right[i, c]
            for k in range(i + 1, size):
                value -= matrix[k, i] * right[k, c]
            right[i, c] = value / matrix[i, i]
    return True


@inner
def _rank_one(size: Any, factor: Any, d: Any, hessian: Any) -> None:
    """Add factor d dᵀ to the lower triangle."""
    for i in range(size):
        scaled = factor * d[i]
        for j in range(i + 1):
            hessian[i, j] += scaled * d[j]


@inner
def _cell(
    c: Any, layout: Any, n: Any, grown: Any, back: Any, exact: Any, slopes: Any, rows: Any, gradient: Any, hessian: Any
) -> None:
    """Gradient and second derivatives, lower triangle, of one cell by the parameters that act on it.

    If not ``exact`` the latter are the observed information: of what vanishes where counts are as expected only that is
    in which keeps the matrix positive, where it is large. Where the norm is free they are what the norm does not take.
    """
    edges, free, acting, shared, effects, tilts = layout
    first, size = edges[c], shared[c, 1]
    for i in range(size):
        gradient[i] = 0.0
        for j in range(i + 1):
            hessian[i, j] = 0.0
    for b in range(first, edges[c + 1]):
        mu = grown[b] + back[b]
        weight = 1.0 - n[b] / mu if mu > 0.0 else 1.0
        d = slopes[b - first]
        for i in range(size):
            k = acting[c, i]
            d[i] = grown[b] * effects[b, k] + back[b] * tilts[b, k]
            gradient[i] += weight * d[i]
        if exact or weight > 0.2:
            for i in range(size):
                rows[0, i], rows[1, i] = effects[b, acting[c, i]], tilts[b, acting[c, i]]
            _rank_one(size, weight * grown[b], rows[0], hessian)
            _rank_one(size, weight * back[b], rows[1], hessian)
        if not free[c]:
            _rank_one(size, n[b] / (mu * mu) if mu > 0.0 else 0.0, d, hessian)
    if free[c]:
        a1, a2 = grown[first], grown[first + 1]
        m1, m2 = a1 + back[first], a2 + back[first + 1]
        c1 = n[first] / (m1 * m1) if m1 > 0.0 else 0.0
        c2 = n[first + 1] / (m2 * m2) if m2 > 0.0 else 0.0
        own = c1 * a1 * a1 + c2 * a2 * a2
        if own > 0.0 and exact:
            w1, w2 = 1.0 - c1 * m1, 1.0 - c2 * m2
            for i in range(size):
                k = acting[c, i]
                rows[0, i] = c1 * a1 * slopes[0, i] + c2 * a2 * slopes[1, i]
                rows[0, i] += w1 * a1 * effects[first, k] + w2 * a2 * effects[first + 1, k]
            _rank_one(size, c1, slopes[0], hessian)
            _rank_one(size, c2, slopes[1], hessian)
            _rank_one(size, -1.0 / own, rows[0], hessian)
        elif own > 0.0:  # the two bins less what the norm takes: one direction is left
            for i in range(size):
                slopes[0, i] = a2 * slopes[0, i] - a1 * slopes[1, i]
            _rank_one(size, c1 * c2 / own, slopes[0], hessian)
        else:
            _rank_one(size, c1, slopes[0], hessian)
            _rank_one(size, c2, slopes[1], hessian)


@inner
def _newton(layout: Any, common: Any, n: Any, known: Any, slope: Any, bend: Any, damping: Any, exact: Any, theta: Any,
            grown: Any, back: Any, scratch: Any, step: Any) -> Any:  # fmt: skip
    """Damped step into ``step``; the expected gain of half of -2 ln L, negative if there is none."""
    acting, shared = layout[2], layout[3]
    slopes, rows, gradient, hessian, full, matrix, right, kept, block, sides = scratch
    size = theta.size
    for i in range(common):
        full[i] = theta[i] - known[i] - slope[i]
        right[i, 0] = 0.0
        for j in range(common):
            full[i] += bend[i, j] * (theta[j] - known[j])
            matrix[i, j] = bend[i, j]
        matrix[i, i] += 1.0
    for c in range(len(shared)):
        few, m = shared[c, 0], shared[c, 1]
        _cell(c, layout, n, grown, back, exact, slopes, rows, gradient, hessian)
        ids = acting[c]
        for i in range(few):
            full[ids[i]] += gradient[i]
            for j in range(i + 1):
                matrix[ids[i], ids[j]] += hessian[i, j]
        mine = m - few
        if mine == 0:
            continue
        for i in range(mine):
            k = ids[few + i]
            full[k] = theta[k] - known[k] + gradient[few + i]
            for j in range(i + 1):
                block[i, j] = hessian[few + i, few + j]
            block[i, i] = (block[i, i] + 1.0) * (1.0 + damping)
            for j in range(few):
                sides[i, j] = hessian[few + i, j]
            sides[i, few] = full[k]
        if not _solve(block, sides, mine, few + 1):
            return -1.0
        for i in range(mine):
            k = ids[few + i] - common
            for j in range(few + 1):
                kept[k, j] = sides[i, j]
            for a in range(few):
                right[ids[a], 0] += hessian[few + i, a] * sides[i, few]
                for j in range(a + 1):
                    matrix[ids[a], ids[j]] -= hessian[few + i, a] * sides[i, j]
    for i in range(common):
        right[i, 0] -= full[i]
        matrix[i, i] *= 1.0 + damping
    if not _solve(matrix, right, common, 1):
        return -1.0
    gain = 0.0
    for i in range(common):
        step[i] = right[i, 0]
    for c in range(len(shared)):
        few = shared[c, 0]
        for i in range(few, shared[c, 1]):
            k = acting[c, i]
            value = -kept[k - common, few]
            for j in range(few):
                value -= kept[k - common, j] * step[acting[c, j]]
            step[k] = value
    for k in range(size):
        gain -= 0.5 * full[k] * step[k]
    return gain


@inner
def _angular(r: Any, w: Any, shifts: Any, pull: Any, slope: Any) -> Any:
    """The quadratic form of residuals; ``slope`` becomes its derivatives by the common parameters."""
    square = 0.0
    for i in range(r.size):
        pull[i] = 0.0
        for j in range(r.size):
            pull[i] += w[i, j] * r[j]
        square += pull[i] * r[i]
    for k in range(slope.size):
        slope[k] = 0.0
        for i in range(r.size):
            slope[k] += shifts[k, i] * pull[i]
    return square


@inner
def _curvature(w: Any, shifts: Any, bend: Any) -> None:
    """S W Sᵀ of the shifts by the common parameters."""
    for k in range(len(shifts)):
        for m in range(k + 1):
            value = 0.0
            for i in range(len(w)):
                if shifts[k, i] != 0.0:
                    for j in range(len(w)):
                        value += shifts[k, i] * w[i, j] * shifts[m, j]
            bend[k, m] = value
            bend[m, k] = value


@inner
def _quadratic(theta: Any, known: Any, square: Any, slope: Any, bend: Any) -> Any:
    """Half of the angular part of -2 ln L."""
    total = 0.5 * square
    for i in range(slope.size):
        shift = theta[i] - known[i]
        if shift != 0.0:
            total -= shift * slope[i]
            for j in range(slope.size):
                total += 0.5 * shift * bend[i, j] * (theta[j] - known[j])
    return total


@kernel
def profile_rows(
    layout: Any, common: Any, arrays: Any, toys: Any, points: Any, steps: Any, enough: Any, out: Any
) -> None:
    """Loop of :func:`profiled`; ``steps`` of zero is one step from what was measured."""
    counts, signal, background, measured, residual, inverse, shifts = arrays
    size, bins, seen, most = measured.shape[1], len(background), residual.shape[1], layout[2].shape[1]
    theta, trial, step = np.empty(size), np.empty(size), np.empty(size)
    grown, back, trial_grown, trial_back = np.empty(bins), np.empty(bins), np.empty(bins), np.empty(bins)
    slope, bend, pull = np.zeros(common), np.zeros((common, common)), np.empty(seen)
    scratch = (np.zeros((2, most)), np.zeros((2, most)), np.zeros(most), np.zeros((most, most)), np.zeros(size),
               np.zeros((common, common)), np.zeros((common, 1)), np.zeros((size - common, most + 1)),
               np.zeros((most, most)), np.zeros((most, most + 1)))  # fmt: skip
    for row in range(len(toys)):
        n, known, s = counts[toys[row]], measured[toys[row]], signal[points[row]]
        square = 0.0
        if seen:
            square = _angular(residual[row], inverse[points[row]], shifts, pull, slope)
            if row == 0 or points[row] != points[row - 1]:
                _curvature(inverse[points[row]], shifts, bend)
        for k in range(size):
            theta[k] = known[k]
        f = _half(layout, known, n, s, background, theta, grown, back) + 0.5 * square
        damping, done, convex = 0.0, size == 0 or not np.isfinite(f), True
        for i in range(max(steps, 1)):
            if done:
                break
            exact = convex and i >= FEW
            gain = _newton(layout, common, n, known, slope, bend, damping, exact, theta, grown, back, scratch, step)
            if not gain >= 0.0:
                if exact:
                    convex = False
                else:
                    damping, done = max(10.0 * damping, 1e-2), steps == 0
                continue
            for k in range(size):
                trial[k] = theta[k] + step[k]
            lower = _half(layout, known, n, s, background, trial, trial_grown, trial_back)
            lower += _quadratic(trial, known, square, slope, bend)
            done = steps == 0 or gain * (1.0 + damping) < enough
            convex = lower <= f + 1e-13 * abs(f)
            if convex:
                theta, trial = trial, theta
                grown, trial_grown = trial_grown, grown
                back, trial_back = trial_back, back
                f = lower
                damping = 0.1 * damping if damping > 1e-4 else 0.0
            else:
                damping = max(10.0 * damping, 1e-3)
        out[row] = 2.0 * f if done else np.nan
