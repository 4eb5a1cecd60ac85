"""The kernel of radiation without a card: run on the host against the CPU's loops, compiled for three generations."""

import numpy as np
import pytest
from darkpenguin.generator.lab import radiation_gpu, smearing_gpu
from darkpenguin.generator.lab.radiation import radiate
from darkpenguin.generator.lab.settings import ResolutionSettings
from darkpenguin.generator.lab.smearing import Smearing, smear
from darkpenguin.generator.lab.stages import Place
from darkpenguin.generator.run.generate import generate
from darkpenguin.physics.channels import get_channel

N = 20_000


def radiated(library, precision="float64", lepton="ee", moving=True):
    """Rows of `radiate`, with q2 down to the threshold and numbers across 2^32."""
    rng = np.random.default_rng(2)
    threshold = 4 * {"ee": 0.000511, "mumu": 0.10566}[lepton] ** 2
    q2 = (threshold * (1 + 1e-9) + rng.uniform(0, 20, N) ** 2 / 20).astype(precision)
    leptons = list(rng.normal(0, 5, (6, N)).astype(precision)) if moving else []
    events = np.arange(N, dtype=np.uint64) + np.uint64(2**32 - 99)
    place = Place(get_channel(f"B+->K+{lepton}"), 7)
    there = library.asarray(q2), [library.asarray(row) for row in leptons], library.asarray(events)
    return radiate(*there, place)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("lepton", ["ee", "mumu"])
def test_the_kernel_makes_the_rows_of_the_cpu(cupy, precision, lepton):
    """Floats to rounding; the part of a photon that is drawn differs where a choice is within rounding of its edge."""
    for moving in (True, False):
        found = radiated(cupy, precision, lepton, moving).get()
        expected = radiated(np, precision, lepton, moving)
        assert found.dtype == precision
        scale = 1 + np.abs(expected).max(axis=0)
        with np.errstate(invalid="ignore"):  # a planted fault leaves memory as it was found, NaN too
            off = ~(np.abs(found - expected) <= (1e-10 if precision == "float64" else 1e-6) * scale)
        assert off.any(axis=0).sum() <= 1


@pytest.mark.parametrize("planted", [("uint32(CALL + 1)", "uint32(CALL)"), ("7 * n + i", "4 * n + i")])
def test_a_fault_in_the_kernel_is_seen(cupy, monkeypatch, planted):
    source = radiation_gpu.PROGRAM.source
    assert planted[0] in source
    monkeypatch.setitem(radiation_gpu.PROGRAM.__dict__, "source", source.replace(*planted))
    with pytest.raises(AssertionError):
        test_the_kernel_makes_the_rows_of_the_cpu(cupy, "float64", "ee")


def recovered(library, lepton):
    rng = np.random.default_rng(1)
    momenta, photons = rng.normal(0, 5, (9, 3000)), rng.normal(0, 1, (6, 3000))
    events = np.arange(3000, dtype=np.uint64) + np.uint64(2**32 - 99)
    smearing = Smearing.of(ResolutionSettings(preset="lhcb"), lepton)
    function = smear if library is np else smearing_gpu.smear
    rows = library.asarray(momenta), np.array([0.494, 0.1, 0.1]), smearing, 5, 3, library.asarray(events)
    return function(*rows, library.asarray(photons)), function(*rows)


def test_photons_are_recovered_as_on_the_cpu(cupy):
    for lepton in ("e", "mu"):
        with_photons, without = recovered(cupy, lepton)
        expected, bare = recovered(np, lepton)
        for found, one in zip((*with_photons, *without), (*expected, *bare), strict=True):
            np.testing.assert_allclose(found.get(), one, rtol=1e-11, atol=1e-11)
        assert (expected[0] == bare[0]).all() == (lepton == "mu")  # those of muons are lost


def test_a_run_on_the_device_is_that_of_the_cpu(cupy):
    keys = {"events": 2000, "beam": "lhcb-13tev", "resolution": "lhcb", "theory": {"radiation": "leading-log"}}
    expected, found = (generate("B0->K*0ee", device=device, **keys) for device in ("cpu", "gpu"))
    assert found.names == expected.names
    for name in ("q2_ll", "gp_pz", "gm_px", "lp_pz", "q2_reco"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "capability", [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(120, marks=pytest.mark.slow)]
)
def test_device_code(nvrtc, capability):
    names = [f"radiate_kernel<{kind}>" for kind in ("float", "double")]
    for name, code in nvrtc(radiation_gpu.PROGRAM.source, names, capability).items():
        print(f"{name}, sm_{capability}: {code.registers} registers")
        assert (code.stack, code.spilled, code.calls) == (0, 0, 0), name
        assert code.registers <= 128
