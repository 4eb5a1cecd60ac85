"""The command ``darkpenguin explore``."""

from __future__ import annotations

from typing import Annotated

import typer

from .console import DATA_HELP


def explore_command(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="Begin at this benchmark, TOML file, or card that has a model.")
    ] = "fig2",
    data: Annotated[str, typer.Option("--data", help=DATA_HELP)] = "current",
    port: Annotated[int, typer.Option("--port", help="Listen on this port. Default: any that is free.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser; print the address only.")] = False,
) -> None:
    """Move a model by hand in the browser and see what follows.

    The page is served on this machine alone, until Ctrl-C; the extra `explore` brings what it needs.
    """
    from ...kinematics.base.optional import optional
    from ...physics.experiment.datasets import load_data
    from ..explore.point import Bases
    from ..explore.server import explore, free_port
    from .console import remark

    optional("panel", "the explorer")
    free_port(port)
    load_data(data)
    bases = Bases(model, data)
    bases.start().check()

    def say(address: str) -> None:
        print(address, flush=True)
        remark("the explorer runs until Ctrl-C")

    explore(bases, port, not no_browser, say)
