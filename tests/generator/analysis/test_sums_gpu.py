"""Validation and binning of a sample on a GPU without a card: sums alone cross the bus, and are the CPU's."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin.generator.analysis import sums_gpu
from darkpenguin.generator.analysis.accumulator import SUMS
from darkpenguin.generator.files.sample import EventSample
from darkpenguin.physics.densities import DENSITIES

RUN = {"channels": ["B0->K*0mumu", "B+->K+mumu"], "events": 3000, "seed": 3, "model": "fig2", "device": "gpu"}
KPI = {"channels": ["B0->K*0mumu"], "kpi": "swave", "q2": [[1, 6]], "events": 1500}


@pytest.fixture
def copied(cupy, monkeypatch):
    """Sizes of what crosses the bus."""
    sizes, get = [], cupy.ndarray.get
    monkeypatch.setattr(cupy.ndarray, "get", lambda self, *a, **k: (sizes.append(self.size), get(self, *a, **k))[1])
    return sizes


def events(kind, precision):
    """Events all over and beyond what can be, on edges, with what is no event."""
    known, n = np.random.default_rng(5), 4000
    edges = np.linspace(0.5, 18.0, 8)
    x = np.concatenate([known.uniform(-1.0, 20.0, n - 9), edges, [np.nan]]).astype(precision)
    angles = [
        known.uniform(-1.02, 1.02, n).astype(precision) * (np.pi * 2 if name == "phi" else 1)
        for name in DENSITIES[kind].angles
    ]
    angles[0][::97] = np.nan
    return x, angles, known.choice(np.array([-1, 0, 1], np.int32), n), edges


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", DENSITIES)
def test_sums_are_those_of_the_cpu(cupy, kind, precision):
    x, angles, flavour, edges = events(kind, precision)
    lows, highs = np.array([0.5, 9.0]), np.array([8.0, 18.0])
    expected = np.zeros((2, len(edges) - 1, len(DENSITIES[kind].coefficients)))
    bad = np.zeros(2, dtype=np.int64)
    SUMS[expected.shape[2]](x, *angles, flavour, edges, lows, highs, expected, bad)

    def there(x, angles):
        return sums_gpu.sums(
            kind, cupy.asarray(x), [*map(cupy.asarray, angles)], cupy.asarray(flavour), edges, lows, highs
        )

    found, wrong = there(x, angles)
    assert wrong.tolist() == bad.tolist()
    assert bad.min() > 100
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    assert np.abs(there(x, [0.999 * angles[0], *angles[1:]])[0] - expected).max() > 1e-3  # a bent angle


def test_a_sample_is_validated_where_it_is(copied):
    """Against the same prediction, to the same verdict."""
    sample = dp.generate(RUN, library="cupy")
    expected = dp.validate(dp.generate(RUN))
    copied.clear()
    found = dp.validate(sample)
    assert 0 < max(copied) < 1500
    assert found.passed
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-6)
    for one, other in zip(found.channels, expected.channels, strict=True):
        assert (one.events, one.problems) == (other.events, other.problems)
        np.testing.assert_allclose(one.sums, other.sums, rtol=1e-9, atol=1e-9)


def test_what_is_bent_is_found_there(cupy):
    """Cosines that are a tenth too small, a first event that is not there."""
    sample = dp.generate("B+->K+mumu", events=2000, seed=3, flavour="b", precision="float32", library="cupy")
    assert dp.validate(sample).passed
    bent = EventSample({**sample.columns, "cos_theta_l": 0.9 * sample["cos_theta_l"]}, sample.provenance)
    assert not dp.validate(bent).passed
    lost = dp.validate(sample.select(slice(1, None)))
    assert "1999 events instead of the 2000 in the provenance" in lost.problems
    assert "1999 events out of their numbering" in lost.channels[0].problems


SEEN = {"beam": "lhcb-13tev", "resolution": "lhcb", "selection": {"cuts": ["pt(k) > 0.5"]}}
MAP = {"kind": "legendre", "axes": [["q2", 0.0, 23.0]], "terms": [[0, 0.5], [1, 0.1]]}


@pytest.mark.parametrize(
    "keys",
    [
        SEEN | {"efficiency": {"maps": {"all": "0.5"}}},
        {"channels": ["B+->K+mumu"], "efficiency": {"maps": {"all": "0.3"}, "mode": "weight"}},
        KPI | SEEN,
    ],
    ids=["cuts", "map", "kpi"],
)
def test_a_sample_is_unfolded_where_it_is(copied, keys):
    sample = dp.generate(RUN | keys, library="cupy")
    expected = dp.bin(dp.generate(RUN | keys), bins=[1.1, 2.5, 6.0], unfold=True)
    copied.clear()
    found = dp.bin(sample, bins=[1.1, 2.5, 6.0], unfold=True)
    assert 0 < max(copied) < 1500
    assert found.state == expected.state
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert (one.observable, one.channel) == (other.observable, other.channel)
        assert (one.value, one.error) == pytest.approx((other.value, other.error), rel=1e-8)


@pytest.mark.parametrize(
    ("work", "keys"),
    [
        (lambda sample: dp.bin(sample, bins=[1.1, 6.0]), {}),
        (lambda sample: dp.bin(sample, bins=[1.1, 6.0], unfold=True), SEEN),
        (dp.validate, {}),
    ],
    ids=["bin", "unfold", "validate"],
)
def test_a_full_device_is_one_line_and_the_sums_go_on(cupy, monkeypatch, work, keys):
    """In portions that its memory holds; nothing is added twice."""
    from cupy import _limits

    sample = dp.generate(RUN | keys | {"events": 20_000}, library="cupy")
    expected = work(sample)
    room = 5000 * sum(column.itemsize for column in sample.columns.values())
    monkeypatch.setattr(_limits, "total", _limits.used + room)
    with pytest.warns(RuntimeWarning, match="the memory of the GPU holds chunks of [0-9,]+ events, not of ") as said:
        found = work(sample)
    assert "\n" not in str(said[0].message)
    if work is dp.validate:
        for one, other in zip(found.channels, expected.channels, strict=True):
            np.testing.assert_allclose(one.sums, other.sums, rtol=1e-9, atol=1e-8)
            assert one.problems == ()
    else:
        for one, other in zip(found, expected, strict=True):
            assert (one.value, one.error) == pytest.approx((other.value, other.error), rel=1e-9)
    monkeypatch.setattr(_limits, "total", _limits.used)
    with pytest.raises(dp.InputError, match="its memory does not hold 1 events"):
        work(sample)
