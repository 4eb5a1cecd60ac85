"""What the light vector and the light scalar share: a total width that is given, or that follows from couplings."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from .fields import Positive
from .mediators import Mediator
from .widths import HBAR_C


class LightMediator(Mediator):
    """A new particle: its width is one of ``width`` (GeV), ``relative_width`` (Γ/m) and ``ctau`` (mm), or of couplings.

    With ``ctau``, a mean proper decay length ħc/Γ, it flies before it decays. What is written for a new kind is
    ``coupled_width``, next to what `Mediator` asks for.
    """

    width: Positive | None = None
    relative_width: Positive | None = None
    ctau: Positive | None = None

    gives_width: ClassVar[frozenset[str]] = frozenset({"width", "relative_width", "ctau"})
    """Fields of which any replaces the width that there was."""

    @property
    @abstractmethod
    def coupled_width(self) -> float:
        """Total width (GeV) by its couplings, where no field gives it."""

    @property
    def given_width(self) -> float | None:
        """Total width (GeV) that a field gives, a lifetime included; None without. ValueError if two of them do.

        >>> from darkpenguin.physics.light_vector import LightVector
        >>> LightVector(mass=2.0, g_chi=1.0).given_width, LightVector(mass=2.0, relative_width=0.1).given_width
        (None, 0.2)
        """
        units = {"width": " GeV", "relative_width": "", "ctau": " mm"}
        values = {name: getattr(self, name) for name in units}
        given = [f"{name} = {value:g}{units[name]}" for name, value in values.items() if value is not None]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]} are both given; keep one")
        if self.relative_width is not None:
            return self.relative_width * self.mass
        return HBAR_C / self.ctau if self.ctau is not None else self.width

    @property
    def total_width(self) -> float:
        """Total width (GeV): the given one, else that of its couplings."""
        given = self.given_width
        return self.coupled_width if given is None else given

    @property
    def flight(self) -> float | None:
        """``ctau``: mean proper decay length (mm)."""
        return self.ctau

    @classmethod
    def settle(cls, fields: dict[str, Any], given: set[str]) -> None:
        """A width in any form replaces the one that there was."""
        if given & cls.gives_width:
            fields.update(dict.fromkeys({"width", "relative_width", "ctau"} - given))
