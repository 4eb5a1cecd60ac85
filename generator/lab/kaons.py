r"""What becomes of a K⁰: a K_S, which may go to π⁺π⁻, or a K_L, with the place where it decays.

A K⁰ (K̄⁰) is a K_S in half of all cases and a K_L in the other half; CP violation in kaons, 1.6e-3 at most, is left out.
With numbers of the PDG (edition 2026, its database: PyPI's pdg 2026.0, S012 and S013), a K_S goes to π⁺π⁻ with

.. math:: B(K_S\to\pi^+\pi^-) = 0.69195,\qquad c\tau_S = 26.844\ \mathrm{mm},\qquad c\tau_L = 15.337\ \mathrm{m},

back to back and isotropically in its own frame, and otherwise (to π⁰π⁰), like a K_L, stays as it is. The proper decay
length is exponential, so the place of the decay is that of the B plus `k_ctau` times the momentum over the mass. Events
keep their number and weight: what a detector sees of them is a cut, such as ``kaon == 310 and pt(pip) > 0.25``; where
there are no pions, their momenta are not a number, which passes no cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ...physics.final_state import AXES, K_LONG, K_SHORT, mass_of, momentum_columns, neutral_kaon
from ...physics.modes import PI_MINUS
from ..sampler.calls import KAONS
from ..sampler.columns import Column
from .settings import KaonSettings
from .stages import Option, Place, Request, Stage

if TYPE_CHECKING:
    from ...physics.models import Model

PI_PI = 0.69195
"""B(K_S → π⁺π⁻), PDG 2026: S012.1."""
C_TAU: Mapping[int, float] = {K_SHORT: 26.844, K_LONG: 15336.6}
"""Mean proper decay length (mm): c times 0.089543 ns and 51.157 ns, PDG 2026."""
PIONS = ("pip", "pim")
"""Labels of the pions of a K_S."""


def _has(channel: Channel) -> bool:
    return neutral_kaon(channel) is not None


def pion_masses(channel: Channel, model: Model | None = None) -> dict[str, float]:
    """Masses (GeV) of the pions of a K_S by label; none where there is no neutral kaon.

    >>> from darkpenguin.physics.channels import get_channel
    >>> sorted(pion_masses(get_channel("B0->K0mumu"))), pion_masses(get_channel("B+->K+mumu"))
    (['pim', 'pip'], {})
    """
    mass = mass_of(PI_MINUS, None if model is None else model.parameters)
    return dict.fromkeys(PIONS, mass) if _has(channel) else {}


@dataclass(frozen=True, eq=False)
class KaonStage(Stage):
    """The stage that decides between K_S and K_L, and lets a K_S decay; float64 inside, on the CPU or a GPU."""

    key = "kaons"
    reads = KaonSettings
    options = (Option("--kaons", "Make neutral kaons K_S (-> pi+ pi-) and K_L: mixed, half of each."),)
    columns = (
        Column("kaon", "1", "310: the K0 is a K_S, 130: a K_L, 0: there is none", "int32"),
        Column("k_ctau", "mm", "proper decay length of the K_S or K_L", has=_has),
        *(
            Column(f"{pion}_{axis}", "GeV", f"momentum of {pion}, of K_S -> pi+ pi-, along {axis[1]}", has=_has)
            for pion in PIONS
            for axis in AXES
        ),
    )
    calls = (KAONS,)
    settings: KaonSettings

    @classmethod
    def prepared(cls, settings: Any, request: Request) -> KaonStage:
        """Stage of a run; InputError if no channel of it has a neutral kaon."""
        channels = request.registry()
        if not any(map(_has, channels)):
            raise InputError(
                f"kaons = {settings.kinds!r}: no neutral kaon in {', '.join(channel.name for channel in channels)}; "
                "take a channel such as B0->K0mumu or B+->K*+mumu, or leave it out"
            )
        return cls(settings)

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if there are no momenta."""
        if momentum_columns(channel)[0] not in columns:
            raise InputError("kaons: needs momenta in the laboratory; name a beam, such as --beam rest")

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Add what became of the K⁰ of each event of a chunk."""
        events, xp = columns["event"], array_module(columns["q2"])
        kaon = neutral_kaon(place.channel)
        if kaon is None:
            return {**columns, "kaon": xp.zeros(len(events), dtype=np.int32)}
        kind, length, cosine, turn = (place.uniforms(events, KAONS.first + i) for i in range(KAONS.count))
        short = kind < 0.5
        # what is left of the number says how a K_S decays
        decays = kind < 0.5 * PI_PI
        found = {
            "kaon": xp.where(short, K_SHORT, K_LONG).astype(np.int32),
            "k_ctau": -xp.log(length) * xp.where(short, C_TAU[K_SHORT], C_TAU[K_LONG]),
        }
        known = None if place.model is None else place.model.parameters
        p = [columns[f"{kaon.label}_{axis}"].astype(np.float64) for axis in AXES]
        pions = two_pions(p, mass_of(kaon, known), mass_of(PI_MINUS, known), 2.0 * cosine - 1.0, 2.0 * np.pi * turn)
        for pion, momentum in zip(PIONS, pions, strict=True):
            for axis, value in zip(AXES, momentum, strict=True):
                found[f"{pion}_{axis}"] = xp.where(decays, value, np.nan)
        floats = columns["q2"].dtype
        return {
            **columns,
            **{name: value if name == "kaon" else value.astype(floats) for name, value in found.items()},
        }


def two_pions(p: Any, mass: float, m_pi: float, cosine: Any, azimuth: Any) -> tuple[list[Any], list[Any]]:
    """Momenta of π⁺ and π⁻ of a kaon of momentum ``p`` (three arrays, GeV) that decays at these angles of its frame.

    >>> plus, minus = two_pions([np.array([0.0]), np.array([0.0]), np.array([3.0])], 0.5, 0.14, 0.2, 1.0)
    >>> [round(float(a[0] + b[0]), 12) + 0.0 for a, b in zip(plus, minus)]
    [0.0, 0.0, 3.0]
    """
    xp = array_module(p[0])
    size, energy = np.sqrt(0.25 * mass**2 - m_pi**2), 0.5 * mass
    sine = ((1.0 - cosine) * (1.0 + cosine)) ** 0.5
    azimuth = xp.asarray(azimuth)
    star = [size * sine * xp.cos(azimuth), size * sine * xp.sin(azimuth), size * cosine]
    e = xp.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2 + mass**2)
    factor = (star[0] * p[0] + star[1] * p[1] + star[2] * p[2]) / (mass * (e + mass))
    plus = [s + (factor + energy / mass) * q for s, q in zip(star, p, strict=True)]
    return plus, [q - a for q, a in zip(p, plus, strict=True)]
