"""The paper's two figures, on its data and on today's: numbers first, then the drawing.

Figure 1: R_K, R_K* and P5' against q2 with theory bands and the measured points. Figure 2: where χ² is
better than the Standard Model's in a plane of couplings, with the band of (g-2)_μ and the limit from
B → K + invisible.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..kinematics.errors import InputError
from ..physics.angular import angular_coefficients, breakpoints
from ..physics.bins import evaluate, observable_channels
from ..physics.channels import get_channel
from ..physics.constraints import Data, delta_a_mu, measured
from ..physics.likelihood import GROUPS
from ..physics.measurements import DATA_SETS, BinnedObservable, load_measurements
from ..physics.models import Model, get_model, validate
from ..physics.uncertainties import theory_error
from .plots import Q2_LABEL, house_style, save_figure
from .scans import BETTER, Axis, ScanCard, ScanResult, Theory, Tie, polygons, regions_csv, scan, write_text
from .writers import check_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
Polygons = list[list[FloatArray]]

Q2_RANGE = (0.05, 8.68)
"""Range of figure 1 (GeV²): from just above the muonic threshold to the J/ψ."""


def check_data(data: str) -> None:
    """InputError unless the name is that of a data set."""
    if data not in DATA_SETS:
        raise InputError(f"data = {data!r}: no such data set; one of {', '.join(DATA_SETS)}")


# -----------------------------------------------------------------------------------------------------------
# Figure 1
# -----------------------------------------------------------------------------------------------------------


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

    >>> curve = figure_1_curve(PANELS[0], get_model("sm"), points=10)
    >>> bool(abs(curve.value[curve.q2 > 1] - 1).max() < 0.01)
    True
    """
    low, high = Q2_RANGE
    q2 = np.concatenate([np.geomspace(low, 1.0, points // 4), np.linspace(1.0, high, points)])
    edges = breakpoints(get_channel(panel.channel), Model(light_vectors=model.light_vectors))
    near = [v.mass**2 + v.mass * v.total_width * np.linspace(-3, 3, points // 4) for v in model.light_vectors]
    q2 = np.unique(np.concatenate([q2, edges, *near]))
    q2 = q2[(q2 >= low) & (q2 <= high)]
    parts = [
        sum(angular_coefficients(get_channel(name), model, q2, flavour) for flavour in (-1, 1))
        for name in observable_channels(BinnedObservable(panel.observable, panel.channel))
    ]
    value = np.asarray(evaluate(panel.observable, parts))
    return Curve(panel, model, q2, value, theory_error(panel.observable, panel.channel, model, q2))


def figure_1_points(panel: Panel, data: str) -> list[Point]:
    """Measured points of a panel.

    >>> [(p.experiment, p.value) for p in figure_1_points(PANELS[0], "2017")]
    [('LHCb', 0.745)]
    """
    check_data(data)
    return [
        Point(panel, m.experiment, m.arxiv, o, *(float(x[i]) for x in (m.central, m.error_up, m.error_down)))
        for m in load_measurements(data)
        for i, o in enumerate(m.observables)
        if o.name in panel.points
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
_HADRONS: Mapping[str, str] = {"K0": "K^0", "K*+": r"K^{\ast +}", "K+": "K^+", "K*0": r"K^{\ast 0}"}
_MARKERS: Mapping[str, str] = {"LHCb": "o", "CMS": "s", "ATLAS": "^", "Belle": "D"}


def model_label(model: Model) -> str:
    """How a model is called in a legend.

    >>> model_label(get_model("fig1-2.5gev"))
    '$m_V = 2.5$ GeV, $g_{bs} = -1.75 \\\\times 10^{-8}$'
    """
    if model.light_vectors:
        vector = model.light_vectors[0]
        mantissa, power = f"{vector.g_bs.real:.2e}".split("e")
        number = f"{float(mantissa):g} \\times 10^{{{int(power)}}}"
        return f"$m_V = {vector.mass:g}$ GeV, $g_{{bs}} = {number}$"
    shifts = {k: v for k, v in model.heavy.model_dump().items() if v}
    if not shifts:
        return "Standard Model"
    names = [f"$C_{{{k[1:].split('_')[0]}}} = {v.real:g}$" for k, v in shifts.items()]
    return "heavy, " + ", ".join(names)


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
            [h for h, _ in theory], [label for _, label in theory], loc="outside upper right",
            ncols=len(theory), frameon=False, fontsize=15, handlelength=2.6,
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
    """Points with both errors; another charge of the B than the curve's has an open marker.

    Where several analyses share a panel their points are moved apart a little, the bins stay where they are.
    """
    groups: dict[str, list[Point]] = {}
    for point in points:
        label = point.experiment.split(" ")[0]
        if point.observable.channel != point.panel.channel:
            label += f", ${_HADRONS[(point.observable.channel or '').split('->')[1].removesuffix('mumu')]}$"
        groups.setdefault(label, []).append(point)
    for k, (label, members) in enumerate(groups.items()):
        filled = "$" not in label
        low = np.array([p.observable.q2_min for p in members], dtype=float)
        high = np.array([p.observable.q2_max for p in members], dtype=float)
        centre = 0.5 * (low + high) + 0.1 * (k - 0.5 * (len(groups) - 1))
        axis.errorbar(
            centre, [p.value for p in members], xerr=(centre - low, high - centre),
            yerr=([p.down for p in members], [p.up for p in members]),
            fmt=_MARKERS.get(label.split(",")[0], "v"), color="black" if filled else "0.45", markersize=7,
            markerfacecolor="black" if filled else "white", linewidth=1.5, capsize=0, label=label, zorder=5,
        )
    handles, labels = axis.get_legend_handles_labels()
    shown = [(h, label) for h, label in zip(handles, labels, strict=True) if _is_point(h)]
    axis.legend([h for h, _ in shown], [label for _, label in shown], loc="upper right", fontsize=13, ncols=2)


def make_figure_1(
    data: str,
    folder: str | os.PathLike[str],
    models: Sequence[str] = FIGURE_1_MODELS,
    overwrite: bool = False,
) -> list[Path]:
    """Write figure 1 as PNG and PDF and its numbers as CSV; InputError if a file exists."""
    check_data(data)
    chosen = [get_model(name) for name in models]
    if len(chosen) > len(_STYLES):
        raise InputError(f"model: {len(chosen)} given; at most {len(_STYLES)} can be told apart")
    paths = _targets(folder, f"figure-1-{data}", (".png", ".pdf", ".csv", "-points.csv"), overwrite)
    curves = [figure_1_curve(panel, model) for panel in PANELS for model in chosen]
    points = [point for panel in PANELS for point in figure_1_points(panel, data)]
    write_text(paths[2], curves_csv(curves))
    write_text(paths[3], points_csv(points))
    _save(lambda: draw_figure_1(curves, points, f"{data} data"), paths[:2])
    return paths


# -----------------------------------------------------------------------------------------------------------
# Figure 2
# -----------------------------------------------------------------------------------------------------------

G_MU_V, G_MU_A, G_BS = "light_vectors.0.g_mu_v", "light_vectors.0.g_mu_a", "light_vectors.0.g_bs"

FUNNEL = -0.44
"""g_μA / g_μV where the two terms of (g-2)_μ cancel for a heavy V, to -1/√5 = -0.447."""


def figure_2_cards(
    data: str, settings: Sequence[str] = (), theory: Theory | None = None, points: int = 400,
    model: str = "fig2",
) -> tuple[ScanCard, ScanCard]:
    """The two planes of figure 2: (g_μV, g_μA) at g_bs = -1.5e-8, and (g_μV, g_bs) at g_μA = -0.44 g_μV.

    ``settings`` change the model of both: another mass or width, or g_bs of the first plane.

    >>> [card.shape for card in figure_2_cards("2017", points=50)]
    [(50, 50), (50, 50)]
    """
    check_data(data)
    common: dict[str, Any] = {"model": model, "settings": tuple(settings), "data": data, "theory": theory}
    vector = Axis(key=G_MU_V, min=0.0, max=0.25, points=points)
    left = ScanCard(
        name="left", **common,
        axes=(vector, Axis(key=G_MU_A, min=-0.15, max=0.15, points=points)),
    )
    right = ScanCard(
        name="right", **common, ties=(Tie(key=G_MU_A, of=G_MU_V, factor=FUNNEL),),
        axes=(vector, Axis(key=G_BS, min=-4e-8, max=4e-9, points=points)),
    )
    return left, right


_G_MINUS_2, _INVISIBLE = "(g-2)_mu within 2 sigma", "B -> K invisible excluded"


@dataclass(frozen=True, eq=False)
class Plane:
    """One panel of figure 2: the scan, its regions as polygons, and the two constraints as polygons."""

    result: ScanResult
    regions: Mapping[str, Polygons]
    g_minus_2: Polygons
    invisible: Polygons

    @property
    def all_regions(self) -> dict[str, Polygons]:
        """Everything that is drawn, by the name it has in the CSV."""
        return {**self.regions, _G_MINUS_2: self.g_minus_2, _INVISIBLE: self.invisible}


def figure_2_plane(card: ScanCard, device: str = "auto") -> Plane:
    """Scan a plane and find its regions and constraints."""
    result = scan(card, device)
    moving = moving_parameters(card)
    shift = np.zeros(card.shape)
    for i, vector in enumerate(card.base_model().light_vectors):
        mass, g_v, g_a = (
            moving.get(f"light_vectors.{i}.{key}", np.asarray(getattr(vector, key)))
            for key in ("mass", "g_mu_v", "g_mu_a")
        )
        shift = shift + delta_a_mu(mass, g_v, g_a)
    known = measured("delta_a_mu", "2017" if card.data == "2017" else "current")
    assert known.value is not None
    assert known.error is not None
    band = polygons(card.axes, (shift - known.value) / known.error, -2.0, 2.0)
    return Plane(result, result.all_regions(), band, polygons(card.axes, invisible_excess(card)))


def moving_parameters(card: ScanCard) -> dict[str, FloatArray]:
    """Every axis and tied parameter as an array of the shape of the grid."""
    grids = np.meshgrid(*(axis.values for axis in card.axes), indexing="ij")
    found = {axis.key: np.asarray(grid) for axis, grid in zip(card.axes, grids, strict=True)}
    return {**found, **{tie.key: tie.factor * found[tie.of] for tie in card.ties}}


def invisible_excess(card: ScanCard) -> FloatArray:
    """|g_bs| over its bound from B+ → K+ χχ, minus one, on the grid: positive where excluded.

    The bound is that of ``darkpenguin constraints``, integrated over the line shape, and is worked out once
    for each mass and width on the grid. For one vector; a model with several is not excluded here.
    """
    from .constraints_report import g_bs_limit

    base = card.base_model()
    if len(base.light_vectors) != 1:
        return np.full(card.shape, -1.0)
    moving = moving_parameters(card)
    vector = base.light_vectors[0]
    right = moving.get("light_vectors.0.g_bs_right", np.asarray(vector.g_bs_right))
    coupling = np.abs(moving.get(G_BS, np.asarray(vector.g_bs)) + right)
    other = [axis for axis in card.axes if not axis.linear]
    linear = [axis for axis in card.axes if axis.linear]
    bound = np.empty([axis.points for axis in other])
    data: Data = "2017" if card.data == "2017" else "current"
    for index in np.ndindex(bound.shape):
        point = {axis.key: float(axis.values[i]) for axis, i in zip(other, index, strict=True)}
        point |= {axis.key: float(axis.values[0]) for axis in linear}
        limit = g_bs_limit(card.model_at(point), data)
        bound[index] = np.inf if limit is None else limit
    positions = [i for i, axis in enumerate(card.axes) if not axis.linear]
    shape = [axis.points if i in positions else 1 for i, axis in enumerate(card.axes)]
    return np.asarray(np.broadcast_to(coupling / bound.reshape(shape) - 1.0, card.shape))


_AXIS_LABELS: Mapping[str, str] = {
    "g_mu_v": r"$g_{\mu V}$", "g_mu_a": r"$g_{\mu A}$", "g_bs": r"$g_{bs}$", "g_bs_right": r"$g_{bs}'$",
    "mass": r"$m_V\;[\mathrm{GeV}]$", "width": r"$\Gamma_V\;[\mathrm{GeV}]$",
    "relative_width": r"$\Gamma_V/m_V$",
    "C9_mu": r"$\mathrm{Re}\,C_9^\mu$", "C10_mu": r"$\mathrm{Re}\,C_{10}^\mu$",
}
#   family of groups -> colour, line style
_REGIONS: Mapping[str, tuple[str, Any]] = {
    "R_K": ("#0072B2", "-"),
    "R_K*": ("#D55E00", (0, (5, 2))),
    "angular": ("#009E73", (0, (1, 1))),
}


def axis_label(key: str) -> str:
    """LaTeX label of a parameter's path.

    >>> axis_label("light_vectors.0.g_bs")
    '$g_{bs}$'
    """
    return _AXIS_LABELS.get(key.rsplit(".", 1)[-1], key)


def draw_figure_2(planes: Sequence[Plane]) -> Figure:
    """Draw figure 2 from its numbers."""
    figure: Figure
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(planes), figsize=(7.6 * len(planes), 7.6), squeeze=False)
        drawn = {name for plane in planes for name, shapes in plane.all_regions.items() if shapes}
        nowhere = {name for plane in planes for name in plane.all_regions} - drawn
        for axis, plane in zip(axes[0], planes, strict=True):
            handles = _draw_plane(axis, plane, nowhere)
        columns, size = (3, 15) if len(planes) > 1 else (2, 13)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=size
        )
    return figure


def _draw_plane(axis: Axes, plane: Plane, nowhere: set[str]) -> list[Any]:
    """Draw one panel; returns what the legend shows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    card = plane.result.card
    handles: list[Any] = []
    for name in card.groups:
        colour, line = _REGIONS[GROUPS[name].family]
        style: dict[str, Any] = {
            "facecolor": (colour, 0.28), "edgecolor": colour, "linestyle": line, "linewidth": 2.0
        }
        _add(axis, plane.regions[f"{name} {BETTER}"], **style)
        note = " (nowhere)" if f"{name} {BETTER}" in nowhere else ""
        label = rf"{GROUPS[name].label}: $\chi^2_\mathrm{{SM}}-\chi^2 > 4${note}"
        handles.append(Patch(label=label, **style))
    style = {"facecolor": ("0.35", 0.18), "edgecolor": "0.25", "hatch": "//", "linewidth": 1.0, "zorder": 1}
    _add(axis, plane.g_minus_2, **style)
    note = " (nowhere)" if _G_MINUS_2 in nowhere else ""
    handles.append(Patch(label=rf"$(g-2)_\mu$ within $2\sigma${note}", **style))
    style = {"facecolor": ("0.6", 0.4), "edgecolor": "0.2", "hatch": "..", "linewidth": 1.0, "zorder": 1}
    _add(axis, plane.invisible, **style)
    label = r"not excluded by $B\to K+$ invisible" if _INVISIBLE in nowhere else r"excluded by $B\to K+$ invisible"
    handles.append(Patch(label=label, **style))
    for threshold, width in (("2.30", 2.4), ("6.18", 1.2)):
        ring = plane.regions[f"all, within {threshold} of the best fit"]
        _add(axis, ring, facecolor="none", edgecolor="black", linewidth=width, zorder=4)
    handles.append(
        Line2D([], [], color="black", linewidth=2, marker="*", markersize=13, markeredgecolor="white",
               label=r"together: best, $1\sigma$, $2\sigma$")
    )
    best = plane.result.best().point
    x, y = card.axes
    axis.plot(best[x.key], best[y.key], "*", color="black", markersize=15, markeredgecolor="white", zorder=6,
              clip_on=False)
    axis.set_xlim(x.min, x.max)
    axis.set_ylim(y.min, y.max)
    axis.set_xlabel(_scaled(axis.xaxis, x))
    axis.set_ylabel(_scaled(axis.yaxis, y))
    axis.set_title(_plane_title(card), fontsize=15, loc="left")
    return handles


def _scaled(ticks: Any, axis: Axis) -> str:
    """Label of an axis; small numbers are shown in units of a power of ten, which the label names."""
    from matplotlib.ticker import FuncFormatter

    largest = max(abs(axis.min), abs(axis.max))
    power = int(np.floor(np.log10(largest))) if largest else 0
    if axis.scale == "log" or -3 <= power <= 3:
        return axis_label(axis.key)
    text = lambda value, _: f"{value / 10.0**power:g}".replace("-", "\N{MINUS SIGN}")  # noqa: E731
    ticks.set_major_formatter(FuncFormatter(text))
    return rf"{axis_label(axis.key)} $[10^{{{power}}}]$"


def _plane_title(card: ScanCard) -> str:
    """What is fixed in a plane."""
    moving = {axis.key for axis in card.axes} | {tie.key for tie in card.ties}
    words = [f"{card.data} data"]
    base = card.base_model()
    for vector in base.light_vectors[:1]:
        if "light_vectors.0.mass" not in moving:
            words.append(rf"$m_V = {vector.mass:g}$ GeV")
        if not moving & {"light_vectors.0.width", "light_vectors.0.relative_width", "light_vectors.0.g_chi"}:
            words.append(rf"$\Gamma_V/m_V = {vector.total_width / vector.mass:.2g}$")
        if G_BS not in moving:
            mantissa, power = f"{vector.g_bs.real:.2e}".split("e")
            words.append(rf"$g_{{bs}} = {float(mantissa):g}\times 10^{{{int(power)}}}$")
        words += [
            rf"{axis_label(key)[:-1]} = {getattr(vector, key.rsplit('.', 1)[-1]):g}$"
            for key in (G_MU_V, G_MU_A) if key not in moving
        ]
    words += [
        rf"{axis_label(tie.key)[:-1]} = {tie.factor:g}\,{axis_label(tie.of)[1:]}"
        if axis_label(tie.key)[-1] == axis_label(tie.of)[0] == "$" else f"{tie.key} = {tie.factor:g} {tie.of}"
        for tie in card.ties
    ]
    lines = [words[:4], words[4:]] if len(words) > 4 else [words]
    return ",\n".join(", ".join(line) for line in lines)


def _add(axis: Axes, shapes: Polygons, **style: Any) -> None:
    """Polygons with holes as one patch each."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    for rings in shapes:
        outline = Outline.make_compound_path(*(Outline(ring, closed=True) for ring in rings))
        axis.add_patch(PathPatch(outline, **{"zorder": 2, **style}))


def planes_csv(planes: Sequence[Plane]) -> str:
    """Every polygon of figure 2 as CSV, the panel first."""
    return regions_csv([
        (plane.result.card.name, [axis.key for axis in plane.result.card.axes], plane.all_regions)
        for plane in planes
    ])


def make_figure_2(
    data: str,
    folder: str | os.PathLike[str],
    cards: Sequence[ScanCard] | None = None,
    overwrite: bool = False,
    device: str = "auto",
) -> list[Path]:
    """Write figure 2, or the same for any planes, as PNG and PDF and its polygons as CSV.

    The files of another plane are named after its axes: ``plane-2017-mass-g_bs.png``.
    """
    chosen = cards or figure_2_cards(data)
    for card in chosen:
        if len(card.axes) != 2:
            raise InputError(f"plane: {len(card.axes)} axes given; a plane has two")
    stem = f"figure-2-{data}"
    if len(chosen) == 1:
        stem = f"plane-{data}-" + "-".join(axis.key.rsplit(".", 1)[-1] for axis in chosen[0].axes)
    paths = _targets(folder, stem, (".png", ".pdf", ".csv"), overwrite)
    planes = [figure_2_plane(card, device) for card in chosen]
    write_text(paths[2], planes_csv(planes))
    _save(lambda: draw_figure_2(planes), paths[:2])
    return paths


def custom_plane(
    x: str, y: str, data: str, settings: Sequence[str], theory: Theory | None, points: int,
    model: str = "fig2", ties: Sequence[str] = (),
) -> ScanCard:
    """Plane from two texts "KEY,MIN,MAX"; ties are texts "KEY=FACTOR*KEY".

    >>> tie = "light_vectors.0.g_mu_a=-0.44*light_vectors.0.g_mu_v"
    >>> card = custom_plane("light_vectors.0.mass,2,3", "light_vectors.0.g_mu_v,0,0.2", "2017", [], None, 10,
    ...     ties=[tie])
    >>> card.shape, card.ties[0].factor
    ((10, 10), -0.44)
    """
    axes = []
    for name, text in (("x", x), ("y", y)):
        parts = [part.strip() for part in text.split(",")]
        try:
            key, low, high = parts[0], float(parts[1]), float(parts[2])
        except (IndexError, ValueError):
            raise InputError(f"{name} = {text!r}: write KEY,MIN,MAX, say light_vectors.0.mass,2,3") from None
        axes.append({"key": key, "min": low, "max": high, "points": points})
    card = {
        "name": "plane", "model": model, "settings": tuple(settings), "data": data, "theory": theory,
        "axes": axes, "ties": [_tie(text) for text in ties],
    }
    return validate(ScanCard, card)


def _tie(text: str) -> dict[str, Any]:
    key, _, right = text.partition("=")
    factor, _, of = right.partition("*")
    try:
        return {"key": key.strip(), "of": of.strip(), "factor": float(factor)}
    except ValueError:
        example = "light_vectors.0.g_mu_a=-0.44*light_vectors.0.g_mu_v"
        raise InputError(f"tie = {text!r}: write KEY=FACTOR*KEY, say {example}") from None


def _targets(
    folder: str | os.PathLike[str], stem: str, endings: Sequence[str], overwrite: bool
) -> list[Path]:
    return [check_target(Path(folder) / f"{stem}{ending}", overwrite=overwrite) for ending in endings]


def _save(draw: Callable[[], Figure], paths: Sequence[Path]) -> None:
    """Draw and write within the style: fonts are looked up when the file is written."""
    for name in ("fontTools.subset", "matplotlib.mathtext"):   # flavio turns everybody's messages on
        logging.getLogger(name).setLevel(logging.WARNING)
    with house_style():
        save_figure(draw(), [str(path) for path in paths], overwrite=True)
