"""Serving the viewer on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from assay.errors import MachineError
from assay.view.app import make_app
from assay.view.pages import Site

HOST, PORT = "127.0.0.1", 8765
_TRIED = 20


def listening(port: int | None) -> socket.socket:
    """A socket that listens on this machine alone: at ``port``, or at the first free one from :data:`PORT` on.

    Raises:
        MachineError: the port is taken, or none is free.
    """
    for candidate in (port,) if port is not None else range(PORT, PORT + _TRIED):
        # named as TCP, or asyncio leaves Nagle's algorithm on, and every answer waits 40 ms for an acknowledgement
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, candidate))
            bound.listen(64)
        except OSError:
            bound.close()
            continue
        return bound
    tried = f"port {port} is" if port is not None else f"ports {PORT} to {PORT + _TRIED - 1} are"
    raise MachineError(f"{tried} taken on {HOST}; choose another with --port, or 0 for any that is free")


def serve(site: Site, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; ``ready`` is told the address as soon as it answers."""
    bound = listening(port)
    address = f"http://{HOST}:{bound.getsockname()[1]}/"
    app = make_app(site, bound.getsockname()[1])
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
    ready(address)
    try:
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        site.close()
