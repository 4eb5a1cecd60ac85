"""A run of toys: the card, the columns of the ntuple, and any single toy again as events.

A row holds one toy: its number, its counts, its auxiliary measurements, the estimates with errors and status,
-2 ln L of every hypothesis, the fitted couplings. Row t depends on the card and on t alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ..kinematics.errors import InputError
from ..physics.channels import get_channel
from ..physics.models import get_model, validate
from .backend import CpuBackend, available_threads
from .counts import CountModel
from .ensembles import Data, Expected, Experiment, Hypothesis, channel_name, make_experiment
from .event_toys import event_moments, stack_columns, toy_columns
from .events import EventSample
from .fits import fit_counts
from .generate import package_versions
from .moments import LIKELIHOOD_OBSERVABLES, fit_angles, functions, observables
from .ratios import ratio_estimate
from .runcard import file_word
from .sensitivity import read_toml
from .tables import Table, channel_table
from .toys import EVENTS, FITS, TRUTH, draw_normal, draw_poisson, stream_word
from .yields import Bin, Systematics, count_model, get_dataset

Array = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]

_BIN_SHIFT = 26
"""Events of a binned toy, made again: those of bin b are numbered from toy * 2^32 + b * 2^26."""


class ToysCard(BaseModel):
    """What toys to make and what to measure in them; the defaults inject a V of 2.5 GeV.

    Attributes:
        truth: the model that is true.
        hypotheses: what every toy is compared with, each a model or a family; the first is the reference.
        dataset: data set that gives the yields.
        luminosity: in the data set's unit; its own if None.
        observables: terms of the likelihood, see ``ensembles``.
        bins: edges of q2 (GeV²).
        depth: ``binned`` draws counts and moments, ``events`` generates every event.
        likelihood: with ``events``, angular fits by maximum likelihood beside the moments.
        fit: couplings to fit to the counts, see ``yields.Directions``; none if empty.
        fit_model: model whose masses and widths the fit has, and whose other couplings.
        fit_starts: couplings to start from, one row a start; if empty, both sides of a quadratic's turning point,
            so that the deeper of two mirror minima wins. One start at zero keeps to the minimum next to it.
        theory: whether theory errors enter.
        efficiency_error: of electrons over muons; the data set's if None.
        toys: number of toys.
        seed: of the random numbers.
        sample: number of the set: different sets are independent under one seed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    truth: Hypothesis = Hypothesis(model="fig1-2.5gev")
    hypotheses: tuple[Hypothesis, ...] = (
        Hypothesis(model="sm"),
        Hypothesis(model="heavy-c9"),
        Hypothesis(model="heavy-c9-c10"),
        Hypothesis(model="fig1-2.5gev"),
    )
    dataset: str = "lhcb-run12"
    luminosity: float | None = Field(default=None, gt=0)
    observables: tuple[str, ...] = ("R_K+", "R_K*0", "P5p")
    bins: tuple[float, ...] = (1.1, 2.0, 3.0, 4.0, 5.0, 6.0)
    depth: Literal["binned", "events"] = "binned"
    likelihood: bool = False
    fit: Mapping[str, Mapping[str, float]] = {"C9": {"heavy.C9_mu": 1.0}}
    fit_model: str = "sm"
    fit_starts: tuple[tuple[float, ...], ...] = ()
    theory: bool = True
    efficiency_error: float | None = Field(default=None, ge=0)
    toys: int = Field(default=1000, ge=1, le=1 << 30)
    seed: int = Field(default=1, ge=0, lt=1 << 64)
    sample: int = Field(default=0, ge=0, lt=1 << 19)

    def key(self) -> str:
        """Hash of everything a row depends on: two runs with one key have the same toys."""
        data = self.model_dump(mode="json", exclude={"toys"})
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]


def read_toys_card(path: str | Path) -> ToysCard:
    """Card from a TOML file; InputError names the key, the value and what is allowed."""
    return validate(ToysCard, read_toml(path))


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
    hypotheses: Expected
    points: tuple[int, ...]
    couplings: CountModel | None

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Node table of every channel under the truth, over all bins."""
        edges = self.card.bins
        model = self.card.truth.models()[0]
        return {
            name: channel_table(get_channel(name), model, q2_ranges=[(edges[0], edges[-1])])
            for name in self.experiment.channels
        }

    def rows(self, start: int, stop: int, threads: int | None = None) -> Columns:
        """Columns of toys ``start`` to ``stop``."""
        card, experiment = self.card, self.experiment
        where: dict[str, Any] = {
            "seed": card.seed,
            "start": start,
            "stop": stop,
            "sample": card.sample,
            "threads": threads,
        }
        fitted: Columns = {}
        if card.depth == "events":
            data, errors, fitted = self._event_data(where)
        else:
            data = experiment.draw(self.truth, **where)
            errors = self._expected_errors(data)
        columns: Columns = {"toy": np.arange(start, stop, dtype=np.int64)}
        for name, counts in data.counts.items():
            columns[f"n_{file_word(name)}"] = np.asarray(counts, dtype=np.int64)
        for hadron, value in data.efficiency.items():
            columns[f"aux_efficiency_{hadron_word(hadron)}"] = np.asarray(value)
        truth = experiment.asimov(self.truth)
        for term in experiment.terms:
            if term.kind == "ratio":
                columns |= self._ratio_columns(term.hadron, data, truth)
            elif term.kind == "angular":
                columns[term.name] = data.angular[term.name]
                columns[f"{term.name}_error"] = errors[term.name]
                columns[f"{term.name}_true"] = np.repeat(truth.angular[term.name], stop - start, axis=0)
        columns |= fitted
        columns |= self._tests(data)
        if self.couplings is not None:
            columns |= self._fit(data, where)
        return columns

    def _expected_errors(self, data: Data) -> dict[str, Array]:
        """Errors of angular observables: of the truth, with the counts of each toy, theory included."""
        names = [t for t in self.experiment.terms if t.kind == "angular"]
        if not names:
            return {}
        found = observables(self.truth.mean, np.ones(self.truth.mean.shape[:2]))
        n = data.counts[channel_name("K*0", "mu")]
        out = {}
        for t in names:
            k = found.names.index(t.quantity)
            theory = np.diagonal(self.experiment.theory_covariance.get(t.name, np.zeros((n.shape[1],) * 2)))
            with np.errstate(divide="ignore"):
                out[t.name] = np.sqrt(found.covariance[0, :, k, k] / n + theory)
        return out

    def _event_data(self, where: dict[str, Any]) -> tuple[Data, dict[str, Array], Columns]:
        card, experiment = self.card, self.experiment
        numbers = self.event_numbers(where["start"], where["stop"], where["threads"])
        backgrounds = draw_poisson(
            np.concatenate([experiment.background(n) for n in experiment.channels]),
            **{**where, "sample": where["sample"] + (1 << 19)},
        )
        n_bins = len(experiment.windows)
        counts: dict[str, Array] = {}
        binned = experiment.draw(self.truth, **where)  # auxiliary measurements are those of binned toys
        angular: dict[str, Array] = {}
        errors: dict[str, Array] = {}
        fitted: Columns = {}
        for i, name in enumerate(experiment.channels):
            channel = get_channel(name)
            stream = stream_word(card.sample, EVENTS, channel.index)
            found = event_moments(
                self.tables[name],
                numbers[:, i],
                card.bins,
                seed=card.seed,
                stream=stream,
                start=where["start"],
                threads=where["threads"],
            )
            counts[name] = (found.counts + backgrounds[:, i * n_bins : (i + 1) * n_bins]).astype(float)
            if not (experiment.angular and name == channel_name("K*0", "mu")):
                continue
            measured = observables(found.means, found.counts)
            terms = [t for t in experiment.terms if t.kind == "angular"]
            shifts = draw_normal(n_bins * len(terms), purpose=TRUTH, **where).reshape(-1, len(terms), n_bins)
            for j, t in enumerate(terms):
                k = measured.names.index(t.quantity)
                covariance = experiment.theory_covariance.get(t.name, np.zeros((n_bins, n_bins)))
                angular[t.name] = measured.values[..., k] + experiment.theory_shift(t.name, shifts[:, j])
                errors[t.name] = np.sqrt(measured.covariance[..., k, k] + np.diagonal(covariance))
            if card.likelihood:
                fitted = self._angular_fits(name, numbers[:, i], stream, where["start"])
        return Data(counts, binned.efficiency, binned.theory, angular), errors, fitted

    def event_numbers(self, start: int, stop: int, threads: int | None = None) -> npt.NDArray[np.int64]:
        """Number of signal events of each channel of event toys, shape (toys, channels)."""
        means = [float(self.truth.counts[name].sum()) for name in self.experiment.channels]
        return draw_poisson(
            means, seed=self.card.seed, start=start, stop=stop, sample=self.card.sample, threads=threads
        )

    def _angular_fits(self, name: str, numbers: npt.NDArray[np.int64], stream: int, start: int) -> Columns:
        """Maximum-likelihood fits of the angles of one channel in every bin."""
        edges = np.asarray(self.card.bins)
        angles = get_channel(name).angles
        backend = CpuBackend("float64", available_threads())
        parts: list[list[Mapping[str, Any]]] = [[] for _ in range(len(edges) - 1)]
        for t, n in enumerate(numbers):
            columns = toy_columns(backend, self.tables[name], start + t, int(n), seed=self.card.seed, stream=stream)
            inside = np.digitize(columns["q2"], edges) - 1
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
            fit = fit_angles(functions("vector", *np.moveaxis(values, -1, 0)), mask)
            for k, key in enumerate(fit.names):
                out[f"{key}_fit"][:, b], out[f"{key}_fit_error"][:, b] = fit.values[:, k], fit.errors[:, k]
            out["angular_fit_status"][:, b] = fit.status
        return out

    def _ratio_columns(self, hadron: str, data: Data, truth: Data) -> Columns:
        mu, e = channel_name(hadron, "mu"), channel_name(hadron, "e")
        # the norm of a bin, R times efficiencies in the Standard Model, turns the ratio of counts into R
        norm = self._norm[hadron]
        found = ratio_estimate(
            data.counts[mu],
            data.counts[e],
            norm,
            background_mu=self.experiment.background(mu),
            background_e=self.experiment.background(e),
            log_error=self.experiment.efficiency_error,
        )
        word = f"R_{hadron_word(hadron)}"
        true = (
            (truth.counts[mu] - self.experiment.background(mu))
            / (truth.counts[e] - self.experiment.background(e))
            / norm
        )
        return {
            word: found.value,
            f"{word}_low": found.low,
            f"{word}_high": found.high,
            f"{word}_status": np.asarray(found.status, dtype=np.int32),
            f"{word}_true": np.repeat(true, data.toys, axis=0),
        }

    @cached_property
    def _norm(self) -> dict[str, Array]:
        """Efficiency of muons over electrons in every bin, by hadron: counts ratio over R of the model."""
        from ..physics.observables import binned

        model = self.card.truth.models()[0]
        return {
            t.hadron: self.truth.counts[channel_name(t.hadron, "mu")][0]
            / self.truth.counts[channel_name(t.hadron, "e")][0]
            / binned(f"R_{t.hadron}", model, self.experiment.windows)
            for t in self.experiment.terms
            if t.kind == "ratio"
        }

    def _tests(self, data: Data) -> Columns:
        """-2 ln L of every hypothesis relative to the first, and the index of the best point of a family."""
        from .ensembles import minimum

        total = np.sum([self.experiment.statistic(t, data, self.hypotheses) for t in self.experiment.terms], axis=0)
        columns: Columns = {}
        reference: Array | None = None
        for i, hypothesis in enumerate(self.card.hypotheses):
            part = total[:, self.points[i] : self.points[i + 1]]
            lowest, best = minimum(part, tuple(n for _, _, n in hypothesis.scan.values()))
            reference = lowest if reference is None else reference
            columns[f"q_{i}"] = lowest - reference
            if hypothesis.scan:
                columns[f"best_{i}"] = best.astype(np.int32)
        return columns

    def _fit(self, data: Data, where: dict[str, Any]) -> Columns:
        assert self.couplings is not None
        counts = np.concatenate([data.counts[name] for name in self.experiment.channels], axis=1)
        auxiliary = draw_normal(len(self.couplings.nuisances), purpose=FITS, **where)
        for k, name in enumerate(self.couplings.nuisances):
            if name.startswith("efficiency_"):
                auxiliary[:, k] = data.efficiency[name.removeprefix("efficiency_")]
        fit = fit_counts(self.couplings, counts, auxiliary)
        columns: Columns = {}
        for name in self.couplings.parameters:
            value, error = fit.column(name)
            columns[f"fit_{name}"], columns[f"fit_{name}_error"] = value, error
        columns["fit_deviance"] = fit.deviance
        columns["fit_status"] = np.asarray(fit.status, dtype=np.int32)
        return columns

    def provenance(self) -> dict[str, Any]:
        """How the toys were made, in JSON types: enough to make them again."""
        return {
            "what": "toys",
            "card": self.card.model_dump(mode="json", by_alias=True),
            "key": self.card.key(),
            "dataset": self.experiment.dataset.model_dump(mode="json", by_alias=True),
            "bins": [list(window) for window in self.experiment.windows],
            "channels": list(self.experiment.channels),
            "hypotheses": [h.title for h in self.card.hypotheses],
            "statuses": {
                "fit": ["converged", "iteration limit", "not finite", "not a minimum"],
                "R": ["ok", "no muons", "no electrons"],
            },
            "versions": {"python": platform.python_version(), **package_versions()},
        }


def plan_toys(card: ToysCard) -> ToyRun:
    """Make all predictions of a card; InputError for anything that cannot be used.

    >>> run = plan_toys(ToysCard(observables=("R_K+",), hypotheses=({"model": "sm"},), fit={}))
    >>> run.rows(0, 3)["toy"].tolist()
    [0, 1, 2]
    """
    if card.truth.scan:
        raise InputError("truth.scan: the truth is one model")
    if not card.hypotheses:
        raise InputError("hypotheses: name one at least")
    if card.likelihood and card.depth != "events":
        raise InputError("likelihood = true: angular fits need depth = 'events'")
    dataset = get_dataset(card.dataset)
    dataset = dataset if card.luminosity is None else dataset.scaled(card.luminosity)
    experiment = make_experiment(
        dataset, card.bins, card.observables, theory=card.theory, efficiency_error=card.efficiency_error
    )
    if card.depth == "events" and any(dataset.channel(n).resolution > 0 for n in experiment.channels):
        raise InputError("depth = 'events': the resolution of q2 is known to binned toys only; take depth = 'binned'")
    models = [card.truth.models(), *(h.models() for h in card.hypotheses)]
    together = experiment.expect([m for family in models for m in family])
    points = np.cumsum([0, *(len(family) for family in models[1:])])
    others = Expected({k: v[1:] for k, v in together.counts.items()}, together.mean[1:], together.covariance[1:])
    couplings = None
    if card.fit:
        bins = [Bin(name, low, high) for name in experiment.channels for low, high in experiment.windows]
        systematics = Systematics(theory=card.theory, efficiency=experiment.efficiency_error)
        starts = np.array(card.fit_starts, dtype=float) if card.fit_starts else None
        couplings = count_model(get_model(card.fit_model), card.fit, dataset, bins, systematics, starts)
    return ToyRun(card, experiment, together.point(0), others, tuple(int(p) for p in points), couplings)


def events_of_toy(run: ToyRun, toy: int) -> EventSample:
    """One toy as events, by its number; background is not generated.

    Of an event toy these are its own events. Of a binned toy they are signal events with its counts in every
    bin and channel (a binomial share of the counts where there is background); its moments were drawn without
    events, so those of the events differ from them by their statistical error.
    """
    card, experiment = run.card, run.experiment
    backend = CpuBackend("float64", available_threads())
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    if card.depth == "events":
        numbers = run.event_numbers(toy, toy + 1)[0]
    else:
        data = experiment.draw(run.truth, seed=card.seed, start=toy, stop=toy + 1, sample=card.sample)
    for i, name in enumerate(experiment.channels):
        channel = get_channel(name)
        stream = stream_word(card.sample, EVENTS, channel.index)
        if card.depth == "events":
            made = [toy_columns(backend, run.tables[name], toy, int(numbers[i]), seed=card.seed, stream=stream)]
        else:
            made = []
            signal, background = run.truth.counts[name][0], experiment.background(name)
            key: npt.NDArray[np.uint64] = np.array(
                [card.seed, (toy << 24) + (card.sample << 8) + channel.index], dtype=np.uint64
            )
            share = np.random.Generator(np.random.Philox(key=key))
            for b, (low, high) in enumerate(experiment.windows):
                n = int(share.binomial(int(data.counts[name][0, b]), signal[b] / (signal[b] + background[b])))
                table = channel_table(channel, card.truth.models()[0], q2_ranges=[(low, high)])
                first = (toy << 32) + (b << _BIN_SHIFT)
                made.append(backend.generate(table, card.seed, first, first + n, stream))
        for columns in made:
            size = len(columns["q2"])
            extra = {"channel": np.full(size, channel.index, np.int32), "weight": np.ones(size)}
            for key_name in ("q2", "cos_theta_k", "cos_theta_l", "phi", "flavour", "channel", "weight"):
                value = columns.get(key_name, extra.get(key_name))
                parts.setdefault(key_name, []).append(np.full(size, np.nan) if value is None else value)
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    joined["event"] = np.arange(len(joined["q2"]), dtype=np.uint64)
    return EventSample(joined, {**run.provenance(), "what": "events of a toy", "toy": toy, "convention": "lhcb"})
