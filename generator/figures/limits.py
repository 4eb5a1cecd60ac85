"""Figures of expected limits: CL_s along a coupling, limits along another parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..toys.limits import ExpectedLimit
from ..toys.sensitivity import Sensitivity
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


def draw_limits(result: Sensitivity) -> Figure:
    """Limits on couplings along a parameter of the model, with their bands; over two of them the median as a map."""
    from .sensitivity import _own, _short, fixed_values

    assert result.versus is not None
    versus, paths = result.versus, list(result.versus.limits)
    with house_style() as plt:
        figure, axes = plt.subplots(len(paths), 1, figsize=(9.0, 6.6 * len(paths)), squeeze=False)
        for axis, path in zip(axes[:, 0], paths, strict=True):
            rows = versus.limits[path]
            bands = np.array([[abs(row.unit) * edge for edge in row.asymptotic.band] for row in rows])
            values = np.array([abs(row.unit) * row.asymptotic.value for row in rows])
            bands, values = np.where(np.isfinite(bands), bands, np.nan), np.where(np.isfinite(values), values, np.nan)
            label = rf"expected limit on $|${axis_label(path)}$|$, {100 * rows[0].level:g} % CL"
            if len(versus.paths) == 2:
                from matplotlib.colors import LogNorm

                x, y = versus.axes
                shape = (len(x), len(y))
                shown = axis.pcolormesh(
                    x,
                    y,
                    np.ma.masked_invalid(values.reshape(shape).T),
                    norm=LogNorm(),
                    cmap="viridis",
                    shading="nearest",
                )
                none = np.argwhere(np.isnan(values.reshape(shape)))
                axis.plot(x[none[:, 0]], y[none[:, 1]], marker=r"$\uparrow$", ms=9, ls="", c="0.3")
                figure.colorbar(shown, ax=axis, label=label)
                axis.set_ylabel(axis_label(versus.paths[1]))
            else:
                (x,) = versus.axes
                axis.fill_between(
                    x, bands[:, 0], bands[:, 4], color=PALETTE[4], alpha=0.5, lw=0, label=r"$\pm 2\sigma$"
                )
                axis.fill_between(
                    x, bands[:, 1], bands[:, 3], color=PALETTE[2], alpha=0.6, lw=0, label=r"$\pm 1\sigma$"
                )
                axis.plot(x, values, "k--", linewidth=2, label="median")
                none = x[np.isnan(values)]
                top = 2.0 * np.nanmax(bands) if np.isfinite(bands).any() else 1.0
                axis.plot(none, np.full(none.shape, top), marker=r"$\uparrow$", ms=13, ls="", c="black")
                axis.set_yscale("log")
                axis.set_ylabel(label)
                axis.set_xlim(x[0], x[-1])
                axis.legend()
            axis.set_xlabel(axis_label(versus.paths[0]))
        varied = {*versus.paths, *paths}
        fixed = ", ".join(f"{_short(k)} = {v:.4g}" for k, v in fixed_values(result, varied).items())
        title = f"{result.card.truth.base().name}, counts of {result.dataset} at {_own(result)}"
        figure.suptitle(f"{title}\nfixed: {fixed}", fontsize=13)
    return _as_figure(figure)
