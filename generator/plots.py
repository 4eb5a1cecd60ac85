"""Figures: mplhep's style, a palette that colour-blind readers can tell apart, PNG and PDF."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kinematics.errors import InputError
from ..physics.channels import CHANNELS
from ..physics.models import Model, get_model
from .expectation import FLAVOURS
from .predict import MeasuredRatio, label_of, predict
from .writers import check_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .validate import ChannelVerdict, Verdict

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of M. Okabe and K. Ito, "Color Universal Design" (2008)."""

Q2_LABEL = r"$q^2\;[\mathrm{GeV}^2]$"


@contextmanager
def house_style() -> Iterator[Any]:
    """Draw off screen in mplhep's style; yields ``matplotlib.pyplot``."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import mplhep
    from cycler import cycler

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


def save_figure(figure: Figure, paths: Sequence[str | os.PathLike[str]], overwrite: bool = False) -> None:
    """Write a figure to files (.png, .pdf), each whole or not at all, and close it.

    Raises:
        InputError: another ending, or a file that cannot be written.
    """
    import matplotlib.pyplot as plt

    for path in paths:
        suffix = Path(path).suffix.lower()
        if suffix not in (".png", ".pdf"):
            raise InputError(f"figure = {str(path)!r}: a figure is a .png or a .pdf")
        target = check_target(path, overwrite=overwrite)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        metadata = {"Creator": "darkpenguin", "CreationDate": None} if suffix == ".pdf" else None
        try:
            with house_style():   # fonts are looked up when the figure is drawn
                figure.savefig(temporary, format=suffix[1:], dpi=150, metadata=metadata)
            if suffix == ".png":
                _shrink(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
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


def draw_ratios(model: Model, measured: Sequence[MeasuredRatio] = (), hadrons: Sequence[str] = ()) -> Figure:
    """Draw R of muons over electrons against q2: the model beside the Standard Model, with measured points on top.

    Args:
        model: what is drawn beside the Standard Model.
        measured: points with errors, as from generated events.
        hadrons: panels to draw; those that are measured without it.

    Returns:
        The figure, one panel a hadron.
    """
    panels = list(hadrons) or list(dict.fromkeys(point.hadron for point in measured)) or ["K+", "K*0"]
    vectors = [vector.mass**2 for vector in model.light_vectors]
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(panels), figsize=(7.5 * len(panels), 6), squeeze=False)
        for axis, hadron in zip(axes[0], panels, strict=True):
            name = f"R_{hadron}"
            high = _endpoint(hadron)
            for colour, style, (title, shown) in zip(
                PALETTE,
                ("--", "-"),
                (("Standard Model", get_model("sm")), (_title(model), model)),
                strict=False,
            ):
                rows = predict([name], model=shown, q2=(0.06, high), points=400)
                axis.plot(
                    [row.q2_min for row in rows],
                    [row.value for row in rows],
                    style,
                    color=colour,
                    label=title,
                )
            points = [point for point in measured if point.hadron == hadron]
            if points:
                _draw_points(axis, points)
            for mass2 in vectors:
                if mass2 < high:
                    axis.axvline(mass2, color="0.6", linestyle=":", linewidth=1.2, label=r"$m_V^2$")
            axis.set_xlim(0, high)
            values = [
                value
                for line in axis.lines[:2]
                for value in np.atleast_1d(line.get_ydata())
                if np.isfinite(value)
            ]
            low_edge, high_edge = min(values), max(values)
            margin = 0.25 * max(high_edge - low_edge, 0.1)
            axis.set_ylim(max(0.0, low_edge - margin), high_edge + 1.8 * margin)
            axis.set_xlabel(Q2_LABEL)
            axis.set_ylabel(label_of(name))
            axis.legend(loc="best")
    return _as_figure(figure)


def _draw_points(axis: Axes, points: Sequence[MeasuredRatio]) -> None:
    centre = np.array([0.5 * (point.q2_min + point.q2_max) for point in points])
    half = np.array([0.5 * (point.q2_max - point.q2_min) for point in points])
    axis.errorbar(
        centre,
        [point.value for point in points],
        yerr=[point.error for point in points],
        xerr=half,
        fmt="o",
        color="black",
        markersize=4,
        linewidth=1.2,
        label="generated events",
        zorder=5,
    )


def draw_predictions(
    observables: Sequence[str],
    model: Model,
    edges: Sequence[float] | None,
    window: tuple[float, float] | None,
    channel: str | None,
) -> Figure:
    """Draw observables against q2, the model beside the Standard Model: curves, and bins where edges are given."""
    n_columns = min(3, len(observables))
    n_rows = -(-len(observables) // n_columns)
    with house_style() as plt:
        figure, axes = plt.subplots(n_rows, n_columns, figsize=(6.5 * n_columns, 5 * n_rows), squeeze=False)
        for axis in axes.ravel()[len(observables) :]:
            axis.set_visible(False)
        for axis, name in zip(axes.ravel(), observables, strict=False):
            shown = [("Standard Model", get_model("sm"), "--")]
            if model.name != "sm":
                shown.append((_title(model), model, "-"))
            for colour, (title, which, style) in zip(PALETTE, shown, strict=False):
                limits = window if edges is None else (max(min(edges), 0.05), max(edges))
                rows = predict([name], model=which, q2=limits, points=300, channel=channel)
                axis.plot(
                    [row.q2_min for row in rows],
                    [row.value for row in rows],
                    style,
                    color=colour,
                    label=title,
                )
                if edges is not None:
                    for row in predict([name], model=which, bins=edges, channel=channel):
                        axis.plot(
                            [row.q2_min, row.q2_max], [row.value] * 2, color=colour, linewidth=3, alpha=0.5
                        )
            axis.set_xlabel(Q2_LABEL)
            axis.set_ylabel(label_of(name))
            axis.legend(loc="best")
    return _as_figure(figure)


def draw_verdict(verdict: Verdict) -> Figure:
    """Draw what a validation compared: pulls of every J_i, and the q2 spectrum over its prediction."""
    n_rows = len(verdict.channels)
    with house_style() as plt:
        figure, axes = plt.subplots(n_rows, 2, figsize=(14, 4.5 * n_rows), squeeze=False)
        for (left, right), item in zip(axes, verdict.channels, strict=True):
            _draw_pulls(left, item)
            _draw_spectrum(right, item)
    return _as_figure(figure)


def _draw_pulls(axis: Axes, item: ChannelVerdict) -> None:
    tests = [test for test in item.tests if test.group == "moment"]
    names = list(dict.fromkeys(test.name for test in tests))
    for offset, (word, marker) in zip(
        (-0.2, 0.0, 0.2), (("b", "^"), ("both", "o"), ("bbar", "v")), strict=True
    ):
        chosen = [test for test in tests if test.flavour == word]
        if chosen:
            label = {"b": "$B$", "both": "both", "bbar": r"$\bar{B}$"}[word]
            places = [names.index(test.name) + offset for test in chosen]
            axis.plot(places, [test.pull for test in chosen], marker, label=label, markersize=6)
    axis.axhspan(-1, 1, color="0.85", zorder=0)
    axis.axhline(0, color="0.4", linewidth=1)
    axis.set_xticks(range(len(names)), [f"${name.replace('_', '_{')}}}$" for name in names])
    axis.minorticks_off()
    limit = max(4.0, 1.3 * max((abs(test.pull) for test in tests), default=0.0))
    axis.set_ylim(-limit, 1.4 * limit)  # room for the legend
    axis.set_ylabel("pull of the moment")
    axis.set_title(f"${CHANNELS[item.channel].latex}$, {item.events:,} events", fontsize=15)
    axis.legend(loc="upper right", ncols=3)


def _draw_spectrum(axis: Axes, item: ChannelVerdict) -> None:
    prediction = item.expectation
    rows = [FLAVOURS.index(flavour) for flavour in prediction.flavours]
    counts = (item.sums[rows] @ prediction.basis.unity).sum(axis=0)
    expected = max(item.events, 1) * (prediction.means @ prediction.basis.unity).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, error = counts / expected - 1, 1 / np.sqrt(expected)
    edges = prediction.edges
    logarithmic = edges[len(edges) // 4] < 0.02 * edges[-1]  # a quarter of the events at the photon pole
    centre = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else 0.5 * (edges[1:] + edges[:-1])
    scale = 10.0 ** np.floor(np.log10(np.max(error)))
    axis.errorbar(centre, ratio / scale, yerr=error / scale, fmt="o", markersize=4, linewidth=1.2)
    axis.axhline(0, color="0.4", linewidth=1)
    if logarithmic:
        axis.set_xscale("log")
    axis.set_xlabel(Q2_LABEL)
    axis.set_ylabel(f"(events / prediction - 1) / {scale:g}")
    axis.set_title(f"p-value of the channel: {item.p_value:.3g}", fontsize=15)


def _title(model: Model) -> str:
    if len(model.light_vectors) == 1 and len(model.name) < 20:
        vector = model.light_vectors[0]
        return rf"{model.name}: $m_V = {vector.mass:g}$ GeV"
    return model.name


def _endpoint(hadron: str) -> float:
    """Return the largest q2 of a hadron's channels (GeV^2)."""
    return min(
        channel.q2_limits()[1] for channel in CHANNELS.values() if channel.hadron == hadron and channel.lepton
    )


def _as_figure(figure: Any) -> Figure:
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)
    return figure
