r"""The amplitude of one channel and flavour as a sum of fixed shapes, and where the numbers of a model stand in it.

All amplitudes are linear in the shifts of effective Wilson coefficients, and every shift is a constant plus poles,

.. math:: A_\lambda(q^2) = \sum_a v_a(q^2)\,A^a_\lambda(q^2),\qquad
          v_a(q^2) = c_a + \sum_k \frac{t_{ak}}{q^2 - z_k},\qquad z_k = m_k^2 - i m_k\Gamma_k,

with v = 1 for the local amplitude of the Standard Model, the first shape; heavy coefficients are c, mediators and
resonances t and z (a subtracted resonance has a c too). The shapes depend on no parameter that floats. Squared, they
are Hermitian matrices, one for each J_i, so that the density of an event is

.. math:: \frac{d\Gamma}{dq^2\,d\Omega} = \sum_{ab} v_a^* M_{ab} v_b .

A Hermitian matrix of size n is packed in n² numbers: the diagonal, then the real parts and then the imaginary parts of
what is above it, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from itertools import accumulate
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...physics.amplitudes import (
    amplitudes_p,
    amplitudes_v,
    decay_of,
    helicity_amplitudes,
    nonlocal_physics,
    smooth_inputs,
    standard_model,
)
from ...physics.angular import Convention, breakpoints, coefficients_of, event_signs
from ...physics.channels import Channel
from ...physics.mediators import Decay, Mediator, NewPhysics, Scheme
from ...physics.models import Model
from ...physics.theory import Theory
from ..sampler.tables import density_of

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Steps = Sequence[tuple[NewPhysics, float]]
SPLIT = 12
"""Cells between two places where the shapes are not smooth. Densities are then good to 3e-8 from 1.1 to 8 GeV², to 4e-6
near the ends of phase space (2e-5 of an electron pair from 0.001 GeV²); rates to 2e-8, from 1.1 to 8 GeV² to 1e-11."""
SHIFTS = ("v", "vp", "a", "ap", "p", "pp", "s", "sp", "7", "7p", "v0", "vpar", "vperp")
"""All shifts that there are, see `physics.amplitudes.new_physics`."""
RESONANT = ("v0", "vpar", "vperp")
"""Those of resonances: their rates are measured, so that their form factors are the central ones."""


@dataclass(frozen=True)
class Point:
    """The numbers of a model in an amplitude: ``constants`` (n,), ``residues`` (n, poles), ``poles`` (poles,).

    ``waves`` (waves,) are the factors of the matrices of each wave, see `kpi`; one where there is one.
    """

    constants: ComplexArray
    residues: ComplexArray
    poles: ComplexArray
    waves: Array = field(default_factory=lambda: np.ones(1))

    def flat(self) -> ComplexArray:
        """All of them one after the other."""
        return np.concatenate([self.constants, self.residues.ravel(), self.poles, self.waves])

    def at(self, q2: Array) -> ComplexArray:
        """v_a(q2), shape (n, n_q2).

        >>> one = Point(np.array([1.0 + 0j]), np.array([[2.0 + 0j]]), np.array([4.0 - 1j]))
        >>> one.at(np.array([4.0])).tolist()
        [[(1-2j)]]
        """
        return np.asarray(self.constants[:, None] + self.residues @ (1.0 / (q2 - self.poles[:, None])))


def combined(shapes: Sequence[dict[str, ComplexArray]]) -> list[dict[str, ComplexArray]]:
    """The n² sums of n shapes whose squares tell a Hermitian matrix: alone, A_a + A_b, and A_a + i A_b."""
    pairs = list(zip(*(index.tolist() for index in np.triu_indices(len(shapes), 1)), strict=True))
    sums = [{name: shapes[a][name] + shapes[b][name] for name in shapes[a]} for a, b in pairs]
    turned = [{name: shapes[a][name] + 1j * shapes[b][name] for name in shapes[a]} for a, b in pairs]
    return [*shapes, *sums, *turned]


def packed(squares: Array, n: int) -> Array:
    """Packed matrices (..., n²) from the squares of the sums of `combined`, on the last axis.

    >>> packed(np.array([1.0, 2.0, 9.0, -5.0]), 2).tolist()  # |A|², |B|², |A + B|², |A + iB|²
    [1.0, 2.0, 3.0, 4.0]
    """
    rows, columns = _above(n)
    alone, sums, turned = np.split(squares, [n, n + len(rows)], axis=-1)
    both = alone[..., rows] + alone[..., columns]
    return np.concatenate([alone, 0.5 * (sums - both), -0.5 * (turned - both)], axis=-1)


@cache
def _above(n: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of what is above the diagonal."""
    return np.triu_indices(n, 1)


def unpacked(values: Array | ComplexArray, n: int) -> ComplexArray:
    """Matrices (..., n, n) of packed ones (..., n²); linear, so of integrals with complex weights too.

    >>> unpacked(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist()
    [[(1+0j), (3+4j)], [(3-4j), (2+0j)]]
    """
    rows, columns = _above(n)
    above = len(rows)
    real, imaginary = values[..., n : n + above], values[..., n + above :]
    found = np.zeros((*values.shape[:-1], n, n), dtype=complex)
    found[..., range(n), range(n)] = values[..., :n]
    found[..., rows, columns] = real + 1j * imaginary
    found[..., columns, rows] = real - 1j * imaginary
    return found


class Amplitude:
    """Shapes of one channel and flavour in one theory.

    ``names`` are the shifts that float or are not zero, of `SHIFTS`; the shapes are the local amplitude and these.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> from darkpenguin.physics.angular import event_density
    >>> channel, model, q2 = get_channel("B0->K*0mumu"), get_model("fig2"), np.array([4.0])
    >>> amplitude = Amplitude(channel, 1, model.theory, shifts_of(channel, [model]))
    >>> v = amplitude.point(model).at(q2)[:, 0]
    >>> j = [(v.conj() @ unpacked(form, len(v)) @ v).real for form in amplitude.forms(q2)[:, 0]]
    >>> bool(np.allclose(j, event_density(channel, model, q2, 1)[:, 0], rtol=1e-12))
    True
    """

    def __init__(
        self, channel: Channel, flavour: int, theory: Theory, names: Sequence[str], convention: Convention = "lhcb"
    ) -> None:
        self.density, self.split = density_of(channel), SPLIT
        self.channel, self.flavour, self.theory, self.names = channel, flavour, theory, tuple(names)
        self.size = 1 + len(self.names)
        self._place = {name: 1 + i for i, name in enumerate(self.names)}
        self._conjugate = flavour > 0
        self._local = Model(theory=theory.inputs)
        self._decay = decay_of(channel, self._conjugate, theory)
        self._signs = event_signs(channel, flavour, convention)

    def forms(self, q2: Array) -> Array:
        """Packed Hermitian matrices of the density's J_i at q2 (GeV²), shape (n_coefficients, n_q2, n²)."""
        factors, local = self._inputs(q2)

        def amplitudes(wilson: dict[str, ComplexArray]) -> dict[str, ComplexArray]:
            return helicity_amplitudes(self.channel, self._local, q2, self._conjugate, inputs=(factors, wilson))

        squares = [
            coefficients_of(self.channel, one, q2, theory=self.theory.inputs)
            for one in combined(self._linear(q2, local, amplitudes))
        ]
        return packed(np.stack(squares, axis=-1) * self._signs[:, None, None], self.size)

    def _inputs(self, q2: Array) -> tuple[dict[str, Array], dict[str, ComplexArray]]:
        """Form factors and effective coefficients of the local amplitude."""
        factors, local = smooth_inputs(self.channel, self._local, q2, self._conjugate)
        for part in _other_parts(self.channel, self.theory):
            for name, value in part.shifts(self._decay, q2).items():
                local[name] = local[name] + value
        return factors, local

    def _linear(
        self,
        q2: Array,
        local: dict[str, ComplexArray],
        amplitudes: Callable[[dict[str, ComplexArray]], dict[str, ComplexArray]],
    ) -> list[dict[str, ComplexArray]]:
        """The shapes of amplitudes that are linear in effective coefficients: the local one, what each shift adds."""
        shapes = [amplitudes(local)]
        for name in self.names:
            more: ComplexArray = np.asarray(local.get(name, 0.0) + np.ones(len(q2)), dtype=complex)
            whole = amplitudes({**local, name: more})
            shapes.append({key: whole[key] - shapes[0][key] for key in whole})
        return shapes

    def helicities(self, q2: Array, changes: Array, units: ComplexArray) -> tuple[ComplexArray, tuple[str, ...]]:
        """Shapes as helicity amplitudes, and their names: what `forms` squares, and what form factors change of it.

        Args:
            q2: GeV², (n_q2,).
            changes: of form factors, (changes, form factors, n_q2); resonances keep theirs.
            units: coefficients of subleading effects, as ``StandardModel.subleading``, whose shapes are the last ones.

        Returns:
            (1 + changes, n_q2, helicities, n + units), the first at the form factors of the theory.
        """
        sm, lepton = standard_model(self.channel, self.theory.inputs), self._decay.m_lepton
        build = amplitudes_v if self.channel.spin else amplitudes_p
        factors, local = self._inputs(q2)
        names: tuple[str, ...] = ()

        def shapes(factors: dict[str, Array]) -> ComplexArray:
            nonlocal names

            def amplitudes(wilson: dict[str, ComplexArray], subleading: ComplexArray) -> dict[str, ComplexArray]:
                there = replace(sm, subleading=subleading)
                return build(there, factors, wilson, q2, lepton, self._conjugate)

            found = self._linear(q2, local, lambda wilson: amplitudes(wilson, sm.subleading))
            names, bare = tuple(found[0]), amplitudes(local, 0.0 * sm.subleading)
            for unit in units:
                whole = amplitudes(local, unit)
                found.append({name: whole[name] - bare[name] for name in bare})
            return np.stack([np.stack([one[name] for name in names], axis=-1) for one in found], axis=-1)

        found = [shapes(factors)]
        fixed = [1 + i for i, name in enumerate(self.names) if name in RESONANT]
        for change in changes:
            moved = shapes({name: factors[name] + row for name, row in zip(factors, change, strict=True)}) - found[0]
            moved[..., fixed] = 0.0
            found.append(moved)
        return np.stack(found), names

    def bilinear(self, q2: Array, names: Sequence[str]) -> ComplexArray:
        """Hermitian C of the J_i = h† C h of helicity amplitudes h, (n_q2, n_coefficients, helicities, helicities)."""
        rows = np.eye(len(names))[:, :, None] * np.ones(len(q2))
        alone = [dict(zip(names, row.astype(complex), strict=True)) for row in rows]
        squares = [coefficients_of(self.channel, one, q2, theory=self.theory.inputs) for one in combined(alone)]
        found = packed(np.stack(squares, axis=-1) * self._signs[:, None, None], len(names))
        return np.moveaxis(unpacked(found, len(names)), 0, 1)

    def point(self, model: Model, more: Mapping[str, float] = MappingProxyType({})) -> Point:
        """Where a model stands; ``more`` are values by path that are not of the model, see `kpi`.

        Raises:
            InputError: a width that runs: poles have constant ones.
        """
        parts = self._sources(model)
        found = self._empty(parts, self.waves(more))
        found.constants[0] = 1.0
        for part, k in parts.values():
            self._add(found, part, k, model.width)
        return found

    def slopes(self, model: Model, fields: Sequence[tuple[str, Steps]]) -> list[ComplexArray]:
        """Derivatives of a point, `Point.flat`, by fields of parts of a model's new physics.

        Each is the name of the part, and the part at several values of the field with their weights in the derivative.
        """
        sources, found = self._sources(model), []
        for name, steps in fields:
            one = self._empty(sources, 0.0 * self.waves({}))
            for part, weight in steps:
                self._add(one, part, sources[name][1], model.width, weight)
            found.append(one.flat())
        return found

    def _sources(self, model: Model) -> dict[str, tuple[NewPhysics, int]]:
        """What adds to the shapes, new physics by its name and resonances of the theory, and the index of its pole."""
        of_theory = (one for one in nonlocal_physics(self.channel, model.theory) if isinstance(one, Mediator))
        every = {**model.new_physics, **{f"theory.{i}": one for i, one in enumerate(of_theory)}}
        poles = accumulate(isinstance(one, Mediator) for one in every.values())
        return {name: (one, k - 1) for (name, one), k in zip(every.items(), poles, strict=True)}

    def _empty(self, sources: Mapping[str, tuple[NewPhysics, int]], waves: Array) -> Point:
        """A point of zeros."""
        poles = 1 + max(k for _, k in sources.values())
        constants, residues = np.zeros(self.size, dtype=complex), np.zeros((self.size, poles), dtype=complex)
        return Point(constants, residues, np.zeros(poles, dtype=complex), waves)

    def _add(self, found: Point, part: NewPhysics, k: int, width: Scheme, weight: float = 1.0) -> None:
        """Add what a part with the pole k has to a point."""
        r, s = 0j, weight + 0j
        if isinstance(part, Mediator):
            z, r, s = (weight * value for value in _pole(part, self._decay, width))
            found.poles[k] += z
        for name, value in _strengths(part, self._decay):
            found.constants[self._place[name]] += s * value
            if r != 0:
                found.residues[self._place[name], k] += r * value

    def waves(self, more: Mapping[str, float]) -> Array:
        """Factors of the matrices of each wave: there is one."""
        return np.ones(1)

    def table(self, q2: Array) -> Array:
        """Matrices of the J_i, of one mass: (n_q2, masses, n_coefficients, n²)."""
        return np.asarray(np.moveaxis(self.forms(q2), 0, 1)[:, None])

    def integrated(self, q2: Array, table: Array, weights: Array) -> Array:
        """Matrices of a table summed with weights (n_coefficients, n_q2) of the J_i: (n_q2, waves, n²)."""
        return np.asarray(np.einsum("iq,qip->qp", weights, table[:, 0])[:, None])

    def factors(self, columns: Mapping[str, Array]) -> Array:
        """Factors of the parts of a table in the density of events: f_i, (n, waves, n_coefficients)."""
        return np.asarray(self.density.basis(*(columns[name] for name in self.density.angles)).T[:, None])

    def along_mass(self, columns: Mapping[str, Array]) -> Array:
        """Weights of the masses of a table at events, (n, masses)."""
        return np.ones((len(columns["q2"]), 1))

    def breakpoints(self) -> Array:
        """Places in q2 (GeV²) between which the shapes are smooth."""
        return local_places(breakpoints(self.channel, self._local), self.channel, self.theory)


def shifts_of(channel: Channel, models: Sequence[Model]) -> tuple[str, ...]:
    """Names of all shifts that one of several models has in a channel.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> shifts_of(get_channel("B0->K*0mumu"), [get_model("fig2"), get_model("sm")])
    ('v', 'a', 'p')
    """
    found = set()
    for model in models:
        others = _other_parts(channel, model.theory)
        decay = decay_of(channel, False, model.theory)
        for part in (*model.new_physics.values(), *nonlocal_physics(channel, model.theory)):
            found |= set() if part in others else {name for name, value in _strengths(part, decay) if value != 0}
    return tuple(name for name in SHIFTS if name in found)


def local_places(points: Array, channel: Channel, theory: Theory) -> Array:
    """Places in q2 (GeV²), and those of what a theory adds to the local amplitude."""
    marks = [mark for part in _other_parts(channel, theory) for mark in part.marks(channel, "fixed")]
    return np.asarray(np.unique(np.concatenate([points, *(mark.points(points[-1]) for mark in marks)])))


def _other_parts(channel: Channel, theory: Theory) -> list[NewPhysics]:
    """What a theory adds that is no pole, such as open charm: part of the local amplitude here."""
    return [part for part in nonlocal_physics(channel, theory) if not isinstance(part, Mediator)]


@lru_cache(maxsize=256)  # most parts stay while one field moves
def _strengths(part: NewPhysics, decay: Decay) -> tuple[tuple[str, complex], ...]:
    """Shifts of a part by name, for a wave of one."""
    found = []
    for term in part.terms(decay):
        first, *others = (getattr(part, field) for field in term.couplings)
        if first == 0 or 0 in others:
            continue
        coupling = first.conjugate() if decay.conjugate and term.weak else first
        found += [(name, complex(coupling * math.prod(others, start=factor))) for name, factor in term.shifts.items()]
    return tuple(found)


@lru_cache(maxsize=256)
def _pole(part: Mediator, decay: Decay, width: Scheme) -> tuple[complex, complex, complex]:
    """Pole z, residue and constant of a mediator's wave, r / (q2 - z) + s."""
    pole = part.mass**2
    z = complex(pole, -float(np.max(part.imaginary_part(np.array([pole]), "fixed"))))
    q2 = pole * np.array([0.5, 1.0, 1.5])
    wave = np.asarray(part.wave(decay, q2, width), dtype=complex)
    lifted = wave * (q2 - z)  # r + s (q2 - z)
    s = complex((lifted[2] - lifted[0]) / (q2[2] - q2[0]))
    r = complex(lifted[1] - s * (q2[1] - z))
    if np.max(np.abs(lifted - r - s * (q2 - z))) > 1e-9 * np.max(np.abs(lifted)):
        raise InputError(f"width = {width}: a fit needs poles with constant widths; take width = fixed")
    return z, r, s
