"""Figure of B → K(*) + invisible: χχ of V beside the Standard Model's νν̄, F_L of the K*, and R of the same V."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from ...physics.channels import Channel, get_channel
from ...physics.models import Model
from ...physics.observables import curve
from ...physics.rates import branching_ratio, longitudinal_fraction
from .style import PALETTE, Q2_LABEL, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...physics.experiment.verdicts import Constraints

FloatArray = npt.NDArray[np.float64]
HADRONS = (("B+", "K+"), ("B0", "K*0"))
"""Parent and hadron of the two spectra."""
LIMITS = {"K+": "br_bplus_kplus_chi_chi", "K*0": "br_b0_kstar0_chi_chi"}
"""Constraints that are shown with the spectra, by their hadron."""
_Q2_OF_R = (0.05, 8.68)  # from just above the muonic threshold to the J/psi


@dataclass(frozen=True, eq=False)
class InvisibleSpectrum:
    """Angular coefficients of B → M + invisible against q2 (GeV²), summed over B and its conjugate."""

    parent: str
    hadron: str
    q2: FloatArray
    standard: FloatArray  # νν̄ of the Standard Model
    neutrinos: FloatArray  # νν̄ of the model
    chi: FloatArray  # χχ of the model
    lifetime: float  # of the B, 1/GeV

    @property
    def total(self) -> FloatArray:
        """νν̄ and χχ of the model: different final states, so they add incoherently."""
        return self.neutrinos + self.chi

    def rate(self, coefficients: FloatArray) -> FloatArray:
        """CP-averaged dBR/dq² (1/GeV²)."""
        return np.asarray(0.5 * self.lifetime * decay_rate(coefficients))


def invisible_spectrum(parent: str, hadron: str, model: Model, points: int = 400) -> InvisibleSpectrum:
    """Spectrum of one hadron, denser where V is; InputError where g_χ is needed and not given.

    >>> from darkpenguin.physics.models import get_model
    >>> spectrum = invisible_spectrum("B+", "K+", get_model("belle2-2.1gev"))
    >>> float(spectrum.q2[spectrum.rate(spectrum.chi).argmax()].round(1))
    4.4
    """
    nunu, chichi = (get_channel(f"{parent}->{hadron}{pair}") for pair in ("nunu", "chichi"))
    end, lifetime = nunu.q2_limits(model.parameters)[1], model.parameters[f"tau_{parent}"]
    q2 = np.unique(np.concatenate([np.linspace(0.0, end, points), breakpoints(chichi, model)]))[1:-1]
    spectra = (_both(nunu, model.standard, q2), _both(nunu, model, q2), _both(chichi, model, q2))
    return InvisibleSpectrum(parent, hadron, q2, *spectra, lifetime)


def _both(channel: Channel, model: Model, q2: FloatArray) -> FloatArray:
    return np.asarray(sum(angular_coefficients(channel, model, q2, flavour) for flavour in (-1, 1)))


def draw_invisible(model: Model, found: Constraints | None = None) -> Figure:
    """Draw the two spectra, F_L of the K*0, and R_K and R_K* of the same model.

    With its constraints, the limits on χχ and their verdicts stand in the legends of the spectra.

    Raises:
        InputError: a model in which nothing decays to χχ, or something above threshold without g_χ.
    """
    if not any(one.dark for one in model.interactions.values()):
        raise InputError(f"figure: nothing in {model.name} decays to chi chi; name another model, say belle2-2.1gev-mu")
    spectra = [invisible_spectrum(parent, hadron, model) for parent, hadron in HADRONS]
    figure: Figure
    with house_style() as plt:
        figure, axes = plt.subplots(2, 2, figsize=(15.0, 11.5))
        for axis, spectrum in zip(axes[0], spectra, strict=True):
            _draw_spectrum(axis, spectrum, model, _limit_of(spectrum, found))
        _draw_longitudinal(axes[1][0], spectra[1], model)
        _draw_r(axes[1][1], model)
        axes[0][0].set_title(model.name, loc="left", fontsize=15)
    return figure


def _limit_of(spectrum: InvisibleSpectrum, found: Constraints | None) -> str:
    """Limit on χχ with one hadron among constraints, and the verdict, in words."""
    name = LIMITS[spectrum.hadron]
    row = next((row for row in found or () if row.name == name and row.limit is not None), None)
    if row is None or row.limit is None:
        return ""
    level = next((f", {level} % CL" for level in ("95", "90") if f"{level} % CL" in row.source), "")
    return rf"$\chi\bar\chi$ below ${_scientific(row.limit)}${level}: {row.verdict}"


def _draw_spectrum(axis: Axes, spectrum: InvisibleSpectrum, model: Model, limit: str = "") -> None:
    parent, hadron = spectrum.parent, spectrum.hadron
    chi = get_channel(f"{parent}->{hadron}chichi")
    nunu = get_channel(f"{parent}->{hadron}nunu")
    rates = (
        branching_ratio(nunu, model.standard),
        branching_ratio(chi, model),
        branching_ratio(nunu, model) + branching_ratio(chi, model),
    )
    curves = (spectrum.standard, spectrum.chi, spectrum.total)
    names = (r"SM $\nu\bar\nu$", r"$V\to\chi\bar\chi$", r"$\nu\bar\nu+\chi\bar\chi$")
    for colour, style, name, rate, coefficients in zip(PALETTE, ("--", ":", "-"), names, rates, curves, strict=False):
        axis.plot(
            spectrum.q2,
            spectrum.rate(coefficients),
            style,
            color=colour,
            linewidth=2.2,
            label=rf"{name}: $\mathcal{{B}} = {_scientific(rate)}$",
        )
    top = float(spectrum.rate(spectrum.total).max())
    axis.set_yscale("log")
    axis.set_ylim(0.02 * float(spectrum.rate(spectrum.standard).max()), 30.0 * top)
    axis.set_xlim(0.0, float(spectrum.q2[-1]))
    axis.set_xlabel(Q2_LABEL)
    axis.set_ylabel(
        rf"$d\mathcal{{B}}({nunu.latex.replace(chr(92) + 'nu' + chr(92) + 'bar' + chr(92) + 'nu', '')}"
        r"\,\mathrm{inv})/dq^2\ [\mathrm{GeV}^{-2}]$"
    )
    axis.legend(loc="upper right", frameon=False, title=limit or None)


def _scientific(value: float) -> str:
    """Number for mathtext.

    >>> _scientific(9.2e-6)
    '9.2 \\\\times 10^{-6}'
    """
    if value == 0.0:
        return "0"
    mantissa, power = f"{value:.1e}".split("e")
    return rf"{mantissa} \times 10^{{{int(power)}}}"


def mean_longitudinal_fraction(parent: str, hadron: str, model: Model) -> float:
    """F_L of the K* in all of B → K* + invisible, νν̄ and χχ of the model together.

    >>> from darkpenguin.physics.models import get_model
    >>> round(mean_longitudinal_fraction("B0", "K*0", get_model("sm")), 2)
    0.49
    """
    nunu, chichi = (get_channel(f"{parent}->{hadron}{pair}") for pair in ("nunu", "chichi"))
    points = breakpoints(chichi, model)
    q2, weights = quadrature(np.union1d([0.0], points), 0.0, float(points[-1]))
    return float(longitudinal_fraction((_both(nunu, model, q2) + _both(chichi, model, q2)) @ weights))


def _draw_longitudinal(axis: Axes, spectrum: InvisibleSpectrum, model: Model) -> None:
    """A left-handed g_bs has the F_L of the Standard Model at each q2: only the mean over q2 differs."""
    for colour, style, name, coefficients, shown in (
        (PALETTE[2], "-", r"$\nu\bar\nu+\chi\bar\chi$", spectrum.total, model),
        (PALETTE[0], "--", r"SM $\nu\bar\nu$", spectrum.standard, model.standard),
    ):
        mean = mean_longitudinal_fraction(spectrum.parent, spectrum.hadron, shown)
        axis.plot(
            spectrum.q2,
            longitudinal_fraction(coefficients),
            style,
            color=colour,
            linewidth=2.2,
            label=rf"{name}: $\langle F_L\rangle = {mean:.2f}$",
        )
    axis.set_xlim(0.0, float(spectrum.q2[-1]))
    axis.set_ylim(0.0, 1.05)
    axis.set_xlabel(Q2_LABEL)
    axis.set_ylabel(r"$F_L(K^{\ast 0})$")
    axis.legend(loc="upper right", frameon=False)


def _draw_r(axis: Axes, model: Model) -> None:
    low, high = _Q2_OF_R
    points = breakpoints(get_channel("B+->K+mumu"), model)
    q2 = np.unique(np.concatenate([np.linspace(low, high, 300), points[(points > low) & (points < high)]]))
    for colour, lines, name, label in (
        (PALETTE[2], ("-", "--"), "R_K+", "$R_{K^+}$"),
        (PALETTE[1], ("-.", ":"), "R_K*0", r"$R_{K^{\ast 0}}$"),
    ):
        axis.plot(q2, curve(name, model, q2), lines[0], color=colour, linewidth=2.2, label=label)
        axis.plot(q2, curve(name, model.standard, q2), lines[1], color=colour, linewidth=1.6, label=f"{label}, SM")
    axis.set_xlim(0.0, high)
    axis.set_xlabel(Q2_LABEL)
    axis.set_ylabel("$R$")
    axis.legend(loc="best", frameon=False, ncols=2)
