"""Weights on a GPU without a card: kernels run on the host against the CPU's loops, compiled for three generations."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.analysis import densities_gpu
from darkpenguin.generator.analysis.event_density import NarrowDensities
from darkpenguin.kinematics.base import cuda
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model

CHANNELS = {"vector": "B0->K*0mumu", "scalar": "B+->K+mumu"}
MODELS = [get_model(name) for name in ("sm", "fig2", "heavy-c9")]


def events(kind, precision):
    """Events all over and beyond phase space, on edges of cells, of either flavour and of none."""
    known, channel = np.random.default_rng(7), get_channel(CHANNELS[kind])
    density = NarrowDensities(channel, MODELS, "lhcb")
    q2 = np.concatenate([known.uniform(-1.0, 25.0, 3000), density.edges[::7], [np.nan]])
    columns = {"q2": q2.astype(precision)}
    for name in channel.angles:
        columns[name] = known.uniform(-np.pi, np.pi, len(q2)).astype(precision) / (1 if name == "phi" else np.pi)
    return density, {**columns, "flavour": known.choice(np.array([-1, 0, 1], np.int32), len(q2))}


def there(cupy, density, columns):
    rows = [cupy.asarray(x) for x in (density.edges, density._rows)]
    data = [cupy.asarray(columns[name]) for name in density.variables]
    return densities_gpu.densities(density.density.kind, data, *rows, len(MODELS)).get()


@pytest.mark.parametrize("kind", CHANNELS)
def test_densities_are_those_of_the_cpu(cupy, kind):
    for precision in ("float64", "float32"):
        density, columns = events(kind, precision)
        found, expected = there(cupy, density, columns), density(columns)
        assert (found == 0.0).sum() == (expected == 0.0).sum() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13 * expected.max())


@pytest.mark.parametrize(
    "planted", [("q2 - edges[cell]", "edges[cell + 1] - q2"), ("side = flavour > 0", "side = flavour < 0")]
)
def test_a_fault_in_a_kernel_is_seen(cupy, monkeypatch, planted):
    source = densities_gpu.PROGRAM.source.replace(*planted)
    assert source != densities_gpu.PROGRAM.source
    monkeypatch.setitem(densities_gpu.PROGRAM.__dict__, "source", source)
    cuda._compiled.cache_clear()
    density, columns = events("scalar", "float64")
    expected = density(columns)
    assert np.abs(there(cupy, density, columns) - expected).max() > 1e-9 * expected.max()


RUN = {"channels": list(CHANNELS.values()), "events": 400, "seed": 3, "device": "gpu"}
WAYS = {
    "models": {"to": ["fig2", "heavy-c9"]},
    "polynomial": {"to": "fig2", "polynomial": ["heavy.C9_mu", "heavy.C10_mu"]},
    "phase space": {"to": "sm", "source": "phase-space"},
    "masses": {"to": "fig2"},
}


@pytest.mark.parametrize("way", WAYS)
def test_weights_of_a_sample_on_the_device_are_there(cupy, way):
    """And are the CPU's, with what is said of them; nothing is copied but for the events with a K pi mass."""
    run = RUN | ({"kpi": "pwave", "channels": [CHANNELS["vector"]], "events": 50} if way == "masses" else {})
    sample = dp.generate(run, library="cupy")
    found, expected = dp.weigh(sample, **WAYS[way]), dp.weigh(dp.generate(run), **WAYS[way])
    assert set(found.columns) == set(expected.columns)
    for name, column in expected.columns.items():
        assert isinstance(found[name], cupy.ndarray)
        np.testing.assert_allclose(found[name].get(), column, rtol=1e-9, atol=1e-12 * np.abs(column).max())
    for one, other in zip(found.rows, expected.rows, strict=True):
        assert (one.events, one.outside, one.skipped, one.thin) == (other.events, other.outside, 0, other.thin)
        for key in ("mean", "error", "effective", "largest"):
            assert getattr(one, key) == pytest.approx(getattr(other, key), rel=1e-9)
    assert isinstance(dp.weigh(sample, **WAYS[way], device="cpu").columns[name], np.ndarray)


def test_a_file_is_weighed_on_the_device_if_asked(cupy, tmp_path, monkeypatch):
    """In portions that its memory holds, which are said; and written where the events are from it."""
    from cupy import _limits

    path = str(tmp_path / "x.root")
    dp.run(RUN | {"device": "cpu"}, output=path)
    expected = dp.weigh(path, "fig2", device="cpu")["weight_fig2"]
    np.testing.assert_allclose(dp.weigh(path, "fig2", device="gpu")["weight_fig2"], expected, rtol=1e-9)
    sample = dp.generate(RUN, library="cupy")
    dp.weigh(sample, "fig2", output=str(tmp_path / "w.root"))
    np.testing.assert_allclose(dp.read_events(tmp_path / "w.root")["weight_fig2"], expected, rtol=1e-9)
    monkeypatch.setattr(densities_gpu, "PORTION", 256)
    used = []
    kernel = densities_gpu.densities

    def full(kind, data, *arguments):
        used.append(len(data[0]))
        if len(data[0]) > 100:
            raise _limits.OutOfMemoryError("full")
        return kernel(kind, data, *arguments)

    monkeypatch.setattr(densities_gpu, "densities", full)
    with pytest.warns(RuntimeWarning, match="holds chunks of 64 events, not of 256; the run goes on with these"):
        found = dp.weigh(path, "fig2", device="gpu")
    np.testing.assert_allclose(found["weight_fig2"], expected, rtol=1e-9)
    assert max(used[4:]) == 256  # the other channel asks anew


def test_an_event_that_cannot_be_is_named(cupy):
    sample = dp.generate(RUN, library="cupy")
    sample["q2"][3] = 30.0
    with pytest.raises(
        InputError, match=r"event 3 of B0->K\*0mumu: it cannot be weighted, .* \(q2 = 30, cos_theta_k = "
    ):
        dp.weigh(sample, "fig2")
    found = dp.weigh(sample, "fig2", skip=True)
    assert (found.rows[0].skipped, float(found["weight_fig2"][3])) == (1, 0.0)


@pytest.mark.parametrize(
    "capability", [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(120, marks=pytest.mark.slow)]
)
def test_device_code(nvrtc, capability):
    names = [f"{kind}_densities<{real}>" for kind in CHANNELS for real in ("float", "double")]
    for name, code in nvrtc(densities_gpu.PROGRAM.source, names, capability).items():
        assert (code.stack, code.spilled, code.calls) == (0, 0, 0), name
        assert code.registers <= 96, name
