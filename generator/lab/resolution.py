r"""What a detector makes of momenta: tracks with a resolution, electrons that radiate, the q2 of a missing pair.

**Tracks.** The curvature is Gaussian: p' = p / (1 + σ g), with

.. math:: \sigma^2 = (a/\beta)^2 + (b\,x)^2,\qquad x = p \text{ or } p_T .

**Electrons** lose energy in the material in front of the magnet, t radiation lengths: the fraction z that is left has
the density of Bethe and Heitler (Proc. R. Soc. A 146 (1934) 83), a Gamma distribution of -ln z,

.. math:: f(z) = \frac{(-\ln z)^{t/\ln 2 - 1}}{\Gamma(t/\ln 2)} .

The track has z p; the photon, (1 - z) p, is found and added with probability ``recovery`` if its energy (transverse
energy) is above ``threshold``, with a resolution of :math:`s/\sqrt{E} \oplus c`. What is lost makes the tail of the B
mass below its peak, photons wrongly added to it are not modelled. Directions are kept. A photon that an electron of the
decay has radiated (`radiation`) is found and added in the same way; those of muons are lost.

**A pair that is not seen** leaves q2 to be computed from the K(*) and what is known of the B in the centre of mass of
the Υ(4S): nothing but its energy (``inclusive``; arXiv:2311.14647),

.. math:: q^2_\mathrm{rec} = \frac s4 + M^2 - \sqrt s\,E^*_K ,

or its momentum too (``tagged``), when only the resolution of the K(*) is left. E*_K is that of the reconstructed
momentum in the laboratory; without a beam, behind that of Belle II.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.arrays import Array, array_module, on_gpu
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ..sampler.calls import RECOVERY, RESOLUTION
from ..sampler.columns import Column
from .columns import momentum_rows
from .settings import RESOLUTIONS, ResolutionSettings
from .stages import Option, Place, Request, Stage

if TYPE_CHECKING:
    from ...kinematics.beams import UpsilonBeam

RECONSTRUCTED = (
    Column("q2_reco", "GeV^2", "q2 of the reconstructed momenta"),
    Column("m_b_reco", "GeV", "mass of the reconstructed B", has=lambda channel: channel.seen),
    Column(
        "m_kpi_reco",
        "GeV",
        "mass of the reconstructed K pi system",
        has=lambda channel: bool(channel.transition.daughters),
    ),
)
"""Columns that are reconstructed, whatever else is asked for."""
_PIECE = 1 << 14  # events at a time: their momenta stay in the cache
_DEVICE_PIECE = 1 << 20  # on a GPU, where a piece is a few launches


def reconstructed_momenta(channel: Channel) -> tuple[str, ...]:
    """Names of the columns of the reconstructed momenta.

    >>> from darkpenguin.physics.channels import get_channel
    >>> reconstructed_momenta(get_channel("B+->K+mumu"))[:2]
    ('k_reco_px', 'k_reco_py')
    """
    return tuple(f"{particle.label}_reco_{axis}" for particle in channel.visible for axis in ("px", "py", "pz"))


@dataclass(frozen=True, eq=False)
class ResolutionStage(Stage):
    """The stage that reconstructs the events of a run."""

    key = "resolution"
    reads = ResolutionSettings
    options = (
        Option(
            "--resolution",
            "Reconstruct as lhcb, lhcb-run3, lhcb-upgrade2 or belle2 would: columns q2_reco, m_b_reco ...",
        ),
    )
    columns = (*RECONSTRUCTED, *momentum_rows(reconstructed_momenta))
    calls = (RESOLUTION, RECOVERY)
    settings: ResolutionSettings
    beam: str | Mapping[str, Any] | None = None

    @classmethod
    def prepared(cls, settings: ResolutionSettings, request: Request) -> ResolutionStage:
        """Stage of a run, behind its beam."""
        return cls(settings, request.beam)

    def describe(self) -> Mapping[str, Any]:
        """The resolutions, and where a preset's are from."""
        preset = self.settings.preset
        source = {} if preset is None else {"source": RESOLUTIONS[preset].source}
        return {self.key: self.settings.model_dump(mode="json") | source}

    def makes(self, channel: Channel) -> tuple[Column, ...]:
        """Reconstructed columns of a channel, momenta if they are asked for."""
        found = tuple(column for column in RECONSTRUCTED if column.has(channel))
        return (*found, *momentum_rows(reconstructed_momenta, (channel,))) if self.settings.momenta else found

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if momenta are needed that are not there, or an unseen pair does not come from the Υ(4S)."""
        from ...physics.final_state import momentum_columns

        if channel.seen and momentum_columns(channel)[0] not in columns:
            raise InputError("resolution: needs momenta in the laboratory; name a beam")
        if not channel.seen:
            self._upsilon(channel)

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Add what is reconstructed of the events of a chunk."""
        from ...kinematics.base.threads import split_work
        from ...physics.final_state import momentum_columns, photon_columns

        n, precision, xp = len(columns["q2"]), columns["q2"].dtype, array_module(columns["q2"])
        momenta = *momentum_columns(place.channel), *photon_columns(place.channel)
        names = {"q2", *place.channel.angles, "m_kpi", "flavour", "event", *momenta}
        read = {name: column for name, column in columns.items() if name in names}
        new = {column.name: xp.empty(n, dtype=precision) for column in self.makes(place.channel)}
        piece = _PIECE if xp is np else _DEVICE_PIECE

        def work(low: int, high: int) -> None:
            for first in range(low, high, piece):
                part = slice(first, min(first + piece, high))
                found = self._reconstruct({name: column[part] for name, column in read.items()}, place)
                for name in found.keys() & new.keys():
                    new[name][part] = found[name]

        split_work(work, n, place.threads if n > piece and xp is np else 1)
        return {**columns, **new}

    def _reconstruct(self, rows: Mapping[str, Any], place: Place) -> dict[str, Array]:
        from ...physics.final_state import masses, momentum_columns, photon_columns
        from .momenta import momenta
        from .smearing import NO_PHOTONS, Smearing, missing_q2, smear

        if on_gpu(rows["event"]):
            from .smearing_gpu import smear
        channel, numbers = place.channel, rows["event"].astype(np.uint64) - np.uint64(place.first)
        visible, beam = channel.seen, self.beam or "belle2"
        if momentum_columns(channel)[0] not in rows:
            rows = momenta(
                channel, rows, beam=beam, seed=place.seed, start=int(numbers[0]), threads=1, model=place.model
            )
        known = masses(channel, place.model)
        xp = array_module(numbers)
        true = xp.stack([rows[name] for name in momentum_columns(channel)]).astype(np.float64, copy=False)
        rays = [rows[name] for name in photon_columns(channel) if name in rows]
        photons = xp.stack(rays).astype(np.float64, copy=False) if rays else NO_PHOTONS
        found, mass = smear(
            true[3:],
            np.array(list(known.values())[1:]),
            Smearing.of(self.settings, channel.lepton),
            place.seed,
            channel.index,
            numbers,
            photons,
        )
        named = {
            f"{particle.label}_reco_{axis}": found[3 * i + j]
            for i, particle in enumerate(channel.visible)
            for j, axis in enumerate(("px", "py", "pz"))
        }
        q2 = (
            mass[0]
            if visible
            else missing_q2(
                found[:-6].reshape(-1, 3, found.shape[1]).sum(axis=0),
                mass[2],
                true[:3],
                known["b"],
                self.settings.missing,
                self._upsilon(channel),
            )
        )
        return named | {"q2_reco": q2, "m_b_reco": mass[1], "m_kpi_reco": mass[2]}

    def _upsilon(self, channel: Channel) -> UpsilonBeam:
        from ...kinematics.beams import UpsilonBeam
        from .beams import beam_of

        beam = beam_of(self.beam or "belle2")
        if not isinstance(beam, UpsilonBeam):
            raise InputError(
                f"resolution: {channel.name} has a pair that is not seen; its q2 is reconstructed at the "
                f"Upsilon(4S), and beam = {self.beam!r}; take beam = belle2"
            )
        return beam
