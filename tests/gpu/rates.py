"""What a card can do: its rates with CUDA events, apart for kernels, launches, copies and files; its memory."""

import tempfile
import time
from functools import partial
from pathlib import Path

import cupy
import numpy as np
from card import NOT_MEASURED, STAND_IN, free_memory, seconds


def shown(rate, unit="events/s"):
    return NOT_MEASURED if rate is None else f"{rate:.3g} {unit}"


def bandwidth():
    """Bytes a second of a plain copy on the device, read and written: the roof of what only moves memory."""
    n = 1 << 10 if STAND_IN else min(1 << 28, free_memory() // 4) // 8
    read, written = cupy.zeros(n), cupy.empty(n)

    def copy():
        written[...] = read

    took = seconds(copy)
    return None if took is None else 16 * n / took


def kernels(proof, report):
    """Events a second of each kernel at every size, beside what its columns would take at the copy's bandwidth."""
    roof = bandwidth()
    report.numbers["copy_bytes_per_second"] = NOT_MEASURED if roof is None else float(f"{roof:.4g}")
    report.line(f"a copy on the device: {shown(roof, 'bytes/s read and written')}")
    for kind in ("vector", "scalar", "kpi"):
        for precision in ("float32", "float64"):
            case = proof.first_case(kind, precision)
            if case is not None:
                of_kernel(proof, report, f"{kind} {precision}", case, roof)


def of_kernel(proof, report, name, case, roof):
    kinds = [np.dtype(case["arguments"][i][0]) for i in case["outputs"]]
    width, found = sum(kind.itemsize for kind in kinds), {}
    kernel = proof.kernel(case["program"], case["kernel"])
    for power in range(proof.sizes[0], proof.sizes[1] + 1):
        n = 1 << power
        if n * width > 0.8 * free_memory():
            found[f"2^{power}"] = "does not fit into the memory"
            continue
        columns = [cupy.empty(n, dtype=kind) for kind in kinds]
        took = seconds(partial(kernel, n, *proof.arguments(case, n, 0, columns)))
        found[f"2^{power}"] = NOT_MEASURED if took is None else float(f"{n / took:.4g}")
        del columns  # before the next ones are asked for
    best = max((rate for rate in found.values() if isinstance(rate, float)), default=None)
    share = None if best is None else best * width / roof
    report.numbers[name] = {"bytes_per_event": width, "events_per_second": found}
    if share is not None:
        report.numbers[name]["share_of_the_copy"] = round(share, 3)
    beside = "" if share is None else f", {100 * share:.0f} % of the bytes of a copy"
    report.line(f"{name:16s} {width} bytes an event, at best {shown(best)}{beside}")
    report.expect(best is None or best > 1e8, f"{name}: {shown(best)} is what a CPU makes")


def apart(proof, report):
    """A launch, a copy to pinned memory and a file, each alone."""
    case = proof.first_case("vector", "float32") or proof.cases("events")[0]
    kernel, columns = proof.kernel(case["program"], case["kernel"]), proof.columns(case, 1, 0)
    arguments, times = proof.arguments(case, 1, 0, columns), 3 if STAND_IN else 1000
    cupy.cuda.Device().synchronize()
    began = time.perf_counter()
    for _ in range(times):
        kernel(1, *arguments)
    cupy.cuda.Device().synchronize()
    launch = (time.perf_counter() - began) / times

    n = 1 << (12 if STAND_IN else 24)
    columns = proof.columns(case, n, 0)
    size = sum(array.nbytes for array in columns)
    buffers = []
    for array in columns:
        memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
        buffers.append(np.frombuffer(memory, array.dtype, n))
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    best = np.inf
    for _ in range(3):
        began = time.perf_counter()
        for array, buffer in zip(columns, buffers, strict=True):
            array.get(stream=stream, out=buffer, blocking=False)
        stream.synchronize()
        best = min(best, time.perf_counter() - began)
    same = all(array.get().tobytes() == buffer.tobytes() for array, buffer in zip(columns, buffers, strict=True))
    report.expect(same, "a copy to pinned memory is not what is on the device")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for i, buffer in enumerate(buffers):
            np.save(Path(folder) / f"{i}.npy", buffer)
        filed = time.perf_counter() - began
    for name, value, unit in (
        ("launch", 1e6 * launch, "us"),
        ("copy", size / best, "bytes/s"),
        ("copied", n / best, "events/s"),
        ("file without compression", n / filed, "events/s"),
    ):
        report.numbers[name] = NOT_MEASURED if STAND_IN else float(f"{value:.4g}")
        report.line(f"{name:26s} {NOT_MEASURED if STAND_IN else f'{value:.4g} {unit}'}")


def memory(proof, report):
    """The most that was held on the device so far."""
    held = cupy.get_default_memory_pool().total_bytes()
    total = cupy.cuda.runtime.memGetInfo()[1]
    report.numbers |= {"held_bytes": int(held), "device_bytes": int(total)}
    report.line(f"{held / 1e9:.3f} GB of {total / 1e9:.1f} GB")
    report.expect(0 < held <= total, "the memory that is held is not that of a device")
