"""The figure of a recast likelihood: the best V at each mass and the limit, against mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..scans.recast import Recast
from .style import PALETTE, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_recast(found: Recast) -> Figure:
    """Draw the branching fraction that fits best at each mass with its interval, the CLs limit and the expected one."""
    mass = np.array([row.mass for row in found])
    with house_style() as plt:
        figure, (top, low) = plt.subplots(
            2, 1, figsize=(8.5, 8.0), sharex=True, gridspec_kw={"height_ratios": [2.2, 1.0]}
        )
        top.fill_between(
            mass,
            [1e6 * row.low for row in found],
            [1e6 * row.high for row in found],
            color=PALETTE[0],
            alpha=0.25,
            linewidth=0,
        )
        top.plot(mass, [1e6 * row.branching for row in found], color=PALETTE[0], label=r"best, $\Delta(-2\ln L)=1$")
        top.plot(mass, [1e6 * row.upper for row in found], "-.", color=PALETTE[1], label="95 % CLs")
        top.plot(mass, [1e6 * row.expected for row in found], "--", color="0.4", label="expected without $V$")
        top.set_ylim(0.0, 30.0)
        top.set_ylabel(r"$10^6\,\mathcal{B}(B^+\to K^+V)$")
        top.legend()
        low.plot(mass, [np.sqrt(row.gain) for row in found], color=PALETTE[0])
        low.set_ylabel("standard deviations")
        low.set_xlabel(r"$m_V$ (GeV)")
        low.set_xlim(mass[0], mass[-1])
        low.set_ylim(0.0, None)
    return _as_figure(figure)
