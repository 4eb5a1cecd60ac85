"""Manifests: the parts that a run is split into, the files that they become, and whether these are what was planned."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ...kinematics.base.checks import validate
from ...kinematics.base.errors import InputError
from ...kinematics.base.files import write_text
from .pieces import Span, share
from .provenance import package_versions

_SHOWN = 5


class PlannedPart(BaseModel):
    """One part of a run: which, what of the run it makes (first, and first after), and into which files."""

    model_config = ConfigDict(frozen=True)

    part: str
    range: Span
    files: tuple[str, ...]


class Manifest(BaseModel):
    """The parts of a run of events, toys or a scan.

    Attributes:
        what: the kind of run.
        key: hash of all that its numbers depend on; files of its parts have the same.
        total: events, toys, or blocks of a scan's points, of all parts.
        output: what the files are named after.
        parts: one entry a job.
        card: what is asked for.
        versions: of the packages that planned it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest_version: Literal[1] = 1
    what: Literal["events", "toys", "scan"]
    key: str
    total: int
    output: str
    parts: tuple[PlannedPart, ...]
    card: dict[str, Any]
    versions: dict[str, str]

    @property
    def files(self) -> list[str]:
        """Files of all parts."""
        return [file for part in self.parts for file in part.files]

    def write(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write it as JSON, with a digest of it."""
        data = self.model_dump(mode="json")
        write_text(Path(path), json.dumps({**data, "sha256": _digest(data)}, indent=1) + "\n", overwrite)

    def check(
        self,
        files: Sequence[str | os.PathLike[str]],
        told: Callable[[str], tuple[Any, Any]],
        partial: bool = False,
        damages: Callable[[str], Sequence[str] | None] = lambda file: None,
    ) -> list[str]:
        """The files to be joined: these, or by default those of the manifest, known by their names in any folder.

        Args:
            files: of the parts; where the manifest says if empty.
            told: key and range of a file, as it tells them itself.
            partial: whether some may be missing.
            damages: what is damaged in a file; asked where the files cannot be joined anyway, so that all that has to
                be made again is named at once.

        Raises:
            InputError: files that are missing, named twice, damaged, or not as planned.
        """
        given = [os.fspath(file) for file in files] or self.files
        count = Counter(Path(file).name for file in given)
        planned = {Path(file).name: part for part in self.parts for file in part.files}
        _refuse("are named twice", "is named twice", [name for name, times in count.items() if times > 1])
        _refuse("are not in the plan", "is not in the plan", [name for name in count if name not in planned])
        there = [file for file in given if Path(file).is_file()]
        missing: list[str] = []
        if not partial or files:
            found = {Path(file).name for file in there}
            missing = [name for name in planned if name not in found and not partial]
            missing = missing or [file for file in given if file not in there]
        problems = [_listed("are missing; make them", "is missing; make it", missing)] if missing else []
        why = {file: self._problem(file, planned[Path(file).name], told) for file in there}
        if problems or any(why.values()):
            for file in (file for file in there if why[file] is None):
                if lines := damages(file):
                    why[file] = f"file = {file!r}: damaged: {lines[0]}; make it again"
        wrong = [problem for problem in why.values() if problem is not None]
        problems += wrong[:_SHOWN]
        if len(wrong) > _SHOWN:
            problems.append(f"{len(wrong) - _SHOWN} more")
        if problems:
            raise InputError("; ".join(problems))
        return there

    def _problem(self, file: str, part: PlannedPart, told: Callable[[str], tuple[Any, Any]]) -> str | None:
        """Why a file is not the part that was planned; None if it is."""
        try:
            key, span = told(file)
        except InputError as error:
            return str(error)
        if key != self.key:
            return f"file = {file!r}: not of the run that was planned (card, inputs or version)"
        if tuple(span or ()) != part.range:
            return f"file = {file!r}: has {span}; part {part.part} of the plan is {list(part.range)}"
        return None


def _refuse(several: str, one: str, names: Sequence[str]) -> None:
    if names:
        raise InputError(_listed(several, one, names))


def _listed(several: str, one: str, names: Sequence[str]) -> str:
    """Names, a few of them, and what is wrong with them.

    >>> _listed("are missing", "is missing", ["a"])
    'files: a is missing'
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"files: {', '.join(names[:_SHOWN])}{more} {one if len(names) == 1 else several}"


def make_manifest(
    what: Literal["events", "toys", "scan"],
    key: str,
    total: int,
    output: str,
    card: Mapping[str, Any],
    files: Sequence[Sequence[str]],
) -> Manifest:
    """The manifest of a run whose parts become these files, one entry a part.

    >>> found = make_manifest("toys", "a", 10, "t.root", {}, [["t-1-of-2.root"], ["t-2-of-2.root"]])
    >>> [(part.part, part.range) for part in found.parts]
    [('1/2', (0, 5)), ('2/2', (5, 10))]
    """
    n = len(files)
    parts = [
        PlannedPart(part=f"{k}/{n}", range=share((k, n), total), files=tuple(names))
        for k, names in enumerate(files, start=1)
    ]
    return Manifest(
        what=what,
        key=key,
        total=total,
        output=output,
        parts=tuple(parts),
        card=dict(card),
        versions=package_versions(),
    )


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """A manifest from its file.

    Raises:
        InputError: it cannot be read, is no manifest, or was altered.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     make_manifest("toys", "a", 10, "t.root", {}, [["t.root"]]).write(f"{folder}/plan.json")
        ...     read_manifest(f"{folder}/plan.json").files
        ['t.root']
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"plan = {str(path)!r}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or "manifest_version" not in data:
        raise InputError(f"plan = {str(path)!r}: no manifest; `darkpenguin plan` writes one")
    if data.pop("sha256", None) != _digest(data):
        raise InputError(f"plan = {str(path)!r}: was altered or is damaged; plan the run again")
    return validate(Manifest, data, "plan")


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
