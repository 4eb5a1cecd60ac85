"""Figures: mplhep's style, a palette that colour-blind readers can tell apart, PNG and PDF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...physics.angular import breakpoints
from ...physics.binning import BinnedValue
from ...physics.channels import CHANNELS
from ...physics.expectation import Array
from ...physics.kpi import KpiSystem
from ...physics.models import Model
from ...physics.observables import OBSERVABLES, curve
from ...physics.predict import Predictions, channel_of, label_of, predict
from .labels import model_label
from .style import PALETTE, Q2_LABEL, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_ratios(model: Model, measured: Sequence[BinnedValue] = (), hadrons: Sequence[str] = ()) -> Figure:
    """Draw R of muons over electrons against q2: the model beside the Standard Model, with measured points on top.

    Args:
        model: what is drawn beside the Standard Model.
        measured: points with errors, as from generated events.
        hadrons: panels to draw; those that are measured without it.

    Returns:
        The figure, one panel a hadron.
    """
    known = dict.fromkeys(point.observable.removeprefix("R_") for point in measured)
    panels = list(hadrons) or list(known) or ["K+", "K*0"]
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(panels), figsize=(7.5 * len(panels), 6), squeeze=False)
        for axis, hadron in zip(axes[0], panels, strict=True):
            name = f"R_{hadron}"
            high = _endpoint(hadron)
            for colour, style, (title, shown) in zip(
                PALETTE,
                ("--", "-"),
                (("Standard Model", model.standard), (model_label(model), model)),
                strict=False,
            ):
                axis.plot(*smooth_curve(name, shown, (0.06, high)), style, color=colour, label=title)
            points = [point for point in measured if point.observable == name]
            if points:
                _draw_points(axis, points)
            for one in model.mediators.values():
                if one.mass**2 < high:
                    axis.axvline(one.mass**2, color="0.6", linestyle=":", linewidth=1.2, label=f"$m_{one.symbol}^2$")
            axis.set_xlim(0, high)
            values = [
                value for line in axis.lines[:2] for value in np.atleast_1d(line.get_ydata()) if np.isfinite(value)
            ]
            low_edge, high_edge = min(values), max(values)
            margin = 0.25 * max(high_edge - low_edge, 0.1)
            axis.set_ylim(max(0.0, low_edge - margin), high_edge + 1.8 * margin)
            axis.set_xlabel(Q2_LABEL)
            axis.set_ylabel(label_of(name))
            axis.legend(loc="best")
    return _as_figure(figure)


def _draw_points(axis: Axes, points: Sequence[BinnedValue]) -> None:
    centre = np.array([0.5 * (point.q2_min + point.q2_max) for point in points])
    half = np.array([0.5 * (point.q2_max - point.q2_min) for point in points])
    axis.errorbar(
        centre,
        [point.value for point in points],
        yerr=[point.error or 0.0 for point in points],
        xerr=half,
        fmt="o",
        color="black",
        markersize=4,
        linewidth=1.2,
        label="generated events",
        zorder=5,
    )


def draw_predictions(found: Predictions) -> Figure:
    """Draw observables against q2, the model beside the Standard Model: curves, and the bins that are given."""
    observables, model, bins, window, channel = found.observables, found.model, found.bins, found.q2, found.channel
    kpi = found.kpi
    n_columns = min(3, len(observables))
    n_rows = -(-len(observables) // n_columns)
    with house_style() as plt:
        figure, axes = plt.subplots(n_rows, n_columns, figsize=(6.5 * n_columns, 5 * n_rows), squeeze=False)
        for axis in axes.ravel()[len(observables) :]:
            axis.set_visible(False)
        for axis, name in zip(axes.ravel(), observables, strict=False):
            shown = [("Standard Model", model.standard, "--")]
            if model.name != "sm":
                shown.append((model_label(model), model, "-"))
            for colour, (title, which, style) in zip(PALETTE, shown, strict=False):
                rows = () if bins is None else predict([name], which, bins, channel=channel, kpi=kpi).rows
                edges = [edge for row in rows for edge in (row.q2_min, row.q2_max)]
                limits = (max(min(edges), 0.05), max(edges)) if edges else window
                if not OBSERVABLES[name].integrated:
                    axis.plot(*smooth_curve(name, which, limits, channel, kpi), style, color=colour, label=title)
                for row in rows:
                    axis.plot([row.q2_min, row.q2_max], [row.value] * 2, color=colour, linewidth=3, alpha=0.5)
            axis.set_xlabel(Q2_LABEL)
            axis.set_ylabel(label_of(name))
            if OBSERVABLES[name].denominator is None:
                axis.set_title(f"${channel_of(name, channel).latex}$", fontsize=15)
            axis.legend(loc="best")
    return _as_figure(figure)


def smooth_curve(
    observable: str,
    model: Model,
    window: tuple[float, float] | None = None,
    channel: str | None = None,
    kpi: KpiSystem | None = None,
) -> tuple[Array, Array]:
    """Return q2 (GeV^2) and an observable for a line: even points, and more about mediators, so that narrow ones show.

    >>> from darkpenguin.physics.models import apply_settings, get_model
    >>> narrow = apply_settings(get_model("fig2"), "light_vectors.0.relative_width=1e-4")
    >>> q2, value = smooth_curve("R_K+", narrow, (1.0, 19.0))
    >>> bool(value.max() > 1000), len(q2) < 1000
    (True, True)
    """
    asked = predict(observable, model, q2=window, points=300, channel=channel, kpi=kpi)
    even = np.array([row.q2_min for row in asked])
    edges = breakpoints(channel_of(observable, channel), model)
    close = np.interp(np.arange(0, len(edges) - 1, 0.25), np.arange(len(edges)), edges)
    # not at the ends: there the points close in on the edges of phase space, where ratios diverge
    q2 = np.union1d(even, close[(close > even[1]) & (close < even[-2])])
    return q2, curve(observable, model, q2, None if OBSERVABLES[observable].denominator else channel, kpi)


def _endpoint(hadron: str) -> float:
    """Return the largest q2 of a hadron's channels (GeV^2)."""
    return min(channel.q2_limits()[1] for channel in CHANNELS.values() if channel.hadron == hadron and channel.lepton)
