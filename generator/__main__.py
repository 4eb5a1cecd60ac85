"""Run the command line as ``python -m darkpenguin.generator``."""

from __future__ import annotations

from .commands.cli import script

script()
