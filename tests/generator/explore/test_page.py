"""The explorer in headless Chromium: every control, wrong input, links, two browsers, and its end."""

import csv
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from darkpenguin.generator.explore.curves import SHOWN, curves
from darkpenguin.generator.explore.point import CONTROLS, Bases, V

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytest.importorskip("panel", reason="no Panel here: pip install 'darkpenguin[explore]'")
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install '.[docs]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
PATIENCE = 120_000
"""Milliseconds that a test waits: the machine may be busy."""


class Server:
    def __init__(self, *words):
        command = [sys.executable, "-m", "darkpenguin", "explore", *words, "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()), daemon=True).start()
        self.address = lines.get(timeout=PATIENCE / 1000).strip()

    def stop(self):
        """Ctrl-C; returns the exit code and what was said on standard error."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=PATIENCE / 1000)
        return self.process.returncode, said


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Tab:
    """A page with what it complained of."""

    def __init__(self, browser, address):
        self.page = browser.new_page(viewport={"width": 1700, "height": 2000})
        self.page.set_default_timeout(PATIENCE)
        self.faults = []
        own = urlparse(address).netloc

        def hear(message):
            if message.type in ("error", "warning"):
                self.faults.append(message.text)

        def ask(request):
            if urlparse(request.url).scheme in ("http", "https", "ws") and urlparse(request.url).netloc != own:
                self.faults.append(f"from outside: {request.url}")

        self.page.on("console", hear)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", ask)
        self.page.on("requestfailed", lambda request: self.faults.append(f"not loaded: {request.url}"))
        self.page.goto(address)
        self.done()

    def done(self):
        self.page.locator(".done").wait_for()

    def data(self, name, renderer="line 1"):
        """Columns of the source of a renderer of a diagram, by name or place: line and band of the SM are 0, of the
        point 1; none that are not seen."""
        return self.page.evaluate(
            """([name, renderer]) => {
                const figure = Bokeh.documents[0].get_model_by_name(name)
                const found = figure.renderers.find((one, i) => one.name === renderer || i === renderer)
                const data = found?.visible ? found.data_source.data : {}
                return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Array.from(value)]))
            }""",
            [name, renderer],
        )

    def field(self, name):
        return self.page.locator(f".field.{name} input")

    def type(self, name, text):
        self.field(name).fill(text)
        self.field(name).press("Enter")

    def said(self, name):
        return self.text(f".said-{name}")

    def text(self, selector):
        """Text of an element, shadow roots too, which innerText leaves out."""
        return self.page.locator(selector).first.evaluate(
            """element => {
                const walk = node => node.nodeName === "STYLE" ? "" : node.nodeType === 3 ? node.textContent
                    : [...(node.shadowRoot ?? node).childNodes].map(walk).join(" ")
                return walk(element).trim()
            }"""
        )

    def wait(self, condition, what=""):
        for _ in range(PATIENCE // 100):
            if condition():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"in vain: {what}")

    def settled(self, change):
        """Do something and wait until all of the new point is shown."""
        before = self.data("R_K+")["value"]
        change()
        self.wait(lambda: self.data("R_K+")["value"] != before, "a change of the curve")
        self.done()

    def close(self):
        self.page.close()
        assert self.faults == []


@pytest.fixture
def tab(server, browser):
    opened = Tab(browser, server.address)
    yield opened
    opened.close()


def shows(tab, point):
    """Whether the page has the curves of a point, to the last digit."""
    for name, curve in curves(point.model).items():
        found = tab.data(name)
        np.testing.assert_array_equal(found["q2"], curve.q2)
        np.testing.assert_allclose(found["value"], curve.value, rtol=1e-12)
    return True


def test_the_page_opens_with_its_model(tab):
    assert shows(tab, Bases().start())
    for shown in SHOWN[:5]:
        for slot in (0, 1):
            band, line = tab.data(shown.name, f"band {slot}"), tab.data(shown.name, f"line {slot}")
            assert band["q2"] == line["q2"]
            assert np.mean(np.greater(band["high"], line["value"]) & np.less(band["low"], line["value"])) > 0.9
    assert tab.page.locator(".constraints tr").count() > 20
    assert tab.page.locator(".chi2 tr").count() > 5
    assert sum(len(tab.data("plane", k)["xs"]) for k in range(7)) > 2
    tab.page.set_viewport_size({"width": 1000, "height": 900})
    tab.wait(lambda: tab.page.evaluate("document.documentElement.scrollWidth") <= 1000, "a page as wide as its window")


def test_every_control_moves(tab):
    tab.page.locator(".charm select").select_option("resonances")
    tab.wait(lambda: not tab.field("phase").is_disabled(), "the phase")
    tab.type("phase", "0.5")
    for control in CONTROLS:
        name = control.path.rpartition(".")[2].replace("_", "-") if "J/psi" not in control.path else "phase"
        if name == "g-chi":  # below its width, whatever that is now
            tab.type(name, "0.3")
            tab.wait(lambda: tab.field("g-chi").input_value() == "0.3", name)
        before, curve = tab.field(name).input_value(), tab.data("dBR-K")["value"]
        handle = tab.page.locator(f".slider.{name} .noUi-handle")
        handle.focus()
        handle.press("ArrowRight")
        tab.wait(lambda: tab.field(name).input_value() != before, name)  # noqa: B023
        assert tab.said(name) == "", name
        if name in ("mass", "relative-width", "width", "g-bs", "g-mu-v", "g-mu-a", "C9-mu", "C10-mu", "phase"):
            tab.wait(lambda: tab.data("dBR-K")["value"] != curve, name)  # noqa: B023


def test_choices_and_what_is_held(tab):
    page = tab.page
    page.locator(".hold button").click()
    tab.settled(lambda: tab.type("mass", "2.0"))
    held = curves(Bases().start().model)["R_K+"]
    np.testing.assert_allclose(tab.data("R_K+", "line 2")["value"], held.value, rtol=1e-12)
    page.locator(".drop button").click()
    tab.wait(lambda: not tab.data("R_K+", "line 2") and not tab.data("R_K+", "band 2"), "letting go")
    page.locator(".axes select").select_option("g_bs against g_μV")
    tab.done()
    tab.settled(lambda: page.locator(".base select").select_option("heavy-c9"))
    assert shows(tab, Bases().point("heavy-c9"))
    page.locator(".data select").select_option("2017")
    tab.wait(lambda: "K_inv" not in tab.text(".chi2"), "the data of 2017")
    tab.done()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("width", "-1", "width = -1"),
        ("mass", "heavy", "not a number"),
        ("mass", "5.2", "B+ -> K+ V needs mass < 4.786 GeV"),
        ("g-mu-v", "<b>1</b>", "not a number"),
    ],
)
def test_wrong_input_is_answered_beside_the_field(tab, name, text, words):
    tab.type(name, text)
    tab.wait(lambda: words in tab.said(name), words)
    assert shows(tab, Bases().start())
    tab.settled(lambda: tab.type("g-mu-a", "-0.02"))
    assert tab.said(name) == ""
    assert shows(tab, Bases().start().moved({f"{V}g_mu_a": -0.02}))


def test_a_link_brings_the_point_back(tab, server, browser):
    tab.settled(lambda: tab.type("mass", "2.3"))
    link = tab.page.locator(".link a").get_attribute("href")
    other = Tab(browser, server.address + link)
    assert other.field("mass").input_value() == "2.3"
    assert shows(other, Bases().of_query(link))
    other.close()


def test_a_link_cannot_name_a_file(server, browser):
    tab = Tab(browser, server.address + "?model=/etc/passwd")
    assert "not one of this page" in tab.text("body")
    assert shows(tab, Bases().start())
    tab.close()


def test_two_browsers_are_independent(tab, server, browser):
    other = Tab(browser, server.address)
    tab.settled(lambda: tab.type("mass", "2.1"))
    other.settled(lambda: other.type("g-bs", "1e-8"))
    assert shows(tab, Bases().start().moved({f"{V}mass": 2.1}))
    assert shows(other, Bases().start().moved({f"{V}g_bs": 1e-8}))
    other.close()


def test_the_point_is_dragged_in_the_plane(tab):
    """From where it is, by a tenth of the frame."""
    where = tab.page.evaluate(
        """() => {
            const figure = Bokeh.documents[0].get_model_by_name("plane")
            const view = Bokeh.index.find_one(figure)
            const box = view.el.getBoundingClientRect(), star = figure.renderers.at(-1).data_source.data
            const frame = view.frame
            return [box.x + frame.x_scale.compute(star.x[0]), box.y + frame.y_scale.compute(star.y[0])]
        }"""
    )
    before = tab.data("R_K+")["value"]
    mouse = tab.page.mouse
    mouse.move(*where)
    mouse.down()
    mouse.move(where[0] + 15, where[1] - 10, steps=3)
    mouse.move(where[0] + 40, where[1] - 30, steps=5)
    mouse.up()
    tab.wait(lambda: tab.data("R_K+")["value"] != before, "the curve")
    tab.wait(lambda: float(tab.field("g-mu-v").input_value()) > 0.11, "g_mu_v")
    assert float(tab.field("g-mu-a").input_value()) > -0.044
    tab.done()


def test_what_leaves_the_page(tab):
    def bytes_of(name):
        with tab.page.expect_download() as download:
            tab.page.locator(f".download-{name} a, .download-{name} button").first.click()
        return download.value.path().read_bytes()

    def text_of(name):
        return bytes_of(name).decode()

    tab.settled(lambda: tab.type("mass", "2.4"))
    for name in ("chi2", "constraints"):
        assert text_of(name).count("\n") > 5
        assert bytes_of(f"{name}-png").startswith(b"\x89PNG")
    assert tomllib.loads(text_of("run"))["set"] == ["light_vectors.0.mass=2.4"]
    assert tomllib.loads(text_of("model"))["light_vectors"][0]["mass"] == 2.4
    rows = list(csv.DictReader(text_of("R_K").splitlines()))
    assert len(rows) == len(tab.data("R_K+", "line 0")["q2"]) + len(tab.data("R_K+")["q2"])
    assert all(row["theory error"] for row in rows)
    assert "--set light_vectors.0.mass=2.4" in tab.text(".commands")


def test_significance(tab):
    tab.page.locator(".compute button").click()
    tab.page.locator(".significance-said", has_text="working").wait_for()
    tab.page.locator(".significance-said", has_text=re.compile("^fig2")).wait_for()
    assert len(tab.data("significance", 0)["x"]) == 41


def test_it_is_for_this_machine_and_its_own_pages_alone(server):
    port = urlparse(server.address).port
    table = Path("/proc/net/tcp")
    lines = table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else []
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [one for one in listening if one.endswith(f":{port:04X}")] in ([f"0100007F:{port:04X}"], [])
    for origin, answer in ((f"http://127.0.0.1:{port}", b"101"), ("http://elsewhere.example", b"403")):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
            line.sendall(
                f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: bokeh, x\r\nOrigin: {origin}\r\n\r\n".encode()
            )
            assert answer in line.recv(100).split(b"\r\n")[0]


def test_ctrl_c_ends_it():
    running = Server("sm", "--data", "2017")
    assert running.stop() == (0, "the explorer runs until Ctrl-C\n")
