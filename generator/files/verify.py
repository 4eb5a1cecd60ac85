"""Whether a file of events is still what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ...kinematics.base.errors import InputError
from .digests import ROWS, ColumnDigests, Digests, digest_of, file_digest
from .writers import EventFile


def damages(path: str | os.PathLike[str]) -> list[str] | None:
    """Return what is damaged in a file, a line each; None for one without digests that can be read.

    Files of older versions, and those that another program joined, have none.

    Raises:
        InputError: there is no such file.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from darkpenguin.generator.files.sample import EventSample
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = EventSample({"q2": np.array([1.0, 2.0])}).write(f"{folder}/x.root")
        ...     before = damages(file)
        ...     changed = file.write_bytes(file.read_bytes().replace(b"events", b"evenly"))
        ...     before, len(damages(file))
        ([], 2)
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"file = {str(path)!r}: there is no such file")
    if source.stat().st_size == 0:
        return ["it is empty"]
    found = []
    place, wanted = file_digest(source)
    if place is not None:
        with source.open("rb") as stream:
            stream.seek(place)
            if stream.read(len(wanted)) != wanted.encode():
                found.append("its bytes are not those that were written")
    try:
        file = EventFile(source)
        if place is None and not file.digests_text:
            for _ in file.chunks():  # all that can be asked of it
                pass
            return None
        if place is None:
            found.append("the digest of its bytes is not where it was written")
        found += _of_content(file)
    except InputError as error:
        found.append(str(error).removeprefix(f"file = {str(path)!r}: "))
    return found


def _of_content(file: EventFile) -> list[str]:
    """What is damaged in columns and provenance."""
    try:
        written: Digests = json.loads(file.digests_text)
        known = {name: list(blocks) for name, blocks in written["columns"].items()}
        provenance, rows = written["provenance"], written["rows"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ["its digests cannot be read"]
    found = []
    if rows != ROWS:
        return [f"its digests are of {rows} rows each, and {ROWS} are known here"]
    if digest_of(file.provenance_text.encode()) != provenance:
        found.append("provenance: not what was written")
    if sorted(known) != sorted(file.schema):
        return [*found, f"columns: {', '.join(file.schema)}; written were {', '.join(known)}"]
    running = ColumnDigests(tuple(known))
    for chunk in file.chunks():
        for name, column in chunk.items():
            running.update(name, column)
    for name, blocks in running.finished().items():
        if len(blocks) != len(known[name]):
            found.append(f"column {name}: {file.rows:,} rows; some of those that were written are missing")
        bad = [number for number, (one, other) in enumerate(zip(blocks, known[name], strict=False)) if one != other]
        if bad:
            more = f", and {len(bad) - 1} more blocks" if len(bad) > 1 else ""
            first, last = bad[0] * ROWS, min((bad[0] + 1) * ROWS, file.rows) - 1
            found.append(f"column {name}: rows {first:,} to {last:,} are not what was written{more}")
    return found
