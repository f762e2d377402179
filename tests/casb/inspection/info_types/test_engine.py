"""The law of the engine: neither chunking nor the marker makes a difference; places, counts, confidence, bounds."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.info_types import LATENCY, InfoType, Matcher, Pattern, Spec, compile_types, search
from casb.inspection.info_types.engine import PLACES, literal_prefix, matches_empty
from casb.inspection.info_types.shape import Confidence
from casb.inspection.info_types.shipped import chosen, shipped, spelled_out
from casb.inspection.spec import Span
from casb.model.file import Finding

type Compiled = Callable[[str, str], Matcher]

SOME = ("credit-card", "iban", "us-ssn", "aws-access-key-id", "jwt", "email-address", "de-tax-id", "database-url")


@pytest.fixture(scope="module", params=["hyperscan", "plain"])
def some(request: pytest.FixtureRequest) -> Matcher:
    return compile_types(Spec(types=chosen(SOME, shipped())), request.param)


def run(matcher: Matcher, pieces: list[bytes]) -> tuple[tuple[Finding, ...], list[Span]]:
    scan = matcher.begin(spans=True)
    for piece in pieces:
        scan.feed(piece)
    findings = scan.finish()
    return findings, sorted(scan.take_spans(), key=lambda span: (span.start, span.end, span.info_type))


def mixture(names: tuple[str, ...] = (), seed: int = 1) -> bytes:
    """Examples of types in text, among them characters that are not ASCII."""
    rng = random.Random(seed)  # noqa: S311 - the same each time
    types = chosen(names, shipped()) if names else tuple(shipped().values())
    texts = [spelled_out(text) for each in types for text in each.matches + each.misses]
    rng.shuffle(texts)
    gaps = ("\n", " \u00a0x\u200b ", " Lorem ipsum dolor sit amet. " * 9, "\uff0c日本語 ", "; ")
    return "".join(text + rng.choice(gaps) for text in texts).encode()


def test_any_split_gives_the_same(some: Matcher) -> None:
    text = mixture(SOME)[:2600]
    whole = run(some, [text])
    assert len(whole[0]) >= 5
    for at in range(0, len(text), 7 if len(text) > 2000 else 1):
        assert run(some, [text[:at], text[at:]]) == whole, at
    assert run(some, [text[at : at + 1] for at in range(len(text))]) == whole


def test_all_types_in_any_chunks_on_both_engines(compiled: Compiled) -> None:
    text = mixture()
    whole = run(compiled("", "hyperscan"), [text])
    assert {each.info_type for each in whole[0]} == set(shipped())
    assert run(compiled("", "plain"), [text]) == whole
    for size in (333, 5000):
        assert run(compiled("", "hyperscan"), [text[at : at + size] for at in range(0, len(text), size)]) == whole


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_searched(pieces: list[bytes]) -> None:
    matcher = SMALL
    assert run(matcher, pieces) == run(matcher, [b"".join(pieces)])


SMALL = compile_types(Spec(types=chosen(("credit-card", "email-address"), shipped())))


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "x 4111-1111-1111-1111.",
        "\uff14\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11",
        "4111\u00a01111\u20091111\u30001111",
        "4111\u20131111\u20111111\u22121111",
        "4\u200b1\u200c1\u200d1\u2060111111111111",
        "41\u00ad1111111111\ufe0f1111",
        "\u0664111111111111111",
        "卡号4111111111111111是",
        "card_4111111111111111_x",
        "12 4111111111111111 34",
    ],
)
def test_spelling_does_not_hide_a_card(text: str) -> None:
    (finding,) = search(SMALL, text)
    assert (finding.info_type, finding.count, finding.total) == ("credit-card", 1, 1)


def test_a_value_is_found_on_every_boundary_of_blocks() -> None:
    for at in (1000, 1007, 1008, 1015, 1016, 1023, 1024, 1025, 2040, 2048):
        (finding,) = search(SMALL, "\n" * at + "4111 1111 1111 1111" + "." * 3000)
        assert finding.places[0][0] == at


def test_a_long_candidate_across_a_block_hides_no_short_one() -> None:
    for at in range(980, 1030):
        assert [each.count for each in search(SMALL, "." * at + " 1 4111111111111111 2 ")] == [1], at


def test_different_values_count_once_however_they_are_written() -> None:
    (finding,) = search(SMALL, "4111111111111111 4111 1111 1111 1111, 5555-5555-5555-4444")
    assert (finding.count, finding.total, finding.levels) == (2, 3, ((65, 2), (75, 2)))
    assert (finding.at_least(65), finding.at_least(75), finding.at_least(85)) == (2, 2, 0)


def test_a_keyword_within_reach_makes_it_sure() -> None:
    filler = "." * 250
    for text, level in (
        ("visa 4111111111111111", 85),
        (f"4111111111111111{filler} VISA", 85),
        (f"visa {filler}{filler} 4111111111111111", 75),
        ("supervisa 4111111111111111", 75),
    ):
        (finding,) = search(SMALL, text)
        assert finding.confidence == level, text


def test_excerpts_hide_the_value() -> None:
    (finding,) = search(SMALL, "Dear Ada, your card 4111 1111 1111 1111 of 2024-01-01 ends")
    assert finding.places == ((20, "Dear Ada, your card XXXX XXXX XXXX XXXX of ####-##-## ends"),)
    matcher = compile_types(Spec(types=chosen(("credit-card",), shipped()), last_four=True))
    assert search(matcher, "4111 1111 1111 1111")[0].places == ((0, "XXXX XXXX XXXX 1111"),)


def test_only_some_places_are_kept() -> None:
    (finding,) = search(SMALL, " ".join(f"a{number}@contoso.example" for number in range(50)))
    assert (finding.count, len(finding.places)) == (50, PLACES)


def test_findings_are_certain_soon_and_only_grow() -> None:
    scan = SMALL.begin()
    scan.feed(b"4111111111111111 ")
    assert scan.findings() == ()
    scan.feed(b"." * LATENCY)
    assert [each.count for each in scan.findings()] == [1]
    scan.feed(b" 5555555555554444")
    assert [each.count for each in scan.finish()] == [2]
    with pytest.raises(RuntimeError):
        scan.feed(b"x")


def test_memory_stays_small() -> None:
    scan = SMALL.begin()
    for _ in range(100):
        scan.feed(b"lorem ipsum 4111111111111111 \xc3\xa4\xe2\x80\x8b " * 300)
    assert len(scan._text) < 128 * 1024
    assert len(scan._marks) < 64
    assert len(scan._normaliser._pieces) < 64


def test_spans_are_of_what_was_fed() -> None:
    text = "é 4111\u200b111111111111 \uff54 ada@contoso.example".encode()
    _, spans = run(SMALL, [text[:9], text[9:]])
    assert [text[span.start : span.end].decode() for span in spans] == [
        "4111\u200b111111111111",
        "ada@contoso.example",
    ]


def test_what_is_settled_gets_no_more_spans() -> None:
    scan = SMALL.begin(spans=True)
    settled = 0
    for _ in range(200):
        scan.feed(b"lorem 4111111111111111 ipsum dolor sit amet ")
        assert all(span.start >= settled for span in scan.take_spans())
        assert scan.settled >= settled
        settled = scan.settled
    assert settled > 3000


def test_a_dictionary_finds_its_words() -> None:
    words = InfoType(id="projects", name="", keywords=("Aurora", "big bang", "Überraschung"))
    for engine in ("hyperscan", "plain"):
        matcher = compile_types(Spec(types=(words,)), engine)
        text = "AURORA, big_bang; auroras; eine überraschung. Big\nBang"
        (finding,) = search(matcher, text)
        assert finding.total == 4, engine


def test_what_cannot_be_compiled_is_told() -> None:
    for pattern, code in ((Pattern(expression="(?<=a)b"), "F203"), (Pattern(expression="a", check="nope"), "F201")):
        with pytest.raises(ContentError) as caught:
            compile_types(Spec(types=(InfoType(id="x", name="", patterns=(pattern,)),)))
        assert caught.value.code == code


def test_an_unbounded_expression_is_the_same_on_both_engines() -> None:
    about = InfoType(id="x", name="", patterns=(Pattern(expression="foo[a-z ]*bar", alone=Confidence.LOW),))
    text = ("foo " + "lorem " * 70 + "bar. ") * 5 + "foo bar"
    results = [search(compile_types(Spec(types=(about,)), engine), text) for engine in ("hyperscan", "plain")]
    assert results[0] == results[1] != ()


@pytest.mark.parametrize(
    ("expression", "literal"),
    [
        ("AKIA[A-Z]{16}", "AKIA"),
        ("ab?c", ""),
        ("abcd?", "abc"),
        ("abc|d", ""),
        (r"sk\-ant-[a-z]", "sk-ant-"),
        ("[a]bc", ""),
    ],
)
def test_a_literal_beginning(expression: str, literal: str) -> None:
    assert literal_prefix(expression) == literal


def test_the_empty_text() -> None:
    assert matches_empty(Pattern(expression="a*"))
    assert not matches_empty(Pattern(expression="a+"))
