"""The one exception for a user's mistake."""

from __future__ import annotations


class InputError(ValueError):
    """A user's input that cannot be used; the command line prints it and exits with code 2.

    The message names the field, the value, the allowed range and the way out.
    """
