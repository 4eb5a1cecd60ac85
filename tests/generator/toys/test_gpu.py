"""Toys on a GPU without a card: kernels run on the host against the CPU's loops, compiled for three generations."""

from dataclasses import replace

import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.sampler.backend import missing_for_gpu
from darkpenguin.generator.sampler.tables import build_table
from darkpenguin.generator.statistics.draws import EVENTS, draw_poisson, stream_word
from darkpenguin.generator.toys import gpu
from darkpenguin.generator.toys import run as toy_run
from darkpenguin.generator.toys.moments import event_moments
from darkpenguin.generator.toys.run import ToysCard, plan_toys

MEANS = np.array([0.0, 0.5, 3.0, 9.9, 10.1, 55.0, 4000.0])
EDGES = np.array([0.2, 0.4, 0.9])
NUMBERS = np.array([0, 1, 70, 3000])


def vector_coefficients(q2):
    """Twelve J_i, a transverse and a longitudinal rate and small interference: positive."""
    small = [0.08 * np.sin(k * q2 + k) for k in range(8)]
    return np.stack([0.75 + 0 * q2, 0.7 + q2, 0.25 + 0 * q2, -0.6 - q2, *small])


@pytest.fixture(scope="module")
def tables():
    return {
        "vector": build_table({1: vector_coefficients, -1: vector_coefficients}, [], 0.1, 1.0),
        "scalar": build_table(lambda q2: np.stack([1 + q2, 0.2 * np.sin(q2), -q2 / 2]), [], 0.1, 1.0, kind="scalar"),
    }


def test_counts_are_those_of_the_cpu(cupy):
    """Across toy 2^32, with one mean for all toys and with each its own."""
    first, n = 2**32 - 2000, 4000
    expected = draw_poisson(MEANS, seed=5, start=first, stop=first + n)
    for mean in (MEANS, np.tile(MEANS, (n, 1))):
        found = gpu.poisson_counts(mean, n, seed=5, start=first).get()
        assert (found != expected).sum() <= 2  # another logarithm at the edge of an acceptance


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["vector", "scalar"])
def test_event_toys_are_those_of_the_cpu(cupy, tables, monkeypatch, kind, precision):
    """Counts equal, sums to rounding; the same bits in any portion of the toys."""
    keywords = {"seed": 5, "stream": stream_word(0, EVENTS, 3), "start": 3, "precision": precision}
    expected = event_moments(tables[kind], NUMBERS, EDGES, **keywords)
    found = event_moments(tables[kind], NUMBERS, EDGES, **keywords, device="gpu")
    np.testing.assert_array_equal(found.counts, expected.counts)
    tolerance = 1e-9 if precision == "float64" else 2e-3
    np.testing.assert_allclose(found.sums, expected.sums, rtol=0, atol=tolerance)
    monkeypatch.setattr(gpu, "_PORTION", 1)
    again = event_moments(tables[kind], NUMBERS, EDGES, **keywords, device="gpu")
    assert again.sums.tobytes() == found.sums.tobytes()


@pytest.mark.parametrize(
    "planted", [("e += SLICES", "e += SLICES + 1"), ("13 * SLICES", "12 * SLICES"), ("x >= edges", "x <= edges")]
)
def test_a_fault_in_a_kernel_is_seen(cupy, tables, monkeypatch, planted):
    source = gpu.PROGRAM.source
    assert planted[0] in source
    monkeypatch.setitem(gpu.PROGRAM.__dict__, "source", source.replace(*planted))
    with pytest.raises(AssertionError):
        test_event_toys_are_those_of_the_cpu(cupy, tables, monkeypatch, "vector", "float64")


@pytest.mark.parametrize(
    "capability", [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(120, marks=pytest.mark.slow)]
)
def test_device_code(nvrtc, capability):
    names = [
        "poisson_kernel",
        *(f"{kind}_toys<{real}>" for kind in ("vector", "scalar") for real in ("float", "double")),
    ]
    for name, code in nvrtc(gpu.PROGRAM.source, names, capability).items():
        print(f"{name}, sm_{capability}: {code.registers} registers")
        assert code.spilled == 0, name
        assert code.registers <= 96, name


DETECTOR = {"efficiency": {"all": "0.5"}, "resolution": {"e": 0.5}}


@pytest.mark.parametrize(
    "keys",
    [
        {"depth": "events", "likelihood": True},
        {"depth": "binned"},
        {"depth": "events", "observables": ["R_K+"], "detector": DETECTOR},
    ],
    ids=["events", "counts", "detector"],
)
def test_a_run_on_the_device_is_that_of_the_cpu(cupy, monkeypatch, keys):
    """All columns, to rounding: counts, ratios, fits of counts and angles; these two are made on the device."""
    run = plan_toys(ToysCard(dataset="lhcb-run12", **keys), device="gpu")
    assert run.device == "gpu"
    there, fit = [], toy_run.fit_counts
    monkeypatch.setattr(toy_run, "fit_counts", lambda model, n, a, **k: (there.append(n), fit(model, n, a, **k))[1])
    gpu_rows, cpu_rows = run.rows(0, 2), replace(run, device="cpu").rows(0, 2)
    assert [isinstance(counts, cupy.ndarray) for counts in there] == [True, False]
    for name, column in cpu_rows.items():
        assert isinstance(gpu_rows[name], np.ndarray)
        assert gpu_rows[name].dtype == column.dtype
        np.testing.assert_allclose(gpu_rows[name], column, rtol=1e-7, atol=1e-9, err_msg=name)


def test_a_device_that_is_not_there_is_named():
    if missing_for_gpu() is None:
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="device = 'gpu'"):
        plan_toys(ToysCard(), "gpu")
