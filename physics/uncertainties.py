r"""Theory errors: the spread of predictions over draws of flavio's parameters.

Form factors (with their correlations), CKM elements, masses and the nuisance parameters of subleading
hadronic effects are drawn as flavio's ``sm_uncertainty`` draws them. For each draw flavio gives what the
amplitudes are made of at a few nodes of q2; the difference to the central values is smooth, so its Chebyshev
series is kept, and the amplitudes of any model follow for all draws at once. All channels share the same
draws: errors are correlated.

The paper's χ² (its footnote 4) takes the Standard Model prediction of P5' and its error from its ref. [33]. What
differs here: prediction and error are those of the installed flavio; ``theory_covariance`` has the covariance
between all bins, of which scans use all or only the variance of each bin; the R ratios get their (tiny)
parametric error but no allowance for QED radiation, a few per cent at most, for which the experiments correct
(arXiv:1605.07633); and χ² uses the errors of the Standard Model at every point of a model's couplings.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.base.cache import cache_folder, from_cache, keep_newest, write_checked
from ..kinematics.base.errors import InputError
from . import amplitudes, angular
from .bins import build_predictor, evaluate, evaluate_bin, observable_channels
from .channels import Channel, get_channel
from .charmonium import Resonance
from .flavio_inputs import BLOCK, SEED, flavio_version, form_factors_in_use
from .local import CONSTANT, P_FORM_FACTORS, V_FORM_FACTORS
from .models import COEFFICIENTS, Model
from .modes import Transition
from .observables import BinnedObservable
from .parameters import FLAVIO, KEPT, SCALE, flavio_parameters, load_parameters, physics_fingerprint, refused
from .resonances import measured_changes, transitions
from .theory import Theory

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
N_DRAWS = BLOCK
"""Draws of the parameters: the error of an error is 7 %."""
RANGES = ((0.04, 8.70), (14.0, 22.9))
"""Ranges of q2 (GeV²) in which errors are known, the second to the end of phase space; elsewhere those of the nearest
end are used."""
CHARM_ERROR, CHARM_START = 0.2, 6.0
"""Relative error of a rate from charm, and the q2 (GeV²) from which on it is made. Resonances and their interference
are 20 % of B+ → K+ μμ above the ψ(3770) (LHCb, arXiv:1307.7595), and the tail of the J/ψ begins at about 6 GeV²."""
_SPLIT = 0.5 * (RANGES[0][1] + RANGES[1][0])
_DEGREE = 12


@dataclass(frozen=True, eq=False)
class Draws:
    """Differences between drawn and central ingredients of the amplitudes of one hadronic transition.

    ``rows`` (n_draws, n_rows, degree+1): Chebyshev series, in the root of q2, of the differences of the rows
    of `StandardModel.smooth`. ``extra`` (2, n_helicities, n_draws, degree+1): series of differences in
    spectator scattering and subleading effects times q2, q2, √q2 (B → V: helicities +, -, 0) or of √q2 h_V
    (B → P), for the b-quark decay and its conjugate. ``constant`` (n_draws, 2, 4), ``prefactors`` (n_draws,
    2), ``m_b`` (n_draws): the drawn values themselves.
    """

    rows: FloatArray
    extra: ComplexArray
    constant: ComplexArray
    prefactors: ComplexArray
    m_b: FloatArray


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What the formulas for amplitudes ask of a `StandardModel`, for all draws at once (first axis)."""

    m_parent: float
    m_hadron: float
    m_b: FloatArray
    prefactors: ComplexArray
    spectator: ComplexArray

    def spectator_amplitudes(self, q2: FloatArray, conjugate: bool = False) -> ComplexArray:
        return self.spectator

    def subleading_shifts(self, q2: FloatArray) -> None:
        """None: they are among the spectator amplitudes."""


def draw_coefficients(channel: Channel, model: Model, q2: npt.ArrayLike, flavour: int = -1) -> FloatArray:
    """J_i of every draw, (n_coefficients, n_draws, n_q2): as ``angular_coefficients``, q2 in GeV² and 1-d.

    >>> from darkpenguin.physics.models import get_model
    >>> j = draw_coefficients(get_channel("B0->K*0mumu"), get_model("sm"), [2.0, 5.0])
    >>> j.shape
    (12, 100, 2)
    """
    s = np.asarray(q2, dtype=float)
    above = s > _SPLIT
    if above.any() and not above.all():
        parts = [draw_coefficients(channel, model, s[here], flavour) for here in (~above, above)]
        found = np.empty((*parts[0].shape[:-1], len(s)))
        found[..., ~above], found[..., above] = parts
        return found
    region = int(above.all())
    conjugate = flavour > 0
    side = int(conjugate)
    theory = model.theory.central
    sm, m_l = amplitudes.standard_model(channel, theory), channel.lepton_mass(load_parameters(theory))
    draws = theory_draws(channel, region, theory)
    t = _basis(s, _range(channel.transition, region))
    rows = sm.smooth(s)[None] + draws.rows @ t
    factors = {name: rows[:, i] for i, name in enumerate(sm.form_factor_names)}
    first = len(sm.form_factor_names) + 4 * side
    wilson: dict[str, ComplexArray] = {
        "7": rows[:, first] + 1j * rows[:, first + 1],
        "v": rows[:, first + 2] + 1j * rows[:, first + 3],
        **{name: draws.constant[:, side, i, None] for i, name in enumerate(CONSTANT)},
    }
    prefactors = draws.prefactors.T[:, :, None]
    # eq. (9) divides by N, here by that of each draw: g_bs g_l stays what it is
    decay = amplitudes.decay_of(channel, conjugate, theory)._replace(prefactor=prefactors[side])
    wilson = {name: wilson.get(name, 0j) + np.zeros(s.shape, dtype=complex) for name in COEFFICIENTS.values()}
    for part in (*model.new_physics.values(), *amplitudes.nonlocal_physics(channel, theory)):
        sizes = _sizes(channel, theory, part.mass**2) if isinstance(part, Resonance) else {}
        for name, value in part.shifts(decay, s, model.width).items():
            wilson[name] = wilson.get(name, 0j) + value * sizes.get(name, 1.0)
    extra = draws.extra[side] @ t
    spectator = sm.spectator_amplitudes(s, conjugate)[:, None] * np.ones((1, len(draws.m_b), 1))
    if channel.spin == 1:
        spectator = spectator + extra / np.stack([s, s, np.sqrt(s)])[:, None]
    drawn: Any = _Drawn(sm.m_parent, sm.m_hadron, draws.m_b[:, None], prefactors, spectator)
    build = amplitudes.amplitudes_v if channel.spin == 1 else amplitudes.amplitudes_p
    h = build(drawn, factors, wilson, s, m_l, conjugate)
    if channel.spin == 0:
        h["V"] = h["V"] + extra[0] / np.sqrt(s)
    h = {name: np.broadcast_to(value, rows[:, 0].shape) for name, value in h.items()}
    return angular._COEFFICIENTS[channel.spin](h, sm, s, m_l)


def _sizes(channel: Channel, theory: Theory, pole: float) -> dict[str, FloatArray]:
    """What keeps the rate of a resonance at its pole (GeV²) what it is in every draw: factors of η, (n_draws, 1).

    The rate is the branching fraction, whatever the form factors; its error is in `resonance_covariance`.
    """
    sm, region, at = amplitudes.standard_model(channel, theory), int(pole > _SPLIT), np.array([pole])
    draws = theory_draws(channel, region, theory)
    known = sm.smooth(at)
    rows = known[None] + draws.rows @ _basis(at, _range(channel.transition, region))
    size = np.abs(sm.prefactors[0] / draws.prefactors[:, 0])[:, None]
    names = {"v0": "A12", "vpar": "A1", "vperp": "V"} if channel.spin == 1 else {"v0": "f+"}
    row = {name: sm.form_factor_names.index(factor) for name, factor in names.items()}
    return {name: size * known[i] / rows[:, i] for name, i in row.items()}


def theory_covariance(observables: Sequence[BinnedObservable], model: Model | None = None) -> FloatArray:
    """Covariance of the predictions of binned observables, for the Standard Model unless told.

    Over the draws, and of what is measured of the resonances that a theory has, see `resonance_covariance`.

    >>> from darkpenguin.physics.observables import BinnedObservable
    >>> p5 = [BinnedObservable("P5p", "B0->K*0mumu", 4.0, 6.0)]
    >>> bool(0.05 < theory_covariance(p5)[0, 0] ** 0.5 < 0.12)
    True

    Raises:
        InputError: amplitudes of another program, whose errors are not known.
    """
    drawn = np.atleast_2d(np.cov(theory_columns(observables, model)))
    return drawn + resonance_covariance(observables, model or Model())


def theory_columns(observables: Sequence[BinnedObservable], model: Model | None = None) -> FloatArray:
    """Predictions of binned observables for every draw, (observables, draws), for the Standard Model unless told.

    All share the draws, whatever the channel and the observable.

    >>> from darkpenguin.physics.observables import BinnedObservable
    >>> theory_columns([BinnedObservable("P5p", "B0->K*0mumu", 4.0, 6.0)]).shape
    (1, 100)

    Raises:
        InputError: amplitudes of another program, whose errors are not known.
    """
    if model is not None and model.theory.amplitudes != "flavio":
        raise InputError(f"theory.amplitudes = {model.theory.amplitudes!r}: it has no errors; take flavio")
    return _columns(tuple(observables), model or Model()).copy()


@lru_cache(maxsize=64)
def _columns(observables: tuple[BinnedObservable, ...], chosen: Model) -> FloatArray:
    return _in_bins(observables, chosen, draw_coefficients)


def _in_bins(
    observables: Sequence[BinnedObservable],
    model: Model,
    coefficients: Callable[..., FloatArray],
    places: Model | None = None,
) -> FloatArray:
    """Observables (n_observables, ...) from J_i as ``coefficients(channel, model, q2, flavour)``, (n_J, ..., n_q2).

    ``places`` is the model whose structure the quadrature knows, where that is another.
    """
    needed: dict[str, dict[tuple[float, float], None]] = {}
    for observable in observables:
        for name in observable_channels(observable):
            assert observable.q2_min is not None
            assert observable.q2_max is not None
            needed.setdefault(name, {})[(observable.q2_min, observable.q2_max)] = None
    integrals: dict[tuple[str, float | None, float | None], FloatArray] = {}
    for name, bins in needed.items():
        channel = get_channel(name)
        q2, weights = _quadrature(channel, list(bins), places or model)
        j = sum(coefficients(channel, model, q2, flavour) for flavour in (-1, 1))
        for (low, high), value in zip(bins, np.moveaxis(j @ weights.T, -1, 0), strict=True):
            integrals[name, low, high] = value
    columns = [
        evaluate_bin(o, [integrals[name, o.q2_min, o.q2_max] for name in observable_channels(o)], model.parameters)
        for o in observables
    ]
    return np.stack(columns)


def resonance_covariance(observables: Sequence[BinnedObservable], model: Model) -> FloatArray:
    """Covariance of binned observables from what is measured of resonances, to first order; zero without any.

    From their branching fractions, polarisations and relative phases, see `resonances.measured_changes`; their phase
    against the local amplitude is a choice and has no error.

    >>> from darkpenguin.physics.models import as_model
    >>> peak = [BinnedObservable("dBR", "B+->K+mumu", 9.0, 10.0)]
    >>> model = as_model("sm", theory={"nonlocal": "resonances"})
    >>> relative = resonance_covariance(peak, model)[0, 0] ** 0.5 / build_predictor(peak, model)()[0, 0]
    >>> round(float(relative), 3)    # 1.9 % of B(B+ -> J/psi K+), 0.5 % of B(J/psi -> e+ e-)
    0.019
    """
    return _of_resonances(tuple(observables), model).copy()


@lru_cache(maxsize=64)
def _of_resonances(observables: tuple[BinnedObservable, ...], model: Model) -> FloatArray:
    channels = [get_channel(name) for one in observables for name in observable_channels(one)]
    found = np.zeros((len(observables), len(observables)))
    for up, down, errors in _measured_changes(channels, model):
        ends = [_in_bins(observables, one, angular.angular_coefficients, model) for one in (up, down)]
        step = (ends[0] - ends[1]) / errors
        found += np.outer(step, step)
    return found


def _measured_changes(channels: Sequence[Channel], model: Model) -> list[tuple[Model, Model, float]]:
    """Models in which a measured number of a resonance is higher and lower, and by how many errors they differ."""
    theory, found = model.theory, []
    for *tables, errors in measured_changes(theory.nonlocal_, theory.resonances, transitions()):
        up, down = (model.model_copy(update={"theory": theory.changed({"resonances": table})}) for table in tables)
        if any(
            amplitudes.nonlocal_physics(one, up.theory) != amplitudes.nonlocal_physics(one, theory) for one in channels
        ):
            found.append((up, down, errors))
    return found


def charm_covariance(observables: Sequence[BinnedObservable], standard: Model | None = None) -> FloatArray:
    r"""Covariance from charm that flavio does not have, of rates (dBR) above ``CHARM_START``; zero for all else.

    An assumption, not a calculation: each rate is free by ``CHARM_ERROR`` of the Standard Model's, flavio's unless
    another is given. Bins of one hadron
    share it as far as they overlap, :math:`\rho = w_{12}/\sqrt{w_1 w_2}` of their widths, whatever the charge.

    >>> bins = [BinnedObservable("dBR", "B+->K+mumu", low, low + 1.0) for low in (4.0, 6.0, 6.5)]
    >>> error = np.sqrt(np.diag(charm_covariance(bins)))
    >>> float(error[0]), bool(0.6e-8 < error[1] < 0.8e-8)
    (0.0, True)
    """
    size = np.zeros(len(observables))
    edges = np.array([(o.q2_min, o.q2_max) for o in observables], dtype=float).reshape(-1, 2)
    for i, o in enumerate(observables):
        if o.name == "dBR" and edges[i, 0] >= CHARM_START:
            size[i] = CHARM_ERROR * _rate(o, standard or Model())
    overlap = np.minimum.outer(edges[:, 1], edges[:, 1]) - np.maximum.outer(edges[:, 0], edges[:, 0])
    width = edges[:, 1] - edges[:, 0]
    families = [get_channel(str(o.channel)).transition.family for o in observables]
    same = np.array([[a == b for b in families] for a in families]).reshape(overlap.shape)
    return np.asarray(np.outer(size, size) * same * np.maximum(overlap, 0.0) / np.sqrt(np.outer(width, width)))


@lru_cache(maxsize=512)
def _rate(observable: BinnedObservable, model: Model) -> float:
    return float(build_predictor([observable], model)()[0, 0])


def _quadrature(channel: Channel, bins: list[tuple[float, float]], model: Model) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of bins, good to some 1e-3 of an error: panels of 0.5 GeV², denser at threshold."""
    low, high = channel.q2_limits(model.parameters)
    start, stop = max(min(b[0] for b in bins), low), min(max(b[1] for b in bins), high)
    lines = angular.breakpoints(channel, model) if model.theory.lines else np.empty(0)
    points = np.concatenate([np.ravel(bins), [0.06, 0.1, 0.2], np.arange(0.5, high, 0.5), lines])
    q2, weight = angular.quadrature(points, start, stop, order=4)
    return q2, np.array([np.where((q2 > b[0]) & (q2 < b[1]), weight, 0.0) for b in bins])


def theory_error(name: str, channel: str, model: Model, q2: npt.ArrayLike) -> FloatArray:
    """Standard deviation of an observable at points of q2 (GeV²): as `theory_covariance`, of each point alone.

    >>> from darkpenguin.physics.models import get_model
    >>> bool(theory_error("R_K+", "B+->K+mumu", get_model("sm"), [3.0])[0] < 1e-3)
    True
    """
    s, lifetime = np.asarray(q2, dtype=float), model.parameters["tau_" + get_channel(channel).parent]
    channels = [get_channel(part) for part in observable_channels(BinnedObservable(name, channel))]

    def values(model: Model, coefficients: Callable[..., FloatArray]) -> FloatArray:
        parts = [sum(coefficients(one, model, s, flavour) for flavour in (-1, 1)) for one in channels]
        return np.asarray(evaluate(name, parts, lifetime))

    variance = np.var(values(model, draw_coefficients), axis=0, ddof=1)
    for up, down, errors in _measured_changes(channels, model):
        ends = (values(one, angular.angular_coefficients) for one in (up, down))
        variance = variance + ((next(ends) - next(ends)) / errors) ** 2
    return np.asarray(np.sqrt(variance))


def _range(transition: Transition, region: int) -> tuple[float, float]:
    """One of the ranges of q2 (GeV²), its end just inside the phase space of a transition."""
    known, (low, high) = load_parameters(), RANGES[region]
    end = (known[f"m_{transition.parent.name}"] - known[f"m_{transition.hadron.name}"]) ** 2
    return low, min(high, 0.999 * end)


def _basis(q2: FloatArray, span: tuple[float, float]) -> FloatArray:
    """Chebyshev polynomials (degree+1, n_q2) in √q2 over a range."""
    low, high = np.sqrt(span)
    x = (2.0 * np.sqrt(np.clip(q2, *span)) - low - high) / (high - low)
    return np.asarray(np.cos(np.arange(_DEGREE + 1)[:, None] * np.arccos(np.clip(x, -1.0, 1.0))))


def theory_draws(channel: Channel, region: int = 0, theory: Theory = FLAVIO) -> Draws:
    """Draws of the channel's hadronic transition about a theory in one of the ``RANGES``.

    From memory, the cache, or flavio (slow).

    They are the first draws that ``theory.draw`` names; parameters that are set by hand do not vary. The key of the
    cache holds the theory's inputs, flavio's version, the number of draws, the seed and all sources of physics.
    """
    return _draws(channel.transition, region, theory.central.inputs)


def _file(transition: Transition, region: int, theory: Theory) -> Path | None:
    folder = cache_folder()
    word = "-".join(filter(None, (transition.name.replace("->", "-").replace("*", "star"), theory.key)))
    word += ("", "-high")[region]
    name = f"draws-{word}-{flavio_version()}-{N_DRAWS}-{SEED}-{physics_fingerprint()[:16]}.npz"
    return folder / name if folder else None


@lru_cache(maxsize=64)
def _draws(transition: Transition, region: int, theory: Theory) -> Draws:
    path = _file(transition, region, theory)
    names = [field.name for field in fields(Draws)]

    def decode(content: bytes) -> Draws:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return Draws(**{name: stored[name] for name in names})

    known = None if path is None else from_cache(path, decode)
    if known is not None:
        return known
    with refused(theory), form_factors_in_use(theory.form_factors):
        made = _draw_one(transition, _range(transition, region), theory)
    if path is not None:
        buffer = io.BytesIO()
        np.savez(buffer, **{name: getattr(made, name) for name in names})
        write_checked(path, buffer.getvalue())
        if theory.key:
            keep_newest(path.parent, f"draws-*-????????????-{flavio_version()}-*.npz", KEPT)
    return made


@lru_cache(maxsize=2)
def _parameter_sets(theory: Theory) -> tuple[dict[str, float], list[dict[str, float]]]:
    """flavio's parameters under a theory, and its draws of them, which all transitions share; imports flavio."""
    drawn = (theory.model_copy(update={"draw": i}) for i in range(N_DRAWS))
    return flavio_parameters(theory), [flavio_parameters(one) for one in drawn]


def _draw_one(transition: Transition, span: tuple[float, float], theory: Theory) -> Draws:
    """Evaluate flavio at the nodes of a range of q2 for every set of parameters of a theory."""
    low, high = np.sqrt(span)
    x = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    nodes = (0.5 * (low + high) + 0.5 * (high - low) * x) ** 2
    transform = 2.0 / (_DEGREE + 1) * np.cos(np.outer(np.arange(_DEGREE + 1), np.arccos(x)))
    transform[0] *= 0.5
    start = _ingredients(transition, theory, None, nodes)
    found = [_ingredients(transition, theory, draw, nodes) for draw in range(N_DRAWS)]
    return Draws(
        rows=np.stack([(f.rows - start.rows) @ transform.T for f in found]),
        extra=np.stack([(f.extra - start.extra) @ transform.T for f in found], axis=2),
        constant=np.stack([f.constant for f in found]),
        prefactors=np.stack([f.prefactors for f in found]),
        m_b=np.array([f.m_b for f in found]),
    )


@dataclass(frozen=True, eq=False)
class _Ingredients:
    rows: FloatArray  # (n_rows, n_q2)
    extra: ComplexArray  # (2, n_helicities, n_q2)
    constant: ComplexArray  # (2, 4)
    prefactors: ComplexArray
    m_b: float


def _parameters(theory: Theory, draw: int | None) -> dict[str, float]:
    """One of the sets of a theory, the central one for None."""
    central, sets = _parameter_sets(theory)
    return central if draw is None else sets[draw]


@lru_cache(maxsize=4 * N_DRAWS)
def _effective(
    theory: Theory, draw: int | None, quarks: str, nodes: tuple[float, ...]
) -> tuple[FloatArray, ComplexArray]:
    """Effective coefficients of a set of parameters: four rows for b and four for its conjugate; the constant ones.

    Of flavio's they depend on the quarks, not on the hadrons: transitions with the same nodes share them.
    """
    from .flavio_parts import WilsonCoefficients, conjugate_par, conjugate_wc, get_wceff, meson_quark, wctot_dict

    parent, hadron = next(mesons for mesons, content in meson_quark.items() if content == quarks)
    par = _parameters(theory, draw)
    total = wctot_dict(WilsonCoefficients(), "bsmumu", SCALE, par)
    rows, constant = np.empty((8, len(nodes))), np.empty((2, len(CONSTANT)), dtype=np.complex128)
    for side, (parameters, coefficients) in enumerate(((par, total), (conjugate_par(par), conjugate_wc(total)))):
        for k, q2 in enumerate(nodes):
            wilson = get_wceff(q2, coefficients, parameters, parent, hadron, "mu", SCALE)
            rows[4 * side : 4 * side + 4, k] = [part for key in "7v" for part in (wilson[key].real, wilson[key].imag)]
        wilson = get_wceff(1.0, coefficients, parameters, parent, hadron, "mu", SCALE)
        constant[side] = [wilson[name] for name in CONSTANT]
    return rows, constant


def _ingredients(transition: Transition, theory: Theory, draw: int | None, nodes: FloatArray) -> _Ingredients:
    """flavio's ingredients of the amplitudes for a set of parameters; with its subleading effects if that is a draw."""
    from .flavio_parts import WilsonCoefficients, bpll, bvll, conjugate_par, meson_quark, running

    parent, hadron, spin = transition.parent.name, transition.hadron.name, transition.spin
    par, standard = _parameters(theory, draw), WilsonCoefficients()
    names = V_FORM_FACTORS if spin == 1 else P_FORM_FACTORS
    helicities = ("pl", "mi", "0") if spin == 1 else ("V",)
    rows = np.empty((len(names) + 8, len(nodes)))
    extra = np.zeros((2, len(helicities), len(nodes)), dtype=complex)
    module = bvll if spin == 1 else bpll
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "should not be trusted above 6 GeV^2": said in the README
        rows[len(names) :], constant = _effective(theory, draw, meson_quark[parent, hadron], tuple(nodes))
        for k, q2 in enumerate(nodes):
            factors = module.get_ff(q2, par.copy(), parent, hadron)  # flavio writes into its argument
            rows[: len(names), k] = [factors[name] for name in names]
            for side in (0, 1):
                if spin == 1:
                    shift = {}
                    scattering = bvll.get_ss(q2, standard, par, parent, hadron, cp_conjugate=bool(side))
                    if draw is not None:
                        shift = bvll.get_subleading(q2, standard, par, parent, hadron, cp_conjugate=bool(side))
                    for i, helicity in enumerate(helicities):
                        power = 0.5 if helicity == "0" else 1.0
                        value = scattering[helicity, "V"] + shift.get((helicity, "V"), 0.0)
                        extra[side, i, k] = value * q2**power
                elif draw is not None:
                    shift = bpll.get_subleading(q2, standard, par, parent, hadron, "mu", bool(side))
                    extra[side, 0, k] = shift.get("V", 0.0) * q2**0.5
    prefactors = np.array([bvll.prefactor(None, one, parent, hadron) for one in (par, conjugate_par(par))])
    return _Ingredients(rows, extra, constant, prefactors, float(running.get_mb(par, SCALE)))
