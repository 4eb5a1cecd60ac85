"""Loops of the CPU over blocks of events: random words, table rows, physics.

Three passes over a block that stays in the cache: random words (64-bit products), table rows (memory) and
physics (floating point) each vectorise by themselves, together they do not. The scratch of a pass is one flat
array with constant offsets: with many arrays LLVM gives up on its alias checks and the physics stays scalar.
Blocks are small: their scratch stays in the first-level cache, and the stores of one block drain while the
next is computed.

Blocks are aligned to the absolute number of the event, always computed whole, and what was asked for is
copied out of them: which lane of a vector an event falls into, and thereby its last bit, never depends on the
request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.jit import inner, kernel, scalar, wide_vectors
from ...kinematics.trig import double_precision
from .event import (
    CALL,
    KPI_LOW,
    KPI_ROW,
    KPI_WORDS,
    MASS_ROW,
    SCALAR_LOW,
    SCALAR_ROW,
    SCALAR_WORDS,
    VECTOR_LOW,
    VECTOR_ROW,
    VECTOR_WORDS,
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

BLOCK = 64
"""Events of a block; a power of two, so that a block never crosses the counter's low word."""
STRIDE = BLOCK + 16
"""Of scratch columns: a power of two would put them all into the same sets of the cache."""
_QUAD = 4 * STRIDE


@scalar
def _put(a: Any, i: Any, step: Any, values: Any) -> None:
    a[i], a[i + step], a[i + 2 * step], a[i + 3 * step] = values


@inner
def _vector_words(words: Any, double: Any, low: Any, high: Any, stream: Any, k0: Any, k1: Any) -> None:
    """Columns of random words of one block: twelve, and twelve more in double precision."""
    wide_vectors()
    for part in range(2 if double else 1):
        column = part * VECTOR_WORDS * STRIDE
        call = np.uint32(VECTOR_LOW if part else CALL)
        for i in range(BLOCK):
            k = column + i
            w = vector_words(np.uint32(low + np.uint32(i)), high, stream, k0, k1, call)
            _put(words, k, STRIDE, w[0:4])
            _put(words, k + 4 * STRIDE, STRIDE, w[4:8])
            _put(words, k + 8 * STRIDE, STRIDE, w[8:12])


@inner
def _scalar_words(words: Any, double: Any, low: Any, high: Any, stream: Any, k0: Any, k1: Any) -> None:
    """Columns of random words of one block: eight, and eight more in double precision."""
    wide_vectors()
    for part in range(2 if double else 1):
        column = part * SCALAR_WORDS * STRIDE
        call = np.uint32(SCALAR_LOW if part else CALL)
        for i in range(BLOCK):
            k = column + i
            w = scalar_words(np.uint32(low + np.uint32(i)), high, stream, k0, k1, call)
            _put(words, k, STRIDE, w[0:4])
            _put(words, k + 4 * STRIDE, STRIDE, w[4:8])


@inner
def _kpi_words(words: Any, double: Any, low: Any, high: Any, stream: Any, k0: Any, k1: Any) -> None:
    """Columns of random words of one block: sixteen, and sixteen more in double precision."""
    wide_vectors()
    for part in range(2 if double else 1):
        column = part * KPI_WORDS * STRIDE
        call = np.uint32(KPI_LOW if part else CALL)
        for i in range(BLOCK):
            k = column + i
            w = kpi_words(np.uint32(low + np.uint32(i)), high, stream, k0, k1, call)
            _put(words, k, STRIDE, w[0:4])
            _put(words, k + 4 * STRIDE, STRIDE, w[4:8])
            _put(words, k + 8 * STRIDE, STRIDE, w[8:12])
            _put(words, k + 12 * STRIDE, STRIDE, w[12:16])


@scalar
def _entries(words: Any, thresholds_and_aliases: Any) -> None:
    """Replace the first word of each event by the node it stands for."""
    for i in range(BLOCK):
        words[i] = np.uint32(pick_entry(words[i], thresholds_and_aliases))


# The rows of a block go to scratch in quads: four neighbouring columns of an event together, the quads of one
# kind of all events after each other. Sixteen separate columns would cost sixteen stores an event, and whole
# rows more shuffles in the physics than quads, which the vector loop takes apart four by four.
@inner
def _vector_rows(words: Any, thresholds_and_aliases: Any, rows: Any, scratch: Any) -> None:
    """Rows of the block's nodes into scratch, in four quads."""
    _entries(words, thresholds_and_aliases)
    for i in range(BLOCK):
        j, k = VECTOR_ROW * np.intp(words[i]), 4 * i
        quad0, quad1 = quad(rows, j, 1), quad(rows, j + 4, 1)
        quad2, quad3 = quad(rows, j + 8, 1), quad(rows, j + 12, 1)
        _put(scratch, k, 1, quad0)
        _put(scratch, k + _QUAD, 1, quad1)
        _put(scratch, k + 2 * _QUAD, 1, quad2)
        _put(scratch, k + 3 * _QUAD, 1, quad3)


@inner
def _scalar_rows(words: Any, thresholds_and_aliases: Any, rows: Any, scratch: Any) -> None:
    """Rows of the block's nodes into scratch, in two quads."""
    _entries(words, thresholds_and_aliases)
    for i in range(BLOCK):
        j, k = SCALAR_ROW * np.intp(words[i]), 4 * i
        quad0, quad1 = quad(rows, j, 1), quad(rows, j + 4, 1)
        _put(scratch, k, 1, quad0)
        _put(scratch, k + _QUAD, 1, quad1)


# one pass for each load that waits for another one: more events are then under way at a time
@inner
def _kpi_rows(
    words: Any, thresholds_and_aliases: Any, rows: Any, places: Any, mass_entries: Any, mass_rows: Any, scratch: Any
) -> None:
    """Rows of the block's nodes into scratch, in eight quads, those of their masses in three, and the flavours."""
    o = (KPI_ROW + MASS_ROW + 5) * STRIDE
    _entries(words, thresholds_and_aliases)
    for i in range(BLOCK):
        mass_row, flavour = kpi_place(words[i], words[12 * STRIDE + i], places, mass_entries)
        words[12 * STRIDE + i] = np.uint32(mass_row)
        scratch[o + i] = flavour
    for i in range(BLOCK):
        j, m, k = KPI_ROW * np.intp(words[i] >> np.uint32(1)), MASS_ROW * np.intp(words[12 * STRIDE + i]), 4 * i
        for part in range(8):
            _put(scratch, k + part * _QUAD, 1, quad(rows, j + 4 * part, 1))
        for part in range(3):
            _put(scratch, k + (8 + part) * _QUAD, 1, quad(mass_rows, m + 4 * part, 1))


@inner
def _kpi_physics(words: Any, scratch: Any) -> None:
    """Columns of q2, cos K, cos L, phi and Kpi mass behind the block's rows, before the flavours."""
    wide_vectors()
    real = scratch.dtype.type
    o = (KPI_ROW + MASS_ROW) * STRIDE
    for i in range(BLOCK):
        j, k = i + KPI_WORDS * STRIDE, 4 * i
        w = (
            quad(words, i, STRIDE)
            + quad(words, i + _QUAD, STRIDE)
            + quad(words, i + 2 * _QUAD, STRIDE)
            + quad(words, i + 3 * _QUAD, STRIDE)
        )
        v = (
            quad(words, j, STRIDE)
            + quad(words, j + _QUAD, STRIDE)
            + quad(words, j + 2 * _QUAD, STRIDE)
            + quad(words, j + 3 * _QUAD, STRIDE)
        )
        row = (
            quad(scratch, k, 1)
            + quad(scratch, k + _QUAD, 1)
            + quad(scratch, k + 2 * _QUAD, 1)
            + quad(scratch, k + 3 * _QUAD, 1)
            + quad(scratch, k + 4 * _QUAD, 1)
            + quad(scratch, k + 5 * _QUAD, 1)
            + quad(scratch, k + 6 * _QUAD, 1)
            + quad(scratch, k + 7 * _QUAD, 1)
        )
        mass = quad(scratch, k + 8 * _QUAD, 1) + quad(scratch, k + 9 * _QUAD, 1) + quad(scratch, k + 10 * _QUAD, 1)
        q2, cos_theta_k, cos_theta_l, phi, m_kpi = kpi_event(real, w, v, row, mass)
        _put(scratch, o + i, STRIDE, (q2, cos_theta_k, cos_theta_l, phi))
        scratch[o + 4 * STRIDE + i] = m_kpi


@inner
def _vector_physics(words: Any, scratch: Any) -> None:
    """Columns of q2, cos K, cos L, phi and flavour behind the block's rows."""
    wide_vectors()
    real = scratch.dtype.type
    o = VECTOR_ROW * STRIDE
    for i in range(BLOCK):
        j, k = i + VECTOR_WORDS * STRIDE, 4 * i
        w = quad(words, i, STRIDE) + quad(words, i + _QUAD, STRIDE) + quad(words, i + 2 * _QUAD, STRIDE)
        v = quad(words, j, STRIDE) + quad(words, j + _QUAD, STRIDE) + quad(words, j + 2 * _QUAD, STRIDE)
        row = (
            quad(scratch, k, 1)
            + quad(scratch, k + _QUAD, 1)
            + quad(scratch, k + 2 * _QUAD, 1)
            + quad(scratch, k + 3 * _QUAD, 1)
        )
        q2, cos_theta_k, cos_theta_l, phi, flavour = vector_event(real, w, v, row)
        _put(scratch, o + i, STRIDE, (q2, cos_theta_k, cos_theta_l, phi))
        scratch[o + 4 * STRIDE + i] = flavour


@inner
def _scalar_physics(words: Any, scratch: Any) -> None:
    """Columns of q2, cos L and flavour behind the block's rows."""
    wide_vectors()
    real = scratch.dtype.type
    o = SCALAR_ROW * STRIDE
    for i in range(BLOCK):
        j, k = i + SCALAR_WORDS * STRIDE, 4 * i
        w = quad(words, i, STRIDE) + quad(words, i + _QUAD, STRIDE)
        v = quad(words, j, STRIDE) + quad(words, j + _QUAD, STRIDE)
        row = quad(scratch, k, 1) + quad(scratch, k + _QUAD, 1)
        scratch[o + i], scratch[o + STRIDE + i], scratch[o + 2 * STRIDE + i] = scalar_event(real, w, v, row)


@scalar
def _copy(target: Any, first: Any, scratch: Any, column: Any, low: Any, high: Any) -> None:
    """Copy scratch[column + low ... column + high] to target[first ...].

    Unsigned indices: Numba would look for negative ones otherwise, element by element.
    """
    to, source = np.uintp(first), np.uintp(column + low)
    for i in range(np.uintp(high - low)):
        target[to + i] = scratch[source + i]


def _vector_range(
    start: Any,
    stop: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    thresholds_and_aliases: Any,
    rows: Any,
    origin: Any,
    q2: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    flavour: Any,
) -> None:
    """Events ``start`` to ``stop`` of a vector table into columns whose first row is event ``origin``."""
    wide_vectors()
    scratch = np.empty((VECTOR_ROW + 5) * STRIDE, dtype=rows.dtype)
    words = np.empty(2 * VECTOR_WORDS * STRIDE, dtype=np.uint32)
    double = double_precision(rows.dtype.type)
    o = VECTOR_ROW * STRIDE
    for block in range(start // BLOCK, (stop + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        _vector_words(words, double, np.uint32(first & 0xFFFFFFFF), np.uint32(first >> 32), stream, k0, k1)
        _vector_rows(words, thresholds_and_aliases, rows, scratch)
        _vector_physics(words, scratch)
        low, high = max(start - first, 0), min(stop - first, BLOCK)
        target = first + low - origin
        _copy(q2, target, scratch, o, low, high)
        _copy(cos_theta_k, target, scratch, o + STRIDE, low, high)
        _copy(cos_theta_l, target, scratch, o + 2 * STRIDE, low, high)
        _copy(phi, target, scratch, o + 3 * STRIDE, low, high)
        _copy(flavour, target, scratch, o + 4 * STRIDE, low, high)


def _scalar_range(
    start: Any,
    stop: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    thresholds_and_aliases: Any,
    rows: Any,
    origin: Any,
    q2: Any,
    cos_theta_l: Any,
    flavour: Any,
) -> None:
    """Events ``start`` to ``stop`` of a scalar table into columns whose first row is event ``origin``."""
    wide_vectors()
    scratch = np.empty((SCALAR_ROW + 3) * STRIDE, dtype=rows.dtype)
    words = np.empty(2 * SCALAR_WORDS * STRIDE, dtype=np.uint32)
    double = double_precision(rows.dtype.type)
    o = SCALAR_ROW * STRIDE
    for block in range(start // BLOCK, (stop + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        _scalar_words(words, double, np.uint32(first & 0xFFFFFFFF), np.uint32(first >> 32), stream, k0, k1)
        _scalar_rows(words, thresholds_and_aliases, rows, scratch)
        _scalar_physics(words, scratch)
        low, high = max(start - first, 0), min(stop - first, BLOCK)
        target = first + low - origin
        _copy(q2, target, scratch, o, low, high)
        _copy(cos_theta_l, target, scratch, o + STRIDE, low, high)
        _copy(flavour, target, scratch, o + 2 * STRIDE, low, high)


def _kpi_range(
    start: Any,
    stop: Any,
    stream: Any,
    k0: Any,
    k1: Any,
    thresholds_and_aliases: Any,
    rows: Any,
    places: Any,
    mass_entries: Any,
    mass_rows: Any,
    origin: Any,
    q2: Any,
    cos_theta_k: Any,
    cos_theta_l: Any,
    phi: Any,
    m_kpi: Any,
    flavour: Any,
) -> None:
    """Events ``start`` to ``stop`` of a table in q2 and the Kpi mass into columns whose first row is ``origin``."""
    wide_vectors()
    scratch = np.empty((KPI_ROW + MASS_ROW + 6) * STRIDE, dtype=rows.dtype)
    words = np.empty(2 * KPI_WORDS * STRIDE, dtype=np.uint32)
    double = double_precision(rows.dtype.type)
    o = (KPI_ROW + MASS_ROW) * STRIDE
    for block in range(start // BLOCK, (stop + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        _kpi_words(words, double, np.uint32(first & 0xFFFFFFFF), np.uint32(first >> 32), stream, k0, k1)
        _kpi_rows(words, thresholds_and_aliases, rows, places, mass_entries, mass_rows, scratch)
        _kpi_physics(words, scratch)
        low, high = max(start - first, 0), min(stop - first, BLOCK)
        target = first + low - origin
        _copy(q2, target, scratch, o, low, high)
        _copy(cos_theta_k, target, scratch, o + STRIDE, low, high)
        _copy(cos_theta_l, target, scratch, o + 2 * STRIDE, low, high)
        _copy(phi, target, scratch, o + 3 * STRIDE, low, high)
        _copy(m_kpi, target, scratch, o + 4 * STRIDE, low, high)
        _copy(flavour, target, scratch, o + 5 * STRIDE, low, high)


RANGES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {"vector": kernel(_vector_range), "scalar": kernel(_scalar_range), "kpi": kernel(_kpi_range)}
)
"""The loops by the kind of their table, as Python calls them."""

vector_range, scalar_range = inner(_vector_range), inner(_scalar_range)
"""The same for other loops to call."""
