"""Radiation on a CUDA device: a kernel over the functions of one event that `radiation_cpu` uses too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.cuda import REAL, Program
from ...kinematics.photons import collinear_photons
from ...physics.radiation import photon_fraction, radiator
from ..sampler.rng import philox, uniform
from .radiation_cpu import CALL

PROGRAM = Program(
    Path(__file__).with_name("radiation.cu"),
    (philox, uniform, radiator, photon_fraction, collinear_photons),
    {"CALL": CALL},
)
"""The kernel ``radiate_kernel<float>`` or ``<double>``, the type of the columns."""


def launch(
    columns: Sequence[Any], mass: float, words: tuple[np.uint32, np.uint32, np.uint32], events: Any, out: Any
) -> None:
    """Fill the rows of ``out`` on the device from q2 and six columns of momenta, or q2 alone."""
    q2, rows, n = columns[0], columns[1:] or [columns[0]] * 6, out.shape[1]
    PROGRAM.launch(
        f"radiate_kernel<{REAL[q2.dtype.name]}>",
        n,
        *(np.int64(n), *words, q2, *rows, np.bool_(len(columns) > 1), np.float64(mass), events, out),
    )
