"""Global significance of a V whose mass, or mass and width, were sought: toys without it, and their extrapolation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kinematics.base.cards import CardSource, shows_keys
from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Result
from ...physics.axes import Axis, read_axis
from ..files.sample import EventsLike
from ..statistics.elsewhere import LEVELS, elsewhere_p_value, euler_characteristic
from ..statistics.hypotheses import significance
from .amplitude import Array
from .card import FitCard
from .draws import draw
from .fit import likelihood_of, minimum_from
from .likelihood import Likelihood
from .limits import fixed_at


@dataclass(frozen=True, eq=False)
class GlobalSignificance(Result):
    """How often no V looks as much like one as these data do, anywhere on a grid of masses or widths.

    Attributes:
        q: -2 ln L without the coupling less that at its best, at the best place of the grid.
        at: that place, by path.
        local: significance there, two-sided: √q.
        p_value: global, by the mean Euler characteristic of the toys' excursions (upcrossings along one field).
        significance: of that, one-sided.
        p_toys: fraction of toys with as large a maximum; few where it is small.
        characteristic: mean of it above q = 0.5.
        toys: number.
        fields: q of every toy, (toys, places of each field).
        seen: q of the data, the same without toys.
    """

    q: float
    at: dict[str, float]
    local: float
    p_value: float
    significance: float
    p_toys: float
    characteristic: float
    toys: int
    fields: Array
    seen: Array
    left_out = ("fields",)

    def records(self) -> dict[str, Any]:
        """Return the largest q of each toy."""
        return {"maximum": self.fields.reshape(self.toys, -1).max(axis=1)}


@shows_keys(FitCard)
def global_significance(
    events: EventsLike,
    card: CardSource | FitCard,
    coupling: str,
    versus: Sequence[str | Axis],
    *,
    toys: int = 50,
    seed: int = 1,
    threads: int | None = None,
    **keys: Any,
) -> GlobalSignificance:
    """Global significance of a coupling from zero along one or two fields that mean nothing without it.

    Places should be no further apart than V is wide: what lies between two is not seen.

    Args:
        events: as of `fit`.
        card: as of `fit`; the coupling floats in it.
        coupling: its path.
        versus: one or two masses or widths, each an `Axis` or ``KEY,MIN,MAX,POINTS``.
        toys: data sets without the coupling.
        seed: of their random numbers.
        threads: CPU threads; all without it.
        **keys: keys of a `FitCard` on top of the card.

    Raises:
        InputError: a coupling that does not float, none or more than two fields, fewer than 10 toys.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> sample = generate("B+->K+mumu", model="sm", events=200, seed=1, q2=[(1.1, 8.0)])
        >>> found = global_significance(sample, {"model": "fig2", "float": {"light_vectors.0.g_bs": (-6e-8, 6e-8)}},
        ...                             "light_vectors.0.g_bs", ["light_vectors.0.mass,1.5,2.5,2"], toys=10)
        >>> 0 <= found.p_value <= 1
        True
    """
    axes = [read_axis(one, "versus") if isinstance(one, str) else one for one in versus]
    if not 1 <= len(axes) <= 2:
        raise InputError(
            f"versus: {len(axes)} fields; a global significance is along one or two, as KEY,MIN,MAX,POINTS"
        )
    if toys < 10:
        raise InputError(f"toys = {toys}: at least 10 tell how often q rises")
    asked = FitCard.make(card, **keys)
    if coupling not in asked.free:
        raise InputError(f"global = {coupling!r}: it does not float; allowed are {', '.join(asked.free)}")
    places = [
        dict(zip((axis.key for axis in axes), values, strict=True))
        for values in itertools.product(*(axis.values.tolist() for axis in axes))
    ]
    cards = [fixed_at(asked, place) for place in places]
    cost: Likelihood | None = None
    costs = []
    for one in cards:
        cost = likelihood_of(events, one, threads, like=cost)
        costs.append(cost)
    shape = tuple(axis.points for axis in axes)
    values, seen = _gains(costs, coupling)
    drawn = draw(events, cards[0], costs[0], values.tolist(), toys, seed)
    fields = np.stack([_gains([one.at(cost.base) for cost in costs], coupling)[1] for one in drawn])
    fields = fields.reshape(toys, *shape)
    q = float(seen.max())
    p = elsewhere_p_value(fields, q)
    return GlobalSignificance(
        q,
        places[int(np.argmax(seen))],
        float(np.sqrt(q)),
        p,
        float(significance(p)),
        float(np.mean(fields.reshape(toys, -1).max(axis=1) >= q)),
        float(np.mean(euler_characteristic(fields.reshape(toys, *(n for n in shape if n > 1)), LEVELS[0]))),
        toys,
        fields,
        seen.reshape(shape),
    )


def _gains(costs: Sequence[Likelihood], coupling: str) -> tuple[Array, Array]:
    """Best values without the coupling, and at each place how far -2 ln L falls with it, of either sign."""
    first = costs[0]
    i = first.names.index(coupling)
    start = first.start
    start[i] = 0.0
    lowest, null = minimum_from(first, start, [coupling])
    found = []
    for cost in costs:
        lows = [lowest]
        for end in (first.free[i].low, first.free[i].high):
            start = null.copy()
            start[i] = 0.1 * end
            lows.append(minimum_from(cost, start, [])[0])
        found.append(lowest - min(lows))
    return null, np.array(found)
