"""The toy ntuple: one row a toy, with provenance; runs resume after an interruption and extend.

The tree (table) is called ``toys``; a column with one value a bin of q2 is an array of fixed length. While a
run goes on its finished parts lie in a hidden folder beside the file; Ctrl-C gathers them into the file,
anything harder leaves them there, and the next run takes them up. A file is extended only by toys of the same
card.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.cache import checksummed, read_checked
from ...kinematics.base.cards import CardSource, shows_keys
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import OutputLock, WholeFile, check_target
from ...kinematics.base.results import Result
from ..files.provenance import parse_provenance
from .run import Columns, ToyRun, ToysCard, plan_toys

TREE = "toys"
PROVENANCE = "provenance"
PARQUET_KEY = b"darkpenguin"
CHUNK = 1000
"""Toys computed and kept at a time."""


def write_toys(
    path: str | os.PathLike[str], columns: Columns, provenance: Mapping[str, Any], overwrite: bool, lock: bool = True
) -> None:
    """Write a toy ntuple, whole or not at all; the ending decides: .root (TTree) or .parquet."""
    target = Path(path)
    text = json.dumps(provenance, sort_keys=True, allow_nan=False)
    with WholeFile(target, overwrite, lock=lock) as temporary:
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


def read_ntuple(path: str | os.PathLike[str]) -> tuple[Columns, dict[str, Any]]:
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
                return dict(tree.arrays(library="np")), parse_provenance(str(file[PROVENANCE]), path)
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(source)
        columns = {}
        for name in table.column_names:
            column = table.column(name).combine_chunks()
            size = getattr(column.type, "list_size", None)
            columns[name] = np.asarray(column) if size is None else np.asarray(column.flatten()).reshape(-1, size)
        return columns, parse_provenance((table.schema.metadata or {})[PARQUET_KEY].decode(), path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"file = {str(path)!r}: not a readable toy ntuple ({error})") from None


def _kind(path: Path) -> str:
    kinds = {".root": "root", ".parquet": "parquet", ".pq": "parquet"}
    if path.suffix.lower() not in kinds:
        raise InputError(f"output = {str(path)!r}: the ending names no format; use {', '.join(kinds)}")
    return kinds[path.suffix.lower()]


@dataclass(frozen=True, eq=False)
class Toys(Result):
    """Toys: a column each, one row a toy; a column with one value a bin of q2 has two dimensions.

    Attributes:
        card: what was asked for.
        columns: the ntuple.
        provenance: how they were made.
        path: file that they are in; None for toys in memory.
        made: how many of them were made now.
        interrupted: whether Ctrl-C came before all of them were made.
    """

    card: ToysCard
    columns: Columns
    provenance: Mapping[str, Any]
    path: Path | None = None
    made: int = 0
    interrupted: bool = False
    left_out = ("provenance",)

    @property
    def toys(self) -> int:
        """Number of toys."""
        return len(self.columns["toy"])

    @property
    def failures(self) -> dict[str, int]:
        """Number of toys (or bins of toys) with a status other than zero, by status column."""
        return count_failures(self.columns)

    def records(self) -> dict[str, Any]:
        """Return the columns; one with a value a bin becomes as many, ``P5p_0``, ``P5p_1`` ..."""
        found: dict[str, Any] = {}
        for name, values in self.columns.items():
            if values.ndim == 1:
                found[name] = values
            else:
                found |= {f"{name}_{b}": values[:, b] for b in range(values.shape[1])}
        return found


def read_toys(path: str | os.PathLike[str]) -> Toys:
    """Toys of a file that `toys` wrote.

    Raises:
        InputError: no such file, or not a toy ntuple.

    Example:
        >>> import tempfile
        >>> card = {"hypotheses": ["sm"], "observables": ["R_K+"], "fit": {}, "toys": 10}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_toys(toys(card, f"{folder}/toys.root").path).toys
        10
    """
    columns, provenance = read_ntuple(path)
    if not isinstance(provenance.get("card"), Mapping):
        raise InputError(f"file = {str(path)!r}: no card of toys in its provenance")
    return Toys(ToysCard.make(provenance["card"]), columns, provenance, Path(path))


@shows_keys(ToysCard)
def toys(
    card: CardSource | ToysCard = None,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], None] | None = None,
    **keys: Any,
) -> Toys:
    """Make the toys of a card in memory, or into a file, or those that the file lacks.

    An existing file of the same card is extended (``toys`` 10000 after 1000 makes 9000), after a check that
    this machine still makes its first toys as they are there. One of another card is replaced only with
    ``overwrite``. On Ctrl-C the finished toys are written and the result says so.

    Args:
        card: a TOML file, a built-in card's name, a dictionary, or a `ToysCard`; its defaults without one.
        output: file to write, .root or .parquet; none if None.
        overwrite: whether a file with toys of another card may be replaced.
        threads: CPU threads; all of them when None.
        device: where event toys are made: ``cpu``, ``gpu`` or ``auto``.
        progress: called with the number of toys after each portion.
        **keys: keys of a `ToysCard`, on top of those of the card; ``set`` changes the model that is true.

    Raises:
        InputError: a card or file that cannot be used.

    Example:
        >>> found = toys(truth="heavy-c9", hypotheses=["sm", "heavy-c9"], observables=["R_K+"], fit={}, toys=100)
        >>> bool(found.to_pandas()["q_1"].median() < 0)    # heavy-c9 is preferred where it is true
        True
    """
    chosen = ToysCard.make(card, **keys)
    if output is None:
        run = plan_toys(chosen, device)
        pieces = []
        for start in range(0, chosen.toys, CHUNK):
            stop = min(start + CHUNK, chosen.toys)
            pieces.append(run.rows(start, stop, threads))
            if progress:
                progress(stop - start)
        columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        return Toys(chosen, columns, {**run.provenance(), "toys": chosen.toys}, made=chosen.toys)
    return _into_file(chosen, output, overwrite, threads, device, progress)


def _into_file(
    card: ToysCard,
    path: str | os.PathLike[str],
    overwrite: bool,
    threads: int | None,
    device: str,
    progress: Callable[[int], None] | None,
) -> Toys:
    target = Path(path)
    _kind(target)
    check_target(target, overwrite=True)
    run = plan_toys(card, device)
    with OutputLock(target):  # two jobs that add to one file would each lose the toys of the other
        there = target.exists()
        known = _existing(target, run, overwrite) if there else None
        parts = _Parts(target, card.key(), known)
        made, interrupted = 0, False
        if progress and parts.toys:
            progress(min(parts.toys, card.toys))  # what is there counts as done
        try:
            for start, stop in parts.missing(card.toys):
                parts.save(start, run.rows(start, stop, threads))
                made += stop - start
                if progress:
                    progress(stop - start)
        except KeyboardInterrupt:
            interrupted = True
        columns = parts.together()
        if not columns:
            raise KeyboardInterrupt
        provenance = {**run.provenance(), "toys": len(columns["toy"])}
        if made or known is None:
            write_toys(target, columns, provenance, overwrite=there, lock=False)
        parts.discard()
    return Toys(card, columns, provenance, target, made, interrupted)


def count_failures(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, int]:
    """Number of toys (or bins of toys) with a status other than zero, by status column."""
    return {name: int(np.sum(values != 0)) for name, values in columns.items() if name.endswith("_status")}


def _existing(target: Path, run: ToyRun, overwrite: bool) -> Columns | None:
    """Columns of the file if it belongs to the card; None to start afresh."""
    try:
        columns, provenance = read_ntuple(target)
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
    """Finished parts of a run, in memory and in a folder beside its file, from which a killed run is taken up.

    What is damaged or missing there is made again, with one warning; with toys that are in the file already (``known``)
    the folder is of no use and removed.
    """

    def __init__(self, target: Path, key: str, known: Columns | None) -> None:
        self.folder, self.key = target.with_name(f".{target.name}.toys"), key
        self.pieces: dict[int, Columns] = {0: known} if known is not None and len(known["toy"]) else {}
        if known is not None or not (self.folder / key).is_file():
            self.discard()  # of another card
        damaged = []
        for file in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(io.BytesIO(read_checked(file)), allow_pickle=False) as stored:
                    columns = {name: stored[name] for name in stored.files}
                self.pieces[int(columns["toy"][0])] = columns
            except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
                damaged.append(file.name)
        last = max(self.pieces, default=0)
        again = sum(stop - start for start, stop in self.missing(last))
        if damaged or again:
            warnings.warn(
                f"parts of {target.name} that were finished earlier are damaged or missing; their toys are made again",
                RuntimeWarning,
                stacklevel=4,
            )

    @property
    def toys(self) -> int:
        """Number of toys that are there."""
        return sum(len(columns["toy"]) for columns in self.pieces.values())

    def missing(self, toys: int) -> list[tuple[int, int]]:
        """First and last toy (exclusive) of the portions that are to be made for so many toys."""
        found, have = [], 0
        for start in (*sorted(start for start in self.pieces if start < toys), toys):
            edges = [*range(have, start, CHUNK), start]
            found += list(pairwise(edges))
            have = max(have, start + len(self.pieces[start]["toy"]) if start in self.pieces else start)
        return found

    def save(self, start: int, columns: Columns) -> None:
        """Keep one part."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / self.key).touch()
        arrays: dict[str, Any] = dict(columns)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        file = self.folder / f"{start:012d}-{start + len(columns['toy']):012d}.npz"
        with WholeFile(file, overwrite=True, lock=False) as temporary:
            temporary.write_bytes(checksummed(buffer.getvalue()))
        self.pieces[start] = columns

    def together(self) -> Columns:
        """All toys from the first on, up to where one is missing; nothing if the first is."""
        pieces: list[Columns] = []
        have = 0
        while have in self.pieces:
            pieces.append(self.pieces[have])
            have += len(pieces[-1]["toy"])
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]} if pieces else {}

    def discard(self) -> None:
        """Remove all parts from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)
