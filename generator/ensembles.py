"""What a pseudo-experiment measures and how well a hypothesis describes it: counts, R, angular observables.

A hypothesis is a family of models, one point if nothing floats. Its statistic is -2 ln L at its best point,
one term for each observable:

- ``R_K+``, ``R_K*0`` ...: muon and electron counts in bins of q2 with the common normalisation of every bin free, so
  form factors drop out; the efficiency of electrons over muons is a nuisance parameter common to all bins of a hadron;
- ``P5p``, ``S5``, ``AFB``, ``FL`` ...: moments of the muonic angles, Gaussian with their statistical covariance plus
  that of the theory (form factors and charm, of the Standard Model, from draws of flavio's parameters);
- ``dBR_K+`` ...: muon counts alone, form factors and charm as nuisance parameters.

``combined`` is the likelihood of all terms together, which is not always their sum: angular observables of the same
events are correlated, R and the rate of one hadron share its muons, rates share the theory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ..kinematics.errors import InputError
from ..physics.channels import CHANNELS, get_channel
from ..physics.measurements import BinnedObservable
from ..physics.models import Model, apply_settings, get_model, nearest
from .counts import CountModel, monomial_values, probe_points, quadratic
from .fits import CONVERGED, fit_counts
from .moments import MOMENT_OBSERVABLES, observables
from .ratios import ratio_deviance
from .toys import AUXILIARY, SHIFTS, TRUTH, draw_normal, draw_poisson, moment_toys
from .yields import Bin, Dataset, Nuisances, Systematics, nuisances, predict_channel

Array = npt.NDArray[np.float64]

Systematic = Literal["measured", "drawn", "none"]
"""What nuisance parameters do in toys, see ``Experiment.draw``."""

ANGULAR_CHANNEL = "B0->K*0mumu"
"""Channel of the angular observables."""

_ROWS = 1 << 14
"""Toys times points that a ratio is profiled for at a time: they stay in the cache."""

HADRONS = tuple(dict.fromkeys(c.hadron for c in CHANNELS.values() if c.lepton == "mu"))
"""Hadrons that have a muonic channel."""


class Hypothesis(BaseModel):
    """A model, or a family of models that floats along ``scan``.

    ``scan`` maps paths of the model to [low, high, points]; every combination is a point of the family. A fit looks for
    the best of them and then on a finer grid about it, so points may be as far apart as χ² has one minimum between.

    >>> family = Hypothesis(model="heavy-c9", scan={"heavy.C9_mu": (-2.0, 0.0, 5)})
    >>> [m.heavy.C9_mu.real for m in family.models()]
    [-2.0, -1.5, -1.0, -0.5, 0.0]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    model: str = "sm"
    settings: tuple[str, ...] = Field(default=(), alias="set")
    scan: Mapping[str, tuple[float, float, int]] = Field(default_factory=dict)
    label: str = ""

    def base(self) -> Model:
        """The model before anything floats."""
        return apply_settings(get_model(self.model), self.settings)

    def models(self) -> tuple[Model, ...]:
        """All points of the family, in the order of ``grid``."""
        base = self.base()
        return tuple(
            apply_settings(base, [f"{path}={value!r}" for path, value in zip(self.scan, point, strict=True)])
            for point in self.grid().tolist()
        )

    def grid(self) -> Array:
        """Values along the scan, shape (points, paths): one row without paths if nothing floats."""
        axes = []
        for path, (low, high, n) in self.scan.items():
            if not (n >= 1 and low <= high and n * 1.0 <= 100_000):
                raise InputError(
                    f"scan {path} = {low:g}, {high:g}, {n}: needs low <= high and 1 to 100000 points"
                )
            axes.append(np.linspace(low, high, n))
        points = list(itertools.product(*axes))
        return np.array(points, dtype=float).reshape(len(points), len(axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each path."""
        return tuple(n for _, _, n in self.scan.values())

    @property
    def title(self) -> str:
        """Short name for tables and legends."""
        if self.label:
            return self.label
        extra = ", ".join((*self.settings, *(f"{path} free" for path in self.scan)))
        return f"{self.model} ({extra})" if extra else self.model


@dataclass(frozen=True)
class Term:
    """One observable of the likelihood."""

    name: str
    kind: str
    hadron: str
    quantity: str


def parse_term(name: str) -> Term:
    """Term of the likelihood by the observable's name; InputError with the nearest names otherwise.

    >>> parse_term("R_K+").kind, parse_term("P5p").hadron, parse_term("dBR_K*0").kind
    ('ratio', 'K*0', 'rate')
    """
    known = [*(f"R_{h}" for h in HADRONS), *(f"dBR_{h}" for h in HADRONS), *MOMENT_OBSERVABLES]
    head, _, hadron = name.partition("_")
    if head in ("R", "dBR") and hadron in HADRONS:
        return Term(name, "ratio" if head == "R" else "rate", hadron, head)
    if name in MOMENT_OBSERVABLES:
        return Term(name, "angular", get_channel(ANGULAR_CHANNEL).hadron, name)
    raise InputError(f"observable = {name!r}: no such observable here; {nearest(name, known)}")


def channel_name(hadron: str, lepton: str) -> str:
    """Channel of a hadron and a lepton flavour."""
    for channel in CHANNELS.values():
        if channel.hadron == hadron and channel.lepton == lepton:
            return channel.name
    raise InputError(f"hadron = {hadron!r}: one of {', '.join(HADRONS)}")


@dataclass(frozen=True, eq=False)
class Expected:
    """Predictions of a hypothesis for a data set: first axis its points.

    Attributes:
        counts: signal of each channel, name -> (points, bins).
        mean: mean angular functions of one muonic K* event, (points, bins, 12); empty without angular terms.
        covariance: of the same, (points, bins, 12, 12).
    """

    counts: Mapping[str, Array]
    mean: Array
    covariance: Array

    def part(self, start: int, stop: int) -> Expected:
        """Some consecutive points."""
        s = slice(start, stop)
        return Expected({k: v[s] for k, v in self.counts.items()}, self.mean[s], self.covariance[s])

    def point(self, index: int) -> Expected:
        """One point, as a family of one."""
        return self.part(index, index + 1)

    def scaled(self, factor: float) -> Expected:
        """The same for ``factor`` times the luminosity."""
        return Expected({k: v * factor for k, v in self.counts.items()}, self.mean, self.covariance)


@dataclass(frozen=True, eq=False)
class Data:
    """Measured quantities of toys, first axis the toys (one row for Asimov data).

    Attributes:
        counts: of each channel, name -> (toys, bins).
        auxiliary: measurements of the nuisance parameters, (toys, nuisances).
        theta: true nuisance parameters, (toys, nuisances).
        angular: measured observables, name -> (toys, bins); NaN where they could not be formed.
    """

    counts: Mapping[str, Array]
    auxiliary: Array
    theta: Array
    angular: Mapping[str, Array]

    @property
    def toys(self) -> int:
        """Number of toys."""
        return len(next(iter(self.counts.values())))

    def take(self, rows: npt.NDArray[np.intp]) -> Data:
        """Some of the toys."""
        counts = {name: values[rows] for name, values in self.counts.items()}
        angular = {name: values[rows] for name, values in self.angular.items()}
        return Data(counts, self.auxiliary[rows], self.theta[rows], angular)


@dataclass(frozen=True, eq=False)
class Experiment:
    """A data set, bins of q2 and the terms of the likelihood; everything theory needs is computed once.

    Attributes:
        dataset: yields and detector.
        edges: of the bins of q2 (GeV²).
        terms: of the likelihood.
        efficiency_error: of electrons over muons.
        nuisances: parameters and their effects on ln of the signal; bins of all ``channels``, channel by channel.
        theory_covariance: of all angular terms together, bins of one term after those of another; zero without theory.
    """

    dataset: Dataset
    edges: tuple[float, ...]
    terms: tuple[Term, ...]
    efficiency_error: float
    nuisances: Nuisances = field(default_factory=Nuisances)
    theory_covariance: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def windows(self) -> list[tuple[float, float]]:
        """Bins of q2 (GeV²)."""
        return list(itertools.pairwise(self.edges))

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels that the terms need."""
        found: dict[str, None] = {}
        for term in self.terms:
            found[channel_name(term.hadron, "mu")] = None
            if term.kind == "ratio":
                found[channel_name(term.hadron, "e")] = None
        return tuple(found)

    @property
    def bins(self) -> list[Bin]:
        """Bins of all channels, channel by channel."""
        return [Bin(name, low, high) for name in self.channels for low, high in self.windows]

    @property
    def angular(self) -> tuple[Term, ...]:
        """Terms that need angles."""
        return tuple(term for term in self.terms if term.kind == "angular")

    def scaled(self, luminosity: float) -> Experiment:
        """The same with another luminosity."""
        return replace(self, dataset=self.dataset.scaled(luminosity))

    def background(self, channel: str) -> Array:
        """Expected background in the bins of a channel."""
        entry = self.dataset.channel(channel)
        density = self.dataset.background(channel) / (entry.q2[1] - entry.q2[0])
        return density * np.diff(np.asarray(self.edges))

    def columns(self, channels: Sequence[str]) -> npt.NDArray[np.int64]:
        """Places of the bins of some channels among ``bins``."""
        n = len(self.windows)
        return np.concatenate([self.channels.index(name) * n + np.arange(n) for name in channels])

    def expect(self, models: Sequence[Model]) -> Expected:
        """Predictions of models for this data set."""
        counts = {}
        mean, covariance = np.zeros((len(models), 0, 12)), np.zeros((len(models), 0, 12, 12))
        for name in self.channels:
            moments = bool(self.angular) and name == ANGULAR_CHANNEL
            found = predict_channel(models, self.dataset, name, self.windows, moments=moments)
            counts[name] = found.counts
            if moments:
                mean, covariance = found.mean, found.covariance
        return Expected(counts, mean, covariance)

    def asimov(self, expected: Expected) -> Data:
        """Data equal to the expectation of each point: a family of points gives as many rows."""
        rows = len(next(iter(expected.counts.values())))
        counts = {name: mu + self.background(name) for name, mu in expected.counts.items()}
        angular = {}
        if self.angular:
            found = observables(expected.mean, np.ones(expected.mean.shape[:2]))
            angular = {t.name: found.values[..., found.names.index(t.quantity)] for t in self.angular}
        none = np.zeros((rows, len(self.nuisances.names)))
        return Data(counts, none, none, angular)

    def draw(
        self,
        expected: Expected,
        *,
        seed: int,
        start: int,
        stop: int,
        sample: int = 0,
        systematics: Systematic = "measured",
        threads: int | None = None,
    ) -> Data:
        """Binned toys of a hypothesis of one point.

        Systematics as in ``toys.binned_toys``: ``measured``, the truth is nominal and auxiliary measurements fluctuate;
        ``drawn``, every toy has its own true nuisance parameters; ``none``. The theory's error on angular observables
        is, unless ``none``, a shift common to all data of a toy with the theory's covariance: what is measured minus
        what is predicted then has the sum of both covariances.
        """
        where: dict[str, Any] = {"seed": seed, "start": start, "stop": stop, "sample": sample, "threads": threads}
        theta, auxiliary = self.draw_nuisances(systematics, where)
        signal = np.concatenate([expected.counts[name][0] for name in self.channels])
        background = np.concatenate([self.background(name) for name in self.channels])
        mean = signal + background
        if systematics == "drawn":
            mean = signal * self.factors(theta) + background
        counts = self.split(draw_poisson(mean, **where).astype(float))
        angular: dict[str, Array] = {}
        if self.angular:
            n = counts[ANGULAR_CHANNEL]
            means = moment_toys(
                expected.mean[0], expected.covariance[0], n, seed=seed, start=start, sample=sample, threads=threads)
            found = observables(means, n)
            for t, shift in zip(self.angular, self.draw_shifts(systematics, where), strict=True):
                angular[t.name] = found.values[..., found.names.index(t.quantity)] + shift
        return Data(counts, auxiliary, theta, angular)

    def draw_nuisances(self, systematics: Systematic, where: Mapping[str, Any]) -> tuple[Array, Array]:
        """True nuisance parameters and their measurements, each (toys, nuisances)."""
        k = len(self.nuisances.names)
        none = np.zeros((where["stop"] - where["start"], k))
        if systematics == "measured":
            return none, draw_normal(k, purpose=AUXILIARY, **where)
        return (draw_normal(k, purpose=TRUTH, **where) if systematics == "drawn" else none), none

    def factors(self, theta: Array) -> Array:
        """What nuisance parameters make of the signal in all bins, (toys, bins)."""
        exponent = np.zeros((len(theta), len(self.bins)))
        for column, effect in zip(theta.T, self.nuisances.effects, strict=True):   # no sum depends on the batch
            exponent += column[:, None] * effect
        return np.asarray(np.exp(exponent))

    def split(self, values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Values in all bins, (toys, bins), by channel."""
        n = len(self.windows)
        return {name: values[:, i * n : (i + 1) * n] for i, name in enumerate(self.channels)}

    def draw_shifts(self, systematics: Systematic, where: Mapping[str, Any]) -> Array:
        """Shifts of the angular terms by theory, (terms, toys, bins)."""
        n, rows = len(self.windows), where["stop"] - where["start"]
        size = n * len(self.angular)
        shift = np.zeros((rows, size))
        if systematics != "none" and self.theory_covariance.size:
            normal = draw_normal(size, purpose=SHIFTS, **where)
            for k, root in enumerate(_root(self.theory_covariance).T):
                shift += root * normal[:, k, None]
        return np.moveaxis(shift.reshape(rows, len(self.angular), n), 1, 0)

    def theory_of(self, terms: Sequence[Term]) -> Array:
        """Theory covariance of some angular terms."""
        n = len(self.windows)
        if not self.theory_covariance.size:
            return np.zeros((n * len(terms),) * 2)
        places = np.concatenate([self.angular.index(t) * n + np.arange(n) for t in terms])
        return np.asarray(self.theory_covariance[np.ix_(places, places)])

    def statistic(self, term: Term, data: Data, expected: Expected, paired: bool = False) -> Array:
        """-2 ln L of one term for every toy and point of a hypothesis, (toys, points), up to a constant.

        The constant depends on the toy only. NaN where a fit of nuisance parameters failed. With ``paired`` each toy
        has its own point, as many as there are toys, and the result is (toys,): not for rates.
        """
        if term.kind == "ratio":
            return self._ratio(term.hadron, data, expected, paired)
        if term.kind == "angular":
            return self._angular((term,), data, expected, paired)
        return self._counts((channel_name(term.hadron, "mu"),), data, expected)

    def combined(self, data: Data, expected: Expected, paired: bool = False) -> Array:
        """-2 ln L of all terms together, shape, constant and ``paired`` as of ``statistic``."""
        by_kind = {kind: [t for t in self.terms if t.kind == kind] for kind in ("ratio", "rate", "angular")}
        rates = [t.hadron for t in by_kind["rate"]]
        parts = [self._ratio(t.hadron, data, expected, paired) for t in by_kind["ratio"] if t.hadron not in rates]
        if rates:
            channels = [channel_name(hadron, "mu") for hadron in rates]
            channels += [channel_name(t.hadron, "e") for t in by_kind["ratio"] if t.hadron in rates]
            parts.append(self._counts(channels, data, expected))
        if by_kind["angular"]:
            parts.append(self._angular(by_kind["angular"], data, expected, paired))
        return np.asarray(np.sum(parts, axis=0))

    def _ratio(self, hadron: str, data: Data, expected: Expected, paired: bool = False) -> Array:
        mu, e = channel_name(hadron, "mu"), channel_name(hadron, "e")
        n_mu, n_e = data.counts[mu], data.counts[e]
        b_mu, b_e = self.background(mu), self.background(e)
        effects = self.nuisances.effects[:, self.columns([mu])] - self.nuisances.effects[:, self.columns([e])]
        # what is common to both leptons is free in every bin; theory, within 1e-3, is such
        used = [i for i, name in enumerate(self.nuisances.names)
                if not name.startswith("theory_") and np.any(effects[i] != 0)]
        effects, measured = effects[used], data.auxiliary[:, used]
        log_ratios = np.log(expected.counts[mu] / expected.counts[e])
        toys, bins = n_mu.shape

        def of_rows(logs: Array, muons: Array, electrons: Array, known: Array) -> Array:
            def total(theta: Array) -> Array:
                shifted = logs
                for column, effect in zip(theta.T, effects, strict=True):
                    shifted = shifted + column[:, None] * effect
                deviance = ratio_deviance(shifted, muons, electrons, 1.0, b_mu, b_e)
                found = np.zeros(len(logs))
                for b in range(bins):   # bin by bin: no sum depends on what else is in the batch
                    found += deviance[:, b]
                for k in range(theta.shape[1]):
                    found += (theta[:, k] - known[:, k]) ** 2
                return found

            return _profile(total, known)

        if paired:
            return of_rows(log_ratios, n_mu, n_e, measured)
        parts = []
        step = max(1, _ROWS // toys)
        for first in range(0, len(log_ratios), step):   # point by point all toys
            logs = log_ratios[first : first + step]
            rows = (np.tile(x, (len(logs), 1)) for x in (n_mu, n_e, measured))
            parts.append(of_rows(np.repeat(logs, toys, axis=0), *rows).reshape(len(logs), toys))
        return np.ascontiguousarray(np.concatenate(parts).T)

    def _angular(self, terms: Sequence[Term], data: Data, expected: Expected, paired: bool = False) -> Array:
        found = observables(
            expected.mean, np.ones(expected.mean.shape[:2]), covariance_of_means=expected.covariance)
        places, n = [found.names.index(t.quantity) for t in terms], len(self.windows)
        signal = expected.counts[ANGULAR_CHANNEL]
        share = (signal + self.background(ANGULAR_CHANNEL)) / signal**2
        covariance = np.repeat(self.theory_of(terms)[None], len(signal), axis=0)
        bins = np.arange(n)
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                covariance[:, i * n + bins, j * n + bins] += found.covariance[..., a, b] * share
        predicted = np.concatenate([found.values[..., a] for a in places], axis=1)
        measured = np.concatenate([data.angular[t.name] for t in terms], axis=1)
        inverse: Any = np.linalg.inv(covariance)
        constant: Any = np.linalg.slogdet(covariance)[1]

        def chi2(residual: Array, weight: Array, start: Any) -> Array:
            residual = np.where(np.isnan(residual), 0.0, residual)
            total: Array = np.zeros(len(residual)) + start
            for i in range(residual.shape[1]):
                for j in range(residual.shape[1]):
                    total += weight[..., i, j] * residual[:, i] * residual[:, j]
            return total

        if paired:
            return chi2(measured - predicted, inverse, constant)
        return np.stack(
            [chi2(measured - predicted[p], inverse[p], constant[p]) for p in range(len(signal))], axis=1)

    def _counts(self, channels: Sequence[str], data: Data, expected: Expected) -> Array:
        effects = self.nuisances.effects[:, self.columns(channels)]
        used = np.nonzero(np.any(effects != 0, axis=1))[0]
        names = tuple(self.nuisances.names[i] for i in used)
        background = np.concatenate([self.background(name) for name in channels])
        counts = np.concatenate([data.counts[name] for name in channels], axis=1)
        signal = np.concatenate([expected.counts[name] for name in channels], axis=1)
        columns = []
        for mu in signal:
            model = CountModel(mu[:, None], (), background, names, effects[used])
            fit = fit_counts(model, counts, data.auxiliary[:, used])
            columns.append(np.where(fit.status == CONVERGED, fit.deviance, np.nan))
        return np.stack(columns, axis=1)


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _profile(function: Callable[[Array], Array], start: Array) -> Array:
    """Minimum of functions of some variables, one row a function, near parabolas of unit curvature or more.

    One variable after the other; more than one go round three times, for they are hardly correlated.
    """
    theta = start.copy()
    best = function(theta)
    for sweep in range(3 if theta.shape[1] > 1 else 1):
        for k in range(theta.shape[1]):
            step = 0.5 * 0.4**sweep
            for _ in range(4):
                aside = np.zeros(theta.shape[1])
                aside[k] = step
                low, middle, high = function(theta - aside), function(theta), function(theta + aside)
                curvature = low - 2.0 * middle + high
                move = 0.5 * step * (low - high) / np.where(curvature > 0, curvature, 1.0)
                theta[:, k] += np.clip(move, -4.0, 4.0)
                step *= 0.4
            best = np.minimum(function(theta), middle)
    return np.asarray(best)


@dataclass(frozen=True, eq=False)
class Minimum:
    """Lowest value of a statistic over a family, one row a toy.

    Attributes:
        lowest: its value, refined between grid points.
        index: the lowest grid point.
        position: of the minimum, in steps of the grid, (toys, paths).
    """

    lowest: Array
    index: npt.NDArray[np.int64]
    position: Array


def minimum(statistic: Array, shape: tuple[int, ...]) -> Minimum:
    """Lowest value over the points of a family; a paraboloid through the neighbours refines the grid's.

    It is used where the lowest point has neighbours on all sides and the minimum of the paraboloid lies within a step.
    Toys in which a point failed (NaN) use the others; NaN where all failed.
    """
    values = np.where(np.isnan(statistic), np.inf, statistic)
    index = np.argmin(values, axis=1)
    rows = np.arange(len(values))
    lowest = np.where(np.isinf(values[rows, index]), np.nan, values[rows, index])
    place = np.stack(np.unravel_index(index, shape), axis=1) if shape else np.zeros((len(values), 0), dtype=np.int64)
    position = place.astype(float)
    if not shape or min(shape) < 3:
        return Minimum(lowest, index, position)
    d = len(shape)
    inner = ((place > 0) & (place < np.asarray(shape) - 1)).sum(axis=1) == d
    centre, cube = place[inner], values[inner].reshape(-1, *shape)
    here = np.arange(len(centre))

    def at(offset: Array) -> Array:
        return np.asarray(cube[(here, *(centre + offset.astype(np.int64)).T)])

    unit, middle = np.eye(d), at(np.zeros(d))
    up, down = [at(u) for u in unit], [at(-u) for u in unit]
    gradient = np.stack([0.5 * (a - b) for a, b in zip(up, down, strict=True)], axis=1)
    hessian = np.zeros((len(centre), d, d))
    for i in range(d):
        hessian[:, i, i] = up[i] - 2.0 * middle + down[i]
        for j in range(i):
            u, v = unit[i], unit[j]
            hessian[:, i, j] = hessian[:, j, i] = 0.25 * (at(u + v) - at(u - v) - at(v - u) + at(-u - v))
    fine = np.isfinite(np.sum(np.abs(gradient), axis=1) + np.sum(np.abs(hessian), axis=(1, 2)))
    safe = np.where(fine[:, None, None], hessian, np.eye(d))
    fine &= np.linalg.eigvalsh(safe)[:, 0] > 0
    safe = np.where(fine[:, None, None], safe, np.eye(d))
    slope = np.where(fine[:, None], gradient, 0.0)
    step = -np.linalg.solve(safe, slope[:, :, None])[:, :, 0]
    fine &= np.abs(step).max(axis=1) <= 1.0
    gain = 0.5 * np.sum(step * slope, axis=1)
    chosen = np.nonzero(inner)[0][fine]
    lowest[chosen] += gain[fine]
    position[chosen] += step[fine]
    return Minimum(lowest, index, position)


def systematics_of(
    experiment: Experiment, theory: bool, normalisation: float = 0.0, resolution_error: float = 0.0, modes: int = 6
) -> Systematics:
    """Nuisance parameters of an experiment, in the words of ``yields``."""
    return Systematics(theory, modes, experiment.efficiency_error, normalisation, resolution_error)


_NEWTON = 25
"""Most Newton steps of a toy."""


class Statistic(Protocol):
    """-2 ln L of toys at the points of a family, as ``Experiment.statistic`` and ``combined``."""

    def __call__(self, data: Data, expected: Expected, paired: bool = False) -> Array:
        """Shape (toys, points), or (toys,) if paired."""


@dataclass(frozen=True, eq=False)
class Couplings:
    """Predictions as exact quadratics in couplings x, from -1 to 1 between ``low`` and ``high``.

    Attributes:
        low: lower ends of the couplings.
        high: upper ends.
        shape: (bins, functions) of the angular moments.
        channels: names.
        coefficients: of counts, counts times mean and counts times second moments, (monomials, all of them).
    """

    low: Array
    high: Array
    shape: tuple[int, int]
    channels: tuple[str, ...]
    coefficients: Array

    def at(self, values: Array, factor: float) -> Expected:
        """Predictions for values of the couplings, (points, couplings)."""
        terms = monomial_values((2.0 * values - self.low - self.high) / (self.high - self.low))
        flat = np.zeros((len(values), self.coefficients.shape[1]))
        for column, row in zip(terms.T, self.coefficients, strict=True):
            flat += column[:, None] * row
        bins, k = self.shape
        n = flat.shape[1] - bins * k * (k + 1)
        counts = dict(zip(self.channels, np.split(flat[:, :n], len(self.channels), axis=1), strict=True))
        if not bins:
            none = np.zeros((len(values), 0, k))
            return Expected({c: v * factor for c, v in counts.items()}, none, np.zeros((len(values), 0, k, k)))
        events = counts[ANGULAR_CHANNEL][:, :, None]
        mean = flat[:, n : n + bins * k].reshape(-1, bins, k) / events
        second = flat[:, n + bins * k :].reshape(-1, bins, k, k) / events[..., None]
        covariance = second - mean[..., :, None] * mean[..., None, :]
        return Expected({c: v * factor for c, v in counts.items()}, mean, covariance)

    def newton(self, statistic: Statistic, data: Data, start: Array, factor: float) -> tuple[Array, Array]:
        """Minimum of a statistic from a start for each toy, within the ends of the couplings, and where it is."""
        d, span, unit = len(self.low), self.high - self.low, np.eye(len(self.low))
        best, place = np.empty(len(start)), start.copy()
        rows, x = np.arange(len(start)), start.copy()

        def values(*at: Array) -> list[Array]:
            """The statistic at several places of every toy, in one call."""
            n = len(at[0])
            several = data.take(np.tile(np.arange(n), len(at))) if len(at) > 1 else data
            found = statistic(several, self.at(np.concatenate(at), factor), paired=True)
            return [found[i * n : (i + 1) * n] for i in range(len(at))]

        pairs = [(i, j) for i in range(d) for j in range(i)]
        f = values(x)[0]
        h = np.full_like(x, 1e-3) * span
        damping = np.full(len(x), 1e-3)
        for _ in range(_NEWTON):
            around = values(*(x + h * u for u in unit), *(x - h * u for u in unit),
                            *(x + h * (unit[i] + unit[j]) for i, j in pairs))
            up, down, corner = around[:d], around[d : 2 * d], around[2 * d :]
            gradient = np.stack([(a - b) / 2.0 for a, b in zip(up, down, strict=True)], axis=1) / h
            hessian = np.zeros((len(x), d, d))
            for i in range(d):
                hessian[:, i, i] = (up[i] - 2.0 * f + down[i]) / h[:, i] ** 2
            for (i, j), both in zip(pairs, corner, strict=True):
                hessian[:, i, j] = hessian[:, j, i] = (both - up[i] - up[j] + f) / (h[:, i] * h[:, j])
            size = np.maximum(np.abs(hessian[:, range(d), range(d)]), 1e-9 / span**2)
            scale = 1.0 / np.sqrt(size)
            matrix = hessian * scale[:, :, None] * scale[:, None, :]
            lowest = np.linalg.eigvalsh(matrix)[:, 0]
            lift = np.where(lowest < 1e-3, 1e-3 - lowest, 0.0) + damping   # downhill where it is not convex
            matrix = matrix + lift[:, None, None] * unit
            step = -np.linalg.solve(matrix, (gradient * scale)[:, :, None])[:, :, 0] * scale
            trial = np.clip(x + step, self.low, self.high)
            moved = values(trial)[0]
            gain = f - moved
            x, f = np.where((gain > 0)[:, None], trial, x), np.where(gain > 0, moved, f)
            damping = np.where(gain > 0, 0.1 * damping, 30.0 * damping)
            h = np.clip(0.1 * scale, 1e-6 * span, 1e-2 * span)   # a step that changes the statistic by 1/100
            best[rows], place[rows] = f, x
            going = np.nonzero((np.abs(gain) > 1e-6) & (damping < 1e6))[0]   # NaN stops as well
            if not going.size:
                break
            rows, x, f, h, damping, data = (
                rows[going], x[going], f[going], h[going], damping[going], data.take(going))
        return best, place


def couplings_of(hypothesis: Hypothesis, experiment: Experiment) -> Couplings | None:
    """Predictions of a family as quadratics; None if they are none: a mass or a width floats."""
    low, high = (np.array([limits[i] for limits in hypothesis.scan.values()]) for i in (0, 1))
    if np.any(high <= low):
        return None
    d = len(low)
    check = 0.37 - 0.21 * np.arange(d)[None, :]
    points = np.concatenate([probe_points(d), check])
    values = 0.5 * (low + high) + 0.5 * (high - low) * points
    base = hypothesis.base()
    paths = list(hypothesis.scan)
    try:
        models = [
            apply_settings(base, [f"{path}={v!r}" for path, v in zip(paths, row, strict=True)])
            for row in values.tolist()
        ]
    except InputError:   # a sum of two couplings may lie outside what a model allows
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
    return Couplings(low, high, (bins, k), experiment.channels, coefficients)


ZOOM = 9
"""Points along each path between the two neighbours of the best point of a grid."""

STEPS = 12
"""Times that the finer grid may move on to another point."""


@dataclass(frozen=True, eq=False)
class Family:
    """A hypothesis with its predictions, to be fitted to toys.

    Attributes:
        hypothesis: one model or many.
        experiment: that it is predicted for.
        expected: predictions on the grid of the hypothesis.
        factor: on the luminosity of the experiment.
    """

    hypothesis: Hypothesis
    experiment: Experiment
    expected: Expected
    factor: float = 1.0
    couplings: list[Couplings | None] = field(default_factory=list, repr=False)
    cells: dict[int, tuple[Hypothesis, Expected]] = field(default_factory=dict, repr=False)

    def scaled(self, factor: float) -> Family:
        """The same for ``factor`` times the luminosity."""
        return replace(self, factor=self.factor * factor)

    def cell(self, index: int) -> tuple[Hypothesis, Expected]:
        """The finer grid about a point, and its predictions at the experiment's own luminosity."""
        if index not in self.cells:
            place = np.unravel_index(index, self.hypothesis.shape)
            scan = {}
            for (path, (low, high, n)), i in zip(self.hypothesis.scan.items(), place, strict=True):
                values = np.linspace(low, high, n)
                left, right = values[max(int(i) - 1, 0)], values[min(int(i) + 1, n - 1)]
                scan[path] = (float(left), float(right), ZOOM if right > left else 1)
            finer = self.hypothesis.model_copy(update={"scan": scan})
            self.cells[index] = finer, self.experiment.expect(finer.models())
        return self.cells[index]

    @property
    def exact(self) -> Couplings | None:
        """Predictions as functions of the floating values, if all of these are couplings and no term is a rate."""
        if not self.couplings:
            rates = any(t.kind == "rate" for t in self.experiment.terms)
            self.couplings.append(None if rates else couplings_of(self.hypothesis, self.experiment))
        return self.couplings[0]

    def best(self, statistic: Statistic, data: Data) -> tuple[Array, Array]:
        """Lowest value of a statistic for every toy, and the floating values there, (toys, paths).

        Couplings: Newton steps from each of the (at most three) best valleys of the grid. Otherwise (masses, widths):
        On the grid, then on a finer one about each of its (at most three) best valleys, which moves on downhill, then
        by a paraboloid, see ``minimum``. The result of a toy does not depend on the others.
        """
        shape = self.hypothesis.shape
        coarse = statistic(data, self.expected.scaled(self.factor))
        first = minimum(coarse, shape)
        if not shape:
            return first.lowest, first.position
        lowest, values = np.full(data.toys, np.nan), np.full(first.position.shape, np.nan)
        for start in valleys(coarse, shape).T:
            here = start.copy()
            if self.exact is not None:
                rows = np.nonzero(start >= 0)[0]
                if rows.size:
                    low, at = self.exact.newton(
                        statistic, data.take(rows), self.hypothesis.grid()[start[rows]], self.factor)
                    better = np.nonzero(~(low >= lowest[rows]))[0]
                    lowest[rows[better]], values[rows[better]] = low[better], at[better]
                continue
            for _ in range(STEPS):
                there = np.full_like(here, -1)
                for index in dict.fromkeys(here[here >= 0].tolist()):
                    rows = np.nonzero(here == index)[0]
                    finer, expected = self.cell(index)
                    found = minimum(statistic(data.take(rows), expected.scaled(self.factor)), finer.shape)
                    better = np.nonzero(~(found.lowest >= lowest[rows]))[0]
                    at = self._values(finer, found.position[better])
                    rows = rows[better]
                    lowest[rows], values[rows] = found.lowest[better], at
                    moved = self._nearest(at)
                    there[rows[moved != index]] = moved[moved != index]
                here = there   # along a narrow valley the minimum lies beyond the neighbours
        return lowest, values

    @staticmethod
    def _values(hypothesis: Hypothesis, position: Array) -> Array:
        columns = [low + (high - low) / max(n - 1, 1) * position[:, k]
                   for k, (low, high, n) in enumerate(hypothesis.scan.values())]
        return np.stack(columns, axis=1)

    def _nearest(self, values: Array) -> npt.NDArray[np.int64]:
        """Index of the grid point next to some values."""
        places = []
        for k, (low, high, n) in enumerate(self.hypothesis.scan.values()):
            step = (high - low) / max(n - 1, 1) or 1.0
            places.append(np.clip(np.rint((values[:, k] - low) / step), 0, n - 1).astype(np.int64))
        return np.asarray(np.ravel_multi_index(tuple(places), self.hypothesis.shape), dtype=np.int64)


def valleys(statistic: Array, shape: tuple[int, ...], most: int = 3) -> npt.NDArray[np.int64]:
    """Indices of the lowest points of a grid that have no lower neighbour along a path, (toys, most); -1 for none.

    >>> valleys(np.array([[3.0, 1.0, 2.0, 0.5, 4.0]]), (5,)).tolist()
    [[3, 1, -1]]
    """
    values = np.where(np.isnan(statistic), np.inf, statistic).reshape(len(statistic), *shape)
    low = np.isfinite(values)
    for axis in range(1, values.ndim):
        above, below = (np.moveaxis(x, axis, 0) for x in (values, low))   # views: what follows changes ``low``
        below[1:] &= above[1:] <= above[:-1]
        below[:-1] &= above[:-1] <= above[1:]
    flat = np.where(low, values, np.inf).reshape(len(statistic), -1)
    order = np.argsort(flat, axis=1, kind="stable")[:, :most].astype(np.int64)
    found = np.full((len(statistic), most), -1, dtype=np.int64)
    found[:, : order.shape[1]] = np.where(np.isfinite(np.take_along_axis(flat, order, axis=1)), order, -1)
    return found


def make_experiment(
    dataset: Dataset,
    edges: Sequence[float],
    names: Sequence[str],
    *,
    theory: bool = True,
    efficiency_error: float | None = None,
    normalisation: float = 0.0,
    resolution_error: float = 0.0,
    modes: int = 6,
) -> Experiment:
    """An experiment with its nuisance parameters, from the names of data set, bins and observables.

    Args:
        dataset: yields and detector.
        edges: of the bins of q2 (GeV²).
        names: of the observables.
        theory: whether form factors and charm are uncertain.
        efficiency_error: relative, of electrons over muons; the data set's if None.
        normalisation: relative error on all channels of one hadron together; it drops out of R.
        resolution_error: relative error of the q2 resolution, for channels that have one.
        modes: most eigenvectors of the theory's covariance of the rates.

    Example:
        >>> from darkpenguin.generator.yields import get_dataset
        >>> make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], theory=False).nuisances.names
        ('efficiency_K+',)
    """
    terms = tuple(parse_term(name) for name in names)
    if not terms:
        raise InputError("observables: name one at least")
    if len({t.name for t in terms}) != len(terms):
        raise InputError(f"observables = {', '.join(names)}: one is named twice")
    if {"P5p", "S5", "FL"} <= {t.name for t in terms}:
        raise InputError("observables: P5p follows from S5 and FL; leave one of the three out")
    error = dataset.efficiency_error if efficiency_error is None else efficiency_error
    bare = Experiment(dataset, tuple(float(e) for e in edges), terms, error)
    windows = bare.windows
    if not windows or any(not 0 <= low < high for low, high in windows):
        raise InputError(f"bins = {list(edges)}: needs at least two edges of q2 (GeV^2) in increasing order")
    for name in bare.channels:
        dataset.channel(name)
        low, high = get_channel(name).q2_limits()
        if windows[0][0] >= high or windows[-1][1] > high or windows[0][0] < low:
            raise InputError(
                f"bins {edges[0]:g} to {edges[-1]:g} GeV^2: {name} reaches from {low:.4g} to {high:.5g}"
            )
    found = nuisances(dataset, bare.bins, systematics_of(bare, theory, normalisation, resolution_error, modes))
    covariance = np.zeros((0, 0))
    if theory and bare.angular:
        from ..physics.uncertainties import theory_covariance

        covariance = theory_covariance(
            [BinnedObservable(t.quantity, ANGULAR_CHANNEL, low, high) for t in bare.angular for low, high in windows])
    return replace(bare, nuisances=found, theory_covariance=covariance)
