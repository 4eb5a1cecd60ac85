r"""Densities and rates from shapes that are parabolas between nodes in q2: exact for poles of any width.

Between the places where they are smooth, the matrices of an `amplitude.Amplitude` are parabolas on cells, R(q2) =
R0 + R1 u + R2 u², u = (q2 - centre)/half a cell. Integrals of a parabola times a propagator are logarithms, so a rate

.. math:: \Gamma = \int\!dq^2\,v^\dagger R\,v

with v = c + sum_k t_k / (q2 - z_k) needs for each pole the matrix L(z) = ∫ R/(q2 - z) alone: products of two
propagators are differences of these, 1/((x - z_k*)(x - z_l)) = [1/(x - z_l) - 1/(x - z_k*)]/(z_l - z_k*). No grid has
to resolve a width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import split_work
from ...physics.channels import Channel
from ...physics.densities import Density
from ..lab.efficiency_maps import CorrectionMap, EfficiencyMap, HistogramMap, LegendreMap, evaluate
from ..sampler.tables import density_of
from .amplitude import SPLIT, Amplitude, Array, ComplexArray, Point, unpacked
from .loops import sum_forms

Range = tuple[float, float]
_PIECE = 1 << 12  # events at a time


@dataclass(frozen=True, eq=False)
class Cells:
    """Parabolas on cells in q2: ``edges`` (cells, 2), ``rows`` (3, cells, ...) with R0, R1 and R2."""

    edges: Array
    rows: Array

    def integrals(self, poles: ComplexArray) -> tuple[Array, ComplexArray, ComplexArray]:
        """∫ R, and for each pole z ∫ R/(q2 - z) and its derivative by z; shapes (...), (poles, ...) twice."""
        n, rows = len(poles), self.rows
        weights = self.weights(poles).reshape(1 + 4 * n, -1)
        found = (weights @ rows.reshape(weights.shape[1], -1)).reshape(-1, *rows.shape[2:])
        both = found[1 : 1 + 2 * n] + 1j * found[1 + 2 * n :]
        return found[0], both[:n], both[n:]

    def weights(self, poles: ComplexArray) -> Array:
        """Weights of the rows in these integrals, (1 + 4 poles, 3, cells): real parts of all, then imaginary ones."""
        return _weights(np.ascontiguousarray(self.edges).tobytes(), poles.tobytes())

    def cut(self, places: Array) -> Cells:
        """The same parabolas on smaller cells, with edges at ``places`` too.

        >>> whole = cells_of(lambda q2: q2**2, np.array([]), [(1.0, 2.0)])
        >>> parts = whole.cut(np.array([1.1, 1.7]))
        >>> len(parts.edges) - len(whole.edges), round(float(parts.integrals(np.array([0j]))[0]), 12)
        (2, 2.333333333333)
        """
        pieces, owner = [], []
        for i, (low, high) in enumerate(self.edges):
            ends = np.concatenate([[low], places[(places > low) & (places < high)], [high]])
            pieces.append(np.stack([ends[:-1], ends[1:]], axis=1))
            owner += [i] * (len(ends) - 1)
        edges, old = np.concatenate(pieces), self.edges[owner]
        width = old[:, 1] - old[:, 0]
        shape = (-1, *(1,) * (self.rows.ndim - 2))
        middle = ((edges.sum(axis=1) - old.sum(axis=1)) / width).reshape(shape)  # u = middle + scale u'
        scale = ((edges[:, 1] - edges[:, 0]) / width).reshape(shape)
        zero, one, two = self.rows[:, owner]
        rows = [zero + middle * (one + middle * two), scale * (one + 2.0 * middle * two), scale**2 * two]
        return Cells(edges, np.stack(rows))


@lru_cache(maxsize=16)  # both flavours have the same, and so has a fit of couplings alone in every step
def _weights(edges: bytes, poles: bytes) -> Array:
    """Weights of `Cells.weights`, of numbers as they are in memory."""
    low, high = np.frombuffer(edges).reshape(-1, 2).T
    every = np.frombuffer(poles, dtype=complex)
    half, z = 0.5 * (high - low), every[:, None] - 0.5 * (high + low)
    first = np.log((half - z) / (-half - z))
    slope = -1.0 / (half - z) - 1.0 / (half + z)
    # of u^0, u^1, u^2 in units of half a cell: the recursion of x^k / (x - z)
    second = 2.0 * half + z * first
    third, d_second = z * second, first + z * slope
    d_third = second + z * d_second
    n = len(every)
    weights = np.empty((1 + 4 * n, 3, len(half)))  # real: twice as fast
    weights[0] = 2.0 * half, 0.0 * half, 2.0 * half / 3.0
    for i, moments in enumerate(((first, slope), (second, d_second), (third, d_third))):
        both = np.concatenate(moments) / half**i
        weights[1 : 1 + 2 * n, i], weights[1 + 2 * n :, i] = both.real, both.imag
    weights.flags.writeable = False
    return weights


def cells_of(function: Callable[[Array], Array], places: Array, ranges: Sequence[Range], split: int = SPLIT) -> Cells:
    """Parabolas of a function of q2, (n,) -> (n, ...), on ranges cut at ``places`` and these parts in ``split`` cells.

    >>> found = cells_of(lambda q2: q2**2, np.array([1.5]), [(1.0, 2.0)])
    >>> round(float(found.integrals(np.array([0j]))[0]), 12)
    2.333333333333
    """
    edges, nodes = nodes_of(places, ranges, split)
    return parabolas(edges, function(nodes), split)


def nodes_of(places: Array, ranges: Sequence[Range], split: int) -> tuple[Array, Array]:
    """Edges of these cells (cells, 2), and for each part the ends and middles of its cells, one after the other.

    >>> nodes_of(np.array([1.5]), [(1.0, 2.0)], 1)[1].tolist()
    [1.0000000000000002, 1.25, 1.4999999999999998, 1.5000000000000002, 1.75, 1.9999999999999998]
    """
    edges, nodes = [], []
    for low, high in ranges:
        cuts = np.unique(np.concatenate([[low], places[(places > low) & (places < high)], [high]]))
        steps = np.linspace(0.0, 1.0, 2 * split + 1)
        fine = cuts[:-1, None] + np.diff(cuts)[:, None] * steps
        fine[:, -1] = cuts[1:]
        edges.append(np.stack([fine[:, :-1:2], fine[:, 2::2]], axis=-1).reshape(-1, 2))
        fine[:, 0] = np.nextafter(cuts[:-1], high)  # where there may be a jump
        fine[:, -1] = np.nextafter(cuts[1:], low)
        nodes.append(fine.ravel())
    return np.concatenate(edges), np.concatenate(nodes)


def parabolas(edges: Array, values: Array, split: int) -> Cells:
    """Cells from the values (n, ...) of a function at the nodes of `nodes_of`."""
    of_part = values.reshape(-1, 2 * split + 1, *values.shape[1:])
    low, middle, high = (
        x.reshape(len(edges), *values.shape[1:]) for x in (of_part[:, :-1:2], of_part[:, 1::2], of_part[:, 2::2])
    )
    return Cells(edges, np.stack([middle, 0.5 * (high - low), 0.5 * (high + low) - middle]))


class Integrable(Protocol):
    """What has integrals of a matrix as `Cells` have them."""

    def integrals(self, poles: ComplexArray) -> tuple[Array, ComplexArray, ComplexArray]:
        """∫ R, and for each pole ∫ R/(q2 - z) and its derivative by z."""


def rate_of(cells: Integrable, point: Point) -> tuple[float, ComplexArray]:
    """Integral of the waves' v† R v over cells, and G with its change = 2 Re(G · d point)."""
    n, c, t, z = len(point.constants), point.constants, point.residues, point.poles
    a, big_l, d_l = (unpacked(part, n) for part in cells.integrals(z))  # (waves, n, n), (poles, waves, n, n) twice
    bar = big_l.conj().swapaxes(-1, -2)  # ∫ R/(q2 - z*)
    gap = (z[None, :] - z.conj()[:, None])[:, :, None, None, None]
    pairs = (big_l[None, :] - bar[:, None]) / gap  # ∫ R / ((q2 - z_k*)(q2 - z_l))
    # what stands beside c† and beside each t_k†
    beside_c = np.einsum("wab,b->wa", a, c) + np.einsum("kwab,bk->wa", big_l, t)
    beside_t = np.einsum("kwab,b->wak", bar, c) + np.einsum("klwab,bl->wak", pairs, t)
    values = (beside_c @ c.conj() + np.einsum("ak,wak->w", t.conj(), beside_t)).real
    of_z = np.einsum("a,lwab,bl->wl", c.conj(), d_l, t)
    of_z = of_z + np.einsum("ak,klwab,bl->wl", t.conj(), (d_l[None, :] - pairs) / gap, t)
    change = np.concatenate([beside_c.conj(), beside_t.conj().reshape(len(values), -1), of_z], axis=1)
    return float(point.waves @ values), np.concatenate([point.waves @ change, 0.5 * values])


def rate_by_rows(cells: Cells, point: Point) -> Array:
    """Derivatives of a rate, see `rate_of`, by the rows of its cells, (3, cells, n²), the same for every wave.

    The rate is linear in the rows: v† ∫R v is c† ∫R c + 2 Re sum_l y_l† ∫R/(q2 - z_l) t_l with y_l = v(z_l*).

    >>> point = Point(np.array([1.0 + 0j]), np.array([[0.3 + 0.1j]]), np.array([1.5 - 0.1j]))
    >>> cells = cells_of(lambda q2: 1.0 + q2[:, None, None] ** 2, np.array([]), [(1.0, 2.0)])
    >>> bool(np.isclose(np.sum(rate_by_rows(cells, point) * cells.rows[:, :, 0]), rate_of(cells, point)[0]))
    True
    """
    n, weights = len(point.poles), cells.weights(point.poles)
    moments = weights[1 : 1 + n] + 1j * weights[1 + 2 * n : 1 + 3 * n]
    c, t = point.constants, point.residues
    found = weights[0][..., None] * products(c, c).real
    for k, z in enumerate(point.poles):
        y = c + t @ (1.0 / (z.conjugate() - point.poles))
        found = found + 2.0 * (moments[k][..., None] * products(y, t[:, k])).real
    return np.asarray(found)


def products(v: ComplexArray, w: ComplexArray) -> ComplexArray:
    """What a packed matrix M is multiplied with to v† M w, (n²,).

    >>> v, form = np.array([1.0 + 1j, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])
    >>> complex(products(v, v) @ form) == complex(v.conj() @ unpacked(form, 2) @ v)
    True
    """
    rows, columns = np.triu_indices(len(v), 1)
    one, other = v.conj()[rows] * w[columns], v.conj()[columns] * w[rows]
    return np.concatenate([v.conj() * w, one + other, 1j * (one - other)])


def by_nodes(slopes: Array, split: int) -> Array:
    """Derivatives by values at the nodes of `nodes_of`, (n, ...), from those by rows of `parabolas`, (3, cells, ...).

    >>> by_nodes(np.array([[1.0], [0.0], [0.0]]), 1).tolist()
    [0.0, 1.0, 0.0]
    """
    middle = slopes[0] - slopes[2]
    low, high = 0.5 * (slopes[2] - slopes[1]), 0.5 * (slopes[2] + slopes[1])
    low, middle, high = (x.reshape(-1, split, *slopes.shape[2:]) for x in (low, middle, high))
    found = np.zeros((len(low), 2 * split + 1, *slopes.shape[2:]))
    found[:, :-1:2] += low
    found[:, 1::2] += middle
    found[:, 2::2] += high
    return found.reshape(-1, *slopes.shape[2:])


class Rate:
    """Rate of one channel and flavour in ranges of q2, behind an efficiency if there is one, as a function of a point.

    >>> from darkpenguin.physics.angular import breakpoints, decay_rate, event_density, quadrature
    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> from .amplitude import shifts_of
    >>> channel, model = get_channel("B0->K*0mumu"), get_model("fig2")
    >>> amplitude = Amplitude(channel, 1, model.theory, shifts_of(channel, [model]))
    >>> nodes, weights = quadrature(breakpoints(channel, model), 1.1, 6.0)
    >>> exact = decay_rate(event_density(channel, model, nodes, 1)) @ weights
    >>> bool(abs(Rate(amplitude, [(1.1, 6.0)]).value(amplitude.point(model))[0] / exact - 1) < 1e-8)
    True
    """

    def __init__(self, amplitude: Amplitude, ranges: Sequence[Range], efficiency: EfficiencyMap | None = None) -> None:
        self._amplitude, self.size, self.density = amplitude, amplitude.size, amplitude.density
        self.split = amplitude.split
        if efficiency is not None:
            check_efficiency(efficiency, amplitude.channel)
        self.efficiency = efficiency
        places = amplitude.breakpoints()
        if efficiency is not None:
            places = np.unique(np.concatenate([places, efficiency_places(efficiency)]))
        edges, q2 = nodes_of(places, ranges, self.split)
        if efficiency is None:
            rate = np.array(self.density.rate)[:, None]
            weights = np.broadcast_to(rate, (len(rate), len(q2)))
        else:
            weights = angular_weights(self.density, efficiency, amplitude.channel, ranges)(q2)
        self.edges, self.nodes, self.weights = edges, q2, weights
        self._set(amplitude.table(q2))

    def _set(self, table: Array) -> None:
        integrated = self._amplitude.integrated(self.nodes, table, self.weights)
        self.forms = parabolas(self.edges, table, self.split)
        self.cells = parabolas(self.edges, integrated, self.split)

    def moved(self, table: Array) -> Rate:
        """The same with other matrices of the J_i at its nodes, as `Amplitude.table`."""
        found = copy(self)
        found._set(table)
        return found

    def value(self, point: Point) -> tuple[float, ComplexArray]:
        """Rate (GeV), and G with dΓ = 2 Re(G · d point) for `Point.flat`."""
        return rate_of(self.cells, point)

    def covered(self) -> list[Range]:
        """Ranges of the q2 of events, those that touch together."""
        return _joined(self.cells.edges)

    def pieces(self, number: int) -> list[Range]:
        """About so many ranges of one width, without gaps but those of the ranges."""
        ranges = self.covered()
        width = sum(high - low for low, high in ranges) / number
        found = []
        for low, high in ranges:
            edges = np.linspace(low, high, max(1, round((high - low) / width)) + 1)
            found += list(pairwise(edges.tolist()))
        return found

    def spectrum(self, point: Point, ranges: Sequence[Range]) -> Array:
        """Rate (GeV) in each of several ranges of q2 (GeV²), in rising order, all within its own."""
        cells = self.cells.cut(np.unique(ranges))
        middles = cells.edges.mean(axis=1)
        owner = np.searchsorted([low for low, _ in ranges], middles, side="right") - 1
        rates = np.einsum("rcp,rcwp,w->c", rate_by_rows(cells, point), cells.rows, point.waves, optimize=True)
        return np.asarray(np.bincount(owner, rates, len(ranges)), dtype=np.float64)

    def place(self, q2: Array) -> tuple[Any, Array]:
        """Cells of q2 (GeV²), and where in them, u from -1 to 1."""
        low, high = self.edges.T
        cell = np.clip(np.searchsorted(low, q2, side="right") - 1, 0, len(low) - 1)
        return cell, (2.0 * q2 - (high[cell] + low[cell])) / (high[cell] - low[cell])

    def event_forms(self, columns: Mapping[str, Any]) -> Array:
        """Packed Hermitian matrices of the density of events, (n, waves, n²); the efficiency is not in them.

        In 1/GeV, or 1/GeV² of events with a Kπ mass.
        """
        q2 = np.asarray(columns["q2"], dtype=np.float64)
        order = np.argsort(q2, kind="stable")  # so that neighbours read the same cells
        found = np.empty((len(q2), len(self._amplitude.waves({})), self.size**2))
        names = [name for name in self.density.columns if name != "flavour"]

        def work(start: int, stop: int) -> None:
            for first in range(start, stop, _PIECE):
                chosen = order[first : min(first + _PIECE, stop)]
                piece = {name: np.asarray(columns[name][chosen], dtype=np.float64) for name in names}
                x = piece["q2"]
                cell, u = self.place(x)
                factors = self.density.norm * self._amplitude.factors(piece)
                some = np.empty((len(x), *found.shape[1:]))
                sum_forms(cell, u, self._amplitude.along_mass(piece), factors, self.forms.rows, some)
                found[chosen] = some

        split_work(work, len(q2), None if len(q2) > _PIECE else 1)
        return found


def _joined(edges: Array) -> list[Range]:
    """Ranges that rising cells cover, those that touch together."""
    found: list[list[float]] = []
    for low, high in edges.tolist():
        if found and found[-1][1] == low:
            found[-1][1] = high
        else:
            found.append([low, high])
    return [(low, high) for low, high in found]


def efficiency_places(efficiency: EfficiencyMap) -> Array:
    """Edges in q2 (GeV²) of a map that jumps there."""
    return _edges(efficiency).get("q2", np.empty(0))


def efficiency_pieces(efficiency: EfficiencyMap, ranges: Sequence[Range]) -> tuple[Array, int, Array]:
    """Edges in q2 (GeV²) between which a map is a polynomial, its degree, and places from -1 to 1 that tell it."""
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    jumps = efficiency_places(efficiency)
    degree = _degrees(efficiency).get("q2", 0)
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    return np.unique(np.concatenate([[low], jumps[(jumps > low) & (jumps < high)], [high]])), degree, nodes


def _edges(efficiency: EfficiencyMap) -> dict[str, Array]:
    """Finite edges of a histogram by column; none of another map, but where a Legendre map ends."""
    if isinstance(efficiency, HistogramMap):
        found = zip(efficiency.inputs, efficiency.edges, strict=True)
        return {name: np.asarray([x for x in edges if np.isfinite(x)], dtype=float) for name, edges in found}
    return {name: np.array([low, high]) for name, low, high in getattr(efficiency, "axes", ())}


def _degrees(efficiency: EfficiencyMap) -> dict[str, int]:
    """Degree of a map in each of its columns between its edges."""
    if not isinstance(efficiency, LegendreMap):
        return {}
    return {name: size - 1 for name, size in zip(efficiency.inputs, efficiency.coefficients.shape, strict=True)}


def check_efficiency(efficiency: EfficiencyMap, channel: Channel) -> None:
    """InputError for a map that cannot be integrated over the angles: of momenta, or without a form.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from ..lab.efficiency_maps import ConstantMap
    >>> check_efficiency(ConstantMap(0.5), get_channel("B+->K+mumu"))
    """
    known = ("q2", *density_of(channel).angles)
    other = [name for name in efficiency.inputs if name not in known]
    if other or isinstance(efficiency, CorrectionMap):
        what = f"reads {', '.join(other)}" if other else "is a correction, whose form is not known"
        raise InputError(
            f"efficiency: the map of {channel.name} {what}; a fit needs a histogram or a Legendre map in "
            f"{', '.join(known)}"
        )
    if isinstance(efficiency, LegendreMap) and efficiency.clip:
        try:
            replace(efficiency, clip=False).check()
        except InputError:
            raise InputError(
                f"efficiency: the map of {channel.name} is cut at 0 or 1 (clip), so it is no polynomial and a fit "
                "cannot integrate it; take a histogram, or a map within 0 and 1"
            ) from None


def angular_weights(
    density: Density, efficiency: EfficiencyMap, channel: Channel, ranges: Sequence[Range]
) -> Callable[[Array], Array]:
    """norm · ∫ ε f_i over the angles as a function of q2, (n_coefficients, n_q2): a polynomial between jumps."""
    *angles, weights = angular_grid(density, efficiency)
    f = density.norm * weights * density.basis(*angles)
    edges, degree, nodes = efficiency_pieces(efficiency, ranges)
    polynomials = []
    for a, b in pairwise(edges):
        values = []
        for x in 0.5 * (a + b) + 0.5 * (b - a) * nodes:
            columns = dict(zip(density.angles, angles, strict=True)) | {"q2": np.full(len(weights), x)}
            values.append(f @ evaluate(efficiency, columns, channel))
        polynomials.append(np.polynomial.chebyshev.chebfit(nodes, np.array(values), degree))

    def found(q2: Array) -> Array:
        panel = np.clip(np.searchsorted(edges, q2, side="right") - 1, 0, len(polynomials) - 1)
        out = np.empty((len(f), len(q2)))
        for k, polynomial in enumerate(polynomials):
            chosen = panel == k
            u = (2.0 * q2[chosen] - (edges[k] + edges[k + 1])) / (edges[k + 1] - edges[k])
            out[:, chosen] = np.polynomial.chebyshev.chebval(u, polynomial)
        return out

    return found


def angular_grid(density: Density, efficiency: EfficiencyMap) -> tuple[Array, ...]:
    """Nodes and weights of a quadrature over the angles, panels between the edges of a map that has some.

    Polar angles themselves, and not their cosines: the f_i have square roots of 1 - cos². They are of second degree in
    sines and cosines, with the measure of third; the number of nodes is that for rounding.
    """
    edges, degrees = _edges(efficiency), _degrees(efficiency)
    axes = []
    for name in density.angles:
        ends = (-np.pi, np.pi) if name == "phi" else (-1.0, 1.0)
        cuts = edges.get(name, np.empty(0))
        cuts = np.unique(np.concatenate([ends, cuts[(cuts > ends[0]) & (cuts < ends[1])]]))
        cuts = cuts if name == "phi" else np.arccos(cuts)[::-1]
        nodes, weights = [], []
        for low, high in pairwise(cuts):
            half = 0.5 * (high - low)
            x, w = np.polynomial.legendre.leggauss(int(1.5 * (degrees.get(name, 0) + 3) * half) + 5)
            nodes.append(low + half * (x + 1.0))
            weights.append(half * w)
        angle, weight = np.concatenate(nodes), np.concatenate(weights)
        axes.append((angle, weight) if name == "phi" else (np.cos(angle), weight * np.sin(angle)))
    mesh = np.meshgrid(*(nodes for nodes, _ in axes), indexing="ij")
    weights_of_all = np.ones(())
    for _, w in axes:
        weights_of_all = np.multiply.outer(weights_of_all, w)
    return (*(nodes.ravel() for nodes in mesh), weights_of_all.ravel())
