"""The figure of an expected limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..toys.limits import ExpectedLimit
from .figure_2 import axis_label
from .style import PALETTE, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_limit(found: ExpectedLimit) -> Figure:
    """Draw CL_s along a coupling, asymptotically and from toys, with the level of a limit and its band in grey."""
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(8.5, 6.4))
        kinds = (("asymptotic", found.asymptotic, "-"), ("toys", found.toys, "o"))
        for colour, (label, limit, style) in zip(PALETTE, kinds, strict=False):
            if limit is not None:
                value = limit.value * found.unit
                axis.plot(limit.grid * found.unit, limit.points, style, color=colour, label=f"{label}: {value:.3g}")
                if np.isfinite(value):
                    axis.axvline(value, color=colour, linestyle=":", linewidth=1.2)
        edges = [found.unit * edge for edge in found.asymptotic.band]
        if np.all(np.isfinite(edges)):
            for low, high, shade in ((0, 4, 0.12), (1, 3, 0.2)):
                axis.axvspan(*sorted((edges[low], edges[high])), color="0.3", alpha=shade, linewidth=0)
        axis.axhline(1 - found.level, color="0.4", linewidth=1)
        axis.set_yscale("log")
        axis.set_ylim(0.02 * (1 - found.level), 1.5)
        ends = [end for end in (*np.ravel(found.asymptotic.intervals), *found.asymptotic.band) if np.isfinite(end)]
        axis.set_xlim(*sorted((0.0, 1.25 * found.unit * max([*ends, found.asymptotic.grid[1]]))))
        axis.set_xlabel(axis_label(found.path))
        axis.set_ylabel(r"expected $\mathrm{CL}_s$")
        axis.legend(title=f"{100 * found.level:g} % CL")
    return _as_figure(figure)
