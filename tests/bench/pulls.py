"""Pulls and coverage of unbinned fits of toys: mass, Γ/m and g_bs of V and C9 of muons float in 20,000 events each.

    python tests/bench/pulls.py 1000 FOLDER [THREADS]

Toys are kept in FOLDER/fit.parquet twenty at a time: an interruption loses no more, and running it again goes on. One
takes about half a second of a core. Its picture is FOLDER/fit-pulls.png, and its table is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

V = "light_vectors.0."
FIT: dict[str, Any] = {
    "model": "fig2",
    "search": False,  # from the truth: whether another minimum is lower is another question
    "float": {
        f"{V}mass": (1.1, 2.8),
        f"{V}relative_width": (0.01, 1.0),
        f"{V}g_bs": (-6e-8, 6e-8),
        "heavy.C9_mu": (-3.0, 3.0),
    },
}
CARD: dict[str, Any] = {
    "truth": "fig2",
    "hypotheses": ["sm"],
    "observables": ["dBR_K*0"],
    "bins": [1.1, 8.0],
    "fit": {},
    "theory": False,
    "depth": "events",
    "luminosity": 54.0,  # 20,000 events of signal
    "unbinned": FIT,
    "seed": 17,
}


def main() -> None:
    """Make the toys, print mean, width and coverage of each pull, and draw them."""
    import darkpenguin as dp
    from darkpenguin.generator.figures.toys import draw_pulls, pull_rows, pull_table

    toys, folder, threads = int(float(sys.argv[1])), Path(sys.argv[2]), int((*sys.argv[3:], "1")[0])
    made = dp.toys(CARD, folder / "fit.parquet", toys=toys, threads=threads)
    for row in pull_table(pull_rows(made.card, made.columns)):
        print("  ".join(f"{cell:>22s}" for cell in row))
    draw_pulls(made.card, made.columns).savefig(folder / "fit-pulls.png", dpi=60)


if __name__ == "__main__":
    main()
