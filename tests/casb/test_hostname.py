# a table reads best with one row per case
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.hostname import authority_pattern, domain_pattern, is_address, normal_host


@pytest.mark.parametrize(
    ("written", "normal", "why"),
    [
        ("Files.Contoso.Example", "files.contoso.example", "case"),
        ("files.contoso.example.", "files.contoso.example", "one trailing dot"),
        ("files.contoso.example..", None, "two trailing dots"),
        ("bücher.example", "xn--bcher-kva.example", "IDN"),
        ("BÜCHER.example", "xn--bcher-kva.example", "IDN in capitals"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", "an A-label already"),
        ("files。contoso.example", "files.contoso.example", "ideographic full stop is a dot in UTS 46"),
        ("localhost", "localhost", "a single label"),
        ("my_host.example", "my_host.example", "underscores are in use"),
        ("-a.example", None, "label starts with a hyphen"),
        ("a..example", None, "empty label"),
        ("", None, "nothing"),
        (".", None, "the root"),
        ("a b.example", None, "a blank"),
        ("a.example:443", None, "a port"),
        ("a.example\n", None, "a line feed"),
        ("a.example/", None, "a path"),
        ("a" * 64 + ".example", None, "label of 64"),
        (".".join(["a" * 60] * 5), None, "more than 253"),
        ("192.0.2.7", "192.0.2.7", "IPv4"),
        ("192.0.2.777", None, "no IPv4, but numeric at the end"),
        ("1.2.3", None, "numeric at the end"),
        ("0x7f.0x1", None, "numeric at the end, to browsers"),
        ("[2001:DB8::1]", "2001:db8::1", "IPv6 in brackets"),
        ("2001:db8:0:0::1", "2001:db8::1", "IPv6 without brackets, not compressed"),
        ("fe80::1%eth0", None, "a zone"),
        ("[192.0.2.7]", None, "IPv4 in brackets"),
        ("[a.example]", None, "a name in brackets"),
    ],
)
def test_normal_host(written: str, normal: str | None, why: str) -> None:
    assert normal_host(written) == normal, why


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("*.Contoso.example", "*.contoso.example"),
        ("Contoso.example.", "contoso.example"),
        ("*.contoso.co.uk", "*.contoso.co.uk"),
        ("*.co.example", "*.co.example"),
        ("[::1]", "::1"),
    ],
)
def test_domain_pattern(written: str, pattern: str) -> None:
    assert domain_pattern(written) == pattern


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("*.com", "top-level"),
        ("*.co.uk", "top-level"),
        ("*.", "not a host name"),
        ("*", "wildcard elsewhere"),
        ("*.*.example", "wildcard elsewhere"),
        ("a.*.example", "wildcard elsewhere"),
        ("*files.example", "wildcard elsewhere"),
        ("*.192.0.2.1", "IP address"),
        ("https://a.example", "an address"),
        ("a.example/x", "path"),
        ("a.example:8443", "not a host name"),
    ],
)
def test_domain_pattern_refuses(written: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        domain_pattern(written)


def test_is_address() -> None:
    assert is_address("192.0.2.1")
    assert is_address("::1")
    assert not is_address("a1.example2")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[a-zA-ZüÜß0-9.*:_\[\]-]{0,30}", fullmatch=True))
def test_the_form_is_a_fixed_point(text: str) -> None:
    once = normal_host(text)
    assert once is None or normal_host(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("App.Example", ("app.example", "")),
        ("app.example:8444", ("app.example", "8444")),
        ("app.example:0443", ("app.example", "")),
        ("app.example:80", ("app.example", "")),
        ("*.app.example:8444", ("*.app.example", "8444")),
        ("[2001:db8::1]:8444", ("2001:db8::1", "8444")),
        ("[2001:db8::1]", ("2001:db8::1", "")),
        ("2001:db8::1", ("2001:db8::1", "")),
        ("192.0.2.7:8444", ("192.0.2.7", "8444")),
    ],
)
def test_authority_pattern(text: str, expected: tuple[str, str]) -> None:
    assert authority_pattern(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "app.example:",
        "app.example:0",
        "app.example:65536",
        "app.example:x",
        ":8444",
        "*.com:8444",
        "https://a.example:8444",
    ],
)
def test_authority_pattern_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        authority_pattern(text)
