"""From four-momenta back to q2, the angles and the K pi mass: the inverse of `momenta`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.jit import kernel, scalar
from ...kinematics.base.threads import split_work
from ...kinematics.frames import (
    boost_back,
    convention_signs,
    cosine_in_pair,
    decay_plane_angle,
    energy,
    pair_mass_squared,
)
from ...physics.channels import Channel
from ...physics.final_state import masses, particles
from ...physics.models import Model

Array = NDArray[np.float64]


def angles(
    channel: Channel,
    momenta: Mapping[str, Sequence[Any]],
    flavour: Any,
    convention: str = "lhcb",
    model: Model | None = None,
    threads: int | None = None,
) -> dict[str, Array]:
    """Variables of events from the momenta of the daughters, in any frame; masses are those of the particles.

    Args:
        channel: of all events.
        momenta: three arrays, px py pz (GeV), for each particle of the channel but the B: of the leptons ``lp`` is the
            positive and ``lm`` the negative one, whatever the flavour.
        flavour: +1 for the B, -1 for its conjugate; 0 counts as +1.
        convention: of the angles that are wanted.
        model: where chi has its mass from.
        threads: CPU threads; all without it.

    Returns:
        q2 (GeV^2), the channel's angles, ``m_kpi`` (GeV) if the hadron decays, and ``m_b``, the mass of all together.

    Example:
        >>> from darkpenguin.generator.run.generate import generate
        >>> from darkpenguin.physics.channels import get_channel
        >>> sample = generate("B0->K*0mumu", events=5, seed=1, beam="belle2")
        >>> momenta = {p: [sample[f"{p}_{axis}"] for axis in ("px", "py", "pz")] for p in ("k", "pi", "lp", "lm")}
        >>> found = angles(get_channel("B0->K*0mumu"), momenta, sample["flavour"])
        >>> bool(np.abs(found["cos_theta_k"] - sample["cos_theta_k"]).max() < 1e-12)
        True
    """
    known, labels = masses(channel, model), particles(channel)[1:]
    p = np.stack([np.asarray(axis, dtype=np.float64) for label in labels for axis in momenta[label]])
    tag = np.asarray(flavour, dtype=np.int64)
    signs = np.array([convention_signs(convention, channel.angles_of(f)) for f in (1, -1)], dtype=np.float64)
    out = np.empty((6, p.shape[1]))
    numbers = np.array([known[label] for label in labels])
    loop = _vector_angles if channel.spin else _scalar_angles

    def work(low: int, high: int) -> None:
        loop(p[:, low:high], tag[low:high], numbers, signs, out[:, low:high])

    split_work(work, p.shape[1], threads if p.shape[1] > 10_000 else 1)
    names = ("q2", "m_b", "cos_theta_l", "cos_theta_k", "phi", "m_kpi")
    return dict(zip(names if channel.spin else names[:3], out, strict=False))


@scalar
def _at(p: Any, k: Any, i: Any) -> tuple[Any, Any, Any]:
    return p[3 * k, i], p[3 * k + 1, i], p[3 * k + 2, i]


@scalar
def _mass(px: Any, py: Any, pz: Any, e: Any) -> Any:
    return math.sqrt(max(e * e - px * px - py * py - pz * pz, 0.0))


@kernel
def _vector_angles(p: Any, flavour: Any, m: Any, signs: Any, out: Any) -> None:
    real = np.float64
    for i in range(p.shape[1]):
        k, pi, lp, lm = _at(p, 0, i), _at(p, 1, i), _at(p, 2, i), _at(p, 3, i)
        total = k[0] + pi[0] + lp[0] + lm[0], k[1] + pi[1] + lp[1] + lm[1], k[2] + pi[2] + lp[2] + lm[2]
        e = energy(*k, m[0]) + energy(*pi, m[1]) + energy(*lp, m[2]) + energy(*lm, m[3])
        mass = _mass(*total, e)
        out[0, i], out[1, i] = pair_mass_squared(real, lp, m[2], lm, m[3]), mass
        out[5, i] = math.sqrt(pair_mass_squared(real, k, m[0], pi, m[1]))
        k, pi = boost_back(k, m[0], total, mass), boost_back(pi, m[1], total, mass)
        lp, lm = boost_back(lp, m[2], total, mass), boost_back(lm, m[3], total, mass)
        row = 1 if flavour[i] < 0 else 0
        out[2, i] = signs[row, 0] * cosine_in_pair(real, lp, m[2], lm, m[3])
        out[3, i] = cosine_in_pair(real, k, m[0], pi, m[1])
        cosine, sine = decay_plane_angle(real, k, pi, lp, lm)
        out[4, i] = math.atan2(signs[row, 2] * sine, signs[row, 1] * cosine)


@kernel
def _scalar_angles(p: Any, flavour: Any, m: Any, signs: Any, out: Any) -> None:
    real = np.float64
    for i in range(p.shape[1]):
        k, lp, lm = _at(p, 0, i), _at(p, 1, i), _at(p, 2, i)
        total = k[0] + lp[0] + lm[0], k[1] + lp[1] + lm[1], k[2] + lp[2] + lm[2]
        e = energy(*k, m[0]) + energy(*lp, m[1]) + energy(*lm, m[2])
        mass = _mass(*total, e)
        out[0, i], out[1, i] = pair_mass_squared(real, lp, m[1], lm, m[2]), mass
        lp, lm = boost_back(lp, m[1], total, mass), boost_back(lm, m[2], total, mass)
        row = 1 if flavour[i] < 0 else 0
        out[2, i] = signs[row, 0] * cosine_in_pair(real, lp, m[1], lm, m[2])
