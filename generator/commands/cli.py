"""The command line: every command is a few lines around a function that Python users can call too.

Nothing heavy is imported before a command runs, so ``darkpenguin --help`` is quick.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ...kinematics.base.errors import InputError
from ..lab.table import with_parameters
from .bins import bin_command, hepmc_command
from .constraints import constraints_command
from .figures import figure_command, scan_command
from .stage_options import stage_parameters, stage_tables
from .toys import sensitivity_command, toys_command

if TYPE_CHECKING:
    from ...physics.models import Model

app = typer.Typer(
    name="darkpenguin",
    help="Generate B -> K(*) l l with a light vector resonance, exactly, and check what was generated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
EXIT_FAILED = 1
"""Exit code when a file does not agree with the prediction."""
EXIT_INPUT = 2
"""Exit code of a mistake in what was asked for."""
EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def main() -> None:
    """Run the command line (the entry point ``darkpenguin``)."""
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except KeyboardInterrupt:
        _stop("interrupted", EXIT_INTERRUPTED)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, (DeprecationWarning, PendingDeprecationWarning)):
        return
    print(f"darkpenguin: warning: {message}", file=sys.stderr)


def _terminated(*_: Any) -> NoReturn:
    """Leave through the context managers, so that no part of a file stays behind."""
    raise SystemExit(128 + signal.SIGTERM)


def _stop(message: str, code: int) -> NoReturn:
    print(f"darkpenguin: {message}", file=sys.stderr)
    raise SystemExit(code)


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a user's mistake into one line and exit code 2, Ctrl-C into one line and 130."""

    @functools.wraps(command)
    def guarded(*args: Any, **keywords: Any) -> None:
        try:
            command(*args, **keywords)
            sys.stdout.flush()
        except InputError as error:
            _stop(f"error: {error}", EXIT_INPUT)
        except KeyboardInterrupt:
            _stop("interrupted; unfinished files were removed", EXIT_INTERRUPTED)
        except BrokenPipeError:  # the reader of our output went away, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OSError as error:  # a disk that fills up, a file without permission
            _stop(f"error: {error.filename or 'output'}: {error.strerror or error}", EXIT_INPUT)
        except MemoryError:
            _stop("error: the memory does not suffice; ask for less at a time", EXIT_INPUT)

    return guarded


CardArgument = Annotated[
    str | None, typer.Argument(metavar="[CARD]", help="Run card: a TOML file or a built-in card's name.")
]
CardOption = Annotated[str | None, typer.Option("--card", help="The same as the argument CARD.")]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option("--channel", help="Decay channel, such as 'B0->K*0mumu'; repeat for several."),
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Benchmark's name; see `darkpenguin models`.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the model: light_vectors.0.mass=2.8."),
]
FlavourOption = Annotated[
    str | None,
    typer.Option("--flavour", help="both, b (B0, B+) or bbar. Default: both, in the ratio of their rates."),
]
ConventionOption = Annotated[
    str | None, typer.Option("--convention", help="Convention of the angles: lhcb or theory. Default: lhcb.")
]
BeamOption = Annotated[
    str | None,
    typer.Option("--beam", help="Add momenta in the laboratory: rest, belle2, lhcb-13tev (7, 8, 13.6) ..."),
]
KpiOption = Annotated[
    str | None,
    typer.Option(
        "--kpi", metavar="NAME[,KEY=VALUE]", help="K*: narrow (default), pwave or, of l l, swave; swave,m_max=1.1."
    ),
]
Q2Option = Annotated[
    list[str] | None,
    typer.Option("--q2", metavar="MIN,MAX", help="Range of q2 in GeV^2; repeat for several."),
]
VetoOption = Annotated[
    list[str] | None,
    typer.Option("--veto", metavar="MIN,MAX", help="Range of q2 to leave out, or jpsi, or psi2s; repeat for several."),
]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu or gpu. Default: auto.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="float64 or float32. Default: float64.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="CPU threads. Default: all.")]
SeedOption = Annotated[str | None, typer.Option("--seed", metavar="N", help="Seed of the random numbers. Default: 1.")]


@app.command()
@_guarded
@with_parameters(stage_parameters(), after="beam")
def generate(
    card: CardArgument = None,
    card_option: CardOption = None,
    channel: ChannelOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    flavour: FlavourOption = None,
    convention: ConventionOption = None,
    events: Annotated[
        str | None, typer.Option("--events", metavar="N", help="Events of each channel; 1e6 will do.")
    ] = None,
    b_mesons: Annotated[
        str | None,
        typer.Option("--b-mesons", metavar="N", help="Instead of --events: B mesons of each charge, times the BR."),
    ] = None,
    poisson: Annotated[
        bool | None, typer.Option("--poisson", help="Draw the number of events from a Poisson distribution.")
    ] = None,
    kpi: KpiOption = None,
    beam: BeamOption = None,
    q2: Q2Option = None,
    veto: VetoOption = None,
    seed: SeedOption = None,
    part: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="START:STOP",
            help="Make these events of the run only, the same as in the whole.",
        ),
    ] = None,
    device: DeviceOption = None,
    precision: PrecisionOption = None,
    threads: ThreadsOption = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="File: .root or .parquet; {channel} in its name makes a file a channel."),
    ] = None,
    format: Annotated[str | None, typer.Option("--format", help="ttree, rntuple or parquet.")] = None,
    compression: Annotated[str | None, typer.Option("--compression", help="none, lz4 or zstd. Default: lz4.")] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Replace existing files.")] = None,
    check: Annotated[
        bool | None,
        typer.Option("--check", help="Validate the files once they are written; exit 1 on failure."),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Figure of R with the events (.png, .pdf); repeat for several."),
    ] = None,
    **stages: Any,
) -> None:
    """Generate events into a ROOT or Parquet file, from a run card or from options."""
    from ..run.card import make_card, read_card, settings_of
    from .generate import run_card

    if card is not None and card_option is not None:
        raise InputError(f"--card = {card_option!r}: a card was named already, {card!r}; give one of the two")
    name = card if card is not None else card_option
    base = read_card(name) if name is not None else {}
    base.setdefault("output", "events.root")
    known = settings_of(base.pop("set", ()))
    if model is None:  # changes of the card's own model stay, those on the command line come on top
        settings = [*known, *(settings or ())]
    checked = make_card(
        base,
        channels=channel,
        model=model,
        set=settings or None,
        flavour=flavour,
        convention=convention,
        events=events,
        b_mesons=b_mesons,
        poisson=poisson,
        kpi=kpi,
        beam=beam,
        q2=q2,
        veto=veto,
        seed=seed,
        range=part,
        device=device,
        precision=precision,
        threads=threads,
        output=output,
        format=format,
        compression=compression,
        overwrite=overwrite,
        check=check,
        figures=figure,
        **stage_tables(base, stages),
    )
    if not run_card(checked):
        raise SystemExit(EXIT_FAILED)


@app.command()
@_guarded
def predict(
    observables: Annotated[list[str], typer.Argument(metavar="OBSERVABLE...", help="Such as R_K+ R_K*0 P5p AFB FL.")],
    model: ModelOption = "sm",
    settings: SetOption = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", help="Channel of the observables that do not name one. Default: B0->K*0mumu."),
    ] = None,
    bins: Annotated[
        str | None, typer.Option("--bins", metavar="EDGE,EDGE,...", help="Edges of bins of q2 in GeV^2.")
    ] = None,
    q2: Annotated[
        str | None,
        typer.Option("--q2", metavar="MIN,MAX", help="Without --bins: range of the curve, in GeV^2."),
    ] = None,
    points: Annotated[int, typer.Option("--points", min=2, max=1_000_000, help="Points of the curve.")] = 100,
    format: Annotated[str, typer.Option("--format", help="table or csv.")] = "table",
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Draw it, SM beside the model (.png, .pdf); repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing figures.")] = False,
) -> None:
    """Predict observables in bins of q2, or as curves: a table, CSV or a figure."""
    from .listing import predict_observables

    predict_observables(
        observables, _model(model, settings), channel, bins, q2, points, format, figure or [], overwrite
    )


@app.command()
@_guarded
def channels() -> None:
    """List the decay channels."""
    from .listing import list_channels

    list_channels()


@app.command()
@_guarded
def models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Show every field of this one.")] = None,
    settings: SetOption = None,
) -> None:
    """List the benchmark models, or show one."""
    from .listing import list_models, show_model

    if model is None:
        list_models()
    else:
        show_model(_model(model, settings))


@app.command()
@_guarded
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File that darkpenguin wrote.")],
    json: Annotated[bool, typer.Option("--json", help="Print the whole provenance as JSON.")] = False,
) -> None:
    """Show what is in a file and how it was made."""
    from .inspect_file import inspect_file

    inspect_file(file, json)


@app.command()
@_guarded
def validate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File that darkpenguin wrote.")],
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", help="Figure of pulls and spectra (.png, .pdf); repeatable."),
    ] = None,
    false_alarm: Annotated[float, typer.Option("--false-alarm", help="Probability that a correct file fails.")] = 1e-6,
    every: Annotated[bool, typer.Option("--all", help="List every test, not only the largest pulls.")] = False,
    threads: ThreadsOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing figures.")] = False,
) -> None:
    """Compare a file with the prediction: every angular moment, the q2 spectrum, the flavours. Exit 1 on failure."""
    from .generate import validate_and_show

    if not validate_and_show(file, figure or [], false_alarm, every, threads, overwrite):
        raise SystemExit(EXIT_FAILED)


@app.command()
@_guarded
def init(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Run card to write.")] = "run.toml",
    card: Annotated[str, typer.Option("--card", help="Built-in card to start from.")] = "example",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a run card with comments, to be changed."""
    from .listing import write_card

    write_card(file, card, overwrite)


@app.command()
@_guarded
def selftest(
    device: Annotated[str, typer.Option("--device", help="auto, cpu or gpu: where to generate.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="float64 or float32.")] = "float64",
    events: Annotated[str, typer.Option("--events", metavar="N", help="Events to generate.")] = "1e6",
    threads: ThreadsOption = None,
) -> None:
    """Generate, validate and time events on this machine; with a GPU, compare it with the CPU event by event."""
    from ...kinematics.base.checks import parse_count
    from .selftest import run_selftest

    if not run_selftest(device, precision, parse_count(events, "events"), threads):
        raise SystemExit(EXIT_FAILED)


app.command("constraints")(_guarded(constraints_command))
app.command("bin")(_guarded(bin_command))
app.command("hepmc")(_guarded(hepmc_command))
app.command("figure")(_guarded(figure_command))
app.command("scan")(_guarded(scan_command))
app.command("toys")(_guarded(toys_command))
app.command("sensitivity")(_guarded(sensitivity_command))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from ... import __version__

        print(f"darkpenguin {__version__}")
        raise SystemExit(0)


def _model(name: str | None, settings: list[str] | None) -> Model:
    from ...physics.models import apply_settings, get_model

    return apply_settings(get_model(name or "sm"), settings or [])
