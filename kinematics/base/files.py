"""Files: checked before the work starts, written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import InputError


class WholeFile:
    """A file that appears under its name when it is complete, or not at all.

    A context manager: it yields the path of an empty temporary file in the same folder, for any library to write to.
    Leaving it normally brings the content to the disk and gives it the name; leaving it by an exception, Ctrl-C
    included, removes it. A reader therefore sees the old file, the new one or none, also with several processes at
    work. A symbolic link stays one: the file that it leads to is written. Who cannot work within a ``with`` calls
    :meth:`open`, then :meth:`commit` or :meth:`discard`.

    Args:
        path: file to write.
        overwrite: whether a file of that name may be replaced, also one that appears meanwhile.
        sync: wait until the content is on the disk, so that a power cut leaves no empty file. What can be made again
            and is checked when it is read need not.

    Raises:
        InputError: the file cannot be written, the disk is full, or the name is taken.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with WholeFile(f"{folder}/a.txt") as temporary:
        ...         _ = temporary.write_text("x")
        ...     os.listdir(folder)
        ['a.txt']
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = True, sync: bool = True) -> None:
        self.path = Path(path)
        self.sync = sync
        self.overwrite = overwrite
        self.target = Path(os.path.realpath(path))
        self.temporary = self.target.with_name(_temporary_name(self.target.name))

    def open(self) -> Path:
        """Create the temporary file and return its path."""
        try:
            # not mkstemp: its files are for their owner alone, these get the permissions that any new file gets
            os.close(os.open(self.temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as error:
            raise self._refused(error) from error
        return self.temporary

    def commit(self) -> None:
        """Give the finished file its name; whatever fails, nothing stays behind."""
        try:
            if self.sync:
                _sync(self.temporary)
            if self.overwrite:
                os.replace(self.temporary, self.target)
            else:
                self._name_if_free()
            if self.sync:
                with suppress(OSError):  # a folder cannot be opened everywhere
                    _sync(self.target.parent)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary file."""
        self.temporary.unlink(missing_ok=True)

    def _name_if_free(self) -> None:
        try:
            os.link(self.temporary, self.target)
        except FileExistsError:
            raise
        except OSError:  # no hard links here: take the name first, then put the content under it
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            os.replace(self.temporary, self.target)

    def _refused(self, error: OSError) -> InputError:
        if isinstance(error, FileExistsError):
            return InputError(_taken(self.path))
        return InputError(f"output = {str(self.path)!r}: {error.strerror or error}; nothing was written")

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


def _temporary_name(name: str) -> str:
    return f".{name}.{secrets.token_hex(4)}.part"


def _sync(path: Path) -> None:
    """Bring a file, or a folder's names, to the disk."""
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
        InputError: the folder is missing or not writable, the file exists, or the disk has not enough space.
    """
    target = Path(path)
    folder = target.parent
    try:
        os.stat(folder / _temporary_name(target.name))  # one like that under which it is written
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"output = {str(path)[:60]!r}...: {error.strerror}; choose a shorter one") from None
    if not folder.exists():
        raise InputError(f"output = {str(path)!r}: there is no folder {str(folder)!r}; make it, or name another")
    if not folder.is_dir():
        raise InputError(f"output = {str(path)!r}: {str(folder)!r} is not a folder")
    if target.is_dir():
        raise InputError(f"output = {str(path)!r}: that is a folder; name a file in it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"output = {str(path)!r}: the folder {str(folder)!r} is not writable; name another")
    if target.exists() and not overwrite:
        raise InputError(_taken(path))
    if target.exists() and not target.is_file():
        raise InputError(f"output = {str(path)!r}: that is a device, not a file; name a file")
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


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write a file, from one text or from pieces, whole or not at all; InputError if it cannot be."""
    with WholeFile(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines([text] if isinstance(text, str) else text)


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Keys of a TOML file; InputError if it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"card = {str(path)!r}: cannot be read ({error.strerror or error})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"card = {str(path)!r}: not TOML: {error}") from None
