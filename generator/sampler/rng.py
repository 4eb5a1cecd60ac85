"""Philox4x32-10 random numbers: scalar functions shared by CPU and GPU.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", Proc. SC11
(2011), doi:10.1145/2063384.2063405; multipliers and Weyl increments of its section 3.3 and of the authors'
Random123 library, whose known answers are in the tests.

The counter of one call is (event low, event high, call, stream) and the key (seed low, seed high), 32 bits
each: a word depends on nothing but seed, stream, event number and its place in the event, and no two of them
share a counter under one key. Who draws from which call is registered in `calls`. Seeds and streams are never added
to one another.

The functions are generic in the precision: ``real`` is ``numpy.float32`` or ``numpy.float64``, known when
they are compiled, so every constant is of the working precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.base.jit import kernel, scalar
from ...kinematics.trig import double_precision


def event_uniforms(numbers: NDArray[np.uint64], seed: int, stream: int, call: int) -> NDArray[np.float64]:
    """Two uniform numbers in (0, 1) of each event of a stream, by its number, from one Philox call; shape (2, n).

    >>> from darkpenguin.generator.sampler.calls import SAMPLER
    >>> event_uniforms(np.arange(3, dtype=np.uint64), seed=7, stream=1, call=SAMPLER.first).shape
    (2, 3)
    """

    out = np.empty((2, len(numbers)))
    if len(numbers):
        (k0, k1), word = counter_words(seed, stream, 0, int(numbers.max()) + 1)
        _uniforms(numbers, np.uint32(call), word, k0, k1, out)
    return out


@kernel
def _uniforms(events: Any, call: Any, stream: Any, k0: Any, k1: Any, out: Any) -> None:
    for i in range(events.size):
        low, high = np.uint32(events[i] & np.uint64(0xFFFFFFFF)), np.uint32(events[i] >> np.uint64(32))
        w0, w1, w2, w3 = philox(low, high, call, stream, k0, k1)
        out[0, i] = uniform(np.float64, w0, w1)
        out[1, i] = uniform(np.float64, w2, w3)


def counter_words(seed: int, stream: int, start: int, stop: int) -> tuple[tuple[np.uint32, np.uint32], np.uint32]:
    """((seed low, seed high), stream) as the words of Philox's key and counter; checks all four numbers.

    >>> counter_words(2**32 + 5, 3, 0, 10)
    ((np.uint32(5), np.uint32(1)), np.uint32(3))
    """
    if not 0 <= seed < 2**64:
        raise InputError(f"seed = {seed}: needs 0 <= seed < 2^64")
    if not 0 <= stream < 2**32:
        raise InputError(f"stream = {stream}: needs 0 <= stream < 2^32")
    if not 0 <= start <= stop < 2**63:
        raise InputError(f"range = {start}:{stop}: needs 0 <= START <= STOP < 2^63")
    return (np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)), np.uint32(stream)


# Compiled functions take scalars whose type Numba knows; for a reader of the annotations they are Any.
Real = Any
Word = Any


@scalar
def philox(c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word) -> tuple[Word, Word, Word, Word]:
    """Four random 32-bit words from a 128-bit counter and a 64-bit key, ten rounds.

    >>> zero = np.uint32(0)
    >>> [f"{int(word):08x}" for word in philox(zero, zero, zero, zero, zero, zero)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    for _ in range(10):
        p0 = np.uint64(np.uint32(0xD2511F53)) * np.uint64(c0)
        p1 = np.uint64(np.uint32(0xCD9E8D57)) * np.uint64(c2)
        c0 = np.uint32(p1 >> np.uint64(32)) ^ c1 ^ k0
        c2 = np.uint32(p0 >> np.uint64(32)) ^ c3 ^ k1
        c1, c3 = np.uint32(p1), np.uint32(p0)
        k0 = np.uint32(k0 + np.uint32(0x9E3779B9))
        k1 = np.uint32(k1 + np.uint32(0xBB67AE85))
    return c0, c1, c2, c3


@scalar
def uniform(real: Any, high: Word, low: Word) -> Real:
    """Uniform number strictly inside (0, 1), the centre of its cell.

    The 23 high bits of ``high`` give float32: (k + 1/2) 2^-23. In float64 the 29 high bits of ``low`` follow
    them: (k + 1/2) 2^-52, both exact. The two differ by less than 2^-24: one event in two precisions is the
    same event. The 9 low bits of ``high`` are left for `coin`.

    >>> top = np.uint32(0xFFFFFFFF)
    >>> 1 - uniform(np.float64, top, top) == 2.0**-53, 1 - uniform(np.float32, top, top) == 2.0**-24
    (True, True)
    """
    k = real(np.int32(high >> np.uint32(9)))
    if double_precision(real):
        return k * real(2.0**-23) + (real(np.int32(low >> np.uint32(3))) * real(2.0**-52) + real(2.0**-53))
    return k * real(2.0**-23) + real(2.0**-24)


@scalar
def coin(real: Any, a: Word, b: Word, c: Word) -> Real:
    """Uniform number in (0, 1) for a discrete choice, from bits of three words that `uniform` leaves unused.

    9 + 9 + 5 low bits make (k + 1/2) 2^-23, the same number in either precision. The bits of a Philox word
    are independent, `uniform` reads the 23 others, and no bit enters two coins: the coin is independent of
    everything else in its event. A probability is off by 2^-24 at most.

    >>> word = np.uint32(0x1FF)
    >>> float(coin(np.float64, np.uint32(0), np.uint32(0), np.uint32(0))) == 2.0**-24
    True
    >>> float(coin(np.float32, word, word, word)) == 1 - 2.0**-24
    True
    """
    nine = np.uint32(0x1FF)
    top = np.uint32((a & nine) << np.uint32(14))
    middle = np.uint32((b & nine) << np.uint32(5))
    k = np.int32(top | middle | np.uint32((c & nine) >> np.uint32(4)))
    return (real(k) + real(0.5)) * real(2.0**-23)


@scalar
def pick_entry(word: Word, thresholds_and_aliases: Any) -> Any:
    """Entry of an alias table (Walker) from one word.

    The high half of word x size is the column, the low half the fraction that decides between the column and
    its alias. ``thresholds_and_aliases`` holds threshold + 2^32 alias for each column, one load for both, and
    no branch between them. The probability of an entry is exact to 2^-32.

    >>> table = np.array([2**32 - 1, 2**32 - 1], dtype=np.uint64)
    >>> int(pick_entry(np.uint32(5), table)), int(pick_entry(np.uint32(2**31 + 5), table))
    (0, 1)
    """
    product = np.uint64(word) * np.uint64(thresholds_and_aliases.size)
    column = np.uint64(product >> np.uint64(32))
    packed = thresholds_and_aliases[column]
    fraction = product & np.uint64(0xFFFFFFFF)
    return column if fraction < (packed & np.uint64(0xFFFFFFFF)) else packed >> np.uint64(32)
