"""How many threads there are, and how work is split between them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from .errors import InputError


def available_threads() -> int:
    """CPU threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int) -> None:
    """InputError unless this process may use so many threads.

    >>> check_threads(1)
    """
    if not 1 <= threads <= available_threads():
        raise InputError(f"threads = {threads}: this process may use 1 to {available_threads()}")


def split_work(work: Callable[[int, int], None], rows: int, threads: int | None, pieces: int = 1) -> None:
    """Call ``work(start, stop)`` on consecutive parts of ``range(rows)``, ``pieces`` for each thread."""
    workers = max(1, min(threads or available_threads(), rows))
    n = min(workers * pieces, rows) if workers > 1 else 1
    edges = [rows * i // n for i in range(n + 1)]
    if n == 1:
        work(0, rows)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, a, b) for a, b in pairwise(edges)]:
            done.result()
