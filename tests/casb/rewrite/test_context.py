"""The page's own authority, with and without a suffix."""

from __future__ import annotations

import pytest

from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import HostMap


@pytest.mark.parametrize(
    ("suffix", "host", "expected"),
    [
        ("casb.test", "app.example", "app.example.casb.test:8443"),
        ("casb.test", "other.example", "other.example"),
        ("", "app.example", "app.example"),
    ],
)
def test_page_host(suffix: str, host: str, expected: str) -> None:
    hosts = HostMap(suffix, 8443, ["app.example"])
    assert RewriteContext(hosts=hosts, host=host).page_host == expected
