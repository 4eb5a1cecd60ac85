"""Events on a CUDA device: kernels over the functions of one event that the CPU uses too.

A thread makes whole events, one after the other at the distance of the grid; words and row stay in registers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.cuda import REAL, Program, sized
from ...kinematics.base.optional import optional
from ...kinematics.trig import double_precision
from . import event
from .rng import counter_words, philox, pick_entry, uniform

PROGRAM = Program(
    Path(__file__).with_name("kernels.cu"),
    (
        double_precision,
        philox,
        uniform,
        pick_entry,
        *(event.vector_words, event.scalar_words, event.kpi_words),
        *(event.kpi_place, event.vector_event, event.scalar_event, event.kpi_event),
    ),
    {
        name: getattr(event, name)
        for name in ("CALL", "VECTOR_LOW", "SCALAR_LOW", "KPI_LOW", "VECTOR_ROW", "SCALAR_ROW", "KPI_ROW", "MASS_ROW")
    },
)
"""Kernels of events: ``vector_kernel<float>`` and so on, a kind and a type."""
KINDS = ("vector", "scalar", "kpi")
"""Kinds of tables that have a kernel."""


def launch(
    kind: str,
    precision: str,
    start: int,
    stop: int,
    stream: np.uint32,
    key: tuple[np.uint32, np.uint32],
    read: tuple[Any, ...],
    columns: tuple[Any, ...],
) -> None:
    """Fill columns on the device with events ``start`` to ``stop``; ``read`` are the table's `arrays` there."""
    n = stop - start
    PROGRAM.launch(
        f"{kind}_kernel<{REAL[precision]}>", n, np.int64(start), np.int64(n), stream, *key, *sized(*read), *columns
    )


def event_uniforms(numbers: Any, seed: int, stream: int, call: int, first: int = 0) -> Any:
    """`rng.event_uniforms` of the events numbered ``numbers`` minus ``first``, on their device; shape (2, n)."""
    cupy = optional("cupy", "device = 'gpu'")
    (k0, k1), word = counter_words(seed, stream, 0, 1)
    events = cupy.ascontiguousarray(numbers, dtype=np.uint64)
    out = cupy.empty((2, events.size), dtype=np.float64)
    where = (np.uint64(first), np.uint32(call), word, k0, k1)
    PROGRAM.launch("uniforms_kernel", events.size, events, np.int64(events.size), *where, out)
    return out
