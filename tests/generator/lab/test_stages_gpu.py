"""Stages on a GPU without a card: kernels of cuts and resolution run on the host, against the CPU's way."""

import darkpenguin as dp
import numpy as np
import pytest
from darkpenguin.generator.lab import expressions_gpu, smearing_gpu
from darkpenguin.generator.lab.efficiency_maps import LegendreMap
from darkpenguin.generator.lab.expressions import parse
from darkpenguin.generator.lab.selection import combine
from darkpenguin.generator.lab.settings import ResolutionSettings
from darkpenguin.generator.lab.smearing import Smearing, smear
from darkpenguin.generator.lab.stages import Place
from darkpenguin.generator.sampler.calls import EFFICIENCY
from darkpenguin.physics.channels import get_channel

CUTS = [
    "pt(k) > 0.25 and 2 < eta(lp) < 4.5",
    "m(lp, lm) > 1 and m2(k) > 0.1",
    "not (q2 % 0.7 > 0.5)",
    "-q2 % 0.7 > 0.5",
    "angle(k, lp) < 0.3 or dr(lp, lm) > 0.2",
    "min(pt(lp), pt(lm), 3.0) > 0.3 and max(q2, phi) != 2",
    "flavour == 1 or k_px**2 > 0.1",
    "abs(y(k)) < 4 and theta(k) < 1.4 and 0.1 < theta(lp)",
    "atan2(k_px, k_py) > 0 and hypot(k_px, k_py) < 5 and log10(q2) > 0",
    "sqrt(phi) > 1",
    "not (exp(-q2) < 0.1) or 2 < 1",
]
MASSES = {"k": 0.494, "lp": 0.106, "lm": 0.106}


@pytest.fixture(scope="module")
def columns():
    """Columns of 5,000 events, some of them not a number."""
    rng = np.random.default_rng(3)
    found = {f"{p}_{a}": rng.normal(0, 3, 5000).astype(np.float32) for p in MASSES for a in ("px", "py", "pz")}
    found |= {"q2": rng.uniform(0, 9, 5000), "phi": rng.uniform(-3, 3, 5000)}
    found["phi"][::7] = np.nan
    return found | {"flavour": rng.choice(np.array([-1, 1], np.int32), 5000)}


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_is_what_it_is_on_the_cpu(cupy, columns, cut):
    expression = parse(cut, tuple(columns))
    read = {name: columns[name] for name in ("q2", *expression.inputs)}
    expected = combine([expression], read, MASSES)
    there = {name: cupy.asarray(column) for name, column in read.items()}
    found = expressions_gpu.combine([expression], there, MASSES).get()
    assert found.dtype == bool
    assert (found != expected).sum() == 0
    assert 0 < expected.sum() < 5000


def test_all_cuts_are_one_kernel_that_computes_nothing_twice(columns):
    expressions = [parse(cut, tuple(columns)) for cut in ("pt(k) > 0.25", "pt(k) < 9", "pt(k) > 0.25")]
    kinds = tuple((name, columns[name].dtype.name) for name in ("k_px", "k_py", "k_pz"))
    source = expressions_gpu._program((tuple(expressions),), kinds, ()).source
    assert source.count("sqrt(") == 1
    assert source.count("__global__") == 1


@pytest.mark.parametrize("planted", [("greater", "{} >= {}"), ("remainder", "fmod({}, {})"), ("isnan", "!isnan({})")])
def test_a_fault_in_an_operation_is_seen(cupy, columns, monkeypatch, planted):
    monkeypatch.setattr(expressions_gpu, "OPERATIONS", {**expressions_gpu.OPERATIONS, planted[0]: planted[1]})
    cut = {"greater": "flavour > 1 or q2 > 5", "remainder": "-q2 % 0.7 > 0.5", "isnan": "sqrt(phi) > 1"}[planted[0]]
    with pytest.raises(AssertionError):
        test_a_cut_is_what_it_is_on_the_cpu(cupy, columns, cut)


def smeared(library, lepton, hadrons):
    rng = np.random.default_rng(1)
    momenta, events = (
        rng.normal(0, 5, (3 * hadrons + 6, 3000)),
        np.arange(3000, dtype=np.uint64) + np.uint64(2**32 - 99),
    )
    masses = np.array([0.494, 0.14, 0.1, 0.1][2 - hadrons :])
    smearing = Smearing.of(ResolutionSettings(preset="lhcb"), lepton)
    function = smear if library is np else smearing_gpu.smear
    return function(library.asarray(momenta), masses, smearing, 5, 3, library.asarray(events))


@pytest.mark.parametrize("lepton", ["mu", "e"])
@pytest.mark.parametrize("hadrons", [1, 2])
def test_smeared_momenta_are_those_of_the_cpu(cupy, lepton, hadrons):
    for found, expected in zip(smeared(cupy, lepton, hadrons), smeared(np, lepton, hadrons), strict=True):
        np.testing.assert_allclose(found.get(), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "planted", [("uniforms(CALL + 4)", "uniforms(CALL + 3)"), ("lm_row = lp_row + 3 * n", "lm_row = lp_row")]
)
def test_a_fault_in_the_kernel_is_seen(cupy, monkeypatch, planted):
    source = smearing_gpu.PROGRAM.source
    assert planted[0] in source
    monkeypatch.setitem(smearing_gpu.PROGRAM.__dict__, "source", source.replace(*planted))
    with pytest.raises(AssertionError):
        test_smeared_momenta_are_those_of_the_cpu(cupy, "e", 2)


def test_uniforms_and_maps_are_those_of_the_cpu(cupy):
    place = Place(get_channel("B+->K+mumu"), seed=7, first=11)
    events = np.arange(11, 2011, dtype=np.uint64)
    there = place.uniforms(cupy.asarray(events), EFFICIENCY.first)
    assert there.get().tobytes() == place.uniforms(events, EFFICIENCY.first).tobytes()
    shape = LegendreMap((("q2", 0.0, 10.0), ("cos_theta_l", -1.0, 1.0)), np.array([[0.5, 0.1], [0.2, -0.1]]))
    rows = {"q2": np.linspace(-1, 11, 5000), "cos_theta_l": np.linspace(-1, 1, 5000)}
    found = shape.evaluate({name: cupy.asarray(column) for name, column in rows.items()})
    np.testing.assert_allclose(found.get(), shape.evaluate(rows), rtol=0, atol=1e-14)


def test_what_fails_never_crosses_the_bus(cupy, monkeypatch):
    """Cuts, resolution and efficiency work on the device; of what is left each column is copied once."""
    copied, get = [], cupy.ndarray.get

    def counted(self, *arguments, **keywords):
        copied.append(self.size)
        return get(self, *arguments, **keywords)

    keys = {"events": 5000, "beam": "lhcb-13tev", "resolution": "lhcb", "efficiency": {"maps": {"all": "0.5"}}}
    keys["efficiency"]["mode"] = "reject"
    keys["selection"] = {"cuts": ["lhcb"], "mode": "reject"}
    expected = dp.generate("B0->K*0mumu", device="cpu", **keys)
    dp.generate("B0->K*0mumu", device="gpu", **keys)  # what is done once is done
    monkeypatch.setattr(cupy.ndarray, "get", counted)
    found = dp.generate("B0->K*0mumu", device="gpu", **keys)
    assert len(found) == len(expected) < 2500
    assert (found["event"] == expected["event"]).all()
    probes = [size for size in copied if size != len(found)]
    assert sum(probes) < 100  # the kernel that is run before a GPU is believed
    assert len(copied) - len(probes) == len(found.names)


@pytest.mark.parametrize(
    "capability", [pytest.param(80, marks=pytest.mark.slow), 90, pytest.param(120, marks=pytest.mark.slow)]
)
def test_device_code(nvrtc, columns, capability):
    """No spill; functions of the mathematical library may be called in cuts."""
    smear_code = nvrtc(smearing_gpu.PROGRAM.source, ["smear_kernel"], capability)["smear_kernel"]
    print(f"smear_kernel, sm_{capability}: {smear_code.registers} registers")
    assert (smear_code.stack, smear_code.spilled, smear_code.calls) == (0, 0, 0)
    assert smear_code.registers <= 128
    expressions = tuple(parse(cut, tuple(columns)) for cut in CUTS)
    kinds = tuple((name, column.dtype.name) for name, column in columns.items())
    source = expressions_gpu._program((expressions,), kinds, tuple(MASSES.items())).source
    cuts = nvrtc(source, ["expressions"], capability)["expressions"]
    assert cuts.spilled == 0
