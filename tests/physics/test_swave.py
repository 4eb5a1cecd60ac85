"""P-S interference, against |amplitude|² built from Wigner d-functions and integrated numerically."""

import numpy as np
import pytest
from darkpenguin.physics.angular_functions import interference_functions
from darkpenguin.physics.channels import S_COEFFICIENTS
from darkpenguin.physics.swave import swave_coefficients, swave_rate
from scipy.linalg import expm


def wigner_d(j, theta):
    """d^j(θ) = exp(-iθ J_y), rows and columns m = j ... -j: from the algebra, no formula of d."""
    m = np.arange(j, -j - 1, -1.0)
    plus = np.diag(np.sqrt(j * (j + 1) - m[1:] * (m[1:] + 1)), 1)
    return expm(-1j * theta * (plus - plus.T) / 2j).real


def helicity_density(h, h_s, cos_k, cos_l, phi):
    """Sum over lepton chiralities of |sum over hadron helicities of H d(θ_K) d(θ_ℓ) exp(iλφ)|².

    Massless leptons; h[X] = (H+, H0, H-) for X = L, R. The lepton pair has helicity -1 for L, +1 for R along
    the negative lepton, and θ_ℓ is the theory convention's, between that lepton and the B.
    """
    d_k = wigner_d(1, np.arccos(cos_k))
    d_l = wigner_d(1, np.arccos(cos_l))
    total = 0.0
    for column, x in ((2, "L"), (0, "R")):
        amplitude = h_s[x] * d_l[1, column]
        for row, helicity in ((0, 1), (1, 0), (2, -1)):
            rotation = d_k[row, 1] * d_l[row, column] * np.exp(1j * helicity * phi)
            amplitude = amplitude + np.sqrt(3) * h[x][row] * rotation
        total += abs(amplitude) ** 2
    return total


def swave_density(s, ck, cl, f):
    """What the S wave adds to the angular density: the ten terms of the formula in `physics.swave`."""
    sl2 = 1.0 - cl**2
    between = interference_functions(ck, cl, sl2, np.sqrt((1.0 - ck**2) * sl2), np.sin(f), np.cos(f))
    total = s[0] + s[1] * (cl**2 - sl2) + s[2] * cl + sum(c * g for c, g in zip(s[3:], between, strict=True))
    return 9.0 / (32.0 * np.pi) * total


def project(h, h_s):
    """Coefficients of the P and S basis functions, by a least-squares fit of the density on random points."""
    rng = np.random.default_rng(11)
    points = rng.uniform([-1, -1, 0], [1, 1, 2 * np.pi], size=(200, 3))
    w = np.array([helicity_density(h, h_s, *point) for point in points])
    ck, cl, f = points.T
    sk, sl = np.sqrt(1 - ck**2), np.sqrt(1 - cl**2)
    c2l, s2l, s2k = 2 * cl**2 - 1, 2 * sl * cl, 2 * sk * ck
    p_terms = [
        sk**2,
        ck**2,
        sk**2 * c2l,
        ck**2 * c2l,
        sk**2 * sl**2 * np.cos(2 * f),
        s2k * s2l * np.cos(f),
        s2k * sl * np.cos(f),
        sk**2 * cl,
        ck**2 * cl,
        s2k * sl * np.sin(f),
        s2k * s2l * np.sin(f),
        sk**2 * sl**2 * np.sin(2 * f),
    ]
    s_terms = [swave_density(row, ck, cl, f) * 32 * np.pi / 9 for row in np.eye(10)]
    # sin² + cos² = 1 makes S1c, S2c, S6c degenerate with P terms: the S-wave ones are fixed by hand below
    matrix = np.array(p_terms + s_terms[3:]).T
    known = pure_s(h_s) @ np.array(s_terms)
    solution, *_ = np.linalg.lstsq(matrix, w - known, rcond=None)
    assert np.max(np.abs(matrix @ solution + known - w)) < 1e-11 * np.max(w)  # the basis is complete
    return solution[:12], np.concatenate([pure_s(h_s)[:3], solution[12:]])


def pure_s(h_s):
    """|H_S d^1_{0,±1}|² = |H_S|² sin²θ_ℓ/2 = |H_S|² (1 - cos 2θ_ℓ)/4, by hand."""
    square = sum(abs(x) ** 2 for x in h_s.values()) / 4
    return np.array([square, -square] + 8 * [0.0])


def massless_j(h):
    """The twelve J_i from amplitudes named 'L0', 'L+' ...: by projection of |amplitude|² with no S wave."""
    return project({x: np.array([h[x + "+"], h[x + "0"], h[x + "-"]]) for x in "LR"}, {"L": 0.0, "R": 0.0})[0]


@pytest.fixture
def amplitudes():
    rng = np.random.default_rng(5)
    h = {x: rng.normal(size=3) + 1j * rng.normal(size=3) for x in "LR"}
    h_s = {x: complex(rng.normal() + 1j * rng.normal()) for x in "LR"}
    named = {x + s: h[x][i] for x in "LR" for i, s in enumerate("+0-")}
    return h, h_s, named


def test_interference_equals_the_projection_of_the_squared_amplitude(amplitudes):
    h, h_s, named = amplitudes
    got = swave_coefficients(massless_j, named, {"L0": h_s["L"], "R0": h_s["R"]})
    _, want = project(h, h_s)
    assert len(S_COEFFICIENTS) == 10
    np.testing.assert_allclose(got, want, atol=1e-11)
    assert np.min(np.abs(got[[0, 1, 3, 4, 6, 7, 8, 9]])) > 0.05  # none of them is trivially zero
    np.testing.assert_allclose(got[[2, 5]], 0.0, atol=1e-11)  # the 6c terms need lepton mass and scalars


def test_density_and_rate_against_numerical_integration(amplitudes, swave_observables):
    h, h_s, named = amplitudes
    s = swave_coefficients(massless_j, named, {"L0": h_s["L"], "R0": h_s["R"]})
    x, wx = np.polynomial.legendre.leggauss(5)
    phi = np.arange(6) * np.pi / 3
    with_s = without = extra = 0.0
    for ck, a in zip(x, wx, strict=True):
        for cl, b in zip(x, wx, strict=True):
            for f in phi:
                weight = a * b * np.pi / 3
                with_s += weight * helicity_density(h, h_s, ck, cl, f)
                without += weight * helicity_density(h, {"L": 0, "R": 0}, ck, cl, f)
                extra += weight * swave_density(s, ck, cl, f)
    scale = 9 / (32 * np.pi)
    assert extra == pytest.approx(scale * (with_s - without), rel=1e-12, abs=0)
    assert float(swave_rate(s)) == pytest.approx(extra, rel=1e-12, abs=0)
    observables = swave_observables(s, scale * with_s)
    assert observables["FS"] == pytest.approx((with_s - without) / with_s, rel=1e-12, abs=0)


def test_observables_are_lhcbs(amplitudes, swave_observables):
    """3/(16π) times F_S, A_S, A_S4 ... with their functions reproduce the density, massless leptons."""
    _, h_s, named = amplitudes
    s = swave_coefficients(massless_j, named, {"L0": h_s["L"], "R0": h_s["R"]})
    o = swave_observables(s, rate=1.0)
    ck, cl, f = 0.37, -0.61, 2.3
    sk, sl = np.sqrt(1 - ck**2), np.sqrt(1 - cl**2)
    want = (
        3
        / (16 * np.pi)
        * (
            o["FS"] * sl**2
            + o["AS"] * sl**2 * ck
            + sk * (o["AS4"] * 2 * sl * cl + o["AS5"] * sl) * np.cos(f)
            + sk * (o["AS7"] * sl + o["AS8"] * 2 * sl * cl) * np.sin(f)
        )
    )
    assert float(swave_density(s, ck, cl, f)) == pytest.approx(float(want), rel=1e-10, abs=0)


def test_a_wrong_interference_is_noticed(amplitudes):
    """The mutation: conjugating the S-wave phase must change the terms in sin φ."""
    h, h_s, named = amplitudes
    got = swave_coefficients(massless_j, named, {"L0": h_s["L"].conjugate(), "R0": h_s["R"].conjugate()})
    _, want = project(h, h_s)
    assert np.max(np.abs(got - want)) > 0.1


def test_s_wave_amplitudes_without_a_partner_are_refused(amplitudes):
    _, _, named = amplitudes
    with pytest.raises(ValueError, match="LT"):
        swave_coefficients(massless_j, named, {"LT": 1.0 + 0j})
