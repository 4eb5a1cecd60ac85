"""Histograms filled on a GPU, driven on the stand-in for CuPy: those of the CPU, and no row is copied."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin.generator.run import chunks, histograms_gpu
from darkpenguin.generator.run.histograms import Histogram, Reduction
from darkpenguin.generator.run.reduce import read
from darkpenguin.kinematics.base.errors import InputError

LINE = {"column": "q2", "bins": 37, "min": 1.1, "max": 17.3}
HISTOGRAMS = {
    "q2": {"axes": LINE},
    "uneven": {"axes": {"column": "q2", "edges": [0, 0.1, 1.1, 6, 7, 15]}, "select": "accepted == 1 and pt(k) > 1"},
    "plane": {"axes": [LINE, {"column": "eta(lp)", "bins": 8, "min": 2, "max": 5}]},
    "moment": {"axes": LINE, "weight": "cos_theta_l * cos_theta_l"},
    "kaon": {"axes": {"column": "cos_theta_k", "bins": 5, "min": -1, "max": 1}, "channels": ["B0->K*0mumu"]},
}
KEYS = {"events": 9000, "seed": 5, "beam": "lhcb-13tev", "selection": "lhcb", "reduce": HISTOGRAMS}
CHANNELS = ["B0->K*0mumu", "B+->K+mumu"]


@pytest.fixture
def reduced(cupy, monkeypatch, tmp_path):
    """What a run makes on a device, in several chunks and portions."""
    monkeypatch.setattr(chunks, "CHUNK", 4096)
    monkeypatch.setattr(histograms_gpu, "PORTION", 1500)

    def made(where):
        path = tmp_path / f"{where}.root"
        dp.run(CHANNELS, device=where, output=str(path), overwrite=True, **KEYS)
        return read(path)

    return made


def test_they_are_those_of_the_cpu(reduced):
    expected, found = reduced("cpu").histograms, reduced("gpu")
    assert "GPU" in found.provenance["backend"]
    for name, one in expected.items():
        other = found.histograms[name]
        assert (other.entries, other.undefined) == (one.entries, one.undefined)
        assert one.entries > 1000
        if one.squares is None:
            np.testing.assert_array_equal(other.values, one.values)
        else:
            np.testing.assert_allclose(other.values, one.values, rtol=1e-12)
            np.testing.assert_allclose(other.squares, one.squares, rtol=1e-12)


def test_no_row_crosses_the_bus(cupy, reduced, monkeypatch):
    copied, get = [], cupy.ndarray.get

    def counted(self, *arguments, **keywords):
        copied.append(self.size)
        return get(self, *arguments, **keywords)

    monkeypatch.setattr(cupy.ndarray, "get", counted)
    reduced("gpu")
    assert max(copied) <= max(
        np.prod(Histogram(s).settings.shape) for s in Reduction.read(HISTOGRAMS).histograms.values()
    )


@pytest.mark.parametrize("equal", [True, False])
def test_edges_and_what_is_not_a_number(cupy, equal):
    """Values on the edges and a rounding beside them; NaN in an axis or the weight, infinity."""
    axis = {"column": "x", "bins": 49, "min": 0.1, "max": 4.9} if equal else {"column": "x", "edges": [0.1, 0.7, 4.9]}
    settings = Reduction.read({"x": {"axes": axis, "weight": "w", "select": "q > 0"}}).histograms["x"]
    edges = settings.axes[0].all_edges
    x = np.concatenate([edges, np.nextafter(edges, 10), np.nextafter(edges, -10), [np.nan, np.inf, -np.inf, 1.0, 1.0]])
    columns = {"x": x, "w": np.linspace(1, 2, len(x)), "q": np.ones(len(x), np.int32)}
    columns["w"][-2], columns["q"][-1] = np.nan, 0
    filled = []
    for library in (np, cupy):
        filled.append(histogram := Histogram(settings))
        there = {name: library.asarray(column) for name, column in columns.items()}
        histogram.fill(there, histogram.expressions(["x", "w", "q"]), {})
    np.testing.assert_allclose(filled[1].values, filled[0].values, rtol=1e-13)
    assert (filled[1].entries, filled[1].undefined) == (filled[0].entries, filled[0].undefined) == (len(x) - 3, 2)


def test_a_wrong_side_of_an_edge_is_seen(cupy, monkeypatch):
    search = cupy.searchsorted
    monkeypatch.setattr(cupy, "searchsorted", lambda edges, x, side: search(edges, x, side="left"), raising=False)
    with pytest.raises(AssertionError):
        test_edges_and_what_is_not_a_number(cupy, True)


def test_a_full_device_is_one_line(cupy, reduced, monkeypatch):
    def full(*_):
        raise cupy.cuda.memory.OutOfMemoryError("full")

    monkeypatch.setattr(histograms_gpu, "sums", full)
    with pytest.raises(InputError, match=r"reduce\.q2: no memory for it beside the events; ask for fewer bins"):
        reduced("gpu")
