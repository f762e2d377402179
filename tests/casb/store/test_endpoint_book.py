"""What the book of endpoints keeps, and in which order things may come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from casb.discovery.endpoint_attempts import Attempt, Kind
from casb.discovery.endpoint_indicators import Plan, Rule, plan
from casb.store.endpoint_book import CONFIRMED, PUSHED, REMOVING, EndpointBook
from endpoint_support import NOW

SETTLE = timedelta(minutes=10)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[EndpointBook]:
    opened = EndpointBook.open(tmp_path)
    yield opened
    opened.close()


def attempt(kind: Kind, seconds: int = 0, host: str = "x.bad.example") -> Attempt:
    time = NOW + timedelta(seconds=seconds)
    return Attempt(
        id=f"d1|{host}|{time.isoformat()}", kind=kind, time=time, last=time, domain="bad.example", app="bad",
        name="Bad",
        device_id="d1", device="pc1", user="ada", ip="", host=host,
    )  # fmt: skip


def wanted(*domains: str, warn: bool = False) -> Plan:
    return plan([Rule(app="bad", name="Bad", warn=warn, patterns=domains)])


def untold(book: EndpointBook, minutes: int) -> list[str]:
    return [each.kind.value for each in book.untold(NOW + timedelta(minutes=minutes))]


@pytest.mark.parametrize(
    ("found", "at_once", "later", "why"),
    [
        ([attempt(Kind.BLOCKED)], ["blocked"], ["blocked"], "a block is told at once"),
        ([attempt(Kind.REACHED)], [], ["not blocked"], "a handshake waits"),
        ([attempt(Kind.REACHED), attempt(Kind.BLOCKED, 5)], ["blocked"], ["blocked"], "its block came later"),
        ([attempt(Kind.BLOCKED), attempt(Kind.REACHED, 5)], ["blocked"], ["blocked"], "its block came before"),
        ([attempt(Kind.REACHED), attempt(Kind.BLOCKED, 300)], ["blocked"], ["not blocked", "blocked"], "another one"),
        ([attempt(Kind.REACHED), attempt(Kind.BLOCKED, 5, "y.bad.example")], ["blocked"], ["not blocked", "blocked"],
         "another host"),
        ([attempt(Kind.BLOCKED), attempt(Kind.BLOCKED)], ["blocked"], ["blocked"], "told twice"),
    ],
)  # fmt: skip
def test_attempts(book: EndpointBook, found: list[Attempt], at_once: list[str], later: list[str], why: str) -> None:
    for each in found:
        book.note([each], NOW, SETTLE)
    assert untold(book, 0) == at_once, why
    assert untold(book, 11) == later, why
    assert book.waiting(NOW + SETTLE)


def test_what_was_told_is_told_once(book: EndpointBook) -> None:
    book.note([attempt(Kind.BLOCKED)], NOW, SETTLE)
    book.told([each.id for each in book.untold(NOW)], NOW)
    book.note([attempt(Kind.BLOCKED)], NOW, SETTLE)
    assert untold(book, 60) == []


def test_states_of_an_indicator(book: EndpointBook) -> None:
    book.want(wanted("bad.example"), NOW)
    (row,) = book.indicators("bad")
    assert (row.state, row.pushed) == ("pending", None)
    book.confirm("bad.example", NOW)
    assert book.indicators()[0].state == "pending", "what was not pushed cannot be in force"
    book.put([replace(row, state=PUSHED, pushed=NOW, remote="7")])
    book.confirm("bad.example", NOW - timedelta(minutes=1))
    assert book.indicators()[0].state == PUSHED, "an event before the push shows nothing"
    book.confirm("bad.example", NOW + timedelta(minutes=1))
    assert book.indicators()[0].state == CONFIRMED
    book.want(wanted("bad.example"), NOW)
    assert book.indicators()[0].state == CONFIRMED, "nothing has changed"
    book.want(wanted("bad.example", warn=True), NOW)
    assert (book.indicators()[0].state, book.indicators()[0].remote) == ("pending", "7")
    book.want(Plan(), NOW)
    assert book.indicators()[0].state == REMOVING
    book.want(wanted("bad.example"), NOW)
    assert book.indicators()[0].state == "pending"


def test_what_was_never_pushed_is_forgotten_at_once(book: EndpointBook) -> None:
    book.want(wanted("bad.example"), NOW)
    book.want(Plan(), NOW)
    assert book.indicators() == [] and book.last_push() is None


def test_devices(book: EndpointBook) -> None:
    book.see({"d1": ("pc1", NOW, NOW), "d2": ("pc1", NOW, NOW + timedelta(hours=1))}, ())
    book.see({"d1": ("renamed", NOW - timedelta(days=2), NOW - timedelta(days=1))}, ())
    first, later = book.device("d1"), book.device("PC1")
    assert first is not None and (first.name, first.first) == ("pc1", NOW - timedelta(days=2))
    assert later is not None and later.id == "d2", "of two of one name the latest"
    book.tidy(NOW + timedelta(days=90, minutes=30))
    assert [each.id for each in book.devices()] == ["d2"]


def test_inputs(book: EndpointBook) -> None:
    assert not book.has("a")
    book.took("a", NOW, 3)
    book.took("a", NOW, 3)
    assert book.has("a")
