"""Stop a run at random moments until it is done: python interrupts.py RUNS SIGNAL; prints what was found, as JSON.

Every start goes on from what the one before had kept, and the file is, column by column, that of a run that nothing
stopped. SIGNAL is KILL (a preempted job), TERM or INT (Ctrl-C).
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from darkpenguin.generator.commands.cli import _terminated
from darkpenguin.generator.files.sample import read_events
from darkpenguin.generator.files.verify import damages
from darkpenguin.generator.run import stream
from darkpenguin.generator.run.card import RunCard
from darkpenguin.generator.run.generate import execute
from darkpenguin.generator.run.plan import plan_run

CHUNK = 4_000
CARD = {
    "channels": ["B0->K*0mumu", "B+->K+mumu"],
    "events": 30_000,
    "beam": "lhcb-13tev",
    "selection": {"cuts": ["pt(lp) > 1"], "mode": "reject"},
    "seed": 3,
    "threads": 1,
}


def make(path, stop=None):
    """Make the events; ``stop``: a signal that we get some milliseconds after so many chunks."""
    left = [0 if stop is None else stop[1]]

    def tell(events):
        left[0] -= 1
        if left[0] == 0:
            threading.Timer(stop[2], os.kill, (os.getpid(), stop[0])).start()

    execute(plan_run(RunCard.make(CARD, output=str(path))), tell, chunk=CHUNK)


def start(path, *stop):
    """Make the events in a process of its own."""
    subprocess.run([sys.executable, __file__, "make", path, *map(str, stop)], stderr=subprocess.DEVNULL, check=False)


def same(one, other):
    a, b = read_events(one), read_events(other)
    return a.names == b.names and all(np.asarray(a[n]).tobytes() == np.asarray(b[n]).tobytes() for n in a.names)


def runs(count, number):
    draw = random.Random(number)
    found = {"runs": count, "stops": 0, "different": 0, "damaged": 0, "left behind": 0}
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.root"
        start(whole)
        for k in range(count):
            path = Path(folder) / str(k) / "x.root"
            path.parent.mkdir()
            while not path.exists():
                # chunks that are read count too: some stops while reading, most while more of them are made
                kept = len(list(path.parent.glob(".*.pieces/*.piece")))
                start(path, int(number), draw.randint(max(1, kept - 2), kept + 6), draw.uniform(0.0, 0.02))
                found["stops"] += not path.exists()
            found["different"] += not same(path, whole)
            found["damaged"] += damages(path) != []
            if len(os.listdir(path.parent)) > 1:  # stopped between the last file's name and the end
                os.unlink(path)
                start(path)
                found["different"] += not same(path, whole)
            found["left behind"] += len(os.listdir(path.parent)) - 1
    return found


if __name__ == "__main__":
    stream.LONG = 1
    if sys.argv[1] == "make":
        signal.signal(signal.SIGTERM, _terminated)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        make(sys.argv[2], (int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])) if len(sys.argv) > 3 else None)
    else:
        print(json.dumps(runs(int(sys.argv[1]), signal.Signals[f"SIG{sys.argv[2]}"])))
