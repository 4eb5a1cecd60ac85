"""The same sums as in `loops` by array code, for events on a CUDA device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...kinematics.base.arrays import array_module, to_host
from ...kinematics.base.portions import Portions

if TYPE_CHECKING:
    from .amplitude import ComplexArray, Point

PORTION = 1 << 20
"""Events at a time: a few hundred bytes of each."""


def log_densities(
    q2: Any, forms: Any, point: Point, library: Any = None, portions: Portions | None = None
) -> tuple[float, ComplexArray]:
    """Sum of ln(sum_w waves_w v† M_w v) of events, minus infinity with one of no density, and G of its change.

    That is 2 Re(G · d point).

    Args:
        q2: of the events (GeV²), shape (events,).
        forms: their matrices, packed as in `amplitude`, shape (waves, n², events): entries of all events together.
        point: constants, residues and poles of v, and the factors of the waves.
        library: array library of the device, that of the events if None; others are copied there, portion by portion.
        portions: how many events at a time.

    Example:
        >>> import numpy as np
        >>> from .amplitude import Point
        >>> point = Point(np.array([2.0 + 0j]), np.zeros((1, 0), complex), np.zeros(0, complex))
        >>> total, g = log_densities(np.array([1.0, 2.0]), np.array([[[0.25, 1.0]]]), point)
        >>> round(total, 6), g.tolist()     # ln(1) + ln(4), of which 2 Re(G dv) is the change; two events of one wave
        (1.386294, [(1+0j), (1+0j)])
    """
    xp = library or array_module(q2)

    def work(low: int, high: int) -> tuple[float, Any]:
        return _portion(xp.asarray(q2[low:high]), xp.asarray(forms[:, :, low:high]), point)

    total, change = 0.0, 0.0
    for _, _, (one, slopes) in (portions or Portions("events", PORTION)).of(work, 0, len(q2)):
        total, change = total + one, change + slopes
    return total, to_host(change)


def _portion(q2: Any, each: Any, point: Point) -> tuple[float, Any]:
    """The sums over some events, on their device."""
    xp = array_module(q2)
    constants, residues, poles = (xp.asarray(x) for x in (point.constants, point.residues, point.poles))
    n = len(constants)
    far = n + n * (n - 1) // 2
    wave = 1.0 / (q2 - poles[:, None])
    packed = sum(factor * one for factor, one in zip(point.waves.tolist(), each, strict=True))
    v = constants[:, None] + residues @ wave
    beside = packed[:n] * v  # and what is above the diagonal and below
    outer, turned = [(v[a].conj() * v[a]).real for a in range(n)], []  # a matrix times these is v† M v
    at = 0
    for a in range(n):
        for b in range(a + 1, n):
            both = 2.0 * v[a].conj() * v[b]
            outer.append(both.real)
            turned.append(-both.imag)
            real, imaginary = packed[n + at], 1j * packed[far + at]
            beside[a] += (real + imaginary) * v[b]
            beside[b] += (real - imaginary) * v[a]
            at += 1
    density = (v.conj() * beside).sum(axis=0).real
    whole = density > 0.0
    total = float(xp.where(whole, xp.log(xp.where(whole, density, 1.0)), -xp.inf).sum())
    density = xp.where(whole, density, xp.inf)
    u = beside.conj() / density
    by_pole = ((residues.T @ u) * wave**2).sum(axis=1)
    by_wave = 0.5 * (each * (xp.stack([*outer, *turned]) / density)).sum(axis=(1, 2))
    return total, xp.concatenate([u.sum(axis=1), (u @ wave.T).reshape(-1), by_pole, by_wave])
