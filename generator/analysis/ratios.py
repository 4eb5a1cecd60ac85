"""R of the events in files, bin by bin."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...physics.channels import lepton_pairs
from ..files.writers import EventFile

RATIO_BINS = (0.1, 1.1, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0)
"""Bins of q2 (GeV^2) in which R is measured from events."""


@dataclass(frozen=True)
class MeasuredRatio:
    """R of muons over electrons in a bin of q2 (GeV^2), with its statistical error, from counted events."""

    hadron: str
    q2_min: float
    q2_max: float
    value: float
    error: float
    muons: int
    electrons: int


def measured_ratios(
    files: Sequence[str | os.PathLike[str]], edges: Sequence[float] = RATIO_BINS
) -> list[MeasuredRatio]:
    """Count muons and electrons in bins of q2 in event files and return R with its statistical error.

    Events of each channel are weighted with the number of B mesons that they stand for, from the provenance, so a
    run with a fixed number of events of each channel gives R as well.  Bins outside the selected q2 or without
    electrons are left out.

    Raises:
        InputError: a file that cannot be read, or no channel with both lepton flavours.
    """
    counts: dict[str, NDArray[np.int64]] = {}
    mesons: dict[str, float] = {}
    for path in files:
        file = EventFile(path)
        entries = {int(entry["index"]): entry for entry in file.provenance.get("channels", ())}
        for entry in entries.values():
            share = entry["events"] / max(entry["events_of_run"], 1)
            mesons[entry["name"]] = share * entry["expected_events_of_run"] / entry["branching_fraction"]
            counts.setdefault(entry["name"], np.zeros(len(edges) - 1, dtype=np.int64))
        for columns in file.chunks():
            for index, entry in entries.items():
                chosen = columns["q2"][columns["channel"] == index]
                counts[entry["name"]] += np.histogram(chosen, bins=np.asarray(edges))[0]
    pairs = lepton_pairs(counts)
    if not pairs:
        raise InputError(
            f"files = {[str(Path(path)) for path in files]}: R needs a channel with muons and the same with electrons"
        )
    found = []
    for muons, electrons in pairs:
        scale = mesons[electrons.name] / mesons[muons.name] if mesons[muons.name] else 0.0
        for i, (low, high) in enumerate(pairwise(edges)):
            n_mu, n_e = int(counts[muons.name][i]), int(counts[electrons.name][i])
            if n_mu and n_e:
                value = scale * n_mu / n_e
                error = value * float(np.sqrt(1 / n_mu + 1 / n_e))
                found.append(MeasuredRatio(muons.hadron, low, high, value, error, n_mu, n_e))
    return found
