"""A light scalar S or pseudoscalar: a resonance in C_S or C_P."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..kinematics.base.errors import InputError
from .channels import Channel
from .fields import Complex, Coupling, Mass, Number
from .light_mediator import LightMediator
from .mediators import Array, Current, DarkPair, Decay, Mark, Scheme, Term
from .parameters import load_parameters
from .widths import scalar_width

Parity = Literal["scalar", "pseudoscalar"]


class LightScalar(LightMediator):
    r"""A neutral particle of spin 0 and a few GeV; couplings of a pseudoscalar come with an i on both sides.

    .. math:: \mathcal{L} = \kappa\,(g_{bs}\,\bar s_L b_R + g_{bs}'\,\bar s_R b_L)\,S + h.c.
              + S\,[g_\ell\,\bar\ell\,\Gamma\,\ell + g_\chi\,\bar\chi\,\Gamma\,\chi] - \tfrac12 m_S^2 S^2

    with κ = 1, Γ = 1 (``parity = "scalar"``) or κ = i, Γ = iγ5 (``pseudoscalar``), so that real couplings conserve CP.
    Exchange of S is

    .. math:: m_b C_S^{(\prime)} = -\frac{g_{bs}^{(\prime)} g_\ell/N}{q^2-m_S^2+i m_S\Gamma_S},\qquad
              m_b C_P^{(\prime)} = +\frac{g_{bs}^{(\prime)} g_\ell/N}{q^2-m_S^2+i m_S\Gamma_S},

    N as in eq. (9) of arXiv:1704.06188; the sign against that of a vector is that of :math:`-g_{\mu\nu}` in its
    propagator. g_bs is at 4.8 GeV, with matrix elements in which m_s is left out beside m_b, as in flavio. A model with
    both parities has two entries. The total width is ``width`` (GeV), ``relative_width`` (Γ/m) or that of a mean proper
    decay length ``ctau`` (mm), with which S flies as a `LightVector` does; or, without them, the sum of those into μμ,
    ee, ττ and χχ. χ is a Dirac fermion.

    >>> scalar = LightScalar(mass=2.0, width=0.1, g_bs=1e-8, g_mu=1e-3)
    >>> scalar.total_width, scalar.dark.operator
    (0.1, 'scalar')
    """

    symbol: ClassVar[str] = "S"
    exact_divergence: ClassVar[bool] = False
    pdg: ClassVar[int] = 54

    name: str = "S"
    parity: Parity = "scalar"
    g_bs: Complex = 0j
    g_bs_right: Complex = 0j
    g_mu: Coupling = 0.0
    g_e: Coupling = 0.0
    g_tau: Coupling = 0.0
    g_chi: Annotated[Number, Field(gt=0)] | None = None
    m_chi: Mass = 0.0

    def check(self) -> None:
        """ValueError if the width is known twice or not at all, or less than its parts."""
        parts = self.coupled_width
        if self.given_width is None:
            if not parts:
                raise ValueError(
                    "a width is needed: give width (GeV), relative_width (width/mass), ctau (mm), or a coupling to "
                    "something that it can decay to"
                )
        elif parts > self.total_width * (1.0 + 1e-9):
            raise ValueError(
                f"width = {self.total_width:.4g} GeV: its couplings to leptons and chi give partial widths of "
                f"{parts:.4g} GeV; lower them, or raise the width"
            )

    def problem(self, scheme: Scheme) -> str | None:
        """A running width is known of a vector alone."""
        if scheme == "running":
            return "width: a running width is that of a light vector; take width = fixed (or narrow, in chi chi)"
        return None

    @property
    def coupled_width(self) -> float:
        """Total width (GeV) by its couplings: the sum of its partial widths."""
        return sum(self.partial_widths().values()) + (self._chi_width(self.g_chi) if self.g_chi else 0.0)

    def partial_widths(self) -> dict[str, float]:
        """Widths of an S on its mass shell (GeV) into the pairs of leptons that it can couple to.

        >>> round(LightScalar(mass=2.0, width=0.1, g_mu=0.1).partial_widths()["mu mu"], 8)
        0.00078249
        """
        known = load_parameters()
        couplings = {"mu": self.g_mu, "e": self.g_e, "tau": self.g_tau}
        return {
            f"{name} {name}": float(scalar_width(self.mass**2, g, known[f"m_{name}"], self.parity))
            for name, g in couplings.items()
        }

    def _chi_width(self, g_chi: float) -> float:
        return float(scalar_width(self.mass**2, g_chi, self.m_chi, self.parity))

    @property
    def chi_coupling(self) -> float:
        """g_χ: given, or else from what leptons leave of the total width.

        InputError where neither fixes it: m_χ above m_S/2.
        """
        if self.g_chi is not None:
            return self.g_chi
        if self.given_width is None:
            return 0.0  # the leptons are all of the width
        if 2.0 * self.m_chi >= self.mass:
            raise InputError(
                f"light_scalars.m_chi = {self.m_chi:g} GeV: above m_S/2 = {self.mass / 2:g} GeV the total width does "
                "not fix g_chi; give g_chi"
            )
        left = self.total_width - sum(self.partial_widths().values())
        return float(np.sqrt(max(left, 0.0) / self._chi_width(1.0)))

    @classmethod
    def linear_fields(cls) -> frozenset[str]:
        """Couplings to quarks and to charged leptons; amplitudes are linear in the product of one and one."""
        return frozenset({"g_bs", "g_bs_right", "g_mu", "g_e", "g_tau"})

    def terms(self, decay: Decay) -> list[Term]:
        """m_b C_S or m_b C_P, and the primed ones, times N and without the propagator: see the class."""
        letter, sign = ("s", -1.0) if self.parity == "scalar" else ("p", 1.0)
        lepton = f"g_{decay.lepton}"
        return [
            Term(f"C{letter.upper()}{prime}", (quark, lepton), {letter + prime: sign})
            for quark, prime in (("g_bs", ""), ("g_bs_right", "p"))
        ]

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> Current:
        """The propagator over N, so that N cancels in the amplitude."""
        return np.asarray(self.propagator(q2, scheme) / decay.prefactor)

    def couples(self, channel: Channel) -> bool:
        """Whether S has a line shape in a channel: with a coupling to b → s, and one to the pair."""
        if channel.lepton is not None:
            return super().couples(channel)
        return channel.dynamics == "chi" and bool(self.g_bs or self.g_bs_right)

    def marks(self, channel: Channel, scheme: Scheme) -> list[Mark]:
        """The pole, with any coupling, also zero, so that one set of nodes serves all; none in νν̄."""
        if channel.dynamics == "neutrino":
            return []
        width = self.shape_width(scheme if channel.dynamics == "chi" else "fixed")
        return [Mark(self.mass**2, 0.25 * self.mass * width)]

    @property
    def dark(self) -> DarkPair:
        """χχ."""
        return DarkPair(self.m_chi, "dirac", self.parity)

    def dark_width(self) -> float:
        """Width of S → χχ (GeV)."""
        return self._chi_width(self.chi_coupling)

    def weak_couplings(self, flavour: int) -> tuple[complex, complex]:
        """g_bs and g_bs', complex-conjugated for flavour +1 (B0, B+)."""
        if flavour > 0:
            return self.g_bs.conjugate(), self.g_bs_right.conjugate()
        return self.g_bs, self.g_bs_right

    def dark_current(self, q2: Array, flavour: int, scheme: Scheme) -> tuple[Current, Current] | None:
        """g_bs and g_bs' times g_χ times the propagator (GeV⁻²) at q2 (GeV²), see `Mediator.dark_wave`."""
        if self.g_bs == 0 and self.g_bs_right == 0:
            return None
        wave = self.dark_wave(q2, scheme, self.chi_coupling)
        left, right = self.weak_couplings(flavour)
        return left * wave, right * wave

    def shown(self) -> Mapping[str, complex | None]:
        """Parity aside, the couplings that are given, and χ."""
        names = ("g_bs", "g_bs_right", "g_mu", "g_e", "g_tau", "g_chi", "m_chi")
        return {name: getattr(self, name) for name in names}
