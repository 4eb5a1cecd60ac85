"""What a detector does to pseudo-experiments: an efficiency map, and a reconstructed q2, for both depths of toys.

Binned toys need probabilities: that an event of true q2 and angles is kept, and in which bin it is reconstructed.
Event toys draw from the same functions, event by event. Angles are kept; the angular observables of an experiment
are made with weights 1/ε at the true q2 and angles, so an efficiency costs precision and gives no bias, while q2 that
migrates does give one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special

from ...kinematics.base.arrays import array_module, on_gpu
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ...physics.densities import Density
from ..analysis.migration import migrations
from ..lab.efficiency_files import read_map
from ..lab.efficiency_maps import EfficiencyMap, HistogramMap, evaluate
from ..sampler.backend import Backend, SampledTable
from ..sampler.calls import TOY_DETECTOR, TOY_THINNING
from ..sampler.rng import event_uniforms
from ..sampler.tables import density_of
from ..statistics.draws import SHIFT

Array = npt.NDArray[np.float64]
STEP = 0.1
"""Width of the intervals of q2 (GeV²) of a migration matrix."""
_CELLS = 1 << 20  # values of an efficiency map computed at a time


class Smearing(Protocol):
    """From true to reconstructed q2."""

    @property
    def reach(self) -> tuple[float, float]:
        """How far below and above a bin the events reconstructed in it may come from (GeV²)."""

    def breakpoints(self, edges: Array) -> Array:
        """True q2 between which the probabilities are smooth."""

    def probability(self, q2: Array, low: float, high: float) -> Array:
        """Probability to be found, and reconstructed between two values."""

    def reconstruct(self, q2: Any, u: Any) -> Any:
        """Reconstructed q2 from a uniform number; NaN for an event that is not found or outside all intervals."""


@dataclass(frozen=True)
class GaussianSmearing:
    r"""Reconstructed q2 with a Gaussian error of one width σ (GeV²).

    .. math:: P([a, b]\,|\,q^2) = \Phi\big((b-q^2)/\sigma\big)-\Phi\big((a-q^2)/\sigma\big)

    >>> GaussianSmearing(0.5).probability(np.array([2.0]), 1.5, 2.5).round(4).tolist()
    [0.6827]
    """

    width: float

    @property
    def reach(self) -> tuple[float, float]:
        """Six widths either way."""
        return 6.0 * self.width, 6.0 * self.width

    def breakpoints(self, edges: Array) -> Array:
        """One, two and four widths about each edge."""
        return np.concatenate([edges + k * self.width for k in (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0)])

    def probability(self, q2: Array, low: float, high: float) -> Array:
        """The difference of two normal distributions."""
        return np.asarray(special.ndtr((high - q2) / self.width) - special.ndtr((low - q2) / self.width))

    def reconstruct(self, q2: Any, u: Any) -> Any:
        """True q2 and a normal number."""
        library = import_module("cupyx.scipy.special") if on_gpu(u) else special  # a part of CuPy
        return q2 + self.width * library.ndtri(u)


@dataclass(frozen=True, eq=False)
class MatrixSmearing:
    """Reconstructed q2 by a migration matrix; within an interval nothing depends on the true q2.

    Attributes:
        edges: of the intervals (GeV²); one more lies below and one above.
        joint: probability to be found in a reconstructed interval for every true one, shape (n + 2, n + 2); what is
            missing in a row is not found.
    """

    edges: Array
    joint: Array

    @property
    def reach(self) -> tuple[float, float]:
        """Events may come from everywhere."""
        return np.inf, np.inf

    def breakpoints(self, edges: Array) -> Array:
        """Edges of the intervals."""
        return self.edges

    def probability(self, q2: Array, low: float, high: float) -> Array:
        """Share of the intervals between two values, taken as flat inside an interval."""
        overlap = np.minimum(self.edges[1:], high) - np.maximum(self.edges[:-1], low)
        share = np.clip(overlap, 0.0, None) / np.diff(self.edges)
        return np.asarray((self.joint[:, 1:-1] @ share)[np.searchsorted(self.edges, q2, side="right")])

    def reconstruct(self, q2: Any, u: Any) -> Any:
        """Inverse of the cumulative probability; NaN below the first and above the last edge and if not found."""
        xp = array_module(q2)
        edges, joint = xp.asarray(self.edges), xp.asarray(self.joint)
        row = xp.searchsorted(edges, q2, side="right")
        cumulative = xp.asarray(np.cumsum(self.joint, axis=1))
        size = cumulative.shape[1]
        out = xp.full(len(q2), np.nan)
        for r in xp.unique(row).tolist():
            mine = xp.nonzero(row == r)[0]
            j = xp.searchsorted(cumulative[r], u[mine], side="right")
            inner = (j > 0) & (j < size - 1)
            mine, j = mine[inner], j[inner]
            inside = (u[mine] - cumulative[r, j - 1]) / joint[r, j]
            out[mine] = edges[j - 1] + xp.clip(inside, 0.0, 1.0 - 1e-12) * (edges[j] - edges[j - 1])
        return out


@dataclass(frozen=True, eq=False)
class ChannelDetector:
    """What is done to the events of one channel; nothing if both are None."""

    channel: Channel
    efficiency: EfficiencyMap | None = None
    smearing: Smearing | None = None

    @property
    def perfect(self) -> bool:
        """Whether nothing is done."""
        return self.efficiency is None and self.smearing is None

    def range(self, low: float, high: float) -> tuple[float, float]:
        """True q2 of the events that may be reconstructed between two values."""
        start, stop = self.channel.q2_limits()
        below, above = self.smearing.reach if self.smearing is not None else (0.0, 0.0)
        return max(start, low - below), min(stop, high + above)

    def breakpoints(self, edges: Array) -> Array:
        """True q2 between which all probabilities are smooth."""
        points = [edges]
        if self.smearing is not None:
            points.append(self.smearing.breakpoints(edges))
        if isinstance(self.efficiency, HistogramMap) and "q2" in self.efficiency.axes:
            points.append(self.efficiency.edges[self.efficiency.axes.index("q2")])
        return np.unique(np.concatenate(points))

    def probability(self, q2: Array, low: float, high: float) -> Array:
        """Probability of q2 to be reconstructed between two values, efficiency map left out."""
        if self.smearing is None:
            return np.asarray(((q2 > low) & (q2 < high)).astype(float))
        return self.smearing.probability(q2, low, high)

    @property
    def angular(self) -> bool:
        """Whether the efficiency depends on angles."""
        return self.efficiency is not None and any(name != "q2" for name in self.efficiency.inputs)

    def rates(self, q2: Array) -> Array:
        r"""What turns J_i into the rate of events that the map keeps, shape (coefficients, q2).

        .. math:: E_i(q^2) = N\int \epsilon(q^2,\Omega)\,f_i(\Omega)\,d\Omega
        """
        density = density_of(self.channel)
        if self.efficiency is None or not self.angular:
            return np.asarray(density.rate)[:, None] * self._of_q2(q2)[None, :]
        *angles, weights = self._grid(density)
        f = density.norm * density.basis(*angles) * weights
        return np.concatenate([f @ values.T for _, values in self._values(q2, angles)], axis=1)

    def _of_q2(self, q2: Array) -> Array:
        if self.efficiency is None:
            return np.ones(len(q2))
        return np.asarray(evaluate(self.efficiency, {"q2": q2}, self.channel))

    def moments(self, j: Array, q2: Array, weights: Array) -> tuple[Array, Array]:
        r"""Mean of the f_i and covariance of one event, of events weighted with 1/ε, in every bin.

        The estimate of n events is :math:`m=\sum w f/\sum w`; its covariance is the second result over n,

        .. math:: \frac{A}{G^2}\,N\!\int\frac{1}{\epsilon}\,(f_i-m_i)(f_j-m_j)\,J_k f_k\,d\Omega\,dq^2

        with A the rate of events that are kept and G the rate of all.

        Args:
            j: coefficients of the density of events, shape (coefficients, models, q2).
            q2: nodes.
            weights: of the integral over them for each bin, probability included, shape (bins, q2).

        Returns:
            shapes (models, bins, coefficients) and (models, bins, coefficients, coefficients).

        Raises:
            InputError: an efficiency of zero somewhere: no weight makes good for it.
        """
        density = density_of(self.channel)
        *angles, area = self._grid(density)
        f = density.basis(*angles)
        folded = np.zeros((3, j.shape[1], len(weights), len(area)))  # over q2: rate, rate times ε, rate over ε
        for part, values in self._values(q2, angles):
            if np.any(values <= 0.0):
                raise InputError(
                    f"efficiency of {self.channel.name}: it is zero at some angles, where no weight 1/efficiency makes "
                    "good for it; leave angular observables out, or give a map that is positive"
                )
            for m in range(j.shape[1]):
                rate = density.norm * (j[:, m, part].T @ f) * area
                for row, seen in zip(folded[:, m], (rate, rate * values, rate / values), strict=True):
                    row += weights[:, part] @ seen
        total = folded[0].sum(axis=-1)
        mean = folded[0] @ f.T / total[..., None]
        accepted = folded[1].sum(axis=-1) / total**2
        covariance = np.empty((*total.shape, len(f), len(f)))
        for place in np.ndindex(*total.shape):
            shift = f - mean[place][:, None]
            covariance[place] = accepted[place] * (shift * folded[2][place]) @ shift.T
        return mean, covariance

    def _values(self, q2: Array, angles: Sequence[Array]) -> list[tuple[slice, Array]]:
        """Efficiency on the grid of angles, (q2, angles), in parts of the nodes of q2."""
        size = len(angles[0])
        step = max(1, _CELLS // size)
        parts = [slice(first, min(first + step, len(q2))) for first in range(0, len(q2), step)]
        return [(part, _map_values(self, q2[part].tobytes())) for part in parts]

    def _grid(self, density: Density) -> tuple[Array, ...]:
        """Nodes and, last, weights over the angles: smooth maps on Gauss points, histograms bin by bin."""
        axes = []
        for name in density.angles:
            low, high = (-np.pi, np.pi) if name == "phi" else (-1.0, 1.0)
            cuts = np.linspace(low, high, 5 if name == "phi" else 3)
            if isinstance(self.efficiency, HistogramMap) and name in self.efficiency.axes:
                inner = self.efficiency.edges[self.efficiency.axes.index(name)]
                cuts = np.unique(np.concatenate([[low, high], inner[(inner > low) & (inner < high)]]))
            x, w = np.polynomial.legendre.leggauss(6 if len(cuts) < 6 else 4)
            half = 0.5 * np.diff(cuts)[:, None]
            axes.append(((cuts[:-1, None] + half * (x + 1.0)).ravel(), (half * w).ravel()))
        mesh = [a.ravel() for a in np.meshgrid(*(x for x, _ in axes), indexing="ij")]
        area = np.ones(1)
        for _, w in axes:
            area = (area[:, None] * w).ravel()
        return (*mesh, area)

    def observe(self, columns: Mapping[str, Any], numbers: Any, seed: int, stream: int) -> Any:
        """Reconstructed q2 of events of some numbers, NaN for those that are not found; where the events are."""
        q2 = array_module(columns["q2"]).asarray(columns["q2"], dtype=np.float64)
        u = uniforms(numbers, seed, stream, TOY_DETECTOR.first)
        reco = q2.copy() if self.smearing is None else self.smearing.reconstruct(q2, u[0])
        if self.efficiency is not None:
            reco[u[1] >= evaluate(self.efficiency, columns, self.channel)] = np.nan
        return reco

    def weights(self, columns: Mapping[str, Any]) -> Any:
        """1/ε of events."""
        if self.efficiency is None:
            return array_module(columns["q2"]).ones(len(columns["q2"]))
        return 1.0 / evaluate(self.efficiency, columns, self.channel)


@lru_cache(maxsize=32)
def _map_values(detector: ChannelDetector, nodes: bytes) -> Array:
    """Efficiency at nodes of q2 on the detector's grid of angles, (q2, angles)."""
    density, q2 = density_of(detector.channel), np.frombuffer(nodes)
    *angles, _ = detector._grid(density)
    n, size = len(q2), len(angles[0])
    columns = dict(zip(density.angles, angles, strict=True))
    if detector.efficiency is None:
        return np.ones((n, size))
    if "q2" not in detector.efficiency.inputs:  # one row stands for all
        return np.broadcast_to(np.asarray(evaluate(detector.efficiency, columns, detector.channel)), (n, size))
    columns = {name: np.tile(values, n) for name, values in columns.items()} | {"q2": np.repeat(q2, size)}
    return np.asarray(evaluate(detector.efficiency, columns, detector.channel)).reshape(n, size)


def event_numbers(first: int, events: int) -> npt.NDArray[np.uint64]:
    """Numbers of events that follow each other."""
    return np.uint64(first) + np.arange(events, dtype=np.uint64)


def uniforms(numbers: Any, seed: int, stream: int, call: int) -> Any:
    """`rng.event_uniforms`, where the numbers are."""
    if on_gpu(numbers):
        from ..sampler import gpu

        return gpu.event_uniforms(numbers, seed, stream, call)
    return event_uniforms(numbers, seed, stream, call)


@lru_cache(maxsize=64)
def channel_detector(channel: Channel, efficiency: str, migration: str, resolution: float) -> ChannelDetector:
    """Detector of a channel from the words of a data set: files of a map and of simulated events, and a width.

    Raises:
        InputError: a file that cannot be used, or both a migration and a resolution.

    Example:
        >>> from darkpenguin.physics.channels import get_channel
        >>> channel_detector(get_channel("B+->K+mumu"), "", "", 0.0).perfect
        True
    """
    if migration and resolution:
        raise InputError(f"{channel.name}: a migration and a resolution; a migration says it all, leave the other out")
    found = None
    if efficiency:
        found = read_map(efficiency)
        beyond = [name for name in found.inputs if name not in ("q2", *density_of(channel).angles)]
        if beyond:
            raise InputError(
                f"efficiency of {channel.name}: the map reads {', '.join(beyond)}; toys know q2 and the angles. "
                "Simulate events with it and give their file as the migration"
            )
    smearing: Smearing | None = GaussianSmearing(resolution) if resolution else None
    if migration:
        smearing = read_migration(channel, migration)
    return ChannelDetector(channel, found, smearing)


def read_migration(channel: Channel, path: str | os.PathLike[str]) -> MatrixSmearing:
    """Migration matrix of a channel in intervals of ``STEP`` from a file with q2 and q2_reco.

    Efficiency is what the column ``accepted`` of the file says. An interval without events is never found.
    """
    low, high = channel.q2_limits()
    edges = np.round(np.arange(np.floor(low / STEP), np.ceil(high / STEP) + 1) * STEP, 9)
    intervals = [(float(a), float(b)) for a, b in pairwise(edges)]
    found = {matrix.channel: matrix for matrix in migrations(Path(path), intervals)}
    if channel.name not in found:
        raise InputError(f"migration = {str(path)!r}: no events of {channel.name}; it has {', '.join(found) or 'none'}")
    matrix = found[channel.name]
    if not np.any(matrix.counts[1:-1, 1:-1] > 0):
        raise InputError(f"migration = {str(path)!r}: no event of {channel.name} is accepted")
    return MatrixSmearing(np.asarray(matrix.edges), np.clip(matrix.normalised * matrix.efficiency[:, None], 0.0, 1.0))


@dataclass(frozen=True, eq=False)
class ObservedToys:
    """Event toys behind a detector: accepted events, and weighted means of the f_i with their covariance.

    Attributes:
        counts: events in each reconstructed bin, shape (toys, bins).
        means: shape (toys, bins, functions); NaN without events.
        covariance: of the means, shape (toys, bins, functions, functions).
    """

    counts: npt.NDArray[np.int64]
    means: Array
    covariance: Array


def observed_toys(
    backend: Backend,
    table: SampledTable,
    detector: ChannelDetector,
    events: npt.ArrayLike,
    edges: npt.ArrayLike,
    *,
    seed: int,
    stream: int,
    start: int = 0,
    moments: bool = True,
    keep: Array | None = None,
) -> ObservedToys:
    """Generate toys, pass their events through a detector and bin what is left in reconstructed q2.

    Args:
        backend: where events are made; the detector works on the host.
        table: node table over ``detector.range`` of the bins.
        detector: of the channel.
        events: number of events of each toy before the detector.
        edges: edges of the bins of reconstructed q2 (GeV²).
        seed: key of the random numbers.
        stream: as of ``event_toys.event_moments``.
        start: number of the first toy.
        moments: whether angular functions are needed too.
        keep: probability to keep an event in each toy and bin, what nuisance parameters leave of the most that they
            could make of it; all are kept if None.
    """
    numbers, bounds = np.asarray(events, dtype=np.int64), np.asarray(edges, dtype=float)
    density = density_of(detector.channel)
    n_bins, size = len(bounds) - 1, len(density.coefficients) if moments else 0
    counts = np.zeros((len(numbers), n_bins), dtype=np.int64)
    means = np.full((len(numbers), n_bins, size), np.nan)
    covariance = np.full((len(numbers), n_bins, size, size), np.nan)
    for t, n in enumerate(numbers.tolist()):
        first = (start + t) << SHIFT
        columns = {k: np.asarray(v) for k, v in backend.generate(table, seed, first, first + n, stream).items()}
        numbered = event_numbers(first, n)
        place = np.searchsorted(bounds, detector.observe(columns, numbered, seed, stream), side="right") - 1
        if keep is not None:
            u = event_uniforms(numbered, seed, stream, TOY_THINNING.first)[0]
            place[u >= keep[t, np.clip(place, 0, n_bins - 1)]] = -1
        counts[t] = np.bincount(place[(place >= 0) & (place < n_bins)], minlength=n_bins)
        for b in range(n_bins if moments else 0):
            chosen = place == b
            if not counts[t, b]:
                continue
            mine = {name: column[chosen] for name, column in columns.items()}
            f, w = density.basis(*(mine[name] for name in density.angles)), detector.weights(mine)
            means[t, b] = f @ w / w.sum()
            shift = (f - means[t, b][:, None]) * w
            covariance[t, b] = shift @ shift.T / w.sum() ** 2
    return ObservedToys(counts, means, covariance)
