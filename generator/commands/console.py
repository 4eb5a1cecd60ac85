"""Talking to people: tables on standard output, progress on standard error."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, zip_longest
from typing import Any
from unicodedata import combining, east_asian_width

from ...kinematics.base.errors import printable

INTERVAL = 30.0
"""Seconds between lines of progress off a terminal."""
OFTEN = 2.0
"""The same for who asked for them."""
DATA_HELP = "Data set: current, 2017 (what the paper had), any other in the package, or the path of your own .yml file."
"""Help of every option ``--data``; a wrong name is answered with those that there are."""


class Talk:
    """How much is said on standard error beside errors and warnings; the options before the command set it.

    Attributes:
        quiet: neither progress nor remarks.
        verbose: progress every two seconds off a terminal too, and the seconds that the command took.
    """

    quiet = False
    verbose = False


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print a table; all but the first ``left`` columns are aligned to the right."""
    if not sys.stdout.isatty():
        print(plain_table(title, header, rows, left))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=_plain(title) or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for i, name in enumerate(header):
        table.add_column(_plain(name), justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would leave with exit code 1

    Plain(highlight=False).print(table)


def plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table for a file or a pipe: as wide as it is, and without rich, whose import takes longer than to plan a run.

    >>> print(plain_table("", ("channel", "events"), [("B+->K+mumu", "1,000"), ("B0->K*0ee", "10")]))
    <BLANKLINE>
      channel      events
     ---------------------
      B+->K+mumu    1,000
      B0->K*0ee        10
    <BLANKLINE>
    """
    lines = [
        list(zip_longest(*(_printable(cell).split("\n") for cell in row), fillvalue="")) for row in (header, *rows)
    ]
    widths = [max(map(_width, column)) for column in zip(*chain(*lines), strict=True)]
    shown = [
        "   ".join(
            text + " " * (width - _width(text)) if i < left else " " * (width - _width(text)) + text
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in chain(*lines)
    ]
    rule = " " + "-" * (sum(widths) + 3 * len(widths) - 1)
    body = [f"  {line}".rstrip() for line in shown]
    head = len(lines[0])
    return "\n".join([*([_printable(title)] if title else []), "", *body[:head], rule, *body[head:], ""])


def _width(text: str) -> int:
    """Places that a line takes on a terminal."""
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def print_json(value: Any) -> None:
    """Print what a command found in the types of JSON, in place of its tables and of what else it says of them.

    >>> print_json({"R": math.nan, "bins": (1, 6)})
    {
     "R": null,
     "bins": [
      1,
      6
     ]
    }
    """
    from ...kinematics.base.results import json_types

    print(json.dumps(json_types(value), indent=1, allow_nan=False))


def rounded(value: float, error: float) -> tuple[str, str]:
    """A value and its error, both to two digits of the error.

    >>> rounded(1.72113e-7, 3.26e-8), rounded(-0.75712, 0.0713), rounded(12345.6, 110.3), rounded(4.0, 0.0)
    (('1.72e-07', '3.3e-08'), ('-0.757', '0.071'), ('12346', '110'), ('4', '0'))
    """
    if not (error > 0 and math.isfinite(error) and math.isfinite(value)):
        return f"{value:.10g}", f"{error:.10g}"
    last = math.floor(math.log10(error)) - 1
    first = math.floor(math.log10(abs(value))) if value else last
    if 1e-4 <= abs(value) < 1e8:
        return f"{value:.{max(-last, 0)}f}", f"{error:.{max(-last, 0)}f}"
    return f"{value:.{max(first - last, 0)}e}", f"{error:.1e}"


def _printable(text: str) -> str:
    """Text as it is, whoever wrote it: nothing for the terminal in it."""
    return "\n".join(map(printable, text.split("\n")))


def _plain(text: str) -> str:
    """The same for rich: no markup in it."""
    from rich.markup import escape

    return escape(_printable(text))


def note(message: str) -> None:
    """Print one line on standard error; nobody may be there to read it."""
    with suppress(OSError, ValueError):
        print(message, file=sys.stderr, flush=True)


def remark(message: str) -> None:
    """Print one line on standard error that a quiet user does not miss."""
    if not Talk.quiet:
        note(message)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar on standard error, off a terminal a plain line from time to time.

    Yields what to call with the events (toys, points) done.
    """
    if Talk.quiet:
        yield None
        return
    if not sys.stderr.isatty():
        with _Lines(title, total).ticking() as lines:
            yield lines.add
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


class _Lines:
    """Progress in the log of a job: a line every so many seconds, the first one after as many."""

    def __init__(self, title: str, total: int = 0) -> None:
        self.title, self.total, self.done = title, total, 0
        self.began = self.last = time.monotonic()
        self._lock = threading.Lock()

    @contextmanager
    def ticking(self) -> Iterator[_Lines]:
        """Lines while nothing is done that could be counted, too: tables that are built, a fit."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(OFTEN if Talk.verbose else INTERVAL):
                self.add(0)

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def say(self, title: str) -> None:
        """Another thing is being done."""
        self.title = title

    def add(self, done: int) -> None:
        """So many more are done."""
        with self._lock:
            self.done += done
            now = time.monotonic()
            if now - self.last < (OFTEN if Talk.verbose else INTERVAL):
                return
            self.last, seconds = now, now - self.began
        if not self.done:
            note(f"{self.title}: {seconds:,.0f} s so far")
            return
        line, rate = f"{self.title}: {self.done:,}", self.done / seconds
        if self.total > self.done:
            line += f" of {self.total:,} ({self.done / self.total:.0%}), {(self.total - self.done) / rate:,.0f} s left"
        note(f"{line}, {rate:.2e}/s")


@contextmanager
def waiting(message: str) -> Iterator[Callable[[str], None]]:
    """Show that something takes a while, on standard error, off a terminal a plain line from time to time.

    Yields what to call with another message.
    """
    if Talk.quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        with _Lines(message).ticking() as lines:
            yield lines.say
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(message, total=None)
        yield lambda said: shown.update(task, description=said)
