"""Beams by name, by table or by histogram: how B mesons move in the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.beams import HistogramBeam, ProtonBeam, UpsilonBeam

Beam = ProtonBeam | UpsilonBeam | HistogramBeam | None
"""A source of B mesons; None is the B at rest."""
BEAMS: Mapping[str, Beam] = MappingProxyType(
    {
        "rest": None,
        "belle2": UpsilonBeam(),
        "lhcb-7tev": ProtonBeam(7.0),
        "lhcb-8tev": ProtonBeam(8.0),
        "lhcb-13tev": ProtonBeam(13.0),
        "lhcb-13.6tev": ProtonBeam(13.6),
    }
)
"""Where the B comes from, by name: at rest, from the Upsilon(4S), from pp within 2 < y < 4.5."""
_KINDS: Mapping[str, Callable[..., Beam]] = MappingProxyType(
    {
        "pp": ProtonBeam,
        "upsilon4s": UpsilonBeam,
        "histogram": HistogramBeam.checked,
    }
)


def resolve_beam(value: Any) -> str | dict[str, Any] | None:
    """A beam as a run card keeps it: a name of `BEAMS`, or a table of plain numbers with its ``kind``.

    Tables: ``{kind = "pp", energy = 13.0, rapidity = [2, 4.5]}``; ``{kind = "upsilon4s", electron = 7.0, ...}``
    (fields of `UpsilonBeam`); ``{kind = "histogram", pt_edges, eta_edges, weights, variable = "eta" | "y"}``, or
    with ``file`` and ``name`` of a two-dimensional histogram (p_T first) in a ROOT file, which is read here.

    Raises:
        InputError: no such beam, with the nearest known one, or a table that cannot be used.

    >>> resolve_beam("belle2")
    'belle2'
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        if not isinstance(value, str) or value not in BEAMS:
            raise InputError(f"beam = {value!r}: no such beam; {nearest(str(value), BEAMS)}")
        return str(value)
    table = dict(value)
    if "file" in table:
        table |= _read_histogram(str(table.pop("file")), str(table.pop("name", "")))
    plain = {key: _plain(item) for key, item in table.items()}
    beam_of(plain)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read_histogram(path: str, name: str) -> dict[str, Any]:
    import uproot

    try:
        with uproot.open(path) as file:
            contents, *edges = file[name].to_numpy()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"beam.file = {path!r}: no histogram {name!r} can be read from it ({error})") from None
    if len(edges) != 2:
        raise InputError(f"beam.name = {name!r}: {len(edges)} dimensions; needs two, p_T and eta or y")
    return {"kind": "histogram", "pt_edges": edges[0], "eta_edges": edges[1], "weights": contents}


def beam_of(value: str | Mapping[str, Any] | Beam) -> Beam:
    """The beam that a name, or a table as in `resolve_beam`, stands for.

    >>> beam_of({"kind": "pp", "energy": 8.0}).energy
    8.0
    """
    if isinstance(value, str):
        return BEAMS[str(resolve_beam(value))]
    if not isinstance(value, Mapping):
        return value
    table = dict(value)
    kind = table.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"beam.kind = {kind!r}: one of {', '.join(_KINDS)}")
    if isinstance(table.get("rapidity"), list):
        table["rapidity"] = tuple(table["rapidity"])
    try:
        return _KINDS[kind](**table)
    except TypeError as error:
        raise InputError(f"beam: {error}; these are the fields of a beam of kind {kind}") from None
