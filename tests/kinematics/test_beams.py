"""Where the B comes from, against published cross-sections, kinematics and exact distributions."""

import math

import numpy as np
import pytest
from darkpenguin.kinematics import beams, frames
from darkpenguin.kinematics.base.errors import InputError
from scipy.integrate import quad

M_BP, M_B0, F64 = 5.27941, 5.27972, np.float64  # PDG 2024

# LHCb, arXiv:1710.04921, B+ and B- together, uncertainties total: dσ/dy in microbarn, from y = 2 in steps 0.5
RAPIDITY = {
    7.0: ([23.5, 22.1, 18.2, 13.4, 8.8], [2.0, 1.4, 1.0, 0.8, 0.6]),
    13.0: ([45.6, 43.1, 36.4, 28.9, 19.3], [3.7, 2.9, 2.4, 1.9, 1.5]),
}
# dσ/dp_T in nb/GeV, 2 < y < 4.5, in some of the 27 bins: low, high, value, uncertainty
TRANSVERSE = {
    7.0: [
        (0, 0.5, 1163.5, 119.2),
        (2.5, 3, 6896.7, 467.2),
        (5, 5.5, 4899.1, 344.1),
        (10, 10.5, 909.9, 68.3),
        (16.5, 23.5, 65.8, 4.0),
        (23.5, 40, 7.6, 0.63),
    ],
    13.0: [
        (0, 0.5, 1949.2, 261.7),
        (2.5, 3, 13941.5, 1040.5),
        (5, 5.5, 9625.0, 663.9),
        (10, 10.5, 2186.3, 157.3),
        (16.5, 23.5, 182.6, 12.7),
        (23.5, 40, 25.7, 1.9),
    ],
}


def cross_section(spectrum, low, high):
    """Between two rapidities, all p_T, in microbarn."""
    return quad(lambda y: float(spectrum.rapidity_density(y)), low, high, epsabs=0, epsrel=1e-12)[0]


@pytest.mark.parametrize("energy", [7.0, 13.0])
def test_spectrum_reproduces_the_measured_cross_sections(energy):
    """Within two standard deviations everywhere: the uncertainties are systematic and correlated."""
    spectrum = beams.proton_spectrum(energy)
    for i, (value, error) in enumerate(zip(*RAPIDITY[energy], strict=True)):
        low = 2 + 0.5 * i
        assert abs(cross_section(spectrum, low, low + 0.5) / 0.5 - value) < 1.5 * error
    y, w = np.polynomial.legendre.leggauss(12)
    y, w = 3.25 + 1.25 * y, 1.25 * w
    for low, high, value, error in TRANSVERSE[energy]:
        pt, weight = np.polynomial.legendre.leggauss(20)
        pt, weight = (low + high) / 2 + (high - low) / 2 * pt, (high - low) / 2 * weight
        got = w @ spectrum.density(pt, y[:, None]) @ weight
        assert abs(got / (high - low) * 1000 - value) < 2 * error
    # σ(2 < y < 4.5) as published: 43.0 ± 3.0 and 86.6 ± 6.4 μb
    assert cross_section(spectrum, 2, 4.5) == pytest.approx({7.0: 43.0, 13.0: 86.6}[energy], rel=0.02, abs=0)


@pytest.mark.parametrize("energy", [7.0, 8.0, 13.0, 13.6])
def test_proton_momentum_inverts_the_cumulative_distribution(energy):
    """The fraction of the cross-section below the sampled y, and below the sampled p_T at that y, is u."""
    beam = beams.ProtonBeam(energy)
    spectrum, constants = beam.spectrum, beam.constants()
    total = cross_section(spectrum, 2, 4.5)
    for u_y, u_pt in [(0.01, 0.9), (0.3, 0.5), (0.7, 0.05), (0.999, 0.999)]:
        px, py, pz = beams.proton_momentum(F64, u_y, u_pt, 0.3, M_BP, constants)
        e = frames.energy(px, py, pz, M_BP)
        y, pt = 0.5 * math.log((e + pz) / (e - pz)), math.hypot(px, py)
        assert cross_section(spectrum, 2, y) / total == pytest.approx(u_y, abs=1e-9)
        below, _ = quad(lambda x, y=y: float(spectrum.density(x, y)), 0, pt)
        assert below / float(spectrum.rapidity_density(y)) == pytest.approx(1 - u_pt, abs=1e-7)
        assert math.atan2(py, px) == pytest.approx(2 * math.pi * (0.3 - 0.5), abs=1e-14)


def test_upsilon_boost_and_axis():
    beam = beams.UpsilonBeam()
    assert beam.mass == pytest.approx(10.5794, abs=1e-3)  # Υ(4S), PDG
    px, py, pz = beam.momentum
    assert math.hypot(px, pz) / beam.mass == pytest.approx(0.287, abs=1e-3)
    assert py == 0
    total = beam.electron + beam.positron
    assert total**2 - px**2 - pz**2 == pytest.approx(beam.mass**2, rel=1e-13, abs=0)
    # the axis: the electron (massless) boosted back; its energy there is half of √s
    e = np.array([math.sin(beam.crossing / 2), 0, math.cos(beam.crossing / 2)]) * beam.electron
    star = np.array(frames.boost_back(tuple(e), 0.0, beam.momentum, beam.mass))
    np.testing.assert_allclose(star / (beam.mass / 2), beam.axis, atol=1e-12)


def upsilon_sample(beam, m_b, n, seed):
    edges, constants = beam.momentum_edges(m_b), beam.constants()
    u = np.random.default_rng(seed).uniform(size=(n, 5))
    lab = [beams.upsilon_momentum(F64, *row, m_b, edges, constants) for row in u]
    return np.array([frames.boost_back(p, m_b, beam.momentum, beam.mass) for p in lab])


def test_upsilon_momentum_and_sine_squared():
    """20,000 B: <cos²θ> = 1/5, <cos⁴θ> = 3/35 about the beam, flat azimuth, within 5.5 standard errors."""
    beam = beams.UpsilonBeam(spread=0.0)
    n = 20000
    star = upsilon_sample(beam, M_B0, n, 21)
    p = np.linalg.norm(star, axis=1)
    np.testing.assert_allclose(p, math.sqrt(beam.mass**2 / 4 - M_B0**2), rtol=1e-10)
    cosine = star @ beam.axis / p

    def within(values, mean, errors=5.5):
        return abs(values.mean() - mean) < errors * values.std() / math.sqrt(n)

    assert within(cosine, 0)
    assert within(cosine**2, 1 / 5)
    assert within(cosine**4, 3 / 35)
    assert within(star[:, 1] / p, 0)
    assert within((star[:, 1] / p) ** 2, 2 / 5)
    assert not within(cosine**2, 1 / 3)  # an isotropic B is noticed
    assert not within((star[:, 1] / p) ** 2, 1 / 5)  # so is the wrong axis


def test_beam_energy_spread():
    """The momentum's quantiles are those of a fine numerical integral; none is below threshold."""
    beam = beams.UpsilonBeam()
    edges = beam.momentum_edges(M_B0)
    assert np.all(np.diff(edges) > 0)

    def density(p):
        s = 4 * (p * p + M_B0**2)
        w = math.sqrt(s)
        curve = p**3 / ((s - 10.5794**2) ** 2 + (10.5794 * 0.0205) ** 2)
        return math.exp(-0.5 * ((w - beam.mass) / 0.005) ** 2) * curve * p / w

    total = quad(density, 0.0, edges[-1], points=[0.3, 0.35], epsabs=0, epsrel=1e-10)[0]
    for k in (32, 128, 224):
        below = quad(density, 0.0, edges[k], epsabs=0, epsrel=1e-10)[0]
        assert below / total == pytest.approx(k / 256, abs=2e-6)
    assert edges[128] == pytest.approx(0.33, abs=0.02)  # p* at the Υ(4S) without spread: 0.33 GeV


def test_histogram_cells():
    beam = beams.HistogramBeam.checked([0, 2, 10], [2.0, 3.0, 5.0], [[1, 0], [2, 5]])
    np.testing.assert_allclose(beam.probabilities(), np.array([1, 0, 2, 5]) / 8)
    np.testing.assert_array_equal(beam.cells()[2], [2, 10, 2, 3])
    for u in (0.1, 0.6, 0.95):
        px, py, pz = beams.cell_momentum(F64, u, u, 0.2, tuple(beam.cells()[3]), 0.0)
        pt = math.hypot(px, py)
        assert pt == pytest.approx(2 + 8 * u)
        assert math.asinh(pz / pt) == pytest.approx(3 + 2 * u)  # pseudorapidity
        px, py, pz = beams.cell_momentum(F64, u, u, 0.2, tuple(beam.cells()[3]), M_B0)
        assert math.asinh(pz / math.hypot(M_B0, math.hypot(px, py))) == pytest.approx(3 + 2 * u)  # rapidity


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: beams.ProtonBeam(energy=100.0), r"beam.energy = 100.0 TeV"),
        (lambda: beams.ProtonBeam(energy=float("nan")), r"beam.energy = nan"),
        (lambda: beams.ProtonBeam(rapidity=(4.0, 2.0)), r"beam.rapidity"),
        (lambda: beams.UpsilonBeam(electron=-1.0), r"beam.electron = -1.0 GeV"),
        (lambda: beams.UpsilonBeam(crossing=2.0), r"beam.crossing"),
        (lambda: beams.UpsilonBeam(spread=float("nan")), r"beam.spread"),
        (lambda: beams.UpsilonBeam(electron=6.0, spread=0.0).momentum_edges(M_B0), r"below 2 m_B"),
        (lambda: beams.UpsilonBeam(electron=6.0).momentum_edges(M_B0), r"below 2 m_B"),
        (lambda: beams.HistogramBeam.checked([0, 1], [2, 3], [[float("nan")]]), r"weights\[0\]\[0\] = nan"),
        (lambda: beams.HistogramBeam.checked([0, 1, 2], [2, 3], [[1], [-2]]), r"weights\[1\]\[0\] = -2.0"),
        (lambda: beams.HistogramBeam.checked([0, 1], [2, 3], [[0]]), "all cells are empty"),
        (lambda: beams.HistogramBeam.checked([0, 1], [2, 3], [[1, 2]]), r"beam.weights: shape \(1, 2\)"),
        (lambda: beams.HistogramBeam.checked([1, 0], [2, 3], [[1]]), "beam.pt_edges"),
        (lambda: beams.HistogramBeam.checked([0, 1], [2, 3], [[1]], variable="theta"), "beam.variable"),
    ],
)
def test_bad_beams_are_refused(make, field):
    with pytest.raises(InputError, match=field):
        make()
