"""Predictions in reconstructed bins: a response measured with the Standard Model, and events of another model."""

from dataclasses import replace

import numpy as np
import pytest
from darkpenguin import InputError, as_model, generate, migrations
from darkpenguin.generator.analysis.folding import Response, response_from, response_of
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.rates import branching_ratio

EDGES = np.arange(0.5, 8.6, 0.5)
DETECTOR = {"beam": "lhcb-13tev", "resolution": "lhcb", "selection": "lhcb"}


@pytest.fixture(scope="module")
def response():
    sample = generate("B+->K+ee", "sm", 100_000, seed=1, **DETECTOR)
    return response_of(next(iter(migrations(sample, EDGES.tolist()))))


def test_events_of_another_model_are_found_where_they_are_predicted(response):
    """Pulls below 6: a false-alarm rate of 3e-8; without migration, and at 1.5 of the efficiency, they are not."""
    model, n = as_model({"heavy": {"C9_e": -1.5}}), 100_000
    sample = generate("B+->K+ee", model, n, seed=2, **DETECTOR)
    found = np.histogram(sample["q2_reco"][sample["accepted"] == 1], EDGES)[0]
    b_mesons = n / (2 * branching_ratio(get_channel("B+->K+ee"), model))

    def pull(one):
        expected = one.expected(model, b_mesons)
        return np.abs((found - expected) / np.sqrt(found + (one.error * expected) ** 2)).max()

    assert pull(response) < 6
    bins = len(EDGES) - 1
    assert pull(replace(response, migration=np.eye(bins + 2)[:, 1:-1])) > 8
    assert pull(replace(response, efficiency=1.5 * response.efficiency)) > 8


def test_a_channel_is_one_of_pyhf(response):
    pyhf = pytest.importorskip("pyhf")
    channels = [response.pyhf_channel("sm", 1e9, "electrons"), response.pyhf_channel("sm", 1e9, "again")]
    model = pyhf.Model({"channels": channels}, poi_name="mu")
    np.testing.assert_allclose(
        model.expected_actualdata(model.config.suggested_init())[: len(EDGES) - 1], response.expected("sm", 1e9)
    )


def test_two_histograms_are_a_response():
    found = response_from("B+->K+mumu", [1.0, 4.0, 6.0], [100.0, 0.0], [[30.0, 10.0], [0.0, 0.0]])
    assert found.efficiency.tolist() == [0.4, 0.0]
    assert found.migration.tolist() == [[0.75, 0.25], [0.0, 0.0]]
    assert found.expected("sm", 1e9)[0] == pytest.approx(3 * found.expected("sm", 1e9)[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"efficiency": np.array([1.2])}, "response.efficiency: probabilities lie in 0 to 1"),
        ({"migration": np.array([[0.9, 0.3]])}, "response.migration"),
        ({"efficiency": np.array([0.2, 0.2])}, "1 true bins"),
        ({"true": np.array([6.0, 1.0])}, "must rise"),
    ],
)
def test_what_is_no_response_is_refused(changes, message):
    good = {
        "channel": "B+->K+mumu",
        "true": np.array([1.0, 6.0]),
        "efficiency": np.array([0.5]),
        "migration": np.array([[0.5, 0.4]]),
        "error": np.zeros(2),
    }
    with pytest.raises(InputError, match=message):
        Response(**{**good, **changes})
