"""Masking: what each kind of text looks like afterwards, whatever the way it was cut into pieces."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.inspection.info_types import Matcher, Spec, compile_spec
from casb.inspection.info_types.shipped import chosen, shipped
from casb.inspection.redact import (
    EventLexer,
    EventsFirst,
    HtmlLexer,
    JsonLexer,
    Lexer,
    Redactor,
    TextLexer,
    lexer_for,
)

CARD = "4111 1111 1111 1111"
PLAIN = CARD.replace(" ", "")


def matcher() -> Matcher:
    return compile_spec(Spec(types=chosen(["credit-card", "email-address"], shipped())))


def masked(lexer: Lexer, data: bytes, size: int = 1 << 20) -> bytes:
    redactor = Redactor(matcher(), lexer)
    parts = [redactor.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(parts) + redactor.finish()


CASES = [
    ("text", TextLexer, f"card {CARD}, thanks", "card XXXX XXXX XXXX XXXX, thanks", "separators stay"),
    ("csv", TextLexer, f"visa;{PLAIN};1\n", "visa;XXXXXXXXXXXXXXXX;1\n", "columns stay"),
    ("wide", TextLexer, f"é visa {PLAIN} 日本", "é visa XXXXXXXXXXXXXXXX 日本", "other characters stay"),
    ("nothing", TextLexer, "no card 4111 1111 1111 1112", "no card 4111 1111 1111 1112", "the check digit is wrong"),
    ("json-text", JsonLexer, f'{{"card": "{CARD}"}}', '{"card": "XXXX XXXX XXXX XXXX"}', "a string stays one"),
    ("json-number", JsonLexer, f'{{"card": {PLAIN}, "n": -1.5e3}}', '{"card": 0               , "n": -1.5e3}', "as zero"),
    ("json-escape", JsonLexer, '["card \\u0034111 1111 1111 1111\\n"]', '["card XXXX XXXX XXXX XXXX\\n"]', "read as it means"),
    ("json-key", JsonLexer, f'{{"{PLAIN}": "visa"}}', '{"XXXXXXXXXXXXXXXX": "visa"}', "names are text as well"),
    ("html-tags", HtmlLexer, "card <b>4111</b> 1111 <i>1111</i>&#32;1111", "card <b>XXXX</b> XXXX <i>XXXX</i>XXXXX", ""),
    ("html-blocks", HtmlLexer, "<td>4111 1111</td><td>1111 1111</td>", "<td>4111 1111</td><td>1111 1111</td>", "two cells"),
    ("html-value", HtmlLexer, f'<!doctype html><input value="{PLAIN}">', f'<!doctype html><input value="{"X" * 16}">', ""),
    ("html-script", HtmlLexer, f"<script>pay({PLAIN})</script>", f"<script>pay({'1' * 16})</script>", "still a script"),
    ("html-odd", HtmlLexer, "a < b & c &amp; <", "a < b & c &amp; <", "what is no markup stays"),
    ("mail", HtmlLexer, "<p>ada@contoso.example</p>", None, "an address in a page"),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
@pytest.mark.parametrize(("name", "lexer", "text", "expected", "why"), CASES, ids=[each[0] for each in CASES])
def test_what_is_found_is_masked(
    name: str, lexer: type[Lexer], text: str, expected: str | None, why: str, size: int
) -> None:
    got = masked(lexer(), text.encode(), size).decode()
    if expected is not None:
        assert got == expected, why
    else:
        assert "contoso" not in got and got.startswith("<p>") and got.endswith("</p>"), why


def event(text: str, **more: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}], **more}).encode() + b"\n\n"


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_value_spread_over_events(size: int) -> None:
    data = (
        b"".join(event(part) for part in ("my card ", "4111", " 1111", " 1111 11", "11", " ok")) + b"data: [DONE]\n\n"
    )
    got = masked(EventLexer(), data, size)
    told = [json.loads(line[6:]) for line in got.decode().splitlines() if line.startswith("data: {")]
    assert "".join(each["choices"][0]["delta"]["content"] for each in told) == "my card XXXX XXXX XXXX XXXX ok"
    assert got.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_each_event_by_itself(size: int) -> None:
    first, data = EventsFirst(matcher()), event("hello", card=PLAIN) + f"data: visa {PLAIN}\n\n".encode()
    got = b"".join(first.feed(data[at : at + size]) for at in range(0, len(data), size)) + first.finish()
    assert PLAIN.encode() not in got and got.count(b"X" * 16) == 2
    assert json.loads(got.splitlines()[0][6:])["choices"] == [{"delta": {"content": "hello"}}]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.sampled_from([CARD, f"visa {PLAIN} é", int(PLAIN)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(VALUES, st.booleans(), st.integers(1, 50))
def test_json_stays_json_of_the_same_shape(value: object, ascii_only: bool, size: int) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    got = masked(JsonLexer(), data, size)
    assert shape(json.loads(got)) == shape(value)
    assert PLAIN.encode() not in got


def shape(value: object) -> object:
    if isinstance(value, dict):
        return [shape(each) for each in value.values()] if len(value) < 2 else len(value)
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([TextLexer, JsonLexer, HtmlLexer, EventLexer]), st.integers(1, 40))
def test_any_bytes_in_any_pieces_give_the_same(data: bytes, lexer: type[Lexer], size: int) -> None:
    assert masked(lexer(), data, size) == masked(lexer(), data)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="<>&/!-\"'=; abscriptyle41#x", max_size=200), st.integers(1, 20))
def test_html_without_findings_stays_as_it_is(text: str, size: int) -> None:
    data = text.encode()
    assert masked(HtmlLexer(), data, size) == data


def test_a_masked_page_has_the_tags_it_had() -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.seen.append(f"{tag} {[name for name, _ in attrs]}")

    page = f'<ul class="c4"><li data-id="x-1">{CARD}</li><li title="{PLAIN}">ada@contoso.example<br>visa</li></ul>'
    before, after = Tags(), Tags()
    before.feed(page)
    after.feed(masked(HtmlLexer(), page.encode(), 9).decode())
    assert before.seen == after.seen


def test_little_is_held_back() -> None:
    redactor, row = Redactor(matcher(), TextLexer()), b"some words of no interest and some more of them\n"
    given_back = sum(len(redactor.feed(row * 100)) for _ in range(50))
    assert len(row) * 5000 - given_back < 8192


@pytest.mark.parametrize(
    ("kind", "charset", "known"),
    [
        ("application/json", "", True),
        ("application/problem+json", "utf-8", True),
        ("text/html", "UTF-8", True),
        ("text/plain", "iso-8859-1", True),
        ("text/html", "utf-16", False),
        ("application/pdf", "", False),
        ("image/png", "", False),
    ],
)
def test_what_can_be_masked(kind: str, charset: str, known: bool) -> None:
    assert (lexer_for(kind, charset) is not None) is known
