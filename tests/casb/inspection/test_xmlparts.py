"""Small XML parts: what they say, and that no document type, entity or depth does harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.xmlparts import content_types, part_name, relations, walk

LAUGHS = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(LAUGHS, "F104", id="entities"),
        pytest.param(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "F104", id="external"),
        pytest.param(b"<!DOCTYPE a><a/>", "F104", id="a document type alone"),
        pytest.param(b"<a>", "F101", id="no end"),
        pytest.param(b"", "F101", id="nothing"),
        pytest.param(b'<?xml version="1.0" encoding="nonsense"?><a/>', "F101", id="unknown encoding"),
        pytest.param(b'<?xml version="1.0" encoding="utf-7"?><a/>', "F101", id="an encoding that XML does not have"),
        pytest.param(b"<a>&b;</a>", "F101", id="undeclared entity"),
    ],
)
def test_refused(data: bytes, code: str) -> None:
    with pytest.raises(ContentError, match=code):
        walk(data)


def test_depth_does_no_harm() -> None:
    names: list[str] = []
    walk(b"<a>" * 100_000 + b"</a>" * 100_000, on_text=lambda name, _, __: names.append(name))
    assert len(names) == 100_000


def test_elements_and_text() -> None:
    seen: list[tuple[str, str]] = []
    walk(b'<x:a xmlns:x="u"><b c="d">e&amp;f</b></x:a>', on_text=lambda name, _, text: seen.append((name, text)))
    assert seen == [("b", "e&f"), ("a", "")]


def test_content_types() -> None:
    parts = b'<Default Extension="XML" ContentType="a/B"/><Override PartName="/Word/D.xml" ContentType="c/d"/>'
    assert content_types(b"<Types>" + parts + b"</Types>") == ({"word/d.xml": "c/d"}, {"xml": "a/b"})


def test_relations() -> None:
    data = (
        b'<Relationships><Relationship Type="http://x/officeDocument" Target="./word/D.xml"/>'
        b'<Relationship Type="http://x/image" TargetMode="External" Target="http://evil.example/"/></Relationships>'
    )
    assert relations(data) == [("officedocument", "word/d.xml")]


@pytest.mark.parametrize("target", ["/a/b.xml", "a/b.xml", "./a/b.xml", "A\\B.XML", " a/b.xml "])
def test_part_name(target: str) -> None:
    assert part_name(target) == "a/b.xml"


@given(st.binary(max_size=200) | st.text(alphabet="<>/ab=\"'&;! [", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (content_types, relations, walk):
        try:
            read(data)
        except ContentError as error:
            assert error.code in {"F101", "F104"}
