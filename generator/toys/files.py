"""The toy ntuple: one row a toy, with provenance; runs resume after an interruption and extend.

The tree (table) is called ``toys``; a column with one value a bin of q2 is an array of fixed length. While a
run goes on its finished parts lie in a hidden folder beside the file; Ctrl-C gathers them into the file,
anything harder leaves them there, and the next run takes them up. A file is extended only by toys of the same
card.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import WholeFile, check_target
from .run import Columns, ToyRun, ToysCard, plan_toys

TREE = "toys"
PROVENANCE = "provenance"
PARQUET_KEY = b"darkpenguin"
CHUNK = 1000
"""Toys computed and kept at a time."""


def write_toys(path: str | os.PathLike[str], columns: Columns, provenance: Mapping[str, Any]) -> None:
    """Write a toy ntuple, whole or not at all; the ending decides: .root (TTree) or .parquet."""
    target = Path(path)
    text = json.dumps(provenance, sort_keys=True, allow_nan=False)
    with WholeFile(target) as temporary:
        if _kind(target) == "root":
            import uproot

            schema = {name: np.dtype((array.dtype, array.shape[1:])) for name, array in columns.items()}
            with uproot.recreate(temporary) as file:
                file[PROVENANCE] = text
                tree = file.mktree(TREE, schema)
                tree.extend(dict(columns))
        else:
            import pyarrow as pa
            import pyarrow.parquet

            fields = {}
            for name, array in columns.items():
                flat = pa.array(array.reshape(-1))
                fields[name] = flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
            table = pa.table(fields).replace_schema_metadata({PARQUET_KEY: text.encode()})
            pa.parquet.write_table(table, temporary, compression="zstd")


def read_toys(path: str | os.PathLike[str]) -> tuple[Columns, dict[str, Any]]:
    """Columns and provenance of a toy ntuple.

    Raises:
        InputError: no such file, or not a toy ntuple.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"file = {str(path)!r}: there is no such file")
    try:
        if _kind(source) == "root":
            import uproot

            with uproot.open(source) as file:
                tree = file[TREE]
                return dict(tree.arrays(library="np")), json.loads(str(file[PROVENANCE]))
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(source)
        columns = {}
        for name in table.column_names:
            column = table.column(name).combine_chunks()
            size = getattr(column.type, "list_size", None)
            columns[name] = np.asarray(column) if size is None else np.asarray(column.flatten()).reshape(-1, size)
        return columns, json.loads((table.schema.metadata or {})[PARQUET_KEY])
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"file = {str(path)!r}: not a readable toy ntuple ({error})") from None


def _kind(path: Path) -> str:
    kinds = {".root": "root", ".parquet": "parquet", ".pq": "parquet"}
    if path.suffix.lower() not in kinds:
        raise InputError(f"output = {str(path)!r}: the ending names no format; use {', '.join(kinds)}")
    return kinds[path.suffix.lower()]


@dataclass(frozen=True)
class ToyReport:
    """What a run did: toys in the file, how many were made now, and whether it was interrupted."""

    path: Path
    toys: int
    made: int
    interrupted: bool
    failures: Mapping[str, int]


def run_toys(
    card: ToysCard,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
) -> ToyReport:
    """Make the toys of a card into a file, or those that it lacks.

    An existing file of the same card is extended (``toys`` 10000 after 1000 makes 9000), after a check that
    this machine still makes its first toys as they are there. One of another card is replaced only with
    ``overwrite``. On Ctrl-C the finished toys are written and the report says so.

    Raises:
        InputError: a card or file that cannot be used.
    """
    target = Path(path)
    _kind(target)
    check_target(target, overwrite=True)
    run = plan_toys(card, device)
    known: Columns | None = None
    if target.exists():
        known = _existing(target, run, overwrite)
    folder = target.with_name(f".{target.name}.toys")
    parts = _Parts(folder, card.key())
    have = len(known["toy"]) if known is not None else 0
    if known is not None:
        parts.discard()
    else:
        have = parts.available()
    made, interrupted = 0, False
    if progress and have:
        progress(min(have, card.toys))  # what is there counts as done
    try:
        start = have
        while start < card.toys:
            stop = min(start + CHUNK, card.toys)
            parts.save(start, stop, run.rows(start, stop, threads))
            made += stop - start
            if progress:
                progress(stop - start)
            start = stop
    except KeyboardInterrupt:
        interrupted = True
    columns = parts.load(known)
    if not columns:
        parts.discard()
        raise KeyboardInterrupt
    if made or known is None:
        toys = len(columns["toy"])
        write_toys(target, columns, {**run.provenance(), "toys": toys})
    parts.discard()
    return ToyReport(target, len(columns["toy"]), made, interrupted, count_failures(columns))


def count_failures(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, int]:
    """Number of toys (or bins of toys) with a status other than zero, by status column."""
    return {name: int(np.sum(values != 0)) for name, values in columns.items() if name.endswith("_status")}


def _existing(target: Path, run: ToyRun, overwrite: bool) -> Columns | None:
    """Columns of the file if it belongs to the card; None to start afresh."""
    try:
        columns, provenance = read_toys(target)
    except InputError:
        if overwrite:
            return None
        raise
    if provenance.get("key") != run.card.key():
        if overwrite:
            return None
        raise InputError(
            f"output = {str(target)!r}: holds toys of another card; give --overwrite to replace it, or another name"
        )
    again = run.rows(0, min(2, len(columns["toy"])))
    for name, value in again.items():
        if name not in columns or not np.allclose(columns[name][: len(value)], value, rtol=1e-9, equal_nan=True):
            if overwrite:
                return None
            raise InputError(
                f"output = {str(target)!r}: its toys come out differently here (column {name}; made with "
                f"{provenance.get('versions', {}).get('darkpenguin', 'another version')}); give "
                "--overwrite to make all of them again"
            )
    return columns


class _Parts:
    """Finished parts of a run in a folder beside its file."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        if folder.is_dir() and not (folder / key).is_file():
            shutil.rmtree(folder)  # of another card

    def _files(self) -> list[tuple[int, int, Path]]:
        found = []
        for file in self.folder.glob("*.npz"):
            first, _, last = file.stem.partition("-")
            found.append((int(first), int(last), file))
        return sorted(found)

    def available(self) -> int:
        """Toys that lie here without a gap from the first on; what comes after a gap is removed."""
        have = 0
        for start, stop, file in self._files():
            if start != have:
                file.unlink()
                continue
            have = stop
        return have

    def save(self, start: int, stop: int, columns: Columns) -> None:
        """Keep one part."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / self.key).touch()
        file = self.folder / f"{start:012d}-{stop:012d}.npz"
        arrays: dict[str, Any] = dict(columns)
        with WholeFile(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)

    def load(self, first: Columns | None) -> Columns:
        """All toys: those of the file, then the parts."""
        pieces = [first] if first is not None else []
        for _, _, file in self._files():
            with np.load(file) as stored:
                pieces.append({name: stored[name] for name in stored.files})
        if not pieces:
            return {}
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def discard(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)
