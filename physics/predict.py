"""Observables as rows of numbers: predicted in bins or along a curve, and R measured from event files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from ..kinematics.base.results import Rows
from .binning import BinnedValue, Binning, BinsLike, parse_bins
from .bins import predictable
from .channels import Channel, get_channel
from .charmonium import check_charm
from .flavio_inputs import check_used
from .kpi import KpiSystem, resolve_kpi
from .models import Model, ModelLike, as_model
from .observables import BinnedObservable, Observable, binned, curve, get_observable
from .theory import TheoryLike
from .uncertainties import theory_covariance, theory_error

FloatArray = npt.NDArray[np.float64]


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
        kpi: the Kπ pair, if its K* has a width.
        correlation: of the theory errors of bins, (n_rows, n_rows); NaN where a row has none. None without errors.
    """

    observables: tuple[str, ...]
    model: Model
    bins: Binning | None
    q2: tuple[float, float] | None
    channel: str | None
    kpi: KpiSystem | None = None
    correlation: FloatArray | None = None


def predict(
    observables: str | Sequence[str],
    model: ModelLike = "sm",
    bins: BinsLike | None = None,
    q2: tuple[float, float] | None = None,
    points: int = 100,
    channel: str | None = None,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
    kpi: KpiSystem | str | Mapping[str, Any] | None = None,
    errors: bool = False,
) -> Predictions:
    """Predict observables in bins of q2, or along a curve.

    The rows are those of `bin`, so the two tables can be joined on channel, observable and edges.

    Errors are the spread over 100 draws of flavio's parameters, form factors and subleading effects included, about
    the theory without a draw, hence known to 7 %. Between 8.7 and 14 GeV^2 they are those of the nearer end. They do
    not know QED radiation, for which 1 % of R is customary (arXiv:1605.07633), and they are of a K* of zero width,
    whose relative error rates take with ``kpi``. CP asymmetries and the S wave have none.

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
        kpi: ``pwave`` (a K* with its width), ``swave`` (the S wave too), or a `KpiSystem`: rates are then of the window
            and of what the channel ends in, and angular observables of the P wave; ``narrow`` without.
        errors: whether errors of the theory are computed, with the correlations of bins.

    Returns:
        The values, one an observable and bin (or point), observable by observable.

    Raises:
        InputError: an unknown observable, model or channel, or bins or a range that are empty or
            outside phase space, or a bin with the J/psi or psi(2S) in it without ``nonlocal``.

    Example:
        >>> [row] = predict("R_K+", model="sm", bins=[1.1, 6.0])
        >>> abs(row.value - 1) < 0.01
        True
        >>> predict("P5p", "fig2", bins=[1.1, 2.5, 4.0, 6.0]).to_pandas().columns.to_list()
        ['channel', 'observable', 'q2_min', 'q2_max', 'value', 'error']
        >>> 0.05 < predict("P5p", bins=[4.0, 6.0], errors=True)[0].error < 0.12
        True
    """
    names = [observables] if isinstance(observables, str) else list(observables)
    rows = [get_observable(name) for name in names]
    model = as_model(model, set, theory)
    check_used(model.theory.form_factors, [channel_of(name, channel).transition for name in names])
    system = None if kpi is None else resolve_kpi(kpi)
    correlation = None
    if bins is None:
        binning = None
        where = [_places(row, model, q2, points, channel) for row in rows]
        curves = zip(rows, where, strict=True)
        found = [value for row, x in curves for value in _of_curve(row, model, x, channel, system, errors)]
    else:
        q2, binning = None, parse_bins(bins)
        found = [value for row in rows for value in _of_bins(row, model, binning, channel, system)]
        if errors:
            found, correlation = _with_errors(found, model, channel, system)
    return Predictions(tuple(found), tuple(names), model, binning, q2, channel, system, correlation)


def _of_bins(
    row: Observable, model: Model, binning: Binning, channel: str | None, kpi: KpiSystem | None
) -> list[BinnedValue]:
    """An observable in bins."""
    pairs = binning.bins(channel_of(row.name, channel))
    if not pairs:
        raise InputError(f"bins = {binning.name!r}: no bins for {row.name}; it has {', '.join(binning.modes)}")
    check_charm(channel_of(row.name, channel), model.theory, pairs)
    values = binned(row, model, pairs, _channel_for(row, channel), kpi)
    return [
        BinnedValue(_belongs_to(row, channel), row.name, low, high, float(value))
        for (low, high), value in zip(pairs, values, strict=True)
    ]


def _places(
    row: Observable, model: Model, q2: tuple[float, float] | None, points: int, channel: str | None
) -> FloatArray:
    """Points of a curve: in a range of q2 (GeV^2), or in all of phase space."""
    threshold, endpoint = channel_of(row.name, channel).q2_limits(model.parameters)
    low, high = q2 if q2 is not None else (threshold, endpoint)
    if not max(low, threshold) < min(high, endpoint):
        raise InputError(
            f"q2 = {low:g},{high:g}: an empty range, or outside the phase space of {row.name}, {threshold:.4g} to "
            f"{endpoint:.4g} GeV^2"
        )
    return np.linspace(low, high, points) if q2 is not None else np.linspace(low, high, points + 2)[1:-1]


def _of_curve(
    row: Observable, model: Model, places: FloatArray, channel: str | None, kpi: KpiSystem | None, errors: bool
) -> list[BinnedValue]:
    """An observable at points of q2 (GeV^2)."""
    values = curve(row, model, places, _channel_for(row, channel), kpi)
    spread: Sequence[float | None] = [None] * len(places)
    if errors and predictable(row):
        narrow = values if kpi is None else curve(row, model, places, _channel_for(row, channel))
        scale = values / narrow if row.name in _RATES else 1.0
        spread = (scale * theory_error(row.name, channel_of(row.name, channel).name, model, places)).tolist()
    return [
        BinnedValue(_belongs_to(row, channel), row.name, float(place), float(place), float(value), error)
        for place, value, error in zip(places, values, spread, strict=True)
    ]


_RATES = ("dBR", "BR")


def _with_errors(
    values: Sequence[BinnedValue], model: Model, channel: str | None, kpi: KpiSystem | None
) -> tuple[list[BinnedValue], FloatArray]:
    """Values in bins with the errors of the theory, and their correlations; see `predict`."""
    known = [i for i, one in enumerate(values) if predictable(get_observable(one.observable))]
    asked = [
        BinnedObservable(one.observable, channel_of(one.observable, channel).name, one.q2_min, one.q2_max)
        for one in (values[i] for i in known)
    ]
    covariance = theory_covariance(asked, model) if asked else np.zeros((0, 0))
    size = np.sqrt(np.diag(covariance))
    correlation = np.full((len(values), len(values)), np.nan)
    correlation[np.ix_(known, known)] = covariance / np.outer(size, size)
    found = list(values)
    for i, error in zip(known, size, strict=True):
        one = values[i]
        if kpi is not None and one.observable in _RATES:
            row = get_observable(one.observable)
            error *= one.value / binned(row, model, [(one.q2_min, one.q2_max)], _channel_for(row, channel))[0]
        found[i] = replace(one, error=float(error))
    return found, correlation


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
