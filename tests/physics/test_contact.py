"""Contact operators of b → s χχ: against flavio's general angular coefficients, explicit spinors, limits, events.

flavio's `angularcoeffs_general_*` (arXiv:1506.03970) have tensor operators with lepton masses. Its amplitude of σγ5 for
B → P (``h["T"]``) lacks the √2 that the one of B → V has; with it, both agree with traces over explicit spinors.
"""

import itertools

import numpy as np
import pytest
from darkpenguin.generator.analysis.validate import validate
from darkpenguin.generator.run.generate import generate, run
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import standard_model
from darkpenguin.physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.dineutrinos import operator_rates
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.invisible import dark_coefficients
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.mediators import DarkPair
from darkpenguin.physics.models import Model, apply_settings
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.rates import branching_ratio, longitudinal_fraction

K, KSTAR = get_channel("B+->K+chichi"), get_channel("B0->K*0chichi")
M, LEFT, RIGHT = 0.6, 1.3e-8 + 0.4e-8j, -0.5e-8 + 0.9e-8j
ORDER = {1: ("1s", "1c", "2s", "2c", 3, 4, 5, "6s", "6c", 7, 8, 9), 0: ("a", "b", "c")}


def contact(operator, **fields):
    return Model(name=operator, contacts=({"operator": operator, "g": LEFT, **fields},))


def flavio_coefficients(channel, operator, q2, mass):
    """J_i of flavio for coefficients ``LEFT`` and ``RIGHT`` of an operator, m_s left out."""
    from flavio.physics.bdecays import angular

    known, name = load_parameters(), {"scalar": "s", "pseudoscalar": "p", "tensor": "t", "vector": "v"}[operator]
    m_b, m_h = known["m_" + channel.parent], known["m_" + channel.hadron]
    factors = {key: float(f[0]) for key, f in standard_model(channel).form_factors([q2]).items()}
    wc = dict.fromkeys(("7", "7p", "v", "vp", "a", "ap", "s", "sp", "p", "pp", "t", "tp"), 0.0)
    wc |= {name: LEFT, name + "p": RIGHT}
    letter = "v" if channel.spin else "p"
    quark = standard_model(channel).m_b
    h = getattr(angular, "helicity_amps_" + letter)(q2, m_b, m_h, quark, 0.0, mass, mass, factors, wc, 1.0)
    if letter == "p":
        h["T"] *= np.sqrt(2.0)  # see the text
    j = getattr(angular, "angularcoeffs_general_" + letter)(h, q2, m_b, m_h, quark, 0.0, mass, mass)
    return np.array([j[key] for key in ORDER[channel.spin]])


@pytest.mark.parametrize("operator", ["vector", "scalar", "pseudoscalar", "tensor"])
@pytest.mark.parametrize("channel", [K, KSTAR], ids=lambda channel: channel.name)
@pytest.mark.parametrize("mass", [0.0, M])
def test_coefficients_are_those_of_flavio(channel, operator, mass):
    for q2 in (1.5, 7.0, 15.0):
        found = dark_coefficients(
            standard_model(channel), np.array([q2]), LEFT, RIGHT, DarkPair(mass, "dirac", operator)
        )[:, 0]
        expected = flavio_coefficients(channel, operator, q2, mass)
        # flavio's J5, 6, 7 of a vector current are those of LHCb's opposite lepton; parity of the pair leaves none
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


def spinor_sum(operator, q2, mass, cosine, hadron):
    """Σ |M|² over the spins of χ for M = hadron[μν...] times the pair's bilinear, by explicit spinors."""
    zero, one = np.zeros((2, 2)), np.eye(2)
    sigma = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    gamma = [np.block([[one, zero], [zero, -one]])]
    gamma += [np.block([[zero, s], [-s, zero]]) for s in sigma]
    energy = 0.5 * np.sqrt(q2)
    p = np.sqrt(energy**2 - mass**2) * np.array([np.sqrt(1 - cosine**2), 0.0, cosine])
    dot = np.einsum("i,iab->ab", p, sigma)
    total = 0.0
    for s, r in itertools.product(np.eye(2), repeat=2):
        u = np.sqrt(energy + mass) * np.concatenate([s, dot @ s / (energy + mass)])
        v = np.sqrt(energy + mass) * np.concatenate([-dot @ r / (energy + mass), r])  # momentum -p
        bar = u.conj() @ gamma[0]
        amplitude = sum(
            hadron[a, b] * (bar @ (0.5j * (gamma[a] @ gamma[b] - gamma[b] @ gamma[a])) @ v)
            for a in range(4)
            for b in range(4)
        )
        total += abs(amplitude) ** 2
    return total


def test_the_tensor_of_a_kaon_by_explicit_spinors():
    """⟨K|s̄ σ^{μν} b|B⟩ = -i (p^μ k^ν - p^ν k^μ) 2 f_T/(m_B + m_K); σγ5 by the dual; indices lowered by hand."""
    sm, q2 = standard_model(K), 9.0
    ff, m_b, m_k = sm.form_factors([q2]), sm.m_parent, sm.m_hadron
    size = np.sqrt((m_b**2 + m_k**2 - q2) ** 2 - 4 * m_b**2 * m_k**2) / (2 * np.sqrt(q2))
    p, k = np.array([np.hypot(m_b, size), 0, 0, size]), np.array([np.hypot(m_k, size), 0, 0, size])
    g = np.diag([1.0, -1.0, -1.0, -1.0])
    tensor = -1j * (np.outer(p, k) - np.outer(k, p)) * 2 * float(ff["fT"][0]) / (m_b + m_k)
    epsilon = np.zeros((4, 4, 4, 4))
    for order in itertools.permutations(range(4)):
        epsilon[order] = np.linalg.det(np.eye(4)[list(order)])
    dual = -0.5j * np.einsum("abcd,cd->ab", epsilon, g @ tensor @ g)
    hadron = g @ (0.5 * ((LEFT + RIGHT) * tensor + (LEFT - RIGHT) * dual)) @ g
    j = dark_coefficients(sm, np.array([q2]), LEFT, RIGHT, DarkPair(M, "dirac", "tensor"))[:, 0]
    beta = np.sqrt(1 - 4 * M**2 / q2)
    phase_space = 2 * size * np.sqrt(q2) * beta / (512 * np.pi**3 * m_b**3)
    for cosine in (-0.9, 0.1, 0.7):
        expected = phase_space * spinor_sum("tensor", q2, M, cosine, hadron)
        np.testing.assert_allclose(j[0] + j[1] * cosine + j[2] * cosine**2, expected, rtol=1e-10)
        assert cosine == 0.1 or abs((j[0] + 1.02 * j[2] * cosine**2) / expected - 1) > 1e-3  # a bent one


def test_a_heavy_vector_is_a_contact_operator():
    heavy = LightVector(mass=200.0, width=1.0, g_bs=1e-3, g_bs_right=4e-4, g_chi=0.2, m_chi=M)
    # L = V J + ½ m² V² leaves -J J'/m²
    model = contact("vector", g=-1e-3 * 0.2 / 200.0**2, g_right=-4e-4 * 0.2 / 200.0**2, m_chi=M)
    for channel in (K, KSTAR):
        found, expected = (
            angular_coefficients(channel, one, [3.0, 9.0], -1) for one in (model, Model(light_vectors=(heavy,)))
        )
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())


def test_shapes_are_those_of_the_recast():
    """Massless: dΓ/dq² of the operators of arXiv:2111.04327, which `operator_rates` has with m_s."""
    q2 = np.linspace(0.5, 20.0, 9)
    known, channel = load_parameters(), get_channel("B+->K+nunu")
    vector, scalar, tensor = operator_rates(channel, Model(), q2)
    quark = (1.0 - known["m_s(4.8)"] / known["m_b(4.8)"]) ** 2
    rates = {
        name: decay_rate(angular_coefficients(K, contact(name), q2, -1))
        for name in ("vector", "scalar", "pseudoscalar", "tensor")
    }
    # χ̄χ makes two chiralities, σ P_R of quarks one of χ
    np.testing.assert_allclose(rates["scalar"] / rates["tensor"], 2 * quark * scalar / tensor, rtol=1e-9)
    # scalar and tensor operators of that paper violate lepton number: each makes pairs of νν and of ν̄ν̄
    np.testing.assert_allclose(rates["scalar"] / rates["vector"], 0.5 * quark * scalar / vector, rtol=1e-9)
    np.testing.assert_allclose(rates["pseudoscalar"], rates["scalar"], rtol=1e-12)


def test_longitudinal_fractions_tell_operators_apart():
    q2 = np.array([2.0, 8.0, 15.0])
    f = {
        name: longitudinal_fraction(angular_coefficients(KSTAR, contact(name), q2, -1))
        for name in ("vector", "scalar", "pseudoscalar", "tensor")
    }
    assert f["scalar"] == pytest.approx(np.ones(3), abs=1e-12)
    assert f["pseudoscalar"] == pytest.approx(np.ones(3), abs=1e-12)
    assert (f["tensor"] < f["vector"]).all()
    assert f["vector"][0] > 0.6
    assert f["tensor"][0] < 0.2
    # at the endpoint the K* is at rest: no direction, one third (arXiv:1312.1923)
    end = np.array([KSTAR.q2_limits()[1] * (1 - 1e-9)])
    for name in ("vector", "tensor"):
        assert longitudinal_fraction(angular_coefficients(KSTAR, contact(name), end, -1))[0] == pytest.approx(
            1 / 3, abs=0.02
        )


@pytest.mark.parametrize("operator", ["vector", "scalar", "pseudoscalar", "tensor"])
def test_limits(operator):
    q2 = np.array([4 * M**2 * 0.999, 9.0])
    one = angular_coefficients(KSTAR, contact(operator, m_chi=M), q2, -1)
    assert not one[:, 0].any()  # below threshold
    assert one[:, 1].any()
    conjugate = angular_coefficients(KSTAR, contact(operator, m_chi=M), q2, +1)
    np.testing.assert_allclose(conjugate[[0, 1, 2, 3]], one[[0, 1, 2, 3]], rtol=1e-12)
    none = apply_settings(contact(operator), "contacts.0.g=0")
    assert branching_ratio(K, none) == 0.0
    doubled = apply_settings(contact(operator), "contacts.0.g=2.6e-8+0.8e-8j")
    np.testing.assert_allclose(branching_ratio(K, doubled), 4 * branching_ratio(K, contact(operator)), rtol=1e-12)
    # two entries have two χ
    both = Model(contacts=(*contact(operator).contacts, *contact("vector").contacts))
    parts = branching_ratio(K, contact(operator)) + branching_ratio(K, contact("vector"))
    np.testing.assert_allclose(branching_ratio(K, both), parts, rtol=1e-12)


def test_rates_by_brute_force():
    model = contact("tensor", m_chi=M)
    edges = np.linspace(4 * M**2, KSTAR.q2_limits()[1], 200_001)
    middle = 0.5 * (edges[1:] + edges[:-1])
    rate = sum(decay_rate(angular_coefficients(KSTAR, model, middle, f)) for f in (-1, 1))
    total = 0.5 * float(rate.sum()) * (edges[1] - edges[0]) * load_parameters()["tau_B0"]
    np.testing.assert_allclose(branching_ratio(KSTAR, model), total, rtol=1e-6)


def test_charged_leptons_and_neutrinos_do_not_see_them():
    model = contact("vector")
    for name in ("B0->K*0mumu", "B0->K*0nunu"):
        channel = get_channel(name)
        found, expected = (angular_coefficients(channel, one, [2.0, 9.0], 1) for one in (model, Model()))
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("channel", "operator"), [(K, "scalar"), (KSTAR, "tensor")])
def test_events_follow_the_prediction(tmp_path, channel, operator):
    """All moments and the spectrum of 50,000 events; false alarms below 1e-6."""
    file = tmp_path / "x.root"
    run(channel.name, model=contact(operator, m_chi=M), events=50_000, seed=3, output=str(file))
    assert validate(file, false_alarm=1e-6).passed


def test_events_of_another_operator_are_seen():
    q2 = {name: generate(K.name, contact(name, m_chi=M), events=20_000, seed=3)["q2"] for name in ("scalar", "tensor")}
    nodes, weights = quadrature(breakpoints(K, contact("scalar", m_chi=M)), 4 * M**2, K.q2_limits()[1])
    rate = decay_rate(angular_coefficients(K, contact("scalar", m_chi=M), nodes, -1)) @ np.stack(
        [weights, weights * nodes], axis=1
    )
    mean = rate[1] / rate[0]
    error = q2["scalar"].std() / np.sqrt(20_000)
    assert abs(q2["scalar"].mean() - mean) < 5 * error
    assert abs(q2["tensor"].mean() - mean) > 10 * error


def test_bad_input():
    for fields, message in (
        ({"operator": "axial"}, "contacts"),
        ({"operator": "scalar", "chi": "scalar"}, "chi = 'scalar': the scalar operator is that of a Dirac chi"),
        ({"operator": "vector", "g_mu": 1.0}, "no such key"),
    ):
        with pytest.raises(InputError, match=message):
            apply_settings(Model(), [f"contacts.0.{key}={value}" for key, value in fields.items()])
    with pytest.raises(InputError, match="constraints know no contacts"):
        constraints(contact("vector"))
