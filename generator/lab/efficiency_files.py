"""Files of efficiency maps: TOML, JSON, correctionlib, histograms of uhi and ROOT."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from .efficiency_maps import (
    RANGES,
    Axis,
    ConstantMap,
    CorrectionMap,
    EfficiencyMap,
    HistogramMap,
    LegendreMap,
    check_size,
)

Array = NDArray[np.float64]


def read_map(source: str | float | os.PathLike[str]) -> EfficiencyMap:
    """Efficiency map of a file, or a constant.

    A file is one of

    - TOML or JSON with ``kind = "legendre"``: ``axes`` (names, or [name, low, high]; q2 needs its range) and
      ``terms``, rows [k, l, ..., value], or ``coefficients``, a nested array; ``outside``, ``clip``;
    - TOML or JSON with ``kind = "histogram"``: ``axes`` (names), ``edges`` (a list an axis), ``values`` (nested),
      ``outside``;
    - JSON of correctionlib (``.json``, ``.json.gz``), ``FILE:NAME`` if it has several corrections;
    - JSON of a histogram as ``hist`` and ``boost_histogram`` write it through ``uhi``;
    - ROOT with a TH1, TH2 or TH3, ``FILE.root:NAME``, its axes titled after columns.

    Raises:
        InputError: a file that is missing or of no such kind, and values that are no efficiencies.

    Example:
        >>> read_map("0.5").evaluate({"q2": np.zeros(1)}).tolist()
        [0.5]
    """
    try:
        constant = float(source)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        text = str(source)
    else:
        return ConstantMap(constant)
    path, name = (Path(text), "") if Path(text).is_file() else _split(text)
    if not path.is_file():
        raise InputError(f"efficiency = {text!r}: there is no such file")
    try:
        return _read(path, name)
    except InputError as error:
        raise InputError(f"efficiency map {text!r}: {error}") from None
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"efficiency map {text!r}: cannot be used ({error})") from None


def _split(text: str) -> tuple[Path, str]:
    """File and name within it, of FILE:NAME."""
    head, _, tail = text.rpartition(":")
    return (Path(head), tail) if head else (Path(text), "")


def _read(path: Path, name: str) -> EfficiencyMap:
    if path.suffix == ".root":
        return _read_root(path, name)
    data = _read_text(path)
    if "corrections" in data or "compound_corrections" in data:
        return _read_corrections(path, name)
    if "uhi_schema" in data:
        return _read_uhi(data)
    kinds: Mapping[str, Callable[[Mapping[str, Any]], EfficiencyMap]] = {
        "legendre": _legendre_map,
        "histogram": _histogram_map,
    }
    kind = data.pop("kind", None)
    if kind not in kinds:
        raise InputError(f"kind = {kind!r}: allowed are {', '.join(kinds)}, or a file of correctionlib, uhi or ROOT")
    data.pop("description", None)
    return kinds[kind](data)


def _read_text(path: Path) -> dict[str, Any]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode()
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, EOFError, ValueError, RecursionError) as error:  # JSON and TOML errors are ValueErrors
        raise InputError(f"neither TOML nor JSON: {error}") from None
    if not isinstance(data, dict):
        raise InputError("a table of keys and values is needed")
    return data


def _keys(data: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str]) -> None:
    for key in data:
        if key not in (*needed, *optional):
            raise InputError(f"{key}: no such key; {nearest(key, [*needed, *optional])}")
    for key in needed:
        if key not in data:
            raise InputError(f"{key}: missing")


def _numbers(value: Any, what: str) -> Array:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: numbers in a regular array are needed") from None


def _legendre_map(data: Mapping[str, Any]) -> LegendreMap:
    _keys(data, ("axes",), ("coefficients", "terms", "outside", "clip"))
    if ("terms" in data) == ("coefficients" in data):
        raise InputError("terms or coefficients: give one of the two")
    axes: list[Axis] = []
    for entry in data["axes"]:
        if isinstance(entry, str):
            if entry not in RANGES:
                raise InputError(f'axes: {entry} needs its range; write ["{entry}", low, high]')
            entry = [entry, *RANGES[entry]]
        try:
            axes.append((str(entry[0]), float(entry[1]), float(entry[2])))
        except (TypeError, ValueError, IndexError, KeyError):
            raise InputError(f"axes: {entry!r}; write a name or [name, low, high]") from None
    if "terms" in data:
        c = _dense(_numbers(data["terms"], "terms"), len(axes))
    else:
        c = _numbers(data["coefficients"], "coefficients")
    return LegendreMap(tuple(axes), c, float(data.get("outside", 0.0)), bool(data.get("clip", False))).check()


def _dense(rows: Array, n: int) -> Array:
    """Array of coefficients from rows [k, l, ..., value] of ``n`` indices."""
    if rows.ndim != 2 or rows.shape[1] != n + 1:
        raise InputError(f"terms: rows of {n} indices, an axis each, and a value are needed")
    index = rows[:, :-1]
    if not (np.isfinite(index).all() and (index == index.round()).all() and (index >= 0).all() and (index < 100).all()):
        raise InputError("terms: rows are [k, l, ..., value] with whole numbers k, l, ... below 100")
    places = [tuple(int(i) for i in row) for row in index]
    if len(set(places)) != len(places):
        raise InputError("terms: the same indices twice")
    check_size([int(i) + 1 for i in index.max(axis=0)])
    dense = np.zeros(tuple(int(i) + 1 for i in index.max(axis=0)))
    for place, value in zip(places, rows[:, -1], strict=True):
        dense[place] = value
    return dense


def _histogram_map(data: Mapping[str, Any]) -> HistogramMap:
    _keys(data, ("axes", "edges", "values"), ("outside",))
    edges = tuple(_numbers(e, "edges") for e in data["edges"])
    return HistogramMap(
        tuple(map(str, data["axes"])), edges, _numbers(data["values"], "values"), float(data.get("outside", 0.0))
    )


def _read_uhi(data: dict[str, Any]) -> HistogramMap:
    purpose = "a histogram in uhi's JSON"
    boost_histogram, uhi_json = optional("boost_histogram", purpose), optional("uhi.io.json", purpose)
    try:
        plain = json.loads(json.dumps(data), object_hook=uhi_json.object_hook)
        histogram = boost_histogram.Histogram(plain)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"no histogram of uhi: {error}") from None
    names = [str((axis.get("metadata") or {}).get("name", "")) for axis in data["axes"]]
    return HistogramMap.from_hist(histogram, names)


def _read_root(path: Path, name: str) -> HistogramMap:
    import uproot

    try:
        with uproot.open(path) as file:
            names = [key for key, kind in file.classnames(cycle=False).items() if kind.startswith("TH")]
            if not name and len(names) == 1:
                name = names[0]
            if name not in names:
                raise InputError(f"write FILE:NAME; the file has the histograms {', '.join(names) or 'none'}")
            histogram = file[name]
            axes = [str(axis.member("fTitle") or axis.member("fName")) for axis in histogram.axes]
            return HistogramMap(
                tuple(axes), tuple(np.asarray(a.edges()) for a in histogram.axes), np.asarray(histogram.values())
            )
    except InputError:
        raise
    except Exception as error:  # whatever a damaged file makes a parser raise
        raise InputError(f"damaged or unreadable ({error})") from None


def _read_corrections(path: Path, name: str) -> CorrectionMap:
    correctionlib = optional("correctionlib", "a file of correctionlib")
    try:
        found = correctionlib.CorrectionSet.from_file(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"no file of correctionlib: {error}") from None
    known = {**found, **found.compound}
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        raise InputError(f"write FILE:NAME; the file has the corrections {', '.join(sorted(known))}")
    return CorrectionMap(known[name])


def digest(source: str) -> str:
    """SHA-256 of a map's file; nothing for a constant."""
    path = Path(source) if Path(source).is_file() else _split(source)[0]
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
