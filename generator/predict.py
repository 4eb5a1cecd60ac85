"""Observables as rows of numbers: predicted in bins or along a curve, and R measured from event files."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..kinematics.errors import InputError
from ..physics.channels import CHANNELS, Channel, get_channel
from ..physics.models import Model
from ..physics.observables import OBSERVABLES, Observable, binned, curve, get_observable
from .writers import EventFile

RATIO_BINS = (0.1, 1.1, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0)
"""Bins of q2 (GeV^2) in which R is measured from events."""


@dataclass(frozen=True)
class PredictedValue:
    """An observable in a bin of q2 (GeV^2), or at one q2 when both edges are the same."""

    observable: str
    q2_min: float
    q2_max: float
    value: float


@dataclass(frozen=True)
class MeasuredRatio:
    """R of muons over electrons in a bin of q2 (GeV^2), with its statistical error, from counted events."""

    hadron: str
    q2_min: float
    q2_max: float
    value: float
    error: float
    muons: int
    electrons: int


def predict(
    observables: str | Sequence[str],
    model: str | Model = "sm",
    bins: Sequence[float] | None = None,
    q2: tuple[float, float] | None = None,
    points: int = 100,
    channel: str | None = None,
) -> list[PredictedValue]:
    """Predict observables in bins of q2, or along a curve.

    Args:
        observables: names such as ``R_K+``, ``R_K*0``, ``P5p``, ``AFB``, ``FL``, ``dBR``.
        model: a benchmark's name or a model.
        bins: edges of the bins (GeV^2), in increasing order; numerator and denominator are integrated first.
        q2: without ``bins``, the range of the curve (GeV^2), NaN where it reaches beyond phase space; all of phase
            space without it.
        points: points of the curve.
        channel: channel of the observables that do not name one; their own default without it.

    Returns:
        One entry an observable and bin, observable by observable.

    Raises:
        InputError: an unknown observable, model or channel, or bins or a range that are empty or
            outside phase space.

    Example:
        >>> [row] = predict("R_K+", model="sm", bins=[1.1, 6.0])
        >>> abs(row.value - 1) < 0.01
        True
    """
    names = [observables] if isinstance(observables, str) else list(observables)
    rows = [get_observable(name) for name in names]
    found: list[PredictedValue] = []
    if bins is not None:
        pairs = _pairs(bins)
        for row in rows:
            values = binned(row, model, pairs, _channel_for(row, channel))
            found += [
                PredictedValue(row.name, low, high, float(value))
                for (low, high), value in zip(pairs, values, strict=True)
            ]
        return found
    for row in rows:
        threshold, endpoint = channel_of(row.name, channel).q2_limits()
        low, high = q2 if q2 is not None else (threshold, endpoint)
        if not max(low, threshold) < min(high, endpoint):
            raise InputError(
                f"q2 = {low:g},{high:g}: an empty range, or outside the phase space of {row.name}, {threshold:.4g} to "
                f"{endpoint:.4g} GeV^2"
            )
        places = (
            np.linspace(low, high, points) if q2 is not None else np.linspace(low, high, points + 2)[1:-1]
        )
        values = curve(row, model, places, _channel_for(row, channel))
        found += [
            PredictedValue(row.name, float(place), float(place), float(value))
            for place, value in zip(places, values, strict=True)
        ]
    return found


def label_of(observable: str) -> str:
    """Return an observable's name in mathtext.

    >>> label_of("P5p")
    "$P_5'$"
    """
    return f"${get_observable(observable).latex}$"


def measured_ratios(
    files: Sequence[str | os.PathLike[str]], edges: Sequence[float] = RATIO_BINS
) -> list[MeasuredRatio]:
    """Count muons and electrons in bins of q2 in event files and return R with its statistical error.

    Events of each channel are weighted with the number of B mesons that they stand for, from the provenance, so a
    run with a fixed number of events of each channel gives R as well.  Bins outside the selected q2 or without
    electrons are left out.

    Raises:
        InputError: a file that cannot be read, or no channel with both lepton flavours.
    """
    counts: dict[str, NDArray[np.int64]] = {}
    mesons: dict[str, float] = {}
    for path in files:
        file = EventFile(path)
        entries = {int(entry["index"]): entry for entry in file.provenance.get("channels", ())}
        for entry in entries.values():
            share = entry["events"] / max(entry["events_of_run"], 1)
            mesons[entry["name"]] = share * entry["expected_events_of_run"] / entry["branching_fraction"]
            counts.setdefault(entry["name"], np.zeros(len(edges) - 1, dtype=np.int64))
        for columns in file.chunks():
            for index, entry in entries.items():
                chosen = columns["q2"][columns["channel"] == index]
                counts[entry["name"]] += np.histogram(chosen, bins=np.asarray(edges))[0]
    pairs = lepton_pairs(counts)
    if not pairs:
        raise InputError(
            f"files = {[str(Path(path)) for path in files]}: R needs a channel with muons and the same with electrons"
        )
    found = []
    for muons, electrons in pairs:
        scale = mesons[electrons.name] / mesons[muons.name] if mesons[muons.name] else 0.0
        for i, (low, high) in enumerate(pairwise(edges)):
            n_mu, n_e = int(counts[muons.name][i]), int(counts[electrons.name][i])
            if n_mu and n_e:
                value = scale * n_mu / n_e
                error = value * float(np.sqrt(1 / n_mu + 1 / n_e))
                found.append(MeasuredRatio(muons.hadron, low, high, value, error, n_mu, n_e))
    return found


def lepton_pairs(names: Collection[str]) -> list[tuple[Channel, Channel]]:
    """Return the channels that differ by muons and electrons only.

    >>> [muons.name for muons, electrons in lepton_pairs(["B0->K*0mumu", "B0->K*0ee", "B+->K+ee"])]
    ['B0->K*0mumu']
    """
    muons = [CHANNELS[name] for name in names if CHANNELS[name].lepton == "mu"]
    pairs = []
    for channel in muons:
        for other in CHANNELS.values():
            if other.lepton == "e" and other.pair == channel.pair and other.name in names:
                pairs.append((channel, other))
    return pairs


def _pairs(edges: Sequence[float]) -> list[tuple[float, float]]:
    """Return bins from their edges."""
    try:
        values = [float(edge) for edge in edges]
    except (TypeError, ValueError):
        raise InputError(f"bins = {edges!r}: a sequence of numbers is needed, for example [1.1, 6]") from None
    if len(values) < 2:
        raise InputError(f"bins = {values}: two edges at least, for example 1.1,6")
    for low, high in pairwise(values):
        if not (np.isfinite(low) and np.isfinite(high) and 0 <= low < high):
            raise InputError(
                f"bins = {','.join(f'{value:g}' for value in values)}: edges must increase, from 0 up"
            )
    return list(pairwise(values))


def _channel_for(row: Observable, channel: str | None) -> str | None:
    """Return the channel to evaluate on: a ratio has its own."""
    return None if row.denominator is not None else channel


def channel_of(observable: str, channel: str | None = None) -> Channel:
    """Return the channel that an observable is evaluated on; of a ratio, that of the muons.

    >>> channel_of("P5p").name, channel_of("R_K+", "B0->K*0mumu").name
    ('B0->K*0mumu', 'B+->K+mumu')
    """
    row = get_observable(observable)
    return get_channel(_channel_for(row, channel) or row.channel)


def observable_names() -> tuple[str, ...]:
    """Return the names of all observables.

    >>> "R_K*0" in observable_names()
    True
    """
    return tuple(OBSERVABLES)
