"""Unbinned fits of event toys: what `fits` finds in the signal events of each, as columns of the toys' file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...kinematics.base.errors import InputError
from ...kinematics.base.threads import split_work
from ...physics.channels import get_channel
from ...physics.models import Model
from ..files.sample import EventSample
from ..fits.card import FitCard, value_of
from ..fits.fit import REASONS, likelihood_of, minimised
from ..fits.likelihood import Likelihood

Columns = dict[str, npt.NDArray[Any]]
STATUSES = ("converged", *REASONS, "refused: too few events")
"""What the status of a fit means; a fit that is no minimum keeps the values where it stopped."""
CHUNK = 20
"""Toys that are kept at a time: an interruption loses no more."""


def words_of(paths: Sequence[str]) -> dict[str, str]:
    """Columns of fields, by their last word where that is enough.

    >>> words_of(["light_vectors.0.mass", "heavy.C9_mu"])
    {'light_vectors.0.mass': 'unbinned_mass', 'heavy.C9_mu': 'unbinned_C9_mu'}
    """
    last = [path.rpartition(".")[2] for path in paths]
    short = len(set(last)) == len(last)
    plain = [path.replace(".", "_").replace("/", "_") for path in paths]
    return {path: f"unbinned_{a if short else b}" for path, a, b in zip(paths, last, plain, strict=True)}


@dataclass(frozen=True, eq=False)
class UnbinnedFits:
    """Fits of toys by a card, whose events were made by a run with ``told`` in its card; ``truth`` is true in them."""

    card: FitCard
    truth: Model
    told: Mapping[str, Any]

    def columns(
        self, events: Callable[[int], Mapping[str, Columns]], start: int, stop: int, threads: int | None
    ) -> Columns:
        """Values, errors, truth and status of the fits of toys, whose events by channel ``events`` makes."""
        words = words_of(tuple(self.card.free))
        found: Columns = {}
        for path, word in words.items():
            true = value_of(self.truth, path)
            found |= {word: np.full(stop - start, np.nan), f"{word}_error": np.full(stop - start, np.nan)}
            found[f"{word}_true"] = np.full(stop - start, np.nan if true is None else true)
        found["unbinned_minimum"] = np.full(stop - start, np.nan)
        found["unbinned_status"] = np.full(stop - start, len(STATUSES) - 1, dtype=np.int32)
        like: Likelihood | None = None

        def one(toy: int) -> None:
            nonlocal like
            parts = events(toy)
            if not all(len(part["q2"]) for part in parts.values()):
                return
            try:
                cost = likelihood_of(self._sample(parts), self.card, 1, like=like)
            except InputError:
                if like is None:
                    raise
                return  # it is no fault of the card: others of its toys have been fitted
            like = like or cost
            fit = minimised(cost, search=self.card.search)
            for row in fit[: len(words)]:  # nuisances stand behind them
                found[words[row.name]][toy - start] = row.value
                found[f"{words[row.name]}_error"][toy - start] = row.error
            found["unbinned_minimum"][toy - start] = fit.minimum
            found["unbinned_status"][toy - start] = STATUSES.index(fit.reason.split(", ")[0]) if fit.reason else 0

        def work(low: int, high: int) -> None:
            for toy in range(start + low, start + high):
                one(toy)

        first = start
        while like is None and first < stop:
            one(first)  # its shapes are those of all
            first += 1
        alone = first - start
        split_work(lambda low, high: work(low + alone, high + alone), stop - first, threads)
        return found

    def _sample(self, parts: Mapping[str, Columns]) -> EventSample:
        """Events of a toy as a sample of the run."""
        channels = [get_channel(name) for name in parts]
        names = ["q2", *dict.fromkeys(angle for channel in channels for angle in channel.angles), "flavour"]
        joined = {
            name: np.concatenate([part.get(name, np.full(len(part["q2"]), np.nan)) for part in parts.values()])
            for name in names
        }
        joined["channel"] = np.concatenate(
            [np.full(len(part["q2"]), channel.index) for channel, part in zip(channels, parts.values(), strict=True)]
        )
        entries = [{"name": channel.name, "index": channel.index} for channel in channels]
        return EventSample(
            joined, {"card": {**self.told, "channels": list(parts), "events": len(joined["q2"])}, "channels": entries}
        )
