"""The GPU path without a card: PTX for three generations, assembled without spills, simulated."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.generator.sampler.kpi_tables import kpi_table
from darkpenguin.generator.sampler.tables import build_table
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi
from darkpenguin.physics.models import get_model

if importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed (pip install 'darkpenguin[test]')", allow_module_level=True)

KINDS = ("vector", "scalar", "kpi")
PRECISIONS = ("float32", "float64")
CAPABILITIES = ((8, 0), (9, 0), (12, 0))
# measured with CUDA 13: 39 and 56 at most, 48 and 92 with the Kpi mass; 2,048 threads need 32
REGISTERS = {"vector": {"float32": 48, "float64": 72}, "kpi": {"float32": 56, "float64": 96}}
REGISTERS["scalar"] = REGISTERS["vector"]
FLIPS = 1e-5  # events whose discrete choice may fall the other way within rounding of its threshold


def ptxas():
    """Path of NVIDIA's assembler from the package cuda-toolkit[nvcc], None if it is not installed."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations if spec else ():
        for path in Path(folder).glob("cu*/bin/ptxas*"):
            return path
    return None


def to_ptx(monkeypatch, kernel, signature, capability):
    from numba import cuda
    from numba.cuda import dispatcher

    # a kernel that calls a compiled function asks the device for its generation
    device = SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: device)
    text, _ = cuda.compile(kernel, signature, device=False, abi="numba", output="ptx", cc=capability)
    return text


def assemble(ptx, capability, folder):
    """Registers that ptxas finds for a kernel, nothing of it spilled; None if it is not installed."""
    assembler = ptxas()
    if assembler is None:
        pytest.skip("ptxas is not installed (pip install 'darkpenguin[test]')")
    (folder / "kernel.ptx").write_text(ptx)
    result = subprocess.run(
        [assembler, "-v", f"-arch=sm_{capability[0]}{capability[1]}", "kernel.ptx", "-o", "kernel.cubin"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    report = result.stdout + result.stderr
    assert result.returncode == 0, report
    assert "0 bytes spill stores, 0 bytes spill loads" in report
    return int(re.search(r"Used (\d+) registers", report).group(1)), report


def compile_kernel(monkeypatch, kind, precision, capability):
    from darkpenguin.generator.sampler.gpu import KERNELS
    from numba import types

    real = types.Array(getattr(types, precision), 1, "C")
    entries, flavour = types.Array(types.uint64, 1, "C"), types.Array(types.int32, 1, "C")
    columns = (real,) * {"vector": 4, "scalar": 2, "kpi": 5}[kind]
    mass = (types.Array(types.uint32, 1, "C"), entries, real) if kind == "kpi" else ()
    signature = types.void(types.int64, types.int64, *(types.uint32,) * 3, entries, real, *mass, *columns, flavour)
    return to_ptx(monkeypatch, KERNELS[kind], signature, capability)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_ptx(monkeypatch, tmp_path, record_property, kind, precision, capability):
    """Kernels compile; single precision is real; ptxas finds registers for everything."""
    ptx = compile_kernel(monkeypatch, kind, precision, capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert ".entry" in ptx
    # Philox: ten rounds of two 32 x 32 -> 64 bit products a call, some shared or constant
    assert len(re.findall(r"mul\.(wide|hi)\.u32|mul\.lo\.s64", ptx)) > 20
    code = [line.strip() for line in ptx.splitlines()]
    doubles = [line for line in code if ".f64" in line and not line.startswith(".")]
    if precision == "float32":
        assert doubles == []
    assert "call.uni" not in ptx  # everything is inlined

    registers, report = assemble(ptx, capability, tmp_path)
    assert "0 bytes stack frame" in report
    record_property("registers", registers)
    print(f"{kind}, {precision}, sm_{capability[0]}{capability[1]}: {registers} registers, no spill")
    assert registers <= REGISTERS[kind][precision]


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("spin", [0, 1])
def test_momenta_compile(monkeypatch, tmp_path, spin, capability):
    """Kernels of the momenta, float32 columns: everything inlined, no spill."""
    from darkpenguin.generator.lab.momenta_gpu import KERNELS
    from numba import types

    column, doubles = types.Array(types.float32, 1, "C"), types.Array(types.float64, 1, "C")
    angles = (column,) * (4 if spin == 1 else 2)
    signature = types.void(
        types.int64,
        *(types.uint32,) * 3,
        *angles,
        types.Array(types.int32, 1, "C"),
        doubles,
        doubles,
        doubles,
        types.boolean,
        types.int64,
        doubles,
        doubles,
        types.Array(types.uint64, 1, "C"),
        types.Array(types.float32, 2, "A"),
    )
    ptx = to_ptx(monkeypatch, KERNELS[spin], signature, capability)
    assert "call.uni" not in ptx
    registers, _ = assemble(ptx, capability, tmp_path)
    print(f"momenta, spin {spin}, sm_{capability[0]}{capability[1]}: {registers} registers, no spill")
    assert registers <= 136  # measured: 122 at most


MOMENTA = """
import sys
import numpy as np
from numba import config
assert config.ENABLE_CUDASIM and config.DISABLE_JIT
from darkpenguin.generator.lab import momenta
from darkpenguin.generator.lab.momenta_gpu import launch
from darkpenguin.physics.channels import get_channel
folder = sys.argv[1]
inputs = np.load(f"{folder}/inputs.npz")
np.seterr(over="ignore")

class Device:   # NumPy under another name: what momenta() sends to the GPU
    def __getattr__(self, name):
        return getattr(np, name)

momenta.array_module = lambda array: Device()
results = {}
for name in ("B0->K*0mumu", "B+->K+ee"):
    channel = get_channel(name)
    for beam in ("none", "rest", "belle2", "lhcb-13tev", "cells"):
        columns = {key.partition("|")[2]: inputs[key] for key in inputs if key.startswith(name + "|")}
        table = {"kind": "histogram", "pt_edges": [0, 2, 9], "eta_edges": [2, 3, 5], "weights": [[1, 2], [3, 4]]}
        found = momenta.momenta(channel, columns, beam={"none": None, "cells": table}.get(beam, beam), seed=9, start=77)
        results |= {f"{name}|{beam}|{key}": value for key, value in found.items()}
np.savez(f"{folder}/outputs.npz", **results)
"""


def test_simulated_momenta_are_the_cpu(tmp_path):
    """The kernels as plain Python give the CPU's momenta for every kind of beam."""
    from darkpenguin.generator.lab.momenta import momenta
    from darkpenguin.generator.run.generate import generate

    samples = {
        "B0->K*0mumu": generate("B0->K*0mumu", "fig2", 300, seed=9, kpi="pwave"),
        "B+->K+ee": generate("B+->K+ee", "sm", 300, seed=9),
    }
    np.savez(
        tmp_path / "inputs.npz",
        **{f"{name}|{key}": column for name, sample in samples.items() for key, column in sample.columns.items()},
    )
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", MOMENTA, tmp_path], env=environment, check=True, timeout=600)
    outputs = np.load(tmp_path / "outputs.npz")
    table = {"kind": "histogram", "pt_edges": [0, 2, 9], "eta_edges": [2, 3, 5], "weights": [[1, 2], [3, 4]]}
    for name, sample in samples.items():
        for beam in ("none", "rest", "belle2", "lhcb-13tev", "cells"):
            source = {"none": None, "cells": table}.get(beam, beam)
            expected = momenta(get_channel(name), sample.columns, beam=source, seed=9, start=77)
            for key, column in expected.items():
                scale = 1.0 + np.abs(expected["b_pz"])
                assert (np.abs(outputs[f"{name}|{beam}|{key}"] - column) < 1e-12 * scale).all(), (beam, key)


SIMULATION = """
import sys
import numpy as np
from numba import config, cuda
assert config.ENABLE_CUDASIM and config.DISABLE_JIT
from darkpenguin.generator.sampler import gpu
from darkpenguin.generator.sampler.rng import philox
assert type(philox).__name__ == "function"      # Python, not the CPU's machine code
folder = sys.argv[1]
inputs = np.load(f"{folder}/inputs.npz")
np.seterr(over="ignore")                        # Philox multiplies modulo 2^32
results = {}
for kind, n_columns in (("vector", 4), ("scalar", 2), ("kpi", 5)):
    for precision in ("float32", "float64"):
        start, stop, stream, k0, k1 = (int(x) for x in inputs["numbers"])
        columns = [np.empty(stop - start, precision) for _ in range(n_columns)]
        columns.append(np.empty(stop - start, np.int32))
        gpu.launch(kind, start, stop, np.uint32(stream), (np.uint32(k0), np.uint32(k1)),
                   tuple(inputs[f"{kind} {precision} {i}"] for i in range(5 if kind == "kpi" else 2)), tuple(columns))
        results |= {f"{kind} {precision} {i}": column for i, column in enumerate(columns)}
np.savez(f"{folder}/outputs.npz", **results)
"""


def vector_coefficients(q2):
    """Twelve J_i, a transverse and a longitudinal rate and small interference: positive."""
    small = [0.08 * np.sin(k * q2 + k) for k in range(8)]
    return np.stack([0.75 + 0 * q2, 0.7 + q2, 0.25 + 0 * q2, -0.6 - q2, *small])


def scalar_coefficients(q2):
    return np.stack([1 + q2, 0.2 * np.sin(q2), -q2 / 2])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Tables, the request, and what the simulated kernels made of it: 3,000 events across the 2^32nd."""
    folder = tmp_path_factory.mktemp("simulation")
    decay = KpiDecay(get_channel("B0->K*0mumu"), get_model("fig2"), resolve_kpi("swave"))
    tables = {
        "vector": build_table({1: vector_coefficients, -1: vector_coefficients}, [], 0.1, 1.0),
        "scalar": build_table(scalar_coefficients, [], 0.1, 1.0, kind="scalar"),
        "kpi": kpi_table(decay, q2_ranges=[(1.0, 6.0)], tolerance=1e-2),
    }
    numbers = (2**32 - 1500, 2**32 + 1500, 9, 7, 3)
    inputs = {"numbers": np.array(numbers)}
    for kind, table in tables.items():
        inputs |= {
            f"{kind} {precision} {i}": array
            for precision in PRECISIONS
            for i, array in enumerate(table.arrays(precision))
        }
    np.savez(folder / "inputs.npz", **inputs)
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", SIMULATION, folder], env=environment, check=True, timeout=600)
    return tables, numbers, np.load(folder / "outputs.npz")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_simulated_kernels_are_the_cpu(simulated, kind, precision):
    """The kernels as plain Python give the CPU's events: integers equal, floats to rounding."""
    tables, (start, stop, stream, k0, k1), outputs = simulated
    expected = CpuBackend(precision, 2).generate(tables[kind], k0 + (k1 << 32), start, stop, stream)
    tolerance = 8 * np.finfo(precision).eps
    different = np.zeros(stop - start, dtype=bool)
    for i, (name, column) in enumerate(expected.items()):
        found = outputs[f"{kind} {precision} {i}"]
        assert found.dtype == column.dtype
        scale = {"phi": np.pi, "q2": max(1.0, float(column.max()))}.get(name, 1.0)
        allowed = 0 if name == "flavour" else tolerance * scale
        different |= np.abs(found.astype(np.float64) - column) > allowed
    assert different.sum() <= FLIPS * len(different)


def test_simulation_notices_a_changed_kernel(simulated):
    """The comparison has teeth: another stream, or float64's events rounded, are not equal."""
    tables, (start, stop, stream, k0, k1), outputs = simulated
    other = CpuBackend("float64", 1).generate(tables["vector"], k0 + (k1 << 32), start, stop, stream + 1)
    assert (np.abs(other["q2"] - outputs["vector float64 0"]) > 1e-12).mean() > 0.99
    assert (outputs["vector float64 0"].astype(np.float32) != outputs["vector float32 0"]).any()
