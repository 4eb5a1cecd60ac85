"""The diagrams of the explorer: Bokeh figures and their sources; labels and colours are those of the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...kinematics.base.optional import optional
from ...physics.experiment.likelihood import PAPER_GROUPS, get_group
from ..figures.figure_1 import _MARKERS
from ..figures.figure_1 import Point as Measured
from ..figures.figure_2 import _OTHER, _REGIONS, Plane
from ..scans.scan import BETTER
from .curves import Curve, FloatArray, Shown, Significance
from .point import KNOWN

SIZE = (390, 280)
"""Width and height of a diagram in pixels."""
STYLES = (
    ("#000000", "solid", 1.6),
    ("#D55E00", "solid", 3.2),
    ("#0072B2", "dotted", 2.6),
    ("#E69F00", "dashed", 2.6),
    ("#009E73", "dotdash", 2.6),
)
"""Colour, dash and width of the Standard Model, the point, and points that are held: apart in grey, too."""
SWIFT = """try {
    const { InlineStyleSheet } = Bokeh.require("core/dom"), { VisualProperties } = Bokeh.require("core/visuals/visual")
    InlineStyleSheet.prototype._update = function(css) { if (this.el.textContent !== css) this.el.textContent = css }
    VisualProperties.prototype._get_css_value = () => ""
} catch (error) { console.warn(`drawn slowly: ${error}`) }"""
"""For the browser, where it makes a frame four times as fast. In each frame Bokeh 3 writes anew all style sheets that
stay as they are, and after each asks whether CSS of the page changes a colour or a font, which nothing here does."""
_HATCH = {"(g-2)_mu within 2 sigma": "/", "B -> K invisible excluded": "."}


def _figure(name: str, x: str, y: str, **keys: Any) -> Any:
    plotting, models = optional("bokeh.plotting", "the explorer"), optional("bokeh.models", "the explorer")
    figure = plotting.figure(width=SIZE[0], height=SIZE[1], tools=[], toolbar_location="above", name=name, **keys)
    tools = (models.WheelZoomTool(), models.BoxZoomTool(), models.ResetTool(), models.SaveTool(filename=name))
    figure.add_tools(*tools)
    figure.toolbar.logo = None
    figure.toolbar.active_drag = figure.toolbar.active_scroll = None
    figure.xaxis.axis_label, figure.yaxis.axis_label = x, y
    figure.grid.grid_line_alpha = 0.35
    return figure


def _source(**columns: Any) -> Any:
    return optional("bokeh.models", "the explorer").ColumnDataSource(columns)


class Diagram:
    """One diagram against q²: for each style a line and a band, and the measured points.

    Each renderer costs the browser a millisecond a frame, so those of held points come with the first of them.
    """

    def __init__(self, shown: Shown) -> None:
        models = optional("bokeh.models", "the explorer")
        limits = {"y_range": models.Range1d(*shown.limits)} if shown.limits else {"y_range": models.Range1d(1e-9, 1e-5)}
        x_range = models.Range1d(0.0, shown.q2[1])
        log = {"y_axis_type": "log"} if shown.log else {}
        self.figure = _figure(shown.name, "q² [GeV²]", shown.label, x_range=x_range, **limits, **log)
        self.log, self.banded = shown.log, shown.observable != "inv"
        self.lines: dict[int, Any] = {}
        self.bands: dict[int, Any] = {}
        for slot in (0, 1):
            self._line(slot)
        if shown.panel:
            self._points()

    def _line(self, slot: int) -> Any:
        """The line of a style, with a band below it where the theory has an error."""
        if slot not in self.lines:
            colour, dash, width = STYLES[slot]
            if self.banded:
                self.bands[slot] = self.figure.varea("q2", "low", "high", source=_source(q2=[], low=[], high=[]),
                                                     name=f"band {slot}", fill_color=colour, fill_alpha=0.22,
                                                     visible=False)  # fmt: skip
            self.lines[slot] = self.figure.line("q2", "value", source=_source(q2=[], value=[]), name=f"line {slot}",
                                                line_color=colour, line_dash=dash, line_width=width)  # fmt: skip
        return self.lines[slot]

    def _points(self) -> None:
        self.points = _source(x=[], left=[], right=[], y=[], down=[], up=[], marker=[], fill=[], colour=[], what=[])
        bars = {"source": self.points, "line_color": "colour", "line_width": 1.4}
        self.figure.segment("left", "y", "right", "y", **bars)
        self.figure.segment("x", "down", "x", "up", **bars)
        drawn = self.figure.scatter("x", "y", source=self.points, marker="marker", fill_color="fill",
                                    line_color="colour", size=7)  # fmt: skip
        hover = optional("bokeh.models", "the explorer").HoverTool
        self.figure.add_tools(hover(renderers=[drawn], tooltips=[("", "@what"), ("value", "@y")]))

    def hide(self, slot: int) -> None:
        """Draw nothing in a style."""
        for renderers in (self.lines, self.bands):
            if slot in renderers:
                renderers[slot].visible = False

    def draw(self, slot: int, curve: Curve) -> None:
        """Draw one curve; its band is not seen until it is known. Columns that are as they were are not sent again."""
        line = self._line(slot)
        line.visible = True
        known = line.data_source.data
        if not np.array_equal(known["q2"], curve.q2):
            line.data_source.data = {"q2": curve.q2, "value": curve.value}
        elif np.array_equal(known["value"], curve.value):
            return
        else:
            known["value"] = curve.value
        if slot in self.bands:
            self.bands[slot].visible = False

    def draw_band(self, slot: int, curve: Curve, error: FloatArray) -> None:
        """Draw the band of a curve."""
        low = curve.value - error
        low = np.maximum(low, 1e-3 * curve.value) if self.log else low
        self.bands[slot].data_source.data = {"q2": curve.q2, "low": low, "high": curve.value + error}
        self.bands[slot].visible = True

    def fit(self, standard: Curve, highest: float) -> None:
        """Move the range of a logarithmic axis if curves left it, or if it is far too large."""
        if not self.log:
            return
        start, end = 0.02 * float(np.median(standard.value)), 3.0 * highest
        known = self.figure.y_range
        if not (0.3 < known.end / end < 3.0 and 0.8 < known.start / start < 1.25 and highest < known.end):
            known.update(start=start, end=end)

    def draw_points(self, points: Sequence[Measured]) -> None:
        """Draw measured points; those of another charge of the B, or of other leptons, are open."""
        own = [str(p.observable.channel) == p.panel.channel for p in points]
        low = np.array([p.observable.q2_min for p in points], dtype=float)
        high = np.array([p.observable.q2_max for p in points], dtype=float)
        symbols = {"o": "circle", "s": "square", "^": "triangle", "D": "diamond"}
        names = [p.experiment.split(" ")[0] for p in points]
        self.points.data = {
            "x": 0.5 * (low + high), "left": low, "right": high,
            "y": [p.value for p in points],
            "down": [p.value - p.down for p in points], "up": [p.value + p.up for p in points],
            "marker": [symbols.get(_MARKERS.get(name, ""), "inverted_triangle") for name in names],
            "fill": ["black" if one else "white" for one in own],
            "colour": ["black" if one else "#737373" for one in own],
            "what": [f"{p.experiment}, arXiv:{p.arxiv}, {p.observable}" for p in points],
        }  # fmt: skip


class PlaneDiagram:
    """The plane of figure 2 around the point, which is a star in it."""

    def __init__(self) -> None:
        models = optional("bokeh.models", "the explorer")
        self.figure = _figure("plane", "x", "y", x_range=models.Range1d(0, 1), y_range=models.Range1d(0, 1))
        self.keys = ("", "")
        self.regions = {name: _source(xs=[], ys=[]) for name, _ in _styles(PAPER_GROUPS)}
        for name, style in _styles(PAPER_GROUPS):
            self.figure.multi_polygons("xs", "ys", source=self.regions[name], **style)
        self.star = _source(x=[], y=[], colour=[], size=[])
        star = {"marker": "star", "size": "size", "fill_color": "colour", "line_color": "white", "level": "overlay"}
        self.figure.scatter("x", "y", source=self.star, **star)

    def set_axes(self, keys: tuple[str, str], ranges: Sequence[tuple[float, float]]) -> None:
        """Name the axes and their ranges; regions of others go."""
        if keys != self.keys:
            self.clear()
            for axis, key in zip((self.figure.xaxis, self.figure.yaxis), keys, strict=True):
                axis.axis_label = KNOWN[key].label
            self.keys = keys
        for known, (low, high) in zip((self.figure.x_range, self.figure.y_range), ranges, strict=True):
            if (known.start, known.end) != (low, high):
                known.update(start=low, end=high)

    def clear(self) -> None:
        """Take all regions away."""
        for source in self.regions.values():
            if len(source.data["xs"]):
                source.data = {"xs": [], "ys": []}

    def draw(self, plane: Plane) -> None:
        """Draw the regions of a plane."""
        shapes = plane.all_regions
        for name, source in self.regions.items():
            source.data = {
                key: [[[ring[:, k].tolist() for ring in rings]] for rings in shapes.get(name, [])]
                for k, key in enumerate(("xs", "ys"))
            }

    def put(self, places: Sequence[tuple[float, float, int]]) -> None:
        """Put stars: x, y, and the style of their model; what is outside is at the edge."""
        x, y = self.figure.x_range, self.figure.y_range
        self.star.data = {
            "x": [min(max(p[0], x.start), x.end) for p in places],
            "y": [min(max(p[1], y.start), y.end) for p in places],
            "colour": [STYLES[p[2]][0] for p in places],
            "size": [22 if p[2] == 1 else 14 for p in places],
        }


def _styles(groups: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    dashes = {"-": "solid", "-.": "dotdash"}
    found: list[tuple[str, dict[str, Any]]] = []
    for name in groups:
        colour, line = _REGIONS.get(get_group(name).family, _OTHER)
        dash = dashes.get(line) if isinstance(line, str) else [int(4 * part) for part in line[1]]
        found.append((f"{name} {BETTER}", {"fill_color": colour, "fill_alpha": 0.28, "line_color": colour,
                                           "line_dash": dash, "line_width": 2}))  # fmt: skip
    found += [
        (name, {"fill_color": "#808080", "fill_alpha": 0.12, "line_color": "#404040", "hatch_pattern": hatch,
                "hatch_color": "#404040", "hatch_alpha": 0.5, "hatch_scale": 8})
        for name, hatch in _HATCH.items()
    ]  # fmt: skip
    found += [
        (f"all, within {threshold} of the best fit", {"fill_alpha": 0.0, "line_color": "black", "line_width": width})
        for threshold, width in (("2.30", 2.4), ("6.18", 1.2))
    ]
    return found


def legend_of_planes(groups: Sequence[str]) -> str:
    """What the regions are, as HTML."""
    words = "; ".join(
        f'<b style="color:{_REGIONS.get(get_group(name).family, _OTHER)[0]}">{name}</b>' for name in groups
    )
    return (
        f"filled: &chi;&sup2; better than the SM's by 4 ({words}); black: all together, 1&sigma; and 2&sigma;; "
        "hatched: (g-2)<sub>&mu;</sub> within 2&sigma;; dotted: excluded by B &rarr; K + invisible"
    )


class SignificanceDiagram:
    """Expected significance against luminosity, a line an observable."""

    DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot", "solid")

    def __init__(self) -> None:
        models = optional("bokeh.models", "the explorer")
        ranges = {"x_range": models.Range1d(0.01, 100), "y_range": models.DataRange1d(start=0)}
        self.figure = _figure("significance", "luminosity", "significance [σ]", x_axis_type="log", **ranges)
        self.lines: dict[str, Any] = {}

    def draw(self, found: Significance | None) -> None:
        """Draw the lines, or nothing."""
        curves: Mapping[str, FloatArray] = found.curves if found is not None else {}
        for k, name in enumerate(curves):
            if name not in self.lines:
                self.lines[name] = _source(x=[], y=[])
                self.figure.line("x", "y", source=self.lines[name], legend_label=name, line_width=2.4,
                                 line_color=("#000000", *(s[0] for s in STYLES[1:]), "#CC79A7")[k % 6],
                                 line_dash=self.DASHES[k % 6])  # fmt: skip
                self.figure.legend.location = "top_left"
                self.figure.legend.label_text_font_size = "9px"
        for name, source in self.lines.items():
            there = found is not None and name in curves
            source.data = {"x": found.luminosity, "y": curves[name]} if there and found else {"x": [], "y": []}
        if found is not None:
            self.figure.x_range.update(start=float(found.luminosity[0]), end=float(found.luminosity[-1]))
            self.figure.xaxis.axis_label = f"luminosity [{found.unit.replace('^-1', '⁻¹')}]"


def slider_range(path: str, value: float) -> tuple[float, float]:
    """Range of an axis of the plane for a parameter's value: that of its slider, on the side of the value.

    >>> slider_range("light_vectors.0.g_mu_v", 0.1)
    (0.0, 0.25)
    """
    control = KNOWN[path]
    low, high = control.low * control.scale, control.high * control.scale
    return (low, high) if not path.endswith("g_mu_v") else (0.0, high) if value >= 0 else (low, 0.0)
