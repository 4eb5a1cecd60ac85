"""The commands ``darkpenguin toys`` and ``darkpenguin sensitivity``: options, tables, figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...kinematics.base.errors import InputError

if TYPE_CHECKING:
    from ..toys.run import ToysCard

CardArgument = Annotated[
    str | None, typer.Argument(metavar="[CARD]", help="TOML file; without it the defaults of the card.")
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Data set that gives the yields: a name (--list shows them) or the path of your own .yml or .toml.",
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of the random numbers.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="CPU threads. Default: all.")]
FigureOption = Annotated[
    list[str] | None, typer.Option("--figure", help="Figure to draw (.png, .pdf); repeat for several.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
ListOption = Annotated[bool, typer.Option("--list", help="List the data sets with yields and sources, and stop.")]
INTERRUPTED = 130
"""Exit code after Ctrl-C; what was finished is in the file."""


def toys_command(
    card: CardArgument = None,
    toys: Annotated[str | None, typer.Option("--toys", metavar="N", help="Number of toys; 1e4 will do.")] = None,
    truth: Annotated[str | None, typer.Option("--truth", help="Model that is true.")] = None,
    dataset: DatasetOption = None,
    depth: Annotated[str | None, typer.Option("--depth", help="binned, or events: every event is made.")] = None,
    seed: SeedOption = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Toy ntuple: .root or .parquet.")] = "toys.root",
    figure: FigureOption = None,
    events_of: Annotated[
        int | None,
        typer.Option("--events-of", metavar="TOY", help="Make this toy again as events, and stop."),
    ] = None,
    threads: ThreadsOption = None,
    device: Annotated[str, typer.Option("--device", help="cpu, gpu or auto: where event toys are made.")] = "cpu",
    overwrite: OverwriteOption = False,
    datasets: ListOption = False,
) -> None:
    """Make pseudo-experiments into an ntuple, one row a toy; a file of the same card is extended."""
    if datasets:
        list_datasets()
        return
    chosen = _toys_card(card, {"dataset": dataset, "seed": seed, "depth": depth}, toys, truth)
    if events_of is not None:
        _events_of(chosen, events_of, output, overwrite)
        return
    from ...kinematics.base.files import check_target
    from ..figures.toys import estimated, figure_words, figures, pull_table
    from ..toys.files import read_toys, run_toys
    from .console import note, progress_bar, show_table

    drawn = [Path(path) for path in figure or []]
    for path in drawn:
        for word in figure_words(chosen):
            check_target(path.with_name(f"{path.stem}-{word}{path.suffix}"), overwrite=overwrite)
    with progress_bar("toys", chosen.toys) as progress:
        report = run_toys(chosen, output, overwrite=overwrite, threads=threads, device=device, progress=progress)
    columns, _ = read_toys(report.path)
    print(f"file: {report.path}: {report.toys:,} toys, {report.made:,} of them made now")
    for name, number in report.failures.items():
        print(f"  {name}: {number:,} not zero")
    if estimated(chosen):
        header = ("estimate", "bin", "used", "mean of pull", "width of pull", "coverage")
        show_table(f"Pulls, true: {chosen.truth.title}", header, pull_table(chosen, columns), left=2)
    _show_tests(chosen, columns)
    if drawn:
        from ..figures.style import save_figure

        for word, made in figures(chosen, columns):
            names = [path.with_name(f"{path.stem}-{word}{path.suffix}") for path in drawn]
            save_figure(made, names, overwrite=overwrite)
            print(f"figure: {', '.join(map(str, names))}")
    if report.interrupted:
        note("interrupted: the finished toys are in the file; the same command makes the others")
        raise SystemExit(INTERRUPTED)


def _toys_card(card: str | None, changes: dict[str, Any], toys: str | None, truth: str | None) -> ToysCard:
    from ...kinematics.base.checks import parse_count, validate
    from ...kinematics.base.files import read_toml
    from ..toys.run import ToysCard

    data = read_toml(card) if card is not None else {}
    data.update({key: value for key, value in changes.items() if value is not None})
    if toys is not None:
        data["toys"] = parse_count(toys, "toys")
    if truth is not None:
        data["truth"] = {"model": truth}
    return validate(ToysCard, data)


def _show_tests(card: ToysCard, columns: Any) -> None:
    import numpy as np

    from .console import show_table

    rows = []
    for i, hypothesis in enumerate(card.hypotheses):
        q = columns[f"q_{i}"]
        rows.append(
            [
                hypothesis.title,
                f"{np.nanmedian(q):.2f}",
                f"{np.nanstd(q):.2f}",
                f"{np.mean(q < 0):.3f}",
                f"{int(np.isnan(q).sum())}",
            ]
        )
    show_table(
        f"-2 ln L relative to {card.hypotheses[0].title}",
        ("hypothesis", "median", "spread", "preferred", "failed"),
        rows,
    )


def _events_of(card: ToysCard, toy: int, output: str, overwrite: bool) -> None:
    from ..files.writers import open_writer
    from ..toys.run import events_of_toy, plan_toys

    if toy < 0:
        raise InputError(f"events-of = {toy}: toys are numbered from 0")
    sample = events_of_toy(plan_toys(card), toy)
    columns = dict(sample.columns)
    schema = {name: array.dtype for name, array in columns.items()}
    with open_writer(output, schema, dict(sample.provenance), overwrite=overwrite) as writer:
        writer.extend(columns)
    print(f"file: {output}: {len(sample):,} events of toy {toy}")


def sensitivity_command(
    card: CardArgument = None,
    truth: Annotated[str | None, typer.Option("--truth", help="Model that is true.")] = None,
    null: Annotated[str | None, typer.Option("--null", help="Model to be excluded.")] = None,
    dataset: DatasetOption = None,
    observables: Annotated[
        list[str] | None,
        typer.Option("--observable", help="R_K+, R_K*0, P5p, dBR_K+ ...; repeat for several."),
    ] = None,
    toys: Annotated[int | None, typer.Option("--toys", help="Toys of each hypothesis; 0 for none.")] = None,
    luminosity: Annotated[
        list[float] | None, typer.Option("--luminosity", help="Where toys are made; repeat for several.")
    ] = None,
    versus: Annotated[
        str | None,
        typer.Option(
            "--versus",
            metavar="PATH,LOW,HIGH,N",
            help="Vary a mass, width or coupling of the true model: light_vectors.0.mass,1.5,3,16.",
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            "--limit",
            metavar="PATH=UNIT",
            help="Expected CL_s limit on a coupling of the true model from the counts: light_vectors.0.g_bs=-1e-8.",
        ),
    ] = None,
    seed: SeedOption = None,
    figure: FigureOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    threads: ThreadsOption = None,
    overwrite: OverwriteOption = False,
    datasets: ListOption = False,
) -> None:
    """Find the luminosity that separates two hypotheses, and the observable that does it first."""
    if datasets:
        list_datasets()
        return
    from ...kinematics.base.checks import validate
    from ...kinematics.base.files import check_target, read_toml
    from ..figures.sensitivity import draw_sensitivity, draw_statistics, draw_versus
    from ..figures.style import save_figure
    from ..toys.sensitivity import SensitivityCard, marks, sensitivity, summary_rows, versus_rows
    from .console import show_table, waiting

    data = read_toml(card) if card is not None else {}
    for key, value in (("truth", truth), ("null", null)):
        if value is not None:
            data[key] = {"model": value}
    for key, given in (
        ("dataset", dataset),
        ("observables", observables),
        ("toys", toys),
        ("luminosities", luminosity),
        ("seed", seed),
    ):
        if given is not None:
            data[key] = given
    if versus is not None:
        data["versus"] = _versus(versus)
    if limit is not None:
        data["limit"] = _limit(limit)
    chosen = validate(SensitivityCard, data)
    drawn = [Path(path) for path in figure or []]
    for path in drawn:
        for word in ("", *(["-statistics"] if chosen.toys else []), *(["-versus"] if chosen.versus else [])):
            check_target(path.with_name(f"{path.stem}{word}{path.suffix}"), overwrite=overwrite)
    with waiting("asymptotic curves and toys"):
        result = sensitivity(chosen, threads=threads)
    if as_json:
        print(result.to_json())
    else:
        where = dict.fromkeys(t.luminosity for t in result.toys)
        header = [
            "observable",
            f"{chosen.target:g} sigma at [{result.unit}]",
            *(f"Asimov / toys at {value:g}" for value in where),
        ]
        show_table(
            f"{chosen.truth.title} (true) against {chosen.null.title}, {result.dataset}",
            header,
            summary_rows(result),
        )
        if result.versus is not None:
            title = f"{chosen.target:g} sigma at [{result.unit}]"
            show_table(title, [result.versus.path, *result.versus.required], versus_rows(result))
        if remark := marks(result):
            print(f"({remark})")
        print(result.answer())
        for found in result.limits:
            print(found.sentence())
    if drawn:
        save_figure(draw_sensitivity(result), drawn, overwrite=overwrite)
        names = list(map(str, drawn))
        if result.toys:
            others = [path.with_name(f"{path.stem}-statistics{path.suffix}") for path in drawn]
            save_figure(draw_statistics(result, result.toys[-1].luminosity), others, overwrite=overwrite)
            names += map(str, others)
        if result.versus is not None:
            others = [path.with_name(f"{path.stem}-versus{path.suffix}") for path in drawn]
            save_figure(draw_versus(result), others, overwrite=overwrite)
            names += map(str, others)
        if not as_json:
            print(f"figure: {', '.join(names)}")


def _versus(text: str) -> dict[str, tuple[float, float, int]]:
    """Path and range of PATH,LOW,HIGH,N."""
    path, *numbers = text.split(",")
    try:
        low, high, n = numbers
        return {path.strip(): (float(low), float(high), int(n))}
    except ValueError:
        raise InputError(f"versus = {text!r}: write PATH,LOW,HIGH,N, as light_vectors.0.mass,1.5,3,16") from None


def _limit(text: str) -> dict[str, float]:
    """Path and unit of PATH=UNIT."""
    path, _, unit = text.partition("=")
    try:
        return {path.strip(): float(unit)}
    except ValueError:
        raise InputError(f"limit = {text!r}: write PATH=UNIT, as light_vectors.0.g_bs=-1e-8") from None


def list_datasets() -> None:
    """Print all data sets with yields, backgrounds, windows and sources."""
    from ..toys.datasets import dataset_names, describe, get_dataset
    from .console import show_table

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
