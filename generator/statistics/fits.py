"""Batched likelihood fits: all toys at once, in Newton-Levenberg steps on arrays, on the CPU or the GPU.

The code uses the array-API standard only, so the library and device of ``counts`` decide where it runs. Every
operation acts toy by toy (no matrix product mixes two toys), so the result of a toy does not depend on which
others are fitted with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...kinematics.base.arrays import array_module
from ...kinematics.base.errors import InputError
from .counts import CountModel, check_counts
from .minimise import CONVERGED, NOT_A_MINIMUM, NOT_FINITE, minimise

STATUS_NAMES = ("converged", "iteration limit", "not finite", "not a minimum")


@dataclass(frozen=True, eq=False)
class FitResult:
    """Fits of many toys; arrays of the library and device of the data.

    Attributes:
        values: best values, shape (toys, parameters): couplings, then nuisance parameters.
        covariance: inverse of the observed information, shape (toys, parameters, parameters); NaN where the
            fit is not at a minimum.
        deviance: -2 ln of the likelihood over that of the saturated model, constraint terms included.
        status: int32, an index of ``STATUS_NAMES``.
        iterations: number of steps tried, of the start that won.
        names: names of the parameters.
    """

    values: Any
    covariance: Any
    deviance: Any
    status: Any
    iterations: Any
    names: tuple[str, ...]

    @property
    def errors(self) -> Any:
        """Symmetric errors, square roots of the diagonal of ``covariance``; shape (toys, parameters)."""
        xp = array_module(self.values)
        diagonal = [self.covariance[:, i, i] for i in range(len(self.names))]
        return xp.sqrt(xp.stack(diagonal, axis=1)) if diagonal else self.values

    @property
    def failures(self) -> int:
        """Number of fits that did not converge to a minimum."""
        xp = array_module(self.status)
        return int(xp.sum(xp.astype(self.status != CONVERGED, xp.int64)))

    def column(self, name: str) -> tuple[Any, Any]:
        """Values and errors of one parameter."""
        i = self.names.index(name)
        return self.values[:, i], self.errors[:, i]


def invert(hessian: Any, status: Any) -> tuple[Any, Any]:
    """Covariance from the Hessian of half the deviance; status 3 and NaN where not positive definite."""
    xp = array_module(hessian)
    p = hessian.shape[1]
    identity = xp.eye(p, dtype=hessian.dtype, device=hessian.device)
    if p == 0:
        return hessian, status
    diagonal = xp.stack([hessian[:, i, i] for i in range(p)], axis=1)
    usable = xp.all(xp.isfinite(hessian) & (diagonal[:, :, None] > 0), axis=(1, 2))
    scale = 1.0 / xp.sqrt(xp.where(usable[:, None], diagonal, xp.ones_like(diagonal)))
    scaled = xp.where(usable[:, None, None], hessian * scale[:, :, None] * scale[:, None, :], identity)
    lowest = xp.min(xp.linalg.eigvalsh(scaled), axis=1)
    good = usable & (lowest > 1e-12)
    inverse = xp.linalg.inv(xp.where(good[:, None, None], scaled, identity))
    covariance = inverse * scale[:, :, None] * scale[:, None, :]
    nan = xp.full_like(covariance, float("nan"))
    failed = xp.where(status == CONVERGED, xp.full_like(status, NOT_A_MINIMUM), status)
    status = xp.where(good, status, failed)
    return xp.where(good[:, None, None], covariance, nan), status


class _Poisson:
    """Half the deviance of a CountModel and its derivatives, for arrays of one library."""

    def __init__(self, model: CountModel, like: Any) -> None:
        xp = self.xp = array_module(like)
        p, k = len(model.parameters), len(model.nuisances)
        self.p, self.k = p, k

        def put(values: Any) -> Any:
            return xp.asarray(values, dtype=like.dtype, device=like.device)

        self.constant = put(model.signal[:, 0])
        self.linear = [put(model.signal[:, 1 + i]) for i in range(p)]
        self.second: list[list[Any]] = [[None] * p for _ in range(p)]
        column = 1 + p
        for i in range(p):
            for j in range(i, p):
                q = model.signal[:, column] * (2.0 if i == j else 1.0)
                self.second[i][j] = self.second[j][i] = put(q)
                column += 1
        assert model.background is not None
        assert model.effects is not None
        assert model.background_effects is not None
        self.background = put(model.background)
        self.has_background = bool((model.background != 0).any())
        self.effects = put(model.effects)
        self.background_effects = put(model.background_effects)

    def _polynomial(self, x: Any) -> tuple[Any, list[Any]]:
        signal = self.constant[None, :]
        slopes = []
        for i in range(self.p):
            slope = self.linear[i][None, :]
            for j in range(self.p):
                slope = slope + self.second[i][j][None, :] * x[:, j, None]
            slopes.append(slope)
            signal = signal + 0.5 * (slope + self.linear[i][None, :]) * x[:, i, None]
        return signal + 0.0 * x[:, :1] if not self.p else signal, slopes

    def _factors(self, x: Any) -> tuple[Any, Any]:
        xp = self.xp
        exponent, other = 0.0 * self.constant[None, :], 0.0 * self.constant[None, :]
        for i in range(self.k):
            theta = x[:, self.p + i, None]
            exponent = exponent + theta * self.effects[i, None, :]
            if self.has_background:
                other = other + theta * self.background_effects[i, None, :]
        return xp.exp(exponent), self.background[None, :] * xp.exp(other)

    def _half_deviance(self, x: Any, mu: Any, data: tuple[Any, ...]) -> Any:
        xp = self.xp
        counts, auxiliary = data
        safe = xp.where(mu > 0, mu, xp.ones_like(mu))
        seen = counts > 0
        ratio = xp.where(seen, counts, safe) / safe
        terms = mu - counts + counts * xp.log(ratio)
        total = xp.sum(terms, axis=1)
        if self.k:
            shift = x[:, self.p :] - auxiliary
            total = total + 0.5 * xp.sum(shift * shift, axis=1)
        defined = xp.all((mu > 0) | ((mu == 0) & ~seen), axis=1) & xp.isfinite(total)
        return xp.where(defined, total, xp.full_like(total, float("inf")))

    def value(self, x: Any, data: tuple[Any, ...]) -> Any:
        signal, _ = self._polynomial(x)
        factor, background = self._factors(x)
        return self._half_deviance(x, signal * factor + background, data)

    def objective(self, x: Any, data: tuple[Any, ...]) -> tuple[Any, Any, Any, Any]:
        xp, p, k = self.xp, self.p, self.k
        counts, auxiliary = data
        signal, slopes = self._polynomial(x)
        factor, background = self._factors(x)
        scaled = signal * factor
        mu = scaled + background
        safe = xp.where(mu > 0, mu, xp.ones_like(mu))
        rows = [slope * factor for slope in slopes]
        for i in range(k):
            row = scaled * self.effects[i, None, :]
            rows.append(row + background * self.background_effects[i, None, :] if self.has_background else row)
        jacobian = xp.stack([row + 0.0 * mu for row in rows], axis=1)  # (n, p + k, bins)
        weight = 1.0 - counts / safe
        gradient = xp.sum(jacobian * weight[:, None, :], axis=2)
        information = xp.sum(jacobian * jacobian / safe[:, None, :], axis=2)
        hessian = xp.matmul(jacobian * (counts / (safe * safe))[:, None, :], xp.matrix_transpose(jacobian))
        # second derivatives of mu
        curve: list[list[Any]] = [[None] * (p + k) for _ in range(p + k)]
        for i in range(p):
            for j in range(i, p):
                bend = self.second[i][j][None, :] * factor
                curve[i][j] = curve[j][i] = xp.sum(weight * bend, axis=1)
            for m in range(k):
                bend = rows[i] * self.effects[m, None, :]
                curve[i][p + m] = curve[p + m][i] = xp.sum(weight * bend, axis=1)
        if p:
            zero = 0.0 * gradient[:, 0]
            curved = [xp.stack([c if c is not None else zero for c in line], axis=1) for line in curve]
            hessian = hessian + xp.stack(curved, axis=1)
        if k:
            tail = xp.matmul(
                self.effects[None, :, :] * (weight * scaled)[:, None, :],
                xp.matrix_transpose(self.effects)[None, :, :],
            )
            if self.has_background:
                tail = tail + xp.matmul(
                    self.background_effects[None, :, :] * (weight * background)[:, None, :],
                    xp.matrix_transpose(self.background_effects)[None, :, :],
                )
            tail = tail + xp.eye(k, dtype=x.dtype, device=x.device)[None, :, :]
            if p:
                top = xp.zeros((x.shape[0], p, k), dtype=x.dtype, device=x.device)
                tail = xp.concat([top, tail], axis=1)
                left = xp.zeros((x.shape[0], p + k, p), dtype=x.dtype, device=x.device)
                tail = xp.concat([left, tail], axis=2)
            hessian = hessian + tail
            shift = x[:, p:] - auxiliary
            ones = xp.ones_like(shift)
            if p:
                none = xp.zeros((x.shape[0], p), dtype=x.dtype, device=x.device)
                gradient = gradient + xp.concat([none, shift], axis=1)
                information = information + xp.concat([none, ones], axis=1)
            else:
                gradient, information = gradient + shift, information + ones
        return self._half_deviance(x, mu, data), gradient, hessian, information


def fit_counts(
    model: CountModel,
    counts: Any,
    auxiliary: Any | None = None,
    *,
    starts: Any | None = None,
    chunk: int = 2048,
    tolerance: float = 1e-10,
    max_iterations: int = 100,
) -> FitResult:
    """Fit couplings and nuisance parameters of every toy by maximum likelihood.

    Poisson in every bin and a unit Gaussian on each nuisance parameter; the deviance of each toy is lowest
    over all starts. Without couplings and nuisance parameters it only evaluates the deviance.

    Args:
        model: expected counts.
        counts: shape (toys, bins), floating point, of any array-API library.
        auxiliary: measured values of the nuisance parameters, shape (toys, nuisances); zero if None.
        starts: couplings to start from, shape (starts, couplings); the model's if None. Nuisance parameters
            start from their auxiliary measurements.
        chunk: toys fitted at a time; has no influence on the result.
        tolerance: of ``minimise``.
        max_iterations: of ``minimise``.

    Raises:
        InputError: shapes that do not fit the model; counts that are negative or not finite.

    Example:
        >>> import numpy as np
        >>> model = CountModel([[10.0, 5.0, 0.0], [20.0, 5.0, 0.0]], ("g",))
        >>> fit = fit_counts(model, np.array([[15.0, 25.0]]))
        >>> round(float(fit.values[0, 0]), 6), STATUS_NAMES[int(fit.status[0])]
        (1.0, 'converged')
    """
    xp = array_module(counts)
    if getattr(counts, "ndim", 0) != 2 or counts.shape[1] != model.n_bins:
        raise InputError(f"counts has shape {getattr(counts, 'shape', ())}: needs (toys, {model.n_bins})")
    dtype = counts.dtype if xp.isdtype(counts.dtype, "real floating") else xp.float64
    counts = xp.astype(counts, dtype)
    check_counts(counts)
    n, p, k = counts.shape[0], len(model.parameters), len(model.nuisances)
    if auxiliary is None:
        auxiliary = xp.zeros((n, k), dtype=dtype, device=counts.device)
    if auxiliary.shape != (n, k):
        raise InputError(f"auxiliary has shape {auxiliary.shape}: needs {(n, k)}")
    names = (*model.parameters, *model.nuisances)
    first = model.starts if starts is None else starts
    first = xp.asarray(first, dtype=dtype, device=counts.device)
    if first.ndim != 2 or first.shape[1] != p or first.shape[0] == 0:
        raise InputError(f"starts has shape {first.shape}: needs (starts, {p})")
    if n == 0:
        raise InputError("counts has no toys: needs at least one row")
    target = _Poisson(model, counts)
    limits = {"tolerance": tolerance, "max_iterations": max_iterations}
    parts = []
    for begin in range(0, n, chunk):
        rows = slice(begin, min(begin + chunk, n))
        data = (counts[rows, :], auxiliary[rows, :])
        parts.append(_fit_chunk(target, data, first, limits) if p + k else _deviance(target, data))
    values, covariance, f, status, tried = (xp.concat([part[i] for part in parts], axis=0) for i in range(5))
    return FitResult(values, covariance, 2.0 * f, status, tried, names)


def profiled_deviance(
    signal: Any, background: Any, effects: Any, counts: Any, auxiliary: Any, background_effects: Any = None
) -> tuple[Any, Any]:
    r"""Deviance of counts, nuisance parameters profiled, where every row has its own expectation; and its status.

    .. math:: D = \min_\theta\Big\{2\sum_b\big[\mu_b - n_b + n_b\ln(n_b/\mu_b)\big] + |\theta - a|^2\Big\},\qquad
              \mu_b = s_b\,e^{\sum_k\theta_k\epsilon_{kb}} + B_b\,e^{\sum_k\theta_k\eta_{kb}}

    Args:
        signal: s, shape (rows, bins).
        background: B, shape (bins,).
        effects: ε, shape (nuisances, bins).
        counts: n, shape (rows, bins).
        auxiliary: a, shape (rows, nuisances).
        background_effects: η, shape (nuisances, bins); zero if None.

    Example:
        >>> import numpy as np
        >>> one = np.array([[10.0]])
        >>> deviance, _ = profiled_deviance(one, np.zeros(1), np.zeros((0, 1)), 2.0 * one, np.zeros((1, 0)))
        >>> deviance.round(4).tolist()    # 2 (10 - 20 + 20 ln 2)
        [7.7259]
    """
    xp = array_module(counts)
    k = effects.shape[0]

    def factor(x: Any, rows: Any) -> Any:
        exponent = xp.zeros_like(counts[:1, :])
        for i in range(k):
            exponent = exponent + x[:, i, None] * rows[i, None, :]
        return xp.exp(exponent)

    def parts(x: Any, s: Any) -> tuple[Any, Any]:
        return s * factor(x, effects), background * (
            1.0 if background_effects is None else factor(x, background_effects)
        )

    def half(x: Any, mu: Any, data: tuple[Any, ...]) -> Any:
        n, known, _ = data
        safe = xp.where(mu > 0, mu, xp.ones_like(mu))
        total = xp.sum(mu - n + n * xp.log(xp.where(n > 0, n, safe) / safe), axis=1)
        total = total + 0.5 * xp.sum((x - known) ** 2, axis=1) if k else total
        defined = xp.all((mu > 0) | (n == 0), axis=1) & xp.isfinite(total)
        return xp.where(defined, total, xp.full_like(total, float("inf")))

    def value(x: Any, data: tuple[Any, ...]) -> Any:
        grown, below = parts(x, data[2])
        return half(x, grown + below, data)

    def objective(x: Any, data: tuple[Any, ...]) -> tuple[Any, Any, Any, Any]:
        n, known, s = data
        grown, below = parts(x, s)
        mu = grown + below
        safe = xp.where(mu > 0, mu, xp.ones_like(mu))
        weight = 1.0 - n / safe
        rows = grown[:, None, :] * effects[None, :, :]
        bend = xp.matmul(rows * weight[:, None, :], xp.matrix_transpose(effects)[None, :, :])
        if background_effects is not None:
            more = below[:, None, :] * background_effects[None, :, :]
            other = xp.matrix_transpose(background_effects)[None, :, :]
            rows, bend = rows + more, bend + xp.matmul(more * weight[:, None, :], other)
        gradient = xp.sum(rows * weight[:, None, :], axis=2) + x - known
        hessian = xp.matmul(rows * (n / (safe * safe))[:, None, :], xp.matrix_transpose(rows)) + bend
        hessian = hessian + xp.eye(k, dtype=x.dtype, device=x.device)[None, :, :]
        return half(x, mu, data), gradient, hessian, xp.sum(rows * rows / safe[:, None, :], axis=2) + 1.0

    data = (counts, auxiliary, signal)
    if not k:
        f = value(auxiliary, data)
        status = xp.where(xp.isfinite(f), xp.asarray(CONVERGED), xp.asarray(NOT_FINITE))
        return 2.0 * f, status
    _, _, f, status, _ = minimise(objective, value, data, auxiliary)
    return 2.0 * f, status


def _deviance(target: _Poisson, data: tuple[Any, ...]) -> tuple[Any, ...]:
    """The fit of a model without parameters: its deviance alone."""
    xp, counts = target.xp, data[0]
    m, like = counts.shape[0], {"dtype": counts.dtype, "device": counts.device}
    f = target.value(counts[:, :1], data)  # no parameter: only the number of rows of x is used
    none = xp.zeros((m,), dtype=xp.int32, device=counts.device)
    status = xp.where(xp.isfinite(f), none, xp.full_like(none, NOT_FINITE))
    return xp.zeros((m, 0), **like), xp.zeros((m, 0, 0), **like), f, status, none


def _fit_chunk(target: _Poisson, data: tuple[Any, ...], starts: Any, limits: dict[str, Any]) -> tuple[Any, ...]:
    """The best fit of every toy over all starts of the couplings."""
    xp, p, auxiliary = target.xp, target.p, data[1]
    best: tuple[Any, ...] | None = None
    for s in range(starts.shape[0] if p else 1):
        row = xp.broadcast_to(starts[s : s + 1, :], (auxiliary.shape[0], p)) if p else auxiliary[:, :0]
        start = xp.concat([row, auxiliary], axis=1)
        values, hessian, f, status, tried = minimise(target.objective, target.value, data, start, **limits)
        covariance, status = invert(hessian, status)
        found = (values, covariance, f, status, tried)
        best = found if best is None else _better(xp, best, found)
    assert best is not None
    return best


def _better(xp: Any, old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    """Toy by toy, the fit that converged; of two that did (or did not), the one with the lower deviance."""
    old_good, new_good = old[3] == CONVERGED, new[3] == CONVERGED
    # a mirror start may return to the same minimum: only a real gain replaces the first
    lower = ~(new[2] >= old[2] - 1e-9) & xp.isfinite(new[2])
    choose = (new_good & ~old_good) | ((new_good == old_good) & lower)
    merged = []
    for a, b in zip(old, new, strict=True):
        mask = choose
        for _ in range(a.ndim - 1):
            mask = xp.expand_dims(mask, axis=-1)
        merged.append(xp.where(mask, b, a))
    return tuple(merged)
