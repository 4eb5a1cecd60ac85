"""Rates of this tree, alone or beside those of another commit in the same run.

    make bench                                        # every case, those of a GPU where there is one
    python tests/bench sampler chain --against v0.1.0  # two cases, beside a commit, in turns

Machines differ by a factor of four and are shared, so a rate alone says little. Compare ratios: to the NumPy
accept-reject of the same run, and with ``--against`` to another commit, whose processes take turns with ours. Each
case is its fastest repetition: what else runs on a machine only makes it slower.

Another commit runs with the packages of this environment. One from before 1c3a048 does not run with those of today:
give both an environment in which ``pip install 'particle<1'`` came after that of this tree.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from cases import CASES  # noqa: E402   # beside this file, which is run as a script

ROOMS = ("generator", "kinematics", "physics")


def importable(tree: Path, site: Path) -> Path:
    """A folder for PYTHONPATH in which ``darkpenguin`` is the package of a source tree."""
    package = site / "darkpenguin"
    package.mkdir(parents=True)
    for source in (*(tree / "generator/_root").glob("*.py"), *(tree / room for room in ROOMS)):
        (package / source.name).symlink_to(source)
    return site


@contextlib.contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """A checkout of a commit, as a folder for PYTHONPATH."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=HERE, check=True)
        try:
            yield importable(tree, Path(folder) / "site")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=HERE, check=True)


def rates(case: str, site: Path, size: int, repeats: int) -> list[float]:
    """Rates of a case in a process of its own; a case that a commit cannot run has none."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, HERE / "cases.py", case, str(size), str(repeats)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{case}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}", file=sys.stderr)
        return []
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def together(cases: list[str]) -> list[list[str]]:
    """Cases in groups: those that are compared take turns, since what else runs on a machine changes in seconds."""
    groups: list[list[str]] = []
    for case in cases:
        known = next((group for group in groups if CASES[case].beside in group), None)
        if known is None:
            groups.append([case])
        else:
            known.append(case)
    return groups


def compare(cases: list[str], sites: dict[str, Path], size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Best rate of each case on each tree, the trees taking turns within every case and the cases in their group."""
    best: dict[str, dict[str, float]] = {}
    for group in together(cases):
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(rounds):
            for case in group:
                for name, site in sites.items():
                    found.setdefault((case, name), []).extend(rates(case, site, size, 2))
        for case in group:
            best[case] = {name: max(found[case, name]) for name in sites if found[case, name]}
            print(line(case, best[case], best), flush=True)
    return best


def line(case: str, found: dict[str, float], best: dict[str, dict[str, float]]) -> str:
    """One line of the report: the rate, its ratio to NumPy's and to the other commit's."""
    row = CASES[case]
    text = f"{case:22s} {row.what:48s}"
    for name, rate in found.items():
        scale, unit = (1e6, f"M {row.unit}") if row.unit.startswith("events/") else (1.0, row.unit)
        text += f" {name}: {rate / scale:8.3g} {unit}"
    here = found.get("here")
    reference = best.get("numpy", {}).get("here")
    if here and reference and row.unit == "events/s":
        text += f"  x{here / reference:.0f} NumPy"
    beside = best.get(row.beside, {}).get("here")
    if here and beside:
        text += f"  x{here / beside:.2f} of {row.beside}"
    for name, rate in found.items():
        if name != "here" and here:
            text += f"  x{here / rate:.2f} of {name}"
    return text


def default_cases() -> list[str]:
    """All cases that this machine can run."""
    from darkpenguin.generator.sampler.backend import missing_for_gpu

    return [name for name in CASES if not name.endswith("-gpu") or missing_for_gpu() is None]


def main() -> None:
    """Measure and print; with ``--json`` keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all without any")
    parser.add_argument("--against", metavar="COMMIT", help="measure another commit in turns with this tree")
    parser.add_argument("--rounds", type=int, default=3, help="processes a case and tree, two repetitions in each")
    parser.add_argument("--size", type=int, default=0, help="events of a repetition; the case's own without it")
    parser.add_argument("--json", metavar="FILE", help="write the numbers and what they were measured on")
    options = parser.parse_args()
    chosen = options.cases or default_cases()
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sites = {"here": importable(HERE.parents[1], folder)}
        if options.against:
            sites[options.against] = stack.enter_context(tree_of(options.against))
        best = compare(chosen, sites, options.size, options.rounds)
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        content = {"machine": machine, "python": platform.python_version(), "rates": best}
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
