"""Observables as rows of numbers: predicted in bins or along a curve, and R measured from event files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..kinematics.base.errors import InputError
from ..kinematics.base.results import Rows
from .binning import BinnedValue, Binning, BinsLike, parse_bins
from .channels import Channel, get_channel
from .flavio_inputs import check_used
from .models import Model, ModelLike, as_model
from .observables import Observable, binned, curve, get_observable
from .theory import TheoryLike


@dataclass(frozen=True, eq=False)
class Predictions(Rows[BinnedValue]):
    """Predicted values, observable by observable, and what they are of.

    Attributes:
        rows: the values.
        observables: their names, in order.
        model: that predicts them.
        bins: of q2; None for a curve.
        q2: range of the curve, if one was asked for.
        channel: of the observables that do not name one; their own default if None.
    """

    observables: tuple[str, ...]
    model: Model
    bins: Binning | None
    q2: tuple[float, float] | None
    channel: str | None


def predict(
    observables: str | Sequence[str],
    model: ModelLike = "sm",
    bins: BinsLike | None = None,
    q2: tuple[float, float] | None = None,
    points: int = 100,
    channel: str | None = None,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
) -> Predictions:
    """Predict observables in bins of q2, or along a curve.

    The rows are those of `bin`, so the two tables can be joined on channel, observable and edges.

    Args:
        observables: names such as ``R_K+``, ``R_K*0``, ``P5p``, ``AFB``, ``FL``, ``dBR``.
        model: a benchmark's name, a TOML file, fields, or a `Model`.
        bins: rising edges (GeV^2), pairs such as [[1.1, 6], [14.3, 19]], or the name of a published binning;
            numerator and denominator are integrated first.
        q2: without ``bins``, the range of the curve (GeV^2), NaN where it reaches beyond phase space; all of phase
            space without it.
        points: points of the curve.
        channel: channel of the observables that do not name one; their own default without it.
        set: changes of the model, such as ``light_vectors.0.mass=2.8``, one or several.
        theory: what the Standard Model is taken to be, a table of the keys of a `Theory`.

    Returns:
        The values, one an observable and bin (or point), observable by observable.

    Raises:
        InputError: an unknown observable, model or channel, or bins or a range that are empty or
            outside phase space.

    Example:
        >>> [row] = predict("R_K+", model="sm", bins=[1.1, 6.0])
        >>> abs(row.value - 1) < 0.01
        True
        >>> predict("P5p", "fig2", bins=[1.1, 2.5, 4.0, 6.0]).to_pandas().columns.to_list()
        ['channel', 'observable', 'q2_min', 'q2_max', 'value', 'error']
    """
    names = [observables] if isinstance(observables, str) else list(observables)
    rows = [get_observable(name) for name in names]
    model = as_model(model, set, theory)
    check_used(model.theory.form_factors, [channel_of(name, channel).transition for name in names])
    found: list[BinnedValue] = []
    if bins is not None:
        binning = parse_bins(bins)
        for row in rows:
            pairs = binning.bins(channel_of(row.name, channel))
            if not pairs:
                raise InputError(f"bins = {binning.name!r}: no bins for {row.name}; it has {', '.join(binning.modes)}")
            values = binned(row, model, pairs, _channel_for(row, channel))
            found += [
                BinnedValue(_belongs_to(row, channel), row.name, low, high, float(value))
                for (low, high), value in zip(pairs, values, strict=True)
            ]
        return Predictions(tuple(found), tuple(names), model, binning, None, channel)
    for row in rows:
        threshold, endpoint = channel_of(row.name, channel).q2_limits(model.parameters)
        low, high = q2 if q2 is not None else (threshold, endpoint)
        if not max(low, threshold) < min(high, endpoint):
            raise InputError(
                f"q2 = {low:g},{high:g}: an empty range, or outside the phase space of {row.name}, {threshold:.4g} to "
                f"{endpoint:.4g} GeV^2"
            )
        places = np.linspace(low, high, points) if q2 is not None else np.linspace(low, high, points + 2)[1:-1]
        values = curve(row, model, places, _channel_for(row, channel))
        found += [
            BinnedValue(_belongs_to(row, channel), row.name, float(place), float(place), float(value))
            for place, value in zip(places, values, strict=True)
        ]
    return Predictions(tuple(found), tuple(names), model, None, q2, channel)


def label_of(observable: str) -> str:
    """Return an observable's name in mathtext.

    >>> label_of("P5p")
    "$P_5'$"
    """
    return f"${get_observable(observable).latex}$"


def _channel_for(row: Observable, channel: str | None) -> str | None:
    """Return the channel to evaluate on: a ratio has its own."""
    return None if row.denominator is not None else channel


def _belongs_to(row: Observable, channel: str | None) -> str:
    """Return the channel that a value is of; of a ratio its own name."""
    return row.name if row.denominator is not None else channel or row.channel


def channel_of(observable: str, channel: str | None = None) -> Channel:
    """Return the channel that an observable is evaluated on; of a ratio, that of the muons.

    >>> channel_of("P5p").name, channel_of("R_K+", "B0->K*0mumu").name
    ('B0->K*0mumu', 'B+->K+mumu')
    """
    row = get_observable(observable)
    return get_channel(_channel_for(row, channel) or row.channel)
