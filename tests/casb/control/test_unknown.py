"""The policy that notices or refuses unknown hosts, and what browsers report back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.match import Catalog
from casb.control.unknown import LONGEST, Sighting, concerns, header_of, sighting, unowned
from casb.model.app import App
from casb.rewrite.hosts import HostMap

APP = App(id="files", name="Files", domains=("files.example", "*.cdn.example"), unknown_hosts="learn")
DENY = App(id="wiki", name="Wiki", domains=("wiki.example",), unknown_hosts="deny")
FREE = App(id="tunnel", name="Tunnel", domains=("free.example",), controlled=False)
CATALOG = Catalog([APP, DENY, FREE])
HOSTS = HostMap(suffix="casb.test", port=8443, names=("files.example", "*.cdn.example", "wiki.example"))


def report(
    blocked: object, directive: object = "img-src", page: object = "https://files.example.casb.test/a?q=1"
) -> bytes:
    told = {"blocked-uri": blocked, "effective-directive": directive, "document-uri": page}
    return json.dumps({"csp-report": told}).encode()


def test_learning_reports_and_takes_nothing_away() -> None:
    name, value = header_of(APP, HOSTS, CATALOG, page="files.example.casb.test:8443", suffixed=True) or ("", "")
    assert name == "content-security-policy-report-only"
    assert "https://*.casb.test:8443 wss://*.casb.test:8443" in value
    assert value.endswith("report-uri https://files.example.casb.test:8443/.casb/unknown-host")


def test_denying_is_enforced() -> None:
    found = header_of(DENY, HOSTS, CATALOG, page="wiki.example.casb.test", suffixed=True)
    assert found is not None and found[0] == "content-security-policy"


def test_outside_the_suffix_the_apps_own_names_stand() -> None:
    _, value = header_of(APP, HOSTS, CATALOG, page="files.example", suffixed=False) or ("", "")
    assert "https://*.cdn.example" in value and "https://wiki.example" in value
    assert "free.example" not in value and "casb.test" not in value


def test_passing_adds_nothing() -> None:
    assert header_of(FREE, HOSTS, CATALOG, page="free.example", suffixed=True) is None


@pytest.mark.parametrize(
    ("content_type", "destination", "expected"),
    [("text/html", "document", True), ("text/javascript", "worker", True), ("text/javascript", "script", False)],
)
def test_what_carries_the_policy(content_type: str, destination: str, expected: bool) -> None:
    assert concerns(content_type, destination) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (report("https://tracker.test/p.gif?who=ada"), Sighting(host="tracker.test", page="files.example/a", kind="image")),
        (report("wss://Live.Test:9443/x", "connect-src"), Sighting(host="live.test", page="files.example/a", kind="connect")),
        (report("https://x.test", "made-up"), Sighting(host="x.test", page="files.example/a", kind="other")),
        (report("https://wiki.example/y"), Sighting(host="wiki.example", page="files.example/a", kind="image", owner="wiki")),
        (report("https://free.example/y"), Sighting(host="free.example", page="files.example/a", kind="image")),
        (report("https://wiki.example.casb.test/"), None),
        (report("inline"), None),
        (report("https://192.0.2.1/"), None),
        (report("https://localhost/"), None),
        (report("data"), None),
        (report(7), None),
        (report("https://x.test/" + "y" * LONGEST), None),
        (b"[]", None),
        (b'{"csp-report": []}', None),
    ],
)  # fmt: skip
def test_reports(body: bytes, expected: Sighting | None) -> None:
    assert sighting(body, HOSTS, CATALOG, "files.example") == expected


@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(report), st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())))  # fmt: skip
def test_any_report_gives_a_sighting_or_nothing(body: bytes) -> None:
    found = sighting(body, HOSTS, CATALOG, "files.example")
    assert found is None or ("." in found.host and "\n" not in found.page)


def test_unowned() -> None:
    assert unowned([("files.example", 1), ("x.test", 2)], CATALOG) == [2]
