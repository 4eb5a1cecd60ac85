"""Exceptions for what is not the program's own fault."""

from __future__ import annotations

import re

_LONGEST_WORD, _LONGEST = 160, 1200


class InputError(ValueError):
    """A user's input that cannot be used; the command line prints it and exits with code 2.

    The message names the field, the value, the allowed range and the way out. It is made one line that can be shown
    anywhere, see `one_line`.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(str(message)))


class TryAgainError(InputError):
    """Nothing is wrong with the input, but the disk is full or a worker was lost: exit code 75, worth a retry."""


def printable(text: str) -> str:
    """Text that does nothing to a terminal: control characters are written out.

    >>> printable("a" + chr(27) + "[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """A message without line breaks and control characters; values of thousands of characters are shortened.

    >>> one_line("q = '" + 5000 * "9" + "': not a number").count("9") < 160
    True
    """
    words = printable(" ".join(re.split(r"[\r\n]+", text)))
    words = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: f"{word[0][:100]}...{word[0][-40:]}", words)
    return words if len(words) <= _LONGEST else f"{words[:800]} ... {words[-300:]}"
