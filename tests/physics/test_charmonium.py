import math

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import helicity_amplitudes, new_physics, nonlocal_physics, standard_model
from darkpenguin.physics.angular import (
    angular_coefficients,
    breakpoints,
    coefficients_of,
    decay_rate,
    event_signs,
    quadrature,
)
from darkpenguin.physics.bins import build_predictor
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.charmonium import OpenCharm, charm_loop, missing_charm
from darkpenguin.physics.kpi import s_wave_amplitudes
from darkpenguin.physics.models import as_model, check_single_precision
from darkpenguin.physics.observables import BinnedObservable, binned, get_observable
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.resonances import LIGHT, PHASES, resonance_rows
from darkpenguin.physics.theory import Theory
from darkpenguin.physics.uncertainties import resonance_covariance, theory_covariance

K, K_STAR = "B+->K+mumu", "B0->K*0mumu"


def alone(*names, mode="resonances", **changes):
    """The Standard Model with these resonances only."""
    table = {name: {"on": name in names} for name in resonance_rows()}
    for name in names:
        table[name].update(changes)
    return as_model("sm", theory={"nonlocal": mode, "resonances": table})


def resonant(channel, model, q2, conjugate=False):
    """Helicity amplitudes of what the resonances add, as the difference of two calls of all that there is."""
    none = alone(mode=model.theory.nonlocal_)
    with_, without = (helicity_amplitudes(channel, m, q2, conjugate) for m in (model, none))
    return {name: with_[name] - without[name] for name in with_}


def branching(channel, model):
    """What the resonances alone would give, integrated over q2."""
    q2, weights = quadrature(breakpoints(channel, model), *channel.q2_limits())
    rate = decay_rate(coefficients_of(channel, resonant(channel, model, q2), q2))
    return load_parameters()[f"tau_{channel.parent}"] * float(rate @ weights)


MEASURED = [(row.name, mode) for row in resonance_rows().values() for mode in row.decays if row.name != "psi(4040)"]


@pytest.mark.parametrize("lepton", ["mumu", "ee"])
@pytest.mark.parametrize(("name", "transition"), MEASURED)
def test_a_resonance_alone_has_its_branching_fractions(name, transition, lepton):
    channel, row = get_channel(transition + lepton), resonance_rows()[name]
    # lepton universality: (1 + 2 m²/M²) √(1 - 4 m²/M²) for muons, which a width smears
    x = (channel.lepton_mass() / row.mass) ** 2
    expected = row.decays[transition]["branching"] * row.electrons * (1 + 2 * x) * math.sqrt(1 - 4 * x)
    for mode in ("resonances", "dispersive"):
        tolerance = 1e-2 if name == "rho" else 1e-3
        assert branching(channel, alone(name, mode=mode)) == pytest.approx(expected, rel=tolerance)


def test_muons_follow_from_electrons():
    """B(V → μμ) of the PDG's database (identifiers M070.2, M071.2, M004.6, M009.6; edition 2026): value and error."""
    measured = {
        "J/psi": (0.0596122, 3.3e-4),
        "psi(2S)": (0.00798919, 6e-4),
        "phi": (2.86258e-4, 2.19e-5),
        "rho": (4.55022e-5, 2.8e-6),
    }
    channel = get_channel(K)
    for name, (value, error) in measured.items():
        found = branching(channel, alone(name)) / resonance_rows()[name].decays["B+->K+"]["branching"]
        assert abs(found - value) < error


@pytest.mark.parametrize("name", ["J/psi", "psi(2S)"])
@pytest.mark.parametrize("flavour", [-1, 1])
def test_polarisation_and_phases_at_the_pole_are_those_put_in(name, flavour):
    r"""S_i of B → V K* in LHCb's convention: the formulas of EOS (``b-to-kstar-charmonium.cc``), for massless leptons.

    S3 = (f_⊥-f_∥)/2, S4 = √(f_0f_∥/2) cosφ_∥, S8 = -√(f_0f_⊥/2) sinφ_⊥, S9 = √(f_∥f_⊥) sin(φ_⊥-φ_∥).
    """
    channel, row = get_channel("B0->K*0ee"), resonance_rows()[name]
    known = row.decays["B0->K*0"]
    f_0, f_t = known["f_long"], known["f_perp"]
    f_p, phi_p, phi_t = 1 - f_0 - f_t, known["phi_par"], known["phi_perp"]
    q2 = np.array([row.mass**2])
    j = coefficients_of(channel, resonant(channel, alone(name), q2, conjugate=flavour > 0), q2)[:, 0]
    found = dict(zip(channel.coefficients, j * event_signs(channel, flavour) / decay_rate(j), strict=True))
    expected = {
        "3": 0.5 * (f_t - f_p),
        "4": math.sqrt(f_0 * f_p / 2) * math.cos(phi_p),
        "8": -math.sqrt(f_0 * f_t / 2) * math.sin(phi_t),
        "9": math.sqrt(f_p * f_t) * math.sin(phi_t - phi_p),
        "2c": -f_0,
        "6s": 0.0,
        "7": 0.0,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=5e-5)


def test_angular_observables_of_psi2s_are_those_measured():
    """BaBar, arXiv:0704.0522, as EOS has it (B-to-Kstar-charmonium.yaml): S3, S4, S8, S9 of B0 → ψ(2S) K*0."""
    channel = get_channel(K_STAR)
    q2 = np.array([resonance_rows()["psi(2S)"].mass ** 2])
    j = sum(angular_coefficients(channel, alone("psi(2S)"), q2, flavour)[:, 0] for flavour in (-1, 1))
    s = dict(zip(channel.coefficients, j * event_signs(channel, -1) / decay_rate(j), strict=True))
    measured = {"3": (0.04, 0.06), "4": (-0.20, 0.04), "8": (-0.09, 0.08), "9": (-0.15, 0.06)}
    for name, (value, error) in measured.items():
        assert abs(s[name] - value) < error


@pytest.mark.parametrize("channel", [K, K_STAR])
def test_the_overall_phase_is_the_one_put_in(channel):
    channel, mass = get_channel(channel), resonance_rows()["J/psi"].mass
    name = "V" if channel.spin == 0 else "0V"
    q2 = np.array([mass**2])
    local = helicity_amplitudes(channel, as_model({"heavy": {"C9_mu": 1.0}}), q2)[name]
    local = local - helicity_amplitudes(channel, as_model("sm"), q2)[name]
    for phase in (-1.0, 0.4):
        ratio = complex((resonant(channel, alone("J/psi", phase=phase), q2)[name] / local)[0])
        assert np.angle(ratio / 1j) == pytest.approx(phase, abs=1e-9)  # the line shape is i at the pole


@pytest.mark.parametrize("channel", [K, K_STAR])
def test_eta_is_a_strong_phase(channel):
    """The conjugate amplitude has the conjugate N and the same η; with a conjugated η this fails by 2 sin δ."""
    channel = get_channel(channel)
    q2 = np.array([3.0, 9.3, 12.0, 17.0])
    first, second = (resonant(channel, as_model("sm", theory=CHARM), q2, side) for side in (False, True))
    n = standard_model(channel).prefactors
    for name in ("V",) if channel.spin == 0 else ("+V", "-V", "0V"):
        assert second[name] / n[1] == pytest.approx(first[name] / n[0], rel=1e-10)


CHARM = {"nonlocal": "resonances", "phases": "factorisation"}


@pytest.mark.parametrize("phases", PHASES)
def test_dispersive_tends_to_flavio_at_low_q2(phases):
    """|ΔC9| against C9 = 4.2, from the tails of charmonia: below 0.055 q2/GeV²; 0.4 at any q2 without the subtraction.

    The light mesons, whose poles are there, are off.
    """
    channel = get_channel(K)
    q2 = np.linspace(0.05, 1.0, 20)
    shift = {}
    for mode in ("dispersive", "resonances"):
        light = {name: {"on": False} for name in LIGHT}
        model = as_model("sm", theory={"nonlocal": mode, "phases": phases, "resonances": light})
        ratio = helicity_amplitudes(channel, model, q2)["V"] / helicity_amplitudes(channel, as_model("sm"), q2)["V"]
        shift[mode] = 4.2 * np.abs(ratio - 1)
    assert (shift["dispersive"] < 0.055 * q2).all()
    if phases not in ("jpsi-positive", "psi2s-positive"):  # where J/psi and psi(2S) cancel in part
        assert (shift["resonances"] > 0.3).all()


def test_without_couplings_it_is_flavio():
    channel = get_channel(K_STAR)
    q2 = np.linspace(0.1, 18.0, 30)
    gone = {name: {"branching": dict.fromkeys(row.decays, 0.0)} for name, row in resonance_rows().items() if row.decays}
    del gone["psi(4040)"]
    for table in (gone, {name: {"on": False} for name in resonance_rows()}):
        model = as_model("sm", theory={"nonlocal": "resonances", "resonances": table})
        j, sm = (angular_coefficients(channel, m, q2) for m in (model, as_model("sm")))
        assert (j == sm).all()


def test_rates_go_with_the_square_root_of_a_small_branching_fraction():
    """Far from the pole only the interference is left, which is linear in the coupling."""
    channel, q2 = get_channel(K), np.array([6.0])
    sm = angular_coefficients(channel, as_model("sm"), q2)[0, 0]
    changes = [
        angular_coefficients(channel, alone("J/psi", phase=0.0, branching={"B+->K+": b}), q2)[0, 0] / sm - 1
        for b in (1e-9, 4e-9)
    ]
    assert changes[1] / changes[0] == pytest.approx(2.0, rel=1e-2)


def test_charm_loop_is_flavios():
    from flavio.physics.bdecays.matrixelements import h

    for s in (-3.0, 1e-6, 0.1, 2.0, 11.0, 11.6, 20.0):
        for mass in (1.68, 1.86):
            if s > 0:
                expected = h(s, mass, 4.8) - h(0, mass, 4.8)
            else:  # flavio has none below zero: the same analytic function by Taylor's series in s/m²
                a = s / mass**2
                expected = 4 / 45 * a + a**2 / 105 + 4 * a**3 / 2835
            assert charm_loop(np.array([s]), mass)[0] == pytest.approx(expected, abs=2e-8 if s > 0 else 1e-3)


def test_a_dispersion_relation_exchanges_the_charm_loop():
    """No one-loop cusp at 4 m_c² = 11.34 any more: of flavio's step across it the two-loop corrections are left."""
    parts = nonlocal_physics(get_channel(K), alone(mode="dispersive").theory)
    assert [type(part) for part in parts] == [OpenCharm]
    assert parts[0].m_c == load_parameters()["m_c_pole"]
    at = np.array([11.3, 11.4])
    flavio = standard_model(get_channel(K)).wilson(at)["v"]
    left = flavio + parts[0].loop * parts[0].wave(None, at, "fixed")
    assert abs((flavio[1] - flavio[0]).real) > 0.05
    assert abs((left[1] - left[0]).real) < 0.5 * abs((flavio[1] - flavio[0]).real)
    at = np.array([0.0])
    assert parts[0].wave(None, at, "fixed")[0] == 0


def test_what_is_not_measured_follows_from_the_partner():
    found = {}
    for name in (K, "B0->K0mumu", K_STAR, "B+->K*+mumu"):
        theory = as_model("sm", theory=CHARM).theory
        found[name] = {part.name: part for part in nonlocal_physics(get_channel(name), theory)}
    k, k0, star, plus = found.values()
    assert k0["psi(3770)"].eta_0 == k["psi(3770)"].eta_0
    assert plus["omega"].eta_perp == star["omega"].eta_perp
    assert star["psi(4160)"].eta_par == k["psi(4160)"].eta_0
    ratio = abs(plus["psi(2S)"].eta_par) / abs(plus["psi(2S)"].eta_0)  # its polarisation is the partner's
    assert ratio == pytest.approx(abs(star["psi(2S)"].eta_par) / abs(star["psi(2S)"].eta_0), rel=0.01)


def test_the_k_star_may_have_another_phase_than_the_k():
    theory = {**CHARM, "resonances": {"J/psi": {"phase": 1.0, "phase_0": -0.5}}}
    found = {
        name: next(part for part in nonlocal_physics(get_channel(name), as_model("sm", theory=theory).theory)[3:4])
        for name in (K, "B0->K0mumu", K_STAR, "B+->K*+mumu")
    }
    assert [np.angle(part.eta_0) for part in found.values()] == pytest.approx([1.0, 1.0, -0.5, -0.5])
    phi = resonance_rows()["J/psi"].decays["B0->K*0"]["phi_perp"]
    assert np.angle(found[K_STAR].eta_perp) == pytest.approx(phi + math.pi - 0.5 - 2 * math.pi)


def test_polarisations_and_sizes_can_be_set():
    changes = {"ee": 0.03, "f_long": {"B0->K*0": 0.2}, "f_perp": {"B0->K*0": 0.5}, "branching": {"B0->K*0": 1e-3}}
    part, *_ = nonlocal_physics(get_channel(K_STAR), alone("J/psi", **changes).theory)
    standard, *_ = nonlocal_physics(get_channel(K_STAR), alone("J/psi").theory)
    row = resonance_rows()["J/psi"]
    known = row.decays["B0->K*0"]
    rate = 1e-3 * 0.03 / (known["branching"] * row.electrons)
    for name, before, after in (("0", known["f_long"], 0.2), ("perp", known["f_perp"], 0.5)):
        ratio = getattr(part, f"eta_{name}") / getattr(standard, f"eta_{name}")
        assert abs(ratio) ** 2 == pytest.approx(rate * after / before)


def test_errors_of_resonances_are_those_of_what_is_measured():
    """At the peak, of B(B+ -> J/psi K+) B(J/psi -> ee) alone; not of what is set by hand, nor of form factors."""
    row = resonance_rows()["J/psi"]
    value, error = row.decays["B+->K+"]["branching"], row.errors["B+->K+"]["branching"]
    electrons = row.errors["ee"]["ee"] / row.electrons
    peak = [BinnedObservable("dBR", K, 9.55, 9.63)]
    by_hand = {"branching": {"B+->K+": value}}
    for changes, expected in (({}, math.hypot(error / value, electrons)), (by_hand, electrons)):
        model = alone("J/psi", **changes)
        rate = build_predictor(peak, model)()[0, 0]
        assert resonance_covariance(peak, model)[0, 0] ** 0.5 / rate == pytest.approx(expected, rel=0.01)
    assert theory_covariance(peak, model)[0, 0] ** 0.5 / rate < 0.01  # 0.15 of flavio's rate, by form factors
    f_long = [BinnedObservable("FL", K_STAR, 9.55, 9.63)]
    spread = resonance_covariance(f_long, alone("J/psi"))[0, 0] ** 0.5
    assert spread == pytest.approx(row.errors["B0->K*0"]["f_long"], rel=0.05)
    assert resonance_covariance(peak, as_model("sm"))[0, 0] == 0.0


def test_the_s_wave_follows_the_longitudinal_k_star():
    """H_S is linear in C9: what J/ψ adds is ΔC9 of the longitudinal amplitude times what C9 = 1 does."""
    channel, q2 = get_channel(K_STAR), np.array([3.0, 9.55])
    standard, shifted, charm = (
        s_wave_amplitudes(channel, model, q2, 0.9)["0V"]
        for model in (as_model("sm"), as_model({"heavy": {"C9_mu": 1.0}}), alone("J/psi"))
    )
    expected = new_physics(channel, alone("J/psi"), q2)["v0"]
    assert (charm - standard) / (shifted - standard) == pytest.approx(expected, rel=1e-9)
    assert abs(expected[1]) > 10


def test_both_flavours_of_leptons_alike():
    """R_K is one where J/ψ makes the rate, up to the mass of the muon (1e-5 at the pole)."""
    r = BinnedObservable("R_K+", K, 9.0, 10.0)
    assert float(build_predictor([r], as_model("sm", theory=CHARM))()[0, 0]) == pytest.approx(1.0, abs=3e-5)


@pytest.mark.parametrize("mode", ["resonances", "dispersive"])
def test_bins_of_scans_are_those_of_predict(mode):
    model = as_model("fig2", theory={"nonlocal": mode})
    bins = [(1.1, 6.0), (8.68, 10.0), (15.0, 19.0)]
    row = get_observable("P5p")
    one = binned(row, model, bins, K_STAR)
    other = build_predictor([BinnedObservable("P5p", K_STAR, *pair) for pair in bins], model)()[0]
    assert other == pytest.approx(one, abs=1e-7)


@pytest.mark.parametrize("phases", ["both-negative", "jpsi-positive", "psi2s-positive", "both-positive"])
def test_data_above_15_gev2_want_the_broad_states_where_the_presets_have_them(phases):
    """LHCb's dB/dq² of B+ → K+ μμ (arXiv:1403.8044, as in flavio 2.7.1's database), normalisation free within 10 %."""
    measured = np.array([16.1, 16.4, 20.6, 13.7, 7.4, 5.9, 4.3])
    error = np.array([1.28, 1.28, 1.5, 1.2, 0.9, 0.76, 0.73])
    bins = [(q2, q2 + 1.0) for q2 in range(15, 22)]

    def chi2(theory):
        found = 1e9 * binned(get_observable("dBR"), as_model("sm", theory=theory), bins, K)
        scale = ((found * measured / error**2).sum() + 100) / ((found**2 / error**2).sum() + 100)
        return float((((measured - scale * found) / error) ** 2).sum() + ((scale - 1) / 0.1) ** 2)

    base = {"nonlocal": "dispersive", "phases": phases}
    others = [{**base, "resonances": {"psi(3770)": {"phase": x}, "psi(4160)": {"phase": x}}} for x in (0.0, 1.57, 3.14)]
    assert chi2(base) < min(map(chi2, [None, *others])) - 5


def test_what_a_channel_lacks_is_said_in_one_line():
    channel = get_channel(K)
    assert "nonlocal = 'resonances'" in missing_charm(channel, Theory(), [(1.1, 9.0)])
    assert missing_charm(channel, Theory(), [(0.1, 8.68), (14.0, 20.0)]) == ""
    assert missing_charm(channel, alone().theory) == ""
    assert missing_charm(get_channel("B+->K+nunu"), Theory()) == ""
    assert "nonlocal" not in missing_charm(get_channel("Bs->phimumu"), Theory())


def test_b_s_is_refused():
    with pytest.raises(InputError, match=r"Bs->phi.*take nonlocal = 'flavio'"):
        angular_coefficients(get_channel("Bs->phimumu"), as_model("sm", theory=CHARM), [2.0])
    assert angular_coefficients(get_channel("B+->K+nunu"), as_model("sm", theory=CHARM), [2.0]).any()


def test_single_precision_does_not_hold_the_j_psi():
    model, channel = as_model("sm", theory=CHARM), get_channel(K)
    with pytest.raises(InputError, match=r"theory.resonances.J/psi has a line shape.*float64"):
        check_single_precision(model, channel)
    check_single_precision(model, channel, [(1.1, 6.0), (14.0, 20.0)])
    check_single_precision(model, channel, vetoes=[(8.0, 11.0)])
