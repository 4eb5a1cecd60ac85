"""What a file behind a detector is called, and what is corrected with the events that failed."""

import json

import numpy as np
import pytest
import uproot
from darkpenguin import read_events
from darkpenguin.generator.analysis.binning import bin
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.figures.bins import draw_bins
from darkpenguin.generator.files.sample import EventSample
from darkpenguin.generator.run.generate import run
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import get_channel
from typer.testing import CliRunner

BINS = [[1.1, 6.0], [15.0, 19.0]]
DETECTOR = {
    "model": "fig1-2.5gev",
    "beam": "lhcb-13tev",
    "resolution": "lhcb",
    "efficiency": {"maps": {"e": 0.3, "mu": 0.8}},
    "events": 20_000,
    "seed": 3,
}


def make(folder, name, **keywords):
    both = ["B0->K*0mumu", "B0->K*0ee"]
    return run(both, **{**DETECTOR, **keywords}, output=str(folder / f"{name}.root")).files[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make(tmp_path_factory.mktemp("seen"), "flag", selection=["lhcb", "pt(k) > 0.25"])


def values(found):
    return {(row.channel, row.observable, row.q2_min): row for row in found}


def test_accepted_events_are_called_so(path):
    """R of accepted events is twice the true one or more; table, figure and JSON say that it is not corrected."""
    found = bin(path, BINS)
    assert (found.state, found.variable) == ("accepted, not corrected", "q2_reco")
    assert found.to_dict()["state"] == found.state
    assert draw_bins(found, found.variable, found.state).axes[0].get_title(loc="left") == found.state
    table = CliRunner().invoke(app, ["bin", str(path), "--bins", "1.1,6"])
    assert "accepted, not corrected; bins of q2_reco" in " ".join(table.stdout.split())
    printed = CliRunner().invoke(app, ["bin", str(path), "--bins", "1.1,6", "--format", "json"])
    assert json.loads(printed.stdout)["state"] == "accepted, not corrected"
    csv = CliRunner().invoke(app, ["bin", str(path), "--bins", "1.1,6", "--format", "csv"])
    assert csv.stdout.startswith("channel,quantity")
    assert "accepted, not corrected" in csv.stderr


def test_unfolding_undoes_cuts_efficiency_and_migration(path):
    """R and yields of the true q2 exactly, by construction; angular observables within 5 errors (28 numbers: 2e-5)."""
    raw, found = values(bin(path, BINS)), values(bin(path, BINS, unfold=True))
    assert bin(path, BINS, unfold=True).state == "corrected for efficiency, cuts and migration by the file's own events"
    truth = uproot.open(path)["events"].arrays(["q2", "channel"], library="np")
    for name in ("B0->K*0mumu", "B0->K*0ee"):
        number = get_channel(name).index
        for low, high in BINS:
            inside = (truth["channel"] == number) & (truth["q2"] >= low) & (truth["q2"] < high)
            assert found[name, "yield", low].value == pytest.approx(np.count_nonzero(inside), rel=1e-9)
            assert found[name, "yield", low].error > 1.2 * np.sqrt(np.count_nonzero(inside))
    for low, _ in BINS:
        assert raw["R_K*0", "R_K*0", low].value > 1.5 * found["R_K*0", "R_K*0", low].value
        everything = {q: row for (c, q, at), row in found.items() if c == "B0->K*0mumu" and at == low and q != "yield"}
        exact = values(bin(make_truth(path), BINS, variable="q2"))
        for name in ("FL", "AFB", "S3", "S4", "S5", "P5p"):
            one, two = everything[name], exact["B0->K*0mumu", name, low]
            assert abs(one.value - two.value) < 5 * one.error, name


def make_truth(path):
    """The same events, all of them accepted."""
    sample = read_events(path)
    columns = {name: sample[name] for name in sample.names}
    return EventSample({**columns, "accepted": np.ones_like(columns["accepted"])}, sample.provenance)


def test_what_cannot_be_corrected_is_said(tmp_path):
    rejected = {"selection": {"cuts": "lhcb", "mode": "reject"}, "events": 3000}
    both = make(tmp_path, "both", **rejected)
    assert bin(both, BINS, unfold=True).state == "corrected for the efficiency, not for the cuts"
    cuts = make(tmp_path, "cuts", **rejected, efficiency=None)
    assert bin(cuts, BINS).state == "accepted, not corrected"
    with pytest.raises(InputError, match=r"without an efficiency; its cuts left events out: .* mode = flag"):
        bin(cuts, BINS, unfold=True)
    plain = make(tmp_path, "plain", events=3000, efficiency=None, resolution=None, beam=None)
    assert (bin(plain, BINS).state, bin(plain, BINS).variable) == ("as generated", "q2")


def test_invisible_pairs_have_bins_of_their_own(tmp_path):
    """Belle II's of reconstructed q2, and nothing of angles that nobody sees."""
    report = run("belle2", b_mesons=2e7, output=str(tmp_path / "b.root"))
    found = bin(report.files[0], "belle2")
    assert (found.variable, found.state) == ("q2_reco", "accepted, not corrected")
    kaons = [row for row in found if row.channel == "B+->K+nunu"]
    assert [(row.observable, row.q2_min, row.q2_max) for row in kaons] == [
        ("yield", -1.0, 4.0),
        ("yield", 4.0, 8.0),
        ("yield", 8.0, 25.0),
    ]
    assert {row.observable for row in found if row.channel == "B0->K*0nunu"} <= {"yield", "FL"}
