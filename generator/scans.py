"""Scans: χ² of models against the measurements over any parameters, best fit, profiles, pulls and regions.

A grid is worked off by the points of its non-linear axes (masses, widths): at each of them the couplings
enter as a polynomial, so all the linear axes together are one matrix product (`darkpenguin.physics.bins`). A
new mass costs a propagator and some milliseconds.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import time
import tomllib
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..kinematics.cache import write_atomically
from ..kinematics.errors import InputError
from ..physics.bins import LINEAR_KEYS, BinPredictor, build_predictor
from ..physics.likelihood import PAPER_GROUPS, Likelihood, build_likelihood, check_groups
from ..physics.measurements import DATA_SETS
from ..physics.models import Model, apply_settings, get_model, nearest, validate
from ..physics.uncertainties import theory_covariance

FloatArray = npt.NDArray[np.float64]
Theory = Literal["correlated", "uncorrelated", "none"]

MAX_POINTS = 50_000_000
"""Largest grid: its χ² of three groups takes 1.2 GB."""

BETTER = "better than SM by 4"
"""What the paper calls 2σ, in the names of regions."""

_BLOCK = 1 << 15           # points of couplings that go through the matrix product together
_CHECKPOINT = 20.0         # seconds between checkpoints of a long scan, at least

DEFAULT_THEORY: Mapping[str, Theory] = {"2017": "uncorrelated", "current": "correlated"}
"""How errors of the Standard Model enter when a card does not say.

The paper takes a prediction with an error for each bin of P5' (its footnote 4) and says nothing of correlations,
so with its data each bin has an error of its own; two experiments that measured the same bin share it. The errors
are in fact 80-100 % correlated (all bins share form factors), which weakens the pull of P5' by a quarter and is the
default with today's data.
"""


class Axis(BaseModel):
    """One axis of a grid: a parameter's path, its range and number of points, linear or logarithmic.

    >>> Axis(key="light_vectors.0.g_mu_v", min=0.0, max=0.1, points=3).values.tolist()
    [0.0, 0.05, 0.1]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str
    min: float
    max: float
    points: Annotated[int, Field(ge=1, le=100_000)] = 100
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _range(self) -> Axis:
        if self.points > 1 and not self.min < self.max:
            raise ValueError(f"min = {self.min:g} must be below max = {self.max:g}")
        if self.scale == "log" and self.min <= 0.0:
            raise ValueError(f"min = {self.min:g}: a logarithmic axis needs a positive range")
        return self

    @property
    def values(self) -> FloatArray:
        """Values on the axis."""
        make = np.geomspace if self.scale == "log" else np.linspace
        return np.asarray(make(self.min, self.max, self.points))

    @property
    def linear(self) -> bool:
        """Whether amplitudes are linear in the parameter: a coupling or a Wilson coefficient."""
        return self.key.rsplit(".", 1)[-1] in LINEAR_KEYS


class Tie(BaseModel):
    """A parameter that follows another: ``key`` = ``factor`` × ``of``, say g_mu_a = -0.44 g_mu_v."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    key: str
    of: str
    factor: float


class ScanCard(BaseModel):
    """What to scan: a base model, axes, ties between parameters, data and groups of measurements.

    >>> card = ScanCard(axes=[{"key": "light_vectors.0.g_mu_v", "min": -0.1, "max": 0.1}])
    >>> card.data, card.groups, card.theory_errors
    ('current', ('R_K', 'R_K*', 'P5p'), 'correlated')
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[\w.+-]+$")] = "scan"
    model: str | Model = "fig2"
    settings: tuple[str, ...] = ()
    axes: Annotated[tuple[Axis, ...], Field(min_length=1)]
    ties: tuple[Tie, ...] = ()
    data: str = "current"
    groups: tuple[str, ...] = PAPER_GROUPS
    theory: Theory | None = None

    @field_validator("data")
    @classmethod
    def _data(cls, value: str) -> str:
        if value not in DATA_SETS:
            raise ValueError(f"no such data set; one of {', '.join(DATA_SETS)}")
        return value

    @field_validator("groups")
    @classmethod
    def _groups(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_groups(value)
        return value

    @model_validator(mode="after")
    def _paths(self) -> ScanCard:
        keys = [axis.key for axis in self.axes]
        targets = [tie.key for tie in self.ties]
        for key in [*keys, *targets]:
            if [*keys, *targets].count(key) > 1:
                raise ValueError(f"{key} is set twice; keep one axis or tie of it")
        base = self.base_model()
        for axis in self.axes:
            for edge in (axis.min, axis.max):
                apply_settings(base, [f"{axis.key}={edge!r}"])
        for tie in self.ties:
            if tie.of not in keys:
                raise ValueError(f"ties: {tie.of} is not an axis; {nearest(tie.of, keys)}")
            apply_settings(base, [f"{tie.key}={tie.factor!r}"])
            source = self.axes[keys.index(tie.of)]
            if source.linear and tie.key.rsplit(".", 1)[-1] not in LINEAR_KEYS:
                raise ValueError(f"ties: {tie.key} cannot follow the coupling {tie.of}")
        if self.points > MAX_POINTS:
            raise ValueError(f"the grid has {self.points:,} points; at most {MAX_POINTS:,} fit")
        return self

    @property
    def points(self) -> int:
        """Number of points of the grid."""
        return math.prod(axis.points for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid, in the order of the axes."""
        return tuple(axis.points for axis in self.axes)

    @property
    def theory_errors(self) -> Theory:
        """How theory errors enter: as said, or the default of the data set."""
        return self.theory or DEFAULT_THEORY[self.data]

    def base_model(self) -> Model:
        """The model that the axes start from."""
        model = get_model(self.model) if isinstance(self.model, str) else self.model
        return apply_settings(model, self.settings)

    def values_at(self, point: Mapping[str, float]) -> dict[str, float]:
        """All parameters that move, ties included, for one value on each axis."""
        return {**point, **{tie.key: tie.factor * point[tie.of] for tie in self.ties}}

    def model_at(self, point: Mapping[str, float]) -> Model:
        """The model at one value of each axis.

        >>> card = ScanCard(axes=[{"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0}])
        >>> card.model_at({"light_vectors.0.mass": 2.8}).light_vectors[0].mass
        2.8
        """
        moved = [f"{key}={float(value)!r}" for key, value in self.values_at(point).items()]
        return apply_settings(self.base_model(), moved)


def read_point(card: ScanCard, texts: Sequence[str]) -> dict[str, float]:
    """A point of a card's axes from texts KEY=VALUE; InputError for what is no axis, no number or no model.

    >>> card = ScanCard(axes=[{"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0}])
    >>> read_point(card, ["light_vectors.0.mass=2.2"])
    {'light_vectors.0.mass': 2.2}
    """
    keys = [axis.key for axis in card.axes]
    point: dict[str, float] = {}
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        if key not in keys:
            raise InputError(f"at = {text!r}: not scanned; {nearest(key, keys)}")
        try:
            point[key] = float(value)
        except ValueError:
            raise InputError(f"at = {text!r}: write KEY=VALUE with a number, say {key}=2.5") from None
    card.model_at({**{axis.key: axis.min for axis in card.axes}, **point})
    return point


def read_scan_card(path: str | os.PathLike[str]) -> ScanCard:
    """Scan card from a TOML file; InputError names the key, the value and what is allowed."""
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"card = {str(path)!r}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"card = {str(path)!r}: not TOML: {error}") from None
    return validate(ScanCard, data)


@dataclass(frozen=True)
class Pull:
    """One measured number beside its prediction; ``pull`` is (measured - predicted) / error.

    For an experiment that published its likelihood it is ±sqrt(-2 ln L/L_max), with the theory error added.
    """

    group: str
    measurement: str
    arxiv: str
    observable: str
    measured: float
    predicted: float
    error: float
    pull: float


@dataclass(frozen=True)
class BestFit:
    """The smallest χ²: where, how large, by group, and the Standard Model's for comparison."""

    point: Mapping[str, float]
    chi2: float
    groups: Mapping[str, float]
    standard_model: float


@dataclass(frozen=True, eq=False)
class ScanResult:
    """χ² on a grid: ``chi2[group]`` has the shape of the card's axes, ``standard[group]`` is the SM's.

    The methods take ``group``: a name, or None for the sum of all groups.
    """

    card: ScanCard
    likelihood: Likelihood
    chi2: Mapping[str, FloatArray]
    standard: Mapping[str, float]

    def total(self, group: str | None = None) -> FloatArray:
        """χ² of a group, or the sum of all."""
        return self.chi2[group] if group else np.asarray(sum(self.chi2.values()))

    def standard_model(self, group: str | None = None) -> float:
        """χ² of the Standard Model."""
        return self.standard[group] if group else float(sum(self.standard.values()))

    def improvement(self, group: str | None = None) -> FloatArray:
        """How much χ² is better than the Standard Model's; the paper's "2σ" is 4."""
        return self.standard_model(group) - self.total(group)

    def delta(self, group: str | None = None) -> FloatArray:
        """Δχ² with respect to the best point of the grid."""
        chi2 = self.total(group)
        return np.asarray(chi2 - chi2.min())

    def best(self, group: str | None = None, refine: bool = True) -> BestFit:
        """Smallest χ². ``refine`` goes on from the best grid point within the neighbouring cells."""
        chi2 = self.total(group)
        index = np.unravel_index(int(np.argmin(chi2)), chi2.shape)
        point = {axis.key: float(axis.values[i]) for axis, i in zip(self.card.axes, index, strict=True)}
        if refine:
            point = self._refined(point, index, group)
        values = self._chi2_at(point)
        chosen = [group] if group else list(values)
        return BestFit(point, sum(values[name] for name in chosen), values, self.standard_model(group))

    def _chi2_at(self, point: Mapping[str, float]) -> dict[str, float]:
        predictor = build_predictor(self.likelihood.observables, self.card.model_at(point))
        return {name: float(value[0]) for name, value in _group_chi2(self.likelihood, predictor()).items()}

    def _refined(self, point: dict[str, float], index: Sequence[Any], group: str | None) -> dict[str, float]:
        from scipy.optimize import minimize

        axes = [(axis, int(i)) for axis, i in zip(self.card.axes, index, strict=True) if axis.points > 1]
        if not axes:
            return point
        bounds, start = [], []
        for axis, i in axes:
            values = axis.values
            bounds.append((values[max(i - 1, 0)], values[min(i + 1, len(values) - 1)]))
            start.append(values[i])
        size = np.array([high - low for low, high in bounds])

        def cost(x: FloatArray) -> float:
            moved = {axis.key: float(v) for (axis, _), v in zip(axes, x * size, strict=True)}
            values = self._chi2_at({**point, **moved})
            return values[group] if group else sum(values.values())

        scaled = [(low / s, high / s) for (low, high), s in zip(bounds, size, strict=True)]
        found = minimize(
            cost, np.array(start) / size, method="Nelder-Mead", bounds=scaled,
            options={"maxfev": 60 * len(axes), "xatol": 1e-3, "fatol": 1e-4},
        )
        if found.fun > cost(np.array(start) / size):
            return point
        return {**point, **{axis.key: float(v) for (axis, _), v in zip(axes, found.x * size, strict=True)}}

    def _other_axes(self, keep: Sequence[str]) -> tuple[int, ...]:
        keys = [axis.key for axis in self.card.axes]
        for key in keep:
            if key not in keys:
                raise InputError(f"axis {key!r}: not scanned; {nearest(key, keys)}")
        return tuple(i for i, key in enumerate(keys) if key not in keep)

    def profile(self, keep: Sequence[str], group: str | None = None) -> FloatArray:
        """χ² minimised over all axes but those kept, which stay in the order of the card."""
        return np.asarray(self.total(group).min(axis=self._other_axes(keep)))

    def marginal(self, keep: Sequence[str], group: str | None = None) -> FloatArray:
        """Likelihood exp(-χ²/2) summed over all axes but those kept, normalised to a sum of one.

        The prior is flat in what the axes are spaced in: the parameter, or its logarithm.
        """
        weight = np.exp(-0.5 * self.delta(group)).sum(axis=self._other_axes(keep))
        return np.asarray(weight / weight.sum())

    def regions(
        self, threshold: float = 4.0, group: str | None = None, best_fit: bool = False,
        keep: Sequence[str] | None = None,
    ) -> list[list[FloatArray]]:
        """Regions of a plane as polygons, each a list of rings (n, 2): outer boundary, then holes.

        Where χ² is better than the Standard Model's by ``threshold``, or, with ``best_fit``, within
        ``threshold`` of the smallest. ``keep`` names two axes of a scan with more: χ² is then that of the
        profile, smallest over the others.
        """
        keys = [axis.key for axis in self.card.axes] if keep is None else list(keep)
        chi2 = self.profile(keys, group)
        top = float(chi2.min()) + threshold if best_fit else self.standard_model(group) - threshold
        return polygons([axis for axis in self.card.axes if axis.key in keys], top - chi2)

    def all_regions(self, keep: Sequence[str] | None = None) -> dict[str, list[list[FloatArray]]]:
        """The regions that are drawn and written, by name: of each group, and of all around the best fit."""
        found = {f"{name} {BETTER}": self.regions(4.0, name, keep=keep) for name in self.card.groups}
        found[f"all {BETTER}"] = self.regions(4.0, keep=keep)
        for threshold in ("2.30", "6.18"):   # 68.3 % and 95.4 % for two parameters
            found[f"all, within {threshold} of the best fit"] = self.regions(
                float(threshold), best_fit=True, keep=keep
            )
        return found

    def pulls(self, point: Mapping[str, float]) -> list[Pull]:
        """Every measurement at a point of the axes."""
        return model_pulls(self.likelihood, self.card.model_at(point))


def polygons(
    axes: Sequence[Axis], height: FloatArray, low: float = 0.0, high: float = math.inf
) -> list[list[FloatArray]]:
    """Where ``height`` (n_x, n_y) on two axes is between two values, as polygons: lists of rings (n, 2).

    >>> axes = [Axis(key="light_vectors.0.g_mu_v", min=-2, max=2, points=81)] * 2
    >>> x, y = np.meshgrid(axes[0].values, axes[1].values, indexing="ij")
    >>> [len(rings) for rings in polygons(axes, 1 - x**2 - y**2)]
    [1]
    """
    if len(axes) != 2:
        raise InputError(f"regions are drawn in a plane; this scan has {len(axes)} axes: profile it first")
    from contourpy import FillType, contour_generator

    x, y = axes[0].values, axes[1].values
    generator = contour_generator(x, y, np.ascontiguousarray(height.T), fill_type=FillType.OuterOffset)
    highest = float(np.nanmax(height))
    if not highest > low or not np.nanmin(height) < high:
        return []
    points, offsets = generator.filled(low, min(high, max(2.0 * highest, highest + 1.0)))
    return [
        [_corners(np.asarray(ring)) for ring in np.split(outline, offset[1:-1].astype(int))]
        for outline, offset in zip(points, offsets, strict=True)
    ]


def _corners(ring: FloatArray) -> FloatArray:
    """A ring without the points that lie on a straight line between their neighbours, as along the frame."""
    scaled = (ring - ring.min(axis=0)) / np.maximum(np.ptp(ring, axis=0), 1e-300)
    step = np.diff(scaled, axis=0)
    turn = step[:-1, 0] * step[1:, 1] - step[:-1, 1] * step[1:, 0]
    return np.asarray(ring[np.concatenate([[True], np.abs(turn) > 1e-12, [True]])])


def scan_likelihood(data: str, groups: Sequence[str], theory: Theory) -> Likelihood:
    """Likelihood of a data set with theory errors of the Standard Model: correlated, bin by bin, or none."""
    plain = build_likelihood(data, groups)
    if theory == "none":
        return plain
    covariance = {part.group.name: theory_covariance(part.observables) for part in plain.groups}
    if theory == "uncorrelated":
        for part in plain.groups:
            # two experiments with the same bin have the same prediction, hence the same error of it
            same = np.array([[a == b for b in part.observables] for a in part.observables])
            covariance[part.group.name] = np.where(same, covariance[part.group.name], 0.0)
    return build_likelihood(data, groups, covariance)


def _group_chi2(likelihood: Likelihood, predictions: Any) -> dict[str, Any]:
    position = {observable: i for i, observable in enumerate(likelihood.observables)}
    columns = {part.group.name: [position[o] for o in part.observables] for part in likelihood.groups}
    return likelihood.chi2({name: predictions[..., column] for name, column in columns.items()})


def model_pulls(likelihood: Likelihood, model: Model) -> list[Pull]:
    """Every measurement of a likelihood beside the prediction of a model."""
    predictions = build_predictor(likelihood.observables, model)()[0]
    position = {observable: i for i, observable in enumerate(likelihood.observables)}
    found = []
    for part in likelihood.groups:
        values = predictions[[position[o] for o in part.observables]]
        pulls, errors = part.pulls(values), part.total_errors(values)
        papers = [m for m in part.measurements for _ in m.observables]
        for k, observable in enumerate(part.observables):
            found.append(Pull(
                part.group.name, papers[k].name, papers[k].arxiv, str(observable), float(part.central[k]),
                float(values[k]), float(errors[k]), float(pulls[k]),
            ))
    return found


def array_library(device: str) -> Any:
    """NumPy for ``cpu`` and ``auto``, CuPy for ``gpu``; InputError where there is none.

    ``auto`` is the CPU: a plane of 400 x 400 points takes a second there.
    """
    if device in ("auto", "cpu"):
        return np
    if device != "gpu":
        raise InputError(f"device = {device!r}: auto, cpu or gpu")
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise InputError(
            f"device = 'gpu': no GPU can be used ({error}); install 'darkpenguin[gpu]' or use cpu"
        ) from None
    return cupy


def scan(
    card: ScanCard,
    device: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> ScanResult:
    """χ² of every group at every point of the card's grid.

    ``checkpoint`` is a file in which a long scan keeps what it has, from time to time and when interrupted.
    The same card continues from it, another card ignores it, and it is removed at the end. ``progress`` is
    told how many points have been done since it was last told, those of the checkpoint included.

    >>> card = ScanCard(data="2017", theory="none", axes=[
    ...     {"key": "light_vectors.0.g_mu_v", "min": 0.0, "max": 0.2, "points": 3}])
    >>> scan(card).chi2["R_K"].round(1)
    array([4.2, 0.9, 0. ])
    """
    xp = array_library(device)
    likelihood = scan_likelihood(card.data, card.groups, card.theory_errors)
    standard_predictions = build_predictor(likelihood.observables, Model())()
    standard = {name: float(v[0]) for name, v in _group_chi2(likelihood, standard_predictions).items()}
    linear = [axis for axis in card.axes if axis.linear]
    other = [axis for axis in card.axes if not axis.linear]
    outer = list(itertools.product(*(axis.values for axis in other)))
    inner = math.prod(axis.points for axis in linear)
    blocks = -(-inner // _BLOCK)
    chi2 = np.empty((len(outer), len(card.groups), inner))
    keeper = _Checkpoint(checkpoint, card, blocks)
    done = keeper.load(chi2)
    if progress is not None and done:
        progress(done // blocks * inner + done % blocks * _BLOCK)
    try:
        for i in range(done // blocks, len(outer)):
            fixed = dict(zip((axis.key for axis in other), outer[i], strict=True))
            evaluate = _linear_scan(card, likelihood, fixed, linear, xp)
            for j in range(done % blocks, blocks):
                start, stop = j * _BLOCK, min((j + 1) * _BLOCK, inner)
                chi2[i, :, start:stop] = evaluate(start, stop)
                done += 1
                keeper.save_if_due(chi2, done)
                if progress is not None:
                    progress(stop - start)
    except KeyboardInterrupt:
        keeper.save(chi2, done)
        raise
    keeper.remove()
    axes = [*other, *linear]
    grids = np.moveaxis(chi2, 1, 0).reshape(len(card.groups), *(axis.points for axis in axes))
    order = [axes.index(axis) for axis in card.axes]
    names = likelihood.names
    return ScanResult(
        card, likelihood, {name: grids[k].transpose(order) for k, name in enumerate(names)}, standard
    )


def _linear_scan(
    card: ScanCard, likelihood: Likelihood, fixed: Mapping[str, float], axes: Sequence[Axis], xp: Any
) -> Callable[[int, int], FloatArray]:
    """χ² (n_groups, n_points) of points [start, stop) of the grid of the linear axes, as a function of the two.

    ``fixed`` has the other axes. The grid itself is never in memory, only the block that is asked for.
    """
    values = [axis.values for axis in axes]
    keys = [axis.key for axis in axes]
    moving = [tie for tie in card.ties if tie.of in keys]
    settings = dict(fixed) | {tie.key: tie.factor * fixed[tie.of] for tie in card.ties if tie.of in fixed}
    model = apply_settings(card.base_model(), [f"{key}={float(value)!r}" for key, value in settings.items()])

    def points(index: Sequence[Any]) -> dict[str, Any]:
        found = {key: xp.asarray(v[i]) for key, v, i in zip(keys, values, index, strict=True)}
        return found | {tie.key: tie.factor * found[tie.of] for tie in moving}

    def evaluate(start: int, stop: int) -> FloatArray:
        index = np.unravel_index(np.arange(start, stop), [axis.points for axis in axes]) if axes else ()
        found = _group_chi2(likelihood, predictor(points(index)))
        chi2 = [found[name] for name in likelihood.names]
        return np.stack([value if isinstance(value, np.ndarray) else value.get() for value in chi2])

    # the largest of each coupling: the predictor needs to know which are there, and their scale
    largest = {key: np.array([v[np.argmax(np.abs(v))]]) for key, v in zip(keys, values, strict=True)}
    largest |= {tie.key: tie.factor * largest[tie.of] for tie in moving}
    predictor: BinPredictor = build_predictor(likelihood.observables, model, largest)
    return evaluate


class _Checkpoint:
    """Partial results of a scan in one file, recognised by the card and by all that the numbers rest on.

    ``done`` counts blocks, of which each point of the non-linear axes has ``blocks``.
    """

    def __init__(self, path: str | os.PathLike[str] | None, card: ScanCard, blocks: int) -> None:
        self.path = Path(path) if path is not None else None
        self.key = scan_key(card) if path is not None else ""
        self.blocks = blocks
        self.due = time.monotonic() + _CHECKPOINT

    def load(self, chi2: FloatArray) -> int:
        if self.path is None or not self.path.is_file():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                done = int(stored["done"])
                rows = -(-done // self.blocks)
                if str(stored["key"]) != self.key or stored["chi2"].shape != (rows, *chi2.shape[1:]):
                    return 0
                chi2[:rows] = stored["chi2"]
                return done
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            message = f"checkpoint {self.path} is damaged ({error}); the scan starts afresh"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            return 0

    def save_if_due(self, chi2: FloatArray, done: int) -> None:
        if time.monotonic() > self.due:
            self.save(chi2, done)

    def save(self, chi2: FloatArray, done: int) -> None:
        if self.path is None or done == 0:
            return
        import io

        start = time.monotonic()
        buffer = io.BytesIO()
        np.savez(buffer, key=self.key, done=done, chi2=chi2[: -(-done // self.blocks)])
        write_atomically(self.path, buffer.getvalue())
        end = time.monotonic()
        self.due = end + max(_CHECKPOINT, 20.0 * (end - start))   # at most 5 % of the time

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def scan_key(card: ScanCard) -> str:
    """Hash of a card, of the package's physics and data, and of flavio's version."""
    digest = hashlib.sha256(card.model_dump_json().encode())
    digest.update(version("flavio").encode())
    folder = Path(__file__).parent.parent / "physics"
    for path in sorted([*folder.glob("*.py"), *folder.glob("*.yml"), Path(__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# -----------------------------------------------------------------------------------------------------------
# Files
# -----------------------------------------------------------------------------------------------------------


def write_scan(
    result: ScanResult,
    folder: str | os.PathLike[str],
    overwrite: bool = False,
    at: Mapping[str, float] | None = None,
) -> list[Path]:
    """Write a scan: grid, profiles, pulls, regions in the plane of any two axes as CSV; a summary as JSON.

    Pulls are those of the Standard Model, of the best fit and of the point ``at``, whose missing axes are
    those of the best fit. Files are named after the card; each is written whole or not at all. Raises
    InputError if one exists, or for a point off the axes.
    """
    card = result.card
    paths = check_outputs(card, folder, overwrite)
    best = result.best()
    pulls = {"Standard Model": model_pulls(result.likelihood, Model()), "best fit": result.pulls(best.point)}
    if at:
        pulls["point"] = result.pulls({**best.point, **at})
    texts: dict[str, str | Iterable[str]] = {
        "grid.csv": grid_csv(result),
        "profiles.csv": profiles_csv(result),
        "pulls.csv": pulls_csv(pulls),
        "summary.json": summary_json(result, best),
    }
    wide = [axis.key for axis in card.axes if axis.points > 1]
    pairs = list(itertools.combinations(wide, 2))
    if pairs:
        texts["regions.csv"] = regions_csv([(card.name, pair, result.all_regions(pair)) for pair in pairs])
    for name, text in texts.items():
        write_text(paths[name], text)
    return [paths[name] for name in texts]


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write a file, from one text or from pieces, whole or not at all; InputError if it cannot be."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"output = {str(path)!r}: cannot be written ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def check_outputs(card: ScanCard, folder: str | os.PathLike[str], overwrite: bool = False) -> dict[str, Path]:
    """The files of a scan by the end of their names; InputError, before any work, if one is in the way."""
    from .writers import check_target

    names = ["grid.csv", "profiles.csv", "pulls.csv", "summary.json"]
    if sum(axis.points > 1 for axis in card.axes) >= 2:
        names.append("regions.csv")
    return {name: check_target(Path(folder) / f"{card.name}-{name}", overwrite=overwrite) for name in names}


def grid_csv(result: ScanResult) -> Iterator[str]:
    """The grid as CSV, piece by piece: axes, χ² of each group, their sum."""
    import pandas as pd

    card = result.card
    flat = {f"chi2 {name}": value.ravel() for name, value in result.chi2.items()}
    for start in range(0, card.points, _BLOCK):
        index = np.unravel_index(np.arange(start, min(start + _BLOCK, card.points)), card.shape)
        columns = {axis.key: axis.values[i] for axis, i in zip(card.axes, index, strict=True)}
        columns |= {name: value[start : start + _BLOCK] for name, value in flat.items()}
        columns["chi2 all"] = np.asarray(sum(columns[name] for name in flat))
        yield str(pd.DataFrame(columns).to_csv(index=False, header=start == 0, float_format="%.8g"))


def profiles_csv(result: ScanResult) -> str:
    """χ² of the profile and the marginal likelihood along every axis, for each group and all together."""
    lines = ["axis,group,value,profile chi2,marginal"]
    for axis in result.card.axes:
        for name in (*result.card.groups, None):
            profile, marginal = result.profile([axis.key], name), result.marginal([axis.key], name)
            rows = zip(axis.values, profile, marginal, strict=True)
            start = f"{axis.key},{name or 'all'}"
            lines += [f"{start},{value:.8g},{chi2:.8g},{weight:.8g}" for value, chi2, weight in rows]
    return "\n".join(lines) + "\n"


def pulls_csv(pulls: Mapping[str, Sequence[Pull]]) -> str:
    """Pulls as CSV, one measured number a line, for each of several models by name."""
    lines = ["model,group,measurement,arXiv,observable,measured,predicted,error,pull"]
    lines += [
        f'{name},{p.group},{p.measurement},{p.arxiv},"{p.observable}",'
        f"{p.measured:.8g},{p.predicted:.8g},{p.error:.6g},{p.pull:.6g}"
        for name, found in pulls.items()
        for p in found
    ]
    return "\n".join(lines) + "\n"


def regions_csv(planes: Sequence[tuple[str, Sequence[str], Mapping[str, list[list[FloatArray]]]]]) -> str:
    """Polygons of planes, each a name, the keys of two axes, and regions by name, as CSV.

    A line is a corner: plane, axes, region, number of the polygon and of its ring (0 outer, then holes), x, y.
    """
    lines = ["panel,x axis,y axis,region,polygon,ring,x,y"]
    for panel, (x_key, y_key), regions in planes:
        for name, shapes in regions.items():
            for i, rings in enumerate(shapes):
                for j, ring in enumerate(rings):
                    start = f'{panel},{x_key},{y_key},"{name}",{i},{j}'
                    lines += [f"{start},{x:.8g},{y:.8g}" for x, y in ring]
    return "\n".join(lines) + "\n"


def summary_json(result: ScanResult, best: BestFit) -> str:
    """The card, the best fit and χ² of the Standard Model, as JSON."""
    data: dict[str, Any] = {
        "card": result.card.model_dump(mode="json"),
        "theory": result.card.theory_errors,
        "standard_model": {**result.standard, "all": result.standard_model()},
        "best_fit": {"point": dict(best.point), "chi2": {**best.groups, "all": best.chi2}},
        "versions": {name: version(name) for name in ("darkpenguin", "flavio") if _installed(name)},
    }
    for name in result.card.groups:
        own = result.best(name)
        data["best_fit"][f"of {name} alone"] = {"point": dict(own.point), "chi2": own.chi2}
    return json.dumps(data, indent=1) + "\n"


def _installed(name: str) -> bool:
    try:
        version(name)
    except ImportError:
        return False
    return True
