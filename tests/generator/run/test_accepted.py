"""As many events as it takes until so many pass: the same whatever the chunks and threads."""

import json

import numpy as np
import pytest
from darkpenguin import InputError, generate, make_card, read_events, run
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.run import accepted, chunks
from darkpenguin.generator.run.accepted import events_to_try
from typer.testing import CliRunner

CARD = {"channels": ["B0->K*0mumu", "B+->K+ee"], "model": "fig2", "efficiency": {"maps": {"mu": 0.3, "e": 0.05}}}


@pytest.mark.parametrize("mode", ["flag", "reject"])
def test_so_many_pass_and_the_last_event_is_one_of_them(mode):
    sample = generate({**CARD, "efficiency": {**CARD["efficiency"], "mode": mode}}, accepted=700)
    entries = {entry["index"]: entry for entry in sample.provenance["channels"]}
    for index, entry in entries.items():
        rows = sample["channel"] == index
        passed = sample["accepted"][rows] != 0 if mode == "flag" else np.ones(rows.sum(), bool)
        assert passed.sum() == 700 == entry["accepted_of_run"]
        assert passed[-1]
        assert int(sample["event"][rows][-1]) == entry["first_event_of_run"] + entry["events_of_run"] - 1
        # the number tried has the mean 700/eps and the variance 700 (1 - eps)/eps^2; 6 sigma: false alarm 2e-9
        eps = 0.3 if "mumu" in entry["name"] else 0.05
        assert abs(entry["events_of_run"] - 700 / eps) < 6 * np.sqrt(700 * (1 - eps)) / eps


def test_neither_chunks_nor_threads_matter(monkeypatch):
    numbers = []
    for size, threads, first in ((1 << 12, 1, 1 << 16), (1 << 13, 2, 3000), (1 << 18, 1, 100)):
        monkeypatch.setattr(chunks, "chunk_size", lambda *_, size=size: size)
        monkeypatch.setattr("darkpenguin.generator.run.plan.chunk_size", lambda *_, size=size: size)
        monkeypatch.setattr(accepted, "_FIRST", first)
        sample = generate(CARD, accepted=5000, threads=threads)
        numbers.append([entry["events_of_run"] for entry in sample.provenance["channels"]])
    assert numbers[0] == numbers[1] == numbers[2]


def test_the_events_are_those_of_a_run_of_so_many(tmp_path):
    card = {**CARD, "channels": "B0->K*0mumu"}
    kept = read_events(run(card, accepted=300, output=f"{tmp_path}/x.root").files[0])
    tried = kept.provenance["channels"][0]["events_of_run"]
    plain = generate(card, events=tried)
    assert json.loads(json.dumps(dict(kept.provenance)))["card"]["accepted"] == 300
    for name in plain.names:
        np.testing.assert_array_equal(kept[name], plain[name])


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"accepted": 10, "events": 10}, "give one"),
        ({"accepted": 10, "b_mesons": 1e9}, "give one"),
        ({"accepted": 0}, "accepted = 0"),
        ({"accepted": 10, "efficiency": None}, "nothing is left out"),
        ({"accepted": 10, "efficiency": {"maps": 0.5, "mode": "weight"}}, "nothing is left out"),
        ({"accepted": 10, "part": "1/3"}, "part"),
        ({"accepted": 10, "range": "0:5"}, "range"),
        ({"accepted": 10, "poisson": True}, "poisson"),
    ],
)
def test_what_cannot_be_counted_is_refused(keys, match):
    with pytest.raises(InputError, match=match):
        make_card({**CARD, **keys})


def test_cuts_that_nothing_passes_end(monkeypatch):
    monkeypatch.setattr(accepted, "HOPELESS", 1 << 17)
    with pytest.raises(InputError, match=r"accepted = 5: none of .* B0->K\*0mumu passes"):
        generate("B0->K*0mumu", selection="q2 > 100", accepted=5)


def test_numbers_of_every_size():
    def chunks_of(start, stop):
        yield {"event": np.arange(start, stop), "accepted": np.arange(start, stop) % 7 == 3}

    for wanted in (1, 2, 1000, 123_456):
        assert events_to_try(wanted, chunks_of) == 7 * (wanted - 1) + 4


def test_the_table_says_how_many_passed_where_all_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "--channel", "B0->K*0mumu", "--model", "fig2", "--efficiency", "mu=0.3", "--accepted", "300"]
    shown = CliRunner().invoke(app, words).output
    rows = [line.split() for line in shown.splitlines()]
    assert next(row for row in rows if "channel" in row)[:3] == ["channel", "events", "accepted"]
    tried, passed = next(row for row in rows if row[:1] == ["B0->K*0mumu"])[1:3]
    assert int(tried.replace(",", "")) == len(read_events("events.root")) > 300
    assert passed == "300"
