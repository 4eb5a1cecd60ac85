"""Data sets that toys imitate: luminosity, yields and precision of each channel."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...kinematics.base.checks import nearest, validate
from ...kinematics.base.errors import InputError
from ...physics.channels import LEPTONS, get_channel
from ...physics.models import Model
from ...physics.theory import Theory
from ..lab.efficiency_files import digest
from .detector import ChannelDetector, channel_detector


class ChannelYield(BaseModel):
    """What a data set holds of one channel; ``background`` counts in the same window, flat in q2.

    Attributes:
        expected: ``yield``: signal of the Standard Model that is found in the window.
        q2: the window, in reconstructed q2 (GeV²).
        background: None: what the precision of the data set asks for.
        resolution: Gaussian width of the reconstructed q2 (GeV²).
        efficiency: file of a map of q2 and the angles (or a number); only its shape matters, as the yield is given.
        migration: file of events with q2 and q2_reco, in place of a resolution.
        kind: what the yield is.
        source: where it is from.
        note: how it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    expected: float = Field(alias="yield", gt=0)
    q2: tuple[float, float]
    background: float | None = Field(default=None, ge=0)
    resolution: float = Field(default=0.0, ge=0)
    efficiency: str = ""
    migration: str = ""
    kind: Literal["published", "projected", "scaled", "effective", "assumed"] = "assumed"
    source: str = ""
    note: str = ""


def _for_all(value: Any) -> Any:
    """One value is meant for all channels."""
    return value if isinstance(value, Mapping) else {"all": value}


class DetectorTable(BaseModel):
    """Table ``detector`` of a card: what each channel's entry in the data set gets.

    Keys are channels, leptons (``mu``, ``e``) or ``all``; the first of these that fits counts. A single value is for
    all.

    >>> table = DetectorTable(resolution={"e": 0.4})
    >>> get_dataset("lhcb-run12").with_detector(table).channels["B+->K+ee"].resolution
    0.4
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    efficiency: Annotated[Mapping[str, str], BeforeValidator(_for_all)] = Field(default_factory=dict)
    migration: Annotated[Mapping[str, str], BeforeValidator(_for_all)] = Field(default_factory=dict)
    resolution: Annotated[Mapping[str, Annotated[float, Field(ge=0)]], BeforeValidator(_for_all)] = Field(
        default_factory=dict
    )

    def digests(self) -> list[str]:
        """SHA-256 of every file that is named."""
        return [digest(file) for table in (self.efficiency, self.migration) for file in table.values()]


class Dataset(BaseModel):
    """A data set: luminosity, yields of the Standard Model, precision on R and efficiency error of e over μ.

    >>> get_dataset("lhcb-run12").luminosity
    9.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "own"
    description: str = ""
    luminosity: float = Field(gt=0)
    unit: str = "fb^-1"
    efficiency_error: float = Field(default=0.0, ge=0)
    precision: Mapping[str, float] = Field(default_factory=dict)
    channels: Mapping[str, ChannelYield] = Field(min_length=1)
    theory: Annotated[Theory, Field(exclude_if=lambda theory: theory == Theory())] = Theory()
    """Whose Standard Model the yields are of; of a run that of its reference, so that yields stay what was measured."""

    @property
    def standard(self) -> Model:
        """The Standard Model that the yields are of."""
        return Model(theory=self.theory)

    @model_validator(mode="after")
    def _check(self) -> Dataset:
        """Refuse channels and windows that do not exist."""
        for name, entry in self.channels.items():
            low, high = get_channel(name).q2_limits()
            start, stop = entry.q2
            if not low <= start < stop <= high:
                raise InputError(
                    f"channels.{name}.q2 = {start:g}, {stop:g}: needs {low:.4g} <= low < high <= {high:.5g} GeV^2"
                )
        return self

    def detector(self, name: str) -> ChannelDetector:
        """What the detector does to the events of a channel."""
        entry = self.channel(name)
        return channel_detector(get_channel(name), entry.efficiency, entry.migration, entry.resolution)

    def of(self, model: Model) -> Dataset:
        """The same with yields of the Standard Model of a model's theory.

        >>> get_dataset("lhcb-run12").of(Model()) == get_dataset("lhcb-run12")
        True
        """
        return self.model_copy(update={"theory": model.theory})

    def with_detector(self, detector: DetectorTable) -> Dataset:
        """The same behind another detector; what it does not name stays."""
        changes: dict[str, dict[str, Any]] = {name: {} for name in self.channels}
        for field_name, table in detector:
            for key in table:
                if key not in ("all", *LEPTONS, *self.channels):
                    raise InputError(
                        f"detector.{field_name}.{key}: no such channel or lepton here; "
                        f"{nearest(key, ['all', *LEPTONS, *self.channels])}"
                    )
            for name in self.channels:
                for key in (name, str(get_channel(name).lepton), "all"):
                    if key in table:
                        changes[name][field_name] = table[key]
                        break
        return self.model_copy(
            update={"channels": {name: entry.model_copy(update=changes[name]) for name, entry in self.channels.items()}}
        )

    def channel(self, name: str) -> ChannelYield:
        """Entry of one channel; InputError if the data set lacks it."""
        if name not in self.channels:
            raise InputError(f"dataset {self.name}: no channel {name}; it has {', '.join(self.channels)}")
        return self.channels[name]

    def background(self, name: str) -> float:
        """Background in the channel's window: given, or what the quoted precision on R asks for.

        All of it is put into the electron channel. With signal yields s and relative error σ of R,
        1/s_μ + (s_e + b)/s_e² = σ²; none if the yields alone are worse than that.
        """
        entry = self.channel(name)
        if entry.background is not None:
            return entry.background
        channel = get_channel(name)
        sigma = self.precision.get(channel.ratio)
        partner = channel.partner("mu").name
        if channel.lepton != "e" or sigma is None or partner not in self.channels:
            return 0.0
        s_e, s_mu = entry.expected, self.channels[partner].expected
        return max((sigma**2 - 1.0 / s_mu) * s_e**2 - s_e, 0.0)

    def scaled(self, luminosity: float) -> Dataset:
        """The same experiment with another luminosity: all counts in proportion, ``precision`` as 1/√L."""
        if not (math.isfinite(luminosity) and luminosity > 0):
            raise InputError(f"luminosity = {luminosity}: needs a positive number ({self.unit})")
        factor = luminosity / self.luminosity
        channels = {
            name: entry.model_copy(
                update={"expected": entry.expected * factor, "background": self.background(name) * factor}
            )
            for name, entry in self.channels.items()
        }
        precision = {name: value / math.sqrt(factor) for name, value in self.precision.items()}
        return self.model_copy(update={"luminosity": luminosity, "channels": channels, "precision": precision})


_SUFFIXES = (".toml", ".yml", ".yaml")


def _own(value: Any) -> Any:
    """A table, or a file with one, is a data set of one's own; a name stays a name."""
    if isinstance(value, Mapping):
        return validate(Dataset, value)
    return get_dataset(value) if isinstance(value, str) and Path(value).suffix in _SUFFIXES else value


DatasetChoice = Annotated[str | Dataset, BeforeValidator(_own)]
"""What cards take: the name of a data set, the path of a YAML or TOML file with one, or a table of one's own."""


@lru_cache(maxsize=1)
def _presets() -> Mapping[str, Dataset]:
    raw = _read(Path(__file__).with_name("datasets.yml"))
    return MappingProxyType({name: validate(Dataset, {"name": name, **entry}, name) for name, entry in raw.items()})


def dataset_names() -> tuple[str, ...]:
    """Names of the data sets in ``datasets.yml`` beside this module.

    >>> "lhcb-upgrade2" in dataset_names()
    True
    """
    return tuple(_presets())


def get_dataset(name: str | Dataset) -> Dataset:
    """Data set by name or by the path of a YAML or TOML file, or the data set itself.

    A file has the keys of :class:`Dataset`, as an entry of ``datasets.yml`` does; it is called after itself if it
    does not say.

    >>> get_dataset("lhcb-run12").luminosity
    9.0

    Raises:
        InputError: no such data set, with the nearest names, or a mistake in the file.
    """
    if isinstance(name, Dataset):
        return name
    path = Path(name).expanduser()
    if path.suffix in _SUFFIXES:
        return validate(Dataset, {"name": path.stem, **_read(path)}, path.stem)
    found = _presets().get(name)
    if found is None:
        near = nearest(name, dataset_names())
        raise InputError(f"dataset = {name!r}: no such data set, nor a path that ends in .yml or .toml; {near}")
    return found


def _read(path: Path) -> Mapping[str, Any]:
    """Keys of a YAML or TOML file."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"dataset = {str(path)!r}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(raw, Mapping):
        raise InputError(f"dataset = {str(path)!r}: no keys in it; luminosity and channels are needed")
    return raw


def describe(dataset: Dataset) -> list[dict[str, Any]]:
    """Rows for a table of a data set: channel, yield, background, window, kind, source, note."""
    return [
        {
            "channel": name,
            "yield": entry.expected,
            "background": dataset.background(name),
            "q2": entry.q2,
            "kind": entry.kind,
            "source": entry.source,
            "note": entry.note,
        }
        for name, entry in dataset.channels.items()
    ]
