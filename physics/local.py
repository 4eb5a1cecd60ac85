"""What the local amplitudes of B → M ℓℓ are made of, as functions of q2, whoever says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kinematics.phasespace import q2_max
from .piecewise import PiecewiseChebyshev

Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
V_FORM_FACTORS = ("A0", "A1", "A12", "V", "T1", "T2", "T23")
P_FORM_FACTORS = ("f+", "f0", "fT")
CONSTANT = ("7p", "vp", "a", "ap")


@dataclass(frozen=True, eq=False)
class StandardModel:
    """All that the amplitudes of one hadronic transition B → M ℓℓ need, for any lepton and any q2.

    Row order of ``smooth``: form factors, then Re and Im of C7eff, C9eff of the b-quark decay (flavio's own)
    and of its CP conjugate. ``constant`` is (2, 4): C7', C9', C10, C10' of the two. ``spectator`` is (2, 3,
    n_grid): amplitudes of helicity +, -, 0 times q2, q2, √q2 on the grid ``spectator_q2``, between which
    flavio is linear, and zero from ``spectator_end`` (K* only). ``kinks`` (GeV²) are all places where the
    amplitudes are not smooth, ``cusps`` those with a square root. ``subleading`` (n_helicities, 3) are flavio's
    subleading effects, zero in its central values, see :meth:`subleading_shifts`.
    """

    parent: str
    hadron: str
    spin: int
    m_parent: float
    m_hadron: float
    m_b: float
    prefactors: ComplexArray
    smooth: PiecewiseChebyshev
    constant: ComplexArray
    spectator_q2: Array
    spectator: ComplexArray
    spectator_end: float
    kinks: Array
    cusps: Array
    subleading: ComplexArray

    def at_mass(self, q2: Array, factors: Mapping[str, Array], mass: npt.ArrayLike) -> tuple[Mapping[str, Array], Any]:
        """Form factors, and the vector's mass in their definitions, of a pair off the pole: those of the pole."""
        return factors, self.m_hadron

    @property
    def form_factor_names(self) -> tuple[str, ...]:
        """Names of the form factors, in flavio's (lattice) convention."""
        return V_FORM_FACTORS if self.spin == 1 else P_FORM_FACTORS

    @property
    def q2_max(self) -> float:
        """Endpoint of the spectrum (GeV²)."""
        return q2_max(self.m_parent, self.m_hadron)

    def form_factors(self, q2: npt.ArrayLike) -> dict[str, Array]:
        """Form factors by name at q2 (GeV²), shape of q2: A0, A1, A12, V, T1, T2, T23, or f+, f0, fT."""
        s = np.asarray(q2, dtype=float)
        rows = self.smooth(s.ravel())
        return {name: rows[i].reshape(s.shape) for i, name in enumerate(self.form_factor_names)}

    def _wilson(self, rows: Array, conjugate: bool) -> dict[str, ComplexArray]:
        first = len(self.form_factor_names) + 4 * int(conjugate)
        values: dict[str, ComplexArray] = {
            "7": rows[first] + 1j * rows[first + 1],
            "v": rows[first + 2] + 1j * rows[first + 3],
        }
        for i, name in enumerate(CONSTANT):
            values[name] = self.constant[int(conjugate), i] * np.ones(())
        return values

    def wilson(self, q2: npt.ArrayLike, conjugate: bool = False) -> dict[str, ComplexArray]:
        """Effective SM coefficients at q2 (GeV²): "7", "v" of its shape, constant "7p", "vp", "a", "ap"."""
        s = np.asarray(q2, dtype=float)
        values = self._wilson(self.smooth(s.ravel()), conjugate)
        return {name: value.reshape(s.shape) if value.ndim else value for name, value in values.items()}

    def spectator_amplitudes(self, q2: Array, conjugate: bool = False) -> ComplexArray:
        """Spectator scattering (QCD factorisation), shape (3, n_q2): helicities +, -, 0; zero for B → P."""
        values = np.zeros((3, len(q2)), dtype=complex)
        if self.spectator_q2.size:
            inside = q2 < self.spectator_end
            s = q2[inside]
            for i, power in enumerate((1.0, 1.0, 0.5)):
                table = self.spectator[int(conjugate), i]
                real = np.interp(s, self.spectator_q2, table.real)
                values[i, inside] = (real + 1j * np.interp(s, self.spectator_q2, table.imag)) / s**power
        return values

    def subleading_shifts(self, q2: Array) -> ComplexArray | None:
        """Effective shifts by flavio's subleading effects, shape (n_helicities, n_q2); None where it has none.

        Of a K*, helicities +, -, 0: of C7' (+) and C7 (-, 0), a + b q2, up to 9 GeV², of C9 from 14 GeV² on; of a K of
        C9 on both sides, (1, n_q2). Strong phases, so the same for the conjugate.
        """
        if not self.subleading.any():
            return None
        a, b, c = self.subleading.T[:, :, None]
        return np.where(q2 <= 9.0, a + b * q2, np.where(q2 > 14.0, c, 0.0))


def no_spectator() -> tuple[Array, ComplexArray, float]:
    """Spectator scattering that is not there: grid, amplitudes and end.

    >>> no_spectator()[2]
    0.0
    """
    return np.empty(0), np.empty((2, 3, 0), dtype=complex), 0.0
