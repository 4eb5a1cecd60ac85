"""A plain NumPy accept-reject of the density that darkpenguin samples: what its rate is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class AcceptReject:
    """What one writes in NumPy first: q2 from its cumulative spectrum, flat angles, accepted by the density.

    The density interpolates the same table linearly in q2, with one search for all coefficients; its bound is
    found on a grid of angles, as one does, and exceeding it is counted. ``table`` is a node table of darkpenguin of a
    channel without K pi mass.
    """

    def __init__(self, table: Any) -> None:
        self.table, self.exceeded = table, 0
        self.nodes: dict[int, tuple[Array, Array, Array]] = {}
        for flavour in table.rates:
            chosen = table.flavour == flavour
            q2, j = table.q2[chosen], np.ascontiguousarray(table.coefficients[chosen].T)
            self.nodes[flavour] = q2, j, table.spectrum_cdf(q2, flavour)
        axis = np.linspace(-1, 1, 9)
        angles = np.meshgrid(axis, axis, np.linspace(-np.pi, np.pi, 9), indexing="ij")
        self.rate = np.array(table.density.rate)
        basis = table.density.basis(*(angle.ravel() for angle in angles))
        rates = np.where(table.node_rates > 0, table.node_rates, np.inf)
        steps = range(0, len(rates), 1024)
        self.bound = 1.1 * max(
            (table.coefficients[k : k + 1024] @ basis / rates[k : k + 1024, None]).max() for k in steps
        )

    def generate(self, rng: np.random.Generator, n: int) -> tuple[Array, ...]:
        """Columns of what is accepted of about ``n`` tries."""
        parts = []
        for flavour, (q2, j, cdf) in self.nodes.items():
            tries = round(n * self.table.rates[flavour] / self.table.total_rate)
            s = np.interp(rng.random(tries), cdf, q2)
            ck, cl = rng.uniform(-1, 1, (2, tries))
            phi = rng.uniform(-np.pi, np.pi, tries)
            above = np.clip(np.searchsorted(q2, s), 1, len(q2) - 1)
            share = (s - q2[above - 1]) / np.maximum(q2[above] - q2[above - 1], 1e-300)
            local = (1 - share) * j[:, above - 1] + share * j[:, above]
            density = (local * self.table.density.basis(ck, cl, phi)).sum(axis=0) / (self.rate @ local)
            self.exceeded += int((density > self.bound).sum())
            keep = rng.random(tries) * self.bound < density
            parts.append((s[keep], ck[keep], cl[keep], phi[keep], np.full(keep.sum(), flavour)))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
