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
        ("http://app.example:80", ["https://app.example.casb.test:8443"], "the default port"),
        ("app.example:80", ["app.example:80"], "https on port 80, which is another place"),
        ("http://app.example:443", ["http://app.example:443"], "http on port 443, which is another place"),
        ("app.example:8444", ["app.example--p8444.casb.test:8443"], "a port of its own"),
        ("app.example:8445", ["app.example:8445"], "a port that is not listed"),
        (
            "app.example:*",
            ["app.example:*", "app.example.casb.test:8443", "app.example--p8444.casb.test:8443"],
            "any port: those of ours, and the ports that are not",
        ),
        ("https://*:443", ["https://*:443", "https://*.casb.test:8443"], "any host: ours are on our port"),
        ("https://*", ["https://*", "https://*.casb.test:8443"], "any host on the default port: ours are on our port"),
        ("*:8443", [], "any host on just our port: every application would come in"),
        ("*:8444", ["*:8444", "app.example--p8444.casb.test:8443"], "any host on a port of its own"),
        ("*.test:8443", [], "a parent of the suffix: every application would come in"),
        ("*.casb.test:*", [], "the suffix itself: every application would come in"),
        ("*.test", ["*.test"], "a parent of the suffix, on another port than ours"),
        ("*.example:8444", ["*.example:8444", "app.example--p8444.casb.test:8443"], "a port of its own, by name"),
        ("https://[2001:db8::5]", ["https://[2001:db8::5]"], "an address that is not listed"),
        ("bücher.example", ["bücher.example"], "no source: browsers want A-labels"),
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


def test_report_only_reports_nothing_of_ours() -> None:
    mapped = csp.to_suffix("script-src app.example", PAGE, enforced=False)
    source = "app.example.casb.test:8443"
    assert mapped == f"script-src {source}; script-src-elem {source} {GUARD}"
    dynamic = "script-src 'strict-dynamic' 'nonce-x'"
    assert csp.to_suffix(dynamic, PAGE, nonce="y", enforced=False) == dynamic


@pytest.mark.parametrize(
    ("source", "expected", "why"),
    [
        ("app.example", ["app-example--x.casb.test"], "one label"),
        ("https://app.example:8444/a", ["https://app-example--x8444.casb.test/a"], "with its port"),
        (
            "*.many.example",
            ["*.many.example", "one-many-example--x.casb.test", "two-many-example--x.casb.test"],
            "the listed names: a wildcard over the suffix would admit every app",
        ),
        ("*.wild.example", [], "names that are not listed have no source of their own"),
    ],
)
def test_flattened(source: str, expected: list[str], why: str) -> None:
    names = ["app.example", "app.example:8444", "one.many.example", "two.many.example", "*.wild.example"]
    assert csp.map_source(HostMap("casb.test", 443, names, flat=True), source) == expected, why


def test_a_source_without_a_scheme_has_the_pages() -> None:
    assert csp.map_source(HOSTS, "app.example:80", plain=True) == ["app.example.casb.test:8443"]
    assert csp.map_source(HOSTS, "*:80") == ["*:80"]


def test_any_host_on_the_default_port_is_ours_too() -> None:
    hosts = HostMap("casb.test", 8443, ["app.example"])
    assert csp.map_source(hosts, "https://*:443") == ["https://*:443", "https://*.casb.test:8443"]
    assert csp.map_source(hosts, "*") == ["*"]


def test_only_the_white_space_and_the_letters_of_ascii_mean_anything() -> None:
    assert csp.parse("img-src\u00a0*; IMG-SRC a\tb") == [("img-src\u00a0*", []), ("img-src", ["a", "b"])]
    assert csp.parse("wor\u212aer-src *; worker-src a") == [("wor\u212aer-src", ["*"]), ("worker-src", ["a"])]


def test_the_guards_trusted_types() -> None:
    context = RewriteContext(hosts=HOSTS, host="app.example", trusted_policy="casb")
    assert csp.to_suffix("trusted-types 'none'", context) == "trusted-types casb"
    assert csp.to_suffix("trusted-types a 'allow-duplicates'", context) == "trusted-types a 'allow-duplicates' casb"
    assert csp.to_suffix("trusted-types *", context) == "trusted-types *"
    assert csp.to_suffix("trusted-types a", PAGE) == "trusted-types a", "nothing is opened that is not used"


def test_two_nonces_need_the_hash_for_the_other() -> None:
    one, two = "script-src 'nonce-one' 'strict-dynamic'", "script-src 'nonce-two' 'strict-dynamic'"
    assert csp.page_policy([one, two], PAGE) == PagePolicy(nonce="one", digest="sha256-abc")
    assert csp.to_suffix(two, PAGE, nonce="one").endswith("'sha256-abc'")


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
