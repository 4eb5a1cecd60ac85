"""Sums of the angular functions over events that come in any number of chunks, on the CPU or where the events are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.arrays import on_gpu, to_host
from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import available_threads
from ...physics.densities import DENSITIES
from ...physics.expectation import Array, Expectation
from .sums import MAX_BINS, sum_kpi, sum_scalar, sum_vector
from .sums_gpu import sums as sums_there

SUMS: Mapping[int, Callable[..., None]] = MappingProxyType({3: sum_scalar, 12: sum_vector, 19: sum_kpi})
"""Loop that adds the angular functions, by their number."""
Found = tuple[Array, int, int, int]
"""What some events add: sums, events, bad ones, and those outside."""


class Accumulator:
    """Sums of the angular functions of one channel's events, in bins of q2 (or of another column) and by flavour.

    The one accumulator of file validation and of the closure tests: float64 sums, events in any number of chunks.

    Attributes:
        sums: shape (2, n_bins, n_functions): flavours +1 and -1, bins of q2, functions f_i.
        events: events added.
        outside: events outside the selected q2 (or whatever is binned).
        bad: events with a NaN, a cosine beyond one, or a flavour that is not +1 or -1.

    Example:
        >>> from darkpenguin.physics.expectation import expectation
        >>> flat = lambda q2, flavour: np.stack([1 + 0 * q2, 0 * q2, 0 * q2])
        >>> accumulator = Accumulator(expectation(flat, ("a", "b", "c"), (1,), [(0.0, 2.0)], np.array([]), 2))
        >>> accumulator.add({"q2": np.array([0.5]), "cos_theta_l": np.array([0.5]), "flavour": np.array([1])})
        >>> accumulator.sums[0].tolist()
        [[1.0, 0.5, 0.25], [0.0, 0.0, 0.0]]
    """

    def __init__(
        self, prediction: Expectation, threads: int | None = None, tolerance: float = 0.0, variable: str = "q2"
    ) -> None:
        self._edges = np.ascontiguousarray(prediction.edges)
        if len(self._edges) - 1 > MAX_BINS:
            raise InputError(f"n_bins = {len(self._edges) - 1}: at most {MAX_BINS} bins of q2 can be filled")
        selected = np.array(prediction.segments)
        self._lows = selected[:, 0] * (1 - tolerance)
        self._highs = selected[:, 1] * (1 + tolerance)
        self._threads = threads or available_threads()
        self._add = SUMS[len(prediction.names)]
        [density] = [one for one in DENSITIES.values() if len(one.coefficients) == len(prediction.names)]
        self._kind, self._columns = density.kind, (variable, *density.angles)
        self.sums = np.zeros((2, len(prediction.edges) - 1, len(prediction.names)))
        self.events = 0
        self.outside = 0
        self.bad = 0

    def add(self, columns: Mapping[str, Any], rows: Any = slice(None)) -> None:
        """Add events, of the given rows only."""
        self.take(self.look(columns, rows))

    def look(self, columns: Mapping[str, Any], rows: Any = slice(None)) -> Found:
        """What `take` adds of events: their sums and number, how many are bad, and outside; nothing is changed."""
        if on_gpu(columns["flavour"]):
            x, *angles, flavour = (columns[name][rows] for name in (*self._columns, "flavour"))
            found, wrong = sums_there(self._kind, x, angles, flavour, self._edges, self._lows, self._highs)
            return found, len(flavour), int(wrong[0]), int(wrong[1])
        arrays = [np.ascontiguousarray(to_host(columns[name])[rows]) for name in self._columns]
        flavour = np.ascontiguousarray(to_host(columns["flavour"])[rows], dtype=np.int32)
        n_rows = len(flavour)
        n_slices = max(1, min(self._threads, n_rows // 10_000))
        cuts = [n_rows * i // n_slices for i in range(n_slices + 1)]
        sums = np.zeros((n_slices, *self.sums.shape))
        bad = np.zeros((n_slices, 2), dtype=np.int64)

        def work(i: int) -> None:
            part = slice(cuts[i], cuts[i + 1])
            pieces = [array[part] for array in arrays]
            self._add(*pieces, flavour[part], self._edges, self._lows, self._highs, sums[i], bad[i])

        if n_slices == 1:
            work(0)
        else:
            with ThreadPoolExecutor(n_slices) as pool:
                list(pool.map(work, range(n_slices)))
        return sums.sum(axis=0), n_rows, int(bad[:, 0].sum()), int(bad[:, 1].sum())

    def take(self, found: Found) -> None:
        """Add what `look` found."""
        sums, events, bad, outside = found
        self.sums += sums
        self.events += events
        self.bad += bad
        self.outside += outside
