"""The benchmarks run, on small sizes, and their report compares what it should; no test looks at a time."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture
def bench(monkeypatch):
    """The driver and its cases, which are scripts beside this file."""
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("bench_driver", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for name in ("cases", "accept_reject", "to_disk"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "case",
    ["numpy", "sampler", "weigh-cpu", "sampler32-1", "ttree64", "bare-rntuple32", "predict", "binned-toys", "plane"],
)
def test_a_case_makes_what_it_says(bench, case):
    from cases import CASES

    assert CASES[case].prepare(1000)() >= 1


def test_writing_is_compared_with_uproot_alone(bench):
    import to_disk

    found = to_disk.main("1000", "1", formats=("rntuple",))
    assert set(found) == {"rntuple float64", "rntuple float32"}
    assert all(ratios["CPU"] > 0 and ratios["clock"] > 0 for ratios in found.values())


def test_cases_of_a_gpu(bench, cupy):
    """On the stand-in: the cases make events there, and are measured where they can be."""
    from cases import CASES

    assert CASES["sampler32-gpu"].prepare(1000)() == 1000
    assert "chain32-gpu" in bench.default_cases()


def test_cases_of_a_gpu_are_left_out_without_one(bench, monkeypatch):
    from darkpenguin.generator.sampler import backend

    monkeypatch.setattr(backend, "missing_for_gpu", lambda: "no GPU")
    assert not any(name.endswith("-gpu") for name in bench.default_cases())


def test_every_case_says_what_it_is(bench):
    assert all(row.what and row.unit in ("events/s", "events/CPU s", "1/s") for row in bench.CASES.values())


def test_accept_reject_agrees_with_the_sampler(bench):
    """What the rate is compared with samples the same density: mean q2 and cos theta_l within five errors."""
    import darkpenguin as dp
    import numpy as np
    from accept_reject import AcceptReject
    from cases import _table

    sampler = AcceptReject(_table())
    q2, _, cos_theta_l, *_ = sampler.generate(np.random.default_rng(1), 1 << 20)
    model = dp.apply_settings(dp.get_model("fig2"), ["light_vectors.0.relative_width=0.001"])
    ours = dp.generate("B0->K*0mumu", model=model, events=2e5, seed=3)
    assert sampler.exceeded == 0
    for a, b in ((q2, ours["q2"]), (cos_theta_l, ours["cos_theta_l"])):
        error = np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5)
        assert abs(a.mean() - b.mean()) < 5 * error


def test_the_report_has_the_ratios(bench):
    best = {"numpy": {"here": 1e6}, "sampler": {"here": 2e8, "v0": 1e8}}
    assert "x200 NumPy  x2.00 of v0" in bench.line("sampler", best["sampler"], best)


def test_cases_that_are_compared_take_turns(bench):
    groups = bench.together(["numpy", "imports", "first", "chain", "first-chain"])
    assert groups == [["numpy"], ["imports", "first", "first-chain"], ["chain"]]


def test_nothing_is_left_on_the_disk(tmp_path):
    command = [sys.executable, FOLDER / "cases.py", "ttree64", "1000", "1"]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
