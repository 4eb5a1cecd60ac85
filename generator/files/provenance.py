"""How a file was made: versions of packages and the processor."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PROVENANCE_VERSION = 1
"""Version of the provenance's layout."""
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
