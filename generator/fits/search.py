"""Where the search for a minimum starts: if a mass of a mediator floats, at the best of many masses."""

from __future__ import annotations

import math

import numpy as np

from ...physics.models import kinds
from .amplitude import Array
from .descent import Descent, descend
from .likelihood import Likelihood
from .nuisances import PREFIX as NUISANCES

MASSES = 12
"""Fewest masses of a mediator that floats at which the search starts, beside that of the model; one a width at most."""
MOST_MASSES = 200
"""Most of them: a V whose width is less than the range over these may be missed, if it is not near the model's."""
QUICK = 5_000
"""Events of a channel and flavour with which these starts are compared."""
ROUGH = 0.1
"""What -2 ln L may still fall by in this comparison."""
KEPT = 3
"""Starts that are followed to their minimum, those that meet on the way once."""


def starts_of(likelihood: Likelihood) -> list[Array]:
    """Where the search starts: the model's own values, and if a mass floats the best of many masses.

    The best ones are followed in some of the events, masses free, and those that meet are one start.
    """
    own = likelihood.start
    masses = [i for i, free in enumerate(likelihood.free) if _is_mass(free.path)]
    if not masses:
        return [own]
    quick, found = likelihood.first(QUICK), []
    known = [name for name in likelihood.names if name.startswith(NUISANCES)]  # zero until then
    number = max(_masses(likelihood, i) for i in masses)
    for place in range(-1, number):
        start = own.copy()
        for i in masses if place >= 0 else ():
            free = likelihood.free[i]
            start[i] = free.low + (place + 0.5) / number * (free.high - free.low)
        best = descend(quick, start, [*(likelihood.names[i] for i in masses), *known], ROUGH)
        found.append((best.minimum, best.values))
    found.sort(key=lambda pair: pair[0])
    followed = sorted((descend(quick, one, goal=ROUGH) for _, one in found[:KEPT]), key=lambda m: m.minimum)
    apart: list[Descent] = []
    for one in followed:
        if all(np.any(np.abs(one.values - other.values) > other.errors) for other in apart):
            apart.append(one)
    return [one.values for one in apart]


def _masses(likelihood: Likelihood, i: int) -> int:
    """Number of masses of a mediator at which the search starts: no further from each other than its width there."""
    free = likelihood.free[i]
    mediator = likelihood.model(likelihood.start.tolist()).mediators[free.path.rpartition(".")[0]]
    return int(np.clip(math.ceil((free.high - free.low) / mediator.total_width), MASSES, MOST_MASSES))


def _is_mass(path: str) -> bool:
    part, _, rest = path.partition(".")
    return part in kinds() and rest.rpartition(".")[2] == "mass"
