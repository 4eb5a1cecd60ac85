import socket
import subprocess
import sys

import pytest
from darkpenguin.generator.commands.explore import explore_command
from darkpenguin.generator.explore.point import Bases
from darkpenguin.generator.explore.server import ADDRESS, free_port, make_server
from darkpenguin.kinematics.base.errors import InputError


def test_a_port_that_is_free():
    assert free_port(free_port(0)) > 0


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        with pytest.raises(InputError, match=r"port = \d+: .*take another, or 0"):
            free_port(taken.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 70000])
def test_no_port(port):
    with pytest.raises(InputError, match="1 to 65535"):
        free_port(port)


def test_without_panel_one_line_says_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "panel", None)
    with pytest.raises(InputError, match=r"pip install 'darkpenguin\[explore\]'$"):
        explore_command()


def test_no_other_command_imports_panel():
    code = "import sys; from darkpenguin.generator.commands import cli; print({'panel', 'bokeh'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


def test_no_part_of_a_message_waits_for_the_one_before(monkeypatch):
    pytest.importorskip("panel", reason="no Panel here: pip install 'darkpenguin[explore]'")
    from bokeh.server.urls import per_app_patterns

    made = list(per_app_patterns)
    try:
        make_server(Bases(), free_port(0)).stop(wait=False)
        handler = dict(per_app_patterns)["/ws"]
    finally:
        per_app_patterns[:] = made
    told = []
    monkeypatch.setattr(handler, "set_nodelay", lambda self, value: told.append(value))
    monkeypatch.setattr(handler.__mro__[1], "open", lambda self: told.append("open"))
    handler.open(handler.__new__(handler))
    assert told == [True, "open"]
