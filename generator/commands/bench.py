"""Events a second of the sampler, beside a plain NumPy accept-reject of the same density in the same run.

``python -m darkpenguin.generator.commands.bench`` (or ``make bench``): B0 -> K*0 mu mu of both flavours with a V of
0.1 % width in the spectrum; columns of q2, angles and flavour, chunk after chunk into the same arrays. Then the whole
chain: the Kpi mass with P and S wave, momenta of B, K, pi and leptons behind LHCb's beam, its geometry as a cut.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from ...kinematics.base.threads import available_threads
from ...physics.channels import get_channel
from ...physics.densities import Array
from ...physics.models import apply_settings, get_model
from ..run.card import make_card
from ..run.plan import Plan, plan_run
from ..sampler.backend import PRECISIONS, Backend, Columns, CpuBackend, GpuBackend, missing_for_gpu
from ..sampler.tables import Table, channel_table
from .console import show_table

CHANNEL, MODEL, SETTINGS = "B0->K*0mumu", "fig2", ("light_vectors.0.relative_width=0.001",)
CHUNK = 1 << 20


def best_rate(work: Callable[[], int], repeats: int) -> float:
    """Events a second of the fastest of several runs: others may use the machine meanwhile."""
    best = 0.0
    for _ in range(repeats):
        began = time.perf_counter()
        n = work()
        best = max(best, n / (time.perf_counter() - began))
    return best


class AcceptReject:
    """What one writes in NumPy first: q2 from its cumulative spectrum, flat angles, accepted by the density.

    The density interpolates the same table linearly in q2, with one search for all coefficients; its bound is
    found on a grid of angles, as one does, and exceeding it is counted.

    >>> import numpy as np
    >>> table = channel_table(get_channel("B0->K*0mumu"), get_model("sm"), flavour="b", q2_ranges=[(1, 6)])
    >>> sampler = AcceptReject(table)
    >>> columns = sampler.generate(np.random.default_rng(1), 1000)
    >>> bool(len(columns[0]) > 100), sampler.exceeded
    (True, 0)
    """

    def __init__(self, table: Table) -> None:
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


def measure(events: int = 1 << 23, repeats: int = 5) -> list[tuple[str, str, str, float]]:
    """Rows of (device, precision, threads, events a second), the NumPy accept-reject first."""
    table = channel_table(get_channel(CHANNEL), apply_settings(get_model(MODEL), list(SETTINGS)))
    print(f"{CHANNEL}, {MODEL} with {', '.join(SETTINGS)}: {len(table.q2)} nodes of two flavours")
    rejection, rng = AcceptReject(table), np.random.default_rng(1)
    rows = [
        ("NumPy accept-reject", "float64", "1", best_rate(lambda: len(rejection.generate(rng, 1 << 18)[0]), repeats))
    ]
    backends: list[Backend] = [
        CpuBackend(precision, threads) for precision in PRECISIONS for threads in sorted({1, available_threads()})
    ]
    if missing_for_gpu() is None:
        backends += [GpuBackend(precision) for precision in PRECISIONS]
    for backend in backends:
        out = backend.generate(table, seed=1, start=0, stop=CHUNK)

        def stream(backend: Backend = backend, out: Columns = out) -> int:
            for start in range(0, events, CHUNK):
                backend.generate(table, seed=1, start=start, stop=start + CHUNK, out=out)
            out["q2"][-1:].sum().item()  # a GPU works behind our back: wait for it
            return -(-events // CHUNK) * CHUNK

        threads = str(backend.threads) if isinstance(backend, CpuBackend) else ""
        rows.append((backend.name.upper(), backend.precision, threads, best_rate(stream, repeats)))
    return rows


def measure_chain(events: int = 1 << 23, repeats: int = 5) -> list[tuple[str, str, str, float]]:
    """Rows of (what, precision, threads, events a second) of the chain of a detector, in memory, chunk after chunk."""
    rows: list[tuple[str, str, str, float]] = []
    for precision in PRECISIONS:
        for threads in sorted({1, available_threads()}):
            card = make_card(
                channels=CHANNEL,
                model=MODEL,
                kpi="swave",
                beam="lhcb-13tev",
                selection="lhcb",
                events=events,
                precision=precision,
                threads=threads,
            )
            plan = plan_run(card)

            def stream(plan: Plan = plan) -> int:
                return sum(len(columns["q2"]) for columns in plan.chunks(plan.parts[0], reuse=True))

            stream()
            rows.append(("Kpi, momenta, cut", precision, str(threads), best_rate(stream, repeats)))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=2**23, help="events of a run")
    parser.add_argument("--repeats", type=int, default=5, help="runs, of which the fastest counts")
    options = parser.parse_args(arguments)
    size = max(int(options.events), 1), max(options.repeats, 1)
    rows = [*measure(*size), *measure_chain(*size)]
    slowest = rows[0][3]
    show_table(
        "",
        ("sampler", "precision", "threads", "M events/s", "ratio"),
        [
            (device, precision, threads, f"{rate / 1e6:.1f}", f"{rate / slowest:.0f}")
            for device, precision, threads, rate in rows
        ],
    )


if __name__ == "__main__":
    main()
