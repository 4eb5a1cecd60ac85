"""Work on a GPU in portions as large as its memory holds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .arrays import on_gpu
from .errors import InputError
from .optional import optional


@dataclass
class Portions:
    """Portions of many things, halved whenever the memory of the GPU is full; the size that fits is kept.

    Attributes:
        what: the things, in a word.
        size: of a portion, at most.
        fewest: a GPU that does not hold as many is not used.

    >>> [(low, high) for low, high, _ in Portions("events", 4).of(lambda low, high: None, 3, 9)]
    [(3, 4), (4, 8), (8, 9)]
    """

    what: str
    size: int
    fewest: int = 1

    def of(
        self, work: Callable[[int, int], Any], first: int, stop: int, renew: Callable[[], None] | None = None
    ) -> Iterator[tuple[int, int, Any]]:
        """Iterate over the portions of the things ``first`` to ``stop``, cut at multiples of the size.

        Where the memory is full, ``renew`` forgets what is there, and smaller ones are tried; a warning says how many
        fit. Yields the first thing of a portion, the one after its last, and what ``work`` makes of them.

        Raises:
            InputError: not even the ``fewest`` fit.
        """
        low, tried = first, 0
        while low < stop:
            high, full = min((low // self.size + 1) * self.size, stop), False
            try:
                made = work(low, high)
            except MemoryError as problem:  # CuPy's is one too
                if type(problem).__module__.partition(".")[0] != "cupy":
                    raise
                full = True
            if full:  # behind the exception, which holds arrays
                tried = max(tried, high - low)
                self._halve(high - low)
                if renew is not None:
                    renew()
                optional("cupy", "device = 'gpu'").get_default_memory_pool().free_all_blocks()
                continue
            if tried:
                warnings.warn(
                    f"the memory of the GPU holds chunks of {self.size:,} {self.what}, not of {tried:,}; the run goes "
                    "on with these",
                    RuntimeWarning,
                    stacklevel=2,
                )
                tried = 0
            yield low, high, made
            low = high

    def over(self, columns: Mapping[str, Any], work: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
        """Iterate over what ``work`` makes of columns: of all of them at once on the CPU, of portions on a GPU.

        >>> import numpy as np
        >>> list(Portions("events", 2).over({"q2": np.arange(3.0)}, lambda part: len(part["q2"])))
        [3]
        """
        one = next(iter(columns.values()))
        if not on_gpu(one):
            yield work(dict(columns))
            return

        def part(low: int, high: int) -> Any:
            return work({name: column[low:high] for name, column in columns.items()})

        for _, _, made in self.of(part, 0, len(one)):
            yield made

    def _halve(self, tried: int) -> None:
        while self.size >= tried and self.size:
            self.size //= 2
        if self.size < self.fewest:
            raise InputError(
                f"device = 'gpu': its memory does not hold {min(tried, self.fewest):,} {self.what}; free it from other "
                "programs, or use device = 'cpu'"
            )
