"""A tunnel is counted, once, and its content is not looked at."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

from proxy_world import Origin, World, wait_for


def told(proxy: World) -> list[dict[str, Any]]:
    return [each for each in proxy.spooled() if each.get("kind") == "traffic"]


def test_a_tls_tunnel_is_counted_when_it_is_over(proxy: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Origin(tmp_path / "other", "localhost")
    body = b"x" * 200_000
    other.page("/big", body, content_type="text/plain")
    before = len(told(proxy))
    with contextlib.closing(other), socket.create_connection(("127.0.0.1", proxy.forward), timeout=10) as tunnel:
        tunnel.sendall(f"CONNECT localhost:{other.port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b" 200 " in tunnel.recv(4096)
        context = ssl.create_default_context(cafile=str(other.ca))
        with context.wrap_socket(tunnel, server_hostname="localhost") as inner:
            inner.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            received = 0
            while data := inner.recv(65536):
                received += len(data)
            assert received > len(body)
    wait_for(lambda: len(told(proxy)) > before, "the tunnel to be counted")
    (line,) = told(proxy)[before:]
    assert (line["host"], line["ip"]) == ("localhost", "127.0.0.1")
    assert len(body) < line["bytes_down"] < len(body) * 1.1
    assert 200 < line["bytes_up"] < 5000
    assert set(line) == {"kind", "id", "time", "host", "ip", "bytes_up", "bytes_down"}, "nothing of the content"


def test_a_tunnel_without_tls_is_counted(proxy: World) -> None:
    before = len(told(proxy))
    with socket.create_server(("127.0.0.1", 0)) as plain:
        with socket.create_connection(("127.0.0.1", proxy.forward), timeout=10) as tunnel:
            port = plain.getsockname()[1]
            tunnel.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b" 200 " in tunnel.recv(4096)
            tunnel.sendall(b"SSH-2.0-anything\r\n")
            plain.settimeout(10)
            end, _ = plain.accept()
            with end:
                assert end.recv(100) == b"SSH-2.0-anything\r\n"
                end.sendall(b"12345")
                assert tunnel.recv(100) == b"12345"
    wait_for(lambda: len(told(proxy)) > before, "the tunnel to be counted")
    (line,) = told(proxy)[before:]
    assert (line["host"], line["bytes_up"], line["bytes_down"]) == ("localhost", 18, 5)
