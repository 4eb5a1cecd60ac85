"""Run the command line as ``python -m darkpenguin``."""

from __future__ import annotations

from .generator.commands.cli import script

script()
