"""Event files in bins of q2: yields, R and angular observables by the method of moments."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ..kinematics.errors import InputError
from ..physics.channels import Channel, get_channel

if TYPE_CHECKING:
    from .bin_sums import BinSums
    from .writers import EventFile

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
        return self.modes.get(f"{channel.parent}->{channel.hadron}", self.modes.get("all", ()))


@cache
def binnings() -> dict[str, Binning]:
    """Published binnings by name, from ``binnings.yml``.

    >>> list(binnings())[:3]
    ['lhcb', 'lhcb-wide', 'lhcb-ratios']
    """
    table = yaml.safe_load(files(__package__).joinpath("binnings.yml").read_text(encoding="utf-8"))
    return {
        name: Binning(name, entry["of"], entry["source"], {
            mode: tuple((float(low), float(high)) for low, high in bins) for mode, bins in entry["modes"].items()})
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


class EventSource:
    """The events of a file as they count: accepted ones, with their weights, channel by channel."""

    def __init__(self, path: str | os.PathLike[str], unfold: bool = False, convention: bool = True) -> None:
        from .writers import EventFile

        self.file: EventFile = EventFile(path)
        provenance = self.file.provenance
        if convention and provenance.get("convention", "lhcb") != "lhcb":
            raise InputError(f"file = {str(path)!r}: its angles follow the theory convention, in which the flavours "
                             "cannot be added; generate it with convention = lhcb")
        self.entries = {int(entry["index"]): entry for entry in provenance.get("channels", ())}
        if not self.entries:
            raise InputError(f"file = {str(path)!r}: no channels in its provenance")
        self.channels = {index: get_channel(str(entry["name"])) for index, entry in self.entries.items()}
        self._maps = _recorded_maps(self.file, tuple(self.channels.values())) if unfold else None

    def mesons(self, index: int) -> float:
        """B mesons that the events of a channel stand for."""
        entry = self.entries[index]
        share = float(entry["events"]) / max(float(entry["events_of_run"]), 1.0)
        return share * float(entry["expected_events_of_run"]) / float(entry["branching_fraction"])

    def kind(self, index: int) -> str:
        """Density of a channel's angles: ``kpi`` if an S wave was generated."""
        if self.channels[index].spin == 0:
            return "scalar"
        kpi = self.file.provenance.get("card", {}).get("kpi", {})
        return "kpi" if "m_kpi" in self.entries[index]["columns"] and kpi.get("s_wave", "none") != "none" else "vector"

    def need(self, column: str) -> None:
        """InputError for a column that the file does not have."""
        if column not in self.file.schema:
            columns = ", ".join(self.file.schema)
            raise InputError(f"file = {str(self.file.path)!r}: no column {column}; it has {columns}")

    def events(self) -> Iterator[tuple[int, dict[str, Any], Any]]:
        """Channel number, columns and weights, chunk by chunk; weight 0 for events that were not accepted."""
        for chunk in self.file.chunks():
            for index, channel in self.channels.items():
                mask = chunk["channel"] == index
                if not mask.any():
                    continue
                columns = {name: column[mask] for name, column in chunk.items()}
                weights = np.ones(len(columns["q2"]))
                if "weight" in columns:
                    weights = columns["weight"].astype(np.float64)
                if "accepted" in columns:
                    weights = weights * (columns["accepted"] != 0)
                if not np.isfinite(weights).all():
                    raise InputError(f"file = {str(self.file.path)!r}: a weight of {channel.name} is not finite")
                if self._maps is not None:
                    weights = self._unfolded(columns, weights, channel)
                yield index, columns, weights

    def _unfolded(self, columns: Mapping[str, Any], weights: Any, channel: Channel) -> Any:
        from .efficiency_maps import unfolding_weights

        assert self._maps is not None
        kept = weights != 0.0
        weights = weights.copy()
        weights[kept] *= unfolding_weights(
            self._maps[channel.name], {name: column[kept] for name, column in columns.items()}, channel)
        return weights


def _recorded_maps(file: EventFile, channels: Sequence[Channel]) -> Mapping[str, Any]:
    """Efficiency maps that a file was made with, by channel; InputError if it was not, or if they changed since."""
    from .efficiency import EfficiencySettings, EfficiencyStage

    recorded = file.provenance.get("card", {}).get("efficiency")
    if recorded is None:
        raise InputError(f"unfold: {str(file.path)!r} was made without an efficiency")
    stage = EfficiencyStage.from_settings(EfficiencySettings.model_validate(recorded), channels)
    known = file.provenance.get("stages", {}).get("efficiency", {}).get("sha256", {})
    for source, digest in known.items():
        if stage.digests.get(source, digest) != digest:
            raise InputError(f"unfold: the efficiency map {source!r} has changed since {str(file.path)!r} was made")
    return stage.maps


def bin_file(
    path: str | os.PathLike[str],
    bins: Binning | Sequence[tuple[float, float]],
    *,
    variable: str = "q2",
    unfold: bool = False,
) -> list[BinnedValue]:
    r"""Yields, R and angular observables of a file's events, bin by bin; the file is read in chunks.

    Events that a column ``accepted`` excludes do not count, and a column ``weight`` does. ``yield`` is the sum of
    weights with the error :math:`\sqrt{\sum w^2}`; both flavours are taken together, so S_i are CP averages in the
    ratio of the yields. R is the ratio of muons and electrons, each over the B mesons that its events stand for. The
    angular observables are those of `bin_sums.angular_observables`; those that a bin cannot give are left out.

    Args:
        path: a file that darkpenguin wrote.
        bins: pairs of edges, low <= x < high, for every channel; or a published binning.
        variable: column to bin, ``q2`` or what a detector makes of it (``q2_reco``).
        unfold: divide by the efficiency that the file was made with.

    Raises:
        InputError: a file that cannot be read, or that has another convention than LHCb's.
    """
    from .bin_sums import BinSums, angular_observables, sum_bins
    from .densities import DENSITIES
    from .predict import lepton_pairs

    source = EventSource(path, unfold)
    source.need(variable)
    chosen = {index: bins.bins(channel) if isinstance(bins, Binning) else tuple(bins)
              for index, channel in source.channels.items()}
    if isinstance(bins, Binning) and not any(chosen.values()):
        raise InputError(f"bins = {bins.name!r}: no bins for {', '.join(c.name for c in source.channels.values())}; "
                         f"it has {', '.join(bins.modes)}")
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
            found += [BinnedValue(channel.name, name, low, high, float(value), float(error))
                      for name, value, error in zip(moments.names, moments.values, moments.errors, strict=True)
                      if math.isfinite(value) and math.isfinite(error)]
    numbers = {channel.name: index for index, channel in source.channels.items()}
    for muons, electrons in lepton_pairs(list(numbers)):
        mu, e = numbers[muons.name], numbers[electrons.name]
        scale = source.mesons(e) / source.mesons(mu) if source.mesons(mu) else 0.0
        for row, (low, high) in enumerate(chosen[mu]):
            (n_mu, error_mu), (n_e, error_e) = _yield(sums[mu], row), _yield(sums[e], row)
            if n_mu > 0.0 and n_e > 0.0:
                ratio, name = scale * n_mu / n_e, f"R_{muons.hadron}"
                error = ratio * math.hypot(error_mu / n_mu, error_e / n_e)
                found.append(BinnedValue(name, name, low, high, ratio, error))
    return found


def _yield(sums: BinSums, row: int) -> tuple[float, float]:
    return float(sums.weights[row]), math.sqrt(float(sums.squares[row]))
