r"""Observables as polynomials in couplings, in the format POPxf (Polynomial Observable Prediction eXchange Format).

In its function-of-polynomials mode: the polynomials are the integrals over bins of J_i + J̄_i, exact and of second
degree in every coupling; an observable is an expression of them, its own formula written out. The schema is that of the
repository pop-xf/json-schemas, popxf-1.0.json; a degree above two is named as the package popxf 0.0.1 reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import product
from typing import Any

import numpy as np

from ..kinematics.base.errors import InputError
from .axes import moved
from .binning import BinsLike, parse_bins
from .bins import (
    BinPolynomial,
    BinPredictor,
    build_predictor,
    evaluate_bin,
    linear_couplings,
    observable_channels,
)
from .channels import get_channel
from .densities import DENSITIES
from .local import Array
from .models import Model, ModelLike, as_model, is_linear
from .observables import BinnedObservable, get_observable
from .parameters import SCALE
from .predict import channel_of
from .theory import TheoryLike

SCHEMA = "https://json.schemastore.org/popxf-1.0.json"
LARGEST_DEGREE = 5
"""Largest degree of a monomial in the format."""
_NOTHING = 1e-11


class _Written:
    """A number that writes down what is done with it, as Python."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _with(self, sign: str, left: Any, right: Any) -> _Written:
        return _Written(f"({_text(left)}{sign}{_text(right)})")

    def __add__(self, other: Any) -> _Written:
        return self if _is(other, 0.0) else self._with("+", self, other)

    def __radd__(self, other: Any) -> _Written:
        return self if _is(other, 0.0) else self._with("+", other, self)

    def __sub__(self, other: Any) -> _Written:
        return self._with("-", self, other)

    def __rsub__(self, other: Any) -> _Written:
        return self._with("-", other, self)

    def __mul__(self, other: Any) -> _Written:
        return self if _is(other, 1.0) else self._with("*", self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> _Written:
        return self if _is(other, 1.0) else self._with("/", self, other)

    def __rtruediv__(self, other: Any) -> _Written:
        return self._with("/", other, self)

    def __pow__(self, power: Any) -> _Written:
        return self._with("**", self, power)

    def __neg__(self) -> _Written:
        return _Written(f"(-{self.text})")

    def sqrt(self) -> _Written:
        return _Written(f"sqrt({self.text})")


def _is(other: Any, value: float) -> bool:
    return not isinstance(other, _Written) and bool(other == value)


def _text(value: Any) -> str:
    return value.text if isinstance(value, _Written) else repr(float(value))


def popxf(
    observables: str | Sequence[str],
    couplings: str | Sequence[str],
    model: ModelLike = "sm",
    bins: BinsLike = "lhcb",
    *,
    channel: str | None = None,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
) -> dict[str, Any]:
    """Observables in bins as polynomials in couplings, as a POPxf document (JSON types).

    Args:
        observables: names, as in `predict`.
        couplings: real fields that amplitudes are linear in, such as ``light_vectors.0.g_bs`` or ``heavy.C9_mu``, one
            to four; all others are as in the model.
        model: a benchmark's name, a TOML file, fields, or a `Model`.
        bins: as in `predict`.
        channel: of observables that do not name one.
        set: changes of the model.
        theory: what the Standard Model is taken to be.

    Raises:
        InputError: unknown names, couplings in which amplitudes are not linear, or terms beyond the format's degree.

    Example:
        >>> found = popxf(["R_K+", "dBR"], "heavy.C9_mu", bins=[1.1, 6.0], channel="B+->K+mumu")
        >>> found["metadata"]["observable_names"]
        ['R_K+ 1.1-6', 'dBR B+->K+mumu 1.1-6']
        >>> sorted(found["data"]["polynomial_central"])
        ["('', '')", "('', 'heavy.C9_mu')", "('heavy.C9_mu', 'heavy.C9_mu')"]
    """
    base = as_model(model, set, theory)
    names = [observables] if isinstance(observables, str) else list(observables)
    fields = (couplings,) if isinstance(couplings, str) else tuple(couplings)
    if not 1 <= len(fields) <= 4 or len(dict.fromkeys(fields)) < len(fields):
        raise InputError(f"couplings = {','.join(fields)}: 1 to 4, each once")
    for key in fields:
        moved(base, {key: 1.0})  # refuses fields that the model does not have
        if not is_linear(key):
            raise InputError(f"couplings = {key!r}: amplitudes are linear in couplings and Wilson coefficients alone")
    wanted = [one for name in names for one in _binned(name, bins, channel)]
    rough = build_predictor(wanted, base, dict.fromkeys(fields, 1.0))
    sizes = np.min([_scales(polynomial, base, fields) for polynomial in rough.polynomials.values()], axis=0)
    # again at the size of what matters: at one, squares of V's couplings would drown all else in rounding
    predictor = build_predictor(wanted, base, dict(zip(fields, sizes.tolist(), strict=True)))
    integrals: list[str] = []
    exponents: list[tuple[int, ...]] = []
    coefficients: list[Array] = []
    for name, polynomial in predictor.polynomials.items():
        powers, found = _coefficients(polynomial, base, fields)
        exponents, coefficients = powers, [*coefficients, found.reshape(len(powers), -1)]
        one = get_channel(name)
        labels = [f"{low:g}-{high:g}" for low, high in polynomial.bins]
        integrals += [f"{name} {j} {label}" for j in one.coefficients for label in labels]
    table = np.concatenate(coefficients, axis=1)
    size = np.abs(table).max(axis=1)
    degree = max([2, *(sum(powers) for powers, largest in zip(exponents, size, strict=True) if largest > 0.0)])
    if degree > LARGEST_DEGREE:
        raise InputError(
            f"couplings = {','.join(fields)}: terms of degree {degree}; POPxf has {LARGEST_DEGREE} at most"
        )
    central = {
        _key(fields, powers, degree): row.tolist()
        for powers, row, largest in zip(exponents, table, size, strict=True)
        if largest > 0.0
    }
    expressions = [_expression(one, predictor) for one in wanted]
    metadata = {
        "observable_names": [_name(one) for one in wanted],
        "basis": {"custom": "fields of darkpenguin's models, normalised as in physics/models.py"},
        "parameters": sorted(fields),
        "scale": SCALE,
        "polynomial_names": integrals,
        "observable_expressions": expressions,
        "reproducibility": [_origin(base)],
    }
    if degree != 2:
        metadata["polynomial_degree"] = degree
    return {"$schema": SCHEMA, "metadata": metadata, "data": {"polynomial_central": central}}


def _binned(name: str, bins: BinsLike, channel: str | None) -> list[BinnedObservable]:
    row = get_observable(name)
    muons = channel_of(name, None if row.denominator is not None else channel)
    pairs = parse_bins(bins).bins(muons)
    if not pairs:
        raise InputError(f"bins = {bins!r}: no bins for {name}")
    return [BinnedObservable(name, muons.name, low, high) for low, high in pairs]


def _name(one: BinnedObservable) -> str:
    words = [one.name] if get_observable(one.name).denominator is not None else [one.name, str(one.channel)]
    return " ".join((*words, f"{one.q2_min:g}-{one.q2_max:g}"))


def _coefficients(polynomial: BinPolynomial, base: Model, fields: Sequence[str]) -> tuple[list[tuple[int, ...]], Array]:
    """Exponents of the fields, and coefficients (n_terms, n_coefficients * n_bins) of the bin integrals."""

    scales = _scales(polynomial, base, fields)
    points = np.array(list(product(*((0.0, scale, -scale) for scale in scales))))
    found = _integrals(polynomial, base, dict(zip(fields, points.T, strict=True)))
    found = np.broadcast_to(found, (len(found), len(points), found.shape[2])).swapaxes(0, 1)
    found = found.reshape(*(3,) * len(fields), -1)
    sizes = np.abs(found).max(axis=tuple(range(len(fields))))
    for axis in range(len(fields)):
        zero, up, down = np.moveaxis(found, axis, 0)
        terms = np.stack([zero, (up - down) / 2.0, (up + down - 2.0 * zero) / 2.0])
        found = np.moveaxis(terms, 0, axis)
    found = np.where(np.abs(found) > _NOTHING * sizes, found, 0.0).reshape(3 ** len(fields), -1)
    powers = list(product(range(3), repeat=len(fields)))
    units = np.array([np.prod(np.array(scales) ** np.array(power)) for power in powers])
    return powers, found / units[:, None]


def _integrals(polynomial: BinPolynomial, base: Model, values: Mapping[str, Any]) -> Array:
    """Bin integrals at values of fields, (n_coefficients, n_points, n_bins)."""
    arrays = {key: np.asarray(value, dtype=complex) for key, value in values.items()}
    return np.asarray(polynomial(linear_couplings(polynomial.channel, base, arrays)))


def _scales(polynomial: BinPolynomial, base: Model, fields: Sequence[str]) -> list[float]:
    """Size of each field at which it changes the rate as much as the rest makes: far beyond it rounding would win."""
    scales = [1.0] * len(fields)
    weights = np.array(next(d.rate for d in DENSITIES.values() if d.coefficients == polynomial.channel.coefficients))
    for _ in range(4):
        for i, key in enumerate(fields):
            values = {other: np.full(3, scale) for other, scale in zip(fields, scales, strict=True)}
            values[key] = scales[i] * np.array([0.0, 1.0, -1.0])
            rate = weights @ _integrals(polynomial, base, values).sum(axis=-1)
            rate = np.broadcast_to(rate, 3)
            curvature = 0.5 * (rate[1] + rate[2]) - rate[0]
            if curvature > 0.0 < rate[0]:
                scales[i] *= float(np.sqrt(rate[0] / curvature))
    return scales


def _key(fields: Sequence[str], powers: Sequence[int], degree: int) -> str:
    """A monomial as a tuple in words, padded in front."""
    words = sorted(key for key, power in zip(fields, powers, strict=True) for _ in range(power))
    return str(("",) * (degree - len(words)) + tuple(words))


def _expression(one: BinnedObservable, predictor: BinPredictor) -> dict[str, Any]:
    """The observable's formula, written out."""
    variables: dict[str, str] = {}
    parts = []
    for k, name in enumerate(observable_channels(one)):
        channel = get_channel(name)
        written = []
        for j in channel.coefficients:
            variables[f"J{j}_{k}"] = f"{name} {j} {one.q2_min:g}-{one.q2_max:g}"
            written.append(_Written(f"J{j}_{k}"))
        parts.append(np.array(written, dtype=object))
    text = evaluate_bin(one, parts, predictor.model.parameters).text
    used = {key: name for key, name in variables.items() if re.search(rf"\b{key}\b", text)}
    return {"variables": used, "expression": text}


def _origin(base: Model) -> dict[str, Any]:
    settings = {"model": base.model_dump(mode="json"), "flavio": version("flavio")}
    return {
        "description": "Bin integrals of J + J of the conjugate, flavio's Standard Model and mediators added exactly.",
        "tool": {"name": "darkpenguin", "settings": settings},
        "inputs": {"m_b(4.8)": float(base.parameters["m_b(4.8)"])},
    }
