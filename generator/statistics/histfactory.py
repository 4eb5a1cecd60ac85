r"""Published HistFactory likelihoods (pyhf JSON) with more signal in some bins than they were published with.

With n_i observed and x the parameters, of which μ is the signal's strength,

.. math:: -2\ln L = \min_x\, 2\sum_i[\lambda_i - n_i + n_i\ln(n_i/\lambda_i)] + \sum_k (x_k-a_k)^2/\sigma_k^2,\qquad
          \lambda_i = b_i(x) + (\mu + r_i)\,s_i(x),

r_i the added signal of a bin in units of the published one, which nuisance parameters act on as they do on that.
Minimised by Gauss-Newton steps. The slopes of all bins against all parameters cost two evaluations: every modifier has
its own parameter, so all are moved at once and pyhf's terms are taken apart.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kinematics.base.errors import InputError, one_line
from ...kinematics.base.optional import optional

Array = NDArray[np.float64]
_CODES = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
_STEP = 1e-4
_PER_BIN = ("staterror", "shapesys", "shapefactor")


@dataclass(frozen=True, eq=False)
class Fit:
    """A likelihood profiled at given added signals.

    Attributes:
        value: -2 ln L, up to a constant of the observed numbers.
        parameters: at the minimum, in pyhf's order.
        curvature: half of the second derivatives in the parameters that are free.
        free: positions of these.
    """

    value: float
    parameters: Array
    curvature: Array
    free: NDArray[np.int64]


class Published:
    """A pyhf workspace: its one measurement, its data, and the signal whose strength is its parameter of interest.

    >>> spec = {"name": "x", "samples": [{"name": "s", "data": [5.0], "modifiers": [{"name": "mu",
    ...     "type": "normfactor", "data": None}]}, {"name": "b", "data": [50.0], "modifiers": []}]}
    >>> measurement = {"name": "m", "config": {"poi": "mu", "parameters": []}}
    >>> found = Published({"channels": [spec], "observations": [{"name": "x", "data": [60.0]}],
    ...     "measurements": [measurement], "version": "1.0.0"})
    >>> round(float(found.fit().parameters[0]), 6)
    2.0
    """

    def __init__(self, workspace: Mapping[str, Any]) -> None:
        pyhf = optional("pyhf", "a published likelihood")
        try:
            space = pyhf.Workspace(dict(workspace))
            self.model = space.model(modifier_settings=_CODES)
            self.observed = np.array(space.data(self.model, include_auxdata=False), dtype=float)
        except Exception as error:
            raise InputError(f"workspace: pyhf cannot read it ({one_line(str(error))})") from None
        config = self.model.config
        if config.poi_index is None:
            raise InputError("workspace: its measurement has no parameter of interest, the signal's strength")
        self.poi, self.start = int(config.poi_index), np.array(config.suggested_init(), dtype=float)
        self._fixed = np.flatnonzero(config.suggested_fixed())
        self._sigma = np.full(len(self.start), np.inf)
        for name in config.parameters:
            known = config.param_set(name)
            if known.constrained and known.pdf_type != "normal":
                raise InputError(f"workspace: {name} has a constraint that is not normal; there is no way to take it")
            if known.constrained:
                self._sigma[config.par_slice(name)] = getattr(known, "sigmas", 1.0)

    @property
    def channels(self) -> dict[str, slice]:
        """Bins of each channel."""
        found: dict[str, slice] = self.model.config.channel_slices
        return found

    def terms(self, x: Array) -> tuple[Array, Array]:
        """Rates before factors, and factors, of every sample and bin: (n_samples, n_bins) each."""
        deltas, factors = self.model.main_model._modifications(x)
        sizes = np.concatenate([*deltas, self.model.main_model.nominal_rates])
        return np.asarray(sizes.sum(axis=0)[:, 0]), np.asarray(np.concatenate(factors).prod(axis=0)[:, 0])

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Background and published signal (at strength one) by bin."""
        terms = [self.terms(_at(x, self.poi, mu)) for mu in (0.0, 1.0)]
        none, one = ((rate * factor).sum(axis=0) for rate, factor in terms)
        return none, one - none

    @cached_property
    def _rows(self) -> list[tuple[str, int, list[tuple[int, Array]]]]:
        """Kind and number of pyhf's terms, with parameters and the bins they are of."""
        config, main = self.model.config, self.model.main_model
        n_bins, found = len(self.observed), []
        for kind in (*main._delta_mods, *main._factor_mods):
            names = [name for name, other in config.modifiers if other == kind]
            for row, name in enumerate(names):
                where = config.par_slice(name)
                bins = np.ones(n_bins, dtype=bool)
                if kind not in _PER_BIN:
                    found.append((kind, row, [(where.start, bins)]))
                    continue
                mask = np.array(main.modifiers_appliers[kind].__dict__[f"_{kind}_mask"][row], dtype=bool)
                own = np.flatnonzero(mask.reshape(-1, n_bins).any(axis=0))
                found.append((kind, row, [(where.start + k, np.arange(n_bins) == b) for k, b in enumerate(own)]))
        return found

    def slopes(self, x: Array) -> tuple[Array, Array]:
        """Derivatives of background and published signal in all parameters, (n_bins, n_parameters) each."""
        step = _STEP * np.where(np.isfinite(self._sigma), self._sigma, 1.0)
        found = []
        for mu in (0.0, 1.0):
            y = _at(x, self.poi, mu)
            found.append(self._slopes(y, np.where(np.arange(len(x)) == self.poi, 0.0, step)))
        return found[0], found[1] - found[0]

    def _slopes(self, x: Array, step: Array) -> Array:
        main = self.model.main_model
        up, down = main._modifications(x + step), main._modifications(x - step)
        rate, factor = self.terms(x)
        used = {kind for _, kind in self.model.config.modifiers}
        total = np.zeros((len(self.observed), len(x)))
        for kind, row, parameters in self._rows:
            added = kind in main._delta_mods
            place = [k for k in (main._delta_mods if added else main._factor_mods) if k in used].index(kind)
            one, other = (np.asarray(side[0 if added else 1][place])[row, :, 0] for side in (up, down))
            for k, bins in parameters:
                if step[k] == 0.0:
                    continue
                if added:
                    change = (one - other) * factor
                else:
                    middle = 0.5 * (one + other)
                    change = (one - other) / np.where(middle == 0.0, 1.0, middle) * rate * factor
                total[:, k] += bins * change.sum(axis=0) / (2.0 * step[k])
        return total

    def fit(self, added: Array | float = 0.0, strength: float | None = None, error: float = 0.0) -> Fit:
        """Profile at added signals r_i (n_bins,), with the strength free, or ``strength`` within ``error``.

        Raises:
            RuntimeError: no minimum is found.
        """
        x, centre, sigma = self.start.copy(), self.start.copy(), self._sigma.copy()
        fixed = set(self._fixed.tolist())
        if strength is not None:
            x[self.poi] = centre[self.poi] = strength
            sigma[self.poi] = error or np.inf
            fixed |= set() if error else {self.poi}
        free = np.array([k for k in range(len(x)) if k not in fixed], dtype=np.int64)
        weight = np.where(np.isfinite(sigma), sigma**-2.0, 0.0)
        n = self.observed

        def cost(x: Array) -> tuple[float, Array]:
            background, signal = self.parts(x)
            mean = background + (x[self.poi] + added) * signal
            if mean.min() <= 0:
                return np.inf, mean
            logs = n * np.log(np.where(n > 0, n, 1.0) / mean)
            return float(2 * np.sum(mean - n + logs) + weight @ (x - centre) ** 2), mean

        value, mean = cost(x)
        for _ in range(100):
            background, signal = self.slopes(x)
            slopes = background + (x[self.poi] + np.asarray(added).reshape(-1, 1)) * signal
            slopes[:, self.poi] = self.parts(x)[1]
            slopes = slopes[:, free]
            curvature = (slopes.T * (n / mean**2)) @ slopes + np.diag(weight[free])
            step = np.linalg.solve(curvature, slopes.T @ (1 - n / mean) + (weight * (x - centre))[free])
            size, (now, other), y = 1.0, (np.inf, mean), x
            while not now <= value + 1e-12 and size > 1e-8:
                y = x.copy()
                y[free] -= size * step
                now, other = cost(y)
                size /= 2
            change, value, x, mean = value - now, now, y, other
            if abs(change) < 1e-8:
                return Fit(value, x, curvature, free)
        raise RuntimeError("the published likelihood has no minimum that can be found")

    def simplified(self, bins: NDArray[np.int64], error: float = 0.05) -> tuple[Array, Array]:
        """Mean and covariance of the backgrounds (published signal in them) and of the signals of some bins.

        The strength is one within ``error``. All other bins and constraints are in them: value, slope and curvature of
        the full likelihood at its minimum are kept.
        """
        found = self.fit(strength=1.0, error=error)
        x, n = found.parameters, self.observed[bins]
        background, signal = (part[bins] for part in self.parts(x))
        slopes_b, slopes_s = (slopes[bins] for slopes in self.slopes(x))
        inside = slopes_b + x[self.poi] * slopes_s
        inside[:, self.poi] = signal
        both = np.concatenate([inside, slopes_s])[:, found.free]
        mean, size = np.concatenate([background + x[self.poi] * signal, signal]), len(bins)
        rest = found.curvature - (both[:size].T * (n / mean[:size] ** 2)) @ both[:size]
        pull = np.linalg.solve(rest, both[:size].T @ (1 - n / mean[:size]))
        return mean + both @ pull, both @ np.linalg.solve(rest, both.T)


def _at(x: Array, place: int, value: float) -> Array:
    found = x.copy()
    found[place] = value
    return found


def read_workspace(path: str | os.PathLike[str]) -> Published:
    """The likelihood in a file.

    Raises:
        InputError: no such file, or no pyhf workspace.
    """
    try:
        return Published(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"workspace = {str(path)!r}: no JSON can be read ({error})") from None
