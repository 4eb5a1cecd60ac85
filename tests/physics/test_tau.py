"""B → K(*) ττ and couplings to τ: flavio, limits, sum rules of widths, and what a detector is left with."""

import math
from dataclasses import replace

import numpy as np
import pytest
from darkpenguin import InputError, bin, generate, predict, validate
from darkpenguin.generator.commands.cli import app
from darkpenguin.physics.angular import angular_coefficients, breakpoints, decay_rate, quadrature
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.light_scalar import LightScalar
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, as_model, get_model
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.rates import branching_ratio, two_body_rate
from darkpenguin.physics.resonances import resonance_rows
from typer.testing import CliRunner

K, K_STAR = get_channel("B+->K+tautau"), get_channel("B0->K*0tautau")
THRESHOLD = 12.6289  # GeV², 4 m_τ²
V4 = {"mass": 4.0, "g_bs": 1e-8}
BENT = as_model({"name": "bent", "light_vectors": [{**V4, "relative_width": 0.05, "g_tau_v": 0.3}]})


def average(channel, q2, model="sm"):
    """Mean of dBR/dq2 of both flavours (1/GeV²)."""
    rates = [decay_rate(angular_coefficients(channel, as_model(model), q2, flavour)) for flavour in (-1, 1)]
    return load_parameters()[f"tau_{channel.parent}"] * 0.5 * sum(rates)


@pytest.mark.filterwarnings("ignore:The QCDF corrections")
def test_rates_and_observables_are_flavio_s():
    """The spectra to 1e-8 (J_i: test_angular.py), the branching fraction to what flavio integrates it with."""
    import darkpenguin.physics.flavio_parts  # noqa: F401  flavio beside particle 1
    import flavio

    q2 = [12.7, 13.0, 16.0, 19.0]
    for channel, name in ((K, "B+->Ktautau"), (K_STAR, "B0->K*tautau")):
        expected = [flavio.sm_prediction(f"dBR/dq2({name})", q2=s) for s in q2]
        np.testing.assert_allclose(average(channel, q2), expected, rtol=1e-8)
    assert branching_ratio(K, Model()) == pytest.approx(flavio.sm_prediction("BR(B+->Ktautau)"), rel=1e-5, abs=0)
    for row in predict(["AFB", "FL", "P5p", "S3", "S4", "S5"], "sm", bins=[15, 17, 19], channel=K_STAR.name):
        name = f"<{row.observable}>(B0->K*tautau)"
        expected = flavio.sm_prediction(name, q2min=row.q2_min, q2max=row.q2_max)
        assert row.value == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("channel", [K, K_STAR])
def test_taus_as_light_as_muons_are_muons(channel):
    light = as_model("sm", theory={"parameters": {"m_tau": load_parameters()["m_mu"]}})
    q2 = [0.05, 1.0, 7.0, 18.0]
    taus = angular_coefficients(channel, light, q2, 1)
    muons = angular_coefficients(channel.partner("mu"), Model(), q2, 1)
    np.testing.assert_allclose(taus, muons, rtol=1e-10, atol=1e-12 * np.abs(muons).max())


def test_the_rate_opens_with_their_velocity():
    """Next to threshold the amplitudes are constant and dΓ goes as β = √(1 - 4 m²/q²)."""
    low = K_STAR.q2_limits()[0]
    q2 = low * (1 + np.array([1e-8, 1e-6]))
    rates = average(K_STAR, q2)
    assert rates[1] / rates[0] == pytest.approx(10.0, rel=1e-4)
    assert not average(K_STAR, [low, 12.0, 1.0]).any()


@pytest.mark.parametrize("channel", [K, K_STAR])
def test_psi_2s_goes_to_taus_as_measured(channel):
    """B(ψ(2S) → ττ) = (3.07 ± 0.37)e-3 of the PDG's database (M071.68, edition 2026): phase space of B(→ ee)."""
    table = {name: {"on": name == "psi(2S)"} for name in resonance_rows()}
    psi, none = (
        as_model("sm", theory={"nonlocal": "resonances", "resonances": {**table, "psi(2S)": {"on": on}}})
        for on in (True, False)
    )
    row = resonance_rows()["psi(2S)"]
    low, high = row.mass**2 - 0.002, row.mass**2 + 0.002  # interference with the rest is odd there
    found = branching_ratio(channel, psi, (low, high)) - branching_ratio(channel, none, (low, high))
    produced = row.decays[channel.transition.name]["branching"]
    x = (load_parameters()["m_tau"] / row.mass) ** 2
    outside = 2 / math.pi * math.atan(row.mass * row.width / 0.002)
    expected = row.electrons * (1 + 2 * x) * math.sqrt(1 - 4 * x) * (1 - outside)
    assert found / produced == pytest.approx(expected, rel=1e-2)
    assert abs(found / produced / (1 - outside) - 3.0685e-3) < 3.7e-4


def test_partial_widths_add_up_to_all_of_b_to_k_v():
    """Rates at a narrow peak into ττ, μμ, ee and χχ are Γ(B → K V) times branching fractions, which add up to one."""
    couplings = {"g_mu_v": 0.02, "g_mu_a": -0.01, "g_e_v": 0.03, "g_tau_v": 0.05, "g_tau_a": 0.04}
    vector = LightVector(mass=4.0, g_bs=1e-6, relative_width=1e-4, **couplings)  # far above the Standard Model
    shares = {**vector.partial_widths(), "chi chi": vector.dark_width()}
    assert sum(shares.values()) == pytest.approx(vector.total_width, rel=1e-12, abs=0)
    assert shares["tau tau"] > shares["mu mu"]
    model, without = Model(light_vectors=(vector,)), Model()
    produced = 0.5 * sum(two_body_rate(K, vector, flavour) for flavour in (-1, 1))
    total = 0.0
    for pair in ("tautau", "mumu", "ee", "chichi"):
        channel = get_channel(f"B+->K+{pair}")
        edges = breakpoints(channel, model)
        reach = 100 * vector.mass * vector.total_width
        q2, weights = quadrature(edges, 16.0 - reach, 16.0 + reach)
        rate = 0.5 * sum(
            decay_rate(angular_coefficients(channel, one, q2, flavour)) * sign
            for flavour in (-1, 1)
            for one, sign in ((model, 1), (without, -1))
        )
        found = float(rate @ weights) / (1 - 2 / math.pi * math.atan(1 / 100))
        assert found == pytest.approx(produced * shares[f"{pair[: len(pair) // 2]} {pair[len(pair) // 2 :]}"]
                                      / vector.total_width, rel=2e-3, abs=0), pair  # fmt: skip
        total += found
    assert total == pytest.approx(produced, rel=2e-3, abs=0)


def test_widths_close_at_threshold():
    below, above = (
        LightVector(mass=mass, relative_width=0.2, g_tau_v=0.1, g_tau_a=0.1).partial_widths()["tau tau"]
        for mass in (3.5, 3.6)
    )
    assert below == 0.0 < above
    # β³ of a scalar, β of a pseudoscalar: L = 1 and 0
    scalar, pseudo = (
        LightScalar(mass=4.0, width=0.5, g_tau=0.1, parity=parity).partial_widths()["tau tau"]
        for parity in ("scalar", "pseudoscalar")
    )
    assert scalar / pseudo == pytest.approx(1 - THRESHOLD / 16.0, rel=1e-5, abs=0)
    assert LightScalar(mass=4.0, g_tau=0.1).total_width == scalar
    with pytest.raises(InputError, match="g_tau_v = 3 give V of 4 GeV partial widths"):
        _ = LightVector(**V4, width=0.1, g_tau_v=3.0).chi_coupling
    mixed = LightVector(mass=4.0, width=0.1, kinetic_mixing=1e-3)
    assert mixed.g_tau_v == mixed.g_mu_v == mixed.g_e_v != 0.0


@pytest.mark.parametrize("kind", ["light_vectors", "light_scalars"])
def test_without_coupling_it_is_the_standard_model(kind):
    """Whatever couples to muons; and with one to τ the muons are what they were."""
    name = "g_{}_v" if kind == "light_vectors" else "g_{}"

    def model(lepton):
        return as_model({kind: [{**V4, "width": 0.1, name.format(lepton): 0.1}]})

    q2 = [13.0, 15.9, 18.0]
    for lepton, channel in (("mu", K_STAR), ("tau", K_STAR.partner("mu"))):
        found, standard = (angular_coefficients(channel, one, q2, 1) for one in (model(lepton), Model()))
        assert found.tobytes() == standard.tobytes()
    changed = angular_coefficients(K_STAR, model("tau"), q2, 1) - angular_coefficients(K_STAR, Model(), q2, 1)
    assert np.abs(changed).max() > 0


@pytest.mark.parametrize("model", ["sm", {"light_vectors": [{**V4, "relative_width": 0.02, "g_tau_v": 0.3}]}])
def test_events_follow_the_prediction(model):
    """`validate` fails below 1e-6, and does so for taus of another V."""
    sample = generate([K.name, K_STAR.name], model, events=40_000, seed=11)
    assert sample["q2"].min() > THRESHOLD
    assert validate(sample).passed
    bent = validate(
        replace(
            sample,
            provenance={
                **sample.provenance,
                "card": {**sample.provenance["card"], "model": BENT.model_dump(mode="json")},
            },
        )
    )
    assert not bent.passed


def test_a_detector_does_not_see_them():
    """q2 is that which the K leaves at the Υ(4S); no tracks of leptons, no mass of the B."""
    sample = generate(K.name, events=2000, seed=2, beam="belle2", resolution={"preset": "belle2", "momenta": True})
    names = set(sample.names)
    assert {"lp_px", "k_reco_px", "q2_reco"} <= names
    assert not {"lp_reco_px", "m_b_reco"} & names
    error = sample["q2_reco"] - sample["q2"]
    assert np.abs(np.median(error)) < 0.2  # GeV²: the momentum of the B in the centre of mass is what is not known
    assert 0.1 < np.std(error) < 2.0
    energy = {p: np.sqrt(sum(sample[f"{p}_{a}"] ** 2 for a in ("px", "py", "pz")) + m**2)
              for p, m in (("lp", 1.77686), ("lm", 1.77686))}  # fmt: skip
    momentum = [sample[f"lp_{a}"] + sample[f"lm_{a}"] for a in ("px", "py", "pz")]
    np.testing.assert_allclose(
        (energy["lp"] + energy["lm"]) ** 2 - sum(p**2 for p in momentum), sample["q2"], rtol=1e-9
    )


def test_published_bins_begin_at_their_threshold():
    sample = generate(K_STAR.name, events=2000, seed=3)
    found = {(row.q2_min, row.q2_max) for row in bin(sample, "lhcb")}
    assert found == {(15.0, 17.0), (17.0, 19.0)}
    assert {(row.q2_min, row.q2_max) for row in predict("FL", bins="lhcb", channel=K_STAR.name)} == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "--channel", K.name, "--q2", "23,24"], "outside phase space, 12.6289 to 22.9026"),
        (["generate", "--channel", K.name, "--q2", "1,6"], "outside phase space, 12.6289 to 22.9026"),
        (["generate", "--channel", K.name, "--parameter", "m_tau=2.6"], "needs less than 2.39283 GeV"),
        (["predict", "FL", "--channel", K_STAR.name, "--bins", "1,2"], "outside the phase space"),
        (["predict", "FL", "--channel", K_STAR.name, "--bins", "13,15"], "has the psi(2S) in it"),
    ],
)
def test_taus_above_the_endpoint_are_one_line(words, message):
    more = ["--events", "10", "--output", "never.root"] if words[0] == "generate" else []
    found = CliRunner().invoke(app, [*words, *more])
    assert found.exit_code == 2, found.output
    assert message in " ".join(found.output.split())
    assert len([line for line in found.output.splitlines() if "error:" in line]) == 1


def test_the_ratios_are_those_of_muons_and_electrons():
    [row] = predict("R_K*0", "heavy-c9", bins=[[1.1, 6.0]])
    with_taus = get_model("heavy-c9").model_copy(
        update={"heavy": as_model({"heavy": {"C9_mu": -1.1, "C9_tau": 9}}).heavy}
    )
    assert predict("R_K*0", with_taus, bins=[[1.1, 6.0]])[0].value == row.value
