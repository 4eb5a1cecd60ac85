"""Minima of many functions at once, one row a toy: what SciPy and iminuit do for one function at a time.

A hundred thousand toys are minimised in the time that a call of `scipy.optimize.minimize` takes for a hundred. Nothing
mixes two rows, so the result of a toy does not depend on which others are minimised with it. Three functions, by what
is known of the objective: its derivatives (`minimise`, on any array library), its values within bounds (`newton`), or
that it is near a parabola in every variable (`parabolas`). The tests compare them with SciPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.arrays import array_module

Array = npt.NDArray[np.float64]
CONVERGED, ITERATION_LIMIT, NOT_FINITE, NOT_A_MINIMUM = 0, 1, 2, 3
"""Status of a fit. A fit that fails keeps its last values and its status: it is counted, never dropped."""
#: value, gradient and Hessian of half the deviance, and the diagonal of the expected information, at x
Objective = Callable[[Any, Any], tuple[Any, Any, Any, Any]]
#: value of half the deviance only
Value = Callable[[Any, Any], Any]
#: rows and a place for each of them (n,), (n, p) -> values (n,)
RowValue = Callable[[npt.NDArray[np.int64], Array], Array]


def _finite_or(xp: Any, array: Any, fallback: float) -> Any:
    return xp.where(xp.isfinite(array), array, xp.asarray(fallback, dtype=array.dtype, device=array.device))


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # steps too far are refused by their value
def minimise(
    objective: Objective,
    value: Value,
    data: tuple[Any, ...],
    start: Any,
    *,
    tolerance: float = 1e-10,
    max_iterations: int = 100,
) -> tuple[Any, Any, Any, Any, Any]:
    r"""Minimise one function a row with Levenberg-damped Newton steps.

    A step solves :math:`(H + \lambda D)\,\delta = -g`, D the diagonal of the expected information; λ falls by
    10 when the function falls and rises by 10 when it does not, so a Hessian that is not positive only costs
    steps. Converged: :math:`g^T D^{-1} g` below ``tolerance``, in units of half the deviance.

    Args:
        objective: (x, data) -> value, gradient (n, p), Hessian (n, p, p), diagonal D (n, p).
        value: (x, data) -> value alone, infinite where the function is not defined.
        data: arrays with one row a fit.
        start: starting values, shape (n, p).
        tolerance: see above.
        max_iterations: steps tried before a fit is given up with status 1.

    Returns:
        values, Hessian, function, status, iterations.
    """
    xp = array_module(start)
    n, p = start.shape
    device = start.device
    order = xp.arange(n, device=device)
    x, rows = start, data
    f = value(x, rows)
    damping = xp.full((n,), 1e-3, dtype=start.dtype, device=device)
    tried = xp.zeros((n,), dtype=xp.int32, device=device)
    finished: list[tuple[Any, ...]] = []
    for _ in range(max_iterations + 1):
        _, gradient, hessian, diagonal = objective(x, rows)
        largest = xp.max(diagonal, axis=1, keepdims=True)
        floor = xp.where(largest > 0, largest * 1e-14, xp.ones_like(largest))
        diagonal = xp.where(diagonal > floor, diagonal, floor)
        decrement = xp.sum(gradient * gradient / diagonal, axis=1)
        bad = ~xp.isfinite(decrement) | ~xp.isfinite(f)
        done = bad | (decrement < tolerance) | (tried >= max_iterations)
        n_done = int(xp.sum(xp.astype(done, xp.int64)))
        if n_done == done.shape[0] or 2 * n_done > done.shape[0] or n_done > 512:
            out, stay = xp.nonzero(done)[0], xp.nonzero(~done)[0]
            status = xp.full_like(tried, ITERATION_LIMIT)
            status = xp.where(decrement < tolerance, xp.full_like(tried, CONVERGED), status)
            status = xp.where(bad, xp.full_like(tried, NOT_FINITE), status)
            take = [x, hessian, f, status, tried, order]
            finished.append(tuple(xp.take(array, out, axis=0) for array in take))
            if n_done == done.shape[0]:
                break
            x, f, damping, tried, order, gradient, hessian, diagonal, done = (
                xp.take(array, stay, axis=0)
                for array in (x, f, damping, tried, order, gradient, hessian, diagonal, done)
            )
            rows = tuple(xp.take(array, stay, axis=0) for array in rows)
        scale = 1.0 / xp.sqrt(diagonal)
        matrix = hessian * scale[:, :, None] * scale[:, None, :]
        matrix = _finite_or(xp, matrix, 0.0) + damping[:, None, None] * xp.eye(p, dtype=x.dtype, device=device)
        right = _finite_or(xp, -gradient * scale, 0.0)
        step = xp.linalg.solve(matrix, right[:, :, None])[:, :, 0] * scale
        trial = x + step
        f_trial = value(trial, rows)
        # equality within rounding counts as progress: at the minimum of a large deviance nothing else is left
        better = f_trial <= f + 1e-13 * xp.abs(f)
        better = better & ~done
        x = xp.where(better[:, None], trial, x)
        f = xp.where(better, f_trial, f)
        damping = xp.where(better, damping * 0.1, damping * 10.0)
        damping = xp.clip(damping, 1e-9, 1e12)
        tried = xp.where(done, tried, tried + 1)
    columns = [xp.concat([part[i] for part in finished], axis=0) for i in range(6)]
    back = xp.argsort(columns[5])
    values, hessian, function, status, tried = (xp.take(column, back, axis=0) for column in columns[:5])
    return values, hessian, function, status, tried


def newton(value: RowValue, start: Array, low: Array, high: Array, most: int = 25) -> tuple[Array, Array]:
    """Minimum of functions of which only values are known, within bounds; and where it is.

    Newton steps with derivatives by differences, damped, lifted downhill where a function is not convex, and along the
    bounds where it falls beyond them. A row stops when a step gains less than 1e-6 (of -2 ln L), or when none gains.

    Args:
        value: (rows, places) -> values; a row may be asked for several times in one call.
        start: shape (n, p).
        low: lower ends, shape (p,).
        high: upper ends.
        most: steps.

    Returns:
        values (n,) and places (n, p).

    Example:
        >>> lowest, place = newton(
        ...     lambda rows, x: (x[:, 0] - 0.1 * rows) ** 2, np.zeros((3, 1)), np.array([-1.0]), np.array([1.0])
        ... )
        >>> bool(np.allclose(place[:, 0], [0.0, 0.1, 0.2], atol=1e-6))
        True
    """
    d, span, unit = len(low), high - low, np.eye(len(low))
    best, place = np.empty(len(start)), start.copy()
    rows, x = np.arange(len(start)), start.copy()

    def values(*at: Array) -> list[Array]:
        """The functions at several places of every row, in one call."""
        found = value(np.tile(rows, len(at)), np.concatenate(at))
        return np.split(found, len(at))

    f = values(x)[0]
    h = np.full_like(x, 1e-3) * span
    damping = np.full(len(x), 1e-3)
    for _ in range(most):
        gradient, hessian = _differences(values, x, f, h)
        held = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))  # at an end, downhill beyond it
        gradient = np.where(held, 0.0, gradient)
        hessian = np.where(held[:, :, None] | held[:, None, :], unit, hessian)
        size = np.maximum(np.abs(hessian[:, range(d), range(d)]), 1e-9 / span**2)
        scale = 1.0 / np.sqrt(size)
        matrix = hessian * scale[:, :, None] * scale[:, None, :]
        lowest = np.linalg.eigvalsh(matrix)[:, 0]
        lift = np.where(lowest < 1e-3, 1e-3 - lowest, 0.0) + damping  # downhill where it is not convex
        matrix = matrix + lift[:, None, None] * unit
        step = -np.linalg.solve(matrix, (gradient * scale)[:, :, None])[:, :, 0] * scale
        trial = np.clip(x + step, low, high)
        moved = values(trial)[0]
        gain = f - moved
        x, f = np.where((gain > 0)[:, None], trial, x), np.where(gain > 0, moved, f)
        damping = np.where(gain > 0, 0.1 * damping, 30.0 * damping)
        h = np.clip(0.1 * scale, 1e-6 * span, 1e-2 * span)  # a step that changes the statistic by 1/100
        best[rows], place[rows] = f, x
        going = np.nonzero((np.abs(gain) > 1e-6) & (damping < 1e6))[0]  # NaN stops as well
        if not going.size:
            break
        rows, x, f, h, damping = rows[going], x[going], f[going], h[going], damping[going]
    return best, place


def _differences(values: Callable[..., list[Array]], x: Array, f: Array, h: Array) -> tuple[Array, Array]:
    """Gradients (n, p) and Hessians (n, p, p) by differences of steps ``h``, from one call."""
    d = x.shape[1]
    unit = np.eye(d)
    pairs = [(i, j) for i in range(d) for j in range(i)]
    around = values(
        *(x + h * u for u in unit), *(x - h * u for u in unit), *(x + h * (unit[i] + unit[j]) for i, j in pairs)
    )
    up, down, corner = around[:d], around[d : 2 * d], around[2 * d :]
    gradient = np.stack([(a - b) / 2.0 for a, b in zip(up, down, strict=True)], axis=1) / h
    hessian = np.zeros((len(x), d, d))
    for i in range(d):
        hessian[:, i, i] = (up[i] - 2.0 * f + down[i]) / h[:, i] ** 2
    for (i, j), both in zip(pairs, corner, strict=True):
        hessian[:, i, j] = hessian[:, j, i] = (both - up[i] - up[j] + f) / (h[:, i] * h[:, j])
    return gradient, hessian


def parabolas(function: Callable[[Array], Array], start: Array, rough: bool = False) -> Array:
    """Lowest values of functions of some variables, one row a function, near parabolas of unit curvature or more.

    For nuisance parameters in units of their error: one variable after the other by the parabola through three values;
    more than one go round three times, for they are hardly correlated. No matrix is solved, which is what makes it
    several times faster than `newton` for the one or two variables of a ratio. ``rough`` stops at the first parabola.

    >>> lowest = parabolas(lambda x: (x[:, 0] - np.array([0.3, -1.0])) ** 2 + x[:, 0] ** 2, np.zeros((2, 1)))
    >>> lowest.round(6).tolist()
    [0.045, 0.5]
    """
    theta = start.copy()
    best = function(theta)
    if rough:
        gain = np.zeros(len(theta))
        for unit in np.eye(theta.shape[1]):
            low, high = function(theta - 0.5 * unit), function(theta + 0.5 * unit)
            curvature = low - 2.0 * best + high
            gain += np.where(curvature > 0, (low - high) ** 2 / (8.0 * np.where(curvature > 0, curvature, 1.0)), 0.0)
        return np.asarray(best - gain)
    for sweep in range(3 if theta.shape[1] > 1 else 1):
        for k in range(theta.shape[1]):
            step = 0.5 * 0.4**sweep
            for _ in range(4):
                aside = np.zeros(theta.shape[1])
                aside[k] = step
                low, middle, high = function(theta - aside), function(theta), function(theta + aside)
                curvature = low - 2.0 * middle + high
                move = 0.5 * step * (low - high) / np.where(curvature > 0, curvature, 1.0)
                theta[:, k] += np.clip(move, -4.0, 4.0)
                step *= 0.4
            best = np.minimum(function(theta), middle)
    return np.asarray(best)
