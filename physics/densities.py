"""The angular densities that the sampler knows, one entry each: coefficients, basis, rates, columns.

An event density is dGamma/dq2 dangles = norm * sum_i J_i(q2) f_i(angles). A new final state that brings a new
density adds an entry here, its functions in `angular_functions`, and a function of one event in the sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..kinematics.base.arrays import array_module
from .angular_functions import interference_functions, scalar_functions, vector_functions
from .channels import KPI_COEFFICIENTS, P_COEFFICIENTS, V_COEFFICIENTS

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Density:
    """An angular density norm * sum_i J_i f_i.

    ``rate`` holds the weights r of dGamma/dq2 = sum_i r_i J_i, the integral over the angles; ``angular_grid``
    the nodes and, last, the weights of a quadrature that is exact for products of three f_i. ``flipped`` names the
    coefficients whose sign LHCb's convention turns with respect to J_i (arXiv:1304.6325, see `angular`).
    """

    kind: str
    coefficients: tuple[str, ...]
    angles: tuple[str, ...]
    norm: float
    rate: tuple[float, ...]
    basis: Callable[..., Array]
    angular_grid: tuple[Array, ...]
    masses: tuple[str, ...] = ()
    flipped: tuple[str, ...] = ()

    @property
    def spin(self) -> int:
        """Spin of the hadron, or of the P wave."""
        return len(self.angles) // 3

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of an event: q2, the angles, masses that vary, the flavour."""
        return ("q2", *self.angles, *self.masses, "flavour")

    @cached_property
    def gram(self) -> Array:
        """Matrix norm * integral f_i f_k: the mean of f_i in a density J is gram @ J / rate."""
        *angles, weights = self.angular_grid
        f = self.basis(*angles)
        return np.asarray(self.norm * np.einsum("in,kn,n->ik", f, f, weights))

    @cached_property
    def second_moments(self) -> Array:
        """Matrix norm * integral f_i^2 f_k: the mean of f_i^2 in a density J is second_moments @ J / rate."""
        *angles, weights = self.angular_grid
        f = self.basis(*angles)
        return np.asarray(self.norm * np.einsum("in,kn,n->ik", f**2, f, weights))


def _doubles(values: Array) -> Array:
    """Values in float64, in their own array library: NumPy's functions work on CuPy's arrays, its asarray does not."""
    converted: Array = array_module(values).asarray(values, dtype=np.float64)
    return converted


def _vector_arguments(cos_theta_k: Array, cos_theta_l: Array, phi: Array) -> tuple[Array, ...]:
    ck, cl, phi = _doubles(cos_theta_k), _doubles(cos_theta_l), _doubles(phi)
    sk2, sl2 = 1 - ck * ck, 1 - cl * cl
    return ck, sk2, cl, sl2, np.sqrt(sk2 * sl2), np.sin(phi), np.cos(phi)


def vector_basis(cos_theta_k: Array, cos_theta_l: Array, phi: Array) -> Array:
    """f_i of B -> K*(-> K pi) l l, shape (12, n): `vector_functions`. The density is 9/(32 pi) sum_i J_i f_i.

    >>> vector_basis(np.array([0.0]), np.array([1.0]), np.array([0.3]))[:, 0].round(6).tolist()[:3]
    [1.0, 0.0, 1.0]
    """
    return np.stack(vector_functions(*_vector_arguments(cos_theta_k, cos_theta_l, phi)))


def kpi_basis(cos_theta_k: Array, cos_theta_l: Array, phi: Array) -> Array:
    """f_i of B -> K pi l l with P and S wave, shape (19, n): `vector_functions`, and `interference_functions`.

    >>> kpi_basis(np.array([0.5]), np.array([0.0]), np.array([0.3]))[12:14, 0].tolist()
    [0.5, -0.5]
    """
    ck, sk2, *rest = _vector_arguments(cos_theta_k, cos_theta_l, phi)
    return np.stack([*vector_functions(ck, sk2, *rest), *interference_functions(ck, *rest)])


def scalar_basis(cos_theta_l: Array) -> Array:
    """f_i of B -> K l l, shape (3, n): `scalar_functions`. The density is J_a + J_b cos L + J_c cos^2 L.

    >>> scalar_basis(np.array([0.5])).ravel().tolist()
    [1.0, 0.5, 0.25]
    """
    cl = _doubles(cos_theta_l)
    return np.stack(scalar_functions(np.ones_like(cl), cl))


def _vector_grid() -> tuple[Array, ...]:
    x, w = np.polynomial.legendre.leggauss(10)
    n = 16
    phi = (np.arange(n) + 0.5) * (2 * np.pi / n)
    ck, cl, p = (a.ravel() for a in np.meshgrid(x, x, phi, indexing="ij"))
    weights = (w[:, None, None] * w[None, :, None] * np.full(n, 2 * np.pi / n)).ravel()
    return ck, cl, p, weights


VECTOR = Density(
    kind="vector",
    coefficients=V_COEFFICIENTS,
    angles=("cos_theta_k", "cos_theta_l", "phi"),
    norm=9 / (32 * np.pi),
    rate=(1.5, 0.75, -0.5, -0.25, 0, 0, 0, 0, 0, 0, 0, 0),
    basis=vector_basis,
    angular_grid=_vector_grid(),
    flipped=("4", "6s", "6c", "7", "9"),
)
KPI = Density(
    kind="kpi",
    coefficients=KPI_COEFFICIENTS,
    angles=VECTOR.angles,
    norm=VECTOR.norm,
    rate=(*VECTOR.rate, *(0,) * 7),
    basis=kpi_basis,
    angular_grid=VECTOR.angular_grid,
    masses=("m_kpi",),
)
SCALAR = Density(
    kind="scalar",
    coefficients=P_COEFFICIENTS,
    angles=("cos_theta_l",),
    norm=1.0,
    rate=(2.0, 0.0, 2 / 3),
    basis=scalar_basis,
    angular_grid=tuple(np.polynomial.legendre.leggauss(10)),
)
DENSITIES: Mapping[str, Density] = MappingProxyType({density.kind: density for density in (VECTOR, SCALAR, KPI)})
