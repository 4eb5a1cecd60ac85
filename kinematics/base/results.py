"""Results: what a computation found, in JSON types and as a pandas table, the same way for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np
from pydantic import BaseModel

if TYPE_CHECKING:
    import pandas


def json_types(value: Any) -> Any:
    """Return a value in the types of JSON: records by field, complex numbers as [re, im]; None for NaN and infinities.

    >>> json_types({"a": (1, math.inf), "b": np.array([0.5]), "c": 1 + 2j})
    {'a': [1, None], 'b': [0.5], 'c': [1.0, 2.0]}
    """
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value) and not isinstance(value, type):
        return json_types(record(value))
    if isinstance(value, Mapping):
        return {str(key): json_types(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return json_types(value.tolist())
    if isinstance(value, (list, tuple)):
        return [json_types(item) for item in value]
    if isinstance(value, complex):
        return json_types([value.real, value.imag])
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def record(row: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by name, and the properties that it lists as ``derived`` beside them."""
    names = [field.name for field in fields(row)] + list(getattr(row, "derived", ()))
    return {name: getattr(row, name) for name in names}


class Result:
    """What a computation found. A dataclass on top of it names what is too large, or of no meaning, for JSON."""

    left_out: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything in JSON types; NaN and infinities are None."""
        return {name: json_types(value) for name, value in record(self).items() if name not in self.left_out}

    def to_pandas(self) -> pandas.DataFrame:
        """Return the numbers as a pandas data frame, one row a number (or a point, or a toy)."""
        import pandas

        return pandas.DataFrame(self.records())

    def records(self) -> Any:
        """Return what `to_pandas` makes its rows from: a list of dictionaries, or a dictionary of columns."""
        raise NotImplementedError


Row = TypeVar("Row")


@dataclass(frozen=True, eq=False)
class Rows(Result, Sequence[Row], Generic[Row]):
    """A result that is a table: a sequence of its rows, each a dataclass."""

    rows: tuple[Row, ...]

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, index: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def records(self) -> Any:
        """Return the rows as dictionaries."""
        return [record(row) for row in self.rows]
