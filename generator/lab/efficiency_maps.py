"""Efficiency maps: Legendre products, n-dimensional histograms, corrections of correctionlib, and constants.

A map gives the probability that an event is kept, as a function of any of its columns: q2 and the angles, in the
convention of the run, or momenta. Maps are evaluated where the events are: with NumPy, or CuPy for its arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.arrays import array_module, on_gpu, to_host
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel, get_channel

Array = NDArray[np.float64]
Axis = tuple[str, float, float]
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "cos_theta_k": (-1.0, 1.0),
        "cos_theta_l": (-1.0, 1.0),
        "phi": (-math.pi, math.pi),
    }
)
"""Ranges of the angles, for maps that do not say theirs."""
_MOST_TERMS, _MOST_AXES = 10_000, 6  # of a Legendre map: beyond, a check of it would take minutes
_DEVICE_BLOCK = 1 << 19  # on a GPU: a hundred launches a block, so few of them
_BLOCK = 1 << 11  # events evaluated at a time: the Legendre values of a block stay in the cache


class EfficiencyMap(Protocol):
    """An efficiency as a function of columns."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event (unchecked), in the array library of the columns."""


@dataclass(frozen=True, eq=False)
class LegendreMap:
    r"""Sum of products of Legendre polynomials, the form of eq. (8) of arXiv:1512.04442.

    .. math:: \epsilon(x) = \sum_{klmn} c_{klmn} P_k(\hat x_1) P_l(\hat x_2) P_m(\hat x_3) P_n(\hat x_4)

    where :math:`\hat x` is the variable mapped linearly from its range to [-1, 1].

    Attributes:
        axes: name, lower and upper end of each variable, in the order of the indices.
        coefficients: c, one dimension an axis.
        outside: efficiency where a variable is beyond its range (0: not selected).
        clip: whether values below 0 or above 1 become 0 or 1; they are refused otherwise.

    Example:
        >>> slope = LegendreMap((("q2", 0.0, 10.0),), np.array([0.5, 0.2]))
        >>> slope.evaluate({"q2": np.array([0.0, 5.0, 10.0])}).round(12).tolist()
        [0.3, 0.5, 0.7]
    """

    axes: tuple[Axis, ...]
    coefficients: Array
    outside: float = 0.0
    clip: bool = False

    def __post_init__(self) -> None:
        c = np.array(self.coefficients, dtype=np.float64)
        if c.ndim != len(self.axes) or c.ndim == 0 or c.size == 0:
            raise InputError(f"coefficients: {c.ndim} dimensions for {len(self.axes)} axes; each axis needs one")
        check_size(c.shape)
        _refuse(~np.isfinite(c), c, "coefficients", lambda i: f"of indices {i}", "must be finite")
        for name, low, high in self.axes:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InputError(f"axes: {name} from {low} to {high}; needs finite ends, the lower one first")
        if not 0.0 <= self.outside <= 1.0:
            raise InputError(f"outside = {self.outside}: an efficiency is between 0 and 1")
        c.setflags(write=False)
        object.__setattr__(self, "coefficients", c)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return tuple(name for name, _, _ in self.axes)

    def check(self, points: int = 9) -> LegendreMap:
        """Return the map itself once it is within [0, 1] on a grid of ``points`` an axis.

        Raises:
            InputError: a value outside, with its position.
        """
        grids = [np.linspace(low, high, points) for _, low, high in self.axes]
        mesh = [g.ravel() for g in np.meshgrid(*grids, indexing="ij")]
        check_values(
            self.evaluate(dict(zip(self.inputs, mesh, strict=True))),
            dict(zip(self.inputs, mesh, strict=True)),
            self.inputs,
        )
        return self

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        xp = array_module(columns[self.inputs[0]])
        n = len(columns[self.inputs[0]])
        out = xp.empty(n, dtype=xp.float64)
        # products of the first half of the polynomials, and of the second half: one matrix product joins them
        half = (len(self.axes) + 1) // 2
        matrix = xp.asarray(self.coefficients.reshape(math.prod(self.coefficients.shape[:half]), -1).T.copy())
        block = _DEVICE_BLOCK if on_gpu(out) else _BLOCK
        for low in range(0, n, block):
            part = slice(low, min(low + block, n))
            values, inside, nan = [], True, 0.0
            for (name, a, b), size in zip(self.axes, self.coefficients.shape, strict=True):
                x = xp.asarray(columns[name][part], dtype=xp.float64)
                slack = 1e-6 * max(abs(a), abs(b))  # float32 may round the end of a range outwards by an ulp
                inside = inside & (x >= a - slack) & (x <= b + slack)
                nan = nan + 0.0 * x  # NaN must not pass for an event outside
                values.append(_legendre(xp, xp.clip((2.0 * x - (a + b)) / (b - a), -1.0, 1.0), size))
            total = matrix @ _outer(values[:half])
            total = (total * _outer(values[half:])).sum(axis=0) if values[half:] else total[0]
            if self.clip:
                total = xp.clip(total, 0.0, 1.0)
            out[part] = xp.where(inside, total, self.outside) + nan
        return out


@dataclass(frozen=True, eq=False)
class HistogramMap:
    """An n-dimensional histogram: the efficiency of an event is that of its bin.

    Attributes:
        axes: names of the columns.
        edges: rising edges of each axis, the ends may be infinite; the last bin includes its upper edge.
        values: efficiencies, one dimension an axis.
        outside: efficiency beyond the edges (0: not selected).

    Raises:
        InputError: shapes that do not fit, or a value that is NaN, negative or above 1, with its position.

    Example:
        >>> step = HistogramMap(("q2",), (np.array([0.0, 1.0, 4.0]),), np.array([0.2, 0.6]))
        >>> step.evaluate({"q2": np.array([0.5, 2.0, 4.0, 5.0])}).tolist()
        [0.2, 0.6, 0.6, 0.0]
    """

    axes: tuple[str, ...]
    edges: tuple[Array, ...]
    values: Array
    outside: float = 0.0

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        edges = tuple(np.array(e, dtype=np.float64) for e in self.edges)
        wanted = tuple(len(e) - 1 for e in edges)
        if len(edges) != len(self.axes) or values.shape != wanted or not edges:
            raise InputError(f"values of shape {values.shape}: {len(self.axes)} axes with edges for {wanted} bins")
        for name, e in zip(self.axes, edges, strict=True):
            if e.ndim != 1 or len(e) < 2 or not np.isfinite(e[1:-1]).all() or not (e[1:] > e[:-1]).all():
                raise InputError(f"edges of {name} = {e.tolist()}: needs two or more that rise, the inner ones finite")
        if not 0.0 <= self.outside <= 1.0:
            raise InputError(f"outside = {self.outside}: an efficiency is between 0 and 1")

        def where(index: tuple[int, ...]) -> str:
            return "in bin " + ", ".join(
                f"{name} {e[i]:g} to {e[i + 1]:g}" for name, e, i in zip(self.axes, edges, index, strict=True)
            )

        _refuse(~((values >= 0.0) & (values <= 1.0)), values, "efficiency", where, "must be between 0 and 1")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "edges", edges)

    @classmethod
    def from_hist(cls, histogram: Any, axes: Sequence[str] | None = None, outside: float = 0.0) -> HistogramMap:
        """Map from a ``hist`` or ``boost_histogram`` object, or anything with its ``axes`` and ``values()``.

        Args:
            histogram: with axes named after columns, unless ``axes`` names them.
            axes: names of the columns. A categorical axis has whole numbers as keys, or names of channels for the
                column ``channel``; what is between them counts as outside.
            outside: efficiency beyond the edges; the histogram's overflow is not used.

        Raises:
            InputError: axes without names, or values that are no efficiencies.
        """
        names = (
            tuple(axes)
            if axes is not None
            else tuple(str(getattr(axis, "name", "") or getattr(axis, "label", "") or "") for axis in histogram.axes)
        )
        if not all(names):
            raise InputError(f"axes = {list(names)}: name each axis after a column, such as q2 or cos_theta_l")
        values, edges = np.asarray(histogram.values(), dtype=np.float64), []
        for number, (name, axis) in enumerate(zip(names, histogram.axes, strict=True)):
            if getattr(getattr(axis, "traits", None), "ordered", True):
                edges.append(np.asarray(axis.edges))
            else:
                found, values = _by_key(name, list(axis), values, number, outside)
                edges.append(found)
        return cls(names, tuple(edges), values, outside)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return self.axes

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        xp = array_module(columns[self.axes[0]])
        flat, inside, nan = 0, True, 0.0
        for name, e in zip(self.axes, self.edges, strict=True):
            x = xp.asarray(columns[name], dtype=xp.float64)
            i = xp.searchsorted(xp.asarray(e), x, side="right") - 1
            i = xp.where(x == e[-1], len(e) - 2, i)
            inside = inside & (i >= 0) & (i < len(e) - 1)
            flat = flat * (len(e) - 1) + xp.clip(i, 0, len(e) - 2)
            nan = nan + xp.where(xp.isnan(x), x, 0.0)
        return xp.where(inside, xp.asarray(self.values).ravel()[flat], self.outside) + nan


@dataclass(frozen=True, eq=False)
class CorrectionMap:
    """A correction of a correctionlib file; its inputs are columns, or ``channel`` and ``lepton`` by name.

    Evaluated on the host, wherever the columns are.
    """

    correction: Any

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns that the map reads."""
        return tuple(v.name for v in self.correction.inputs if v.type != "string")

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        words = {"channel": channel.name, "lepton": channel.lepton} if channel is not None else {}
        arguments: list[Any] = []
        for variable in self.correction.inputs:
            if variable.type == "string":
                if variable.name not in words:
                    raise InputError(
                        f"correction {self.correction.name!r}: its input {variable.name!r} is text; only "
                        "channel and lepton are"
                    )
                arguments.append(words[variable.name])
            else:
                arguments.append(
                    to_host(columns[variable.name]).astype(np.int64 if variable.type == "int" else np.float64)
                )
        n = len(next(iter(columns.values())))
        try:
            values = np.broadcast_to(np.asarray(self.correction.evaluate(*arguments), dtype=np.float64), (n,))
        except (RuntimeError, IndexError, ValueError) as error:
            raise InputError(f"correction {self.correction.name!r}: {error}") from None
        library = array_module(next(iter(columns.values())))
        return library.asarray(values)


@dataclass(frozen=True)
class ConstantMap:
    """One efficiency for all events.

    >>> ConstantMap(0.5).evaluate({"q2": np.zeros(2)}).tolist()
    [0.5, 0.5]
    """

    value: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise InputError(f"efficiency = {self.value}: must be between 0 and 1")

    @property
    def inputs(self) -> tuple[str, ...]:
        """No column is read."""
        return ()

    def evaluate(self, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
        """Efficiency of every event, in the array library of the columns."""
        column = next(iter(columns.values()))
        return array_module(column).full(len(column), self.value)


def check_size(shape: Sequence[int]) -> None:
    """Raise InputError for a Legendre map of more terms or axes than can be used."""
    if math.prod(shape) > _MOST_TERMS or len(shape) > _MOST_AXES:
        raise InputError(
            f"coefficients: {math.prod(shape):.3g} terms on {len(shape)} axes; at most {_MOST_TERMS} on {_MOST_AXES}"
        )


def check_values(values: Any, columns: Mapping[str, Any], inputs: Sequence[str], first: int = 0) -> None:
    """Raise InputError, with the position, for an efficiency that is NaN, negative or above 1.

    A rounding of 1e-12 beyond the ends passes.

    >>> check_values(np.array([0.0, 0.5, 1.0]), {}, ())
    """
    bad = ~((values >= -1e-12) & (values <= 1.0 + 1e-12))
    if bool(bad.any()):
        i = int(to_host(bad).argmax())
        place = ", ".join(f"{name} = {float(columns[name][i]):.6g}" for name in inputs) or f"event {first + i}"
        raise InputError(
            f"efficiency = {float(values[i]):g} at {place}: must be between 0 and 1"
            "; a polynomial map may say clip = true"
        )


def _by_key(name: str, keys: Sequence[Any], values: Array, axis: int, outside: float) -> tuple[Array, Array]:
    """Edges around the keys of a categorical axis, and the values between them."""
    try:
        numbers = [get_channel(key).index if name == "channel" and isinstance(key, str) else int(key) for key in keys]
    except ValueError:
        raise InputError(f"axis {name}: its keys {keys} are text; only channel has names") from None
    order = np.argsort(numbers)
    edges = [float(numbers[order[0]]) - 0.5]
    rows = []
    for i in order:
        if numbers[i] - 0.5 > edges[-1]:
            edges.append(numbers[i] - 0.5)
            rows.append(np.full_like(values.take(0, axis), outside))
        edges.append(numbers[i] + 0.5)
        rows.append(values.take(i, axis))
    return np.array(edges), np.stack(rows, axis)


def _refuse(bad: Any, values: Array, what: str, where: Callable[[tuple[int, ...]], str], why: str) -> None:
    """Raise InputError for the first bad value, with its position."""
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"{what} = {values[index]:g} {where(index)}: {why}")


def _outer(values: Sequence[Any]) -> Any:
    """Products of one row of each of several arrays (rows, n), for all rows, the last index fastest."""
    out = values[0]
    for rows in values[1:]:
        out = (out[:, None, :] * rows[None, :, :]).reshape(-1, rows.shape[1])
    return out


def _legendre(xp: Any, x: Any, n: int) -> Any:
    """P_0 to P_(n-1) of x, shape (n, len(x)): (k+1) P_(k+1) = (2k+1) x P_k - k P_(k-1)."""
    rows = [xp.ones_like(x), x]
    for k in range(1, n - 1):
        rows.append(((2 * k + 1) * x * rows[k] - k * rows[k - 1]) / (k + 1))
    return xp.stack(rows[:n])


def evaluate(efficiency: EfficiencyMap, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
    """Efficiency of every event, checked and within [0, 1].

    Raises:
        InputError: NaN, negative or above 1, with its position.

    Example:
        >>> evaluate(ConstantMap(0.25), {"q2": np.zeros(2)}).tolist()
        [0.25, 0.25]
    """
    values = efficiency.evaluate(columns, channel)
    check_values(values, columns, efficiency.inputs)
    return array_module(values).clip(values, 0.0, 1.0)


def unfolding_weights(efficiency: EfficiencyMap, columns: Mapping[str, Any], channel: Channel | None = None) -> Any:
    """1/efficiency of every event: weights that take accepted events back to what was generated.

    Raises:
        InputError: an event where the efficiency is zero (it cannot have been accepted), with its position.

    Example:
        >>> unfolding_weights(ConstantMap(0.25), {"q2": np.zeros(2)}).tolist()
        [4.0, 4.0]
    """
    values = evaluate(efficiency, columns, channel)
    if bool((values == 0.0).any()):
        i = int(to_host(values == 0.0).argmax())
        place = ", ".join(f"{name} = {float(columns[name][i]):.6g}" for name in efficiency.inputs)
        raise InputError(
            f"efficiency = 0 at {place or f'event {i}'}: an accepted event cannot be there; "
            "these events were selected with another map"
        )
    return 1.0 / values
