"""Where events are made: CPU threads or a GPU, chosen once, an explicit object, nothing global.

Event i of a run is a pure function of (seed, stream, i, table): it does not depend on threads, chunks,
partitions or the device. On the CPU this holds bit by bit (for one processor model and Numba version); CPU
and GPU have the same random bits and agree in the floats to rounding, but for a discrete choice within
rounding of its threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import install_command
from ...kinematics.base.threads import available_threads, check_threads
from .calls import SAMPLER
from .columns import SAMPLED
from .rng import counter_words, event_uniforms

Precision = Literal["float64", "float32"]
PRECISIONS: tuple[Precision, ...] = ("float64", "float32")
DEVICES = ("auto", "cpu", "gpu")
Columns = dict[str, Any]
"""Columns of events: NumPy arrays from the CPU, CuPy arrays from a GPU."""
WORTHWHILE = 10_000_000
"""Events from which ``auto`` looks for a GPU: about what a CPU makes while CuPy is imported and a card set up."""
_PIECE = 1 << 16  # events that a thread takes at a time, at least


class SampledTable(Protocol):
    """What a backend needs to know of a table: `tables.Table` and `kpi_tables.KpiTable` are such."""

    @property
    def kind(self) -> str:
        """Entry of `densities.DENSITIES`, and of the loops and kernels."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of an event, in the order in which the loops fill them."""

    def arrays(self, precision: str) -> tuple[Any, ...]:
        """Flat arrays that the loops read."""

    def __hash__(self) -> int:
        """Tables are told apart by identity."""


class Backend(Protocol):
    """What makes events; ``out`` takes columns of the right length and type to be filled."""

    @property
    def name(self) -> str:
        """``cpu`` or ``gpu``."""

    @property
    def precision(self) -> Precision:
        """Type of the floating-point columns."""

    def describe(self) -> str:
        """What was chosen and why, in a line."""

    def generate(
        self,
        table: SampledTable,
        seed: int,
        start: int,
        stop: int,
        stream: int = 0,
        out: Mapping[str, Any] | None = None,
    ) -> Columns:
        """Events ``start`` to ``stop`` of a seed and stream."""


@dataclass(frozen=True)
class CpuBackend:
    """The CPU: compiled loops over blocks of events, on a number of threads that is this object's own.

    >>> import numpy as np
    >>> from darkpenguin.generator.sampler.tables import build_table
    >>> table = build_table(lambda s: np.array([1 + s, 0 * s, -s / 2]), [], 0.0, 1.0, kind="scalar")
    >>> columns = CpuBackend("float64", threads=1).generate(table, seed=7, start=10, stop=13)
    >>> list(columns), len(columns["q2"])
    (['q2', 'cos_theta_l', 'flavour'], 3)
    """

    precision: Precision
    threads: int
    reason: str = ""

    @property
    def name(self) -> str:
        """``cpu``."""
        return "cpu"

    def describe(self) -> str:
        """What was chosen and why, in a line."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"CPU, {threads}, {self.precision}" + (f" ({self.reason})" if self.reason else "")

    def generate(
        self,
        table: SampledTable,
        seed: int,
        start: int,
        stop: int,
        stream: int = 0,
        out: Mapping[str, Any] | None = None,
    ) -> Columns:
        """Events ``start`` to ``stop`` of a seed and stream, as NumPy columns.

        Raises:
            InputError: a seed, stream or range outside what a counter can hold, or unfit columns in ``out``.
        """
        from .cpu import BLOCK, RANGES

        key, counter = counter_words(seed, stream, start, stop)
        columns = _columns(table, self.precision, stop - start, out, np)
        fill, filled, read = RANGES[table.kind], tuple(columns.values()), table.arrays(self.precision)

        size = max(_PIECE, (stop - start) // (8 * self.threads)) // BLOCK * BLOCK
        pieces = list(pairwise([start, *range((start // size + 1) * size, stop, size), stop]))
        left = iter(pieces)

        def work() -> None:
            for bounds in left:  # shared: whoever is free takes the next piece
                fill(*bounds, counter, *key, *read, start, *filled)

        helpers = min(self.threads, len(pieces)) - 1  # this thread works too
        if helpers:
            with ThreadPoolExecutor(helpers) as pool:
                tasks = [pool.submit(work) for _ in range(helpers)]
                work()
            for task in tasks:
                task.result()
        else:
            work()
        return columns


@dataclass(frozen=True)
class GpuBackend:
    """A CUDA device: a kernel over the same functions of one event, on CuPy arrays."""

    precision: Precision
    reason: str = ""

    @property
    def name(self) -> str:
        """``gpu``."""
        return "gpu"

    def describe(self) -> str:
        """What was chosen and why, in a line."""
        import cupy

        device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
        return f"GPU, {device}, {self.precision}" + (f" ({self.reason})" if self.reason else "")

    def generate(
        self,
        table: SampledTable,
        seed: int,
        start: int,
        stop: int,
        stream: int = 0,
        out: Mapping[str, Any] | None = None,
    ) -> Columns:
        """Events ``start`` to ``stop`` of a seed and stream, as CuPy columns on the current device.

        Raises:
            InputError: a seed, stream or range outside what a counter can hold, or unfit columns in ``out``.
        """
        import cupy

        from .gpu import launch

        key, counter = counter_words(seed, stream, start, stop)
        columns = _columns(table, self.precision, stop - start, out, cupy)
        read = _on_device(table, self.precision, int(cupy.cuda.Device().id))
        launch(table.kind, self.precision, start, stop, counter, key, read, tuple(columns.values()))
        return columns


@lru_cache(maxsize=4)
def _on_device(table: SampledTable, precision: Precision, device: int) -> tuple[Any, ...]:
    """Arrays of a table on the current device, kept for the chunks that follow."""
    import cupy

    return tuple(cupy.asarray(array) for array in table.arrays(precision))


def _columns(table: SampledTable, precision: Precision, n: int, out: Mapping[str, Any] | None, library: Any) -> Columns:
    """New columns, or those of ``out`` in the table's order."""
    types = {name: SAMPLED[name].dtype(precision) for name in table.columns}
    if out is None:
        return {name: library.empty(n, dtype=dtype) for name, dtype in types.items()}
    for name, dtype in types.items():
        column = out.get(name)
        if column is None or column.shape != (n,) or column.dtype != dtype or not column.flags.c_contiguous:
            have = "missing" if column is None else f"{column.dtype}, shape {column.shape}"
            raise InputError(f"out[{name!r}]: {have}; needs a contiguous array of {n} {dtype}")
    return {name: out[name] for name in types}


def missing_for_gpu() -> str | None:
    """What a GPU run lacks here, None if nothing.

    >>> isinstance(missing_for_gpu(), (str, type(None)))
    True
    """
    for package, name in (("cupy", "CuPy"), ("array_api_compat", "array-api-compat")):
        if find_spec(package) is None:
            return f"{name} is not installed ({install_command(package)})"
    try:
        import cupy
    except Exception as problem:  # a CuPy for another CUDA fails in several ways
        first = str(problem).strip().partition("\n")[0]
        return f"CuPy does not import ({first}); {install_command('cupy')} is the one for this driver"
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as problem:
        return f"no CUDA driver or device ({problem}); nvidia-smi shows both where they work"
    if not devices:
        return "the CUDA driver finds no device"
    try:
        same = _runs_kernels()
    except Exception as problem:  # no compiler, a compiler too old for the card, a driver too old for the compiler ...
        first = str(problem).strip().partition("\n")[0]
        return f"CuPy runs no kernel ({type(problem).__name__}: {first}); {install_command('cupy')} brings all it needs"
    return None if same else "a kernel gives other numbers than the CPU: the device or its driver is faulty"


def _runs_kernels() -> bool:
    """Whether the current device runs a kernel of ours and finds the CPU's numbers."""
    import cupy

    from . import gpu

    numbers = np.array([0, 1, 2**32, 2**62], dtype=np.uint64)
    found = gpu.event_uniforms(cupy.asarray(numbers), 7, 1, SAMPLER.first).get()
    return bool((found == event_uniforms(numbers, 7, 1, SAMPLER.first)).all())


def select_backend(
    device: str = "auto", precision: str = "float64", threads: int | None = None, events: int | None = None
) -> Backend:
    """Choose where events are made.

    Args:
        device: ``cpu``, ``gpu``, or ``auto``: a GPU if there is one that works, and enough events to make it pay.
        precision: ``float64`` or ``float32``.
        threads: CPU threads; all that the process may use when None.
        events: how many there will be; many if None.

    Raises:
        InputError: an unknown word, a GPU that is not there, or more threads than cores.

    >>> select_backend("cpu", "float32", threads=1).describe()
    'CPU, 1 thread, float32'
    """
    if device not in DEVICES:
        raise InputError(f"device = {device!r}: one of {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise InputError(f"precision = {precision!r}: one of {', '.join(PRECISIONS)}")
    chosen: Precision = "float32" if precision == "float32" else "float64"
    if threads is not None:
        check_threads(threads)
    if device == "auto" and events is not None and events < WORTHWHILE:
        return CpuBackend(chosen, threads or available_threads(), f"auto: a GPU pays from {WORTHWHILE:,} events on")
    missing = None if device == "cpu" else missing_for_gpu()
    if device == "gpu" and missing is not None:
        raise InputError(f"device = 'gpu': {missing}; use 'cpu', or 'auto' for a GPU where there is one")
    if device != "cpu" and missing is None:
        return GpuBackend(chosen, "auto: a GPU is there" if device == "auto" else "")
    return CpuBackend(chosen, threads or available_threads(), f"auto: {missing}" if device == "auto" else "")
