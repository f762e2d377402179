"""Indicators through the emulated API: pushed, changed by hand, cut off, removed, too many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from casb.connectors.defender import Defender
from casb.discovery.endpoint_indicators import LIMIT, MOST, Options, Plan, Rule, plan
from casb.errors import ConnectorError
from casb.store.endpoint_book import EndpointBook
from casb.store.endpoint_push import IN_THE_WAY, push
from defender_cloud import Cloud, defender_cloud
from endpoint_support import NOW


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with defender_cloud(tmp_path) as running:
        yield running


@pytest.fixture
def book(tmp_path: Path) -> Iterator[EndpointBook]:
    opened = EndpointBook.open(tmp_path / "discovery")
    yield opened
    opened.close()


def planned(*domains: str, warn: bool = False) -> Plan:
    return plan([Rule(app=each.partition(".")[0], name=each, warn=warn, patterns=(each,)) for each in domains])


def pushed(book: EndpointBook, cloud: Cloud, wanted: Plan, minutes: int = 0) -> dict[str, Any]:
    api = Defender(cloud.chosen, wait=lambda seconds: None)
    try:
        return push(book, wanted, Options(), api, lambda: NOW + timedelta(minutes=minutes))
    finally:
        api.close()


def states(book: EndpointBook) -> dict[str, tuple[str, str]]:
    return {each.domain: (each.state, each.reason) for each in book.indicators()}


def test_pushed_once(book: EndpointBook, cloud: Cloud) -> None:
    assert pushed(book, cloud, planned("a.example", "b.example"))["pushed"] == 2
    again = pushed(book, cloud, planned("a.example", "b.example"), 5)
    assert (again["pushed"], again["unchanged"]) == (0, 2) and cloud.batches == [2]
    assert [each.pushed for each in book.indicators()] == [NOW, NOW]
    last = book.last_push()
    assert last is not None and last["unchanged"] == 2


def test_removed_when_the_tag_goes(book: EndpointBook, cloud: Cloud) -> None:
    pushed(book, cloud, planned("a.example", "b.example"))
    assert pushed(book, cloud, planned("b.example"))["removed"] == 1
    assert list(cloud.domains()) == ["b.example"] and list(states(book)) == ["b.example"]


def test_what_was_changed_by_hand_is_set_again(book: EndpointBook, cloud: Cloud) -> None:
    pushed(book, cloud, planned("a.example", "b.example"))
    for each in cloud.indicators.values():
        if each["indicatorValue"] == "a.example":
            each["rbacGroupNames"], each["action"] = ["Testers"], "Allowed"
    pushed(book, cloud, planned("a.example", "b.example"), 1)
    assert {each["action"] for each in cloud.domains().values()} == {"Block"} and cloud.batches == [2, 1]


def test_what_was_removed_by_hand_is_pushed_again(book: EndpointBook, cloud: Cloud) -> None:
    pushed(book, cloud, planned("a.example"))
    cloud.indicators.clear()
    assert pushed(book, cloud, planned("a.example"))["pushed"] == 1


def test_another_tag_changes_the_action(book: EndpointBook, cloud: Cloud) -> None:
    pushed(book, cloud, planned("a.example"))
    pushed(book, cloud, planned("a.example", warn=True))
    (only,) = cloud.domains().values()
    assert (only["action"], only["bypassDurationHours"]) == ("Warn", 24)


def test_indicators_of_others_are_never_touched(book: EndpointBook, cloud: Cloud) -> None:
    cloud.add(indicatorValue="a.example", action="Allowed", application=None)
    cloud.add(indicatorValue="x.example", action="Block", application="soc")
    outcome = pushed(book, cloud, planned("a.example", "b.example"))
    assert states(book)["a.example"] == ("failed", IN_THE_WAY) and outcome["pushed"] == 1
    pushed(book, cloud, Plan())
    assert sorted(each["indicatorValue"] for each in cloud.indicators.values()) == ["a.example", "x.example"]


def test_single_failures_are_told_and_tried_again(book: EndpointBook, cloud: Cloud) -> None:
    cloud.fails["a.example"] = "a conflict"
    pushed(book, cloud, planned("a.example", "b.example"))
    assert states(book) == {"a.example": ("failed", "a conflict"), "b.example": ("pushed", "")}
    cloud.fails.clear()
    pushed(book, cloud, planned("a.example", "b.example"))
    assert states(book)["a.example"] == ("pushed", "")


def test_a_push_that_was_cut_off_goes_on(book: EndpointBook, cloud: Cloud) -> None:
    wanted = planned(*(f"h{number:04}.example" for number in range(1203)))
    cloud.breaks_after = 1
    with pytest.raises(ConnectorError, match="cut off"):
        pushed(book, cloud, wanted)
    assert sum(each.state == "pushed" for each in book.indicators()) == 500
    cloud.breaks_after = None
    outcome = pushed(book, cloud, wanted)
    assert (outcome["pushed"], outcome["unchanged"]) == (703, 500)
    assert cloud.batches[-2:] == [500, 203] and len(cloud.domains()) == 1203


def test_the_tenants_limit(book: EndpointBook, cloud: Cloud) -> None:
    for number in range(MOST - 1):
        cloud.add(indicatorValue=f"x{number}.example", application="soc")
    cloud.page = 10_000
    outcome = pushed(book, cloud, planned("a.example", "b.example"))
    assert (outcome["pushed"], outcome["failed"]) == (1, 1)
    assert states(book) == {"a.example": ("pushed", ""), "b.example": ("failed", LIMIT)}


def test_what_nobody_answered_for_has_failed(book: EndpointBook) -> None:
    class Silent:
        def indicators(self) -> Iterator[dict[str, Any]]:
            return iter(())

        def submit(self, bodies: object) -> list[Any]:
            return []

        def remove(self, ids: object) -> None:
            raise AssertionError

    assert push(book, planned("a.example"), Options(), Silent(), lambda: NOW)["failed"] == 1
