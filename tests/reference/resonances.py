"""Make ``physics/resonances.yml``: the vector resonances of B -> K(*) l l, from the PDG's database.

    pip install pdg==2026.0 pyyaml
    python tests/reference/resonances.py            # compare with the numbers that are stored
    python tests/reference/resonances.py --write    # store them

The database comes with PyPI's package ``pdg``, which darkpenguin does not need. Nothing of darkpenguin is imported.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

STORED = Path(__file__).parents[2] / "physics" / "resonances.yml"
EDITION = "2026"
HEADER = """\
# Vector resonances of B -> K(*) l l, one entry each. Made by tests/reference/resonances.py from the database of the
# Particle Data Group, edition {edition} (PyPI's pdg {version}); every number is [value, error, identifier in it].
#   mass, width  GeV
#   ee           B(V -> e+ e-)
#   decays       by transition: branching is B(B -> M V), with all decays of a K*; f_long and f_perp are the fractions
#                of longitudinal and perpendicular polarisation; phi_par and phi_perp (rad) the phases of the parallel
#                and the perpendicular amplitude against the longitudinal one, in the convention of the experiments.
# What the database has no number for is not here: B -> psi(4415) K and, of the K*, everything above the psi(2S). It
# gives the phases of rho K*0 and omega K*0 against an S wave; they are left out.
"""
# name, particle, mass, width, B(V -> e+ e-), then by transition branching, f_long, f_perp, phi_par, phi_perp
ROWS: dict[str, tuple[str, str, str, dict[str, tuple[str, ...]]]] = {
    "rho": (
        "M009M0",
        "M009W0",
        "M009.4",
        {"B+->K+": ("S041.7",), "B0->K*0": ("S042.15", "S042P8", "S042A14"), "B+->K*+": ("S041.153",)},
    ),
    "omega": (
        "M001M",
        "M001W",
        "M001.7",
        {"B+->K+": ("S041.251",), "B0->K*0": ("S042.173", "S042P12", "S042A15")},
    ),
    "phi": (
        "M004M",
        "M004W",
        "M004.5",
        {"B+->K+": ("S041.8",), "B0->K*0": ("S042.14", "S042P5", "S042Q41", "S042Q42", "S042Q43")},
    ),
    "J/psi": (
        "M070M",
        "M070W",
        "M070.1",
        {
            "B+->K+": ("S041.3",),
            "B0->K0": ("S042.23",),
            "B0->K*0": ("S042.22", "S042P1", "S042PP0", "S042PP1", "S042PP2"),
            "B+->K*+": ("S041.142", "S041GL2", "S041GP2"),
        },
    ),
    "psi(2S)": (
        "M071M",
        "M071W",
        "M071.1",
        {
            "B+->K+": ("S041.20",),
            "B0->K0": ("S042.68",),
            "B0->K*0": ("S042.69", "S042P4", "S042GP0", "S042PP3", "S042PP4"),
            "B+->K*+": ("S041.143",),
        },
    ),
    "psi(3770)": ("M053M", "M053W", "M053.1", {"B+->K+": ("S041.360",)}),
    "psi(4040)": ("M072M", "M072W", "M072.5", {"B+->K+": ("S041.647",)}),
    "psi(4160)": ("M025M", "M025W", "M025.1", {"B+->K+": ("S041.619",)}),
    "psi(4415)": ("M073M", "M073W", "M073.1", {}),
}
QUANTITIES = ("branching", "f_long", "f_perp", "phi_par", "phi_perp")
Entry = list[float | str]


UNITS = {"MeV": 1e-3, "keV": 1e-6}


def _number(api: Any, identifier: str) -> Entry:
    found = api.get(f"{identifier}/{EDITION}")
    one = found[0] if isinstance(found, (list, tuple)) else found
    summary = one.best_summary() if hasattr(one, "best_summary") else one
    error = 0.5 * (summary.error_positive + summary.error_negative)
    unit = UNITS.get(getattr(summary, "units", ""), 1.0)
    return [float(f"{summary.value * unit:.9g}"), float(f"{error * unit:.2g}"), identifier]


def make() -> dict[str, object]:
    """All rows, as they are stored."""
    import pdg  # here: the file is collected by the tests, which do without

    api = pdg.connect()
    table: dict[str, object] = {}
    for name, (mass, width, electrons, decays) in ROWS.items():
        table[name] = {
            "mass": _number(api, mass),
            "width": _number(api, width),
            "ee": _number(api, electrons),
            "decays": {
                mode: {what: _number(api, which) for what, which in zip(QUANTITIES, identifiers, strict=False)}
                for mode, identifiers in decays.items()
            },
        }
    return table


def main() -> None:
    """Compare or write."""
    table = make()
    if "--write" in sys.argv[1:]:
        text = HEADER.format(edition=EDITION, version=version("pdg"))
        for name, row in table.items():
            text += "\n" + yaml.safe_dump({name: row}, sort_keys=False, default_flow_style=None, width=200)
        STORED.write_text(text)
    elif table != yaml.safe_load(STORED.read_text()):
        sys.exit(f"{STORED} differs from the database")


if __name__ == "__main__":
    main()
