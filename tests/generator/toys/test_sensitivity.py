"""Sensitivity: known cases, asymptotics against toys, scaling with luminosity, cards."""

import json

import numpy as np
import pytest
from darkpenguin.generator.figures.sensitivity import draw_sensitivity, draw_statistics
from darkpenguin.generator.statistics.hypotheses import asimov_fixed, significance
from darkpenguin.generator.toys.datasets import DetectorTable, get_dataset
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.run import ToysCard
from darkpenguin.generator.toys.sensitivity import (
    COMBINED,
    SensitivityCard,
    sensitivity,
)
from darkpenguin.generator.toys.sources import SystematicsTable
from darkpenguin.generator.toys.tables import elsewhere_lines, marks, summary_rows
from darkpenguin.generator.toys.yields import binned_yields, expected_counts
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.models import get_model


def simple(**keys):
    """A question of two points: V of 2.5 GeV or C9 = -1.1, at Upgrade II."""
    asked = {
        "null": Hypothesis(model="heavy-c9", label="C9 = -1.1"),
        "dataset": "lhcb-upgrade2",
        "observables": ("R_K+", "R_K*0", "P5p"),
        "bins": (1.1, 2.0, 3.0, 4.0, 5.0, 6.0),
        "toys": 2000,
        "systematics": SystematicsTable(),
        "what_if": {},
    }
    return SensitivityCard(**{**asked, **keys})


NONE = SystematicsTable.model_validate({"qed": 0, "background": 0, "background_shape": 0})
"""No source that K and K* share, nor of backgrounds."""


@pytest.fixture(scope="module")
def answer():
    return sensitivity(simple(luminosities=(23.0,), toys=4000, observables=("R_K+", "R_K*0"), systematics=NONE))


def test_toys_agree_with_the_asymptotic_significance(answer):
    """Large counts, simple hypotheses: direct toy significance equals √q_A within its error."""
    assert len(answer.toys) == 3
    for point in answer.toys:
        assert point.failures == 0
        assert point.direct.value * point.direct.toys >= 3
        error = max(point.direct.significance_error, 0.03)
        assert abs(point.significance - point.asimov) < 5 * error + 0.05
        assert abs(point.gaussian - point.asimov) < 0.15
    curve = np.interp(23.0, answer.luminosities, answer.curves["R_K+"])
    assert next(t for t in answer.toys if t.observable == "R_K+").asimov == pytest.approx(curve, rel=1e-2, abs=0)


def test_independent_observables_add_in_quadrature(answer):
    single = answer.curves["R_K+"] ** 2 + answer.curves["R_K*0"] ** 2
    np.testing.assert_allclose(answer.curves[COMBINED] ** 2, single, rtol=1e-6)
    assert answer.required[COMBINED] < min(answer.required["R_K+"], answer.required["R_K*0"])
    assert answer.best == "R_K+"
    assert "R_K+ alone needs" in answer.answer()


def test_required_luminosity_lies_on_the_curve(answer):
    for name, reach in answer.required.items():
        z = np.exp(np.interp(np.log(reach), np.log(answer.luminosities), np.log(answer.curves[name])))
        assert z == pytest.approx(5.0, rel=1e-3, abs=0)


def test_required_luminosity_is_found_beyond_the_curve():
    near = sensitivity(observables=["R_K+"], toys=0, what_if={}, curve=(1.0, 2.0)).required["R_K+"]
    assert near == pytest.approx(sensitivity(observables=["R_K+"], toys=0, what_if={}).required["R_K+"], rel=1e-5)
    assert near > 20


def test_without_systematics_significance_grows_as_the_root_of_luminosity():
    card = simple(observables=("R_K+",), toys=0, efficiency_error=0.0, systematics=NONE)
    curve = sensitivity(card)
    ratio = curve.curves["R_K+"] / np.sqrt(curve.luminosities)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    # bent: with an efficiency error it does not
    limited = sensitivity(card.model_copy(update={"efficiency_error": 0.05}))
    ratio = limited.curves["R_K+"] / np.sqrt(limited.luminosities)
    assert ratio[-1] < 0.97 * ratio[0]


def test_rates_with_known_theory_are_a_counting_experiment():
    card = simple(
        observables=("dBR_K+",), toys=0, theory=False, dataset="lhcb-run12", curve=(9.0, 90.0), systematics=NONE
    )
    found = sensitivity(card).curves["dBR_K+"][0]
    models = [get_model("fig1-2.5gev"), get_model("heavy-c9")]
    signal, background = expected_counts(models, get_dataset("lhcb-run12"), binned_yields(["B+->K+mumu"], card.bins))
    counts = signal + background
    assert found == pytest.approx(asimov_fixed(counts[0], counts[1]).asimov, rel=1e-6, abs=0)


def test_a_floating_null_is_harder_to_exclude():
    base = {"observables": ("R_K+",), "toys": 0}
    fixed = sensitivity(simple(**base))
    free = sensitivity(simple(**base, null=Hypothesis(model="heavy-c9", scan={"heavy.C9_mu": (-2.5, 0.5, 21)})))
    assert np.all(free.curves["R_K+"] <= fixed.curves["R_K+"] + 1e-6)
    assert free.required["R_K+"] > fixed.required["R_K+"]
    # the grid is fine enough: half the step changes nothing that matters
    finer = sensitivity(simple(**base, null=Hypothesis(model="heavy-c9", scan={"heavy.C9_mu": (-2.5, 0.5, 41)})))
    assert finer.required["R_K+"] == pytest.approx(free.required["R_K+"], rel=0.01, abs=0)


def test_a_floating_mass_finds_the_injected_vector_and_pays_for_looking():
    """V with free mass and coupling against SM: the toys' significance lies below the asymptotic one."""
    family = Hypothesis(
        model="fig1-2.5gev",
        scan={"light_vectors.0.mass": (1.2, 2.8, 9), "light_vectors.0.g_bs": (-2.1e-8, 2.1e-8, 7)},
    )
    card = simple(
        null=Hypothesis(model="sm"),
        alternative=family,
        observables=("R_K+",),
        toys=250,
        dataset="lhcb-run12",
        luminosities=(3.0,),
    )
    result = sensitivity(card)
    (point,) = result.toys
    assert point.asimov > 1.0
    assert point.direct.value > 0
    assert point.significance < point.asimov - 0.2
    # few toys and upcrossings say the same as counting: 0.1 sigma each
    assert float(significance(point.elsewhere)) == pytest.approx(point.significance, abs=0.5)
    assert "(toys)" in elsewhere_lines(result)[0]


def test_a_floating_alternative_is_judged_by_its_tail_not_by_a_gaussian():
    """V with a free coupling against SM: nested, so the toys' significance is that of a chi-square of one."""
    card = simple(
        truth=Hypothesis(model="fig1-2.5gev"),
        null=Hypothesis(model="sm"),
        alternative=Hypothesis(model="fig1-2.5gev", scan={"light_vectors.0.g_bs": (-4e-8, 4e-8, 9)}),
        observables=("R_K+",),
        toys=1500,
        dataset="lhcb-run12",
        luminosities=(9.0,),
    )
    result = sensitivity(card)
    point = result.toys[0]
    assert point.method == "tail"
    assert point.significance == pytest.approx(point.asimov - 0.15, abs=0.2)  # one-sided of a two-sided test
    assert abs(point.gaussian - point.asimov) > 2.0
    assert "look-elsewhere" in marks(result)
    assert summary_rows(result)[0][2].endswith("t")


def test_versus_a_mass_of_the_truth(tmp_path):
    card = simple(observables=("R_K+", "R_K*0"), toys=0, versus={"light_vectors.0.mass": (2.3, 2.7, 3)})
    result = sensitivity(card)
    assert result.versus.axes[0].tolist() == [2.3, 2.5, 2.7]
    for name, values in result.versus.required.items():
        assert values[1] == pytest.approx(result.required[name])  # the truth itself
        assert values[0] < 0.2 * values[1]
    own = np.interp(300.0, result.luminosities, result.curves["R_K+"])
    assert result.versus.at_own["R_K+"][1] == pytest.approx(own, rel=1e-2)
    assert result.to_dict()["versus"]["path"] == "light_vectors.0.mass"
    with pytest.raises(InputError, match="at most 2"):
        read_card(tmp_path, "versus = { a = [1, 2, 2], b = [1, 2, 2], c = [1, 2, 2] }")


def test_a_map_holds_its_lines():
    """Two parameters, written as on the command line: rows and columns are what one parameter gives."""
    axes = ["light_vectors.0.mass,2.3,2.7,2", "light_vectors.0.relative_width,0.1,0.2,2"]
    keys = {
        "observables": ["R_K+"],
        "null": "heavy-c9",
        "toys": 0,
        "what_if": {},
        "limit": "light_vectors.0.g_bs=-1e-8",
    }
    found = sensitivity(versus=axes, **keys).versus
    line = sensitivity(versus=axes[0], **keys).versus
    assert found.required["R_K+"].shape == (2, 2)
    np.testing.assert_allclose(found.required["R_K+"][:, 1], line.required["R_K+"], rtol=1e-5)
    np.testing.assert_allclose(found.at_own["R_K+"][:, 1], line.at_own["R_K+"], rtol=1e-9)
    limits = [x.asymptotic.value for x in found.limits["light_vectors.0.g_bs"]]
    assert limits[1::2] == pytest.approx([x.asymptotic.value for x in line.limits["light_vectors.0.g_bs"]], rel=1e-6)
    assert limits[0] != pytest.approx(limits[1], rel=0.05)  # bent: the other width
    assert found.to_dict()["path"] == ["light_vectors.0.mass", "light_vectors.0.relative_width"]


def test_parameters_that_float_make_the_alternative():
    keys = {
        "set": "light_vectors.0.mass=2.4",
        "free": ["light_vectors.0.mass,1.2,2.8", "light_vectors.0.g_bs,-2e-8,2e-8"],
    }
    card = SensitivityCard.make(**keys)
    assert card.alternative.base() == card.truth.base()
    assert card.alternative.base().light_vectors[0].mass == 2.4
    assert [ends[:2] for ends in card.alternative.scan.values()] == [(1.2, 2.8), (-2e-8, 2e-8)]
    with pytest.raises(InputError, match="write KEY,MIN,MAX"):
        SensitivityCard.make(free="light_vectors.0.mass")


def read_card(folder, text):
    (folder / "card.toml").write_text(text)
    return SensitivityCard.make(folder / "card.toml")


def test_a_detector_costs_sensitivity():
    """A narrow V in the window bends R up and down about its mass; a poor resolution averages that out."""
    narrow = ("light_vectors.0.mass=1.9", "light_vectors.0.relative_width=0.02", "light_vectors.0.g_bs=-2e-9")
    truth = Hypothesis(model="fig1-2.5gev", settings=narrow)
    fine = tuple(np.linspace(1.1, 6.0, 15).tolist())
    base = {"observables": ("R_K+",), "toys": 0, "truth": truth, "null": Hypothesis(model="sm"), "bins": fine}
    sharp = sensitivity(simple(**base))
    smeared = sensitivity(simple(**base, detector=DetectorTable(resolution={"e": 0.6, "mu": 0.6})))
    assert smeared.required["R_K+"] > 1.1 * sharp.required["R_K+"]


def test_identical_hypotheses_are_never_separated():
    card = simple(truth=Hypothesis(model="sm"), null=Hypothesis(model="sm"), toys=0)
    result = sensitivity(card)
    assert np.all(result.curves[COMBINED] < 1e-3)
    assert "out of reach" in result.answer()


def test_results_do_not_depend_on_threads():
    card = simple(observables=("R_K+", "P5p"), toys=200, luminosities=(9.0,))
    one, two = sensitivity(card, threads=1), sensitivity(card, threads=2)
    for key, pair in one.distributions.items():
        np.testing.assert_array_equal(pair[0], two.distributions[key][0])
        np.testing.assert_array_equal(pair[1], two.distributions[key][1])


def test_json_table_and_figures(answer, tmp_path):
    loaded = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert loaded["card"]["dataset"] == "lhcb-upgrade2"
    assert loaded["required"]["R_K+"] == pytest.approx(answer.required["R_K+"])
    assert [row[0] for row in summary_rows(answer)] == ["R_K+", "R_K*0", COMBINED]
    from darkpenguin.generator.figures.style import save_figure

    save_figure(draw_sensitivity(answer), [tmp_path / "a.png", tmp_path / "a.pdf"])
    save_figure(draw_statistics(answer), [tmp_path / "b.png"])
    assert (tmp_path / "a.pdf").stat().st_size > 5000


def test_cards(tmp_path):
    path = tmp_path / "card.toml"
    path.write_text(
        'observables = ["R_K+"]\ntoys = 0\n[truth]\nmodel = "fig2"\n'
        '[null]\nmodel = "heavy-c9"\nscan = { "heavy.C9_mu" = [-2, 0, 21] }\n'
    )
    card = SensitivityCard.make(path)
    assert card.truth.model == "fig2"
    assert card.null.scan["heavy.C9_mu"] == (-2.0, 0.0, 21)
    path.write_text("luminosity = 3\n")
    with pytest.raises(InputError, match="luminosities"):
        SensitivityCard.make(path)
    path.write_text("a = = b")
    with pytest.raises(InputError, match="not TOML"):
        SensitivityCard.make(path)
    with pytest.raises(InputError, match="cannot be read"):
        SensitivityCard.make(tmp_path / "missing.toml")
    with pytest.raises(InputError, match="the truth is one model"):
        sensitivity(simple(truth=Hypothesis(model="sm", scan={"heavy.C9_mu": (0.0, 1.0, 2)})))
    with pytest.raises(InputError, match="curve"):
        sensitivity(simple(curve=(5.0, 1.0)))
    with pytest.raises(InputError, match="did you mean"):
        sensitivity(simple(dataset="lhcb-upgrade"))


@pytest.mark.parametrize("card", [ToysCard, SensitivityCard])
def test_radiation_that_would_do_nothing_is_refused(card):
    with pytest.raises(InputError, match=r"theory.radiation = 'leading-log': toys are of decays before their leptons"):
        card.make(theory={"radiation": "leading-log"})
    assert card.make(theory={"radiation": "none"}).theory == card.make().theory
