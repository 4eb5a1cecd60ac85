"""A fingerprint sees every source, at any depth, and every version."""

import importlib.metadata
import re
import shutil

import pytest
from darkpenguin.kinematics.base import sources
from darkpenguin.kinematics.base.sources import ROOMS, installed_version, source_files, source_fingerprint
from darkpenguin.physics import amplitudes, parameters


@pytest.fixture
def package(tmp_path):
    """A package with a formula two folders down."""
    for room in ROOMS:
        (tmp_path / room / "room").mkdir(parents=True)
    (tmp_path / "physics/room/formula.py").write_text("x = 1")
    (tmp_path / "physics/room/data.yml").write_text("x: 1")
    return tmp_path


def fresh(*rooms, package):
    source_fingerprint.cache_clear()
    sources._digest.cache_clear()
    return source_fingerprint(*rooms, package=package)


@pytest.mark.parametrize("name", ["formula.py", "data.yml"])
def test_a_change_in_a_nested_room_is_seen(package, name):
    first = {rooms: fresh(*rooms, package=package) for rooms in ((), ("physics",), ("generator",))}
    (package / "physics/room" / name).write_text("x = 2")
    assert fresh(package=package) != first[()]
    assert fresh("physics", package=package) != first["physics",]
    assert fresh("generator", package=package) == first["generator",]


def test_a_new_or_renamed_file_is_seen(package):
    first = fresh(package=package)
    (package / "physics/room/formula.py").rename(package / "physics/room/other.py")
    assert fresh(package=package) != first


def test_the_real_package():
    assert re.fullmatch("[0-9a-f]{32}", source_fingerprint())
    assert {path.relative_to(sources.PACKAGE).parts[0] for path in source_files(*ROOMS)} == set(ROOMS)
    assert any(len(path.relative_to(sources.PACKAGE).parts) > 2 for path in source_files(*ROOMS))
    assert source_fingerprint(libraries=("numpy",)) != source_fingerprint()
    with pytest.raises(FileNotFoundError, match="no such room"):
        source_files("cellar")


def test_a_room_that_is_not_there_is_no_empty_fingerprint(package):
    with pytest.raises(FileNotFoundError, match="no such room"):
        fresh("physic", package=package)


def test_the_key_of_amplitudes_knows_parameters_and_sources(monkeypatch):
    known = parameters.load_parameters()
    key = amplitudes._key(known)
    assert amplitudes._key({**known, "Vcb": 0.04}) != key
    monkeypatch.setattr(amplitudes, "physics_fingerprint", lambda: "0" * 32)
    assert amplitudes._key(known) != key


def test_a_version_is_that_of_now(tmp_path, monkeypatch):
    """Of a package that changes while a process lives: a run is taken up again by its versions."""
    monkeypatch.syspath_prepend(tmp_path)
    for version in ("1.0", "2.0"):
        folder = tmp_path / f"made_up-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up\nVersion: {version}\n\nVersion: 9\n")
        importlib.invalidate_caches()
        assert installed_version("made-up") == version
        shutil.rmtree(folder)
    importlib.invalidate_caches()
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        installed_version("made-up")
