"""Fits of events: what floats is found from several masses, and the fit is held against the spectrum.

Minima are those of `descent`, errors come from second derivatives there. Minuit has what is left: a minimum at the end
of a range, one that a descent does not find, and MINOS. The tests hold the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...kinematics.base.arrays import array_library
from ...kinematics.base.cards import CardSource, shows_keys
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...kinematics.base.threads import check_threads
from ...physics.angular import Convention
from ...physics.channels import Channel, get_channel
from ...physics.expectation import FLAVOURS, segments
from ...physics.kpi import KpiDecay, KpiSystem
from ...physics.models import Model
from ...physics.nuisances import Nuisances, nuisances
from ...physics.theory import Theory
from ..files.sample import EventsLike, open_events
from ..files.writers import Events
from ..lab.efficiency_files import read_map
from ..lab.efficiency_maps import EfficiencyMap, evaluate
from ..lab.settings import EfficiencySettings, StageSettings
from ..run.card import RunCard, make_card
from .amplitude import Amplitude, Array, shifts_of
from .backgrounds import Below, component, rest_of
from .card import FitCard
from .columns import check_mass, chosen_of, columns_of, window_of
from .descent import descend
from .kpi import KpiAmplitude
from .likelihood import Free, Likelihood, Part
from .mass import COLUMN, Masses
from .nuisances import PREFIX as NUISANCES
from .nuisances import RANGE as NUISANCE_RANGE
from .nuisances import SPLIT as MOVING_SPLIT
from .nuisances import FittedNuisances, Moving, MovingShapes, fitted
from .rates import Range, Rate
from .remarks import remark
from .resolution import resolution_of
from .search import starts_of
from .smeared import SmearedEvents, SmearedRate

BINS = 40
"""Bins of q2 at most in which a fit is held against the events, of about equal content, `FEWEST` events at least."""
FEWEST = 25
LONGEST = 2000
"""Evaluations at most, before a fit is given up."""
REASONS = (
    "too many calls",
    "too far from the minimum",
    "a curvature that is not positive",
    "no covariance",
    "not a minimum",
)
"""Why a fit is none."""
_FLAT = 1e-10  # smallest curvature of a minimum, of fields in units of their errors
_POOR = 1e-7  # of the largest singular value: two fields, or one, do the same


@dataclass(frozen=True)
class Parameter:
    """What a fit found of a field.

    Attributes:
        name: path of the field.
        value: best.
        error: symmetric, from the curvature of -2 ln L.
        lower: (negative) and ``upper``: errors by MINOS, where -2 ln L rises by one; NaN if not sought or not found.
        at_limit: whether it stands at an end of its range, so that its errors say little.
    """

    name: str
    value: float
    error: float
    lower: float
    upper: float
    at_limit: bool


@dataclass(frozen=True)
class Goodness:
    """A channel's spectrum in bins of q2 beside that of the fit: Pearson's χ².

    Attributes:
        channel: its name.
        edges: of the bins (GeV²); one may reach across a gap.
        counts: events.
        expected: by the fit, which has as many in all.
        chi2: sum of (counts - expected)²/expected.
        degrees: bins less one; a fit makes χ² smaller than that by up to the number of fields that float.
        p_value: of χ² for so many degrees: a low one is never due to the fit's freedom.
    """

    channel: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    expected: tuple[float, ...]
    chi2: float
    degrees: int
    p_value: float


@dataclass(frozen=True, eq=False)
class Fit(Rows[Parameter]):
    """A fit: one row a field that floats.

    Attributes:
        rows: what was found.
        minimum: -2 ln L at the best values, without constants.
        covariance: of the fields in their order.
        converged: whether it is a minimum with a covariance.
        reason: why not, else empty.
        events: number by channel.
        goodness: of each channel.
        minima: -2 ln L of each start that was followed, the best first: another near the first is another solution.
        model: at the best values.
        likelihood: the function that was minimised, for iminuit, zfit or SciPy.
        nuisances: flavio's parameters, if some floated; the fields have the independent directions that they move in.
    """

    minimum: float
    covariance: Array
    converged: bool
    reason: str
    events: Mapping[str, int]
    goodness: tuple[Goodness, ...]
    minima: tuple[float, ...]
    model: Model = field(repr=False)
    likelihood: Likelihood = field(repr=False)
    nuisances: FittedNuisances | None = None
    left_out: ClassVar[tuple[str, ...]] = ("likelihood",)
    derived: ClassVar[tuple[str, ...]] = ("correlation",)

    @property
    def correlation(self) -> Array:
        """Correlations of the fields in their order; NaN with one that has no error."""
        errors = np.sqrt(np.diagonal(self.covariance))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.covariance / np.outer(errors, errors))

    @property
    def values(self) -> tuple[float, ...]:
        """Best values, in the order of the fields."""
        return tuple(row.value for row in self.rows)


@shows_keys(FitCard)
def fit(
    events: EventsLike,
    card: CardSource | FitCard = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
    **keys: Any,
) -> Fit:
    """Fit fields of a model to events in all their variables, unbinned; see `likelihood` for the function.

    q2 and angles are those of the decay, behind a detector too; with ``resolution`` q2 is the reconstructed one, and
    the density is convolved with that, see `smeared`. With ``b_mass`` the mass of the reconstructed B, ``m_b_reco``,
    is in it too, see `mass`.

    Args:
        events: a file of darkpenguin, several of one run, or a sample in memory, of channels with charged leptons.
        card: a TOML file, a built-in card's name, a dictionary, or a `FitCard`.
        threads: CPU threads; all without it.
        device: where the densities of events are summed: ``cpu``, which ``auto`` is too, or ``gpu``.
        **keys: keys of a `FitCard`, on top of those of the card; ``float`` names what floats.

    Raises:
        InputError: events without provenance, behind cuts, with weights, outside their q2 or K pi mass, or that the
            model cannot make; fields that change nothing, or of which two do the same.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> sample = generate("B0->K*0mumu", model="heavy-c9", events=2000, seed=1, q2=[(1.1, 8.0)])
        >>> found = fit(sample, model="sm", float={"heavy.C9_mu": (-4.0, 4.0)})
        >>> found.converged, abs(found[0].value + 1.1) < 5 * found[0].error
        (True, True)
    """
    if threads is not None:
        check_threads(threads)
    chosen = FitCard.make(card, **keys)
    return minimised(likelihood_of(events, chosen, threads, device), chosen.minos, chosen.search)


def likelihood_of(
    events: EventsLike,
    card: FitCard,
    threads: int | None = None,
    device: str = "cpu",
    like: Likelihood | None = None,
) -> Likelihood:
    """-2 ln L of events for a card, a function of what floats; see `fit`.

    ``like`` is one of this card for other events of the same channels and q2, whose shapes and rates are taken.

    >>> from darkpenguin.generator.run.generate import generate
    >>> sample = generate("B0->K*0mumu", model="sm", events=1000, seed=1, q2=[(1.1, 8.0)])
    >>> cost = likelihood_of(sample, FitCard.make(model="sm", float={"heavy.C9_mu": (-4.0, 4.0)}))
    >>> cost.names, cost(0.0) < cost(-3.0)
    (('heavy.C9_mu',), True)
    """
    array_library(device)
    file = open_events(events)
    run = _run_of(file, card)
    channels = {index: get_channel(str(entry["name"])) for index, entry in file.channels().items()}
    base = card.base_model()
    system = _system_of(file, run, card)
    ranges = {one: segments(_limits(one, base, system), run.q2, run.veto) for one in channels.values()}
    windows = {one: window_of(card, one, found) for one, found in ranges.items()}
    ranges = windows if card.resolution is None else ranges
    every = [pair for found in ranges.values() for pair in found]
    free = card.free_fields((min(low for low, _ in every), max(high for _, high in every)), system)
    known = {(part.channel, part.amplitude.flavour): part for part in ([] if like is None else like.parts)}
    how: dict[str, Any] = {"rates": card.rates, "b_mesons": card.b_mesons, "threads": threads}
    how["constraints"] = card.constraints
    probing = Likelihood(base, free, (), **how)
    probes = [probing.model(values) for values in _places(free, 4)]
    known_errors = _nuisances(card, channels.values(), base) if like is None else like.nuisances
    if known_errors is not None:
        names_of = [NUISANCES + name for name in known_errors.directions]
        free = (*free, *(Free(name, *NUISANCE_RANGE, 0.0) for name in names_of))
        how |= {"nuisances": known_errors, "constraints": {**card.constraints, **dict.fromkeys(names_of, (0.0, 1.0))}}
    flavours = FLAVOURS if run.flavour == "both" else (1 if run.flavour == "b" else -1,)
    columns = columns_of(file, channels, "q2" if card.resolution is None else "q2_reco", card.b_mass is not None)
    parts = []
    for index, channel in channels.items():
        columns[index] = chosen_of(card, columns[index], channel, windows[channel], flavours)
        if system is not None and channel.transition.daughters:
            check_mass(columns[index], system, base.parameters["m_" + channel.parent])
        names, resolution = shifts_of(channel, [base, *probes]), None
        if card.resolution is not None and (channel.name, flavours[0]) not in known:
            resolution = resolution_of(card.resolution, channel, run, ranges[channel], threads)
        for flavour in flavours:
            shapes = None
            if (channel.name, flavour) in known:
                one = known[channel.name, flavour]
                amplitude, rate, shapes = one.amplitude, one.rate, one.moving.shapes if one.moving else None
            else:
                seen = _map_of(card.efficiency or run.stages.get("efficiency"), channel)
                amplitude = _amplitude(channel, flavour, base.theory, names, run.convention, system)
                if known_errors is not None:
                    amplitude.split = MOVING_SPLIT
                if resolution is None:
                    rate = Rate(amplitude, ranges[channel], seen)
                else:
                    rate = SmearedRate(amplitude, ranges[channel], seen, resolution, windows[channel])
                if known_errors is not None:
                    shapes = MovingShapes(amplitude, rate, known_errors)
            chosen = {name: column[columns[index]["flavour"] == flavour] for name, column in columns[index].items()}
            smeared = SmearedEvents.of(rate, chosen) if isinstance(rate, SmearedRate) else None
            forms = rate.event_forms(chosen) if smeared is None else np.empty((0, 1, 0))
            at_events = np.ones(1)
            below = _below(card, channel, windows[channel], chosen, len(flavours), system)
            if below and rate.efficiency is not None and smeared is None:  # its ratio to the background's counts
                at_events = evaluate(rate.efficiency, chosen, channel)
                forms *= at_events[:, None, None]
            moving = None if shapes is None else Moving.of(shapes, chosen, at_events)
            mass = None if card.b_mass is None else Masses(card.b_mass, chosen[COLUMN])
            parts.append(Part(channel.name, amplitude, rate, chosen["q2"], forms, below, moving, smeared, mass))
    found = Likelihood(base, free, parts, device=device, **how)
    if like is None:
        _check_free(found)
    return found


def _nuisances(card: FitCard, channels: Iterable[Channel], base: Model) -> Nuisances | None:
    """What floats of form factors and charm, if anything does."""
    if not card.nuisances:
        return None
    return nuisances(list(dict.fromkeys(one.transition for one in channels)), base.theory, card.nuisances)


def _run_of(file: Events, card: FitCard) -> RunCard:
    """The run that made a file; InputError for one whose events a fit cannot describe."""
    told = file.provenance.get("card")
    if not told or not file.channels():
        raise InputError(
            f"file = {str(file.path)!r}: no run card in its provenance, so its q2 and angles are not known"
        )
    run = make_card(told)
    for entry in file.channels().values():
        if get_channel(str(entry["name"])).lepton is None:
            raise InputError(
                f"channels: {entry['name']} has no charged leptons, and nothing to fit but q2; leave it out"
            )
    if run.stages.get("selection") is not None and card.efficiency is None:
        raise InputError(
            "selection: these events are behind cuts, whose effect on q2 and angles is not known; give it as "
            "efficiency = MAP"
        )
    remark(file, run, card)
    return run


def _system_of(file: Events, run: RunCard, card: FitCard) -> KpiSystem | None:
    """The Kπ system that events with a Kπ mass are fitted with; None without that mass."""
    system = run.kpi if card.kpi is None else card.kpi
    if system.narrow != ("m_kpi" not in file.schema):
        have, other = ("no", "narrow") if system.narrow is False else ("a", "pwave or swave")
        raise InputError(f"kpi: these events have {have} K pi mass; take kpi = {other}")
    return None if system.narrow else system


def _limits(channel: Channel, base: Model, system: KpiSystem | None) -> Range:
    """Threshold and end of q2 (GeV²), of the lightest Kπ pair."""
    if system is None or not channel.transition.daughters:
        return channel.q2_limits(base.parameters)
    return KpiDecay(channel, base, system).q2_limits(system.m_min)


def _below(
    card: FitCard,
    channel: Channel,
    ranges: Sequence[Range],
    columns: Mapping[str, Array],
    flavours: int,
    system: KpiSystem | None,
) -> tuple[Below, ...]:
    """Backgrounds of a channel at its events of one of several flavours."""
    components = [
        component(name, one, ranges) for name, one in card.backgrounds.items() if one.channel in (None, channel.name)
    ]
    window = (*(system.window if system else (0.0, 0.0)), card.base_model().parameters["m_" + channel.parent])
    rest = rest_of(columns, channel, flavours, window) if components else np.empty(0)
    return tuple(Below(one, rest) for one in components)


def _amplitude(
    channel: Channel,
    flavour: int,
    theory: Theory,
    names: Sequence[str],
    convention: Convention,
    system: KpiSystem | None,
) -> Amplitude:
    if system is None or not channel.transition.daughters:
        return Amplitude(channel, flavour, theory, names, convention)
    return KpiAmplitude(channel, flavour, theory, names, convention, system=system)


def _map_of(settings: StageSettings | None, channel: Channel) -> EfficiencyMap | None:
    return read_map(settings.source(channel)) if isinstance(settings, EfficiencySettings) else None


def _places(free: Sequence[Free], number: int) -> Array:
    """Values within the ranges, the same every time: none is special, so what matters can be seen there."""
    shares = np.random.default_rng(2).uniform(0.2, 0.8, (number, len(free)))
    low, high = np.array([one.low for one in free]), np.array([one.high for one in free])
    return np.asarray(low + shares * (high - low))


def _check_free(likelihood: Likelihood) -> None:
    """InputError for a field that changes no density, or two that change it in the same way."""
    few, known = likelihood.first(500), likelihood.constraints
    ranges = np.array([one.high - one.low for one in likelihood.free])
    scores = np.stack([few.scores(values, nuisances=False) * ranges for values in _places(likelihood.free, 2)])
    sizes = np.sqrt((scores**2).sum(axis=1, keepdims=True))
    for name, size in zip(likelihood.names, sizes.max(axis=(0, 1)), strict=True):
        if not size > 0 and name not in known:
            raise InputError(f"float = {name!r}: the density of these events does not depend on it; leave it out")
    chosen = [i for i, name in enumerate(likelihood.names) if name not in known]
    _, singular, directions = np.linalg.svd(scores[:, :, chosen] / sizes[:, :, chosen], full_matrices=False)
    if len(chosen) > 1 and np.all(singular[:, -1] < _POOR * singular[:, 0]):
        pair = [likelihood.names[chosen[i]] for i in np.argsort(-np.abs(directions[0, -1]))[:2]]
        raise InputError(f"float: {pair[0]} and {pair[1]} change the density in the same way; let one of them float")


def minimised(likelihood: Likelihood, minos: bool = False, search: bool = True) -> Fit:
    """Fit of a likelihood from its starts, or without ``search`` from the model's own; see `fit`."""
    starts = starts_of(likelihood) if search else [likelihood.start]
    found = _descended(likelihood, starts) or _by_minuit(likelihood, starts)
    values, errors = found.values, {}
    if minos and not found.reason:
        best = found.minuit or _migrad(likelihood, np.array(values))
        best.minos(*(name for name in likelihood.names if not name.startswith(NUISANCES)))
        errors = best.merrors
    at_end = _at_end(likelihood, values)
    rows = tuple(
        Parameter(
            free.path,
            values[i],
            float(found.errors[i]),
            float(errors[free.path].lower) if free.path in errors and errors[free.path].lower_valid else math.nan,
            float(errors[free.path].upper) if free.path in errors and errors[free.path].upper_valid else math.nan,
            at_end[i],
        )
        for i, free in enumerate(likelihood.free)
    )
    numbers: dict[str, int] = {}
    for part in likelihood.parts:
        numbers[part.channel] = numbers.get(part.channel, 0) + part.events
    nuisances, covariance = likelihood.nuisances, found.covariance
    return Fit(
        rows,
        found.minima[0],
        covariance,
        not found.reason,
        found.reason,
        numbers,
        tuple(goodness(likelihood, channel, values) for channel in numbers),
        found.minima,
        likelihood.model(values),
        likelihood,
        None if nuisances is None else fitted(nuisances, likelihood.names, values, covariance),
    )


@dataclass(frozen=True, eq=False)
class _Minimum:
    """Values, their covariance and errors, the minima of all starts, why it is none, and who found it."""

    values: list[float]
    covariance: Array
    errors: Array
    minima: tuple[float, ...]
    reason: str = ""
    minuit: Any = None


def _at_end(likelihood: Likelihood, values: Sequence[float]) -> list[bool]:
    """Whether fields are at an end of their range."""
    pairs = zip(values, likelihood.free, strict=True)
    return [min(value - free.low, free.high - value) < 1e-4 * (free.high - free.low) for value, free in pairs]


def _descended(likelihood: Likelihood, starts: Sequence[Array]) -> _Minimum | None:
    """The lowest minimum of several starts; None if that is at an end of a range, or none."""
    followed = sorted((descend(likelihood, one, most=LONGEST) for one in starts), key=lambda m: m.minimum)
    values = followed[0].values.tolist()
    covariance = _covariance(likelihood, values) if followed[0].converged else None
    if covariance is None or any(_at_end(likelihood, values)):
        return None
    minima = tuple(one.minimum for one in followed)
    return _Minimum(values, covariance, np.sqrt(np.diagonal(covariance)), minima)


def _by_minuit(likelihood: Likelihood, starts: Sequence[Array]) -> _Minimum:
    """The same by Minuit, which has errors at ends of ranges, and knows why a minimum is none."""
    followed = sorted((_migrad(likelihood, start) for start in starts), key=lambda m: float(m.fval))
    best, minima = followed[0], tuple(float(one.fval) for one in followed)
    values = [float(value) for value in best.values]
    reason = "" if best.valid else _reason(best)
    covariance = None if any(_at_end(likelihood, values)) else _covariance(likelihood, values)
    if covariance is not None:
        return _Minimum(values, covariance, np.sqrt(np.diagonal(covariance)), minima, reason, best)
    best.hesse()
    reason = reason or ("" if best.valid and best.accurate else _reason(best))
    none = np.full((len(values), len(values)), math.nan)
    covariance = none if best.covariance is None else np.array(best.covariance)
    return _Minimum(values, covariance, np.array(best.errors), minima, reason, best)


def _reason(found: Any) -> str:
    """Why a fit is no minimum with a covariance, in words."""
    fmin = found.fmin
    signs = (
        fmin.has_reached_call_limit,
        fmin.is_above_max_edm,
        not fmin.has_posdef_covar or fmin.has_made_posdef_covar,
        not fmin.has_covariance or fmin.hesse_failed,
    )
    known = dict(zip(REASONS, signs, strict=False))
    words = [word for word, wrong in known.items() if wrong]
    return ", ".join(words) or REASONS[-1]


def _covariance(likelihood: Likelihood, values: Sequence[float]) -> Array | None:
    """Inverse of half the second derivatives; None where these are no valley's."""
    curvature = 0.5 * likelihood.curvature(*values)
    scale = np.sqrt(np.abs(np.diagonal(curvature)))  # fields have units
    if not (np.all(np.isfinite(curvature)) and np.all(scale > 0)):
        return None
    turned, axes = np.linalg.eigh(curvature / np.outer(scale, scale))
    return None if not turned[0] > _FLAT else np.asarray((axes / turned) @ axes.T / np.outer(scale, scale))


def _migrad(likelihood: Likelihood, start: Array, fixed: Sequence[str] = ()) -> Any:
    """Minimum from a start by Minuit."""
    from iminuit import Minuit

    found = Minuit(likelihood, *start, grad=likelihood.gradient, name=likelihood.names)
    found.print_level, found.strategy = 0, 0
    for free in likelihood.free:
        found.limits[free.path] = (free.low, free.high)
        found.errors[free.path] = 1.0 if free.path.startswith(NUISANCES) else 0.02 * (free.high - free.low)
        found.fixed[free.path] = free.path in fixed
    found.migrad(ncall=LONGEST)
    return found


def minimum_from(likelihood: Likelihood, start: Array, fixed: Sequence[str]) -> tuple[float, Array]:
    """Lowest -2 ln L found from a start with some fields fixed there, and where."""
    if len(fixed) == len(likelihood.names):
        return likelihood(*start), start
    found = descend(likelihood, start, fixed, most=LONGEST)
    if found.converged:
        return found.minimum, found.values
    other = _migrad(likelihood, start, fixed)
    return float(other.fval), np.array(other.values)


def goodness(likelihood: Likelihood, channel: str, values: Sequence[float]) -> Goodness:
    """A channel's events in bins of q2 beside the fit; see `Goodness`."""
    from scipy.special import chdtrc  # not scipy.stats: that is a second of imports

    parts = [part for part in likelihood.parts if part.channel == channel]
    q2 = np.concatenate([part.q2 for part in parts])
    fine = parts[0].rate.pieces(400)
    shares = np.cumsum(likelihood.spectrum(channel, fine, values))
    shares /= shares[-1]
    bins = int(np.clip(len(q2) // FEWEST, 2, BINS))
    ends = np.unique(np.searchsorted(shares, np.arange(1, bins) / bins))
    edges = np.array([fine[0][0], *(fine[i][1] for i in ends if i < len(fine) - 1), fine[-1][1]])
    expected = np.diff([0.0, *(shares[i] for i in ends if i < len(fine) - 1), 1.0]) * len(q2)
    counts = np.histogram(q2, edges)[0]
    value = float(np.sum((counts - expected) ** 2 / expected))
    return Goodness(
        channel,
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        tuple(expected.tolist()),
        value,
        len(counts) - 1,
        float(chdtrc(len(counts) - 1, value)),
    )
