"""flavio under other parameters, draws and form factors: what it says itself, and what the papers' tables say."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics import amplitudes, flavio_inputs
from darkpenguin.physics.angular import angular_coefficients
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.flavio_inputs import (
    form_factor_sets,
    form_factors_in_use,
    parameter_values,
    transitions_of,
)
from darkpenguin.physics.models import as_model
from darkpenguin.physics.observables import curve
from darkpenguin.physics.theory import Theory
from darkpenguin.physics.uncertainties import draw_coefficients

STORED = json.loads((Path(__file__).parents[1] / "reference" / "flavio_theory.json").read_text())
KAON, KSTAR = "B+->K+mumu", "B0->K*0mumu"
CASES = [(f"draw {i}", {"draw": i}, (KSTAR, KAON)[i % 2]) for i in range(10)] + [
    ("Vcb=0.039, m_c=1.2", {"parameters": {"Vcb": 0.039, "m_c": 1.2}}, KSTAR),
    ("hpqcd-2022", {"form_factors": "hpqcd-2022"}, KAON),
    ("grvdv-2023", {"form_factors": "B->K*=grvdv-2023"}, KSTAR),
]
OTHERS = [(case, theory, {KAON: KSTAR, KSTAR: KAON}[channel]) for case, theory, channel in CASES]


def difference(case, theory, channel):
    """Largest difference to flavio's numbers: of rates relative, of the others as they are."""
    worst = 0.0
    for name, values in STORED["cases"][case][channel].items():
        own = {"dBR/dq2": "dBR"}.get(name.partition("(")[0], name.partition("(")[0])
        found = curve(own, as_model("sm", theory=theory), STORED["q2"], channel)
        scale = np.array(values) if own == "dBR" else 1.0
        worst = max(worst, np.abs((found - values) / scale).max())
    return worst


@pytest.mark.parametrize(("case", "theory", "channel"), CASES)
def test_amplitudes_are_flavios_under_the_same_change(case, theory, channel):
    assert difference(case, theory, channel) < 1e-7


@pytest.mark.slow
@pytest.mark.parametrize(("case", "theory", "channel"), OTHERS)
def test_amplitudes_of_the_other_channel_are_flavios_under_the_same_change(case, theory, channel):
    assert difference(case, theory, channel) < 1e-7


def test_another_draw_is_told_apart():
    assert difference("draw 0", {"draw": 2}, KSTAR) > 1e-3


# eos, constraints/theoretical/B-to-P-form-factors.yaml, B->K::f_0+f_++f_T@HPQCD:2022A
EOS_POINTS = [("f0", 0), ("f0", 12), ("f0", 22.9), ("f+", 12), ("f+", 22.9), ("fT", 0), ("fT", 12), ("fT", 22.9)]
EOS_MEANS = [0.331915, 0.475729, 0.850441, 0.742513, 2.79257, 0.332188, 0.731494, 2.72414]
EOS_COVARIANCE = [
    [0.000133646, 0.0000739104, -0.00004212, 0.000101003, -0.000159151, 0.000114124, 0.0000742631, -0.000154747],
    [0.0000739104, 0.0000815763, 0.000030259, 0.000088881, 0.000118353, 0.0000706419, 0.0000555545, -0.0000467873],
    [-0.00004212, 0.000030259, 0.000295315, 0.0000521136, 0.000768687, -0.0000467851, 0.0000216171, 0.000484615],
    [0.000101003, 0.000088881, 0.0000521136, 0.000502996, 0.000975553, 0.000123128, 0.000142769, 0.0000661912],
    [-0.000159151, 0.000118353, 0.000768687, 0.000975553, 0.0115989, -0.0000148195, 0.000259998, 0.00186993],
    [0.000114124, 0.0000706419, -0.0000467851, 0.000123128, -0.0000148195, 0.00055398, 0.000300178, -0.00037783],
    [0.0000742631, 0.0000555545, 0.0000216171, 0.000142769, 0.000259998, 0.000300178, 0.000992626, 0.00207409],
    [-0.000154747, -0.0000467873, 0.000484615, 0.0000661912, 0.00186993, -0.00037783, 0.00207409, 0.0234473],
]


def test_hpqcds_coefficients_and_covariance_give_the_points_of_eos():
    entry = form_factor_sets()["hpqcd-2022"]["B->K"]
    names = [name.removeprefix("B->K BCL ") for name in entry["names"]]
    values = entry["values"]
    m_b, m_k = 5.279495108051249, 0.495644  # HPQCD's isospin means

    def row(form, q2):
        """Derivatives by the coefficients: arXiv:2207.12468, eq. (8), t0 = 0."""
        top = (m_b + m_k) ** 2
        z = (np.sqrt(top - q2) - np.sqrt(top)) / (np.sqrt(top - q2) + np.sqrt(top))
        pole = values["B->K BCL m0"] if form == "f0" else values["B->K BCL m+"]
        size = values["B->K BCL chL"] / (1 - q2 / pole**2)
        found = np.zeros(len(names))
        for n in range(3):
            own = f"a{n}_{form}" if (n, form) != (0, "f0") else "a0_f+"
            power = z**n if form == "f0" else z**n - (-1) ** (n - 3) * n / 3 * z**3
            found[names.index(own)] = size * power
        return found

    matrix = np.array([row(*point) for point in EOS_POINTS])
    errors = np.sqrt(np.diag(EOS_COVARIANCE))
    assert np.abs((matrix @ entry["central"] - EOS_MEANS) / errors).max() < 0.03
    covariance = matrix @ (np.array(entry["covariance"]) / entry["scale"] ** 2) @ matrix.T
    assert np.abs((covariance - EOS_COVARIANCE) / np.outer(errors, errors)).max() < 2e-3


@pytest.mark.parametrize("name", form_factor_sets())
def test_form_factors_meet_their_relations_at_q2_zero_and_are_drawn(name):
    from flavio.classes import AuxiliaryQuantity

    for transition in transitions_of(name):
        chosen = {} if form_factor_sets()[name][transition] == "default" else {transition: name}
        at_zero, elsewhere = [], []
        for draw in (None, 1, 2):
            values = parameter_values(chosen, {}, draw)
            with form_factors_in_use(chosen):
                quantity = AuxiliaryQuantity[f"{transition} form factor"]
                at_zero.append(quantity.prediction(par_dict=dict(values), wc_obj=None, q2=0.0))
                elsewhere.append(quantity.prediction(par_dict=dict(values), wc_obj=None, q2=10.0))
        pairs = [("f+", "f0")] if "f+" in at_zero[0] else [("T1", "T2")]
        for one, other in pairs:  # the lattice's extrapolation knows it within its errors only
            assert at_zero[0][one] == pytest.approx(at_zero[0][other], rel=1e-2 if name == "lattice-2015" else 1e-12)
        assert len({float(found[pairs[0][0]]) for found in elsewhere}) == 3


def test_threads_do_not_compute_with_each_others_form_factors():
    """As the explorer's do: one draws a model while another finds the errors of the last."""
    from darkpenguin.physics.flavio_parts import config

    inside, seen = threading.Event(), []

    def other():
        inside.wait(timeout=60)
        with form_factors_in_use({"B->K": "hpqcd-2022"}):
            seen.append(config["implementation"]["B->K form factor"])

    thread = threading.Thread(target=other)
    thread.start()
    with form_factors_in_use({}):
        before = config["implementation"]["B->K form factor"]
        inside.set()
        thread.join(timeout=0.5)  # it would be done long ago
        assert config["implementation"]["B->K form factor"] == before
        assert not seen
    thread.join(timeout=60)
    assert seen == ["B->K BCL3 t0=0"]


def test_flavio_is_left_as_it_was():
    from flavio.config import config

    def fail():
        with form_factors_in_use({"B->K": "hpqcd-2022"}):
            assert config["implementation"]["B->K form factor"] == "B->K BCL3 t0=0"
            raise RuntimeError

    before = dict(config["implementation"])
    with pytest.raises(RuntimeError):
        fail()
    assert config["implementation"] == before
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    parameter_values({"B->K": "hpqcd-2022"}, {}, 1234)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_a_draw_depends_on_its_number_alone():
    first = parameter_values({}, {}, 305)
    for cached in (flavio_inputs._default_block, flavio_inputs._set_block):
        cached.cache_clear()
    parameter_values({}, {}, 7)
    assert parameter_values({}, {}, 305) == first
    other = parameter_values({"B->K": "hpqcd-2022"}, {"Vub": 0.0}, 305)
    changed = {name for name in first if other[name] != first[name]}
    assert "Vub" in changed
    assert all(name == "Vub" or name.startswith("B->K BCL") for name in changed)
    assert parameter_values({}, {}, 5)["Vcb"] != parameter_values({}, {}, 105)["Vcb"]


def test_errors_are_the_spread_of_the_same_draws():
    channel, q2 = get_channel(KSTAR), np.array([2.0, 5.0])
    drawn = draw_coefficients(channel, as_model("sm"), q2)  # masses of mesons keep their central values there
    for n in (0, 2):
        one = angular_coefficients(channel, as_model("sm", theory={"draw": n}), q2)
        assert np.abs(drawn[:, n] - one).max() < 1e-3 * np.abs(one).max()
    assert np.abs(drawn[:, 0] - one).max() > 1e-2 * np.abs(one).max()


def test_models_of_several_theories_are_taken_together():
    channel, q2 = get_channel(KAON), np.array([2.0, 5.0])
    models = [as_model("sm", theory={"draw": 1}), as_model("fig2"), as_model("fig2", theory={"draw": 1})]
    found = angular_coefficients(channel, models, q2)
    for i, model in enumerate(models):
        assert (found[:, i] == angular_coefficients(channel, model, q2)).all()
    together = curve("dBR", models, q2, channel)
    assert (together[1] == curve("dBR", models[1], q2, channel)).all()
    with pytest.raises(ValueError, match="2 theories"):
        amplitudes.helicity_amplitudes(channel, models, q2)


def test_theories_do_not_share_files(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path))
    channel = get_channel(KAON)
    amplitudes._standard_model.cache_clear()
    theories = [Theory(), Theory(form_factors={"B->K": "hpqcd-2022"}), Theory(parameters={"Vcb": 0.04})]
    made = [amplitudes.standard_model(channel, theory) for theory in theories]
    assert len(list(tmp_path.glob("sm-*.npz"))) == 3
    amplitudes._standard_model.cache_clear()
    again = [amplitudes.standard_model(channel, theory) for theory in theories]
    for one, other in zip(made, again, strict=True):
        assert (one.smooth.coefficients == other.smooth.coefficients).all()
        assert (one.prefactors == other.prefactors).all()
    assert made[1].form_factors(15.0)["f+"] != made[0].form_factors(15.0)["f+"]
    amplitudes._standard_model.cache_clear()


@pytest.mark.parametrize("name", ["m_b", "alpha_s", "m_B0"])
def test_values_that_make_no_amplitude_are_refused_in_one_line(name):
    bad = {"m_b": -1.0, "alpha_s": 3.0, "m_B0": 0.4}[name]
    with pytest.raises(InputError, match=f"{name} = {bad:g}"):
        amplitudes.standard_model(get_channel(KSTAR), Theory(parameters={name: bad}))
