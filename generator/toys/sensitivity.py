"""Which luminosity separates two hypotheses, and with which observable: asymptotically and with toys."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from ...kinematics.base.cards import Card, CardSource, shows_keys
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Result, json_types
from ...physics.axes import read_axis, read_value
from ...physics.binning import RisingBins, rising_bins, stretches_of
from ...physics.models import Model
from ..run.workers import Workers
from ..statistics.hypotheses import Probability, significance, tail_p_value, toy_p_value
from .best_bins import Binning, best_bins
from .datasets import DatasetChoice, DetectorTable, get_dataset
from .elsewhere import global_p_value
from .experiment import Data, Expected, Experiment, Statistic, Term, experiment_of
from .family import Family
from .files import portions
from .hypothesis import Hypothesis, with_settings, with_theories
from .limits import ExpectedLimit, expected_limit
from .reach import FARTHEST, Versus, reach
from .sources import SystematicsTable, charm_of
from .together import join_experiments

Array = npt.NDArray[np.float64]
LIMIT_TOYS = 1000
"""Most toys of each hypothesis at each coupling for a limit."""
QUESTION_BINS: RisingBins = (
    (1.1, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (5.0, 6.0), (6.0, 7.0), (7.0, 8.0), (15.0, 17.0), (17.0, 19.0)
)  # fmt: skip
"""Bins of the default question (GeV²): muons to 8 and above 14, electrons where the data set has them."""
COMBINED = "combined"
"""Name of the sum of all observables of a card."""


def _versus(value: Any) -> Any:
    """An axis, or a list of them, may be written KEY,MIN,MAX,POINTS."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        return value
    axes = [read_axis(text, "versus") for text in texts]
    return {axis.key: (axis.min, axis.max, axis.points) for axis in axes}


def _with_free(data: Any, default: Hypothesis) -> Any:
    """The keys of a card whose ``free`` lets parameters of the true model float in what is fitted, resolved.

    >>> _with_free({"free": "heavy.C9_mu,-2,2"}, Hypothesis())["alternative"].scan
    {'heavy.C9_mu': (-2.0, 2.0, 9)}
    """
    if not isinstance(data, Mapping) or "free" not in data:
        return data
    texts = [data["free"]] if isinstance(data["free"], str) else data["free"]
    axes = [read_axis(str(text), "free", points=9) for text in texts]
    truth = Hypothesis.model_validate(data.get("truth", default))
    scan = {axis.key: (axis.min, axis.max, axis.points) for axis in axes}
    floating = truth.model_copy(update={"scan": scan, "label": f"{truth.title}, floating" if truth.label else ""})
    return {key: value for key, value in data.items() if key != "free"} | {"alternative": floating}


def _several(value: Any) -> Any:
    """One data set is meant by a name, a file or a table alone."""
    return value if isinstance(value, (list, tuple)) else (value,)


def _limit(value: Any) -> Any:
    """A coupling and its unit may be written KEY=VALUE."""
    return dict([read_value(value, "limit", "light_vectors.0.g_bs=-1e-8")]) if isinstance(value, str) else value


class SensitivityCard(Card):
    """What to separate from what, and how. Its defaults ask: V at 2.5 GeV, or C9 of muons and electrons, both free?

    Charm is uncertain by 20 % of the rate in each bin from 6 to 8.7 GeV², beside flavio's errors.

    Attributes:
        truth: the hypothesis that is right: one model.
        alternative: family fitted in place of the truth (the truth itself if None): couplings, or m_V, that
            float.
        null: family to be excluded.
        dataset: data set that gives yields for a luminosity: a name, or a table of one's own.
        together: other data sets whose likelihoods add to that of the first: what they share floats once, their
            luminosities grow in proportion to its, and angular observables are its alone; see ``together``.
        detector: efficiency maps, migration and resolution on top of the data set's, see ``yields.DetectorTable``.
        observables: terms of the likelihood, each on its own and all together.
        bins: edges of q2 (GeV²), or pairs where there are gaps. Ratios are those of bins where the data set has
            electrons.
        luminosities: where toys are made, in the unit of the data set; its own if empty.
        curve: first and last luminosity of the asymptotic curve.
        target: significance asked for.
        toys: toys of each hypothesis at each luminosity; none if zero.
        versus: path of the true model (a mass, a width, a coupling) -> [low, high, points]: the luminosity that is
            needed as a function of it, and the limits; of two paths a map. Without an ``alternative`` the model fitted
            moves along.
        best_bins: most bins of which the best edges are sought, between the first and the last of ``bins``; none if 0.
        feldman_cousins: whether to find these intervals too, of both signs of the coupling of each limit.
        limit: paths of couplings of the true model -> unit: the expected CL_s limit on each if it is zero, from the
            counts at the data set's luminosity, see ``limits``.
        systematics: table of the sources of systematic error, and what they do in the toys, as of a card of toys.
        theory: whether theory errors enter the angular observables and the rates; in a card a table, this as its
            ``errors``, beside what the theory of all models is (each may say otherwise in a ``theory`` of its own).
        efficiency_error: of electrons over muons; the data set's if None.
        normalisation: relative error on all channels of a hadron together.
        resolution_error: relative error of the q2 resolution.
        seed: of the random numbers.
        what_if: what else to ask, asymptotically: a name -> keys that change; sources of ``systematics`` come on top of
            the card's own.
        set: changes of the model that is true; no field, but a key.
        free: ``KEY,MIN,MAX`` or a list of such: parameters of the true model that float in the fit, which makes it the
            ``alternative``; no field, but a key.
    """

    folder: ClassVar[Path] = Path(__file__).parent / "sensitivity_cards"
    also: ClassVar[tuple[str, ...]] = ("set", "free")

    truth: Hypothesis = Hypothesis(model="fig1-2.5gev", label="V, 2.5 GeV")
    null: Hypothesis = Hypothesis(
        model="sm",
        scan={"heavy.C9_mu": (-3.0, 2.0, 7), "heavy.C9_e": (-3.0, 2.0, 7)},
        label="C9 of muons and electrons",
    )
    alternative: Hypothesis | None = None
    dataset: DatasetChoice = "lhcb-run12"
    together: Annotated[tuple[DatasetChoice, ...], BeforeValidator(_several)] = ()
    detector: DetectorTable = DetectorTable()
    observables: tuple[str, ...] = ("R_K+", "R_K*0", "dBR_K+", "dBR_K*0", "P5p")
    bins: Annotated[RisingBins, BeforeValidator(rising_bins)] = QUESTION_BINS
    luminosities: tuple[Annotated[float, Field(gt=0)], ...] = ()
    curve: tuple[float, float] | None = None
    target: float = Field(default=5.0, gt=0)
    toys: int = Field(default=100, ge=0, le=10_000_000)
    versus: Annotated[Mapping[str, tuple[float, float, int]], BeforeValidator(_versus), Field(max_length=2)] = {}
    limit: Annotated[Mapping[str, float], BeforeValidator(_limit)] = {}
    feldman_cousins: bool = False
    best_bins: int = Field(default=0, ge=0, le=12)
    systematics: SystematicsTable = charm_of(0.2)
    theory: bool = True
    efficiency_error: float | None = Field(default=None, ge=0)
    normalisation: float = Field(default=0.0, ge=0)
    resolution_error: float = Field(default=0.0, ge=0)
    seed: int = Field(default=1, ge=0, lt=1 << 64)
    what_if: Mapping[str, Mapping[str, Any]] = {
        f"charm {n} %": {"systematics": {"charm": n / 100}} for n in (0, 10, 30)
    }

    def changed(self, keys: Mapping[str, Any]) -> SensitivityCard:
        """The card with other keys, for one answer without toys.

        >>> SensitivityCard().changed({"systematics": {"charm": 0.1}}).systematics.sources["charm"].size
        0.1
        """
        other = SensitivityCard.make(None, **keys)
        found: dict[str, Any] = {name: getattr(other, name) for name in other.model_fields_set}
        if "systematics" in found:
            mine, more = self.systematics, other.systematics
            found["systematics"] = mine.model_copy(update={"sources": {**mine.sources, **more.sources}})
        nothing: dict[str, Any] = {"toys": 0, "versus": {}, "limit": {}, "best_bins": 0, "what_if": {}}
        return self.model_copy(update=nothing | found)

    @model_validator(mode="before")
    @classmethod
    def _set(cls, data: Any) -> Any:
        default = cls.model_fields["truth"].default
        return with_theories(_with_free(with_settings(data, default), default), cls)


@dataclass(frozen=True)
class ToyPoint:
    """Toys at one luminosity: significance of the median toy of the truth against the null.

    Attributes:
        observable: whose likelihood it is.
        luminosity: where.
        asimov: asymptotic significance; where a mass floats this is the local one.
        median_q: q of the median toy of the truth.
        direct: fraction of toys of the null beyond it.
        tail: the same from the toys' tail, see ``hypotheses.tail_p_value``; None if the alternative does not float.
        gaussian: distance of the medians over the standard deviation of the null's toys.
        elsewhere: the tail by the Euler characteristic of q over masses and widths, a second opinion; see
            ``statistics.elsewhere``. None where it is not for this.
        failures: toys with a NaN.
    """

    observable: str
    luminosity: float
    asimov: float
    median_q: float
    direct: Probability
    tail: float | None
    gaussian: float
    elsewhere: float | None
    failures: int

    @property
    def method(self) -> str:
        """``counted`` where at least 20 toys of the null lie beyond; else ``tail`` or ``gaussian``."""
        if self.direct.value * self.direct.toys >= 20:
            return "counted"
        return "gaussian" if self.tail is None else "tail"

    @property
    def significance(self) -> float:
        """By the method: look-elsewhere included where the alternative floats."""
        if self.method == "counted":
            return self.direct.significance
        return self.gaussian if self.tail is None else float(significance(self.tail))


@dataclass(frozen=True, eq=False)
class Sensitivity(Result):
    """Answer to a card.

    Attributes:
        card: the question.
        unit: of luminosities.
        luminosities: of the asymptotic curve.
        curves: asymptotic significance of each observable, and of all together.
        required: luminosity at which each reaches the target; infinite if ``farthest`` does not do.
        toys: checks with toys.
        distributions: q of toys of truth and null by (observable, luminosity).
        versus: along one or two parameters of the truth, if the card asks.
        limits: on couplings, if the card asks.
        binnings: the best edges of one bin, two, ..., if the card asks.
        what_if: luminosity for the target by name and observable, of each of the card's ``what_if``.
    """

    card: SensitivityCard
    unit: str
    luminosities: Array
    curves: Mapping[str, Array]
    required: Mapping[str, float]
    toys: tuple[ToyPoint, ...]
    distributions: Mapping[tuple[str, float], tuple[Array, Array]]
    versus: Versus | None = None
    limits: tuple[ExpectedLimit, ...] = ()
    binnings: tuple[Binning, ...] = ()
    what_if: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """Name of the data set, or of all that are asked together."""
        return " and ".join(get_dataset(name).name for name in (self.card.dataset, *self.card.together))

    @property
    def farthest(self) -> float:
        """The highest luminosity that was tried."""
        return FARTHEST * get_dataset(self.card.dataset).luminosity

    @property
    def best(self) -> str:
        """The single observable that gets there first."""
        single = {name: value for name, value in self.required.items() if name != COMBINED}
        return min(single, key=lambda name: single[name])

    def answer(self) -> str:
        """The answer in one sentence."""
        card, name = self.card, self.best
        pair = f"{card.truth.title} and {card.null.title}"
        if not math.isfinite(self.required[name]) and not math.isfinite(self.required.get(COMBINED, math.inf)):
            return f"{card.target:g} sigma between {pair}: out of reach of {', '.join(self.curves)}"
        parts = []
        if math.isfinite(self.required[name]):
            parts.append(f"{name} alone needs {self.required[name]:.3g} {self.unit}")
        if COMBINED in self.required:
            parts.append(f"all observables together {self.required[COMBINED]:.3g} {self.unit}")
        return f"{card.target:g} sigma between {pair}: " + ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the toys' distributions in JSON types."""
        found = {
            "card": self.card,
            "unit": self.unit,
            "answer": self.answer(),
            "required": self.required,
            "luminosities": self.luminosities,
            "curves": self.curves,
            "toys": [
                {
                    "observable": t.observable,
                    "luminosity": t.luminosity,
                    "asimov": t.asimov,
                    "median_q": t.median_q,
                    "p_value": t.direct.value,
                    "p_value_error": t.direct.error,
                    "tail": t.tail,
                    "gaussian": t.gaussian,
                    "elsewhere": t.elsewhere,
                    "significance": t.significance,
                    "method": t.method,
                    "toys": t.direct.toys,
                    "failures": t.failures,
                }
                for t in self.toys
            ],
            "limits": [
                {key: value for key, value in limit.to_dict().items() if key not in ("unit", "points")}
                for limit in self.limits
            ],
            "versus": self.versus and self.versus.to_dict(),
            "best_bins": self.binnings,
            "what_if": self.what_if,
        }
        return {key: json_types(value) for key, value in found.items()}

    def records(self) -> list[dict[str, Any]]:
        """Return a dictionary for every observable: the luminosity it needs, NaN if out of reach, and what toys say."""
        rows = []
        for name, required in self.required.items():
            row: dict[str, Any] = {"observable": name, "required": required if math.isfinite(required) else math.nan}
            for t in self.toys:
                if t.observable == name:
                    row |= {f"asimov at {t.luminosity:g}": t.asimov, f"toys at {t.luminosity:g}": t.significance}
            rows.append(row)
        return rows


@dataclass(frozen=True, eq=False)
class _Question:
    """An experiment, what is true, and the two families that are fitted."""

    experiment: Experiment
    truth: Expected
    alternative: Family
    null: Family

    def at(self, luminosity: float) -> _Question:
        factor = luminosity / self.experiment.dataset.luminosity
        return _Question(
            self.experiment.scaled(luminosity),
            self.truth.scaled(factor),
            self.alternative.scaled(factor),
            self.null.scaled(factor),
        )

    @property
    def statistics(self) -> dict[str, Statistic]:
        """-2 ln L of every toy and point, by observable."""

        def single(term: Term) -> Statistic:
            return lambda data, expected, paired=False, rough=False: self.experiment.statistic(
                term, data, expected, paired, rough
            )

        found = {term.name: single(term) for term in self.experiment.terms}
        return found | ({COMBINED: self.experiment.combined} if len(found) > 1 else {})

    def q(self, data: Data) -> dict[str, Array]:
        """-2 ln L(null)/L(alternative), each at its best point, for every toy."""
        return {
            name: self.null.best(statistic, data)[0] - self.alternative.best(statistic, data)[0]
            for name, statistic in self.statistics.items()
        }

    def significance(self, name: str) -> float:
        """Asymptotic significance of one observable: the root of q at the Asimov data."""
        data, statistic = self.experiment.asimov(self.truth), self.statistics[name]
        q = self.null.best(statistic, data)[0] - self.alternative.best(statistic, data)[0]
        return math.sqrt(max(float(q[0]), 0.0))

    def reach(self, name: str, target: float, told: Mapping[float, float] | None = None) -> float:
        """Luminosity at which one observable reaches a significance; ``told`` are significances that are known."""
        return reach(lambda value: self.at(value).significance(name), target, self.experiment.dataset.luminosity, told)

    def nearest_null(self) -> Expected:
        """Point of the null that describes the expectation under the truth best: where its toys are made."""
        statistic = list(self.statistics.values())[-1]
        _, values = self.null.best(statistic, self.experiment.asimov(self.truth))
        paths = zip(self.null.hypothesis.scan, values[0].tolist(), strict=True)
        one = self.null.hypothesis.model_copy(update={"scan": {path: (v, v, 1) for path, v in paths}})
        return self.experiment.expect(one.models())


def _ask(card: SensitivityCard, truths: Sequence[Model]) -> list[_Question]:
    """The question for every one of some true models; all predictions are made together."""
    experiment = join_experiments(
        [
            experiment_of(card, get_dataset(name).with_detector(card.detector).of(card.null.base()))
            for name in (card.dataset, *card.together)
        ]
    )
    families = [h for h in (card.alternative, card.null) if h is not None]
    single = [h for h in families if not h.scan]
    together = experiment.expect([*truths, *(m for h in single for m in h.models())])
    points = [together.point(i) for i in range(len(truths))]
    others = iter(range(len(truths), len(truths) + len(single)))
    made = [Family(h, experiment, None if h.scan else together.point(next(others))) for h in families]
    null, floating = made[-1], made[0] if card.alternative is not None else None
    same = [Family(card.truth, experiment, point) for point in points]
    return [_Question(experiment, p, floating or f, null) for p, f in zip(points, same, strict=True)]


@shows_keys(SensitivityCard)
def sensitivity(
    card: CardSource | SensitivityCard = None,
    *,
    progress: Callable[[int], None] | None = None,
    threads: int | None = None,
    dask: str | None = None,
    **keys: Any,
) -> Sensitivity:
    """Answer a card: asymptotic curves, the luminosity for the target, and toys that check them.

    The asymptotic significance is the root of q at Asimov data of the truth (arXiv:1007.1727): exact in the
    limit of large counts for simple hypotheses. With a family as alternative it ignores the look-elsewhere
    effect, which the toys contain: they fit the same families to toys of the null.

    Args:
        card: a TOML file, a built-in card's name, a dictionary, or a `SensitivityCard`; its defaults without one.
        progress: called with the number of toys that were fitted, hypothesis by hypothesis.
        threads: CPU threads; all of them when None.
        dask: address of a Dask scheduler, or ``local:N``, whose workers fit the toys.
        **keys: keys of a `SensitivityCard`, on top of those of the card; ``set`` changes the model that is true.

    Raises:
        InputError: a card that cannot be used.

    Example:
        >>> answer = sensitivity(observables=["R_K+"], toys=0)
        >>> 1 < answer.required["R_K+"] < 1000
        True
    """
    with Workers(dask) as workers:
        return _answer(SensitivityCard.make(card, **keys), progress, threads, workers)


def _answer(
    card: SensitivityCard, progress: Callable[[int], None] | None, threads: int | None, workers: Workers
) -> Sensitivity:
    if card.truth.scan:
        raise InputError("truth.scan: the truth is one model; let the alternative float instead, or use versus")
    if card.limit and card.together:
        raise InputError("limit: is that of one data set; leave together out")
    dataset = get_dataset(card.dataset)
    low, high = card.curve or (0.003 * dataset.luminosity, 10.0 * dataset.luminosity)
    if not 0 < low < high:
        raise InputError(f"curve = {low:g}, {high:g}: needs 0 < first < last ({dataset.unit})")
    changed = {label: card.changed(keys) for label, keys in card.what_if.items()}
    line = card.truth.model_copy(update={"scan": card.versus})
    along = line.models() if card.versus else ()
    binnings = _best_bins(card)
    question, *others = _ask(card, [*card.truth.models(), *along])
    grid = np.geomspace(low, high, 41)
    names = tuple(question.statistics)
    curves = {
        name: np.array([q.significance(name) for q in map(question.at, grid.tolist())]) for name in question.statistics
    }
    told = {name: dict(zip(grid.tolist(), curve.tolist(), strict=True)) for name, curve in curves.items()}
    required = {name: question.reach(name, card.target, told[name]) for name in names}

    def limits_of(model: Model) -> tuple[ExpectedLimit, ...]:
        return tuple(expected_limit(question.experiment, model, *one) for one in card.limit.items())

    versus = None
    if card.versus:
        shape, each = line.shape, [limits_of(model) for model in along]
        versus = Versus(
            tuple(card.versus),
            tuple(axis.values for axis in line.axes),
            {name: np.reshape([q.reach(name, card.target) for q in others], shape) for name in names},
            {name: np.reshape([q.significance(name) for q in others], shape) for name in names},
            {path: tuple(row[i] for row in each) for i, path in enumerate(card.limit)},
        )
    limits = tuple(
        expected_limit(
            question.experiment,
            card.truth.base(),
            path,
            unit,
            toys=min(card.toys, LIMIT_TOYS),
            seed=card.seed,
            feldman_cousins=card.feldman_cousins,
        )
        for path, unit in card.limit.items()
    )
    points: list[ToyPoint] = []
    distributions: dict[tuple[str, float], tuple[Array, Array]] = {}
    if card.toys:
        for i, value in enumerate(card.luminosities or (dataset.luminosity,)):
            for point, both in _toys(question.at(float(value)), card, i, threads, workers, progress):
                points.append(point)
                distributions[point.observable, point.luminosity] = both
    what_if = {label: _what_if(other) for label, other in changed.items()}
    return Sensitivity(
        card, dataset.unit, grid, curves, required, tuple(points), distributions, versus, limits, binnings, what_if
    )


def _best_bins(card: SensitivityCard) -> tuple[Binning, ...]:
    """The best bins for the question of a card, by all its observables at the data set's luminosity."""
    if not card.best_bins:
        return ()
    ranges = stretches_of(card.bins)
    if len(ranges) > 1 and "bins" in card.model_fields_set:
        raise InputError("best_bins: takes one range of q2 and finds its edges; give bins without gaps")
    edges = ranges[0]  # of the default bins those below the J/psi
    known: dict[tuple[float, ...], float] = {}

    def score(edges: Sequence[float]) -> float:
        key = tuple(edges)
        if key not in known:
            (question,) = _ask(card.model_copy(update={"bins": key}), card.truth.models())
            known[key] = question.significance(list(question.statistics)[-1])
        return known[key]

    return tuple(best_bins(score, float(edges[0]), float(edges[-1]), card.best_bins))


def _what_if(card: SensitivityCard) -> dict[str, float]:
    """Luminosity for the target by observable."""
    (asked,) = _ask(card, card.truth.models())
    return {name: asked.reach(name, card.target) for name in asked.statistics}


def _toys(
    question: _Question,
    card: SensitivityCard,
    index: int,
    threads: int | None,
    workers: Workers,
    progress: Callable[[int], None] | None,
) -> list[tuple[ToyPoint, tuple[Array, Array]]]:
    experiment = question.experiment
    null = question.nearest_null()
    asimov = question.q(experiment.asimov(question.truth))
    free = len(card.alternative.scan) if card.alternative is not None else 0
    drawn = []
    for j, expected in enumerate((question.truth, null)):  # ``data`` are those of the null in the end
        how: dict[str, Any] = {"seed": card.seed, "sample": 2 * index + j, "systematics": card.systematics.toys}
        data = experiment.draw(expected, start=0, stop=card.toys, threads=threads, **how)
        if workers.dask is None:
            drawn.append(question.q(data))
        else:
            work = partial(_tested, question, expected, how)
            pieces = [q for _, q in workers.in_order(work, portions(0, card.toys))]
            drawn.append({name: np.concatenate([q[name] for q in pieces]) for name in pieces[0]})
        if progress:
            progress(card.toys)
    found = []
    for name in asimov:
        true, wrong = drawn[0][name], drawn[1][name]
        failures = int(np.isnan(true).sum() + np.isnan(wrong).sum())
        median = float(np.nanmedian(true))
        spread = float(np.nanstd(wrong))
        gaussian = (median - float(np.nanmedian(wrong))) / spread if spread > 0 else 0.0
        found.append(
            (
                ToyPoint(
                    name,
                    experiment.dataset.luminosity,
                    math.sqrt(max(float(asimov[name][0]), 0.0)),
                    median,
                    toy_p_value(wrong, median),
                    tail_p_value(wrong, median, free) if free else None,
                    gaussian,
                    global_p_value(question.alternative, question.null, question.statistics[name], data, median),
                    failures,
                ),
                (true, wrong),
            )
        )
    return found


def _tested(question: _Question, expected: Expected, how: Mapping[str, Any], start: int, stop: int) -> dict[str, Array]:
    """q of some toys of an expectation, by observable, on one thread."""
    return question.q(question.experiment.draw(expected, start=start, stop=stop, threads=1, **how))
