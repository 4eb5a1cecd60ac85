"""The bins of q2 that tell two hypotheses apart best, one more at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from ...kinematics.base.errors import InputError

NARROWEST = 0.2
"""Least width of a bin (GeV²): a few times the resolution of muons."""
_CLOSE = 0.01
"""GeV² to which an edge is found: significance is flat about its best place."""


@dataclass(frozen=True)
class Binning:
    """Bins and what they do: significance of all observables at the data set's luminosity."""

    edges: tuple[float, ...]
    significance: float


def best_bins(significance: Callable[[Sequence[float]], float], low: float, high: float, most: int) -> list[Binning]:
    """Best edges of one bin, two, ... between two ends.

    The bin whose halves gain most is split; then every inner edge in turn moves to where the significance is highest
    between its neighbours, twice. So each is a maximum in each of its edges, though another one may lie elsewhere.

    Args:
        significance: of edges (GeV²).
        low: first edge.
        high: last edge.
        most: bins.

    Raises:
        InputError: more bins than there is room for.

    Example:
        >>> def score(edges):        # something that changes at 2 and at 5
        ...     return -sum(min(abs(edge - x) for edge in edges) for x in (2.0, 5.0))
        >>> [round(edge, 1) for edge in best_bins(score, 0.0, 8.0, 3)[-1].edges]
        [0.0, 2.0, 5.0, 8.0]
    """
    if not 1 <= most <= (high - low) / (2.0 * NARROWEST):
        room = int((high - low) / (2.0 * NARROWEST))
        raise InputError(f"best_bins = {most}: between {low:g} and {high:g} GeV^2 needs 1 to {room}")
    edges = [low, high]
    found = [Binning((low, high), significance(edges))]
    while len(edges) <= most:
        trials = [sorted([*edges, 0.5 * (a + b)]) for a, b in itertools.pairwise(edges) if b - a > 2.0 * NARROWEST]
        edges = max(trials, key=significance)
        for _ in range(2 if len(edges) > 3 else 1):
            for i in range(1, len(edges) - 1):
                edges = _moved(significance, edges, i)
        found.append(Binning(tuple(edges), significance(edges)))
    return found


def _moved(significance: Callable[[Sequence[float]], float], edges: list[float], i: int) -> list[float]:
    """The edges with one where it is best between its neighbours."""

    def at(x: float) -> list[float]:
        return [*edges[:i], float(x), *edges[i + 1 :]]

    inside = edges[i - 1] + NARROWEST, edges[i + 1] - NARROWEST
    there = optimize.minimize_scalar(lambda x: -significance(at(x)), bounds=inside, options={"xatol": _CLOSE})
    places = [edges[i], float(np.round(there.x, 4))]
    return at(max(places, key=lambda x: significance(at(x))))
