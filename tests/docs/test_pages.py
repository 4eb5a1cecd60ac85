"""The built site in a browser without network: pictures load, formulas are set, links lead somewhere.

`make docs` builds it first; without it, or without Chromium, these tests say what is missing.
"""

import shutil
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")) if SITE.is_dir() else []
MAXIMUM = 30_000_000
"""Bytes that the site may have."""
pytestmark = [
    pytest.mark.skipif(not PAGES, reason="no site here: make docs builds it"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install '.[docs]'")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def faults(browser, page: Path) -> list[str]:
    """Everything that is wrong with a page, as its reader would see it."""
    found = []
    tab = browser.new_page()
    tab.on("console", lambda message: found.append(f"console: {message.text}") if message.type == "error" else None)
    tab.on("pageerror", lambda error: found.append(f"script: {error}"))
    tab.on("requestfailed", lambda request: found.append(f"not loaded: {request.url}"))
    tab.on("request", lambda request: found.append(f"from outside: {request.url}") if outside(request.url) else None)
    tab.goto(page.as_uri())
    if tab.locator(".math").count():
        tab.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise")
        tab.evaluate("MathJax.startup.promise")
    found += tab.evaluate(
        """() => [
            ...[...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => 'picture: ' + i.src),
            ...[...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container'))
                .map(m => 'formula: ' + m.textContent),
            ...[...document.querySelectorAll('mjx-merror, .math .merror')].map(m => 'formula: ' + m.textContent),
        ]"""
    )
    for link in tab.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)"):
        target, anchor = urldefrag(link)
        if outside(target) or urlparse(target).scheme != "file":
            continue
        file = Path(unquote(urlparse(target).path))
        if not file.exists():
            found.append(f"link: {link}")
        elif anchor and f'id="{unquote(anchor)}"' not in file.read_text(encoding="utf-8"):
            found.append(f"anchor: {link}")
    tab.close()
    return found


def outside(url: str) -> bool:
    return urlparse(url).scheme in ("http", "https")


@pytest.mark.parametrize("name", PAGES)
def test_page(browser, name):
    assert faults(browser, SITE / name) == []


def test_faults_are_seen(browser, tmp_path):
    """A page with one fault of each kind."""
    page = tmp_path / "bent.html"
    page.write_text(
        "<img src='missing.png'><span class='math'>\\(x\\)</span><a href='nowhere.html'>x</a><a href='#none'>y</a>"
        "<script>window.MathJax = {startup: {promise: Promise.resolve()}}; console.error('seen'); no_name;</script>",
        encoding="utf-8",
    )
    kinds = {fault.partition(":")[0] for fault in faults(browser, page)}
    assert kinds >= {"console", "script", "not loaded", "picture", "formula", "link", "anchor"}


def test_the_site_is_small():
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < MAXIMUM
