"""The command ``darkpenguin fit``."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...kinematics.base.errors import InputError
from .drawing import FigureOption, OverwriteOption, check_figures, write_figures
from .options import MODEL, SET, THEORY, ExampleOption, Option, takes

if TYPE_CHECKING:
    from ..fits.fit import Fit, Parameter

KEYS = (
    MODEL,
    SET,
    *THEORY,
    Option(
        "free",
        ("--float",),
        "Let a field of the model float, in a range; a mass has that of q2, Gamma/m 1e-4 to 1; repeatable.",
        list[str],
        "KEY[,MIN,MAX]",
    ),
    Option(
        "constraints",
        ("--constrain",),
        "Add what is known of a field that floats, a Gaussian; repeatable.",
        list[str],
        "KEY=MEAN,ERROR",
    ),
    Option("rates", ("--rates",), "Normalise channels one by one, or together: ratios count.", str, "free|common"),
    Option("b_mesons", ("--b-mesons",), "Say how many B of each charge there were: absolute rates count.", float),
    Option(
        "efficiency",
        ("--efficiency",),
        "Take this map as what the events were seen with, of all or of KEY; default: that of their card; repeatable.",
        list[str],
        "[KEY=]MAP",
    ),
    Option("minos", ("--minos",), "Find asymmetric errors too.", bool),
)


def _cells(row: Parameter) -> tuple[str, ...]:
    digits = 1 - math.floor(math.log10(row.error)) if row.error > 0 and math.isfinite(row.error) else 6
    size = abs(row.value) or row.error
    figures = max(1, digits + math.floor(math.log10(size)) + 1) if size > 0 else 2
    asymmetric = "" if math.isnan(row.lower) and math.isnan(row.upper) else f"{row.lower:+.2g} {row.upper:+.2g}"
    return row.name, f"{row.value:.{figures}g}", f"{row.error:.2g}", asymmetric, "at an end" if row.at_limit else ""


def _show(found: Fit) -> None:
    from .console import show_table

    events = ", ".join(f"{n:,} {name}" for name, n in found.events.items())
    cells = [_cells(row) for row in found]
    used = [i for i in range(5) if i < 3 or any(row[i] for row in cells)]
    header = ("", "value", "error", "MINOS", "")
    rows = [tuple(row[i] for i in used) for row in cells]
    show_table(f"fit of {events}", tuple(header[i] for i in used), rows, left=1)
    print("converged" if found.converged else f"not converged: {found.reason}", f"(-2 ln L = {found.minimum:.2f})")
    for one in found.goodness:
        print(f"{one.channel}: chi2 = {one.chi2:.1f} in {len(one.counts)} bins of q2, p = {one.p_value:.3g} at most")


@takes(*KEYS)
def fit_command(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="File of events, or those of parts of one run.")
    ] = None,
    card: Annotated[
        str | None, typer.Option("--card", metavar="FILE|NAME", help="Take a card of a fit: example is one.")
    ] = None,
    example: ExampleOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    figure: FigureOption = None,
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Fit masses, widths, couplings and phases to a file's events, unbinned.

    The density is the generator's own, in q2, angles and flavour, behind the efficiency. The error of a fit that does
    not converge is its reason, and the exit code is 1.
    """
    from ..fits.card import FitCard

    if example:
        print(FitCard.example(), end="")
        return
    if not files:
        raise InputError("files: name a file of events, or those of parts of one run")
    from ..fits.fit import fit

    check_figures(figure, overwrite)
    found = fit(files[0] if len(files) == 1 else files, card, **keys)
    write_figures(found, figure, overwrite)
    if as_json:
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False))
    else:
        _show(found)
    if not found.converged:
        raise typer.Exit(1)
