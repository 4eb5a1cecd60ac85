"""Toy ntuples: both formats, extension, interruption, and what is refused."""

import json

import numpy as np
import pytest
import uproot
from darkpenguin.generator.toys import files as toy_files
from darkpenguin.generator.toys.files import read_ntuple, toys
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.generator.toys.run import ToysCard
from darkpenguin.kinematics.base.errors import InputError

CARD = ToysCard(
    observables=("R_K+", "P5p"),
    hypotheses=(Hypothesis(model="sm"), Hypothesis(model="heavy-c9")),
    bins=(1.1, 3.0, 6.0),
    toys=50,
)


def with_toys(n: int) -> ToysCard:
    return CARD.model_copy(update={"toys": n})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(toy_files, "CHUNK", 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("toys") / "whole.root"
    toys(with_toys(130), path)
    return read_ntuple(path)[0]


def assert_same(one, two):
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_extension_adds_what_is_missing(tmp_path, whole, suffix):
    path = tmp_path / f"toys{suffix}"
    first = toys(with_toys(50), path)
    assert (first.toys, first.made, first.interrupted) == (50, 50, False)
    report = toys(with_toys(130), path)
    assert (report.toys, report.made) == (130, 80)
    columns, provenance = read_ntuple(path)
    assert_same(columns, whole)
    assert provenance["toys"] == 130
    assert provenance["card"]["truth"]["model"] == "fig1-2.5gev"
    assert provenance["versions"]["numpy"]
    # fewer than there are: nothing happens
    assert toys(with_toys(10), path).made == 0
    assert len(read_ntuple(path)[0]["toy"]) == 130
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_other_tools_read_the_file(tmp_path):
    path = tmp_path / "toys.root"
    toys(CARD, path)
    with uproot.open(path) as file:
        tree = file["toys"]
        assert tree.num_entries == 50
        assert tree["R_Kp"].array(library="np").shape == (50, 2)
        assert json.loads(str(file["provenance"]))["what"] == "toys"


def test_interruption_keeps_the_finished_toys(tmp_path, whole):
    path = tmp_path / "toys.root"

    def stop_after_three(done, seen=[]):  # noqa: B006
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    report = toys(with_toys(130), path, progress=stop_after_three)
    assert report.interrupted
    assert report.toys == 60
    assert toys(with_toys(130), path).made == 70
    assert_same(read_ntuple(path)[0], whole)


def test_a_killed_run_is_taken_up(tmp_path, whole):
    path = tmp_path / "toys.root"

    def die(done):
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        toys(with_toys(130), path, progress=die)
    assert not path.exists()
    assert toys(with_toys(130), path).made == 110
    assert_same(read_ntuple(path)[0], whole)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "first gone"])
def test_damaged_parts_are_made_again_with_one_warning(tmp_path, whole, damage):
    path = tmp_path / "toys.root"
    seen = []

    def die_after_four(done):
        seen.append(done)
        if len(seen) == 4:
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        toys(with_toys(130), path, progress=die_after_four)
    parts = sorted((tmp_path / ".toys.root.pieces").glob("*.piece"))
    assert len(parts) == 4
    part = parts[0 if damage == "first gone" else 2]
    content = part.read_bytes()
    if damage == "flipped":
        part.write_bytes(content[:700] + bytes([content[700] ^ 4]) + content[701:])
    elif damage == "cut":
        part.write_bytes(content[:-100])
    else:
        part.unlink()
    with pytest.warns(RuntimeWarning, match="damaged or missing") as warned:
        made = toys(with_toys(130), path)
    assert len(warned) == 1
    assert made.made == 70
    assert made.toys == 130
    assert_same(read_ntuple(path)[0], whole)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_two_jobs_on_one_file(tmp_path):
    path = tmp_path / "toys.root"

    def second(done):
        with pytest.raises(InputError, match="is writing it"):
            toys(CARD, path)

    assert toys(CARD, path, progress=second).toys == 50


def test_parts_of_another_card_are_not_taken_up(tmp_path):
    path = tmp_path / "toys.root"

    def die(done):
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        toys(with_toys(130).model_copy(update={"seed": 9}), path, progress=die)
    assert toys(CARD, path).made == 50


def test_a_file_of_another_card_is_refused(tmp_path):
    path = tmp_path / "toys.root"
    toys(CARD, path)
    other = CARD.model_copy(update={"seed": 2})
    with pytest.raises(InputError, match="another card"):
        toys(other, path)
    assert toys(other, path, overwrite=True).made == 50


def test_a_file_whose_toys_come_out_differently_is_refused(tmp_path):
    path = tmp_path / "toys.parquet"
    toys(CARD, path)
    columns, provenance = read_ntuple(path)
    columns["R_Kp"] = columns["R_Kp"] * 1.001
    toy_files.write_toys(path, columns, provenance, overwrite=True)
    with pytest.raises(InputError, match="come out differently"):
        toys(with_toys(100), path)


def test_failures_are_counted(tmp_path):
    """A tiny luminosity: empty bins appear in the status column, and every toy is in the file."""
    path = tmp_path / "toys.root"
    tiny = CARD.model_copy(update={"luminosity": 0.01, "theory": False, "observables": ("R_K+",)})
    report = toys(tiny, path)
    columns, _ = read_ntuple(path)
    assert report.toys == 50 == len(columns["toy"])
    assert report.failures["R_Kp_status"] == np.sum(columns["R_Kp_status"] != 0) > 0
    assert not np.isnan(columns["R_Kp"]).any()


def test_bad_targets(tmp_path):
    with pytest.raises(InputError, match="names no format"):
        toys(CARD, tmp_path / "toys.csv")
    with pytest.raises(InputError, match="no folder"):
        toys(CARD, tmp_path / "missing" / "toys.root")
    with pytest.raises(InputError, match="no such file"):
        read_ntuple(tmp_path / "none.root")
    bad = tmp_path / "bad.root"
    bad.write_bytes(b"not a file")
    with pytest.raises(InputError, match="not a readable"):
        toys(CARD, bad)
    assert toys(CARD, bad, overwrite=True).toys == 50
