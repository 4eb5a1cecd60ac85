"""Tests of hypotheses with toys and asymptotically: likelihood ratios, p-values, CLs, scans.

What to use when. Two hypotheses without free parameters: ``likelihood_ratio``, whose distribution toys give
and ``asimov_fixed`` approximates; it is linear in the counts, so its mean is exact. A free coupling against
its absence: ``profile_ratio``, chi-square with one degree of freedom by Wilks' theorem, but only where the
coupling is identifiable and its estimate stays away from a boundary. A mass that floats has no meaning
without a coupling, so Wilks fails: ``scan_maximum`` takes the maximum over the scan in every toy. Limits on a coupling:
``find_limit`` by CL_s, ``feldman_cousins`` near a physical boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError
from .counts import CountModel, check_counts
from .fits import FitResult, fit_counts
from .minimise import CONVERGED

Array = npt.NDArray[np.float64]


def significance(p_value: npt.ArrayLike) -> Array:
    """One-sided significance in σ of a p-value.

    >>> round(float(significance(2.866515719e-7)), 6)
    5.0
    """
    return np.asarray(stats.norm.isf(p_value))


def p_value(significance: npt.ArrayLike) -> Array:
    """One-sided p-value of a significance in σ.

    >>> round(float(p_value(0.0)), 6)
    0.5
    """
    return np.asarray(stats.norm.sf(significance))


def likelihood_ratio(counts: Any, expectations: Any) -> Any:
    r"""-2 ln L_h/L_0 of every toy for fixed hypotheses h, relative to the first.

    .. math:: q_h = 2\sum_b\big[\mu_{hb}-\mu_{0b} - n_b\ln(\mu_{hb}/\mu_{0b})\big]

    Positive values prefer hypothesis 0. Infinite where one of the two excludes the counts.

    Args:
        counts: shape (toys, bins), any array-API library.
        expectations: shape (hypotheses, bins).

    Returns:
        shape (toys, hypotheses); the first column is zero.

    Example:
        >>> likelihood_ratio(np.array([[10.0]]), np.array([[10.0], [20.0]])).round(4).tolist()
        [[0.0, 6.1371]]
    """
    xp = array_module(counts)
    n = xp.astype(counts, xp.float64)
    check_counts(n)
    mu = xp.asarray(expectations, dtype=xp.float64, device=n.device)
    reference = mu[0, :]
    columns = []
    for h in range(mu.shape[0]):
        both = (mu[h, :] > 0) & (reference > 0)
        one = xp.ones_like(reference)
        logs = xp.log(xp.where(both, mu[h, :], one) / xp.where(both, reference, one))
        q = 2.0 * (xp.sum(mu[h, :] - reference) - xp.sum(n * logs[None, :], axis=1))
        seen = n > 0
        excluded = xp.any(seen & (mu[h, :] <= 0)[None, :], axis=1)
        favoured = xp.any(seen & (reference <= 0)[None, :], axis=1)
        infinity = xp.full_like(q, float("inf"))
        q = xp.where(excluded & ~favoured, infinity, q)
        q = xp.where(favoured & ~excluded, -infinity, q)
        columns.append(xp.where(favoured & excluded, xp.full_like(q, float("nan")), q))
    return xp.stack(columns, axis=1)


@dataclass(frozen=True)
class Separation:
    """How far apart two fixed hypotheses are, from the exact moments of q = -2 ln L(null)/L(true).

    ``mean_true`` is the Asimov value, ``asimov`` its square root; ``gaussian`` is the distance of the two
    means over the standard deviation under the null. Where both agree, q is Gaussian enough for either.
    """

    mean_true: float
    mean_null: float
    sigma_true: float
    sigma_null: float

    @property
    def asimov(self) -> float:
        """Median significance against the null in the asymptotic regime."""
        return float(np.sqrt(max(self.mean_true, 0.0)))

    @property
    def gaussian(self) -> float:
        """Median significance against the null if q is Gaussian."""
        return (self.mean_true - self.mean_null) / self.sigma_null if self.sigma_null > 0 else 0.0


def asimov_fixed(true: npt.ArrayLike, null: npt.ArrayLike) -> Separation:
    r"""Exact mean and variance of q = -2 ln L(null)/L(true) in Poisson bins, under both hypotheses.

    .. math:: \langle q\rangle_h = 2\sum_b\big[\mu^0_b-\mu^1_b+\mu^h_b\ln(\mu^1_b/\mu^0_b)\big],\qquad
              \mathrm{Var}_h = 4\sum_b\mu^h_b\ln^2(\mu^1_b/\mu^0_b)

    Under the truth the mean is the value at the Asimov data (G. Cowan et al., arXiv:1007.1727, section 3.2).

    >>> round(asimov_fixed([110.0], [100.0]).asimov, 4)        # √(2 [(s+b) ln(1+s/b) - s]), eq. (97) there
    0.984
    """
    one, zero = np.asarray(true, dtype=float), np.asarray(null, dtype=float)
    if np.any((one > 0) != (zero > 0)):
        raise InputError("one hypothesis expects no events in a bin where the other does: it is excluded by one event")
    use = one > 0
    logs = np.log(one[use] / zero[use])
    shift = 2.0 * float(np.sum(zero - one))
    means = [shift + 2.0 * float(np.sum(mu[use] * logs)) for mu in (one, zero)]
    sigmas = [2.0 * float(np.sqrt(np.sum(mu[use] * logs**2))) for mu in (one, zero)]
    return Separation(means[0], means[1], sigmas[0], sigmas[1])


@dataclass(frozen=True)
class Probability:
    """A probability estimated with toys, and its standard error."""

    value: float
    error: float
    toys: int

    @property
    def significance(self) -> float:
        """One-sided significance."""
        return float(significance(self.value))

    @property
    def significance_error(self) -> float:
        """Its standard error, by error propagation."""
        density = float(stats.norm.pdf(self.significance))
        return self.error / density if density > 0 else float("inf")


def toy_p_value(null_statistic: npt.ArrayLike, observed: float) -> Probability:
    """Fraction of toys of the null with a statistic of at least the observed value.

    NaN (failed) toys count as at least as extreme: that can only weaken a claim. The error is binomial, for
    no toy beyond that of one.

    >>> toy_p_value([1.0, 2.0, 3.0, 4.0], 3.0).value
    0.5
    """
    q = np.asarray(null_statistic, dtype=float)
    beyond = int(np.sum((q >= observed) | np.isnan(q)))
    p = beyond / q.size
    return Probability(p, float(np.sqrt(max(p * (1.0 - p), 1.0 / q.size) / q.size)), q.size)


def tail_p_value(null_statistic: npt.ArrayLike, observed: float, free: int, least: int = 100) -> float:
    r"""Global p-value beyond the reach of toys of the null, for a likelihood ratio with ``free`` parameters.

    .. math:: p(q) \approx p(q_0)\,(q/q_0)^{(s-2)/2}\,e^{-(q-q_0)/2}

    the behaviour for large q both of a χ² of s degrees of freedom and of the maximum over one parameter that means
    nothing under the null (a mass) of a χ² of s - 1 (eq. (3) of arXiv:1005.1891). q0 is exceeded by ``least`` toys, or
    by 1 % of them if that is more, but by no toy below one; failed toys count as beyond. What lies within the toys is
    counted. Where fewer than 20 toys reach one there is no tail to continue: p is counted, one toy if none lies beyond.

    >>> q = np.random.default_rng(1).chisquare(1, 100_000)
    >>> round(float(significance(0.5 * tail_p_value(q, 25.0, 1))), 1)        # chi-square of one: two-sided
    5.0
    >>> tail_p_value(np.zeros(1000), 25.0, 1)        # no tail: one toy of them at most
    0.001
    """
    q = np.sort(np.nan_to_num(np.asarray(null_statistic, dtype=float), nan=np.inf))
    beyond = min(max(least, len(q) // 100), int(np.sum(q >= 1.0)))
    start = float(q[-beyond]) if beyond >= 20 else np.inf
    if observed <= start or start == np.inf:
        return max(float(np.mean(q >= observed)), 1.0 / len(q))
    return float(beyond / len(q) * (observed / start) ** (0.5 * free - 1.0) * np.exp(-0.5 * (observed - start)))


def importance_p_value(statistic: npt.ArrayLike, log_weights: npt.ArrayLike, observed: float) -> Probability:
    r"""Tail probability under the null from toys of another hypothesis, weighted with L(null)/L(drawn).

    .. math:: p = \langle w\,1(q\ge q_{obs})\rangle_{drawn},\qquad w = L_{null}/L_{drawn}

    Exact on average; when q is itself -2 ln L(null)/L(drawn), ln w = -q/2 and every toy beyond has w below
    exp(-q_obs/2): 5σ from ten thousand toys instead of 1e8. With nuisance parameters drawn toy by toy, w is
    the ratio at each toy's own values.

    >>> q = np.array([20.0, 25.0, 30.0])
    >>> importance_p_value(q, -q / 2, 25.0).value < 2e-6
    True
    """
    q, w = np.asarray(statistic, dtype=float), np.exp(np.asarray(log_weights, dtype=float))
    terms = np.where(q >= observed, w, 0.0)
    return Probability(float(terms.mean()), float(terms.std() / np.sqrt(q.size)), q.size)


def cls_asymptotic(q: npt.ArrayLike, q_asimov: npt.ArrayLike) -> tuple[Array, Array, Array]:
    r"""CL_s+b, CL_b and CL_s for the statistic q̃ of a non-negative strength, asymptotically.

    Eqs. (65), (66) and (76) of arXiv:1007.1727; ``q_asimov`` is q̃ of the background-only Asimov data.

    >>> [round(float(v), 4) for v in cls_asymptotic(1.0, 4.0)]
    [0.1587, 0.8413, 0.1886]
    """
    q, a = np.asarray(q, dtype=float), np.asarray(q_asimov, dtype=float)
    root, root_a = np.sqrt(np.maximum(q, 0.0)), np.sqrt(np.maximum(a, 0.0))
    below = q <= a
    safe = np.where(root_a > 0, root_a, 1.0)
    up = np.where(below, root, (q + a) / (2.0 * safe))
    down = np.where(below, root - root_a, (q - a) / (2.0 * safe))
    sb, b = stats.norm.sf(up), stats.norm.sf(down)
    tail = np.exp(stats.norm.logsf(up) - stats.norm.logsf(down))  # where both are below the smallest number
    return sb, b, np.where(b > 0, sb / np.where(b > 0, b, 1.0), tail)


def cls_toys(q_observed: float, q_signal: npt.ArrayLike, q_background: npt.ArrayLike) -> tuple[float, float, float]:
    """CL_s+b, CL_b and CL_s from toys: fractions of either hypothesis with q of at least the observed one.

    >>> cls_toys(1.0, [0.0, 2.0, 0.5, 0.1], [1.0, 2.0, 3.0, 0.0])
    (0.25, 0.75, 0.3333333333333333)
    """
    sb = toy_p_value(q_signal, q_observed).value
    b = toy_p_value(q_background, q_observed).value
    return sb, b, sb / b if b > 0 else 1.0


@dataclass(frozen=True, eq=False)
class ProfileRatio:
    """Test of fixed couplings against free ones, one row a toy: q = deviance(fixed) - deviance(free)."""

    q: Array
    fixed: FitResult
    free: FitResult

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Toys in which both fits converged; q is NaN in the others."""
        return np.asarray((self.fixed.status == CONVERGED) & (self.free.status == CONVERGED))


def profile_ratio(model: CountModel, counts: Any, auxiliary: Any = None, **fixed: float) -> ProfileRatio:
    """Profile-likelihood ratio of some couplings at fixed values against all free ones.

    >>> model = CountModel([[10.0, 5.0, 0.0], [20.0, 5.0, 0.0]], ("g",))
    >>> profile_ratio(model, np.array([[15.0, 25.0]]), g=0.0).q.round(4).tolist()
    [3.3211]
    """
    n = np.asarray(counts, dtype=float)
    free = fit_counts(model, n, auxiliary)
    held = fit_counts(model.fix(**fixed), n, auxiliary)
    q = np.asarray(held.deviance - free.deviance)
    bad = (held.status != CONVERGED) | (free.status != CONVERGED)
    return ProfileRatio(np.where(bad, np.nan, q), held, free)


def wilks_p_value(q: npt.ArrayLike, degrees: int) -> Array:
    """Two-sided p-value of a profile-likelihood ratio by Wilks' theorem: chi-square tail.

    >>> round(float(wilks_p_value(3.841459, 1)), 4)
    0.05
    """
    return np.asarray(special.chdtrc(degrees, np.maximum(np.asarray(q, dtype=float), 0.0)))


@dataclass(frozen=True, eq=False)
class Scan:
    """Fits along a scan of models (masses of V, say), one row a toy.

    Attributes:
        q: deviance(null) - deviance(fit) at every point, shape (toys, points); NaN where a fit failed.
        best: index of the maximum, shape (toys,).
        maximum: its value.
        couplings: fitted couplings at the maximum, shape (toys, couplings).
        failures: number of failed fits in each toy.
    """

    q: Array
    best: npt.NDArray[np.int64]
    maximum: Array
    couplings: Array
    failures: npt.NDArray[np.int64]


def scan_maximum(models: Sequence[CountModel], counts: Any, auxiliary: Any = None, **null: float) -> Scan:
    """Fit every model to every toy and keep the best: the statistic of a search whose mass is not known.

    ``null`` are couplings of the null hypothesis (zero for those not named); it is the same for all models,
    as no mass enters without a coupling. The distribution of ``maximum`` in toys of the null gives the global
    p-value, look-elsewhere effect included.

    Raises:
        InputError: no model.

    Example:
        >>> models = [CountModel([[10.0, x, 0.0], [20.0, 5.0 - x, 0.0]], ("g",)) for x in (1.0, 4.0)]
        >>> scan_maximum(models, np.array([[15.0, 20.0]])).best.tolist()
        [1]
    """
    if not models:
        raise InputError("models: a scan needs at least one point")
    n = np.asarray(counts, dtype=float)
    values = dict.fromkeys(models[0].parameters, 0.0) | null
    base = fit_counts(models[0].fix(**values), n, auxiliary)
    columns, couplings, failed = [], [], []
    for model in models:
        fit = fit_counts(model, n, auxiliary)
        bad = (fit.status != CONVERGED) | (base.status != CONVERGED)
        columns.append(np.where(bad, np.nan, base.deviance - fit.deviance))
        couplings.append(fit.values[:, : len(model.parameters)])
        failed.append(bad)
    q = np.stack(columns, axis=1)
    best = np.argmax(np.where(np.isnan(q), -np.inf, q), axis=1)
    rows = np.arange(len(n))
    return Scan(q, best, q[rows, best], np.stack(couplings, axis=1)[rows, best], np.sum(failed, axis=0))


def upcrossings(scan: Scan, level: float) -> float:
    """Mean number of times the scan rises through ``level``: the input of ``global_p_value``.

    >>> none = np.zeros(1, dtype=np.int64)
    >>> upcrossings(Scan(np.array([[0.1, 2.0, 0.3, 1.5]]), none, np.zeros(1), np.zeros((1, 1)), none), 1.0)
    2.0
    """
    q = np.nan_to_num(scan.q, nan=0.0)
    return float(np.mean(np.sum((q[:, :-1] < level) & (q[:, 1:] >= level), axis=1)))


def global_p_value(q: npt.ArrayLike, level: float, mean_upcrossings: float, degrees: int = 1) -> Array:
    r"""Global p-value of the maximum of a scan from few toys: eq. (3) of arXiv:1005.1891.

    .. math:: P(q_{max} > q) \approx P(\chi^2_s > q)
              + \langle N(c_0)\rangle\,(q/c_0)^{(s-1)/2}\,e^{-(q-c_0)/2}

    An upper bound that becomes tight for large q.

    >>> round(float(global_p_value(25.0, 1.0, 3.0)), 8)
    1.901e-05
    """
    q = np.asarray(q, dtype=float)
    rise = mean_upcrossings * (q / level) ** ((degrees - 1) / 2) * np.exp(-0.5 * (q - level))
    return np.asarray(np.minimum(special.chdtrc(degrees, q) + rise, 1.0))


def bounded_ratio(model: CountModel, counts: Any, auxiliary: Any, value: float, low: float, high: float) -> Array:
    """-2 ln L(value)/L(best in [low, high]) of a model of one coupling; NaN where a fit failed.

    >>> model = CountModel([[10.0, 5.0, 0.0]], ("g",))
    >>> bounded_ratio(model, np.array([[15.0]]), None, 1.0, 0.0, np.inf).round(6).tolist()
    [0.0]
    """
    if len(model.parameters) != 1:
        raise InputError(f"{len(model.parameters)} couplings are free: needs one; fix the others")
    name = model.parameters[0]
    n = np.asarray(counts, dtype=float)
    free = fit_counts(model, n, auxiliary)
    held = fit_counts(model.fix(**{name: value}), n, auxiliary)
    estimate = free.values[:, 0]
    best = np.where((estimate >= low) & (estimate <= high) & (free.status == CONVERGED), free.deviance, np.inf)
    for end in (low, high):
        if np.isfinite(end):
            edge = fit_counts(model.fix(**{name: end}), n, auxiliary)
            best = np.minimum(best, np.where(edge.status == CONVERGED, edge.deviance, np.inf))
    good = (held.status == CONVERGED) & np.isfinite(best)
    return np.where(good, np.maximum(held.deviance - np.where(good, best, 0.0), 0.0), np.nan)
