"""What is in a file and how it was made."""

from __future__ import annotations

import json as json_module
import os

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import readable_size
from ..files.columns import columns, makers
from ..files.provenance import channel_entries
from ..files.verify import damages
from ..files.writers import EventFile
from ..run.reduce import Reduced, is_reduced, read
from .console import print_json, show_table


def _rows(file: EventFile) -> list[tuple[str, ...]]:
    """A row a column: what the table says of it, or for a column of another version what the file says."""
    known, units = columns(), file.provenance.get("units", {})
    rows: list[tuple[str, ...]] = []
    for name, dtype in file.schema.items():
        column = known.get(name)
        unit, meaning = (column.unit, column.meaning) if column is not None else (str(units.get(name, "")), "")
        rows.append((name, str(dtype), unit, meaning, ", ".join(makers(name))))
    return rows


def _histograms(reduced: Reduced) -> list[tuple[str, ...]]:
    return [
        (
            name,
            ", ".join(axis.column for axis in one.settings.axes),
            " x ".join(str(len(axis.all_edges) - 1) for axis in one.settings.axes),
            f"{one.entries:,}",
            f"{one.undefined:,}",
        )
        for name, one in reduced.histograms.items()
    ]


def _histograms_damaged(path: str | os.PathLike[str]) -> list[str]:
    try:
        read(path)
    except InputError as error:
        return [str(error).removeprefix(f"file = {str(path)!r}: damaged: ")]
    return []


def verify_file(path: str | os.PathLike[str], as_json: bool = False) -> bool:
    """Read a file whole, say what in it is not what was written, and return whether all is.

    Raises:
        InputError: there is no such file.
    """
    found = _histograms_damaged(path) if is_reduced(path) else damages(path)
    if as_json:
        print_json({"file": str(path), "digests": found is not None, "damages": list(found or ())})
        return not found
    if found is None:
        print(f"{path}: can be read; it has no digests (made by an older version or joined by another program)")
    elif not found:
        print(f"{path}: as it was written")
    for line in found or ():
        print(f"{path}: damaged: {line}")
    return not found


def inspect_file(path: str | os.PathLike[str], json: bool = False) -> None:
    """Print a file's columns (or histograms), channels and provenance; with ``json``, the whole provenance alone.

    Raises:
        InputError: the file is missing, of another kind, or has no ``events``.
    """
    file = None if is_reduced(path) else EventFile(path)
    reduced = read(path) if file is None else None
    provenance = file.provenance if file is not None else reduced.provenance if reduced is not None else {}
    if json:
        print(json_module.dumps(provenance, indent=2, sort_keys=True))
        return
    size = readable_size(os.path.getsize(path))
    if file is not None:
        print(f"{file.path}: {file.kind}, {file.rows:,} events, {size}")
        show_table("columns", ("column", "type", "unit", "meaning", "made by"), _rows(file), left=5)
    elif reduced is not None:
        print(f"{path}: histograms of {provenance['events']:,} events, {size}")
        show_table("histograms", ("histogram", "axes", "bins", "entries", "undefined"), _histograms(reduced), left=2)
    if not provenance:
        print("no provenance: not written by darkpenguin")
        return
    show_table(
        "channels",
        ("channel", "number", "events", "of the run's", "first", "branching fraction"),
        [
            (
                str(entry["name"]),
                str(entry["index"]),
                *(f"{entry.get(key, 0):,}" for key in ("events", "events_of_run", "first_event_of_run")),
                f"{entry.get('branching_fraction', 0.0):.4e}",
            )
            for entry in channel_entries(provenance).values()
        ],
    )
    model = provenance.get("model") or {}
    rows = [
        ("model", str(model.get("name", ""))),
        *(
            (key, str(provenance[key]))
            for key in ("seed", "range", "flavour", "convention", "precision", "backend", "machine")
            if key in provenance
        ),
        (
            "versions",
            ", ".join(f"{name} {number}" for name, number in provenance.get("versions", {}).items()),
        ),
    ]
    show_table("provenance", ("what", "value"), rows, left=2)
