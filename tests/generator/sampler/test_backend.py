"""Backends: any partition, chunk and number of threads gives the same bits; bad requests are refused."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from darkpenguin.generator.sampler.backend import CpuBackend, select_backend
from darkpenguin.generator.sampler.cpu import BLOCK
from darkpenguin.generator.sampler.tables import build_table
from darkpenguin.kinematics.base import cuda
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.kinematics.base.threads import available_threads


def vector_coefficients(s):
    one = np.ones_like(s)
    small = [0.05 * np.sin(k * s) for k in range(8)]
    return np.stack([0.4 * one, 0.5 + s, 0.13 * one, -0.45 - s, *small])


@pytest.fixture(scope="module")
def tables():
    return {
        "vector": build_table({1: vector_coefficients, -1: vector_coefficients}, [], 0.0, 1.0),
        "scalar": build_table(lambda s: np.array([1 + s, 0.2 * s, -s / 2]), [], 0.0, 1.0, kind="scalar"),
    }


def same(left, right):
    return list(left) == list(right) and all(left[name].tobytes() == right[name].tobytes() for name in left)


def joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_partitions_and_threads(tables, kind, precision):
    """Bits of events [0, n) from one call and from random pieces, down to one event, on any threads.

    More threads than cores: the backend object itself does not mind, only the user's choice is checked.
    """
    table, n = tables[kind], 300_007
    whole = CpuBackend(precision, 1).generate(table, seed=5, start=0, stop=n, stream=3)
    assert {name: column.dtype for name, column in whole.items()} == {
        name: np.dtype(np.int32 if name == "flavour" else precision) for name in table.columns
    }
    for threads in (2, 3, 7):
        assert same(CpuBackend(precision, threads).generate(table, 5, 0, n, 3), whole)
    backend = CpuBackend(precision, 2)
    rng = np.random.default_rng(2)
    cuts = sorted({0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, n - 1, n, *rng.integers(0, n, 40).tolist()})
    parts = [backend.generate(table, 5, a, b, 3) for a, b in pairwise(cuts)]
    assert same(joined(parts), whole)
    for i in (0, 63, 64, n - 1):
        alone = backend.generate(table, 5, i, i + 1, 3)
        assert all(alone[name][0].tobytes() == whole[name][i].tobytes() for name in whole)


def test_concurrent_callers(tables):
    """Several Python threads may use one backend: nothing is shared."""
    backend = CpuBackend("float64", 2)
    expected = backend.generate(tables["vector"], 1, 0, 200_000)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: backend.generate(tables["vector"], 1, 0, 200_000), range(4)))
    assert all(same(result, expected) for result in results)


def test_counters_have_64_bits(tables):
    """Across the 2^32nd event nothing repeats, and a partition there is still a partition."""
    backend, table, edge = CpuBackend("float64", 1), tables["vector"], 2**32
    whole = backend.generate(table, 1, edge - 200, edge + 300)
    parts = [backend.generate(table, 1, edge - 200, edge), backend.generate(table, 1, edge, edge + 300)]
    assert same(joined(parts), whole)
    assert not np.isin(parts[1]["q2"], backend.generate(table, 1, 0, 300)["q2"]).any()
    far = backend.generate(table, 2**64 - 1, 2**63 - 10, 2**63 - 1)
    assert len(np.unique(far["q2"])) == 9


def test_seeds_and_streams_are_different_sequences(tables):
    """Shifted seeds or streams are no shifted events: no q2 in common among neighbours."""
    backend = CpuBackend("float64", 1)
    seen = [
        backend.generate(tables["vector"], seed, 0, 2000, stream)["q2"]
        for seed, stream in ((1, 0), (2, 0), (2**32 + 1, 0), (1, 1), (2, 1), (0, 1))
    ]
    together = np.concatenate(seen)
    assert len(np.unique(together)) == len(together)


def test_given_columns_are_filled(tables):
    backend = CpuBackend("float32", 1)
    expected = backend.generate(tables["vector"], 1, 10, 500)
    out = {name: np.zeros_like(column) for name, column in expected.items()}
    result = backend.generate(tables["vector"], 1, 10, 500, out=out)
    assert all(result[name] is out[name] for name in out)
    assert same(out, expected)
    with pytest.raises(InputError, match=r"out\['phi'\]: missing"):
        backend.generate(tables["vector"], 1, 0, 490, out={k: v for k, v in out.items() if k != "phi"})
    for wrong in (np.zeros(489, np.float32), np.zeros(490), np.zeros((490, 2), np.float32)[:, 0]):
        with pytest.raises(InputError, match=r"out\['q2'\]: .*needs a contiguous array of 490 float32"):
            backend.generate(tables["vector"], 1, 0, 490, out={**out, "q2": wrong})


def test_nothing_asked_for(tables):
    assert len(CpuBackend("float64", 2).generate(tables["vector"], 1, 7, 7)["q2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1, "start": 0, "stop": 1}, "seed = -1"),
        ({"seed": 2**64, "start": 0, "stop": 1}, "seed = 18446744073709551616"),
        ({"seed": 1, "start": 2, "stop": 1}, "range = 2:1"),
        ({"seed": 1, "start": -1, "stop": 1}, "range = -1:1"),
        ({"seed": 1, "start": 0, "stop": 2**63}, "range = "),
        ({"seed": 1, "start": 0, "stop": 1, "stream": 2**32}, "stream = 4294967296"),
    ],
)
def test_impossible_requests(tables, arguments, message):
    with pytest.raises(InputError, match=message):
        CpuBackend("float64", 1).generate(tables["vector"], **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device = 'tpu': one of auto, cpu, gpu"),
        ({"precision": "float16"}, "precision = 'float16': one of float64, float32"),
        ({"device": "cpu", "threads": 0}, "threads = 0"),
        ({"device": "cpu", "threads": available_threads() + 1}, "threads = .*this process may use 1 to"),
    ],
)
def test_impossible_choices(arguments, message):
    with pytest.raises(InputError, match=message):
        select_backend(**arguments)


def test_choices_are_described():
    assert select_backend("cpu", "float32", 1).describe() == "CPU, 1 thread, float32"
    assert select_backend("cpu").threads == available_threads()


@pytest.mark.parametrize("missing", ["cupy", "array_api_compat"])
def test_missing_gpu_packages(monkeypatch, missing):
    """What is missing is named; auto goes to the CPU and says why."""
    import importlib.util

    from darkpenguin.generator.sampler import backend

    real = importlib.util.find_spec
    monkeypatch.setattr(backend, "find_spec", lambda name: None if name == missing else real("numpy"))
    product = {"cupy": "CuPy", "array_api_compat": "array-api-compat"}[missing]
    with pytest.raises(InputError, match=f"device = 'gpu': {product} is not installed"):
        select_backend("gpu")
    assert f"auto: {product} is not installed" in select_backend("auto").describe()
    assert select_backend("auto").name == "cpu"


@pytest.mark.parametrize("devices", [0, None])
def test_missing_driver_or_device(monkeypatch, devices):
    """A stand-in CuPy that finds no driver (None) or no device."""
    import sys
    from types import SimpleNamespace

    from darkpenguin.generator.sampler import backend

    class CUDARuntimeError(RuntimeError):
        pass

    def count():
        if devices is None:
            raise CUDARuntimeError("cudaErrorInsufficientDriver")
        return devices

    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    monkeypatch.setattr(backend, "find_spec", lambda name: object())
    expected = "finds no device" if devices == 0 else "no CUDA driver or device .cudaErrorInsufficientDriver"
    with pytest.raises(InputError, match=expected):
        select_backend("gpu")
    assert select_backend("auto").name == "cpu"


@pytest.mark.parametrize(("driver", "extra"), [(0, "cuda13"), (12040, "cuda12"), (13000, "cuda13")])
def test_the_extra_fits_the_driver(monkeypatch, driver, extra):
    from darkpenguin.kinematics.base import optional

    monkeypatch.setattr(optional, "cuda_driver", lambda: driver)
    assert optional.install_command("cupy") == f"pip install 'darkpenguin[{extra}]'"


def test_a_kernel_is_run_before_a_gpu_is_believed(cupy, monkeypatch):
    """One that does not compile, and a device that calculates wrongly: said in one line, and `auto` is the CPU."""
    from darkpenguin.generator.sampler import gpu

    assert select_backend("gpu").name == "gpu"
    source = gpu.PROGRAM.source
    for bent, message in (
        (source + "no C++", "device = 'gpu': CuPy runs no kernel .RuntimeError: .*pip install"),
        (source.replace("out[n + i] =", "out[n + i] = 1 -"), "other numbers than the CPU"),
    ):
        monkeypatch.setitem(gpu.PROGRAM.__dict__, "source", bent)
        cuda._compiled.cache_clear()
        with pytest.raises(InputError, match=message) as refused:
            select_backend("gpu")
        assert "\n" not in str(refused.value)
        assert select_backend("auto").name == "cpu"
