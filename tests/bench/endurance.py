"""What a run stands: killed at random moments, started eight times on a cold cache, on a full disk, and at length.

    python tests/bench/endurance.py kills 100 [x.hepmc ...]   # each writer, killed so often while it writes a real run
    python tests/bench/endurance.py cold 8        # so many jobs at once, none of whose compiled code is there
    python tests/bench/endurance.py full 50       # so many runs on a small disk that fills up while they write
    python tests/bench/endurance.py memory 1e8    # memory of 1e6 and so many events; of ten times as many in histograms
    python tests/bench/endurance.py toys 1e5

Each prints its counts as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "darkpenguin.generator"]
HISTOGRAMS = {"q2": {"axes": {"column": "q2", "bins": 100, "min": 0, "max": 20}}}
Written = tuple[Callable[[], object], Callable[[], bool]]
"""What writes, and whether all that is there afterwards is whole."""


def _events(path: Path, **keys: Any) -> Written:
    from darkpenguin import make_card
    from darkpenguin.generator.files.verify import damages
    from darkpenguin.generator.run.generate import execute
    from darkpenguin.generator.run.plan import plan_run
    from darkpenguin.generator.run.reduce import is_reduced, read

    asked = {"channels": "B0->K*0mumu", "events": 300_000, "threads": 1, "output": str(path), "overwrite": True}
    plan = plan_run(make_card({**asked, **keys}))

    def whole() -> bool:
        return read(path).provenance["events"] == 300_000 if is_reduced(path) else damages(path) == []

    return lambda: execute(plan), whole


def _texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def _hepmc(path: Path) -> Written:
    from darkpenguin import generate
    from darkpenguin.generator.files.hepmc import write_hepmc

    sample = generate("B0->K*0mumu", events=3_000, beam="lhcb-13tev", threads=1)
    write_hepmc(sample, path)
    known = _texts(path.parent)
    return lambda: write_hepmc(sample, path, overwrite=True), lambda: _texts(path.parent) == known


def _scan(path: Path) -> Written:
    """A plane of couplings with a checkpoint, and the files of it."""
    from darkpenguin.generator.scans.card import ScanCard
    from darkpenguin.generator.scans.files import write_scan
    from darkpenguin.generator.scans.scan import scan

    ends = {"light_vectors.0.mass": (2.0, 3.0, 1), "light_vectors.0.g_mu_v": (0.0, 0.2, 21)}
    ends["light_vectors.0.g_bs"] = (-3e-8, 0.0, 21)
    axes = [{"key": key, "min": low, "max": high, "points": n} for key, (low, high, n) in ends.items()]
    card = ScanCard.make({"model": "fig2", "data": "2017", "theory": "none", "axes": axes})

    def write() -> None:
        write_scan(scan(card, "cpu", path.parent / ".scan.partial"), path.parent, overwrite=True)

    write()
    known = _texts(path.parent)
    return write, lambda: _texts(path.parent) == known


def _toys(path: Path) -> Written:
    """Toys from nothing or from the pieces of a job that was killed; what is there already would not be written."""
    from darkpenguin import read_toys, toys

    keys = {"observables": ["R_K+"], "fit": {}, "theory": False, "toys": 5_000}

    def write() -> None:
        path.unlink(missing_ok=True)
        toys(keys, path, threads=1)

    write()
    known = read_toys(path).columns

    def whole() -> bool:
        if not path.exists():
            return True
        found = read_toys(path).columns
        return all(found[name].tobytes() == column.tobytes() for name, column in known.items())

    return write, whole


WRITERS: dict[str, Callable[[Path], Written]] = {
    "x.root": _events,
    "n.root": lambda path: _events(path, format="rntuple"),
    "x.parquet": _events,
    "h.root": lambda path: _events(path, reduce=HISTOGRAMS),
    "x.hepmc": _hepmc,
    "scan": _scan,
    "toys.root": _toys,
}


def kills(count: str, *names: str) -> dict[str, Any]:
    """How often each writer died on the way, what it left behind, and how many files were not whole after that."""
    found = {}
    for name in names or WRITERS:
        draw, counts = random.Random(name), {"kills": 0, "left behind": 0, "damaged": 0, "not cleaned": 0}
        with tempfile.TemporaryDirectory() as folder:
            write, whole = WRITERS[name](Path(folder) / name)
            write()
            seconds = _seconds(write)
            for _ in range(int(count)):
                counts["kills"] += os.WIFSIGNALED(_killed(write, draw.uniform(0.0, seconds)))
                counts["left behind"] += bool(_hidden(folder))
                counts["damaged"] += not whole()
            write()
            counts["not cleaned"] = len(_hidden(folder))
        found[name] = counts
    return found


def _hidden(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _killed(work: Callable[[], object], after: float) -> int:
    """The status of a process that works and is killed after some seconds."""
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


def _generate(output: Path, events: str, *options: str) -> list[str]:
    return [*COMMAND, "generate", "--channel", "B0->K*0mumu", "--events", events, "--output", str(output), *options]


def cold(jobs: str) -> dict[str, Any]:
    """Exit codes of jobs that start together on an empty cache, and whether their columns are the same."""
    from darkpenguin import read_events

    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DARKPENGUIN_CACHE": f"{folder}/cache"}
        paths = [Path(folder) / f"{number}.root" for number in range(int(jobs))]
        began = time.perf_counter()
        started = [
            subprocess.Popen(_generate(path, "1e4"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            for path in paths
        ]
        errors = [process.communicate()[1].decode() for process in started]
        seconds = time.perf_counter() - began
        samples = [read_events(path) for path in paths]
        same = all((one[name] == samples[0][name]).all() for one in samples for name in one.names)
        left = [path for path in Path(folder, "cache").rglob("*") if ".part" in path.name or ".lock" in path.name]
    return {
        "exit codes": [process.returncode for process in started],
        "warnings": sum("warning" in error for error in errors),
        "columns equal": bool(same),
        "left in the cache": len(left),
        "seconds": round(seconds, 1),
    }


def full(times: str) -> dict[str, Any]:
    """Ends of runs on a tmpfs of 32 MB that somebody fills while they write; it takes the right to mount one."""
    codes: dict[int, int] = {}
    lines = left = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], check=True)
        try:
            for _ in range(int(times)):
                command = _generate(Path(folder) / "x.root", "4e5")
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                while process.poll() is None and not any(name.endswith(".part") for name in os.listdir(folder)):
                    time.sleep(0.001)
                filler = Path(folder) / "filler"
                with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
                    while stream.write(bytes(1 << 16)):
                        pass
                error = process.communicate()[1]
                codes[process.returncode] = codes.get(process.returncode, 0) + 1
                lines += sum("error" in line for line in error.splitlines())
                filler.unlink()
                left += len(os.listdir(folder))
                for path in Path(folder).iterdir():
                    path.unlink()
        finally:
            subprocess.run(["umount", folder], check=True)
    return {"exit codes": codes, "error lines": lines, "left behind": left}


def memory(events: str, *kinds: str) -> dict[str, Any]:
    """Largest memory (MB) of runs of two sizes in float32, into a file and into histograms, or one of these."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "h.toml"
        card.write_text('[q2]\naxes = { column = "q2", bins = 100, min = 0, max = 20 }\n', encoding="utf-8")
        options = {"file": (), "histograms": ("--reduce", str(card))}
        for name in kinds or options:
            for n in ("1e6", events if name == "file" else f"{10 * float(events):g}"):
                path = Path(folder) / "x.root"
                command = _generate(path, n, "--overwrite", "--precision", "float32", *options[name])
                began = time.perf_counter()
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                _, status, used = os.wait4(process.pid, 0)
                found[f"{name}, {n} events"] = {
                    "MB": used.ru_maxrss // 1024,
                    "seconds": round(time.perf_counter() - began, 1),
                    "CPU seconds": round(used.ru_utime + used.ru_stime, 1),
                    "exit code": os.waitstatus_to_exitcode(status),
                    "MB of the file": path.stat().st_size // 1_000_000 if path.exists() else 0,
                }
    return found


def toys(count: str) -> dict[str, Any]:
    """Toys asked for and in the file, and what it took."""
    import uproot

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.root"
        began = time.perf_counter()
        subprocess.run([*COMMAND, "toys", "--toys", count, "--output", str(path)], check=True, capture_output=True)
        with uproot.open(path) as file:
            n = int(file["toys"].num_entries)
        return {"asked": count, "rows": n, "seconds": round(time.perf_counter() - began, 1)}


if __name__ == "__main__":
    work = {"kills": kills, "cold": cold, "full": full, "memory": memory, "toys": toys}[sys.argv[1]]
    print(json.dumps(work(*sys.argv[2:])))
