"""Files made before stay readable; one that says more than this version can read is refused in one line.

The files in ``data`` were made by commit c0fb66f, before the modules moved into rooms (a file of ROOT and one of toys):

    darkpenguin generate --channel 'B0->K*0mumu' --channel 'B0->K*0ee' --model fig2 --kpi swave --beam lhcb-13tev \
        --resolution lhcb --select lhcb --efficiency 0.5 --events 100 --seed 7 --output before-0.1.root
    darkpenguin toys --toys 5 --output toys-before-0.1.parquet
"""

import json
from pathlib import Path

import numpy as np
import pytest
import uproot
from darkpenguin import InputError, bin, read_events, read_toys, validate
from darkpenguin.generator.files.provenance import PROVENANCE_VERSION, parse_provenance
from darkpenguin.generator.files.writers import open_writer

DATA = Path(__file__).parent / "data"


def test_events_made_before_are_read_binned_and_validated():
    sample = read_events(DATA / "before-0.1.root")
    assert len(sample) == 200
    assert {"q2", "m_kpi", "q2_reco", "k_px", "accepted"} <= set(sample.names)
    assert sample.provenance["provenance_version"] == 1
    assert sample.provenance["card"]["selection"]["cuts"] == [["all", ["lhcb"]]]
    rows = bin(DATA / "before-0.1.root", [1.1, 6.0], variable="q2_reco")
    accepted = (sample["accepted"] == 1) & (sample["q2_reco"] >= 1.1) & (sample["q2_reco"] < 6.0)
    assert sum(row.value for row in rows if row.observable == "yield") == np.sum(accepted)
    assert validate(DATA / "before-0.1.root").passed


def test_toys_made_before_are_read():
    made = read_toys(DATA / "toys-before-0.1.parquet")
    assert made.toys == 5
    assert made.card.truth.title == "fig1-2.5gev"
    assert made.to_pandas().shape[0] == 5


@pytest.mark.parametrize("version", [PROVENANCE_VERSION + 1, "two"])
@pytest.mark.parametrize("ending", ["root", "parquet"])
def test_a_newer_layout_is_refused_in_one_line(tmp_path, version, ending):
    path = tmp_path / f"new.{ending}"
    said = {"provenance_version": version, "versions": {"darkpenguin": "9.9"}}
    with open_writer(path, {"q2": np.dtype("f8")}, said) as writer:
        writer.extend({"q2": np.array([1.0])})
    with pytest.raises(InputError, match=r"written by darkpenguin 9\.9") as caught:
        read_events(path)
    assert "\n" not in str(caught.value)
    assert "newer darkpenguin" in str(caught.value)


def test_newer_toys_are_refused(tmp_path):
    with uproot.recreate(tmp_path / "toys.root") as file:
        file["provenance"] = json.dumps({"provenance_version": PROVENANCE_VERSION + 1})
        file.mktree("toys", {"toy": np.dtype("i8")}).extend({"toy": np.arange(2)})
    with pytest.raises(InputError, match="install a newer darkpenguin"):
        read_toys(tmp_path / "toys.root")


def test_older_layouts_and_files_from_elsewhere_are_read():
    assert parse_provenance('{"seed": 7}', "x.root") == {"seed": 7}
    assert parse_provenance('{"provenance_version": 0}', "x.root") == {"provenance_version": 0}
    assert parse_provenance("made by hand", "x.root") == {"text": "made by hand"}
