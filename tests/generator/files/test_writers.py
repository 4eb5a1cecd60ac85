"""Files: types, provenance, whole or not at all, and read back by uproot, awkward, pyarrow and pandas."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import awkward
import numpy as np
import pyarrow.parquet
import pytest
import uproot
from darkpenguin.generator.files import writers
from darkpenguin.generator.files.sample import read_events
from darkpenguin.generator.files.writers import EventFile, EventWriter, file_format, open_writer
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.kinematics.base.files import check_target

SCHEMA = {
    "q2": np.dtype("f8"),
    "phi": np.dtype("f8"),
    "flavour": np.dtype("i4"),
    "channel": np.dtype("i4"),
    "event": np.dtype("u8"),
    "weight": np.dtype("f8"),
}
PROVENANCE = {"seed": 7, "text": "B⁰→K*⁰μμ", "list": [1, 2.5, None]}
KINDS = [("x.root", None), ("x.root", "rntuple"), ("x.parquet", None)]


def rows(start, stop):
    n = stop - start
    return {
        "q2": np.arange(start, stop) + 0.25,
        "phi": np.linspace(-3, 3, n),
        "flavour": np.where(np.arange(start, stop) % 2 == 0, 1, -1).astype(np.int32),
        "channel": np.full(n, 3, dtype=np.int32),
        "event": np.arange(start, stop, dtype=np.uint64) + np.uint64(1 << 40),
        "weight": np.ones(n),
    }


def write(path, format, pieces=((0, 700), (700, 1000)), **options):
    with open_writer(path, SCHEMA, PROVENANCE, format, **options) as writer:
        for start, stop in pieces:
            writer.extend(rows(start, stop))
    return path


@pytest.mark.parametrize(("name", "format"), KINDS)
@pytest.mark.parametrize("compression", writers.COMPRESSIONS)
def test_what_is_written_is_read_back(tmp_path, name, format, compression):
    path = write(tmp_path / name, format, compression=compression)
    sample = read_events(path)
    for column, expected in rows(0, 1000).items():
        np.testing.assert_array_equal(sample[column][:700], rows(0, 700)[column])
        assert sample[column].dtype == expected.dtype
    assert dict(sample.provenance) == PROVENANCE
    assert EventFile(path).kind == (format or file_format(path))
    assert os.listdir(tmp_path) == [name]


def test_root_types_are_those_that_rdataframe_reads_as_numbers(tmp_path):
    """int8 would be a character for ROOT; ROOT itself is not at hand, so the stored type names are what is checked."""
    with uproot.open(write(tmp_path / "t.root", "ttree")) as file:
        names = {branch.name: branch.interpretation.numpy_dtype.newbyteorder("=") for branch in file["events"].branches}
        assert names == SCHEMA
        titles = {branch.name: branch.typename for branch in file["events"].branches}
        assert titles["flavour"] == "int32_t"
        assert titles["event"] == "uint64_t"
        assert titles["q2"] == "double"
        assert json.loads(str(file["provenance"])) == PROVENANCE
        assert type(file["provenance"]).__name__.startswith("Model_TObjString")
        frame = file["events"].arrays(library="pd")
        assert len(frame) == 1000
    with uproot.open(write(tmp_path / "r.root", "rntuple")) as file:
        types = {name: file["events"][name].typename for name in file["events"].keys()}  # noqa: SIM118
        assert types["flavour"] == "std::int32_t"
        assert types["event"] == "std::uint64_t"
        assert types["q2"] == "double"
        assert isinstance(file["events"].arrays(), awkward.Array)


def test_parquet_is_readable_without_us(tmp_path):
    path = write(tmp_path / "x.parquet", None)
    table = pyarrow.parquet.read_table(path)
    assert table.num_rows == 1000
    assert json.loads(table.schema.metadata[b"darkpenguin"]) == PROVENANCE
    array = awkward.from_parquet(path)
    np.testing.assert_array_equal(awkward.to_numpy(array["event"][:5]), rows(0, 5)["event"])


@pytest.mark.parametrize(("name", "format"), KINDS)
def test_chunks_give_the_file_in_order(tmp_path, name, format):
    file = EventFile(write(tmp_path / name, format))
    events = np.concatenate([chunk["event"] for chunk in file.chunks(rows=333)])
    np.testing.assert_array_equal(events, rows(0, 1000)["event"])


def test_small_pieces_are_gathered(tmp_path, monkeypatch):
    """Many small baskets are slow to write and to read."""
    path = tmp_path / "x.parquet"
    write(path, None, pieces=[(i, i + 10) for i in range(0, 1000, 10)])
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 1


def test_pieces_do_not_share_memory_with_the_caller(tmp_path):
    path = tmp_path / "x.root"
    with open_writer(path, SCHEMA, PROVENANCE) as writer:
        columns = rows(0, 10)
        writer.extend(columns)
        columns["q2"][:] = -1
    np.testing.assert_array_equal(read_events(path)["q2"], rows(0, 10)["q2"])


def test_missing_angles_become_nan_and_strangers_are_refused(tmp_path):
    with open_writer(tmp_path / "x.root", SCHEMA, PROVENANCE) as writer:
        columns = rows(0, 5)
        del columns["phi"]
        writer.extend(columns)
        with pytest.raises(InputError, match="strange"):
            writer.extend({**rows(0, 5), "strange": np.zeros(5)})
        columns = rows(0, 5)
        del columns["flavour"]
        with pytest.raises(InputError, match="flavour"):
            writer.extend(columns)
    assert np.isnan(read_events(tmp_path / "x.root")["phi"]).all()


@pytest.mark.parametrize(("name", "format"), KINDS)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_interrupted_file_leaves_nothing(tmp_path, name, format, stop):
    with pytest.raises(stop), open_writer(tmp_path / name, SCHEMA, PROVENANCE, format) as writer:  # noqa: PT012
        writer.extend(rows(0, 500))
        assert not (tmp_path / name).exists()
        raise stop
    assert os.listdir(tmp_path) == []


def test_an_interrupted_overwrite_keeps_the_old_file(tmp_path):
    path = write(tmp_path / "x.root", None)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), open_writer(path, SCHEMA, PROVENANCE, overwrite=True):
        raise KeyboardInterrupt
    assert path.read_bytes() == before


def test_targets_are_checked_before_any_work(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no folder"):
        check_target(tmp_path / "missing" / "x.root")
    path = write(tmp_path / "x.root", None)
    with pytest.raises(InputError, match="overwrite"):
        check_target(path)
    assert check_target(path, overwrite=True) == path
    with pytest.raises(InputError, match="not a folder"):
        check_target(path / "y.root")
    with pytest.raises(InputError, match="is a folder"):
        check_target(tmp_path)
    with pytest.raises(InputError, match=r"56\.0 TB.* free"):
        check_target(tmp_path / "y.root", n_bytes=56_000_000_000_000)
    monkeypatch.setattr(writers.os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(InputError, match="not writable"):
        check_target(tmp_path / "y.root")


def test_endings_and_formats():
    assert file_format("a.root") == "ttree"
    assert file_format("a.root", "rntuple") == "rntuple"
    assert file_format("a.PARQUET") == "parquet"
    assert file_format("a.data", "parquet") == "parquet"
    for path, format in (("a.txt", None), ("a.root", "parquet"), ("a.parquet", "ttree"), ("a.root", "hdf5")):
        with pytest.raises(InputError):
            file_format(path, format)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "x.root"
    with pytest.raises(InputError, match="no such file"):
        EventFile(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="neither"):
        EventFile(path)
    with uproot.recreate(path) as file:
        file["other"] = {"x": np.zeros(3)}
    with pytest.raises(InputError, match="events"):
        EventFile(path)
    path.write_bytes(write(tmp_path / "y.root", None).read_bytes()[:2000])
    with pytest.raises(InputError):
        read_events(path)


def test_an_empty_file_is_a_file(tmp_path):
    for name, format in KINDS:
        sample = read_events(write(tmp_path / f"{format}{name}", format, pieces=()))
        assert len(sample) == 0
        assert sample.names == tuple(SCHEMA)


@pytest.mark.parametrize(("name", "format"), KINDS)
@pytest.mark.parametrize("step", ["extend", "close"])
def test_a_disk_that_fills_up_is_one_clear_error_and_leaves_nothing(tmp_path, monkeypatch, name, format, step):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="No space left"):  # noqa: PT012, SIM117
        with open_writer(tmp_path / name, SCHEMA, PROVENANCE, format) as writer:
            monkeypatch.setattr(writer._sink, step, full)
            writer.extend(rows(0, 500))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "format"), KINDS)
@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_disk_that_fails_while_a_file_is_made_is_that_error(tmp_path, monkeypatch, name, format, fails, threads):
    calls = []

    def failing(path):
        calls.append(path)
        if len(calls) == fails:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writers, "bring_to_disk", failing)
    with pytest.raises(InputError, match="Input/output error"):  # noqa: PT012
        kind = file_format(tmp_path / name, format)
        with EventWriter(tmp_path / name, kind, SCHEMA, PROVENANCE, rows_per_extend=100, threads=threads) as writer:
            for start in range(0, 5_000, 100):
                writer.extend(rows(start, start + 100))
    assert len(calls) >= fails
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that it forks")
def test_killed_at_random_moments(tmp_path):
    """Also for more of them: python tests/generator/files/kills.py 100."""
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run([sys.executable, str(script), "8"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for name, found in json.loads(done.stdout).items():
        assert found["damaged"] == found["not cleaned"] == 0, name
