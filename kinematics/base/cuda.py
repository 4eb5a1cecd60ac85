"""Kernels on a CUDA device through CuPy: the source of each from translated functions and a few lines by hand.

A kernel is written in CUDA C++ beside the module that starts it; what it computes of an event is translated from the
scalar functions of the CPU's loops (`cpp`), so there is one source of every formula. NVRTC compiles the text on the
machine that runs it, for its card; CuPy keeps the result on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .cpp import translate
from .optional import optional

OPTIONS = ("-std=c++17",)
"""Of NVRTC, beside those that CuPy adds; contraction to fused multiply-adds is on, as on the CPU."""
THREADS = 128
"""Threads of a block."""
REAL: Mapping[str, str] = {"float32": "float", "float64": "double"}
"""Precision -> type in C++."""


@dataclass(frozen=True, eq=False)
class Program:
    """CUDA source of the kernels of one module.

    Attributes:
        kernels: the kernels in CUDA C++, or a file with them.
        functions: scalar Python functions that they call; what these call comes along.
        constants: whole numbers that the kernels know by name.

    >>> from darkpenguin.kinematics.trig import circle
    >>> program = Program(Path(__file__).with_name("cuda.h"), (circle,), {"ROW": 4})
    >>> "constexpr int ROW = 4;" in program.source, "auto sine_cosine(" in program.source
    (True, True)
    """

    kernels: Path | str
    functions: tuple[Any, ...] = ()
    constants: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def source(self) -> str:
        """The whole text, for NVRTC or for any compiler of C++17 that is told CUDA's words."""
        numbers = "".join(f"constexpr int {name} = {value};\n" for name, value in self.constants.items())
        header = Path(__file__).with_name("cuda.h").read_text(encoding="utf-8")
        kernels = self.kernels if isinstance(self.kernels, str) else self.kernels.read_text(encoding="utf-8")
        return "\n".join((header, numbers, translate(self.functions), kernels))

    def launch(self, kernel: str, n: int, *arguments: Any) -> None:
        """Run a kernel, such as ``vector_kernel<float>``, over ``n`` things on the current device.

        It starts as many threads as the device holds at a time, or one a thing if those are fewer, and does not wait.

        Args:
            kernel: its name with the types of its template.
            n: how many things there are.
            arguments: CuPy arrays, contiguous, and NumPy scalars of exactly the types that the kernel takes.
        """
        if n:
            device = int(optional("cupy", "device = 'gpu'").cuda.Device().id)
            compiled, most = _compiled(self, kernel, device)
            compiled((min((n + THREADS - 1) // THREADS, most),), (THREADS,), arguments)


@lru_cache(maxsize=64)
def _compiled(program: Program, kernel: str, device: int) -> tuple[Any, int]:
    """A kernel for a device, the current one, and the blocks of it that run there at a time."""
    cupy = optional("cupy", "device = 'gpu'")
    module = cupy.RawModule(code=program.source, options=OPTIONS, name_expressions=(kernel,))
    found = module.get_function(kernel)
    each = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(found.kernel.ptr, THREADS, 0)
    processors = cupy.cuda.runtime.getDeviceProperties(device)["multiProcessorCount"]
    return found, max(1, each) * processors


def sized(*arrays: Any) -> tuple[Any, ...]:
    """Arrays, each followed by its size as a kernel takes it.

    >>> sized(np.zeros(3))
    (array([0., 0., 0.]), np.uint64(3))
    """
    return tuple(part for array in arrays for part in (array, np.uint64(array.size)))
