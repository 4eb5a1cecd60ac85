"""Digests of what is written: of every column, a million rows at a time, of the provenance, and of the file itself.

They are a JSON string ``digests`` beside the events (in Parquet the metadata's key ``darkpenguin-digests``): XXH3 of
128 bits over the little-endian numbers of a column. A flipped bit, swapped baskets or rows of another file change
them. They guard against accidents, not against somebody who computes them anew.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

DIGESTS = "digests"
"""Name of the JSON string beside the tree in a ROOT file."""
ROWS = 1 << 20
"""Rows that share a digest."""
WHOLE_FILE = 1 << 26
"""Bytes of the largest file that has a digest of all its bytes: of larger ones almost all bytes are columns'."""
_MARK = b'"file, these digits being zeros": "'
_OPEN = "0" * 32

Digests = Mapping[str, Any]


class ColumnDigests:
    """Digests of columns that come piece by piece; pieces of any length give the same.

    Example:
        >>> whole, parts = ColumnDigests(["x"]), ColumnDigests(["x"])
        >>> whole.update("x", np.arange(5.0))
        >>> for part in (np.arange(2.0), np.arange(2.0, 5.0)):
        ...     parts.update("x", part)
        >>> whole.finished() == parts.finished()
        True
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._columns = {name: _ColumnDigest() for name in names}

    def update(self, name: str, rows: np.ndarray[Any, Any]) -> None:
        """Add rows of a column; other columns may be added to by other threads."""
        self._columns[name].update(rows)

    def finished(self) -> dict[str, list[str]]:
        """Return the digests by column; the last may be of fewer rows."""
        return {name: column.finished() for name, column in self._columns.items()}


class _ColumnDigest:
    def __init__(self) -> None:
        self._done: list[str] = []
        self._open = xxhash.xxh3_128()
        self._rows = 0

    def update(self, rows: np.ndarray[Any, Any]) -> None:
        start = 0
        while start < len(rows):
            piece = rows[start : start + ROWS - self._rows]
            self._open.update(np.ascontiguousarray(piece, piece.dtype.newbyteorder("<")).view(np.uint8).data)
            self._rows += len(piece)
            start += len(piece)
            if self._rows == ROWS:
                self._close()

    def _close(self) -> None:
        self._done.append(self._open.hexdigest())
        self._open.reset()
        self._rows = 0

    def finished(self) -> list[str]:
        if self._rows:
            self._close()
        return self._done


def digest_of(content: bytes | memoryview) -> str:
    """Return the digest of bytes.

    >>> digest_of(b"x") == digest_of(b"y")
    False
    """
    return xxhash.xxh3_128_hexdigest(content)


def digests_text(columns: Mapping[str, Sequence[str]], provenance: str) -> str:
    """Return the JSON of a file's digests; that of the file is still open, see `seal`."""
    found = {"rows": ROWS, "columns": columns, "provenance": digest_of(provenance.encode())}
    return json.dumps(found)[:-1] + f", {_MARK.decode()}{_OPEN}" + '"}'


def seal(path: Path) -> None:
    """Put the digest of a finished file into it, in the place that `digests_text` left open; none in a large one."""
    with path.open("r+b") as stream:
        place, digest = file_digest(path)
        if place is None:
            raise RuntimeError(f"{path}: the digests are not in it as they were written")
        stream.seek(place)
        stream.write(digest.encode())


def file_digest(path: Path) -> tuple[int | None, str]:
    """Return where a file has its own digest (None if nowhere) and what it should be; of a large one, the open one."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.rfind(_MARK)
        if place < 0:
            return None, _OPEN
        place += len(_MARK)
        if len(content) > WHOLE_FILE:
            return place, _OPEN
        running = xxhash.xxh3_128()
        with memoryview(content) as view, view[:place] as before, view[place + len(_OPEN) :] as after:
            running.update(before)
            running.update(_OPEN.encode())
            running.update(after)
        return place, running.hexdigest()
