"""Migration of q2: rows add up, and folding the truth gives back the reconstructed spectrum."""

import subprocess
import sys

import numpy as np
import pytest
import uproot
from darkpenguin import InputError, generate
from darkpenguin.generator.analysis.binning import bin
from darkpenguin.generator.analysis.migration import migrations
from darkpenguin.generator.files.writers import open_writer
from darkpenguin.physics.binning import parse_bins

BINS = ((1.1, 2.5), (2.5, 4.0), (4.0, 6.0), (7.0, 8.0))


@pytest.fixture(scope="module")
def smeared(tmp_path_factory):
    """A file with a q2 of 5 % resolution and an efficiency that falls with q2."""
    path = tmp_path_factory.mktemp("migration") / "x.root"
    sample = generate(["B0->K*0mumu", "B0->K*0ee"], events=50_000, seed=3)
    random = np.random.default_rng(4)
    columns = dict(sample.columns)
    columns["q2_reco"] = columns["q2"] * (1 + 0.05 * random.normal(size=len(sample)))
    columns["accepted"] = (random.random(len(sample)) < 0.9 - 0.02 * columns["q2"]).astype(np.int32)
    with open_writer(path, {n: c.dtype for n, c in columns.items()}, sample.provenance) as writer:
        writer.extend(columns)
    return path, columns


def test_folding_the_truth_gives_the_reconstructed_spectrum(smeared):
    path, columns = smeared
    for found in migrations(path, BINS):
        mine = columns["channel"] == {"B0->K*0mumu": 3, "B0->K*0ee": 13}[found.channel]
        kept = mine & (columns["accepted"] == 1)
        assert found.edges == (1.1, 2.5, 4.0, 6.0, 7.0, 8.0)
        edges = [-np.inf, *found.edges, np.inf]
        truth = np.histogram(columns["q2"][mine], edges)[0]
        np.testing.assert_array_equal(found.generated, truth)
        assert found.generated.sum() == 50_000
        assert found.counts.sum() == kept.sum()
        np.testing.assert_allclose(found.normalised.sum(axis=1), 1.0, rtol=1e-12)
        reconstructed = np.histogram(columns["q2_reco"][kept], edges)[0]
        np.testing.assert_allclose(found.fold(truth), reconstructed, rtol=1e-12)
        assert 0.5 < found.normalised[2, 2] < 0.99
        np.testing.assert_array_equal(found.variances, found.counts)


def test_folding_another_sample(smeared):
    """A sample of its own, folded: 7 intervals within 6 sigma of the statistics of both, false alarm 1.4e-8."""
    path, _ = smeared
    found = migrations(path, BINS)[0]
    other = generate("B0->K*0mumu", events=50_000, seed=5)["q2"]
    edges = [-np.inf, *found.edges, np.inf]
    reconstructed = found.counts.sum(axis=0)
    folded = found.fold(np.histogram(other, edges)[0])
    assert (np.abs(folded - reconstructed) < 6 * np.sqrt(folded + reconstructed)).all()


def test_reconstructed_bins(smeared):
    path, columns = smeared
    rows = bin(path, BINS, variable="q2_reco")
    row = next(row for row in rows if row.channel == "B0->K*0ee" and row.observable == "yield")
    mine = (columns["channel"] == 13) & (columns["accepted"] == 1)
    assert row.value == (mine & (columns["q2_reco"] >= 1.1) & (columns["q2_reco"] < 2.5)).sum()


def test_histograms_and_the_command(smeared, tmp_path):
    pytest.importorskip("hist")
    from darkpenguin.generator.commands.cli import app
    from typer.testing import CliRunner

    path, _ = smeared
    target = tmp_path / "m.root"
    result = CliRunner().invoke(
        app, ["bin", str(path), "--migration", "--bins", "1.1,6", "--format", "csv", "--output", str(target)]
    )
    assert result.exit_code == 0
    assert "B0->K*0mumu,1.1-6," in result.output
    found = migrations(path, parse_bins("1.1,6"))[0]
    with uproot.open(target) as file:
        np.testing.assert_array_equal(file["B0_Kst0mumu/migration"].values(flow=True), found.normalised)
        np.testing.assert_array_equal(file["B0_Kst0mumu/migration_counts"].variances(flow=True), found.counts)


def test_one_bin_and_nothing_accepted(smeared, tmp_path):
    _, columns = smeared
    nothing = {**columns, "accepted": np.zeros(len(columns["q2"]), dtype=np.int32)}
    sample = generate(["B0->K*0mumu", "B0->K*0ee"], events=1, seed=3)
    with open_writer(tmp_path / "x.root", {n: c.dtype for n, c in nothing.items()}, sample.provenance) as writer:
        writer.extend(nothing)
    [found, _] = migrations(tmp_path / "x.root", ((0.0, 25.0),))
    assert found.generated.tolist() == [0.0, 50_000.0, 0.0]
    assert not found.normalised.any()
    assert not found.efficiency.any()
    with pytest.raises(InputError, match="no column"):
        migrations(tmp_path / "x.root", BINS, variable="q2_seen")
    nothing["q2_reco"] = np.full(len(nothing["q2"]), np.nan)
    nothing["accepted"] = np.ones(len(nothing["q2"]), dtype=np.int32)
    with open_writer(tmp_path / "n.root", {n: c.dtype for n, c in nothing.items()}, sample.provenance) as writer:
        writer.extend(nothing)
    with pytest.raises(InputError, match="not a number"):
        migrations(tmp_path / "n.root", BINS)


def test_figures_show_what_is_binned(smeared, tmp_path):
    from darkpenguin.generator.figures.bins import draw_bins, draw_migrations

    path, _ = smeared
    rows = bin(path, BINS)
    drawn = {axis.get_ylabel(): axis for axis in draw_bins(rows).axes}
    assert set(drawn) >= {"$F_L$", "R", r"events / GeV$^2$"}
    points = [bars.lines[0].get_ydata() for bars in drawn["$F_L$"].containers]
    for name, values in zip(("B0->K*0mumu", "B0->K*0ee"), points, strict=True):
        np.testing.assert_array_equal(values, [r.value for r in rows if (r.channel, r.observable) == (name, "FL")])
    found = migrations(path, BINS)
    np.testing.assert_array_equal(draw_migrations(found).axes[1].images[0].get_array(), found[1].normalised.T)
    with pytest.raises(InputError, match="no bin has events"):
        draw_bins([])


def test_figures_on_the_command_line(smeared, tmp_path):
    command = [sys.executable, "-m", "darkpenguin.generator", "bin", str(smeared[0]), "--bins", "1.1,2.5,6", "--figure"]
    assert subprocess.run([*command, str(tmp_path / "x.gif")], capture_output=True).returncode == 2
    assert subprocess.run([*command, str(tmp_path / "x.png")], capture_output=True).returncode == 0
    assert (tmp_path / "x.png").stat().st_size > 10_000
