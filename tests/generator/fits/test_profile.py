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
    assert len(dp.figure(plane).axes) == 2  # and the scale of its colours


@pytest.mark.parametrize("names", [(), ("heavy.C9",), (C9, C9)])
def test_other_fields_are_refused(found, names):
    with pytest.raises(InputError, match="profile"):
        profile(found, *names)


def test_a_profile_needs_places(found):
    with pytest.raises(InputError, match="at least 2 points"):
        profile(found, C9, points=1)


def test_a_range_is_where_it_says_and_a_valley_is_followed(found):
    """At -2e-8 the mirror solution in C9 is the lower one, by 0.9."""
    along = profile(found, f"{COUPLING},-2e-8,0,2")
    assert along.places[0].tolist() == [-2e-8, 0.0]
    grid = np.linspace(-3.0, 3.0, 61)
    brute = [min(found.likelihood(g, c9) for c9 in grid) - found.minimum for g in along.places[0]]
    assert np.all(along.rise < np.array(brute) + 1e-3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (f"{COUPLING},-4e-8", "KEY,MIN,MAX,POINTS"),
        (f"{COUPLING},-9e-8,0,3", "not within -6e-08 to 6e-08"),
        (f"{COUPLING},0,1e-8,1", "at least 2"),
        ("light_vectors.0.g_b,0,1e-8,3", "did you mean light_vectors.0.g_bs"),
    ],
)
def test_a_range_that_cannot_be_is_one_line(found, name, words):
    with pytest.raises(InputError, match=words):
        profile(found, name)


def test_correlations_are_of_the_covariance(found):
    told = found.to_dict()["correlation"]
    assert told[0][0] == pytest.approx(1.0)
    a, b = np.sqrt(np.diag(found.covariance))
    assert told[0][1] == pytest.approx(found.covariance[0, 1] / a / b, rel=1e-9)
