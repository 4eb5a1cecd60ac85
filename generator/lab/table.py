"""The table of stages: every stage of a run is an entry here, not an ``if`` elsewhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..sampler.calls import check_apart
from .efficiency import EfficiencyStage
from .resolution import ResolutionStage
from .selection import SelectionStage
from .stages import Stage

STAGES: tuple[type[Stage], ...] = (ResolutionStage, SelectionStage, EfficiencyStage)
"""All stages, along the way of an event, behind the momenta: each reads what those before it have made."""
Function = TypeVar("Function", bound=Callable[..., object])


def check_calls() -> None:
    """Check that no stage draws from Philox calls of somebody else.

    Raises:
        InputError: one does.
    """
    check_apart(calls for stage in STAGES for calls in stage.calls)


def with_parameters(parameters: Sequence[inspect.Parameter], after: str) -> Callable[[Function], Function]:
    """Decorator: show some parameters in the place of ``**keywords`` to whoever asks for a signature.

    >>> parameter = inspect.Parameter("resolution", inspect.Parameter.KEYWORD_ONLY)
    >>> @with_parameters([parameter], after="beam")
    ... def generate(*, beam, q2, **stages): ...
    >>> str(inspect.signature(generate))
    '(*, beam, resolution, q2)'
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function, eval_str=True)
        shown = [entry for entry in signature.parameters.values() if entry.kind is not entry.VAR_KEYWORD]
        place = [entry.name for entry in shown].index(after) + 1
        shown[place:place] = parameters
        function.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
        return function

    return decorate
