"""Names, order and units of the columns of an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

Columns = Mapping[str, Any]
"""Arrays of one length by column name, NumPy's or CuPy's."""
ANGLES = ("cos_theta_k", "cos_theta_l", "phi")
"""Angular columns in the order of the file."""
COLUMN_ORDER = ("q2", *ANGLES, "m_kpi", "flavour", "channel", "event", "weight")
"""Columns of the tree ``events``, in order; a channel without an angle, or with a K* of no width, lacks that column."""
UNITS: Mapping[str, str] = MappingProxyType(
    {
        "q2": "GeV^2",
        "cos_theta_k": "1",
        "cos_theta_l": "1",
        "phi": "rad",
        "m_kpi": "GeV",
        "flavour": "+1: B0 or B+, -1: anti-B0 or B-",
        "channel": "number of the channel, named in the provenance",
        "event": "number of the event in its run",
        "weight": "1",
        "accepted": "1: passed selection and efficiency, 0: did not",
        "q2_reco": "GeV^2",
    }
)
"""Unit or meaning of each column."""


def ordered(names: Sequence[str]) -> tuple[str, ...]:
    """Return column names in the order of the file, unknown ones last.

    >>> ordered(["weight", "flavour", "q2"])
    ('q2', 'flavour', 'weight')
    """
    known = [name for name in COLUMN_ORDER if name in names]
    return (*known, *(name for name in names if name not in COLUMN_ORDER))
