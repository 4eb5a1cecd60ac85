"""Counts as a polynomial in couplings, and the directions in which they move."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...physics.axes import Axis, moved
from ...physics.models import Model, ModelLike, as_model
from ...physics.observables import BinnedObservable
from ...physics.theory import TheoryLike, split_errors
from ..statistics.counts import CountModel, monomial_values, monomials, probe_points, quadratic
from .datasets import Dataset, get_dataset
from .experiment import ANGULAR_CHANNEL, Array, Expected, Experiment
from .systematics import Systematics, nuisances
from .yields import binned_yields, expected_counts


@dataclass(frozen=True, eq=False)
class Couplings:
    """Predictions as exact quadratics in couplings x, from -1 to 1 between ``low`` and ``high``, in slices.

    A slice has its own masses and widths.

    Attributes:
        low: lower ends of the couplings.
        high: upper ends.
        shape: (bins, functions) of the angular moments.
        channels: names.
        coefficients: of counts, counts times mean and counts times second moments, (slices, monomials, all of them).
    """

    low: Array
    high: Array
    shape: tuple[int, int]
    channels: tuple[str, ...]
    coefficients: Array

    def at(self, slices: npt.NDArray[np.int64], values: Array, factor: float) -> Expected:
        """Predictions for as many slices as rows of values of the couplings, (points, couplings)."""
        terms = monomial_values((2.0 * values - self.low - self.high) / (self.high - self.low))
        bins, k = self.shape
        size = self.coefficients.shape[2] - bins * k * (k + 1)

        def summed(columns: slice) -> Array:
            flat: Array = np.zeros((len(values), len(range(*columns.indices(self.coefficients.shape[2])))))
            for i, column in enumerate(terms.T):
                flat += column[:, None] * self.coefficients[slices, i, columns]
            return flat

        counts = dict(zip(self.channels, np.split(summed(slice(size)), len(self.channels), axis=1), strict=True))

        def moments() -> tuple[Array, Array]:
            if not bins:
                return np.zeros((len(values), 0, k)), np.zeros((len(values), 0, k, k))
            flat, events = summed(slice(size, None)), counts[ANGULAR_CHANNEL][:, :, None]
            mean = flat[:, : bins * k].reshape(-1, bins, k) / events
            second = flat[:, bins * k :].reshape(-1, bins, k, k) / events[..., None]
            return mean, second - mean[..., :, None] * mean[..., None, :]

        return Lazy({c: v * factor for c, v in counts.items()}, moments)


class Lazy(Expected):
    """The same with moments that are made when they are asked for: most terms are of counts alone."""

    def __init__(self, counts: Mapping[str, Array], moments: Callable[[], tuple[Array, Array]]) -> None:
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "moments", cache(moments))

    moments: Callable[[], tuple[Array, Array]]

    @property
    def mean(self) -> Array:
        """Mean angular functions."""
        return self.moments()[0]

    @property
    def covariance(self) -> Array:
        """Their covariance."""
        return self.moments()[1]


def couplings_of(model: Model, axes: Sequence[Axis], experiment: Experiment) -> Couplings | None:
    """Predictions along some axes as quadratics, one slice; None if they are none."""
    low, high = np.array([axis.min for axis in axes]), np.array([axis.max for axis in axes])
    d = len(axes)
    check = 0.37 - 0.21 * np.arange(d)[None, :]
    points = np.concatenate([probe_points(d), check])
    values = 0.5 * (low + high) + 0.5 * (high - low) * points
    try:
        models = [moved(model, dict(zip((axis.key for axis in axes), row, strict=True))) for row in values.tolist()]
    except InputError:  # a sum of two couplings may lie outside what a model allows
        return None
    found = experiment.expect(models)
    parts = [found.counts[name] for name in experiment.channels]
    bins, k = found.mean.shape[1:]
    if bins:
        events = found.counts[ANGULAR_CHANNEL][:, :, None]
        second = found.covariance + found.mean[..., :, None] * found.mean[..., None, :]
        parts += [(events * found.mean).reshape(len(points), -1), (events[..., None] * second).reshape(len(points), -1)]
    flat = np.concatenate(parts, axis=1)
    coefficients = quadratic(flat[:-1], d)
    guess = (monomial_values(check) @ coefficients)[0]
    if not np.allclose(guess, flat[-1], rtol=1e-5, atol=1e-6 * float(np.abs(flat[-1]).max())):
        return None
    return Couplings(low, high, (bins, k), experiment.channels, coefficients[None])


Directions = Mapping[str, Mapping[str, float]]
"""Free couplings: name -> {path of a model's field: its value for the coupling at one}.

The paths must be ones that amplitudes are linear in: Wilson coefficients, or g_bs, or the lepton couplings of
a vector, but not both of the latter. ``{"C9": {"heavy.C9_mu": 1}}``, ``{"C": {"heavy.C9_mu": 1,
"heavy.C10_mu": -1}}``, ``{"g": {"light_vectors.0.g_bs": 1e-8}}``.
"""


def model_at(base: Model, directions: Directions, values: Sequence[float]) -> Model:
    """The base model with every path of ``directions`` set to the sum of couplings times their units.

    >>> model_at(as_model("sm"), {"C": {"heavy.C9_mu": 1.0, "heavy.C10_mu": -1.0}}, [0.5]).heavy.C10_mu
    (-0.5+0j)
    """
    totals: dict[str, float] = {}
    for (_, units), value in zip(directions.items(), values, strict=True):
        for path, unit in units.items():
            totals[path] = totals.get(path, 0.0) + value * unit
    return moved(base, totals)


def quadratic_counts(
    base: Model,
    directions: Directions,
    dataset: Dataset,
    bins: Sequence[BinnedObservable],
    systematics: Systematics | None = None,
    starts: npt.ArrayLike | None = None,
) -> CountModel:
    """Expected counts as an exact quadratic in the couplings, at the masses and widths of ``base``.

    The coefficients come from rates at couplings 0, ±1 and sums of two, which determine a quadratic exactly;
    a last point off this set checks that it is one.

    Raises:
        InputError: directions along which rates are not quadratic (a product of two of them, or a mass).

    Example:
        >>> model = quadratic_counts(as_model("sm"), {"C9": {"heavy.C9_mu": 1.0}}, get_dataset("lhcb-run12"),
        ...                     binned_yields(["B+->K+mumu"], [1.1, 6.0]), Systematics(efficiency=0.0))
        >>> (model.expected([0.0]) - model.background).round(6).tolist()
        [3850.0]
    """
    p = len(directions)
    check = 0.5 + 0.25 * np.arange(p)
    counts, background = expected_counts(
        [model_at(base, directions, x.tolist()) for x in (*probe_points(p), check)], dataset, bins
    )
    signal = quadratic(counts[:-1], p).T
    extra = nuisances(dataset, bins, systematics or Systematics())
    if starts is None:
        starts = default_starts(signal, p)
    model = CountModel(
        signal,
        tuple(directions),
        background,
        extra.names,
        extra.effects,
        extra.tilts,
        np.asarray(starts, dtype=float),
        tuple(f"{b.channel} {b.q2_min:g}-{b.q2_max:g}" for b in bins),
    )
    found = model.expected(check) - background
    if p and not np.allclose(found, counts[-1], rtol=1e-7, atol=1e-9 * float(np.max(counts))):
        raise InputError(
            f"free = {', '.join(directions)}: the rates are not quadratic in them; couplings are free "
            "only if amplitudes are linear in them (not g_bs and g_mu together, nor masses or widths)"
        )
    return model


def default_starts(signal: Array, p: int) -> Array:
    """Starting points on either side of the turning point of the sum of all bins, for every coupling."""
    if p == 0:
        return np.zeros((1, 0))
    terms = monomials(p)
    total = signal.sum(axis=0)
    rows = []
    for i in range(p):
        linear, square = total[terms.index((i,))], total[terms.index((i, i))]
        turn = -linear / (2.0 * square) if square > 0 else 0.0
        # where a turning point lies outside the reach of the data the two sides are not distinguished
        step = math.sqrt(math.sqrt(max(total[0], 1.0)) / square) if square > 0 else 1.0
        for sign in (1.0, -1.0):
            row = np.zeros(p)
            row[i] = turn + sign * max(step, 0.5 * abs(turn))
            rows.append(row)
    return np.unique(np.stack(rows), axis=0)


def count_model(
    free: Directions,
    model: ModelLike = "sm",
    *,
    set: str | Sequence[str] = (),
    dataset: str | Dataset = "lhcb-run12",
    luminosity: float | None = None,
    channels: Sequence[str] | None = None,
    bins: Sequence[float] = (1.1, 2.0, 3.0, 4.0, 5.0, 6.0),
    theory: bool | TheoryLike = True,
    efficiency_error: float | None = None,
    normalisation: float = 0.0,
    resolution_error: float = 0.0,
) -> CountModel:
    """Expected counts of a data set in bins of q2 as a function of couplings: what fits, limits and tests start from.

    Args:
        free: couplings: name -> {field of the model: its value for the coupling at one}, such as
            ``{"g": {"light_vectors.0.g_bs": -1e-8}}``; amplitudes must be linear in them. None if empty.
        model: whose masses, widths and other couplings hold: a benchmark's name, a TOML file, fields, or a `Model`.
        set: changes of the model, such as ``light_vectors.0.mass=2.8``, one or several.
        dataset: data set that gives the yields, a name, a file or a `Dataset`.
        luminosity: in the data set's unit; its own if None.
        channels: of the data set; all that it has if None.
        bins: edges of q2 (GeV^2).
        theory: whether theory is uncertain; or a table, this as its ``errors``, of the keys of a `Theory`.
        efficiency_error: of electrons over muons; the data set's if None.
        normalisation: relative error on all channels of a hadron together.
        resolution_error: relative error of the q2 resolution.

    Raises:
        InputError: any of these that cannot be used, or couplings in which the rates are not quadratic.

    Example:
        >>> found = count_model({"C9": {"heavy.C9_mu": 1.0}}, channels=["B+->K+mumu"], bins=[1.1, 6.0], theory=False)
        >>> found.parameters, found.expected([0.0]).round(6).tolist()
        (('C9',), [4273.5])
    """
    data = get_dataset(dataset)
    data = data if luminosity is None else data.scaled(luminosity)
    errors, told = split_errors(theory)
    errors, chosen = True if errors is None else errors, as_model(model, set, told)
    systematics = Systematics(errors, 6, efficiency_error, normalisation, resolution_error)
    return quadratic_counts(
        chosen, free, data.of(chosen), binned_yields(channels or tuple(data.channels), bins), systematics
    )
