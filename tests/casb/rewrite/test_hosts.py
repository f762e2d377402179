"""Host names in both forms: tables of spelling, form and reason."""

# a table reads best with one row per case
from __future__ import annotations

import dataclasses

import pytest

from casb.rewrite.hosts import Finder, HostMap, canonical

HOSTS = HostMap(
    "casb.test",
    8443,
    "app.example *.wild.example app.example:8444 xn--bcher-kva.example 192.0.2.7 plain.example "
    "[2001:db8::5] [2001:db8::5]:8444 xn--fa-hia.example xn--i-7iq.example".split(),
    plain=["plain.example"],
)
ON_443 = HostMap("Casb.Test.", 443, HOSTS.names)
NOTHING = HostMap("", 443, ["app.example"])


@pytest.mark.parametrize(
    ("authority", "expected", "why"),
    [
        ("app.example", "app.example.casb.test:8443", "listed"),
        ("APP.Example", "app.example.casb.test:8443", "case means nothing"),
        ("app.example.", "app.example.casb.test:8443", "a final dot names the same host"),
        ("app.example:443", "app.example.casb.test:8443", "the default port"),
        ("app.example:8444", "app.example--p8444.casb.test:8443", "a listed port of its own"),
        ("app.example:08444", "app.example--p8444.casb.test:8443", "leading zeros mean nothing"),
        ("app.example:8445", None, "a port that is not listed"),
        ("app.example:99999", None, "no port at all"),
        ("app%2eexample", "app.example.casb.test:8443", "browsers undo percent-encoding in hosts"),
        ("bücher.example", "xn--bcher-kva.example.casb.test:8443", "U-labels"),
        ("app。example", "app.example.casb.test:8443", "an ideographic full stop is a dot"),
        ("192.0.2.7", "192.0.2.7.casb.test:8443", "an address is a name like any other"),
        ("a.b.wild.example", "a.b.wild.example.casb.test:8443", "any depth below a wildcard"),
        ("wild.example", None, "a wildcard does not cover its parent"),
        ("notwild.example", None, "a wildcard begins at a dot"),
        ("notapp.example", None, "a longer name"),
        ("app.example.evil", None, "a longer name"),
        ("sub.app.example", None, "not listed"),
        ("app.example.casb.test", None, "never twice"),
        ("login.casb.test", None, "ours"),
        ("[2001:db8::1]", None, "not listed"),
        ("[2001:DB8:0::5]", "2001-db8-0-0-0-0-0-5--v6.casb.test:8443", "IPv6, however it is written"),
        ("[2001:db8::5]:8444", "2001-db8-0-0-0-0-0-5--v6--p8444.casb.test:8443", "IPv6 with a port of its own"),
        ("3221225991", "192.0.2.7.casb.test:8443", "IPv4 as browsers read it"),
        ("0300.0.0x2.7", "192.0.2.7.casb.test:8443", "IPv4 as browsers read it"),
        ("192.0.2.7.1", None, "five numbers are no address"),
        ("fa\u00df.example", "xn--fa-hia.example.casb.test:8443", "UTS 46 as browsers apply it, not IDNA 2003"),
        ("i\u2764.example", "xn--i-7iq.example.casb.test:8443", "an emoji, which IDNA 2008 forbids and browsers take"),
        ("a b.example", None, "no name"),
        ("", None, "no name"),
        ("a" * 63 + ".b" * 100 + ".wild.example", None, "too long with the suffix"),
    ],
)
def test_to_suffix(authority: str, expected: str | None, why: str) -> None:
    assert HOSTS.to_suffix(authority) == expected, why


@pytest.mark.parametrize(
    ("authority", "expected", "why"),
    [
        ("app.example.casb.test:8443", "app.example", "as the browser sends it"),
        ("App.Example.Casb.Test.:8443", "app.example", "case and final dot"),
        ("app.example.casb.test", "app.example", "the port may be left out"),
        ("app.example--p8444.casb.test:8443", "app.example:8444", "a listed port of its own"),
        ("app.example--p8445.casb.test:8443", None, "a port that is not listed opens nothing"),
        ("app.example--p443.casb.test", None, "not what we would have written"),
        ("app.example--p08444.casb.test", None, "not what we would have written"),
        ("app.example.casb.test:443", None, "not our port"),
        ("app.example", None, "no suffix"),
        ("casb.test", None, "the suffix itself"),
        ("login.casb.test", None, "no app"),
        ("app.examplecasb.test", None, "the suffix begins at a dot"),
        ("app.example.casb.test.evil", None, "a longer name"),
    ],
)
def test_to_origin(authority: str, expected: str | None, why: str) -> None:
    assert HOSTS.to_origin(authority) == expected, why


@pytest.mark.parametrize(
    ("url", "expected", "why"),
    [
        ("https://app.example/x?y#z", "https://app.example.casb.test:8443/x?y#z", "the rest stays"),
        ("http://app.example", "https://app.example.casb.test:8443", "there is only https under the suffix"),
        ("http://app.example:80/", "https://app.example.casb.test:8443/", "the scheme's default port"),
        ("wss://app.example:8444/s", "wss://app.example--p8444.casb.test:8443/s", "sockets too"),
        ("ws://app.example/s", "wss://app.example.casb.test:8443/s", "sockets too"),
        ("//app.example/x", "//app.example.casb.test:8443/x", "scheme-relative"),
        (r"\\app.example\x", r"//app.example.casb.test:8443\x", "a backslash is a slash to browsers"),
        ("https:///app.example/", "https://app.example.casb.test:8443/", "extra slashes are skipped by browsers"),
        (" \thttps://app.ex\nample/", "https://app.example.casb.test:8443/", "browsers drop tabs and newlines"),
        ("https://me:pw@app.example/", "https://me:pw@app.example.casb.test:8443/", "user information stays"),
        ("https://app.example@evil.test/", None, "the host is evil.test"),
        ("https://evil.test/https://app.example/", None, "only the authority counts"),
        ("https://evil.test?https://app.example/", None, "only the authority counts"),
        ("https://app.example:8445/", None, "a port that is not listed"),
        ("ftp://app.example/", None, "no scheme of the web"),
        ("/app.example", None, "a path"),
        ("app.example", None, "no URL"),
        ("javascript://app.example/", None, "a script"),
        ("https://app.example.casb.test:8443/", None, "never twice"),
    ],
)
def test_url_to_suffix(url: str, expected: str | None, why: str) -> None:
    assert HOSTS.url_to_suffix(url) == (url if expected is None else expected), why


@pytest.mark.parametrize(
    ("url", "expected", "why"),
    [
        ("https://app.example.casb.test:8443/x", "https://app.example/x", "our port goes"),
        ("https://app.example.casb.test/x", "https://app.example/x", "built from location.hostname"),
        ("//app.example--p8444.casb.test:8443/x", "//app.example:8444/x", "its own port comes back"),
        ("https://plain.example.casb.test:8443/", "http://plain.example/", "an app that believes itself on http"),
        ("wss://plain.example.casb.test:8443/", "ws://plain.example/", "an app that believes itself on http"),
        ("https://app.example.casb.test:9/x", None, "another server"),
        ("https://login.casb.test:8443/", None, "ours, not an app's"),
        ("https://other.test/", None, "not ours"),
    ],
)
def test_url_to_origin(url: str, expected: str | None, why: str) -> None:
    assert HOSTS.url_to_origin(url) == (url if expected is None else expected), why


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (b"http://app.example:80", b"https://app.example.casb.test:8443"),
        (b"//App.Example:8444", b"//app.example--p8444.casb.test:8443"),
        (b"https://app.example:8445", None),
        (b"https://other.test", None),
        (b"\xff", None),
    ],
)
def test_origin_to_suffix(origin: bytes, expected: bytes | None) -> None:
    assert HOSTS.origin_to_suffix(origin) == expected
    assert HOSTS.origin_to_suffix(origin) == expected, "from memory"


def test_the_port_is_written_only_when_it_is_not_443() -> None:
    assert ON_443.suffix == "casb.test"
    assert ON_443.to_suffix("app.example") == "app.example.casb.test"
    assert ON_443.to_origin("app.example.casb.test:443") == "app.example"
    assert ON_443.url_to_suffix("https://app.example:8444/") == "https://app.example--p8444.casb.test/"


def test_without_a_suffix_nothing_is_mapped() -> None:
    assert not NOTHING.maps_anything
    assert NOTHING.to_suffix("app.example") is None
    assert NOTHING.to_origin("app.example") is None
    assert NOTHING.url_to_suffix("https://app.example/") == "https://app.example/"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "*.",
        "*",
        "x.casb.test",
        "casb.test",
        "*.casb.test",
        "app--p80",
        "app:0",
        "app:x",
        "a" * 64,
        "[::1",
        "1.2.3.4.5",
        "x--v6",
        "x--x",
    ],
)
def test_a_name_that_cannot_be_mapped_both_ways_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"host name|suffix|spelling of ours"):
        HostMap("casb.test", 443, [name])


@pytest.mark.parametrize(("suffix", "port"), [("a b", 443), ("casb.test", 0), ("casb.test", 70000)])
def test_a_bad_suffix_is_refused(suffix: str, port: int) -> None:
    with pytest.raises(ValueError, match="not a suffix and port"):
        HostMap(suffix, port, [])


def test_a_map_is_a_value() -> None:
    assert HostMap("s.test", 443, ["b.example", "a.example"]) == HostMap(
        "s.test", 443, iter(["a.example", "b.example"])
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        HOSTS.port = 1  # type: ignore[misc]


def test_what_a_wildcard_source_may_mean() -> None:
    assert HOSTS.wild("wild.example") and HOSTS.wild("deep.wild.example")
    assert not HOSTS.wild("example") and HOSTS.any_below("example") and not HOSTS.any_below("test")
    assert HOSTS.exact >= {"app.example", "app.example:8444"} and HOSTS.parents == {"wild.example"}


def test_the_finder_needs_only_the_shortest_tails() -> None:
    found = HostMap("s.test", 443, ["example.com", "a.example.com", "bücher.example"]).finder
    assert found.starts(b"-- A.EXAMPLE.COM b\xc3\xbccher.example xn--bcher-kva.example") == [5, 17, 33]
    assert Finder([]).starts(b"anything") == []


def test_the_parent_of_many_names_is_found_instead() -> None:
    hosts = HostMap("s.test", 443, [f"part{number}.static.example" for number in range(8)])
    assert hosts.finder.starts(b"https://part1.static.example https://static.example") == [14, 37]
    assert hosts.to_suffix("part1.static.example") == "part1.static.example.s.test"
    assert hosts.to_suffix("part8.static.example") is None and hosts.to_suffix("static.example") is None
    few = HostMap("s.test", 443, ["a.static.example", "b.static.example", *(f"name{at}.example" for at in range(9))])
    assert few.finder.starts(b"c.static.example c.example") == [], "nor a parent without a dot"


@pytest.mark.parametrize(
    ("host", "expected"), [("A.b.", "a.b"), ("a..b", None), ("-a", None), ("\uff41.example", "a.example")]
)
def test_canonical(host: str, expected: str | None) -> None:
    assert canonical(host) == expected


FLAT = HostMap(
    "casb.test",
    8443,
    ["app.example", "my-app.example:8444", "*.wild.example", "[2001:db8::5]", "xn--bcher-kva.example"],
    flat=True,
)
DEEP = "a" * 40 + ".bbbbbbbb.wild.example"


@pytest.mark.parametrize(
    ("authority", "expected", "why"),
    [
        ("App.Example.", "app-example--x.casb.test:8443", "one label"),
        ("my-app.example:8444", "my--app-example--x8444.casb.test:8443", "with its port"),
        ("my-app.example", None, "not listed on the default port"),
        ("x.wild.example", "x-wild-example--x.casb.test:8443", "below a wildcard"),
        (DEEP, f"{DEEP}.casb.test:8443", "too long for one label: dots, and still in the session"),
        ("b\u00fccher.example", "xxn----bcher--kva-example--xx.casb.test:8443", "never like Punycode"),
        ("[2001:db8::5]", "2001-db8-0-0-0-0-0-5--v6.casb.test:8443", "IPv6"),
        ("notapp.example", None, "a longer name"),
        ("app-example--x.casb.test", None, "never twice"),
    ],
)
def test_flattened(authority: str, expected: str | None, why: str) -> None:
    assert FLAT.to_suffix(authority) == expected, why


@pytest.mark.parametrize(
    ("host", "expected", "why"),
    [
        ("app-example--x.casb.test", "app.example", "as we write it"),
        ("app.example.casb.test", None, "the other form: two addresses for one host would be two origins"),
        ("my--app-example--x8444.casb.test", "my-app.example:8444", "with its port"),
        ("my--app-example--x8445.casb.test", None, "a port that is not listed"),
        ("x.app-example--x.casb.test", None, "below a name of ours"),
        ("notapp-example--x.casb.test", None, "a longer name"),
        (f"{DEEP}.casb.test", DEEP, "what had to keep its dots"),
        ("login.casb.test", None, "ours"),
    ],
)
def test_flattened_back(host: str, expected: str | None, why: str) -> None:
    assert FLAT.origin_host(host) == expected, why


def test_below_and_ports() -> None:
    hosts = HostMap(
        "casb.test", 443, ["a.x.example", "b.x.example:8444", "*.c.x.example", "x.example", "*.x.example:9"]
    )
    assert hosts.below("x.example") == ["*.c.x.example", "a.x.example"]
    assert hosts.below("x.example", "8444") == ["b.x.example"]
    assert hosts.below("x.example", "9") == ["*.x.example"]
    assert hosts.all_ports == ["8444", "9"]


def test_an_address_in_a_url() -> None:
    hosts = HostMap("casb.test", 443, ["[2001:db8::5]"])
    mapped = "https://2001-db8-0-0-0-0-0-5--v6.casb.test/x"
    assert hosts.url_to_suffix("https://[2001:DB8::0:5]:443/x") == mapped
    assert hosts.url_to_origin(mapped) == "https://[2001:db8::5]/x"
