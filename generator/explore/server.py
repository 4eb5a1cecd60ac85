"""The server of the explorer: on the loopback address, for pages of its own alone, and gone with Ctrl-C."""

from __future__ import annotations

import logging
import signal
import socket
import webbrowser
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from ...kinematics.base.errors import InputError
from ...kinematics.base.optional import optional
from .curves import chi2, curves
from .page import Page, Worker
from .point import Bases

ADDRESS = "127.0.0.1"
"""Nobody else's machine can ask."""


def free_port(port: int) -> int:
    """The port if it is free, or a free one for 0.

    Raises:
        InputError: somebody else has it, or it is no port.

    Example:
        >>> free_port(0) > 0
        True
    """
    if not 0 <= port < 65536:
        raise InputError(f"port = {port}: allowed are 1 to 65535, or 0 for any that is free")
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((ADDRESS, port))
        except OSError as error:
            raise InputError(
                f"port = {port}: {error.strerror or error}; take another, or 0 for any that is free"
            ) from None
        return int(tried.getsockname()[1])


def make_server(bases: Bases, port: int) -> Any:
    """The server, which listens but does not run yet.

    Pages are independent of each other; all share two threads for what takes longer.
    """
    pn = optional("panel", "the explorer")
    server = optional("panel.io.server", "the explorer")
    for name in ("tornado.access", "tornado.application", "bokeh", "panel"):
        logging.getLogger(name).setLevel(logging.ERROR)
    _promptly()
    workers = (Worker(), Worker())

    def page() -> Any:
        words = [(key, value.decode(errors="replace")) for key, all_ in pn.state.session_args.items() for value in all_]
        query = urlencode(words)
        said, start = "", bases.start()
        try:
            start = bases.of_query(query)
        except InputError as error:
            said = f"the link names no point of this page, so it begins at {start.name}: {error}"
        shown = Page(bases, start, workers, said)
        pn.state.on_session_destroyed(lambda _: shown.leave())
        shown.draw()
        return shown.layout()

    origins = [f"{ADDRESS}:{port}", f"localhost:{port}"]
    return server.get_server(
        page, port=port, address=ADDRESS, websocket_origin=origins, title="darkpenguin", show=False, start=False
    )


def _promptly() -> None:
    """Have the web socket send at once what is written to it.

    A message is written in parts; without TCP_NODELAY each waits until the browser has acknowledged the one before,
    for which Linux takes 40 ms.
    """
    optional("panel.io.server", "the explorer")  # brings a handler of its own
    patterns = optional("bokeh.server.urls", "the explorer").per_app_patterns
    place, (path, handler) = next((k, entry) for k, entry in enumerate(patterns) if entry[0] == "/ws")

    class Prompt(handler):  # type: ignore[misc, valid-type]
        def open(self) -> None:
            self.set_nodelay(True)
            super().open()

    patterns[place] = (path, Prompt)


def warm_up(bases: Bases) -> None:
    """Compute the first point once, so that the page opens with it; fills the cache on a new machine."""
    point = bases.start()
    for model in (point.model.standard, point.model):
        curves(model)
        chi2(model, point.data)


def explore(bases: Bases, port: int = 0, browser: bool = True, say: Callable[[str], None] = print) -> None:
    """Serve the explorer until Ctrl-C.

    Args:
        bases: models and data sets of the page.
        port: to listen on; any that is free for 0.
        browser: whether to open the page in the user's browser.
        say: is told the address of the page once it listens.

    Raises:
        InputError: Panel is not installed, or the port is taken.
    """
    optional("panel", "the explorer")
    chosen = free_port(port)
    warm_up(bases)
    server = make_server(bases, chosen)
    address = f"http://{ADDRESS}:{chosen}/"
    server.start()
    say(address)
    if browser:
        server.io_loop.add_callback(webbrowser.open, address)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was started in the background
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop(wait=False)
