"""Event toys behind a detector on a GPU, driven on the stand-in for CuPy: counts of the CPU, moments to rounding."""

import numpy as np
import pytest
from darkpenguin.generator.lab.efficiency_maps import LegendreMap
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.generator.statistics.draws import EVENTS, stream_word
from darkpenguin.generator.toys import detector_gpu
from darkpenguin.generator.toys.detector import ChannelDetector, GaussianSmearing, MatrixSmearing, observed_toys
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model

CHANNEL = get_channel("B0->K*0mumu")
MAP = LegendreMap((("q2", 0.0, 20.0), ("cos_theta_k", -1.0, 1.0)), np.array([[0.5, 0.1], [0.2, -0.1]]))
MATRIX = MatrixSmearing(
    np.array([0.0, 2.0, 4.0, 8.0]),
    np.array([[0.0] * 5, [0, 0.5, 0.1, 0, 0], [0, 0.1, 0.6, 0.1, 0], [0, 0, 0.2, 0.5, 0.1], [0, 0, 0, 0.3, 0.2]]),
)
EDGES = np.array([1.1, 2.5, 4.0, 6.0])
NUMBERS = np.array([0, 1, 700, 300])
KEEP = np.array([[1.0, 1.0, 1.0]] * 3 + [[0.2, 0.5, 1.0]])
KEYS = {"seed": 5, "stream": stream_word(0, EVENTS, 3), "start": 7}


@pytest.fixture(scope="module")
def table():
    return channel_table(CHANNEL, get_model("fig2"), q2_ranges=[(0.5, 8.0)])


def compared(table, detector, **keys):
    expected = observed_toys(CpuBackend("float64", 1), table, detector, NUMBERS, EDGES, **KEYS, **keys)
    found = detector_gpu.observed_toys(table, detector, NUMBERS, EDGES, **KEYS, **keys)
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_allclose(found.means, expected.means, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=0, atol=1e-12)
    assert found.counts.dtype == expected.counts.dtype
    return found


@pytest.mark.parametrize("smearing", [None, GaussianSmearing(0.4), MATRIX], ids=["sharp", "gaussian", "matrix"])
def test_toys_are_those_of_the_cpu(cupy, table, monkeypatch, smearing):
    """Empty toys too, with some of the events kept, and toys made one by one."""
    detector = ChannelDetector(CHANNEL, MAP, smearing)
    whole = compared(table, detector, keep=KEEP)
    assert whole.counts.sum() > 50
    assert np.isnan(whole.means[0]).all()
    compared(table, ChannelDetector(CHANNEL, None, smearing), moments=False)
    monkeypatch.setattr(detector_gpu, "PORTION", 1)
    compared(table, detector, keep=KEEP)


@pytest.mark.parametrize("planted", ["uniforms", "searchsorted"])
def test_a_fault_is_seen(cupy, table, monkeypatch, planted):
    if planted == "uniforms":
        other = detector_gpu.uniforms
        monkeypatch.setattr(detector_gpu, "uniforms", lambda n, seed, *rest: other(n, seed + 1, *rest))
    else:
        search = cupy.searchsorted
        monkeypatch.setattr(cupy, "searchsorted", lambda a, v, side: search(a, v * (1 + 1e-3), side=side))
    with pytest.raises(AssertionError):
        compared(table, ChannelDetector(CHANNEL, MAP), keep=KEEP)
