"""Each row on both sides of its edge: a point just inside and one just outside, from the number of the source."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.physics.bins import build_predictor
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment import invisible_rows, lepton_rows, muon_rows, vector_rows
from darkpenguin.physics.experiment.constraints import delta_a_mu
from darkpenguin.physics.experiment.datasets import load_data
from darkpenguin.physics.experiment.lepton_rows import Z_EE_SM
from darkpenguin.physics.experiment.likelihood import get_group
from darkpenguin.physics.experiment.muon_rows import line_pulls
from darkpenguin.physics.experiment.rows import Request, below, edge, measured
from darkpenguin.physics.experiment.spectrum import TABLE, load_spectrum
from darkpenguin.physics.experiment.verdicts import NAMES
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, get_model
from darkpenguin.physics.rates import branching_ratio, two_body_rate
from scipy.optimize import brentq

TODAY = load_data("current")
NARROW = {"mass": 2.1, "width": 1e-3, "g_bs": 1e-9}
WIDE = {"mass": 2.5, "relative_width": 0.2, "g_bs": -1e-8}
E = 0.30282212  # sqrt(4 pi alpha(0)), CODATA 2018


def model(**fields):
    return Model(light_vectors=(LightVector(**fields),))


def row(make, name, fields):
    found = [one for one in make(Request(model(**fields), TODAY)) if one.name == name]
    assert len(found) == 1
    return found[0]


def scaled(make, name, fields, key, number, value=lambda one: one.prediction, power=2):
    """The couplings at which a prediction is a number, and 1 % in it to either side of it."""
    reference = value(row(make, name, fields))
    here = fields[key] * (number / reference) ** (1 / power)
    return [row(make, name, {**fields, key: here * side ** (1 / power)}) for side in (0.99, 1.01)]


def test_the_rules():
    assert below(1e-5, 1e-5) == "allowed"
    assert below(1.0001e-5, 1e-5) == "excluded"
    assert [measured(pull) for pull in (1.99, 2.01, 2.99, 3.01)] == ["allowed", "tension", "tension", "excluded"]
    assert [measured(-3.5, own) for own in (3.6, -3.6, 3.4)] == ["tension", "tension", "excluded"]
    found = TODAY.limit("trident")  # 0.82 +- 0.28
    assert edge(found, 1.0) == pytest.approx(0.82 + 0.84)
    assert edge(found, -1.0, 2.0) == pytest.approx(2 * 0.82 - 2.0)  # the SM is 4.2 sigma above: as far below
    assert edge(found, 1.0, 2.0) == 2.0


@pytest.mark.parametrize(
    ("name", "make", "limit", "fields"),
    [
        # Belle, arXiv:1702.03224 and the hadronic tag of 2013: 1.8e-5 and 4.0e-5 of nu nu and chi chi together
        ("br_b0_kstar0_chi_chi", invisible_rows.excited_kaons, 1.8e-5, ("B0->K*0nunu", WIDE)),
        ("br_bplus_kstarplus_chi_chi", invisible_rows.excited_kaons, 4.0e-5, ("B+->K*+nunu", WIDE)),
        # Belle, arXiv:1702.03224: 2.6e-5
        ("br_b0_k0_chi_chi", invisible_rows.kaons, 2.6e-5, ("B0->K0nunu", WIDE)),
    ],
)
def test_invisible_limits(name, make, limit, fields):
    nunu, couplings = fields
    left = limit - branching_ratio(get_channel(nunu), get_model("sm"))
    inside, outside = scaled(make, name, couplings, "g_bs", left)
    assert (inside.verdict, outside.verdict) == ("allowed", "excluded")
    assert outside.passes is False
    assert "90 % CL" in inside.source


@pytest.mark.parametrize(
    ("name", "limit"), [("br_xs_inv_k", 2.2e-5), ("br_xs_inv_kstar", 9.3e-5), ("br_xs_inv", 32.7e-5)]
)
def test_inclusive_limits(name, limit):
    """Table II of arXiv:2511.10980; χχ goes as g_bs², beside νν̄ of the SM."""
    found = row(invisible_rows.inclusive, name, WIDE)
    power = (limit - found.standard) / (found.prediction - found.standard)
    for side, verdict in ((0.99, "allowed"), (1.01, "excluded")):
        there = row(invisible_rows.inclusive, name, {**WIDE, "g_bs": 1e-8 * (side * power) ** 0.5})
        assert there.verdict == verdict
    assert row(invisible_rows.inclusive, name, {**WIDE, "g_bs": 0.0}).verdict == "not sensitive"


@pytest.mark.parametrize("fields", [WIDE, {"mass": 2.1, "width": 0.1, "g_bs": 1e-8}, {**NARROW, "mass": 0.6}])
def test_the_limit_on_k_chi_chi_depends_on_mass_and_width(fields):
    """CLs of the spectrum is 5 % at the limit; 2.3e-5 + 1.645 x 0.7e-5, which assumes the SM's shape, is another."""
    limit = row(invisible_rows.kaons, "br_bplus_kplus_chi_chi", fields).limit
    inside, outside = scaled(invisible_rows.kaons, "br_bplus_kplus_chi_chi", fields, "g_bs", limit)
    assert (inside.verdict, outside.verdict) == ("allowed", "excluded")
    assert "limit for this line shape" in inside.note
    assert abs(limit / 2.98e-5 - 1) > 0.3
    bound = row(invisible_rows.g_bs, "g_bs_max", fields)
    for side, verdict in ((0.999, "allowed"), (1.001, "excluded")):
        there = row(invisible_rows.g_bs, "g_bs_max", {**fields, "g_bs": side * bound.limit})
        assert there.verdict == verdict
        assert there.limit == pytest.approx(bound.limit, rel=1e-5)


def test_belle_2s_spectrum_tells_too_much_from_too_little():
    """A V at 2.1 GeV of 9.2e-6 is what it prefers; a multiple of it three standard deviations above is excluded."""
    point = {"mass": 2.1, "width": 0.1, "g_bs": 1.469161e-8}
    found = row(invisible_rows.measured_kaon, "bplus_kplus_inv_spectrum", point)
    assert found.verdict == "allowed"
    assert abs(found.pull) < 0.3
    assert found.standard_pull == pytest.approx(-3.6, abs=0.1)
    spectrum = load_spectrum(TABLE)
    shape = spectrum.strengths(model(**point))
    beyond = lambda sigmas: brentq(lambda t: spectrum.pulls(t * shape)[0] - sigmas, 1.0, 6.0)  # noqa: E731
    three, four = beyond(3.0), beyond(-found.standard_pull)
    for size, verdict in ((three * 0.99, "tension"), (four * 1.01, "excluded")):
        there = {**point, "g_bs": point["g_bs"] * size**0.5}
        assert row(invisible_rows.measured_kaon, "bplus_kplus_inv_spectrum", there).verdict == verdict
    light = {"mass": 0.6, "width": 0.05, "g_bs": 3e-9}  # where Belle II sees a deficit
    assert row(invisible_rows.measured_kaon, "bplus_kplus_inv_spectrum", light).pull > 1


@pytest.mark.parametrize(
    ("name", "limit"),
    #   the collaboration's splines at 2100 MeV, prompt; the bin 2098.28-2100.99 of its figure 4 at 0.1 ps
    [("b0_kstar0_dimuon", 4.46e-9), ("bplus_kplus_dimuon", 1.58e-9)],
)
def test_a_dimuon_peak(name, limit):
    fields = {**NARROW, "g_mu_v": 0.03, "g_bs": 1e-10}
    inside, outside = scaled(muon_rows.dimuon_peaks, name, fields, "g_bs", limit)
    assert (inside.verdict, outside.verdict) == ("allowed", "excluded")
    assert inside.limit == pytest.approx(limit, rel=1e-3)
    wide = row(muon_rows.dimuon_peaks, name, {**fields, "width": 0.003})
    assert wide.verdict == "not sensitive"
    assert "wide: see the spectrum" in wide.note
    assert row(muon_rows.dimuon_peaks, name, {**fields, "mass": 3.1}).verdict == "not sensitive"  # the J/psi's veto
    assert row(muon_rows.dimuon_peaks, name, {**NARROW, "g_bs": 1e-8}).verdict == "not sensitive"


def test_a_dimuon_peak_by_its_two_body_rates():
    """belle2-2.1gev-mu with a width of 1 MeV: 2.5e-6 in K*0, above LHCb's limit by more than 500."""
    benchmark = get_model("belle2-2.1gev-mu").light_vectors[0].model_copy(update={"width": 1e-3})
    found = muon_rows.dimuon_peaks(Request(Model(light_vectors=(benchmark,)), TODAY))[0]
    muons = benchmark.partial_widths()["mu mu"] / 1e-3
    lifetime = 1.519e-12 / 6.582119569e-25  # PDG's of the B0, within 1 %
    rate = two_body_rate(get_channel("B0->K*0mumu"), benchmark)
    assert found.prediction == pytest.approx(lifetime * rate * muons, rel=0.01)
    assert found.prediction == pytest.approx(2.5e-6, rel=0.05)
    assert found.ratio > 500


@pytest.mark.parametrize(
    ("name", "mass", "limit", "fields", "key"),
    [
        #   arXiv:1702.03327 (epsilon at 2.5 GeV), 1906.00176 (at 0.1314 GeV), 1912.11276 (g' at 1.988 GeV): as Darkcast
        ("ee_gamma_invisible", 2.5, 7.04e-4 * E, {"width": 1e-3}, "g_e_v"),
        ("na64_e", 0.1314, 4.86e-4 * E, {"width": 1e-4}, "g_e_a"),
        ("ee_mumu_invisible", 1.988, 0.086, {"relative_width": 9e-3}, "g_mu_v"),
    ],
)
def test_v_to_invisible_at_colliders(name, mass, limit, fields, key):
    """With g small against what gives the width nearly every V is invisible; else the share counts."""
    for side, verdict in ((0.98, "allowed"), (1.02, "excluded")):
        trial = lambda g: row(lepton_rows.searches, name, {"mass": mass, **fields, key: g})  # noqa: E731
        g = brentq(lambda g: trial(g).prediction - side * limit, 0.5 * limit, 1.2 * limit)  # noqa: B023
        found = trial(g)
        assert found.verdict == verdict
        assert found.limit == pytest.approx(limit, rel=2e-3)
        v = model(**{"mass": mass, **fields, key: g}).light_vectors[0]
        assert found.prediction == pytest.approx(g * (1 - v.lepton_width() / v.total_width) ** 0.5, rel=1e-9)
    wide = row(lepton_rows.searches, name, {"mass": mass, "relative_width": 0.05, key: 2 * limit})
    assert wide.verdict == "not sensitive"
    assert "narrow V" in wide.note
    assert row(lepton_rows.searches, name, {"mass": mass, **fields}).verdict == "not sensitive"


def test_four_muons():
    """g' < 4.72e-3 at 2.18 GeV (arXiv:1606.03501, as Darkcast) of L_mu - L_tau, half of it to muons below 2 m_tau."""
    mass = (2.066 * 2.328) ** 0.5
    fields = {"mass": round(mass, 4), "g_mu_v": 1e-3, "width": 1e-6}
    for side, verdict in ((0.98, "allowed"), (1.02, "excluded")):
        trial = lambda g: row(lepton_rows.searches, "ee_four_muons", {**fields, "g_mu_v": g})  # noqa: E731
        g = brentq(lambda g: trial(g).prediction - side * 4.72e-3 / 2**0.5, 1e-4, 4.1e-3)  # noqa: B023
        assert trial(g).verdict == verdict
        assert trial(g).limit == pytest.approx(4.72e-3 / 2**0.5, rel=5e-3)


def test_the_electrons_magnetic_moment():
    """(-0.98 +- 1.33)e-12: a vector coupling raises it to three standard deviations at 3.01e-12."""
    heavy = {"mass": 0.5, "width": 1e-3}
    shift = lambda g: float(delta_a_mu(0.5, g, 0.0, m_mu=0.51099895e-3))  # noqa: E731
    g = brentq(lambda g: shift(g) - 3.01e-12, 1e-5, 1e-1)
    for side, verdict in ((0.99, "tension"), (1.01, "excluded")):
        found = row(lepton_rows.magnetic_moments, "delta_a_e", {**heavy, "g_e_v": side * g})
        assert found.verdict == verdict
    assert row(lepton_rows.magnetic_moments, "delta_a_e", heavy).verdict == "not sensitive"


def test_the_muons_magnetic_moment():
    """(38.5 +- 63.7)e-11 today: tension above 165.9e-11, excluded above 229.6e-11."""
    for number, below_it, above_it in ((165.9e-11, "allowed", "tension"), (229.6e-11, "tension", "excluded")):
        g = brentq(lambda g, n=number: float(delta_a_mu(2.5, g, 0.0)) - n, 1e-4, 1e-1)
        for side, verdict in ((0.999, below_it), (1.001, above_it)):
            found = row(lepton_rows.magnetic_moments, "delta_a_mu", {**WIDE, "g_mu_v": side * g})
            assert found.verdict == verdict


def test_the_width_of_the_z_to_electrons():
    """83.92 +- 0.12 MeV; a loop of V lowers the 83.96 MeV that flavio has for the SM, to 83.56 at three sigma."""
    import flavio

    assert pytest.approx(flavio.sm_prediction("Gamma(Z->ee)"), rel=1e-6) == Z_EE_SM
    central = flavio.Measurement["LEP Z leptonic decay"].get_central_all()["Gamma(Z->ee)"]
    assert TODAY.limit("gamma_z_ee").value == pytest.approx(central, rel=1e-9)
    trial = lambda g: row(lepton_rows.z_couplings, "z_ee_width", {**WIDE, "g_e_v": g})  # noqa: E731
    g = brentq(lambda g: trial(g).prediction - (0.08392 - 3 * 0.00012), 1e-2, 0.5)
    assert trial(0.99 * g).verdict == "tension"
    assert trial(1.01 * g).verdict == "excluded"


def test_muons_at_the_z_tridents_and_bs():
    """3 x 0.00054 of g_A (hep-ex/0509008), CCFR's 0.82 +- 0.28, (3.36 +- 0.28)e-9."""
    trial = lambda g: row(lepton_rows.z_couplings, "z_mumu_coupling", {**WIDE, "g_mu_v": g})  # noqa: E731
    g = brentq(lambda g: abs(trial(g).prediction) - 3 * 0.00054 / 0.50120, 1e-2, 0.5)
    assert trial(0.99 * g).verdict == "tension"
    assert trial(1.01 * g).verdict == "excluded"
    neutrino = lambda g: row(lepton_rows.trident, "neutrino_trident", {**WIDE, "g_mu_v": g, "g_nu_mu": g})  # noqa: E731
    g = brentq(lambda g: neutrino(g).prediction - (0.82 + 3 * 0.28), 1e-3, 1e-1)
    assert neutrino(0.99 * g).verdict == "tension"
    assert neutrino(1.01 * g).verdict == "excluded"
    decay = lambda g: row(lepton_rows.bs_mumu, "br_bs_mumu", {**WIDE, "mass": 2.0, "g_bs": 3e-8, "g_mu_a": g})  # noqa: E731
    g = brentq(lambda g: decay(g).prediction - (3.36e-9 + 3 * 0.28e-9), -0.5, 0.0)
    assert decay(0.99 * g).verdict == "tension"
    assert decay(1.01 * g).verdict == "excluded"


def test_the_width_itself():
    """g_chi < sqrt(4 pi): Γ/m < 1/3 for massless Dirac χ, eq. (2)."""
    assert row(vector_rows.widths, "width", {**WIDE, "relative_width": 0.3333}).verdict == "allowed"
    assert row(vector_rows.widths, "width", {**WIDE, "relative_width": 0.3334}).verdict == "excluded"


@pytest.mark.parametrize(
    ("name", "measurement", "window", "central", "error", "side"),
    [
        #   arXiv:2212.09153: 0.949 +- 0.042 +- 0.022 (errors of two sides made one, as they are correlated), 1.027
        ("R_K", "LHCb RK RK* 2022", (1.1, 6.0), 0.949, np.hypot((0.042 * 0.041) ** 0.5, 0.022), -1),
        ("R_K*", "LHCb RK RK* 2022", (1.1, 6.0), 1.027, np.hypot((0.072 * 0.068) ** 0.5, (0.027 * 0.026) ** 0.5), -1),
        #   arXiv:2505.03483 and 2604.08631, lower errors
        ("R_K_high", "LHCb RK high q2 2025", (14.3, 22.9), 1.08, np.hypot(0.09, 0.04), -1),
        ("R_K*_high", "LHCb RK* high q2 2026", (14.0, 19.2), 1.08, np.hypot(0.12, 0.07), -1),
        #   arXiv:1403.8044: 20.6 +- 1.1 +- 1.0 and 82.8 +15.8 -14.1 +- 5.6 (1e-9)
        ("dBR_K", "LHCb B+->Kmumu BR 2014", (17.0, 18.0), 20.6e-9, np.hypot(1.1, 1.0) * 1e-9, 1),
        ("dBR_K*", "LHCb B+->K*mumu BR 2014", (15.0, 17.0), 64.4e-9, np.hypot(12.9, 4.4) * 1e-9, 1),
    ],
)
def test_a_single_measurement_of_muons(name, measurement, window, central, error, side):
    """C9 of muons moves it: tension two, excluded three errors from the value; without theory errors."""
    group = get_group(name)
    found = {m.name: m for m in TODAY.measurements}[measurement]
    one = found.select(lambda o: o.window == window and group.accepts(o))
    assert len(one) == 1
    data = replace(TODAY, theory="none", measurements=(one,))

    def there(c9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(muon_rows, "SPECTRA", (name,))
            return muon_rows.spectra(Request(Model(heavy={"C9_mu": c9}), data))[0]

    grid = side * np.linspace(0.01, 4.0, 400)
    predictions = build_predictor(one.observables, Model(heavy={"C9_mu": 1.0}))({"heavy.C9_mu": grid})[:, 0]
    for sigmas, inside, outside in ((2, "allowed", "tension"), (3, "tension", "excluded")):
        c9 = float(grid[np.argmax(side * (predictions - central) > sigmas * error)])  # the first that is beyond
        assert there(c9 - 0.02 * side).verdict == inside
        assert there(c9).verdict == outside
    assert there(0.0).verdict == "not sensitive"


def test_b_s_mixing():
    """2 |M12| of V against the error of Delta M_s: HFLAV's 17.757 +- 0.021 / ps, 0.021 hbar / ps = 1.4e-14 GeV."""
    inside, outside = scaled(lepton_rows.mixing, "bs_mixing", WIDE, "g_bs", 1.4e-14)
    assert (inside.verdict, outside.verdict) == ("allowed", "excluded")
    assert row(lepton_rows.mixing, "bs_mixing", {**WIDE, "g_bs": 0.0}).verdict == "not sensitive"


@pytest.mark.parametrize("name", ["sigma_v_fermion", "sigma_v_scalar"])
def test_annihilation(name):
    """Twice the largest 5.2e-26 cm3/s of arXiv:1204.3622: what annihilates less leaves too much of chi."""
    fields = {**WIDE, "g_mu_v": 1e-4, "m_chi": 0.4}
    less, more = scaled(vector_rows.annihilation, name, fields, "g_mu_v", 2 * 5.2e-26)
    assert (less.verdict, more.verdict) == ("excluded", "allowed")
    assert row(vector_rows.annihilation, name, {**fields, "g_mu_v": 0.0}).verdict == "not sensitive"


def test_the_standard_models_own_row():
    """br_bplus_kplus_nunu_sm: 4.7e-6 of today's form factors, against a limit on either side of it.

    The paper's combination, 1.5e-5, allows it; the measurement (2.3 +- 0.7)e-5 (arXiv:2311.14647) is 2.6 off, and more
    would not exclude it: the row is the Standard Model's own.
    """
    old, name = load_data("2017"), "br_bplus_kplus_nunu"
    verdicts = [invisible_rows._nunu(Request(Model(), data))[0].verdict for data in (old, TODAY)]
    assert verdicts == ["allowed", "tension"]
    prediction = branching_ratio(get_channel("B+->K+nunu"), get_model("sm"))
    for upper, verdict in ((1.01 * prediction, "allowed"), (0.99 * prediction, "excluded")):
        data = replace(old, limits={**old.limits, name: old.limits[name].model_copy(update={"upper": upper})})
        found = invisible_rows._nunu(Request(Model(), data))[0]
        assert (found.name, found.verdict) == ("br_bplus_kplus_nunu_sm", verdict)


def test_every_row_is_on_both_sides_somewhere():
    """Names of the rows that the tests above take to both sides of their edge: a new row needs its own."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in NAMES if f'"{name}"' not in source] == []


def test_the_tau_counts_where_a_source_says_so():
    """B+ -> tau nu, tau -> K+ nu: none of the sources counts it, and the switch adds 12 % (arXiv:0908.1174).

    Belle II's signal strength 4.6 is 2.3e-5 over 5.0e-6 (as quoted in arXiv:2602.09666): over the rate without it.
    """
    assert not any(limit.includes_tau for limit in TODAY.limits.values())
    assert pytest.approx(4.97e-6, rel=0.02) == 2.3e-5 / 4.6
    name = "br_bplus_kplus_nunu"
    counted = TODAY.limits[name].model_copy(update={"includes_tau": True})
    data = replace(TODAY, limits={**TODAY.limits, name: counted})
    plain, more = (invisible_rows._nunu(Request(Model(), one))[0] for one in (TODAY, data))
    assert more.prediction / plain.prediction == pytest.approx(1.12, abs=0.02)
    assert abs(more.pull) < abs(plain.pull)


def test_pulls_along_the_line_against_a_known_likelihood():
    """Ten numbers with correlated errors: the pull is that of the size of the effect, by linear algebra.

    An effect of 1.5 times the model's size is in the data exactly: pulls are -0.5 and -1.5 times its significance.
    The bent version, sqrt(chi2), has the number of measurements in it.
    """
    rng = np.random.default_rng(10)
    root = rng.normal(size=(10, 10))
    inverse = np.linalg.inv(root @ root.T + np.eye(10))
    standard, step, noise = rng.normal(size=(3, 10))
    noise -= step * (step @ inverse @ noise) / (step @ inverse @ step)  # nothing along the step
    data = standard + 1.5 * step + noise
    significance = (step @ inverse @ step) ** 0.5
    pull, own = line_pulls(lambda x: (x - data) @ inverse @ (x - data), standard + step, standard)
    assert pull == pytest.approx(-0.5 * significance, abs=1e-4)
    assert own == pytest.approx(-1.5 * significance, abs=1e-4)
    bent = ((data - standard - step) @ inverse @ (data - standard - step)) ** 0.5
    assert abs(bent - abs(pull)) > 0.5
