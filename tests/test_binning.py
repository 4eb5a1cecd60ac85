"""Binned quantities of generated events against the predictions; bent events must be noticed."""

import numpy as np
import pytest
from darkpenguin import InputError, get_channel, make_card, read_events, run
from darkpenguin.generator.binning import BINNINGS, bin_file, parse_bins
from darkpenguin.generator.writers import open_writer
from darkpenguin.physics.observables import binned

BINS = BINNINGS["lhcb"][1:4]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    path = tmp_path_factory.mktemp("binning") / "x.root"
    run(make_card(channels=["B0->K*0mumu", "B0->K*0ee", "B+->K+mumu", "B+->K+ee"], model="fig2", b_mesons=4e11,
                  q2=[(1.1, 6.0)], seed=12, output=str(path)))
    return path


def pulls(path, quantities=("S3", "S4", "S5", "AFB", "S7", "S8", "S9")):
    rows = [row for row in bin_file(path, BINS) if row.channel == "B0->K*0mumu" and row.quantity in quantities]
    assert len(rows) == len(quantities) * len(BINS)
    expected = {name: np.ravel(binned(name, "fig2", BINS)) for name in quantities}
    place = {low: i for i, (low, _) in enumerate(BINS)}
    return np.array([(row.value - expected[row.quantity][place[row.q2_min]]) / row.error for row in rows])


def test_angular_observables_are_the_predicted_ones(sample):
    """21 pulls below 5.5 sigma: false alarm 8e-7; their squares add up to about their number."""
    found = pulls(sample)
    assert np.abs(found).max() < 5.5
    assert 2.0 < (found**2).sum() < 75.0


def test_ratios_and_yields(sample):
    rows = bin_file(sample, BINS)
    for hadron in ("K*0", "K+"):
        expected = np.ravel(binned(f"R_{hadron}", "fig2", BINS))
        ours = [row for row in rows if row.quantity == f"R_{hadron}"]
        assert len(ours) == len(BINS)
        for row, value in zip(ours, expected, strict=True):
            assert abs(row.value - value) < 5 * row.error
            assert row.error < 0.05
    q2, channel = (read_events(sample)[name] for name in ("q2", "channel"))
    row = next(row for row in rows if row.channel == "B+->K+ee" and row.q2_min == 2.5)
    mine = channel == get_channel("B+->K+ee").index
    assert row.value == (mine & (q2 >= 2.5) & (q2 < 4.0)).sum()
    assert row.error == np.sqrt(row.value)


def test_bent_events_are_noticed(sample, tmp_path):
    events = read_events(sample)
    columns = {name: np.array(events[name]) for name in events.names}
    flip = np.random.default_rng(1).random(len(events)) < 0.1
    columns["cos_theta_l"][flip] *= -1
    with open_writer(tmp_path / "bent.root", {n: c.dtype for n, c in columns.items()}, events.provenance) as writer:
        writer.extend(columns)
    assert np.abs(pulls(tmp_path / "bent.root", ("S4", "AFB", "S8"))).max() > 7.0


def test_mistakes_are_named(sample, tmp_path):
    for text in ("1", "2,1", "a,b", "1,nan", "belle9"):
        with pytest.raises(InputError, match="rising edges"):
            parse_bins(text)
    run(make_card(channels="B0->K*0mumu", events=10, convention="theory", output=str(tmp_path / "t.root")))
    with pytest.raises(InputError, match="theory convention"):
        bin_file(tmp_path / "t.root", BINS)


def test_empty_bins_give_a_yield_of_nothing(sample):
    rows = bin_file(sample, ((7.0, 8.0),))
    assert {(row.quantity, row.value) for row in rows if row.channel == "B+->K+mumu"} == {("yield", 0.0)}
