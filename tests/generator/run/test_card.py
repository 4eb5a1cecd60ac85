"""The run card: what it accepts, what it refuses and how it says so."""

import math

import pytest
from darkpenguin.generator.run.card import builtin_cards, make_card, read_card
from darkpenguin.generator.run.q2 import VETOES, parse_range, parse_veto, parse_window
from darkpenguin.kinematics.base.checks import parse_count, parse_number
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.physics.channels import CHANNELS, file_word
from darkpenguin.physics.models import BENCHMARKS, Model

GOOD = {"channels": ["B0->K*0mumu"], "model": "sm", "events": 1000}


@pytest.mark.parametrize("name", sorted(builtin_cards()))
def test_built_in_cards_are_valid_and_survive_a_round_trip(name):
    card = make_card(read_card(name))
    assert make_card(card.for_provenance()) == card


def test_the_demo_is_what_the_readme_promises():
    card = make_card(read_card("demo"))
    assert set(card.channels) == {"B0->K*0mumu", "B0->K*0ee", "B+->K+mumu", "B+->K+ee"}
    assert card.model == BENCHMARKS["fig1-2.5gev"]
    assert card.b_mesons is not None  # so that muons and electrons come in the right ratio
    assert card.check


def test_defaults():
    card = make_card(GOOD)
    assert (card.flavour, card.convention, card.device, card.precision) == ("both", "lhcb", "auto", "float64")
    assert (card.q2, card.veto, card.range, card.poisson, card.overwrite) == ((), (), None, False, False)


def test_keywords_win_over_the_card():
    card = make_card({**GOOD, "b_mesons": None}, b_mesons=1e12, seed=5, q2="1.1,6", veto=["jpsi", "5,5.5"])
    assert card.events is None
    assert card.b_mesons == 1e12
    assert card.q2 == ((1.1, 6.0),)
    assert card.veto == (VETOES["jpsi"], (5.0, 5.5))
    assert make_card({"channels": "B0->K0ee", "b_mesons": 1e9}, events=7).b_mesons is None


def test_a_model_by_name_with_changes_or_as_a_table():
    card = make_card(GOOD, model="fig2", set=["light_vectors.0.mass=2.8"])
    assert card.model.light_vectors[0].mass == 2.8
    assert "mass=2.8" in card.model.name  # a changed benchmark does not go by the benchmark's name
    table = {"name": "mine", "heavy": {"C9_mu": "-1+0.5j"}, "light_vectors": [{"mass": 3.0, "width": 0.1}]}
    model = make_card(GOOD, model=table).model
    assert isinstance(model, Model)
    assert model.heavy.C9_mu == -1 + 0.5j
    again = make_card(make_card(GOOD, model=table).for_provenance()).model
    assert again == model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chanels": []}, ["chanels", "channels"]),
        ({"evnts": 5}, ["evnts", "events"]),
        ({"channels": ["B0->K*mumu"]}, ["B0->K*mumu", "B0->K*0mumu"]),
        ({"channels": []}, ["channels"]),
        ({"channels": ["B0->K0ee", "B0->K0ee"]}, ["twice"]),
        ({"model": "fig3"}, ["fig3", "fig2"]),
        ({"model": {"light_vectors": [{"mas": 2.0, "width": 1.0}]}}, ["light_vectors[0].mas", "mass"]),
        ({"model": {"light_vectors": [{"mass": 2.0, "width": -1.0}]}}, ["light_vectors[0].width", "-1"]),
        ({"model": {"light_vectors": [{"mass": math.nan, "width": 1.0}]}}, ["light_vectors[0].mass", "nan"]),
        ({"set": ["light_vectors.0.mas=1"], "model": "fig2"}, ["mas", "mass"]),
        ({"set": 3}, ["set = 3", "KEY=VALUE"]),
        ({"set": [3]}, ["set = [3]", "KEY=VALUE"]),
        ({"seed": True}, ["seed", "true or false"]),
        ({"threads": True}, ["threads", "true or false"]),
        ({"events": 0}, ["events", "0"]),
        ({"events": -5}, ["events", "-5"]),
        ({"events": 1.5}, ["events", "1.5", "whole"]),
        ({"events": math.nan}, ["events", "nan"]),
        ({"events": "many"}, ["events", "many"]),
        ({"events": True}, ["events", "True"]),
        ({"events": 1e30}, ["events", "1e+30"]),
        ({"events": None}, ["events", "b_mesons"]),
        ({"b_mesons": 1e9}, ["give one of the two"]),
        ({"events": None, "b_mesons": -1}, ["b_mesons", "-1"]),
        ({"events": None, "b_mesons": math.inf}, ["b_mesons", "inf"]),
        ({"q2": [6, 1.1]}, ["q2", "6,1.1", "empty"]),
        ({"q2": [3, 3]}, ["q2", "empty"]),
        ({"q2": [math.nan, 3]}, ["q2", "nan"]),
        ({"q2": 5}, ["q2"]),
        ({"veto": ["psi"]}, ["psi", "psi2s"]),
        ({"veto": [[9, 8]]}, ["veto", "9,8"]),
        ({"flavour": "B"}, ["flavour", "bbar"]),
        ({"convention": "belle"}, ["convention", "lhcb", "theory"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"seed": 2**64}, ["seed"]),
        ({"range": [10, 10]}, ["range", "START < STOP"]),
        ({"range": [-1, 10]}, ["range"]),
        ({"range": "a:b"}, ["range"]),
        ({"threads": 0}, ["threads", "0"]),
        ({"device": "tpu"}, ["device", "tpu", "cpu"]),
        ({"precision": "float16"}, ["precision", "float32"]),
        ({"output": "x.csv"}, ["x.csv", ".root"]),
        ({"output": "{name}.root"}, ["{channel}"]),
        ({"output": "x.root", "format": "parquet"}, ["parquet", ".root"]),
        ({"compression": "gzip", "output": "x.root"}, ["compression", "gzip", "zstd"]),
        ({"check": True}, ["output"]),
        ({"output": "x.root", "figures": ["r.svg"]}, ["r.svg", ".png"]),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named(change, words):
    with pytest.raises(InputError) as caught:
        make_card({**GOOD, **change})
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "\n" not in message
    assert "pydantic" not in message


def test_missing_channels():
    with pytest.raises(InputError, match="channels: missing"):
        make_card({"model": "sm", "events": 1})


def test_unreadable_cards(tmp_path):
    with pytest.raises(InputError, match="did you mean demo"):
        read_card("dmo")
    path = tmp_path / "bad.toml"
    path.write_text("channels = [")
    with pytest.raises(InputError, match="TOML"):
        read_card(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="TOML"):
        read_card(path)


def test_numbers_of_the_command_line():
    assert parse_count("1e6", "events") == 1_000_000
    assert parse_count("1_000", "events") == 1000
    assert parse_count(str(2**53 + 1), "events") == 2**53 + 1  # exact beyond the integers of a double
    assert parse_count(1e12, "events") == 10**12
    assert parse_number(" 2.5 ", "x") == 2.5
    assert parse_window("0, 6", "q2") == (0.0, 6.0)
    assert parse_veto("psi2s") == VETOES["psi2s"]
    assert parse_range("0:1e6") == (0, 1_000_000)
    assert parse_range([2**53 + 1, 2**53 + 3]) == (2**53 + 1, 2**53 + 3)


def test_file_names_of_channels_are_plain_and_different():
    words = [file_word(name) for name in CHANNELS]
    assert len(set(words)) == len(words)
    assert all(word.replace("_", "").isalnum() for word in words)


def test_one_file_or_one_a_channel():
    both = {**GOOD, "channels": ["B0->K*0mumu", "B0->K*0ee"]}
    assert make_card(both, output="x.root").files() == {"x.root": ("B0->K*0mumu", "B0->K*0ee")}
    files = make_card(both, output="x_{channel}.parquet").files()
    assert list(files.values()) == [("B0->K*0mumu",), ("B0->K*0ee",)]
    assert make_card(both).files() == {}
