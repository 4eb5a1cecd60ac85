"""Options of the command line that are keys of a card: each a row, from which a command gets its parameters."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from ...kinematics.base.errors import InputError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ExampleOption = Annotated[bool, typer.Option("--example", help="Print a card to start from, and stop.")]


def format_of(format: str, as_json: bool) -> str:
    """The format of a command that has ``--format`` and ``--json``.

    Raises:
        InputError: another format, or two that differ.

    Example:
        >>> format_of("table", as_json=True)
        'json'
    """
    if format not in ("table", "csv", "json"):
        raise InputError(f"format = {format!r}: allowed are table, csv, json")
    if as_json and format == "csv":
        raise InputError("--json and --format csv: give one of the two")
    return "json" if as_json else format


class Option(NamedTuple):
    """One option: the key of the card that it sets, its flags, what it is, and the type of its value."""

    key: str
    flags: tuple[str, ...]
    help: str
    kind: Any = str
    metavar: str | None = None

    @property
    def parameter(self) -> inspect.Parameter:
        """The parameter of a command that the option becomes; None unless it is given."""
        words = {str: "TEXT", int: "N", float: "NUMBER", list[str]: "TEXT", list[float]: "NUMBER", bool: None}
        option = typer.Option(None, *self.flags, metavar=self.metavar or words[self.kind], help=self.help)
        return inspect.Parameter(self.key, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=self.kind | None)


def takes(*rows: Option | inspect.Parameter) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that has ``**keys``: it takes these options, and gets their values by key.

    >>> @takes(Option("seed", ("--seed",), "Seed of the random numbers."))
    ... def command(card: str = "demo", **keys: Any) -> None: ...
    >>> list(inspect.signature(command).parameters)
    ['card', 'seed']
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def taking(*args: Any, **keys: Any) -> None:
            command(*args, **_gathered(keys))

        own = inspect.signature(command, eval_str=True)
        shown = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        for row in rows:
            parameter = row.parameter if isinstance(row, Option) else row
            shown.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
        taking.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
        return taking

    return decorated


def _gathered(keys: dict[str, Any]) -> dict[str, Any]:
    """Values of options by key, those of THEORY as one table, in which an option ``theory`` is ``errors``."""
    if THEORY[0].key not in keys:
        return keys
    table = {"errors": keys.pop("theory", None)}
    table |= {row.key.removeprefix("theory_"): keys.pop(row.key, None) for row in (*THEORY, RADIATION)}
    if table["resonances"] is not None:
        table["resonances"] = _resonances(table["resonances"])
    return {**keys, "theory": {name: value for name, value in table.items() if value is not None} or None}


def _resonances(texts: list[str]) -> dict[str, Any]:
    """NAME.FIELD=VALUE, and NAME.branching.TRANSITION=VALUE, as a table.

    >>> _resonances(["J/psi.phase=1.5", "psi(4040).on=true", "J/psi.branching.B0->K*0=1e-3"])
    {'J/psi': {'phase': 1.5, 'branching': {'B0->K*0': 0.001}}, 'psi(4040)': {'on': True}}
    """
    from ...kinematics.base.checks import parse_value  # pydantic comes with it, and `--help` does without

    table: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.rpartition("=")
        names = path.split(".", 2)
        if not equals or len(names) < 2:
            raise InputError(f"--resonance = {text!r}: write NAME.FIELD=VALUE, for example J/psi.phase=1.5")
        inner = table
        for name in names[:-1]:
            inner = inner.setdefault(name.strip(), {})
        inner[names[-1].strip()] = parse_value(value)
    return table


MODEL = Option(
    "model",
    ("--model",),
    "Name the model: a benchmark (`darkpenguin models` lists them), a TOML file of its fields, or a card that has one.",
    metavar="NAME|FILE",
)
SET = Option(
    "set", ("--set",), "Change a field of the model, as light_vectors.0.mass=2.8; repeatable.", list[str], "KEY=VALUE"
)
THEORY = (
    Option(
        "theory_nonlocal",
        ("--nonlocal",),
        "Take charm as in flavio (default), or with its resonances: their plain sum, or dispersive.",
        metavar="flavio|resonances|dispersive",
    ),
    Option(
        "theory_phases",
        ("--phases",),
        "Take this set of phases of the resonances, illustrations all: both-negative (default), factorisation ...",
        metavar="NAME",
    ),
    Option(
        "theory_resonances",
        ("--resonance",),
        "Change a resonance: phase, phase_0 (of the K*), phase_par, mass, width, branching, on ...; repeatable.",
        list[str],
        "NAME.FIELD=VALUE",
    ),
    Option(
        "theory_amplitudes",
        ("--amplitudes",),
        "Take form factors and C7eff, C9eff as in flavio (default) or as in EvtGen's BTOSLLBALL: btosllball (its "
        "default form factors), btosllball-2 or btosllball-6.",
        metavar="NAME",
    ),
    Option(
        "theory_form_factors",
        ("--form-factors",),
        "Take form factors of this paper: hpqcd-2022, grvdv-2023, gkvd-2018, lattice-2015 ..., or of one transition "
        "alone, as 'B->K=hpqcd-2022'; repeatable.",
        list[str],
        "[TRANSITION=]NAME",
    ),
    Option(
        "theory_parameters",
        ("--parameter",),
        "Set a parameter of flavio, as Vcb=0.041; repeatable.",
        list[str],
        "NAME=VALUE",
    ),
    Option(
        "theory_draw",
        ("--theory-draw",),
        "Take the draw of this number, from 0, of all of flavio's parameters, correlated.",
        int,
    ),
)
"""What the Standard Model is taken to be: options of every command that takes a model."""
RADIATION = Option(
    "theory_radiation",
    ("--radiation",),
    "Let the leptons radiate photons: none (default) or leading-log, with a column q2_ll of the leptons' own q2.",
    metavar="NAME",
)
SEED = Option("seed", ("--seed",), "Set the seed of the random numbers. Default: 1.", metavar="N")
THREADS = Option("threads", ("--threads",), "Use this many CPU threads. Default: all.", int)

RUN = (
    Option("channels", ("--channel",), "Name a decay channel, such as 'B0->K*0mumu'; repeatable.", list[str]),
    MODEL,
    SET,
    *THEORY,
    RADIATION,
    Option("flavour", ("--flavour",), "Make both, b (B0, B+) or bbar. Default: both, in the ratio of their rates."),
    Option("convention", ("--convention",), "Follow the convention lhcb or theory for the angles. Default: lhcb."),
    Option("events", ("--events",), "Make this many events of each channel; 1e6 will do.", metavar="N"),
    Option(
        "b_mesons",
        ("--b-mesons",),
        "Instead of --events, say how many B mesons of each charge there are; their branching fractions do the rest.",
        metavar="N",
    ),
    Option(
        "accepted",
        ("--accepted",),
        "Instead of --events, make as many as it takes until this many of each channel pass cuts and efficiency.",
        metavar="N",
    ),
    Option("poisson", ("--poisson",), "Draw the number of events from a Poisson distribution.", bool),
    Option(
        "kpi",
        ("--kpi",),
        "Take the K* as narrow (default), pwave or, beside l l, swave; keys may follow, as in swave,m_max=1.1.",
        metavar="NAME[,KEY=VALUE]",
    ),
    Option(
        "beam",
        ("--beam",),
        "Add momenta in the laboratory, behind the beam rest, belle2, lhcb-13tev (7, 8, 13.6) ...",
    ),
    Option("q2", ("--q2",), "Generate this range of q2 in GeV^2 only; repeatable.", list[str], "MIN,MAX"),
    Option(
        "veto", ("--veto",), "Leave out this range of q2 in GeV^2, or jpsi, or psi2s; repeatable.", list[str], "MIN,MAX"
    ),
    SEED,
    Option(
        "range",
        ("--range",),
        "Make these events of the run only, the same as in the whole.",
        metavar="START:STOP",
    ),
    Option(
        "part",
        ("--part",),
        "Make this one of so many equal parts of the run, into a file that is named after it; merge joins them.",
        metavar="K/N",
    ),
    Option("device", ("--device",), "Generate on auto, cpu or gpu. Default: auto."),
    Option("precision", ("--precision",), "Compute in float64 or float32. Default: float64."),
    THREADS,
    Option(
        "output",
        ("--output", "-o"),
        "Write this file, .root or .parquet; {channel} in its name makes a file a channel. Default: events.root.",
    ),
    Option(
        "reduce",
        ("--reduce",),
        "Write these histograms (a TOML file, a table each) instead of events; merge adds those of parts.",
        metavar="HISTOGRAMS.toml",
    ),
    Option("format", ("--format",), "Write a ttree, rntuple or parquet. Default: as the file's ending says."),
    Option("compression", ("--compression",), "Compress with none, lz4 or zstd. Default: lz4."),
    Option("overwrite", ("--overwrite",), "Replace existing files.", bool),
    Option("check", ("--check",), "Validate the files once they are written; the exit code is 1 on failure.", bool),
    Option("figures", ("--figure",), "Draw R with the events into this file (.png, .pdf); repeatable.", list[str]),
)
"""Every key of a run card but those of the stages, whose options the table of stages has."""
