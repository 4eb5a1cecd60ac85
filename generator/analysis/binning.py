"""Event files in bins of q2: yields, R and angular observables by the method of moments."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...physics.binning import BinnedValue, Bins, BinsLike, parse_bins
from ...physics.channels import lepton_pairs
from ..files.sample import EventsLike
from ..files.source import EventSource

if TYPE_CHECKING:
    from .bin_sums import BinSums

FloatArray = NDArray[np.float64]
RATIO_BINS = (0.1, 1.1, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0)
"""Edges of the bins of q2 (GeV^2) in which R of generated events is drawn."""


@dataclass(frozen=True, eq=False)
class BinnedValues(Rows[BinnedValue]):
    """A file in bins of ``variable``: its yields, R and angular observables, channel by channel."""

    file: Path
    variable: str
    unfold: bool


def bin(
    events: EventsLike,
    bins: BinsLike = "lhcb",
    *,
    variable: str = "q2",
    unfold: bool = False,
) -> BinnedValues:
    r"""Yields, R and angular observables of events, bin by bin; a file is read in chunks.

    Events that a column ``accepted`` excludes do not count, and a column ``weight`` does. ``yield`` is the sum of
    weights with the error :math:`\sqrt{\sum w^2}`; both flavours are taken together, so S_i are CP averages in the
    ratio of the yields, and of an untagged mode (``Bs->phimumu``) those of 5, 6, 8 and 9 are CP asymmetries A_i. R is
    the ratio of muons and electrons, each over the B mesons that its events stand for. The angular observables are
    those of `bin_sums.angular_observables`; those that a bin cannot give are left out.

    Args:
        events: a file that darkpenguin wrote, or a sample in memory.
        bins: name of a published binning (``lhcb``, ``lhcb-ratios``, ``cms``, ``atlas``, ``belle2`` ...), edges
            (numbers, or text such as ``1.1,2,6``), or pairs of edges, low <= x < high, for every channel.
        variable: column to bin, ``q2`` or what a detector makes of it (``q2_reco``).
        unfold: divide by the efficiency that the events were made with.

    Raises:
        InputError: a file that cannot be read, or that has another convention than LHCb's.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = run(["B+->K+mumu", "B+->K+ee"], events=1000, output=f"{folder}/x.root")
        ...     found = bin(report.files[0], [1.1, 6.0])
        >>> [row.observable for row in found]
        ['yield', 'AFB', 'FH', 'yield', 'AFB', 'FH', 'R_K+']
    """
    from ...physics.densities import DENSITIES
    from .bin_sums import BinSums, angular_observables, sum_bins

    binning = parse_bins(bins)
    source = EventSource(events, unfold)
    source.need(variable)
    chosen = {index: binning.bins(channel) for index, channel in source.channels.items()}
    if not any(chosen.values()):
        raise InputError(
            f"bins = {binning.name!r}: no bins for {', '.join(c.name for c in source.channels.values())}; "
            f"it has {', '.join(binning.modes)}"
        )
    kinds = {index: source.kind(index) for index in source.channels}
    sums = {index: BinSums.zeros(len(chosen[index]), len(DENSITIES[kinds[index]].coefficients)) for index in chosen}
    for index, columns, weights in source.events():
        kept = weights != 0.0
        angles = [columns[name][kept] for name in DENSITIES[kinds[index]].angles]
        sums[index] += sum_bins(kinds[index], columns[variable][kept], angles, weights[kept], chosen[index])
    found = []
    for index, channel in source.channels.items():
        if not np.isfinite(sums[index].ff).all():
            raise InputError(f"file = {source.name!r}: an angle of {channel.name} is not a number")
        for row, (low, high) in enumerate(chosen[index]):
            value, error = _yield(sums[index], row)
            found.append(BinnedValue(channel.name, "yield", low, high, value, error))
            moments = angular_observables(sums[index], row, kinds[index], channel.self_tagging)
            if moments is None:
                continue
            found += [
                BinnedValue(channel.name, name, low, high, float(value), float(error))
                for name, value, error in zip(moments.names, moments.values, moments.errors, strict=True)
                if math.isfinite(value) and math.isfinite(error)
            ]
    yields = {
        channel.name: Yields(sums[index].weights, sums[index].squares, source.mesons(index), chosen[index])
        for index, channel in source.channels.items()
    }
    return BinnedValues((*found, *ratios(yields)), source.file.path, variable, unfold)


def _yield(sums: BinSums, row: int) -> tuple[float, float]:
    return float(sums.weights[row]), math.sqrt(float(sums.squares[row]))


@dataclass(frozen=True, eq=False)
class Yields:
    """Sums of weights and of squared weights of a channel in bins, and the B mesons that its events stand for."""

    weights: FloatArray
    squares: FloatArray
    mesons: float
    bins: Bins


def ratios(yields: Mapping[str, Yields]) -> list[BinnedValue]:
    """R of every hadron with muons and electrons: yields, each over its B mesons, in bins that have both.

    >>> one = np.ones(1)
    >>> pair = {"B+->K+mumu": Yields(80 * one, 80 * one, 2.0, ((1, 6),)), "B+->K+ee": Yields(one, one, 0.02, ((1, 6),))}
    >>> [(row.observable, round(row.value, 12)) for row in ratios(pair)]
    [('R_K+', 0.8)]
    """
    found = []
    for muons, electrons in lepton_pairs(list(yields)):
        mu, e = yields[muons.name], yields[electrons.name]
        scale = e.mesons / mu.mesons if mu.mesons else 0.0
        for row, (low, high) in enumerate(mu.bins):
            n_mu, n_e = float(mu.weights[row]), float(e.weights[row])
            if n_mu > 0.0 and n_e > 0.0:
                value = scale * n_mu / n_e
                error = value * math.hypot(math.sqrt(mu.squares[row]) / n_mu, math.sqrt(e.squares[row]) / n_e)
                found.append(BinnedValue(muons.ratio, muons.ratio, low, high, value, error))
    return found


def generated_ratios(paths: Sequence[str | os.PathLike[str]], edges: Sequence[float] = RATIO_BINS) -> list[BinnedValue]:
    """R of all events of a run's files together, accepted or not and without weights: what was generated.

    Raises:
        InputError: a file that cannot be read, or no channel with both lepton flavours.
    """
    counts: dict[str, FloatArray] = {}
    mesons: dict[str, float] = {}
    for path in paths:
        source = EventSource(path, convention=False)
        for index, channel in source.channels.items():
            mesons[channel.name] = mesons.get(channel.name, 0.0) + source.mesons(index)
            counts.setdefault(channel.name, np.zeros(len(edges) - 1))
        for index, columns, _ in source.events():
            counts[source.channels[index].name] += np.histogram(columns["q2"], bins=np.asarray(edges))[0]
    bins = tuple(pairwise(edges))
    if not lepton_pairs(counts):
        names = [str(path) for path in paths]
        raise InputError(f"files = {names}: R needs a channel with muons and the same with electrons")
    return ratios({name: Yields(n, n, mesons[name], bins) for name, n in counts.items()})
