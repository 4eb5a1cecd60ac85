"""Observables against flavio's own at points, and bins against an independent quadrature over flavio's J."""

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics import observables
from darkpenguin.physics.bins import observable_channels
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.light_vector import LightVector
from darkpenguin.physics.models import Model, apply_settings, get_model
from darkpenguin.physics.observables import OBSERVABLES, BinnedObservable, binned, curve, integrate
from darkpenguin.physics.parameters import load_parameters
from darkpenguin.physics.predict import channel_of

NARROW = Model(
    name="narrow",
    light_vectors=(LightVector(mass=2.2, relative_width=1e-3, g_bs=2e-9 + 1e-9j, g_mu_v=0.02, g_mu_a=-0.03),),
)
S_AND_P = ("S3", "S4", "S5", "S7", "S8", "S9", "AFB", "FL", "P1", "P2", "P3", "P4p", "P5p", "P6p", "P8p")


@pytest.fixture
def flavio_with(monkeypatch):
    """flavio with eq. (9) of arXiv:1704.06188 added to its coefficients, and its own observable functions."""
    import flavio
    from flavio.physics.bdecays import bpll
    from flavio.physics.bdecays.bvll import amplitudes, observables
    from flavio.physics.running import running

    warnings.filterwarnings("ignore", module="flavio")
    original = amplitudes.get_wceff
    chosen = {"model": get_model("sm")}

    def shifted(q2, wc, par, parent, hadron, lepton, scale):
        c = original(q2, wc, par, parent, hadron, lepton, scale)
        if lepton == "e":  # no electron couplings here
            return c
        n, m_b = amplitudes.prefactor(q2, par, parent, hadron), running.get_mb(par, scale)
        for v in chosen["model"].light_vectors:
            g_bs = v.g_bs if par["gamma"] > 0 else np.conj(v.g_bs)
            wave = g_bs / n / (q2 - v.mass**2 + 1j * v.mass * v.total_width)
            c["v"] += v.g_mu_v * wave
            c["a"] += v.g_mu_a * wave
            c["p"] -= m_b * 2 * par["m_mu"] / v.mass**2 * v.g_mu_a * wave
        return c

    for module in (amplitudes, observables, bpll):
        monkeypatch.setattr(module, "get_wceff", shifted)

    def choose(model):
        chosen["model"] = model
        coefficients = flavio.WilsonCoefficients()
        values = {key: value for key, value in model.heavy.model_dump().items() if value}
        if values:
            coefficients.set_initial({k.replace("_mu", "_bsmumu"): v for k, v in values.items()}, scale=4.8)
        return coefficients, flavio.default_parameters.get_central_all()

    return choose


def flavio_at(coefficients, name, q2):
    import flavio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flavio.np_prediction(name, coefficients, q2=q2)


@pytest.mark.parametrize("model", [get_model("sm"), get_model("fig2"), get_model("heavy-c9"), NARROW],
                         ids=lambda model: model.name)  # fmt: skip
def test_curves_are_flavio_s(flavio_with, model):
    coefficients, _ = flavio_with(model)
    q2 = np.array([0.7, 4.3, 4.842, 16.3])
    for name in S_AND_P:
        expected = [flavio_at(coefficients, f"{name}(B0->K*mumu)", s) for s in q2]
        np.testing.assert_allclose(curve(name, model, q2), expected, rtol=1e-8, atol=1e-9, err_msg=name)
    pairs = {"B0->K*0": "B0->K*", "B+->K*+": "B+->K*", "B0->K0": "B0->K", "B+->K+": "B+->K"}
    for (ours, theirs), lepton in itertools.product(pairs.items(), ("mu", "e")):
        found = curve("dBR", model, q2, f"{ours}{lepton}{lepton}")
        expected = [flavio_at(coefficients, f"dBR/dq2({theirs}{lepton}{lepton})", s) for s in q2]
        np.testing.assert_allclose(found, expected, rtol=1e-8)
    for ours, theirs in pairs.items():
        expected = [flavio_at(coefficients, f"Rmue({theirs}ll)", s) for s in q2]
        np.testing.assert_allclose(curve("R_" + ours.partition("->")[2], model, q2), expected, rtol=1e-8)
    for name in ("FH", "AFB"):
        expected = [flavio_at(coefficients, f"{name}(B+->Kmumu)", s) for s in q2]
        np.testing.assert_allclose(curve(name, model, q2, "B+->K+mumu"), expected, rtol=1e-8, atol=1e-12)
    # CP asymmetries: flavio's of K is the usual one, its of K* is half of it
    for channel, theirs, factor in (("B+->K+mumu", "B+->K", 1.0), ("B0->K*0mumu", "B0->K*", 2.0)):
        expected = [factor * flavio_at(coefficients, f"ACP({theirs}mumu)", s) for s in q2]
        np.testing.assert_allclose(curve("ACP", model, q2, channel), expected, rtol=1e-6, atol=1e-12)


# --- bins


def flavio_averages(flavio_with, model, channel, low, high):
    """∫ J, ∫ Jbar over a bin from flavio's J on Gauss points chosen here: none of our panels or formulas.

    Panels of 0.1 GeV², closing in on the cusp of the charm loop; about a narrow V, q2 = m² + mΓ sinh(u).
    """
    from flavio.physics.bdecays import angular, bpll, matrixelements
    from flavio.physics.bdecays.bvll.observables import BVllObservable
    from flavio.physics.running import running

    coefficients, par = flavio_with(model)
    cusp = 4 * running.get_mc_pole(par) ** 2 + np.outer([-1, 1], 0.05 / 2.0 ** np.arange(9)).ravel()
    loops = matrixelements._f_z * running.get_mb_pole(par) ** 2
    edges = [np.arange(1e-6, 23, 0.1), loops, cusp, [8.9]]
    for v in model.light_vectors:
        if v.total_width < 0.1:
            reach = v.mass * v.total_width
            edges.append(v.mass**2 + reach * np.sinh(np.linspace(-6.0, 6.0, 41)))
    inside = np.unique(np.concatenate(edges))
    inside = np.concatenate([[low], inside[(inside > low) & (inside < high)], [high]])
    x, w = np.polynomial.legendre.leggauss(4)
    total = np.zeros((2, len(channel.coefficients)))
    m_l = par["m_" + channel.lepton]
    masses = (par["m_" + channel.parent], par["m_" + channel.hadron])
    if channel.spin == 1:
        source = BVllObservable(channel.parent, channel.hadron, channel.lepton, coefficients, par)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for a, b in itertools.pairwise(inside):
            for s, weight in zip(0.5 * (a + b) + 0.5 * (b - a) * x, 0.5 * (b - a) * w, strict=True):
                if channel.spin == 1:
                    both = (source.j(s), source.jbar(s))
                else:
                    both = [
                        angular.angularcoeffs_general_p(
                            h(s, coefficients, par, channel.parent, channel.hadron, channel.lepton),
                            s, *masses, 4.2, 0.0, m_l, m_l)
                        for h in (bpll.helicity_amps, bpll.helicity_amps_bar)
                    ]  # fmt: skip
                for i, j in enumerate(both):
                    named = {str(key): value for key, value in j.items()}
                    total[i] += weight * np.array([named[key] for key in channel.coefficients])
    return total


def expected_from(total, channel):
    """S_i, A_FB, F_L, P_i' and Γ + Γ̄ by hand from integrated J and Jbar."""
    both = dict(zip(channel.coefficients, total.sum(axis=0), strict=True))
    if channel.spin == 0:
        return {"rate": 2 * (both["a"] + both["c"] / 3)}
    rate = 0.75 * (2 * both["1s"] + both["1c"]) - 0.25 * (2 * both["2s"] + both["2c"])
    s = {i: both[i] / rate * (-1 if i in ("4", "6s", "6c", "7", "9") else 1) for i in both}
    root = 2 * np.sqrt(-s["2s"] * s["2c"])
    values = {f"S{i}": s[i] for i in "345789"}
    values |= {"AFB": 0.75 * s["6s"] + 0.375 * s["6c"], "FL": -s["2c"], "rate": rate}
    values |= {"P1": s["3"] / (2 * s["2s"]), "P2": s["6s"] / (8 * s["2s"]), "P3": -s["9"] / (4 * s["2s"])}
    return values | {f"P{i}p": s[j] / root for i, j in (("4", "4"), ("5", "5"), ("6", "7"), ("8", "8"))}


@pytest.mark.parametrize("case", [
    ("sm", 1.1, 2.0), ("fig2", 4.0, 5.3), ("fig1-2.0gev", 3.3, 4.1), ("narrow", 4.7, 5.0),
    ("narrow", 4.8405, 5.1), ("heavy-c9-c10", 8.6, 9.1), ("fig1-2.8gev", 11.2, 11.5), ("sm", 18.3, 19.0),
], ids=str)  # fmt: skip
def test_bins_are_integrals_of_flavio_s_j(flavio_with, case):
    """Binned R, S_i, P_i' within 1e-4 was asked; what is tested is the accuracy of this reference, 1e-6."""
    name, low, high = case
    model = NARROW if name == "narrow" else get_model(name)
    channel = get_channel("B0->K*0mumu")
    found = {key: binned(key, model, [(low, high)])[0] for key in (*S_AND_P, "dBR", "R_K*0", "R_K+")}
    muons = expected_from(flavio_averages(flavio_with, model, channel, low, high), channel)
    for key in S_AND_P:
        assert found[key] == pytest.approx(muons[key], rel=1e-6, abs=1e-6), key
    lifetime = load_parameters()["tau_B0"]
    assert found["dBR"] == pytest.approx(0.5 * lifetime * muons["rate"] / (high - low), rel=1e-6, abs=0)
    electron = get_channel("B0->K*0ee")
    electrons = expected_from(flavio_averages(flavio_with, model, electron, low, high), electron)
    assert found["R_K*0"] == pytest.approx(muons["rate"] / electrons["rate"], rel=1e-6, abs=0)
    kaon = [get_channel("B+->K+" + final) for final in ("mumu", "ee")]
    rates = [expected_from(flavio_averages(flavio_with, model, c, low, high), c)["rate"] for c in kaon]
    assert found["R_K+"] == pytest.approx(rates[0] / rates[1], rel=1e-6, abs=0)


def test_a_bent_bin_is_seen(flavio_with):
    """The comparison fails for a V heavier by 1e-4: the tolerance is not slack."""
    channel = get_channel("B0->K*0mumu")
    bent = apply_settings(NARROW, ["light_vectors.0.mass=2.20022"])
    rate = expected_from(flavio_averages(flavio_with, NARROW, channel, 4.8405, 5.1), channel)["rate"]
    lifetime = load_parameters()["tau_B0"]
    expected = 0.5 * lifetime * rate / (5.1 - 4.8405)
    assert binned("dBR", bent, [(4.8405, 5.1)])[0] != pytest.approx(expected, rel=1e-4, abs=0)


# --- known numbers


def test_rk_of_the_paper_s_funnel():
    """R_K in [1,6] at g_bs g_muV = -3e-9, g_muA = -0.44 g_muV, m_V = 2.5 GeV, Γ/m = 20 %.

    An earlier calculation, with flavio's rate of the b-quark decay alone, gave 0.720 with a fixed and 0.680
    with a running width; the CP average, as R_K is measured, is 0.715 and 0.676.
    """
    fixed = apply_settings(get_model("fig2"), ["light_vectors.0.g_bs=-3e-8"])
    running = apply_settings(fixed, ["width=running"])
    np.testing.assert_allclose(binned("R_K+", [fixed, running], [(1, 6)])[:, 0], [0.7152, 0.6760], atol=2e-4)
    for model, expected in ((fixed, 0.7202), (running, 0.6803)):
        rates = [
            observables.decay_rate(integrate(get_channel("B+->K+" + final), [model], 1.0, 6.0)[0])[0]
            for final in ("mumu", "ee")
        ]
        assert rates[0] / rates[1] == pytest.approx(expected, abs=2e-4)


def test_the_paper_s_points_do_what_the_paper_says():
    # negative g_bs g_muV suppresses R_K and R_K* in 1-6 GeV² for 2.5 and 2.8 GeV; at 2 GeV positive g_bs
    # enhances P5' in [4,6] (Fig. 1 of arXiv:1704.06188)
    sm, v_20, v_25, v_28 = ["sm", "fig1-2.0gev", "fig1-2.5gev", "fig1-2.8gev"]
    for name in ("R_K+", "R_K*0"):
        values = binned(name, [sm, v_25, v_28], [(1.1, 6.0)])[:, 0]
        assert values[0] == pytest.approx(1.0, abs=0.01)
        assert values[1:].max() < 0.9
    p5p = binned("P5p", [sm, v_20, v_25, v_28], [(4.0, 6.0)])[:, 0]
    assert np.all(p5p[1:] > p5p[0] + 0.05)


def test_charge_conjugation_is_in_the_asymmetries():
    """A weak phase of g_bs with the strong phase of the propagator is a CP asymmetry, odd in it."""
    model = apply_settings(get_model("fig2"), ["light_vectors.0.g_bs=[0,1.5e-8]"])
    mirrored = apply_settings(get_model("fig2"), ["light_vectors.0.g_bs=[0,-1.5e-8]"])
    values = binned("ACP", ["sm", model, mirrored], [(5.5, 6.2)])[:, 0]
    assert abs(values[0]) < 0.005
    assert values[1] * values[2] < 0
    assert abs(values[1]) > 0.02


# --- limits, shapes, errors


def test_optimised_observables_for_massless_leptons():
    q2 = np.array([2.0, 5.0, 17.0])
    channel = "B0->K*0ee"
    f_l = curve("FL", "fig2", q2, channel)
    for name, number, factor in (("P4p", "S4", 1), ("P5p", "S5", 1), ("P6p", "S7", 1), ("P8p", "S8", 1)):
        expected = factor * curve(number, "fig2", q2, channel) / np.sqrt(f_l * (1 - f_l))
        np.testing.assert_allclose(curve(name, "fig2", q2, channel), expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(
        curve("P1", "fig2", q2, channel), 2 * curve("S3", "fig2", q2, channel) / (1 - f_l), rtol=1e-5
    )


def test_no_coupling_is_the_standard_model():
    q2 = np.array([1.0, 4.8, 15.0])
    off = apply_settings(get_model("fig2"), ["light_vectors.0.g_mu_v=0", "light_vectors.0.g_mu_a=0"])
    weak = apply_settings(get_model("fig2"), ["light_vectors.0.g_bs=1e-20"])
    for name in ("dBR", "P5p", "R_K*0"):
        reference = curve(name, "sm", q2)
        np.testing.assert_array_equal(curve(name, off, q2), reference)
        np.testing.assert_allclose(curve(name, weak, q2), reference, rtol=1e-9)


def test_many_models_are_one_at_a_time(monkeypatch):
    models = ["sm", get_model("fig2"), NARROW]
    bins = [(1.1, 6.0), (15.0, 17.0)]
    # in groups of one: with other models in the group there are more panels, so only rounding differs
    alone = np.stack([binned("P5p", model, bins) for model in models])
    np.testing.assert_allclose(binned("P5p", models, bins), alone, rtol=1e-9)
    monkeypatch.setattr(observables, "_GROUP", 1)
    np.testing.assert_array_equal(binned("P5p", models, bins), alone)
    assert curve("dBR", models, [1.0, 2.0]).shape == (3, 2)
    assert curve("dBR", "sm", 1.0).shape == (1,)


def test_s_1_2_and_6_are_the_rate_f_l_and_a_fb():
    """3/4 (2 S1s + S1c) - 1/4 (2 S2s + S2c) = 1, F_L = -S2c, A_FB = 3/4 S6s + 3/8 S6c (arXiv:0811.1214)."""
    q2, model = np.array([0.5, 4.0, 17.0]), apply_settings(get_model("fig2"), "heavy.CS_mu=0.3")
    s = {name: curve(f"S{name}", model, q2) for name in ("1s", "1c", "2s", "2c", "6s", "6c")}
    np.testing.assert_allclose(0.75 * (2 * s["1s"] + s["1c"]) - 0.25 * (2 * s["2s"] + s["2c"]), 1, rtol=1e-12)
    np.testing.assert_allclose(curve("FL", model, q2), -s["2c"], rtol=1e-12)
    np.testing.assert_allclose(curve("AFB", model, q2), 0.75 * s["6s"] + 0.375 * s["6c"], rtol=1e-12)
    assert np.all(np.abs(s["6c"]) > 1e-4)


def test_bins_add_up():
    edges = [1.1, 2.5, 4.8, 6.0]
    parts = binned("dBR", "fig2", list(itertools.pairwise(edges))) * np.diff(edges)
    assert parts.sum() == pytest.approx(binned("dBR", "fig2", [(1.1, 6.0)])[0] * 4.9, rel=1e-9, abs=0)


def test_ends_of_phase_space():
    values = curve("dBR", "sm", [0.01, 5.0, 19.3])
    assert np.isnan(values).tolist() == [True, False, True]
    # a bin across the endpoint counts what is inside, over its full width
    inside = binned("dBR", "sm", [(15.0, get_channel("B0->K*0mumu").q2_limits()[1])])[0]
    across = binned("dBR", "sm", [(15.0, 20.0)])[0]
    assert across * 5.0 == pytest.approx(inside * (get_channel("B0->K*0mumu").q2_limits()[1] - 15.0))
    # the muon threshold: R_K* starts with both leptons' own thresholds
    assert 0.8 < binned("R_K*0", "sm", [(0.0447, 1.1)])[0] < 0.95


@pytest.mark.parametrize(("call", "message"), [
    (lambda: binned("P5p", "sm", [(20.0, 25.0)]), "outside the phase space"),
    (lambda: binned("P5p", "sm", [(6.0, 1.0)]), "6 to 1 is no range; rising edges"),
    (lambda: binned("P5p", "sm", [(1.0, float("nan"))]), "1 to nan is no range"),
    (lambda: binned("P5p", "sm", []), r"bins = \[\]: rising edges"),
    (lambda: binned("P5p", "sm", [(1.0, 2.0, 3.0)]), "pairs"),
    (lambda: binned("P5p", [], [(1.0, 2.0)]), "models: none given"),
    (lambda: binned("P5", "sm", [(1.0, 2.0)]), "did you mean P5p"),
    (lambda: binned("P5p", "fig7", [(1.0, 2.0)]), "no such model"),
    (lambda: binned("P5p", "sm", [(1.0, 2.0)], "B+->K+mumu"), r"defined for B -> K\* l l"),
    (lambda: binned("FH", "sm", [(1.0, 2.0)], "B0->K*0mumu"), "defined for B -> K l l"),
    (lambda: binned("R_K+", "sm", [(1.0, 2.0)], "B0->K*0mumu"), "is the ratio of"),
    (lambda: curve("dBR", "sm", [float("nan")]), "not finite"),
    (lambda: curve("dBR", "sm", [1.0], "B->K"), "no such channel"),
])  # fmt: skip
def test_wrong_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_the_names_of_the_command_line():
    expected = {"dBR", "R_K+", "R_K0", "R_K*0", "R_K*+", *S_AND_P, "ACP", "FH"}
    assert expected <= set(OBSERVABLES)
    for name, row in OBSERVABLES.items():
        assert row.name == name
        assert row.latex
        assert row.description
        if row.s_wave:
            with pytest.raises(InputError, match="which is not there; take kpi"):
                binned(name, "sm", [(1.1, 6.0)])
        else:
            assert np.all(np.isfinite(binned(name, "sm", [(1.1, 6.0)])))


# --- modes whose flavours have one final state

WIDTH_DIFFERENCE = json.loads((Path(__file__).parents[1] / "reference/width_difference.json").read_text())["values"]


@pytest.mark.parametrize("row", WIDTH_DIFFERENCE, ids=lambda row: f"{row['observable']}-{row['bin'][0]}")
def test_bs_to_phi_is_flavio_without_the_width_difference(row):
    """flavio's own bins with y = 0, to the 1e-6 of its integrals; with y most of them are elsewhere."""
    value = binned(row["observable"], "sm", [tuple(row["bin"])], channel_of(row["observable"], "Bs->phimumu"))[0]
    assert value == pytest.approx(row["value"], rel=2e-6, abs=2e-6)
    if row["observable"] in ("dBR", "FL", "S3", "S4"):
        assert value != pytest.approx(row["with"], rel=2e-3, abs=0)


def test_an_untagged_row_reads_what_an_untagged_sample_has():
    """Formulas are watched: S_i of 1, 2, 3, 4, 7, A_i of 5, 6, 8, 9, no difference of rates; others read more."""

    class Watched:
        spin, rate, lifetime, width = 1, 1.0, 1.0, 1.0

        def __init__(self):
            self.averages, self.asymmetries, self.apart = set(), set(), False

        def s(self, name):
            self.averages.add(name)
            return 0.5 if name != "2c" else -0.5

        def cp(self, name):
            self.asymmetries.add(name)
            return 0.5

        @property
        def difference(self):
            self.apart = True
            return 0.5

    odd = {"5", "6s", "6c", "8", "9"}
    for name, row in OBSERVABLES.items():
        if row.spin == 0 or row.s_wave:
            continue
        watched = Watched()
        row.formula(watched)
        seen = not (watched.averages & odd or watched.asymmetries - odd or watched.apart)
        assert row.untagged == seen, name
        assert row.asymmetry == bool(watched.asymmetries), name


@pytest.mark.parametrize("name", ["A5", "A8", "A9"])
def test_cp_asymmetries_of_a_kstar_are_flavio_s(name, flavio_with):
    import flavio

    model = get_model("sm")
    flavio_with(model)
    found = binned(name, model, [(2.5, 4.0)], "B0->K*0mumu")[0]
    assert found == pytest.approx(flavio.sm_prediction(f"<{name}>(B0->K*mumu)", 2.5, 4.0), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", ["S5", "AFB", "S8", "S9", "P5p", "P2", "P3", "P8p", "ACP", "S6s"])
def test_what_an_untagged_sample_cannot_give_is_refused(name):
    message = rf"channel = Bs->phimumu: {name} needs to know which of Bs and its conjugate decayed.* S4 .* A5 "
    with pytest.raises(InputError, match=message):
        binned(name, "sm", [(1.1, 6.0)], "Bs->phimumu")
    with pytest.raises(InputError, match=r"needs to know|no such observable here"):
        observable_channels(BinnedObservable(name, "Bs->phimumu", 1.1, 6.0))
