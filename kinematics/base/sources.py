"""Fingerprints of the package's own sources: what a cache on disk has to be keyed by.

A number kept between runs depends on every formula that it was made with. Whoever lists those files by hand
forgets one, so a cache names the rooms it depends on, and every file below them counts, at any depth.
"""

from __future__ import annotations

import functools
import hashlib
import re
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent
"""Folder of the installed package."""

ROOMS = ("generator", "kinematics", "physics")
"""The package's folders of source; the names that `source_fingerprint` takes are these and what is below them."""

_SUFFIXES = (".py", ".yml", ".cu", ".h")


def source_files(*rooms: str, package: Path | None = None) -> list[Path]:
    """Sources and data of rooms such as ``physics`` or ``generator/scans``, in every folder below them, sorted.

    >>> any(file.name == "amplitudes.py" for file in source_files("physics"))
    True

    Raises:
        FileNotFoundError: there is no such room.
    """
    top = package or PACKAGE
    found = []
    for room in rooms:
        if not (top / room).is_dir():
            raise FileNotFoundError(f"{top / room}: no such room of the package")
        found += [path for path in (top / room).rglob("*") if path.suffix in _SUFFIXES]
    return sorted(found)


def installed_version(name: str) -> str:
    """Version of an installed package: the line of its metadata alone, which `importlib.metadata` parses whole.

    Not kept: packages come and go while a process lives.

    >>> installed_version("numpy") == metadata.version("numpy")
    True

    Raises:
        PackageNotFoundError: it is not installed.
    """
    text = metadata.distribution(name).read_text("METADATA") or ""
    found = re.search(r"^Version: *(\S+)", text.partition("\n\n")[0], re.MULTILINE)
    return found[1] if found else metadata.version(name)


@functools.lru_cache
def source_fingerprint(*rooms: str, libraries: tuple[str, ...] = (), package: Path | None = None) -> str:
    """Hash of the sources in rooms (default: all of them) and of the versions of libraries.

    Computed once a process: the sources may be edited while we run.

    >>> len(source_fingerprint("physics", libraries=("flavio",)))
    32
    """
    top = package or PACKAGE
    digest = hashlib.sha256()
    for library in libraries:
        digest.update(f"{library} {installed_version(library)}\n".encode())
    for source in source_files(*(rooms or ROOMS), package=top):
        digest.update(f"{source.relative_to(top).as_posix()} {_digest(source)}\n".encode())
    return digest.hexdigest()[:32]


@functools.cache
def _digest(source: Path) -> str:
    """Digest of one source, which is read once, whatever depends on it."""
    return hashlib.sha256(source.read_bytes()).hexdigest()
