r"""The Kπ system of B → Kπ ℓℓ: the K*(892) with its width, the S wave, and their interference.

Of B → Kπ and an invisible pair, the K* with its width.

With the line shapes a(m) of ``lineshapes.py``, which contain the phase space in m = m_Kπ, and the helicity
amplitudes at the mass m, which contain that of the B decay,

.. math:: \frac{d\Gamma}{dq^2\,dm\,d\Omega} = \frac{9}{32\pi}\Big[|a_P|^2 \sum_i J_i f_i + |a_S|^2
          \sum_i S_i g_i + \sum_i \big(\mathrm{Re}(a_S a_P^*)\,A_i + \mathrm{Im}(a_S a_P^*)\,B_i\big) h_i\Big] .

J, S, A, B depend on q2 and slowly on m: the *parts*, 29 numbers. Only the line shapes vary quickly with m.

**S wave.** :math:`B\to (K\pi)_S\,\ell\ell` is a decay to a scalar through the axial current, so its
amplitudes are those of B → P ℓℓ with C' → -C' (arXiv:1207.4004, arXiv:1209.1525), times i as in the P wave:

.. math::
   H^V_S &= \tfrac{iN\sqrt\lambda}{2\sqrt{q^2}}f_+\,[C_9-C_9'+\tfrac{2m_b}{m_B}(C_7-C_7')],\qquad
   H^A_S = \tfrac{iN\sqrt\lambda}{2\sqrt{q^2}}f_+\,[C_{10}-C_{10}']\\
   H_P &= \tfrac{iN m_B^2}{2}f_0\,[\tfrac{C_P-C_P'}{m_b}+\tfrac{2m_\ell}{q^2}(C_{10}-C_{10}')],\qquad
   H_S = \tfrac{iN m_B^2}{2}f_0\,\tfrac{C_S-C_S'}{m_b}

with one form factor, :math:`f_+ \propto 1/(1-q^2/m^2)`, m = 5.829 GeV (the B_s1, 1+), and the relations of
the large-energy limit f_T/(m_B+m) = f_+/m_B and f_0 = (1-q2/m_B²) f_+ (arXiv:hep-ph/9812358). Nothing fixes
its size but data: F_S = 0.101 ± 0.017 for 1.1 < q2 < 6 GeV² and 0.796 < m < 0.996 GeV (B0 → K+π- μμ,
arXiv:1606.04731); the strength reproduces it in the Standard Model. Neither is the phase between the waves
at production: ``phase`` is added to that of the S-wave line shape, zero by default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from ..kinematics.base.checks import nearest, validate
from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import kallen, q2_max
from .amplitudes import effective_wilson, helicity_amplitudes, nonlocal_physics, smooth_inputs, standard_model
from .angular import Convention, breakpoints, coefficients_of, event_signs, quadrature
from .channels import KPI_COEFFICIENTS, S_COEFFICIENTS, V_COEFFICIENTS, Channel
from .final_state import mass_of
from .invisible import wide_coefficients
from .lineshapes import LASS, REFERENCE_WINDOW, Isobar, KStar
from .local import Array, ComplexArray
from .models import Model
from .swave import swave_coefficients, swave_rate
from .theory import Theory

N_PARTS = len(V_COEFFICIENTS) + 3 + 2 * 7
"""P wave (12), S wave (3), real (7) and imaginary (7) interference."""
FRACTION_WINDOW = (1.1, 6.0)
"""Range of q2 (GeV²) in which the S-wave fraction is measured, arXiv:1606.04731."""
_POLE = 5.829
_CHEBYSHEV = 24
_S_ROWS = np.array([V_COEFFICIENTS.index(name.lstrip("SI")) for name in S_COEFFICIENTS])


class KpiSystem(BaseModel):
    """How the Kπ pair is described; frozen, unknown keys are refused.

    >>> KpiSystem(s_wave="lass", m_max=1.1).window
    (0.796, 1.1)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    line_shape: Literal["narrow", "breit-wigner"] = "breit-wigner"
    """``narrow``: a K* of zero width, no column ``m_kpi``; ``breit-wigner``: relativistic, running width."""

    m_min: float = REFERENCE_WINDOW[0]
    """Lower end of the window in m_Kπ (GeV)."""

    m_max: float = REFERENCE_WINDOW[1]
    """Upper end of the window (GeV)."""

    width: float | None = None
    """Width of the K* (GeV); the PDG's if None."""

    radius: float = 1.6
    """Meson radius in the barrier factor of the K* (1/GeV)."""

    s_wave: Literal["none", "lass", "isobar"] = "none"
    """Line shape of the S wave."""

    fraction: float = 0.101
    """S-wave fraction F_S in the SM for 1.1 < q2 < 6 GeV² and 0.796 < m_Kπ < 0.996 GeV: fixes its strength."""

    phase: float = 0.0
    """Phase added to the S wave (degrees)."""

    factorised: bool = False
    """Draw the mass from the line shape alone, as EvtGen does: the decay's rate at a mass has no say in it."""

    @field_validator("m_min", "m_max", "width", "radius", "fraction", "phase")
    @classmethod
    def _finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("must be a finite number")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> KpiSystem:
        if not 0.0 < self.m_min < self.m_max:
            raise InputError(f"kpi: m_min = {self.m_min} and m_max = {self.m_max} GeV: needs 0 < m_min < m_max")
        if not 0.0 <= self.fraction < 1.0:
            raise InputError(f"kpi.fraction = {self.fraction}: an S-wave fraction is 0 or more and below 1")
        if self.width is not None and not self.width >= 1e-6:
            raise InputError(
                f"kpi.width = {self.width} GeV: needs 1e-6 or more; a K* without width is line_shape = 'narrow'"
            )
        if self.narrow and self.s_wave != "none":
            raise InputError(f"kpi.s_wave = {self.s_wave!r}: an S wave needs line_shape = 'breit-wigner'")
        if self.factorised and (self.narrow or self.s_wave != "none"):
            raise InputError("kpi.factorised = true: it is of a K* with its width and no S wave")
        return self

    @property
    def narrow(self) -> bool:
        """Whether the K* has no width."""
        return self.line_shape == "narrow"

    @property
    def window(self) -> tuple[float, float]:
        """The window in m_Kπ (GeV)."""
        return self.m_min, self.m_max


PRESETS: Mapping[str, KpiSystem] = MappingProxyType(
    {
        "narrow": KpiSystem(line_shape="narrow"),
        "pwave": KpiSystem(),
        "swave": KpiSystem(s_wave="lass"),
        "evtgen": KpiSystem(radius=3.0, m_min=0.6656, m_max=1.605, factorised=True),
    }
)
"""Kπ systems by name.

``evtgen`` is a K*0 in EvtGen (EvtRelBreitWignerBarrierFact.cpp): the Breit-Wigner of `lineshapes.KStar` with a radius
of 3 GeV⁻¹, from 0.23 GeV below its mass (``evt.pdl``) to 15 widths above, and then a decay at that mass.
"""


def resolve_kpi(value: Any) -> KpiSystem:
    """Kπ system from a preset's name, with changes if any, or from its fields.

    >>> resolve_kpi("swave").s_wave, resolve_kpi({"m_max": 1.2}).m_max
    ('lass', 1.2)
    >>> resolve_kpi("swave,m_max=1.1,phase=30").window
    (0.796, 1.1)
    """
    if isinstance(value, KpiSystem):
        return value
    if isinstance(value, str):
        name, *changes = value.split(",")
        if name not in PRESETS:
            raise InputError(f"kpi = {value!r}: no such Kπ system; {nearest(name, PRESETS)}")
        table = PRESETS[name].model_dump()
        for change in changes:
            key, equals, text = change.partition("=")
            if not equals:
                raise InputError(f"kpi = {value!r}: write changes as KEY=VALUE, such as {name},m_max=1.1")
            table[key.strip()] = text.strip()
        return validate(KpiSystem, table, "kpi")
    if isinstance(value, Mapping):
        return validate(KpiSystem, value, "kpi")
    raise InputError(f"kpi = {value!r}: write {', '.join(PRESETS)}, or a table of settings")


@dataclass(frozen=True)
class KpiDecay:
    """B → Kπ ℓℓ of one channel, model and Kπ system.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> decay = KpiDecay(get_channel("B0->K*0mumu"), get_model("sm"), resolve_kpi("swave"))
    >>> decay.parts(np.array([3.0]), 0.9, flavour=1).shape
    (29, 1)
    """

    channel: Channel
    model: Model
    system: KpiSystem

    def __post_init__(self) -> None:
        name = self.channel.name
        shapes = self.channel.shapes
        if "pwave" not in shapes:
            width = 1e3 * self.channel.transition.width
            what = f"the {self.channel.hadron} has no line shape here ({width:.1f} MeV wide)" if width else "no K*"
            raise InputError(f"kpi: {name}: {what}; it takes kpi = 'narrow'")
        if "swave" not in shapes and self.system.s_wave != "none":
            raise InputError(
                f"kpi.s_wave = {self.system.s_wave!r}: {name} has no charged leptons, for which it is "
                "known; it takes kpi = 'pwave' or 'narrow'"
            )
        low, high = self.system.window
        if low < self.threshold or high >= self.m_parent - 2.0 * self.m_lepton:
            raise InputError(
                f"kpi: the window {low} to {high} GeV: {name} needs m_Kπ from {self.threshold:.4f} to "
                f"{self.m_parent - 2.0 * self.m_lepton:.4f} GeV"
            )
        if self.system.s_wave != "none" and high > self.s_line.cutoff:
            raise InputError(f"kpi.m_max = {high} GeV: the S wave is known up to {self.s_line.cutoff} GeV")

    @property
    def m_parent(self) -> float:
        """Mass of the B (GeV)."""
        return self.model.parameters["m_" + self.channel.parent]

    @property
    def m_lepton(self) -> float:
        """Mass of the lepton (GeV); zero without charged leptons."""
        return self.channel.lepton_mass(self.model.parameters)

    @property
    def daughter_masses(self) -> tuple[float, float]:
        """Masses of K and π (GeV)."""
        kaon, pion = self.channel.transition.daughters
        return mass_of(kaon, self.model.parameters), mass_of(pion, self.model.parameters)

    @property
    def threshold(self) -> float:
        """Smallest m_Kπ (GeV)."""
        return sum(self.daughter_masses)

    @cached_property
    def p_line(self) -> KStar:
        """Line shape of the K*."""
        m_k, m_pi = self.daughter_masses
        width = self.channel.transition.width if self.system.width is None else self.system.width
        m0 = self.model.parameters["m_" + self.channel.hadron]
        return KStar(m0=m0, width=width, m_k=m_k, m_pi=m_pi, m_max=self.m_parent, radius=self.system.radius)

    @cached_property
    def s_line(self) -> LASS | Isobar:
        """Line shape of the S wave."""
        m_k, m_pi = self.daughter_masses
        shape = Isobar if self.system.s_wave == "isobar" else LASS
        return shape(m_k=m_k, m_pi=m_pi)

    @cached_property
    def strength(self) -> float:
        """Factor of the S-wave amplitude, from the fraction F_S; zero without an S wave."""
        if self.system.s_wave == "none" or self.system.fraction == 0.0:
            return 0.0
        return _strength(self.channel.partner("mu"), self.system, self.model.theory)

    def q2_limits(self, mass: float) -> tuple[float, float]:
        """Threshold and endpoint of q2 (GeV²) at a mass of the Kπ pair."""
        return float(breakpoints(self.channel, self.model)[0]), q2_max(self.m_parent, mass)

    def shapes(self, mass: npt.ArrayLike) -> Array:
        """|a_P|², |a_S|², Re and Im of a_S a_P* at m (GeV), in 1/GeV; shape (4, ...)."""
        p = self.p_line.amplitude(mass)
        if self.system.factorised:
            p = p / np.sqrt(self._relative_rate(mass))
        s = np.zeros_like(p)
        if self.strength:
            s = self.s_line.amplitude(mass) * np.exp(1j * np.radians(self.system.phase))
        both = s * p.conj()
        return np.stack([np.abs(p) ** 2, np.abs(s) ** 2, both.real, both.imag])

    def _relative_rate(self, mass: npt.ArrayLike) -> Array:
        """Rate of the decay at a mass, in units of that at the K*'s own."""
        low, high = self.system.window
        x = 2.0 * (np.asarray(mass, dtype=float) - low) / (high - low) - 1.0
        return np.asarray(np.exp(np.polynomial.chebyshev.chebval(np.clip(x, -1.0, 1.0), self._rate_series)))

    @cached_property
    def _rate_series(self) -> Array:
        """Chebyshev series of the logarithm of that, on the window."""
        low, high = self.system.window
        x = np.cos(np.pi * (np.arange(_CHEBYSHEV) + 0.5) / _CHEBYSHEV)
        masses = [*(0.5 * (low + high) + 0.5 * (high - low) * x), self.p_line.m0]
        selected = [self.q2_limits(min(masses))]
        wave = [sum(self._integrated(m, flavour, selected, "lhcb")[:4] for flavour in (1, -1)) for m in masses]
        rates = np.array(wave) @ [1.5, 0.75, -0.5, -0.25]
        return np.polynomial.chebyshev.chebfit(x, np.log(rates[:-1] / rates[-1]), _CHEBYSHEV - 1)

    def parts(self, q2: npt.ArrayLike, mass: npt.ArrayLike, flavour: int, convention: Convention = "lhcb") -> Array:
        """The 29 parts of the density of events of one flavour, without line shapes; zero outside phase space.

        q2 (GeV²) of shape (n,), ``mass`` (GeV) broadcasts against it; result (29, ...) in 1/GeV, in the order
        J (12), S1c S2c S6c, A (7), B (7), with the signs of the convention.
        """
        s = np.asarray(q2, dtype=float)
        m = np.asarray(mass, dtype=float)
        inside = (s >= 4.0 * self.m_lepton**2) & (np.sqrt(s) < self.m_parent - m)
        if s.ndim == 1 and m.ndim < 2 and not inside.all():
            result = np.zeros((N_PARTS, len(s)))
            result[:, inside] = self.parts(s[inside], np.broadcast_to(m, s.shape)[inside], flavour, convention)
            return result
        channel, conjugate = self.channel, flavour > 0
        if channel.lepton is None:
            signs = event_signs(channel, flavour, convention)
            p_wave = wide_coefficients(channel, self.model, s, flavour, m)
            found = np.zeros((N_PARTS, *p_wave.shape[1:]))
            found[:12] = p_wave * signs.reshape(-1, *(1,) * len(p_wave.shape[1:]))
            return np.asarray(found * inside)
        inputs = smooth_inputs(channel, self.model, s, conjugate)
        h = helicity_amplitudes(channel, self.model, s, conjugate, m, inputs)
        h_s = s_wave_amplitudes(channel, self.model, s, m, conjugate, inputs[1]) if self.strength else {}
        found = self.parts_of(h, h_s, s, m, flavour, convention)
        return np.asarray(found * inside)

    def parts_of(
        self,
        p_wave: Mapping[str, ComplexArray],
        s_wave: Mapping[str, ComplexArray],
        q2: Array,
        mass: npt.ArrayLike,
        flavour: int,
        convention: Convention = "lhcb",
    ) -> Array:
        """The 29 parts of given amplitudes of the P wave and of the S wave, `s_wave_amplitudes`, inside phase space.

        >>> from darkpenguin.physics.channels import get_channel
        >>> from darkpenguin.physics.models import get_model
        >>> channel, model, q2 = get_channel("B0->K*0mumu"), get_model("sm"), np.array([3.0])
        >>> decay = KpiDecay(channel, model, resolve_kpi("swave"))
        >>> p_wave = helicity_amplitudes(channel, model, q2, True, 0.9)
        >>> s_wave = s_wave_amplitudes(channel, model, q2, 0.9, True)
        >>> found = decay.parts_of(p_wave, s_wave, q2, 0.9, 1)
        >>> bool((found == decay.parts(q2, 0.9, 1)).all())
        True
        """

        def j(h: Mapping[str, ComplexArray]) -> Array:
            return coefficients_of(self.channel, h, q2, mass, self.model.theory)

        signs = event_signs(self.channel, flavour, convention)
        of_p = j(p_wave)
        shape = of_p.shape[1:]
        found = np.zeros((N_PARTS, *shape))
        found[:12] = of_p * signs.reshape(-1, *(1,) * len(shape))
        if s_wave:
            scaled = {name: self.strength * value for name, value in s_wave.items()}
            real = swave_coefficients(j, p_wave, scaled, of_p)
            imaginary = swave_coefficients(j, p_wave, {name: 1j * value for name, value in scaled.items()}, of_p)
            s_signs = signs[_S_ROWS].reshape(-1, *(1,) * len(shape))
            found[12:22] = real * s_signs
            found[22:] = (imaginary * s_signs)[3:]
        return found

    def density(self, q2: npt.ArrayLike, mass: npt.ArrayLike, flavour: int, convention: Convention = "lhcb") -> Array:
        """The 19 coefficients of the density of events in q2, m_Kπ and the angles (1/GeV²): KPI_COEFFICIENTS.

        Zero outside the window in m_Kπ. Shapes as in ``parts``.
        """
        m = np.asarray(mass, dtype=float)
        inside = (m >= self.system.m_min) & (m <= self.system.m_max)
        return combine(self.parts(q2, m, flavour, convention), self.shapes(m)) * inside

    def mass_nodes(self, q2: npt.ArrayLike, order: int = 40) -> tuple[Array, Array]:
        r"""Nodes and weights, shape (order, n), of an integral over m_Kπ in the window at q2 (n,).

        Gauss-Legendre in :math:`\arctan[(m-m_0)/(\Gamma/2)]`, with a sine that makes a square root at the
        end of phase space smooth. Where nothing is allowed the weights are zero.
        """
        s = np.atleast_1d(np.asarray(q2, dtype=float))
        low, high = self.system.window
        top = np.clip(self.m_parent - np.sqrt(s), low, high)
        m0, half = self.p_line.m0, 0.5 * self.p_line.width
        a, b = np.arctan((low - m0) / half), np.arctan((top - m0) / half)
        x, w = np.polynomial.legendre.leggauss(order)
        theta = 0.25 * np.pi * (x[:, None] + 1.0)
        angle = a + (b - a) * np.sin(theta)
        mass = m0 + half * np.tan(angle)
        weight = (b - a) * np.cos(theta) * 0.25 * np.pi * w[:, None] * half * (1.0 + np.tan(angle) ** 2)
        return np.clip(mass, low, np.nextafter(top, low)), weight

    def spectrum(self, q2: npt.ArrayLike, flavour: int, convention: Convention = "lhcb") -> Array:
        """The 19 coefficients integrated over the window in m_Kπ, (19, n) in 1/GeV, at q2 (n,) in GeV²."""
        s = np.atleast_1d(np.asarray(q2, dtype=float))
        result = np.empty((len(KPI_COEFFICIENTS), len(s)))
        for first in range(0, len(s), 1024):
            some = s[first : first + 1024]
            mass, weight = self.mass_nodes(some)
            result[:, first : first + 1024] = (self.density(some, mass, flavour, convention) * weight).sum(axis=1)
        return result

    def mass_spectrum(
        self,
        mass: npt.ArrayLike,
        flavour: int,
        selected: Sequence[tuple[float, float]],
        convention: Convention = "lhcb",
    ) -> Array:
        """The 19 coefficients integrated over ranges of q2 (GeV²), (19, n), at m_Kπ (n,) in GeV.

        The parts, integrated, are smooth functions of the mass: Chebyshev polynomials, on intervals that end where
        the end of phase space passes the edge of a range. Their error is below 1e-6 of the rate; the line shapes are
        exact.
        """
        m = np.atleast_1d(np.asarray(mass, dtype=float))
        low, high = self.system.window
        crossings = self.m_parent - np.sqrt(np.asarray(selected).ravel())
        edges = [low, *sorted({float(x) for x in crossings if low < x < high}), high]
        x = np.cos(np.pi * (np.arange(_CHEBYSHEV) + 0.5) / _CHEBYSHEV)
        parts = np.zeros((N_PARTS, len(m)))
        for a, b in pairwise(edges):
            inside = (m >= a) & (m <= b)
            if not inside.any():
                continue
            nodes = [self._integrated(0.5 * (a + b) + 0.5 * (b - a) * t, flavour, selected, convention) for t in x]
            coefficients = np.polynomial.chebyshev.chebfit(x, np.array(nodes), _CHEBYSHEV - 1)
            parts[:, inside] = np.polynomial.chebyshev.chebval((2.0 * m[inside] - a - b) / (b - a), coefficients)
        return combine(parts, self.shapes(m)) * ((m >= low) & (m <= high))

    def _integrated(
        self, mass: float, flavour: int, selected: Sequence[tuple[float, float]], convention: Convention
    ) -> Array:
        """The 29 parts at one mass, integrated over ranges of q2."""
        total = np.zeros(N_PARTS)
        end = q2_max(self.m_parent, mass)
        for low, high in selected:
            if low < end:
                q2, weights = quadrature(self.breakpoints(mass), low, min(high, end))
                total += self.parts(q2, mass, flavour, convention) @ weights
        return total

    def breakpoints(self, mass: float | None = None) -> Array:
        """q2 (GeV²) between which the density is smooth: at one mass, or integrated over the window."""
        masses = self.system.window[::-1] if mass is None else (mass,)
        ends = [q2_max(self.m_parent, m) for m in masses]
        known = breakpoints(self.channel, self.model)
        low = known[0]
        nominal = self.channel.q2_limits(self.model.parameters)[1]
        kinks = standard_model(self.channel, self.model.theory).kinks
        points = [known[known < nominal - 0.5], kinks[kinks > low]]
        points += [end - 0.5 * 2.0 ** -np.arange(0.0, 10.0) for end in ends] + [np.array([low, *ends])]
        if mass is None:
            points.append(ends[0] + 0.5 * 2.0 ** -np.arange(0.0, 10.0))
        for one in self.model.mediators.values():
            reach = 0.25 * one.mass * one.shape_width(self.model.width) * 2.0 ** np.arange(0.0, 12.0)
            points += [one.mass**2 + reach, one.mass**2 - reach, np.array([one.mass**2])]
        if self.channel.lepton is not None:
            theory = nonlocal_physics(self.channel, self.model.theory)
            points += [mark.points(ends[-1]) for part in theory for mark in part.marks(self.channel, "fixed")]
        together = np.unique(np.concatenate(points))
        together = together[(together >= low) & (together <= ends[-1])]
        keep = np.concatenate([[True], np.diff(together) > 1e-9 * np.maximum(together[1:], low)])
        keep[-1] = True
        return np.asarray(together[keep])


def combine(parts: Array, shapes: Array) -> Array:
    """Coefficients of the density (19, ...) from the 29 parts and the four line-shape products of ``shapes``.

    >>> combine(np.ones((29, 1)), np.array([[1.0], [0.5], [0.2], [0.1]]))[[0, 4, 12], 0].round(6).tolist()
    [1.5, 1.0, 0.3]
    """
    p, s, real, imaginary = shapes
    waves = p * parts[:12]
    for row, names in ((12, (0, 1)), (13, (2, 3)), (14, (7, 8))):  # 1s 1c, 2s 2c, 6s 6c
        waves[names[0]] += s * parts[row]
        waves[names[1]] += s * parts[row]
    return np.concatenate([waves, real * parts[15:22] + imaginary * parts[22:29]])


def s_wave_amplitudes(
    channel: Channel,
    model: Model,
    q2: Array,
    hadron_mass: npt.ArrayLike,
    conjugate: bool = False,
    wilson: Mapping[str, ComplexArray] | None = None,
) -> dict[str, ComplexArray]:
    """Amplitudes 0V, 0A, P, S of B → (Kπ)_S ℓℓ for f_+(0) = 1, without line shape: see the module's text.

    ``wilson`` are the effective coefficients at q2 where they are known already.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> sorted(s_wave_amplitudes(get_channel("B0->K*0mumu"), get_model("sm"), np.array([2.0]), 0.9))
    ['0A', '0V', 'P', 'S']
    """
    sm, m_l = standard_model(channel, model.theory), channel.lepton_mass(model.parameters)
    c = effective_wilson(channel, model, q2, conjugate) if wilson is None else wilson
    n = sm.prefactors[int(conjugate)]
    momentum = np.sqrt(kallen(q2, sm.m_parent**2, np.asarray(hadron_mass, dtype=float) ** 2))
    form = 1.0 / (1.0 - q2 / _POLE**2)
    wave = 0.5j * n * momentum / np.sqrt(q2) * form
    scalar = 0.5j * n * sm.m_parent**2 * (1.0 - q2 / sm.m_parent**2) * form * np.ones_like(momentum)
    c10 = c["a"] - c["ap"]
    return {
        "0V": wave * (c["v"] - c["vp"] + c.get("v0", 0.0) + 2.0 * sm.m_b / sm.m_parent * (c["7"] - c["7p"])),
        "0A": wave * c10,
        "P": scalar * ((c["p"] - c["pp"]) / sm.m_b + 2.0 * m_l / q2 * c10),
        "S": scalar * (c["s"] - c["sp"]) / sm.m_b,
    }


def s_wave_fraction(
    decay: KpiDecay,
    q2: tuple[float, float] = FRACTION_WINDOW,
    window: tuple[float, float] | None = None,
) -> float:
    """F_S, the S wave's part of the rate of both flavours in a range of q2 (GeV²) and window of m_Kπ (GeV).

    By quadrature; the window is that of the Kπ system if None.

    >>> from darkpenguin.physics.channels import get_channel
    >>> from darkpenguin.physics.models import get_model
    >>> decay = KpiDecay(get_channel("B0->K*0mumu"), get_model("sm"), resolve_kpi("swave"))
    >>> round(s_wave_fraction(decay), 6)
    0.101
    """
    p, s = _rates(decay, q2, decay.system.window if window is None else window)
    return s / (p + s)


def _rates(decay: KpiDecay, q2: tuple[float, float], window: tuple[float, float]) -> tuple[float, float]:
    """Rates of the P and the S wave, both flavours."""
    nodes, weights = quadrature(decay.breakpoints(), *q2)
    m0, half = decay.p_line.m0, 0.5 * decay.p_line.width
    x, w = np.polynomial.legendre.leggauss(60)
    a, b = (math.atan((edge - m0) / half) for edge in window)
    angle = 0.5 * (a + b) + 0.5 * (b - a) * x
    mass = m0 + half * np.tan(angle)
    mass_weights = w * 0.5 * (b - a) * half * (1.0 + np.tan(angle) ** 2)
    shapes = decay.shapes(mass)
    p_rate = s_rate = 0.0
    for flavour in (1, -1):
        parts = decay.parts(nodes, mass[:, None], flavour)
        p = np.tensordot([1.5, 0.75, -0.5, -0.25], parts[:4], axes=1)
        p_rate += float((shapes[0] * mass_weights) @ p @ weights)
        s_rate += float((shapes[1] * mass_weights) @ swave_rate(parts[12:22]) @ weights)
    return p_rate, s_rate


@lru_cache(maxsize=16)
def _strength(channel: Channel, system: KpiSystem, theory: Theory) -> float:
    reference = system.model_copy(update={"m_min": REFERENCE_WINDOW[0], "m_max": REFERENCE_WINDOW[1]})
    decay = KpiDecay(channel, Model(theory=theory), reference)
    object.__setattr__(decay, "strength", 1.0)  # what is sought, kept where the property keeps it
    p, s = _rates(decay, FRACTION_WINDOW, REFERENCE_WINDOW)
    return math.sqrt(system.fraction / (1.0 - system.fraction) * p / s)
