"""Decays of one channel in HepMC3 files of any program, as columns of momenta."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from ...physics.channels import Channel
from ...physics.final_state import AXES, K_LONG, K_SHORT, MEDIATORS, neutral_kaon, particles, pdg_ids

SUFFIXES = (".hepmc", ".hepmc3", ".hepmc.gz", ".hepmc3.gz")
"""Ends of the names of HepMC files."""
_PHOTON = 22
Photons = Literal["refuse", "add"]
_Momentum = tuple[float, ...]


def dressed(leptons: Sequence[_Momentum], photons: Sequence[_Momentum], mass: float) -> list[_Momentum]:
    r"""Leptons before they radiated: of the q2 and momentum of leptons and photons together, on the mass shell.

    Each photon belongs to the lepton that it is nearest to; in the rest frame of all, the leptons go back to back along
    the difference of the two dressed momenta. Exact for collinear photons; q2 is exact for all.

    Args:
        leptons: (px, py, pz, E) of the two, GeV.
        photons: the same of the photons.
        mass: of a lepton.

    Example:
        >>> pair = [(0.0, 0.0, 0.9, math.hypot(0.9, 0.1)), (0.0, 0.0, -1.0, math.hypot(1.0, 0.1))]
        >>> before = dressed(pair, [(0.0, 0.0, 0.1, 0.1)], 0.1)
        >>> [round(p[2], 4) for p in before], round(sum(p[3] for p in before) - sum(p[3] for p in pair), 12)
        ([1.0003, -1.0003], 0.1)
    """
    both = [list(p) for p in leptons]
    for photon in photons:
        sizes = [math.hypot(*p[:3]) for p in leptons]
        cosines = [
            sum(x * y for x, y in zip(p[:3], photon[:3], strict=True)) / s for p, s in zip(leptons, sizes, strict=True)
        ]
        nearest = both[0] if cosines[0] > cosines[1] else both[1]
        for i, x in enumerate(photon):
            nearest[i] += x
    whole = [a + b for a, b in zip(*both, strict=True)]
    q2 = whole[3] ** 2 - sum(x * x for x in whole[:3])
    ends = [_boosted(p, [-x for x in whole[:3]], whole[3], q2) for p in both]
    along = [a - b for a, b in zip(ends[0][:3], ends[1][:3], strict=True)]
    size = math.sqrt(max(0.25 * q2 - mass**2, 0.0)) / math.hypot(*along)
    back = ([sign * size * x for x in along] + [0.5 * math.sqrt(q2)] for sign in (1.0, -1.0))
    return [tuple(_boosted(p, whole[:3], whole[3], q2)) for p in back]


def _boosted(p: Sequence[float], momentum: Sequence[float], energy: float, square: float) -> list[float]:
    """Boost to the frame in which what rests has this momentum and energy, ``square`` being its mass squared."""
    mass = math.sqrt(square)
    product = sum(x * y for x, y in zip(p[:3], momentum, strict=True))
    factor = (product / (energy + mass) + p[3]) / mass
    return [x + factor * y for x, y in zip(p[:3], momentum, strict=True)] + [(energy * p[3] + product) / mass]


class HepmcReader:
    """Every decay of a channel in a file, an event with two of them twice, none left out.

    Columns are ``k_px`` ... ``k_e`` (GeV) of the final state, ``flavour``, and ``hepmc_event``, that of the record.
    A decay is recognised by the numbers of its particles, a K0 also as K_S or K_L; a photon beside them is radiation.
    With ``photons = "add"`` leptons are as before it, see `dressed`; otherwise they are as they stand, and do not add
    up to a B.

    Raises:
        InputError: pyhepmc is missing, the file cannot be read, or no such decay is in it.
    """

    other: frozenset[str] = frozenset()
    rows = 0
    """Not known before all is read."""

    def __init__(self, path: Path, channel: Channel, photons: Photons = "refuse") -> None:
        self._add, self._mass = photons == "add", channel.lepton_mass() if channel.lepton else 0.0
        self._pyhepmc, self._path, self._channel = optional("pyhepmc", "a HepMC file"), path, channel
        self._labels = particles(channel)[1:]
        kaon = neutral_kaon(channel)
        self._kaons = {} if kaon is None else dict.fromkeys((K_SHORT, K_LONG), kaon.label)
        self._ids = {flavour: pdg_ids(channel, flavour) for flavour in (1, -1)}
        names = [f"{label}_{axis}" for label in self._labels for axis in (*AXES, "e")]
        self.schema: dict[str, np.dtype[Any]] = dict.fromkeys(names, np.dtype(np.float64))
        self.schema |= {"flavour": np.dtype(np.int32), "hepmc_event": np.dtype(np.int64)}

    def chunks(self, rows: int) -> Iterator[dict[str, Any]]:
        """Pieces of ``rows`` decays at most."""
        found: list[tuple[float, ...]] = []
        none = True
        for event in self._events():
            scale = 1.0 if event.momentum_unit == self._pyhepmc.Units.GEV else 1e-3
            for particle in event.particles:
                for flavour, ids in self._ids.items():
                    if particle.pid == ids["b"] and particle.end_vertex is not None:
                        momenta = self._momenta(particle, ids, scale)
                        if momenta:
                            none = False
                            found.append((*momenta, flavour, event.event_number))
            while len(found) >= rows:
                yield self._columns(found[:rows])
                del found[:rows]
        if found:
            yield self._columns(found)
        if none:
            raise InputError(f"file = {str(self._path)!r}: no decay {self._channel.name} is in it")

    def _events(self) -> Iterator[Any]:
        try:
            with self._pyhepmc.open(str(self._path)) as file:
                yield from file
        except (OSError, RuntimeError) as error:
            raise InputError(f"file = {str(self._path)!r}: no HepMC file that can be read ({error})") from None

    def _momenta(self, mother: Any, ids: dict[str, int], scale: float) -> tuple[float, ...]:
        """Momenta of a decay in the order of the columns; empty if it is another one."""
        wanted = {ids[label]: label for label in self._labels} | self._kaons
        found: dict[str, _Momentum] = {}
        photons: list[_Momentum] = []
        waiting = list(mother.end_vertex.particles_out)
        while waiting:
            particle = waiting.pop()
            label = wanted.get(particle.pid)
            p = particle.momentum
            vector = (scale * p.x, scale * p.y, scale * p.z, scale * p.e)
            if label is not None and label not in found:
                found[label] = vector
            elif particle.pid == _PHOTON:
                photons.append(vector)
            elif particle.pid in {*ids.values(), *MEDIATORS} and particle.end_vertex is not None:
                # the resonance, a mediator that flies, or a copy of the B
                waiting += particle.end_vertex.particles_out
            else:
                return ()
        if len(found) < len(self._labels):
            return ()
        if photons and self._add and {"lp", "lm"} <= set(found):
            found["lp"], found["lm"] = dressed([found["lp"], found["lm"]], photons, self._mass)
        return tuple(x for label in self._labels for x in found[label])

    def _columns(self, rows: list[tuple[float, ...]]) -> dict[str, Any]:
        return {
            name: np.array(column, dtype=kind)
            for (name, kind), column in zip(self.schema.items(), zip(*rows, strict=True), strict=True)
        }
