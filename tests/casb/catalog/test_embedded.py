import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.embedded import Embedded, files_in, files_in_text, may_hold_files

PNG = b"\x89PNG\r\n\x1a\n" + bytes(400)
TEXT = b"name,salary\n" * 40


def looks(content: bytes) -> bool:
    return content.startswith(b"\x89PNG")


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("document", "found", "why"),
    [
        ({"image": "data:image/png;base64," + b64(b"x")}, [("", "image/png", b"x")], "a data URL, however short"),
        ({"html": f'<p><img src="data:image/png;base64,{b64(PNG)}"></p>'}, [("", "image/png", PNG)], "pasted markup"),
        ({"u": "data:text/plain,a%20b"}, [("", "text/plain", b"a b")], "percent escapes"),
        ({"x": b64(PNG)}, [("", "", PNG)], "bytes that begin like a file"),
        ({"x": base64.urlsafe_b64encode(PNG).decode().rstrip("=")}, [("", "", PNG)], "the alphabet of URLs"),
        ({"x": b64(PNG)[:76] + "\r\n" + b64(PNG)[76:]}, [("", "", PNG)], "in lines"),
        ({"content": b64(TEXT)}, [("", "", TEXT)], "the field says it"),
        ({"name": "a.csv", "x": b64(TEXT)}, [("a.csv", "", TEXT)], "a name beside it says it"),
        ({"attachments": [{"@odata.type": "#x", "name": "q.csv", "contentType": "text/csv", "contentBytes": b64(TEXT)}]},
         [("q.csv", "text/csv", TEXT)], "Microsoft Graph"),
        ({"path": "docs/a.csv", "content": b64(TEXT), "message": "m"}, [("a.csv", "", TEXT)], "GitHub"),
        ({"cursor": b64(TEXT)}, [], "a cursor"),
        ({"token": "eyJhbGciOiJIUzI1NiJ9." + "a" * 400}, [], "a token"),
        ({"x": "a" * 300}, [], "nothing that looks like a file"),
        ({"content": "short"}, [], "too short to be one"),
        ([[{"x": [b64(PNG)]}]], [("", "", PNG)], "deep inside"),
    ],
)  # fmt: skip
def test_files_in(document: Any, found: list[tuple[str, str, bytes]], why: str) -> None:
    assert [(each.name, each.content_type, each.content) for each in files_in(document, looks)] == found, why
    if found:
        assert may_hold_files(json.dumps(document).encode()), why


def test_files_in_text() -> None:
    text = f"x <img src='data:image/png;base64,{b64(PNG)}'> and data:,hi there"
    assert [each.content for each in files_in_text(text, looks)] == [PNG, b"hi"]
    assert [each.content for each in files_in_text(b64(PNG), looks)] == [PNG]
    assert list(files_in_text("nothing", looks)) == []


def test_most_bodies_are_not_read() -> None:
    assert not may_hold_files(json.dumps({"id": "x" * 100, "list": list(range(1000))}).encode())


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_document_can_be_looked_through(document: Any) -> None:
    assert all(isinstance(each, Embedded) for each in files_in(document, lambda content: True))


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_any_text_can_be_looked_through(text: str) -> None:
    assert all(isinstance(each, Embedded) for each in files_in_text("data:" + text, lambda content: True))
