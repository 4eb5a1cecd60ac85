"""What cuts, efficiency and migration take from a file that still holds the events that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...physics.binning import Bins
from ...physics.densities import DENSITIES
from ..files.source import EventSource

Array = NDArray[np.float64]
CELLS = 10
"""Cells of each cosine within a bin: what is left within a cell, and over phi, is not corrected."""


@dataclass(frozen=True, eq=False)
class Acceptance:
    """Generated over accepted events in the bins of a channel and cells of its cosines, shape (bins, cells).

    Generated are those whose true q2 is in the bin, accepted those whose ``variable`` is. A bin's factors are scaled so
    that its accepted events add up to the generated ones, those in cells without an accepted event too.
    """

    angles: tuple[str, ...]
    factors: Array

    def weights(self, row: int, columns: Mapping[str, Any]) -> Array:
        """Factor of each event in a bin.

        >>> one = Acceptance(("cos_theta_l",), np.array([[2.0] * 5 + [4.0] * 5]))
        >>> one.weights(0, {"cos_theta_l": np.array([-0.5, 0.5])}).tolist()
        [2.0, 4.0]
        """
        return np.asarray(self.factors[row][_cells(self.angles, columns)])


def _cells(angles: Sequence[str], columns: Mapping[str, Any]) -> NDArray[np.int64]:
    place = np.zeros(len(next(iter(columns.values()))), dtype=np.int64)
    for name in angles:
        cell = np.floor((np.asarray(columns[name], dtype=float) + 1.0) * (CELLS / 2))
        place = place * CELLS + np.clip(np.nan_to_num(cell), 0, CELLS - 1).astype(np.int64)
    return place


def acceptances(source: EventSource, variable: str, bins: Mapping[int, Bins]) -> dict[int, Acceptance]:
    """Acceptance of every channel of a file, by one more pass over it; ``bins`` by channel number."""
    angles = {index: tuple(a for a in DENSITIES[source.kind(index)].angles if a != "phi") for index in bins}
    totals = {i: np.zeros((2, len(bins[i]), CELLS ** len(angles[i]))) for i in bins}
    for index, columns, weights in source.events(rejected=True):
        _add(totals[index][0], bins[index], columns["q2"], _cells(angles[index], columns), weights)
    for index, columns, weights in source.events():
        _add(totals[index][1], bins[index], columns[variable], _cells(angles[index], columns), weights)
    found = {}
    for index, (generated, accepted) in totals.items():
        factors = np.divide(generated, accepted, out=np.zeros_like(generated), where=accepted > 0.0)
        seen = (factors * accepted).sum(axis=1, keepdims=True)
        scale = np.divide(generated.sum(axis=1, keepdims=True), seen, out=np.zeros_like(seen), where=seen > 0.0)
        found[index] = Acceptance(angles[index], factors * scale)
    return found


def _add(total: Array, bins: Bins, x: Any, cells: NDArray[np.int64], weights: Array) -> None:
    for row, (low, high) in enumerate(bins):
        inside = (x >= low) & (x < high)
        total[row] += np.bincount(cells[inside], weights[inside], minlength=total.shape[1])
