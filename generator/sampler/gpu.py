"""CUDA kernels over the functions of one event that the CPU uses too. Imported only where a GPU is asked for.

A thread makes whole events, one after the other at the distance of the grid; words and row stay in registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import cuda

from ...kinematics.trig import double_precision
from .event import (
    CALL,
    KPI_LOW,
    KPI_ROW,
    MASS_ROW,
    SCALAR_LOW,
    SCALAR_ROW,
    VECTOR_LOW,
    VECTOR_ROW,
    kpi_event,
    kpi_place,
    kpi_words,
    quad,
    scalar_event,
    scalar_words,
    vector_event,
    vector_words,
)
from .rng import pick_entry

THREADS = 128  # of a CUDA block
BLOCKS_MAX = 4096  # of a grid; a thread then makes several events


def vector_kernel(
    start: Any,
    n: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    thresholds_and_aliases: Any,
    rows: Any,
    q2: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    flavour: Any,
) -> None:
    """Events ``start`` to ``start + n`` of a vector table."""
    real = rows.dtype.type
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        event = np.uint64(start + i)
        low, high = np.uint32(event), np.uint32(event >> np.uint64(32))
        w = vector_words(low, high, stream, k0, k1, np.uint32(CALL))
        v = vector_words(low, high, stream, k0, k1, np.uint32(VECTOR_LOW)) if double_precision(real) else w
        k = np.intp(pick_entry(w[0], thresholds_and_aliases)) * VECTOR_ROW
        row = quad(rows, k, 1) + quad(rows, k + 4, 1) + quad(rows, k + 8, 1) + quad(rows, k + 12, 1)
        q2[i], cos_theta_k[i], cos_theta_l[i], phi[i], flavour[i] = vector_event(real, w, v, row)


def scalar_kernel(
    start: Any,
    n: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    thresholds_and_aliases: Any,
    rows: Any,
    q2: Any,
    cos_theta_l: Any,
    flavour: Any,
) -> None:
    """Events ``start`` to ``start + n`` of a scalar table."""
    real = rows.dtype.type
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        event = np.uint64(start + i)
        low, high = np.uint32(event), np.uint32(event >> np.uint64(32))
        w = scalar_words(low, high, stream, k0, k1, np.uint32(CALL))
        v = scalar_words(low, high, stream, k0, k1, np.uint32(SCALAR_LOW)) if double_precision(real) else w
        k = np.intp(pick_entry(w[0], thresholds_and_aliases)) * SCALAR_ROW
        row = quad(rows, k, 1) + quad(rows, k + 4, 1)
        q2[i], cos_theta_l[i], flavour[i] = scalar_event(real, w, v, row)


def kpi_kernel(
    start: Any,
    n: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    thresholds_and_aliases: Any,
    rows: Any,
    places: Any,
    mass_entries: Any,
    mass_rows: Any,
    q2: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    m_kpi: Any,
    flavour: Any,
) -> None:
    """Events ``start`` to ``start + n`` of a table in q2 and the Kpi mass."""
    real = rows.dtype.type
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        event = np.uint64(start + i)
        low, high = np.uint32(event), np.uint32(event >> np.uint64(32))
        w = kpi_words(low, high, stream, k0, k1, np.uint32(CALL))
        v = kpi_words(low, high, stream, k0, k1, np.uint32(KPI_LOW)) if double_precision(real) else w
        entry = np.uint32(pick_entry(w[0], thresholds_and_aliases))
        mass_row, flavour[i] = kpi_place(entry, w[12], places, mass_entries)
        k, j = np.intp(entry >> np.uint32(1)) * KPI_ROW, np.intp(mass_row) * MASS_ROW
        row = (
            quad(rows, k, 1)
            + quad(rows, k + 4, 1)
            + quad(rows, k + 8, 1)
            + quad(rows, k + 12, 1)
            + quad(rows, k + 16, 1)
            + quad(rows, k + 20, 1)
            + quad(rows, k + 24, 1)
            + quad(rows, k + 28, 1)
        )
        mass = quad(mass_rows, j, 1) + quad(mass_rows, j + 4, 1) + quad(mass_rows, j + 8, 1)
        q2[i], cos_theta_k[i], cos_theta_l[i], phi[i], m_kpi[i] = kpi_event(real, w, v, row, mass)


KERNELS: Mapping[str, Any] = MappingProxyType({"vector": vector_kernel, "scalar": scalar_kernel, "kpi": kpi_kernel})
_COMPILED: Mapping[str, Any] = MappingProxyType({kind: cuda.jit(kernel) for kind, kernel in KERNELS.items()})


def launch(
    kind: str,
    start: int,
    stop: int,
    stream: np.uint32,
    key: tuple[np.uint32, np.uint32],
    read: tuple[Any, ...],
    columns: tuple[Any, ...],
) -> None:
    """Fill columns on the device with events ``start`` to ``stop``; ``read`` are the table's `arrays`.

    Arrays are anything with ``__cuda_array_interface__`` (CuPy), or NumPy arrays under Numba's CUDA
    simulator.
    """
    n = stop - start
    if n:
        blocks = min((n + THREADS - 1) // THREADS, BLOCKS_MAX)
        _COMPILED[kind][blocks, THREADS](start, n, stream, *key, *read, *columns)
