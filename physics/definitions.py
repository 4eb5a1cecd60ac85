r"""What the formulas of observables are over: S_i, rates, and the definitions by which S_i enter.

A formula takes the ``Averages`` of one channel: at points of q2, integrated over a bin, or measured from the moments
of events. Leptons have a mass, so F_L, the P_i and the P_i' can be read in two ways:

- ``as_defined``: J_2s and J_2c with their lepton masses, F_L = -S_2c (predict, scans, theory errors, bin); of Kπ with
  an S wave those of the P wave, ``p_wave``;
- ``massless``: what experiments fit, the density of massless leptons, in which all follows from
  F_L of the cos θ_K distribution and A_FB: S_1s = 3(1-F_L)/4, S_1c = F_L, S_2s = (1-F_L)/4, S_2c = -F_L,
  S_6s = 4A_FB/3, S_6c = 0 (arXiv:2003.04831, eq. (1)); then P_5' = S_5/√(F_L(1-F_L)) (toys; pairs that are not seen).

They differ by terms in m_ℓ²/q². ``PREDICTED`` and ``MEASURED`` say which is used where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .densities import DENSITIES

Coefficients = Callable[[str], Any]
"""S_i = (J_i + J̄_i)/(Γ + Γ̄) of LHCb's convention by the name of the coefficient; arrays of any library."""
Definition = Callable[[Coefficients], Coefficients]


def _unknown(name: str) -> Any:
    raise ValueError(f"A_{name}: only the sum of both flavours is known")


@dataclass(frozen=True)
class Averages:
    """What an observable is made of, for one channel.

    Attributes:
        s: S_i by name.
        spin: of the hadron.
        cp: CP asymmetries A_i = (J_i - J̄_i)/(Γ + Γ̄) by name, with the signs of the S_i; ValueError if unknown.
        rate: Γ + Γ̄, twice the CP average, in GeV (over the width of a bin) or 1/GeV (at a q2); None if unknown.
        difference: Γ of the B̄0 or B- minus Γ of the B0 or B+, in the same unit; None if unknown.
        lifetime: of the B, 1/GeV; None if unknown.
        width: of the bin in GeV², 1 at a q2.
    """

    s: Coefficients
    spin: int
    rate: Any = None
    difference: Any = None
    lifetime: Any = None
    width: float = 1.0
    cp: Coefficients = _unknown


def of_sum(j: Any, difference: Any = None) -> Averages:
    """Averages from J + J̄ along the first axis, of any array library: S_i of LHCb's convention and the rate.

    From ``difference``, J - J̄, the A_i too.

    >>> found = of_sum([1.0, 0.5, 3.0])
    >>> found.s("b"), found.rate
    (0.125, 4.0)
    """
    density = next(known for known in DENSITIES.values() if len(known.coefficients) == len(j))
    names, flipped = density.coefficients, density.flipped
    rate = sum(w * j[i] for i, w in enumerate(density.rate) if w != 0.0)

    def over_rate(of: Any) -> Coefficients:
        return lambda name: (-1.0 if name in flipped else 1.0) * of[names.index(name)] / rate

    return Averages(over_rate(j), density.spin, rate, cp=_unknown if difference is None else over_rate(difference))


def as_defined(s: Coefficients) -> Coefficients:
    """The S_i themselves, lepton masses kept."""
    return s


def massless(s: Coefficients) -> Coefficients:
    """S_i of the density of massless leptons with the same F_L of the cos θ_K distribution and the same A_FB.

    >>> same = massless(lambda name: {"1c": 0.6, "2c": -0.6, "6s": 0.2, "5": -0.3}.get(name, 0.0))
    >>> [round(same(name), 12) for name in ("1s", "2s", "2c", "6s", "5")]
    [0.3, 0.1, -0.6, 0.2, -0.3]
    """
    f_l, a_fb = 0.75 * s("1c") - 0.25 * s("2c"), 0.75 * s("6s") + 0.375 * s("6c")
    known = {
        "1s": 0.75 * (1.0 - f_l),
        "1c": f_l,
        "2s": 0.25 * (1.0 - f_l),
        "2c": -f_l,
        "6s": a_fb / 0.75,
        "6c": 0.0 * a_fb,
    }
    return lambda name: known[name] if name in known else s(name)


def p_wave(s: Coefficients, ratio: float = 3.0) -> Coefficients:
    r"""Of P and S wave together: the S_i of the P wave alone, and ``S``, the S wave's fraction.

    The S wave adds s_1 to S_1s and S_1c alike and s_2 to S_2s and S_2c. Two ratios tell it from the P wave: ``ratio``,
    κ, is J_1s/J_2s of the P wave (3 for massless leptons, see `transverse_ratio`), and s_1/s_2 is J_1c/J_2c of the P
    wave, since both have helicity zero, hence that of the sums (in the Standard Model within 1 %):

    .. math:: s_1 = \frac{S_{1s} - \kappa S_{2s}}{1 + \kappa/\rho},\quad s_2 = -s_1/\rho,\quad
              \rho = -S_{1c}/S_{2c},\quad F_S = \tfrac94 (s_1 - \tfrac13 s_2).

    The interference, I1c to I8, stays over the whole rate (arXiv:1512.04442).
    """
    rho = -s("1c") / s("2c")
    first = (s("1s") - ratio * s("2s")) / (1.0 + ratio / rho)
    second = -first / rho
    fraction = 2.25 * (first - second / 3.0)
    share = 1.0 - fraction
    own = {"1s": first, "1c": first, "2s": second, "2c": second}

    def rest(name: str) -> Any:
        if name == "S":
            return fraction
        return s(name) if name.startswith("I") else (s(name) - own.get(name, 0.0)) / share

    return rest


PHOTON = 2.0
"""q2 (GeV²) below which the transverse amplitudes of B → K* ℓℓ are the photon's, in the Standard Model."""


def transverse_ratio(q2: Any, mass: float) -> Any:
    r"""J_1s/J_2s of B → V ℓℓ at q2 (GeV²) for leptons of a mass (GeV); arrays broadcast.

    (4 - β²)/β² for a vector current and 3 for an axial one, from J_1s and J_2s of arXiv:0811.1214 with left- and
    right-handed amplitudes that are equal, or opposite. Where the mass counts, the photon's pole rules, which is a
    vector; above, C_9 and C_7 cancel and C_10 is left. In between 1/(1 + (q2/2 GeV²)²) of the way is assumed.

    >>> [round(float(transverse_ratio(q2, 0.10566)), 3) for q2 in (0.1, 0.5, 2.0, 5.0)]
    [6.219, 3.369, 3.046, 3.005]
    """
    x = 4.0 * mass**2 / q2
    return 3.0 + 4.0 * x / (1.0 - x) / (1.0 + (q2 / PHOTON) ** 2)


PREDICTED: Mapping[str, Definition] = MappingProxyType({"charged": as_defined, "chi": massless, "neutrino": massless})
"""Definition of the S_i in predictions of B → K*, by the channel's ``dynamics``: without charged leptons only θ_K is
seen."""
MEASURED: Mapping[str, Definition] = MappingProxyType({"vector": as_defined, "kpi": p_wave, "scalar": as_defined})
"""Definition of the S_i in what is measured from events, by the kind of their density."""
