"""Ranges of q2 and of events as users write them, and the vetoes that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...kinematics.base.checks import MAXIMUM_EVENTS, is_digits, parse_count, parse_number
from ...kinematics.base.errors import InputError

VETOES: Mapping[str, tuple[float, float]] = MappingProxyType({"jpsi": (8.0, 11.0), "psi2s": (12.5, 15.0)})
"""Windows of q2 (GeV^2) around the charmonia, as in LHCb's analysis of B0 -> K*0 mu mu (arXiv:1512.04442)."""
Window = tuple[float, float]
MOST_PARTS = 1_000_000


def parse_window(value: Any, name: str) -> Window:
    """Return an interval of q2 from ``MIN,MAX`` or a pair of numbers (GeV^2).

    Raises:
        InputError: not two finite numbers, a negative one, or an empty interval.

    Example:
        >>> parse_window("1.1,6", "q2")
        (1.1, 6.0)
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 2:
        raise InputError(f"{name} = {value!r}: write MIN,MAX in GeV^2, for example 1.1,6")
    low, high = (parse_number(part, name) for part in parts)
    if not 0.0 <= low < high:
        raise InputError(f"{name} = {low:g},{high:g}: an empty range; needs 0 <= MIN < MAX (GeV^2)")
    return low, high


def parse_veto(value: Any) -> Window:
    """Return a vetoed interval of q2 (GeV^2): MIN,MAX or the name of a charmonium.

    Raises:
        InputError: neither.

    Example:
        >>> parse_veto("jpsi")
        (8.0, 11.0)
    """
    if isinstance(value, str) and "," not in value:
        if value not in VETOES:
            raise InputError(f"veto = {value!r}: allowed are {', '.join(VETOES)}, or MIN,MAX in GeV^2")
        return VETOES[value]
    return parse_window(value, "veto")


def parse_range(value: Any) -> tuple[int, int]:
    """Return the first event of a part and the first after it, from ``START:STOP`` or a pair.

    Raises:
        InputError: not two whole numbers, or not 0 <= START < STOP.

    Example:
        >>> parse_range("1000:2e3")
        (1000, 2000)
    """
    parts = value.split(":") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 2:
        raise InputError(f"range = {value!r}: write START:STOP, for example 0:1000000")
    numbers = []
    for part in parts:
        number = parse_number(part, "range")
        exact = int(part) if isinstance(part, int) or is_digits(part) else int(number)
        if number != int(number) or not 0 <= exact <= MAXIMUM_EVENTS:
            raise InputError(f"range = {value!r}: START and STOP are whole numbers, 0 or more")
        numbers.append(exact)
    if not numbers[0] < numbers[1]:
        raise InputError(f"range = {value!r}: an empty range; needs 0 <= START < STOP")
    return numbers[0], numbers[1]


def parse_part(value: Any) -> tuple[int, int]:
    """Return which of how many parts of a run, from ``K/N`` or a pair.

    Raises:
        InputError: not two whole numbers, or not 1 <= K <= N.

    Example:
        >>> parse_part("17/1000")
        (17, 1000)
    """
    parts = value.split("/") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 2:
        raise InputError(f"part = {value!r}: write K/N, for example 17/1000")
    number, of = (parse_count(part, "part") for part in parts)
    if number > of or of > MOST_PARTS:
        raise InputError(f"part = {value!r}: K/N needs 1 <= K <= N <= {MOST_PARTS}")
    return number, of


def part_name(name: str, part: tuple[int, int] | None) -> str:
    """Name of the file of a part of a run.

    >>> part_name("out/x.root", (17, 1000)), part_name("x.root", None)
    ('out/x-0017-of-1000.root', 'x.root')
    """
    if part is None:
        return name
    file = Path(name)
    return str(file.with_name(f"{file.stem}-{part[0]:0{len(str(part[1]))}}-of-{part[1]}{file.suffix}"))


def read_windows(value: Any) -> Any:
    """Accept one interval where a list of them is meant."""
    if isinstance(value, str):
        return (parse_window(value, "q2"),)
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and not any(isinstance(v, (list, tuple, str)) for v in value)
    ):
        return (parse_window(value, "q2"),)
    if isinstance(value, (list, tuple)):
        return tuple(parse_window(item, "q2") for item in value)
    raise InputError(f"q2 = {value!r}: write [MIN, MAX] or a list of such pairs, in GeV^2")


def _vetoes(value: Any) -> Any:
    """Accept one veto where a list of them is meant."""
    if isinstance(value, str):
        return (parse_veto(value),)
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and all(isinstance(item, (int, float)) for item in value):
            return (parse_window(value, "veto"),)
        return tuple(parse_veto(item) for item in value)
    raise InputError(f"veto = {value!r}: write names ({', '.join(VETOES)}) or pairs [MIN, MAX] in GeV^2")
