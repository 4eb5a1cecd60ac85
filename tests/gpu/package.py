"""Checks that take the package: its runs, histograms, toys and files on the GPU against those of the CPU."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import darkpenguin as dp
import numpy as np
import uproot
from card import NOT_MEASURED, STAND_IN
from darkpenguin.generator.toys.run import ToysCard, plan_toys

EVENTS = 4000 if STAND_IN else 2_000_000
CHANNELS = ["B0->K*0mumu", "B+->K+ee"]
CUTS = {"cuts": ["pt(k) > 0.5"], "mode": "reject"}
RUNS = {
    "momenta": {"beam": "belle2"},
    "float32": {"beam": "lhcb-13tev", "precision": "float32"},
    "radiation": {"beam": "lhcb-13tev", "resolution": "lhcb", "theory": {"radiation": "leading-log"}},
    "kaons": {"channels": ["B0->K0mumu"], "beam": "belle2", "kaons": "mixed"},
    "part": {"range": [1234, 3456]},
    "Kpi": {"channels": ["B0->K*0mumu"], "kpi": "swave", "q2": [[1, 6]]},
    "resolution": {"beam": "lhcb-13tev", "resolution": "lhcb", "selection": "lhcb"},
    "efficiency": {"beam": "lhcb-13tev", "selection": CUTS, "efficiency": {"maps": {"all": "0.5"}, "mode": "weight"}},
}
"""Every stage, by keys of a run card."""
FLIPS = 1e-5
"""Events that may be others: choices within rounding of a threshold, in the sampler and in cuts."""


def different(found, expected, tolerance):
    """Events in which a column differs by more than rounding; all of them if their numbers do."""
    if found.names != expected.names or len(found) != len(expected):
        return max(len(found), len(expected))
    off = np.zeros(len(expected), dtype=bool)
    for name in expected.names:
        one, other = found[name].astype(np.float64), expected[name].astype(np.float64)
        scale = 1 + np.nanmax(np.abs(other), initial=0.0)
        off |= ~((np.abs(one - other) <= tolerance * scale) | ((one != one) & (other != other)))
    return int(off.sum())


def runs(proof, report):
    """Runs of the package with every stage: the CPU's events."""
    for name, given in RUNS.items():
        keys = {"channels": CHANNELS, "events": EVENTS, "seed": 3, "model": "fig2", **given}
        expected = dp.generate(keys, device="cpu")
        dp.generate({**keys, "events": 4000}, device="gpu")  # what is compiled once
        began = time.perf_counter()
        found = dp.generate(keys, device="gpu")
        took = time.perf_counter() - began
        off = different(found, expected, 1e-5 if "precision" in keys else 1e-10)
        rate = NOT_MEASURED if STAND_IN else float(f"{len(found) / took:.4g}")
        report.numbers[name] = {"events": len(found), "other": off, "events_per_second": rate}
        report.line(f"{name:12s} {len(found):>10,} events, {off} others than the CPU's")
        report.expect("GPU" in found.provenance["backend"], f"{name}: not made on the GPU")
        report.expect(off <= FLIPS * len(expected), f"{name}: {off} events are others than the CPU's")


def histograms(proof, report):
    """A run reduced to histograms, and a weighted one: the CPU's."""
    reduce = {
        "q2": {"axes": {"column": "q2", "bins": 50, "min": 0, "max": 20}},
        "mean": {"axes": {"column": "q2", "edges": [0.1, 1, 6, 20]}, "weight": "cos_theta_l", "select": "q2 > 0.2"},
    }
    with tempfile.TemporaryDirectory() as folder:
        for device in ("cpu", "gpu"):
            output = str(Path(folder) / f"{device}.root")
            dp.run("B+->K+mumu", events=EVENTS, seed=3, device=device, reduce=reduce, output=output)
        with uproot.open(Path(folder) / "cpu.root") as one, uproot.open(Path(folder) / "gpu.root") as other:
            for name in reduce:
                off = np.abs(one[name].values(flow=True) - other[name].values(flow=True)).max()
                report.numbers[name] = {"largest_difference": float(off)}
                report.expect(off <= max(1e-6, 2 * FLIPS * EVENTS), f"{name}: a bin differs by {off:g}")
    report.line(f"{EVENTS:,} events in {len(reduce)} histograms")


def toys(proof, report):
    """Toys of events, of counts and behind a detector, fitted: the CPU's."""
    few = {"observables": ["R_K+"], "hypotheses": ["sm"]}
    seen = {"depth": "events", "detector": {"efficiency": {"all": "0.5"}, "resolution": {"e": 0.5}}}
    for words in ({"depth": "events"}, {"depth": "binned", **few}, {**seen, **few}):
        run = plan_toys(ToysCard(dataset="lhcb-run12", **words), device="gpu")
        found, expected = run.rows(0, 4), replace(run, device="cpu").rows(0, 4)
        for name, column in expected.items():
            off = ~np.isclose(found[name], column, rtol=1e-6, atol=1e-8, equal_nan=True)
            report.expect(
                not off.any(), f"{', '.join(words)}: {name}: {int(off.sum())} of {off.size} are not the CPU's"
            )
    report.line(f"{len(expected)} columns of 4 toys, three times")


def fits(proof, report):
    """An unbinned fit of the package: the CPU's values and errors."""
    events = EVENTS // 10
    sample = dp.generate("B0->K*0mumu", "fig2", events=events, seed=3, q2=[(1.1, 8.0)], device="cpu")
    keys = {"model": "fig2", "float": {"heavy.C9_mu": (-3.0, 3.0)}}
    began = time.perf_counter()
    expected = dp.fit(sample, **keys, device="cpu")
    middle = time.perf_counter()
    found = dp.fit(sample, **keys, device="gpu")
    took = {"cpu_seconds": middle - began, "gpu_seconds": time.perf_counter() - middle}
    report.numbers |= {name: NOT_MEASURED if STAND_IN else round(value, 2) for name, value in took.items()}
    off = max(abs(a.value - b.value) / b.error for a, b in zip(found, expected, strict=True))
    report.line(f"{events:,} events, {off:.1g} errors from the CPU's")
    report.expect(found.converged and off < 0.01, f"the fit differs by {off:.1g} of its error")


def files(proof, report):
    """A file of ROOT made on the GPU is what its provenance says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.root"
        began = time.perf_counter()
        dp.run("B0->K*0mumu", model="fig2", events=EVENTS, seed=5, device="gpu", output=str(path))
        took = time.perf_counter() - began
        verdict = dp.validate(path)
    report.numbers["run"] = {
        "events": EVENTS,
        "events_per_second": NOT_MEASURED if STAND_IN else float(f"{EVENTS / took:.4g}"),
        "p_value": verdict.p_value,
    }
    report.line(f"{EVENTS:,} events, p-value times tests {verdict.p_value:.3g}")
    report.expect(verdict.passed, f"the file is not what it should be: p-value {verdict.p_value:g}")


CHECKS = {
    "runs": runs,
    "histograms": histograms,
    "toys of the package": toys,
    "fit of the package": fits,
    "files of the package": files,
}
