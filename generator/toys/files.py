"""The toy ntuple: one row a toy, with provenance; runs resume after an interruption and extend.

The tree (table) is called ``toys``; a column with one value a bin of q2 is an array of fixed length. While a
run goes on its finished pieces lie in a hidden folder beside the file; Ctrl-C gathers them into the file,
anything harder leaves them there, and the next run takes them up. A file is extended only by toys of the same
card.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.cards import CardSource, shows_keys
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import OutputLock, WholeFile, check_target
from ...kinematics.base.portions import Portions
from ...kinematics.base.results import Result
from ..files.pieces import Pieces, Span, share
from ..files.provenance import parse_provenance
from ..run.device import on_own_device
from ..run.q2 import parse_part, part_name
from ..run.workers import check_dask, in_order
from .run import Columns, ToyRun, ToysCard, plan_toys
from .unbinned import CHUNK as FITTED

TREE = "toys"
PROVENANCE = "provenance"
PARQUET_KEY = b"darkpenguin"
CHUNK = 1000
"""Toys computed and kept at a time."""
CHUNK_THERE = 1 << 14
"""The same on a GPU, where a step of the fits of few toys takes as long as of many."""


def write_toys(
    path: str | os.PathLike[str],
    columns: Columns,
    provenance: Mapping[str, Any],
    overwrite: bool,
    lock: bool | OutputLock = True,
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
    part: str | tuple[int, int] | None = None,
    dask: str | None = None,
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
        device: where event toys are made and all are fitted: ``cpu``, ``gpu`` or ``auto``.
        part: which of how many equal parts of the toys to make, as ``17/1000``; the file is named after it.
        dask: address of a Dask scheduler, or ``local:N``, whose workers make them.
        progress: called with the number of toys after each portion.
        **keys: keys of a `ToysCard`, on top of those of the card; ``set`` changes the model that is true.

    Raises:
        InputError: a card or file that cannot be used.

    Example:
        >>> found = toys(truth="heavy-c9", hypotheses=["sm", "heavy-c9"], observables=["R_K+"], fit={}, toys=100)
        >>> bool(found.to_pandas()["q_1"].median() < 0)    # heavy-c9 is preferred where it is true
        True
    """
    chosen, place = ToysCard.make(card, **keys), None if part is None else parse_part(part)
    check_dask(dask)
    if output is not None:
        return _into_file(
            chosen, part_name(os.fspath(output), place), place, overwrite, threads, device, progress, dask
        )
    run = _planned(chosen, device)
    start, stop = share(place, chosen.toys)
    pieces = []
    for span, columns in in_order(_work(run, threads, dask), portions(start, stop, _size(run)), dask):
        pieces.append(columns)
        if progress:
            progress(span[1] - span[0])
    columns = _joined(pieces) if pieces else run.rows(start, start, threads)
    return Toys(chosen, columns, _provenance(run, place, stop - start), made=stop - start)


def _work(run: ToyRun, threads: int | None, dask: str | None) -> Callable[[int, int], Columns]:
    """What makes the toys of a portion; a worker of a cluster has one thread, and a GPU of its own."""
    if dask is None:
        return _There(run, threads) if run.device == "gpu" else functools.partial(run.rows, threads=threads)
    if run.device == "gpu":
        return functools.partial(on_own_device, _There(run, 1))
    return functools.partial(run.rows, threads=1)


@dataclass(frozen=True)
class _There:
    """Makes the toys of a portion on a GPU, fewer at a time where its memory is full."""

    run: ToyRun
    threads: int | None
    portions: Portions = field(default_factory=lambda: Portions("toys", CHUNK_THERE))

    def __call__(self, start: int, stop: int) -> Columns:
        rows = functools.partial(self.run.rows, threads=self.threads)
        return _joined([columns for _, _, columns in self.portions.of(rows, start, stop)])


def _size(run: ToyRun) -> int:
    """Toys of a portion of a run."""
    if run.unbinned is not None:
        return FITTED
    return CHUNK_THERE if run.device == "gpu" else CHUNK


def _planned(card: ToysCard, device: str) -> ToyRun:
    """The run of a card; says what a GPU was asked for and the CPU makes."""
    run = plan_toys(card, device)
    if device == "gpu" and card.depth != "events":
        what = "counts of toys are drawn on the CPU; they are fitted, and hypotheses compared, on the GPU"
        warnings.warn(f"device = 'gpu': {what}", RuntimeWarning, stacklevel=3)
    return run


def _provenance(run: ToyRun, part: tuple[int, int] | None, toys: int) -> dict[str, Any]:
    """How toys were made, and if they are a part of a run, which."""
    told = {**run.provenance(), "toys": toys}
    return told if part is None else {**told, "part": list(part), "range": list(share(part, run.card.toys))}


def _into_file(
    card: ToysCard,
    path: str,
    part: tuple[int, int] | None,
    overwrite: bool,
    threads: int | None,
    device: str,
    progress: Callable[[int], None] | None,
    dask: str | None,
) -> Toys:
    target = Path(path)
    _kind(target)
    check_target(target, overwrite=True)
    run = _planned(card, device)
    first, stop = share(part, card.toys)
    with OutputLock(target) as lock:  # two jobs that add to one file would each lose the toys of the other
        there = target.exists()
        known = _existing(target, run, overwrite, part) if there else None
        kept = _Kept(target, card.key(), known, first, _size(run))
        made, interrupted = 0, False
        if progress and kept.toys:
            progress(min(kept.toys, stop - first))  # what is there counts as done
        try:
            for span, columns in in_order(_work(run, threads, dask), kept.missing(stop), dask):
                kept.keep(span, columns)
                made += span[1] - span[0]
                if progress:
                    progress(span[1] - span[0])
        except KeyboardInterrupt:
            interrupted = True
        columns = kept.together()
        if interrupted and (part is not None or not columns):
            raise KeyboardInterrupt  # a part is whole or not there; its pieces are kept
        columns = columns or run.rows(first, stop, threads)
        provenance = _provenance(run, part, len(columns["toy"]))
        if made or known is None:
            write_toys(target, columns, provenance, overwrite=there, lock=lock)
        kept.pieces.discard()
    return Toys(card, columns, provenance, target, made, interrupted)


def count_failures(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, int]:
    """Number of toys (or bins of toys) with a status other than zero, by status column."""
    return {name: int(np.sum(values != 0)) for name, values in columns.items() if name.endswith("_status")}


def _existing(target: Path, run: ToyRun, overwrite: bool, part: tuple[int, int] | None) -> Columns | None:
    """Columns of the file if it belongs to the card (and is that part); None to start afresh."""
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
    wanted = list(share(part, run.card.toys)) if part is not None else None
    if provenance.get("range") != wanted:
        if overwrite:
            return None
        raise InputError(
            f"output = {str(target)!r}: holds another part of the toys; give --overwrite to replace it, or another name"
        )
    first = wanted[0] if wanted else 0
    again = run.rows(first, first + min(2, len(columns["toy"])))
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


class _Kept:
    """Toys that are there: those of the file (``known``), or pieces of a run that was stopped.

    What is damaged or missing of these is made again, with one warning; with toys that are in the file already the
    pieces are of no use and removed.
    """

    def __init__(self, target: Path, key: str, known: Columns | None, first: int, size: int) -> None:
        self.first, self.size, self.pieces = first, size, Pieces(target, key)
        self.there: dict[int, Columns] = {first: known} if known is not None and len(known["toy"]) else {}
        if known is not None:
            self.pieces.discard()
        for span in self.pieces.spans:
            columns = self.pieces.read(span)
            if columns is not None:
                self.there[span[0]] = columns
        if self.pieces.damaged or self.missing(max(self.there, default=first)):
            warnings.warn(
                f"pieces of {target.name} that were finished earlier are damaged or missing; their toys are made again",
                RuntimeWarning,
                stacklevel=4,
            )

    @property
    def toys(self) -> int:
        """Number of toys that are there."""
        return sum(len(columns["toy"]) for columns in self.there.values())

    def missing(self, stop: int) -> list[Span]:
        """First and last toy (exclusive) of the portions that are to be made up to toy ``stop``."""
        found, have = [], self.first
        for start in (*sorted(start for start in self.there if start < stop), stop):
            found += portions(have, start, self.size)
            have = max(have, start + len(self.there[start]["toy"]) if start in self.there else start)
        return found

    def keep(self, span: Span, columns: Columns) -> None:
        """Keep one piece."""
        self.pieces.keep(span, columns)
        self.there[span[0]] = columns

    def together(self) -> Columns:
        """All toys from the first on, up to where one is missing; nothing if the first is."""
        pieces: list[Columns] = []
        have = self.first
        while have in self.there:
            pieces.append(self.there[have])
            have += len(pieces[-1]["toy"])
        return _joined(pieces) if pieces else {}


def portions(start: int, stop: int, size: int | None = None) -> list[Span]:
    """Toys that are made at a time, ``size`` or `CHUNK`: first and last (exclusive) of each portion.

    >>> portions(500, 2000)
    [(500, 1500), (1500, 2000)]
    """
    edges = [*range(start, stop, size or CHUNK), stop]
    return list(pairwise(edges))


def _joined(pieces: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
