from typing import Any

import pytest

from casb.config.apps import RESERVED, parse_connect, read_app
from casb.config.notes import Notes, Outside
from casb.config.shape import AppShape
from casb.errors import CasbError
from casb.model.app import App
from casb.settings import Settings
from casb.yamlfile import read_located


@pytest.mark.parametrize(
    ("text", "connect"),
    [
        ("127.0.0.1:9443", "127.0.0.1:9443"),
        ("https://A.internal", "a.internal:443"),
        ("https://a.internal:8443/", "a.internal:8443"),
        ("http://a.internal/", "http://a.internal:80"),
        ("[2001:db8:0::1]:1", "[2001:db8::1]:1"),
    ],
)
def test_parse_connect(text: str, connect: str) -> None:
    assert parse_connect(text) == connect


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        "a:x",
        "a:70000",
        "ftp://a:1",
        "a:1/x",
        "a:1?x",
        "u@a:1",
        "http://",
        "http://a:1#x",
        "*.a:1",
        "::1:1",
    ],
)
def test_parse_connect_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_connect(text)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_names_of_our_own_hosts_are_taken(name: str) -> None:
    errors: list[CasbError] = []
    shape, marks = read_located(AppShape, f"id: a\nname: A\ndomains: [{name}]".encode(), "apps/a.yaml", prefix="C")
    notes = Notes(marks=marks, folder="/etc/casb", outside=Outside(), errors=errors)
    read_app(shape, (), Settings(suffix="casb.example"), notes)
    assert [str(each) for each in errors] == [
        f"apps/a.yaml:3:11: C123 '{name}': {name}.casb.example is a host of ours",
    ]


def test_nothing_is_compared_with_a_deployment_that_is_wrong_itself() -> None:
    errors: list[CasbError] = []
    text = b"id: a\nname: A\ndomains: [x.casb.example]\nprovider: anybody"
    shape, marks = read_located(AppShape, text, "apps/a.yaml", prefix="C")
    app = read_app(shape, (), None, Notes(marks=marks, folder="/", outside=Outside(), errors=errors))
    assert (errors, app.provider, app.on_failure) == ([], "anybody", "block")


def read(text: str, **settings: Any) -> tuple[App, list[str]]:
    errors: list[CasbError] = []
    shape, marks = read_located(AppShape, f"id: a\nname: A\n{text}".encode(), "apps/a.yaml", prefix="C")
    notes = Notes(marks=marks, folder="/etc/casb", outside=Outside(), errors=errors)
    return read_app(shape, (), Settings(suffix="casb.example", **settings), notes), [str(each) for each in errors]


def test_ports_and_addresses_of_an_app() -> None:
    app, errors = read("domains: [a.example, 'a.example:8444', '*.b.example:9000', '[2001:db8::1]:1']")
    assert not errors
    assert app.domains == ("a.example", "*.b.example", "2001:db8::1")
    assert app.ports == ("a.example:8444", "*.b.example:9000", "[2001:db8::1]:1")
    assert app.bare == frozenset({"a.example"})
    assert read("domains: [a.example]")[0].bare is None


def test_where_the_names_of_an_app_are() -> None:
    app, errors = read(
        "domains: [a.example, 'a.example:8444']\n"
        "upstream: {hosts: {a.example: 'http://10.0.0.1:80', 'A.example:8444': '10.0.0.1:1'}, scheme: https, "
        "forwarded: forwarded}"
    )
    assert not errors
    assert app.upstream.hosts == {"a.example": "http://10.0.0.1:80", "a.example:8444": "10.0.0.1:1"}
    assert (app.upstream.scheme, app.upstream.forwarded) == ("https", "forwarded")
    assert read("domains: [a.example]\nupstream: {hosts: {'a b': 'x:1', a.example: x}}")[1][0].startswith("apps/a.yaml")


def test_a_name_that_fits_in_one_form_only() -> None:
    name = "a" * 40 + "." + "b" * 40 + ".example"
    assert read(f"domains: [{name}]", host_names="flat")[1] == [], "it keeps its dots"
    assert read(f"domains: [{'b' * 60}]")[1] == []
    assert "too long" in read(f"domains: ['{'b' * 60}:8444']")[1][0]
