"""The figure of a sample: q2, the angles and the mass, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...kinematics.base.errors import InputError
from ...physics.channels import CHANNELS
from ..files.sample import EventSample
from .style import LINES, PALETTE, Q2_LABEL, _as_figure, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "q2": Q2_LABEL,
    "cos_theta_k": r"$\cos\theta_K$",
    "cos_theta_l": r"$\cos\theta_\ell$",
    "phi": r"$\phi$",
    "m_kpi": r"$m_{K\pi}\;[\mathrm{GeV}]$",
    "q2_reco": r"reconstructed $q^2\;[\mathrm{GeV}^2]$",
}
"""Columns that have a panel, where a sample has them."""


def draw_sample(sample: EventSample, bins: int = 60) -> Figure:
    """Draw the normalised, weighted distribution of every column of ``LABELS``, a line a channel.

    Raises:
        InputError: a sample without events.
    """
    columns = sample.to_numpy()
    shown = [name for name in LABELS if name in columns]
    if not len(sample) or not shown:
        raise InputError("figure: the sample has no events")
    channels = sample.channels or {int(number): str(number) for number in np.unique(columns["channel"])}
    width = min(3, len(shown))
    lines = -(-len(shown) // width)
    with house_style() as plt:
        figure, axes = plt.subplots(lines, width, figsize=(6.5 * width, 5 * lines), squeeze=False)
        for axis in axes.ravel()[len(shown) :]:
            axis.set_visible(False)
        for axis, name in zip(axes.ravel(), shown, strict=False):
            values = columns[name]
            finite = np.isfinite(values)
            edges = np.linspace(values[finite].min(), values[finite].max(), bins + 1)
            for colour, line, (number, channel) in zip(PALETTE, ("-", *LINES), channels.items(), strict=False):
                mine = finite & (columns["channel"] == number)
                if mine.any():
                    label = f"${CHANNELS[channel].latex}$" if channel in CHANNELS else channel
                    weights = columns["weight"][mine] if "weight" in columns else None
                    look = {"histtype": "step", "color": colour, "linestyle": line, "label": label}
                    axis.hist(values[mine], edges, weights=weights, density=True, **look)
            axis.set_xlabel(LABELS[name])
            axis.set_ylim(bottom=0)
        axes[0][0].legend(loc="best")
    return _as_figure(figure)
