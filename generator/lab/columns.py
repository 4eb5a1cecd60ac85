"""Columns of momenta: three a particle, as the channels have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from graphlib import TopologicalSorter
from itertools import pairwise

from ...physics.channels import CHANNELS, Channel
from ...physics.final_state import AXES, momentum_columns
from ..sampler.columns import Column


def momentum_rows(
    names: Callable[[Channel], tuple[str, ...]] = momentum_columns, channels: Iterable[Channel] | None = None
) -> tuple[Column, ...]:
    """Columns of the momenta of all channels, or of some; ``names`` says which a channel has, in which order.

    >>> momentum_rows()[0].name, momentum_rows()[0].meaning
    ('b_px', 'momentum of b along x')
    """
    chosen = CHANNELS.values() if channels is None else channels
    order: TopologicalSorter[str] = TopologicalSorter()  # of the particles: every channel keeps its own
    for channel in chosen:
        found = list(dict.fromkeys(name.rpartition("_")[0] for name in names(channel)))
        for before, particle in pairwise(found):
            order.add(particle, before)
        if len(found) == 1:
            order.add(found[0])
    return tuple(_row(f"{particle}_{axis}", names) for particle in order.static_order() for axis in AXES)


def _row(name: str, names: Callable[[Channel], tuple[str, ...]]) -> Column:
    particle, axis = name.rsplit("_", 1)
    return Column(name, "GeV", f"momentum of {particle} along {axis[1]}", has=lambda channel: name in names(channel))
