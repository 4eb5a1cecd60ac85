"""The kernels of events without a card: run on the host against the CPU's loops, compiled for three generations."""

import os
import subprocess
import sys

import numpy as np
import pytest
from darkpenguin.generator.sampler import gpu
from darkpenguin.generator.sampler.backend import CpuBackend, GpuBackend
from darkpenguin.generator.sampler.kpi_tables import kpi_table
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.kinematics.base.cuda import REAL
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi
from darkpenguin.physics.models import get_model

PRECISIONS = ("float32", "float64")
SEED, STREAM = 7 + (3 << 32), 9
FLIPS = 1e-5  # events whose discrete choice may fall the other way within rounding of its threshold
# measured with NVRTC 13.5: 40/66, 40/48, 60/96 at most; 2,048 threads of a processor need 32
REGISTERS = {"vector": (48, 72), "scalar": (48, 64), "kpi": (64, 104), "uniforms": (48, 48)}


@pytest.fixture(scope="module")
def tables():
    model = get_model("fig2")
    decay = KpiDecay(get_channel("B0->K*0mumu"), model, resolve_kpi("swave"))
    return {
        "vector": channel_table(get_channel("B0->K*0mumu"), model),
        "scalar": channel_table(get_channel("B+->K+mumu"), model),
        "kpi": kpi_table(decay, q2_ranges=[(1.0, 6.0)], tolerance=1e-2),
    }


def different(found, expected):
    """Fraction of events in which a float differs by more than rounding, and of those that are not the same bits."""
    off = np.zeros(len(expected["q2"]), dtype=bool)
    bits = off.copy()
    for name, column in expected.items():
        assert found[name].dtype == column.dtype
        scale = {"phi": np.pi, "q2": max(1.0, float(column.max()))}.get(name, 1.0)
        allowed = 0 if name == "flavour" else 16 * np.finfo(column.dtype).eps * scale
        off |= ~(np.abs(found[name].astype(float) - column) <= allowed)
        bits |= found[name] != column
    return off.mean(), bits.mean()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", gpu.KINDS)
def test_kernels_make_the_events_of_the_cpu(cupy, tables, kind, precision):
    """100,000 events across the 2^32nd: choices the same, floats to rounding (the CPU fuses products and sums)."""
    start, stop = 2**32 - 50_000, 2**32 + 50_000
    expected = CpuBackend(precision, 2).generate(tables[kind], SEED, start, stop, STREAM)
    columns = GpuBackend(precision).generate(tables[kind], SEED, start, stop, STREAM)
    found = {name: column.get() for name, column in columns.items()}
    off, bits = different(found, expected)
    assert off <= FLIPS
    assert bits < 0.05  # measured: none, and 3 % with the Kpi mass
    np.testing.assert_array_equal(found["flavour"], expected["flavour"])


@pytest.mark.parametrize("n", [0, 1, 127, 129, 1000])
def test_odd_sizes_leave_no_event_out(cupy, tables, n):
    """Columns that begin as NaN: all are written, and an event does not depend on where its request began."""
    backend = GpuBackend("float32")
    out = {name: cupy.full(n, -7, dtype=np.int32) for name in ("flavour",)}
    out |= {name: cupy.full(n, np.nan, dtype=np.float32) for name in tables["vector"].columns if name != "flavour"}
    backend.generate(tables["vector"], SEED, 1000 - n, 1000, STREAM, out=out)
    whole = backend.generate(tables["vector"], SEED, 0, 1000, STREAM)
    for name, column in out.items():
        assert column.get().tobytes() == whole[name][1000 - n :].get().tobytes()


@pytest.mark.parametrize(
    ("what", "planted"),
    [
        ("Philox's increment", ("0x9E3779B9", "0x9E3779B8")),
        ("the alias's side", ("fraction < (packed", "fraction > (packed")),
        ("calls of the low words", ("uint32(VECTOR_LOW)", "uint32(CALL)")),
        ("the high word of the number", ("high = uint32(event >> 32)", "high = 0")),
        ("the order of a row", ("tuple_of(a.x, a.y, b.x, b.y)", "tuple_of(a.y, a.x, b.x, b.y)")),
        ("the stride of the grid", ("i += threads()", "i += threads() + 1")),
    ],
)
def test_a_fault_in_a_kernel_is_seen(cupy, tables, monkeypatch, what, planted):
    numbers = {old: str(int(new, 16)) for old, new in zip(planted, planted, strict=True) if new.startswith("0x")}
    old, new = (numbers.get(text, text) for text in planted)
    source = gpu.PROGRAM.source
    assert old in source, what
    monkeypatch.setitem(gpu.PROGRAM.__dict__, "source", source.replace(old, new))
    expected = CpuBackend("float64", 2).generate(tables["vector"], SEED, 2**32 - 2000, 2**32 + 2000, STREAM)
    columns = GpuBackend("float64").generate(tables["vector"], SEED, 2**32 - 2000, 2**32 + 2000, STREAM)
    assert different({name: column.get() for name, column in columns.items()}, expected)[0] > FLIPS


def test_the_type_of_an_argument_is_checked(cupy):
    """The stand-in holds every argument against the kernel's own parameter: CuPy would pass on any bytes."""
    words = (np.uint32(1),) * 4
    out, events = cupy.empty((2, 3)), cupy.arange(3, dtype=np.uint64)
    gpu.PROGRAM.launch("uniforms_kernel", 3, events, np.int64(3), np.uint64(0), *words, out)
    with pytest.raises(TypeError, match=r"argument 1 is i, the kernel takes l"):
        gpu.PROGRAM.launch("uniforms_kernel", 3, events, np.int32(3), np.uint64(0), *words, out)
    with pytest.raises(TypeError, match=r"argument 0 is \*l, the kernel takes \*L"):
        gpu.PROGRAM.launch("uniforms_kernel", 3, events.astype(np.int64), np.int64(3), np.uint64(0), *words, out)


NAMES = [f"{kind}_kernel<{real}>" for kind in gpu.KINDS for real in REAL.values()] + ["uniforms_kernel"]


@pytest.mark.parametrize("capability", [pytest.param(80, marks=pytest.mark.slow), 90, 120])
def test_device_code(nvrtc, capability):
    """Nothing is spilled, nothing called, rows come by 16 bytes; in single precision nothing is computed in double."""
    for name, code in nvrtc(gpu.PROGRAM.source, NAMES, capability).items():
        kind, single = name.split("_")[0], name.endswith("<float>")
        print(f"{name}, sm_{capability}: {code.registers} registers")
        assert (code.stack, code.spilled, code.calls) == (0, 0, 0), name
        assert (code.doubles == 0) == single, name
        assert code.registers <= REGISTERS[kind][not single], name
        assert (code.wide > 0) == (kind != "uniforms"), name
        assert code.narrow <= 1, name  # the last number of a row, where its neighbour is not used


def test_rows_that_are_read_number_by_number_are_seen(nvrtc):
    old = "const float4 a = *reinterpret_cast<const float4*>(p);"
    assert old in gpu.PROGRAM.source
    source = gpu.PROGRAM.source.replace(old, "const float4 a = {p[0], p[1], p[2], p[3]};")
    code = nvrtc(source, ["scalar_kernel<float>"], 90)["scalar_kernel<float>"]
    assert code.narrow > 1


def test_as_many_threads_start_as_the_device_holds(cupy, tables, monkeypatch):
    """Blocks by occupancy, two on each of three processors, or as many as there are events for."""
    import cupy._kernels as kernels

    grids, launch = [], kernels.RawKernel.__call__
    monkeypatch.setattr(kernels.RawKernel, "__call__", lambda self, *a: (grids.append(a[:2]), launch(self, *a))[1])
    for n in (1, 128, 129, 5000):
        GpuBackend("float32").generate(tables["scalar"], SEED, 0, n, STREAM)
    assert grids == [((blocks,), (128,)) for blocks in (1, 1, 2, 6)]


def test_a_spill_is_seen(nvrtc):
    """Half of the registers that a kernel needs: what does not fit goes to the stack."""
    source = gpu.PROGRAM.source.replace(
        "__global__ void kpi_kernel", "__global__ __launch_bounds__(1024, 2) void kpi_kernel"
    )
    assert source != gpu.PROGRAM.source
    code = nvrtc(source, ["kpi_kernel<double>"], 90)["kpi_kernel<double>"]
    assert code.spilled > 0
    assert code.registers <= 32


def test_a_double_in_a_float_kernel_is_seen(nvrtc):
    source = gpu.PROGRAM.source.replace("real(0.5)", "0.5")
    assert source != gpu.PROGRAM.source
    assert nvrtc(source, ["scalar_kernel<float>"], 90)["scalar_kernel<float>"].doubles > 0


WITHOUT_CONTRACTION = """
import sys
import numpy as np
from darkpenguin.generator.sampler.backend import CpuBackend
from darkpenguin.kinematics.base import jit
from types import SimpleNamespace
assert not jit.CONTRACTION and jit.FLOATING_POINT["fastmath"] == {"nsz"}
folder, seed, stream, n, *starts = sys.argv[1:]
given = np.load(f"{folder}/tables.npz")
for kind, columns in (("vector", 4), ("scalar", 2), ("kpi", 5)):
    names = ("q2", "cos_theta_k", "cos_theta_l", "phi", "m_kpi")[:columns] if columns > 2 else ("q2", "cos_theta_l")
    for precision in ("float32", "float64"):
        read = tuple(given[f"{kind} {precision} {i}"] for i in range(5 if kind == "kpi" else 2))
        table = SimpleNamespace(kind=kind, columns=(*names, "flavour"), arrays=lambda _, read=read: read)
        for start in map(int, starts):
            made = CpuBackend(precision, 2).generate(table, int(seed), start, start + int(n), int(stream))
            np.savez(f"{folder}/{kind} {precision} {start}.npz", **made)
"""


@pytest.mark.slow
def test_without_contraction_every_bit_is_the_same(cupy, tables, tmp_path):
    """A million events of every kernel and precision at three starting numbers, both sides without fused products."""
    n, starts = 1_000_000, (0, 2**32 - 500_000, 2**40)
    arrays = {
        f"{kind} {precision} {i}": array
        for kind, table in tables.items()
        for precision in PRECISIONS
        for i, array in enumerate(table.arrays(precision))
    }
    np.savez(tmp_path / "tables.npz", **arrays)
    arguments = [str(word) for word in (tmp_path, SEED, STREAM, n, *starts)]
    environment = {**os.environ, "DARKPENGUIN_CONTRACTION": "off"}
    subprocess.run([sys.executable, "-c", WITHOUT_CONTRACTION, *arguments], env=environment, check=True, timeout=900)
    for kind, table in tables.items():
        for precision in PRECISIONS:
            for start in starts:
                expected = np.load(tmp_path / f"{kind} {precision} {start}.npz")
                columns = GpuBackend(precision).generate(table, SEED, start, start + n, STREAM)
                for name in table.columns:
                    assert columns[name].get().tobytes() == expected[name].tobytes(), (kind, precision, start, name)
