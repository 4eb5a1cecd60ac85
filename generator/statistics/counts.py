"""Expected counts in bins as functions of couplings and nuisance parameters: toys draw them, fits invert."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError

Array = npt.NDArray[np.float64]


def check_counts(counts: Any, name: str = "counts") -> None:
    """InputError unless all are numbers from zero, of any array-API library.

    >>> check_counts(np.array([1.0, np.nan]))
    Traceback (most recent call last):
    darkpenguin.kinematics.base.errors.InputError: counts: 1 of 2 are negative or not finite; needs numbers from zero
    """
    xp = array_module(counts)
    if not xp.isdtype(counts.dtype, "real floating"):
        counts = xp.astype(counts, xp.float64)
    bad = int(xp.sum(xp.astype(~(xp.isfinite(counts) & (counts >= 0)), xp.int64)))
    if bad:
        size = math.prod(counts.shape)
        raise InputError(f"{name}: {bad} of {size} are negative or not finite; needs numbers from zero")


def monomials(n_parameters: int) -> tuple[tuple[int, ...], ...]:
    """Indices of the factors of every monomial up to degree two, constant first.

    >>> monomials(2)
    ((), (0,), (1,), (0, 0), (0, 1), (1, 1))
    """
    linear = [(i,) for i in range(n_parameters)]
    squares = [(i, j) for i in range(n_parameters) for j in range(i, n_parameters)]
    return ((), *linear, *squares)


def monomial_values(couplings: npt.ArrayLike) -> Array:
    """Every monomial of ``couplings`` (shape (..., p)) in the order of ``monomials``; shape (..., m).

    >>> monomial_values([2.0, 3.0]).tolist()
    [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]
    """
    g = np.asarray(couplings, dtype=float)
    columns = [np.prod(g[..., list(factors)], axis=-1) for factors in monomials(g.shape[-1])]
    return np.stack(columns, axis=-1)


def probe_points(n_parameters: int) -> Array:
    """Points at which the values of a quadratic determine it: 0, ±e_i, e_i + e_j; shape (monomials, p).

    >>> probe_points(1).tolist()
    [[0.0], [1.0], [-1.0]]
    """
    unit = np.eye(n_parameters)
    pairs = [unit[i] + unit[j] for i in range(n_parameters) for j in range(i + 1, n_parameters)]
    points = [np.zeros(n_parameters), *unit, *(-unit), *pairs]
    return np.array(points).reshape(len(points), n_parameters)


def quadratic(values: npt.ArrayLike, n_parameters: int) -> Array:
    """Coefficients (monomials, n) of n quadratics from their values at ``probe_points`` (monomials, n).

    >>> quadratic([[1.0], [6.0], [2.0]], 1).ravel().tolist()     # 1 + 2 g + 3 g²
    [1.0, 2.0, 3.0]
    """
    v, p = np.asarray(values, dtype=float), n_parameters
    terms = monomials(p)
    out = np.zeros((len(terms), v.shape[1]))
    out[0] = v[0]
    for i in range(p):
        out[terms.index((i,))] = 0.5 * (v[1 + i] - v[1 + p + i])
        out[terms.index((i, i))] = 0.5 * (v[1 + i] + v[1 + p + i]) - v[0]
    row = 1 + 2 * p
    for i in range(p):
        for j in range(i + 1, p):
            out[terms.index((i, j))] = v[row] - v[1 + i] - v[1 + j] + v[0]
            row += 1
    return out


def _frozen(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    array = np.array(values, dtype=float)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}: needs {shape}")
    if not np.all(np.isfinite(array)):
        raise InputError(f"{name} holds values that are not finite")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class CountModel:
    r"""Expected counts in bins, quadratic in couplings, with log-normal nuisance effects.

    .. math:: \mu_b(g,\theta) = \Big(\sum_{\alpha} s_{b\alpha}\,g^\alpha\Big)\,
              e^{\sum_k \theta_k\epsilon_{kb}} + B_b\,e^{\sum_k \theta_k\eta_{kb}}

    The sum runs over the monomials of degree 0, 1 and 2 in the couplings (order of ``monomials``): at fixed
    masses and widths an amplitude is linear in the couplings, so this is exact, not an expansion. Each
    nuisance parameter θ_k has a Gaussian constraint of unit width around its auxiliary measurement a_k,
    itself drawn N(θ_k, 1) in a toy; ``effects`` are ln of the relative change of a bin for θ_k = +1.

    Attributes:
        signal: coefficients s, shape (bins, monomials), in events.
        parameters: names of the couplings.
        background: B, shape (bins,), in events.
        nuisances: names of the nuisance parameters.
        effects: ε, shape (nuisances, bins).
        background_effects: η, the same for the background.
        starts: couplings from which fits start, shape (starts, couplings); the best minimum counts. A
            quadratic has mirror minima, so give one start on either side.
        bins: labels of the bins.

    Example:
        >>> model = CountModel(signal=[[100.0, 20.0, 4.0]], parameters=("g",), starts=[[0.1]])
        >>> model.expected([1.0]).tolist()
        [124.0]
    """

    signal: Array
    parameters: tuple[str, ...] = ()
    background: Array | None = None
    nuisances: tuple[str, ...] = ()
    effects: Array | None = None
    background_effects: Array | None = None
    starts: Array | None = None
    bins: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        n_bins, p, k = len(self.signal), len(self.parameters), len(self.nuisances)
        put = object.__setattr__
        put(self, "signal", _frozen(self.signal, (n_bins, len(monomials(p))), "signal"))
        zeros = np.zeros(n_bins) if self.background is None else self.background
        put(self, "background", _frozen(zeros, (n_bins,), "background"))
        effects = np.zeros((k, n_bins)) if self.effects is None else self.effects
        put(self, "effects", _frozen(effects, (k, n_bins), "effects"))
        effects = np.zeros((k, n_bins)) if self.background_effects is None else self.background_effects
        put(self, "background_effects", _frozen(effects, (k, n_bins), "background_effects"))
        starts = np.zeros((1, p)) if self.starts is None else np.asarray(self.starts, dtype=float)
        put(self, "starts", _frozen(starts, (len(starts), p), "starts"))
        if self.bins and len(self.bins) != n_bins:
            raise InputError(f"bins has {len(self.bins)} labels for {n_bins} bins")

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.signal)

    def expected(self, couplings: npt.ArrayLike = (), theta: npt.ArrayLike | None = None) -> Array:
        """Expected counts, shape (..., bins), at couplings (..., p) and nuisance parameters (..., k)."""
        g = np.asarray(couplings, dtype=float)
        if g.shape[-1:] != (len(self.parameters),):
            raise InputError(f"couplings has shape {g.shape}: last axis needs {len(self.parameters)} values")
        signal: Array = np.sum(monomial_values(g)[..., None, :] * self.signal, axis=-1)
        assert self.background is not None
        if theta is None or not self.nuisances:
            return np.asarray(signal + self.background)
        t = np.asarray(theta, dtype=float)[..., None, :]
        assert self.effects is not None
        assert self.background_effects is not None
        scaled = signal * np.exp(np.sum(t * self.effects.T, axis=-1))
        return np.asarray(scaled + self.background * np.exp(np.sum(t * self.background_effects.T, axis=-1)))

    def fix(self, **values: float) -> CountModel:
        """The same with some couplings fixed; with all of them fixed only nuisance parameters stay free.

        >>> model = CountModel([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], ("x", "y"))
        >>> model.fix(x=2.0).signal.tolist()     # 1 + 2x + 4x² = 21; 3 + 5x = 13; 6
        [[21.0, 13.0, 6.0]]
        """
        for name in values:
            if name not in self.parameters:
                raise InputError(f"{name}: no such coupling; known: {', '.join(self.parameters) or 'none'}")
        free = [name for name in self.parameters if name not in values]
        position = {factors: i for i, factors in enumerate(monomials(len(free)))}
        signal = np.zeros((self.n_bins, len(position)))
        for column, factors in enumerate(monomials(len(self.parameters))):
            names = [self.parameters[i] for i in factors]
            weight = float(np.prod([values[name] for name in names if name in values]))
            left = tuple(free.index(name) for name in names if name not in values)
            signal[:, position[left]] += weight * self.signal[:, column]
        assert self.starts is not None
        kept = [i for i, name in enumerate(self.parameters) if name not in values]
        starts = np.unique(self.starts[:, kept], axis=0)
        return CountModel(
            signal,
            tuple(free),
            self.background,
            self.nuisances,
            self.effects,
            self.background_effects,
            starts,
            self.bins,
        )

    def scaled(self, factor: float) -> CountModel:
        """The same with ``factor`` times the data: signal and background."""
        if not (np.isfinite(factor) and factor > 0):
            raise InputError(f"factor = {factor}: the amount of data needs a positive number")
        assert self.background is not None
        return CountModel(
            self.signal * factor,
            self.parameters,
            self.background * factor,
            self.nuisances,
            self.effects,
            self.background_effects,
            self.starts,
            self.bins,
        )

    def select(self, indices: Sequence[int] | npt.NDArray[np.intp]) -> CountModel:
        """The same with some of the bins."""
        i = np.asarray(indices, dtype=np.intp)
        assert self.background is not None
        assert self.effects is not None
        assert self.background_effects is not None
        return CountModel(
            self.signal[i],
            self.parameters,
            self.background[i],
            self.nuisances,
            self.effects[:, i],
            self.background_effects[:, i],
            self.starts,
            tuple(self.bins[j] for j in i) if self.bins else (),
        )
