"""The inner loop of an unbinned fit: ln of the densities of events, and what it changes with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel

BLOCK = 4096
"""Events whose logarithms are summed together: sums do not depend on the number of threads."""
LANES = 64
"""Events whose numbers stand beside each other; a block is some of these."""


@inner
def _vectors(q2: Any, constants: Any, residues: Any, poles: Any, w: Any, v: Any, outer: Any) -> None:
    """1/(q2 - poles), v, and what a packed matrix is multiplied with to v† M v, of `LANES` q2 at once."""
    n, m = constants.shape[0], poles.shape[0]
    far = n + n * (n - 1) // 2
    for k in range(m):
        pole, y = poles[k, 0], poles[k, 1]
        for j in range(LANES):
            dx = q2[j] - pole
            scale = 1.0 / (dx * dx + y * y)
            w[k, 0, j], w[k, 1, j] = dx * scale, y * scale
    for a in range(n):
        x, y = constants[a, 0], constants[a, 1]
        for j in range(LANES):
            v[a, 0, j], v[a, 1, j] = x, y
        for k in range(m):
            re, im = residues[a, k, 0], residues[a, k, 1]
            if re == 0.0 and im == 0.0:
                continue
            for j in range(LANES):
                v[a, 0, j] += re * w[k, 0, j] - im * w[k, 1, j]
                v[a, 1, j] += re * w[k, 1, j] + im * w[k, 0, j]
        for j in range(LANES):
            outer[a, j] = v[a, 0, j] * v[a, 0, j] + v[a, 1, j] * v[a, 1, j]
    at = 0
    for a in range(n):
        for b in range(a + 1, n):
            for j in range(LANES):
                outer[n + at, j] = 2.0 * (v[a, 0, j] * v[b, 0, j] + v[a, 1, j] * v[b, 1, j])
                outer[far + at, j] = 2.0 * (v[a, 1, j] * v[b, 0, j] - v[a, 0, j] * v[b, 1, j])
            at += 1


@inner
def _products(form: Any, v: Any, found: Any) -> None:
    """Packed matrices times vectors."""
    n = v.shape[0]
    far = n + n * (n - 1) // 2
    for a in range(n):
        for j in range(LANES):
            found[a, 0, j], found[a, 1, j] = form[a, j] * v[a, 0, j], form[a, j] * v[a, 1, j]
    at = 0
    for a in range(n):
        for b in range(a + 1, n):
            for j in range(LANES):
                real, imaginary = form[n + at, j], form[far + at, j]
                found[a, 0, j] += real * v[b, 0, j] - imaginary * v[b, 1, j]
                found[a, 1, j] += real * v[b, 1, j] + imaginary * v[b, 0, j]
                found[b, 0, j] += real * v[a, 0, j] + imaginary * v[a, 1, j]
                found[b, 1, j] += real * v[a, 1, j] - imaginary * v[a, 0, j]
            at += 1


@inner
def _changes(beside: Any, scale: Any, w: Any, residues: Any, g: Any) -> None:
    """Add to each lane's G, of constants, residues and poles, what its event has."""
    n, m = residues.shape[0], residues.shape[1]
    for a in range(n):
        for j in range(LANES):
            x, y = beside[a, 0, j] * scale[j], -beside[a, 1, j] * scale[j]
            beside[a, 0, j], beside[a, 1, j] = x, y
            g[a, 0, j] += x
            g[a, 1, j] += y
        for k in range(m):
            at, of_pole = n + a * m + k, n + n * m + k
            t_re, t_im = residues[a, k, 0], residues[a, k, 1]
            for j in range(LANES):
                x, y = beside[a, 0, j], beside[a, 1, j]
                re, im = x * w[k, 0, j] - y * w[k, 1, j], x * w[k, 1, j] + y * w[k, 0, j]
                g[at, 0, j] += re
                g[at, 1, j] += im
                x, y = t_re * re - t_im * im, t_re * im + t_im * re
                g[of_pole, 0, j] += x * w[k, 0, j] - y * w[k, 1, j]
                g[of_pole, 1, j] += x * w[k, 1, j] + y * w[k, 0, j]


@inner
def _matrices(forms: Any, waves: Any, start: int, count: int, line: Any, form: Any) -> None:
    """Matrices of all waves together of ``count`` events from ``start``, turned to a row a number; others are zero."""
    size = line.size
    for j in range(count):
        for p in range(size):
            line[p] = waves[0] * forms[start + j, 0, p]
        for k in range(1, waves.size):
            for p in range(size):
                line[p] += waves[k] * forms[start + j, k, p]
        for p in range(size):
            form[p, j] = line[p]
    for j in range(count, LANES):
        for p in range(size):
            form[p, j] = 0.0


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
    ``poles`` (m, 2), ``gradients`` (blocks, n + n m + m + waves, 2), or empty where only the sums are wanted, which
    takes half the time. ``sums`` (blocks,) are minus infinity with an event of no density. ``below`` (events,) are
    densities of what else there is, and ``inverse`` (events,) becomes one over the sum; both are empty where there is
    nothing else. Events go `LANES` at a time, each number of all of them together: so the loops are vectors.
    """
    n, m, several = constants.shape[0], poles.shape[0], waves.size
    size, last, change = n * n, n + n * m + m, gradients.size > 0
    v, w, beside = np.empty((n, 2, LANES)), np.empty((m, 2, LANES)), np.empty((n, 2, LANES))
    outer, form, each = np.empty((size, LANES)), np.empty((size, LANES)), np.empty((several, size))
    line = np.empty(size)
    here, density, scale, g = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty((last, 2, LANES))
    for block in range(sums.size):
        total, alone = 0.0, 0.0
        each[:], g[:] = 0.0, 0.0
        begin = (first + block) * BLOCK
        end = min(begin + BLOCK, q2.size)
        for start in range(begin, end, LANES):
            count = min(LANES, end - start)
            for j in range(LANES):
                here[j], density[j], scale[j] = q2[min(start + j, end - 1)], 0.0, 0.0
            _vectors(here, constants, residues, poles, w, v, outer)
            _matrices(forms, waves, start, count, line, form)
            for p in range(size):
                for j in range(LANES):
                    density[j] += form[p, j] * outer[p, j]
            for j in range(count):
                whole = factor * density[j] + below[start + j] if below.size else density[j]
                if not whole > 0.0:
                    total = -math.inf
                    continue
                total += math.log(whole)
                scale[j] = 1.0 / whole
                if below.size:
                    inverse[start + j] = scale[j]
                    scale[j] *= factor
                alone += density[j] * scale[j]
            if not change:
                continue
            _products(form, v, beside)
            _changes(beside, scale, w, residues, g)
            for j in range(count if several > 1 else 0):
                for p in range(size):
                    line[p] = outer[p, j] * scale[j]
                for k in range(several):
                    for p in range(size):
                        each[k, p] += forms[start + j, k, p] * line[p]
        sums[block] = total
        if not change:
            continue
        for i in range(last):
            gradients[block, i, 0], gradients[block, i, 1] = g[i, 0].sum(), g[i, 1].sum()
        for k in range(several):
            gradients[block, last + k, 0] = 0.5 * (each[k].sum() if several > 1 else alone / waves[0])


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
                if factor == 0.0:  # most parts are of one wave
                    continue
                for p in range(size):
                    found[i, w, p] += factor * here[p]


@kernel
def slopes_of_rows(
    starts: Any,
    order: Any,
    q2: Any,
    u: Any,
    factors: Any,
    forms: Any,
    constants: Any,
    residues: Any,
    poles: Any,
    factor: Any,
    below: Any,
    first: Any,
    found: Any,
) -> None:
    """Derivatives of the sum of ln of densities, see `log_densities`, by ``rows`` of `sum_forms`, of one mass and wave.

    Events ``order[starts[c]:starts[c + 1]]`` are in cell c; ``factors`` (n, parts), ``forms`` (n, 1, n²) with what
    `sum_forms` found. ``found`` (cells, 3, parts, n²) begins at cell ``first``.
    """
    n, parts = constants.shape[0], factors.shape[1]
    size = n * n
    v, w, outer = np.empty((n, 2, LANES)), np.empty((poles.shape[0], 2, LANES)), np.empty((size, LANES))
    here = np.empty(LANES)
    for k in range(found.shape[0]):
        found[k] = 0.0
        end = starts[first + k + 1]
        for start in range(starts[first + k], end, LANES):
            for j in range(LANES):
                here[j] = q2[order[min(start + j, end - 1)]]
            _vectors(here, constants, residues, poles, w, v, outer)
            for j in range(min(LANES, end - start)):
                i = order[start + j]
                density = 0.0
                for p in range(size):
                    density += forms[i, 0, p] * outer[p, j]
                scale = factor / (factor * density + below[i]) if below.size else 1.0 / density
                for part in range(parts):
                    weight = factors[i, part] * scale
                    for p in range(size):
                        value = weight * outer[p, j]
                        found[k, 0, part, p] += value
                        found[k, 1, part, p] += u[i] * value
                        found[k, 2, part, p] += u[i] * u[i] * value
