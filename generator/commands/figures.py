"""The commands ``darkpenguin figure`` and ``darkpenguin scan``, around ``figures.py`` and ``scans.py``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...kinematics.base.errors import InputError
from .console import DATA_HELP

if TYPE_CHECKING:
    from ...physics.experiment.datasets import Theory
    from ..scans.card import ScanCard
    from ..scans.scan import ScanResult

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the model: light_vectors.0.mass=2.8."),
]
DataOption = Annotated[str, typer.Option("--data", help=DATA_HELP)]
OutputOption = Annotated[str, typer.Option("--output", "-o", help="Folder for the files.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or gpu.")]
TheoryOption = Annotated[
    str | None,
    typer.Option(
        "--theory",
        help="Errors of the SM prediction: correlated, uncorrelated (bin by bin) or none. Default: "
        "what the data set says.",
    ),
]
EXAMPLE = """\
# Chi squared of a model against the measurements on a grid. Run: darkpenguin scan FILE --output FOLDER
name = "masses"                       # first part of the names of the files
model = "fig2"                        # benchmark (darkpenguin models), or a table [model]
settings = ["light_vectors.0.relative_width=0.2"]
data = "2017"                         # or "current", or the path of your own .yml file
groups = ["R_K", "R_K*", "P5p"]       # P5p, P or S: P5' alone, all P_i', all S_i
# theory = "correlated"               # or "uncorrelated", "none": errors of the SM prediction

[[axes]]
key = "light_vectors.0.mass"          # GeV
min = 1.5
max = 3.0
points = 61

[[axes]]
key = "light_vectors.0.g_bs"
min = -4e-8
max = 4e-8
points = 161

[[ties]]                              # g_mu_a follows g_mu_v: the funnel where (g-2) of the muon cancels
key = "light_vectors.0.g_mu_a"
of = "light_vectors.0.g_mu_v"
factor = -0.44

[[axes]]
key = "light_vectors.0.g_mu_v"
min = 0.02
max = 0.2
points = 10
"""
"""Scan card that ``darkpenguin scan --example`` prints."""


def figure_command(
    number: Annotated[int, typer.Argument(metavar="1|2", help="Figure of the paper.")],
    data: DataOption = "2017",
    output: OutputOption = ".",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Figure 1: benchmark to draw; repeatable. Default: SM, C9, two V. Figure 2: benchmark that the "
            "planes start from. Default: fig2.",
        ),
    ] = None,
    settings: SetOption = None,
    x: Annotated[
        str | None, typer.Option("--x", metavar="KEY,MIN,MAX", help="Figure 2: another plane's first axis.")
    ] = None,
    y: Annotated[
        str | None, typer.Option("--y", metavar="KEY,MIN,MAX", help="Figure 2: another plane's second axis.")
    ] = None,
    tie: Annotated[
        list[str] | None,
        typer.Option("--tie", metavar="KEY=FACTOR*KEY", help="Figure 2: what follows an axis of that plane."),
    ] = None,
    points: Annotated[int, typer.Option("--points", min=2, max=5000, help="Figure 2: points an axis.")] = 400,
    theory: TheoryOption = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Draw figure 1 or 2 of the paper, on its data or on today's: PNG, PDF, and the numbers as CSV."""
    from ..figures.figure_1 import FIGURE_1_MODELS, make_figure_1
    from ..figures.figure_2 import custom_plane, figure_2_cards, make_figure_2
    from .console import waiting

    if number not in (1, 2):
        raise InputError(f"figure = {number}: the paper has figures 1 and 2")
    if number == 1:
        _refuse({"--set": settings, "--x": x, "--y": y, "--tie": tie, "--theory": theory})
    elif model is not None and len(model) > 1:
        raise InputError(f"--model: {len(model)} given; the planes of figure 2 start from one")
    with waiting("drawing (the first run on a machine also fills the cache)"):
        if number == 1:
            paths = make_figure_1(data, output, tuple(model or FIGURE_1_MODELS), overwrite)
        else:
            checked, base = _theory(theory), (model or ["fig2"])[0]
            if (x is None) != (y is None):
                raise InputError("--x and --y: give both axes of the plane")
            cards: tuple[ScanCard, ...]
            if x is not None and y is not None:
                cards = (custom_plane(x, y, data, settings or [], checked, points, base, tie or []),)
            elif tie:
                raise InputError("--tie: needs --x and --y; the planes of the paper have their own")
            else:
                cards = figure_2_cards(data, settings or [], checked, points, base)
            paths = make_figure_2(data, output, cards, overwrite, device)
    _list(paths)


def scan_command(
    card: Annotated[str | None, typer.Argument(metavar="[CARD]", help="Scan card: a TOML file.")] = None,
    output: OutputOption = ".",
    device: DeviceOption = "auto",
    example: Annotated[bool, typer.Option("--example", help="Print a card to start from, and stop.")] = False,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="KEY=VALUE", help="Also list the pulls at this point of the axes; repeatable."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Do not go on from an earlier, interrupted run of this card.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Scan parameters of a model against the measurements: chi squared, best fit, pulls, regions."""
    if example:
        print(EXAMPLE, end="")
        return
    if card is None:
        raise InputError("card: name a scan card; `darkpenguin scan --example` prints one")
    from ..scans.card import read_point, read_scan_card
    from ..scans.files import check_outputs, write_scan
    from ..scans.scan import scan
    from .console import progress_bar

    checked = read_scan_card(card)
    point = read_point(checked, at or [])
    check_outputs(checked, output, overwrite)
    checkpoint = Path(output) / f".{checked.name}.partial.npz"
    if restart:
        checkpoint.unlink(missing_ok=True)
    with progress_bar("scanning", checked.points) as progress:
        result = scan(checked, device, checkpoint, progress)
    paths = write_scan(result, output, overwrite, point)
    _summary(result)
    _list(paths)


def _refuse(options: dict[str, object]) -> None:
    """InputError for an option of figure 2."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name}: figure 1 has no such option; it is one of figure 2")


def _theory(text: str | None) -> Theory | None:
    """Checked name of a treatment of theory errors."""
    allowed: dict[str, Theory] = {"correlated": "correlated", "uncorrelated": "uncorrelated", "none": "none"}
    if text is None:
        return None
    if text not in allowed:
        raise InputError(f"theory = {text!r}: {', '.join(allowed)}")
    return allowed[text]


def _summary(result: ScanResult) -> None:
    from .console import show_table

    best = result.best()
    rows = [
        (
            name,
            f"{result.standard[name]:.2f}",
            f"{best.groups[name]:.2f}",
            f"{result.improvement(name).max():.2f}",
        )
        for name in result.card.groups
    ]
    total = (f"{result.standard_model():.2f}", f"{best.chi2:.2f}", f"{result.improvement().max():.2f}")
    show_table("chi squared", ("group", "SM", "best fit", "largest improvement"), [*rows, ("all", *total)])
    point = ", ".join(f"{key} = {value:.6g}" for key, value in best.point.items())
    print(f"best fit: {point}")


def _list(paths: list[Path]) -> None:
    for path in paths:
        print(f"file: {path}")
