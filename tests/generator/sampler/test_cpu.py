"""Loop functions against their limits, against independent integrals and against the diagram itself."""

import itertools

import numpy as np
import pytest
from darkpenguin.physics.experiment.loops import f_a, f_v, k_f, k_f_large
from scipy.integrate import dblquad, quad
from scipy.special import spence


def _adaptive(integrand, ratio):
    """QUADPACK on pieces that resolve the layer 1 - x ~ r; the integrand is in u = 1 - x."""
    edges = [0.0, *np.unique(np.clip(ratio * 10.0 ** np.arange(-3, 6), 1e-12, 1.0)), 1.0]
    return sum(quad(integrand, a, b, epsabs=0, epsrel=1e-13)[0] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize("ratio", [1e-8, 1e-5, 1.8e-3, 0.03, 1.0, 40.0, 1e4])
def test_f_v_and_f_a_equal_an_adaptive_integral_to_1e_10(ratio):
    def vector(u):
        return 3 * (1 - u) ** 2 * u / (u + ratio * (1 - u) ** 2)

    def axial(u):
        x = 1 - u
        return -0.6 * (x * u * (x - 4) - 2 * ratio * x**3) / (u + ratio * x**2)

    assert float(f_v(ratio)) == pytest.approx(_adaptive(vector, ratio), rel=1e-10, abs=0)
    assert float(f_a(ratio)) == pytest.approx(_adaptive(axial, ratio), rel=1e-10, abs=0)


def test_f_v_and_f_a_are_one_for_a_heavy_vector():
    assert float(f_v(0.0)) == pytest.approx(1.0, abs=1e-14)
    assert float(f_a(0.0)) == pytest.approx(1.0, abs=1e-14)
    # first correction of f_V: 3 r Int x^4 / (1 - x) -> r (3 ln r + 25/4), expanded by hand
    r = 1e-6
    assert float(f_v(r)) - 1 == pytest.approx(r * (3 * np.log(r) + 25 / 4), rel=1e-3, abs=0)


def test_f_v_and_f_a_of_a_massless_vector():
    # Schwinger: a = g^2 / (8 pi^2) means f_V -> 3 / (2 r); the longitudinal V gives f_A -> 3/5. The approach
    # goes as 1/sqrt(r)
    r = 1e12
    assert float(f_v(r)) * r / 1.5 == pytest.approx(1.0, abs=1e-5)
    assert float(f_a(r)) == pytest.approx(0.6, abs=1e-9)


def test_loop_functions_keep_the_shape_and_refuse_nonsense():
    assert f_v(np.ones((2, 3))).shape == (2, 3)
    assert k_f(np.ones((2, 3))).shape == (2, 3)
    with pytest.raises(ValueError, match=">= 0"):
        f_v(-1.0)
    with pytest.raises(ValueError, match="> 0"):
        k_f(0.0)


@pytest.mark.parametrize("w", [0.1, 0.5, 0.9])
def test_k_f_is_the_vertex_diagram(w):
    """K_F at the space-like q2 = -w m_V^2 (ln x -> ln w, x -> -w) is the integral of the vertex.

    Peskin and Schroeder, eq. (6.47), with a massless fermion and a massive photon, subtracted at q2 = 0.
    """

    def integrand(y, x):
        z = 1 - x - y
        delta = z + x * y * w
        return np.log(z / delta) - (1 - x) * (1 - y) * w / delta

    diagram = 2 * dblquad(integrand, 0, 1, 0, lambda x: 1 - x, epsabs=1e-11, epsrel=1e-11)[0]
    log = np.log(w)
    continued = (
        -(4 - 7 * w) / (-2 * w)
        + (2 - 3 * w) / -w * log
        - 2 * (1 - w) ** 2 / w**2 * (log * np.log(1 - w) + spence(1 - w))
    )
    assert continued == pytest.approx(diagram, abs=1e-10)


def _continued(s):
    """K_F in the upper half of the plane of q2 / m_V^2, where ln x is ln(-s)."""
    log = np.log(-s)
    return (
        -(4 + 7 * s) / (2 * s) + (2 + 3 * s) / s * log - 2 * (1 + s) ** 2 / s**2 * (log * np.log(1 + s) + spence(1 + s))
    )


@pytest.mark.parametrize("s", [2j, 1 + 1j, 30 * np.exp(0.5j), 1330 * np.exp(1j)])
def test_k_f_is_the_vertex_diagram_in_the_complex_plane(s):
    """The same integral away from the cut at time-like q2, the inner one done by hand; k_f is its real part there.

    With z = 1 - x - y, the terms of the test above are elementary in y.
    """

    def inner(x):
        a, b = 1 - x, 1 + x * s  # delta = a - b y for y in [0, a]
        end = a * (1 - b)
        z_part = a * np.log(a) - a
        delta_part = (a * np.log(a) - a - end * np.log(end) + end) / b
        # Int_0^a (1 - y) / (a - b y) dy, with (1 - y) = (a - b y) / b + (1 - a / b)
        rest = a / b - (1 - a / b) / b * np.log(1 - b)
        return z_part - delta_part + a * s * rest

    rule = {"epsabs": 0, "epsrel": 1e-12, "limit": 200}
    diagram = quad(lambda x: inner(x).real, 0, 1, **rule)[0] + 1j * quad(lambda x: inner(x).imag, 0, 1, **rule)[0]
    assert _continued(s) == pytest.approx(2 * diagram, rel=1e-10, abs=0)


def test_k_f_is_the_real_part_at_time_like_q2():
    x = np.array([0.5, 2.0, 1330.0])
    above = _continued(x + 0j + 1e-300j)
    np.testing.assert_allclose(k_f(x), above.real, rtol=1e-12)
    assert np.all(np.abs(above.imag) > 0.1)  # the muons are real


def test_k_f_limits():
    # decoupling: -2/3 x ln x + 11/9 x
    x = 1e-6
    assert float(k_f(x)) == pytest.approx(x * (-2 / 3 * np.log(x) + 11 / 9), rel=1e-4, abs=0)
    # the series meets the closed form
    assert float(k_f(0.3 - 1e-12)) == pytest.approx(float(k_f(0.3)), rel=1e-10, abs=0)
    # eq. (8)'s large-x form, whose corrections go as ln^2 x / x
    for big in (1e4, 1e6, 1e8):
        assert abs(float(k_f(big) - k_f_large(big))) < 4 * np.log(big) ** 2 / big
