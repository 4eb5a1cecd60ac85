"""The profile likelihood by array code, on the stand-in for CuPy, against the CPU's compiled loops."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from darkpenguin.generator.toys import profile, profile_gpu
from darkpenguin.generator.toys.profile import make_cells
from darkpenguin.generator.toys.run import ToysCard, plan_toys

# two ratios, a cell of two counts, a single count; common, shared and local parameters, with backgrounds of their own
CELLS, FREE = [(0, 1), (2, 3), (4, 5), (6,)], [True, True, False, False]
NEAR = 2e-6  # of -2 ln L: both stop where the expected gain of a step is below


def problem(seed, excess=1.0, toys=12):
    """Arguments of `profiled`: counts as expected or far from it, some of them zero."""
    known = np.random.default_rng(seed)
    effects, tilts, shifts = np.zeros((7, 7)), np.zeros((7, 7)), np.zeros((7, 2))
    effects[0], effects[1, [1, 3, 5]], effects[2, 1] = 0.05, 0.04, 0.1
    effects[3, [4, 6]], effects[4, 5] = known.normal(0, 0.1, 2), 0.07
    tilts[5, [1, 3, 5]], tilts[6, 6] = [0.2, 0.1, 0.15], 0.3
    shifts[3] = [0.05, -0.02]
    signal, background = known.uniform(20, 300, (2, 7)), known.uniform(5, 60, 7)
    background[[0, 4]] = 0.0
    counts = known.poisson(excess * (signal[0] + background), (toys, 7)).astype(float)
    counts[:4] = known.poisson(0.4, (4, 7))
    cells = make_cells(CELLS, FREE, effects, tilts, np.any(shifts != 0, axis=1))
    inverse = np.linalg.inv(np.array([[0.01, 0.003], [0.003, 0.02]]))
    pairs = np.tile(np.arange(toys), 2), np.repeat(np.arange(2), toys)
    angular = known.normal(0, 0.1, (2 * toys, 2)), np.stack([inverse, 2 * inverse])
    return (
        cells,
        counts[:, cells.bins],
        signal[:, cells.bins],
        background[cells.bins],
        known.normal(0, 1, (toys, 7))[:, cells.nuisances],
        (*angular, shifts[cells.nuisances[: cells.common]]),
        *pairs,
    )


@pytest.mark.parametrize("excess", [1.0, 0.15, 5.0])
def test_minima_are_those_of_the_cpu(cupy, monkeypatch, excess):
    """Near the counts and far from them, in several portions; and not with other norms."""
    parts = problem(3, excess)
    expected = profile.profiled(*parts)
    assert np.isfinite(expected).all()
    monkeypatch.setattr(profile_gpu, "PORTION", 10)
    found = profile_gpu.profiled(cupy, *parts)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=NEAR)
    norm = profile_gpu._norm
    monkeypatch.setattr(profile_gpu, "STEPS", 8)
    monkeypatch.setattr(profile_gpu, "_norm", lambda *arguments: norm(*arguments) * 1.01)
    assert np.nanmax(np.abs(profile_gpu.profiled(cupy, *parts) - expected)) > 1e3 * NEAR


def test_one_step_is_that_of_the_cpu(cupy):
    parts = problem(4)
    expected = profile.profiled(*parts, rough=True)
    np.testing.assert_allclose(profile_gpu.profiled(cupy, *parts, rough=True), expected, rtol=1e-9)


def test_what_is_impossible_is_infinitely_unlikely(cupy):
    """Counts where nothing is expected; without angles, without nuisance parameters."""
    cells = make_cells([(0,), (1,)], [False, False], np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, dtype=bool))
    none = np.zeros((2, 0)), np.zeros((1, 0, 0)), np.zeros((0, 0))
    counts, signal = np.array([[3.0, 0.0], [3.0, 1.0]]), np.array([[2.0, 0.0]])
    arguments = cells, counts, signal, np.zeros(2), np.zeros((2, 0)), none, np.arange(2), np.zeros(2, dtype=int)
    found = profile_gpu.profiled(cupy, *arguments)
    np.testing.assert_allclose(found, profile.profiled(*arguments), rtol=1e-14)
    assert found[1] == np.inf


def test_hypotheses_of_toys_are_compared_on_the_device(cupy, monkeypatch):
    """With a mass and a coupling that float: every column is the CPU's to what both allow."""
    scan = {"light_vectors.0.mass": [2.0, 3.0, 3], "light_vectors.0.g_bs": [-3e-8, 3e-8, 3]}
    hypotheses = ["sm", {"model": "fig1-2.5gev", "scan": scan}]
    here = plan_toys(ToysCard(hypotheses=hypotheses, observables=("R_K+",), bins=(1.1, 3.0, 6.0), fit={}))
    there = replace(here, device="gpu")
    asked = []
    monkeypatch.setattr(profile_gpu, "_lowest", partial(seen, asked, profile_gpu._lowest))
    found, expected = there.rows(0, 4), here.rows(0, 4)
    assert asked
    assert all(kind is cupy.ndarray for kind in asked)
    np.testing.assert_allclose(found["q_1"], expected["q_1"], atol=1e-4)
    for name in ("best_1_mass", "best_1_g_bs"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, err_msg=name)


def seen(asked, work, place, data, rough):
    asked.append(type(data[0]))
    return work(place, data, rough)
