"""The command ``darkpenguin recast``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import print_json, waiting
from .drawing import FigureOption, OverwriteOption, check_figures, write_figures
from .options import SET, THEORY, takes

if TYPE_CHECKING:
    from ..scans.recast import BinBias, Recast, Region

HEADER = ("mass (GeV)", "best BR (1e-6)", "from", "to", "-2 dlnL", "95 % CLs", "expected")


def _show(found: Recast, bias: tuple[BinBias, ...]) -> None:
    from .console import show_table

    rows = [
        (
            f"{row.mass:g}",
            *map(_millionths, (row.branching, row.low, row.high)),
            f"{row.gain:.2f}",
            *map(_millionths, (row.upper, row.expected)),
        )
        for row in found
    ]
    show_table(f"B+ -> K+ V of {found.model} in {found.source}", HEADER, rows, left=0)
    print(
        f"published signal: {found.strength:.2f} +- {found.strength_error:.2f} of the Standard Model; "
        f"{found.above_none:.2f} standard deviations above none, {found.above_standard:.2f} above the Standard Model"
    )
    print(
        f"best V: {found.local[1]:.2f} standard deviations above the Standard Model at its mass "
        f"({found.local[0]:.2f} in the simplified likelihood of the scan), {found.overall:.2f} (one-sided) for a mass "
        "and a size that were sought"
    )
    regions = (*found.regions, *found.coefficients)
    cells = [(region.name, *(f"{x:.4g}" for x in _numbers(region))) for region in regions]
    show_table("regions of highest posterior density", ("", "best", "68 %", "", "95 %", ""), cells)
    if bias:
        words = [
            (f"{b.low:g}-{b.high:g}", *(f"{x:.4f}" for x in (b.direct, b.folded, b.folded - b.direct, b.error)))
            for b in bias
        ]
        header = ("q2_reco", "generated V", "by bins of true q2", "bias", "error")
        show_table("fraction of V's events behind Belle II's resolution", header, words)


def _millionths(x: float) -> str:
    return f"{1e6 * x:.2f}"


def _numbers(region: Region) -> tuple[float, ...]:
    return region.best, region.low_68, region.high_68, region.low_95, region.high_95


def _masses(text: str | None) -> list[float] | None:
    """LOW:HIGH:NUMBER as rising masses."""
    from ...kinematics.base.errors import InputError

    if text is None:
        return None
    try:
        low, high, number = text.split(":")
        steps = int(number) - 1
        return [float(low) + i * (float(high) - float(low)) / steps for i in range(steps + 1)]
    except (ValueError, ZeroDivisionError):
        raise InputError(f"masses = {text!r}: write LOW:HIGH:NUMBER in GeV, such as 0.5:4:36") from None


@takes(SET, *THEORY)
def recast_command(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of a pyhf workspace and tables of signal by true q2.")
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|FILE", help="Take the V of this model, at its width.")
    ] = "belle2-2.1gev",
    masses: Annotated[
        str | None, typer.Option("--masses", metavar="LOW:HIGH:NUMBER", help="Scan these masses of V (GeV).")
    ] = None,
    coefficients: Annotated[
        bool, typer.Option("--coefficients", help="Fit |C_V|, |C_S| and |C_T| of nu nu too, without V.")
    ] = False,
    bias: Annotated[
        str | None,
        typer.Option("--bias", metavar="N", help="Generate N events of V to measure what bins of true q2 do to it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    figure: FigureOption = None,
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Recast a published likelihood of B+ -> K+ nu nu for V.

    The folder has a pyhf workspace and, for each channel, signal by reconstructed bin and true q2 in the layout that
    Belle II published (arXiv:2507.12393).
    """
    from ...kinematics.base.checks import parse_count
    from ..scans.recast import MASSES, measured_bias, recast

    check_figures(figure, overwrite)
    events = 0 if bias is None else parse_count(bias, "bias")
    grid = _masses(masses) or MASSES
    common = {"set": keys["set"] or (), "theory": keys["theory"]}
    with waiting("recasting") as say:
        found = recast(folder, model, masses=grid, coefficients=coefficients, **common)
        say("generating V to measure what bins of true q2 do to it")
        measured = measured_bias(model, found.regions[0].best, events, **common) if events else ()
    write_figures(found, figure, overwrite)
    if as_json:
        print_json({**found.to_dict(), "bias": measured})
        return
    _show(found, measured)
