r"""The amplitude of B → Kπ ℓℓ in a fit: a K* with its width, and a Kπ S wave whose size and phase float.

With the line shapes and the 29 parts of `physics.kpi`, made of the same shapes and poles as a narrow K*'s, see
`amplitude`, the density of an event is a sum of four Hermitian matrices of the same size: of the P wave, of the S
wave, and of the real and imaginary part of their interference,

.. math:: v^\dagger\Big[M_P + x\,M_S + \sqrt x\,(\cos\delta\,M_R + \sin\delta\,M_I)\Big]v,\qquad
          x = \frac{F_S}{1-F_S},

where F_S is the S wave's fraction in the Standard Model for 1.1 < q2 < 6 GeV² and 0.796 < m < 0.996 GeV, and δ the
phase that is added to its line shape: the ``fraction`` and ``phase`` of a `KpiSystem`. The parts are parabolas in q2,
see `rates`, and polynomials in √(top - m), where top is the heaviest mass at this q2: the root at the end of phase
space is one of them; the line shapes are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import split_work
from ...physics.amplitudes import helicity_amplitudes
from ...physics.angular import Convention
from ...physics.channels import Channel
from ...physics.densities import KPI
from ...physics.kpi import N_PARTS, KpiDecay, KpiSystem, combine, s_wave_amplitudes
from ...physics.theory import Theory
from .amplitude import Amplitude, Array, ComplexArray, combined, local_places, packed

FRACTION, PHASE = "kpi.fraction", "kpi.phase"
"""Paths of what floats in a Kπ system."""
MASSES = 6
"""Masses, through which the parts are polynomials."""
SPLIT = 6
"""Cells between two places where the parts are not smooth. From 1.1 to 8 GeV² densities are then good to 4e-6, 99 % of
them to 2e-7, and rates to 1e-10; at the end of phase space 99 % of the densities to 1e-5 and rates to 1e-8."""
_ORDER = 40  # of the integral over the line shapes
_NODES = 0.5 + 0.5 * np.cos(np.pi * (np.arange(MASSES) + 0.5) / MASSES)
_PIECE = 1 << 10  # places at a time: larger arrays leave the cache


class KpiAmplitude(Amplitude):
    """Shapes of one channel and flavour in one theory, of a Kπ pair of any mass; see `Amplitude`.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.kpi import resolve_kpi
    >>> from darkpenguin.physics.models import get_model
    >>> channel, system = get_channel("B0->K*0mumu"), resolve_kpi("swave")
    >>> amplitude = KpiAmplitude(channel, 1, get_model("sm").theory, ["v"], system=system)
    >>> amplitude.waves({"kpi.fraction": 0.5, "kpi.phase": 60.0}).round(4).tolist()
    [1.0, 1.0, 0.5, 0.866]
    """

    def __init__(
        self,
        channel: Channel,
        flavour: int,
        theory: Theory,
        names: Sequence[str],
        convention: Convention = "lhcb",
        *,
        system: KpiSystem,
    ) -> None:
        if system.factorised:
            raise InputError("kpi.factorised = true: its mass does not follow from the amplitude; a fit takes false")
        super().__init__(channel, flavour, theory, names, convention)
        self.system, self.density, self.split = system, KPI, SPLIT
        unit = {} if system.s_wave == "none" else {"fraction": 0.5, "phase": 0.0}  # x = 1
        self.decay = KpiDecay(channel, self._local, system.model_copy(update=unit))
        self._convention = convention

    def system_at(self, more: Mapping[str, float]) -> KpiSystem:
        """The Kπ system with values by path."""
        there = {path.removeprefix("kpi."): more[path] for path in (FRACTION, PHASE) if path in more}
        return self.system.model_copy(update=there)

    def waves(self, more: Mapping[str, float]) -> Array:
        """Factors of the matrices, of the P wave alone where there is no S wave."""
        if self.system.s_wave == "none":
            return np.ones(1)
        fraction, phase = more.get(FRACTION, self.system.fraction), more.get(PHASE, self.system.phase)
        if not 0.0 <= fraction < 1.0:
            raise InputError(f"{FRACTION} = {fraction:g}: an S-wave fraction is 0 or more and below 1")
        x, delta = fraction / (1.0 - fraction), math.radians(phase)
        root = math.sqrt(x)
        return np.array([1.0, x, root * math.cos(delta), root * math.sin(delta)])

    def breakpoints(self) -> Array:
        """Places in q2 (GeV²) between which the shapes are smooth, integrated over the mass."""
        return local_places(self.decay.breakpoints(), self.channel, self.theory)

    def table(self, q2: Array) -> Array:
        """Matrices of the 29 parts at `MASSES` masses: (n_q2, masses, 29, n²)."""
        mass = self._masses(q2)
        places, at = np.broadcast_to(q2, mass.shape).ravel(), mass.ravel()
        found = np.empty((N_PARTS, len(at), self.size**2))

        def work(start: int, stop: int) -> None:
            for first in range(start, stop, _PIECE):
                piece = slice(first, min(first + _PIECE, stop))
                found[:, piece] = self._parts(places[piece], at[piece])

        split_work(work, len(at), None if len(at) > _PIECE else 1)
        return np.moveaxis(found.reshape(N_PARTS, *mass.shape, -1), (0, 1), (2, 1))

    def _parts(self, q2: Array, mass: Array) -> Array:
        """Matrices of the parts at places (n,): (29, n, n²)."""
        channel, conjugate = self.channel, self._conjugate
        factors, local = self._inputs(q2)

        def waves(wilson: dict[str, ComplexArray]) -> dict[str, ComplexArray]:
            p_wave = helicity_amplitudes(channel, self._local, q2, conjugate, mass, (factors, wilson))
            if not self.decay.strength:
                return p_wave
            s_wave = s_wave_amplitudes(channel, self._local, q2, mass, conjugate, wilson)
            return {**p_wave, **{_S + name: value for name, value in s_wave.items()}}

        squares = []
        for both in combined(self._linear(q2, local, waves)):
            p_wave = {name: value for name, value in both.items() if not name.startswith(_S)}
            s_wave = {name[len(_S) :]: value for name, value in both.items() if name.startswith(_S)}
            squares.append(self.decay.parts_of(p_wave, s_wave, q2, mass, self.flavour, self._convention))
        return packed(np.stack(squares, axis=-1), self.size)

    def _roots(self, q2: Array) -> tuple[Array, Array]:
        """√(top - m) at the low and the high end of the masses at q2, top the heaviest that there is."""
        low, high = self.system.window
        top = self.decay.m_parent - np.sqrt(q2)
        return np.sqrt(np.maximum(top - low, 0.0)), np.sqrt(np.maximum(top - high, 0.0))

    def _masses(self, q2: Array) -> Array:
        """Masses of the table, (masses, n_q2), at fixed places between the two roots."""
        first, last = self._roots(q2)
        return self.decay.m_parent - np.sqrt(q2) - (last + _NODES[:, None] * (first - last)) ** 2

    def _lagrange(self, q2: Array, mass: Array) -> list[Array]:
        """The polynomials in √(top - m) that are one at one mass of the table and zero at the others, at places."""
        first, last = self._roots(q2)
        root = np.sqrt(np.maximum(self.decay.m_parent - np.sqrt(q2) - mass, 0.0))
        width = first - last
        at = np.divide(root - last, width, out=np.zeros_like(mass), where=width > 0)
        found = []
        for k, node in enumerate(_NODES):
            others = [(at - other) / (node - other) for other in np.delete(_NODES, k)]
            found.append(np.prod(others, axis=0))
        return found

    def integrated(self, q2: Array, table: Array, weights: Array) -> Array:
        """Matrices of a table summed with weights (19, n_q2) of the coefficients, integrated over the mass.

        The parts are polynomials in √(top - m), in which roots at the end of phase space are smooth; their weights are
        integrals of the line shapes times these.
        """
        mass, measure = self.decay.mass_nodes(q2, _ORDER)
        products = self.decay.shapes(mass) * measure
        lines = np.stack([np.sum(products * one, axis=1) for one in self._lagrange(q2, mass)])
        by_mass = np.stack([self._of_parts(weights, line) for line in lines], axis=1)
        return np.asarray(np.einsum("qkwi,qkip->qwp", by_mass, table, optimize=True))

    def factors(self, columns: Mapping[str, Array]) -> Array:
        """Factors of the parts in the density of events, (n, waves, 29)."""
        basis = KPI.basis(*(columns[name] for name in KPI.angles))
        return self._of_parts(basis, self.decay.shapes(columns["m_kpi"]))

    def along_mass(self, columns: Mapping[str, Array]) -> Array:
        """Weights of the masses of a table at events, (n, masses)."""
        return np.stack(self._lagrange(columns["q2"], columns["m_kpi"]), axis=1)

    def _of_parts(self, weights: Array, products: Array) -> Array:
        """Factors of the parts, (n, waves, 29), from those of the coefficients (19, n) and line shapes (4, n)."""
        of_p, of_s, real, imaginary = (weights.T @ one for one in _COMBINED)
        p, s, re, im = products[:, :, None]
        if not self.decay.strength:
            return np.asarray((p * of_p)[:, None])
        # of exp(iδ) a_S a_P*: real part cos δ Re - sin δ Im, imaginary part cos δ Im + sin δ Re
        turned = re * imaginary - im * real
        return np.stack([p * of_p, s * of_s, re * real + im * imaginary, turned], axis=1)


_S = "S wave "  # of names of amplitudes
_COMBINED = [combine(np.eye(N_PARTS), np.eye(4)[:, i, None]) for i in range(4)]
"""Coefficients (19) of each part (29) for each product of line shapes."""


def start_of(system: KpiSystem | None) -> Mapping[str, float]:
    """Values of what floats in a Kπ system, by path; nothing without an S wave.

    >>> from darkpenguin.physics.kpi import resolve_kpi
    >>> start_of(resolve_kpi("swave")), start_of(resolve_kpi("pwave"))
    ({'kpi.fraction': 0.101, 'kpi.phase': 0.0}, {})
    """
    if system is None or system.s_wave == "none":
        return {}
    return {FRACTION: system.fraction, PHASE: system.phase}
