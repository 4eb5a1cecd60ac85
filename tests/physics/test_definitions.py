"""The two definitions of F_L and the P_i: equal for massless leptons, apart by m²/q², and said in one place."""

import numpy as np
import pytest
from darkpenguin import get_channel, get_model
from darkpenguin.physics.angular import angular_coefficients, quadrature
from darkpenguin.physics.definitions import as_defined, massless, of_sum, p_wave, transverse_ratio
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi
from darkpenguin.physics.moments import expected_moments, follows_from, observables
from darkpenguin.physics.observables import OBSERVABLES, measured_observables
from darkpenguin.physics.swave import swave_rate

NAMES = ("FL", "P1", "P2", "P3", "P4p", "P5p", "P6p", "P8p")


def both(lepton, q2):
    """Observables of the Standard Model by either definition, {name: (as defined, massless)}."""
    channel = get_channel(f"B0->K*0{lepton}")
    found = of_sum(sum(angular_coefficients(channel, get_model("sm"), [q2], flavour) for flavour in (-1, 1)))
    values = {}
    for name in NAMES:
        values[name] = [
            float(OBSERVABLES[name].formula(type(found)(definition(found.s), found.spin, found.rate))[0])
            for definition in (as_defined, massless)
        ]
    return values


def test_they_agree_for_massless_leptons_and_differ_by_the_mass_squared():
    for one, other in both("ee", 2.0).values():
        assert one == pytest.approx(other, rel=1e-5)  # m_e²/q² is 1.3e-7
    for q2, largest in ((0.5, 0.30), (6.0, 0.02)):
        apart = [abs(one / other - 1) for one, other in both("mumu", q2).values()]
        assert 0.105658**2 / q2 < max(apart) < largest
    # 4 m²/q² of the muon at 0.5 GeV² is 0.09: both definitions are needed to describe what is there today
    f_l = both("mumu", 0.5)["FL"]
    assert abs(f_l[0] - f_l[1]) > 0.01


def test_formulas_of_experiments():
    """S_i/√(F_L(1-F_L)) and 2S_3/(1-F_L) from massless rows, values of nothing in particular."""
    s = {"1c": 0.6, "2c": -0.6, "1s": 0.3, "2s": 0.1, "6s": 0.2, "6c": 0.0, "3": -0.02, "5": -0.3, "9": 0.01}
    found = type(of_sum([1.0, 0.0, 0.0]))(massless(lambda name: s.get(name, 0.0)), 1)
    assert OBSERVABLES["P5p"].formula(found) == pytest.approx(-0.3 / np.sqrt(0.24))
    assert OBSERVABLES["P1"].formula(found) == pytest.approx(-0.04 / 0.4)
    assert OBSERVABLES["P2"].formula(found) == pytest.approx(2 / 3 * 0.15 / 0.4)
    assert OBSERVABLES["P3"].formula(found) == pytest.approx(-0.01 / 0.4)


def test_bins_of_events_have_the_definition_of_predictions():
    """Near threshold `bin` and `predict` agree; toys, and what is not seen, take ``massless`` by name."""
    channel = get_channel("B0->K*0mumu")
    j = sum(angular_coefficients(channel, get_model("sm"), [0.5], flavour) for flavour in (-1, 1))[:, 0]
    signs = np.array([-1.0 if name in ("4", "6s", "6c", "7", "9") else 1.0 for name in channel.coefficients])
    mean, _ = expected_moments(signs * j)
    want = both("mumu", 0.5)
    found = observables(mean, 1.0, names=NAMES)
    assert dict(zip(found.names, found.values, strict=True)) == pytest.approx({n: want[n][0] for n in NAMES})
    found = observables(mean, 1.0, names=NAMES, definition=massless)
    assert dict(zip(found.names, found.values, strict=True)) == pytest.approx({n: want[n][1] for n in NAMES})


def sums_of_waves(channel, model, low, high):
    """S_i of P and S wave together by quadrature, of the P wave alone, F_S, and the mean of `transverse_ratio`."""
    decay = KpiDecay(get_channel(channel), get_model(model), resolve_kpi("swave"))
    q2, weights = quadrature(decay.breakpoints(), low, high)
    masses, steps = np.polynomial.legendre.leggauss(30)
    start, stop = decay.system.window
    p, s, mean = np.zeros(12), np.zeros(3), np.zeros(2)
    for x, step in zip(masses, steps, strict=True):
        mass = 0.5 * (start + stop) + 0.5 * (stop - start) * x
        shapes = step * decay.shapes(mass)
        parts = sum(decay.parts(q2, mass, flavour) for flavour in (1, -1))
        p += shapes[0] * (parts[:12] @ weights)
        s += shapes[1] * (parts[12:15] @ weights)
        rate = shapes[0] * (np.array([1.5, 0.75, -0.5, -0.25]) @ parts[:4]) + shapes[1] * swave_rate(parts[12:15])
        mean += rate @ weights, (rate * transverse_ratio(q2, decay.m_lepton)) @ weights
    names = decay.channel.coefficients
    total = p.copy()
    for row, pair in enumerate((("1s", "1c"), ("2s", "2c"), ("6s", "6c"))):
        for name in pair:
            total[names.index(name)] += s[row]
    part = mean[0] - float(swave_rate(s))
    return (
        dict(zip(names, total / mean[0], strict=True)),
        dict(zip(names, p / part, strict=True)),
        1 - part / mean[0],
        mean[1] / mean[0],
    )


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.98), (1.1, 2.5), (4.0, 6.0), (15.0, 17.0)])
@pytest.mark.parametrize("model", ["sm", "fig1-2.5gev"])
def test_p_and_s_wave_are_told_apart_with_lepton_masses(model, low, high):
    """F_S within 0.005, S_i of the P wave within 1.5 %; for massless leptons F_S is twice the true one in 0.1-0.98."""
    sums, alone, fraction, ratio = sums_of_waves("B0->K*0mumu", model, low, high)
    found = p_wave(sums.__getitem__, ratio)
    assert found("S") == pytest.approx(fraction, abs=0.005)
    for name in ("1s", "1c", "2s", "2c", "5", "6s"):
        assert found(name) == pytest.approx(alone[name], rel=0.015, abs=2e-3), name
    bent = 0.75 * (sums["1s"] - 3.0 * sums["2s"])
    assert low > 1.0 or bent > 2.0 * fraction


def test_errors_are_the_derivatives():
    """Complex steps against derivatives by hand of P5' = S5/√(F_L(1-F_L)) and P1 = 2 S3/(1-F_L)."""
    f_l, s3, s5 = 0.6, -0.02, -0.3
    s = np.array([0.3, f_l, 0.1, -f_l, s3, -0.1, s5, 0.2, 0.0, 0.03, -0.04, 0.01])
    mean, covariance = expected_moments(s)
    found = observables(mean, 1.0, names=["FL", "S3", "S5", "P5p", "P1"], definition=massless)
    place = {name: i for i, name in enumerate(found.names)}
    linear = found.covariance[np.ix_(*[[place[n] for n in ("FL", "S3", "S5")]] * 2)]
    root = np.sqrt(f_l * (1 - f_l))
    p5 = np.array([-0.5 * s5 * (1 - 2 * f_l) / root**3, 0.0, 1 / root])
    p1 = np.array([2 * s3 / (1 - f_l) ** 2, 2 / (1 - f_l), 0.0])
    for a, b, want in (
        ("P5p", "P5p", p5 @ linear @ p5),
        ("P1", "P1", p1 @ linear @ p1),
        ("P5p", "P1", p5 @ linear @ p1),
    ):
        assert found.covariance[place[a], place[b]] == pytest.approx(want, rel=1e-12)
    # F_L = 2<cos²> - <sin²>/2: from the second moments of the means themselves
    by_hand = 4 * covariance[1, 1] + 0.25 * covariance[0, 0] - 2 * covariance[0, 1]
    assert found.covariance[place["FL"], place["FL"]] == pytest.approx(by_hand, rel=1e-12)


def test_what_follows_from_what():
    names = [row.name for row in measured_observables("vector")]
    assert follows_from(names[:8]) is None
    assert follows_from([*names[:8], "P5p"]) == ("P5p", ("FL", "S5"))
    assert follows_from(["P5p", "S5"]) is None
    assert follows_from([]) is None
