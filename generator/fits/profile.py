"""Profiles of an unbinned likelihood: -2 ln L along one or two fields, the others at their best."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Result
from .amplitude import Array
from .fit import Fit, minimum_from

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


def profile(found: Fit, *names: str, points: int = POINTS, reach: float = REACH) -> Profile:
    """Profile of a fit along one or two of its fields, ``reach`` errors to either side within their ranges.

    Args:
        found: the fit.
        names: one or two of its fields.
        points: of each field.
        reach: in errors of the fit.

    Raises:
        InputError: a field that does not float, more than two, or a fit without errors.

    Example:
        >>> from darkpenguin.generator.fits.fit import fit
        >>> from darkpenguin.generator.run.generate import generate
        >>> sample = generate("B0->K*0mumu", model="heavy-c9", events=2000, seed=1, q2=[(1.1, 8.0)])
        >>> along = profile(fit(sample, model="sm", float={"heavy.C9_mu": (-4, 4)}), "heavy.C9_mu", points=3, reach=1.0)
        >>> bool(along.rise[1] < 1e-3), along.rise.shape
        (True, (3,))
    """
    if not 1 <= len(names) <= 2 or len(set(names)) < len(names):
        raise InputError(f"profile = {','.join(names)}: one or two fields of the fit, each once")
    if points < 2 or not reach > 0:
        raise InputError(f"points = {points}, reach = {reach:g}: at least 2 points, and a reach above 0")
    rows = {row.name: row for row in found}
    for name in names:
        if name not in rows:
            raise InputError(f"profile = {name!r}: it does not float; {nearest(name, rows)}")
        if not rows[name].error > 0:
            raise InputError(f"profile = {name!r}: the fit has no error of it")
    free = {one.path: one for one in found.likelihood.free}
    places = []
    for name in names:
        row, one = rows[name], free[name]
        low, high = max(one.low, row.value - reach * row.error), min(one.high, row.value + reach * row.error)
        places.append(np.linspace(low, high, points))
    rise = np.full(tuple(len(x) for x in places), np.inf)
    for at in itertools.product(*map(range, rise.shape)):
        start = np.array(found.values)
        for name, x, i in zip(names, places, at, strict=True):
            start[found.likelihood.names.index(name)] = x[i]
        rise[at] = minimum_from(found.likelihood, start, names) - found.minimum
    return Profile(tuple(names), tuple(places), rise, tuple(rows[name].value for name in names))
