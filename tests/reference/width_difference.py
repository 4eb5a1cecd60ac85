"""Make ``width_difference.json``: B_s -> phi l l with and without the width difference of the B_s, by flavio alone.

    python tests/reference/width_difference.py            # the table
    python tests/reference/width_difference.py --write    # store the numbers

flavio averages over the time of the decay (eqs. (42) and (48) of arXiv:1502.05509) with y = DeltaGamma/Gamma/2, which
is set to zero in the second column: what darkpenguin generates and predicts. Nothing of darkpenguin is imported.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import flavio

STORED = Path(__file__).with_suffix(".json")
BINS = ((1.1, 6.0), (15.0, 18.9))  # LHCb's, arXiv:2107.13428
VALUES = (  # observable of ours, flavio's name
    ("dBR", "<dBR/dq2>(Bs->phimumu)"),
    ("FL", "<FL>(Bs->phimumu)"),
    ("S3", "<S3>(Bs->phimumu)"),
    ("S4", "<S4>(Bs->phimumu)"),
    ("S7", "<S7>(Bs->phimumu)"),
    ("R_phi", "<Rmue>(Bs->phill)"),
)


def make() -> dict[str, object]:
    """All numbers, as they are stored."""
    par = flavio.default_parameters.get_central_all()
    standard, rows = flavio.WilsonCoefficients(), []
    for low, high in BINS:
        for name, flavios in VALUES:
            both = [
                float(flavio.Observable[flavios].prediction_par({**par, "DeltaGamma/Gamma_Bs": x}, standard, low, high))
                for x in (par["DeltaGamma/Gamma_Bs"], 0.0)
            ]
            rows.append({"observable": name, "flavio": flavios, "bin": [low, high], "with": both[0], "value": both[1]})
    made_by = f"{Path(__file__).name} with flavio {version('flavio')}, 2y = {par['DeltaGamma/Gamma_Bs']:g}"
    return {"made_by": made_by, "values": rows}


def main() -> None:
    """Print, or store."""
    warnings.filterwarnings("ignore", module="flavio")
    found = make()
    if "--write" in sys.argv[1:]:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{found['made_by']}\n{'':24s} {'q2 (GeV^2)':>12s} {'with y':>12s} {'y = 0':>12s} {'difference':>12s}")
    for row in found["values"]:  # type: ignore[attr-defined]
        low, high = row["bin"]
        change = row["with"] - row["value"]
        text = f"{100 * change / row['value']:+.1f} %" if row["observable"] == "dBR" else f"{change:+.4f}"
        print(f"{row['flavio']:24s} {low:>5g} - {high:<4g} {row['with']:12.4g} {row['value']:12.4g} {text:>12s}")


if __name__ == "__main__":
    main()
