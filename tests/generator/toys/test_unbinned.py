"""Unbinned fits of toys: in the file, from any part, the same; those that fail are there with their reason."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.toys.unbinned import STATUSES
from typer.testing import CliRunner

COUPLING = "light_vectors.0.g_bs"
FIT = {"model": "fig2", "search": False, "float": {COUPLING: (-6e-8, 6e-8)}}
LITTLE = 0.002
CARD = {
    "truth": "fig2",
    "hypotheses": ["sm"],
    "observables": ["dBR_K+"],
    "bins": [1.1, 8.0],
    "fit": {},
    "theory": False,
    "depth": "events",
    "luminosity": 0.5,
    "unbinned": FIT,
}


@pytest.fixture(scope="module")
def made():
    return dp.toys(CARD, toys=4)


def test_toys_find_what_is_true(made):
    columns = made.columns
    assert np.all(columns["unbinned_status"] == 0)
    assert np.all(columns["unbinned_g_bs_true"] == -1.5e-8)
    pulls = (columns["unbinned_g_bs"] + 1.5e-8) / columns["unbinned_g_bs_error"]
    assert np.all(np.abs(pulls) < 5.2)  # 1e-6 for four
    assert len(set(pulls)) == 4
    assert made.provenance["statuses"]["unbinned"][0] == "converged"


def test_a_toy_is_a_fit_of_its_events(made):
    sample = dp.events_of_toy(made.card, 2)
    keep = {name: sample[name] for name in ("q2", "cos_theta_l", "flavour", "channel")}
    entry = {"name": "B+->K+mumu", "index": int(sample["channel"][0])}
    told = {"card": {"channels": ["B+->K+mumu"], "events": len(sample), "q2": [[1.1, 8.0]]}, "channels": [entry]}
    alone = dp.fit(dp.EventSample(keep, told), FIT)
    assert alone[0].value == pytest.approx(made.columns["unbinned_g_bs"][2], rel=1e-6, abs=0)
    assert alone[0].error == pytest.approx(made.columns["unbinned_g_bs_error"][2], rel=1e-6, abs=0)


def test_parts_and_what_is_resumed_are_the_same(made, tmp_path):
    part = dp.toys(CARD, toys=4, part="2/2", threads=1)
    path = tmp_path / "toys.root"
    dp.toys(CARD, path, toys=2)
    grown = dp.toys(CARD, path, toys=4)
    assert grown.made == 2
    for name in ("unbinned_g_bs", "unbinned_g_bs_error", "unbinned_minimum"):
        assert part.columns[name] == pytest.approx(made.columns[name][2:], rel=1e-12, abs=0)
        assert dp.read_toys(path).columns[name] == pytest.approx(made.columns[name], rel=1e-12, abs=0)


def test_errors_of_toys_grow_with_charm(made):
    card = {**CARD, "unbinned": {**FIT, "nuisances": "charm"}}
    found = dp.toys(card, toys=2)
    assert np.all(found.columns["unbinned_status"] == 0)
    assert np.all(found.columns["unbinned_g_bs_error"] > 1.01 * made.columns["unbinned_g_bs_error"][:2])
    assert not [name for name in found.columns if "charm" in name]


@pytest.mark.parametrize("keys", [{"resolution": 0.05}, {"q2": [(2.0, 3.0)]}])
def test_toys_are_fitted_in_all_of_their_true_q2(keys):
    with pytest.raises(InputError, match="toys have the true q2"):
        dp.toys({**CARD, "unbinned": {**FIT, **keys}}, toys=1)


def test_a_fit_that_does_not_converge_is_there_with_its_reason(monkeypatch):
    monkeypatch.setattr("darkpenguin.generator.fits.fit.LONGEST", 1)
    found = dp.toys(CARD, toys=2)
    assert [STATUSES[i] for i in found.columns["unbinned_status"]] == ["too many calls"] * 2
    assert np.all(np.isfinite(found.columns["unbinned_g_bs"]))
    assert found.failures["unbinned_status"] == 2


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"depth": "binned"}, "depth = 'events'"),
        ({"unbinned": "nowhere.toml"}, "nowhere.toml"),
        ({"unbinned": {"model": "fig2"}}, "float"),
        ({"detector": {"resolution": {"mu": 0.1}}}, "the detector of"),
        ({"systematics": "drawn"}, "drawn systematics"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(keys, words):
    with pytest.raises(InputError, match=words):
        dp.toys({**CARD, **keys}, toys=1)


def test_the_command_fits_toys(tmp_path):
    card = tmp_path / "fit.toml"
    card.write_text(f'model = "fig2"\nsearch = false\n[float]\n"{COUPLING}" = [-6e-8, 6e-8]\n')
    toys = tmp_path / "toys.toml"
    toys.write_text(
        'truth = "fig2"\nhypotheses = ["sm"]\nobservables = ["dBR_K+"]\nbins = [1.1, 8.0]\nfit = {}\ntheory = false\n'
        'depth = "events"\nluminosity = 0.2\n'
    )
    words = ["toys", str(toys), "--fit", str(card), "--toys", "3", "-o", str(tmp_path / "x.parquet")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "unbinned g_bs" in done.output


def test_a_toy_without_events_is_there_and_stops_no_other():
    """The first ones too: of 12 toys with 0.6 events on average some have none, wherever a part begins."""
    made = dp.toys(CARD, toys=12, luminosity=LITTLE, seed=3)
    counts = np.array([len(dp.events_of_toy(made.card, toy)["q2"]) for toy in range(12)])
    empty = counts == 0
    assert 0 < empty.sum() < 12
    assert (made.columns["unbinned_status"][empty] == len(STATUSES) - 1).all()
    assert np.isnan(made.columns["unbinned_g_bs"][empty]).all()
    assert (made.columns["unbinned_status"][~empty] < len(STATUSES) - 1).all()
    begins = int(np.argmax(empty))
    part = dp.toys(CARD, toys=12, luminosity=LITTLE, seed=3, part=f"{begins + 1}/12")
    assert part.columns["unbinned_status"].tolist() == [len(STATUSES) - 1]
