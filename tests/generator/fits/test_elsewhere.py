"""Global significance of unbinned fits: the extrapolation beside brute-force toys, and a V that is there."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.fits.elsewhere import global_significance
from darkpenguin.generator.statistics.elsewhere import elsewhere_p_value

COUPLING, MASS = "light_vectors.0.g_bs", "light_vectors.0.mass"
CARD = {"model": "fig2", "float": {COUPLING: (-6e-8, 6e-8)}}


def test_a_vector_that_is_there_is_significant():
    sample = dp.generate("B+->K+mumu", "fig2", events=500, q2=[(1.1, 8.0)], seed=4)
    found = global_significance(sample, CARD, COUPLING, [f"{MASS},2.2,2.8,3"], toys=10)
    assert found.at == {MASS: 2.5}
    assert found.p_value < 1e-4
    assert found.local > found.significance > 3.0
    assert found.p_toys == 0.0
    assert len(dp.figure(found).axes) == 1


def test_what_cannot_be_sought_is_one_line():
    sample = dp.generate("B+->K+mumu", "sm", events=100, q2=[(1.1, 8.0)], seed=4)
    for how, words in (({"toys": 3}, "at least 10"), ({"versus": []}, "one or two"), ({"coupling": "x"}, "float")):
        keys = {"coupling": COUPLING, "versus": [f"{MASS},2,2.5,2"], **how}
        with pytest.raises(InputError, match=words):
            global_significance(sample, CARD, **keys)


@pytest.mark.slow
def test_few_toys_say_what_many_count():
    """Of the first 20 toys the extrapolation to q = 4, of all 50 the count: within 4.9 binomial errors of both."""
    sample = dp.generate("B+->K+mumu", "sm", events=200, q2=[(1.1, 8.0)], seed=4)
    found = global_significance(sample, CARD, COUPLING, [f"{MASS},1.3,2.7,7"], toys=50)
    largest, level = found.records()["maximum"], 4.0
    counted = np.mean(largest >= level)
    guess = elsewhere_p_value(found.fields[:20], level)
    error = np.sqrt(counted * (1 - counted) / 50) + np.sqrt(guess * 0.5 / 20)
    assert 0.06 < counted < 0.6  # more than 0.0455 of one mass
    assert abs(guess - counted) < 4.9 * error
