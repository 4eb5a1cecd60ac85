"""Limits on a V that depend on its mass, or on its mass and lifetime: curves and tables of experiments."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

FloatArray = NDArray[np.float64]
FOLDER = Path(__file__).with_name("data") / "tables"
HBAR = 6.582119569e-13
"""GeV ps: lifetime (ps) = HBAR / width (GeV); CODATA 2018."""


class Curve(BaseModel):
    """Upper limits by mass: points of a curve, or a file of ``data/tables``.

    Attributes:
        source: where it is from.
        of: what is limited.
        cl: its confidence level.
        read: date on which it was read there.
        mass: masses (GeV) of the points, rising; between them the limit is interpolated.
        limit: the limit at each.
        file: in place of the points, a table of limits in bins of mass (MeV) by lifetime (ps), or a likelihood.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str
    of: str = ""
    cl: Annotated[float, Field(gt=0, lt=1)]
    read: Annotated[str, BeforeValidator(str)] = ""
    mass: tuple[float, ...] = ()
    limit: tuple[float, ...] = ()
    file: str | None = None

    @model_validator(mode="after")
    def _points_or_file(self) -> Curve:
        if (self.file is None) == (not self.mass) or len(self.mass) != len(self.limit):
            raise ValueError("give mass and limit, as many of one as of the other, or a file")
        if any(a >= b for a, b in zip(self.mass, self.mass[1:], strict=False)):
            raise ValueError("mass: has to rise")
        return self

    @property
    def level(self) -> str:
        """Confidence level in words."""
        return f"{100 * self.cl:g} % CL"

    def at(self, mass: float, width: float = math.inf) -> float | None:
        """The limit for a mass and width (GeV), or None where there is none: outside, in a veto, or too long-lived.

        Between points of a curve it is linear. In a table the lifetime is interpolated logarithmically; one shorter
        than all takes the shortest.

        >>> Curve(source="here", cl=0.9, mass=(1.0, 2.0), limit=(0.1, 0.3)).at(1.5)
        0.2
        """
        if self.file is None:
            inside = self.mass[0] <= mass <= self.mass[-1]
            return float(np.interp(mass, self.mass, self.limit)) if inside else None
        low, high, lifetimes, limits = read_table(self.file)
        found = np.flatnonzero((low <= 1e3 * mass) & (1e3 * mass < high))
        lifetime = HBAR / width
        if not found.size or lifetime > lifetimes[-1]:
            return None
        value = np.interp(math.log(max(lifetime, 1e-30)), np.log(lifetimes), np.log(limits[found[0]]))
        return float(np.exp(value)) if np.isfinite(value) else None


@lru_cache(maxsize=8)
def read_table(file: str) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Ends of the bins of mass (MeV), lifetimes (ps), and limits (n_bins, n_lifetimes); NaN where there is none.

    >>> low, high, lifetimes, limits = read_table("lhcb_1508.04094.csv")
    >>> limits.shape, float(limits[0, 0])
    ((1377, 10), 4.78e-09)
    """
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    numbers = np.array([[float(x) for x in row] for row in rows[1:]])
    return numbers[:, 0], numbers[:, 1], np.array([float(x) for x in rows[0][2:]]), numbers[:, 2:]
