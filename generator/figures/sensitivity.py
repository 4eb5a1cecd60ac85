"""Figures of sensitivities: significance against luminosity or a parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from ...kinematics.base.errors import InputError
from ..toys.datasets import get_dataset
from ..toys.sensitivity import COMBINED, Sensitivity

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_sensitivity(result: Sensitivity) -> Figure:
    """Significance against luminosity, one curve an observable, with the toys on top."""
    from .style import PALETTE, house_style

    card = result.card
    with house_style() as plt:
        figure, axis = plt.subplots(figsize=(9.0, 7.0))
        top = 0.0
        for i, (name, values) in enumerate(result.curves.items()):
            colour = PALETTE[i % len(PALETTE)]
            reach = result.required[name]
            text = f"{_label(name)}: {reach:.3g}" if math.isfinite(reach) else f"{_label(name)}: not reached"
            axis.plot(
                result.luminosities,
                values,
                color=colour,
                linewidth=3 if name == COMBINED else 2,
                linestyle="-" if name == COMBINED else "--",
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
        unit = result.unit.replace("^-1", r"$^{-1}$")
        axis.set_xlabel(f"Luminosity [{unit}]")
        axis.set_ylabel("Median significance")
        title = f"{card.truth.title} (true) against {card.null.title}, yields of {result.dataset}"
        axis.set_title(title, fontsize=14, loc="left")
        axis.legend(
            title=rf"Luminosity for ${card.target:g}\sigma$ [{unit}]" + "\npoints: toys (open: their tail)",
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
    from .style import PALETTE, house_style

    chosen = luminosity if luminosity is not None else result.toys[0].luminosity
    unit = result.unit.replace("^-1", r"$^{-1}$")
    names = [t.observable for t in result.toys if t.luminosity == chosen]
    if not names:
        raise InputError(f"luminosity = {chosen:g}: no toys were made there")
    with house_style() as plt:
        figure, axes = plt.subplots(1, len(names), figsize=(5.2 * len(names), 5.2), squeeze=False)
        for axis, name in zip(axes[0], names, strict=True):
            true, wrong = result.distributions[name, chosen]
            point = next(t for t in result.toys if (t.observable, t.luminosity) == (name, chosen))
            edges = np.histogram_bin_edges(np.concatenate([true, wrong])[~np.isnan([*true, *wrong])], 60)
            for values, colour, title in (
                (wrong, PALETTE[1], result.card.null.title),
                (true, PALETTE[0], result.card.truth.title),
            ):
                axis.hist(values, edges, color=colour, histtype="stepfilled", alpha=0.35, density=True)
                axis.hist(values, edges, color=colour, histtype="step", linewidth=1.5, density=True, label=title)
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
        axes[0][0].set_ylabel("Toys (normalised)")
    return figure  # type: ignore[no-any-return]


def draw_versus(result: Sensitivity) -> Figure:
    """Luminosity for the target along a parameter of the truth, and significance at the data set's luminosity."""
    from .style import PALETTE, house_style

    assert result.versus is not None
    versus, unit = result.versus, result.unit.replace("^-1", r"$^{-1}$")
    own = get_dataset(result.card.dataset).luminosity
    name = _PARAMETERS.get(versus.path.rpartition(".")[2], versus.path.replace("_", r"\_"))
    with house_style() as plt:
        figure, axes = plt.subplots(2, 1, figsize=(9.0, 10.0), sharex=True)
        for i, key in enumerate(versus.required):
            style = {
                "color": PALETTE[i % len(PALETTE)],
                "linewidth": 3 if key == COMBINED else 2,
                "linestyle": "-" if key == COMBINED else "--",
                "label": _label(key),
            }
            required = versus.required[key]
            axes[0].plot(versus.values, np.where(np.isfinite(required), required, np.nan), **style)
            axes[1].plot(versus.values, versus.at_own[key], **style)
        axes[0].set_yscale("log")
        axes[0].set_ylim(result.luminosities[0], result.luminosities[-1])
        axes[0].set_ylabel(rf"Luminosity for ${result.card.target:g}\sigma$ [{unit}]")
        axes[1].axhline(result.card.target, color="0.5", linewidth=1.2)
        axes[1].set_yscale("log")
        axes[1].set_ylim(0.1 * result.card.target, None)
        axes[1].set_ylabel(f"Median significance at {own:g} {unit}")
        axes[1].set_xlabel(name)
        axes[1].set_xlim(versus.values[0], versus.values[-1])
        axes[0].set_title(
            f"{result.card.truth.title} (true) against {result.card.null.title}, yields of {result.dataset}",
            fontsize=14,
            loc="left",
        )
        axes[0].legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none")
    return figure  # type: ignore[no-any-return]


_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "mass": r"$m_V$ [GeV]",
        "width": r"$\Gamma_V$ [GeV]",
        "g_bs": "$g_{bs}$",
        "g_mu_v": r"$g_{\mu V}$",
        "g_mu_a": r"$g_{\mu A}$",
        "C9_mu": r"$C_9^\mu$",
        "C10_mu": r"$C_{10}^\mu$",
    }
)
"""Labels of parameters."""
