"""Content-Security-Policy: sources mapped, the guard let in, nothing else."""

from __future__ import annotations

import pytest

from casb.rewrite import csp
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap

HOSTS = HostMap("casb.test", 8443, ["app.example", "*.wild.example", "one.many.example", "app.example:8444"])
PAGE = RewriteContext(hosts=HOSTS, host="app.example", guard_digest="sha256-abc")
GUARD = "https://app.example.casb.test:8443/.casb/guard.js"
REACH = "https://app.example.casb.test:8443/.casb/"


@pytest.mark.parametrize(
    ("source", "expected", "why"),
    [
        ("app.example", ["app.example.casb.test:8443"], "without a scheme"),
        ("http://app.example", ["https://app.example.casb.test:8443"], "http becomes https"),
        ("wss://app.example", ["wss://app.example.casb.test:8443"], "sockets"),
        ("https://app.example/js/", ["https://app.example.casb.test:8443/js/"], "the path stays"),
        ("app.example:443", ["app.example.casb.test:8443"], "the default port"),
        ("app.example:8444", ["app.example--p8444.casb.test:8443"], "a port of its own"),
        ("app.example:8445", ["app.example:8445"], "a port that is not listed"),
        ("app.example:*", ["app.example.casb.test:*"], "any port"),
        ("*.wild.example", ["*.wild.example.casb.test:8443"], "all of them are ours"),
        (
            "https://*.many.example",
            ["https://*.many.example", "https://*.many.example.casb.test:8443"],
            "some are ours",
        ),
        ("*.other.example", ["*.other.example"], "none is ours"),
        ("cdn.example", ["cdn.example"], "not ours"),
        ("'self'", ["'self'"], "keyword"),
        ("'nonce-app.example'", ["'nonce-app.example'"], "nonce"),
        ("https:", ["https:"], "scheme"),
        ("data:", ["data:"], "scheme"),
        ("*", ["*"], "anything"),
    ],
)
def test_map_source(source: str, expected: list[str], why: str) -> None:
    assert csp.map_source(HOSTS, source) == expected, why


@pytest.mark.parametrize(
    ("policy", "expected", "why"),
    [
        ("img-src app.example", "img-src app.example.casb.test:8443", "scripts are not restricted"),
        ("default-src 'self'", "default-src 'self'", "'self' covers the guard and what it fetches"),
        (
            "script-src cdn.example",
            f"script-src cdn.example; script-src-elem cdn.example {GUARD}",
            "only elements are opened",
        ),
        ("script-src 'none'", f"script-src 'none'; script-src-elem {GUARD}", "'none' stands alone"),
        ("script-src-elem cdn.example", f"script-src-elem cdn.example {GUARD}", "its own directive"),
        (
            "default-src 'none'",
            f"default-src 'none'; script-src-elem {GUARD}; connect-src {REACH}",
            "other kinds stay closed",
        ),
        (
            "script-src 'nonce-xyz' 'strict-dynamic'; connect-src api.test",
            f"script-src 'nonce-xyz' 'strict-dynamic'; connect-src api.test {REACH}",
            "our tag carries the nonce",
        ),
        (
            "script-src 'strict-dynamic' 'sha256-zzz'",
            "script-src 'strict-dynamic' 'sha256-zzz'; script-src-elem 'strict-dynamic' 'sha256-zzz' 'sha256-abc'",
            "hosts and 'self' mean nothing there: the guard's own hash",
        ),
        (
            "default-src 'self', script-src 'none'",
            f"default-src 'self', script-src 'none'; script-src-elem {GUARD}",
            "each policy of a list",
        ),
        ("report-uri https://app.example/r /r", "report-uri https://app.example.casb.test:8443/r /r", "reports"),
        ("sandbox allow-scripts; report-to app.example", "sandbox allow-scripts; report-to app.example", "no sources"),
        ("img-src a; IMG-SRC b", "img-src a", "the first of duplicates counts"),
        ("frame-ancestors app.example", "frame-ancestors app.example.casb.test:8443", "frames"),
    ],
)
def test_to_suffix(policy: str, expected: str, why: str) -> None:
    assert csp.to_suffix(policy, PAGE, nonce="xyz") == expected, why


def test_report_only_is_mapped_and_not_opened() -> None:
    assert csp.to_suffix("script-src app.example", PAGE, enforced=False) == "script-src app.example.casb.test:8443"


def test_another_policys_nonce_does_not_let_the_guard_in() -> None:
    mapped = csp.to_suffix("script-src 'nonce-one'", PAGE, nonce="two")
    assert mapped == f"script-src 'nonce-one'; script-src-elem 'nonce-one' {GUARD}"


def test_without_the_guard_nothing_is_opened() -> None:
    context = RewriteContext(hosts=HOSTS, host="app.example", inject_guard=False)
    assert csp.to_suffix("script-src 'none'", context) == "script-src 'none'"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], PagePolicy()),
        (["script-src 'nonce-AbC_-/+1=='"], PagePolicy(nonce="AbC_-/+1==")),
        (["script-src 'nonce-\"><script>'"], PagePolicy()),
        (["style-src 'nonce-abc'"], PagePolicy()),
        (["default-src 'self'", "script-src 'nonce-abc'"], PagePolicy(nonce="abc")),
        (["script-src 'strict-dynamic' 'sha256-x'"], PagePolicy(digest="sha256-abc", hashed=True)),
        (["style-src 'sha384-x'"], PagePolicy(hashed=True)),
    ],
)
def test_page_policy(headers: list[str], expected: PagePolicy) -> None:
    assert csp.page_policy(headers, PAGE) == expected
