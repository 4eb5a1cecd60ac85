"""Legends: what models are called."""

from darkpenguin.generator.figures.labels import hypothesis_label, model_label
from darkpenguin.generator.toys.hypothesis import Hypothesis
from darkpenguin.physics.models import BENCHMARKS, as_model


def test_no_legend_shows_the_key_of_a_benchmark():
    labels = {name: model_label(model) for name, model in BENCHMARKS.items()}
    assert not set(labels) & set(labels.values())
    assert labels["sm"] == "Standard Model"
    assert "m_V = 2.1$ GeV" in labels["belle2-2.1gev"]


def test_changes_of_a_benchmark_are_seen_and_names_of_users_kept():
    assert "m_V = 2.8$" in model_label(as_model("fig2", "light_vectors.0.mass=2.8"))
    two = as_model("fig2", ["name=mine", "light_vectors.1.mass=1.4", "light_vectors.1.relative_width=0.1"])
    assert model_label(two) == "mine"
    assert hypothesis_label(Hypothesis(model="sm", label="nothing new")) == "nothing new"
