"""Files: checked before the work starts, written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import InputError


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
        os.stat(folder / f".{target.name}.{os.getpid()}.part")  # the name under which it is written
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
        raise InputError(f"output = {str(path)!r}: the file exists; give --overwrite to replace it, or another name")
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"output = {str(path)!r}: cannot be written ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Keys of a TOML file; InputError if it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"card = {str(path)!r}: cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"card = {str(path)!r}: not TOML: {error}") from None
