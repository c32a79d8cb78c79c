"""A browser that complains: of anything on its console, of requests off this machine, and of what axe finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page

THEMES = ("light", "dark")
WIDTHS = (390, 1280)
_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")

# Of what is in order axe then describes one element a rule instead of all, which halves its time.
_VIOLATIONS = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"


@contextmanager
def browsing(browser: Browser, *, theme: str = "light", width: int = 1280) -> Iterator[Page]:
    """A page of its own. Leaving fails if something was said on the console or asked of another host."""
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: said.extend(_abroad(request.url)))
    try:
        yield page
        assert said == []
    finally:
        context.close()


def _abroad(url: str) -> list[str]:
    parts = urlsplit(url)
    return [] if parts.scheme in ("data", "blob", "file") or parts.hostname == "127.0.0.1" else [f"request: {url}"]


def follow(link: Locator) -> None:
    """Click a link to another page, and go on when that page has loaded: a click on a half-loaded one may get lost."""
    with link.page.expect_event("load"):
        link.click()


def violations(page: Page) -> list[str]:
    """What axe has against the page as it is now: the rule, and the first element that breaks it."""
    page.evaluate(_AXE)
    found: list[dict[str, Any]] = page.evaluate(_VIOLATIONS)
    return [f"{rule['id']}: {_first(rule['nodes'][0])}" for rule in found]


def _first(node: dict[str, Any]) -> str:
    return f"{node['html'][:160]} {node['failureSummary'][:200]}"


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
