"""The figure of a scan: a plane with its regions, or the profile along every axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...physics.experiment.likelihood import get_group
from ..scans.scan import ScanResult
from .figure_2 import axis_label, draw_figure_2, plane_of
from .style import LINES, PALETTE, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_scan(result: ScanResult) -> Figure:
    """Draw the plane of a scan of two axes as in figure 2 of the paper, of any other number their profiles."""
    axes = [axis for axis in result.card.axes if axis.points > 1]
    if len(axes) == 2 == len(result.card.axes):
        return draw_figure_2([plane_of(result)])
    axes = axes or list(result.card.axes)
    with house_style() as plt:
        figure, panels = plt.subplots(1, len(axes), figsize=(7.5 * len(axes), 6), squeeze=False)
        for panel, axis in zip(panels[0], axes, strict=True):
            for colour, line, name in zip(PALETTE, ("-", *LINES), (*result.card.groups, None), strict=False):
                profile = result.profile([axis.key], name)
                label = "all" if name is None else get_group(name).label
                panel.plot(
                    axis.values, profile - profile.min(), color=colour, linestyle=line, label=label, linewidth=2.2
                )
            panel.set_xlabel(axis_label(axis.key))
            panel.set_xscale(axis.scale)
            panel.set_ylim(0, 15)
        panels[0][0].set_ylabel(r"$\Delta\chi^2$ of the profile")
        panels[0][0].legend(loc="best")
    return _as_figure(figure)
