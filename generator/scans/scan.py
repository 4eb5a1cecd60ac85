"""Scans: χ² of models against the measurements over any parameters, best fit, profiles, pulls and regions.

A grid is worked off by the points of its non-linear axes (masses, widths): at each of them the couplings
enter as a polynomial, so all the linear axes together are one matrix product (`darkpenguin.physics.bins`). A
new mass costs a propagator and some milliseconds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...kinematics.base.arrays import FloatArray, array_library
from ...kinematics.base.cards import CardSource, shows_keys
from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import OutputLock
from ...kinematics.base.results import Result
from ...physics.axes import Axis, moved, tied
from ...physics.bins import build_predictor
from ...physics.experiment.likelihood import K_INV, Likelihood, theory_likelihood
from ...physics.models import Model
from ..run.workers import check_dask, in_order
from .card import ScanCard
from .checkpoint import _Checkpoint
from .invisible import SizeCurve, find_spectrum

BETTER = "better than SM by 4"
"""What the paper calls 2σ, in the names of regions."""
_BLOCK = 1 << 15  # points of couplings that go through the matrix product together


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
class ScanResult(Result):
    """χ² on a grid: ``chi2[group]`` has the shape of the card's axes, ``standard[group]`` is the SM's.

    The methods take ``group``: a name, or None for the sum of all groups.
    """

    card: ScanCard
    likelihood: Likelihood
    chi2: Mapping[str, FloatArray]
    standard: Mapping[str, float]
    left_out = ("likelihood",)

    def records(self) -> dict[str, FloatArray]:
        """Return the grid, a row a point: the axes, χ² of each group, their sum."""
        places = np.meshgrid(*(axis.values for axis in self.card.axes), indexing="ij")
        found = {axis.key: place.ravel() for axis, place in zip(self.card.axes, places, strict=True)}
        found |= {f"chi2 {name}": value.ravel() for name, value in self.chi2.items()}
        return {**found, "chi2 all": self.total().ravel()}

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
        if (group, refine) not in self._best:
            self._best[group, refine] = self._find_best(group, refine)
        return self._best[group, refine]

    @cached_property
    def _best(self) -> dict[tuple[str | None, bool], BestFit]:
        """What `best` has found."""
        return {}

    def _find_best(self, group: str | None, refine: bool) -> BestFit:
        chi2 = self.total(group)
        index = np.unravel_index(int(np.argmin(chi2)), chi2.shape)
        point = {axis.key: float(axis.values[i]) for axis, i in zip(self.card.axes, index, strict=True)}
        if refine:
            point = self._refined(point, index, group)
        values = self._chi2_at(point)
        chosen = [group] if group else list(values)
        return BestFit(point, sum(values[name] for name in chosen), values, self.standard_model(group))

    def _chi2_at(self, point: Mapping[str, float]) -> dict[str, float]:
        return _model_chi2(self.card, self.likelihood, self.card.model_at(point))

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
        linear = [axis for axis, _ in axes if axis.linear]
        fixed = {key: value for key, value in point.items() if key not in [axis.key for axis in linear]}
        at = _linear_chi2(self.card, self.likelihood, fixed, linear) if len(linear) == len(axes) else None

        def cost(x: FloatArray) -> float:
            moved = {axis.key: float(v) for (axis, _), v in zip(axes, x * size, strict=True)}
            if at is None:
                values = self._chi2_at({**point, **moved})
            else:
                found = at({key: np.array([value]) for key, value in moved.items()}, 1)
                values = dict(zip(self.card.groups, found[:, 0].tolist(), strict=True))
            return values[group] if group else sum(values.values())

        scaled = [(low / s, high / s) for (low, high), s in zip(bounds, size, strict=True)]
        found = minimize(
            cost,
            np.array(start) / size,
            method="Nelder-Mead",
            bounds=scaled,
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
        self,
        threshold: float = 4.0,
        group: str | None = None,
        best_fit: bool = False,
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
        for threshold in ("2.30", "6.18"):  # 68.3 % and 95.4 % for two parameters
            found[f"all, within {threshold} of the best fit"] = self.regions(float(threshold), best_fit=True, keep=keep)
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


def _model_chi2(card: ScanCard, likelihood: Likelihood, model: Model) -> dict[str, float]:
    """χ² of each group of the card for one model."""
    found = {}
    if likelihood.groups:
        predictions = build_predictor(likelihood.observables, model)()
        found = {name: float(value[0]) for name, value in _group_chi2(likelihood, predictions).items()}
    if K_INV in card.groups:
        spectrum = find_spectrum(card.data_set)
        found[K_INV] = spectrum.minus_two_log(spectrum.strengths(model))
    return {name: found[name] for name in card.groups}


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
            found.append(
                Pull(
                    part.group.name,
                    papers[k].name,
                    papers[k].arxiv,
                    str(observable),
                    float(part.central[k]),
                    float(values[k]),
                    float(errors[k]),
                    float(pulls[k]),
                )
            )
    return found


@shows_keys(ScanCard)
def scan(
    card: CardSource | ScanCard = None,
    device: str = "auto",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
    dask: str | None = None,
    **keys: Any,
) -> ScanResult:
    """χ² of every group at every point of the card's grid.

    Args:
        card: a TOML file, a built-in card's name, a dictionary, or a `ScanCard`.
        device: ``auto``, ``cpu`` or ``gpu``.
        checkpoint: file in which a long scan keeps what it has, from time to time and when interrupted. The same card
            continues from it, another card ignores it, and it is removed at the end.
        progress: told how many points have been done since it was last told, those of the checkpoint included.
        dask: address of a Dask scheduler, or ``local:N``, whose workers compute the points.
        **keys: keys of a `ScanCard`, on top of those of the card; ``set`` changes the model.

    Raises:
        InputError: a card that cannot be used, or another process has the checkpoint.

    Example:
        >>> result = scan(data="2017", theory="none", axes=[
        ...     {"key": "light_vectors.0.g_mu_v", "min": 0.0, "max": 0.2, "points": 3}])
        >>> result.chi2["R_K"].round(1)
        array([4.2, 0.9, 0. ])
        >>> result.to_pandas().shape
        (3, 5)
    """
    chosen = ScanCard.make(card, **keys)
    check_dask(dask)
    grid = Grid.of(chosen, device)
    if checkpoint is None:
        return grid.result(grid.chi2(0, grid.blocks, None, progress, dask))
    with OutputLock(checkpoint):  # two scans of one card would take each other's place in it
        return grid.result(grid.chi2(0, grid.blocks, checkpoint, progress, dask))


def grid_blocks(card: ScanCard, block: int | None = None) -> int:
    """Number of blocks of a card's grid.

    >>> grid_blocks(ScanCard(axes=[{"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0, "points": 7}]))
    7
    """
    inner = math.prod(axis.points for axis in card.axes if axis.linear)
    return card.points // inner * -(-inner // (block or _BLOCK))


@dataclass(frozen=True, eq=False)
class Grid:
    """The points of a card in blocks that are computed together.

    They lie in the order of the axes, those that are not linear before the others; a block has linear ones alone.
    """

    card: ScanCard
    likelihood: Likelihood
    device: str
    block: int
    """Points of a block at most."""

    @classmethod
    def of(cls, card: ScanCard, device: str = "auto") -> Grid:
        """The grid of a card, with its likelihood."""
        array_library(device)
        theory = card.theory_errors
        return cls(card, theory_likelihood(card.data, card.groups, theory, card.base_model().standard), device, _BLOCK)

    @cached_property
    def axes(self) -> tuple[list[Axis], list[Axis]]:
        """Axes that are not linear, and those that are."""
        return [axis for axis in self.card.axes if not axis.linear], [axis for axis in self.card.axes if axis.linear]

    @property
    def inner(self) -> int:
        """Points of the linear axes."""
        return math.prod(axis.points for axis in self.axes[1])

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return grid_blocks(self.card, self.block)

    def place(self, block: int) -> int:
        """Number of the first point of a block."""
        outer, part = divmod(block, -(-self.inner // self.block))
        return outer * self.inner + part * self.block

    def chi2_of(self, start: int, stop: int) -> FloatArray:
        """χ² (n_groups, n_points) of blocks."""
        found = [self._evaluate(block) for block in range(start, stop)]
        return np.concatenate(found, axis=1) if found else np.empty((len(self.card.groups), 0))

    def _evaluate(self, block: int) -> FloatArray:
        first = self.place(block)
        outer, start = divmod(first, self.inner)
        if self._at.get("outer") != outer:
            other, linear = self.axes
            index = np.unravel_index(outer, [axis.points for axis in other]) if other else ()
            fixed = {axis.key: float(axis.values[i]) for axis, i in zip(other, index, strict=True)}
            evaluate = _linear_scan(self.card, self.likelihood, fixed, linear, array_library(self.device))
            self._at.update(outer=outer, evaluate=evaluate)
        return np.asarray(self._at["evaluate"](start, start + self.place(block + 1) - first))

    @cached_property
    def _at(self) -> dict[str, Any]:
        """The function of the linear axes at the point of the others where we are."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_at"}

    def chi2(
        self,
        start: int,
        stop: int,
        checkpoint: str | os.PathLike[str] | None,
        progress: Callable[[int], None] | None,
        dask: str | None,
    ) -> FloatArray:
        """χ² (n_groups, n_points) of blocks, from time to time kept in a checkpoint."""
        origin = self.place(start)
        chi2 = np.empty((len(self.card.groups), self.place(stop) - origin))
        keeper = _Checkpoint(checkpoint, self.card, (start, stop))
        done, points = keeper.load(chi2)
        if progress is not None and points:
            progress(points)
        done = start if done is None else done
        try:
            for _, found in in_order(self.chi2_of, ((b, b + 1) for b in range(done, stop)), dask):
                size = found.shape[1]
                chi2[:, points : points + size] = found
                done, points = done + 1, points + size
                keeper.save_if_due(chi2, done, points)
                if progress is not None:
                    progress(size)
        except KeyboardInterrupt:
            keeper.save(chi2, done, points)
            raise
        keeper.remove()
        return chi2

    def result(self, chi2: FloatArray) -> ScanResult:
        """The scan, once χ² of all blocks is there."""
        card, axes = self.card, [axis for some in self.axes for axis in some]
        grids = chi2.reshape(len(card.groups), *(axis.points for axis in axes))
        order = [axes.index(axis) for axis in card.axes]
        chi2_of = {name: grids[k].transpose(order) for k, name in enumerate(card.groups)}
        standard = _model_chi2(card, self.likelihood, card.base_model().standard)
        return ScanResult(card, self.likelihood, chi2_of, standard)


def _linear_scan(
    card: ScanCard, likelihood: Likelihood, fixed: Mapping[str, float], axes: Sequence[Axis], xp: Any
) -> Callable[[int, int], FloatArray]:
    """χ² (n_groups, n_points) of points [start, stop) of the grid of the linear axes, as a function of the two.

    ``fixed`` has the other axes. The grid itself is never in memory, only the block that is asked for.
    """
    ticks = [axis.values for axis in axes]
    at = _linear_chi2(card, likelihood, fixed, axes)

    def evaluate(start: int, stop: int) -> FloatArray:
        index = np.unravel_index(np.arange(start, stop), [axis.points for axis in axes]) if axes else ()
        values = {axis.key: xp.asarray(v[i]) for axis, v, i in zip(axes, ticks, index, strict=True)}
        return at(values, stop - start)

    return evaluate


def _linear_chi2(
    card: ScanCard, likelihood: Likelihood, fixed: Mapping[str, float], axes: Sequence[Axis]
) -> Callable[[Mapping[str, Any], int], FloatArray]:
    """χ² (n_groups, n) as a function of the values of linear axes, arrays of length n, and of n."""
    model = moved(card.base_model(), tied(fixed, card.ties))
    # the largest of each coupling: the predictor needs to know which are there, and their scale
    largest = {axis.key: np.array([axis.values[np.argmax(np.abs(axis.values))]]) for axis in axes}
    largest = tied(largest, card.ties)
    predictor = build_predictor(likelihood.observables, model, largest) if likelihood.groups else None
    invisible = SizeCurve(find_spectrum(card.data_set), model, largest) if K_INV in card.groups else None

    def evaluate(values: Mapping[str, Any], n: int) -> FloatArray:
        values = tied(values, card.ties)
        found = _group_chi2(likelihood, predictor(values)) if predictor is not None else {}
        if invisible is not None:
            found[K_INV] = invisible(values, n)
        chi2 = [found[name] for name in card.groups]
        return np.stack([value if isinstance(value, np.ndarray) else value.get() for value in chi2])

    return evaluate
