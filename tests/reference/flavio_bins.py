"""Make ``flavio_bins.json``: binned observables of the Standard Model and their errors, by flavio alone.

    python tests/reference/flavio_bins.py           # compare with the numbers that are stored
    python tests/reference/flavio_bins.py --write    # store them

flavio integrates each bin to 1e-6. Its errors are the spread of 200 random draws of its parameters, hence known to
5 %. Nothing of darkpenguin is imported.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import flavio
import numpy as np

STORED = Path(__file__).with_suffix(".json")
VALUES = (  # observable of ours, channel of ours, flavio's name, bin in GeV^2
    ("R_K+", "B+->K+mumu", "<Rmue>(B+->Kll)", 1.0, 6.0),
    ("R_K*0", "B0->K*0mumu", "<Rmue>(B0->K*ll)", 0.045, 1.1),
    ("R_K*0", "B0->K*0mumu", "<Rmue>(B0->K*ll)", 1.1, 6.0),
    ("P5p", "B0->K*0mumu", "<P5p>(B0->K*mumu)", 1.1, 2.5),
    ("P5p", "B0->K*0mumu", "<P5p>(B0->K*mumu)", 4.0, 6.0),
    ("FL", "B0->K*0mumu", "<FL>(B0->K*mumu)", 2.5, 4.0),
    ("AFB", "B0->K*0mumu", "<AFB>(B0->K*mumu)", 2.5, 4.0),
    ("S4", "B0->K*0mumu", "<S4>(B0->K*mumu)", 2.5, 4.0),
    ("S7", "B0->K*0mumu", "<S7>(B0->K*mumu)", 2.5, 4.0),
    ("P1", "B0->K*0mumu", "<P1>(B0->K*mumu)", 2.5, 4.0),
    ("P2", "B0->K*0mumu", "<P2>(B0->K*mumu)", 2.5, 4.0),
    ("P3", "B0->K*0mumu", "<P3>(B0->K*mumu)", 2.5, 4.0),
    ("P8p", "B0->K*0mumu", "<P8p>(B0->K*mumu)", 2.5, 4.0),
)
ERRORS = (
    ("P5p", "B0->K*0mumu", "<P5p>(B0->K*mumu)", 1.1, 2.5),
    ("P5p", "B0->K*0mumu", "<P5p>(B0->K*mumu)", 2.5, 4.0),
    ("P5p", "B0->K*0mumu", "<P5p>(B0->K*mumu)", 4.0, 6.0),
)
DRAWS, SEED = 200, 3


def _row(entry: tuple[str, str, str, float, float], value: float) -> dict[str, object]:
    name, channel, flavios, low, high = entry
    return {"observable": name, "channel": channel, "flavio": flavios, "bin": [low, high], "value": float(value)}


def make() -> dict[str, object]:
    """All numbers, as they are stored."""
    values = [_row(entry, flavio.sm_prediction(*entry[2:])) for entry in VALUES]
    errors = []
    for entry in ERRORS:
        np.random.seed(SEED)  # noqa: NPY002   # flavio draws from NumPy's global generator
        errors.append(_row(entry, flavio.sm_uncertainty(*entry[2:], N=DRAWS)))
    made_by = f"{Path(__file__).name} with flavio {version('flavio')}, {DRAWS} draws from seed {SEED}"
    return {"made_by": made_by, "values": values, "errors": errors}


def main() -> None:
    """Compare or store."""
    found = make()
    if "--write" in sys.argv[1:]:
        STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    for group in ("values", "errors"):
        for new, old in zip(found[group], stored[group], strict=True):  # type: ignore[call-overload]
            print(f"{new['flavio']} {new['bin']}: {new['value']:.10g}, stored {old['value']:.10g}")


if __name__ == "__main__":
    main()
