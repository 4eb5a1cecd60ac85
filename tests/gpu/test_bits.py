"""Without fused products on either side, kernels run on the host make the CPU's bits; those of events: `sampler`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.generator.lab import smearing_gpu
from darkpenguin.kinematics.base import cuda

HERE = Path(__file__).parent
N = 1_000_000
COUNTS = 1e-6  # of counts that may be others: another logarithm of a factorial at the edge of an acceptance


@pytest.mark.slow
def test_every_bit_is_the_same(cupy, tmp_path, monkeypatch):
    """A million events: momenta of each precision behind five beams, resolution, radiation, uniforms, counts."""
    environment = {**os.environ, "DARKPENGUIN_CONTRACTION": "off"}
    subprocess.run([sys.executable, HERE / "bits.py", str(N), tmp_path / "x.npz"], env=environment, check=True)
    monkeypatch.syspath_prepend(HERE)
    import bits

    expected = np.load(tmp_path / "x.npz")
    digests = json.loads(str(expected["digests"]))
    found = bits.digests(cupy, N)
    assert {name for name in digests if digests[name] != found[name]} == set()
    assert len(digests) == 27
    counts = bits.counts_of(cupy, N // 5)
    assert (counts != expected["counts"]).sum() <= COUNTS * counts.size

    source = smearing_gpu.PROGRAM.source.replace("CALL + 4", "CALL + 3")
    assert source != smearing_gpu.PROGRAM.source
    monkeypatch.setitem(smearing_gpu.PROGRAM.__dict__, "source", source)
    cuda._compiled.cache_clear()
    assert any(bits.digest(array) != digests[name] for name, array in bits.resolution_of(cupy, N))
