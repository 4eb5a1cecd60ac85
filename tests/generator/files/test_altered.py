"""Files that were altered, or are of another program: read, or refused in one line; never a traceback."""

import copy
import itertools
import json
import random
from pathlib import Path

import awkward
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import uproot
from darkpenguin import InputError, fit, generate, read_events, weigh
from darkpenguin.generator.analysis.binning import bin
from darkpenguin.generator.analysis.migration import migrations
from darkpenguin.generator.analysis.validate import validate
from darkpenguin.generator.commands.inspect_file import inspect_file
from darkpenguin.generator.files.hepmc import write_hepmc
from darkpenguin.generator.files.provenance import parse_provenance

ALTERATIONS = 150
GONE = object()
VALUES = (GONE, None, "x", "\x1b[31m[/x]", [1], {"a": 1}, float("nan"), -5, 1e300, 10**400, True)
READERS = {
    "inspect": lambda file, output: inspect_file(file),
    "read": lambda file, output: repr(read_events(file)),
    "bin": lambda file, output: bin(file, "1,6"),
    "unfold": lambda file, output: bin(file, "1,6", unfold=True),
    "migration": lambda file, output: migrations(file, "1,6"),
    "hepmc": lambda file, output: write_hepmc(file, output, overwrite=True),
}


@pytest.fixture(scope="module")
def known():
    sample = read_events(Path(__file__).parent / "data" / "before-0.1.root")
    return {name: column[::10] for name, column in sample.to_numpy().items()}, dict(sample.provenance)


def places(value, path=()):
    """Paths to everything in a provenance, the first two entries of long lists and tables of parameters."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys if len(keys) < 30 else list(keys)[:2]:
            yield from places(value[key], (*path, key))


def altered(value, path, new):
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def write(path, columns, provenance):
    """A Parquet file: quicker than ROOT, and read by the same code above its format."""
    arrays = {
        name: pyarrow.array(c) if c.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(c.ravel(), c.shape[1])
        for name, c in columns.items()
    }
    table = pyarrow.table(arrays).replace_schema_metadata({"darkpenguin": json.dumps(provenance)})
    pyarrow.parquet.write_table(table, path)


def outcome(reader, path):
    """Whether a file was read; if not, the message is short and names the file or a field."""
    try:
        READERS[reader](path, path.with_suffix(".hepmc"))
    except InputError as error:
        text = str(error)
        assert text.isprintable()
        assert len(text) <= 1200
        return False
    return True


def test_altered_provenances_are_read_or_refused(tmp_path, known):
    columns, provenance = known
    draw = random.Random(1)
    everything = list(itertools.product(places(provenance), VALUES))
    assert len(everything) > 2000
    outcomes = []
    for (place, new), reader in zip(draw.sample(everything, ALTERATIONS), itertools.cycle(READERS), strict=False):
        write(tmp_path / "x.parquet", columns, altered(provenance, place, new))
        try:
            outcomes.append(outcome(reader, tmp_path / "x.parquet"))
        except Exception as error:
            pytest.fail(f"{reader} of {place} = {new!r}: {error!r}")
    assert 20 < sum(outcomes) < ALTERATIONS - 20  # not all are harmless, nor all fatal


@pytest.mark.parametrize("place", [("channels", 0, "index"), ("channels", 0, "columns"), ("events",), ("range",)])
@pytest.mark.parametrize("new", [GONE, "x", None])
def test_validation_refuses_what_it_needs_and_does_not_find(tmp_path, known, place, new):
    columns, provenance = known
    write(tmp_path / "x.parquet", columns, altered(provenance, place, new))
    with pytest.raises(InputError, match=rf"file = .*{place[-1]}"):
        validate(tmp_path / "x.parquet")


def test_a_root_file_with_other_columns_is_refused(tmp_path):
    for change in (np.zeros((3, 2)), np.array(["a", "b", "c"]), [[1.0], [1.0, 2.0], []]):
        with uproot.recreate(tmp_path / "x.root") as file:
            file["events"] = {"q2": change if isinstance(change, np.ndarray) else awkward.Array(change)}
        with pytest.raises(InputError, match=r"x\.root.*(column q2 holds no numbers|unreadable)"):
            read_events(tmp_path / "x.root")


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 5000, '{"seed": ' + "9" * 5000 + "}", "ünïcode"])
def test_what_is_no_provenance_is_kept_as_text(text):
    assert parse_provenance(text, "x.parquet") == {"text": text}


def test_columns_that_are_gone_or_of_another_kind(tmp_path, known):
    columns, provenance = known
    for name, reader in itertools.product(("channel", "q2", "weight", "event", "k_px", "accepted"), READERS):
        for change in ("gone", "nan", "two numbers"):
            other = dict(columns)
            if change == "gone":
                del other[name]
            elif change == "nan":
                other[name] = np.where(np.arange(len(columns[name])) < 10, np.nan, columns[name].astype(np.float64))
            else:
                other[name] = np.stack([columns[name]] * 2, axis=1)
            write(tmp_path / "x.parquet", other, provenance)
            read = outcome(reader, tmp_path / "x.parquet")
            assert not (change == "two numbers" and read)
            if reader == "hepmc" and name == "k_px":
                assert not read, change  # a momentum that is not finite goes nowhere


@pytest.mark.parametrize("gone", ["q2", "phi", "cos_theta_l", "flavour", "channel"])
def test_what_a_density_needs_is_missed_by_name(tmp_path, gone):
    """Weights and fits, which evaluate the density of every event."""
    sample = generate("B0->K*0mumu", "fig2", events=20, q2=[(1.1, 6.0)])
    columns = {name: sample[name] for name in sample.names if name != gone}
    write(tmp_path / "x.parquet", columns, dict(sample.provenance))
    for read in (lambda path: weigh(path, "sm"), lambda path: fit(path, "example")):
        with pytest.raises(InputError, match=rf"x\.parquet': no column '?{gone}\b"):
            read(tmp_path / "x.parquet")
