"""Cookies: whose they are, and where the browser may send them."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import dataclasses

import pytest

from casb.rewrite.context import RewriteContext
from casb.rewrite.cookies import cookie, is_ours, mark, set_cookie
from casb.rewrite.hosts import HostMap

HOSTS = HostMap("casb.test", 8443, ["www.app.example", "www.app.co.uk", "www.app.example:8444"])
WWW = RewriteContext(hosts=HOSTS, host="www.app.example")
UK = RewriteContext(hosts=HOSTS, host="www.app.co.uk")
PORTED = RewriteContext(hosts=HOSTS, host="www.app.example:8444")
TLD = RewriteContext(hosts=HostMap("casb.test", 8443, ["co.uk"]), host="co.uk")
CROSS = RewriteContext(hosts=HOSTS, host="www.app.example", crossing=True, relation="cross-site", mode="no-cors")
VISIT = RewriteContext(
    hosts=HOSTS, host="www.app.example", crossing=True, relation="cross-site", mode="navigate", destination="document"
)
FLAT = RewriteContext(hosts=HostMap("casb.test", 8443, ["www.app.example"], flat=True), host="www.app.example")
PLAIN_MODE = RewriteContext(hosts=HostMap("", 443, []), host="www.app.example")


@pytest.mark.parametrize(
    ("context", "value", "expected", "why"),
    [
        (WWW, b"a=b", b"a=b", "host-only stays"),
        (WWW, b"a=b; Domain=app.example; Path=/x; Secure", b"a=b; Path=/x; Secure; Domain=app.example.casb.test", "shared"),
        (WWW, b"a=b;domain=.WWW.app.example", b"a=b; Domain=www.app.example.casb.test", "dot and case mean nothing"),
        (WWW, b"a=b; Domain=www.app.example.casb.test", b"a=b; Domain=www.app.example.casb.test", "never twice"),
        (WWW, b"a=b; Domain=evil.test; Domain=app.example", b"a=b; Domain=app.example.casb.test", "the last one counts"),
        (WWW, b"a=b; Domain=", b"a=b; Domain=", "an empty Domain is none"),
        (WWW, b"a=b; Domain=example", None, "a top-level domain: browsers refuse it"),
        (UK, b"a=b; Domain=co.uk", None, "a public suffix: browsers refuse it"),
        (TLD, b"a=b; Domain=co.uk", b"a=b", "its own name, which is a public suffix: this host only"),
        (WWW, b"__Host-a=b; Secure; Path=/; Domain=app.example", None, "browsers refuse it with a Domain"),
        (CROSS, b"a=b; Path=/", None, "from a cross-site answer browsers take none but SameSite=None"),
        (CROSS, b"a=b; SameSite=None; Secure", b"a=b; SameSite=None; Secure", "which is that"),
        (VISIT, b"a=b; SameSite=Strict", b"a=b; SameSite=Strict", "a visit from elsewhere"),
        (FLAT, b"a=b; Domain=app.example; Path=/", b"a=b; Path=/", "flattened: the parent would be the bare suffix"),
        (WWW, b"casb_k.a=n", None, "ours to say"),
        (UK, b"a=b; Domain=app.co.uk", b"a=b; Domain=app.co.uk.casb.test", "below a public suffix"),
        (PORTED, b"a=b; Domain=app.example", b"a=b", "a port in the name: no parent shared"),
        (WWW, b"a=b; Domain=other.example", None, "a browser refuses it at the real host"),
        (WWW, b"a=b; Domain=pp.example", None, "a domain begins at a dot"),
        (WWW, b"a=b; Domain=casb.test", None, "the bare suffix would reach every app"),
        (WWW, b"a=b; Domain=test", None, "wider than the suffix"),
        (WWW, b"a=b; Domain=login.casb.test", None, "ours"),
        (WWW, b"__Host-casb_s=x; Secure; Path=/", None, "our name"),
        (WWW, b" __HOST-Casb_L=x", None, "our name in another case"),
        (WWW, b"=__Host-casb_s=x", None, "nameless, which browsers send back as our name"),
        (WWW, b"__Host-casb_s", None, "nameless, which browsers send back as our name"),
        (WWW, b"casb_notice=1", None, "ours to set"),
        (WWW, b"__Host-a=b; Secure; Path=/; SameSite=None; Partitioned", b"__Host-a=b; Secure; Path=/; SameSite=None; Partitioned", "kept"),
        (PLAIN_MODE, b"a=b; Domain=app.example", b"a=b; Domain=app.example", "no suffix, no mapping"),
        (PLAIN_MODE, b"__Host-casb_s=1", None, "our name in every mode"),
    ],
)  # fmt: skip
def test_set_cookie(context: RewriteContext, value: bytes, expected: bytes | None, why: str) -> None:
    assert set_cookie(value, context) == expected, why


@pytest.mark.parametrize(
    ("value", "expected", "why"),
    [
        (b"a=1; b=2", b"a=1; b=2", "not ours"),
        (b"a=1; __Host-casb_s=x; b=2", b"a=1; b=2", "ours"),
        (b"__host-CASB_s=x;a=1", b"a=1", "ours in another case"),
        (b"__Host-casb_s=x", b"", "ours alone"),
        (b"casb_notice=7; a=1", b"a=1", "ours"),
        (b"a=__Host-casb_s", b"a=__Host-casb_s", "a value is not a name"),
        (b"a=1; __Host-casb_s", b"a=1", "nameless"),
        (b"=__Host-casb_s=x; a=1", b"a=1", "nameless"),
    ],
)
def test_cookie(value: bytes, expected: bytes, why: str) -> None:
    assert cookie(value) == expected, why


@pytest.mark.parametrize(
    ("value", "expected", "why"),
    [
        (
            b"a=b; SameSite=None; Secure; Max-Age=9",
            b"__Host-casb_k.a=n; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=9",
            "none, as long as it lives",
        ),
        (b"a=b; samesite=STRICT", b"__Host-casb_k.a=s; Path=/; Secure; HttpOnly; SameSite=None", "strict"),
        (
            b"a=b; SameSite=Strict; Domain=app.example",
            b"casb_k.a=s; Path=/; Secure; HttpOnly; Domain=app.example.casb.test",
            "strict, for its other hosts too",
        ),
        (
            b"a=b; SameSite=None; Domain=app.example",
            b"__Host-casb_k.a=n; Path=/; Secure; HttpOnly; SameSite=None",
            "none: where it was set",
        ),
        (b"a=b; SameSite=Lax", None, "as without"),
        (b"a=b", None, "as without"),
        (b"old=b", b"__Host-casb_k.old=; Path=/; Secure; Max-Age=0", "no longer none"),
        (b"=b; SameSite=None", None, "without a name"),
    ],
)
def test_mark(value: bytes, expected: bytes | None, why: str) -> None:
    context = dataclasses.replace(WWW, cookies=b"old=a; __Host-casb_k.old=n")
    mapped = set_cookie(value, context)
    assert mapped is not None
    assert mark(value, mapped, context) == expected, why


JAR = b"lax=1; none=2; __Host-casb_k.none=n; strict=3; __Host-casb_k.strict=s; wide=4; casb_k.wide=s; __Host-casb_s=5"


@pytest.mark.parametrize(
    ("context", "expected", "why"),
    [
        (WWW, b"lax=1; none=2; strict=3; wide=4", "the same site, or the browser has looked itself"),
        (CROSS, b"none=2", "loaded by another application's page"),
        (VISIT, b"lax=1; none=2", "visited from another application's page"),
        (dataclasses.replace(VISIT, method="POST"), b"none=2", "a form sent by another application's page"),
        (dataclasses.replace(VISIT, destination="iframe"), b"none=2", "framed by another application's page"),
    ],
)
def test_a_request_that_crosses(context: RewriteContext, expected: bytes, why: str) -> None:
    assert cookie(JAR, context) == expected, why


def test_an_untouched_value_is_the_same_object() -> None:
    value = b"a=1; b=2"
    assert cookie(value) is value
    assert set_cookie(value, WWW) is value


def test_is_ours() -> None:
    assert is_ours(b"__Host-casb_anything") and is_ours(b"", b"casb_notice=1")
    assert not is_ours(b"__Host-other", b"__Host-casb_s")
