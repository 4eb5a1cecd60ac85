"""The translator to C++: functions one by one against Numba's own machine code, and what it refuses."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from darkpenguin.generator.sampler import event
from darkpenguin.kinematics import beams, frames, trig
from darkpenguin.kinematics.base.cpp import Untranslatable, translate
from darkpenguin.kinematics.base.cuda import Program

Real = float
# sizes of the arguments (3: a vector) and values to vary. An event shows little of its rounding, its columns are order
# statistics and interpolations and all else only decides, so the functions are compared one by one
FUNCTIONS = {
    trig.sine_cosine: ((1,), (0.6,)),
    trig.exponential: ((1,), (3.0,)),
    trig.logarithm: ((1,), (3e-4,)),
    trig.circle: ((1,), (0.3,)),
    event.signed_cosine: ((1,) * 8, (0.7, 0.6, 0.3, 0.4, 0.5, 0.8, 0.6, 0.3)),
    event.azimuth: ((1,) * 7, (1.0, 0.3, -0.2, 0.2, 0.1, 0.7, 0.2)),
    event.angular_functions: ((1, 1, 1), (0.3, -0.4, 2.0)),
    frames.vector_decay: ((1,) * 10, (4.0, 0.3, -0.2, 0.6, 0.8, 5.28, 0.9, 0.494, 0.14, 0.106)),
    frames.scalar_decay: ((1,) * 5, (4.0, 0.3, 5.28, 0.494, 0.106)),
    frames.orientation: ((1,) * 3, (0.2, 0.6, 0.8)),
    frames.boost: ((3, 1, 3, 1), (0.1, -0.2, 0.3, 0.5, 1.0, 3.0, 40.0, 5.28)),
    frames.decay_plane_angle: ((3,) * 4, (0.3, 0.1, 1.0, 0.1, 0.3, 0.2, 1.0, 0.1, 0.4, 0.3, 0.2, 0.7)),
    beams.proton_momentum: ((1, 1, 1, 1, 8), (0.5, 0.5, 0.25, 5.28, 20.0, 1.5, 4.0, 0.5, 6.0, -0.3, 2.9, 0.1)),
    beams.cell_momentum: ((1, 1, 1, 4, 1), (0.5, 0.5, 0.25, 4.0, 6.0, -1.0, 1.0, 5.28)),
}
QUICK = (trig.sine_cosine, trig.exponential, trig.logarithm)  # the others are in events and momenta, or slow
PUT = """
template <class real> __device__ void put(real*& out, real value) { *out++ = value; }
template <class real> __device__ void put(real*&, tuple<>) {}
template <class real, class T, class... Rest> __device__ void put(real*& out, tuple<T, Rest...> t)
{ put(out, t.first), put(out, t.rest); }
"""
N = 500


def loop(function):
    """A kernel of one thread that calls a function on flat numbers."""
    texts, at = [], 0
    for size in FUNCTIONS[function][0]:
        values = ", ".join(f"x[{at + i}]" for i in range(size))
        texts.append(values if size == 1 else f"tuple_of({values})")
        at += size
    return f"""template <class real> __global__ void {function.__name__}_loop(const real* x, real* y, int64 n)
{{ if (thread() == 0) for (int64 i = 0; i < n; ++i, x += {at}) put(y, {function.__name__}<real>({", ".join(texts)})); }}
"""


def flat(value):
    return [v for item in value for v in flat(item)] if isinstance(value, tuple) else [value]


def values_of(function, real):
    """Arguments, and what Numba makes of them."""
    sizes, centre = FUNCTIONS[function]
    x = np.ascontiguousarray(np.array(centre) * np.random.default_rng(1).uniform(0.9, 1.1, (N, len(centre))), real)
    bounds = np.cumsum((0, *sizes))
    first = () if function is frames.boost else (real,)
    pairs = list(pairwise(bounds))
    rows = [[tuple(r[a:b]) if b - a > 1 else r[a] for a, b in pairs] for r in x]
    return x, np.array([flat(function(*first, *row)) for row in rows], real)


@pytest.mark.parametrize("function", [pytest.param(f, marks=[pytest.mark.slow] * (f not in QUICK)) for f in FUNCTIONS])
def test_functions_are_those_of_numba(cupy, tmp_path, function):
    """To 16 units of the last place of the largest value: the CPU fuses products and sums."""
    (tmp_path / "loops.cu").write_text(PUT + loop(function))
    program = Program(tmp_path / "loops.cu", (function,))
    for real, name in ((np.float32, "float"), (np.float64, "double")):
        x, expected = values_of(function, real)
        y = cupy.full(expected.shape, np.nan, dtype=real)
        program.launch(f"{function.__name__}_loop<{name}>", 1, cupy.asarray(x), y, np.int64(N))
        off = np.abs(y.get() - expected).max() / (np.abs(expected).max() * np.finfo(real).eps)
        assert off < 16, (function.__name__, real)


def test_a_changed_coefficient_is_seen(cupy, tmp_path, monkeypatch):
    """5e-4 of one coefficient of the sine, which no event shows."""
    (tmp_path / "loops.cu").write_text(PUT + loop(trig.sine_cosine))
    program = Program(tmp_path / "loops.cu", (trig.sine_cosine,))
    source = program.source
    assert repr(1 / 120) in source
    monkeypatch.setitem(program.__dict__, "source", source.replace(repr(1 / 120), repr(1.0005 / 120)))
    x, expected = values_of(trig.sine_cosine, np.float64)
    y = cupy.full(expected.shape, np.nan)
    program.launch("sine_cosine_loop<double>", 1, cupy.asarray(x), y, np.int64(N))
    assert np.abs(y.get() - expected).max() > 1e-7


def keyword(x: Real) -> Real:
    return frames.energy(px=x, py=x, pz=x, mass=x)


def double(x: Real) -> Real:
    return x * 0.5


def stored(x, y):
    x[0] = y


def chained(x: Real) -> Real:
    return x if 0 < x < 1 else -x


def branch(x: Real) -> Real:
    if x > 0:
        y = (x, x)
    return y


def unknown(x: Real) -> Real:
    return math.erf(x)


def looped(x: Real) -> Real:
    for i in (1, 2):
        x = x + i
    return x


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (keyword, "no such expression: frames.energy"),
        (double, "a number in double precision: cast it"),
        (stored, "no such statement"),
        (chained, "no such expression: 0 < x < 1"),
        (branch, "set in a block and read behind it"),
        (unknown, "no such expression: math.erf"),
        (looped, "no such statement"),
    ],
)
def test_what_it_does_not_know_is_refused(function, why):
    """With file and line: what C++ would read differently, or not at all, is never guessed."""
    with pytest.raises(Untranslatable, match=rf"{Path(__file__).name}:\d+: .*{why}"):
        translate([function])


def test_names_are_unique():
    other = {}
    exec(compile("def energy(x):\n    return x\n", __file__, "exec"), other)
    with pytest.raises(Untranslatable, match="two functions are called energy"):
        translate([frames.energy, frames.boost, other["energy"]])
