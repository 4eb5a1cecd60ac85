"""A run of events, toys or a scan on many machines: the plan of its parts, and one result of their files again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...kinematics.base.cards import CardSource, cards_in, read_keys
from ...kinematics.base.checks import parse_count
from ...kinematics.base.errors import InputError
from ..files.joined import EventFiles, run_key
from ..files.manifest import Manifest, make_manifest, read_manifest
from ..files.pieces import read_piece
from ..files.verify import damages
from ..files.writers import EventFile
from ..run.card import RunCard
from ..run.farm import merge_events
from ..run.plan import plan_run
from ..run.q2 import MOST_PARTS, part_name
from ..run.reduce import Reduced, is_reduced, merge_reduced, read
from ..toys.files import Toys, read_toys
from ..toys.joined import merge_toys
from ..toys.run import ToysCard
from .card import ScanCard
from .checkpoint import scan_key
from .files import write_scan
from .parts import ENDING, merge_scans, part_file
from .scan import ScanResult, grid_blocks


def plan(card: CardSource | RunCard | ToysCard | ScanCard, parts: int | str, output: str | None = None) -> Manifest:
    """Split a run into parts, one a job: what each makes and into which files.

    Args:
        card: of events, toys or a scan, told apart by its keys (``channels``, ``axes``, neither).
        parts: how many.
        output: file (of a scan a folder) that the files of the parts are named after; that of the card, or
            ``events.root``, ``toys.root``, the current folder.

    Raises:
        InputError: a card that cannot be used, or too many parts.

    Example:
        >>> found = plan({"channels": ["B+->K+mumu"], "events": 10, "output": "x.root"}, 2)
        >>> found.what, found.parts[1].range, found.parts[1].files
        ('events', (5, 10), ('x-2-of-2.root',))
    """
    n = parse_count(parts, "parts")
    if n > MOST_PARTS:
        raise InputError(f"parts = {n}: allowed are 1 to {MOST_PARTS}")
    numbers = [(k, n) for k in range(1, n + 1)]
    checked = card if isinstance(card, (RunCard, ToysCard, ScanCard)) else _card(card)
    if isinstance(checked, ScanCard):
        folder = output or "."
        scans = [[str(part_file(checked, part, folder))] for part in numbers]
        data = checked.model_dump(mode="json")
        return make_manifest("scan", scan_key(checked), grid_blocks(checked), folder, data, scans)
    if isinstance(checked, ToysCard):
        name = output or "toys.root"
        toys = [[part_name(name, part)] for part in numbers]
        data = checked.model_dump(mode="json", by_alias=True)
        return make_manifest("toys", checked.key(), checked.toys, name, data, toys)
    if checked.part is not None or checked.range is not None:
        raise InputError("part, range: a plan is one of the whole run; leave them out of the card")
    run = RunCard.make(checked, output=output or checked.output or "events.root")
    made = plan_run(run)
    provenance = made.provenance(run.channels)
    files = [list(run.model_copy(update={"part": part}).files()) for part in numbers]
    return make_manifest("events", run_key(provenance), made.total, str(run.output), run.for_provenance(), files)


def _card(source: CardSource) -> RunCard | ToysCard | ScanCard:
    """A card of the kind that its keys are of; built-in names are first those of run cards."""
    try:
        keys = RunCard.read(source)
    except InputError:
        known = {**cards_in(ScanCard.folder), **cards_in(ToysCard.folder)}
        if str(source) not in known:
            raise
        keys = read_keys(known[str(source)], ScanCard.folder)
    if "channels" in keys:
        return RunCard.make(keys)
    return ScanCard.make(keys) if "axes" in keys else ToysCard.make(keys)


def merge(
    files: Sequence[str | os.PathLike[str]] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    plan: str | os.PathLike[str] | None = None,
    partial: bool = False,
    format: str | None = None,
    compression: str = "lz4",
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> EventFiles | Toys | ScanResult | Reduced:
    """Join the files of a run's parts, with the provenance of the whole: of events, histograms, toys or a scan.

    ROOT's ``hadd`` joins events too, and loses how they were made.

    Args:
        files: files of one run, in any order; those of the plan if there are none.
        output: file to write, of a scan the folder; that of the plan without it.
        plan: manifest that the files are checked against, by card, names and ranges.
        partial: whether events may be a part of the run only, without a gap.
        format: as in `~darkpenguin.generator.files.writers.open_writer`.
        compression: likewise.
        overwrite: whether existing files may be replaced.
        progress: called with the number of events after each chunk.

    Returns:
        The events as they were joined, the histograms, the toys, or the scan.

    Raises:
        InputError: files of different runs, a part that is missing, twice or damaged, or an output that cannot be
            written.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     keys = {"events": 100, "output": f"{folder}/x.root"}
        ...     parts = [run("B+->K+mumu", part=f"{k}/3", **keys).files[0] for k in (1, 2, 3)]
        ...     merge(parts, f"{folder}/x.root").rows
        100
    """
    manifest = None if plan is None else read_manifest(plan)
    if manifest is None and not files:
        raise InputError("files: name the files of the parts, or the plan that they are of")
    if manifest is None and output is None:
        raise InputError("output: missing; name a file, of a scan a folder")
    target = os.fspath(output) if output is not None else manifest.output if manifest is not None else ""
    what = kind_of(files[0]) if manifest is None else manifest.what
    if partial and what != "events":
        raise InputError(f"partial: {what} are joined as a whole only")
    names = [os.fspath(file) for file in files]
    if manifest is not None:
        names = manifest.check(files, _TELLS[what], partial, _damages)
    if what == "toys":
        return merge_toys(names, target, overwrite)
    if what == "scan":
        found = merge_scans(names)
        write_scan(found, target, overwrite)
        return found
    if is_reduced(names[0]):
        return merge_reduced(names, target, partial, overwrite)
    return merge_events(
        names, target, partial=partial, format=format, compression=compression, overwrite=overwrite, progress=progress
    )


def kind_of(path: str | os.PathLike[str]) -> str:
    """What a file has: ``events`` (or histograms of them), ``toys``, or a part of a ``scan``.

    >>> kind_of("scan-1-of-3.chi2")
    'scan'
    """
    name = Path(path)
    if name.suffix == ENDING:
        return "scan"
    try:
        if name.suffix.lower() == ".root":
            import uproot

            with uproot.open(name) as file:
                return "toys" if "toys" in file else "events"
        import pyarrow.parquet

        known = json.loads((pyarrow.parquet.read_schema(name).metadata or {}).get(b"darkpenguin", b"{}"))
        return "toys" if known.get("what") == "toys" else "events"
    except Exception:  # whoever reads it says what is wrong
        return "events"


def _damages(path: str) -> list[str] | None:
    """What is damaged in a file of events; whoever tells what others are has read all of them."""
    return damages(path) if kind_of(path) == "events" and not is_reduced(path) else None


def _told_events(path: str) -> tuple[Any, Any]:
    provenance = read(path).provenance if is_reduced(path) else EventFile(path).provenance
    return run_key(provenance), provenance.get("range")


def _told_toys(path: str) -> tuple[Any, Any]:
    provenance = read_toys(path).provenance
    return provenance.get("key"), provenance.get("range")


def _told_scan(path: str) -> tuple[Any, Any]:
    try:
        told = read_piece(path)[1]
    except (OSError, ValueError) as error:
        raise InputError(f"file = {path!r}: no part of a scan, or damaged ({error}); make it again") from None
    return told.get("key"), told.get("range")


_TELLS: dict[str, Callable[[str], tuple[Any, Any]]] = {
    "events": _told_events,
    "toys": _told_toys,
    "scan": _told_scan,
}
