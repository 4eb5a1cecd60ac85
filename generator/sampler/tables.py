"""Node tables: the coefficients of an event density, piecewise linear in q2 between adaptive nodes.

The table *is* what is sampled, exactly: a sum over nodes of a hat function of q2 times the node's
coefficients. It is built so that every coefficient is within ``tolerance`` of the local dGamma/dq2 of the
density it stands for; within 1e-4 (relative) of the threshold and 1e-4 GeV^2 of the endpoint, where square
roots make that impossible, within ``tolerance`` of the spectrum's maximum. Nodes sit on every kink and every
edge of a range or veto. A jump has two nodes at one q2, each with half a hat.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError
from ...kinematics.base.jit import kernel
from ...physics.angular import Convention, event_density
from ...physics.angular import breakpoints as density_breakpoints
from ...physics.channels import Channel
from ...physics.densities import DENSITIES, Density
from ...physics.models import Model

Array = NDArray[np.float64]
Coefficients = Callable[[Array], Array]
"""Coefficients of an event density, shape (n_coefficients, n), at q2 (GeV^2), shape (n,)."""
Nodes = tuple[Array, Array, Array, Array]
"""q2, left and right width of the hats, and the values, (n, n_values)."""
Search = Generator[Array, Array, Nodes]
"""A search for nodes: yields q2 (n,) as often as it has to, and is sent the values there, (n_values, n)."""
Found = TypeVar("Found")
FLAVOURS: Mapping[str, tuple[int, ...]] = {"both": (1, -1), "b": (1,), "bbar": (-1,)}
MAX_NODES = 1_000_000
"""More nodes than this means a density that is not piecewise smooth."""
_CELLS_PER_RANGE = 16  # what the search for structure begins with, besides the breakpoints
_AT_QUARTERS = 0.95  # of the tolerance: the largest error of a cell lies between them, 4 % higher at most
_EDGE = 1e-4  # zone of the threshold (relative) and of the endpoint (GeV^2)


@dataclass(frozen=True, eq=False)
class Table:
    """An event density, piecewise linear in q2; both flavours are one mixture.

    Attributes:
        kind: entry of `densities.DENSITIES`.
        coefficients: J_i at the nodes, shape (n_nodes, n_coefficients), in 1/GeV.
        q2: position of the nodes (GeV^2).
        left: width of the hat below the node (GeV^2), 0 at an edge.
        right: width of the hat above the node.
        flavour: +1 (B0, B+) or -1 (conjugate) of each node.
        ranges: the selected ranges of q2, shape (n_ranges, 2), disjoint and sorted.
    """

    kind: str
    coefficients: Array
    q2: Array
    left: Array
    right: Array
    flavour: NDArray[np.int32]
    ranges: Array

    def __post_init__(self) -> None:
        for array in (self.coefficients, self.q2, self.left, self.right, self.flavour, self.ranges):
            array.setflags(write=False)

    @property
    def density(self) -> Density:
        """The angular density that the coefficients belong to."""
        return DENSITIES[self.kind]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of an event."""
        return self.density.columns

    @cached_property
    def node_rates(self) -> Array:
        """dGamma/dq2 at the nodes (1/GeV)."""
        return np.asarray(self.coefficients @ np.array(self.density.rate))

    @cached_property
    def weights(self) -> Array:
        """Rate under each node's hat (GeV)."""
        return np.asarray(self.node_rates * (0.5 * (self.left + self.right)))

    @property
    def rates(self) -> dict[int, float]:
        """Rate of each flavour in the selected ranges (GeV)."""
        present = [flavour for flavour in (1, -1) if (self.flavour == flavour).any()]
        return {flavour: float(self.weights[self.flavour == flavour].sum()) for flavour in present}

    @property
    def total_rate(self) -> float:
        """Sum of the rates of the flavours (GeV)."""
        return float(self.weights.sum())

    def integrals(self, q2: Array, flavour: int | None = None) -> Array:
        """Integral of every coefficient from the lowest q2 up to ``q2``, exact; shape (n_coefficients, n).

        Differences between bin edges are the bins' coefficients: rates, moments and asymmetries follow.
        """
        chosen = slice(None) if flavour is None else self.flavour == flavour
        x, left, right = self.q2[chosen], self.left[chosen], self.right[chosen]
        distance = np.asarray(q2, dtype=np.float64)[..., None] - x
        below = np.clip(distance + left, 0, left)
        above = np.clip(distance, 0, right)
        with np.errstate(divide="ignore", invalid="ignore"):
            hats = np.where(left > 0, below**2 / (2 * left), 0.0)
            hats += np.where(right > 0, above - above**2 / (2 * right), 0.0)
        return np.asarray((hats @ self.coefficients[chosen]).T)

    def spectrum_cdf(self, q2: Array, flavour: int | None = None) -> Array:
        """Fraction of the events below ``q2``, exact."""
        edges = np.append(np.ravel(q2), self.ranges[-1, 1])
        rate = np.array(self.density.rate) @ self.integrals(edges, flavour)
        return np.asarray((rate[:-1] / rate[-1]).reshape(np.shape(q2)))

    def moments(self, flavour: int | None = None) -> dict[str, float]:
        """Mean of every basis function f_i over the events, exact."""
        return dict(zip(self.density.coefficients, self._means(self.density.gram, flavour), strict=True))

    def moment_variances(self, flavour: int | None = None) -> dict[str, float]:
        """Variance of every basis function f_i over the events, exact."""
        mean = self._means(self.density.gram, flavour)
        square = self._means(self.density.second_moments, flavour)
        return dict(zip(self.density.coefficients, square - mean**2, strict=True))

    def _means(self, matrix: Array, flavour: int | None) -> Array:
        total = self.integrals(self.ranges[-1, 1:], flavour)[:, 0]
        return np.asarray(matrix @ total / (np.array(self.density.rate) @ total))

    @cached_property
    def alias(self) -> NDArray[np.uint64]:
        """Alias table of the nodes, threshold + 2^32 alias, as `rng.pick_entry` reads it."""
        return alias_table(self.weights)

    def arrays(self, precision: str) -> tuple[NDArray[Any], ...]:
        """What the sampler reads, flat: alias table and rows."""
        rows = self.packed_float32 if precision == "float32" else self.packed_float64
        return self.alias, rows.reshape(-1)

    @cached_property
    def packed_float32(self) -> NDArray[np.float32]:
        """Rows as the sampler reads them, in float32; shape (n_nodes, columns)."""
        return np.asarray(_pack(self, np.dtype(np.float32)))

    @cached_property
    def packed_float64(self) -> NDArray[np.float64]:
        """Rows as the sampler reads them, in float64."""
        return np.asarray(_pack(self, np.dtype(np.float64)))


def fold_vector(j: Array) -> Array:
    """Coefficients (n, 12) in the form in which `sampling.vector_event` uses them."""
    j1s, j1c, j2s, j2c, j3, j4, j5, j6s, j6c, j7, j8, j9 = j.T
    a_s, a_c, b_s, b_c = (np.maximum(x, 0.0) for x in (j1s - j2s, j1c - j2c, j1s + j2s, j1c + j2c))
    return np.stack([a_s, a_c, b_s, b_c, j3, 4 * j4, 2 * j5, j6s, j6c, 2 * j7, 4 * j8, j9], axis=1)


def _fold_scalar(j: Array) -> Array:
    a, b, c = j.T
    return np.stack([np.maximum(a, 0.0), b, np.maximum(a + c, 0.0), np.zeros_like(a)], axis=1)


_FOLDS: Mapping[str, Callable[[Array], Array]] = {"vector": fold_vector, "scalar": _fold_scalar}


def _pack(table: Table, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Rows for the sampler: see `sampling`.

    Scaled to unit rate, aligned to cache lines, and rounded so that no event leaves its range: in the working
    precision too, node - left t stays at or above the lower end of the hat, node + right t at or below the
    upper.
    """
    rate = np.where(table.node_rates > 0, table.node_rates, 1.0)
    folded = _FOLDS[table.kind](table.coefficients / rate[:, None])
    node, left, right = round_hats(table.q2, table.left, table.right, table.ranges, dtype)
    n_columns = folded.shape[1] + 4
    rows = aligned((len(rate), n_columns), dtype)
    rows[:, :-4] = folded
    rows[:, -4], rows[:, -3], rows[:, -2], rows[:, -1] = node, left, right, table.flavour
    rows.setflags(write=False)
    return rows


def round_hats(
    node: Array, left: Array, right: Array, ranges: Array, dtype: np.dtype[np.floating]
) -> tuple[NDArray[np.floating], ...]:
    """Node, left and right width of hats in the working precision; node - left t and node + right t stay in range.

    ``ranges`` has shape (n_ranges, 2), disjoint and sorted; each hat lies within one of them.

    >>> hats = np.array([0.1]), np.array([0.0]), np.array([0.2])
    >>> node, _, right = round_hats(*hats, np.array([[0.1, 0.3]]), np.dtype("f4"))
    >>> bool(node[0] >= 0.1), bool(node[0] + right[0] <= 0.3)
    (True, True)
    """
    low, high = ranges.T
    within = node + 0.25 * (right - left)
    inside = np.clip(np.searchsorted(low, within, side="right") - 1, 0, None)
    smallest, largest = round_edges(low, dtype, up=True)[inside], round_edges(high, dtype, up=False)[inside]

    def position(x: Array) -> NDArray[np.floating]:
        return np.asarray(np.clip(x.astype(dtype), smallest, np.maximum(largest, smallest)))

    middle, below, above = position(node), position(node - left), position(node + right)
    down, up = middle - below, above - middle
    down = np.where(middle - down < below, np.nextafter(down, dtype.type(0)), down)
    up = np.where(middle + up > above, np.nextafter(up, dtype.type(0)), up)
    return middle, down, up


def round_edges(x: Array, dtype: np.dtype[np.floating], up: bool) -> NDArray[np.floating]:
    """Round to the working precision, up or down.

    >>> bool(round_edges(np.array([0.1]), np.dtype("f4"), up=False)[0] <= 0.1)
    True
    """
    nearest = x.astype(dtype)
    wrong = nearest < x if up else nearest > x
    return np.where(wrong, np.nextafter(nearest, dtype.type(np.inf if up else -np.inf)), nearest)


def aligned(shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Empty array that begins on a cache line (64 bytes): a row that straddles two costs twice.

    >>> aligned((3, 5), np.dtype("f4")).ctypes.data % 64
    0
    """
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(n_bytes + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def alias_table(weights: Array) -> NDArray[np.uint64]:
    """Alias table (Walker 1977, in Vose's form): threshold of 32 bits + 2^32 alias for each entry.

    >>> [(int(x) >> 32, (int(x) & 0xFFFFFFFF) / 2**32) for x in alias_table(np.array([1.0, 3.0]))]
    [(1, 0.5), (1, 0.9999999997671694)]
    """
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise ValueError("weights of an alias table must be finite, not negative, and not all zero")
    n = len(weights)
    threshold, alias = np.ones(n), np.arange(n)
    _pair(weights * (n / weights.sum()), threshold, alias)
    unpaired = (threshold == 1.0) & (weights == 0)  # rounding left these without a partner: full, unless empty
    threshold[unpaired], alias[unpaired] = 0.0, int(np.argmax(weights))
    fixed = np.minimum(np.rint(threshold * 2.0**32), 2.0**32 - 1).astype(np.uint64)
    return np.asarray(fixed | (alias.astype(np.uint64) << np.uint64(32)))


@kernel
def _pair(share: Array, threshold: Array, alias: NDArray[np.int64]) -> None:
    """Give every entry with less than its share of 1 a partner that has more."""
    n = len(share)
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    n_small = n_large = 0
    for i in range(n):
        if share[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        i, k = small[n_small], large[n_large - 1]
        threshold[i], alias[i] = share[i], k
        share[k] -= 1.0 - share[i]
        if share[k] < 1.0:
            n_large -= 1
            small[n_small] = k
            n_small += 1


def select_ranges(
    q2_min: float,
    q2_max: float,
    ranges: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
) -> Array:
    """Disjoint sorted ranges of q2: the union of ``ranges`` (everything if empty) without the vetoes.

    Raises:
        InputError: a range or veto that is no range, lies outside phase space, or nothing is left.

    >>> select_ranges(0.0, 19.0, [(1.0, 6.0), (5.0, 12.0)], [(8.0, 11.0)]).tolist()
    [[1.0, 8.0], [11.0, 12.0]]
    """
    for name, pairs in (("q2", ranges), ("veto", vetoes)):
        for i, (low, high) in enumerate(pairs):
            if not low < high:
                raise InputError(f"{name}[{i}] = ({low:g}, {high:g}) GeV^2: needs minimum < maximum")
            if name == "q2" and (high <= q2_min or low >= q2_max):
                raise InputError(
                    f"q2[{i}] = ({low:g}, {high:g}) GeV^2: outside phase space, {q2_min:.6g} to {q2_max:.6g} GeV^2"
                )
    wanted: list[list[float]] = []
    for low, high in sorted(ranges or [(q2_min, q2_max)]):
        low, high = max(low, q2_min), min(high, q2_max)
        if wanted and low <= wanted[-1][1]:
            wanted[-1][1] = max(wanted[-1][1], high)
        else:
            wanted.append([low, high])
    for veto_low, veto_high in vetoes:
        cut: list[list[float]] = []
        for low, high in wanted:
            cut += [[a, b] for a, b in ((low, min(high, veto_low)), (max(low, veto_high), high)) if a < b]
        wanted = cut
    if not wanted:
        raise InputError("q2: the vetoes leave nothing of the selected ranges")
    return np.array(wanted)


def build_table(
    coefficients: Coefficients | Mapping[int, Coefficients],
    breakpoints: Sequence[float] | Array,
    q2_min: float,
    q2_max: float,
    vetoes: Sequence[tuple[float, float]] = (),
    tolerance: float = 1e-5,
    *,
    ranges: Sequence[tuple[float, float]] = (),
    kind: str = "vector",
) -> Table:
    """Put an event density on nodes: bisection until it is within ``tolerance`` at the quarters of a cell.

    Args:
        coefficients: J_i(q2), or one such function for each flavour (+1, -1).
        breakpoints: q2 of kinks, jumps and resonances; those outside the ranges do not matter.
        q2_min: threshold of phase space (GeV^2).
        q2_max: endpoint.
        vetoes: ranges to leave out.
        tolerance: allowed error of every J_i, in units of the local dGamma/dq2.
        ranges: ranges to keep; all of phase space if empty.
        kind: entry of `densities.DENSITIES`.

    Raises:
        InputError: nothing is selected, or nothing decays there.
        ValueError: a density that is not finite, negative somewhere, or not piecewise smooth.

    >>> table = build_table(lambda s: np.array([1 + s, 0 * s, -s / 2]), [0.5], 0.0, 1.0, kind="scalar")
    >>> round(table.total_rate, 12)    # integral of 2 (1 + s - s/6)
    2.833333333333
    """
    functions = coefficients if isinstance(coefficients, Mapping) else {1: coefficients}
    selected = select_ranges(q2_min, q2_max, ranges, vetoes)
    density = DENSITIES[kind]
    parts = []
    for flavour, function in functions.items():
        rate = np.array(density.rate)
        parts.append((flavour, *place_nodes(function, breakpoints, selected, rate, (q2_min, q2_max), tolerance)))
    table = Table(
        kind=kind,
        coefficients=np.concatenate([part[4] for part in parts]),
        q2=np.concatenate([part[1] for part in parts]),
        left=np.concatenate([part[2] for part in parts]),
        right=np.concatenate([part[3] for part in parts]),
        flavour=np.concatenate([np.full(len(part[1]), part[0], dtype=np.int32) for part in parts]),
        ranges=selected,
    )
    if not table.total_rate > 0:
        raise InputError("model: it has no such decays in the selected ranges of q2")
    _check_positive(table)
    return table


def place_nodes(
    function: Coefficients,
    breakpoints: Sequence[float] | Array,
    selected: Array,
    rate: Array,
    phase_space: tuple[float, float],
    tolerance: float,
) -> Nodes:
    """(q2, left, right, values at the nodes (n, n_values)) of a function that is piecewise linear to ``tolerance``.

    ``rate`` are the weights that make the local scale of the errors out of the function's values.
    """
    return answer([search_nodes(breakpoints, selected, rate, phase_space, tolerance)], lambda q2, _: function(q2))[0]


def search_nodes(
    breakpoints: Sequence[float] | Array,
    selected: Array,
    rate: Array,
    phase_space: tuple[float, float],
    tolerance: float,
) -> Search:
    """`place_nodes` of a function that somebody else evaluates, see `answer`."""
    zones = phase_space[0] * (1 + _EDGE), phase_space[1] - _EDGE  # a cell is in one of them or not, never both
    edges = _first_edges(selected, np.append(breakpoints, zones))
    cells = yield from _refine(edges, rate, zones, tolerance)
    return _nodes(*cells, rate, tolerance)


def answer(
    searches: Sequence[Generator[Array, Array, Found]], function: Callable[[Array, NDArray[np.intp]], Array]
) -> list[Found]:
    """What searches find whose questions are answered together: fewer and larger arrays than one after the other.

    ``function`` takes what they yield, along the last axis, and the number of the search that each place stands in;
    it returns shape (n_values, n). ValueError where that is not finite.
    """
    found: dict[int, Found] = {}
    asked: dict[int, Array] = {}

    def go_on(number: int, values: Array | None) -> None:
        try:
            asked[number] = next(searches[number]) if values is None else searches[number].send(values)
        except StopIteration as end:
            found[number] = end.value
            asked.pop(number, None)

    for number in range(len(searches)):
        go_on(number, None)
    while asked:
        lengths = [x.shape[-1] for x in asked.values()]
        places = np.concatenate(list(asked.values()), axis=-1)
        values = np.asarray(function(places, np.repeat(list(asked), lengths)), dtype=np.float64)
        if not np.isfinite(values).all():
            q2 = np.atleast_2d(places)[0, ~np.isfinite(values).all(axis=0)]
            raise ValueError(f"the density is not finite at q2 = {q2[0]:.17g} GeV^2")
        for number, part in zip(list(asked), np.split(values, np.cumsum(lengths)[:-1], axis=1), strict=True):
            go_on(number, part)
    return [found[number] for number in range(len(searches))]


def _first_edges(selected: Array, breakpoints: Sequence[float] | Array) -> Array:
    """Cells to begin with, shape (n, 2)."""
    points = np.asarray(breakpoints, dtype=np.float64)
    cells = []
    for low, high in selected:
        inner = points[(points > low) & (points < high)]
        x = np.unique(np.concatenate([np.linspace(low, high, _CELLS_PER_RANGE + 1), inner]))
        cells.append(np.stack([x[:-1], x[1:]], axis=1))
    return np.concatenate(cells)


def _refine(
    edges: Array, rate: Array, zones: tuple[float, float], tolerance: float
) -> Generator[Array, Array, tuple[Array, Array, Array, Array]]:
    """Bisect cells until linear interpolation is good at their quarters; yields q2 and is sent the values there.

    Below and above ``zones`` the errors are measured by the spectrum's maximum.

    Returns the cells sorted by q2 as (lower edge, upper edge, J at the lower edge, J at the upper edge), J
    with shape (n_coefficients, n) and taken from inside the cell: at a jump, neighbours differ.
    """
    low, high = edges.T
    values = yield np.concatenate([np.nextafter(low, high), 0.5 * (low + high), np.nextafter(high, low)])
    v0, v2, v4 = np.split(values, 3, axis=1)
    maximum = float((rate @ values).max())
    done: list[tuple[Array, Array, Array, Array]] = []
    n_done = 0
    while len(low):
        width = high - low
        quarters = np.concatenate([low + 0.25 * width, low + 0.75 * width])
        v1, v3 = np.split((yield quarters), 2, axis=1)
        bad = np.zeros(len(low), dtype=bool)
        for fraction, exact in ((0.25, v1), (0.5, v2), (0.75, v3)):
            x = low + fraction * width
            local = np.abs(rate @ exact)
            scale = np.where((x < zones[0]) | (x > zones[1]), maximum, local)
            linear = (1 - fraction) * v0 + fraction * v4
            bad |= (np.abs(exact - linear) > _AT_QUARTERS * tolerance * scale).any(axis=0)
        bad &= width > 1e-13 * high  # a jump that nobody announced: as sharp as the numbers allow
        good = ~bad
        done.append((low[good], high[good], v0[:, good], v4[:, good]))
        n_done += int(good.sum())
        if n_done + bad.sum() > MAX_NODES:
            raise ValueError(f"the density needs more than {MAX_NODES} nodes: it is not piecewise smooth")
        low, high, v0, v1, v2, v3, v4 = (a[..., bad] for a in (low, high, v0, v1, v2, v3, v4))
        middle = 0.5 * (low + high)
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        v0, v2, v4 = (np.concatenate(pair, axis=1) for pair in ((v0, v2), (v1, v3), (v2, v4)))
    low, high, v0, v4 = (np.concatenate([part[i] for part in done], axis=-1) for i in range(4))
    order = np.argsort(low)
    return low[order], high[order], v0[:, order], v4[:, order]


def _nodes(
    low: Array, high: Array, at_low: Array, at_high: Array, rate: Array, tolerance: float
) -> tuple[Array, Array, Array, Array]:
    """(q2, left, right, J) of the nodes of cells: one node where two meet continuously, else two."""
    width = high - low
    touch = low[1:] == high[:-1]
    step = np.abs(at_low[:, 1:] - at_high[:, :-1]).max(axis=0)
    joined = touch & (step <= 0.01 * tolerance * np.abs(rate @ at_low[:, 1:]))
    begins = np.concatenate([[True], ~joined])  # cells whose lower edge needs a node of its own
    q2 = np.concatenate([high, low[begins]])
    left = np.concatenate([width, np.zeros(begins.sum())])
    above = np.where(np.append(joined, False), np.append(width[1:], 0.0), 0.0)
    right = np.concatenate([above, width[begins]])
    values = np.concatenate([at_high, at_low[:, begins]], axis=1)
    order = np.lexsort((right, q2))  # of two nodes at a jump, the one that ends the lower cell first
    return q2[order], left[order], right[order], np.ascontiguousarray(values.T)[order]


def _check_positive(table: Table) -> None:
    """ValueError where the density at a node is negative beyond rounding, on a grid of angles."""
    axes = [np.cos(np.linspace(0, np.pi, 9))] * min(len(table.density.angles), 2)
    if len(table.density.angles) > 2:
        axes.append(np.linspace(-np.pi, np.pi, 12, endpoint=False))
    basis = table.density.basis(*(axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")))
    scale = np.where(table.node_rates > 0, table.node_rates, 1.0)
    for first in range(0, len(scale), 1024):
        part = slice(first, first + 1024)
        smallest = (table.coefficients[part] @ basis).min(axis=1) / scale[part]
        worst = int(np.argmin(smallest))
        if smallest[worst] < -1e-6 or table.node_rates[part].min() < 0:
            raise ValueError(
                f"the density is negative at q2 = {table.q2[part][worst]:.9g} GeV^2: "
                f"{smallest[worst]:.2g} of dGamma/dq2; its coefficients are inconsistent"
            )


def density_of(channel: Channel) -> Density:
    """Density with the coefficients and angles of a channel.

    >>> from darkpenguin.physics.channels import get_channel
    >>> density_of(get_channel("B+->K+mumu")).kind
    'scalar'
    """
    for density in DENSITIES.values():
        if density.coefficients == channel.coefficients and density.angles == channel.angles:
            return density
    names = ", ".join(channel.coefficients)
    raise InputError(f"channel = {channel.name!r}: no sampler for the coefficients {names}")


def channel_table(
    channel: Channel,
    model: Model,
    flavour: str = "both",
    convention: Convention = "lhcb",
    q2_ranges: Sequence[tuple[float, float]] = (),
    vetoes: Sequence[tuple[float, float]] = (),
    tolerance: float = 1e-5,
) -> Table:
    """Table of a decay channel in a model.

    Args:
        channel: entry of the registry.
        model: the model.
        flavour: ``b`` (B0, B+), ``bbar``, or ``both`` in the ratio of their rates.
        convention: of the angles.
        q2_ranges: ranges of q2 to keep (GeV^2); all of phase space if empty.
        vetoes: ranges of q2 to leave out.
        tolerance: allowed error of every coefficient, in units of the local dGamma/dq2.

    Raises:
        InputError: unknown flavour or convention, or ranges that leave nothing.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> table = channel_table(get_channel("B+->K+mumu"), get_model("sm"), q2_ranges=[(1.0, 6.0)])
    >>> sorted(table.rates), table.ranges.tolist()
    ([-1, 1], [[1.0, 6.0]])
    """
    if flavour not in FLAVOURS:
        raise InputError(f"flavour = {flavour!r}: both, b (B0, B+) or bbar")

    def coefficients_of(sign: int) -> Coefficients:
        return lambda q2: event_density(channel, model, q2, sign, convention)

    q2_min, q2_max = channel.q2_limits(model.parameters)
    return build_table(
        {sign: coefficients_of(sign) for sign in FLAVOURS[flavour]},
        density_breakpoints(channel, model),
        q2_min,
        q2_max,
        vetoes,
        tolerance,
        ranges=q2_ranges,
        kind=density_of(channel).kind,
    )
