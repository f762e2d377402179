"""Host names in running text: what is changed, what is left, and that little is held back."""

from __future__ import annotations

import pytest

from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import names_to_origin, names_to_suffix, once, urls_to_suffix

HOSTS = HostMap(
    "casb.test", 8443, ["app.example", "*.wild.example", "app.example:8444", "plain.example"], ["plain.example"]
)
TO = b"app.example.casb.test:8443"


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        (b'f("https://app.example/x")', b'f("https://' + TO + b'/x")', "an absolute URL"),
        (b"'//app.example/x'", b"'//" + TO + b"/x'", "a scheme-relative URL"),
        (b"`https://app.example`", b"`https://" + TO + b"`", "a template string"),
        (rb'"https:\/\/app.example\/x"', rb'"https:\/\/' + TO + rb'\/x"', "JSON with escaped slashes"),
        (
            rb'"http:\u002f\u002Fapp.example"',
            rb'"https:\u002f\u002F' + TO + b'"',
            "escaped slashes, http becomes https",
        ),
        (rb'"https\u003a//app.example"', rb'"https\u003a//app.example.casb.test\u003a8443"', "an escaped colon"),
        (rb'"{\"u\":\"https:\\/\\/app.example\\/\"}"', rb'"{\"u\":\"https:\\/\\/' + TO + rb'\\/\"}"', "JSON in JSON"),
        (b'"app.example"', b'"' + TO + b'"', "a host that is a whole string"),
        (rb"\"app.example\"", rb"\"" + TO + rb"\"", "a host that is a whole escaped string"),
        (b"'app.example:443'", b"'" + TO + b"'", "a host and its port"),
        (b"'app.example:8444'", b"'app.example--p8444.casb.test:8443'", "a host and its own port"),
        (b"'app.example:8445'", None, "a port that is not listed"),
        (b"wss://x.wild.example/s", b"wss://x.wild.example.casb.test:8443/s", "below a wildcard"),
        (b"HTTPS://APP.EXAMPLE/", b"HTTPS://" + TO + b"/", "any case"),
        (b"see https://app.example. Bye", b"see https://" + TO + b". Bye", "the end of a sentence"),
        (b"https://app.example./x", b"https://" + TO + b"/x", "a final dot of the name"),
        (b"app.example", None, "prose"),
        (b"mail me@app.example", None, "an address"),
        (b"'app.example\"", None, "not one string"),
        (b"https://notapp.example/", None, "a longer name"),
        (b"https://app.example.evil/", None, "a longer name"),
        (b"https://app.example-x.evil/", None, "a longer name"),
        ("https://app.exampleé/".encode(), None, "a longer name"),
        (b"https://app.example@evil/", None, "user information"),
        (b"https://app.example:pw@evil/", None, "user information"),
        (b"xhttps://app.example/", None, "another scheme"),
        (b"ftp://app.example/", None, "another scheme"),
        (b"https://evil.test//app.example/", None, "a path"),
        (b"https://app.example:${port}/", None, "a port only the script knows"),
        (b"?u=https%3A%2F%2Fapp.example%2F", None, "data for somebody else"),
        (b"https://" + TO + b"/", None, "never twice"),
    ],
)
def test_names_to_suffix(text: bytes, expected: bytes | None, why: str) -> None:
    assert once(names_to_suffix(HOSTS), text) == (text if expected is None else expected), why


def test_urls_leave_quoted_names_alone() -> None:
    assert once(urls_to_suffix(HOSTS), b"'app.example' url(//app.example/)") == b"'app.example' url(//" + TO + b"/)"


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        (b"u=https%3A%2F%2Fapp.example.casb.test%3A8443%2Fx", b"u=https%3A%2F%2Fapp.example%2Fx", "urlencoded"),
        (
            b"u=https%253A%252F%252Fapp.example.casb.test%253A8443%252F",
            b"u=https%253A%252F%252Fapp.example%252F",
            "twice",
        ),
        (b'"' + TO + b'"', b'"app.example"', "a bare name"),
        (rb'"https:\/\/' + TO + rb'\/"', rb'"https:\/\/app.example\/"', "JSON"),
        (rb'"a\n' + TO + b'"', rb'"a\napp.example"', "behind an escape that looks like a letter of the name"),
        (b"app.example.casb.test", b"app.example", "without the port: location.hostname"),
        (b"app.example--p8444.casb.test:8443", b"app.example:8444", "its own port comes back"),
        (
            b"u=https%3A%2F%2Fapp.example--p8444.casb.test%3A8443",
            b"u=https%3A%2F%2Fapp.example%3A8444",
            "encoded as there",
        ),
        (b"https://plain.example.casb.test:8443/", b"http://plain.example/", "an app that believes itself on http"),
        (b"u=https%3A%2F%2Fplain.example.casb.test%3A8443", b"u=http%3A%2F%2Fplain.example", "likewise, encoded"),
        (b"x@" + TO, b"x@app.example", "an address that a script has made"),
        (b"login.casb.test:8443", None, "ours, not an app's"),
        (b"app.example.casb.test:9", None, "another server"),
        (b"app.example.casb.test.evil", None, "a longer name"),
        (b"app.example.casb.testing", None, "a longer name"),
        (b"app.examplecasb.test", None, "another name"),
    ],
)
def test_names_to_origin(text: bytes, expected: bytes | None, why: str) -> None:
    assert once(names_to_origin(HOSTS), text) == (text if expected is None else expected), why


def test_untouched_text_is_the_same_object() -> None:
    text = b"nothing of ours here\n"
    assert once(names_to_suffix(HOSTS), text) is text
    assert names_to_suffix(HOSTS).feed(text) is text


def test_an_event_comes_out_with_its_last_newline() -> None:
    stream = names_to_suffix(HOSTS)
    assert stream.feed(b'data: {"u":"https://app.exa') == b'data: {"u":"'
    assert stream.feed(b'mple/"}\n\n') == b"https://" + TO + b'/"}\n\n'
    assert stream.finish() == b""


def test_little_is_held_back() -> None:
    stream = names_to_suffix(HOSTS)
    size = 0
    for _ in range(100):
        size += len(stream.feed(b"a/b" * 1000))
    assert size > 298_000
