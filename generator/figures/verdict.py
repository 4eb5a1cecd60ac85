"""The figure of a validation: pulls and spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...physics.channels import CHANNELS
from ...physics.expectation import FLAVOURS
from .style import Q2_LABEL, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..analysis.validate import ChannelVerdict, Verdict


def draw_verdict(verdict: Verdict) -> Figure:
    """Draw what a validation compared: pulls of every J_i, and the q2 spectrum over its prediction."""
    n_rows = len(verdict.channels)
    with house_style() as plt:
        figure, axes = plt.subplots(n_rows, 2, figsize=(14, 4.5 * n_rows), squeeze=False)
        for (left, right), item in zip(axes, verdict.channels, strict=True):
            _draw_pulls(left, item)
            _draw_spectrum(right, item)
    return _as_figure(figure)


def _draw_pulls(axis: Axes, item: ChannelVerdict) -> None:
    tests = [test for test in item.tests if test.group == "moment"]
    names = list(dict.fromkeys(test.name for test in tests))
    for offset, (word, marker) in zip((-0.2, 0.0, 0.2), (("b", "^"), ("both", "o"), ("bbar", "v")), strict=True):
        chosen = [test for test in tests if test.flavour == word]
        if chosen:
            label = {"b": "$B$", "both": "both", "bbar": r"$\bar{B}$"}[word]
            places = [names.index(test.name) + offset for test in chosen]
            axis.plot(places, [test.pull for test in chosen], marker, label=label, markersize=6)
    axis.axhspan(-1, 1, color="0.85", zorder=0)
    axis.axhline(0, color="0.4", linewidth=1)
    axis.set_xticks(range(len(names)), [f"${name.replace('_', '_{')}}}$" for name in names])
    axis.minorticks_off()
    limit = max(4.0, 1.3 * max((abs(test.pull) for test in tests), default=0.0))
    axis.set_ylim(-limit, 1.4 * limit)  # room for the legend
    axis.set_ylabel("pull of the moment")
    axis.set_title(f"${CHANNELS[item.channel].latex}$, {item.events:,} events", fontsize=15)
    if tests:
        axis.legend(loc="upper right", ncols=3)


def _draw_spectrum(axis: Axes, item: ChannelVerdict) -> None:
    prediction = item.expectation
    rows = [FLAVOURS.index(flavour) for flavour in prediction.flavours]
    counts = (item.sums[rows] @ prediction.basis.unity).sum(axis=0)
    expected = max(item.events, 1) * (prediction.means @ prediction.basis.unity).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, error = counts / expected - 1, 1 / np.sqrt(expected)
    edges = prediction.edges
    logarithmic = edges[len(edges) // 4] < 0.02 * edges[-1]  # a quarter of the events at the photon pole
    centre = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else 0.5 * (edges[1:] + edges[:-1])
    scale = 10.0 ** np.floor(np.log10(np.max(error)))
    axis.errorbar(centre, ratio / scale, yerr=error / scale, fmt="o", markersize=4, linewidth=1.2)
    axis.axhline(0, color="0.4", linewidth=1)
    if logarithmic:
        axis.set_xscale("log")
    axis.set_xlabel(Q2_LABEL)
    axis.set_ylabel(f"(events / prediction - 1) / {scale:g}")
    axis.set_title(f"smallest p-value times {len(item.tests)} tests: {item.p_value:.3g}", fontsize=15)
