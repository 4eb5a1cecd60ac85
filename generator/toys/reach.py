"""Luminosity at which a significance reaches a target, without a grid, also along parameters of the true model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from ...kinematics.base.results import json_types
from .limits import ExpectedLimit

Array = npt.NDArray[np.float64]
FARTHEST = 1e4
"""Times the data set's own luminosity: what needs more is not reached."""
_NEAREST = 1e-9


def reach(
    significance: Callable[[float], float], target: float, own: float, told: Mapping[float, float] | None = None
) -> float:
    """Luminosity at which a significance that grows with it reaches a target; infinite if ``FARTHEST`` does not do.

    Args:
        significance: of a luminosity.
        target: significance that is asked for.
        own: luminosity to start from.
        told: significance by luminosity as far as it is known already.

    >>> round(reach(lambda luminosity: 0.5 * luminosity**0.5, 5.0, 9.0), 6)
    100.0
    """
    lowest, highest = math.log(_NEAREST * own), math.log(FARTHEST * own)

    def of(value: float) -> float:
        return math.log(max(value, 1e-30) / target)

    known = {math.log(x): of(value) for x, value in (told or {}).items()}

    def short(x: float) -> float:
        if x not in known:
            known[x] = of(significance(math.exp(x)))
        return known[x]

    x = min(known, key=lambda x: abs(known[x]), default=math.log(own))
    while True:  # the root of luminosity, or slower: two steps at least
        y = short(x)
        if x in (lowest, highest) and (y < 0) == (x == highest):
            return math.inf if y < 0 else math.exp(x)
        if min(known.values()) <= 0 <= max(known.values()):
            break
        x = min(max(x - 2.2 * y - math.copysign(0.02, y), lowest), highest)
    a = max(x for x, y in known.items() if y <= 0)
    b = min(x for x, y in known.items() if y >= 0 and x >= a)
    return math.exp(a if a == b else float(optimize.brentq(short, a, b, xtol=1e-6)))


@dataclass(frozen=True, eq=False)
class Versus:
    """Along one or two parameters of the true model: luminosity for the target, significance, limits.

    Attributes:
        paths: of the parameters.
        axes: values of each.
        required: luminosity by observable, (values of the first, of the second); infinite where it is not reached.
        at_own: significance by observable at the data set's luminosity, of the same shape.
        limits: on couplings, by path, in the order of the flattened values.
    """

    paths: tuple[str, ...]
    axes: tuple[Array, ...]
    required: Mapping[str, Array]
    at_own: Mapping[str, Array]
    limits: Mapping[str, tuple[ExpectedLimit, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything in JSON types; one parameter has its path and values, two have lists of both."""
        one = len(self.paths) == 1
        found = {
            "path": self.paths[0] if one else self.paths,
            "values": self.axes[0] if one else self.axes,
            "required": self.required,
            "significance": self.at_own,
            "limits": {
                path: [
                    {"limit": x.asymptotic.value * x.unit, "band": [v * x.unit for v in x.asymptotic.band]} for x in row
                ]
                for path, row in self.limits.items()
            },
        }
        return {key: json_types(value) for key, value in found.items()}
