"""What a pseudo-experiment measures and how well a hypothesis describes it: counts, R, angular observables.

A hypothesis is a family of models, one point if nothing floats. Its statistic is -2 ln L at its best point,
one term for each observable:

- ``R_K+``, ``R_K*0`` ...: muon and electron counts in bins of q2 with the common normalisation of every bin
free, so form
  factors drop out; the efficiency of electrons over muons is a nuisance parameter common to all bins of a
  hadron;
- ``P5p``, ``S5``, ``AFB``, ``FL`` ...: moments of the muonic angles, Gaussian with their statistical
covariance plus
  that of the theory (form factors and charm, of the Standard Model, from draws of flavio's parameters);
- ``dBR_K+`` ...: muon counts alone, form factors and charm as nuisance parameters.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ..kinematics.errors import InputError
from ..physics.angular import decay_rate
from ..physics.channels import CHANNELS, get_channel
from ..physics.measurements import BinnedObservable
from ..physics.models import Model, apply_settings, get_model, nearest
from .counts import CountModel
from .fits import CONVERGED, fit_counts
from .moments import MOMENT_OBSERVABLES, expected_moments, observables
from .ratios import ratio_deviance
from .toys import AUXILIARY, TRUTH, draw_normal, draw_poisson, moment_toys
from .yields import Bin, Dataset, expected_coefficients, theory_effects

Array = npt.NDArray[np.float64]

HADRONS = tuple(dict.fromkeys(c.hadron for c in CHANNELS.values() if c.lepton == "mu"))
"""Hadrons that have a muonic channel."""


class Hypothesis(BaseModel):
    """A model, or a family of models that floats along ``scan``.

    ``scan`` maps paths of the model to [low, high, points]; every combination is a point of the family.

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
        return Term(name, "angular", "K*0", name)
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

    def point(self, index: int) -> Expected:
        """One point, as a family of one."""
        s = slice(index, index + 1)
        return Expected({k: v[s] for k, v in self.counts.items()}, self.mean[s], self.covariance[s])


@dataclass(frozen=True, eq=False)
class Data:
    """Measured quantities of toys, first axis the toys (one row for Asimov data).

    Attributes:
        counts: of each channel, name -> (toys, bins).
        efficiency: auxiliary measurement of the efficiency of electrons over muons, hadron -> (toys,).
        theory: auxiliary measurements of the theory nuisance parameters of a rate, hadron -> (toys, modes).
        angular: measured observables, name -> (toys, bins); NaN where they could not be formed.
    """

    counts: Mapping[str, Array]
    efficiency: Mapping[str, Array]
    theory: Mapping[str, Array]
    angular: Mapping[str, Array]

    @property
    def toys(self) -> int:
        """Number of toys."""
        return len(next(iter(self.counts.values())))


@dataclass(frozen=True, eq=False)
class Experiment:
    """A data set, bins of q2 and the terms of the likelihood; everything theory needs is computed once.

    ``theory_covariance`` is that of the angular observables, name -> (bins, bins), zero if ``theory`` is off,
    and ``rate_effects`` the effects of theory nuisance parameters on the rates, hadron -> (modes, bins).
    """

    dataset: Dataset
    edges: tuple[float, ...]
    terms: tuple[Term, ...]
    efficiency_error: float
    theory_covariance: Mapping[str, Array] = field(default_factory=dict)
    rate_effects: Mapping[str, Array] = field(default_factory=dict)

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
    def angular(self) -> bool:
        """Whether a term needs angles."""
        return any(term.kind == "angular" for term in self.terms)

    def scaled(self, luminosity: float) -> Experiment:
        """The same with another luminosity."""
        return replace(self, dataset=self.dataset.scaled(luminosity))

    def background(self, channel: str) -> Array:
        """Expected background in the bins of a channel."""
        entry = self.dataset.channel(channel)
        density = self.dataset.background(channel) / (entry.q2[1] - entry.q2[0])
        return density * np.diff(np.asarray(self.edges))

    def expect(self, models: Sequence[Model]) -> Expected:
        """Predictions of models for this data set."""
        counts = {}
        mean, covariance = np.zeros((len(models), 0, 12)), np.zeros((len(models), 0, 12, 12))
        for name in self.channels:
            j = expected_coefficients(models, self.dataset, name, self.windows)
            counts[name] = decay_rate(np.moveaxis(j, -1, 0))
            if self.angular and name == channel_name("K*0", "mu"):
                mean, covariance = expected_moments(j)
        return Expected(counts, mean, covariance)

    def asimov(self, expected: Expected) -> Data:
        """Data equal to the expectation of each point: a family of points gives as many rows."""
        rows = len(next(iter(expected.counts.values())))
        counts = {name: mu + self.background(name) for name, mu in expected.counts.items()}
        angular = {}
        if self.angular:
            found = observables(expected.mean, np.ones(expected.mean.shape[:2]))
            angular = {
                t.name: found.values[..., found.names.index(t.quantity)]
                for t in self.terms
                if t.kind == "angular"
            }
        hadrons = {t.hadron for t in self.terms}
        theory = {h: np.zeros((rows, len(self.rate_effects.get(h, ())))) for h in hadrons}
        return Data(counts, {h: np.zeros(rows) for h in hadrons}, theory, angular)

    def draw(
        self,
        expected: Expected,
        *,
        seed: int,
        start: int,
        stop: int,
        sample: int = 0,
        threads: int | None = None,
    ) -> Data:
        """Binned toys of a hypothesis of one point: auxiliary measurements fluctuate, the truth is nominal.

        The theory's error on angular observables is a shift common to all data of a toy with the theory's
        covariance: what is measured minus what is predicted then has the sum of both covariances.
        """
        where: dict[str, Any] = {
            "seed": seed,
            "start": start,
            "stop": stop,
            "sample": sample,
            "threads": threads,
        }
        mu = np.concatenate([expected.counts[name][0] + self.background(name) for name in self.channels])
        drawn = draw_poisson(mu, **where).astype(float)
        n_bins = len(self.windows)
        counts = {name: drawn[:, i * n_bins : (i + 1) * n_bins] for i, name in enumerate(self.channels)}
        hadrons = sorted({t.hadron for t in self.terms})
        sizes = [1 + len(self.rate_effects.get(h, ())) for h in hadrons]
        normal = draw_normal(sum(sizes), purpose=AUXILIARY, **where)
        efficiency, theory, at = {}, {}, 0
        for h, size in zip(hadrons, sizes, strict=True):
            efficiency[h], theory[h] = normal[:, at], normal[:, at + 1 : at + size]
            at += size
        angular: dict[str, Array] = {}
        names = [t for t in self.terms if t.kind == "angular"]
        if names:
            n = counts[channel_name("K*0", "mu")]
            means = moment_toys(
                expected.mean[0],
                expected.covariance[0],
                n,
                seed=seed,
                start=start,
                sample=sample,
                threads=threads,
            )
            found = observables(means, n)
            shifts = draw_normal(n_bins * len(names), purpose=TRUTH, **where)
            for i, t in enumerate(names):
                shift = self.theory_shift(t.name, shifts[:, i * n_bins : (i + 1) * n_bins])
                angular[t.name] = found.values[..., found.names.index(t.quantity)] + shift
        return Data(counts, efficiency, theory, angular)

    def theory_shift(self, name: str, normal: Array) -> Array:
        """Shift of an angular observable by theory, from standard normal numbers (toys, bins)."""
        if name not in self.theory_covariance:
            return np.zeros_like(normal)
        root = _root(self.theory_covariance[name])
        shift = np.zeros_like(normal)
        for k in range(normal.shape[1]):
            shift += root[:, k] * normal[:, k, None]
        return shift

    def statistic(self, term: Term, data: Data, expected: Expected) -> Array:
        """-2 ln L of one term for every toy and point of a hypothesis, (toys, points), up to a constant.

        The constant depends on the toy only.
        """
        return {"ratio": self._ratio, "angular": self._angular, "rate": self._rate}[term.kind](
            term, data, expected
        )

    def _ratio(self, term: Term, data: Data, expected: Expected) -> Array:
        mu, e = channel_name(term.hadron, "mu"), channel_name(term.hadron, "e")
        n_mu, n_e = data.counts[mu], data.counts[e]
        b_mu, b_e = self.background(mu), self.background(e)
        sigma, measured = np.log1p(self.efficiency_error), data.efficiency[term.hadron]
        columns = []
        for s_mu, s_e in zip(expected.counts[mu], expected.counts[e], strict=True):
            log_ratio = np.log(s_mu / s_e)

            def total(theta: Array, log_ratio: Array = log_ratio) -> Array:
                shifted = log_ratio[None, :] - sigma * theta[:, None]
                bins = ratio_deviance(shifted, n_mu, n_e, 1.0, b_mu, b_e)
                return np.asarray(np.sum(bins, axis=1) + (theta - measured) ** 2)

            columns.append(_profile(total, measured) if sigma > 0 else total(measured))
        return np.stack(columns, axis=1)

    def _angular(self, term: Term, data: Data, expected: Expected) -> Array:
        channel = channel_name("K*0", "mu")
        found = observables(expected.mean, np.ones(expected.mean.shape[:2]))
        k = found.names.index(term.quantity)
        predicted, variance = found.values[..., k], found.covariance[..., k, k]
        signal = expected.counts[channel]
        variance = variance * (signal + self.background(channel)) / signal**2
        theory = self.theory_covariance.get(term.name, np.zeros((predicted.shape[1],) * 2))
        measured = data.angular[term.name]
        columns = []
        for p in range(len(predicted)):
            covariance = theory + np.diag(variance[p])
            residual = np.where(np.isnan(measured), 0.0, measured - predicted[p])
            solved = np.linalg.solve(covariance, residual[:, :, None])[:, :, 0]
            columns.append(np.sum(residual * solved, axis=1) + np.linalg.slogdet(covariance)[1])
        return np.stack(columns, axis=1)

    def _rate(self, term: Term, data: Data, expected: Expected) -> Array:
        channel = channel_name(term.hadron, "mu")
        effects = self.rate_effects.get(term.hadron, np.zeros((0, len(self.windows))))
        names = tuple(f"theory_{i}" for i in range(len(effects)))
        columns = []
        for mu in expected.counts[channel]:
            model = CountModel(mu[:, None], (), self.background(channel), names, effects)
            fit = fit_counts(model, data.counts[channel], data.theory[term.hadron])
            columns.append(np.where(fit.status == CONVERGED, fit.deviance, np.nan))
        return np.stack(columns, axis=1)


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def _profile(function: Any, start: Array) -> Array:
    """Minimum of functions of one variable, one a row, close to parabolas of unit curvature or more."""
    theta, step = start, np.full_like(start, 0.5)
    for _ in range(4):
        low, middle, high = function(theta - step), function(theta), function(theta + step)
        curvature = low - 2.0 * middle + high
        move = 0.5 * step * (low - high) / np.where(curvature > 0, curvature, 1.0)
        theta = theta + np.clip(move, -4.0, 4.0)
        step = step * 0.4
    return np.asarray(np.minimum(function(theta), middle))


def minimum(statistic: Array, shape: tuple[int, ...]) -> tuple[Array, npt.NDArray[np.int64]]:
    """Lowest value over the points of a family, (toys,), and its index; a parabola refines a scan of one.

    Toys in which a point failed (NaN) use the others.
    """
    values = np.where(np.isnan(statistic), np.inf, statistic)
    best = np.argmin(values, axis=1)
    rows = np.arange(len(values))
    lowest = values[rows, best]
    if len(shape) == 1 and shape[0] >= 3:
        inner = np.clip(best, 1, shape[0] - 2)
        low, middle, high = values[rows, inner - 1], values[rows, inner], values[rows, inner + 1]
        curvature = low - 2.0 * middle + high
        usable = (inner == best) & np.isfinite(low) & np.isfinite(high) & (curvature > 0)
        gain = (low - high) ** 2 / (8.0 * np.where(usable, curvature, 1.0))
        lowest = np.where(usable, middle - np.where(usable, gain, 0.0), lowest)
    return lowest, best


def make_experiment(
    dataset: Dataset,
    edges: Sequence[float],
    names: Sequence[str],
    *,
    theory: bool = True,
    efficiency_error: float | None = None,
    modes: int = 6,
) -> Experiment:
    """An experiment with its theory errors, from the names of data set, bins and observables.

    >>> from darkpenguin.generator.yields import get_dataset
    >>> make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"]).channels
    ('B+->K+mumu', 'B+->K+ee')
    """
    terms = tuple(parse_term(name) for name in names)
    if not terms:
        raise InputError("observables: name one at least")
    if len({t.name for t in terms}) != len(terms):
        raise InputError(f"observables = {', '.join(names)}: one is named twice")
    error = dataset.efficiency_error if efficiency_error is None else efficiency_error
    bare = Experiment(dataset, tuple(float(e) for e in edges), terms, error)
    bins = bare.windows
    if not bins or any(not 0 <= low < high for low, high in bins):
        raise InputError(f"bins = {list(edges)}: needs at least two edges of q2 (GeV^2) in increasing order")
    for name in bare.channels:
        dataset.channel(name)
        low, high = get_channel(name).q2_limits()
        if bins[0][0] >= high or bins[-1][1] > high or bins[0][0] < low:
            raise InputError(
                f"bins {edges[0]:g} to {edges[-1]:g} GeV^2: {name} reaches from {low:.4g} to {high:.5g}"
            )
    if not theory:
        return bare
    covariances, effects = {}, {}
    for t in terms:
        if t.kind == "angular":
            from ..physics.uncertainties import theory_covariance

            wanted = [
                BinnedObservable(t.quantity, channel_name("K*0", "mu"), low, high) for low, high in bins
            ]
            covariances[t.name] = theory_covariance(wanted)
        if t.kind == "rate":
            channel = channel_name(t.hadron, "mu")
            effects[t.hadron] = theory_effects([Bin(channel, low, high) for low, high in bins], modes)
    return replace(bare, theory_covariance=covariances, rate_effects=effects)
