"""The web application: every page at its path and, as plain data, at the same path with ``.json``."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cached_property
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from assay import __version__
from assay.draw.heat import LEVELS, tame
from assay.draw.pages import templates
from assay.errors import AssayError, RunError, UnknownName, UsageError
from assay.explain.page_scores import score_text
from assay.explain.verdict_words import VERDICTS
from assay.view.guard import Guard
from assay.view.pages import Ask, Body, Page, Picture, Saved, Site, Standing, plain
from assay.view.routes import ACTIONS, DATA, PAGES
from assay.view.shelf import Reading
from assay.view.tokens import shaded

STATIC = ("style.css", "heat.js", "send.js", "try.js", "answers.js", "rate.js", "dose.js", "icon.svg")
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
Endpoint = Callable[[Request], Response]
_LONGEST = 256 * 1024


class Renderer:
    """Pages as HTML."""

    def __init__(self, word: str, live: bool) -> None:
        self.word, self.live = word, live

    @cached_property
    def environment(self) -> Any:
        environment = templates("assay.view")
        environment.finalize = _tamed
        environment.filters |= {"score": score_text, "shaded": shaded}
        environment.globals |= {
            "verdicts": VERDICTS,
            "levels": LEVELS,
            "version": __version__,
            "word": self.word,
            "live": self.live,
            "with_query": with_query,
        }
        return environment

    def html(self, page: Page, path: str, query: str) -> str:
        """The page; ``path`` and ``query`` are its own address."""
        twin = (path if path != "/" else "/index") + ".json" + (f"?{query}" if query else "")
        return self.environment.get_template(page.template).render(**page.data, here=path, twin=twin)

    @cached_property
    def style(self) -> str:
        """The style of all pages."""
        return self.environment.get_template("style.css").render()


def _tamed(value: object) -> object:
    """What is printed: texts of models, corpora and file names can't turn the line round."""
    return tame(value) if type(value) is str else value


def with_query(query: dict[str, str], **changed: object) -> Markup:
    """A query with some of its parts changed, as text of an address; None takes a part away."""
    both = {**query, **changed}
    return Markup("?" + urlencode({name: value for name, value in both.items() if value not in (None, "")}))


def make_app(site: Site, port: int, word: str | None = None) -> Guard:
    """The application, guarded; ``port`` is where it will be reached."""
    guard = Guard(Starlette(), port, word)
    renderer = Renderer(guard.word, site.live)
    routes = [Route(f"/static/{name}", _static(name, renderer), name=name) for name in STATIC]
    for path, page in PAGES:
        if not path.endswith((".svg", ".csv")):
            twin = "/index.json" if path == "/" else f"{path}.json"
            routes.append(Route(twin, _endpoint(site, page, renderer, as_json=True)))
        routes.append(Route(path, _endpoint(site, page, renderer, as_json=False)))
    routes += [Route(path, _data(site, data)) for path, data in DATA]
    routes += [Route(path, _action(site, action), methods=["POST"]) for path, action in ACTIONS]
    guard.app = Starlette(routes=routes, exception_handlers={404: _not_found(renderer)})
    return guard


def _static(name: str, renderer: Renderer) -> Endpoint:
    kind = _TYPES[name.rpartition(".")[2]]

    def static(_: Request) -> Response:
        if name == "style.css":
            text = renderer.style
        else:
            text = resources.files("assay.view").joinpath("static", name).read_text(encoding="utf-8")
        return Response(text, media_type=kind, headers={"cache-control": "no-cache"})

    return static


def _endpoint(site: Site, page: Callable[[Site, Ask], Any], renderer: Renderer, as_json: bool) -> Endpoint:
    def endpoint(request: Request) -> Response:
        ask = Ask(request.path_params, dict(request.query_params))
        try:
            made = page(site, ask)
        except Reading as reading:
            made = Page("reading.html", {"run": reading.run, "share": reading.share}, 202)
        except AssayError as error:
            made = Page("none.html", {"title": _title(error), "message": str(error)}, _status(error))
        return answer(made, request, renderer, as_json)

    return endpoint


def _data(site: Site, data: Callable[[Site, Ask], Any]) -> Endpoint:
    def endpoint(request: Request) -> Response:
        try:
            said, status = data(site, Ask(request.path_params, dict(request.query_params))), 200
        except AssayError as error:
            said, status = {"error": str(error)}, _status(error)
        return _json(said, status)

    return endpoint


def _json(said: Any, status: int) -> Response:
    text = json.dumps(plain(said), ensure_ascii=False, allow_nan=False)
    return Response(text, status, {"cache-control": "no-store"}, "application/json")


def _action(site: Site, action: Callable[[Site, Ask, Body], Any]) -> Callable[[Request], Awaitable[Response]]:
    """A write: JSON in, JSON out; what can't be done is answered with ``error``, one line."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request)
            ask = Ask(request.path_params, dict(request.query_params))
            said, status = await run_in_threadpool(action, site, ask, body), 200
        except AssayError as error:
            said, status = {"error": str(error)}, _status(error)
        return _json(said, status)

    return endpoint


async def _body(request: Request) -> Body:
    """The object of JSON that a write brings. Raises UsageError."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > _LONGEST:
            raise UsageError(f"a request may have {_LONGEST:,} bytes; send less")
    try:
        body: Any = json.loads(content or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UsageError("a request must be an object of JSON")
    return body


def answer(made: Page | Picture | Saved | Standing, request: Request, renderer: Renderer, as_json: bool) -> Response:
    """What was made, as HTML, JSON, SVG, a file or another address."""
    if isinstance(made, Picture):
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(made.svg, media_type="image/svg+xml", headers=headers)
    if isinstance(made, Saved):
        headers = {"content-disposition": f'attachment; filename="{made.name}"', "cache-control": "no-store"}
        return Response(made.text, media_type=made.kind, headers=headers)
    if isinstance(made, Standing):
        policy = {"content-security-policy": made.policy}
        return _json({"html": made.html}, 200) if as_json else HTMLResponse(made.html, headers=policy)
    if as_json:
        return _json(made.data, made.status)
    if made.to:
        return RedirectResponse(made.to, 303, {"cache-control": "no-store"})
    return HTMLResponse(renderer.html(made, request.url.path, request.url.query), made.status)


def _status(error: AssayError) -> int:
    if isinstance(error, UnknownName):
        return 404
    if isinstance(error, RunError):
        return 410
    return 400 if isinstance(error, UsageError) else 500


def _title(error: AssayError) -> str:
    if isinstance(error, UnknownName):
        return "There is no such thing here"
    return "This run can’t be shown" if isinstance(error, RunError) else "That can’t be shown"


def _not_found(renderer: Renderer) -> Callable[[Request, Exception], Response]:
    def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if request.url.path.endswith(".json"):
            return PlainTextResponse("null\n", 404, media_type="application/json")
        said = {"title": "There is no such page", "message": f"Nothing is at {request.url.path[:200]}."}
        return HTMLResponse(renderer.html(Page("none.html", said), request.url.path, ""), 404)

    return not_found
