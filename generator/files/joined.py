"""Several files of one run, read as one: parts of it (``range``, ``part``), or a file a channel."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from .columns import ordered
from .writers import ROWS_PER_EXTEND, EventFile, Events

OF_ONE_JOB = ("output", "part", "range", "threads", "device", "overwrite", "check", "figures", "format", "compression")
"""Keys of a card that may differ between the files of one run: they change no event."""
Span = tuple[int, int]


def run_of(provenance: Mapping[str, Any]) -> str:
    """What two files have in common that are of one run, as text: the card, the inputs, the version.

    >>> one, two = ({"card": {"seed": 1, "range": [0, n]}} for n in (5, 6))
    >>> run_of(one) == run_of(two)
    True
    """
    card = {key: value for key, value in provenance.get("card", {}).items() if key not in OF_ONE_JOB}
    version = provenance.get("versions", {}).get("darkpenguin")
    return json.dumps([card, provenance.get("parameters"), provenance.get("stages"), version], sort_keys=True)


class EventFiles(Events):
    """Files of one run, each made by a job of its own, with the face of one file.

    Events come in the order of the run, whatever the order of the files; the provenance is that of the part of the run
    that they make up, without a gap and without an event twice.

    Attributes:
        files: the files in the order of their events.
        missing: what of the run is in none of the files, in words; empty if they are the whole of it.

    Raises:
        InputError: files that are not of one run, a gap between them, or events that are in two of them.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        if not paths:
            raise InputError("files = []: name one at least")
        files = [EventFile(path) for path in paths]
        first = files[0]
        for file in files:
            file.channels("events", "events_of_run", "first_event_of_run")
            if not file.channels() or file.provenance.get("range") is None:
                raise InputError(f"file = {str(file.path)!r}: its provenance does not say which part of a run it is")
            if run_of(file.provenance) != run_of(first.provenance):
                raise InputError(
                    f"file = {str(file.path)!r}: of another run than {str(first.path)!r} (card or version)"
                )
        schema = {name: dtype for file in files for name, dtype in file.schema.items()}
        self.files = sorted(files, key=_place)
        self.path = first.path if len(files) == 1 else Path(f"{first.path} and {len(files) - 1} more")
        self.kind = first.kind
        self.rows = sum(file.rows for file in files)
        self.schema = {name: schema[name] for name in ordered(tuple(schema))}
        self.missing: list[str] = []
        start, stop = (pick(file.provenance["range"][i] for file in files) for i, pick in enumerate((min, max)))
        self._check(start, stop)
        self.provenance = self._joined(start, stop)

    def _check(self, start: int, stop: int) -> None:
        """InputError for a gap between the files or for events in two of them."""
        total = self.files[0].provenance.get("events_of_run", 0)
        entries = {index: entry for file in self.files for index, entry in file.channels().items()}
        for index, entry in entries.items():
            begin = entry["first_event_of_run"]
            end = begin + entry["events_of_run"]
            have = max(start, begin)
            for span in sorted(spans[index] for spans in map(_spans, self.files) if index in spans):
                if span[0] < have and span[0] < span[1]:
                    raise InputError(
                        f"files: events {span[0]} to {min(have, span[1]) - 1} of {entry['name']} are twice"
                    )
                if span[0] > have:
                    raise InputError(f"files: events {have} to {span[0] - 1} of {entry['name']} are missing")
                have = max(have, span[1])
            if have < min(stop, end):
                raise InputError(f"files: events {have} to {min(stop, end) - 1} of {entry['name']} are missing")
        if (start, stop) != (0, total):
            gaps = [(0, start), (stop, total)]
            self.missing = [f"events {low} to {high - 1} of the run" for low, high in gaps if low < high]

    def _joined(self, start: int, stop: int) -> dict[str, Any]:
        """The provenance of all of it."""
        provenances = [file.provenance for file in self.files]
        joined = dict(provenances[0])
        joined["card"] = {key: value for key, value in joined.get("card", {}).items() if key not in ("part", "range")}
        if self.missing:
            joined["card"]["range"] = [start, stop]
        channels: dict[int, dict[str, Any]] = {}
        for file in self.files:
            for index, entry in file.channels().items():
                before = channels.setdefault(index, {**entry, "events": 0})
                before["events"] += entry["events"]
        joined |= {
            "channels": sorted(channels.values(), key=lambda entry: int(entry["first_event_of_run"])),
            "events": sum(entry["events"] for entry in channels.values()),
            "range": [start, stop],
            "machine": "; ".join(dict.fromkeys(str(one.get("machine", "")) for one in provenances)),
            "units": {name: unit for one in provenances for name, unit in one.get("units", {}).items()},
        }
        return joined

    def chunks(self, rows: int = ROWS_PER_EXTEND) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """Iterate over the events of all files; a column that a file lacks is NaN there."""
        for file in self.files:
            for chunk in file.chunks(rows):
                n = len(next(iter(chunk.values())))
                lacking = {name: dtype for name, dtype in self.schema.items() if name not in chunk}
                if any(dtype.kind != "f" for dtype in lacking.values()):
                    raise InputError(f"file = {str(file.path)!r}: no column {', '.join(lacking)}, and others have it")
                yield {**chunk, **{name: np.full(n, np.nan, dtype) for name, dtype in lacking.items()}}


def _place(file: EventFile) -> tuple[int, int]:
    """Where a file stands among the others of its run."""
    return file.provenance["range"][0], min(entry["first_event_of_run"] for entry in file.channels().values())


def _spans(file: EventFile) -> dict[int, Span]:
    """First event in the run, and the first one after, that a file has of each of its channels, by their number."""
    start, stop = file.provenance["range"]
    found = {}
    for index, entry in file.channels().items():
        first, end = entry["first_event_of_run"], entry["first_event_of_run"] + entry["events_of_run"]
        found[index] = (min(max(start, first), end), max(min(stop, end), first))
    return found
