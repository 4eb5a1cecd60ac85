"""Where the B of a HepMC record comes from and where it decays: the Υ(4S) with the other B, and a lifetime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.beams import UpsilonBeam
from ...physics.channels import Channel
from ...physics.models import Model
from ..lab.beams import beam_of
from ..sampler.calls import FLIGHT
from ..sampler.rng import event_uniforms

Array = NDArray[np.float64]
UPSILON = 300553
"""Number of the Υ(4S)."""
HBAR_C = 1.973269804e-13
"""GeV mm, CODATA 2018: a lifetime of 1/GeV times this is a proper decay length."""


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


def decay_place(
    channel: Channel, model: Model, columns: Mapping[str, Any], seed: int, momentum: Array, energy: Array, mass: Array
) -> Array:
    r"""Where and when each B decays: x, y, z, ct (mm), shape (4, n), for :math:`e^{-t/\tau}` in its rest frame.

    The uniform is the event's own (`FLIGHT`), so that a part of a run has the places of the whole. τ is that of the
    model's parameters.
    """
    uniform = event_uniforms(columns["event"].astype(np.uint64), seed, channel.index, FLIGHT.first)[0]
    length = -np.log1p(-uniform) * model.parameters[f"tau_{channel.parent}"] * HBAR_C
    return np.asarray(np.concatenate([momentum, energy[None]]) / mass * length)
