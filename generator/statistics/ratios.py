"""R of muons over electrons from two Poisson counts, with asymmetric errors by profile likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...kinematics.base.arrays import array_module
from .counts import check_counts

OK, NO_MUONS, NO_ELECTRONS, FEW = 0, 1, 2, 3
"""Status of a ratio: 1, R = 0 and only the upper error has a meaning; 2, R = inf and only the lower limit; 3, a count
is below ``ENOUGH`` and one has background, so that the interval may cover less than it says."""
ENOUGH = 5
"""Counts from which the profile likelihood covers; below them the interval is exact, if there is no background."""


@dataclass(frozen=True, eq=False)
class Ratio:
    """Estimates of R and the ends of their 68.3 % intervals; arrays of one shape."""

    value: Any
    low: Any
    high: Any
    status: Any

    @property
    def error_low(self) -> Any:
        """Distance from the estimate down to the end of the interval."""
        return self.value - self.low

    @property
    def error_high(self) -> Any:
        """Distance from the estimate up to the end of the interval; infinite without electrons."""
        return self.high - self.value

    def pull(self, truth: Any) -> Any:
        """(estimate - truth) over the error on the side of the truth."""
        xp = array_module(self.value)
        return (self.value - truth) / xp.where(self.value > truth, self.error_low, self.error_high)


def _poisson(xp: Any, n: Any, mu: Any) -> Any:
    """Half the deviance of n for mean mu, with 0 ln 0 = 0; infinite for n > 0 at mu = 0."""
    seen = n > 0
    safe = xp.where(mu > 0, mu, xp.ones_like(mu))
    value = mu - n + n * xp.log(xp.where(seen, n, safe) / safe)
    return xp.where(seen & (mu <= 0), xp.full_like(value, float("inf")), value)


def saturated(n_mu: Any, n_e: Any, b_mu: Any, b_e: Any) -> Any:
    """Half the deviance at the best of all ratios: not zero where a count lies below its background.

    >>> import numpy as np
    >>> saturated(*(np.asarray(v, dtype=float) for v in (5, 7, 0, 0))).tolist()
    0.0
    """
    xp = array_module(n_mu)
    best = _poisson(xp, n_mu, xp.where(n_mu > b_mu, n_mu, b_mu))
    return best + _poisson(xp, n_e, xp.where(n_e > b_e, n_e, b_e))


def ratio_deviance(
    log_ratio: Any, n_mu: Any, n_e: Any, efficiency_ratio: Any, b_mu: Any, b_e: Any, best: Any = None
) -> Any:
    r"""-2 ln of the profile likelihood of ln R, relative to its maximum.

    .. math:: n_\mu \sim \mathrm{Poisson}(R\,r\,s + b_\mu),\quad n_e \sim \mathrm{Poisson}(s + b_e)

    with r = ε_μ/ε_e known and the electron signal s profiled: the root of a quadratic, so no iteration.
    Without background this is the binomial likelihood of n_mu among n_mu + n_e. All arguments broadcast; ``best`` is
    ``saturated`` of the counts, where it is known.

    >>> import numpy as np
    >>> x = [np.asarray(v, dtype=float) for v in (0.0, 100, 100, 1, 0, 0)]
    >>> float(ratio_deviance(*x))
    0.0
    """
    xp = array_module(n_mu)
    a = xp.exp(log_ratio) * efficiency_ratio
    quadratic = a * (a + 1.0)
    linear = (n_mu + n_e) * a - (a + 1.0) * (a * b_e + b_mu)
    constant = n_mu * a * b_e + n_e * b_mu - (a + 1.0) * b_mu * b_e
    root = xp.sqrt(xp.clip(linear * linear + 4.0 * quadratic * constant, 0.0, None))
    # the form without cancellation for either sign of the linear term
    positive = (linear + root) / (2.0 * quadratic)
    denominator = root - linear
    other = 2.0 * constant / xp.where(denominator > 0, denominator, xp.ones_like(denominator))
    s = xp.clip(xp.where(linear >= 0, positive, other), 0.0, None)
    at = _poisson(xp, n_mu, a * s + b_mu) + _poisson(xp, n_e, s + b_e)
    return 2.0 * (at - (saturated(n_mu, n_e, b_mu, b_e) if best is None else best))


def _exact_ends(xp: Any, n_mu: Any, n_e: Any, r: Any, tail: float) -> list[Any]:
    """Ends of the Clopper-Pearson interval of R where one of the counts is below ``ENOUGH``; nonsense elsewhere."""
    muons = n_mu < n_e  # of which the tails are sums of few terms
    small, total = xp.where(muons, n_mu, n_e), n_mu + n_e

    def at_most(k: Any, odds: Any) -> Any:
        """Probability of at most k of all counts, by the odds of one."""
        term = xp.exp(-total * xp.log1p(odds))
        found = xp.zeros_like(term)
        for j in range(ENOUGH):
            found = found + xp.where(k >= float(j), term, xp.zeros_like(term))
            term = term * (total - j) / (j + 1.0) * odds
        return found

    ends = []
    for least in (True, False):  # the lower end of the odds of the small count, and the upper
        inner, outer = xp.full_like(r, -60.0), xp.full_like(r, 60.0)
        for _ in range(80):
            middle = 0.5 * (inner + outer)
            odds = xp.exp(middle)
            above = 1.0 - at_most(small - 1.0, odds) > tail if least else at_most(small, odds) < tail
            inner, outer = xp.where(above, inner, middle), xp.where(above, middle, outer)
        ends.append(xp.exp(0.5 * (inner + outer)))
    return [
        xp.where(muons, ends[0], 1.0 / ends[1]) / r,
        xp.where(muons, ends[1], 1.0 / ends[0]) / r,
    ]


def _likelihood_ends(xp: Any, counts: tuple[Any, ...], level: float) -> list[Any]:
    """Where the profile likelihood has risen by ``level``, from n_mu, n_e, r and the backgrounds."""
    n1, n2, r, b1, b2 = counts
    s1, s2 = xp.clip(n1 - b1, 0.0, None), xp.clip(n2 - b2, 0.0, None)
    inf = xp.full_like(s1, float("inf"))
    # where one count vanishes the search starts from a count of one half in its place
    centre = xp.log(xp.where(s1 > 0, s1, 0.5 * xp.ones_like(s1))) - xp.log(
        r * xp.where(s2 > 0, s2, 0.5 * xp.ones_like(s2))
    )
    ends = []
    for sign in (-1.0, 1.0):
        inner = xp.where((s1 > 0) & (s2 > 0), centre, centre - sign * 25.0)
        outer = centre + sign * 25.0
        open_end = ratio_deviance(outer, n1, n2, r, b1, b2) < level
        for _ in range(60):
            middle = 0.5 * (inner + outer)
            inside = ratio_deviance(middle, n1, n2, r, b1, b2) < level
            inner, outer = xp.where(inside, middle, inner), xp.where(inside, outer, middle)
        end = xp.exp(0.5 * (inner + outer))
        ends.append(xp.where(open_end, inf if sign > 0 else 0.0 * end, end))
    return ends


def ratio_estimate(
    n_mu: Any,
    n_e: Any,
    efficiency_ratio: Any = 1.0,
    *,
    background_mu: Any = 0.0,
    background_e: Any = 0.0,
    log_error: Any = 0.0,
    level: float = 1.0,
) -> Ratio:
    r"""R = (n_mu - b_mu)/(r (n_e - b_e)), interval where the profile likelihood has risen by ``level``.

    The interval is that of ``ratio_deviance`` (-2Δ ln L = 1: 68.3 % in the limit of large counts; the
    coverage at small counts is a table in the tests). Where a count is below five and there is no background it is the
    exact one of n_mu among n_mu + n_e (C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404), which covers at least
    that; with background the status says that it may cover less: 0.60 to 0.69 at one to three expected counts.
    ``log_error`` is the relative uncertainty of r, or one for each bin, added in quadrature to either side. Counts
    below their background give R = 0 or inf with a status, never NaN.

    Args:
        n_mu: counts of muons, any shape, any array-API library.
        n_e: counts of electrons.
        efficiency_ratio: r = ε_μ/ε_e.
        background_mu: expected background in ``n_mu``, known.
        background_e: expected background in ``n_e``, known.
        log_error: relative uncertainty of ``efficiency_ratio``.
        level: rise of -2 ln L at the ends of the interval.

    Raises:
        InputError: counts that are negative or not finite.

    Example:
        >>> import numpy as np
        >>> r = ratio_estimate(np.array([400.0]), np.array([100.0]), 4.0)
        >>> [round(float(v[0]), 3) for v in (r.value, r.error_low, r.error_high)]
        [1.0, 0.105, 0.12]
    """
    xp = array_module(n_mu, n_e)
    like = n_mu if hasattr(n_mu, "dtype") else n_e
    arrays = [
        xp.asarray(v, dtype=xp.float64, device=like.device) if not hasattr(v, "dtype") else xp.astype(v, xp.float64)
        for v in (n_mu, n_e, efficiency_ratio, background_mu, background_e)
    ]
    n1, n2, r, b1, b2 = xp.broadcast_arrays(*arrays)
    for name, n in (("n_mu", n1), ("n_e", n2)):
        check_counts(n, name)
    s1, s2 = xp.clip(n1 - b1, 0.0, None), xp.clip(n2 - b2, 0.0, None)
    inf = xp.full_like(s1, float("inf"))
    value = xp.where(s2 > 0, s1 / (r * xp.where(s2 > 0, s2, xp.ones_like(s2))), inf)
    ends = _likelihood_ends(xp, (n1, n2, r, b1, b2), level)
    few = (n1 < ENOUGH) | (n2 < ENOUGH)
    clean = (b1 == 0) & (b2 == 0)
    if bool(xp.any(few & clean)):
        exact = _exact_ends(xp, n1, n2, r, 0.5 * math.erfc(math.sqrt(0.5 * level)))
        ends = [xp.where(few & clean, new, old) for new, old in zip(exact, ends, strict=True)]
    low = xp.where(s1 > 0, ends[0], xp.zeros_like(value))
    high = xp.where(s2 > 0, ends[1], inf)
    if not (isinstance(log_error, float) and log_error == 0.0):
        log_error = xp.asarray(log_error, dtype=xp.float64, device=like.device)
        finite = xp.where(s2 > 0, value, xp.ones_like(value))
        spread = finite * log_error
        down = xp.sqrt((finite - xp.where(s2 > 0, low, finite)) ** 2 + spread**2)
        low = xp.where(s2 > 0, xp.clip(finite - down, 0.0, None), low * (1.0 - log_error))
        up = xp.where(s2 > 0, high, finite) - finite
        high = xp.where(s2 > 0, finite + xp.sqrt(up * up + spread**2), inf)
    zero = xp.astype(xp.zeros_like(value), xp.int32)
    status = xp.where(few & ~clean, xp.full_like(zero, FEW), zero)
    status = xp.where(s1 > 0, status, xp.full_like(zero, NO_MUONS))
    status = xp.where(s2 > 0, status, xp.full_like(zero, NO_ELECTRONS))
    return Ratio(value, low, high, status)
