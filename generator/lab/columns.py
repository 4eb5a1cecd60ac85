"""Columns of momenta: three a particle, as the channels have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...physics.channels import CHANNELS, Channel
from ...physics.final_state import momentum_columns
from ..sampler.columns import Column


def momentum_rows(
    names: Callable[[Channel], tuple[str, ...]] = momentum_columns, channels: Iterable[Channel] | None = None
) -> tuple[Column, ...]:
    """Columns of the momenta of all channels, or of some; ``names`` says which a channel has.

    >>> momentum_rows()[0].name, momentum_rows()[0].meaning
    ('b_px', 'momentum of b along x')
    """
    chosen = CHANNELS.values() if channels is None else channels
    found = dict.fromkeys(name for channel in chosen for name in names(channel))
    return tuple(_row(name, names) for name in found)


def _row(name: str, names: Callable[[Channel], tuple[str, ...]]) -> Column:
    particle, axis = name.rsplit("_", 1)
    return Column(name, "GeV", f"momentum of {particle} along {axis[1]}", has=lambda channel: name in names(channel))
