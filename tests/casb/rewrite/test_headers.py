"""Headers in both directions: one row per header, with the reason."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import dataclasses
import re
from importlib.resources import files

import pytest

from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.headers import (
    KEPT,
    REQUEST,
    RESPONSE,
    page_policy_of,
    request_headers,
    response_headers,
    target_to_origin,
    without_body_facts,
)
from casb.rewrite.hosts import HostMap

HOSTS = HostMap("casb.test", 8443, ["app.example", "*.wild.example"])
APP = RewriteContext(hosts=HOSTS, host="app.example")
TO = b"https://app.example.casb.test:8443"


@pytest.mark.parametrize(
    ("name", "value", "expected", "why"),
    [
        (b"Location", b"https://app.example/x", TO + b"/x", "redirects stay in the session"),
        (b"location", b"/x", b"/x", "relative"),
        (b"Location", b"https://idp.test/?r=https%3A%2F%2Fapp.example", b"https://idp.test/?r=https%3A%2F%2Fapp.example", "registered elsewhere"),
        (b"Content-Location", b"//app.example/x", b"//app.example.casb.test:8443/x", "scheme-relative"),
        (b"Link", b"<https://app.example/a.css>; rel=preload, </b>", b"<" + TO + b"/a.css>; rel=preload, </b>", "preloads"),
        (b"Refresh", b"0; url=https://app.example/", b"0; url=" + TO + b"/", "a redirect by other means"),
        (b"SourceMap", b"https://app.example/a.map", TO + b"/a.map", "source maps"),
        (b"X-Pingback", b"https://app.example/p", TO + b"/p", "forgotten by all"),
        (b"Access-Control-Allow-Origin", b"https://x.wild.example", b"https://x.wild.example.casb.test:8443", "the origin the browser compares"),
        (b"Access-Control-Allow-Origin", b"*", b"*", "anybody"),
        (b"Access-Control-Allow-Origin", b"https://other.test", b"https://other.test", "not ours"),
        (b"Timing-Allow-Origin", b"https://app.example, *", TO + b", *", "a list"),
        (b"Permissions-Policy", b'camera=(self "https://app.example")', b'camera=(self "' + TO + b'")', "origins in it"),
        (b"Report-To", b'{"endpoints":[{"url":"https:\\/\\/app.example\\/r"}]}', b'{"endpoints":[{"url":"https:\\/\\/app.example.casb.test:8443\\/r"}]}', "JSON"),
        (b"Reporting-Endpoints", b'd="https://app.example/r"', b'd="' + TO + b'/r"', "structured"),
        (b"Set-Cookie", b"a=b; Domain=app.example; Secure", b"a=b; Secure; Domain=app.example.casb.test", "under the suffix"),
        (b"Set-Cookie", b"__Host-casb_s=x", None, "ours"),
        (b"Alt-Svc", b'h3=":443"', None, "would lead past us"),
        (b"X-Casb-Activity", b"1", None, "ours to say"),
        (b"Content-Security-Policy", b"img-src app.example", b"img-src app.example.casb.test:8443", "sources"),
        (b"Content-Security-Policy-Report-Only", b"img-src app.example", b"img-src app.example.casb.test:8443", "sources"),
        (b"X-Frame-Options", b"DENY", b"DENY", "kept"),
        (b"Strict-Transport-Security", b"max-age=1; includeSubDomains", b"max-age=1; includeSubDomains", "kept"),
        (b"Clear-Site-Data", b'"cookies"', None, "would clear every application's cookies: there are none to delete here"),
        (b"Clear-Site-Data", b'"cache", "storage"', b'"cache", "storage"', "kept: of one origin"),
        (b"Location", b"https://idp.test/?r=https%253A%252F%252Fapp.example.casb.test%253A8443%252Fcb#s=https%3a%2f%2fapp.example.casb.test%3a8443", b"https://idp.test/?r=https%253A%252F%252Fapp.example%252Fcb#s=https%3a%2f%2fapp.example", "the provider knows the names at the origin, however encoded"),
        (b"Location", b"https://idp.test/?state=eyJyIjoiaHR0cHM6Ly9hcHAuZXhhbXBsZS5jYXNiLnRlc3QifQ", b"https://idp.test/?state=eyJyIjoiaHR0cHM6Ly9hcHAuZXhhbXBsZS5jYXNiLnRlc3QifQ", "base64url is the application's own"),
        (b"Location", TO + b"/x?u=" + TO, TO + b"/x?u=" + TO, "suffixed already"),
        (b"Location", b"https://app.example/cb#id_token=x&u=https%3A%2F%2Fapp.example", TO + b"/cb#id_token=x&u=https%3A%2F%2Fapp.example", "what it carries stays its own"),
        (b"Service-Worker-Allowed", b"https://app.example/", TO + b"/", "a scope"),
        (b"Permissions-Policy", b'camera=(self "https://*.wild.example"), usb=()', b'camera=(self "https://*.wild.example.casb.test:8443"), usb=()', "wildcards in it"),
        (b"Feature-Policy", b"camera 'self' https://app.example; usb 'none'", b"camera 'self' " + TO + b"; usb 'none'", "without quotes"),
        (b"Cross-Origin-Resource-Policy", b"same-origin", b"same-origin", "one origin is one origin"),
        (b"Expect-CT", b"max-age=1", None, "about certificates that are not ours"),
        (b"X-Anything", b"https://app.example/", b"https://app.example/", "not in the table"),
        (b"Location", b"https://app.example/\xff", TO + b"/\xff", "bytes survive"),
        (b"Location", b"https://app.example/a\r\nSet-Cookie: x", TO + b"/aSet-Cookie: x", "no head is split by us"),
    ],
)  # fmt: skip
def test_response(name: bytes, value: bytes, expected: bytes | None, why: str) -> None:
    assert response_headers([(name, value)], APP) == ([] if expected is None else [(name, expected)]), why


@pytest.mark.parametrize(
    ("name", "value", "expected", "why"),
    [
        (b"Host", b"app.example.casb.test:8443", b"app.example", "its own name"),
        (b"Origin", TO, b"https://app.example", "CSRF checks compare it with Host"),
        (b"Origin", b"null", b"null", "opaque"),
        (b"Origin", b"https://evil.test", b"https://evil.test", "a foreign page stays foreign"),
        (b"Referer", TO + b"/x?u=https%3A%2F%2Fapp.example.casb.test%3A8443%2F", b"https://app.example/x?u=https%3A%2F%2Fapp.example%2F", "its query too"),
        (b"Destination", TO + b"/new", b"https://app.example/new", "WebDAV"),
        (b"Cookie", b"a=1; __Host-casb_s=x; b=2", b"a=1; b=2", "ours stay here"),
        (b"Cookie", b"__Host-casb_s=x", None, "nothing left"),
        (b"Accept-Encoding", b"gzip, deflate, br, zstd, dcb", b"gzip, deflate, br, zstd", "what we can undo"),
        (b"Accept-Encoding", b"br;q=1.0, *;q=0.5", b"br;q=1.0", "anything is too much"),
        (b"Accept-Encoding", b"dcb", b"identity", "nothing left"),
        (b"X-Forwarded-For", b"192.0.2.1", None, "only a proxy may say so"),
        (b"x_forwarded_proto", b"http", None, "CGI spelling"),
        (b"X-Forwarded_User", b"root", None, "mixed spelling"),
        (b"Forwarded", b"for=192.0.2.1", None, "RFC 7239"),
        (b"X-Real-IP", b"192.0.2.1", None, "address"),
        (b"X-MS-Client-Principal-Name", b"root", None, "identity"),
        (b"Remote-User", b"root", None, "identity"),
        (b"X_REMOTE_USER", b"root", None, "identity"),
        (b"X-Original-URL", b"/admin", None, "another path than the one decided on"),
        (b"X-Casb-User", b"root", None, "ours"),
        (b"_Cookie", b"x", b"x", "a name of its own"),
        (b"Accept_Encoding", b"x", None, "an underscored twin of a header that is checked"),
        (b"X-Auth-Token", b"t", b"t", "an application's own API token"),
        (b"Authorization", b"Bearer t", b"Bearer t", "an application's own"),
        (b"X-Requested-With", b"XMLHttpRequest", b"XMLHttpRequest", "not in the table"),
    ],
)  # fmt: skip
def test_request(name: bytes, value: bytes, expected: bytes | None, why: str) -> None:
    assert request_headers([(name, value)], APP) == ([] if expected is None else [(name, expected)]), why


def test_unchanged_fields_are_the_same_list() -> None:
    fields = [(b"Content-Type", b"text/html"), (b"Location", b"/x"), (b"Cookie", b"a=1")]
    assert response_headers(fields, APP) is fields
    assert request_headers(fields, APP) is fields


def test_order_and_repetition_stay() -> None:
    fields = [
        (b"Set-Cookie", b"a=1; Domain=app.example"),
        (b"X", b"1"),
        (b"Set-Cookie", b"b=2"),
        (b"Set-Cookie", b"c=3"),
    ]
    assert response_headers(fields, APP) == [(b"Set-Cookie", b"a=1; Domain=app.example.casb.test"), *fields[1:]]


def test_a_page_policy_reads_every_csp_header() -> None:
    fields = [(b"content-security-policy", b"img-src *"), (b"Content-Security-Policy", b"script-src 'nonce-n1'")]
    page = page_policy_of(fields, APP)
    assert page == PagePolicy(nonce="n1")
    assert response_headers(fields, APP, page) is fields
    assert page_policy_of([(b"X", b"script-src 'nonce-n1'")], APP) == PagePolicy()


def test_facts_of_the_old_body_go() -> None:
    fields = [(b"Content-Length", b"1"), (b"ETag", b'"x"'), (b"Digest", b"sha-256=x"), (b"Accept-Ranges", b"bytes")]
    assert without_body_facts(fields) == [(b"ETag", b'"x"')]


@pytest.mark.parametrize(
    ("relation", "kept"), [("same-site", True), ("same-origin", True), ("cross-site", False), ("", False)]
)
def test_a_resource_for_its_site(relation: str, kept: bool) -> None:
    context = dataclasses.replace(APP, relation=relation)
    policy = b"same-site" if kept else b"same-origin"
    assert response_headers([(b"cross-origin-resource-policy", b"same-site")], context) == [
        (b"Cross-Origin-Resource-Policy", policy),
        (b"Vary", b"Origin, Referer"),
    ]


def test_cookies_are_cleared_one_by_one() -> None:
    context = RewriteContext(
        hosts=HostMap("casb.test", 443, ["a.app.example"]), host="a.app.example", path="/x/y/z",
        cookies=b"one=1; __Host-two=2; __Host-casb_s=3",
    )  # fmt: skip
    fields = response_headers([(b"clear-site-data", b'"cookies", "storage"')], context)
    assert fields[0] == (b"Clear-Site-Data", b'"storage"')
    cleared = [value for name, value in fields[1:] if name == b"Set-Cookie"]
    assert b"one=; Max-Age=0; Secure; Path=/" in cleared
    assert b"one=; Max-Age=0; Secure; Path=/x/y/; Domain=app.example.casb.test" in cleared
    assert b"__Host-two=; Max-Age=0; Secure; Path=/" in cleared
    assert not [each for each in cleared if b"casb_s" in each or each.endswith(b"Domain=casb.test")]


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("none", []),
        (
            "x-forwarded",
            [
                (b"X-Forwarded-For", b"2001:db8::1"),
                (b"X-Forwarded-Host", b"app.example"),
                (b"X-Forwarded-Proto", b"https"),
                (b"X-Real-IP", b"2001:db8::1"),
            ],
        ),
        ("forwarded", [(b"Forwarded", b'for="[2001:db8::1]";host="app.example";proto=https')]),
    ],
)
def test_what_the_app_is_told_of_the_browser(forwarded: str, expected: list[tuple[bytes, bytes]]) -> None:
    context = dataclasses.replace(APP, forwarded=forwarded, client="2001:db8::1")
    claims = [(b"X-Forwarded-For", b"192.0.2.66"), (b"Forwarded", b"for=192.0.2.66"), (b"X_Real_IP", b"192.0.2.66")]
    assert request_headers(claims, context) == expected, "what the browser claims never passes"


def test_cookies_in_pieces_are_one_jar() -> None:
    context = dataclasses.replace(APP, crossing=True, relation="cross-site")
    pieces = [(b"cookie", b"a=1"), (b"X", b"y"), (b"Cookie", b"__Host-casb_k.a=n"), (b"cookie", b"b=2")]
    assert request_headers(pieces, context) == [(b"X", b"y"), (b"cookie", b"a=1")]


def test_the_site_of_a_request_is_told_truly() -> None:
    context = dataclasses.replace(APP, relation="cross-site")
    assert request_headers([(b"Sec-Fetch-Site", b"same-site")], context) == [(b"Sec-Fetch-Site", b"cross-site")]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/login?next=https%3A%2F%2Fapp.example.casb.test%3A8443%2Fx", b"/login?next=https%3A%2F%2Fapp.example%2Fx"),
        (b"/app.example.casb.test", b"/app.example.casb.test"),
        (b"/go/https%3A%2F%2Fapp.example.casb.test%3A8443%2Fx", b"/go/https%3A%2F%2Fapp.example%2Fx"),
        (b"/go/https://app.example.casb.test:8443/x", b"/go/https://app.example/x"),
        (b"/go/https:/app.example.casb.test:8443/x", b"/go/https:/app.example/x"),
        (b"/x?next=/y", b"/x?next=/y"),
        (b"*", b"*"),
    ],
)
def test_target_to_origin(target: bytes, expected: bytes) -> None:
    assert target_to_origin(target, APP) == expected


def test_the_readable_tables_are_complete() -> None:
    text = (files("casb.rewrite") / "README.md").read_text("utf-8")
    for title, table in (("## To the browser", {*RESPONSE, *KEPT}), ("## To the application", set(REQUEST))):
        rows = text.partition(title)[2].partition("\n## ")[0]
        first = [row.split("|")[1] for row in rows.splitlines() if row.startswith("| `")]
        names = re.findall(r"`([^`]+)`", " ".join(first))
        assert sorted(name.lower().encode() for name in names) == sorted(table), title
