"""The paper's two figures, on its data and on today's: numbers first, then the drawing.

Figure 1: R_K, R_K* and P5' against q2 with theory bands and the measured points. Figure 2: where χ² is
better than the Standard Model's in a plane of couplings, with the band of (g-2)_μ and the limit from
B → K + invisible.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...kinematics.base.files import write_text
from ...physics.angular import angular_coefficients, breakpoints
from ...physics.bins import evaluate, observable_channels
from ...physics.channels import get_channel
from ...physics.experiment.datasets import Data, load_data
from ...physics.models import Model, ModelLike, as_model
from ...physics.observables import BinnedObservable
from ...physics.theory import TheoryLike
from ...physics.uncertainties import theory_error
from .labels import model_label
from .style import Q2_LABEL, _save, _targets, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
Polygons = list[list[FloatArray]]
Q2_RANGE = (0.05, 8.68)
"""Range of figure 1 (GeV²): from just above the muonic threshold to the J/ψ."""


@dataclass(frozen=True)
class Panel:
    """One panel of figure 1: an observable of one channel, and the names of the points laid over it."""

    observable: str
    channel: str
    label: str
    points: tuple[str, ...]
    limits: tuple[float, float]


PANELS = (
    Panel("R_K+", "B+->K+mumu", "$R_K$", ("R_K+", "R_K0"), (0.45, 1.9)),
    Panel("R_K*0", "B0->K*0mumu", "$R_{K*}$", ("R_K*0", "R_K*+"), (0.45, 1.9)),
    Panel("P5p", "B0->K*0mumu", "$P_5'$", ("P5p",), (-1.6, 1.3)),
)
"""Figure 1, from left to right."""
FIGURE_1_MODELS = ("sm", "heavy-c9", "fig1-2.0gev", "fig1-2.5gev")
"""Benchmarks of figure 1: the paper has a heavy C9 and two light vectors, of 2 GeV and of 2.5 GeV or a little
above. ``fig1-2.8gev`` can be added."""


@dataclass(frozen=True, eq=False)
class Curve:
    """An observable of a model against q2 (GeV²), with the theory error at each point."""

    panel: Panel
    model: Model
    q2: FloatArray
    value: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class Point:
    """A measured value in a bin of q2; the errors are total ones."""

    panel: Panel
    experiment: str
    arxiv: str
    observable: BinnedObservable
    value: float
    up: float
    down: float


def figure_1_curve(panel: Panel, model: Model, points: int = 300) -> Curve:
    """Curve of one panel: denser at low q2 and where a vector resonates.

    >>> curve = figure_1_curve(PANELS[0], as_model("sm"), points=10)
    >>> bool(abs(curve.value[curve.q2 > 1] - 1).max() < 0.01)
    True
    """
    low, high = Q2_RANGE
    q2 = np.concatenate([np.geomspace(low, 1.0, points // 4), np.linspace(1.0, high, points)])
    edges = breakpoints(get_channel(panel.channel), model.keep(lambda mediator: True))
    near = [v.mass**2 + v.mass * v.total_width * np.linspace(-3, 3, points // 4) for v in model.light_vectors]
    q2 = np.unique(np.concatenate([q2, edges, *near]))
    q2 = q2[(q2 >= low) & (q2 <= high)]
    parts = [
        sum(angular_coefficients(get_channel(name), model, q2, flavour) for flavour in (-1, 1))
        for name in observable_channels(BinnedObservable(panel.observable, panel.channel))
    ]
    value = np.asarray(evaluate(panel.observable, parts))
    return Curve(panel, model, q2, value, theory_error(panel.observable, panel.channel, model, q2))


def figure_1_points(panel: Panel, data: Data) -> list[Point]:
    """Measured points of a panel, in its range of q2.

    >>> [(p.experiment, p.value) for p in figure_1_points(PANELS[0], "2017")]
    [('LHCb', 0.745)]
    """
    return [
        Point(panel, m.experiment, m.arxiv, o, *(float(x[i]) for x in (m.central, m.error_up, m.error_down)))
        for m in load_data(data).measurements
        for i, o in enumerate(m.observables)
        if o.name in panel.points and o.q2_min is not None and o.q2_min < Q2_RANGE[1]
    ]


def curves_csv(curves: Sequence[Curve]) -> str:
    """Curves as CSV: panel, model, q2 (GeV²), value, theory error."""
    lines = ["observable,model,q2,value,theory error"]
    for curve in curves:
        rows = zip(curve.q2, curve.value, curve.error, strict=True)
        name = f"{curve.panel.observable},{curve.model.name}"
        lines += [f"{name},{q2:.8g},{value:.8g},{error:.4g}" for q2, value, error in rows]
    return "\n".join(lines) + "\n"


def points_csv(points: Sequence[Point]) -> str:
    """Measured points as CSV."""
    lines = ["observable,channel,experiment,arXiv,q2min,q2max,value,error up,error down"]
    lines += [
        f"{p.observable.name},{p.observable.channel},{p.experiment},{p.arxiv},{p.observable.q2_min:g},"
        f"{p.observable.q2_max:g},{p.value:g},{p.up:.4g},{p.down:.4g}"
        for p in points
    ]
    return "\n".join(lines) + "\n"


#   colour, line style: also apart in grey, by style and by lightness
_STYLES = (
    ("#000000", "-"),
    ("#E69F00", (0, (5, 1.5))),
    ("#0072B2", (0, (1, 1))),
    ("#D55E00", "-"),
    ("#009E73", (0, (5, 1, 1, 1))),
    ("#CC79A7", (0, (3, 1, 1, 1, 1, 1))),
)
_MARKERS: Mapping[str, str] = {"LHCb": "o", "CMS": "s", "ATLAS": "^", "Belle": "D"}


def draw_figure_1(curves: Sequence[Curve], points: Sequence[Point], title: str = "") -> Figure:
    """Draw figure 1 from its numbers."""
    figure: Figure
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(PANELS), figsize=(16.5, 6.0))
        for axis, panel in zip(axes, PANELS, strict=True):
            _draw_curves(axis, [curve for curve in curves if curve.panel is panel])
            _draw_measured(axis, [point for point in points if point.panel is panel])
            axis.set_xlim(0.0, Q2_RANGE[1])
            axis.set_ylim(*panel.limits)
            axis.set_xlabel(Q2_LABEL)
            axis.set_ylabel(panel.label)
            if title and panel is PANELS[0]:
                axis.set_title(title, loc="left", fontsize=15)
        handles, labels = axes[0].get_legend_handles_labels()
        theory = [(h, label) for h, label in zip(handles, labels, strict=True) if not _is_point(h)]
        figure.legend(
            [h for h, _ in theory],
            [label for _, label in theory],
            loc="outside upper right",
            ncols=len(theory),
            frameon=False,
            fontsize=15,
            handlelength=2.6,
        )
    return figure


def _is_point(handle: Any) -> bool:
    from matplotlib.container import ErrorbarContainer

    return isinstance(handle, ErrorbarContainer)


def _draw_curves(axis: Axes, curves: Sequence[Curve]) -> None:
    for (colour, style), curve in zip(_STYLES, curves, strict=False):
        low, high = curve.value - curve.error, curve.value + curve.error
        axis.fill_between(curve.q2, low, high, color=colour, alpha=0.22, linewidth=0, zorder=1)
        label = model_label(curve.model)
        axis.plot(curve.q2, curve.value, color=colour, linestyle=style, linewidth=2.2, label=label)


def _draw_measured(axis: Axes, points: Sequence[Point]) -> None:
    """Points with both errors; another charge of the B than the curve's, or other leptons, have an open marker.

    Where several analyses share a panel their points are moved apart a little, the bins stay where they are.
    """
    groups: dict[str, list[Point]] = {}
    for point in points:
        label = point.experiment.split(" ")[0]
        curve, own = get_channel(point.panel.channel), get_channel(str(point.observable.channel))
        if own != curve:
            other = own.pair.latex if own.transition == curve.transition else own.transition.hadron.latex
            label += f", ${other}$"
        groups.setdefault(label, []).append(point)
    for k, (label, members) in enumerate(groups.items()):
        filled = "$" not in label
        low = np.array([p.observable.q2_min for p in members], dtype=float)
        high = np.array([p.observable.q2_max for p in members], dtype=float)
        centre = 0.5 * (low + high) + 0.1 * (k - 0.5 * (len(groups) - 1))
        axis.errorbar(
            centre,
            [p.value for p in members],
            xerr=(centre - low, high - centre),
            yerr=([p.down for p in members], [p.up for p in members]),
            fmt="d" if "e^+" in label else _MARKERS.get(label.split(",")[0], "v"),
            color="black" if filled else "0.45",
            markersize=7,
            markerfacecolor="black" if filled else "white",
            linewidth=1.5,
            capsize=0,
            label=label,
            zorder=5,
        )
    handles, labels = axis.get_legend_handles_labels()
    shown = [(h, label) for h, label in zip(handles, labels, strict=True) if _is_point(h)]
    axis.legend([h for h, _ in shown], [label for _, label in shown], loc="upper right", fontsize=13, ncols=2)


def figure_1(
    data: Data,
    models: Sequence[ModelLike] = FIGURE_1_MODELS,
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    set: str | Sequence[str] = (),
    theory: TheoryLike = None,
) -> tuple[Figure, list[Path]]:
    """Draw figure 1; in a folder, write it as PNG and PDF and its numbers as CSV. Returns figure and files.

    Raises:
        InputError: no such data or model, more models than can be told apart, or a file that exists.
    """
    known = load_data(data)
    chosen = [as_model(model, set, theory) for model in models]
    if len(chosen) > len(_STYLES):
        raise InputError(f"model: {len(chosen)} given; at most {len(_STYLES)} can be told apart")
    endings = (".png", ".pdf", ".csv", "-points.csv")
    paths = [] if folder is None else _targets(folder, f"figure-1-{known.name}", endings, overwrite)
    curves = [figure_1_curve(panel, model) for panel in PANELS for model in chosen]
    points = [point for panel in PANELS for point in figure_1_points(panel, known)]
    figure = draw_figure_1(curves, points, f"{known.name} data")
    if paths:
        write_text(paths[2], curves_csv(curves), overwrite)
        write_text(paths[3], points_csv(points), overwrite)
        _save(lambda: figure, paths[:2], overwrite)
    return figure, paths
