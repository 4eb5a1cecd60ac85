"""The commands ``darkpenguin bin`` and ``darkpenguin hepmc``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ...kinematics.base.errors import InputError
from .console import note, print_json, rounded, waiting
from .drawing import FigureOption, OverwriteOption, check_figures, write_figures
from .options import JsonOption, format_of


def bin_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="File, or files of parts of one run.")],
    bins: Annotated[
        str,
        typer.Option(
            "--bins",
            "--binning",
            metavar="NAME|EDGES",
            help="Take the bins lhcb, lhcb-ratios, cms, atlas, belle2 ..., or these edges (or pairs) in GeV^2.",
        ),
    ] = "lhcb",
    format: Annotated[str, typer.Option("--format", help="Print a table, csv or json.")] = "table",
    as_json: JsonOption = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="X.root", help="Write histograms into a ROOT file too.")
    ] = None,
    variable: Annotated[
        str | None, typer.Option("--variable", help="Bin this column. Default: q2_reco where there is one, else q2.")
    ] = None,
    unfold: Annotated[
        bool,
        typer.Option("--unfold", help="Correct for efficiency, and for cuts if the file has what failed them."),
    ] = False,
    migration: Annotated[
        bool, typer.Option("--migration", help="Instead: the migration from the true q2 to the reconstructed one.")
    ] = False,
    figure: FigureOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Bin a file in q2: yields, R, angular observables.

    Angular observables are found by the method of moments, with errors; --migration gives the migration instead. Behind
    a detector all of them, R too, are those of accepted events unless --unfold corrects them; the title says which.
    """
    from ...kinematics.base.files import check_target
    from ..analysis.binning import bin
    from ..analysis.histograms import write_histograms
    from ..analysis.migration import migrations

    format = format_of(format, as_json)
    if migration and unfold:
        raise InputError("unfold: a migration is of the events as they are; leave it out")
    if output is not None:
        check_target(output, overwrite=overwrite)
    check_figures(figure, overwrite)
    found: Any
    events, title = _one_or_all(files), ", ".join(files)
    if migration:
        with waiting("binning"):
            found = migrations(events, bins, variable=variable or "q2_reco")
        header: tuple[str, ...] = ("channel", "true q2", "generated", "efficiency", "reconstructed q2", "probability")
        cells = [cell for entry in found for cell in entry.table()]
    else:
        with waiting("binning"):
            found = bin(events, bins, variable=variable, unfold=unfold)
        title += f": {found.state}; bins of {found.variable}"
        header = ("channel", "quantity", "q2_min", "q2_max", "value", "error")
        numbers = [
            rounded(row.value, row.error) if format == "table" else (f"{row.value:.8g}", f"{row.error:.3g}")
            for row in found
        ]
        cells = [
            (row.channel, row.observable, f"{row.q2_min:g}", f"{row.q2_max:g}", *pair)
            for row, pair in zip(found, numbers, strict=True)
        ]
    if format == "json":
        print_json(found)
    else:
        if format == "csv" and not migration and found.state != "as generated":
            note(title)  # a table in CSV has no title
        _print(title, header, cells, format)
    if output is not None:
        write_histograms(output, found, overwrite)
    write_figures(found, figure, overwrite)


def _print(title: str, header: Sequence[str], cells: Sequence[Sequence[str]], format: str) -> None:
    if format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(cells)
        return
    from .console import show_table

    show_table(title, header, cells, left=2)


def _one_or_all(files: Sequence[str]) -> str | Sequence[str]:
    return files[0] if len(files) == 1 else files


def hepmc_command(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="File with momenta, or files of parts of one run.")
    ],
    output: Annotated[str, typer.Argument(metavar="OUT.hepmc[.gz]", help="HepMC3 file to write.")],
    upsilon: Annotated[
        bool, typer.Option("--upsilon", help="Write the Upsilon(4S) of the beam and the other B, stable, too.")
    ] = False,
    vertices: Annotated[
        bool, typer.Option("--vertices", help="Let the B live: displace its decay by an exponential of its lifetime.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a file's events as HepMC3.

    Each event is one decay chain, for programs that read those of Pythia or EvtGen.
    """
    from ..files.hepmc import write_hepmc

    counts = write_hepmc(_one_or_all(files), output, overwrite, upsilon=upsilon, vertices=vertices)
    left_out = f"; {counts.left_out:,} that were not accepted are left out" if counts.left_out else ""
    print(f"file: {output}, {counts.written:,} events{left_out}")
