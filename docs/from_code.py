"""Directives whose content is the code's own: run cards, commands, columns and tables of rows, never a copy of them."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

Row = Sequence[str]


def found(path: str) -> Any:
    """The object that ``room.module.name`` names inside the package."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"darkpenguin.{module}"), name)


def one_line(text: str) -> str:
    """A text on one line, fit for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def written(text: str) -> str:
    """A docstring's reStructuredText, as Markdown: code in double backquotes and roles in single ones."""
    import re

    return re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text).replace("``", "`")


def kind(annotation: Any) -> str:
    """A type as a user of cards sees it.

    >>> kind(int | None), kind(tuple[str, ...])
    ('number', 'list of texts')
    """
    words = {int: "number", float: "number", str: "text", bool: "true or false", complex: "complex number"}
    if annotation in words:
        return words[annotation]
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(inside[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in (tuple, list):
        parts = [kind(part) for part in inside if part is not Ellipsis]
        if len(parts) == 1:
            return f"list of {parts[0]}s" if parts[0] in ("number", "text") else f"list: {parts[0]}"
        return "[" + ", ".join(parts) + "]"
    if origin is not None and inside and origin is not dict:
        return " or ".join(dict.fromkeys(kind(part) for part in inside if part is not type(None)))
    return "table"


def default(field: Any) -> str:
    """A field's default, as it stands in a card; empty where there is none to write down."""
    value = field.default
    if value is PydanticUndefined or value is None or value == () or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def field_rows(model: type[BaseModel]) -> Iterable[Row]:
    """Key, type, default and meaning of each field of a card or of a table in it."""
    documented: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            attributes = ModuleAnalyzer.for_module(owner.__module__).find_attr_docs()
            documented |= {name: " ".join(text) for (of, name), text in attributes.items() if of == owner.__name__}
    for name, field in model.model_fields.items():
        annotation = field.rebuild_annotation() if field.metadata else field.annotation
        meaning = written(documented.get(name, field.description or ""))
        yield f"`{name}`", kind(annotation), default(field), meaning


class FromCode(SphinxDirective):
    """A directive whose body is Markdown made from what its argument names."""

    optional_arguments = 1
    final_argument_whitespace = True

    def lines(self, argument: str) -> Iterable[str]:
        """The Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse it where the directive stands."""
        text = [line for part in self.lines(self.arguments[0] if self.arguments else "") for line in part.split("\n")]
        holder = nodes.section()
        holder.document = self.state.document
        self.state.nested_parse(StringList(text, source="from the code"), 0, holder, match_titles=True)
        return holder.children


def table(head: Row, rows: Iterable[Row]) -> list[str]:
    """A Markdown table."""
    cells = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(one_line(str(cell)) for cell in row) + " |" for row in cells), ""]


class CardKeys(FromCode):
    """``{card-keys} module.Class``: the keys of a card, or of a table in one, from its fields and their docstrings."""

    def lines(self, argument: str) -> Iterable[str]:
        """Four columns."""
        return table(("key", "value", "default", "meaning"), field_rows(found(argument)))


class ExampleCard(FromCode):
    """``{example-card} module.Class``: the card with comments that ``--example`` and ``init`` print."""

    def lines(self, argument: str) -> Iterable[str]:
        """The card as it is."""
        return ["````toml", found(argument).example().rstrip(), "````", ""]


class Commands(FromCode):
    """``{commands}``: every command with its arguments and options, from the parser itself."""

    def lines(self, argument: str) -> Iterable[str]:
        """A section a command."""
        import typer
        from darkpenguin.generator.commands.cli import _whole_generate, app

        group = typer.main.get_command(app)
        assert isinstance(group, typer.core.TyperGroup)
        for name in sorted(group.commands):
            command = _whole_generate() if name == "generate" else group.commands[name]
            yield f"## darkpenguin {name}"
            yield ""
            yield inspect.cleandoc(command.help or "")
            yield ""
            context = typer.Context(command, info_name=f"darkpenguin {name}")
            yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
            records = [parameter.get_help_record(context) for parameter in command.params]
            rows = [(f"`{record[0].split(' <')[0]}`", record[1]) for record in records if record]
            yield from table(("argument or option", "meaning"), rows)


def methods(value: type) -> list[str]:
    """Public methods and properties that a class of ours, not a library, defines; its fields have tables elsewhere."""
    own = [base for base in value.__mro__ if base.__module__.startswith("darkpenguin")]
    found = {name: member for base in reversed(own) for name, member in vars(base).items() if not name.startswith("_")}
    kinds = (property, classmethod, staticmethod)
    return [
        n for n, m in found.items() if (isinstance(m, kinds) or inspect.isfunction(m)) and not n.startswith("model_")
    ]


class PublicNames(FromCode):
    """``{public-names}``: every public name, in the order of its room; sections are the rooms."""

    def lines(self, argument: str) -> Iterable[str]:
        """A section a module, with its names documented from their docstrings."""
        import darkpenguin

        homes: dict[str, list[str]] = {}
        for name, home in darkpenguin._HOMES.items():
            homes.setdefault(home, []).append(name)
        for home in sorted(homes, key=self.place):
            for name in sorted(homes[home], key=lambda one: inspect.isclass(getattr(darkpenguin, one))):
                value = getattr(darkpenguin, name)
                yield f"## {name}"
                yield ""
                yield "```{eval-rst}"
                if inspect.ismodule(value):
                    yield f".. automodule:: {value.__name__}"
                    yield "   :members:"
                    yield "   :imported-members:" if home.endswith("statistics:") else ""
                elif inspect.isclass(value):
                    yield f".. autoclass:: darkpenguin.{home}.{name}"
                    yield f"   :members: {', '.join(methods(value))}" if methods(value) else ""
                elif callable(value):
                    yield f".. autofunction:: darkpenguin.{home}.{name}"
                else:
                    yield f".. autodata:: darkpenguin.{home}.{name}"
                    yield "   :no-value:"
                yield "```"
                yield ""

    @staticmethod
    def place(home: str) -> tuple[int, str]:
        """Rooms in the order of an event's way, what a user calls first before what stands below it."""
        rooms = ("run", "files", "analysis", "predict", "physics", "fits", "toys", "scans", "statistics", "figures")
        return next((i for i, room in enumerate(rooms) if room in home), len(rooms)), home


class Rows(FromCode):
    """``{rows} columns|channels|models|...``: a table of rows as the package has it."""

    def lines(self, argument: str) -> Iterable[str]:
        """What the argument names."""
        return TABLES[argument]()


def columns() -> list[str]:
    """Every column an event may have."""
    from darkpenguin.generator.files.columns import columns, makers

    rows = [
        (f"`{name}`", column.unit, ", ".join(f"`{maker}`" for maker in makers(name)), column.meaning)
        for name, column in columns().items()
    ]
    return table(("column", "unit", "made by", "what it is"), rows)


def channels() -> list[str]:
    """Every decay channel."""
    from darkpenguin.physics.channels import CHANNELS

    return table(
        ("name", "number", "particles of a row", "fraction of the hadron's decays"),
        [
            (
                f"`{c.name}`",
                str(c.index),
                " ".join(f"`{particle.label}`" for particle in c.particles),
                f"{c.branching:.4f}",
            )
            for c in CHANNELS.values()
        ],
    )


def models() -> list[str]:
    """Every benchmark."""
    from darkpenguin.generator.commands.listing import _describe
    from darkpenguin.physics.models import BENCHMARKS

    rows = [(f"`{name}`", _describe(model)) for name, model in BENCHMARKS.items()]
    return table(("name", "on top of the Standard Model"), rows)


def observables() -> list[str]:
    """Every observable."""
    from darkpenguin.physics.observables import OBSERVABLES

    return table(
        ("name", "symbol", "unit", "what it is"),
        [(f"`{o.name}`", f"${o.latex}$", o.unit, o.description) for o in OBSERVABLES.values()],
    )


def resolutions() -> list[str]:
    """Every resolution that has a name."""
    from darkpenguin.generator.lab.settings import RESOLUTIONS

    return table(("name", "source"), [(f"`{name}`", one.source) for name, one in RESOLUTIONS.items()])


def cuts() -> list[str]:
    """Every cut that has a name."""
    from darkpenguin.generator.lab.settings import PRESETS

    rows = [
        (
            f"`{name}`",
            f"each particle: `{one.each.format(x='x')}`"
            if one.each
            else "; ".join(f"{k}: `{v}`" for k, v in one.lepton.items()),
            one.source,
        )
        for name, one in PRESETS.items()
    ]
    return table(("name", "cut (GeV, radians)", "source"), rows)


TABLES: dict[str, Callable[[], list[str]]] = {
    "columns": columns,
    "channels": channels,
    "models": models,
    "observables": observables,
    "resolutions": resolutions,
    "cuts": cuts,
}


def setup(app: Any) -> dict[str, bool]:
    """Register the directives; Sphinx calls this."""
    for name, directive in {
        "card-keys": CardKeys,
        "commands": Commands,
        "example-card": ExampleCard,
        "public-names": PublicNames,
        "rows": Rows,
    }.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
