"""The density of events in all their variables, dGamma/dq2 dOmega (dm_Kpi), in several models at once.

A narrow hadron: the J_i of all models, linear in q2 between the nodes of their tables (`sampler.tables`), so that an
event is looked up once for all models, each within 1e-5 of its local dGamma/dq2. At a node they are the J_i themselves:
what is linear in them, such as a polynomial in couplings, holds between models to rounding. A hadron with a width: the
density itself, at every event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...physics.angular import Convention, event_density
from ...physics.channels import Channel
from ...physics.densities import KPI
from ...physics.kpi import KpiDecay, KpiSystem
from ...physics.models import Model
from ...physics.phase_space import PhaseSpace, phase_space_density, wide_phase_space_density
from ..sampler.stored import sampling_table
from ..sampler.tables import aligned, build_table, density_of
from .densities_gpu import DeviceWeights
from .density_loops import LOOPS

Array = NDArray[np.float64]
Dynamics = Model | PhaseSpace
"""What events are distributed by."""
Combination = Callable[[Array], Array]
FLAVOURS = (1, -1)
_BUCKETS = 1 << 14


class NarrowDensities:
    """Densities of one channel with a hadron of no width, norm sum_i J_i(q2) f_i, in one or several models.

    Called with columns (q2 in GeV^2, the angles, the flavour, 0 where it is not known: the mean of both), returns shape
    (n, n_models) in 1/GeV; zero outside phase space. ``resolved`` are the models whose structure in q2 the nodes
    follow, all if None. ``combined``, a linear function, makes of the J_i of all models, (n_models, ...), others in
    their place, such as the coefficients of a polynomial.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> density = NarrowDensities(get_channel("B+->K+mumu"), [get_model("sm"), get_model("fig2")], "lhcb")
    >>> one = {"q2": np.array([4.0, 30.0]), "cos_theta_l": np.array([0.2, 0.2]), "flavour": np.array([1, 1])}
    >>> sm, fig2 = density(one).T
    >>> bool(0.5 < fig2[0] / sm[0] < 1), float(sm[1])
    (True, 0.0)
    """

    def __init__(
        self,
        channel: Channel,
        models: Sequence[Dynamics],
        convention: Convention,
        resolved: Sequence[Dynamics] | None = None,
        combined: Combination | None = None,
    ) -> None:
        self.density = density_of(channel)
        self.variables = ("q2", *self.density.angles, "flavour")
        nodes = [_nodes(channel, model, convention) for model in (models if resolved is None else resolved)]
        self.edges = np.unique(np.concatenate(nodes))
        low, high = self.edges[:-1], self.edges[1:]
        ends = np.stack([np.nextafter(low, high), np.nextafter(high, low)]).ravel()  # at a jump, neighbours differ
        sides = []
        for flavour in FLAVOURS:
            j = self.density.norm * _coefficients(channel, models, ends, flavour, convention)
            j = j if combined is None else combined(j)
            at_low, at_high = np.moveaxis(j.reshape(*j.shape[:2], 2, len(low)), 2, 0)
            sides.append(np.stack([at_low, (at_high - at_low) / (high - low)]))  # [value and slope, model, i, cell]
        self._models, self._rows = len(j), _packed(sides)
        self._scale = _BUCKETS / float(self.edges[-1] - self.edges[0])
        starts = np.searchsorted(self.edges, self.edges[0] + np.arange(_BUCKETS + 2) / self._scale, side="right") - 1
        self._starts = np.clip(starts, 0, len(self.edges) - 2)

    def __call__(self, columns: Mapping[str, Any]) -> Array:
        """Densities of all models, shape (n, n_models)."""
        data = [np.ascontiguousarray(columns[name]) for name in self.variables]
        out = np.empty((len(data[0]), self._models))
        LOOPS[self.density.kind](*data, self.edges, self._starts, self._scale, self._rows, out)
        return out

    def on_device(self, unit: Array, averages: bool) -> DeviceWeights:
        """Ratios of all densities to the first on a GPU, times ``unit``; see there."""
        return DeviceWeights(self.density.kind, self.edges, self._rows, unit, averages)


def _packed(sides: Sequence[Array]) -> Array:
    """Rows as the loops read them, flat: flavour b, unknown (the mean) and bbar; cell; model; quad; value and slope.

    The last row is zero: that of events outside of all cells.
    """
    b, bbar = sides
    _, models, n, cells = b.shape
    quads = -(-n // 4)
    rows = aligned((3 * cells + 1, models, quads, 2, 4), np.dtype(np.float64))
    rows[:] = 0.0
    for side, values in enumerate((b, 0.5 * (b + bbar), bbar)):
        whole = np.zeros((2, models, 4 * quads, cells))
        whole[:, :, :n] = values
        part = whole.reshape(2, models, quads, 4, cells)
        rows[side * cells : (side + 1) * cells] = part.transpose(4, 1, 2, 0, 3)
    return np.ravel(rows)


class WideDensities:
    """Densities of one channel with the K pi mass as a variable, by evaluation; called as `NarrowDensities`.

    ``systems`` are the K pi systems of the models. In 1/GeV^2; zero outside phase space and the window in m_Kpi.
    """

    def __init__(
        self,
        channel: Channel,
        models: Sequence[Dynamics],
        convention: Convention,
        systems: Sequence[KpiSystem],
        combined: Combination | None = None,
    ) -> None:
        self.density, self.convention, self.channel, self._combined = KPI, convention, channel, combined
        self.variables = ("q2", "m_kpi", *KPI.angles, "flavour")
        self._models = [
            KpiDecay(channel, model, system) if isinstance(model, Model) else system
            for model, system in zip(models, systems, strict=True)
        ]

    def __call__(self, columns: Mapping[str, Any]) -> Array:
        """Densities of all models, shape (n, n_models)."""
        q2, mass, *angles = (np.asarray(columns[name], dtype=np.float64) for name in self.variables[:-1])
        flavour = np.asarray(columns["flavour"])
        out = np.zeros((len(self._models), len(q2)))
        f = self.density.basis(*angles)
        for sign in FLAVOURS:
            share = np.where(flavour == 0, 0.5, flavour == sign)
            chosen = np.flatnonzero(share)
            weights = self.density.norm * share[chosen] * f[:, chosen]
            for k in range(len(self._models)) if len(chosen) else ():
                j = self._coefficients(k, q2[chosen], mass[chosen], sign)
                out[k, chosen] += np.einsum("in,in->n", j, weights)
        return np.ascontiguousarray((out if self._combined is None else self._combined(out)).T)

    def _coefficients(self, k: int, q2: Array, mass: Array, flavour: int) -> Array:
        model = self._models[k]
        if isinstance(model, KpiDecay):
            return model.density(q2, mass, flavour, self.convention)
        return wide_phase_space_density(self.channel, q2, mass, model.window)


def _coefficients(
    channel: Channel, models: Sequence[Dynamics], q2: Array, flavour: int, convention: Convention
) -> Array:
    """Coefficients of the density of events, (n_models, n_coefficients, n)."""
    real = [model for model in models if isinstance(model, Model)]
    found = event_density(channel, real, q2, flavour, convention).swapaxes(0, 1)
    if len(real) == len(models):
        return found
    [place] = [i for i, model in enumerate(models) if not isinstance(model, Model)]
    return np.insert(found, place, phase_space_density(channel, q2), axis=0)


def _nodes(channel: Channel, model: Dynamics, convention: Convention) -> Array:
    """Nodes between which the coefficients of both flavours are linear."""
    if isinstance(model, Model):
        return sampling_table(channel, model, convention=convention).q2
    low, high = channel.q2_limits()
    steps = (high - low) * 0.5 ** np.arange(1, 40)
    places = np.sort(np.concatenate([low + steps, high - steps]))
    return build_table(lambda q2: phase_space_density(channel, q2), places, low, high, kind=density_of(channel).kind).q2
