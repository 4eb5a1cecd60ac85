"""The inner loop of an unbinned fit: ln of the densities of events, and what it changes with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel

BLOCK = 4096
"""Events whose logarithms are summed together: sums do not depend on the number of threads."""


@inner
def _vector(q2: Any, constants: Any, residues: Any, poles: Any, w: Any, v: Any, outer: Any) -> None:
    """1/(q2 - poles), v, and what a packed matrix is multiplied with to v† M v, at one q2."""
    n, m = constants.shape[0], poles.shape[0]
    far = n + n * (n - 1) // 2
    for k in range(m):
        dx, y = q2 - poles[k, 0], poles[k, 1]
        scale = 1.0 / (dx * dx + y * y)
        w[k, 0], w[k, 1] = dx * scale, y * scale
    for a in range(n):
        x, y = constants[a, 0], constants[a, 1]
        for k in range(m):
            x += residues[a, k, 0] * w[k, 0] - residues[a, k, 1] * w[k, 1]
            y += residues[a, k, 0] * w[k, 1] + residues[a, k, 1] * w[k, 0]
        v[a, 0], v[a, 1] = x, y
        outer[a] = x * x + y * y
    at = 0
    for a in range(n):
        for b in range(a + 1, n):
            outer[n + at] = 2.0 * (v[a, 0] * v[b, 0] + v[a, 1] * v[b, 1])
            outer[far + at] = 2.0 * (v[a, 1] * v[b, 0] - v[a, 0] * v[b, 1])
            at += 1


@inner
def _product(form: Any, v: Any, found: Any) -> None:
    """A packed matrix times a vector."""
    n = v.shape[0]
    far = n + n * (n - 1) // 2
    for a in range(n):
        found[a, 0], found[a, 1] = form[a] * v[a, 0], form[a] * v[a, 1]
    at = 0
    for a in range(n):
        for b in range(a + 1, n):
            real, imaginary = form[n + at], form[far + at]
            found[a, 0] += real * v[b, 0] - imaginary * v[b, 1]
            found[a, 1] += real * v[b, 1] + imaginary * v[b, 0]
            found[b, 0] += real * v[a, 0] + imaginary * v[a, 1]
            found[b, 1] += real * v[a, 1] - imaginary * v[a, 0]
            at += 1


@kernel
def log_densities(
    q2: Any,
    forms: Any,
    waves: Any,
    constants: Any,
    residues: Any,
    poles: Any,
    factor: Any,
    below: Any,
    first: Any,
    sums: Any,
    gradients: Any,
    inverse: Any,
) -> None:
    """Sums over blocks of events of ln(factor sum_w waves_w v† M_w v + below), and G of its change, 2 Re(G · d point).

    ``forms`` (events, waves, n²) are packed as in `amplitude`, v = constants + residues / (q2 - poles). All numbers
    that are complex have a last axis of two, real and imaginary part: ``constants`` (n, 2), ``residues`` (n, m, 2),
    ``poles`` (m, 2), ``gradients`` (blocks, n + n m + m + waves, 2). ``sums`` (blocks,) are minus infinity with an
    event of no density. ``below`` (events,) are densities of what else there is, and ``inverse`` (events,) becomes one
    over the sum; both are empty where there is nothing else.
    """
    n, m, several = constants.shape[0], poles.shape[0], waves.size
    size, last = n * n, n + n * m + m
    v, w, beside = np.empty((n, 2)), np.empty((m, 2)), np.empty((n, 2))
    outer, form, each = np.empty(size), np.empty(size), np.empty((several, size))
    for block in range(sums.size):
        total, g = 0.0, gradients[block]
        each[:] = 0.0
        start = (first + block) * BLOCK
        for i in range(start, min(start + BLOCK, q2.size)):
            _vector(q2[i], constants, residues, poles, w, v, outer)
            for p in range(size):
                form[p] = waves[0] * forms[i, 0, p]
            for k in range(1, several):
                for p in range(size):
                    form[p] += waves[k] * forms[i, k, p]
            density = 0.0
            for p in range(size):
                density += form[p] * outer[p]
            if below.size:
                density = factor * density + below[i]
            if not density > 0.0:
                total = -math.inf
                continue
            total += math.log(density)
            scale = 1.0 / density
            if below.size:
                inverse[i] = scale
                scale *= factor
            _product(form, v, beside)
            for a in range(n):
                x, y = beside[a, 0] * scale, -beside[a, 1] * scale
                g[a, 0] += x
                g[a, 1] += y
                for k in range(m):
                    re, im = x * w[k, 0] - y * w[k, 1], x * w[k, 1] + y * w[k, 0]
                    g[n + a * m + k, 0] += re
                    g[n + a * m + k, 1] += im
                    t_re = residues[a, k, 0] * re - residues[a, k, 1] * im
                    t_im = residues[a, k, 0] * im + residues[a, k, 1] * re
                    g[n + n * m + k, 0] += t_re * w[k, 0] - t_im * w[k, 1]
                    g[n + n * m + k, 1] += t_re * w[k, 1] + t_im * w[k, 0]
            for p in range(size):
                outer[p] *= scale
            for k in range(several):
                for p in range(size):
                    each[k, p] += forms[i, k, p] * outer[p]
        for k in range(several):
            g[last + k, 0] = 0.5 * each[k].sum()
        sums[block] = total


@kernel
def sum_forms(cells: Any, u: Any, along_mass: Any, factors: Any, rows: Any, found: Any) -> None:
    """Matrices of events (n, waves, n²): sums over parts of ``factors`` (n, waves, parts) times the matrices there.

    These are ``rows`` (3, cells, masses, parts, n²), parabolas in u (n,) on each of the ``cells`` (n,), with weights
    ``along_mass`` (n, masses).
    """
    masses, parts, size = rows.shape[2], rows.shape[3], rows.shape[4]
    here = np.empty(size)
    for i in range(cells.size):
        cell = cells[i]
        for w in range(factors.shape[1]):
            for p in range(size):
                found[i, w, p] = 0.0
        for part in range(parts):
            for p in range(size):
                here[p] = 0.0
            for k in range(masses):
                weight = along_mass[i, k]
                for p in range(size):
                    value = rows[0, cell, k, part, p] + u[i] * (
                        rows[1, cell, k, part, p] + u[i] * rows[2, cell, k, part, p]
                    )
                    here[p] += weight * value
            for w in range(factors.shape[1]):
                factor = factors[i, w, part]
                for p in range(size):
                    found[i, w, p] += factor * here[p]
