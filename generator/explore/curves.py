"""What is seen at a point: curves against q², theory bands, measured points, χ², significance. No browser in here.

Couplings move by hand, so everything that does not depend on them is kept: amplitudes of the Standard Model, those of
electrons if V does not couple to them, and predictions in bins as polynomials in the couplings. All values are those
of the commands ``predict``, ``constraints`` and ``scan``; the tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ...physics.amplitudes import decay_of, helicity_amplitudes, smooth_inputs
from ...physics.angular import angular_coefficients, breakpoints, coefficients_of, decay_rate
from ...physics.bins import BinPredictor, build_predictor, evaluate, linear_couplings, observable_channels
from ...physics.channels import Channel, get_channel
from ...physics.experiment.comparison import COLUMNS
from ...physics.experiment.datasets import load_data
from ...physics.experiment.likelihood import K_INV, Likelihood, get_group, select_measurements, theory_likelihood
from ...physics.models import Heavy, Model
from ...physics.observables import BinnedObservable
from ...physics.uncertainties import theory_error
from ..figures.figure_1 import PANELS, Q2_RANGE, Panel, Point, figure_1_points
from ..scans.invisible import find_spectrum
from ..toys.sensitivity import sensitivity

FloatArray = npt.NDArray[np.float64]
LOWEST = Q2_RANGE[0]
"""Lowest q² of charged leptons (GeV²)."""
POINTS = 300
"""Points of a curve, beside those that resonances need."""
_REFERENCE = MappingProxyType({"g_bs": 1e-8, "g_mu_v": 0.1, "g_mu_a": 0.1, "g_e_v": 0.1, "g_e_a": 0.1})


@dataclass(frozen=True)
class Shown:
    """One diagram against q²: an observable of one channel, or the rate of B → M + invisible (``BR inv``)."""

    name: str
    observable: str
    channel: str
    label: str
    q2: tuple[float, float]
    limits: tuple[float, float] | None = None
    panel: Panel | None = None

    @property
    def log(self) -> bool:
        """Whether its axis is logarithmic."""
        return self.limits is None


def _rate(decay: str) -> str:
    return f"dB({decay})/dq² [GeV⁻²]"


SHOWN = (
    *(
        Shown(panel.observable, panel.observable, panel.channel, label, Q2_RANGE, panel.limits, panel)
        for panel, label in zip(PANELS, ("R_K", "R_K*", "P₅′"), strict=True)
    ),
    Shown("dBR-K", "dBR", "B+->K+mumu", _rate("B⁺→K⁺μ⁺μ⁻"), (LOWEST, 22.9)),
    Shown("dBR-Kstar", "dBR", "B0->K*0mumu", _rate("B⁰→K*⁰μ⁺μ⁻"), (LOWEST, 19.3)),
    Shown("inv-K", "inv", "B+->K+nunu", _rate("B⁺→K⁺ inv"), (0.0, 22.9)),
    Shown("inv-Kstar", "inv", "B0->K*0nunu", _rate("B⁰→K*⁰ inv"), (0.0, 19.3)),
)
"""The diagrams, in the order of the page."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Values of one diagram at points of q² (GeV²)."""

    q2: FloatArray
    value: FloatArray


@lru_cache(maxsize=64)
def _coefficients(name: str, model: Model, q2: bytes) -> FloatArray:
    channel, places = get_channel(name), np.frombuffer(q2)
    one = _charged if channel.lepton else angular_coefficients
    return np.asarray(sum(one(channel, model, places, flavour) for flavour in (-1, 1)))


def _charged(channel: Channel, model: Model, q2: FloatArray, flavour: int) -> FloatArray:
    """`angular_coefficients` inside phase space, where form factors and the Standard Model's charm are kept."""
    conjugate = flavour > 0
    factors, standard = _smooth(channel.name.replace("ee", "mumu"), model.standard, q2.tobytes(), conjugate)
    wilson, decay = dict(standard), decay_of(channel, conjugate, model.theory)
    for part in model.new_physics.values():
        for key, value in part.shifts(decay, q2, model.width).items():
            wilson[key] = wilson.get(key, 0.0) + value
    amplitudes = helicity_amplitudes(channel, model, q2, conjugate, inputs=(factors, wilson))
    return coefficients_of(channel, amplitudes, q2, theory=model.theory)


@lru_cache(maxsize=64)
def _smooth(
    name: str, standard: Model, q2: bytes, conjugate: bool
) -> tuple[dict[str, FloatArray], dict[str, npt.NDArray[np.complex128]]]:
    return smooth_inputs(get_channel(name), standard, np.frombuffer(q2), conjugate)


def _seen(channel: Channel, model: Model) -> Model:
    """The model, or the Standard Model if a channel sees nothing else of it; without its name."""
    plain = model.model_copy(update={"name": "sm"})
    if channel.lepton is not None:
        return plain if linear_couplings(channel, plain) else plain.standard
    plain = plain.model_copy(update={"theory": model.theory.inputs})  # no charm in invisible pairs
    if channel.dynamics == "neutrino":
        heavy = any(abs(part) for flavour in ("e", "mu", "tau") for part in model.heavy.neutrino(flavour))
        return plain if heavy or any(vector.g_nu_mu for vector in model.light_vectors) else plain.standard
    return plain


def coefficients(channel: Channel, model: Model, q2: FloatArray) -> FloatArray:
    """J + J̄ (GeV⁻¹) of a channel at points of q² (GeV²), kept while nothing that it depends on changes.

    >>> from darkpenguin.physics.models import get_model
    >>> coefficients(get_channel("B+->K+mumu"), get_model("fig2"), np.array([2.0, 5.0])).shape
    (3, 2)
    """
    return _coefficients(channel.name, _seen(channel, model), np.ascontiguousarray(q2, dtype=float).tobytes())


def places(name: str, model: Model, points: int = POINTS) -> FloatArray:
    """Points of q² (GeV²) of all curves of a channel: denser at low q², where V is, and at charmonium.

    They do not move with couplings.

    >>> from darkpenguin.physics.models import get_model
    >>> bool(np.isclose(places("B+->K+mumu", get_model("fig2")), 2.5**2).any())
    True
    """
    channel, shape = get_channel(name), get_channel(name.replace("nunu", "chichi"))
    vectors = tuple((vector.mass, vector.total_width) for vector in model.light_vectors)
    edges = breakpoints(shape, model.keep(lambda mediator: True))
    limits = channel.q2_limits(model.parameters)
    return _places(limits, vectors, tuple(edges), tuple(model.theory.lines.values()), bool(channel.lepton), points)


@lru_cache(maxsize=64)
def _places(
    limits: tuple[float, float],
    vectors: tuple[tuple[float, float], ...],
    edges: tuple[float, ...],
    lines: tuple[tuple[float, float], ...],
    charged: bool,
    points: int,
) -> FloatArray:
    low, high = max(LOWEST if charged else 0.0, limits[0] + 1e-6), limits[1] - 1e-6
    dense = (np.geomspace if charged else np.linspace)(low or 1e-6, 1.0, points // 4)
    near = [mass**2 + mass * width * np.linspace(-3, 3, points // 4) for mass, width in vectors]
    narrow = [mass**2 + mass * width * np.linspace(-4, 4, 41) for mass, width in lines if charged]
    smooth = [np.linspace(1.0, Q2_RANGE[1], points // 2), np.linspace(Q2_RANGE[1], high, points // 2)]
    q2 = np.unique(np.concatenate([dense, *smooth, edges, *near, *narrow]))
    return np.asarray(q2[(q2 >= low) & (q2 <= high)])


def values(shown: Shown, model: Model, q2: FloatArray) -> FloatArray:
    """Values of a diagram at points of q² (GeV²): those of ``predict``; dB/dq² in GeV⁻².

    Of B → M + invisible it is νν̄ and χχ of the model together, the mean of B and its conjugate.

    Raises:
        InputError: χχ of a V whose g_χ is not known.

    Example:
        >>> from darkpenguin.physics.models import get_model
        >>> values(SHOWN[0], get_model("sm"), np.array([3.0])).round(2)
        array([1.])
    """
    return _values(shown, model, lambda name: coefficients(get_channel(name), model, q2))


def _values(shown: Shown, model: Model, part: Callable[[str], FloatArray]) -> FloatArray:
    """Values of a diagram from the J + J̄ of its channels by name."""
    lifetime = model.parameters[f"tau_{get_channel(shown.channel).parent}"]
    if shown.observable == "inv":
        names = [shown.channel]
        if any(one.dark for one in model.interactions.values()):
            names.append(shown.channel.replace("nunu", "chichi"))
        return np.asarray(0.5 * lifetime * sum(decay_rate(part(name)) for name in names))
    names = list(observable_channels(BinnedObservable(shown.observable, shown.channel)))
    return np.asarray(evaluate(shown.observable, [part(name) for name in names], lifetime))


def curves(model: Model, points: int = POINTS) -> dict[str, Curve]:
    """All curves of a model by the name of their diagram.

    >>> from darkpenguin.physics.models import get_model
    >>> list(curves(get_model("fig2"), 20))
    ['R_K+', 'R_K*0', 'P5p', 'dBR-K', 'dBR-Kstar', 'inv-K', 'inv-Kstar']
    """
    grids = {name: places(name, model, points) for name in dict.fromkeys(shown.channel for shown in SHOWN)}
    part = cache(lambda grid, name: coefficients(get_channel(name), model, grids[grid]))
    found = {}
    for shown in SHOWN:
        q2 = grids[shown.channel]
        inside = (q2 >= shown.q2[0]) & (q2 <= shown.q2[1])
        found[shown.name] = Curve(q2[inside], _values(shown, model, partial(part, shown.channel))[inside])
    return found


def band(shown: Shown, model: Model, q2: FloatArray) -> FloatArray | None:
    """Error of the theory at points of q² (GeV²), that of ``predict --errors``; None for B → M + invisible."""
    if shown.observable == "inv":
        return None
    plain = model.model_copy(update={"name": "sm"})
    return _band(shown.observable, shown.channel, plain, np.ascontiguousarray(q2, dtype=float).tobytes())


@lru_cache(maxsize=64)
def _band(observable: str, channel: str, model: Model, q2: bytes) -> FloatArray:
    return theory_error(observable, channel, model, np.frombuffer(q2))


def measured(shown: Shown, data: str) -> list[Point]:
    """Measured points of a diagram of figure 1; nothing for the others.

    >>> [point.experiment for point in measured(SHOWN[0], "2017")]
    ['LHCb']
    """
    return [] if shown.panel is None else figure_1_points(shown.panel, data)


@lru_cache(maxsize=16)
def groups_of(data: str) -> tuple[str, ...]:
    """Groups of measurements that a data set has, of those that `compare` adds up, and Belle II's spectrum.

    >>> groups_of("2017")
    ('R_K', 'R_K*', 'P5p')
    """
    known = load_data(data)
    names = [name for names in COLUMNS.values() for name in names if select_measurements(known, get_group(name))]
    spectrum = known.curves.get("bplus_kplus_inv")
    return (*names, *([K_INV] if spectrum is not None and spectrum.file is not None else []))


@lru_cache(maxsize=16)
def _likelihood(data: str, standard: Model) -> Likelihood:
    known = load_data(data)
    return theory_likelihood(known, [name for name in groups_of(data) if name != K_INV], known.theory, standard)


@lru_cache(maxsize=16)
def _predictor(data: str, frame: Model) -> BinPredictor:
    return build_predictor(_likelihood(data, frame.standard).observables, frame)


def _frame(model: Model) -> Model:
    """The model with couplings of order one in place of its own: what its polynomials depend on."""

    def one(value: complex, size: float) -> complex:
        return complex(size, size) if complex(value).imag else complex(size)

    vectors = []
    for vector in model.light_vectors:
        update: dict[str, Any] = {name: one(getattr(vector, name), size).real for name, size in _REFERENCE.items()}
        vectors.append(vector.model_copy(update={**update, "g_bs": one(vector.g_bs, _REFERENCE["g_bs"])}))
    heavy: dict[str, complex] = model.heavy.model_dump()
    chosen = {name: one(value, 1.0) for name, value in heavy.items() if value or name in ("C9_mu", "C10_mu")}
    update = {"name": "frame", "light_vectors": tuple(vectors), "heavy": Heavy(**chosen)}
    return model.model_copy(update=update)


def chi2(model: Model, data: str) -> dict[str, float]:
    """χ² of each group of measurements, as of a scan; that of Belle II's spectrum is `chi2_invisible`.

    >>> from darkpenguin.physics.models import get_model
    >>> round(chi2(get_model("sm"), "2017")["R_K"], 1)
    6.9
    """
    likelihood = _likelihood(data, model.standard)
    couplings = {
        f"{part}.{name}": np.array([getattr(physics, name)])
        for part, physics in model.new_physics.items()
        for name in physics.linear_fields()
    }
    predictions = _predictor(data, _frame(model))(couplings)
    place = {observable: i for i, observable in enumerate(likelihood.observables)}
    by_group = {part.group.name: predictions[..., [place[o] for o in part.observables]] for part in likelihood.groups}
    return {name: float(value[0]) for name, value in likelihood.chi2(by_group).items()}


def chi2_invisible(model: Model, data: str) -> dict[str, float]:
    """-2 ln L of Belle II's spectrum of B⁺ → K⁺ + invisible by its group's name; nothing if a data set has none.

    >>> from darkpenguin.physics.models import get_model
    >>> chi2_invisible(get_model("sm"), "2017")
    {}
    """
    if K_INV not in groups_of(data):
        return {}
    spectrum = find_spectrum(load_data(data))
    return {K_INV: spectrum.minus_two_log(spectrum.strengths(model))}


@dataclass(frozen=True, eq=False)
class Significance:
    """Expected asymptotic significance (standard deviations) of a model against luminosity, by observable."""

    luminosity: FloatArray
    unit: str
    curves: Mapping[str, FloatArray]


def significance(model: Model, dataset: str, free: bool = False, observables: Sequence[str] = ()) -> Significance:
    """Expected significance with which a data set excludes the Standard Model if a model is right.

    That of ``darkpenguin sensitivity`` without toys; with ``free`` C9 of muons and electrons float in what is
    excluded, which takes ten seconds.
    """
    null: Any = {"model": "sm"}
    if free:
        null = {**null, "scan": {"heavy.C9_mu": (-3.0, 2.0, 7), "heavy.C9_e": (-3.0, 2.0, 7)}}
    asked: dict[str, Any] = {"observables": tuple(observables)} if observables else {}
    answer = sensitivity(
        truth={"model": model}, null=null, dataset=dataset, toys=0, what_if={}, threads=1, theory=model.theory, **asked
    )
    return Significance(answer.luminosities, answer.unit, answer.curves)
