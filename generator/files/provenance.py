"""How a file was made: versions of packages and the processor."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ...kinematics.base.errors import InputError

PROVENANCE_VERSION = 1
"""Version of the provenance's layout; raised when a reader of the one before would misread it. All older are read."""
PACKAGES = (
    "darkpenguin",
    "flavio",
    "numba",
    "numpy",
    "scipy",
    "uproot",
    "awkward",
    "pyarrow",
    "numba-cuda",
    "cupy",
)
"""Packages whose versions go into the provenance."""


def parse_provenance(text: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the provenance of a file from its JSON; what is not JSON (a file from elsewhere) is kept as ``text``.

    Raises:
        InputError: it was written by a darkpenguin that says more than this one can read.

    Example:
        >>> parse_provenance('{"provenance_version": 1, "seed": 7}', "x.root")["seed"]
        7
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        return {"text": text}
    layout = value.get("provenance_version", 1)
    if not isinstance(layout, int) or layout > PROVENANCE_VERSION:
        writer = value.get("versions", {}).get("darkpenguin", "of a later version")
        raise InputError(
            f"file = {os.fspath(path)!r}: provenance_version = {layout}, written by darkpenguin {writer}; this one "
            f"reads up to {PROVENANCE_VERSION}: install a newer darkpenguin"
        )
    return value


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that take part, of those that are installed.

    >>> "numpy" in package_versions()
    True
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """Return the name of the CPU: results are bitwise reproducible on one model of it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"
