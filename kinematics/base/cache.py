"""Where computed tables are kept between runs, and how they are written: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .errors import InputError
from .files import WholeFile


def _platform_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return Path(xdg) if xdg else Path.home() / ".cache"


def cache_folder(*below: str) -> Path | None:
    """Folder for cached tables and compiled code, or one below it: created if missing, None when there is none to use.

    ``$DARKPENGUIN_CACHE`` if set, else ``darkpenguin`` in the platform's user cache directory
    (``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux). Never raises: without a folder everything still works and
    is computed afresh. What others may write to is not used, with a warning: compiled code runs as it is. A folder of
    somebody else is used if the variable names it and it cannot be written: a group's, filled by one of them.

    >>> folder = cache_folder()
    >>> folder is None or folder.is_dir()
    True
    """
    chosen = os.environ.get("DARKPENGUIN_CACHE")
    try:
        folder = Path(chosen).expanduser() if chosen else _platform_folder() / "darkpenguin"
        for part in ("", *below):
            folder /= part
            if not folder.is_dir():
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not os.access(folder, os.R_OK | os.X_OK):
                return None
            if why := distrusted(folder):
                warnings.warn(f"cache {str(folder)!r}: {why}; it is not used, and all is computed afresh", stacklevel=2)
                return None
        return folder.resolve()
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home directory
        return None


def distrusted(path: Path) -> str | None:
    """Why a file or folder of a cache may not be used, in words; None if it may.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     before = distrusted(Path(folder))
    ...     Path(folder).chmod(0o777)
    ...     before, distrusted(Path(folder))
    (None, 'others can write to it (chmod go-w)')
    """
    if os.name != "posix":
        return None
    info = path.stat()
    if info.st_mode & 0o022:
        return "others can write to it (chmod go-w)"
    if info.st_uid in (os.geteuid(), 0) or ("DARKPENGUIN_CACHE" in os.environ and not os.access(path, os.W_OK)):
        return None
    return "it belongs to another user"


Content = TypeVar("Content")


def from_cache(path: Path, decode: Callable[[bytes], Content]) -> Content | None:
    """What a checked file of the cache holds; None if it has to be made, with a warning if it is damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a"
    ...     from_cache(path, bytes.decode), write_checked(path, b"x"), from_cache(path, bytes.decode)
    (None, True, 'x')
    """
    try:
        why = distrusted(path)
        if why is None:
            return decode(read_checked(path))
    except (FileNotFoundError, PermissionError):
        return None
    except Exception as damage:  # whatever is wrong with the file, making it again is the way out
        why = f"is damaged ({damage})"
    warnings.warn(f"cache file {path}: {why}; it is made again", RuntimeWarning, stacklevel=3)
    return None


def write_atomically(path: Path, content: bytes) -> bool:
    """Write a `WholeFile`; False, and nothing left, if that fails: a full or read-only disk is no error for a cache.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(pathlib.Path(folder) / "a", b"x"), (pathlib.Path(folder) / "a").read_bytes()
    (True, b'x')
    """
    try:
        with WholeFile(path, overwrite=True, sync=False, lock=False) as temporary:
            temporary.write_bytes(content)
            temporary.chmod(temporary.stat().st_mode & ~0o022)  # see `distrusted`
    except InputError:
        return False
    return True


def checksummed(content: bytes) -> bytes:
    """Content with a checksum in front that `read_checked` asks for."""
    return hashlib.sha256(content).digest() + content


def write_checked(path: Path, content: bytes) -> bool:
    """`write_atomically`, checksummed.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checked(pathlib.Path(folder) / "a", b"x"), read_checked(pathlib.Path(folder) / "a")
    (True, b'x')
    """
    return write_atomically(path, checksummed(content))


def keep_newest(folder: Path, pattern: str, count: int | None = None, size: int | None = None) -> None:
    """Leave the newest files of a pattern: a cache with a key for every user's wish must not grow without end.

    At most ``count`` of them, or as many as ``size`` bytes hold.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in "abc":
    ...         pathlib.Path(folder, name).touch()
    ...         os.utime(pathlib.Path(folder, name), (ord(name), ord(name)))
    ...     keep_newest(pathlib.Path(folder), "*", 2)
    ...     sorted(path.name for path in pathlib.Path(folder).iterdir())
    ['b', 'c']
    """

    known = []
    for path in folder.glob(pattern):
        try:
            state = path.stat()
        except OSError:  # another process was faster
            continue
        known.append((state.st_mtime, state.st_size, path))
    total = 0
    for number, (_, length, path) in enumerate(sorted(known, reverse=True)):
        total += length
        if (count is not None and number >= count) or (size is not None and total > size):
            path.unlink(missing_ok=True)


def read_checked(path: Path) -> bytes:
    """What was checksummed, to the bit: a cache that is a little wrong would be wrong physics.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not what was written.
    """
    with path.open("rb") as file:
        digest, content = file.read(32), file.read()
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("checksum differs")
    return content
