"""The commands ``darkpenguin plan`` and ``darkpenguin merge``: a run split into jobs, and their files joined."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...kinematics.base.errors import InputError
from .drawing import OverwriteOption

PART_HELP = "Make this one of so many equal parts, into a file that is named after it; merge joins them."
PartOption = Annotated[str | None, typer.Option("--part", metavar="K/N", help=PART_HELP)]
DASK_HELP = "Work on the workers of this Dask scheduler (tcp://host:8786), or on N processes here (local:N)."
DaskOption = Annotated[str | None, typer.Option("--dask", metavar="ADDRESS|local:N", help=DASK_HELP)]
REPORT_HELP = "Write what was made, with digests, seconds by stage and versions, as JSON into this file."
ReportOption = Annotated[str | None, typer.Option("--report", metavar="FILE", help=REPORT_HELP)]
_COMMANDS = {"events": "generate", "toys": "toys", "scan": "scan"}


def plan_command(
    card: Annotated[
        str,
        typer.Argument(metavar="CARD", help="Card of events, toys or a scan: a TOML file or a built-in one's name."),
    ],
    parts: Annotated[str, typer.Option("--parts", metavar="N", help="Split the run into so many parts.")],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Name the files of the parts after this one. Default: as the card says."),
    ] = None,
    manifest: Annotated[
        str | None, typer.Option("--manifest", metavar="FILE", help="Write the plan here. Default: CARD.plan.json.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Split a run into parts, one a job, and write what each makes as a manifest.

    merge --plan joins the files of the parts and checks that they are those that were planned.
    """
    from ...kinematics.base.files import check_target
    from ..scans.farm import plan

    path = manifest or f"{Path(card).stem}.plan.json"
    check_target(path, overwrite=overwrite)
    made = plan(card, parts, output)
    made.write(path, overwrite)
    print(f"file: {path}: {made.total:,} {'blocks' if made.what == 'scan' else made.what} in {len(made.parts)} parts")
    print(f"each: darkpenguin {_COMMANDS[made.what]} {card} --output {made.output} --part K/{len(made.parts)}")
    print(f"then: darkpenguin merge --plan {path}")


def merge_command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...", help="Files of parts of one run, in any order. Default: those of the plan."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Write all of it into this file, of a scan into this folder. Default: as planned."
        ),
    ] = None,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="FILE", help="Check against this manifest, which plan wrote.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Also if the run's first or last events are missing.")
    ] = False,
    format: Annotated[str | None, typer.Option("--format", help="Write ttree, rntuple or parquet.")] = None,
    report: ReportOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Join the files of a run's parts (--part of generate, toys, scan and weigh), with their provenance.

    What is missing, twice or damaged is named. ROOT's hadd joins the events too, and loses how they were made.
    """
    from ..files.joined import EventFiles
    from ..files.manifest import read_manifest
    from ..files.report import Report
    from ..run.reduce import Reduced
    from ..scans.farm import merge
    from ..scans.files import check_outputs
    from ..toys.files import Toys
    from .console import progress_bar

    if output is None and plan is None:
        raise InputError("output: missing; name a file (--output), of a scan a folder, or the --plan of the run")
    telling = Report(report, "merge", overwrite)
    with telling.stage("merge"), progress_bar("merging", 0) as progress:
        done: Any = merge(
            files or (),
            output,
            plan=plan,
            partial=partial,
            format=format,
            overwrite=overwrite,
            progress=progress,
        )
    target = output or read_manifest(str(plan)).output
    if isinstance(done, EventFiles):
        print(f"file: {done.output}: {done.rows:,} events of {len(done.files)} files")
        for line in done.missing:
            print(f"missing: {line}")
        telling.write([target], events=done.rows, missing=done.missing)
    elif isinstance(done, Reduced):
        print(f"file: {target}: {len(done.histograms)} histograms of {done.provenance['events']:,} events")
        telling.write([target], histograms=len(done.histograms), events=done.provenance["events"])
    elif isinstance(done, Toys):
        print(f"file: {done.path}: {done.toys:,} toys")
        telling.write([target], toys=done.toys)
    else:
        print(f"scan: {done.card.points:,} points, in the files {done.card.name}-*")
        telling.write(check_outputs(done.card, target, overwrite=True).values(), points=done.card.points)
