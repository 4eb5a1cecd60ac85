"""Figures of unbinned fits: spectra of the channels with pulls, profiles, limits, global significances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...physics.channels import get_channel
from ..fits.elsewhere import GlobalSignificance
from ..fits.fit import Fit, Goodness
from ..fits.likelihood import Likelihood
from ..fits.limits import FitLimits
from ..fits.profile import Profile
from .figure_2 import axis_label
from .style import PALETTE, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_fit(found: Fit) -> Figure:
    """Draw the events of each channel in bins of q2, the fit, the SM from the same number of B mesons, and pulls."""
    n = len(found.goodness)
    with house_style() as plt:
        figure, axes = plt.subplots(
            2, n, figsize=(8.5 * n, 8.0), sharex="col", squeeze=False, gridspec_kw={"height_ratios": [3.0, 1.0]}
        )
        for (top, low), one in zip(axes.T, found.goodness, strict=True):
            _spectrum(top, found, one)
            pulls = (np.array(one.counts) - one.expected) / np.sqrt(one.expected)
            middles = 0.5 * (np.array(one.edges[1:]) + one.edges[:-1])
            low.bar(middles, pulls, np.diff(one.edges), color="0.6", linewidth=0)
            low.axhline(0.0, color="0.3", linewidth=1)
            low.set_ylim(-5.0, 5.0)
            low.set_xlim(one.edges[0], one.edges[-1])
            low.set_ylabel("pull")
            low.set_xlabel(r"$q^2$ [GeV$^2$]")
    return _as_figure(figure)


def _spectrum(axis: Axes, found: Fit, one: Goodness) -> None:
    """Events per GeV² with the curves of the fit."""
    edges = np.array(one.edges)
    width, counts = np.diff(edges), np.array(one.counts)
    middles = 0.5 * (edges[1:] + edges[:-1])
    places, whole, standard, background = _curves(found.likelihood, one, found.values)
    axis.plot(places, whole, color=PALETTE[0], label="fit")
    axis.plot(places, standard, "--", color=PALETTE[1], label="Standard Model")
    if any(part.below for part in found.likelihood.parts):
        axis.fill_between(places, background, color="0.85", linewidth=0, label="background")
    axis.errorbar(middles, counts / width, np.sqrt(counts) / width, 0.5 * width, fmt="ko", markersize=3, label="events")
    axis.set_ylabel(r"events / GeV$^2$")
    axis.set_ylim(0.0, None)
    axis.legend(title=f"${get_channel(one.channel).latex}$, $\\chi^2$ = {one.chi2:.0f} in {len(counts)} bins")


def _curves(likelihood: Likelihood, one: Goodness, values: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    """Places in q2, and expected events per GeV² there: of the fit, of the Standard Model, and of backgrounds.

    The Standard Model has the same number of B mesons, and the same backgrounds.
    """
    parts = likelihood.parts_at(values, one.channel)
    pieces = parts[0].rate.pieces(300)
    at_best = [(part, likelihood.point(part, values)) for part in parts]
    at_zero = [(part, part.amplitude.point(likelihood.base.standard)) for part in parts]
    signal, standard = (
        np.sum([part.rate.spectrum(point, pieces) for part, point in points], axis=0) for points in (at_best, at_zero)
    )
    whole = likelihood.spectrum(one.channel, pieces, values)
    share = likelihood.signal(parts[0], values)
    background = whole - share * signal / signal.sum()
    low, high = np.array(pieces).T
    scale = sum(one.counts) / (high - low)
    rest = share * standard / signal.sum() + background
    return 0.5 * (low + high), scale * whole, scale * rest, scale * background


def draw_profile(found: Profile) -> Figure:
    """Draw -2 ln L along a field, or its map in the plane of two with contours of 68 and 95 %."""
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(9.5, 7.0))
        if len(found.names) == 1:
            axis.plot(found.places[0], found.rise, color=PALETTE[0])
            for level in (1.0, 4.0):
                axis.axhline(level, color="0.5", linestyle="--", linewidth=1)
            axis.set_ylim(0.0, None)
            axis.set_ylabel(r"$-2\,\Delta\ln L$")
        else:
            x, y = found.places
            rise = np.where(np.isfinite(found.rise), np.maximum(found.rise, 0.0), np.nan).T
            shown = axis.pcolormesh(x, y, rise, vmin=0.0, vmax=25.0, cmap="Greys_r", shading="nearest", rasterized=True)
            figure.colorbar(shown, ax=axis, label=r"$-2\,\Delta\ln L$", extend="max")
            for share, colour in ((0.6827, PALETTE[0]), (0.9545, PALETTE[1])):
                axis.contour(x, y, rise, levels=[-2.0 * np.log(1.0 - share)], colors=[colour])
                axis.plot([], color=colour, label=f"{100 * share:.0f} %")
            axis.plot(*found.best, "+", color=PALETTE[1], markersize=12, label="best")
            axis.legend()
            axis.set_ylabel(axis_label(found.names[1]))
        axis.set_xlabel(axis_label(found.names[0]))
    return _as_figure(figure)


def draw_limits(found: FitLimits) -> Figure:
    """Draw limits of both signs along a field with their expected bands, over two fields the smaller size as a map."""
    keys = list(found[0].at)
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(9.5, 7.0))
        places = np.array([[row.at[key] for key in keys] for row in found]).reshape(len(found), len(keys))
        sides = [(row.lower, row.upper) for row in found]
        if len(keys) == 2:
            sizes = [max((abs(x) for x in pair if x is not None), default=np.nan) for pair in sides]
            shown = axis.scatter(*places.T, c=sizes, marker="s", s=200, cmap="viridis")
            label = rf"limit on $|${axis_label(found[0].coupling)}$|$"
            figure.colorbar(shown, ax=axis, label=f"{label}, {100 * found.level:g} % CL")
            axis.set_ylabel(axis_label(keys[1]))
        else:
            x = places[:, 0] if keys else np.zeros(len(found))
            for side, bands in enumerate(([row.band_lower for row in found], [row.band_upper for row in found])):
                if all(bands):
                    edges = np.array(bands, dtype=float)
                    axis.fill_between(x, edges[:, 0], edges[:, 4], color=PALETTE[4], alpha=0.5, lw=0)
                    axis.fill_between(x, edges[:, 1], edges[:, 3], color=PALETTE[2], alpha=0.6, lw=0)
                    axis.plot(x, edges[:, 2], "k--", label="expected" if side else None)
                values = [np.nan if pair[side] is None else pair[side] for pair in sides]
                axis.plot(x, values, "ko-", label="observed" if side else None)
            axis.axhline(0.0, color="0.5", linewidth=1)
            axis.set_ylabel(f"{axis_label(found[0].coupling)}, {100 * found.level:g} % CL")
            axis.legend()
        axis.set_xlabel(axis_label(keys[0]) if keys else "")
    return _as_figure(figure)


def draw_significance(found: GlobalSignificance) -> Figure:
    """Draw the largest q of toys without the coupling, and that of the data."""
    largest = found.records()["maximum"]
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(9.0, 6.5))
        axis.hist(largest, bins=20, histtype="step", color=PALETTE[0], label=f"{found.toys} toys")
        axis.axvline(found.q, color=PALETTE[1], label=f"data: global p = {found.p_value:.2g}")
        axis.set_xlabel(r"largest $-2\,\Delta\ln L$")
        axis.set_ylabel("toys")
        axis.legend()
    return _as_figure(figure)
