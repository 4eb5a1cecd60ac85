"""The vector resonances of B → K(*) ℓℓ: what is measured of each, what of it a theory changes, and phases by name.

A resonance is a row of ``resonances.yml``. Its phase against the local amplitude is a choice. LHCb's analysis of
B+ → K+ μμ (arXiv:1612.06764) finds four solutions, which differ in the signs of the phases of J/ψ and ψ(2S), and in all
of which the interference far from the poles is small: at ±π/2 that is so. `PHASES` has these four, LHCb's signs with a
size of π/2, and two extremes: illustrations, none of them a measurement. The broad ψ are at -π/2 in the four, where
LHCb's dB/dq² above 15 GeV² (arXiv:1403.8044) wants them whatever the narrow ones do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ..kinematics.base.checks import nearest
from ..kinematics.base.errors import InputError
from ..kinematics.base.files import parse_yaml
from .fields import Fraction, Frozen, FrozenTable, Number, Positive

Nonlocal = Literal["flavio", "resonances", "dispersive"]
"""What charm does to the amplitude."""

OFF = frozenset({"psi(4040)", "psi(4415)"})
"""Resonances that are left out unless switched on.

Of B → ψ(4415) K no branching fraction is known. That of B+ → ψ(4040) K+ in the PDG's database exceeds that of J/ψ K+;
four times ψ(4160) in K+ μμ, it is not believed here.
"""
_QUARTER = 0.5 * math.pi
LIGHT = ("rho", "omega", "phi")
"""Mesons of light quarks, which a dispersion relation of the charm loop has no part in."""


def _charm(j_psi: float, psi_2s: float, broad: float) -> Mapping[str, float]:
    above = dict.fromkeys(("psi(3770)", "psi(4040)", "psi(4160)", "psi(4415)"), broad)
    return MappingProxyType({**dict.fromkeys(LIGHT, 0.0), "J/psi": j_psi, "psi(2S)": psi_2s, **above})


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
        errors: of these numbers; of B(V → e+ e-) that of the transition ``ee``.
    """

    name: str
    mass: float
    width: float
    electrons: float
    decays: Mapping[str, Mapping[str, float]]
    errors: Mapping[str, Mapping[str, float]]


@cache
def resonance_rows() -> Mapping[str, Row]:
    """All rows by name, in the order of their masses.

    >>> list(resonance_rows())[:4], resonance_rows()["J/psi"].mass
    (['rho', 'omega', 'phi', 'J/psi'], 3.09690035)
    """
    text = files(__package__).joinpath("resonances.yml").read_text(encoding="utf-8")
    rows = {}
    for name, entry in parse_yaml(text).items():
        decays, errors = (
            {mode: {key: value[i] for key, value in known.items()} for mode, known in entry["decays"].items()}
            for i in (0, 1)
        )
        errors["ee"] = {"ee": entry["ee"][1]}
        rows[name] = Row(name, entry["mass"][0], entry["width"][0], entry["ee"][0], decays, errors)
    return MappingProxyType(rows)


def transitions() -> list[str]:
    """Transitions of which any branching fraction is known.

    >>> transitions()
    ['B+->K+', 'B0->K*0', 'B+->K*+', 'B0->K0']
    """
    return list(dict.fromkeys(mode for row in resonance_rows().values() for mode in row.decays))


def _by_transition(value: FrozenTable[float]) -> FrozenTable[float]:
    for mode in value:
        if mode not in transitions():
            raise InputError(f"{mode}: no such transition; {nearest(mode, transitions())}")
    return value


def _preset(value: str) -> str:
    if value not in PHASES:
        raise ValueError(f"no such set of phases; {nearest(value, PHASES)}")
    return value


Preset = Annotated[str, AfterValidator(_preset)]
"""Name of an entry of `PHASES`."""


class Changes(Frozen):
    """What a theory changes about one resonance; None leaves the table's value, or the phase of the preset.

    >>> Changes(phase=0.5).phase
    0.5
    """

    on: bool | None = None
    mass: Positive | None = None
    """In GeV; the width too."""
    width: Annotated[Positive, Field(le=1.0)] | None = None
    phase: Number | None = None
    """Against the local amplitude (rad): of K, and of the longitudinal K*."""
    phase_0: Number | None = None
    """Of the longitudinal K* alone, where it is another than that of K (rad)."""
    phase_par: Number | None = None
    """Of the parallel amplitude of the K* against the longitudinal one, both relative to the local amplitudes (rad)."""
    phase_perp: Number | None = None
    """The same of the perpendicular amplitude."""
    branching: Annotated[FrozenTable[Fraction], AfterValidator(_by_transition)] = FrozenTable()
    """B(B → M V) by transition, such as ``B0->K*0``, with all decays of a K*."""
    ee: Fraction | None = None
    """B(V → e+ e-)."""
    f_long: Annotated[FrozenTable[Fraction], AfterValidator(_by_transition)] = FrozenTable()
    """Longitudinal fraction of a K* by transition; ``f_perp`` is the perpendicular one."""
    f_perp: Annotated[FrozenTable[Fraction], AfterValidator(_by_transition)] = FrozenTable()

    def is_on(self, name: str) -> bool:
        """Whether the resonance of a name is there.

        >>> Changes().is_on("J/psi"), Changes().is_on("psi(4040)")
        (True, False)
        """
        return name not in OFF if self.on is None else self.on


def resonance_lines(choice: str, changes: Mapping[str, Changes]) -> dict[str, tuple[float, float]]:
    """Mass and width (GeV) of the resonances that are on, by name.

    >>> resonance_lines("dispersive", {"J/psi": Changes(width=0.001)})["J/psi"]
    (3.09690035, 0.001)
    """
    if choice == "flavio":
        return {}
    found = {}
    for row in resonance_rows().values():
        own = changes.get(row.name, Changes())
        if own.is_on(row.name):
            found[row.name] = own.mass or row.mass, own.width or row.width
    return found


def check_resonances(choice: str, changes: Mapping[str, Changes], told: Collection[str]) -> None:
    """InputError for settings of resonances that are not there; ``told`` are the fields that differ from the default.

    >>> check_resonances("resonances", {"J/psi": Changes(phase=1.0)}, {"nonlocal", "resonances"})
    """
    if choice == "flavio":
        for field in ("phases", "subtraction", "resonances"):
            if field in told:
                way = "has no resonances; take 'resonances' or 'dispersive'"
                raise InputError(f"theory.{field}: nonlocal = 'flavio' {way}")
    if choice != "dispersive" and "subtraction" in told:
        raise InputError(f"theory.subtraction: nonlocal = {choice!r} subtracts nothing; take 'dispersive'")
    for name, one in changes.items():
        place = f"theory.resonances.{name}"
        if name not in resonance_rows():
            raise InputError(f"{place}: no such resonance; {nearest(name, resonance_rows())}")
        told = [field for field, value in one if field != "on" and value not in (None, {})]
        if not one.is_on(name) and told:
            raise InputError(f"{place}.{told[0]}: {name} is off; add on = true, or leave {told[0]} out")
        if one.is_on(name) and not (one.branching or resonance_rows()[name].decays):
            example = "{'B+->K+' = 3e-4}"
            raise InputError(f"{place}: no branching fraction of it is known; give branching, such as {example}")


def measured_changes(
    choice: str, changes: Mapping[str, Changes], modes: Collection[str]
) -> list[tuple[dict[str, Any], dict[str, Any], float]]:
    """What a theory's measured numbers may be instead: settings of resonances one error up and down, and by how many.

    Of the branching fractions, polarisations and relative phases of the transitions ``modes``, which are taken as
    uncorrelated; not of what is set by hand, nor of masses, widths and the phase against the local amplitude. Numbers
    stay in their range, so up and down may be less than two errors apart.

    >>> up, down, errors = measured_changes("resonances", {}, ["B+->K+"])[1]
    >>> list(up["rho"]["branching"]), round(errors, 9)
    (['B+->K+'], 2.0)
    """
    found = []
    for name in resonance_lines(choice, changes):
        row, own = resonance_rows()[name], changes.get(name, Changes())
        known = {"ee": {"ee": row.electrons}, **row.decays}
        for mode, key in [(one, key) for one in ("ee", *modes) for key in known.get(one, {})]:
            value, error, field = known[mode][key], row.errors[mode][key], key.replace("phi_", "phase_")
            hand = getattr(own, field)
            table = isinstance(hand, Mapping)
            if (mode in hand) if table else hand is not None:
                continue
            if field == key:
                ends = min(value + error, 1.0), max(value - error, 0.0)
            else:  # the phases of naive factorisation are π in the experiments' convention
                ends = value + math.pi + error, value + math.pi - error
            up, down = ({name: {field: {mode: end} if table else end}} for end in ends)
            found.append((up, down, (ends[0] - ends[1]) / error))
    return found
