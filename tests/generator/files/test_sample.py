"""The sample: columns, views, selections, concatenation."""

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from darkpenguin.generator.files.columns import columns, ordered
from darkpenguin.generator.files.sample import EventSample
from darkpenguin.generator.sampler.columns import SAMPLED
from darkpenguin.kinematics.base.arrays import to_host
from darkpenguin.kinematics.base.errors import InputError

COLUMN_ORDER = tuple(SAMPLED)
PROVENANCE = {
    "channels": [
        {
            "name": "B+->K+mumu",
            "index": 1,
            "columns": ["q2", "cos_theta_l", "flavour", "channel", "event", "weight"],
        },
        {"name": "B0->K*0mumu", "index": 3, "columns": list(COLUMN_ORDER)},
    ]
}


@pytest.fixture
def sample():
    n = 6
    return EventSample(
        {
            "weight": np.ones(n),
            "q2": np.arange(n) + 1.0,
            "cos_theta_k": np.array([np.nan] * 3 + [0.1, 0.2, 0.3]),
            "cos_theta_l": np.linspace(-1, 1, n),
            "phi": np.array([np.nan] * 3 + [1.0, 2.0, 3.0]),
            "m_kpi": np.array([np.nan] * 3 + [0.8, 0.9, 0.95]),
            "flavour": np.array([1, -1] * 3, dtype=np.int32),
            "channel": np.array([1] * 3 + [3] * 3, dtype=np.int32),
            "event": np.arange(n, dtype=np.uint64),
        },
        PROVENANCE,
    )


def test_columns_come_in_the_order_of_the_file(sample):
    assert sample.names == COLUMN_ORDER
    assert set(columns()) >= set(COLUMN_ORDER)
    assert ordered(["other", "phi", "q2"]) == ("q2", "phi", "other")


def test_a_sample_cannot_be_changed(sample):
    with pytest.raises(FrozenInstanceError):
        sample.columns = {}
    with pytest.raises(TypeError):
        sample.columns["q2"] = np.zeros(6)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="one length"):
        EventSample({"q2": np.zeros(2), "phi": np.zeros(3)})


def test_an_unknown_column_is_named(sample):
    with pytest.raises(InputError, match="cos_theta"):
        sample["costheta"]


def test_selection_by_mask_and_by_channel(sample):
    assert sample.select(sample["q2"] > 4)["event"].tolist() == [4, 5]
    plain = sample.only(channel="B+->K+mumu", flavour=1)
    assert plain["event"].tolist() == [0, 2]
    assert "phi" not in plain.names
    assert "cos_theta_k" not in plain.names
    assert "m_kpi" not in plain.names
    assert sample.only(channel="B0->K*0mumu")["phi"].tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InputError, match="this sample has"):
        sample.only(channel="B0->K0mumu")


def test_concatenation_fills_missing_angles_with_nan(sample):
    plain, star = sample.only(channel="B+->K+mumu"), sample.only(channel="B0->K*0mumu")
    joined = EventSample.concatenate([plain, star])
    assert joined.names == COLUMN_ORDER
    assert np.isnan(joined["phi"][:3]).all()
    for name in sample.names:
        np.testing.assert_array_equal(joined[name], sample[name])
    assert joined.provenance == sample.provenance
    with pytest.raises(InputError, match="one sample"):
        EventSample.concatenate([])
    with pytest.raises(InputError, match="no NaN"):
        EventSample.concatenate([plain, EventSample({"q2": np.zeros(1)})])


def test_views_keep_every_value(sample):
    frame, array = sample.to_pandas(), sample.to_awkward()
    assert list(frame.columns) == list(COLUMN_ORDER)
    assert list(array.fields) == list(COLUMN_ORDER)
    for name, expected in sample.to_numpy().items():
        np.testing.assert_array_equal(frame[name].to_numpy(), expected)
        np.testing.assert_array_equal(array[name].to_numpy(), expected)
        assert frame[name].dtype == expected.dtype


def test_device_columns_are_copied_to_the_host():
    class OnDevice:
        def __init__(self, values):
            self.values = values

        def get(self):
            return np.asarray(self.values)

    assert to_host(OnDevice([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_a_sample_survives_pickling(sample):
    again = pickle.loads(pickle.dumps(sample))
    np.testing.assert_array_equal(again["event"], sample["event"])
    assert again.provenance == sample.provenance
    assert "6 events" in repr(again)
