"""A run in parts, each by a job of its own: which part is done already, and one file from the files of all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from ...kinematics.base.errors import InputError
from ..files.joined import EventFiles, run_key
from ..files.provenance import package_versions
from ..files.verify import damages
from ..files.writers import EventFile, open_writer
from .card import RunCard

State = Literal["absent", "done", "damaged", "other"]


def state(card: RunCard, name: str) -> State:
    """What there is of a part of a run: nothing, its file as it was written, a damaged one, or another file."""
    if not Path(name).exists():
        return "absent"
    try:
        known = EventFile(name).provenance
    except InputError:
        return "other"
    wanted = {**known, "card": card.for_provenance(), "versions": package_versions()}
    if run_key(known) != run_key(wanted) or known.get("card", {}).get("part") != list(card.part or ()):
        return "other"
    return "damaged" if damages(name) else "done"


def merge_events(
    files: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    partial: bool = False,
    format: str | None = None,
    compression: str = "lz4",
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> EventFiles:
    """Join the files of a run's parts into one, with the provenance of the whole.

    Args:
        files: files of one run, in any order.
        output: file to write.
        partial: whether they may be a part of the run only, without a gap.
        format: as in `~darkpenguin.generator.files.writers.open_writer`.
        compression: likewise.
        overwrite: whether an existing file may be replaced.
        progress: called with the number of events after each chunk.

    Returns:
        The files as they were joined.

    Raises:
        InputError: files of different runs, a part that is missing, twice or damaged, or an output that cannot be
            written.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     keys = {"events": 100, "output": f"{folder}/x.root"}
        ...     parts = [run("B+->K+mumu", part=f"{k}/3", **keys).files[0] for k in (1, 2, 3)]
        ...     merge_events(parts, f"{folder}/x.root").rows
        100
    """
    joined = EventFiles(files)
    joined.output = Path(output)
    if joined.missing and not partial:
        raise InputError(
            f"files: {', '.join(joined.missing)} are missing; make them, or merge what is there (--partial)"
        )
    for path in files:
        if found := damages(path):
            raise InputError(f"file = {str(path)!r}: damaged: {found[0]}; make it again")
    with open_writer(output, joined.schema, joined.provenance, format, compression, overwrite) as writer:
        for chunk in joined.chunks():
            writer.extend(chunk)
            if progress is not None:
                progress(len(next(iter(chunk.values()))))
    return joined
