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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.binning import Bins, BinsLike, read_pairs, rising_bins
from ...physics.channels import CHANNELS, get_channel
from ...physics.charmonium import check_charm
from ...physics.models import Model
from ...physics.moments import Moments, follows_from, observables
from ...physics.observables import BinnedObservable, measured_observables
from ..statistics.draws import AUXILIARY, SHIFTS, TRUTH, draw_normal, draw_poisson, moment_toys
from ..statistics.fits import profiled_deviance
from ..statistics.minimise import CONVERGED, parabolas
from ..statistics.ratios import ratio_deviance, saturated
from .datasets import Dataset
from .systematics import Nuisances, Systematics, nuisances
from .yields import binned_yields, predict_channel

Array = npt.NDArray[np.float64]
Systematic = Literal["measured", "drawn", "none"]
"""What nuisance parameters do in toys, see ``Experiment.draw``."""
ANGULAR_CHANNEL = "B0->K*0mumu"
"""Channel of the angular observables."""
_ROWS = 1 << 14
"""Toys times points that a ratio is profiled for at a time: they stay in the cache."""
HADRONS = tuple(dict.fromkeys(c.hadron for c in CHANNELS.values() if c.lepton == "mu"))
"""Hadrons that have a muonic channel."""


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
    angular = [row.name for row in measured_observables("vector")]
    known = [*(f"R_{h}" for h in HADRONS), *(f"dBR_{h}" for h in HADRONS), *angular]
    head, _, hadron = name.partition("_")
    if head in ("R", "dBR") and hadron in HADRONS:
        return Term(name, "ratio" if head == "R" else "rate", hadron, head)
    if name in angular:
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
        windows: bins of q2 (GeV²), which rise and may have gaps.
        terms: of the likelihood.
        efficiency_error: of electrons over muons.
        nuisances: parameters and their effects on ln of the signal; bins of all ``channels``, channel by channel.
        theory_covariance: of all angular terms together, bins of one term after those of another; zero without theory.
    """

    dataset: Dataset
    windows: Bins
    terms: tuple[Term, ...]
    efficiency_error: float
    nuisances: Nuisances = field(default_factory=Nuisances)
    theory_covariance: Array = field(default_factory=lambda: np.zeros((0, 0)))

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
    def bins(self) -> tuple[BinnedObservable, ...]:
        """Bins of all channels, channel by channel."""
        return binned_yields(self.channels, self.windows)

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
        return density * np.array([high - low for low, high in self.windows])

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
            found = self.angular_observables(expected.mean, np.ones(expected.mean.shape[:2]))
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
                expected.mean[0], expected.covariance[0], n, seed=seed, start=start, sample=sample, threads=threads
            )
            found = self.angular_observables(means, n)
            for t, shift in zip(self.angular, self.draw_shifts(systematics, where), strict=True):
                angular[t.name] = found.values[..., found.names.index(t.quantity)] + shift
        return Data(counts, auxiliary, theta, angular)

    def angular_observables(
        self, means: npt.ArrayLike, events: npt.ArrayLike, covariance: npt.ArrayLike | None = None
    ) -> Moments:
        """Observables of the angular terms from mean f_i over a number of events, and the means' own covariance."""
        return observables(means, events, "vector", covariance, [t.quantity for t in self.angular])

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
        for column, effect in zip(theta.T, self.nuisances.effects, strict=True):  # no sum depends on the batch
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

    def statistic(self, term: Term, data: Data, expected: Expected, paired: bool = False, rough: bool = False) -> Array:
        """-2 ln L of one term for every toy and point of a hypothesis, (toys, points), up to a constant.

        The constant depends on the toy only. NaN where a fit of nuisance parameters failed. With ``paired`` each toy
        has its own point, as many as there are toys, and the result is (toys,). ``rough`` is several times faster: one
        parabola in each nuisance parameter of a ratio.
        """
        if term.kind == "ratio":
            return self._ratio(term.hadron, data, expected, paired, rough)
        if term.kind == "angular":
            return self._angular((term,), data, expected, paired)
        return self._counts((channel_name(term.hadron, "mu"),), data, expected, paired)

    def combined(self, data: Data, expected: Expected, paired: bool = False, rough: bool = False) -> Array:
        """-2 ln L of all terms together, shape, constant, ``paired`` and ``rough`` as of ``statistic``."""
        by_kind = {kind: [t for t in self.terms if t.kind == kind] for kind in ("ratio", "rate", "angular")}
        rates = [t.hadron for t in by_kind["rate"]]
        ratios = [t.hadron for t in by_kind["ratio"] if t.hadron not in rates]
        parts = [self._ratio(hadron, data, expected, paired, rough) for hadron in ratios]
        if rates:
            channels = [channel_name(hadron, "mu") for hadron in rates]
            channels += [channel_name(t.hadron, "e") for t in by_kind["ratio"] if t.hadron in rates]
            parts.append(self._counts(channels, data, expected, paired))
        if by_kind["angular"]:
            parts.append(self._angular(by_kind["angular"], data, expected, paired))
        return np.asarray(np.sum(parts, axis=0))

    def _ratio(self, hadron: str, data: Data, expected: Expected, paired: bool = False, rough: bool = False) -> Array:
        mu, e = channel_name(hadron, "mu"), channel_name(hadron, "e")
        n_mu, n_e = data.counts[mu], data.counts[e]
        b_mu, b_e = self.background(mu), self.background(e)
        effects = self.nuisances.effects[:, self.columns([mu])] - self.nuisances.effects[:, self.columns([e])]
        # what is common to both leptons is free in every bin; theory, within 1e-3, is such
        used = [
            i
            for i, name in enumerate(self.nuisances.names)
            if not name.startswith("theory_") and np.any(effects[i] != 0)
        ]
        effects, measured = effects[used], data.auxiliary[:, used]
        log_ratios = np.log(expected.counts[mu] / expected.counts[e])
        toys, bins = n_mu.shape

        def of_rows(logs: Array, muons: Array, electrons: Array, known: Array) -> Array:
            best = saturated(muons, electrons, b_mu, b_e)

            def total(theta: Array) -> Array:
                shifted = logs
                for column, effect in zip(theta.T, effects, strict=True):
                    shifted = shifted + column[:, None] * effect
                deviance = ratio_deviance(shifted, muons, electrons, 1.0, b_mu, b_e, best)
                found = np.zeros(len(logs))
                for b in range(bins):  # bin by bin: no sum depends on what else is in the batch
                    found += deviance[:, b]
                for k in range(theta.shape[1]):
                    found += (theta[:, k] - known[:, k]) ** 2
                return found

            return parabolas(total, known, rough)

        if paired:
            return of_rows(log_ratios, n_mu, n_e, measured)
        parts = []
        step = max(1, _ROWS // toys)
        for first in range(0, len(log_ratios), step):  # point by point all toys
            logs = log_ratios[first : first + step]
            rows = (np.tile(x, (len(logs), 1)) for x in (n_mu, n_e, measured))
            parts.append(of_rows(np.repeat(logs, toys, axis=0), *rows).reshape(len(logs), toys))
        return np.ascontiguousarray(np.concatenate(parts).T)

    def _angular(self, terms: Sequence[Term], data: Data, expected: Expected, paired: bool = False) -> Array:
        found = self.angular_observables(expected.mean, np.ones(expected.mean.shape[:2]), expected.covariance)
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
        return np.stack([chi2(measured - predicted[p], inverse[p], constant[p]) for p in range(len(signal))], axis=1)

    def _counts(self, channels: Sequence[str], data: Data, expected: Expected, paired: bool = False) -> Array:
        effects = self.nuisances.effects[:, self.columns(channels)]
        used = np.nonzero(np.any(effects != 0, axis=1))[0]
        background = np.concatenate([self.background(name) for name in channels])
        counts = np.concatenate([data.counts[name] for name in channels], axis=1)
        signal = np.concatenate([expected.counts[name] for name in channels], axis=1)
        known = data.auxiliary[:, used]

        def of_rows(signal: Array, counts: Array, known: Array) -> Array:
            deviance, status = profiled_deviance(signal, background, effects[used], counts, known)
            return np.where(status == CONVERGED, deviance, np.nan)

        if paired:
            return _in_parts(of_rows, signal, counts, known)
        columns = [_in_parts(of_rows, np.broadcast_to(mu, counts.shape), counts, known) for mu in signal]
        return np.stack(columns, axis=1)


def _in_parts(function: Callable[..., Array], *rows: Array) -> Array:
    """A function of rows, some of them at a time."""
    steps = range(0, len(rows[0]), _ROWS)
    return np.concatenate([function(*(x[i : i + _ROWS] for x in rows)) for i in steps])


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def systematics_of(
    experiment: Experiment, theory: bool, normalisation: float = 0.0, resolution_error: float = 0.0, modes: int = 6
) -> Systematics:
    """Nuisance parameters of an experiment, in the words of ``yields``."""
    return Systematics(theory, modes, experiment.efficiency_error, normalisation, resolution_error)


class Statistic(Protocol):
    """-2 ln L of toys at the points of a family, as ``Experiment.statistic`` and ``combined``."""

    def __call__(self, data: Data, expected: Expected, paired: bool = False, rough: bool = False) -> Array:
        """Shape (toys, points), or (toys,) if paired."""


def make_experiment(
    dataset: Dataset,
    bins: BinsLike,
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
        bins: edges of q2 (GeV²), or pairs where there are gaps.
        names: of the observables.
        theory: whether form factors and charm are uncertain.
        efficiency_error: relative, of electrons over muons; the data set's if None.
        normalisation: relative error on all channels of one hadron together; it drops out of R.
        resolution_error: relative error of the q2 resolution, for channels that have one.
        modes: most eigenvectors of the theory's covariance of the rates.

    Example:
        >>> from darkpenguin.generator.toys.datasets import get_dataset
        >>> make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], theory=False).nuisances.names
        ('efficiency_K+',)
    """
    terms = tuple(parse_term(name) for name in names)
    if not terms:
        raise InputError("observables: name one at least")
    if len({t.name for t in terms}) != len(terms):
        raise InputError(f"observables = {', '.join(names)}: one is named twice")
    dependent = follows_from([t.quantity for t in terms if t.kind == "angular"])
    if dependent is not None:
        name, others = dependent
        raise InputError(f"observables: {name} follows from {', '.join(others)}; leave one of them out")
    error = dataset.efficiency_error if efficiency_error is None else efficiency_error
    windows = read_pairs(rising_bins(bins))
    bare = Experiment(dataset, windows, terms, error)
    for name in bare.channels:
        dataset.channel(name)
        low, high = get_channel(name).q2_limits()
        if windows[0][0] >= high or windows[-1][1] > high or windows[0][0] < low:
            shown = f"{windows[0][0]:g} to {windows[-1][1]:g}"
            raise InputError(f"bins {shown} GeV^2: {name} reaches from {low:.4g} to {high:.5g}")
        check_charm(get_channel(name), dataset.theory, windows)
    found = nuisances(dataset, bare.bins, systematics_of(bare, theory, normalisation, resolution_error, modes))
    covariance = np.zeros((0, 0))
    if theory and bare.angular:
        from ...physics.uncertainties import theory_covariance

        covariance = theory_covariance(
            [BinnedObservable(t.quantity, ANGULAR_CHANNEL, low, high) for t in bare.angular for low, high in windows],
            dataset.standard,
        )
    return replace(bare, nuisances=found, theory_covariance=covariance)
