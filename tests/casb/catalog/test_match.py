import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.match import Catalog
from casb.model.app import App


def app(name: str, *domains: str) -> App:
    return App(id=name, name=name, domains=domains)


CATALOG = Catalog(
    [
        app("files", "files.contoso.example", "*.files.contoso.example"),
        app("wide", "*.contoso.example"),
        app("deep", "*.eu.files.contoso.example"),
        app("idn", "bücher.example"),
        app("address", "192.0.2.7", "[2001:db8::7]"),
    ]
)


@pytest.mark.parametrize(
    ("host", "owner", "why"),
    [
        ("files.contoso.example", "files", "exact beats the wildcard above it"),
        ("FILES.Contoso.Example.", "files", "case and trailing dot"),
        ("a.files.contoso.example", "files", "the longer wildcard beats the shorter"),
        ("a.b.files.contoso.example", "files", "a wildcard covers every depth"),
        ("eu.files.contoso.example", "files", "a wildcard does not cover its own name, the next one does"),
        ("x.eu.files.contoso.example", "deep", "the longest wildcard"),
        ("mail.contoso.example", "wide", "wildcard"),
        ("contoso.example", None, "a wildcard does not cover its own name"),
        ("badcontoso.example", None, "labels, not letters"),
        ("files.contoso.example.evil.test", None, "suffixes, not prefixes"),
        ("xn--bcher-kva.example", "idn", "A-label"),
        ("BÜCHER.example", "idn", "U-label"),
        ("192.0.2.7", "address", "IPv4"),
        ("[2001:0db8::7]", "address", "IPv6 in brackets and long"),
        ("2001:db8::7", "address", "IPv6"),
        ("9.192.0.2.7", None, "an address has no hosts below it"),
        ("", None, "nothing"),
        ("..", None, "no name"),
        ("files.contoso.example:443", None, "ports are not its business"),
    ],
)
def test_match(host: str, owner: str | None, why: str) -> None:
    found = CATALOG.match(host)
    assert (found and found.id) == owner, why


def test_by_id() -> None:
    assert CATALOG.by_id["deep"].domains == ("*.eu.files.contoso.example",)
    assert len(CATALOG) == 5
    with pytest.raises(TypeError):
        CATALOG.by_id["x"] = app("x")  # type: ignore[index]


@pytest.mark.parametrize(
    ("apps", "word"),
    [
        ([app("a", "x.example"), app("a", "y.example")], "id 'a'"),
        ([app("a", "x.example"), app("b", "X.example.")], "belongs to 'a' and to 'b'"),
        ([app("a", "*.x.example"), app("b", "*.x.example")], "belongs to"),
        ([app("a", "*.com")], "top-level"),
    ],
)
def test_refusals(apps: list[App], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Catalog(apps)


def test_the_same_domain_twice_in_one_app_is_harmless() -> None:
    assert Catalog([app("a", "x.example", "X.example")]).match("x.example") is not None


labels = st.from_regex(r"[a-b]{1,2}", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(lambda some: ".".join([*some, "x", "example"]))


@settings(max_examples=150, deadline=None)
@given(st.sets(hosts, max_size=4), st.sets(hosts, max_size=4), hosts)
def test_agrees_with_the_plain_definition(exact: set[str], below: set[str], host: str) -> None:
    patterns = [*exact, *(f"*.{each}" for each in below)]
    catalog = Catalog(app(pattern, pattern) for pattern in patterns)
    covering = [each for each in below if host.endswith(f".{each}")]
    expected = host if host in exact else f"*.{max(covering, key=len)}" if covering else None
    found = catalog.match(host)
    assert (found and found.id) == expected
