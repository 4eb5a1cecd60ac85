"""What the proof on a card compares with: launches of the package's kernels with their arguments and the CPU's results.

    python tests/gpu/bundle.py FOLDER|FILE.zip [--events 250000] [--kinds vector,scalar,kpi]

The package's own functions are called on the stand-in for CuPy, where every launch is recorded instead of run, and the
CPU's give what it should have made. So a bundle holds what a run on a card would do, argument by argument: CUDA
sources, tables, columns, and the proof itself. ``python FOLDER`` needs a card, CuPy and NumPy.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "stand_in")]  # also where CuPy is installed: nothing runs on a card here

import array_api_compat  # noqa: E402
import cupy  # noqa: E402
import numpy as np  # noqa: E402
from darkpenguin.generator.analysis import densities_gpu  # noqa: E402
from darkpenguin.generator.analysis.event_density import NarrowDensities  # noqa: E402
from darkpenguin.generator.analysis.validate import predict_channel  # noqa: E402
from darkpenguin.generator.files.provenance import package_versions  # noqa: E402
from darkpenguin.generator.fits.card import FitCard  # noqa: E402
from darkpenguin.generator.fits.fit import likelihood_of  # noqa: E402
from darkpenguin.generator.lab import expressions_gpu, smearing_gpu  # noqa: E402
from darkpenguin.generator.lab.expressions import parse  # noqa: E402
from darkpenguin.generator.lab.momenta import momenta  # noqa: E402
from darkpenguin.generator.lab.radiation import radiate  # noqa: E402
from darkpenguin.generator.lab.selection import combine  # noqa: E402
from darkpenguin.generator.lab.settings import ResolutionSettings  # noqa: E402
from darkpenguin.generator.lab.smearing import Smearing, smear  # noqa: E402
from darkpenguin.generator.lab.stages import Place  # noqa: E402
from darkpenguin.generator.run.generate import generate  # noqa: E402
from darkpenguin.generator.sampler import gpu, rng  # noqa: E402
from darkpenguin.generator.sampler.backend import CpuBackend, GpuBackend  # noqa: E402
from darkpenguin.generator.sampler.event import angular_functions, scalar_functions  # noqa: E402
from darkpenguin.generator.sampler.kpi_tables import kpi_table  # noqa: E402
from darkpenguin.generator.sampler.tables import channel_table  # noqa: E402
from darkpenguin.generator.statistics.counts import CountModel  # noqa: E402
from darkpenguin.generator.statistics.draws import EVENTS, draw_poisson, stream_word  # noqa: E402
from darkpenguin.generator.statistics.fits import fit_counts  # noqa: E402
from darkpenguin.generator.toys import gpu as toys_gpu  # noqa: E402
from darkpenguin.generator.toys.moments import event_moments  # noqa: E402
from darkpenguin.kinematics.base import cuda  # noqa: E402
from darkpenguin.physics.channels import get_channel  # noqa: E402
from darkpenguin.physics.final_state import masses  # noqa: E402
from darkpenguin.physics.kpi import KpiDecay, resolve_kpi  # noqa: E402
from darkpenguin.physics.models import get_model  # noqa: E402

TOP = HERE.parents[1]
MODEL = "fig2"
CHANNELS = {"vector": "B0->K*0mumu", "scalar": "B+->K+mumu", "kpi": "B0->K*0mumu"}
SEED, STREAM = 7 + (3 << 32), 9
MIDDLES = {"0": 0, "2^32": 1 << 32, "2^40": 1 << 40}
"""Numbers around which events are made, from there on where it is 0."""
TABLE = {"kind": "histogram", "pt_edges": [0, 2, 9], "eta_edges": [2, 3, 5], "weights": [[1, 2], [3, 4]]}
BEAMS = {"none": None, "rest": "rest", "belle2": "belle2", "lhcb": "lhcb-13tev", "cells": TABLE}
CUTS = (
    "pt(k) > 0.25 and 2 < eta(lp) < 4.5",
    "m(lp, lm) > 0.5 or angle(k, lp) < 0.3",
    "-q2 % 0.7 < 0.6 and min(pt(lp), pt(lm)) > 0.1",
)
FIT = ("statistics/counts", "statistics/fits", "statistics/minimise", "fits/loops_gpu")
"""Modules that fits on the device need, with what they import: NumPy alone."""
PROOF = ("__main__", "card", "checks", "rates")
"""The modules of the proof that need nothing of the package."""
CLOSURE_BINS = 20


class Bundle:
    """Cases and arrays in the making; ``write`` puts them into a folder."""

    def __init__(self):
        self.arrays, self.sources, self.cases, self.launched = {}, {}, [], []
        cuda.Program.launch = lambda *launch: self.launched.append(launch)

    def array(self, values):
        """Name of an array in the bundle, once for all that are the same."""
        held = np.ascontiguousarray(getattr(values, "_host", values))
        if held.dtype == np.longlong:
            held = held.astype(np.int64)
        name = hashlib.sha256(held.tobytes() + f"{held.dtype} {held.shape}".encode()).hexdigest()[:16]
        self.arrays[name] = held
        return name

    def case(self, group, name, program, expected, work, *, first, relative, scale=1.0, fill="poison", allowed=0):
        """Add the one launch that `work` makes; its outputs are the arguments from ``first`` on, as many as expected.

        A float is right if it is within ``relative`` times its scale, a number for each output, or "event": the
        largest number of its event (and 1). ``allowed`` are numbers that may be off.
        """
        self.launched.clear()
        work()
        ((program_object, kernel, n, *arguments),) = self.launched
        self.sources[program] = program_object.source
        first %= len(arguments)
        outputs = range(first, first + len(expected))
        written = [
            [argument.dtype.name, argument.item()]
            if isinstance(argument, np.generic)
            else [argument.dtype.name, list(argument.shape)]
            if i in outputs
            else ["array", self.array(argument)]
            for i, argument in enumerate(arguments)
        ]
        self.cases.append(
            {
                "group": group,
                "name": name,
                "program": program,
                "kernel": kernel,
                "n": int(n),
                "arguments": written,
                "outputs": list(outputs),
                "expected": [self.array(values) for values in expected],
                "relative": relative,
                "scale": scale,
                "fill": fill,
                "allowed": allowed,
            }
        )

    def write(self, folder, more):
        """Everything, with the proof itself and what a fit needs of the package."""
        folder.mkdir(parents=True)
        np.savez(folder / "arrays.npz", **self.arrays)
        for name, source in self.sources.items():
            (folder / f"{name}.cu").write_text(source, encoding="utf-8")
        manifest = {
            "versions": package_versions(),
            "options": list(cuda.OPTIONS),
            "threads": cuda.THREADS,
            "sources": sorted(self.sources),
            "cases": self.cases,
            **more,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for name in PROOF:
            shutil.copy(HERE / f"{name}.py", folder)
        copy_modules(folder / "modules")


def copy_modules(folder):
    """What a fit needs: a few modules of the package under their names, and array-api-compat as it is."""
    package = folder / "darkpenguin"
    files = [f"generator/{name}.py" for name in FIT]
    files += [f"kinematics/base/{name}.py" for name in ("arrays", "errors", "optional", "portions")]
    for name in files:
        target = package / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / name, target)
        for room in target.relative_to(folder).parents:
            (folder / room / "__init__.py").touch()
    (folder / "__init__.py").unlink()
    compat = Path(array_api_compat.__file__).parent
    shutil.copytree(compat, folder / "array_api_compat", ignore=shutil.ignore_patterns("__pycache__", "torch", "dask"))
    for licence in compat.parent.glob("array_api_compat-*.dist-info/**/LICENSE*"):
        shutil.copy(licence, folder / "array_api_compat")


def tables(kinds):
    model = get_model(MODEL)
    made = {}
    for kind in kinds:
        channel = get_channel(CHANNELS[kind])
        if kind == "kpi":
            made[kind] = kpi_table(KpiDecay(channel, model, resolve_kpi("swave")), q2_ranges=[(1, 6)], tolerance=1e-2)
        else:
            made[kind] = channel_table(channel, model)
    return made


def range_of(middle, n):
    start = max(0, MIDDLES[middle] - n // 2)
    return start, start + n


def add_events(bundle, made, events):
    """Every kernel, precision and starting number; single precision more, whose choices are within rounding more."""
    for kind, table in made.items():
        for precision, n in (("float32", events), ("float64", events // 8)):
            for middle in MIDDLES:
                start, stop = range_of(middle, n)
                expected = CpuBackend(precision, 2).generate(table, SEED, start, stop, STREAM)
                scales = [{"phi": np.pi, "q2": max(1.0, float(expected["q2"].max()))}.get(x, 1.0) for x in expected]
                bundle.case(
                    "events",
                    f"{kind} {precision} at {middle}",
                    "sampler",
                    list(expected.values()),
                    lambda: GpuBackend(precision).generate(table, SEED, start, stop, STREAM),  # noqa: B023
                    first=-len(expected),
                    relative=16 * float(np.finfo(precision).eps),
                    scale=scales,
                )


def add_momenta(bundle, made, events):
    """Every beam, spin, precision and starting number."""
    for kind in [kind for kind in made if kind != "kpi"]:
        channel = get_channel(CHANNELS[kind])
        for precision in ("float32", "float64"):
            columns = CpuBackend(precision, 1).generate(made[kind], SEED, 0, events, STREAM)
            there = {name: cupy.asarray(values) for name, values in columns.items()}
            for beam, value in BEAMS.items():
                for middle in MIDDLES if beam == "lhcb" else ("0",):
                    keys = {"beam": value, "seed": SEED, "start": range_of(middle, events)[0], "precision": precision}
                    bundle.case(
                        "momenta",
                        f"{kind} {precision}, beam {beam}, at {middle}",
                        "momenta",
                        [np.stack(list(momenta(channel, columns, **keys).values()))],
                        lambda: momenta(channel, there, **keys),  # noqa: B023
                        first=-2,
                        relative=3e-7 if precision == "float32" else 1e-12,
                        scale="event",
                    )


def add_stages(bundle, made, events):
    """Uniforms of stages, resolution of both leptons, radiation, cuts."""
    numbers = np.arange((1 << 32) - events // 2, (1 << 32) + events // 2, dtype=np.uint64)
    bundle.case(
        "stages",
        "uniforms",
        "sampler",
        [np.stack(rng.event_uniforms(numbers, SEED, STREAM, 20))],
        lambda: gpu.event_uniforms(cupy.asarray(numbers), SEED, STREAM, 20),
        first=-1,
        relative=0.0,
    )
    channel = get_channel(CHANNELS["scalar"])
    columns = CpuBackend("float64", 1).generate(made["scalar"], SEED, 0, len(numbers), STREAM)
    moved = momenta(channel, columns, beam="lhcb-13tev", seed=SEED)
    rows = np.stack([row for name, row in moved.items() if not name.startswith("b_")])
    mass = masses(channel, get_model(MODEL))
    held = np.array([value for name, value in mass.items() if name != "b"])
    for lepton in ("mu", "e"):
        smearing = Smearing.of(ResolutionSettings(preset="lhcb"), lepton)
        bundle.case(
            "stages",
            f"resolution, {lepton}",
            "smearing",
            smear(rows, held, smearing, SEED, STREAM, numbers),
            lambda: smearing_gpu.smear(cupy.asarray(rows), held, smearing, SEED, STREAM, cupy.asarray(numbers)),  # noqa: B023
            first=-2,
            relative=1e-11,
            scale="event",
        )
    place = Place(get_channel("B+->K+ee"), SEED)
    for precision in ("float32", "float64"):
        read = [columns["q2"].astype(precision), *(row.astype(precision) for row in rows[-6:])]
        bundle.case(
            "stages",
            f"radiation, {precision}",
            "radiation",
            [radiate(read[0], read[1:], numbers, place)],
            lambda: radiate(cupy.asarray(read[0]), [*map(cupy.asarray, read[1:])], cupy.asarray(numbers), place),  # noqa: B023
            first=-1,
            relative=1e-6 if precision == "float32" else 1e-10,
            scale="event",
            allowed=13,  # a choice within rounding of its edge
        )
    known = columns | moved
    cuts = [parse(cut, tuple(known)) for cut in CUTS]
    read = {name: known[name] for name in {"q2", *(name for cut in cuts for name in cut.inputs)}}
    bundle.case(
        "stages",
        "cuts",
        "cuts",
        [combine(cuts, read, mass)],
        lambda: expressions_gpu.combine(cuts, {name: cupy.asarray(column) for name, column in read.items()}, mass),
        first=-2,
        relative=0.0,
    )


def add_toys(bundle, made, toys):
    """Counts of toys across toy 2^32, and sums over the events of event toys."""
    mean = np.array([0.0, 0.5, 3.0, 9.9, 10.1, 55.0, 4000.0])
    first = (1 << 32) - toys // 2
    bundle.case(
        "toys",
        "counts",
        "toys",
        [draw_poisson(mean, seed=SEED, start=first, stop=first + toys)],
        lambda: toys_gpu.poisson_counts(mean, toys, seed=SEED, start=first),
        first=-1,
        relative=0.0,
        allowed=2 + toys * len(mean) // 10**6,  # another logarithm at the edge of an acceptance
    )
    numbers, edges = np.array([0, 1, 70, 3000, 20_000]), np.array([1.1, 2.5, 4.0, 6.0])
    for kind in [kind for kind in made if kind != "kpi"]:
        for precision in ("float32", "float64"):
            keys = {"seed": SEED, "stream": stream_word(0, EVENTS, 3), "start": 3, "precision": precision}
            expected = event_moments(made[kind], numbers, edges, **keys)
            bundle.case(
                "toys",
                f"sums, {kind} {precision}",
                "toys",
                [np.concatenate([expected.counts[..., None], expected.sums], axis=-1)],
                lambda: toys_gpu.event_sums(made[kind], numbers, edges, **keys),  # noqa: B023
                first=-1,
                relative=1e-12 if precision == "float64" else 1e-8,
                scale=float(numbers.max()),
                fill="zero",
                allowed=26 if precision == "float32" else 0,  # two choices within rounding of a threshold
            )


def add_weights(bundle, made, events):
    """Densities of events of each kind in two models, of which weights are ratios."""
    models = [get_model(MODEL), get_model("sm")]
    for kind in [kind for kind in made if kind != "kpi"]:
        density = NarrowDensities(get_channel(CHANNELS[kind]), models, "lhcb")
        rows = [cupy.asarray(x) for x in (density.edges, density._rows)]
        for precision in ("float32", "float64"):
            columns = CpuBackend(precision, 1).generate(made[kind], SEED, 0, events, STREAM)
            expected = density(columns)
            data = [cupy.asarray(columns[name]) for name in density.variables]
            bundle.case(
                "weights",
                f"densities, {kind} {precision}",
                "densities",
                [expected],
                lambda: densities_gpu.densities(kind, data, *rows, len(models)),  # noqa: B023
                first=-1,
                relative=1e-12,
                scale=float(expected.max()),
            )


def add_closure(bundle, kinds):
    """What the means of the angular functions should be in bins of q2, by quadrature, with what they scatter by."""
    functions = {"vector": angular_functions, "scalar": scalar_functions}
    bundle.sources["closure"] = cuda.Program(HERE / "closure.cu", tuple(functions.values())).source
    found = {}
    for kind in [kind for kind in kinds if kind != "kpi"]:
        prediction = predict_channel(get_channel(CHANNELS[kind]), get_model(MODEL), n_bins=CLOSURE_BINS)
        parts = (prediction.edges, prediction.means, prediction.second_moments)
        found[kind] = dict(zip(("edges", "means", "second_moments"), map(bundle.array, parts), strict=True))
    return found


def add_fit(bundle, toys):
    """Counts with two couplings and an auxiliary measurement, and their fits on the CPU."""
    model = CountModel([[50.0, 6.0, 1.0], [90.0, -4.0, 3.0], [40.0, 1.0, 0.5]], ("g",), starts=[[1.0], [-1.0]])
    counts = draw_poisson(model.expected([0.7]), seed=SEED, start=0, stop=toys).astype(float)
    fit = fit_counts(model, counts)
    read = {"counts": counts, "values": fit.values, "errors": fit.errors}
    polynomials = [[50.0, 6.0, 1.0], [90.0, -4.0, 3.0], [40.0, 1.0, 0.5]]
    return {name: bundle.array(values) for name, values in read.items()} | {"polynomials": polynomials}


def add_densities(bundle, events):
    """Events of a fit with their matrices, and the sum of ln of their densities, with its change, on the CPU."""
    sample = generate(CHANNELS["vector"], MODEL, events=events, seed=1, q2=[(1.1, 8.0)], flavour="b", device="cpu")
    cost = likelihood_of(sample, FitCard.make(model=MODEL, float={"heavy.C9_mu": (-3.0, 3.0)}))
    part = cost.parts[0]
    point = part.amplitude.point(cost.model([0.5]))
    total, change, _ = cost._logarithms(part, point)
    read = {"q2": part.q2, "forms": np.moveaxis(part.forms, 0, -1), "total": total, "change": change, **vars(point)}
    return {name: bundle.array(values) for name, values in read.items()}


def make(folder, events=240_000, kinds=tuple(CHANNELS), others=1000):
    """Write a bundle into a new folder; ``others`` are the events of momenta and stages, and the toys."""
    bundle, made = Bundle(), tables(kinds)
    add_events(bundle, made, events)
    add_momenta(bundle, made, others)
    add_stages(bundle, made, others)
    add_toys(bundle, made, others)
    add_weights(bundle, made, others)
    more = {
        "closure": add_closure(bundle, kinds),
        "fit": add_fit(bundle, others),
        "densities": add_densities(bundle, others),
    }
    bundle.write(folder, more)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="a folder that is not there yet, or a file .zip")
    parser.add_argument(
        "--events", type=int, default=240_000, help="of every kernel and start in float32; 1/8 in float64"
    )
    parser.add_argument("--others", type=int, default=1000, help="events of momenta and stages, toys")
    parser.add_argument("--kinds", default=",".join(CHANNELS), help="of tables")
    options = parser.parse_args()
    if options.target.exists():
        parser.error(f"{options.target} exists")
    with tempfile.TemporaryDirectory(dir=options.target.resolve().parent) as temporary:
        folder = Path(temporary) / options.target.stem
        make(folder, options.events, tuple(options.kinds.split(",")), options.others)
        if options.target.suffix == ".zip":
            archive = shutil.make_archive(str(folder), "zip", temporary, folder.name)
            Path(archive).rename(options.target)
        else:
            folder.rename(options.target)
    files = [options.target] if options.target.is_file() else list(options.target.rglob("*"))
    size = sum(path.stat().st_size for path in files if path.is_file())
    print(f"{options.target}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
