r"""Bin integrals of the angular coefficients as exact polynomials in the couplings.

At fixed masses and widths every amplitude is linear in the heavy Wilson coefficients and in the products g_bs
g_ℓ of each light vector, so every J_i, and its integral over a bin, is a quadratic form in them. A plane
of couplings then costs one matrix product. The kernels, amplitudes for a unit Wilson coefficient, do not know
the light vectors at all: a new mass or width re-evaluates nothing but the propagator.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from . import angular
from .amplitudes import helicity_amplitudes, standard_model
from .angular import breakpoints
from .channels import Channel, get_channel
from .definitions import of_sum
from .models import Heavy, Model
from .observables import OBSERVABLES, BinnedObservable, Observable, get_observable

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Bin = tuple[float, float]
Amplitudes = dict[str, ComplexArray]
_ORDER = 10
_BROAD = 0.2  # GeV²: a resonance with m Γ above this is smooth on the panels of the Standard Model
_COEFFICIENTS = ("C7", "C7p", "C9", "C9p", "C10", "C10p", "CS", "CSp", "CP", "CPp")
_LEPTONIC = _COEFFICIENTS[2:]


class Direction(NamedTuple):
    """A complex number that amplitudes are linear in.

    ``vector`` is the index of a light vector, whose number is g_bs (C9, C10) or g_bs_right (C9p, C10p) times
    the vector (C9, C9p) or axial (C10, C10p) coupling to the lepton; -1 means the heavy coefficient itself.
    """

    vector: int
    coefficient: str


def bin_quadrature(channel: Channel, bins: Sequence[Bin], model: Model | None = None) -> tuple[FloatArray, FloatArray]:
    """Nodes (n,) in GeV² and weights (n_bins, n): the integral over bin k is ``weights[k] @ values``.

    Bins are cut at threshold and endpoint. The nodes are the same for all models with broad resonances.

    >>> from darkpenguin.physics.channels import get_channel
    >>> q2, weights = bin_quadrature(get_channel("B+->K+mumu"), [(1.0, 6.0), (4.0, 6.0)])
    >>> (weights @ q2**2).round(9).tolist()
    [71.666666667, 50.666666667]
    """
    vectors = model.light_vectors if model is not None else ()
    narrow = tuple(vector for vector in vectors if vector.mass * vector.total_width < _BROAD)
    points = breakpoints(channel, Model(light_vectors=narrow))
    low = max(min(b[0] for b in bins), points[0])
    high = min(max(b[1] for b in bins), points[-1])
    edges = np.unique(np.concatenate([points, np.ravel(bins)]))
    q2, weight = angular.quadrature(edges, low, high, order=_ORDER)
    return q2, np.array([np.where((q2 > b[0]) & (q2 < b[1]), weight, 0.0) for b in bins])


@dataclass(frozen=True, eq=False)
class Kernels:
    """Amplitudes on nodes of q2: of the SM, and for each Wilson coefficient set to one, for both flavours."""

    standard: tuple[Amplitudes, Amplitudes]
    unit: Mapping[str, tuple[Amplitudes, Amplitudes]]


@lru_cache(maxsize=32)
def _kernels(name: str, nodes: bytes) -> Kernels:
    channel = get_channel(name)
    q2 = np.frombuffer(nodes)
    units = [Model()]
    units += [Model(heavy=Heavy(**{_heavy_key(c, channel): 1.0})) for c in _COEFFICIENTS]
    both = [helicity_amplitudes(channel, units, q2, conjugate) for conjugate in (False, True)]
    standard = [{key: value[0] for key, value in amplitudes.items()} for amplitudes in both]
    shifts = {
        c: tuple({key: value[i + 1] - value[0] for key, value in amplitudes.items()} for amplitudes in both)
        for i, c in enumerate(_COEFFICIENTS)
    }
    return Kernels((standard[0], standard[1]), {c: (pair[0], pair[1]) for c, pair in shifts.items()})


def _heavy_key(coefficient: str, channel: Channel) -> str:
    return f"{coefficient}_{channel.lepton}" if coefficient in _LEPTONIC else coefficient


def _direction_amplitudes(
    channel: Channel, model: Model, direction: Direction, kernels: Kernels, q2: FloatArray, side: int
) -> Amplitudes:
    """Amplitudes for a direction's number set to one; ``side`` is 1 for the CP conjugate."""
    kernel = kernels.unit[direction.coefficient][side]
    if direction.vector < 0:
        return kernel
    vector = model.light_vectors[direction.vector]
    wave = vector.propagator(q2, model.width) / standard_model(channel).prefactors[side]  # eq. (9)
    if direction.coefficient.startswith("C10") and vector.pseudoscalar:
        longitudinal = kernels.unit[direction.coefficient.replace("C10", "CP")][side]
        factor = -2.0 * channel.lepton_mass() / vector.mass**2  # eq. (7)
        return {key: wave * (kernel[key] + factor * longitudinal[key]) for key in kernel}
    return {key: wave * value for key, value in kernel.items()}


def linear_couplings(channel: Channel, model: Model, values: Mapping[str, Any] | None = None) -> dict[Direction, Any]:
    """The numbers that the amplitudes of a channel are linear in; those that are zero are left out.

    ``values`` replaces couplings of the model by arrays, by path: ``light_vectors.0.g_mu_v``,
    ``heavy.C9_mu``. The arrays broadcast.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> found = linear_couplings(get_channel("B+->K+mumu"), get_model("fig2"))
    >>> [(d.coefficient, round(complex(z).real, 12)) for d, z in found.items()]
    [('C9', -1.5e-09), ('C10', 6.6e-10)]
    """
    given = dict(values or {})
    found: dict[Direction, Any] = {}

    def value(path: str, default: complex) -> Any:
        chosen = given.get(path, default)
        # a scalar of NumPy, not an array: CuPy multiplies with the first only
        return np.complex128(chosen) if isinstance(chosen, (int, float, complex)) else chosen

    for i, vector in enumerate(model.light_vectors):
        for quark, prime in (("g_bs", ""), ("g_bs_right", "p")):
            flavour = value(f"light_vectors.{i}.{quark}", getattr(vector, quark))
            for current, coefficient in (("v", "C9"), ("a", "C10")):
                lepton = f"g_{channel.lepton}_{current}"
                product = flavour * value(f"light_vectors.{i}.{lepton}", getattr(vector, lepton))
                found[Direction(i, coefficient + prime)] = product
    for coefficient in _COEFFICIENTS:
        key = _heavy_key(coefficient, channel)
        found[Direction(-1, coefficient)] = value(f"heavy.{key}", getattr(model.heavy, key))
    return {direction: z for direction, z in found.items() if bool((z != 0).any())}


LINEAR_KEYS = (
    "g_bs",
    "g_bs_right",
    "g_mu_v",
    "g_mu_a",
    "g_e_v",
    "g_e_a",
    *(f"{c}_{lepton}" for c in _LEPTONIC for lepton in ("mu", "e")),
    "C7",
    "C7p",
)
"""Last parts of the paths that ``linear_couplings`` understands; masses and widths are not linear."""


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
    kernels = _kernels(channel.name, q2.tobytes())
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
            unit = _direction_amplitudes(channel, model, direction, kernels, q2, side)
            # the CP conjugate has the conjugate coupling, not the conjugate propagator
            phase = 1.0 if part == "real" else (-1j if side else 1j)
            vectors.append({key: scale * phase * value for key, value in unit.items()})
        squares = _integrals(channel, vectors, q2, weights)
        pairs = list(itertools.combinations(range(len(vectors)), 2))
        sums = [{key: vectors[i][key] + vectors[j][key] for key in vectors[i]} for i, j in pairs]
        cross = dict(zip(pairs, _integrals(channel, sums, q2, weights), strict=True)) if sums else {}
        for (i, j), value in cross.items():
            cross[i, j] = value - squares[i] - squares[j]
        order = itertools.combinations_with_replacement(range(len(vectors)), 2)
        rows.append(np.stack([squares[i] if i == j else cross[i, j] for i, j in order]))
    return BinPolynomial(channel, tuple(bins), tuple(basis), np.array(scales), np.stack(rows))


def _integrals(channel: Channel, amplitudes: Sequence[Amplitudes], q2: FloatArray, weights: FloatArray) -> FloatArray:
    """Bin integrals of the J_i of each set of amplitudes: (n_sets, n_bins, n_coefficients)."""
    stacked = {key: np.stack([a[key] for a in amplitudes]) for key in amplitudes[0]}
    j = coefficients_of(channel, stacked, q2)
    return np.moveaxis(j @ weights.T, 0, -1)


def coefficients_of(channel: Channel, amplitudes: Amplitudes, q2: FloatArray) -> FloatArray:
    """J_i (n_coefficients, ..., n_q2) of any helicity amplitudes (..., n_q2) of a channel."""
    formula = angular._COEFFICIENTS[channel.spin]
    return formula(amplitudes, standard_model(channel), q2, channel.lepton_mass())


def evaluate(name: str, parts: Sequence[Any]) -> Any:
    """An observable from J + J̄, at points of q2 or integrated over bins, of each of its channels.

    ``parts`` has one array for each of ``observable_channels``, J_i along the first axis; the result has the
    shape of the rest. The formula is that of the table, on any array library.

    >>> float(evaluate("R_K+", [np.array([1.0, 0.0, 0.0]), np.array([2.0, 0.0, 0.0])]))
    0.5
    """
    values = [get_observable(name).formula(of_sum(j)) for j in parts]
    return values[0] if len(values) == 1 else values[0] / values[1]


def predictable(row: Observable) -> bool:
    """Whether ``evaluate`` knows an observable: a ratio of rates, or a function of the S_i of the K or K* alone."""
    return row.denominator is not None or (row.angular and not row.s_wave)


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
            columns.append(evaluate(observable.name, parts) * xp.ones(size))
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


def predict_bins(observables: Sequence[BinnedObservable], model: Model) -> FloatArray:
    """Predictions (n_observables,) of one model.

    >>> from darkpenguin.physics.models import get_model
    >>> p5 = BinnedObservable("P5p", "B0->K*0mumu", 4.0, 6.0)
    >>> predict_bins([p5], get_model("sm")).round(2)
    array([-0.76])
    """
    prediction: FloatArray = build_predictor(observables, model)()[0]
    return prediction


def namespace(array: Any) -> Any:
    """NumPy, or the library that the array comes from."""
    return np if isinstance(array, (np.ndarray, float)) else sys.modules[type(array).__module__.split(".")[0]]
