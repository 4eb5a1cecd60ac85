"""The events of a fit: their columns, which of them are fitted, and those that no density describes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ...physics.expectation import segments
from ...physics.kpi import KpiSystem
from ..files.writers import Events
from .amplitude import Array
from .card import FitCard
from .mass import COLUMN
from .rates import Range


def window_of(card: FitCard, channel: Channel, ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Ranges of the q2 of events that are fitted, those of the run unless the card says other ones."""
    if not card.q2 or card.resolution is not None:
        return segments((0.0, math.inf), card.q2, ()) if card.q2 else tuple(ranges)
    found = [(max(a, low), min(b, high)) for low, high in segments((0.0, math.inf), card.q2, ()) for a, b in ranges]
    if not any(low < high for low, high in found):
        words = " and ".join(f"{low:g} to {high:g}" for low, high in ranges)
        raise InputError(f"q2: none of {channel.name} was generated there; allowed are ranges in {words} GeV^2")
    return tuple((low, high) for low, high in found if low < high)


def within(columns: Mapping[str, Array], channel: Channel, window: Sequence[Range]) -> dict[str, Array]:
    """Events of a channel in ranges of q2."""
    q2 = columns["q2"]
    inside = np.any([(q2 >= low) & (q2 <= high) for low, high in window], axis=0)
    if not inside.any():
        raise InputError(f"q2: no event of {channel.name} is there")
    return {name: column[inside] for name, column in columns.items()}


def chosen_of(
    card: FitCard, columns: Mapping[str, Array], channel: Channel, window: Sequence[Range], flavours: Sequence[int]
) -> Mapping[str, Array]:
    """Events of a channel that a card asks for; InputError for others than it says, see `check_inside`."""
    if card.q2 or card.resolution is not None:
        columns = within(columns, channel, window)
    check_inside(columns, channel, window, flavours)
    if card.b_mass is not None:
        low, high = card.b_mass.low, card.b_mass.high
        why = f" GeV: outside {low:g} to {high:g} GeV, the window of b_mass; leave them out, or take a wider one"
        _refuse(columns, COLUMN, (columns[COLUMN] >= low) & (columns[COLUMN] <= high), why)
    return columns


def columns_of(
    file: Events, channels: Mapping[int, Channel], q2: str, with_mass: bool = False
) -> dict[int, Mapping[str, Array]]:
    """Columns of the events that were accepted, by channel and name; ``q2`` is the name of that which is fitted.

    ``row`` is where each stands in the file. The mass of the reconstructed B is asked for by ``with_mass``.
    """
    if with_mass and COLUMN not in file.schema:
        raise InputError(
            f"b_mass: these events have no {COLUMN}; make them with a beam and a resolution, or leave it out"
        )
    if q2 != "q2" and q2 not in file.schema:
        raise InputError(
            f"resolution: these events have no {q2}; make them with a beam and a resolution, or leave it out"
        )
    file.need(q2, "channel", "flavour", *(angle for channel in channels.values() for angle in channel.angles))
    rows: dict[int, list[dict[str, Array]]] = {index: [] for index in channels}
    first = 0
    for chunk in file.chunks():
        if np.any(chunk.get("weight", np.ones(1)) != 1.0):
            raise InputError(
                "weight: these events have weights, and errors of a fit would be wrong; make them with "
                "efficiency-mode = reject or flag"
            )
        kept = chunk.get("accepted", np.ones(len(chunk[q2]))).astype(bool)
        for index, channel in channels.items():
            chosen = np.flatnonzero(kept & (chunk["channel"] == index))
            masses = ("m_kpi",) if "m_kpi" in file.schema and channel.transition.daughters else ()
            of_b = (COLUMN,) if with_mass else ()
            names = {"q2": q2, **{name: name for name in (*channel.angles, *masses, *of_b, "flavour")}}
            piece = {name: np.asarray(chunk[own][chosen], dtype=np.float64) for name, own in names.items()}
            rows[index].append({**piece, "row": np.asarray(chosen + first, dtype=np.float64)})
        first += len(kept)
    for index, pieces in rows.items():
        if not sum(len(piece["q2"]) for piece in pieces):
            raise InputError(f"events: none of {channels[index].name} in the file")
    return {
        index: {k: np.concatenate([piece[k] for piece in pieces]) for k in pieces[0]} for index, pieces in rows.items()
    }


def check_inside(
    columns: Mapping[str, Array], channel: Channel, ranges: Sequence[Range], flavours: Sequence[int]
) -> None:
    """InputError for events outside the q2 that they are normalised in, or of angles or flavours that are none."""
    q2 = columns["q2"]
    inside = np.zeros(len(q2), dtype=bool)
    for low, high in ranges:
        inside |= (q2 >= low) & (q2 <= high)
    words = " and ".join(f"{low:g} to {high:g}" for low, high in ranges)
    _refuse(columns, "q2", inside, f"GeV^2: outside {words} GeV^2, where {channel.name} was selected")
    for name in channel.angles:
        most = math.pi * (1 + 1e-6) if name == "phi" else 1.0 + 1e-6
        _refuse(columns, name, np.abs(columns[name]) <= most, f": outside -{most:.4g} to {most:.4g}")
    allowed = " or ".join(f"{flavour:+d}" for flavour in flavours)
    _refuse(columns, "flavour", np.isin(columns["flavour"], flavours), f": {allowed} is what was generated")


def check_mass(columns: Mapping[str, Array], system: KpiSystem, m_parent: float) -> None:
    """InputError for events outside the window of the Kπ mass, or outside phase space."""
    mass, (low, high) = columns["m_kpi"], system.window
    _refuse(columns, "m_kpi", (mass >= low) & (mass <= high), f" GeV: outside {low:g} to {high:g} GeV")
    inside = np.sqrt(columns["q2"]) < m_parent - mass
    _refuse(columns, "q2", inside, " GeV^2: beyond phase space at its K pi mass")


def _refuse(columns: Mapping[str, Array], name: str, fine: Any, why: str) -> None:
    bad = np.flatnonzero(~fine)
    if len(bad):
        row, value = columns["row"][bad[0]], columns[name][bad[0]]
        raise InputError(f"row {row:.0f}: {name} = {value:g}{why}; {len(bad)} of {len(fine)} events are so")
