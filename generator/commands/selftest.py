"""A check of this machine: events generated, validated and timed; on a GPU, compared with the CPU event by event."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ...kinematics.base.arrays import to_host
from ...kinematics.base.portions import Portions
from ...physics.channels import Channel, get_channel
from ...physics.models import get_model
from ..analysis.accumulator import Accumulator
from ..analysis.validate import FALSE_ALARM, compare, predict_channel
from ..files.sample import ROWS_THERE
from ..sampler.backend import Backend, select_backend
from ..sampler.tables import Table, channel_table
from .console import print_json, show_table

CHANNELS = ("B0->K*0mumu", "B+->K+mumu")
"""A channel of each angular density."""
MODEL = "fig2"
"""The model of the test: a V in the middle of the spectrum."""
MISMATCHES = 1e-5
"""Largest fraction of events in which CPU and GPU may choose differently: within rounding of a threshold."""


def run_selftest(device: str, precision: str, events: int, threads: int | None = None, as_json: bool = False) -> bool:
    """Generate events on a device, validate them, time them, and compare a GPU with the CPU; whether all is well.

    Raises:
        InputError: there is no such device or precision.
    """
    backend = select_backend(device=device, precision=precision, threads=threads)
    rows: list[dict[str, Any]] = []
    for name in CHANNELS:
        channel = get_channel(name)
        table = channel_table(channel, get_model(MODEL))
        backend.generate(table, seed=1, start=0, stop=1000, stream=channel.index)  # compile
        columns, rate = _timed(backend, table, events, channel.index)
        p_value = _validated(channel, columns, precision, threads)
        elsewhere = not isinstance(columns["q2"], np.ndarray)
        fraction = _compared(table, columns, precision, events, channel.index) if elsewhere else None
        good = p_value >= FALSE_ALARM and (fraction is None or fraction <= MISMATCHES)
        numbers = {"events": events, "rate": rate, "p_value": p_value, "different": fraction, "passed": good}
        rows.append({"channel": name, **numbers})
    passed = all(row["passed"] for row in rows)
    if as_json:
        print_json({"device": backend.describe(), "channels": rows, "passed": passed})
        return passed
    print(f"device: {backend.describe()}")
    cells = [
        (
            row["channel"],
            f"{row['events']:,}",
            f"{row['rate']:.3g}",
            f"{row['p_value']:.3g}",
            "the same device" if row["different"] is None else f"{row['different']:.1e}",
            "ok" if row["passed"] else "FAILED",
        )
        for row in rows
    ]
    show_table("", ("channel", "events", "events/s in memory", "p-value times tests", "differs from CPU", ""), cells)
    return passed


def _timed(backend: Backend, table: Table, events: int, stream: int) -> tuple[dict[str, Any], float]:
    """Return events and the best rate of three runs."""
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        columns = backend.generate(table, seed=1, start=0, stop=events, stream=stream)
        columns["q2"][-1:].sum().item()  # a GPU works behind our back: wait for it
        best = max(best, events / (time.perf_counter() - began))
    return columns, best


def _validated(channel: Channel, columns: dict[str, Any], precision: str, threads: int | None) -> float:
    """Return the smallest p-value of events against the quadrature, times the number of tests."""
    n_bins = max(1, min(50, len(columns["q2"]) // 800))
    prediction = predict_channel(channel, get_model(MODEL), n_bins=n_bins)
    accumulator = Accumulator(prediction, threads, 1e-6 if precision == "float32" else 1e-14)
    for found in Portions("events", ROWS_THERE).over(columns, accumulator.look):
        accumulator.take(found)
    if accumulator.bad or accumulator.outside:
        return 0.0
    tests = compare(prediction, accumulator.sums)
    return min(1.0, len(tests) * min(test.p_value for test in tests))


def _compared(table: Table, columns: dict[str, Any], precision: str, events: int, stream: int) -> float:
    """Return the fraction of events that differ from the CPU's by more than rounding."""
    reference = select_backend(device="cpu", precision=precision).generate(
        table, seed=1, start=0, stop=events, stream=stream
    )
    tolerance = 1e-4 if precision == "float32" else 1e-11
    different = np.zeros(events, dtype=bool)
    for name, expected in reference.items():
        found = to_host(columns[name])
        different |= np.abs(found.astype(np.float64) - expected) > tolerance * np.maximum(1.0, np.abs(expected))
    return float(different.mean())
