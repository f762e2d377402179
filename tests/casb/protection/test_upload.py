"""The file in a posted form, whatever the chunking."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.protection.upload import FormFile

TYPE = "multipart/form-data; boundary=----xyz"


def form(content: bytes, *, name: str = "a.age", before: bytes = b"") -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/octet-stream'
    return before + b"------xyz\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n------xyz--\r\n"


FIELD = b'------xyz\r\nContent-Disposition: form-data; name="token"\r\n\r\nabc\r\n'


def read(body: bytes, cuts: list[int], content_type: str = TYPE) -> tuple[str | None, bytes]:
    reader = FormFile(content_type)
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    content = b"".join(reader.update(body[start:stop]) for start, stop in itertools.pairwise(places))
    reader.finish()
    return reader.name, content


@given(st.binary(max_size=300), st.lists(st.integers(0, 600), max_size=8), st.booleans())
def test_the_file_comes_out_as_it_is(content: bytes, cuts: list[int], field: bool) -> None:
    if b"\r\n------xyz" in content:
        return
    assert read(form(content, before=FIELD if field else b""), cuts) == ("a.age", content)


def test_byte_by_byte() -> None:
    body = form(b"content\r\n-----x")
    assert read(body, list(range(len(body)))) == ("a.age", b"content\r\n-----x")


def test_only_the_first_file_counts() -> None:
    first = form(b"one").removesuffix(b"------xyz--\r\n")
    assert read(form(b"two", name="b.age", before=first), []) == ("a.age", b"one")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(form(b"x"), "application/x-www-form-urlencoded", id="another kind of form"),
        pytest.param(form(b"x"), "multipart/form-data", id="no boundary"),
        pytest.param(form(b"x"), "multipart/form-data; boundary=" + "a" * 71, id="boundary too long"),
        pytest.param(form(b"x"), "", id="no type"),
        pytest.param(form(b"x"), "multipart/form-data; boundary=other", id="another boundary"),
        pytest.param(b"", TYPE, id="empty"),
        pytest.param(FIELD + b"------xyz--\r\n", TYPE, id="no file"),
        pytest.param(form(b"x" * 100)[:-30], TYPE, id="cut"),
        pytest.param(form(b"x").replace(b"Content-Type", b"X-" + b"y" * 20_000), TYPE, id="endless header name"),
        pytest.param(form(b"x").replace(b"octet", b"o" * 20_000), TYPE, id="endless header value"),
        pytest.param(form(b"x", before=FIELD.replace(b"abc", b"a" * 70_000)), TYPE, id="endless field"),
    ],
)
def test_what_is_no_form_with_a_file(body: bytes, content_type: str) -> None:
    with pytest.raises(ContentError, match="F010"):
        read(body, [], content_type)


@given(st.binary(max_size=200), st.text(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    for kind in (TYPE, content_type):
        try:
            read(b"------xyz\r\n" + body, [], kind)
        except ContentError as error:
            assert error.code == "F010"
