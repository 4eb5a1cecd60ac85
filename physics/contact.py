"""Contact operators of b → s χχ: what a heavy mediator leaves, with spectra of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import model_validator

from .channels import Channel
from .fields import Complex, Mass
from .mediators import Array, Current, DarkPair, Decay, Interaction, Operator, Scheme, Term
from .widths import Chi


class Contact(Interaction):
    r"""An operator of (s̄ b)(χ̄ χ), with coefficients in GeV⁻²:

    .. math:: \mathcal{L} = G\,(\bar s_L\,\Gamma\,b)(\bar\chi\,\Gamma_\chi\,\chi)
              + G'\,(\bar s_R\,\Gamma\,b)(\bar\chi\,\Gamma_\chi\,\chi) + h.c.

    ``operator`` is vector (Γ = Γ_χ = γ^μ), scalar (1 and 1), pseudoscalar (1 and iγ5, of χ) or tensor (σ^μν and σ_μν),
    ``g`` is G and ``g_right`` G', of a left- and a right-handed s; the b has the chirality that goes with it, and
    coefficients are at 4.8 GeV. χ is a Dirac fermion; for a vector it may be a complex scalar
    (:math:`\chi^*i\overleftrightarrow\partial{}^\mu\chi`). Each entry of a model has its own χ: several add
    incoherently. Nothing decays to charged leptons or neutrinos by it.

    >>> Contact(operator="tensor", g=1e-8).dark.operator
    'tensor'
    """

    symbol: ClassVar[str] = "O"

    name: str = "O"
    operator: Operator
    g: Complex = 0j
    g_right: Complex = 0j
    m_chi: Mass = 0.0
    chi: Chi = "dirac"

    @model_validator(mode="after")
    def _spins_fit(self) -> Self:
        if self.chi == "scalar" and self.operator != "vector":
            raise ValueError(
                f"chi = 'scalar': the {self.operator} operator is that of a Dirac chi; take operator = vector, or "
                "chi = dirac"
            )
        return self

    @classmethod
    def linear_fields(cls) -> frozenset[str]:
        """None that acts in charged leptons."""
        return frozenset()

    def terms(self, decay: Decay) -> Sequence[Term]:
        """None: charged leptons do not see it."""
        return ()

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> float:
        """One: it does not depend on q2."""
        return 1.0

    def couples(self, channel: Channel) -> bool:
        """Never: it has no line shape."""
        return False

    @property
    def dark(self) -> DarkPair:
        """χχ."""
        return DarkPair(self.m_chi, self.chi, self.operator)

    def weak_couplings(self, flavour: int) -> tuple[complex, complex]:
        """G and G', complex-conjugated for flavour +1 (B0, B+)."""
        return (self.g.conjugate(), self.g_right.conjugate()) if flavour > 0 else (self.g, self.g_right)

    def dark_current(self, q2: Array, flavour: int, scheme: Scheme) -> tuple[Current, Current] | None:
        """G and G' (GeV⁻²), at any q2."""
        return self.weak_couplings(flavour) if self.g or self.g_right else None

    def description(self) -> str:
        """What it is, in one line."""
        given = {"g": self.g, "g_right": self.g_right, "m_chi": self.m_chi}
        words = [f"{name} = {value.real if not value.imag else value:.3g}" for name, value in given.items() if value]
        return ", ".join([f"{self.name}: {self.operator} operator of {self.chi} chi", *words])
