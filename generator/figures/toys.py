"""Figures of toys: bands over the model curves, pulls, test statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...physics.binning import Bins, read_pairs, stretches_of
from ...physics.models import Model
from ...physics.observables import curve, get_observable
from ..toys.datasets import get_dataset
from ..toys.experiment import parse_term
from ..toys.run import ToysCard, hadron_word
from .labels import hypothesis_label
from .style import LINES, PALETTE, Q2_LABEL, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[Any]]


def column_of(name: str) -> str:
    """Column of the ntuple that holds an observable.

    >>> column_of("R_K*0"), column_of("P5p")
    ('R_Kst0', 'P5p')
    """
    head, _, hadron = name.partition("_")
    return f"R_{hadron_word(hadron)}" if head == "R" and hadron else name


def estimated(card: ToysCard) -> list[str]:
    """Observables of a card that the ntuple has estimates of."""
    return [name for name in card.observables if parse_term(name).kind != "rate"]


def _models(card: ToysCard) -> list[tuple[str, Model]]:
    found: dict[str, Model] = {}
    for hypothesis in (card.truth, *card.hypotheses):
        if not hypothesis.scan:
            found.setdefault(hypothesis_label(hypothesis), hypothesis.base())
    return list(found.items())


def draw_bands(card: ToysCard, columns: Columns) -> Figure:
    """Toys of each observable in bins of q2: 68 and 95 % of them, with the curves of all hypotheses.

    Theory's error on an angular observable is part of the spread. One panel an observable.
    """
    names = estimated(card)
    windows = read_pairs(card.bins)
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(names), figsize=(7.0 * len(names), 6.2), squeeze=False)
        for axis, name in zip(axes[0], names, strict=True):
            values = np.asarray(columns[column_of(name)], dtype=float)
            values = np.where(np.isfinite(values), values, np.nan)
            _draw_band(axis, windows, values)
            _draw_curves(axis, name, card)
            axis.set_xlabel(Q2_LABEL)
            axis.set_ylabel(f"${get_observable(name).latex}$")
            axis.set_xlim(windows[0][0] - 0.2, windows[-1][1] + 0.2)
            low, high = np.nanquantile(values, [0.02, 0.98])
            axis.set_ylim(low - 0.15 * (high - low), high + 0.9 * (high - low))
            axis.legend(loc="upper right", fontsize=11, ncols=2)
        title = f"{len(columns['toy']):,} toys of {get_dataset(card.dataset).name}"
        axes[0][0].set_title(title, fontsize=14, loc="left")
    return figure  # type: ignore[no-any-return]


def _draw_band(axis: Axes, windows: Bins, values: Array) -> None:
    quantiles = np.nanquantile(values, [0.0228, 0.1587, 0.5, 0.8413, 0.9772], axis=0)
    for b, (low, high) in enumerate(windows):
        first = b == 0
        axis.fill_between(
            [low, high],
            quantiles[0, b],
            quantiles[4, b],
            color=PALETTE[5],
            alpha=0.25,
            linewidth=0,
            label="95 % of toys" if first else None,
        )
        axis.fill_between(
            [low, high],
            quantiles[1, b],
            quantiles[3, b],
            color=PALETTE[5],
            alpha=0.5,
            linewidth=0,
            label="68 % of toys" if first else None,
        )
        axis.plot(
            [low, high],
            [quantiles[2, b]] * 2,
            color=PALETTE[0],
            linewidth=2,
            label="median toy" if first else None,
        )
        axis.errorbar(
            0.5 * (low + high),
            values[0, b],
            yerr=None,
            fmt="o",
            color="black",
            markersize=4,
            label="one toy" if first else None,
        )


def _draw_curves(axis: Axes, name: str, card: ToysCard) -> None:
    stretches = stretches_of(card.bins)
    parts = [np.linspace(low, high, max(300 // len(stretches), 2)) for low, high in stretches]
    q2 = np.concatenate(parts)
    broken = np.cumsum([len(part) for part in parts])[:-1]  # no line over a gap
    colours = (PALETTE[6], PALETTE[1], PALETTE[2], PALETTE[3], PALETTE[4])
    for i, (title, model) in enumerate(_models(card)):
        axis.plot(
            np.insert(q2, broken, np.nan),
            np.insert(curve(name, model, q2), broken, np.nan),
            color=colours[i % len(colours)],
            linewidth=1.6,
            linestyle="-" if i == 0 else LINES[(i - 1) % len(LINES)],
            label=f"{title} (true)" if i == 0 else title,
        )


def pulls(card: ToysCard, columns: Columns) -> dict[str, Array]:
    """(estimate - truth)/error of every estimate, (toys, bins): the error is that on the side of the truth.

    Couplings have a pull only where the truth has a value in the model of the fit.
    """
    found = {}
    for name in estimated(card):
        column = column_of(name)
        value, truth = columns[column], columns[f"{column}_true"]
        if f"{column}_error" in columns:
            error = columns[f"{column}_error"]
        else:
            error = np.where(value > truth, value - columns[f"{column}_low"], columns[f"{column}_high"] - value)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[name] = (value - truth) / error
    for name, units in card.fit.items():
        truth_value = _true_coupling(card.truth.base(), card.fit_model, units)
        if truth_value is not None:
            pull = (columns[f"fit_{name}"] - truth_value) / columns[f"fit_{name}_error"]
            found[f"fit {name}"] = np.where(columns["fit_status"] == 0, pull, np.nan)[:, None]
    for word in (name for name in columns if name.startswith("unbinned_") and f"{name}_true" in columns):
        pull = (columns[word] - columns[f"{word}_true"]) / columns[f"{word}_error"]
        good = columns["unbinned_status"] == 0
        found[word.replace("_", " ", 1)] = np.where(good, pull, np.nan)[:, None]
    return found


def _true_coupling(truth: Model, fit_model: str | Model, units: Mapping[str, float]) -> float | None:
    """Value of a fitted coupling in the true model; None if the true model is not one of the fit's."""
    from ...physics.models import as_model
    from ..toys.couplings import model_at

    path, unit = next(iter(units.items()))
    target: Any = truth
    for part in path.split("."):
        index = part.isdecimal()
        if index and int(part) >= len(target):
            return None
        target = target[int(part)] if index else getattr(target, part)
    value = complex(target).real / unit
    fitted = model_at(as_model(fit_model), {"x": dict(units)}, [value])
    same = fitted.model_dump(exclude={"name"}) == truth.model_dump(exclude={"name"})
    return value if same else None


def pull_rows(card: ToysCard, columns: Columns) -> list[dict[str, Any]]:
    """Estimate, bin of q2, toys used and made, mean and width of the pull with errors, coverage of one sigma."""
    rows, windows = [], read_pairs(card.bins)
    for name, pull in pulls(card, columns).items():
        for b in range(pull.shape[1]):
            good = pull[:, b][np.isfinite(pull[:, b])]
            n = max(len(good), 1)
            low, high = windows[b]
            mean, width, coverage = (
                (float(np.mean(good)), float(np.std(good)), float(np.mean(np.abs(good) < 1)))
                if len(good)
                else (float("nan"),) * 3
            )
            rows.append(
                {
                    "estimate": name,
                    "q2": (low, high) if pull.shape[1] > 1 or len(windows) == 1 else None,
                    "used": len(good),
                    "toys": len(pull),
                    "mean": mean,
                    "mean_error": width / n**0.5,
                    "width": width,
                    "width_error": width / (2 * n) ** 0.5,
                    "coverage": coverage,
                }
            )
    return rows


def pull_table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Cells of the table of `pull_rows`."""
    return [
        [
            row["estimate"],
            "all" if row["q2"] is None else f"{row['q2'][0]:g}-{row['q2'][1]:g}",
            f"{row['used']}/{row['toys']}",
            f"{row['mean']:+.3f} ± {row['mean_error']:.3f}",
            f"{row['width']:.3f} ± {row['width_error']:.3f}",
            f"{row['coverage']:.3f}",
        ]
        for row in rows
    ]


def draw_pulls(card: ToysCard, columns: Columns) -> Figure:
    """Histogram of the pulls of each estimate, all bins together, with a unit Gaussian."""
    found = pulls(card, columns)
    x = np.linspace(-5, 5, 200)
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(found), figsize=(5.6 * len(found), 5.4), squeeze=False)
        for axis, (name, pull) in zip(axes[0], found.items(), strict=True):
            good = pull[np.isfinite(pull)]
            axis.hist(good, np.linspace(-5, 5, 51), density=True, color=PALETTE[5], alpha=0.7)
            axis.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color="black", linewidth=1.5)
            axis.set_xlabel(f"pull of {_latex(name)}")
            axis.set_ylim(0, 0.56)
            lost = pull.size - good.size
            axis.legend(
                [],
                title=f"mean {good.mean():+.3f}, width {good.std():.3f}\n{lost} of {pull.size} without",
                loc="upper left",
                title_fontsize=13,
            )
    return figure  # type: ignore[no-any-return]


def _latex(name: str) -> str:
    if name.startswith(("fit ", "unbinned ")):
        return name.partition(" ")[2]
    return f"${get_observable(name).latex}$"


def draw_tests(card: ToysCard, columns: Columns) -> Figure:
    """Distributions of -2 ln L of each hypothesis relative to the first in the toys of the truth."""
    shown = [(i, h) for i, h in enumerate(card.hypotheses) if i]
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(8.5, 6.4))
        values = [columns[f"q_{i}"] for i, _ in shown] or [np.zeros(1)]
        low, high = np.nanquantile(np.concatenate(values), [0.001, 0.999])
        edges = np.linspace(float(low), float(high), 61)
        for colour, line, (i, h) in zip(PALETTE, ("-", *LINES), shown, strict=False):
            label = hypothesis_label(h)
            axis.hist(columns[f"q_{i}"], edges, histtype="step", linewidth=2, color=colour, linestyle=line, label=label)
        axis.axvline(0, color="0.6", linewidth=1, linestyle=":")
        axis.set_xlabel(rf"$-2\ln L(H)/L(H_0)$, $H_0$: {hypothesis_label(card.hypotheses[0])}")
        axis.set_ylabel("Toys")
        axis.set_ylim(0, axis.get_ylim()[1] * 1.3)
        axis.legend(title=f"true: {hypothesis_label(card.truth)}", loc="upper right")
    return figure  # type: ignore[no-any-return]


DRAW: Mapping[str, Callable[[ToysCard, Columns], Figure]] = {
    "bands": draw_bands,
    "pulls": draw_pulls,
    "tests": draw_tests,
}
"""What draws toys, by the last part of a figure's name."""


def words(card: ToysCard) -> list[str]:
    """Last parts of the names of the figures that a card's toys have, in their order."""
    known = ["bands", "pulls"] if estimated(card) else ["pulls"] if card.unbinned is not None else []
    return [*known, *(["tests"] if len(card.hypotheses) > 1 else [])]
