"""As much of the Hugging Face hub as loading a model asks for, served from a directory on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "c0ffee" + 34 * "0"
NAME = "someone/tiny"


@dataclass
class Hub:
    """One model, ``someone/tiny``, with one commit that is called main and v1.

    ``trouble``: by a part of an address, the status and the hub's error code that it is answered with.
    """

    files: Path
    trouble: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def fetched(self) -> set[str]:
        """The files whose contents were fetched."""
        return {path.rpartition("/")[2] for path in self.asked if path.startswith("GET") and "/resolve/" in path}


class _Server(ThreadingHTTPServer):
    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _hub(self) -> Hub:
        server: Any = self.server
        return server.hub

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        path, hub = unquote(urlsplit(self.path).path), self._hub
        hub.asked.append(f"{self.command} {path}")
        for part, (status, code) in hub.trouble.items():
            if part in path:
                return self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})
        return self._describe(path) if path.startswith("/api/") else self._give(path, with_body)

    def _describe(self, path: str) -> None:
        sizes = {file.name: file.stat().st_size for file in sorted(self._hub.files.iterdir())}
        place = f"/api/models/{NAME}"
        if path.startswith(f"{place}/tree/"):
            return self._json(
                [{"type": "file", "path": n, "size": s, "oid": _etag(self._hub.files / n)} for n, s in sizes.items()]
            )
        if path == place or path.startswith(f"{place}/revision/"):
            revision = path.removeprefix(place).removeprefix("/revision/") or "main"
            if revision not in ("main", "v1", COMMIT):
                return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
            return self._json({"id": NAME, "sha": COMMIT, "siblings": siblings})
        return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _give(self, path: str, with_body: bool) -> None:
        file = self._hub.files / path.rpartition("/")[2]
        if not path.startswith(f"/{NAME}/resolve/") or not file.is_file():
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        content = file.read_bytes()
        headers = {"ETag": f'"{_etag(file)}"', "X-Repo-Commit": COMMIT}
        return self._send(200, content if with_body else b"", headers, len(content))

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def serving(files: Path, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Within the block the hub's client talks to this server and caches under ``cache``."""
    hub = Hub(files)
    server = _Server(hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    point_client_at(f"http://127.0.0.1:{server.server_port}", cache, patch)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def point_client_at(endpoint: str, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """The client's endpoint and cache, which it read from the environment when it was imported."""
    patch.setattr(constants, "ENDPOINT", endpoint)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
