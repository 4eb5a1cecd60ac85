"""What a command made, for programs: a JSON file with names, digests and seconds, beside what people are told."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...kinematics.base.files import check_target, write_text
from ...kinematics.base.results import json_types
from .provenance import machine, package_versions

LAYOUT = 1
"""Version of the layout of a report, its key ``darkpenguin_report``."""


class Report:
    """The report of a command, written at its end, whole or not at all; one without a path says nothing.

    A report of before is replaced: the command is the same job, started again. Another file is replaced as any output.

    Args:
        path: JSON file to write; None for no report.
        command: name of the command.
        overwrite: whether a file that is no report may be replaced.

    Raises:
        InputError: a file that is in the way, or a folder that is missing or not writable.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = Report(f"{folder}/run.json", "generate")
        ...     with report.stage("events"):
        ...         made = Path(f"{folder}/x.root").write_bytes(b"root")
        ...     report.write([f"{folder}/x.root"], events=10)
        ...     said = json.loads(Path(f"{folder}/run.json").read_text())
        >>> said["command"], said["files"][0]["bytes"], sorted(said["seconds"]), said["events"]
        ('generate', 4, ['events', 'whole'], 10)
    """

    def __init__(self, path: str | os.PathLike[str] | None, command: str, overwrite: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.command, self.seconds = command, dict[str, float]()
        self.overwrite = overwrite or (self.path is not None and _is_report(self.path))
        self._began, self._started = time.perf_counter(), datetime.now(UTC)
        if self.path is not None:
            check_target(self.path, overwrite=self.overwrite)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage of the work; the seconds of stages of one name are added."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def write(self, files: Iterable[str | os.PathLike[str]], **said: Any) -> None:
        """Write what was made: the files, with size and SHA-256 (of ``sha256sum``), and what else is ``said``."""
        if self.path is None:
            return
        made = [_described(Path(file)) for file in files]
        seconds = {**self.seconds, "whole": time.perf_counter() - self._began}
        found = {
            "darkpenguin_report": LAYOUT,
            "command": self.command,
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "files": made,
            **said,
            "versions": package_versions(),
            "machine": machine(),
        }
        text = json.dumps(json_types(found), indent=1, allow_nan=False) + "\n"
        write_text(self.path, text, self.overwrite)


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"path": str(path.absolute()), "bytes": os.fstat(stream.fileno()).st_size, "sha256": digest}


def _is_report(path: Path) -> bool:
    try:
        known = json.loads(path.read_bytes()) if path.stat().st_size < 1 << 24 else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(known, dict) and "darkpenguin_report" in known
