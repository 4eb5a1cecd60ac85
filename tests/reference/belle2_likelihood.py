"""Simplified likelihood of Belle II's B+ -> K+ nu nu, from the collaboration's public one; prints JSON.

    python tests/reference/belle2_likelihood.py FOLDER > physics/experiment/data/tables/belle2_2507.12393.json

FOLDER has ``combined_likelihood.json`` and ``number_density_*.csv`` of the repository
lorenzennio/knunu-reinterpretation-mini (scripts/data, MIT licence, (c) Belle II), the data of arXiv:2507.12393.

The full likelihood (30 bins, 232 parameters, pyhf) is profiled at the Standard Model, its signal strength 1 +- 0.05.
There its nuisance parameters are replaced by a normal distribution of the 18 expected backgrounds (with the Standard
Model's signal in them) and of the 18 signals, whose mean and covariance are those that all other terms of the
likelihood, constraints and control regions of off-resonance data, have at that point. Value, gradient and curvature at
the Standard Model are exact. Also printed, to stderr: best fit, and full profiles of a resonance to compare with.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyhf

STRENGTH_ERROR = 0.05


class Full:
    """The full likelihood, profiled by Fisher scoring with numerical derivatives."""

    def __init__(self, folder):
        workspace = pyhf.Workspace(json.loads((folder / "combined_likelihood.json").read_text()))
        codes = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
        self.model = workspace.model(modifier_settings=codes)
        config = self.model.config
        self.observed = np.array(workspace.data(self.model, include_auxdata=False))
        self.start, self.poi = np.array(config.suggested_init()), config.poi_index
        self.sigma = np.full(len(self.start), np.inf)
        for name in config.parameters:
            known = config.param_set(name)
            if known.constrained:
                self.sigma[config.par_slice(name)] = getattr(known, "sigmas", 1.0)
        wanted = [name for name in config.channels if name[0] in "AB" or name.startswith("sgn")]
        slices = [config.channel_slices[name] for name in wanted]
        self.chosen = np.concatenate([np.arange(s.start, s.stop) for s in slices])

    def parts(self, x):
        """Background and the Standard Model's signal in the 30 bins."""
        found = []
        for strength in (0.0, 1.0):
            y = x.copy()
            y[self.poi] = strength
            found.append(np.asarray(self.model.expected_actualdata(y)))
        return found[0], found[1] - found[0]

    def expected(self, x, extra):
        background, signal = self.parts(x)
        return background + (x[self.poi] + extra) * signal

    def slope(self, function, x, k):
        step = 1e-3 * (self.sigma[k] if np.isfinite(self.sigma[k]) else 1.0)
        up, down = x.copy(), x.copy()
        up[k], down[k] = x[k] + step, x[k] - step
        return (function(up) - function(down)) / (2 * step)

    def fit(self, extra=0.0, strength=None, error=STRENGTH_ERROR):
        """-2 ln L, parameters and half its second derivatives; ``extra`` signal in units of the SM's, in each bin."""
        x, centre, sigma = self.start.copy(), self.start.copy(), self.sigma.copy()
        free = np.arange(len(x))
        if strength is not None:
            x[self.poi] = centre[self.poi] = strength
            sigma[self.poi] = error or np.inf
            free = free if error else np.delete(free, self.poi)
        weight = np.where(np.isfinite(sigma), sigma**-2.0, 0.0)
        n = self.observed

        def cost(x):
            mean = self.expected(x, extra)
            return (
                np.inf if mean.min() <= 0 else 2 * np.sum(mean - n + n * np.log(n / mean)) + weight @ (x - centre) ** 2
            )

        value = cost(x)
        for _ in range(60):
            mean = self.expected(x, extra)
            slopes = np.stack([self.slope(lambda y: self.expected(y, extra), x, k) for k in free], axis=1)
            curvature = (slopes.T * (n / mean**2)) @ slopes + np.diag(weight[free])
            step = np.linalg.solve(curvature, slopes.T @ (1 - n / mean) + (weight * (x - centre))[free])
            size = 1.0
            while True:
                y = x.copy()
                y[free] -= size * step
                if cost(y) <= value + 1e-12 or size < 1e-6:
                    break
                size /= 2
            change, value, x = value - cost(y), cost(y), y
            if abs(change) < 1e-7:
                break
        return value, x, curvature, free


def simplified(full):
    """Mean and covariance of the 18 backgrounds and 18 signals."""
    _, x, curvature, free = full.fit(strength=1.0)
    n, bins = full.observed[full.chosen], full.chosen

    def both(x):
        background, signal = (part[bins] for part in full.parts(x))
        return np.concatenate([background + x[full.poi] * signal, signal])

    slopes = np.stack([full.slope(both, x, k) for k in free], axis=1)
    mean = both(x)
    inside = slopes[:18]
    rest = curvature - (inside.T * (n / mean[:18] ** 2)) @ inside
    pull = np.linalg.solve(rest, inside.T @ (1 - n / mean[:18]))
    return mean + slopes @ pull, slopes @ np.linalg.solve(rest, slopes.T)


def main(folder):
    full = Full(folder)
    best, x, curvature, _ = full.fit()
    error = np.linalg.inv(curvature)[full.poi, full.poi] ** 0.5
    steps = [(full.fit(strength=s, error=0.0)[0] - best) ** 0.5 for s in (0.0, 1.0)]
    print(
        f"mu = {x[full.poi]:.3f} +- {error:.3f}, {steps[0]:.2f} above zero, {steps[1]:.2f} above the SM",
        file=sys.stderr,
    )
    mean, covariance = simplified(full)
    names = ("ita_regA", "ita_regB", "hta")
    response = np.concatenate([np.loadtxt(folder / f"number_density_{n}.csv", delimiter=",") for n in names])
    response = response[:, 1:] / response.sum(axis=1, keepdims=True)  # the first column is of negative q2
    table = {
        "source": "arXiv:2507.12393, simplified from Belle II's public likelihood (MIT licence, (c) Belle II)",
        "q2_max": 22.885,
        "observed": full.observed[full.chosen].tolist(),
        "mean": [float(f"{v:.6g}") for v in mean],
        "covariance": [[float(f"{v:.5g}") for v in row[: i + 1]] for i, row in enumerate(covariance)],
        "response": [[float(f"{v:.4g}") for v in row] for row in response],
    }
    print(json.dumps(table))
    # a resonance of a tenth of the SM's rate in each bin of the response between 4 and 5 GeV2, in full
    base = full.fit(strength=1.0)[0]
    for size in (20.0, 60.0):
        extra = np.zeros(len(full.observed))
        extra[full.chosen] = response[:, 17:22].sum(axis=1) * size
        print(f"strength {size:g} in 3.89-5.03 GeV2: {full.fit(extra, 1.0)[0] - base:.4f}", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
