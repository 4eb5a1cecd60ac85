r"""Where the B comes from: the Υ(4S) at Belle II, pp collisions at LHCb, or a user's histogram.

A source is a frozen dataclass that turns its physics into a few numbers once, and a scalar function that
turns uniforms and those numbers into the momentum of one B in the laboratory, by inverse cumulative
distributions or order statistics: nothing is rejected. Nothing here draws random numbers. Momenta and
masses in GeV, angles in radians; z is the axis of the detector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .base.errors import InputError
from .base.jit import scalar
from .frames import Three, boost
from .trig import circle, exponential, logarithm

Real = Any
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProtonSpectrum:
    r"""Shape of the cross-section of B± in pp collisions, fitted to LHCb's measurement.

    .. math::
        \frac{d^2\sigma}{dy\,dp_T} = \frac{\sigma_0}{1+e^{(y-a)/w}}\;
        \frac{2(n-1)\,p_T}{p_0^2}\left(1+\frac{p_T^2}{p_0^2}\right)^{-n},\quad
        p_0 = p_{00} + p_{01}(y-3),\; n = n_0 + n_1(y-3)

    A plateau in rapidity that ends at a, and a power law in p_T that softens with y: both have a cumulative
    distribution that is inverted in closed form.

    The seven numbers are a χ² fit of this form, integrated over each bin, to the 135 double-differential
    values of LHCb, arXiv:1710.04921 (2 < y < 4.5, p_T < 40 GeV; B+ and B- together) at 7 TeV: χ² = 67,
    and at 13 TeV: χ² = 63, with statistical and systematic uncertainties added in quadrature as if
    uncorrelated. Above 40 GeV (1e-3 of the rate) and outside 2 < y < 4.5 it is an extrapolation; other
    energies interpolate the parameters in log √s, and 8 TeV is such an interpolation, not a fit. B0 are
    taken to have the spectrum of B+ (isospin), and so are B_s, for want of a fit of their own.

    ``sigma_0`` is in microbarn, per unit of rapidity.
    """

    sigma_0: float
    a: float
    w: float
    p00: float
    p01: float
    n0: float
    n1: float

    def rapidity_density(self, y: npt.ArrayLike) -> Array:
        """dσ/dy in microbarn.

        >>> round(float(proton_spectrum(13.0).rapidity_density(2.25)), 1)   # measured: 45.6 ± 3.7
        45.3
        """
        return np.asarray(self.sigma_0 / (1.0 + np.exp((np.asarray(y, dtype=float) - self.a) / self.w)))

    def density(self, pt: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """d²σ/(dy dp_T) in microbarn/GeV."""
        p, rapidity = np.asarray(pt, dtype=float), np.asarray(y, dtype=float)
        p0, n = self.p00 + self.p01 * (rapidity - 3.0), self.n0 + self.n1 * (rapidity - 3.0)
        shape = 2.0 * (n - 1.0) * p / p0**2 * (1.0 + (p / p0) ** 2) ** (-n)
        return np.asarray(self.rapidity_density(rapidity) * shape)


_SPECTRA = {
    7.0: ProtonSpectrum(24.999, 3.8527, 0.5867, 6.8351, -0.1958, 3.2626, 0.2796),
    13.0: ProtonSpectrum(47.872, 3.9968, 0.6108, 6.6360, 0.0659, 2.9813, 0.2521),
}
ENERGIES = (7.0, 14.0)
"""Range of √s in TeV for which a spectrum is offered."""


def proton_spectrum(energy: float) -> ProtonSpectrum:
    """Spectrum at a pp energy √s in TeV: 7 and 13 fitted, others interpolated in log √s (to 14 TeV).

    >>> proton_spectrum(8.0).w > proton_spectrum(7.0).w
    True
    """
    if not ENERGIES[0] <= energy <= ENERGIES[1]:
        raise InputError(f"beam.energy = {energy} TeV: from {ENERGIES[0]:g} to {ENERGIES[1]:g} TeV only")
    t = math.log(energy / 7.0) / math.log(13.0 / 7.0)
    low, high = _SPECTRA[7.0], _SPECTRA[13.0]
    names = ProtonSpectrum.__dataclass_fields__
    return ProtonSpectrum(**{x: (1 - t) * getattr(low, x) + t * getattr(high, x) for x in names})


@dataclass(frozen=True)
class ProtonBeam:
    """B mesons from pp collisions towards LHCb (positive rapidity), √s in TeV.

    >>> beam = ProtonBeam(energy=13.0)
    >>> len(beam.constants())
    8
    """

    energy: float = 13.0
    rapidity: tuple[float, float] = (2.0, 4.5)

    def __post_init__(self) -> None:
        proton_spectrum(self.energy)
        low, high = self.rapidity
        if not (math.isfinite(low) and math.isfinite(high) and 0.0 <= low < high <= 6.0):
            raise InputError(f"beam.rapidity = {self.rapidity}: two rising numbers from 0 to 6 (measured: 2 to 4.5)")

    @property
    def spectrum(self) -> ProtonSpectrum:
        """The cross-section's shape at this energy."""
        return proton_spectrum(self.energy)

    def constants(self) -> tuple[float, ...]:
        """What `proton_momentum` needs, in its order."""
        s, (low, high) = self.spectrum, self.rapidity
        start, end = (1.0 + math.exp((s.a - y) / s.w) for y in (low, high))
        return start, math.log(end / start), s.a, s.w, s.p00, s.p01, s.n0, s.n1


@scalar
def proton_momentum(real: Any, u_y: Real, u_pt: Real, u_phi: Real, m_b: Real, constants: tuple[Real, ...]) -> Three:
    r"""Momentum of a B from pp, from three uniforms and `ProtonBeam.constants`.

    With :math:`T(u) = (1+e^{(a-y_1)/w})^{1-u}(1+e^{(a-y_2)/w})^{u}`, :math:`y = a - w\ln(T-1)`; and
    :math:`p_T = p_0\sqrt{u^{-1/(n-1)}-1}`.

    >>> p = proton_momentum(np.float64, 0.5, 0.5, 0.25, 5.28, ProtonBeam(13.0).constants())
    >>> round(float(p[2]))
    67
    """
    start, growth, a, w, p00, p01, n0, n1 = constants
    y = a - w * logarithm(real, start * exponential(real, u_y * growth) - real(1))
    p0, n = p00 + p01 * (y - real(3)), n0 + n1 * (y - real(3))
    power = exponential(real, -logarithm(real, u_pt) / (n - real(1)))
    pt = p0 * math.sqrt(max(power - real(1), real(0)))
    s, c = circle(real, u_phi - real(0.5))
    e = exponential(real, y)
    return pt * c, pt * s, math.sqrt(m_b * m_b + pt * pt) * real(0.5) * (e - real(1) / e)


@dataclass(frozen=True)
class UpsilonBeam:
    r"""B mesons from e+e- → Υ(4S) → B B-bar in asymmetric collisions.

    Defaults: SuperKEKB's 7.007 GeV electrons on 4.000 GeV positrons crossing at 83 mrad (Belle II
    Technical Design Report, arXiv:1011.0352; nominal energies). z is Belle II's axis, which halves the
    crossing angle: electrons move along (sin α, 0, cos α), positrons along (sin α, 0, -cos α), α = 41.5
    mrad. βγ of the Υ(4S) is then 0.287.

    The energy in the centre of mass spreads by ``spread`` (GeV, one standard deviation, about 5 MeV at
    SuperKEKB) under the excitation curve :math:`p^{*3}/[(s-m^2)^2+m^2\Gamma^2]` of the Υ(4S) (PDG mass
    and width), above the B B-bar threshold. The B goes into sin²θ about the direction of the electrons in
    the centre of mass. The boost itself is kept at its nominal value: its own spread is 1e-3.

    >>> beam = UpsilonBeam()
    >>> round(beam.mass, 3), round(beam.momentum[2] / beam.mass, 3)
    (10.579, 0.284)
    """

    electron: float = 7.007
    positron: float = 4.0
    crossing: float = 0.083
    spread: float = 0.005
    resonance_mass: float = 10.5794
    resonance_width: float = 0.0205

    def __post_init__(self) -> None:
        for name in ("electron", "positron"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise InputError(f"beam.{name} = {getattr(self, name)} GeV: an energy must be positive")
        if not 0.0 <= self.crossing < 1.0:
            raise InputError(f"beam.crossing = {self.crossing}: an angle from 0 to 1 rad (SuperKEKB: 0.083)")
        if not 0.0 <= self.spread <= 0.1:
            raise InputError(f"beam.spread = {self.spread} GeV: from 0 to 0.1 (SuperKEKB: 0.005)")

    @property
    def momentum(self) -> tuple[float, float, float]:
        """Momentum of the Υ(4S) in the laboratory."""
        half = self.crossing / 2.0
        total, difference = self.electron + self.positron, self.electron - self.positron
        return total * math.sin(half), 0.0, difference * math.cos(half)

    @property
    def mass(self) -> float:
        """Energy in the centre of mass: the electron's mass is neglected."""
        return 2.0 * math.sqrt(self.electron * self.positron) * math.cos(self.crossing / 2.0)

    @property
    def axis(self) -> tuple[float, float, float]:
        """Direction of the electrons in the centre of mass."""
        half = self.crossing / 2.0
        total, (px, _, pz) = self.electron + self.positron, self.momentum
        x, z, e = self.electron * math.sin(half), self.electron * math.cos(half), self.electron
        factor = ((x * px + z * pz) / (total + self.mass) - e) / self.mass
        x, z = x + factor * px, z + factor * pz
        return x / math.hypot(x, z), 0.0, z / math.hypot(x, z)

    def _below(self, threshold: float) -> InputError:
        return InputError(
            f"beam: √s = {self.mass:.4f} GeV is below 2 m_B = {threshold:.4f} GeV; raise electron or positron"
        )

    def momentum_edges(self, m_b: float, cells: int = 256) -> Array:
        """Edges of equally probable cells in the momentum of the B in the centre of mass (GeV).

        >>> edges = UpsilonBeam().momentum_edges(5.27972)
        >>> round(float(edges[128]), 2)
        0.33
        """
        threshold = 2.0 * m_b
        if self.spread == 0.0:
            if self.mass <= threshold:
                raise self._below(threshold)
            return np.full(cells + 1, math.sqrt(self.mass**2 / 4.0 - m_b**2))
        low, high = max(threshold, self.mass - 8.0 * self.spread), self.mass + 8.0 * self.spread
        if low >= high:
            raise self._below(threshold)
        p = np.linspace(math.sqrt(low**2 / 4.0 - m_b**2), math.sqrt(high**2 / 4.0 - m_b**2), 20001)
        s = 4.0 * (p**2 + m_b**2)
        w = np.sqrt(s)
        m, g = self.resonance_mass, self.resonance_width
        curve = p**3 / ((s - m**2) ** 2 + m**2 * g**2)
        density = np.exp(-0.5 * ((w - self.mass) / self.spread) ** 2) * curve
        density = density * p / w  # dw = 4 p dp / w
        cdf = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2.0)])
        return np.asarray(np.interp(np.linspace(0.0, 1.0, cells + 1), cdf / cdf[-1], p))

    def constants(self) -> tuple[float, ...]:
        """What `upsilon_momentum` needs beside the edges, in its order."""
        px, _, pz = self.momentum
        x, _, z = self.axis
        return px, pz, self.mass, x, z


@scalar
def upsilon_momentum(
    real: Any,
    u_p: Real,
    u1: Real,
    u2: Real,
    u3: Real,
    u_phi: Real,
    m_b: Real,
    edges: Any,
    constants: tuple[Real, ...],
) -> Three:
    """Momentum of a B from the Υ(4S), from five uniforms, the cells' edges and `UpsilonBeam.constants`.

    The median of u1, u2, u3, mapped to [-1, 1], has density 3/4 (1 - cos²θ).

    >>> beam = UpsilonBeam(spread=0.0)
    >>> edges, constants = beam.momentum_edges(5.28), beam.constants()
    >>> p = upsilon_momentum(np.float64, 0.5, 0.5, 0.5, 0.5, 0.75, 5.28, edges, constants)
    >>> round(float(p[2]), 2)
    1.5
    """
    px, pz, mass, ax, az = constants
    position = u_p * real(edges.size - 1)
    cell = int(position)
    p = edges[cell] + (edges[cell + 1] - edges[cell]) * (position - real(cell))
    low, high = min(u1, u2), max(u1, u2)
    median = max(low, min(high, u3))
    cosine = median + median - real(1)
    s, c = circle(real, u_phi - real(0.5))
    transverse = p * math.sqrt((real(1) - cosine) * (real(1) + cosine))
    along, x = p * cosine, transverse * c
    star = (az * x + ax * along, transverse * s, az * along - ax * x)
    return boost(star, m_b, (px, real(0), pz), mass)


@dataclass(frozen=True)
class HistogramBeam:
    """B mesons from a two-dimensional histogram in p_T (GeV) and pseudorapidity or rapidity.

    ``weights[i, j]`` is the content of the cell p_T in ``pt_edges[i:i+2]``, ``eta_edges[j:j+2]``; inside
    a cell the distribution is flat. ``variable`` is "eta" or "y".

    >>> beam = HistogramBeam.checked([0.0, 5.0, 20.0], [2.0, 5.0], [[1.0], [3.0]])
    >>> beam.cells().shape
    (2, 4)
    """

    pt_edges: tuple[float, ...]
    eta_edges: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    variable: str = "eta"

    @classmethod
    def checked(
        cls,
        pt_edges: Sequence[float],
        eta_edges: Sequence[float],
        weights: npt.ArrayLike,
        variable: str = "eta",
    ) -> HistogramBeam:
        """Build from any arrays; InputError names the axis or the cell that cannot be used."""
        for name, edges in (("pt_edges", pt_edges), ("eta_edges", eta_edges)):
            values = np.asarray(edges, dtype=float)
            good = values.ndim == 1 and values.size > 1 and bool(np.all(np.isfinite(values)))
            if not good or np.any(np.diff(values) <= 0.0):
                raise InputError(f"beam.{name}: at least two finite, rising edges are needed")
        if float(pt_edges[0]) < 0.0:
            raise InputError(f"beam.pt_edges[0] = {pt_edges[0]}: a transverse momentum is not negative")
        if max(abs(float(edge)) for edge in eta_edges) > 20.0:
            raise InputError(f"beam.eta_edges = {list(eta_edges)}: rapidities beyond 20 are no beam")
        if variable not in ("eta", "y"):
            raise InputError(f"beam.variable = {variable!r}: 'eta' or 'y'")
        content = np.asarray(weights, dtype=float)
        shape = (len(pt_edges) - 1, len(eta_edges) - 1)
        if content.shape != shape:
            raise InputError(f"beam.weights: shape {content.shape}, but the edges make {shape}, p_T first")
        bad = np.argwhere(~(np.isfinite(content) & (content >= 0.0)))
        if bad.size:
            i, j = bad[0]
            raise InputError(f"beam.weights[{i}][{j}] = {content[i, j]}: contents are finite, not negative")
        if not np.any(content > 0.0):
            raise InputError("beam.weights: all cells are empty")
        pt, eta = (tuple(map(float, edges)) for edges in (pt_edges, eta_edges))
        return cls(pt, eta, tuple(map(tuple, content.tolist())), variable)

    def cells(self) -> Array:
        """Rows (p_T low, p_T high, eta low, eta high), one a cell, in the order of ``probabilities``."""
        pt, eta = np.array(self.pt_edges), np.array(self.eta_edges)
        i, j = (x.ravel() for x in np.indices((pt.size - 1, eta.size - 1)))
        return np.stack([pt[i], pt[i + 1], eta[j], eta[j + 1]], axis=1)

    def probabilities(self) -> Array:
        """Probability of each cell."""
        content = np.array(self.weights).ravel()
        return np.asarray(content / content.sum())


@scalar
def cell_momentum(
    real: Any, u_pt: Real, u_eta: Real, u_phi: Real, cell: tuple[Real, Real, Real, Real], mass: Real
) -> Three:
    """Momentum of a B from one cell of a histogram: flat in p_T, and in η (``mass`` zero) or y (the B's).

    >>> p = cell_momentum(np.float64, 0.5, 0.5, 0.25, (4.0, 6.0, -1.0, 1.0), 0.0)
    >>> [round(float(x), 12) + 0 for x in p]
    [0.0, -5.0, 0.0]
    """
    pt_low, pt_high, eta_low, eta_high = cell
    pt = pt_low + (pt_high - pt_low) * u_pt
    e = exponential(real, eta_low + (eta_high - eta_low) * u_eta)
    s, c = circle(real, u_phi - real(0.5))
    return pt * c, pt * s, math.sqrt(mass * mass + pt * pt) * real(0.5) * (e - real(1) / e)
