"""Whatever a card, a command line or a file of numbers says: it is used, or refused in one short line.

Property-based; the examples are always the same, so that a failure is that of the last change. More, and others:

    FUZZ=2000 pytest tests/generator/commands/test_fuzz.py
"""

import json
import os
import tempfile
import warnings
from pathlib import Path

import pytest
from darkpenguin import InputError
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.lab.efficiency_files import read_map
from darkpenguin.generator.lab.expressions import parse
from darkpenguin.generator.run.card import RunCard, card_keys
from darkpenguin.generator.scans.card import ScanCard
from darkpenguin.generator.toys.datasets import get_dataset
from darkpenguin.generator.toys.run import ToysCard
from darkpenguin.generator.toys.sensitivity import SensitivityCard
from darkpenguin.kinematics.base.files import read_toml
from darkpenguin.physics.binning import read_pairs
from darkpenguin.physics.experiment.datasets import load_data
from darkpenguin.physics.models import as_model
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

MORE = int(os.environ.get("FUZZ", "0"))


def fuzz(examples):
    return settings(
        max_examples=MORE or examples,
        derandomize=not MORE,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


WORDS = [
    "B0->K*0mumu",
    "B+->K+mumu",
    "sm",
    "fig2",
    "fig1-2.5gev",
    "lhcb",
    "belle2",
    "rest",
    "swave",
    "pwave",
    "both",
    "b",
    "bbar",
    "jpsi",
    "psi2s",
    "1,6",
    "1.1",
    "0",
    "1",
    "-1",
    "1e6",
    "1__0",
    "²",
    "１０",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "none",
    "true",
    "x.root",
    "x.parquet",
    "{channel}",
    "{channel.name}",
    "0:10",
    "light_vectors.0.mass=2",
    "light_vectors.0.width=-1",
    "heavy.C9_mu=-1",
    "mu=0.5",
    "e=0.2",
    "q2>1",
    "R_K+",
    "P5p",
    "R_K*0",
    "2017",
    "current",
    "binned",
    "events",
    "drawn",
]
NASTY = ("", " ", "\0", "\x1b[31m", "[/x]", r"$\frac{", "\udc80", "9" * 5000, "x" * 5000, "[" * 3000, "-" * 300)
texts = st.one_of(st.sampled_from(WORDS), st.sampled_from(NASTY), st.text(max_size=8))
numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from((0, 1, -1, 10**400, 2**63, 2**64, 1e300, 1e-300)), st.booleans()
)
values = st.recursive(
    st.one_of(st.none(), texts, numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(texts, st.sampled_from(("kind", "name"))), inner, max_size=3),
    ),
    max_leaves=6,
)
CARDS = {
    RunCard: card_keys(),
    ToysCard: ToysCard.model_fields,
    SensitivityCard: SensitivityCard.model_fields,
    ScanCard: ScanCard.model_fields,
}


def survives(make):
    """What is made, or nothing for what is refused, in one short line without control characters."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()
    except InputError as error:
        text = str(error)
        assert text.isprintable()
        assert 0 < len(text) <= 1200
        return None


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.__name__)
def test_cards(card):
    complete = {"channels": ["B0->K*0mumu"], "events": 10} if card is RunCard else {}

    @fuzz(60)
    @given(st.dictionaries(st.one_of(st.sampled_from([*CARDS[card], "set"]), texts), values, max_size=3))
    def all_survive(keys):
        survives(lambda: card.make({**complete, **keys}))

    all_survive()


@fuzz(100)
@given(
    st.dictionaries(st.one_of(st.sampled_from(("name", "heavy", "light_vectors", "theory")), texts), values, max_size=3)
)
def test_models(fields):
    survives(lambda: as_model(fields))


@fuzz(100)
@given(texts, texts)
def test_changes_of_models(key, value):
    for path in (key, f"light_vectors.{key}", f"light_vectors.0.{key}", f"heavy.{key}", f"theory.{key}"):
        survives(lambda path=path: as_model("fig2", f"{path}={value}"))


FIELDS = ("beam", "kpi", "resolution", "selection", "efficiency", "theory")
PARTS = st.dictionaries(
    st.one_of(
        st.sampled_from(("kind", "energy", "rapidity", "mode", "maps", "cuts", "preset", "s_wave", "m_max")), texts
    ),
    st.one_of(values, st.sampled_from(("pp", "upsilon4s", "histogram"))),
    max_size=3,
)


@fuzz(150)
@given(st.sampled_from(FIELDS), PARTS)
@example("beam", {"kind": [1]})
def test_tables_of_a_run_card(key, table):
    survives(lambda: RunCard.make({"channels": ["B0->K*0mumu"], "events": 10, key: table}))


@fuzz(150)
@given(st.text(alphabet="q2cos_theta()[]<>=!&|~+-*/%.,0123456789e 'πandortxy", max_size=30))
@example("q2 < " + "9" * 400)
@example("(" * 3000 + "q2>1" + ")" * 3000)
def test_expressions(text):
    survives(lambda: parse(text, ("q2", "cos_theta_k")))


@fuzz(100)
@given(st.one_of(texts, st.text(alphabet="0123456789.,[]-e ", max_size=20), values))
def test_bins(text):
    survives(lambda: read_pairs(text))


MAPS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(("legendre", "histogram")),
        "axes": st.one_of(values, st.just(["q2"]), st.just([["q2", 0, 20], "phi"])),
        "edges": st.one_of(values, st.just([[0, 1, 2]])),
        "values": st.one_of(values, st.just([0.1, 0.2])),
        "terms": st.one_of(values, st.just([[99, 99, 0.5]]), st.just([[0, 0, 0.5]])),
        "coefficients": values,
        "outside": values,
        "clip": values,
        "uhi_schema": values,
        "corrections": values,
    },
)


@fuzz(100)
@given(MAPS)
@example({"uhi_schema": 1, "axes": 5})
@example({"kind": "legendre", "axes": ["phi"] * 4, "terms": [[99, 99, 99, 99, 0.5]]})
def test_efficiency_maps(table):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.json"
        path.write_text(json.dumps(table), encoding="utf-8", errors="surrogatepass")
        survives(lambda: read_map(path))


@fuzz(40)
@given(st.one_of(st.binary(max_size=40), texts.map(lambda text: f"a = {text}".encode(errors="surrogatepass"))))
@example(b"channels = " + b"[" * 5000)
@example(b"events = " + b"9" * 5000)
@example(b"measurements: " + b"[" * 5000)
@example(b"a: &a [*a, *a]")
def test_files_of_cards_and_data(content):
    with tempfile.TemporaryDirectory() as folder:
        for name, read in (
            ("x.toml", read_toml),
            ("x.yml", load_data),
            ("y.yml", get_dataset),
            ("y.toml", get_dataset),
        ):
            path = Path(folder) / name
            path.write_bytes(content)
            survives(lambda read=read, path=path: read(str(path)))


OPTIONS = ("--channel", "--model", "--set", "--events", "--b-mesons", "--kpi", "--beam", "--q2", "--veto", "--seed")
OPTIONS += ("--range", "--precision", "--flavour", "--resolution", "--select", "--efficiency", "--threads", "--format")


@fuzz(30)
@given(st.lists(st.tuples(st.sampled_from(OPTIONS), texts.filter(lambda text: "\0" not in text)), max_size=3))
def test_command_lines(options):
    """A folder that does not exist: also what is right ends before any work."""
    words = [word for option in options for word in option]
    done = CliRunner().invoke(app, ["generate", *words, "--output", "missing/folder/x.root"])
    assert done.exit_code == 2, (words, done.output)
    assert "Traceback" not in done.output
    assert len(done.output) < 1500
