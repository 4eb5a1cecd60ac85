"""Systematic errors of an experiment as nuisance parameters: what each does to counts and angular observables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...physics.angular import decay_rate
from ...physics.axes import moved
from ...physics.channels import get_channel
from ...physics.definitions import massless
from ...physics.models import Model
from ...physics.moments import observables, tensors
from ...physics.observables import BinnedObservable
from .datasets import Dataset
from .sources import BUILTIN, Mode, Source, SystematicsTable
from .yields import Array, _window_rate, background_parts, by_channel, expected_counts, predict_channel, response

_STEP = 0.05
"""Shift of C9, and share of an S wave, of the differences that stand for derivatives."""


@dataclass(frozen=True)
class Systematics:
    """Systematic errors of a count model, of an experiment.

    Attributes:
        theory: form factors, CKM elements and hadronic (charm) effects: draws of flavio's parameters, as
            ``theory_modes`` eigenvectors of the covariance of the logarithms of all bins, and what they do to angular
            observables.
        theory_modes: most eigenvectors kept, down to 1e-6 of the largest variance.
        efficiency: size of the source ``efficiency``, if the table does not name it; that of the data set if None.
        normalisation: size of the source ``norm``, if the table does not name it.
        resolution: size of the source ``resolution``, if the table does not name it.
        table: all other sources.
    """

    theory: bool = False
    theory_modes: int = 6
    efficiency: float | None = None
    normalisation: float = 0.0
    resolution: float = 0.0
    table: SystematicsTable = field(default_factory=SystematicsTable)

    def sources(self, dataset: Dataset) -> dict[str, Source]:
        """Every source with its size; None is left only where components of the background say their own.

        >>> from darkpenguin.generator.toys.datasets import get_dataset
        >>> Systematics().sources(get_dataset("lhcb-run12"))["qed"].size
        0.01
        """
        sizes = {
            "efficiency": dataset.efficiency_error if self.efficiency is None else self.efficiency,
            "norm": self.normalisation,
            "resolution": self.resolution,
        }
        known = {name: row.model_copy(update={"size": sizes.get(name, row.size)}) for name, row in BUILTIN.items()}
        told = {
            name: row.model_copy(update={"size": sizes[name]}) if row.size is None and name in sizes else row
            for name, row in self.table.sources.items()
        }
        return known | told


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Nuisance parameters and what one standard deviation of each does.

    Attributes:
        names: of the parameters.
        effects: on ln of the signal, (nuisances, bins).
        tilts: on ln of the background, (nuisances, bins).
        shifts: of angular observables, (nuisances, observables in bins).
        floating: whether fits let each float.
        toys: what each does in toys; what the table says if None.
        common: whether other data sets share it.
        rest: covariance of the angular observables by theory that no parameter carries.
    """

    names: tuple[str, ...] = ()
    effects: Array = field(default_factory=lambda: np.zeros((0, 0)))
    tilts: Array = field(default_factory=lambda: np.zeros((0, 0)))
    shifts: Array = field(default_factory=lambda: np.zeros((0, 0)))
    floating: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    toys: tuple[Mode | None, ...] = ()
    common: tuple[bool, ...] = ()
    rest: Array = field(default_factory=lambda: np.zeros((0, 0)))


def theory_effects(
    bins: Sequence[BinnedObservable], modes: int, sm: Model, angular: Sequence[BinnedObservable] = ()
) -> tuple[Array, Array, Array]:
    """Effects of theory uncertainties, in the Standard Model, on ln of the signal and on angular observables.

    At most ``modes`` eigenvectors of the covariance of ln of the signal, (modes, bins), largest first, and what goes
    with them in the angular observables, (modes, observables): the same draws of form factors and hadronic effects
    make both. Last the covariance of the angular observables that is left, (observables, observables).
    """
    from ...physics.uncertainties import draw_coefficients, theory_columns

    columns: list[Array] = [np.zeros(0)] * len(bins)
    for name, found in by_channel(bins).items():
        channel = get_channel(name)
        grid = response(channel, [sm], [bins[i].window for i in found])
        j = sum(draw_coefficients(channel, sm, grid.nodes, flavour) for flavour in (1, -1))
        rates = decay_rate(np.asarray(j)) @ grid.weights.T
        for i, column in zip(found, np.log(rates).T, strict=True):
            columns[i] = column
    drawn = np.stack(columns, axis=1)
    drawn = drawn - drawn.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(drawn.T)))
    order = np.argsort(values)[::-1][:modes]
    kept = order[values[order] > 1e-6 * values[order[0]]]
    signs = np.sign(vectors[:, kept].sum(axis=0))
    directions = vectors[:, kept] * np.where(signs == 0, 1.0, signs)
    effects = np.asarray((directions * np.sqrt(values[kept])).T)
    if not angular:
        return effects, np.zeros((len(kept), 0)), np.zeros((0, 0))
    seen = theory_columns(angular, sm).T
    seen = seen - seen.mean(axis=0)
    scores = drawn @ directions / np.sqrt(values[kept])
    shifts = scores.T @ seen / (len(seen) - 1)
    return effects, shifts, np.atleast_2d(np.cov(seen.T)) - shifts.T @ shifts


def nuisances(
    dataset: Dataset,
    bins: Sequence[BinnedObservable],
    systematics: Systematics,
    angular: Sequence[BinnedObservable] = (),
) -> Nuisances:
    """Nuisance parameters of the bins of a data set, and of angular observables of it.

    Example:
        >>> from darkpenguin.generator.toys.datasets import get_dataset
        >>> from darkpenguin.generator.toys.yields import binned_yields
        >>> bins = binned_yields(["B+->K+mumu", "B+->K+ee"], [1.1, 6.0])
        >>> nuisances(get_dataset("lhcb-run12"), bins, Systematics()).names[:2]
        ('efficiency_K+', 'qed')
    """
    n, a = len(bins), len(angular)
    names: list[str] = []
    rows: list[tuple[Array, Array, Array]] = []
    told: list[Source] = []
    rest = np.zeros((a, a))
    if systematics.theory:
        modes, moves, rest = theory_effects(bins, systematics.theory_modes, dataset.standard, angular)
        names += [f"theory_{i + 1}" for i in range(len(modes))]
        rows += [(e, np.zeros(n), s) for e, s in zip(modes, moves, strict=True)]
        told += [Source(kind="charm", common=True)] * len(modes)
    for name, source in systematics.sources(dataset).items():
        for group, effect in _effects(source, dataset, bins, angular).items():
            if any(np.any(part != 0) for part in effect):
                names.append(f"{name}_{group}" if group else name)
                rows.append(effect)
                told.append(source)
    effects, tilts, shifts = (
        np.stack([row[i] for row in rows]) if rows else np.zeros((0, m)) for i, m in enumerate((n, n, a))
    )
    return Nuisances(
        tuple(names),
        effects,
        tilts,
        shifts,
        np.array([s.fit for s in told], dtype=bool),
        tuple(s.toys for s in told),
        tuple(s.common for s in told),
        rest,
    )


def _effects(
    source: Source, dataset: Dataset, bins: Sequence[BinnedObservable], angular: Sequence[BinnedObservable]
) -> Mapping[str, tuple[Array, Array, Array]]:
    """Effects on signal, background and angular observables of every parameter of a source, by its group."""
    found: dict[str, tuple[Array, Array, Array]] = {}

    def of(group: str) -> tuple[Array, Array, Array]:
        return found.setdefault(group, (np.zeros(len(bins)), np.zeros(len(bins)), np.zeros(len(angular))))

    if source.size == 0:
        return found
    if source.kind in ("background", "background shape"):
        for i, name, effect in _of_background(source, dataset, bins):
            of(source.group(bins[i], name))[1][i] += effect
        return found
    size = source.size or 0.0
    here = [i for i, one in enumerate(bins) if source.covers(one)]
    if source.kind == "ratio":
        muons = {(c.hadron) for c in (get_channel(str(b.channel)) for b in bins) if c.lepton == "mu"}
        here = [i for i in here if _is_electron_of(bins[i], muons)]
    weights = _weights(source, [bins[i] for i in here])
    if source.kind == "resolution":
        wider = {name: _resolution_effect(name, dataset, bins, size) for name in by_channel([bins[i] for i in here])}
        for i in here:
            of(source.group(bins[i]))[0][i] = wider[str(bins[i].channel)][i]
        return found
    for i, weight in zip(here, weights, strict=True):
        if source.kind != "s wave" or get_channel(str(bins[i].channel)).spin == 1:
            of(source.group(bins[i]))[0][i] = math.log1p(size * weight)
    if source.kind in ("charm", "s wave") and angular:
        there = [i for i, one in enumerate(angular) if source.covers(one)]
        slopes = _angular_slopes(source.kind == "charm", dataset, angular)
        for i, weight in zip(there, _weights(source, [angular[i] for i in there]), strict=True):
            of(source.group(angular[i]))[2][i] = size * weight * slopes[i]
    return found


def _is_electron_of(one: BinnedObservable, hadrons: set[str]) -> bool:
    channel = get_channel(str(one.channel))
    return channel.lepton == "e" and channel.hadron in hadrons


def _weights(source: Source, bins: Sequence[BinnedObservable]) -> list[float]:
    """Factors on the size, bin by bin."""
    if source.shape == "flat" or not bins:
        return [1.0] * len(bins)
    middles = np.array([0.5 * sum(one.window) for one in bins])
    low, high = middles.min(), middles.max()
    return [float(x) for x in (2.0 * middles - low - high) / max(high - low, 1e-9)]


def _of_background(source: Source, dataset: Dataset, bins: Sequence[BinnedObservable]) -> list[tuple[int, str, float]]:
    """Bin, component and effect on ln of all background there: exact at one standard deviation."""
    found = []
    for name, places in by_channel(bins).items():
        parts = background_parts(dataset, name, [bins[i].window for i in places])
        total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(len(places))
        for component in dataset.components(name):
            if source.components and component.name not in source.components:
                continue
            own = component.error if source.kind == "background" else component.shape_error
            size = own if source.size is None else source.size
            low, high = component.window or dataset.span(name)
            covered = [i for i in places if source.covers(bins[i])]
            weights = dict(zip(covered, _weights(source, [bins[i] for i in covered]), strict=True))
            for k, i in enumerate(places):
                if i not in covered or not size or not total[k] > 0:
                    continue
                slope = (sum(bins[i].window) - low - high) / (high - low)
                factor = weights[i] if source.kind == "background" else float(np.clip(slope, -1.0, 1.0))
                share = parts[component.name][k] / total[k]
                found.append((i, component.name, float(np.log(np.maximum(1.0 + share * size * factor, 1e-3)))))
    return found


def _resolution_effect(name: str, dataset: Dataset, bins: Sequence[BinnedObservable], size: float) -> Array:
    """Effect on ln of the signal of a resolution that is wider by a relative size."""
    entry = dataset.channel(name)
    if not entry.resolution > 0:
        return np.zeros(len(bins))
    wide = entry.model_copy(update={"resolution": entry.resolution * (1.0 + size)})
    after = dataset.model_copy(update={"channels": {**dataset.channels, name: wide}})
    mine = [i for i, one in enumerate(bins) if one.channel == name]
    chosen, sm = [bins[i] for i in mine], [dataset.standard]
    effect = np.zeros(len(bins))
    ratio = expected_counts(sm, after, chosen)[0][0] / expected_counts(sm, dataset, chosen)[0][0]
    for i, one, value in zip(mine, chosen, ratio, strict=True):
        # the norm is that of the nominal resolution: what leaves the window is lost
        window = entry.window_of(*one.window)
        lost = _window_rate(name, wide, window.q2, dataset.theory)
        effect[i] = np.log(value * lost / _window_rate(name, entry, window.q2, dataset.theory))
    return effect


def _angular_slopes(charm: bool, dataset: Dataset, angular: Sequence[BinnedObservable]) -> Array:
    """Derivatives of angular observables by the relative rate, through C9, or by the share of the S wave."""
    names = list(dict.fromkeys(one.name for one in angular))
    windows = list(dict.fromkeys(one.window for one in angular))
    sm = dataset.standard
    channel = str(angular[0].channel)
    models = [moved(sm, {"heavy.C9_mu": sign * _STEP}) for sign in (1.0, -1.0)] if charm else [sm]
    found = predict_channel(models, dataset, channel, windows, moments=True)
    mean = found.mean
    if not charm:
        gram, _ = tensors("vector")
        s_wave = np.zeros(12)
        s_wave[:2], s_wave[2:4] = 0.375, -0.375  # flat in cosθ_K: J_1s = J_1c = 3/8, J_2s = J_2c = -3/8
        other = gram @ s_wave / (gram[0] + gram[1]).dot(s_wave)
        mean = np.stack([(1.0 - _STEP) * mean[0] + _STEP * other, (1.0 + _STEP) * mean[0] - _STEP * other])
    values = observables(mean, np.ones(mean.shape[:2]), "vector", None, names, definition=massless)
    step = np.log(found.counts[0] / found.counts[1]) if charm else np.full(len(windows), 2.0 * _STEP)
    slopes = (values.values[0] - values.values[1]) / step[:, None]
    return np.array([slopes[windows.index(one.window), values.names.index(one.name)] for one in angular])
