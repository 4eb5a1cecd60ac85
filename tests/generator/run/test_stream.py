"""A long run that was stopped goes on, and nobody can tell from its file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from darkpenguin import read_events, run
from darkpenguin.generator.files.verify import damages
from darkpenguin.generator.run import stream
from darkpenguin.generator.run.card import make_card
from darkpenguin.generator.run.generate import execute
from darkpenguin.generator.run.plan import plan_run

CARD = {"channels": ["B0->K*0mumu", "B+->K+mumu"], "model": "fig2", "events": 1000, "seed": 3}
CHAIN = {  # of interrupts.py
    "channels": ["B0->K*0mumu", "B+->K+mumu"],
    "events": 30_000,
    "beam": "lhcb-13tev",
    "selection": {"cuts": ["pt(lp) > 1"], "mode": "reject"},
    "seed": 3,
    "threads": 1,
}


@pytest.fixture
def whole(tmp_path_factory):
    return read_events(run(CARD, output=str(tmp_path_factory.mktemp("whole") / "x.root")).files[0])


def stopped(path, after, error=SystemExit, **keys):
    """A run that ends before its time, after so many chunks."""
    told = []

    def tell(events):
        told.append(events)
        if len(told) == after:
            raise error

    plan = plan_run(make_card({**CARD, **keys}, output=str(path)))
    if after is None:
        execute(plan, told.append, chunk=300)
    else:
        with pytest.raises(error):
            execute(plan, tell, chunk=300)
    return told


def same(path, whole):
    found = read_events(path)
    assert found.names == whole.names
    for name in whole.names:
        assert found[name].tobytes() == whole[name].tobytes(), name
    assert damages(path) == []
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["root", "parquet"])
def test_a_run_goes_on_from_its_last_whole_chunk(tmp_path, monkeypatch, whole, ending):
    monkeypatch.setattr(stream, "LONG", 1000)
    made = []
    maker = stream.make_chunks
    monkeypatch.setattr(stream, "make_chunks", lambda *a, **k: (made.extend(a[3]), maker(*a, **k))[1])
    path = tmp_path / f"x.{ending}"
    stopped(path, 3)
    assert not path.exists()
    stopped(path, 6, KeyboardInterrupt)
    assert stream.kept_events(plan_run(make_card(CARD, output=str(path)))) == 1600  # 300, 300, 300, 100, 300, 300
    made.clear()
    assert stopped(path, None) == [300, 300, 300, 100] * 2
    assert made == [(600, 900), (900, 1000)]
    same(path, whole)


def test_damaged_chunks_and_those_of_another_run_are_made_again(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(stream, "LONG", 1000)
    path = tmp_path / "x.root"
    stopped(path, 5, seed=4)
    stopped(path, 5)
    pieces = sorted((tmp_path / ".x.root.pieces").glob("*.piece"))
    content = bytearray(pieces[1].read_bytes())
    content[len(content) // 2] ^= 1
    pieces[1].write_bytes(content)
    pieces[3].unlink()
    pieces[4].write_bytes(pieces[4].read_bytes()[:100])
    stopped(path, None)
    same(path, whole)


def test_short_runs_keep_nothing(tmp_path):
    stopped(tmp_path / "x.root", 3)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_for_chunks_keeps_none(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "LONG", 1000)

    class Usage:
        free = 1_500_000  # enough for the file

    monkeypatch.setattr(stream.shutil, "disk_usage", lambda path: Usage)
    stopped(tmp_path / "x.root", 3, events=10_000)
    assert list(tmp_path.iterdir()) == []


SCRIPT = Path(__file__).with_name("interrupts.py")


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    """kill -9 in the middle, then here: what the disk has is taken up."""
    path = tmp_path / "x.root"
    killed = subprocess.run([sys.executable, SCRIPT, "make", path, "9", "8", "0"], check=False)
    assert killed.returncode == -9
    monkeypatch.setattr(stream, "LONG", 1)
    card = make_card(CHAIN, output=str(path))
    kept = stream.kept_events(plan_run(card))
    assert kept >= 28_000
    execute(plan_run(card), chunk=4_000)
    same(path, read_events(run(CHAIN, output=str(tmp_path.parent / "whole.root"), overwrite=True).files[0]))


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_as_it_should():
    """Also for more of them: python tests/generator/run/interrupts.py 100 KILL."""
    done = subprocess.run([sys.executable, SCRIPT, "3", "KILL"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["stops"] > 0
    assert {found[key] for key in ("different", "damaged", "left behind")} == {0}
