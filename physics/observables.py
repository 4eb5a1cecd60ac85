r"""Observables of B → K(*) ℓℓ: the table of them, and their values at a q2 and in bins, for one model or many.

Every observable is a row of ``OBSERVABLES``: a function of the CP-averaged or CP-odd sums of angular coefficients (J of
the b-quark decay, J̄ of its conjugate), at a q2 or integrated over a bin, or measured from events. In a bin numerator
and denominator are integrated first, as the experiments do. A new observable is a new row: predictions, curves, scans,
theory errors, binned files and toys take it from there.

Conventions are LHCb's (arXiv:1512.04442): S_i = ∓(J_i+J̄_i)/(Γ+Γ̄) with minus for i = 4, 6s, 6c, 7, 9; A_FB
= ¾S_6s+⅜S_6c; F_L = -S_2c; P_1 = S_3/(2S_2s); P_2 = S_6s/(8S_2s); P_3 = -S_9/(4S_2s); P'_4,5,6,8 =
S_4,5,7,8/(2√(-S_2s S_2c)). With which S_2s, S_2c lepton masses enter is said in `definitions`: for massless leptons
these are the usual 2S_3/(1-F_L) and S_5/√(F_L(1-F_L)). (P_2 and P_3 differ in sign from arXiv:1303.5794.) A_CP is the
usual (Γ̄_B - Γ_B)/(Γ̄_B + Γ_B), where Γ̄_B belongs to the B̄0 or B-: for K*, flavio's function of that name is half of
it. The A_i are the same with J_i-J̄_i; of a mode that does not tell its flavour (see `angular`) an untagged sample has
A_i in place of S_i for i = 5, 6, 8, 9, and what is made of these S_i cannot be had.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from .angular import angular_coefficients, breakpoints, decay_rate, quadrature
from .binning import read_pairs
from .channels import CHANNELS, Channel, get_channel, lepton_pairs
from .definitions import PREDICTED, Averages, as_defined, of_sum
from .kpi import KpiDecay, KpiSystem
from .local import Array
from .models import Model, as_model, by_theory
from .parameters import Parameters, load_parameters
from .wide import kpi_decay, wide_averages


@dataclass(frozen=True)
class BinnedObservable:
    """One observable in one bin of q2.

    ``name`` is that of `darkpenguin.physics.observables` (``R_K+``, ``P5p``, ``S5`` ...) or ``yield``, ``channel`` the
    mode, for a ratio the muonic one, and None for a quantity that belongs to no decay. The bin (GeV²) is
    None for an observable that is not binned."""

    name: str
    channel: str | None = None
    q2_min: float | None = None
    q2_max: float | None = None

    @property
    def window(self) -> tuple[float, float]:
        """Edges of the bin (GeV²); InputError for an observable that is not binned."""
        if self.q2_min is None or self.q2_max is None:
            raise InputError(f"observable = {self}: it has no bin of q2")
        return self.q2_min, self.q2_max

    def __str__(self) -> str:
        label = self.name if self.channel is None else f"{self.name}({self.channel})"
        return label if self.q2_min is None else f"{label} [{self.q2_min:g}, {self.q2_max:g}]"


#: most numbers of one array: models are taken in groups below this
_GROUP = 2_000_000


Formula = Callable[[Averages], Any]


@dataclass(frozen=True)
class Observable:
    """One row of the table: how to compute it, how to write it, and on which channels.

    ``formula`` is a pure function of the averages of one channel, analytic (errors are propagated by complex steps: no
    ``abs``, ``max``) and written for any array library; for a ratio of lepton flavours (``denominator`` given) it is
    evaluated on both channels and divided. ``spin`` is that of the hadron, None for either. ``channel`` is the default.
    ``invisible``: also for B → K(*) χχ and νν̄. ``untagged``: also of modes whose flavours have one final state, so of
    CP averages of 1, 2, 3, 4, 7 and CP asymmetries of 5, 6, 8, 9 only. ``asymmetry``: a CP asymmetry of angles, which
    files show of such modes alone, since both flavours are binned together. ``angular``: a function of the S_i or A_i
    alone. ``measured``: events of files and toys are asked for it, if it is angular. ``s_wave``: of Kπ in an S wave,
    which is in files and predictions with one. ``integrated``: of bins alone, and it grows with them. ``panel``: has a
    place in the figure of a binned file.
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
    angular: bool = True
    measured: bool = True
    s_wave: bool = False
    untagged: bool = False
    asymmetry: bool = False
    panel: bool = False
    integrated: bool = False


def _s(name: str, factor: float = 1.0) -> Formula:
    return lambda a: factor * a.s(name)


def _cp(name: str) -> Formula:
    return lambda a: a.cp(name)


def _p(name: str, factor: float) -> Formula:
    return lambda a: factor * a.s(name) / a.s("2s")


def _p_prime(name: str) -> Formula:
    return lambda a: a.s(name) / (2.0 * (-a.s("2s") * a.s("2c")) ** 0.5)


def _afb(a: Averages) -> Any:
    return a.s("b") if a.spin == 0 else 0.75 * a.s("6s") + 0.375 * a.s("6c")


def _rates(channel: str) -> list[Observable]:
    return [
        Observable(
            "dBR",
            lambda a: 0.5 * a.lifetime * a.rate / a.width,
            r"d\mathcal{B}/dq^2\ [\mathrm{GeV}^{-2}]",
            channel,
            None,
            "CP-averaged differential branching fraction; in a bin its mean over the bin",
            "1/GeV^2",
            invisible=True,
            angular=False,
            untagged=True,
        ),
        Observable(
            "BR",
            lambda a: 0.5 * a.lifetime * a.rate,
            r"\mathcal{B}",
            channel,
            None,
            "CP-averaged branching fraction in a bin; of all decays of the K*, or with --kpi of what it ends in",
            invisible=True,
            angular=False,
            untagged=True,
            integrated=True,
        ),
        Observable(
            "ACP",
            lambda a: a.difference / a.rate,
            r"A_{CP}",
            channel,
            None,
            "CP asymmetry of the rate",
            invisible=True,
            angular=False,
        ),
    ]


def _rows() -> dict[str, Observable]:
    star, plain, phi = "B0->K*0mumu", "B+->K+mumu", "Bs->phimumu"
    optimised, averaged = "optimised angular observable", "CP-averaged angular observable"
    asymmetry, s_wave = "CP asymmetry of angles", "angular observable of the K pi S wave"
    rows = [
        *_rates(star),
        Observable(
            "FL",
            _s("2c", -1.0),
            "F_L",
            star,
            1,
            "longitudinal polarisation",
            invisible=True,
            untagged=True,
            panel=True,
        ),
        *(
            Observable(f"S{i}", _s(i), f"S_{{{i}}}", star, 1, averaged, untagged=i != "5", panel=i == "5")
            for i in ("3", "4", "5")
        ),
        Observable("AFB", _afb, r"A_\mathrm{FB}", star, None, "forward-backward asymmetry", panel=True),
        *(Observable(f"S{i}", _s(i), f"S_{{{i}}}", star, 1, averaged, untagged=i == "7") for i in ("7", "8", "9")),
        *(
            Observable(f"A{i}", _cp(i), f"A_{{{i}}}", phi, 1, asymmetry, untagged=True, asymmetry=True)
            for i in ("5", "6s", "8", "9")
        ),
        Observable("P5p", _p_prime("5"), "P_5'", star, 1, optimised, panel=True),
        Observable("FS", _s("S"), "F_S", star, 1, "fraction of the K pi S wave", s_wave=True, panel=True),
        Observable(
            "AS", lambda a: 2.25 * (a.s("I1c") - a.s("I2c") / 3.0), "A_S", star, 1, s_wave, s_wave=True, panel=True
        ),
        *(
            Observable(f"AS{i}", _s(f"I{i}", 1.5), f"A_{{S{i}}}", star, 1, s_wave, s_wave=True)
            for i in ("4", "5", "7", "8")
        ),
        Observable("P1", _p("3", 0.5), "P_1", star, 1, optimised, untagged=True),
        Observable("P2", _p("6s", 0.125), "P_2", star, 1, optimised),
        Observable("P3", _p("9", -0.25), "P_3", star, 1, optimised),
        Observable("P4p", _p_prime("4"), "P_4'", star, 1, optimised, untagged=True),
        Observable("P6p", _p_prime("7"), "P_6'", star, 1, optimised + " (from S7)", untagged=True),
        Observable("P8p", _p_prime("8"), "P_8'", star, 1, optimised),
        Observable("FH", lambda a: 2.0 * (a.s("a") + a.s("c")), "F_H", plain, 0, "flat term of B -> K l l", panel=True),
        # F_L and A_FB stand for these in what is measured
        *(
            Observable(f"S{i}", _s(i), f"S_{{{i}}}", star, 1, averaged, measured=False, untagged=i[0] != "6")
            for i in ("1s", "1c", "2s", "2c", "6s", "6c")
        ),
    ]
    return {row.name: row for row in [*rows, *_ratios()]}


def _ratios() -> list[Observable]:
    """R of every hadron that has both lepton flavours."""
    return [
        Observable(
            muons.ratio,
            lambda a: a.rate,
            f"R_{{{muons.transition.hadron.latex}}}",
            muons.name,
            None,
            f"ratio of the rates of {muons.parent} -> {muons.hadron} mu mu and e e",
            "1",
            electrons.name,
            angular=False,
            untagged=True,
        )
        for muons, electrons in lepton_pairs(CHANNELS)
    ]


_TABLE = _rows()
OBSERVABLES: Mapping[str, Observable] = MappingProxyType(_TABLE)
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


def measured_observables(kind: str, self_tagging: bool = True) -> tuple[Observable, ...]:
    """Observables that the angles of events give, by the kind of their density, in the order of the table.

    Events of both flavours together; of a mode that is not ``self_tagging``, an untagged sample.

    >>> [row.name for row in measured_observables("scalar")]
    ['AFB', 'FH']
    >>> [row.name for row in measured_observables("vector", self_tagging=False)]
    ['FL', 'S3', 'S4', 'S7', 'A5', 'A6s', 'A8', 'A9', 'P1', 'P4p', 'P6p']
    """
    spin = 0 if kind == "scalar" else 1
    return tuple(
        row
        for row in OBSERVABLES.values()
        if row.angular and row.measured and row.spin in (spin, None) and (kind == "kpi" or not row.s_wave)
        if (not row.asymmetry if self_tagging else row.untagged)
    )


Models = Model | str | Sequence[Model | str]


def _resolve(models: Models) -> tuple[tuple[Model, ...], bool]:
    if isinstance(models, (Model, str)):
        return (as_model(models),), True
    return tuple(as_model(m) for m in models), False


def as_channel(channel: Channel | str) -> Channel:
    """The channel itself, or the one of this name."""
    return get_channel(channel) if isinstance(channel, str) else channel


def _channels(
    observable: Observable, channel: Channel | str | None, kpi: KpiSystem | None = None
) -> tuple[Channel, ...]:
    """Channel of the numerator and, for a ratio, of the denominator."""
    if observable.denominator is not None:
        if channel is not None and as_channel(channel).name not in (observable.channel, observable.denominator):
            raise InputError(
                f"channel = {as_channel(channel).name}: {observable.name} is the ratio of "
                f"{observable.channel} and {observable.denominator}; leave the channel out"
            )
        return get_channel(observable.channel), get_channel(observable.denominator)
    chosen = as_channel(observable.channel if channel is None else channel)
    if observable.s_wave and (kpi is None or kpi.s_wave == "none"):
        raise InputError(f"observable = {observable.name}: of the K pi S wave, which is not there; take kpi = 'swave'")
    check_tagging(observable, chosen)
    if chosen.lepton is None and not observable.invisible:
        raise InputError(f"channel = {chosen.name}: {observable.name} needs charged leptons")
    if observable.spin is not None and chosen.spin != observable.spin:
        kind = "B -> K* l l" if observable.spin == 1 else "B -> K l l"
        raise InputError(f"channel = {chosen.name}: {observable.name} is defined for {kind}; take {observable.channel}")
    return (chosen,)


def check_tagging(observable: Observable, channel: Channel) -> None:
    """InputError for an observable that needs the flavour of the B in a channel that does not tell it.

    >>> check_tagging(OBSERVABLES["S4"], get_channel("Bs->phimumu"))
    """
    if not (channel.self_tagging or observable.untagged):
        known = " ".join(row.name for row in OBSERVABLES.values() if row.untagged and row.denominator is None)
        raise InputError(
            f"channel = {channel.name}: {observable.name} needs to know which of {channel.parent} and its conjugate "
            f"decayed, and the final state is the same; an untagged sample has {known}"
        )


def curve(
    observable: Observable | str,
    models: Models,
    q2: npt.ArrayLike,
    channel: Channel | str | None = None,
    kpi: KpiSystem | None = None,
) -> Array:
    """An observable as a function of q2 (GeV²): shape (n_q2,), or (n_models, n_q2) for a sequence of models.

    ``channel`` defaults to the observable's own; the K* has no width unless ``kpi`` gives it one. NaN where q2 is
    outside phase space.

    >>> bool(abs(curve("R_K+", "sm", [3.0])[0] - 1) < 0.01)
    True
    """
    row = get_observable(observable) if isinstance(observable, str) else observable
    if row.integrated:
        raise InputError(f"observable = {row.name}: it is of a bin; give bins, or take dBR")
    resolved, single = _resolve(models)
    s = np.atleast_1d(np.asarray(q2, dtype=float))
    if not np.all(np.isfinite(s)):
        raise InputError("q2: a number is not finite")

    def evaluate(group: Sequence[Model]) -> Array:
        values = []
        for one in _channels(row, channel, kpi):
            known = group[0].parameters
            low, high = one.q2_limits(known)
            with np.errstate(divide="ignore", invalid="ignore"):
                if (wide := [kpi_decay(one, model, kpi) for model in group])[0] is not None:
                    found = np.stack([row.formula(wide_averages(decay, s)) for decay in wide if decay])
                else:
                    b, conjugate = (angular_coefficients(one, group, s, flavour) for flavour in (-1, +1))
                    found = row.formula(averages_of(one, b, conjugate, parameters=known))
                values.append(np.where((s > low) & (s < high), found, np.nan))
        return _divide(values)

    result = _grouped(evaluate, resolved, len(s))
    return result[0] if single else result


def binned(
    observable: Observable | str,
    models: Models,
    bins: Sequence[tuple[float, float]] | npt.ArrayLike,
    channel: Channel | str | None = None,
    kpi: KpiSystem | None = None,
) -> Array:
    """An observable in bins of q2: shape (n_bins,), or (n_models, n_bins) for a sequence of models.

    ``bins`` are pairs (q2_min, q2_max), or edges, in GeV². Parts of a bin outside phase space count as zero rate; a bin
    wholly outside is an InputError. Angular coefficients are integrated first; ``dBR`` is the mean over
    the bin. Relative accuracy about 1e-9. With ``kpi`` the Kπ pair has its mass in a window, and rates are of what the
    channel ends in (2/3 of a K*).

    >>> value = binned("P5p", ["sm", "fig2"], [(4.0, 6.0)])
    >>> value.shape, bool(value[1, 0] > value[0, 0])
    ((2, 1), True)
    """
    row = get_observable(observable) if isinstance(observable, str) else observable
    resolved, single = _resolve(models)
    pairs = read_pairs(bins)
    channels = _channels(row, channel, kpi)
    columns = []
    for low, high in pairs:

        def evaluate(group: Sequence[Model], low: float = low, high: float = high) -> Array:
            values = []
            for one in channels:
                with np.errstate(divide="ignore", invalid="ignore"):
                    if (wide := [kpi_decay(one, model, kpi) for model in group])[0] is not None:
                        of_bin = [_integrated(decay, low, high) for decay in wide if decay]
                        values.append(np.array([row.formula(averages) for averages in of_bin])[:, None])
                        continue
                    integrals = integrate(one, group, low, high)
                    averages = averages_of(one, *integrals, width=high - low, parameters=group[0].parameters)
                    values.append(row.formula(averages)[:, None])
            return _divide(values)

        columns.append(_grouped(evaluate, resolved, 3000)[:, 0])
    result = np.stack(columns, axis=-1)
    return result[0] if single else result


def _integrated(decay: KpiDecay, low: float, high: float) -> Averages:
    """Averages of a Kπ pair in a bin of q2 (GeV²)."""
    threshold, endpoint = decay.q2_limits(decay.system.m_min)
    start, stop = _inside(decay.channel, low, high, threshold, endpoint)
    return wide_averages(decay, *quadrature(decay.breakpoints(), start, stop), width=high - low)


def averages_of(
    channel: Channel, b: Array, conjugate: Array, width: float = 1.0, parameters: Parameters | None = None
) -> Averages:
    """What formulas take, from J and J̄ (first axis the coefficients) at points of q2 or integrated over a bin.

    ``parameters`` are those of the theory, for the lifetime; flavio's without.

    >>> from darkpenguin.physics.channels import get_channel
    >>> float(OBSERVABLES["FH"].formula(averages_of(get_channel("B+->K+mumu"), np.ones(3), np.ones(3))))
    1.5
    """
    found = of_sum(b + conjugate, b - conjugate)
    definition = PREDICTED[channel.dynamics] if channel.spin == 1 else as_defined
    return replace(
        found,
        s=definition(found.s),
        cp=definition(found.cp),
        difference=decay_rate(b) - decay_rate(conjugate),
        lifetime=(parameters or load_parameters())["tau_" + channel.parent],
        width=width,
    )


def integrate(channel: Channel, models: Sequence[Model], low: float, high: float) -> tuple[Array, Array]:
    """J_i and J̄_i of models of one theory integrated over a range of q2 (GeV²): (n_coefficients, n_models).

    InputError where nothing of the range is inside phase space.

    >>> from darkpenguin.physics.channels import get_channel
    >>> integrate(get_channel("B+->K+mumu"), [as_model("sm")], 1.1, 6.0)[0].shape
    (3, 1)
    """
    start, stop = _inside(channel, low, high, *channel.q2_limits(models[0].parameters))
    nodes, weights = quadrature(breakpoints(channel, models), start, stop)
    b, conjugate = (angular_coefficients(channel, models, nodes, flavour) @ weights for flavour in (-1, +1))
    return b, conjugate


def _inside(channel: Channel, low: float, high: float, threshold: float, endpoint: float) -> tuple[float, float]:
    """What of a range of q2 (GeV²) is inside phase space; InputError where nothing is."""
    start, stop = max(low, threshold), min(high, endpoint)
    if not start < stop:
        raise InputError(
            f"q2 = {low:g} to {high:g} GeV^2: outside the phase space of {channel.name}, {threshold:.4g} to "
            f"{endpoint:.5g} GeV^2"
        )
    return start, stop


def _divide(values: Sequence[Array]) -> Array:
    if len(values) == 1:
        return values[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(values[0] / values[1])


def _grouped(evaluate: Callable[[Sequence[Model]], Array], models: Sequence[Model], points: int) -> Array:
    """Evaluate in groups of models, each of one theory, so that memory stays bounded."""
    if not models:
        raise InputError("models: none given")
    size = max(1, _GROUP // max(points, 1))
    groups = by_theory(models)
    cuts = [group[i : i + size] for group in groups for i in range(0, len(group), size)]
    parts = [evaluate([models[i] for i in cut]) for cut in cuts]
    return np.concatenate(parts, axis=0)[np.argsort(np.concatenate(cuts))]
