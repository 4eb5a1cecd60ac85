"""Cuts of a run: against `vector` and NumPy by hand, in all three modes, and checked before anything is made."""

import numpy as np
import pytest
import vector
from darkpenguin import InputError, generate, get_channel, make_card, read_events, run, validate
from darkpenguin.generator.lab.selection import SelectionStage
from darkpenguin.generator.lab.settings import PRESETS, SelectionSettings
from darkpenguin.physics.final_state import masses, momentum_columns

CHANNEL = "B0->K*0mumu"
LABELS = ("k", "pi", "lp", "lm")
BOUNDS = {"lhcb": ("eta", 2.0, 5.0, "lhcb-13tev"), "belle2": ("theta", 0.2967, 2.6180, "belle2")}


def particle(sample, name):
    axes = {axis: sample[f"{name}_{axis}"] for axis in ("px", "py", "pz")}
    return vector.array({**axes, "mass": np.full(len(sample), masses(get_channel(CHANNEL))[name])})


@pytest.mark.parametrize("preset", BOUNDS)
@pytest.mark.parametrize("bent", [False, True])
def test_presets_are_the_geometry_they_say(preset, bent):
    """Every event by `vector`; a bound moved by 1 % must show."""
    quantity, low, high, beam = BOUNDS[preset]
    sample = generate(CHANNEL, events=20_000, seed=3, beam=beam, selection=preset)
    values = [getattr(particle(sample, name), quantity) for name in LABELS]
    inside = np.all([(v > low * (1.01 if bent else 1.0)) & (v < high) for v in values], axis=0)
    assert ((sample["accepted"] != 0) == inside).all() != bent
    assert 0.1 < inside.mean() < 0.95


@pytest.mark.parametrize(
    ("preset", "windows"),
    [
        ("lhcb_b_mass", {"mu": (5.15, 5.80), "e": (4.5, 6.2)}),
        ("lhcb_run3_b_mass", {"mu": (5.15, 5.85), "e": (4.6, 6.2)}),
    ],
)
def test_windows_in_the_mass_of_the_b(preset, windows):
    """Event by event, muons and electrons apart, beside a geometry; the source is in the file."""
    keys = {"events": 5_000, "seed": 6, "beam": "lhcb-13tev", "resolution": "lhcb"}
    sample = generate(["B+->K+mumu", "B+->K+ee"], "sm", selection=["q2 < 6", preset], **keys)
    for name, (low, high) in zip(("B+->K+mumu", "B+->K+ee"), windows.values(), strict=True):
        one = sample.only(name)
        inside = (one["m_b_reco"] > low) & (one["m_b_reco"] < high) & (one["q2"] < 6)
        assert ((one["accepted"] != 0) == inside).all()
    assert ((one["q2"] < 6) & ~inside).sum() > 100  # electrons; none of the muons is so far away
    assert sample.provenance["stages"]["selection"]["presets"][preset]["source"] == PRESETS[preset].source
    assert set(BOUNDS) | {"lhcb_b_mass", "lhcb_run3_b_mass"} == set(PRESETS)
    with pytest.raises(InputError, match=f"{preset}.*name a resolution"):
        generate("B+->K+mumu", events=10, selection=preset, beam="lhcb-13tev")
    with pytest.raises(InputError, match=f"{preset}.*no pair whose mass is reconstructed"):
        generate("B+->K+nunu", events=10, selection=preset, beam="belle2", resolution="belle2")


def test_the_three_modes_select_the_same_events():
    cuts = ["lhcb", "pt(k) > 0.25 and m(lp, lm) < 3", "1 < q2 < 6 or cos_theta_l > 0"]
    flag, reject, weight = (
        generate(CHANNEL, events=10_000, seed=4, beam="lhcb-8tev", selection={"cuts": cuts, "mode": mode})
        for mode in ("flag", "reject", "weight")
    )
    plain = generate(CHANNEL, events=10_000, seed=4, beam="lhcb-8tev")
    kept = flag["accepted"] == 1
    assert 0 < kept.sum() < 10_000
    assert "accepted" not in reject.names
    for name in plain.names:
        assert plain[name].tobytes() == flag[name].tobytes()
        assert plain[name][kept].tobytes() == reject[name].tobytes()
    np.testing.assert_array_equal(weight["weight"], kept)


def test_any_part_is_the_same_and_counts_add_up(tmp_path):
    card = {
        "channels": ["B0->K*0mumu", "B0->K*0ee"],
        "events": 3000,
        "seed": 9,
        "beam": "belle2",
        "selection": {
            "cuts": {"all": "belle2", "e": "pt(lp) > 0.5", "mu": ["p(lm) > 0.7", "p(lp) > 0.7"]},
            "mode": "reject",
        },
    }
    report = run(make_card({**card, "output": str(tmp_path / "whole.root")}))
    whole = read_events(tmp_path / "whole.root")
    assert sum(part.written for part in report.parts) == len(whole) < 6000
    assert sum(part.events for part in report.parts) == 6000
    parts = [generate(make_card({**card, "range": part})) for part in ((0, 1234), (1234, 3500), (3500, 6000))]
    assert np.concatenate([part["event"] for part in parts]).tobytes() == whole["event"].tobytes()
    muons = whole.only("B0->K*0mumu")
    assert np.linalg.norm([muons[f"lm_{axis}"] for axis in ("px", "py", "pz")], axis=0).min() > 0.7
    electrons = whole.only("B0->K*0ee")
    assert np.hypot(electrons["lp_px"], electrons["lp_py"]).min() > 0.5
    with pytest.raises(InputError, match="no longer"):
        validate(tmp_path / "whole.root")
    assert make_card(whole.provenance["card"]).selection == make_card(card).selection


def test_cuts_and_efficiency_together():
    both = generate(CHANNEL, events=4000, seed=2, selection="q2 < 6", efficiency={"maps": 0.5})
    cut, map_only = (
        generate(CHANNEL, events=4000, seed=2, **one)
        for one in ({"selection": "q2 < 6"}, {"efficiency": {"maps": 0.5}})
    )
    np.testing.assert_array_equal(both["accepted"], cut["accepted"] & map_only["accepted"])
    assert both.names.count("accepted") == 1


def test_closure_without_and_with_a_cut():
    """The q2 spectrum above a cut on q2 is the one generated above it: KS at 1e-7; bent by 2 % it fails."""
    from scipy.stats import ks_2samp

    above = generate(CHANNEL, events=400_000, seed=5, selection={"cuts": "q2 > 15", "mode": "reject"})["q2"]
    made = generate(CHANNEL, events=100_000, seed=6, q2=[(15.0, 19.3)])["q2"]
    assert above.min() > 15.0
    assert ks_2samp(above, made[made > 15.0]).pvalue > 1e-7
    assert ks_2samp(15 + (above - 15) * 0.96, made).pvalue < 1e-7


def test_single_precision_and_nothing_left():
    sample = generate(
        CHANNEL, events=2000, precision="float32", beam="belle2", selection={"cuts": "pt(k) > 100", "mode": "reject"}
    )
    assert len(sample) == 0
    assert set(momentum_columns(get_channel(CHANNEL))) < set(sample.names)
    weighted = generate(CHANNEL, events=2000, precision="float32", selection={"cuts": "q2 > 6", "mode": "weight"})
    assert weighted["weight"].dtype == np.float32


@pytest.mark.parametrize(
    ("selection", "beam", "message"),
    [
        ("pt(k) > 1", None, "momenta need a beam"),
        ("lhcb", None, "name a beam"),
        ("lhbc", "belle2", "did you mean lhcb"),
        ("q3 > 1", None, "no column q3"),
        ("pt(pi) > 1 and accepted == 1", "rest", "no column accepted"),
        ("q2 + 1", None, "a number; compare it"),
        ({"cuts": {"mumu": "q2 > 1"}}, None, "no such channel or lepton"),
        ({"cuts": []}, None, "write a cut"),
        ({"cuts": "q2 > 1", "mode": "drop"}, None, "mode"),
        ({"mode": "flag"}, None, "cuts"),
    ],
)
def test_mistakes_are_named(selection, beam, message):
    with pytest.raises(InputError, match=message):
        generate(CHANNEL, events=1, selection=selection, beam=beam)


def test_options_of_the_command_line():
    given = {"select": ["lhcb"], "selection_mode": "reject"}
    assert SelectionStage.on_top(None, given) == {"cuts": ["lhcb"], "mode": "reject"}
    assert SelectionStage.on_top({"cuts": "q2 > 1"}, {"selection_mode": None, "select": []}) is None
    mode = SelectionStage.on_top(None, {"selection_mode": "reject"})
    with pytest.raises(InputError, match="name a cut too"):
        make_card(channels=CHANNEL, events=1, selection=mode)
    with pytest.raises(InputError, match="leave check out"):
        make_card(
            channels=CHANNEL, events=1, output="x.root", check=True, selection={"cuts": "q2 > 1", "mode": "weight"}
        )
    dumped = SelectionSettings(cuts={"mu": "q2 > 1", "all": ["lhcb"]}).model_dump(mode="json")
    assert SelectionSettings.model_validate(dumped).cuts == (("mu", ("q2 > 1",)), ("all", ("lhcb",)))
