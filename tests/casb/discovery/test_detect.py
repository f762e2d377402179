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


DEVICE = (
    "time=1714979289|hostname=mgmt|product=SmartConsole|action=Accept|loguid={0x1,0x0,0x1,0x1}|origin=192.0.2.1|"
    "administrator=admin|client_ip=192.0.2.10|machine=PC1|operation=Log In|subject=Administrator Login|"
)


def test_a_product_s_own_word_that_a_line_is_no_traffic_is_final() -> None:
    found = guess(DEVICE)
    assert found.parser is PARSERS["checkpoint"]
    assert "keyvalue" not in dict(found.scores)
