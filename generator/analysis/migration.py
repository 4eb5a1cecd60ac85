"""Migration of q2: where events of a true interval are reconstructed, and how many are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...physics.binning import BinsLike, parse_bins
from ..files.sample import EventsLike
from ..files.source import EventSource

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Migration:
    """Where the events of a channel go from their true q2 to the reconstructed one.

    Attributes:
        channel: name of the channel.
        edges: of the intervals of q2 (GeV^2), gaps between bins included; below and above them are two more.
        generated: sum of weights of all events by true interval, accepted or not, shape (n + 2,).
        counts: sum of weights of accepted events, shape (n + 2 true, n + 2 reconstructed).
        variances: sum of squared weights of the same.
    """

    channel: str
    edges: tuple[float, ...]
    generated: Array
    counts: Array
    variances: Array

    @property
    def normalised(self) -> Array:
        """Probability of a reconstructed interval for an accepted event of a true one: rows add up to 1, or 0."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(self.counts, total, out=np.zeros_like(self.counts), where=total != 0.0))

    @property
    def efficiency(self) -> Array:
        """Accepted over generated, by true interval; 0 where nothing was generated.

        Of the column ``accepted``: events that a run left out of its file are not known here.
        """
        accepted = self.counts.sum(axis=1)
        return np.asarray(np.divide(accepted, self.generated, out=np.zeros_like(accepted), where=self.generated != 0.0))

    def table(self) -> list[tuple[str, ...]]:
        """Cells of a table: one row for every pair of intervals that has events."""
        ends = ["0", *(f"{edge:g}" for edge in self.edges), "inf"]
        names = [f"{low}-{high}" for low, high in pairwise(ends)]
        return [
            (
                self.channel,
                names[i],
                f"{self.generated[i]:.8g}",
                f"{self.efficiency[i]:.5g}",
                names[j],
                f"{self.normalised[i, j]:.6g}",
            )
            for i in range(len(names))
            for j in range(len(names))
            if self.counts[i, j] != 0.0
        ]

    def fold(self, truth: Any) -> Array:
        """Reconstructed spectrum of a generated one, both by interval with the two beyond the edges, shape (n + 2,)."""
        return np.asarray((np.asarray(truth, dtype=np.float64) * self.efficiency) @ self.normalised)


@dataclass(frozen=True, eq=False)
class Migrations(Rows[Migration]):
    """Migration of q2 in a file, channel by channel."""

    file: Path
    variable: str

    def records(self) -> list[dict[str, Any]]:
        """Return a dictionary for every channel and pair of intervals: generated, efficiency, probability."""
        found = []
        for one in self.rows:
            ends = (0.0, *one.edges, np.inf)
            for i, j in np.ndindex(one.counts.shape):
                found.append(
                    {
                        "channel": one.channel,
                        "q2_min": ends[i],
                        "q2_max": ends[i + 1],
                        "generated": one.generated[i],
                        "efficiency": one.efficiency[i],
                        f"{self.variable}_min": ends[j],
                        f"{self.variable}_max": ends[j + 1],
                        "probability": one.normalised[i, j],
                    }
                )
        return found


def migrations(events: EventsLike, bins: BinsLike = "lhcb", *, variable: str = "q2_reco") -> Migrations:
    """Migration of q2 in events that have a reconstructed one, channel by channel.

    Args:
        events: a file that darkpenguin wrote, or a sample in memory.
        bins: of both, as in `bin`.
        variable: column of the reconstructed q2.

    Raises:
        InputError: a file that cannot be read, or without the column ``variable``.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run("B+->K+ee", events=1000, beam="rest", resolution="lhcb", output=f"{folder}/x.root").seconds > 0
        ...     [found] = migrations(f"{folder}/x.root", [1.1, 6.0])
        True
        >>> bool(found.normalised[1, 1] > 0.5)
        True
    """
    binning = parse_bins(bins)
    source = EventSource(events, convention=False)
    source.need(variable)
    found: dict[int, Migration] = {}
    for index, channel in source.channels.items():
        edges = np.unique(np.array(binning.bins(channel)).ravel())
        n = len(edges) + 1
        if n > 2:
            found[index] = Migration(
                channel.name, tuple(map(float, edges)), np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
            )
    for index, columns, weights in source.events():
        if index not in found:
            continue
        known = found[index]
        n = len(known.generated)
        before = columns["weight"].astype(np.float64) if "weight" in columns else np.ones(len(weights))
        kept = weights != 0.0
        reco = columns[variable]
        if not (np.isfinite(columns["q2"]).all() and np.isfinite(reco[kept]).all()):
            raise InputError(f"file = {source.name!r}: a q2 or {variable} of {known.channel} is not a number")
        true = np.searchsorted(known.edges, columns["q2"], side="right")
        cell = true[kept] * n + np.searchsorted(known.edges, reco[kept], side="right")
        known.generated[:] += np.bincount(true, before, n)
        known.counts[:] += np.bincount(cell, weights[kept], n * n).reshape(n, n)
        known.variances[:] += np.bincount(cell, weights[kept] ** 2, n * n).reshape(n, n)
    return Migrations(tuple(found.values()), source.file.path, variable)
