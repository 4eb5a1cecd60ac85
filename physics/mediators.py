"""What new physics does to an amplitude, and what every mediator, a resonance in q2, has to say for itself.

A mediator is one class (a light particle from `LightMediator`), one entry of ``models.Model``. Amplitudes, bins,
tables, constraints and fits walk the list ``Model.mediators`` and know no kind. What is written for a new kind, on
top of its fields:

- ``total_width``, ``linear_fields``, ``terms``: enough where it acts in charged pairs;
- ``wave`` if a unit coupling is something else than the propagator, ``imaginary_part`` if the width runs;
- ``dark``, ``dark_current``, ``neutrino_current`` and ``weak_couplings`` if it makes invisible pairs;
- ``flight`` if it may live so long that it decays elsewhere, ``pdg`` for its number in HepMC files;
- ``partial_widths``, ``shown``, ``settle``, ``problem``: what is known and said of its numbers.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ..kinematics.base.errors import InputError
from ..kinematics.phasespace import velocity
from .channels import Channel
from .fields import LARGEST, Frozen, Positive
from .widths import HBAR_C, Chi

Scheme = Literal["fixed", "running", "narrow"]
Array = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
Current = complex | ComplexArray
NARROW = 1e-8
"""Γ/m of the line shape that stands for a delta function in the narrow-width limit."""
NARROWEST = 1e-9
"""Smallest Γ/m of a mediator: what double precision resolves in q2."""


class Decay(NamedTuple):
    """B → M ℓℓ as new physics sees it.

    ``lepton`` with its mass (GeV), ``m_b`` at 4.8 GeV, ``prefactor`` N of eq. (9) of arXiv:1704.06188 (GeV⁻²; an
    array where it is drawn), and whether this is the CP conjugate of the b-quark decay.
    """

    lepton: str
    m_lepton: float
    m_b: float
    prefactor: Any = 1.0 + 0j
    conjugate: bool = False


class Term(NamedTuple):
    """Shifts of effective Wilson coefficients that are linear in a product of couplings, per unit of it.

    ``name`` of the term ("C9", "C10p") among those of its mediator; ``couplings`` the fields that are multiplied, of
    which only the first may be complex; ``shifts`` the factor of ``wave`` in each coefficient: 7, 7p, v, vp, a, ap, s,
    sp, p, pp (C7, C9, C10, m_b C_S, m_b C_P and the primed ones, as in flavio). ``weak``: the phase of the coupling
    is a weak one and changes sign for the CP conjugate.
    """

    name: str
    couplings: tuple[str, ...]
    shifts: Mapping[str, float]
    weak: bool = True


class Mark(NamedTuple):
    """A place in q2 (GeV²) that quadratures and tables close in on: by factors of two from ``reach`` to ``step``."""

    q2: float
    step: float
    reach: float = math.inf

    def points(self, end: float) -> Array:
        """The places (GeV²), for a spectrum that ends at ``end``.

        >>> Mark(4.0, 0.5).points(1.0).tolist()
        [3.5, 3.0, 4.0, 4.5, 5.0]
        """
        largest = min(self.reach, end)
        steps = self.step * 2.0 ** np.arange(0.0, max(np.ceil(np.log2(largest / self.step)), 0.0) + 1.0)
        return np.concatenate([self.q2 - steps, [self.q2], self.q2 + steps])


class NewPhysics(Frozen):
    """Anything that shifts the effective Wilson coefficients of b → s ℓℓ, linearly in couplings."""

    @classmethod
    @abstractmethod
    def linear_fields(cls) -> frozenset[str]:
        """Fields that amplitudes are linear in, at fixed values of the others."""

    @abstractmethod
    def terms(self, decay: Decay) -> Sequence[Term]:
        """What a unit of each product of couplings does."""

    @abstractmethod
    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> Current | float:
        """What all terms are multiplied with: a function of q2 (GeV²), never conjugated by itself."""

    def marks(self, channel: Channel, scheme: Scheme) -> list[Mark]:
        """Where the spectrum of a channel needs nodes."""
        return []

    def shifts(self, decay: Decay, q2: Array, scheme: Scheme = "fixed") -> dict[str, Any]:
        """Shifts of the effective coefficients by name, numbers or arrays over q2 (GeV²); none that are zero."""
        found: dict[str, Any] = {}
        wave: Any = None
        for term in self.terms(decay):
            first, *others = (getattr(self, field) for field in term.couplings)
            if first == 0 or 0 in others:
                continue
            if wave is None:
                wave = self.wave(decay, q2, scheme)
            kernel = (first.conjugate() if decay.conjugate and term.weak else first) * wave
            for name, factor in term.shifts.items():
                shift = math.prod(others, start=factor) * kernel
                found[name] = found[name] + shift if name in found else shift
        return found


class PairTensor(NamedTuple):
    """Tensor of an invisible pair, times its velocity: parts along δ_ij, n_i n_j and ε_ijk n_k."""

    isotropic: Array
    aligned: Array
    chiral: Array


Operator = Literal["vector", "scalar", "pseudoscalar", "tensor"]
"""Lorentz structure of what makes a dark pair, see ``invisible.py``."""


class DarkPair(NamedTuple):
    """The pair χχ that a mediator decays to: mass of χ (GeV), its kind, and the operator that makes it."""

    mass: float
    kind: Chi = "dirac"
    operator: Operator = "vector"

    @property
    def threshold(self) -> float:
        """Smallest q2 (GeV²)."""
        return 4 * self.mass**2

    @property
    def pdg(self) -> int:
        """Monte Carlo number of χ: dark matter of spin 1/2 (52) or 0 (51)."""
        return 51 if self.kind == "scalar" else 52

    def tensor(self, q2: Array) -> PairTensor:
        """Tensor of χχ of a vector current at q2 (GeV²), zero below threshold; without the coupling g_χ².

        >>> tensor = DarkPair(0.0).tensor(np.array([1.0]))
        >>> float(tensor.isotropic[0]), float(tensor.aligned[0])
        (1.0, -1.0)
        """
        beta = velocity(q2, self.mass)
        none = np.zeros_like(beta)
        if self.kind == "scalar":
            return PairTensor(none, beta**3 / 2, none)
        return PairTensor(beta, -(beta**3), none)


class Interaction(NewPhysics):
    """An entry of a model's lists: a mediator, or what no propagator belongs to (``contact.py``)."""

    symbol: ClassVar[str] = "R"
    """How it is written in formulas and legends."""

    name: str = "R"

    def check(self) -> None:
        """ValueError for fields that do not go together."""

    def problem(self, scheme: Scheme) -> str | None:
        """Why a form of the width cannot be had, as "field = value: reason; way out"; None if it can."""
        return None

    @classmethod
    def settle(cls, fields: dict[str, Any], given: set[str]) -> None:
        """Take out of ``fields`` what those that were just given replace."""

    def partial_widths(self) -> dict[str, float]:
        """Widths (GeV), on shell, into the pairs of leptons that it is known to couple to."""
        return {}

    def couples(self, channel: Channel) -> bool:
        """Whether it has a line shape in a channel."""
        if channel.lepton is None:
            return False
        terms = self.terms(Decay(channel.lepton, channel.lepton_mass(), 1.0))
        return any(all(getattr(self, field) != 0 for field in term.couplings) for term in terms)

    @property
    def dark(self) -> DarkPair | None:
        """The dark pair that it decays to; χ of different mediators do not interfere."""
        return None

    def dark_width(self) -> float:
        """Width, on shell, into the dark pair (GeV)."""
        return 0.0

    def weak_couplings(self, flavour: int) -> tuple[complex, complex]:
        """Couplings to the left- and right-handed b → s current, complex-conjugated for flavour +1 (B0, B+)."""
        return 0j, 0j

    def dark_current(self, q2: Array, flavour: int, scheme: Scheme) -> tuple[Current, Current] | None:
        """Couplings times propagator times coupling to χ (GeV⁻²), of s_L and of s_R; None where that is zero.

        Of currents these are left and right; of (pseudo)scalar and tensor operators those of s̄_L b_R and s̄_R b_L.
        """
        return None

    def neutrino_current(self, q2: Array, flavour: int, scheme: Scheme) -> tuple[Current, Current] | None:
        """The same for ν_μ, in the normalisation of ν̄ γ (1 - γ5) ν, to which the Standard Model is added."""
        return None

    def shown(self) -> Mapping[str, complex | None]:
        """Numbers to list, those that are not zero, beside mass and width."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.linear_fields()}

    @abstractmethod
    def description(self) -> str:
        """What it is, in one line."""

    def legend(self) -> str:
        """What it is in the legend of a figure, where mathematics stands between dollars."""
        return self.description()


_FAR_ABOVE = 300.0  # GeV, 60 times the B's mass: probably meant in MeV


class Mediator(Interaction):
    """A resonance in q2. The module's text says what a new kind has to define."""

    exact_divergence: ClassVar[bool] = True
    """Whether its C_P is the divergence of a current, in which no quark mass is left out (V, eq. (7))."""

    pdg: ClassVar[int] = 55
    """Monte Carlo number (PDG): a mediator of dark matter of spin 1; 54 is one of spin 0."""

    mass: Annotated[Positive, Field(ge=1 / LARGEST)]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        self.check()
        if self.mass > _FAR_ABOVE:
            warnings.warn(f"mass = {self.mass:g} GeV of {self.name}: masses are in GeV", stacklevel=2)
        if self.flight is not None and self.total_width > NARROW * self.mass:
            raise ValueError(
                f"ctau = {self.flight:.3g} mm: is a width of {self.total_width:.3g} GeV, and nothing resolves where a "
                f"{self.symbol} wider than {NARROW:g} of its mass decays; give width = {self.total_width:.3g}, or "
                f"ctau above {HBAR_C / (NARROW * self.mass):.3g} mm"
            )
        if self.shape_width("fixed") < NARROWEST * self.mass:
            raise ValueError(
                f"width = {self.total_width:.3g} GeV: double precision resolves no {self.symbol} narrower than "
                f"{NARROWEST:g} of its mass, {NARROWEST * self.mass:.3g} GeV; give a larger width"
            )
        return self

    @property
    @abstractmethod
    def total_width(self) -> float:
        """Total width (GeV)."""

    @property
    def flight(self) -> float | None:
        """Mean proper decay length cτ (mm) of a mediator that flies; None of one that decays where it is made."""
        return None

    def shape_width(self, scheme: Scheme) -> float:
        """Width of the line shape (GeV): the total width; of a ``narrow`` mediator, or one that flies, 1e-8 m."""
        return NARROW * self.mass if scheme == "narrow" or self.flight is not None else self.total_width

    def imaginary_part(self, q2: Array, scheme: Scheme) -> Array | float:
        """Imaginary part of the propagator's denominator (GeV²)."""
        return self.mass * self.shape_width("fixed")

    def propagator(self, q2: npt.ArrayLike, scheme: Scheme = "fixed") -> ComplexArray:
        r"""Breit-Wigner propagator (GeV⁻²) at q2 (GeV²), :math:`1/(q^2-m^2+i\,m\Gamma)` if the width is fixed.

        The phase is a strong phase: never conjugated, also not for the conjugate decay. InputError for ``narrow``: what
        interferes has a width.

        Of a mediator that flies (``flight``) it is that of Γ' = 1e-8 m times :math:`\sqrt{\Gamma'/\Gamma}`, so that
        the peak has the rates of two bodies and the branching fractions of the true width, ħc/cτ.
        """
        if scheme == "narrow":
            raise InputError(
                f"width = narrow: {self.name} interferes with the Standard Model in this decay, which its width "
                "shapes; take fixed or running (narrow is for B -> K(*) chi chi)"
            )
        s = np.asarray(q2, dtype=float)
        size = 1.0 if self.flight is None else math.sqrt(self.shape_width(scheme) / self.total_width)
        return np.asarray(size / (s - self.mass**2 + 1j * self.imaginary_part(s, scheme)), dtype=complex)

    def wave(self, decay: Decay, q2: Array, scheme: Scheme) -> Current | float:
        """The propagator."""
        return self.propagator(q2, scheme)

    def marks(self, channel: Channel, scheme: Scheme) -> list[Mark]:
        """Where the spectrum of a channel needs nodes: from a quarter of m Γ about the pole outwards."""
        return [Mark(self.mass**2, 0.25 * self.mass * self.shape_width("fixed"))] if self.couples(channel) else []

    def dark_wave(self, q2: Array, scheme: Scheme, coupling: float) -> ComplexArray:
        r"""Propagator times the coupling to χ (GeV⁻²).

        In the narrow-width limit the line shape, :math:`|wave|^2\sqrt{q^2}\,\Gamma_{\chi\chi}(q^2)/(\pi g_\chi^2)`,
        is δ(q² - m²) Γ_χχ/Γ. It is taken as a resonance with Γ/m = 1e-8 and the branching fraction of the true
        mediator, so that rates are those of two bodies to 1e-8 and events have q² = m² to 1e-8, up to the tails.
        """
        if scheme == "narrow":
            width = self.shape_width(scheme)
            narrowed = coupling * np.sqrt(width / self.total_width)
            return np.asarray(narrowed / (q2 - self.mass**2 + 1j * self.mass * width))
        return np.asarray(self.propagator(q2, scheme) * coupling)

    def description(self) -> str:
        """What it is, in one line."""
        given = [f"{name} = {value:.3g}" for name, value in self.shown().items() if value]
        size = f"width = {self.total_width:g} GeV" if self.flight is None else f"ctau = {self.flight:g} mm"
        return f"{self.name}: m = {self.mass:g} GeV, {size}, {', '.join(given)}"

    def legend(self) -> str:
        """Its mass."""
        return f"$m_{self.symbol} = {self.mass:g}$ GeV"
