"""Event files: ROOT TTree and RNTuple, Parquet; written whole or not at all, with their provenance inside.

The tree (RNTuple, table) is called ``events``.  In a ROOT file the provenance is a JSON string in a ``TObjString``
called ``provenance`` beside the tree; in Parquet it is the schema's metadata under the key ``darkpenguin``.  Beside it
are digests of all that was written (`digests`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ...kinematics.base.arrays import to_host
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import WholeFile, bring_to_disk, check_target, not_written
from ...kinematics.base.threads import available_threads, keep_freed_memory
from .columns import ordered
from .digests import DIGESTS, ColumnDigests, digests_text, seal
from .provenance import channel_entries, parse_provenance
from .sinks import PARQUET_DIGESTS, PARQUET_KEY, PROVENANCE, TREE, ParquetSink, Ready, RootSink, Schema, Sink

FORMATS = ("ttree", "rntuple", "parquet")
"""Formats that can be written; the first is what ``.root`` stands for."""
SUFFIXES: Mapping[str, str] = {".root": "ttree", ".parquet": "parquet", ".pq": "parquet"}
"""Format that a file's ending stands for."""
COMPRESSIONS = ("none", "lz4", "zstd")
"""Compressions that every format has."""
ROWS_PER_EXTEND = 1 << 20
"""Rows of a piece that is read."""
ROWS_PER_BASKET = 1 << 18
"""Rows gathered before they go to the file: small baskets are slower to write and to read, large ones leave caches."""


def file_format(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Return the format of a file: the one asked for, or what the ending of its name stands for.

    Raises:
        InputError: a format or an ending that nobody here writes.

    Example:
        >>> file_format("x.root"), file_format("x.root", "rntuple"), file_format("x.parquet")
        ('ttree', 'rntuple', 'parquet')
    """
    suffix = Path(path).suffix.lower()
    if format is not None:
        if format not in FORMATS:
            raise InputError(f"format = {format!r}: allowed are {', '.join(FORMATS)}")
        if suffix in SUFFIXES and (suffix == ".root") != (format != "parquet"):
            raise InputError(
                f"format = {format!r}: the file {str(path)!r} ends in {suffix}, which stands for {SUFFIXES[suffix]}; "
                "change the ending or the format"
            )
        return format
    if suffix not in SUFFIXES:
        raise InputError(
            f"output = {str(path)!r}: the ending {suffix!r} names no format; use {', '.join(SUFFIXES)}, "
            f"or give format = {' | '.join(FORMATS)}"
        )
    return SUFFIXES[suffix]


class EventWriter:
    """A file of events that grows chunk by chunk and appears under its name only when it is complete.

    A context manager around a :class:`WholeFile`: leaving it by any exception, Ctrl-C included, removes what was
    written.  Made by :func:`open_writer`.  Columns are compressed on several threads while the rows before them are
    written by another, if ``threads`` (all without it) are more than one.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        schema: Schema,
        provenance: Mapping[str, Any],
        compression: str = "lz4",
        rows_per_extend: int = ROWS_PER_BASKET,
        overwrite: bool = False,
        threads: int | None = None,
    ) -> None:
        self.path = path
        self.kind = kind
        self.schema = {name: np.dtype(schema[name]) for name in ordered(tuple(schema))}
        self.rows = 0
        self._rows_per_extend = rows_per_extend
        self._waiting: list[dict[str, np.ndarray[Any, Any]]] = []
        self._n_waiting = 0
        self._whole = WholeFile(path, overwrite)
        self._provenance = text = json.dumps(dict(provenance), sort_keys=True, allow_nan=False)
        self._digests = ColumnDigests(tuple(self.schema))
        threads = threads or available_threads()
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._background = ThreadPoolExecutor(1) if threads > 1 else None
        self._disk = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._syncing: Future[None] | None = None
        keep_freed_memory()
        self._sink: Sink
        self._temporary = temporary = self._whole.open()
        try:
            with self._writable():
                if kind == "parquet":
                    self._sink = ParquetSink(temporary, self.schema, text, compression)
                else:
                    self._sink = RootSink(temporary, kind, self.schema, text, compression)
        except BaseException:
            self._whole.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
            return
        try:
            with self._writable():
                self._flush()
                self._settle()
                self._synced()
                self._sink.add_digests(digests_text(self._digests.finished(), self._provenance))
                self._sink.close()
                seal(self._temporary)
            self._whole.commit()
        except BaseException:
            self.discard()
            raise
        finally:
            self._end_threads()

    def extend(self, columns: Mapping[str, Any]) -> None:
        """Add events; a floating-point column that is missing becomes NaN, columns not in the schema are an error.

        Raises:
            InputError: a column that the file does not have, or an integer column that is missing.
        """
        extra = [name for name in columns if name not in self.schema]
        if extra:
            raise InputError(f"columns {', '.join(extra)}: the file {self.path} has {', '.join(self.schema)}")
        n_rows = len(next(iter(columns.values())))
        rows = {}
        for name, dtype in self.schema.items():
            if name in columns:
                rows[name] = to_host(columns[name]).astype(dtype, copy=False)
            elif np.issubdtype(dtype, np.floating):
                rows[name] = np.full(n_rows, np.nan, dtype=dtype)
            else:
                raise InputError(f"column {name!r} is missing, and integers have no NaN")
        if not self._waiting and n_rows >= self._rows_per_extend:
            self._write(rows)
            return
        self._waiting.append({name: array.copy() for name, array in rows.items()})
        self._n_waiting += n_rows
        if self._n_waiting >= self._rows_per_extend:
            self._flush()

    def discard(self) -> None:
        """Close and remove the unfinished file."""
        self._waiting.clear()
        self._end_threads()
        try:
            self._sink.close()
        except Exception:  # a half-written file may not close; it goes away in any case
            pass
        finally:
            self._whole.discard()

    def _flush(self) -> None:
        if self._n_waiting:
            rows = {name: np.concatenate([part[name] for part in self._waiting]) for name in self.schema}
            self._waiting.clear()
            self._n_waiting = 0
            self._write(rows)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Turn a full disk, or one that went away, into one clear error."""
        try:
            yield
        except OSError as error:
            raise not_written(self.path, error, "the unfinished file was removed") from error

    def _write(self, rows: dict[str, np.ndarray[Any, Any]]) -> None:
        n = len(next(iter(rows.values())))
        for start in range(0, n, self._rows_per_extend):
            self._write_piece({name: column[start : start + self._rows_per_extend] for name, column in rows.items()})
        self.rows += n

    def _write_piece(self, rows: dict[str, np.ndarray[Any, Any]]) -> None:
        """Make columns ready, which their owner may change then, and write them behind his back."""
        each = map if self._pool is None else self._pool.map
        ready = dict(zip(rows, each(self._ready, rows.items()), strict=True))
        with self._writable():
            self._settle()
            if self._background is None:
                self._extend(ready)
            else:
                self._writing = self._background.submit(self._extend, ready)

    def _extend(self, ready: dict[str, Ready]) -> None:
        """Write rows, and let the disk take them meanwhile, so that the end of the file need not wait for all of it."""
        self._sink.extend(ready)
        if self._syncing is None or self._syncing.done():
            self._synced()
            self._syncing = self._disk.submit(bring_to_disk, self._temporary)

    def _synced(self) -> None:
        """Wait until the disk has what it was last given; a disk that is full may say so then, and only once."""
        if self._syncing is not None:
            syncing, self._syncing = self._syncing, None
            syncing.result()

    def _ready(self, item: tuple[str, np.ndarray[Any, Any]]) -> Ready:
        name, column = item
        self._digests.update(name, column)
        return self._sink.ready(column)

    def _settle(self) -> None:
        """Wait until the rows before are written."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _end_threads(self) -> None:
        for threads in (self._pool, self._background, self._disk):
            if threads is not None:
                threads.shutdown(cancel_futures=True)


def open_writer(
    path: str | os.PathLike[str],
    schema: Schema,
    provenance: Mapping[str, Any],
    format: str | None = None,
    compression: str = "lz4",
    overwrite: bool = False,
    threads: int | None = None,
) -> EventWriter:
    """Open a file for events.

    Args:
        path: file to write; its ending names the format (.root is a TTree, .parquet is Parquet).
        schema: type of every column.
        provenance: what goes into the file beside the events; JSON types only.
        format: ``ttree``, ``rntuple`` or ``parquet``, when the ending is not to decide.
        compression: ``none``, ``lz4`` or ``zstd``.
        overwrite: whether a file of that name may be replaced.
        threads: threads that compress; all without it.

    Raises:
        InputError: see :func:`file_format` and :func:`check_target`.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.files.sample import read_events
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_writer(f"{folder}/x.root", {"q2": np.dtype("f8")}, {"seed": 7}) as writer:
        ...         writer.extend({"q2": np.array([1.0, 2.0])})
        ...     sample = read_events(f"{folder}/x.root")
        >>> len(sample), sample.provenance["seed"]
        (2, 7)
    """
    kind = file_format(path, format)
    if compression not in COMPRESSIONS:
        raise InputError(f"compression = {compression!r}: allowed are {', '.join(COMPRESSIONS)}")
    return EventWriter(
        check_target(path, overwrite=overwrite),
        kind,
        schema,
        provenance,
        compression,
        overwrite=overwrite,
        threads=threads,
    )


class Events:
    """Events to be read: of a file, of several, or in memory, with one face.

    Attributes:
        path: where they are from.
        kind: ``ttree``, ``rntuple``, ``parquet`` or ``memory``.
        rows: number of events.
        schema: type of every column.
        provenance: how they were made; empty for what is from elsewhere.
        library: array library of the columns, NumPy but for a sample on a GPU that is read there.
    """

    library: Any = np
    path: Path
    kind: str
    rows: int
    schema: dict[str, np.dtype[Any]]
    provenance: dict[str, Any]

    def chunks(self, rows: int = ROWS_PER_EXTEND) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """Iterate over the events in pieces of ``rows`` at most, in their order."""
        raise NotImplementedError

    def need(self, *columns: str) -> None:
        """InputError for a column that is not there."""
        for column in columns:
            if column not in self.schema:
                raise InputError(f"file = {str(self.path)!r}: no column {column}; it has {', '.join(self.schema)}")

    def channels(self, *needed: str) -> dict[int, Mapping[str, Any]]:
        """What the provenance says of each channel, by number; InputError if it does not say what is ``needed``."""
        try:
            return channel_entries(self.provenance, needed)
        except InputError as error:
            raise InputError(f"file = {str(self.path)!r}: {error}") from None


class EventFile(Events):
    """A file of events opened for reading: its format, number of events, column types and provenance.

    Attributes:
        path: the file.
        kind: ``ttree``, ``rntuple`` or ``parquet``.
        rows: number of events.
        schema: type of every column.
        provenance: how the file was made; empty for a file from elsewhere.
        provenance_text: the same, as it stands in the file.
        digests_text: JSON of the digests of what was written; empty if there are none.

    Raises:
        InputError: the file is missing, of another kind, or has no ``events``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            if not self.path.is_file():
                raise InputError(f"file = {str(path)!r}: there is no such file")
            with self.path.open("rb") as stream:
                magic = stream.read(4)
        except OSError as error:
            raise InputError(f"file = {str(path)!r}: {error.strerror}") from None
        openers = {b"root": self._open_root, b"PAR1": self._open_parquet}
        if magic not in openers:
            raise InputError(f"file = {str(path)!r}: neither a ROOT nor a Parquet file")
        with self._readable():
            openers[magic]()
        for name, dtype in self.schema.items():
            if dtype.kind not in "iufb":
                raise InputError(f"file = {str(path)!r}: column {name} holds no numbers, one an event")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn whatever a parser stumbles on into one clear error."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"file = {str(self.path)!r}: damaged or unreadable ({reason})") from error

    def _open_root(self) -> None:
        import uproot

        file = uproot.open(self.path)
        if TREE not in file:
            raise InputError(f"file = {str(self.path)!r}: no tree {TREE!r} in it; it has {file.keys(cycle=False)}")
        self._tree = file[TREE]
        self.kind = "rntuple" if "RNTuple" in type(self._tree).__name__ else "ttree"
        self.rows = int(self._tree.num_entries)
        empty = self._tree.arrays(entry_stop=0, library="np")
        columns = {name: np.asarray(empty[name]) for name in self._tree.keys()}  # noqa: SIM118
        self.schema = {name: array.dtype if array.ndim == 1 else np.dtype(object) for name, array in columns.items()}
        self.provenance_text = str(file[PROVENANCE]) if PROVENANCE in file else "{}"
        self.digests_text = str(file[DIGESTS]) if DIGESTS in file else ""
        self.provenance = parse_provenance(self.provenance_text, self.path)

    def _open_parquet(self) -> None:
        import pyarrow.parquet

        self._parquet = pyarrow.parquet.ParquetFile(self.path)
        self.kind = "parquet"
        self.rows = int(self._parquet.metadata.num_rows)
        schema = self._parquet.schema_arrow
        self.schema = {field.name: np.dtype(field.type.to_pandas_dtype()) for field in schema}
        self.provenance_text = ((schema.metadata or {}).get(PARQUET_KEY) or b"{}").decode()
        self.digests_text = (self._parquet.metadata.metadata or {}).get(PARQUET_DIGESTS, b"").decode()
        self.provenance = parse_provenance(self.provenance_text, self.path)

    def chunks(self, rows: int = ROWS_PER_EXTEND) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        """Iterate over the events in pieces of ``rows`` at most, in the order of the file."""
        pieces = self._parquet_chunks(rows) if self.kind == "parquet" else self._root_chunks(rows)
        while True:
            with self._readable():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def _parquet_chunks(self, rows: int) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        for batch in self._parquet.iter_batches(batch_size=rows):
            yield {name: batch.column(name).to_numpy(zero_copy_only=False) for name in self.schema}

    def _root_chunks(self, rows: int) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        for start in range(0, self.rows, rows):
            stop = min(start + rows, self.rows)
            arrays = self._tree.arrays(entry_start=start, entry_stop=stop, library="np")
            yield {name: np.asarray(arrays[name]) for name in self.schema}
