"""Fits find what was put in, with the errors that they state, and refuse what they cannot describe."""

import json

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.fit import likelihood_of, minimised
from scipy.stats import binom, chi2
from typer.testing import CliRunner

RANGE = (1.1, 8.0)
MASS, WIDTH, COUPLING = "light_vectors.0.mass", "light_vectors.0.relative_width", "light_vectors.0.g_bs"
FLOAT = {MASS: (1.1, 2.8), WIDTH: (0.01, 1.0), COUPLING: (-6e-8, 6e-8)}
TRUTH = (2.5, 0.2, -1.5e-8)
SLOPE = "legendre.toml"


@pytest.fixture(scope="module")
def slope(tmp_path_factory):
    """An efficiency that falls with q2 and towards forward leptons."""
    path = tmp_path_factory.mktemp("map") / SLOPE
    axes = '[["q2", 0.0, 20.0], ["cos_theta_l", -1.0, 1.0]]'
    path.write_text(f'kind = "legendre"\naxes = {axes}\nterms = [[0, 0, 0.5], [1, 0, -0.4], [0, 2, -0.1]]\n')
    return str(path)


def test_a_fit_finds_the_vector_wherever_the_search_starts():
    sample = dp.generate("B0->K*0mumu", "fig2", events=10_000, q2=[RANGE], seed=5)
    far = dp.fit(sample, model="fig2", set=[f"{MASS}=1.3", f"{COUPLING}=0"], float=FLOAT)
    near = dp.fit(sample, model="fig2", float=FLOAT)
    assert far.converged
    assert far.minimum == pytest.approx(near.minimum, abs=1e-2)
    for row, truth in zip(far, TRUTH, strict=True):
        assert abs(row.value - truth) < 5.2 * row.error  # 1e-6 for three
        assert not row.at_limit
    assert 0.008 < far[0].error < 0.025  # by hand 0.01 GeV for 2e4 events
    assert far.goodness[0].p_value > 1e-6
    # Fisher's information at the truth, from the events' own scores
    scores = near.likelihood.scores(TRUTH)
    errors = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
    assert [row.error for row in near] == pytest.approx(errors, rel=0.15)
    assert near.model.light_vectors[0].mass == near[0].value


def test_a_fit_finds_a_scalar():
    """Within 5.2 of its errors, 1e-6 for three; events of a scalar of other numbers are five of them away."""
    fields = {"mass": 2.2, "relative_width": 0.1, "g_bs": 1e-7, "g_mu": 0.05}
    model = {"light_scalars": [fields]}
    sample = dp.generate("B+->K+mumu", model, events=5_000, q2=[RANGE], seed=6)
    floating = {"mass": (1.5, 2.7), "relative_width": (0.02, 0.5), "g_mu": (0.0, 0.2)}
    start = ["light_scalars.0.mass=1.8", "light_scalars.0.g_mu=0.1"]
    found = dp.fit(
        sample, model=model, set=start, float={f"light_scalars.0.{key}": ends for key, ends in floating.items()}
    )
    assert found.converged
    for row, key in zip(found, floating, strict=True):
        assert abs(row.value - fields[key]) < 5.2 * row.error
        assert row.error < 0.2 * fields[key]
        assert not row.at_limit
    assert found.goodness[0].p_value > 1e-6


def pulls(slope, fitted_with, seeds):
    """Of toys behind the map, one set of tables for all."""
    card = FitCard.make(
        model="fig2", float={COUPLING: (-6e-8, 6e-8), "heavy.C9_mu": (-3, 3)}, efficiency=fitted_with, search=False
    )
    found, cost = [], None
    for seed in seeds:
        sample = dp.generate(
            "B+->K+mumu", "fig2", events=6000, q2=[RANGE], seed=seed, efficiency={"maps": slope, "mode": "reject"}
        )
        cost = likelihood_of(sample, card, like=cost)
        truths = (TRUTH[2], 0.0)
        found.append([(row.value - truth) / row.error for row, truth in zip(minimised(cost), truths, strict=True)])
    return np.array(found)


def test_an_acceptance_biases_nothing_and_one_that_is_forgotten_does(slope):
    """Two pulls a toy: their squares' sum, 1e-6; the two fields are correlated, so each is tested by itself."""
    seeds = range(20, 28)
    for column in pulls(slope, None, seeds).T:
        assert chi2.sf(np.sum(column**2), len(seeds)) > 1e-6
    with pytest.warns(RuntimeWarning, match=r"efficiency = '0.5': not a map that these events were made with"):
        bent = [chi2.sf(np.sum(column**2), len(seeds)) for column in pulls(slope, "0.5", seeds).T]
    assert min(bent) < 1e-6


def test_ratios_count_where_rates_are_common():
    """R_K alone tells C9 of muons in K where shapes hardly do."""
    card = {"b_mesons": 4e9, "q2": [(1.1, 6.0)], "seed": 3}
    sample = dp.generate(["B+->K+mumu", "B+->K+ee"], "heavy-c9", **card)
    free = {"heavy.C9_mu": (-3.0, 1.5)}
    alone, common = (dp.fit(sample, model="sm", float=free, rates=rates) for rates in ("free", "common"))
    assert common[0].error < 0.3 * alone[0].error
    assert abs(common[0].value + 1.1) < 5 * common[0].error
    known = dp.fit(sample, model="sm", float=free, b_mesons=4e9)
    assert known[0].error < common[0].error
    assert abs(known[0].value + 1.1) < 5 * known[0].error
    wrong = dp.fit(sample, model="sm", float=free, b_mesons=8e9)
    assert abs(wrong[0].value + 1.1) > 5 * wrong[0].error


def test_minos_where_the_likelihood_is_no_parabola():
    sample = dp.generate("B+->K+mumu", "fig2", events=2000, q2=[RANGE], seed=5)
    found = dp.fit(sample, model="fig2", float={COUPLING: (-6e-8, 6e-8)}, minos=True)
    (row,) = found
    for end in (row.lower, row.upper):
        assert found.likelihood(row.value + end) == pytest.approx(found.minimum + 1.0, abs=0.02)


def test_a_constraint_is_a_measurement():
    sample = dp.generate("B+->K+mumu", "sm", events=500, q2=[RANGE], seed=5)
    free = dp.fit(sample, model="sm", float={"heavy.C9_mu": (-5, 5)})
    held = dp.fit(sample, model="sm", float={"heavy.C9_mu": (-5, 5)}, constrain={"heavy.C9_mu": (0.7, 1e-4)})
    assert held[0].value == pytest.approx(0.7, abs=1e-3)
    assert held[0].error == pytest.approx(1e-4, rel=0.02)
    assert free[0].error > 0.05


def test_a_fit_that_is_no_minimum_says_why(monkeypatch, tmp_path):
    sample = dp.generate("B+->K+mumu", "sm", events=500, q2=[RANGE], seed=5)
    monkeypatch.setattr("darkpenguin.generator.fits.fit.LONGEST", 2)
    found = dp.fit(sample, model="sm", float={"heavy.C9_mu": (-5, 5)})
    assert not found.converged
    assert "calls" in found.reason
    path = str(tmp_path / "x.root")
    sample.write(path)
    said = CliRunner().invoke(app, ["fit", path, "--model", "sm", "--float", "heavy.C9_mu,-5,5"])
    assert said.exit_code == 1
    assert "calls" in said.output


@pytest.fixture(scope="module")
def sample():
    return dp.generate("B0->K*0mumu", "fig2", events=300, q2=[RANGE], seed=5)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"float": [COUPLING]}, "needs a range"),
        ({"float": {COUPLING: (1, -1)}}, "the lower one first"),
        ({"float": {"light_vectors.0.g_e_v": (0, 1)}}, "does not depend on it"),
        ({"float": {COUPLING: (-6e-8, 6e-8), "light_vectors.0.g_mu_v": (0.01, 0.2)}, "set": "light_vectors.0.g_mu_a=0"},
         "in the same way"),
        ({"float": {"light_vectors.0.mas": (1, 2)}}, "mass"),
        ({"float": {"light_vectors.1.mass": (1, 2)}}, "light_vectors.1"),
        ({"float": FLOAT, "set": "width=running"}, "width = running"),
        ({"float": FLOAT, "constrain": {"heavy.C9_mu": (0, 1)}}, "does not float"),
        ({"float": FLOAT, "constrain": {MASS: (2, 0)}}, "above 0"),
        ({"float": FLOAT, "rates": "comon"}, "rates"),
        ({"float": FLOAT, "efficiency": "nowhere.toml"}, "nowhere.toml"),
        ({}, r"float: nothing floats; .*heavy.C9_mu.*--float.*--example"),
        ({"float": {}}, "float: nothing floats"),
        ({"float": 5}, "a table of KEY"),
        ({"float": {COUPLING: 3}}, "two numbers"),
        ({"float": FLOAT, "constrain": 5}, "a table of KEY"),
        ({"float": FLOAT, "constrain": [f"{MASS}=2"]}, "write KEY=MEAN,ERROR"),
        ({"float": {"theory.parameters.Vcb": (0.03, 0.05)}}, "cannot float"),
        ({"float": {"theory.subtraction": (-1, 0)}}, "cannot float"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_one_line(sample, keys, words):
    with pytest.raises(InputError, match=words):
        dp.fit(sample, model="fig2", **keys)


def test_events_that_cannot_be_described_are_refused(sample):
    columns = sample.to_numpy()
    outside = {**columns, "q2": columns["q2"] + np.where(np.arange(300) == 7, 9.0, 0.0)}
    weighted = {**columns, "weight": columns["weight"] + 0.5}
    turned = {**columns, "cos_theta_l": columns["cos_theta_l"] * 3}
    other = {**columns, "flavour": np.where(np.arange(300) == 4, 0, columns["flavour"])}
    cases = ((outside, r"row 7: q2 = .* outside .*; 1 of 300"), (weighted, "weight"), (turned, "cos_theta_l"),
             (other, r"row 4: flavour = 0: \+1 or -1"))  # fmt: skip
    for changed, words in cases:
        with pytest.raises(InputError, match=words):
            dp.fit(type(sample)(changed, sample.provenance), model="fig2", float=FLOAT)
    with pytest.raises(InputError, match="no run card"):
        dp.fit(type(sample)(columns, {}), model="fig2", float=FLOAT)
    with pytest.raises(InputError, match="no charged leptons"):
        dp.fit(dp.generate("B+->K+chichi", "fig2", events=10), model="fig2", float=FLOAT)
    cuts = {"cuts": ["pt(k) > 0.5"]}
    cut = dp.generate("B+->K+mumu", "fig2", events=200, beam="lhcb-13tev", selection=cuts, q2=[RANGE])
    with pytest.raises(InputError, match="behind cuts"):
        dp.fit(cut, model="fig2", float={COUPLING: (-6e-8, 6e-8)})


def test_the_command_prints_a_table_and_json(tmp_path, capsys, monkeypatch):
    from darkpenguin.generator.commands.cli import main

    path = str(tmp_path / "x.root")
    dp.generate("B+->K+mumu", "fig2", events=1000, q2=[RANGE], seed=5).write(path)
    words = ["darkpenguin", "fit", path, "--float", f"{COUPLING},-6e-8,6e-8"]
    for extra in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", [*words, *extra])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code in (0, None)
        out = capsys.readouterr().out
        if extra:
            assert json.loads(out)["rows"][0]["name"] == COUPLING
        else:
            assert COUPLING in out
            assert "converged" in out


def test_a_printed_card_runs_and_no_file_is_a_mistake(tmp_path):
    path = str(tmp_path / "x.root")
    dp.generate("B0->K*0mumu", "fig2", events=400, q2=[RANGE], seed=5).write(path)
    printed = CliRunner().invoke(app, ["fit", "--example"])
    assert printed.exit_code == 0
    (tmp_path / "card.toml").write_text(printed.output, encoding="utf-8")
    done = CliRunner().invoke(app, ["fit", path, "--card", str(tmp_path / "card.toml")])
    assert "heavy.C9_mu" in done.output
    nothing = CliRunner().invoke(app, ["fit"])
    assert nothing.exit_code == 2
    assert "name a file of events" in nothing.output
    mistyped = CliRunner().invoke(app, ["fit", path, "exmaple"])
    assert mistyped.exit_code == 2
    assert "files = 'exmaple': no such file of events, and no card of that name" in mistyped.output


def test_a_card_stands_beside_the_files_and_profiles_are_written(tmp_path):
    path, card = str(tmp_path / "x.root"), tmp_path / "mine.toml"
    dp.generate("B+->K+mumu", "fig2", events=2000, q2=[RANGE], seed=5).write(path)
    card.write_text(f'model = "fig2"\n[float]\n"{COUPLING}" = [-6e-8, 6e-8]\n"heavy.C9_mu" = [-2, 2]\n')
    places = ["--profile", f"{COUPLING},-2e-8,0,3", "--profile", "heavy.C9_mu,-0.5,0.5,3"]
    outputs = ["--figure", str(tmp_path / "a.png"), "-o", str(tmp_path / "a.json"), "-o", str(tmp_path / "a.csv")]
    done = CliRunner().invoke(app, ["fit", path, str(card), *places, *outputs])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "a.json").read_text())
    assert np.array(told["profile"]["rise"]).shape == (3, 3)
    assert len(told["goodness"][0]["counts"]) == told["goodness"][0]["degrees"] + 1
    table = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True)
    assert len(table) == 9
    assert (tmp_path / "a.png").exists()
    assert (tmp_path / "a-profile.png").exists()
    for more, words in (
        (["--card", "example"], "one card"),
        (["-o", "a.txt"], "FILE.json"),
        (["--profile", "heavy.C9"], "heavy.C9_mu"),
    ):
        wrong = CliRunner().invoke(app, ["fit", path, str(card), *more])
        assert isinstance(wrong.exception, SystemExit | InputError)
        assert words in wrong.output + str(wrong.exception)


def test_the_example_card_is_one():
    card = FitCard.make("example")
    assert set(card.free) == {*FLOAT, "heavy.C9_mu"}
    assert likelihood_of(dp.generate("B0->K*0mumu", "fig2", events=50, q2=[RANGE]), card).names == tuple(card.free)


@pytest.mark.slow
def test_a_narrow_vector_is_found_between_the_first_starts(monkeypatch):
    """Of a hundredth of its mass, from far away: as low as the lowest of 300 masses, each with its best coupling."""
    changes = [f"{MASS}=2.237", f"{WIDTH}=0.01", f"{COUPLING}=2e-9"]
    model = dp.as_model("fig2", changes)
    sample = dp.generate("B+->K+mumu", model, events=4000, q2=[RANGE], seed=9)
    start = dp.as_model("fig2", [f"{MASS}=1.3", f"{WIDTH}=0.01", f"{COUPLING}=1e-9"])
    found = dp.fit(sample, model=start, float={MASS: (1.1, 2.8), COUPLING: (-1e-8, 1e-8)})
    couplings = np.linspace(-4e-9, 4e-9, 41)
    brute = min(found.likelihood(mass, g) for mass in np.linspace(1.12, 2.78, 300) for g in couplings)
    assert found.minimum < brute + 1e-3
    assert abs(found[0].value - 2.237) < 5 * found[0].error
    assert found.likelihood(2.237, 0.0) > found.minimum + 25  # it is seen
    # bent: from the model's own mass alone
    monkeypatch.setattr("darkpenguin.generator.fits.fit.starts_of", lambda likelihood: [likelihood.start])
    assert dp.fit(sample, model=start, float={MASS: (1.1, 2.8), COUPLING: (-1e-8, 1e-8)}).minimum > brute + 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("mass", "coupling"), [(1.2, 6e-9), (2.5, -1.5e-8)])
def test_pulls_of_masses_widths_and_couplings(mass, coupling, monkeypatch):
    """50 fits of 4,000 events from the truth: median, size and coverage of each field's pulls, each 1e-6.

    Errors half as large, or a bias of two of them, would be found.
    """
    monkeypatch.setattr("darkpenguin.generator.fits.fit.starts_of", lambda likelihood: [likelihood.start])
    model = dp.as_model("fig2", [f"{MASS}={mass}", f"{COUPLING}={coupling}"])
    free = {MASS: (0.8, 2.8), WIDTH: (0.02, 1.0), COUPLING: (-6e-8, 6e-8)}
    rows = []
    for seed in range(50):
        sample = dp.generate("B0->K*0mumu", model, events=4000, q2=[(0.5, 8.0)], seed=seed)
        found = dp.fit(sample, model=model, float=free)
        assert found.converged, found.reason
        rows.append([(row.value - x) / row.error for row, x in zip(found, (mass, 0.2, coupling), strict=True)])
    pulls = np.array(rows)

    def wrong(pulls):
        inside = np.sum(np.abs(pulls) < 1.0, axis=0)
        biased = np.abs(np.median(pulls, axis=0)) > 4.9 * np.sqrt(np.pi / 100)
        return biased | (chi2.sf(np.sum(pulls**2, axis=0), 50) < 1e-6) | (binom.cdf(inside, 50, 0.6827) < 1e-6)

    assert not np.any(wrong(pulls)), pulls
    assert np.all(wrong(2.0 * pulls))
    assert np.all(wrong(pulls + 2.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mass", "width", "coupling", "ranges", "search"),
    [
        (1.2, 0.2, 6e-9, [(0.5, 8.0)], (0.8, 2.8)),
        (2.5, 0.2, -1.5e-8, [(0.5, 8.0)], (0.8, 2.8)),
        (3.6, 0.1, -1.5e-8, [(10.1, 18.5)], (3.3, 4.2)),
    ],
)
def test_an_injected_vector_is_found_with_the_errors_of_fishers_information(mass, width, coupling, ranges, search):
    """20,000 events, from the middle of the range: three pulls, 1e-6; errors as of the scores at the truth."""
    model = dp.as_model("fig2", [f"{MASS}={mass}", f"{WIDTH}={width}", f"{COUPLING}={coupling}"])
    sample = dp.generate("B0->K*0mumu", model, events=20_000, q2=ranges, seed=12)
    start = dp.as_model(model, [f"{MASS}={0.5 * (search[0] + search[1])}"])
    found = dp.fit(sample, model=start, float={MASS: search, WIDTH: (0.02, 1.0), COUPLING: (-6e-8, 6e-8)})
    assert found.converged, found.reason
    truth = (mass, width, coupling)
    scores = found.likelihood.scores(truth)
    errors = np.sqrt(np.diag(np.linalg.inv(scores.T @ scores)))
    for row, true, error in zip(found, truth, errors, strict=True):
        assert abs(row.value - true) < 5.2 * error
        assert row.error == pytest.approx(error, rel=0.25)
    if mass == 2.5:
        assert 0.007 < found[0].error < 0.013  # 0.01 GeV, as found by hand


def test_a_resolution_that_is_not_in_the_density_is_told():
    keys = {"model": "sm", "float": {"heavy.C9_mu": (-4, 4)}}
    seen = dp.generate("B+->K+mumu", "sm", events=100, q2=[RANGE], seed=1, beam="lhcb-8tev", resolution="lhcb")
    with pytest.warns(RuntimeWarning, match="resolution: it is not in the density"):
        dp.fit(seen, **keys)


def test_another_map_than_that_of_the_events_is_told(tmp_path, recwarn):
    keys = {"model": "sm", "float": {"heavy.C9_mu": (-4, 4)}}
    maps = []
    for name, slope in (("one", -0.4), ("other", -0.3)):
        maps.append(str(tmp_path / f"{name}.toml"))
        terms = f"[[0, 0.5], [1, {slope}]]"
        (tmp_path / f"{name}.toml").write_text(f'kind = "legendre"\naxes = [["q2", 0.0, 20.0]]\nterms = {terms}\n')
    seen = dp.generate(
        "B+->K+mumu", "sm", events=200, q2=[RANGE], seed=1, efficiency={"maps": maps[0], "mode": "reject"}
    )
    dp.fit(seen, **keys)
    dp.fit(seen, efficiency=maps[0], **keys)
    assert not [one for one in recwarn if "efficiency" in str(one.message)]
    with pytest.warns(RuntimeWarning, match=r"efficiency = .*other.toml.*not a map that these events were made with"):
        dp.fit(seen, efficiency=maps[1], **keys)
