"""A mediator is a row: a kind that is planted here, one class and one field of a model, works everywhere.

The toy is what a charmonium state will be: a Breit-Wigner in C9 alone, the same for all leptons, whose complex
coupling has a strong phase, so that it is not conjugated in the conjugate decay.
"""

import ast
import json

import numpy as np
import pytest
from darkpenguin.generator.analysis.binning import bin
from darkpenguin.generator.analysis.validate import validate
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.sample import read_events
from darkpenguin.generator.run.card import RunCard, make_card
from darkpenguin.generator.run.generate import generate
from darkpenguin.generator.sampler.tables import channel_table
from darkpenguin.generator.scans.card import ScanCard
from darkpenguin.generator.scans.scan import scan
from darkpenguin.generator.toys.couplings import quadratic_counts
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.yields import binned_yields, expected_counts
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.amplitudes import helicity_amplitudes, new_physics
from darkpenguin.physics.angular import angular_coefficients, breakpoints, decay_rate
from darkpenguin.physics.bins import bin_quadrature, build_predictor
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.experiment.constraints import bs_mumu_branching_ratio
from darkpenguin.physics.experiment.verdicts import constraints
from darkpenguin.physics.fields import Complex, Positive
from darkpenguin.physics.final_state import masses
from darkpenguin.physics.mediators import Mediator, Term
from darkpenguin.physics.models import BENCHMARKS, Heavy, Model, apply_settings, get_model, is_linear
from darkpenguin.physics.observables import BinnedObservable
from darkpenguin.physics.predict import predict
from darkpenguin.physics.rates import branching_ratio
from darkpenguin.physics.uncertainties import draw_coefficients
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from .test_house import TOP, modules

MASS, WIDTH, ETA = 2.6, 0.03, 1.5 - 1.2j
KMM, KEE, KTT, KSTMM = (get_channel(name) for name in ("B+->K+mumu", "B+->K+ee", "B+->K+tautau", "B0->K*0mumu"))
BINS = [(1.1, 6.0), (6.0, 8.0)]


class Resonance(Mediator):
    """C9 gets η m Γ / (m² - q² - i m Γ), η complex."""

    symbol = "R"
    width: Positive
    eta: Complex = 0j

    @property
    def total_width(self):
        return self.width

    @classmethod
    def linear_fields(cls):
        return frozenset({"eta"})

    def terms(self, decay):
        return [Term("C9", ("eta",), {"v": 1.0}, weak=False)]

    def wave(self, decay, q2, scheme):
        return -self.mass * self.width * self.propagator(q2, scheme)


@pytest.fixture(scope="module", autouse=True)
def row():
    """The field ``resonances`` of a model, as one line in the class would make it, and away again."""
    cards = (Model, RunCard, ScanCard)  # what holds a model was made from its fields
    Model.__pydantic_fields__["resonances"] = FieldInfo.from_annotated_attribute(tuple[Resonance, ...], ())
    for card in cards:
        card.model_rebuild(force=True)
    for model in BENCHMARKS.values():
        model.__dict__["resonances"] = ()
    yield
    del Model.__pydantic_fields__["resonances"]
    for card in cards:
        card.model_rebuild(force=True)
    for model in BENCHMARKS.values():
        del model.__dict__["resonances"]


def toy(mass=MASS, width=WIDTH, eta=ETA, **others):
    return Model(name="toy", resonances=({"mass": mass, "width": width, "eta": eta},), **others)


def shift(q2, mass=MASS, width=WIDTH, eta=ETA):
    return eta * mass * width / (mass**2 - np.asarray(q2) - 1j * mass * width)


@pytest.fixture(scope="module")
def file(row, tmp_path_factory):
    """Events of both lepton flavours, made by the command line from a card with the new kind."""
    folder = tmp_path_factory.mktemp("rows")
    card = folder / "card.toml"
    card.write_text(f"""
channels = ["B+->K+mumu", "B+->K+ee"]
events = 200000
seed = 11
output = '{folder / "toy.root"}'
[model]
name = "toy"
[[model.resonances]]
mass = {MASS}
width = {WIDTH}
eta = [{ETA.real}, {ETA.imag}]
""")
    done = CliRunner().invoke(app, ["generate", str(card)])
    assert done.exit_code == 0, done.output
    return folder / "toy.root"


# Physics


@pytest.mark.parametrize("channel", [KMM, KEE, KSTMM], ids=lambda channel: channel.name)
@pytest.mark.parametrize("conjugate", [False, True])
def test_amplitudes_are_those_of_the_same_c9(channel, conjugate):
    for q2 in (2.0, MASS**2, MASS**2 + 2 * MASS * WIDTH):
        c9 = complex(shift(q2))
        # a heavy coefficient is conjugated for the conjugate decay; this one, with a strong phase, is not
        heavy = Model(heavy={f"C9_{channel.lepton}": c9.conjugate() if conjugate else c9})
        found = helicity_amplitudes(channel, toy(), [q2], conjugate)
        expected = helicity_amplitudes(channel, heavy, [q2], conjugate)
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-12, err_msg=key)
    assert complex(new_physics(KMM, toy(), [5.0], conjugate)["v"][0]) == pytest.approx(complex(shift(5.0)), rel=1e-13)


@pytest.mark.filterwarnings("ignore:The QCDF corrections")  # flavio says so above 6 GeV²
def test_rates_agree_with_flavio():
    """On the pole C9 is shifted by i η: real for this η, so that flavio takes it for both flavours."""
    import flavio

    flat = flavio.WilsonCoefficients()
    flat.set_initial({"C9_bsmumu": 0.8}, scale=4.8)
    for channel, name in ((KMM, "dBR/dq2(B+->Kmumu)"), (KSTMM, "dBR/dq2(B0->K*mumu)")):
        model = toy(eta=-0.8j)
        both = [decay_rate(angular_coefficients(channel, model, [MASS**2], flavour))[0] for flavour in (-1, 1)]
        lifetime = flavio.default_parameters.get_central(f"tau_{channel.parent}")
        found = 0.5 * sum(both) * lifetime
        assert found == pytest.approx(flavio.np_prediction(name, flat, MASS**2), rel=1e-5)
        assert found > 1.1 * flavio.sm_prediction(name, MASS**2)


def test_invisible_modes_do_not_feel_it():
    for name in ("B+->K+nunu", "B0->K*0nunu"):
        assert branching_ratio(get_channel(name), toy()) == branching_ratio(get_channel(name), get_model("sm"))
    assert branching_ratio(get_channel("B+->K+chichi"), toy()) == 0.0
    with pytest.raises(InputError, match="the model has none"):
        masses(get_channel("B+->K+chichi"), toy())
    assert bs_mumu_branching_ratio(toy()) == bs_mumu_branching_ratio(get_model("sm"))  # the vector current is conserved
    assert {row.name for row in constraints(toy())} == {row.name for row in constraints(get_model("sm"))}


def test_beside_a_light_vector_both_add():
    vector = get_model("fig2").light_vectors
    both, q2 = toy(light_vectors=vector), [5.0, MASS**2]
    one, two = (new_physics(KMM, model, q2)["v"] for model in (toy(), get_model("fig2")))
    np.testing.assert_allclose(new_physics(KMM, both, q2)["v"], one + two, rtol=1e-13)
    assert list(both.mediators) == ["light_vectors.0", "resonances.0"]


def test_theory_errors_know_it():
    """In every draw of the parameters C9 is shifted by the same number: what is not over N is not rescaled."""
    q2 = MASS**2
    heavy = Model(heavy={"C9_mu": complex(shift(q2))})
    found, expected = (draw_coefficients(KMM, model, [q2], -1) for model in (toy(), heavy))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


# Tables and files


def test_tables_have_nodes_on_it():
    narrow = toy(width=2.6e-4)
    points = breakpoints(KMM, narrow)
    assert MASS**2 in points
    assert np.diff(points[np.abs(points - MASS**2) < 1e-3]).min() < MASS * 2.6e-4
    table = channel_table(KMM, narrow, "b")
    assert (np.abs(table.q2 - MASS**2) < 1e-2).sum() > 50
    assert (
        breakpoints(get_channel("B+->K+nunu"), narrow).tolist()
        == breakpoints(get_channel("B+->K+nunu"), get_model("sm")).tolist()
    )


def test_events_follow_the_prediction(file):
    assert validate(file).passed
    values = bin(file, BINS)
    found = {(row.observable, row.q2_min): row for row in values}
    for low, high in BINS:
        row = found["R_K+", low]
        (expected,) = predict("R_K+", toy(), bins=[low, high])
        assert abs(row.value - expected.value) < 5 * row.error
        assert expected.value == pytest.approx(1.0, abs=0.01)  # universal


def test_a_bent_resonance_would_be_seen(file):
    """The mutation: the file is not that of a resonance with the opposite strong phase."""
    q2 = read_events(file).columns["q2"][:200_000]
    near = MASS * WIDTH
    share = np.mean(np.abs(q2 - MASS**2) < near)
    expected = {}
    for eta in (ETA, ETA.conjugate()):
        nodes, weights = bin_quadrature(KMM, [(MASS**2 - near, MASS**2 + near), KMM.q2_limits()], toy(eta=eta))
        rate = sum(decay_rate(angular_coefficients(KMM, toy(eta=eta), nodes, flavour)) for flavour in (-1, 1))
        expected[eta] = (weights[0] @ rate) / (weights[1] @ rate)
    error = np.sqrt(share / len(q2))
    assert abs(share - expected[ETA]) < 5 * error, (share, expected, error)
    assert abs(share - expected[ETA.conjugate()]) > 10 * error, (share, expected, error)


def test_the_file_knows_its_model(file):
    again = make_card(json.loads(json.dumps(read_events(file).provenance["card"])))
    assert again.model == toy()
    assert again.model.resonances[0].eta == ETA
    sample = generate(again.model_copy(update={"output": None, "range": (100, 120)}))
    np.testing.assert_array_equal(sample.columns["q2"], read_events(file).columns["q2"][100:120])


# Predictions and scans


def test_predictions_are_polynomials_in_the_coupling():
    observables = [BinnedObservable("P5p", "B0->K*0mumu", *BINS[0]), BinnedObservable("R_K+", "B+->K+mumu", *BINS[0])]
    values = {"resonances.0.eta": np.array([0.0, 0.5, 0.7 - 0.4j])}
    table = build_predictor(observables, toy(), values)(values)
    for eta, row in zip(values["resonances.0.eta"], table, strict=True):
        direct = [predict(o.name, toy(eta=eta), bins=BINS[0])[0].value for o in observables]
        np.testing.assert_allclose(row, direct, rtol=1e-8)
        np.testing.assert_allclose(row, build_predictor(observables, toy(eta=eta))()[0], rtol=1e-10)


def test_a_scan_over_mass_and_coupling():
    card = ScanCard(
        model=toy(),
        data="2017",
        axes=[
            {"key": "resonances.0.eta", "min": -1.0, "max": 1.0, "points": 3},
            {"key": "resonances.0.mass", "min": 2.0, "max": 3.0, "points": 2},
        ],
    )
    assert [axis.linear for axis in card.axes] == [True, False]
    result = scan(card)
    for i, eta in enumerate((-1.0, 0.0, 1.0)):
        for j, mass in enumerate((2.0, 3.0)):
            direct = result._chi2_at({"resonances.0.eta": eta, "resonances.0.mass": mass})
            for group, chi2 in direct.items():
                assert result.chi2[group][i, j] == pytest.approx(chi2, rel=1e-9)
    np.testing.assert_allclose(result.total()[1], result.standard_model(), rtol=1e-9)  # η = 0
    assert np.ptp(result.total()) > 0.5
    assert not is_linear("resonances.0.width")


def test_toys_count_it():
    dataset, bins = get_dataset("lhcb-run12"), binned_yields(["B+->K+mumu", "B+->K+ee"], [1.1, 6.0, 8.0])
    counts, background = expected_counts([get_model("sm"), toy()], dataset, bins)
    rates = [
        [predict("dBR", model, bins=[b.q2_min, b.q2_max], channel=b.channel)[0].value for b in bins]
        for model in (get_model("sm"), toy())
    ]
    # the data set's resolution moves events between bins, so only roughly
    np.testing.assert_allclose(counts[1] / counts[0], np.divide(rates[1], rates[0]), rtol=0.1)
    free = quadratic_counts(toy(eta=0.0), {"eta": {"resonances.0.eta": 1.0}}, dataset, bins)
    np.testing.assert_allclose(free.expected([0.0]), counts[0] + background, rtol=1e-6)
    direct, _ = expected_counts([toy(eta=0.8)], dataset, bins)
    np.testing.assert_allclose(free.expected([0.8]) - free.expected([0.0]), direct[0] - counts[0], rtol=1e-6)


# Settings and the command line


def test_settings_and_messages():
    given = ("mass=2.6", "width=0.03", "eta=1+2j")
    model = apply_settings(get_model("sm"), [f"resonances.0.{text}" for text in given])
    assert model.resonances[0].eta == 1 + 2j
    assert apply_settings(model, "resonances.0.eta=0.5").resonances[0].width == 0.03
    with pytest.raises(InputError, match=r"resonances.0.maas: no such key; did you mean mass\?"):
        apply_settings(model, "resonances.0.maas=1")
    with pytest.raises(InputError, match=r"resonances\[0\].width = -1"):
        apply_settings(model, "resonances.0.width=-1")
    with pytest.raises(InputError, match="the model has 1 resonances"):
        apply_settings(model, "resonances.2.mass=1")
    with pytest.raises(InputError, match="no R narrower than"):
        apply_settings(model, "resonances.0.width=1e-12")
    with pytest.raises(InputError, match="width = narrow: R interferes"):
        angular_coefficients(KMM, toy(width=0.1).model_copy(update={"width": "narrow"}), [5.0])


def test_the_command_line_knows_it():
    settings = ["--set", f"resonances.0.mass={MASS}", "--set", f"resonances.0.width={WIDTH}", "--set",
                "resonances.0.eta=1.5-1.2j"]  # fmt: skip
    shown = CliRunner().invoke(app, ["models", "sm", *settings])
    assert shown.exit_code == 0, shown.output
    assert "resonances.0.eta" in shown.output
    assert toy().resonances[0].description() == "R: m = 2.6 GeV, width = 0.03 GeV, eta = 1.5-1.2j"
    printed = CliRunner().invoke(app, ["predict", "P5p", "--bins", "1.1,6", "--format", "csv", *settings])
    assert printed.exit_code == 0, printed.output
    value = float(printed.output.split()[-1].split(",")[-1])
    assert value == pytest.approx(predict("P5p", toy(), bins=[1.1, 6.0])[0].value, rel=1e-9)


# No kind is named


FIELDS = {
    "light_vectors", "g_bs", "g_bs_right", "g_mu_v", "g_mu_a", "g_e_v", "g_e_a", "g_nu_mu", "g_chi", "m_chi",
    "chi_coupling", "lepton_width", "pseudoscalar",
}  # fmt: skip
HOME = {"physics.light_vector", "physics.light_scalar", "physics.contact"}
PAPER = {
    "physics.experiment.constraints",
    "physics.experiment.invisible_rows",
    "physics.experiment.lepton_rows",
    "physics.experiment.muon_rows",
    "physics.experiment.vector_rows",
    "physics.experiment.verdicts",
    "generator.explore.curves",  # the page that moves the paper's V
    "generator.explore.page",
    "generator.explore.point",
    "generator.figures.figure_1",
    "generator.figures.figure_2",
    "generator.scans.invisible",
    "generator.scans.recast",
}


def named(source):
    """Fields and the class of V that code, not text, names."""
    nodes = list(ast.walk(ast.parse(source)))
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)} & FIELDS
    return found | {node.id for node in nodes if isinstance(node, ast.Name) and node.id == "LightVector"}


def test_only_the_paper_names_a_kind():
    known = {name: named(path.read_text(encoding="utf-8")) for name, path in modules(TOP).items()}
    assert {name for name, found in known.items() if found} == HOME | PAPER | {"physics.models"}
    assert known["physics.models"] == {"LightVector"}  # the row
    assert named("for v in model.light_vectors: total += v.g_bs") == {"light_vectors", "g_bs"}


def test_linear_fields_are_those_of_the_terms():
    """What a mediator says of its fields is what its terms multiply."""
    from darkpenguin.physics.amplitudes import decay_of
    from darkpenguin.physics.models import kinds

    for kind in (Heavy, *kinds().values()):
        needed = {"mass": 2.0, "width": 0.1, "operator": "vector"}
        part = kind(**{name: value for name, value in needed.items() if name in kind.model_fields})
        terms = [term for channel in (KMM, KEE, KTT) for term in part.terms(decay_of(channel))]
        used = {field for term in terms for field in term.couplings}
        assert used == kind.linear_fields()
