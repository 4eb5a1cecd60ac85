"""Where computed tables are kept between runs, and how they are written: whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

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


def cache_folder() -> Path | None:
    """Folder for cached tables and compiled code: created if missing, None when nothing is writable.

    ``$DARKPENGUIN_CACHE`` if set, else ``darkpenguin`` in the platform's user cache directory
    (``$XDG_CACHE_HOME`` or ``~/.cache`` on Linux). Never raises: without a folder everything still works and
    is computed afresh.

    >>> folder = cache_folder()
    >>> folder is None or folder.is_dir()
    True
    """
    chosen = os.environ.get("DARKPENGUIN_CACHE")
    try:
        folder = Path(chosen).expanduser() if chosen else _platform_folder() / "darkpenguin"
        folder.mkdir(parents=True, exist_ok=True)
        usable = folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home directory
        return None
    return folder.resolve() if usable else None


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


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Leave the newest files of a pattern: a cache with a key for every user's wish must not grow without end.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in "abc":
    ...         pathlib.Path(folder, name).touch()
    ...         os.utime(pathlib.Path(folder, name), (ord(name), ord(name)))
    ...     keep_newest(pathlib.Path(folder), "*", 2)
    ...     sorted(path.name for path in pathlib.Path(folder).iterdir())
    ['b', 'c']
    """

    def age(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except OSError:  # another process was faster
            return 0.0

    for path in sorted(folder.glob(pattern), key=age, reverse=True)[count:]:
        path.unlink(missing_ok=True)


def read_checked(path: Path) -> bytes:
    """What was checksummed, to the bit: a cache that is a little wrong would be wrong physics.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not what was written.
    """
    stored = path.read_bytes()
    digest, content = stored[:32], stored[32:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("checksum differs")
    return content
