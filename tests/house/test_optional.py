"""Optional dependencies: without them everything else works, and one sentence has the one command that brings them."""

import ast
import json
import re
import sys
import tomllib

import numpy as np
import pytest
from darkpenguin.generator.analysis.histograms import histograms
from darkpenguin.generator.explore.plots import SignificanceDiagram
from darkpenguin.generator.explore.point import Bases
from darkpenguin.generator.explore.server import explore
from darkpenguin.generator.files.hepmc import write_hepmc
from darkpenguin.generator.lab.efficiency_files import read_map
from darkpenguin.generator.run.workers import check_dask, in_order
from darkpenguin.generator.sampler import backend
from darkpenguin.generator.scans.recast import redist_modifier
from darkpenguin.generator.statistics.histfactory import Published
from darkpenguin.kinematics.base.arrays import array_library
from darkpenguin.kinematics.base.errors import InputError
from darkpenguin.kinematics.base.optional import EXTRAS, install_command, optional
from darkpenguin.physics.binning import BinnedValue
from darkpenguin.physics.models import get_model

from .test_house import TOP, modules

PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTION = {  # where it is not the package's name
    "PIL": "pillow", "array_api_compat": "array-api-compat", "boost_histogram": "hist", "pydantic_core": "pydantic",
    "redist": "redistpy", "uhi": "hist", "yaml": "pyyaml",
}  # fmt: skip


def requirements(lines):
    return {re.match(r"[\w-]+", line)[0].replace("cupy-cuda13x", "cupy") for line in lines}


def imported(tree):
    """Packages that a module imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_every_import_is_a_dependency():
    """What the package imports is required; what is optional goes through `optional`, and its extra has it."""
    required = requirements(PROJECT["dependencies"])
    for name, path in modules(TOP).items():
        others = (
            set(imported(ast.parse(path.read_text(encoding="utf-8")))) - set(sys.stdlib_module_names) - {"darkpenguin"}
        )
        wild = {package for package in others if DISTRIBUTION.get(package, package) not in required}
        assert wild <= ({"cupy"} if name == "generator.sampler.backend" else set()), name
    for package, extra in EXTRAS.items():
        assert DISTRIBUTION.get(package, package) in requirements(PROJECT["optional-dependencies"][extra]), package


def test_flavio_is_imported_in_one_place():
    """There the root logger, which an import below flavio sets to INFO, is put back."""
    users = {
        name for name, path in modules(TOP).items()
        if {"flavio", "wilson", "parton"} & set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    }  # fmt: skip
    assert users == {"physics.flavio_parts"}


def _uhi(folder):
    (folder / "map.json").write_text(json.dumps({"uhi_schema": 1, "axes": []}))
    read_map(str(folder / "map.json"))


def _correctionlib(folder):
    (folder / "map.json").write_text(json.dumps({"schema_version": 2, "corrections": []}))
    read_map(str(folder / "map.json"))


ROW = BinnedValue("R_K+", "R_K+", 1.1, 6.0, 0.98, 0.03)
USES = {
    "bokeh": lambda folder: SignificanceDiagram(),
    "boost_histogram": _uhi,
    "uhi": _uhi,
    "correctionlib": _correctionlib,
    "hist": lambda folder: histograms([ROW]),
    "pyhepmc": lambda folder: write_hepmc("no.root", folder / "x.hepmc"),
    "dask": lambda folder: next(in_order(range, [(0, 1)], "local:1")),
    "distributed": lambda folder: check_dask("tcp://127.0.0.1:1"),
    "panel": lambda folder: explore(Bases(), browser=False),
    "pyhf": lambda folder: Published({}),
    "redist": lambda folder: redist_modifier(np.ones((1, 3)), get_model("fig2")),
    "cupy": lambda folder: array_library("gpu"),
    "array_api_compat": lambda folder: backend.select_backend("gpu"),
}


@pytest.mark.parametrize("package", sorted(EXTRAS))
def test_one_sentence_when_it_is_missing(package, monkeypatch, tmp_path):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    real = backend.find_spec  # that of `backend` alone: CuPy is there
    monkeypatch.setattr(backend, "find_spec", lambda name: None if name == package else real("numpy"))
    with pytest.raises(InputError) as refused:
        USES[package](tmp_path)
    message = str(refused.value)
    assert message.count(install_command(package)) == message.count("pip install") == 1
    assert "\n" not in message


def test_a_broken_installation_is_said_in_the_same_way(monkeypatch, tmp_path):
    (tmp_path / "pyhepmc.py").write_text("raise RuntimeError('made for NumPy 1')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pyhepmc", raising=False)
    with pytest.raises(InputError, match=r"needs the package pyhepmc \(made for NumPy 1\): pip install"):
        optional("pyhepmc", "a HepMC file")


def test_only_tests_need_the_fitters(monkeypatch):
    """A workspace is JSON and a cost function is a function: neither pyhf nor iminuit is imported to make one."""
    from darkpenguin.generator.statistics.counts import CountModel
    from darkpenguin.generator.toys.bridges import pyhf_workspace

    for name in ("pyhf", "iminuit"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "iminuit" not in EXTRAS
    assert pyhf_workspace(CountModel([[10.0]]), CountModel([[14.0]]), np.array([12.0]))["channels"]
