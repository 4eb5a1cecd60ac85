"""Event files in bins of q2: yields, R and angular observables by the method of moments."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...physics.binning import BinnedValue, Bins, BinsLike, parse_bins
from ...physics.channels import Channel, lepton_pairs
from ..files.sample import EventsLike
from ..files.source import EventSource

if TYPE_CHECKING:
    from ...physics.definitions import Definition
    from .bin_sums import BinSums

FloatArray = NDArray[np.float64]
RATIO_BINS = (0.1, 1.1, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0)
"""Edges of the bins of q2 (GeV^2) in which R of generated events is drawn."""


@dataclass(frozen=True, eq=False)
class BinnedValues(Rows[BinnedValue]):
    """A file in bins of ``variable``: its yields, R and angular observables, channel by channel.

    ``state`` says what they are: as generated, accepted and not corrected, or corrected for what; and where
    leptons have radiated, whether q2 is that before or after.
    """

    file: Path
    variable: str
    unfold: bool
    state: str = "as generated"


def bin(
    events: EventsLike,
    bins: BinsLike = "lhcb",
    *,
    variable: str | None = None,
    unfold: bool = False,
) -> BinnedValues:
    r"""Yields, R and angular observables of events, bin by bin; a file is read in chunks.

    Events that a column ``accepted`` excludes do not count, and a column ``weight`` does. ``yield`` is the sum of
    weights with the error :math:`\sqrt{\sum w^2}`; both flavours are taken together, so S_i are CP averages in the
    ratio of the yields, and of an untagged mode (``Bs->phimumu``) those of 5, 6, 8 and 9 are CP asymmetries A_i. R is
    the ratio of muons and electrons, each over the B mesons that its events stand for. The angular observables are
    those of `bin_sums.angular_observables`; those that a bin cannot give, or nobody can see, are left out.

    F_L, P_i and P_i' are defined as in `predict`, lepton masses kept; with an S wave in the file they are those of the
    P wave, told apart as `definitions.p_wave` says.

    Behind a detector these are numbers of accepted events, R too, and ``state`` of the result says so. ``unfold``
    divides by the efficiency map; where the file holds the events that failed its cuts, it corrects for cuts and
    migration as well, bin by bin and in cells of the cosines (`acceptance.CELLS`), with the events of the file itself:
    what comes out is right on average, and no test of the correction.

    Args:
        events: a file that darkpenguin wrote, or a sample in memory; one on a GPU is summed there.
        bins: name of a published binning (``lhcb``, ``lhcb-ratios``, ``cms``, ``atlas``, ``belle2`` ...), edges
            (numbers, or text such as ``1.1,2,6``), or pairs of edges, low <= x < high, for every channel.
        variable: column to bin; without it ``q2_reco`` where there is one, else ``q2``.
        unfold: correct for the efficiency that the events were made with, and for what else can be.

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
    from ...physics.observables import OBSERVABLES
    from .bin_sums import angular_observables

    binning = parse_bins(bins)
    source = EventSource(events, unfold, where_they_are=True)
    variable = variable or source.variable
    source.need(variable)
    chosen = {index: binning.bins(channel) for index, channel in source.channels.items()}
    if not any(chosen.values()):
        raise InputError(
            f"bins = {binning.name!r}: no bins for {', '.join(c.name for c in source.channels.values())}; "
            f"it has {', '.join(binning.modes)}"
        )
    kinds = {index: source.kind(index) for index in source.channels}
    sums, ratios_of_waves = _sums(source, variable, chosen, kinds)
    found = []
    for index, channel in source.channels.items():
        if not np.isfinite(sums[index].ff).all():
            raise InputError(f"file = {source.name!r}: an angle of {channel.name} is not a number")
        for row, (low, high) in enumerate(chosen[index]):
            value, error = _yield(sums[index], row)
            found.append(BinnedValue(channel.name, "yield", low, high, value, error))
            definition = _definition(channel, kinds[index], float(ratios_of_waves[index][row]))
            moments = angular_observables(sums[index], row, kinds[index], channel.self_tagging, definition)
            if moments is None:
                continue
            found += [
                BinnedValue(channel.name, name, low, high, float(value), float(error))
                for name, value, error in zip(moments.names, moments.values, moments.errors, strict=True)
                if math.isfinite(value)
                and math.isfinite(error)
                and (channel.lepton is not None or OBSERVABLES[name].invisible)
            ]
    yields = {
        channel.name: Yields(sums[index].weights, sums[index].squares, source.mesons(index), chosen[index])
        for index, channel in source.channels.items()
    }
    return BinnedValues((*found, *ratios(yields)), source.file.path, variable, unfold, source.state(variable))


def _sums(
    source: EventSource, variable: str, bins: Mapping[int, Bins], kinds: Mapping[int, str]
) -> tuple[dict[int, BinSums], dict[int, FloatArray]]:
    """Sums over the events of each channel in its bins, and the mean of J_1s/J_2s that tells P from S wave."""
    from ...physics.definitions import transverse_ratio
    from ...physics.densities import DENSITIES
    from .acceptance import acceptances
    from .bin_sums import BinSums, sum_bins

    sums = {index: BinSums.zeros(len(bins[index]), len(DENSITIES[kinds[index]].coefficients)) for index in bins}
    means = {index: np.zeros((2, len(bins[index]))) for index in bins}
    corrections = acceptances(source, variable, bins) if source.unfold and source.holds_rejected else {}

    def work(index: int, every: Mapping[str, Any], all_weights: Any) -> tuple[BinSums, FloatArray]:
        kept = all_weights != 0.0
        columns, weights = {name: column[kept] for name, column in every.items()}, all_weights[kept]
        angles = [columns[name] for name in DENSITIES[kinds[index]].angles]
        x, kind, mean = columns[variable], kinds[index], np.zeros((2, len(bins[index])))
        if kind == "kpi":
            ratio = transverse_ratio(columns["q2"], source.channels[index].lepton_mass())
            for row, (low, high) in enumerate(bins[index]):
                inside = (x >= low) & (x < high)
                mean[:, row] = float(weights[inside] @ ratio[inside]), float(weights[inside].sum())
        if index not in corrections:
            return sum_bins(kind, x, angles, weights, bins[index]), mean
        parts = [
            sum_bins(kind, x, angles, weights * corrections[index].weights(row, columns), [one]).parts
            for row, one in enumerate(bins[index])
        ]
        joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return BinSums(*joined) if parts else sum_bins(kind, x, angles, weights, []), mean

    for index, (found, mean) in source.each(work):
        sums[index] += found
        means[index] += mean
    return sums, {i: np.divide(a, b, out=np.full_like(a, 3.0), where=b > 0.0) for i, (a, b) in means.items()}


def _definition(channel: Channel, kind: str, ratio: float) -> Definition | None:
    """How the S_i of a channel are read: of what is not seen by cos θ_K, beside an S wave those of the P wave."""
    from ...physics.definitions import massless, p_wave

    if channel.lepton is None and kind != "scalar":
        return massless
    return partial(p_wave, ratio=ratio) if kind == "kpi" else None


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
