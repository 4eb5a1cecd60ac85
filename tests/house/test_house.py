"""The house: imports run one way, without circles, lazy and typing ones included; files stay small; all is packaged."""

import ast
import graphlib
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
FLOORS = (  # from the cellar up: a room imports from itself and from what stands above it in this list
    ("kinematics.base",),
    ("kinematics",),
    ("physics",),
    ("physics.experiment",),
    ("generator.sampler",),
    ("generator.lab",),
    ("generator.files",),
    ("generator.run",),
    ("generator.analysis", "generator.statistics"),
    ("generator.fits",),
    ("generator.toys",),
    ("generator.scans",),
    ("generator.figures",),
    ("generator.explore",),
    ("generator.commands",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
LONGEST_MODULE, LONGEST_FUNCTION = 600, 80


def modules(top):
    """Dotted name of every module below the three folders, with its file; the top of the package apart."""
    found = {}
    for room in ("generator", "kinematics", "physics"):
        for path in sorted((top / room).rglob("*.py")):
            parts = path.relative_to(top).with_suffix("").parts
            if "_root" not in parts:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(known):
    """What each module imports of the others, wherever the statement stands."""
    edges = {}
    for name, path in known.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        edges[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            if node.level:
                source = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            elif (node.module or "").startswith("darkpenguin."):
                source = node.module.split(".")[1:]
            else:
                continue
            source = ".".join(part for part in source if part)
            for alias in node.names:
                target = f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source
                if target in known and target != name:
                    edges[name].add(target)
    return edges


def room_of(module):
    room = module.rpartition(".")[0] if module not in LEVEL else module
    return room or module


def climbing(edges):
    """Imports that go up the list of floors, or across a floor."""
    pairs = [(a, b) for a, targets in edges.items() for b in targets]
    return [
        f"{a} -> {b}"
        for a, b in pairs
        if room_of(a) in LEVEL
        and room_of(b) in LEVEL
        and room_of(a) != room_of(b)
        and LEVEL[room_of(b)] >= LEVEL[room_of(a)]
    ]


def test_imports_run_down_and_never_in_circles():
    edges = imports(modules(TOP))
    assert len(edges) > 100
    assert climbing(edges) == []
    graphlib.TopologicalSorter(edges).prepare()  # CycleError names the circle


def test_a_planted_circle_and_a_planted_climb_are_seen():
    edges = imports(modules(TOP))
    edges["kinematics.base.arrays"].add("physics.models")
    assert climbing(edges) == ["kinematics.base.arrays -> physics.models"]
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(edges).prepare()


def test_every_module_lives_in_a_room():
    homeless = {name for name in modules(TOP) if room_of(name) not in LEVEL} - {"generator", "generator.__main__"}
    assert homeless == set()


def test_modules_and_functions_are_short():
    for path in [*modules(TOP).values(), *(TOP / "tests").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= LONGEST_MODULE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"


def test_every_room_and_every_data_file_is_packaged():
    setup = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = {f"darkpenguin.{room_of(name)}" for name in modules(TOP)} | {"darkpenguin", "darkpenguin.generator"}
    assert set(setup["packages"]) == rooms
    packaged = {
        file
        for package, patterns in setup["package-data"].items()
        for pattern in patterns
        for file in (TOP / package.removeprefix("darkpenguin").removeprefix(".").replace(".", "/")).glob(pattern)
    }
    data = {
        file
        for room in ("generator", "kinematics", "physics")
        for file in (TOP / room).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc") and file.name != "py.typed"
    }
    assert data <= packaged


def test_every_module_has_a_test_beside_it():
    """Tests mirror the rooms: a folder of tests for each room, and no folder of tests without a room."""
    rooms = {room_of(name).replace(".", "/") for name in modules(TOP)} - {"generator"}
    tested = {path.parent.relative_to(TOP / "tests").as_posix() for path in (TOP / "tests").rglob("test_*.py")}
    assert tested - {"house", "bench", "gpu", "docs"} == rooms
