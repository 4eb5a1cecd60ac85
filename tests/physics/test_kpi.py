"""The Kpi system: against amplitudes built from Wigner functions, numerical integration and the limit of no width."""

from itertools import pairwise

import numpy as np
import pytest
from darkpenguin import InputError, get_channel, get_model
from darkpenguin.physics.amplitudes import helicity_amplitudes
from darkpenguin.physics.angular import event_density, quadrature
from darkpenguin.physics.densities import kpi_basis
from darkpenguin.physics.kpi import KpiDecay, KpiSystem, resolve_kpi, s_wave_amplitudes, s_wave_fraction
from scipy.integrate import quad
from scipy.linalg import expm

RATE = np.array([1.5, 0.75, -0.5, -0.25, *[0.0] * 15])


def decay(name="B0->K*0mumu", model="fig2", system="swave"):
    return KpiDecay(get_channel(name), get_model(model), resolve_kpi(system))


def wigner_d(j, theta):
    """d^j(theta) = exp(-i theta J_y), rows and columns m = j ... -j: from the algebra, no formula of d."""
    m = np.arange(j, -j - 1, -1.0)
    plus = np.diag(np.sqrt(j * (j + 1) - m[1:] * (m[1:] + 1)), 1)
    return expm(-1j * theta * (plus - plus.T) / 2j).real


@pytest.mark.parametrize("model", ["sm", "fig2"])
@pytest.mark.parametrize("system", ["swave", {"s_wave": "isobar", "phase": 40.0, "fraction": 0.3}])
def test_the_density_is_the_square_of_the_amplitude(model, system):
    """Random angles: the 19 terms against the sum over chiralities of |a_P sum H d d exp + a_S H_S d|^2, m_l = 0."""
    found = decay("B0->K*0ee", model, system)
    rng = np.random.default_rng(4)
    for q2, mass in ((1.5, 0.83), (3.0, 0.95), (17.0, 0.8955)):
        s = np.array([q2])
        h = helicity_amplitudes(found.channel, found.model, s, False, mass)
        h_s = s_wave_amplitudes(found.channel, found.model, s, mass)
        a_p = found.p_line.amplitude(mass)
        a_s = found.strength * found.s_line.amplitude(mass) * np.exp(1j * np.radians(found.system.phase))
        angles = rng.uniform([-1, -1, 0], [1, 1, 2 * np.pi], size=(50, 3))
        expected = []
        for cos_k, cos_l, phi in angles:
            d_k, d_l, total = wigner_d(1, np.arccos(cos_k)), wigner_d(1, np.arccos(cos_l)), 0.0
            for column, sign in ((2, 1), (0, -1)):  # the two chiralities of the leptons: H^V +- H^A
                amplitude = a_s * (h_s["0V"] + sign * h_s["0A"])[0] * d_l[1, column]
                for row, helicity in ((0, "+"), (1, "0"), (2, "-")):
                    h_x = (h[helicity + "V"] + sign * h[helicity + "A"])[0]
                    amplitude += np.sqrt(3) * a_p * h_x * d_k[row, 1] * d_l[row, column] * np.exp(1j * (1 - row) * phi)
                total += abs(amplitude) ** 2
            expected.append(total)
        density = found.density(s, mass, -1, "theory")[:, 0] @ kpi_basis(*angles.T)
        ratio = density / np.array(expected)
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=2e-5)  # m_e^2/q2 is 2e-7 of the larger terms
        # a wrong sign of the interference is far from that
        wrong = found.density(s, mass, -1, "theory")[:, 0] * np.where(np.arange(19) < 12, 1, -1) @ kpi_basis(*angles.T)
        assert np.ptp(wrong / np.array(expected)) > 0.05 * ratio.mean()


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K*+ee", "B0->K*0chichi", "B+->K*+nunu"])
@pytest.mark.parametrize("flavour", [1, -1])
def test_without_width_it_is_the_stable_kstar(name, flavour):
    """Gamma = 1e-5 GeV: J_i are those of a K* of its nominal mass, to Gamma/m of the tails beyond the window."""
    found = decay(name, "fig2", {"width": 1e-5})
    q2 = np.array([0.5, 2.0, 6.2, 12.0, 17.0])
    wide, narrow = found.spectrum(q2, flavour)[:12], event_density(found.channel, found.model, q2, flavour)
    np.testing.assert_allclose(wide, narrow, rtol=0, atol=2e-4 * (RATE[:12] @ narrow).max())
    assert np.abs(decay(name, "fig2", "pwave").spectrum(q2, flavour)[:12] - narrow).max() > 0.1 * np.abs(narrow).max()


def test_integrals_over_mass_and_q2_are_those_of_scipy():
    found = decay()
    m0 = found.p_line.m0
    for q2 in (2.0, 18.6, 19.5):  # the last two end within the window

        def rate(m, q2=q2):
            return float(RATE @ found.density(np.array([q2]), m, 1)[:, 0])

        top = min(found.system.m_max, found.m_parent - np.sqrt(q2))
        value, _ = quad(rate, found.system.m_min, top, points=[m0] if m0 < top else None, epsabs=0, epsrel=1e-10)
        assert abs(RATE @ found.spectrum([q2], 1)[:, 0] / value - 1) < 1e-7
    for mass in (0.8, 0.93):

        def rate(q2, mass=mass):
            return float(RATE @ found.density(np.array([q2]), mass, 1)[:, 0])

        value, _ = quad(rate, 2.01, 2.09, epsabs=0, epsrel=1e-9)  # between two kinks of the SM amplitudes
        assert abs(RATE @ found.mass_spectrum([mass], 1, [(2.01, 2.09)])[:, 0] / value - 1) < 1e-6


def test_both_orders_of_integration_agree():
    """Ranges that the end of phase space passes in the window; masses and q2 in either order."""
    found = decay("B0->K*0mumu", "fig1-2.0gev")
    selected = [(1.1, 6.0), (15.0, 19.0)]
    x, w = np.polynomial.legendre.leggauss(40)
    low, high = found.system.window
    cuts = np.array([low, found.p_line.m0, found.m_parent - np.sqrt(19.0), high])
    mass = np.concatenate([0.5 * (a + b) + 0.5 * (b - a) * x for a, b in pairwise(cuts)])
    weights = np.concatenate([0.5 * (b - a) * w for a, b in pairwise(cuts)])
    over_mass = found.mass_spectrum(mass, 1, selected) @ weights
    over_q2 = np.zeros(19)
    for low, high in selected:
        q2, weights = quadrature(found.breakpoints(), low, high)
        over_q2 += found.spectrum(q2, 1) @ weights
    np.testing.assert_allclose(over_mass, over_q2, rtol=0, atol=1e-6 * (RATE @ over_q2))


def test_the_fraction_is_what_was_asked_for():
    for system in ("swave", {"s_wave": "isobar", "fraction": 0.2, "m_max": 1.1}):
        found = decay(system=system, model="sm")
        assert s_wave_fraction(found, window=(0.796, 0.996)) == pytest.approx(found.system.fraction, abs=1e-9)
    none = decay(system={"s_wave": "lass", "fraction": 0.0})
    np.testing.assert_array_equal(none.spectrum([3.0], 1), decay(system="pwave").spectrum([3.0], 1))


def test_a_phase_turns_the_interference():
    """180 degrees change its sign and nothing else."""
    one, other = (decay(system={"s_wave": "lass", "phase": phase}).density([4.0], 0.9, 1)[:, 0] for phase in (0, 180))
    np.testing.assert_allclose(one[:12], other[:12], rtol=1e-12)
    np.testing.assert_allclose(one[12:], -other[12:], rtol=1e-12)
    assert np.abs(one[12:]).max() > 0.05 * RATE @ one


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("B0->K*0mumu", "wide", "no such K"),
        ("B0->K*0mumu", "swave,m_maxx=1", "did you mean m_max"),
        ("B0->K*0mumu", "swave,m_max=one", "m_max"),
        ("B0->K*0mumu", "swave,wide", "KEY=VALUE"),
        ("B0->K*0mumu", {"m_min": 0.5}, "needs m_K.* from 0.63"),
        ("B0->K*0mumu", {"m_min": 1.0, "m_max": 0.9}, "0 < m_min < m_max"),
        ("B0->K*0mumu", {"fraction": 1.0}, "below 1"),
        ("B0->K*0mumu", {"s_wave": "lass", "m_max": 2.0}, "up to 1.8"),
        ("B0->K*0mumu", {"s_waves": "lass"}, "s_waves"),
        ("B0->K*0mumu", {"width": float("nan")}, "finite"),
        ("B0->K*0mumu", {"line_shape": "narrow", "s_wave": "lass"}, "breit-wigner"),
        ("B+->K+mumu", "swave", "takes kpi = 'narrow'"),
        ("B0->K*0chichi", "swave", "takes kpi = 'pwave' or 'narrow'"),
    ],
)
def test_mistakes_are_named(name, settings, message):
    with pytest.raises(InputError, match=message):
        decay(name, "sm" if "chi" not in name else "fig2", settings)


def test_presets_are_frozen():
    assert resolve_kpi("narrow").narrow
    with pytest.raises(ValueError, match="frozen"):
        KpiSystem().m_max = 2.0
