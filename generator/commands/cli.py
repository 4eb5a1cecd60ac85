"""The command line: every command is a few lines around a function that Python users can call too.

Nothing heavy is imported before a command runs, so ``darkpenguin --help`` is quick.
"""

from __future__ import annotations

import atexit
import copy
import functools
import gc
import io
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ...kinematics.base.errors import InputError, TryAgainError, one_line
from .bins import bin_command, hepmc_command
from .console import Talk, note
from .constraints import constraints_command
from .drawing import FigureOption, OverwriteOption
from .explore import explore_command
from .farm import DaskOption, ReportOption, merge_command, plan_command
from .figures import figure_command, scan_command
from .fit import fit_command
from .fold import fold_command
from .options import MODEL, RUN, SET, THEORY, JsonOption, takes
from .recast import recast_command
from .toys import sensitivity_command, toys_command
from .weigh import weigh_command

LOOK: dict[str, Any] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
"""How all commands look and fail: plainly."""
HELP = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """The commands; ``generate`` gets the options of the stages once it is called: they are heavy to import."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name and command that the words on the command line ask for, and what is left of them."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, (_whole_generate() if name == "generate" else command), rest


app = typer.Typer(
    name="darkpenguin",
    cls=Commands,
    help="Generate B -> K(*) l l with a light vector resonance, exactly, and check what was generated.",
    no_args_is_help=True,
    context_settings=HELP,
    **LOOK,
)
EXIT_FAILED = 1
"""Exit code when a file does not agree with the prediction."""
EXIT_INPUT = 2
"""Exit code of a mistake in what was asked for."""
EXIT_BUG = 70
"""Exit code of a mistake in this program (EX_SOFTWARE)."""
EXIT_AGAIN = 75
"""Exit code when the same command may succeed later: the disk is full, a worker was lost (EX_TEMPFAIL)."""
EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def script() -> None:
    """Run the command line in a process of its own (the entry point ``darkpenguin``), and end at once.

    The memory goes with the process: to look for garbage in it and to free it object by object took a fifth of a short
    run. Threads, and what is registered for the end, come before, as always.
    """
    code: list[int] = []

    def end() -> None:
        if code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code[0])

    atexit.register(end)  # what is registered first is called last
    try:
        main()
    except SystemExit as stop:
        if isinstance(stop.code, int):
            code.append(stop.code)
        raise


def main() -> None:
    """Run the command line."""
    gc.set_threshold(500_000)  # what is imported stays: looking for garbage in it took a seventh of a short run
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # nor are there any to be looked for
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error: not every terminal has a χ
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _terminated)
    began = time.monotonic()
    try:
        _guarded(_asked(sys.argv[1:]))()
    except SystemExit as end:
        if Talk.verbose:
            note(f"{time.monotonic() - began:.1f} s")
        # the library's own way to say that nobody reads its help
        raise SystemExit(0 if type(sys.stdout).__name__ == "PacifyFlushWrapper" else end.code) from None


def _asked(words: Sequence[str]) -> typer.Typer:
    """The command that the words ask for alone, since Typer takes long over all of them; else all of them."""
    name = next((word for word in words if not word.startswith("-")), None)
    named = [each for each in app.registered_commands if name in (each.name, getattr(each.callback, "__name__", None))]
    if name is None or not named:  # its own help, or a shell that completes words
        return app
    alone = copy.copy(app)
    alone.registered_commands = named
    if name == "generate":
        alone.info = copy.copy(app.info)
        alone.info.cls, alone.registered_commands = TyperGroup, _generate_alone().registered_commands
    return alone


def _open_closed_streams() -> None:
    """Open to nothing what we were started without: else the next file would be standard output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            os.dup2(handle, number)
            if handle != number:
                os.close(handle)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, (DeprecationWarning, PendingDeprecationWarning)):
        return
    note(one_line(f"darkpenguin: warning: {message}"))


def _terminated(*_: Any) -> NoReturn:
    """Leave through the context managers, so that no part of a file stays behind."""
    raise SystemExit(128 + signal.SIGTERM)


def _stop(message: str, code: int) -> NoReturn:
    note(f"darkpenguin: {message}")
    raise SystemExit(code)


def _failed_system(error: OSError) -> NoReturn:
    """Leave after an error of the system that nobody expected."""
    from ...kinematics.base.files import not_written

    again = isinstance(not_written("", error, ""), TryAgainError)
    if again and error.filename is None:  # standard output: what is left in its buffer cannot be written either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    name = error.filename if error.filename is not None else "output"
    _stop(one_line(f"error: {name}: {error.strerror or error}"), EXIT_AGAIN if again else EXIT_INPUT)


def _guarded(command: Callable[..., Any]) -> Callable[..., None]:
    """Turn what can go wrong into one line and an exit code; only a mistake of ours shows a traceback."""

    @functools.wraps(command)
    def guarded(*args: Any, **keywords: Any) -> None:
        try:
            try:
                command(*args, **keywords)
            finally:
                sys.stdout.flush()
        except TryAgainError as error:
            _stop(f"error: {error}", EXIT_AGAIN)
        except InputError as error:
            _stop(f"error: {error}", EXIT_INPUT)
        except KeyboardInterrupt:
            _stop("interrupted; unfinished files were removed", EXIT_INTERRUPTED)
        except BrokenPipeError:  # the reader of our output went away, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None
        except OSError as error:  # a disk that fills up, a file without permission
            _failed_system(error)
        except MemoryError:
            _stop("error: the memory does not suffice; ask for less at a time", EXIT_INPUT)
        except Exception as error:
            with suppress(OSError):
                traceback.print_exc()
            _stop(
                "error: this is a bug; please report it with the lines above and the command "
                f"({one_line(f'{type(error).__name__}: {error}')})",
                EXIT_BUG,
            )

    return guarded


CardArgument = Annotated[
    str | None,
    typer.Argument(metavar="[CARD]", help="Run card: a TOML file, a built-in card's name, or a file of events."),
]
CardOption = Annotated[str | None, typer.Option("--card", help="Name the card here instead of as CARD.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Use this many CPU threads. Default: all.")]
ExampleOption = Annotated[bool, typer.Option("--example", help="Print a card to start from, and stop.")]


def _generate(
    card: CardArgument = None,
    card_option: CardOption = None,
    example: ExampleOption = False,
    dask: DaskOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
    **keys: Any,
) -> None:
    """Generate events into a ROOT or Parquet file.

    What is made is said by a run card, by options, or by both: options win.
    """
    from ..run.card import RunCard, read_card
    from .generate import run_card
    from .stage_options import stage_tables

    if example:
        print(RunCard.example(), end="")
        return
    if card is not None and card_option is not None:
        raise InputError(f"--card = {card_option!r}: a card was named already, {card!r}; give one of the two")
    name = card if card is not None else card_option
    base = {"output": "events.root", **(read_card(name) if name is not None else {})}
    own = {key: keys[key] for key in ("theory", *(row.key for row in RUN)) if key in keys}
    if not run_card(RunCard.make(base, **own, **stage_tables(base, keys)), dask, report, as_json):
        raise SystemExit(EXIT_FAILED)


app.command("generate")(_guarded(takes(*RUN)(_generate)))


def _whole_generate() -> Any:
    """The command ``generate`` with the options of the stages."""
    return typer.main.get_command(_generate_alone())


def _generate_alone() -> typer.Typer:
    """The same as the only command, options of the stages behind that of the beam."""
    from .stage_options import stage_parameters

    behind = [row.key for row in RUN].index("beam") + 1
    alone = typer.Typer(add_completion=False, **LOOK)
    command = takes(*RUN[:behind], *stage_parameters(), *RUN[behind:])(_generate)
    alone.command("generate", context_settings=HELP)(_guarded(command))
    return alone


@app.command()
@_guarded
@takes(MODEL, SET, *THEORY)
def predict(
    observables: Annotated[
        list[str], typer.Argument(metavar="OBSERVABLE...", help="Observables such as R_K+ R_K*0 P5p AFB FL.")
    ],
    channel: Annotated[
        str | None,
        typer.Option("--channel", help="Take this channel for observables that do not name one. Default: B0->K*0mumu."),
    ] = None,
    bins: Annotated[
        str | None,
        typer.Option("--bins", metavar="NAME|EDGES", help="Integrate over bins of q2: lhcb, cms ..., edges or pairs."),
    ] = None,
    q2: Annotated[
        str | None,
        typer.Option("--q2", metavar="MIN,MAX", help="Without --bins, draw a curve over this range in GeV^2."),
    ] = None,
    points: Annotated[
        int, typer.Option("--points", min=2, max=1_000_000, help="Compute this many points of the curve.")
    ] = 100,
    kpi: Annotated[
        str | None,
        typer.Option(
            "--kpi",
            metavar="NAME[,KEY=VALUE]",
            help="Give the K* its width (pwave), or an S wave too (swave): rates are of the window, and of K+ pi-.",
        ),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Add errors of the theory; --format json has their correlations too.")
    ] = False,
    format: Annotated[str, typer.Option("--format", help="Print a table, csv or json.")] = "table",
    as_json: JsonOption = False,
    popxf: Annotated[
        str | None,
        typer.Option(
            "--popxf",
            metavar="KEY[,KEY...]",
            help="Print them as polynomials in these couplings of the model: JSON in the format POPxf.",
        ),
    ] = None,
    figure: FigureOption = None,
    overwrite: OverwriteOption = False,
    **keys: Any,
) -> None:
    """Predict observables in bins of q2, or as curves.

    The result is a table, CSV or a figure.
    """
    from .listing import predict_observables, print_polynomials
    from .options import format_of

    if popxf is not None:
        print_polynomials(observables, keys, popxf, channel, bins)
        return
    chosen = format_of(format, as_json)
    predict_observables(observables, keys, channel, bins, q2, points, kpi, errors, chosen, figure or (), overwrite)


@app.command()
@_guarded
def channels(as_json: JsonOption = False) -> None:
    """List the decay channels."""
    from .listing import list_channels

    list_channels(as_json)


@app.command()
@_guarded
@takes(SET, *THEORY)
def models(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Show every field of this benchmark, TOML file or card.")
    ] = None,
    as_json: JsonOption = False,
    **keys: Any,
) -> None:
    """List the benchmark models, or show one."""
    from .listing import list_models, show_model

    if model is None:
        list_models(as_json)
    else:
        from ...physics.models import as_model

        show_model(as_model(model, keys["set"] or (), keys["theory"]), as_json)


@app.command()
@_guarded
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File that darkpenguin wrote.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print the whole provenance as JSON; with --verify what is damaged.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it instead, and compare with the digests in it.")
    ] = False,
) -> None:
    """Show what is in a file and how it was made.

    With --verify the exit code is 1 if the file is not what was written.
    """
    from .inspect_file import inspect_file, verify_file

    if not verify:
        inspect_file(file, json)
    elif not verify_file(file, json):
        raise SystemExit(EXIT_FAILED)


@app.command()
@_guarded
def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="File, or files of parts of one run.")],
    figure: FigureOption = None,
    false_alarm: Annotated[
        float, typer.Option("--false-alarm", help="Let a correct file fail with this probability.")
    ] = 1e-6,
    every: Annotated[bool, typer.Option("--all", help="List every test, not only the largest pulls.")] = False,
    overwrite: OverwriteOption = False,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a file with the prediction.

    Every angular moment, the q2 spectrum and the flavours are tested; the exit code is 1 if the file disagrees.
    """
    from .generate import validate_and_show

    if not validate_and_show(files, figure or (), false_alarm, every, threads, overwrite, as_json):
        raise SystemExit(EXIT_FAILED)


@app.command()
@_guarded
def init(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Run card to write.")] = "run.toml",
    card: Annotated[str, typer.Option("--card", help="Start from this built-in card.")] = "example",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a run card with comments, to be changed."""
    from .listing import write_card

    write_card(file, card, overwrite)


@app.command()
@_guarded
def selftest(
    device: Annotated[str, typer.Option("--device", help="Generate on auto, cpu or gpu.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="Compute in float64 or float32.")] = "float64",
    events: Annotated[str, typer.Option("--events", metavar="N", help="Generate this many events.")] = "1e6",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate, validate and time events on this machine.

    With a GPU, it is compared with the CPU event by event.
    """
    from ...kinematics.base.checks import parse_count
    from .selftest import run_selftest

    if not run_selftest(device, precision, parse_count(events, "events"), threads, as_json):
        raise SystemExit(EXIT_FAILED)


app.command("constraints")(_guarded(constraints_command))
app.command("plan")(_guarded(plan_command))
app.command("merge")(_guarded(merge_command))
app.command("weigh")(_guarded(weigh_command))
app.command("fit")(_guarded(fit_command))
app.command("recast")(_guarded(recast_command))
app.command("bin")(_guarded(bin_command))
app.command("fold")(_guarded(fold_command))
app.command("hepmc")(_guarded(hepmc_command))
app.command("explore")(_guarded(explore_command))
app.command("figure")(_guarded(figure_command))
app.command("scan")(_guarded(scan_command))
app.command("toys")(_guarded(toys_command))
app.command("sensitivity")(_guarded(sensitivity_command))


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print versions: ours, and below it what it stands on.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", envvar="DARKPENGUIN_QUIET", help="Say nothing beside results and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell progress every two seconds and the seconds it took.")
    ] = False,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="Print without colours and styles, as with NO_COLOR in the environment.")
    ] = False,
) -> None:
    if quiet and verbose:
        raise InputError("--quiet and --verbose are both given; give one of the two")
    Talk.quiet, Talk.verbose = quiet, verbose
    if no_color:
        os.environ.update(NO_COLOR="1", TERM="dumb")
    if version:
        _print_versions()
        raise SystemExit(0)


def _print_versions() -> None:
    """The version of the package alone on the first line, for programs; those of what makes events below it."""
    import platform

    from ... import __version__
    from ..files.provenance import package_versions

    print(f"darkpenguin {__version__}")
    print(f"Python {platform.python_version()}")
    for name, found in package_versions().items():
        if name != "darkpenguin":
            print(f"{name} {found}")
