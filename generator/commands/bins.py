"""The commands ``darkpenguin bin`` and ``darkpenguin hepmc``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ...kinematics.base.errors import InputError


def bin_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File that darkpenguin wrote.")],
    bins: Annotated[
        str,
        typer.Option(
            "--bins", "--binning", metavar="NAME|EDGES", help="lhcb, lhcb-ratios, cms, atlas, belle2 ... or edges."
        ),
    ] = "lhcb",
    format: Annotated[str, typer.Option("--format", help="table or csv.")] = "table",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="X.root", help="Write histograms into a ROOT file too.")
    ] = None,
    variable: Annotated[
        str | None, typer.Option("--variable", help="Column to bin. Default: q2; with --migration, q2_reco.")
    ] = None,
    unfold: Annotated[
        bool, typer.Option("--unfold", help="Divide by the efficiency that the file was made with.")
    ] = False,
    migration: Annotated[
        bool, typer.Option("--migration", help="Instead: the migration from the true q2 to the reconstructed one.")
    ] = False,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", help="Draw what is printed (.png, .pdf); repeatable.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Bin a file in q2: yields, R, angular observables by the method of moments, with errors; or migration."""
    from ...kinematics.base.files import check_figure, check_target
    from ..analysis.binning import bin_file, parse_bins
    from ..analysis.histograms import histograms, migration_histograms, write_histograms
    from ..analysis.migration import migrations

    if format not in ("table", "csv"):
        raise InputError(f"format = {format!r}: allowed are table, csv")
    if migration and unfold:
        raise InputError("unfold: a migration is of the events as they are; leave it out")
    if output is not None:
        check_target(output, overwrite=overwrite)
    for path in figure or ():
        check_figure(path, overwrite)
    binning = parse_bins(bins)
    if migration:
        found = migrations(file, binning, variable=variable or "q2_reco")
        made = migration_histograms(found, variable or "q2_reco") if output is not None else {}
        header: tuple[str, ...] = ("channel", "true q2", "generated", "efficiency", "reconstructed q2", "probability")
        cells: list[tuple[str, ...]] = []
        for entry in found:
            cells += entry.table()
    else:
        rows = bin_file(file, binning, variable=variable or "q2", unfold=unfold)
        made = histograms(rows, variable or "q2") if output is not None else {}
        header = ("channel", "quantity", "q2_min", "q2_max", "value", "error")
        cells = [
            (row.channel, row.quantity, f"{row.q2_min:g}", f"{row.q2_max:g}", f"{row.value:.8g}", f"{row.error:.3g}")
            for row in rows
        ]
    _print(file, header, cells, format)
    if output is not None:
        write_histograms(output, made, overwrite)
    if figure:
        from ..figures.bins import draw_bins, draw_migrations
        from ..figures.style import save_figure

        drawn = draw_migrations(found) if migration else draw_bins(rows, variable or "q2")
        save_figure(drawn, figure, overwrite)


def _print(title: str, header: Sequence[str], cells: Sequence[Sequence[str]], format: str) -> None:
    if format == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(cells)
        return
    from .console import show_table

    show_table(title, header, cells, left=2)


def hepmc_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File with momenta that darkpenguin wrote.")],
    output: Annotated[str, typer.Argument(metavar="OUT.hepmc[.gz]", help="HepMC3 file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a file's events as HepMC3, one decay chain an event, for what reads Pythia's or EvtGen's."""
    from ..files.hepmc import write_hepmc

    counts = write_hepmc(file, output, overwrite)
    left_out = f"; {counts.left_out:,} that were not accepted are left out" if counts.left_out else ""
    print(f"file: {output}, {counts.written:,} events{left_out}")
