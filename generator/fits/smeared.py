r"""Densities in reconstructed q2: those of `amplitude`, behind the efficiency, convolved with a resolution.

With S_i(q2) the coefficients v† J_i v of the angular functions f_i and ε the efficiency, both at the true q2, the
density of an event of reconstructed q and (true) angles Ω is

.. math:: D(q,\Omega) = \int\!ds\,R(q\,|\,s)\,\epsilon(s,\Omega)\sum_i S_i(s)\,f_i(\Omega),\qquad
          \Gamma = \int\!ds\,P(s)\int\!d\Omega\,\epsilon(s,\Omega)\sum_i S_i(s)\,f_i(\Omega)

over the true q2 that were generated, with P(s) the integral of R over the reconstructed q2 that are kept. The integrals
are sums over nodes of panels that are about as wide as the resolution, in which R times a matrix is a polynomial of
ninth degree, and what it is multiplied with is that of poles, however narrow: with Legendre polynomials P_k and their
moments M_k(z) = ∫ P_k(u)/(u - z) du on [-1, 1], which are twice Legendre's functions of the second kind,

.. math:: \int_{-1}^1\frac{f(u)}{u-z}\,du = \sum_j W_j(z)\,f(u_j),\qquad
          W_j(z) = w_j\sum_k\tfrac{2k+1}{2}P_k(u_j)\,M_k(z)

at Gauss's nodes u_j and weights w_j; products of two poles are differences, as in `rates`. Far from a panel W_j is
w_j/(u_j - z). D is smooth in q on the scale of the resolution, so that it is a polynomial there too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ..lab.efficiency_maps import EfficiencyMap, evaluate
from .amplitude import Amplitude, Array, ComplexArray, Point
from .kpi import KpiAmplitude
from .rates import Range, Rate, angular_weights, efficiency_pieces, products, rate_of
from .resolution import Resolution

ORDER = 10
"""Nodes of a panel."""
WIDTH = 1.25
"""Panels in standard deviations of the narrowest Gaussian: in them it is a polynomial to 5e-9 of its height."""
_GRID = 0.02  # GeV², on which the resolution's width is looked at
_NEAR = 2.2  # of half a panel from its middle: where a pole is no smooth function
_U, _W = np.polynomial.legendre.leggauss(ORDER)
_EXPAND = (np.polynomial.legendre.legvander(_U, ORDER - 1) * _W[:, None] * (np.arange(ORDER) + 0.5)).T
"""(2k + 1)/2 P_k(u_j) w_j: coefficients of Legendre's polynomials from values at the nodes."""


class Panels:
    """Panels in q2 and their nodes, one after the other; ``edges`` (panels, 2), rising.

    >>> panels = Panels(np.array([[1.0, 2.0], [2.0, 3.0]]))
    >>> pole = 2.2 - 1e-5j  # of ∫ x²/(x - z)
    >>> found = complex(panels.weights(np.array([pole]))[1][0] @ panels.nodes**2)
    >>> exact = (9 - 1) / 2 + 2 * pole + pole**2 * np.log((3 - pole) / (1 - pole))
    >>> bool(abs(found / exact - 1) < 1e-12)
    True
    """

    def __init__(self, edges: Array) -> None:
        self.edges, self._middle, self._half = edges, edges.mean(axis=1), 0.5 * np.diff(edges, axis=1)[:, 0]
        self.nodes = (self._middle[:, None] + self._half[:, None] * _U).ravel()
        self._last: tuple[bytes, tuple[Array, ComplexArray, ComplexArray]] | None = None

    def weights(self, poles: ComplexArray) -> tuple[Array, ComplexArray, ComplexArray]:
        """Weights of nodes in ∫ f, and for each pole z in ∫ f/(q2 - z) and its derivative by z: (n), (poles, n) twice.

        Those of the last poles are kept.
        """
        key = np.ascontiguousarray(poles).tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._weights(np.asarray(poles, dtype=complex))
        return self._last[1]

    def _weights(self, poles: ComplexArray) -> tuple[Array, ComplexArray, ComplexArray]:
        plain = (self._half[:, None] * _W).ravel()
        away = 1.0 / (self.nodes - poles[:, None])
        value = plain * away
        slope = value * away
        z = (poles[:, None] - self._middle) / self._half
        which, panel = np.nonzero(np.abs(z) < _NEAR)
        moments, change = _moments(z[which, panel])
        shape = (len(poles), len(self._middle), ORDER)
        value.reshape(shape)[which, panel] = moments @ _EXPAND
        slope.reshape(shape)[which, panel] = change @ _EXPAND / self._half[panel][:, None]
        return plain, value, slope

    def interpolation(self, q2: Array) -> Any:
        """Sparse matrix (n, nodes) from values at the nodes to those at q2 within the panels."""
        from scipy.sparse import csr_array

        panel = np.clip(np.searchsorted(self.edges[:, 0], q2, side="right") - 1, 0, len(self._half) - 1)
        u = (q2 - self._middle[panel]) / self._half[panel]
        values = np.polynomial.legendre.legvander(u, ORDER - 1) @ _EXPAND
        columns = panel[:, None] * ORDER + np.arange(ORDER)
        starts = ORDER * np.arange(len(q2) + 1)
        return csr_array((values.ravel(), columns.ravel(), starts), shape=(len(q2), len(self.nodes)))


def _moments(z: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """∫ P_k(u)/(u - z) du on [-1, 1] of Legendre's polynomials, and its derivatives by z, (n, ORDER)."""
    found, change = np.empty((2, len(z), ORDER), dtype=complex)
    found[:, 0], change[:, 0] = np.log((1.0 - z) / (-1.0 - z)), -1.0 / (1.0 - z) - 1.0 / (1.0 + z)
    found[:, 1], change[:, 1] = 2.0 + z * found[:, 0], found[:, 0] + z * change[:, 0]
    for k in range(1, ORDER - 1):
        a, b = (2 * k + 1) / (k + 1), k / (k + 1)
        found[:, k + 1] = a * z * found[:, k] - b * found[:, k - 1]
        change[:, k + 1] = a * (found[:, k] + z * change[:, k]) - b * change[:, k - 1]
    return found, change


def panels_of(edges: Any, resolution: Resolution) -> Panels:
    """Panels from ranges in q2 (n, 2), none wider than `WIDTH` of the resolution's narrowest Gaussian there."""
    found = []
    for low, high in np.asarray(edges, dtype=float):
        at = np.linspace(low, high, 1 + max(8, int((high - low) / _GRID)))
        density = 1.0 / (WIDTH * min(resolution.scales) * resolution.width(at))
        number = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(at))])
        cuts = np.interp(np.linspace(0.0, number[-1], int(np.ceil(number[-1])) + 1), number, at)
        found.append(np.stack([cuts[:-1], cuts[1:]], axis=1))
    return Panels(np.concatenate(found))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Packed matrices (nodes, n²) at the nodes of panels: what `rate_of` integrates."""

    panels: Panels
    rows: Array

    def integrals(self, poles: ComplexArray) -> tuple[Array, ComplexArray, ComplexArray]:
        """As `rates.Cells.integrals`, of one wave."""
        plain, value, slope = self.panels.weights(poles)
        return (plain @ self.rows)[None], (value @ self.rows)[:, None], (slope @ self.rows)[:, None]


class SmearedRate(Rate):
    """Rate of one channel and flavour in ranges of the true q2 whose reconstructed q2 is in a window.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> channel, model = get_channel("B+->K+mumu"), get_model("sm")
    >>> amplitude, wide = Amplitude(channel, 1, model.theory, []), [(2.0, 3.0)]
    >>> rate = SmearedRate(amplitude, wide, None, Resolution(sigma=0.02), [(0.0, 5.0)])
    >>> point = amplitude.point(model)  # nothing is lost
    >>> bool(abs(rate.value(point)[0] / Rate(amplitude, wide).value(point)[0] - 1) < 1e-12)
    True
    """

    def __init__(
        self,
        amplitude: Amplitude,
        ranges: Sequence[Range],
        efficiency: EfficiencyMap | None,
        resolution: Resolution,
        window: Sequence[Range],
    ) -> None:
        from scipy.sparse import csr_array

        if isinstance(amplitude, KpiAmplitude):
            raise InputError("resolution: it is in fits of events without a K pi mass; take resolution = none")
        super().__init__(amplitude, ranges, efficiency)
        resolution.check(ranges)
        self.channel = amplitude.channel
        self.resolution, self.window, self.ranges = resolution, tuple(window), tuple(ranges)
        smooth = np.stack([self.edges[:: self.split, 0], self.edges[self.split - 1 :: self.split, 1]], axis=1)
        self.true, self.found = panels_of(smooth, resolution), panels_of(window, resolution)
        s, q = self.true.nodes, self.found.nodes
        cell, u = self.place(s)
        r = self.forms.rows[:, cell, 0]
        u = u[:, None, None]
        self.table = np.ascontiguousarray(r[0] + u * (r[1] + u * r[2]))
        weights = np.array(self.density.rate)[:, None] * np.ones(len(s))
        if efficiency is not None:
            weights = angular_weights(self.density, efficiency, amplitude.channel, ranges)(s)
        self._integrated = np.einsum("is,sip->sp", weights, self.table)
        self.inside = np.sum([resolution.below(high, s) - resolution.below(low, s) for low, high in window], axis=0)
        reach = resolution.reach(s)
        low, high = np.searchsorted(q, s - reach), np.searchsorted(q, s + reach)
        columns = np.repeat(np.arange(len(s)), high - low)
        starts = np.concatenate([[0], np.cumsum(high - low)])
        rows = np.arange(starts[-1]) - np.repeat(starts[:-1] - low, high - low)
        values = resolution.density(q[rows], s[columns])
        self.kernel_of = csr_array((values, rows, starts), shape=(len(s), len(q)))  # turned: (true, found)
        self.kernel = self.kernel_of.T.tocsr()

    def value(self, point: Point) -> tuple[float, ComplexArray]:
        """Rate (GeV), and G with dΓ = 2 Re(G · d point) for `Point.flat`."""
        return rate_of(_Rows(self.true, self._integrated * self.inside[:, None]), point)

    def share(self, point: Point) -> float:
        """Of the events of the true q2, those that are found in the window."""
        return self.value(point)[0] / rate_of(_Rows(self.true, self._integrated), point)[0]

    def covered(self) -> list[Range]:
        """Ranges of the q2 of events, which is the reconstructed one."""
        return list(self.window)

    def spectrum(self, point: Point, ranges: Sequence[Range]) -> Array:
        """Rate (GeV) in each of several ranges of the reconstructed q2 (GeV²), in rising order."""
        each = np.sum(self._products(point) * self._integrated, axis=1)
        edges, place = np.unique(ranges, return_inverse=True)
        below = (self.resolution.below(edges[:, None], self.true.nodes) @ each)[place.reshape(-1, 2)]
        return np.asarray(below[:, 1] - below[:, 0])

    def _products(self, point: Point) -> Array:
        """What matrices at the nodes are multiplied with to integrals of v† M v, (nodes, n²)."""
        plain, value, _ = self.true.weights(point.poles)
        c, t = point.constants, point.residues
        found = plain[:, None] * products(c, c).real
        for k, y in enumerate(_beside(point).T):
            found += 2.0 * np.multiply.outer(value[k], products(y, t[:, k])).real
        return np.asarray(found)

    def _change_of_products(self, point: Point, step: ComplexArray) -> Array:
        """How they change along a step of `Point.flat`."""
        plain, value, slope = self.true.weights(point.poles)
        c, t, z, n, m = point.constants, point.residues, point.poles, len(point.constants), len(point.poles)
        dc, dt, dz = step[:n], step[n : n + n * m].reshape(n, m), step[n + n * m : n + n * m + m]
        gap = 1.0 / (z.conj() - z[:, None])  # 1/(z_l* - z_k)
        of_y = dc[:, None] + dt @ gap - t @ (gap**2 * (dz.conj() - dz[:, None]))
        found = 2.0 * plain[:, None] * products(c, dc).real
        for k, y in enumerate(_beside(point).T):
            of_both = products(of_y[:, k], t[:, k]) + products(y, dt[:, k])
            found += 2.0 * np.multiply.outer(value[k], of_both).real
            found += 2.0 * np.multiply.outer(slope[k], dz[k] * products(y, t[:, k])).real
        return np.asarray(found)

    def coefficients(self, point: Point, step: ComplexArray | None = None) -> Array:
        """S_i times the weights of the nodes, (nodes, n_coefficients), or how they change along a step of the point."""
        by_matrix = self._products(point) if step is None else self._change_of_products(point, step)
        return np.asarray((self.table @ by_matrix[..., None])[..., 0])

    def change(self, by_coefficients: Array, point: Point) -> ComplexArray:
        """G of a sum of `coefficients` with weights (nodes, n_coefficients)."""
        rows = (by_coefficients[:, None] @ self.table)[:, 0]
        return rate_of(_Rows(self.true, rows), point)[1]


def _beside(point: Point) -> ComplexArray:
    """v at the conjugates of the poles, (n, poles)."""
    gap = point.poles.conj() - point.poles[:, None]
    return np.asarray(point.constants[:, None] + point.residues @ (1.0 / gap))


@dataclass(frozen=True, eq=False)
class _Term:
    """A piece of the efficiency, a(Ω) b(s), at the events that it reaches.

    Attributes:
        events: their places.
        at: matrix from nodes of q to them.
        factors: a f_i, (events, n_coefficients).
        along: b at the nodes of s.
    """

    events: npt.NDArray[np.intp]
    at: Any
    factors: Array
    along: Array

    def first(self, events: int) -> _Term:
        n = int(np.searchsorted(self.events, events))
        return _Term(self.events[:n], self.at[:n], self.factors[:n], self.along)


@dataclass(frozen=True, eq=False)
class SmearedEvents:
    """Events of one channel and flavour with a reconstructed q2, behind the efficiency."""

    rate: SmearedRate
    size: int
    terms: tuple[_Term, ...]

    @classmethod
    def of(cls, rate: SmearedRate, columns: Mapping[str, Array]) -> SmearedEvents:
        """Events with their columns; ``q2`` is the reconstructed one."""
        q2, s, channel = columns["q2"], rate.true.nodes, rate.channel
        f = rate.density.norm * rate.density.basis(*(columns[name] for name in rate.density.angles)).T
        at, whole = rate.found.interpolation(q2), np.arange(len(q2))
        if rate.efficiency is None:
            return cls(rate, len(q2), (_Term(whole, at, np.ascontiguousarray(f), np.ones(len(s))),))
        edges, degree, nodes = efficiency_pieces(rate.efficiency, rate.ranges)
        lagrange = np.polynomial.chebyshev.chebfit(nodes, np.eye(degree + 1), degree)
        angles = {name: columns[name] for name in rate.density.angles}
        terms = []
        for low, high in pairwise(edges):
            here = (s >= low) & (s <= high)
            if not here.any():
                continue
            reach = float(rate.resolution.reach(s[here]).max())
            chosen = np.flatnonzero((q2 > low - reach) & (q2 < high + reach))
            basis = np.polynomial.chebyshev.chebval((2.0 * s - (low + high)) / (high - low), lagrange) * here
            own = {name: column[chosen] for name, column in angles.items()}
            for place, along in zip(0.5 * (low + high) + 0.5 * (high - low) * nodes, basis, strict=True):
                seen = evaluate(rate.efficiency, {**own, "q2": np.full(len(chosen), place)}, channel)
                terms.append(_Term(chosen, at[chosen], f[chosen] * seen[:, None], along))
        return cls(rate, len(q2), tuple(terms))

    def first(self, events: int) -> SmearedEvents:
        """The first of them."""
        return SmearedEvents(self.rate, min(events, self.size), tuple(term.first(events) for term in self.terms))

    def densities(self, point: Point, step: ComplexArray | None = None) -> Array:
        """D of every event, or how they change along a step of `Point.flat`."""
        coefficients, found = self.rate.coefficients(point, step), np.zeros(self.size)
        for term in self.terms:
            smeared = self.rate.kernel @ (term.along[:, None] * coefficients)
            found[term.events] += np.einsum("ei,ei->e", term.factors, term.at @ smeared)
        return found

    def logarithms(self, point: Point, factor: float, below: Array, change: bool) -> tuple[float, ComplexArray, Array]:
        """Sum of ln(factor D + below), G of its change, and one over these sums of densities; see `loops`.

        ``below`` is empty where there is nothing else; ``factor`` is left out then.
        """
        density = self.densities(point)
        whole = factor * density + below if below.size else density
        if not np.all(whole > 0.0):
            return -np.inf, np.zeros(len(point.flat()), dtype=complex), np.zeros(len(below))
        inverse = 1.0 / whole
        weights = factor * inverse if below.size else inverse
        return float(np.log(whole).sum()), self.change(point, weights) if change else np.empty(0, complex), inverse

    def change(self, point: Point, weights: Array) -> ComplexArray:
        """G of a sum of D with weights, which changes by 2 Re(G · d point)."""
        found = np.zeros(self.rate.table.shape[:2])
        for term in self.terms:
            by_place = term.at.T @ (term.factors * weights[term.events, None])
            found += term.along[:, None] * (self.rate.kernel_of @ by_place)
        return self.rate.change(found, point)
