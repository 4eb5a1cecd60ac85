"""Global significance: the extrapolation against fields made by brute force, over one and two parameters."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.elsewhere import elsewhere_p_value, euler_characteristic
from darkpenguin.kinematics.base.errors import InputError
from scipy import ndimage


def smooth(toys, shape, width, seed):
    """Squares of Gaussian fields of unit variance that are smooth over so many points."""
    noise = np.random.default_rng(seed).normal(size=(toys, *(n + 8 * int(width) for n in shape)))
    for axis in range(1, noise.ndim):
        noise = ndimage.gaussian_filter1d(noise, width, axis=axis)
    middle = (slice(None), *(slice(4 * int(width), 4 * int(width) + n) for n in shape))
    field = noise[middle]
    return (field / field.std()) ** 2


@pytest.mark.parametrize(("shape", "width", "toys"), [((80,), 5.0, 20_000), ((30, 24), 4.0, 8000)])
def test_few_toys_tell_the_tail_of_many(shape, width, toys):
    """400 toys against thousands counted: at q = 12, p of 0.01 and 0.03, counted to 7 %."""
    many = smooth(toys, shape, width, seed=3)
    counted = np.mean(many.reshape(len(many), -1).max(axis=1) > 12.0)
    found = elsewhere_p_value(many[:400], 12.0)
    assert found == pytest.approx(counted, rel=0.35)
    assert elsewhere_p_value(many, 12.0) == pytest.approx(counted, rel=0.2)
    # bent: one place alone has a p-value many times smaller
    assert elsewhere_p_value(many[:400].reshape(400, -1)[:, :1], 12.0) < 0.2 * counted


def test_euler_characteristic_of_shapes():
    """A ring has a hole, two rings have two, and two solid regions none."""
    ring = np.ones((3, 3))
    ring[1, 1] = 0
    two = np.zeros((3, 7))
    two[:, :3] = two[:, 4:] = ring
    solid = np.zeros((4, 6))
    solid[:2, :2] = solid[3, 4:] = 1
    assert [int(euler_characteristic(x[None], 0.5)[0]) for x in (ring, two, solid)] == [0, 0, 2]
    assert euler_characteristic(np.array([[np.nan, 1.0, np.nan, 1.0]]), 0.5).tolist() == [2]
    with pytest.raises(InputError, match="one or two"):
        euler_characteristic(np.zeros((2, 2, 2, 2)), 0.5)
