"""Files: checked before the work starts, written whole or not at all."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import InputError, TryAgainError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]


class OutputLock:
    """Held by the one job that writes a file; a second one is refused.

    A hidden file beside it that the system locks (``flock``; over NFS the server does it for all hosts): it is free
    again when its process is gone, however that ended, so nobody has to guess who is alive. A file system without
    locks has none here either; there, :class:`WholeFile` still refuses to replace what appeared meanwhile.

    Args:
        path: file to be written; a symbolic link stands for what it leads to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, OutputLock(f"{folder}/a"):
        ...     OutputLock(f"{folder}/a").owner().startswith("process ")
        True
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        target = Path(os.path.realpath(path))
        self.file = target.with_name(f".{target.name}.lock")
        self.held = False
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock; InputError if somebody has it, OSError if no file can be made here."""
        while self._handle is None and fcntl is not None:
            handle = self._opened()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), os.stat(self.file)):  # else: its owner has just removed it
                    self._handle, self.held = handle, True
            except BlockingIOError:
                raise InputError(self._busy(_owner(handle))) from None
            except FileNotFoundError:
                continue
            except OSError:  # no locks on this file system
                self.file.unlink(missing_ok=True)
                return
            finally:
                if not self.held:
                    os.close(handle)
        if self._handle is not None:
            with suppress(OSError):  # a lock left by somebody else, which we may not write into
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        if self._handle is not None:
            with suppress(OSError):
                self.file.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle, self.held = None, False

    def owner(self) -> str | None:
        """Who has the lock; None if nobody has."""
        try:
            handle = os.open(self.file, os.O_RDONLY)
        except OSError:
            return None
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _owner(handle)
        except OSError:
            return None
        finally:
            os.close(handle)
        return None

    def check(self) -> None:
        """InputError if somebody has the lock."""
        owner = self.owner()
        if owner is not None:
            raise InputError(self._busy(owner))

    def _busy(self, owner: str) -> str:
        return (
            f"output = {str(self.path)!r}: {owner} is writing it; wait for its end, or give every job a name of its own"
        )

    def _opened(self) -> int:
        try:
            return os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # somebody else's, left behind in a folder that we share
            return os.open(self.file, os.O_RDONLY)

    def __enter__(self) -> Self:
        try:
            self.acquire()
        except OSError as error:
            raise not_written(self.path, error, "nothing was written") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _owner(handle: int) -> str:
    return os.pread(handle, 200, 0).decode(errors="replace") or "another process"


class WholeFile:
    """A file that appears under its name when it is complete, or not at all.

    A context manager: it yields the path of an empty temporary file in the same folder, for any library to write to.
    Leaving it normally brings the content to the disk and gives it the name; leaving it by an exception, Ctrl-C
    included, removes it. A reader therefore sees the old file, the new one or none, also with several processes at
    work. What a killed job left behind is removed by the next one that writes the file. A symbolic link stays one: the
    file that it leads to is written. Who cannot work within a ``with`` calls :meth:`open`, then :meth:`commit` or
    :meth:`discard`.

    Args:
        path: file to write.
        overwrite: whether a file of that name may be replaced, also one that appears meanwhile.
        sync: wait until the content is on the disk, so that a power cut leaves no empty file. What can be made again
            and is checked when it is read need not.
        lock: whether a second job that writes the file at the same time is refused. A cache needs none: all write the
            same. Who holds an :class:`OutputLock` of the file already gives that.

    Raises:
        InputError: the file cannot be written, the name is taken, or another job is writing it.
        TryAgainError: the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with WholeFile(f"{folder}/a.txt") as temporary:
        ...         _ = temporary.write_text("x")
        ...     os.listdir(folder)
        ['a.txt']
    """

    def __init__(
        self, path: str | os.PathLike[str], overwrite: bool = False, sync: bool = True, lock: bool | OutputLock = True
    ) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self.sync = sync
        self.target = Path(os.path.realpath(path))
        self.temporary: Path | None = None
        self._lock = OutputLock(path) if lock is True else None
        self._given = lock if isinstance(lock, OutputLock) else None

    def open(self) -> Path:
        """Create the temporary file and return its path."""
        try:
            if self._lock is not None:
                self._lock.acquire()
            lock = self._lock or self._given
            _remove_left_over(self.target, lock is not None and lock.held)
            while self.temporary is None:
                temporary = self.target.with_name(_temporary_name(self.target.name))
                with suppress(FileExistsError):
                    # not mkstemp: its files are for their owner alone, these get the permissions of any new file
                    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                    self.temporary = temporary
        except OSError as error:
            self.discard()
            raise self._refused(error) from error
        return self.temporary

    def commit(self) -> None:
        """Give the finished file its name; whatever fails, nothing stays behind."""
        assert self.temporary is not None
        try:
            if self.sync:
                bring_to_disk(self.temporary)
            if self.overwrite:
                os.replace(self.temporary, self.target)
            else:
                self._name_if_free(self.temporary)
            if self.sync:
                with suppress(OSError):  # a folder cannot be opened everywhere
                    bring_to_disk(self.target.parent)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary file and give the lock back."""
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()

    def _name_if_free(self, temporary: Path) -> None:
        try:
            os.link(temporary, self.target)
        except FileExistsError:
            if not os.path.samefile(temporary, self.target):  # it is when an answer of a file server was lost
                raise
        except OSError:  # no hard links here: take the name first, then put the content under it
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            try:
                os.replace(temporary, self.target)
            except OSError:
                self.target.unlink(missing_ok=True)
                raise

    def _refused(self, error: OSError) -> InputError:
        if isinstance(error, FileExistsError):
            return InputError(_taken(self.path))
        return not_written(self.path, error, "nothing was written")

    def __enter__(self) -> Path:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
            return
        self.discard()
        if isinstance(error, OSError):
            raise self._refused(error) from error


_WORTH_A_RETRY = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENFILE}
_IDLE = 3600.0
"""Seconds without a write after which a temporary file of another host, which we cannot ask, is of no living job."""


def not_written(path: str | os.PathLike[str], error: OSError, remains: str) -> InputError:
    """The error of a file that could not be written, with what remains of it: for a retry if the disk was full.

    >>> not_written("a", OSError(errno.ENOSPC, "No space left on device"), "nothing was written")
    TryAgainError("output = 'a': No space left on device; nothing was written")
    """
    kind = TryAgainError if error.errno in _WORTH_A_RETRY else InputError
    return kind(f"output = {str(path)!r}: {error.strerror or error}; {remains}")


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


def _temporary_name(name: str) -> str:
    return f".{name}.{_host()}{secrets.token_hex(4)}.part"


def _remove_left_over(target: Path, alone: bool) -> None:
    """Remove temporary files that killed jobs left: ours, if we are ``alone``, and what nobody wrote to for long."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([0-9a-f]{{4}})?[0-9a-f]{{8}}\.part")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                if (alone and match[1] == _host()) or time.time() - entry.stat().st_mtime > _IDLE:
                    os.unlink(entry.path)


def bring_to_disk(path: Path) -> None:
    """Wait until a file as it is now, or a folder's names, are on the disk.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     bring_to_disk(Path(file.name))
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _taken(path: str | os.PathLike[str]) -> str:
    return f"output = {str(path)!r}: the file exists; give --overwrite to replace it, or another name"


def check_target(path: str | os.PathLike[str], n_bytes: int = 0, overwrite: bool = False) -> Path:
    """Return the path of a file that can be written, before any work is done for it.

    Args:
        path: file to write.
        n_bytes: bytes that the file will take at most.
        overwrite: whether a file of that name may be replaced.

    Raises:
        InputError: the folder is missing or not writable, the file exists or another job is writing it, or the disk
            has not enough space.
    """
    target = Path(path)
    if "\0" in str(path):
        raise InputError(f"output = {str(path)!r}: no name of a file")
    folder = Path(os.path.realpath(target)).parent
    try:
        os.stat(folder / _temporary_name(target.name))  # one like that under which it is written
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"output = {str(path)[:60]!r}...: {error.strerror}; choose a shorter one") from None
    if not folder.exists():
        raise InputError(f"output = {str(path)!r}: there is no folder {str(target.parent)!r}; make it, or name another")
    if not folder.is_dir():
        raise InputError(f"output = {str(path)!r}: {str(target.parent)!r} is not a folder")
    if target.is_dir():
        raise InputError(f"output = {str(path)!r}: that is a folder; name a file in it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"output = {str(path)!r}: the folder {str(target.parent)!r} is not writable; name another")
    if target.exists() and not overwrite:
        raise InputError(_taken(path))
    if target.exists() and not target.is_file():
        raise InputError(f"output = {str(path)!r}: that is a device, not a file; name a file")
    OutputLock(target).check()
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise InputError(
            f"output = {str(path)!r}: the events need up to {readable_size(n_bytes)} and the disk has "
            f"{readable_size(free)} free; ask for fewer events, a part (--range), or another disk"
        )
    return target


def check_figure(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Return the path of a figure that can be written, before any work is done for it.

    Raises:
        InputError: an ending that is not .png or .pdf; see also :func:`check_target`.
    """
    if Path(path).suffix.lower() not in (".png", ".pdf"):
        raise InputError(f"figure = {str(path)!r}: a figure is a .png or a .pdf")
    return check_target(path, overwrite=overwrite)


def readable_size(n_bytes: float) -> str:
    """Return a number of bytes with its unit.

    >>> readable_size(56e12)
    '56.0 TB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} TB"


def write_text(path: Path, text: str | Iterable[str], overwrite: bool = False) -> None:
    """Write a file, from one text or from pieces, whole or not at all; InputError if it cannot be."""
    with WholeFile(path, overwrite) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines([text] if isinstance(text, str) else text)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Keys of a TOML file; InputError if it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"card = {str(path)!r}: cannot be read ({error.strerror or error})") from None
    except RecursionError:
        raise InputError(f"card = {str(path)!r}: not TOML that can be used: nested too deeply") from None
    except ValueError as error:  # also of numbers with thousands of digits
        raise InputError(f"card = {str(path)!r}: not TOML: {str(error).partition(';')[0]}") from None


def parse_yaml(text: str | bytes) -> Any:
    """What YAML says, by the parser in C where PyYAML has it: ten times faster.

    >>> parse_yaml("mass: [3.0969, 0.000006]")
    {'mass': [3.0969, 6e-06]}

    Raises:
        yaml.YAMLError: it is none.
    """
    import yaml

    return yaml.load(text, Loader=_yaml_loader())


@functools.cache
def _yaml_loader() -> Any:
    """A class of our own: flavio lets PyYAML's make other mappings of everything."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.add_constructor("tag:yaml.org,2002:map", yaml.constructor.SafeConstructor.construct_yaml_map)
    return Loader
