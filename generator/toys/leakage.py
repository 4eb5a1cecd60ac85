"""Charmonium that is reconstructed far from its mass, from the generator behind a resolution: a background's shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.channels import get_channel
from ...physics.models import as_model
from ...physics.rates import branching_ratio
from ..run.generate import generate

Array = npt.NDArray[np.float64]
RANGES = {"J/psi": (8.0, 11.0), "psi(2S)": (13.0, 14.2)}
"""True q2 (GeV²) of what is taken for each resonance: all but 1e-4 of it."""
MASS = (4.88, 6.2)
"""Reconstructed mass of the B (GeV) of LHCb's fits of K+ ee (arXiv:2103.11769)."""


def leakage(
    channel: str,
    resonance: str,
    edges: Sequence[float],
    window: tuple[float, float],
    *,
    mass: tuple[float, float] = MASS,
    events: int = 1_000_000,
    seed: int = 1,
    beam: str = "lhcb-13tev",
    resolution: str = "lhcb",
) -> Array:
    """Events of a resonance found in bins of reconstructed q2, in units of the signal of a window.

    Same efficiency for both; bremsstrahlung in the material and its recovery are in it, final-state radiation is not.

    Args:
        channel: of electrons or muons.
        resonance: ``J/psi`` or ``psi(2S)``.
        edges: of the bins (GeV²).
        window: of the signal, the Standard Model's (GeV²).
        mass: range of the reconstructed mass of the B (GeV).
        events: to generate, a million at a time.
        seed: of the random numbers.
        beam: momenta of the B.
        resolution: of the tracks.

    Raises:
        InputError: another resonance.

    Example:
        >>> leakage("B+->K+ee", "rho", [1.1, 6.0], (1.1, 6.0))
        Traceback (most recent call last):
        darkpenguin.kinematics.base.errors.InputError: resonance = 'rho': no leakage of it; ...
    """
    if resonance not in RANGES:
        raise InputError(f"resonance = {resonance!r}: no leakage of it; {nearest(resonance, RANGES)}")
    model, one = as_model("sm", theory={"nonlocal": "dispersive"}), get_channel(channel)
    found = np.zeros(len(edges) - 1)
    for k, part in enumerate(range(0, events, 1_000_000)):
        size = min(1_000_000, events - part)
        made = generate(
            channel, model, size, q2=[RANGES[resonance]], seed=seed + k, beam=beam, resolution=resolution, device="cpu"
        )
        m = np.asarray(made["m_b_reco"])
        found += np.histogram(np.asarray(made["q2_reco"])[(mass[0] < m) & (m < mass[1])], edges)[0]
    share = branching_ratio(one, model, RANGES[resonance]) / branching_ratio(one, as_model("sm"), window)
    return np.asarray(found / events * share)
