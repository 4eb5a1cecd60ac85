r"""Backgrounds in an unbinned fit: their share of a channel's events, and their shape in q2, float.

A component is flat in the angles and in the Kπ mass that is allowed, the same for both flavours, and in q2

.. math:: B(q^2) \propto h(q^2)\,e^{\kappa q^2}

with a slope κ (1/GeV²) and h flat or a histogram. It is what is found: no efficiency is applied to it. The density of
an event is (1 - Σ f) ε S / Γ + Σ f B, where S is the signal's, Γ its rate behind the efficiency ε, and f the fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from .amplitude import Array

PREFIX = "backgrounds."
"""Of paths of what floats: ``backgrounds.NAME.fraction``, ``.slope``, and with a mass of the B ``.b_mass_slope``."""
FIELDS = ("fraction", "slope", "b_mass_slope")
_ORDER = 24  # of integrals over q2 between two edges


class Background(BaseModel):
    """One component: fields as in a fit's card.

    Attributes:
        fraction: of the events of a channel, where the search starts.
        slope: κ (1/GeV²).
        shape: h: ``flat``, or a table, pairs of an upper edge in q2 (GeV²) and a content, the first the lowest edge
            with nothing, as the backgrounds of toys have it.
        b_mass_slope: κ (1/GeV) of exp(κ m) in the mass of the B, if that is fitted, see `mass`; 0 is flat.
        channel: the one channel that has it; all if None.

    >>> Background(fraction=0.2).slope
    0.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fraction: float = Field(default=0.1, ge=0, lt=1)
    slope: float = Field(default=0.0, ge=-10, le=10)
    b_mass_slope: float = Field(default=0.0, ge=-100, le=100)
    shape: str | tuple[tuple[float, float], ...] = "flat"
    channel: str | None = None

    @field_validator("shape")
    @classmethod
    def _known(cls, shape: str | tuple[tuple[float, float], ...]) -> str | tuple[tuple[float, float], ...]:
        if isinstance(shape, str):
            if shape != "flat":
                raise InputError(f"shape = {shape!r}: flat, or a table of upper edges in q2 and contents")
            return shape
        edges, contents = np.array(shape).T if len(shape) > 1 else (np.zeros(2), np.zeros(2))
        if not (np.all(np.diff(edges) > 0) and np.all(contents >= 0) and contents[0] == 0 and contents.sum() > 0):
            raise InputError("shape: rising edges, the first with nothing, and contents of 0 or more are needed")
        return shape


@dataclass(frozen=True, eq=False)
class Component:
    """A background in ranges of q2: ``edges`` (n, 2) between which h is ``heights`` (n,), and where it starts."""

    name: str
    edges: Array
    heights: Array
    fraction: float
    slope: float
    b_mass_slope: float = 0.0

    @property
    def paths(self) -> tuple[str, str, str]:
        """Of its fraction and slopes, in q2 and in the mass of the B."""
        fraction, slope, of_mass = (f"{PREFIX}{self.name}.{field}" for field in FIELDS)
        return fraction, slope, of_mass

    def at(self, more: Mapping[str, float]) -> tuple[float, float]:
        """Fraction and slope, with values by path on top."""
        fraction, slope, _ = self.paths
        return more.get(fraction, self.fraction), more.get(slope, self.slope)

    def b_mass_slope_at(self, more: Mapping[str, float]) -> float:
        """Slope in the mass of the B, in the same way."""
        return more.get(self.paths[2], self.b_mass_slope)

    def shape(self, q2: Array, slope: float) -> tuple[Array, Array]:
        """B(q2) (1/GeV²) and its derivative by the slope.

        >>> one = component("x", Background(), [(1.0, 3.0)])
        >>> [part.round(3).tolist() for part in one.shape(np.array([1.5, 2.0]), 0.0)]
        [[0.5, 0.5], [-0.25, 0.0]]
        """
        middle = float(self.edges.mean())
        nodes, weights = self._rule(self.edges)
        wave = np.exp(slope * (nodes - middle)) * weights * self.heights[:, None]
        norm, mean = wave.sum(), np.sum(wave * nodes) / wave.sum()
        place = np.clip(np.searchsorted(self.edges[:, 0], q2, side="right") - 1, 0, len(self.edges) - 1)
        inside = (q2 >= self.edges[place, 0]) & (q2 <= self.edges[place, 1])
        values = np.where(inside, self.heights[place] * np.exp(slope * (q2 - middle)) / norm, 0.0)
        return values, values * (q2 - mean)

    def shares(self, ranges: Sequence[tuple[float, float]], slope: float) -> Array:
        """Integrals of B over ranges of q2 (GeV²)."""
        found = []
        for low, high in ranges:
            cuts = self.edges.ravel()
            cuts = np.unique(np.concatenate([[low, high], cuts[(cuts > low) & (cuts < high)]]))
            nodes, weights = self._rule(np.stack([cuts[:-1], cuts[1:]], axis=1))
            found.append(float(np.sum(self.shape(nodes.ravel(), slope)[0] * weights.ravel())))
        return np.array(found)

    def drawn(self, uniform: Array, slope: float) -> Array:
        """q2 (GeV²) of its distribution, at uniform numbers between 0 and 1: on each piece an exponential's inverse.

        >>> one = component("x", Background(), [(1.0, 2.0), (3.0, 4.0)])
        >>> [one.drawn(np.array([0.25, 0.75]), slope).round(3).tolist() for slope in (0.0, 5.0)]
        [[1.5, 3.5], [3.727, 3.943]]
        """
        low, width = self.edges[:, 0], np.diff(self.edges, axis=1)[:, 0]
        x = slope * width
        steps = np.where(np.abs(x) > 1e-9, x, 1e-9)
        contents = self.heights * width * np.exp(slope * (low - self.edges.mean())) * np.expm1(steps) / steps
        ends = np.cumsum(contents) / contents.sum()
        cell = np.minimum(np.searchsorted(ends, uniform, side="right"), len(ends) - 1)
        inside = 1.0 - (ends[cell] - uniform) * contents.sum() / contents[cell]
        return np.asarray(low[cell] + width[cell] * np.log1p(inside * np.expm1(steps[cell])) / steps[cell])

    @staticmethod
    def _rule(edges: Array) -> tuple[Array, Array]:
        x, w = np.polynomial.legendre.leggauss(_ORDER)
        half = 0.5 * np.diff(edges, axis=1)
        return edges.mean(axis=1, keepdims=True) + half * x, half * w


@dataclass(frozen=True, eq=False)
class Below:
    """A component at events: ``rest`` (events,) is its density in all that is not q2, flavours included."""

    component: Component
    rest: Array


def component(name: str, background: Background, ranges: Sequence[tuple[float, float]]) -> Component:
    """The component of a background in ranges of q2 (GeV²).

    Raises:
        InputError: a table with nothing there.

    Example:
        >>> component("x", Background(shape=((0, 0), (2, 1), (3, 1))), [(1, 4)]).heights.tolist()
        [0.5, 1.0]
    """
    table = [(low, high, 1.0) for low, high in ranges]
    if not isinstance(background.shape, str):
        edges, contents = np.array(background.shape).T
        bins = list(zip(edges[:-1], edges[1:], contents[1:], strict=True))
        cut = ((max(a, low), min(b, high), c / (b - a)) for low, high in ranges for a, b, c in bins)
        table = [(a, b, height) for a, b, height in cut if a < b]
    if not any(height > 0 for *_, height in table):
        raise InputError(f"backgrounds.{name}.shape: nothing of it is in the q2 of the events")
    found = np.array(table)
    return Component(name, found[:, :2], found[:, 2], background.fraction, background.slope, background.b_mass_slope)


def rest_of(columns: Mapping[str, Any], channel: Channel, flavours: int, window: tuple[float, float, float]) -> Array:
    """Density of a background in angles, flavour, and the Kπ mass if there is one.

    Args:
        columns: of the events of one flavour.
        channel: of the events.
        flavours: number of flavours that were selected.
        window: low and high end of the Kπ mass, and mass of the B (GeV).
    """
    sides = {"phi": 2.0 * np.pi}
    solid = float(np.prod([sides.get(name, 2.0) for name in channel.angles]))
    found = np.full(len(columns["q2"]), 1.0 / (solid * flavours))
    if "m_kpi" in columns:
        low, high, parent = window
        found /= np.minimum(high, parent - np.sqrt(columns["q2"])) - low
    return found
