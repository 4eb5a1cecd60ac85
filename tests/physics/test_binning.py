"""Bins of q2: one reader of names, edges and pairs, for every command."""

import json

import numpy as np
import pytest
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.toys.run import ToysCard
from darkpenguin.generator.toys.sensitivity import SensitivityCard
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.binning import binnings, parse_bins, read_pairs, rising_bins
from darkpenguin.physics.channels import CHANNELS, get_channel
from darkpenguin.physics.observables import binned
from darkpenguin.physics.predict import predict
from typer.testing import CliRunner

PAIRS = ((1.1, 6.0), (14.3, 19.0))


def test_published_binnings():
    known = binnings()
    assert known["lhcb"].bins(get_channel("B0->K*0mumu"))[0] == (0.1, 0.98)
    assert known["lhcb-ratios"].bins(get_channel("B+->K+ee")) == ((0.1, 1.1), (1.1, 6.0))
    assert known["atlas"].bins(get_channel("B+->K+ee")) == ()
    assert {"lhcb", "cms", "atlas", "belle", "belle2"} <= set(known)
    modes = {f"{channel.parent}->{channel.hadron}" for channel in CHANNELS.values()} | {"all", "invisible"}
    assert known["belle2"].bins(get_channel("B+->K+nunu")) == ((-1.0, 4.0), (4.0, 8.0), (8.0, 25.0))
    assert known["belle2"].bins(get_channel("B+->K+mumu"))[0] == (1.0, 6.0)
    for binning in known.values():
        assert binning.source
        assert set(binning.modes) <= modes
        for bins in binning.modes.values():
            edges = np.ravel(bins)
            assert (np.diff(edges) >= 0).all()
            assert all(low < high for low, high in bins)


@pytest.mark.parametrize(
    "given",
    ["[1.1,6],[14.3,19]", "[[1.1, 6], [14.3, 19]]", [[1.1, 6], [14.3, 19]], PAIRS, np.array(PAIRS)],
    ids=str,
)
def test_pairs_as_text_and_as_lists(given):
    assert read_pairs(given) == PAIRS
    assert parse_bins(given).modes == {"all": PAIRS}


@pytest.mark.parametrize(
    "given", ["1.1,2,3", [1.1, 2, 3], (1.1, 2.0, 3.0), [[1.1, 2], [2, 3]], "[1.1,2],[2,3]"], ids=str
)
def test_edges_as_text_and_as_lists(given):
    assert read_pairs(given) == ((1.1, 2.0), (2.0, 3.0))
    assert rising_bins(given) == (1.1, 2.0, 3.0)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "1",
        "2,1",
        "a,b",
        "1,nan",
        "belle9",
        "[1,2",
        "[1,2],[3]",
        "[1,2,3],[4,5,6]",
        "-1,2",
        [],
        [1.0],
        [[2, 1]],
        [None],
        {},
    ],
    ids=str,
)
def test_anything_else_is_refused_with_the_way_out(given):
    with pytest.raises(InputError, match=r"bins = .*rising edges of q2 in GeV.2 from 0 up"):
        parse_bins(given)


def test_the_nearest_published_binning_is_named():
    with pytest.raises(InputError, match="did you mean lhcb"):
        parse_bins("lhbc")
    assert rising_bins(PAIRS) == PAIRS
    for bins in ([[1.1, 6], [5, 8]], [[14.3, 19], [1.1, 6]]):
        with pytest.raises(InputError, match="must rise and may not overlap"):
            rising_bins(bins)


def test_commands_take_the_same_bins(tmp_path):
    want = binned("R_K+", "sm", PAIRS)
    assert [row.value for row in predict("R_K+", "sm", bins="[1.1,6],[14.3,19]")] == want.tolist()
    rows = CliRunner().invoke(app, ["predict", "R_K+", "P5p", "--bins", "lhcb-ratios", "--format", "csv"]).stdout
    assert [line.split(",")[:3] for line in rows.splitlines()[1:3]] == [["R_K+", "0.1", "1.1"], ["R_K+", "1.1", "6"]]
    with pytest.raises(InputError, match="no bins for R_K"):
        predict("R_K+", bins="atlas")
    for card in (ToysCard, SensitivityCard):
        assert card(bins=PAIRS).bins == card(bins="[1.1,6],[14.3,19]").bins == PAIRS
        assert card(bins="1.1,2.5,6").bins == card(bins=[[1.1, 2.5], [2.5, 6]]).bins == (1.1, 2.5, 6.0)
        assert json.loads(card(bins="1.1,6").model_dump_json())["bins"] == [1.1, 6.0]
        with pytest.raises(ValueError, match="may not overlap"):
            card(bins=[[1.1, 6], [5, 8]])
    with pytest.raises(InputError, match=r"0.1 to 19 GeV.2 has the J/psi and the psi\(2S\) in it.*nonlocal"):
        predict("R_K+", bins=[[1.1, 6], [0.1, 19]])
    assert predict("R_K+", bins=[8.0, 10.0], theory={"nonlocal": "resonances"})[0].value > 0.9
