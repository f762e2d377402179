"""Binding, and a real uvicorn: what a socket sees."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from casb.errors import ConfigError
from casb.sidecar.app import build_app
from casb.sidecar.server import bind, server
from casb.sidecar.services import Services


@pytest.fixture
def port(services: Services) -> Iterator[int]:
    listener = bind("127.0.0.1:0")
    running = server(build_app(services))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    running.should_exit = True
    thread.join()
    listener.close()


def test_what_cannot_be_bound_is_told(services: Services) -> None:
    taken = bind("127.0.0.1:0")
    for address in (f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:x", "192.0.2.1:80", "127.0.0.1:99999"):
        with pytest.raises(ConfigError, match="C090"):
            bind(address)
    taken.close()


def test_answers_do_not_name_the_server(port: int) -> None:
    response = httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
    assert response.json() == {"ok": True}
    assert "server" not in response.headers


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),  # HTTP/1.1 without Host
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"421"),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: evil.example\r\n\r\n", b"200"),
    ],
)
def test_raw_requests(port: int, head: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(200).split()[1] == status
