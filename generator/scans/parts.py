"""A scan in parts, each by a job of its own: what a job computes and keeps, and the scan from the files of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.arrays import FloatArray
from ...kinematics.base.cards import CardSource
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import OutputLock, check_target
from ..files.pieces import check_whole, read_piece, share, write_piece
from ..files.provenance import package_versions
from ..run.q2 import parse_part, part_name
from .card import ScanCard
from .checkpoint import scan_key
from .scan import Grid, ScanResult

ENDING = ".chi2"
"""Of the file of a part of a scan."""


def part_file(card: ScanCard, part: tuple[int, int], folder: str | os.PathLike[str]) -> Path:
    """File of a part of a scan.

    >>> card = ScanCard(axes=[{"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0}])
    >>> part_file(card, (3, 10), "out").name
    'scan-03-of-10.chi2'
    """
    return Path(part_name(str(Path(folder) / f"{card.name}{ENDING}"), part))


def scan_part(
    card: CardSource | ScanCard,
    part: str | tuple[int, int],
    folder: str | os.PathLike[str] = ".",
    *,
    device: str = "auto",
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
    dask: str | None = None,
) -> tuple[Path, int]:
    """Compute one of equal parts of a scan into a file named after it; `merge_scans` makes the scan of all of them.

    Returns:
        The file, and how many points were computed now: none if it was there already.

    Raises:
        InputError: a card or part that cannot be used, or the file is of another scan.

    Example:
        >>> import tempfile
        >>> axis = {"key": "heavy.C9_mu", "min": -2.0, "max": 0.0, "points": 3}
        >>> card = {"model": "sm", "axes": [axis], "theory": "none", "data": "2017"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = scan_part(card, "1/1", folder)
        ...     again = scan_part(card, "1/1", folder)
        ...     first[1], again[1], merge_scans([first[0]]).to_pandas().shape
        (3, 0, (3, 5))
    """
    chosen, place = ScanCard.make(card), parse_part(part)
    path = part_file(chosen, place, folder)
    told: dict[str, Any] = {
        "what": "scan",
        "card": chosen.model_dump(mode="json"),
        "key": scan_key(chosen),
        "part": list(place),
    }
    check_target(path, overwrite=True)
    with OutputLock(path) as lock:
        if path.exists():
            try:
                found = _read(path)[1]
                if all(found.get(key) == value for key, value in told.items()):
                    return path, 0
            except InputError:
                found = {"part": list(place)}  # damaged: made again, as it has the name of this part
                overwrite = True
            if not overwrite:
                raise InputError(f"output = {str(path)!r}: of another scan; give --overwrite to replace it")
        grid = Grid.of(chosen, device)
        start, stop = share(place, grid.blocks)
        checkpoint = path.with_name(f".{path.name}.partial")
        chi2 = grid.chi2(start, stop, checkpoint, progress, dask)
        told |= {"range": [start, stop], "blocks": grid.blocks, "versions": package_versions()}
        write_piece(path, {"chi2": chi2}, told, overwrite=True, lock=lock)
    return path, chi2.shape[1]


def merge_scans(files: Sequence[str | os.PathLike[str]]) -> ScanResult:
    """The scan whose parts are in these files, the same as if it had been made in one piece.

    Raises:
        InputError: files of different scans, or a part that is missing, twice or damaged.
    """
    parts = sorted((_read(file) for file in files), key=lambda part: tuple(part[1]["range"]))
    first = parts[0][1]
    for _, told, path in parts:
        if told["key"] != first["key"]:
            raise InputError(f"file = {str(path)!r}: of another scan than {str(parts[0][2])!r} (card, data or version)")
    check_whole([told["range"] for _, told, _ in parts], 0, first["blocks"], "blocks of points")
    card = ScanCard.make(first["card"])
    if scan_key(card) != first["key"]:
        raise InputError(f"file = {str(files[0])!r}: made with other data or another version than is installed here")
    return Grid.of(card, "cpu").result(np.concatenate([chi2 for chi2, _, _ in parts], axis=1))


def _read(path: str | os.PathLike[str]) -> tuple[FloatArray, dict[str, Any], str | os.PathLike[str]]:
    """χ² of a part, what is told of it, and where it is from."""
    try:
        columns, told = read_piece(path)
        return columns["chi2"], told, path
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"file = {str(path)!r}: no part of a scan, or damaged ({why}); make it again") from None
