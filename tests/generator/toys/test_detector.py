"""Toys behind a detector: probabilities, expected moments, both depths alike, files and what is refused."""

import json
from itertools import pairwise

import numpy as np
import pytest
from darkpenguin.generator.files.writers import open_writer
from darkpenguin.generator.lab.efficiency_maps import ConstantMap, HistogramMap, LegendreMap
from darkpenguin.generator.sampler.rng import event_uniforms
from darkpenguin.generator.toys.datasets import Dataset, DetectorTable, get_dataset
from darkpenguin.generator.toys.detector import (
    ChannelDetector,
    GaussianSmearing,
    MatrixSmearing,
    channel_detector,
    event_numbers,
    read_migration,
)
from darkpenguin.generator.toys.events import events_of_toy
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.run import ToysCard, plan_toys
from darkpenguin.generator.toys.yields import integrated_coefficients, predict_channel
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.angular import decay_rate
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model
from scipy import stats

KSTAR, K = get_channel("B0->K*0mumu"), get_channel("B+->K+mumu")
# slopes in q2, cos K, cos L and a wave in phi: nothing vanishes, nothing is symmetric
MAP = {
    "kind": "legendre",
    "axes": [["q2", 0.0, 20.0], "cos_theta_k", "cos_theta_l", "phi"],
    "terms": [[0, 0, 0, 0, 0.5], [1, 0, 0, 0, 0.2], [0, 1, 0, 0, -0.12], [0, 0, 2, 0, -0.08], [0, 0, 0, 1, 0.05]],
}
MATRIX = MatrixSmearing(
    np.array([0.0, 2.0, 4.0, 8.0]),
    np.array([[0.0] * 5, [0, 0.5, 0.1, 0, 0], [0, 0.1, 0.6, 0.1, 0], [0, 0, 0.2, 0.5, 0.1], [0, 0, 0, 0.3, 0.2]]),
)


@pytest.mark.parametrize("smearing", [GaussianSmearing(0.4), MATRIX])
def test_reconstructed_q2_follows_its_probability(smearing):
    u = (np.arange(100_000) + 0.5) / 100_000
    for q2 in (0.7, 3.0, 5.5):
        reco = smearing.reconstruct(np.full(u.size, q2), u)
        for low, high in ((0.0, 2.5), (2.5, 3.3), (3.3, 8.0)):
            inside = np.mean((reco >= low) & (reco < high))
            assert inside == pytest.approx(smearing.probability(np.array([q2]), low, high)[0], abs=3e-5)


def test_rate_behind_a_map_by_summation_over_angles():
    """Expected counts and moments against a plain midpoint sum over q2 and angles."""
    slope = LegendreMap((("cos_theta_k", -1.0, 1.0), ("phi", -np.pi, np.pi)), np.array([[0.5, 0.1], [0.2, 0.1]]))
    detector = ChannelDetector(KSTAR, slope)
    q2, weights = np.array([2.0, 3.0]), np.array([[0.4, 0.0], [0.3, 0.7]])
    j = np.abs(np.random.default_rng(1).normal(size=(12, 2))) * 0.1 + np.array([[1.0], [1.0], *[[0.0]] * 10])
    n = 60
    x = (np.arange(n) + 0.5) / n * 2 - 1
    ck, cl, phi = (a.ravel() for a in np.meshgrid(x, x, np.pi * x, indexing="ij"))
    from darkpenguin.physics.densities import VECTOR

    f = VECTOR.basis(ck, cl, phi)
    cell = VECTOR.norm * (2 / n) ** 2 * (2 * np.pi / n)
    eps = slope.evaluate({"cos_theta_k": ck, "phi": phi})
    np.testing.assert_allclose(detector.rates(q2), np.repeat((f @ eps)[:, None] * cell, 2, axis=1), atol=2e-3)
    mean, covariance = (x[0] for x in detector.moments(j[:, None], q2, weights))
    for b in range(2):
        density = (j @ weights[b]) @ f
        assert mean[b] == pytest.approx(f @ density / density.sum(), abs=2e-3)
        shift = f - mean[b][:, None]
        expected = (shift * density / eps) @ shift.T * (density * eps).sum() / density.sum() ** 2
        np.testing.assert_allclose(covariance[b], expected, atol=3e-3)
        plain = (shift * density) @ shift.T / density.sum()
        assert np.all(np.diag(covariance[b]) > 1.02 * np.diag(plain))  # an efficiency costs precision


def test_a_constant_efficiency_changes_nothing():
    data = get_dataset("lhcb-run12")
    flat = data.with_detector(DetectorTable(efficiency={"all": "0.3"}))
    step = {"mu": HistogramMap(("cos_theta_l",), (np.array([-1.0, 0.2, 1.0]),), np.array([0.3, 0.3]))}
    assert isinstance(flat.detector("B0->K*0mumu").efficiency, ConstantMap)
    bins = [(1.1, 3.0), (3.0, 6.0)]
    one, two = (predict_channel([get_model("fig2")], d, "B0->K*0mumu", bins, moments=True) for d in (data, flat))
    np.testing.assert_allclose(two.counts, one.counts, rtol=1e-9)
    np.testing.assert_allclose(two.mean, one.mean, atol=1e-7)
    np.testing.assert_allclose(two.covariance, one.covariance, atol=1e-7)
    rates = ChannelDetector(KSTAR, step["mu"]).rates(np.array([2.0]))
    np.testing.assert_allclose(rates[:, 0], 0.3 * np.array([1.5, 0.75, -0.5, -0.25, *[0] * 8]), atol=1e-9)


def test_yields_are_those_found_in_the_window():
    """Whatever the detector, the Standard Model gives the stated yield; a resolution moves events across the edges."""
    data = get_dataset("lhcb-run12").with_detector(DetectorTable(resolution={"e": 0.5}))
    edges = np.linspace(1.1, 6.0, 6)
    bins = list(pairwise(edges))
    found = predict_channel([get_model("sm")], data, "B+->K+ee", bins).counts[0]
    entry = data.channel("B+->K+ee")
    assert found.sum() == pytest.approx(entry.signal(entry.windows[0]), rel=1e-9)
    sharp = predict_channel([get_model("sm")], get_dataset("lhcb-run12"), "B+->K+ee", bins).counts[0]
    fig1 = [
        predict_channel([get_model("fig1-2.5gev")], d, "B+->K+ee", bins).counts[0]
        for d in (data, get_dataset("lhcb-run12"))
    ]
    np.testing.assert_allclose(fig1[0] / found, fig1[1] / sharp, rtol=1e-9)  # V couples to muons only


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "map.json"
    path.write_text(json.dumps(MAP))
    electrons = path.with_name("e.json")
    electrons.write_text(
        json.dumps({"kind": "histogram", "axes": ["q2"], "edges": [[0.0, 3.0, 25.0]], "values": [0.1, 0.3]})
    )
    return ToysCard(
        detector=DetectorTable(
            efficiency={"B0->K*0mumu": str(path), "e": str(electrons)}, resolution={"mu": 0.1, "e": 0.7}
        ),
        hypotheses=(Hypothesis(model="sm"), Hypothesis(model="fig1-2.5gev")),
        bins=(1.1, 2.5, 4.0, 6.0),
    )


def test_both_depths_agree_behind_a_detector(card):
    """Efficiency in q2 and angles, resolution: counts, R, P5' alike in mean, variance and correlation.

    Six standard errors on five quantities in three bins: a false alarm in 1e7. Binned toys that leave the migration, or
    the angles of the map, out do not agree.
    """
    n = 500
    card = card.model_copy(update={"fit": {}})
    binned = plan_toys(card).rows(0, 4000)
    events = plan_toys(card.model_copy(update={"depth": "events", "sample": 1})).rows(0, n)
    names = ("n_Bp_Kpee", "n_B0_Kst0mumu", "n_B0_Kst0ee", "R_Kst0", "P5p")
    all_alike(binned, events, names)
    assert np.nanmedian(binned["P5p_error"]) == pytest.approx(np.nanmedian(events["P5p_error"]), rel=0.02)
    assert stats.ks_2samp(binned["q_1"], events["q_1"]).pvalue > 1e-6
    together = [np.concatenate([rows[name] for name in names], axis=1).astype(float) for rows in (binned, events)]
    found = [np.corrcoef(x[np.isfinite(x).all(axis=1)].T) for x in together]
    assert np.max(np.abs(found[0] - found[1])) < 6 / np.sqrt(n)
    # bent: no migration of electrons; no efficiency over the angles
    for change in ({"resolution": {"mu": 0.1}}, {"efficiency": {"e": card.detector.efficiency["e"]}}):
        bent = card.model_copy(update={"detector": card.detector.model_copy(update=change)})
        rows = plan_toys(bent).rows(0, 4000)
        with pytest.raises(AssertionError):
            all_alike(rows, events, names)


def all_alike(one, two, names):
    for name in names:
        assert_alike(one[name], two[name], name)


def assert_alike(one, two, name):
    one, two = (x[np.isfinite(x).all(axis=1)].astype(float) for x in (one, two))
    error = np.sqrt(one.var(axis=0) / len(one) + two.var(axis=0) / len(two))
    assert np.all(np.abs(one.mean(axis=0) - two.mean(axis=0)) < 6 * error), name
    kurtosis = np.mean((one - one.mean(axis=0)) ** 4, axis=0) / one.var(axis=0) ** 2
    spread = np.sqrt((kurtosis - 1) * (1 / len(one) + 1 / len(two)))
    assert np.all(np.abs(two.var(axis=0) / one.var(axis=0) - 1) < 6 * spread), name


def test_a_toy_behind_a_detector_again_as_events(card):
    for depth in ("events", "binned"):
        run = plan_toys(card.model_copy(update={"depth": depth}))
        rows, sample = run.rows(7, 9), events_of_toy(run, 8)
        for name, values in run.rows(6, 10, threads=1).items():
            np.testing.assert_array_equal(values[1:3], rows[name], err_msg=name)
        mine = (np.asarray(sample["channel"]) == KSTAR.index) & (np.asarray(sample["accepted"]) == 1)
        reco = np.asarray(sample["q2_reco"])[mine]
        signal = rows["n_B0_Kst0mumu"][1] - sample.provenance["background"][KSTAR.name]
        np.testing.assert_array_equal(np.histogram(reco, card.bins)[0], signal)
        assert not np.array_equal(np.histogram(np.asarray(sample["q2"])[mine], card.bins)[0], signal)


def test_event_toys_draw_their_systematics():
    """Efficiency and norm of every toy's own: the spread of event toys is that of binned ones."""
    base = ToysCard(
        observables=("R_K+",),
        systematics="drawn",
        normalisation=0.1,
        efficiency_error=0.1,
        fit={},
        hypotheses=(Hypothesis(model="sm"),),
        bins=(1.1, 3.0, 6.0),
    )
    events = plan_toys(base.model_copy(update={"depth": "events", "sample": 1})).rows(0, 500)
    binned = plan_toys(base).rows(0, 4000)
    for name in ("n_Bp_Kpmumu", "n_Bp_Kpee", "R_Kp"):
        assert_alike(binned[name], events[name], name)
    fixed = plan_toys(ToysCard.model_validate({**base.model_dump(), "systematics": "none"})).rows(0, 4000)
    with pytest.raises(AssertionError):
        assert_alike(fixed["n_Bp_Kpmumu"], events["n_Bp_Kpmumu"], "")
    run = plan_toys(base.model_copy(update={"depth": "events", "sample": 1}))
    sample = events_of_toy(run, 3)
    mine = (np.asarray(sample["channel"]) == K.index) & (np.asarray(sample["accepted"]) == 1)
    counts = np.histogram(np.asarray(sample["q2_reco"])[mine], base.bins)[0]
    np.testing.assert_array_equal(events["n_Bp_Kpmumu"][3], counts + sample.provenance["background"][K.name])


def test_migration_of_a_simulated_file(tmp_path):
    """The matrix of a file that a Gaussian smeared gives what the Gaussian itself does, and its efficiency."""
    rng = np.random.default_rng(3)
    q2 = rng.uniform(0.05, 20.0, 400_000)
    columns = {
        "q2": q2,
        "q2_reco": q2 + 0.3 * rng.normal(size=q2.size),
        "channel": np.full(q2.size, K.index, np.int32),
        "accepted": (rng.uniform(size=q2.size) < 0.02 * q2).astype(np.int32),
        "weight": np.ones(q2.size),
        "event": np.arange(q2.size, dtype=np.uint64),
        "flavour": np.ones(q2.size, np.int32),
        "cos_theta_l": np.zeros(q2.size),
    }
    path = tmp_path / "simulated.root"
    n = len(q2)
    entry = {"name": K.name, "index": K.index, "columns": list(columns), "branching_fraction": 1e-7}
    entry |= {"events": n, "events_of_run": n, "expected_events_of_run": n}
    provenance = {"channels": [entry], "convention": "lhcb", "card": {}}
    with open_writer(path, {k: v.dtype for k, v in columns.items()}, provenance) as writer:
        writer.extend(columns)
    matrix, width = read_migration(K, path), GaussianSmearing(0.3)
    at = np.array([1.55, 3.05, 5.05])
    for low, high in ((1.1, 3.0), (3.0, 6.0)):
        np.testing.assert_allclose(
            matrix.probability(at, low, high), 0.02 * at * width.probability(at, low, high), atol=0.012
        )
    data = get_dataset("lhcb-run12")
    files = data.with_detector(DetectorTable(migration={K.name: str(path)}))
    bins = [(1.1, 2.5), (2.5, 4.0), (4.0, 6.0)]
    model = [get_model("fig1-2.5gev")]
    found = predict_channel(model, files, K.name, bins).counts[0]
    smeared = data.with_detector(DetectorTable(resolution={K.name: 0.3}))
    slope = np.array([0.02 * np.mean(b) for b in bins])
    guess = predict_channel(model, smeared, K.name, bins).counts[0] * slope
    np.testing.assert_allclose(found / found.sum(), guess / guess.sum(), rtol=0.04)
    with pytest.raises(InputError, match="no events of B0"):
        read_migration(KSTAR, path)
    with pytest.raises(InputError, match="leave the other out"):
        channel_detector(K, "", str(path), 0.1)


def test_uniform_numbers_of_events_do_not_depend_on_the_range():
    def uniforms(events, first, call):
        return event_uniforms(event_numbers(first, events), seed=5, stream=1 << 31, call=call)

    whole = uniforms(50, 7 << 32, 32)
    np.testing.assert_array_equal(uniforms(3, (7 << 32) + 10, 32), whole[:, 10:13])
    assert not np.array_equal(whole, uniforms(50, 7 << 32, 33))


def test_own_data_sets():
    own = {"luminosity": 2.0, "channels": {K.name: {"yield": 100.0, "q2": [1.0, 6.0]}}}
    run = plan_toys(
        ToysCard.model_validate(
            {
                "dataset": own,
                "observables": ["dBR_K+"],
                "fit": {},
                "hypotheses": [{"model": "sm"}],
                "truth": {"model": "sm"},
                "bins": [1.0, 6.0],
                "theory": False,
            }
        )
    )
    assert run.rows(0, 4000)["n_Bp_Kpmumu"].mean() == pytest.approx(100, abs=1)
    assert json.loads(json.dumps(run.provenance()))["dataset"]["channels"][K.name]["windows"][0]["yield"] == 100.0
    with pytest.raises(ValueError, match="no such channel"):
        Dataset.model_validate({"luminosity": 1.0, "channels": {"B->X": {"yield": 1.0, "q2": [1.0, 6.0]}}})


def test_refusals(card, tmp_path):
    likelihood = card.model_copy(update={"depth": "events", "likelihood": True})
    with pytest.raises(InputError, match="knows no efficiency"):
        plan_toys(likelihood)
    with pytest.raises(InputError, match="no such channel or lepton here; did you mean"):
        get_dataset("lhcb-run12").with_detector(DetectorTable(resolution={"mumu": 0.1}))
    with pytest.raises(InputError, match="no such file"):
        plan_toys(ToysCard(detector=DetectorTable(efficiency={"all": "nowhere.toml"})))
    momenta = tmp_path / "p.json"
    momenta.write_text(json.dumps({"kind": "histogram", "axes": ["k_px"], "edges": [[0, 1]], "values": [0.5]}))
    with pytest.raises(InputError, match="as the migration"):
        plan_toys(ToysCard(detector=DetectorTable(efficiency={"all": str(momenta)})))
    hole = tmp_path / "hole.json"
    hole.write_text(
        json.dumps({"kind": "histogram", "axes": ["cos_theta_l"], "edges": [[-1, 0.5, 1]], "values": [0.5, 0.0]})
    )
    with pytest.raises(InputError, match="no weight"):
        plan_toys(ToysCard(detector=DetectorTable(efficiency={KSTAR.name: str(hole)})))
    assert card.key() != card.model_copy(update={"detector": DetectorTable()}).key()


def test_perfect_detector_keeps_the_rate():
    q2 = np.array([2.0, 5.0])
    j = integrated_coefficients(K, [get_model("sm")], [(1.0, 2.0)])[0, 0]
    assert ChannelDetector(K).rates(q2)[:, 0] @ j == pytest.approx(decay_rate(j))
