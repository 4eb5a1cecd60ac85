"""A card as the proof sees it: its kernels, compiled and started as the package does, and its clock."""

import time
from functools import cached_property

import cupy
import numpy as np

STAND_IN = "stand-in" in cupy.__version__
"""Whether this is the tests' stand-in for CuPy: no card, so nothing of it has a time, registers or a bandwidth."""
NOT_MEASURED = "not measured on the stand-in"


class Kernel:
    """One kernel of a source, compiled for the current device."""

    def __init__(self, source, name, options, threads):
        self.threads = threads
        began = time.perf_counter()
        module = cupy.RawModule(code=source, options=options, name_expressions=(name,))
        self.function = module.get_function(name)
        pointer = self.function.kernel.ptr
        self.compiled_in = time.perf_counter() - began
        each = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(pointer, threads, 0)
        device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
        self.most = max(1, each) * device["multiProcessorCount"]

    @cached_property
    def registers(self):
        return NOT_MEASURED if STAND_IN else self.function.num_regs

    @cached_property
    def local_bytes(self):
        """Bytes of local memory of a thread: what was spilled, and arrays that are no registers."""
        return NOT_MEASURED if STAND_IN else self.function.local_size_bytes

    def __call__(self, n, *arguments, blocks=None):
        """Run over n things, in the grid that the package would take, or in one of so many blocks."""
        if n:
            self.function((blocks or min(-(-n // self.threads), self.most),), (self.threads,), arguments)


def seconds(work, repeats=5):
    """Shortest time of some work on the device, by CUDA events; None on the stand-in, which does it once."""
    work()
    if STAND_IN:
        return None
    best = np.inf
    for _ in range(repeats):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        work()
        end.record()
        end.synchronize()
        best = min(best, cupy.cuda.get_elapsed_time(start, end) / 1e3)
    return best


def free_memory():
    """Bytes of the device that are free once CuPy has given back what it keeps."""
    cupy.get_default_memory_pool().free_all_blocks()
    return int(cupy.cuda.runtime.memGetInfo()[0])
