r"""Form factors and subleading charm that float in an unbinned fit: shapes that move, exactly.

Helicity amplitudes are linear in form factors, these in their parameters, and subleading charm adds unit shapes Q with
coefficients s that are linear in its parameters. At the nodes of a rate, see `rates`, the shapes of `amplitude` are

.. math:: A(\theta) = E_0 + \sum_f \theta_f E_f,\qquad A_0 \to A_0 + \sum_m s_m(\theta)\,Q_m(\theta),

and the matrices of the J_i are A† C A with Hermitian C that nothing moves. So they are those of these form factors, not
of an expansion about others, and what they change with follows without differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.results import Rows
from ...kinematics.base.threads import split_work
from ...physics.nuisances import Nuisances, changes_of
from .amplitude import Amplitude, Array, ComplexArray, Point
from .kpi import KpiAmplitude
from .loops import slopes_of_rows, sum_forms
from .rates import Rate, by_nodes, rate_by_rows

PREFIX = "nuisances."
"""Of paths of what floats."""
RANGE = (-6.0, 6.0)
"""Of each direction, in its standard deviations."""


SPLIT = 6
"""Cells as in `amplitude.SPLIT`, half as many: densities are then good to 2e-7 from 1.1 to 8 GeV², rates to 1e-10."""


@dataclass(frozen=True, eq=False)
class _Place:
    """At values of the nuisances: ``charm`` s, shapes A (n_q2, helicities, n), units Q, times C A, and the rate."""

    charm: ComplexArray
    shapes: ComplexArray
    units: ComplexArray
    times: ComplexArray
    rate: Rate


class MovingShapes:
    """Matrices of one channel and flavour at the nodes of its rate, as functions of the nuisances.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> from darkpenguin.physics.nuisances import nuisances
    >>> channel, theory = get_channel("B+->K+mumu"), get_model("sm").theory
    >>> amplitude = Amplitude(channel, 1, theory, ["v"])
    >>> rate = Rate(amplitude, [(1.1, 6.0)])
    >>> moving = MovingShapes(amplitude, rate, nuisances([channel.transition], theory, ["form_factors"]))
    >>> there = moving.at(np.zeros(8)).cells.rows
    >>> bool(np.max(np.abs(there - rate.cells.rows)) < 1e-9 * np.max(rate.cells.rows))
    True
    """

    def __init__(self, amplitude: Amplitude, rate: Rate, nuisances: Nuisances) -> None:
        if isinstance(amplitude, KpiAmplitude):
            raise InputError("nuisances: they float in fits of events without a K pi mass; leave them out, or the mass")
        self.rate, self.size = rate, amplitude.size
        changes = changes_of(amplitude.channel.transition, amplitude.theory)
        place = {name: i for i, name in enumerate(nuisances.names)}
        here = [i for i, name in enumerate(changes.names.tolist()) if name in place]
        root = nuisances.root[[place[name] for name in changes.names[here].tolist()]]
        factors = np.einsum("pd,pfq->dfq", root, changes.form_factors(rate.nodes)[here])
        charm = np.einsum("pd,phm->dhm", root, changes.subleading[here])
        used = [(h, m) for h, m in np.ndindex(*charm.shape[1:]) if charm[:, h, m].any()]
        units = np.zeros((len(used), *charm.shape[1:]), dtype=complex)
        for k, (h, m) in enumerate(used):
            units[k, h, m] = 1.0
        self._charm = np.stack([charm[:, h, m] for h, m in used], axis=1) if used else np.zeros((len(charm), 0))
        self._moves = np.flatnonzero(np.any(factors, axis=(1, 2)))
        self._shapes, names = amplitude.helicities(rate.nodes, factors[self._moves], units)
        self._flat = self._shapes.reshape(len(self._shapes), -1)
        bilinear = np.moveaxis(amplitude.bilinear(rate.nodes, names), 1, 2)  # (n_q2, helicities, n_coefficients, ...)
        self._bilinear = np.ascontiguousarray(bilinear).reshape(len(bilinear), -1, len(names))
        self._last: tuple[tuple[float, ...], _Place] | None = None

    def at(self, theta: Array) -> Rate:
        """The rate at values of the nuisances."""
        return self._place(theta).rate

    def _place(self, theta: Array) -> _Place:
        key = tuple(theta.tolist())
        if self._last is None or self._last[0] != key:
            self._last = key, self._evaluated(theta)
        return self._last[1]

    def _evaluated(self, theta: Array) -> _Place:
        n = self.size
        charm: ComplexArray = np.asarray(theta @ self._charm, dtype=complex)
        whole = (np.concatenate([[1.0], theta[self._moves]]) @ self._flat).reshape(self._shapes.shape[1:])
        shapes, units = whole[..., :n].copy(), whole[..., n:]
        shapes[..., 0] += units @ charm
        times = (self._bilinear @ shapes).reshape(*shapes.shape[:2], -1)
        matrices = np.swapaxes((shapes.conj().swapaxes(1, 2) @ times).reshape(len(shapes), n, -1, n), 1, 2)
        rows, columns = np.triu_indices(n, 1)
        above = matrices[..., rows, columns]
        diagonal = matrices[..., range(n), range(n)].real
        table = np.concatenate([diagonal, above.real, above.imag], axis=-1)
        return _Place(charm, shapes, units, times, self.rate.moved(table[:, None]))

    def slopes(self, theta: Array, by_matrices: Array) -> Array:
        """Derivatives by the nuisances from those by the packed matrices of the J_i, (n_q2, n_coefficients, n²)."""
        here, n = self._place(theta), self.size
        rows, columns = np.triu_indices(n, 1)
        real, imaginary = np.split(by_matrices[..., n:], 2, axis=-1)
        weights = np.zeros((*by_matrices.shape[:-1], n, n), dtype=complex)  # of dA† C A + its conjugate
        weights[..., range(n), range(n)] = 2.0 * by_matrices[..., :n]
        weights[..., columns, rows] = real - 1j * imaginary  # transposed
        weights[..., rows, columns] = real + 1j * imaginary
        by_shapes = here.times @ weights.reshape(len(weights), -1, n)
        local = by_shapes[..., :1]
        extended = np.concatenate([by_shapes, here.charm.conj() * local], axis=-1)
        found = (self._charm @ np.einsum("qhm,qh->m", here.units, local[..., 0].conj())).real
        found[self._moves] += (self._flat[1:] @ extended.conj().ravel()).real
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Moving:
    """Events whose matrices move with the nuisances.

    Attributes:
        shapes: of their channel and flavour.
        q2: GeV², (events,).
        cell: of each event in the cells of the rate.
        u: place in it.
        factors: of the J_i in its density, (events, n_coefficients); with the efficiency where that counts.
    """

    shapes: MovingShapes
    q2: Array
    cell: Any
    u: Array
    factors: Array

    @classmethod
    def of(cls, shapes: MovingShapes, columns: Mapping[str, Any], efficiency: Array) -> Moving:
        """Events with their columns, as `Rate.event_forms` takes them, and what their densities are times."""
        rate = shapes.rate
        factors = rate.density.norm * rate.density.basis(*(columns[name] for name in rate.density.angles)).T
        factors = np.ascontiguousarray(factors * np.reshape(efficiency, (-1, 1)))
        return cls(shapes, columns["q2"], *rate.place(columns["q2"]), factors)

    def first(self, events: int) -> Moving:
        """The first of them."""
        return Moving(self.shapes, self.q2[:events], self.cell[:events], self.u[:events], self.factors[:events])

    def forms(self, theta: Array, threads: int | None) -> Array:
        """Packed matrices of the densities of the events at values of the nuisances, (events, 1, n²)."""
        rate, order = self.shapes.at(theta), np.argsort(self.cell, kind="stable")
        found = np.empty((len(self.q2), 1, self.shapes.size**2))

        def work(low: int, high: int) -> None:
            chosen = order[low:high]
            some = np.empty((high - low, *found.shape[1:]))
            one = np.ones((high - low, 1))
            factors = self.factors[chosen][:, None]
            sum_forms(self.cell[chosen], self.u[chosen], one, factors, rate.forms.rows, some)
            found[chosen] = some

        split_work(work, len(order), threads if len(order) > _WORTH_THREADS else 1)
        return found

    def slopes(
        self,
        theta: Array,
        point: Point,
        forms: Array,
        of_rate: float,
        background: tuple[float, Array],
        threads: int | None,
    ) -> Array:
        """Derivatives of -2 sum ln D + ``of_rate`` times the rate by the nuisances.

        ``background`` is the factor of the signal in D, and what is added to it; that is empty without one.
        """
        rate = self.shapes.at(theta)
        order, cells = np.argsort(self.cell, kind="stable"), len(rate.edges)
        starts = np.searchsorted(self.cell[order], np.arange(cells + 1))
        found = np.empty((cells, 3, self.factors.shape[1], self.shapes.size**2))
        pairs = (np.stack([x.real, x.imag], axis=-1) for x in (point.constants, point.residues, point.poles))
        constants, residues, poles = pairs

        def work(low: int, high: int) -> None:
            where = constants, residues, poles, *background, low, found[low:high]
            slopes_of_rows(starts, order, self.q2, self.u, self.factors, forms, *where)

        split_work(work, cells, threads if len(order) > _WORTH_THREADS else 1)
        split = rate.split
        by_matrices = -2.0 * by_nodes(np.moveaxis(found, 1, 0), split)
        by_matrices += of_rate * rate.weights.T[:, :, None] * by_nodes(rate_by_rows(rate.cells, point), split)[:, None]
        return self.shapes.slopes(theta, by_matrices)


_WORTH_THREADS = 1 << 15  # events


def theta_of(names: Sequence[str], values: Sequence[float]) -> Array:
    """Values of the nuisances among those of fields by path, in the order of their directions.

    >>> theta_of(["heavy.C9_mu", "nuisances.charm.1"], [0.3, 1.5]).tolist()
    [1.5]
    """
    return np.array([value for name, value in zip(names, values, strict=True) if name.startswith(PREFIX)])


@dataclass(frozen=True)
class NuisanceParameter:
    """What a fit found of one of flavio's parameters.

    Attributes:
        name: flavio's.
        value: best.
        error: from the curvature of -2 ln L, what flavio knows included.
        central: flavio's value, and ``before`` its error.
    """

    name: str
    value: float
    error: float
    central: float
    before: float


@dataclass(frozen=True, eq=False)
class FittedNuisances(Rows[NuisanceParameter]):
    """flavio's parameters after a fit in which form factors or charm floated, and their ``covariance``."""

    covariance: Array


def fitted(known: Nuisances, names: Sequence[str], values: Sequence[float], covariance: Array) -> FittedNuisances:
    """What a fit found of flavio's parameters, from values and covariance of fields by path."""
    chosen = [i for i, name in enumerate(names) if name.startswith(PREFIX)]
    moved = known.root @ covariance[np.ix_(chosen, chosen)] @ known.root.T
    found = known.central + known.root @ theta_of(names, values)
    errors, before = np.sqrt(np.diagonal(moved)), np.sqrt(np.diagonal(known.covariance))
    rows = zip(known.names, found.tolist(), errors.tolist(), known.central.tolist(), before.tolist(), strict=True)
    return FittedNuisances(tuple(NuisanceParameter(*row) for row in rows), moved)
