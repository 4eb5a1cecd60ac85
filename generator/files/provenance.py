"""How a file was made: the layout of what it says, versions of packages, the processor."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...kinematics.base.errors import InputError
from ...kinematics.base.sources import installed_version

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
    "cupy",
    "cupy-cuda12x",
    "cupy-cuda13x",
)
"""Packages whose versions go into the provenance."""


class ChannelEntry(BaseModel):
    """What a file says of one of its channels."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    name: str
    index: int
    columns: list[str] = []
    events: int = Field(default=0, ge=0)
    events_of_run: int = Field(default=0, ge=0)
    first_event_of_run: int = Field(default=0, ge=0)
    expected_events_of_run: float = Field(default=0, ge=0)
    accepted_of_run: int = Field(default=0, ge=0)
    branching_fraction: float = Field(default=0, ge=0)
    rates: dict[str, float] = {}
    remark: str = ""


class _Efficiency(BaseModel):
    sha256: dict[str, str] = {}


class _Stages(BaseModel):
    efficiency: _Efficiency = _Efficiency()


class Provenance(BaseModel):
    """The layout of what a file says of its making: whatever is there has this form, readers need not ask again.

    Files of toys and of events of a toy have other keys beside these.
    """

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    provenance_version: int = 1
    card: dict[str, Any] = {}
    model: dict[str, Any] | None = None
    channels: list[ChannelEntry] | list[str] = []
    events: int = 0
    events_of_run: int = 0
    range: tuple[int, int] | None = None
    seed: int = 0
    stages: _Stages = _Stages()
    flavour: str = "both"
    convention: str = "lhcb"
    precision: str = "float64"
    backend: str = ""
    machine: str = ""
    versions: dict[str, str] = {}
    units: dict[str, str] = {}


def parse_provenance(text: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the provenance of a file from its JSON; what is not JSON (a file from elsewhere) is kept as ``text``.

    Raises:
        InputError: it was written by a darkpenguin that says more than this one can read, or it is not laid out like a
            `Provenance`.

    Example:
        >>> parse_provenance('{"provenance_version": 1, "seed": 7}', "x.root")["seed"]
        7
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return {"text": text}
    layout = value.get("provenance_version", 1)
    if not isinstance(layout, int) or layout > PROVENANCE_VERSION:
        versions = value.get("versions")
        writer = versions.get("darkpenguin") if isinstance(versions, dict) else None
        raise InputError(
            f"file = {os.fspath(path)!r}: provenance_version = {layout!r}, written by darkpenguin "
            f"{writer or 'of a later version'}; this one reads up to {PROVENANCE_VERSION}: install a newer darkpenguin"
        )
    try:
        Provenance.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("list["))
        raise InputError(
            f"file = {os.fspath(path)!r}: its provenance was altered or is another program's: {place}: {problem['msg']}"
        ) from None
    return value


def channel_entries(provenance: Mapping[str, Any], needed: Sequence[str] = ()) -> dict[int, Mapping[str, Any]]:
    """What a provenance says of each channel, by number, once it is known to say what is needed.

    Raises:
        InputError: it does not.

    Example:
        >>> channel_entries({"channels": [{"name": "B+->K+mumu", "index": 1}]})[1]["name"]
        'B+->K+mumu'
    """
    entries = [entry for entry in provenance.get("channels", ()) if isinstance(entry, Mapping)]  # of toys: names
    lacking = {key for entry in entries for key in needed if key not in entry}
    if lacking:
        raise InputError(f"channels: the provenance does not say {', '.join(sorted(lacking))}")
    return {int(entry["index"]): entry for entry in entries}


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that take part, of those that are installed.

    >>> "numpy" in package_versions()
    True
    """
    return dict(_package_versions())


@cache
def _package_versions() -> dict[str, str]:  # they are read from files: 8 ms of every run
    found = {}
    for name in PACKAGES:
        try:
            found[name] = installed_version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Return system, architecture and processor.

    >>> machine() != ""
    True
    """
    return f"{platform.system()} {platform.machine()}, {_processor()}"


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
