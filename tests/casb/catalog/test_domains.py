"""The one matcher: tables, an oracle by brute force, and anything at all as input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.domains import DomainIndex, Layer, bare_host, normal_path, parents, parse_pattern

CATALOG = Layer(
    [
        ("vendor.example", "vendor"),
        ("*.vendor.example", "vendor"),
        ("docs.vendor.example", "docs"),
        ("*.docs.vendor.example", "docs-customers"),
        ("vendor.example/maps", "maps"),
        ("vendor.example/maps/earth", "earth"),
        ("*.vendor.example/product", "product"),
        ("xn--bcher-kva.example", "books"),
        ("192.0.2.7", "literal"),
        ("shared.example", "catalog"),
        ("*.shared.example", "catalog"),
    ],
    [
        ("198.51.100.0/24", "wide"),
        ("198.51.100.128/25", "narrow"),
        ("2001:db8::/32", "six"),
        ("2001:db8:1::/48", "six-narrow"),
        ("203.0.113.0/24", "catalog"),
    ],
)
CUSTOM = Layer([("*.shared.example", "ours")], [("203.0.113.0/28", "ours"), ("198.51.100.0/24", "ours-wide")])
INDEX = DomainIndex(CUSTOM, CATALOG)


@pytest.mark.parametrize(
    ("host", "path", "address", "owner", "kind", "why"),
    [
        ("vendor.example", "", None, "vendor", "host", "exact"),
        ("VENDOR.example.", "", None, "vendor", "host", "case and trailing dot"),
        ("vendor.example:8443", "", None, "vendor", "host", "a port does not count"),
        ("www.vendor.example", "", None, "vendor", "wildcard", "wildcard"),
        ("a.b.c.vendor.example", "/", None, "vendor", "wildcard", "at any depth"),
        ("docs.vendor.example", "", None, "docs", "host", "exact beats wildcard"),
        ("x.docs.vendor.example", "", None, "docs-customers", "wildcard", "the longer wildcard"),
        ("notvendor.example", "", None, None, None, "labels, not letters"),
        ("vendor.example", "/maps", None, "maps", "path", "a path beats the host"),
        ("vendor.example", "/maps/", None, "maps", "path", "with a slash behind it"),
        ("vendor.example", "/maps/earth/x", None, "earth", "path", "the longer path"),
        ("vendor.example", "/mapsy", None, "vendor", "host", "whole segments"),
        ("vendor.example", "/maps?q=/earth", None, "maps", "path", "a query does not count"),
        ("vendor.example", "/%6Daps/./x/../earth", None, "earth", "path", "spelt otherwise, the same path"),
        ("vendor.example", "maps", None, "maps", "path", "a path without its slash"),
        ("docs.vendor.example", "/product/1", None, "product", "path", "any path beats any host"),
        ("vendor.example", "/product", None, "vendor", "host", "a wildcard with a path is not for its own name"),
        ("bücher.example", "", None, "books", "host", "U-label"),
        ("192.0.2.7", "", None, "literal", "host", "an address as a host"),
        ("198.51.100.200", "", None, "ours-wide", "address", "of networks the first layer's first"),
        ("unknown.example", "", "198.51.100.200", "ours-wide", "address", "address when no host is known"),
        ("unknown.example", "", "2001:db8:1::5", "six-narrow", "address", "the narrower network"),
        ("unknown.example", "", "2001:db8:2::5", "six", "address", "the wider one"),
        ("[2001:db8:1::5]:443", "", None, "six-narrow", "address", "brackets and port"),
        ("", "", "::ffff:203.0.113.20", "catalog", "address", "a mapped address is the v4 one"),
        ("", "", "203.0.113.3", "ours", "address", "custom first"),
        ("vendor.example", "", "203.0.113.3", "vendor", "host", "a host beats any address"),
        ("shared.example", "", None, "catalog", "host", "the custom wildcard is not for its own name"),
        ("a.shared.example", "", None, "ours", "wildcard", "custom first"),
        ("192.0.2.99", "", None, None, None, "nobody's address"),
        ("", "", "no address", None, None, "nonsense"),
        ("a..b", "/x", None, None, None, "no name"),
        ("vendor.example:99:1", "", None, None, None, "two ports are none"),
    ],
)
def test_match(host: str, path: str, address: str | None, owner: str | None, kind: str | None, why: str) -> None:
    found = INDEX.match(host, path, address)
    assert (found and found.owner, found and found.kind) == (owner, kind), why


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Example.COM.", "example.com"),
        ("*.Example.com", "*.example.com"),
        ("example.com/s/…", "example.com/s"),
        ("example.com/s/*", "example.com/s"),
        ("example.com/", "example.com"),
        ("*.example.com/A/b", "*.example.com/A/b"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_one_form(text: str, form: str) -> None:
    assert parse_pattern(text) == form
    assert parse_pattern(form) == form


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.com", "https://example.com", "a.*.example", "example.com/a b", "example.com/../x", "x.example/a//b",
     "example.com/?q", "x.example" + "/a" * 9, "*.192.0.2.1", "exa mple.com"],
)  # fmt: skip
def test_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_pattern(text)


@pytest.mark.parametrize("depth", range(1, 12))
def test_wildcards_hold_at_any_depth_of_the_host(depth: int) -> None:
    for base in ("example", "b.example", "c.b.example"):
        layer = Layer([(f"*.{base}", base), (f"*.{base}/p", f"{base}/p")])
        host = ".".join([*["x"] * depth, base])
        found, by_path = layer.host(host), layer.host(host, "/p")
        assert (found and found.owner, by_path and by_path.owner) == (base, f"{base}/p")
        assert layer.host(base) is None


def test_two_owners_are_refused() -> None:
    with pytest.raises(ValueError, match="two owners"):
        Layer([("a.example", 1), ("a.example", 2)])
    with pytest.raises(ValueError, match="two owners"):
        Layer([], [("192.0.2.0/24", 1), ("192.0.2.0/24", 2)])
    assert Layer([("a.example", 1), ("a.example", 1)]).host("a.example") is not None


def test_owns_and_covering() -> None:
    owned = CATALOG.owns("vendor.example/maps")
    assert owned is not None
    assert owned.owner == "maps"
    assert CATALOG.owns("maps.vendor.example") is None
    above = CATALOG.covering("*.docs.vendor.example")
    assert above is not None
    assert above.pattern == "*.vendor.example"
    assert CATALOG.covering("vendor.example") is None
    assert {match.pattern for match in CATALOG.patterns()} >= {"*.vendor.example/product", "vendor.example/maps/earth"}


def test_parents() -> None:
    assert list(parents("a.b.c")) == ["b.c", "c"]
    assert list(parents("192.0.2.1")) == []


@pytest.mark.parametrize(
    ("text", "host"),
    [("a.example:443", "a.example"), ("[::1]:80", "::1"), ("::1", "::1"), ("a.example:x", None), ("a:b:c", None)],
)
def test_bare_host(text: str, host: str | None) -> None:
    assert bare_host(text) == host


labels = st.sampled_from(["a", "b", "c"])
names = st.lists(labels, min_size=1, max_size=4).map(lambda some: ".".join([*some, "example"]))
segments = st.lists(st.sampled_from(["x", "y"]), max_size=3).map(lambda some: "".join(f"/{each}" for each in some))
patterns = st.tuples(st.booleans(), names, segments).map(lambda p: ("*." if p[0] else "") + p[1] + p[2])


def brute(every: set[str], host: str, path: str) -> str | None:
    """The definition: path > host > wildcard, then the longest host, then the longest path."""

    def rank(pattern: str) -> tuple[int, int, int, int] | None:
        name, slash, prefix = pattern.partition("/")
        wild = name.startswith("*.")
        bare = name.removeprefix("*.")
        if not (host.endswith(f".{bare}") if wild else host == bare):
            return None
        if slash and not f"{path}/".startswith(f"/{prefix}/"):
            return None
        return (1 if slash else 0, 0 if wild else 1, len(bare), len(prefix))

    ranked = [(found, pattern) for pattern in every if (found := rank(pattern)) is not None]
    return max(ranked)[1] if ranked else None


@settings(max_examples=200, deadline=None)
@given(st.sets(patterns, max_size=8), names, segments)
def test_agrees_with_the_definition(every: set[str], host: str, path: str) -> None:
    found = DomainIndex(Layer((each, each) for each in every)).match(host, path or "/")
    assert (found and found.owner) == brute(every, host, path or "/")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=40))
def test_anything_is_nobodys_or_somebodys(host: str, path: str, address: str) -> None:
    INDEX.match(host, path, address)
    assert normal_path(path).startswith("/")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_a_sentence(text: str) -> None:
    try:
        form = parse_pattern(text)
    except ValueError as error:
        assert str(error)
    else:
        assert parse_pattern(form) == form


def test_a_look_up_does_not_grow_with_the_catalog() -> None:
    """Counted, not timed: the number of hash look-ups for one host."""

    class Counting(str):
        hashed = 0

        def __hash__(self) -> int:
            Counting.hashed += 1
            return super().__hash__()

    def cost(size: int) -> int:
        layer = Layer([(f"*.n{number}.example", number) for number in range(size)])
        Counting.hashed = 0
        layer.host(Counting("a.b.c.nobody.test"))
        return Counting.hashed

    assert cost(10) == cost(10_000)
