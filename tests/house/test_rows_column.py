"""A stage with a column is one row: an entry of the table of stages, and all that reads or writes events knows it.

The toy stage writes down when the B decayed: an exponential with the B's lifetime, from a random call of its own.
"""

import subprocess
import sys
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path

import numpy as np
import pytest
from darkpenguin import InputError, generate, make_card, read_events, run, validate
from darkpenguin.generator.analysis.binning import bin
from darkpenguin.generator.analysis.histograms import histograms
from darkpenguin.generator.commands.inspect_file import inspect_file
from darkpenguin.generator.commands.stage_options import stage_parameters, stage_tables
from darkpenguin.generator.files.columns import columns
from darkpenguin.generator.files.writers import EventFile
from darkpenguin.generator.lab import table
from darkpenguin.generator.lab.settings import StageSettings
from darkpenguin.generator.lab.stages import Option, Stage
from darkpenguin.generator.run.card import builtin_cards, card_keys
from darkpenguin.generator.run.plan import plan_run
from darkpenguin.generator.sampler.calls import EVENTS, Calls
from darkpenguin.generator.sampler.columns import Column
from darkpenguin.kinematics.base.arrays import array_module
from pydantic import Field
from scipy.stats import kstest

CHANNEL = "B0->K*0mumu"


class DecayTimeSettings(StageSettings):
    """Table ``decay_time``."""

    lifetime: float = Field(default=1.517, gt=0.0)
    """Of the B, in ps: the mean for B0 in the Review of Particle Physics 2024."""


@dataclass(frozen=True, eq=False)
class DecayTimeStage(Stage):
    """When a charged or neutral B decays; B -> K has none here, to see what becomes of a channel without the column."""

    key = "decay_time"
    reads = DecayTimeSettings
    options = (Option("--lifetime", "Lifetime of the B in ps, for a column decay_time.", "lifetime", "PS"),)
    columns = (Column("decay_time", "ps", "proper time of the decay", has=lambda channel: channel.spin == 1),)
    calls = (Calls("decay time", (EVENTS,), 64, 1),)
    settings: DecayTimeSettings

    def apply(self, columns, place):
        if not self.makes(place.channel):
            return dict(columns)
        library, precision = array_module(columns["q2"]), columns["q2"].dtype
        u = place.uniforms(columns["event"], self.calls[0].first)
        return {**columns, "decay_time": library.asarray(-self.settings.lifetime * np.log(u), dtype=precision)}


@pytest.fixture
def row(monkeypatch):
    """The one entry, before the cuts."""
    first, *others = table.STAGES
    monkeypatch.setattr(table, "STAGES", (first, DecayTimeStage, *others))


@pytest.fixture
def file(row, tmp_path):
    """20,000 events of two channels, one of them without the column."""
    card = make_card(
        channels=["B+->K+mumu", CHANNEL], events=10_000, seed=4, decay_time={}, output=str(tmp_path / "x.root")
    )
    run(card)
    return card.output


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_its_values_are_the_events_own_in_any_part(row, precision):
    keywords = {"channels": CHANNEL, "events": 5000, "seed": 2, "precision": precision, "decay_time": {"lifetime": 1.5}}
    whole = generate(**keywords)
    assert whole["decay_time"].dtype == precision
    assert whole.names[-1] == "decay_time"
    assert kstest(whole["decay_time"], "expon", args=(0, 1.5)).pvalue > 1e-6
    assert kstest(whole["decay_time"], "expon", args=(0, 1.8)).pvalue < 1e-6
    parts = [generate(**keywords, range=part, threads=1) for part in ((0, 1), (1, 63), (63, 2000), (2000, 5000))]
    assert np.concatenate([part["decay_time"] for part in parts]).tobytes() == whole["decay_time"].tobytes()
    chunks = plan_run(make_card(**keywords)).chunks(plan_run(make_card(**keywords)).parts[0], 777)
    assert b"".join(chunk["decay_time"].tobytes() for chunk in chunks) == whole["decay_time"].tobytes()
    plain = generate(**{**keywords, "decay_time": None})
    for name in plain.names:  # the sampler's numbers are not touched
        assert plain[name].tobytes() == whole[name].tobytes()


def test_precisions_are_the_same_event(row):
    keywords = {"channels": CHANNEL, "events": 2000, "seed": 2, "decay_time": {}}
    double, single = (generate(**keywords, precision=precision)["decay_time"] for precision in ("float64", "float32"))
    np.testing.assert_array_equal(double.astype("f4"), single)


def test_a_card_knows_it(row):
    assert "decay_time" in card_keys()
    card = make_card({"channels": CHANNEL, "events": 10, "decay_time": {"lifetime": 1.6}})
    assert card.stages == {"decay_time": DecayTimeSettings(lifetime=1.6)}
    assert card.for_provenance()["decay_time"] == {"lifetime": 1.6}
    assert make_card(card.for_provenance()) == card
    for value, message in (
        ({"lifetime": -1}, "decay_time.lifetime = -1: should be greater than 0"),
        ({"life": 1}, "decay_time.life: no such key; did you mean lifetime"),
    ):
        with pytest.raises(InputError, match=message):
            make_card(channels=CHANNEL, events=10, decay_time=value)
    with pytest.raises(InputError, match="decay_tim: no such key in a run card; did you mean decay_time"):
        generate(CHANNEL, events=10, decay_tim={})


def test_cuts_read_it_where_it_is(row):
    keywords = {"events": 4000, "seed": 2, "decay_time": {}}
    plain = generate(CHANNEL, **keywords)
    cut = generate(CHANNEL, selection={"cuts": "decay_time > 1 and q2 > 1", "mode": "reject"}, **keywords)
    chosen = plain.select((plain["decay_time"] > 1) & (plain["q2"] > 1))
    for name in cut.names:
        np.testing.assert_array_equal(cut[name], chosen[name])
    with pytest.raises(InputError, match=r"no column decay_time.*in B\+->K\+mumu"):
        generate([CHANNEL, "B+->K+mumu"], selection="decay_time > 1", **keywords)
    both = generate([CHANNEL, "B+->K+mumu"], selection={"cuts": {CHANNEL: "decay_time > 1"}}, **keywords)
    assert both.only("B+->K+mumu")["accepted"].all()
    assert "decay_time" not in both.only("B+->K+mumu").names
    with pytest.raises(InputError, match="no column decay_time"):
        generate(CHANNEL, events=10, selection="decay_time > 1")


def test_a_file_keeps_it(file, capsys):
    sample, reader = read_events(file), EventFile(file)
    assert reader.schema["decay_time"] == np.float64
    assert reader.provenance["units"]["decay_time"] == "ps"
    assert reader.provenance["stages"]["decay_time"] == {"lifetime": 1.517}
    missing = sample["channel"] == 1
    assert np.isnan(sample["decay_time"][missing]).all()
    alone = generate(CHANNEL, events=10_000, seed=4, decay_time={})
    np.testing.assert_array_equal(sample["decay_time"][~missing], alone["decay_time"])
    assert validate(file).passed
    inspect_file(file)
    line = next(line for line in capsys.readouterr().out.splitlines() if "decay_time" in line)
    assert all(word in line for word in ("float64", "ps", "proper time of the decay"))


def test_it_can_be_binned_and_drawn(file, tmp_path):
    pytest.importorskip("hist")
    from darkpenguin.generator.figures.bins import draw_bins

    edges = [(0.0, 1.0), (1.0, 3.0)]
    rows = bin(file, edges, variable="decay_time")
    found = {(row.channel, row.q2_min): row.value for row in rows if row.observable == "yield"}
    time = generate(CHANNEL, events=10_000, seed=4, decay_time={})["decay_time"]
    for low, high in edges:
        assert found[CHANNEL, low] == ((time >= low) & (time < high)).sum()
        assert found["B+->K+mumu", low] == 0
    made = histograms(rows, "decay_time")[f"{CHANNEL}/yield"]
    assert (made.axes[0].name, made.axes[0].label) == ("decay_time", "decay_time [ps]")
    assert made.values().tolist() == [found[CHANNEL, 0.0], found[CHANNEL, 1.0]]
    figure = draw_bins([row for row in rows if row.observable == "yield"], "decay_time")
    assert "decay_time [ps]" in {axis.get_xlabel() for axis in figure.axes}


def test_calls_of_somebody_else_are_refused(row, monkeypatch):
    monkeypatch.setattr(DecayTimeStage, "calls", (Calls("decay time", (EVENTS,), 50, 1),))
    with pytest.raises(InputError, match="48 to 52 belong to resolution"):
        generate(CHANNEL, events=10, decay_time={})


COMMANDS = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from test_rows_column import DecayTimeStage
from darkpenguin.generator.lab import table
if sys.argv.pop(1) == "with":
    table.STAGES = (*table.STAGES, DecayTimeStage)
from darkpenguin.generator.commands.cli import main
main()
"""


def command(kind, *words):
    code = [sys.executable, "-c", COMMANDS, str(Path(__file__).parent), kind, *words]
    return subprocess.run(code, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_line_knows_it(tmp_path):
    output = str(tmp_path / "x.root")
    words = ("generate", "--channel", CHANNEL, "--events", "500", "--lifetime", "1.6", "--output", output)
    done = command("with", *words)
    assert done.returncode == 0, done.stderr
    assert "--lifetime PS" in command("with", "generate", "--help").stdout
    assert EventFile(output).provenance["card"]["decay_time"] == {"lifetime": 1.6}
    refused = command("without", *words, "--overwrite")
    assert refused.returncode == 2
    assert "--lifetime" in refused.stderr


def test_options_and_keywords_follow_from_the_table(row):
    assert "lifetime" in {parameter.name for parameter in stage_parameters()}
    assert stage_tables({"decay_time": {}}, {"lifetime": "1.6"})["decay_time"] == {"lifetime": "1.6"}
    assert stage_tables({}, {"lifetime": None})["decay_time"] is None


def test_every_stage_is_told_of():
    """What is written for people names every stage: the signature of ``generate()``, the example card."""
    known = signature(generate).parameters
    example = builtin_cards()["example"].read_text(encoding="utf-8")
    names = [column.name for stage in table.STAGES for column in stage.columns]
    for stage in table.STAGES:
        assert known[stage.key].kind is Parameter.KEYWORD_ONLY
        assert f"# {stage.key} = " in example
        assert stage.options
    assert all(columns()[name].meaning and columns()[name].unit for name in names)


def test_without_the_row_nothing_is_left(tmp_path, row, monkeypatch):
    output = str(tmp_path / "x.root")
    run(make_card(channels=CHANNEL, events=500, decay_time={}, output=output))
    monkeypatch.undo()
    assert "decay_time" not in columns()
    assert "decay_time" not in card_keys()
    with pytest.raises(InputError, match="decay_time: no such key"):
        generate(CHANNEL, events=10, decay_time={})
    assert "decay_time" in read_events(output).names  # a file made with it is read as one from elsewhere
    inspect_file(output)
