"""The query for the console: complete, and nothing ends a literal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.discovery.endpoint_hunting import hosts_of, query_for, quoted


def test_a_query() -> None:
    text = query_for(["*.dropbox.com", "dropbox.com", "db.tt/x"], days=3)
    assert text.splitlines()[:3] == [
        "DeviceNetworkEvents",
        "| where Timestamp > ago(3d)",
        '| where RemoteUrl has_any ("db.tt", "dropbox.com")',
    ]
    assert text.endswith("| sort by Timestamp desc")


def test_an_app_without_domains() -> None:
    with pytest.raises(ValueError, match="without domains"):
        query_for([])


@pytest.mark.parametrize(
    ("domains", "expected"),
    [(["*.a.example", "b.a.example"], ["a.example"]), (["ba.example", "a.example"], ["a.example", "ba.example"]),
     (["", "/x"], [])],
)  # fmt: skip
def test_hosts(domains: list[str], expected: list[str]) -> None:
    assert list(hosts_of(domains)) == expected


@given(st.text(max_size=40))
def test_nothing_ends_a_literal(text: str) -> None:
    inside = quoted(text)[1:-1]
    assert re.fullmatch(r"(?:[A-Za-z0-9._ -]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*", inside)
    back = re.sub(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", lambda found: chr(int(found[1] or found[2], 16)), inside)
    assert back == text
