"""The proof with a card, driven on the stand-in for CuPy: it passes, and a fault planted in each part makes it fail."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
LARGEST = 60e6  # bytes of a bundle


@pytest.fixture(scope="module")
def bare(tmp_path_factory, host_kernels):
    """Run Python with NumPy and the stand-in for CuPy alone: no site-packages, no package."""
    site = tmp_path_factory.mktemp("site")
    installed = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (installed / name).exists():
            (site / name).symlink_to(installed / name)
    paths = os.pathsep.join(map(str, (site, HERE.parent / "stand_in")))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "DARKPENGUIN_HOST_KERNELS": str(host_kernels)}

    def run(*arguments):
        command = [sys.executable, "-S", "-B", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


def made(target, *options):
    command = [sys.executable, HERE / "bundle.py", target, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, host_kernels):
    """A small one, of one kind of table."""
    return made(tmp_path_factory.mktemp("bundle") / "bundle", "--kinds", "scalar", "--events", 2000, "--others", 200)


def test_a_bundle_and_numpy_are_all_it_takes(bare, bundle, tmp_path):
    """Every check passes with nothing else; what has no meaning on the stand-in says so instead of a number."""
    assert bare("-c", "import darkpenguin").returncode == 1
    done = bare(bundle, "--json", tmp_path / "x.json", "--closure", 20_000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 of 16 checks passed" in done.stdout
    numbers = json.loads((tmp_path / "x.json").read_text())
    assert {text for report in numbers.values() for text in report["failed"]} == set()
    assert numbers["events"]["scalar float32 at 2^32"]["events"] == 2000
    assert numbers["rates"]["scalar float32"]["events_per_second"]["2^8"] == "not measured on the stand-in"
    assert numbers["apart"]["launch"] == "not measured on the stand-in"
    assert numbers["compiled"]["sampler: scalar_kernel<float>"]["registers"] == "not measured on the stand-in"


FAULTS = [  # what is planted, in which source, and the check that has to find it
    ("compiled", "cuts", "out0[i]", "out9[i]"),
    ("events", "sampler", "fraction < (packed", "fraction > (packed"),
    ("odd sizes", "sampler", "i < n; i += threads()", "i <= n; i += threads()"),
    ("one launch or many", "sampler", "uint64(start + i)", "uint64(start + i + (start & 1))"),
    ("weights", "densities", "side = flavour > 0", "side = flavour < 0"),
    ("closure", "closure", "float64(cos_l[i])));", "float64(cos_l[i]) * 0.9));"),
]


@pytest.mark.parametrize(("check", "source", "old", "new"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault_in_a_source_is_found(bare, bundle, tmp_path, check, source, old, new):
    shutil.copytree(bundle, tmp_path / "bent")
    path = tmp_path / "bent" / f"{source}.cu"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = bare(tmp_path / "bent", "--check", check, "--closure", 20_000)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED: {check}" in done.stdout


@pytest.mark.parametrize("check", ["events", "momenta", "stages", "toys"])
def test_other_random_numbers_are_found(bare, bundle, tmp_path, check):
    """The last word of the key of one launch, of the last that takes one."""
    shutil.copytree(bundle, tmp_path / "bent")
    path = tmp_path / "bent" / "manifest.json"
    manifest = json.loads(path.read_text())
    words = [
        argument
        for case in manifest["cases"]
        for argument in case["arguments"]
        if case["group"] == check and argument[0] == "uint32"
    ]
    words[-1][1] += 1
    path.write_text(json.dumps(manifest))
    done = bare(tmp_path / "bent", "--check", check)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("FAILED: ") >= 2  # the case, and the check


BREAKS = {  # what is planted in the proof's own surroundings: a device that is wrong, an old driver, a slow card
    "stack": "cupy.cuda.runtime.driverGetVersion = lambda: 12080",
    "files": "cupy.ndarray.get = lambda self, *a, get=cupy.ndarray.get, **k: get(self, *a, **k) * 1.0000001",
    "fit": "cupy.exp = lambda x, exp=cupy.exp: exp(x) * 1.001; cupy.log = lambda x, log=cupy.log: log(x) * 1.001",
    "densities": "cupy.log = lambda x, log=cupy.log: log(x) * (1 + 1e-9)",
    "memory": "cupy._limits.most = 0",
    "apart": "cupy.cuda.Stream.synchronize = lambda self: None",
    "rates": "import card; card.seconds = lambda work, repeats=5: 1.0",
}


@pytest.mark.parametrize("check", BREAKS)
def test_a_fault_of_the_device_is_found(bare, bundle, tmp_path, check):
    (tmp_path / "bent.py").write_text(
        f"import runpy, sys\nimport cupy\nsys.path.insert(0, {str(bundle)!r})\n{BREAKS[check]}\n"
        f"sys.argv = ['proof', '--check', {check!r}]\nrunpy.run_path({str(bundle)!r}, run_name='__main__')\n"
    )
    done = bare(tmp_path / "bent.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"FAILED: {check}" in done.stdout


def test_the_sums_of_the_closure_are_device_code(nvrtc, bundle):
    """The one kernel that is the proof's own: NVIDIA's compiler takes it, and spills nothing."""
    names = [f"{kind}_closure<float>" for kind in ("vector", "scalar")]
    for name, code in nvrtc((bundle / "closure.cu").read_text(), names, 90).items():
        assert (code.stack, code.spilled, code.calls) == (0, 0, 0), name


def test_a_check_that_breaks_has_failed(bare, bundle, tmp_path):
    """A bundle that lacks an array: the others go on, the exit code is 1."""
    shutil.copytree(bundle, tmp_path / "bent")
    path = tmp_path / "bent" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["fit"]["counts"] = "nothing"
    path.write_text(json.dumps(manifest))
    done = bare(tmp_path / "bent", "--check", "fit", "--check", "stack")
    assert done.returncode == 1
    assert "1 of 2 checks passed" in done.stdout
    assert "KeyError" in done.stdout


def test_what_is_not_there_is_said(bare, bundle, tmp_path):
    done = bare(bundle, "--check", "nothing")
    assert done.returncode == 2
    assert "no such check: nothing; there are stack" in done.stderr
    done = bare(bundle, tmp_path)
    assert done.returncode == 2
    assert "`make gpu-bundle` makes one" in done.stderr


@pytest.mark.slow
def test_the_whole_bundle_is_small_enough(bare, tmp_path):
    """That of `make gpu-bundle`: three kinds of tables, an archive below 60 MB; a minute."""
    archive = made(tmp_path / "gpu-bundle.zip")
    assert archive.stat().st_size < LARGEST
    shutil.unpack_archive(archive, tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "gpu-bundle").rglob("*") if path.is_file()) < LARGEST
    done = bare(tmp_path / "gpu-bundle", "--sizes", 8, 8)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kpi float64 at 2^40" in done.stdout


@pytest.mark.slow
def test_runs_of_the_package_pass_and_their_faults_are_found(bundle, host_kernels):
    """With the package the proof runs its commands too: each check passes, and fails on a fault planted for it."""
    paths = os.pathsep.join([str(HERE.parent / "stand_in"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "DARKPENGUIN_HOST_KERNELS": str(host_kernels), "PYTHONPATH": paths}

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run(HERE / "planted.py").count("CPU's") >= 3
    assert "1 of 1 checks passed" in run(HERE, bundle, "--check", "histograms")  # by the proof itself
