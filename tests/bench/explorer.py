"""How soon the explorer draws, in the browser's own events: from a key on a slider to the frame after the new curve.

    python tests/bench/explorer.py [CHANGES]

Needs the extras ``explore`` and ``docs`` and Chromium. Prints the median and the largest of so many changes of a
coupling and of a mass, in milliseconds, with the load of the machine beside them.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys

FIELDS = {  # what is changed, and how many diagrams it changes
    "a coupling": ("g-mu-v", 7),
    "a Wilson coefficient": ("C9-mu", 5),
    "the mass": ("mass", 7),
    "the width": ("relative-width", 7),
    "the phase of the J/psi": ("phase", 5),
}
LISTEN = """() => {
    window.took = []
    let begun = 0
    window.addEventListener("keydown", event => { begun = event.timeStamp }, true)
    for (const name of %s) {
        const { renderers } = Bokeh.documents[0].get_model_by_name(name)
        const source = renderers.find(one => one.name === "line 1").data_source
        source.properties.data.change.connect(() => requestAnimationFrame(() => {
            const channel = new MessageChannel()  // its message comes after the frame is painted
            channel.port1.onmessage = () => { window.took.push([begun, performance.now() - begun]) }
            channel.port2.postMessage(0)
        }))
    }
}"""
DIAGRAMS = ["R_K+", "R_K*0", "P5p", "dBR-K", "dBR-Kstar", "inv-K", "inv-Kstar"]


def measure(changes: int) -> dict[str, list[float]]:
    """Milliseconds of each change until the last diagram is drawn, by what was changed."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "darkpenguin", "explore", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    found: dict[str, list[float]] = {}
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    try:
        with sync_playwright() as driver:
            page = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page()
            page.goto(address, timeout=120_000)
            page.locator(".done").wait_for(timeout=120_000)
            page.evaluate(LISTEN % DIAGRAMS)
            for what, (field, diagrams) in FIELDS.items():
                if field == "phase":
                    page.locator(".charm select").select_option("dispersive")
                    page.locator(".field.phase input:enabled").fill("0.5")
                    page.locator(".field.phase input").press("Enter")
                    page.wait_for_timeout(2000)
                    page.locator(".done").wait_for(timeout=120_000)
                handle = page.locator(f".slider.{field} .noUi-handle")
                handle.focus()
                for k in range(changes):
                    page.evaluate("window.took = []")
                    handle.press("ArrowRight" if k % 4 < 2 else "ArrowLeft")
                    page.wait_for_function(f"window.took.length >= {diagrams}", timeout=60_000)
                    found.setdefault(what, []).append(max(took for _, took in page.evaluate("window.took")))
                    page.locator(".done").wait_for(timeout=120_000)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    return found


def main() -> None:
    """Measure and print."""
    before = os.getloadavg()[0]
    for what, took in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 10).items():
        print(f"{what}: median {statistics.median(took):.0f} ms, largest {max(took):.0f} ms of {len(took)}")
    print(f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
