"""The command ``darkpenguin constraints``; what it prints is made in ``constraints_report.py``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import check_figure
from ...physics.experiment.verdicts import INPUTS, NOT_INCLUDED, Row
from ...physics.models import BENCHMARKS, Model, apply_settings, get_model
from .console import DATA_HELP


def model_or_card(name: str) -> Model:
    """The model of a benchmark's name or of a run card (a TOML file or a built-in card's name).

    >>> model_or_card("fig2").name
    'fig2'
    """
    if name in BENCHMARKS:
        return get_model(name)
    from ..run.card import builtin_cards, read_card

    if name not in builtin_cards() and Path(name).suffix != ".toml":
        return get_model(name)  # an error with the nearest names
    card = read_card(name)
    model = card.get("model", "sm")
    found = get_model(model) if isinstance(model, str) else validate(Model, model, "model")
    settings = card.get("set", ())
    return apply_settings(found, [settings] if isinstance(settings, str) else list(settings))


def to_json(rows: Sequence[Row]) -> str:
    """The rows as a JSON list of objects."""
    return json.dumps([asdict(row) | {"ratio": row.ratio} for row in rows], indent=1, allow_nan=False)


def show(rows: Sequence[Row], title: str) -> None:
    """Print the table, the notes and sources below it, and what is not included."""
    from .console import show_table

    verdict = {True: "pass", False: "FAIL", None: "-"}
    pulls = [_pull_or_ratio(row) for row in rows]
    show_table(
        title,
        ("constraint", "eq.", "prediction", "limit", "unit", "pull or ratio", "verdict"),
        [
            (row.name, row.equation, _number(row.prediction), _number(row.limit), row.unit, pull, verdict[row.passes])
            for row, pull in zip(rows, pulls, strict=True)
        ],
        left=2,
    )
    several = len({row.vector for row in rows if row.vector}) > 1
    for row in rows:
        label = f"{row.name} [{row.vector}]" if several and row.vector else row.name
        print(f"{label}: {row.note}{'; ' if row.note else ''}source: {row.source}")
    print(INPUTS)
    print(NOT_INCLUDED)


def _pull_or_ratio(row: Row) -> str:
    if row.pull is not None:
        return f"{row.pull:+.2f} sigma"
    return "-" if row.ratio is None else f"{row.ratio:.3g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def constraints_command(
    name: Annotated[str, typer.Argument(metavar="[MODEL|CARD]", help="Benchmark's name or run card.")] = "fig2",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field: light_vectors.0.mass=2.8."),
    ] = None,
    data: Annotated[str, typer.Option("--data", help=DATA_HELP)] = "current",
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
    from ...physics.experiment.datasets import load_data
    from ...physics.experiment.verdicts import constraints_table
    from ...physics.models import apply_settings

    known = load_data(data)
    if limit is not None and not 0 < limit < 1:
        raise InputError(f"limit = {limit:g}: a branching ratio between 0 and 1 is needed")
    model = apply_settings(model_or_card(name), settings or [])
    for path in figure or []:
        check_figure(path, overwrite)
    rows = constraints_table(model, known, limit, dm_mass)
    if figure:
        from ..figures.invisible import write_invisible_figure

        write_invisible_figure(model, figure, overwrite)
    if as_json:
        print(to_json(rows))
    else:
        show(rows, f"Constraints on {model.name} ({known.name} data)")
