"""What a format needs to take rows: columns made ready on any thread, written in order by one.

uproot compresses a column as it writes it. Here that is done before, several columns at once: what it then asks for is
ready. It writes the same bytes as it would alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from .digests import DIGESTS

TREE = "events"
"""Name of the tree, RNTuple or table."""
PROVENANCE = "provenance"
"""Name of the JSON string beside the tree in a ROOT file."""
PARQUET_KEY = b"darkpenguin"
"""Key of the provenance in the metadata of a Parquet file."""
PARQUET_DIGESTS = b"darkpenguin-digests"
"""Key of the digests there."""
Schema = Mapping[str, np.dtype[Any]]


class Ready(NamedTuple):
    """A column as it will be written: a copy in the file's byte order, and the same compressed if it is."""

    column: np.ndarray[Any, Any]
    compressed: Any = None


class Sink(Protocol):
    """What a format needs: rows in, digests, and an end."""

    def ready(self, column: np.ndarray[Any, Any]) -> Ready:
        """Return a column ready to be written; called on several threads."""

    def extend(self, columns: Mapping[str, Ready]) -> None:
        """Write rows."""

    def add_digests(self, text: str) -> None:
        """Write the digests beside the events."""

    def close(self) -> None:
        """Finish the file."""


class RootSink:
    """A TTree or an RNTuple in a ROOT file."""

    def __init__(self, path: Path, kind: str, schema: Schema, provenance: str, compression: str) -> None:
        import uproot

        codec = {"none": None, "lz4": uproot.LZ4(1), "zstd": uproot.ZSTD(1)}[compression]
        self._compressed = None
        if codec is not None:
            self._compressed = codec.compress = _Compressed(codec.compress)
        self._order = ">" if kind == "ttree" else "<"
        self._constants: dict[tuple[str, int, bytes], Ready] = {}
        self._file = uproot.recreate(path, compression=codec)
        self._file[PROVENANCE] = provenance
        if kind == "ttree":
            self._tree = self._file.mktree(TREE, dict(schema))
        else:
            self._tree = self._file.mkrntuple(TREE, _form(schema))

    def ready(self, column: np.ndarray[Any, Any]) -> Ready:
        """Copy and compress; what is constant, a weight or a channel, only once."""
        constant = len(column) > 1 and column[0] == column[-1] and bool((column == column[0]).all())
        key = (column.dtype.str, len(column), column[:1].tobytes())
        known = self._constants.get(key) if constant else None
        if known is not None:
            return known
        copied = column.astype(column.dtype.newbyteorder(self._order))
        made = Ready(copied, None if self._compressed is None else self._compressed.anew(copied.view(np.uint8)))
        if constant:
            self._constants = {key: made for key, made in self._constants.items() if key[1] == len(column)}
            self._constants[key] = made
        return made

    def extend(self, columns: Mapping[str, Ready]) -> None:
        """Write rows; what uproot wants compressed is ready."""
        if self._compressed is not None:
            self._compressed.offer(columns.values())
        self._tree.extend({name: ready.column for name, ready in columns.items()})

    def add_digests(self, text: str) -> None:
        """Write the digests; not compressed, since that of the file is put into them later."""
        self._file.compression = None
        self._file[DIGESTS] = text

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _form(schema: Schema) -> Any:
    """Columns as awkward says them: uproot would print each type and parse what it printed, 6 ms a column."""
    from awkward.forms import NumpyForm, RecordForm

    return RecordForm([NumpyForm(dtype.name) for dtype in schema.values()], list(schema))


class _Compressed:
    """Stands for the method ``compress`` of uproot: what was compressed before is not compressed again."""

    def __init__(self, anew: Callable[[Any], Any]) -> None:
        self.anew = anew
        self._offered: dict[tuple[int, bytes, bytes], Any] = {}

    def offer(self, columns: Iterable[Ready]) -> None:
        """Know the columns of the next rows by length and ends; two that are alike there by none of them."""
        self._offered = {}
        for column, compressed in columns:
            mark = _mark(column.view(np.uint8))
            self._offered[mark] = None if mark in self._offered else compressed

    def __call__(self, block: Any) -> Any:
        """Return what is ready, or compress."""
        found = self._offered.get(_mark(block)) if self._offered else None
        return self.anew(block) if found is None else found


def _mark(block: Any) -> tuple[int, bytes, bytes]:
    return len(block), bytes(block[:64]), bytes(block[-64:])


class ParquetSink:
    """A Parquet file, one row group an extend."""

    def __init__(self, path: Path, schema: Schema, provenance: str, compression: str) -> None:
        import pyarrow
        import pyarrow.parquet

        fields = [(name, pyarrow.from_numpy_dtype(dtype)) for name, dtype in schema.items()]
        self._schema = pyarrow.schema(fields, metadata={PARQUET_KEY: provenance.encode()})
        self._table = pyarrow.Table.from_arrays
        self._array = pyarrow.array
        self._writer = pyarrow.parquet.ParquetWriter(
            path, self._schema, compression=compression, use_dictionary=False, write_statistics=True
        )

    def ready(self, column: np.ndarray[Any, Any]) -> Ready:
        """Copy."""
        return Ready(column.copy())

    def extend(self, columns: Mapping[str, Ready]) -> None:
        """Write a row group."""
        arrays = [self._array(columns[name].column) for name in self._schema.names]
        self._writer.write_table(self._table(arrays, schema=self._schema))

    def add_digests(self, text: str) -> None:
        """Write the digests into the metadata."""
        self._writer.add_key_value_metadata({PARQUET_DIGESTS.decode(): text})

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
