"""Event files in bins of q2: yields, R, and angular observables by the method of moments, with errors."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from ..kinematics.errors import InputError

Bins = tuple[tuple[float, float], ...]

BINNINGS: Mapping[str, Bins] = MappingProxyType({
    # angular analyses of B0 -> K*0 mu mu
    "lhcb": ((0.1, 0.98), (1.1, 2.5), (2.5, 4.0), (4.0, 6.0), (6.0, 8.0), (11.0, 12.5), (15.0, 17.0), (17.0, 19.0)),
    "cms": ((1.0, 2.0), (2.0, 4.3), (4.3, 6.0), (6.0, 8.68), (10.09, 12.86), (14.18, 16.0), (16.0, 19.0)),
    "atlas": ((0.04, 2.0), (2.0, 4.0), (4.0, 6.0)),
    # R_K and R_K*
    "lhcb-ratios": ((0.1, 1.1), (1.1, 6.0)),
})
"""Bins of q2 (GeV²) of LHCb (arXiv:1512.04442), CMS (arXiv:1710.02846), ATLAS (arXiv:1805.04000) and, for R,
LHCb (arXiv:2212.09153); wide bins that overlap others are left out."""


@dataclass(frozen=True)
class BinnedValue:
    """A quantity in one bin of q2 (GeV²): its value and statistical error."""

    channel: str
    quantity: str
    q2_min: float
    q2_max: float
    value: float
    error: float


def parse_bins(text: str) -> Bins:
    """Bins from the name of a preset, or from edges such as "1.1,2,3"; InputError for anything else.

    >>> parse_bins("1.1,2,3")
    ((1.1, 2.0), (2.0, 3.0))
    """
    if text in BINNINGS:
        return BINNINGS[text]
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if len(edges) < 2 or not all(math.isfinite(x) and x >= 0 for x in edges) or not np.all(np.diff(edges) > 0):
        raise InputError(f"bins = {text!r}: rising edges in GeV^2 such as 1.1,2,3, or one of {', '.join(BINNINGS)}")
    return tuple(pairwise(edges))


def bin_file(path: str | os.PathLike[str], bins: Bins, threads: int | None = None) -> list[BinnedValue]:
    r"""Yields, R and angular observables of a file's events, bin by bin; the file is read in chunks.

    ``yield`` has the error :math:`\sqrt N`; both flavours are taken together, so S_i are CP averages in the ratio of
    the yields. R is the ratio of muons and electrons, each over the B mesons that its events stand for. The angular
    observables are those of `moments.observables`; bins without events give none.

    Raises:
        InputError: a file that cannot be read or that has another convention than LHCb's.
    """
    from ..physics.channels import get_channel
    from .expectation import FLAVOURS, Expectation, angular_basis
    from .moments import observables
    from .predict import measured_ratios
    from .validate import Accumulator
    from .writers import EventFile

    file = EventFile(path)
    if file.provenance.get("convention", "lhcb") != "lhcb":
        raise InputError(f"file = {str(path)!r}: its angles follow the theory convention, in which the flavours cannot "
                         "be added; generate it with convention = lhcb")
    entries = {int(entry["index"]): get_channel(str(entry["name"])) for entry in file.provenance.get("channels", ())}
    if not entries:
        raise InputError(f"file = {str(path)!r}: no channels in its provenance")
    edges = np.unique(np.array(bins).ravel())
    sums = {
        index: Accumulator(Expectation(channel.coefficients, FLAVOURS, edges, bins, np.zeros(
            (2, len(edges) - 1, len(channel.coefficients)))), threads)
        for index, channel in entries.items()
    }
    for columns in file.chunks():
        for index, accumulator in sums.items():
            mask = columns["channel"] == index
            if mask.any():
                accumulator.add(columns, mask)
    found = []
    for index, channel in entries.items():
        total = sums[index].sums.sum(axis=0)
        kind = "vector" if channel.spin == 1 else "scalar"
        counts = total @ angular_basis(channel.coefficients).unity
        for low, high in bins:
            i = int(np.searchsorted(edges, low))
            n = float(counts[i])
            found.append(BinnedValue(channel.name, "yield", low, high, n, math.sqrt(n)))
            if n < 2:
                continue
            moments = observables(total[i] / n, n, kind)
            for name, value, error in zip(moments.names, moments.values, moments.errors, strict=True):
                found.append(BinnedValue(channel.name, name, low, high, float(value), float(error)))
    if len({channel.lepton for channel in entries.values()} & {"mu", "e"}) == 2:
        for low, high in bins:
            for ratio in measured_ratios([path], (low, high)):
                name = f"R_{ratio.hadron}"
                found.append(BinnedValue(name, name, low, high, ratio.value, ratio.error))
    return found


def show_bins(path: str, bins: str, format: str, threads: int | None) -> None:
    """Print what is in the bins of a file, as a table or as CSV; InputError for anything that cannot be used."""
    if format not in ("table", "csv"):
        raise InputError(f"format = {format!r}: allowed are table, csv")
    rows = bin_file(path, parse_bins(bins), threads)
    cells = [(row.channel, row.quantity, f"{row.q2_min:g}", f"{row.q2_max:g}", f"{row.value:.8g}", f"{row.error:.3g}")
             for row in rows]
    header = ("channel", "quantity", "q2_min", "q2_max", "value", "error")
    if format == "csv":
        print("\n".join(",".join(line) for line in (header, *cells)))
    else:
        from .console import show_table

        show_table(path, header, cells, left=2)
