"""A run of toys: the card and the columns of the ntuple.

A row holds one toy: its number, its counts, its nuisance parameters as they are and as they were measured, the
estimates with errors and status, -2 ln L of every hypothesis, the fitted couplings. Row t depends on the card and on t
alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ...kinematics.base.arrays import array_library, to_host
from ...kinematics.base.cards import Card
from ...kinematics.base.checks import parse_count
from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import available_threads
from ...physics.binning import RisingBins, find_bins, intervals_of, rising_bins, stretches_of
from ...physics.channels import file_word, get_channel
from ...physics.models import ModelChoice, as_model
from ...physics.moments import functions
from ..files.provenance import PROVENANCE_VERSION, package_versions
from ..fits.card import FitCard
from ..sampler.backend import CpuBackend, select_backend
from ..sampler.stored import sampling_table
from ..sampler.tables import Table
from ..statistics.angular_fit import LIKELIHOOD_OBSERVABLES, fit_angles
from ..statistics.counts import CountModel
from ..statistics.draws import EVENTS, SHIFT, draw_poisson, moment_toys, stream_word
from ..statistics.fits import fit_counts
from ..statistics.ratios import ratio_estimate
from .couplings import quadratic_counts
from .datasets import DatasetChoice, DetectorTable, get_dataset
from .detector import ChannelDetector, event_numbers, observed_toys
from .detector_gpu import observed_toys as observed_there
from .experiment import (
    ANGULAR_CHANNEL,
    Data,
    Expected,
    Experiment,
    channel_name,
    experiment_of,
    systematics_of,
)
from .family import Family
from .hypothesis import Hypothesis, with_settings, with_theories
from .moments import event_moments, stack_columns, toy_columns
from .sources import SystematicsTable
from .unbinned import STATUSES, UnbinnedFits
from .yields import generated_events, predict_channel, window_shares

Array = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]


def _fit_card(value: Any) -> Any:
    return value if value is None else FitCard.make(value)


class ToysCard(Card):
    """What toys to make and what to measure in them; the defaults inject a V of 2.5 GeV.

    Attributes:
        truth: the model that is true.
        hypotheses: what every toy is compared with, each a model or a family; the first is the reference.
        dataset: data set that gives the yields: a name, or a table of one's own.
        detector: efficiency maps, migration and resolution on top of the data set's, see ``yields.DetectorTable``.
        luminosity: in the data set's unit; its own if None.
        observables: terms of the likelihood, see ``ensembles``.
        bins: edges of q2 (GeV²), or pairs where there are gaps: ``[[1.1, 6], [14.3, 19]]``.
            Ratios are those of bins where the data set has electrons.
        depth: ``binned`` draws counts and moments, ``events`` generates every event of the signal; angles of the
            background are in neither, its statistical error on the observables is in both.
        likelihood: with ``events``, angular fits of the signal alone by maximum likelihood beside the moments.
        fit: couplings to fit to the counts, see ``yields.Directions``; none if empty.
        fit_model: model whose masses and widths the fit has, and whose other couplings.
        fit_starts: couplings to start from, one row a start; if empty, both sides of a quadratic's turning point,
            so that the deeper of two mirror minima wins. One start at zero keeps to the minimum next to it.
        unbinned: with ``events``, a card of an unbinned fit of each toy's signal, a file or a table, see ``unbinned``:
            columns ``unbinned_mass``, ``unbinned_mass_error`` ..., and why one did not converge, ``unbinned_status``.
        systematics: table of the sources of systematic error and what toys do with them, see ``sources``. A word alone
            is the latter: ``measured``: true nuisance parameters are nominal and their measurements fluctuate;
            ``drawn``: every toy draws its own true ones; ``none``: neither. Fits know the errors in any case.
        theory: whether theory errors (form factors, charm) enter; in a card a table, this as its ``errors``, beside
            what the theory of all models is (each may say otherwise in a table ``theory`` of its own).
        efficiency_error: of electrons over muons; the data set's if None.
        normalisation: relative error on all channels of a hadron together.
        resolution_error: relative error of the q2 resolution.
        toys: number of toys.
        seed: of the random numbers.
        set: changes of the model that is true, on top of its own; no field, but a key.
        sample: number of the set: different sets are independent under one seed.
    """

    folder: ClassVar[Path] = Path(__file__).parent / "cards"
    also: ClassVar[tuple[str, ...]] = ("set",)

    truth: Hypothesis = Hypothesis(model="fig1-2.5gev")
    hypotheses: tuple[Hypothesis, ...] = (
        Hypothesis(model="sm"),
        Hypothesis(model="heavy-c9"),
        Hypothesis(model="heavy-c9-c10"),
        Hypothesis(model="fig1-2.5gev"),
    )
    dataset: DatasetChoice = "lhcb-run12"
    detector: DetectorTable = DetectorTable()
    luminosity: float | None = Field(default=None, gt=0)
    observables: tuple[str, ...] = ("R_K+", "R_K*0", "P5p")
    bins: Annotated[RisingBins, BeforeValidator(rising_bins)] = (1.1, 2.0, 3.0, 4.0, 5.0, 6.0)
    depth: Literal["binned", "events"] = "binned"
    likelihood: bool = False
    fit: Mapping[str, Mapping[str, float]] = {"C9": {"heavy.C9_mu": 1.0}}
    fit_model: ModelChoice = "sm"
    fit_starts: tuple[tuple[float, ...], ...] = ()
    unbinned: Annotated[FitCard | None, BeforeValidator(_fit_card)] = None
    systematics: SystematicsTable = SystematicsTable()
    theory: bool = True
    efficiency_error: float | None = Field(default=None, ge=0)
    normalisation: float = Field(default=0.0, ge=0)
    resolution_error: float = Field(default=0.0, ge=0)
    toys: int = Field(default=1000, ge=1, le=1 << 30)
    seed: int = Field(default=1, ge=0, lt=1 << 64)
    sample: int = Field(default=0, ge=0, lt=1 << 19)

    @model_validator(mode="before")
    @classmethod
    def _set(cls, data: Any) -> Any:
        return with_theories(with_settings(data, cls.model_fields["truth"].default), cls)

    @field_validator("toys", mode="before")
    @classmethod
    def _toys(cls, value: Any) -> Any:
        return parse_count(value, "toys")

    def key(self) -> str:
        """Hash of everything a row depends on: two runs with one key have the same toys."""
        none = {"toys"} if self.unbinned is not None else {"toys", "unbinned"}  # files made before stay of their card
        data = self.model_dump(mode="json", exclude=none) | {"files": self.detector.digests()}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]


def hadron_word(hadron: str) -> str:
    """Name of a hadron in the columns.

    >>> hadron_word("K*0")
    'Kst0'
    """
    return hadron.replace("*", "st").replace("+", "p")


@dataclass(frozen=True, eq=False)
class ToyRun:
    """A card with all predictions made: ``rows(start, stop)`` are its toys."""

    card: ToysCard
    experiment: Experiment
    truth: Expected
    families: tuple[Family, ...]
    couplings: CountModel | None
    device: str = "cpu"
    """Where events are made and summed, and counts fitted: ``cpu`` or ``gpu``."""

    def put(self, array: Any) -> Any:
        """An array where counts are fitted."""
        return array_library(self.device).asarray(array)

    @cached_property
    def detectors(self) -> dict[str, ChannelDetector]:
        """Detector of every channel."""
        return {name: self.experiment.dataset.detector(name) for name in self.experiment.channels}

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Node table of every channel under the truth, over all q2 that can end in a bin."""
        model, edges = self.card.truth.models()[0], intervals_of(self.card.bins)[0]
        exact, whole = stretches_of(self.card.bins), ((edges[0], edges[-1]),)
        return {
            name: sampling_table(
                get_channel(name),
                model,
                q2_ranges=[detector.range(*ends) for ends in (exact if detector.perfect else whole)],
            )
            for name, detector in self.detectors.items()
        }

    @cached_property
    def shares(self) -> dict[str, Array]:
        """Efficiency of every bin over the highest, by channel: the data set's windows may have different ones."""
        experiment = self.experiment
        return {name: window_shares(experiment.dataset, name, experiment.windows) for name in experiment.channels}

    def keep(self, name: str, factors: Array) -> Array | None:
        """Probability to keep an event of a channel in each toy and interval of q2; None for all."""
        edges, bins = intervals_of(self.card.bins)
        found = np.ones((len(factors), len(edges) - 1))
        found[:, bins] = factors / factors.max(axis=1, keepdims=True) * self.shares[name]
        return None if np.all(found == 1.0) else found

    @cached_property
    def generated(self) -> Array:
        """Mean number of signal events of each channel that an event toy generates, nominally."""
        model, edges = self.card.truth.models()[0], intervals_of(self.card.bins)[0]
        exact, whole = stretches_of(self.card.bins), ((edges[0], edges[-1]),)
        experiment = self.experiment
        return np.array(
            [
                float(self.truth.counts[name].sum())
                if detector.perfect and np.all(self.shares[name] == 1.0)
                else generated_events(
                    model,
                    experiment.dataset,
                    name,
                    [detector.range(*ends) for ends in (exact if detector.perfect else whole)],
                    experiment.windows,
                )
                for name, detector in self.detectors.items()
            ]
        )

    def rows(self, start: int, stop: int, threads: int | None = None) -> Columns:
        """Columns of toys ``start`` to ``stop``."""
        if start == stop:  # a part of a run that has more parts than toys
            return {name: column[:0] for name, column in self.rows(0, 1, threads).items()}
        card, experiment = self.card, self.experiment
        where = self.where(start, stop, threads)
        fitted: Columns = {}
        if card.depth == "events":
            data, errors, fitted = self._event_data(where)
        else:
            data = experiment.draw(self.truth, systematics=card.systematics.toys, **where)
            errors = self._expected_errors(data)
        columns: Columns = {"toy": np.arange(start, stop, dtype=np.int64)}
        for name, counts in data.counts.items():
            columns[f"n_{file_word(name)}"] = np.asarray(counts, dtype=np.int64)
        for k, name in enumerate(experiment.nuisances.names):
            columns[f"aux_{file_word(name)}"] = data.auxiliary[:, k]
            columns[f"theta_{file_word(name)}"] = data.theta[:, k]
        truth = experiment.asimov(self.truth)
        for term in experiment.terms:
            if term.kind == "ratio":
                columns |= self._ratio_columns(term.hadron, data)
            elif term.kind == "angular":
                columns[term.name] = data.angular[term.name]
                columns[f"{term.name}_error"] = errors[term.name]
                columns[f"{term.name}_true"] = np.repeat(truth.angular[term.name], stop - start, axis=0)
        columns |= fitted
        columns |= self._tests(data)
        if self.couplings is not None:
            columns |= self._fit(data)
        if self.unbinned is not None:
            columns |= self.unbinned.columns(self.events, start, stop, threads)
        return columns

    @cached_property
    def unbinned(self) -> UnbinnedFits | None:
        """Unbinned fits of the toys, if they are asked for."""
        if self.card.unbinned is None:
            return None
        ranges = [list(map(float, ends)) for ends in stretches_of(self.card.bins)]
        return UnbinnedFits(self.card.unbinned, self.card.truth.models()[0], {"q2": ranges})

    def events(self, toy: int) -> dict[str, Columns]:
        """Signal events of a toy that has a perfect detector, by channel."""
        backend, numbers = CpuBackend("float64", 1), self.event_numbers(toy, toy + 1, 1)[0].tolist()
        found = {}
        for name, number in zip(self.experiment.channels, numbers, strict=True):
            stream = stream_word(self.card.sample, EVENTS, get_channel(name).index)
            found[name] = toy_columns(backend, self.tables[name], toy, number, seed=self.card.seed, stream=stream)
        return found

    def where(self, start: int, stop: int, threads: int | None = None) -> dict[str, Any]:
        """Random numbers of toys ``start`` to ``stop``."""
        card = self.card
        return {"seed": card.seed, "start": start, "stop": stop, "sample": card.sample, "threads": threads}

    def _expected_errors(self, data: Data) -> dict[str, Array]:
        """Errors of angular observables: of the truth, with the counts of each toy, theory included."""
        mean = self.truth.mean
        found = self.experiment.angular_observables(mean, np.ones(mean.shape[:2]), self.truth.covariance)
        out: dict[str, Array] = {}
        if not self.experiment.angular:
            return out
        events = data.counts[ANGULAR_CHANNEL] * self.experiment.purity(self.truth)[0] ** 2
        for t in self.experiment.angular:
            k = found.names.index(t.quantity)
            theory = np.diagonal(self.experiment.systematic_covariance([t]))
            with np.errstate(divide="ignore"):
                out[t.name] = np.sqrt(found.covariance[0, :, k, k] / events + theory)
        return out

    def _event_data(self, where: dict[str, Any]) -> tuple[Data, dict[str, Array], Columns]:
        card, experiment = self.card, self.experiment
        start, threads = where["start"], where["threads"]
        theta, auxiliary = experiment.draw_nuisances(card.systematics.toys, where)
        shifts = experiment.draw_shifts(theta, auxiliary, card.systematics.toys, where)
        factors = experiment.split(experiment.factors(theta))
        numbers = self.event_numbers(start, where["stop"], threads)
        backgrounds = self.event_backgrounds(theta, where)
        counts: dict[str, Array] = {}
        backend = CpuBackend("float64", threads or available_threads())
        edges, bins = intervals_of(card.bins)
        angular: dict[str, Array] = {}
        errors: dict[str, Array] = {}
        fitted: Columns = {}
        for i, name in enumerate(experiment.channels):
            moments = bool(experiment.angular) and name == ANGULAR_CHANNEL
            stream = stream_word(card.sample, EVENTS, get_channel(name).index)
            keep = self.keep(name, factors[name])
            if self.detectors[name].perfect and keep is None:
                fast = event_moments(
                    self.tables[name],
                    numbers[:, i],
                    edges,
                    seed=card.seed,
                    stream=stream,
                    start=start,
                    threads=threads,
                    device=self.device,
                )
                found, means, covariance = fast.counts[:, bins], fast.means[:, bins], None
            else:
                observed = observed_there if self.device == "gpu" else partial(observed_toys, backend)
                seen = observed(
                    self.tables[name],
                    self.detectors[name],
                    numbers[:, i],
                    edges,
                    seed=card.seed,
                    stream=stream,
                    start=start,
                    moments=moments,
                    keep=keep,
                )
                found, means, covariance = seen.counts[:, bins], seen.means[:, bins], seen.covariance[:, bins]
            counts[name] = (found + backgrounds[name]).astype(float)
            if not moments:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                share = backgrounds[name] / found  # of n signal events less background n / (1 + share) count
            means = means + self._background_noise(found / share, where)
            if covariance is not None:
                covariance = covariance * (1.0 + share)[..., None, None]
            measured = experiment.angular_observables(means, found / (1.0 + share), covariance)
            for t, shift in zip(experiment.angular, shifts, strict=True):
                k = measured.names.index(t.quantity)
                angular[t.name] = measured.values[..., k] + shift
                theory = np.diagonal(experiment.systematic_covariance([t]))
                errors[t.name] = np.sqrt(measured.covariance[..., k, k] + theory)
            if card.likelihood:
                fitted = self._angular_fits(name, numbers[:, i], stream, start)
        return Data(counts, auxiliary, theta, angular), errors, fitted

    def event_backgrounds(self, theta: Array, where: Mapping[str, Any]) -> dict[str, npt.NDArray[np.int64]]:
        """Background in the bins of each channel of event toys, drawn apart from their signal, (toys, bins)."""
        experiment = self.experiment
        mean = np.concatenate([experiment.background(name) for name in experiment.channels])
        grown = experiment.factors(theta, experiment.nuisances.tilts)
        return experiment.split(draw_poisson(mean * grown, **_apart(where)))

    def _background_noise(self, events: Array, where: Mapping[str, Any]) -> Array:
        """What subtracting a background adds to the mean f_i, as in binned toys: its angles spread as the signal's."""
        how = {key: value for key, value in _apart(where).items() if key != "stop"}
        return moment_toys(np.zeros_like(self.truth.mean[0]), self.truth.covariance[0], events, **how)

    def event_numbers(self, start: int, stop: int, threads: int | None = None) -> npt.NDArray[np.int64]:
        """Number of signal events of each channel that event toys generate, shape (toys, channels)."""
        where = self.where(start, stop, threads)
        means: Array = self.generated
        theta, _ = self.experiment.draw_nuisances(self.card.systematics.toys, where)
        if np.any(theta):
            most = self.experiment.split(self.experiment.factors(theta))
            means = means * np.stack([most[name].max(axis=1) for name in self.experiment.channels], axis=1)
        return draw_poisson(means, **where)

    def _angular_fits(self, name: str, numbers: npt.NDArray[np.int64], stream: int, start: int) -> Columns:
        """Maximum-likelihood fits of the angles of one channel in every bin."""
        angles = get_channel(name).angles
        backend = CpuBackend("float64", available_threads())
        parts: list[list[Mapping[str, Any]]] = [[] for _ in self.experiment.windows]
        for t, n in enumerate(numbers):
            columns = toy_columns(backend, self.tables[name], start + t, int(n), seed=self.card.seed, stream=stream)
            every = event_numbers((start + t) << SHIFT, int(n))
            reco = self.detectors[name].observe(columns, every, self.card.seed, stream)
            inside = find_bins(self.card.bins, reco)
            for b, part in enumerate(parts):
                part.append({key: columns[key][inside == b] for key in angles})
        out: Columns = {
            f"{key}_{word}": np.zeros((len(numbers), len(parts)))
            for key in LIKELIHOOD_OBSERVABLES
            for word in ("fit", "fit_error")
        }
        out["angular_fit_status"] = np.zeros((len(numbers), len(parts)), dtype=np.int32)
        for b, part in enumerate(parts):
            size = max(1, *(len(columns[angles[0]]) for columns in part))
            values, mask = stack_columns(part, angles, size)
            fit = fit_angles(self.put(functions("vector", *np.moveaxis(values, -1, 0))), self.put(mask))
            found, errors = to_host(fit.values), to_host(fit.errors)
            for k, key in enumerate(fit.names):
                out[f"{key}_fit"][:, b], out[f"{key}_fit_error"][:, b] = found[:, k], errors[:, k]
            out["angular_fit_status"][:, b] = to_host(fit.status)
        return out

    def _ratio_columns(self, hadron: str, data: Data) -> Columns:
        mu, e = channel_name(hadron, "mu"), channel_name(hadron, "e")
        norm, true = self._norms[hadron]
        found = ratio_estimate(
            self.put(data.counts[mu]),
            self.put(data.counts[e]),
            self.put(norm),
            background_mu=self.put(self.experiment.background(mu)),
            background_e=self.put(self.experiment.background(e)),
            log_error=self.put(self.experiment.ratio_error(hadron)),
        )
        word = f"R_{hadron_word(hadron)}"
        return {
            word: to_host(found.value),
            f"{word}_low": to_host(found.low),
            f"{word}_high": to_host(found.high),
            f"{word}_status": to_host(found.status).astype(np.int32),
            f"{word}_true": np.repeat(true[None], data.toys, axis=0),
        }

    @cached_property
    def _norms(self) -> dict[str, tuple[Array, Array]]:
        """For each hadron: efficiency of muons over electrons in every bin, as simulated, and the true R.

        The first turns the ratio of counts into R. Simulated is the Standard Model: where q2 migrates and the truth is
        another, the estimate of R is biased as an experiment's would be.
        """
        from ...physics.observables import binned

        windows, dataset = self.experiment.windows, self.experiment.dataset
        sm = dataset.standard
        found = {}
        for t in self.experiment.terms:
            if t.kind == "ratio":
                mu, e = (
                    predict_channel([sm], dataset, channel_name(t.hadron, lepton), windows).counts[0]
                    for lepton in ("mu", "e")
                )
                r, true = (binned(f"R_{t.hadron}", model, windows) for model in (sm, self.card.truth.base()))
                found[t.hadron] = (mu / e / r, np.asarray(true))
        return found

    def _tests(self, data: Data) -> Columns:
        """-2 ln L of every hypothesis relative to the first, and where a family has its best point."""
        columns: Columns = {}
        reference: Array | None = None
        statistic = partial(self.experiment.combined, library=array_library(self.device))
        for i, family in enumerate(self.families):
            lowest, values = family.best(statistic, data)
            reference = lowest if reference is None else reference
            columns[f"q_{i}"] = lowest - reference
            for k, path in enumerate(family.hypothesis.scan):
                columns[f"best_{i}_{path.rpartition('.')[2]}"] = values[:, k]
        return columns

    def _fit(self, data: Data) -> Columns:
        assert self.couplings is not None
        counts = np.concatenate([data.counts[name] for name in self.experiment.channels], axis=1)
        fit = fit_counts(
            self.couplings,
            self.put(counts),
            self.put(data.auxiliary),
            chunk=len(counts) if self.device == "gpu" else 2048,
        )
        columns: Columns = {}
        for name in self.couplings.parameters:
            value, error = fit.column(name)
            columns[f"fit_{name}"], columns[f"fit_{name}_error"] = to_host(value), to_host(error)
        columns["fit_deviance"] = to_host(fit.deviance)
        columns["fit_status"] = to_host(fit.status).astype(np.int32)
        return columns

    def provenance(self) -> dict[str, Any]:
        """How the toys were made, in JSON types: enough to make them again."""
        return {
            "provenance_version": PROVENANCE_VERSION,
            "what": "toys",
            "card": self.card.model_dump(mode="json", by_alias=True),
            "key": self.card.key(),
            "dataset": self.experiment.dataset.model_dump(mode="json", by_alias=True),
            "bins": [list(window) for window in self.experiment.windows],
            "channels": list(self.experiment.channels),
            "hypotheses": [h.title for h in self.card.hypotheses],
            "statuses": {
                "fit": ["converged", "iteration limit", "not finite", "not a minimum"],
                "unbinned": list(STATUSES),
                "R": ["ok", "no muons", "no electrons", "few counts: may cover less"],
            },
            "versions": {"python": platform.python_version(), **package_versions()},
        }


def _apart(where: Mapping[str, Any]) -> dict[str, Any]:
    """Other random numbers of the same toys."""
    return {**where, "sample": where["sample"] + (1 << 19)}


def plan_toys(card: ToysCard, device: str = "cpu") -> ToyRun:
    """Make all predictions of a card; InputError for anything that cannot be used.

    ``device`` is ``cpu``, ``gpu`` or ``auto``. On a GPU the events of event toys are made, seen by a detector and
    reduced to moments there, ratios are estimated, counts and angles fitted and the nuisance parameters of -2 ln L of
    hypotheses profiled. Counts drawn without events are the CPU's, the same on either device.

    >>> run = plan_toys(ToysCard(observables=("R_K+",), hypotheses=({"model": "sm"},), fit={}))
    >>> run.rows(0, 3)["toy"].tolist()
    [0, 1, 2]
    """
    chosen = select_backend(device).name
    if card.truth.scan:
        raise InputError("truth.scan: the truth is one model")
    if not card.hypotheses:
        raise InputError("hypotheses: name one at least")
    if card.likelihood and card.depth != "events":
        raise InputError("likelihood = true: angular fits need depth = 'events'")
    dataset = get_dataset(card.dataset).with_detector(card.detector).of(card.hypotheses[0].base())
    dataset = dataset if card.luminosity is None else dataset.scaled(card.luminosity)
    experiment = experiment_of(card, dataset)
    if (
        card.likelihood
        and experiment.angular
        and (card.systematics.toys == "drawn" or dataset.detector(ANGULAR_CHANNEL).angular)
    ):
        raise InputError(
            "likelihood = true: the angular density of the fit knows no efficiency and no drawn systematics; moments do"
        )
    if card.unbinned is not None:
        _check_unbinned(card, experiment)
    single = [h for h in card.hypotheses if not h.scan]
    together = experiment.expect([m for h in (card.truth, *single) for m in h.models()])
    points = iter(range(1, 1 + len(single)))
    families = tuple(Family(h, experiment, None if h.scan else together.point(next(points))) for h in card.hypotheses)
    couplings = None
    if card.fit:
        systematics = systematics_of(experiment, card.theory)
        starts = np.array(card.fit_starts, dtype=float) if card.fit_starts else None
        couplings = quadratic_counts(as_model(card.fit_model), card.fit, dataset, experiment.bins, systematics, starts)
    return ToyRun(card, experiment, together.point(0), families, couplings, chosen)


def _check_unbinned(card: ToysCard, experiment: Experiment) -> None:
    """InputError for toys whose events an unbinned fit cannot describe."""
    dataset = experiment.dataset
    seen = [name for name in experiment.channels if not dataset.detector(name).perfect]
    if card.depth != "events":
        raise InputError("unbinned: fits of events need depth = 'events'")
    if card.unbinned is not None and (card.unbinned.resolution is not None or card.unbinned.q2):
        raise InputError("unbinned: toys have the true q2, and all of it; take a card without resolution and q2")
    shares = [window_shares(dataset, name, experiment.windows) for name in experiment.channels]
    if seen or card.systematics.toys == "drawn" or not all(np.all(share == 1.0) for share in shares):
        what = f"the detector of {', '.join(seen)}" if seen else "drawn systematics, or windows of different efficiency"
        raise InputError(f"unbinned: {what} is not in the density of the fit; take a data set without")
