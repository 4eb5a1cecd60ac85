"""The command ``darkpenguin constraints``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import DATA_HELP, print_json, waiting
from .drawing import OverwriteOption, check_figures, write_figures
from .options import SET, THEORY, takes

if TYPE_CHECKING:
    from ...physics.experiment.verdicts import Constraints, Row


def show(rows: Constraints, title: str) -> None:
    """Print the table, the notes and sources below it, and what is not included."""
    from ...physics.experiment.verdicts import INPUTS, NOT_INCLUDED
    from .console import show_table

    pulls = [_pull_or_ratio(row) for row in rows]
    show_table(
        title,
        ("constraint", "eq.", "prediction", "limit", "unit", "pull or ratio", "SM", "verdict"),
        [
            (row.name, row.equation, _number(row.prediction), _number(row.limit), row.unit, pull, _own(row), _word(row))
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


def _compare(name: str, data: str, keys: dict[str, Any], as_json: bool) -> None:
    """Print the benchmarks, and the model if it is another, beside each other."""
    from ...physics.experiment.comparison import compare
    from ...physics.models import BENCHMARKS, as_model
    from .console import show_table

    model = as_model(name, keys["set"] or (), keys["theory"])
    others = [] if model.name in BENCHMARKS else [model]
    with waiting("comparing (the first run on a machine also fills the cache)"):
        found = compare([*BENCHMARKS, *others], data, keys["theory"])
    if as_json:
        print_json(found)
        return
    columns = list(found[0].chi2)
    words = [f"{column} ({found.numbers[column]})" if column in found.numbers else column for column in columns]
    rows = [(row.model, *(f"{row.chi2[column]:.1f}" for column in columns), f"{row.total:.1f}") for row in found]
    show_table(f"chi squared ({found.data} data; number of measurements)", ("model", *words, "all"), rows)


def _own(row: Row) -> str:
    """The pull of the Standard Model."""
    return "-" if row.standard_pull is None else f"{row.standard_pull:+.2f}"


def _word(row: Row) -> str:
    return "EXCLUDED" if row.verdict == "excluded" else row.verdict


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


@takes(SET, *THEORY)
def constraints_command(
    name: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="Benchmark's name, TOML file, or a card that has a model.")
    ] = "fig2",
    data: Annotated[str, typer.Option("--data", help=DATA_HELP)] = "current",
    limit: Annotated[
        float | None, typer.Option("--limit", help="Take this limit on BR(B -> K chi chi) in place of experiment's.")
    ] = None,
    dm_mass: Annotated[
        float | None, typer.Option("--dm-mass", metavar="GEV", help="Take this mass of chi in eqs. (11) and (12).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Draw B -> K(*) + invisible beside the SM, and R (.png, .pdf); repeatable."),
    ] = None,
    overwrite: OverwriteOption = False,
    beside: Annotated[
        bool,
        typer.Option("--compare", help="Print chi squared of all benchmarks and of a free C9, side by side."),
    ] = False,
    **keys: Any,
) -> None:
    """Hold a model against experiment.

    The constraints are those of equations (2) to (8), (11) and (12) of the paper, arXiv:1704.06188, and those that
    it does not have: ratios, rates, dimuon peaks, B -> K* and X_s + invisible, colliders, electrons.
    """
    if beside:
        _compare(name, data, keys, as_json)
        return
    from ...physics.experiment.verdicts import constraints

    check_figures(figure, overwrite)
    with waiting("computing what is constrained (the first run on a machine also fills the cache)"):
        rows = constraints(name, data, limit, dm_mass, keys["set"] or (), keys["theory"])
    write_figures(rows, figure, overwrite)
    if as_json:
        print_json(rows.to_dict()["rows"])
    else:
        show(rows, f"Constraints on {rows.model.name} ({rows.data.name} data)")
