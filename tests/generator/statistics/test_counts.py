"""Count models: the polynomial, nuisance effects, fixing couplings."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.counts import CountModel, monomial_values, monomials
from darkpenguin.kinematics.base.errors import InputError


@pytest.fixture
def model() -> CountModel:
    rng = np.random.default_rng(3)
    signal = rng.uniform(1.0, 2.0, (5, 6)) * np.array([100.0, 5, 5, 1, 1, 1])
    return CountModel(
        signal,
        ("x", "y"),
        rng.uniform(1, 5, 5),
        ("a", "b"),
        rng.normal(0, 0.1, (2, 5)),
        rng.normal(0, 0.1, (2, 5)),
        [[0.0, 0.0], [1.0, 1.0]],
    )


def test_expected_is_the_formula_of_the_docstring(model):
    g, theta = np.array([0.7, -1.2]), np.array([0.5, -0.3])
    by_hand = np.zeros(5)
    for factors, column in zip(monomials(2), model.signal.T, strict=True):
        by_hand += column * np.prod([g[i] for i in factors])
    background = model.background * np.exp(theta @ model.background_effects)
    by_hand = by_hand * np.exp(theta @ model.effects) + background
    np.testing.assert_allclose(model.expected(g, theta), by_hand, rtol=1e-14)
    batch = model.expected(np.tile(g, (3, 1)), np.tile(theta, (3, 1)))
    np.testing.assert_allclose(batch, np.tile(by_hand, (3, 1)), rtol=1e-14)


def test_fixing_a_coupling_changes_nothing_else(model):
    theta = np.array([0.1, 0.2])
    for fixed, free in (({"x": 0.4}, [-0.6]), ({"y": -0.6}, [0.4]), ({"x": 0.4, "y": -0.6}, [])):
        whole = model.expected([0.4, -0.6], theta)
        np.testing.assert_allclose(model.fix(**fixed).expected(free, theta), whole)


def test_scaling_and_selecting_bins(model):
    g = [0.3, 0.2]
    np.testing.assert_allclose(model.scaled(3.0).expected(g), 3.0 * model.expected(g))
    np.testing.assert_allclose(model.select([1, 4]).expected(g), model.expected(g)[[1, 4]])


def test_monomials_are_in_the_stated_order():
    np.testing.assert_array_equal(monomial_values([2.0, 3.0, 5.0]), [1, 2, 3, 5, 4, 6, 10, 9, 15, 25])


def test_wrong_shapes_are_refused(model):
    with pytest.raises(InputError, match="signal has shape"):
        CountModel([[1.0, 2.0]], ("x",))
    with pytest.raises(InputError, match="no such coupling"):
        model.fix(z=1.0)
    with pytest.raises(InputError, match="couplings has shape"):
        model.expected([1.0])
    with pytest.raises(InputError, match="not finite"):
        CountModel([[np.nan]])
    with pytest.raises(InputError, match="positive"):
        model.scaled(0.0)
