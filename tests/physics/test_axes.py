"""Fields of the model that take values: one type, one parser of each text, one way to apply."""

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.axes import Axis, Tie, grid, moved, read_axis, read_tie, read_value, tied
from darkpenguin.physics.models import get_model

MASS, G_V, G_A = "light_vectors.0.mass", "light_vectors.0.g_mu_v", "light_vectors.0.g_mu_a"


def test_texts_are_read_as_they_are_written():
    assert read_axis(f" {MASS} , 1.5, 3.2 ,18", "versus") == Axis(key=MASS, min=1.5, max=3.2, points=18)
    assert read_axis(f"{MASS},1.5,3.2", "x", 7) == Axis(key=MASS, min=1.5, max=3.2, points=7)
    assert read_value(f"{G_V} = -1e-8", "limit", "") == (G_V, -1e-8)
    assert read_tie(f"{G_A} = -0.44 * {G_V}") == Tie(key=G_A, of=G_V, factor=-0.44)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{MASS},1.5,3.2", r"versus = 'light_vectors.0.mass,1.5,3.2': write KEY,MIN,MAX,POINTS, say light_v"),
        (f"{MASS},1.5,3.2,many", "write KEY,MIN,MAX,POINTS"),
        (f"{MASS},3.2,1.5,4", "versus: min = 3.2 must be below max = 1.5"),
        (f"{MASS},1.5,3.2,0", "versus.points = 0"),
        (f"{MASS},1.5,nan,3", "versus.max = nan"),
    ],
)
def test_mistakes_in_an_axis_are_named(text, message):
    with pytest.raises(InputError, match=message):
        read_axis(text, "versus")


def test_other_mistakes_are_named():
    with pytest.raises(InputError, match=r"x = .*: write KEY,MIN,MAX, say light_vectors.0.mass,1.5,3$"):
        read_axis(MASS, "x", 10)
    with pytest.raises(InputError, match=r"limit = .*: write KEY=VALUE with a number, say a=2"):
        read_value("a=b", "limit", "a=2")
    with pytest.raises(InputError, match=r"tie = .*: write KEY=FACTOR\*KEY"):
        read_tie("a=b*c")
    with pytest.raises(InputError, match="did you mean mass"):
        moved(get_model("fig2"), {"light_vectors.0.mas": 2.0})


def test_numbers_arrive_to_the_last_bit():
    """Also those of NumPy, whose text is not a number's."""
    for value in (np.float64(0.1) / 3, 1 / 7, -1.5e-8):
        assert moved(get_model("fig2"), {G_V: value}).light_vectors[0].g_mu_v == value


def test_what_follows_moves_along_numbers_or_arrays():
    ties = [Tie(key=G_A, of=G_V, factor=-0.5)]
    assert tied({G_V: 0.2, MASS: 2.0}, ties) == {G_V: 0.2, MASS: 2.0, G_A: -0.1}
    assert tied({MASS: 2.0}, ties) == {MASS: 2.0}
    assert tied({G_V: np.array([1.0, 2.0])}, ties)[G_A].tolist() == [-0.5, -1.0]


def test_a_grid_has_the_last_axis_fastest():
    axes = [Axis(key="a", min=1, max=100, points=3, scale="log"), Axis(key="b", min=0, max=1, points=2)]
    assert grid(axes).tolist() == [[1, 0], [1, 1], [10, 0], [10, 1], [100, 0], [100, 1]]
    assert grid([]).shape == (1, 0)
