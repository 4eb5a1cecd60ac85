"""The checks of a card against a bundle: CHECKS has a row each, a function of the `Proof` and its `Report`."""

import json
import math
import platform
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cupy
import numpy as np
from card import NOT_MEASURED, STAND_IN, Kernel

POISON = {"b": True, "i": -77, "u": 77, "f": np.nan}
IN_REGISTERS = ("sampler", "momenta", "smearing", "radiation", "densities")
"""Sources whose kernels keep all in registers; elsewhere functions of the mathematical library may have a stack."""
GRIDS = ((1, None), (31, None), (127, None), (128, None), (129, None), (1000, None), (1000, 1), (999, 7))
"""Events of a launch and its blocks, None for those that the package would take."""
GUARD = 300  # numbers on either side of an output that must stay as they are


@dataclass
class Report:
    """What one check found: lines to read, numbers for the JSON, and what is wrong."""

    name: str
    lines: list = field(default_factory=list)
    numbers: dict = field(default_factory=dict)
    wrong: list = field(default_factory=list)

    def line(self, text):
        self.lines.append(text)

    def expect(self, good, text):
        if not good:
            self.wrong.append(text)


class Proof:
    """A bundle on the current device; ``closure`` are the events of that check, ``sizes`` the exponents of rates."""

    def __init__(self, folder, closure, sizes):
        self.folder, self.closure, self.sizes = Path(folder), closure, sizes
        self.manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        self.arrays = np.load(self.folder / "arrays.npz")
        self.there, self.compiled = {}, {}

    @cached_property
    def sources(self):
        return {name: (self.folder / f"{name}.cu").read_text(encoding="utf-8") for name in self.manifest["sources"]}

    def kernel(self, program, name):
        """A kernel, compiled once."""
        if (program, name) not in self.compiled:
            options = tuple(self.manifest["options"])
            self.compiled[program, name] = Kernel(self.sources[program], name, options, self.manifest["threads"])
        return self.compiled[program, name]

    def on_device(self, name):
        """An array of the bundle, copied once."""
        if name not in self.there:
            self.there[name] = cupy.asarray(self.arrays[name])
        return self.there[name]

    def cases(self, *groups):
        return [case for case in self.manifest["cases"] if case["group"] in groups]

    def arguments(self, case, n=None, start=None, outputs=()):
        """Arguments of a launch: the case's own, or from another event on, with these outputs instead of new ones."""
        found, outputs = [], list(outputs)
        for i, (kind, value) in enumerate(case["arguments"]):
            if i in case["outputs"]:
                given = outputs.pop(0) if outputs else None
                found.append(self.output(case, kind, value) if given is None else given)
            elif kind == "array":
                found.append(self.on_device(value))
            else:
                found.append(np.dtype(kind).type(value))
        if start is not None:
            found[:2] = np.int64(start), np.int64(n)
        return found

    def output(self, case, kind, shape):
        return cupy.full(tuple(shape), POISON[np.dtype(kind).kind] if case["fill"] == "poison" else 0, dtype=kind)

    def run(self, case):
        """Outputs of a case."""
        arguments = self.arguments(case)
        self.kernel(case["program"], case["kernel"])(case["n"], *arguments)
        return [arguments[i] for i in case["outputs"]]

    def columns(self, case, n, start):
        """Events of a case's kernel from a start on, in columns of their own."""
        columns = [cupy.empty(n, dtype=case["arguments"][i][0]) for i in case["outputs"]]
        self.kernel(case["program"], case["kernel"])(n, *self.arguments(case, n, start, columns))
        return columns

    def first_case(self, kind, precision):
        """The first case of events of a kind of table, None if the bundle has none."""
        found = [case for case in self.cases("events") if case["name"].startswith(f"{kind} {precision} ")]
        return found[0] if found else None


def stack(proof, report):
    """What runs here: card, driver, CuPy, NumPy, and what the bundle was made with."""
    device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    report.numbers |= {
        "card": device["name"].decode(),
        "capability": f"{device['major']}.{device['minor']}",
        "processors": device["multiProcessorCount"],
        "memory_GB": round(device["totalGlobalMem"] / 1e9, 1),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "bundle": proof.manifest["versions"],
    }
    report.line(", ".join(f"{key} {value}" for key, value in report.numbers.items() if key != "bundle"))
    driver, runtime = (report.numbers[key] // 1000 for key in ("driver", "runtime"))
    report.expect(driver >= runtime, f"the driver is of CUDA {driver}, CuPy of CUDA {runtime}: take that for {driver}")


def compiled(proof, report):
    """Every kernel compiles for this card; its time, registers, and no spill."""
    names = sorted({(case["program"], case["kernel"]) for case in proof.manifest["cases"]})
    for program, name in names:
        kernel = proof.kernel(program, name)
        report.numbers[f"{program}: {name}"] = {
            "seconds": NOT_MEASURED if STAND_IN else round(kernel.compiled_in, 3),
            "registers": kernel.registers,
            "local_bytes": kernel.local_bytes,
        }
        took = NOT_MEASURED if STAND_IN else f"{kernel.compiled_in:.2f} s, {kernel.registers} registers"
        report.line(f"{name:32s} {took}")
        if not STAND_IN and program in IN_REGISTERS:
            report.expect(kernel.local_bytes == 0, f"{name} has {kernel.local_bytes} bytes of local memory: it spills")


def difference(case, found, expected):
    """What is wrong: whole numbers, floats beyond rounding, events with such; units of the last place, same bits."""
    wrong = off_numbers = equal = total = 0
    units, off_events = 0.0, np.zeros(case["n"], dtype=bool)
    scales = case["scale"] if isinstance(case["scale"], list) else [case["scale"]] * len(expected)
    for one, other, scale in zip(found, expected, scales, strict=True):
        if one.dtype != other.dtype or one.shape != other.shape:
            return {"wrong": other.size, "off": 0, "events_off": 0, "units": math.inf, "same_bits": 0.0}
        same = (one == other) | ((one != one) & (other != other))
        equal, total = equal + int(same.sum()), total + same.size
        if other.dtype.kind != "f":
            wrong += int((~same).sum())
            continue
        allowed = 1 + np.abs(other).max(axis=0) if scale == "event" else scale
        distance = np.abs(one.astype(np.float64) - other) / allowed
        distance = np.where(same, 0.0, np.where(distance == distance, distance, np.inf))
        off = distance > case["relative"]
        off_numbers += int(off.sum())
        if off.ndim == 1 and len(off) == case["n"]:
            off_events |= off
        near = distance[~off]
        units = max(units, float(near.max() / np.finfo(other.dtype).eps) if near.size else 0.0)
    shares = {"events_off": int(off_events.sum()), "units": round(units, 2), "same_bits": round(equal / total, 6)}
    return {"wrong": wrong, "off": off_numbers, **shares}


def compare(proof, case):
    """What `difference` says of a case; sums of threads that share a toy are added first."""
    found = [array.sum(axis=-1) if case["fill"] == "zero" else array for array in proof.run(case)]
    return difference(case, [array.get() for array in found], [proof.arrays[name] for name in case["expected"]])


def events(proof, report):
    """Kernels of events, in two precisions, from three numbers on: choices exact, floats to rounding, few flips."""
    flips = total = 0
    for case in proof.cases("events"):
        found = report.numbers[case["name"]] = {"events": case["n"], **compare(proof, case)}
        flips, total = flips + found["events_off"], total + case["n"]
        report.line(
            f"{case['name']:28s} {case['n']:>9,} events, {100 * found['same_bits']:.3f} % the same bits, "
            f"the others within {found['units']} units of the last place, {found['events_off']} flips"
        )
        report.expect(found["wrong"] == 0, f"{case['name']}: {found['wrong']} whole numbers are not the CPU's")
    report.numbers["flips"] = {"flips": flips, "events": total}
    # choices within rounding of a threshold: about 1e-7 of events in float32, so that 4 of a million are a fault
    report.expect(flips <= max(3, 1e-6 * total), f"{flips} of {total:,} events are others than the CPU's")


def others(proof, report, group):
    for case in proof.cases(group):
        found = report.numbers[case["name"]] = compare(proof, case)
        bad = found["wrong"] + found["off"]
        report.line(
            f"{case['name']:40s} {100 * found['same_bits']:.3f} % the same bits, "
            f"the others within {found['units']} units of the last place; wrong: {bad}"
        )
        report.expect(bad <= case["allowed"], f"{case['name']}: {bad} numbers are not the CPU's")


def momenta(proof, report):
    """Momenta behind each beam, in two precisions, from three numbers on."""
    others(proof, report, "momenta")


def stages(proof, report):
    """Uniforms, resolution, radiation and cuts."""
    others(proof, report, "stages")


def toys(proof, report):
    """Counts of toys and sums of event toys."""
    others(proof, report, "toys")


def weights(proof, report):
    """Densities of events in two models: weights are their ratios."""
    others(proof, report, "weights")


def odd_sizes(proof, report):
    """No event is left out and nothing beside the columns is touched, whatever their number and the grid."""
    for kind in ("vector", "scalar", "kpi"):
        case = proof.first_case(kind, "float32")
        if case is None:
            continue
        whole = [array.get() for array in proof.run(case)]
        start = case["arguments"][0][1]
        for n, blocks in (
            (1, None),
            (31, None),
            (127, None),
            (128, None),
            (129, None),
            (1000, None),
            (1000, 1),
            (999, 7),
        ):
            n = min(n, case["n"])
            wide = [
                cupy.full(n + 2 * GUARD, POISON[values.dtype.kind], dtype=values.dtype) for values in whole
            ]  # 16 bytes are asked of table rows alone, so columns may begin anywhere
            parts = [array[GUARD : GUARD + n] for array in wide]
            kernel = proof.kernel(case["program"], case["kernel"])
            kernel(n, *proof.arguments(case, n, start, parts), blocks=blocks)
            for array, values in zip(wide, whole, strict=True):
                host, what = array.get(), f"{kind}, {n} events, {blocks or 'all'} blocks"
                report.expect(host[GUARD : GUARD + n].tobytes() == values[:n].tobytes(), f"{what}: other events")
                beside = np.concatenate([host[:GUARD], host[GUARD + n :]])
                kept = np.full(2 * GUARD, POISON[values.dtype.kind], dtype=values.dtype)
                report.expect(beside.tobytes() == kept.tobytes(), f"{what}: written beside the column")
        report.line(f"{kind}: 1 to 1000 events, one block to all")


def one_or_many(proof, report):
    """One launch and many make the same bits, across event 2^32."""
    for kind in ("vector", "scalar", "kpi"):
        for precision in ("float32", "float64"):
            case = proof.first_case(kind, precision)
            if case is None:
                continue
            start, n = (1 << 32) - 30_000, 60_000
            whole = [array.get() for array in proof.columns(case, n, start)]
            cuts = [0, 1, 1000, 29_999, 30_000, 30_128, n]
            pieces = [
                [array.get() for array in proof.columns(case, high - low, start + low)] for low, high in pairwise(cuts)
            ]
            same = all(
                np.concatenate(column).tobytes() == values.tobytes()
                for *column, values in zip(*pieces, whole, strict=True)
            )
            report.expect(same, f"{kind} {precision}: events depend on the launch that made them")
            again = all(
                array.get().tobytes() == values.tobytes()
                for array, values in zip(proof.columns(case, n, start), whole, strict=True)
            )
            report.expect(again, f"{kind} {precision}: a second launch makes other events")
    report.line("60,000 events at once, in six launches, and again")


def pulls(sums, means, second, n):
    """Largest pull of any mean in any bin or over all bins, and of the chi-square of all, as a Gaussian one."""
    flat, m = sums.reshape(-1, sums.shape[-1]) / n, means.reshape(-1, means.shape[-1])
    s = second.reshape(-1, *second.shape[-2:])
    squares = np.einsum("bii->bi", s)
    errors = np.sqrt(np.maximum(squares - m**2, 1e-300) / n)
    overall = np.sqrt(np.maximum(squares.sum(0) - m.sum(0) ** 2, 1e-300) / n)
    d = flat - m
    chi2 = n * float((d * np.linalg.solve(s, d[:, :, None])[:, :, 0]).sum())
    degrees = d.size - 1
    # Wilson and Hilferty (1931): the cube root of a chi-square over its degrees is Gaussian
    gaussian = ((chi2 / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / math.sqrt(2 / (9 * degrees))
    totals = np.abs(d.sum(0)) / np.where(overall > 1e-12, overall, np.inf)
    return float(max((np.abs(d) / errors).max(), totals.max())), gaussian


def closure(proof, report):
    """Means of the angular functions of many events in bins of q2 against quadrature; a good card fails once in 1e6."""
    for kind, names in proof.manifest["closure"].items():
        case = proof.first_case(kind, "float32")
        edges, means, second = (proof.arrays[names[key]] for key in ("edges", "means", "second_moments"))
        kernel = proof.kernel("closure", f"{kind}_closure<float>")
        threads, chunk = 64 * kernel.threads, min(proof.closure, 1 << 25)
        sums = cupy.zeros((*means.shape, threads), dtype=np.float64)
        there = cupy.asarray(edges)
        began = time.perf_counter()
        for low in range(0, proof.closure, chunk):
            n = min(chunk, proof.closure - low)
            columns = proof.columns(case, n, low)
            kernel(n, *columns, np.int64(n), there, np.uint64(len(edges)), sums, blocks=64)
        found = sums.sum(axis=-1).get()
        took = time.perf_counter() - began
        pull, chi2 = pulls(found, means, second, proof.closure)
        report.numbers[kind] = {
            "events": proof.closure,
            "largest_pull": round(pull, 2),
            "chi_square_pull": round(chi2, 2),
            "seconds": NOT_MEASURED if STAND_IN else round(took, 2),
        }
        report.line(
            f"{kind}: {proof.closure:,} events in {took:.1f} s; largest pull {pull:.2f}, chi-square {chi2:+.2f}"
        )
        # 500 means: one is beyond 6.5 in 4e-8 of runs; the chi-square is in 3e-7, and more at its upper end
        report.expect(pull < 6.5 and chi2 < 5.5, f"{kind}: means are not those of the prediction")


def fit(proof, report):
    """A fit of counts on the device is that of the CPU; array code of the package, with NumPy's names alone."""
    sys.path.append(str(proof.folder / "modules"))  # last: what is installed comes first
    from darkpenguin.generator.statistics.counts import CountModel
    from darkpenguin.generator.statistics.fits import fit_counts

    given = proof.manifest["fit"]
    model = CountModel(given["polynomials"], ("g",), starts=[[1.0], [-1.0]])
    found = fit_counts(model, cupy.asarray(proof.arrays[given["counts"]]))
    report.expect(isinstance(found.values, cupy.ndarray), "the fit left the device")
    expected = {name: proof.arrays[given[name]] for name in ("values", "errors")}
    for name, values in expected.items():
        off = ~np.isclose(getattr(found, name).get(), values, rtol=1e-8, atol=1e-10, equal_nan=True)
        report.numbers[name] = {"fits": len(values), "off": int(off.sum())}
        report.expect(not off.any(), f"{int(off.sum())} {name} are not the CPU's")
    report.line(f"{len(expected['values']):,} fits")


def densities(proof, report):
    """What an unbinned fit sums over events, ln of their densities and its change, is the CPU's; array code too."""
    sys.path.append(str(proof.folder / "modules"))
    from darkpenguin.generator.fits.loops_gpu import log_densities

    given = {name: proof.arrays[array] for name, array in proof.manifest["densities"].items()}
    point = SimpleNamespace(**{name: given[name] for name in ("constants", "residues", "poles", "waves")})
    total, change = log_densities(cupy.asarray(given["q2"]), cupy.asarray(given["forms"]), point)
    off = (
        abs(total / given["total"].item() - 1.0),
        np.abs(change - given["change"]).max() / np.abs(given["change"]).max(),
    )
    report.numbers |= {"events": len(given["q2"]), "relative_difference": float(max(off))}
    report.expect(max(off) < 1e-11, f"the likelihood of events differs from the CPU's by {max(off):.1g}")
    report.line(f"{len(given['q2']):,} events, to {max(off):.1g}")


def files(proof, report):
    """Columns to the host and into a file come back bit by bit."""
    case = proof.first_case("vector", "float32") or proof.cases("events")[0]
    columns = proof.columns(case, 100_000, 0)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "x.npz", *[array.get() for array in columns])
        read = np.load(Path(folder) / "x.npz")
        same = all((cupy.asarray(read[f"arr_{i}"]) == array).all() for i, array in enumerate(columns))
    report.expect(same, "what was read is not what was made")
    report.line("100,000 events there and back")
