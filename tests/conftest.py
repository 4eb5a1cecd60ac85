"""A GPU that is none: the stand-in for CuPy, with kernels compiled by g++; and NVIDIA's compiler, without a card."""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import particle.data
import pytest
from darkpenguin.physics.pdg_tables import Tables

particle.data.basepath = Tables(particle.data.basepath)  # tests import flavio by itself too, beside any particle

STAND_IN = Path(__file__).parent / "stand_in"
OLD = 30 * 86400  # seconds after which what was compiled is made again

collect_ignore = ["stand_in", "reference/eos_bins.py", "reference/hs3.py", "reference/pythia_radiation.py"]
"""A stand-in for CuPy is no test; the scripts run beside EOS, pyhs3 and Pythia, in environments of their own."""
collect_ignore_glob = ["gpu/[!t]*.py"]
"""The proof with a card is a script that wants CuPy; its test starts it."""


@pytest.fixture(scope="session")
def compiled(pytestconfig, tmp_path_factory):
    """Folder of what compilers made, named after source and compiler: once for all workers and Pythons here."""
    cache = getattr(pytestconfig, "cache", None)
    folder = tmp_path_factory.mktemp("compiled") if cache is None else cache.mkdir("compiled")
    for path in folder.iterdir():
        if path.is_file() and time.time() - path.stat().st_mtime > OLD:
            path.unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="session")
def host_kernels(compiled):
    """Folder of kernels compiled for the host."""
    if shutil.which("g++") is None:
        pytest.skip("no g++: kernels for a GPU are not compiled and run here (apt-get install g++)")
    return compiled


@pytest.fixture
def cupy(monkeypatch, host_kernels):
    """The stand-in for CuPy: arrays on a device that refuse what CuPy's refuse, kernels that run on the host."""
    from darkpenguin.generator.files import provenance
    from darkpenguin.generator.sampler import backend
    from darkpenguin.kinematics.base import cuda

    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.setenv("DARKPENGUIN_HOST_KERNELS", str(host_kernels))
    cached = (cuda._compiled, backend._on_device, provenance._package_versions)

    def forget():
        for function in cached:
            function.cache_clear()
        for name in [
            name for name in sys.modules if name.split(".")[0] in ("cupy", "cupyx") or "array_api_compat.cupy" in name
        ]:
            del sys.modules[name]

    forget()
    import cupy

    yield cupy
    forget()


@dataclass(frozen=True)
class DeviceCode:
    """What NVRTC says of a kernel: registers, bytes of stack and spills, PTX instructions of float64, calls.

    And loads of floats from memory: wide ones, of 16 bytes, and narrow ones, of a single number.
    """

    registers: int
    stack: int
    spilled: int
    doubles: int
    calls: int
    wide: int
    narrow: int


@pytest.fixture(scope="session")
def nvrtc(compiled):
    """Compile a source for a generation of cards, as CuPy does: kernel -> `DeviceCode`. Needs no card."""
    compiler = pytest.importorskip("cuda.bindings.nvrtc", reason="no NVRTC (pip install 'darkpenguin[test]')")
    told_by = (version("nvidia-cuda-nvrtc"), Path(__file__).read_text(encoding="utf-8"))

    def checked(result):
        code, *values = result
        assert code == compiler.nvrtcResult.NVRTC_SUCCESS, code
        return values[0] if len(values) == 1 else values

    def text(program, what):
        buffer = b" " * checked(getattr(compiler, f"nvrtcGet{what}Size")(program))
        checked(getattr(compiler, f"nvrtcGet{what}")(program, buffer))
        return buffer.decode(errors="replace")

    def known(source, names, capability):
        """What is said of a source once, by the same compiler read in the same way."""
        said = repr((source, names, capability, told_by)).encode()
        path = compiled / f"nvrtc-{hashlib.sha256(said).hexdigest()[:24]}.json"
        if not path.is_file():
            found = {name: asdict(code) for name, code in compile_source(source, names, capability).items()}
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(found), encoding="utf-8")
            part.replace(path)
        return {name: DeviceCode(**code) for name, code in json.loads(path.read_text(encoding="utf-8")).items()}

    def compile_source(source, names, capability):
        program = checked(compiler.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], []))
        for name in names:
            checked(compiler.nvrtcAddNameExpression(program, name.encode()))
        options = ["-std=c++17", f"--gpu-architecture=sm_{capability}", "--ptxas-options=-v"]
        options += ["--device-as-default-execution-space", "-ftz=true"]  # these two CuPy adds
        done = compiler.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
        log = text(program, "ProgramLog")
        assert done[0] == compiler.nvrtcResult.NVRTC_SUCCESS, log
        bodies = dict(re.findall(r"\.entry (\w+)\((.*?)\n}", text(program, "PTX"), re.S))
        found = {}
        for name in names:
            symbol = checked(compiler.nvrtcGetLoweredName(program, name.encode())).decode()
            report = log[log.index(f"entry function '{symbol}'") :]
            stack, stores, loads = re.search(r"(\d+) bytes stack frame, (\d+) \D*, (\d+)", report).groups()
            lines = [line.strip() for line in bodies[symbol].splitlines()]
            doubles = [x for x in lines if ".f64" in x and not x.startswith((".reg", ".param"))]
            calls = sum(x.startswith("call") for x in lines)
            wide, narrow = (
                sum(bool(re.match(rf"ld\.global\S*{width}\s", x)) for x in lines)
                for width in (r"(v4\.[bf]32|v2\.[bf]64)", r"(?<!v[24])\.f(32|64)")
            )
            registers = int(re.search(r"Used (\d+) registers", report)[1])
            spilled = int(stores) + int(loads)
            found[name] = DeviceCode(registers, int(stack), spilled, len(doubles), calls, wide, narrow)
        return found

    return known
