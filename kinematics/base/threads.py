"""How many threads there are, and how work is split between them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
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


@cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory, up to a quarter of a gigabyte, instead of giving it back at once.

    Columns of some megabytes come and go all the time when events are written, and new memory is given page by page:
    on virtual machines that took half of the time. Elsewhere, and where the user has set such a thing, nothing happens.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # of malloc.h
        mallopt(trim_threshold, 1 << 28)
        mallopt(mmap_threshold, 1 << 25)
