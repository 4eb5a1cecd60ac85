"""Luminosity for a target: against formulas, on both sides of every edge."""

import math

import numpy as np
import pytest
from darkpenguin.generator.toys.reach import FARTHEST, reach


@pytest.mark.parametrize("own", [0.5, 9.0, 5e4])
def test_the_root_of_luminosity_and_what_systematics_make_of_it(own):
    """z = c √L, and with a floor: z² = L/(1 + L/L0), which ends at √L0."""
    assert reach(lambda x: 2.0 * math.sqrt(x), 5.0, own) == pytest.approx(6.25, rel=1e-5)
    assert reach(lambda x: math.sqrt(x / (1 + x / 26.0)), 5.0, own) == pytest.approx(25 * 26 / (26 - 25), rel=1e-4)
    assert reach(lambda x: math.sqrt(x / (1 + x / 24.9)), 5.0, own) == math.inf


def test_a_significance_that_starts_with_nothing():
    """Where the determinant of a covariance wins over little data q is negative, the significance zero."""
    assert reach(lambda x: math.sqrt(max(x - 10.0, 0.0)), 3.0, 1.0) == pytest.approx(19.0, rel=1e-5)


def test_edges_of_what_is_tried():
    for factor, found in ((0.999, True), (1.001, False)):
        z = reach(lambda x, f=factor: math.sqrt(x / (f * FARTHEST * 3.0)), 1.0, 3.0)
        assert (z == pytest.approx(factor * FARTHEST * 3.0, rel=1e-4)) if found else z == math.inf
    assert reach(lambda x: 0.0, 5.0, 1.0) == math.inf
    assert reach(lambda x: 7.0, 5.0, 1.0) == pytest.approx(1e-9)  # known without data


def test_it_takes_few_evaluations():
    seen = []
    reach(lambda x: seen.append(x) or math.sqrt(x / (1 + x / 40.0)), 5.0, 300.0)
    assert len(seen) <= 12
    assert np.all(np.diff(sorted(seen)) > 0)  # none twice
