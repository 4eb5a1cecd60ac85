"""Loops over blocks of events that turn angles into momenta: inputs, random numbers, parents, decays, copies.

A block has a fixed number of lanes, all of them always computed, so an event's last bit does not depend on where a
request began. As in `loops`, each pass vectorises by itself, on one flat scratch array with constant offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel, scalar, wide_vectors
from ...kinematics.beams import cell_momentum, proton_momentum, upsilon_momentum
from ...kinematics.frames import boost, orientation, rotate, scalar_decay, vector_decay
from ...kinematics.trig import circle
from ..sampler.calls import MOMENTA
from ..sampler.rng import philox, pick_entry, uniform

BLOCK = 64
STRIDE = BLOCK + 8
CALL = MOMENTA.first
"""First Philox call of an event that momenta use; eight uniforms, four calls."""
REST, UPSILON, PROTON, CELLS = 0, 1, 2, 3
"""Kinds of parents: at rest, from the Upsilon(4S), from pp, from the cells of a histogram."""
# columns of the scratch: q2, cos K, cos L, phi, flavour, m_Kpi | eight uniforms | parent | outputs (18 at most)
_Q2, _COS_K, _COS_L, _PHI, _FLAVOUR, _M_KPI = (k * STRIDE for k in range(6))
_UNIFORM, _PARENT, _OUT = 6 * STRIDE, 14 * STRIDE, 17 * STRIDE
_COLUMNS = 32


@scalar
def _three(a: Any, i: Any) -> tuple[Any, Any, Any]:
    return a[i], a[i + STRIDE], a[i + 2 * STRIDE]


@scalar
def _set_three(a: Any, i: Any, p: Any) -> None:
    a[i], a[i + STRIDE], a[i + 2 * STRIDE] = p


@inner
def _uniforms(scratch: Any, first: Any, stream: Any, k0: Any, k1: Any) -> None:
    """Eight uniforms of each event of a block, from four Philox calls."""
    wide_vectors()
    for pair in range(4):
        k, call = _UNIFORM + 2 * pair * STRIDE, np.uint32(CALL + pair)
        for i in range(BLOCK):
            event = np.uint64(first + i)
            a, b, c, d = philox(np.uint32(event), np.uint32(event >> np.uint64(32)), call, stream, k0, k1)
            scratch[k + i] = uniform(np.float64, a, b)
            scratch[k + STRIDE + i] = uniform(np.float64, c, d)


@inner
def _parents(scratch: Any, kind: Any, c: Any, cells: Any, alias: Any, m_b: Any) -> None:
    """Momentum of the B in the laboratory, from uniforms 3 to 7."""
    wide_vectors()
    u = _UNIFORM + 3 * STRIDE
    if kind == UPSILON:
        constants = (c[0], c[1], c[2], c[3], c[4])
        for i in range(BLOCK):
            k = u + i
            p = upsilon_momentum(
                np.float64,
                scratch[k],
                scratch[k + STRIDE],
                scratch[k + 2 * STRIDE],
                scratch[k + 3 * STRIDE],
                scratch[k + 4 * STRIDE],
                m_b,
                cells,
                constants,
            )
            _set_three(scratch, _PARENT + i, p)
    elif kind == PROTON:
        spectrum = (c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7])
        for i in range(BLOCK):
            y, pt, phi = _three(scratch, u + i)
            _set_three(scratch, _PARENT + i, proton_momentum(np.float64, y, pt, phi, m_b, spectrum))
    elif kind == CELLS:
        for i in range(BLOCK):
            pt, eta, phi = _three(scratch, u + i)
            word = np.uint32(scratch[u + 3 * STRIDE + i] * 4294967296.0)
            j = 4 * np.intp(pick_entry(word, alias))
            cell = (cells[j], cells[j + 1], cells[j + 2], cells[j + 3])
            _set_three(scratch, _PARENT + i, cell_momentum(np.float64, pt, eta, phi, cell, c[0]))
    else:
        for i in range(BLOCK):
            _set_three(scratch, _PARENT + i, (0.0, 0.0, 0.0))


@inner
def _vector_decays(scratch: Any, signs: Any, masses: Any) -> None:
    """K, pi, l+, l- in the B frame, the Kpi system along z; signs: mean and half difference over the flavours."""
    wide_vectors()
    m_b, m_k, m_pi, m_l = masses[0], masses[1], masses[2], masses[3]
    l0, l1, c0, c1, s0, s1 = signs[0], signs[1], signs[2], signs[3], signs[4], signs[5]
    for i in range(BLOCK):
        flavour = scratch[_FLAVOUR + i]
        sine, cosine = circle(np.float64, scratch[_PHI + i] * 0.15915494309189535)
        k, pi, lp, lm = vector_decay(
            np.float64,
            scratch[_Q2 + i],
            scratch[_COS_K + i],
            (l0 + l1 * flavour) * scratch[_COS_L + i],
            (c0 + c1 * flavour) * cosine,
            (s0 + s1 * flavour) * sine,
            m_b,
            scratch[_M_KPI + i],
            m_k,
            m_pi,
            m_l,
        )
        _set_three(scratch, _OUT + i, k)
        _set_three(scratch, _OUT + 3 * STRIDE + i, pi)
        _set_three(scratch, _OUT + 6 * STRIDE + i, lp)
        _set_three(scratch, _OUT + 9 * STRIDE + i, lm)


@inner
def _scalar_decays(scratch: Any, signs: Any, masses: Any) -> None:
    """K, l+, l- in the B frame, the kaon along z."""
    wide_vectors()
    m_b, m_k, m_l = masses[0], masses[1], masses[2]
    l0, l1 = signs[0], signs[1]
    for i in range(BLOCK):
        cos_l = (l0 + l1 * scratch[_FLAVOUR + i]) * scratch[_COS_L + i]
        k, lp, lm = scalar_decay(np.float64, scratch[_Q2 + i], cos_l, m_b, m_k, m_l)
        _set_three(scratch, _OUT + i, k)
        _set_three(scratch, _OUT + 3 * STRIDE + i, lp)
        _set_three(scratch, _OUT + 6 * STRIDE + i, lm)


@scalar
def _move(scratch: Any, i: Any, column: Any, turn: Any, mass: Any, parent: Any, m_b: Any) -> None:
    """Turn a particle and boost it with the B."""
    _set_three(scratch, column + i, boost(rotate(turn, _three(scratch, column + i)), mass, parent, m_b))


# with a loop over the particles their columns would not be constants, and LLVM would keep the physics scalar
@inner
def _move_three(scratch: Any, masses: Any) -> None:
    """Move K, l+, l- to the laboratory."""
    wide_vectors()
    m_b, m_k, m_l = masses[0], masses[1], masses[2]
    for i in range(BLOCK):
        turn = orientation(
            np.float64, scratch[_UNIFORM + i], scratch[_UNIFORM + STRIDE + i], scratch[_UNIFORM + 2 * STRIDE + i]
        )
        parent = _three(scratch, _PARENT + i)
        _move(scratch, i, _OUT, turn, m_k, parent, m_b)
        _move(scratch, i, _OUT + 3 * STRIDE, turn, m_l, parent, m_b)
        _move(scratch, i, _OUT + 6 * STRIDE, turn, m_l, parent, m_b)


@inner
def _move_four(scratch: Any, masses: Any) -> None:
    """Move K, pi, l+, l- to the laboratory."""
    wide_vectors()
    m_b, m_k, m_pi, m_l = masses[0], masses[1], masses[2], masses[3]
    for i in range(BLOCK):
        turn = orientation(
            np.float64, scratch[_UNIFORM + i], scratch[_UNIFORM + STRIDE + i], scratch[_UNIFORM + 2 * STRIDE + i]
        )
        parent = _three(scratch, _PARENT + i)
        _move(scratch, i, _OUT, turn, m_k, parent, m_b)
        _move(scratch, i, _OUT + 3 * STRIDE, turn, m_pi, parent, m_b)
        _move(scratch, i, _OUT + 6 * STRIDE, turn, m_l, parent, m_b)
        _move(scratch, i, _OUT + 9 * STRIDE, turn, m_l, parent, m_b)


@scalar
def _load(scratch: Any, column: Any, source: Any, first: Any, n: Any) -> None:
    """Copy events to a column, the last one again in the lanes that are left."""
    start, to = np.uintp(first), np.uintp(column)
    for i in range(np.uintp(n)):
        scratch[to + i] = source[start + i]
    for i in range(np.uintp(n), np.uintp(BLOCK)):
        scratch[to + i] = source[start + np.uintp(n - 1)]


@kernel
def vector_momenta(
    start: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    q2: Any,
    cos_k: Any,
    cos_l: Any,
    phi: Any,
    flavour: Any,
    m_kpi: Any,
    signs: Any,
    masses: Any,
    moving: Any,
    kind: Any,
    constants: Any,
    cells: Any,
    alias: Any,
    out: Any,
) -> None:
    """B, K, pi, l+, l- of every event into rows of three of ``out``; ``m_kpi`` may have one entry for all."""
    scratch = np.empty(_COLUMNS * STRIDE)
    for first in range(0, q2.size, BLOCK):
        n = min(BLOCK, q2.size - first)
        _load(scratch, _Q2, q2, first, n)
        _load(scratch, _COS_K, cos_k, first, n)
        _load(scratch, _COS_L, cos_l, first, n)
        _load(scratch, _PHI, phi, first, n)
        _load(scratch, _FLAVOUR, flavour, first, n)
        if m_kpi.size > 1:
            _load(scratch, _M_KPI, m_kpi, first, n)
        else:
            scratch[_M_KPI : _M_KPI + BLOCK] = m_kpi[0]
        _vector_decays(scratch, signs, masses)
        _finish(scratch, start + first, stream, k0, k1, masses, 4, moving, kind, constants, cells, alias, out, first, n)


@kernel
def scalar_momenta(
    start: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    q2: Any,
    cos_l: Any,
    flavour: Any,
    m_kpi: Any,
    signs: Any,
    masses: Any,
    moving: Any,
    kind: Any,
    constants: Any,
    cells: Any,
    alias: Any,
    out: Any,
) -> None:
    """B, K, l+, l- of every event into rows of three of ``out``."""
    scratch = np.empty(_COLUMNS * STRIDE)
    for first in range(0, q2.size, BLOCK):
        n = min(BLOCK, q2.size - first)
        _load(scratch, _Q2, q2, first, n)
        _load(scratch, _COS_L, cos_l, first, n)
        _load(scratch, _FLAVOUR, flavour, first, n)
        _scalar_decays(scratch, signs, masses)
        _finish(scratch, start + first, stream, k0, k1, masses, 3, moving, kind, constants, cells, alias, out, first, n)


@inner
def _finish(
    scratch: Any,
    event: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    masses: Any,
    particles: Any,
    moving: Any,
    kind: Any,
    constants: Any,
    cells: Any,
    alias: Any,
    out: Any,
    first: Any,
    n: Any,
) -> None:
    """Move a block's decays to the laboratory and copy them out."""
    if moving:
        _uniforms(scratch, event, stream, k0, k1)
        _parents(scratch, kind, constants, cells, alias, masses[0])
        if particles == 4:
            _move_four(scratch, masses)
        else:
            _move_three(scratch, masses)
    else:
        scratch[_PARENT:_OUT] = 0.0
    for row in range(3 + 3 * particles):
        column = _PARENT + row * STRIDE
        start, source = np.uintp(first), np.uintp(column)
        for i in range(np.uintp(n)):
            out[row, start + i] = scratch[source + i]


LOOPS: Mapping[int, Callable[..., None]] = MappingProxyType({0: scalar_momenta, 1: vector_momenta})
"""The loop for each spin of the hadron."""
