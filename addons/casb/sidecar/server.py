"""Runs the application on uvicorn: bind first, serve, stop gracefully."""

from __future__ import annotations

import socket
from typing import Any, cast

import uvicorn

from casb.errors import ConfigError
from casb.sidecar.guards import Application


def bind(address: str) -> socket.socket:
    """A listening socket for `host:port`; port 0 takes a free one. Raises `ConfigError` (C090)."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(256)
    except (OSError, OverflowError, ValueError) as error:
        listener.close()
        raise ConfigError(
            "C090",
            f"cannot listen on {address} ({getattr(error, 'strerror', None) or error})",
            hint="another program may be using it; see listeners.sidecar in casb.yaml",
        ) from error
    listener.set_inheritable(True)
    return listener


def server(app: Application) -> uvicorn.Server:
    """A server to `run(sockets=[...])`. SIGTERM and SIGINT let requests under way finish, for at most 10 seconds."""
    config = uvicorn.Config(
        cast(Any, app),
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
        limit_concurrency=512,
        h11_max_incomplete_event_size=32 * 1024,
        ws="none",
        proxy_headers=False,  # nobody's X-Forwarded-For is believed here
        lifespan="off",
    )
    return uvicorn.Server(config)
