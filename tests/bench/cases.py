"""What is measured, a function a row: each prepares its work, and returns what is timed and how many things it makes.

    python tests/bench/cases.py NAME SIZE REPEATS      # what the driver runs, in a process of its own

Cases use names that older commits have too, so that two commits can be compared; where a function has moved, `find`
looks in each of its homes.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Work = Callable[[], int]
NARROW = ["light_vectors.0.relative_width=0.001"]
LAB: dict[str, Any] = {"beam": "lhcb-13tev", "selection": "lhcb"}
DETECTOR: dict[str, Any] = {"kpi": "swave", **LAB}


def find(name: str, *homes: str) -> Any:
    """A name of the package, from the first of its homes that exists; ``module:other`` where it had another name."""
    for home in homes:
        module, _, other = home.partition(":")
        try:
            return getattr(importlib.import_module(f"darkpenguin.{module}"), other or name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name}: not in {', '.join(homes)}")


def _process(*arguments: str) -> Work:
    """Python in a process of its own, caches warm and byte code kept, as that of an installed package is."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    def work() -> int:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
        return 1

    work()
    return work


def _command(*arguments: str) -> Work:
    """A command of ours, see `_process`."""
    return _process("-m", "darkpenguin.generator", *arguments)


def help_text(size: int) -> Work:
    """``darkpenguin --help``."""
    return _command("--help")


def first_event(size: int) -> Work:
    """A process that makes one event of a narrow K*."""
    return _command("generate", "--channel", "B0->K*0mumu", "--events", "1", "--overwrite", "--output", _scratch())


def first_event_of_chain(size: int) -> Work:
    """A process that makes one event with m_Kpi, S wave, beam, resolution and cuts."""
    options = ["--kpi", "swave", "--beam", "lhcb-13tev", "--resolution", "lhcb", "--select", "lhcb"]
    return _command(
        "generate", "--channel", "B0->K*0mumu", "--events", "1", "--overwrite", "--output", _scratch(), *options
    )


def _scratch() -> str:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return os.path.join(folder, "x.root")


def _table() -> Any:
    from darkpenguin import apply_settings, get_channel, get_model

    channel_table = find("channel_table", "generator.sampler.tables", "generator.tables")
    return channel_table(get_channel("B0->K*0mumu"), apply_settings(get_model("fig2"), NARROW))


def numpy(size: int) -> Work:
    """NumPy accept-reject of q2 and three angles, V of 0.1 % width, one thread."""
    import numpy as np
    from accept_reject import AcceptReject

    sampler, rng = AcceptReject(_table()), np.random.default_rng(1)
    return lambda: sum(len(sampler.generate(rng, 1 << 18)[0]) for _ in range(max(size >> 21, 1)))


def _sampler(precision: str, threads: int | None, **card: Any) -> Callable[[int], Work]:
    def prepare(size: int) -> Work:
        from darkpenguin import make_card

        plan_run = find("plan_run", "generator.run.plan", "generator.generate")
        asked = {"channels": "B0->K*0mumu", "model": "fig2", "set": NARROW, "device": "cpu", **card}
        plan = plan_run(make_card(events=size, precision=precision, threads=threads, **asked))

        def work() -> int:
            return sum(len(columns["q2"]) for columns in plan.chunks(plan.parts[0], reuse=True))

        work()
        return work

    return prepare


def _written(format: str, precision: str, **card: Any) -> Callable[[int], Work]:
    """A run whose file is on the disk when it ends, where a commit does not see to that, too."""

    def prepare(size: int) -> Work:
        from darkpenguin import make_card, run

        path = _scratch()
        asked = {"channels": "B0->K*0mumu", "device": "cpu", "output": path, "overwrite": True, **card}
        checked = make_card(events=size, precision=precision, format=format, **asked)
        run(checked)

        def work() -> int:
            run(checked)
            with open(path, "rb") as file:
                os.fsync(file)
            return size

        return work

    return prepare


def _bare(format: str, precision: str, synced: bool = False, **card: Any) -> Callable[[int], Work]:
    """What uproot alone makes of the same columns, from memory, in pieces of a million rows; on the disk if synced."""

    def prepare(size: int) -> Work:
        import uproot
        from darkpenguin import generate
        from darkpenguin.kinematics.base.files import bring_to_disk

        sample = generate("B0->K*0mumu", events=size, precision=precision, device="cpu", **card)
        columns = {name: sample[name] for name in sample.names}
        path, step = _scratch(), MILLION

        def work() -> int:
            with uproot.recreate(path, compression=uproot.LZ4(1)) as file:
                make = file.mktree if format == "ttree" else file.mkrntuple
                tree = make("events", {name: column.dtype for name, column in columns.items()})
                for start in range(0, size, step):
                    tree.extend({name: column[start : start + step] for name, column in columns.items()})
            if synced:
                bring_to_disk(Path(path))
            return size

        work()
        return work

    return prepare


def imports(size: int) -> Work:
    """A process that imports what every run needs."""
    return _process("-c", "import numba, uproot")


def _kpi(theory: dict[str, Any] | None = None) -> Callable[[int], Work]:
    def prepare(size: int) -> Work:
        from darkpenguin import get_channel, get_model

        table_of = find("kpi_table", "generator.sampler.kpi_tables", "generator.kpi_tables")
        system, decay_of = find("resolve_kpi", "physics.kpi")("swave"), find("KpiDecay", "physics.kpi")
        model = find("as_model", "physics.models")("sm", theory=theory) if theory else get_model("sm")
        decay = decay_of(get_channel("B0->K*0mumu"), model, system)
        decay.strength  # amplitudes in memory  # noqa: B018

        def work() -> int:
            table_of(decay)
            return 1

        return work

    return prepare


def predictions(size: int) -> Work:
    """R_K*0 and P5' in six bins for one model after another, each with another mass of V."""
    from darkpenguin import apply_settings, get_model, predict

    edges = [1.1, 2.0, 3.0, 4.0, 5.0, 6.0]
    models = [apply_settings(get_model("fig2"), [f"light_vectors.0.mass={2.0 + 0.01 * i}"]) for i in range(20)]

    def work() -> int:
        for model in models:
            predict(["R_K*0", "P5p"], model=model, bins=edges)
        return len(models)

    work()
    return work


COUPLINGS = "generator.toys.couplings"
YIELDS = ("generator.toys.yields", "generator.yields")
DRAWS = ("generator.statistics.draws", "generator.toys")


def _bins() -> tuple[Any, Any]:
    """40 bins of q2 in four channels, with LHCb's yields."""
    channels = ["B+->K+mumu", "B+->K+ee", "B0->K*0mumu", "B0->K*0ee"]
    edges = [1.1 + 0.49 * i for i in range(11)]
    return find("get_dataset", "generator.toys.datasets", YIELDS[1])("lhcb-run12"), find(
        "binned_yields", YIELDS[0], *(f"{home}:make_bins" for home in YIELDS)
    )(channels, edges)


def binned_toys(size: int) -> Work:
    """Binned toys with likelihood ratios of four hypotheses."""
    from darkpenguin import get_model

    ratio = find("likelihood_ratio", "generator.statistics.hypotheses", "generator.hypotheses")
    draw = find("draw_poisson", *DRAWS)
    models = [get_model(name) for name in ("sm", "heavy-c9", "heavy-c9-c10", "fig1-2.5gev")]
    signal, background = find("expected_counts", *YIELDS)(models, *_bins())

    def work() -> int:
        return len(ratio(draw(signal[0] + background, seed=1, start=0, stop=size), signal + background))

    work()
    return work


def profiled_toys(size: int) -> Work:
    """Binned toys with a coupling and nuisance parameters fitted."""
    from darkpenguin import get_model

    systematics = find("Systematics", "generator.toys.systematics", YIELDS[1])(theory=True)
    counts = find("quadratic_counts", COUPLINGS, f"{COUPLINGS}:count_model", f"{YIELDS[1]}:count_model")
    model = counts(get_model("fig1-2.5gev"), {"g": {"light_vectors.0.g_bs": 1e-8}}, *_bins(), systematics)
    fit = find("fit_counts", "generator.statistics.fits", "generator.fits")
    toys = find("binned_toys", *DRAWS)(model, [-1.75], seed=1, stop=size)

    def work() -> int:
        fit(model, toys.counts, toys.auxiliary)
        return size

    return work


def event_toys(size: int) -> Work:
    """Toys of 5,000 events each with moments in three bins."""
    from darkpenguin import get_channel, get_model

    channel = get_channel("B0->K*0mumu")
    table = find("channel_table", "generator.sampler.tables", "generator.tables")(
        channel, get_model("fig1-2.5gev"), q2_ranges=[(1.1, 6.0)]
    )
    moments = find("event_moments", "generator.toys.moments", "generator.event_toys")
    stream = find("stream_word", *DRAWS)(0, find("EVENTS", *DRAWS), channel.index)

    def work(toys: int = size) -> int:
        moments(table, [5_000] * toys, [1.1, 2.5, 4.0, 6.0], seed=1, stream=stream)
        return toys

    work(1)
    return work


def plane(size: int) -> Work:
    """A plane of ``size`` points of couplings on the data of 2017."""
    card = find("ScanCard", "generator.scans.card", "generator.scans")
    scan = find("scan", "generator.scans.scan", "generator.scans")
    points = max(2, round(size**0.5))

    def checked(points: int) -> Any:
        ends = {"light_vectors.0.g_mu_v": (0.0, 0.2), "light_vectors.0.g_bs": (-3e-8, 0.0)}
        axes = [{"key": key, "min": low, "max": high, "points": points} for key, (low, high) in ends.items()]
        return card(data="2017", axes=axes)

    def work() -> int:
        scan(checked(points))
        return points**2

    scan(checked(2))
    return work


def weights(size: int) -> Work:
    """Weights of events in memory to four models, tables made anew each time."""
    weigh = find("weigh", "generator.analysis.weights")
    sample = find("generate", "generator.run.generate")("B0->K*0mumu", model="sm", events=size, seed=1)
    targets = ["fig2", "heavy-c9", "heavy-c9-c10", "fig1-2.0gev"]

    def work() -> int:
        weigh(sample, targets)
        return size

    work()
    return work


def _likelihood(size: int) -> tuple[Any, Any]:
    """-2 ln L of a sample in mass, width and two couplings, and the sample."""
    from darkpenguin import FitCard, generate
    from darkpenguin.generator.fits.fit import likelihood_of

    sample = generate("B0->K*0mumu", "fig2", events=size, q2=[(1.1, 8.0)], seed=1)
    return likelihood_of(sample, FitCard.make("example")), sample


def fit(size: int) -> Work:
    """Fits of mass, width and two couplings to events, from twelve masses, with errors."""
    from darkpenguin import fit as fitted

    _, sample = _likelihood(size)

    def work() -> int:
        assert fitted(sample, "example").converged
        return size

    return work


def fit_gradient(size: int) -> Work:
    """-2 ln L and its gradient at one new mass after another."""
    cost, _ = _likelihood(size)
    place = [2.4, 0.2, -1.5e-8, 0.1]

    def work() -> int:
        for _ in range(5):
            place[0] += 1e-4
            cost.gradient(*place)
        return 5 * size

    return work


def fit_numpy(size: int) -> Work:
    """-2 ln L alone of the same density, its amplitudes evaluated at every event with NumPy."""
    import numpy as np
    from darkpenguin import apply_settings, get_channel, get_model
    from darkpenguin.physics.angular import event_density
    from darkpenguin.physics.densities import VECTOR

    _, sample = _likelihood(size)
    columns = {name: np.asarray(sample[name]) for name in (*VECTOR.angles, "q2", "flavour")}
    f, mass = VECTOR.basis(*(columns[name] for name in VECTOR.angles)), [2.4]

    def work() -> int:
        mass[0] += 1e-4
        model = apply_settings(get_model("fig2"), f"light_vectors.0.mass={mass[0]}")
        for flavour in (1, -1):
            chosen = columns["flavour"] == flavour
            j = event_density(get_channel("B0->K*0mumu"), model, columns["q2"][chosen], flavour)
            np.log(np.sum(j * f[:, chosen], axis=0)).sum()
        return size

    return work


class Case(NamedTuple):
    """A row: what is measured, in which unit, at which size, and the case that it is compared with."""

    prepare: Callable[[int], Work]
    what: str
    unit: str
    size: int
    beside: str = ""


MILLION = 1 << 20


def _to_disk(name: str, what: str, size: int, card: dict[str, Any], *kinds: str) -> dict[str, Case]:
    """Rows of events written to disk, each beside uproot alone with the same columns."""
    found = {}
    for kind in kinds:
        format, bits = kind[:-2], kind[-2:]
        alone = f"{name}bare-{kind}"
        told = f"{what}, {format}, float{bits}"
        found[alone] = Case(_bare(format, f"float{bits}", **card), f"{told}: uproot alone", "events/s", size)
        found[f"{name}{kind}"] = Case(_written(format, f"float{bits}", **card), told, "events/s", size, alone)
    return found


TO_DISK_FROM_LAB = _to_disk(
    "lab-", "K* narrow, laboratory", 2 * MILLION, {"resolution": "lhcb", **LAB}, "ttree64", "ttree32"
)
CASES: dict[str, Case] = {
    "help": Case(help_text, "darkpenguin --help", "1/s", 1),
    "imports": Case(imports, "import numba, uproot", "1/s", 1),
    "first": Case(first_event, "process with a first event, K* narrow", "1/s", 1, "imports"),
    "first-chain": Case(first_event_of_chain, "process with a first event, whole chain", "1/s", 1, "first"),
    "numpy": Case(numpy, "NumPy accept-reject, q2 and angles", "events/s", 8 * MILLION),
    "sampler-1": Case(_sampler("float64", 1), "q2 and angles, float64, 1 thread", "events/s", 8 * MILLION),
    "sampler": Case(_sampler("float64", None), "q2 and angles, float64", "events/s", 32 * MILLION),
    "sampler-charm": Case(
        _sampler("float64", None, theory={"nonlocal": "resonances"}),
        "the same with all charmonium",
        "events/s",
        32 * MILLION,
    ),
    "sampler32-1": Case(_sampler("float32", 1), "q2 and angles, float32, 1 thread", "events/s", 8 * MILLION),
    "sampler32": Case(_sampler("float32", None), "q2 and angles, float32", "events/s", 32 * MILLION),
    "chain": Case(_sampler("float64", None, **DETECTOR), "m_Kpi, momenta, beam, cut, float64", "events/s", 8 * MILLION),
    "chain32": Case(
        _sampler("float32", None, **DETECTOR), "m_Kpi, momenta, beam, cut, float32", "events/s", 8 * MILLION
    ),
    "chain-radiation": Case(
        _sampler("float64", None, theory={"radiation": "leading-log"}, **DETECTOR),
        "the same with radiation, float64",
        "events/s",
        8 * MILLION,
        "chain",
    ),
    "sampler32-gpu": Case(
        _sampler("float32", None, device="gpu"), "q2 and angles, float32, GPU and copy", "events/s", 512 * MILLION
    ),
    "chain32-gpu": Case(
        _sampler("float32", None, device="gpu", **DETECTOR), "chain, float32, GPU and copy", "events/s", 128 * MILLION
    ),
    **_to_disk("", "q2 and angles", 8 * MILLION, {}, "ttree64", "ttree32", "rntuple64", "rntuple32"),
    **TO_DISK_FROM_LAB,
    **{
        f"{name}-cpu": row._replace(
            what=f"{row.what}, by CPU time", unit="events/CPU s", beside=row.beside and f"{row.beside}-cpu"
        )
        for name, row in TO_DISK_FROM_LAB.items()
    },
    **_to_disk("chain-", "whole chain", 2 * MILLION, {"resolution": "lhcb", **DETECTOR}, "ttree64", "ttree32"),
    "kpi-table": Case(_kpi(), "table of m_Kpi with S wave", "1/s", 1),
    "kpi-charm": Case(_kpi({"nonlocal": "resonances"}), "the same with all charmonium, all of q2", "1/s", 1),
    "predict": Case(predictions, "R_K*0 and P5' in 5 bins of one model", "1/s", 1),
    "binned-toys": Case(binned_toys, "toys of 40 bins, ratios of 4 hypotheses", "1/s", 100_000),
    "profiled-toys": Case(profiled_toys, "toys of 40 bins, a coupling and 5 nuisances fitted", "1/s", 10_000),
    "event-toys": Case(event_toys, "toys of 5,000 events with moments", "1/s", 1_000),
    "weigh": Case(weights, "weights to 4 models, float64, in memory", "events/s", 8 * MILLION, "sampler"),
    "weigh-cpu": Case(weights, "the same by CPU time, of all threads", "events/CPU s", 8 * MILLION, "sampler-1"),
    "fit-numpy": Case(fit_numpy, "-2 ln L of events with NumPy, without gradient", "events/s", 100_000),
    "fit-gradient": Case(fit_gradient, "-2 ln L of events with its gradient", "events/s", 100_000, "fit-numpy"),
    "fit": Case(fit, "fit of events: m, width, g and C9 of B0 -> K*0 mumu", "events/s", 100_000),
    "plane": Case(plane, "points of a plane of two couplings", "1/s", 160_000),
}
"""All cases by name; the first column of the report."""


def measure(name: str, size: int, repeats: int) -> list[float]:
    """Rates of a case, one a repetition."""
    case = CASES[name]
    work = case.prepare(size or case.size)
    clock = time.process_time if "CPU" in case.unit else time.perf_counter
    rates = []
    for _ in range(repeats):
        began = clock()
        made = work()
        rates.append(made / (clock() - began))
    return rates


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
