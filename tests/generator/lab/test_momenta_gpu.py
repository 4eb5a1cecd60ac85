"""Kernels of momenta without a card: run on the host against the CPU's loops, compiled for three generations."""

import numpy as np
import pytest
from darkpenguin.generator.lab import momenta_gpu
from darkpenguin.generator.lab.momenta import momenta
from darkpenguin.generator.run.generate import generate
from darkpenguin.physics.channels import get_channel

TABLE = {"kind": "histogram", "pt_edges": [0, 2, 9], "eta_edges": [2, 3, 5], "weights": [[1, 2], [3, 4]]}
BEAMS = {"none": None, "rest": "rest", "belle2": "belle2", "lhcb": "lhcb-13tev", "cells": TABLE}


@pytest.fixture(scope="module")
def samples():
    """Events with one mass of the Kpi system for each, and with one for all; in either precision."""
    return {
        ("B0->K*0mumu", "float64"): generate("B0->K*0mumu", "fig2", 20_000, seed=9, kpi="pwave"),
        ("B0->K*0ee", "float32"): generate("B0->K*0ee", "fig2", 5_000, seed=9, precision="float32"),
        ("B+->K+ee", "float64"): generate("B+->K+ee", "sm", 5_000, seed=9),
    }


@pytest.mark.parametrize("beam", BEAMS)
def test_kernels_make_the_momenta_of_the_cpu(cupy, samples, beam):
    """Floats to rounding: the CPU fuses products and sums."""
    for (name, precision), sample in samples.items():
        keywords = {"beam": BEAMS[beam], "seed": 9, "start": 77, "precision": precision}
        expected = momenta(get_channel(name), sample.columns, **keywords)
        on_device = {column: cupy.asarray(values) for column, values in sample.columns.items()}
        found = momenta(get_channel(name), on_device, **keywords)
        scale = 1.0 + sum(np.abs(expected[f"b_{axis}"]) for axis in ("px", "py", "pz"))
        tolerance = 1e-12 if precision == "float64" else 3e-7
        for column, values in expected.items():
            assert found[column].dtype == values.dtype
            assert (np.abs(found[column].get() - values) < tolerance * scale).all(), (name, column)


def test_a_part_of_wider_rows_is_filled(cupy, samples):
    """Rows at a pitch of their own: what lies beside them stays as it was."""
    channel, sample = get_channel("B+->K+ee"), samples["B+->K+ee", "float64"]
    columns = {name: cupy.asarray(values[:100]) for name, values in sample.columns.items()}
    wide = cupy.full((12, 300), np.nan)
    momenta(channel, columns, beam="belle2", seed=9, out=wide[:, 50:150])
    whole = momenta(channel, columns, beam="belle2", seed=9)
    assert np.isnan(wide.get()).sum() == 12 * 200
    for row, values in zip(wide, whole.values(), strict=True):
        assert row[50:150].get().tobytes() == values.get().tobytes()


@pytest.mark.parametrize(
    "planted", [("boost(rotate(turn,", "boost(("), ("masses + 1, decay.rest", "masses, decay.rest")]
)
def test_a_fault_in_a_kernel_is_seen(cupy, samples, monkeypatch, planted):
    source = momenta_gpu.PROGRAM.source
    assert planted[0] in source
    bent = (
        source.replace(*planted).replace("boost((decay.first)", "boost(decay.first") if "turn" in planted[0] else None
    )
    monkeypatch.setitem(momenta_gpu.PROGRAM.__dict__, "source", bent or source.replace(*planted))
    with pytest.raises(AssertionError):
        test_kernels_make_the_momenta_of_the_cpu(cupy, samples, "belle2")


@pytest.mark.parametrize(
    "capability", [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(120, marks=pytest.mark.slow)]
)
def test_device_code(nvrtc, capability):
    names = [
        f"{kernel}<{types}>" for kernel in momenta_gpu.KERNELS.values() for types in ("float, float", "double, double")
    ]
    for name, code in nvrtc(momenta_gpu.PROGRAM.source, names, capability).items():
        print(f"{name}, sm_{capability}: {code.registers} registers")
        assert (code.stack, code.spilled, code.calls) == (0, 0, 0), name
        assert code.registers <= 136
