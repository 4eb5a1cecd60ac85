"""The proof with a card: kernels, stages, toys, a fit and rates against a bundle; exit code 1 on any failure.

    make gpu                            # with the package: also runs, files and toys by its own commands
    python tests/gpu BUNDLE             # a folder of `make gpu-bundle`, with CuPy and NumPy alone
    python BUNDLE                       # the same, where only the bundle is

A check is a row of CHECKS: a function of the proof and its report. What takes the package is left out where it is not.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
CACHE = tempfile.TemporaryDirectory(prefix="cupy-")
os.environ["CUPY_CACHE_DIR"] = CACHE.name  # kernels are compiled anew: their times are those of a first run

import checks  # noqa: E402
import rates  # noqa: E402
from card import STAND_IN  # noqa: E402

CHECKS = {
    "stack": checks.stack,
    "compiled": checks.compiled,
    "events": checks.events,
    "odd sizes": checks.odd_sizes,
    "one launch or many": checks.one_or_many,
    "momenta": checks.momenta,
    "stages": checks.stages,
    "toys": checks.toys,
    "weights": checks.weights,
    "fit": checks.fit,
    "densities": checks.densities,
    "files": checks.files,
    "closure": checks.closure,
    "memory": rates.memory,
    "rates": rates.kernels,
    "apart": rates.apart,
}


def with_package():
    """Rows of checks that take the package, none where it is not installed."""
    if find_spec("darkpenguin") is None or (HERE / "manifest.json").exists():
        return {}
    import package

    return package.CHECKS


def run(proof, rows):
    """Reports of all checks; one that breaks has failed."""
    for name, check in rows.items():
        report, began = checks.Report(name), time.perf_counter()
        print(f"== {name}: {check.__doc__.splitlines()[0]}", flush=True)
        try:
            check(proof, report)
        except Exception as error:
            traceback.print_exc()
            report.wrong.append(f"{type(error).__name__}: {error}".splitlines()[0])
        report.numbers["check_seconds"] = round(time.perf_counter() - began, 2)
        for line in report.lines:
            print(f"   {line}")
        for text in report.wrong:
            print(f"   FAILED: {text}")
        yield report


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, default=HERE, help="its folder; the one that this is in")
    parser.add_argument("--check", action="append", metavar="NAME", help=f"some of: {', '.join(CHECKS)}")
    parser.add_argument("--closure", type=float, default=1e5 if STAND_IN else 1e9, help="events of the closure")
    sizes = (8, 9) if STAND_IN else (20, 28)
    parser.add_argument("--sizes", type=int, nargs=2, default=sizes, help="powers of two of the rates")
    parser.add_argument("--json", type=Path, help="write all numbers")
    options = parser.parse_args(arguments)
    rows = {**CHECKS, **with_package()}
    unknown = [name for name in options.check or () if name not in rows]
    if unknown:
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(rows)}")
    if not (options.bundle / "manifest.json").is_file():
        parser.error(f"{options.bundle}: no bundle there; `make gpu-bundle` makes one")
    proof = checks.Proof(options.bundle, int(options.closure), tuple(options.sizes))
    began = time.perf_counter()
    reports = list(run(proof, {name: row for name, row in rows.items() if name in (options.check or rows)}))
    failed = [report.name for report in reports if report.wrong]
    if options.json:
        content = {report.name: {**report.numbers, "failed": report.wrong} for report in reports}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if not STAND_IN and not with_package():
        print("Left out without the package: runs, files of ROOT and Parquet, toys by its commands.")
    print(
        f"{len(reports) - len(failed)} of {len(reports)} checks passed in {time.perf_counter() - began:.0f} s", end=""
    )
    print(f"; FAILED: {', '.join(failed)}" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
