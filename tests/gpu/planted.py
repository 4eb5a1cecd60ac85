"""The checks that take the package, each as it is and with a fault planted: exit code 1 unless all find theirs.

python tests/gpu/planted.py    # on a card, or on the stand-in where that is in the path
"""

import sys
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import cupy
from checks import Report
from darkpenguin.generator.fits import loops_gpu
from darkpenguin.generator.sampler import gpu
from darkpenguin.generator.toys import gpu as toys_gpu
from darkpenguin.kinematics.base import cuda
from package import CHECKS


@contextmanager
def bent(program, old, new):
    """Kernels of another source."""
    if old not in program.source:
        raise ValueError(f"{old!r} is no longer in the source")
    cuda._compiled.cache_clear()
    with patch.dict(program.__dict__, source=program.source.replace(old, new)):
        yield
    cuda._compiled.cache_clear()


def half(q2, each, point, whole=loops_gpu._portion):
    """The sums of a fit over the first half of the events alone."""
    n = len(q2) // 2
    return whole(q2[:n], each[..., :n], point)


def moved(edges, x, side="left", search=cupy.searchsorted):
    """A search in edges that are a thousandth too high."""
    return search(edges * 1.001, x, side=side)


FAULTS = {  # of a kernel, of array code, of the library, of a copy that nobody waits for
    "runs": lambda: bent(gpu.PROGRAM, "uint32(VECTOR_LOW)", "uint32(CALL)"),
    "histograms": lambda: patch.object(cupy, "searchsorted", moved),
    "toys of the package": lambda: bent(toys_gpu.PROGRAM, "e += SLICES", "e += SLICES + 1"),
    "fit of the package": lambda: patch.object(loops_gpu, "_portion", half),
    "files of the package": lambda: patch.object(cupy.cuda.Stream, "synchronize", lambda self: None),
}


def main():
    wrong = []
    for name, check in CHECKS.items():
        report = Report(name)
        check(None, report)
        wrong += [f"{name}: {text}" for text in report.wrong]
        with FAULTS[name]():
            found = Report(name)
            check(None, found)
        print(f"{name}: {'; '.join(found.wrong) or 'the fault was not found'}", flush=True)
        wrong += [] if found.wrong else [f"{name}: the planted fault was not found"]
    for text in wrong:
        print(f"FAILED: {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
