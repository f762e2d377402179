"""YAML to values: every surprise is a located error, and nothing else ever comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from casb.errors import ConfigError, PolicyError, Problems, Where
from casb.yamlfile import Marks, describe, did_you_mean, read, read_located


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


def _no_spaces(text: str) -> str:
    if " " in text:
        raise ValueError("no spaces, please")
    return text


type Name = Annotated[str, AfterValidator(_no_spaces)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrap:
    type: Literal["wrap"]
    using: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    type: Literal["ask"]
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    name: Name
    count: int = 3
    ratio: float = 0.5
    on_sale: bool = False
    colour: Colour = Colour.RED
    colours: frozenset[Colour] = frozenset()
    words: str | tuple[str, ...] = ()
    action: Literal["look", "touch"] | Wrap | Ask = "look"
    table: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)
    share: Annotated[int, Field(ge=0, le=100)] = 100
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    version: Literal[1] = 1
    items: tuple[Item, ...] = ()
    free: Any = None


def problems(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(Problems) as caught:
        read(Shelf, data, "f.yaml")
    assert all(isinstance(error, PolicyError) for error in caught.value.errors)
    return [str(error) for error in caught.value.errors]


def test_a_document_becomes_values() -> None:
    text = b"""
version: 1
items:
  - name: lamp
    count: -2
    ratio: 2
    on_sale: true
    colour: green
    colours: [red, green]
    words: [a, 'no', "1"]
    action: {type: wrap, using: paper}
    table: {x: [yes please, false]}
    note: ~
free: {a: [1, 2.5, null, off-road, 10.0.0.1, 1.2.3, '::1', -]}
"""
    shelf = read(Shelf, text, "f.yaml")
    assert shelf == Shelf(
        items=(
            Item(
                name="lamp",
                count=-2,
                ratio=2.0,
                on_sale=True,
                colour=Colour.GREEN,
                colours=frozenset({Colour.RED, Colour.GREEN}),
                words=("a", "no", "1"),
                action=Wrap(type="wrap", using="paper"),
                table={"x": ("yes please", False)},
            ),
        ),
        free={"a": [1, 2.5, None, "off-road", "10.0.0.1", "1.2.3", "::1", "-"]},
    )
    assert shelf.items[0].ratio == 2.0


WRONG: list[tuple[str | bytes, list[str]]] = [
    ("", ["f.yaml: P018 the file is empty; write a document, or delete the file"]),
    ("# only a comment\n", ["f.yaml: P018 the file is empty; write a document, or delete the file"]),
    ("- 1", ["f.yaml:1:1: P016 the document must be a mapping, not a list"]),
    ("hello", ["f.yaml:1:1: P016 the document must be a mapping, not the text 'hello'"]),
    (b"free: \xff", ["f.yaml:1:7: P001 byte 0xff is not UTF-8; save the file as UTF-8"]),
    ("free: 1".encode("utf-16"), ["f.yaml:1:1: P001 the file is UTF-16, not UTF-8; save it as UTF-8"]),
    ("\ufefffree: 1", ["f.yaml:1:1: P002 the file starts with a byte order mark; save it as UTF-8 without BOM"]),
    ("free:\n  a\0", ["f.yaml:2:4: P003 control character U+0000; remove it"]),
    ('free: "\\0"', ["f.yaml:1:7: P003 control character U+0000; remove it"]),
    ("free: a\u202eb", ["f.yaml:1:8: P003 control character U+202E; remove it"]),
    (
        b"#" * 1_048_577,
        ["f.yaml: P004 the file has 1048577 bytes, at most 1048576 are read; split it into several files"],
    ),
    (
        "free: a: b",
        [
            "f.yaml:1:8: P005 this is not YAML: mapping values are not allowed in this context; "
            "quote a text that has ': ' in it, or mend the indentation"
        ],
    ),
    (
        "free:\n\t- 3",
        [
            "f.yaml:2:1: P005 this is not YAML: found character that cannot start any token; "
            "indent with spaces, not with tabs"
        ],
    ),
    (
        "free: {a\n",
        [
            "f.yaml:2:1: P005 this is not YAML: did not find expected ',' or '}'; "
            "while parsing a flow mapping that starts in line 1"
        ],
    ),
    ("free: @x", ["f.yaml:1:7: P005 this is not YAML: found character that cannot start any token; "
                  "a text that begins with @ needs quotes"]),
    (
        "free: NO\nversion: x: y",
        [
            "f.yaml:1:7: P011 plain NO may be read as false; quote it ('NO') for a text, or write false",
            "f.yaml:2:11: P005 this is not YAML: mapping values are not allowed in this context; "
            "quote a text that has ': ' in it, or mend the indentation",
        ],
    ),
    ("free: " + "[" * 100_000, ["f.yaml:1:36: P006 nested more than 30 levels deep"]),
    ("free: 1\n---\nfree: 2", ["f.yaml:2:1: P007 a second document starts here; remove the line '---'"]),
    ("free: [&x 1, *x, *x]", ["f.yaml:1:8: P008 anchor '&x' is not allowed; write the value out"]),
    ("free: {<<: {a: 1}, b: 2}", ["f.yaml:1:8: P008 a merge key is not allowed; write the value out"]),
    (
        "free: !!python/name:os.system x",
        ["f.yaml:1:7: P009 tag '!!python/name:os.system' is not allowed; remove it; quote what is meant as text"],
    ),
    ("free: 1\nfree: 2", ["f.yaml:2:1: P010 key 'free' is here twice; the first one is in line 1"]),
    (
        "free: {a: {x: 1}, a: {x: 2}, a: 3}",
        [
            "f.yaml:1:19: P010 key 'a' is here twice; the first one is in line 1",
            "f.yaml:1:30: P010 key 'a' is here twice; the first one is in line 1",
        ],
    ),
    ("free: {1: 1}", ["f.yaml:1:8: P012 a key must be a text; quote it"]),
    ("free: {[a, b]: 1, c: 2}", ["f.yaml:1:8: P012 a key must be a text; quote it"]),
    ("free: {true: 1}", ["f.yaml:1:8: P012 a key must be a text; quote it"]),
    ("fre: 1", ["f.yaml:1:1: P013 unknown key 'fre'; did you mean 'free'?"]),
    ("zzz: 1", ["f.yaml:1:1: P013 unknown key 'zzz'; known: free, items, version"]),
    (
        "items: [{name: a, action: {type: wrap, usng: x}}]",
        ["f.yaml:1:40: P013 unknown key 'usng'; did you mean 'using'?"],
    ),
    ("items: [{name: a, colour: gren}]", ["f.yaml:1:27: P014 unknown colour 'gren'; did you mean 'green'?"]),
    ("items: [{name: a, colours: [rad]}]", ["f.yaml:1:29: P014 unknown colour 'rad'; did you mean 'red'?"]),
    ("items: [{name: a, action: lock}]", ["f.yaml:1:27: P014 unknown action 'lock'; did you mean 'look'?"]),
    (
        "items: [{name: a, action: {type: wrp, using: 3}}]",
        ["f.yaml:1:34: P014 unknown type 'wrp'; did you mean 'wrap'?"],
    ),
    ("version: 2", ["f.yaml:1:10: P016 'version' must be 1, not the number 2"]),
    ("items:\n  - count: 1", ["f.yaml:2:5: P015 key 'name' is missing; add it under 'items'"]),
    ("items: [{name: a, action: {type: ask}}]", ["f.yaml:1:19: P015 key 'context' is missing; add it under 'action'"]),
    ("items: [{name: 7}]", ["f.yaml:1:16: P016 'name' must be a text, not the number 7; quote it: \"7\""]),
    ("items: [{name: a, count: '7'}]", ["f.yaml:1:26: P016 'count' must be a whole number, not the text '7'"]),
    ("items: [{name: a, on_sale: 1}]", ["f.yaml:1:28: P016 'on_sale' must be true or false, not the number 1"]),
    ("items: [{name: a, words: 5.5}]", [
        "f.yaml:1:26: P016 'words' must be a text or a list, not the number 5.5; quote it: \"5.5\""
    ]),
    ("items: [{name: a, action: [look]}]", [
        "f.yaml:1:27: P016 'action' must be 'look' or 'touch' or a mapping, not a list"
    ]),
    ("items: {name: a}", ["f.yaml:1:8: P016 'items' must be a list, not a mapping"]),
    ("items: [{name: a b}]", ["f.yaml:1:16: P017 'name': no spaces, please"]),
    (
        "items: [{name: a, share: 101}]",
        ["f.yaml:1:26: P017 'share' is the number 101, but should be less than or equal to 100"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[expected[0][8:44] for _, expected in WRONG])
def test_every_mistake_is_named_with_its_place(text: str | bytes, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    "text",
    "NO no No yes Yes YES on On ON off Off OFF True TRUE False FALSE Null NULL 010 08 0x1F 0o7 0b1 1_000 "
    "12:30 1:30:00 190:20:30.15 2026-01-01 2026-1-1 .5 5. 1e3 .inf -.inf .nan 12345678901234567890 00".split(),
)
def test_what_yaml_1_1_reads_otherwise_must_be_quoted(text: str) -> None:
    (message,) = problems(f"free: {text}")
    assert message.startswith("f.yaml:1:7: P011 ")
    assert read(Shelf, f"free: '{text}'".encode(), "f.yaml").free == text


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    text = "items:\n  - name: NO\n    count: x\n  - nmae: a\n    on_sale: yes\nversion: 1\nversion: 1\n"
    assert [line.split(" ")[0:2] for line in problems(text)] == [
        ["f.yaml:2:11:", "P011"],
        ["f.yaml:3:12:", "P016"],
        ["f.yaml:4:5:", "P013"],
        ["f.yaml:4:5:", "P015"],
        ["f.yaml:5:14:", "P011"],
        ["f.yaml:7:1:", "P010"],
    ]


def test_a_flood_of_errors_is_cut() -> None:
    found = problems("items:\n" + "  - {nam: 1}\n" * 200)
    assert len(found) == 101
    assert found[-1] == "f.yaml:51:6: P019 300 more errors are not shown"


def test_configuration_has_codes_of_its_own() -> None:
    with pytest.raises(Problems) as caught:
        read(Shelf, b"fre: 1", "c.yaml", prefix="C")
    (error,) = caught.value.errors
    assert isinstance(error, ConfigError)
    assert error.code == "C013"


def test_a_value_that_is_longer_than_a_message_is_cut() -> None:
    (message,) = problems(f"{'k' * 1000}: 1")
    assert message.startswith("f.yaml:1:1: P013 unknown key 'kkk")
    assert len(message) < 400


def test_a_key_with_an_error_of_its_own_is_told_once() -> None:
    assert problems("free: {*x : 1, b: 2}") == ["f.yaml:1:8: P008 alias '*x' is not allowed; write the value out"]


def test_keys_are_known_through_annotations_and_aliases() -> None:
    text = "version: 1\nitems: [{name: a, table: {x: [{z: 1}]}}]"
    assert problems(text) == ["f.yaml:2:31: P016 'x' must be a text or true or false, not a mapping"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        ("x", "the text 'x'"),
        ("x" * 70, f"the text '{'x' * 60}…'"),
        (1, "the number 1"),
        ({}, "a mapping"),
        ([], "a list"),
        (object(), "something else"),
    ],
)
def test_describe(value: object, text: str) -> None:
    assert describe(value) == text


def test_marks_tell_where_values_and_keys_stand() -> None:
    _, marks = read_located(Shelf, b"items:\n  - name: lamp\n    words: [a, bb]\nfree: {x: {y: 1}}\n", "f.yaml")
    assert marks.where(()) == Where(file="f.yaml", line=1, column=1)
    assert marks.where(("items", 0, "words", 1)) == Where(file="f.yaml", line=3, column=16)
    assert marks.where(("items", 0, "words"), key=True) == Where(file="f.yaml", line=3, column=5)
    assert marks.where(("items", 0, "words", 9, "z")) == Where(file="f.yaml", line=3, column=12)
    assert marks.data(("free", "x")) == {"y": 1}
    with pytest.raises(KeyError):
        marks.data(("free", "z"))


@pytest.mark.parametrize(
    ("word", "words", "hint"),
    [
        ("dowload", ("download", "upload"), "did you mean 'download'?"),
        ("Block", ("block", "audit"), "did you mean 'block'?"),
        ("zzz", ("b", "a"), "known: a, b"),
        ("zzz", (), ""),
        ("zzz", tuple(f"word{number}" for number in range(50)), ""),
    ],
)
def test_did_you_mean(word: str, words: tuple[str, ...], hint: str) -> None:
    assert did_you_mean(word, words) == hint


PIECES = st.sampled_from(
    ["items:", "\n", "  ", "- ", "name: ", "a", "1", "NO", "&x ", "*x", "!!str ", "{", "}", "[", "]", "'", '"', ": ",
     ", ", "? ", "|\n", ">", "#", "---\n", "...", "<<", "\t", "%YAML 1.1\n", "\\", "free:", "é", "\u2028", "~"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.lists(PIECES, max_size=25).map(lambda parts: "".join(parts).encode())))
def test_any_bytes_give_a_value_or_located_errors(text: bytes) -> None:
    try:
        value, marks = read_located(Shelf, text, "f.yaml")
    except Problems as found:
        assert found.errors
        assert all(isinstance(error, PolicyError) and error.where for error in found.errors)
    else:
        assert isinstance(value, Shelf)
        assert isinstance(marks, Marks)


@settings(max_examples=50, deadline=None)
@given(
    st.text(
        alphabet=st.characters(exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="\u2028\u2029"), min_size=1
    )
)
def test_quoted_text_comes_out_as_it_went_in(text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    try:
        assert read(Shelf, f"free: {quoted}".encode(), "f.yaml").free == text
    except Problems as found:
        assert {error.code for error in found.errors} == {"P003"}


def test_shapes_are_frozen() -> None:
    shelf = read(Shelf, b"free: 1", "f.yaml")
    with pytest.raises(dataclasses.FrozenInstanceError):
        shelf.free = 2  # type: ignore[misc]
