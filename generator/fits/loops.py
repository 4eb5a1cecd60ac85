"""The inner loop of an unbinned fit: ln of the densities of events, and what it changes with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kinematics.base.jit import kernel

BLOCK = 4096
"""Events whose logarithms are summed together: sums do not depend on the number of threads."""


@kernel
def log_densities(
    q2: Any, forms: Any, constants: Any, residues: Any, poles: Any, first: Any, sums: Any, gradients: Any
) -> None:
    """Sums over blocks of events of ln(v† M v), and G of its change, 2 Re(G · d point).

    ``forms`` (events, n²) are packed as in `amplitude`, v = constants + residues / (q2 - poles). All numbers that are
    complex have a last axis of two, real and imaginary part: ``constants`` (n, 2), ``residues`` (n, m, 2), ``poles``
    (m, 2), ``gradients`` (blocks, n + n m + m, 2). ``sums`` (blocks,) are minus infinity with an event of no density.
    """
    n, m = constants.shape[0], poles.shape[0]
    v, w, beside, far = np.empty((n, 2)), np.empty((m, 2)), np.empty((n, 2)), n + n * (n - 1) // 2
    for block in range(sums.size):
        total, g = 0.0, gradients[block]
        start = (first + block) * BLOCK
        for i in range(start, min(start + BLOCK, q2.size)):
            for k in range(m):
                dx, y = q2[i] - poles[k, 0], poles[k, 1]
                size = 1.0 / (dx * dx + y * y)
                w[k, 0], w[k, 1] = dx * size, y * size
            for a in range(n):
                x, y = constants[a, 0], constants[a, 1]
                for k in range(m):
                    x += residues[a, k, 0] * w[k, 0] - residues[a, k, 1] * w[k, 1]
                    y += residues[a, k, 0] * w[k, 1] + residues[a, k, 1] * w[k, 0]
                v[a, 0], v[a, 1] = x, y
                beside[a, 0], beside[a, 1] = forms[i, a] * x, forms[i, a] * y
            at = 0
            for a in range(n):
                for b in range(a + 1, n):
                    real, imaginary = forms[i, n + at], forms[i, far + at]
                    beside[a, 0] += real * v[b, 0] - imaginary * v[b, 1]
                    beside[a, 1] += real * v[b, 1] + imaginary * v[b, 0]
                    beside[b, 0] += real * v[a, 0] + imaginary * v[a, 1]
                    beside[b, 1] += real * v[a, 1] - imaginary * v[a, 0]
                    at += 1
            density = 0.0
            for a in range(n):
                density += v[a, 0] * beside[a, 0] + v[a, 1] * beside[a, 1]
            if not density > 0.0:
                total = -math.inf
                continue
            total += math.log(density)
            scale = 1.0 / density
            for a in range(n):
                x, y = beside[a, 0] * scale, -beside[a, 1] * scale
                g[a, 0] += x
                g[a, 1] += y
                for k in range(m):
                    re, im = x * w[k, 0] - y * w[k, 1], x * w[k, 1] + y * w[k, 0]
                    g[n + a * m + k, 0] += re
                    g[n + a * m + k, 1] += im
                    p, q = (
                        residues[a, k, 0] * re - residues[a, k, 1] * im,
                        residues[a, k, 0] * im + residues[a, k, 1] * re,
                    )
                    g[n + n * m + k, 0] += p * w[k, 0] - q * w[k, 1]
                    g[n + n * m + k, 1] += p * w[k, 1] + q * w[k, 0]
        sums[block] = total
