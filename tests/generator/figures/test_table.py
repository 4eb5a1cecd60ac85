import io

import numpy as np
from darkpenguin.generator.figures.table import draw_table, png_of
from PIL import Image


def test_every_cell_is_there():
    figure = draw_table(("a", "b"), [("x_1", "1$"), ("y", "2$")], ("#FF0000", "#0000FF"))
    cells = figure.axes[0].tables[0].get_celld()
    words = {place: cell.get_text().get_text() for place, cell in cells.items()}
    assert words == {(0, 0): "a", (0, 1): "b", (1, 0): "x_1", (1, 1): "1$", (2, 0): "y", (2, 1): "2$"}


def test_a_row_has_its_colour():
    """Pixels of a red verdict are there, and none without it."""

    def reddish(colours):
        image = Image.open(io.BytesIO(png_of(draw_table(("a", "b"), [("x", "excluded")], colours))))
        pixels = np.asarray(image.convert("RGB"), dtype=int)
        return int(((pixels[..., 0] > 200) & (pixels[..., 1] < 60)).sum())

    assert reddish(("#FF0000",)) > 100
    assert reddish(()) == 0
