"""What leaves the explorer: a run card, a model's file, command lines that make its numbers, tables as CSV and PNG."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ...physics.experiment.verdicts import Row
from ..figures.table import draw_table, png_of
from .curves import Curve, FloatArray, Significance
from .point import Point, _text


def run_card(point: Point) -> str:
    """A run card that generates events of a point.

    >>> from .point import Bases
    >>> print(run_card(Bases().start()), end="")
    # darkpenguin generate run.toml
    channels = ["B0->K*0mumu", "B+->K+mumu"]
    model = "fig2"
    events = 100000
    seed = 1
    output = "events.root"
    """
    lines = [
        "# darkpenguin generate run.toml",
        'channels = ["B0->K*0mumu", "B+->K+mumu"]',
        f"model = {_text(point.name)}",
        *([f"set = {_text(list(point.settings))}"] if point.settings else []),
        "events = 100000",
        "seed = 1",
        'output = "events.root"',
    ]
    return "\n".join(lines) + "\n"


def command_lines(point: Point) -> str:
    """The commands that print and draw what the page shows of a point.

    >>> from .point import Bases
    >>> command_lines(Bases().start()).splitlines()[0]
    "darkpenguin predict R_K+ 'R_K*0' P5p dBR --q2 0.05,8.68 --errors --model fig2"
    """
    data, changes = f"--data {shlex.quote(point.data)}", "".join(f" --set {shlex.quote(s)}" for s in point.settings)
    return "\n".join(
        [
            f"darkpenguin predict R_K+ 'R_K*0' P5p dBR --q2 0.05,8.68 --errors {point.words}",
            f"darkpenguin predict dBR --channel 'B+->K+mumu' --q2 0.05,22.9 {point.words}",
            f"darkpenguin constraints {shlex.quote(point.name)} {data}{changes}",
            f"darkpenguin constraints {shlex.quote(point.name)} {data}{changes} --compare",
            f"darkpenguin figure 2 {data} {point.words}",
        ]
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; numbers in ten digits, nothing where there is none.

    >>> table(("a", "b"), [("x, y", 0.1), ("z", None)])
    'a,b\\n"x, y",0.1\\nz,\\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{cell:.10g}" if isinstance(cell, float) else "" if cell is None else cell for cell in row])
    return text.getvalue()


def curves_csv(name: str, drawn: Mapping[str, tuple[Curve, FloatArray | None]]) -> str:
    """The curves of one diagram, by model: q2 (GeV²), value, error of the theory where it is there.

    >>> import numpy as np
    >>> print(curves_csv("R_K+", {"sm": (Curve(np.array([1.0]), np.array([0.99])), None)}), end="")
    diagram,model,q2,value,theory error
    R_K+,sm,1,0.99,
    """
    rows = [
        (name, model, float(q2), float(value), None if error is None else float(error[i]))
        for model, (curve, error) in drawn.items()
        for i, (q2, value) in enumerate(zip(curve.q2, curve.value, strict=True))
    ]
    return table(("diagram", "model", "q2", "value", "theory error"), rows)


def constraints_csv(rows: Iterable[Row]) -> str:
    """The table of constraints: the numbers of ``darkpenguin constraints``.

    >>> constraints_csv([]).strip()
    'constraint,vector,equation,prediction,limit,unit,pull,ratio,pull of the SM,verdict,source'
    """
    header = ["constraint", "vector", "equation", "prediction", "limit", "unit", "pull", "ratio"]
    return table(
        (*header, "pull of the SM", "verdict", "source"),
        [
            (r.name, r.vector, r.equation, r.prediction, r.limit, r.unit, r.pull, r.ratio, r.standard_pull, r.verdict,
             r.source)
            for r in rows
        ],
    )  # fmt: skip


def significance_csv(found: Significance) -> str:
    """Expected significance against luminosity, by observable.

    >>> import numpy as np
    >>> found = Significance(np.array([1.0]), "fb^-1", {"R_K+": np.array([2.0])})
    >>> print(significance_csv(found), end="")
    observable,luminosity [fb^-1],significance
    R_K+,1,2
    """
    rows = [
        (name, float(luminosity), float(value))
        for name, curve in found.curves.items()
        for luminosity, value in zip(found.luminosity, curve, strict=True)
    ]
    return table(("observable", f"luminosity [{found.unit}]", "significance"), rows)


def chi2_csv(found: Mapping[str, Mapping[str, float]]) -> str:
    """χ² of each group of measurements, by model.

    >>> chi2_csv({"sm": {"R_K": 6.8}})
    'model,group,chi2\\nsm,R_K,6.8\\n'
    """
    return table(
        ("model", "group", "chi2"), [(m, g, float(value)) for m, groups in found.items() for g, value in groups.items()]
    )


HELD = ("A", "B", "C")
"""Names of points that are held."""
_COLOURS = {"excluded": "#D55E00", "tension": "#B07800", "allowed": "#00734F"}
_OTHER = "#666666"


@dataclass(frozen=True)
class Words:
    """A table as it is read: header and cells, and for each row the colour of its last cell and where it is from."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    colours: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def html(self) -> str:
        """For the page; a source is shown where the mouse rests.

        >>> Words(("a", "b"), (("<", "1"),)).html
        "<table class='numbers'><tr><th>a</th><th>b</th></tr><tr><td>&lt;</td><td>1</td></tr></table>"
        """
        lines = []
        for i, row in enumerate(self.rows):
            cells = [f"<td>{escape(cell)}</td>" for cell in row]
            if self.colours:
                cells[-1] = f"<td style='color:{self.colours[i]}'><b>{escape(row[-1])}</b></td>"
            title = f" title='{escape(self.sources[i])}'" if self.sources else ""
            lines.append(f"<tr{title}>{''.join(cells)}</tr>")
        head = "".join(f"<th>{escape(word)}</th>" for word in self.header)
        return f"<table class='numbers'><tr>{head}</tr>{''.join(lines)}</table>"

    @property
    def png(self) -> bytes:
        """As a picture.

        >>> Words(("a", "b"), (("x", "1"),)).png[1:4]
        b'PNG'
        """
        return png_of(draw_table(self.header, self.rows, self.colours))


def chi2_words(found: Mapping[str, Mapping[str, float]]) -> Words:
    """χ² of each group: a row a group, a column a model; the Standard Model, the point, and what is held.

    >>> chi2_words({"SM": {"R_K": 6.84}, "fig2": {}}).rows
    (('R_K', '6.8', '…'),)
    """
    groups = dict.fromkeys(name for sums in found.values() for name in sums)
    heads = ("χ²", "SM", "point", *HELD)
    rows = ((name, *(f"{sums[name]:.1f}" if name in sums else "…" for sums in found.values())) for name in groups)
    return Words(heads[: len(found) + 1], tuple(rows))


def constraints_words(rows: Iterable[Row]) -> Words:
    """The table of constraints with verdicts and pulls.

    >>> constraints_words([]).header
    ('constraint', 'prediction', 'limit', 'unit', 'pull or ratio', 'verdict')
    """
    known = list(rows)
    lines = []
    for row in known:
        pull = f"{row.pull:+.2f}σ" if row.pull is not None else "" if row.ratio is None else f"{row.ratio:.3g}"
        numbers = ["" if value is None else f"{value:.4g}" for value in (row.prediction, row.limit)]
        lines.append((row.name, *numbers, row.unit, pull, row.verdict))
    header = ("constraint", "prediction", "limit", "unit", "pull or ratio", "verdict")
    colours = tuple(_COLOURS.get(row.verdict, _OTHER) for row in known)
    return Words(header, tuple(lines), colours, tuple(row.source for row in known))
