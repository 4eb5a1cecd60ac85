"""Final-state radiation: leptons give a part of their energy to photons, which become particles of the event.

The energies of photons are those of `physics.radiation`, the momenta those of `kinematics.photons`: collinear in the
rest frame of the pair, adding up to it. ``q2``, the angles and all other columns stay those of the decay, before its
leptons radiate; ``q2_ll`` is what is left to the leptons. With a beam the momenta of the leptons become those that a
detector can see, and each has a photon beside it (``gp`` of the positive lepton, ``gm`` of the negative one).

Radiation is part of the theory of a run's model (`Theory.radiation`), not a table of its card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...kinematics.base.arrays import array_module
from ...physics.channels import Channel
from ...physics.final_state import AXES, mass_of, photon_columns
from ..sampler.calls import RADIATION
from ..sampler.columns import Column
from ..sampler.rng import counter_words
from .columns import momentum_rows
from .settings import StageSettings
from .stages import Place, Stage

LEPTONS_Q2 = Column(
    "q2_ll",
    "GeV^2",
    "q2 of the leptons once they have radiated",
    has=lambda channel: channel.lepton is not None,
)


class RadiationSettings(StageSettings):
    """What the theory says of radiation.

    >>> RadiationSettings().radiation
    'leading-log'
    """

    radiation: Literal["leading-log"] = "leading-log"
    """How leptons radiate."""


@dataclass(frozen=True, eq=False)
class RadiationStage(Stage):
    """The stage in which leptons radiate, before any detector; with momenta if the run has them."""

    key = "radiation"
    reads = RadiationSettings
    options = ()
    columns = (LEPTONS_Q2, *momentum_rows(photon_columns))
    calls = (RADIATION,)
    settings: RadiationSettings
    moving: bool = False

    def makes(self, channel: Channel) -> tuple[Column, ...]:
        """``q2_ll``, and the momenta of photons where there are momenta; nothing of a pair without charge."""
        if not LEPTONS_Q2.has(channel):
            return ()
        return (LEPTONS_Q2, *momentum_rows(photon_columns, (channel,))) if self.moving else (LEPTONS_Q2,)

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Add what radiates, and put the leptons after it in place of those before."""
        if place.channel.lepton is None:
            return dict(columns)
        made = [column.name for column in self.makes(place.channel)]
        leptons = [f"{particle.label}_{axis}" for particle in place.channel.pair.particles for axis in AXES]
        read = [columns[name] for name in leptons] if self.moving else []
        found = radiate(columns["q2"], read, columns["event"], place)
        names = [made[0], *(leptons if self.moving else ()), *made[1:]]
        return {**columns, **dict(zip(names, found, strict=True))}


def radiate(q2: Any, leptons: list[Any], events: Any, place: Place) -> Any:
    """Leptons and photons of events of a channel, in the library and precision of their q2.

    Args:
        q2: of the decays (GeV²), shape (n,).
        leptons: px, py, pz of ℓ+ and of ℓ- before they radiate (GeV), six arrays; none if momenta are not wanted.
        events: their numbers in the run.
        place: where they stand in it.

    Returns:
        Rows q2 of the leptons; px, py, pz of ℓ+, ℓ- and of a photon of each: shape (1, n) or (13, n).

    >>> from darkpenguin.physics.channels import get_channel
    >>> place = Place(get_channel("B+->K+ee"), seed=1)
    >>> bool((radiate(np.array([4.0, 5.0]), [], np.arange(2), place) < np.array([4.0, 5.0])).all())
    True
    """
    from ...kinematics.base.threads import split_work
    from . import radiation_cpu

    xp, n = array_module(q2), len(q2)
    parameters = None if place.model is None else place.model.parameters
    mass = mass_of(place.channel.pair.particles[0], parameters)
    numbers = events.astype(np.uint64) - np.uint64(place.first)
    (k0, k1), stream = counter_words(place.seed, place.channel.index, 0, 1)
    out = xp.empty((13 if leptons else 1, n), dtype=q2.dtype)
    read = [xp.ascontiguousarray(column) for column in (q2, *leptons)]
    if xp is not np:
        from .radiation_gpu import launch

        launch(read, mass, (stream, k0, k1), numbers, out)
        return out
    rows = read[1:] or [read[0]] * 6

    def work(low: int, high: int) -> None:
        part = slice(low, high)
        six = tuple(row[part] for row in rows)
        radiation_cpu.radiate(read[0][part], six, mass, stream, k0, k1, numbers[part], out[:, part])

    split_work(work, n, place.threads if n > 10_000 else 1)
    return out
