"""The simplified likelihood of B+ -> K+ + invisible, against Belle II's own and a published analysis of it."""

import numpy as np
import pytest
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.spectrum import TABLE, Spectrum, load_spectrum
from darkpenguin.physics.models import Model
from darkpenguin.physics.rates import branching_ratio

BELLE = load_spectrum(TABLE)
#   mass, width (GeV), BR(B+ -> K+ X), 2 ln(L/L_SM) of the full likelihood of arXiv:2507.12393: 30 bins and 232
#   parameters with pyhf 0.7.6, profiled by Fisher scoring, the SM's signal at 1 +- 0.05
FULL = [
    (2.1, 0.1, 2e-6, 5.288),
    (2.1, 0.1, 9.07e-6, 13.107),
    (2.1, 0.1, 1.4e-5, 9.054),
    (0.6, 0.1, 4e-6, -4.328),
    (1.5, 0.1, 1.35e-6, 0.800),
    (2.5, 0.5, 1.6e-5, 10.243),
    (3.5, 0.1, 2e-5, -7.844),
    (4.2, 0.1, 2e-5, -0.673),
]


def shape(mass, width):
    """Strengths for a branching ratio of one."""
    model = Model(light_vectors=({"mass": mass, "width": width, "g_bs": 1e-8},))
    return BELLE.strengths(model) / branching_ratio(get_channel("B+->K+chichi"), model)


@pytest.mark.parametrize(("mass", "width", "rate", "expected"), FULL)
def test_it_is_the_full_likelihood(mass, width, rate, expected):
    """Within 0.1, or 10 % where a limit is; without correlations (the bent version) it is off by more than that."""
    r = rate * shape(mass, width)
    found = BELLE.minus_two_log(0 * r) - BELLE.minus_two_log(r)
    assert found == pytest.approx(expected, rel=0.1, abs=0.1)
    bare = Spectrum(BELLE.observed, BELLE.mean, np.diag(np.diag(BELLE.covariance)), BELLE.response, BELLE.q2_max)
    bent = bare.minus_two_log(0 * r) - bare.minus_two_log(r)
    assert abs(bent - expected) > 2 * abs(found - expected)


def test_the_standard_models_strength_is_belle_2s():
    """mu = 4.6 +- 1.3, 3.5 standard deviations above zero (arXiv:2311.14647): here mu - 1, with the SM free by 5 %."""
    ones = np.ones(len(BELLE.observed))
    values = np.linspace(0.0, 8.0, 161)
    curve = np.array([BELLE.minus_two_log(t * ones) for t in values])
    best = values[curve.argmin()]
    assert best + 1 == pytest.approx(4.6, abs=0.15)
    inside = values[curve < curve.min() + 1]
    assert np.ptp(inside) / 2 == pytest.approx(1.3, abs=0.2)
    above_sm = (BELLE.minus_two_log(0 * ones) - curve.min()) ** 0.5
    assert above_sm == pytest.approx(2.7, abs=0.05)


@pytest.mark.parametrize(("width", "low", "high"), [(0.1, 1.8, 2.8), (0.5, 1.7, 3.0)])
def test_the_published_limits_exceed_two_sigma_where_ours_do(width, low, high):
    """arXiv:2602.09666: the observed limit is above the band of two sigma for m in 1.8-2.8 (1.7-3.0) GeV.

    The step to either side, 0.1 or 0.2 GeV, is inside the band.
    """
    for mass, above in ((low, True), (high, True), (low - 0.1, False), (high + 0.2, False)):
        r = shape(mass, width)
        assert (BELLE.upper_limit(r) > BELLE.expected_limit(r, 2.0)) == above, mass


def test_the_published_posterior():
    """arXiv:2602.09666, width 0.1: mode at 2.1 GeV and 9.2e-6; 95 % of mu_X in 3.4e-6 to 14.0e-6, m in 1.9 to 2.7.

    Flat priors in 0-24e-6 and in the mass; highest-density intervals, to the spacing of the grid and the 4 %
    of the simplified likelihood.
    """
    rates, masses = np.linspace(0.0, 24e-6, 61), np.arange(0.5, 3.61, 0.1)
    shapes = {mass: shape(mass, 0.1) for mass in masses}
    log = np.array([[-0.5 * BELLE.minus_two_log(rate * shapes[mass]) for rate in rates] for mass in masses])
    weight = np.exp(log - log.max())
    i, j = np.unravel_index(weight.argmax(), weight.shape)
    assert masses[i] == pytest.approx(2.1, abs=0.11)
    assert rates[j] == pytest.approx(9.2e-6, abs=0.6e-6)
    for values, marginal, ends, slack in (
        (rates, weight.sum(axis=0), (3.4e-6, 14.0e-6), 0.9e-6),
        (masses, weight.sum(axis=1), (1.9, 2.7), 0.16),
    ):
        order = np.argsort(marginal)[::-1]
        kept = order[: np.searchsorted(np.cumsum(marginal[order]) / marginal.sum(), 0.95) + 1]
        assert values[kept].min() == pytest.approx(ends[0], abs=slack)
        assert values[kept].max() == pytest.approx(ends[1], abs=slack)


def test_a_limit_is_where_cls_is_five_per_cent():
    """A normal likelihood has it in closed form: CLs = sf((t - x)/s) / cdf(x/s) for an estimate x with an error s."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    toy = Spectrum(np.array([1e6]), np.array([1e6 - 2e3, 1e3]), np.zeros((2, 2)) + np.diag([1e6, 1e-9]), np.eye(1), 1.0)
    sigma = (1e6 + 1e6) ** 0.5 / 1e3  # of statistics and of the background
    exact = brentq(lambda t: norm.sf((t - 2.0) / sigma) / norm.cdf(2.0 / sigma) - 0.05, 1.0, 10.0)
    assert toy.upper_limit(np.ones(1)) == pytest.approx(exact, rel=2e-3)
    assert toy.pulls(3.0 * np.ones(1)) == pytest.approx((1.0 / sigma, -2.0 / sigma), abs=2e-3)


def test_narrow_shapes_are_integrated():
    """Strengths of a V of 1 MeV are those of one of 50 MeV, within 7 % of the largest."""
    wide = shape(1.5, 0.05)
    np.testing.assert_allclose(shape(1.5, 1e-3), wide, rtol=0, atol=0.07 * wide.max())
    assert not BELLE.strengths(Model()).any()
