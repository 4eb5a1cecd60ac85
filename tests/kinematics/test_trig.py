"""Elementary functions without library calls against NumPy's in extended precision."""

import numba
import numpy as np
import pytest
from darkpenguin.kinematics.base.jit import FLOATING_POINT
from darkpenguin.kinematics.trig import circle, exponential, logarithm


@numba.njit(**FLOATING_POINT)  # not kept on disk: Numba shows no machine code of what it read from there
def fill(x, exponentials, logarithms, sines, cosines):
    real = x.dtype.type
    for i in range(x.size):
        exponentials[i] = exponential(real, x[i])
        logarithms[i] = logarithm(real, exponentials[i])
        sines[i], cosines[i] = circle(real, x[i] * real(1 / 162))


@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_a_few_units_in_the_last_place(real):
    x = np.concatenate([np.linspace(-80, 80, 200_001), np.linspace(-1e-3, 1e-3, 2001)]).astype(real)
    e, log, s, c = (np.empty_like(x) for _ in range(4))
    fill(x, e, log, s, c)
    wide, eps = x.astype(np.longdouble), np.finfo(real).eps
    assert np.abs(e / np.exp(wide) - 1).max() < 1.5 * eps
    assert np.abs(log - np.log(e.astype(np.longdouble))).max() < 80 * eps
    near_one = np.abs(x) < 0.3
    reference = np.log(e[near_one].astype(np.longdouble))
    assert np.abs(log[near_one] - reference).max() < 1.5 * eps * np.abs(reference).max()
    turns = (x * real(1 / 162)).astype(np.longdouble) * 2 * np.pi
    assert np.abs(s - np.sin(turns)).max() < 4 * eps
    assert np.abs(c - np.cos(turns)).max() < 4 * eps
    assert "call" not in "".join(line for line in "".join(fill.inspect_asm().values()).splitlines() if "exp" in line)
