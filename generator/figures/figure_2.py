"""Figure 2 of the paper, and any plane of two parameters."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import write_text
from ...physics.axes import Axis, Tie, read_axis, read_tie, tied
from ...physics.experiment.constraints import M_MU, delta_a_mu
from ...physics.experiment.datasets import Theory, load_data
from ...physics.experiment.likelihood import get_group
from ...physics.light_vector import LightVector
from ...physics.models import ModelLike
from ...physics.widths import lepton_width
from ..scans.card import ScanCard
from ..scans.files import regions_csv
from ..scans.scan import BETTER, ScanResult, polygons, scan
from .figure_1 import FloatArray, Polygons
from .style import _save, _targets, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

G_MU_V, G_MU_A, G_BS = "light_vectors.0.g_mu_v", "light_vectors.0.g_mu_a", "light_vectors.0.g_bs"
FUNNEL = -0.44
"""g_μA / g_μV where the two terms of (g-2)_μ cancel for a heavy V, to -1/√5 = -0.447."""


def figure_2_cards(
    data: str,
    settings: Sequence[str] = (),
    theory: Theory | None = None,
    points: int = 400,
    model: ModelLike = "fig2",
) -> tuple[ScanCard, ScanCard]:
    """The two planes of figure 2: (g_μV, g_μA) at g_bs = -1.5e-8, and (g_μV, g_bs) at g_μA = -0.44 g_μV.

    ``settings`` change the model of both: another mass or width, or g_bs of the first plane.

    >>> [card.shape for card in figure_2_cards("2017", points=50)]
    [(50, 50), (50, 50)]
    """
    common: dict[str, Any] = {"model": model, "settings": tuple(settings), "data": data, "theory": theory}
    vector = Axis(key=G_MU_V, min=0.0, max=0.25, points=points)
    left = ScanCard(
        name="left",
        **common,
        axes=(vector, Axis(key=G_MU_A, min=-0.15, max=0.15, points=points)),
    )
    right = ScanCard(
        name="right",
        **common,
        ties=(Tie(key=G_MU_A, of=G_MU_V, factor=FUNNEL),),
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
    return plane_of(scan(card, device))


def plane_of(result: ScanResult) -> Plane:
    """Regions and constraints in the plane of a scan of two axes."""
    card = result.card
    moving = moving_parameters(card)
    shift = np.zeros(card.shape)
    for i, vector in enumerate(card.base_model().light_vectors):
        mass, g_v, g_a = (
            moving.get(f"light_vectors.{i}.{key}", np.asarray(getattr(vector, key)))
            for key in ("mass", "g_mu_v", "g_mu_a")
        )
        shift = shift + delta_a_mu(mass, g_v, g_a)
    value, error = card.data_set.limit("delta_a_mu").numbers()
    band = polygons(card.axes, (shift - value) / error, -2.0, 2.0)
    return Plane(result, result.all_regions(), band, polygons(card.axes, invisible_excess(card)))


def moving_parameters(card: ScanCard) -> dict[str, FloatArray]:
    """Every axis and tied parameter as an array of the shape of the grid."""
    grids = np.meshgrid(*(axis.values for axis in card.axes), indexing="ij")
    found = {axis.key: np.asarray(grid) for axis, grid in zip(card.axes, grids, strict=True)}
    return tied(found, card.ties)


def invisible_excess(card: ScanCard) -> FloatArray:
    """|g_bs| over its bound from B+ → K+ χχ, minus one, on the grid: positive where excluded.

    The bound is that of ``darkpenguin constraints``, integrated over the line shape, and is worked out once
    for each mass and width on the grid; what leptons take of the width is taken off at each point. For one vector; a
    model with several is not excluded here.
    """
    from ...physics.experiment.verdicts import g_bs_limit

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
    data = card.data_set
    for index in np.ndindex(bound.shape):
        point = {axis.key: float(axis.values[i]) for axis, i in zip(other, index, strict=True)}
        point |= {axis.key: float(axis.values[0]) for axis in linear}
        limit = g_bs_limit(card.model_at(point), data)
        bound[index] = np.inf if limit is None else limit
    positions = [i for i, axis in enumerate(card.axes) if not axis.linear]
    shape = [axis.points if i in positions else 1 for i, axis in enumerate(card.axes)]
    first = card.model_at({axis.key: float(axis.values[0]) for axis in card.axes}).light_vectors[0]
    share = _invisible_share(vector, moving) / max(1.0 - first.lepton_width() / first.total_width, 1e-9)
    return np.asarray(np.broadcast_to(coupling * np.sqrt(share) / bound.reshape(shape) - 1.0, card.shape))


def _invisible_share(vector: LightVector, moving: Mapping[str, FloatArray]) -> FloatArray:
    """What muons leave of the width of V for χχ on the grid, one if g_χ is given."""
    if vector.g_chi is not None:
        return np.ones(1)
    mass, width, relative, g_v, g_a = (
        moving.get(f"light_vectors.0.{key}", np.asarray(getattr(vector, key) or 0.0))
        for key in ("mass", "width", "relative_width", "g_mu_v", "g_mu_a")
    )
    muons = lepton_width(mass**2, 1.0, 0.0, M_MU) * g_v**2 + lepton_width(mass**2, 0.0, 1.0, M_MU) * g_a**2
    return np.asarray(np.clip(1.0 - muons / (width + relative * mass), 0.0, 1.0))


_AXIS_LABELS: Mapping[str, str] = {
    "g_mu_v": r"$g_{\mu V}$",
    "g_mu_a": r"$g_{\mu A}$",
    "g_bs": r"$g_{bs}$",
    "g_bs_right": r"$g_{bs}'$",
    "mass": r"$m_V\;[\mathrm{GeV}]$",
    "width": r"$\Gamma_V\;[\mathrm{GeV}]$",
    "relative_width": r"$\Gamma_V/m_V$",
    "C9_mu": r"$\mathrm{Re}\,C_9^\mu$",
    "C10_mu": r"$\mathrm{Re}\,C_{10}^\mu$",
}
#   family of groups -> colour, line style
_REGIONS: Mapping[str, tuple[str, Any]] = {
    "R_K": ("#0072B2", "-"),
    "R_K*": ("#D55E00", (0, (5, 2))),
    "angular": ("#009E73", (0, (1, 1))),
}
_OTHER = ("#CC79A7", "-.")


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
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=size)
    return figure


def _draw_plane(axis: Axes, plane: Plane, nowhere: set[str]) -> list[Any]:
    """Draw one panel; returns what the legend shows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    card = plane.result.card
    handles: list[Any] = []
    for name in card.groups:
        colour, line = _REGIONS.get(get_group(name).family, _OTHER)
        style: dict[str, Any] = {"facecolor": (colour, 0.28), "edgecolor": colour, "linestyle": line, "linewidth": 2.0}
        _add(axis, plane.regions[f"{name} {BETTER}"], **style)
        note = " (nowhere)" if f"{name} {BETTER}" in nowhere else ""
        label = rf"{get_group(name).label}: $\chi^2_\mathrm{{SM}}-\chi^2 > 4${note}"
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
        Line2D(
            [],
            [],
            color="black",
            linewidth=2,
            marker="*",
            markersize=13,
            markeredgecolor="white",
            label=r"together: best, $1\sigma$, $2\sigma$",
        )
    )
    best = plane.result.best().point
    x, y = card.axes
    axis.plot(
        best[x.key], best[y.key], "*", color="black", markersize=15, markeredgecolor="white", zorder=6, clip_on=False
    )
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
    words = [f"{card.data_set.name} data"]
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
            for key in (G_MU_V, G_MU_A)
            if key not in moving
        ]
    words += [
        rf"{axis_label(tie.key)[:-1]} = {tie.factor:g}\,{axis_label(tie.of)[1:]}"
        if axis_label(tie.key)[-1] == axis_label(tie.of)[0] == "$"
        else f"{tie.key} = {tie.factor:g} {tie.of}"
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
    return regions_csv(
        [(plane.result.card.name, [axis.key for axis in plane.result.card.axes], plane.all_regions) for plane in planes]
    )


def figure_2(
    data: str,
    cards: Sequence[ScanCard] | None = None,
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str = "auto",
) -> tuple[Figure, list[Path]]:
    """Draw figure 2, or the same for any planes; in a folder, write it as PNG and PDF and its polygons as CSV.

    The files of another plane are named after its axes: ``plane-2017-mass-g_bs.png``. Returns figure and files.
    """
    name = load_data(data).name
    chosen = cards or figure_2_cards(data)
    for card in chosen:
        if len(card.axes) != 2:
            raise InputError(f"plane: {len(card.axes)} axes given; a plane has two")
    stem = f"figure-2-{name}"
    if len(chosen) == 1:
        stem = f"plane-{name}-" + "-".join(axis.key.rsplit(".", 1)[-1] for axis in chosen[0].axes)
    paths = [] if folder is None else _targets(folder, stem, (".png", ".pdf", ".csv"), overwrite)
    planes = [figure_2_plane(card, device) for card in chosen]
    figure = draw_figure_2(planes)
    if paths:
        write_text(paths[2], planes_csv(planes), overwrite)
        _save(lambda: figure, paths[:2], overwrite)
    return figure, paths


def custom_plane(
    x: str,
    y: str,
    data: str,
    settings: Sequence[str],
    theory: Theory | None,
    points: int,
    model: ModelLike = "fig2",
    ties: Sequence[str] = (),
) -> ScanCard:
    """Plane from two texts "KEY,MIN,MAX"; ties are texts "KEY=FACTOR*KEY".

    >>> tie = "light_vectors.0.g_mu_a=-0.44*light_vectors.0.g_mu_v"
    >>> card = custom_plane("light_vectors.0.mass,2,3", "light_vectors.0.g_mu_v,0,0.2", "2017", [], None, 10,
    ...     ties=[tie])
    >>> card.shape, card.ties[0].factor
    ((10, 10), -0.44)
    """
    card = {
        "name": "plane",
        "model": model,
        "settings": tuple(settings),
        "data": data,
        "theory": theory,
        "axes": (read_axis(x, "x", points), read_axis(y, "y", points)),
        "ties": tuple(read_tie(text) for text in ties),
    }
    return validate(ScanCard, card)
