"""Damaged files are found: flipped bits, swapped pieces, other numbers, cut ends, at any place of the file."""

import itertools
import random

import numpy as np
import pytest
import uproot
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files import digests
from darkpenguin.generator.files.digests import ColumnDigests
from darkpenguin.generator.files.sample import EventSample, read_events
from darkpenguin.generator.files.verify import damages
from darkpenguin.kinematics.base.errors import InputError
from typer.testing import CliRunner

KINDS = [("x.root", "ttree"), ("x.root", "rntuple"), ("x.parquet", "parquet")]
PER_KIND = 80


def sample(rows=400):
    random = np.random.default_rng(1)
    columns = {name: random.normal(size=rows) for name in ("q2", "phi")}
    return EventSample({**columns, "event": np.arange(rows, dtype=np.uint64)}, {"seed": 7})


def damaged(content, number):
    """The content with one damage: mostly a flipped bit, at places that depend on the number."""
    draw = random.Random(number)
    place, kind = draw.randrange(len(content)), number % 5
    if kind == 0:  # a cut end
        return content[:place]
    if kind == 1:  # two pieces change places
        size = draw.choice([8, 512, 2048])
        first, second = sorted(draw.sample(range(0, len(content) - size, size), 2))
        one, other = content[first : first + size], content[second : second + size]
        return (
            content[:first] + other + content[first + size : second] + one + content[second + size :]
            if one != other
            else content[:-1]
        )
    if kind == 2:  # a sector of zeros, as after a power cut
        place = place // 512 * 512
        changed = content[:place] + bytes(min(512, len(content) - place)) + content[place + 512 :]
        return changed if changed != content else content + b"\0"
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


@pytest.mark.parametrize(("name", "format"), KINDS)
def test_every_damage_is_found(tmp_path, name, format):
    path = sample().write(tmp_path / name, format)
    content = path.read_bytes()
    assert damages(path) == []
    for number in range(PER_KIND):
        path.write_bytes(damaged(content, number))
        found = damages(path)
        assert found, f"{format}: damage {number} was not found"
        assert all(len(line.splitlines()) == 1 for line in found)


@pytest.mark.parametrize(("name", "format"), KINDS)
def test_without_the_digest_of_the_bytes_columns_are_still_held_to_theirs(tmp_path, monkeypatch, name, format):
    """As in a large file. A flipped bit is found, or read to the same events: nothing wrong is read silently."""
    monkeypatch.setattr(digests, "WHOLE_FILE", 0)
    path = sample(4000).write(tmp_path / name, format)  # most bytes are of columns
    assert damages(path) == []
    content, before = path.read_bytes(), read_events(path)
    found = 0
    for number in range(3, 100, 5):
        path.write_bytes(damaged(content, number))
        if damages(path):
            found += 1
            continue
        after = read_events(path)
        assert after.provenance == before.provenance
        for column in before.names:
            assert after[column].tobytes() == before[column].tobytes()
    assert found > 12


def test_swapped_rows_are_named(tmp_path, monkeypatch):
    """Baskets of another place in the file: each is whole, and only the digests know."""
    monkeypatch.setattr(digests, "ROWS", 100)
    monkeypatch.setattr("darkpenguin.generator.files.verify.ROWS", 100)
    path = sample().write(tmp_path / "x.root")
    with uproot.open(path) as file:
        texts = {name: str(file[name]) for name in ("provenance", "digests")}
        columns = file["events"].arrays(library="np")
    columns["phi"] = np.concatenate([columns["phi"][200:300], columns["phi"][100:200], columns["phi"][:100]])
    columns["phi"] = np.concatenate([columns["phi"], sample()["phi"][300:]])
    with uproot.recreate(path) as file:
        for name, text in texts.items():
            file[name] = text
        file.mktree("events", {name: column.dtype for name, column in columns.items()}).extend(columns)
    found = damages(path)
    assert "column phi: rows 0 to 99 are not what was written, and 1 more blocks" in found
    assert not any("q2" in line for line in found)


def test_pieces_of_any_length_give_the_same_digests(monkeypatch):
    monkeypatch.setattr(digests, "ROWS", 64)
    x = np.random.default_rng(1).normal(size=1000)
    found = []
    for size in (7, 64, 333, 1000):
        running = ColumnDigests(["x"])
        for start in range(0, 1000, size):
            running.update("x", x[start : start + size])
        found.append(running.finished()["x"])
    assert len(found[0]) == 16
    assert all(one == other for one, other in itertools.pairwise(found))


def test_the_command_tells_by_its_exit_code(tmp_path):
    path = sample().write(tmp_path / "x.root")
    call = CliRunner().invoke
    done = call(app, ["inspect", str(path), "--verify"])
    assert done.exit_code == 0
    assert done.output.strip() == f"{path}: as it was written"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    done = call(app, ["inspect", str(path), "--verify"])
    assert done.exit_code == 1
    assert "damaged: its bytes are not those that were written" in done.output
    assert call(app, ["inspect", str(tmp_path / "none.root"), "--verify"]).exit_code == 2
    with pytest.raises(InputError, match="no such file"):
        damages(tmp_path / "none.root")


def test_a_file_without_digests_is_said_to_have_none(tmp_path):
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file.mktree("events", {"q2": np.dtype("f8")}).extend({"q2": np.ones(3)})
    assert damages(path) is None
    assert "no digests" in CliRunner().invoke(app, ["inspect", str(path), "--verify"]).output
