"""Is a file what its provenance says?  Every angular moment and the spectra against the prediction.

The prediction is the quadrature of the angular coefficients (:mod:`.expectation`); the sampler's tables do not enter.
All tests use the sums of the angular functions in bins of q2, and of the Kpi mass where the K* has a width, so no
information on the angles is lost to binning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError
from ...kinematics.base.portions import Portions
from ...kinematics.base.results import Result, record
from ...kinematics.base.threads import check_threads
from ...physics.angular import Convention, breakpoints, event_density
from ...physics.channels import KPI_COEFFICIENTS, Channel, get_channel
from ...physics.expectation import FLAVOURS, Array, Density, Expectation, expectation, segments
from ...physics.kpi import KpiDecay
from ...physics.models import Model
from ..files.sample import ROWS_THERE, EventsLike, open_events
from ..files.writers import Events
from ..run.card import RunCard, make_card
from .accumulator import Accumulator, Found

FALSE_ALARM = 1e-6
"""Probability that a correct file fails, all its tests taken together."""
RATE_TOLERANCE = 3e-5
"""Largest relative difference between the sampler's rate and the quadrature: the accuracy asked of the tables."""
N_BINS = 50
"""Bins of q2; fewer for small files."""
EVENTS_PER_BIN = 400
"""Fewest events expected in a bin: below, pulls are not Gaussian enough for the false-alarm rate."""
FEWEST_EVENTS = 300
"""Fewest events of a flavour, or of both, whose moments are tested: means of fewer have tails beyond Gaussian ones."""


@dataclass(frozen=True)
class Test:
    """One comparison of a file with the prediction.

    Attributes:
        group: what kind of test: ``moment``, ``shift``, ``spectrum``, ``moments in bins``, ``flavour``, ``yield``.
        name: what was compared, such as ``J_5``.
        flavour: ``b``, ``bbar`` or ``both``.
        predicted: its prediction (for a chi-square, the degrees of freedom).
        measured: its value in the file (for a chi-square, its value).
        error: statistical error that the prediction expects.
        p_value: probability of a difference at least as large.
    """

    group: str
    name: str
    flavour: str
    predicted: float
    measured: float
    error: float
    p_value: float
    derived = ("pull",)

    @property
    def pull(self) -> float:
        """Difference in units of the error; for a chi-square, the one-sided Gaussian equivalent."""
        if self.group in ("spectrum", "moments in bins"):
            from scipy.special import ndtri

            return float(-ndtri(max(self.p_value, 1e-300)))
        return (self.measured - self.predicted) / self.error if self.error > 0 else 0.0


@dataclass(frozen=True)
class ChannelVerdict(Result):
    """All tests of one channel of a file.

    Attributes:
        channel: name of the channel.
        events: number of events.
        tests: every test.
        problems: what is wrong beyond statistics, such as events outside the selected q2.
        expectation: the prediction.
        sums: what the file has, see :class:`Accumulator`.
    """

    channel: str
    events: int
    tests: tuple[Test, ...]
    problems: tuple[str, ...]
    expectation: Expectation
    sums: Array
    derived = ("p_value",)
    left_out = ("expectation", "sums")

    @property
    def p_value(self) -> float:
        """Smallest p-value times the number of tests (Bonferroni), one at most; zero with a problem."""
        if self.problems:
            return 0.0
        return min(1.0, len(self.tests) * min((test.p_value for test in self.tests), default=1.0))


@dataclass(frozen=True)
class Verdict(Result):
    """Whether a file agrees with its prediction.

    Attributes:
        path: the file.
        channels: one verdict a channel.
        problems: what is wrong with the file as a whole.
        false_alarm: probability that a correct file fails.
    """

    path: Path
    channels: tuple[ChannelVerdict, ...]
    problems: tuple[str, ...]
    false_alarm: float
    derived = ("p_value", "passed")

    @property
    def p_value(self) -> float:
        """Smallest p-value of a channel times the number of channels, one at most; zero with a problem."""
        if self.problems:
            return 0.0
        return min(1.0, len(self.channels) * min((item.p_value for item in self.channels), default=1.0))

    @property
    def passed(self) -> bool:
        """Whether the p-value is above the false-alarm rate."""
        return self.p_value >= self.false_alarm

    def records(self) -> list[dict[str, Any]]:
        """Return every test of every channel as a dictionary."""
        return [{"channel": item.channel, **record(test)} for item in self.channels for test in item.tests]


def predict_channel(
    channel: Channel,
    model: Model,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2: Sequence[tuple[float, float]] = (),
    veto: Sequence[tuple[float, float]] = (),
    n_bins: int = N_BINS,
) -> Expectation:
    """Return what events of a channel should look like, by quadrature.

    Raises:
        InputError: the selected q2 holds nothing.

    Example:
        >>> from darkpenguin.physics.models import get_model
        >>> prediction = predict_channel(get_channel("B+->K+mumu"), get_model("sm"), q2=[(1.1, 6.0)], n_bins=5)
        >>> prediction.integrals.shape
        (2, 5, 3)
    """
    chosen = {"both": FLAVOURS, "b": (1,), "bbar": (-1,)}[flavour]
    return expectation(
        channel_density(channel, model, convention),
        channel.coefficients,
        chosen,
        segments(channel.q2_limits(model.parameters), q2, veto),
        np.asarray(breakpoints(channel, model)),
        n_bins,
    )


def predict_kpi(
    decay: KpiDecay,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2: Sequence[tuple[float, float]] = (),
    veto: Sequence[tuple[float, float]] = (),
    n_bins: int = N_BINS,
) -> dict[str, Expectation]:
    """Return what events with a K* of finite width should look like, in bins of q2 and in bins of ``m_kpi``.

    Raises:
        InputError: the selected q2 holds nothing.
    """
    chosen = {"both": FLAVOURS, "b": (1,), "bbar": (-1,)}[flavour]
    window = decay.system.window
    selected = segments(decay.q2_limits(window[0]), q2, veto)

    def in_q2(x: Array, flavour: int) -> Array:
        return decay.spectrum(x, flavour, convention)

    def in_mass(x: Array, flavour: int) -> Array:
        return decay.mass_spectrum(x, flavour, selected, convention)

    points, peak = decay.breakpoints(), np.array([decay.p_line.m0])
    return {
        "q2": expectation(in_q2, KPI_COEFFICIENTS, chosen, selected, points, n_bins),
        "m_kpi": expectation(in_mass, KPI_COEFFICIENTS, chosen, (window,), peak, n_bins),
    }


def predictions(card: RunCard, channel: Channel, n_bins: int = N_BINS) -> Mapping[str, Expectation]:
    """Return what the events of a channel of a run should look like, by the column whose bins it is in."""
    decay = card.kpi_decay(channel)
    if decay is not None:
        return predict_kpi(decay, card.flavour, card.convention, card.q2, card.veto, n_bins)
    return {"q2": predict_channel(channel, card.model, card.flavour, card.convention, card.q2, card.veto, n_bins)}


def channel_density(channel: Channel, model: Model, convention: Convention) -> Density:
    """Return the density of events of a channel as a function of q2 (GeV^2) and flavour."""

    def density(q2: Array, flavour: int) -> Array:
        return np.asarray(event_density(channel, model, q2, flavour, convention))

    return density


def compare(prediction: Expectation, sums: Array, variable: str = "q2") -> tuple[Test, ...]:
    """Return every test of the sums of a channel's events against the prediction.

    - ``moment``: J_i over the rate, from the means of the dual angular functions, per flavour and overall;
    - ``shift``: the projection on a change of J_i alone, by a constant times the rate and by a factor, with the best
      weights in every bin of q2; this is what finds a small change of one coefficient;
    - ``spectrum``: chi-square of the contents of the bins of q2;
    - ``moments in bins``: chi-square of all moments in all bins, correlations included;
    - ``flavour``: share of the flavour +1.

    In bins of another variable, the two chi-squares. Of fewer than ``FEWEST_EVENTS`` events only the share is tested.

    Args:
        prediction: what the events should look like.
        sums: see :class:`Accumulator`.
        variable: whose bins they are.

    Example:
        >>> flat = lambda q2, flavour: np.stack([1 + 0 * q2, 0 * q2, 0 * q2])
        >>> prediction = expectation(flat, ("a", "b", "c"), (1,), [(0.0, 2.0)], np.array([]), 2)
        >>> exact = 1000 * np.concatenate([prediction.means, 0 * prediction.means])
        >>> max(abs(test.pull) for test in compare(prediction, exact) if test.group == "moment")
        0.0
    """
    rows = [FLAVOURS.index(flavour) for flavour in prediction.flavours]
    sums = sums[rows]
    tests: list[Test] = []
    every = tuple(range(len(rows)))
    choices = [("both", every)] if len(rows) == 2 else []
    choices += [({1: "b", -1: "bbar"}[flavour], (i,)) for i, flavour in enumerate(prediction.flavours)]
    for word, chosen in choices:
        tests += _tests_of(prediction, sums, word, chosen, variable)
    if len(rows) == 2 and variable == "q2":
        counts = (sums @ prediction.basis.unity).sum(axis=1)
        total = counts.sum()
        share = prediction.rates[prediction.flavours[0]] / sum(prediction.rates.values())
        error = math.sqrt(share * (1 - share) / total) if total else 0.0
        tests.append(_gaussian("flavour", "share of b", "both", share, counts[0] / max(total, 1), error))
    return tuple(tests)


def _tests_of(
    prediction: Expectation, all_sums: Array, word: str, chosen: tuple[int, ...], variable: str
) -> list[Test]:
    """Return the tests of some of the flavours, normalised to the events of these flavours."""
    basis = prediction.basis
    take = list(chosen)
    share = float((prediction.means[take] @ basis.unity).sum())
    n_functions = len(basis.names)
    mean = prediction.means[take].reshape(-1, n_functions) / share
    second = prediction.second_moments[take].reshape(-1, n_functions, n_functions) / share
    integrals = prediction.integrals[take].reshape(-1, n_functions)
    sums = all_sums[take].reshape(-1, n_functions)
    n_events = float((sums @ basis.unity).sum())
    if n_events < FEWEST_EVENTS:
        return []
    measured = sums / n_events
    tests = _chi_squares(prediction, word, variable, n_events, measured, mean, second)
    if variable != "q2":
        return tests

    # J_i over the rate
    overall, squares = mean.sum(axis=0), second.sum(axis=0)
    covariance = basis.dual @ (squares - np.outer(overall, overall)) @ basis.dual.T / n_events
    expected, found = basis.dual @ overall, basis.dual @ measured.sum(axis=0)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    for i, name in enumerate(basis.names):
        tests.append(_gaussian("moment", f"J_{name}", word, expected[i], found[i], errors[i]))

    # a change of one J_i: the best linear combination of all sums for it
    rate = float((integrals @ basis.gram @ basis.unity).sum())
    for i, name in enumerate(basis.names):
        local = integrals @ basis.gram @ basis.unity
        for label, size in (("by the rate", local), ("by itself", integrals[:, i])):
            if np.abs(size).sum() < 1e-9 * np.abs(integrals).sum():
                continue  # a coefficient that vanishes cannot change by a factor
            change = np.zeros_like(integrals)
            change[:, i] = size
            moved = change @ basis.gram / rate
            moved = moved - mean * (moved @ basis.unity).sum()
            weights = np.linalg.solve(second, moved[:, :, None])[:, :, 0]
            information = float((weights * moved).sum())
            if information <= 1e-20:
                continue
            amount = float((weights * (measured - mean)).sum()) / information
            error = 1 / math.sqrt(n_events * information)
            tests.append(_gaussian("shift", f"J_{name} {label}", word, 0.0, amount, error))
    return tests


def _chi_squares(
    prediction: Expectation, word: str, variable: str, n_events: float, measured: Array, mean: Array, second: Array
) -> list[Test]:
    """Return the tests of the contents of the bins, and of all moments in all bins."""
    n_bins = prediction.means.shape[1]
    tests = []
    contents, shares = ((x @ prediction.basis.unity).reshape(-1, n_bins).sum(0) for x in (n_events * measured, mean))
    if n_bins > 1:
        value = float(((contents - n_events * shares) ** 2 / (n_events * shares)).sum())
        tests.append(_chi_square("spectrum", variable, word, n_bins - 1, value))
    if n_events >= 5 * EVENTS_PER_BIN * len(mean):
        difference = measured - mean
        solved = np.linalg.solve(second, difference[:, :, None])[:, :, 0]
        value = n_events * float((difference * solved).sum())
        name = "all J_i" if variable == "q2" else f"all J_i, {variable}"
        tests.append(_chi_square("moments in bins", name, word, mean.size - 1, value))
    return tests


def _gaussian(group: str, name: str, word: str, predicted: float, measured: float, error: float) -> Test:
    pull = abs(measured - predicted) / error if error > 0 else 0.0
    p_value = math.erfc(pull / math.sqrt(2))
    return Test(group, name, word, float(predicted), float(measured), float(error), p_value)


def _chi_square(group: str, name: str, word: str, degrees: int, value: float) -> Test:
    from scipy.special import chdtrc

    error = math.sqrt(2 * degrees)
    return Test(group, name, word, float(degrees), value, error, float(chdtrc(degrees, value)))


def validate(
    events: EventsLike,
    false_alarm: float = FALSE_ALARM,
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
) -> Verdict:
    """Compare events with the prediction for what their provenance says.

    Checked without statistics: the number of events and their numbering, channels, weights, ranges of all columns,
    the sampler's rates.  With statistics: see :func:`compare`.  A file is read in chunks.

    Args:
        events: a file that darkpenguin wrote, the files of a run's parts, or a sample in memory; one on a GPU is
            summed there.
        false_alarm: probability that a correct file fails, for all tests together.
        progress: called with the number of events after each chunk.
        threads: CPU threads; all without it.

    Raises:
        InputError: no such file, or no provenance in it to compare with.

    Example:
        >>> import tempfile
        >>> from darkpenguin.generator.run.generate import run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     verdict = validate(run("B+->K+mumu", events=1000, output=f"{folder}/x.root").files[0])
        >>> verdict.passed
        True
    """
    if not 0.0 < false_alarm < 1.0:
        raise InputError(f"false-alarm = {false_alarm:g}: allowed are probabilities between 0 and 1, such as 1e-6")
    file = open_events(events, where_they_are=True)
    card = card_of(file)
    if card.altered:
        raise InputError(
            f"file = {str(file.path)!r}: made with {card.altered}, so its events are no longer "
            "those that were generated, which is what is validated; `darkpenguin bin --unfold` goes back to them"
        )
    if threads is not None:
        check_threads(threads)
    entries = file.channels("columns", "events", "events_of_run", "first_event_of_run", "rates")
    lacking = [key for key in ("events", "range") if file.provenance.get(key) is None]
    if lacking:
        raise InputError(
            f"file = {str(file.path)!r}: its provenance does not say {', '.join(lacking)}; nothing to compare with"
        )
    problems: list[str] = []
    missing = {"channel", "event", "weight", "q2", *(name for e in entries.values() for name in e["columns"])}
    missing -= set(file.schema)
    if missing:
        return Verdict(file.path, (), (f"no column {', '.join(sorted(missing))}",), false_alarm)
    if file.rows != file.provenance["events"]:
        problems.append(f"{file.rows} events instead of the {file.provenance['events']} in the provenance")
    readers: dict[int, _ChannelReader] = {}
    for index, entry in entries.items():
        readers[index] = _ChannelReader(card, entry, file.provenance["range"], threads)
    strangers = 0
    portions = Portions("events", ROWS_THERE)
    for columns in file.chunks():
        for left, found in portions.over(columns, partial(_looked, readers)):
            strangers += left
            for reader, rows in found:
                reader.take(rows)
        if progress is not None:
            progress(len(columns["channel"]))
    if strangers:
        problems.append(f"{strangers} events of channels that the provenance does not name")
    verdicts = tuple(reader.verdict() for reader in readers.values())
    return Verdict(file.path, verdicts, tuple(problems), false_alarm)


def _looked(
    readers: Mapping[int, _ChannelReader], columns: Mapping[str, Any]
) -> tuple[int, list[tuple[_ChannelReader, _Rows]]]:
    """Events of a chunk that no reader knows, and what each finds in the others; nothing is changed."""
    numbers, found = columns["channel"], []
    left = len(numbers)
    for index, reader in readers.items():
        mask = numbers == index
        count = int(mask.sum())
        if count:
            found.append((reader, reader.look(columns, slice(None) if count == len(numbers) else mask)))
        left -= count
    return left, found


def card_of(file: Events) -> RunCard:
    """Return the run card that a file was made from.

    Raises:
        InputError: the file has none.
    """
    card = file.provenance.get("card")
    if not card or not file.channels():
        raise InputError(f"file = {str(file.path)!r}: no run card in its provenance, so nothing to compare with")
    return make_card(card)


_Rows = tuple[int, int, int, Mapping[str, Found]]


class _ChannelReader:
    """One channel of a file while it is read."""

    def __init__(self, card: RunCard, entry: Mapping[str, Any], part: Sequence[int], threads: int | None) -> None:
        self.name = str(entry["name"])
        self.entry = entry
        self.channel = get_channel(self.name)
        n_flavours = 2 if card.flavour == "both" else 1
        n_bins = max(1, min(N_BINS, int(entry["events"]) // (EVENTS_PER_BIN * n_flavours)))
        self.predictions = predictions(card, self.channel, n_bins)
        self.prediction = self.predictions["q2"]
        tolerance = 1e-6 if card.precision == "float32" else 1e-14
        self.accumulators = {
            name: Accumulator(prediction, threads, tolerance, name) for name, prediction in self.predictions.items()
        }
        self.accumulator = self.accumulators["q2"]
        self.problems: list[str] = []
        self.card = card
        self.whole = part[0] <= entry["first_event_of_run"] and (
            entry["first_event_of_run"] + entry["events_of_run"] <= part[1]
        )
        self._next = max(int(part[0]), int(entry["first_event_of_run"]))
        self._gaps = 0
        self._weights = 0

    def look(self, columns: Mapping[str, Any], rows: Any) -> _Rows:
        """What the chosen rows of a chunk are; nothing is changed, so that fewer can be looked at instead."""
        numbers = columns["event"][rows]
        expected = array_module(numbers).arange(self._next, self._next + len(numbers), dtype=np.uint64)
        gaps, weights = int((numbers != expected).sum()), int((columns["weight"][rows] != 1).sum())
        return len(numbers), gaps, weights, {name: one.look(columns, rows) for name, one in self.accumulators.items()}

    def take(self, found: _Rows) -> None:
        """Add what `look` found."""
        number, gaps, weights, sums = found
        self._next += number
        self._gaps += gaps
        self._weights += weights
        for name, accumulator in self.accumulators.items():
            accumulator.take(sums[name])

    def verdict(self) -> ChannelVerdict:
        """Return the verdict once all events are there."""
        accumulator, problems, entry = self.accumulator, list(self.problems), self.entry
        if accumulator.events != entry["events"]:
            problems.append(f"{accumulator.events} events instead of {entry['events']}")
        for count, what in (
            (self._gaps, "events out of their numbering"),
            (self._weights, "events with a weight that is not 1"),
            (accumulator.bad, "events with a NaN, a cosine beyond one, or no flavour"),
            *((item.outside, f"events outside the selected {name}") for name, item in self.accumulators.items()),
        ):
            if count:
                problems.append(f"{count} {what}")
        rates = self.prediction.rates
        for flavour, rate in rates.items():
            stored = float(entry["rates"].get("b" if flavour > 0 else "bbar", math.nan))
            if not abs(stored - rate) <= RATE_TOLERANCE * rate:
                problems.append(f"rate of flavour {flavour:+d}: {stored:.6e} GeV instead of {rate:.6e} GeV")
        absent = [flavour for flavour in FLAVOURS if flavour not in rates]
        for flavour in absent:
            if accumulator.sums[FLAVOURS.index(flavour)].any():
                problems.append(f"events of flavour {flavour:+d}, which was not asked for")
        tests = [
            test
            for name, prediction in self.predictions.items()
            for test in compare(prediction, self.accumulators[name].sums, name)
        ]
        tests += self._yield()
        return ChannelVerdict(
            self.name, accumulator.events, tuple(tests), tuple(problems), self.prediction, accumulator.sums
        )

    def _yield(self) -> list[Test]:
        """Return the test of the number of events, when it was drawn from what is predicted."""
        card = self.card
        if not card.poisson or not self.whole:
            return []
        rates = self.prediction.rates
        lifetime = card.model.parameters[f"tau_{self.channel.parent}"]
        share = 1.0 if card.flavour == "both" else 0.5
        branching = lifetime * self.channel.branching * sum(rates.values()) / len(rates)
        mean = float(card.events) if card.events is not None else (card.b_mesons or 0.0) * share * branching
        return [_gaussian("yield", "events", card.flavour, mean, self.accumulator.events, math.sqrt(mean))]
