"""One register of Philox calls: who draws which random words of what, so that no two draw the same ones.

The counter of a call is (number low, number high, call, stream), its key the seed (see `rng`). What the number counts
and what the stream stands for is a *key space*; in it, the calls of one number are shared out here. Whoever draws
random numbers takes its calls from an entry, and writes no number of its own.

A stage of a run may bring its calls with it (``Stage.calls``); they are held against this register before a run starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from ...kinematics.base.errors import InputError

EVENTS = "events of a run"
"""Numbered in their channel; the stream is the channel's index."""
TOY_EVENTS = "events of toys"
"""Numbered from the toy's number times 2^32; the stream has its top bit set, and tells samples and channels apart."""
TOY_COUNTS, TOY_NORMALS = "counts of toys", "normal numbers of toys"
"""The number is the toy's; the stream has its top bit set and names a purpose (``statistics.draws.stream_word``)."""
NUMPY_KEYS = "keys of NumPy's Philox"
"""Of NumPy's own generator, used where a few numbers of a discrete distribution are needed: a call here is a key, whose
first word is the seed and whose second is numbered."""


@dataclass(frozen=True)
class Calls:
    """Calls ``first`` to ``first + count`` of a number, in one or more key spaces.

    >>> EFFICIENCY.first, EFFICIENCY.overlaps(RESOLUTION), EFFICIENCY.overlaps(TOY_DETECTOR)
    (32, False, False)
    """

    user: str
    spaces: tuple[str, ...]
    first: int
    count: int

    def overlaps(self, other: Calls) -> bool:
        """Whether a call of a key space belongs to both."""
        apart = self.first + self.count <= other.first or other.first + other.count <= self.first
        return not apart and not set(self.spaces).isdisjoint(other.spaces)


SAMPLER = Calls("sampler: q2, angles, flavour", (EVENTS, TOY_EVENTS), 0, 16)
MOMENTA = Calls("momenta: orientation of the decay, momentum of the B", (EVENTS,), 16, 16)
EFFICIENCY = Calls("efficiency: accept or reject", (EVENTS,), 32, 1)
RADIATION = Calls("radiation: a photon of each lepton", (EVENTS,), 40, 2)
RECOVERY = Calls("resolution: photons of radiation", (EVENTS,), 42, 2)
RESOLUTION = Calls("resolution: tracks, radiation, photons", (EVENTS,), 48, 5)
KAONS = Calls("neutral kaons: K_S or K_L, its decay length, the directions of its pions", (EVENTS,), 72, 4)
FLIGHT = Calls("HepMC: proper decay length of the B", (EVENTS,), 76, 1)
MEDIATOR_FLIGHT = Calls("HepMC: proper decay length of a mediator", (EVENTS,), 77, 1)
TOY_DETECTOR = Calls("detector of a toy: reconstructed q2, efficiency", (TOY_EVENTS,), 32, 1)
TOY_THINNING = Calls("nuisance parameters of a toy: which events are left", (TOY_EVENTS,), 33, 1)
TOY_BINS = Calls("counts of bins: the bin times 2^12, and the attempt", (TOY_COUNTS,), 0, 1 << 32)
TOY_PAIRS = Calls("pairs of normal numbers", (TOY_NORMALS,), 0, 1 << 32)
RUN_YIELDS = Calls("Poisson numbers of the events of a run: the channel", (NUMPY_KEYS,), 1 << 32, 1 << 32)
TOY_SHARES = Calls("share of the signal in a toy's counts: toy, sample, channel", (NUMPY_KEYS,), 1 << 63, 1 << 63)
REGISTER = (
    SAMPLER,
    MOMENTA,
    EFFICIENCY,
    RADIATION,
    RECOVERY,
    RESOLUTION,
    KAONS,
    FLIGHT,
    MEDIATOR_FLIGHT,
    TOY_DETECTOR,
    TOY_THINNING,
    TOY_BINS,
    TOY_PAIRS,
    RUN_YIELDS,
    TOY_SHARES,
)
"""All calls that the package draws from."""


def check_apart(more: Iterable[Calls] = ()) -> None:
    """Check that no two entries, of the register and of ``more``, share a call.

    Raises:
        InputError: two of them do.

    Example:
        >>> check_apart([RESOLUTION, Calls("mine", (EVENTS,), 64, 2)])
        >>> check_apart([Calls("mine", (EVENTS,), 52, 2)])
        Traceback (most recent call last):
        ...
        darkpenguin.kinematics.base.errors.InputError: calls = 52 to 53 (mine): 48 to 52 belong to resolution: tracks, \
radiation, photons; take calls from 78 on
    """
    entries = list(dict.fromkeys((*REGISTER, *more)))
    for one, two in combinations(entries, 2):
        if one.overlaps(two):
            rivals = [entry for entry in entries if entry != two and not set(entry.spaces).isdisjoint(two.spaces)]
            free = max(entry.first + entry.count for entry in rivals)
            raise InputError(
                f"calls = {two.first} to {two.first + two.count - 1} ({two.user}): {one.first} to "
                f"{one.first + one.count - 1} belong to {one.user}; take calls from {free} on"
            )
