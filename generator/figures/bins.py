"""Figures of binned files: yields, R and angular observables against q2, and migrations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ...kinematics.base.errors import InputError
from ...physics.binning import BinnedValue
from ...physics.channels import CHANNELS
from ...physics.observables import OBSERVABLES
from ...physics.predict import label_of
from ..analysis.migration import Migration
from ..files.columns import axis_label, columns
from .style import PALETTE, Q2_LABEL, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = {"q2": Q2_LABEL, "q2_reco": Q2_LABEL.replace("q^2", r"q^2_\mathrm{rec}")}
_MARKERS = "os^Dv<>p"


def _per_unit(variable: str) -> str:
    """Label of a spectrum in a column."""
    column = columns().get(variable)
    unit = "" if column is None or column.unit == "1" else f" / {column.unit}"
    return r"events / GeV$^2$" if variable in _LABELS else f"events{unit}"


def draw_bins(rows: Sequence[BinnedValue], variable: str = "q2", state: str = "") -> Figure:
    """Draw binned values with their errors, a panel a quantity and a marker a channel; bins are horizontal bars.

    The title is ``state``, what the values are. Yields and R come first, then the observables whose row says that they
    have a panel, or all if none of them has.

    Raises:
        InputError: nothing to draw.
    """
    ratios = list(dict.fromkeys(row.observable for row in rows if row.observable.startswith("R_")))
    present = {row.observable for row in rows}
    angular = [name for name in OBSERVABLES if name in present and name not in ratios]
    panels = (["yield"] if "yield" in present else []) + (["R"] if ratios else [])
    panels += [name for name in angular if OBSERVABLES[name].panel] or ([] if panels else angular)
    if not panels:
        raise InputError("figure: no bin has events")
    names = list(dict.fromkeys(row.channel for row in rows if row.channel in CHANNELS))
    style = {name: (PALETTE[i % len(PALETTE)], _MARKERS[i % len(_MARKERS)]) for i, name in enumerate([*names, *ratios])}
    columns = min(3, len(panels))
    with house_style() as plt:
        lines = -(-len(panels) // columns)
        figure: Figure
        figure, axes = plt.subplots(lines, columns, figsize=(6.5 * columns, 5 * lines), squeeze=False)
        for axis in axes.ravel()[len(panels) :]:
            axis.set_visible(False)
        for axis, panel in zip(axes.ravel(), panels, strict=False):
            chosen = [row for row in rows if row.observable == panel or (panel == "R" and row.observable in ratios)]
            for name in dict.fromkeys(row.channel for row in chosen):
                points = [row for row in chosen if row.channel == name]
                low, high, value, error = (
                    np.array([getattr(row, key) for row in points]) for key in ("q2_min", "q2_max", "value", "error")
                )
                width = high - low if panel == "yield" else 1.0
                colour, marker = style[name]
                axis.errorbar(
                    (low + high) / 2,
                    value / width,
                    error / width,
                    (high - low) / 2,
                    color=colour,
                    marker=marker,
                    linestyle="none",
                    label=_label(name),
                )
            axis.set_xlabel(_LABELS.get(variable) or axis_label(variable))
            axis.set_ylabel({"yield": _per_unit(variable), "R": "R"}.get(panel) or label_of(panel))
            if panel == "yield":
                axis.set_yscale("log")
            elif panel == "R":
                axis.axhline(1.0, color="0.5", linewidth=1)
            if panel in ("yield", "R"):
                axis.legend()
        axes[0][0].set_title(state, loc="left", fontsize=14)
        return figure


def draw_migrations(found: Sequence[Migration]) -> Figure:
    """Draw the probability of a reconstructed interval for each true one, a panel a channel.

    Raises:
        InputError: nothing to draw.
    """
    if not found:
        raise InputError("figure: no channel has bins")
    with house_style() as plt:
        figure: Figure
        figure, axes = plt.subplots(1, len(found), figsize=(7.5 * len(found), 7), squeeze=False)
        for axis, migration in zip(axes[0], found, strict=True):
            ends = ["0", *(f"{edge:g}" for edge in migration.edges), r"$\infty$"]
            names = [f"{low}-{high}" for low, high in pairwise(ends)]
            matrix = migration.normalised.T
            axis.imshow(matrix, origin="lower", cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
            for (j, i), value in np.ndenumerate(matrix):
                if value >= 5e-4:
                    axis.text(
                        i,
                        j,
                        f"{value:.3f}" if value < 0.9995 else "1",
                        ha="center",
                        va="center",
                        fontsize=11,
                        color="white" if value > 0.5 else "black",
                    )
            for set_ticks in (axis.set_xticks, axis.set_yticks):
                set_ticks(range(len(names)), names, fontsize=11)
            axis.tick_params(axis="x", rotation=60)
            axis.minorticks_off()
            axis.set_xlabel("true " + Q2_LABEL)
            axis.set_ylabel("reconstructed " + Q2_LABEL)
            axis.set_title(_label(migration.channel), fontsize=15)
        return figure


def _label(name: str) -> str:
    return f"${CHANNELS[name].latex}$" if name in CHANNELS else label_of(name)
