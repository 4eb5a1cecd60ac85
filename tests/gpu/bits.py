"""What kernels of momenta, resolution, uniforms and counts make, on the CPU and through CuPy: to compare bit by bit.

DARKPENGUIN_CONTRACTION=off python tests/gpu/bits.py EVENTS FILE.npz
"""

import hashlib
import json
import sys

import numpy as np
from darkpenguin.generator.lab import smearing_gpu
from darkpenguin.generator.lab.momenta import momenta
from darkpenguin.generator.lab.radiation import radiate
from darkpenguin.generator.lab.settings import ResolutionSettings
from darkpenguin.generator.lab.smearing import Smearing, smear
from darkpenguin.generator.lab.stages import Place
from darkpenguin.generator.sampler import gpu, rng
from darkpenguin.generator.statistics.draws import draw_poisson
from darkpenguin.generator.toys.gpu import poisson_counts
from darkpenguin.physics.channels import get_channel

SEED, STREAM, START = 7 + (3 << 32), 9, np.uint64((1 << 32) - 1000)
TABLE = {"kind": "histogram", "pt_edges": [0, 2, 9], "eta_edges": [2, 3, 5], "weights": [[1, 2], [3, 4]]}
BEAMS = {"none": None, "rest": "rest", "belle2": "belle2", "lhcb": "lhcb-13tev", "cells": TABLE}
CHANNELS = {"vector": "B0->K*0mumu", "scalar": "B+->K+ee"}
MEANS = np.array([0.0, 0.5, 3.0, 9.9, 10.1, 55.0, 4000.0])


def columns(n, precision):
    """Columns of events, whose angles are anything."""
    found, real = np.random.default_rng(5), np.dtype(precision).type
    ends = {"q2": (0.1, 18.0), "cos_theta_k": (-1, 1), "cos_theta_l": (-1, 1), "phi": (-np.pi, np.pi)}
    rows = {name: found.uniform(*pair, n).astype(real) for name, pair in ends.items()}
    return rows | {"flavour": found.choice(np.array([-1, 1], np.int32), n)}


def momenta_of(library, n):
    """Names and arrays of momenta of ``n`` events behind each beam."""
    for kind, name in CHANNELS.items():
        channel = get_channel(name)
        for precision in ("float32", "float64"):
            read = ("q2", *channel.angles, "flavour")
            there = {name: library.asarray(row) for name, row in columns(n, precision).items() if name in read}
            for beam, value in BEAMS.items():
                rows = momenta(channel, there, beam=value, seed=SEED, start=int(START), precision=precision)
                yield f"{kind} {precision} {beam}", library.stack(list(rows.values()))


def resolution_of(library, n):
    """The same of smeared momenta, for either lepton."""
    numbers = START + np.arange(n, dtype=np.uint64)
    rows = np.random.default_rng(1).normal(0, 5, (9, n))
    for lepton in ("mu", "e"):
        smearing = Smearing.of(ResolutionSettings(preset="lhcb"), lepton)
        work = smear if library is np else smearing_gpu.smear
        masses = np.array([0.494, 0.1, 0.1])
        arrays = work(library.asarray(rows), masses, smearing, SEED, STREAM, library.asarray(numbers))
        yield from ((f"{lepton} {i}", array) for i, array in enumerate(arrays))


def radiation_of(library, n):
    """The same of q2 and momenta of leptons that radiated, and of their photons."""
    known = np.random.default_rng(2)
    q2, leptons = known.uniform(0.1, 18.0, n), known.normal(0, 5, (6, n))
    numbers = library.asarray(START + np.arange(n, dtype=np.uint64))
    for precision in ("float32", "float64"):
        rows = [library.asarray(row.astype(precision)) for row in (q2, *leptons)]
        yield f"radiation {precision}", radiate(rows[0], rows[1:], numbers, Place(get_channel("B+->K+ee"), SEED))


def uniforms_of(library, n):
    """The same of uniform numbers of stages."""
    work = rng.event_uniforms if library is np else gpu.event_uniforms
    yield "uniforms", work(library.asarray(START + np.arange(n, dtype=np.uint64)), SEED, STREAM, 20)


def counts_of(library, n):
    """Counts of ``n`` toys."""
    if library is np:
        return draw_poisson(MEANS, seed=SEED, start=int(START), stop=int(START) + n)
    return poisson_counts(MEANS, n, seed=SEED, start=int(START)).get()


def digest(array):
    """SHA-256 of an array, NumPy's or CuPy's."""
    return hashlib.sha256(np.ascontiguousarray(array.get() if hasattr(array, "get") else array).tobytes()).hexdigest()


def digests(library, n):
    """SHA-256 by name: of a million events of each kernel and precision where n is that."""
    parts = (momenta_of(library, n // 5), resolution_of(library, n), radiation_of(library, n), uniforms_of(library, n))
    return {name: digest(array) for part in parts for name, array in part}


if __name__ == "__main__":
    from darkpenguin.kinematics.base import jit

    assert not jit.CONTRACTION
    N = int(sys.argv[1])
    np.savez(sys.argv[2], digests=json.dumps(digests(np, N)), counts=counts_of(np, N // 5))
