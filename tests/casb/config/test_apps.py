import pytest

from casb.config.apps import RESERVED, parse_connect, read_app
from casb.config.notes import Notes, Outside
from casb.config.shape import AppShape
from casb.errors import CasbError
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
