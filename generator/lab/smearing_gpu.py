"""Smeared momenta on a CUDA device: a kernel over the functions of one event that `smearing` uses too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.cuda import Program, sized
from ...kinematics.base.optional import optional
from ..sampler.rng import counter_words, philox, uniform
from . import smearing as cpu
from .smearing import Smearing

PROGRAM = Program(
    Path(__file__).with_name("smearing.cu"),
    (philox, uniform, cpu.gaussians, cpu.track, cpu.photon, cpu.kept_part, cpu.reconstructed),
    {"CALL": cpu.CALL, "PHOTON_CALL": cpu.PHOTON_CALL},
)
"""The kernel ``smear_kernel``, in float64."""


def smear(
    momenta: Any, masses: Any, smearing: Smearing, seed: int, stream: int, events: Any, photons: Any = cpu.NO_PHOTONS
) -> tuple[Any, Any]:
    """`smearing.smear` of momenta, photons and numbers of events on the device."""
    cupy = optional("cupy", "device = 'gpu'")
    rows, n = momenta.shape
    (k0, k1), word = counter_words(seed, stream, 0, 1)
    out, mass = cupy.empty((rows, n)), cupy.empty((3, n))
    recovers = smearing.recovers and len(photons) > 0
    read = map(cupy.asarray, (masses, smearing.numbers))
    PROGRAM.launch(
        "smear_kernel",
        n,
        *(
            cupy.ascontiguousarray(momenta),
            cupy.ascontiguousarray(cupy.asarray(photons)),
            np.bool_(recovers),
            np.int64(rows // 3 - 2),
            np.int64(n),
            *read,
        ),
        *(*sized(cupy.asarray(smearing.quantiles)), np.bool_(smearing.radiates), word, k0, k1),
        *(cupy.ascontiguousarray(events), out, mass),
    )
    return out, mass
