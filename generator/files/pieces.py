"""Pieces of a run: which of it a part is, and finished ones kept beside the output until that is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import WholeFile

Columns = dict[str, np.ndarray[Any, Any]]
Span = tuple[int, int]


def share(part: tuple[int, int] | None, total: int) -> Span:
    """First of ``total`` things that part (K, N) has, and the first one after; all of them without a part.

    >>> [share((k, 3), 10) for k in (1, 2, 3)], share(None, 10)
    ([(0, 3), (3, 6), (6, 10)], (0, 10))
    """
    number, parts = part or (1, 1)
    return (number - 1) * total // parts, number * total // parts


def check_whole(spans: Iterable[Span], start: int, stop: int, what: str, of: str = "") -> None:
    """InputError unless spans cover all from ``start`` to ``stop``, each once; it names what is missing or twice.

    >>> check_whole([(5, 9), (0, 5)], 0, 9, "toys")
    >>> check_whole([(0, 5), (6, 9)], 0, 9, "toys")
    Traceback (most recent call last):
    ...
    darkpenguin.kinematics.base.errors.InputError: files: toys 5 to 5 are missing
    """
    have = start
    for low, high in sorted(spans):
        if low < have and low < high:
            raise InputError(f"files: {what} {low} to {min(have, high) - 1}{of} are twice")
        if low > have:
            raise InputError(f"files: {what} {have} to {low - 1}{of} are missing")
        have = max(have, high)
    if have < stop:
        raise InputError(f"files: {what} {have} to {stop - 1}{of} are missing")


def write_piece(
    path: str | os.PathLike[str], columns: Mapping[str, Any], told: Mapping[str, Any] | None = None, **keys: Any
) -> None:
    """Write arrays as they are in memory, with what is told of them (JSON types) and a digest of all of it.

    ``keys`` are those of a `~darkpenguin.kinematics.base.files.WholeFile`, whose errors it raises.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_piece(f"{folder}/a", {"x": np.array([1.0, 2.0])}, {"seed": 7})
    ...     read_piece(f"{folder}/a")
    ({'x': array([1., 2.])}, {'seed': 7})
    """
    arrays = [np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for array in columns.values()]
    shapes = {name: [array.dtype.str, array.shape] for name, array in zip(columns, arrays, strict=True)}
    running = xxhash.xxh3_128()
    pieces: list[Any] = [json.dumps([shapes, told or {}]).encode() + b"\n"]
    pieces += [array.reshape(-1).view(np.uint8).data for array in arrays]
    for piece in pieces:
        running.update(piece)
    with WholeFile(path, **keys) as temporary, temporary.open("wb") as stream:
        stream.write(running.hexdigest().encode() + b"\n")
        stream.writelines(pieces)


def read_piece(path: str | os.PathLike[str]) -> tuple[Columns, dict[str, Any]]:
    """Arrays of a piece, and what is told of them.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not what was written.
    """
    content = memoryview(Path(path).read_bytes())
    if len(content) < 34 or xxhash.xxh3_128_hexdigest(content[33:]).encode() != bytes(content[:32]):
        raise ValueError("its bytes are not those that were written")
    header = bytes(content[33 : content.obj.index(b"\n", 33)])  # type: ignore[attr-defined]
    shapes, told = json.loads(header)
    columns, place = {}, 34 + len(header)
    for name, (kind, shape) in shapes.items():
        count = int(np.prod(shape, dtype=np.int64))
        columns[name] = np.frombuffer(content, kind, count, place).reshape(shape)
        place += columns[name].nbytes
    return columns, told


class Pieces:
    """Finished pieces of a run in a hidden folder beside its file, from which a run that was stopped goes on.

    They are recognised by ``key``, a hash of all that the numbers depend on: those of another run are removed, and
    what is damaged is made again. Who keeps them holds the `OutputLock` of the file.

    Args:
        target: the file that they become.
        key: of the run.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Pieces(f"{folder}/x", "a").keep((0, 2), {"x": np.array([1.0, 2.0])})
        ...     Pieces(f"{folder}/x", "a").spans, Pieces(f"{folder}/x", "b").spans
        ([(0, 2)], [])
    """

    def __init__(self, target: str | os.PathLike[str], key: str) -> None:
        path = Path(os.path.realpath(target))
        self.folder, self._key = path.with_name(f".{path.name}.pieces"), key
        self.damaged = False
        if self.folder.exists() and not (self.folder / key).is_file():
            self.discard()

    @property
    def spans(self) -> list[Span]:
        """First and last (exclusive) of every piece that is there."""
        names = [path.stem.split("-") for path in self.folder.glob("*-*.piece")]
        return sorted((int(start), int(stop)) for start, stop in names)

    def read(self, span: Span) -> Columns | None:
        """A piece; None if there is none that is as it was written."""
        path = self._path(span)
        try:
            return read_piece(path)[0]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            self.damaged = True
            path.unlink(missing_ok=True)
            return None

    def keep(self, span: Span, columns: Mapping[str, Any]) -> None:
        """Write a piece."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / self._key).touch()
        write_piece(self._path(span), columns, overwrite=True, sync=False, lock=False)

    def discard(self) -> None:
        """Remove all of them."""
        with suppress(OSError):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, span: Span) -> Path:
        return self.folder / f"{span[0]:020d}-{span[1]:020d}.piece"
