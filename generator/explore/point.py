"""Where the explorer is: a model that is started from, the fields of it that are moved, and a data set.

A point is data only. It says itself in the words of the command line (``--model``, ``--set``, ``--data``), in the query
of a link and as a TOML file, so that what is seen can be had again without a browser. Models of the page are known by
name, never by a path: a file is read once, by whoever starts the explorer.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ...kinematics.base.checks import nearest, parse_number
from ...kinematics.base.errors import InputError
from ...physics.channels import get_channel
from ...physics.experiment.datasets import data_names
from ...physics.models import BENCHMARKS, Model, apply_settings, as_model
from ...physics.theory import told

Value = float | None
V = "light_vectors.0."
NONLOCAL, PHASE = "theory.nonlocal", "theory.resonances.J/psi.phase"


@dataclass(frozen=True)
class Control:
    """A field of a model that is moved: its path, what it is called, and the range of its slider (not of its values).

    ``unit`` is that of the slider, in which ``scale`` is one.
    """

    path: str
    label: str
    unit: str
    low: float
    high: float
    step: float
    scale: float = 1.0

    @property
    def optional(self) -> bool:
        """Whether it may be left empty."""
        return self.path in (*WIDTHS, PHASE)


WIDTHS = (f"{V}relative_width", f"{V}width", f"{V}g_chi")
"""What a width is given by: one of the first two, with or without the last, or the last alone by eq. (2)."""
CONTROLS = (
    Control(f"{V}mass", "m_V", "GeV", 0.3, 4.7, 0.01),
    Control(f"{V}relative_width", "Γ_V / m_V", "", 0.002, 0.5, 0.002),
    Control(f"{V}width", "Γ_V", "GeV", 0.005, 1.5, 0.005),
    Control(f"{V}g_bs", "g_bs", "10⁻⁸", -5.0, 5.0, 0.05, 1e-8),
    Control(f"{V}g_mu_v", "g_μV", "", -0.25, 0.25, 0.002),
    Control(f"{V}g_mu_a", "g_μA", "", -0.25, 0.25, 0.002),
    Control(f"{V}g_e_v", "g_eV", "", -0.25, 0.25, 0.002),
    Control(f"{V}g_e_a", "g_eA", "", -0.25, 0.25, 0.002),
    Control(f"{V}g_chi", "g_χ", "", 0.01, 4.0, 0.01),
    Control(f"{V}m_chi", "m_χ", "GeV", 0.0, 2.3, 0.01),
    Control("heavy.C9_mu", "C₉(μ)", "", -3.0, 3.0, 0.02),
    Control("heavy.C10_mu", "C₁₀(μ)", "", -3.0, 3.0, 0.02),
    Control(PHASE, "phase of J/ψ", "rad", -3.14, 3.14, 0.02),
)
"""The fields that are moved, in the order of the page."""
KNOWN = MappingProxyType({control.path: control for control in CONTROLS})
"""The same by path."""
NONLOCALS = ("flavio", "resonances", "dispersive")
"""What charm does to the amplitude, see ``Theory``."""
_START = MappingProxyType({f"{V}mass": 2.5, f"{V}relative_width": 0.2, f"{V}m_chi": 0.0})  # of V where there is none
_COUPLINGS = tuple(f"{V}{name}" for name in ("g_bs", "g_mu_v", "g_mu_a", "g_e_v", "g_e_a", "g_chi"))


def values_of(model: Model) -> dict[str, Value]:
    """Value of each control in a model; those of V, where it has none, are those of a V without couplings.

    >>> values_of(as_model("fig2"))["light_vectors.0.mass"], values_of(as_model("sm"))["light_vectors.0.g_bs"]
    (2.5, 0.0)
    """
    found: dict[str, Value] = {}
    for path in KNOWN:
        part, _, field = path.rpartition(".")
        if path == PHASE:
            change = model.theory.resonances.get("J/psi")
            found[path] = None if change is None else change.phase
        elif part == "heavy":
            found[path] = getattr(model.heavy, field).real
        elif model.light_vectors:
            value = getattr(model.light_vectors[0], field)
            found[path] = None if value is None else complex(value).real
        else:
            found[path] = _START.get(path, None if path in WIDTHS else 0.0)
    return found


@dataclass(frozen=True)
class Bases:
    """Models that a point may start from, by name, and names of data sets that it may be held against.

    ``own`` and ``own_data`` are those that were named when the explorer was started: a benchmark or a TOML file.

    >>> Bases().names[:2]
    ('fig2', 'sm')
    """

    own: str = "fig2"
    own_data: str = "current"

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """The models by name: that one first, then the benchmarks."""
        return {self.own: as_model(self.own), **{k: v for k, v in BENCHMARKS.items() if k != self.own}}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.models)

    @cached_property
    def data(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(dict.fromkeys((self.own_data, *data_names())))

    def start(self) -> Point:
        """Where the explorer begins."""
        return self.point(self.own)

    def point(self, name: str, data: str | None = None) -> Point:
        """The point at which a model is; InputError for a name that is not here."""
        if name not in self.models:
            raise InputError(f"model = {name!r}: not one of this page; {nearest(name, self.names)}")
        if data is not None and data not in self.data:
            raise InputError(f"data = {data!r}: not one of this page; {nearest(data, self.data)}")
        base = self.models[name]
        return Point(name, base, tuple(values_of(base).items()), base.theory.nonlocal_, data or self.own_data)

    def of_query(self, query: str) -> Point:
        """The point that a link names, see `Point.query`; InputError for what no point of this page can have.

        >>> Bases().of_query("?model=fig2&set=light_vectors.0.mass=2.3").model.light_vectors[0].mass
        2.3
        """
        words = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
        for key, _ in words:
            if key not in ("model", "data", "set"):
                raise InputError(f"{key}: no such key of a link; {nearest(key, ('model', 'data', 'set'))}")
        given = dict(words)
        named = [word.partition("=")[0].strip() if key == "set" else key for key, word in words]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise InputError(f"{twice}: more than once in the link; name it once")
        point = self.point(given.get("model", self.own), given.get("data"))
        texts: dict[str, str] = {}
        for key, word in words:
            if key == "set":
                path, _, texts[path] = (part.strip() for part in word.partition("=")) if "=" in word else (word, "", "")
        return point.moved(texts)


@dataclass(frozen=True)
class Point:
    """A point of the explorer: the model it starts from, its values by path, what charm does, and the data set."""

    name: str
    base: Model
    items: tuple[tuple[str, Value], ...]
    nonlocal_: str
    data: str

    @cached_property
    def values(self) -> Mapping[str, Value]:
        """Value of each control by path."""
        return MappingProxyType(dict(self.items))

    def moved(self, texts: Mapping[str, str | float | None]) -> Point:
        """The point with fields changed, as they were typed; an empty text (or none) is no value.

        A width that is given replaces the one that there was; g_χ stays beside it.

        Raises:
            InputError: no such field, no number, no model, or a V that no B decays to; names field and value.

        Example:
            >>> Bases().start().moved({"light_vectors.0.mass": "2.6"}).title
            'fig2, light_vectors.0.mass=2.6'
        """
        values, charm = dict(self.values), self.nonlocal_
        for path, text in texts.items():
            if path == NONLOCAL:
                charm = str(text)
                if charm not in NONLOCALS:
                    raise InputError(f"{NONLOCAL} = {charm!r}: {nearest(charm, NONLOCALS)}")
                continue
            if path not in KNOWN:
                raise InputError(f"{path}: not a field of this page; {nearest(path, KNOWN)}")
            empty = text is None or (isinstance(text, str) and text.strip().lower() in ("", "none"))
            if empty and not KNOWN[path].optional:
                raise InputError(f"{path}: empty; a number is needed")
            values[path] = None if empty else parse_number(text, path)
        for one, other in (WIDTHS[:2], WIDTHS[1::-1]):
            if one in texts and values[one] is not None and texts.get(other) in (None, "", "none"):
                values[other] = None
        found = replace(self, items=tuple(values.items()), nonlocal_=charm)
        found.check()
        return found

    def check(self) -> None:
        """InputError for a point that is no model, or whose V no B decays to or decays too fast."""
        for vector in self.model.light_vectors[:1]:
            known, channel = self.model.parameters, get_channel("B+->K+chichi")
            end = math.sqrt(channel.q2_limits(known)[1])
            if not vector.mass < end:
                raise InputError(f"{V}mass = {vector.mass:g} GeV: B+ -> K+ V needs mass < {end:.4g} GeV")
        for vector in self.model.light_vectors:
            vector.lepton_width()
            _ = vector.chi_coupling

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Changes of the model that is started from, as ``--set`` has them.

        >>> Bases().start().moved({"light_vectors.0.mass": 2.3}).settings
        ('light_vectors.0.mass=2.3',)
        """
        known: dict[str, Value] = values_of(self.base)
        changed = {path: value for path, value in self.items if value != known[path]}
        if not self.base.light_vectors:
            there = any(self.values[path] for path in _COUPLINGS)
            changed = {path: value for path, value in changed.items() if there or not path.startswith(V)}
            if there:  # a V that the model does not have begins with its mass and width
                needed = {p: self.values[p] for p in (f"{V}mass", *WIDTHS[:2]) if self.values[p] is not None}
                changed = {**needed, **changed}
        if changed.keys() & set(WIDTHS) and self.base.light_vectors:
            changed |= {path: self.values[path] for path in WIDTHS}
        if self.nonlocal_ == "flavio":
            changed.pop(PHASE, None)
        texts = [f"{path}={'none' if value is None else repr(value)}" for path, value in changed.items()]
        charm = [f"{NONLOCAL}={self.nonlocal_}"] if self.nonlocal_ != self.base.theory.nonlocal_ else []
        return (*charm, *texts)

    @cached_property
    def model(self) -> Model:
        """The model at this point; InputError if there is none."""
        return apply_settings(self.base, self.settings).model_copy(update={"name": self.title})

    @property
    def title(self) -> str:
        """The model that it starts from and what was changed, as ``as_model`` names it."""
        return ", ".join((self.name, *self.settings))

    @property
    def query(self) -> str:
        """The query of a link that brings the point back.

        >>> point = Bases().start().moved({"light_vectors.0.g_mu_a": -0.01})
        >>> Bases().of_query(point.query) == point
        True
        """
        words = [("model", self.name), ("data", self.data), *(("set", setting) for setting in self.settings)]
        return "?" + urlencode(words)

    @property
    def words(self) -> str:
        """Model and changes as words of a command line."""
        return " ".join(["--model", shlex.quote(self.name), *(f"--set {shlex.quote(s)}" for s in self.settings)])


def toml_of(model: Model) -> str:
    """A model as a TOML file, without what is as by default.

    >>> print(toml_of(as_model("heavy-c9")), end="")
    name = "heavy-c9"
    <BLANKLINE>
    [heavy]
    C9_mu = -1.1
    """
    table = {"name": model.name, **_plain(model.model_dump(mode="python", exclude_defaults=True, exclude={"theory"}))}
    theory = _plain(told(model.theory))
    return _toml({**table, **({"theory": theory} if theory else {})})


def _plain(value: Any) -> Any:
    """Values as TOML has them: a real number, or text of a complex one; nothing where there is none."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None and inner != {}}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, complex):
        return value.real if value.imag == 0.0 else str(value).strip("()")
    return value


def _toml(table: Mapping[str, Any], path: str = "") -> str:
    """Text of nested tables."""
    lines = [f"{_key(key)} = {_text(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        inner = f"{path}{_key(key)}"
        if isinstance(value, Mapping):
            lines += ["", f"[{inner}]", _toml(value, f"{inner}.").rstrip("\n")]
        elif _is_table(value):
            for one in value:
                lines += ["", f"[[{inner}]]", _toml(one, f"{inner}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _text(key)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return repr(value)
