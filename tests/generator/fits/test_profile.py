"""Profiles are minima over the other fields: by brute force, by MINOS."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.fits.profile import profile

COUPLING, C9 = "light_vectors.0.g_bs", "heavy.C9_mu"


@pytest.fixture(scope="module")
def found():
    sample = dp.generate("B+->K+mumu", "fig2", events=3000, q2=[(1.1, 8.0)], seed=5)
    return dp.fit(sample, model="fig2", float={COUPLING: (-6e-8, 6e-8), C9: (-3, 3)}, minos=True)


def test_a_profile_is_that_of_brute_force_and_of_minos(found):
    along = profile(found, COUPLING, points=5, reach=1.5)
    assert along.rise[2] == pytest.approx(0.0, abs=2e-3)
    place = along.places[0][4]
    grid = [found.likelihood(place, c9) for c9 in np.linspace(-3.0, 3.0, 1201)]
    assert along.rise[4] == pytest.approx(min(grid) - found.minimum, abs=0.02)
    ends = [found[0].value + found[0].lower, found[0].value + found[0].upper]
    rises = [profile(found, COUPLING, points=2, reach=abs(end - found[0].value) / found[0].error).rise for end in ends]
    assert rises[0][0] == pytest.approx(1.0, abs=0.03)
    assert rises[1][1] == pytest.approx(1.0, abs=0.03)


def test_a_plane_is_the_likelihood_itself_where_nothing_else_floats(found):
    plane = profile(found, COUPLING, C9, points=3, reach=1.0)
    assert plane.rise.shape == (3, 3)
    assert plane.rise[0, 2] == found.likelihood(plane.places[0][0], plane.places[1][2]) - found.minimum
    assert len(plane.to_pandas()) == 9
    assert len(dp.figure(plane).axes) == 1


@pytest.mark.parametrize("names", [(), ("heavy.C9",), (C9, C9)])
def test_other_fields_are_refused(found, names):
    with pytest.raises(InputError, match="profile"):
        profile(found, *names)


def test_a_profile_needs_places(found):
    with pytest.raises(InputError, match="at least 2 points"):
        profile(found, C9, points=1)
