"""Types of the fields of models: numbers that are checked, complex numbers in all spellings."""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, core_schema

LARGEST = 1e6
"""Largest coupling, mass and width (GeV): beyond any sense, it keeps amplitudes finite in double precision."""


class Frozen(BaseModel):
    """Data that does not change: no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


T = TypeVar("T")


class FrozenTable(dict[str, T]):
    """A table of values by the user's own names that can be a field of what is frozen: it has a hash.

    >>> hash(FrozenTable(a=1)) == hash(FrozenTable(a=1))
    True
    """

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __setitem__(self, key: str, value: T) -> None:
        raise TypeError("this table is frozen")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        values = handler.generate_schema(get_args(source)[0])
        table = core_schema.dict_schema(keys_schema=core_schema.str_schema(), values_schema=values)
        return core_schema.no_info_after_validator_function(cls, table)


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _finite(value: int | float | complex | np.number) -> complex:
    try:
        return complex(value)
    except OverflowError:  # a whole number of hundreds of digits
        raise ValueError("a finite number is needed") from None


def _to_complex(value: object) -> complex:
    """A number, text such as "1e-9+2e-9j", or [re, im]; NaN and infinities are refused."""
    _not_a_bool(value)
    if isinstance(value, str):
        try:
            number = complex(value.replace(" ", "").replace("i", "j"))
        except ValueError:
            raise ValueError('a number, text such as "1e-9+2e-9j", or [re, im] is needed') from None
    elif isinstance(value, (int, float, complex, np.number)):
        number = _finite(value)
    elif isinstance(value, Sequence) and len(value) == 2:
        if not all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in value):
            raise ValueError("[re, im] needs two numbers")
        number = complex(_finite(value[0]).real, _finite(value[1]).real)
    else:
        raise ValueError('a number, text such as "1e-9+2e-9j", or [re, im] is needed')
    if not cmath.isfinite(number):
        raise ValueError("a finite number is needed")
    if abs(number) > LARGEST:
        raise ValueError(f"should be at most {LARGEST:g} in size")
    return number


def _from_complex(value: complex) -> float | list[float]:
    return [value.real, value.imag] if value.imag else value.real


Number = Annotated[float, BeforeValidator(_not_a_bool), Field(le=LARGEST, allow_inf_nan=False)]
Coupling = Annotated[Number, Field(ge=-LARGEST)]
Complex = Annotated[complex, BeforeValidator(_to_complex), PlainSerializer(_from_complex, when_used="json")]
Mass = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
