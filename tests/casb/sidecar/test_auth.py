"""Addresses, paths and form tokens."""

from __future__ import annotations

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from casb.settings import Settings
from casb.sidecar.auth import client_ip, csrf_of, safe_path


def request(address: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return Request({"type": "http", "client": (address, 1), "headers": headers})


@pytest.mark.parametrize(
    ("address", "forwarded", "trusted", "expected"),
    [
        ("192.0.2.1", (), (), "192.0.2.1"),
        ("192.0.2.1", ("10.0.0.1",), (), "192.0.2.1"),
        ("192.0.2.1", ("10.0.0.1",), ("192.0.2.0/24",), "10.0.0.1"),
        ("192.0.2.1", ("evil, 10.0.0.1",), ("192.0.2.0/24",), "10.0.0.1"),
        ("192.0.2.1", ("10.0.0.1, 192.0.2.9",), ("192.0.2.0/24",), "10.0.0.1"),
        ("192.0.2.1", ("10.0.0.1", "192.0.2.9"), ("192.0.2.0/24",), "10.0.0.1"),
        ("192.0.2.1", (), ("192.0.2.0/24",), "192.0.2.1"),
    ],
)
def test_forwarded_addresses_count_from_trusted_proxies_only(
    address: str, forwarded: tuple[str, ...], trusted: tuple[str, ...], expected: str
) -> None:
    settings = Settings(suffix="casb.test", trusted_proxies=trusted)
    assert client_ip(request(address, *forwarded), settings) == expected


@given(st.text(max_size=30) | st.text("/\\.:@%a?#\t ", max_size=10).map(lambda rest: "/" + rest))
def test_a_safe_path_stays_on_this_host(path: str) -> None:
    safe = safe_path(path)
    assert safe.startswith("/")
    assert safe[1:2] not in ("/", "\\")
    assert safe.isascii() and safe.isprintable() and "\\" not in safe and " " not in safe


def test_form_tokens_hang_on_their_cookie() -> None:
    assert csrf_of("a") == csrf_of("a") != csrf_of("b")
    assert "a" * 43 not in csrf_of("a" * 43)
