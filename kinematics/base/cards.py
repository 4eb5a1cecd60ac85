"""Cards: what to do, as a TOML file, a built-in card's name, a dictionary or keywords; one way for all of them."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from .checks import validate
from .errors import InputError
from .files import read_toml

Keys = Mapping[str, Any]
CardSource = str | os.PathLike[str] | Keys | None
"""Where the keys of a card come from: a TOML file, a built-in card's name, a mapping; None for defaults."""


def cards_in(folder: Path) -> dict[str, Path]:
    """Return the built-in cards of a folder by name; ``example`` is the one with comments to start from."""
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_keys(source: CardSource, folder: Path) -> dict[str, Any]:
    """Return the keys of a card; built-in cards are those of ``folder``.

    Raises:
        InputError: no such file or card (the nearest name is given), or no TOML in it.
    """
    if source is None or isinstance(source, Mapping):
        return dict(source or {})
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"card = {source!r}: a TOML file, the name of a built-in card, or a dictionary is needed")
    known = cards_in(folder)
    path = known.get(str(source), Path(source))
    if not path.is_file():
        near = difflib.get_close_matches(str(source), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"built-in cards are {', '.join(known)}"
        raise InputError(f"card = {str(source)!r}: cannot be read: no such file and no such built-in card; {hint}")
    return read_toml(path)


class Card(BaseModel):
    """What a card has in common with all others: frozen, checked, unknown keys refused.

    A subclass adds its keys as fields, and in ``folder`` the built-in cards, of which one is ``example.toml``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    folder: ClassVar[Path]
    also: ClassVar[tuple[str, ...]] = ()
    """Keys that are no fields: resolved into some before anything is checked."""

    @classmethod
    def make(cls, source: CardSource | Self = None, /, **keys: Any) -> Self:
        """Return a checked card: the keys of a source with keywords on top; keywords that are None do not count.

        Raises:
            InputError: an unknown key (the nearest known one is named) or a value that cannot be used.
        """
        given = {key: value for key, value in keys.items() if value is not None}
        if isinstance(source, cls):
            if not given:
                return source
            source = {name: getattr(source, name) for name in source.model_fields_set}
        return validate(cls, cls.merged(cls.read(source), given))  # type: ignore[arg-type]

    @classmethod
    def read(cls, source: CardSource) -> dict[str, Any]:
        """Return the keys that a source has, unchecked; see `read_keys`."""
        return read_keys(source, cls.folder)

    @classmethod
    def merged(cls, keys: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """Return the keys of a card with others on top; a subclass says what excludes what."""
        return {**keys, **given}

    @classmethod
    def example(cls) -> str:
        """Return a complete card with comments, which runs as it is."""
        return (cls.folder / "example.toml").read_text(encoding="utf-8")


Function = TypeVar("Function", bound=Callable[..., Any])


def shows_keys(card: type[Card]) -> Callable[[Function], Function]:
    """Decorate a function that takes the keys of a card as ``**keys``: its signature shows them, by name and type.

    The keys are declared once, in the card; ``help``, notebooks and the test of the public names see all of them.
    """

    def decorated(function: Function) -> Function:
        own = inspect.signature(function)
        shown = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        keys = dict.fromkeys(card.also, Any) | {key: field.annotation for key, field in card.model_fields.items()}
        shown += [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for key, annotation in keys.items()
            if key not in own.parameters
        ]
        function.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
        return function

    return decorated
