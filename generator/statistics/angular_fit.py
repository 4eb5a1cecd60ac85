"""Maximum-likelihood fit of angular observables to unbinned events."""

from __future__ import annotations

from typing import Any

from ...kinematics.base.arrays import array_module
from .fits import FitResult, invert
from .minimise import minimise

LIKELIHOOD_OBSERVABLES = ("FL", "S3", "S4", "S5", "AFB", "S7", "S8", "S9")
"""Parameters of the angular fit of B → V ℓℓ."""


def _linear_density(f: Any, kind: str) -> tuple[Any, list[Any]]:
    """Constant part and slopes of the density for massless leptons, up to a common factor."""
    xp = array_module(f)
    if kind == "scalar":
        # 3/4 (1 - F_H)(1 - c²) + F_H/2 + A_FB c
        c2 = f[..., 2]
        return 0.75 * (1.0 - c2), [f[..., 1], 0.5 - 0.75 * (1.0 - c2)]
    sk2, ck2, sk2c, ck2c = (f[..., i] for i in range(4))
    constant = 0.75 * sk2 + 0.25 * sk2c
    slopes = [
        ck2 - ck2c - constant,
        f[..., 4],
        f[..., 5],
        f[..., 6],
        (4.0 / 3.0) * f[..., 7],
        f[..., 9],
        f[..., 10],
        f[..., 11],
    ]
    return constant, [xp.asarray(s) for s in slopes]


def fit_angles(
    events: Any,
    mask: Any,
    start: Any | None = None,
    *,
    kind: str = "vector",
    chunk: int = 256,
    max_iterations: int = 100,
) -> FitResult:
    """Unbinned maximum-likelihood fit of the angular distribution of every toy, all toys at once.

    Parameters: F_L, S_3, S_4, S_5, A_FB, S_7, S_8, S_9 (or A_FB, F_H), density for massless leptons as in
        LHCb's
    analyses (eq. (1) of arXiv:2003.04831). The density is linear in them, so -ln L is convex where it is
    defined and Newton steps find its only minimum; a step to where an event has no density is refused.
    Parameters are not confined to where the density is positive at all angles.

    Args:
        events: ``functions`` of the events, shape (toys, events, functions), padded.
        mask: 1 for an event, 0 for padding, shape (toys, events).
        start: starting values (toys, parameters); isotropic lepton distribution if None.
        kind: ``vector`` or ``scalar``.
        chunk: toys fitted at a time; has no influence on the result.
        max_iterations: steps before a fit is given up.
    """
    xp = array_module(events)
    names = LIKELIHOOD_OBSERVABLES if kind == "vector" else ("AFB", "FH")
    p = len(names)

    def ratio(x: Any, data: tuple[Any, ...]) -> Any:
        constant, slopes, keep = data
        density = constant + xp.sum(slopes * x[:, :, None], axis=1)
        return xp.where(keep > 0, density, xp.ones_like(density))

    def value(x: Any, data: tuple[Any, ...]) -> Any:
        density = ratio(x, data)
        fine = xp.all(density > 0, axis=1)
        safe = xp.where(density > 0, density, xp.ones_like(density))
        total = -xp.sum(xp.log(safe), axis=1)
        return xp.where(fine, total, xp.full_like(total, float("inf")))

    def objective(x: Any, data: tuple[Any, ...]) -> tuple[Any, Any, Any, Any]:
        density = ratio(x, data)
        safe = xp.where(density > 0, density, xp.ones_like(density))
        scaled = data[1] * (data[2] / safe)[:, None, :]
        gradient = -xp.sum(scaled, axis=2)
        hessian = xp.matmul(scaled, xp.matrix_transpose(scaled))
        return value(x, data), gradient, hessian, xp.sum(scaled * scaled, axis=2)

    n = events.shape[0]
    parts = []
    for begin in range(0, n, chunk):
        end = min(begin + chunk, n)
        constant, slopes = _linear_density(events[begin:end, ...], kind)
        data = (constant, xp.stack(slopes, axis=1), mask[begin:end, :])
        if start is None:
            first = xp.zeros((end - begin, p), dtype=events.dtype, device=events.device)
            column = xp.asarray(
                [0.5 if name in ("FL", "FH") else 0.0 for name in names],
                dtype=events.dtype,
                device=events.device,
            )
            first = first + column[None, :]
        else:
            first = start[begin:end, :]
        parts.append(minimise(objective, value, data, first, tolerance=1e-10, max_iterations=max_iterations))
    values, hessian, f, status, tried = (xp.concat([part[i] for part in parts], axis=0) for i in range(5))
    covariance, status = invert(hessian, status)
    return FitResult(values, covariance, 2.0 * f, status, tried, names)
