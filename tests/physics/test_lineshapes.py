"""Line shapes in m_Kπ, against quadrature, unitarity and limits."""

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.kinematics.phasespace import momentum
from darkpenguin.physics.lineshapes import LASS, REFERENCE_WINDOW, Isobar, KStar, blatt_weisskopf, running_width
from scipy.integrate import quad

M_K, M_PI, M_B = 0.493677, 0.13957039, 5.27972  # PDG 2024
THRESHOLD = M_K + M_PI


def kstar(**changes):
    return KStar(**{"m0": 0.89555, "width": 0.0473, "m_k": M_K, "m_pi": M_PI, "m_max": M_B, **changes})


def test_breit_wigner_is_normalised_against_adaptive_quadrature():
    shape = kstar()
    points = [0.8, 0.87, 0.89555, 0.92, 1.0, 1.5]
    total, error = quad(shape.density, THRESHOLD, M_B, points=points, limit=500, epsabs=1e-13)
    assert error < 1e-8
    assert total == pytest.approx(1.0, abs=1e-9)
    window, _ = quad(lambda m: float(shape.density(m)), *REFERENCE_WINDOW, points=[0.89555], epsabs=1e-13)
    assert shape.fraction(*REFERENCE_WINDOW) == pytest.approx(window, abs=1e-10)


@pytest.mark.parametrize("width", [1e-3, 1e-5])
def test_narrow_limit_is_a_delta_function(width):
    """Within n widths of a Lorentzian lie 2/π atan(2n) of it; what is missing from that is O(width)."""
    shape = kstar(width=width)
    inside = shape.fraction(shape.m0 - 10 * width, shape.m0 + 10 * width)
    assert inside == pytest.approx(2 / np.pi * np.arctan(20), abs=5 * width / shape.m0)
    assert kstar(width=0).fraction(0.8, 1.0) == 1.0
    assert kstar(width=0).fraction(0.9, 1.0) == 0.0


def test_phase_of_the_k_star_passes_90_degrees_at_its_mass():
    shape = kstar()
    below, at, above = np.degrees(np.angle(shape.amplitude([0.85, shape.m0, 0.95])))
    assert below < 45
    assert at == pytest.approx(90, abs=1e-9)
    assert above > 135


def test_running_width_follows_p_cubed_at_threshold_and_equals_the_width_at_the_mass():
    assert running_width(0.9, 0.9, 0.05, M_K, M_PI, spin=1, radius=3.0) == pytest.approx(0.05, rel=1e-14, abs=0)
    m = THRESHOLD + np.array([1e-4, 4e-4])
    p = momentum(m, M_K, M_PI)
    g = running_width(m, 0.9, 0.05, M_K, M_PI, spin=1, radius=3.0)
    assert g[1] / g[0] == pytest.approx((p[1] / p[0]) ** 3, rel=5e-3, abs=0)
    assert float(running_width(THRESHOLD - 0.01, 0.9, 0.05, M_K, M_PI, spin=1)) == 0.0
    assert float(blatt_weisskopf(1e9, 0.3, 2.0)) == pytest.approx(0.0, abs=1e-8)


def test_lass_is_unitary_and_has_the_scattering_length_at_threshold():
    shape = LASS(m_k=M_K, m_pi=M_PI)
    m = np.linspace(THRESHOLD + 1e-6, 1.5, 2001)
    f = shape.elastic(m)
    np.testing.assert_allclose(f.imag, np.abs(f) ** 2, atol=1e-12)  # on the Argand circle
    # a formula of its own: δ = δ_B + δ_R, f = sin δ exp(iδ)
    p = momentum(m, M_K, M_PI)
    gamma = 0.279 * p / momentum(1.435, M_K, M_PI) * 1.435 / m
    delta_b = np.arctan2(1.0, 1 / (1.95 * p) + 0.5 * 1.76 * p)
    delta_r = np.arctan2(1.435 * gamma, 1.435**2 - m**2)
    np.testing.assert_allclose(f, np.sin(delta_b + delta_r) * np.exp(1j * (delta_b + delta_r)), atol=1e-12)
    m = THRESHOLD + 1e-9
    p = float(momentum(m, M_K, M_PI))
    resonance = 0.279 / float(momentum(1.435, M_K, M_PI)) * 1.435 / m * 1.435 / (1.435**2 - m**2)
    assert float(shape.elastic(m).real) / p == pytest.approx(1.95 + resonance, rel=1e-4, abs=0)


@pytest.mark.parametrize("kind", [LASS, Isobar])
def test_s_wave_is_normalised_in_its_window_and_vanishes_outside(kind):
    shape = kind(m_k=M_K, m_pi=M_PI)
    total, _ = quad(lambda m: abs(complex(shape.amplitude(m))) ** 2, *REFERENCE_WINDOW, epsabs=1e-12)
    assert total == pytest.approx(1.0, abs=1e-10)
    assert complex(shape.amplitude(THRESHOLD - 1e-3)) == 0
    assert complex(shape.amplitude(1.9)) == 0
    phase = np.unwrap(np.angle(shape.amplitude(np.linspace(0.65, 1.4, 200))))
    assert np.all(np.diff(phase) > 0)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: kstar(m0=0.5), "kstar.mass = 0.5 GeV"),
        (lambda: kstar(width=-0.1), "kstar.width = -0.1 GeV"),
        (lambda: kstar(width=float("nan")), "kstar.width = nan"),
        (lambda: kstar(radius=-1.0), "kstar.radius"),
        (lambda: kstar(width=0.0).amplitude(0.9), "kstar.width = 0"),
        (lambda: LASS(m_k=M_K, m_pi=M_PI, width=0.0), "swave.lass.width"),
        (lambda: LASS(m_k=M_K, m_pi=M_PI, window=(0.9, 0.8)), "swave.lass.window"),
        (lambda: Isobar(m_k=M_K, m_pi=M_PI, coupling_700=complex("nan")), "swave.isobar.coupling_700"),
    ],
)
def test_bad_parameters_name_the_field(make, field):
    with pytest.raises(InputError, match=field):
        make()
