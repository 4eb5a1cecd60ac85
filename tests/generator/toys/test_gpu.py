"""Toys on a GPU without a card: PTX for three generations, and the kernels simulated against the CPU."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from darkpenguin.generator.sampler.tables import build_table
from darkpenguin.generator.statistics.draws import EVENTS, draw_poisson, stream_word
from darkpenguin.generator.toys.moments import event_moments

if importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed (pip install 'darkpenguin[test]')", allow_module_level=True)

MEANS = np.array([0.0, 0.5, 3.0, 9.9, 10.1, 55.0, 4000.0])
EDGES = np.array([0.2, 0.4, 0.9])
EVENTS_OF = np.array([0, 1, 70, 300])

SIMULATION = """
import sys
import numpy as np
from numba import config
assert config.ENABLE_CUDASIM and config.DISABLE_JIT
from types import SimpleNamespace
from darkpenguin.generator.toys import gpu as toy_gpu
folder = sys.argv[1]
given = np.load(f"{folder}/inputs.npz")
np.seterr(over="ignore")
out = {"counts": toy_gpu.poisson_counts(given["means"], 40, seed=5, start=2**32 - 20, library=np)}
own = np.tile(given["means"], (40, 1))
out["own"] = toy_gpu.poisson_counts(own, 40, seed=5, start=2**32 - 20, library=np)
for kind in ("vector", "scalar"):
    for precision in ("float32", "float64"):
        rows = given[f"{kind} {precision}"]
        table = SimpleNamespace(kind=kind, alias=given[f"{kind} alias"], packed_float32=rows, packed_float64=rows)
        n, sums = toy_gpu.event_sums(table, given["events"], given["edges"], seed=5,
                                     stream=int(given["stream"]), start=3, precision=precision, library=np)
        out[f"{kind} {precision} n"], out[f"{kind} {precision} sums"] = n, sums
np.savez(f"{folder}/outputs.npz", **out)
"""


def vector_coefficients(q2):
    """Twelve J_i, a transverse and a longitudinal rate and small interference: positive."""
    small = [0.08 * np.sin(k * q2 + k) for k in range(8)]
    return np.stack([0.75 + 0 * q2, 0.7 + q2, 0.25 + 0 * q2, -0.6 - q2, *small])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    tables = {
        "vector": build_table({1: vector_coefficients, -1: vector_coefficients}, [], 0.1, 1.0),
        "scalar": build_table(lambda q2: np.stack([1 + q2, 0.2 * np.sin(q2), -q2 / 2]), [], 0.1, 1.0, kind="scalar"),
    }
    inputs = {"means": MEANS, "edges": EDGES, "events": EVENTS_OF, "stream": np.array(stream_word(0, EVENTS, 3))}
    for kind, table in tables.items():
        inputs |= {
            f"{kind} alias": table.alias,
            f"{kind} float32": table.packed_float32,
            f"{kind} float64": table.packed_float64,
        }
    np.savez(folder / "inputs.npz", **inputs)
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", SIMULATION, folder], env=environment, check=True, timeout=600)
    return tables, np.load(folder / "outputs.npz")


def test_counts_are_those_of_the_cpu(simulated):
    first = 2**32 - 20
    cpu = draw_poisson(MEANS, seed=5, start=first, stop=first + 40)
    np.testing.assert_array_equal(simulated[1]["counts"], cpu)
    np.testing.assert_array_equal(simulated[1]["own"], cpu)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_event_toys_are_those_of_the_cpu(simulated, kind, precision):
    tables, found = simulated
    cpu = event_moments(
        tables[kind], EVENTS_OF, EDGES, seed=5, stream=stream_word(0, EVENTS, 3), start=3, precision=precision
    )
    np.testing.assert_array_equal(found[f"{kind} {precision} n"], cpu.counts)
    np.testing.assert_allclose(
        found[f"{kind} {precision} sums"], cpu.sums, rtol=0, atol=1e-9 if precision == "float64" else 1e-3
    )


@pytest.mark.parametrize("capability", [(8, 0), (9, 0), (12, 0)])
@pytest.mark.parametrize("name", ["poisson", "vector float32", "vector float64", "scalar float32"])
def test_kernels_compile(monkeypatch, name, capability):
    from darkpenguin.generator.toys.gpu import KERNELS
    from numba import cuda, types
    from numba.cuda import dispatcher

    device = SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: device)
    kind, _, precision = name.partition(" ")
    integers, doubles = types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C")
    words = (types.uint32,) * 3
    if kind == "poisson":
        signature = types.void(doubles, types.boolean, types.int64, types.int64, types.int64, *words, integers)
    else:
        entries, rows = types.Array(types.uint64, 1, "C"), types.Array(getattr(types, precision), 1, "C")
        signature = types.void(integers, types.int64, types.int64, *words, entries, rows, doubles, doubles)
    ptx, _ = cuda.compile(KERNELS[kind], signature, device=False, abi="numba", output="ptx", cc=capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert ".entry" in ptx


def test_a_run_on_the_device_is_that_of_the_cpu(monkeypatch):
    """Event toys of a card through the device's sums, here the CPU's but for rounding."""
    from dataclasses import replace

    from darkpenguin.generator.toys import gpu as toy_gpu
    from darkpenguin.generator.toys.run import ToysCard, plan_toys

    asked = []

    def event_sums(table, events, edges, **keywords):
        asked.append(table.kind)
        found = event_moments(table, events, edges, **keywords)
        return found.counts, found.sums * (1 + 1e-15)

    monkeypatch.setattr(toy_gpu, "event_sums", event_sums)
    run = plan_toys(ToysCard(depth="events", dataset="lhcb-run12"))
    cpu, gpu = run.rows(0, 3), replace(run, device="gpu").rows(0, 3)
    assert set(asked) == {"vector", "scalar"}
    for name, column in cpu.items():
        np.testing.assert_allclose(gpu[name], column, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_device_that_is_not_there_is_named():
    from darkpenguin import InputError
    from darkpenguin.generator.sampler.backend import missing_for_gpu
    from darkpenguin.generator.toys.run import ToysCard, plan_toys

    if missing_for_gpu() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="device = 'gpu'"):
        plan_toys(ToysCard(), "gpu")
