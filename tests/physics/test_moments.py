"""Angular moments and angular fits on events drawn here by accept-reject, independent of the sampler."""

import numpy as np
import pytest
from darkpenguin import get_channel, get_model
from darkpenguin.generator.statistics.angular_fit import LIKELIHOOD_OBSERVABLES, fit_angles
from darkpenguin.physics.definitions import massless
from darkpenguin.physics.densities import DENSITIES
from darkpenguin.physics.moments import (
    coefficients_from_moments,
    expected_moments,
    functions,
    observables,
    tensors,
)
from darkpenguin.physics.observables import measured_observables

FL = 0.7
J = np.array([0.75 * (1 - FL), FL, 0.25 * (1 - FL), -FL, -0.02, -0.15, -0.25, 0.2, 0.0, 0.02, -0.03, 0.01])
TRUTH = dict(zip(LIKELIHOOD_OBSERVABLES, (FL, -0.02, -0.15, -0.25, 0.15, 0.02, -0.03, 0.01), strict=True))
TOYS, EVENTS = 400, 400


@pytest.fixture(scope="module")
def events():
    """Angular functions of TOYS x EVENTS events that follow J, shape (TOYS, EVENTS, 12)."""
    rng = np.random.default_rng(8)
    n = 1_600_000
    f = functions("vector", rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n))
    weight = np.sum(f * J, axis=-1)
    assert weight.min() > 0
    kept = f[rng.uniform(0, 3.0, n) < weight]
    assert weight.max() < 3.0
    return kept[: TOYS * EVENTS].reshape(TOYS, EVENTS, 12)


def test_coefficients_and_moments_are_inverse_to_each_other():
    rng = np.random.default_rng(1)
    for kind, n in (("vector", 12), ("scalar", 3)):
        j = rng.normal(0, 0.1, (4, n)) + np.array([1.0, 1.0] + [0.0] * (n - 2))
        rate = j @ np.array(DENSITIES[kind].rate)
        np.testing.assert_allclose(
            coefficients_from_moments(expected_moments(j, kind)[0], kind), j / rate[:, None], atol=1e-13
        )


def test_tensors_against_a_finer_quadrature():
    x, w = np.polynomial.legendre.leggauss(40)
    phi = np.linspace(-np.pi, np.pi, 64, endpoint=False)
    k, ell, p = (a.ravel() for a in np.meshgrid(x, x, phi, indexing="ij"))
    weight = (w[:, None, None] * w[None, :, None] * np.full(64, 2 * np.pi / 64)).ravel() * 9 / (32 * np.pi)
    f = functions("vector", k, ell, p)
    gram, triple = tensors("vector")
    np.testing.assert_allclose(np.einsum("n,ni,nj->ij", weight, f, f), gram, atol=1e-12)
    np.testing.assert_allclose(np.einsum("n,ni,nj->ij", weight * f[:, 5], f, f), triple[5], atol=1e-12)


def test_moments_and_their_covariance(events):
    flat = events.reshape(-1, 12)
    mean, covariance = expected_moments(J)
    n = len(flat)
    chi2 = np.sum(((flat.mean(axis=0) - mean)[1:]) ** 2 / np.diag(covariance)[1:] * n)
    assert chi2 < 66  # 11 correlated terms; far above the 1e-7 quantile of chi2(11), 56, bent ones give hundreds
    np.testing.assert_allclose(np.cov(flat.T), covariance, atol=6.0 / np.sqrt(n))
    bent = J.copy()
    bent[6] += 0.03
    assert np.sum(((flat.mean(axis=0) - expected_moments(bent)[0])[1:]) ** 2 / np.diag(covariance)[1:] * n) > 66


def test_observables_by_moments(events):
    found = observables(
        events.mean(axis=1), np.full(TOYS, EVENTS), names=[*LIKELIHOOD_OBSERVABLES, "P5p"], definition=massless
    )
    truth = observables(expected_moments(J)[0], 1.0, names=found.names, definition=massless)
    assert truth.values[-1] == pytest.approx(-0.25 / np.sqrt(FL * (1 - FL)))
    pull = (found.values - truth.values) / found.errors
    # standard errors: 0.05 for the mean, 0.035 for the width; P5' is a ratio and slightly biased
    assert np.all(np.abs(pull.mean(axis=0)) < 0.27 + 0.05)
    assert np.all(np.abs(pull.std(axis=0) - 1.0) < 0.19)
    # bent: S5 off by 0.1
    assert abs(np.mean((found.values[:, 3] - TRUTH["S5"] - 0.1) / found.errors[:, 3])) > 1


def test_observables_by_maximum_likelihood(events):
    fit = fit_angles(events, np.ones((TOYS, EVENTS)))
    assert fit.names == LIKELIHOOD_OBSERVABLES
    assert fit.failures == 0
    truth = np.array(list(TRUTH.values()))
    pull = (fit.values - truth) / fit.errors
    assert np.all(np.abs(pull.mean(axis=0)) < 0.27 + 0.05)
    assert np.all(np.abs(pull.std(axis=0) - 1.0) < 0.19)
    moments = observables(events.mean(axis=1), np.full(TOYS, EVENTS), definition=massless)
    # the likelihood uses more: errors are smaller, estimates correlated
    assert np.all(fit.errors.mean(axis=0) < moments.errors[:, :8].mean(axis=0) * 1.001)
    assert np.corrcoef(fit.values[:, 3], moments.values[:, 3])[0, 1] > 0.8


def test_likelihood_fit_agrees_with_iminuit(events):
    iminuit = pytest.importorskip("iminuit")
    f = events[0]
    fit = fit_angles(events[:1], np.ones((1, EVENTS)))

    def minus_log(x):
        fl, s3, s4, s5, afb, s7, s8, s9 = x
        j = [0.75 * (1 - fl), fl, 0.25 * (1 - fl), -fl, s3, s4, s5, 4 / 3 * afb, 0, s7, s8, s9]
        with np.errstate(invalid="ignore"):  # a step beyond what is physical, which Minuit takes back
            return -np.sum(np.log(f @ np.array(j)))

    minuit = iminuit.Minuit(minus_log, np.array([0.5, *[0.0] * 7]))
    minuit.errordef, minuit.tol = 0.5, 1e-4
    minuit.migrad()
    minuit.hesse()
    assert np.max(np.abs(fit.values[0] - np.array(minuit.values)) / fit.errors[0]) < 1e-3
    np.testing.assert_allclose(fit.errors[0], np.array(minuit.errors), rtol=2e-3)


def test_padding_and_batches_change_nothing(events):
    short = np.concatenate([events[:3, :200], np.zeros((3, 50, 12))], axis=1)
    mask = np.concatenate([np.ones((3, 200)), np.zeros((3, 50))], axis=1)
    padded, plain = fit_angles(short, mask), fit_angles(events[:3, :200], np.ones((3, 200)))
    np.testing.assert_allclose(padded.values, plain.values, rtol=1e-9)
    np.testing.assert_array_equal(
        fit_angles(events[:5], np.ones((5, EVENTS)), chunk=2).values,
        fit_angles(events[:5], np.ones((5, EVENTS))).values,
    )


def test_no_event_is_not_an_estimate():
    with np.errstate(invalid="ignore"):
        found = observables(np.full((1, 12), np.nan), [0])
    assert np.isnan(found.values).all()
    assert found.names == tuple(row.name for row in measured_observables("vector"))


def expected_observables(coefficients, kind):
    """What `observables` estimates, exactly, with the covariance for one event."""
    mean, _ = expected_moments(coefficients, kind)
    return observables(mean, np.ones(mean.shape[:-1]), kind)


def test_scalar_channel():
    rng = np.random.default_rng(5)
    c = rng.uniform(-1, 1, 400_000)
    a_fb, f_h = 0.1, 0.2
    density = 0.75 * (1 - f_h) * (1 - c**2) + 0.5 * f_h + a_fb * c
    kept = functions("scalar", c[rng.uniform(0, 0.8, c.size) < density])
    events = kept[:100_000].reshape(200, 500, 3)
    j = np.array([0.75 * (1 - f_h) + 0.5 * f_h, a_fb, -0.75 * (1 - f_h)])
    np.testing.assert_allclose(expected_observables(j, "scalar").values, [a_fb, f_h], atol=1e-12)
    for found in (
        observables(events.mean(axis=1), np.full(200, 500), "scalar"),
        fit_angles(events, np.ones((200, 500)), kind="scalar"),
    ):
        pull = (found.values - np.array([a_fb, f_h])) / found.errors
        assert np.all(np.abs(pull.mean(axis=0)) < 0.45)
        assert np.all(np.abs(pull.std(axis=0) - 1) < 0.28)


def test_p_and_s_wave_are_told_apart(swave_observables):
    """Electrons, exact coefficients in a bin: P-wave observables are those without S wave, the others swave.py's."""
    from darkpenguin.physics.angular import quadrature
    from darkpenguin.physics.kpi import KpiDecay, resolve_kpi, s_wave_fraction

    def binned(system):
        decay = KpiDecay(get_channel("B0->K*0ee"), get_model("fig2"), resolve_kpi(system))
        q2, weights = quadrature(decay.breakpoints(), 2.5, 4.0)
        return decay, decay.spectrum(q2, 1) @ weights

    decay, total = binned("swave")
    _, alone = binned("pwave")
    found = expected_observables(total, "kpi")
    p_wave = expected_observables(alone[:12], "vector")
    places = [found.names.index(name) for name in p_wave.names]
    np.testing.assert_allclose(found.values[places], p_wave.values, rtol=0, atol=2e-6)  # m_e^2/q2 is 1e-7
    rate = np.array([1.5, 0.75, -0.5, -0.25, *[0.0] * 15]) @ total
    s_wave = swave_observables(np.concatenate([np.zeros(3), total[12:]]), rate)
    for name in ("AS", "AS4", "AS5", "AS7", "AS8"):
        assert abs(found.values[found.names.index(name)] - s_wave[name]) < 1e-9, name
    both = [s_wave_fraction(decay, (2.5, 4.0))]
    assert abs(found.values[found.names.index("FS")] - both[0]) < 3e-3  # of both flavours: CP violation is small


def test_errors_with_an_s_wave_are_those_of_toys():
    """Covariance to first order against means that vary: 2,000 toys of 20,000 events, errors within 8 % (5 sigma)."""
    from darkpenguin.physics.kpi import KpiDecay, resolve_kpi

    decay = KpiDecay(get_channel("B0->K*0mumu"), get_model("sm"), resolve_kpi("swave"))
    coefficients = decay.spectrum([3.0], 1)[:, 0]
    mean, covariance = expected_moments(coefficients, "kpi")
    rng = np.random.default_rng(8)
    toys = rng.multivariate_normal(mean, covariance / 20_000, 2_000, method="svd")
    values = observables(toys, np.full(2_000, 20_000), "kpi").values
    predicted = expected_observables(coefficients, "kpi").errors / np.sqrt(20_000)
    np.testing.assert_allclose(values.std(axis=0) / predicted, 1.0, atol=0.08)  # 0.016 each, 15 of them: 5 sigma
