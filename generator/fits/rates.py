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
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from ...physics.densities import Density
from ..lab.efficiency_maps import CorrectionMap, EfficiencyMap, HistogramMap, LegendreMap, evaluate
from ..sampler.tables import density_of
from .amplitude import Amplitude, Array, ComplexArray, Point, unpacked

Range = tuple[float, float]
SPLIT = 12
"""Cells between two places where the shapes are not smooth. Densities are then good to 3e-8 from 1.1 to 8 GeV², to 4e-6
near the ends of phase space (2e-5 of an electron pair from 0.001 GeV²); rates to 2e-8, from 1.1 to 8 GeV² to 1e-11."""
_PIECE = 1 << 12  # events at a time: 2 MB of interpolated matrices


@dataclass(frozen=True, eq=False)
class Cells:
    """Parabolas on cells in q2: ``edges`` (cells, 2), ``rows`` (3, cells, ...) with R0, R1 and R2."""

    edges: Array
    rows: Array

    def integrals(self, poles: ComplexArray) -> tuple[Array, ComplexArray, ComplexArray]:
        """∫ R, and for each pole z ∫ R/(q2 - z) and its derivative by z; shapes (...), (poles, ...) twice."""
        low, high = self.edges.T
        half, z = 0.5 * (high - low), poles[:, None] - 0.5 * (high + low)
        first = np.log((half - z) / (-half - z))
        slope = -1.0 / (half - z) - 1.0 / (half + z)
        # of u^0, u^1, u^2 in units of half a cell: the recursion of x^k / (x - z)
        second, third = 2.0 * half + z * first, z * (2.0 * half + z * first)
        d_second = first + z * slope
        d_third = second + z * d_second
        moments = np.stack([first, second / half, third / half**2])
        slopes = np.stack([slope, d_second / half, d_third / half**2])
        plain = np.stack([2.0 * half, 0.0 * half, 2.0 * half / 3.0])
        return (
            np.tensordot(plain, self.rows, axes=([0, 1], [0, 1])),
            np.tensordot(moments, self.rows, axes=([0, 2], [0, 1])),
            np.tensordot(slopes, self.rows, axes=([0, 2], [0, 1])),
        )


def cells_of(function: Callable[[Array], Array], places: Array, ranges: Sequence[Range]) -> Cells:
    """Parabolas of a function of q2, (n,) -> (n, ...), on ranges cut at ``places`` and these parts in `SPLIT` cells.

    >>> found = cells_of(lambda q2: q2**2, np.array([1.5]), [(1.0, 2.0)])
    >>> round(float(found.integrals(np.array([0j]))[0]), 12)
    2.333333333333
    """
    edges = []
    for low, high in ranges:
        cuts = np.unique(np.concatenate([[low], places[(places > low) & (places < high)], [high]]))
        steps = np.linspace(0.0, 1.0, SPLIT + 1)
        fine = np.append((cuts[:-1, None] + np.diff(cuts)[:, None] * steps[:-1]).ravel(), high)
        edges.append(np.stack([fine[:-1], fine[1:]], axis=1))
    both = np.concatenate(edges)
    low, high = both.T
    nodes = np.stack([np.nextafter(low, high), 0.5 * (low + high), np.nextafter(high, low)])
    at_low, middle, at_high = function(nodes.ravel()).reshape(3, len(both), *function(nodes[1, :1]).shape[1:])
    return Cells(both, np.stack([middle, 0.5 * (at_high - at_low), 0.5 * (at_high + at_low) - middle]))


def rate_of(cells: Cells, point: Point) -> tuple[float, ComplexArray]:
    """Integral of v† R v over cells, and G with its change = 2 Re(G · d point)."""
    n, c, t, z = len(point.constants), point.constants, point.residues, point.poles
    plain, poles, slopes = cells.integrals(z)
    a, big_l, d_l = unpacked(plain, n), unpacked(poles, n), unpacked(slopes, n)
    bar = big_l.conj().swapaxes(1, 2)  # ∫ R/(q2 - z*)
    gap = z[None, :] - z.conj()[:, None]
    pairs = (big_l[None, :] - bar[:, None]) / gap[:, :, None, None]  # ∫ R / ((q2 - z_k*)(q2 - z_l))
    # what stands beside c† and beside each t_k†
    beside_c = a @ c + np.einsum("kab,bk->a", big_l, t)
    beside_t = np.einsum("kab,b->ak", bar, c) + np.einsum("klab,bl->ak", pairs, t)
    value = (c.conj() @ beside_c + np.sum(t.conj() * beside_t)).real
    of_z = np.einsum("a,lab,bl->l", c.conj(), d_l, t)
    of_z = of_z + np.einsum("ak,klab,bl->l", t.conj(), (d_l[None, :] - pairs) / gap[:, :, None, None], t)
    return float(value), np.concatenate([beside_c.conj(), beside_t.conj().ravel(), of_z])


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
        self._amplitude, self.size = amplitude, amplitude.size
        self.density = density_of(amplitude.channel)
        if efficiency is not None:
            check_efficiency(efficiency, amplitude.channel)
        self._efficiency = efficiency
        self.forms = cells_of(lambda q2: np.moveaxis(amplitude.forms(q2), 0, 1), amplitude.breakpoints(), ranges)
        self.cells = self._accepted(ranges)

    def _accepted(self, ranges: Sequence[Range]) -> Cells:
        """Cells of the matrices behind the efficiency, integrated over the angles."""
        jumps = np.empty(0) if self._efficiency is None else efficiency_places(self._efficiency)
        places = np.unique(np.concatenate([self._amplitude.breakpoints(), jumps]))
        if self._efficiency is None:
            rate = np.array(self.density.rate)
            return cells_of(lambda q2: np.tensordot(rate, self._amplitude.forms(q2), axes=1), places, ranges)
        weights = angular_weights(self.density, self._efficiency, self._amplitude, ranges)
        return cells_of(lambda q2: np.einsum("iq,iqp->qp", weights(q2), self._amplitude.forms(q2)), places, ranges)

    def value(self, point: Point) -> tuple[float, ComplexArray]:
        """Rate (GeV), and G with dΓ = 2 Re(G · d point) for `Point.flat`."""
        return rate_of(self.cells, point)

    def pieces(self, number: int) -> list[Range]:
        """About so many ranges of one width, without gaps but those of the ranges."""
        ranges = _joined(self.cells.edges)
        width = sum(high - low for low, high in ranges) / number
        found = []
        for low, high in ranges:
            edges = np.linspace(low, high, max(1, round((high - low) / width)) + 1)
            found += list(pairwise(edges.tolist()))
        return found

    def spectrum(self, point: Point, ranges: Sequence[Range]) -> Array:
        """Rate (GeV) in each of several ranges of q2 (GeV²), in rising order."""
        cells = self._accepted(ranges)
        middles = cells.edges.mean(axis=1)
        owner = np.searchsorted([low for low, _ in ranges], middles, side="right") - 1
        chosen = (owner == i for i in range(len(ranges)))
        return np.array([rate_of(Cells(cells.edges[one], cells.rows[:, one]), point)[0] for one in chosen])

    def event_forms(self, columns: Mapping[str, Any]) -> Array:
        """Packed Hermitian matrices of the density of events, (n, n²), in 1/GeV; the efficiency is not in them."""
        q2 = np.asarray(columns["q2"], dtype=np.float64)
        low, high = self.forms.edges.T
        found = np.empty((len(q2), self.size**2))
        for first in range(0, len(q2), _PIECE):
            part = slice(first, min(first + _PIECE, len(q2)))
            x = q2[part]
            cell = np.clip(np.searchsorted(low, x, side="right") - 1, 0, len(low) - 1)
            u = (2.0 * x - (high[cell] + low[cell])) / (high[cell] - low[cell])
            rows = self.forms.rows
            j = rows[0, cell] + u[:, None, None] * (rows[1, cell] + u[:, None, None] * rows[2, cell])
            f = self.density.basis(*(np.asarray(columns[name][part], dtype=np.float64) for name in self.density.angles))
            found[part] = self.density.norm * np.einsum("in,nip->np", f, j)
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
    density: Density, efficiency: EfficiencyMap, amplitude: Amplitude, ranges: Sequence[Range]
) -> Callable[[Array], Array]:
    """norm · ∫ ε f_i over the angles as a function of q2, (n_coefficients, n_q2): a polynomial between jumps."""
    *angles, weights = angular_grid(density, efficiency)
    f = density.norm * weights * density.basis(*angles)
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    jumps = efficiency_places(efficiency)
    edges = np.unique(np.concatenate([[low], jumps[(jumps > low) & (jumps < high)], [high]]))
    polynomials = []
    degree = _degrees(efficiency).get("q2", 0)
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    for a, b in pairwise(edges):
        values = []
        for x in 0.5 * (a + b) + 0.5 * (b - a) * nodes:
            columns = dict(zip(density.angles, angles, strict=True)) | {"q2": np.full(len(weights), x)}
            values.append(f @ evaluate(efficiency, columns, amplitude.channel))
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
