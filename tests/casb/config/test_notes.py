from dataclasses import dataclass

import pytest

from casb.config.notes import Notes, Outside
from casb.errors import CasbError
from casb.yamlfile import read_located


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    x: str


def notes(outside: Outside | None = None) -> Notes:
    errors: list[CasbError] = []
    _, marks = read_located(Shape, b"# comment\nx: y\n", "casb.yaml", prefix="C")
    return Notes(marks=marks, folder="/etc/casb", outside=outside or Outside(), errors=errors)


@pytest.mark.parametrize(
    ("text", "path"),
    [("var", "/etc/casb/var"), ("../var", "/etc/var"), ("/var/lib", "/var/lib"), ("./a/../b", "/etc/casb/b")],
)
def test_path(text: str, path: str) -> None:
    assert notes().path(text) == path


def test_missing_file() -> None:
    page = notes(Outside(is_file=lambda path: False))
    assert page.file("ca.pem", ("x",)) == "/etc/casb/ca.pem"
    (error,) = page.errors
    assert str(error).startswith("casb.yaml:2:4: C115 there is no file /etc/casb/ca.pem")
    assert page.file(None, ("x",)) is None


def test_secret() -> None:
    asked = []

    def secret(reference: str) -> str:
        asked.append(reference)
        return "s3cret"

    page = notes(Outside(secret=secret))
    found = page.secret("env:NAME", ("x",))
    assert found is not None and found.reveal() == "s3cret" and "s3cret" not in f"{found} {found!r}"
    page.secret("file:token", ("x",))
    assert asked == ["env:NAME", "file:/etc/casb/token"]
    assert page.secret(None, ("x",)) is None
    assert page.errors == []


@pytest.mark.parametrize("text", ["hunter2", "env:", "vault:x", ""])
def test_a_secret_itself_is_refused_and_not_repeated(text: str) -> None:
    page = notes()
    assert page.secret(text, ("x",)) is None
    (error,) = page.errors
    assert error.code == "C103"
    assert "hunter2" not in str(error)


def test_a_secret_that_is_not_there() -> None:
    def secret(reference: str) -> str:
        raise ValueError("the environment variable NAME is not set")

    page = notes(Outside(secret=secret))
    assert page.secret("env:NAME", ("x",)) is None
    assert [error.code for error in page.errors] == ["C104"]


def test_numbers_fall_back_so_that_reading_goes_on() -> None:
    page = notes()
    assert page.seconds("soon", 7, ("x",)) == 7
    assert page.seconds("0s", 7, ("x",)) == 7
    assert page.seconds(None, 7, ("x",)) == 7
    assert page.byte_count("much", 7, ("x",)) == 7
    assert page.byte_count("0B", 7, ("x",)) == 7
    assert page.byte_count("1KB", 7, ("x",)) == 1024
    assert [error.code for error in page.errors] == ["C101", "C120", "C102", "C120"]
