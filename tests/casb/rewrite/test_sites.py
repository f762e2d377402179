"""Who asks whom, at their origins: one row per kind of request."""

# a table reads best with one row per case
from __future__ import annotations

import pytest

from casb.rewrite.hosts import HostMap
from casb.rewrite.sites import Relation, is_public_suffix, relation, site

HOSTS = HostMap("casb.test", 8443, ["www.app.example", "api.app.example", "other.test", "lone.example:8444"])
WWW, API, OTHER = (f"https://{host}.casb.test:8443" for host in ("www.app.example", "api.app.example", "other.test"))
SAME, CROSS, HELD = Relation("same-site", False), Relation("cross-site", True), Relation("cross-site", False)


@pytest.mark.parametrize(
    ("fields", "method", "expected", "why"),
    [
        ({"site": "same-origin", "origin": WWW}, "POST", Relation("same-origin", False), "told truly"),
        ({"site": "none"}, "GET", Relation("none", False), "told truly"),
        (
            {"site": "cross-site", "origin": "https://evil.test"},
            "POST",
            Relation("cross-site", False),
            "the browser has looked itself",
        ),
        ({"site": "same-site", "origin": API}, "POST", SAME, "hosts of one site"),
        ({"site": "same-site", "referer": API + "/x"}, "GET", SAME, "hosts of one site"),
        ({"site": "same-site", "origin": OTHER}, "POST", CROSS, "another application"),
        ({"site": "same-site", "referer": OTHER + "/x"}, "GET", CROSS, "another application"),
        ({"site": "same-site", "referer": "https://login.casb.test:8443/x"}, "GET", CROSS, "a page of ours"),
        ({"site": "same-site", "origin": "null"}, "POST", CROSS, "nobody named: the narrower one"),
        ({"site": "same-site"}, "POST", CROSS, "nobody named: the narrower one"),
        ({"site": "same-site", "mode": "no-cors"}, "GET", HELD, "a picture of an application of several hosts"),
        ({"site": "same-site", "mode": "navigate"}, "GET", CROSS, "a visit, by nobody named"),
        ({"site": "same-site", "mode": "websocket"}, "GET", CROSS, "a socket, by nobody named"),
        (
            {"site": "same-site", "origin": "null", "referer": WWW + "/"},
            "GET",
            SAME,
            "an opaque origin on a named page",
        ),
        ({}, "GET", Relation("", False), "an old browser"),
        ({"origin": OTHER}, "POST", Relation("", True), "an old browser, another application"),
        ({"origin": API}, "POST", Relation("", False), "an old browser, the same site"),
    ],
)
def test_relation(fields: dict[str, str], method: str, expected: Relation, why: str) -> None:
    names = {"site": b"sec-fetch-site", "mode": b"sec-fetch-mode", "origin": b"origin", "referer": b"referer"}
    given = {names[name]: value.encode() for name, value in fields.items()}
    assert relation(given, HOSTS, "www.app.example", method) == expected, why


def test_a_lone_host_shows_its_pictures_to_itself_only() -> None:
    fields = {b"sec-fetch-site": b"same-site", b"sec-fetch-mode": b"no-cors"}
    assert relation(fields, HOSTS, "lone.example:8444") == CROSS


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.b.app.example", "app.example"),
        ("app.co.uk", "app.co.uk"),
        ("co.uk", "co.uk"),
        ("wiki", "wiki"),
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:db8::5]", "[2001:db8::5]"),
    ],
)
def test_site(host: str, expected: str) -> None:
    assert site(host) == expected


def test_public_suffixes() -> None:
    assert is_public_suffix("co.uk") and is_public_suffix("example")
    assert not is_public_suffix("app.example")
