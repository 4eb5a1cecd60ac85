r"""The amplitudes of EvtGen's BTOSLLBALL: the model that most existing samples of b → s ℓℓ were made with.

Numbers and formulas as EvtGen has them (EvtbTosllBallFF.cpp, EvtbTosllAmp.cpp, EvtbTosllVectorAmp.cpp), oddities
included, for what is wanted is what the events were made by:

- form factors of Ali, Ball, Handoko, Hiller, hep-ph/9910221, :math:`F(0)\exp(c_1\hat s+c_2\hat s^2+c_3\hat s^3)` with
  :math:`\hat s=q^2/m_B^2`: the smallest allowed (``btosllball``, argument 1, EvtGen's default) or the central ones
  (``btosllball-2``); or those of Ball and Zwicky, 2005 (``btosllball-6``), whose f0 has EvtGen's pole at 37.46 GeV;
- C7eff(q²) and C9eff(q²) with two-loop terms below q² = 0.25 (4.8 GeV)², without them and at another scale above, so
  that both jump there; the charm loop h(z) has z = m_c/m_b where (m_c/m_b)² would be expected; no resonances;
- m_b = 4.4 GeV in front of C7.

Form factors are functions of q² alone. With a K* off its pole EvtGen takes the pair's mass wherever m_K* stands in the
amplitude, `BallModel.at_mass`. CKM elements and α, which cancel in events, are flavio's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import kallen, q2_max
from .local import P_FORM_FACTORS, V_FORM_FACTORS, Array, ComplexArray, StandardModel, no_spectator
from .modes import Transition
from .parameters import Parameters
from .piecewise import fit_piecewise

M_B = 4.4
"""Mass of the b quark (GeV) in front of C7."""
M_B_LOOPS = 4.8
"""Mass of the b quark (GeV) in the loops."""
EDGE = 0.25 * M_B_LOOPS**2
"""q² (GeV²) from which the two-loop terms are left out."""
_Z = 0.29  # m_c/m_b
C10 = -4.592 + 0.379

_Shape = Callable[[Any, Any], Any]
"""A form factor of q² and q²/m_B²."""


def _exp(value: float, *c: float) -> _Shape:
    return lambda q2, s: value * np.exp(sum(a * s ** (k + 1) for k, a in enumerate(c)))


def _poles(*terms: tuple[float, float, int]) -> _Shape:
    """Sum of r/(1 - q²/m²)^n."""
    return lambda q2, s: sum(r / (1.0 - q2 / m2) ** n for r, m2, n in terms)


def _slope(*terms: tuple[float, float, int]) -> _Shape:
    """(F(q²) - F(0))/q² of such a sum, n = 1 or 2."""

    def slope(q2: Any, s: Any) -> Any:
        return sum(r / m2 * (1.0 if n == 1 else 2.0 - q2 / m2) / (1.0 - q2 / m2) ** n for r, m2, n in terms)

    return slope


_SETS: Mapping[str, Mapping[str, _Shape]] = MappingProxyType(
    {
        "btosllball": {
            "f+": _exp(0.278, 1.568, 0.470, 0.885),
            "f0": _exp(0.278, 0.740, 0.080, 0.425),
            "fT": _exp(0.300, 1.600, 0.501, 0.796),
            "A1": _exp(0.294, 0.656, 0.456),
            "A2": _exp(0.246, 1.237, 0.822),
            "A0": _exp(0.412, 1.543, 0.954),
            "V": _exp(0.399, 1.537, 1.123),
            "T1": _exp(0.334, 1.575, 1.140),
            "T2": _exp(0.334, 0.562, 0.481),
            "T3": _exp(0.234, 1.230, 1.089),
        },
        "btosllball-2": {
            "f+": _exp(0.319, 1.465, 0.372, 0.782),
            "f0": _exp(0.319, 0.633, -0.095, 0.591),
            "fT": _exp(0.355, 1.478, 0.373, 0.700),
            "A1": _exp(0.337, 0.602, 0.258),
            "A2": _exp(0.282, 1.172, 0.567),
            "A0": _exp(0.471, 1.505, 0.710),
            "V": _exp(0.457, 1.482, 1.015),
            "T1": _exp(0.379, 1.519, 1.030),
            "T2": _exp(0.379, 0.517, 0.426),
            "T3": _exp(0.260, 1.129, 1.128),
        },
        "btosllball-6": {
            "f+": _poles((0.1616, 29.30, 1), (0.1730, 29.30, 2)),
            "f0": _poles((0.3302, 37.46**2, 1)),
            "fT": _poles((0.1614, 29.30, 1), (0.1981, 29.30, 2)),
            "A1": _poles((0.290, 40.38, 1)),
            "A2": _poles((-0.084, 52.00, 1), (0.342, 52.00, 2)),
            "A0": _poles((1.364, 5.28**2, 1), (-0.990, 36.78, 1)),
            "V": _poles((0.923, 5.32**2, 1), (-0.511, 49.40, 1)),
            "T1": _poles((0.823, 5.32**2, 1), (-0.491, 46.31, 1)),
            "T2": _poles((0.332, 41.41, 1)),
            "T3": _slope((-0.036, 48.10, 1), (0.368, 48.10, 2), (-0.332, 41.41, 1)),  # in units of m_B² - m_K*²
        },
    }
)
"""Form factors by the name of the theory's ``amplitudes``; of Ball and Zwicky T3 = (m_B² - m_K*²)(T3~ - T2)/q²."""
NAMES = tuple(_SETS)
TRANSITIONS = ("B+->K+", "B0->K0", "B0->K*0", "B+->K*+")
"""Transitions that EvtGen has these form factors of."""

# A, C, T, U, W: sums of two orders in alpha_s, at 2.5 GeV above the edge and at 5 GeV below it
_ABOVE = {"A7": -0.353 + 0.023, "A9": 4.287 - 0.218, "T9": 0.114 + 0.280, "U9": 0.045 + 0.023, "W9": 0.044 + 0.016}
_BELOW = {"A7": -0.312 + 0.008, "A9": 4.174 - 0.035, "T9": 0.374 + 0.252, "U9": 0.033 + 0.015, "W9": 0.032 + 0.012}
_A8, _C1, _C2, _ALPHA_S, _MU = -0.148, -0.487, 1.024, 0.215, 5.0  # below

# k_i^(j,l) of the two-loop functions f_1, f_2 at m_c/m_b = 0.29: powers of s, and without and with ln s
_F7 = (
    ((-0.68192 - 0.074998j, 0j), (4.0915 + 0.44999j, 0j)),
    ((-0.23935 - 0.12289j, 0.0027424 + 0.019676j), (1.4361 + 0.73732j, -0.016454 - 0.11806j)),
    ((-0.0018555 - 0.175j, 0.022864 + 0.011456j), (0.011133 + 1.05j, -0.13718 - 0.068733j)),
    ((0.28248 - 0.12783j, 0.029027 - 0.0082265j), (-1.6949 + 0.76698j, -0.17416 + 0.049359j)),
)
_F9 = (
    ((-11.973 + 0.16371j, -0.081271 - 0.059691j), (6.6338 - 0.98225j, 0.48763 + 0.35815j)),
    ((-28.432 - 0.25044j, -0.040243 + 0.016442j), (3.3585 + 1.5026j, 0.24146 - 0.098649j)),
    ((-57.114 - 0.86486j, -0.035191 + 0.027909j), (-1.1906 + 5.1892j, 0.21115 - 0.16745j)),
    ((-128.8 - 2.5243j, -0.017587 + 0.050639j), (-17.12 + 15.146j, 0.10552 - 0.30383j)),
)


def _two_loop(table: Any, s: float) -> tuple[complex, complex]:
    log, f = math.log(s), [0j, 0j]
    for power, row in enumerate(table):
        for i, (plain, with_log) in enumerate(row):
            f[i] += s**power * (plain + with_log * log)
    return f[0], f[1]


def _loop(x: float) -> complex:
    """h without its logarithm of the mass, x = 4 z/s."""
    root = math.sqrt(abs(1.0 - x))
    if x < 1.0:
        inner: complex = math.log((1.0 + root) / (1.0 - root)) - 1j * math.pi
    else:
        inner = 2.0 * math.atan(1.0 / root)
    return 8 / 27 + 4 / 9 * x - 2 / 9 * (2.0 + x) * root * inner


def wilson(q2: float) -> tuple[complex, complex]:
    """C7eff and C9eff at q² (GeV²) above zero.

    >>> [round(c.real, 2) for c in (*wilson(1.0), *wilson(10.0))]
    [-0.39, 4.31, -0.33, 4.36]
    """
    s, pi2 = q2 / M_B_LOOPS**2, math.pi**2
    c = _ABOVE if s > 0.25 else _BELOW
    charm, bottom = _loop(4.0 * _Z / s) - 4 / 9 * math.log(_Z**2), _loop(4.0 / s)
    light = 8 / 27 - 4 / 9 * math.log(2.0) + 4j / 9 * math.pi
    c7, c9 = complex(c["A7"]), c["A9"] + c["T9"] * charm + c["U9"] * bottom + c["W9"] * light
    if s > 0.25:
        return c7, c9
    mu, log = math.log(_MU / M_B_LOOPS), math.log(s)
    cubic = s + s**2 + s**3
    f71, f72 = _two_loop(_F7, s)
    f78 = -32 / 9 * mu + 8 / 27 * pi2 - 44 / 9 - 8j / 9 * math.pi - 8 / 9 * log * cubic
    f78 += (4 / 3 * pi2 - 40 / 3) * s + (32 / 9 * pi2 - 316 / 9) * s**2 + (200 / 27 * pi2 - 658 / 9) * s**3
    f91, f92 = _two_loop(_F9, s)
    lz = math.log(_Z)
    f91 += mu * (-1424 / 729 + 16j / 243 * math.pi + 64 / 27 * lz - 16 / 243 * log - 256 / 243 * mu)
    f91 += mu * ((16 / 1215 - 32 / 135 / _Z**2) * s + (4 / 2835 - 8 / 315 / _Z**4) * s**2)
    f91 += mu * (16 / 76545 - 32 / 8505 / _Z**6) * s**3
    f92 += mu * (256 / 243 - 32j / 81 * math.pi - 128 / 9 * lz + 32 / 81 * log + 512 / 81 * mu)
    f92 += mu * ((-32 / 405 + 64 / 45 / _Z**2) * s + (-8 / 945 + 16 / 105 / _Z**4) * s**2)
    f92 += mu * (-32 / 25515 + 64 / 2835 / _Z**6) * s**3
    f98 = 104 / 9 - 32 / 27 * pi2 + (1184 / 27 - 40 / 9 * pi2) * s + (14212 / 135 - 32 / 3 * pi2) * s**2
    f98 += (193444 / 945 - 560 / 27 * pi2) * s**3 + 16 / 9 * log * (1.0 + cubic)
    share = _ALPHA_S / (4.0 * math.pi)
    c7 -= share * (_C1 * (f71 - 208 / 243 * mu) + _C2 * (f72 + 416 / 81 * mu) + _A8 * f78)
    return c7, c9 - share * (_C1 * f91 + _C2 * f92 + _A8 * f98)


def form_factors(name: str, m_b: float, m_v: float, q2: Any) -> dict[str, Any]:
    """All form factors of a set at q² (GeV²), in the usual basis: f+, f0, fT, A0, A1, A2, V, T1, T2, T3.

    >>> round(float(form_factors("btosllball", 5.28, 0.8955, 0.0)["T3"]), 3)
    0.234
    """
    s = np.asarray(q2, dtype=float)
    found = {key: shape(s, s / m_b**2) for key, shape in _SETS[name].items()}
    if name == "btosllball-6":
        found["T3"] = (m_b**2 - m_v**2) * found["T3"]
    return found


def _helicity_basis(ff: Mapping[str, Any], m_b: float, m_v: Any, q2: Any) -> dict[str, Any]:
    """With A12 and T23, eq. (D.5) of arXiv:1503.05534, at a mass of the vector."""
    momentum, plus, difference = kallen(q2, m_b**2, m_v**2), m_b + m_v, m_b**2 - m_v**2
    a12 = plus**2 * (difference - q2) * ff["A1"] - momentum * ff["A2"]
    t23 = difference * (m_b**2 + 3.0 * m_v**2 - q2) * ff["T2"] - momentum * ff["T3"]
    return {
        **ff,
        "A12": a12 / (16.0 * m_b * m_v**2 * plus),
        "T23": t23 / (8.0 * m_b * m_v**2 * (m_b - m_v)),
    }


@dataclass(frozen=True, eq=False)
class BallModel(StandardModel):
    """What the amplitudes of BTOSLLBALL need; ``name`` is that of the form factors."""

    name: str = NAMES[0]

    def at_mass(self, q2: Array, factors: Mapping[str, Array], mass: Any) -> tuple[Mapping[str, Array], Any]:
        """Form factors with the pair's mass in their definitions, and that mass."""
        m = np.asarray(mass, dtype=float)
        return _helicity_basis(form_factors(self.name, self.m_parent, self.m_hadron, q2), self.m_parent, m, q2), m


def ball_model(transition: Transition, name: str, parameters: Parameters) -> BallModel:
    """The Standard Model of BTOSLLBALL.

    Raises:
        InputError: a transition that EvtGen has no such form factors of.

    Example:
        >>> from darkpenguin.physics.parameters import load_parameters
        >>> from darkpenguin.physics.modes import TRANSITIONS
        >>> round(float(ball_model(TRANSITIONS[0], "btosllball", load_parameters()).form_factors(0.0)["f+"]), 3)
        0.278
    """
    if transition.name not in TRANSITIONS:
        raise InputError(f"amplitudes = {name!r}: BTOSLLBALL is of {', '.join(TRANSITIONS)}, not of {transition.name}")
    m_b, m_v = (parameters["m_" + one] for one in (transition.parent.name, transition.hadron.name))
    names = V_FORM_FACTORS if transition.spin == 1 else P_FORM_FACTORS

    def rows(q2: float) -> Array:
        found = form_factors(name, m_b, m_v, q2)
        found = _helicity_basis(found, m_b, m_v, q2) if transition.spin == 1 else found
        c7, c9 = wilson(q2)
        both = [c7.real, c7.imag, c9.real, c9.imag]
        return np.array([*(float(found[key]) for key in names), *both, *both])

    scale, start = np.abs(rows(1.0)), 4.0 * parameters["m_e"] ** 2
    lightest = sum(parameters[key] for key in transition.lightest or ("m_" + transition.hadron.name,))
    end = q2_max(m_b, lightest)
    low = start * 2.0 ** np.arange(0.0, math.log2(0.5 / start))  # log(q2)
    kinks = np.unique([*low, *np.arange(0.5, end, 1.5), EDGE, q2_max(m_b, m_v), end])
    n = complex(parameters["N_re"], parameters["N_im"])
    grid, spectator, last = no_spectator()
    return BallModel(
        parent=transition.parent.name,
        hadron=transition.hadron.name,
        spin=transition.spin,
        m_parent=m_b,
        m_hadron=m_v,
        m_b=M_B,
        prefactors=np.array([n, n.conjugate()]),
        smooth=fit_piecewise(rows, kinks, (), lambda a, b: np.maximum(scale, 0.1) * 1e-10),
        constant=_constant(),
        spectator_q2=grid,
        spectator=spectator,
        spectator_end=last,
        kinks=np.array([EDGE]),
        cusps=np.zeros(0),
        subleading=np.zeros((3 if transition.spin else 1, 3), dtype=complex),
        name=name,
    )


def _constant() -> ComplexArray:
    """C7', C9', C10, C10' of the decay and its conjugate."""
    return np.array([[0, 0, C10, 0]] * 2, dtype=complex)
