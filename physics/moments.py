"""Angular observables of a set of events: by the method of moments and by unbinned maximum likelihood.

The density of angles is linear in the coefficients, Σ_i S_i f_i(Ω), so first moments of the f_i give all S_i
through a constant matrix, and the second moments, hence the covariance of the estimates, follow from the S_i
themselves through a constant tensor. Both hold for any set of coefficients, lepton masses included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from .definitions import MEASURED, Averages, Definition, massless
from .densities import DENSITIES
from .observables import Observable, measured_observables

Array = npt.NDArray[np.float64]
_STEP = 1e-30
_SMALL = 1 << 14
"""Values of which all derivatives are made at once."""


def functions(kind: str, *angles: npt.ArrayLike) -> Array:
    """Angular functions f_i of events, shape (..., n): the last axis counts the coefficients.

    ``kind`` is ``vector`` (angles cosθ_K, cosθ_ℓ, φ) or ``scalar`` (cosθ_ℓ), as in ``densities``.

    >>> functions("scalar", [0.5]).tolist()
    [[1.0, 0.5, 0.25]]
    """
    return np.ascontiguousarray(np.moveaxis(DENSITIES[kind].basis(*(np.asarray(a) for a in angles)), 0, -1))


@lru_cache(maxsize=4)
def tensors(kind: str) -> tuple[Array, Array]:
    r"""Constants that link coefficients with moments, by quadrature that is exact for these functions.

    .. math:: G_{ij} = \int f_i f_j\,d\Omega,\qquad T_{ijk} = \int f_i f_j f_k\,d\Omega

    with the normalisation of the density (9/32π for ``vector``, 1 for ``scalar``), so that
    :math:`\langle f_i\rangle = G_{ij}S_j` and :math:`\langle f_i f_j\rangle = T_{ijk}S_k` for S = J/Γ.
    """
    density = DENSITIES[kind]
    *angles, weights = density.angular_grid
    f = density.basis(*angles)
    q = density.norm * weights
    # products of three f_i hold the roots sin θ to even powers only, where the integral over φ does not
    # vanish
    gram = np.einsum("n,in,jn->ij", q, f, f)
    triple = np.einsum("n,in,jn,kn->ijk", q, f, f, f, optimize=True)
    return np.where(abs(gram) > 1e-13, gram, 0.0), np.where(abs(triple) > 1e-13, triple, 0.0)


def expected_moments(coefficients: npt.ArrayLike, kind: str = "vector") -> tuple[Array, Array]:
    """Mean and covariance, for one event, of the f_i when the events follow ``coefficients`` (any scale).

    Args:
        coefficients: J_i, shape (..., 12), (..., 19) or (..., 3).
        kind: ``vector``, ``kpi`` or ``scalar``.

    Returns:
        means (..., n) and covariances (..., n, n).

    Example:
        >>> mean, covariance = expected_moments([1.0, 0.0, 0.0], "scalar")     # flat in cosθ_ℓ
        >>> mean.round(12).tolist()
        [1.0, 0.0, 0.333333333333]
    """
    j = np.asarray(coefficients, dtype=float)
    gram, triple = tensors(kind)
    # in both cases f_1s + f_1c = 1 (f_a = 1), so the rate is the moment of one
    rate = np.sum(j * (gram[0] if kind == "scalar" else gram[0] + gram[1]), axis=-1, keepdims=True)
    s = j / rate
    mean = np.sum(gram * s[..., None, :], axis=-1)
    second = np.sum(triple * s[..., None, None, :], axis=-1)
    return mean, second - mean[..., :, None] * mean[..., None, :]


def coefficients_from_moments(means: npt.ArrayLike, kind: str = "vector") -> Array:
    """S_i = J_i/Γ from mean values of the f_i: the method of moments, lepton masses included."""
    m = np.asarray(means, dtype=float)
    inverse = np.linalg.inv(tensors(kind)[0])
    return np.asarray(np.sum(inverse * m[..., None, :], axis=-1))


@dataclass(frozen=True, eq=False)
class Moments:
    """Observables by the method of moments, one row a toy.

    Attributes:
        values: shape (..., observables).
        covariance: estimated from the same moments, shape (..., observables, observables).
        names: names of the observables.
    """

    values: Array
    covariance: Array
    names: tuple[str, ...]

    @property
    def errors(self) -> Array:
        """Standard errors, shape (..., observables)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=-2, axis2=-1))


def observables(
    means: npt.ArrayLike,
    events: npt.ArrayLike,
    kind: str = "vector",
    covariance_of_means: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    self_tagging: bool = True,
    definition: Definition | None = None,
) -> Moments:
    r"""Observables and their covariance from mean values of the f_i over a number of events.

    Their formulas are the rows of `observables`, over the S_i by a ``definition``; without one as `definitions` has it
    for the density (``MEASURED``): with lepton masses as in predictions, F_L = -S_2c and
    :math:`P_5' = S_5/(2\sqrt{-S_{2s}S_{2c}})`. By ``massless`` F_L is the one of the cosθ_K distribution,
    :math:`(5\langle\cos^2\theta_K\rangle - 1)/2`, and :math:`P_5' = S_5/\sqrt{F_L(1-F_L)}`. The covariance is exact for
    the S_i at the estimated coefficients and first-order error propagation, by complex steps, for what is not linear in
    them. Where a root is of a negative number, or without an event, P5' is NaN. ``kpi``: those of the P wave, over its
    part 1 - F_S of the rate, and those of the S wave.

    Args:
        means: mean f_i, shape (..., 12), (..., 19) for ``kpi``, or (..., 3) for ``scalar``.
        events: number of events that were averaged, shape (...).
        kind: of density: ``vector``, ``kpi`` or ``scalar``.
        covariance_of_means: of the means, shape (..., 12, 12), where it is known otherwise (weighted events).
        names: of the observables; all of `observables.measured_observables` without it.
        self_tagging: of the mode; what events of both flavours show of 5, 6, 8, 9 are CP asymmetries if not.
        definition: of the S_i that the formulas take.
    """
    m = np.asarray(means, dtype=float)
    n = np.asarray(events, dtype=float)
    if covariance_of_means is None:
        _, single = expected_moments(coefficients_from_moments(m, kind), kind)
    else:
        single = np.asarray(covariance_of_means, dtype=float) * n[..., None, None]
    rows = [row for row in measured_observables(kind, self_tagging) if names is None or row.name in names]
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = single / n[..., None, None]
        s = coefficients_from_moments(m, kind)
        chosen = definition or MEASURED[kind]
        values = _evaluate(rows, s, kind, chosen)
        slopes = _slopes(rows, s, kind, chosen) @ np.linalg.inv(tensors(kind)[0])
        full = slopes @ covariance @ np.swapaxes(slopes, -1, -2)
    return Moments(values, full, tuple(row.name for row in rows))


def _evaluate(rows: Sequence[Observable], s: npt.NDArray[Any], kind: str, definition: Definition) -> npt.NDArray[Any]:
    """Values (..., rows) from S_i (..., coefficients)."""
    density = DENSITIES[kind]
    found = definition(lambda name: s[..., density.coefficients.index(name)])
    averages = Averages(found, density.spin, cp=found)  # which of the two a coefficient is, the rows know
    values = np.empty((*s.shape[:-1], len(rows)), dtype=s.dtype)  # of no rows too: toys of ratios alone
    for k, row in enumerate(rows):
        values[..., k] = row.formula(averages)
    return values


def _slopes(rows: Sequence[Observable], s: Array, kind: str, definition: Definition) -> Array:
    """Derivatives (..., rows, coefficients) by complex steps: no difference is taken, so they are exact to rounding."""
    if s.size <= _SMALL:
        units = np.eye(s.shape[-1]).reshape(-1, *[1] * (s.ndim - 1), s.shape[-1])
        return np.asarray(np.moveaxis(_evaluate(rows, s + 1j * _STEP * units, kind, definition).imag / _STEP, 0, -1))
    found = []
    for i in range(s.shape[-1]):
        stepped = s.astype(complex)
        stepped[..., i] += 1j * _STEP
        found.append(_evaluate(rows, stepped, kind, definition).imag / _STEP)
    return np.stack(found, axis=-1)


#    S_i of B → K* ℓℓ with nothing special about them, for massless leptons
_GENERIC = np.array([0.3, 0.6, 0.1, -0.6, -0.02, -0.1, -0.3, 0.2, 0.0, 0.03, -0.04, 0.01])


def follows_from(names: Sequence[str]) -> tuple[str, tuple[str, ...]] | None:
    """The first of some observables of B → V ℓℓ that is a function of those before it, and these; None if none is.

    To first order: where a derivative is a linear combination of the others, the covariance cannot be inverted.

    >>> follows_from(["P5p", "S4", "S5", "FL"])
    ('FL', ('P5p', 'S5'))
    """
    rows = {row.name: row for row in measured_observables("vector")}
    slopes = {name: _slopes([rows[name]], _GENERIC, "vector", massless)[0] for name in names}
    for i in range(1, len(names)):
        before, last = np.array([slopes[name] for name in names[:i]]), slopes[names[i]]
        weights = np.linalg.lstsq(before.T, last, rcond=None)[0]
        if np.allclose(weights @ before, last, rtol=0, atol=1e-9):
            return names[i], tuple(name for name, w in zip(names, weights, strict=False) if abs(w) > 1e-9)
    return None
