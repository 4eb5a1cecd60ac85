"""Packed and scalar arithmetic in the CPU loops, compiled but not run for the processor in NUMBA_CPU_NAME.

Printed as JSON: loop -> [packed, scalar]. ``bent`` compiles some of the loops with the forced inlining of the
per-event functions taken away.
"""

import json
import re
import sys

import numba
from darkpenguin.kinematics.base import jit
from numba import boolean, float32, float64, int64, uint32, uint64

bent = sys.argv[1:] == ["bent"]
if bent:
    jit.scalar = numba.njit(**jit.FLOATING_POINT)  # before the modules that use it

from darkpenguin.generator.lab import momenta_cpu  # noqa: E402
from darkpenguin.generator.sampler import cpu  # noqa: E402

FLOATING = r"\bv?(?:mul|add|sub|fn?m(?:add|sub)\d+){}\b"
COLUMN = float64[::1]
LOOPS = {
    "vector, float32": (cpu._vector_physics, (uint32[::1], float32[::1])),
    "vector, float64": (cpu._vector_physics, (uint32[::1], COLUMN)),
    "scalar, float64": (cpu._scalar_physics, (uint32[::1], COLUMN)),
    "Kpi, float32": (cpu._kpi_physics, (uint32[::1], float32[::1])),
    "Kpi, float64": (cpu._kpi_physics, (uint32[::1], COLUMN)),
    "decays": (momenta_cpu._vector_decays, (COLUMN, COLUMN, COLUMN)),
    "boosts": (momenta_cpu._move_four, (COLUMN, COLUMN)),
    "parents": (momenta_cpu._parents, (COLUMN, int64, COLUMN, COLUMN, uint64[::1], float64)),
    "words": (cpu._vector_words, (uint32[::1], boolean, uint32, uint32, uint32, uint32, uint32)),
}
BENT = ("vector, float32", "boosts", "words")


def counts(name):
    loop, signature = LOOPS[name]
    compiled = numba.njit(**jit.FLOATING_POINT)(loop.py_func)
    compiled.compile(signature)
    code = "\n".join(compiled.inspect_asm().values())
    if name == "words":  # the products of Philox: 32 x 32 bits in a lane, or in a register
        patterns = r"\bv?pmuludq\b", r"\bi?mulq?\b"
    else:
        letter = "s" if "float32" in name else "d"
        patterns = FLOATING.format(f"p{letter}"), FLOATING.format(f"s{letter}")
    return [len(re.findall(pattern, code)) for pattern in patterns]


print(json.dumps({name: counts(name) for name in (BENT if bent else LOOPS)}))
