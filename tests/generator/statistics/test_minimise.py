"""Minimisers of many rows at once against SciPy, one row after the other."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.minimise import CONVERGED, minimise, newton, parabolas
from scipy.optimize import minimize

RNG = np.random.default_rng(5)
LOW, HIGH = np.array([-2.0, -1.0]), np.array([2.0, 1.5])
CENTRES = RNG.uniform([-2.5, -1.5], [2.5, 2.0], size=(40, 2))  # some of them beyond the bounds


def valley(rows, x):
    """A curved valley that is not convex everywhere, with another minimum in each row."""
    a, b = x[:, 0] - CENTRES[rows, 0], x[:, 1] - CENTRES[rows, 1]
    return 3.0 * a**2 + 0.4 * a**4 + 2.0 * (b - 0.3 * a**2) ** 2 + 0.5 * np.cos(2.0 * b)


def scipys(row, start):
    found = minimize(
        lambda x: valley(np.array([row]), x[None])[0], start, bounds=list(zip(LOW, HIGH, strict=True)), tol=1e-12
    )
    return found.fun


def test_newton_within_bounds():
    """From a start near the valley's floor, as a grid gives: SciPy's value within the 1e-6 at which steps stop."""
    start = np.clip(CENTRES + 0.3, LOW, HIGH)
    lowest, place = newton(valley, start, LOW, HIGH)
    expected = np.array([scipys(row, start[row]) for row in range(len(CENTRES))])
    np.testing.assert_allclose(lowest, expected, rtol=0, atol=1e-5)
    assert ((place >= LOW) & (place <= HIGH)).all()
    np.testing.assert_allclose(valley(np.arange(len(place)), place), lowest, rtol=1e-12)
    assert (place == LOW).any()  # where minima lie beyond: a step that is only cut off there stops 4e-3 too high
    assert (place == HIGH).any()


def test_rows_do_not_depend_on_each_other():
    start = np.clip(CENTRES + 0.3, LOW, HIGH)
    lowest, place = newton(valley, start, LOW, HIGH)
    some = np.array([3, 17, 31])
    alone = newton(lambda rows, x: valley(some[rows], x), start[some], LOW, HIGH)
    np.testing.assert_array_equal(alone[0], lowest[some])
    np.testing.assert_array_equal(alone[1], place[some])


def test_a_row_that_is_not_a_number_stays_alone():
    def broken(rows, x):
        return np.where(rows == 2, np.nan, valley(rows, x))

    start = np.clip(CENTRES + 0.3, LOW, HIGH)
    lowest, _ = newton(broken, start, LOW, HIGH)
    others = np.delete(np.arange(len(start)), 2)
    assert np.isnan(lowest[2])
    np.testing.assert_array_equal(lowest[others], newton(valley, start, LOW, HIGH)[0][others])


def poisson(theta, n, mu, effects):
    rate = mu * np.exp(theta @ effects)
    return 2.0 * (rate - n * np.log(rate)).sum(axis=1) + (theta**2).sum(axis=1)


@pytest.mark.parametrize("variables", [1, 2])
def test_parabolas_of_nuisance_parameters(variables):
    """Counts with errors of a few per cent, as a ratio has: SciPy's minimum within 1e-5 of -2 ln L."""
    mu, effects = np.array([100.0, 250.0, 60.0]), np.array([[0.05, 0.05, 0.05], [0.03, -0.02, 0.01]])[:variables]
    n = RNG.poisson(1.08 * mu, size=(30, 3)).astype(float)
    found = parabolas(lambda theta: poisson(theta, n, mu, effects), np.zeros((30, variables)))
    expected = [
        minimize(lambda x, row=row: poisson(x[None], row[None], mu, effects)[0], np.zeros(variables), tol=1e-12).fun
        for row in n
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    bent = parabolas(lambda theta: poisson(theta, n, 1.05 * mu, effects), np.zeros((30, variables)))
    assert np.abs(bent - expected).max() > 1e-2


def test_minimise_with_derivatives():
    """Half the deviance of Poisson counts in one parameter, against SciPy."""
    n = RNG.poisson(30.0, size=(25, 4)).astype(float)
    shape = np.array([1.0, 0.8, 1.2, 1.1])

    def value(x, rows):
        return (np.exp(x) * shape - rows[0] * (x + np.log(shape))).sum(axis=1)

    def objective(x, rows):
        rate = np.exp(x) * shape
        slope, curvature = (rate - rows[0]).sum(axis=1, keepdims=True), rate.sum(axis=1, keepdims=True)
        return value(x, rows), slope, curvature[:, :, None], curvature

    x, _, lowest, status, _ = minimise(objective, value, (n,), np.full((25, 1), 2.0))
    assert (status == CONVERGED).all()
    np.testing.assert_allclose(x[:, 0], np.log(n.sum(axis=1) / shape.sum()), atol=1e-6)
    np.testing.assert_allclose(lowest, value(np.log(n.sum(axis=1) / shape.sum())[:, None], (n,)), atol=1e-9)
