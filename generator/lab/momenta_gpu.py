"""CUDA kernel that turns angles into momenta, over the functions of one event that `momenta_loops` uses too.

Imported only where the events are on a GPU. A thread makes whole events; float64 inside, the columns' type outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import cuda

from ...kinematics.base.jit import scalar
from ...kinematics.beams import cell_momentum, proton_momentum, upsilon_momentum
from ...kinematics.frames import boost, orientation, rotate, scalar_decay, vector_decay
from ...kinematics.trig import circle
from ..sampler.gpu import BLOCKS_MAX, THREADS
from ..sampler.rng import philox, pick_entry, uniform
from .momenta_cpu import CALL, CELLS, PROTON, UPSILON


@scalar
def _two_uniforms(event: Any, call: Any, stream: Any, k0: Any, k1: Any) -> tuple[Any, Any]:
    low, high = np.uint32(event & np.uint64(0xFFFFFFFF)), np.uint32(event >> np.uint64(32))
    a, b, c, d = philox(low, high, np.uint32(CALL + call), stream, k0, k1)
    return uniform(np.float64, a, b), uniform(np.float64, c, d)


@scalar
def _parent(kind: Any, u3: Any, u4: Any, u5: Any, u6: Any, u7: Any, c: Any, cells: Any, alias: Any, m_b: Any) -> Any:
    """Momentum of the B in the laboratory, from uniforms 3 to 7."""
    if kind == UPSILON:
        return upsilon_momentum(np.float64, u3, u4, u5, u6, u7, m_b, cells, (c[0], c[1], c[2], c[3], c[4]))
    if kind == PROTON:
        return proton_momentum(np.float64, u3, u4, u5, m_b, (c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]))
    if kind == CELLS:
        j = 4 * np.intp(pick_entry(np.uint32(u6 * 4294967296.0), alias))
        cell = (cells[j], cells[j + 1], cells[j + 2], cells[j + 3])
        return cell_momentum(np.float64, u3, u4, u5, cell, c[0])
    return (0.0, 0.0, 0.0)


@scalar
def _put(out: Any, row: Any, i: Any, p: Any) -> None:
    out[row, i], out[row + 1, i], out[row + 2, i] = p


@scalar
def _finish(
    event: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    decay: Any,
    masses: Any,
    moving: Any,
    kind: Any,
    constants: Any,
    cells: Any,
    alias: Any,
    out: Any,
    i: Any,
) -> None:
    """Move a decay to the laboratory and write it, the B first; ``masses`` are those of B and daughters."""
    if not moving:
        _put(out, 0, i, (0.0, 0.0, 0.0))
        for k in range(len(decay)):
            _put(out, 3 * (k + 1), i, decay[k])
        return
    u0, u1 = _two_uniforms(event, 0, stream, k0, k1)
    u2, u3 = _two_uniforms(event, 1, stream, k0, k1)
    u4, u5 = _two_uniforms(event, 2, stream, k0, k1)
    u6, u7 = _two_uniforms(event, 3, stream, k0, k1)
    turn = orientation(np.float64, u0, u1, u2)
    parent = _parent(kind, u3, u4, u5, u6, u7, constants, cells, alias, masses[0])
    _put(out, 0, i, parent)
    for k in range(len(decay)):
        _put(out, 3 * (k + 1), i, boost(rotate(turn, decay[k]), masses[k + 1], parent, masses[0]))


def vector_kernel(
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
    m = (masses[0], masses[1], masses[2], masses[3], masses[4])
    l0, l1, c0, c1, s0, s1 = signs[0], signs[1], signs[2], signs[3], signs[4], signs[5]
    for i in range(cuda.grid(1), q2.size, cuda.gridsize(1)):
        f = np.float64(flavour[i])
        sine, cosine = circle(np.float64, np.float64(phi[i]) * 0.15915494309189535)
        mass = np.float64(m_kpi[i if m_kpi.size > 1 else 0])
        decay = vector_decay(
            np.float64,
            np.float64(q2[i]),
            np.float64(cos_k[i]),
            (l0 + l1 * f) * np.float64(cos_l[i]),
            (c0 + c1 * f) * cosine,
            (s0 + s1 * f) * sine,
            m[0],
            mass,
            m[1],
            m[2],
            m[3],
        )
        _finish(np.uint64(start + i), stream, k0, k1, decay, m, moving, kind, constants, cells, alias, out, i)


def scalar_kernel(
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
    m = (masses[0], masses[1], masses[2], masses[3])
    l0, l1 = signs[0], signs[1]
    for i in range(cuda.grid(1), q2.size, cuda.gridsize(1)):
        cosine = (l0 + l1 * np.float64(flavour[i])) * np.float64(cos_l[i])
        decay = scalar_decay(np.float64, np.float64(q2[i]), cosine, m[0], m[1], m[2])
        _finish(np.uint64(start + i), stream, k0, k1, decay, m, moving, kind, constants, cells, alias, out, i)


KERNELS: Mapping[int, Any] = MappingProxyType({0: scalar_kernel, 1: vector_kernel})
_COMPILED: Mapping[int, Any] = MappingProxyType({spin: cuda.jit(kernel) for spin, kernel in KERNELS.items()})


def launch(spin: int, *arguments: Any) -> None:
    """Fill ``out``, the last argument, on the device; all arrays are there (CuPy's, or NumPy's in the simulator)."""
    n = arguments[-1].shape[1]
    if n:
        _COMPILED[spin][min((n + THREADS - 1) // THREADS, BLOCKS_MAX), THREADS](*arguments)
