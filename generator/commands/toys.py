"""The commands ``darkpenguin toys`` and ``darkpenguin sensitivity``: options and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import print_json
from .drawing import FigureOption, OverwriteOption, check_figures, write_figures
from .farm import DaskOption, PartOption, ReportOption
from .options import SET, THEORY, ExampleOption, JsonOption, Option, takes

if TYPE_CHECKING:
    from ..toys.files import Toys

CardArgument = Annotated[
    str | None,
    typer.Argument(metavar="[CARD]", help="Card: a TOML file or a built-in card's name; the defaults without one."),
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Use this many CPU threads. Default: all.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the data sets with yields and sources, and stop.")]
INTERRUPTED = 130
"""Exit code after Ctrl-C; what was finished is in the file."""

TRUTH = Option(
    "truth",
    ("--truth",),
    "Name the model that is true: a benchmark, a TOML file of its fields, or a card that has one.",
    metavar="NAME|FILE",
)
CHANGE = SET._replace(help="Change a field of the model that is true, as light_vectors.0.mass=2.8; repeatable.")
DATASET = Option(
    "dataset",
    ("--dataset",),
    "Take the yields of this data set: a name (--list shows them) or the path of your own .yml or .toml.",
    metavar="NAME|FILE",
)
OBSERVABLES = Option(
    "observables", ("--observable",), "Use this observable: R_K+, R_K*0, P5p, dBR_K+ ...; repeatable.", list[str]
)
LUMINOSITY = "--luminosity"
SEED = Option("seed", ("--seed",), "Set the seed of the random numbers. Default: 1.", int)
TOYS = (
    Option("toys", ("--toys",), "Make this many toys; 1e4 will do. Default: 1000.", metavar="N"),
    TRUTH,
    CHANGE,
    *THEORY,
    DATASET,
    Option("luminosity", (LUMINOSITY,), "Scale the data set to this luminosity, in its unit.", float),
    OBSERVABLES,
    Option("depth", ("--depth",), "Draw counts (binned), or make every event (events). Default: binned."),
    Option("unbinned", ("--fit",), "Fit the events of each toy by this card of a fit, unbinned.", metavar="FILE|NAME"),
    SEED,
)
"""Keys of a card of toys that have an option."""
SENSITIVITY = (
    TRUTH,
    CHANGE,
    *THEORY,
    Option(
        "null", ("--null",), "Name the model to be excluded: a benchmark, a TOML file or a card.", metavar="NAME|FILE"
    ),
    DATASET,
    Option(
        "together",
        ("--together",),
        "Ask this data set too: likelihoods add, common errors float once, luminosities in proportion; repeatable.",
        list[str],
        "NAME|FILE",
    ),
    OBSERVABLES,
    Option("toys", ("--toys",), "Make this many toys of each hypothesis; 0 for none. Default: 100.", int),
    Option("luminosities", (LUMINOSITY,), "Make toys at this luminosity; repeatable.", list[float]),
    Option(
        "versus",
        ("--versus",),
        "Vary a mass, width or coupling of the true model: light_vectors.0.mass,1.5,3,16; a map if given twice.",
        list[str],
        "KEY,MIN,MAX,POINTS",
    ),
    Option(
        "free",
        ("--free",),
        "Let this parameter of the true model float in the fit: light_vectors.0.mass,1.2,2.8; repeatable.",
        list[str],
        "KEY,MIN,MAX",
    ),
    Option(
        "limit",
        ("--limit",),
        "Find the expected CL_s limit on a coupling of the true model from the counts: light_vectors.0.g_bs=-1e-8; "
        "beside --versus along it.",
        metavar="KEY=VALUE",
    ),
    Option(
        "best_bins",
        ("--best-bins",),
        "Find the edges of one bin, two, ... of q2 up to so many that separate best.",
        int,
    ),
    Option(
        "feldman_cousins",
        ("--feldman-cousins",),
        "Find the Feldman-Cousins interval of the coupling of --limit too, of both its signs.",
        bool,
    ),
    SEED,
)
"""Keys of a sensitivity card that have an option."""


@takes(*TOYS)
def toys_command(
    card: CardArgument = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write the toys into this file, .root or .parquet.")
    ] = "toys.root",
    figure: FigureOption = None,
    events_of: Annotated[
        int | None,
        typer.Option("--events-of", metavar="TOY", help="Make the toy of this number again as events, and stop."),
    ] = None,
    threads: ThreadsOption = None,
    device: Annotated[str, typer.Option("--device", help="Make event toys and fit on cpu, gpu or auto.")] = "cpu",
    part: PartOption = None,
    dask: DaskOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
    datasets: ListOption = False,
    example: ExampleOption = False,
    **keys: Any,
) -> None:
    """Make pseudo-experiments into an ntuple.

    Each row is a toy; a file that the same card made is extended.
    """
    if datasets:
        list_datasets(as_json)
        return
    from ..figures.toys import words
    from ..files.report import Report
    from ..toys.files import toys
    from ..toys.run import ToysCard
    from .console import note, progress_bar

    if example:
        print(ToysCard.example(), end="")
        return
    chosen = ToysCard.make(card, **keys)
    if events_of is not None:
        _events_of(chosen, events_of, output, overwrite, as_json)
        return
    check_figures(figure, overwrite, words(chosen))
    telling = Report(report, "toys", overwrite)
    with telling.stage("toys"), progress_bar("toys", chosen.toys) as progress:
        made = toys(
            chosen,
            output,
            overwrite=overwrite,
            threads=threads,
            device=device,
            part=part,
            dask=dask,
            progress=progress,
        )
    if not as_json:
        _show_toys(made)
    with telling.stage("figures"):
        drawn = write_figures(made, figure, overwrite)
    if as_json:
        print_json({**_toys_told(made), "figures": drawn})
    else:
        for name in drawn:
            print(f"figure: {name}")
    telling.write(
        [made.path or output, *drawn], toys=made.toys, made=made.made, interrupted=made.interrupted, card=made.card
    )
    if made.interrupted:
        note("interrupted: the finished toys are in the file; the same command makes the others")
        raise SystemExit(INTERRUPTED)


def _toys_told(made: Toys) -> dict[str, Any]:
    """What toys say: failures, pulls, tests."""
    import numpy as np

    from ..figures.toys import pull_rows

    tests = []
    for i, hypothesis in enumerate(made.card.hypotheses):
        q = made.columns[f"q_{i}"]
        numbers = {"median": np.nanmedian(q), "spread": np.nanstd(q), "preferred": np.mean(q < 0)}
        tests.append({"hypothesis": hypothesis.title, **numbers, "failed": np.isnan(q).sum()})
    return {
        "file": made.path,
        "toys": made.toys,
        "made": made.made,
        "interrupted": made.interrupted,
        "failures": made.failures,
        "pulls": pull_rows(made.card, made.columns),
        "tests": tests,
    }


def _show_toys(made: Toys) -> None:
    """Print what toys say."""
    from ..figures.toys import pull_table
    from .console import show_table

    card, told = made.card, _toys_told(made)
    said = f"{made.made:,} of them made now" if made.made or not made.toys else "already there"
    print(f"file: {made.path}: {made.toys:,} toys, {said}")
    for name, number in made.failures.items():
        print(f"  {name}: {number:,} not zero")
    if table := pull_table(told["pulls"]):
        header = ("estimate", "bin", "used", "mean of pull", "width of pull", "coverage")
        show_table(f"Pulls, true: {card.truth.title}", header, table, left=2)
    digits = {"median": ".2f", "spread": ".2f", "preferred": ".3f", "failed": "d"}
    rows = [(row["hypothesis"], *(format(row[key], form) for key, form in digits.items())) for row in told["tests"]]
    columns = ("hypothesis", "median", "spread", "preferred", "failed")
    show_table(f"-2 ln L relative to {card.hypotheses[0].title}", columns, rows)


def _events_of(card: Any, toy: int, output: str, overwrite: bool, as_json: bool) -> None:
    from ..toys.events import events_of_toy

    sample = events_of_toy(card, toy)
    sample.write(output, overwrite=overwrite)
    if as_json:
        print_json({"file": output, "events": len(sample), "toy": toy})
    else:
        print(f"file: {output}: {len(sample):,} events of toy {toy}")


@takes(*SENSITIVITY)
def sensitivity_command(
    card: CardArgument = None,
    figure: FigureOption = None,
    as_json: JsonOption = False,
    export: Annotated[
        str | None,
        typer.Option("--export", help="Write the counts of --limit for pyhf (FILE.json) or as HS3 (FILE.hs3.json)."),
    ] = None,
    threads: ThreadsOption = None,
    dask: DaskOption = None,
    overwrite: OverwriteOption = False,
    datasets: ListOption = False,
    example: ExampleOption = False,
    **keys: Any,
) -> None:
    """Find the luminosity that separates two hypotheses.

    By each observable and by all together, along a parameter if asked, or as a limit on one.
    """
    if datasets:
        list_datasets(as_json)
        return
    from ...kinematics.base.errors import InputError
    from ..toys.bridges import check_workspace, write_workspace
    from ..toys.sensitivity import SensitivityCard, sensitivity
    from .console import waiting

    if example:
        print(SensitivityCard.example(), end="")
        return
    chosen = SensitivityCard.make(card, **keys)
    views = ["", *(["statistics"] if chosen.toys else []), *(["luminosity"] if chosen.versus else [])]
    views += ["limit"] if chosen.limit else []
    check_figures(figure, overwrite, views)
    if export is not None:
        check_workspace(export, overwrite)
        if not chosen.limit:
            raise InputError(f"--export = {export!r}: what is written are the counts of a limit; add --limit KEY=VALUE")
    fitted, asked = 0, 2 * chosen.toys * max(len(chosen.luminosities), 1)
    with waiting("asymptotic curves, limits and toys") as say:

        def progress(done: int) -> None:
            nonlocal fitted
            fitted += done
            say(f"toys: {fitted:,} of {asked:,}" if fitted < asked else "what is asked beside the toys")

        result = sensitivity(chosen, threads=threads, dask=dask, progress=progress)
    if as_json:
        print_json(result)
    else:
        _show_sensitivity(result)
    names = write_figures(result, figure, overwrite)
    if names and not as_json:
        print(f"figure: {', '.join(names)}")
    if export is not None:
        write_workspace(result.limits[0], export, overwrite)
        if not as_json:
            print(f"file: {export}")


def _show_sensitivity(result: Any) -> None:
    """Print the answer: luminosities by observable, along a parameter, limits."""
    from ..toys.datasets import get_dataset
    from ..toys.tables import (
        binning_rows,
        elsewhere_lines,
        marks,
        summary_rows,
        versus_header,
        versus_rows,
        what_if_rows,
    )
    from .console import show_table

    card = result.card
    needed = f"{card.target:g} sigma at [{result.unit}]"
    where = dict.fromkeys(t.luminosity for t in result.toys)
    header = ["observable", needed, *(f"Asimov / toys at {value:g}" for value in where)]
    title = f"{card.truth.title} (true) against {card.null.title}, {result.dataset}"
    show_table(title, header, summary_rows(result))
    if result.what_if:
        names = dict.fromkeys(name for row in (result.required, *result.what_if.values()) for name in row)
        show_table(needed, ["what if", *names], what_if_rows(result))
    if result.versus is not None:
        show_table(needed, versus_header(result), versus_rows(result))
    if result.binnings:
        own = get_dataset(card.dataset).luminosity
        header = ["bins", "best edges [GeV^2]", f"sigma at {own:g} {result.unit}"]
        show_table("Best bins", header, binning_rows(result), left=2)
    if remark := marks(result):
        print(f"({remark})")
    for line in elsewhere_lines(result):
        print(line)
    print(result.answer())
    for found in result.limits:
        print(found.sentence())


def list_datasets(as_json: bool = False) -> None:
    """Print all data sets with yields, backgrounds, windows and sources."""
    from ..toys.datasets import dataset_names, get_dataset
    from ..toys.yields import describe
    from .console import show_table

    if as_json:
        print_json({name: describe(get_dataset(name)) for name in dataset_names()})
        return
    for name in dataset_names():
        data = get_dataset(name)
        rows = [
            [
                row["channel"],
                f"{row['yield']:g}",
                f"{row['background']:.0f}",
                f"{row['q2'][0]:g}-{row['q2'][1]:g}",
                row["kind"],
                row["source"],
            ]
            for row in describe(data)
        ]
        title = f"{name}: {data.description}, {data.luminosity:g} {data.unit}"
        show_table(title, ("channel", "yield", "background", "q2", "kind", "source"), rows)
