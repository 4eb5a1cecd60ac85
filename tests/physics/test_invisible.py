"""Angular coefficients of the invisible modes against flavio and first principles, and their events."""

import itertools

import numpy as np
import pytest
from darkpenguin.generator.run.card import make_card, read_card
from darkpenguin.generator.run.generate import generate
from darkpenguin.generator.run.plan import plan_run
from darkpenguin.generator.sampler.backend import select_backend
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import standard_model
from darkpenguin.physics.angular import angular_coefficients, breakpoints, decay_rate, event_density, quadrature
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.densities import DENSITIES
from darkpenguin.physics.invisible import (
    PairTensor,
    hadronic_amplitudes,
    neutrino_tensor,
    pair_coefficients,
)
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, apply_settings, get_model
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.rates import branching_ratio
from darkpenguin.physics.widths import invisible_width
from scipy.stats import chi2

COMPLEX = LightVector(mass=2.5, relative_width=0.2, g_bs=1e-8 + 3e-9j, g_bs_right=-4e-9 + 1e-9j, g_nu_mu=0.3, m_chi=0.5)
POINT = Model(name="complex", light_vectors=(COMPLEX,))
ORDER_V = ("1s", "1c", "2s", "2c", 3, 4, 5, "6s", "6c", 7, 8, 9)
ORDER_P = ("a", "b", "c")


def flavio_coefficients(channel, q2, pairs, mass):
    """flavio's general angular coefficients, summed over pairs of (prefactor, v, a, v', a')."""
    from flavio.physics.bdecays import angular

    known = load_parameters()
    m_b, m_h = known["m_" + channel.parent], known["m_" + channel.hadron]
    factors = {name: float(f[0]) for name, f in standard_model(channel).form_factors([q2]).items()}
    total = 0.0
    for prefactor, v, a, vp, ap in pairs:
        wc = dict.fromkeys(("7", "7p", "s", "sp", "p", "pp", "t", "tp"), 0.0) | {
            "v": v,
            "a": a,
            "vp": vp,
            "ap": ap,
        }
        amplitudes, coefficients, order = (
            (angular.helicity_amps_v, angular.angularcoeffs_general_v, ORDER_V)
            if channel.spin == 1
            else (angular.helicity_amps_p, angular.angularcoeffs_general_p, ORDER_P)
        )
        h = amplitudes(q2, m_b, m_h, 4.0, 0.0, mass, mass, factors, wc, prefactor)
        j = coefficients(h, q2, m_b, m_h, 4.0, 0.0, mass, mass)
        total = total + np.array([j[key] for key in order])
    return total


@pytest.mark.parametrize("name", ["B0->K*0chichi", "B+->K*+chichi", "B+->K+chichi", "B0->K0chichi"])
@pytest.mark.parametrize("q2", [1.3, 6.25, 15.0])
def test_massive_dirac_chi_equals_flavio_with_a_vector_current(name, q2):
    channel = get_channel(name)
    wave = complex(COMPLEX.propagator(q2)) * COMPLEX.chi_coupling
    expected = flavio_coefficients(
        channel, q2, [(1.0, COMPLEX.g_bs * wave, 0.0, COMPLEX.g_bs_right * wave, 0.0)], COMPLEX.m_chi
    )
    found = angular_coefficients(channel, POINT, [q2], -1)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12 * decay_rate(expected))


@pytest.mark.parametrize("name", ["B0->K*0nunu", "B+->K+nunu"])
@pytest.mark.parametrize("q2", [0.5, 6.0, 14.0])
def test_neutrinos_equal_flavio_with_v_in_one_flavour(name, q2):
    channel = get_channel(name)
    known = load_parameters()
    n, standard = known.prefactor, known["CL_sm"]
    wave = complex(COMPLEX.propagator(q2)) * COMPLEX.g_nu_mu / 2 / n
    left, right = standard + COMPLEX.g_bs * wave, COMPLEX.g_bs_right * wave
    pairs = [(n, standard, -standard, 0.0, 0.0)] * 2 + [(n, left, -left, right, -right)]
    expected = flavio_coefficients(channel, q2, pairs, 0.0)
    found = angular_coefficients(channel, POINT, [q2], -1)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12 * decay_rate(expected))


def test_the_scalar_distribution_from_first_principles():
    """|sum_lambda H_lambda D(K*) eps_lambda . n|^2 on a grid of angles, with n the direction of chi.

    The same contraction for a massless Dirac pair, delta_ij - n_i n_j, is the check of the angles' meaning.
    """
    channel, s = get_channel("B0->K*0chichi"), np.array([7.0])
    sm = standard_model(channel)
    left, right = 1e-8 + 3e-9j, -4e-9 + 1e-9j
    h = {k: complex(v[0]) for k, v in hadronic_amplitudes(sm, s, left, right).items()}
    rng = np.random.default_rng(3)
    ck, cl, phi = rng.uniform(-1, 1, 40), rng.uniform(-1, 1, 40), rng.uniform(-np.pi, np.pi, 40)
    sk, sl = np.sqrt(1 - ck**2), np.sqrt(1 - cl**2)
    # eps_lambda . n for helicities along z, and the K* -> K pi amplitudes of the same helicities
    plus = h["+"] * (sk / np.sqrt(2)) * np.exp(1j * phi) * sl / np.sqrt(2)
    minus = h["-"] * (sk / np.sqrt(2)) * np.exp(-1j * phi) * sl / np.sqrt(2)
    along = h["0"] * ck * cl + plus + minus
    size = np.abs(h["0"]) ** 2 * ck**2
    # the vector sum_lambda H_lambda D eps_lambda has this length squared
    size = size + (np.abs(h["+"]) ** 2 + np.abs(h["-"]) ** 2) * sk**2 / 2
    basis = DENSITIES["vector"].basis(ck, cl, phi)
    one, none = np.ones(1), np.zeros(1)
    scalar = pair_coefficients(sm, s, left, right, PairTensor(none, one, none))[:, 0] @ basis
    isotropic = pair_coefficients(sm, s, left, right, PairTensor(one, none, none))[:, 0] @ basis
    np.testing.assert_allclose(isotropic / isotropic[0], size / size[0], rtol=1e-12)
    np.testing.assert_allclose(scalar / isotropic[0], np.abs(along) ** 2 / size[0], rtol=1e-10)


@pytest.mark.parametrize(("chi", "power"), [("dirac", lambda b: b * (3 - b**2) / 2), ("scalar", lambda b: b**3 / 4)])
def test_rates_go_as_the_widths_of_v(chi, power):
    """At fixed g_chi and q2, rates go as beta (3 - beta^2)/2 and beta^3/4, as Gamma_chichi does."""
    s = np.array([6.0])
    for name in ("B0->K*0chichi", "B+->K+chichi"):
        channel = get_channel(name)

        def rate(m_chi, kind, channel=channel):
            v = LightVector(mass=2.5, width=2.0, g_chi=0.5, g_bs=1e-8, m_chi=m_chi, chi=kind)
            return float(decay_rate(angular_coefficients(channel, Model(light_vectors=(v,)), s, 1))[0])

        massless = rate(0.0, "dirac")
        for m_chi in (0.2, 0.7, 1.2):
            beta = np.sqrt(1 - 4 * m_chi**2 / s[0])
            assert rate(m_chi, chi) / massless == pytest.approx(power(beta), rel=1e-12, abs=0)
            width = invisible_width(s[0], 0.5, m_chi, chi) / invisible_width(s[0], 0.5)
            assert rate(m_chi, chi) / massless == pytest.approx(float(width), rel=1e-12, abs=0)
        assert rate(1.3, chi) == 0.0


def test_sum_rules_between_helicities():
    """F_L and the transverse parts of the K* do not know the pair; they are those of the virtual V.

    (1c, 2c) give |H_0|^2 and (1s, 2s) give |H_+|^2 + |H_-|^2 whatever the mass and spin of chi, and in the
    cos_theta_l of one helicity the coefficients are those of the text: 1 - beta^2 c^2, (2 - beta^2 + beta^2
    c^2)/2 for a fermion, c^2 and (1 - c^2)/2 for a scalar.
    """
    channel = get_channel("B0->K*0chichi")
    s = np.linspace(3.0, 19.0, 9)
    fractions = []
    for chi, m_chi in (("dirac", 0.0), ("dirac", 0.8), ("scalar", 0.8)):
        v = COMPLEX.model_copy(update={"chi": chi, "m_chi": m_chi})
        j = angular_coefficients(channel, Model(light_vectors=(v,)), s, -1)
        rate = decay_rate(j)
        long = 0.75 * j[1] - 0.25 * j[3]
        trans = 1.5 * j[0] - 0.5 * j[2]
        np.testing.assert_allclose(long + trans, rate, rtol=1e-13)
        fractions.append(long / rate)
        if chi == "dirac":
            # helicity 0: J1c + J2c (2 c^2 - 1); helicity +-1: J1s + J2s (2 c^2 - 1)
            beta2 = 1 - 4 * m_chi**2 / s
            np.testing.assert_allclose(2 * j[3] / (j[1] - j[3]), -beta2, rtol=1e-12)
            np.testing.assert_allclose(2 * j[2] / (j[0] - j[2]), beta2 / (2 - beta2), rtol=1e-12)
        else:
            np.testing.assert_allclose(j[1], j[3], rtol=1e-12)  # c^2
            np.testing.assert_allclose(j[0], -j[2], rtol=1e-12)  # 1 - c^2
    np.testing.assert_allclose(fractions[1], fractions[0], rtol=1e-12)
    np.testing.assert_allclose(fractions[2], fractions[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["B0->K*0chichi", "B+->K*+nunu"])
def test_f_l_at_both_ends(name):
    """A real photon-like V* makes longitudinal K* only; at rest a K* has no axis, so F_L = 1/3 (arXiv:1312.1923).

    0.324 comes out: there A_12 = (m_B + m_V)(m_B^2 - m_V^2 - q2) A_1 / (16 m_B m_V^2), from which flavio's fits
    of A_12 and A_1 are 2 % off; with A_12 from the relation it is 1/3.
    """
    channel = get_channel(name)
    sm = standard_model(channel)
    s = np.array([1e-4, sm.q2_max * (1 - 1e-9)])
    left = COMPLEX.model_copy(update={"m_chi": 0.0, "g_bs_right": 0j})
    j = angular_coefficients(channel, Model(light_vectors=(left,)), s, -1)
    low, high = (0.75 * j[1] - 0.25 * j[3]) / decay_rate(j)
    assert low == pytest.approx(1.0, abs=2e-5)
    factors = {key: float(value[1]) for key, value in sm.form_factors(s).items()}
    m_b, m_v = sm.m_parent, sm.m_hadron
    exact = (m_b + m_v) * (m_b**2 - m_v**2 - s[1]) / (16 * m_b * m_v**2) * factors["A1"]
    off = (exact / factors["A12"]) ** 2
    assert off == pytest.approx(1.04, abs=0.01)
    assert high * off / (high * off + 1 - high) == pytest.approx(1 / 3, abs=1e-5)


def test_left_and_right_handed_currents():
    """V_L and V_R swap the transverse helicities; their sum is a vector, their difference an axial vector."""
    sm = standard_model(get_channel("B0->K*0chichi"))
    s = np.array([4.0, 12.0])
    left, right = hadronic_amplitudes(sm, s, 1.0, 0.0), hadronic_amplitudes(sm, s, 0.0, 1.0)
    np.testing.assert_allclose(np.abs(left["+"]), np.abs(right["-"]), rtol=1e-14)
    np.testing.assert_allclose(np.abs(left["0"]), np.abs(right["0"]), rtol=1e-14)
    assert np.all(np.abs(left["-"]) > np.abs(left["+"]))  # a b quark makes left-handed V
    vector = hadronic_amplitudes(sm, s, 1.0, 1.0)
    np.testing.assert_array_equal(vector["0"], 0)
    np.testing.assert_allclose(vector["+"], -vector["-"], rtol=1e-14)
    kaon = standard_model(get_channel("B+->K+chichi"))
    np.testing.assert_array_equal(hadronic_amplitudes(kaon, s, 1.0, -1.0)["h"], 0)  # no axial current


def test_the_conjugate_decay():
    """g_bs is conjugated, the propagator is not: chi chi has one weak phase and no CP violation in the rate,
    neutrinos of nu_mu have two (V_tb V_ts* and g_bs) and a strong phase, the width."""
    channel, s = get_channel("B0->K*0nunu"), np.array([4.0, 7.0])
    j, conjugate = (decay_rate(angular_coefficients(channel, POINT, s, flavour)) for flavour in (-1, 1))
    assert np.all(np.abs(j / conjugate - 1) > 1e-4)
    sm = [decay_rate(angular_coefficients(channel, get_model("sm"), s, flavour)) for flavour in (-1, 1)]
    np.testing.assert_allclose(*sm, rtol=1e-13)
    left_only = apply_settings(POINT, ["light_vectors.0.g_bs_right=0"])
    chi = get_channel("B0->K*0chichi")
    np.testing.assert_allclose(
        angular_coefficients(chi, left_only, s, -1), angular_coefficients(chi, left_only, s, 1), atol=1e-33
    )


def test_several_vectors_add_and_models_stack():
    channel, s = get_channel("B0->K*0chichi"), np.array([1.5, 5.0])
    second = LightVector(mass=1.5, width=0.1, g_bs=5e-9)
    both = angular_coefficients(channel, Model(light_vectors=(COMPLEX, second)), s, 1)
    alone = [angular_coefficients(channel, Model(light_vectors=(v,)), s, 1) for v in (COMPLEX, second)]
    np.testing.assert_allclose(both, alone[0] + alone[1], rtol=1e-13, atol=1e-40)
    stacked = angular_coefficients(channel, [POINT, Model(light_vectors=(second,))], s, 1)
    assert stacked.shape == (12, 2, 2)
    np.testing.assert_array_equal(stacked[:, 1], alone[1])


def test_above_threshold_the_coupling_is_needed():
    channel = get_channel("B+->K+chichi")
    without = apply_settings(get_model("fig2"), ["light_vectors.0.m_chi=1.5"])
    with pytest.raises(InputError, match="g_chi"):
        angular_coefficients(channel, without, [10.0], 1)
    known = apply_settings(
        get_model("fig2"),
        ["light_vectors.0.m_chi=1.5", "light_vectors.0.g_chi=1", "light_vectors.0.relative_width=0.2"],
    )
    assert decay_rate(angular_coefficients(channel, known, [10.0], 1))[0] > 0
    assert decay_rate(angular_coefficients(channel, known, [8.9], 1))[0] == 0.0  # below 4 m_chi^2 = 9


def test_the_width_scheme_is_in_the_denominator_only():
    """The numerator is sqrt(q2) Gamma_chichi(q2) in both: spectra have the ratio of |propagator|^2."""
    channel, s = get_channel("B0->K*0chichi"), np.array([0.5, 3.0, 6.25, 12.0])
    fixed, running = get_model("fig2"), apply_settings(get_model("fig2"), ["width=running"])
    v = fixed.light_vectors[0]
    ratio = decay_rate(angular_coefficients(channel, running, s, 1)) / decay_rate(
        angular_coefficients(channel, fixed, s, 1)
    )
    expected = np.abs(v.propagator(s, "running") / v.propagator(s, "fixed")) ** 2
    np.testing.assert_allclose(ratio, expected, rtol=1e-13)


def test_tensors_and_shapes():
    q2 = np.array([0.0, 1.0, 4.0])
    tensor = COMPLEX.dark.tensor(q2)
    assert tensor.isotropic[0] == tensor.isotropic[1] == 0.0
    assert neutrino_tensor(q2).chiral.tolist() == [-2.0, -2.0, -2.0]
    j = angular_coefficients(get_channel("B0->K*0nunu"), get_model("sm"), [0.0, 30.0], 1)
    assert np.all(np.isfinite(j))
    assert np.all(j[:, 1] == 0)


# Events: generated against exact quadrature. Every statistic below is compared at 6.5 standard deviations
# (8e-11 each, about 80 of them) or a chi-squared probability of 1e-9: a run fails by chance in 2 of 1e8.


def test_the_card_of_belle_ii_adds_chi_chi_and_nu_nu_incoherently():
    """Each channel has the events of its own branching fraction, 2/3 of K* -> K+ pi- included; no interference."""
    plan = plan_run(make_card(read_card("belle2"), poisson=False))
    for part in plan.parts:
        assert part.count == pytest.approx(
            1e9 * part.channel.branching * branching_ratio(part.channel, get_model("belle2-2.1gev")), abs=1
        )
    nunu = get_channel("B+->K+nunu")
    assert branching_ratio(nunu, get_model("belle2-2.1gev")) == branching_ratio(nunu, get_model("sm"))


CASES = {
    "fermion": ("B0->K*0chichi", ["light_vectors.0.m_chi=0.8"]),
    "massless fermion": ("B+->K*+chichi", []),
    "scalar": ("B0->K*0chichi", ["light_vectors.0.m_chi=0.8", "light_vectors.0.chi=scalar"]),
    "scalar of a K": ("B+->K+chichi", ["light_vectors.0.m_chi=0.8", "light_vectors.0.chi=scalar"]),
    "narrow": (
        "B0->K0chichi",
        ["light_vectors.0.relative_width=1e-4", "light_vectors.0.g_mu_v=0", "light_vectors.0.g_mu_a=0"],
    ),
    "narrow width limit": ("B+->K*+chichi", ["width=narrow", "light_vectors.0.m_chi=0.8"]),
    "running": ("B+->K+chichi", ["width=running", "light_vectors.0.m_chi=0.3"]),
    "off shell": (
        "B0->K*0chichi",
        ["light_vectors.0.m_chi=1.5", "light_vectors.0.g_chi=1", "light_vectors.0.relative_width=0.2"],
    ),
    "neutrinos": ("B0->K*0nunu", []),
    "neutrinos and V": ("B0->K*0nunu", ["light_vectors.0.g_nu_mu=0.5", "light_vectors.0.g_bs=-1.5e-8+1e-8j"]),
}
EVENTS = 400_000


def model_of(case):
    return apply_settings(get_model("fig2"), CASES[case][1])


def exact(channel, model, edges=None):
    """Integrals over q2 of the density's coefficients, summed over flavours; in bins if edges are given."""
    points = breakpoints(channel, model)
    bins = [(points[0], points[-1])] if edges is None else list(itertools.pairwise(edges))
    rows = []
    for low, high in bins:
        nodes, weights = quadrature(points, low, high)
        rows.append(sum(event_density(channel, model, nodes, flavour) @ weights for flavour in (-1, 1)))
    return np.array(rows)


def worst(channel_name, model, reference):
    """Largest pull of the angular moments and probability of the q2 spectrum, of events against a model."""
    channel = get_channel(channel_name)
    table = channel_table(channel, model)
    events = select_backend(device="cpu").generate(table, seed=11, start=0, stop=EVENTS, stream=3)
    density = table.density
    total = exact(channel, reference)[0]
    mean = density.gram @ total / decay_rate(total)
    basis = density.basis(*(events[name] for name in density.angles))
    varies = np.ptp(basis, axis=1) > 0  # the first function of a K is 1
    basis, mean = basis[varies], mean[varies]
    error = basis.std(axis=1) / np.sqrt(EVENTS)
    pulls = np.abs(basis.mean(axis=1) - mean) / error
    edges = np.quantile(events["q2"][: EVENTS // 10], np.linspace(0, 1, 41))  # independent of the test below
    edges[0], edges[-1] = breakpoints(channel, reference)[[0, -1]]
    rates = decay_rate(exact(channel, reference, edges).T)
    counts = np.histogram(events["q2"][EVENTS // 10 :], edges)[0]
    expected = rates / rates.sum() * counts.sum()
    value = ((counts - expected) ** 2 / expected).sum()
    return pulls.max(), float(chi2.sf(value, len(counts) - 1))


@pytest.mark.parametrize("case", CASES)
def test_events_close_on_quadrature(case):
    model = model_of(case)
    pull, probability = worst(CASES[case][0], model, model)
    assert pull < 6.5
    assert probability > 1e-9


@pytest.mark.parametrize(
    ("case", "bend", "spectrum"),
    [
        ("fermion", "light_vectors.0.chi=scalar", False),  # other angles
        ("fermion", "light_vectors.0.m_chi=0.7", True),  # another threshold
        ("scalar", "light_vectors.0.mass=2.52", True),  # another resonance
        ("running", "width=fixed", True),  # another line shape
        ("neutrinos and V", "light_vectors.0.g_nu_mu=0", True),  # no interference
    ],
)
def test_the_closure_fails_for_bent_physics(case, bend, spectrum):
    model = model_of(case)
    pull, probability = worst(CASES[case][0], model, apply_settings(model, [bend]))
    assert probability < 1e-9 if spectrum else pull > 6.5


@pytest.mark.parametrize("channel", ["B0->K*0mumu", "B+->K+chichi"])
def test_a_line_shape_too_narrow_for_single_precision_is_refused(channel):
    """At Gamma/m = 1e-5 events in float32 do not agree with the prediction; in float64 they do."""
    weak = ["light_vectors.0.g_mu_v=0.01", "light_vectors.0.g_mu_a=0"]  # the muons' width has to fit in
    model = apply_settings(get_model("fig2"), ["light_vectors.0.relative_width=1e-5", *weak])
    with pytest.raises(InputError, match=r"float32.*float64"):
        generate(channel, model=model, events=10, precision="float32")
    assert len(generate(channel, model=model, events=10)["q2"]) == 10
    wider = apply_settings(model, ["light_vectors.0.relative_width=1e-4"])
    assert len(generate(channel, model=wider, events=10, precision="float32")["q2"]) == 10
    # where V does not act, its width does not matter
    assert len(generate("B+->K+ee", model=model, events=10, precision="float32")["q2"]) == 10
