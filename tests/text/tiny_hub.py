"""A Hugging Face hub of one's own, on a local port: datasets as dictionaries of files, and ways to fail."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """``files`` by path. ``gated`` ones refuse without a login; ``breaks`` is the byte at which files end."""

    files: dict[str, bytes]
    gated: bool = False
    breaks: int | None = None


@dataclass
class Hub:
    """The server's state: repositories by id, and every request that came."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fails: bool = False


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does, as far as its clients ask."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value: Any) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def refuse(self, code: int, error: str) -> None:
        self.answer(code, b"{}", X_Error_Code=error, X_Error_Message=error)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def do_GET(self, body: str = "") -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        found = re.fullmatch(r"/(?:api/)?datasets/([\w-]+/[\w-]+)(?:/([\w-]+)(?:/([^/]+)(?:/(.*))?)?)?", path)
        if hub.fails:
            self.answer(503)
        elif not found or found[1] not in hub.repositories:
            self.refuse(404, "RepoNotFound")
        elif found[3] not in (None, "main", SHA):
            self.refuse(404, "RevisionNotFound")
        else:
            self.serve(found[1], found[2] or "revision", found[4] or "", body)

    def serve(self, name: str, kind: str, path: str, body: str) -> None:
        repository = self.server.hub.repositories[name]
        match kind:
            case "revision":
                siblings = [{"rfilename": name} for name in repository.files]
                gated = "auto" if repository.gated else False
                self.answer_json({"id": name, "sha": SHA, "gated": gated, "siblings": siblings})
            case "tree":
                entries = _below(repository, path, "recursive=true" in self.path.lower())
                self.answer_json(entries) if entries else self.refuse(404, "EntryNotFound")
            case "paths-info":
                names = re.findall(r"paths=([^&]*)", unquote(body))
                self.answer_json([_entry(path, data) for path, data in repository.files.items() if path in names])
            case _ if repository.gated:
                self.refuse(401, "GatedRepo")
            case _ if path not in repository.files:
                self.refuse(404, "EntryNotFound")
            case _:
                self.send_file(repository.files[path], repository.breaks)

    def send_file(self, data: bytes, breaks: int | None) -> None:
        headers = {"X_Repo_Commit": SHA, "ETag": f'"{hashlib.sha1(data).hexdigest()}"', "Accept_Ranges": "bytes"}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(span[1]), int(span[2] or len(data) - 1)) if span else (0, len(data) - 1)
        part = data[first : last + 1]
        if span:
            headers["Content_Range"] = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        if self.command == "HEAD" or breaks is None or first + len(part) <= breaks:
            self.answer(206 if span else 200, part, **headers)
            return
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: max(0, breaks - first)])
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """The server that handlers find their hub on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = Hub(f"http://127.0.0.1:{self.server_port}")


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


def _below(repository: Repository, folder: str, recursive: bool) -> list[dict[str, Any]]:
    """What a folder holds: its files and folders or, recursively, all files below it."""
    start = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for name, data in repository.files.items():
        if name.startswith(start):
            first, _, deeper = name.removeprefix(start).partition("/")
            if deeper:
                found[start + first] = {"type": "directory", "path": start + first, "oid": "0" * 40}
            if recursive or not deeper:
                found[name] = _entry(name, data)
    return list(found.values())


@contextmanager
def serving() -> Iterator[Hub]:
    """The hub for the length of the block."""
    with Server() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.hub
        finally:
            server.shutdown()
            thread.join()
