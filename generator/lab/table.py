"""The table of stages: every stage of a run is an entry here, not an ``if`` elsewhere."""

from __future__ import annotations

from ..sampler.calls import check_apart
from .efficiency import EfficiencyStage
from .kaons import KaonStage
from .radiation import RadiationStage
from .resolution import ResolutionStage
from .selection import SelectionStage
from .stages import Stage

STAGES: tuple[type[Stage], ...] = (KaonStage, ResolutionStage, SelectionStage, EfficiencyStage)
"""Stages that a card asks for by name, along the way of an event, behind the momenta: each reads what those before it
have made."""


def steps() -> tuple[type[Stage], ...]:
    """All that happens to an event once it is sampled: radiation, if the theory has it, then the stages.

    >>> [step.key for step in steps()]
    ['radiation', 'kaons', 'resolution', 'selection', 'efficiency']
    """
    return (RadiationStage, *STAGES)


def check_calls() -> None:
    """Check that no stage draws from Philox calls of somebody else.

    Raises:
        InputError: one does.
    """
    check_apart(calls for stage in steps() for calls in stage.calls)
