"""The page of the explorer: controls on the left, all that is seen of the point on the right.

A change of a field draws the curves at once; what takes longer follows, piece by piece, once the hand rests, in a
thread of its own, and says that it works. A newer change makes what was begun before worthless: it stops at the next
piece, and nothing of it is shown.
"""

from __future__ import annotations

import io
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from functools import lru_cache, partial
from html import escape
from typing import Any

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from ...physics.axes import Axis
from ...physics.experiment.likelihood import PAPER_GROUPS
from ...physics.experiment.verdicts import Constraints, constraints
from ...physics.models import Model
from ..figures.figure_2 import Plane, figure_2_plane
from ..scans.card import ScanCard
from ..scans.files import regions_csv
from ..toys.datasets import dataset_names
from . import outputs
from .curves import SHOWN, Curve, FloatArray, Significance, band, chi2, chi2_invisible, curves, measured, significance
from .plots import STYLES, SWIFT, Diagram, PlaneDiagram, SignificanceDiagram, legend_of_planes, slider_range
from .point import CONTROLS, KNOWN, NONLOCAL, NONLOCALS, PHASE, WIDTHS, Bases, Point, V, toml_of

REST = 250
"""Milliseconds without a change after which what takes longer begins."""
PLANES = {
    "g_μA against g_μV": (f"{V}g_mu_v", f"{V}g_mu_a"),
    "g_bs against g_μV": (f"{V}g_mu_v", f"{V}g_bs"),
}
"""Planes of figure 2 by name: their two axes."""
_PLANE_POINTS = 60
SHEET = """
.numbers td, .numbers th { padding: 1px 7px; text-align: right; font-size: 12px; }
.numbers td:first-child { text-align: left; }
:host(.said) { color: #B03A00; font-size: 12px; margin: 0 10px; }
:host(.commands) pre { font-size: 11px; white-space: pre-wrap; max-width: 780px; }
"""
"""How the tables and messages look."""
_BUG = "this is a bug; please report what the terminal shows"


class Worker:
    """A thread that does one thing after another; it does not keep the program alive.

    >>> done: queue.Queue[int] = queue.Queue()
    >>> Worker().do(lambda: done.put(1))
    >>> done.get(timeout=10)
    1
    """

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def do(self, what: Callable[[], None]) -> None:
        """Do this after all that was asked for before."""
        self._waiting.put(what)

    def _run(self) -> None:
        while True:
            try:
                self._waiting.get()()
            except Exception:  # the next page is not to wait in vain
                traceback.print_exc(file=sys.stderr)


def plane_card(point: Point, plane: str) -> ScanCard | None:
    """The scan of a plane through a point; None where the model has no V.

    >>> plane_card(Bases().start(), "g_μA against g_μV").shape
    (60, 60)
    """
    if not point.model.light_vectors:
        return None
    axes = []
    for path in PLANES[plane]:
        low, high = slider_range(path, point.values[path] or 0.0)
        axes.append(Axis(key=path, min=low, max=high, points=_PLANE_POINTS))
    return ScanCard(name="plane", model=point.model, data=point.data, axes=tuple(axes))


class Page:
    """The state of one browser's page and its widgets."""

    def __init__(self, bases: Bases, start: Point, workers: tuple[Worker, Worker], said: str = "") -> None:
        self.pn: Any = optional("panel", "the explorer")
        self.bases, self.point, self.workers = bases, start, workers
        self.held: list[Point] = []
        self.version, self.pending, self.syncing, self.dragging = 0, False, False, False
        self.gone = False
        self.doc: Any = self.pn.state.curdoc
        self.timer: Any = None
        self.drawn: dict[str, dict[str, Curve]] = {}
        self.styled: dict[int, tuple[str, Model]] = {}
        self.errors: dict[tuple[str, str], FloatArray] = {}
        self.chi2: dict[str, dict[str, float]] = {}
        self.summed: tuple[str, Model] | None = None
        self.rows: Constraints | None = None
        self.plane: Plane | None = None
        self.significance: Significance | None = None
        self._widgets()
        self._diagrams()
        self.problem("", said)

    def leave(self) -> None:
        """Nobody looks any more: what is computed for this page stops."""
        self.version += 1
        self.gone = True

    def _later(self, what: Callable[[], None]) -> None:
        """From a thread: do this on the page, if it is still there."""
        try:
            self.doc.add_next_tick_callback(what)
        except Exception:
            if not self.gone:
                raise

    # ---- widgets ----------------------------------------------------------------------------------------------

    def _widgets(self) -> None:
        w, models = self.pn.widgets, optional("bokeh.models", "the explorer")
        self.sliders: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}
        html = partial(self.pn.pane.HTML, stylesheets=[SHEET])
        self.said: dict[str, Any] = {"": html("", css_classes=["said"], width=370)}
        for control in CONTROLS:
            slider = models.Slider(  # Bokeh's own: Panel's waits 50 ms before it says that it was moved
                title="", start=control.low, end=control.high, step=control.step, value=control.low, show_value=False,
                width=130, css_classes=["slider", _class(control.path)],
            )  # fmt: skip
            field = w.TextInput(name="", width=95, css_classes=["field", _class(control.path)])
            slider.on_change("value", partial(self._slid, control.path))
            field.param.watch(partial(self._typed, control.path), "value")
            self.sliders[control.path], self.fields[control.path] = slider, field
            self.said[control.path] = html("", css_classes=["said", f"said-{_class(control.path)}"], width=370)
        self.base = w.Select(name="start from", options=list(self.bases.names), width=180, css_classes=["base"])
        self.charm = w.Select(name="charm", options=list(NONLOCALS), width=110, css_classes=["charm"])
        self.data = w.Select(name="data", options=list(self.bases.data), width=110, css_classes=["data"])
        self.axes = w.Select(name="plane", options=list(PLANES), width=180, css_classes=["axes"])
        self.dataset = w.Select(name="data set", options=list(dataset_names()), width=150, css_classes=["dataset"])
        self.null = w.Select(name="against", options=["the SM", "C9 of μ and e, free"], width=160, css_classes=["null"])
        self.base.param.watch(lambda e: self._chosen(lambda: self.bases.point(e.new, self.point.data)), "value")
        self.data.param.watch(lambda e: self._chosen(lambda: self._with_data(e.new)), "value")
        self.charm.param.watch(lambda e: self._moved(NONLOCAL, e.new, ""), "value")
        self.axes.param.watch(lambda e: self._request(), "value")
        self.hold = w.Button(name="hold this point", width=120, align="end", css_classes=["hold"])
        self.drop = w.Button(name="let go", width=70, align="end", css_classes=["drop"])
        self.compute = w.Button(name="compute significance", width=170, css_classes=["compute"])
        self.hold.on_click(lambda _: self._hold())
        self.drop.on_click(lambda _: self._drop())
        self.compute.on_click(lambda _: self._significance())
        self.status = html("", css_classes=["status"])
        self.legend, self.link = html(""), html("", css_classes=["link"])
        self.chi2_table, self.constraint_table = html("", css_classes=["chi2"]), html("", css_classes=["constraints"])
        self.commands = html("", css_classes=["commands"])
        self.significance_said = html("", css_classes=["significance-said"])

    def _diagrams(self) -> None:
        self.diagrams = {shown.name: Diagram(shown) for shown in SHOWN}
        self.plane_diagram, self.significance_diagram = PlaneDiagram(), SignificanceDiagram()
        events = optional("bokeh.events", "the explorer")
        self.doc.js_on_event("document_ready", optional("bokeh.models", "the explorer").CustomJS(code=SWIFT))
        figure = self.plane_diagram.figure
        figure.on_event(events.PanStart, self._grab)
        figure.on_event(events.Pan, self._drag)
        figure.on_event(events.PanEnd, lambda _: setattr(self, "dragging", False))
        figure.on_event(events.Tap, self._put)

    def _download(self, label: str, filename: str, made: Callable[[], str | bytes]) -> Any:
        def file() -> io.BytesIO:
            found = made()
            return io.BytesIO(found.encode() if isinstance(found, str) else found)

        return self.pn.widgets.FileDownload(
            callback=file, filename=filename, label=label, width=80, button_type="light",
            css_classes=[f"download-{_word(filename.replace('.png', '-png').partition('.')[0])}"],
        )  # fmt: skip

    def layout(self) -> Any:
        """The page, as Panel takes it."""
        row, column = self.pn.Row, self.pn.Column
        rows = []
        for control in CONTROLS:
            unit = f" [{control.unit}]" if control.unit else ""
            label = self.pn.pane.HTML(f"<b>{escape(control.label)}</b>{unit if control.scale == 1 else ''}", width=112)
            rows += [row(label, self.sliders[control.path], self.fields[control.path], height=34),
                     self.said[control.path]]  # fmt: skip
        left = column(
            row(self.base, self.data), row(self.charm, self.hold, self.drop), self.said[""], *rows,
            self.status, self.legend, self.link,
            row(self._download("run card", "run.toml", lambda: outputs.run_card(self.point)),
                self._download("model", "model.toml", lambda: toml_of(self.point.model))),
            width=400, styles={"position": "sticky", "top": "0", "align-self": "flex-start"},
        )  # fmt: skip
        shown = [self._panel(self.diagrams[s.name].figure, s.name, partial(self._curves_csv, s.name)) for s in SHOWN]
        plane = column(
            row(self.axes, self._download("CSV", "plane.csv", self._plane_csv)),
            self.pn.pane.Bokeh(self.plane_diagram.figure),
            self.pn.pane.HTML(legend_of_planes(PAPER_GROUPS), width=380),
        )
        seen = column(
            row(self.dataset, self.null), row(self.compute, self._download("CSV", "significance.csv", self._seen_csv)),
            self.significance_said, self.pn.pane.Bokeh(self.significance_diagram.figure),
        )  # fmt: skip
        sums = column(
            row(self._download("CSV", "chi2.csv", lambda: outputs.chi2_csv(self.chi2)),
                self._download("PNG", "chi2.png", lambda: outputs.chi2_words(self.chi2).png)),
            self.chi2_table, width=390,
        )  # fmt: skip
        table = column(
            row(self._download("CSV", "constraints.csv", lambda: outputs.constraints_csv(self.rows or ())),
                self._download("PNG", "constraints.png", lambda: outputs.constraints_words(self.rows or ()).png)),
            self.constraint_table,
        )  # fmt: skip
        right = self.pn.FlexBox(*shown, plane, sums, seen, table, self.commands, sizing_mode="stretch_width")
        return row(left, right, sizing_mode="stretch_width")

    def _panel(self, figure: Any, name: str, text: Callable[[], str]) -> Any:
        return self.pn.Column(self.pn.pane.Bokeh(figure), self._download("CSV", f"{name}.csv", text))

    # ---- what the hand does -----------------------------------------------------------------------------------

    def problem(self, path: str, message: str) -> None:
        """Say what is wrong beside a field, or nothing anywhere."""
        for key, pane in self.said.items():
            text = escape(message) if key == path else ""
            if pane.object != text:
                pane.object = text

    def _slid(self, path: str, _name: str, _old: float, new: float) -> None:
        if not self.syncing:
            self._moved(path, float(f"{new * KNOWN[path].scale:.6g}"), path)

    def _typed(self, path: str, event: Any) -> None:
        if not self.syncing:
            self._moved(path, event.new, path)

    def _moved(self, path: str, text: str | float, where: str) -> None:
        if self.syncing:
            return
        texts: dict[str, str | float | None] = {path: text}
        if path == PHASE and self.point.nonlocal_ == "flavio":
            self.problem(where, "without charmonium there is no phase: choose resonances or dispersive")
            return
        self._try(lambda: self.point.moved(texts), where)

    def _with_data(self, name: str) -> Point:
        return Point(self.point.name, self.point.base, self.point.items, self.point.nonlocal_, name)

    def _chosen(self, make: Callable[[], Point]) -> None:
        if not self.syncing:
            self._try(make, "")

    def _try(self, make: Callable[[], Point], where: str) -> None:
        """Go to another point, or say beside the field why not and stay."""
        try:
            self.point = make()
        except InputError as error:
            self.problem(where, str(error))
            return
        self.problem("", "")
        self._request()

    def _sync(self) -> None:
        """Let all widgets show the point."""
        self.syncing = True
        try:
            vectors = self.point.model.light_vectors
            widths = [vector.total_width for vector in vectors[:1]]
            derived = dict(zip(WIDTHS, (part for w in widths for part in (w / vectors[0].mass, w)), strict=False))
            for control in CONTROLS:
                value = self.point.values[control.path]
                place = value if value is not None else derived.get(control.path, 0.0)
                inside = min(max(place / control.scale, control.low), control.high)
                if abs(self.sliders[control.path].value - inside) > 0.5 * control.step:  # else the hand holds it
                    self.sliders[control.path].value = inside
                _set(self.fields[control.path], "value", "" if value is None else f"{value:.8g}")
                hint = f"{derived[control.path]:.4g}" if value is None and control.path in derived else ""
                _set(self.fields[control.path], "placeholder", hint)
            _set(self.sliders[PHASE], "disabled", self.point.nonlocal_ == "flavio")
            _set(self.fields[PHASE], "disabled", self.point.nonlocal_ == "flavio")
            _set(self.base, "value", self.point.name)
            _set(self.data, "value", self.point.data)
            _set(self.charm, "value", self.point.nonlocal_)
        finally:
            self.syncing = False

    def _grab(self, event: Any) -> None:
        """The point is grabbed if the mouse begins within a tenth of the plane of it."""
        if event.x is None or not self.point.model.light_vectors:
            return
        star = self.plane_diagram.star.data
        figure = self.plane_diagram.figure
        self.dragging = bool(len(star["x"])) and all(
            abs(at - star[key][0]) < 0.1 * (span.end - span.start)
            for at, key, span in ((event.x, "x", figure.x_range), (event.y, "y", figure.y_range))
        )

    def _drag(self, event: Any) -> None:
        if self.dragging:
            self._put(event)

    def _put(self, event: Any) -> None:
        """Move the point to where the mouse is."""
        if event.x is None or not self.point.model.light_vectors:
            return
        texts: dict[str, str | float | None] = {}
        figure = self.plane_diagram.figure
        for path, at, span in zip(
            PLANES[self.axes.value], (event.x, event.y), (figure.x_range, figure.y_range), strict=True
        ):
            texts[path] = float(f"{min(max(at, span.start), span.end):.4g}")
        self._try(lambda: self.point.moved(texts), next(iter(texts)))

    def _hold(self) -> None:
        if len(self.held) < len(outputs.HELD):
            self.held.append(self.point)
            self._request()

    def _drop(self) -> None:
        self.held.clear()
        self._request()

    # ---- what is drawn ----------------------------------------------------------------------------------------

    def _request(self) -> None:
        """Draw soon: once for all changes that are waiting."""
        self.version += 1
        if not self.pending:
            self.pending = True
            self.doc.add_next_tick_callback(self.draw)

    def draw(self) -> None:
        """Draw the curves, and let the rest follow."""
        self.pending = False
        version = self.version
        points = self._points()
        styled = {slot: (label, model) for label, model, slot in points}
        new = [styled[slot][0] for slot in styled if self.styled.get(slot) != styled[slot]]  # the rest stays as it is
        try:
            found = {label: curves(model) if label in new else self.drawn[label] for label, model, _ in points}
        except InputError as error:
            self.problem("", str(error))
            return
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self.problem("", _BUG)
            return
        self.drawn, self.styled = found, styled
        self.errors = {key: error for key, error in self.errors.items() if key[0] in found and key[0] not in new}
        with self.pn.io.hold(self.doc):  # one message, so that all is drawn in one frame
            self._sync()
            self._draw_curves(points, new)
            self._draw_stars(points)
            self.status.object = "<i>working &hellip;</i>"
        if self.summed == (self.point.data, self.point.model.standard):  # else theory errors have to be found first
            self.doc.add_next_tick_callback(partial(self._draw_chi2, version))
        if self.timer is not None:
            self.doc.remove_timeout_callback(self.timer)
        self.timer = self.doc.add_timeout_callback(partial(self._settle, version), REST)

    def _points(self) -> list[tuple[str, Any, int]]:
        """Label, model and style of all that is drawn: the Standard Model, the point, what is held."""
        held = [
            (f"{label}: {p.title}", p.model, 2 + k)
            for k, (label, p) in enumerate(zip(outputs.HELD, self.held, strict=False))
        ]
        return [("SM", self.point.model.standard, 0), (self.point.title, self.point.model, 1), *held]

    def _draw_curves(self, points: list[tuple[str, Any, int]], new: list[str]) -> None:
        for shown in SHOWN:
            diagram = self.diagrams[shown.name]
            slots = {slot: self.drawn[label][shown.name] for label, _, slot in points}
            for slot in set(diagram.lines) - set(slots):
                diagram.hide(slot)
            for label, _, slot in points:
                if label in new:
                    diagram.draw(slot, slots[slot])
            diagram.fit(slots[0], max(float(curve.value.max()) for curve in slots.values()))

    def _draw_stars(self, points: list[tuple[str, Any, int]]) -> None:
        keys = PLANES[self.axes.value]
        self.plane_diagram.set_axes(keys, [slider_range(path, self.point.values[path] or 0.0) for path in keys])
        order = [(self.point, 1), *((p, 2 + k) for k, p in enumerate(self.held))]
        there = [(p, slot) for p, slot in order if p.model.light_vectors]
        self.plane_diagram.put([(*(float(p.values[path] or 0.0) for path in keys), slot) for p, slot in there])  # type: ignore[misc]

    def _draw_chi2(self, version: int) -> None:
        if version != self.version:
            return
        self._show_chi2({label: chi2(model, self.point.data) for label, model, _ in self._points()})

    def _settle(self, version: int) -> None:
        """What takes longer, piece by piece in a thread; what comes too late is not shown."""
        self.timer = None
        if version != self.version:
            return
        point, points = self.point, self._points()
        legend = "<br>".join(
            f'<b style="color:{STYLES[slot][0]}">{_MARKS[slot]}</b> {escape(label)}' for label, _, slot in points
        )
        self.legend.object = legend
        self.link.object = f'<a href="{escape(point.query)}">link to this point</a>'
        self.commands.object = f"<pre>{escape(outputs.command_lines(point))}</pre>"
        if measured(SHOWN[0], point.data) != getattr(self, "_measured", None):
            self._measured = measured(SHOWN[0], point.data)
            for shown in SHOWN[:3]:
                self.diagrams[shown.name].draw_points(measured(shown, point.data))
        drawn, known = self.drawn, set(self.errors)

        def work() -> None:
            pieces: list[tuple[Callable[[], Any], Callable[[Any], None]]] = [
                (lambda: {label: chi2(model, point.data) for label, model, _ in points}, self._show_chi2)
            ]
            for label, model, slot in points:
                for shown in (one for one in SHOWN[:5] if (label, one.name) not in known):
                    curve = drawn[label][shown.name]
                    pieces.append(
                        (
                            partial(band, shown, model, curve.q2),
                            partial(self._show_band, label, shown.name, slot, curve),
                        )
                    )
            pieces.append(
                (lambda: {label: chi2_invisible(model, point.data) for label, model, _ in points}, self._show_sums)
            )
            pieces.append((lambda: _plane(point, self.axes.value), self._show_plane))
            pieces.append((lambda: _constraints(point), self._show_constraints))
            said = ""
            for make, show in pieces:
                if version != self.version:
                    return
                try:
                    found = make()
                except InputError as error:
                    said = str(error)
                    continue
                except Exception:
                    traceback.print_exc(file=sys.stderr)
                    said = _BUG
                    continue
                self._later(partial(self._show, version, show, found))
            self._later(partial(self._show, version, self._finished, said))

        self.workers[0].do(work)

    def _show(self, version: int, show: Callable[[Any], None], found: Any) -> None:
        if version == self.version:
            show(found)

    def _finished(self, said: str) -> None:
        self.status.object = escape(said) if said else "<span class='done'>all of this point is shown</span>"

    def _show_band(self, label: str, name: str, slot: int, curve: Curve, error: FloatArray) -> None:
        self.errors[label, name] = error
        self.diagrams[name].draw_band(slot, curve, error)

    def _show_chi2(self, found: dict[str, dict[str, float]]) -> None:
        self.chi2 = found
        self.chi2_table.object = outputs.chi2_words(found).html
        self.summed = (self.point.data, self.point.model.standard)

    def _show_sums(self, found: dict[str, dict[str, float]]) -> None:
        for label, sums in found.items():
            self.chi2[label] = {**self.chi2.get(label, {}), **sums}
        self.chi2_table.object = outputs.chi2_words(self.chi2).html

    def _show_plane(self, plane: Plane | None) -> None:
        self.plane = plane
        if plane is None:
            self.plane_diagram.clear()
        else:
            self.plane_diagram.draw(plane)

    def _show_constraints(self, rows: Constraints) -> None:
        self.rows = rows
        self.constraint_table.object = outputs.constraints_words(rows).html

    def _significance(self) -> None:
        point, dataset, free = self.point, self.dataset.value, self.null.value != "the SM"
        self.compute.disabled = True
        self.significance_said.object = "<i>working &hellip;</i>"

        def work() -> None:
            try:
                found, said = significance(point.model, dataset, free), escape(point.title)
            except InputError as error:
                found, said = None, escape(str(error))
            except Exception:
                traceback.print_exc(file=sys.stderr)
                found, said = None, _BUG
            if found is not None:
                self._later(partial(self._show_significance, found))
            self._later(partial(self._say_significance, said))  # by itself: Panel sends words before what Bokeh draws

        self.workers[1].do(work)

    def _show_significance(self, found: Significance) -> None:
        self.significance = found
        self.significance_diagram.draw(found)

    def _say_significance(self, said: str) -> None:
        self.significance_said.object = said
        self.compute.disabled = False

    # ---- CSV --------------------------------------------------------------------------------------------------

    def _curves_csv(self, name: str) -> str:
        return outputs.curves_csv(
            name, {label: (found[name], self.errors.get((label, name))) for label, found in self.drawn.items()}
        )

    def _plane_csv(self) -> str:
        if self.plane is None:
            return regions_csv([])
        keys = [axis.key for axis in self.plane.result.card.axes]
        return regions_csv([("plane", keys, self.plane.all_regions)])

    def _seen_csv(self) -> str:
        return outputs.significance_csv(self.significance) if self.significance is not None else ""


_MARKS = ("&#9473;&#9473;", "&#9473;&#9473;", "&#183;&#183;&#183;", "&#9476;&#9476;", "&#183;&#9472;&#183;")


def _class(path: str) -> str:
    """A path as a class of CSS."""
    return path.rpartition(".")[2].replace("_", "-") if path != PHASE else "phase"


def _word(name: str) -> str:
    """A name as a class of CSS.

    >>> _word("R_K*0")
    'R_Kstar0'
    """
    return name.replace("*", "star").replace("+", "")


def _set(widget: Any, name: str, value: Any) -> None:
    if getattr(widget, name) != value:
        setattr(widget, name, value)


@lru_cache(maxsize=16)
def _constraints(point: Point) -> Constraints:
    return constraints(point.model, point.data)


@lru_cache(maxsize=16)
def _plane(point: Point, plane: str) -> Plane | None:
    card = plane_card(point, plane)
    return None if card is None else figure_2_plane(card, "cpu")
