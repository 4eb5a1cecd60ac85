"""How many events it takes until so many pass cuts and efficiency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import to_host
from ...kinematics.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Chunks = Callable[[int, int], Iterator[Mapping[str, Any]]]

HOPELESS = 1 << 26
"""Events of which none passes, after which no more are tried."""
_FIRST, _MOST = 1 << 16, 1 << 26


def events_to_try(wanted: int, chunks: Chunks, what: str = "events") -> int:
    """Return after how many events ``wanted`` of them have passed: with one less, one would be missing.

    An event passes or not by its number alone, so this number depends neither on chunks nor on threads.

    Args:
        wanted: how many are to pass.
        chunks: makes the columns of the events between two numbers, counted from 0, in their order.
        what: name of the events, for errors.

    Raises:
        InputError: none of very many passes.

    Example:
        >>> def thirds(start: int, stop: int) -> Iterator[dict[str, Any]]:
        ...     numbers = np.arange(start, stop)
        ...     yield {"event": numbers, "accepted": numbers % 3 == 0}
        >>> events_to_try(4, thirds)
        10
    """
    start, found = 0, 0
    while True:
        missing = wanted - found
        expected = missing * start / found if found else wanted if not start else 2 * start
        stop = start + int(min(max(1.05 * expected, _FIRST), _MOST))
        for columns in chunks(start, stop):
            passed = _passed(columns)
            if found + len(passed) >= wanted:
                return int(passed[wanted - found - 1]) + 1
            found += len(passed)
        start = stop
        if not found and start >= HOPELESS:
            raise InputError(f"accepted = {wanted}: none of {start:,} {what} passes; loosen the cuts")


def _passed(columns: Mapping[str, Any]) -> NDArray[np.int64]:
    """Numbers of the events of a chunk that were neither left out nor marked as failed."""
    numbers = to_host(columns["event"]).astype(np.int64)
    return numbers[to_host(columns["accepted"]) != 0] if "accepted" in columns else numbers
