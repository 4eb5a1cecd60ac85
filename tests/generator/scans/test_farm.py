"""Plans of runs in parts; parts of toys, scans and weights; one result of their files, the same as of the whole."""

import json
import os

import numpy as np
import pytest
from darkpenguin import InputError, merge, plan, read_events, read_toys, run, scan, scan_part, toys, weigh
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.manifest import read_manifest
from darkpenguin.generator.files.verify import damages
from darkpenguin.generator.scans import scan as scans
from darkpenguin.generator.scans.parts import merge_scans
from typer.testing import CliRunner

EVENTS = {"channels": ["B0->K*0mumu", "B+->K+mumu"], "model": "fig2", "events": 301, "seed": 3}
TOYS = {"hypotheses": ["sm"], "observables": ["R_K+"], "bins": [1.1, 6.0], "fit": {}, "toys": 7, "theory": False}
SCAN = {
    "model": "fig2",
    "data": "2017",
    "theory": "none",
    "axes": [
        {"key": "light_vectors.0.mass", "min": 2.0, "max": 3.0, "points": 2},
        {"key": "light_vectors.0.g_mu_v", "min": 0.0, "max": 0.2, "points": 9},
    ],
}


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def same(one, other):
    assert list(one) == list(other)
    for name, column in one.items():
        assert np.asarray(column).tobytes() == np.asarray(other[name]).tobytes(), name


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def planned(here):
    """A plan of three parts, and the files of all of them."""
    (here / "card.toml").write_text(
        'channels = ["B0->K*0mumu", "B+->K+mumu"]\nmodel = "fig2"\nevents = 301\nseed = 3\noutput = "x.root"\n'
    )
    done = call("plan", "card.toml", "--parts", 3)
    assert done.exit_code == 0, done.output
    assert "602 events in 3 parts" in done.output
    for k in (1, 2, 3):
        run("card.toml", part=f"{k}/3")
    return here


def test_a_plan_says_what_each_part_makes_and_merge_holds_it_to_that(planned):
    data = json.loads((planned / "card.plan.json").read_text())
    assert [part["range"] for part in data["parts"]] == [[0, 200], [200, 401], [401, 602]]
    assert [part["files"] for part in data["parts"]] == [[f"x-{k}-of-3.root"] for k in (1, 2, 3)]
    assert call("merge", "--plan", "card.plan.json").exit_code == 0
    whole = run(EVENTS, output="whole.root").files[0]
    same(read_events("x.root").columns, read_events(whole).columns)
    assert damages("x.root") == []
    again = call("generate", "card.toml", "--part", "2/3")
    assert again.exit_code == 0
    assert "already there" in again.output


def test_what_is_not_as_planned_is_named(planned):
    def refused(words, *arguments):
        done = call("merge", "--plan", "card.plan.json", "-o", "y.root", *arguments)
        assert done.exit_code == 2
        assert words in done.output
        assert not os.path.exists("y.root")

    refused("x-1-of-3.root, x-3-of-3.root are missing", "x-2-of-3.root")
    refused("x-2-of-3.root is named twice", "x-1-of-3.root", "x-2-of-3.root", "./x-2-of-3.root", "x-3-of-3.root")
    refused("card.toml is not in the plan", "x-1-of-3.root", "card.toml")
    os.rename("x-1-of-3.root", "z.root")
    os.rename("x-2-of-3.root", "x-1-of-3.root")
    refused("x-2-of-3.root is missing; make it")
    os.rename("z.root", "x-2-of-3.root")
    refused("part 1/3 of the plan is [0, 200]")
    os.rename("x-2-of-3.root", "x-1-of-3.root")
    run({**EVENTS, "seed": 4}, output="x.root", part="2/3")
    refused("x-2-of-3.root': not of the run that was planned")
    assert call("merge", "--plan", "card.plan.json", "-o", "part.root", "--partial", "x-1-of-3.root").exit_code == 0
    text = (planned / "card.plan.json").read_text()
    (planned / "card.plan.json").write_text(text.replace("602", "603"))
    refused("was altered")


def test_what_is_missing_and_what_is_damaged_are_named_at_once(planned):
    damaged = planned / "x-1-of-3.root"
    content = bytearray(damaged.read_bytes())
    middle = content.find(b"TBasket") + 400  # numbers of the first column
    content[middle] ^= 1
    damaged.write_bytes(content)
    os.remove("x-3-of-3.root")
    with pytest.raises(InputError) as refused:
        merge(plan="card.plan.json")
    assert "files: x-3-of-3.root is missing; make it; file = 'x-1-of-3.root': damaged" in str(refused.value)
    assert "x-2-of-3" not in str(refused.value)


def test_files_that_hadd_joined_are_told(planned):
    """hadd keeps the provenance of one of them beside the events of all."""
    import uproot

    columns = [read_events(f"x-{k}-of-3.root").columns for k in (1, 2, 3)]
    with uproot.recreate("hadd.root") as file:
        file["provenance"] = str(uproot.open("x-1-of-3.root")["provenance"])
        file.mktree("events", {name: column.dtype for name, column in columns[0].items()})
        for part in columns:
            file["events"].extend(part)
    with pytest.raises(InputError, match="joined by hadd"):
        merge(["hadd.root"], "y.root")


@pytest.mark.parametrize("ending", ["root", "parquet"])
def test_toys_in_parts_are_the_toys(here, ending):
    whole = toys(TOYS, f"whole.{ending}")
    plan(TOYS, 3, f"t.{ending}").write("t.plan.json")
    made = [toys(TOYS, f"t.{ending}", part=f"{k}/3") for k in (3, 1, 2)]
    assert [part.toys for part in made] == [3, 2, 2]
    assert toys(TOYS, f"t.{ending}", part="2/3").made == 0
    joined = merge(plan="t.plan.json")
    same(read_toys(f"t.{ending}").columns, whole.columns)
    assert joined.provenance == whole.provenance
    assert toys(TOYS, f"t.{ending}").made == 0  # it is the file of the whole
    with pytest.raises(InputError, match="toys 2 to 3 are missing"):
        merge([made[0].path, made[1].path], "y.root")
    with pytest.raises(InputError, match="toys 0 to 1 are twice"):
        merge([made[1].path, made[1].path, *(part.path for part in made)], "y.root")
    other = toys({**TOYS, "seed": 2}, f"o.{ending}", part="1/3")
    with pytest.raises(InputError, match="of another run"):
        merge([made[0].path, made[2].path, other.path], "y.root")
    with pytest.raises(InputError, match="another part of the toys"):
        toys({**TOYS, "toys": 30}, f"t.{ending}", part="2/3")


def test_more_parts_than_toys(here):
    files = [toys({**TOYS, "toys": 2}, "t.root", part=(k, 3)).path for k in (1, 2, 3)]
    assert merge(files, "t.root").toys == 2


def test_a_scan_in_parts_is_the_scan(here, monkeypatch):
    monkeypatch.setattr(scans, "_BLOCK", 4)  # three blocks a mass
    plan(SCAN, 4).write("plan.json")
    assert read_manifest("plan.json").parts[1].range == (1, 3)
    files = [scan_part(SCAN, (k, 4))[0] for k in (2, 4, 1, 3)]
    assert scan_part(SCAN, (2, 4)) == (files[0], 0)
    joined, whole = merge_scans(files), scan(SCAN)
    same(joined.chi2, whole.chi2)
    assert joined.standard == whole.standard
    merge(plan="plan.json", output=here)
    assert (here / "scan-summary.json").exists()
    with pytest.raises(InputError, match="blocks of points 1 to 2 are missing"):
        merge_scans(files[1:])
    content = bytearray(files[1].read_bytes())
    content[-1] ^= 1
    files[1].write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        merge_scans(files)
    assert scan_part(SCAN, (4, 4))[1] > 0  # made again
    same(merge_scans(files).chi2, whole.chi2)
    with pytest.raises(InputError, match="of another scan"):
        scan_part({**SCAN, "groups": ["R_K"]}, (4, 4))


def test_weights_in_parts_are_the_weights(here):
    run(EVENTS, output="x.root")
    for k in (1, 2, 3):
        assert call("weigh", "x.root", "--to", "sm", "-o", "w.root", "--part", f"{k}/3").exit_code == 0
    assert "already there" in call("weigh", "x.root", "--to", "sm", "-o", "w.root", "--part", "2/3").output
    files = [f"w-{k}-of-3.root" for k in (1, 2, 3)]
    merge(files, "w.root")
    weigh("x.root", "sm", output="whole.root")
    same(read_events("w.root").columns, read_events("whole.root").columns)
    assert read_events("w.root").provenance["weights"] == read_events("whole.root").provenance["weights"]
    weigh("x.root", "fig1-2.5gev", output="w.root", part="2/3", overwrite=True)
    with pytest.raises(InputError, match="of another run"):
        merge(files, "y.root")
    parts = [run(EVENTS, output="p.root", part=f"{k}/2").files[0] for k in (1, 2)]
    same(weigh(parts, "sm").columns, {"weight_sm": read_events("whole.root")["weight_sm"]})


def test_the_commands_make_parts(here):
    (here / "t.toml").write_text('hypotheses = ["sm"]\nobservables = ["R_K+"]\ntoys = 4\ntheory = false\nfit = {}\n')
    for _ in range(2):
        done = call("toys", "t.toml", "--part", "2/2")
        assert done.exit_code == 0, done.output
    assert "already there" in done.output
    axis = 'key = "light_vectors.0.g_mu_v"\nmin = 0.0\nmax = 0.2\npoints = 9\n'
    (here / "s.toml").write_text(f'data = "2017"\ntheory = "none"\n[[axes]]\n{axis}')
    assert call("plan", "s.toml", "--parts", 1).exit_code == 0
    done = call("scan", "s.toml", "--part", "1/1")
    assert done.exit_code == 0, done.output
    assert "already there" in call("scan", "s.toml", "--part", "1/1").output
    assert "without points" in call("scan", "s.toml", "--part", "1/2").output
    assert call("merge", "--plan", "s.plan.json").exit_code == 0
    assert call("merge", "scan-1-of-1.chi2").exit_code == 2
    assert call("plan", "s.toml", "--parts", "0").exit_code == 2
    assert call("plan", "none.toml", "--parts", "3").exit_code == 2
