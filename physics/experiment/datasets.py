"""Data sets: what models are held against, one YAML file each, in the folder ``data/`` or the user's own.

A file ``NAME.yml`` in the folder is the data set NAME everywhere; a path that ends in ``.yml`` is one too. Its keys:

- ``title``, ``date``: what it is, and from when;
- ``theory``: how errors of the Standard Model's prediction enter where nobody says: ``correlated`` (the
  default), ``uncorrelated`` (each bin by itself) or ``none``;
- ``measurements``: by name, see :mod:`.measurements`; the likelihoods take the groups of them that they know;
- ``limits``: the inputs of the constraints, by the names of :data:`LIMITS`;
- ``curves``: limits that depend on the mass of V, by the names of :data:`CURVES`, see :mod:`.curves`;
- ``missing``: what was published and whose numbers could not be had, by name, with ``arxiv``, ``what`` and ``why``;
- ``extends``: another data set, whose entries and ``theory`` this one begins with. An entry of the same name
  replaces one, and ``null`` drops it.

An entry ``{from: OTHER}`` is the one of the same name in the data set OTHER.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...kinematics.base.checks import nearest, validate
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import parse_yaml
from .curves import Curve
from .measurements import Entry, Measurement, make_measurement

FOLDER = Path(__file__).with_name("data")
"""Where the data sets are that have a name."""
Theory = Literal["correlated", "uncorrelated", "none"]
Kind = Literal["measurement", "upper limit", "either"]
LIMITS: Mapping[str, Kind] = MappingProxyType(
    {
        "delta_a_mu": "measurement",  # a_mu of the muon, measured minus Standard Model
        "br_k_chi_chi": "either",  # BR(B -> K chi chi), charged and neutral B together
        "br_k0_chi_chi": "either",  # BR(B0 -> K0 chi chi)
        "br_kstar0_nunu": "upper limit",  # BR(B0 -> K*0 nu nu)
        "br_kstarplus_nunu": "upper limit",  # BR(B+ -> K*+ nu nu)
        "br_bplus_kplus_nunu": "either",  # BR(B+ -> K+ nu nu)
        "br_bs_mumu": "measurement",  # time-integrated BR(B_s -> mu mu)
        "delta_m_s": "measurement",  # GeV
        "g_v_mu": "measurement",  # vector coupling of the Z to muons, LEP's sign
        "g_a_mu": "measurement",  # axial coupling of the Z to muons
        "trident": "measurement",  # cross section of neutrino tridents over the Standard Model's
        "br_xs_inv": "upper limit",  # BR(B -> X_s + invisible), all masses of X_s
        "br_xs_inv_k": "upper limit",  # the same with m(X_s) below 0.6 GeV, where it is a K
        "br_xs_inv_kstar": "upper limit",  # the same with m(X_s) between 0.6 and 1.0 GeV, where it is a K*
        "delta_a_e": "measurement",  # a_e of the electron, measured minus Standard Model
        "gamma_z_ee": "measurement",  # width of Z -> e e (GeV)
    }
)
"""Inputs of the constraints: name and what they must be. GeV and plain numbers."""


CURVES: Mapping[str, str] = MappingProxyType(
    {
        "bplus_kplus_inv": "likelihood of the spectrum of B+ -> K+ + invisible",
        "b0_kstar0_dimuon": "BR(B0 -> K*0 V) BR(V -> mu mu)",
        "bplus_kplus_dimuon": "BR(B+ -> K+ V) BR(V -> mu mu)",
        "ee_four_muons": "coupling g' of L_mu - L_tau, V -> mu mu",
        "ee_mumu_invisible": "coupling g' to muons, all V invisible",
        "ee_gamma_invisible": "coupling to electrons over e, all V invisible",
        "na64_e": "coupling to electrons over e, all V invisible",
    }
)
"""Limits by the mass of V: name and what is limited."""


class Limit(BaseModel):
    """A number of an experiment that a constraint uses: a measurement with its error, or an upper limit.

    Attributes:
        source: where it is from.
        value: measured value.
        error: one standard deviation, both sides alike.
        upper: upper limit.
        cl: its confidence level.
        includes_sm: whether the Standard Model's share is in it and has to be taken off where it is used.
        includes_tau: whether B+ → τν, τ → K(*)+ ν counts as signal in it; in none of ours that says so.
        read: date on which it was read there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str
    value: float | None = None
    error: Annotated[float, Field(gt=0)] | None = None
    upper: Annotated[float, Field(gt=0)] | None = None
    cl: Annotated[float, Field(gt=0, lt=1)] | None = None
    includes_sm: bool = False
    includes_tau: bool = False
    read: Annotated[str, BeforeValidator(str)] = ""

    @model_validator(mode="after")
    def _one_kind(self) -> Limit:
        given = [name for name in ("value", "error", "upper", "cl") if getattr(self, name) is not None]
        if given not in (["value", "error"], ["upper", "cl"]):
            raise ValueError(f"has {', '.join(given) or 'no number'}; give value and error, or upper and cl")
        return self

    @property
    def level(self) -> str:
        """Confidence level in words."""
        return "" if self.cl is None else f"{100 * self.cl:g} % CL"

    def numbers(self) -> tuple[float, float]:
        """Value and error; ValueError for an upper limit."""
        if self.value is None or self.error is None:
            raise ValueError(f"{self.source}: an upper limit where a measurement is needed")
        return self.value, self.error

    def pull(self, prediction: float) -> float:
        """(prediction - value) / error; ValueError for an upper limit.

        >>> Limit(source="here", value=1.0, error=0.5).pull(2.0)
        2.0
        """
        value, error = self.numbers()
        return (prediction - value) / error


class Missing(BaseModel):
    """A publication whose numbers could not be had: ``arxiv``, ``what`` was measured, and ``why`` it is missing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arxiv: str
    what: str
    why: str


class _File(BaseModel):
    """A data set as it stands in a file, entries of other sets put in."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    title: str = ""
    date: Annotated[str, BeforeValidator(str)] = ""
    theory: Theory = "correlated"
    measurements: Mapping[str, Entry] = Field(default_factory=dict)
    limits: Mapping[str, Limit] = Field(default_factory=dict)
    curves: Mapping[str, Curve] = Field(default_factory=dict)
    missing: Mapping[str, Missing] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set; ``digest`` is the SHA-256 of the files that it was read from.

    >>> today = load_data("current")
    >>> today.theory, len(today.limits)
    ('correlated', 16)
    """

    name: str
    title: str
    date: str
    theory: Theory
    measurements: tuple[Measurement, ...]
    limits: Mapping[str, Limit]
    curves: Mapping[str, Curve]
    missing: Mapping[str, Missing]
    digest: str

    def limit(self, name: str) -> Limit:
        """One of the inputs of the constraints; InputError if the data set lacks it.

        >>> load_data("2017").limit("delta_a_mu").value
        2.87e-09
        """
        if name not in self.limits:
            raise InputError(f"data = {self.name!r}: no limits.{name} in it; add it, or begin with `extends: current`")
        return self.limits[name]


Data = str | os.PathLike[str] | DataSet
"""What every function takes: a data set's name, the path of a user's own, or the data set."""


def data_names() -> tuple[str, ...]:
    """Names of the data sets in the folder.

    >>> data_names()
    ('2017', 'current')
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yml")))


def load_data(data: Data) -> DataSet:
    """A data set by its name in the folder or by the path of a YAML file, or the data set itself.

    Raises:
        InputError: no such name or file, or a mistake in the file, which is named with its key.

    Example:
        >>> load_data("2017").title
        'what arXiv:1704.06188 had'
    """
    if isinstance(data, DataSet):
        return data
    path = _path(data)
    raw, digest = _resolved(path)
    found = validate(_File, raw, path.stem)
    for name, limit in found.limits.items():
        _check_limit(f"{path.stem}.limits.{name}", name, limit)
    for name in found.curves:
        if name not in CURVES:
            raise InputError(f"{path.stem}.curves.{name}: no such limit on V; {nearest(name, CURVES)}")
    return DataSet(
        name=path.stem,
        title=found.title,
        date=found.date,
        theory=found.theory,
        measurements=tuple(make_measurement(name, entry) for name, entry in found.measurements.items()),
        limits=MappingProxyType(dict(found.limits)),
        curves=MappingProxyType(dict(found.curves)),
        missing=MappingProxyType(dict(found.missing)),
        digest=digest,
    )


def _check_limit(where: str, name: str, limit: Limit) -> None:
    if name not in LIMITS:
        raise InputError(f"{where}: no such input of a constraint; {nearest(name, LIMITS)}")
    kind: Kind = "upper limit" if limit.value is None else "measurement"
    if LIMITS[name] not in ("either", kind):
        article, keys = ("an", "value and error") if kind == "upper limit" else ("a", "upper and cl")
        raise InputError(f"{where}: is {article} {kind}; the constraint needs {keys}")


def _path(data: str | os.PathLike[str], folder: Path | None = None) -> Path:
    """The file of a data set: the one place that knows which there are."""
    text = os.fspath(data)
    if Path(text).suffix in (".yml", ".yaml"):
        path = (folder or Path()) / Path(text).expanduser()
        if not path.is_file():
            raise InputError(f"data = {text!r}: no such file")
        if not re.fullmatch(r"[\w.+-]+", path.stem):
            raise InputError(f"data = {text!r}: files are named after it; use letters, digits and _ . + - only")
        return path
    if text not in data_names():
        raise InputError(
            f"data = {text!r}: no such data set, nor a path that ends in .yml; {nearest(text, data_names())}"
        )
    return FOLDER / f"{text}.yml"


@lru_cache(maxsize=16)
def _read(path: Path, stamp: tuple[int, int]) -> tuple[Mapping[str, Any], bytes]:
    """Keys of a file, and its bytes; ``stamp`` makes a file that changed another one."""
    try:
        content = path.read_bytes()
        raw = parse_yaml(content)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"data = {str(path)!r}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(raw, Mapping):
        raise InputError(f"data = {str(path)!r}: no keys in it; `measurements` is one")
    return raw, content


def _resolved(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], str]:
    """Keys of a file with everything in place that it takes from others, and the hash of all of them."""
    if path in above:
        raise InputError(f"data = {str(path)!r}: takes entries from itself, by {above[-1].name}")
    stat = path.stat()
    raw, content = _read(path, (stat.st_mtime_ns, stat.st_size))
    digest = hashlib.sha256(content)

    def other(name: Any) -> dict[str, Any]:
        found, hashed = _resolved(_path(str(name), path.parent), (*above, path))
        digest.update(hashed.encode())
        return found

    base = other(raw["extends"]) if "extends" in raw else {}
    merged = {key: value for key, value in raw.items() if key != "extends"}
    if "theory" in base:
        merged.setdefault("theory", base["theory"])
    for section in ("measurements", "limits", "curves", "missing"):
        own = raw.get(section) or {}
        if not isinstance(own, Mapping):
            raise InputError(f"{path.stem}.{section}: must be a table of names")
        entries = dict(base.get(section, {}))
        for name, entry in own.items():
            if entry is None:
                entries.pop(name, None)
            elif isinstance(entry, Mapping) and set(entry) == {"from"}:
                known = other(entry["from"])[section]
                if name not in known:
                    where = f"{path.stem}.{section}.{name}"
                    raise InputError(f"{where}: not in the data set {entry['from']}; {nearest(str(name), known)}")
                entries[name] = known[name]
            else:
                entries[name] = entry
        merged[section] = entries
    return merged, digest.hexdigest()
