"""Several files of one run, read as one: parts of it (``range``, ``part``), or a file a channel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from .columns import ordered
from .pieces import Span, check_whole, share
from .writers import ROWS_PER_EXTEND, EventFile, Events

OF_ONE_JOB = ("output", "part", "range", "threads", "device", "overwrite", "check", "figures", "format", "compression")
"""Keys of a card that may differ between the files of one run: they change no event."""


def run_of(provenance: Mapping[str, Any]) -> str:
    """What two files have in common that are of one run, as text: the card, the inputs, the version.

    >>> one, two = ({"card": {"seed": 1, "range": [0, n]}} for n in (5, 6))
    >>> run_of(one) == run_of(two)
    True
    """
    card = {key: value for key, value in provenance.get("card", {}).items() if key not in OF_ONE_JOB}
    version = provenance.get("versions", {}).get("darkpenguin")
    weights = [] if "weights" not in provenance else [provenance["weights"]]
    return json.dumps([card, provenance.get("parameters"), provenance.get("stages"), version, *weights], sort_keys=True)


def run_key(provenance: Mapping[str, Any]) -> str:
    """Hash of `run_of`: files of one run have the same.

    >>> run_key({"card": {"seed": 1}}) == run_key({"card": {"seed": 2}})
    False
    """
    return hashlib.sha256(run_of(provenance).encode()).hexdigest()[:32]


class EventFiles(Events):
    """Files of one run, each made by a job of its own, with the face of one file.

    Events come in the order of the run, whatever the order of the files; the provenance is that of the part of the run
    that they make up, without a gap and without an event twice.

    Attributes:
        files: the files in the order of their events.
        output: the file that they were joined into; None if they were not.
        missing: what of the run is in none of the files, in words; empty if they are the whole of it.

    Raises:
        InputError: files that are not of one run, a gap between them, or events that are in two of them.
    """

    output: Path | None = None

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        if not paths:
            raise InputError("files = []: name one at least")
        files = [EventFile(path) for path in paths]
        first = files[0]
        for file in files:
            file.channels("events", "events_of_run", "first_event_of_run")
            if not file.channels() or file.provenance.get("range") is None:
                raise InputError(
                    f"file = {str(file.path)!r}: its provenance does not say which part of a run it is; hadd and other "
                    "programs lose that: merge the files of the parts themselves"
                )
            if file.rows > sum(entry.get("events", 0) for entry in file.channels().values()):
                raise InputError(
                    f"file = {str(file.path)!r}: has {file.rows:,} events and the provenance of fewer; joined by hadd? "
                    "It loses how events were made: merge the files of the parts themselves"
                )
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
            spans = [found[index] for found in map(_spans, self.files) if index in found]
            check_whole(spans, max(start, begin), min(stop, end), "events", f" of {entry['name']}")
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


class PartOfEvents(Events):
    """One of equal parts of a file of events, by their numbers in the run, with the face of a file.

    Raises:
        InputError: the file does not say which events of a run it has.
    """

    def __init__(self, file: Events, part: tuple[int, int]) -> None:
        entries = file.channels("events", "events_of_run", "first_event_of_run")
        if not entries or file.provenance.get("range") is None or "event" not in file.schema:
            raise InputError(f"file = {str(file.path)!r}: its provenance does not say which part of a run it is")
        low, high = file.provenance["range"]
        first, stop = share(part, high - low)
        self.path, self.kind, self.schema, self.library = file.path, file.kind, file.schema, file.library
        self.start, self.stop = low + first, low + stop
        self.rows = file.rows * (stop - first) // max(high - low, 1)  # about: stages may have left out events
        self._file = file
        self.provenance = {**file.provenance, "range": [self.start, self.stop]}
        spans = _spans(self)
        counts = {index: stop - start for index, (start, stop) in spans.items()}
        self.provenance |= {
            "channels": [{**entry, "events": counts[index]} for index, entry in entries.items()],
            "events": sum(counts.values()),
        }

    def chunks(self, rows: int = ROWS_PER_EXTEND) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """Iterate over the events of the part in pieces of ``rows`` at most."""
        for chunk in self._file.chunks(rows):
            event = chunk["event"]
            chosen = (event >= self.start) & (event < self.stop)
            if chosen.any():
                yield {name: column[chosen] for name, column in chunk.items()}


def _spans(file: Events) -> dict[int, Span]:
    """First event in the run, and the first one after, that a file has of each of its channels, by their number."""
    start, stop = file.provenance["range"]
    found = {}
    for index, entry in file.channels().items():
        first, end = entry["first_event_of_run"], entry["first_event_of_run"] + entry["events_of_run"]
        found[index] = (min(max(start, first), end), max(min(stop, end), first))
    return found
