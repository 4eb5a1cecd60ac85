"""Eqs. (4)-(8): against flavio, against limits, and the numbers that the paper quotes."""

import numpy as np
import pytest
from darkpenguin.physics.experiment.constraints import (
    bs_mixing_amplitude,
    bs_mumu_branching_ratio,
    delta_a_mu,
    exchange_c10,
    narrow_width_branching_ratio,
    raises_a_mu,
    trident_ratio,
    z_chiral_shift,
    z_coupling_shift,
)
from darkpenguin.physics.experiment.datasets import LIMITS, load_data
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Heavy, Model, get_model
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.widths import lepton_width
from scipy.constants import fine_structure

M_MU = 0.1056583755
TODAY = load_data("current")


def only(**couplings):
    couplings = {"mass": 2.5, "relative_width": 0.2} | couplings
    return Model(light_vectors=(LightVector(**couplings),))


# Eqs. (2) and (3)


def test_a_large_width_needs_a_strong_coupling():
    """Text after eq. (2): 10 and 20 % need g_chi = 1.9 and 2.7, and nearly all V decay to chi chi."""
    for relative, coupling in ((0.1, 1.94), (0.2, 2.75)):
        vector = LightVector(mass=2.5, relative_width=relative, g_mu_v=0.1, g_mu_a=-0.044)
        assert vector.chi_coupling == pytest.approx(coupling, abs=0.01)
        assert float(lepton_width(2.5**2, 0.1, -0.044, M_MU)) / vector.total_width < 0.004


def test_eq_3_from_the_amplitude():
    """Gamma = |p| / (8 pi m_B^2) (g_bs f_+ / 2)^2 sum |(p_B + p_K) . eps|^2, momenta written out."""
    m_b, m_k, m, f_plus, g, tau = 5.2793, 0.4937, 2.5, 0.45, 1e-8, 2.489e12
    p = np.sqrt((m_b**2 - (m + m_k) ** 2) * (m_b**2 - (m - m_k) ** 2)) / (2 * m_b)
    e_k, e_v = np.sqrt(m_k**2 + p**2), np.sqrt(m**2 + p**2)
    total = np.array([m_b + e_k, p])  # p_B + p_K along the axis; V recoils
    longitudinal = np.array([-p, e_v]) / m  # the polarisation of helicity 0; the transverse ones do not count
    product = total[0] * longitudinal[0] - total[1] * longitudinal[1]
    rate = p / (8 * np.pi * m_b**2) * (g * f_plus / 2) ** 2 * product**2
    found = float(narrow_width_branching_ratio(g, m, f_plus, m_b, m_k, tau))
    assert found == pytest.approx(tau * rate, rel=1e-12, abs=0)


def test_the_papers_n():
    """N = -7.7e-10 GeV^-2 is with alpha(0): flavio's is then 7.9e-10, 2.4 % from its larger |V_tb V_ts|."""
    known = load_parameters()
    ckm = np.hypot(known["xi_t_re"], known["xi_t_im"])
    n = known["GF"] * ckm * fine_structure / (np.sqrt(2) * np.pi)
    assert n == pytest.approx(7.89e-10, rel=1e-3, abs=0)
    assert n / 7.7e-10 == pytest.approx(ckm / 0.0402, rel=2e-3, abs=0)
    assert abs(known.prefactor) == pytest.approx(8.19e-10, rel=1e-3, abs=0)


# Eq. (5)


def test_eq_5_of_the_z_is_the_electroweak_contribution():
    """A heavy V with the couplings of the Z: G_F m_mu^2 / (8 sqrt2 pi^2) [(4 s^2 - 1)^2 - 5] / 3.

    The Z's term of the one-loop electroweak contribution (for instance in hep-ph/0212229; the W adds 10/3).
    """
    known = load_parameters()
    g_f, s2, m_z = known["GF"], known["s2w"], 91.1876
    unit = np.sqrt(np.sqrt(2) * g_f) * m_z  # g / (2 cos theta_W)
    found = float(delta_a_mu(m_z, unit * (2 * s2 - 0.5), unit * 0.5))
    expected = g_f * M_MU**2 / (8 * np.sqrt(2) * np.pi**2) * ((4 * s2 - 1) ** 2 - 5) / 3
    assert found == pytest.approx(expected, rel=1e-4, abs=0)


def test_the_tuning_of_the_paper():
    """ "Suppression of (g-2) by a factor of 3-5" comes out for the coupling, not for (g-2) itself.

    At g_muA = -0.44 g_muV the shift is 70 times smaller than without g_muA. But with g_muA = 0 the upper end of
    the window is g = 0.007 x 2.5, and the lower half of eq. (10) needs 3 to 5 times that: an effective coupling
    suppressed by 3-5, a shift by 11-25. "A few per cent": at g_muV = 0.05, g_muA / g_muV has to be right within
    4 % for a shift within two standard deviations.
    """
    g_v = np.array([0.057, 0.0875])  # 1e-9 and 1.5e-9 over the bound (4), 1.75e-8
    np.testing.assert_allclose(g_v / (0.007 * 2.5), [3.3, 5.0], atol=0.05)
    tuned, alone = delta_a_mu(2.5, g_v, -0.44 * g_v), delta_a_mu(2.5, g_v, 0.0)
    np.testing.assert_allclose(alone / tuned, 70, atol=1)
    ratio = np.linspace(0.3, 0.5, 20001)
    inside = ratio[np.abs(load_data("2017").limit("delta_a_mu").pull(delta_a_mu(2.5, 0.05, ratio * 0.05))) < 2]
    assert np.ptp(inside) / inside.mean() == pytest.approx(0.045, abs=0.01)


def test_the_window_of_a_mu():
    """g/[m_V/GeV] from 0.004 to 0.007 brings (g-2) to 2 sigma, 0.008 overshoots by 3 (with f_V = 1)."""
    found = load_data("2017").limit("delta_a_mu")

    def coupling(sigmas):  # eq. (5) with f_V = 1, solved for g
        return np.sqrt((found.value + sigmas * found.error) * 12 * np.pi**2) / M_MU

    assert round(coupling(-2), 3) == 0.004
    assert round(coupling(2), 3) == 0.007
    # 0.0075, which the paper rounds up to 0.008
    assert 0.0070 < coupling(3) < 0.0080
    # and with the exact function, at m_V = 2.5 GeV
    assert float(delta_a_mu(2.5, 2.5 * coupling(2), 0.0)) == pytest.approx(447e-11, rel=0.03, abs=0)


def test_the_sign_condition_is_the_other_way_round():
    """The text has |g_A| < sqrt(5) |g_V|; eq. (5) is positive for sqrt(5) |g_A| < |g_V|, the funnel."""
    heavy = 50.0  # GeV: f = 1
    for ratio, positive in ((0.44, True), (0.46, False), (1.0, False), (2.0, False)):
        assert (float(delta_a_mu(heavy, 0.1, ratio * 0.1)) > 0) is positive
        assert raises_a_mu(0.1, ratio * 0.1) is positive


def test_the_funnel_needs_the_exact_functions():
    """At g_A = -0.44 g_V the terms cancel to 3 %, and f = 1 is off by a factor of 2.3."""
    v = get_model("fig2").light_vectors[0]
    exact = float(delta_a_mu(v.mass, v.g_mu_v, v.g_mu_a))
    leading = (v.g_mu_v**2 - 5 * v.g_mu_a**2) * M_MU**2 / v.mass**2 / (12 * np.pi**2)
    assert exact == pytest.approx(2.10e-9, rel=0.01, abs=0)
    assert leading / exact == pytest.approx(2.3, abs=0.15)
    assert abs(load_data("2017").limit("delta_a_mu").pull(exact)) < 1  # "reproduces the central value"
    assert TODAY.limit("delta_a_mu").pull(exact) > 2.5


# Eq. (7)


@pytest.mark.parametrize(
    "wilson",
    [{}, {"C10": 0.7 + 0.3j, "C10p": -0.2}, {"CP": 0.02 - 0.01j, "CPp": 0.01j, "CS": 0.03, "CSp": 0.01}],
)
def test_bs_mumu_is_flavios(wilson):
    import flavio
    from wilson import Wilson

    ours = bs_mumu_branching_ratio(Model(heavy=Heavy(**{f"{name}_mu": value for name, value in wilson.items()})))
    names = {f"{name}_bsmumu": value for name, value in wilson.items()}
    theirs = flavio.np_prediction("BR(Bs->mumu)", Wilson(names, scale=4.8, eft="WET", basis="flavio"))
    assert ours == pytest.approx(theirs, rel=1e-10, abs=0)


def test_v_in_bs_mumu_is_flavios_with_c_10_and_c_p():
    """Up to m_s / m_b in C_P, which eq. (7) neglects and we keep: P_V = C_10 (1 - m_Bs^2 / m_V^2)."""
    known = load_parameters()
    model = only(mass=3.0, g_bs=3e-8 + 1e-8j, g_mu_a=0.1)
    c10, cp = exchange_c10(model.light_vectors[0])
    restored = cp * (known["m_b(4.8)"] + known["m_s(4.8)"]) / known["m_b(4.8)"]
    heavy = Model(heavy=Heavy(C10_mu=c10, CP_mu=restored))
    assert bs_mumu_branching_ratio(model) == pytest.approx(bs_mumu_branching_ratio(heavy), rel=1e-12, abs=0)
    neglected = bs_mumu_branching_ratio(Model(heavy=Heavy(C10_mu=c10, CP_mu=cp)))
    assert bs_mumu_branching_ratio(model) == pytest.approx(neglected, rel=0.02, abs=0)


@pytest.mark.parametrize("width", [1e-4, 0.2])
def test_less_than_20_percent_for_3e_9_at_3_gev(width):
    """|g_bs g_A| = 3e-9 at 3 GeV changes BR(Bs -> mumu) by -18.6 or +20.5 %: "less than 20 %"."""
    sm = bs_mumu_branching_ratio(get_model("sm"))
    changes = [
        bs_mumu_branching_ratio(only(mass=3.0, relative_width=width, g_bs=3e-8, g_mu_a=sign * 0.1)) / sm - 1
        for sign in (1, -1)
    ]
    # with g_bs on the bound (4), 2.1e-8, g_muA is 0.14: "as large as 0.1"
    assert changes[0] == pytest.approx(-0.186, abs=0.003)
    assert changes[1] == pytest.approx(0.205, abs=0.003)


def test_without_c_p_the_shift_has_the_wrong_sign():
    sm = bs_mumu_branching_ratio(get_model("sm"))
    with_it = bs_mumu_branching_ratio(only(mass=3.0, g_bs=3e-8, g_mu_a=0.1)) - sm
    without = bs_mumu_branching_ratio(only(mass=3.0, g_bs=3e-8, g_mu_a=0.1, pseudoscalar=False)) - sm
    assert with_it < 0 < without
    # the pole cancels: on the resonance nothing special happens
    m_bs = load_parameters()["m_Bs"]
    near = [
        bs_mumu_branching_ratio(only(mass=m, relative_width=1e-6, g_bs=1e-9, g_mu_a=0.1))
        for m in (m_bs - 1e-3, m_bs + 1e-3)
    ]
    assert near[0] == pytest.approx(near[1], rel=1e-4, abs=0)


# Mixing


def test_bs_mixing_is_flavios_with_the_wilson_coefficients_of_the_exchange():
    import flavio
    from flavio.physics.mesonmixing import amplitude

    known = load_parameters()
    model = only(g_bs=1e-4 + 3e-5j, g_bs_right=2e-5)
    v = model.light_vectors[0]
    d = 1 / (known["m_Bs"] ** 2 - v.mass**2 + 1j * v.mass * v.total_width)
    r, left, right = (known["m_b(4.2)"] / v.mass) ** 2, v.g_bs, v.g_bs_right
    wc = {
        "CVLL_bsbs": d / 2 * left**2,
        "CVRR_bsbs": d / 2 * right**2,
        "CVLR_bsbs": d * left * right,
        "CSRR_bsbs": d / 2 * r * left**2,
        "CSLL_bsbs": d / 2 * r * right**2,
        "CSLR_bsbs": d * r * left * right,
    }
    par = flavio.default_parameters.get_central_all()
    theirs = amplitude.M12(par, wc, "Bs") - amplitude.M12(par, {}, "Bs")
    assert bs_mixing_amplitude(model) == pytest.approx(theirs, rel=1e-12, abs=0)


def test_bs_mixing_is_negligible():
    """1e-7 of Delta M_s on the bound (4): "totally negligible"."""
    delta_m = TODAY.limit("delta_m_s").value
    for name in ("fig1-2.0gev", "fig1-2.5gev", "fig1-2.8gev", "fig2"):
        assert 2 * abs(bs_mixing_amplitude(get_model(name))) < 1e-6 * delta_m
    assert bs_mixing_amplitude(get_model("sm")) == 0


# Eq. (8)


def test_the_z_and_the_benchmark():
    """The benchmark shifts g_A by 2.1 sigma; g_V, whose bound the paper quotes, by 0.04 sigma."""
    axial, vector = TODAY.limit("g_a_mu"), TODAY.limit("g_v_mu")
    shift = float(z_coupling_shift(2.5, 0.1, -0.044))
    assert shift == pytest.approx(-2.30e-3, rel=0.01, abs=0)
    assert shift * axial.value / axial.error == pytest.approx(2.14, abs=0.02)
    assert shift * vector.value / vector.error == pytest.approx(0.04, abs=0.01)
    assert float(z_coupling_shift(2.5, 0.1, -0.044, form="large")) == pytest.approx(shift, rel=0.005, abs=0)


def test_the_bound_that_the_paper_quotes():
    """g < 0.5 at m_V = 0.5 GeV is the vector coupling alone at 2 sigma: 2 x 0.0023 / 0.0367 = 12.5 %.

    Eq. (8) gives 0.51 for one coupling there. The axial coupling allows 0.07 only.
    """
    assert round(0.5 - 2 * load_parameters()["s2w"], 2) == 0.04  # "accidentally suppressed"
    unit = abs(float(z_coupling_shift(0.5, 1.0, 0.0)))
    vector, axial = TODAY.limit("g_v_mu"), TODAY.limit("g_a_mu")
    assert np.sqrt(2 * vector.error / abs(vector.value) / unit) == pytest.approx(0.5, abs=0.06)
    assert np.sqrt(2 * axial.error / abs(axial.value) / unit) == pytest.approx(0.07, abs=0.01)


def test_the_chiralities_of_the_z():
    """With one coupling only, eq. (8) is exact; with both, the term that eq. (8) leaves out rules dg_V."""
    for g_v, g_a in ((0.3, 0.0), (0.0, 0.3)):
        shift = float(z_coupling_shift(2.5, g_v, g_a))
        d_v, d_a = z_chiral_shift(2.5, g_v, g_a, -0.0367, -0.5012)
        assert float(d_v) == pytest.approx(shift * -0.0367, rel=1e-12, abs=0)
        assert float(d_a) == pytest.approx(shift * -0.5012, rel=1e-12, abs=0)
    # a V that couples to one chirality shifts one chirality: g_L = (g_V + g_A)/2, g_R = (g_V - g_A)/2 of LEP
    d_v, d_a = z_chiral_shift(2.5, 0.1, 0.1, -0.0367, -0.5012)  # right-handed V
    assert float(d_v + d_a) == pytest.approx(0.0, abs=1e-15)
    assert float(d_v - d_a) == pytest.approx(
        (-0.0367 + 0.5012) * float(z_coupling_shift(2.5, 0.2, 0.0)), rel=1e-12, abs=0
    )


def test_lep_values_follow_from_the_measured_widths_and_asymmetries():
    """g_V and g_A of hep-ex/0509008 from the Z line shape and asymmetries as in flavio (arXiv:1912.02067).

    sigma_had = 12 pi Gamma_e Gamma_had / (m_Z Gamma_Z)^2, Gamma_mu = G_F m_Z^3 / (6 sqrt 2 pi) (g_V^2 +
    g_A^2) (1 + 3 alpha / 4 pi), A_FB = 3/4 A_e A_mu.
    """
    sigma, gamma, m_z, r_e, r_mu, a_fb, a_e = 1065.14e-7, 2.4955, 91.1876, 20.8038, 20.7842, 0.0169, 0.1516
    gamma_e = np.sqrt(sigma * m_z**2 * gamma**2 / (12 * np.pi * r_e))
    gamma_mu = gamma_e * r_e / r_mu
    squares = gamma_mu * 6 * np.sqrt(2) * np.pi / (1.1663787e-5 * m_z**3) / (1 + 3 / 128.9 / (4 * np.pi))
    a_mu = a_fb / (0.75 * a_e)
    ratio = (1 - np.sqrt(1 - a_mu**2)) / a_mu
    axial = -np.sqrt(squares / (1 + ratio**2))
    assert abs(TODAY.limit("g_a_mu").pull(axial)) < 1
    assert abs(TODAY.limit("g_v_mu").pull(ratio * axial)) < 1


# Footnote 3


def test_trident_is_flavios():
    import flavio
    from wilson import Wilson

    known = load_parameters()
    v = LightVector(mass=2.5, relative_width=0.2, g_mu_v=4e-3, g_mu_a=-2e-3, g_nu_mu=3e-3)
    # L = -g_nu/m^2 (nu_L nu_L)(g_V mu mu + g_A mu g5 mu); flavio: +4 G_F/sqrt2 [C_VLL (L)(L) + C_VLR (L)(R)]
    scale = -v.g_nu_mu / v.mass**2 / (2 * np.sqrt(2) * known["GF"])
    wc = {
        "CVLL_numunumumumu": scale * (v.g_mu_v - v.g_mu_a),
        "CVLR_numunumumumu": scale * (v.g_mu_v + v.g_mu_a),
    }
    try:
        theirs = flavio.np_prediction("R_trident", Wilson(wc, scale=1, eft="WET-3", basis="flavio"))
    except Exception as error:  # pragma: no cover - the translation of this sector is not in every version
        pytest.skip(f"flavio cannot: {error}")
    assert trident_ratio(Model(light_vectors=(v,))) == pytest.approx(theirs, rel=1e-6, abs=0)


def test_footnote_3():
    """g_muV = g_nu < 5e-3 at 2.5 GeV: two standard deviations above CCFR are reached at 4.7e-3."""
    found = TODAY.limit("trident")
    limit = found.value + 2 * found.error
    assert (
        trident_ratio(only(g_mu_v=4.6e-3, g_nu_mu=4.6e-3)) < limit < trident_ratio(only(g_mu_v=4.8e-3, g_nu_mu=4.8e-3))
    )
    assert trident_ratio(only(g_mu_v=0.1)) == 1.0


# The numbers of experiments


def test_limits_are_those_of_flavios_database():
    import flavio

    central = flavio.default_parameters.get_central("a_mu SM")
    found = flavio.Measurement["FNAL g-2 combination 2025"].get_central_all()["a_mu"]
    assert TODAY.limit("delta_a_mu").value == pytest.approx(found - central, rel=1e-3, abs=0)
    combined = flavio.Measurement["GSSS combination Bs->mumu 2022"].get_central_all()["BR(Bs->mumu)"]
    assert TODAY.limit("br_bs_mumu").value == pytest.approx(combined, rel=2e-3, abs=0)
    assert TODAY.limit("trident").value == flavio.Measurement["CCFR neutrino trident"].get_central_all()["R_trident"]
    oscillation = flavio.Measurement["HFAG osc summer 2015"].get_central_all()["DeltaM_s"]
    assert TODAY.limit("delta_m_s").value == pytest.approx(oscillation, rel=1e-6, abs=0)


def test_the_papers_combination_of_belle_and_babar():
    """BR(B -> K nu nu) < 1.5e-5: what flavio's likelihoods of the same four papers give at 90 %, at 95 % 1.65e-5.

    Both charges, of one decay rate; flat prior. The paper says 95 % and not how; 10 % in the limit are 5 % in (4).
    """
    import flavio

    known, rates = load_parameters(), np.linspace(0, 6e-5, 301)
    total = np.zeros_like(rates)
    for name in (
        "Belle B->hnunu SL 2017",
        "Belle B->hnunu had 2013",
        "BaBar B->Knunu had 2013",
        "BaBar B->Knunu SL 2010",
    ):
        for distribution, observables in flavio.Measurement[name]._constraints:
            for observable in observables:
                if observable in ("BR(B+->Knunu)", "BR(B0->Knunu)"):
                    scale = 1.0 if "B+" in observable else known["tau_B0"] / known["tau_B+"]
                    total += [float(np.ravel(distribution.logpdf(rate * scale))[0]) for rate in rates]
    posterior = np.cumsum(np.exp(total - total.max()))
    at_90, at_95 = np.interp([0.9, 0.95], posterior / posterior[-1], rates)
    assert at_90 == pytest.approx(load_data("2017").limit("br_bplus_kplus_nunu").upper, rel=0.02, abs=0)
    assert at_95 == pytest.approx(1.65e-5, rel=0.02, abs=0)
    # K0: the limit of Belle is the one that is used today; K*: the strongest of each charge
    belle = {o: d for d, names in flavio.Measurement["Belle B->hnunu SL 2017"]._constraints for o in names}
    assert TODAY.limit("br_k0_chi_chi").upper == belle["BR(B0->Knunu)"].limit
    assert TODAY.limit("br_kstar0_nunu").upper == belle["BR(B0->K*nunu)"].limit
    older = {o: d for d, names in flavio.Measurement["Belle B->hnunu had 2013"]._constraints for o in names}
    assert TODAY.limit("br_kstarplus_nunu").upper == older["BR(B+->K*nunu)"].limit


@pytest.mark.parametrize("data", ["2017", "current"])
def test_every_limit_has_a_source(data):
    limits = load_data(data).limits
    assert set(limits) <= set(LIMITS)
    assert all(limit.source for limit in limits.values())
