"""A table of words as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_table(header: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str] = ()) -> Figure:
    """Draw a table: its first column to the left, the others to the right, the last one in colours, one a row.

    >>> figure = draw_table(("group", "SM"), [("R_K", "6.8")])
    >>> [cell.get_text().get_text() for cell in figure.axes[0].tables[0].get_celld().values()]
    ['group', 'SM', 'R_K', '6.8']
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.family": ["DejaVu Sans"], "font.size": 10, "text.parse_math": False}):
        figure = Figure(figsize=(8.0, 0.28 * (len(rows) + 1)))
        FigureCanvasAgg(figure)
        axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axis.axis("off")
        table = axis.table([list(header), *map(list, rows)], loc="center", edges="horizontal", cellLoc="right")
        table.auto_set_font_size(False)
        table.auto_set_column_width(list(range(len(header))))
        for (row, column), cell in table.get_celld().items():
            cell.set(height=1.0 / (len(rows) + 1), linewidth=0.4, edgecolor="0.7")
            if column == 0:
                cell.get_text().set_horizontalalignment("left")
            if row == 0:
                cell.get_text().set_fontweight("bold")
            elif colours and column == len(header) - 1:
                cell.get_text().set(color=colours[row - 1], fontweight="bold")
    return figure


def png_of(figure: Figure) -> bytes:
    """A figure as a PNG file, cut to what is drawn.

    >>> png_of(draw_table(("a",), [("1",)]))[1:4]
    b'PNG'
    """
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, bbox_inches="tight", pad_inches=0.1)
    return file.getvalue()
