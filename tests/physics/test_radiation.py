"""Photons of leptons: the density that is drawn against quadrature of its formula, its moments, limits, another shower.

Statistical tests are seeded; each compares sums with their errors at 5.5 standard deviations (false alarms below 4e-8 a
number, below 1e-6 a test) and catches a bent formula.
"""

import json
import math
from pathlib import Path

import numba
import numpy as np
import pytest
from darkpenguin.physics.radiation import photon_fraction, radiator
from scipy import constants
from scipy.integrate import quad
from scipy.special import gamma

M_E, M_MU, M_TAU = 0.00051099895, 0.1056583755, 1.77693  # GeV, PDG 2024
POINTS = [(M_E, 1.1), (M_E, 9.59), (M_MU, 1.1), (M_MU, 9.59), (M_MU, 0.06), (M_TAU, 20.0)]
N = 400_000
F64 = np.float64
STORED = json.loads((Path(__file__).parents[1] / "reference" / "pythia_radiation.json").read_text(encoding="utf-8"))


def exponent(q2, mass):
    beta = math.sqrt(1 - 4 * mass**2 / q2)
    soft = (1 + beta**2) / (2 * beta) * math.log((1 + beta) ** 2 * q2 / (4 * mass**2)) - 1
    return constants.fine_structure / math.pi * soft


def expected(q2, mass, function, bent=1.0):
    """Mean of a function of y over S b y^(b-1) - b (1 - y/2), by quadrature in t = y^b, which takes out the pole."""
    b, most = bent * exponent(q2, mass), 1 - 2 * mass / math.sqrt(q2)
    s = math.exp(b * (0.75 - np.euler_gamma)) / gamma(1 + b)

    def integral(f):
        soft = quad(lambda t: f(t ** (1 / b)), 0, most**b, epsabs=1e-13, limit=400, points=[0.5 * most**b])[0]
        return s * soft - quad(lambda y: f(y) * b * (1 - y / 2), 0, most, epsabs=1e-13, limit=400)[0]

    return integral(function) / integral(lambda y: 1.0)


@numba.njit
def _draw(u, b, a, most, out):
    for i in range(out.size):
        out[i] = photon_fraction(np.float64, u[0, i], u[1, i], u[2, i], b, a, most)


def drawn(q2, mass, n=N, seed=1):
    out = np.empty(n)
    _draw(np.random.default_rng(seed).random((3, n)), *radiator(F64, q2, mass), out)
    return out


@pytest.mark.parametrize(("mass", "q2"), POINTS)
def test_moments_and_spectrum_are_those_of_the_formula(mass, q2):
    y = drawn(q2, mass)
    assert 0 < y.min() < y.max() < 1 - 2 * mass / math.sqrt(q2)
    functions = [lambda y: y, lambda y: y**2, lambda y: (1 - y) ** 3]
    # cumulated from the softest photon to the hardest: nowhere is there a cut-off
    functions += [lambda y, edge=edge: np.where(y < edge, 1.0, 0.0) for edge in (1e-3, 0.01, 0.1)]
    for i, function in enumerate(functions):
        values = function(y)
        error = values.std() / math.sqrt(N)
        if i < 3:
            assert abs(values.mean() - expected(q2, mass, function)) < 5.5 * error
        else:
            assert abs(values.mean() - share_below((1e-3, 0.01, 0.1)[i - 3], q2, mass)) < 5.5 * error


def share_below(edge, q2, mass):
    b, most = exponent(q2, mass), 1 - 2 * mass / math.sqrt(q2)
    s = math.exp(b * (0.75 - np.euler_gamma)) / gamma(1 + b)
    below = [s * y**b - b * (y - y * y / 4) for y in (min(edge, most), most)]
    return below[0] / below[1]


def test_there_is_no_cut_off():
    """Photons of any softness come as the power b says, down to 1e-30 of the lepton's energy."""
    y = drawn(9.59, M_E)
    for edge in (1e-30, 1e-20, 1e-10, 1e-5):
        share = share_below(edge, 9.59, M_E)
        assert abs((y < edge).mean() - share) < 5.5 * math.sqrt(share * (1 - share) / N)
    for floor in (1e-9, 1e-6):  # what is softer, given back to the lepton, changes no moment
        assert y[y < floor].sum() < floor * N


@pytest.mark.parametrize("bend", [0.95, 1.05])
def test_a_bent_exponent_is_seen(bend):
    y = drawn(9.59, M_E)
    assert abs(y.mean() - expected(9.59, M_E, lambda y: y, bend)) > 5.5 * y.std() / math.sqrt(N)


def test_first_order_is_the_collinear_splitting():
    """For a small b: (b/2) (1 + z^2)/(1 - z), z = 1 - y, away from y = 0; nothing is left out or counted twice."""
    b, a, most = radiator(F64, 4.0, 0.5)
    s = a * most ** (1 - b)
    for y in (0.01, 0.1, 0.3, 0.45):
        density = s * b * y ** (b - 1) - b * (1 - y / 2)
        assert abs(density / (b / 2 * (1 + (1 - y) ** 2) / y) - 1) < 8 * b


def test_moments_to_leading_logarithms():
    """<z^n> = exp(b g_n/2) with the moments of the splitting function, g_1 = -4/3 and g_2 = -25/12, to order b^2."""
    for q2 in (1.1, 9.59):
        b = exponent(q2, M_E)
        for n, g in ((1, -4 / 3), (2, -25 / 12)):
            assert abs(expected(q2, M_E, lambda y, n=n: (1 - y) ** n) - math.exp(b * g / 2)) < 1.5 * b**2


def test_limits_of_the_mass():
    """Light: alpha/pi (ln q2/m2 - 1); at threshold nothing is radiated, and nothing is not a number."""
    b, *_ = radiator(F64, 9.59, 1e-6)
    leading = constants.fine_structure / math.pi * (math.log(9.59e12) - 1)
    assert abs(b / leading - 1) < 1e-8
    assert abs(b - exponent(9.59, 1e-6)) < 1e-8 * b
    taus, muons = (expected(20.0, mass, lambda y: y) for mass in (M_TAU, M_MU))
    assert taus < 0.05 * muons
    for excess in (0.0, 1e-16, 1e-9, 1e-3):
        q2 = 4 * M_MU**2 * (1 + excess)
        assert all(math.isfinite(x) and x > 0 for x in radiator(F64, q2, M_MU))
        assert drawn(q2, M_MU, 1000).max() <= max(1e-9, excess)


def test_series_of_the_exponentiated_factor():
    """S Y^(b-1) against the Gamma function, over all that leptons of B decays have."""
    for mass, q2 in POINTS:
        b, a, most = radiator(F64, q2, mass)
        assert abs(b / exponent(q2, mass) - 1) < 1e-7  # the constant is that of CODATA 2018
        exact = math.exp(b * (0.75 - np.euler_gamma)) / gamma(1 + b) * most ** (b - 1)
        assert abs(a / exact - 1) < 3e-9


@pytest.mark.parametrize(("lepton", "worst"), [("e", 0.09), ("mu", 0.20)])
def test_another_shower_radiates_alike(lepton, worst):
    """Pythia's shower of J/psi -> l l: the shares of events that lose much agree as well as the logarithm is large."""
    stored = STORED[lepton]
    q2 = STORED["mass"] ** 2
    x = (1 - drawn(q2, stored["mass"])) * (1 - drawn(q2, stored["mass"], seed=2))
    assert abs((1 - x.mean()) / (1 - stored["mean"][0]) - 1) < worst
    for edge, share, error in zip(STORED["below"], stored["shares"], stored["errors"], strict=True):
        if edge > 0.4:
            print(lepton, edge, (x < edge).mean() / share - 1)
            assert abs((x < edge).mean() - share) < worst * share + 5 * error
