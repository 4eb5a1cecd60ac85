"""Angular coefficients against flavio, and the conventions against decays computed from Dirac spinors."""

import itertools
import warnings

import numpy as np
import pytest
from darkpenguin.kinematics import frames
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import amplitudes_p, amplitudes_v, helicity_amplitudes, standard_model
from darkpenguin.physics.angular import (
    CONVENTIONS,
    _coefficients_p,
    _coefficients_v,
    angular_coefficients,
    breakpoints,
    cp_odd,
    decay_rate,
    event_density,
    event_signs,
    quadrature,
)
from darkpenguin.physics.channels import CHANNELS, get_channel
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import BENCHMARKS, Model, get_model

CHARGED = [name for name, channel in CHANNELS.items() if channel.lepton]
NARROW = Model(
    name="narrow",
    light_vectors=(LightVector(mass=2.2, relative_width=1e-3, g_bs=2e-9 + 1e-9j, g_mu_v=0.1, g_mu_a=-0.3,
                               g_e_v=0.2, g_e_a=0.1, g_tau_v=-0.2, g_tau_a=0.3),),
)  # fmt: skip
MODELS = [*BENCHMARKS.values(), NARROW]


def flavio_j(channel, model, q2, flavour):
    """flavio's J (flavour -1) or Jbar (+1) with eq. (9) of arXiv:1704.06188 added to its coefficients."""
    import flavio
    from flavio.physics.bdecays import angular, bpll
    from flavio.physics.bdecays.bvll import amplitudes as bvll
    from flavio.physics.running import running

    original = bvll.get_wceff

    def shifted(q2, wc, par, parent, hadron, lepton, scale):
        c = original(q2, wc, par, parent, hadron, lepton, scale)
        n, m_b = bvll.prefactor(q2, par, parent, hadron), running.get_mb(par, scale)
        for v in model.light_vectors:
            g_v, g_a = (getattr(v, f"g_{lepton}_{key}") for key in "va")
            wave = (np.conj(v.g_bs) if flavour > 0 else v.g_bs) / n
            wave /= q2 - v.mass**2 + 1j * v.mass * v.total_width
            c["v"] += g_v * wave
            c["a"] += g_a * wave
            c["p"] -= m_b * 2 * par["m_" + lepton] / v.mass**2 * g_a * wave
        return c

    coefficients = flavio.WilsonCoefficients()
    values = {key: value for key, value in model.heavy.model_dump().items() if value}
    if values:
        coefficients.set_initial(
            {key.replace("_mu", "_bsmumu").replace("_e", "_bsee"): v for key, v in values.items()}, scale=4.8
        )
    par = flavio.default_parameters.get_central_all()
    masses = [par["m_" + name] for name in (channel.parent, channel.hadron)]
    m_l = par["m_" + channel.lepton]
    rows = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(bvll, "get_wceff", shifted)
        patch.setattr(bpll, "get_wceff", shifted)
        for s in q2:
            if channel.spin == 1:
                function = bvll.helicity_amps_bar if flavour > 0 else bvll.helicity_amps
                factors = bvll.get_ff(s, par.copy(), channel.parent, channel.hadron)
                h = function(s, factors, coefficients, par, channel.parent, channel.hadron, channel.lepton)
                j = angular.angularcoeffs_general_v(h, s, *masses, 4.2, 0.0, m_l, m_l)
            else:
                function = bpll.helicity_amps_bar if flavour > 0 else bpll.helicity_amps
                h = function(s, coefficients, par, channel.parent, channel.hadron, channel.lepton)
                j = angular.angularcoeffs_general_p(h, s, *masses, 4.2, 0.0, m_l, m_l)
            j = {str(key): value for key, value in j.items()}
            rows.append([j[key] for key in channel.coefficients])
    return np.array(rows).T


def points(channel, number, seed):
    """q2 that are no nodes, above threshold: uniform, logarithmic, near the endpoint, kinks and V's peak."""
    rng = np.random.default_rng(seed)
    low, high = channel.q2_limits()
    found = np.concatenate([
        rng.uniform(low, high, number), np.exp(rng.uniform(min(np.log(low), 0.0), 0.0, number)),
        high - 10 ** rng.uniform(-5, -1, 2), 2.2**2 * (1 + 1e-3 * rng.normal(size=number)),
        [8.8999, 8.9, 8.9001, 11.338, 11.339],
    ])  # fmt: skip
    return found[found > low]  # of taus no more than half


def largest_difference(found, expected):
    return np.max(np.abs(found - expected) / decay_rate(expected))


@pytest.mark.parametrize("flavour", [-1, +1])
@pytest.mark.parametrize("name", CHARGED)
def test_j_is_flavio_s(name, flavour):
    """Every J_i within 1e-5 of dΓ/dq2 was asked; found: 1e-11 for K*, 1e-9 for K μμ, 2e-7 for K ee.

    The last at 1e-6 GeV², from the rounding noise of flavio's own C9eff.
    """
    channel = CHANNELS[name]
    for i, model in enumerate(MODELS):
        q2 = points(channel, 6 if model.name in ("sm", "narrow", "fig2") else 2, seed=10 * i + flavour + 1)
        found = angular_coefficients(channel, model, q2, flavour)
        expected = flavio_j(channel, model, q2, flavour)
        assert largest_difference(found, expected) < 1e-6
        assert largest_difference(found[:, q2 > 1e-3], expected[:, q2 > 1e-3]) < 1e-8


@pytest.mark.parametrize("index", range(12))
def test_bent_coefficients_are_seen(index):
    """A shift of any J_i by 2e-5 of dΓ/dq2 fails the comparison asked for."""
    channel = get_channel("B0->K*0mumu")
    q2 = np.array([2.3, 4.86])
    found = angular_coefficients(channel, NARROW, q2)
    expected = flavio_j(channel, NARROW, q2, -1)
    assert largest_difference(found, expected) < 1e-5
    found[index] += 2e-5 * decay_rate(expected)
    assert largest_difference(found, expected) > 1e-5


# --- the distribution


def basis(cos_k, cos_l, phi):
    """f_i(angles), as in the text of angular.py, written out."""
    s2k, c2k = 1 - cos_k**2, cos_k**2
    sin_k, sin_l = np.sqrt(s2k), np.sqrt(1 - cos_l**2)
    s2l, sin_2k, sin_2l = 1 - cos_l**2, 2 * sin_k * cos_k, 2 * sin_l * cos_l
    cos_2l = 2 * cos_l**2 - 1
    return np.array([
        s2k, c2k, s2k * cos_2l, c2k * cos_2l, s2k * s2l * np.cos(2 * phi), sin_2k * sin_2l * np.cos(phi),
        sin_2k * sin_l * np.cos(phi), s2k * cos_l, c2k * cos_l, sin_2k * sin_l * np.sin(phi),
        sin_2k * sin_2l * np.sin(phi), s2k * s2l * np.sin(2 * phi),
    ])  # fmt: skip


def test_density_integrates_to_the_rate_and_is_positive():
    x, w = np.polynomial.legendre.leggauss(6)
    phi = 2 * np.pi * np.arange(8) / 8
    for name, model, flavour in itertools.product(CHARGED, (get_model("fig2"), NARROW), (-1, 1)):
        channel = CHANNELS[name]
        q2 = points(channel, 5, seed=1)
        density = event_density(channel, model, q2, flavour)
        rate = decay_rate(angular_coefficients(channel, model, q2, flavour))
        if channel.spin == 0:
            values = density[0] + np.multiply.outer(x, density[1]) + np.multiply.outer(x**2, density[2])
            np.testing.assert_allclose(w @ values, rate, rtol=1e-12)
            assert values.min() >= -1e-12 * rate.max()
            continue
        k, c, p = (a.ravel() for a in np.meshgrid(x, x, phi, indexing="ij"))
        weight = (w[:, None, None] * w[None, :, None] * np.full((1, 1, 8), np.pi / 4)).ravel()
        values = 9 / (32 * np.pi) * np.tensordot(basis(k, c, p), density, axes=(0, 0))
        np.testing.assert_allclose(weight @ values, rate, rtol=1e-12)
        assert np.all(values >= -1e-12 * rate)


def test_massless_rate_is_the_sum_over_helicities():
    # for massless leptons J gives dΓ/dq2 = 8/3 q2 √λ/(2^9 π³ m_B³) Σ |H|²; for K, 8/3 of the same
    for name in ("B0->K*0ee", "B+->K+ee"):
        channel = get_channel(name)
        sm = standard_model(channel)
        q2 = np.array([1.0, 6.0, 15.0])
        h = helicity_amplitudes(channel, get_model("sm"), q2)
        total = sum(np.abs(value) ** 2 for key, value in h.items() if key not in "SP")
        lam = (sm.m_parent**2 - sm.m_hadron**2 - q2) ** 2 - 4 * sm.m_hadron**2 * q2
        expected = 8 / 3 * q2 * np.sqrt(lam) / (2**9 * np.pi**3 * sm.m_parent**3) * total
        j = angular_coefficients(channel, get_model("sm"), q2)
        np.testing.assert_allclose(decay_rate(j), expected, rtol=1e-5)  # 8 m_e² / q2
        if channel.spin == 1:
            np.testing.assert_allclose(j[0], 3 * j[2], rtol=1e-5)
            np.testing.assert_allclose(j[1], -j[3], rtol=1e-5)


def test_rate_is_flavio_s():
    from flavio.physics.bdecays.bvll.observables import dGdq2

    channel = get_channel("B0->K*0mumu")
    j = angular_coefficients(channel, get_model("fig2"), [1.0, 5.0])
    assert decay_rate(j)[1] == pytest.approx(dGdq2(dict(zip(channel.coefficients, j[:, 1], strict=True))))


def test_outside_phase_space_is_zero():
    for name in CHARGED:
        low, high = CHANNELS[name].q2_limits()
        j = angular_coefficients(CHANNELS[name], get_model("sm"), [0.0, low, high, high + 1, -1.0, 0.5 * (low + high)])
        assert not j[:, :5].any()
        assert j[:, 5].any()


def test_flavours_differ_only_through_weak_phases():
    """Without CKM phases (by the rotation to real N, and no u-quark term) J̄ = J up to a few per mille."""
    channel = get_channel("B0->K*0mumu")
    b, bbar = (angular_coefficients(channel, get_model("sm"), [3.0, 17.0], f) for f in (1, -1))
    assert np.max(np.abs(b - bbar) / decay_rate(b)) < 0.01


def test_wrong_flavour_and_convention():
    channel = get_channel("B0->K*0mumu")
    for flavour in (0, 2, "b"):
        with pytest.raises(InputError, match="flavour"):
            angular_coefficients(channel, get_model("sm"), [1.0], flavour)
    with pytest.raises(InputError, match="lhcb or theory"):
        event_signs(channel, 1, "LHCb")


# --- conventions, from four-momenta and Dirac spinors


METRIC = np.diag([1.0, -1.0, -1.0, -1.0])
SIGMA = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
GAMMA = np.array(
    [np.kron([[0, 1], [1, 0]], np.eye(2))] + [np.kron([[0, 1], [-1, 0]], s) for s in SIGMA]
)  # chiral representation; γ^5 = diag(-1, 1)
GAMMA_5 = 1j * GAMMA[0] @ GAMMA[1] @ GAMMA[2] @ GAMMA[3]
LEVI_CIVITA = np.zeros((4, 4, 4, 4))
for permutation in itertools.permutations(range(4)):
    LEVI_CIVITA[permutation] = np.linalg.det(np.eye(4)[list(permutation)])  # ε^{0123} = +1

M_B, M_V, M_K, M_PI, M_L = 5.28, 0.89, 0.494, 0.14, 0.4  # a heavy lepton, so that masses are seen
FACTORS = {"V": 0.4, "A1": 0.3, "A2": 0.25, "A0": 0.45}
C9, C10, C9P, C10P, C_S, C_P = 4.0 + 1.5j, -3.0 + 0.8j, 1.0 - 2.0j, 0.5 + 1.1j, 0.7 - 0.4j, 0.3 + 0.6j
M_QUARK = 4.0


def dot(a, b):
    return a @ METRIC @ b


def slash(a):
    return np.einsum("mab,m->ab", GAMMA, METRIC @ a)


def boost(p, to):
    """p from the rest frame of the momentum ``to`` to the frame where it is ``to``."""
    mass = np.sqrt(dot(to, to))
    gamma, beta_gamma = to[0] / mass, to[1:] / mass
    along = beta_gamma @ p[1:]
    return np.concatenate([[gamma * p[0] + along], p[1:] + beta_gamma * (p[0] + along / (1 + gamma))])


def decay(p, m_1, m_2, direction):
    """Daughters of p, the first one along ``direction`` in the rest frame."""
    mass = np.sqrt(dot(p, p))
    k = np.sqrt((mass**2 - (m_1 + m_2) ** 2) * (mass**2 - (m_1 - m_2) ** 2)) / (2 * mass)
    one = np.concatenate([[np.hypot(k, m_1)], k * direction])
    two = np.concatenate([[np.hypot(k, m_2)], -k * direction])
    return boost(one, p), boost(two, p)


def lhcb_angles(p_b, kaon, pion, l_minus, l_plus):
    """cosθ_K, cosθ_ℓ, φ of a B̄0 (K-, π+, ℓ-, ℓ+): appendix A of arXiv:1304.6325, in the B̄ rest frame."""

    def to_frame(p, frame):
        return boost(p, np.concatenate([frame[:1], -frame[1:]]))

    def cosine(p, frame):
        p, back = to_frame(p, frame)[1:], -to_frame(p_b, frame)[1:]
        return p @ back / np.linalg.norm(p) / np.linalg.norm(back)

    k_star, dilepton = kaon + pion, l_minus + l_plus
    n_l, n_k = np.cross(l_minus[1:], l_plus[1:]), np.cross(kaon[1:], pion[1:])
    n_l, n_k = n_l / np.linalg.norm(n_l), n_k / np.linalg.norm(n_k)
    axis = k_star[1:] / np.linalg.norm(k_star[1:])
    sine = -np.cross(n_l, n_k) @ axis  # the minus is the B̄0's
    return cosine(kaon, k_star), cosine(l_minus, dilepton), np.arctan2(sine, n_l @ n_k)


def lepton_trace(matrix, l_minus, l_plus):
    """|ū(ℓ-) Γ v(ℓ+)|² summed over spins: tr[(p̸_- + m) Γ (p̸_+ - m) Γ̄]."""
    bar = GAMMA[0] @ matrix.conj().T @ GAMMA[0]
    mass = M_L * np.eye(4)
    return np.trace((slash(l_minus) + mass) @ matrix @ (slash(l_plus) - mass) @ bar).real


def random_direction(rng):
    v = rng.normal(size=3)
    return v / np.linalg.norm(v)


def kstar_currents(eps, k_star, dilepton):
    """Vector and axial part of <K*(k, ε)| s̄ γ^μ (1-γ5) b |B̄> as in arXiv:0811.1214, for ε*."""
    v, a1, a2, a0 = (FACTORS[key] for key in ("V", "A1", "A2", "A0"))
    a3 = (M_B + M_V) / (2 * M_V) * a1 - (M_B - M_V) / (2 * M_V) * a2
    lower = [METRIC @ p for p in (eps, k_star + dilepton, k_star)]
    eps_q = dot(eps, dilepton)
    vector = -2 * np.einsum("mnrs,n,r,s->m", LEVI_CIVITA, *lower) * v / (M_B + M_V)
    axial = -1j * (
        eps * (M_B + M_V) * a1
        - (2 * k_star + dilepton) * eps_q * a2 / (M_B + M_V)
        - dilepton * eps_q * 2 * M_V / dot(dilepton, dilepton) * (a3 - a0)
    )
    return vector, axial


def lepton_matrix(left, right, scalar):
    """Σ C O: hadronic vectors of the left- and right-handed operators, and the scalar matrix element."""
    matrix = M_QUARK * scalar * (C_S * np.eye(4) + C_P * GAMMA_5)
    for current, c9, c10 in ((left, C9, C10), (right, C9P, C10P)):
        gamma = np.einsum("mab,m->ab", GAMMA, METRIC @ current)
        matrix = matrix + c9 * gamma + c10 * gamma @ GAMMA_5
    return matrix


def kstar_event(rng):
    """Angles of a random B̄0 → K-π+ ℓ-ℓ+ event at q2 = 6 GeV², and its |amplitude|² over spins."""
    p_b = np.array([M_B, 0.0, 0.0, 0.0])
    k_star, dilepton = decay(p_b, M_V, np.sqrt(6.0), random_direction(rng))
    kaon, pion = decay(k_star, M_K, M_PI, random_direction(rng))
    l_minus, l_plus = decay(dilepton, M_L, M_L, random_direction(rng))
    # Σ ε*^ν ε·(p_K - p_π): the polarisation sum with the amplitude of K* → Kπ
    difference = kaon - pion
    eps = -difference + k_star * dot(k_star, difference) / M_V**2
    vector, axial = kstar_currents(eps, k_star, dilepton)
    # <K*| s̄ (1+γ5) b |B̄> from the equation of motion, m_s = 0
    scalar = dot(dilepton, axial) / M_QUARK
    matrix = lepton_matrix(vector + axial, vector - axial, scalar)
    return lhcb_angles(p_b, kaon, pion, l_minus, l_plus), lepton_trace(matrix, l_minus, l_plus)


def kaon_event(rng):
    """cosθ_ℓ of a random B̄0 → K̄0 ℓ-ℓ+ event, of the ℓ- against minus the B̄0, and |amplitude|²."""
    p_b = np.array([M_B, 0.0, 0.0, 0.0])
    kaon, dilepton = decay(p_b, M_K, np.sqrt(6.0), random_direction(rng))
    l_minus, l_plus = decay(dilepton, M_L, M_L, random_direction(rng))
    f_plus, f_0 = 0.4, 0.3
    step = M_B**2 - M_K**2
    current = f_plus * (p_b + kaon) + (f_0 - f_plus) * step / 6.0 * dilepton
    matrix = lepton_matrix(current, current, step / M_QUARK * f_0)
    (lepton, back) = (boost(p, np.concatenate([dilepton[:1], -dilepton[1:]]))[1:] for p in (l_minus, p_b))
    cosine = -lepton @ back / np.linalg.norm(lepton) / np.linalg.norm(back)
    return cosine, lepton_trace(matrix, l_minus, l_plus)


def our_coefficients(spin):
    """J at q2 = 6 GeV² from our amplitude formulas with the numbers above in place of the SM's."""
    from dataclasses import replace

    sm = standard_model(get_channel("B0->K*0mumu" if spin else "B0->K0mumu"))
    sm = replace(sm, m_parent=M_B, m_hadron=M_V if spin else M_K, m_b=M_QUARK, prefactors=np.ones(2, complex),
                 spectator_end=0.0)  # fmt: skip
    q2 = np.array([6.0])
    lam = (M_B**2 - sm.m_hadron**2 - q2) ** 2 - 4 * sm.m_hadron**2 * q2
    v, a1, a2 = (FACTORS[key] for key in ("V", "A1", "A2"))
    a12 = ((M_B + M_V) ** 2 * (M_B**2 - M_V**2 - q2) * a1 - lam * a2) / (16 * M_B * M_V**2 * (M_B + M_V))
    factors = {"V": v, "A1": a1, "A12": a12, "A0": FACTORS["A0"], "T1": 0.0, "T2": 0.0, "T23": 0.0,
               "f+": 0.4, "f0": 0.3, "fT": 0.0}  # fmt: skip
    factors = {key: np.broadcast_to(value, (1,)) for key, value in factors.items()}
    wilson = dict.fromkeys(("7", "7p", "sp", "pp"), np.zeros(1, complex))
    wilson |= {"v": np.array([C9]), "a": np.array([C10]), "vp": np.array([C9P]), "ap": np.array([C10P])}
    wilson |= {"s": np.array([M_QUARK * C_S]), "p": np.array([M_QUARK * C_P])}
    amplitudes, coefficients = ((amplitudes_p, _coefficients_p), (amplitudes_v, _coefficients_v))[spin]
    return coefficients(amplitudes(sm, factors, wilson, q2, M_L, False), sm, q2, M_L)[:, 0]


def test_left_handed_quarks_make_kstar_of_helicity_minus():
    """What fixes the sign of ε: the s quark of a (1-γ5) current has helicity -1/2."""
    k_star, dilepton = decay(np.array([M_B, 0.0, 0.0, 0.0]), M_V, np.sqrt(6.0), np.array([0.0, 0.0, 1.0]))
    plus, minus = (sum(kstar_currents(np.array([0.0, 1.0, -1j * sign, 0.0]), k_star, dilepton)) for sign in (1, -1))
    assert np.linalg.norm(minus) > 5 * np.linalg.norm(plus)


def test_lhcb_density_of_the_bbar_from_spinors():
    rng = np.random.default_rng(11)
    j = event_signs(get_channel("B0->K*0mumu"), -1, "lhcb") * our_coefficients(1)
    angles, squares = zip(*(kstar_event(rng) for _ in range(100)), strict=True)
    f, squares = basis(*np.array(angles).T), np.array(squares)
    ratio = squares / (j @ f)
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-9)
    # every coefficient on its own, and none of them accidentally zero
    fitted = np.linalg.lstsq(f.T, squares / ratio.mean(), rcond=None)[0]
    np.testing.assert_allclose(fitted, j, atol=1e-9 * np.abs(j).max())
    assert np.abs(j).min() > 1e-3 * np.abs(j).max()


def test_lhcb_density_of_the_bbar_to_k_from_spinors():
    rng = np.random.default_rng(12)
    j = event_signs(get_channel("B0->K0mumu"), -1, "lhcb") * our_coefficients(0)
    cosine, squares = np.array([kaon_event(rng) for _ in range(20)]).T
    ratio = squares / (j @ [np.ones(20), cosine, cosine**2])
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-9)
    assert abs(j[1]) > 0.05 * abs(j[0])


def test_conventions_are_relabelled_angles():
    """The two conventions describe the same events: θ_ℓ → π-θ_ℓ, φ → -φ for flavour -1, φ → φ+π for +1."""
    rng = np.random.default_rng(5)
    cos_k, cos_l = rng.uniform(-1, 1, (2, 100))
    phi = rng.uniform(-np.pi, np.pi, 100)
    channel = get_channel("B0->K*0mumu")
    j = {flavour: angular_coefficients(channel, NARROW, [4.8], flavour)[:, 0] for flavour in (-1, 1)}
    density = {
        (flavour, convention): event_density(channel, NARROW, [4.8], flavour, convention)[:, 0]
        for flavour in (-1, 1) for convention in CONVENTIONS
    }  # fmt: skip
    lhcb = density[-1, "lhcb"] @ basis(cos_k, cos_l, phi)
    np.testing.assert_allclose(density[-1, "theory"] @ basis(cos_k, -cos_l, -phi), lhcb, rtol=1e-12)
    lhcb = density[1, "lhcb"] @ basis(cos_k, cos_l, phi)
    np.testing.assert_allclose(density[1, "theory"] @ basis(cos_k, cos_l, phi + np.pi), lhcb, rtol=1e-12)
    # theory: the B̄0 is J itself; the B0 is J̄ after CP (φ → -φ) and ℓ+ → ℓ- (θ_ℓ → π-θ_ℓ, φ → φ+π)
    np.testing.assert_array_equal(density[-1, "theory"], j[-1])
    np.testing.assert_allclose(
        density[1, "theory"] @ basis(cos_k, cos_l, phi), j[1] @ basis(cos_k, -cos_l, np.pi - phi), rtol=1e-12
    )
    # LHCb: CP-conjugate events have the same angles, so both flavours have the same signs
    for flavour in (-1, 1):
        expected = [-1.0 if name in ("4", "6s", "6c", "7", "9") else 1.0 for name in channel.coefficients]
        np.testing.assert_array_equal(density[flavour, "lhcb"], expected * j[flavour])
    kaon = get_channel("B+->K+mumu")
    signs = {key: event_signs(kaon, *key).tolist() for key in itertools.product((-1, 1), CONVENTIONS)}
    assert signs[-1, "lhcb"] == signs[1, "lhcb"] == signs[1, "theory"] == [1.0, 1.0, 1.0]
    assert signs[-1, "theory"] == [1.0, -1.0, 1.0]


def test_cp_turns_the_coefficients_that_are_said():
    """CP of momenta, read with one definition of the angles: ζ_i of arXiv:1502.05509; the kaons exchanged: nothing."""
    rng = np.random.default_rng(6)
    channel, float64 = get_channel("Bs->phimumu"), np.float64
    zeta = np.array([-1.0 if name in cp_odd(1) else 1.0 for name in channel.coefficients])
    for convention, _ in itertools.product(CONVENTIONS, range(20)):
        signs = frames.convention_signs(convention, channel.angles_of(1))
        assert signs == frames.convention_signs(convention, channel.angles_of(-1))
        cos_k, cos_l, phi = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-np.pi, np.pi)
        where = (signs[0] * cos_l, signs[1] * np.cos(phi), signs[2] * np.sin(phi))
        km, kp, lp, lm = frames.vector_decay(float64, 6.0, cos_k, *where, 5.37, 1.02, 0.49, 0.49, 0.106)

        def read(km, kp, lp, lm, signs=signs):
            phi, dilepton = np.add(km, kp), np.add(lp, lm)
            np.testing.assert_allclose(phi, -dilepton, atol=1e-12)
            found = (
                frames.cosine_in_pair(float64, km, 0.49, kp, 0.49),
                signs[0] * frames.cosine_in_pair(float64, lp, 0.106, lm, 0.106),
            )
            cosine, sine = frames.decay_plane_angle(float64, km, kp, lp, lm)
            return basis(*found, np.arctan2(signs[2] * sine, signs[1] * cosine))

        f = basis(cos_k, cos_l, phi)
        np.testing.assert_allclose(read(km, kp, lp, lm), f, atol=1e-9)
        conjugate = (tuple(-x for x in p) for p in (kp, km, lm, lp))
        np.testing.assert_allclose(read(*conjugate), zeta * f, atol=1e-9)
        np.testing.assert_allclose(read(kp, km, lp, lm), f, atol=1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_an_untagged_sum_has_averages_and_asymmetries(convention):
    """J + J̄ of 1, 2, 3, 4, 7 and J - J̄ of 5, 6, 8, 9, with the signs of the b-quark decay."""
    channel = get_channel("Bs->phimumu")
    j, conjugate = (angular_coefficients(channel, NARROW, [4.8], flavour)[:, 0] for flavour in (-1, 1))
    found = sum(event_density(channel, NARROW, [4.8], flavour, convention)[:, 0] for flavour in (-1, 1))
    signs = event_signs(channel, -1, convention)
    odd = np.array([name in ("5", "6s", "6c", "8", "9") for name in channel.coefficients])
    np.testing.assert_array_equal(found, signs * np.where(odd, j - conjugate, j + conjugate))
    assert np.abs(found[odd]).max() > 1e-3 * decay_rate(found)  # the weak and the strong phase of V


# --- breakpoints and quadrature


def test_breakpoints_hold_the_kinks_and_the_resonance():
    for name in CHARGED:
        channel = CHANNELS[name]
        low, high = channel.q2_limits()
        found = breakpoints(channel, [get_model("sm"), NARROW])
        assert (found[0], found[-1]) == (low, high)
        assert np.all(np.diff(found) > 0)
        for q2 in (9.0, 14.0, 2.2**2, *([8.9] if channel.spin else [])):
            assert q2 < low or np.min(np.abs(found - q2)) < 1e-12
        reach = 2.2**2 * 1e-3
        assert low > 2.2**2 or np.count_nonzero(np.abs(found - 2.2**2) < 2.1 * reach) >= 9
        kinks = standard_model(channel).kinks
        assert np.isin(kinks[(kinks > low) & (kinks < high)], found).all()


@pytest.mark.parametrize("name", ["B0->K*0mumu", "B+->K+ee"])
def test_integrals_between_breakpoints_converge(name):
    channel = CHANNELS[name]
    for model in (get_model("sm"), NARROW, get_model("fig2").model_copy(update={"width": "running"})):
        points = breakpoints(channel, model)
        for low, high in ((points[0], points[-1]), (0.1, 0.98), (1.1, 6.0), (4.83, 4.85), (18.0, points[-1])):
            coarse, fine = (
                angular_coefficients(channel, model, nodes, 1) @ weights
                for nodes, weights in (quadrature(points, low, high, order) for order in (12, 30))
            )
            assert np.max(np.abs(coarse - fine)) < 1e-10 * decay_rate(fine)


def test_quadrature_is_exact_for_square_roots_at_the_ends():
    nodes, weights = quadrature([], 1.0, 3.0)
    assert weights @ np.sqrt(nodes - 1.0) == pytest.approx(2 / 3 * 2**1.5, rel=1e-12, abs=0)
    assert weights @ np.sqrt((nodes - 1) * (3 - nodes)) == pytest.approx(np.pi / 2, rel=1e-12, abs=0)
    assert weights.sum() == pytest.approx(2.0, rel=1e-12, abs=0)
