"""The command ``darkpenguin constraints``; what it prints is made in ``constraints_report.py``."""

from __future__ import annotations

from typing import Annotated

import typer

from ..kinematics.errors import InputError


def constraints_command(
    name: Annotated[
        str, typer.Argument(metavar="[MODEL|CARD]", help="Benchmark's name or run card.")
    ] = "fig2",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field: light_vectors.0.mass=2.8."),
    ] = None,
    data: Annotated[
        str, typer.Option("--data", help="Experimental numbers: current, or 2017 (the paper's).")
    ] = "current",
    limit: Annotated[
        float | None, typer.Option("--limit", help="Limit on BR(B -> K chi chi) in place of experiment's.")
    ] = None,
    dm_mass: Annotated[
        float | None, typer.Option("--dm-mass", metavar="GEV", help="Mass of chi in eqs. (11) and (12).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Draw B -> K(*) + invisible beside the SM, and R (.png, .pdf); repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing figures.")] = False,
) -> None:
    """Hold a model against the paper's eqs. (2)-(8), (11) and (12) and against experiment."""
    from ..physics.models import apply_settings
    from .constraints_report import constraints_table, model_or_card, show, to_json

    if data not in ("2017", "current"):
        raise InputError(f"data = {data!r}: 2017 or current")
    if limit is not None and not 0 < limit < 1:
        raise InputError(f"limit = {limit:g}: a branching ratio between 0 and 1 is needed")
    model = apply_settings(model_or_card(name), settings or [])
    if figure:
        from .invisible_figure import write_invisible_figure

        write_invisible_figure(model, figure, overwrite)
    rows = constraints_table(model, "2017" if data == "2017" else "current", limit, dm_mass)
    if as_json:
        print(to_json(rows))
    else:
        show(rows, f"Constraints on {model.name} ({data} data)")
