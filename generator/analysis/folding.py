r"""A model's prediction in reconstructed bins of q2, from a response: efficiency and migration by true bin.

.. math:: n_r = N_B\,\tau_B \sum_t \epsilon_t\, m_{tr} \int_t (\Gamma + \bar\Gamma)\,dq^2

A response is measured with events of one model, within whose bins it is spread as that model is: make true bins as
narrow as other models differ. With muons and electrons, two channels make R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...kinematics.base.errors import InputError
from ...physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from ...physics.channels import Channel, get_channel
from ...physics.models import Model, ModelLike, as_model
from .migration import Migration

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Response:
    """What becomes of the decays of a channel.

    Attributes:
        channel: name of the channel.
        true: edges of the bins of true q2 (GeV^2), (n + 1,).
        efficiency: probability that a decay of a true bin is found, (n,).
        migration: probability of a reconstructed bin for one that is found, (n, m); rows add up to one at most.
        error: relative statistical error of the response in each reconstructed bin, (m,).

    Raises:
        InputError: shapes that do not fit, or numbers that are no probabilities.
    """

    channel: str
    true: Array
    efficiency: Array
    migration: Array
    error: Array

    def __post_init__(self) -> None:
        n = len(self.true) - 1
        if np.shape(self.efficiency) != (n,) or np.shape(self.migration)[0] != n:
            raise InputError(f"response: {n} true bins, efficiency {np.shape(self.efficiency)} and migration of other")
        if np.any(np.diff(self.true) <= 0):
            raise InputError("response.true: edges must rise")
        for name, values in (("efficiency", self.efficiency), ("migration", np.sum(self.migration, axis=1))):
            if not np.all((values >= 0) & (values <= 1 + 1e-9)):
                raise InputError(
                    f"response.{name}: probabilities lie in 0 to 1; here {np.min(values):g}-{np.max(values):g}"
                )

    def expected(self, model: ModelLike, b_mesons: float) -> Array:
        """Decays found in each reconstructed bin from ``b_mesons`` B and as many of their conjugates, (m,)."""
        chosen, channel = as_model(model), get_channel(self.channel)
        lifetime = chosen.parameters[f"tau_{channel.parent}"]
        decays = b_mesons * lifetime * channel.branching * rates(channel, chosen, self.true)
        return np.asarray((decays * self.efficiency) @ self.migration)

    def pyhf_channel(self, model: ModelLike, b_mesons: float, name: str = "") -> dict[str, Any]:
        """The same as a channel of a pyhf workspace: a signal with the strength ``mu`` and the response's errors.

        >>> shape = np.array([1.0, 6.0]), np.array([0.2]), np.array([[0.9]]), np.array([0.01])
        >>> response = Response("B+->K+mumu", *shape)
        >>> channel = response.pyhf_channel("sm", 1e9)
        >>> channel["name"], round(channel["samples"][0]["data"][0])
        ('B+->K+mumu', 63)
        """
        word, data = name or self.channel, self.expected(model, b_mesons)
        modifiers = [
            {"name": "mu", "type": "normfactor", "data": None},
            {"name": f"response {word}", "type": "staterror", "data": (data * self.error).tolist()},
        ]
        return {"name": word, "samples": [{"name": "signal", "data": data.tolist(), "modifiers": modifiers}]}


def response_of(migration: Migration) -> Response:
    """The response that events behind our own detector show, see `migrations`; reconstructed bins are its true ones.

    Below and above its edges are two more true bins, to the ends of phase space, and no reconstructed ones.

    >>> one = Migration("B+->K+mumu", (1.0, 6.0), np.full(3, 10.0), np.diag([5.0, 8.0, 5.0]), np.diag([5.0, 8.0, 5.0]))
    >>> response_of(one).migration.tolist()
    [[0.0], [1.0], [0.0]]
    """
    low, high = get_channel(migration.channel).q2_limits()
    edges, inside = np.array(migration.edges), slice(1, -1)
    if not low < edges[0] < edges[-1] < high:
        raise InputError(f"migration: edges {edges[0]:g} to {edges[-1]:g} GeV^2: they must lie inside phase space")
    found, variance = migration.counts.sum(axis=0)[inside], migration.variances.sum(axis=0)[inside]
    error = np.divide(np.sqrt(variance), found, out=np.zeros_like(found), where=found > 0)
    true = np.concatenate([[low], edges, [high]])
    return Response(migration.channel, true, migration.efficiency, migration.normalised[:, inside], error)


def response_from(channel: str, true: ArrayLike, generated: ArrayLike, found: ArrayLike) -> Response:
    """The response in two histograms: generated decays (n,), and those found by true and reconstructed bin (n, m).

    >>> response_from("B+->K+mumu", [1.0, 6.0], [1000.0], [[250.0, 150.0]]).efficiency.tolist()
    [0.4]
    """
    get_channel(channel)
    made, kept = np.asarray(generated, dtype=float), np.atleast_2d(np.asarray(found, dtype=float))
    total, reconstructed = kept.sum(axis=1), kept.sum(axis=0)
    efficiency = np.divide(total, made, out=np.zeros_like(total), where=made > 0)
    migration = np.divide(kept, total[:, None], out=np.zeros_like(kept), where=total[:, None] > 0)
    error = np.divide(1.0, np.sqrt(reconstructed), out=np.zeros_like(reconstructed), where=reconstructed > 0)
    return Response(channel, np.asarray(true, dtype=float), efficiency, migration, error)


def rates(channel: Channel, model: Model, edges: Array) -> Array:
    """Rates (GeV) of both flavours together in bins of q2 (GeV^2), (n,).

    >>> from darkpenguin.physics.models import get_model
    >>> rates(get_channel("B+->K+mumu"), get_model("sm"), np.array([1.0, 6.0, 8.0])).shape
    (2,)
    """
    points = breakpoints(channel, model)
    q2, weights = quadrature(np.union1d(points, edges), max(edges[0], points[0]), min(edges[-1], points[-1]))
    rate = sum(decay_rate(angular_coefficients(channel, model, q2, flavour)) for flavour in (-1, 1))
    place = np.clip(np.searchsorted(edges, q2) - 1, 0, len(edges) - 2)
    return np.asarray(np.bincount(place, rate * weights, len(edges) - 1))
