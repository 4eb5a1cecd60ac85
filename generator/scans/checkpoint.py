"""Partial results of a scan, kept so that it goes on where it was stopped."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

from ...kinematics.base.arrays import FloatArray
from ...kinematics.base.errors import InputError
from ...kinematics.base.sources import source_fingerprint
from ...physics.parameters import physics_fingerprint
from ..files.pieces import Span, read_piece, write_piece
from .card import ScanCard

_CHECKPOINT = 20.0  # seconds between checkpoints of a long scan, at least
_SHARE = 0.05  # of the time, at most, that is spent on checkpoints


class _Checkpoint:
    """Partial results of a scan in one file with a digest, recognised by card and all that the numbers rest on.

    ``blocks`` are the first and the last (exclusive) that are wanted, of which those up to ``done`` are there.
    """

    def __init__(self, path: str | os.PathLike[str] | None, card: ScanCard, blocks: Span) -> None:
        self.path = Path(path) if path is not None else None
        self.told = {} if path is None else {"key": scan_key(card), "blocks": list(blocks)}
        self.due = time.monotonic() + _CHECKPOINT

    def load(self, chi2: FloatArray) -> tuple[int | None, int]:
        """Number of the first block that is not there, None if there are none, and of points that are."""
        if self.path is None or not self.path.is_file():
            return None, 0
        try:
            stored, told = read_piece(self.path)
            found, done = stored["chi2"], int(told.pop("done"))
            points = found.shape[1]
            if told != self.told or points > chi2.shape[1]:
                return None, 0
            chi2[:, :points] = found
            return done, points
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"checkpoint {self.path} is damaged ({error}); the scan starts afresh"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            return None, 0

    def save_if_due(self, chi2: FloatArray, done: int, points: int) -> None:
        if time.monotonic() > self.due:
            self.save(chi2, done, points)

    def save(self, chi2: FloatArray, done: int, points: int) -> None:
        if self.path is None or points == 0:
            return
        start = time.monotonic()
        with suppress(InputError):  # a full or read-only disk: the scan goes on without
            write_piece(
                self.path,
                {"chi2": chi2[:, :points]},
                {**self.told, "done": done},
                overwrite=True,
                sync=False,
                lock=False,
            )
        end = time.monotonic()
        self.due = end + max(_CHECKPOINT, (end - start) / _SHARE)

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def scan_key(card: ScanCard) -> str:
    """Hash of a card, of its data set, of the package's physics, and of flavio's version."""
    digest = hashlib.sha256(card.model_dump_json().encode())
    digest.update(card.data_set.digest.encode())
    digest.update(physics_fingerprint().encode())
    digest.update(source_fingerprint("generator/scans").encode())
    return digest.hexdigest()
