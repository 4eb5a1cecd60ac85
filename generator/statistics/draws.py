"""Pseudo-experiments: toy t is a pure function of (seed, sample, t), whatever the chunks or threads.

Binned toys draw the counts of a ``CountModel`` directly, exact Poisson numbers from counter-based random
numbers. The counter of one call is (toy low, toy high, place, stream): ``place`` is the bin and the attempt,
``stream`` has its top bit set, so toys share no random number with the events of any sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...kinematics.base.jit import kernel, scalar
from ...kinematics.base.threads import split_work
from ..sampler.calls import TOY_BINS, TOY_PAIRS
from ..sampler.rng import philox, uniform
from .counts import CountModel

SHIFT = 32
"""Events of a toy are numbered from its own number times 2^32."""
Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
COUNTS, AUXILIARY, TRUTH, MOMENTS, EVENTS, SHIFTS = range(6)
"""What a stream of random numbers of a toy is for."""
MAXIMUM_SAMPLE = 1 << 20
"""Samples (sets of toys that must be independent under one seed) are numbered below this."""
MAXIMUM_BINS = 1 << 20
BINS, PAIRS = TOY_BINS.first, TOY_PAIRS.first
"""First calls of a toy's counts and of its pairs of normal numbers."""
LARGEST_MEAN = 1e12
"""Poisson means up to here: the acceptance test is then good to 1e-3 of its own resolution."""


def stream_word(sample: int, purpose: int, channel: int = 0) -> int:
    """Stream of random numbers of one purpose (and channel, by its index) in one sample of toys.

    Its top bit is set: the events of ordinary samples have streams below 2^31.

    >>> hex(stream_word(1, AUXILIARY)), hex(stream_word(0, EVENTS, channel=3))
    ('0x80000900', '0x80000403')
    """
    if not 0 <= sample < MAXIMUM_SAMPLE:
        raise InputError(f"sample = {sample}: needs a whole number from 0 to {MAXIMUM_SAMPLE - 1}")
    if not 0 <= channel < 256:
        raise InputError(f"channel index = {channel}: needs a number below 256")
    return (1 << 31) | (sample << 11) | (purpose << 8) | channel


@scalar
def poisson(mean: Any, low: Any, high: Any, place: Any, stream: Any, k0: Any, k1: Any) -> Any:
    """One Poisson number; ``place`` is the bin times 2^12, its low bits count the attempts.

    Below a mean of 10 by inversion (one uniform, the sum of probabilities from zero upwards), above by
    transformed rejection with the exact acceptance test: algorithm PTRS of W. Hörmann, Insurance: Mathematics
    and Economics 12 (1993) 39, valid for means of 10 and more. Zero for a mean of zero.
    """
    if mean < 10.0:
        w0, w1, _, _ = philox(low, high, place, stream, k0, k1)
        u = uniform(np.float64, w0, w1)
        p = math.exp(-mean)
        n = 0
        while u > p and n < 200:
            u -= p
            n += 1
            p *= mean / n
        return n
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    n = 0
    for attempt in range(4096):
        call = np.uint32(place + np.uint32(attempt))
        w0, w1, w2, w3 = philox(low, high, call, stream, k0, k1)
        u = uniform(np.float64, w0, w1) - 0.5
        v = uniform(np.float64, w2, w3)
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        n = int(k)
        if us >= 0.07 and v <= v_r:
            break
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        left = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if left <= k * log_mean - mean - math.lgamma(k + 1.0):
            break
    return n


@kernel
def _poisson_rows(
    mean: Any, shared: Any, first: Any, start: Any, stop: Any, stream: Any, k0: Any, k1: Any, out: Any
) -> None:
    for t in range(start, stop):
        toy = np.uint64(first) + np.uint64(t)
        low, high = np.uint32(toy & np.uint64(0xFFFFFFFF)), np.uint32(toy >> np.uint64(32))
        row = 0 if shared else t
        for b in range(mean.shape[1]):
            out[t, b] = poisson(mean[row, b], low, high, np.uint32(BINS + (b << 12)), stream, k0, k1)


@kernel
def _normal_rows(first: Any, start: Any, stop: Any, stream: Any, k0: Any, k1: Any, out: Any) -> None:
    for t in range(start, stop):
        toy = np.uint64(first) + np.uint64(t)
        low, high = np.uint32(toy & np.uint64(0xFFFFFFFF)), np.uint32(toy >> np.uint64(32))
        for pair in range((out.shape[1] + 1) // 2):
            w0, w1, w2, w3 = philox(low, high, np.uint32(PAIRS + pair), stream, k0, k1)
            radius = math.sqrt(-2.0 * math.log(uniform(np.float64, w0, w1)))
            angle = 2.0 * math.pi * uniform(np.float64, w2, w3)
            out[t, 2 * pair] = radius * math.cos(angle)
            if 2 * pair + 1 < out.shape[1]:
                out[t, 2 * pair + 1] = radius * math.sin(angle)


def _key(seed: int) -> tuple[np.uint32, np.uint32]:
    if not 0 <= seed < 1 << 64:
        raise InputError(f"seed = {seed}: needs a whole number from 0 to 2**64 - 1")
    return np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)


def _range(start: int, stop: int) -> int:
    if not 0 <= start < stop <= 1 << 62:
        raise InputError(f"toys {start}:{stop}: needs 0 <= START < STOP")
    return stop - start


def draw_poisson(
    mean: npt.ArrayLike, *, seed: int, start: int, stop: int, sample: int = 0, threads: int | None = None
) -> Counts:
    """Poisson counts of toys ``start`` to ``stop``, shape (stop - start, bins).

    Args:
        mean: expected counts, shape (bins,), or (stop - start, bins) when every toy has its own.
        seed: key of the random numbers.
        start: number of the first toy.
        stop: number after the last toy.
        sample: number of the set of toys; different sets are independent under one seed.
        threads: all processors if None; has no influence on the result.

    Example:
        >>> first = draw_poisson([3.0, 400.0], seed=1, start=0, stop=5)
        >>> bool((draw_poisson([3.0, 400.0], seed=1, start=2, stop=5) == first[2:]).all())
        True
    """
    n = _range(start, stop)
    mu = np.ascontiguousarray(mean, dtype=np.float64)
    shared = mu.ndim == 1
    mu = np.atleast_2d(mu)
    if not np.all((mu >= 0) & (mu <= LARGEST_MEAN)):
        raise InputError(f"mean counts from {mu.min():g} to {mu.max():g}: needs numbers from 0 to {LARGEST_MEAN:g}")
    if not shared and len(mu) != n:
        raise InputError(f"mean has {len(mu)} rows: needs one for each of {n} toys")
    if mu.shape[1] > MAXIMUM_BINS:
        raise InputError(f"{mu.shape[1]} bins: at most {MAXIMUM_BINS}")
    out = np.empty((n, mu.shape[1]), dtype=np.int64)
    stream, (k0, k1) = np.uint32(stream_word(sample, COUNTS)), _key(seed)
    split_work(lambda a, b: _poisson_rows(mu, shared, np.uint64(start), a, b, stream, k0, k1, out), n, threads)
    return out


def draw_normal(
    columns: int,
    *,
    seed: int,
    start: int,
    stop: int,
    sample: int = 0,
    purpose: int = AUXILIARY,
    threads: int | None = None,
) -> Array:
    """Standard normal numbers of toys ``start`` to ``stop``, shape (stop - start, columns).

    By Box and Muller; arguments as in ``draw_poisson``, ``purpose`` keeps uses of one toy apart.
    """
    n = _range(start, stop)
    out = np.empty((n, columns))
    if columns:
        stream, (k0, k1) = np.uint32(stream_word(sample, purpose)), _key(seed)
        split_work(lambda a, b: _normal_rows(np.uint64(start), a, b, stream, k0, k1, out), n, threads)
    return out


@dataclass(frozen=True, eq=False)
class BinnedToys:
    """Toys of one truth: one row a toy.

    Attributes:
        numbers: number of each toy.
        counts: shape (toys, bins).
        auxiliary: measurements of the nuisance parameters that the fit sees, shape (toys, nuisances).
        theta: true nuisance parameters, shape (toys, nuisances).
    """

    numbers: Counts
    counts: Counts
    auxiliary: Array
    theta: Array

    def __len__(self) -> int:
        """Number of toys."""
        return len(self.numbers)


def binned_toys(
    model: CountModel,
    couplings: npt.ArrayLike = (),
    *,
    seed: int,
    start: int = 0,
    stop: int,
    sample: int = 0,
    systematics: str = "measured",
    theta: npt.ArrayLike | None = None,
    threads: int | None = None,
) -> BinnedToys:
    """Draw toys of a model at one point of its couplings.

    Systematics. ``measured``: the true θ is ``theta`` (zero if None) in every toy and its auxiliary
    measurement fluctuates, as in a frequentist ensemble. ``drawn``: every toy has its own θ from its
    constraint, and the auxiliary measurement is zero, as when averaging over what is not known. ``none``:
    both are zero.

    Args:
        model: expected counts.
        couplings: true couplings.
        seed: key of the random numbers.
        start: number of the first toy.
        stop: number after the last toy.
        sample: set of toys; different sets are independent.
        systematics: ``measured``, ``drawn`` or ``none``.
        theta: true nuisance parameters, shape (nuisances,).
        threads: has no influence on the result.

    Example:
        >>> toys = binned_toys(CountModel([[100.0], [50.0]]), seed=1, stop=1000)
        >>> toys.counts.shape
        (1000, 2)
    """
    n, k = _range(start, stop), len(model.nuisances)
    point = np.asarray(couplings, dtype=float)
    if point.shape != (len(model.parameters),):
        raise InputError(
            f"couplings has shape {point.shape}: needs {len(model.parameters)} values ({', '.join(model.parameters)})"
        )
    truth = np.zeros(k) if theta is None else np.asarray(theta, dtype=float)
    if truth.shape != (k,):
        raise InputError(f"theta has shape {truth.shape}: needs {k} values ({', '.join(model.nuisances)})")
    rows = np.broadcast_to(truth, (n, k))
    auxiliary = np.zeros((n, k))
    shared: dict[str, Any] = {"seed": seed, "start": start, "stop": stop, "sample": sample}
    shared["threads"] = threads
    if systematics == "measured":
        auxiliary = rows + draw_normal(k, purpose=AUXILIARY, **shared)
    elif systematics == "drawn":
        rows = rows + draw_normal(k, purpose=TRUTH, **shared)
    elif systematics != "none":
        raise InputError(f"systematics = {systematics!r}: measured, drawn or none")
    mean = model.expected(point, truth if systematics != "drawn" else None)
    if systematics == "drawn" and k:
        mean = np.concatenate([model.expected(point, part) for part in np.array_split(rows, max(1, n // 10_000))])
    if np.any(mean < 0):
        raise InputError(
            f"the model expects {mean.min():g} events in a bin at couplings {point.tolist()}: "
            "counts need expectations of zero or more"
        )
    counts = draw_poisson(mean, **shared)
    return BinnedToys(np.arange(start, stop, dtype=np.int64), counts, auxiliary, np.array(rows))


def moment_toys(
    mean: npt.ArrayLike,
    covariance: npt.ArrayLike,
    events: npt.ArrayLike,
    *,
    seed: int,
    start: int = 0,
    sample: int = 0,
    threads: int | None = None,
) -> Array:
    """Mean values of the angular functions in binned toys: Gaussian with the exact covariance of the moments.

    The mean of n independent events has exactly the mean and covariance/n of ``moments.expected_moments``;
    that it is Gaussian is the central limit theorem, good for tens of events. Without events the row is NaN.

    Args:
        mean: expectation for one event, shape (bins, functions).
        covariance: of one event, shape (bins, functions, functions).
        events: number of events, shape (toys, bins).
        seed: key of the random numbers.
        start: number of the first toy.
        sample: set of toys.
        threads: has no influence on the result.

    Returns:
        shape (toys, bins, functions).
    """
    m, c = np.asarray(mean, dtype=float), np.asarray(covariance, dtype=float)
    n = np.asarray(events, dtype=float)
    bins, functions = m.shape
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]
    normal = draw_normal(
        bins * functions,
        seed=seed,
        start=start,
        stop=start + len(n),
        sample=sample,
        purpose=MOMENTS,
        threads=threads,
    ).reshape(len(n), bins, functions)
    shift = np.zeros_like(normal)
    for i in range(functions):
        shift += root[None, :, :, i] * normal[:, :, i, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(n[..., None] > 0, m + shift / np.sqrt(n)[..., None], np.nan))
