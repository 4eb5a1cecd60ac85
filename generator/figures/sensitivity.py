"""Figures of sensitivities: significance against luminosity, luminosity against one parameter or as a map of two."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from ...kinematics.base.errors import InputError
from ..toys.datasets import get_dataset
from ..toys.sensitivity import COMBINED, Sensitivity
from ..toys.tables import luminosity_text
from .figure_2 import axis_label
from .style import LINES, PALETTE, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_sensitivity(result: Sensitivity) -> Figure:
    """Significance against luminosity, one curve an observable, with the toys on top."""
    card = result.card
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(9.0, 7.0))
        top = 0.0
        for i, (name, values) in enumerate(result.curves.items()):
            colour = PALETTE[i % len(PALETTE)]
            reach = result.required[name]
            text = f"{_label(name)}: {luminosity_text(reach, result)}"
            axis.plot(
                result.luminosities,
                values,
                color=colour,
                linewidth=3 if name == COMBINED else 2,
                linestyle="-" if name == COMBINED else LINES[i % len(LINES)],
                label=text,
            )
            for counted in (True, False):
                shown = [t for t in result.toys if t.observable == name and (t.method == "counted") == counted]
                axis.plot(
                    [t.luminosity for t in shown],
                    [t.significance for t in shown],
                    "o",
                    color=colour,
                    markerfacecolor=colour if counted else "white",
                    markeredgewidth=2,
                )
            top = max(top, float(values.max()))
        axis.axhline(card.target, color="0.5", linewidth=1.2)
        axis.text(result.luminosities[0] * 1.1, card.target * 1.03, rf"${card.target:g}\sigma$", color="0.4")
        axis.set_xscale("log")
        axis.set_xlim(result.luminosities[0], result.luminosities[-1])
        axis.set_ylim(0.0, min(max(top * 1.05, 1.12 * card.target), 2.4 * card.target))  # the target is always in sight
        unit = _unit(result)
        axis.set_xlabel(f"Luminosity [{unit}]")
        axis.set_ylabel("Median significance")
        _titled(figure, result, along=False)
        axis.legend(
            title=rf"Luminosity for ${card.target:g}\sigma$ [{unit}]" + "\npoints: toys (open: extrapolated)",
            loc="upper left" if top > card.target else "center left",
            frameon=True,
            framealpha=0.9,
            edgecolor="none",
        )
    return figure  # type: ignore[no-any-return]


def _label(name: str) -> str:
    """Observable as LaTeX for a legend."""
    from ...physics.observables import get_observable

    if name == COMBINED:
        return "all together"
    head, _, hadron = name.partition("_")
    if head == "dBR":
        return f"${get_observable('R_' + hadron).latex.replace('R', r'dB/dq^2')}$"
    return f"${get_observable(name).latex}$"


def draw_statistics(result: Sensitivity, luminosity: float | None = None) -> Figure:
    """Distributions of q in toys of both hypotheses at one luminosity, a panel for each observable."""
    chosen = luminosity if luminosity is not None else result.toys[0].luminosity
    unit = _unit(result)
    names = [t.observable for t in result.toys if t.luminosity == chosen]
    if not names:
        raise InputError(f"luminosity = {chosen:g}: no toys were made there")
    with house_style() as plt:
        columns = min(len(names), 3)
        rows = -(-len(names) // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, 5.2 * rows), squeeze=False)
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        for axis, name in zip(axes.flat, names, strict=False):
            true, wrong = result.distributions[name, chosen]
            point = next(t for t in result.toys if (t.observable, t.luminosity) == (name, chosen))
            edges = np.histogram_bin_edges(np.concatenate([true, wrong])[~np.isnan([*true, *wrong])], 60)
            for values, colour, line, title in (
                (wrong, PALETTE[1], "--", result.card.null.title),
                (true, PALETTE[0], "-", result.card.truth.title),
            ):
                axis.hist(values, edges, color=colour, histtype="stepfilled", alpha=0.35, density=True)
                axis.hist(values, edges, color=colour, ls=line, histtype="step", lw=1.5, density=True, label=title)
            axis.axvline(point.median_q, color="black", linestyle=":", linewidth=1.5)
            axis.set_xlabel(r"$q = -2\ln L_0/L_1$")
            axis.set_ylim(0, axis.get_ylim()[1] * 1.35)
            sigma = rf"toys ${point.significance:.2f}\sigma$, Asimov ${point.asimov:.2f}\sigma$"
            axis.legend(
                title=f"{_label(name)}, {chosen:g} {unit}\n{sigma}",
                fontsize=11,
                title_fontsize=12,
                loc="upper left",
            )
        for first in axes[:, 0]:
            first.set_ylabel("Toys (normalised)")
    return figure  # type: ignore[no-any-return]


def draw_versus(result: Sensitivity) -> Figure:
    """Luminosity for the target along a parameter, and significance at the data set's own; or a map of two."""
    assert result.versus is not None
    if len(result.versus.paths) == 2:
        return _draw_map(result)
    versus, target = result.versus, result.card.target
    (values,) = versus.axes
    with house_style() as plt:
        figure, axes = plt.subplots(2, 1, figsize=(9.0, 10.0), sharex=True)
        reached = np.concatenate([row[np.isfinite(row)] for row in versus.required.values()])
        low, high = (0.6 * reached.min(), 2.5 * reached.max()) if reached.size else (1.0, result.farthest)
        for i, key in enumerate(versus.required):
            style: dict[str, Any] = {
                "color": PALETTE[i % len(PALETTE)],
                "linewidth": 3 if key == COMBINED else 2,
                "linestyle": "-" if key == COMBINED else LINES[i % len(LINES)],
            }
            required = versus.required[key]
            axes[0].plot(values, np.where(np.isfinite(required), required, np.nan), label=_label(key), **style)
            never = values[~np.isfinite(required)]
            axes[0].plot(never, np.full(never.shape, 0.8 * high), marker=r"$\uparrow$", ms=13, ls="", c=style["color"])
            axes[1].plot(values, np.where(versus.at_own[key] > 0, versus.at_own[key], np.nan), **style)
        axes[0].set_yscale("log")
        axes[0].set_ylim(low, high)
        axes[0].set_ylabel(rf"Luminosity for ${target:g}\sigma$ [{_unit(result)}]")
        axes[1].axhline(target, color="0.5", linewidth=1.2)
        axes[1].set_yscale("log")
        axes[1].set_ylim(0.1 * target, None)
        axes[1].set_ylabel(f"Median significance at {_own(result)}")
        axes[1].set_xlabel(axis_label(versus.paths[0]))
        axes[1].set_xlim(values[0], values[-1])
        arrows = any(not np.all(np.isfinite(row)) for row in versus.required.values())
        note = rf"$\uparrow$: more than {result.farthest:.3g} {_unit(result)}" if arrows else None
        axes[0].legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", title=note)
        _titled(figure, result)
    return _as_figure(figure)


def _draw_map(result: Sensitivity) -> Figure:
    """Luminosity for the target over two parameters, a panel an observable; arrows where it is not reached."""
    assert result.versus is not None
    versus, target = result.versus, result.card.target
    x, y = versus.axes
    names = list(versus.required)
    with house_style() as plt:
        from matplotlib.colors import LogNorm

        columns = min(len(names), 2)
        rows = -(-len(names) // columns)
        figure, axes = plt.subplots(
            rows, columns, figsize=(6.4 * columns + 1.0, 5.4 * rows), sharex=True, sharey=True, squeeze=False
        )
        reached = np.concatenate([v[np.isfinite(v)] for v in versus.required.values()])
        norm = LogNorm(*((reached.min(), reached.max()) if reached.size else (1.0, result.farthest)))
        for axis, name in zip(axes.flat, names, strict=False):
            values = np.ma.masked_invalid(versus.required[name].T)
            shown = axis.pcolormesh(x, y, values, norm=norm, cmap="viridis_r", shading="nearest")
            _outline(axis, x, y, versus.at_own[name].T, target)
            at = np.argwhere(~np.isfinite(versus.required[name]))
            axis.plot(x[at[:, 0]], y[at[:, 1]], marker=r"$\uparrow$", ms=9, ls="", c="0.3")
            axis.set_title(_label(name), fontsize=15)
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        for axis in axes[-1]:
            axis.set_xlabel(axis_label(versus.paths[0]))
        for axis in axes[:, 0]:
            axis.set_ylabel(axis_label(versus.paths[1]))
        figure.colorbar(shown, ax=axes, label=rf"Luminosity for ${target:g}\sigma$ [{_unit(result)}]")
        line = rf"line: ${target:g}\sigma$ at {_own(result)}"
        if any(not np.all(np.isfinite(row)) for row in versus.required.values()):
            line += rf"; $\uparrow$: more than {result.farthest:.3g} {_unit(result)}"
        _titled(figure, result, line)
    return _as_figure(figure)


def _outline(axis: Axes, x: Any, y: Any, values: Any, target: float) -> None:
    """Line where the significance at the data set's own luminosity is the target."""
    if min(values.shape) > 1 and values.min() < target < values.max():
        axis.contour(x, y, values, levels=[target], colors="black", linewidths=2)


def _unit(result: Sensitivity) -> str:
    return result.unit.replace("^-1", r"$^{-1}$")


def _own(result: Sensitivity) -> str:
    return f"{get_dataset(result.card.dataset).luminosity:g} {_unit(result)}"


def _titled(figure: Figure, result: Sensitivity, *lines: str, along: bool = True) -> None:
    """Title: what is told from what, by whose yields; then what of the true model is fixed."""
    card, varied = result.card, result.versus.paths if along and result.versus is not None else ()
    truth = f"{card.truth.base().name} along {' and '.join(map(_short, varied))}" if varied else card.truth.title
    fixed = ", ".join(f"{_short(path)} = {value:.4g}" for path, value in fixed_values(result, varied).items())
    title = f"{truth} (true) against {card.null.title}, yields of {result.dataset}"
    figure.suptitle("\n".join([title, *([f"fixed: {fixed}"] if fixed else []), *lines]), fontsize=13)


def _short(path: str) -> str:
    """Label of a parameter without its unit."""
    return axis_label(path).replace(r"\;[\mathrm{GeV}]", "")


def fixed_values(result: Sensitivity, varied: Collection[str] = ()) -> dict[str, float]:
    """Fields of the true model that are not zero and do not vary, by path; complex ones by their real part."""
    found = {}
    for part, physics in result.card.truth.base().new_physics.items():
        for name in type(physics).model_fields:
            value = getattr(physics, name)
            if isinstance(value, (int, float, complex)) and not isinstance(value, bool) and value:
                found[f"{part}.{name}"] = float(np.real(value))
    return {path: value for path, value in found.items() if path not in varied}
