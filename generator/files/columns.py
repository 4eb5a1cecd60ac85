"""The table of columns that an event may have: names, order, units and who makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..lab import table
from ..lab.columns import momentum_rows
from ..sampler.columns import OF_THE_RUN, SAMPLED, Column

Columns = Mapping[str, Any]
"""Arrays of one length by column name, NumPy's or CuPy's."""


def columns() -> dict[str, Column]:
    """All columns by name, in the order of a file: sampled ones, momenta, and those of each stage.

    >>> columns()["q2_reco"].unit
    'GeV^2'
    """
    staged = [column for stage in table.steps() for column in stage.columns]
    return {column.name: column for column in (*SAMPLED.values(), *momentum_rows(), *staged)}


def makers(name: str) -> tuple[str, ...]:
    """Who makes a column: the sampler, the run, the beam (momenta), or the keys of stages; nobody for unknown ones.

    >>> makers("flavour"), makers("k_px"), makers("accepted")
    (('sampler',), ('beam',), ('selection', 'efficiency'))
    """
    if name in SAMPLED:
        return ("run",) if name in OF_THE_RUN else ("sampler",)
    if any(column.name == name for column in momentum_rows()):
        return ("beam",)
    return tuple(stage.key for stage in table.steps() if any(column.name == name for column in stage.columns))


def axis_label(name: str) -> str:
    """A column with its unit, as it stands at an axis.

    >>> axis_label("q2_reco"), axis_label("cos_theta_k"), axis_label("mine")
    ('q2_reco [GeV^2]', 'cos_theta_k', 'mine')
    """
    column = columns().get(name)
    return name if column is None or column.unit == "1" else f"{name} [{column.unit}]"


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Return column names in the order of the file, unknown ones last.

    >>> ordered(["weight", "mine", "flavour", "q2"])
    ('q2', 'flavour', 'weight', 'mine')
    """
    place = {name: number for number, name in enumerate(columns())}
    return tuple(sorted(names, key=lambda name: place.get(name, len(place))))
