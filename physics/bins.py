r"""Bin integrals of the angular coefficients as exact polynomials in the couplings.

At fixed masses and widths every amplitude is linear in the heavy Wilson coefficients and in the couplings of each
mediator (of V: the products g_bs g_ℓ), so every J_i, and its integral over a bin, is a quadratic form in them. A
plane of couplings then costs one matrix product. The kernels, amplitudes for a unit Wilson coefficient, do not know
the mediators at all: a new mass or width re-evaluates nothing but the propagator.
"""

from __future__ import annotations

import functools
import itertools
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from . import angular
from .amplitudes import decay_of, helicity_amplitudes
from .angular import breakpoints
from .channels import Channel, get_channel
from .definitions import of_sum
from .models import Heavy, Model
from .observables import OBSERVABLES, BinnedObservable, Observable, check_tagging, get_observable
from .parameters import Parameters
from .theory import Theory

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Bin = tuple[float, float]
Amplitudes = dict[str, ComplexArray]
_ORDER = 10
_BROAD = 0.2  # GeV²: a resonance with m Γ above this is smooth on the panels of the Standard Model


class Direction(NamedTuple):
    """A complex number that amplitudes are linear in.

    ``path`` is that of a part of the model ("heavy", "light_vectors.0"), ``term`` the name of one of its terms, whose
    product of couplings is the number: of V, g_bs (C9, C10) or g_bs_right (C9p, C10p) times the vector (C9, C9p) or
    axial (C10, C10p) coupling to the lepton.
    """

    path: str
    term: str


def bin_quadrature(channel: Channel, bins: Sequence[Bin], model: Model | None = None) -> tuple[FloatArray, FloatArray]:
    """Nodes (n,) in GeV² and weights (n_bins, n): the integral over bin k is ``weights[k] @ values``.

    Bins are cut at threshold and endpoint. The nodes are the same for all models with broad resonances.

    >>> from darkpenguin.physics.channels import get_channel
    >>> q2, weights = bin_quadrature(get_channel("B+->K+mumu"), [(1.0, 6.0), (4.0, 6.0)])
    >>> (weights @ q2**2).round(9).tolist()
    [71.666666667, 50.666666667]
    """
    narrow = (model or Model()).keep(lambda mediator: mediator.mass * mediator.total_width < _BROAD)
    points = breakpoints(channel, narrow)
    low = max(min(b[0] for b in bins), points[0])
    high = min(max(b[1] for b in bins), points[-1])
    edges = np.unique(np.concatenate([points, np.ravel(bins)]))
    q2, weight = angular.quadrature(edges, low, high, order=_ORDER)
    return q2, np.array([np.where((q2 > b[0]) & (q2 < b[1]), weight, 0.0) for b in bins])


@dataclass(frozen=True, eq=False)
class Kernels:
    """Amplitudes on nodes of q2, of both flavours: of the SM, and for each effective coefficient shifted by one."""

    standard: tuple[Amplitudes, Amplitudes]
    unit: Mapping[str, tuple[Amplitudes, Amplitudes]]


@lru_cache(maxsize=32)
def _kernels(name: str, nodes: bytes, theory: Theory) -> Kernels:
    channel = get_channel(name)
    q2 = np.frombuffer(nodes)
    terms = Heavy().terms(decay_of(channel, theory=theory))
    units = [Model(theory=theory)]
    units += [Model(heavy=Heavy(**{term.couplings[0]: 1.0}), theory=theory) for term in terms]
    both = [helicity_amplitudes(channel, units, q2, conjugate) for conjugate in (False, True)]
    standard = [{key: value[0] for key, value in amplitudes.items()} for amplitudes in both]
    unit = {
        short: tuple({key: (v[i + 1] - v[0]) / factor for key, v in amplitudes.items()} for amplitudes in both)
        for i, term in enumerate(terms)
        for short, factor in term.shifts.items()
    }
    return Kernels((standard[0], standard[1]), {short: (pair[0], pair[1]) for short, pair in unit.items()})


def _direction_amplitudes(
    channel: Channel, model: Model, direction: Direction, part: str, kernels: Kernels, q2: FloatArray, side: int
) -> Amplitudes:
    """Amplitudes for a direction's number set to 1, or to i if ``part`` is "imag"; ``side`` is 1 for the conjugate."""
    decay = decay_of(channel, bool(side), model.theory)
    physics = model.new_physics[direction.path]
    term = next(term for term in physics.terms(decay) if term.name == direction.term)
    wave: Any = physics.wave(decay, q2, model.width)
    if part == "imag":
        # the CP conjugate has the conjugate of a weak coupling, not the conjugate propagator
        wave = wave * (-1j if side and term.weak else 1j)
    units = [(factor, kernels.unit[short][side]) for short, factor in term.shifts.items()]
    return {key: wave * sum(factor * unit[key] for factor, unit in units) for key in kernels.standard[side]}


def linear_couplings(channel: Channel, model: Model, values: Mapping[str, Any] | None = None) -> dict[Direction, Any]:
    """The numbers that the amplitudes of a channel are linear in; those that are zero are left out.

    ``values`` replaces couplings of the model by arrays, by path: ``light_vectors.0.g_mu_v``,
    ``heavy.C9_mu``. The arrays broadcast.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> found = linear_couplings(get_channel("B+->K+mumu"), get_model("fig2"))
    >>> [(d.term, round(complex(z).real, 12)) for d, z in found.items()]
    [('C9', -1.5e-09), ('C10', 6.6e-10)]
    """
    given = dict(values or {})
    found: dict[Direction, Any] = {}

    def value(path: str, default: complex) -> Any:
        chosen = given.get(path, default)
        # a scalar of NumPy, not an array: CuPy multiplies with the first only
        return np.complex128(chosen) if isinstance(chosen, (int, float, complex)) else chosen

    decay = decay_of(channel, theory=model.theory)
    for part, physics in model.new_physics.items():
        for term in physics.terms(decay):
            numbers = (value(f"{part}.{field}", getattr(physics, field)) for field in term.couplings)
            found[Direction(part, term.name)] = functools.reduce(operator.mul, numbers)
    return {direction: z for direction, z in found.items() if bool((z != 0).any())}


@dataclass(frozen=True, eq=False)
class BinPolynomial:
    r"""Bin integrals of the J_i of both flavours as a quadratic form in the couplings of one channel.

    ``basis`` lists the real coordinates, real or imaginary parts of directions in units of ``scale``, and
    ``coefficients`` is (2, n_monomials, n_bins, n_coefficients) for J (flavour -1) and J̄ (+1); the
    monomials are u_k u_l with 0 <= k <= l, where u_0 = 1.
    """

    channel: Channel
    bins: tuple[Bin, ...]
    basis: tuple[tuple[Direction, str], ...]
    scale: FloatArray
    coefficients: FloatArray

    def monomials(self, couplings: Mapping[Direction, Any], xp: Any = np) -> Any:
        """Monomials (n_points, n_monomials) of couplings, whose arrays have shape (n_points,) or ()."""
        found = [couplings.get(direction, 0.0) for direction, _ in self.basis]
        u = [xp.ones(1)]
        for z, (_, part), scale in zip(found, self.basis, self.scale, strict=True):
            u.append(xp.atleast_1d(getattr(xp.asarray(z), part)) / float(scale))
        u = xp.broadcast_arrays(*u)
        return xp.stack([a * b for a, b in itertools.combinations_with_replacement(u, 2)], axis=-1)

    def __call__(self, couplings: Mapping[Direction, Any], xp: Any = np) -> Any:
        """J + J̄ integrated over the bins (GeV): (n_coefficients, n_points, n_bins), one matrix product.

        ``xp`` is the library of the couplings' arrays, NumPy or CuPy, and of the result.
        """
        unknown = set(couplings) - {direction for direction, _ in self.basis}
        if unknown:
            raise ValueError(f"the polynomial was made without {sorted(unknown)}")
        both = self.coefficients.sum(axis=0)
        monomials = self.monomials(couplings, xp)
        flat = monomials @ xp.asarray(both.reshape(len(both), -1))
        return xp.moveaxis(flat.reshape(len(monomials), *both.shape[1:]), -1, 0)


def build_polynomial(
    channel: Channel, bins: Sequence[Bin], model: Model, couplings: Mapping[Direction, Any]
) -> BinPolynomial:
    """The polynomial of a channel for a model's masses and widths, in the directions that ``couplings`` uses.

    Exact: with the bilinear form B of J = B(A, A), the coefficients are B(A0, A0), 2 B(A0, D_k) and B(D_k,
    D_l), each found by polarisation from the angular coefficients of sums of two amplitudes.
    """
    q2, weights = bin_quadrature(channel, bins, model)
    kernels = _kernels(channel.name, q2.tobytes(), model.theory)
    basis, scales = [], []
    for direction, z in couplings.items():
        for part in ("real", "imag"):
            largest = float(abs(getattr(z, part)).max())
            if largest > 0.0:
                basis.append((direction, part))
                scales.append(largest)
    rows = []
    for side in (0, 1):
        vectors = [kernels.standard[side]]
        for (direction, part), scale in zip(basis, scales, strict=True):
            unit = _direction_amplitudes(channel, model, direction, part, kernels, q2, side)
            vectors.append({key: scale * value for key, value in unit.items()})
        squares = _integrals(channel, vectors, q2, weights, model.theory)
        pairs = list(itertools.combinations(range(len(vectors)), 2))
        sums = [{key: vectors[i][key] + vectors[j][key] for key in vectors[i]} for i, j in pairs]
        cross = dict(zip(pairs, _integrals(channel, sums, q2, weights, model.theory), strict=True)) if sums else {}
        for (i, j), value in cross.items():
            cross[i, j] = value - squares[i] - squares[j]
        order = itertools.combinations_with_replacement(range(len(vectors)), 2)
        rows.append(np.stack([squares[i] if i == j else cross[i, j] for i, j in order]))
    return BinPolynomial(channel, tuple(bins), tuple(basis), np.array(scales), np.stack(rows))


def _integrals(
    channel: Channel, amplitudes: Sequence[Amplitudes], q2: FloatArray, weights: FloatArray, theory: Theory
) -> FloatArray:
    """Bin integrals of the J_i of each set of amplitudes: (n_sets, n_bins, n_coefficients)."""
    stacked = {key: np.stack([a[key] for a in amplitudes]) for key in amplitudes[0]}
    j = angular.coefficients_of(channel, stacked, q2, theory=theory)
    return np.moveaxis(j @ weights.T, 0, -1)


def evaluate(name: str, parts: Sequence[Any], lifetime: float | None = None, width: float = 1.0) -> Any:
    """An observable from J + J̄, at points of q2 or integrated over bins, of each of its channels.

    ``parts`` has one array for each of ``observable_channels``, J_i along the first axis; the result has the
    shape of the rest. The formula is that of the table, on any array library. A rate (dBR) needs the ``lifetime`` of
    the B (1/GeV) and the ``width`` of the bin (GeV²).

    >>> float(evaluate("R_K+", [np.array([1.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0])]))
    0.5
    """
    values = [get_observable(name).formula(replace(of_sum(j), lifetime=lifetime, width=width)) for j in parts]
    return values[0] if len(values) == 1 else values[0] / values[1]


def evaluate_bin(observable: BinnedObservable, parts: Sequence[Any], parameters: Parameters) -> Any:
    """As `evaluate`, for a bin: a rate is its mean over the bin (1/GeV²)."""
    assert observable.channel is not None
    assert observable.q2_min is not None
    assert observable.q2_max is not None
    lifetime = parameters["tau_" + get_channel(observable.channel).parent]
    return evaluate(observable.name, parts, lifetime, observable.q2_max - observable.q2_min)


def predictable(row: Observable) -> bool:
    """Whether ``evaluate`` knows an observable: it needs J + J̄ alone, and no S wave."""
    return row.name != "ACP" and not row.s_wave and not row.asymmetry


def observable_channels(observable: BinnedObservable) -> tuple[str, ...]:
    """Channels whose integrals the observable needs: its own and, for a ratio R, the electronic one.

    >>> observable_channels(BinnedObservable("R_K+", "B+->K+mumu", 1.0, 6.0))
    ('B+->K+mumu', 'B+->K+ee')
    """
    if observable.channel is None:
        raise InputError(f"{observable}: not an observable of a decay in q2")
    row = OBSERVABLES.get(observable.name)
    if row is None or not predictable(row):
        known = (o.name for o in OBSERVABLES.values() if predictable(o))
        raise InputError(f"{observable}: no such observable here; one of {' '.join(known)}")
    check_tagging(row, get_channel(observable.channel))
    return (observable.channel,) if row.denominator is None else (observable.channel, row.denominator)


@dataclass(frozen=True, eq=False)
class BinPredictor:
    """Predictions of binned observables for any couplings, at the masses and widths of one model.

    >>> from darkpenguin.physics.models import get_model
    >>> r_k = BinnedObservable("R_K+", "B+->K+mumu", 1.0, 6.0)
    >>> predictor = build_predictor([r_k], get_model("fig2"))
    >>> predictor({"light_vectors.0.g_mu_v": np.array([0.0, 0.1]), "light_vectors.0.g_mu_a": 0.0})[0].round(3)
    array([1.])
    """

    observables: tuple[BinnedObservable, ...]
    model: Model
    polynomials: Mapping[str, BinPolynomial]

    def __call__(self, values: Mapping[str, Any] | None = None) -> Any:
        """Predictions (n_points, n_observables); ``values`` are arrays of couplings by path, of one shape."""
        integrals: dict[str, Any] = {}
        xp = next((n for n in map(namespace, (values or {}).values()) if n is not np), np)
        for name, polynomial in self.polynomials.items():
            integrals[name] = polynomial(linear_couplings(polynomial.channel, self.model, values), xp)
        size = max(j.shape[1] for j in integrals.values())
        columns = []
        for observable in self.observables:
            parts = []
            for name in observable_channels(observable):
                k = self.polynomials[name].bins.index((observable.q2_min, observable.q2_max))
                parts.append(integrals[name][:, :, k])
            columns.append(evaluate_bin(observable, parts, self.model.parameters) * xp.ones(size))
        return xp.stack(columns, axis=-1)


def build_predictor(
    observables: Sequence[BinnedObservable], model: Model, values: Mapping[str, Any] | None = None
) -> BinPredictor:
    """Predictor for a model's masses and widths.

    ``values`` are the couplings that it will be called with, or any with the same ones different from zero
    (and with the same phases): directions that are zero here cost nothing and are not there later.
    """
    bins: dict[str, dict[Bin, None]] = {}
    for observable in observables:
        for name in observable_channels(observable):
            assert observable.q2_min is not None
            assert observable.q2_max is not None
            bins.setdefault(name, {})[(observable.q2_min, observable.q2_max)] = None
    polynomials = {}
    for name, wanted in bins.items():
        channel = get_channel(name)
        polynomials[name] = build_polynomial(channel, list(wanted), model, linear_couplings(channel, model, values))
    return BinPredictor(tuple(observables), model, polynomials)


def namespace(array: Any) -> Any:
    """NumPy, or the library that the array comes from."""
    return np if isinstance(array, (np.ndarray, float)) else sys.modules[type(array).__module__.split(".")[0]]
