"""Cuts of a run: expressions that mark its events as accepted, leave the others out, or set their weights to zero.

A cut is an expression over columns and particles (:mod:`.expressions`) or the name of one: a geometry, which asks the
same of every particle that a detector sees, or a window in the reconstructed mass of the B. Several cuts must all hold;
those under ``all``, under the lepton (``mu``, ``e``) and under the name of a channel add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...kinematics.base.arrays import on_gpu
from ...kinematics.base.errors import InputError
from ...physics.channels import Channel
from .expressions import Expression
from .kaons import pion_masses
from .settings import PRESETS, SelectionSettings
from .stages import FilterStage, Option, Place, keep


@lru_cache(maxsize=32)
def _expressions(settings: SelectionSettings, channel: Channel, columns: tuple[str, ...]) -> tuple[Expression, ...]:
    """Checked cuts of a channel, once for all its chunks."""
    return settings.expressions(channel, columns)


def combine(expressions: Sequence[Expression], columns: Mapping[str, Any], masses: Mapping[str, float]) -> Any:
    """Return whether each event passes all of some cuts (NumPy columns); NaN passes none.

    >>> from darkpenguin.generator.lab.expressions import parse
    >>> combine([parse("q2 > 1", ["q2"])], {"q2": np.array([0.5, 2.0])}, {}).tolist()
    [False, True]
    """
    passed = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for expression in expressions:
        passed &= expression.evaluate(columns, masses)
    return passed


@dataclass(frozen=True, eq=False)
class SelectionStage(FilterStage):
    """The stage that applies the cuts of a run."""

    key = "selection"
    reads = SelectionSettings
    options = (
        Option(
            "--select",
            "Cut, as in 'pt(k) > 0.25', or by name: lhcb, belle2, lhcb_b_mass; repeatable.",
            "cuts",
            "CUT",
            True,
        ),
        Option(
            "--selection-mode",
            "Flag (column accepted, the default), reject or weight events that fail.",
            "mode",
        ),
    )
    settings: SelectionSettings

    def check(self, channel: Channel, columns: tuple[str, ...]) -> None:
        """Raise InputError if a cut cannot be evaluated on a channel with these columns."""
        try:
            self.settings.expressions(channel, columns)
        except InputError as error:
            hint = "cuts of one lepton or channel stand under its name"
            raise InputError(f"{error} (in {channel.name}; {hint})") from None

    def apply(self, columns: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Mark, leave out or weight the events of a chunk."""
        from ...kinematics.base.threads import split_work
        from ...physics.final_state import column_masses

        found = dict(columns)
        expressions = _expressions(self.settings, place.channel, tuple(columns))
        names = {"q2", *(name for expression in expressions for name in expression.inputs)}
        read = {name: columns[name] for name in names}
        moving = any(name.endswith("_px") for name in names)
        known = column_masses(place.channel, place.model) if moving else {}
        if moving:
            known |= pion_masses(place.channel, place.model)
        known |= {f"{name}_reco": mass for name, mass in known.items()}
        n = len(read["q2"])
        if on_gpu(read["q2"]):
            from .expressions_gpu import combine as combine_there

            passed = combine_there(expressions, read, known)
        else:
            passed = np.empty(n, dtype=bool)

            def work(low: int, high: int) -> None:
                passed[low:high] = combine(expressions, {name: c[low:high] for name, c in read.items()}, known)

            split_work(work, n, place.threads if n > 20_000 else 1)
        if self.settings.mode == "weight":
            found["weight"] = columns["weight"] * passed.astype(columns["weight"].dtype)
            return found
        return keep(found, passed, self.settings.mode)

    def describe(self) -> Mapping[str, Any]:
        """Cuts and mode, with the presets written out."""
        cuts = {key: list(texts) for key, texts in self.settings.cuts}
        named = {cut for texts in cuts.values() for cut in texts if cut in PRESETS}
        presets = {
            name: {"source": one.source} | ({"each": one.each} if one.each else {"lepton": dict(one.lepton)})
            for name, one in ((name, PRESETS[name]) for name in sorted(named))
        }
        return {"selection": {"mode": self.settings.mode, "cuts": cuts, "presets": presets}}
