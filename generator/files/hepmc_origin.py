"""Where the B of a HepMC record comes from and where it decays, and a mediator that flies: lifetimes, the Υ(4S)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.beams import UpsilonBeam
from ...physics.channels import Channel
from ...physics.mediators import NARROW, Mediator
from ...physics.models import Model
from ...physics.widths import HBAR_C
from ..lab.beams import beam_of
from ..sampler.calls import FLIGHT, Calls
from ..sampler.rng import event_uniforms

Array = NDArray[np.float64]
UPSILON = 300553
"""Number of the Υ(4S)."""


def upsilon_of_file(name: str, provenance: Mapping[str, Any]) -> UpsilonBeam:
    """The e+e- beam that a file was made with.

    Raises:
        InputError: the file has another beam, or none.
    """
    given = (provenance.get("card") or {}).get("beam")
    beam = None if given is None else beam_of(given)
    if not isinstance(beam, UpsilonBeam):
        raise InputError(
            f"upsilon: {name!r} has B mesons of beam = {given!r}; the Upsilon(4S) is that of --beam belle2, or of a "
            'table with kind = "upsilon4s"'
        )
    return beam


def other_b(beam: UpsilonBeam, momentum: Array, energy: Array) -> tuple[Array, Array]:
    r"""Momentum (3, n) and energy of the other B of Υ(4S) → B B-bar, from those of the first in the laboratory (GeV).

    In the frame that moves with the beam's nominal velocity the two are back to back, :math:`p^*` and :math:`-p^*`;
    what they add up to is the Υ(4S), whose mass, :math:`2E^*`, spreads as the beam's energy does.

    >>> beam = UpsilonBeam(electron=5.29, positron=5.29, crossing=0.0)     # at rest
    >>> p, e = other_b(beam, np.array([[0.1], [0.2], [0.0]]), np.array([5.284]))
    >>> p.ravel().tolist(), e.tolist()
    ([-0.1, -0.2, 0.0], [5.284])
    """
    whole, mass = np.array(beam.momentum), beam.mass
    total = beam.electron + beam.positron
    along = whole @ momentum
    star = momentum + whole[:, None] * ((along / (total + mass) - energy) / mass)
    e_star = (total * energy - along) / mass
    back = -(whole @ star)
    return -star + whole[:, None] * ((back / (total + mass) + e_star) / mass), (total * e_star + back) / mass


def flown(
    lifetime: float,
    channel: Channel,
    columns: Mapping[str, Any],
    seed: int,
    momentum: Array,
    energy: Array,
    mass: Array,
    calls: Calls = FLIGHT,
) -> Array:
    r"""How far and how long each particle flies: x, y, z, ct (mm), shape (4, n), for :math:`e^{-t/\tau}` at rest.

    The uniform is the event's own, so that a part of a run has the places of the whole.

    Args:
        lifetime: τ (1/GeV).
        channel: of the events.
        columns: of the events: their numbers.
        seed: of the run.
        momentum: of the particles (GeV), shape (3, n).
        energy: of them (GeV).
        mass: of them (GeV).
        calls: entry of the register of random calls.
    """
    uniform = event_uniforms(columns["event"].astype(np.uint64), seed, channel.index, calls.first)[0]
    length = -np.log1p(-uniform) * lifetime * HBAR_C
    return np.asarray(np.concatenate([momentum, energy[None]]) / mass * length)


def flying(channel: Channel, model: Model) -> list[Mediator]:
    """The mediators that fly before they decay to the charged pair of a channel.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import as_model
    >>> model = as_model({"light_vectors": [{"mass": 2.0, "ctau": 1.0, "g_bs": 1e-9, "g_mu_v": 1e-6}]})
    >>> [len(flying(get_channel(name), model)) for name in ("B+->K+mumu", "B+->K+ee")]
    [1, 0]
    """
    if channel.lepton is None:
        return []
    return [one for one in model.mediators.values() if one.flight is not None and one.couples(channel)]


def owners(mediators: list[Mediator], q2: Array) -> NDArray[np.intp]:
    """Number of the mediator that each event is an event of, by its q2 (GeV²); -1: of none.

    Within a thousand widths of the line shape, 1e-5 of m²: 99.94 % of a mediator's events, and as good as no others.
    """
    found = np.full(len(q2), -1)
    for i, one in enumerate(mediators):
        found[np.abs(q2 - one.mass**2) < 1000 * NARROW * one.mass**2] = i
    return found
