"""The common shapes of a log line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import formats


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1 b=two", {"a": "1", "b": "two"}),
        ('a="x y" B="" c=', {"a": "x y", "b": "", "c": ""}),
        (r'user="CORP\alice" say="a \"b\" c"', {"user": "CORP\\alice", "say": 'a "b" c'}),
        ("a=1 a=2", {"a": "1"}),
        ("url=http://x/?q=1&r=2 b=3", {"url": "http://x/?q=1&r=2", "b": "3"}),
        ("a=1\tb=x y\tc=3\td=4", {"a": "1", "b": "x y", "c": "3", "d": "4"}),
        ("a=1|b=x y|c=|d=4", {"a": "1", "b": "x y", "c": "", "d": "4"}),
        ('a=1,b="x,y",c=3,d=4', {"a": "1", "b": "x,y", "c": "3", "d": "4"}),
        ('a=""one"" b=""two""', {"a": "one", "b": "two"}),
        (
            'fw="x" list="a,b,c,d,e" src=1.2.3.4 dst=1.2.3.5',
            {"fw": "x", "list": "a,b,c,d,e", "src": "1.2.3.4", "dst": "1.2.3.5"},
        ),
        ("no pairs at all", {}),
    ],
)
def test_pairs(text: str, expected: dict[str, str]) -> None:
    assert formats.pairs(text) == expected


def test_pairs_whose_values_hold_blanks() -> None:
    assert formats.spaced("a=one two b=three c=") == {"a": "one two", "b": "three", "c": ""}


def test_colon_pairs() -> None:
    assert formats.colon_pairs('[action:"Drop"; src:"192.0.2.1"; tag:"a\\]b; c:d"]') == {
        "action": "Drop", "src": "192.0.2.1", "tag": "a]b; c:d",
    }  # fmt: skip


def test_cef_with_a_distinguished_name_that_nobody_escaped() -> None:
    found = formats.cef(
        "CEF:0|a|b|1|2|n|3|act=x suser=LDAP://192.0.2.3 OU=People,DC=corp,DC=example/Ada Lovelace dst=192.0.2.9 c=1"
    )
    assert found is not None
    assert found.fields["suser"] == "LDAP://192.0.2.3 OU=People,DC=corp,DC=example/Ada Lovelace"
    assert (found.fields["dst"], found.fields["c"]) == ("192.0.2.9", "1")


def test_cef_with_escapes_and_labels() -> None:
    event = formats.cef(
        r"prefix CEF:0|Ven\|dor|Prod\\uct|1.0|100|na\|me|3|act=a\=b msg=two words cs1=value one cs1Label=Rule Name request=http://x/?a=b&c=d suser=CORP\nadia"
    )
    assert event is not None
    assert (event.vendor, event.product, event.signature, event.name) == ("Ven|dor", "Prod\\uct", "100", "na|me")
    assert event.fields["act"] == "a=b"
    assert event.fields["msg"] == "two words"
    assert event.fields["rule name"] == "value one"
    assert event.fields["request"] == "http://x/?a=b&c=d"
    assert event.fields["suser"] == "CORP\\nadia"


@pytest.mark.parametrize(
    "text",
    [
        "0|Forcepoint|Security|8|9|name|7| a=b",
        "CEF: 0|Forcepoint|Security|8|9|name|7|a=b",
        "CEF:0||Forcepoint|Security|8|9|name|7|a=b",
    ],
)
def test_cef_as_relays_leave_it(text: str) -> None:
    event = formats.cef(text)
    assert event is not None
    assert event.vendor == "Forcepoint"
    assert event.fields == {"a": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "LEEF:1.0|V|P|1|id|src=192.0.2.1\tusrName=a b",
        "LEEF:2.0|V|P|1|id|^|src=192.0.2.1^usrName=a b",
        "LEEF:2.0|V|P|1|id|x5E|src=192.0.2.1^usrName=a b",
        "LEEF:2.0|V|P|1|id|0x09|src=192.0.2.1\tusrName=a b",
        "LEEF:2.0|V|P|1|id||src=192.0.2.1\tusrName=a b",
        "LEEF:2.0|V|P|1|id|src=192.0.2.1\tusrName=a b",
        "LEEF:1.0|V|P|1|id|src=192.0.2.1 usrName=a b",
        "1.0|V|P|1|id|src=192.0.2.1#011usrName=a b#011x=y",
    ],
)
def test_leef_with_every_delimiter(text: str) -> None:
    event = formats.leef(text)
    assert event is not None
    assert (event.vendor, event.product, event.signature) == ("V", "P", "id")
    assert event.fields["src"] == "192.0.2.1"
    assert event.fields["usrname"] == "a b"


@pytest.mark.parametrize("text", ["", "CEF:", "CEF:0|a|b", "LEEF:1.0|a", "nothing"])
def test_what_is_neither_cef_nor_leef(text: str) -> None:
    assert formats.cef(text) is None
    assert formats.leef(text) is None


def test_delimited() -> None:
    assert formats.delimited('a,"b,c","d ""e""",') == ["a", "b,c", 'd "e"', ""]
    assert formats.delimited("a;b;c", ";") == ["a", "b", "c"]


def test_words() -> None:
    assert formats.words('a "b c" [d e] f') == ["a", "b c", "d e", "f"]
    assert formats.words('a  "say \\"hi\\" now" b') == ["a", 'say \\"hi\\" now', "b"]


def test_flat_json() -> None:
    assert formats.flat_json('{"A": {"b": 1, "C": true, "d": null}, "e": ["x", "y"], "f": [{"g": 2.0}]}') == {
        "a.b": "1", "a.c": "true", "e": "x,y", "f.g": "2",
    }  # fmt: skip
    assert formats.flat_json("[1]") is None
    assert formats.flat_json('{"a": ') is None


@settings(max_examples=300)
@given(st.text(max_size=200) | st.from_regex(r'[A-Za-z]{0,5}(CEF:0|LEEF:2\.0)?[|a-z=" \\,\t\[\]]{0,80}'))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for read in (
        formats.pairs,
        formats.spaced,
        formats.colon_pairs,
        formats.cef,
        formats.leef,
        formats.delimited,
        formats.words,
        formats.flat_json,
    ):
        read(text)
