r"""Several data sets in one question: their likelihoods add, and what they share is one parameter of all.

.. math:: -2\ln L(\theta) = \sum_d -2\ln L_d(\theta_d, \theta) + |\theta-a|^2

Counts of each are its own; nuisance parameters whose source is ``common`` (form factors, charm, QED), and whose name is
the same, float once. Angular observables are those of the first data set. Where another does not measure, as above the
windows of its yields, its counts are left out. All luminosities grow in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...kinematics.base.errors import InputError
from ...physics.models import Model
from .experiment import Array, Expected, Experiment, Term
from .sources import Mode
from .systematics import Nuisances


@dataclass(frozen=True, eq=False)
class Together(Experiment):
    """Experiments of several data sets as one; data set, angular terms and the unit of luminosity are the first's.

    Attributes:
        parts: experiments of the same bins and terms.
    """

    parts: tuple[Experiment, ...] = ()

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of the first data set, then those of the others with its name."""
        return tuple(_label(i, part, name) for i, part in enumerate(self.parts) for name in part.channels)

    @cached_property
    def _backgrounds(self) -> dict[str, Array]:
        parts = enumerate(self.parts)
        return {_label(i, part, name): part.background(name) for i, part in parts for name in part.channels}

    def expect(self, models: Sequence[Model]) -> Expected:
        """Predictions of models for all data sets."""
        found = [part.expect(models) for part in self.parts]
        parts = enumerate(zip(self.parts, found, strict=True))
        counts = {_label(i, part, name): values for i, (part, x) in parts for name, values in x.counts.items()}
        return Expected(counts, found[0].mean, found[0].covariance)

    def scaled(self, luminosity: float) -> Together:
        """The same with another luminosity of the first data set, and of the others in proportion."""
        factor = luminosity / self.dataset.luminosity
        parts = tuple(part.scaled(part.dataset.luminosity * factor) for part in self.parts)
        other = replace(self, dataset=parts[0].dataset, parts=parts)
        other.__dict__["_cells"] = self._cells
        return other

    def places(self, terms: Sequence[Term]) -> tuple[list[tuple[int, ...]], list[bool]]:
        """Bins of the cells of all data sets, and whether the norm of each is free."""
        bins, free, first, n = [], [], 0, len(self.windows)
        for i, part in enumerate(self.parts):
            for cell, ratio in zip(*part.places(terms), strict=True):
                entry = part.dataset.channel(part.channels[cell[0] // n])
                if i == 0 or entry.measures(*self.windows[cell[0] % n]):
                    bins.append(tuple(first + b for b in cell))
                    free.append(ratio)
            first += n * len(part.channels)
        return bins, free


def _label(i: int, part: Experiment, channel: str) -> str:
    return channel if i == 0 else f"{channel} ({part.dataset.name})"


def join_experiments(parts: Sequence[Experiment]) -> Experiment:
    """One experiment of several with the same bins and terms; of one alone it is this.

    Raises:
        InputError: a data set that is there twice.

    Example:
        >>> from darkpenguin.generator.toys.datasets import get_dataset
        >>> from darkpenguin.generator.toys.experiment import make_experiment
        >>> names = ("lhcb-run12", "belle2-50")
        >>> parts = [make_experiment(get_dataset(name), [1.1, 6.0], ["R_K+"], theory=False) for name in names]
        >>> both = join_experiments(parts)
        >>> [name for name in both.nuisances.names if not name.startswith("background")]
        ['efficiency_K+', 'qed', 'efficiency_K+ (belle2-50)']
    """
    names = [part.dataset.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"together: data set {name} is there twice")
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Together(
        first.dataset, first.windows, first.terms, first.systematics, _joined(parts, len(first.windows)), tuple(parts)
    )


def _joined(parts: Sequence[Experiment], windows: int) -> Nuisances:
    """Nuisance parameters of all parts, those that are common once."""
    sizes = [windows * len(part.channels) for part in parts]
    seen = parts[0].nuisances.shifts.shape[1]
    rows: dict[str, tuple[Array, Array, Array]] = {}
    told: dict[str, tuple[bool, Mode | None, bool]] = {}
    for i, part in enumerate(parts):
        here, known = slice(sum(sizes[:i]), sum(sizes[: i + 1])), part.nuisances
        for k, name in enumerate(known.names):
            key = name if i == 0 or known.common[k] else f"{name} ({part.dataset.name})"
            row = rows.setdefault(key, (np.zeros(sum(sizes)), np.zeros(sum(sizes)), np.zeros(seen)))
            row[0][here], row[1][here] = known.effects[k], known.tilts[k]
            if i == 0:
                row[2][:] = known.shifts[k]
            told.setdefault(key, (bool(known.floating[k]), known.toys[k], known.common[k]))
    effects, tilts, shifts = (
        (np.stack([row[j] for row in rows.values()]) for j in range(3))
        if rows
        else (np.zeros((0, n)) for n in (sum(sizes), sum(sizes), seen))
    )
    floating, toys, common = zip(*told.values(), strict=True) if told else ((), (), ())
    return Nuisances(
        tuple(rows), effects, tilts, shifts, np.array(floating, dtype=bool), toys, common, parts[0].nuisances.rest
    )
