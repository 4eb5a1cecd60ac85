"""Events that EvtGen made: they follow our BTOSLLBALL, and weighted from it the target.

Chi squared with a p-value above 1e-7 each: with four of them false alarms are below 4e-7.
"""

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from darkpenguin import EventMap, generate, read_events, weigh
from darkpenguin.generator.analysis.validate import predict_kpi
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.files.foreign import ForeignEvents
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.densities import KPI
from darkpenguin.physics.kpi import PRESETS, KpiDecay
from darkpenguin.physics.models import as_model
from scipy.stats import chi2
from typer.testing import CliRunner

EVENTS = Path(__file__).with_name("data") / "evtgen_kstmumu.npz"
CHANNEL = "B0->K*0mumu"
WHERE = EventMap(CHANNEL, momenta={"k": "K", "pi": "pi", "lp": "mup", "lm": "mum"}, flavour="b")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    p = np.load(EVENTS)["p3"]
    p = np.concatenate([p, -p.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)], axis=1)
    names = [f"{particle}_{axis}" for particle in ("K", "pi", "mup", "mum") for axis in ("PX", "PY", "PZ")]
    path = tmp_path_factory.mktemp("evtgen") / "evtgen.parquet"
    pyarrow.parquet.write_table(pyarrow.table(dict(zip(names, p.reshape(len(p), -1).T, strict=True))), path)
    return path


@pytest.fixture(scope="module")
def events(file):
    [piece] = ForeignEvents(file, WHERE).chunks()
    return piece


def values(events, weights, model, normalised_to=None, n_bins=20):
    """p-values of the numbers in bins of q2 and of m_kpi, and of all moments in bins of q2, of flavour +1."""
    decay = KpiDecay(get_channel(CHANNEL), as_model(model), PRESETS["evtgen"])
    found, n = {}, len(weights)
    f = KPI.basis(*(np.asarray(events[name], dtype=float) for name in KPI.angles))
    for variable, expected in predict_kpi(decay, n_bins=n_bins).items():
        rate = expected.rates[1] if normalised_to is None else normalised_to
        exact = n * (expected.integrals @ expected.basis.gram / rate)[list(expected.flavours).index(1)]
        place = np.searchsorted(expected.edges, events[variable], side="right") - 1
        size = len(expected.edges) - 1
        assert (place >= 0).all()
        sums = np.array([np.bincount(place, weights * row, size + 1)[:size] for row in (*f, np.ones(n))])
        squares = np.array([np.bincount(place, (weights * row) ** 2, size + 1)[:size] for row in (*f, np.ones(n))])
        exact = exact.T
        pulls = (sums[:-1] - exact) / np.sqrt(np.maximum(squares[:-1] - sums[:-1] ** 2 / n, 1e-9))
        counts = (sums[0] + sums[1] - exact[0] - exact[1]) ** 2 / np.maximum(squares[-1], 1e-9)  # sin² + cos² = 1
        found[variable] = chi2.sf(counts.sum(), size)
        if variable == "q2":
            found["moments"] = chi2.sf((pulls**2).sum(), pulls.size)
    return found


def test_evtgen_made_what_we_say_it_makes(events):
    """In q2, m_kpi and all moments; other form factors of EvtGen's, and the Standard Model's, are noticed."""
    one = np.ones(len(events["q2"]))
    assert min(values(events, one, "btosllball-6").values()) > 1e-7
    for bent in ({"name": "x", "theory": {"amplitudes": "btosllball-2"}}, "sm"):
        assert values(events, one, bent)["q2"] < 1e-7


def test_weighted_events_of_evtgen_are_those_of_the_target(file, events):
    found = weigh(file, ["sm", "btosllball-6"], "btosllball-6", where=WHERE, kpi="evtgen")
    np.testing.assert_allclose(found["weight_btosllball-6"], 1.0, rtol=1e-12)
    channel = get_channel(CHANNEL)
    made = predict_kpi(KpiDecay(channel, as_model("btosllball-6"), PRESETS["evtgen"]), n_bins=2)["q2"].rates[1]
    weights = found["weight_sm"]
    assert min(values(events, weights, "sm", made).values()) > 1e-7
    assert values(events, weights**2, "sm", made)["q2"] < 1e-7


def test_the_whole_line_shape_of_the_target(file):
    """Without a K pi system the target has a K* in all masses: the ratio of the line shapes is in the weight."""
    found = weigh(file, "btosllball-6", "btosllball-6", where=WHERE)
    assert 0.9 < found[0].mean < 1.1
    assert found["weight_btosllball-6"].std() > 0.02


def test_the_card_generates_what_evtgen_made(tmp_path, events):
    """q2, m_kpi and the angles of two samples, each in 20 bins."""
    path = tmp_path / "b.root"
    done = CliRunner().invoke(app, ["generate", "btosllball-6", "--events", "100000", "--output", str(path)])
    assert done.exit_code == 0, done.output
    ours = read_events(path)
    assert (ours["flavour"] == 1).all()
    for name in ("q2", "m_kpi", *KPI.angles):
        assert same(ours[name], events[name]) > 1e-7
    other = generate(CHANNEL, "sm", 100_000, seed=1, kpi="pwave", flavour="b")
    assert same(other["m_kpi"], events["m_kpi"]) < 1e-7


def same(many, few, n_bins=20):
    edges = np.quantile(many, np.linspace(0, 1, n_bins + 1)[1:-1])
    a, b = (np.bincount(np.searchsorted(edges, x), minlength=n_bins) for x in (many, few))
    scale = np.sqrt(len(many) / len(few))
    return chi2.sf(((a / scale - b * scale) ** 2 / (a + b)).sum(), n_bins - 1)
