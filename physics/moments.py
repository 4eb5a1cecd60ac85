"""Angular observables of a set of events: by the method of moments and by unbinned maximum likelihood.

The density of angles is linear in the coefficients, Σ_i S_i f_i(Ω), so first moments of the f_i give all S_i
through a constant matrix, and the second moments, hence the covariance of the estimates, follow from the S_i
themselves through a constant tensor. Both hold for any set of coefficients, lepton masses included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .densities import DENSITIES

Array = npt.NDArray[np.float64]
S_WAVE_OBSERVABLES = ("FS", "AS", "AS4", "AS5", "AS7", "AS8")
"""Observables of the Kπ S wave (arXiv:1512.04442), in the order of the columns."""
MOMENT_OBSERVABLES = ("FL", "S3", "S4", "S5", "AFB", "S7", "S8", "S9", "P5p")
"""Observables of B → V ℓℓ estimated here, in the order of the columns."""


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


def _linear(kind: str) -> Array:
    """Rows that make FL S3 S4 S5 AFB S7 S8 S9 (or AFB, FH-like c) from the means of the f_i."""
    if kind == "scalar":
        inverse = np.linalg.inv(tensors(kind)[0])
        return np.stack([inverse[1], 2.0 * inverse[0] + 2.0 * inverse[2]])  # AFB = J_b/Γ, F_H = 2 (a + c)/Γ
    inverse = np.linalg.inv(tensors(kind)[0])
    rows = np.zeros((8, 12))
    # F_L from the cosθ_K distribution: <cos²θ_K> = (1 + 2 F_L)/5 and f_1s + f_1c = 1
    rows[0, 1], rows[0, 0] = 2.0, -0.5
    for row, i in zip((1, 2, 3, 5, 6, 7), (4, 5, 6, 9, 10, 11), strict=True):
        rows[row] = inverse[i]
    rows[4] = 0.75 * inverse[7] + 0.375 * inverse[8]
    return rows


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
) -> Moments:
    r"""Observables and their covariance from mean values of the f_i over a number of events.

    F_L is the one of the cosθ_K distribution, :math:`(5\langle\cos^2\theta_K\rangle - 1)/2`, and
    :math:`P_5' = S_5/\sqrt{F_L(1-F_L)}`, as experiments take it. Both differ from the definitions through
    J_2s and J_2c by terms in m_ℓ²/q². The covariance is exact for the S_i at the estimated coefficients and
    first-order error propagation for P5'. With F_L outside (0, 1), or no event, P5' is NaN.

    ``kpi``: those of the P wave, divided by its part 1 - F_S of the rate, and ``S_WAVE_OBSERVABLES``. The terms of the
    S wave alone are told from those of the P wave as for massless leptons,
    :math:`S_{1c} = (J_{1s} - 3J_{2s})/4` of the sums, and F_L is then :math:`J_{1c}` of the P wave over its rate.

    Args:
        means: mean f_i, shape (..., 12), (..., 19) for ``kpi``, or (..., 3) for ``scalar``.
        events: number of events that were averaged, shape (...).
        kind: ``vector`` gives ``MOMENT_OBSERVABLES``; ``scalar`` gives AFB and FH.
        covariance_of_means: of the means, shape (..., 12, 12), where it is known otherwise (weighted events).
    """
    m = np.asarray(means, dtype=float)
    n = np.asarray(events, dtype=float)
    if covariance_of_means is None:
        _, single = expected_moments(coefficients_from_moments(m, kind), kind)
    else:
        single = np.asarray(covariance_of_means, dtype=float) * n[..., None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = single / n[..., None, None]
        if kind == "kpi":
            return _with_s_wave(m, covariance)
        rows = _linear(kind)
        values = np.sum(rows * m[..., None, :], axis=-1)
        cov = rows @ covariance @ rows.T
        if kind == "scalar":
            return Moments(values, cov, ("AFB", "FH"))
        fl, s5 = values[..., 0], values[..., 3]
        size = np.sqrt(fl * (1.0 - fl))
        p5 = s5 / size
        slope = np.zeros((*fl.shape, 9, 8))
        slope[..., np.arange(8), np.arange(8)] = 1.0
        slope[..., 8, 3] = 1.0 / size
        slope[..., 8, 0] = -0.5 * p5 * (1.0 - 2.0 * fl) / (fl * (1.0 - fl))
        full = slope @ cov @ np.swapaxes(slope, -1, -2)
    return Moments(np.concatenate([values, p5[..., None]], axis=-1), full, MOMENT_OBSERVABLES)


def _with_s_wave(means: Array, covariance: Array) -> Moments:
    """Observables of P and S wave from the means of the 19 functions."""
    inverse = np.linalg.inv(tensors("kpi")[0])
    s_wave = np.stack(
        [
            0.75 * (inverse[0] - 3.0 * inverse[2]),
            2.25 * (inverse[12] - inverse[13] / 3.0),
            *(1.5 * inverse[15:19]),
        ]
    )
    p_wave = np.stack(
        [
            inverse[1] - s_wave[0] / 3.0,
            *inverse[4:7],
            0.75 * inverse[7] + 0.375 * inverse[8],
            *inverse[9:12],
        ]
    )
    of_s = np.sum(s_wave * means[..., None, :], axis=-1)
    share = 1.0 - of_s[..., :1]
    of_p = np.sum(p_wave * means[..., None, :], axis=-1) / share
    p_slopes = (p_wave + of_p[..., None] * s_wave[0]) / share[..., None]
    fl, s5 = of_p[..., :1], of_p[..., 3:4]
    size = np.sqrt(fl * (1.0 - fl))
    slope = p_slopes[..., 3:4, :] / size[..., None]
    slope = slope - (0.5 * s5 * (1.0 - 2.0 * fl) / size**3)[..., None] * p_slopes[..., :1, :]
    slopes = np.concatenate([p_slopes, slope, np.broadcast_to(s_wave, (*of_s.shape, 19))], axis=-2)
    values = np.concatenate([of_p, s5 / size, of_s], axis=-1)
    return Moments(values, slopes @ covariance @ np.swapaxes(slopes, -1, -2), MOMENT_OBSERVABLES + S_WAVE_OBSERVABLES)


def expected_observables(coefficients: npt.ArrayLike, kind: str = "vector") -> Moments:
    """What ``observables`` estimates, exactly, with the covariance for one event (divide by the number)."""
    mean, _ = expected_moments(coefficients, kind)
    return observables(mean, np.ones(mean.shape[:-1]), kind)
