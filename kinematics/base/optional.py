"""Optional dependencies: which extra brings each of them, and one sentence where one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from .errors import InputError

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        "boost_histogram": "formats",
        "correctionlib": "formats",
        "cupy": "gpu",
        "hist": "formats",
        "numba_cuda": "gpu",
        "pyhepmc": "formats",
        "uhi": "formats",
    }
)
"""Package -> the extra of darkpenguin that installs it."""


def install_command(package: str) -> str:
    """The command that installs an optional dependency.

    >>> install_command("hist")
    "pip install 'darkpenguin[formats]'"
    """
    return f"pip install 'darkpenguin[{EXTRAS[package]}]'"


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
