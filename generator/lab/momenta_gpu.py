"""Momenta on a CUDA device: kernels over the functions of one event that `momenta_cpu` uses too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.cuda import REAL, Program, sized
from ...kinematics.base.optional import optional
from ...kinematics.beams import cell_momentum, proton_momentum, upsilon_momentum
from ...kinematics.frames import boost, orientation, rotate, scalar_decay, vector_decay
from ...kinematics.trig import circle
from ..sampler.rng import philox, pick_entry, uniform
from .momenta_cpu import CALL, CELLS, PROTON, REST, UPSILON

PROGRAM = Program(
    Path(__file__).with_name("momenta.cu"),
    (
        *(philox, uniform, pick_entry, circle),
        *(upsilon_momentum, proton_momentum, cell_momentum),
        *(vector_decay, scalar_decay, orientation, rotate, boost),
    ),
    {"CALL": CALL, "REST": REST, "UPSILON": UPSILON, "PROTON": PROTON, "CELLS": CELLS},
)
"""Kernels of momenta: ``vector_momenta<float, double>`` and so on, types of the events and of the momenta."""
KERNELS: Mapping[int, str] = MappingProxyType({0: "scalar_momenta", 1: "vector_momenta"})
"""The kernel for each spin of the hadron."""


def launch(
    spin: int,
    start: int,
    words: tuple[np.uint32, np.uint32, np.uint32],
    angles: Sequence[Any],
    flavour: Any,
    m_kpi: Any,
    constants: tuple[Any, ...],
    out: Any,
) -> None:
    """Fill the rows of ``out`` on the device; ``words`` are stream and key, ``constants`` as `momenta_cpu` takes them.

    ``out`` may be a part of wider rows; the other arrays are contiguous.
    """
    cupy = optional("cupy", "device = 'gpu'")
    signs, masses, moving, kind, numbers, cells, alias = constants
    types = f"{REAL[angles[0].dtype.name]}, {REAL[out.dtype.name]}"
    signs, masses, numbers, cells, alias = map(cupy.asarray, (signs, masses, numbers, cells, alias))
    n = out.shape[1]
    PROGRAM.launch(
        f"{KERNELS[spin]}<{types}>",
        n,
        *(np.int64(start), np.int64(n), *words),
        *(*angles, flavour, *sized(m_kpi), signs, masses),
        *(np.bool_(moving), np.int64(kind), numbers, *sized(cells, alias)),
        *(out, np.int64(out.strides[0] // out.dtype.itemsize)),
    )
