"""Events made and written to disk beside uproot alone with the same columns from memory, in turns in one process.

    python tests/bench/to_disk.py 4e6 5 [narrow|chain]      # events a file, rounds

Prints as JSON, for each format and precision, the median over rounds of (uproot alone)/(ours): in seconds of the
clock, and of CPU time of all threads. 1 is as fast as uproot alone, whose columns have cost nothing; the ratio of what
writing costs leaves out the CPU time of making the events, measured in the same turns. Our file is on the disk when the
run ends; that of uproot alone may still be in memory, so by the clock it stands there brought to the disk, too.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from cases import DETECTOR, NARROW, Work, _bare, _sampler, _written

MODEL = {"model": "fig2", "set": NARROW}
WHAT = ("alone", "alone, on the disk", "ours", "of it making")
RUNS = {"narrow": MODEL, "chain": {**MODEL, "resolution": "lhcb", **DETECTOR}}


def _taken(work: Work) -> tuple[float, float]:
    began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def main(
    events: str, rounds: str, run: str = "narrow", formats: Sequence[str] = ("ttree", "rntuple")
) -> dict[str, dict[str, float]]:
    """Ratios of every format and precision."""
    size, card, found = int(float(events)), RUNS[run], {}
    for format in formats:
        for precision in ("float64", "float32"):
            prepare = (
                _bare(format, precision, **card),
                _bare(format, precision, synced=True, **card),
                _written(format, precision, **card),
                _sampler(precision, None, **card),
            )
            works = [prepared(size) for prepared in prepare]
            turns = [[_taken(work) for work in works] for _ in range(int(rounds))]
            cpu = [[seconds for _, seconds in turn] for turn in turns]
            found[f"{format} {precision}"] = {
                "clock": median(alone[0] / ours[0] for alone, _, ours, _ in turns),
                "clock, both on the disk": median(synced[0] / ours[0] for _, synced, ours, _ in turns),
                "CPU": median(alone / ours for alone, _, ours, _ in cpu),
                "CPU of writing": median(alone / (ours - made) for alone, _, ours, made in cpu),
                **{
                    f"CPU ns an event, {what}": min(seconds) / size * 1e9
                    for what, seconds in zip(WHAT, zip(*cpu, strict=True), strict=True)
                },
            }
    return found


if __name__ == "__main__":
    rounded = json.loads(json.dumps(main(*sys.argv[1:])), parse_float=lambda text: float(f"{float(text):.3g}"))
    print(json.dumps(rounded, indent=1))
