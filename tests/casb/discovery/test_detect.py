"""Which source wrote a log."""

from __future__ import annotations

from datetime import UTC, datetime

from casb.discovery import PARSERS
from casb.discovery.detect import Guess, detect
from casb.discovery.times import Clock


def guess(*lines: str) -> Guess:
    return detect(list(enumerate(lines, 1)), PARSERS, Clock(UTC, datetime(2024, 5, 20, tzinfo=UTC)))


SQUID = PARSERS["squid"].sample.split("\n")[0]


def test_nothing_known_is_no_parser() -> None:
    assert guess("lorem ipsum", "dolor sit amet") == Guess(parser=None, confidence=0.0)
    assert guess() == Guess(parser=None, confidence=0.0)


def test_confidence_falls_with_the_lines_that_are_not_read() -> None:
    pure, mixed = guess(SQUID, SQUID), guess(SQUID, "lorem", "ipsum", "dolor")
    assert pure.parser is mixed.parser is PARSERS["squid"]
    assert 0.9 < pure.confidence <= 1.0
    assert 0.2 < mixed.confidence < 0.3


def test_the_majority_wins() -> None:
    assert guess(SQUID, PARSERS["fortigate"].sample, PARSERS["fortigate"].sample).parser is PARSERS["fortigate"]


def test_headers_do_not_count_against_a_source() -> None:
    assert guess(*PARSERS["bluecoat"].sample.split("\n")).confidence > 0.9


def test_a_product_goes_before_the_generic_form() -> None:
    found = guess(PARSERS["forcepoint"].sample)
    assert [name for name, _ in found.scores][:1] == ["forcepoint"]
    assert "cef" in [name for name, _ in found.scores]
