r"""Weights as polynomials in couplings, exact: amplitudes are linear in every coupling.

So the density is of second degree in each, and its values on three points of each coupling determine all coefficients.
Terms that vanish in all channels are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from ...physics.axes import moved
from ...physics.channels import Channel
from ...physics.models import Model, is_linear

Array = NDArray[np.float64]
MAX_COUPLINGS = 4
"""Most couplings of a polynomial: it has up to 3^n coefficients."""
NOTHING = 1e-10
"""Size of a term of a polynomial, in units of the rest of the rate, below which it is none but rounding."""


@dataclass(frozen=True)
class Polynomial:
    """A weight as a polynomial in couplings: ``sum_k column_k prod_i x_i ** exponents[k][i]``.

    Attributes:
        couplings: paths of the couplings x_i.
        exponents: of each term.
        columns: of the coefficients, in the same order.
    """

    couplings: tuple[str, ...]
    exponents: tuple[tuple[int, ...], ...]
    columns: tuple[str, ...]

    def at(self, columns: Mapping[str, Any], values: Mapping[str, float]) -> Array:
        """Weights at values of the couplings.

        Raises:
            InputError: a coupling without a value, or a value of none.

        Example:
            >>> line = Polynomial(("heavy.C9_mu",), ((0,), (1,)), ("a", "b"))
            >>> line.at({"a": np.array([1.0]), "b": np.array([0.5])}, {"heavy.C9_mu": -1.0})
            array([0.5])
        """
        if set(values) != set(self.couplings):
            raise InputError(f"values = {sorted(values)}: the polynomial is one in {', '.join(self.couplings)}")
        x = np.array([values[key] for key in self.couplings], dtype=float)
        factors = [float(np.prod(x ** np.array(powers))) for powers in self.exponents]
        terms = (factor * np.asarray(columns[name]) for factor, name in zip(factors, self.columns, strict=True))
        return np.asarray(sum(terms))


class Scheme:
    """A polynomial in couplings: the points at which it is probed in a channel, and its coefficients from there."""

    def __init__(self, couplings: tuple[str, ...], base: Model, channels: Sequence[Channel]) -> None:
        self.couplings, self.base = couplings, base
        self.scales = {channel: [self._scale(channel, key) for key in couplings] for channel in channels}
        size = np.max([self._sizes(channel) for channel in channels], axis=0)
        self._kept = np.flatnonzero(size > NOTHING)
        self.exponents = tuple(tuple(map(int, np.unravel_index(k, (3,) * len(couplings)))) for k in self._kept)
        for i, key in enumerate(couplings):
            if not any(powers[i] for powers in self.exponents):
                names = ", ".join(channel.name for channel in channels)
                raise InputError(f"polynomial = {key!r}: {names} does not depend on it")

    def models(self, channel: Channel) -> list[Model]:
        """The base with its couplings at 0 and plus and minus their scales, the last one fastest."""
        points = product(*((0.0, scale, -scale) for scale in self.scales[channel]))
        return [moved(self.base, dict(zip(self.couplings, point, strict=True))) for point in points]

    def coefficients(self, channel: Channel, values: Array) -> Array:
        """Coefficients (n_terms, ...) of the terms that are kept, from values at the points of `models`."""
        return self._all(values, self.scales[channel])[self._kept]

    def _all(self, values: Array, scales: Sequence[float]) -> Array:
        p = len(self.couplings)
        found = values.reshape(*(3,) * p, -1)
        for axis, scale in enumerate(scales):
            zero, up, down = np.moveaxis(found, axis, 0)
            first, second = (up - down) / (2 * scale), (up + down - 2 * zero) / (2 * scale**2)
            found = np.moveaxis(np.stack([zero, first, second]), 0, axis)
        return np.asarray(found.reshape(values.shape))

    def _sizes(self, channel: Channel) -> Array:
        """Largest size of each term at the scales, in units of the local rate, of that point which has the largest."""
        low, high = channel.q2_limits()
        q2 = np.linspace(low, high, 402)[1:-1]
        j = angular_coefficients(channel, self.models(channel), q2, -1).swapaxes(0, 1)
        terms = self._all(j, [1.0] * len(self.couplings))
        rate = decay_rate(j.swapaxes(0, 1)).max(axis=0)  # at zero coupling it may be none
        return np.asarray((np.abs(terms).max(axis=1)[:, rate > 0] / rate[rate > 0]).max(axis=-1, initial=0.0))

    def _scale(self, channel: Channel, key: str) -> float:
        """Size of a coupling at which it changes the rate about as much as the rest of the amplitude makes.

        Values of a polynomial far beyond it would drown its lower terms in rounding.
        """
        q2, weights = quadrature(breakpoints(channel, self.base), *channel.q2_limits(), order=4)
        others = {name: _typical(self.base, name) for name in self.couplings if name != key}
        scale = 1.0
        for _ in range(3):
            models = [moved(self.base, {**others, key: x}) for x in (0.0, scale, -scale)]
            zero, up, down = (decay_rate(angular_coefficients(channel, models, q2, -1)) @ weights).tolist()
            curvature = 0.5 * (up + down) - zero
            if not (zero > 0 and curvature > NOTHING * zero):
                break
            scale *= float(np.sqrt(zero / curvature))
        return scale


def _typical(model: Model, key: str) -> float:
    """Value of a field if it has one, else one: what the others are while a scale is sought."""
    value: Any = model
    for part in key.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    return float(abs(value)) or 1.0


def scheme_of(couplings: tuple[str, ...], base: Model, channels: Sequence[Channel]) -> Scheme | None:
    """Where a polynomial in couplings is probed, None if there are none; InputError for couplings of no use."""
    if not couplings:
        return None
    if len(couplings) > MAX_COUPLINGS or len(dict.fromkeys(couplings)) < len(couplings):
        raise InputError(f"polynomial = {','.join(couplings)}: 1 to {MAX_COUPLINGS} couplings, each once")
    for key in couplings:
        moved(base, {key: 1.0})  # refuses fields that the model does not have
        if not is_linear(key):
            raise InputError(f"polynomial = {key!r}: amplitudes are linear in couplings and Wilson coefficients alone")
    return Scheme(couplings, base, channels)
