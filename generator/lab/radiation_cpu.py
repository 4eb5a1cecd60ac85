"""Loops over blocks of events whose leptons radiate: random numbers, energies, momenta, copies.

All lanes of a block are always computed, so an event's last bit does not depend on where a request began.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel, scalar, wide_vectors
from ...kinematics.photons import collinear_photons
from ...physics.radiation import photon_fraction, radiator
from ..sampler.calls import RADIATION
from ..sampler.rng import philox, uniform

BLOCK = 64
STRIDE = BLOCK + 8
CALL = RADIATION.first
"""First Philox call of an event that its radiation draws from: one a lepton."""
# columns of the scratch: q2 | two uniforms and a choice of each lepton | l+, l- | outputs: q2_ll, l+, l-, photons
_Q2, _U, _P, _OUT, _COLUMNS = 0, STRIDE, 7 * STRIDE, 13 * STRIDE, 26


@inner
def _uniforms(s: Any, numbers: Any, stream: Any, k0: Any, k1: Any) -> None:
    """Two uniforms and a choice of each lepton of every event of a block."""
    wide_vectors()
    for leg in range(2):
        call, k = np.uint32(CALL + leg), _U + 3 * leg * STRIDE
        for i in range(BLOCK):
            event = numbers[i]
            a, b, c, d = philox(np.uint32(event), np.uint32(event >> np.uint64(32)), call, stream, k0, k1)
            s[k + i] = uniform(np.float64, a, b)
            s[k + STRIDE + i] = np.float64(uniform(np.float32, c, c))
            s[k + 2 * STRIDE + i] = np.float64(uniform(np.float32, d, d))


@inner
def _energies(s: Any, m_l: Any) -> None:
    """Replace the first uniform of each lepton by the energy fraction of its photon; q2 of the leptons."""
    wide_vectors()
    for i in range(BLOCK):
        q2 = s[_Q2 + i]
        b, a, most = radiator(np.float64, q2, m_l)
        k = _U + i
        y_p = photon_fraction(np.float64, s[k], s[k + STRIDE], s[k + 2 * STRIDE], b, a, most)
        k = _U + 3 * STRIDE + i
        y_m = photon_fraction(np.float64, s[k], s[k + STRIDE], s[k + 2 * STRIDE], b, a, most)
        s[_U + i], s[_U + 3 * STRIDE + i] = y_p, y_m
        s[_OUT + i] = (1.0 - y_p) * (1.0 - y_m) * q2


@scalar
def _three(s: Any, i: Any) -> tuple[Any, Any, Any]:
    return s[i], s[i + STRIDE], s[i + 2 * STRIDE]


@scalar
def _set_three(s: Any, i: Any, p: Any) -> None:
    s[i], s[i + STRIDE], s[i + 2 * STRIDE] = p


@inner
def _momenta(s: Any, m_l: Any) -> None:
    """Leptons and photons."""
    wide_vectors()
    for i in range(BLOCK):
        lp, lm, gp, gm = collinear_photons(
            np.float64,
            _three(s, _P + i),
            _three(s, _P + 3 * STRIDE + i),
            s[_Q2 + i],
            m_l,
            s[_U + i],
            s[_U + 3 * STRIDE + i],
        )
        _set_three(s, _OUT + STRIDE + i, lp)
        _set_three(s, _OUT + 4 * STRIDE + i, lm)
        _set_three(s, _OUT + 7 * STRIDE + i, gp)
        _set_three(s, _OUT + 10 * STRIDE + i, gm)


@scalar
def _load(s: Any, column: Any, source: Any, first: Any, n: Any) -> None:
    """Copy events to a column, the last one again in the lanes that are left."""
    start, to = np.uintp(first), np.uintp(column)
    for i in range(np.uintp(n)):
        s[to + i] = source[start + i]
    for i in range(np.uintp(n), np.uintp(BLOCK)):
        s[to + i] = source[start + np.uintp(n - 1)]


@kernel
def radiate(q2: Any, leptons: Any, m_l: Any, stream: Any, k0: Any, k1: Any, events: Any, out: Any) -> None:
    """Fill the rows of ``out``: q2 of the leptons and, if it has more, momenta of l+, l-, and of a photon of each.

    ``leptons`` are the six columns of momenta of l+ and l- before they radiate.
    """
    s = np.ones(_COLUMNS * STRIDE)
    numbers = np.empty(BLOCK, dtype=np.uint64)
    rows, moving = out.shape[0], out.shape[0] > 1
    for first in range(0, q2.size, BLOCK):
        n = min(BLOCK, q2.size - first)
        for i in range(BLOCK):
            numbers[i] = events[first + min(i, n - 1)]
        _load(s, _Q2, q2, first, n)
        _uniforms(s, numbers, stream, k0, k1)
        _energies(s, m_l)
        if moving:
            for row in range(6):
                _load(s, _P + row * STRIDE, leptons[row], first, n)
            _momenta(s, m_l)
        for row in range(rows):
            start, source = np.uintp(first), np.uintp(_OUT + row * STRIDE)
            for i in range(np.uintp(n)):
                out[row, start + i] = s[source + i]
