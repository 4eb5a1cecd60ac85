r"""Line shapes in the Kπ mass: the K*(892) (P wave) and the Kπ S wave.

Every shape here is an amplitude :math:`a(m)` of the Kπ system *including the square root of its phase space
in m*, so that :math:`|a(m)|^2` is a density in :math:`m = m_{K\pi}` (GeV⁻¹) and two shapes interfere as
:math:`a_S^*\,a_P`. It multiplies the amplitude of :math:`B\to K\pi(m)\,\ell\ell` at that mass, which carries
the phase space of the B decay (the momentum of the Kπ system in the B frame) itself:

.. math:: \frac{d\Gamma}{dq^2\,dm} = |a(m)|^2\, \frac{d\Gamma(B\to K\pi(m)\ell\ell)}{dq^2} .

Normalisation: for the P wave :math:`\int |a(m)|^2 dm = 1` over the whole range, from :math:`m_K+m_\pi` to
:math:`m_B`; then the limit of zero width is :math:`\delta(m-m_0)` and the rate is that of a stable K* of mass
m_0. A window in m keeps ``fraction(low, high)`` of it. The S wave is normalised in its own reference window,
because what is measured is its fraction there.

Masses, widths and momenta in GeV, radii in 1/GeV. Functions take scalars or arrays of m and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import momentum

Real = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
REFERENCE_WINDOW = (0.796, 0.996)
"""The window in m_Kπ (GeV) in which LHCb quotes S-wave fractions, arXiv:1606.04731."""


def blatt_weisskopf(p: npt.ArrayLike, p0: float, radius: float) -> Real:
    r"""Ratio of P-wave barrier factors, :math:`B_1'(p,p_0) = \sqrt{(1+r^2p_0^2)/(1+r^2p^2)}`.

    Eq. (50.30) of the PDG review "Resonances" (2022). It does not contain the factor p/p0 of the barrier.

    >>> float(blatt_weisskopf(0.3, 0.3, 3.0))
    1.0
    """
    x, x0 = radius * np.asarray(p, dtype=float), radius * p0
    return np.asarray(np.sqrt((1.0 + x0**2) / (1.0 + x**2)))


def running_width(
    mass: npt.ArrayLike, m0: float, width: float, m_k: float, m_pi: float, *, spin: int, radius: float = 0.0
) -> Real:
    r"""Width of a Kπ resonance of spin L as a function of m (GeV).

    .. math:: \Gamma(m) = \Gamma_0 \left(\frac{p}{p_0}\right)^{2L+1} \frac{m_0}{m}\, B_L'(p,p_0)^2

    Eq. (50.28) of the PDG review "Resonances" (2022), L = 0 or 1; p is the kaon's momentum in the Kπ frame.

    >>> round(float(running_width(0.8955, 0.8955, 0.0473, 0.4937, 0.1396, spin=1, radius=3.0)), 4)
    0.0473
    """
    m = np.asarray(mass, dtype=float)
    p, p0 = momentum(m, m_k, m_pi), float(momentum(m0, m_k, m_pi))
    barrier = blatt_weisskopf(p, p0, radius) ** 2 if spin == 1 else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        value = width * (p / p0) ** (2 * spin + 1) * (m0 / m) * barrier
    return np.asarray(np.where(p > 0.0, value, 0.0))


def _gauss_legendre(edges: Real, order: int) -> tuple[Real, Real]:
    x, w = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2.0
    return (edges[:-1, None] + half * (1.0 + x)).ravel(), (half * w).ravel()


def _grid(low: float, high: float, centre: float, width: float) -> Real:
    """Edges of panels in m, geometric around a resonance and towards the threshold."""
    step = width / 4.0 * np.expm1(np.linspace(0.0, np.log1p(4.0 * (high - low) / width), 60))
    near = 1e-6 * (high - low) * np.geomspace(1.0, 1e6, 40)
    edges = np.concatenate([[low, high], centre - step, centre + step, low + near])
    return np.unique(np.clip(edges, low, high))


def _window_integral(shape: Callable[[Real], Complex], low: float, high: float) -> float:
    x, w = _gauss_legendre(np.linspace(low, high, 41), 12)
    return float(np.sum(w * np.abs(shape(x)) ** 2))


def _check_positive(where: str, **values: float) -> None:
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0.0):
            raise InputError(f"{where}.{name} = {value}: it must be a positive number")


def _check_window(where: str, window: tuple[float, float], threshold: float, cutoff: float) -> None:
    low, high = window
    if not threshold <= low < high <= cutoff:
        raise InputError(f"{where} = {window}: two rising masses from the threshold {threshold:.4f} to {cutoff} GeV")


@dataclass(frozen=True)
class KStar:
    r"""The K*(892): relativistic P-wave Breit-Wigner with running width and barrier factors.

    .. math:: a(m) = \sqrt{\frac{2m}{\pi c}}\,\frac{\sqrt{m_0\Gamma(m)}}{m_0^2-m^2-i m_0\Gamma(m)}

    with Γ(m) of :func:`running_width` for L = 1: the barrier factor and the phase space of K* → Kπ are in the
    Γ(m) of the numerator, and c (near one) makes the integral of |a|² over the kinematic range one. In form
    this is eq. (50.27) of the PDG review "Resonances" (2022) for the production of one resonance.

    m0, width: PDG. The meson radius is poorly known, values from 1 to 5 GeV⁻¹ are in use; it moves the tails,
    not the peak. ``width = 0`` is a stable K*: it has no amplitude, and tables no dimension in m.

    >>> shape = KStar(m0=0.89555, width=0.0473, m_k=0.493677, m_pi=0.13957, m_max=5.27)
    >>> round(shape.fraction(0.796, 0.996), 2)
    0.82
    """

    m0: float
    width: float
    m_k: float
    m_pi: float
    m_max: float
    radius: float = 1.6

    def __post_init__(self) -> None:
        threshold = self.m_k + self.m_pi
        if not (np.isfinite(self.m0) and threshold < self.m0 < self.m_max):
            raise InputError(
                f"kstar.mass = {self.m0} GeV: it must lie between the Kπ threshold {threshold:.4f} GeV"
                f" and {self.m_max:.3f} GeV"
            )
        if not (np.isfinite(self.width) and self.width >= 0.0):
            raise InputError(f"kstar.width = {self.width} GeV: it must be zero (a stable K*) or positive")
        if not (np.isfinite(self.radius) and self.radius >= 0.0):
            raise InputError(f"kstar.radius = {self.radius} GeV^-1: it must be zero or positive")

    def _breit_wigner(self, mass: npt.ArrayLike) -> Complex:
        if self.width == 0.0:
            raise InputError("kstar.width = 0: a stable K* has no line shape; its mass is kstar.mass")
        m = np.asarray(mass, dtype=float)
        gamma = running_width(m, self.m0, self.width, self.m_k, self.m_pi, spin=1, radius=self.radius)
        inside = (m > self.m_k + self.m_pi) & (m < self.m_max)
        value = np.sqrt(2.0 * m / np.pi * self.m0 * gamma) / (self.m0**2 - m**2 - 1j * self.m0 * gamma)
        return np.asarray(np.where(inside, value, 0.0))

    @cached_property
    def _norm(self) -> float:
        return self._integral(self.m_k + self.m_pi, self.m_max)

    def _integral(self, low: float, high: float) -> float:
        x, w = _gauss_legendre(_grid(low, high, min(max(self.m0, low), high), self.width), 12)
        return float(np.sum(w * np.abs(self._breit_wigner(x)) ** 2))

    def amplitude(self, mass: npt.ArrayLike) -> Complex:
        """Amplitude a(m), (GeV)^-1/2, with ∫|a|² dm = 1 over the kinematic range."""
        return np.asarray(self._breit_wigner(mass) / np.sqrt(self._norm))

    def density(self, mass: npt.ArrayLike) -> Real:
        """|a(m)|², GeV⁻¹."""
        return np.asarray(np.abs(self.amplitude(mass)) ** 2)

    def fraction(self, low: float, high: float) -> float:
        """Part of the line shape between two masses (GeV), by quadrature to 1e-10; 1 or 0 for zero width."""
        if self.width == 0.0:
            return float(low <= self.m0 <= high)
        low, high = max(low, self.m_k + self.m_pi), min(high, self.m_max)
        return self._integral(low, high) / self._norm if high > low else 0.0


@dataclass(frozen=True)
class LASS:
    r"""The Kπ S wave of LASS: an effective-range background and the K0*(1430), unitary together.

    .. math::
        f(m) = \frac{1}{\cot\delta_B - i} + e^{2i\delta_B}\frac{1}{\cot\delta_R - i},\qquad
        \cot\delta_B = \frac{1}{a\,p} + \frac{r\,p}{2},\qquad
        \cot\delta_R = \frac{m_0^2-m^2}{m_0\,\Gamma(m)}

    D. Aston et al. (LASS), Nucl. Phys. B296 (1988) 493; used for B0 → K+π- μμ in arXiv:1606.04731. Γ(m) is
    :func:`running_width` for L = 0. The amplitude of production is m/p times f, hence with the two-body phase
    space :math:`a(m) \propto (m/p)\sqrt{p}\,f(m)`, normalised to one in ``window``. f lies on the unitarity
    circle; the form is used up to ``cutoff`` (1.8 GeV) and is zero above it.

    Defaults: a = 1.95 GeV⁻¹, r = 1.76 GeV⁻¹, m0 = 1.435 GeV, width 0.279 GeV: the LASS data as refitted by
    W. Dunwoodie and used by BaBar, hep-ex/0411016.

    >>> shape = LASS(m_k=0.493677, m_pi=0.13957)
    >>> round(shape.phase(0.8955), 2)         # degrees, in the middle of the K*
    39.72
    """

    m_k: float
    m_pi: float
    scattering_length: float = 1.95
    effective_range: float = 1.76
    m0: float = 1.435
    width: float = 0.279
    cutoff: float = 1.8
    window: tuple[float, float] = REFERENCE_WINDOW

    def __post_init__(self) -> None:
        _check_positive(
            "swave.lass",
            scattering_length=self.scattering_length,
            m0=self.m0,
            width=self.width,
            cutoff=self.cutoff,
        )
        _check_window("swave.lass.window", self.window, self.m_k + self.m_pi, self.cutoff)

    def elastic(self, mass: npt.ArrayLike) -> Complex:
        """The scattering amplitude f(m) = sin δ exp(iδ), dimensionless."""
        m = np.asarray(mass, dtype=float)
        p = momentum(m, self.m_k, self.m_pi)
        gamma = running_width(m, self.m0, self.width, self.m_k, self.m_pi, spin=0)
        # 1/(cot δ - i) = p / (p cot δ - i p): finite at threshold
        background = p / (1.0 / self.scattering_length + 0.5 * self.effective_range * p**2 - 1j * p)
        phase = 1.0 + 2j * background  # exp(2iδ) = 1 + 2i sin δ exp(iδ)
        resonance = self.m0 * gamma / (self.m0**2 - m**2 - 1j * self.m0 * gamma)
        return np.asarray(background + phase * resonance)

    def phase(self, mass: float) -> float:
        """Phase of f(m) in degrees."""
        return float(np.degrees(np.angle(self.elastic(mass))))

    def _raw(self, mass: npt.ArrayLike) -> Complex:
        m = np.asarray(mass, dtype=float)
        p = momentum(m, self.m_k, self.m_pi)
        inside = (p > 0.0) & (m < self.cutoff)
        return np.asarray(np.where(inside, m / np.sqrt(np.where(p > 0.0, p, 1.0)) * self.elastic(m), 0.0))

    @cached_property
    def _norm(self) -> float:
        return _window_integral(self._raw, *self.window)

    def amplitude(self, mass: npt.ArrayLike) -> Complex:
        """Amplitude a(m), (GeV)^-1/2, with ∫|a|² dm = 1 over ``window``."""
        return np.asarray(self._raw(mass) / np.sqrt(self._norm))


@dataclass(frozen=True)
class Isobar:
    r"""The Kπ S wave as a sum of resonances: K0*(1430) and K0*(700), and a constant.

    .. math::
        a(m) \propto \sqrt{p}\left[\frac{m_0\,\Gamma_0}{m_0^2-m^2-i m_0\Gamma(m)}
        + g_\kappa\,\frac{m_\kappa\,\Gamma_\kappa}{m_\kappa^2-m^2-i m_\kappa\Gamma_\kappa(m)} + g_{NR}\right]

    with the widths of :func:`running_width`, L = 0; normalised to one in ``window``. The form, two poles with
    a complex strength, follows D. Bečirević and A. Tayduganov, arXiv:1207.4004, for B → Kπ ℓℓ. The
    strengths are not measured in this decay: the defaults (g_κ = i, no constant) make a broad S wave whose
    phase rises through the K*, and serve to vary the model against :class:`LASS`. Masses and widths: PDG.

    >>> shape = Isobar(m_k=0.493677, m_pi=0.13957, coupling_700=0.5 + 0.5j)
    >>> abs(shape.amplitude(0.9)) > 0
    np.True_
    """

    m_k: float
    m_pi: float
    m0: float = 1.430
    width: float = 0.270
    mass_700: float = 0.845
    width_700: float = 0.468
    coupling_700: complex = 1j
    non_resonant: complex = 0j
    cutoff: float = 1.8
    window: tuple[float, float] = REFERENCE_WINDOW

    def __post_init__(self) -> None:
        _check_positive(
            "swave.isobar",
            m0=self.m0,
            width=self.width,
            mass_700=self.mass_700,
            width_700=self.width_700,
            cutoff=self.cutoff,
        )
        for name, value in (("coupling_700", self.coupling_700), ("non_resonant", self.non_resonant)):
            if not np.isfinite(value):
                raise InputError(f"swave.isobar.{name} = {value}: it must be a finite number")
        _check_window("swave.isobar.window", self.window, self.m_k + self.m_pi, self.cutoff)

    def _raw(self, mass: npt.ArrayLike) -> Complex:
        m = np.asarray(mass, dtype=float)
        p = momentum(m, self.m_k, self.m_pi)
        total = np.full(m.shape, self.non_resonant, dtype=complex)
        for m0, width, coupling in (
            (self.m0, self.width, 1.0),
            (self.mass_700, self.width_700, self.coupling_700),
        ):
            gamma = running_width(m, m0, width, self.m_k, self.m_pi, spin=0)
            total = total + coupling * m0 * width / (m0**2 - m**2 - 1j * m0 * gamma)
        inside = (p > 0.0) & (m < self.cutoff)
        return np.asarray(np.where(inside, np.sqrt(p) * total, 0.0))

    @cached_property
    def _norm(self) -> float:
        return _window_integral(self._raw, *self.window)

    def amplitude(self, mass: npt.ArrayLike) -> Complex:
        """Amplitude a(m), (GeV)^-1/2, with ∫|a|² dm = 1 over ``window``."""
        return np.asarray(self._raw(mass) / np.sqrt(self._norm))
