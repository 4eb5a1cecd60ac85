"""Decays of one channel in HepMC3 files of any program, as columns of momenta."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from ...physics.channels import Channel
from ...physics.final_state import AXES, particles, pdg_ids

SUFFIXES = (".hepmc", ".hepmc3", ".hepmc.gz", ".hepmc3.gz")
"""Ends of the names of HepMC files."""
_PHOTON = 22


class HepmcReader:
    """Every decay of a channel in a file, an event with two of them twice, none left out.

    Columns are ``k_px`` ... ``k_e`` (GeV) of the final state, ``flavour``, and ``hepmc_event``, that of the record.
    A decay is recognised by the numbers of its particles; a photon beside them is radiation: what has it is not a decay
    of the channel before radiation, and its momenta do not add up to a B.

    Raises:
        InputError: pyhepmc is missing, the file cannot be read, or no such decay is in it.
    """

    other: frozenset[str] = frozenset()
    rows = 0
    """Not known before all is read."""

    def __init__(self, path: Path, channel: Channel) -> None:
        self._pyhepmc, self._path, self._channel = optional("pyhepmc", "a HepMC file"), path, channel
        self._labels = particles(channel)[1:]
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
        wanted = {ids[label]: label for label in self._labels}
        found: dict[str, tuple[float, ...]] = {}
        waiting = list(mother.end_vertex.particles_out)
        while waiting:
            particle = waiting.pop()
            label = wanted.get(particle.pid)
            if label is not None and label not in found:
                p = particle.momentum
                found[label] = (scale * p.x, scale * p.y, scale * p.z, scale * p.e)
            elif particle.pid in ids.values() and particle.end_vertex is not None:  # the resonance, or a copy of the B
                waiting += particle.end_vertex.particles_out
            elif particle.pid != _PHOTON:
                return ()
        if len(found) < len(self._labels):
            return ()
        return tuple(x for label in self._labels for x in found[label])

    def _columns(self, rows: list[tuple[float, ...]]) -> dict[str, Any]:
        return {
            name: np.array(column, dtype=kind)
            for (name, kind), column in zip(self.schema.items(), zip(*rows, strict=True), strict=True)
        }
