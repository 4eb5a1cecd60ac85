"""Expected yields per channel and bin: rates of a model, normalised to a data set, through its resolution.

The norm of a channel comes from the yield that the data set states for the Standard Model in a window of q2;
what a model changes, and how q2 is distributed, comes from the integrated angular coefficients. Counts are
sums over both flavours, in LHCb's convention where angles matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...physics.angular import angular_coefficients, breakpoints, decay_rate, event_signs, quadrature
from ...physics.binning import BinsLike, read_pairs
from ...physics.channels import Channel, get_channel
from ...physics.models import Model
from ...physics.moments import expected_moments
from ...physics.observables import BinnedObservable
from ...physics.theory import Theory
from .datasets import ChannelYield, Dataset
from .detector import ChannelDetector, channel_detector

Array = npt.NDArray[np.float64]


def binned_yields(channels: Sequence[str], bins: BinsLike) -> tuple[BinnedObservable, ...]:
    """Yields of several channels in the same bins of reconstructed q2, channel by channel.

    Raises:
        InputError: bins that are neither edges nor pairs.

    Example:
        >>> [str(found) for found in binned_yields(["B+->K+mumu"], [1.1, 2, 6])]
        ['yield(B+->K+mumu) [1.1, 2]', 'yield(B+->K+mumu) [2, 6]']
    """
    return tuple(BinnedObservable("yield", name, low, high) for name in channels for low, high in read_pairs(bins))


def by_channel(bins: Sequence[BinnedObservable]) -> dict[str, list[int]]:
    """Places of bins by the name of their channel.

    >>> by_channel(binned_yields(["B+->K+mumu", "B+->K+ee"], [1.1, 2, 6]))
    {'B+->K+mumu': [0, 1], 'B+->K+ee': [2, 3]}
    """
    found: dict[str, list[int]] = {}
    for place, one in enumerate(bins):
        found.setdefault(str(one.channel), []).append(place)
    return found


@dataclass(frozen=True, eq=False)
class Response:
    """Nodes of true q2 (GeV²) and, for every bin, the weights of an integral over them.

    A weight is that of the quadrature times the probability to be reconstructed in the bin.
    """

    nodes: Array
    weights: Array


def response(
    channel: Channel,
    models: Sequence[Model],
    bins: Sequence[tuple[float, float]],
    detector: ChannelDetector | None = None,
) -> Response:
    """Response of a channel: sharp bins, or q2 as the detector reconstructs it, integrated over the true q2.

    The efficiency map is not in it: what it keeps depends on the angles.
    """
    low, high = channel.q2_limits()
    seen = detector or ChannelDetector(channel)
    edges = np.unique(np.ravel(bins))
    start, stop = seen.range(float(edges[0]), float(edges[-1]))
    if not start < stop:
        raise InputError(
            f"bins {edges[0]:g} to {edges[-1]:g} GeV^2: outside the phase space of {channel.name}, "
            f"{low:.4g} to {high:.5g} GeV^2"
        )
    nodes, weights = quadrature(
        np.unique(np.concatenate([breakpoints(channel, list(models)), seen.breakpoints(edges)])), start, stop
    )
    return Response(nodes, np.stack([weights * seen.probability(nodes, a, b) for a, b in bins]))


def _coefficients(channel: Channel, models: Sequence[Model], nodes: Array) -> Array:
    """Density of events, LHCb convention, both flavours: (n_coefficients, n_models, n_q2)."""
    return np.asarray(
        sum(
            event_signs(channel, flavour)[:, None, None] * angular_coefficients(channel, list(models), nodes, flavour)
            for flavour in (1, -1)
        )
    )


def integrated_coefficients(
    channel: Channel | str, models: Sequence[Model], bins: Sequence[tuple[float, float]]
) -> Array:
    """Coefficients of the density of events integrated over bins: (n_models, n_bins, n_coefficients), in GeV.

    Sums over both flavours in LHCb's convention: what the angles of all events in a bin follow.

    >>> integrated_coefficients("B+->K+mumu", [Model()], [(1.1, 6.0)]).shape
    (1, 1, 3)
    """
    one = get_channel(channel) if isinstance(channel, str) else channel
    found = response(one, models, bins)
    return _integrate(_coefficients(one, models, found.nodes), found.weights)


def _integrate(j: Array, weights: Array) -> Array:
    """Integrals over bins, (n_models, n_bins, n_coefficients), of values at nodes (n_coefficients, n_models, n_q2)."""
    out = np.zeros((j.shape[1], len(weights), j.shape[0]))
    for b, row in enumerate(weights):
        used = np.nonzero(row)[0]
        out[:, b, :] = np.sum(j[:, :, used] * row[used], axis=-1).T
    return out


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of models for the bins of one channel.

    Attributes:
        counts: signal that is found, (n_models, n_bins).
        mean: mean angular functions of one event, weighted with 1/ε, (n_models, n_bins, 12); empty if not asked for.
        covariance: of the same, (n_models, n_bins, 12, 12).
    """

    counts: Array
    mean: Array
    covariance: Array


def predict_channel(
    models: Sequence[Model],
    dataset: Dataset,
    channel: str,
    bins: Sequence[tuple[float, float]],
    *,
    moments: bool = False,
) -> Predicted:
    """Expected signal, and angular moments, of every model behind the data set's detector.

    >>> from darkpenguin.generator.toys.datasets import get_dataset
    >>> found = predict_channel([Model()], get_dataset("lhcb-run12"), "B+->K+mumu", [(1.1, 6.0)])
    >>> round(float(found.counts[0, 0]), 6)
    3850.0
    """
    one, detector = get_channel(channel), dataset.detector(channel)
    scale = _scales(dataset, channel, bins)
    found = response(one, models, bins, detector)
    j = _coefficients(one, models, found.nodes)
    integrals = _integrate(j, found.weights)
    mean, covariance = np.zeros((len(models), 0, 12)), np.zeros((len(models), 0, 12, 12))
    if moments:
        mean, covariance = expected_moments(integrals)
    if detector.efficiency is None:
        return Predicted(scale * decay_rate(np.moveaxis(integrals, -1, 0)), mean, covariance)
    kept = np.sum(j * detector.rates(found.nodes)[:, None, :], axis=0)
    if moments:
        mean, covariance = detector.moments(j, found.nodes, found.weights)
    return Predicted(scale * (kept @ found.weights.T), mean, covariance)


def generated_events(
    model: Model,
    dataset: Dataset,
    channel: str,
    ranges: Sequence[tuple[float, float]],
    bins: Sequence[tuple[float, float]],
) -> float:
    """Expected number of events in ranges of true q2, before the detector, at the highest efficiency of some bins."""
    rates = decay_rate(np.moveaxis(integrated_coefficients(channel, [model], ranges)[0], -1, 0))
    return float(_scales(dataset, channel, bins).max() * np.sum(rates))


def _scales(dataset: Dataset, channel: str, bins: Sequence[tuple[float, float]]) -> Array:
    """Events per rate (1/GeV) in bins, by the window that each is in."""
    entry = dataset.channel(channel)
    windows = [entry.window_of(low, high) for low, high in bins]
    return np.array([entry.signal(w) / _window_rate(channel, entry, w.q2, dataset.theory) for w in windows])


def window_shares(dataset: Dataset, channel: str, bins: Sequence[tuple[float, float]]) -> Array:
    """Efficiency in bins over the highest of them, where the windows of a data set differ.

    >>> from darkpenguin.generator.toys.datasets import get_dataset
    >>> window_shares(get_dataset("lhcb-run12"), "B+->K+mumu", [(1.1, 2.0), (5.0, 6.0)]).tolist()
    [1.0, 1.0]
    """
    scales = _scales(dataset, channel, bins)
    return np.asarray(scales / scales.max())


def background_parts(dataset: Dataset, channel: str, bins: Sequence[tuple[float, float]]) -> dict[str, Array]:
    """Expected events of every component of the background in bins of reconstructed q2.

    >>> from darkpenguin.generator.toys.datasets import get_dataset
    >>> parts = background_parts(get_dataset("lhcb-run12"), "B+->K+ee", [(1.1, 3.0), (3.0, 6.0)])
    >>> bool(parts["combinatorial"][1] > parts["combinatorial"][0] > 0)
    True
    """
    entry = dataset.channel(channel)
    found = {}
    for component in dataset.components(channel):
        low, high = component.window or dataset.span(channel)
        inside = [(max(a, low), min(b, high)) if component.window else (a, b) for a, b in bins]
        shape = _shape(dataset, channel, component.shape, inside)
        if component.expected is not None:
            whole = _shape(dataset, channel, component.shape, [(low, high)])
            found[component.name] = component.expected * shape / whole
            continue
        per = []
        for a, b in bins:
            window = entry.window_of(a, b)
            norm = _shape(dataset, channel, component.shape, [window.q2])[0]
            per.append((component.fraction or 0.0) * entry.signal(window) / norm if norm > 0 else 0.0)
        found[component.name] = np.array(per) * shape
    return found


def _shape(
    dataset: Dataset, channel: str, shape: str | tuple[tuple[float, float], ...], bins: Sequence[tuple[float, float]]
) -> Array:
    """Integral of the shape of a background over bins, in a unit of its own; zero for an empty bin."""
    full = [i for i, (low, high) in enumerate(bins) if low < high]
    out = np.zeros(len(bins))
    if not full:
        return out
    edges = np.array([bins[i] for i in full])
    if shape == "flat":
        out[full] = edges[:, 1] - edges[:, 0]
    elif isinstance(shape, str):
        name = channel if shape == "signal" else shape
        out[full] = _spectrum(name, tuple((float(a), float(b)) for a, b in edges), dataset.theory)
    else:
        x, y = np.array(shape).T
        total = np.cumsum(y)
        out[full] = np.interp(edges[:, 1], x, total) - np.interp(edges[:, 0], x, total)
    return out


@lru_cache(maxsize=256)
def _spectrum(channel: str, bins: tuple[tuple[float, float], ...], theory: Theory) -> Array:
    """Rate of the Standard Model in bins, without a detector; those beyond the phase space are empty."""
    end = get_channel(channel).q2_limits()[1]
    inside = [(low, min(high, end)) if low < end else (0.5 * end, end) for low, high in bins]
    rate = decay_rate(np.moveaxis(integrated_coefficients(channel, [Model(theory=theory)], inside)[0], -1, 0))
    return np.where(np.array([low < end for low, _ in bins]), rate, 0.0)


def _window_rate(channel: str, entry: ChannelYield, window: tuple[float, float], theory: Theory) -> float:
    """Rate of the Standard Model that is found in a window of a data set (GeV), both flavours."""
    return _found_rate(channel, window, entry.efficiency, entry.migration, entry.resolution, theory)


@lru_cache(maxsize=256)
def _found_rate(
    channel: str, window: tuple[float, float], efficiency: str, migration: str, resolution: float, theory: Theory
) -> float:
    one, standard = get_channel(channel), [Model(theory=theory)]
    detector = channel_detector(one, efficiency, migration, resolution)
    found = response(one, standard, [window], detector)
    j = _coefficients(one, standard, found.nodes)[:, 0]
    rate = decay_rate(j) if detector.efficiency is None else np.sum(j * detector.rates(found.nodes), axis=0)
    total = float(rate @ found.weights[0])
    if not total > 0:
        raise InputError(f"{channel}: the detector finds nothing in q2 = {window[0]:g} to {window[1]:g} GeV^2")
    return total


def expected_counts(models: Sequence[Model], dataset: Dataset, bins: Sequence[BinnedObservable]) -> tuple[Array, Array]:
    """Expected signal of every model, (n_models, n_bins), and background, (n_bins,), in the bins.

    >>> from darkpenguin.generator.toys.datasets import get_dataset
    >>> window = binned_yields(["B+->K+mumu"], [1.1, 6.0])
    >>> signal, _ = expected_counts([Model()], get_dataset("lhcb-run12"), window)
    >>> round(float(signal[0, 0]), 6)
    3850.0
    """
    signal, background = np.zeros((len(models), len(bins))), np.zeros(len(bins))
    for name, columns in by_channel(bins).items():
        windows = [bins[i].window for i in columns]
        signal[:, columns] = predict_channel(models, dataset, name, windows).counts
        background[columns] = sum(background_parts(dataset, name, windows).values(), np.zeros(len(windows)))
    return signal, background


def describe(dataset: Dataset) -> list[dict[str, Any]]:
    """Rows for a table of a data set, one a window: channel, yield, background, q2, kind, source, note.

    >>> from darkpenguin.generator.toys.datasets import get_dataset
    >>> rows = describe(get_dataset("lhcb-run12"))
    >>> rows[0]["channel"], rows[0]["kind"]
    ('B+->K+mumu', 'published')
    """
    rows = []
    for name, entry in dataset.channels.items():
        for window in entry.windows:
            parts = background_parts(dataset, name, [window.q2])
            rows.append(
                {
                    "channel": name,
                    "yield": entry.signal(window),
                    "background": float(sum(part[0] for part in parts.values())),
                    "q2": window.q2,
                    "kind": window.kind,
                    "source": window.source,
                    "note": window.note,
                }
            )
    return rows
