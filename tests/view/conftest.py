"""A viewer that answers at an address of this machine, for tests that look at it from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from assay.view.app import make_app
from assay.view.pages import Site
from assay.view.serve import HOST, listening
from assay.view.shelf import Shelf
from caching import own_cache

Served = Callable[..., str]


@pytest.fixture(autouse=True)
def _indexes_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is indexed here does not stay in the user's cache."""
    monkeypatch.setenv("ASSAY_CACHE", own_cache(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def served() -> Iterator[Served]:
    """``served(root)`` serves the runs under a root until the test ends, and returns the address, without a slash.

    ``served(root, site)`` serves a site that others use too.
    """
    running: list[tuple[uvicorn.Server, threading.Thread, Site | None]] = []

    def serve(root: Path, site: Site | None = None) -> str:
        bound = listening(0)
        port = bound.getsockname()[1]
        own = None if site else Site(Shelf((), root))
        app = make_app(site or own, port)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        running.append((server, thread, own))
        until = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.01)
        return f"http://{HOST}:{port}"

    yield serve
    for server, thread, own in running:
        server.should_exit = True
        thread.join(timeout=20)
        if own:
            own.close()
