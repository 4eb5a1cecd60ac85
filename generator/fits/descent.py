r"""The minimum of -2 ln L within the ranges of its fields, from gradients: ten evaluations where Minuit takes forty.

Steps are those of Newton with a Hessian that Fisher's information of some events begins and BFGS corrects,

.. math:: H_0 = 2\,\frac{N}{n}\sum_{e=1}^{n} s_e s_e^T + \frac{2}{\sigma^2},\qquad
          H \to H + \frac{y y^T}{y^T d} - \frac{H d\,d^T H}{d^T H d},

s_e the scores of an event, d a step and y what the gradient changes along it. Fields at an end of their range stay
there while -2 ln L falls beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .amplitude import Array
from .likelihood import Likelihood

GOAL = 1e-6
"""What -2 ln L may still fall by: a thousandth of an error, squared."""
_FAR = 0.3  # of a range, in one step
_ENOUGH = 1e-4  # of the fall that the slope promises


@dataclass(frozen=True, eq=False)
class Descent:
    """Where a descent ended: -2 ln L, ``values``, errors by its Hessian, and whether it is a minimum."""

    minimum: float
    values: Array
    errors: Array
    converged: bool


def descend(
    likelihood: Likelihood, start: Array, fixed: Sequence[str] = (), goal: float = GOAL, most: int = 200
) -> Descent:
    """Minimum of a likelihood from a start, some fields fixed there, with ``most`` evaluations.

    >>> from darkpenguin.generator.fits.card import FitCard
    >>> from darkpenguin.generator.fits.fit import likelihood_of
    >>> from darkpenguin.generator.run.generate import generate
    >>> sample = generate("B0->K*0mumu", model="sm", events=1000, seed=1, q2=[(1.1, 8.0)])
    >>> cost = likelihood_of(sample, FitCard.make(model="sm", float={"heavy.C9_mu": (-4.0, 4.0)}))
    >>> found = descend(cost, cost.start)
    >>> found.converged, bool(abs(cost.gradient(*found.values)[0]) * found.errors[0] < 1e-2)
    (True, True)
    """
    low, high = (np.array([getattr(one, end) for one in likelihood.free]) for end in ("low", "high"))
    floats = np.array([name not in fixed for name in likelihood.names])
    x = np.clip(start, low, high)
    g, f = likelihood.gradient(*x), likelihood(*x)
    # a field that changes nothing here has its range
    hessian = likelihood.information(x.tolist()) + np.diag(8.0 / (high - low) ** 2)
    calls, converged = 1, False
    while math.isfinite(f) and np.any(floats):
        free = floats & ~((x <= low) & (g > 0)) & ~((x >= high) & (g < 0))
        d = np.zeros_like(x)
        d[free] = np.linalg.solve(hessian[np.ix_(free, free)], -g[free])
        if -0.5 * float(g @ d) < goal:
            converged = True
            break
        share = min(1.0, _FAR / float(np.max(np.abs(d) / (high - low))))
        while calls < most and share > 1e-8:
            there = np.clip(x + share * d, low, high)
            change, value = likelihood.gradient(*there), likelihood(*there)
            calls += 1
            if value <= f + _ENOUGH * float(g @ (there - x)):
                break
            slope = share * float(g @ d)
            bend = value - f - slope  # the lowest point of a parabola is nearer
            share *= float(np.clip(-0.5 * slope / bend, 0.1, 0.5)) if math.isfinite(bend) and bend > 0 else 0.1
        else:
            break
        hessian = _corrected(hessian, there - x, change - g)
        x, f, g = there, value, change
    return Descent(f, x, np.sqrt(2.0 * np.diagonal(np.linalg.inv(hessian))), converged or not np.any(floats))


def _corrected(hessian: Array, d: Array, y: Array) -> Array:
    """The Hessian after a step, still positive: where the function bends down along it, as little as a fifth."""
    turned = hessian @ d
    bend, known = float(d @ y), float(d @ turned)
    if not known > 0:
        return hessian
    if bend < 0.2 * known:  # Powell's damping
        share = 0.8 * known / (known - bend)
        y = share * y + (1.0 - share) * turned
        bend = 0.2 * known
    return np.asarray(hessian + np.outer(y, y) / bend - np.outer(turned, turned) / known)
