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
from ...kinematics.base.files import parse_yaml
from ...physics.channels import LEPTONS, get_channel
from ...physics.models import Model
from ...physics.theory import Theory
from ..lab.efficiency_files import digest
from .detector import ChannelDetector, channel_detector

Origin = Literal["published", "projected", "scaled", "effective", "assumed"]


class Window(BaseModel):
    """Signal of the Standard Model that is found in a window of q2.

    Attributes:
        expected: ``yield``: events; of the kind ``effective`` the number that has the quoted precision without any
            background: with a background of f times the signal, (1 + f) times as many are there.
        q2: the window, in reconstructed q2 (GeV²).
        kind: what the yield is.
        source: where it is from.
        note: how it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    expected: float = Field(alias="yield", gt=0)
    q2: tuple[float, float]
    kind: Origin = "assumed"
    source: str = ""
    note: str = ""


class Component(BaseModel):
    """One component of the background of a channel.

    Attributes:
        name: of the component.
        fraction: of the signal, in every window.
        expected: ``yield``: events in ``window``, in place of a fraction.
        window: range of q2 (GeV²) of the yield and of the component; all windows of the channel if None.
        shape: in q2: ``flat``; ``signal``, as the Standard Model's signal; a channel, as its spectrum; or a table,
            pairs of an upper edge and a content, the first the lowest edge with nothing.
        error: of the yield, relative.
        shape_error: relative change of the ends of the window, the lower one down and the upper one up.
        source: where it is from.
        note: how it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    name: str
    fraction: float | None = Field(default=None, ge=0)
    expected: float | None = Field(default=None, alias="yield", ge=0)
    window: tuple[float, float] | None = None
    shape: str | tuple[tuple[float, float], ...] = "flat"
    error: float = Field(default=0.0, ge=0, le=1)
    shape_error: float = Field(default=0.0, ge=0, lt=1)
    source: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _check(self) -> Component:
        if (self.fraction is None) == (self.expected is None):
            raise InputError(f"background {self.name}: needs either a fraction of the signal or a yield")
        if isinstance(self.shape, str) and self.shape not in ("flat", "signal"):
            get_channel(self.shape)
        return self


class ChannelYield(BaseModel):
    """What a data set holds of one channel: signal by window of q2, background by component, and its detector.

    One window may be written without a list, its keys among those of the channel, and with it ``background``: a number
    of events, flat in the window and known.

    Attributes:
        windows: of the signal; a bin takes the efficiency of the one that it overlaps most, or is closest to.
        backgrounds: components.
        resolution: Gaussian width of the reconstructed q2 (GeV²).
        efficiency: file of a map of q2 and the angles (or a number); only its shape matters, as yields are given.
        migration: file of events with q2 and q2_reco, in place of a resolution.

    >>> entry = ChannelYield.model_validate({"yield": 100, "q2": (1.1, 6.0), "background": 20})
    >>> entry.windows[0].expected, entry.backgrounds[0].expected
    (100.0, 20.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    windows: tuple[Window, ...] = Field(min_length=1)
    backgrounds: tuple[Component, ...] = ()
    resolution: float = Field(default=0.0, ge=0)
    efficiency: str = ""
    migration: str = ""

    @model_validator(mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        keys = ("yield", "expected", "q2", "kind", "source", "note")
        found = {key: part for key, part in value.items() if key not in (*keys, "background")}
        if "windows" not in value:  # a key of neither is the window's: most are; its error names the nearest of them
            own = {name for name in cls.model_fields if name != "windows"}
            found = {key: part for key, part in found.items() if key in own}
            found["windows"] = [{key: part for key, part in value.items() if key not in {*own, "background"}}]
        elif any(key in value for key in keys):
            raise InputError("windows: the yield and its q2 are in each of them; leave them out of the channel")
        if value.get("background") is not None:
            if "q2" not in value or "backgrounds" in value:
                raise InputError("background: a number goes with one window; name components in backgrounds")
            row = {"name": "background", "yield": value["background"], "window": value["q2"]}
            found["backgrounds"] = [row]
        return found

    def window_of(self, low: float, high: float) -> Window:
        """The window that a bin overlaps most, or is closest to."""

        def overlap(window: Window) -> float:
            return min(high, window.q2[1]) - max(low, window.q2[0])

        return max(self.windows, key=overlap)

    def measures(self, low: float, high: float) -> bool:
        """Whether the middle of a bin lies in a window."""
        middle = 0.5 * (low + high)
        return any(window.q2[0] <= middle <= window.q2[1] for window in self.windows)

    def signal(self, window: Window) -> float:
        """Signal that is found in a window, with what the background adds to an effective number."""
        if window.kind != "effective":
            return window.expected
        return window.expected * (1.0 + sum(c.fraction or 0.0 for c in self.backgrounds if self._reaches(c, window)))

    def _reaches(self, component: Component, window: Window) -> bool:
        low, high = component.window or (0.0, 1e3)
        return low < window.q2[1] and high > window.q2[0]


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
            for start, stop in (window.q2 for window in entry.windows):
                if not low <= start < stop <= high:
                    raise InputError(
                        f"channels.{name}.q2 = {start:g}, {stop:g}: needs {low:.4g} <= low < high <= {high:.5g} GeV^2"
                    )
            names = [component.name for component in entry.backgrounds]
            if len(set(names)) != len(names):
                raise InputError(f"channels.{name}.backgrounds: {', '.join(names)}: a name is there twice")
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

    def components(self, name: str) -> tuple[Component, ...]:
        """Components of the background of a channel: given, or what the quoted precision on R asks for.

        The latter is one, flat in the window and all in the electron channel. With signal yields s and relative error σ
        of R, 1/s_μ + (s_e + b)/s_e² = σ²; none if the yields alone are worse than that.
        """
        entry = self.channel(name)
        channel = get_channel(name)
        sigma = self.precision.get(channel.ratio)
        partner = channel.partner("mu").name
        if entry.backgrounds or channel.lepton != "e" or sigma is None or partner not in self.channels:
            return entry.backgrounds
        window = entry.windows[0]
        s_e, s_mu = window.expected, self.channels[partner].window_of(*window.q2).expected
        b = (sigma**2 - 1.0 / s_mu) * s_e**2 - s_e
        found = {"name": "background", "yield": b, "window": window.q2}
        return (Component.model_validate(found),) if b > 0 else ()

    def span(self, name: str) -> tuple[float, float]:
        """Range of q2 (GeV²) of the windows of a channel."""
        windows = self.channel(name).windows
        return min(w.q2[0] for w in windows), max(w.q2[1] for w in windows)

    def scaled(self, luminosity: float) -> Dataset:
        """The same experiment with another luminosity: all counts in proportion, ``precision`` as 1/√L."""
        if not (math.isfinite(luminosity) and luminosity > 0):
            raise InputError(f"luminosity = {luminosity}: needs a positive number ({self.unit})")
        factor = luminosity / self.luminosity

        def more(part: Any) -> Any:
            return part if part.expected is None else part.model_copy(update={"expected": part.expected * factor})

        channels = {
            name: entry.model_copy(
                update={
                    "windows": tuple(more(window) for window in entry.windows),
                    "backgrounds": tuple(more(component) for component in self.components(name)),
                }
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
    found: dict[str, Dataset] = {}
    for name, entry in raw.items():
        base = found.get(entry.get("extends", ""))
        keys = {key: value for key, value in entry.items() if key not in ("extends", "luminosity")}
        if base is None:
            found[name] = validate(Dataset, {"name": name, **entry}, name)
        else:  # the rule of projections: all counts in proportion to the luminosity
            found[name] = base.scaled(entry["luminosity"]).model_copy(update={"name": name, **keys})
    return MappingProxyType(found)


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
        raw = tomllib.loads(text) if path.suffix == ".toml" else parse_yaml(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"dataset = {str(path)!r}: cannot be read ({' '.join(str(error).split())})") from None
    if not isinstance(raw, Mapping):
        raise InputError(f"dataset = {str(path)!r}: no keys in it; luminosity and channels are needed")
    return raw
