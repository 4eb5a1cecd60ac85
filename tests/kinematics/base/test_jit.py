"""The compiled-code cache: never stale, shared between processes, survivable when damaged or missing."""

import importlib
import json
import os
import pkgutil
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import darkpenguin
import pytest
from darkpenguin.generator.sampler import cpu as loops
from darkpenguin.kinematics.base import jit
from darkpenguin.kinematics.base.cache import read_checked

CALLEE = """
from ...kinematics.base.jit import scalar

@scalar
def formula(x):
    return x + {constant}
"""

KERNEL = """
from ..kinematics.base.jit import kernel
from .room.callee import formula

@kernel
def loop(x):
    for i in range(x.size):
        x[i] = formula(x[i])
"""

PROGRAM = """
import sys, warnings
import numpy as np
sys.path.insert(0, {folder!r})
from mini.generator.loop import loop
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    x = np.zeros(3, dtype={dtype!r})
    loop(x)
hits = sum(loop.stats.cache_hits.values()) if hasattr(loop, "stats") else "no JIT"
print(x[2], hits, *(str(c.message)[:13] for c in caught))
"""


class MiniPackage:
    """A package with this project's decorators: a kernel in one folder, its formula in a room nested below."""

    def __init__(self, folder):
        self.folder, self.cache = folder, folder / "cache"
        for room in ("generator/room", "kinematics", "physics"):
            (folder / "mini" / room).mkdir(parents=True)
        shutil.copytree(Path(jit.__file__).parent, folder / "mini/kinematics/base")
        (folder / "mini/generator/loop.py").write_text(KERNEL)
        self.formula(1)

    def formula(self, constant):
        (self.folder / "mini/generator/room/callee.py").write_text(CALLEE.format(constant=constant))

    def run(self, dtype="float64", program=None, **environment):
        program = program or PROGRAM.format(folder=str(self.folder), dtype=dtype)
        environment = {**os.environ, "DARKPENGUIN_CACHE": str(self.cache), **environment}
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=600
        )
        return result.stdout.strip()

    def files(self):
        return sorted(self.cache.rglob("*.bin"))


@pytest.fixture
def package(tmp_path):
    return MiniPackage(tmp_path)


def test_compiled_once_and_never_stale(package):
    assert package.run() == "1.0 0"
    assert package.run() == "1.0 1"
    package.formula(5)  # a changed callee in another file
    assert package.run() == "5.0 0"
    package.formula(1)  # the old code is still there, and right again
    assert package.run() == "1.0 1"
    assert len({file.parent for file in package.files()}) == 2


FAILING = """
import sys
import numpy as np
sys.path.insert(0, {folder!r})
from mini.generator.loop import loop
x = np.zeros(2)
loop(x)
assert sum(loop.stats.cache_hits.values()) == {hits}
try:
    loop(np.zeros(3))
except ValueError as error:
    print(error)
"""


def test_compiled_code_off_the_disk_fails_as_when_it_was_made(package):
    """With the shapes of the moment in the message, which it makes with the runtime and an environment of Numba's."""
    line = "x[:2] = np.ones(x.size) + formula(x[0])"
    (package.folder / "mini/generator/loop.py").write_text(
        KERNEL.replace("import kernel", "import kernel\nimport numpy as np").partition("    for")[0] + f"    {line}\n"
    )
    for hits in (0, 1):
        program = FAILING.format(folder=str(package.folder), hits=hits)
        assert package.run(program=program) == "cannot assign slice of shape (2,) from input of shape (3,)"


def test_a_damaged_file_is_rebuilt_with_a_warning(package):
    package.run()
    (file,) = package.files()
    whole = file.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damage)
        assert package.run().startswith("1.0 0 cache file")
        assert read_checked(file)  # whole again
    assert package.run() == "1.0 1"


def test_without_a_writable_folder(package):
    """A cache folder that cannot be: a path below a file."""
    blocked = package.folder / "file"
    blocked.write_text("")
    assert package.run(DARKPENGUIN_CACHE=str(blocked / "cache")) == "1.0 0"


def test_without_the_jit(package):
    assert package.run(NUMBA_DISABLE_JIT="1") == "1.0 no JIT"
    assert package.files() == []


def test_processes_that_compile_at_the_same_time(package):
    """Each signature has its own file, written whole: nobody loads half a file or another type's code."""
    types = ["float64", "float32"] * 2
    with ThreadPoolExecutor(4) as pool:
        assert all(output.startswith("1.0 ") for output in pool.map(package.run, types))
    assert len(package.files()) == 2
    assert [package.run(dtype) for dtype in types[:2]] == ["1.0 1"] * 2
    assert not list(package.cache.rglob("*.part"))


def inner_kernels(kernel):
    """Kernels that a kernel calls by their names."""
    known = kernel.__globals__ if not hasattr(kernel, "py_func") else kernel.py_func.__globals__
    names = getattr(kernel, "py_func", kernel).__code__.co_names
    return [name for name in names if is_kernel(known.get(name))]


def is_kernel(thing):
    return isinstance(getattr(thing, "_cache", None), jit.CompiledCache)


@jit.kernel
def _bent_inner(x):
    x[0] += 1.0


@jit.kernel
def _bent_outer(x):
    _bent_inner(x)


def test_no_kernel_calls_a_kernel():
    """Otherwise a run that compiles and one that finds the compiled code differ in last bits, see `jit.inner`."""
    assert inner_kernels(_bent_outer) == ["_bent_inner"]
    found = 0
    for module in pkgutil.walk_packages(darkpenguin.__path__, "darkpenguin."):
        if not module.name.endswith("__main__"):
            named = list(vars(importlib.import_module(module.name)).values())
            tables = [x for table in named if isinstance(table, Mapping) for x in table.values()]
            kernels = [x for x in (*named, *tables) if is_kernel(x)]
            found += len(kernels)
            assert [
                (module.name, kernel.__name__, inner_kernels(kernel)) for kernel in kernels if inner_kernels(kernel)
            ] == []
    assert found > 10
    assert all(is_kernel(loop) for loop in loops.RANGES.values())


@pytest.mark.slow
def test_a_run_that_compiles_equals_one_that_does_not(tmp_path):
    """Bitwise, for the longest chain of loops: sampler, momenta, photons and resolution."""
    program = (
        "import hashlib, darkpenguin as dp\n"
        "sample = dp.generate(['B0->K*0mumu', 'B0->K*0ee'], events=100_000, kpi='swave', beam='lhcb-13tev',\n"
        "                     resolution='lhcb', seed=3)\n"
        "for name in sample:\n"
        "    print(name, hashlib.sha256(sample[name].tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "DARKPENGUIN_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program]
    cold, warm = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=1200).stdout
        for _ in range(2)
    )
    assert cold.count("\n") > 20
    assert cold == warm


def test_kernels_of_one_name_in_two_rooms_have_two_files():
    names = {jit.CompiledCache(function).name for function in (loops._vector_physics.py_func, jit._no_vectors)}
    assert names == {"darkpenguin.generator.sampler.cpu._vector_physics", "darkpenguin.kinematics.base.jit._no_vectors"}


def packed_and_scalar(processor, *bent):
    """Arithmetic instructions of the loops, compiled for a processor that need not be this one."""
    target = {} if processor == "host" else {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    program = str(Path(__file__).parent / "packed_counts.py")
    done = subprocess.run(
        [sys.executable, program, *bent], env={**os.environ, **target}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86-64 assembly")


@x86
@pytest.mark.parametrize(
    "processor",
    ["host", *(pytest.param(name, marks=pytest.mark.slow) for name in ("generic", "haswell", "skylake-avx512"))],
)
def test_loops_are_vector_loops(processor):
    """Physics, momenta and Philox's products work on whole vectors: of 16, 32 and 64 bytes, and of this processor.

    Each loop exists twice, for columns that may overlap and for those that do not; the first copy is scalar and
    never runs. So a vector loop has about as many packed instructions as scalar ones or more (0.99 to 1.1 and
    above, some become blends), a scalar loop has none: see the next test. Half lies far from both.
    """
    found = packed_and_scalar(processor)
    assert len(found) == 9
    for loop, (packed, alone) in found.items():
        assert packed > 20, (loop, packed, alone)
        assert packed > alone / 2, (loop, packed, alone)


@x86
def test_loops_without_forced_inlining_are_seen_to_be_scalar():
    found = packed_and_scalar("haswell", "bent")
    assert len(found) == 3
    for loop, (packed, alone) in found.items():
        assert packed == 0, (loop, packed, alone)
        assert alone > 10, (loop, packed, alone)


def test_floating_point_is_strict():
    """No option that lets a vector body and its scalar tail differ."""
    assert jit.FLOATING_POINT["error_model"] == "numpy"
    assert set(jit.FLOATING_POINT["fastmath"]) <= {"contract", "nsz"}


def test_other_packages_extend_numba_for_others_only():
    """A cached kernel of ours imports neither vector nor Numba's compiler of linear algebra, half a second both.

    Whoever then compiles awkward's types has them.
    """
    script = (
        "import sys, numpy as np, numba, awkward, darkpenguin\n"
        "darkpenguin.generate('B0->K*0mumu', events=10)\n"
        "assert not {'vector', 'numba.np.linalg', 'scipy.linalg'} & set(sys.modules)\n"
        "total = numba.njit(lambda rows: len(rows))\n"
        "print(total(awkward.Array([[1], [2, 3]])), {'vector', 'numba.np.linalg'} <= set(sys.modules))\n"
    )
    warm = "import darkpenguin; darkpenguin.generate('B0->K*0mumu', events=10)"  # on disk, not only in our memory
    subprocess.run([sys.executable, "-c", warm], check=True, timeout=600)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "True"]
