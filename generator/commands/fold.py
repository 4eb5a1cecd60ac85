"""The command ``darkpenguin fold``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from .console import print_json, show_table, waiting
from .drawing import OverwriteOption
from .options import MODEL, SET, THEORY, JsonOption, takes


@takes(MODEL, SET, *THEORY)
def fold_command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Events of all q2 behind a detector; or a JSON file of two histograms."),
    ],
    b_mesons: Annotated[
        str, typer.Option("--b-mesons", metavar="N", help="Take N B mesons of each charge, half of them conjugates.")
    ] = "1e9",
    bins: Annotated[
        str,
        typer.Option("--bins", metavar="NAME|EDGES", help="Take these bins of q2_reco, of events: lhcb ..., or edges."),
    ] = "lhcb",
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="X.json", help="Write a workspace for pyhf: signal, without background."
        ),
    ] = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Predict what a detector finds of a model.

    Its response, the efficiency and migration by true q2, is that of the events in a file of ours, q2_reco and failed
    ones in it; or of histograms of your own: a table of channel, true (n + 1 edges of q2), generated (n numbers), found
    (n lists of m) and, if known, reconstructed (m + 1 edges), or a list of such tables. Muons and electrons make R.
    """
    from ...kinematics.base.checks import parse_number
    from ...kinematics.base.files import check_target, write_text
    from ..analysis.folding import fold

    target = None if output is None else check_target(output, overwrite=overwrite)
    events: Any = files[0] if len(files) == 1 else files
    size = parse_number(b_mesons, "b_mesons")
    with waiting("folding"):
        found = fold(events, keys["model"] or "sm", size, bins, set=keys["set"] or (), theory=keys["theory"])
    if target is not None:
        write_text(target, json.dumps(found.workspace, indent=1) + "\n", overwrite)
    if as_json:
        print_json(found)
        return
    cells = [(row.channel, f"{row.low:g}-{row.high:g}", f"{row.expected:.6g}", f"{row.error:.2g}") for row in found]
    header = ("channel", "q2_reco", "expected", "error of the response")
    show_table(f"{found.model}: {found.b_mesons:g} B of each charge, half of them conjugates", header, cells, left=2)
    if output is not None:
        print(f"file: {output}")
