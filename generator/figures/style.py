"""The house style of figures, and how they are written."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...kinematics.base.files import WholeFile, check_figure, check_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of M. Okabe and K. Ito, "Color Universal Design" (2008)."""
LINES: tuple[Any, ...] = ("--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (9, 2)), (0, (3, 1)))
"""Styles beside a solid line: curves of one panel are told apart in a print without colours too."""
Q2_LABEL = r"$q^2\;[\mathrm{GeV}^2]$"


@contextmanager
def house_style() -> Iterator[Any]:
    """Draw off screen in mplhep's style; yields ``matplotlib.pyplot``."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import mplhep
    from matplotlib.rcsetup import cycler

    with plt.style.context(
        [
            mplhep.style.ROOT,
            {
                "font.size": 15,
                "axes.labelsize": 17,
                "legend.fontsize": 13,
                "figure.constrained_layout.use": True,
                "savefig.bbox": None,
                "pdf.fonttype": 42,
                "axes.unicode_minus": True,
                "axes.prop_cycle": cycler(color=PALETTE),
            },
        ]
    ):
        yield plt


def plain_where_no_math(figure: Figure) -> None:
    """Show texts as they are in which a dollar begins no formula: names are their users' own."""
    from matplotlib.mathtext import MathTextParser
    from matplotlib.text import Text

    parser = MathTextParser("path")
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if "$" in text.get_text():
            try:
                for line in text.get_text().splitlines():  # as it is drawn
                    parser.parse(line)
            except ValueError:
                text.set_parse_math(False)


def save_figure(figure: Figure, paths: Sequence[str | os.PathLike[str]], overwrite: bool = False) -> None:
    """Write a figure to files (.png, .pdf), each whole or not at all, and close it.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    import matplotlib.pyplot as plt

    for path in paths:
        target = check_figure(path, overwrite)
        suffix = target.suffix.lower()
        metadata = {"Creator": "darkpenguin", "CreationDate": None} if suffix == ".pdf" else None
        with WholeFile(target, overwrite) as temporary:
            with house_style():  # fonts are looked up when the figure is drawn
                plain_where_no_math(figure)
                figure.savefig(temporary, format=suffix[1:], dpi=150, metadata=metadata)
            if suffix == ".png":
                _shrink(temporary)
    plt.close(figure)


def _shrink(path: Path) -> None:
    """Rewrite a PNG with a palette of 255 colours: a third of the size, and nothing to see of it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Software", "darkpenguin")
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(255, dither=Image.Dither.NONE)
        small.save(path, format="png", optimize=True, dpi=(150, 150), pnginfo=about)


def _as_figure(figure: Any) -> Figure:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    return figure


def _targets(folder: str | os.PathLike[str], stem: str, endings: Sequence[str], overwrite: bool) -> list[Path]:
    return [check_target(Path(folder) / f"{stem}{ending}", overwrite=overwrite) for ending in endings]


def _save(draw: Callable[[], Figure], paths: Sequence[Path], overwrite: bool) -> None:
    """Draw and write within the style: fonts are looked up when the file is written."""
    for name in ("fontTools.subset", "matplotlib.mathtext"):  # flavio turns everybody's messages on
        logging.getLogger(name).setLevel(logging.WARNING)
    with house_style():
        save_figure(draw(), [str(path) for path in paths], overwrite)
