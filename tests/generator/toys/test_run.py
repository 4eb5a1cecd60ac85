"""Runs of toys: columns, agreement of the two depths, injected physics found again."""

import numpy as np
import pytest
from darkpenguin.generator.statistics.draws import binned_toys
from darkpenguin.generator.statistics.fits import fit_counts
from darkpenguin.generator.statistics.hypotheses import profile_ratio, scan_maximum, wilks_p_value
from darkpenguin.generator.toys.couplings import quadratic_counts
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.events import events_of_toy
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.run import ToysCard, plan_toys
from darkpenguin.generator.toys.systematics import Systematics
from darkpenguin.generator.toys.yields import binned_yields
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model
from darkpenguin.physics.observables import binned
from scipy import stats

CHANNELS = ["B+->K+mumu", "B+->K+ee", "B0->K*0mumu", "B0->K*0ee"]


@pytest.fixture(scope="module")
def run():
    return plan_toys(ToysCard())


@pytest.fixture(scope="module")
def rows(run):
    return run.rows(0, 2000)


def test_estimates_have_unit_pulls_and_the_right_truth(run, rows):
    windows = run.experiment.windows
    np.testing.assert_allclose(rows["R_Kst0_true"][0], binned("R_K*0", "fig1-2.5gev", windows), rtol=1e-7)
    for word in ("R_Kp", "R_Kst0"):
        assert np.all(rows[f"{word}_status"] == 0)
        covered = (rows[f"{word}_low"] <= rows[f"{word}_true"]) & (rows[f"{word}_high"] >= rows[f"{word}_true"])
        # the efficiency error is in the interval but truth is nominal in every toy: a little over-covered
        assert np.all(np.abs(covered.mean(axis=0) - 0.683) < 0.06)
    pull = (rows["P5p"] - rows["P5p_true"]) / rows["P5p_error"]
    assert np.all(np.abs(np.nanmean(pull, axis=0)) < 0.15)
    assert np.all(np.abs(np.nanstd(pull, axis=0) - 1) < 0.1)


def test_the_truth_is_preferred_and_the_fit_converges(run, rows):
    medians = [np.median(rows[f"q_{i}"]) for i in range(4)]
    assert medians[0] == 0
    assert np.argmin(medians) == 3  # fig1-2.5gev, which is true
    assert np.all(rows["fit_status"] == 0)
    # C9 mimics V: R below one wants it negative
    assert -1.3 < np.mean(rows["fit_C9"]) < -0.6


def test_rows_do_not_depend_on_the_partition(run, rows):
    for start, stop, threads in ((0, 7, 1), (1000, 1100, 2), (1999, 2000, 1)):
        part = run.rows(start, stop, threads)
        for name, values in part.items():
            np.testing.assert_array_equal(values, rows[name][start:stop], err_msg=name)


def test_fitted_families_do_not_depend_on_the_partition_and_find_the_truth():
    """C9 by Newton steps, the mass of V on grids: row by row the same, and right on average."""
    card = ToysCard(
        dataset="lhcb-upgrade2",
        truth=Hypothesis(model="fig1-2.5gev"),
        fit={},
        observables=("R_K+", "P5p"),
        hypotheses=(
            Hypothesis(model="sm"),
            Hypothesis(model="sm", scan={"heavy.C9_mu": (-2.5, 0.5, 5), "heavy.C10_mu": (-1.0, 1.0, 5)}),
            Hypothesis(model="fig1-2.5gev", scan={"light_vectors.0.mass": (2.2, 2.8, 7)}),
        ),
    )
    run = plan_toys(card)
    rows = run.rows(0, 60)
    for start, stop in ((0, 1), (13, 40)):
        for name, values in run.rows(start, stop).items():
            np.testing.assert_array_equal(values, rows[name][start:stop], err_msg=name)
    mass = rows["best_2_mass"]
    assert abs(mass.mean() - 2.5) < 6 * mass.std() / np.sqrt(60)
    assert mass.std() < 0.05
    assert np.median(rows["q_2"]) < np.median(rows["q_1"]) - 20
    # the truth itself costs at most the chi-square of one parameter more
    fixed = plan_toys(card.model_copy(update={"hypotheses": (card.hypotheses[0], card.truth)})).rows(0, 60)["q_1"]
    assert np.all(fixed - rows["q_2"] > -1e-3)
    assert stats.kstest(fixed - rows["q_2"], "chi2", args=(1,)).pvalue > 1e-6


def test_both_depths_agree(rows):
    """Event toys and binned toys of one card: counts, R, P5' and fit alike in mean, spread and correlation."""
    other = plan_toys(ToysCard(depth="events", sample=1)).rows(0, 1000)
    n = 1000
    for name in ("n_Bp_Kpmumu", "n_B0_Kst0ee", "R_Kp", "P5p"):
        one, two = rows[name][:n].astype(float), other[name].astype(float)
        good = np.isfinite(one).all(axis=1) & np.isfinite(two).all(axis=1)
        one, two = one[good], two[good]
        spread = np.sqrt(0.5 * (one.var(axis=0) + two.var(axis=0)))
        assert np.all(np.abs(one.mean(axis=0) - two.mean(axis=0)) < 6 * spread * np.sqrt(2 / n)), name
        assert np.all(np.abs(one.std(axis=0) / two.std(axis=0) - 1) < 0.15), name
        assert np.max(np.abs(np.corrcoef(one.T) - np.corrcoef(two.T))) < 6 * np.sqrt(2 / n), name
    for name in ("fit_C9", "q_1", "q_3"):
        assert stats.ks_2samp(rows[name], other[name]).pvalue > 1e-6, name
    # bent: the same comparison against toys of another truth fails
    bent = plan_toys(ToysCard(depth="events", sample=1, truth=Hypothesis(model="heavy-c9"), fit={})).rows(0, 400)
    assert stats.ks_2samp(rows["q_3"], bent["q_3"]).pvalue < 1e-6


def test_bins_with_a_gap():
    """Below the J/psi and above the psi(2S): what is expected, event toys and a toy again as events agree.

    The mean of 200 event toys within 5 standard deviations (four numbers: 2e-6). Bent: with the gap's events counted,
    the upper bin would have several times as many.
    """
    bins = [[1.1, 6.0], [14.3, 19.0]]
    card = {"observables": ("R_K+",), "bins": bins, "fit": {}, "hypotheses": ({"model": "sm"},)}
    run = plan_toys(ToysCard(**card))
    single = [plan_toys(ToysCard(**{**card, "bins": [one]})) for one in bins]
    for name, counts in run.truth.counts.items():
        np.testing.assert_allclose(counts[0], [one.truth.counts[name][0, 0] for one in single], rtol=1e-6)
        background = np.concatenate([one.experiment.background(name) for one in single])
        np.testing.assert_allclose(run.experiment.background(name), background, rtol=1e-12)
    events = plan_toys(ToysCard(**card, depth="events"))
    assert all(table.ranges.tolist() == bins for table in events.tables.values())
    rows = events.rows(0, 200)
    for word, name in (("n_Bp_Kpmumu", "B+->K+mumu"), ("n_Bp_Kpee", "B+->K+ee")):
        expected = events.truth.counts[name][0] + events.experiment.background(name)
        assert np.all(np.abs(rows[word].mean(axis=0) - expected) < 5 * np.sqrt(expected / 200)), name
    # drawn systematics thin the events in bins; a resolution generates those of the gap too
    seen = plan_toys(ToysCard(**card, depth="events", systematics="drawn", detector={"resolution": {"e": 0.4}}))
    thinned, sample = seen.rows(3, 4), events_of_toy(seen, 3)
    for word, name in (("n_Bp_Kpmumu", "B+->K+mumu"), ("n_Bp_Kpee", "B+->K+ee")):
        mine = (np.asarray(sample["channel"]) == get_channel(name).index) & (np.asarray(sample["accepted"]) > 0)
        found = [
            np.count_nonzero((reco >= low) & (reco < high))
            for low, high in bins
            for reco in [np.asarray(sample["q2_reco"])[mine]]
        ]
        np.testing.assert_array_equal(thinned[word][0], np.add(found, sample.provenance["background"][name]))
    again = events_of_toy(run, 2)
    muons = np.asarray(again["q2"])[np.asarray(again["channel"]) == get_channel("B+->K+mumu").index]
    inside = [np.count_nonzero((muons >= low) & (muons < high)) for low, high in bins]
    assert sum(inside) == len(muons)
    background = again.provenance["background"]["B+->K+mumu"]
    np.testing.assert_array_equal(run.rows(2, 3)["n_Bp_Kpmumu"][0], np.add(inside, background))
    with pytest.raises(InputError, match=r"8 to 12 GeV.2 has the J/psi in it"):
        plan_toys(ToysCard(**{**card, "bins": [[1.1, 6.0], [8.0, 12.0]]}))


def test_an_injected_vector_is_found_with_its_mass_and_coupling():
    """V of 2.5 GeV in counts of Upgrade II: scan of the mass, coupling fitted at each; SM toys stay small."""
    data, bins = get_dataset("lhcb-upgrade2"), binned_yields(CHANNELS[:2], np.linspace(1.1, 8.0, 12))
    masses = np.array([1.7, 2.1, 2.3, 2.4, 2.5, 2.6, 2.7, 2.9])
    systematics = Systematics(theory=True, efficiency=0.01, theory_modes=3)
    models = []
    for mass in masses:
        base = get_model("fig1-2.5gev").model_copy(
            update={"light_vectors": (get_model("fig1-2.5gev").light_vectors[0].model_copy(update={"mass": mass}),)}
        )
        models.append(quadratic_counts(base, {"g": {"light_vectors.0.g_bs": 1e-8}}, data, bins, systematics))
    toys = binned_toys(models[4], [-1.75], seed=31, stop=200)
    scan = scan_maximum(models, toys.counts, toys.auxiliary)
    assert scan.failures.sum() == 0
    assert np.mean(masses[scan.best] == 2.5) > 0.9
    assert np.median(scan.couplings[:, 0]) == pytest.approx(-1.75, abs=0.02)
    null = binned_toys(models[4], [0.0], seed=31, stop=200, sample=1)
    background = scan_maximum(models, null.counts, null.auxiliary)
    assert scan.maximum.min() > 50 + background.maximum.max()


def test_wilks_on_physics_and_where_it_fails():
    """The coupling of V at its injected value: q follows chi-square. At zero coupling it does not quite.

    At g = 0 the linear term alone decides and Wilks holds too; what fails is a mass that floats, see the scan.
    """
    data, bins = get_dataset("lhcb-run12"), binned_yields(CHANNELS, np.linspace(1.1, 6.0, 11))
    model = quadratic_counts(get_model("fig1-2.5gev"), {"g": {"light_vectors.0.g_bs": 1e-8}}, data, bins)
    for value in (-1.75, 0.0):
        toys = binned_toys(model, [value], seed=32, stop=2000)
        ratio = profile_ratio(model, toys.counts, toys.auxiliary, g=value)
        assert ratio.good.all()
        assert stats.kstest(wilks_p_value(ratio.q, 1), "uniform").pvalue > 1e-6
        pull = (ratio.free.values[:, 0] - value) / ratio.free.errors[:, 0]
        assert abs(pull.std() - 1) < 0.1
    wrong = profile_ratio(model, toys.counts, toys.auxiliary, g=-0.3)
    assert stats.kstest(wilks_p_value(wrong.q, 1), "uniform").pvalue < 1e-6


def test_thousands_of_profiled_toys_all_converge():
    data, bins = get_dataset("lhcb-run12"), binned_yields(CHANNELS, np.linspace(1.1, 6.0, 11))
    model = quadratic_counts(
        get_model("fig1-2.5gev"), {"g": {"light_vectors.0.g_bs": 1e-8}}, data, bins, Systematics(theory=True)
    )
    toys = binned_toys(model, [-1.75], seed=1, stop=3000)
    assert fit_counts(model, toys.counts, toys.auxiliary).failures == 0


def test_cards(tmp_path):
    path = tmp_path / "toys.toml"
    path.write_text(
        'toys = 10\ndataset = "belle2-50"\n[truth]\nmodel = "fig2"\n'
        'set = ["light_vectors.0.mass=2.8"]\n[fit.g]\n"light_vectors.0.g_bs" = 1e-8\n'
    )
    card = ToysCard.make(path)
    assert card.truth.base().light_vectors[0].mass == 2.8
    assert card.key() == card.model_copy(update={"toys": 500}).key()
    assert card.key() != card.model_copy(update={"seed": 2}).key()
    for change, message in (
        ({"likelihood": True}, "depth = 'events'"),
        ({"hypotheses": ()}, "name one"),
        ({"luminosity": 1.0, "observables": ("P5",)}, "did you mean"),
        ({"truth": Hypothesis(model="sm", scan={"heavy.C9_mu": (0.0, 1.0, 2)})}, "one model"),
    ):
        with pytest.raises(InputError, match=message):
            plan_toys(ToysCard().model_copy(update=change))
