"""The cache folder: chosen, made, or done without."""

import os
from pathlib import Path

import pytest
from darkpenguin.kinematics.base.cache import (
    cache_folder,
    from_cache,
    read_checked,
    write_atomically,
    write_checked,
)


def test_the_variable_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == (tmp_path / "a" / "b").resolve()
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="Linux's folders")
def test_platform_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DARKPENGUIN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == (tmp_path / "darkpenguin").resolve()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == (tmp_path / ".cache" / "darkpenguin").resolve()


def test_nothing_writable_is_none_and_not_an_error(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for value in (str(blocked), str(blocked / "below"), "\0"):
        if "\0" not in value:
            monkeypatch.setenv("DARKPENGUIN_CACHE", value)
        assert cache_folder() is None


def test_a_read_only_folder_is_read(monkeypatch, tmp_path):
    """A group's cache, that one of them filled: others read it, and whatever is not there they compute."""
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(Path, "stat", owned_by(54321))
    assert cache_folder() == tmp_path.resolve()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert cache_folder() is None


def owned_by(user):
    def stat(path, **options):
        found = list(os.stat(path, **options))
        found[4] = user
        return os.stat_result(found)

    return stat


def test_what_others_may_write_to_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path))
    below = cache_folder("compiled", "key")
    assert below == tmp_path / "compiled" / "key"
    assert write_checked(below / "a", b"x")
    assert from_cache(below / "a", bytes.decode) == "x"
    for path in (below.parent, tmp_path):
        path.chmod(0o775)
        with pytest.warns(UserWarning, match="others can write to it"):
            assert cache_folder("compiled", "key") is None
        path.chmod(0o755)
    (below / "a").chmod(0o666)
    with pytest.warns(RuntimeWarning, match="others can write to it"):
        assert from_cache(below / "a", bytes.decode) is None
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setattr(Path, "stat", owned_by(54321))
    with pytest.warns(UserWarning, match="belongs to another user"):
        assert cache_folder() is None


def test_files_are_for_their_owner_to_write_whatever_the_mask(monkeypatch, tmp_path):
    monkeypatch.setenv("DARKPENGUIN_CACHE", str(tmp_path / "a"))
    before = os.umask(0)
    try:
        folder = cache_folder("compiled")
        assert write_checked(folder / "a", b"x")
    finally:
        os.umask(before)
    assert from_cache(folder / "a", bytes.decode) == "x"


def test_a_file_without_permission_is_not_damaged(monkeypatch, tmp_path, recwarn):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    write_checked(tmp_path / "a", b"x")
    monkeypatch.setattr(Path, "open", refuse)
    assert from_cache(tmp_path / "a", bytes.decode) is None
    assert from_cache(tmp_path / "b", bytes.decode) is None
    assert not recwarn


def test_no_home(monkeypatch):
    def no_home(*args: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("DARKPENGUIN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder() is None


def test_write_is_whole_or_nothing(monkeypatch, tmp_path):
    path = tmp_path / "table"
    assert write_atomically(path, b"old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert not write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["table"]  # no temporary file is left
    assert not write_atomically(tmp_path / "missing" / "table", b"new")


def test_any_changed_bit_is_noticed(tmp_path):
    path = tmp_path / "table"
    assert write_checked(path, b"numbers")
    assert read_checked(path) == b"numbers"
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            read_checked(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="checksum"):
        read_checked(path)
    with pytest.raises(OSError, match="missing"):
        read_checked(tmp_path / "missing")
