"""Optional dependencies: which extra brings each of them, and one sentence where one is missing."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from .errors import InputError

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "array_api_compat": "cuda13",
        "bokeh": "explore",
        "boost_histogram": "formats",
        "correctionlib": "formats",
        "cupy": "cuda13",
        "dask": "dask",
        "distributed": "dask",
        "hist": "formats",
        "panel": "explore",
        "pyhepmc": "formats",
        "pyhf": "recast",
        "redist": "recast",
        "uhi": "formats",
    }
)
"""Package -> the extra of darkpenguin that installs it."""


def install_command(package: str) -> str:
    """The command that installs an optional dependency; of the two extras for a GPU, the one for its driver.

    >>> install_command("hist")
    "pip install 'darkpenguin[formats]'"
    """
    extra = EXTRAS[package]
    if extra == "cuda13" and 12000 <= cuda_driver() < 13000:
        extra = "cuda12"
    return f"pip install 'darkpenguin[{extra}]'"


def cuda_driver() -> int:
    """Version of CUDA that the NVIDIA driver of this machine is for, 13000 for 13.0; 0 without a driver.

    >>> cuda_driver() >= 0
    True
    """
    found = ctypes.c_int()
    for name in ("libcuda.so.1", "nvcuda.dll"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(found))
    return found.value


def optional(module: str, purpose: str) -> Any:
    """Import an optional dependency.

    Args:
        module: its name with dots, ``uhi.io.json``.
        purpose: what needs it, the beginning of the sentence if it is missing.

    Raises:
        InputError: it does not import; the message has the command that installs it.

    >>> optional("hist.axis", "a histogram").__name__
    'hist.axis'
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except Exception as problem:  # a broken installation fails in several ways
        raise InputError(f"{purpose} needs the package {package} ({problem}): {install_command(package)}") from None
