"""The command ``darkpenguin weigh``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...kinematics.base.errors import InputError
from .console import print_json, progress_bar, show_table
from .drawing import OverwriteOption
from .farm import PartOption, ReportOption
from .options import SET, THEORY, JsonOption, Option, takes

if TYPE_CHECKING:
    from ..analysis.weights import Weights
    from ..files.foreign import EventMap


HEADER = ("channel", "to", "events", "mean weight", "error", "worth", "largest", "outside", "skipped", "thin in q2")


def _rows(found: Weights) -> list[tuple[str, ...]]:
    return [
        (
            row.channel,
            row.target,
            f"{row.events:,}",
            f"{row.mean:.6g}",
            f"{row.error:.2g}",
            f"{row.effective:,.0f}",
            f"{row.largest:.4g}",
            f"{row.outside:.2%}",
            f"{row.skipped:,}",
            " ".join(f"{low:g}-{high:g}" for low, high in row.thin) or "-",
        )
        for row in found
    ]


FOREIGN = (
    Option("channel", ("--channel",), "Read a file of another program (ROOT, Parquet, HepMC3): this channel's events."),
    Option(
        "momenta",
        ("--momenta",),
        "Find a particle's momentum under this name, and the usual endings: k, pi, lp (positive), lm; repeatable. "
        "Before radiation, or with the photons added back: q2 is that of the decay.",
        list[str],
        "PARTICLE=NAME",
    ),
    Option(
        "angles",
        ("--angles",),
        "Instead, find q2, an angle or m_kpi in this column; repeatable.",
        list[str],
        "NAME=COLUMN",
    ),
    Option(
        "flavour",
        ("--flavour-column",),
        "Take the flavour from the sign of this column: a PDG number or a charge; or b, bbar, average. "
        "COLUMN,average averages rows without a sign.",
        metavar="COLUMN",
    ),
    Option("unit", ("--unit",), "Take momenta, q2 and m_kpi as in GeV (default) or MeV."),
    Option(
        "tolerance", ("--tolerance",), "Allow momenta to miss the mass of the B by this (GeV, default 0.02).", float
    ),
    Option("photons", ("--photons",), "Add photons of HepMC files back to the leptons.", metavar="refuse|add"),
    Option("convention", ("--convention",), "Take angles as in the convention lhcb (default) or theory."),
    Option("tree", ("--tree",), "Read this tree of the file. Default: the only one."),
)
"""Options that say what the columns of a file of another program are."""
DEVICE = Option("device", ("--device",), "Sum densities on cpu or gpu. Default: cpu.")


def _map(keys: dict[str, Any]) -> EventMap | None:
    """The map that the options make; None for a file of ours."""
    from ..files.foreign import EventMap

    given = {option.key: keys[option.key] for option in FOREIGN if keys[option.key] not in (None, [])}
    if "channel" not in given:
        if given:
            flag = next(option.flags[0] for option in FOREIGN if option.key in given)
            raise InputError(f"{flag}: it is of a file of another program; name its --channel too")
        return None
    for key in ("momenta", "angles"):
        pairs = [text.partition("=") for text in given.pop(key, ())]
        for name, equals, column in pairs:
            if not (name and equals and column):
                raise InputError(f"{key} = {name + equals + column!r}: write NAME=COLUMN, such as k=K_TRUEP")
        given[key] = {name: column for name, _, column in pairs}
    return EventMap(**given)


def _opened(files: list[str], where: EventMap | None) -> tuple[Any, int]:
    """What is weighed, and how many events are in it if that is known."""
    from ..files.sample import open_events

    if where is not None and len(files) > 1:
        raise InputError(f"files: {len(files)} of another program; weigh one at a time")
    file: Any = files[0] if len(files) == 1 else files
    return file, 0 if where is not None else open_events(file).rows


@takes(*FOREIGN, DEVICE, SET, *THEORY)
def weigh_command(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="File, or parts of one run; with --channel one of another program."),
    ],
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="NAME|FILE", help="Weigh to this model: a column of weights each; repeatable."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME|FILE",
            help="Say what made the events: a model, btosllball (EvtGen's), or phase-space. Default: the file's own.",
        ),
    ] = None,
    polynomial: Annotated[
        str | None,
        typer.Option(
            "--polynomial",
            metavar="KEY[,KEY...]",
            help="Write the coefficients of the weight as a polynomial in these couplings of the first model.",
        ),
    ] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="OUT", help="Write the weights here.")] = None,
    keep: Annotated[
        str,
        typer.Option("--keep", help="Write all columns beside the weights, or index: number and channel alone."),
    ] = "all",
    skip: Annotated[
        bool,
        typer.Option("--skip", help="Give weight zero to events that cannot have been made so, and count them."),
    ] = False,
    kpi: Annotated[
        str | None, typer.Option("--kpi", metavar="NAME[,KEY=VALUE]", help="Take this K pi system in the targets.")
    ] = None,
    as_json: JsonOption = False,
    part: PartOption = None,
    report: ReportOption = None,
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Weigh a file's events to other models.

    A weight is the ratio of the full densities, in q2, angles, K pi mass and flavour; the mean of the weights is the
    ratio of the branching fractions. What is printed says how many events the weighted sample is worth.
    """
    from ..analysis.weights import weigh
    from ..files.report import Report

    telling = Report(report, "weigh", overwrite)
    where = _map(keys)
    file, rows = _opened(files, where)
    with telling.stage("weights"), progress_bar("weighing", rows) as progress:
        found = weigh(
            file,
            to or (),
            source,
            set=keys["set"] or (),
            theory=keys["theory"],
            polynomial=tuple(key.strip() for key in polynomial.split(",")) if polynomial else (),
            kpi=kpi,
            where=where,
            skip=skip,
            output=output,
            keep=keep,
            part=part,
            overwrite=overwrite,
            device=keys["device"] or "cpu",
            progress=progress,
        )
    telling.write([] if found.output is None else [found.output], weights=found)
    if as_json:
        print_json(found)
        return
    if found.rows:
        show_table(f"{', '.join(files)}: from {found.source}", HEADER, _rows(found), left=2)
    if found.output is not None:
        print(f"file: {found.output}" + ("" if found.rows else ": already there"))
