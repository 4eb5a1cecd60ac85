"""What every command with ``--figure`` does: check the files before any work, draw a result into them after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

FigureOption = Annotated[
    list[str] | None, typer.Option("--figure", help="Draw what is printed into this file (.png, .pdf); repeatable.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]


def named(path: str, view: str) -> Path:
    """Return the file of one view of a result.

    >>> named("toys.png", "pulls").name
    'toys-pulls.png'
    """
    file = Path(path)
    return file.with_name(f"{file.stem}-{view}{file.suffix}") if view else file


def check_figures(paths: Sequence[str] | None, overwrite: bool, views: Sequence[str] = ("",)) -> None:
    """InputError if one of the files of a figure cannot be written."""
    from ...kinematics.base.files import check_figure

    for path in paths or ():
        for view in views:
            check_figure(named(path, view), overwrite)


def write_figures(result: Any, paths: Sequence[str] | None, overwrite: bool) -> list[str]:
    """Draw every view of a result into its files; return their names."""
    if not paths:
        return []
    from ..figures.figure import views
    from ..figures.style import save_figure

    written: list[str] = []
    for view, draw in views(result).items():
        files = [named(path, view) for path in paths]
        save_figure(draw(), files, overwrite)
        written += map(str, files)
    return written
