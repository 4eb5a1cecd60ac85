"""Kill writers at random moments, again and again: python kills.py KILLS; prints what was found, as JSON.

After every kill the old file, the new one or none is there, whole, and the next writer removes what was left behind.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from darkpenguin.generator.files.verify import damages
from darkpenguin.generator.files.writers import open_writer
from darkpenguin.kinematics.base.files import write_text

ROWS = 50_000


def write_events(path):
    with open_writer(path, {"x": np.dtype("f8"), "event": np.dtype("u8")}, {}, overwrite=True) as writer:
        writer._rows_per_extend = 10_000  # a basket, or a row group, each
        for start in range(0, ROWS, 10_000):
            event = np.arange(start, start + 10_000, dtype=np.uint64)
            writer.extend({"x": np.sin(event), "event": event})


def write_lines(path):
    write_text(path, (f"{i}\n" for i in range(ROWS)), overwrite=True)


def whole(path):
    if path.suffix == ".csv":
        return path.read_text().count("\n") == ROWS
    return damages(path) == []


def kills(name, write, count):
    """How many kills came before the end, with what left behind, and how many files were not whole after them."""
    draw = random.Random(name)
    found = {"kills": 0, "left behind": 0, "damaged": 0, "not cleaned": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        for _ in range(3):  # the first one imports
            began = time.perf_counter()
            write(path)
            seconds = time.perf_counter() - began
        for _ in range(count):
            process = os.fork()
            if process == 0:
                write(path)
                os._exit(0)
            time.sleep(draw.uniform(0.0, seconds))
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            found["kills"] += os.WIFSIGNALED(status)
            found["left behind"] += len(os.listdir(folder)) > 1
            found["damaged"] += not whole(path)
        write(path)
        found["not cleaned"] = len(os.listdir(folder)) - 1
    return found


if __name__ == "__main__":
    writers = {"x.root": write_events, "x.parquet": write_events, "x.csv": write_lines}
    print(json.dumps({name: kills(name, write, int(sys.argv[1])) for name, write in writers.items()}))
