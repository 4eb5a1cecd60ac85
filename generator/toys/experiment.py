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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.binning import Bins, BinsLike, read_pairs, rising_bins
from ...physics.channels import CHANNELS, get_channel
from ...physics.charmonium import check_charm
from ...physics.definitions import massless
from ...physics.models import Model
from ...physics.moments import Moments, follows_from, observables
from ...physics.observables import BinnedObservable, measured_observables
from ..statistics.draws import AUXILIARY, SHIFTS, TRUTH, draw_normal, draw_poisson, moment_toys
from .datasets import Dataset
from .profile import Cells, Rows, make_cells, profiled
from .profile_gpu import profiled as profiled_there
from .sources import Mode, SystematicsTable
from .systematics import Nuisances, Systematics, nuisances
from .yields import background_parts, binned_yields, predict_channel

Array = npt.NDArray[np.float64]
ANGULAR_CHANNEL = "B0->K*0mumu"
"""Channel of the angular observables."""
_PAIRS = 1 << 14
"""Pairs of a toy and a point that are evaluated at a time, about."""
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


@cache
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
        spread: of Asimov data, covariance of all angular observables, (toys, observables, observables): -2 ln L is then
            what toys have on average, tr(covariance⁻¹ spread) more than at their centre; None of what was measured.
    """

    counts: Mapping[str, Array]
    auxiliary: Array
    theta: Array
    angular: Mapping[str, Array]
    spread: Array | None = None

    @property
    def toys(self) -> int:
        """Number of toys."""
        return len(next(iter(self.counts.values())))

    def take(self, rows: npt.NDArray[np.intp]) -> Data:
        """Some of the toys."""
        counts = {name: values[rows] for name, values in self.counts.items()}
        angular = {name: values[rows] for name, values in self.angular.items()}
        spread = None if self.spread is None else self.spread[rows]
        return Data(counts, self.auxiliary[rows], self.theta[rows], angular, spread)


@dataclass(frozen=True, eq=False)
class Experiment:
    """A data set, bins of q2 and the terms of the likelihood; everything theory needs is computed once.

    Attributes:
        dataset: yields and detector.
        windows: bins of q2 (GeV²), which rise and may have gaps.
        terms: of the likelihood.
        systematics: what is uncertain.
        nuisances: parameters and their effects, of the bins of all ``channels``, channel by channel, and of all angular
            terms, bins of one term after those of another.
    """

    dataset: Dataset
    windows: Bins
    terms: tuple[Term, ...]
    systematics: Systematics = field(default_factory=Systematics)
    nuisances: Nuisances = field(default_factory=Nuisances)

    def measured(self, hadron: str) -> list[bool]:
        """Whether the ratio of a hadron is measured in each bin: where electrons are."""
        electrons = self.dataset.channel(channel_name(hadron, "e"))
        return [electrons.measures(low, high) for low, high in self.windows]

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

    @property
    def counted(self) -> npt.NDArray[np.intp]:
        """Places of the bins that are measured: of muons, and of electrons where they are."""
        seen = [
            self.measured(get_channel(name).hadron) if get_channel(name).lepton == "e" else () for name in self.channels
        ]
        flags = [list(part) or [True] * len(self.windows) for part in seen]
        return np.nonzero(np.concatenate(flags))[0]

    def scaled(self, luminosity: float) -> Experiment:
        """The same with another luminosity: all backgrounds in proportion."""
        other, factor = replace(self, dataset=self.dataset.scaled(luminosity)), luminosity / self.dataset.luminosity
        other.__dict__["_cells"] = self._cells  # what is cached, for speed
        other.__dict__["_backgrounds"] = {name: b * factor for name, b in self._backgrounds.items()}
        return other

    def background(self, channel: str) -> Array:
        """Expected background in the bins of a channel."""
        return self._backgrounds[channel]

    @cached_property
    def _backgrounds(self) -> dict[str, Array]:
        none = np.zeros(len(self.windows))
        return {
            name: np.asarray(sum(background_parts(self.dataset, name, self.windows).values(), none))
            for name in self.channels
        }

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

    def purity(self, expected: Expected) -> Array:
        """Share of signal in the channel with angles, (points, bins): of n events n times its square count there."""
        signal = expected.counts[ANGULAR_CHANNEL]
        return np.asarray(signal / (signal + self.background(ANGULAR_CHANNEL)))

    def asimov(self, expected: Expected) -> Data:
        """Data equal to the expectation of each point: a family of points gives as many rows.

        Angular observables have covariances of their own in every hypothesis. At the centre of the data the larger one
        would lose by its determinant alone; on average it gains by the trace what makes -2 ln of the ratio positive.
        """
        rows = len(next(iter(expected.counts.values())))
        counts = {name: mu + self.background(name) for name, mu in expected.counts.items()}
        angular = {}
        if self.angular:
            found = self.angular_observables(expected.mean, np.ones(expected.mean.shape[:2]))
            angular = {t.name: found.values[..., found.names.index(t.quantity)] for t in self.angular}
        none = np.zeros((rows, len(self.nuisances.names)))
        spread = np.asarray(np.linalg.inv(self._angular(self.angular, expected)[3])) if self.angular else None
        return Data(counts, none, none, angular, spread)

    def draw(
        self,
        expected: Expected,
        *,
        seed: int,
        start: int,
        stop: int,
        sample: int = 0,
        systematics: Mode = "measured",
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
        if np.any(theta):
            mean = signal * self.factors(theta) + background * self.factors(theta, self.nuisances.tilts)
        counts = self.split(draw_poisson(mean, **where).astype(float))
        angular: dict[str, Array] = {}
        if self.angular:
            n = counts[ANGULAR_CHANNEL] * self.purity(expected)[0] ** 2
            means = moment_toys(
                expected.mean[0], expected.covariance[0], n, seed=seed, start=start, sample=sample, threads=threads
            )
            found = self.angular_observables(means, n)
            for t, shift in zip(self.angular, self.draw_shifts(theta, auxiliary, systematics, where), strict=True):
                angular[t.name] = found.values[..., found.names.index(t.quantity)] + shift
        return Data(counts, auxiliary, theta, angular)

    def angular_observables(
        self, means: npt.ArrayLike, events: npt.ArrayLike, covariance: npt.ArrayLike | None = None
    ) -> Moments:
        """Observables of the angular terms from mean f_i over a number of events, and the means' own covariance."""
        names = [t.quantity for t in self.angular]
        return observables(means, events, "vector", covariance, names, definition=massless)

    def draw_nuisances(self, systematics: Mode, where: Mapping[str, Any]) -> tuple[Array, Array]:
        """True nuisance parameters and their measurements, each (toys, nuisances)."""
        k = len(self.nuisances.names)
        modes = np.array([mode or systematics for mode in self.nuisances.toys])
        found = []
        for mode, purpose in (("drawn", TRUTH), ("measured", AUXILIARY)):
            some = np.any(modes == mode)
            values = draw_normal(k, purpose=purpose, **where) if some else np.zeros((where["stop"] - where["start"], k))
            found.append(np.where(modes == mode, values, 0.0) if k else values)
        return found[0], found[1]

    def factors(self, theta: Array, effects: Array | None = None) -> Array:
        """What nuisance parameters make of the signal (or what else the effects are on) in all bins, (toys, bins)."""
        exponent = np.zeros((len(theta), len(self.channels) * len(self.windows)))
        rows = self.nuisances.effects if effects is None else effects
        for column, effect in zip(theta.T, rows, strict=True):  # no sum depends on the batch
            exponent += column[:, None] * effect
        return np.asarray(np.exp(exponent))

    def split(self, values: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Values in all bins, (toys, bins), by channel."""
        n = len(self.windows)
        return {name: values[:, i * n : (i + 1) * n] for i, name in enumerate(self.channels)}

    def draw_shifts(self, theta: Array, auxiliary: Array, systematics: Mode, where: Mapping[str, Any]) -> Array:
        """Shifts of the angular terms by nuisance parameters and what else theory leaves open, (terms, toys, bins).

        Where measurements of the parameters fluctuate, the observables are shifted against them: what is measured minus
        what is predicted then has the covariance of both.
        """
        n, rows = len(self.windows), where["stop"] - where["start"]
        shift = np.zeros((rows, n * len(self.angular)))
        for column, effect in zip((theta - auxiliary).T, self.nuisances.shifts, strict=True):
            shift += column[:, None] * effect
        if systematics != "none" and self.nuisances.rest.any():
            normal = draw_normal(shift.shape[1], purpose=SHIFTS, **where)
            for k, root in enumerate(_root(self.nuisances.rest).T):
                shift += root * normal[:, k, None]
        return np.moveaxis(shift.reshape(rows, len(self.angular), n), 1, 0)

    def _places(self, terms: Sequence[Term]) -> npt.NDArray[np.intp]:
        """Places of the bins of some angular terms among those of all."""
        n = len(self.windows)
        found = [self.angular.index(t) * n + np.arange(n) for t in terms]
        return np.concatenate([np.zeros(0, dtype=np.intp), *found])

    def systematic_covariance(self, terms: Sequence[Term]) -> Array:
        """Covariance of some angular terms by theory and all other systematic errors."""
        places, shifts = self._places(terms), self.nuisances.shifts
        return np.asarray((self.nuisances.rest + shifts.T @ shifts)[np.ix_(places, places)])

    def ratio_error(self, hadron: str) -> Array:
        """Relative systematic error of a ratio in every bin: of efficiencies and backgrounds, theory aside."""
        found = np.zeros((len(self.nuisances.names), len(self.windows)))
        sm = self.expect([self.dataset.standard]).counts
        for sign, lepton in ((1.0, "e"), (-1.0, "mu")):
            name = channel_name(hadron, lepton)
            part = self.channels.index(name) * len(self.windows) + np.arange(len(self.windows))
            share = self.background(name) / sm[name][0]
            found += sign * (self.nuisances.effects[:, part] + share * self.nuisances.tilts[:, part])
        found = found[[not name.startswith("theory_") for name in self.nuisances.names]]
        return np.asarray(np.sqrt(np.sum(found**2, axis=0)))

    def statistic(self, term: Term, data: Data, expected: Expected, paired: bool = False, rough: bool = False) -> Array:
        """-2 ln L of one term for every toy and point of a hypothesis, (toys, points), up to a constant.

        The constant depends on the toy only. NaN where a fit of nuisance parameters failed. With ``paired`` each toy
        has its own point, as many as there are toys, and the result is (toys,). ``rough`` is several times faster: one
        Newton step of the nuisance parameters.
        """
        return self._likelihood((term,), data, expected, paired, rough)

    def combined(
        self, data: Data, expected: Expected, paired: bool = False, rough: bool = False, library: Any = np
    ) -> Array:
        """-2 ln L of all terms together, shape, constant, ``paired`` and ``rough`` as of ``statistic``.

        Nuisance parameters are profiled with the arrays of ``library``, CuPy on a GPU.
        """
        return self._likelihood(self.terms, data, expected, paired, rough, library)

    @cached_property
    def _cells(self) -> dict[tuple[Term, ...], Cells]:
        return {}

    def places(self, terms: Sequence[Term]) -> tuple[list[tuple[int, ...]], list[bool]]:
        """Bins of counts that some terms are of, by cell, and whether the norm of each is free.

        What ratios and rates of one hadron share is in one cell.
        """
        n = len(self.windows)
        rates = [t.hadron for t in terms if t.kind == "rate"]
        ratios = [t.hadron for t in terms if t.kind == "ratio"]
        bins: list[tuple[int, ...]] = []
        free: list[bool] = []
        for hadron in dict.fromkeys([*ratios, *rates]):
            muons = self.channels.index(channel_name(hadron, "mu")) * n
            seen = self.measured(hadron) if hadron in ratios else [False] * n
            for i, both in enumerate(seen):
                if not (both or hadron in rates):
                    continue
                cell = [muons + i]
                if both:
                    cell.append(self.channels.index(channel_name(hadron, "e")) * n + i)
                bins.append(tuple(cell))
                free.append(hadron not in rates)
        return bins, free

    def cells(self, terms: Sequence[Term]) -> Cells:
        """Cells of counts that some terms are of, and the nuisance parameters that act on the terms.

        Theory is common to the leptons of a ratio within 1e-3 and taken as such.
        """
        bins, free = self.places(terms)
        effects, tilts = self.nuisances.effects.copy(), self.nuisances.tilts.copy()
        theory = np.array([name.startswith("theory_") for name in self.nuisances.names], dtype=bool)
        for cell, ratio in zip(bins, free, strict=True):
            if ratio:
                effects[np.ix_(theory, np.array(cell))] = 0.0
        shifts = self.nuisances.shifts[:, self._places([t for t in terms if t.kind == "angular"])]
        for part in (effects, tilts, shifts):
            part[~self.nuisances.floating] = 0.0
        return make_cells(bins, free, effects, tilts, np.any(shifts != 0, axis=1))

    def _likelihood(
        self,
        terms: Sequence[Term],
        data: Data,
        expected: Expected,
        paired: bool,
        rough: bool,
        library: Any = np,
    ) -> Array:
        key = tuple(terms)
        if key not in self._cells:
            self._cells[key] = self.cells(terms)
        cells = self._cells[key]
        counts = np.concatenate([data.counts[name] for name in self.channels], axis=1)[:, cells.bins]
        signal = np.concatenate([expected.counts[name] for name in self.channels], axis=1)[:, cells.bins]
        background = np.concatenate([self.background(name) for name in self.channels])[cells.bins]
        known = data.auxiliary[:, cells.nuisances]
        angular = [t for t in terms if t.kind == "angular"]
        measured = np.concatenate([np.zeros((data.toys, 0)), *(data.angular[t.name] for t in angular)], axis=1)
        predicted, inverse, constant, whole = self._angular(angular, expected)
        places = self._places(angular)
        shifts = self.nuisances.shifts[np.ix_(cells.nuisances[: cells.common], places)]
        trace = np.zeros((data.toys, len(signal)))
        if data.spread is not None and angular:
            trace = np.einsum("tij,pji->tp", data.spread[:, places[:, None], places], whole)

        profile = profiled if library is np else partial(profiled_there, library)

        def of(toys: Rows, points: Rows) -> Array:
            residual = measured[toys] - predicted[points]
            residual = np.where(np.isnan(residual), 0.0, residual)
            found = profile(
                cells, counts, signal, background, known, (residual, inverse, shifts), toys, points, rough=rough
            )
            return found + constant[points] + trace[toys, points]

        everyone = np.arange(data.toys)
        if paired:
            return of(everyone, everyone)
        parts = np.array_split(np.arange(len(signal)), max(1, data.toys * len(signal) // _PAIRS))
        found = [of(np.tile(everyone, len(p)), np.repeat(p, data.toys)).reshape(-1, data.toys) for p in parts]
        return np.concatenate(found).T

    def _angular(self, terms: Sequence[Term], expected: Expected) -> tuple[Array, Array, Array, Array]:
        """Predictions of angular terms (points, observables), their inverse covariance, ln |whole|, inverse of whole.

        The covariance is statistical, and what theory leaves open beside the nuisance parameters; in the whole one
        these are too, so that a term alone is the Gaussian with all of it.
        """
        points = len(next(iter(expected.counts.values())))
        if not terms:
            none = np.zeros((points, 0, 0))
            return np.zeros((points, 0)), none, np.zeros(points), none
        found = self.angular_observables(expected.mean, np.ones(expected.mean.shape[:2]), expected.covariance)
        columns, n = [found.names.index(t.quantity) for t in terms], len(self.windows)
        signal = expected.counts[ANGULAR_CHANNEL]
        share = (signal + self.background(ANGULAR_CHANNEL)) / signal**2
        places, bins = self._places(terms), np.arange(n)
        covariance = np.repeat(self.nuisances.rest[np.ix_(places, places)][None], points, axis=0)
        for i, a in enumerate(columns):
            for j, b in enumerate(columns):
                covariance[:, i * n + bins, j * n + bins] += found.covariance[..., a, b] * share
        shifts = self.nuisances.shifts[:, places][self.nuisances.floating]
        predicted = np.concatenate([found.values[..., a] for a in columns], axis=1)
        whole = covariance + shifts.T @ shifts
        constant = np.asarray(np.linalg.slogdet(whole)[1])
        return predicted, np.asarray(np.linalg.inv(covariance)), constant, np.asarray(np.linalg.inv(whole))


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)))


def systematics_of(experiment: Experiment, theory: bool) -> Systematics:
    """Systematic errors of an experiment, with theory uncertain or not."""
    return replace(experiment.systematics, theory=theory)


class Statistic(Protocol):
    """-2 ln L of toys at the points of a family, as ``Experiment.statistic`` and ``combined``."""

    def __call__(self, data: Data, expected: Expected, paired: bool = False, rough: bool = False) -> Array:
        """Shape (toys, points), or (toys,) if paired."""


class Asked(Protocol):
    """What cards of toys and of sensitivities say of an experiment, see `make_experiment`."""

    bins: Any
    observables: tuple[str, ...]
    theory: bool
    efficiency_error: float | None
    normalisation: float
    resolution_error: float
    systematics: SystematicsTable


def experiment_of(card: Asked, dataset: Dataset) -> Experiment:
    """The experiment that a card asks for, with a data set.

    >>> from darkpenguin.generator.toys.datasets import get_dataset
    >>> from darkpenguin.generator.toys.run import ToysCard
    >>> experiment_of(ToysCard(observables=("R_K+",)), get_dataset("lhcb-run12")).channels
    ('B+->K+mumu', 'B+->K+ee')
    """
    names = ("theory", "efficiency_error", "normalisation", "resolution_error", "systematics")
    return make_experiment(dataset, card.bins, card.observables, **{name: getattr(card, name) for name in names})


def make_experiment(
    dataset: Dataset,
    bins: BinsLike,
    names: Sequence[str],
    *,
    theory: bool = True,
    efficiency_error: float | None = None,
    normalisation: float = 0.0,
    resolution_error: float = 0.0,
    modes: int = 12,
    systematics: SystematicsTable | None = None,
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
        systematics: sources of systematic error on top of these; the built-in ones if None.

    Example:
        >>> from darkpenguin.generator.toys.datasets import get_dataset
        >>> make_experiment(get_dataset("lhcb-run12"), [1.1, 6.0], ["R_K+"], theory=False).nuisances.names
        ('efficiency_K+', 'qed', ...)
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
    told = Systematics(
        theory, modes, efficiency_error, normalisation, resolution_error, systematics or SystematicsTable()
    )
    windows = read_pairs(rising_bins(bins))
    bare = Experiment(dataset, windows, terms, told)
    for name in bare.channels:
        dataset.channel(name)
        low, high = get_channel(name).q2_limits()
        if windows[0][0] >= high or windows[-1][1] > high or windows[0][0] < low:
            shown = f"{windows[0][0]:g} to {windows[-1][1]:g}"
            raise InputError(f"bins {shown} GeV^2: {name} reaches from {low:.4g} to {high:.5g}")
        check_charm(get_channel(name), dataset.theory, windows)
    for t in terms:
        if t.kind == "ratio" and not any(bare.measured(t.hadron)):
            spans = ", ".join(f"{w.q2[0]:g}-{w.q2[1]:g}" for w in dataset.channel(channel_name(t.hadron, "e")).windows)
            raise InputError(f"observable = {t.name}: no bin where dataset {dataset.name} has electrons, {spans} GeV^2")
    angular = [BinnedObservable(t.quantity, ANGULAR_CHANNEL, low, high) for t in bare.angular for low, high in windows]
    return replace(bare, nuisances=nuisances(dataset, bare.bins, told, angular))
