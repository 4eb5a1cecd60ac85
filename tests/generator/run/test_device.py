"""Runs on a GPU, driven on the stand-in for CuPy: the CPU's events, in NumPy unless asked, in chunks that fit."""

import warnings

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin.generator.run import chunks, device, stream
from darkpenguin.generator.run.card import make_card
from darkpenguin.generator.run.plan import plan_run
from darkpenguin.generator.sampler import backend
from darkpenguin.generator.toys import files as toy_files
from darkpenguin.generator.toys.run import ToysCard, plan_toys
from darkpenguin.kinematics.base.errors import InputError

CHANNELS = ["B0->K*0mumu", "B+->K+mumu"]
BEAM = {"beam": "lhcb-13tev", "events": 6000, "seed": 3}


@pytest.fixture
def small(monkeypatch):
    """Chunks of 4,096 events on the device, slices of 1,000 to the host."""
    monkeypatch.setattr(chunks, "CHUNK", 4096)
    monkeypatch.setattr(device, "_SLICE", 1000)


def same(left, right, tolerance=1e-11):
    assert left.names == right.names
    assert len(left) == len(right)
    for name in left.names:
        a, b = left[name], right[name]
        assert isinstance(a, np.ndarray)
        assert a.dtype == b.dtype, name
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * (1 + np.nanmax(np.abs(b.astype(float)), initial=0.0)), err_msg=name
        )


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"range": (1234, 7777), "precision": "float32"},
        {"selection": {"cuts": ["pt(k) > 0.5"], "mode": "reject"}},
        {"selection": {"cuts": ["pt(k) > 500"], "mode": "reject"}},
        {"selection": "lhcb", "resolution": "lhcb"},
    ],
)
def test_a_run_on_the_device_is_that_of_the_cpu(cupy, small, keys):
    """NumPy columns unless others are asked for, and then the same bits in CuPy's."""
    expected = dp.generate(CHANNELS, device="cpu", **BEAM, **keys)
    found = dp.generate(CHANNELS, device="gpu", **BEAM, **keys)
    assert "GPU" in found.provenance["backend"]
    same(found, expected, 1e-5 if "precision" in keys else 1e-11)
    there = dp.generate(CHANNELS, device="gpu", library="cupy", **BEAM, **keys)
    for name in found.names:
        assert isinstance(there[name], cupy.ndarray)
        assert there[name].get().tobytes() == found[name].tobytes(), name


def test_a_sample_on_the_device_can_be_used(cupy):
    """Selected, written, read: no step mixes arrays of the two libraries."""
    sample = dp.generate(CHANNELS, events=500, seed=3, device="gpu", library="cupy")
    host = dp.generate(CHANNELS, events=500, seed=3, device="gpu")
    assert len(sample.only("B+->K+mumu", flavour=1)) == len(host.only("B+->K+mumu", flavour=1)) > 0
    assert len(sample.select(sample["q2"] > 3)) == (host["q2"] > 3).sum()
    assert sample.to_pandas().equals(host.to_pandas())
    assert len(dp.bin(sample, bins=[(1.1, 6.0)])) == len(dp.bin(host, bins=[(1.1, 6.0)])) > 0
    with pytest.raises(TypeError):
        np.asarray(sample["q2"])
    with pytest.raises(InputError, match="library = 'torch': numpy or cupy"):
        dp.generate("B+->K+mumu", events=1, library="torch")


SEEN = {
    "beam": "lhcb-13tev",
    "selection": {"cuts": ["pt(k) > 0.5"]},
    "efficiency": {"maps": {"all": "0.5"}, "mode": "weight"},
}


@pytest.mark.parametrize(
    "keys", [SEEN, {"channels": CHANNELS[:1], "kpi": "swave", "q2": [(1, 6)]}], ids=["cuts", "kpi"]
)
def test_a_sample_on_the_device_is_binned_there(cupy, monkeypatch, keys):
    """Sums alone cross the bus; with weights, cuts, an S wave: the numbers of the CPU."""
    run = {"channels": CHANNELS, "events": 1500, "seed": 3, "device": "gpu", **keys}
    sample, copied, get = dp.generate(run, library="cupy"), [], cupy.ndarray.get
    expected = dp.bin(dp.generate(run), bins=[1.1, 2.5, 6.0])
    monkeypatch.setattr(cupy.ndarray, "get", lambda self, *a, **k: (copied.append(self.size), get(self, *a, **k))[1])
    found = dp.bin(sample, bins=[1.1, 2.5, 6.0])
    assert 0 < max(copied) < 1500
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert (one.observable, one.channel) == (other.observable, other.channel)
        assert (one.value, one.error) == pytest.approx((other.value, other.error), rel=1e-9)


def test_auto_is_the_cpu_for_a_small_run(cupy, monkeypatch):
    small = dp.generate("B+->K+mumu", events=100, seed=1)
    assert small.provenance["backend"].startswith("CPU")
    assert "auto: a GPU pays from 10,000,000 events on" in small.provenance["backend"]
    monkeypatch.setattr(backend, "WORTHWHILE", 100)
    assert dp.generate("B+->K+mumu", events=100, seed=1).provenance["backend"].startswith("GPU")
    monkeypatch.undo()
    assert isinstance(dp.generate("B+->K+mumu", events=100, library="numpy")["q2"], np.ndarray)


def test_events_wanted_on_the_device_are_made_there(cupy):
    assert dp.generate("B+->K+mumu", events=100, library="cupy").provenance["backend"].startswith("GPU")
    moved = dp.generate("B+->K+mumu", events=100, library="cupy", device="cpu")
    assert moved.provenance["backend"].startswith("CPU")
    assert isinstance(moved["q2"], cupy.ndarray)


def test_a_full_device_is_said_and_the_run_goes_on(cupy, small, monkeypatch, tmp_path):
    """Chunks are halved until they fit: one line, the same bits; too little for any is an error."""
    from cupy import _limits

    keys = {"events": 300_000, "seed": 3, "beam": "belle2"}
    monkeypatch.setattr(chunks, "CHUNK", 1 << 18)
    whole = dp.generate("B+->K+mumu", device="gpu", **keys)
    monkeypatch.setattr(_limits, "total", _limits.used + 24_000_000)
    with pytest.warns(RuntimeWarning, match="holds chunks of 131,072 events, not of 262,144; the run goes on") as said:
        found = dp.generate("B+->K+mumu", device="gpu", **keys)
    assert len(said) == 1
    assert all(found[name].tobytes() == whole[name].tobytes() for name in whole.names)
    with pytest.raises(InputError, match=r"library = 'cupy': the sample takes .* and the device has .* free"):
        dp.generate("B+->K+mumu", device="gpu", library="cupy", **keys)
    monkeypatch.setattr(_limits, "total", _limits.used + 1_000_000)
    with pytest.raises(InputError, match="device = 'gpu': its memory does not hold 65,536 events") as refused:
        dp.run("B+->K+mumu", device="gpu", output=str(tmp_path / "x.root"), **keys)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_copies_that_are_not_waited_for_are_seen(cupy, small, monkeypatch):
    """The stand-in copies when its stream is waited for: who does not wait has what was there before."""
    expected = dp.generate("B+->K+mumu", events=5000, seed=3, device="cpu")
    monkeypatch.setattr(cupy.cuda.Stream, "synchronize", lambda self: None)
    with pytest.raises(AssertionError):
        same(dp.generate("B+->K+mumu", events=5000, seed=3, device="gpu"), expected)


def test_the_next_slice_is_on_its_way_while_one_is_written(cupy, small):
    """Copies of all columns are waited for together, once a slice, with those of the next one under way."""
    copies, columns = device.Copies(), {name: cupy.arange(2500) for name in ("a", "b")}
    waited, wait = [], copies.stream.synchronize
    copies.stream.synchronize = lambda: (waited.append(1), wait())[1]
    under_way = [(part["b"].copy(), len(copies.stream.pending)) for part in copies.slices(columns, 2500)]
    assert np.concatenate([part for part, _ in under_way]).tolist() == list(range(2500))
    assert [pending for _, pending in under_way] == [2, 2, 0]
    assert len(waited) == 3


def test_the_file_names_cupy(cupy, tmp_path):
    report = dp.run("B+->K+mumu", events=2500, seed=3, device="gpu", output=str(tmp_path / "x.root"))
    assert report.parts[0].written == 2500
    sample = dp.read_events(tmp_path / "x.root")
    assert sample.provenance["versions"]["cupy-cuda13x"] == "14.0.0"
    same(sample, dp.generate("B+->K+mumu", events=2500, seed=3, device="cpu"))


def test_a_small_run_does_not_ask_for_a_gpu(monkeypatch):
    monkeypatch.setattr(backend, "missing_for_gpu", lambda: pytest.fail("asked"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dp.generate("B+->K+mumu", events=10)


@pytest.fixture
def two_devices(cupy, monkeypatch):
    """Numbers of the devices that work was done on, of two."""
    used, device = [], cupy.cuda.Device

    class Device(device):
        def __enter__(self):
            used.append(self.id)
            return super().__enter__()

    monkeypatch.setattr(cupy.cuda, "Device", Device)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 2)
    return used


def test_each_worker_of_a_cluster_has_its_own_device(two_devices, monkeypatch):
    """Worker 3 of a machine with two has the second, and makes the events of the run there."""
    plan = plan_run(make_card({"channels": CHANNELS, "device": "gpu", **BEAM}))
    part = plan.parts[1]
    expected = dp.generate("B+->K+mumu", device="cpu", **BEAM)
    monkeypatch.setattr(device, "worker_number", lambda: 3)
    found = stream._Elsewhere(plan.card, part, plan.backend.name)(100, 300)
    assert two_devices[0] == 1
    for name, column in found.items():
        np.testing.assert_allclose(column[:50] - part.first * (name == "event"), expected[name][100:150], err_msg=name)


def test_toys_on_workers_have_it_too_and_say_what_the_cpu_makes(two_devices, monkeypatch):
    keys = {"truth": "fig2", "toys": 2, "observables": ["R_K+"], "hypotheses": ["sm"], "fit": {}}
    monkeypatch.setattr(device, "worker_number", lambda: 1)
    work = toy_files._work(plan_toys(ToysCard.make(None, depth="events", **keys), "gpu"), 1, "local:2")
    assert len(work(0, 2)["toy"]) == 2
    assert two_devices[0] == 1
    with pytest.warns(RuntimeWarning, match=r"device = 'gpu': counts of toys are drawn on the CPU; they are fitted"):
        dp.toys(device="gpu", **keys)


def test_toys_that_the_device_does_not_hold_are_made_in_smaller_portions(cupy, monkeypatch):
    """One line says how many fit; every column is that of a whole portion."""
    from cupy import _limits

    keys = {"truth": "fig2", "toys": 40, "observables": ["R_K+"], "hypotheses": ["sm"], "fit": {}, "depth": "events"}
    run = plan_toys(ToysCard.make(None, **keys), "gpu")
    whole = run.rows(0, 40)
    assert _limits.most < 1 << 30
    before = _limits.used
    monkeypatch.setattr(_limits, "total", before + 60_000)
    with pytest.warns(RuntimeWarning, match=r"holds chunks of \d+ toys, not of 40; the run goes on with these") as said:
        found = toy_files._work(run, 1, None)(0, 40)
    assert len(said) == 1
    for name, column in whole.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)
    monkeypatch.setattr(_limits, "total", before)
    with pytest.raises(InputError, match="device = 'gpu': its memory does not hold 1 toys"):
        toy_files._work(run, 1, None)(0, 40)


@pytest.mark.slow
def test_a_cluster_of_gpus_makes_the_run(cupy, tmp_path):
    """Two workers, each with the stand-in: the file is that of one process."""
    keys = {"events": 6000, "seed": 3, "device": "gpu"}
    dp.run(CHANNELS, output=str(tmp_path / "there.root"), dask="local:2", **keys)
    here = dp.generate(CHANNELS, **keys)
    found = dp.read_events(tmp_path / "there.root")
    for name in here.names:
        np.testing.assert_array_equal(found[name], here[name], err_msg=name)
