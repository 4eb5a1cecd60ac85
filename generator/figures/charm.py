"""Figures of charmonium beside V: all of the spectrum for illustrative phases, the J/ψ below its mass."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.files import write_text
from ...physics.angular import angular_coefficients, breakpoints, decay_rate
from ...physics.channels import Channel, get_channel
from ...physics.models import Model, ModelLike, as_model
from ...physics.rates import branching_ratio
from ...physics.resonances import PHASES
from ...physics.theory import Theory, TheoryLike, as_theory, merged_tables, theory_table, told
from ..run.generate import generate
from .labels import model_label
from .style import LINES, PALETTE, Q2_LABEL, _save, _targets, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
CHANNELS = ("B+->K+mumu", "B0->K*0mumu")
"""Of the spectrum."""
MODELS = ("fig1-2.5gev", "fig1-2.8gev")
"""With V at 2.5 and 2.8 GeV, beside the Standard Model."""
LEPTONS = {"mumu": r"$\mu^+\mu^-$", "ee": r"$e^+e^-$"}
LOW, J_PSI = (1.1, 6.0), (8.0, 11.0)
"""The range of q2 (GeV²) in which R_K is measured, and that of the J/ψ."""
EVENTS = 200_000
WINDOW = 0.25
"""Half width (GeV) of the window about the mass of the B, for what a cut on it leaves of the leakage."""


def charm_of(theory: TheoryLike) -> Theory:
    """A theory, with the dispersion relation unless told otherwise.

    >>> charm_of(None).nonlocal_
    'dispersive'
    """
    return as_theory(merged_tables({"nonlocal": "dispersive"}, told(theory_table(theory))))


def spectrum_q2(channel: Channel, models: Sequence[Model], points: int = 800) -> FloatArray:
    """Places (GeV²) that show every line: evenly spread, and closing in on the poles; from 0.1 GeV²."""
    end = channel.q2_limits()[1]
    edges = np.unique(np.concatenate([breakpoints(channel, model) for model in models]))
    q2 = np.unique(np.concatenate([np.linspace(0.1, end, points), edges, 0.5 * (edges[1:] + edges[:-1])]))
    return q2[(q2 >= 0.1) & (q2 < end)]


def spectrum(channel: Channel, model: Model, q2: FloatArray) -> FloatArray:
    """CP-averaged dBR/dq² (1/GeV²).

    >>> channel, model = get_channel("B+->K+mumu"), as_model("sm")
    >>> f"{spectrum(channel, model, np.array([4.0]))[0]:.2e}"
    '3.51e-08'
    """
    both = sum(decay_rate(angular_coefficients(channel, model, q2, flavour)) for flavour in (-1, 1))
    return np.asarray(0.5 * model.parameters[f"tau_{channel.parent}"] * both)


def spectrum_figure(
    models: Sequence[ModelLike] = (),
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    settings: Sequence[str] = (),
    theory: TheoryLike = None,
    points: int = 800,
) -> tuple[Figure, list[Path]]:
    """Draw dBR/dq² of K+ μμ and K*0 μμ in all of phase space, and models over the Standard Model for every preset.

    Args:
        models: to draw; V of 2.5 and of 2.8 GeV without any.
        folder: for PNG, PDF and CSV; nothing is written if None.
        overwrite: whether existing files may be replaced.
        settings: changes of those models.
        theory: of all curves, but for ``phases``.
        points: of each, beside those that lines need.
    """
    base = charm_of(theory)
    chosen = [as_model(model, settings) for model in models or MODELS]
    labels = {"sm": "Standard Model", **{model.name: model_label(model) for model in chosen}}
    targets = [] if folder is None else _targets(folder, "spectrum", (".png", ".pdf", ".csv"), overwrite)
    curves: dict[str, tuple[FloatArray, dict[tuple[str, str], FloatArray]]] = {}
    for name in CHANNELS:
        channel = get_channel(name)
        variants = {
            (model.name, preset): model.model_copy(update={"theory": base.changed({"phases": preset})})
            for model in (as_model("sm"), *chosen)
            for preset in PHASES
        }
        q2 = spectrum_q2(channel, list(variants.values()), points)
        curves[name] = q2, {key: spectrum(channel, model, q2) for key, model in variants.items()}
        curves[name][1]["sm", "flavio"] = spectrum(channel, as_model("sm"), q2)

    def draw() -> Figure:
        with house_style() as plt:
            figure, axes = plt.subplots(1 + len(chosen), 2, figsize=(17.0, 5.5 + 3.6 * len(chosen)), sharex="col")
            for column, name in zip(axes.T, CHANNELS, strict=True):
                _draw_column(column, get_channel(name), *curves[name], labels)
            axes[0, 0].set_title(
                f"nonlocal = {base.nonlocal_}; phases illustrative, above {next(iter(PHASES))}", loc="left", fontsize=15
            )
        return figure  # type: ignore[no-any-return]

    figure = draw()
    if targets:
        _save(lambda: figure, targets[:2], overwrite)
        write_text(targets[2], _csv(curves), overwrite)
    return figure, targets


def _draw_column(
    column: Sequence[object],
    channel: Channel,
    q2: FloatArray,
    curves: dict[tuple[str, str], FloatArray],
    labels: Mapping[str, str],
) -> None:
    from matplotlib.axes import Axes

    top, *below = (axis for axis in column if isinstance(axis, Axes))
    first = next(iter(PHASES))
    top.plot(q2, curves["sm", "flavio"], "--", color="grey", label="SM, flavio alone")
    for name, colour, line in zip(labels, (PALETTE[6], *PALETTE), ("-", *LINES[1:]), strict=False):
        top.plot(q2, curves[name, first], color=colour, linestyle=line, linewidth=1.4, label=labels[name])
    top.set_yscale("log")
    top.set_ylim(3e-9, 3e-2)
    top.set_ylabel(rf"$d\mathcal{{B}}/dq^2({channel.latex})\;[\mathrm{{GeV}}^{{-2}}]$", fontsize=15, loc="center")
    top.legend()
    for axis, name in zip(below, [name for name in labels if name != "sm"], strict=True):
        for preset, colour, line in zip(PHASES, PALETTE, ("-", *LINES), strict=False):
            ratio = curves[name, preset] / curves["sm", preset]
            axis.plot(q2, ratio, color=colour, linestyle=line, linewidth=1.5, label=preset)
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_ylim(0.5, 1.7)
        axis.set_ylabel("ratio to SM", fontsize=15, loc="center")
        axis.text(0.03, 0.06, labels[name], transform=axis.transAxes, fontsize=13)
    below[0].legend(ncols=2, fontsize=11)
    below[-1].set_xlabel(Q2_LABEL)
    below[-1].set_xlim(0.0, q2[-1])


def _csv(curves: dict[str, tuple[FloatArray, dict[tuple[str, str], FloatArray]]]) -> str:
    lines = ["channel,model,phases,q2,dBR"]
    for name, (q2, found) in curves.items():
        for (model, preset), values in found.items():
            label = model.replace(",", ";")
            lines += [f"{name},{label},{preset},{x:.12g},{y:.8g}" for x, y in zip(q2, values, strict=True)]
    return "\n".join(lines) + "\n"


def leakage_figure(
    folder: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    theory: TheoryLike = None,
    events: int = EVENTS,
) -> tuple[Figure, list[Path]]:
    """Draw the reconstructed q² of B+ → K+ μμ and K+ ee about the J/ψ: what of its events is found in 1.1 to 6 GeV².

    Events of the Standard Model behind LHCb's resolution and bremsstrahlung, without final-state radiation.

    Args:
        folder: for PNG, PDF and CSV; nothing is written if None.
        overwrite: whether existing files may be replaced.
        theory: with the resonances.
        events: of each of the two ranges of true q² and each lepton.
    """
    model = as_model("sm", theory=charm_of(theory))
    targets = [] if folder is None else _targets(folder, "leakage", (".png", ".pdf", ".csv"), overwrite)
    edges = np.linspace(0.0, 14.0, 141)
    rows = {pair: _leakage(get_channel(f"B+->K+{pair}"), model, events, edges) for pair in LEPTONS}

    def draw() -> Figure:
        with house_style() as plt:
            figure, axes = plt.subplots(1, 2, figsize=(17.0, 7.0), sharey=True)
            looks = (
                (PALETTE[0], "-", r"true $q^2 < 8$ GeV$^2$"),
                (PALETTE[1], "-", r"$J/\psi$: true $q^2$ of 8 to 11 GeV$^2$"),
                (PALETTE[1], ":", rf"and $|m_B-5.28| < {WINDOW:g}$ GeV"),
            )
            for axis, (pair, (spectra, share, times)) in zip(axes, rows.items(), strict=True):
                for values, (colour, style, name) in zip(spectra, looks, strict=True):
                    axis.stairs(values, edges, color=colour, linestyle=style, linewidth=2, label=name)
                axis.axvspan(*LOW, color="grey", alpha=0.15)
                axis.set_yscale("log")
                axis.set_ylim(1e-11, 1e-2)
                axis.set_xlabel(Q2_LABEL.replace("q^2", "q^2_{\\mathrm{reco}}"))
                part = rf"{100 * share:.2g} %" if share else f"none of {events:,}"
                part += r" of $J/\psi$ in 1.1 to 6 GeV$^2$"
                part += f", {times:.2g} times what belongs there" if share else ""
                axis.set_title(f"$K^+$ {LEPTONS[pair]}: {part}", loc="left", fontsize=14)
                axis.legend(loc="upper left")
            axes[0].set_ylabel(r"$d\mathcal{B}/dq^2\;[\mathrm{GeV}^{-2}]$")
        return figure  # type: ignore[no-any-return]

    figure = draw()
    if targets:
        _save(lambda: figure, targets[:2], overwrite)
        lines = ["pair,q2_min,q2_max,rare,j_psi,j_psi_in_window"]
        for pair, (spectra, *_) in rows.items():
            table = zip(edges[:-1], edges[1:], *spectra, strict=True)
            lines += [",".join([pair, *(f"{value:.8g}" for value in row)]) for row in table]
        write_text(targets[2], "\n".join(lines) + "\n", overwrite)
    return figure, targets


def _leakage(channel: Channel, model: Model, events: int, edges: FloatArray) -> tuple[list[FloatArray], float, float]:
    """dBR/dq² against reconstructed q² of events below and at the J/ψ, and of the latter in a window of the B's mass.

    Then the share of the J/ψ found in `LOW`, and how many times the events that belong there that is.
    """
    spectra = []
    leaked = 0.0
    for low, high in ((0.1, J_PSI[0]), J_PSI):
        made: dict[str, Any] = {"q2": (low, high), "beam": "lhcb-13tev", "resolution": "lhcb", "device": "cpu"}
        sample = generate(channel.name, model, events, **made)
        reco, mass = np.asarray(sample["q2_reco"]), np.asarray(sample["m_b_reco"])
        near = np.abs(mass - model.parameters[f"m_{channel.parent}"]) < WINDOW
        weight = branching_ratio(channel, model, (low, high)) / events
        leaked = float(((reco > LOW[0]) & (reco < LOW[1])).sum()) * weight
        spectra += [np.histogram(values, edges)[0] * weight / np.diff(edges) for values in (reco, reco[near])]
    share, times = (leaked / branching_ratio(channel, model, part) for part in (J_PSI, LOW))
    return [spectra[0], *spectra[2:]], share, times
