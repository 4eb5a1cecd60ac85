"""The table of stages: every stage of a run is an entry here, not an ``if`` elsewhere."""

from __future__ import annotations

from ..sampler.calls import check_apart
from .efficiency import EfficiencyStage
from .kaons import KaonStage
from .resolution import ResolutionStage
from .selection import SelectionStage
from .stages import Stage

STAGES: tuple[type[Stage], ...] = (KaonStage, ResolutionStage, SelectionStage, EfficiencyStage)
"""All stages, along the way of an event, behind the momenta: each reads what those before it have made."""


def check_calls() -> None:
    """Check that no stage draws from Philox calls of somebody else.

    Raises:
        InputError: one does.
    """
    check_apart(calls for stage in STAGES for calls in stage.calls)
