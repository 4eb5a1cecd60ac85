r"""Limits on a coupling from unbinned fits, by CL_s and by Feldman and Cousins, beside a mass and a width.

At fixed mass and width everything else that floats is profiled. The statistics are those of counts
(`statistics.limits`, `statistics.intervals`); only the deviance is another. Asimov's data of no coupling, of density
f_0, have the mean deviance

.. math:: D_A(g) = 2N\left\langle\frac{f_g}{f_0} - 1 - \ln\frac{f_g}{f_0}\right\rangle_0 ,

in which the first two terms cancel on average, so that each event adds a positive number and few of them say it well.
They are drawn without the coupling and with some, and weighted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from ...kinematics.base.cards import CardSource, shows_keys
from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...physics.axes import Axis, moved, read_axis
from ...physics.models import is_linear
from ..files.sample import EventSample, EventsLike
from ..statistics.intervals import accepted_pieces
from ..statistics.limits import FAR, Limit, Statistic, asymptotic_limit
from .amplitude import Array
from .card import FitCard
from .draws import draw, draw_events
from .fit import likelihood_of, minimum_from
from .likelihood import Likelihood

STEP = 0.5
"""Standard deviations, all else fixed, between couplings at which the deviance is looked at first."""
ASIMOV = 3_000
"""Events of each of the models that Asimov's data are made from: q of none to about 2 %, limits to half of that."""


@dataclass(frozen=True)
class FitLimit:
    """Limits on a coupling at one place.

    Attributes:
        coupling: its path.
        at: masses, widths and what else was fixed, by path.
        lower, upper: CL_s limits on couplings of either sign; None where the range of the field ends before.
        band_lower, band_upper: expected limits without the coupling at -2, -1, 0, 1, 2 σ.
        allowed: all intervals that CL_s allows, mirror solutions too.
        feldman_cousins: the same of Feldman and Cousins; None unless asked for.
        best: coupling of the lowest -2 ln L.
        times: the vector coupling of V to the channel's lepton, if it is one of g_bs: limits on the product are these
            times that.
    """

    coupling: str
    at: Mapping[str, float]
    lower: float | None
    upper: float | None
    band_lower: tuple[float | None, ...]
    band_upper: tuple[float | None, ...]
    allowed: tuple[tuple[float, float], ...]
    feldman_cousins: tuple[tuple[float, float], ...] | None
    best: float
    times: float | None


@dataclass(frozen=True, eq=False)
class FitLimits(Rows[FitLimit]):
    """Limits on a coupling from a fit, one row a place; ``level`` of confidence."""

    level: float


@shows_keys(FitCard)
def fit_limits(
    events: EventsLike,
    card: CardSource | FitCard,
    coupling: str,
    *,
    versus: Sequence[str | Axis] = (),
    level: float = 0.95,
    feldman_cousins: bool = False,
    toys: int = 100,
    seed: int = 1,
    threads: int | None = None,
    **keys: Any,
) -> FitLimits:
    """Limits on a coupling that floats in an unbinned fit, along masses, widths or both.

    Args:
        events: as of `fit`.
        card: as of `fit`; the coupling floats in it, in a range that holds zero and that is searched; so may others.
        coupling: its path, such as ``light_vectors.0.g_bs``.
        versus: at most two fields that are fixed at places, each an `Axis` or ``KEY,MIN,MAX,POINTS``.
        level: of confidence.
        feldman_cousins: whether to find that interval too, by toys.
        toys: of each coupling that is looked at for it.
        seed: of the random numbers of toys and of Asimov's data.
        threads: CPU threads; all without it.
        **keys: keys of a `FitCard` on top of the card.

    Raises:
        InputError: a coupling that does not float or is none, a mass or width that floats, rates that are not free.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> sample = generate("B+->K+mumu", model="sm", events=1000, seed=1, q2=[(1.1, 8.0)])
        >>> found = fit_limits(sample, {"model": "fig2", "float": {"light_vectors.0.g_bs": (-6e-8, 6e-8)}},
        ...                    "light_vectors.0.g_bs")
        >>> -6e-8 < found[0].lower < found[0].best < found[0].upper < 6e-8
        True
    """
    if not 0 < level < 1:
        raise InputError(f"level = {level:g}: needs a probability between 0 and 1, such as 0.95")
    if feldman_cousins and toys < 10:
        raise InputError(f"toys = {toys}: the Feldman-Cousins interval needs at least 10")
    axes = [read_axis(one, "versus") if isinstance(one, str) else one for one in versus]
    if len(axes) > 2 or len({axis.key for axis in axes}) < len(axes):
        raise InputError(f"versus = {', '.join(axis.key for axis in axes)}: at most two fields, each once")
    asked = FitCard.make(card, **keys)
    _check(asked, coupling, axes)
    cards, rows = [], []
    for values in itertools.product(*(axis.values.tolist() for axis in axes)):
        at = dict(zip((axis.key for axis in axes), values, strict=True))
        cards.append((at, fixed_at(asked, at)))
    like: Likelihood | None = None
    for at, one in cards:
        like = likelihood_of(events, one, threads, like=like)
        place = _Place(events, one, like, coupling, at, seed)
        rows.append(_limit(place, level, toys if feldman_cousins else 0))
    return FitLimits(tuple(rows), level)


def fixed_at(card: FitCard, at: Mapping[str, float]) -> FitCard:
    """The card with some fields of the model fixed.

    >>> card = FitCard.make(model="fig2", float={"light_vectors.0.mass": (1.5, 2.8), "heavy.C9_mu": (-1, 1)})
    >>> tuple(fixed_at(card, {"light_vectors.0.mass": 2.0}).free)
    ('heavy.C9_mu',)
    """
    free = {key: ends for key, ends in card.free.items() if key not in at}
    known = {key: one for key, one in card.constraints.items() if key in free}
    model = moved(card.base_model(), at)
    given = {name: getattr(card, name) for name in card.model_fields_set - {"model", "settings", "free", "constraints"}}
    return FitCard.make({**given, "model": model, "float": free, "constrain": known})


def _check(card: FitCard, coupling: str, axes: Sequence[Axis]) -> None:
    if coupling not in card.free:
        raise InputError(f"limit = {coupling!r}: it does not float; {nearest(coupling, card.free)}")
    ends = card.free[coupling]
    if not is_linear(coupling) or ends is None or not ends[0] <= 0.0 <= ends[1]:
        raise InputError(
            f"limit = {coupling!r}: needs a coupling with a range that holds zero, as {coupling},-6e-8,6e-8"
        )
    for key in card.free:
        if (
            key.rpartition(".")[0] == coupling.rpartition(".")[0]
            and not is_linear(key)
            and key not in {axis.key for axis in axes}
        ):
            raise InputError(
                f"limit: {key} means nothing without {coupling}; fix it along --versus {key},MIN,MAX,POINTS, or let it "
                "not float"
            )


@dataclass(frozen=True, eq=False)
class _Place:
    """A data set and its likelihood at one place of the fixed fields; what follows from it is made when asked for."""

    events: EventsLike
    card: FitCard
    cost: Likelihood
    coupling: str
    fixed: Mapping[str, float]
    seed: int

    @cached_property
    def index(self) -> int:
        """Of the coupling among the fields."""
        return self.cost.names.index(self.coupling)

    @property
    def range(self) -> tuple[float, float]:
        """Of the coupling."""
        one = self.cost.free[self.index]
        return one.low, one.high

    @cached_property
    def null(self) -> Array:
        """Best values without the coupling."""
        start = self.cost.start
        start[self.index] = 0.0
        return minimum_from(self.cost, start, [self.coupling])[1]

    def moved(self, g: float) -> Array:
        """The same with the coupling."""
        values = self.null.copy()
        values[self.index] = g
        return values

    @cached_property
    def asimov(self) -> Asimov:
        """Asimov's data of no coupling."""
        share = ASIMOV / sum(part.events for part in self.cost.parts)
        places = [self.null, *(self.moved(self._seen(end)) for end in self.range if end != 0.0)]
        samples: list[EventSample] = []
        for i, values in enumerate(places):
            samples += draw_events(self.events, self.card, self.cost, values.tolist(), 1, self.seed + i, share)
        whole = EventSample(EventSample.concatenate(samples).columns, samples[0].provenance)
        joined = likelihood_of(whole, self.card, self.cost.threads, like=self.cost)
        return Asimov(joined, [values.tolist() for values in places], share)

    def _seen(self, end: float) -> float:
        """A coupling on the way to an end that would be seen, by three standard deviations, or the end."""
        g, lowest = 1e-4 * end, self.cost(*self.null)
        while abs(g) < abs(end):
            value = self.cost(*self.moved(g))
            if value > lowest + 9.0:
                return g
            lowest, g = min(lowest, value), 1.5 * g
        return end

    def profile(self) -> Profiled:
        """Deviances of both, the data first."""
        return Profiled((self.cost, self.asimov), self.index, [self.coupling], self.null)

    def path(self, sets: Profiled, end: float) -> Array:
        """Sizes of couplings from zero to an end, `STEP` σ apart and more where nothing is allowed from `FAR` σ on."""
        points, lowest, sign = [0.0], [math.inf, math.inf], math.copysign(1.0, end)
        while points[-1] < abs(end):
            here = [sets.value(k, sign * points[-1]) for k in (0, 1)]
            lowest = [min(x, y) for x, y in zip(here, lowest, strict=True)]
            away = math.sqrt(min(max(x - y, 0.0) for x, y in zip(here, lowest, strict=True)))
            points.append(self._next(points[-1], max(STEP, 0.5 * (away - FAR)), end))
        return np.array(points)

    def _next(self, g: float, step: float, end: float) -> float:
        """Where the density has moved by a step."""
        sign, last = math.copysign(1.0, end), abs(end)

        def short(x: float) -> float:
            return self.asimov.distance(self.index, sign * g, sign * x) - step

        high = g + 1e-3 * last
        while short(min(high, last)) < 0.0:
            if high >= last:
                return last
            high = g + 2.0 * (high - g)
        low = g
        return float(optimize.brentq(short, low, min(high, last), rtol=1e-3, xtol=1e-6 * last))


class Asimov:
    """The mean deviance of data of the first of some values, from events of all of them; of no more than shapes.

    Its gradient follows from the scores of the events; what is known of fields is measured at those values.
    """

    def __init__(self, drawn: Likelihood, places: Sequence[Sequence[float]], share: float) -> None:
        self.drawn, self.names, self.free = drawn, drawn.names, drawn.free
        found = []
        for values in places:
            densities, rates = drawn.densities(values)
            found.append(densities / rates)
        self.null = found[0]
        self.weights = self.null / np.sum(found, axis=0) / share
        self._first = tuple(places[0])
        self._parts: dict[int, tuple[Array, Array]] = {}

    def __call__(self, *values: float) -> float:
        """Deviance at values."""
        ratio = self._ratio(values)
        with np.errstate(divide="ignore"):
            found = float(2.0 * self.weights @ (ratio - 1.0 - np.log(ratio)))
        return found + sum(pull**2 for pull, _ in self._pulls(values).values())

    def gradient(self, *values: float) -> Array:
        """Its derivatives."""
        found = 2.0 * self.drawn.weighted(values, self.weights * (self._ratio(values) - 1.0))
        for i, (pull, error) in self._pulls(values).items():
            found[i] += 2.0 * pull / error
        return np.asarray(found)

    def information(self, values: Sequence[float]) -> Array:
        """About how it bends."""
        scores = np.nan_to_num(self.drawn.scores(values, nuisances=False))
        found = 2.0 * (scores.T * self.weights) @ scores
        for i, (_, error) in self._pulls(values).items():
            found[i, i] += 2.0 / error**2
        return np.asarray(found)

    def _ratio(self, values: Sequence[float]) -> Array:
        densities, rates = self.drawn.densities(values)
        return np.maximum(densities / rates / self.null, 1e-300)

    def _pulls(self, values: Sequence[float]) -> dict[int, tuple[float, float]]:
        known = ((self.names.index(name), error) for name, (_, error) in self.drawn.constraints.items())
        return {i: ((values[i] - self._first[i]) / error, error) for i, error in known}

    def distance(self, i: int, one: float, other: float) -> float:
        """Standard deviations between two values of a coupling, all else as at the first: 2√n has unit variance."""
        if i not in self._parts:
            unit = 0.5 * (self.free[i].high - self.free[i].low)
            rows = []
            for g in (0.0, unit, -unit):
                rows.append(self.drawn.densities([*self._first[:i], g, *self._first[i + 1 :]]))
            at_zero, up, down = (np.stack(row) for row in rows)
            self._parts[i] = (
                np.stack([at_zero, (up - down) / (2.0 * unit), (0.5 * (up + down) - at_zero) / unit**2]),
                self.null,
            )
        terms, null = self._parts[i]
        roots = []
        for g in (one, other):
            densities, rates = terms[0] + g * (terms[1] + g * terms[2])
            roots.append(np.sqrt(np.maximum(densities / rates / null, 0.0)))
        return float(2.0 * np.sqrt(self.weights @ (roots[0] - roots[1]) ** 2))


class Profiled:
    """Deviances of several data sets along a coupling, all else profiled, as `statistics.limits.Deviances`.

    Data sets are rows of ``counts``, of one number each: their place in ``sets``. A search starts at what was found at
    the nearest couplings on either side, and at the values without any.
    """

    def __init__(self, sets: Sequence[Any], index: int, fixed: Sequence[str], start: Array, sign: float = 1.0) -> None:
        self.sets, self.index, self.fixed, self.start, self.sign = tuple(sets), index, tuple(fixed), start, sign
        self.known: list[dict[float, tuple[float, Array]]] = [{} for _ in self.sets]

    def turned(self, sign: float) -> Profiled:
        """The same for couplings of a sign, with what is known."""
        found = Profiled(self.sets, self.index, self.fixed, self.start, sign)
        found.known = self.known
        return found

    def value(self, k: int, g: float) -> float:
        """Deviance of a data set at a coupling, with its sign."""
        return self.best(k, g)[0]

    def best(self, k: int, g: float) -> tuple[float, Array]:
        """The same, and the values."""
        known = self.known[k]
        if g not in known:
            near = sorted(known, key=lambda x: abs(x - g))[: 2 if k == 0 else 1]
            starts = [known[x][1] for x in near] or [self.start]
            trials = []
            for start in starts if len(self.fixed) < len(self.start) else starts[:1]:
                start = start.copy()
                start[self.index] = g
                trials.append(minimum_from(self.sets[k], start, self.fixed))
            known[g] = min(trials, key=lambda pair: pair[0])
        return known[g]

    def deviance(self, g: npt.ArrayLike, counts: Any, auxiliary: Any) -> Array:
        """Deviance, (data sets, couplings)."""
        places = self.sign * np.atleast_1d(np.asarray(g, dtype=float))
        return np.array([[self.value(int(k), x) for x in places.tolist()] for k in counts[:, 0]])

    def deviance_of_rows(self, g: Any, counts: Any, auxiliary: Any) -> Array:
        """The same where every data set has its own coupling."""
        pairs = zip(counts[:, 0], np.asarray(g).tolist(), strict=True)
        return np.array([self.value(int(k), self.sign * x) for k, x in pairs])

    @staticmethod
    def put(values: Any, like: Any) -> Array:
        """Numbers as an array."""
        return np.asarray(values, dtype=float)


def _limit(place: _Place, level: float, toys: int) -> FitLimit:
    """Limits of both signs at a place."""
    sets, found, paths = place.profile(), {}, []
    for end in place.range:
        if end == 0.0:
            continue
        sign = math.copysign(1.0, end)
        grid = place.path(sets, end)
        paths.append(sign * grid)
        rows = np.array([[0.0], [1.0]])
        found[sign] = asymptotic_limit(Statistic(sets.turned(sign), grid, rows, np.empty((2, 0))), level)
    allowed = [sorted((sign * a, sign * b)) for sign, one in found.items() for a, b in one.intervals]
    grid = np.unique(np.concatenate(paths))
    seen = [sets.value(0, g) for g in grid.tolist()]
    part, _, word = place.coupling.rpartition(".")
    mediator = place.cost.model(place.null.tolist()).mediators.get(part)
    lepton = place.cost.parts[0].amplitude.channel.lepton
    return FitLimit(
        place.coupling,
        dict(place.fixed),
        _end(found.get(-1.0), -1.0),
        _end(found.get(1.0), 1.0),
        _band(found.get(-1.0), -1.0),
        _band(found.get(1.0), 1.0),
        tuple((a, b) for a, b in sorted(allowed)),
        _feldman_cousins(place, sets, grid, level, toys) if toys else None,
        float(grid[int(np.argmin(seen))]),
        getattr(mediator, f"g_{lepton}_v", None) if word.startswith("g_bs") else None,
    )


def _end(found: Limit | None, sign: float) -> float | None:
    return sign * found.value if found is not None and math.isfinite(found.value) else None


def _band(found: Limit | None, sign: float) -> tuple[float | None, ...]:
    return tuple(sign * x if math.isfinite(x) else None for x in found.band) if found is not None else ()


def _feldman_cousins(
    place: _Place, sets: Profiled, grid: Array, level: float, toys: int
) -> tuple[tuple[float, float], ...]:
    """Interval with likelihood-ratio ordering: t of the data below its quantile in toys of each coupling."""
    observed = Statistic(sets, grid, np.array([[0.0]]), np.empty((1, 0)))
    near = np.flatnonzero(observed.ratio_along[0] < stats.chi2.isf(1e-3 * (1.0 - level), 1))
    points = grid[sorted({*near[::2].tolist(), *near[:1].tolist(), *near[-1:].tolist()})]
    low, high = place.range

    def accepted(g: float) -> bool:
        truth = sets.best(0, g)[1]
        drawn = draw(place.events, place.card, place.cost, truth.tolist(), toys, place.seed + 10)
        ratios = np.sort([_ratio(one, truth, place) for one in drawn])
        critical = ratios[min(math.ceil(level * toys) - 1, toys - 1)]
        return bool(observed.ratio(g)[0] <= critical + 1e-6)

    best = float(grid[int(np.argmin(observed.ratio_along[0]))])
    pieces = accepted_pieces(accepted, points, best, max(int(math.log2(toys) / 2), 1), high)
    return tuple((low if a <= low else a, min(b, high)) for a, b in pieces)


def _ratio(drawn: Likelihood, truth: Array, place: _Place) -> float:
    """-2 ln of the likelihood of a toy at the true coupling over that at its best."""
    held, values = minimum_from(drawn, truth, [place.coupling])
    starts = []
    for g in (truth[place.index], -truth[place.index]):
        start = values.copy()
        start[place.index] = np.clip(g, *place.range)
        starts.append(start)
    free = [minimum_from(drawn, start, [])[0] for start in starts]
    return max(held - min(free), 0.0)
