"""Who is answered: this machine's own browser, on pages that came from here.

A page that another site shows in the same browser can send requests to 127.0.0.1 too, under a name of its own that
points there. So a request must name this server as its host, and what changes anything must come from a page of this
server and bring the word that stands in it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
WORD = "x-assay-word"
_SAFE = ("GET", "HEAD")
_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Middleware that refuses foreign hosts and writes from elsewhere, and sets the headers of every answer.

    Attributes:
        word: what a write must bring in the header :data:`WORD`; new with every server.
    """

    def __init__(self, app: ASGIApp, port: int, word: str | None = None) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}" for name in _NAMES} | (set(_NAMES) if port == 80 else set[str]())
        self.word = word or secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        status, refusal = self.refusal(scope["method"], Headers(scope=scope))
        if refusal:
            await PlainTextResponse(refusal + "\n", status)(scope, receive, dressed)
            return
        await self.app(scope, receive, dressed)

    def refusal(self, method: str, headers: Headers) -> tuple[int, str]:
        """The status and the reason for which a request is refused; (200, "") for one that is answered."""
        hosts: Sequence[str] = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return 421, f"this server answers to {' and '.join(sorted(self.hosts))} only"
        if method in _SAFE:
            return 200, ""
        if method != "POST":
            return 405, f"{method} is not understood here"
        origin = headers.get("origin")
        if origin is not None and origin.lower().removeprefix("http://") != hosts[0].lower():
            return 403, "a write must come from a page of this server"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return 403, "a write must come from a page of this server"
        if not secrets.compare_digest(headers.get(WORD, "").encode(), self.word.encode()):
            return 403, "a write must bring the word of this server's pages; load the page again"
        return 200, ""
