r"""-2 ln L of events, with its gradient, as a function of any fields of a model.

.. math:: -2\ln L = -2\sum_e \ln\frac{v^\dagger M_e v}{\Gamma} + \sum_i \frac{(x_i-\mu_i)^2}{\sigma_i^2}

with Γ the rate, behind the efficiency, of all that is normalised together: both flavours of a channel, and with
``rates = "common"`` all channels, so that ratios of their numbers of events, such as R_K, count too. Where the number N
of B mesons of each charge is known, the likelihood is extended instead: 2 μ in place of the denominators, μ = N τ Γ/2
for each flavour. Couplings, masses, widths and phases enter v alone, see `amplitude`. The efficiency at an event does
not depend on them, so that it drops out of the sum; with `backgrounds` it does not, and is part of the matrices.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ...kinematics.base.arrays import array_library
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import readable_size
from ...kinematics.base.portions import Portions
from ...kinematics.base.threads import split_work
from ...physics.axes import moved
from ...physics.models import Model, is_linear
from ...physics.nuisances import Nuisances
from ...physics.parameters import load_parameters
from .amplitude import Amplitude, Array, ComplexArray, Point, Steps, unpacked
from .backgrounds import PREFIX, Below
from .loops import BLOCK, log_densities
from .loops_gpu import PORTION
from .loops_gpu import log_densities as log_densities_there
from .mass import MASS, Masses
from .nuisances import PREFIX as NUISANCES
from .nuisances import Moving, theta_of
from .rates import Rate
from .smeared import SmearedEvents

Rates = Literal["free", "common"]
WORTH_THREADS = 8
"""Blocks of events, a millisecond's work, from which on threads are started."""
FEWEST = 1 << 10
"""A GPU that does not hold as many events is not used."""
SOME = 500
"""Events of a channel and flavour whose scores tell a minimiser how far to go."""
_HESSIAN_STEP = 0.03  # of an error where all else is known
_STEP = 1e-3  # relative, of differences by a field: exact for couplings, and to 1e-12 for others with five points
_CENTRAL: tuple[tuple[float, float], ...] = ((1.0, 0.5), (-1.0, -0.5))
_FIVE: tuple[tuple[float, float], ...] = ((-2.0, 1 / 12), (-1.0, -8 / 12), (1.0, 8 / 12), (2.0, -1 / 12))


@dataclass(frozen=True)
class Free:
    """A field of the model that floats: its path, range, and where the search starts."""

    path: str
    low: float
    high: float
    start: float

    def steps(self, value: float) -> list[tuple[float, float]]:
        """Places for a derivative at a value, and their weights."""
        if is_linear(self.path):
            size, steps = self.high - self.low, _CENTRAL
        elif self.low >= 0.0:  # a mass or a width, which stays positive
            size, steps = max(abs(value), 1e-6 * self.high), _FIVE
        else:  # a phase
            size, steps = min(self.high - self.low, 1.0), _FIVE
        return [(value + step * _STEP * size, weight / (_STEP * size)) for step, weight in steps]


@dataclass(frozen=True, eq=False)
class Part:
    """Events of one channel and flavour: their q2 (GeV²) and matrices, and the rate that they come from.

    With backgrounds, ``below``, the matrices include the efficiency. With a resolution q2 is the reconstructed one, and
    ``smeared`` stands for the matrices, the efficiency in it. ``mass`` has the masses of the B, if these are fitted.
    """

    channel: str
    amplitude: Amplitude
    rate: Rate
    q2: Array
    forms: Array
    below: tuple[Below, ...] = ()
    moving: Moving | None = None
    smeared: SmearedEvents | None = None
    mass: Masses | None = None

    def at(self, theta: Array, threads: int | None) -> Part:
        """The same at values of the nuisances, see `nuisances`."""
        if self.moving is None:
            return self
        return replace(self, rate=self.moving.shapes.at(theta), forms=self.moving.forms(theta, threads))

    def first(self, events: int) -> Part:
        """The first events."""
        return replace(
            self,
            q2=self.q2[:events],
            forms=self.forms[:events],
            below=tuple(replace(one, rest=one.rest[:events]) for one in self.below),
            moving=None if self.moving is None else self.moving.first(events),
            smeared=None if self.smeared is None else self.smeared.first(events),
            mass=None if self.mass is None else self.mass.first(events),
        )

    @property
    def per_b_meson(self) -> float:
        """Events of this flavour for a rate of 1 GeV and a B meson of each charge, half of them conjugates."""
        channel = self.amplitude.channel
        tau = load_parameters(self.amplitude.theory.inputs)[f"tau_{channel.parent}"]
        return 0.5 * tau * channel.branching

    @property
    def events(self) -> int:
        """Their number."""
        return len(self.q2)


@dataclass(frozen=True)
class _Place:
    """-2 ln L at values, and G of its change with the points of amplitudes, unless it is infinite or not asked."""

    values: tuple[float, ...]
    value: float
    slopes: Mapping[Amplitude, ComplexArray]
    direct: Mapping[str, float] = field(default_factory=dict)  # derivatives by what is in no amplitude, by path


class Likelihood:
    """-2 ln L of parts of a sample as a function of free fields; for iminuit, zfit or SciPy.

    Call it with the values, one argument each; `gradient` has the derivatives. ``errordef`` is one, ``names`` are the
    paths. Values that make no model are infinitely unlikely.
    """

    errordef = 1.0

    def __init__(
        self,
        base: Model,
        free: Sequence[Free],
        parts: Sequence[Part],
        *,
        rates: Rates = "free",
        b_mesons: float | None = None,
        constraints: Mapping[str, tuple[float, float]] | None = None,
        nuisances: Nuisances | None = None,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.base, self.free, self.parts, self.threads = base, tuple(free), tuple(parts), threads
        self.names = tuple(one.path for one in free)
        self.constraints = dict(constraints or {})
        groups: dict[str, list[Part]] = {}
        for part in parts:
            groups.setdefault(part.channel if rates == "free" else "all", []).append(part)
        self.groups = tuple(tuple(group) for group in groups.values())
        self.rates, self.b_mesons, self.nuisances = rates, b_mesons, nuisances
        xp = array_library(device)
        for part in parts if xp is not np else ():
            beside = (part.below, "backgrounds"), (nuisances, "nuisances"), (part.smeared, "a resolution")
            for words in (name for one, name in (*beside, (part.mass, "a mass of the B")) if one):
                raise InputError(f"device = {device!r}: densities with {words} are summed on the CPU alone")
        self._library, self._portions = xp, Portions("events", PORTION, FEWEST)
        self._there = _on_device(self.parts, xp)
        self._settled = self.model(self.start.tolist())
        self._last: _Place | None = None
        self._few: Likelihood | None = None
        self._there_groups: tuple[tuple[float, ...], tuple[tuple[Part, ...], ...]] | None = None

    @property
    def start(self) -> Array:
        """Values that the search starts from."""
        return np.array([one.start for one in self.free])

    def __call__(self, *values: float) -> float:
        """-2 ln L at the values."""
        return self._at(values, change=False).value

    def gradient(self, *values: float) -> Array:
        """Derivatives of -2 ln L by the values."""
        place = self._at(values, change=True)
        if not place.slopes:
            return np.zeros(len(values))
        steps, found = self.slopes(values), np.zeros(len(values))
        for one, g in place.slopes.items():
            found += (steps[one] @ g).real
        for i, name in enumerate(self.names):
            found[i] += place.direct.get(name, 0.0)
        for name, (mean, error) in self.constraints.items():
            i = self.names.index(name)
            found[i] += 2.0 * (values[i] - mean) / error**2
        return found

    def curvature(self, *values: float) -> Array:
        """Second derivatives of -2 ln L by the values, from differences of the gradient within the ranges.

        The steps are of a fraction of an error, as the scores of some of the events tell it.
        """
        size = np.sqrt(np.diagonal(self.information(values)))
        found = np.empty((len(values), len(values)))
        for i, free in enumerate(self.free):
            step = min(_HESSIAN_STEP / max(size[i], 1e-300), 1e-2 * (free.high - free.low))
            low, high = max(values[i] - step, free.low), min(values[i] + step, free.high)
            ends = [self.gradient(*values[:i], place, *values[i + 1 :]) for place in (low, high)]
            found[i] = (ends[1] - ends[0]) / (high - low)
        return np.asarray(0.5 * (found + found.T))

    def _at(self, values: Sequence[float], change: bool) -> _Place:
        """What was found at values, with its change if that is asked; the last place is kept."""
        key = tuple(map(float, values))
        last = self._last
        if last is None or last.values != key or (change and not last.slopes and math.isfinite(last.value)):
            self._last = last = self._evaluated(key, change or bool(self._there))
        return last

    def _evaluated(self, values: tuple[float, ...], change: bool) -> _Place:
        try:
            model = self._near(values)
            points = {part.amplitude: part.amplitude.point(model, self._more(values)) for part in self.parts}
        except InputError:
            return _Place(values, float("inf"), {})
        if any(np.any(point.poles.imag >= 0.0) for point in points.values()):  # a width that is none
            return _Place(values, float("inf"), {})
        total, slopes = 0.0, {}
        direct: dict[str, float] = {}
        for group in self._groups(values):
            rates = {part: part.rate.value(points[part.amplitude]) for part in group}
            rate, number = sum(value for value, _ in rates.values()), float(sum(part.events for part in group))
            signal = self.signal(group[0], values)
            if not (rate > 0 and signal > 0):
                return _Place(values, float("inf"), {})
            total += 2.0 * number * math.log(rate) if self.b_mesons is None and not group[0].below else 0.0
            found = {
                part: self._logarithms(part, points[part.amplitude], signal / rate, values, change) for part in group
            }
            if group[0].below and change:  # events that are signal, by their densities
                waves = {part: points[part.amplitude].waves for part in group}
                number = sum(
                    2.0 * float(waves[part] @ g[-len(waves[part]) :].real) for part, (_, g, _) in found.items()
                )
            for part, (logarithms, g, more) in found.items():
                value, of_rate = rates[part]
                scale = number / rate if self.b_mesons is None else self.b_mesons * part.per_b_meson
                total += (0.0 if self.b_mesons is None else 2.0 * scale * value) - 2.0 * logarithms
                if not change:
                    continue
                slopes[part.amplitude] = 4.0 * scale * of_rate - 4.0 * g
                background = signal / rate, self._below(part, values)[0]
                for path, slope in self._of_nuisances(part, points[part.amplitude], scale, background, values):
                    direct[path] = direct.get(path, 0.0) + slope
                for path, change_of_logarithms in more.items():
                    direct[path] = direct.get(path, 0.0) - 2.0 * change_of_logarithms
            for one in group[0].below if change else ():
                path = one.component.paths[0]
                direct[path] += 2.0 * number / signal
        if not math.isfinite(total):
            return _Place(values, float("inf"), {})
        pulls = ((values[self.names.index(name)] - mean) / error for name, (mean, error) in self.constraints.items())
        return _Place(values, total + sum(pull**2 for pull in pulls), slopes, direct)

    def _logarithms(
        self, part: Part, point: Point, factor: float = 1.0, values: Sequence[float] = (), change: bool = True
    ) -> tuple[float, ComplexArray, dict[str, float]]:
        """Sum of the logarithms of a part's densities, G of its change, and derivatives by fields of shapes.

        ``factor`` is that of the signal, of use where there is a background. G is empty unless ``change`` is asked.
        """
        if part in self._there:
            return (*log_densities_there(*self._there[part], point, self._library, self._portions), {})
        below, by_field = self._below(part, values)
        total, g, inverse = self._summed(part, point, factor, below, change)
        by_path = {path: float(inverse @ column) for path, column in by_field.items()}
        if part.mass is not None:
            logarithm, slopes = part.mass.signal(self._more(values))
            total += float(logarithm.sum())
            share = 1.0 - below * inverse if part.below else np.ones(part.events)  # of signal
            by_path |= {path: float(share @ column) for path, column in slopes.items()}
        return total, g, by_path

    def _summed(
        self, part: Part, point: Point, factor: float, below: Array, change: bool
    ) -> tuple[float, ComplexArray, Array]:
        """Sum of ln(factor D + below) of a part's events, G of its change, and one over these sums."""
        if part.smeared is not None:
            return part.smeared.logarithms(point, factor, below, change)
        blocks = -(-len(part.q2) // BLOCK)
        sums, gradients = np.zeros(blocks), np.zeros((blocks if change else 0, len(point.flat()), 2))
        constants, residues, poles = (_pairs(x) for x in (point.constants, point.residues, point.poles))
        inverse = np.zeros(len(below))

        def work(low: int, high: int) -> None:
            here = constants, residues, poles, factor, below, low, sums[low:high], gradients[low:high], inverse
            log_densities(part.q2, part.forms, point.waves, *here)

        split_work(work, blocks, self.threads if blocks >= WORTH_THREADS else 1)
        whole = gradients.sum(axis=0)
        return float(sums.sum()), np.asarray(whole[:, 0] + 1j * whole[:, 1]), inverse

    def _groups(self, values: Sequence[float]) -> tuple[tuple[Part, ...], ...]:
        """The groups at values of the nuisances; the last ones are kept."""
        if self.nuisances is None:
            return self.groups
        theta = theta_of(self.names, values)
        key = tuple(theta.tolist())
        if self._there_groups is None or self._there_groups[0] != key:
            self._there_groups = (
                key,
                tuple(tuple(part.at(theta, self.threads) for part in group) for group in self.groups),
            )
        return self._there_groups[1]

    def parts_at(self, values: Sequence[float], channel: str) -> list[Part]:
        """Parts of a channel, at values of the nuisances."""
        return [part for group in self._groups(values) for part in group if part.channel == channel]

    def _of_nuisances(
        self, part: Part, point: Point, scale: float, background: tuple[float, Array], values: Sequence[float]
    ) -> list[tuple[str, float]]:
        """Derivatives of a part's -2 ln L by nuisances, by path, where 2 ``scale`` is that by its rate."""
        if part.moving is None:
            return []
        theta = theta_of(self.names, values)
        found = part.moving.slopes(theta, point, part.forms, 2.0 * scale, background, self.threads)
        paths = [name for name in self.names if name.startswith(NUISANCES)]
        return list(zip(paths, found.tolist(), strict=True))

    def _below(self, part: Part, values: Sequence[float]) -> tuple[Array, dict[str, Array]]:
        """Densities (with a mass of the B over its S, see `mass`) of a part's backgrounds, and derivatives by path."""
        if not part.below:
            return np.empty(0), {}
        total = np.zeros(part.events)
        by_field: dict[str, Array] = {}
        for one in part.below:
            more, rest = self._more(values), one.rest
            fraction, slope = one.component.at(more)
            density, change = one.component.shape(part.q2, slope)
            if part.mass is not None:
                rest, by_slope = rest * part.mass.ratio(one.component.b_mass_slope_at(more), more)
                by_field[one.component.paths[2]] = fraction * density * by_slope
            total += fraction * density * rest
            by_field |= dict(zip(one.component.paths, (density * rest, fraction * change * rest), strict=False))
        return total, by_field

    def spectrum(self, channel: str, pieces: Sequence[tuple[float, float]], values: Sequence[float]) -> Array:
        """Shares of a channel's events in ranges of q2 (GeV²) that cover all of it, backgrounds included."""
        parts = self.parts_at(values, channel)
        signal = np.sum([part.rate.spectrum(self.point(part, values), pieces) for part in parts], axis=0)
        found = self.signal(parts[0], values) * signal / signal.sum()
        for one in parts[0].below:
            fraction, slope = one.component.at(self._more(values))
            found = found + fraction * one.component.shares(pieces, slope)
        return np.asarray(found)

    def model(self, values: Sequence[float]) -> Model:
        """The model at values of the free fields, with flavio's parameters where nuisances have moved.

        Raises:
            InputError: values that make no model.
        """
        found = moved(self.base, dict(self._of_model(values)))
        theta = theta_of(self.names, values)
        if self.nuisances is None or not theta.any():
            return found
        theory = found.theory.changed({"parameters": self.nuisances.values(theta)})
        return found.model_copy(update={"theory": theory})

    def _of_model(self, values: Sequence[float]) -> list[tuple[str, float]]:
        """Values by path of the fields that the model has."""
        return [(path, value) for path, value in zip(self.names, values, strict=True) if not _is_other(path)]

    def _more(self, values: Sequence[float]) -> dict[str, float]:
        """Values by path of all others."""
        return {path: value for path, value in zip(self.names, values, strict=True) if _is_other(path)}

    def point(self, part: Part, values: Sequence[float]) -> Point:
        """The point of a part's amplitude at values of the free fields."""
        return part.amplitude.point(self._near(values), self._more(values))

    def _near(self, values: Sequence[float]) -> Model:
        """The same within the ranges, which were checked, twenty times as fast."""
        changes = dict(self._of_model(values))
        slow = {path: value for path, value in changes.items() if path.startswith("theory.")}
        model = moved(self._settled, slow) if slow else self._settled
        update: dict[str, Any] = {}
        for path, value in changes.items():
            name, _, rest = path.partition(".")
            place, _, word = rest.rpartition(".")
            if path in slow:
                continue
            found = update.get(name, getattr(model, name))
            if place:
                several = list(found)
                several[int(place)] = several[int(place)].model_copy(update={word: value})
                update[name] = tuple(several)
            else:
                update[name] = found.model_copy(update={word: value})
        return model.model_copy(update=update)

    def slopes(self, values: Sequence[float]) -> dict[Amplitude, ComplexArray]:
        """Derivatives of the point of every amplitude by the values, (values, numbers of the point).

        Amplitudes are linear in couplings, so that differences are exact; other fields take five points.
        """
        amplitudes = [part.amplitude for part in self.parts]
        here, more = self._near(values), self._more(values)
        found = {one: np.zeros((len(values), len(one.point(here, more).flat())), dtype=complex) for one in amplitudes}
        fields: dict[int, tuple[str, Steps]] = {}
        for i, free in enumerate(self.free):
            steps = free.steps(values[i])
            if free.path.startswith((PREFIX, MASS, NUISANCES)):  # in no amplitude
                continue
            if free.path.startswith("theory."):
                models = [(self._near([*values[:i], place, *values[i + 1 :]]), weight) for place, weight in steps]
                for one in amplitudes:
                    found[one][i] = sum(weight * one.point(model, more).flat() for model, weight in models)
            elif _is_other(free.path):  # of the waves alone
                for one in amplitudes:
                    waves = sum(weight * one.waves({**more, free.path: place}) for place, weight in steps)
                    found[one][i, -len(one.waves(more)) :] = waves
            else:
                name, _, word = free.path.rpartition(".")
                part = here.new_physics[name]
                fields[i] = name, [(part.model_copy(update={word: place}), weight) for place, weight in steps]
        for one in amplitudes if fields else ():
            found[one][list(fields)] = one.slopes(here, list(fields.values()))
        return found

    def densities(self, values: Sequence[float]) -> tuple[Array, Array]:
        """Density of every event and the rate (GeV) that it is normalised with, (events,), as in `scores`.

        In 1/GeV, to one power more with each of a Kπ mass and a mass of the B. An efficiency at the event, which drops
        out of ratios, and the number of B mesons are not in them; backgrounds are, and then the efficiency.
        """
        found, norms = [], []
        for group in self._groups(values):
            points = {part: self.point(part, values) for part in group}
            rate = sum(part.rate.value(point)[0] for part, point in points.items())
            for part, point in points.items():
                density = _density(part, point)
                if part.below:
                    density = self.signal(part, values) * density + rate * self._below(part, values)[0]
                if part.mass is not None:
                    density = density * np.exp(part.mass.signal(self._more(values))[0])
                found.append(density)
                norms.append(np.full(part.events, rate))
        return np.concatenate(found), np.concatenate(norms)

    def scores(self, values: Sequence[float], nuisances: bool = True) -> Array:
        """d ln(density/rate)/d value of every event, (events, values): their squares' sum is Fisher's information.

        Those by nuisances take differences, a second or more; they are zero without ``nuisances``.
        """
        steps, rows = self.slopes(values), []
        for group in self._groups(values):
            points = {part: self.point(part, values) for part in group}
            rates = {part: part.rate.value(points[part]) for part in group}
            total = sum(value for value, _ in rates.values())
            slope = sum(2.0 * (steps[part.amplitude] @ g).real for part, (_, g) in rates.items()) / total
            for part in group:
                point, n = points[part], part.amplitude.size
                if part.smeared is not None:
                    density = _density(part, point)
                    changes = [part.smeared.densities(point, step) for step in steps[part.amplitude]]
                    score = np.stack(changes, axis=1) / density[:, None] - slope
                    rows.append(self._with_shapes(part, values, score, density / total))
                    continue
                v, wave = point.at(part.q2), 1.0 / (part.q2 - point.poles[:, None])
                each = np.einsum("ewab,be->wae", unpacked(part.forms, n), v)
                densities = np.einsum("ae,wae->we", v.conj(), each).real
                beside = np.tensordot(point.waves, each, axes=1)
                density = point.waves @ densities
                by_t = beside.conj()[:, None] * wave
                by_z = np.sum(point.residues[:, :, None] * by_t, axis=0) * wave
                by_t = by_t.reshape(math.prod(by_t.shape[:-1]), part.events)
                g = np.concatenate([beside.conj(), by_t, by_z, 0.5 * densities])
                score = (2.0 * (steps[part.amplitude] @ g).real / density).T - slope
                rows.append(self._with_shapes(part, values, score, density / total))
        found = np.concatenate(rows)
        for i, path in enumerate(self.names):  # matrices are of second degree in nuisances, of fourth with charm
            if nuisances and path.startswith(NUISANCES):
                for step, weight in _FIVE:
                    there = [*values[:i], values[i] + 0.1 * step, *values[i + 1 :]]
                    densities, norms = self.densities(there)
                    found[:, i] += weight / 0.1 * np.log(densities / norms)
        return found

    def weighted(self, values: Sequence[float], weights: Array) -> Array:
        """Derivatives by the values of the sum of ln(density/rate) of events with weights; those by nuisances exact."""
        found = weights @ self.scores(values, nuisances=False)
        groups = self._groups(values) if self.nuisances is not None else ()
        first = 0
        for group in groups:
            points = {part: self.point(part, values) for part in group}
            rate = sum(part.rate.value(point)[0] for part, point in points.items())
            shares, of_rate = {}, 0.0
            for part, point in points.items():
                density, signal = _density(part, point), self.signal(part, values)
                whole = signal * density + (rate * self._below(part, values)[0] if part.below else 0.0)
                share = weights[first : first + part.events] * signal / whole
                of_rate += 2.0 * float(share @ density) / rate
                with np.errstate(divide="ignore"):  # what is added to a density so that one over it is the share
                    shares[part] = 1.0 / share - density
                first += part.events
            for part, point in points.items():
                for path, slope in self._of_nuisances(part, point, 0.5 * of_rate, (1.0, shares[part]), values):
                    found[self.names.index(path)] -= 0.5 * slope
        return np.asarray(found)

    def signal(self, part: Part, values: Sequence[float]) -> float:
        """Share of signal of a part's events."""
        return 1.0 - sum(one.component.at(self._more(values))[0] for one in part.below)

    def _with_shapes(self, part: Part, values: Sequence[float], score: Array, density: Array) -> Array:
        """Scores of events with backgrounds and a mass of the B from those of the signal and its normalised density."""
        slopes = {} if part.mass is None else part.mass.signal(self._more(values))[1]
        for path in slopes.keys() & self.names:
            score[:, self.names.index(path)] += slopes[path]
        if not part.below:
            return score
        below, by_field = self._below(part, values)
        signal = self.signal(part, values)
        whole = signal * density + below
        found = score * (signal * density / whole)[:, None]
        for i, path in enumerate(self.names):
            if path in by_field:
                found[:, i] += (by_field[path] - (density if path.endswith(".fraction") else 0.0)) / whole
        return found

    def information(self, values: Sequence[float]) -> Array:
        """About how -2 ln L bends: by Fisher's information in some of the events for all of them, and constraints."""
        few = self._few = self._few or self.first(SOME)
        scale = sum(part.events for part in self.parts) / sum(part.events for part in few.parts)
        scores = np.nan_to_num(few.scores(values, nuisances=False))
        known = [self.constraints.get(name, (0.0, math.inf))[1] for name in self.names]
        return np.asarray(2.0 * scale * scores.T @ scores + np.diag(2.0 / np.square(known)))

    def first(self, events: int) -> Likelihood:
        """The same of the first events of every part: for a quick look."""
        return self._other(self.base, [part.first(events) for part in self.parts])

    def at(self, base: Model) -> Likelihood:
        """The same of another model with the same shifts, such as another mass of a mediator that does not float."""
        return self._other(base, self.parts)

    def _other(self, base: Model, parts: Sequence[Part]) -> Likelihood:
        return Likelihood(
            base,
            self.free,
            parts,
            rates=self.rates,
            b_mesons=self.b_mesons,
            constraints=self.constraints,
            nuisances=self.nuisances,
            threads=self.threads,
        )


def _density(part: Part, point: Point) -> Array:
    """Densities of the signal at a part's events."""
    if part.smeared is not None:
        return part.smeared.densities(point)
    v, forms = point.at(part.q2), np.tensordot(part.forms, point.waves, axes=(1, 0))
    return np.asarray(np.einsum("ae,eab,be->e", v.conj(), unpacked(forms, len(v)), v).real)


def _on_device(parts: Sequence[Part], xp: Any) -> dict[Part, tuple[Any, Any]]:
    """q2 and matrices of parts on the device of an array library, none for NumPy; here where they do not fit."""
    if xp is np:
        return {}
    try:
        return {part: (xp.asarray(part.q2), xp.asarray(_columns(part.forms))) for part in parts}
    except MemoryError:
        size = readable_size(sum(part.q2.nbytes + part.forms.nbytes for part in parts))
        warnings.warn(
            f"the memory of the GPU does not hold the {size} of these events; every step of the fit copies them",
            RuntimeWarning,
            stacklevel=4,
        )
        return {part: (part.q2, _columns(part.forms)) for part in parts}


def _columns(rows: Array) -> Array:
    """Numbers of one event turned to contiguous columns of all events."""
    return np.ascontiguousarray(np.moveaxis(rows, 0, -1))


def _is_other(path: str) -> bool:
    """Whether a path is of a Kπ system, a background, the mass of the B or a nuisance, and not of the model."""
    return path.startswith(("kpi.", PREFIX, MASS, NUISANCES))


def _pairs(values: ComplexArray) -> Array:
    """Real and imaginary parts on an axis of their own."""
    return np.stack([values.real, values.imag], axis=-1)
