"""Binned quantities of generated events against the predictions; bent events must be noticed."""

import numpy as np
import pytest
import uproot
from darkpenguin import InputError, get_channel, get_model, make_card, predict, read_events, run
from darkpenguin.generator.analysis.bin_sums import BinSums, angular_observables, sum_bins
from darkpenguin.generator.analysis.binning import bin, generated_ratios
from darkpenguin.generator.files.writers import open_writer
from darkpenguin.physics.angular import decay_rate
from darkpenguin.physics.binning import BinnedValue, binnings, parse_bins
from darkpenguin.physics.definitions import massless
from darkpenguin.physics.densities import VECTOR
from darkpenguin.physics.models import apply_settings
from darkpenguin.physics.moments import coefficients_from_moments
from darkpenguin.physics.observables import binned, integrate

BINS = ((1.1, 2.5), (2.5, 4.0), (4.0, 6.0))
DIRECT = ("S3", "S4", "S5", "AFB", "S7", "S8", "S9")
OPTIMISED = ("FL", "P1", "P2", "P3", "P4p", "P5p", "P6p", "P8p")
MAP = """
kind = "legendre"
axes = [["q2", 0.0, 20.0], "cos_theta_k", "cos_theta_l", "phi"]
terms = [[0, 0, 0, 0, 0.5], [1, 0, 0, 0, 0.1], [0, 0, 2, 0, -0.2], [0, 0, 0, 1, 0.15]]
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("binning") / "x.root"
    run(
        make_card(
            channels=["B0->K*0mumu", "B0->K*0ee", "B+->K+mumu", "B+->K+ee"],
            model="fig2",
            b_mesons=4e11,
            q2=[(1.1, 6.0)],
            seed=12,
            output=str(path),
        )
    )
    return path


def pulls(path, quantities=DIRECT, **keywords):
    rows = [row for row in bin(path, BINS, **keywords) if row.channel == "B0->K*0mumu" and row.observable in quantities]
    assert len(rows) == len(quantities) * len(BINS)
    expected = {name: np.ravel(binned(name, "fig2", BINS)) for name in quantities}
    place = {low: i for i, (low, _) in enumerate(BINS)}
    return np.array([(row.value - expected[row.observable][place[row.q2_min]]) / row.error for row in rows])


def write(path, columns, provenance):
    with open_writer(path, {n: c.dtype for n, c in columns.items()}, provenance) as writer:
        writer.extend(columns)
    return path


def test_a_sample_in_memory_is_binned_as_its_file_is(sample):
    """Values are sums of the same numbers in other pieces; rows join those of a prediction."""
    found, file = bin(read_events(sample), BINS), bin(sample, BINS)
    assert [(row.channel, row.observable, row.q2_min) for row in found] == [
        (row.channel, row.observable, row.q2_min) for row in file
    ]
    np.testing.assert_allclose([row.value for row in found], [row.value for row in file], rtol=1e-9, atol=1e-12)
    keys = ["channel", "observable", "q2_min", "q2_max"]
    both = file.to_pandas().merge(predict(["R_K*0", "S5"], "fig2", BINS).to_pandas(), on=keys, suffixes=("", "_exact"))
    assert len(both) == 2 * len(BINS)
    assert (abs(both.value - both.value_exact) < 5.5 * both.error).all()  # 2 x 3 pulls: false alarm 3e-7
    with pytest.raises(InputError, match="file = 'sample': no column q2_reco"):
        bin(read_events(sample), BINS, variable="q2_reco")


def test_angular_observables_are_the_predicted_ones(sample):
    """45 pulls below 5.7 sigma: false alarm 6e-7; the squares of the S_i add up to about their number."""
    found = pulls(sample)
    assert np.abs(found).max() < 5.7
    assert 2.0 < (found**2).sum() < 75.0
    # F_L and P_i are those of massless leptons: at 1.1 GeV^2 the muon's mass moves F_L by 4 m^2/q2 (1 - F_L) ~ 1 %
    assert np.abs(pulls(sample, OPTIMISED)).max() < 5.7


def test_ratios_and_yields(sample):
    rows = bin(sample, BINS)
    for hadron in ("K*0", "K+"):
        expected = np.ravel(binned(f"R_{hadron}", "fig2", BINS))
        ours = [row for row in rows if row.observable == f"R_{hadron}"]
        assert len(ours) == len(BINS)
        for row, value in zip(ours, expected, strict=True):
            assert abs(row.value - value) < 5 * row.error
            assert row.error < 0.05
    q2, channel = (read_events(sample)[name] for name in ("q2", "channel"))
    row = next(row for row in rows if row.channel == "B+->K+ee" and row.q2_min == 2.5)
    mine = channel == get_channel("B+->K+ee").index
    assert row.value == (mine & (q2 >= 2.5) & (q2 < 4.0)).sum()
    assert row.error == pytest.approx(np.sqrt(row.value), rel=1e-12, abs=0)


def test_bent_events_are_noticed(sample, tmp_path):
    events = read_events(sample)
    columns = {name: np.array(events[name]) for name in events.names}
    flip = np.random.default_rng(1).random(len(events)) < 0.1
    columns["cos_theta_l"][flip] *= -1
    write(tmp_path / "bent.root", columns, events.provenance)
    assert np.abs(pulls(tmp_path / "bent.root", ("S4", "AFB", "S8"))).max() > 7.0


def test_accepted_and_weight_count(sample, tmp_path):
    """Accept-reject and weights behind a map: equal yields to the binomial noise, and unfolding gives the truth.

    Two yields at 6 sigma and 2 x 21 pulls below 5.7: false alarm 6e-7.
    """
    (tmp_path / "map.toml").write_text(MAP)
    found = {}
    for mode in ("flag", "reject", "weight"):
        path = tmp_path / f"{mode}.root"
        run(
            make_card(
                channels="B0->K*0mumu",
                model="fig2",
                events=400_000,
                q2=[(1.1, 6.0)],
                seed=13,
                output=str(path),
                efficiency={"maps": str(tmp_path / "map.toml"), "mode": mode},
            )
        )
        found[mode] = {(row.observable, row.q2_min): row for row in bin(path, BINS)}
    assert found["flag"] == found["reject"]
    for low, _ in BINS:
        kept, folded = found["flag"]["yield", low], found["weight"]["yield", low]
        assert abs(kept.value - folded.value) < 6 * np.sqrt(folded.value)
        assert folded.error < kept.error
    assert np.abs(pulls(tmp_path / "reject.root")).max() > 7.0
    assert np.abs(pulls(tmp_path / "reject.root", unfold=True)).max() < 5.7
    assert np.abs(pulls(tmp_path / "weight.root", unfold=True)).max() < 5.7
    with pytest.raises(InputError, match="made without an efficiency"):
        bin(sample, BINS, unfold=True)
    (tmp_path / "map.toml").write_text(MAP + "outside = 0.1\n")
    with pytest.raises(InputError, match="has changed since"):
        bin(tmp_path / "reject.root", BINS, unfold=True)


def test_sums_add_up_and_errors_cover():
    """1000 sets of 400 weighted events of a known density: the pulls have unit width.

    The variance of 1000 pulls has the error sqrt(2/999) = 0.045; 0.3 is above 6 sigma (false alarm 2e-10 a quantity).
    """
    random = np.random.default_rng(5)
    toys, n = 1000, 400
    columns = [random.uniform(-top, top, toys * n) for top in (1.0, 1.0, np.pi)]
    weights = random.uniform(0.2, 2.0, toys * n)
    values = []
    for i in range(toys):
        part = slice(i * n, (i + 1) * n)
        sums = sum_bins("vector", np.ones(n), [c[part] for c in columns], weights[part], [(0.0, 2.0)])
        found = angular_observables(sums, 0, "vector", definition=massless)
        values.append([found.values[:8], found.errors[:8]])
    value, error = np.moveaxis(np.array(values), 1, 0)
    # flat angles: F_L = 1/3, everything else nothing
    pull = (value - np.array([1 / 3, 0, 0, 0, 0, 0, 0, 0])) / error
    assert np.abs(pull.mean(axis=0)).max() < 6 / np.sqrt(toys)
    assert np.abs(pull.var(axis=0) - 1).max() < 0.3
    half = sum_bins("vector", np.ones(n), [c[:n] for c in columns], weights[:n], [(0.0, 2.0)])
    rest = sum_bins("vector", np.ones(n), [c[n : 2 * n] for c in columns], weights[n : 2 * n], [(0.0, 2.0)])
    both = sum_bins("vector", np.ones(2 * n), [c[: 2 * n] for c in columns], weights[: 2 * n], [(0.0, 2.0)])
    for a, b in zip((half + rest).parts, both.parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_coefficients_come_from_the_gram_matrix():
    """Angles of the quadrature, weighted with a density of random coefficients, give these back."""
    j = np.random.default_rng(2).normal(size=12)
    *angles, w = VECTOR.angular_grid
    density = VECTOR.norm * (j @ VECTOR.basis(*angles)) * w
    sums = sum_bins("vector", np.ones(len(w)), angles, density, [(0.0, 2.0)])
    found = coefficients_from_moments(sums.f[0] / sums.weights[0])
    np.testing.assert_allclose(found, j / (np.array(VECTOR.rate) @ j), rtol=0, atol=1e-10)


def test_a_published_binning_gives_each_mode_its_own_bins(sample):
    rows = [row for row in bin(sample, binnings()["lhcb"]) if row.observable == "yield" and row.value > 0]
    assert {(r.q2_min, r.q2_max) for r in rows if r.channel == "B0->K*0ee"} == set(BINS)
    assert {(r.q2_min, r.q2_max) for r in rows if r.channel == "B+->K+ee"} == {
        (1.1, 2.0),
        (2.0, 3.0),
        (3.0, 4.0),
        (4.0, 5.0),
        (5.0, 6.0),
    }
    only_k = bin(sample, parse_bins("atlas"))
    assert {row.channel for row in only_k} == {"B0->K*0mumu", "B0->K*0ee", "R_K*0"}


def test_histograms_in_memory_and_in_a_root_file(sample, tmp_path):
    pytest.importorskip("hist")
    from darkpenguin.generator.analysis.histograms import histograms, write_histograms

    rows = bin(sample, ((1.1, 2.5), (4.0, 6.0)))
    made = histograms(rows)
    yields = made["B0->K*0mumu/yield"]
    expected = [row for row in rows if row.channel == "B0->K*0mumu" and row.observable == "yield"]
    assert yields.values().tolist() == [expected[0].value, 0.0, expected[1].value]
    assert yields.variances()[2] == pytest.approx(expected[1].error ** 2)
    target = write_histograms(tmp_path / "h.root", rows)
    with uproot.open(target) as file:
        back = file["B0_Kst0mumu/P5p"]
        p5 = [row for row in rows if row.channel == "B0->K*0mumu" and row.observable == "P5p"]
        assert back.values()[0] == p5[0].value
        assert back.errors()[2] == pytest.approx(p5[1].error)
        assert back.axis().edges().tolist() == [1.1, 2.5, 4.0, 6.0]
        assert "R_Kst0/R_Kst0" in file
    with pytest.raises(InputError, match="exists"):
        write_histograms(target, rows)
    with pytest.raises(InputError, match=r"\.root file"):
        write_histograms(tmp_path / "h.csv", rows)
    with pytest.raises(InputError, match="overlap"):
        histograms([BinnedValue("x", "y", 1.0, 3.0, 0.0, 0.0), BinnedValue("x", "y", 2.0, 4.0, 0.0, 0.0)])


def test_the_command(sample, tmp_path):
    from darkpenguin.generator.commands.cli import app
    from typer.testing import CliRunner

    pytest.importorskip("hist")
    result = CliRunner().invoke(
        app, ["bin", str(sample), "--binning", "1.1,6", "--format", "csv", "-o", str(tmp_path / "h.root")]
    )
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "channel,quantity,q2_min,q2_max,value,error"
    assert any(line.startswith("R_K+,R_K+,1.1,6,") for line in lines)
    assert (tmp_path / "h.root").is_file()
    assert CliRunner().invoke(app, ["bin", str(sample), "--format", "xml"]).exit_code == 2


def test_r_of_generated_events_is_r_of_the_file(sample):
    """Without efficiency and weights every event counts as one: the same numbers, of one file and of its two copies."""
    edges = [1.1, 2.5, 6.0]
    binned = [row for row in bin(sample, edges) if row.observable.startswith("R_")]
    assert generated_ratios([sample], edges) == binned
    assert len(binned) == 4
    twice = generated_ratios([sample, sample], edges)
    assert [row.value for row in twice] == pytest.approx([row.value for row in binned])
    assert [row.error for row in twice] == pytest.approx([row.error / np.sqrt(2) for row in binned])


def test_mistakes_are_named(sample, tmp_path):
    run(make_card(channels="B0->K*0mumu", events=10, convention="theory", output=str(tmp_path / "t.root")))
    with pytest.raises(InputError, match="theory convention"):
        bin(tmp_path / "t.root", BINS)
    with pytest.raises(InputError, match="no column q2_reco"):
        bin(sample, BINS, variable="q2_reco")
    run(make_card(channels="B+->K+mumu", events=10, output=str(tmp_path / "k.root")))
    with pytest.raises(InputError, match="no bins for"):
        bin(tmp_path / "k.root", parse_bins("atlas"))
    events = read_events(sample)
    columns = {name: np.array(events[name]) for name in events.names}
    columns["phi"][events["channel"] == get_channel("B0->K*0mumu").index] = np.nan
    with pytest.raises(InputError, match="an angle of B0->K\\*0mumu is not a number"):
        bin(write(tmp_path / "nan.root", columns, events.provenance), BINS)
    columns["weight"][0] = np.inf
    with pytest.raises(InputError, match="weight"):
        bin(write(tmp_path / "inf.root", columns, events.provenance), BINS)


def test_empty_bins_give_a_yield_of_nothing(sample):
    rows = bin(sample, ((7.0, 8.0),))
    assert {(row.observable, row.value) for row in rows if row.channel == "B+->K+mumu"} == {("yield", 0.0)}
    assert angular_observables(BinSums.zeros(1, 12), 0, "vector") is None


def test_s_wave_files_have_s_wave_observables(tmp_path):
    """F_S and A_S of a file against quadrature, 5 standard errors (1e-6 for both)."""
    from darkpenguin.physics.angular import quadrature
    from darkpenguin.physics.kpi import KpiDecay, resolve_kpi, s_wave_fraction

    for kpi in ("swave", "pwave"):
        run(
            make_card(
                channels="B0->K*0ee",
                events=100_000,
                seed=4,
                kpi=kpi,
                q2=[[2.0, 4.0]],
                output=str(tmp_path / f"{kpi}.root"),
            )
        )
    assert "FS" not in {row.observable for row in bin(tmp_path / "pwave.root", [(2.0, 4.0)])}
    found = {row.observable: row for row in bin(tmp_path / "swave.root", [(2.0, 4.0)])}
    decay = KpiDecay(get_channel("B0->K*0ee"), get_model("sm"), resolve_kpi("swave"))
    q2, weights = quadrature(decay.breakpoints(), 2.0, 4.0)
    total = sum(decay.spectrum(q2, flavour) @ weights for flavour in (1, -1))
    rate = np.array([1.5, 0.75, -0.5, -0.25, *[0.0] * 15]) @ total
    exact = {"FS": s_wave_fraction(decay, (2.0, 4.0)), "AS": 2.25 * (total[12] - total[13] / 3) / rate}
    for name, value in exact.items():
        assert abs(found[name].value - value) < 5 * found[name].error
    assert exact["AS"] > 10 * found["AS"].error


def test_an_untagged_mode_has_averages_and_asymmetries(tmp_path):
    """S_i, A_i and R of B_s -> phi l l with a complex g_bs, 24 pulls below 5.5 sigma: false alarm 1e-6.

    Read as a self-tagging mode's, the A_i would be S_i: S_5 is off by 50 errors and more.
    """
    bins, model = ((1.1, 4.0), (4.0, 6.0), (6.0, 8.0)), ["light_vectors.0.g_bs=-1.2e-8+1.2e-8j"]
    path = tmp_path / "x.root"
    card = {"channels": ["Bs->phimumu", "Bs->phiee"], "model": "fig2", "set": model, "q2": [(1.1, 8.0)], "seed": 8}
    run(make_card(**card, b_mesons=3e12, output=str(path)))
    assert "width difference" in read_events(path).provenance["channels"][0]["remark"]
    changed = apply_settings(get_model("fig2"), model)
    rows = bin(path, bins)
    muons = [row.observable for row in rows if (row.channel, row.q2_min) == ("Bs->phimumu", 1.1)]
    assert muons == ["yield", "FL", "S3", "S4", "S7", "A5", "A6s", "A8", "A9", "P1", "P4p", "P6p"]
    found = {(row.observable, row.q2_min): row for row in rows if row.channel in ("Bs->phimumu", "R_phi")}

    def pulls(name, expected):
        errors = [found[name, low].error for low, _ in bins]
        return (np.array([found[name, low].value for low, _ in bins]) - expected) / errors

    for name in ("S3", "S4", "S7", "A5", "A6s", "A8", "A9", "R_phi"):
        expected = np.ravel(binned(name, changed, bins, None if name == "R_phi" else "Bs->phimumu"))
        assert np.abs(pulls(name, expected)).max() < 5.5, name
        if name in ("A5", "A8"):  # not zero, and of the sign that is said
            assert np.abs(pulls(name, -expected)).max() > 10, name
    sums = [np.add(*integrate(get_channel("Bs->phimumu"), [changed], *edges))[:, 0] for edges in bins]
    assert np.abs(pulls("A5", [j[6] / decay_rate(j) for j in sums])).max() > 50
