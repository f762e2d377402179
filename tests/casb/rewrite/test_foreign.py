"""Open elements inside SVG and MathML: where HTML begins again, and where the drawing ends."""

from __future__ import annotations

import pytest

from casb.rewrite.foreign import Foreign


@pytest.mark.parametrize(
    ("tags", "open_", "cdata", "why"),
    [
        ("svg", True, True, "inside"),
        ("svg/", False, False, "closed at once"),
        ("svg g /svg", False, False, "closed with what is open in it"),
        ("svg foreignobject", True, True, "a point, itself foreign"),
        ("svg foreignobject div", True, False, "HTML inside"),
        ("svg foreignobject div /foreignobject", True, False, "a special element stands between"),
        ("svg foreignobject div /div /foreignobject", True, True, "back in the drawing"),
        ("svg foreignobject br /foreignobject /svg", False, False, "void elements are never open"),
        ("svg p", False, False, "a paragraph ends it"),
        ("svg title p", True, False, "not behind a point"),
        ("svg /p", False, False, "an end that only HTML knows"),
        ("math mi b", True, False, "text of formulas holds HTML"),
        ("math mi mglyph", True, True, "but for this"),
        ("math annotation-xml svg", True, True, "a drawing in a formula"),
        ("svg /div", False, False, "the end of something around it"),
        ("svg /x", True, True, "the end of nothing"),
    ],
)
def test_where_we_are(tags: str, open_: bool, cdata: bool, why: str) -> None:
    foreign = Foreign()
    for tag in tags.split():
        name = tag.strip("/").encode()
        if tag.startswith("/"):
            foreign.end(name)
        else:
            foreign.start(name, {}, tag.endswith("/"))
    assert (bool(foreign), foreign.cdata) == (open_, cdata), why


def test_what_is_html() -> None:
    foreign = Foreign()
    assert not foreign.start(b"svg", {}, False)
    assert not foreign.start(b"style", {}, False), "a style of the drawing"
    assert foreign.text_of == b"style"
    foreign.end(b"style")
    assert not foreign.start(b"font", {}, False) and foreign
    assert foreign.start(b"font", {b"color": b"red"}, False) and not foreign, "an old font ends it"


def test_an_annotation_may_hold_html() -> None:
    foreign = Foreign()
    foreign.start(b"math", {}, False)
    foreign.start(b"annotation-xml", {b"encoding": b"Text/HTML"}, False)
    assert foreign.start(b"style", {}, False)
    foreign.end(b"style")
    foreign.end(b"annotation-xml")
    foreign.end(b"math")
    assert not foreign


def test_depth_is_bounded() -> None:
    foreign = Foreign()
    for _ in range(100_000):
        foreign.start(b"svg", {}, False)
    assert len(foreign._stack) <= 512
