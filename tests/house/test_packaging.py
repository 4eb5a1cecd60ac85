"""The recipe, the citation and the documentation's versions say what pyproject.toml says."""

import re
import tomllib
from pathlib import Path

import darkpenguin
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHER_NAMES = {"matplotlib": "matplotlib-base", "xxhash": "python-xxhash"}


def bounds(text):
    name, limits = re.fullmatch(r"([\w.-]+)\s*(.*)", text).groups()
    return OTHER_NAMES.get(name, name), limits.replace(" ", "")


def test_the_recipe_has_the_dependencies_of_the_package():
    recipe = yaml.safe_load((ROOT / ".packaging" / "recipe.yaml").read_text(encoding="utf-8"))
    run = dict(bounds(line) for line in recipe["requirements"]["run"])
    assert run.pop("python") == PROJECT["requires-python"]
    assert run == dict(bounds(line) for line in PROJECT["dependencies"])
    assert recipe["context"]["version"] == PROJECT["version"]


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] == darkpenguin.__version__


def test_every_dependency_has_a_lowest_and_a_highest_version():
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]:
        if line.startswith("darkpenguin[") or "==" in line:
            continue
        assert ">=" in line, line
        assert "<" in line, line
