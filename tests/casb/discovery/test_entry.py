"""Single values of a line."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from casb.discovery.entry import address, by_status, host_of, named, number, target, traffic, verdict
from casb.model.discovery import TrafficEvent


def test_the_fast_way_makes_the_same_event() -> None:
    values = (1, datetime(2024, 5, 6, tzinfo=UTC), "s", "u", "192.0.2.1", "d", "h", "x", "192.0.2.2", 1, 2, 3, True)
    names = [field.name for field in fields(TrafficEvent)]
    named_values: dict[str, Any] = dict(zip(names, values, strict=True))
    event = traffic(*values)
    assert type(event) is TrafficEvent
    assert event == TrafficEvent(**named_values)
    assert hash(event) == hash(TrafficEvent(**named_values))
    with pytest.raises(AttributeError):
        event.user = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"), ("192.0.2.1:443", "192.0.2.1"), ("192.0.2.1:443:X0:name", "192.0.2.1"), ("192.0.2.0/24", "192.0.2.0"),
        ("2001:DB8::1", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1(box)", "192.0.2.1"), ("192.0.2.1,192.0.2.2", "192.0.2.1"), ("box.example", None), ("", None), (None, None), ("999.1.1.1", None),
    ],
)  # fmt: skip
def test_addresses(text: str | None, expected: str | None) -> None:
    assert address(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Box.Example", "box.example"), ("box.example:443", "box.example"), ("user@box.example", "box.example"), ("bücher.example", "xn--bcher-kva.example"),
     ("[2001:db8::1]:443", "2001:db8::1"), ("box.example.", "box.example"), ("-", None), ("a b", None), ("", None)],
)  # fmt: skip
def test_hosts(text: str, expected: str | None) -> None:
    assert host_of(text) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"url": "https://Box.Example/Up?a=1"}, ("box.example", "https://Box.Example/Up?a=1")),
        ({"url": "box.example:443"}, ("box.example", "box.example:443")),
        ({"url": "box.example/up", "scheme": "HTTPS"}, ("box.example", "https://box.example/up")),
        ({"url": "/up?a=1", "host": "box.example", "port": "443"}, ("box.example", "https://box.example/up?a=1")),
        ({"url": "/up", "host": "box.example:8080", "port": "8080"}, ("box.example", "http://box.example:8080/up")),
        ({"url": None, "host": "box.example"}, ("box.example", None)),
        (
            {"url": None, "host": "box.example", "path": "up", "query": "a=1", "scheme": "https"},
            ("box.example", "https://box.example/up?a=1"),
        ),
        ({"url": "https://192.0.2.1/", "host": "box.example"}, ("box.example", "https://192.0.2.1/")),
        ({"url": "https://other.example/", "host": "box.example"}, ("other.example", "https://other.example/")),
        ({"url": "http://2001:db8::1/"}, ("2001:db8::1", "http://2001:db8::1/")),
        ({"url": "/up"}, (None, None)),
        ({"url": None}, (None, None)),
    ],
)
def test_targets(given: dict[str, str], expected: tuple[str | None, str | None]) -> None:
    assert target(**given) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("1,234", 1234),
        ("12.0", 12),
        ("-", None),
        ("", None),
        (None, None),
        ("-5", None),
        ("1e5", None),
        ("9" * 30, None),
        ("٣", None),
    ],
)
def test_numbers(text: str | None, expected: int | None) -> None:
    assert number(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CORP\\alice", "CORP\\alice"),
        ("alice@corp.example", "alice@corp.example"),
        ("-", None),
        ("N/A", None),
        ("(null)", None),
        ('"bob"', "bob"),
        ("", None),
    ],
)
def test_names(text: str, expected: str | None) -> None:
    assert named(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Allowed", True), ("accept", True), ("PERMIT", True), ("passthrough", True), ("OBSERVED", True), ("PROXIED", True), ("client-rst", True),
        ("allowedByQueryName", True), ("TCP_DENIED", False), ("deny", False), ("Drop", False), ("reset-both", False), ("block-url", False),
        ("blockedByCategory", False), ("Blocked", False), ("quarantine", False), ("Denied by policy", False), ("", None), ("whatever", None), (None, None),
    ],
)  # fmt: skip
def test_verdicts(word: str | None, expected: bool | None) -> None:
    assert verdict(word) is expected


def test_a_status_says_whether_a_proxy_refused() -> None:
    assert [by_status(status) for status in ("200", "404", "403", "407", "-", None)] == [
        True,
        True,
        False,
        False,
        None,
        None,
    ]
