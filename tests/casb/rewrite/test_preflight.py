"""CORS preflights: what counts as one, what is asked, what is told."""

from __future__ import annotations

import pytest

from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import HostMap
from casb.rewrite.preflight import answer, is_preflight, question

HOSTS = HostMap("casb.test", 8443, ["app.example"])
CONTEXT = RewriteContext(hosts=HOSTS, host="app.example", client="192.0.2.7", forwarded="x-forwarded")
PAGE = b"https://app.example.casb.test:8443"
ASKED = {b"origin": PAGE, b"access-control-request-method": b"PUT"}


@pytest.mark.parametrize(
    ("method", "fields", "expected", "why"),
    [
        ("OPTIONS", ASKED, True, "a question for a page of ours"),
        ("OPTIONS", ASKED | {b"content-length": b"0"}, True, "nothing is sent along"),
        ("OPTIONS", ASKED | {b"content-length": b"5"}, False, "something is sent along"),
        ("OPTIONS", ASKED | {b"transfer-encoding": b"chunked"}, False, "something is sent along"),
        ("POST", ASKED, False, "not the method"),
        ("OPTIONS", {b"origin": PAGE}, False, "no question"),
        ("OPTIONS", ASKED | {b"origin": b"https://evil.test"}, False, "not for a page of ours"),
        ("OPTIONS", ASKED | {b"origin": b"null"}, False, "for nobody named"),
    ],
)
def test_is_preflight(method: str, fields: dict[bytes, bytes], expected: bool, why: str) -> None:
    assert is_preflight(method, fields, HOSTS) is expected, why


def test_question_and_answer() -> None:
    asked = [
        (b"Origin", PAGE),
        (b"Access-Control-Request-Headers", b"x-a"),
        (b"Authorization", b"x"),
        (b"Cookie", b"a=b"),
    ]
    told = question(asked, CONTEXT)
    assert told[:2] == [(b"Origin", b"https://app.example"), (b"Access-Control-Request-Headers", b"x-a")]
    assert {name for name, _ in told[2:]} == {
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Proto",
        b"X-Real-IP",
    }
    given = [(b"Access-Control-Allow-Origin", b"https://app.example"), (b"Set-Cookie", b"a=b"), (b"Location", b"/x"),
             (b"Content-Length", b"9"), (b"Vary", b"Origin")]  # fmt: skip
    assert answer(given, CONTEXT) == [
        (b"Access-Control-Allow-Origin", PAGE),
        (b"Vary", b"Origin"),
        (b"Content-Length", b"0"),
    ]
