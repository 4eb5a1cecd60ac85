"""The vector resonances of B → K(*) ℓℓ: what is measured of each, what of it a theory changes, and phases by name.

A resonance is a row of ``resonances.yml``. What no experiment has measured is the phase of each against the local
amplitude. LHCb's analysis of B+ → K+ μμ (arXiv:1612.06764) finds four solutions, which differ in the signs of the
phases of J/ψ and ψ(2S) and in which the interference far from the poles is small: at ±π/2 that is so. `PHASES` has
these four, LHCb's signs with a size of π/2, and two extremes: illustrations, none of them a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated

import yaml
from pydantic import Field

from .fields import Frozen, Number, Positive

OFF = frozenset({"psi(4040)", "psi(4415)"})
"""Resonances that are left out unless switched on.

Of B → ψ(4415) K no branching fraction is known. That of B+ → ψ(4040) K+ in the PDG's database exceeds that of J/ψ K+;
four times ψ(4160) in K+ μμ, it is not believed here.
"""
_QUARTER = 0.5 * math.pi
_LIGHT = {"rho": 0.0, "omega": 0.0, "phi": 0.0}


def _charm(j_psi: float, psi_2s: float, broad: float) -> Mapping[str, float]:
    above = dict.fromkeys(("psi(3770)", "psi(4040)", "psi(4160)", "psi(4415)"), broad)
    return MappingProxyType({**_LIGHT, "J/psi": j_psi, "psi(2S)": psi_2s, **above})


PHASES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "both-negative": _charm(-_QUARTER, -_QUARTER, -_QUARTER),
        "jpsi-positive": _charm(+_QUARTER, -_QUARTER, -_QUARTER),
        "psi2s-positive": _charm(-_QUARTER, +_QUARTER, -_QUARTER),
        "both-positive": _charm(+_QUARTER, +_QUARTER, -_QUARTER),
        "factorisation": _charm(0.0, 0.0, 0.0),
        "opposite": _charm(math.pi, math.pi, math.pi),
    }
)
"""Phase (rad) of every resonance against the local amplitude: of K, and of the longitudinal K*; all illustrative."""


@dataclass(frozen=True)
class Row:
    """What is measured of a resonance.

    Attributes:
        name: as in the PDG's tables.
        mass: in GeV; ``width`` too.
        electrons: B(V → e+ e-).
        decays: by transition (``B0->K*0``) the numbers ``branching``, ``f_long``, ``f_perp``, ``phi_par`` and
            ``phi_perp`` that are known, see ``resonances.yml``.
    """

    name: str
    mass: float
    width: float
    electrons: float
    decays: Mapping[str, Mapping[str, float]]


@cache
def resonance_rows() -> Mapping[str, Row]:
    """All rows by name, in the order of their masses.

    >>> list(resonance_rows())[:4], resonance_rows()["J/psi"].mass
    (['rho', 'omega', 'phi', 'J/psi'], 3.09690035)
    """
    text = files(__package__).joinpath("resonances.yml").read_text(encoding="utf-8")
    rows = {}
    for name, entry in yaml.safe_load(text).items():
        decays = {mode: {key: value[0] for key, value in known.items()} for mode, known in entry["decays"].items()}
        rows[name] = Row(name, entry["mass"][0], entry["width"][0], entry["ee"][0], decays)
    return MappingProxyType(rows)


class Changes(Frozen):
    """What a theory changes about one resonance; None leaves the table's value, or the phase of the preset.

    >>> Changes(phase=0.5).phase
    0.5
    """

    on: bool | None = None
    mass: Positive | None = None
    """In GeV; the width too."""
    width: Positive | None = None
    phase: Number | None = None
    """Against the local amplitude (rad): of K, and of the longitudinal K*."""
    phase_par: Number | None = None
    """Of the parallel amplitude of the K* against the longitudinal one, both relative to the local amplitudes (rad)."""
    phase_perp: Number | None = None
    """The same of the perpendicular amplitude."""
    branching: Annotated[Number, Field(ge=0)] | None = None
    """B(B → M V), with all decays of a K*, in every channel that a run has."""
