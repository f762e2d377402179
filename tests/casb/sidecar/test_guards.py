"""What every request passes: host names, body sizes, headers."""

from __future__ import annotations

import pytest

from asgi_client import Client
from casb.settings import Listeners, Settings, Sidecar
from casb.sidecar.guards import allowed_hosts, is_loopback

PUBLIC = Settings(
    suffix="x.example",
    listeners=Listeners(sidecar="192.0.2.7:8090"),
    sidecar=Sidecar(url="http://Sidecar.internal:8090", public_url="https://portal.example/"),
)


def test_configured_hosts() -> None:
    assert allowed_hosts(PUBLIC) == {"192.0.2.7:8090", "sidecar.internal:8090", "portal.example"}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:8090", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9", True),
        ("[::1]:8090", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:8090", False),
        ("user@localhost", True),  # the name is still localhost; browsers never send it
        ("", False),
        ("[::1", False),
        ("192.0.2.1", False),
        ("2130706433", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", ""])
def test_a_rebound_name_gets_nothing(client: Client, host: str) -> None:
    response = client.post("/v1/records", headers={"host": host})
    assert response.status_code == 421
    assert response.json()["ok"] is False


def test_headers_are_on_every_answer(client: Client) -> None:
    for response in (
        client.get("/nothing"),
        client.get("/v1/nothing"),
        client.get("/", headers={"host": "evil.example"}),
        client.post("/v1/records", content=b"x" * 9_000_000),
    ):
        assert response.headers["content-security-policy"].startswith("default-src 'none';")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"


def test_bodies_are_bounded(client: Client) -> None:
    assert client.post("/v1/records", content=b"x" * 9_000_000).status_code == 413
    assert client.post("/v1/proxy-status", content=b"x" * 70_000).status_code == 413
