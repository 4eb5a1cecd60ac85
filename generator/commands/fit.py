"""The command ``darkpenguin fit``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...kinematics.base.errors import InputError
from .console import print_json, waiting
from .drawing import FigureOption, OverwriteOption, check_figures, named, write_figures
from .options import MODEL, SET, THEORY, ExampleOption, JsonOption, Option, takes

if TYPE_CHECKING:
    from ...kinematics.base.results import Result
    from ..files.sample import EventsLike
    from ..fits.card import FitCard
    from ..fits.elsewhere import GlobalSignificance
    from ..fits.fit import Fit, Parameter
    from ..fits.limits import FitLimits

KEYS = (
    MODEL,
    SET,
    *THEORY,
    Option(
        "free",
        ("--float",),
        "Let a field of the model float, in a range; a mass has that of q2, Gamma/m 1e-4 to 1; repeatable.",
        list[str],
        "KEY[,MIN,MAX]",
    ),
    Option(
        "constraints",
        ("--constrain",),
        "Add what is known of a field that floats, a Gaussian; repeatable.",
        list[str],
        "KEY=MEAN,ERROR",
    ),
    Option(
        "nuisances",
        ("--nuisances",),
        "Let form factors or flavio's subleading charm float, with its covariance as a constraint; repeatable.",
        list[str],
        "form_factors|charm",
    ),
    Option("rates", ("--rates",), "Normalise channels one by one, or together: ratios count.", str, "free|common"),
    Option("b_mesons", ("--b-mesons",), "Say how many B of each charge there were: absolute rates count.", float),
    Option(
        "efficiency",
        ("--efficiency",),
        "Take this map as what the events were seen with, of all or of KEY; default: that of their card; repeatable.",
        list[str],
        "[KEY=]MAP",
    ),
    Option(
        "resolution",
        ("--resolution",),
        "Fit q2_reco, with the resolution of q2 in the density: that of the events' detector, or another one's.",
        str,
        "file|lhcb|lhcb-run3|lhcb-upgrade2|belle2",
    ),
    Option("minos", ("--minos",), "Find asymmetric errors too.", bool),
)

LIMITS = (
    Option(
        "limit",
        ("--limit",),
        "Find limits on this coupling by CL_s instead, all else that floats profiled, along --versus.",
        metavar="KEY",
    ),
    Option(
        "significance",
        ("--global",),
        "Find the global significance of this coupling instead, by toys without it, along --versus.",
        metavar="KEY",
    ),
    Option(
        "versus",
        ("--versus",),
        "Fix a mass or a width at these places for --limit or --global; repeatable.",
        list[str],
        "KEY,MIN,MAX,POINTS",
    ),
    Option("level", ("--level",), "Set the confidence level of --limit. Default: 0.95.", float),
    Option("feldman_cousins", ("--feldman-cousins",), "Find that interval beside --limit too, by toys: slow.", bool),
    Option("toys", ("--toys",), "Make so many toys for --global, or for each coupling of the interval.", int),
)
"""What is asked instead of the best values."""


def _cells(row: Parameter) -> tuple[str, ...]:
    digits = 1 - math.floor(math.log10(row.error)) if row.error > 0 and math.isfinite(row.error) else 6
    size = abs(row.value) or row.error
    figures = max(1, digits + math.floor(math.log10(size)) + 1) if size > 0 else 2
    asymmetric = "" if math.isnan(row.lower) and math.isnan(row.upper) else f"{row.lower:+.2g} {row.upper:+.2g}"
    return row.name, f"{row.value:.{figures}g}", f"{row.error:.2g}", asymmetric, "at an end" if row.at_limit else ""


def _show(found: Fit) -> None:
    from .console import show_table

    events = ", ".join(f"{n:,} {name}" for name, n in found.events.items())
    known = found.likelihood.nuisances
    cells = [_cells(row) for row in found[: len(found) - (0 if known is None else len(known.directions))]]
    used = [i for i in range(5) if i < 3 or any(row[i] for row in cells)]
    header = ("", "value", "error", "MINOS", "")
    rows = [tuple(row[i] for i in used) for row in cells]
    show_table(f"fit of {events}", tuple(header[i] for i in used), rows, left=1)
    print("converged" if found.converged else f"not converged: {found.reason}", f"(-2 ln L = {found.minimum:.2f})")
    if found.nuisances is not None:
        far = max(found.nuisances, key=lambda row: abs(row.value - row.central) / row.before)
        pull = (far.value - far.central) / far.before
        print(f"{len(found.nuisances)} of flavio's parameters floated, {far.name} the farthest: {pull:+.2f} errors")
    for one in found.goodness:
        print(f"{one.channel}: chi2 = {one.chi2:.1f} in {len(one.counts)} bins of q2, p = {one.p_value:.3g} at most")


def split_card(words: list[str], card: str | None) -> tuple[list[str], str | None]:
    """Files of events and the card of FILE... [CARD]: a .toml file, or the name of a built-in card, is one.

    >>> split_card(["a.root", "b.root", "mine.toml"], None)
    (['a.root', 'b.root'], 'mine.toml')
    """
    from ...kinematics.base.cards import cards_in
    from ..fits.card import FitCard

    built_in = cards_in(FitCard.folder)
    cards = [word for word in words if word.lower().endswith(".toml") or word in built_in]
    given = [*cards, *([] if card is None else [card])]
    if len(given) > 1:
        raise InputError(f"card: {', '.join(given)} given; one card says what floats")
    return [word for word in words if word not in cards], (given[0] if given else None)


def _given(words: list[str], card: str | None) -> tuple[list[str], str | None]:
    """As `split_card`; InputError unless there are files, and each is there."""
    sources, chosen = split_card(words, card)
    if not sources:
        raise InputError("files: name a file of events, or those of parts of one run")
    for name in sources:
        if not Path(name).exists():
            raise InputError(
                f"files = {name!r}: no such file of events, and no card of that name; a card is a .toml file, or "
                "example"
            )
    return sources, chosen


def _check_outputs(paths: list[str] | None, overwrite: bool) -> None:
    from ...kinematics.base.files import check_target

    for path in paths or ():
        if not path.lower().endswith((".json", ".csv")):
            raise InputError(f"output = {path!r}: write FILE.json, or FILE.csv for the table")
        check_target(path, overwrite=overwrite)


def _instead(events: EventsLike, card: FitCard, asked: dict[str, Any]) -> FitLimits | GlobalSignificance | None:
    """Limits or a global significance, if one of them is asked; InputError for what belongs to neither."""
    from ..fits.elsewhere import global_significance
    from ..fits.limits import fit_limits

    limit, significance = asked.pop("limit"), asked.pop("significance")
    how = {key: value for key, value in asked.items() if value is not None}
    if limit is None and significance is None:
        if how:
            raise InputError(f"{', '.join(how)}: belongs to --limit KEY or --global KEY; --profile follows -2 ln L")
        return None
    if limit is not None and significance is not None:
        raise InputError("--limit and --global: one at a time")
    with waiting("limits" if limit is not None else "toys without the coupling"):
        if limit is not None:
            return fit_limits(events, card, limit, **how)
        if wrong := set(how) - {"versus", "toys"}:
            raise InputError(f"{', '.join(sorted(wrong))}: belongs to --limit KEY")
        return global_significance(events, card, significance, **{"versus": [], **how})


def _write(output: list[str] | None, told: dict[str, Any], table: Result, overwrite: bool) -> None:
    """Write what was found as JSON, or a table as CSV."""
    from ...kinematics.base.files import write_text

    for path in output or ():
        text = json.dumps(told, indent=1, allow_nan=False) if path.lower().endswith(".json") else None
        write_text(Path(path), table.to_pandas().to_csv(index=False) if text is None else text, overwrite)


def _report(
    result: FitLimits | GlobalSignificance,
    as_json: bool,
    output: list[str] | None,
    figure: list[str] | None,
    overwrite: bool,
) -> None:
    """Print limits or a significance, write and draw them."""
    from ..fits.limits import FitLimits

    written = write_figures(result, figure, overwrite)
    _write(output, result.to_dict(), result, overwrite)
    if as_json:
        print_json(result)
        return
    if isinstance(result, FitLimits):
        _show_limits(result)
    else:
        at = ", ".join(f"{key} = {value:.4g}" for key, value in result.at.items())
        print(
            f"{result.local:.2f} sigma at {at}; global p = {result.p_value:.3g} ({result.significance:.2f} sigma), of "
            f"{result.toys} toys {result.p_toys:.3g} have as much"
        )
    for path in (*written, *(output or ())):
        print(f"{'figure' if path in written else 'file'}: {path}")


def _show_limits(found: FitLimits) -> None:
    from .console import show_table

    def text(value: float | None) -> str:
        return "no limit" if value is None else f"{value:.3g}"

    rows = []
    for row in found:
        expected = [text(band[2]) if band else "" for band in (row.band_lower, row.band_upper)]
        pieces = "; ".join(f"{a:.3g} to {b:.3g}" for a, b in row.feldman_cousins or ())
        cells = [f"{value:.4g}" for value in row.at.values()]
        rows.append((*cells, text(row.lower), text(row.upper), *expected, *([pieces] if pieces else [])))
    last = ("Feldman-Cousins",) if any(row.feldman_cousins for row in found) else ()
    header = (*found[0].at, "lower", "upper", "expected lower", "expected upper", *last)
    show_table(f"{100 * found.level:g} % CL_s limits on {found[0].coupling}", header, rows)


@takes(*KEYS, *LIMITS)
def fit_command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE... [CARD]",
            help="File of events, or those of parts of one run; and a card of a fit: a TOML file, or example.",
        ),
    ] = None,
    card: Annotated[
        str | None, typer.Option("--card", metavar="FILE|NAME", help="Take a card of a fit: example is one.")
    ] = None,
    example: ExampleOption = False,
    profiles: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            metavar="KEY[,MIN,MAX,POINTS]",
            help="Follow -2 ln L along this field, 3 errors to either side or in a range; given twice, in a plane.",
        ),
    ] = None,
    as_json: JsonOption = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write all as FILE.json; as FILE.csv the profile, the fields without one; repeatable.",
        ),
    ] = None,
    figure: FigureOption = None,
    overwrite: OverwriteOption = False,
    device: Annotated[str, typer.Option("--device", help="Sum the densities of events on cpu or gpu.")] = "cpu",
    **keys: Any,
) -> None:
    """Fit masses, widths, couplings and phases to a file's events, unbinned.

    The density is the generator's own, in q2, angles and flavour, behind the efficiency. The error of a fit that does
    not converge is its reason, and the exit code is 1.
    """
    from ..fits.card import FitCard

    if example:
        print(FitCard.example(), end="")
        return
    sources, chosen = _given(files or [], card)
    from ..fits.fit import likelihood_of, minimised
    from ..fits.profile import profile, profile_axes

    check_figures(figure, overwrite, ("", *(["profile"] if profiles else [])))
    _check_outputs(output, overwrite)
    instead = {row.key: keys.pop(row.key) for row in LIMITS}
    asked, events = FitCard.make(chosen, **keys), sources[0] if len(sources) == 1 else sources
    result = _instead(events, asked, instead)
    if result is not None:
        if profiles:
            raise InputError("--profile: beside --limit or --global there is no profile; one at a time")
        _report(result, as_json, output, figure, overwrite)
        return
    with waiting("reading the events") as say:
        likelihood = likelihood_of(events, asked, device=device)
        axes = profile_axes(profiles, likelihood.free) if profiles else []
        say("fitting")
        found = minimised(likelihood, asked.minos, asked.search)
        say("following -2 ln L")
        along = profile(found, *axes) if axes else None
    written = write_figures(found, figure, overwrite)
    if along is not None:
        written += write_figures(along, [str(named(path, "profile")) for path in figure or ()], overwrite)
    told = found.to_dict() | ({} if along is None else {"profile": along.to_dict()})
    _write(output, told, found if along is None else along, overwrite)
    if as_json:
        print_json(told)
    else:
        _show(found)
        for path in (*written, *(output or ())):
            print(f"{'figure' if path in written else 'file'}: {path}")
    if not found.converged:
        raise SystemExit(1)
