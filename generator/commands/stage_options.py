"""Options of ``darkpenguin generate`` for the stages of a run: as the table of stages says."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from typing import Annotated, Any

import typer

from ..lab import table
from ..lab.stages import Option


def stage_parameters() -> list[Parameter]:
    """Parameters of the command, one for every option of every stage."""
    return [_parameter(option) for stage in table.STAGES for option in stage.options]


def _parameter(option: Option) -> Parameter:
    kind: Any = list[str] | None if option.several else str | None
    shown = typer.Option(option.flag, metavar=option.metavar or "TEXT", help=option.help)
    return Parameter(option.name, Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[kind, shown])


def stage_tables(card: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a card that the options change: its own tables with what they say on top.

    >>> stage_tables({"selection": "lhcb"}, {"selection_mode": "reject", "resolution": "lhcb"})["selection"]
    {'cuts': 'lhcb', 'mode': 'reject'}
    """
    return {stage.key: stage.on_top(card.get(stage.key), options) for stage in table.STAGES}
