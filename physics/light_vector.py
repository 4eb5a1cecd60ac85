"""The light vector V of arXiv:1704.06188."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ..kinematics.base.errors import InputError
from .channels import Channel
from .fields import Complex, Coupling, Mass, Number
from .light_mediator import LightMediator
from .mediators import Array, Current, DarkPair, Decay, Mark, Scheme, Term
from .parameters import load_parameters
from .widths import Chi, invisible_width, lepton_width, neutrino_width

_MIXED = frozenset({"g_mu_v", "g_e_v", "g_tau_v"})
"""What kinetic mixing stands for."""
_LEPTONIC = frozenset({"g_mu_v", "g_mu_a", "g_e_v", "g_e_a", "g_tau_v", "g_tau_a", "g_nu_mu"})


class LightVector(LightMediator):
    r"""A neutral vector V of a few GeV, eq. (1) of arXiv:1704.06188.

    .. math:: \mathcal{L} = [(g_{bs}\,\bar s_L\gamma_\nu b_L + g_{bs}'\,\bar s_R\gamma_\nu b_R + h.c.)
              + \bar\ell\gamma_\nu(g_{\ell V} + g_{\ell A}\gamma_5)\ell + g_\chi\bar\chi\gamma_\nu\chi
              + g_\nu\,\bar\nu_{\mu L}\gamma_\nu\nu_{\mu L}] V^\nu + \tfrac12 m_V^2 V_\nu V^\nu

    The total width is given by one of ``width`` (GeV), ``relative_width`` (Γ/m) and ``ctau`` (mm), or, without them,
    follows from ``g_chi`` and ``m_chi`` by eq. (2). With ``ctau``, a mean proper decay length ħc/Γ, V flies before it
    decays (HepMC files have the vertex); interference is nothing beside its peak. A ``g_chi`` beside a width is the
    invisible part of that width, which it must not exceed. ``pseudoscalar`` keeps C_P of eq. (7), that is, the
    longitudinal part of the propagator.

    ``kinetic_mixing`` ε stands for equal couplings to charged leptons: of
    :math:`\tfrac\epsilon2 F_{\mu\nu}V^{\mu\nu}` the shift :math:`A\to A+\epsilon V` leaves, to order ε², ε times the
    current of electric charge,

    .. math:: g_{\mu V} = g_{eV} = g_{\tau V} = -\epsilon\sqrt{4\pi\alpha(4.8\ \mathrm{GeV})},

    for :math:`\mathcal{L}_{em} = e\,Q_f\,\bar f\gamma_\nu f A^\nu`. Its couplings to quarks, and with them decays to
    hadrons, are left out: they belong to the total width that is given.

    >>> LightVector(mass=2.5, relative_width=0.2, g_bs=-1.5e-8, g_mu_v=0.1).total_width
    0.5
    >>> round(LightVector(mass=2.5, width=0.5, kinetic_mixing=1e-3).g_e_v, 7)
    -0.0003084
    """

    symbol: ClassVar[str] = "V"
    gives_width: ClassVar[frozenset[str]] = LightMediator.gives_width | {"g_chi"}

    name: str = "V"
    g_bs: Complex = 0j
    g_bs_right: Complex = 0j
    g_mu_v: Coupling = 0.0
    g_mu_a: Coupling = 0.0
    g_e_v: Coupling = 0.0
    g_e_a: Coupling = 0.0
    g_tau_v: Coupling = 0.0
    g_tau_a: Coupling = 0.0
    g_nu_mu: Coupling = 0.0
    kinetic_mixing: Coupling = 0.0
    g_chi: Annotated[Number, Field(gt=0)] | None = None
    m_chi: Mass = 0.0
    chi: Chi = "dirac"
    pseudoscalar: bool = True

    @model_validator(mode="before")
    @classmethod
    def _mix(cls, data: Any) -> Any:
        """Couplings that kinetic mixing stands for; ValueError beside others that were given."""
        mixing = data.get("kinetic_mixing") if isinstance(data, Mapping) else None
        if not isinstance(mixing, (int, float)) or isinstance(mixing, bool) or not mixing:
            return data
        coupling = -mixing * math.sqrt(4.0 * math.pi * load_parameters()["alpha_e(4.8)"])
        for name in _MIXED:
            given = data.get(name) or 0.0
            if given and not (isinstance(given, (int, float)) and math.isclose(given, coupling, rel_tol=1e-9)):
                raise ValueError(
                    f"kinetic_mixing = {mixing:g} and {name} = {given} are both given; the first stands for {name} = "
                    f"{coupling:.4g}, keep one"
                )
        return {**data, **dict.fromkeys(_MIXED, coupling)}

    def check(self) -> None:
        """ValueError if the width is not known, or known twice."""
        if self.given_width is None:
            if self.g_chi is None:
                raise ValueError("a width is needed: give width (GeV), relative_width (width/mass), ctau (mm) or g_chi")
            if 2.0 * self.m_chi >= self.mass:
                raise ValueError(
                    f"m_chi = {self.m_chi:g} GeV: V -> chi chi needs m_chi < {self.mass / 2:g} GeV, so g_chi "
                    "does not give the width; add width or relative_width"
                )
        elif self.g_chi is not None:
            invisible = float(invisible_width(self.mass**2, self.g_chi, self.m_chi, self.chi))
            if invisible > self.total_width * (1.0 + 1e-9):
                raise ValueError(
                    f"g_chi = {self.g_chi:g} alone gives a width of {invisible:.6g} GeV (eq. 2), more than "
                    f"the total of {self.total_width:.6g} GeV; lower g_chi, raise the width, or drop either"
                )

    def problem(self, scheme: Scheme) -> str | None:
        """A running width is that of V → χχ, whose coupling has to be known."""
        if scheme == "running" and self.flight is not None:
            return f"ctau = {self.flight:g} mm: a V that flies is narrow and its width does not run; take width = fixed"
        if scheme == "running" and self.g_chi is None and 2.0 * self.m_chi >= self.mass:
            return (
                f"m_chi = {self.m_chi:g} GeV is above m_V/2 = {self.mass / 2:g} GeV, so this needs g_chi; give g_chi, "
                "or take width = fixed"
            )
        return None

    @classmethod
    def settle(cls, fields: dict[str, Any], given: set[str]) -> None:
        """A width, ``g_chi`` included, replaces the one that there was, and so with mixing."""
        if "kinetic_mixing" in given:
            fields.update(dict.fromkeys(_MIXED - given, 0.0))
        elif given & _MIXED:
            fields["kinetic_mixing"] = 0.0
        super().settle(fields, given)

    def legend(self) -> str:
        """Its mass and its coupling to quarks, as in figure 1 of arXiv:1704.06188.

        >>> LightVector(mass=2.5, relative_width=0.2, g_bs=-1.75e-8).legend()
        '$m_V = 2.5$ GeV, $g_{bs} = -1.75 \\\\times 10^{-8}$'
        """
        mantissa, power = f"{self.g_bs.real:.2e}".split("e")
        return f"{super().legend()}, $g_{{bs}} = {float(mantissa):g} \\times 10^{{{int(power)}}}$"

    @property
    def coupled_width(self) -> float:
        """Total width (GeV) by ``g_chi``, eq. (2): V → ℓℓ is neglected there, as in the paper."""
        assert self.g_chi is not None  # ``check`` has made sure
        return float(invisible_width(self.mass**2, self.g_chi, self.m_chi, self.chi))

    @property
    def chi_coupling(self) -> float:
        """g_χ: given, or else by eq. (2) from what μμ, ee, ττ and νν leave of the total width.

        InputError where neither fixes it (m_χ above m_V/2), or nothing is left.
        """
        if self.g_chi is not None:
            return self.g_chi
        return self._coupling_of(max(self.total_width - self.lepton_width(), 0.0))

    def _coupling_of(self, width: float) -> float:
        """g_χ of this width (GeV) of V → χχ."""
        if 2.0 * self.m_chi >= self.mass:
            raise InputError(
                f"light_vectors.m_chi = {self.m_chi:g} GeV: above m_V/2 = {self.mass / 2:g} GeV the total "
                "width does not fix g_chi; give g_chi"
            )
        unit = float(invisible_width(self.mass**2, 1.0, self.m_chi, self.chi))
        return float(np.sqrt(width / unit))

    def lepton_width(self) -> float:
        """Width into leptons (GeV); InputError where it, or it and χχ of a given g_χ, are more than the total width.

        >>> vector = LightVector(mass=2.5, relative_width=1e-3, g_mu_v=0.1)
        >>> round(vector.lepton_width() / vector.total_width, 3)
        0.265
        """
        leptons = sum(self.partial_widths().values())
        # a width that follows from g_chi alone, as in the paper, leaves the leptons out on purpose
        dark = self.dark_width() if self.given_width is not None and self.g_chi is not None else 0.0
        if leptons + dark > self.total_width * (1.0 + 1e-9):
            given = {name: getattr(self, name) for name in (*sorted(_LEPTONIC), "g_chi")}
            words = ", ".join(f"{name} = {value:g}" for name, value in given.items() if value)
            raise InputError(
                f"light_vectors: {words} give {self.name} of {self.mass:g} GeV partial widths of "
                f"{leptons + dark:.4g} GeV, more than its width of {self.total_width:.4g} GeV; lower them, or raise "
                "the width"
            )
        return leptons

    def partial_widths(self) -> dict[str, float]:
        """Widths of an on-shell V (GeV) into the pairs of leptons that it can couple to: parts of its total width.

        >>> vector = LightVector(mass=2.5, relative_width=0.2, g_mu_v=0.1, g_mu_a=-0.044)
        >>> round(vector.partial_widths()["mu mu"], 6)
        0.00079
        """
        known, s = load_parameters(), self.mass**2
        return {
            "mu mu": float(lepton_width(s, self.g_mu_v, self.g_mu_a, known["m_mu"])),
            "e e": float(lepton_width(s, self.g_e_v, self.g_e_a, known["m_e"])),
            "tau tau": float(lepton_width(s, self.g_tau_v, self.g_tau_a, known["m_tau"])),
            "nu nu": float(neutrino_width(s, self.g_nu_mu)),
        }

    def imaginary_part(self, q2: Array, scheme: Scheme) -> Array | float:
        r"""Imaginary part of the propagator's denominator (GeV²).

        .. math:: m\Gamma\ \text{(fixed)},\qquad
                  \sqrt{q^2}\,\Gamma_\chi(q^2) + m\,(\Gamma-\Gamma_\chi(m^2))\ \text{(running)}

        with Γ_χ(q²) of eq. (2) for a V of mass √q². Where g_χ is not given, the leptons' part runs with that of χχ (no
        constant part), so that amplitudes stay linear in the couplings to leptons.

        >>> vector = LightVector(mass=2.0, width=0.5)
        >>> complex(vector.propagator(4.0)), complex(vector.propagator(4.0, "running"))
        (-1j, -1j)
        """
        fixed = self.mass * self.shape_width("fixed")
        if scheme != "running":
            return fixed
        g_chi = self.g_chi or self._coupling_of(self.total_width)
        on_shell = float(invisible_width(self.mass**2, g_chi, self.m_chi, self.chi))
        running = np.sqrt(q2) * invisible_width(q2, g_chi, self.m_chi, self.chi)
        return np.asarray(running + (fixed - self.mass * on_shell))

    @classmethod
    def linear_fields(cls) -> frozenset[str]:
        """Couplings to quarks and to charged leptons; amplitudes are linear in the product of one and one."""
        return frozenset({"g_bs", "g_bs_right"}) | (_LEPTONIC - {"g_nu_mu"})

    def terms(self, decay: Decay) -> list[Term]:
        r"""Eqs. (9) and (7) of arXiv:1704.06188, times N and without the propagator.

        .. math:: C_{9,10}^V = \frac{g_{bs}\,g_{\ell V,A}/N}{q^2-m_V^2+i m_V\Gamma_V},\qquad
                  C_P^V = -\frac{2m_\ell}{m_V^2}\,C_{10}^V,

        the last for the longitudinal part :math:`q_\mu q_\nu/m_V^2` of the propagator. The timelike amplitude of V
        exchange is thereby the axial one times exactly :math:`1-q^2/m_V^2`: the lepton side gives
        :math:`q_\mu\bar\ell\gamma^\mu\gamma_5\ell = 2m_\ell\,\bar\ell\gamma_5\ell`, and A0 and f0 are defined by
        the divergence of the same hadronic current, so no quark mass is neglected. A right-handed g_bs shifts
        the primed coefficients.
        """
        found = []
        for quark, prime in (("g_bs", ""), ("g_bs_right", "p")):
            axial = {"a" + prime: 1.0}
            if self.pseudoscalar:
                axial["p" + prime] = -(decay.m_b * 2.0 * decay.m_lepton / self.mass**2)
            found.append(Term("C9" + prime, (quark, f"g_{decay.lepton}_v"), {"v" + prime: 1.0}))
            found.append(Term("C10" + prime, (quark, f"g_{decay.lepton}_a"), axial))
        return found

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> Current:
        """The propagator over N, so that N cancels in the amplitude."""
        return np.asarray(self.propagator(q2, scheme) / decay.prefactor)

    def couples(self, channel: Channel) -> bool:
        """Whether V has a line shape in a channel: with a coupling to b → s, and one to the pair."""
        if channel.lepton is not None:
            return super().couples(channel)
        return bool(self.g_bs or self.g_bs_right) and bool(channel.dynamics == "chi" or self.g_nu_mu)

    def marks(self, channel: Channel, scheme: Scheme) -> list[Mark]:
        """The pole and, of a running width, the threshold of χχ; in νν̄ only with a coupling to ν_μ.

        In ℓℓ and χχ with any coupling, also zero, so that one set of nodes serves all couplings.
        """
        if channel.dynamics == "neutrino" and not self.g_nu_mu:
            return []
        width = self.shape_width(scheme if channel.dynamics == "chi" else "fixed")
        found = [Mark(self.mass**2, 0.25 * self.mass * width)]
        if channel.dynamics == "charged" and scheme == "running" and self.m_chi > 0.0:
            found.append(Mark(4.0 * self.m_chi**2, 0.001, 0.6))
        return found

    @property
    def dark(self) -> DarkPair:
        """χχ."""
        return DarkPair(self.m_chi, self.chi)

    def dark_width(self) -> float:
        """Width of V → χχ (GeV), eq. (2)."""
        return float(invisible_width(self.mass**2, self.chi_coupling, self.m_chi, self.chi))

    def weak_couplings(self, flavour: int) -> tuple[complex, complex]:
        """g_bs and g_bs', complex-conjugated for flavour +1 (B0, B+)."""
        if flavour > 0:
            return self.g_bs.conjugate(), self.g_bs_right.conjugate()
        return self.g_bs, self.g_bs_right

    def dark_current(self, q2: Array, flavour: int, scheme: Scheme) -> tuple[Current, Current] | None:
        """g_bs and g_bs' times g_χ times the propagator (GeV⁻²) at q2 (GeV²), see `Mediator.dark_wave`.

        >>> v = LightVector(mass=2.0, width=0.5, g_bs=1.0)
        >>> bool(abs(v.dark_current(np.array([4.0]), -1, "fixed")[0])[0] == v.chi_coupling / (v.mass * v.width))
        True
        """
        if self.g_bs == 0 and self.g_bs_right == 0:
            return None
        wave = self.dark_wave(q2, scheme, self.chi_coupling)
        left, right = self.weak_couplings(flavour)
        return left * wave, right * wave

    def neutrino_current(self, q2: Array, flavour: int, scheme: Scheme) -> tuple[Current, Current] | None:
        """V couples to half of ν̄ γ (1 - γ5) ν: L = g_ν ν̄_L γ ν_L V gives g_bs g_ν / 2 times the propagator."""
        if not self.g_nu_mu:
            return None
        wave = self.propagator(q2, scheme) * self.g_nu_mu / 2
        left, right = self.weak_couplings(flavour)
        return left * wave, right * wave

    def shown(self) -> Mapping[str, complex | None]:
        """The couplings of the paper, and χ."""
        return {
            "g_bs": self.g_bs.real,
            "g_mu_v": self.g_mu_v,
            "g_mu_a": self.g_mu_a,
            "g_chi": self.g_chi or (self._coupling_of(self.total_width) if 2 * self.m_chi < self.mass else None),
            "m_chi": self.m_chi,
        }
