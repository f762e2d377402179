"""An indicator API in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from casb.discovery.endpoint_indicators import Imported
from casb.store.endpoint_book import EndpointBook


class Remembering:
    """Takes everything; begins with what a book says was pushed."""

    def __init__(self, book: EndpointBook | None = None) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        for each in book.indicators() if book else ():
            self.there[each.domain] = {
                "id": each.remote, "indicatorValue": each.domain, "indicatorType": "DomainName", "application": "casb",
            }  # fmt: skip

    def indicators(self) -> Iterator[Mapping[str, Any]]:
        return iter(list(self.there.values()))

    def submit(self, bodies: Sequence[Mapping[str, Any]]) -> list[Imported]:
        for each in bodies:
            self.there[each["indicatorValue"]] = {"id": f"id-{each['indicatorValue']}", **each}
        return [Imported(domain=each["indicatorValue"], id=f"id-{each['indicatorValue']}") for each in bodies]

    def remove(self, ids: Sequence[str]) -> None:
        self.there = {domain: each for domain, each in self.there.items() if each["id"] not in ids}
