"""A run in parts: the events of the whole, parts already there are known, and one file again in the end."""

import os

import numpy as np
import pytest
from darkpenguin import InputError, bin, read_events, run, validate
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.joined import EventFiles
from darkpenguin.generator.files.sample import open_events
from darkpenguin.generator.files.verify import damages
from darkpenguin.generator.scans.farm import merge
from typer.testing import CliRunner

PARTS = 5
CARD = {"channels": ["B0->K*0mumu", "B+->K+mumu"], "model": "fig2", "events": 501, "seed": 3}
SHORT = {"B0->K*0mumu": "B0_Kst0mumu", "B+->K+mumu": "Bp_Kpmumu"}


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    run(CARD, output=str(folder / "whole.root"))
    for k in range(1, PARTS + 1):
        run(CARD, part=f"{k}/{PARTS}", output=str(folder / "x.root"))
        run(CARD, part=f"{k}/{PARTS}", output=str(folder / "y_{channel}.root"))
    return folder


@pytest.fixture(scope="module")
def parts(folder):
    return [folder / f"x-{k}-of-{PARTS}.root" for k in range(1, PARTS + 1)]


def same(one, other):
    assert one.names == other.names
    for name in one.names:
        assert one[name].tobytes() == other[name].tobytes(), name


def test_parts_of_any_order_are_the_run(tmp_path, folder, parts):
    whole = read_events(folder / "whole.root")
    merged = merge([parts[i] for i in (3, 0, 4, 2, 1)], tmp_path / "x.root")
    assert merged.missing == []
    again = read_events(tmp_path / "x.root")
    same(again, whole)
    assert damages(tmp_path / "x.root") == []
    told = {**whole.provenance, "card": {k: v for k, v in whole.provenance["card"].items() if k != "output"}}
    assert {**again.provenance, "card": {k: v for k, v in again.provenance["card"].items() if k != "output"}} == told
    assert validate(tmp_path / "x.root").passed


def test_a_file_a_channel_and_part_too(tmp_path, folder):
    files = sorted(folder.glob("y_*.root"))
    assert len(files) == 2 * PARTS
    merge(files, tmp_path / "x.root")
    same(read_events(tmp_path / "x.root"), read_events(folder / "whole.root"))
    kaons = [file for file in files if SHORT["B+->K+mumu"] in file.name]
    merge(kaons, tmp_path / "k.root")
    assert len(read_events(tmp_path / "k.root")) == 501


def test_files_are_read_together_without_merging(folder, parts):
    whole, together = bin(folder / "whole.root", "1,6"), bin(parts[::-1], "1,6")
    assert [row.value for row in together] == pytest.approx([row.value for row in whole], rel=1e-12)
    assert validate(parts).passed
    assert validate(parts[1:4]).passed  # without a gap
    assert open_events(parts).rows == 1002
    assert [chunk["event"][0] for chunk in EventFiles(parts).chunks()] == [0, 200, 400, 601, 801]


def test_what_is_missing_or_twice_is_named(tmp_path, folder, parts):
    with pytest.raises(InputError, match=r"files: events 200 to 399 of B0->K\*0mumu are missing"):
        merge([parts[0], *parts[2:]], tmp_path / "x.root")
    with pytest.raises(InputError, match=r"files: events 601 to 800 of B\+->K\+mumu are twice"):
        merge([*parts, parts[3]], tmp_path / "x.root")
    with pytest.raises(InputError, match=r"events 801 to 1001 of the run are missing.*--partial"):
        merge(parts[:4], tmp_path / "x.root")
    assert os.listdir(tmp_path) == []
    assert merge(parts[:4], tmp_path / "x.root", partial=True).missing == ["events 801 to 1001 of the run"]
    assert validate(tmp_path / "x.root").passed
    other = run({**CARD, "seed": 4}, part=f"2/{PARTS}", output=str(tmp_path / "o.root")).files[0]
    with pytest.raises(InputError, match="of another run"):
        merge([parts[0], other, *parts[2:]], tmp_path / "z.root")


def test_a_damaged_part_is_not_merged(tmp_path, parts):
    files = [tmp_path / part.name for part in parts]
    for copy, part in zip(files, parts, strict=True):
        copy.write_bytes(part.read_bytes())
    content = bytearray(files[2].read_bytes())
    content[len(content) // 2] ^= 1
    files[2].write_bytes(content)
    with pytest.raises(InputError, match=r"file = .*x-3-of-5.root': damaged"):
        merge(files, tmp_path / "x.root")


def test_a_part_that_is_done_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ("generate", "--channel", "B+->K+mumu", "--events", 1000, "--part", "03/40", "-o", "x.root")
    assert call(*command).exit_code == 0
    assert os.listdir() == ["x-03-of-40.root"]
    assert len(read_events("x-03-of-40.root")) == 25
    before = os.stat("x-03-of-40.root")
    again = call(*command, "--threads", 1)
    assert again.exit_code == 0
    assert "already there" in again.output
    assert os.stat("x-03-of-40.root").st_ino == before.st_ino
    assert call(*command, "--seed", 5).exit_code == 2  # another run's
    content = bytearray((tmp_path / "x-03-of-40.root").read_bytes())
    content[-300] ^= 1  # in the digests; who cannot be read at all is nobody's part, and refused
    (tmp_path / "x-03-of-40.root").write_bytes(content)
    assert call(*command).exit_code == 0
    assert damages("x-03-of-40.root") == []


def test_more_parts_than_events(tmp_path):
    keys = {"channels": "B+->K+mumu", "events": 3, "output": str(tmp_path / "x.parquet")}
    files = [run(keys, part=f"{k}/7").files[0] for k in range(1, 8)]
    assert sorted(len(read_events(file)) for file in files) == [0, 0, 0, 0, 1, 1, 1]
    assert merge(files, tmp_path / "all.parquet").rows == 3
    assert np.array_equal(read_events(tmp_path / "all.parquet")["event"], [0, 1, 2])


@pytest.mark.parametrize("part", ["0/5", "6/5", "1", "1/2/3", "a/b", "1/2.5", "-1/5", "1/1e9"])
def test_what_is_no_part(part):
    done = call("generate", "--channel", "B+->K+mumu", "--events", 10, "--part", part)
    assert done.exit_code == 2
    assert "part = " in done.output


def test_commands_take_many_files(tmp_path, parts):
    assert call("validate", *parts).exit_code == 0
    assert call("bin", *parts, "--bins", "1,6").exit_code == 0
    done = call("merge", *parts, "-o", tmp_path / "x.parquet")
    assert done.exit_code == 0
    assert "1,002 events of 5 files" in done.output
    assert call("merge", *parts, "-o", tmp_path / "x.parquet").exit_code == 2
    assert call("merge", *parts[:3], "-o", tmp_path / "y.root").exit_code == 2


def test_a_file_is_made_again_from_itself(tmp_path, folder, parts):
    done = call("generate", folder / "whole.root", "-o", tmp_path / "again.root")
    assert done.exit_code == 0, done.output
    same(read_events(tmp_path / "again.root"), read_events(folder / "whole.root"))
    assert call("generate", parts[1], "--part", f"2/{PARTS}", "-o", tmp_path / "x.root").exit_code == 0
    same(read_events(tmp_path / parts[1].name), read_events(parts[1]))
    assert call("generate", tmp_path / "none.root").exit_code == 2
