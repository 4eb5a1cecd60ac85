r"""Tables in q2 and the Kpi mass: the density of B -> K pi l l with a K* of finite width, and the S wave.

The density is a sum of products, of line shapes that vary quickly with m = m_Kpi and of 29 parts that depend on q2 and
slowly on m (`physics.kpi`). Both are tables, and what is sampled is their mixture, exactly:

- **Mass nodes** m_k, about ten. Between two of them the parts are linear in m along lines of constant u, where u is q2
  up to a q0 and (q2 - q0) / (endpoint(m) - q0) above: so a light vector, a kink and the edge of a range, which stay at
  their q2, and the end of the spectrum, which moves with m, are both straight. Every cell has a q0 of its own, and
  where the end of the spectrum passes the edge of a range there is a mass node. At every m_k the parts are a
  one-dimensional table of its own adaptive nodes in q2. With narrow charmonium, bands of q2 have mass nodes of their
  own.
- **Line-shape nodes** m_l, some hundred to a thousand, between which |a_P|^2, |a_S|^2 and a_S a_P* are linear.

With h_k the hats of the mass nodes, H_l those of the line-shape nodes, U_kj those of the nodes in q2,

.. math:: \rho(q^2, m, \Omega) = \sum_{k,l,j} h_k(m_l)\, H_l(m)\, U_{kj}(u)\, w_{klj}(\Omega)

where w is the angular density of the amplitude a_P(m_l) H(q2_j, m_k) + a_S(m_l) H_S(q2_j, m_k): one that exists, so
never negative, interference included. Its rate is |a_P|^2 R_P + |a_S|^2 R_S, so (k, j) is drawn together with the
wave, and m_l from the weights that this wave has.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import split_work
from ...physics.angular import Convention
from ...physics.densities import DENSITIES, VECTOR, Density
from ...physics.kpi import N_PARTS, KpiDecay, combine
from .event import KPI_ROW, MASS_ROW
from .tables import (
    FLAVOURS,
    Array,
    alias_table,
    aligned,
    answer,
    fold_vector,
    round_edges,
    round_hats,
    search_nodes,
    select_ranges,
)

NEVER = 1e9
"""A q0 beyond every q2: nothing moves with the end of the spectrum."""
MAX_ROWS = 2_000_000
"""More rows than this, and the table is refused."""
_STRIPS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0)  # GeV^2 below the end of the spectrum that move with it
_PIECE = 4096  # places that are evaluated together: larger arrays leave the cache
_BANDS = (7.0, 3.0)  # GeV^2 below the end of the spectrum at the heaviest mass
_SMALLEST_CELL = 1e-4  # of mass nodes (GeV)
_NEAR_END = 0.02  # GeV^2 at the end, where errors are measured in units of the rate further inside
_P_RATE = np.array([*VECTOR.rate, *(0,) * (N_PARTS - 12)])
_S_RATE = np.array([*(0,) * 12, 2.25, -0.75, *(0,) * (N_PARTS - 14)])


@dataclass(frozen=True, eq=False)
class KpiTable:
    """A density in q2, the Kpi mass and the angles, as the module's text says; both flavours are one mixture.

    Attributes:
        masses: mass nodes (GeV), sorted within a band, shape (n_nodes,).
        ends: end of the spectrum (GeV^2) at each.
        q0: of each cell between two mass nodes of a band (GeV^2), shape (n_nodes - n_bands,).
        bands: number of the first mass node of each band of q2, shape (n_bands,).
        node: mass node of each row.
        parts: the 29 parts (1/GeV), shape (n_rows, 29).
        q2: position of the rows (GeV^2); ``left`` and ``right`` are the widths of their hats.
        flavour: +1 (B0, B+) or -1 of each row.
        shape_masses: line-shape nodes (GeV), sorted; the mass nodes are among them.
        shapes: |a_P|^2, |a_S|^2, Re and Im of a_S a_P* there (1/GeV), shape (n_shapes, 4).
        ranges: the selected ranges of q2 (GeV^2), shape (n_ranges, 2).
        m_parent: mass of the B (GeV).
    """

    masses: Array
    ends: Array
    q0: Array
    bands: NDArray[np.int32]
    node: NDArray[np.int32]
    parts: Array
    q2: Array
    left: Array
    right: Array
    flavour: NDArray[np.int32]
    shape_masses: Array
    shapes: Array
    ranges: Array
    m_parent: float
    kind: str = "kpi"

    def __post_init__(self) -> None:
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    @property
    def density(self) -> Density:
        """The angular density that the coefficients belong to."""
        return DENSITIES[self.kind]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of an event."""
        return self.density.columns

    @cached_property
    def _hats(self) -> Array:
        """h_k(m_l), shape (n_nodes, n_shapes)."""
        hats = [np.interp(self.shape_masses, masses, row) for masses, _ in self._by_band for row in np.eye(len(masses))]
        return np.stack(hats)

    @cached_property
    def _by_band(self) -> list[tuple[Array, Array]]:
        """Mass nodes of each band, and q0 of the cells between them."""
        first = self.bands[1:]
        return list(
            zip(np.split(self.masses, first), np.split(self.q0, first - np.arange(1, len(first) + 1)), strict=True)
        )

    @cached_property
    def _widths(self) -> tuple[Array, Array]:
        """Widths of the hats of the line-shape nodes, below and above."""
        steps = np.diff(self.shape_masses)
        return np.append(0.0, steps), np.append(steps, 0.0)

    @property
    def _areas(self) -> Array:
        """Areas (GeV) under the hats of the line-shape nodes."""
        left, right = self._widths
        return np.asarray(0.5 * (left + right))

    @cached_property
    def _shape_integrals(self) -> Array:
        """Integral over m of each product of line shapes times h_k, shape (n_nodes, 4)."""
        return np.asarray(self._hats @ (self.shapes * self._areas[:, None]))

    @cached_property
    def _wave_weights(self) -> Array:
        """Rate (GeV) of each row in the P and in the S wave, shape (n_rows, 2)."""
        rates = np.maximum(self.parts @ np.stack([_P_RATE, _S_RATE], axis=1), 0.0)
        return np.asarray(rates * self._shape_integrals[self.node, :2] * (0.5 * (self.left + self.right))[:, None])

    @property
    def rates(self) -> dict[int, float]:
        """Rate of each flavour in the selected ranges and the window in m_Kpi (GeV)."""
        weights = self._wave_weights.sum(axis=1)
        present = [flavour for flavour in (1, -1) if (self.flavour == flavour).any()]
        return {flavour: float(weights[self.flavour == flavour].sum()) for flavour in present}

    @property
    def total_rate(self) -> float:
        """Sum of the rates of the flavours (GeV)."""
        return float(self._wave_weights.sum())

    def fraction(self, flavour: int | None = None) -> float:
        """S-wave fraction F_S of the selected events."""
        chosen = slice(None) if flavour is None else self.flavour == flavour
        p, s = self._wave_weights[chosen].sum(axis=0)
        return float(s / (p + s))

    def integral(self, flavour: int | None = None) -> Array:
        """The 19 coefficients integrated over q2 and m_Kpi (GeV), exact."""
        chosen = slice(None) if flavour is None else self.flavour == flavour
        areas = 0.5 * (self.left + self.right)[chosen]
        parts = (self.parts[chosen] * areas[:, None]).T
        return np.asarray(combine(parts, self._shape_integrals[self.node[chosen]].T).sum(axis=1))

    def moments(self, flavour: int | None = None) -> dict[str, float]:
        """Mean of every basis function f_i over the events, exact."""
        return self._means(self.density.gram, flavour)

    def moment_variances(self, flavour: int | None = None) -> dict[str, float]:
        """Variance of every basis function f_i over the events, exact."""
        squares, means = self._means(self.density.second_moments, flavour), self.moments(flavour)
        return {name: squares[name] - means[name] ** 2 for name in means}

    def _means(self, matrix: Array, flavour: int | None) -> dict[str, float]:
        total = self.integral(flavour)
        means = matrix @ total / (np.array(self.density.rate) @ total)
        return dict(zip(self.density.coefficients, means.tolist(), strict=True))

    def at(self, q2: Array, mass: float, flavour: int) -> Array:
        """The 19 coefficients (1/GeV^2) of the sampled density at one mass and q2 (n,): what it is compared by."""
        shapes = np.stack([[np.interp(mass, self.shape_masses, h * f) for f in self.shapes.T] for h in self._hats])
        result = np.zeros((len(self.density.coefficients), len(q2)))
        for first, (masses, q0) in zip(self.bands, self._by_band, strict=True):
            cell = int(np.clip(np.searchsorted(masses, mass) - 1, 0, len(q0) - 1))
            for k in first + np.array([cell, cell + 1]):
                chosen = (self.node == k) & (self.flavour == flavour)
                at_node, slope = _along(q2, q0[cell], (self.m_parent - mass) ** 2, self.ends[k])
                x, left, right = self.q2[chosen], self.left[chosen], self.right[chosen]
                distance = at_node[:, None] - x
                with np.errstate(divide="ignore", invalid="ignore"):
                    hats = np.where(distance < 0, 1 + distance / left, 1 - distance / right)
                hats = np.where((distance >= -left) & (distance <= right), hats, 0.0)
                parts = (hats @ self.parts[chosen]).T * slope
                result += combine(parts, np.repeat(shapes[k][:, None], len(q2), axis=1))
        return result

    @cached_property
    def alias(self) -> NDArray[np.uint64]:
        """Alias table of rows and waves: entry 2 row + wave (P, S)."""
        return alias_table(self._wave_weights.ravel())

    @cached_property
    def _mass_entries(self) -> tuple[Array, NDArray[np.intp], int]:
        """Line-shape nodes of each mass node, (n_nodes, size), the number of them being ``size`` or less."""
        members = [np.flatnonzero(row > 0) for row in self._hats]
        size = max(map(len, members))
        index = np.stack([np.append(m, np.full(size - len(m), m[-1])) for m in members])
        used = np.arange(size) < np.array([[len(m)] for m in members])
        weights = np.take_along_axis(self._hats, index, axis=1) * self._areas[index] * used
        return weights, index, size

    @cached_property
    def mass_alias(self) -> NDArray[np.uint64]:
        """Alias tables of the line-shape nodes, one for each mass node and wave, one after the other."""
        weights, index, size = self._mass_entries
        tables = []
        for k in range(len(self.masses)):
            for wave in (0, 1):
                w = weights[k] * self.shapes[index[k], wave]
                tables.append(alias_table(w if w.sum() > 0 else np.ones(size)))
        return np.concatenate(tables)

    @cached_property
    def places(self) -> NDArray[np.uint32]:
        """Twice the place of each row's first table in ``mass_alias``, plus one for flavour -1; then their size."""
        size = self._mass_entries[2]
        rows = 4 * size * self.node.astype(np.int64) + (self.flavour < 0)
        return np.append(rows, size).astype(np.uint32)

    @cached_property
    def arrays_float32(self) -> tuple[NDArray[Any], ...]:
        """Flat arrays that the sampler reads, in float32."""
        return self._pack(np.dtype(np.float32))

    @cached_property
    def arrays_float64(self) -> tuple[NDArray[Any], ...]:
        """Flat arrays that the sampler reads, in float64."""
        return self._pack(np.dtype(np.float64))

    def arrays(self, precision: str) -> tuple[NDArray[Any], ...]:
        """What the sampler reads, flat: alias table, rows and their `places`, alias tables and rows of the Kpi mass."""
        return self.arrays_float32 if precision == "float32" else self.arrays_float64

    def _pack(self, dtype: np.dtype[np.floating]) -> tuple[NDArray[Any], ...]:
        scale = self.shapes[:, :2].max()
        size = self._mass_entries[2]
        rows = aligned((len(self.q2), KPI_ROW), dtype)
        unit = self.parts @ (_P_RATE + _S_RATE)
        p = self.parts / np.where(unit > 0, unit, 1.0)[:, None]
        rows[:, :12] = fold_vector(p[:, :12])
        rows[:, 12] = np.maximum(p[:, 12] - p[:, 13], 0.0)
        rows[:, 13] = np.maximum(p[:, 12] + p[:, 13], 0.0)
        rows[:, 14] = p[:, 14]
        for to, first in ((15, 15), (22, 22)):
            i1, i2, i6, i4, i5, i7, i8 = p[:, first : first + 7].T
            rows[:, to : to + 7] = np.stack([i1 - i2, i1 + i2, i6, 2 * i4, i5, i7, 2 * i8], axis=1)
        for k, end in enumerate(self.ends):
            of_node = self.node == k
            if of_node.any():
                hats = round_hats(
                    self.q2[of_node], self.left[of_node], self.right[of_node], _below(self.ranges, end), dtype
                )
                rows[of_node, 29:32] = np.stack(hats, axis=1)

        index = self._mass_entries[1].ravel()
        node = np.repeat(np.arange(len(self.masses)), size)
        m, window = self.shape_masses, self.masses[[0, -1]][None, :]
        mass_hats = np.stack(round_hats(m, *self._widths, window, dtype), axis=1)[index]
        both_q0 = []
        for masses, q0 in self._by_band:
            cell = np.searchsorted(masses, m)  # of a mass node: the cell above it
            below = np.clip(cell - 1, 0, len(q0) - 1)
            above = np.where(np.isin(m, masses), np.clip(cell, 0, len(q0) - 1), below)
            both_q0.append(round_edges(q0, dtype, up=True)[np.stack([below, above], axis=1)])
        band = np.searchsorted(self.bands, node, side="right") - 1
        shape_rows = np.concatenate([mass_hats, np.stack(both_q0)[band, index]], axis=1)
        gaps = self.ends[node][:, None] - shape_rows[:, 3:5].astype(np.float64)
        inverse = np.where(gaps > 0, 1.0 / np.where(gaps > 0, gaps, 1.0), 0.0)
        mass_rows = aligned((2 * len(index), MASS_ROW), dtype)
        waves = np.concatenate(
            [shape_rows, inverse, self.shapes[index] / scale, np.full((len(index), 1), self.m_parent)], axis=1
        )
        both = np.repeat(waves.reshape(len(self.masses), 1, size, MASS_ROW), 2, axis=1)
        mass_rows[:] = both.reshape(-1, MASS_ROW)
        rows.setflags(write=False)
        mass_rows.setflags(write=False)
        return self.alias, rows.reshape(-1), self.places, self.mass_alias, mass_rows.reshape(-1)


def _along(q2: Array, q0: float, end: float, end_at_node: float) -> tuple[Array, Array]:
    """q2 at a mass node on the line of constant u through q2 at another mass, and its derivative."""
    moves = q2 > q0
    ratio = (end_at_node - q0) / (end - q0) if end > q0 else 0.0
    return np.where(moves, q0 + (q2 - q0) * ratio, q2), np.where(moves, ratio, 1.0)


def _below(ranges: Array, end: float) -> Array:
    """The part of the ranges below the end of the spectrum."""
    kept = ranges[ranges[:, 0] < end]
    return np.minimum(kept, end)


def kpi_table(
    decay: KpiDecay,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2_ranges: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
    tolerance: float = 1e-4,
) -> KpiTable:
    """Table of B -> K pi l l in q2 and the Kpi mass.

    Args:
        decay: channel, model and Kpi system.
        flavour: ``b`` (B0, B+), ``bbar``, or ``both`` in the ratio of their rates.
        convention: of the angles.
        q2_ranges: ranges of q2 to keep (GeV^2); all of phase space if empty.
        vetoes: ranges of q2 to leave out.
        tolerance: allowed error of every coefficient in units of the local rate; what stems from q2, from the mass
            nodes and from the line shapes is each allowed a part of it.

    Raises:
        InputError: unknown flavour, ranges that leave nothing, or structure that moves through the end of phase space
            and is too narrow for a table.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.kpi import resolve_kpi
    >>> from darkpenguin.physics.models import get_model
    >>> decay = KpiDecay(get_channel("B0->K*0mumu"), get_model("sm"), resolve_kpi("swave"))
    >>> table = kpi_table(decay, q2_ranges=[(1.1, 6.0)])
    >>> round(table.fraction(), 4), table.columns[-2:]
    (0.101, ('m_kpi', 'flavour'))
    """
    if flavour not in FLAVOURS:
        raise InputError(f"flavour = {flavour!r}: both, b (B0, B+) or bbar")
    window = decay.system.window
    q2_min, q2_max = decay.q2_limits(window[0])
    ranges = select_ranges(q2_min, q2_max, q2_ranges, vetoes)
    signs = FLAVOURS[flavour]

    bands, found, first = [], [], [0]
    for selected in _bands(decay, ranges):
        masses, q0 = _mass_nodes(decay, selected, signs[0], convention, 0.4 * tolerance)
        ends = (decay.m_parent - masses) ** 2
        for edge in selected.ravel():  # exactly, where a mass node stands for an edge
            ends = np.where(np.abs(ends - edge) < 1e-12, edge, ends)
        bands.append((masses, ends, q0))
        rows = _rows(decay, convention, selected, masses, ends, signs, 0.3 * tolerance)
        found += [(first[-1] + k, sign, *nodes) for k, sign, *nodes in rows]
        first.append(first[-1] + len(masses))
    if not found:
        raise InputError("q2: the selected ranges lie beyond phase space in the window of m_Kpi")
    masses, ends, q0 = (np.concatenate(arrays) for arrays in zip(*bands, strict=True))
    node, sign, q2, left, right, parts = zip(*found, strict=True)
    lengths = [len(one) for one in q2]
    shape_masses, shapes = _shape_nodes(decay, np.unique(masses), 0.2 * tolerance)
    table = KpiTable(
        masses=masses,
        ends=ends,
        q0=q0,
        bands=np.array(first[:-1], dtype=np.int32),
        node=np.repeat(np.array(node, dtype=np.int32), lengths),
        parts=np.concatenate(parts),
        q2=np.concatenate(q2),
        left=np.concatenate(left),
        right=np.concatenate(right),
        flavour=np.repeat(np.array(sign, dtype=np.int32), lengths),
        shape_masses=shape_masses,
        shapes=shapes,
        ranges=ranges,
        m_parent=decay.m_parent,
    )
    if not table.total_rate > 0:
        raise InputError("q2: the model has no decays in the selected ranges")
    return table


def _bands(decay: KpiDecay, ranges: Array) -> list[Array]:
    """Ranges of q2 that have mass nodes of their own: all together, but with charmonium by their distance to the end.

    Far below the end of the spectrum, where J/psi and psi(2S) need a node in q2 every few keV, little depends on the
    mass; at the end psi(4160) stands still while the end moves, and every MeV of mass needs its own table.
    """
    if not decay.model.theory.lines:
        return [ranges]
    end = decay.q2_limits(decay.system.window[1])[1]
    edges = [-np.inf, *(end - below for below in _BANDS), np.inf]
    cut = [np.clip(ranges, low, high) for low, high in pairwise(edges)]
    return [kept for band in cut if len(kept := band[band[:, 0] < band[:, 1]])]


def _rows(
    decay: KpiDecay,
    convention: Convention,
    ranges: Array,
    masses: Array,
    ends: Array,
    signs: Sequence[int],
    tolerance: float,
) -> list[tuple[Any, ...]]:
    """Nodes of q2 at every mass node and flavour: number of the mass node, flavour, and what `place_nodes` returns."""
    found: list[tuple[Any, ...]] = []
    q2_min = decay.q2_limits(decay.system.window[0])[0]
    selected = {k: kept for k, end in enumerate(ends) if len(kept := _below(ranges, end))}
    for sign in signs:
        searches = [
            search_nodes(decay.breakpoints(masses[k]), kept, _P_RATE + _S_RATE, (q2_min, ends[k]), tolerance)
            for k, kept in selected.items()
        ]
        at = masses[list(selected)]

        def parts(q2: Array, of: NDArray[np.intp], at: Array = at, sign: int = sign) -> Array:
            return _parts(decay, q2, at[of], sign, convention)

        nodes = answer(searches, parts)
        found += [(k, sign, *one) for k, one in zip(selected, nodes, strict=True)]
    if sum(len(one[2]) for one in found) > MAX_ROWS:
        raise InputError(
            f"kpi: more than {MAX_ROWS} nodes; a light vector as narrow as this, where the end of phase "
            "space moves through it, takes a narrower window (m_min, m_max) or kpi = 'narrow'"
        )
    return found


def _parts(decay: KpiDecay, q2: Array, mass: Array, flavour: int, convention: Convention) -> Array:
    """The 29 parts at many places, by all threads."""
    found = np.empty((N_PARTS, len(q2)))

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, _PIECE):
            piece = slice(first, min(first + _PIECE, stop))
            found[:, piece] = decay.parts(q2[piece], mass[piece], flavour, convention)

    split_work(work, len(q2), None if len(q2) > _PIECE else 1)
    return found


def _q0_choices(ranges: Array, upper: float, lower: float) -> list[float]:
    """q0 that a cell may have of masses whose spectra end between ``lower`` and ``upper``."""
    moving = ranges[(ranges[:, 0] <= lower) & (ranges[:, 1] >= upper)]
    if not len(moving):
        return [NEVER]
    return sorted({float(max(moving[-1, 0], lower - strip)) for strip in _STRIPS})


def _mass_nodes(
    decay: KpiDecay, ranges: Array, flavour: int, convention: Convention, tolerance: float
) -> tuple[Array, Array]:
    """Mass nodes (GeV), and q0 of the cells between them: bisection until the parts are linear at the middle.

    A wide strip that moves with the end of the spectrum needs few nodes, unless there is structure in it that does not
    move, such as a light vector: of some widths the best is taken.
    """
    low, high = decay.system.window
    crossings = decay.m_parent - np.sqrt(ranges.ravel())
    edges = np.unique(np.concatenate([[low, high], crossings[(crossings > low) & (crossings < high)]])).tolist()
    todo, done = list(pairwise(edges)), []
    while todo:
        searches = [_search_q0(decay, ranges, a, b) for a, b in todo]
        found = answer(searches, lambda at, _: _parts(decay, at[0], at[1], flavour, convention))
        halves = []
        for (a, b), (error, q0) in zip(todo, found, strict=True):
            if error > tolerance and b - a > _SMALLEST_CELL:
                halves += [(a, 0.5 * (a + b)), (0.5 * (a + b), b)]
            else:
                done.append((a, b, q0))
        todo = halves
    cells = np.array(sorted(done))
    return np.append(cells[:, 0], cells[-1, 1]), cells[:, 2]


def _search_q0(decay: KpiDecay, ranges: Array, low: float, high: float) -> Generator[Array, Array, tuple[float, float]]:
    """(largest error in units of the local rate, q0) of a cell of masses, for the best q0.

    Yields where it needs the parts: q2 and masses, shape (2, n).
    """
    middle = 0.5 * (low + high)
    upper, end, lower = ((decay.m_parent - m) ** 2 for m in (low, middle, high))
    q2 = _samples(decay, ranges, middle, end)
    if not len(q2):
        return 0.0, NEVER
    choices = _q0_choices(ranges, upper, lower)
    moves = np.searchsorted(q2, choices, side="right").tolist()  # the first q2 that moves with the end, of each q0
    lines = [(q2, np.ones(len(q2)), middle)]
    for mass, at in ((low, upper), (high, lower)):
        lines.append((q2[: moves[-1]], np.ones(moves[-1]), mass))  # what does not move, for all q0 together
        for q0, first in zip(choices, moves, strict=True):
            there, slope = _along(q2[first:], q0, end, at)
            lines.append((np.minimum(there, at * (1 - 1e-12)), slope, mass))
    lengths = [len(places) for places, _, _ in lines]
    values = yield np.stack([np.concatenate([x for x, _, _ in lines]), np.repeat([m for _, _, m in lines], lengths)])
    exact, *sides = np.split(values, np.cumsum(lengths)[:-1], axis=1)
    halves = [0.5 * slope * part for (_, slope, _), part in zip(lines[1:], sides, strict=True)]
    still, *moved = [a + b for a, b in zip(halves[: len(choices) + 1], halves[len(choices) + 1 :], strict=True)]
    local = (_P_RATE + _S_RATE) @ exact
    near = q2 > end - _NEAR_END
    if near.any() and not near.all():
        local = np.where(near, np.maximum(local, local[~near][-1]), local)
    errors = []
    for first, there in zip(moves, moved, strict=True):
        linear = np.concatenate([still[:, :first], there], axis=1)
        errors.append(float((np.abs(linear - exact) / local).max()))
    best = int(np.argmin(errors))
    return errors[best], choices[best]


def _samples(decay: KpiDecay, ranges: Array, mass: float, end: float) -> Array:
    """q2 at which linearity in m is looked at: between the breakpoints, in the selected ranges."""
    points = []
    for low, high in _below(ranges, end):
        inner = decay.breakpoints(mass)
        x = np.unique(np.concatenate([np.linspace(low, high, 17), inner[(inner > low) & (inner < high)]]))
        points += [0.5 * (x[1:] + x[:-1]), 0.9 * x[1:] + 0.1 * x[:-1]]
    return np.sort(np.concatenate(points)) if points else np.empty(0)


def _shape_nodes(decay: KpiDecay, masses: Array, tolerance: float) -> tuple[Array, Array]:
    """Line-shape nodes and the products of line shapes there, linear between them to ``tolerance``."""
    shapes: Callable[[Array], Array] = decay.shapes
    low, high = masses[:-1], masses[1:]
    floor = 1e-3 * shapes(np.linspace(masses[0], masses[-1], 1001))[:2].max(axis=1)
    while True:
        quarters = [shapes(low + f * (high - low)) for f in (0.0, 0.25, 0.5, 0.75, 1.0)]
        bad = np.zeros(len(low), dtype=bool)
        for f, exact in zip((0.25, 0.5, 0.75), quarters[1:4], strict=True):
            p, s = (np.maximum(exact[i], floor[i]) for i in (0, 1))
            scale = np.stack([p, s, np.sqrt(p * s), np.sqrt(p * s)])
            error = np.abs((1 - f) * quarters[0] + f * quarters[4] - exact)
            bad |= (error > tolerance * scale).any(axis=0)
        if not bad.any():
            break
        middle = 0.5 * (low + high)[bad]
        edges = np.sort(np.concatenate([low, high[-1:], middle]))
        low, high = edges[:-1], edges[1:]
    nodes = np.append(low, high[-1])
    return nodes, np.ascontiguousarray(shapes(nodes).T)
