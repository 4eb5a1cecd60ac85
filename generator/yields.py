"""Expected yields per channel and bin: rates of a model, normalised to a data set, through its resolution.

The norm of a channel comes from the yield that the data set states for the Standard Model in a window of q2;
what a model changes, and how q2 is distributed, comes from the integrated angular coefficients. Counts are
sums over both flavours, in LHCb's convention where angles matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .. import physics
from ..kinematics.errors import InputError
from ..physics.angular import angular_coefficients, breakpoints, decay_rate, event_signs, quadrature
from ..physics.channels import Channel, get_channel
from ..physics.models import Model, apply_settings, get_model, nearest, validate
from .counts import CountModel, monomials, probe_points, quadratic
from .efficiency_files import digest
from .moments import expected_moments
from .toy_detector import ChannelDetector, channel_detector

Array = npt.NDArray[np.float64]


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
        default_factory=dict)

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

    @model_validator(mode="after")
    def _check(self) -> Dataset:
        """Refuse channels and windows that do not exist."""
        for name, entry in self.channels.items():
            low, high = get_channel(name).q2_limits()
            start, stop = entry.q2
            if not low <= start < stop <= high:
                raise InputError(
                    f"channels.{name}.q2 = {start:g}, {stop:g}: needs {low:.4g} <= low < high <= {high:.5g} GeV^2")
        return self

    def detector(self, name: str) -> ChannelDetector:
        """What the detector does to the events of a channel."""
        entry = self.channel(name)
        return channel_detector(get_channel(name), entry.efficiency, entry.migration, entry.resolution)

    def with_detector(self, detector: DetectorTable) -> Dataset:
        """The same behind another detector; what it does not name stays."""
        changes: dict[str, dict[str, Any]] = {name: {} for name in self.channels}
        for field_name, table in detector:
            for key in table:
                if key not in ("all", "mu", "e", *self.channels):
                    raise InputError(
                        f"detector.{field_name}.{key}: no such channel or lepton here; "
                        f"{nearest(key, ['all', 'mu', 'e', *self.channels])}")
            for name in self.channels:
                for key in (name, str(get_channel(name).lepton), "all"):
                    if key in table:
                        changes[name][field_name] = table[key]
                        break
        return self.model_copy(update={"channels": {
            name: entry.model_copy(update=changes[name]) for name, entry in self.channels.items()}})

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
        sigma = self.precision.get(f"R_{channel.hadron}")
        partner = f"{channel.parent}->{channel.hadron}mumu"
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
        return self.model_copy(
            update={"luminosity": luminosity, "channels": channels, "precision": precision}
        )


def _own(value: Any) -> Any:
    """A table is a data set of one's own."""
    return validate(Dataset, value) if isinstance(value, Mapping) else value


DatasetChoice = Annotated[str | Dataset, BeforeValidator(_own)]
"""What cards take: the name of a data set, or a table of one's own."""


@lru_cache(maxsize=1)
def _presets() -> Mapping[str, Dataset]:
    file = Path(physics.__file__).parent / "datasets.yml"
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    return MappingProxyType(
        {name: validate(Dataset, {"name": name, **entry}, name) for name, entry in raw.items()}
    )


def dataset_names() -> tuple[str, ...]:
    """Names of the data sets in ``physics/datasets.yml``.

    >>> "lhcb-upgrade2" in dataset_names()
    True
    """
    return tuple(_presets())


def get_dataset(name: str | Dataset) -> Dataset:
    """Data set by name, or the data set itself; InputError with the nearest names for one that does not exist."""
    if isinstance(name, Dataset):
        return name
    found = _presets().get(name)
    if found is None:
        raise InputError(f"dataset = {name!r}: no such data set; {nearest(name, dataset_names())}")
    return found


@dataclass(frozen=True)
class Bin:
    """A bin of one channel in reconstructed q2 (GeV²)."""

    channel: str
    low: float
    high: float

    @property
    def label(self) -> str:
        """Name in tables and files."""
        return f"{self.channel} {self.low:g}-{self.high:g}"


def make_bins(channels: Sequence[str], edges: Sequence[float]) -> tuple[Bin, ...]:
    """Bins of several channels with the same edges, channel by channel; InputError for edges out of order.

    >>> [b.label for b in make_bins(["B+->K+mumu"], [1.1, 2, 6])]
    ['B+->K+mumu 1.1-2', 'B+->K+mumu 2-6']
    """
    values = [float(edge) for edge in edges]
    ordered = all(math.isfinite(v) and v >= 0 for v in values) and all(np.diff(values) > 0)
    if len(values) < 2 or not ordered:
        raise InputError(f"bins = {list(edges)}: needs at least two edges of q2 (GeV^2) in increasing order")
    return tuple(
        Bin(name, low, high) for name in channels for low, high in pairwise(values)
    )


@dataclass(frozen=True, eq=False)
class Response:
    """Nodes of true q2 (GeV²) and, for every bin, the weights of an integral over them.

    A weight is that of the quadrature times the probability to be reconstructed in the bin.
    """

    nodes: Array
    weights: Array


def response(
    channel: Channel,
    models: Sequence[Model],
    bins: Sequence[tuple[float, float]],
    detector: ChannelDetector | None = None,
) -> Response:
    """Response of a channel: sharp bins, or q2 as the detector reconstructs it, integrated over the true q2.

    The efficiency map is not in it: what it keeps depends on the angles.
    """
    low, high = channel.q2_limits()
    seen = detector or ChannelDetector(channel)
    edges = np.unique(np.ravel(bins))
    start, stop = seen.range(float(edges[0]), float(edges[-1]))
    if not start < stop:
        raise InputError(
            f"bins {edges[0]:g} to {edges[-1]:g} GeV^2: outside the phase space of {channel.name}, "
            f"{low:.4g} to {high:.5g} GeV^2"
        )
    nodes, weights = quadrature(
        np.unique(np.concatenate([breakpoints(channel, list(models)), seen.breakpoints(edges)])), start, stop)
    return Response(nodes, np.stack([weights * seen.probability(nodes, a, b) for a, b in bins]))


def _coefficients(channel: Channel, models: Sequence[Model], nodes: Array) -> Array:
    """Density of events, LHCb convention, both flavours: (n_coefficients, n_models, n_q2)."""
    return np.asarray(
        sum(
            event_signs(channel, flavour)[:, None, None]
            * angular_coefficients(channel, list(models), nodes, flavour)
            for flavour in (1, -1)
        )
    )


def integrated_coefficients(
    channel: Channel | str, models: Sequence[Model], bins: Sequence[tuple[float, float]]
) -> Array:
    """Coefficients of the density of events integrated over bins: (n_models, n_bins, n_coefficients), in GeV.

    Sums over both flavours in LHCb's convention: what the angles of all events in a bin follow.

    >>> integrated_coefficients("B+->K+mumu", [get_model("sm")], [(1.1, 6.0)]).shape
    (1, 1, 3)
    """
    one = get_channel(channel) if isinstance(channel, str) else channel
    found = response(one, models, bins)
    return _integrate(_coefficients(one, models, found.nodes), found.weights)


def _integrate(j: Array, weights: Array) -> Array:
    """Integrals over bins, (n_models, n_bins, n_coefficients), of values at nodes (n_coefficients, n_models, n_q2)."""
    out = np.zeros((j.shape[1], len(weights), j.shape[0]))
    for b, row in enumerate(weights):
        used = np.nonzero(row)[0]
        out[:, b, :] = np.sum(j[:, :, used] * row[used], axis=-1).T
    return out


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of models for the bins of one channel.

    Attributes:
        counts: signal that is found, (n_models, n_bins).
        mean: mean angular functions of one event, weighted with 1/ε, (n_models, n_bins, 12); empty if not asked for.
        covariance: of the same, (n_models, n_bins, 12, 12).
    """

    counts: Array
    mean: Array
    covariance: Array


def predict_channel(
    models: Sequence[Model],
    dataset: Dataset,
    channel: str,
    bins: Sequence[tuple[float, float]],
    *,
    moments: bool = False,
) -> Predicted:
    """Expected signal, and angular moments, of every model behind the data set's detector.

    >>> found = predict_channel([get_model("sm")], get_dataset("lhcb-run12"), "B+->K+mumu", [(1.1, 6.0)])
    >>> round(float(found.counts[0, 0]), 6)
    3850.0
    """
    entry, one, detector = dataset.channel(channel), get_channel(channel), dataset.detector(channel)
    scale = entry.expected / _window_rate(channel, entry)
    found = response(one, models, bins, detector)
    j = _coefficients(one, models, found.nodes)
    integrals = _integrate(j, found.weights)
    mean, covariance = np.zeros((len(models), 0, 12)), np.zeros((len(models), 0, 12, 12))
    if moments:
        mean, covariance = expected_moments(integrals)
    if detector.efficiency is None:
        return Predicted(scale * decay_rate(np.moveaxis(integrals, -1, 0)), mean, covariance)
    kept = np.sum(j * detector.rates(found.nodes)[:, None, :], axis=0)
    if moments:
        mean, covariance = detector.moments(j, found.nodes, found.weights)
    return Predicted(scale * kept @ found.weights.T, mean, covariance)


def generated_events(model: Model, dataset: Dataset, channel: str, low: float, high: float) -> float:
    """Expected number of events between two true q2, before the detector."""
    entry = dataset.channel(channel)
    rate = decay_rate(integrated_coefficients(channel, [model], [(low, high)])[0, 0])
    return float(entry.expected / _window_rate(channel, entry) * rate)


def _window_rate(channel: str, entry: ChannelYield) -> float:
    """Rate of the Standard Model that is found in the window of a data set (GeV), both flavours."""
    return _found_rate(channel, entry.q2, entry.efficiency, entry.migration, entry.resolution)


@lru_cache(maxsize=256)
def _found_rate(
    channel: str, window: tuple[float, float], efficiency: str, migration: str, resolution: float
) -> float:
    one = get_channel(channel)
    detector = channel_detector(one, efficiency, migration, resolution)
    found = response(one, [get_model("sm")], [window], detector)
    j = _coefficients(one, [get_model("sm")], found.nodes)[:, 0]
    rate = decay_rate(j) if detector.efficiency is None else np.sum(j * detector.rates(found.nodes), axis=0)
    total = float(rate @ found.weights[0])
    if not total > 0:
        raise InputError(f"{channel}: the detector finds nothing in q2 = {window[0]:g} to {window[1]:g} GeV^2")
    return total


def expected_counts(models: Sequence[Model], dataset: Dataset, bins: Sequence[Bin]) -> tuple[Array, Array]:
    """Expected signal of every model, (n_models, n_bins), and background, (n_bins,), in the bins.

    >>> window = [Bin("B+->K+mumu", 1.1, 6.0)]
    >>> signal, _ = expected_counts([get_model("sm")], get_dataset("lhcb-run12"), window)
    >>> round(float(signal[0, 0]), 6)
    3850.0
    """
    signal, background = np.zeros((len(models), len(bins))), np.zeros(len(bins))
    for name in dict.fromkeys(b.channel for b in bins):
        columns = [i for i, b in enumerate(bins) if b.channel == name]
        windows = [(bins[i].low, bins[i].high) for i in columns]
        signal[:, columns] = predict_channel(models, dataset, name, windows).counts
        entry = dataset.channel(name)
        density = dataset.background(name) / (entry.q2[1] - entry.q2[0])
        background[columns] = [density * (high - low) for low, high in windows]
    return signal, background


Directions = Mapping[str, Mapping[str, float]]
"""Free couplings: name -> {path of a model's field: its value for the coupling at one}.

The paths must be ones that amplitudes are linear in: Wilson coefficients, or g_bs, or the lepton couplings of
a vector, but not both of the latter. ``{"C9": {"heavy.C9_mu": 1}}``, ``{"C": {"heavy.C9_mu": 1,
"heavy.C10_mu": -1}}``, ``{"g": {"light_vectors.0.g_bs": 1e-8}}``.
"""


def model_at(base: Model, directions: Directions, values: Sequence[float]) -> Model:
    """The base model with every path of ``directions`` set to the sum of couplings times their units.

    >>> model_at(get_model("sm"), {"C": {"heavy.C9_mu": 1.0, "heavy.C10_mu": -1.0}}, [0.5]).heavy.C10_mu
    (-0.5+0j)
    """
    totals: dict[str, float] = {}
    for (_, units), value in zip(directions.items(), values, strict=True):
        for path, unit in units.items():
            totals[path] = totals.get(path, 0.0) + value * unit
    return apply_settings(base, [f"{path}={value!r}" for path, value in totals.items()])


@dataclass(frozen=True)
class Systematics:
    """Nuisance parameters of a count model.

    Attributes:
        theory: form factors, CKM elements and hadronic (charm) effects: draws of flavio's parameters, as
            ``theory_modes`` eigenvectors of the covariance of the logarithms of all bins.
        theory_modes: most eigenvectors kept; what they leave out is below 1 % of the variance, or dropped.
        efficiency: relative error of the efficiency of electrons over muons, one for each hadron; that of the
            data set if None.
        normalisation: relative error on all channels of one hadron together.
        resolution: relative error of the q2 resolution, for channels that have one.
    """

    theory: bool = False
    theory_modes: int = 6
    efficiency: float | None = None
    normalisation: float = 0.0
    resolution: float = 0.0


@dataclass(frozen=True, eq=False)
class Nuisances:
    """Names and effects (nuisances, bins) of nuisance parameters on the signal."""

    names: tuple[str, ...] = ()
    effects: Array = field(default_factory=lambda: np.zeros((0, 0)))


def theory_effects(bins: Sequence[Bin], modes: int) -> Array:
    """Effects of theory uncertainties on ln of the signal, Standard Model: at most ``modes`` eigenvectors.

    Shape (modes, bins), largest first; the covariance is that of ``physics.uncertainties``, common to all
    channels.
    """
    from ..physics.uncertainties import draw_coefficients

    columns: list[Array] = [np.zeros(0)] * len(bins)
    sm = get_model("sm")
    for name in dict.fromkeys(b.channel for b in bins):
        channel = get_channel(name)
        found = [i for i, b in enumerate(bins) if b.channel == name]
        grid = response(channel, [sm], [(bins[i].low, bins[i].high) for i in found])
        j = sum(draw_coefficients(channel, sm, grid.nodes, flavour) for flavour in (1, -1))
        rates = decay_rate(np.asarray(j)) @ grid.weights.T
        for i, column in zip(found, np.log(rates).T, strict=True):
            columns[i] = column
    covariance = np.atleast_2d(np.cov(np.stack(columns)))
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:modes]
    kept = order[values[order] > 1e-3 * values[order[0]]]
    signs = np.sign(vectors[:, kept].sum(axis=0))
    return np.asarray((vectors[:, kept] * np.where(signs == 0, 1.0, signs) * np.sqrt(values[kept])).T)


def nuisances(dataset: Dataset, bins: Sequence[Bin], systematics: Systematics) -> Nuisances:
    """Nuisance parameters of the bins of a data set."""
    names: list[str] = []
    rows: list[Array] = []
    if systematics.theory:
        found = theory_effects(bins, systematics.theory_modes)
        names += [f"theory_{i + 1}" for i in range(len(found))]
        rows += list(found)
    channels = [get_channel(b.channel) for b in bins]
    error = dataset.efficiency_error if systematics.efficiency is None else systematics.efficiency
    for hadron in dict.fromkeys(c.hadron for c in channels):
        of_hadron = np.array([c.hadron == hadron for c in channels])
        electrons = of_hadron & np.array([c.lepton == "e" for c in channels])
        if error > 0 and electrons.any() and (of_hadron & ~electrons).any():
            names.append(f"efficiency_{hadron}")
            rows.append(np.where(electrons, math.log1p(error), 0.0))
        if systematics.normalisation > 0:
            names.append(f"norm_{hadron}")
            rows.append(np.where(of_hadron, math.log1p(systematics.normalisation), 0.0))
    if systematics.resolution > 0:
        smeared = [
            name for name in dict.fromkeys(b.channel for b in bins) if dataset.channel(name).resolution > 0
        ]
        for name in smeared:
            names.append(f"resolution_{name}")
            wide = {
                n: e
                if n != name
                else e.model_copy(update={"resolution": e.resolution * (1.0 + systematics.resolution)})
                for n, e in dataset.channels.items()
            }
            sm = [get_model("sm")]
            before, _ = expected_counts(sm, dataset, bins)
            after, _ = expected_counts(sm, dataset.model_copy(update={"channels": wide}), bins)
            # the norm is that of the nominal resolution: what leaves the window is lost
            lost = _window_rate(name, wide[name]) / _window_rate(name, dataset.channels[name])
            of_channel = np.array([b.channel == name for b in bins])
            rows.append(np.where(of_channel, np.log(after[0] / before[0] * lost), 0.0))
    return Nuisances(tuple(names), np.stack(rows) if rows else np.zeros((0, len(bins))))


def count_model(
    base: Model,
    directions: Directions,
    dataset: Dataset,
    bins: Sequence[Bin],
    systematics: Systematics | None = None,
    starts: npt.ArrayLike | None = None,
) -> CountModel:
    """Expected counts as an exact quadratic in the couplings, at the masses and widths of ``base``.

    The coefficients come from rates at couplings 0, ±1 and sums of two, which determine a quadratic exactly;
    a last point off this set checks that it is one.

    Raises:
        InputError: directions along which rates are not quadratic (a product of two of them, or a mass).

    Example:
        >>> model = count_model(get_model("sm"), {"C9": {"heavy.C9_mu": 1.0}}, get_dataset("lhcb-run12"),
        ...                     make_bins(["B+->K+mumu"], [1.1, 6.0]), Systematics(efficiency=0.0))
        >>> model.expected([0.0]).round(6).tolist()
        [3850.0]
    """
    p = len(directions)
    check = 0.5 + 0.25 * np.arange(p)
    counts, background = expected_counts(
        [model_at(base, directions, x.tolist()) for x in (*probe_points(p), check)], dataset, bins
    )
    signal = quadratic(counts[:-1], p).T
    extra = nuisances(dataset, bins, systematics or Systematics())
    if starts is None:
        starts = default_starts(signal, p)
    model = CountModel(
        signal,
        tuple(directions),
        background,
        extra.names,
        extra.effects,
        None,
        np.asarray(starts, dtype=float),
        tuple(b.label for b in bins),
    )
    found = model.expected(check) - background
    if p and not np.allclose(found, counts[-1], rtol=1e-7, atol=1e-9 * float(np.max(counts))):
        raise InputError(
            f"free = {', '.join(directions)}: the rates are not quadratic in them; couplings are free "
            "only if amplitudes are linear in them (not g_bs and g_mu together, nor masses or widths)"
        )
    return model


def default_starts(signal: Array, p: int) -> Array:
    """Starting points on either side of the turning point of the sum of all bins, for every coupling."""
    if p == 0:
        return np.zeros((1, 0))
    terms = monomials(p)
    total = signal.sum(axis=0)
    rows = []
    for i in range(p):
        linear, square = total[terms.index((i,))], total[terms.index((i, i))]
        turn = -linear / (2.0 * square) if square > 0 else 0.0
        # where a turning point lies outside the reach of the data the two sides are not distinguished
        step = math.sqrt(math.sqrt(max(total[0], 1.0)) / square) if square > 0 else 1.0
        for sign in (1.0, -1.0):
            row = np.zeros(p)
            row[i] = turn + sign * max(step, 0.5 * abs(turn))
            rows.append(row)
    return np.unique(np.stack(rows), axis=0)


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
