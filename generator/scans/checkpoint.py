"""Partial results of a scan, kept so that it goes on where it was stopped."""

from __future__ import annotations

import hashlib
import io
import os
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np

from ...kinematics.base.arrays import FloatArray
from ...kinematics.base.cache import read_checked, write_checked
from ...kinematics.base.sources import source_fingerprint
from ...physics.parameters import physics_fingerprint
from .card import ScanCard

_CHECKPOINT = 20.0  # seconds between checkpoints of a long scan, at least
_SHARE = 0.05  # of the time, at most, that is spent on checkpoints


class _Checkpoint:
    """Partial results of a scan in one file with a checksum, recognised by card and all that the numbers rest on.

    ``done`` counts blocks, of which each point of the non-linear axes has ``blocks``.
    """

    def __init__(self, path: str | os.PathLike[str] | None, card: ScanCard, blocks: int) -> None:
        self.path = Path(path) if path is not None else None
        self.key = scan_key(card) if path is not None else ""
        self.blocks = blocks
        self.due = time.monotonic() + _CHECKPOINT

    def load(self, chi2: FloatArray) -> int:
        if self.path is None or not self.path.is_file():
            return 0
        try:
            with np.load(io.BytesIO(read_checked(self.path)), allow_pickle=False) as stored:
                done = int(stored["done"])
                rows = -(-done // self.blocks)
                if str(stored["key"]) != self.key or stored["chi2"].shape != (rows, *chi2.shape[1:]):
                    return 0
                chi2[:rows] = stored["chi2"]
                return done
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            message = f"checkpoint {self.path} is damaged ({error}); the scan starts afresh"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            return 0

    def save_if_due(self, chi2: FloatArray, done: int) -> None:
        if time.monotonic() > self.due:
            self.save(chi2, done)

    def save(self, chi2: FloatArray, done: int) -> None:
        if self.path is None or done == 0:
            return
        start = time.monotonic()
        buffer = io.BytesIO()
        np.savez(buffer, key=self.key, done=done, chi2=chi2[: -(-done // self.blocks)])
        write_checked(self.path, buffer.getvalue())
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
