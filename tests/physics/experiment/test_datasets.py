"""Data sets: found by listing a folder or by a path, built on others, and refused with the key that is wrong."""

import os
import re

import numpy as np
import pytest
import yaml
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.experiment import datasets
from darkpenguin.physics.experiment.datasets import LIMITS, Limit, data_names, load_data

MINE = """\
title: today's, with mine
extends: current
theory: none
measurements:
  Mine:
    experiment: mine
    values:
    - {name: <Rmue>(B+->Kll), q2min: 1.1, q2max: 6.0, value: 0.9 +0.1 -0.2}
    - {name: P5p, q2min: 4.0, q2max: 6.0, value: -0.4 ± 0.1}
    correlation:
    - [1, 0.25]
    - [1]
  LHCb RK RK* 2022: null
limits:
  trident: {value: 0.9, error: 0.1, source: mine}
  br_bs_mumu: {from: '2017'}
"""


def written(folder, text=MINE, name="mine.yml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_ones_own_begins_with_another_set(tmp_path):
    mine, today = load_data(written(tmp_path)), load_data("current")
    assert (mine.name, mine.title, mine.theory, today.theory) == ("mine", "today's, with mine", "none", "correlated")
    names = [m.name for m in mine.measurements]
    assert names == [m.name for m in today.measurements if m.name != "LHCb RK RK* 2022"] + ["Mine"]
    own = mine.measurements[-1]
    assert [str(o) for o in own.observables] == ["R_K+(B+->K+mumu) [1.1, 6]", "P5p(B0->K*0mumu) [4, 6]"]
    # correlations make errors symmetric, sqrt(0.1 * 0.2); a covariance of 0.25 times both errors
    assert own.error_up[0] == own.error_down[0] == pytest.approx(np.sqrt(0.02))
    assert own.covariance[0, 1] == pytest.approx(0.25 * np.sqrt(0.02) * 0.1)
    assert mine.limit("trident").value == 0.9
    assert mine.limit("br_bs_mumu") == load_data("2017").limit("br_bs_mumu")
    assert mine.limit("delta_a_mu") == today.limit("delta_a_mu")


def test_a_file_in_the_folder_is_a_name(tmp_path, monkeypatch):
    for name in data_names():
        (tmp_path / f"{name}.yml").write_bytes((datasets.FOLDER / f"{name}.yml").read_bytes())
    written(tmp_path)
    monkeypatch.setattr(datasets, "FOLDER", tmp_path)
    assert data_names() == ("2017", "current", "mine")
    assert load_data("mine").measurements[-1].name == "Mine"


def test_every_entry_of_today_says_where_and_when_it_was_read():
    raw = {name: yaml.safe_load((datasets.FOLDER / f"{name}.yml").read_text("utf-8")) for name in ("2017", "current")}
    for section, source in (("limits", "source"), ("measurements", "arxiv"), ("curves", "source")):
        for name, entry in raw["current"][section].items():
            entry = raw[entry["from"]][section][name] if "from" in entry else entry
            assert entry[source], name
            assert re.fullmatch(r"2\d{3}-\d\d-\d\d", str(entry["read"])), name
    assert all(missing.arxiv and missing.why for missing in load_data("current").missing.values())


def test_a_file_that_changes_is_read_again(tmp_path):
    path = written(tmp_path)
    before = load_data(path)
    path.write_text(MINE.replace("0.9 +0.1 -0.2", "0.8 +0.1 -0.2"), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    after = load_data(path)
    assert (before.measurements[-1].central[0], after.measurements[-1].central[0]) == (0.9, 0.8)
    assert before.digest != after.digest
    assert load_data("current").digest == load_data("current").digest


@pytest.mark.parametrize("name", data_names())
def test_the_sets_of_the_package_are_whole(name):
    found = load_data(name)
    assert found.title
    assert found.date
    later = {"br_xs_inv", "br_xs_inv_k", "br_xs_inv_kstar", "delta_a_e", "gamma_z_ee"}
    assert set(found.limits) == set(LIMITS) - (later if name == "2017" else set())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("extends: current", "extends: curent"),
            "data = 'curent': no such data set, .*did you mean current",
        ),
        (("theory: none", "theory: some"), "mine.theory = 'some'"),
        (("theory: none", "teory: none"), "mine.teory: no such key; did you mean theory"),
        (("experiment: mine", "experimnt: mine"), r"mine.measurements.Mine.experimnt: no such key; did you mean"),
        (("name: P5p", "name: P5q"), "measurements.Mine: P5q: no such observable; did you mean P5p"),
        (("<Rmue>(B+->Kll)", "<Rmue>(B+->Kl)"), r"<Rmue>\(B\+->Kl\): no such decay; did you mean B\+->Kll"),
        (("<Rmue>(B+->Kll)", "<P6q>(B0->K*mumu)"), "no such observable; did you mean P6p"),
        (("q2min: 4.0", "q2min: 7.0"), "q2min = 7 must be below q2max = 6"),
        (("q2min: 4.0, q2max: 6.0, ", ""), "P5p: needs a bin"),
        (("-0.4 ± 0.1", "about three"), "measurements.Mine: value = 'about three': not a measurement"),
        (("[1, 0.25]", "[1, 0.25, 0.1]"), "measurements.Mine: correlation: needs 2 rows"),
        (("[1, 0.25]", "[1, 1.25]"), "measurements.Mine: correlation: no matrix of correlations"),
        (("trident: {value: 0.9, error: 0.1,", "trident: {value: 0.9,"), "give value and error, or upper and cl"),
        (("trident: {value: 0.9, error: 0.1,", "trident: {upper: 2, cl: 0.9,"), "trident: is an upper limit"),
        (("  trident:", "  tridnt:"), "mine.limits.tridnt: no such input of a constraint; did you mean trident"),
        (
            ("br_bs_mumu: {from: '2017'}", "br_bs_mu: {from: '2017'}"),
            "not in the data set 2017; did you mean br_bs_mumu",
        ),
        (("measurements:\n", "measurements: 3\nlimit:\n"), "mine.measurements: must be a table"),
        (("title: ", "title: ["), "cannot be read"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    assert change[0] in MINE
    with pytest.raises(InputError, match=message) as error:
        load_data(written(tmp_path, MINE.replace(*change)))
    assert "\n" not in str(error.value)


def test_names_and_paths_that_do_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"data = '2018': no such data set, nor a path .* did you mean 2017"):
        load_data("2018")
    with pytest.raises(InputError, match=r"data = '.*none.yml': no such file"):
        load_data(tmp_path / "none.yml")
    with pytest.raises(InputError, match="files are named after it"):
        load_data(written(tmp_path, name="my set.yml"))
    circle = written(tmp_path, "extends: b.yml", "a.yml")
    written(tmp_path, "extends: a.yml", "b.yml")
    with pytest.raises(InputError, match=r"takes entries from itself, by b\.yml"):
        load_data(circle)
    bare = load_data(written(tmp_path, "title: nothing"))
    with pytest.raises(InputError, match=r"no limits.trident in it; add it, or begin with `extends: current`"):
        bare.limit("trident")


def test_an_upper_limit_has_no_pull():
    with pytest.raises(ValueError, match="an upper limit where a measurement is needed"):
        Limit(source="x", upper=1.0, cl=0.9).pull(0.0)
