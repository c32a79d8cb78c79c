"""The pictures of the viewer in README and docs, from a run of the default model's neurons.

    ASSAY_RUNS=DIR python scripts/view_pictures.py WHOLE_RUN SOME_UNITS_RUN UNIT

WHOLE_RUN is one of ``assay explain --units all``, SOME_UNITS_RUN one of ``assay explain``, and UNIT a unit of it. Needs
Chromium. Rating draws a pair, so use a copy of the runs.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, sync_playwright

from assay.cli.doctor import find_chromium

DOCS = Path(__file__).parents[1] / "docs"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]


def picture(browser: Browser, address: str, name: str, height: int, anchor: str = "", theme: str = "light") -> None:
    """One page, or the part of it that begins at an element, 1,100 pixels wide."""
    context = browser.new_context(color_scheme=theme, viewport={"width": 1100, "height": height})
    page = context.new_page()
    page.goto(address)
    while page.locator("progress").count():
        time.sleep(1)
        page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_selector("[aria-busy]", state="detached")
    if anchor:
        page.locator(anchor).first.evaluate("e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 12)")
        page.wait_for_load_state("networkidle")
    page.screenshot(path=DOCS / f"{name}.png")
    context.close()
    print(f"docs/{name}.png")


def main() -> None:
    """Take them all."""
    whole, some, unit = sys.argv[1:]
    command = [sys.executable, "-m", "assay", "view", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    base = server.stdout.readline().strip() + "run/"
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            picture(browser, f"{base}{whole}/map", "view-map", 720)
            picture(browser, f"{base}{some}/unit/{quote(unit)}", "view-unit", 1000)
            picture(browser, f"{base}{some}/unit/{quote(unit)}", "view-overlay", 760, "#texts", "dark")
            picture(browser, f"{base}{some}/unit/{quote(unit)}", "view-neighbours", 620, "#neighbours")
            picture(browser, f"{base}{some}/rate", "view-rate", 900)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
