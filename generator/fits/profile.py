"""Profiles of an unbinned likelihood: -2 ln L along one or two fields, the others at their best."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Result
from ...physics.axes import Axis, read_axis
from ...physics.models import is_linear
from .amplitude import Array
from .fit import Fit, minimum_from
from .likelihood import Free, Likelihood

POINTS, REACH = 21, 3.0


@dataclass(frozen=True, eq=False)
class Profile(Result):
    """-2 ln L above its minimum, shape by the number of places of each field.

    Attributes:
        names: paths of the fields.
        places: values of each.
        rise: of -2 ln L, the other fields at their best; a region of 68 % is below 1 (2.30 for two fields).
        best: values of the fields at the minimum.
    """

    names: tuple[str, ...]
    places: tuple[Array, ...]
    rise: Array
    best: tuple[float, ...]

    def records(self) -> dict[str, Array]:
        """Return one row a place."""
        mesh = np.meshgrid(*self.places, indexing="ij")
        return {**{name: x.ravel() for name, x in zip(self.names, mesh, strict=True)}, "rise": self.rise.ravel()}


def profile(found: Fit, *names: str | Axis, points: int = POINTS, reach: float = REACH) -> Profile:
    """Profile of a fit along one or two of its fields, within their ranges.

    Args:
        found: the fit.
        names: one or two of its fields; a name alone is taken ``reach`` errors to either side, an `Axis`, or
            ``KEY,MIN,MAX,POINTS``, as it says.
        points: of each field that is named alone.
        reach: in errors of the fit.

    Raises:
        InputError: a field that does not float, more than two, places outside its range, or a fit without errors.

    Example:
        >>> from darkpenguin.generator.fits.fit import fit
        >>> from darkpenguin.generator.run.generate import generate
        >>> sample = generate("B0->K*0mumu", model="heavy-c9", events=2000, seed=1, q2=[(1.1, 8.0)])
        >>> along = profile(fit(sample, model="sm", float={"heavy.C9_mu": (-4, 4)}), "heavy.C9_mu", points=3, reach=1.0)
        >>> bool(along.rise[1] < 1e-3), along.rise.shape
        (True, (3,))
    """
    if points < 2 or not reach > 0:
        raise InputError(f"points = {points}, reach = {reach:g}: at least 2 points, and a reach above 0")
    axes = profile_axes(names, found.likelihood.free)
    places = tuple(
        _around(found, axis, points, reach) if isinstance(axis, str) else np.asarray(axis.values) for axis in axes
    )
    keys = tuple(axis if isinstance(axis, str) else axis.key for axis in axes)
    rise = _along(found.likelihood, keys, places, np.array(found.values)) - found.minimum
    rows = {row.name: row.value for row in found}
    return Profile(keys, places, rise, tuple(rows[key] for key in keys))


def profile_axes(names: Sequence[str | Axis], free: Sequence[Free]) -> list[str | Axis]:
    """What a profile is along: names of fields, or ranges of them with a number of points.

    Raises:
        InputError: none or more than two, a field that does not float, or a range outside that of the field.

    Example:
        >>> free = [Free("heavy.C9_mu", -3.0, 3.0, 0.0)]
        >>> profile_axes(["heavy.C9_mu,-1,1,11"], free)[0].points
        11
    """
    axes = [read_axis(name, "profile") if isinstance(name, str) and "," in name else name for name in names]
    keys = [axis if isinstance(axis, str) else axis.key for axis in axes]
    if not 1 <= len(keys) <= 2 or len(set(keys)) < len(keys):
        raise InputError(f"profile = {','.join(keys)}: one or two fields of the fit, each once")
    known = {one.path: one for one in free}
    for axis, key in zip(axes, keys, strict=True):
        if key not in known:
            raise InputError(f"profile = {key!r}: it does not float; {nearest(key, known)}")
        low, high = known[key].low, known[key].high
        if not isinstance(axis, str) and not low <= axis.min <= axis.max <= high:
            raise InputError(f"profile = {key!r}: {axis.min:g} to {axis.max:g} is not within {low:g} to {high:g}")
        if not isinstance(axis, str) and axis.points < 2:
            raise InputError(f"profile = {key!r}: {axis.points} points; at least 2")
    return axes


def _around(found: Fit, name: str, points: int, reach: float) -> Array:
    """Values of a field about its best."""
    row = next(row for row in found if row.name == name)
    if not row.error > 0:
        raise InputError(f"profile = {name!r}: the fit has no error of it")
    one = next(one for one in found.likelihood.free if one.path == name)
    low, high = max(one.low, row.value - reach * row.error), min(one.high, row.value + reach * row.error)
    return np.linspace(low, high, points)


def _along(likelihood: Likelihood, names: Sequence[str], places: Sequence[Array], best: Array) -> Array:
    """Lowest -2 ln L at each place, going outwards from the best.

    The other fields start at their best; where a neighbour has them that is nearer to it, so that a valley that bends
    is followed; and couplings on either side of the middle of their ranges, since they have mirror solutions.
    """
    shape = tuple(len(x) for x in places)
    columns = [likelihood.names.index(name) for name in names]
    middle = [int(np.argmin(np.abs(x - best[i]))) for x, i in zip(places, columns, strict=True)]

    def steps(at: tuple[int, ...]) -> int:
        return sum(abs(i - m) for i, m in zip(at, middle, strict=True))

    ends = np.array([(one.low, one.high) for one in likelihood.free])
    turns = np.array([is_linear(one.path) for one in likelihood.free])
    mirrors = [np.where(turns, (1.0 - u) * ends[:, 0] + u * ends[:, 1], best) for u in (0.25, 0.75)]
    mirrors = mirrors if np.any(np.delete(turns, columns)) else []
    lowest, values = np.full(shape, np.inf), np.empty((*shape, len(best)))
    for at in sorted(itertools.product(*map(range, shape)), key=steps):
        nearer = [(*at[:k], at[k] + int(np.sign(middle[k] - at[k])), *at[k + 1 :]) for k in range(len(at))]
        others = [values[one] for one in nearer if one != at]
        for start in (best, *others, *mirrors)[: 1 if len(names) == len(best) else None]:
            start = start.copy()
            start[columns] = [x[i] for x, i in zip(places, at, strict=True)]
            low, there = minimum_from(likelihood, start, names)
            if not lowest[at] <= low:
                lowest[at], values[at] = low, there
    return lowest
