"""Expected yields: published numbers come back, couplings are exact, resolution conserves events."""

import numpy as np
import pytest
from darkpenguin.generator.toys.couplings import model_at, quadratic_counts
from darkpenguin.generator.toys.datasets import Dataset, dataset_names, get_dataset
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.generator.toys.systematics import Systematics, nuisances, theory_effects
from darkpenguin.generator.toys.yields import (
    background_parts,
    binned_yields,
    describe,
    expected_counts,
    integrated_coefficients,
)
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import get_model
from darkpenguin.physics.observables import binned

SM = get_model("sm")
CHANNELS = ["B+->K+mumu", "B+->K+ee", "B0->K*0mumu", "B0->K*0ee"]


# statistical errors of R as printed in arXiv:2212.09153 (below 6 GeV²), 2505.03483 and 2604.08631, mean of both sides
PRINTED = {
    ("K+", (0.1, 1.1)): 0.0865,
    ("K+", (1.1, 6.0)): 0.0437,
    ("K+", (14.3, 22.8)): 0.093,
    ("K*0", (0.1, 1.1)): 0.0971,
    ("K*0", (1.1, 6.0)): 0.0682,
    ("K*0", (14.0, 19.2)): 0.120,
}


@pytest.mark.parametrize(("name", "factor"), [("lhcb-run12", 1.0), ("lhcb-run3", 23 / 9), ("lhcb-upgrade2", 300 / 9)])
def test_every_window_has_the_printed_precision_of_r_and_projections_the_rule(name, factor):
    data = get_dataset(name)
    for (hadron, window), printed in PRINTED.items():
        pair = [f"{'B+' if hadron == 'K+' else 'B0'}->{hadron}{leptons}" for leptons in ("mumu", "ee")]
        signal, background = expected_counts([SM], data, binned_yields(pair, [window]))
        sigma = np.sqrt(np.sum((signal[0] + background) / signal[0] ** 2))
        assert sigma * np.sqrt(factor) == pytest.approx(printed, rel=0.015), (hadron, window)


def test_every_window_says_where_it_is_from():
    for name in dataset_names():
        for row in describe(get_dataset(name)):
            assert row["source"].startswith("arXiv:"), row
            assert row["note"], row
    eras = {row["source"] for row in describe(get_dataset("lhcb-run12"))}
    assert "arXiv:1808.08865" not in eras  # no projection among what was measured


def test_components_make_the_background_and_have_their_own_shapes():
    """By hand: flat, as the signal, as another channel, from a table; and one fewer where one is left out."""
    flat = {"name": "flat", "fraction": 0.5}
    like = {"name": "like", "fraction": 0.2, "shape": "signal"}
    other = {"name": "other", "yield": 60, "window": [1.1, 6.0], "shape": "B0->K*0ee"}
    table = {"name": "table", "fraction": 0.1, "shape": [[5.0, 0.0], [6.0, 1.0]]}
    window = {"q2": [1.1, 6.0], "yield": 100}
    entry = {"windows": [window], "backgrounds": [flat, like, other, table]}
    data = Dataset.model_validate({"luminosity": 1, "channels": {"B+->K+ee": entry}})
    bins = [(1.1, 3.0), (3.0, 6.0), (5.5, 6.0)]
    found = background_parts(data, "B+->K+ee", bins)
    np.testing.assert_allclose(found["flat"], 50 * np.array([1.9, 3.0, 0.5]) / 4.9)
    np.testing.assert_allclose(
        found["like"], 0.2 * expected_counts([SM], data, binned_yields(["B+->K+ee"], bins))[0][0], rtol=1e-6
    )
    rate = binned("BR", SM, [(1.1, 6.0), *bins], channel="B0->K*0ee")
    np.testing.assert_allclose(found["other"], 60 * rate[1:] / rate[0], rtol=1e-5)
    np.testing.assert_allclose(found["table"], [0.0, 10.0, 5.0])
    assert describe(data)[0]["background"] == pytest.approx(50 + 20 + 60 + 10)
    effective = {"windows": [{**window, "kind": "effective"}], "backgrounds": [flat, like]}
    grown = Dataset.model_validate({"luminosity": 1, "channels": {"B+->K+ee": effective}})
    signal, background = expected_counts([SM], grown, binned_yields(["B+->K+ee"], [window["q2"]]))
    assert signal[0, 0] == pytest.approx(170)
    assert signal[0, 0] ** 2 / (signal[0, 0] + background[0]) == pytest.approx(100)


def test_what_a_data_set_said_before_it_says_still():
    """One window without a list, its background as a number, and the background that a precision asks for."""
    pair = {"B+->K+mumu": {"yield": 400, "q2": [1.1, 6.0]}, "B+->K+ee": {"yield": 100, "q2": [1.1, 6.0]}}
    data = Dataset.model_validate({"luminosity": 1, "precision": {"R_K+": 0.2}, "channels": pair})
    signal, background = expected_counts([SM], data, binned_yields(list(pair), [1.1, 6.0]))
    assert np.sqrt(np.sum((signal[0] + background) / signal[0] ** 2)) == pytest.approx(0.2)
    pair["B+->K+ee"]["background"] = 7.0
    known = Dataset.model_validate({"luminosity": 1, "precision": {"R_K+": 0.2}, "channels": pair})
    assert expected_counts([SM], known, binned_yields(list(pair), [1.1, 6.0]))[1].tolist() == pytest.approx([0.0, 7.0])
    assert Dataset.model_validate(known.model_dump(mode="json", by_alias=True)) == known


def test_luminosity_scales_everything():
    data = get_dataset("lhcb-run12")
    bins = binned_yields(CHANNELS, [1.1, 3.0, 6.0])
    one, background = expected_counts([SM], data, bins)
    four, more = expected_counts([SM], data.scaled(36.0), bins)
    np.testing.assert_allclose(four, 4 * one)
    np.testing.assert_allclose(more, 4 * background)
    own = {"luminosity": 9, "precision": {"R_K+": 0.05}, "channels": {"B+->K+mumu": {"yield": 1, "q2": [1.1, 6.0]}}}
    assert Dataset.model_validate(own).scaled(36.0).precision["R_K+"] == pytest.approx(0.05 / 2)


@pytest.mark.parametrize("model", ["sm", "heavy-c9", "fig1-2.5gev"])
def test_ratio_of_counts_is_r_over_that_of_the_standard_model(model):
    data = get_dataset("belle2-50")  # equal norms for muons and electrons in 1-6 GeV²
    edges = [(1.1, 2.5), (2.5, 6.0)]
    for hadron, pair in (("K+", CHANNELS[:2]), ("K*0", CHANNELS[2:])):
        counts = expected_counts([get_model(model)], data, binned_yields(pair, [1.1, 2.5, 6.0]))[0][0]
        ratio = counts[:2] / counts[2:]
        window = binned(f"R_{hadron}", "sm", [(1.0, 6.0)])
        np.testing.assert_allclose(ratio * window, binned(f"R_{hadron}", model, edges), rtol=1e-7)


def test_angular_coefficients_of_the_counts_give_p5p():
    j = integrated_coefficients("B0->K*0mumu", [get_model("fig1-2.5gev")], [(4.0, 6.0)])[0, 0]
    p5p = j[6] / (2 * np.sqrt(-j[2] * j[3]))
    assert p5p == pytest.approx(float(binned("P5p", "fig1-2.5gev", [(4.0, 6.0)])[0]), rel=1e-7, abs=0)


def test_resolution_moves_events_but_keeps_them():
    data = get_dataset("belle2-5")  # one window
    name = "B0->K*0mumu"
    edges = np.linspace(1.0, 18.0, 69)
    smeared = data.model_copy(update={"channels": {name: data.channels[name].model_copy(update={"resolution": 0.2})}})
    sharp = expected_counts([get_model("fig2")], data, binned_yields([name], edges))[0][0]
    wide = expected_counts([get_model("fig2")], smeared, binned_yields([name], edges))[0][0]
    inner = slice(4, -8)
    # far from the ends what leaves a bin enters its neighbours; the total changes only through the ends
    assert wide[inner].sum() == pytest.approx(sharp[inner].sum(), rel=0.01, abs=0)
    assert np.max(np.abs(wide / sharp - 1)[inner]) > 1e-3
    # by hand: convolution of fine bins
    centre = 0.5 * (edges[1:] + edges[:-1])
    kernel = np.exp(-0.5 * ((centre[:, None] - centre[None, :]) / 0.2) ** 2)
    by_hand = (kernel / kernel.sum(axis=0)) @ sharp
    np.testing.assert_allclose(wide[8:-12], by_hand[8:-12], rtol=0.02)


def test_counts_are_quadratic_in_the_couplings_exactly():
    data, bins = get_dataset("lhcb-run12"), binned_yields(CHANNELS, np.linspace(1.1, 6.0, 6))
    directions = {"V": {"light_vectors.0.g_mu_v": 0.1}, "A": {"light_vectors.0.g_mu_a": 0.1}}
    base = get_model("fig2")
    model = quadratic_counts(base, directions, data, bins)
    for point in ([1.0, -0.44], [-2.0, 3.0], [0.3, 0.0]):
        signal, background = expected_counts([model_at(base, directions, point)], data, bins)
        np.testing.assert_allclose(model.expected(point), signal[0] + background, rtol=1e-9)
    direct, background = expected_counts([base], data, bins)
    np.testing.assert_allclose(model.expected([1.0, -0.44]), direct[0] + background, rtol=1e-9)
    heavy = quadratic_counts(SM, {"C": {"heavy.C9_mu": 1.0, "heavy.C10_mu": -1.0}}, data, bins)
    direct, background = expected_counts([get_model("heavy-c9-c10")], data, bins)
    np.testing.assert_allclose(heavy.expected([-0.6]), direct[0] + background, rtol=1e-9)


def test_what_is_not_quadratic_is_refused():
    data, bins = get_dataset("lhcb-run12"), binned_yields(CHANNELS[:2], [1.1, 6.0])
    with pytest.raises(InputError, match="not quadratic"):
        quadratic_counts(
            get_model("fig2"),
            {"V": {"light_vectors.0.g_mu_v": 0.1}, "b": {"light_vectors.0.g_bs": 1e-8}},
            data,
            bins,
        )


def test_theory_effects_cancel_in_the_ratio():
    bins = binned_yields(CHANNELS, [1.1, 3.0, 6.0])
    effects, _, _ = theory_effects(bins, 6, SM)
    spread = np.sqrt((effects**2).sum(axis=0))
    assert spread.min() > 0.05
    assert spread.max() < 0.3
    np.testing.assert_allclose(effects[:, 0:2], effects[:, 2:4], atol=3e-3)
    assert np.max(np.abs(effects[:, 0] - effects[:, 4])) > 0.02


BARE = SystematicsTable.model_validate({"qed": 0, "background": 0, "background_shape": 0})


def test_nuisances_have_names_and_signs():
    data, bins = get_dataset("lhcb-run12"), binned_yields(CHANNELS[:2], [1.1, 3.0, 6.0])
    found = nuisances(data, bins, Systematics(efficiency=0.02, normalisation=0.05, table=BARE))
    assert found.names == ("efficiency_K+", "norm_K+")
    np.testing.assert_allclose(found.effects[0], [0, 0, np.log(1.02), np.log(1.02)])
    np.testing.assert_allclose(found.effects[1], np.log(1.05))
    assert nuisances(data, bins[:2], Systematics(table=BARE)).names == ()
    smeared = data.model_copy(
        update={
            "channels": {name: entry.model_copy(update={"resolution": 0.3}) for name, entry in data.channels.items()}
        }
    )
    found = nuisances(smeared, bins, Systematics(efficiency=0.0, resolution=0.1, table=BARE))
    assert found.names == ("resolution_B+->K+mumu", "resolution_B+->K+ee")
    assert np.all(found.effects[0, 2:] == 0)


def test_refusals():
    with pytest.raises(InputError, match="did you mean lhcb-run12"):
        get_dataset("lhcb-run1")
    with pytest.raises(InputError, match="rising edges"):
        binned_yields(CHANNELS, [6.0, 1.1])
    with pytest.raises(InputError, match="no channel"):
        expected_counts([SM], get_dataset("lhcb-run12"), binned_yields(["B0->K0mumu"], [1.0, 6.0]))
    with pytest.raises(InputError, match="phase space"):
        expected_counts([SM], get_dataset("lhcb-run12"), binned_yields(["B+->K+mumu"], [25.0, 26.0]))
    with pytest.raises(InputError, match="luminosity"):
        get_dataset("lhcb-run12").scaled(-1.0)
    assert isinstance(get_dataset("belle2-5"), Dataset)
