"""The inner loops of validation against NumPy."""

import numpy as np
import pytest
from darkpenguin.generator.analysis.sums import BLOCK, MAX_BINS, sum_scalar, sum_vector
from darkpenguin.physics.densities import scalar_basis, vector_basis


def events(n, dtype, seed=5):
    rng = np.random.default_rng(seed)
    columns = (rng.uniform(0.1, 19, n), rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n))
    flavour = rng.choice(np.array([1, -1], dtype=np.int32), n)
    return [column.astype(dtype) for column in columns], flavour


def expected(functions, q2, flavour, edges):
    """Sums by bin and flavour, the plain way."""
    bins = np.clip(np.searchsorted(edges, q2, side="right") - 1, 0, len(edges) - 2)
    sums = np.zeros((2, len(edges) - 1, len(functions)))
    for row, sign in enumerate((1, -1)):
        for i, function in enumerate(functions):
            chosen = flavour == sign
            sums[row, :, i] = np.bincount(bins[chosen], function[chosen], minlength=len(edges) - 1)
    return sums


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n_bins", [1, 2, 3, 50, MAX_BINS])
@pytest.mark.parametrize("n", [0, 1, BLOCK, 3 * BLOCK + 17])
def test_sums_are_those_of_numpy(n, n_bins, dtype):
    (q2, k, c, phi), flavour = events(n, dtype)
    edges = np.linspace(0.05, 19.05, n_bins + 1)
    whole = np.array([0.0]), np.array([20.0])
    wide = [array.astype(np.float64) for array in (q2, k, c, phi)]
    for functions, kernel, arrays in (
        (vector_basis(*wide[1:]), sum_vector, (q2, k, c, phi)),
        (scalar_basis(wide[2]), sum_scalar, (q2, c)),
    ):
        sums, bad = np.zeros((2, n_bins, len(functions))), np.zeros(2, dtype=np.int64)
        kernel(*arrays, flavour, edges, *whole, sums, bad)
        # float64 sums in another order: some ulp of a thousand
        np.testing.assert_allclose(sums, expected(functions, wide[0], flavour, edges), rtol=0, atol=1e-10)
        assert bad.tolist() == [0, 0]


def test_what_cannot_be_added_is_counted_and_left_out():
    (q2, k, c, phi), flavour = events(100, "f8")
    q2[:5], k[5], c[6], phi[7], flavour[8], k[9], q2[10] = 9.0, 1.5, np.nan, np.inf, 0, np.nan, -1.0
    edges, intervals = np.linspace(0.05, 19.05, 11), (np.array([0.05, 11.0]), np.array([8.0, 19.05]))
    vetoed = int(((q2 > 8) & (q2 < 11))[11:].sum()) + 5
    sums, bad = np.zeros((2, 10, 12)), np.zeros(2, dtype=np.int64)
    sum_vector(q2, k, c, phi, flavour, edges, *intervals, sums, bad)
    assert bad.tolist() == [6, vetoed]
    assert sums[:, :, :2].sum() == pytest.approx(100 - 6 - vetoed, abs=1e-10)
    sums, bad = np.zeros((2, 10, 3)), np.zeros(2, dtype=np.int64)
    sum_scalar(q2, c, flavour, edges, *intervals, sums, bad)
    assert bad[0] == 3  # NaN in cos, flavour 0, negative q2
    assert sums[:, :, 0].sum() == 100 - bad.sum()
