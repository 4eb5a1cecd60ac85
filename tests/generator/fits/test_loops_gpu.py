"""Unbinned fits on a GPU, driven on the stand-in for CuPy: values and gradients of the CPU, and its fit."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin import InputError
from darkpenguin.generator.fits import likelihood, loops_gpu
from darkpenguin.generator.fits.card import FitCard
from darkpenguin.generator.fits.fit import likelihood_of
from darkpenguin.generator.fits.likelihood import Likelihood

FLOAT = {"light_vectors.0.mass": (1.5, 2.8), "light_vectors.0.g_bs": (-6e-8, 6e-8), "heavy.C9_mu": (-3.0, 3.0)}
PLACES = ((2.4, -1.2e-8, 0.3), (1.7, 2e-8, -1.0))


@pytest.fixture(scope="module")
def sample():
    return dp.generate(["B0->K*0mumu", "B+->K+mumu"], "fig2", events=1500, seed=11, q2=[(1.1, 8.0)])


@pytest.fixture(scope="module")
def scalar_sample():
    return dp.generate("B+->K+mumu", "sm", events=1500, seed=11, q2=[(1.1, 8.0)])


@pytest.fixture(scope="module")
def here(sample):
    """With poles of a V and of charmonium."""
    return likelihood_of(sample, FitCard.make(model="fig2", theory={"nonlocal": "resonances"}, float=FLOAT))


def on_device(here):
    return Likelihood(here.base, here.free, here.parts, device="gpu")


def test_values_and_gradients_are_those_of_the_cpu(cupy, scalar_sample, here, monkeypatch):
    """With poles and with none; in one portion and in several."""
    monkeypatch.setattr(loops_gpu, "PORTION", 400)
    there = on_device(here)
    assert all(isinstance(array, cupy.ndarray) for pair in there._there.values() for array in pair)
    for values in PLACES:
        assert there(*values) == pytest.approx(here(*values), rel=1e-13)
        np.testing.assert_allclose(there.gradient(*values), here.gradient(*values), rtol=1e-9)
    card = FitCard.make(model="sm", float={"heavy.C9_mu": (-3.0, 3.0)})
    here = likelihood_of(scalar_sample, card)
    there = on_device(here)
    assert there(0.4) == pytest.approx(here(0.4), rel=1e-13)
    np.testing.assert_allclose(there.gradient(0.4), here.gradient(0.4), rtol=1e-9)


def test_a_fault_of_the_device_is_seen(cupy, here, monkeypatch):
    there = on_device(here)
    log = cupy.log
    monkeypatch.setattr(cupy, "log", lambda x: log(x) * (1 + 1e-9))
    assert there(*PLACES[0]) != pytest.approx(here(*PLACES[0]), rel=1e-13)


def test_a_fit_is_that_of_the_cpu(cupy, scalar_sample):
    keys = {"model": "sm", "float": {"heavy.C9_mu": (-4.0, 4.0)}}
    here, there = dp.fit(scalar_sample, **keys), dp.fit(scalar_sample, **keys, device="gpu")
    assert there.converged
    assert there[0].value == pytest.approx(here[0].value, abs=1e-6)
    assert there[0].error == pytest.approx(here[0].error, rel=1e-6, abs=0)


def test_a_density_of_zero_is_infinitely_unlikely(cupy, here):
    there = on_device(here)
    part = there.parts[0]
    there._there[part][1][:, :, 3] = 0.0
    assert there(*PLACES[0]) == np.inf


def test_a_full_device_is_one_line_and_the_fit_goes_on(cupy, here, monkeypatch):
    """Events stay on the host where they do not fit, and go there in portions that do; each is said once."""
    from cupy import _limits

    monkeypatch.setattr(likelihood, "FEWEST", 100)
    monkeypatch.setattr(_limits, "total", _limits.used + 400_000)
    with pytest.warns(RuntimeWarning, match=r"does not hold the .* of these events; every step of the fit copies them"):
        there = on_device(here)
    assert all(isinstance(array, np.ndarray) for pair in there._there.values() for array in pair)
    with pytest.warns(
        RuntimeWarning, match=r"holds chunks of \d+ events, not of \d+; the run goes on with these"
    ) as said:
        found = [there(*values) for values in PLACES]
    assert len(said) == 1
    assert found == pytest.approx([here(*values) for values in PLACES], rel=1e-13)
    monkeypatch.setattr(_limits, "total", _limits.used + 1000)
    with pytest.raises(InputError, match=r"its memory does not hold 100 events; free it from other programs, or use"):
        there(2.2, -1e-8, 0.2)


def test_a_device_that_is_none_is_refused(sample):
    with pytest.raises(InputError, match="device = 'tpu': auto, cpu or gpu"):
        dp.fit(sample, model="sm", float={"heavy.C9_mu": (-4.0, 4.0)}, device="tpu")
