"""What cuts, efficiency and migration take from a file that still holds the events that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_module, to_host
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

    def weights(self, row: int, columns: Mapping[str, Any]) -> Any:
        """Factor of each event in a bin, in the array library of the columns.

        >>> one = Acceptance(("cos_theta_l",), np.array([[2.0] * 5 + [4.0] * 5]))
        >>> one.weights(0, {"cos_theta_l": np.array([-0.5, 0.5])}).tolist()
        [2.0, 4.0]
        """
        cells = _cells(self.angles, columns)
        return array_module(cells).asarray(self.factors[row])[cells]


def _cells(angles: Sequence[str], columns: Mapping[str, Any]) -> Any:
    one = next(iter(columns.values()))
    xp = array_module(one)
    place = xp.zeros(len(one), dtype=np.int64)
    for name in angles:
        cell = xp.floor((columns[name].astype(np.float64) + 1.0) * (CELLS / 2))
        place = place * CELLS + xp.clip(xp.nan_to_num(cell), 0, CELLS - 1).astype(np.int64)
    return place


def acceptances(source: EventSource, variable: str, bins: Mapping[int, Bins]) -> dict[int, Acceptance]:
    """Acceptance of every channel of a file, by one more pass over it; ``bins`` by channel number."""
    angles = {index: tuple(a for a in DENSITIES[source.kind(index)].angles if a != "phi") for index in bins}
    totals = {i: np.zeros((2, len(bins[i]), CELLS ** len(angles[i]))) for i in bins}
    for row, (name, rejected) in enumerate((("q2", True), (variable, False))):

        def work(index: int, columns: Mapping[str, Any], weights: Any, name: str = name) -> Array:
            return _contents(
                bins[index], columns[name], _cells(angles[index], columns), weights, totals[index].shape[2]
            )

        for index, contents in source.each(work, rejected):
            totals[index][row] += contents
    found = {}
    for index, (generated, accepted) in totals.items():
        factors = np.divide(generated, accepted, out=np.zeros_like(generated), where=accepted > 0.0)
        seen = (factors * accepted).sum(axis=1, keepdims=True)
        scale = np.divide(generated.sum(axis=1, keepdims=True), seen, out=np.zeros_like(seen), where=seen > 0.0)
        found[index] = Acceptance(angles[index], factors * scale)
    return found


def _contents(bins: Bins, x: Any, cells: Any, weights: Any, size: int) -> Array:
    """Sums of weights in the cells of each bin, (bins, cells)."""
    xp, found = array_module(x), np.zeros((len(bins), size))
    for row, (low, high) in enumerate(bins):
        inside = (x >= low) & (x < high)
        found[row] = to_host(xp.bincount(cells[inside], weights=weights[inside], minlength=size))
    return found
