"""Systematic uncertainties of an experiment as nuisance parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...physics.angular import decay_rate
from ...physics.channels import get_channel
from ...physics.models import Model
from ...physics.observables import BinnedObservable
from .datasets import Dataset
from .yields import Array, _window_rate, by_channel, expected_counts, response


@dataclass(frozen=True)
class Systematics:
    """Nuisance parameters of a count model.

    Attributes:
        theory: form factors, CKM elements and hadronic (charm) effects: draws of flavio's parameters, as
            ``theory_modes`` eigenvectors of the covariance of the logarithms of all bins.
        theory_modes: most eigenvectors kept; what they leave out is below 1 % of the variance, or dropped.
        efficiency: relative error of the efficiency of electrons over muons, one for each hadron; that of the
            data set if None.
        normalisation: relative error on all channels of one hadron together.
        resolution: relative error of the q2 resolution, for channels that have one.
    """

    theory: bool = False
    theory_modes: int = 6
    efficiency: float | None = None
    normalisation: float = 0.0
    resolution: float = 0.0


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Names and effects (nuisances, bins) of nuisance parameters on the signal."""

    names: tuple[str, ...] = ()
    effects: Array = field(default_factory=lambda: np.zeros((0, 0)))


def theory_effects(bins: Sequence[BinnedObservable], modes: int, sm: Model) -> Array:
    """Effects of theory uncertainties on ln of the signal, in the Standard Model: at most ``modes`` eigenvectors.

    Shape (modes, bins), largest first; the covariance is that of ``physics.uncertainties``, common to all
    channels.
    """
    from ...physics.uncertainties import draw_coefficients

    columns: list[Array] = [np.zeros(0)] * len(bins)
    for name, found in by_channel(bins).items():
        channel = get_channel(name)
        grid = response(channel, [sm], [bins[i].window for i in found])
        j = sum(draw_coefficients(channel, sm, grid.nodes, flavour) for flavour in (1, -1))
        rates = decay_rate(np.asarray(j)) @ grid.weights.T
        for i, column in zip(found, np.log(rates).T, strict=True):
            columns[i] = column
    covariance = np.atleast_2d(np.cov(np.stack(columns)))
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:modes]
    kept = order[values[order] > 1e-3 * values[order[0]]]
    signs = np.sign(vectors[:, kept].sum(axis=0))
    return np.asarray((vectors[:, kept] * np.where(signs == 0, 1.0, signs) * np.sqrt(values[kept])).T)


def nuisances(dataset: Dataset, bins: Sequence[BinnedObservable], systematics: Systematics) -> Nuisances:
    """Nuisance parameters of the bins of a data set."""
    names: list[str] = []
    rows: list[Array] = []
    if systematics.theory:
        found = theory_effects(bins, systematics.theory_modes, dataset.standard)
        names += [f"theory_{i + 1}" for i in range(len(found))]
        rows += list(found)
    channels = [get_channel(str(b.channel)) for b in bins]
    error = dataset.efficiency_error if systematics.efficiency is None else systematics.efficiency
    for hadron in dict.fromkeys(c.hadron for c in channels):
        of_hadron = np.array([c.hadron == hadron for c in channels])
        electrons = of_hadron & np.array([c.lepton == "e" for c in channels])
        if error > 0 and electrons.any() and (of_hadron & ~electrons).any():
            names.append(f"efficiency_{hadron}")
            rows.append(np.where(electrons, math.log1p(error), 0.0))
        if systematics.normalisation > 0:
            names.append(f"norm_{hadron}")
            rows.append(np.where(of_hadron, math.log1p(systematics.normalisation), 0.0))
    if systematics.resolution > 0:
        smeared = [name for name in by_channel(bins) if dataset.channel(name).resolution > 0]
        for name in smeared:
            names.append(f"resolution_{name}")
            wide = {
                n: e
                if n != name
                else e.model_copy(update={"resolution": e.resolution * (1.0 + systematics.resolution)})
                for n, e in dataset.channels.items()
            }
            sm = [dataset.standard]
            before, _ = expected_counts(sm, dataset, bins)
            after, _ = expected_counts(sm, dataset.model_copy(update={"channels": wide}), bins)
            # the norm is that of the nominal resolution: what leaves the window is lost
            lost = _window_rate(name, wide[name], dataset.theory)
            lost /= _window_rate(name, dataset.channels[name], dataset.theory)
            of_channel = np.array([b.channel == name for b in bins])
            rows.append(np.where(of_channel, np.log(after[0] / before[0] * lost), 0.0))
    return Nuisances(tuple(names), np.stack(rows) if rows else np.zeros((0, len(bins))))
