"""What is compressed ahead, on several threads, is what uproot writes alone."""

import numpy as np
import pytest
import uproot
from darkpenguin.generator.files import sinks
from darkpenguin.generator.files.sample import read_events
from darkpenguin.generator.files.writers import EventWriter

N = 5000
RNG = np.random.default_rng(3)
PLACE = np.arange(N) % (N // 2)
COLUMNS = {
    "q2": RNG.random(N),
    "event": np.arange(N, dtype=np.uint64),
    "channel": np.full(N, 3, np.int32),
    "weight": np.ones(N),
    "half": np.where((PLACE < 20) | (PLACE > N // 2 - 20), 0.0, PLACE % 3),
    "other": np.where((PLACE < 20) | (PLACE > N // 2 - 20), 0.0, PLACE % 5),  # in each half its ends are the same
}
SCHEMA = {name: column.dtype for name, column in COLUMNS.items()}
CODECS = {"none": None, "lz4": uproot.LZ4(1), "zstd": uproot.ZSTD(1)}


def written(path, kind, compression, threads=4, pieces=2):
    with EventWriter(path, kind, SCHEMA, {}, compression, rows_per_extend=N // pieces, threads=threads) as writer:
        writer.extend(COLUMNS)
    return path


def alone(path, kind, compression):
    with uproot.recreate(path, compression=CODECS[compression]) as file:
        tree = (file.mktree if kind == "ttree" else file.mkrntuple)("events", SCHEMA)
        for start in (0, N // 2):
            tree.extend({name: column[start : start + N // 2] for name, column in COLUMNS.items()})
    return path


@pytest.mark.parametrize("compression", CODECS)
@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_the_columns_are_compressed_as_uproot_does(tmp_path, kind, compression):
    ours = written(tmp_path / "a.root", kind, compression)
    theirs = alone(tmp_path / "b.root", kind, compression)
    sample = read_events(ours)
    for name, column in COLUMNS.items():
        np.testing.assert_array_equal(sample[name], column)
    assert read_events(theirs)["other"].tolist() == COLUMNS["other"].tolist()
    with uproot.open(ours) as one, uproot.open(theirs) as two:
        if kind == "ttree":
            for name in COLUMNS:
                assert one["events"][name].compressed_bytes == two["events"][name].compressed_bytes
    assert ours.stat().st_size - theirs.stat().st_size < 3000  # provenance and digests


@pytest.mark.parametrize("kind", ["ttree", "rntuple", "parquet"])
def test_threads_change_no_column(tmp_path, kind):
    suffix = "parquet" if kind == "parquet" else "root"
    files = [written(tmp_path / f"{threads}.{suffix}", kind, "lz4", threads, pieces=10) for threads in (1, 3)]
    one, two = map(read_events, files)
    for name in COLUMNS:
        np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_nothing_is_compressed_twice_and_a_constant_once(tmp_path, monkeypatch, kind):
    made = []

    class Counting(sinks._Compressed):
        def __init__(self, anew):
            super().__init__(lambda block: made.append(bytes(block)) or anew(block))

    monkeypatch.setattr(sinks, "_Compressed", Counting)
    written(tmp_path / "x.root", kind, "lz4", threads=1)
    columns = [block for block in made if len(block) >= 4 * (N // 2)]
    # of two pieces: constants once, q2 and event twice, two columns with the same ends twice and by uproot again
    assert len(columns) == 2 + 2 * 2 + 2 * 2 * 2


def test_rows_of_a_caller_may_change_while_those_before_are_written(tmp_path):
    with EventWriter(tmp_path / "x.parquet", "parquet", {"x": np.dtype("f8")}, {}, rows_per_extend=100) as writer:
        column = np.empty(100)
        for number in range(20):
            column[:] = number
            writer.extend({"x": column})
    np.testing.assert_array_equal(read_events(tmp_path / "x.parquet")["x"], np.repeat(np.arange(20.0), 100))
