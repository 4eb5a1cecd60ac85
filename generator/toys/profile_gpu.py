r"""The profile likelihood of `profile` by array code, on a CUDA device: Newton steps of all pairs of toy and point.

Minima are the CPU's; steps are those of all nuisance parameters together. Second derivatives of a cell whose norm is
free are those of its bins less what the norm takes, with own = Σ_b n_b a_b²/μ_b² of the grown signal a_b:

.. math:: H = \sum_b \Big[w_b\,(a_b\,\epsilon_b\epsilon_b^T + B_b\,\eta_b\eta_b^T) + \frac{n_b}{\mu_b^2}\,d_b d_b^T\Big]
          - \frac{r r^T}{\mathrm{own}},\qquad r = \sum_b a_b\Big[\frac{n_b}{\mu_b^2}\,d_b + w_b\,\epsilon_b\Big],
          \qquad w_b = 1 - n_b/\mu_b,\quad d_b = \partial\mu_b/\partial\theta
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kinematics.base.arrays import array_module, to_host
from .profile import ENOUGH, FEW, STEPS, Array, Cells, Rows

PORTION = 1 << 14
"""Pairs at a time: some 30 kilobytes of each."""


def profiled(
    library: Any,
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
    """`profile.profiled` with the arrays of a library; the other arguments and the result, in NumPy's, are those."""
    place = _Place(library, cells, background, angular[2])
    n, s, a, w = (library.asarray(x) for x in (counts, signal, known, angular[1]))
    found = np.empty(len(toys))
    for low in range(0, len(toys), PORTION):
        part = slice(low, low + PORTION)
        t, p, residual = (library.asarray(x[part]) for x in (toys, points, angular[0]))
        found[part] = to_host(_lowest(place, (n[t], s[p], a[t], residual, w[p]), rough))
    return found


class _Place:
    """What all pairs share: effects of nuisance parameters, backgrounds, which bins have a free norm."""

    def __init__(self, xp: Any, cells: Cells, background: Array, shifts: Array) -> None:
        self.xp = xp
        self.effects, self.tilts = xp.asarray(cells.effects), xp.asarray(cells.tilts)
        self.background = xp.asarray(background)
        self.shifts = xp.zeros((cells.effects.shape[1], shifts.shape[1]))
        self.shifts[: cells.common] = xp.asarray(shifts)
        self.angles = shifts.shape[1] > 0
        first = cells.edges[:-1][cells.free]
        self.pairs = xp.asarray(np.stack([first, first + 1], axis=1).reshape(-1))  # bins of free cells, two by two

    def grown(self, theta: Any, n: Any, s: Any) -> tuple[Any, Any]:
        """Signal and background of every bin, norms that are free at their best."""
        xp = self.xp
        signal, back = s * xp.exp(theta @ self.effects.T), self.background * xp.exp(theta @ self.tilts.T)
        back = xp.where(self.background > 0.0, back, 0.0)
        if self.pairs.size:
            a, b, m = (x[:, self.pairs].reshape(len(s), -1, 2) for x in (signal, back, n))
            t = _norm(xp, a[..., 0], a[..., 1], b[..., 0], b[..., 1], m[..., 0], m[..., 1])
            signal[:, self.pairs] = (a * t[..., None]).reshape(len(s), -1)
        return signal, back

    def half(self, theta: Any, data: tuple[Any, ...], signal: Any, back: Any) -> Any:
        """Half of -2 ln L."""
        xp = self.xp
        n, _, known, residual, inverse = data
        mu, pull = signal + back, theta - known
        safe = xp.where(mu > 0.0, mu, 1.0)
        logs = xp.where(mu > 0.0, n * xp.log(xp.where(n > 0.0, n, safe) / safe) - n, xp.where(n > 0.0, xp.inf, 0.0))
        total = (mu + logs).sum(axis=1) + 0.5 * (pull * pull).sum(axis=1)
        if self.angles:
            r = residual - pull @ self.shifts
            total += 0.5 * (r * _times(inverse, r)).sum(axis=1)
        return total

    def derivatives(self, theta: Any, data: tuple[Any, ...], signal: Any, back: Any, exact: Any) -> tuple[Any, Any]:
        """Gradient and second derivatives; where they are not ``exact`` the observed information, as on the CPU."""
        xp, e, h = self.xp, self.effects, self.tilts
        n, _, known, residual, inverse = data
        mu, pull = signal + back, theta - known
        safe = xp.where(mu > 0.0, mu, 1.0)
        w = xp.where(mu > 0.0, 1.0 - n / safe, 1.0)
        c = xp.where(mu > 0.0, n / (safe * safe), 0.0)
        d = signal[:, :, None] * e + back[:, :, None] * h  # (rows, bins, parameters)
        gradient = (d * w[:, :, None]).sum(axis=1) + pull
        kept = xp.where(exact[:, None] | (w > 0.2), w, 0.0)
        matrix = _outer(e * (kept * signal)[:, :, None], e) + _outer(h * (kept * back)[:, :, None], h)
        matrix += _outer(d * c[:, :, None], d) + xp.eye(theta.shape[1])
        if self.angles:
            gradient -= _times(inverse, residual - pull @ self.shifts) @ self.shifts.T
            matrix += self.shifts @ inverse @ self.shifts.T
        if self.pairs.size:
            a, m, v = (x[:, self.pairs].reshape(len(n), -1, 2) for x in (signal, c, w))
            own = (m * a * a).sum(axis=2)
            root = xp.where(own > 0.0, 1.0 / xp.sqrt(xp.where(own > 0.0, own, 1.0)), 0.0)[:, :, None]
            change = d[:, self.pairs].reshape(*a.shape, -1) * (m * a)[..., None]
            more = e[self.pairs].reshape(1, -1, 2, e.shape[1]) * (v * a * exact[:, None, None])[..., None]
            taken = (change + more).sum(axis=2) * root
            matrix -= _outer(taken, taken)
        return gradient, matrix


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # steps too far are refused by their value
def _lowest(place: _Place, data: tuple[Any, ...], rough: bool) -> Any:
    """-2 ln L of pairs at its minimum, NaN where it was not found; or after one step.

    Rows that are done are left out of what is computed.
    """
    xp = place.xp
    theta = data[2].copy()
    rows = len(theta)
    f = place.half(theta, data, *place.grown(theta, *data[:2]))
    damping, convex = xp.zeros(rows), xp.ones(rows, dtype=bool)
    done = ~xp.isfinite(f) if theta.shape[1] else xp.ones(rows, dtype=bool)
    for i in range(1 if rough else STEPS):
        left = xp.nonzero(~done)[0]
        if not len(left):
            break
        some = tuple(x[left] for x in data)
        at, now, damp, exact = theta[left], f[left], damping[left], convex[left] & (i >= FEW)
        signal, back = place.grown(at, *some[:2])
        gradient, matrix = place.derivatives(at, some, signal, back, exact)
        diagonal = xp.arange(matrix.shape[1])
        matrix[:, diagonal, diagonal] *= 1.0 + damp[:, None]
        step, whole = _solved(matrix, -gradient)
        gain = -0.5 * (gradient * step).sum(axis=1)
        whole &= gain >= 0.0
        trial = at + xp.where(whole[:, None], step, 0.0)
        lower = place.half(trial, some, *place.grown(trial, *some[:2]))
        better = whole & (lower <= now + 1e-13 * xp.abs(now))
        theta[left], f[left] = xp.where(better[:, None], trial, at), xp.where(better, lower, now)
        done[left] = (whole & (gain * (1.0 + damp) < ENOUGH)) | rough
        convex[left] = xp.where(whole, better, xp.where(exact, False, convex[left]))
        less = xp.where(damp > 1e-4, 0.1 * damp, 0.0)
        more = xp.maximum(10.0 * damp, xp.where(whole, 1e-3, 1e-2))
        damping[left] = xp.where(better, less, xp.where(whole | ~exact, more, damp))
    return xp.where(done, 2.0 * f, xp.nan)


def _norm(xp: Any, a1: Any, a2: Any, b1: Any, b2: Any, n1: Any, n2: Any) -> Any:
    """The best norm t >= 0 of counts n1, n2 with means t a1 + b1, t a2 + b2."""
    total = a1 + a2
    q = total * a1 * a2
    line = total * (a1 * b2 + a2 * b1) - (n1 + n2) * a1 * a2
    c = total * b1 * b2 - n1 * a1 * b2 - n2 * a2 * b1
    root = xp.sqrt(xp.maximum(line * line - 4.0 * q * c, 0.0))
    below = xp.where(root + line > 0.0, root + line, 1.0)
    t = xp.where(line <= 0.0, (root - line) / (2.0 * xp.where(q > 0.0, q, 1.0)), -2.0 * c / below)
    return xp.where(q > 0.0, xp.maximum(t, 0.0), 0.0)


def _times(matrices: Any, vectors: Any) -> Any:
    return (matrices @ vectors[:, :, None])[:, :, 0]


def _outer(left: Any, right: Any) -> Any:
    """Sums over bins of the products of parameters, (rows, parameters, parameters)."""
    return left.swapaxes(-1, -2) @ right


def _solved(matrix: Any, right: Any) -> tuple[Any, Any]:
    """Solutions by Cholesky's method, and where the matrix is positive definite; column by column for all rows."""
    xp = array_module(matrix)
    rows, size = right.shape
    whole, root, x = xp.ones(rows, dtype=bool), xp.zeros((rows, size, size)), right.copy()
    for j in range(size):
        column = matrix[:, j:, j] - (root[:, j:, :j] * root[:, j : j + 1, :j]).sum(axis=2)
        whole &= column[:, 0] > 1e-12
        root[:, j:, j] = column / xp.sqrt(xp.where(column[:, :1] > 1e-12, column[:, :1], 1.0))
        x[:, j] = (x[:, j] - (root[:, j, :j] * x[:, :j]).sum(axis=1)) / xp.where(whole, root[:, j, j], 1.0)
    for j in reversed(range(size)):
        beside = (root[:, j + 1 :, j] * x[:, j + 1 :]).sum(axis=1)
        x[:, j] = (x[:, j] - beside) / xp.where(whole, root[:, j, j], 1.0)
    return xp.where(whole[:, None], x, 0.0), whole
