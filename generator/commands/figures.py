"""The commands ``darkpenguin figure`` and ``darkpenguin scan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...kinematics.base.errors import InputError
from .console import DATA_HELP, print_json
from .drawing import FigureOption, OverwriteOption, check_figures, write_figures
from .farm import DaskOption, PartOption, ReportOption
from .options import MODEL, SET, THEORY, ExampleOption, JsonOption, Option, takes

if TYPE_CHECKING:
    from ..files.report import Report
    from ..scans.card import ScanCard
    from ..scans.scan import ScanResult

OutputOption = Annotated[str, typer.Option("--output", "-o", help="Write the files into this folder.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Compute on auto, cpu or gpu.")]
ERRORS = Option(
    "theory",
    ("--theory",),
    "Take errors of the SM prediction as correlated, uncorrelated (bin by bin) or none. Default: as the data set says.",
)
DATA = Option("data", ("--data",), DATA_HELP)


@takes(SET, *THEORY, ERRORS)
def figure_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="1|2|spectrum|leakage",
            help="Figure of the paper; all of the spectrum with charmonium; the J/psi that is found below its mass.",
        ),
    ],
    data: Annotated[str, typer.Option("--data", help=DATA_HELP)] = "2017",
    output: OutputOption = ".",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="Figure 1, spectrum: draw this model, a benchmark, TOML file or card; repeatable. "
            "Figure 2: start the planes from it. Default: fig2.",
        ),
    ] = None,
    x: Annotated[
        str | None, typer.Option("--x", metavar="KEY,MIN,MAX", help="Figure 2: take another plane, with this axis.")
    ] = None,
    y: Annotated[
        str | None, typer.Option("--y", metavar="KEY,MIN,MAX", help="Figure 2: take this second axis of that plane.")
    ] = None,
    tie: Annotated[
        list[str] | None,
        typer.Option("--tie", metavar="KEY=FACTOR*KEY", help="Figure 2: let a field follow an axis of that plane."),
    ] = None,
    points: Annotated[
        int, typer.Option("--points", min=2, max=5000, help="Figure 2: compute this many points an axis.")
    ] = 400,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Draw figure 1 or 2 of the paper, or what charmonium does.

    On the paper's data or on today's: PNG, PDF, and the numbers as CSV.
    """
    from ..figures.figure import paper_figure
    from .console import waiting

    with waiting("drawing (the first run on a machine also fills the cache)"):
        _, paths = paper_figure(
            int(name) if name.isdecimal() else name,
            output,
            overwrite,
            data=data,
            model=model,
            set=keys["set"] or (),
            x=x,
            y=y,
            tie=tie,
            points=points,
            theory=keys["theory"],
            device=device,
        )
    _list(paths)


@takes(MODEL, SET, *THEORY, DATA, ERRORS)
def scan_command(
    card: Annotated[
        str | None, typer.Argument(metavar="[CARD]", help="Scan card: a TOML file or a built-in card's name.")
    ] = None,
    output: OutputOption = ".",
    device: DeviceOption = "auto",
    example: ExampleOption = False,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="KEY=VALUE", help="Also list the pulls at this point of the axes; repeatable."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do not go on from an earlier, interrupted run of this card.")
    ] = False,
    figure: FigureOption = None,
    part: PartOption = None,
    dask: DaskOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Scan parameters of a model against measurements.

    Chi squared on a grid, the best fit, pulls, profiles and regions are written.
    """
    from ..files.report import Report
    from ..scans.card import ScanCard, read_point
    from ..scans.files import check_outputs, write_scan
    from ..scans.scan import scan
    from .console import progress_bar

    if example:
        print(ScanCard.example(), end="")
        return
    if card is None:
        raise InputError("card: name a scan card; `darkpenguin scan --example` prints one")
    checked = ScanCard.make(card, **keys)
    telling = Report(report, "scan", overwrite)
    if part is not None:
        if figure or at:
            raise InputError("--part: a part of a scan has no figure and no pulls; merge the parts first")
        _part(checked, part, output, device, overwrite, dask, telling, as_json)
        return
    point = read_point(checked, at or [])
    check_outputs(checked, output, overwrite)
    check_figures(figure, overwrite)
    checkpoint = Path(output) / f".{checked.name}.partial"
    if restart:
        checkpoint.unlink(missing_ok=True)
    with telling.stage("scan"), progress_bar("scanning", checked.points) as progress:
        result = scan(checked, device, checkpoint, progress, dask)
    with telling.stage("files"):
        paths: list[Path | str] = [*write_scan(result, output, overwrite, point)]
        paths += write_figures(result, figure, overwrite)
    if as_json:
        print_json({**_told(result), "files": [str(path) for path in paths]})
    else:
        _summary(result)
        _list(paths)
    telling.write(paths, points=checked.points, card=checked)


def _part(
    card: ScanCard,
    part: str,
    folder: str,
    device: str,
    overwrite: bool,
    dask: str | None,
    telling: Report,
    as_json: bool,
) -> None:
    """Compute a part of a scan alone."""
    from ..files.pieces import share
    from ..run.q2 import parse_part
    from ..scans.parts import scan_part
    from ..scans.scan import grid_blocks
    from .console import progress_bar

    start, stop = share(parse_part(part), grid_blocks(card))
    without = "already there" if start < stop else "without points: there are fewer blocks of them than parts"
    with telling.stage("scan"), progress_bar("scanning", 0) as progress:
        path, points = scan_part(card, part, folder, device=device, overwrite=overwrite, progress=progress, dask=dask)
    if as_json:
        print_json({"file": path, "points": points, "made": bool(points)})
    else:
        print(f"file: {path}: {f'{points:,} points' if points else without}")
    telling.write([path], points=points, card=card)


def _told(result: ScanResult) -> dict[str, Any]:
    """χ² by group and of all: of the Standard Model, at the best fit, and where it improves most."""
    best = result.best()
    groups: list[tuple[str, str | None, float]] = [(name, name, best.groups[name]) for name in result.card.groups]
    rows = [
        {
            "group": name,
            "standard_model": result.standard_model(group),
            "best_fit": chi2,
            "largest_improvement": float(result.improvement(group).max()),
        }
        for name, group, chi2 in [*groups, ("all", None, best.chi2)]
    ]
    return {"chi2": rows, "best_fit": best.point}


def _summary(result: ScanResult) -> None:
    from .console import show_table

    told = _told(result)
    rows = [(name, *(f"{value:.2f}" for value in numbers)) for name, *numbers in (row.values() for row in told["chi2"])]
    show_table("chi squared", ("group", "SM", "best fit", "largest improvement"), rows)
    print(f"best fit: {', '.join(f'{key} = {value:.6g}' for key, value in told['best_fit'].items())}")


def _list(paths: Sequence[Path | str]) -> None:
    for path in paths:
        print(f"file: {path}")
