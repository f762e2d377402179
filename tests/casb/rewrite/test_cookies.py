"""Cookies: whose they are, and where the browser may send them."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import pytest

from casb.rewrite.context import RewriteContext
from casb.rewrite.cookies import cookie, is_ours, set_cookie
from casb.rewrite.hosts import HostMap

HOSTS = HostMap("casb.test", 8443, ["www.app.example", "www.app.co.uk", "www.app.example:8444"])
WWW = RewriteContext(hosts=HOSTS, host="www.app.example")
UK = RewriteContext(hosts=HOSTS, host="www.app.co.uk")
PORTED = RewriteContext(hosts=HOSTS, host="www.app.example:8444")
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
        (WWW, b"a=b; Domain=example", b"a=b", "a top-level domain: this host only"),
        (UK, b"a=b; Domain=co.uk", b"a=b", "a public suffix: this host only, or every app below would get it"),
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


def test_an_untouched_value_is_the_same_object() -> None:
    value = b"a=1; b=2"
    assert cookie(value) is value
    assert set_cookie(value, WWW) is value


def test_is_ours() -> None:
    assert is_ours(b"__Host-casb_anything") and is_ours(b"", b"casb_notice=1")
    assert not is_ours(b"__Host-other", b"__Host-casb_s")
