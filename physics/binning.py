"""Bins of q2: published ones by name, edges, or pairs; the same text and lists wherever bins are asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.base.checks import nearest
from ..kinematics.base.errors import InputError
from ..kinematics.base.files import parse_yaml
from ..kinematics.phasespace import q2_min
from .channels import Channel

Bins = tuple[tuple[float, float], ...]
"""Pairs (q2_min, q2_max) in GeV²."""


@dataclass(frozen=True)
class BinnedValue:
    """A value in one bin of q2 (GeV^2), predicted or of events; a point of a curve has two equal edges.

    Attributes:
        channel: of the decay; of a ratio R of two channels the ratio's own name.
        observable: its name, or ``yield``.
        q2_min, q2_max: edges.
        value: in the observable's unit.
        error: statistical, of events; of a prediction that of the theory, None where it was not asked for.
    """

    channel: str
    observable: str
    q2_min: float
    q2_max: float
    value: float
    error: float | None = None


@dataclass(frozen=True)
class Binning:
    """Bins of q2 (GeV^2) by mode, what they are of, and where they were published.

    A mode is ``parent->hadron``, ``invisible`` (a pair that is not seen), or ``all``.
    """

    name: str
    of: str
    source: str
    modes: Mapping[str, Bins]

    def bins(self, channel: Channel) -> Bins:
        """Bins for a channel; none if the analysis does not have its mode, of published ones none below threshold.

        >>> from darkpenguin.physics.channels import get_channel
        >>> binnings()["atlas"].bins(get_channel("B0->K*0mumu"))[0]
        (0.04, 2.0)
        """
        if channel.lepton is None and "invisible" in self.modes:
            return self.modes["invisible"]
        found = self.modes.get(channel.transition.name, self.modes.get("all", ()))
        threshold = q2_min(channel.lepton_mass()) if self.source else 0.0  # published for muons, asked for taus
        return tuple(pair for pair in found if pair[1] > threshold)


BinsLike = str | Binning | Sequence[float] | Sequence[Sequence[float]]


@cache
def binnings() -> dict[str, Binning]:
    """Published binnings by name, from ``binnings.yml``.

    >>> list(binnings())[:3]
    ['lhcb', 'lhcb-wide', 'lhcb-ratios']
    """
    table = parse_yaml(files(__package__).joinpath("binnings.yml").read_text(encoding="utf-8"))
    return {
        name: Binning(
            name,
            entry["of"],
            entry["source"],
            {mode: tuple((float(low), float(high)) for low, high in bins) for mode, bins in entry["modes"].items()},
        )
        for name, entry in table.items()
    }


def parse_bins(bins: BinsLike) -> Binning:
    """Binning from the name of a published one, from rising edges, or from pairs; as text or as lists.

    Raises:
        InputError: neither of these.

    Example:
        >>> parse_bins("1.1,2,3").modes["all"]
        ((1.1, 2.0), (2.0, 3.0))
        >>> parse_bins("[1.1, 6], [14.3, 19]").modes == parse_bins([[1.1, 6], [14.3, 19]]).modes
        True
    """
    if isinstance(bins, Binning):
        return bins
    if isinstance(bins, str) and bins in binnings():
        return binnings()[bins]
    return Binning(str(bins), "user's bins", "", {"all": read_pairs(bins)})


def read_pairs(bins: Any) -> Bins:
    """Bins as pairs, from edges or pairs, as text or as numbers; InputError for anything else.

    >>> read_pairs([(1.1, 6)])
    ((1.1, 6.0),)
    """
    shown = bins if isinstance(bins, str) else str(np.asarray(bins, dtype=object).tolist())
    way_out = "rising edges of q2 in GeV^2 from 0 up, such as 1.1,2,3, pairs such as [1.1,6],[14.3,19]"
    try:
        values = np.asarray(_numbers(bins) if isinstance(bins, str) else bins, dtype=float)
    except (TypeError, ValueError, OverflowError, RecursionError):
        near = nearest(bins, binnings()) if isinstance(bins, str) else "numbers are needed"
        raise InputError(f"bins = {shown!r}: {way_out}, or a published binning; {near}") from None
    if values.ndim == 1:
        values = np.stack([values[:-1], values[1:]], axis=1)
    if values.ndim != 2 or values.shape[1] != 2 or not len(values):
        raise InputError(f"bins = {shown}: {way_out}")
    for low, high in values:
        if not (np.isfinite(low) and np.isfinite(high) and 0.0 <= low < high):
            raise InputError(f"bins = {shown}: {low:g} to {high:g} is no range; {way_out}")
    return tuple((float(low), float(high)) for low, high in values)


def _numbers(text: str) -> Any:
    if "[" not in text:
        return [float(part) for part in text.split(",")]
    found = json.loads(f"[{text}]")
    return found[0] if len(found) == 1 and found[0] and isinstance(found[0][0], list) else found


RisingBins = tuple[float, ...] | Bins
"""Edges of rising bins of q2 (GeV²), or pairs where there are gaps between them."""


def rising_bins(bins: Any) -> RisingBins:
    """Bins that rise, with gaps or without, from what ``read_pairs`` takes; InputError for bins that overlap.

    >>> rising_bins("1.1,2,3"), rising_bins([[1.1, 2], [2, 3]])
    ((1.1, 2.0, 3.0), (1.1, 2.0, 3.0))
    >>> rising_bins("[1.1,6],[14.3,19]")
    ((1.1, 6.0), (14.3, 19.0))
    """
    pairs = read_pairs(bins)
    steps = [(high, low) for (_, high), (low, _) in pairwise(pairs)]
    if any(low < high for high, low in steps):
        shown = ", ".join(f"[{low:g}, {high:g}]" for low, high in pairs)
        raise InputError(f"bins = {shown}: they must rise and may not overlap; give edges such as 1.1,2,3, or pairs")
    return pairs if any(low > high for high, low in steps) else (pairs[0][0], *(high for _, high in pairs))


def intervals_of(bins: Any) -> tuple[tuple[float, ...], list[int]]:
    """Edges of all intervals of q2 from the first bin to the last, gaps too, and which of the intervals are bins.

    >>> intervals_of([[1.1, 2], [2, 6], [14.3, 19]])
    ((1.1, 2.0, 6.0, 14.3, 19.0), [0, 1, 3])
    """
    pairs = read_pairs(rising_bins(bins))
    edges = tuple(sorted({edge for pair in pairs for edge in pair}))
    return edges, [edges.index(low) for low, _ in pairs]


def stretches_of(bins: Any) -> Bins:
    """Ranges of q2 (GeV²) that bins cover without a gap.

    >>> stretches_of([[1.1, 2], [2, 6], [14.3, 19]])
    ((1.1, 6.0), (14.3, 19.0))
    """
    found: list[tuple[float, float]] = []
    for low, high in read_pairs(rising_bins(bins)):
        if found and found[-1][1] == low:
            low = found.pop()[0]
        found.append((low, high))
    return tuple(found)


def find_bins(bins: Any, q2: Any) -> npt.NDArray[np.int64]:
    """Number of the bin that each q2 is in, -1 for none.

    >>> find_bins([[1.1, 2], [14.3, 19]], [0.5, 1.1, 3.0, 15.0, 19.0, np.nan]).tolist()
    [-1, 0, -1, 1, -1, -1]
    """
    edges, places = intervals_of(bins)
    number = np.full(len(edges), -1)
    number[places] = np.arange(len(places))
    return np.asarray(number[np.searchsorted(edges, np.atleast_1d(q2), side="right") - 1])
