"""The angular functions: written once, the same for arrays and for compiled loops, and those of the literature."""

import numpy as np
import pytest
from darkpenguin.generator.sampler import event
from darkpenguin.physics import angular_functions as formulas
from darkpenguin.physics.densities import kpi_basis, vector_basis

RNG = np.random.default_rng(3)
K, L, PHI = np.arccos(RNG.uniform(-1, 1, 50)), np.arccos(RNG.uniform(-1, 1, 50)), RNG.uniform(-np.pi, np.pi, 50)
#    eq. (3.21) of arXiv:0811.1214 and eq. (4) of arXiv:1209.1525, in the angles themselves
WRITTEN = np.stack([
    np.sin(K) ** 2, np.cos(K) ** 2, np.sin(K) ** 2 * np.cos(2 * L), np.cos(K) ** 2 * np.cos(2 * L),
    np.sin(K) ** 2 * np.sin(L) ** 2 * np.cos(2 * PHI), np.sin(2 * K) * np.sin(2 * L) * np.cos(PHI),
    np.sin(2 * K) * np.sin(L) * np.cos(PHI), np.sin(K) ** 2 * np.cos(L), np.cos(K) ** 2 * np.cos(L),
    np.sin(2 * K) * np.sin(L) * np.sin(PHI), np.sin(2 * K) * np.sin(2 * L) * np.sin(PHI),
    np.sin(K) ** 2 * np.sin(L) ** 2 * np.sin(2 * PHI),
    np.cos(K), np.cos(K) * np.cos(2 * L), np.cos(K) * np.cos(L), np.sin(K) * np.sin(2 * L) * np.cos(PHI),
    np.sin(K) * np.sin(L) * np.cos(PHI), np.sin(K) * np.sin(L) * np.sin(PHI), np.sin(K) * np.sin(2 * L) * np.sin(PHI),
])  # fmt: skip


def arguments(real):
    ck, cl = np.cos(K).astype(real), np.cos(L).astype(real)
    sk2, sl2 = 1 - ck * ck, 1 - cl * cl
    return ck, sk2, cl, sl2, np.sqrt(sk2 * sl2), np.sin(PHI).astype(real), np.cos(PHI).astype(real)


def test_the_functions_are_those_of_the_papers():
    np.testing.assert_allclose(kpi_basis(np.cos(K), np.cos(L), PHI), WRITTEN, rtol=0, atol=2e-15)
    np.testing.assert_array_equal(vector_basis(np.cos(K), np.cos(L), PHI), kpi_basis(np.cos(K), np.cos(L), PHI)[:12])
    assert formulas.scalar_functions(np.ones(50), np.cos(L))[2] == pytest.approx(np.cos(L) ** 2, rel=0, abs=1e-16)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_arrays_and_compiled_loops_share_them(real):
    """Compiled functions may contract a product and a sum, plain ones may not: an ulp of one apart."""
    array = arguments(real)
    ck, _, cl, sl2, *rest = array
    for plain, compiled, columns in (
        (formulas.vector_functions, event.vector_functions, array),
        (formulas.interference_functions, event.interference_functions, (ck, cl, sl2, *rest)),
        (formulas.scalar_functions, event.scalar_functions, (np.ones(50, real), cl)),
    ):
        whole = plain(*columns)
        assert {f.dtype for f in whole} == {np.dtype(real)}  # no constant raises the precision
        one_by_one = np.array([compiled(*(c[i] for c in columns)) for i in range(50)]).T
        np.testing.assert_allclose(one_by_one, np.stack(whole), rtol=0, atol=2 * np.finfo(real).eps)


def test_events_of_toys_have_them_too():
    found = np.array([event.angular_functions(np.float64, *x) for x in zip(np.cos(K), np.cos(L), PHI, strict=True)])
    np.testing.assert_allclose(found.T, WRITTEN[:12], rtol=0, atol=4e-15)
