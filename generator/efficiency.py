"""Efficiency maps: Legendre products, n-dimensional histograms and correctionlib files, as weights or accept-reject.

A map gives the probability that an event is kept, as a function of any of its columns: q2 and the angles, in the
convention of the run, or momenta.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict

from ..kinematics.errors import InputError
from ..physics.channels import CHANNELS, Channel
from ..physics.models import nearest
from .counts import array_module
from .events import to_host
from .stages import EFFICIENCY_CALL, Place

Array = NDArray[np.float64]
Axis = tuple[str, float, float]

MODES = ("flag", "reject", "weight")
"""What an efficiency does: ``flag`` marks events in the column ``accepted``, ``reject`` leaves the others out,
``weight`` multiplies the column ``weight`` by it."""

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType({
    "cos_theta_k": (-1.0, 1.0), "cos_theta_l": (-1.0, 1.0), "phi": (-math.pi, math.pi),
})
"""Ranges of the angles, for maps that do not say theirs."""

_BLOCK = 1 << 14   # events evaluated at a time: the Legendre values of a block stay in the cache


class EfficiencyMap(Protocol):
    """An efficiency as a function of columns."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event (unchecked), in the array library of the columns."""


@dataclass(frozen=True, eq=False)
class LegendreMap:
    r"""Sum of products of Legendre polynomials, the form of eq. (8) of arXiv:1512.04442.

    .. math:: \epsilon(x) = \sum_{klmn} c_{klmn} P_k(\hat x_1) P_l(\hat x_2) P_m(\hat x_3) P_n(\hat x_4)

    where :math:`\hat x` is the variable mapped linearly from its range to [-1, 1].

    Attributes:
        axes: name, lower and upper end of each variable, in the order of the indices.
        coefficients: c, one dimension an axis.
        outside: efficiency where a variable is beyond its range (0: not selected).
        clip: whether values below 0 or above 1 become 0 or 1; they are refused otherwise.

    Example:
        >>> slope = LegendreMap((("q2", 0.0, 10.0),), np.array([0.5, 0.2]))
        >>> slope.evaluate({"q2": np.array([0.0, 5.0, 10.0])}).round(12).tolist()
        [0.3, 0.5, 0.7]
    """

    axes: tuple[Axis, ...]
    coefficients: Array
    outside: float = 0.0
    clip: bool = False

    def __post_init__(self) -> None:
        c = np.array(self.coefficients, dtype=np.float64)
        if c.ndim != len(self.axes) or c.ndim == 0 or c.size == 0:
            raise InputError(f"coefficients: {c.ndim} dimensions for {len(self.axes)} axes; each axis needs one")
        _refuse(~np.isfinite(c), c, "coefficients", lambda i: f"of indices {i}", "must be finite")
        for name, low, high in self.axes:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InputError(f"axes: {name} from {low} to {high}; needs finite ends, the lower one first")
        if not 0.0 <= self.outside <= 1.0:
            raise InputError(f"outside = {self.outside}: an efficiency is between 0 and 1")
        c.setflags(write=False)
        object.__setattr__(self, "coefficients", c)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return tuple(name for name, _, _ in self.axes)

    def check(self, points: int = 9) -> LegendreMap:
        """Return the map itself once it is within [0, 1] on a grid of ``points`` an axis.

        Raises:
            InputError: a value outside, with its position.
        """
        grids = [np.linspace(low, high, points) for _, low, high in self.axes]
        mesh = [g.ravel() for g in np.meshgrid(*grids, indexing="ij")]
        check_values(self.evaluate(dict(zip(self.inputs, mesh, strict=True))),
                     dict(zip(self.inputs, mesh, strict=True)), self.inputs)
        return self

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        xp = array_module(columns[self.inputs[0]])
        n = len(columns[self.inputs[0]])
        out = xp.empty(n, dtype=xp.float64)
        c = xp.asarray(self.coefficients)
        for low in range(0, n, _BLOCK):
            part = slice(low, min(low + _BLOCK, n))
            inside, total = None, None
            for i, (name, a, b) in enumerate(self.axes):
                x = xp.asarray(columns[name][part], dtype=xp.float64)
                # a float32 column may round the end of a range outwards by an ulp
                slack = 1e-6 * max(abs(a), abs(b))
                good = (x >= a - slack) & (x <= b + slack)
                inside = good if inside is None else inside & good
                values = _legendre(xp, xp.clip((2.0 * x - (a + b)) / (b - a), -1.0, 1.0), c.shape[i])
                if total is None:
                    total = (c.reshape(c.shape[0], -1).T @ values).reshape(*c.shape[1:], -1)
                else:   # contracts the leading axis left
                    shape = (values.shape[0],) + (1,) * (total.ndim - 2) + (values.shape[1],)
                    total = (total * values.reshape(shape)).sum(axis=0)
            assert total is not None
            if self.clip:
                total = xp.clip(total, 0.0, 1.0)
            # NaN stays NaN: it compares false, and must not pass for an event outside
            nan = sum((xp.asarray(columns[name][part], dtype=xp.float64) * 0.0 for name in self.inputs[1:]),
                      start=xp.asarray(columns[self.inputs[0]][part], dtype=xp.float64) * 0.0)
            out[part] = xp.where(inside, total, self.outside) + nan
        return out


@dataclass(frozen=True, eq=False)
class HistogramMap:
    """An n-dimensional histogram: the efficiency of an event is that of its bin.

    Attributes:
        axes: names of the columns.
        edges: rising edges of each axis; the last bin includes its upper edge.
        values: efficiencies, one dimension an axis.
        outside: efficiency beyond the edges (0: not selected).

    Raises:
        InputError: shapes that do not fit, or a value that is NaN, negative or above 1, with its position.

    Example:
        >>> step = HistogramMap(("q2",), (np.array([0.0, 1.0, 4.0]),), np.array([0.2, 0.6]))
        >>> step.evaluate({"q2": np.array([0.5, 2.0, 4.0, 5.0])}).tolist()
        [0.2, 0.6, 0.6, 0.0]
    """

    axes: tuple[str, ...]
    edges: tuple[Array, ...]
    values: Array
    outside: float = 0.0

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        edges = tuple(np.array(e, dtype=np.float64) for e in self.edges)
        wanted = tuple(len(e) - 1 for e in edges)
        if len(edges) != len(self.axes) or values.shape != wanted or not edges:
            raise InputError(f"values of shape {values.shape}: {len(self.axes)} axes with edges for {wanted} bins")
        for name, e in zip(self.axes, edges, strict=True):
            if len(e) < 2 or not np.isfinite(e).all() or not (np.diff(e) > 0).all():
                raise InputError(f"edges of {name} = {e.tolist()}: needs two or more finite ones that rise")
        if not 0.0 <= self.outside <= 1.0:
            raise InputError(f"outside = {self.outside}: an efficiency is between 0 and 1")

        def where(index: tuple[int, ...]) -> str:
            return "in bin " + ", ".join(
                f"{name} {e[i]:g} to {e[i + 1]:g}" for name, e, i in zip(self.axes, edges, index, strict=True))

        _refuse(~((values >= 0.0) & (values <= 1.0)), values, "efficiency", where, "must be between 0 and 1")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "edges", edges)

    @classmethod
    def from_hist(cls, histogram: Any, axes: Sequence[str] | None = None, outside: float = 0.0) -> HistogramMap:
        """Map from a ``hist`` or ``boost_histogram`` object, or anything with its ``axes`` and ``values()``.

        Args:
            histogram: with axes named after columns, unless ``axes`` names them.
            axes: names of the columns.
            outside: efficiency beyond the edges; the histogram's overflow is not used.

        Raises:
            InputError: axes without names, or values that are no efficiencies.
        """
        names = tuple(axes) if axes is not None else tuple(
            str(getattr(axis, "name", "") or getattr(axis, "label", "") or "") for axis in histogram.axes)
        if not all(names):
            raise InputError(f"axes = {list(names)}: name each axis after a column, such as q2 or cos_theta_l")
        return cls(names, tuple(np.asarray(a.edges) for a in histogram.axes), np.asarray(histogram.values()), outside)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return self.axes

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        xp = array_module(columns[self.axes[0]])
        flat, inside, nan = 0, True, 0.0
        for name, e in zip(self.axes, self.edges, strict=True):
            x = xp.asarray(columns[name], dtype=xp.float64)
            i = xp.searchsorted(xp.asarray(e), x, side="right") - 1
            i = xp.where(x == e[-1], len(e) - 2, i)
            inside = inside & (i >= 0) & (i < len(e) - 1)
            flat = flat * (len(e) - 1) + xp.clip(i, 0, len(e) - 2)
            nan = nan + xp.where(xp.isnan(x), x, 0.0)
        return xp.where(inside, xp.asarray(self.values).ravel()[flat], self.outside) + nan


@dataclass(frozen=True, eq=False)
class CorrectionMap:
    """A correction of a correctionlib file; its inputs are columns, or ``channel`` and ``lepton`` by name.

    Evaluated on the host, wherever the columns are.
    """

    correction: Any

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return tuple(v.name for v in self.correction.inputs if v.type != "string")

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        words = {"channel": channel.name, "lepton": channel.lepton} if channel is not None else {}
        arguments: list[Any] = []
        for variable in self.correction.inputs:
            if variable.type == "string":
                if variable.name not in words:
                    raise InputError(f"correction {self.correction.name!r}: its input {variable.name!r} is text; only "
                                     "channel and lepton are")
                arguments.append(words[variable.name])
            else:
                arguments.append(to_host(columns[variable.name]).astype(
                    np.int64 if variable.type == "int" else np.float64))
        n = len(next(iter(columns.values())))
        try:
            values = np.broadcast_to(np.asarray(self.correction.evaluate(*arguments), dtype=np.float64), (n,))
        except (RuntimeError, IndexError, ValueError) as error:
            raise InputError(f"correction {self.correction.name!r}: {error}") from None
        library = array_module(next(iter(columns.values())))
        return library.asarray(values)


@dataclass(frozen=True)
class ConstantMap:
    """One efficiency for all events.

    >>> ConstantMap(0.5).evaluate({"q2": np.zeros(2)}).tolist()
    [0.5, 0.5]
    """

    value: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise InputError(f"efficiency = {self.value}: must be between 0 and 1")

    @property
    def inputs(self) -> tuple[str, ...]:
        """No column is read."""
        return ()

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        column = next(iter(columns.values()))
        return array_module(column).full(len(column), self.value)


def check_values(values: Any, columns: Mapping[str, Any], inputs: Sequence[str], first: int = 0) -> None:
    """Raise InputError, with the position, for an efficiency that is NaN, negative or above 1.

    A rounding of 1e-12 beyond the ends passes.

    >>> check_values(np.array([0.0, 0.5, 1.0]), {}, ())
    """
    bad = ~((values >= -1e-12) & (values <= 1.0 + 1e-12))
    if bool(bad.any()):
        i = int(to_host(bad).argmax())
        place = ", ".join(f"{name} = {float(columns[name][i]):.6g}" for name in inputs) or f"event {first + i}"
        raise InputError(f"efficiency = {float(values[i]):g} at {place}: must be between 0 and 1"
                         "; a polynomial map may say clip = true")


def _refuse(bad: Any, values: Array, what: str, where: Callable[[tuple[int, ...]], str], why: str) -> None:
    """Raise InputError for the first bad value, with its position."""
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"{what} = {values[index]:g} {where(index)}: {why}")


def _legendre(xp: Any, x: Any, n: int) -> Any:
    """P_0 to P_(n-1) of x, shape (n, len(x)): (k+1) P_(k+1) = (2k+1) x P_k - k P_(k-1)."""
    rows = [xp.ones_like(x), x]
    for k in range(1, n - 1):
        rows.append(((2 * k + 1) * x * rows[k] - k * rows[k - 1]) / (k + 1))
    return xp.stack(rows[:n])


# ------------------------------------------------------------------------------------------------------------
# Files
# ------------------------------------------------------------------------------------------------------------


def read_map(source: str | float | os.PathLike[str]) -> EfficiencyMap:
    """Efficiency map of a file, or a constant.

    A file is one of

    - TOML or JSON with ``kind = "legendre"``: ``axes`` (names, or [name, low, high]; q2 needs its range) and
      ``coefficients`` as rows [k, l, ..., value] or as a nested array; ``outside``, ``clip``;
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
        return ConstantMap(float(source))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    text = str(source)
    path, name = (Path(text), "") if Path(text).is_file() else _split(text)
    if not path.is_file():
        raise InputError(f"efficiency = {text!r}: there is no such file")
    try:
        return _read(path, name)
    except InputError as error:
        raise InputError(f"efficiency map {text!r}: {error}") from None


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
    kinds = {"legendre": _legendre_map, "histogram": _histogram_map}
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
    except (OSError, EOFError, ValueError) as error:   # JSON and TOML errors are ValueErrors
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
    _keys(data, ("axes", "coefficients"), ("outside", "clip"))
    axes: list[Axis] = []
    for entry in data["axes"]:
        if isinstance(entry, str):
            if entry not in RANGES:
                raise InputError(f"axes: {entry} needs its range; write [\"{entry}\", low, high]")
            entry = [entry, *RANGES[entry]]
        try:
            axes.append((str(entry[0]), float(entry[1]), float(entry[2])))
        except (TypeError, ValueError, IndexError, KeyError):
            raise InputError(f"axes: {entry!r}; write a name or [name, low, high]") from None
    c = _numbers(data["coefficients"], "coefficients")
    if c.ndim == 2 and c.shape[1] == len(axes) + 1 and len(axes) != 2:
        c = _dense(c)
    elif c.ndim == 2 and len(axes) == 2 and c.shape[1] == 3 and (c[:, :2] == c[:, :2].round()).all():
        c = _dense(c)
    return LegendreMap(tuple(axes), c, float(data.get("outside", 0.0)), bool(data.get("clip", False))).check()


def _dense(rows: Array) -> Array:
    """Array of coefficients from rows [k, l, ..., value]."""
    index = rows[:, :-1]
    if not (np.isfinite(index).all() and (index == index.round()).all() and (index >= 0).all() and (index < 100).all()):
        raise InputError("coefficients: rows are [k, l, ..., value] with whole numbers k, l, ... below 100")
    places = [tuple(int(i) for i in row) for row in index]
    if len(set(places)) != len(places):
        raise InputError("coefficients: the same indices twice")
    dense = np.zeros(tuple(int(i) + 1 for i in index.max(axis=0)))
    for place, value in zip(places, rows[:, -1], strict=True):
        dense[place] = value
    return dense


def _histogram_map(data: Mapping[str, Any]) -> HistogramMap:
    _keys(data, ("axes", "edges", "values"), ("outside",))
    edges = tuple(_numbers(e, "edges") for e in data["edges"])
    return HistogramMap(tuple(map(str, data["axes"])), edges, _numbers(data["values"], "values"),
                        float(data.get("outside", 0.0)))


def _read_uhi(data: dict[str, Any]) -> HistogramMap:
    try:
        import boost_histogram
        import uhi.io.json
    except ImportError:
        raise InputError("a histogram in uhi's JSON needs the package hist: pip install hist") from None
    try:
        plain = json.loads(json.dumps(data), object_hook=uhi.io.json.object_hook)
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
            return HistogramMap(tuple(axes), tuple(np.asarray(a.edges()) for a in histogram.axes),
                                np.asarray(histogram.values()))
    except InputError:
        raise
    except Exception as error:   # whatever a damaged file makes a parser raise
        raise InputError(f"damaged or unreadable ({error})") from None


def _read_corrections(path: Path, name: str) -> CorrectionMap:
    try:
        import correctionlib
    except ImportError:
        raise InputError("a file of correctionlib needs that package: pip install correctionlib") from None
    try:
        found = correctionlib.CorrectionSet.from_file(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"no file of correctionlib: {error}") from None
    names = list(found)
    if not name and len(names) == 1:
        name = names[0]
    if name not in names:
        raise InputError(f"write FILE:NAME; the file has the corrections {', '.join(names)}")
    return CorrectionMap(found[name])


# ------------------------------------------------------------------------------------------------------------
# In a run
# ------------------------------------------------------------------------------------------------------------


def _maps(value: Any) -> Any:
    """Accept one map where a table of them is meant; FILE or KEY=FILE in a list."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        value = [str(value)]
    if isinstance(value, (list, tuple)):
        pairs = {}
        for item in value:
            key, equals, source = str(item).partition("=")
            pairs[key.strip() if equals else "all"] = source if equals else key
        value = pairs
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"efficiency.maps = {value!r}: write a file, or a table such as {{mu = FILE, e = FILE}}")
    known = ["all", "mu", "e", *CHANNELS]
    for key in value:
        if key not in known:
            raise InputError(f"efficiency.maps.{key}: no such channel or lepton; {nearest(key, known)}")
    return tuple((str(key), str(source)) for key, source in value.items())


class EfficiencySettings(BaseModel):
    """Table ``efficiency`` of a run card.

    >>> EfficiencySettings(maps={"mu": "mu.toml", "e": 0.3}).maps
    (('mu', 'mu.toml'), ('e', '0.3'))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    maps: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_maps)]
    """Files (or numbers) by channel, by lepton (``mu``, ``e``), or for ``all``; the first of these that fits counts."""

    mode: Literal["flag", "reject", "weight"] = "flag"
    """``flag``: a column ``accepted``; ``reject``: the others are left out; ``weight``: a factor of ``weight``."""

    def source(self, channel: Channel) -> str:
        """File or number for a channel.

        Raises:
            InputError: none is named for it.

        Example:
            >>> from darkpenguin.physics.channels import get_channel
            >>> EfficiencySettings(maps={"mu": 0.5, "all": 0.3}).source(get_channel("B+->K+ee"))
            '0.3'
        """
        maps = dict(self.maps)
        for key in (channel.name, channel.lepton, "all"):
            if key in maps:
                return maps[key]
        raise InputError(f"efficiency.maps: none for {channel.name}; name one for it, for its lepton, or for all")


@dataclass(frozen=True, eq=False)
class EfficiencyStage:
    """The stage that applies the maps of a run."""

    settings: EfficiencySettings
    maps: Mapping[str, EfficiencyMap]
    digests: Mapping[str, str]

    @classmethod
    def from_settings(cls, settings: EfficiencySettings, channels: Sequence[Channel]) -> EfficiencyStage:
        """Stage for some channels, its maps read and checked."""
        sources = {channel.name: settings.source(channel) for channel in channels}
        read = {source: read_map(source) for source in dict.fromkeys(sources.values())}
        return cls(settings, {name: read[source] for name, source in sources.items()},
                   {source: _digest(source) for source in read})

    @property
    def adds(self) -> Mapping[str, str]:
        """New columns: their types by name."""
        return {"accepted": "i4"} if self.settings.mode == "flag" else {}

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if the map of a channel reads columns that it does not have."""
        missing = [name for name in self.maps[channel.name].inputs if name not in columns]
        if missing:
            raise InputError(f"efficiency map {self.settings.source(channel)!r}: reads {', '.join(missing)}, and "
                             f"{channel.name} has {', '.join(columns)}")

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Mark, leave out or weight the events of a chunk; InputError for a value that is no efficiency."""
        found = dict(columns)
        efficiency = evaluate(self.maps[place.channel.name], columns, place.channel)
        if self.settings.mode == "weight":
            found["weight"] = (columns["weight"] * efficiency).astype(columns["weight"].dtype)
            return found
        library = array_module(efficiency)
        accepted = library.asarray(place.uniforms(columns["event"], EFFICIENCY_CALL)) < efficiency
        if self.settings.mode == "reject":
            return {name: column[accepted] for name, column in found.items()}
        before = found.get("accepted")
        found["accepted"] = (accepted if before is None else accepted & (before != 0)).astype(library.int32)
        return found

    def describe(self) -> Mapping[str, Any]:
        """Mode, and the maps with the SHA-256 of their files."""
        return {"efficiency": {"mode": self.settings.mode, "maps": dict(self.settings.maps),
                               "sha256": {s: d for s, d in self.digests.items() if d}}}


def evaluate(efficiency: EfficiencyMap, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
    """Efficiency of every event, checked and within [0, 1].

    Raises:
        InputError: NaN, negative or above 1, with its position.

    Example:
        >>> evaluate(ConstantMap(0.25), {"q2": np.zeros(2)}).tolist()
        [0.25, 0.25]
    """
    values = efficiency.evaluate(columns, channel)
    check_values(values, columns, efficiency.inputs)
    return array_module(values).clip(values, 0.0, 1.0)


def unfolding_weights(efficiency: EfficiencyMap, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
    """1/efficiency of every event: weights that take accepted events back to what was generated.

    Raises:
        InputError: an event where the efficiency is zero (it cannot have been accepted), with its position.

    Example:
        >>> unfolding_weights(ConstantMap(0.25), {"q2": np.zeros(2)}).tolist()
        [4.0, 4.0]
    """
    values = evaluate(efficiency, columns, channel)
    if bool((values == 0.0).any()):
        i = int(to_host(values == 0.0).argmax())
        place = ", ".join(f"{name} = {float(columns[name][i]):.6g}" for name in efficiency.inputs)
        raise InputError(f"efficiency = 0 at {place or f'event {i}'}: an accepted event cannot be there; "
                         "these events were selected with another map")
    return 1.0 / values


def _digest(source: str) -> str:
    """SHA-256 of a map's file; nothing for a constant."""
    path = Path(source) if Path(source).is_file() else _split(source)[0]
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
