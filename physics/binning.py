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
import yaml

from ..kinematics.base.checks import nearest
from ..kinematics.base.errors import InputError
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
    """Bins of q2 (GeV^2) by mode (``parent->hadron``, or ``all``), what they are of, and where they were published."""

    name: str
    of: str
    source: str
    modes: Mapping[str, Bins]

    def bins(self, channel: Channel) -> Bins:
        """Bins for a channel; none if the analysis does not have its mode.

        >>> from darkpenguin.physics.channels import get_channel
        >>> binnings()["atlas"].bins(get_channel("B0->K*0mumu"))[0]
        (0.04, 2.0)
        """
        return self.modes.get(channel.transition.name, self.modes.get("all", ()))


BinsLike = str | Binning | Sequence[float] | Sequence[Sequence[float]]


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


def edges_of(bins: Any) -> tuple[float, ...]:
    """Edges of bins without gaps, from what ``read_pairs`` takes; InputError for others.

    >>> edges_of("1.1,2,3"), edges_of([[1.1, 2], [2, 3]])
    ((1.1, 2.0, 3.0), (1.1, 2.0, 3.0))
    """
    pairs = read_pairs(bins)
    for (_, high), (low, _) in pairwise(pairs):
        if high != low:
            raise InputError(f"bins = {list(pairs)}: gaps and overlaps cannot be here; give edges such as 1.1,2,3")
    return (pairs[0][0], *(high for _, high in pairs))
