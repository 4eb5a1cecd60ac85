"""Exceptions for what is not the program's own fault."""

from __future__ import annotations


class InputError(ValueError):
    """A user's input that cannot be used; the command line prints it and exits with code 2.

    The message names the field, the value, the allowed range and the way out.
    """


class TryAgainError(InputError):
    """Nothing is wrong with the input, but the disk is full or a worker was lost: exit code 75, worth a retry."""
