"""What a file should contain: bin contents and angular moments by quadrature, without the sampler's tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from .densities import DENSITIES

Array = npt.NDArray[np.float64]
Density = Callable[[Array, int], Array]
"""Coefficients of the density of events, shape (n_coefficients, n_q2), from q2 (GeV^2) and flavour (+1, -1)."""
FLAVOURS = (1, -1)
"""Flavours in the order of sums and expectations: B0 or B+, and the conjugates."""
ORDER = 10
"""Points of the Gauss-Legendre rule on one panel."""
TOLERANCE = 1e-9
"""Largest change of a panel's integral when it is halved, relative to the whole integral."""
SMALLEST_PANEL = 1e-13
"""Panels narrower than this (relative to q2) are not halved any more: rounding."""


@dataclass(frozen=True, eq=False)
class AngularBasis:
    """Angular functions of a kind of decay with their integrals.

    Attributes:
        names: names of the coefficients.
        unity: what the functions are to be multiplied by to add up to one.
        gram: integrals of f_i f_j times the density's normalisation, shape (n, n).
        triple: the same of f_i f_j f_k, shape (n, n, n).
    """

    names: tuple[str, ...]
    unity: Array
    gram: Array
    triple: Array

    @property
    def dual(self) -> Array:
        """Matrix that turns the means of f_i into J_i over the rate."""
        return np.asarray(np.linalg.inv(self.gram), dtype=np.float64)


@lru_cache(maxsize=4)
def angular_basis(names: tuple[str, ...]) -> AngularBasis:
    """Return the angular functions for a channel's coefficient names, integrated exactly.

    >>> angular_basis(("a", "b", "c")).gram[0].round(12).tolist()
    [2.0, 0.0, 0.666666666667]
    """
    density = next(known for known in DENSITIES.values() if known.coefficients == names)
    *angles, weights = density.angular_grid
    functions = density.basis(*angles)
    triple = density.norm * np.einsum("in,jn,kn,n->ijk", functions, functions, functions, weights)
    # sin^2 + cos^2 = 1 for the vector, the first function itself for the scalar
    unity = np.asarray(np.linalg.lstsq(functions.T, np.ones(len(weights)), rcond=None)[0].round(9), dtype=np.float64)
    return AngularBasis(names, unity, density.gram, np.asarray(triple))


def segments(
    limits: tuple[float, float],
    ranges: Sequence[tuple[float, float]],
    vetoes: Sequence[tuple[float, float]],
) -> tuple[tuple[float, float], ...]:
    """Return the intervals of q2 that are selected: the ranges within the limits, less the vetoes.

    >>> segments((0.1, 19.0), [(0.0, 6.0)], [(1.0, 2.0)])
    ((0.1, 1.0), (2.0, 6.0))
    """
    edges = sorted({*limits, *(edge for pair in (*ranges, *vetoes) for edge in pair)})
    found: list[tuple[float, float]] = []
    for low, high in pairwise(edges):
        middle = 0.5 * (low + high)
        inside = limits[0] < middle < limits[1] and (not ranges or any(a < middle < b for a, b in ranges))
        if inside and not any(a < middle < b for a, b in vetoes):
            if found and found[-1][1] == low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Expectation:
    """Integrals of a density of events over bins of q2.

    Attributes:
        names: names of the coefficients.
        flavours: +1, -1 or both.
        edges: edges of the bins of q2 (GeV^2), shape (n_bins + 1,); bins hold about equal numbers of events.
        segments: intervals of q2 that are selected; a bin may reach across a gap between them.
        integrals: coefficients integrated over each bin (GeV), shape (n_flavours, n_bins, n_coefficients).
    """

    names: tuple[str, ...]
    flavours: tuple[int, ...]
    edges: Array
    segments: tuple[tuple[float, float], ...]
    integrals: Array

    @property
    def basis(self) -> AngularBasis:
        """The angular functions."""
        return angular_basis(self.names)

    @property
    def rates(self) -> Mapping[int, float]:
        """Rate in the selected q2 by flavour (GeV), before the branching fraction of the hadron."""
        totals = (self.integrals @ self.basis.gram @ self.basis.unity).sum(axis=1)
        return dict(zip(self.flavours, totals.tolist(), strict=True))

    @property
    def means(self) -> Array:
        """Expectation per event of f_i in a bin, shape (n_flavours, n_bins, n_functions); f_i . unity adds up to 1."""
        return np.asarray(self.integrals @ self.basis.gram / sum(self.rates.values()))

    @property
    def second_moments(self) -> Array:
        """Expectation per event of f_i f_j in a bin, shape (n_flavours, n_bins, n_functions, n_functions)."""
        product = np.einsum("abk,kij->abij", self.integrals, self.basis.triple)
        return np.asarray(product / sum(self.rates.values()))


def expectation(
    density: Density,
    names: tuple[str, ...],
    flavours: Sequence[int],
    selected: Sequence[tuple[float, float]],
    breakpoints: Array,
    n_bins: int = 50,
) -> Expectation:
    """Integrate a density of events over bins of q2 with about equal contents.

    Panels between the breakpoints are halved until halving changes no integral by more than 1e-9 of the rate;
    edges of the bins then split panels further.

    Args:
        density: coefficients of the density of events for q2 and flavour.
        names: names of the coefficients.
        flavours: +1, -1 or both.
        selected: intervals of q2 (GeV^2).
        breakpoints: q2 where the density has kinks or resonances.
        n_bins: number of bins.

    Raises:
        InputError: nothing is selected, or the density is not finite.

    Example:
        >>> flat = lambda q2, flavour: np.stack([1 + 0 * q2, 0 * q2, 0 * q2])
        >>> expectation(flat, ("a", "b", "c"), (1,), [(0.0, 2.0)], np.array([]), 4).edges.round(12).tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    if not selected:
        raise InputError("q2: the selected ranges hold nothing; widen q2 or drop a veto")
    flavours = tuple(flavours)
    panels = _adapted(density, flavours, selected, breakpoints)
    basis = angular_basis(names)
    rate = (_integrals(density, flavours, panels) @ basis.gram @ basis.unity).sum(axis=0)
    cumulative = np.concatenate([[0.0], np.cumsum(rate)])
    goals = np.linspace(0.0, cumulative[-1], n_bins + 1)[1:-1]
    index = np.clip(np.searchsorted(cumulative, goals, side="right") - 1, 0, len(panels) - 1)
    fraction = (goals - cumulative[index]) / rate[index]
    inner = panels[index, 0] + fraction * (panels[index, 1] - panels[index, 0])
    edges = np.unique(np.concatenate([[selected[0][0]], inner, [selected[-1][1]]]))
    integrals = _binned(density, flavours, panels, edges)
    return Expectation(names, flavours, edges, tuple(selected), integrals)


def _integrals(density: Density, flavours: Sequence[int], panels: Array) -> Array:
    """Return the integrals over panels (shape (n, 2)) as (n_flavours, n, n_coefficients)."""
    nodes, weights = np.polynomial.legendre.leggauss(ORDER)
    half = 0.5 * (panels[:, 1] - panels[:, 0])
    q2 = 0.5 * (panels[:, :1] + panels[:, 1:]) + half[:, None] * nodes
    result = []
    for flavour in flavours:
        values = np.asarray(density(q2.ravel(), flavour), dtype=np.float64)
        if not np.isfinite(values).all():
            raise InputError("model: its rate is not finite somewhere in the selected q2")
        values = values.reshape(values.shape[0], *q2.shape)
        result.append(np.einsum("cpn,n,p->pc", values, weights, half))
    return np.stack(result)


def _adapted(
    density: Density, flavours: Sequence[int], selected: Sequence[tuple[float, float]], breakpoints: Array
) -> Array:
    """Return panels on which the rule is accurate, sorted, shape (n, 2)."""
    start = []
    for low, high in selected:
        inner = breakpoints[(breakpoints > low) & (breakpoints < high)]
        edges = np.unique(np.concatenate([[low], inner, [high]]))
        start.append(np.stack([edges[:-1], edges[1:]], axis=1))
    panels = np.concatenate(start)
    coarse = _integrals(density, flavours, panels)
    done: list[Array] = []
    while len(panels):
        middle = 0.5 * (panels[:, 0] + panels[:, 1])
        halves = np.stack([np.stack([panels[:, 0], middle], 1), np.stack([middle, panels[:, 1]], 1)], 1).reshape(-1, 2)
        fine = _integrals(density, flavours, halves)
        paired = fine.reshape(fine.shape[0], -1, 2, fine.shape[2]).sum(axis=2)
        if not done:
            scale = np.abs(paired).sum(axis=(0, 1)).max()
        change = np.abs(paired - coarse).max(axis=(0, 2))
        good = (change <= TOLERANCE * scale) | (panels[:, 1] - panels[:, 0] <= SMALLEST_PANEL * panels[:, 1])
        done.append(panels[good])
        panels = halves[np.repeat(~good, 2)]
        coarse = fine[:, np.repeat(~good, 2)]
    result = np.concatenate(done)
    return np.asarray(result[np.argsort(result[:, 0])])


def _binned(density: Density, flavours: Sequence[int], panels: Array, edges: Array) -> Array:
    """Return the integrals over bins as (n_flavours, n_bins, n_coefficients), panels split at the edges."""
    pieces = []
    for low, high in panels:
        inner = edges[(edges > low) & (edges < high)]
        cuts = np.concatenate([[low], inner, [high]])
        pieces.append(np.stack([cuts[:-1], cuts[1:]], axis=1))
    split = np.concatenate(pieces)
    values = _integrals(density, flavours, split)
    index = np.clip(np.searchsorted(edges, split.mean(axis=1), side="right") - 1, 0, len(edges) - 2)
    total = np.zeros((values.shape[0], len(edges) - 1, values.shape[2]))
    for i, k in enumerate(index):
        total[:, k] += values[:, i]
    return total
