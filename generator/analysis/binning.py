"""Event files in bins of q2: yields, R and angular observables by the method of moments."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...physics.channels import Channel
from ..files.source import EventSource

if TYPE_CHECKING:
    from .bin_sums import BinSums

Bins = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Binning:
    """Bins of q2 (GeV^2) by mode (``parent->hadron``, or ``all``), what they are of, and where they were published."""

    name: str
    of: str
    source: str
    modes: Mapping[str, Bins]

    def bins(self, channel: Channel) -> Bins:
        """Bins for a channel; none if the analysis does not have its mode.

        >>> binnings()["atlas"].bins(get_channel("B0->K*0mumu"))[0]
        (0.04, 2.0)
        """
        return self.modes.get(channel.transition.name, self.modes.get("all", ()))


@cache
def binnings() -> dict[str, Binning]:
    """Published binnings by name, from ``binnings.yml``.

    >>> list(binnings())[:3]
    ['lhcb', 'lhcb-wide', 'lhcb-ratios']
    """
    table = yaml.safe_load(files(__package__).joinpath("binnings.yml").read_text(encoding="utf-8"))
    return {
        name: Binning(
            name,
            entry["of"],
            entry["source"],
            {mode: tuple((float(low), float(high)) for low, high in bins) for mode, bins in entry["modes"].items()},
        )
        for name, entry in table.items()
    }


@dataclass(frozen=True)
class BinnedValue:
    """A quantity in one bin of q2 (GeV^2): its value and statistical error."""

    channel: str
    quantity: str
    q2_min: float
    q2_max: float
    value: float
    error: float


@dataclass(frozen=True, eq=False)
class BinnedValues(Rows[BinnedValue]):
    """A file in bins of ``variable``: its yields, R and angular observables, channel by channel."""

    file: Path
    variable: str
    unfold: bool


BinsLike = str | Binning | Sequence[float] | Sequence[tuple[float, float]]
"""What names bins: a published binning, its name, edges (as text or numbers), or pairs of edges."""


def as_binning(bins: BinsLike) -> Binning:
    """Binning that is meant by a name, by edges, by pairs of edges, or by a binning.

    >>> as_binning([1.1, 2.0, 6.0]).modes["all"] == as_binning([(1.1, 2.0), (2.0, 6.0)]).modes["all"]
    True
    """
    if isinstance(bins, Binning):
        return bins
    if isinstance(bins, str):
        return parse_bins(bins)
    try:
        pairs = tuple((float(low), float(high)) for low, high in bins)  # type: ignore[misc]
    except (TypeError, ValueError):
        return parse_bins(",".join(str(edge) for edge in bins) if isinstance(bins, Sequence) else str(bins))
    return Binning("own", "user's pairs", "", {"all": pairs})


def parse_bins(text: str) -> Binning:
    """Binning from the name of a published one, or from edges such as "1.1,2,3"; InputError for anything else.

    >>> parse_bins("1.1,2,3").modes["all"]
    ((1.1, 2.0), (2.0, 3.0))
    """
    known = binnings()
    if text in known:
        return known[text]
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if len(edges) < 2 or not all(math.isfinite(x) and x >= 0 for x in edges) or not np.all(np.diff(edges) > 0):
        raise InputError(f"bins = {text!r}: rising edges in GeV^2 such as 1.1,2,3, or one of {', '.join(known)}")
    return Binning(text, "user's edges", "", {"all": tuple(pairwise(edges))})


def bin_file(
    path: str | os.PathLike[str],
    bins: BinsLike = "lhcb",
    *,
    variable: str = "q2",
    unfold: bool = False,
) -> BinnedValues:
    r"""Yields, R and angular observables of a file's events, bin by bin; the file is read in chunks.

    Events that a column ``accepted`` excludes do not count, and a column ``weight`` does. ``yield`` is the sum of
    weights with the error :math:`\sqrt{\sum w^2}`; both flavours are taken together, so S_i are CP averages in the
    ratio of the yields. R is the ratio of muons and electrons, each over the B mesons that its events stand for. The
    angular observables are those of `bin_sums.angular_observables`; those that a bin cannot give are left out.

    Args:
        path: a file that darkpenguin wrote.
        bins: name of a published binning (``lhcb``, ``lhcb-ratios``, ``cms``, ``atlas``, ``belle2`` ...), edges
            (numbers, or text such as ``1.1,2,6``), or pairs of edges, low <= x < high, for every channel.
        variable: column to bin, ``q2`` or what a detector makes of it (``q2_reco``).
        unfold: divide by the efficiency that the file was made with.

    Raises:
        InputError: a file that cannot be read, or that has another convention than LHCb's.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = run(["B+->K+mumu", "B+->K+ee"], events=1000, output=f"{folder}/x.root")
        ...     found = bin_file(report.files[0], [1.1, 6.0])
        >>> [row.quantity for row in found]
        ['yield', 'AFB', 'FH', 'yield', 'AFB', 'FH', 'R_K+']
    """
    from ...physics.channels import lepton_pairs
    from ...physics.densities import DENSITIES
    from .bin_sums import BinSums, angular_observables, sum_bins

    binning = as_binning(bins)
    source = EventSource(path, unfold)
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
            raise InputError(f"file = {str(path)!r}: an angle of {channel.name} is not a number")
        for row, (low, high) in enumerate(chosen[index]):
            value, error = _yield(sums[index], row)
            found.append(BinnedValue(channel.name, "yield", low, high, value, error))
            moments = angular_observables(sums[index], row, kinds[index])
            if moments is None:
                continue
            found += [
                BinnedValue(channel.name, name, low, high, float(value), float(error))
                for name, value, error in zip(moments.names, moments.values, moments.errors, strict=True)
                if math.isfinite(value) and math.isfinite(error)
            ]
    numbers = {channel.name: index for index, channel in source.channels.items()}
    for muons, electrons in lepton_pairs(list(numbers)):
        mu, e = numbers[muons.name], numbers[electrons.name]
        scale = source.mesons(e) / source.mesons(mu) if source.mesons(mu) else 0.0
        for row, (low, high) in enumerate(chosen[mu]):
            (n_mu, error_mu), (n_e, error_e) = _yield(sums[mu], row), _yield(sums[e], row)
            if n_mu > 0.0 and n_e > 0.0:
                ratio, name = scale * n_mu / n_e, muons.ratio
                error = ratio * math.hypot(error_mu / n_mu, error_e / n_e)
                found.append(BinnedValue(name, name, low, high, ratio, error))
    return BinnedValues(tuple(found), Path(path), variable, unfold)


def _yield(sums: BinSums, row: int) -> tuple[float, float]:
    return float(sums.weights[row]), math.sqrt(float(sums.squares[row]))
