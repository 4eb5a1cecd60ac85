r"""Observables of B → K(*) ℓℓ as functions of q2 and in bins, for one model or many at once.

Every observable is a function of the CP-averaged or CP-odd sums of angular coefficients (J of the b-quark
decay, J̄ of its conjugate), at a q2 or integrated over a bin. In a bin numerator and denominator are
integrated first, as the experiments do. ``OBSERVABLES`` is the table of them; a new one is a row there.

Conventions are LHCb's (arXiv:1512.04442): S_i = ∓(J_i+J̄_i)/(Γ+Γ̄) with minus for i = 4, 6s, 6c, 7, 9; A_FB
= ¾S_6s+⅜S_6c; F_L = -S_2c; P_1 = S_3/(2S_2s); P_2 = S_6s/(8S_2s); P_3 = -S_9/(4S_2s); P'_4,5,6,8 =
S_4,5,7,8/(2√(-S_2s S_2c)), with lepton masses kept: for massless leptons these are the usual 2S_3/(1-F_L)
and S_5/√(F_L(1-F_L)). (P_2 and P_3 differ in sign from arXiv:1303.5794.) A_CP is the usual (Γ̄_B -
Γ_B)/(Γ̄_B + Γ_B), where Γ̄_B belongs to the B̄0 or B-: for K*, flavio's function of that name is half of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from .amplitudes import Array
from .angular import angular_coefficients, breakpoints, decay_rate, quadrature
from .channels import CHANNELS, V_COEFFICIENTS, Channel, get_channel, lepton_pairs
from .models import Model, get_model
from .parameters import load_parameters


@dataclass(frozen=True)
class BinnedObservable:
    """One observable in one bin of q2.

    ``name`` is that of `darkpenguin.physics.observables` (``R_K+``, ``P5p``, ``S5`` ...), ``channel`` the
    mode, for a ratio the muonic one, and None for a quantity that belongs to no decay. The bin (GeV²) is
    None for an observable that is not binned."""

    name: str
    channel: str | None = None
    q2_min: float | None = None
    q2_max: float | None = None

    def __str__(self) -> str:
        label = self.name if self.channel is None else f"{self.name}({self.channel})"
        return label if self.q2_min is None else f"{label} [{self.q2_min:g}, {self.q2_max:g}]"


#: most numbers of one array: models are taken in groups below this
_GROUP = 2_000_000


@dataclass(frozen=True)
class Averages:
    """What observables are made of: J and J̄, at q2 or integrated, each (n_coefficients, ...)."""

    channel: Channel
    b: Array
    conjugate: Array

    def s(self, name: str) -> Array:
        """CP-averaged sum J_i + J̄_i in LHCb's convention, not normalised."""
        sign = -1.0 if name in ("4", "6s", "6c", "7", "9") else 1.0
        index = self.channel.coefficients.index(name)
        return np.asarray(sign * (self.b[index] + self.conjugate[index]))

    @property
    def rate(self) -> Array:
        """Γ + Γ̄ (twice the CP average)."""
        return decay_rate(self.b) + decay_rate(self.conjugate)

    @property
    def rate_difference(self) -> Array:
        """Γ of the B̄0 or B- minus Γ of the B0 or B+."""
        return decay_rate(self.b) - decay_rate(self.conjugate)


Formula = Callable[[Averages], Array]


@dataclass(frozen=True)
class Observable:
    """One row of the table: how to compute it, how to write it, and on which channels.

    ``formula`` takes the averages of one channel; for a ratio of lepton flavours (``denominator`` given) it
    is evaluated on both channels and divided. ``spin`` is that of the hadron, None for either. ``channel``
    is the default. ``invisible``: also for B → K(*) χχ and νν̄.
    """

    name: str
    formula: Formula
    latex: str
    channel: str
    spin: int | None
    description: str
    unit: str = "1"
    denominator: str | None = None
    invisible: bool = False


def _branching(a: Averages) -> Array:
    lifetime = load_parameters()["tau_" + a.channel.parent]
    return np.asarray(0.5 * lifetime * a.rate)


def _afb(a: Averages) -> Array:
    if "b" in a.channel.coefficients:
        return np.asarray(a.s("b") / a.rate)
    return np.asarray((0.75 * a.s("6s") + 0.375 * a.s("6c")) / a.rate)


def _f_l(a: Averages) -> Array:
    """-S_2c, as LHCb has it; without charged leptons the cos²θ_K part of the rate (the same for m = 0)."""
    if a.channel.lepton is None:
        return np.asarray((0.75 * a.s("1c") - 0.25 * a.s("2c")) / a.rate)
    return np.asarray(-a.s("2c") / a.rate)


def _s(name: str) -> Formula:
    return lambda a: np.asarray(a.s(name) / a.rate)


def _p(name: str, factor: float) -> Formula:
    return lambda a: np.asarray(factor * a.s(name) / a.s("2s"))


def _p_prime(name: str) -> Formula:
    return lambda a: np.asarray(a.s(name) / (2.0 * np.sqrt(np.maximum(-a.s("2s") * a.s("2c"), 0.0))))


def _flat_term(a: Averages) -> Array:
    return np.asarray(2.0 * (a.s("a") + a.s("c")) / a.rate)


def _rows() -> dict[str, Observable]:
    star, plain = "B0->K*0mumu", "B+->K+mumu"
    dbr = r"d\mathcal{B}/dq^2\ [\mathrm{GeV}^{-2}]"
    rows = [
        Observable(
            "dBR",
            _branching,
            dbr,
            star,
            None,
            "CP-averaged differential branching fraction; in a bin its mean over the bin",
            "1/GeV^2",
            invisible=True,
        ),
        Observable("AFB", _afb, r"A_\mathrm{FB}", star, None, "forward-backward asymmetry"),
        Observable("FL", _f_l, r"F_L", star, 1, "longitudinal polarisation of the K*", invisible=True),
        Observable(
            "ACP",
            lambda a: np.asarray(a.rate_difference / a.rate),
            r"A_{CP}",
            star,
            None,
            "CP asymmetry of the rate",
            invisible=True,
        ),
        Observable("FH", _flat_term, r"F_H", plain, 0, "flat term of B -> K l l"),
        Observable("P1", _p("3", 0.5), "P_1", star, 1, "optimised angular observable"),
        Observable("P2", _p("6s", 0.125), "P_2", star, 1, "optimised angular observable"),
        Observable("P3", _p("9", -0.25), "P_3", star, 1, "optimised angular observable"),
        Observable("P4p", _p_prime("4"), "P_4'", star, 1, "optimised angular observable"),
        Observable("P5p", _p_prime("5"), "P_5'", star, 1, "optimised angular observable"),
        Observable("P6p", _p_prime("7"), "P_6'", star, 1, "optimised angular observable (from S7)"),
        Observable("P8p", _p_prime("8"), "P_8'", star, 1, "optimised angular observable"),
    ]
    for i in V_COEFFICIENTS:
        rows.append(Observable(f"S{i}", _s(i), f"S_{{{i}}}", star, 1, "CP-averaged angular observable"))
    for muons, electrons in lepton_pairs(CHANNELS):
        rows.append(
            Observable(
                muons.ratio,
                lambda a: a.rate,
                f"R_{{{muons.transition.hadron.latex}}}",
                muons.name,
                None,
                f"ratio of the rates of {muons.parent} -> {muons.hadron} mu mu and e e",
                "1",
                electrons.name,
            )
        )
    return {row.name: row for row in rows}


OBSERVABLES: Mapping[str, Observable] = MappingProxyType(_rows())
"""All observables by their name on the command line."""


def get_observable(name: str) -> Observable:
    """Observable by name; InputError with the nearest names for one that does not exist.

    >>> get_observable("P5p").latex
    "P_5'"
    """
    try:
        return OBSERVABLES[name]
    except (KeyError, TypeError):
        near = difflib.get_close_matches(str(name), OBSERVABLES, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "one of " + ", ".join(OBSERVABLES)
        raise InputError(f"observable = {name!r}: no such observable; {hint}") from None


Models = Model | str | Sequence[Model | str]


def _resolve(models: Models) -> tuple[tuple[Model, ...], bool]:
    if isinstance(models, (Model, str)):
        return (get_model(models) if isinstance(models, str) else models,), True
    return tuple(get_model(m) if isinstance(m, str) else m for m in models), False


def as_channel(channel: Channel | str) -> Channel:
    """The channel itself, or the one of this name."""
    return get_channel(channel) if isinstance(channel, str) else channel


def _channels(observable: Observable, channel: Channel | str | None) -> tuple[Channel, ...]:
    """Channel of the numerator and, for a ratio, of the denominator."""
    if observable.denominator is not None:
        if channel is not None and as_channel(channel).name not in (observable.channel, observable.denominator):
            raise InputError(
                f"channel = {as_channel(channel).name}: {observable.name} is the ratio of "
                f"{observable.channel} and {observable.denominator}; leave the channel out"
            )
        return get_channel(observable.channel), get_channel(observable.denominator)
    chosen = as_channel(observable.channel if channel is None else channel)
    if chosen.lepton is None and not observable.invisible:
        raise InputError(f"channel = {chosen.name}: {observable.name} needs charged leptons")
    if observable.spin is not None and chosen.spin != observable.spin:
        kind = "B -> K* l l" if observable.spin == 1 else "B -> K l l"
        raise InputError(f"channel = {chosen.name}: {observable.name} is defined for {kind}; take {observable.channel}")
    return (chosen,)


def curve(
    observable: Observable | str,
    models: Models,
    q2: npt.ArrayLike,
    channel: Channel | str | None = None,
) -> Array:
    """An observable as a function of q2 (GeV²): shape (n_q2,), or (n_models, n_q2) for a sequence of models.

    ``channel`` defaults to the observable's own. NaN where q2 is outside phase space.

    >>> bool(abs(curve("R_K+", "sm", [3.0])[0] - 1) < 0.01)
    True
    """
    row = get_observable(observable) if isinstance(observable, str) else observable
    resolved, single = _resolve(models)
    s = np.atleast_1d(np.asarray(q2, dtype=float))
    if not np.all(np.isfinite(s)):
        raise InputError("q2: a number is not finite")

    def evaluate(group: Sequence[Model]) -> Array:
        values = []
        for one in _channels(row, channel):
            averages = Averages(one, angular_coefficients(one, group, s, -1), angular_coefficients(one, group, s, +1))
            low, high = one.q2_limits()
            with np.errstate(divide="ignore", invalid="ignore"):
                values.append(np.where((s > low) & (s < high), row.formula(averages), np.nan))
        return _divide(values)

    result = _grouped(evaluate, resolved, len(s))
    return result[0] if single else result


def binned(
    observable: Observable | str,
    models: Models,
    bins: Sequence[tuple[float, float]] | npt.ArrayLike,
    channel: Channel | str | None = None,
) -> Array:
    """An observable in bins of q2: shape (n_bins,), or (n_models, n_bins) for a sequence of models.

    ``bins`` are pairs (q2_min, q2_max) in GeV². Parts of a bin outside phase space count as zero rate; a bin
    wholly outside is an InputError. Angular coefficients are integrated first; ``dBR`` is divided by the
    width of the bin. Relative accuracy about 1e-9.

    >>> value = binned("P5p", ["sm", "fig2"], [(4.0, 6.0)])
    >>> value.shape, bool(value[1, 0] > value[0, 0])
    ((2, 1), True)
    """
    row = get_observable(observable) if isinstance(observable, str) else observable
    resolved, single = _resolve(models)
    pairs = check_bins(bins)
    channels = _channels(row, channel)
    columns = []
    for low, high in pairs:

        def evaluate(group: Sequence[Model], low: float = low, high: float = high) -> Array:
            values = []
            for one in channels:
                averages = integrate(one, group, low, high)
                with np.errstate(divide="ignore", invalid="ignore"):
                    values.append(row.formula(averages)[:, None])
            return _divide(values)

        width = high - low if row.name == "dBR" else 1.0
        columns.append(_grouped(evaluate, resolved, 3000)[:, 0] / width)
    result = np.stack(columns, axis=-1)
    return result[0] if single else result


def integrate(channel: Channel, models: Sequence[Model], low: float, high: float) -> Averages:
    """J_i, J̄_i of each model integrated over q2 from ``low`` to ``high`` (GeV²): (n_coefficients, n_models).

    InputError where nothing of the range is inside phase space.

    >>> from darkpenguin.physics.channels import get_channel
    >>> integrate(get_channel("B+->K+mumu"), [get_model("sm")], 1.1, 6.0).b.shape
    (3, 1)
    """
    threshold, endpoint = channel.q2_limits()
    start, stop = max(low, threshold), min(high, endpoint)
    if not start < stop:
        raise InputError(
            f"q2 = {low:g} to {high:g} GeV^2: outside the phase space of {channel.name}, {threshold:.4g} to "
            f"{endpoint:.5g} GeV^2"
        )
    nodes, weights = quadrature(breakpoints(channel, models), start, stop)
    b, conjugate = (angular_coefficients(channel, models, nodes, flavour) @ weights for flavour in (-1, +1))
    return Averages(channel, b, conjugate)


def check_bins(bins: Sequence[tuple[float, float]] | npt.ArrayLike) -> list[tuple[float, float]]:
    """Bins as pairs of finite numbers in increasing order; InputError otherwise.

    >>> check_bins([(1.1, 6)])
    [(1.1, 6.0)]
    """
    try:
        pairs = np.asarray(bins, dtype=float).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InputError(f"bins = {bins!r}: pairs (q2_min, q2_max) are needed") from None
    if pairs.size == 0:
        raise InputError("bins: none given")
    for low, high in pairs:
        if not (np.isfinite(low) and np.isfinite(high) and 0.0 <= low < high):
            raise InputError(f"bins: {low:g} to {high:g} GeV^2 is no range; 0 <= q2_min < q2_max is needed")
    return [(float(low), float(high)) for low, high in pairs]


def _divide(values: Sequence[Array]) -> Array:
    if len(values) == 1:
        return values[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values[0] / values[1])


def _grouped(evaluate: Callable[[Sequence[Model]], Array], models: Sequence[Model], points: int) -> Array:
    """Evaluate in groups of models, so that memory stays bounded."""
    if not models:
        raise InputError("models: none given")
    size = max(1, _GROUP // max(points, 1))
    parts = [evaluate(models[i : i + size]) for i in range(0, len(models), size)]
    return np.concatenate(parts, axis=0)
